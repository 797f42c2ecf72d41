/*
 * A VARIANT as JSON. DuckDB keeps a row's value in four parts:
 *
 *   keys      VARCHAR[]                                the names of all objects in it
 *   children  STRUCT(key UINTEGER, value UINTEGER)[]   members of objects and arrays: a name in `keys`, a place in `values`
 *   values    STRUCT(type UTINYINT, offset UINTEGER)[] the first is the value itself; offset: of its bytes in `data`
 *   data      BLOB
 *
 * The bytes of an object or array are a count and, unless it is 0, the first of its children; of text and blobs a length
 * and the bytes; of a decimal its width, its scale and the integer; else the value as a vector would hold it. Counts are LEB128.
 * Texts are those of Spark's to_json(): binary in base64, times with a blank, and with an offset where they have a zone.
 */
#include "engine/internal.h"
#include "engine/render.h"
#include "model/batch.h"

enum variant_kind {
    VARIANT_NULL = 0,
    VARIANT_TRUE = 1,
    VARIANT_FALSE = 2,
    VARIANT_DECIMAL = 15,
    VARIANT_VARCHAR = 16,
    VARIANT_BLOB = 17,
    VARIANT_TIMESTAMP_SEC = 22,
    VARIANT_TIMESTAMP_NANOS = 25,
    VARIANT_TIMESTAMP_TZ = 27,
    VARIANT_OBJECT = 29,
    VARIANT_ARRAY = 30,
    VARIANT_BIGNUM = 31,
    VARIANT_BIT = 32,
};

/* Of those whose bytes are what a vector holds. */
static const struct {
    enum engine_kind kind;
    uint8_t size;
} PLAIN[] = {
    [3] = {ENGINE_TINYINT, 1},
    [4] = {ENGINE_SMALLINT, 2},
    [5] = {ENGINE_INTEGER, 4},
    [6] = {ENGINE_BIGINT, 8},
    [7] = {ENGINE_HUGEINT, 16},
    [8] = {ENGINE_UTINYINT, 1},
    [9] = {ENGINE_USMALLINT, 2},
    [10] = {ENGINE_UINTEGER, 4},
    [11] = {ENGINE_UBIGINT, 8},
    [12] = {ENGINE_UHUGEINT, 16},
    [13] = {ENGINE_FLOAT, 4},
    [14] = {ENGINE_DOUBLE, 8},
    [18] = {ENGINE_UUID, 16},
    [19] = {ENGINE_DATE, 4},
    [20] = {ENGINE_TIME, 8},
    [21] = {ENGINE_TIME_NS, 8},
    [VARIANT_TIMESTAMP_SEC] = {ENGINE_TIMESTAMP_S, 8},
    [23] = {ENGINE_TIMESTAMP_MS, 8},
    [24] = {ENGINE_TIMESTAMP, 8},
    [VARIANT_TIMESTAMP_NANOS] = {ENGINE_TIMESTAMP_NS, 8},
    [26] = {ENGINE_TIME_TZ, 8},
    [VARIANT_TIMESTAMP_TZ] = {ENGINE_TIMESTAMP, 8},
    [28] = {ENGINE_INTERVAL, 16},
};

struct variant {
    const struct engine_vector *keys, *key, *value, *type, *offset; /* the vectors of all rows */
    uint64_t first_key, first_child, first_value;                   /* of this row */
    struct str data;
};

static uint32_t take_count(struct str *s)
{
    uint32_t n = 0;

    for (unsigned shift = 0; s->n && shift < 32; shift += 7) {
        uint8_t byte = (uint8_t)s->p[0];
        n |= (uint32_t)(byte & 0x7f) << shift;
        *s = str_make(s->p + 1, s->n - 1);
        if (!(byte & 0x80))
            break;
    }
    return n;
}

/* `n` bytes as the one value of a vector. */
static void add_value(struct buf *out, const struct engine_type *type, struct str bytes, size_t n, bool text)
{
    uint8_t value[16] __attribute__((aligned(16))) = {0};
    const struct engine_vector v = {.type = type, .data = value};

    memcpy(value, bytes.p, MIN(MIN(n, bytes.n), sizeof value));
    if (text)
        render_text(out, &v, 0);
    else
        render_json(out, &v, 0);
}

