/*
 * pgoutput messages, decoded in place.
 *
 * All integers are big-endian; `str` ends with a 0 byte; `xid?` is there only inside a stream block (S … E); times are
 * microseconds since 2000-01-01 UTC (given as since 1970).
 *
 *   B  lsn:8 final  time:8  xid:4                             begin
 *   C  flags:1  lsn:8 commit  lsn:8 end  time:8               commit
 *   O  lsn:8 on the origin  str name                          origin
 *   R  xid?  oid:4  str schema  str name  identity:1  n:2     relation, n times: flags:1 str name oid:4 typmod:4
 *   Y  xid?  oid:4  str schema  str name                      type
 *   I  xid?  oid:4  'N' tuple                                 insert
 *   U  xid?  oid:4  ['K'|'O' tuple]  'N' tuple                update
 *   D  xid?  oid:4  'K'|'O' tuple                             delete
 *   T  xid?  n:4  options:1 (1 cascade, 2 restart)  n × oid:4 truncate
 *   M  xid?  flags:1 (1 transactional)  lsn:8  str prefix  n:4  n bytes
 *   S  xid:4  first:1                                         stream start        (protocol 2)
 *   E                                                         stream stop
 *   c  xid:4  flags:1  lsn:8 commit  lsn:8 end  time:8        stream commit
 *   A  xid:4  subxid:4  [lsn:8  time:8]                       stream abort        ([] protocol 4, parallel)
 *   b  lsn:8 prepare  lsn:8 end  time:8  xid:4  str gid       begin prepare       (protocol 3)
 *   P  flags:1  then as b                                     prepare
 *   K  flags:1  lsn:8 commit  lsn:8 end  time:8  xid:4  str gid    commit prepared
 *   r  flags:1  lsn:8 prepare end  lsn:8 rollback end  time:8 prepare  time:8 rollback  xid:4  str gid
 *   p  flags:1  then as b                                     stream prepare
 *
 *   tuple = n:2, n times: 'n' | 'u' | 't' len:4 bytes | 'b' len:4 bytes
 *
 * A tuple is walked once here, to find its end and to prove its lengths, so that the inline iterators need no checks.
 */
#include "codec/pgoutput.h"

/* From PostgreSQL's epoch to ours; a time past the range of 64 bits is nonsense that marks the message as broken. */
static int64_t read_time(struct reader *r)
{
    int64_t us;

    if (__builtin_add_overflow((int64_t)reader_be64(r), INT64_C(946684800000000), &us))
        r->failed = true;
    return us;
}

static int read_tuple(struct reader *r, struct pgoutput_tuple *ret, struct err *err)
{
    uint16_t n = reader_be16(r);

    if (n > PGOUTPUT_MAX_COLUMNS)
        return err_set(err, ERR_LIMIT, "a row of %u columns: PostgreSQL has at most %d", n, PGOUTPUT_MAX_COLUMNS);
    *ret = (struct pgoutput_tuple){n, r->p};
    for (uint16_t i = 0; i < n; i++) {
        uint8_t kind = reader_u8(r);
        if (kind == 't' || kind == 'b')
            reader_bytes(r, reader_be32(r));
        else if (kind != 'n' && kind != 'u' && !r->failed)
            return err_set(err, ERR_INPUT, "column %u of a row has the unknown kind 0x%02x", i + 1u, kind);
    }
    return 0;
}

/* Insert, update, delete: the old row, if any, then the new row, if any. */
static int read_row(struct reader *r, char tag, struct pgoutput_row *ret, struct err *err)
{
    *ret = (struct pgoutput_row){.relation_oid = reader_be32(r)};
    char kind = (char)reader_u8(r);
    if (tag != 'I' && (kind == 'K' || kind == 'O')) {
        ret->old_kind = kind;
        TRY(read_tuple(r, &ret->old_row, err));
        if (tag == 'D')
            return 0;
        kind = (char)reader_u8(r);
    }
    if (!r->failed && (kind != 'N' || tag == 'D'))
        return err_set(err, ERR_INPUT, "a '%c' message has a row of the unexpected kind 0x%02x", tag, (uint8_t)kind);
    ret->has_new = true;
    return read_tuple(r, &ret->new_row, err);
}

static int read_relation(struct reader *r, struct pgoutput_relation *ret, struct err *err)
{
    ret->oid = reader_be32(r);
    ret->schema = reader_cstr(r);
    ret->name = reader_cstr(r);
    ret->identity = (char)reader_u8(r);
    uint16_t n = reader_be16(r);
    if (n > PGOUTPUT_MAX_COLUMNS)
        return err_set(err, ERR_LIMIT, "a relation of %u columns: PostgreSQL has at most %d", n, PGOUTPUT_MAX_COLUMNS);
    ret->columns = (struct pgoutput_columns){n, r->p};
    for (uint16_t i = 0; i < n; i++) {
        reader_u8(r);
        reader_cstr(r);
        reader_bytes(r, 8);
    }
    return 0;
}

bool pgoutput_columns_next(struct pgoutput_columns *c, struct pgoutput_column *ret)
{
    if (!c->n)
        return false;
    c->n--;
    ret->key = *c->p & 1;
    ret->name = str_of((const char *)c->p + 1);
    struct reader r = reader_of(c->p + 1 + ret->name.n + 1, 8); /* there: read_relation has been over it */
    ret->type_oid = reader_be32(&r);
    ret->typmod = (int32_t)reader_be32(&r);
    c->p = r.p;
    return true;
}

