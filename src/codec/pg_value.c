/*
 * PostgreSQL values into batch columns.
 *
 * The text form is what the type's output function prints, the binary form what its send function gives:
 *
 *   bool 1 byte; int2, int4, int8, oid: 2, 4, 8, 4 bytes; float4, float8: IEEE 754; all big-endian
 *   text and its kin, enum, json, xml: the text; jsonb: version 1 (a byte), text; bytea: the bytes
 *   numeric: pg_number.c; dates and times: pg_time.c; inet, uuid, bit, …: pg_string.c
 *   array: dimensions:4  has nulls:4  element type:4  per dimension (length:4  lower bound:4)
 *          per element (size:4, -1 = NULL  bytes)
 *
 * One switch per form; both end in the same column bytes. Strings are checked to be UTF-8, because a database with the
 * encoding SQL_ASCII sends anything, and a Parquet file with such a string breaks its readers.
 */
#include "codec/pg_value.h"

#include "codec/pg_number.h"
#include "codec/pg_string.h"
#include "codec/pg_time.h"

#include <assert.h>
#include <math.h>

/* Where a value goes. */
struct target {
    struct batch *batch;
    struct column *column;
    uint32_t row;
};

struct pg_value_codec pg_value_codec_of(const struct relation_column *col)
{
    struct arena arena = {0};
    struct pg_value_codec codec = {.name = col->name, .array = pg_type_is_array(col), .delim = ','};
    struct type type;

    pg_type_map(col, &arena, &type, &codec.kind);
    const struct type *scalar = codec.array ? &type.children[0].type : &type;
    codec.precision = scalar->precision;
    codec.scale = scalar->scale;
    codec.cidr = (codec.array ? col->elem_oid : col->type_oid) == PG_OID_CIDR;
    if (codec.array && col->elem_oid == PG_OID_BOX)
        codec.delim = ';';
    arena_deinit(&arena);
    return codec;
}

#define SET_AS(t, type, v)                        \
    do {                                          \
        type set_v_ = (type)(v);                  \
        column_set((t).column, (t).row, &set_v_); \
    } while (0)

static void set_decimal(struct target t, int128 v)
{
    switch (t.column->width) {
    case 2:
        SET_AS(t, int16_t, v);
        break;
    case 4:
        SET_AS(t, int32_t, v);
        break;
    case 8:
        SET_AS(t, int64_t, v);
        break;
    default:
        column_set(t.column, t.row, &v);
    }
}

static int set_text(struct target t, struct str s, struct err *err)
{
    if (!str_is_utf8(s))
        return err_set(err, ERR_LIMIT, "the text is not UTF-8 and does not fit a string");
    column_set_str(t.batch, t.column, t.row, s);
    return 0;
}

static int bad_value(struct str s, const char *type, struct err *err)
{
    return err_set(err, ERR_INPUT, "'%.*s' is not a %s", (int)MIN(s.n, 64u), s.p, type);
}

static int bad_size(struct str s, const char *type, struct err *err)
{
    return err_set(err, ERR_INPUT, "%zu bytes are not a value of type %s", s.n, type);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static int text_bytea(struct str s, struct target t, struct err *err)
{
    char small[64], *to = small;
    size_t n = (s.n - 2) / 2;

    if (s.n < 2 || s.n % 2 || s.p[0] != '\\' || s.p[1] != 'x')
        return bad_value(s, "bytea in hex", err);
    if (n > sizeof small) /* PostgreSQL's values end at 1 GB; this one takes half of what came */
        to = arena_alloc(&t.batch->arena, n);
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(s.p[2 + i * 2]), low = hex_digit(s.p[3 + i * 2]);
        if (high < 0 || low < 0)
            return bad_value(s, "bytea in hex", err);
        to[i] = (char)(high << 4 | low);
    }
    if (to == small) {
        column_set_str(t.batch, t.column, t.row, str_make(to, n));
        return 0;
    }
    struct strview v = {.len = (uint32_t)n, .p = to};
    memcpy(v.prefix, to, 4);
    column_set(t.column, t.row, &v);
    t.batch->bytes += n;
    return 0;
}

static int text_int(struct str s, int64_t min, int64_t max, struct target t, struct err *err)
{
    int64_t v;

    TRY(pg_int_parse(s, min, max, &v, err));
    column_set(t.column, t.row, &v); /* little-endian: the low bytes are the narrower integer */
    return 0;
}

