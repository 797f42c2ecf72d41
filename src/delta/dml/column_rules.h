/*
 * Do the rules that a table is to have for its new rows make sense? A default that is no value of its column, or a generated column
 * or CHECK of what is not there, would else be found by the first INSERT only, or by Spark, which refuses to read such rules.
 */
#ifndef SLUICE_DELTA_COLUMN_RULES_H
#define SLUICE_DELTA_COLUMN_RULES_H

#include "delta/log/snapshot.h"
#include "engine/engine.h"
#include "model/type.h"

/* The defaults and generated columns of a schema that is to become a table's. ERR_USAGE names the column. */
int column_rules_check(struct engine_conn *conn, const struct schema *schema, struct err *err) MUST_CHECK;
/* Is the expression a value that the column may have, without columns and subqueries? */
int column_default_check(struct engine_conn *conn, const struct field *f, struct str expr, struct err *err) MUST_CHECK;
/* Is the expression a condition on columns of the schema? */
int column_condition_check(struct engine_conn *conn, const struct schema *schema, struct str expr,
                           struct err *err) MUST_CHECK;
/* Does no constraint and no generated column name it, so that it may go or get another name or type? ERR_USAGE: one does. */
int column_unused_check(const struct delta_metadata *m, const struct schema *schema, struct delta_path path,
                        struct err *err) MUST_CHECK;
/* The same of what has another type in `next`, which has all columns of `schema` at their places and may have more. */
int column_retyped_check(const struct delta_metadata *m, const struct schema *schema, const struct schema *next,
                         struct err *err) MUST_CHECK;

#endif
