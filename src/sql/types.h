/*
 * Type names as SQL writes them → struct type.
 *
 * Spark's names, and the names that DuckDB and PostgreSQL have for the same types. Where they mean different things,
 * Spark's meaning holds: TIMESTAMP is an instant (TIMESTAMP_NTZ and TIMESTAMP WITHOUT TIME ZONE are not), DECIMAL
 * without arguments is DECIMAL(10,0), FLOAT has 32 bits.
 */
#ifndef SLUICE_SQL_TYPES_H
#define SLUICE_SQL_TYPES_H

#include "model/type.h"
#include "sql/parser.h"

/* How deep types may nest. */
#define SQL_TYPE_DEPTH 100

/* CHAR(n) and VARCHAR(n) are strings to Delta; their length is kept in the column's metadata under this key, as the text
 * of the whole column type ("varchar(5)", "struct<a:char(2)>"), as Spark does. */
#define SQL_CHAR_TYPE_KEY "__CHAR_VARCHAR_TYPE_STRING"

/* Reads a type at the parser's cursor. `ret_char_type` (may be NULL): Spark's text of the type when a CHAR or VARCHAR
 * with a length is in it, or empty. */
int parser_type(struct parser *p, struct type *ret, struct str *ret_char_type) MUST_CHECK;
/* Reads a whole text as a type: "array<struct<a:int>>". Memory from the arena. */
int sql_type_parse(struct arena *arena, struct str text, struct type *ret, struct err *err) MUST_CHECK;
/* Sets a metadata entry to a JSON string. */
void sql_meta_set_str(struct field *f, struct arena *arena, const char *key, struct str value);

#endif
