/*
 * The hops "decode" and "assemble" without a database and a lake: messages become batches, and a sink that prints gets
 * them.
 *
 * There is no catalog to ask, so a relation is what its message says: types of which only the number is known come as
 * text. Streamed transactions are kept in memory until their commit (sync reads them again from the spool instead).
 */
#include "cli/debug.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/pg_value.h"
#include "model/position.h"
#include "source/pg_epoch.h"

enum { STREAM_MAX = 1 << 28 };

struct piece { /* a message of a streamed transaction */
    uint32_t xid;
    uint64_t arrival;
    size_t at, n;
};

struct stream {
    struct buf bytes;
    struct piece *pieces;
    size_t n, cap;
};

struct batcher {
    struct imap names;   /* relation → char * */
    struct imap streams; /* xid → struct stream * */
    struct stream *open; /* between S and E */
    struct pg_epoch *epoch;
    uint64_t n_messages;
};

/* ---- the sink ---- */

static const char *name_of(const struct batcher *b, uint32_t relation)
{
    const char *name = imap_get(&b->names, relation);

    return name ? name : "?";
}

static int print_relation(void *self, const struct relation *rel, const struct schema *schema, uint64_t lsn,
                          uint64_t *ret_from, struct err *err)
{
    struct batcher *b = self;
    CLEANUP(buf_deinit) struct buf type = {0};

    (void)err;
    (void)lsn;
    mem_free(imap_put(&b->names, rel->oid, mem_printf("%.*s.%.*s", STR_ARG(rel->schema), STR_ARG(rel->name))));
    printf("relation %s identity=%s\n", name_of(b, rel->oid),
           rel->identity == IDENTITY_KEY   ? "key"
           : rel->identity == IDENTITY_ROW ? "row"
                                           : "none");
    for (uint32_t i = 0; i < schema->n_fields; i++) {
        buf_reset(&type);
        type_text(&schema->fields[i].type, &type);
        printf("    %s%.*s %s\n", rel->columns[i].key_seq ? "*" : " ", STR_ARG(schema->fields[i].name), type.p);
    }
    *ret_from = 0;
    return 0;
}

static int print_batch(void *self, uint32_t relation, struct batch *batch, struct err *err)
{
    CLEANUP(batch_freep) struct batch *owned = batch;
    CLEANUP(buf_deinit) struct buf text = {0};
    char at[LSN_TEXT];

    (void)err;
    printf("batch %s rows=%u bytes=%zu\n", name_of(self, relation), batch->n, batch->bytes);
    for (uint32_t i = 0; i < batch->n; i++) {
        buf_reset(&text);
        for (uint32_t c = 0; c < batch->schema->n_fields; c++) {
            buf_printf(&text, "%s%.*s=", c ? ", " : "", STR_ARG(batch->schema->fields[c].name));
            pg_value_text(&batch->cols[c], i, &text);
        }
        printf("  %s #%llu %s %s\n", lsn_text(batch->pos[i].lsn, at), (unsigned long long)batch->pos[i].ordinal,
               batch_op_name(batch->op[i]), text.n ? text.p : "");
    }
    return 0;
}

static int print_truncate(void *self, uint32_t relation, struct position pos, int64_t commit_us, struct err *err)
{
    char at[LSN_TEXT];

    (void)commit_us;
    (void)err;
    printf("truncate %s %s #%llu\n", name_of(self, relation), lsn_text(pos.lsn, at), (unsigned long long)pos.ordinal);
    return 0;
}

static int print_reject(void *self, uint32_t relation, const struct reject *r, struct err *err)
{
    char at[LSN_TEXT];

    (void)err;
    printf("reject %s %s #%llu column %.*s: %.*s: %.*s\n", name_of(self, relation), lsn_text(r->pos.lsn, at),
           (unsigned long long)r->pos.ordinal, STR_ARG(r->column), STR_ARG(r->reason), STR_ARG(r->value));
    return 0;
}

static void print_set_aside(void *self, uint32_t relation, const struct err *why)
{
    printf("set aside %s: %s\n", name_of(self, relation), why->msg);
}

static uint64_t from_the_start(void *self, uint32_t relation)
{
    (void)self;
    (void)relation;
    return 0;
}

static const struct sink_ops printing = {from_the_start, print_relation, print_batch,
                                         print_truncate, print_reject,   print_set_aside};

static int no_relation(void *ctx, uint32_t oid, struct relation **ret, struct err *err)
{
    (void)ctx;
    (void)oid;
    (void)err;
    *ret = NULL;
    return 0;
}

/* ---- transactions ---- */

