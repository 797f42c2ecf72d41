/*
 * The parts (variant_parts.h) of each row are gathered one after the other and then put into the vector, whose lists must be
 * as long as they will be before they are filled. Unlike DuckDB's own function for this, a null that JSON has is a value here and
 * no NULL: it is one of type PART_NULL.
 */
#include "engine/variant_decode.h"

#include "base/mem.h"
#include "codec/pg_number.h"
#include "engine/variant_parts.h"

enum { NO_NAME = 0xffffffff }; /* of an element of an array */

/* Where a row's parts are. */
struct variant_row {
    bool is_null;
    struct listview keys, children, values;
    struct str data;
};

void variant_build_deinit(struct variant_build *b)
{
    arena_deinit(&b->arena);
    buf_deinit(&b->data);
    mem_free(b->keys);
    mem_free(b->children[0]);
    mem_free(b->children[1]);
    mem_free(b->types);
    mem_free(b->offsets);
    mem_free(b->rows);
    *b = (struct variant_build){0};
}

static void add_count(struct buf *out, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        buf_add_char(out, (char)(n | 0x80));
    buf_add_char(out, (char)n);
}

/* A value of the row; its place among them. */
static uint32_t add_value(struct variant_build *b, enum part_kind kind)
{
    MEM_GROW(b->types, b->n_values, b->cap_types);
    MEM_GROW(b->offsets, b->n_values, b->cap_offsets);
    b->types[b->n_values] = (uint8_t)kind;
    b->offsets[b->n_values] = (uint32_t)b->data.n;
    return (uint32_t)(b->n_values++ - b->first_value);
}

/* In the width that its size says, or in one that the scale fits in. */
static int add_decimal(struct variant_build *b, const struct variant_item *item, struct err *err)
{
    unsigned width = item->primitive == VARIANT_DECIMAL4 ? 9 : item->primitive == VARIANT_DECIMAL8 ? 18 : 38, scale;
    int128 v;

    TRY(variant_item_decimal(item, &v, &scale, err));
    uint128 digits = v < 0 ? -(uint128)v : (uint128)v;
    while (scale > width || digits >= pg_pow10(width))
        width = width == 9 ? 18 : 38;
    add_count(&b->data, width);
    add_count(&b->data, scale);
    buf_add(&b->data, &v, width == 9 ? 4 : width == 18 ? 8 : 16);
    return 0;
}

/* DuckDB has the highest bit inverted, and the lowest byte first. */
static void add_uuid(struct variant_build *b, struct str bytes)
{
    for (size_t i = 16; i-- > 0;)
        buf_add_char(&b->data, i ? bytes.p[i] : (char)(bytes.p[0] ^ 0x80));
}

/* DuckDB has no such type with a zone: microseconds. */
static void add_nanoseconds(struct variant_build *b, struct str bytes)
{
    int64_t t;

    memcpy(&t, bytes.p, sizeof t);
    t = t / 1000 - (t % 1000 < 0);
    buf_add(&b->data, &t, sizeof t);
}

static int add_primitive(struct variant_build *b, const struct variant_item *item, uint32_t *ret, struct err *err)
{
    static const uint8_t kinds[] = {
        [VARIANT_NULL] = PART_NULL,
        [VARIANT_TRUE] = PART_TRUE,
        [VARIANT_FALSE] = PART_FALSE,
        [VARIANT_INT8] = PART_INT8,
        [VARIANT_INT16] = PART_INT16,
        [VARIANT_INT32] = PART_INT32,
        [VARIANT_INT64] = PART_INT64,
        [VARIANT_DOUBLE] = PART_DOUBLE,
        [VARIANT_DECIMAL4] = PART_DECIMAL,
        [VARIANT_DECIMAL8] = PART_DECIMAL,
        [VARIANT_DECIMAL16] = PART_DECIMAL,
        [VARIANT_DATE] = PART_DATE,
        [VARIANT_TIMESTAMP] = PART_TIMESTAMP_TZ,
        [VARIANT_TIMESTAMP_NTZ] = PART_TIMESTAMP,
        [VARIANT_FLOAT] = PART_FLOAT,
        [VARIANT_BINARY] = PART_BLOB,
        [VARIANT_TIME] = PART_TIME,
        [VARIANT_TIMESTAMP_NS] = PART_TIMESTAMP_TZ,
        [VARIANT_TIMESTAMP_NTZ_NS] = PART_TIMESTAMP_NS,
        [VARIANT_UUID] = PART_UUID,
    };

    *ret = add_value(b, (enum part_kind)kinds[item->primitive]);
    switch (item->primitive) {
    case VARIANT_DECIMAL4:
    case VARIANT_DECIMAL8:
    case VARIANT_DECIMAL16:
        return add_decimal(b, item, err);
    case VARIANT_UUID:
        add_uuid(b, item->bytes);
        return 0;
    case VARIANT_TIMESTAMP_NS:
        add_nanoseconds(b, item->bytes);
        return 0;
    case VARIANT_BINARY:
        add_count(&b->data, item->bytes.n);
        __attribute__((fallthrough));
    default:
        buf_add_str(&b->data, item->bytes);
        return 0;
    }
}

static int add_item(struct variant_build *b, struct str bytes, unsigned depth, uint32_t *ret, struct err *err);

static int add_members(struct variant_build *b, const struct variant_item *item, unsigned depth, uint32_t *ret,
                       struct err *err)
{
    uint64_t first = b->n_children;

