/*
 * Scalar values as text. Two forms share them: JSON adds quotes where JSON wants them, and differs for timestamps
 * (ISO 8601) and binary (base64).
 */
#include "engine/internal.h"

#include "base/clock.h"

#include <assert.h>
#include <math.h>

typedef unsigned __int128 u128;
typedef __int128 i128;

#define AT(type) (((const type *)v->data)[row])

static void add_u128(struct buf *out, u128 n, unsigned scale)
{
    char text[64];
    unsigned at = sizeof text, digits = 0;

    do {
        if (digits == scale && scale)
            text[--at] = '.';
        text[--at] = (char)('0' + (unsigned)(n % 10));
        n /= 10;
        digits++;
    } while (n || digits <= scale);
    buf_add(out, text + at, sizeof text - at);
}

static void add_i128(struct buf *out, i128 n, unsigned scale)
{
    if (n < 0)
        buf_add_char(out, '-');
    add_u128(out, n < 0 ? -(u128)n : (u128)n, scale);
}

static i128 hugeint_at(const struct engine_vector *v, uint64_t row)
{
    duckdb_hugeint h = AT(duckdb_hugeint);

    return (i128)((u128)(uint64_t)h.upper << 64 | h.lower);
}

/* The shortest text that reads back as the same number. */
static void add_float(struct buf *out, double d, bool is_float, bool json)
{
    char text[40];

    if (isnan(d) || isinf(d)) {
        buf_printf(out, json ? "\"%s\"" : "%s", isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity");
        return;
    }
    for (int digits = is_float ? 6 : 15; digits <= (is_float ? 9 : 17); digits++) {
        snprintf(text, sizeof text, "%.*g", digits, d);
        if (is_float ? strtof(text, NULL) == (float)d : strtod(text, NULL) == d)
            break;
    }
    buf_add_cstr(out, text);
    if (!strpbrk(text, ".e"))
        buf_add_cstr(out, ".0");
}

/* `digits` of a fraction: as many as it has in JSON (some readers want 3, 6 or 9), without trailing zeros in text. */
static void add_fraction(struct buf *out, int64_t n, int digits, bool json)
{
    char text[24];

    if (!n)
        return;
    int len = snprintf(text, sizeof text, ".%0*lld", digits, (long long)n);
    while (!json && text[len - 1] == '0')
        len--;
    buf_add(out, text, (size_t)len);
}

static void add_date(struct buf *out, int64_t days, bool json)
{
    int64_t year;
    unsigned month, day;

    clock_civil_from_days(days, &year, &month, &day);
    if (year < 1 && !json) /* as DuckDB and PostgreSQL write it: there is no year 0 */
        buf_printf(out, "%04lld-%02u-%02u (BC)", (long long)(1 - year), month, day);
    else if (year < 0)
        buf_printf(out, "-%04lld-%02u-%02u", (long long)-year, month, day);
    else
        buf_printf(out, "%04lld-%02u-%02u", (long long)year, month, day);
}

static void add_time(struct buf *out, int64_t seconds, int64_t fraction, int digits, bool json)
{
    buf_printf(out, "%02lld:%02lld:%02lld", (long long)(seconds / 3600), (long long)(seconds / 60 % 60),
               (long long)(seconds % 60));
    add_fraction(out, fraction, digits, json);
}

/* A count of units (10^digits a second) since 1970. */
static void add_timestamp(struct buf *out, int64_t t, int digits, bool zone, bool json)
{
    static const int64_t units[] = {1, 0, 0, 1000, 0, 0, 1000000, 0, 0, 1000000000};
    int64_t unit = units[digits];

    if (t == INT64_MAX || t == -INT64_MAX) {
        buf_add_cstr(out, t > 0 ? "infinity" : "-infinity");
        return;
    }
    int64_t seconds = t / unit - (t % unit < 0), fraction = t - seconds * unit;
    int64_t days = seconds / 86400 - (seconds % 86400 < 0);
    add_date(out, days, json);
    buf_add_char(out, json ? 'T' : ' ');
    add_time(out, seconds - days * 86400, fraction, digits, json);
    if (zone)
        buf_add_cstr(out, json ? "Z" : "+00");
}

static void add_time_tz(struct buf *out, uint64_t bits, bool json)
{
    int64_t us = (int64_t)(bits >> 24);
    int32_t offset = 57599 - (int32_t)(bits & 0xffffff);
    unsigned abs = (unsigned)(offset < 0 ? -offset : offset);

    add_time(out, us / 1000000, us % 1000000, 6, json);
    buf_printf(out, "%c%02u", offset < 0 ? '-' : '+', abs / 3600);
    if (abs % 3600 || json)
        buf_printf(out, ":%02u", abs / 60 % 60);
    if (abs % 60)
        buf_printf(out, ":%02u", abs % 60);
}

static void add_interval(struct buf *out, duckdb_interval i)
{
    size_t begin = out->n;
    const struct {
        int64_t n;
        const char *unit;
    } parts[] = {{i.months / 12, "year"}, {i.months % 12, "month"}, {i.days, "day"}};

    for (size_t k = 0; k < ARRAY_LEN(parts); k++)
        if (parts[k].n)
            buf_printf(out, "%s%lld %s%s", out->n > begin ? " " : "", (long long)parts[k].n, parts[k].unit,
                       parts[k].n == 1 || parts[k].n == -1 ? "" : "s");
    if (!i.micros && out->n > begin)
        return;
    if (out->n > begin)
        buf_add_char(out, ' ');
    if (i.micros < 0)
        buf_add_char(out, '-');
    uint64_t us = i.micros < 0 ? -(uint64_t)i.micros : (uint64_t)i.micros;
    add_time(out, (int64_t)(us / 1000000), (int64_t)(us % 1000000), 6, false);
}

static void add_uuid(struct buf *out, i128 value)
{
    u128 n = (u128)value ^ (u128)1 << 127; /* stored with the top bit flipped, so that it sorts as signed */

    for (int i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            buf_add_char(out, '-');
        buf_add_char(out, "0123456789abcdef"[(unsigned)(n >> (124 - 4 * i)) & 15]);
    }
}

/* The first byte says how many bits of the second are padding. */
static void add_bits(struct buf *out, struct str s)
{
    for (size_t i = 1; i < s.n; i++)
        for (int bit = i == 1 ? 7 - s.p[0] : 7; bit >= 0; bit--)
            buf_add_char(out, (uint8_t)s.p[i] >> bit & 1 ? '1' : '0');
}

/* 3 bytes of header, then the number, big-endian; all of it inverted when negative. */
static void add_bignum(struct buf *out, struct str s)
{
    CLEANUP(buf_deinit) struct buf digits = {0}; /* base 10, lowest first */
    bool negative = s.n && !((uint8_t)s.p[0] & 0x80);

    for (size_t i = 3; i < s.n; i++) {
        unsigned carry = negative ? (uint8_t)~s.p[i] : (uint8_t)s.p[i];
        for (size_t k = 0; k < digits.n; k++) {
            carry += (unsigned)digits.p[k] * 256;
            digits.p[k] = (char)(carry % 10);
            carry /= 10;
        }
        for (; carry; carry /= 10)
            buf_add_char(&digits, (char)(carry % 10));
    }
    if (negative)
        buf_add_char(out, '-');
    if (!digits.n)
        buf_add_char(out, '0');
    for (size_t k = digits.n; k-- > 0;)
        buf_add_char(out, (char)('0' + digits.p[k]));
}

static void add_blob_text(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] >= 0x20 && (uint8_t)s.p[i] < 0x7f && !strchr("\\'\"", s.p[i]))
            buf_add_char(out, s.p[i]);
        else
            buf_printf(out, "\\x%02X", (uint8_t)s.p[i]);
}

