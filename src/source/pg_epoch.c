/*
 * Messages → batches.
 *
 *   R  remembered; what it says is worked out, and announced to the sink, by the first row after it that the sink wants.
 *      So messages from before the sink's position (after a restart, or a rewind for another table) change nothing.
 *      A streamed transaction comes at its commit, but the server sent its messages earlier: an R of it that is older than
 *      what others were told meanwhile (a column list may change without a lock) is in force until the transaction ends
 *   I  one row OP_INSERT
 *   U  one row OP_UPDATE, after an OP_BEFORE with the old image where the row is not found by the new one's key
 *   D  one row OP_DELETE
 *   T  the open batch, then truncate
 *
 * A value that was not sent ('u') is taken from the old image where that is whole (REPLICA IDENTITY FULL), else it is
 * missing in the batch, and the sink finds it in the row that it has.
 */
#include "source/pg_epoch.h"

#include "base/map.h"
#include "base/mem.h"
#include "codec/pg_value.h"

#include <assert.h>

/* A Relation message. */
struct definition {
    struct buf said;               /* as it is compared with the next */
    struct buf heard;              /* its bytes, and … */
    struct pgoutput_relation last; /* … the message itself, pointing into them */
    uint64_t arrival;
};

struct epoch_table {
    uint32_t oid;
    struct relation *rel;
    struct schema *schema;
    struct pg_value_codec *codecs; /* by relation column */
    int16_t *map;                  /* message column → relation column, -1: not replicated */
    uint32_t n_map;
    struct definition now;
    struct definition *later; /* what is in force again after this transaction, NULL: `now` */
    bool stale;               /* `now` is not worked out yet */
    bool repeated;            /* it was said once more since */
    bool knows_from;
    uint64_t from;          /* changes up to here are in the sink */
    uint32_t truncated_xid; /* the last transaction that truncated it; 0 = none was seen */
    struct batch *batch;
};

struct pg_epoch {
    struct pg_epoch_options opt;
    struct imap tables; /* oid → struct epoch_table * */
    struct position pos;
    int64_t commit_us;
    uint32_t xid;
    uint64_t n_changes;
    size_t n_later; /* tables that have a definition set aside */
};

static void definition_deinit(struct definition *d)
{
    buf_deinit(&d->said);
    buf_deinit(&d->heard);
}

static void table_free(struct epoch_table *t)
{
    if (!t)
        return;
    relation_unref(t->rel);
    schema_unref(t->schema);
    mem_free(t->codecs);
    mem_free(t->map);
    definition_deinit(&t->now);
    if (t->later)
        definition_deinit(t->later);
    mem_free(t->later);
    batch_free(t->batch);
    mem_free(t);
}

struct pg_epoch *pg_epoch_new(const struct pg_epoch_options *opt)
{
    struct pg_epoch *e = MEM_NEW(struct pg_epoch);

    e->opt = *opt;
    if (!e->opt.batch_rows)
        e->opt.batch_rows = 8192;
    if (!e->opt.batch_bytes)
        e->opt.batch_bytes = 4 << 20;
    return e;
}

void pg_epoch_free(struct pg_epoch *e)
{
    size_t cursor = 0;
    void *t;

    if (!e)
        return;
    while (imap_next(&e->tables, &cursor, NULL, &t) == 0)
        table_free(t);
    imap_deinit(&e->tables);
    mem_free(e);
}

/* The transaction that brought older definitions has ended. */
static void restore_later(struct pg_epoch *e)
{
    size_t cursor = 0;
    void *p;

    while (e->n_later && imap_next(&e->tables, &cursor, NULL, &p) == 0) {
        struct epoch_table *t = p;
        if (!t->later)
            continue;
        if (t->later->arrival > t->now.arrival) { /* else the transaction was told of it, too */
            definition_deinit(&t->now);
            t->now = *t->later;
            t->stale = true;
        } else {
            definition_deinit(t->later);
        }
        mem_free(TAKE_PTR(t->later));
        e->n_later--;
    }
}

void pg_epoch_begin(struct pg_epoch *e, uint32_t xid, uint64_t commit_lsn, int64_t commit_us)
{
    restore_later(e);
    e->xid = xid;
    e->pos = (struct position){.lsn = commit_lsn};
    e->commit_us = commit_us;
}

uint64_t pg_epoch_changes(const struct pg_epoch *e)
{
    return e->n_changes;
}

