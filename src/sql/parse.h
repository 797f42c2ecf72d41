/* The parsers of single statements, one function a statement: each starts after the words that chose it and reads up to
 * the end. Private to sql/. */
#ifndef SLUICE_SQL_PARSE_H
#define SLUICE_SQL_PARSE_H

#include "sql/parser.h"
#include "sql/statement.h"

/* parse_table.c */
int parse_create(struct parser *p, bool or_replace, bool replace_only, struct statement *ret) MUST_CHECK;
int parse_convert(struct parser *p, struct sql_convert *ret) MUST_CHECK;
/* A column: name, type and options; `nested`: its name may have several parts and it may say FIRST or AFTER. */
int parse_column(struct parser *p, bool nested, struct sql_column *ret) MUST_CHECK;
int parse_place(struct parser *p, enum column_place *ret, struct str *ret_after) MUST_CHECK;
/* ('a.b' = 'v', c.d = 1) or, with `keys_only`, ('a.b', c.d). */
int parse_properties(struct parser *p, bool keys_only, uint32_t *ret_n, struct sql_property **ret) MUST_CHECK;
int parse_constraint(struct parser *p, struct sql_constraint *ret) MUST_CHECK;
int parse_type_into(struct parser *p, struct field *field) MUST_CHECK;
/* An expression for a column: up to the next column option. */
int parse_default(struct parser *p, struct str *ret) MUST_CHECK;

/* parse_alter.c */
int parse_alter(struct parser *p, struct sql_alter *ret) MUST_CHECK;

/* parse_dml.c */
int parse_insert(struct parser *p, struct sql_insert *ret) MUST_CHECK;
int parse_update(struct parser *p, struct sql_update *ret) MUST_CHECK;
int parse_delete(struct parser *p, struct sql_delete *ret) MUST_CHECK;

/* parse_merge.c */
int parse_merge(struct parser *p, struct sql_merge *ret) MUST_CHECK;
/* a.b = expr, c = expr up to one of `stops` (which must hold ","). */
int parse_assignments(struct parser *p, const char *const *stops, uint32_t *ret_n,
                      struct sql_assignment **ret) MUST_CHECK;

#endif