/* What is the same in both forms and needs no quotes in JSON. False when the kind is not one of these. */
static bool add_number(struct buf *out, const struct engine_vector *v, uint64_t row, bool json)
{
    const struct engine_type *t = v->type;

    switch (t->kind) {
    case ENGINE_BOOLEAN:
        buf_add_cstr(out, AT(uint8_t) ? "true" : "false");
        return true;
    case ENGINE_UBIGINT:
        add_u128(out, AT(uint64_t), 0);
        return true;
    case ENGINE_TINYINT:
    case ENGINE_SMALLINT:
    case ENGINE_INTEGER:
    case ENGINE_BIGINT:
    case ENGINE_UTINYINT:
    case ENGINE_USMALLINT:
    case ENGINE_UINTEGER:
        add_i128(out, engine_i64(v, row), 0);
        return true;
    case ENGINE_HUGEINT:
        add_i128(out, hugeint_at(v, row), 0);
        return true;
    case ENGINE_UHUGEINT:
        add_u128(out, (u128)hugeint_at(v, row), 0);
        return true;
    case ENGINE_DECIMAL:
        add_i128(out, t->precision > 18 ? hugeint_at(v, row) : engine_i64(v, row), t->scale);
        return true;
    case ENGINE_BIGNUM:
        add_bignum(out, engine_str(v, row));
        return true;
    case ENGINE_FLOAT:
    case ENGINE_DOUBLE:
        add_float(out, engine_f64(v, row), t->kind == ENGINE_FLOAT, json);
        return true;
    default:
        return false;
    }
}