    if (depth == VARIANT_DEPTH)
        return err_set(err, ERR_LIMIT, "objects and arrays are more than %d deep", VARIANT_DEPTH);
    *ret = add_value(b, item->kind == VARIANT_IS_OBJECT ? PART_OBJECT : PART_ARRAY);
    add_count(&b->data, item->n);
    if (item->n)
        add_count(&b->data, first - b->first_child);
    for (uint32_t i = 0; i < item->n; i++) { /* they stand together, before those of their own */
        MEM_GROW(b->children[0], b->n_children, b->cap_children[0]);
        MEM_GROW(b->children[1], b->n_children, b->cap_children[1]);
        b->children[0][b->n_children++] = NO_NAME;
    }
    for (uint32_t i = 0; i < item->n; i++) {
        struct str value, name = {0};
        uint32_t place;
        TRY(variant_item_member(item, &b->names, i, &value, &name, err));
        if (item->kind == VARIANT_IS_OBJECT) {
            MEM_GROW(b->keys, b->n_keys, b->cap_keys);
            b->children[0][first + i] = (uint32_t)(b->n_keys - b->first_key);
            b->keys[b->n_keys++] = name;
        }
        TRY(add_item(b, value, depth + 1, &place, err));
        b->children[1][first + i] = place;
    }
    return 0;
}

static int add_item(struct variant_build *b, struct str bytes, unsigned depth, uint32_t *ret, struct err *err)
{
    struct variant_item item;

    TRY(variant_item_read(bytes, &item, err));
    if (b->data.n + item.bytes.n > VARIANT_BYTES || b->n_values - b->first_value > VARIANT_BYTES / 4)
        return err_set(err, ERR_LIMIT, "a variant of more than %d bytes", VARIANT_BYTES);
    if (item.kind == VARIANT_IS_PRIMITIVE)
        return add_primitive(b, &item, ret, err);
    if (item.kind != VARIANT_IS_TEXT)
        return add_members(b, &item, depth, ret, err);
    *ret = add_value(b, PART_VARCHAR);
    add_count(&b->data, item.bytes.n);
    buf_add_str(&b->data, item.bytes);
    return 0;
}

static void row_end(struct variant_build *b, bool is_null)
{
    MEM_GROW(b->rows, b->n_rows, b->cap_rows);
    b->rows[b->n_rows++] = (struct variant_row){
        .is_null = is_null,
        .keys = {b->first_key, b->n_keys - b->first_key},
        .children = {b->first_child, b->n_children - b->first_child},
        .values = {b->first_value, b->n_values - b->first_value},
        .data = arena_str(&b->arena, buf_str(&b->data)),
    };
    b->first_key = b->n_keys;
    b->first_child = b->n_children;
    b->first_value = b->n_values;
    buf_reset(&b->data);
}

void variant_build_add_null(struct variant_build *b)
{
    row_end(b, true);
}

int variant_build_add(struct variant_build *b, struct str bytes, struct err *err)
{
    size_t n;
    uint32_t place;

    TRY(variant_names_read(bytes, &b->names, &n, err));
    TRY(add_item(b, str_make(bytes.p + n, bytes.n - n), 0, &place, err));
    row_end(b, false);
    return 0;
}

/* The list's entries will be `n`; the vector of them. */
static duckdb_vector make_room(duckdb_vector list, uint64_t n)
{
    duckdb_list_vector_reserve(list, n);
    duckdb_list_vector_set_size(list, n);
    return duckdb_list_vector_get_child(list);
}

static void copy(duckdb_vector to, const void *from, uint64_t n, size_t size)
{
    if (n)
        memcpy(duckdb_vector_get_data(to), from, n * size);
}

static void set_null(duckdb_vector v, uint64_t i)
{
    duckdb_vector_ensure_validity_writable(v);
    duckdb_validity_set_row_invalid(duckdb_vector_get_validity(v), i);
}

void variant_build_fill(const struct variant_build *b, duckdb_vector out)
{
    duckdb_vector lists[3], entries[3], data = duckdb_struct_vector_get_child(out, 3);
    const uint64_t n[] = {b->n_keys, b->n_children, b->n_values};

    for (idx_t i = 0; i < 3; i++) {
        lists[i] = duckdb_struct_vector_get_child(out, i);
        entries[i] = make_room(lists[i], n[i]);
    }
    for (uint64_t i = 0; i < b->n_keys; i++)
        duckdb_vector_assign_string_element_len(entries[0], i, b->keys[i].n ? b->keys[i].p : "", b->keys[i].n);
    copy(duckdb_struct_vector_get_child(entries[1], 0), b->children[0], b->n_children, sizeof *b->children[0]);
    for (uint64_t i = 0; i < b->n_children; i++)
        if (b->children[0][i] == NO_NAME)
            set_null(duckdb_struct_vector_get_child(entries[1], 0), i);
    copy(duckdb_struct_vector_get_child(entries[1], 1), b->children[1], b->n_children, sizeof *b->children[1]);
    copy(duckdb_struct_vector_get_child(entries[2], 0), b->types, b->n_values, sizeof *b->types);
    copy(duckdb_struct_vector_get_child(entries[2], 1), b->offsets, b->n_values, sizeof *b->offsets);
    for (uint64_t i = 0; i < b->n_rows; i++) {
        const struct variant_row *row = &b->rows[i];
        ((struct listview *)duckdb_vector_get_data(lists[0]))[i] = row->keys;
        ((struct listview *)duckdb_vector_get_data(lists[1]))[i] = row->children;
        ((struct listview *)duckdb_vector_get_data(lists[2]))[i] = row->values;
        duckdb_vector_assign_string_element_len(data, i, row->data.p, row->data.n);
        if (row->is_null)
            set_null(out, i);
    }
}
