/*
 * Numbers of PostgreSQL.
 *
 * numeric in binary, all big-endian 16 bits:
 *
 *   ndigits  weight  sign  dscale  digit × ndigits
 *
 *   value = sign Σ digit[i] · 10000^(weight - i);  dscale = decimal digits printed after the point
 *   sign: 0000 plus, 4000 minus, C000 NaN, D000 infinity, F000 -infinity
 *
 * Floats in text: up to 19 digits with an exponent that is small make two numbers which an 80-bit float holds exactly,
 * so that one multiplication or division rounds once, to 64 bits. The second rounding, to 53 or 24 bits, is right too
 * unless the 64 bits lie exactly half way between two results; that, and everything else, goes to strtod.
 */
#include "codec/pg_number.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

static const uint64_t pow10_u64[] = {
    1u,
    10u,
    100u,
    1000u,
    10000u,
    100000u,
    1000000u,
    10000000u,
    100000000u,
    1000000000u,
    10000000000u,
    100000000000u,
    1000000000000u,
    10000000000000u,
    100000000000000u,
    1000000000000000u,
    10000000000000000u,
    100000000000000000u,
    1000000000000000000u,
    10000000000000000000u,
};

uint128 pg_pow10(unsigned n)
{
    assert(n <= 38);
    return n <= 19 ? pow10_u64[n] : (uint128)pow10_u64[19] * pow10_u64[n - 19];
}

static int bad_number(struct str s, struct err *err)
{
    return err_set(err, ERR_INPUT, "'%.*s' is not a number of this type", (int)MIN(s.n, 64u), s.n ? s.p : "");
}

int pg_int_parse(struct str s, int64_t min, int64_t max, int64_t *ret, struct err *err)
{
    const char *p = s.p, *end = s.p + s.n;
    bool neg = s.n && *p == '-';
    uint64_t v = 0;

    p += neg;
    if (p == end || end - p > 19)
        return bad_number(s, err);
    for (; p < end; p++) { /* 19 digits stay below 2^64 */
        unsigned d = (unsigned)(*p - '0');
        if (d > 9)
            return bad_number(s, err);
        v = v * 10 + d;
    }
    if (neg ? v > (uint64_t)0 - (uint64_t)min : v > (uint64_t)max)
        return bad_number(s, err);
    *ret = (int64_t)(neg ? 0 - v : v);
    return 0;
}

/* A decimal number taken apart: ±mantissa · 10^exponent. */
struct decimal_parts {
    bool neg;
    bool exact; /* all digits are in the mantissa */
    uint64_t mantissa;
    int exponent;
};

/* Digits into the mantissa; returns where they end. */
static const char *scan_digits(const char *p, const char *end, struct decimal_parts *d, int *n_dropped)
{
    for (; p < end && (unsigned)(*p - '0') <= 9; p++) {
        if (d->mantissa < UINT64_C(1000000000000000000)) {
            d->mantissa = d->mantissa * 10 + (unsigned)(*p - '0');
        } else {
            d->exact = false;
            ++*n_dropped;
        }
    }
    return p;
}

static bool scan_exponent(const char *p, const char *end, int *ret)
{
    bool neg = p < end && *p == '-';
    int v = 0;

    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (p == end || end - p > 4)
        return false;
    for (; p < end; p++) {
        if ((unsigned)(*p - '0') > 9)
            return false;
        v = v * 10 + (*p - '0');
    }
    *ret = neg ? -v : v;
    return true;
}

static bool scan_decimal(struct str s, struct decimal_parts *ret)
{
    const char *p = s.p, *end = s.p + s.n;
    struct decimal_parts d = {.neg = s.n && *p == '-', .exact = true};
    int dropped_before = 0, dropped_after = 0, exponent = 0;

    p += d.neg;
    const char *before = p;
    p = scan_digits(p, end, &d, &dropped_before);
    size_t n = (size_t)(p - before);
    if (p < end && *p == '.') {
        const char *after = ++p;
        p = scan_digits(p, end, &d, &dropped_after);
        n += (size_t)(p - after);
        d.exponent = -(int)(p - after);
    }
    if (!n || n > 100000)
        return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        if (!scan_exponent(p + 1, end, &exponent))
            return false;
        p = end;
    }
    d.exponent += exponent + dropped_before + dropped_after;
    *ret = d;
    return p == end;
}