uint32_t pg_epoch_truncated_xid(const struct pg_epoch *e, uint32_t oid)
{
    const struct epoch_table *t = imap_get(&e->tables, oid);

    return t ? t->truncated_xid : 0;
}

void pg_epoch_forget_sink(struct pg_epoch *e)
{
    size_t cursor = 0;
    void *t;

    while (imap_next(&e->tables, &cursor, NULL, &t) == 0) {
        struct epoch_table *table = t;
        batch_free(TAKE_PTR(table->batch));
        relation_unref(TAKE_PTR(table->rel)); /* what the lake remembers counts */
        table->stale = true;
        table->knows_from = false;
    }
}

static int table_flush(struct pg_epoch *e, struct epoch_table *t, struct err *err)
{
    if (!t->batch || !t->batch->n)
        return 0;
    e->n_changes += t->batch->n;
    return e->opt.sink.ops->write(e->opt.sink.self, t->oid, TAKE_PTR(t->batch), err);
}

int pg_epoch_flush(struct pg_epoch *e, struct err *err)
{
    size_t cursor = 0;
    void *t;

    while (imap_next(&e->tables, &cursor, NULL, &t) == 0)
        TRY(table_flush(e, t, err));
    return 0;
}

/* What of a Relation message means something to us, in a form that can be compared. */
static void describe(const struct pgoutput_relation *r, struct buf *out)
{
    struct pgoutput_columns cols = r->columns;
    struct pgoutput_column col;

    buf_printf(out, "%.*s.%.*s %c", STR_ARG(r->schema), STR_ARG(r->name), r->identity);
    while (pgoutput_columns_next(&cols, &col))
        buf_printf(out, "\n%d %u %d %.*s", col.key, col.type_oid, col.typmod, STR_ARG(col.name));
}

/* Keeps the message for when it is needed. */
static void hear(struct definition *d, const struct pgoutput_relation *msg)
{
    struct pgoutput_columns cols = msg->columns;
    struct pgoutput_column col;

    while (pgoutput_columns_next(&cols, &col))
        ;
    size_t n_cols = (size_t)(cols.p - msg->columns.p);
    buf_add(&d->heard, msg->columns.p, n_cols);
    buf_add_str(&d->heard, msg->schema);
    buf_add_str(&d->heard, msg->name);
    d->last = *msg;
    d->last.columns.p = (const uint8_t *)d->heard.p;
    d->last.schema = str_make(d->heard.p + n_cols, msg->schema.n);
    d->last.name = str_make(d->heard.p + n_cols + msg->schema.n, msg->name.n);
}

static void adopt_relation(struct epoch_table *t, struct relation *rel)
{
    relation_unref(t->rel);
    schema_unref(t->schema);
    t->rel = rel;
    t->schema = pg_schema_of(rel);
    t->codecs = mem_realloc_n(t->codecs, rel->n_columns + 1, sizeof *t->codecs);
    for (uint32_t i = 0; i < rel->n_columns; i++)
        t->codecs[i] = pg_value_codec_of(&rel->columns[i]);
}

static struct epoch_table *find_or_add(struct pg_epoch *e, uint32_t oid)
{
    struct epoch_table *t = imap_get(&e->tables, oid);

    if (t)
        return t;
    t = MEM_NEW(struct epoch_table);
    t->oid = oid;
    imap_put(&e->tables, oid, t);
    return t;
}

static void add_relation(struct pg_epoch *e, const struct pgoutput_relation *msg, uint64_t arrival)
{
    CLEANUP(definition_deinit) struct definition d = {.arrival = arrival};
    struct epoch_table *t = find_or_add(e, msg->oid);

    describe(msg, &d.said);
    if (str_eq(buf_str(&t->now.said), buf_str(&d.said))) {
        t->repeated = true; /* it may mean another column of the same name */
        t->now.arrival = MAX(t->now.arrival, arrival);
        return;
    }
    hear(&d, msg);
    if (arrival < t->now.arrival && !t->later) {
        t->later = MEM_NEW(struct definition);
        *t->later = t->now;
        t->now = (struct definition){0};
        e->n_later++;
    }
    definition_deinit(&t->now);
    t->now = d;
    d = (struct definition){0};
    t->stale = true;
}

