/*
 * CHAR(n) columns read as Spark reads them: filled up with spaces, whatever the file holds. Delta's type of such a column is
 * string; Spark's own type stands in the column's metadata, as text, for the whole column: "char(3)", "struct<a:char(3),b:int>".
 */
#ifndef SLUICE_DELTA_CHAR_PAD_H
#define SLUICE_DELTA_CHAR_PAD_H

#include "base/buf.h"
#include "model/type.h"

/* Appends an expression: `expr`, the value of the column, padded; `expr` itself where nothing in it is a CHAR, or where the text
 * does not fit the type (a field was added since, say). */
void char_pad_sql(const struct field *f, struct str expr, struct buf *out);

#endif
