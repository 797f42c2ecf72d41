/* Text of statistics and partition values, and DuckDB's constants, as values that compare: numbers exactly, as integers with a scale. */
#include "delta/scan/prune_value.h"

#include "base/clock.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define US_A_SECOND INT64_C(1000000)
#define US_A_DAY (86400 * US_A_SECOND)

enum { MAX_SCALE = 60, MAX_REAL_TEXT = 63, REAL_DIGITS = 15, REAL_TEXT_DIGITS = 17 };

/* v * 10^n, false when that does not fit. */
static bool scale_up(__int128 v, unsigned n, __int128 *ret)
{
    for (; n && v; n--)
        if (__builtin_mul_overflow(v, (__int128)10, &v))
            return false;
    *ret = v;
    return true;
}

static int number_cmp(const struct prune_value *a, const struct prune_value *b)
{
    __int128 x = a->number, y = b->number;

    /* what does not fit at the other's scale is farther from 0 than anything that does */
    if (a->scale < b->scale && !scale_up(x, b->scale - a->scale, &x))
        return a->number < 0 ? -1 : 1;
    if (b->scale < a->scale && !scale_up(y, a->scale - b->scale, &y))
        return b->number < 0 ? 1 : -1;
    return (x > y) - (x < y);
}

int prune_value_cmp(const struct prune_value *a, const struct prune_value *b)
{
    assert(a->kind == b->kind);
    switch (a->kind) {
    case PRUNE_NUMBER:
        return number_cmp(a, b);
    case PRUNE_REAL:
        if (isnan(a->real) || isnan(b->real))
            return isnan(a->real) - isnan(b->real);
        return (a->real > b->real) - (a->real < b->real);
    default:
        return str_cmp(a->text, b->text);
    }
}

static bool is_digit(struct str s, size_t i)
{
    return i < s.n && s.p[i] >= '0' && s.p[i] <= '9';
}

bool prune_number(struct str text, struct prune_value *ret)
{
    size_t i = text.n && (text.p[0] == '-' || text.p[0] == '+');
    bool negative = i && text.p[0] == '-', any = false;
    __int128 v = 0;
    int64_t scale = 0, exponent = 0;

    for (bool point = false; i < text.n && (is_digit(text, i) || (text.p[i] == '.' && !point)); i++) {
        if (text.p[i] == '.') {
            point = true;
            continue;
        }
        if (__builtin_mul_overflow(v, (__int128)10, &v) || __builtin_add_overflow(v, (__int128)(text.p[i] - '0'), &v))
            return false;
        scale += point;
        any = true;
    }
    if (any && i < text.n && (text.p[i] | 0x20) == 'e') {
        i += 1 + (i + 1 < text.n && text.p[i + 1] == '+');
        if (text.n - i > 4 || !str_to_i64(str_make(text.p + i, text.n - i), &exponent))
            return false;
        i = text.n;
    }
    scale -= exponent;
    if (!any || i != text.n || scale > MAX_SCALE || (scale < 0 && !scale_up(v, (unsigned)-scale, &v)))
        return false;
    *ret = (struct prune_value){.kind = PRUNE_NUMBER, .number = negative ? -v : v, .scale = (uint8_t)MAX(scale, 0)};
    return true;
}

/* Digits from the first that is no 0, up to an exponent. */
static size_t significant(struct str text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.n && (text.p[i] | 0x20) != 'e'; i++)
        n += is_digit(text, i) && (n || text.p[i] != '0');
    return n;
}

bool prune_decimal_loosen(const struct type *type, struct str text, bool up, struct prune_value *v)
{
    unsigned scale = MAX(type->scale, v->scale);
    __int128 n;

    if (type->precision <= REAL_DIGITS || significant(text) > REAL_TEXT_DIGITS)
        return true;
    if (!scale_up(v->number, scale - v->scale, &n))
        return false;
    __int128 off = ((n < 0 ? -n : n) >> 51) + 1; /* twice what two roundings of 53 bits come to */
    if (__builtin_add_overflow(n, up ? off : -off, &n))
        return false;
    *v = (struct prune_value){.kind = PRUNE_NUMBER, .number = n, .scale = (uint8_t)scale};
    return true;
}

