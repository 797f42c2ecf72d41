/*
 * Dates and times of PostgreSQL.
 *
 *   binary: date          days:4 since 2000-01-01; the extremes mean ±infinity
 *           timestamp(tz) microseconds:8 since 2000-01-01 (UTC); the extremes mean ±infinity
 *           time          microseconds:8 of the day, 24:00:00 included
 *           timetz        microseconds:8 of the day, seconds:4 west of UTC
 *           interval      microseconds:8, days:4, months:4
 *   text:   [y…]yyyy-mm-dd[ hh:mm:ss[.ffffff][±hh[:mm[:ss]]]][ BC]
 */
#include "codec/pg_time.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdio.h>

#define US_PER_SECOND INT64_C(1000000)
#define US_PER_DAY INT64_C(86400000000)
#define EPOCH_DAYS 10957 /* 2000-01-01 */
#define EPOCH_US (EPOCH_DAYS * US_PER_DAY)

static int bad_time(struct str s, const char *type, struct err *err)
{
    return err_set(err, ERR_INPUT, "'%.*s' is not a %s", (int)MIN(s.n, 64u), s.n ? s.p : "", type);
}

static int bad_bytes(size_t n, const char *type, struct err *err)
{
    return err_set(err, ERR_INPUT, "%zu bytes are not a %s", n, type);
}

static int infinite(bool negative, const char *type, struct err *err)
{
    return err_set(err, ERR_LIMIT, "the %s %sinfinity cannot be stored", type, negative ? "-" : "");
}

static int out_of_range(const char *type, struct err *err)
{
    return err_set(err, ERR_LIMIT, "the %s is outside the range that can be stored", type);
}

/* A cursor over text with a sticky failure. */
struct scan {
    const char *p, *end;
    bool failed;
};

/* Exactly two digits. */
static inline unsigned scan2(struct scan *c)
{
    if (c->end - c->p < 2) {
        c->failed = true;
        return 0;
    }
    unsigned a = (unsigned)(c->p[0] - '0'), b = (unsigned)(c->p[1] - '0');
    c->p += 2;
    if (a > 9 || b > 9) {
        c->failed = true;
        return 0;
    }
    return a * 10 + b;
}

static inline bool scan_char(struct scan *c, char want)
{
    if (c->p == c->end || *c->p != want)
        return false;
    c->p++;
    return true;
}

static inline void scan_expect(struct scan *c, char want)
{
    c->failed |= !scan_char(c, want);
}

struct civil {
    int64_t year;
    unsigned month, day;
};

static void scan_date(struct scan *c, struct civil *ret)
{
    int digits = 0;

    ret->year = 0;
    for (; c->p < c->end && (unsigned)(*c->p - '0') <= 9 && digits < 8; c->p++, digits++)
        ret->year = ret->year * 10 + (*c->p - '0');
    scan_expect(c, '-');
    ret->month = scan2(c);
    scan_expect(c, '-');
    ret->day = scan2(c);
    c->failed |= digits < 4 || ret->year == 0;
}

