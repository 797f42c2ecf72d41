/* Growable bytes, integers on the wire, quoting. */
#include "base/buf.h"

#include "base/mem.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>

void buf_deinit(struct buf *b)
{
    mem_free(b->p);
    *b = (struct buf){.max = b->max};
}

void buf_reset(struct buf *b)
{
    b->n = 0;
    b->failed = false;
    if (b->p)
        b->p[0] = 0;
}

char *buf_reserve(struct buf *b, size_t n)
{
    size_t need;

    if (__builtin_add_overflow(b->n, n, &need) || (b->max && need > b->max)) {
        b->failed = true;
        return NULL;
    }
    if (need + 1 > b->cap) {
        b->cap = MAX(need + 1, b->cap + b->cap / 2 + 32);
        b->p = mem_realloc(b->p, b->cap);
    }
    return b->p + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    char *to = buf_reserve(b, n);

    if (!to)
        return;
    if (n)
        memcpy(to, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void buf_trim_end(struct buf *b)
{
    while (b->n && isspace((unsigned char)b->p[b->n - 1]))
        b->n--;
}

void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.n);
}

void buf_add_cstr(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;

    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    assert(n >= 0);
    char *to = buf_reserve(b, (size_t)n);
    if (to) {
        vsnprintf(to, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_add_be16(struct buf *b, uint16_t v)
{
    v = __builtin_bswap16(v);
    buf_add(b, &v, sizeof v);
}

void buf_add_be32(struct buf *b, uint32_t v)
{
    v = __builtin_bswap32(v);
    buf_add(b, &v, sizeof v);
}

void buf_add_be64(struct buf *b, uint64_t v)
{
    v = __builtin_bswap64(v);
    buf_add(b, &v, sizeof v);
}

void buf_add_le32(struct buf *b, uint32_t v)
{
    buf_add(b, &v, sizeof v);
}

void buf_add_le64(struct buf *b, uint64_t v)
{
    buf_add(b, &v, sizeof v);
}

static void add_json_char(struct buf *b, unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        buf_add_char(b, '\\');
        buf_add_char(b, (char)c);
        break;
    case '\n':
        buf_add_cstr(b, "\\n");
        break;
    case '\r':
        buf_add_cstr(b, "\\r");
        break;
    case '\t':
        buf_add_cstr(b, "\\t");
        break;
    default:
        if (c < 0x20)
            buf_printf(b, "\\u%04x", c);
        else
            buf_add_char(b, (char)c);
    }
}

void buf_add_json_str(struct buf *b, struct str s)
{
    bool valid = str_is_utf8(s);

    buf_add_char(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x80 && !valid)
            buf_add_cstr(b, "\xef\xbf\xbd");
        else
            add_json_char(b, c);
    }
    buf_add_char(b, '"');
}

static void add_quoted(struct buf *b, struct str s, char quote)
{
    buf_add_char(b, quote);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == quote)
            buf_add_char(b, quote);
        buf_add_char(b, s.p[i]);
    }
    buf_add_char(b, quote);
}

void buf_add_base64(struct buf *b, struct str s)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t n = (uint32_t)(uint8_t)s.p[i] << 16;
        n |= i + 1 < s.n ? (uint32_t)(uint8_t)s.p[i + 1] << 8 : 0;
        n |= i + 2 < s.n ? (uint8_t)s.p[i + 2] : 0;
        char text[4] = {set[n >> 18], set[n >> 12 & 63], i + 1 < s.n ? set[n >> 6 & 63] : '=',
                        i + 2 < s.n ? set[n & 63] : '='};
        buf_add(b, text, 4);
    }
}

void buf_add_sql_literal(struct buf *b, struct str s)
{
    add_quoted(b, s, '\'');
}

void buf_add_decimal(struct buf *b, struct str s)
{
    bool negative = s.n && s.p[0] == '-';

    if (s.n > negative && s.p[negative] == '.') {
        buf_add_cstr(b, negative ? "-0" : "0");
        s = str_make(s.p + negative, s.n - negative);
    }
    buf_add_str(b, s);
}

void buf_add_sql_ident(struct buf *b, struct str s)
{
    add_quoted(b, s, '"');
}

char *buf_take(struct buf *b)
{
    char *p = b->p ? b->p : mem_alloc(1);

    *b = (struct buf){.max = b->max};
    return p;
}

struct str reader_cstr(struct reader *r)
{
    const uint8_t *end = r->failed ? NULL : memchr(r->p, 0, reader_left(r));

    if (!end) {
        r->failed = true;
        return (struct str){0};
    }
    struct str s = str_make(r->p, (size_t)(end - r->p));
    r->p = end + 1;
    return s;
}
