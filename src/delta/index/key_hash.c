/*
 * Hashes of keys: each value of the key in its canonical form, one after the other, then XXH3 over them.
 *
 *     NULL       00
 *     integers   01 | i64 LE
 *     float      02 | double LE, -0 as 0, one NaN
 *     decimal    03 | scale without trailing zeros | i128 LE
 *     string     04 | u32 LE bytes | the bytes         binary: 05
 *     date, …    06 | i64 LE microseconds
 *     boolean    07 | 0 or 1
 *     array      08 | u32 LE elements | each as above
 */
#include "delta/index/key_hash.h"

#include "base/mem.h"

#include <assert.h>

enum { ARRAY_DEPTH = 6, HASH_VERSION = 1 };
enum key_class { KEY_NONE, KEY_INT, KEY_FLOAT, KEY_DECIMAL, KEY_STRING, KEY_BINARY, KEY_TIME, KEY_BOOL, KEY_ARRAY };

static enum key_class class_of(const struct type *t)
{
    switch (t->id) {
    case TYPE_BYTE:
    case TYPE_SHORT:
    case TYPE_INTEGER:
    case TYPE_LONG:
        return KEY_INT;
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        return KEY_FLOAT;
    case TYPE_DECIMAL:
        return KEY_DECIMAL;
    case TYPE_STRING:
        return KEY_STRING;
    case TYPE_BINARY:
        return KEY_BINARY;
    case TYPE_DATE:
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMP_NTZ:
        return KEY_TIME;
    case TYPE_BOOLEAN:
        return KEY_BOOL;
    case TYPE_ARRAY:
        return KEY_ARRAY;
    default:
        return KEY_NONE;
    }
}

bool key_type_ok(const struct type *t)
{
    for (int depth = 0; t->id == TYPE_ARRAY; depth++) {
        if (depth == ARRAY_DEPTH)
            return false;
        t = &t->children[0].type;
    }
    return class_of(t) != KEY_NONE;
}

/* --- values --- */

static inline int64_t load_int(const void *p, uint32_t width)
{
    int64_t v64;
    int32_t v32;
    int16_t v16;

    switch (width) {
    case 1:
        return *(const int8_t *)p;
    case 2:
        memcpy(&v16, p, 2);
        return v16;
    case 4:
        memcpy(&v32, p, 4);
        return v32;
    default:
        assert(width == 8);
        memcpy(&v64, p, 8);
        return v64;
    }
}

static inline uint64_t load_float(const void *p, uint32_t width)
{
    double v;
    float f;
    uint64_t bits;

    if (width == 4) {
        memcpy(&f, p, 4);
        v = f;
    } else {
        memcpy(&v, p, 8);
    }
    if (v != v)
        return 0x7ff8000000000000u;
    if (v == 0)
        return 0;
    memcpy(&bits, &v, 8);
    return bits;
}

static void add_decimal(const void *p, uint32_t width, uint8_t scale, struct buf *out)
{
    __int128 v;

    if (width == 16)
        memcpy(&v, p, 16);
    else
        v = load_int(p, width);
    if (v >= INT64_MIN && v <= INT64_MAX) { /* almost always, and then the division is cheap */
        int64_t small = (int64_t)v;
        for (; scale > 0 && small % 10 == 0; scale--)
            small /= 10;
        v = small;
    } else {
        for (; scale > 0 && v % 10 == 0; scale--)
            v /= 10;
    }
    buf_add_char(out, (char)scale);
    buf_add_le64(out, (uint64_t)v);
    buf_add_le64(out, (uint64_t)(v >> 64));
}

static void add_bytes(const struct strview *s, struct buf *out)
{
    buf_add_le32(out, s->len);
    buf_add(out, s->len <= 12 ? (const char *)s + offsetof(struct strview, prefix) : s->p, s->len);
}

/* Dates as their midnight; those beyond the range of a timestamp wrap, alike wherever they come from. */
static uint64_t load_time(const void *p, const struct type *t)
{
    if (t->id == TYPE_DATE)
        return (uint64_t)load_int(p, 4) * 86400000000u;
    return (uint64_t)load_int(p, 8);
}

