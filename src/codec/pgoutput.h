/*
 * PostgreSQL's logical replication messages (output plugin pgoutput, protocol versions 1 to 4), decoded in place.
 *
 * Source: PostgreSQL manual, "Logical Replication Message Formats"; the formats are drawn in pgoutput.c. A message is
 * what one XLogData frame carries. Nothing is copied or allocated: every `struct str` and tuple points into the input.
 */
#ifndef SLUICE_CODEC_PGOUTPUT_H
#define SLUICE_CODEC_PGOUTPUT_H

#include "base/buf.h"
#include "base/err.h"

enum { PGOUTPUT_MAX_COLUMNS = 1664 }; /* PostgreSQL's own MaxTupleAttributeNumber */

/* A row as sent: a cursor over its columns. Copy the struct to go over it again. Well-formed once pgoutput_read gave it. */
struct pgoutput_tuple {
    uint16_t n;       /* columns left */
    const uint8_t *p; /* the next one */
};

struct pgoutput_value {
    char kind;        /* 'n' NULL, 'u' unchanged TOAST value that was not sent, 't' text, 'b' binary */
    struct str bytes; /* of 't' and 'b' */
};

/* The next column; false at the end. */
static inline bool pgoutput_tuple_next(struct pgoutput_tuple *t, struct pgoutput_value *ret)
{
    uint32_t n;

    if (!t->n)
        return false;
    t->n--;
    ret->kind = (char)*t->p++;
    ret->bytes = (struct str){0};
    if (ret->kind == 'n' || ret->kind == 'u')
        return true;
    __builtin_memcpy(&n, t->p, sizeof n);
    n = __builtin_bswap32(n);
    ret->bytes = str_make(t->p + 4, n);
    t->p += 4 + n;
    return true;
}

/* The columns of a Relation message: a cursor, as above. */
struct pgoutput_columns {
    uint16_t n;
    const uint8_t *p;
};

struct pgoutput_column {
    bool key; /* part of the replica identity (all columns are, when it is FULL) */
    struct str name;
    uint32_t type_oid; /* as declared: may be a domain */
    int32_t typmod;    /* -1 = none */
};

bool pgoutput_columns_next(struct pgoutput_columns *c, struct pgoutput_column *ret);

struct pgoutput_relation {
    uint32_t oid;
    struct str schema; /* "pg_catalog" is sent as "", and given as such */
    struct str name;
    char identity; /* replica identity: 'd' default, 'n' nothing, 'f' full, 'i' index */
    struct pgoutput_columns columns;
};

struct pgoutput_row {
    uint32_t relation_oid;
    char old_kind; /* 'K' old key, 'O' whole old row, 0 none sent */
    bool has_new;
    struct pgoutput_tuple old_row, new_row;
};

/* Times are microseconds since 1970 UTC. LSNs are as in the log. */
struct pgoutput_msg {
    char tag;     /* the message's first byte: selects the member below */
    uint32_t xid; /* of B S c A b P K r p; of R Y I U D T M inside a stream block: the (sub)transaction; else 0 */
    union {
        struct { /* 'B' */
            uint64_t final_lsn;
            int64_t commit_us;
        } begin;
        struct { /* 'C', and 'c' of a streamed transaction */
            uint64_t commit_lsn, end_lsn;
            int64_t commit_us;
        } commit;
        struct {                 /* 'O': comes after B or S */
            uint64_t commit_lsn; /* on the origin server */
            struct str name;
        } origin;
        struct pgoutput_relation relation; /* 'R' */
        struct {                           /* 'Y' */
            uint32_t oid;
            struct str schema, name;
        } type;
        struct pgoutput_row row; /* 'I' 'U' 'D' */
        struct {                 /* 'T' */
            uint32_t n;
            const uint8_t *oids; /* big-endian; see pgoutput_truncate_oid */
            bool cascade, restart_identity;
        } truncate;
        struct { /* 'M': pg_logical_emit_message */
            bool transactional;
            uint64_t lsn;
            struct str prefix, content;
        } message;
        struct { /* 'S' opens a block of a streamed transaction, 'E' closes it */
            bool first;
        } stream_start;
        struct {             /* 'A' */
            uint32_t subxid; /* equals xid when the whole transaction is aborted */
            bool has_time;   /* protocol 4 with streaming = parallel */
            uint64_t abort_lsn;
            int64_t abort_us;
        } stream_abort;
        struct {                   /* 'b' begin prepare, 'P' prepare, 'p' stream prepare, 'K' commit prepared */
            uint64_t lsn, end_lsn; /* of the PREPARE, or of the COMMIT PREPARED */
            int64_t us;
            struct str gid;
        } prepare;
        struct { /* 'r' */
            uint64_t prepare_end_lsn, rollback_end_lsn;
            int64_t prepare_us, rollback_us;
            struct str gid;
        } rollback_prepared;
    };
};

/*
 * Decodes one message. `in_stream`: between Stream Start and Stream Stop, where relation, type, row, truncate and
 * logical messages carry their transaction id. ERR_INPUT for bytes that break the format (cut short, too long,
 * unknown kinds), ERR_UNSUPPORTED for an unknown message, ERR_LIMIT for more columns than PostgreSQL can have.
 */
MUST_CHECK int pgoutput_read(const void *p, size_t n, bool in_stream, struct pgoutput_msg *ret, struct err *err);

static inline uint32_t pgoutput_truncate_oid(const struct pgoutput_msg *msg, uint32_t i)
{
    uint32_t oid;

    __builtin_memcpy(&oid, msg->truncate.oids + (size_t)i * 4, sizeof oid);
    return __builtin_bswap32(oid);
}

#endif
