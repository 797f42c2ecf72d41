/*
 * Which rows belong in a partition: its bounds, as the catalog has them, and the condition that they make on a row.
 *
 * An entry, which the state keeps for each partition, on every level (fields end with US, 0x1f):
 *
 *   16403 US 745 US public.p2024 US r3 US FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') [US key US bound …]
 *   oid      xmin of its link  name      key and bound of each level, the outermost first
 *
 * A key is 'r', 'l' or 'h' (how the parent is partitioned) and the root's attnums of its columns, "r3,1"; 0: an expression,
 * or a column that is not compared as its bytes are (an operator class or a collation of its own).
 */
#ifndef SLUICE_CODEC_PG_BOUNDS_H
#define SLUICE_CODEC_PG_BOUNDS_H

#include "base/buf.h"
#include "base/err.h"
#include "model/relation.h"

enum { PG_BOUNDS_KEYS = 32 }; /* PARTITION_MAX_KEYS */

enum pg_bound_kind { PG_BOUND_VALUE, PG_BOUND_NULL, PG_BOUND_MIN, PG_BOUND_MAX };

struct pg_bound {
    enum pg_bound_kind kind;
    struct str text; /* of a value, as the column's type reads it */
};

struct pg_bound_level {
    char strategy; /* 'r' or 'l' */
    int16_t attnums[PG_BOUNDS_KEYS];
    uint32_t n_keys;
    struct pg_bound *lower, *upper; /* 'r': n_keys of each */
    struct pg_bound *values;        /* 'l' */
    uint32_t n_values;
};

struct pg_bounds {
    struct str name;
    struct pg_bound_level *levels;
    uint32_t n_levels;
};

/* What stands ahead of the bounds; the rest of the entry is what all that is below it begins with, before a US. */
struct pg_bounds_head {
    uint64_t oid, link;
    struct str name, levels;
};
bool pg_bounds_read_head(struct str entry, struct pg_bounds_head *ret);
/* Reads an entry, without its end. False: it says nothing that could be told of a row (a hash, a default partition, an expression). */
bool pg_bounds_read(struct str entry, struct arena *arena, struct pg_bounds *ret);
/* Do a row's values of the column, as the lake has them, tell whether it belongs there? `level` has the column as key `k`. */
bool pg_bounds_tell(const struct pg_bound_level *level, uint32_t k, const struct relation_column *col);
/* May a row that belongs there stand in the lake with NULL in the column, because its type cannot hold the value (infinity, NaN)? */
bool pg_bounds_may_be_null(const struct pg_bound_level *level, uint32_t k, const struct relation_column *col);

/* How columns and values are written; both return 0 or an error. */
struct pg_bounds_writer {
    int (*column)(void *ctx, int16_t attnum, struct buf *out, struct err *err);
    int (*value)(void *ctx, int16_t attnum, struct str text, struct buf *out, struct err *err);
    void *ctx;
};
/* Appends the condition in SQL, in parentheses. */
int pg_bounds_add_sql(const struct pg_bounds *b, const struct pg_bounds_writer *w, struct buf *out,
                      struct err *err) MUST_CHECK;

#endif
