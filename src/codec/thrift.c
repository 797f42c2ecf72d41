/* Thrift structs into trees and back. What is taken is bounded by the bytes that are there, and by a depth. */
#include "codec/thrift.h"

#include <assert.h>

enum { DEPTH = 32 };

static int broken(struct err *err, const char *what)
{
    return err_set(err, ERR_INPUT, "no Thrift struct: %s", what);
}

static uint64_t take_varint(struct reader *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = reader_u8(r);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return v;
    }
    r->failed = true;
    return 0;
}

static int64_t take_zigzag(struct reader *r)
{
    uint64_t v = take_varint(r);

    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static struct thrift *grow(struct thrift *t, struct arena *arena)
{
    if (t->n == t->cap) {
        uint32_t cap = t->cap ? 2 * t->cap : 4;
        struct thrift *v = ARENA_NEW_N(arena, struct thrift, cap);
        if (t->n)
            memcpy(v, t->v, t->n * sizeof *v);
        t->v = v;
        t->cap = cap;
    }
    return &t->v[t->n++];
}

static int take(struct reader *r, struct thrift *t, bool in_list, unsigned depth, struct arena *arena, struct err *err);

static int take_struct(struct reader *r, struct thrift *t, unsigned depth, struct arena *arena, struct err *err)
{
    int32_t last = 0;

    for (;;) {
        uint8_t head = reader_u8(r);
        if (r->failed)
            return broken(err, "it ends early");
        if (!head)
            return 0;
        int64_t id = head >> 4 ? last + (head >> 4) : take_zigzag(r);
        if (id <= last || id > INT16_MAX)
            return broken(err, "its fields are not in order");
        struct thrift *f = grow(t, arena);
        *f = (struct thrift){.type = head & 15, .id = last = (int32_t)id};
        TRY(take(r, f, false, depth, arena, err));
    }
}

static int take_list(struct reader *r, struct thrift *t, unsigned depth, struct arena *arena, struct err *err)
{
    uint8_t head = reader_u8(r);
    uint64_t n = head >> 4 == 15 ? take_varint(r) : head >> 4;

    t->element = head & 15;
    if (r->failed || n > reader_left(r)) /* each takes a byte at least */
        return broken(err, "it ends early");
    t->n = t->cap = (uint32_t)n;
    t->v = ARENA_NEW_N(arena, struct thrift, n + 1);
    for (uint32_t i = 0; i < t->n; i++) {
        t->v[i].type = t->element;
        TRY(take(r, &t->v[i], true, depth, arena, err));
    }
    return 0;
}

static int take(struct reader *r, struct thrift *t, bool in_list, unsigned depth, struct arena *arena, struct err *err)
{
    size_t n = 8;

    if (depth == DEPTH)
        return broken(err, "it is nested too deep");
    switch (t->type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE:
        t->number = in_list ? reader_u8(r) : 0;
        break;
    case THRIFT_BYTE:
        t->number = (int8_t)reader_u8(r);
        break;
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64:
        t->number = take_zigzag(r);
        break;
    case THRIFT_BINARY:
        n = take_varint(r);
        __attribute__((fallthrough));
    case THRIFT_DOUBLE:
        t->bytes = str_make(reader_bytes(r, n), n);
        break;
    case THRIFT_LIST:
    case THRIFT_SET:
        return take_list(r, t, depth + 1, arena, err);
    case THRIFT_STRUCT:
        return take_struct(r, t, depth + 1, arena, err);
    default:
        return broken(err, "a field of an unknown type");
    }
    return r->failed ? broken(err, "it ends early") : 0;
}

int thrift_read(struct str bytes, struct arena *arena, struct thrift *ret, struct err *err)
{
    struct reader r = reader_of(bytes.n ? bytes.p : "", bytes.n);

    *ret = (struct thrift){.type = THRIFT_STRUCT};
    TRY(take(&r, ret, false, 0, arena, err));
    return reader_left(&r) ? broken(err, "more bytes follow") : 0;
}

static void put_varint(struct buf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_add_char(out, (char)(v | 0x80));
    buf_add_char(out, (char)v);
}

static void put_zigzag(struct buf *out, int64_t v)
{
    put_varint(out, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

static void put(const struct thrift *t, bool in_list, struct buf *out)
{
    int32_t last = 0;

    switch (t->type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE:
        if (in_list)
            buf_add_char(out, (char)t->number);
        return;
    case THRIFT_BYTE:
        buf_add_char(out, (char)t->number);
        return;
    case THRIFT_BINARY:
        put_varint(out, t->bytes.n);
        __attribute__((fallthrough));
    case THRIFT_DOUBLE:
        buf_add_str(out, t->bytes);
        return;
    case THRIFT_LIST:
    case THRIFT_SET:
        buf_add_char(out, (char)(MIN(t->n, 15) << 4 | t->element));
        if (t->n >= 15)
            put_varint(out, t->n);
        for (uint32_t i = 0; i < t->n; i++)
            put(&t->v[i], true, out);
        return;
    case THRIFT_STRUCT:
        for (uint32_t i = 0; i < t->n; i++) {
            int32_t delta = t->v[i].id - last;
            buf_add_char(out, (char)((delta <= 15 ? delta : 0) << 4 | t->v[i].type));
            if (delta > 15)
                put_zigzag(out, t->v[i].id);
            last = t->v[i].id;
            put(&t->v[i], false, out);
        }
        buf_add_char(out, 0);
        return;
    default:
        put_zigzag(out, t->number);
        return;
    }
}

void thrift_write(const struct thrift *t, struct buf *out)
{
    put(t, false, out);
}

struct thrift *thrift_field(const struct thrift *t, int32_t id, enum thrift_type type)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->v[i].id == id && t->v[i].type == type)
            return &t->v[i];
    return NULL;
}

int64_t thrift_number(const struct thrift *t, int32_t id, int64_t otherwise)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->v[i].id == id && t->v[i].type >= THRIFT_BYTE && t->v[i].type <= THRIFT_I64)
            return t->v[i].number;
    return otherwise;
}

struct thrift *thrift_set(struct thrift *t, int32_t id, enum thrift_type type, struct arena *arena)
{
    uint32_t at = 0;

    assert(t->type == THRIFT_STRUCT);
    while (at < t->n && t->v[at].id < id)
        at++;
    if (at == t->n || t->v[at].id != id) {
        grow(t, arena);
        memmove(&t->v[at + 1], &t->v[at], (t->n - 1 - at) * sizeof *t->v);
    }
    t->v[at] = (struct thrift){.type = (uint8_t)type, .id = id};
    return &t->v[at];
}
