/* The hop "decode": each message of the replication stream in words, with the names of the relations seen so far. */
#include "cli/debug.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/pgoutput.h"
#include "model/position.h"

enum { VALUE_SHOWN = 200 };

struct names { /* of a relation */
    struct arena arena;
    struct str table;
    struct str *columns;
    uint32_t n;
};

struct debug_printer {
    struct imap relations; /* oid → struct names * */
    bool in_stream;
};

struct debug_printer *debug_printer_new(bool in_stream)
{
    struct debug_printer *p = MEM_NEW(struct debug_printer);

    p->in_stream = in_stream;
    return p;
}

static void names_free(struct names *n)
{
    if (!n)
        return;
    arena_deinit(&n->arena);
    mem_free(n);
}

void debug_printer_free(struct debug_printer *p)
{
    size_t cursor = 0;
    void *n;

    if (!p)
        return;
    while (imap_next(&p->relations, &cursor, NULL, &n) == 0)
        names_free(n);
    imap_deinit(&p->relations);
    mem_free(p);
}

static void remember(struct debug_printer *p, const struct pgoutput_relation *r)
{
    struct names *n = MEM_NEW(struct names);
    struct pgoutput_columns columns = r->columns;
    struct pgoutput_column c;
    CLEANUP(mem_freep) char *name = mem_printf("%.*s.%.*s", STR_ARG(r->schema), STR_ARG(r->name));

    n->table = arena_str(&n->arena, str_of(name));
    n->columns = ARENA_NEW_N(&n->arena, struct str, columns.n);
    while (pgoutput_columns_next(&columns, &c))
        n->columns[n->n++] = arena_str(&n->arena, c.name);
    names_free(imap_put(&p->relations, r->oid, n));
}

static void print_bytes(struct str s, FILE *out)
{
    size_t n = MIN(s.n, (size_t)VALUE_SHOWN);

    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c == '\\' || c == '\'')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
    if (n < s.n)
        fprintf(out, "… (%zu bytes)", s.n);
}

static void print_value(const struct pgoutput_value *v, FILE *out)
{
    if (v->kind == 'n') {
        fputs("NULL", out);
    } else if (v->kind == 'u') {
        fputs("(unchanged)", out);
    } else if (v->kind == 't') {
        fputc('\'', out);
        print_bytes(v->bytes, out);
        fputc('\'', out);
    } else {
        fputs("\\x", out);
        for (size_t i = 0; i < MIN(v->bytes.n, (size_t)VALUE_SHOWN); i++)
            fprintf(out, "%02x", (uint8_t)v->bytes.p[i]);
    }
}

static void print_tuple(const struct names *names, const char *what, struct pgoutput_tuple tuple, FILE *out)
{
    struct pgoutput_value v;

    fprintf(out, " %s(", what);
    for (uint32_t i = 0; pgoutput_tuple_next(&tuple, &v); i++) {
        if (names && i < names->n)
            fprintf(out, "%s%.*s=", i ? ", " : "", STR_ARG(names->columns[i]));
        else
            fprintf(out, "%s%u=", i ? ", " : "", i + 1);
        print_value(&v, out);
    }
    fputc(')', out);
}

static void print_row(struct debug_printer *p, const struct pgoutput_msg *m, FILE *out)
{
    const struct names *names = imap_get(&p->relations, m->row.relation_oid);

    fputs(m->tag == 'I' ? "INSERT" : m->tag == 'U' ? "UPDATE" : "DELETE", out);
    if (names)
        fprintf(out, " %.*s", STR_ARG(names->table));
    else
        fprintf(out, " relation %u", m->row.relation_oid);
    if (m->row.old_kind)
        print_tuple(names, m->row.old_kind == 'K' ? "key" : "old", m->row.old_row, out);
    if (m->row.has_new)
        print_tuple(names, "new", m->row.new_row, out);
}

static void print_relation(const struct pgoutput_relation *r, FILE *out)
{
    struct pgoutput_columns columns = r->columns;
    struct pgoutput_column c;

    fprintf(out, "RELATION %u %.*s.%.*s identity=%c", r->oid, STR_ARG(r->schema), STR_ARG(r->name), r->identity);
    while (pgoutput_columns_next(&columns, &c))
        fprintf(out, "\n    %s%.*s type=%u typmod=%d", c.key ? "*" : " ", STR_ARG(c.name), c.type_oid, c.typmod);
}

static void print_end(const char *what, uint64_t lsn, uint64_t end_lsn, int64_t us, FILE *out)
{
    char a[LSN_TEXT], b[LSN_TEXT], t[CLOCK_TEXT];

    fprintf(out, "%s lsn=%s end=%s time=%s", what, lsn_text(lsn, a), lsn_text(end_lsn, b), clock_text(us, t));
}