static bool read_real(struct str text, bool single, struct prune_value *ret)
{
    char copy[MAX_REAL_TEXT + 1], *end;

    if (!text.n || text.n > MAX_REAL_TEXT)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    double v = single ? (double)strtof(copy, &end) : strtod(copy, &end);
    *ret = (struct prune_value){.kind = PRUNE_REAL, .real = v};
    return end == copy + text.n;
}

/* n digits at `at`; -1 when they are none. */
static int64_t digits(struct str s, size_t at, size_t n)
{
    int64_t v = 0;

    for (size_t i = at; i < at + n; i++) {
        if (!is_digit(s, i))
            return -1;
        v = v * 10 + (s.p[i] - '0');
    }
    return v;
}

/* "2024-01-10" at the start → days. */
static bool read_date(struct str s, int64_t *ret)
{
    int64_t year = digits(s, 0, 4), month = digits(s, 5, 2), day = digits(s, 8, 2);

    if (s.n < 10 || s.p[4] != '-' || s.p[7] != '-' || year < 0 || month < 1 || month > 12 || day < 1 || day > 31)
        return false;
    *ret = clock_days_from_civil(year, (unsigned)month, (unsigned)day);
    return true;
}

/* "", "Z", "+01:00", "-0800", "+05" → seconds east of UTC. */
static bool read_zone(struct str s, int64_t *ret)
{
    size_t colon = s.n > 3 && s.p[3] == ':';
    int64_t hours, minutes = 0;

    *ret = 0;
    if (!s.n || str_is(s, "Z"))
        return true;
    hours = digits(s, 1, 2);
    if (s.n > 3)
        minutes = digits(s, 3 + colon, 2);
    if ((s.p[0] != '+' && s.p[0] != '-') || hours < 0 || minutes < 0 || (s.n != 3 && s.n != 5 + colon))
        return false;
    *ret = (hours * 60 + minutes) * (s.p[0] == '-' ? -60 : 60);
    return true;
}

/* "2024-01-10[ T]03:04:05[.f…][zone]", or a date alone → microseconds, what is finer cut off. */
static bool read_timestamp(struct str s, int64_t *ret)
{
    int64_t days, zone, fraction = 0;
    size_t i = 19, n = 0;

    if (!read_date(s, &days))
        return false;
    *ret = days * US_A_DAY;
    if (s.n == 10)
        return true;
    int64_t h = digits(s, 11, 2), m = digits(s, 14, 2), sec = digits(s, 17, 2);
    if (s.n < 19 || (s.p[10] != ' ' && s.p[10] != 'T') || s.p[13] != ':' || s.p[16] != ':' || h < 0 || m < 0 || sec < 0)
        return false;
    if (i < s.n && s.p[i] == '.')
        for (i++; is_digit(s, i); i++)
            if (n++ < 6)
                fraction = fraction * 10 + (s.p[i] - '0');
    for (; n < 6; n++)
        fraction *= 10;
    if (!read_zone(str_make(s.p + i, s.n - i), &zone))
        return false;
    *ret += ((h * 60 + m) * 60 + sec - zone) * US_A_SECOND + fraction;
    return true;
}

static struct prune_value whole(int64_t v)
{
    return (struct prune_value){.kind = PRUNE_NUMBER, .number = v};
}

bool prune_value_read(const struct type *type, struct str text, int64_t slack, struct prune_value *ret)
{
    int64_t v;

    switch (type->id) {
    case TYPE_BOOLEAN:
        *ret = whole(str_eq_nocase(text, STR("true")));
        return ret->number || str_eq_nocase(text, STR("false"));
    case TYPE_BYTE:
    case TYPE_SHORT:
    case TYPE_INTEGER:
    case TYPE_LONG:
    case TYPE_DECIMAL:
        return prune_number(text, ret);
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        return read_real(text, type->id == TYPE_FLOAT, ret);
    case TYPE_STRING:
        *ret = (struct prune_value){.kind = PRUNE_TEXT, .text = text};
        return true;
    case TYPE_DATE:
        if (text.n != 10 || !read_date(text, &v))
            return false;
        *ret = whole(v);
        return true;
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMP_NTZ:
        if (!read_timestamp(text, &v))
            return false;
        *ret = whole(v + slack);
        return true;
    default:
        return false;
    }
}
