/*
 * A table as PostgreSQL's catalog describes it: what the source layer reads and the rest of the path relies on.
 * Domains are resolved to their base types; arrays carry their element type. Lives in its own arena, shared by reference.
 */
#ifndef SLUICE_MODEL_RELATION_H
#define SLUICE_MODEL_RELATION_H

#include "base/arena.h"

#include <stdatomic.h>

/* A table by the names it has at the source. Borrowed. */
struct table_name {
    struct str schema, table;
};

struct relation_column {
    struct str name;
    int16_t attnum;        /* pg_attribute.attnum: the column's identity across renames */
    uint32_t declared_oid; /* the type as pgoutput's Relation message names it (may be a domain) */
    uint32_t type_oid;     /* the base type */
    int32_t typmod;        /* of the base type; -1 = none */
    uint32_t elem_oid;     /* base type of the elements when type_oid is an array, else 0 */
    char
        typtype; /* of the base type (of the element for arrays): 'b' base, 'e' enum, 'c' composite, 'r' range, 'm' multirange */
    bool not_null;
    bool has_missing; /* added with a constant default: rows that were there read missing_text and are in no file so */
    bool generated;   /* GENERATED ALWAYS AS …: not in the stream before PostgreSQL 18 */
    bool is_virtual;  /* … VIRTUAL (18), made as it is read: never in the stream */
    uint16_t key_seq; /* 1-based place in the identity key, 0 = not part of it */
    struct str missing_text;
};

/* How old rows are identified in the stream: pg_class.relreplident, resolved. */
enum relation_identity {
    IDENTITY_KEY,  /* a key (primary key, or the replica identity index): updates and deletes find their row by it */
    IDENTITY_ROW,  /* REPLICA IDENTITY FULL without a primary key: by the whole row */
    IDENTITY_NONE, /* no way to find rows: append-only */
};

struct relation {
    atomic_int refs;
    struct arena arena;
    uint32_t oid;
    struct str schema, name;
    enum relation_identity identity;
    bool full; /* REPLICA IDENTITY FULL: the stream carries whole old rows */
    bool partitioned;
    bool narrowed;        /* columns were left out by choice */
    bool published;       /* its inserts, at least, are in the stream (set by pg_publication_ensure) */
    bool withheld;        /* it is not, and the role may not publish it (set there, too) */
    int16_t doubtful;     /* attnum of a column that may be another one (codec/pg_columns.h); 0 = none */
    int16_t max_attnum;   /* the highest that the stream has shown, of dropped columns too; 0 = not known */
    int64_t blocks;       /* size in pages at the time of reading (sum of the partitions) */
    int64_t storage;      /* another number when all rows were written anew (pg_class.relfilenode); 0 = unknown */
    int64_t shape;        /* another number when a column was altered (of pg_attribute.xmin); 0 = unknown */
    int16_t n_attributes; /* pg_class.relnatts: the highest attnum that was ever given */
    bool current;         /* the catalog has just these columns: the three above belong to them */
    double row_estimate;  /* pg_class.reltuples, -1 unknown */
    /* Of a partitioned table its partitions, else {0}: "0:<oldest xid that runs>,<oid>:<filenode>:<xmin of its link>:<xmin of its
     * pg_class>:<1 when it has pages>,…", by oid. Equal lists, first number apart, are of the same partitions with the same files. */
    struct str leaves;
    struct str mark; /* another one when the publication was altered for this table; {0}: not published, or not asked
                      * (pg_publication_read) */
    struct str row_filter; /* the publication's WHERE for this table (SQL), or {0}: a snapshot applies it too */
    uint32_t n_columns;
    struct relation_column *columns; /* in attnum order, without dropped ones, only those that are replicated */
};

struct relation *relation_new(void); /* one reference */
struct relation *relation_ref(const struct relation *r);
void relation_unref(struct relation *r); /* takes NULL */
/* Would a table that knows `a` learn anything from `b`? */
bool relation_same(const struct relation *a, const struct relation *b);
/* Have they the same columns, by number, name and declared type? */
bool relation_same_columns(const struct relation *a, const struct relation *b);
/* The column of this number; NULL: there is none, or no relation. */
const struct relation_column *relation_column_of(const struct relation *r, int attnum);
static inline void relation_unrefp(struct relation **r)
{
    relation_unref(*r);
    *r = NULL;
}

#endif