static void read_truncate(struct reader *r, struct pgoutput_msg *m)
{
    m->truncate.n = reader_be32(r);
    uint8_t options = reader_u8(r);
    m->truncate.cascade = options & 1;
    m->truncate.restart_identity = options & 2;
    m->truncate.oids = reader_bytes(r, (size_t)m->truncate.n * 4);
}

static void read_message(struct reader *r, struct pgoutput_msg *m)
{
    m->message.transactional = reader_u8(r) & 1;
    m->message.lsn = reader_be64(r);
    m->message.prefix = reader_cstr(r);
    uint32_t n = reader_be32(r);
    m->message.content = str_make(reader_bytes(r, n), n);
}

static void read_commit(struct reader *r, struct pgoutput_msg *m)
{
    reader_u8(r); /* flags: none defined */
    m->commit.commit_lsn = reader_be64(r);
    m->commit.end_lsn = reader_be64(r);
    m->commit.commit_us = read_time(r);
}

static void read_stream_abort(struct reader *r, struct pgoutput_msg *m)
{
    m->xid = reader_be32(r);
    m->stream_abort.subxid = reader_be32(r);
    m->stream_abort.has_time = reader_left(r) > 0;
    if (m->stream_abort.has_time) {
        m->stream_abort.abort_lsn = reader_be64(r);
        m->stream_abort.abort_us = read_time(r);
    }
}

static void read_prepare(struct reader *r, struct pgoutput_msg *m)
{
    if (m->tag != 'b')
        reader_u8(r); /* flags: none defined */
    m->prepare.lsn = reader_be64(r);
    m->prepare.end_lsn = reader_be64(r);
    m->prepare.us = read_time(r);
    m->xid = reader_be32(r);
    m->prepare.gid = reader_cstr(r);
}

static void read_rollback_prepared(struct reader *r, struct pgoutput_msg *m)
{
    reader_u8(r); /* flags: none defined */
    m->rollback_prepared.prepare_end_lsn = reader_be64(r);
    m->rollback_prepared.rollback_end_lsn = reader_be64(r);
    m->rollback_prepared.prepare_us = read_time(r);
    m->rollback_prepared.rollback_us = read_time(r);
    m->xid = reader_be32(r);
    m->rollback_prepared.gid = reader_cstr(r);
}

/* Messages about tables and logical messages: those that carry an xid inside a stream block. */
static int read_in_stream(struct reader *r, bool in_stream, struct pgoutput_msg *m, struct err *err)
{
    if (in_stream)
        m->xid = reader_be32(r);
    switch (m->tag) {
    case 'R':
        return read_relation(r, &m->relation, err);
    case 'Y':
        m->type.oid = reader_be32(r);
        m->type.schema = reader_cstr(r);
        m->type.name = reader_cstr(r);
        return 0;
    case 'T':
        read_truncate(r, m);
        return 0;
    case 'M':
        read_message(r, m);
        return 0;
    default:
        return read_row(r, m->tag, &m->row, err);
    }
}

static int read_any(struct reader *r, bool in_stream, struct pgoutput_msg *m, struct err *err)
{
    switch (m->tag) {
    case 'B':
        m->begin.final_lsn = reader_be64(r);
        m->begin.commit_us = read_time(r);
        m->xid = reader_be32(r);
        return 0;
    case 'c':
        m->xid = reader_be32(r);
        read_commit(r, m);
        return 0;
    case 'C':
        read_commit(r, m);
        return 0;
    case 'O':
        m->origin.commit_lsn = reader_be64(r);
        m->origin.name = reader_cstr(r);
        return 0;
    case 'S':
        m->xid = reader_be32(r);
        m->stream_start.first = reader_u8(r);
        return 0;
    case 'E':
        return 0;
    case 'A':
        read_stream_abort(r, m);
        return 0;
    case 'b':
    case 'P':
    case 'p':
    case 'K':
        read_prepare(r, m);
        return 0;
    case 'r':
        read_rollback_prepared(r, m);
        return 0;
    case 'R':
    case 'Y':
    case 'I':
    case 'U':
    case 'D':
    case 'T':
    case 'M':
        return read_in_stream(r, in_stream, m, err);
    default:
        return err_set(err, ERR_UNSUPPORTED, "unknown replication message 0x%02x", (uint8_t)m->tag);
    }
}

int pgoutput_read(const void *p, size_t n, bool in_stream, struct pgoutput_msg *ret, struct err *err)
{
    struct reader r = reader_of(p, n);
    struct pgoutput_msg m = {.tag = (char)reader_u8(&r)};

    if (r.failed)
        return err_set(err, ERR_INPUT, "an empty replication message");
    TRY(read_any(&r, in_stream, &m, err));
    if (r.failed)
        return err_set(err, ERR_INPUT, "a '%c' replication message of %zu bytes is cut short or broken", m.tag, n);
    if (reader_left(&r))
        return err_set(err, ERR_INPUT, "a '%c' replication message of %zu bytes has %zu too many", m.tag, n,
                       reader_left(&r));
    *ret = m;
    return 0;
}
