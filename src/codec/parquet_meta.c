/*
 * Thrift's compact protocol, as far as Parquet needs it, and the structs of the format written with it.
 *
 *   struct   field…  0          field    (id - last id) << 4 | type, value
 *   list     n << 4 | type, elements     (n < 15, else f << 4 | type, varint n)
 *   i32 …    zigzag varint      binary   varint length, bytes
 *
 *   footer   FileMetaData{version, schema[], rows, row groups[{columns[], …}], created by, column orders[]}
 *            le32 length "PAR1"
 *
 * Types, names and repetition are those that DuckDB's COPY gives a table: every column optional, arrays as
 * optional group (LIST) { repeated group list { optional element } }.
 */
#include "codec/parquet_meta.h"

#include <assert.h>

enum thrift_type { T_TRUE = 1, T_FALSE, T_I32 = 5, T_I64, T_BINARY = 8, T_LIST, T_STRUCT = 12 };
enum { DEPTH = 8 };

struct thrift {
    struct buf *out;
    int last[DEPTH]; /* field id, by nesting */
    int depth;
};

static void varint(struct thrift *w, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_add_char(w->out, (char)(v | 0x80));
    buf_add_char(w->out, (char)v);
}

static void zigzag(struct thrift *w, int64_t v)
{
    varint(w, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

static void field(struct thrift *w, int id, enum thrift_type type)
{
    int delta = id - w->last[w->depth];

    assert(delta > 0 && delta <= 15);
    buf_add_char(w->out, (char)(delta << 4 | (int)type));
    w->last[w->depth] = id;
}

static void put_i32(struct thrift *w, int id, int32_t v)
{
    field(w, id, T_I32);
    zigzag(w, v);
}

static void put_i64(struct thrift *w, int id, uint64_t v)
{
    field(w, id, T_I64);
    zigzag(w, (int64_t)v);
}

static void put_bool(struct thrift *w, int id, bool v)
{
    field(w, id, v ? T_TRUE : T_FALSE);
}

static void bytes(struct thrift *w, struct str s)
{
    varint(w, s.n);
    buf_add_str(w->out, s);
}

static void put_bytes(struct thrift *w, int id, struct str s)
{
    field(w, id, T_BINARY);
    bytes(w, s);
}

static void put_list(struct thrift *w, int id, enum thrift_type type, size_t n)
{
    field(w, id, T_LIST);
    buf_add_char(w->out, (char)((n < 15 ? n : 15) << 4 | type));
    if (n >= 15)
        varint(w, n);
}

/* Begins a struct: an element of a list (id 0), or a field. */
static void begin(struct thrift *w, int id)
{
    if (id)
        field(w, id, T_STRUCT);
    w->depth++;
    assert(w->depth < DEPTH);
    w->last[w->depth] = 0;
}

static void end(struct thrift *w)
{
    buf_add_char(w->out, 0);
    w->depth--;
}

static void put_empty(struct thrift *w, int id)
{
    begin(w, id);
    end(w);
}

/* ---- types ---- */

enum { P_BOOLEAN, P_INT32, P_INT64, P_INT96, P_FLOAT, P_DOUBLE, P_BYTE_ARRAY, P_FIXED };
enum { OPTIONAL = 1, REPEATED = 2 };
enum { C_UTF8 = 0, C_LIST = 3, C_DECIMAL = 5, C_DATE = 6, C_MICROS = 10, C_INT8 = 15 };
enum { L_DECIMAL = 5, L_TIMESTAMP = 8 };

unsigned parquet_depth(const struct type *t)
{
    unsigned depth = 0;

    for (; t->id == TYPE_ARRAY; t = &t->children[0].type)
        depth++;
    return depth;
}

const struct type *parquet_leaf(const struct type *t)
{
    while (t->id == TYPE_ARRAY)
        t = &t->children[0].type;
    return t;
}

static int physical(const struct type *t)
{
    switch (t->id) {
    case TYPE_BOOLEAN:
        return P_BOOLEAN;
    case TYPE_BYTE:
    case TYPE_SHORT:
    case TYPE_INTEGER:
    case TYPE_DATE:
        return P_INT32;
    case TYPE_LONG:
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMP_NTZ:
        return P_INT64;
    case TYPE_FLOAT:
        return P_FLOAT;
    case TYPE_DOUBLE:
        return P_DOUBLE;
    case TYPE_DECIMAL:
        return t->precision <= 9 ? P_INT32 : t->precision <= 18 ? P_INT64 : P_FIXED;
    default:
        assert(t->id == TYPE_STRING || t->id == TYPE_BINARY);
        return P_BYTE_ARRAY;
    }
}

static int converted(const struct type *t)
{
    switch (t->id) {
    case TYPE_BYTE:
        return C_INT8;
    case TYPE_SHORT:
        return C_INT8 + 1;
    case TYPE_INTEGER:
        return C_INT8 + 2;
    case TYPE_LONG:
        return C_INT8 + 3;
    case TYPE_DECIMAL:
        return C_DECIMAL;
    case TYPE_STRING:
        return C_UTF8;
    case TYPE_DATE:
        return C_DATE;
    case TYPE_TIMESTAMP: /* without a zone it has none: the old notation means UTC */
        return C_MICROS;
    default:
        return -1;
    }
}

static void timestamp_type(struct thrift *w, bool utc)
{
    begin(w, L_TIMESTAMP);
    put_bool(w, 1, utc);
    begin(w, 2);
    put_empty(w, 2); /* microseconds */
    end(w);
    end(w);
}

/* The union LogicalType, field 10 of a schema element, where the older notation does not say it all. */
static void logical(struct thrift *w, const struct type *t)
{
    if (t->id != TYPE_DECIMAL && t->id != TYPE_TIMESTAMP && t->id != TYPE_TIMESTAMP_NTZ)
        return;
    begin(w, 10);
    if (t->id == TYPE_DECIMAL) {
        begin(w, L_DECIMAL);
        put_i32(w, 1, t->scale);
        put_i32(w, 2, t->precision);
        end(w);
    } else {
        timestamp_type(w, t->id == TYPE_TIMESTAMP);
    }
    end(w);
}

static void leaf_element(struct thrift *w, const struct field *f, struct str name)
{
    const struct type *t = &f->type;

    begin(w, 0);
    put_i32(w, 1, physical(t));
    if (physical(t) == P_FIXED)
        put_i32(w, 2, 16);
    put_i32(w, 3, OPTIONAL);
    put_bytes(w, 4, name);
    if (converted(t) >= 0)
        put_i32(w, 6, converted(t));
    if (t->id == TYPE_DECIMAL) {
        put_i32(w, 7, t->scale);
        put_i32(w, 8, t->precision);
    }
    if (f->id)
        put_i32(w, 9, f->id);
    logical(w, t);
    end(w);
}

static void group_element(struct thrift *w, int repetition, struct str name, int32_t id, bool list)
{
    begin(w, 0);
    put_i32(w, 3, repetition);
    put_bytes(w, 4, name);
    put_i32(w, 5, 1);
    if (list)
        put_i32(w, 6, C_LIST);
    if (id)
        put_i32(w, 9, id);
    end(w);
}

static void field_elements(struct thrift *w, const struct field *f)
{
    struct str name = f->physical;

    for (; f->type.id == TYPE_ARRAY; f = &f->type.children[0], name = STR("element")) {
        group_element(w, OPTIONAL, name, f->id, true);
        group_element(w, REPEATED, STR("list"), 0, false);
    }
    leaf_element(w, f, name);
}

static void schema_elements(struct thrift *w, const struct schema *s)
{
    size_t n = 1;

    for (uint32_t i = 0; i < s->n_fields; i++)
        n += 1 + 2 * (size_t)parquet_depth(&s->fields[i].type);
    put_list(w, 2, T_STRUCT, n);
    begin(w, 0);
    put_bytes(w, 4, STR("schema"));
    put_i32(w, 5, (int32_t)s->n_fields);
    end(w);
    for (uint32_t i = 0; i < s->n_fields; i++)
        field_elements(w, &s->fields[i]);
}

/* ---- pages and chunks ---- */

enum { PLAIN = 0, RLE = 3, UNCOMPRESSED = 0, ZSTD = 6 };

void parquet_page_header(struct buf *out, size_t plain, size_t stored, uint64_t values)
{
    struct thrift w = {.out = out};

    put_i32(&w, 1, 0); /* a data page, version 1 */
    put_i32(&w, 2, (int32_t)plain);
    put_i32(&w, 3, (int32_t)stored);
    begin(&w, 5);
    put_i32(&w, 1, (int32_t)values);
    put_i32(&w, 2, PLAIN);
    put_i32(&w, 3, RLE);
    put_i32(&w, 4, RLE);
    end(&w);
    buf_add_char(out, 0);
}

static void statistics(struct thrift *w, const struct parquet_chunk *c)
{
    begin(w, 12);
    put_i64(w, 3, c->nulls);
    if (c->max.p)
        put_bytes(w, 5, c->max);
    if (c->min.p)
        put_bytes(w, 6, c->min);
    if (c->max.p)
        put_bool(w, 7, true); /* not cut */
    if (c->min.p)
        put_bool(w, 8, true);
    end(w);
}

static void column_chunk(struct thrift *w, const struct parquet_chunk *c)
{
    unsigned depth = parquet_depth(&c->field->type);

    begin(w, 0);
    put_i64(w, 2, 0);
    begin(w, 3);
    put_i32(w, 1, physical(parquet_leaf(&c->field->type)));
    put_list(w, 2, T_I32, 2);
    zigzag(w, PLAIN);
    zigzag(w, RLE);
    put_list(w, 3, T_BINARY, 1 + 2 * (size_t)depth);
    bytes(w, c->field->physical);
    for (unsigned i = 0; i < depth; i++) {
        bytes(w, STR("list"));
        bytes(w, STR("element"));
    }
    put_i32(w, 4, c->zstd ? ZSTD : UNCOMPRESSED);
    put_i64(w, 5, c->values);
    put_i64(w, 6, c->plain);
    put_i64(w, 7, c->stored);
    put_i64(w, 9, c->offset);
    statistics(w, c);
    end(w);
    end(w);
}

static void row_group(struct thrift *w, const struct parquet_chunk *chunks, uint32_t n, uint64_t rows)
{
    uint64_t plain = 0, stored = 0;

    put_list(w, 4, T_STRUCT, 1);
    begin(w, 0);
    put_list(w, 1, T_STRUCT, n);
    for (uint32_t i = 0; i < n; i++) {
        column_chunk(w, &chunks[i]);
        plain += chunks[i].plain;
        stored += chunks[i].stored;
    }
    put_i64(w, 2, plain);
    put_i64(w, 3, rows);
    if (n)
        put_i64(w, 5, chunks[0].offset);
    put_i64(w, 6, stored);
    end(w);
}

void parquet_footer(struct buf *out, const struct schema *schema, uint64_t rows, const struct parquet_chunk *chunks)
{
    struct thrift w = {.out = out};
    size_t at = out->n;

    put_i32(&w, 1, 1);
    schema_elements(&w, schema);
    put_i64(&w, 3, rows);
    row_group(&w, chunks, schema->n_fields, rows);
    put_bytes(&w, 6, STR("sluice version " SLUICE_VERSION));
    put_list(&w, 7, T_STRUCT, schema->n_fields); /* without it min and max mean nothing */
    for (uint32_t i = 0; i < schema->n_fields; i++) {
        begin(&w, 0);
        put_empty(&w, 1); /* in the order that the type defines */
        end(&w);
    }
    buf_add_char(out, 0);
    buf_add_le32(out, (uint32_t)(out->n - at));
    buf_add_cstr(out, "PAR1");
}
