/*
 * Binary forms of PostgreSQL types that become strings, and arrays in text form.
 *
 *   uuid      16 bytes
 *   inet      family:1 (2 = IPv4, 3 = IPv6)  prefix bits:1  is cidr:1  size:1 (4 or 16)  address
 *   macaddr   6 bytes; macaddr8 8 bytes
 *   bit       number of bits:4  bytes, the first bit is the highest
 *   pg_lsn    8 bytes
 *
 *   array     [[l:u][l:u]…=]{e,e,…} with e = NULL | text | "text with \" and \\" | {…}
 *
 * Bounds are printed only if a lower one is not 1.
 */
#include "codec/pg_string.h"

#include <stdio.h>
#include <strings.h>

static int bad_bytes(struct str bytes, const char *type, struct err *err)
{
    return err_set(err, ERR_INPUT, "%zu bytes are not a value of type %s", bytes.n, type);
}

void pg_hex_add(struct buf *out, struct str bytes)
{
    static const char hex[] = "0123456789abcdef";
    char *to = buf_reserve(out, bytes.n * 2);

    if (!to)
        return;
    for (size_t i = 0; i < bytes.n; i++) {
        uint8_t byte = (uint8_t)bytes.p[i];
        to[i * 2] = hex[byte >> 4];
        to[i * 2 + 1] = hex[byte & 15];
    }
    out->n += bytes.n * 2;
    out->p[out->n] = 0;
}

int pg_uuid_text(struct str bytes, struct buf *out, struct err *err)
{
    static const uint8_t groups[] = {4, 2, 2, 2, 6};
    const uint8_t *p = (const uint8_t *)bytes.p;

    if (bytes.n != 16)
        return bad_bytes(bytes, "uuid", err);
    buf_reset(out);
    for (size_t i = 0; i < ARRAY_LEN(groups); p += groups[i++]) {
        if (i)
            buf_add_char(out, '-');
        pg_hex_add(out, str_make(p, groups[i]));
    }
    return 0;
}

/* The longest run of two or more zero words, the first of equals; its length, or 0. */
static int longest_zeros(const unsigned words[8], int *ret_start)
{
    int best = 0;

    *ret_start = -1;
    for (int i = 0; i < 8;) {
        int n = 0;
        while (i + n < 8 && !words[i + n])
            n++;
        if (n >= 2 && n > best) {
            best = n;
            *ret_start = i;
        }
        i += n + 1;
    }
    return best;
}

static void put_ipv6(struct buf *out, const uint8_t *p)
{
    unsigned words[8];
    int start;

    for (int i = 0; i < 8; i++)
        words[i] = (unsigned)p[i * 2] << 8 | p[i * 2 + 1];
    int n = longest_zeros(words, &start);
    for (int i = 0; i < 8; i++) {
        if (n && i >= start && i < start + n) {
            if (i == start)
                buf_add_char(out, ':');
            continue;
        }
        if (i)
            buf_add_char(out, ':');
        if (i == 6 && start == 0 && (n == 6 || (n == 5 && words[5] == 0xffff))) { /* an IPv4 address inside */
            buf_printf(out, "%u.%u.%u.%u", p[12], p[13], p[14], p[15]);
            return;
        }
        buf_printf(out, "%x", words[i]);
    }
    if (n && start + n == 8)
        buf_add_char(out, ':');
}

int pg_inet_text(struct str bytes, bool cidr, struct buf *out, struct err *err)
{
    const uint8_t *p = (const uint8_t *)bytes.p;
    const char *type = cidr ? "cidr" : "inet";

    if (bytes.n < 4)
        return bad_bytes(bytes, type, err);
    unsigned size = p[0] == 2 ? 4 : p[0] == 3 ? 16 : 0, bits = p[1];
    if (!size || p[3] != size || bytes.n != 4 + size || bits > size * 8)
        return bad_bytes(bytes, type, err);
    buf_reset(out);
    if (size == 4)
        buf_printf(out, "%u.%u.%u.%u", p[4], p[5], p[6], p[7]);
    else
        put_ipv6(out, p + 4);
    if (cidr || bits != size * 8)
        buf_printf(out, "/%u", bits);
    return 0;
}

int pg_macaddr_text(struct str bytes, size_t size, struct buf *out, struct err *err)
{
    if (bytes.n != size)
        return bad_bytes(bytes, size == 6 ? "macaddr" : "macaddr8", err);
    buf_reset(out);
    for (size_t i = 0; i < size; i++) {
        if (i)
            buf_add_char(out, ':');
        pg_hex_add(out, str_make(bytes.p + i, 1));
    }
    return 0;
}

