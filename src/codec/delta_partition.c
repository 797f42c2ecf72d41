/*
 * Partition values: the log's text ⇄ SQL literals and folder names. Everything that reaches SQL is either checked
 * against the form of its type or quoted as a string.
 */
#include "codec/delta_partition.h"

#include "base/clock.h"

#include <assert.h>

static int refuse(const struct type *t, struct str value, struct err *err)
{
    CLEANUP(buf_deinit) struct buf name = {0};

    type_text(t, &name);
    return err_set(err, ERR_INPUT, "the partition value \"%.*s\" is no %s", STR_ARG(value), name.p);
}

static size_t digits(struct str s, size_t at, size_t max)
{
    size_t n = 0;

    while (at + n < s.n && n < max && s.p[at + n] >= '0' && s.p[at + n] <= '9')
        n++;
    return n;
}

/* Bytes of the date "[+-]yyyy…-m[m]-d[d]" that the text starts with, 0 when it does not. */
static size_t date_length(struct str s)
{
    size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+');
    size_t n = digits(s, i, 9);

    for (int part = 0; part < 2; part++) {
        i += n;
        if (!n || i >= s.n || s.p[i] != '-')
            return 0;
        n = digits(s, ++i, 2);
    }
    return n ? i + n : 0;
}

bool delta_partition_days(struct str s, int64_t *ret)
{
    bool sign = s.n && (s.p[0] == '-' || s.p[0] == '+');
    struct str rest = str_make(s.p + sign, s.n - sign);
    int64_t year, month, day;

    if (date_length(s) != s.n || !str_to_i64(str_split(&rest, '-'), &year) ||
        !str_to_i64(str_split(&rest, '-'), &month) || !str_to_i64(rest, &day) || month < 1 || month > 12 || day < 1 ||
        day > 31)
        return false;
    *ret = clock_days_from_civil(sign && s.p[0] == '-' ? -year : year, (unsigned)month, (unsigned)day);
    return *ret > INT32_MIN && *ret < INT32_MAX;
}

/* Bytes of "hh:mm[:ss[.f…]]" at the start. */
static size_t time_length(struct str s)
{
    size_t i = digits(s, 0, 2);

    for (int part = 0; i && part < 2 && i < s.n && s.p[i] == ':'; part++) {
        size_t n = digits(s, i + 1, 2);
        if (!n)
            return 0;
        i += 1 + n;
    }
    if (i > 2 && i < s.n && s.p[i] == '.')
        i += 1 + digits(s, i + 1, 9);
    return i > 2 ? i : 0;
}

/* Splits a timestamp in date, time and zone ("" none, "Z", "+hh[:mm]"). */
static bool split_timestamp(struct str s, struct str *date, struct str *time, struct str *zone)
{
    size_t n = date_length(s);

    *date = str_make(s.p, n);
    *time = STR("00:00:00");
    *zone = STR("");
    if (!n)
        return false;
    if (n == s.n)
        return true;
    if (s.p[n] != ' ' && s.p[n] != 'T')
        return false;
    struct str rest = str_make(s.p + n + 1, s.n - n - 1);
    n = time_length(rest);
    *time = str_make(rest.p, n);
    *zone = str_make(rest.p + n, rest.n - n);
    if (!n)
        return false;
    if (!zone->n || str_is(*zone, "Z"))
        return true;
    if (zone->p[0] != '+' && zone->p[0] != '-')
        return false;
    for (size_t i = 1; i < zone->n; i++)
        if (zone->p[i] != ':' && (zone->p[i] < '0' || zone->p[i] > '9'))
            return false;
    return zone->n >= 3 && zone->n <= 9;
}

static bool is_number(struct str s, bool exponent)
{
    size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+');
    size_t whole = digits(s, i, SIZE_MAX), frac = 0;

    i += whole;
    if (i < s.n && s.p[i] == '.') {
        frac = digits(s, i + 1, SIZE_MAX);
        i += 1 + frac;
    }
    if (exponent && i < s.n && (s.p[i] | 0x20) == 'e') {
        i += 1 + (i + 1 < s.n && (s.p[i + 1] == '-' || s.p[i + 1] == '+'));
        size_t n = digits(s, i, 6);
        i += n;
        if (!n)
            return false;
    }
    return whole + frac > 0 && i == s.n;
}

static bool is_non_finite(struct str s)
{
    return str_is(s, "NaN") || str_is(s, "Infinity") || str_is(s, "-Infinity");
}

static void add_cast(struct buf *out, struct str value, const char *type)
{
    buf_add_cstr(out, "CAST(");
    buf_add_sql_literal(out, value);
    buf_printf(out, " AS %s)", type);
}

static int sql_integer(const struct type *t, struct str value, struct buf *out, struct err *err)
{
    static const char *const names[] = {
        [TYPE_BYTE] = "TINYINT", [TYPE_SHORT] = "SMALLINT", [TYPE_INTEGER] = "INTEGER", [TYPE_LONG] = "BIGINT"};
    static const int bits[] = {[TYPE_BYTE] = 8, [TYPE_SHORT] = 16, [TYPE_INTEGER] = 32, [TYPE_LONG] = 64};
    int64_t v;

    if (!str_to_i64(value, &v))
        return refuse(t, value, err);
    if (bits[t->id] < 64 && (v >= (int64_t)1 << (bits[t->id] - 1) || v < -((int64_t)1 << (bits[t->id] - 1))))
        return refuse(t, value, err);
    add_cast(out, value, names[t->id]);
    return 0;
}

