/*
 * Numbers as PostgreSQL sends them: integers, floats and numeric, in text and binary form. Used by pg_value and by
 * whoever reads the same text elsewhere. Functions return 0, ERR_INPUT (no such number) or ERR_LIMIT (does not fit).
 */
#ifndef SLUICE_CODEC_PG_NUMBER_H
#define SLUICE_CODEC_PG_NUMBER_H

#include "base/buf.h"
#include "base/err.h"

typedef __int128 int128;
typedef unsigned __int128 uint128;

enum {
    PG_NUMERIC_TEXT_MAX = 131072 + 16384 + 8, /* longest text of a numeric: digits before and after the point */
    PG_DECIMAL_TEXT = 48,                     /* room for any decimal(38,s) */
    PG_FLOAT_TEXT = 40,
};

uint128 pg_pow10(unsigned n); /* n <= 38 */
/* The whole of `s` as a decimal integer within [min, max]. */
MUST_CHECK int pg_int_parse(struct str s, int64_t min, int64_t max, int64_t *ret, struct err *err);
/* Digits with point and exponent, or NaN, Infinity, -Infinity; correctly rounded to the nearest. NaN is always the same
 * quiet NaN. */
MUST_CHECK int pg_float8_parse(struct str s, double *ret, struct err *err);
MUST_CHECK int pg_float4_parse(struct str s, float *ret, struct err *err);
/* The unscaled value of decimal(precision, scale): ERR_LIMIT for NaN, infinities, too many digits on either side. */
MUST_CHECK int pg_decimal_parse(struct str s, unsigned precision, unsigned scale, int128 *ret, struct err *err);
/* The same from numeric's binary form. */
MUST_CHECK int pg_decimal_read(struct str bytes, unsigned precision, unsigned scale, int128 *ret, struct err *err);
/* numeric's binary form as the text that PostgreSQL prints; replaces what `out` has. */
MUST_CHECK int pg_numeric_text(struct str bytes, struct buf *out, struct err *err);
/* Text of an unscaled value, 0-terminated; returns its length. */
size_t pg_decimal_format(int128 v, unsigned scale, char out[PG_DECIMAL_TEXT]);
/* The shortest digits that read back as the same number, laid out as PostgreSQL does. `digits`: 17 for double, 9 for
 * float. 0-terminated; returns the length. */
size_t pg_float_format(double v, int digits, char out[PG_FLOAT_TEXT]);

#endif