/* PostgreSQL's words for what digits cannot say. */
static bool special_float(struct str s, double *ret)
{
    if (str_eq(s, STR("NaN")))
        *ret = NAN;
    else if (str_eq(s, STR("Infinity")))
        *ret = INFINITY;
    else if (str_eq(s, STR("-Infinity")))
        *ret = -INFINITY;
    else
        return false;
    return true;
}

#if LDBL_MANT_DIG == 64
typedef long double wide_float;
enum { WIDE_BITS = 64, WIDE_POW10 = 27 };
#else
typedef double wide_float;
enum { WIDE_BITS = 53, WIDE_POW10 = 22 };
#endif

/* ±mantissa · 10^exponent rounded once, when rounding it again to `bits` bits gives the right result. */
static bool quick_float(const struct decimal_parts *d, int bits, wide_float *ret)
{
    static const wide_float powers[] = {1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,  1e7L,  1e8L,  1e9L,
                                        1e10L, 1e11L, 1e12L, 1e13L, 1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L,
                                        1e20L, 1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L};
    uint64_t m, low = ((uint64_t)1 << (WIDE_BITS - bits)) - 1;

    if (!d->exact || d->exponent < -WIDE_POW10 || d->exponent > WIDE_POW10)
        return false;
    if (WIDE_BITS < 64 && d->mantissa >> 53)
        return false;
    wide_float v = (wide_float)d->mantissa;
    v = d->exponent < 0 ? v / powers[-d->exponent] : v * powers[d->exponent];
    __builtin_memcpy(&m, &v, sizeof m); /* the mantissa's low bits come first in both formats */
    if (low && (m & low) == (low >> 1) + 1)
        return false;
    *ret = d->neg ? -v : v;
    return true;
}

int pg_float8_parse(struct str s, double *ret, struct err *err)
{
    struct decimal_parts d;
    wide_float v;
    char copy[128];

    if (!scan_decimal(s, &d))
        return special_float(s, ret) ? 0 : bad_number(s, err);
    if (quick_float(&d, 53, &v)) {
        *ret = (double)v;
        return 0;
    }
    if (s.n >= sizeof copy)
        return bad_number(s, err);
    memcpy(copy, s.p, s.n);
    copy[s.n] = 0;
    *ret = strtod(copy, NULL);
    return 0;
}

int pg_float4_parse(struct str s, float *ret, struct err *err)
{
    struct decimal_parts d;
    wide_float v;
    double special;
    char copy[128];

    if (!scan_decimal(s, &d)) {
        if (!special_float(s, &special))
            return bad_number(s, err);
        *ret = (float)special;
        return 0;
    }
    if (quick_float(&d, 24, &v)) { /* 10^-27 is far above the subnormal floats */
        *ret = (float)v;
        return 0;
    }
    if (s.n >= sizeof copy)
        return bad_number(s, err);
    memcpy(copy, s.p, s.n);
    copy[s.n] = 0;
    *ret = strtof(copy, NULL);
    return 0;
}

static int not_finite(struct str what, struct err *err)
{
    return err_set(err, ERR_LIMIT, "the numeric %.*s does not fit a decimal", STR_ARG(what));
}

static int too_wide(unsigned precision, unsigned scale, struct err *err)
{
    return err_set(err, ERR_LIMIT, "the numeric does not fit decimal(%u,%u)", precision, scale);
}

/* v · m + a; false when that is past 128 bits. */
static inline bool mul_add(uint128 *v, uint64_t m, uint64_t a)
{
    if (!(*v >> 64)) {
        *v = (uint128)(uint64_t)*v * m + a;
        return true;
    }
    return !__builtin_mul_overflow(*v, (uint128)m, v) && !__builtin_add_overflow(*v, (uint128)a, v);
}

static int finish_decimal(uint128 v, bool neg, unsigned precision, unsigned scale, int128 *ret, struct err *err)
{
    if (v >= pg_pow10(precision))
        return too_wide(precision, scale, err);
    *ret = neg ? -(int128)v : (int128)v;
    return 0;
}

