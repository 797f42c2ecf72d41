/*
 * A VARIANT from DuckDB's form to Parquet's. Types stay what they are; those that Parquet does not have become the next
 * one that holds the value: unsigned integers signed ones, large integers decimals, seconds microseconds, others their text.
 */
#include "codec/pg_number.h"
#include "engine/render.h"
#include "engine/variant_functions.h"

static int put_big(struct variant_writer *w, int128 v, bool is_signed, struct err *err)
{
    uint128 digits = is_signed && v < 0 ? -(uint128)v : (uint128)v;

    if (v == (int64_t)v && (is_signed || v >= 0)) {
        variant_put_int(w, (int64_t)v, 8);
        return 0;
    }
    if (digits / 10 >= pg_pow10(VARIANT_DECIMAL_DIGITS - 1))
        return err_set(err, ERR_USAGE, "an integer of more than %d digits, which a variant cannot hold",
                       VARIANT_DECIMAL_DIGITS);
    variant_put_decimal(w, v, 0);
    return 0;
}

/* An integer of `size` bytes, the lowest first. */
static int128 take_int(struct str bytes, size_t size, bool is_signed)
{
    uint128 v = 0;

    memcpy(&v, bytes.p, MIN(size, bytes.n));
    unsigned shift = 128 - 8 * (unsigned)size;
    return is_signed ? (int128)(v << shift) >> shift : (int128)v;
}

static int put_decimal(struct variant_writer *w, const struct variant_part *p, struct err *err)
{
    size_t size = p->width > 18 ? 16 : p->width > 9 ? 8 : p->width > 4 ? 4 : 2;

    if (p->scale > VARIANT_DECIMAL_DIGITS)
        return err_set(err, ERR_INTERNAL, "a decimal with a scale of %u", p->scale);
    variant_put_decimal(w, take_int(p->bytes, size, true), p->scale);
    return 0;
}

static int put_seconds(struct variant_writer *w, int64_t v, int64_t unit, struct err *err)
{
    if (__builtin_mul_overflow(v, 1000000 / unit, &v))
        return err_set(err, ERR_USAGE, "a time that is too far away for a variant");
    variant_put(w, VARIANT_TIMESTAMP_NTZ, &v, sizeof v);
    return 0;
}

/* DuckDB has the highest bit inverted. */
static void put_uuid(struct variant_writer *w, struct str bytes)
{
    uint128 v = (uint128)take_int(bytes, 16, true) ^ (uint128)1 << 127;
    uint8_t out[16];

    for (int i = 0; i < 16; i++)
        out[i] = (uint8_t)(v >> 8 * (15 - i));
    variant_put(w, VARIANT_UUID, out, sizeof out);
}

/* What Parquet has no type for. */
static int put_as_text(struct variant_writer *w, const struct variant_part *p, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {0};

    if (!variant_part_text(p, &text))
        return err_set(err, ERR_UNSUPPORTED, "a variant holds a value of a type that Parquet does not have (%u)",
                       p->kind);
    variant_put_text(w, buf_str(&text));
    return 0;
}

static int put_integer(struct variant_writer *w, const struct variant_part *p, struct err *err)
{
    bool is_signed = p->kind <= PART_INT128;
    size_t size = variant_part_layout(p->kind).size;
    int128 v = take_int(p->bytes, size, is_signed);

    if (size == 16)
        return put_big(w, v, is_signed, err);
    if (p->kind == PART_UINT64)
        return put_big(w, v, true, err);
    variant_put_int(w, (int64_t)v, (unsigned)(is_signed ? size : 2 * size));
    return 0;
}

static int put_scalar(struct variant_writer *w, const struct variant_part *p, struct err *err)
{
    static const uint8_t same[] = {
        [PART_NULL] = VARIANT_NULL,
        [PART_TRUE] = VARIANT_TRUE,
        [PART_FALSE] = VARIANT_FALSE,
        [PART_FLOAT] = VARIANT_FLOAT,
        [PART_DOUBLE] = VARIANT_DOUBLE,
        [PART_DATE] = VARIANT_DATE,
        [PART_TIME] = VARIANT_TIME,
        [PART_TIMESTAMP] = VARIANT_TIMESTAMP_NTZ,
        [PART_TIMESTAMP_NS] = VARIANT_TIMESTAMP_NTZ_NS,
        [PART_TIMESTAMP_TZ] = VARIANT_TIMESTAMP,
    };
    uint8_t size = variant_part_layout(p->kind).size;

    if (p->kind >= PART_INT8 && p->kind <= PART_UINT128)
        return put_integer(w, p, err);
    switch (p->kind) {
    case PART_DECIMAL:
        return put_decimal(w, p, err);
    case PART_VARCHAR:
        variant_put_text(w, p->bytes);
        return 0;
    case PART_BLOB:
    case PART_GEOMETRY:
        variant_put_binary(w, p->bytes);
        return 0;
    case PART_UUID:
        put_uuid(w, p->bytes);
        return 0;
    case PART_TIMESTAMP_S:
    case PART_TIMESTAMP_MS:
        return put_seconds(w, (int64_t)take_int(p->bytes, 8, true), p->kind == PART_TIMESTAMP_S ? 1 : 1000, err);
    default:
        if (p->kind > PART_FALSE && (p->kind >= ARRAY_LEN(same) || !same[p->kind]))
            return put_as_text(w, p, err);
        variant_put(w, (enum variant_primitive)same[p->kind], p->bytes.p, MIN(size, p->bytes.n));
        return 0;
    }
}

static int put_at(struct variant_writer *w, const struct variant_parts *v, uint64_t i, unsigned depth, struct err *err)
{
    const struct variant_part p = variant_part_at(v, i);
    bool object = p.kind == PART_OBJECT;

    if (!object && p.kind != PART_ARRAY)
        return put_scalar(w, &p, err);
    if (depth > VARIANT_DEPTH)
        return err_set(err, ERR_LIMIT, "objects and arrays are more than %d deep", VARIANT_DEPTH);
    variant_begin(w, object);
    for (uint64_t c = p.first; c < p.first + p.n; c++) {
        variant_next(w, object ? variant_member_name(v, c) : (struct str){0});
        TRY(put_at(w, v, variant_member(v, c), depth + 1, err));
    }
    return variant_end(w, err);
}

int variant_encode(struct variant_writer *w, const struct variant_parts *v, uint64_t i, struct err *err)
{
    return put_at(w, v, i, 1, err);
}