static int sql_time(const struct type *t, struct str value, struct buf *out, struct err *err)
{
    struct str date, time, zone;

    if (!split_timestamp(value, &date, &time, &zone))
        return refuse(t, value, err);
    if (date.p[0] == '+') /* years past 9999 have one; DuckDB takes none */
        date = str_make(date.p + 1, date.n - 1);
    if (t->id == TYPE_DATE) {
        buf_printf(out, "DATE '%.*s'", STR_ARG(date));
        return 0;
    }
    if (t->id == TYPE_TIMESTAMP_NTZ) {
        buf_printf(out, "TIMESTAMP '%.*s %.*s'", STR_ARG(date), STR_ARG(time));
        return 0;
    }
    if (!zone.n || str_is(zone, "Z"))
        zone = STR("+00");
    buf_printf(out, "TIMESTAMPTZ '%.*s %.*s%.*s'", STR_ARG(date), STR_ARG(time), STR_ARG(zone));
    return 0;
}

static void sql_binary(struct str value, struct buf *out)
{
    buf_add_char(out, '\'');
    for (size_t i = 0; i < value.n; i++)
        buf_printf(out, "\\x%02X", (unsigned char)value.p[i]);
    buf_add_cstr(out, "'::BLOB");
}

int delta_partition_sql(const struct type *t, struct str value, struct buf *out, struct err *err)
{
    if (!value.n || t->id == TYPE_VOID) { /* "" is null for every type */
        buf_add_cstr(out, "NULL");
        return 0;
    }
    switch (t->id) {
    case TYPE_BOOLEAN:
        if (!str_eq_nocase(value, STR("true")) && !str_eq_nocase(value, STR("false")))
            return refuse(t, value, err);
        buf_add_str(out, value);
        return 0;
    case TYPE_BYTE:
    case TYPE_SHORT:
    case TYPE_INTEGER:
    case TYPE_LONG:
        return sql_integer(t, value, out, err);
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        if (!is_number(value, true) && !is_non_finite(value))
            return refuse(t, value, err);
        add_cast(out, value, t->id == TYPE_FLOAT ? "FLOAT" : "DOUBLE");
        return 0;
    case TYPE_DECIMAL: {
        char name[32];
        if (!is_number(value, true))
            return refuse(t, value, err);
        snprintf(name, sizeof name, "DECIMAL(%d,%d)", t->precision, t->scale);
        add_cast(out, value, name);
        return 0;
    }
    case TYPE_STRING:
        buf_add_sql_literal(out, value);
        return 0;
    case TYPE_BINARY:
        sql_binary(value, out);
        return 0;
    case TYPE_DATE:
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMP_NTZ:
        return sql_time(t, value, out, err);
    default:
        return refuse(t, value, err);
    }
}

static int text_time(const struct type *t, struct str value, struct buf *out, struct err *err)
{
    struct str date, time, zone;

    if (!split_timestamp(value, &date, &time, &zone))
        return refuse(t, value, err);
    buf_add_str(out, date);
    if (t->id == TYPE_DATE)
        return time.n && !str_is(time, "00:00:00") ? refuse(t, value, err) : 0;
    if (t->id == TYPE_TIMESTAMP && zone.n && !str_is(zone, "Z") && !str_is(zone, "+00") && !str_is(zone, "+00:00"))
        return err_set(err, ERR_INPUT, "the partition value \"%.*s\" is not in UTC", STR_ARG(value));
    buf_add_char(out, t->id == TYPE_TIMESTAMP ? 'T' : ' ');
    buf_add_str(out, time);
    if (t->id == TYPE_TIMESTAMP)
        buf_add_char(out, 'Z');
    return 0;
}

int delta_partition_text(const struct type *t, struct str value, struct buf *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf ignore = {0};

    switch (t->id) {
    case TYPE_DATE:
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMP_NTZ:
        return text_time(t, value, out, err);
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        if (str_is(value, "inf"))
            value = STR("Infinity");
        else if (str_is(value, "-inf"))
            value = STR("-Infinity");
        else if (str_is(value, "nan"))
            value = STR("NaN");
        break;
    case TYPE_BINARY:
        if (!str_is_utf8(value))
            return err_set(err, ERR_UNSUPPORTED, "a binary partition value that is not UTF-8 cannot be written");
        break;
    default:
        break;
    }
    TRY(delta_partition_sql(t, value, &ignore, err));
    if (t->id == TYPE_DECIMAL)
        buf_add_decimal(out, value);
    else
        buf_add_str(out, value);
    return 0;
}

/* Hive's escapes: control characters and what file systems or its own syntax take for something else. */
static void add_escaped(struct buf *out, struct str s)
{
    static const char special[] = "\"#%'*/:=?\\{[]^";

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == 0x7f || strchr(special, c))
            buf_printf(out, "%%%02X", c);
        else
            buf_add_char(out, (char)c);
    }
}

void delta_partition_dir(struct str name, struct str value, struct buf *out)
{
    add_escaped(out, name);
    buf_add_char(out, '=');
    if (value.n)
        add_escaped(out, value);
    else
        buf_add_cstr(out, "__HIVE_DEFAULT_PARTITION__");
}
