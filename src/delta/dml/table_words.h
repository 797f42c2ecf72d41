/*
 * Words of Spark's SQL that DuckDB does not have, or has with another meaning, in the expressions of a table (table_expr.h):
 *
 *   date_format(ts, 'yyyy-MM')     strftime(ts, '%Y-%m')
 *   a RLIKE 'x', a <=> b, a DIV b  a ~ '(?s:.*)(?:x)(?s:.*)', a IS NOT DISTINCT FROM b, a // b
 *   "text", 5L, 1.5D               'text', CAST(5 AS BIGINT), CAST(1.5 AS DOUBLE)
 *   a / b, a % b                   a / spark_divisor(b)    an error by zero
 *   X'41', R'\d'                   unhex('41'), '\d'
 *   TIMESTAMP '2024-05-06'         TIMESTAMPTZ '2024-05-06'
 *   a LIKE 'x\\%'                  a LIKE 'x\%' ESCAPE '\'
 *
 * Functions are table_calls.h's.
 */
#ifndef SLUICE_DELTA_TABLE_WORDS_H
#define SLUICE_DELTA_TABLE_WORDS_H

#include "base/buf.h"
#include "delta/log/snapshot.h"

/* Appends the expression with these in DuckDB's words. ERR_LIMIT: it is too deep. */
int table_words(struct str expr, struct buf *out, struct err *err) MUST_CHECK;
/* Behind the text or name in quotes, or the word, at i, or the byte if there is none. */
size_t table_words_skip(struct str s, size_t i);
/* Behind what an operator at i applies to; i: it cannot be told. */
size_t table_words_operand(struct str s, size_t i);
/* Appends it as it is, but for its texts: those are written without Spark's escapes, as the SQL standard has them. */
void table_words_plain_texts(struct str expr, struct buf *out);
/* Does the expression name the column at the path, a part of it, or what it is a part of? (Of n.a: n.a, n and n.a.x, not n.b.) */
bool table_words_name(struct str expr, struct delta_path path);

#endif