static void add_value(const struct key_col_view *c, uint64_t i, struct buf *out)
{
    const struct type *t = c->type;
    uint32_t width = type_width(t);
    const char *p = (const char *)c->data + i * width;
    enum key_class class = class_of(t);

    if (c->valid && !(c->valid[i / 64] >> (i % 64) & 1)) {
        buf_add_char(out, 0);
        return;
    }
    buf_add_char(out, (char)class);
    switch (class) {
    case KEY_INT:
        buf_add_le64(out, (uint64_t)load_int(p, width));
        break;
    case KEY_FLOAT:
        buf_add_le64(out, load_float(p, width));
        break;
    case KEY_DECIMAL:
        add_decimal(p, width, t->scale, out);
        break;
    case KEY_STRING:
    case KEY_BINARY:
        add_bytes((const struct strview *)p, out);
        break;
    case KEY_TIME:
        buf_add_le64(out, load_time(p, t));
        break;
    case KEY_BOOL:
        buf_add_char(out, *p != 0);
        break;
    case KEY_ARRAY: {
        const struct listview *list = (const struct listview *)p;
        buf_add_le32(out, (uint32_t)list->length);
        for (uint64_t k = 0; k < list->length; k++)
            add_value(c->child, list->offset + k, out);
        break;
    }
    case KEY_NONE:
        assert(!"a type that cannot be a key");
    }
}

/* --- rows --- */

/* The one integer column that most keys are: the same bytes as the general way, without a buffer. */
static void hash_int_column(const struct key_col_view *c, uint32_t from, uint32_t to, struct hash128 *ret)
{
    uint32_t width = type_width(c->type);
    const char *data = c->data;

    for (uint32_t i = from; i < to; i++) {
        char bytes[9] = {0};
        size_t n = 1;
        if (!c->valid || bit_get(c->valid, i)) {
            int64_t v = load_int(data + (size_t)i * width, width);
            bytes[0] = KEY_INT;
            memcpy(bytes + 1, &v, 8);
            n = sizeof bytes;
        }
        ret[i - from] = hash128(bytes, n);
    }
}

void key_hash_rows(const struct key_col_view *cols, size_t n_cols, uint32_t from, uint32_t to, struct hash128 *ret)
{
    CLEANUP(buf_deinit) struct buf bytes = {0};

    assert(n_cols > 0 && from <= to);
    if (n_cols == 1 && class_of(cols->type) == KEY_INT) {
        hash_int_column(cols, from, to, ret);
        return;
    }
    for (uint32_t i = from; i < to; i++) {
        buf_reset(&bytes);
        for (size_t k = 0; k < n_cols; k++)
            add_value(&cols[k], i, &bytes);
        ret[i - from] = hash128(bytes.p, bytes.n);
    }
}

void key_hash_batch(const struct batch *b, const int *key_cols, size_t n_keys, uint32_t from, uint32_t to,
                    struct hash128 *ret)
{
    enum { LEVELS = ARRAY_DEPTH + 1 };
    CLEANUP(mem_freep) struct key_col_view *views = MEM_NEW_N(struct key_col_view, n_keys * (LEVELS + 1));

    assert(to <= b->n);
    for (size_t k = 0; k < n_keys; k++) {
        const struct column *c = &b->cols[key_cols[k]];
        struct key_col_view *at = &views[k];
        for (size_t level = 0; c; c = c->child, level++) {
            *at = (struct key_col_view){c->type, c->data, c->valid, NULL};
            if (!c->child)
                break;
            assert(level < ARRAY_DEPTH);
            struct key_col_view *child = &views[n_keys + k * LEVELS + level];
            at->child = child;
            at = child;
        }
    }
    key_hash_rows(views, n_keys, from, to, ret);
}

uint64_t key_fingerprint(const struct schema *s, const int *key_cols, size_t n_keys)
{
    CLEANUP(buf_deinit) struct buf bytes = {0};

    buf_add_char(&bytes, HASH_VERSION);
    for (size_t k = 0; k < n_keys; k++) {
        const struct field *f = &s->fields[key_cols[k]];
        const struct type *t = &f->type;
        struct str name = f->physical.n > 0 ? f->physical : f->name;
        buf_add_le32(&bytes, (uint32_t)name.n);
        buf_add_str(&bytes, name);
        for (; t->id == TYPE_ARRAY; t = &t->children[0].type)
            buf_add_char(&bytes, KEY_ARRAY);
        buf_add_char(&bytes, (char)class_of(t));
    }
    return hash64(bytes.p, bytes.n);
}
