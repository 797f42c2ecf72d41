/*
 * A growable byte buffer with a limit, and a bounds-checked reader of wire bytes.
 *
 * Both have a sticky `failed` flag: add or get many fields, check once. `{0}` is a valid empty buffer without a limit.
 * Wire integers are written and read big-endian (PostgreSQL, network) or little-endian (Delta, Parquet) by name.
 */
#ifndef SLUICE_BASE_BUF_H
#define SLUICE_BASE_BUF_H

#include "base/str.h"

#include <stdarg.h>

struct buf {
    char *p; /* owned; always followed by a 0 byte when not NULL */
    size_t n, cap;
    size_t max;  /* most bytes it may hold; 0 = no limit */
    bool failed; /* `max` was exceeded: the content is not complete */
};

void buf_deinit(struct buf *b);
void buf_reset(struct buf *b);              /* empties, keeps the memory */
char *buf_reserve(struct buf *b, size_t n); /* room for n more; NULL past `max` */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_trim_end(struct buf *b);                /* takes ASCII white space off its end */
void buf_add_cstr(struct buf *b, const char *s); /* without its 0 */
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
void buf_add_be16(struct buf *b, uint16_t v);
void buf_add_be32(struct buf *b, uint32_t v);
void buf_add_be64(struct buf *b, uint64_t v);
void buf_add_le32(struct buf *b, uint32_t v);
void buf_add_le64(struct buf *b, uint64_t v);
/* As a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void buf_add_json_str(struct buf *b, struct str s);
/* A number as JSON and Spark have it: DuckDB writes a decimal(3,3) as -.125, without the zero. */
void buf_add_decimal(struct buf *b, struct str s);
void buf_add_base64(struct buf *b, struct str s); /* RFC 4648 */
/* As a SQL string literal or quoted identifier: quotes doubled. */
void buf_add_sql_literal(struct buf *b, struct str s);
void buf_add_sql_ident(struct buf *b, struct str s);
char *buf_take(struct buf *b); /* hands the memory to the caller (free with mem_free), leaves `b` empty; never NULL */
static inline struct str buf_str(const struct buf *b)
{
    return str_make(b->p, b->n);
}

struct reader {
    const uint8_t *p, *end; /* borrowed */
    bool failed;            /* something was read past the end; everything since is 0 */
};

static inline struct reader reader_of(const void *p, size_t n)
{
    return (struct reader){p, p ? (const uint8_t *)p + n : NULL, false};
}

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->p);
}

/* n bytes at the cursor, or NULL and `failed`. */
static inline const uint8_t *reader_bytes(struct reader *r, size_t n)
{
    if (r->failed || n > reader_left(r)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

#define READER_DEFINE_INT(name, type, swap)               \
    static inline type reader_##name(struct reader *r)    \
    {                                                     \
        const uint8_t *p = reader_bytes(r, sizeof(type)); \
        type v = 0;                                       \
        if (!p)                                           \
            return 0;                                     \
        __builtin_memcpy(&v, p, sizeof v);                \
        return swap(v);                                   \
    }
#define READER_SAME(v) (v)
READER_DEFINE_INT(u8, uint8_t, READER_SAME)
READER_DEFINE_INT(be16, uint16_t, __builtin_bswap16)
READER_DEFINE_INT(be32, uint32_t, __builtin_bswap32)
READER_DEFINE_INT(be64, uint64_t, __builtin_bswap64)
READER_DEFINE_INT(le32, uint32_t, READER_SAME)
READER_DEFINE_INT(le64, uint64_t, READER_SAME)
#undef READER_SAME
#undef READER_DEFINE_INT

/* The run up to the next 0 byte, which is skipped; `failed` when there is none. */
struct str reader_cstr(struct reader *r);

#endif
