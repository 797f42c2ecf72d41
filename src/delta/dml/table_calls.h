/*
 * Spark's functions in the expressions of a table (table_expr.h), as DuckDB's SQL. Some have one form for each type of what
 * they are given. Of those that both have, some mean different things: they are here with ours, or are refused.
 */
#ifndef SLUICE_DELTA_TABLE_CALLS_H
#define SLUICE_DELTA_TABLE_CALLS_H

#include "engine/engine.h"

struct table_call {
    const char *names; /* a space between them */
    /* A letter for each argument, of what it becomes: s text, d date, t timestamp, n double, i INT; or of what it has to be:
     * f double or float, c decimal, w whole number, u one up to INT, l array, m map, b bytes, . anything. * behind one: any number of them. */
    const char *takes;
    const char *sql; /* $1 … $9 are the arguments, $* all of them with commas, $| with || */
};

/* Is there anything to know about it? If not, it goes to DuckDB by its name. */
bool table_call_known(struct str name);
/* The form for these arguments. NULL: none. */
const struct table_call *table_call_find(struct str name, const struct engine_type *const *types, size_t n);
/* The letter for argument i. */
char table_call_takes(const struct table_call *call, size_t i);
/* Appends the call over the arguments. */
void table_call_sql(const struct table_call *call, const struct str *args, size_t n, struct buf *out);
/* The field of EXTRACT(field FROM value), as a call with the value ("year", "spark_second"); NULL: there is no such. */
const struct table_call *table_call_field(struct str field);

#endif
