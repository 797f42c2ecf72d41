/*
 * A VARIANT as DuckDB holds it. A row's value is in four parts:
 *
 *   keys      VARCHAR[]                                the names of all objects in it
 *   children  STRUCT(key UINTEGER, value UINTEGER)[]   members of objects and arrays: a name in `keys`, a place in `values`
 *   values    STRUCT(type UTINYINT, offset UINTEGER)[] the first is the value itself; offset: of its bytes in `data`
 *   data      BLOB
 *
 * The bytes of an object or array are a count and, unless it is 0, the first of its children; of text and blobs a length
 * and the bytes; of a decimal its width, its scale and the integer; else the value as a vector would hold it. Counts are LEB128.
 */
#ifndef SLUICE_ENGINE_VARIANT_PARTS_H
#define SLUICE_ENGINE_VARIANT_PARTS_H

#include "engine/engine.h"
#include "model/batch.h"

/* DuckDB's numbers of what a value is. */
enum part_kind {
    PART_NULL,
    PART_TRUE,
    PART_FALSE,
    PART_INT8,
    PART_INT16,
    PART_INT32,
    PART_INT64,
    PART_INT128,
    PART_UINT8,
    PART_UINT16,
    PART_UINT32,
    PART_UINT64,
    PART_UINT128,
    PART_FLOAT,
    PART_DOUBLE,
    PART_DECIMAL,
    PART_VARCHAR,
    PART_BLOB,
    PART_UUID,
    PART_DATE,
    PART_TIME,
    PART_TIME_NS,
    PART_TIMESTAMP_S,
    PART_TIMESTAMP_MS,
    PART_TIMESTAMP,
    PART_TIMESTAMP_NS,
    PART_TIME_TZ,
    PART_TIMESTAMP_TZ,
    PART_INTERVAL,
    PART_OBJECT,
    PART_ARRAY,
    PART_BIGNUM,
    PART_BIT,
    PART_GEOMETRY,
};

/* Of those whose bytes are what a vector holds; else size 0. */
struct part_layout {
    enum engine_kind kind;
    uint8_t size;
};
struct part_layout variant_part_layout(unsigned kind);

struct variant_parts {
    const struct engine_vector *keys, *key, *value, *type, *offset; /* the vectors of all rows */
    uint64_t first_key, first_child, first_value;                   /* of this row */
    struct str data;
};

/* One value of it. */
struct variant_part {
    unsigned kind;        /* an enum part_kind, if DuckDB has no new ones */
    struct str bytes;     /* from its own to the end of all */
    uint64_t first;       /* of an object or array: the first of its members in `key` and `value` */
    uint32_t n;           /* so many members; of text and the like its bytes, of which `bytes` then are no more */
    uint8_t width, scale; /* of a decimal, whose integer is in `bytes` */
};

struct variant_parts variant_parts_of(const struct engine_vector *v, uint64_t row); /* not NULL */
struct variant_part variant_part_at(const struct variant_parts *v, uint64_t i);     /* 0: the value itself */
/* Of a member: its place for variant_part_at(), its name. */
uint64_t variant_member(const struct variant_parts *v, uint64_t child);
struct str variant_member_name(const struct variant_parts *v, uint64_t child);

#endif