/* Types that become strings and whose binary form is not their text. */
static int converted_string(const struct pg_value_codec *k, struct str s, struct target t, struct err *err)
{
    CLEANUP(buf_deinit) struct buf out = {0};
    char text[PG_TIME_TEXT];
    size_t n;

    switch (k->kind) {
    case PG_TIME:
        TRY(pg_time_text(s, text, &n, err));
        return set_text(t, str_make(text, n), err);
    case PG_TIMETZ:
        TRY(pg_timetz_text(s, text, &n, err));
        return set_text(t, str_make(text, n), err);
    case PG_INTERVAL:
        TRY(pg_interval_text(s, text, &n, err));
        return set_text(t, str_make(text, n), err);
    case PG_NUMERIC:
        TRY(pg_numeric_text(s, &out, err));
        break;
    case PG_QCHAR:
        TRY(pg_qchar_text(s, &out, err));
        break;
    case PG_UUID:
        TRY(pg_uuid_text(s, &out, err));
        break;
    case PG_INET:
        TRY(pg_inet_text(s, k->cidr, &out, err));
        break;
    case PG_MACADDR:
        TRY(pg_macaddr_text(s, 6, &out, err));
        break;
    case PG_MACADDR8:
        TRY(pg_macaddr_text(s, 8, &out, err));
        break;
    case PG_BIT:
        TRY(pg_bit_text(s, &out, err));
        break;
    case PG_LSN:
        TRY(pg_lsn_text(s, &out, err));
        break;
    case PG_JSONB:
        if (!s.n || s.p[0] != 1)
            return bad_size(s, "jsonb", err);
        return set_text(t, str_make(s.p + 1, s.n - 1), err);
    default:
        return err_set(err, ERR_UNSUPPORTED, "a type whose binary form is not read here must come as text");
    }
    column_set_str(t.batch, t.column, t.row, buf_str(&out));
    return 0;
}

static int read_text(const struct pg_value_codec *k, struct str s, struct target t, struct err *err)
{
    union {
        float f4;
        double f8;
        int32_t days;
        int64_t us;
        int128 decimal;
    } v;

    switch (k->kind) {
    case PG_BOOL:
        if (s.n != 1 || (s.p[0] != 't' && s.p[0] != 'f'))
            return bad_value(s, "boolean", err);
        SET_AS(t, uint8_t, s.p[0] == 't');
        return 0;
    case PG_INT2:
        return text_int(s, INT16_MIN, INT16_MAX, t, err);
    case PG_INT4:
        return text_int(s, INT32_MIN, INT32_MAX, t, err);
    case PG_INT8:
        return text_int(s, INT64_MIN, INT64_MAX, t, err);
    case PG_OID:
        return text_int(s, 0, UINT32_MAX, t, err);
    case PG_FLOAT4:
        TRY(pg_float4_parse(s, &v.f4, err));
        break;
    case PG_FLOAT8:
        TRY(pg_float8_parse(s, &v.f8, err));
        break;
    case PG_DECIMAL:
        TRY(pg_decimal_parse(s, k->precision, k->scale, &v.decimal, err));
        set_decimal(t, v.decimal);
        return 0;
    case PG_DATE:
        TRY(pg_date_parse(s, &v.days, err));
        break;
    case PG_TIMESTAMP:
    case PG_TIMESTAMPTZ:
        TRY(pg_timestamp_parse(s, k->kind == PG_TIMESTAMPTZ, &v.us, err));
        break;
    case PG_BYTEA:
        return text_bytea(s, t, err);
    case PG_QCHAR: /* one byte in both forms */
        return converted_string(k, s, t, err);
    default:
        return set_text(t, s, err);
    }
    column_set(t.column, t.row, &v);
    return 0;
}