/* Works out what the last Relation message says, and tells the sink. */
static int announce(struct pg_epoch *e, struct epoch_table *t, struct err *err)
{
    CLEANUP(relation_unrefp) struct relation *prev = t->rel ? relation_ref(t->rel) : NULL;
    CLEANUP(relation_unrefp) struct relation *live = NULL;
    CLEANUP(mem_freep) int16_t *map = MEM_NEW_N(int16_t, t->now.last.columns.n + 1u);

    if (!prev)
        TRY(e->opt.known(e->opt.ctx, t->oid, &prev, err));
    TRY(e->opt.live(e->opt.ctx, t->oid, &live, err));
    CLEANUP(relation_unrefp)
    struct relation *now = pg_schema_reconcile(prev, live, &t->now.last, &e->opt.columns, map);
    bool repeated = !t->stale;
    t->stale = t->repeated = false;
    if (repeated && t->rel && relation_same(t->rel, now))
        return 0;
    TRY(table_flush(e, t, err));
    t->n_map = t->now.last.columns.n;
    mem_free(t->map);
    t->map = TAKE_PTR(map);
    adopt_relation(t, TAKE_PTR(now));
    return e->opt.sink.ops->relation(e->opt.sink.self, t->rel, t->schema, e->pos.lsn, &t->from, err);
}

/* Is a change of the open transaction wanted? Then the table is ready for it. */
static int is_wanted(struct pg_epoch *e, struct epoch_table *t, bool *ret, struct err *err)
{
    if (!t->knows_from) {
        t->from = e->opt.sink.ops->from(e->opt.sink.self, t->oid);
        t->knows_from = true;
    }
    if ((t->stale || t->repeated) && e->pos.lsn > t->from)
        TRY(announce(e, t, err));
    *ret = e->pos.lsn > t->from;
    return 0;
}

/* A value that its type cannot hold: NULL is there already, the value goes to the dead letters. */
static int reject_value(struct pg_epoch *e, struct epoch_table *t, uint32_t col, const struct pgoutput_value *v,
                        const struct err *why, struct err *err)
{
    struct reject r = {e->pos, e->commit_us, t->rel->columns[col].name, v->bytes, str_of(why->msg)};

    if (v->kind == 'b')
        r.value = STR("(binary)");
    return e->opt.sink.ops->reject(e->opt.sink.self, t->oid, &r, err);
}

static int read_value(struct pg_epoch *e, struct epoch_table *t, uint32_t col, const struct pgoutput_value *v,
                      uint32_t row, struct err *err)
{
    struct err why;
    int rc = pg_value_read(&t->codecs[col], v->kind, v->bytes, t->batch, &t->batch->cols[col], row, &why);
    char at[LSN_TEXT];

    if (rc == 0)
        return 0;
    if (rc == ERR_LIMIT)
        return reject_value(e, t, col, v, &why, err);
    err_wrap(&why, "table %.*s.%.*s, column %.*s, at %s", STR_ARG(t->rel->schema), STR_ARG(t->rel->name),
             STR_ARG(t->rel->columns[col].name), lsn_text(e->pos.lsn, at));
    if (rc == ERR_UNSUPPORTED) {
        e->opt.sink.ops->set_aside(e->opt.sink.self, t->oid, &why);
        t->from = UINT64_MAX;
        return 0;
    }
    if (err)
        *err = why;
    return rc;
}

/* One row of the batch from a tuple. `whole_old`: the old image, when it has every column, else NULL. `key_only`: only
 * the key columns of the tuple mean something. */
static int add_tuple(struct pg_epoch *e, struct epoch_table *t, enum batch_op op, struct pgoutput_tuple tuple,
                     const struct pgoutput_tuple *whole_old, bool key_only, struct err *err)
{
    struct pgoutput_tuple old = whole_old ? *whole_old : (struct pgoutput_tuple){0};
    struct pgoutput_value v, o;

    if (tuple.n != t->n_map)
        return err_set(err, ERR_INPUT, "a row of %.*s.%.*s has %u columns where its relation has %u",
                       STR_ARG(t->rel->schema), STR_ARG(t->rel->name), tuple.n, t->n_map);
    if (!t->batch)
        t->batch = batch_new(t->schema, 256);
    uint32_t row = batch_add_row(t->batch, op, e->pos, e->commit_us);
    for (uint32_t i = 0; pgoutput_tuple_next(&tuple, &v); i++) {
        bool has_old = pgoutput_tuple_next(&old, &o);
        int col = t->map[i];
        if (col < 0 || (key_only && !t->rel->columns[col].key_seq))
            continue;
        if (v.kind == 'u' && has_old)
            v = o;
        if (v.kind == 'u')
            column_set_missing(&t->batch->cols[col], row);
        else if (v.kind != 'n')
            TRY(read_value(e, t, (uint32_t)col, &v, row, err));
    }
    return 0;
}