int pg_decimal_parse(struct str s, unsigned precision, unsigned scale, int128 *ret, struct err *err)
{
    const char *p = s.p, *end = s.p + s.n;
    bool neg = s.n && *p == '-', point = false, digits = false;
    unsigned after = 0;
    uint128 v = 0;

    assert(precision >= 1 && precision <= 38 && scale <= precision);
    for (p += neg; p < end; p++) {
        unsigned d = (unsigned)(*p - '0');
        if (d <= 9) {
            digits = true;
            if (point && after == scale) {
                if (d)
                    return too_wide(precision, scale, err);
                continue;
            }
            after += point;
            if (!mul_add(&v, 10, d))
                return too_wide(precision, scale, err);
        } else if (*p == '.' && !point) {
            point = true;
        } else {
            break;
        }
    }
    if (p < end || !digits) {
        if (str_eq(s, STR("NaN")) || str_eq(s, STR("Infinity")) || str_eq(s, STR("-Infinity")))
            return not_finite(s, err);
        return bad_number(s, err);
    }
    if (after < scale) {
        uint128 power = pg_pow10(scale - after);
        if (power >> 64 ? __builtin_mul_overflow(v, power, &v) : !mul_add(&v, (uint64_t)power, 0))
            return too_wide(precision, scale, err);
    }
    return finish_decimal(v, neg, precision, scale, ret, err);
}

enum {
    NUMERIC_PLUS = 0x0000,
    NUMERIC_MINUS = 0x4000,
    NUMERIC_NAN = 0xc000,
    NUMERIC_INF = 0xd000,
    NUMERIC_NINF = 0xf000
};

struct numeric {
    int n, weight, dscale;
    unsigned sign;
    struct reader digits;
};

static const char *numeric_special(unsigned sign)
{
    return sign == NUMERIC_NAN ? "NaN" : sign == NUMERIC_INF ? "Infinity" : sign == NUMERIC_NINF ? "-Infinity" : NULL;
}

static int numeric_open(struct str bytes, struct numeric *ret, struct err *err)
{
    struct reader r = reader_of(bytes.p, bytes.n);
    struct numeric x = {.n = reader_be16(&r)};

    x.weight = (int16_t)reader_be16(&r);
    x.sign = reader_be16(&r);
    x.dscale = reader_be16(&r);
    x.digits = r;
    if (r.failed || reader_left(&r) != (size_t)x.n * 2 || x.dscale > 0x3fff ||
        (x.sign != NUMERIC_PLUS && x.sign != NUMERIC_MINUS && !numeric_special(x.sign)))
        return err_set(err, ERR_INPUT, "%zu bytes are not a numeric", bytes.n);
    while (reader_left(&r))
        if (reader_be16(&r) > 9999)
            return err_set(err, ERR_INPUT, "%zu bytes are not a numeric", bytes.n);
    *ret = x;
    return 0;
}

int pg_decimal_read(struct str bytes, unsigned precision, unsigned scale, int128 *ret, struct err *err)
{
    struct numeric x;
    uint128 v = 0;
    int e = 0; /* v counts units of 10^(e - scale) */

    assert(precision >= 1 && precision <= 38 && scale <= precision);
    TRY(numeric_open(bytes, &x, err));
    if (numeric_special(x.sign))
        return not_finite(str_of(numeric_special(x.sign)), err);
    for (int i = 0; i < x.n; i++) {
        uint16_t d = reader_be16(&x.digits);
        e = 4 * (x.weight - i) + (int)scale;
        unsigned drop = e >= 0 ? 0 : e <= -4 ? 4 : (unsigned)-e; /* digits of d below our last one */
        if (d % pow10_u64[drop] || !mul_add(&v, pow10_u64[4 - drop], d / pow10_u64[drop]))
            return too_wide(precision, scale, err);
        e = MAX(e, 0);
    }
    if (e > 38 && v)
        return too_wide(precision, scale, err);
    for (; e > 0 && v; e--)
        if (!mul_add(&v, 10, 0))
            return too_wide(precision, scale, err);
    return finish_decimal(v, x.sign == NUMERIC_MINUS, precision, scale, ret, err);
}

/* Four digits of 10000's base. */
static char *put4(char *p, unsigned d)
{
    p[0] = (char)('0' + d / 1000);
    p[1] = (char)('0' + d / 100 % 10);
    p[2] = (char)('0' + d / 10 % 10);
    p[3] = (char)('0' + d % 10);
    return p + 4;
}

