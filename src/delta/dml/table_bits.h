/*
 * Operators of bits in the expressions of a table (table_expr.h). Spark's SQL has a precedence for each; in DuckDB's they all have
 * the same one, below + and -, and ~ has it, too:
 *
 *   a | b & c      a | (b & c)
 *   ~a + 1         (~a) + 1
 *   a ^ b          xor(a, b)
 *   a << 2         shiftleft(a, 2)
 */
#ifndef SLUICE_DELTA_TABLE_BITS_H
#define SLUICE_DELTA_TABLE_BITS_H

#include "base/buf.h"
#include "base/err.h"

/* Appends the expression, in Spark's SQL still, with these in DuckDB's form. ERR_LIMIT: it is too deep. */
int table_bits(struct str expr, struct buf *out, struct err *err) MUST_CHECK;

#endif