static int binary_number(const struct pg_value_codec *k, struct str s, struct target t, struct err *err)
{
    static const uint8_t sizes[] = {
        [PG_BOOL] = 1, [PG_INT2] = 2, [PG_INT4] = 4, [PG_INT8] = 8, [PG_OID] = 4, [PG_FLOAT4] = 4, [PG_FLOAT8] = 8};
    struct reader r = reader_of(s.p, s.n);
    uint64_t bits = 0;
    float f4;
    double f8;

    if (s.n != sizes[k->kind])
        return bad_size(s, "that number", err);
    while (reader_left(&r))
        bits = bits << 8 | reader_u8(&r);
    if (k->kind == PG_FLOAT4) {
        uint32_t low = (uint32_t)bits;
        memcpy(&f4, &low, sizeof f4);
        if (isnan(f4)) /* one NaN, as in text */
            f4 = NAN;
        column_set(t.column, t.row, &f4);
    } else if (k->kind == PG_FLOAT8) {
        memcpy(&f8, &bits, sizeof f8);
        if (isnan(f8))
            f8 = NAN;
        column_set(t.column, t.row, &f8);
    } else {
        if (k->kind == PG_BOOL)
            bits = bits != 0;
        column_set(t.column, t.row, &bits); /* little-endian: the low bytes are the narrower integer */
    }
    return 0;
}

static int read_binary(const struct pg_value_codec *k, struct str s, struct target t, struct err *err)
{
    int128 decimal;
    int32_t days;
    int64_t us;

    switch (k->kind) {
    case PG_BOOL:
    case PG_INT2:
    case PG_INT4:
    case PG_INT8:
    case PG_OID:
    case PG_FLOAT4:
    case PG_FLOAT8:
        return binary_number(k, s, t, err);
    case PG_DECIMAL:
        TRY(pg_decimal_read(s, k->precision, k->scale, &decimal, err));
        set_decimal(t, decimal);
        return 0;
    case PG_DATE:
        TRY(pg_date_read(s, &days, err));
        column_set(t.column, t.row, &days);
        return 0;
    case PG_TIMESTAMP:
    case PG_TIMESTAMPTZ:
        TRY(pg_timestamp_read(s, &us, err));
        column_set(t.column, t.row, &us);
        return 0;
    case PG_BYTEA:
        column_set_str(t.batch, t.column, t.row, s);
        return 0;
    case PG_TEXT:
        return set_text(t, s, err);
    default:
        return converted_string(k, s, t, err);
    }
}

/* One more element at the end of the child column. */
static int add_element(const struct pg_value_codec *k, char format, const struct str *s, struct target array,
                       struct err *err)
{
    struct target t = {array.batch, array.column->child, column_child_add(array.column)};

    if (!s) {
        column_set_null(t.column, t.row);
        return 0;
    }
    return format == 't' ? read_text(k, *s, t, err) : read_binary(k, *s, t, err);
}

static int text_array(const struct pg_value_codec *k, struct str s, struct target t, struct err *err)
{
    CLEANUP(buf_deinit) struct buf scratch = {0};
    struct pg_array_text a;
    struct str element;
    bool null;
    int rc;

    TRY(pg_array_text_open(s, k->delim, &a, err));
    while ((rc = pg_array_text_next(&a, &scratch, &element, &null, err)) == 0)
        TRY(add_element(k, 't', null ? NULL : &element, t, err));
    return rc < 0 ? rc : 0;
}

static int binary_array(const struct pg_value_codec *k, struct str s, struct target t, struct err *err)
{
    struct reader r = reader_of(s.p, s.n);
    uint32_t dims = reader_be32(&r), n = 0, lower = 1;

    reader_bytes(&r, 8); /* "has nulls" and the element type: the sizes and the catalog tell */
    if (dims > 6 || r.failed)
        return bad_size(s, "array", err);
    if (dims > 1)
        return err_set(err, ERR_LIMIT, "an array of several dimensions does not fit");
    if (dims) {
        n = reader_be32(&r);
        lower = reader_be32(&r);
    }
    if (lower != 1 && !r.failed)
        return err_set(err, ERR_LIMIT, "an array whose lower bound is not 1 does not fit");
    if (n > reader_left(&r) / 4)
        return bad_size(s, "array", err);
    for (uint32_t i = 0; i < n; i++) {
        int32_t size = (int32_t)reader_be32(&r);
        struct str element = {0};
        if (size >= 0)
            element = str_make(reader_bytes(&r, (size_t)size), (size_t)size);
        if (r.failed || size < -1)
            return bad_size(s, "array", err);
        TRY(add_element(k, 'b', size < 0 ? NULL : &element, t, err));
    }
    if (r.failed || reader_left(&r))
        return bad_size(s, "array", err);
    return 0;
}

