/* The text of a floating point number as Java's Double.toString() and Float.toString() have it, and so Spark. */
#ifndef SLUICE_CODEC_JAVA_REAL_H
#define SLUICE_CODEC_JAVA_REAL_H

#include "base/buf.h"

/* Appends the shortest that reads back as the same: 1.0E10, 1.0E-4, 123456.789, NaN, -Infinity. */
void java_real_text(double d, bool is_float, struct buf *out);
/* The same in JSON, where what is no number is a text. */
void java_real_json(double d, bool is_float, struct buf *out);

#endif
