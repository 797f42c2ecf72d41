/*
 * Thrift's compact protocol as a tree, for footers that are changed and written again: what is not known stays as it is.
 *
 *   struct   field…  0          field    (id - last id) << 4 | type, value; or type, zigzag id, value
 *   list     n << 4 | type, elements     (n < 15, else f << 4 | type, varint n)
 *   i16 …    zigzag varint      byte     1 byte      binary   varint length, bytes      double   8 bytes
 *   A boolean field is its type (1 true, 2 false), an element of a list a byte.
 */
#ifndef SLUICE_CODEC_THRIFT_H
#define SLUICE_CODEC_THRIFT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum thrift_type {
    THRIFT_TRUE = 1,
    THRIFT_FALSE,
    THRIFT_BYTE,
    THRIFT_I16,
    THRIFT_I32,
    THRIFT_I64,
    THRIFT_DOUBLE,
    THRIFT_BINARY,
    THRIFT_LIST,
    THRIFT_SET,
    THRIFT_MAP, /* Parquet has none: refused */
    THRIFT_STRUCT,
};

struct thrift {
    uint8_t type;
    uint8_t element;  /* LIST, SET: the type of each */
    int32_t id;       /* of a field */
    int64_t number;   /* BYTE, I16, I32, I64; of a boolean in a list its byte */
    struct str bytes; /* BINARY, DOUBLE: borrowed */
    uint32_t n, cap;  /* STRUCT: fields, rising ids; LIST, SET: elements */
    struct thrift *v;
};

/* Reads a struct that is all of `bytes`, which are borrowed. */
int thrift_read(struct str bytes, struct arena *arena, struct thrift *ret, struct err *err) MUST_CHECK;
void thrift_write(const struct thrift *t, struct buf *out);

/* The field of a struct, or NULL; also when it has another type. */
struct thrift *thrift_field(const struct thrift *t, int32_t id, enum thrift_type type);
/* A number of a struct, or `otherwise`. */
int64_t thrift_number(const struct thrift *t, int32_t id, int64_t otherwise);
/* The field of a struct, made if it is not there, as an empty one of that type. */
struct thrift *thrift_set(struct thrift *t, int32_t id, enum thrift_type type, struct arena *arena);

#endif