/* The optional " BC" and the end; then the day number. */
static bool finish_date(struct scan *c, struct civil *d, int64_t *ret_days)
{
    static const uint8_t month_days[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (c->end - c->p == 3 && c->p[0] == ' ' && c->p[1] == 'B' && c->p[2] == 'C') {
        c->p += 3;
        d->year = 1 - d->year;
    }
    if (c->failed || c->p != c->end || d->month < 1 || d->month > 12 || d->day < 1 || d->day > month_days[d->month])
        return false;
    if (d->month == 2 && d->day == 29 && (d->year % 4 || (d->year % 100 == 0 && d->year % 400)))
        return false;
    *ret_days = clock_days_from_civil(d->year, d->month, d->day);
    return true;
}

/* hh:mm:ss[.f…] in microseconds. */
static int64_t scan_clock(struct scan *c)
{
    unsigned hour = scan2(c);
    scan_expect(c, ':');
    unsigned minute = scan2(c);
    scan_expect(c, ':');
    unsigned second = scan2(c), micros = 0;
    if (scan_char(c, '.')) {
        unsigned unit = 100000;
        const char *start = c->p;
        for (; c->p < c->end && (unsigned)(*c->p - '0') <= 9 && unit; c->p++, unit /= 10)
            micros += (unsigned)(*c->p - '0') * unit;
        c->failed |= c->p == start;
    }
    c->failed |= hour > 23 || minute > 59 || second > 59;
    return ((int64_t)hour * 3600 + minute * 60 + second) * US_PER_SECOND + micros;
}

/* ±hh[:mm[:ss]] in microseconds east of UTC. */
static int64_t scan_zone(struct scan *c)
{
    bool west = scan_char(c, '-');

    if (!west)
        scan_expect(c, '+');
    int64_t s = (int64_t)scan2(c) * 3600;
    if (scan_char(c, ':'))
        s += (int64_t)scan2(c) * 60;
    if (scan_char(c, ':'))
        s += scan2(c);
    return (west ? -s : s) * US_PER_SECOND;
}

static bool is_infinity(struct str s)
{
    return str_eq(s, STR("infinity")) || str_eq(s, STR("-infinity"));
}

int pg_date_parse(struct str s, int32_t *ret_days, struct err *err)
{
    struct scan c = {s.p, s.p + s.n, false};
    struct civil d;
    int64_t days;

    scan_date(&c, &d);
    if (!finish_date(&c, &d, &days))
        return is_infinity(s) ? infinite(s.p[0] == '-', "date", err) : bad_time(s, "date", err);
    if (days < INT32_MIN || days > INT32_MAX)
        return out_of_range("date", err);
    *ret_days = (int32_t)days;
    return 0;
}

int pg_date_read(struct str bytes, int32_t *ret_days, struct err *err)
{
    struct reader r = reader_of(bytes.p, bytes.n);
    int32_t days = (int32_t)reader_be32(&r);

    if (bytes.n != 4)
        return bad_bytes(bytes.n, "date", err);
    if (days == INT32_MIN || days == INT32_MAX)
        return infinite(days < 0, "date", err);
    if (__builtin_add_overflow(days, EPOCH_DAYS, ret_days))
        return out_of_range("date", err);
    return 0;
}

int pg_timestamp_parse(struct str s, bool zone, int64_t *ret_us, struct err *err)
{
    const char *type = zone ? "timestamptz" : "timestamp";
    struct scan c = {s.p, s.p + s.n, false};
    struct civil d;
    int64_t days, us;

    scan_date(&c, &d);
    scan_expect(&c, ' ');
    int64_t of_day = scan_clock(&c);
    if (zone)
        of_day -= scan_zone(&c);
    if (!finish_date(&c, &d, &days))
        return is_infinity(s) ? infinite(s.p[0] == '-', type, err) : bad_time(s, type, err);
    if (__builtin_mul_overflow(days, US_PER_DAY, &us) || __builtin_add_overflow(us, of_day, &us))
        return out_of_range(type, err);
    *ret_us = us;
    return 0;
}

int pg_timestamp_read(struct str bytes, int64_t *ret_us, struct err *err)
{
    struct reader r = reader_of(bytes.p, bytes.n);
    int64_t us = (int64_t)reader_be64(&r);

    if (bytes.n != 8)
        return bad_bytes(bytes.n, "timestamp", err);
    if (us == INT64_MIN || us == INT64_MAX)
        return infinite(us < 0, "timestamp", err);
    if (__builtin_add_overflow(us, EPOCH_US, ret_us))
        return out_of_range("timestamp", err);
    return 0;
}

static char *put2(char *p, unsigned v)
{
    p[0] = (char)('0' + v / 10);
    p[1] = (char)('0' + v % 10);
    return p + 2;
}

/* [.ffffff] without trailing zeros. */
static char *put_micros(char *p, unsigned micros)
{
    if (!micros)
        return p;
    *p++ = '.';
    for (unsigned unit = 100000; micros; micros %= unit, unit /= 10)
        *p++ = (char)('0' + micros / unit);
    return p;
}

static char *put_clock(char *p, int64_t us)
{
    unsigned s = (unsigned)(us / US_PER_SECOND);

    p = put2(p, s / 3600);
    *p++ = ':';
    p = put2(p, s / 60 % 60);
    *p++ = ':';
    p = put2(p, s % 60);
    return put_micros(p, (unsigned)(us % US_PER_SECOND));
}

/* The date; true when " BC" must follow at the end. */
static bool put_date(char **p, int64_t days)
{
    struct civil d;

    clock_civil_from_days(days, &d.year, &d.month, &d.day);
    bool bc = d.year <= 0;
    *p += snprintf(*p, 32, "%04lld-%02u-%02u", (long long)(bc ? 1 - d.year : d.year), d.month, d.day);
    return bc;
}

static char *put_text(char *p, struct str s)
{
    memcpy(p, s.p, s.n);
    return p + s.n;
}

static size_t finish_text(char *p, bool bc, char *out)
{
    if (bc)
        p = put_text(p, STR(" BC"));
    *p = 0;
    return (size_t)(p - out);
}

size_t pg_date_format(int32_t days, char out[PG_TIME_TEXT])
{
    char *p = out;
    bool bc = put_date(&p, days);

    return finish_text(p, bc, out);
}

size_t pg_timestamp_format(int64_t us, bool zone, char out[PG_TIME_TEXT])
{
    int64_t days = us / US_PER_DAY, of_day = us % US_PER_DAY;
    char *p = out;

    if (of_day < 0) {
        of_day += US_PER_DAY;
        days--;
    }
    bool bc = put_date(&p, days);
    *p++ = ' ';
    p = put_clock(p, of_day);
    if (zone)
        p = put_text(p, STR("+00"));
    return finish_text(p, bc, out);
}

int pg_time_text(struct str bytes, char out[PG_TIME_TEXT], size_t *ret_n, struct err *err)
{
    struct reader r = reader_of(bytes.p, bytes.n);
    int64_t us = (int64_t)reader_be64(&r);

    if (bytes.n != 8 || us < 0 || us > US_PER_DAY)
        return bad_bytes(bytes.n, "time", err);
    *ret_n = finish_text(put_clock(out, us), false, out);
    return 0;
}

int pg_timetz_text(struct str bytes, char out[PG_TIME_TEXT], size_t *ret_n, struct err *err)
{
    struct reader r = reader_of(bytes.p, bytes.n);
    int64_t us = (int64_t)reader_be64(&r);
    int32_t west = (int32_t)reader_be32(&r);

    if (bytes.n != 12 || us < 0 || us > US_PER_DAY || west <= -360000 || west >= 360000)
        return bad_bytes(bytes.n, "timetz", err);
    char *p = put_clock(out, us);
    unsigned s = (unsigned)(west < 0 ? -west : west);
    *p++ = west > 0 ? '-' : '+';
    p = put2(p, s / 3600);
    if (s % 3600) {
        *p++ = ':';
        p = put2(p, s / 60 % 60);
    }
    if (s % 60) {
        *p++ = ':';
        p = put2(p, s % 60);
    }
    *ret_n = finish_text(p, false, out);
    return 0;
}

/* One part of an interval. After a negative part, a positive one shows its sign. */
static char *put_part(char *p, const char *start, int32_t v, const char *unit, bool *before_negative)
{
    if (!v)
        return p;
    p += snprintf(p, 40, "%s%s%d %s%s", p > start ? " " : "", *before_negative && v > 0 ? "+" : "", v, unit,
                  v != 1 ? "s" : "");
    *before_negative = v < 0;
    return p;
}

int pg_interval_text(struct str bytes, char out[PG_TIME_TEXT], size_t *ret_n, struct err *err)
{
    struct reader r = reader_of(bytes.p, bytes.n);
    int64_t us = (int64_t)reader_be64(&r);
    int32_t days = (int32_t)reader_be32(&r), months = (int32_t)reader_be32(&r);
    bool negative = false;
    char *p = out;

    if (bytes.n != 16)
        return bad_bytes(bytes.n, "interval", err);
    if ((us == INT64_MAX && days == INT32_MAX && months == INT32_MAX) || /* since PostgreSQL 17 */
        (us == INT64_MIN && days == INT32_MIN && months == INT32_MIN)) {
        *ret_n = (size_t)snprintf(out, PG_TIME_TEXT, "%sinfinity", us < 0 ? "-" : "");
        return 0;
    }
    p = put_part(p, out, months / 12, "year", &negative);
    p = put_part(p, out, months % 12, "mon", &negative);
    p = put_part(p, out, days, "day", &negative);
    if (us || p == out) {
        uint64_t u = us < 0 ? 0 - (uint64_t)us : (uint64_t)us, s = u / 1000000;
        p += snprintf(p, 40, "%s%s%02llu:%02u:%02u", p > out ? " " : "",
                      us < 0     ? "-"
                      : negative ? "+"
                                 : "",
                      (unsigned long long)(s / 3600), (unsigned)(s / 60 % 60), (unsigned)(s % 60));
        p = put_micros(p, (unsigned)(u % 1000000));
    }
    *ret_n = finish_text(p, false, out);
    return 0;
}