/* Times and the like: letters and digits only, so that JSON just puts quotes around. */
static bool add_plain(struct buf *out, const struct engine_vector *v, uint64_t row, bool json)
{
    switch (v->type->kind) {
    case ENGINE_DATE: {
        int32_t days = AT(int32_t);
        if (days == INT32_MAX || days == -INT32_MAX)
            buf_add_cstr(out, days > 0 ? "infinity" : "-infinity");
        else
            add_date(out, days, json);
        return true;
    }
    case ENGINE_TIME:
        add_time(out, AT(int64_t) / 1000000, AT(int64_t) % 1000000, 6, json);
        return true;
    case ENGINE_TIME_NS:
        add_time(out, AT(int64_t) / 1000000000, AT(int64_t) % 1000000000, 9, json);
        return true;
    case ENGINE_TIME_TZ:
        add_time_tz(out, AT(uint64_t), json);
        return true;
    case ENGINE_TIMESTAMP:
    case ENGINE_TIMESTAMP_TZ:
        add_timestamp(out, AT(int64_t), 6, v->type->kind == ENGINE_TIMESTAMP_TZ, json);
        return true;
    case ENGINE_TIMESTAMP_S:
        add_timestamp(out, AT(int64_t), 0, false, json);
        return true;
    case ENGINE_TIMESTAMP_MS:
        add_timestamp(out, AT(int64_t), 3, false, json);
        return true;
    case ENGINE_TIMESTAMP_NS:
        add_timestamp(out, AT(int64_t), 9, false, json);
        return true;
    case ENGINE_INTERVAL:
        add_interval(out, AT(duckdb_interval));
        return true;
    case ENGINE_UUID:
        add_uuid(out, hugeint_at(v, row));
        return true;
    case ENGINE_BIT:
        add_bits(out, engine_str(v, row));
        return true;
    default:
        return false;
    }
}

bool render_scalar_json(struct buf *out, const struct engine_vector *v, uint64_t row)
{
    size_t begin = out->n;

    if (add_number(out, v, row, true))
        return true;
    buf_add_char(out, '"');
    if (add_plain(out, v, row, true)) {
        buf_add_char(out, '"');
        return true;
    }
    out->n = begin;
    switch (v->type->kind) {
    case ENGINE_BLOB:
        buf_add_char(out, '"');
        buf_add_base64(out, engine_str(v, row));
        buf_add_char(out, '"');
        return true;
    case ENGINE_ENUM:
        buf_add_json_str(out, engine_str(v, row));
        return true;
    case ENGINE_VARCHAR:
        if (!v->type->json) {
            buf_add_json_str(out, engine_str(v, row));
            return true;
        }
        buf_add_str(out, engine_str(v, row));
        for (; begin < out->n; begin++) /* line ends in JSON are white space */
            if (out->p[begin] == '\n' || out->p[begin] == '\r')
                out->p[begin] = ' ';
        return true;
    default:
        return false;
    }
}

bool render_scalar_text(struct buf *out, const struct engine_vector *v, uint64_t row)
{
    if (add_number(out, v, row, false) || add_plain(out, v, row, false))
        return true;
    switch (v->type->kind) {
    case ENGINE_BLOB:
        add_blob_text(out, engine_str(v, row));
        return true;
    case ENGINE_VARCHAR:
    case ENGINE_ENUM:
        buf_add_str(out, engine_str(v, row));
        return true;
    default:
        return false;
    }
}