int pg_bit_text(struct str bytes, struct buf *out, struct err *err)
{
    struct reader r = reader_of(bytes.p, bytes.n);
    uint32_t bits = reader_be32(&r);

    if (r.failed || reader_left(&r) != ((size_t)bits + 7) / 8)
        return bad_bytes(bytes, "bit", err);
    buf_reset(out);
    char *to = buf_reserve(out, bits);
    if (!to)
        return err_set(err, ERR_LIMIT, "a bit string of %u bits is too long", bits);
    for (uint32_t i = 0; i < bits; i++)
        to[i] = (char)('0' + (r.p[i / 8] >> (7 - i % 8) & 1));
    out->n = bits;
    out->p[bits] = 0;
    return 0;
}

int pg_lsn_text(struct str bytes, struct buf *out, struct err *err)
{
    struct reader r = reader_of(bytes.p, bytes.n);
    uint32_t high = reader_be32(&r), low = reader_be32(&r);

    if (bytes.n != 8)
        return bad_bytes(bytes, "pg_lsn", err);
    buf_reset(out);
    buf_printf(out, "%X/%X", high, low);
    return 0;
}

int pg_qchar_text(struct str bytes, struct buf *out, struct err *err)
{
    buf_reset(out);
    if (bytes.n == 1 && bytes.p[0] & 0x80)
        buf_printf(out, "\\%03o", (uint8_t)bytes.p[0]);
    else if (bytes.n > 4)
        return bad_bytes(bytes, "\"char\"", err);
    else if (bytes.n != 1 || bytes.p[0]) /* the byte 0 is printed as nothing */
        buf_add_str(out, bytes);
    return 0;
}

static int bad_array(struct err *err)
{
    return err_set(err, ERR_INPUT, "the text of an array is malformed");
}

int pg_array_text_open(struct str text, char delim, struct pg_array_text *ret, struct err *err)
{
    if (text.n && text.p[0] == '[')
        return err_set(err, ERR_LIMIT, "an array whose lower bound is not 1, or of several dimensions, does not fit");
    if (text.n < 2 || text.p[0] != '{')
        return bad_array(err);
    *ret = (struct pg_array_text){str_make(text.p + 1, text.n - 1), delim, true};
    return 0;
}

/* A quoted element; `s` starts after the opening quote. Cuts it and its closing quote off. */
static int next_quoted(struct str *s, struct buf *scratch, struct str *ret, struct err *err)
{
    size_t i = 0;

    while (i < s->n && s->p[i] != '"' && s->p[i] != '\\')
        i++;
    if (i < s->n && s->p[i] == '"') { /* nothing to unescape */
        *ret = str_make(s->p, i);
        *s = str_make(s->p + i + 1, s->n - i - 1);
        return 0;
    }
    buf_reset(scratch);
    buf_add(scratch, s->p, i);
    for (; i < s->n && s->p[i] != '"'; i++) {
        if (s->p[i] == '\\' && ++i == s->n)
            return bad_array(err);
        buf_add_char(scratch, s->p[i]);
    }
    if (i == s->n)
        return bad_array(err);
    *ret = str_make(scratch->p ? scratch->p : "", scratch->n);
    *s = str_make(s->p + i + 1, s->n - i - 1);
    return 0;
}

int pg_array_text_next(struct pg_array_text *a, struct buf *scratch, struct str *ret, bool *ret_null, struct err *err)
{
    struct str s = a->rest;

    if (s.n && s.p[0] == '}') {
        if (s.n > 1)
            return bad_array(err);
        return 1;
    }
    if (!a->first) {
        if (!s.n || s.p[0] != a->delim)
            return bad_array(err);
        s = str_make(s.p + 1, s.n - 1);
    }
    a->first = false;
    if (!s.n)
        return bad_array(err);
    *ret_null = false;
    if (s.p[0] == '{')
        return err_set(err, ERR_LIMIT, "an array of several dimensions does not fit");
    if (s.p[0] == '"') {
        s = str_make(s.p + 1, s.n - 1);
        TRY(next_quoted(&s, scratch, ret, err));
    } else {
        size_t i = 0;
        while (i < s.n && s.p[i] != a->delim && s.p[i] != '}')
            i++;
        if (!i || i == s.n)
            return bad_array(err);
        *ret = str_make(s.p, i);
        *ret_null = i == 4 && strncasecmp(s.p, "NULL", 4) == 0;
        s = str_make(s.p + i, s.n - i);
    }
    a->rest = s;
    return 0;
}

void pg_array_text_add(struct buf *out, struct str element, char delim)
{
    bool quote = !element.n || str_eq_nocase(element, STR("NULL"));

    for (size_t i = 0; i < element.n && !quote; i++) {
        char c = element.p[i];
        quote = c == '"' || c == '\\' || c == '{' || c == '}' || c == delim || c == ' ' || (c >= '\t' && c <= '\r');
    }
    if (!quote) {
        buf_add_str(out, element);
        return;
    }
    buf_add_char(out, '"');
    for (size_t i = 0; i < element.n; i++) {
        if (element.p[i] == '"' || element.p[i] == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, element.p[i]);
    }
    buf_add_char(out, '"');
}