static void stream_free(struct stream *s)
{
    if (!s)
        return;
    buf_deinit(&s->bytes);
    mem_free(s->pieces);
    mem_free(s);
}

static int keep(struct batcher *b, const struct pgoutput_msg *m, struct str message, struct err *err)
{
    struct stream *s = b->open;

    MEM_GROW(s->pieces, s->n, s->cap);
    s->pieces[s->n++] = (struct piece){m->xid, b->n_messages, s->bytes.n, message.n};
    buf_add_str(&s->bytes, message);
    if (s->bytes.failed)
        return err_set(err, ERR_LIMIT, "a streamed transaction has more than %d MB", STREAM_MAX >> 20);
    return 0;
}

static void begin_piece(struct batcher *b, uint32_t xid)
{
    b->open = imap_get(&b->streams, xid);
    if (b->open)
        return;
    b->open = MEM_NEW(struct stream);
    b->open->bytes.max = STREAM_MAX;
    imap_put(&b->streams, xid, b->open);
}

static void abort_stream(struct batcher *b, const struct pgoutput_msg *m)
{
    struct stream *s = imap_get(&b->streams, m->xid);
    size_t kept = 0;

    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) /* definitions made in it are kept too: they say nothing wrong */
        if (s->pieces[i].xid != m->stream_abort.subxid && m->xid != m->stream_abort.subxid)
            s->pieces[kept++] = s->pieces[i];
    s->n = kept;
}

static int commit_stream(struct batcher *b, const struct pgoutput_msg *commit, struct err *err)
{
    struct stream *s = imap_remove(&b->streams, commit->xid);
    struct pgoutput_msg m;
    int rc = 0;

    pg_epoch_begin(b->epoch, commit->xid, commit->commit.commit_lsn, commit->commit.commit_us);
    for (size_t i = 0; s && rc == 0 && i < s->n; i++) {
        rc = pgoutput_read(s->bytes.p + s->pieces[i].at, s->pieces[i].n, true, &m, err);
        if (rc == 0)
            rc = pg_epoch_add(b->epoch, &m, s->pieces[i].arrival, err);
    }
    stream_free(s);
    return rc;
}

static int end_transaction(struct batcher *b, const struct pgoutput_msg *m, struct err *err)
{
    char at[LSN_TEXT];

    TRY(pg_epoch_flush(b->epoch, err));
    printf("commit %s\n", lsn_text(m->commit.commit_lsn, at));
    return 0;
}

static int take(struct batcher *b, struct str message, struct err *err)
{
    struct pgoutput_msg m;

    b->n_messages++;
    TRY(pgoutput_read(message.p, message.n, b->open != NULL, &m, err));
    switch (m.tag) {
    case 'B':
        pg_epoch_begin(b->epoch, m.xid, m.begin.final_lsn, m.begin.commit_us);
        return 0;
    case 'S':
        begin_piece(b, m.xid);
        return 0;
    case 'E':
        b->open = NULL;
        return 0;
    case 'A':
        abort_stream(b, &m);
        return 0;
    case 'c':
        TRY(commit_stream(b, &m, err));
        return end_transaction(b, &m, err);
    case 'C':
        return end_transaction(b, &m, err);
    case 'b':
    case 'P':
    case 'p':
    case 'K':
    case 'r':
        return err_set(err, ERR_UNSUPPORTED,
                       "a prepared transaction: sync does not ask for them, and reads them at their "
                       "commit");
    default:
        return b->open ? keep(b, &m, message, err) : pg_epoch_add(b->epoch, &m, b->n_messages, err);
    }
}

int debug_batch(FILE *in, struct err *err)
{
    CLEANUP(debug_input_deinit) struct debug_input input = {.in = in};
    struct batcher b = {0};
    struct pg_epoch_options options = {.sink = {&printing, &b}, .live = no_relation, .known = no_relation};
    size_t cursor = 0;
    uint64_t lsn;
    struct str message;
    void *p;
    int rc;

    b.epoch = pg_epoch_new(&options);
    while ((rc = debug_input_next(&input, &lsn, &message, err)) == 0) {
        rc = take(&b, message, err);
        if (rc < 0) {
            err_wrap(err, "message %llu", (unsigned long long)input.n);
            break;
        }
    }
    if (rc == 1)
        rc = pg_epoch_flush(b.epoch, err);
    pg_epoch_free(b.epoch);
    while (imap_next(&b.streams, &cursor, NULL, &p) == 0)
        stream_free(p);
    imap_deinit(&b.streams);
    cursor = 0;
    while (imap_next(&b.names, &cursor, NULL, &p) == 0)
        mem_free(p);
    imap_deinit(&b.names);
    return rc < 0 ? rc : 0;
}