/* Do old and new image differ in a key column? Their bytes have the same form, so they can be compared as they are. */
static bool key_changed(const struct epoch_table *t, struct pgoutput_tuple old, struct pgoutput_tuple new_row)
{
    struct pgoutput_value o, n;

    for (uint32_t i = 0; pgoutput_tuple_next(&old, &o) && pgoutput_tuple_next(&new_row, &n); i++) {
        int col = i < t->n_map ? t->map[i] : -1;
        if (col < 0 || !t->rel->columns[col].key_seq || n.kind == 'u')
            continue;
        if (o.kind != n.kind || !str_eq(o.bytes, n.bytes))
            return true;
    }
    return false;
}

static int add_update(struct pg_epoch *e, struct epoch_table *t, const struct pgoutput_row *row, struct err *err)
{
    bool whole = row->old_kind == 'O';
    bool by_row = t->rel->identity == IDENTITY_ROW;

    if (row->old_kind == 'K' || (whole && (by_row || key_changed(t, row->old_row, row->new_row))))
        TRY(add_tuple(e, t, OP_BEFORE, row->old_row, NULL, !by_row, err));
    return add_tuple(e, t, OP_UPDATE, row->new_row, whole ? &row->old_row : NULL, false, err);
}

static int add_row(struct pg_epoch *e, const struct pgoutput_msg *msg, struct err *err)
{
    struct epoch_table *t = imap_get(&e->tables, msg->row.relation_oid);
    char at[LSN_TEXT];
    bool wanted;
    int rc;

    e->pos.ordinal++;
    /* The log's oldest segments may have gone with the description: then everything has the change already. */
    if (!t && e->pos.lsn <= e->opt.sink.ops->from(e->opt.sink.self, msg->row.relation_oid))
        return 0;
    if (!t)
        return err_set(err, ERR_INPUT, "a change at %s names relation %u, which was not described before",
                       lsn_text(e->pos.lsn, at), msg->row.relation_oid);
    TRY(is_wanted(e, t, &wanted, err));
    if (!wanted)
        return 0;
    switch (msg->tag) {
    case 'I':
        rc = add_tuple(e, t, OP_INSERT, msg->row.new_row, NULL, false, err);
        break;
    case 'U':
        rc = add_update(e, t, &msg->row, err);
        break;
    default:
        rc = add_tuple(e, t, OP_DELETE, msg->row.old_row, NULL,
                       t->rel->identity != IDENTITY_ROW && !(e->opt.whole_deletes && msg->row.old_kind == 'O'), err);
    }
    TRY(rc);
    if (t->batch->n >= e->opt.batch_rows || t->batch->bytes >= e->opt.batch_bytes)
        return table_flush(e, t, err);
    return 0;
}

static int add_truncate(struct pg_epoch *e, const struct pgoutput_msg *msg, struct err *err)
{
    e->pos.ordinal++;
    for (uint32_t i = 0; i < msg->truncate.n; i++) {
        struct epoch_table *t = imap_get(&e->tables, pgoutput_truncate_oid(msg, i));
        bool wanted = false;
        if (t)
            t->truncated_xid = msg->xid ? msg->xid : e->xid;
        if (t)
            TRY(is_wanted(e, t, &wanted, err));
        if (!wanted)
            continue;
        TRY(table_flush(e, t, err));
        TRY(e->opt.sink.ops->truncate(e->opt.sink.self, t->oid, e->pos, e->commit_us, err));
    }
    return 0;
}

int pg_epoch_add(struct pg_epoch *e, const struct pgoutput_msg *msg, uint64_t arrival, struct err *err)
{
    switch (msg->tag) {
    case 'R':
        add_relation(e, &msg->relation, arrival);
        return 0;
    case 'I':
    case 'U':
    case 'D':
        return add_row(e, msg, err);
    case 'T':
        return add_truncate(e, msg, err);
    default:
        return 0;
    }
}