static int read_array(const struct pg_value_codec *k, char format, struct str s, struct target t, struct err *err)
{
    struct column *child = t.column->child;
    uint32_t start = child->n;
    int rc = format == 't' ? text_array(k, s, t, err) : binary_array(k, s, t, err);

    if (rc < 0) {
        while (child->n > start) /* new elements must find themselves NULL */
            column_set_null(child, --child->n);
        return rc;
    }
    column_set_list(t.column, t.row, start, child->n - start);
    t.batch->bytes += (size_t)(child->n - start) * child->width;
    return 0;
}

int pg_value_read(const struct pg_value_codec *codec, char format, struct str bytes, struct batch *batch,
                  struct column *column, uint32_t row, struct err *err)
{
    struct target t = {batch, column, row};
    int rc;

    assert(format == 't' || format == 'b');
    assert((column->type->id == TYPE_ARRAY) == codec->array);
    if (!bytes.p)
        bytes = STR("");
    if (codec->array)
        rc = read_array(codec, format, bytes, t, err);
    else
        rc = format == 't' ? read_text(codec, bytes, t, err) : read_binary(codec, bytes, t, err);
    if (rc == 0)
        return 0;
    column_set_null(column, row);
    err_wrap(err, "column \"%.*s\"", STR_ARG(codec->name));
    return rc;
}

static void add_time_text(const struct column *c, uint32_t i, struct buf *out)
{
    char text[PG_TIME_TEXT];

    if (c->type->id == TYPE_DATE)
        buf_add(out, text, pg_date_format(((const int32_t *)c->data)[i], text));
    else
        buf_add(out, text, pg_timestamp_format(((const int64_t *)c->data)[i], c->type->id == TYPE_TIMESTAMP, text));
}

static void add_float_text(const struct column *c, uint32_t i, struct buf *out)
{
    char text[PG_FLOAT_TEXT];

    if (c->type->id == TYPE_FLOAT)
        buf_add(out, text, pg_float_format((double)((const float *)c->data)[i], 9, text));
    else
        buf_add(out, text, pg_float_format(((const double *)c->data)[i], 17, text));
}

/* Integers and decimals of 1, 2, 4, 8 or 16 bytes. */
static void add_integer_text(const struct column *c, uint32_t i, struct buf *out)
{
    char text[PG_DECIMAL_TEXT];
    int128 v = 0;

    switch (c->width) {
    case 1:
        v = (int)((const int8_t *)c->data)[i];
        break;
    case 2:
        v = ((const int16_t *)c->data)[i];
        break;
    case 4:
        v = ((const int32_t *)c->data)[i];
        break;
    case 8:
        v = ((const int64_t *)c->data)[i];
        break;
    default:
        memcpy(&v, (const char *)c->data + (size_t)i * 16, sizeof v);
    }
    buf_add(out, text, pg_decimal_format(v, c->type->id == TYPE_DECIMAL ? c->type->scale : 0, text));
}

static void add_array_text(const struct column *c, uint32_t i, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf element = {0};
    struct listview v = ((const struct listview *)c->data)[i];

    buf_add_char(out, '{');
    for (uint64_t e = 0; e < v.length; e++) {
        uint32_t at = (uint32_t)(v.offset + e);
        if (e)
            buf_add_char(out, ',');
        buf_reset(&element);
        pg_value_text(c->child, at, &element);
        if (column_is_valid(c->child, at) && c->child->type->id != TYPE_ARRAY)
            pg_array_text_add(out, buf_str(&element), ',');
        else
            buf_add_str(out, buf_str(&element));
    }
    buf_add_char(out, '}');
}

void pg_value_text(const struct column *c, uint32_t row, struct buf *out)
{
    if (!column_is_valid(c, row)) {
        buf_add_cstr(out, column_is_missing(c, row) ? "(unchanged)" : "NULL");
        return;
    }
    switch (c->type->id) {
    case TYPE_BOOLEAN:
        buf_add_char(out, ((const uint8_t *)c->data)[row] ? 't' : 'f');
        break;
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        add_float_text(c, row, out);
        break;
    case TYPE_STRING:
        buf_add_str(out, column_str(c, row));
        break;
    case TYPE_BINARY:
        buf_add_cstr(out, "\\x");
        pg_hex_add(out, column_str(c, row));
        break;
    case TYPE_DATE:
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMP_NTZ:
        add_time_text(c, row, out);
        break;
    case TYPE_ARRAY:
        add_array_text(c, row, out);
        break;
    default:
        add_integer_text(c, row, out);
    }
}
