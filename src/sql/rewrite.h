/*
 * Finds the tables that a query reads and replaces them by other text, so that DuckDB can run a query over tables that it
 * does not know.
 *
 * A table stands after FROM or JOIN, after a comma in a FROM clause, and in COPY t TO, DESCRIBE t, SUMMARIZE t, PIVOT t.
 * Names of common table expressions are no tables where they are in scope. What is not recognised is left as it is, and
 * so is everything between the tables, byte for byte, but for `names`, which become "names". Works on a query, on any
 * statement that contains queries, and on an expression with subqueries.
 */
#ifndef SLUICE_SQL_REWRITE_H
#define SLUICE_SQL_REWRITE_H

#include "sql/lexer.h"
#include "sql/name.h"

#include "base/buf.h"

/* How deep brackets may nest. */
#define SQL_REWRITE_DEPTH 1000

struct sql_ref {
    struct str text;        /* as written: the name with its point in time, or the call with its arguments; no alias */
    size_t at;              /* where, in the query */
    struct sql_table table; /* the table, its point in time and its alias; for a call the function's name */
    bool is_call;           /* a table function: delta_scan('/path'), table_changes('t', 1) */
    struct str args;        /* of a call: what is between its brackets */
};

/* Writes the replacement to `out` and returns 0; or returns 1 to leave the reference as it is (`out` is then not looked
 * at); or fails. The replacement is a table expression: a function call, a bracketed query, a name. Where the query gives
 * a table no alias, the table's own name is added as its alias, so that `orders.id` still works. A reference with a point
 * in time must not be left: the caller's `leave` is then an error that names it. */
typedef int sql_replace_fn(void *ctx, const struct sql_ref *ref, struct buf *out, struct err *err);

/* Appends `query` to `out` with its tables replaced. */
int sql_rewrite(struct arena *arena, struct str query, sql_replace_fn *replace, void *ctx, struct buf *out,
                struct err *err) MUST_CHECK;

#endif
