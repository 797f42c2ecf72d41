/* Rows and members of vectors as the parts of one value. Nothing here is checked: DuckDB made them. */
#include "engine/variant_parts.h"

#include "base/macros.h"

static const struct part_layout LAYOUTS[] = {
    [PART_INT8] = {ENGINE_TINYINT, 1},
    [PART_INT16] = {ENGINE_SMALLINT, 2},
    [PART_INT32] = {ENGINE_INTEGER, 4},
    [PART_INT64] = {ENGINE_BIGINT, 8},
    [PART_INT128] = {ENGINE_HUGEINT, 16},
    [PART_UINT8] = {ENGINE_UTINYINT, 1},
    [PART_UINT16] = {ENGINE_USMALLINT, 2},
    [PART_UINT32] = {ENGINE_UINTEGER, 4},
    [PART_UINT64] = {ENGINE_UBIGINT, 8},
    [PART_UINT128] = {ENGINE_UHUGEINT, 16},
    [PART_FLOAT] = {ENGINE_FLOAT, 4},
    [PART_DOUBLE] = {ENGINE_DOUBLE, 8},
    [PART_UUID] = {ENGINE_UUID, 16},
    [PART_DATE] = {ENGINE_DATE, 4},
    [PART_TIME] = {ENGINE_TIME, 8},
    [PART_TIME_NS] = {ENGINE_TIME_NS, 8},
    [PART_TIMESTAMP_S] = {ENGINE_TIMESTAMP_S, 8},
    [PART_TIMESTAMP_MS] = {ENGINE_TIMESTAMP_MS, 8},
    [PART_TIMESTAMP] = {ENGINE_TIMESTAMP, 8},
    [PART_TIMESTAMP_NS] = {ENGINE_TIMESTAMP_NS, 8},
    [PART_TIME_TZ] = {ENGINE_TIME_TZ, 8},
    [PART_TIMESTAMP_TZ] = {ENGINE_TIMESTAMP, 8},
    [PART_INTERVAL] = {ENGINE_INTERVAL, 16},
};

struct part_layout variant_part_layout(unsigned kind)
{
    return kind < ARRAY_LEN(LAYOUTS) ? LAYOUTS[kind] : (struct part_layout){0};
}

struct variant_parts variant_parts_of(const struct engine_vector *v, uint64_t row)
{
    const struct engine_vector *keys = &v->children[0], *children = &v->children[1], *values = &v->children[2];

    return (struct variant_parts){
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
}

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

struct variant_part variant_part_at(const struct variant_parts *v, uint64_t i)
{
    uint64_t offset = (uint64_t)engine_i64(v->offset, v->first_value + i);
    struct variant_part p = {.kind = (unsigned)engine_i64(v->type, v->first_value + i),
                             .bytes = offset < v->data.n ? str_make(v->data.p + offset, v->data.n - offset) : STR("")};

    switch (p.kind) {
    case PART_DECIMAL:
        p.width = (uint8_t)take_count(&p.bytes);
        p.scale = (uint8_t)take_count(&p.bytes);
        break;
    case PART_VARCHAR:
    case PART_BLOB:
    case PART_BIGNUM:
    case PART_BIT:
    case PART_GEOMETRY:
        p.n = take_count(&p.bytes);
        p.bytes.n = p.n = (uint32_t)MIN(p.n, p.bytes.n);
        break;
    case PART_OBJECT:
    case PART_ARRAY:
        p.n = take_count(&p.bytes);
        p.first = v->first_child + (p.n ? take_count(&p.bytes) : 0);
        break;
    default:
        break;
    }
    return p;
}

uint64_t variant_member(const struct variant_parts *v, uint64_t child)
{
    return (uint64_t)engine_i64(v->value, child);
}

struct str variant_member_name(const struct variant_parts *v, uint64_t child)
{
    return engine_str(v->keys, v->first_key + (uint64_t)engine_i64(v->key, child));
}
