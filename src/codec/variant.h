/*
 * The binary form of a VARIANT (parquet-format, VariantEncoding.md): what Delta tables and Parquet files hold of one, a
 * dictionary of the names in it (`metadata`) and the value itself, both little-endian.
 *
 *   metadata   (offset size - 1) << 6 | sorted << 4 | 1, n, n + 1 offsets, the names' bytes
 *   value      header << 2 | basic type, then by the basic type
 *     0 primitive     header: which (enum variant_primitive); its bytes
 *     1 short text    header: bytes, up to 63; the text
 *     2 object        header: large << 4 | (id size - 1) << 2 | offset size - 1; n, ids by name, n + 1 offsets, members
 *     3 array         header: large << 2 | offset size - 1; n, n + 1 offsets, elements
 *
 * n of an object or array is a byte, or 4 where it is large. Offsets count from the first member. A decimal is its scale and
 * the integer; text and binary have a length of 4 bytes in front; a date, time or timestamp is a count since 1970-01-01.
 */
#ifndef SLUICE_CODEC_VARIANT_H
#define SLUICE_CODEC_VARIANT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"

enum variant_primitive {
    VARIANT_NULL,
    VARIANT_TRUE,
    VARIANT_FALSE,
    VARIANT_INT8,
    VARIANT_INT16,
    VARIANT_INT32,
    VARIANT_INT64,
    VARIANT_DOUBLE,
    VARIANT_DECIMAL4,
    VARIANT_DECIMAL8,
    VARIANT_DECIMAL16,
    VARIANT_DATE,          /* days, 4 bytes */
    VARIANT_TIMESTAMP,     /* microseconds UTC */
    VARIANT_TIMESTAMP_NTZ, /* microseconds without a zone */
    VARIANT_FLOAT,
    VARIANT_BINARY,
    VARIANT_STRING,
    VARIANT_TIME,             /* microseconds of a day */
    VARIANT_TIMESTAMP_NS,     /* nanoseconds UTC */
    VARIANT_TIMESTAMP_NTZ_NS, /* nanoseconds without a zone */
    VARIANT_UUID,             /* 16 bytes as they are written, highest first */
};

enum {
    VARIANT_DEPTH = 1000,      /* objects and arrays in each other: as deep as Spark's parser goes */
    VARIANT_BYTES = 128 << 20, /* of a value, and of its names: what Spark takes */
    VARIANT_DECIMAL_DIGITS = 38,
};

struct variant_level;
struct variant_member;

/* A value under way: one is put, or an object or array is begun, filled and ended. `{0}` is valid; to be reset between values. */
struct variant_writer {
    struct buf value;
    struct arena arena; /* the names */
    struct map ids;     /* name → id + 1 */
    struct str *names;  /* by id */
    size_t n_names, cap_names, names_bytes;
    struct variant_member *members; /* of what is open */
    size_t n_members, cap_members;
    struct variant_level *levels;
    size_t n_levels, cap_levels;
};

void variant_writer_deinit(struct variant_writer *w);
void variant_writer_reset(struct variant_writer *w);

/* A primitive without bytes, or with these. */
void variant_put(struct variant_writer *w, enum variant_primitive what, const void *bytes, size_t n);
/* In as few bytes as it fits in, but no fewer than `least` (1, 2, 4, 8). */
void variant_put_int(struct variant_writer *w, int64_t v, unsigned least);
/* In as few bytes as `v` (at most 38 digits) and the scale (at most 38) need. */
void variant_put_decimal(struct variant_writer *w, __int128 v, unsigned scale);
void variant_put_text(struct variant_writer *w, struct str text);
void variant_put_binary(struct variant_writer *w, struct str bytes);
void variant_begin(struct variant_writer *w, bool object);
/* Before each member of an object, with its name, and before each element of an array. The name is copied. */
void variant_next(struct variant_writer *w, struct str name);
/* ERR_USAGE: a name is there twice. ERR_LIMIT: larger than VARIANT_BYTES. */
int variant_end(struct variant_writer *w, struct err *err) MUST_CHECK;
/* The dictionary, once the value is whole; the value is `w->value`. */
int variant_metadata(const struct variant_writer *w, struct buf *out, struct err *err) MUST_CHECK;

/*
 * JSON text into the empty writer, as Spark's parse_json: integers in as few bytes as they need, other numbers as decimals when
 * they are written without an exponent and fit in 38 digits, else as doubles. ERR_USAGE: no JSON.
 */
int variant_from_json(struct variant_writer *w, struct str json, struct err *err) MUST_CHECK;
/* ---- read: bytes that may be anything; ERR_INPUT: they are no variant ---- */

/* A dictionary. Borrows the bytes. */
struct variant_names {
    uint32_t n;
    unsigned size; /* of an offset */
    const uint8_t *offsets;
    struct str bytes;
};
/* `ret_size`: how many bytes it has, where something may follow; NULL: it is all. */
int variant_names_read(struct str metadata, struct variant_names *ret, size_t *ret_size, struct err *err) MUST_CHECK;

enum variant_kind { VARIANT_IS_PRIMITIVE, VARIANT_IS_TEXT, VARIANT_IS_OBJECT, VARIANT_IS_ARRAY };

/* One value: what it is, and its members. Borrows the bytes. */
struct variant_item {
    enum variant_kind kind;
    enum variant_primitive primitive;
    struct str bytes;       /* of a primitive or text, just these; else of the members */
    uint32_t n;             /* members */
    unsigned size, id_size; /* of an offset and of an id */
    const uint8_t *offsets, *ids;
};
/* `value` may go on behind it. ERR_UNSUPPORTED: a type of which this file does not know. */
int variant_item_read(struct str value, struct variant_item *ret, struct err *err) MUST_CHECK;
/* The member's bytes (which may go on) and, in an object, its name. */
int variant_item_member(const struct variant_item *item, const struct variant_names *names, uint32_t i,
                        struct str *ret_value, struct str *ret_name, struct err *err) MUST_CHECK;
/* A decimal's integer and scale; ERR_INPUT: more than 38 digits. */
int variant_item_decimal(const struct variant_item *item, __int128 *ret, unsigned *ret_scale,
                         struct err *err) MUST_CHECK;

/*
 * The value as JSON, as Spark's to_json: binary in base64, dates and times in quotes, names in the order of the value.
 * `out` should have a limit, for a few bytes may say much.
 */
int variant_to_json(struct str metadata, struct str value, struct buf *out, struct err *err) MUST_CHECK;

#endif