static void print_prepared(const struct pgoutput_msg *m, FILE *out)
{
    const char *what = m->tag == 'b'   ? "BEGIN PREPARE"
                       : m->tag == 'P' ? "PREPARE"
                       : m->tag == 'p' ? "STREAM PREPARE"
                                       : "COMMIT PREPARED";

    if (m->tag == 'r') {
        print_end("ROLLBACK PREPARED", m->rollback_prepared.prepare_end_lsn, m->rollback_prepared.rollback_end_lsn,
                  m->rollback_prepared.rollback_us, out);
        fprintf(out, " gid=%.*s", STR_ARG(m->rollback_prepared.gid));
        return;
    }
    print_end(what, m->prepare.lsn, m->prepare.end_lsn, m->prepare.us, out);
    fprintf(out, " gid=%.*s", STR_ARG(m->prepare.gid));
}

static void print_truncate(struct debug_printer *p, const struct pgoutput_msg *m, FILE *out)
{
    fprintf(out, "TRUNCATE%s%s", m->truncate.cascade ? " cascade" : "",
            m->truncate.restart_identity ? " restart_identity" : "");
    for (uint32_t i = 0; i < m->truncate.n; i++) {
        uint32_t oid = pgoutput_truncate_oid(m, i);
        const struct names *names = imap_get(&p->relations, oid);
        fprintf(out, names ? " %u %.*s" : " %u", oid, names ? (int)names->table.n : 0, names ? names->table.p : "");
    }
}

static void print_message(const struct pgoutput_msg *m, FILE *out)
{
    char at[LSN_TEXT];

    fprintf(out, "MESSAGE%s lsn=%s prefix='", m->message.transactional ? " transactional" : "",
            lsn_text(m->message.lsn, at));
    print_bytes(m->message.prefix, out);
    fputs("' content='", out);
    print_bytes(m->message.content, out);
    fputc('\'', out);
}

static void print_one(struct debug_printer *p, const struct pgoutput_msg *m, FILE *out)
{
    char at[LSN_TEXT], t[CLOCK_TEXT];

    switch (m->tag) {
    case 'B':
        fprintf(out, "BEGIN commit_lsn=%s time=%s", lsn_text(m->begin.final_lsn, at),
                clock_text(m->begin.commit_us, t));
        break;
    case 'C':
        print_end("COMMIT", m->commit.commit_lsn, m->commit.end_lsn, m->commit.commit_us, out);
        break;
    case 'c':
        print_end("STREAM COMMIT", m->commit.commit_lsn, m->commit.end_lsn, m->commit.commit_us, out);
        break;
    case 'O':
        fprintf(out, "ORIGIN commit_lsn=%s name=%.*s", lsn_text(m->origin.commit_lsn, at), STR_ARG(m->origin.name));
        break;
    case 'R':
        print_relation(&m->relation, out);
        break;
    case 'Y':
        fprintf(out, "TYPE %u %.*s.%.*s", m->type.oid, STR_ARG(m->type.schema), STR_ARG(m->type.name));
        break;
    case 'T':
        print_truncate(p, m, out);
        break;
    case 'M':
        print_message(m, out);
        break;
    case 'S':
        fprintf(out, "STREAM START%s", m->stream_start.first ? " first" : "");
        break;
    case 'E':
        fputs("STREAM STOP", out);
        break;
    case 'A':
        fprintf(out, "STREAM ABORT subxid=%u", m->stream_abort.subxid);
        break;
    case 'I':
    case 'U':
    case 'D':
        print_row(p, m, out);
        break;
    default:
        print_prepared(m, out);
    }
}

void debug_print(struct debug_printer *p, uint64_t lsn, struct str message, FILE *out)
{
    struct pgoutput_msg m;
    struct err why;
    char at[LSN_TEXT];

    if (lsn)
        fprintf(out, "%-12s ", lsn_text(lsn, at));
    if (pgoutput_read(message.p, message.n, p->in_stream, &m, &why)) {
        fprintf(out, "BROKEN: %s\n", why.msg);
        return;
    }
    if (m.tag == 'R')
        remember(p, &m.relation);
    if (m.tag == 'S' || m.tag == 'E')
        p->in_stream = m.tag == 'S';
    print_one(p, &m, out);
    if (m.xid)
        fprintf(out, " xid=%u", m.xid);
    fputc('\n', out);
}

int debug_decode(FILE *in, bool in_stream, struct err *err)
{
    CLEANUP(debug_input_deinit) struct debug_input input = {.in = in};
    CLEANUP(debug_printer_freep) struct debug_printer *p = debug_printer_new(in_stream);
    uint64_t lsn;
    struct str message;
    int rc;

    while ((rc = debug_input_next(&input, &lsn, &message, err)) == 0)
        debug_print(p, lsn, message, stdout);
    return rc < 0 ? rc : 0;
}