int pg_numeric_text(struct str bytes, struct buf *out, struct err *err)
{
    struct numeric x;

    TRY(numeric_open(bytes, &x, err));
    buf_reset(out);
    if (numeric_special(x.sign)) {
        buf_add_cstr(out, numeric_special(x.sign));
        return 0;
    }
    int whole = MAX(x.weight + 1, 1), groups = whole + (x.dscale + 3) / 4; /* of four digits */
    char *start = buf_reserve(out, (size_t)groups * 4 + 2), *p = start;
    if (!start)
        return err_set(err, ERR_LIMIT, "a numeric of %d digits is too long", groups * 4);
    if (x.sign == NUMERIC_MINUS)
        *p++ = '-';
    if (x.weight < 0)
        p = put4(p, 0);
    for (int w = x.weight; w >= 0; w--)
        p = put4(p, reader_left(&x.digits) ? reader_be16(&x.digits) : 0);
    char *first = start + (x.sign == NUMERIC_MINUS), *digit = first;
    while (digit < p - 1 && *digit == '0')
        digit++;
    memmove(first, digit, (size_t)(p - digit));
    p = first + (p - digit);
    if (x.dscale) {
        *p++ = '.';
        char *end = p + x.dscale;
        for (int w = -1; p < end; w--)
            p = put4(p, w <= x.weight && reader_left(&x.digits) ? reader_be16(&x.digits) : 0);
        p = end;
    }
    out->n = (size_t)(p - start);
    out->p[out->n] = 0;
    return 0;
}

size_t pg_decimal_format(int128 v, unsigned scale, char out[PG_DECIMAL_TEXT])
{
    char digits[40], *p = out;
    unsigned n = 0;
    uint128 u = v < 0 ? -(uint128)v : (uint128)v;

    assert(scale <= 38);
    do {
        digits[n++] = (char)('0' + (int)(u % 10));
        u /= 10;
    } while (u);
    while (n <= scale)
        digits[n++] = '0';
    if (v < 0)
        *p++ = '-';
    while (n > scale)
        *p++ = digits[--n];
    if (scale)
        *p++ = '.';
    while (n)
        *p++ = digits[--n];
    *p = 0;
    return (size_t)(p - out);
}

/*
 * The fewest digits, as d.ddde±x in `text`, that read back as v (not negative): they must lie between the middles to
 * its neighbours. PostgreSQL leaves the middles themselves out, whatever rounding to even would make of them.
 */
static void shortest_digits(double v, int digits, char text[PG_FLOAT_TEXT])
{
    long double below = digits == 9 ? nextafterf((float)v, -INFINITY) : nextafter(v, -INFINITY);
    long double above = digits == 9 ? nextafterf((float)v, INFINITY) : nextafter(v, INFINITY);
    long double low = (v + below) / 2, high = isinf(above) ? v + (v - low) : (v + above) / 2;

    for (int n = 0; n < digits; n++) {
        snprintf(text, PG_FLOAT_TEXT, "%.*e", n, v);
        long double back = strtold(text, NULL);
        if (back > low && back < high)
            return;
        /* At a middle by rounding only, unless v is a whole number that 64 bits hold exactly. */
        if (digits == 17 && (back == low || back == high) && (v < 0x1p53 || v > 0x1p64) && strtod(text, NULL) == v)
            return;
    }
}

size_t pg_float_format(double v, int digits, char out[PG_FLOAT_TEXT])
{
    char text[PG_FLOAT_TEXT], mantissa[PG_FLOAT_TEXT];
    int n = 0;

    assert(digits == 9 || digits == 17);
    if (isnan(v) || isinf(v))
        return (size_t)snprintf(out, PG_FLOAT_TEXT, "%s", isnan(v) ? "NaN" : v < 0 ? "-Infinity" : "Infinity");
    shortest_digits(fabs(v), digits, text);
    char *e = strchr(text, 'e');
    int exponent = (int)strtol(e + 1, NULL, 10), at = signbit(v) ? 1 : 0;
    out[0] = '-';
    for (const char *p = text; p < e; p++)
        if (*p != '.')
            mantissa[n++] = *p;
    if (exponent < -4 || exponent >= (digits == 9 ? 6 : 15)) /* FLT_DIG, DBL_DIG: where PostgreSQL changes over */
        return (size_t)at + (size_t)snprintf(out + at, (size_t)(PG_FLOAT_TEXT - at), "%.1s%s%.*se%c%02d", mantissa,
                                             n > 1 ? "." : "", n - 1, mantissa + 1, exponent < 0 ? '-' : '+',
                                             abs(exponent));
    if (exponent < 0) {
        at += snprintf(out + at, (size_t)(PG_FLOAT_TEXT - at), "0.%.*s%.*s", -exponent - 1, "0000", n, mantissa);
        return (size_t)at;
    }
    for (int i = 0; i <= MAX(exponent, n - 1); i++) {
        if (i == exponent + 1)
            out[at++] = '.';
        out[at++] = i < n ? mantissa[i] : '0';
    }
    out[at] = 0;
    return (size_t)at;
}
