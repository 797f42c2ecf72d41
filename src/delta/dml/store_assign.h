/*
 * Spark's store assignment (its ANSI mode) in DuckDB's SQL: what a value of one type becomes in a column of another.
 *
 * DuckDB's casts are used where both agree. Where they do not, Spark's rule is put before the cast: fractions are cut off
 * and not rounded on the way to whole numbers; a text becomes a whole number only if it is one; doubles become decimals by
 * their shortest text; texts become bytes, and bytes texts, as UTF-8; the fields of a struct are all there.
 */
#ifndef SLUICE_DELTA_STORE_ASSIGN_H
#define SLUICE_DELTA_STORE_ASSIGN_H

#include "engine/engine.h"
#include "model/type.h"

/* Which field of a struct goes to which field of the column's. */
enum assign_fields {
    ASSIGN_BY_POSITION, /* INSERT */
    ASSIGN_BY_NAME,     /* INSERT BY NAME: by position when the names are others */
    ASSIGN_SAME_NAMES,  /* UPDATE, MERGE */
    ASSIGN_EVOLVING,    /* by name; those that are missing are NULL */
};

struct assign_to {
    enum assign_fields fields;
    const struct type *type;
    struct str column; /* for messages */
};

/* Is a plain cast all it takes? */
bool store_assign_plain(const struct assign_to *to, const struct engine_type *from);
/* ERR_USAGE: fields are missing, or too many. */
int store_assign_check(const struct assign_to *to, const struct engine_type *from, struct err *err) MUST_CHECK;
/* Appends the expression, which has the type `from`, as a value of the column. `simple`: it may stand there several times. */
int store_assign_sql(const struct assign_to *to, const struct engine_type *from, struct str expr, bool simple,
                     struct buf *out, struct err *err) MUST_CHECK;
/* The same for two simple expressions: fields of structs that the value lacks (ASSIGN_EVOLVING) stay as they are in `old`. */
int store_assign_over(const struct assign_to *to, const struct engine_type *from, struct str expr, struct str old,
                      struct buf *out, struct err *err) MUST_CHECK;

/* The type of a literal, near enough for the above; false when the expression is something else. */
bool store_literal_type(struct str expr, struct engine_type *ret);
/* A deep copy of what matters of a type. */
struct engine_type *store_type_copy(const struct engine_type *from, struct arena *arena);

#endif