static void add_text(struct buf *out, enum engine_kind kind, struct str bytes)
{
    const struct engine_type type = {.kind = kind};
    uint32_t n = take_count(&bytes);
    struct strview s = {.len = (uint32_t)MIN(n, bytes.n)};

    memcpy(s.prefix, bytes.p, MIN(s.len, sizeof s.prefix));
    if (s.len > sizeof s.prefix + sizeof s.rest)
        s.p = bytes.p;
    else if (s.len > sizeof s.prefix)
        memcpy(s.rest, bytes.p + sizeof s.prefix, s.len - sizeof s.prefix);
    render_json(out, &(struct engine_vector){.type = &type, .data = &s}, 0);
}

static void add_decimal(struct buf *out, struct str bytes)
{
    struct engine_type type = {.kind = ENGINE_DECIMAL};

    type.precision = (uint8_t)take_count(&bytes);
    type.scale = (uint8_t)take_count(&bytes);
    add_value(out, &type, bytes, type.precision > 18 ? 16 : type.precision > 9 ? 8 : type.precision > 4 ? 4 : 2, false);
}

static void add_scalar(struct buf *out, unsigned kind, struct str bytes)
{
    const struct engine_type type = {.kind = kind < ARRAY_LEN(PLAIN) ? PLAIN[kind].kind : ENGINE_INVALID};
    bool is_time = kind >= VARIANT_TIMESTAMP_SEC && kind <= VARIANT_TIMESTAMP_TZ && type.kind != ENGINE_TIME_TZ;

    if (!type.kind) {
        buf_add_cstr(out, "null");
        return;
    }
    if (is_time)
        buf_add_char(out, '"');
    add_value(out, &type, bytes, PLAIN[kind].size, is_time);
    if (is_time)
        buf_add_cstr(out, kind == VARIANT_TIMESTAMP_TZ ? "+00:00\"" : "\"");
}

static void add_at(struct buf *out, const struct variant *v, uint64_t i)
{
    uint64_t offset = (uint64_t)engine_i64(v->offset, v->first_value + i);
    struct str bytes = offset < v->data.n ? str_make(v->data.p + offset, v->data.n - offset) : STR("");
    unsigned kind = (unsigned)engine_i64(v->type, v->first_value + i);

    switch (kind) {
    case VARIANT_NULL:
        buf_add_cstr(out, "null");
        return;
    case VARIANT_TRUE:
    case VARIANT_FALSE:
        buf_add_cstr(out, kind == VARIANT_TRUE ? "true" : "false");
        return;
    case VARIANT_DECIMAL:
        add_decimal(out, bytes);
        return;
    case VARIANT_VARCHAR:
    case VARIANT_BLOB:
    case VARIANT_BIGNUM:
    case VARIANT_BIT:
        add_text(out,
                 kind == VARIANT_VARCHAR  ? ENGINE_VARCHAR
                 : kind == VARIANT_BLOB   ? ENGINE_BLOB
                 : kind == VARIANT_BIGNUM ? ENGINE_BIGNUM
                                          : ENGINE_BIT,
                 bytes);
        return;
    case VARIANT_OBJECT:
    case VARIANT_ARRAY:
        break;
    default:
        add_scalar(out, kind, bytes);
        return;
    }
    uint32_t n = take_count(&bytes);
    uint64_t child = v->first_child + (n ? take_count(&bytes) : 0);
    buf_add_char(out, kind == VARIANT_OBJECT ? '{' : '[');
    for (uint64_t c = child; c < child + n; c++) {
        if (c > child)
            buf_add_char(out, ',');
        if (kind == VARIANT_OBJECT) {
            buf_add_json_str(out, engine_str(v->keys, v->first_key + (uint64_t)engine_i64(v->key, c)));
            buf_add_char(out, ':');
        }
        add_at(out, v, (uint64_t)engine_i64(v->value, c));
    }
    buf_add_char(out, kind == VARIANT_OBJECT ? '}' : ']');
}

void render_variant(struct buf *out, const struct engine_vector *v, uint64_t row)
{
    const struct engine_vector *keys = &v->children[0], *children = &v->children[1], *values = &v->children[2];
    const struct variant parts = {
        .keys = &keys->children[0],
        .key = &children->children[0].children[0],
        .value = &children->children[0].children[1],
        .type = &values->children[0].children[0],
        .offset = &values->children[0].children[1],
        .first_key = ((const struct listview *)keys->data)[row].offset,
        .first_child = ((const struct listview *)children->data)[row].offset,
        .first_value = ((const struct listview *)values->data)[row].offset,
        .data = engine_str(&v->children[3], row),
    };

    add_at(out, &parts, 0);
}
