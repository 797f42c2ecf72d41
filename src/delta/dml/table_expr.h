/*
 * The expressions that a table brings with it (generated columns, CHECK constraints, invariants, defaults) are Spark's SQL:
 * a CAST in them cuts fractions off, where DuckDB's rounds. Other casts that differ are done as store assignment does them.
 * a[0] is the first element of an array; one that is not there is an error.
 */
#ifndef SLUICE_DELTA_TABLE_EXPR_H
#define SLUICE_DELTA_TABLE_EXPR_H

#include "engine/engine.h"

/* Appends the expression as DuckDB's SQL. `from`: what its columns are of, only bound and never read; empty: it has none. */
int table_expr_sql(struct engine_conn *conn, struct str from, struct str expr, struct buf *out,
                   struct err *err) MUST_CHECK;
/* Appends an expression with backquoted names (Spark's) as "names"; no casts are looked for. */
void table_expr_names(struct str expr, struct buf *out);

#endif
