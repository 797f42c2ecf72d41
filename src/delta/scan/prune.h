/*
 * Which files cannot hold a row that a condition is true for: by their partition values and statistics.
 *
 *     struct prune_scope scope = {&arena, head};
 *     struct prune *p = prune_compare(&scope, PRUNE_LT, prune_column(&scope, &name, 1), prune_constant(&scope, &value));
 *     if (!prune_keeps(p, file)) …
 *
 * A condition is a tree in an arena. What it does not understand is PRUNE_UNKNOWN and may be true, false or NULL, so that
 * a file is left out only when that is certain whatever the rest means. Statistics are believed as bounds and no more:
 * strings may be cut, timestamps are cut to milliseconds, deletion vectors may have masked the extremes, and floats may
 * hold NaN that no bound tells of. Comparisons are DuckDB's: NaN is equal to itself and above every number, strings
 * compare by bytes.
 *
 * A tree borrows names and types from the head. It may be used by any thread.
 */
#ifndef SLUICE_DELTA_PRUNE_H
#define SLUICE_DELTA_PRUNE_H

#include "delta/scan/prune_value.h"
#include "delta/log/snapshot.h"

struct prune;

enum prune_compare {
    PRUNE_EQ,
    PRUNE_NE,
    PRUNE_LT,
    PRUNE_LE,
    PRUNE_GT,
    PRUNE_GE,
    PRUNE_NOT_DISTINCT, /* IS NOT DISTINCT FROM */
    PRUNE_DISTINCT,
};

/* What an operand is cast to. Only casts that keep the order of values are followed. */
enum prune_cast {
    PRUNE_TO_NUMBER, /* an integer, or a decimal with at least as many digits after the point */
    PRUNE_TO_REAL,   /* float → double; a number → float or double */
    PRUNE_TO_DATE,
    PRUNE_TO_TIMESTAMP, /* with a zone or without: UTC */
};

struct prune_scope {
    struct arena *arena;
    const struct delta_head *head;
};

/* The column, or the field of a struct, of this path by logical names; PRUNE_UNKNOWN when there is none. */
struct prune *prune_column(const struct prune_scope *s, const struct str *path, uint32_t n);
struct prune *prune_unknown(const struct prune_scope *s);
struct prune *prune_null(const struct prune_scope *s);
/* Copies the value. */
struct prune *prune_constant(const struct prune_scope *s, const struct prune_value *value);
/* A field of a struct that prune_column() gave. */
struct prune *prune_field(const struct prune_scope *s, const struct prune *parent, struct str name);
struct prune *prune_cast(const struct prune_scope *s, struct prune *operand, enum prune_cast to, uint8_t scale);
struct prune *prune_compare(const struct prune_scope *s, enum prune_compare op, struct prune *a, struct prune *b);
/* AND, OR over n; none: true, false. */
struct prune *prune_and(const struct prune_scope *s, struct prune *const *v, uint32_t n);
struct prune *prune_or(const struct prune_scope *s, struct prune *const *v, uint32_t n);
struct prune *prune_not(const struct prune_scope *s, struct prune *a);
struct prune *prune_is_null(const struct prune_scope *s, struct prune *a);
/* a IN (values), any number of them. Copies and sorts; what text they have is borrowed. Those of another kind: UNKNOWN. */
struct prune *prune_in(const struct prune_scope *s, struct prune *a, const struct prune_value *values, size_t n);
/* Strings that start with the text: copied. Says only where that cannot be, so that it also stands for LIKE 'text…'. */
struct prune *prune_prefix(const struct prune_scope *s, struct prune *a, struct str text);

/* May the condition be true for a row of the file? NULL: yes. `stats` is for one file after the other, and may be NULL for
 * one that is of no snapshot. */
bool prune_keeps(const struct prune *p, const struct delta_file *file, struct delta_stats_reader *stats);
/* The live files of the snapshot that it keeps, in order; memory from `arena`. */
const struct delta_file **prune_files(const struct prune *p, const struct delta_snapshot *snapshot, struct arena *arena,
                                      uint32_t *ret_n);

#endif
