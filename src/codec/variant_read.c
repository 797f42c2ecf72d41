/* Variants read: bytes that may be anything in, JSON out. Every offset and length is checked before it is followed. */
#include "codec/variant.h"

#include "base/clock.h"
#include "codec/java_real.h"
#include "codec/pg_number.h"

#include <assert.h>

struct variant_reader {
    struct variant_names names;
    struct buf *out;
    struct err *err;
};

static int broken(struct err *err, const char *what)
{
    return err_set(err, ERR_INPUT, "no variant: %s", what);
}

static uint32_t get_int(const uint8_t *p, unsigned size)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < size; i++)
        v |= (uint32_t)p[i] << 8 * i;
    return v;
}

int variant_names_read(struct str metadata, struct variant_names *ret, size_t *ret_size, struct err *err)
{
    struct reader r = reader_of(metadata.n ? metadata.p : "", metadata.n);
    uint8_t head = reader_u8(&r);

    if ((head & 15) != 1)
        return broken(err, "metadata of another version than 1");
    ret->size = (unsigned)(head >> 6) + 1;
    const uint8_t *count = reader_bytes(&r, ret->size);
    if (!count)
        return broken(err, "metadata that ends early");
    ret->n = get_int(count, ret->size);
    ret->offsets = reader_bytes(&r, ((size_t)ret->n + 1) * ret->size);
    if (!ret->offsets)
        return broken(err, "metadata that ends early");
    uint32_t end = get_int(ret->offsets + (size_t)ret->n * ret->size, ret->size);
    ret->bytes = str_make(r.p, ret_size ? end : reader_left(&r));
    if (end > reader_left(&r))
        return broken(err, "metadata that ends early");
    if (ret_size)
        *ret_size = metadata.n - reader_left(&r) + end;
    return 0;
}

static int name_at(const struct variant_names *names, uint32_t id, struct str *ret, struct err *err)
{
    if (id >= names->n)
        return broken(err, "a name that the metadata lack");
    const uint8_t *at = names->offsets + (size_t)id * names->size;
    uint32_t from = get_int(at, names->size), to = get_int(at + names->size, names->size);
    if (from > to || to > names->bytes.n)
        return broken(err, "a name that is not within the metadata");
    *ret = str_make(names->bytes.p + from, to - from);
    return str_is_utf8(*ret) ? 0 : broken(err, "a name that is not UTF-8");
}

/* ---- primitives ---- */

static const uint8_t SIZES[] = {
    [VARIANT_INT8] = 1,      [VARIANT_INT16] = 2,         [VARIANT_INT32] = 4,
    [VARIANT_INT64] = 8,     [VARIANT_DOUBLE] = 8,        [VARIANT_DECIMAL4] = 5,
    [VARIANT_DECIMAL8] = 9,  [VARIANT_DECIMAL16] = 17,    [VARIANT_DATE] = 4,
    [VARIANT_TIMESTAMP] = 8, [VARIANT_TIMESTAMP_NTZ] = 8, [VARIANT_FLOAT] = 4,
    [VARIANT_TIME] = 8,      [VARIANT_TIMESTAMP_NS] = 8,  [VARIANT_TIMESTAMP_NTZ_NS] = 8,
    [VARIANT_UUID] = 16,
};

static int64_t get_i64(const uint8_t *p, unsigned size)
{
    uint64_t v = 0;

    assert(size && size <= 8);
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)p[i] << 8 * i;
    unsigned shift = 64 - 8 * size;
    return (int64_t)(v << shift) >> shift;
}

int variant_item_decimal(const struct variant_item *item, int128 *ret, unsigned *ret_scale, struct err *err)
{
    const uint8_t *p = (const uint8_t *)item->bytes.p + 1;
    size_t size = item->bytes.n - 1;
    uint64_t low = (uint64_t)get_i64(p, MIN(size, 8));

    *ret_scale = (uint8_t)item->bytes.p[0];
    *ret = size <= 8 ? (int64_t)low : (int128)((uint128)(uint64_t)get_i64(p + 8, 8) << 64 | low);
    uint128 digits = *ret < 0 ? -(uint128)*ret : (uint128)*ret;
    if (*ret_scale > VARIANT_DECIMAL_DIGITS || digits / 10 >= pg_pow10(VARIANT_DECIMAL_DIGITS - 1))
        return broken(err, "a decimal of more than 38 digits");
    return 0;
}

static int add_decimal(struct variant_reader *r, const struct variant_item *item)
{
    char text[PG_DECIMAL_TEXT];
    unsigned scale;
    int128 v;

    TRY(variant_item_decimal(item, &v, &scale, r->err));
    for (; scale && v % 10 == 0; scale--)
        v /= 10; /* as Spark writes it */
    buf_add(r->out, text, pg_decimal_format(v, scale, text));
    return 0;
}

static void add_date(struct buf *out, int64_t days)
{
    int64_t year;
    unsigned month, day;

    clock_civil_from_days(days, &year, &month, &day);
    buf_printf(out, "%s%04lld-%02u-%02u", year < 0 ? "-" : "", (long long)(year < 0 ? -year : year), month, day);
}

/* "12:34:56.789", without zeros at the end. */
static void add_clock(struct buf *out, int64_t t, int64_t unit)
{
    int64_t seconds = t / unit;
    char text[24];

    buf_printf(out, "%02lld:%02lld:%02lld", (long long)(seconds / 3600), (long long)(seconds / 60 % 60),
               (long long)(seconds % 60));
    if (t % unit == 0)
        return;
    int n = snprintf(text, sizeof text, ".%0*lld", unit == 1000000 ? 6 : 9, (long long)(t % unit));
    while (text[n - 1] == '0')
        n--;
    buf_add(out, text, (size_t)n);
}

static void add_time(struct buf *out, enum variant_primitive what, int64_t t)
{
    int64_t unit = what == VARIANT_TIMESTAMP_NS || what == VARIANT_TIMESTAMP_NTZ_NS ? 1000000000 : 1000000;
    int64_t day = 86400 * unit, days = t / day - (t % day < 0);

    buf_add_char(out, '"');
    if (what != VARIANT_TIME) {
        add_date(out, days);
        buf_add_char(out, ' ');
        t = t % day + (t % day < 0 ? day : 0);
    }
    add_clock(out, t, unit);
    if (what == VARIANT_TIMESTAMP || what == VARIANT_TIMESTAMP_NS)
        buf_add_cstr(out, "+00:00");
    buf_add_char(out, '"');
}

static void add_uuid(struct buf *out, const uint8_t *p)
{
    buf_add_char(out, '"');
    for (int i = 0; i < 16; i++)
        buf_printf(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", p[i]);
    buf_add_char(out, '"');
}

static int add_fixed(struct variant_reader *r, const struct variant_item *item)
{
    const uint8_t *p = (const uint8_t *)item->bytes.p;
    double d;
    float f;

    switch (item->primitive) {
    case VARIANT_INT8:
    case VARIANT_INT16:
    case VARIANT_INT32:
    case VARIANT_INT64:
        buf_printf(r->out, "%lld", (long long)get_i64(p, (unsigned)item->bytes.n));
        return 0;
    case VARIANT_DECIMAL4:
    case VARIANT_DECIMAL8:
    case VARIANT_DECIMAL16:
        return add_decimal(r, item);
    case VARIANT_DOUBLE:
        memcpy(&d, p, sizeof d);
        java_real_json(d, false, r->out);
        return 0;
    case VARIANT_FLOAT:
        memcpy(&f, p, sizeof f);
        java_real_json(f, true, r->out);
        return 0;
    case VARIANT_DATE:
        buf_add_char(r->out, '"');
        add_date(r->out, get_i64(p, 4));
        buf_add_char(r->out, '"');
        return 0;
    case VARIANT_UUID:
        add_uuid(r->out, p);
        return 0;
    default:
        if (item->primitive == VARIANT_TIME && (uint64_t)get_i64(p, 8) >= 86400000000)
            return broken(r->err, "a time past the end of the day");
        add_time(r->out, item->primitive, get_i64(p, 8));
        return 0;
    }
}

static int add_primitive(struct variant_reader *r, const struct variant_item *item)
{
    switch (item->primitive) {
    case VARIANT_NULL:
        buf_add_cstr(r->out, "null");
        return 0;
    case VARIANT_TRUE:
    case VARIANT_FALSE:
        buf_add_cstr(r->out, item->primitive == VARIANT_TRUE ? "true" : "false");
        return 0;
    case VARIANT_BINARY:
        buf_add_char(r->out, '"');
        buf_add_base64(r->out, item->bytes);
        buf_add_char(r->out, '"');
        return 0;
    default:
        return add_fixed(r, item);
    }
}

/* ---- items ---- */

static int primitive_read(struct reader *in, unsigned what, struct variant_item *ret, struct err *err)
{
    size_t n = what < ARRAY_LEN(SIZES) ? SIZES[what] : 0;

    if (what > VARIANT_UUID)
        return err_set(err, ERR_UNSUPPORTED, "a variant of a type that is not known here (%u)", what);
    ret->primitive = (enum variant_primitive)what;
    if (what == VARIANT_BINARY || what == VARIANT_STRING)
        n = reader_le32(in);
    if (what == VARIANT_STRING)
        ret->kind = VARIANT_IS_TEXT;
    ret->bytes = str_make(reader_bytes(in, n), n);
    return 0;
}

static int members_read(struct reader *in, unsigned head, struct variant_item *ret, struct err *err)
{
    bool object = ret->kind == VARIANT_IS_OBJECT;

    ret->size = (head & 3) + 1;
    ret->id_size = (head >> 2 & 3) + 1;
    ret->n = head & (object ? 16 : 4) ? reader_le32(in) : reader_u8(in);
    ret->ids = object ? reader_bytes(in, (size_t)ret->n * ret->id_size) : NULL;
    ret->offsets = reader_bytes(in, ((size_t)ret->n + 1) * ret->size);
    if (in->failed)
        return broken(err, "a value that ends early");
    uint32_t n = get_int(ret->offsets + (size_t)ret->n * ret->size, ret->size);
    ret->bytes = str_make(reader_bytes(in, n), n);
    return 0;
}

int variant_item_read(struct str value, struct variant_item *ret, struct err *err)
{
    struct reader in = reader_of(value.n ? value.p : "", value.n);
    uint8_t head = reader_u8(&in);

    *ret = (struct variant_item){.kind = (enum variant_kind)(head & 3)};
    if (in.failed)
        return broken(err, "a value of no bytes");
    if (ret->kind == VARIANT_IS_PRIMITIVE)
        TRY(primitive_read(&in, head >> 2, ret, err));
    else if (ret->kind == VARIANT_IS_TEXT)
        ret->bytes = str_make(reader_bytes(&in, head >> 2), head >> 2);
    else
        TRY(members_read(&in, head >> 2, ret, err));
    if (in.failed)
        return broken(err, "a value that ends early");
    if (ret->kind == VARIANT_IS_TEXT && !str_is_utf8(ret->bytes))
        return broken(err, "a text that is not UTF-8");
    return 0;
}

int variant_item_member(const struct variant_item *item, const struct variant_names *names, uint32_t i,
                        struct str *ret_value, struct str *ret_name, struct err *err)
{
    uint32_t at = get_int(item->offsets + (size_t)i * item->size, item->size);

    if (at >= item->bytes.n)
        return broken(err, "a member outside of its object");
    *ret_value = str_make(item->bytes.p + at, item->bytes.n - at);
    if (!item->ids)
        return 0;
    return name_at(names, get_int(item->ids + (size_t)i * item->id_size, item->id_size), ret_name, err);
}

/* ---- JSON ---- */

static int add_value(struct variant_reader *r, struct str value, unsigned depth)
{
    struct variant_item item;
    bool object;

    TRY(variant_item_read(value, &item, r->err));
    if (item.kind == VARIANT_IS_PRIMITIVE)
        return add_primitive(r, &item);
    if (item.kind == VARIANT_IS_TEXT) {
        buf_add_json_str(r->out, item.bytes);
        return 0;
    }
    if (depth == VARIANT_DEPTH)
        return err_set(r->err, ERR_LIMIT, "objects and arrays are more than %d deep", VARIANT_DEPTH);
    object = item.kind == VARIANT_IS_OBJECT;
    buf_add_char(r->out, object ? '{' : '[');
    for (uint32_t i = 0; i < item.n; i++) {
        struct str member, name = {0};
        TRY(variant_item_member(&item, &r->names, i, &member, &name, r->err));
        if (i)
            buf_add_char(r->out, ',');
        if (object) {
            buf_add_json_str(r->out, name);
            buf_add_char(r->out, ':');
        }
        TRY(add_value(r, member, depth + 1));
        if (r->out->failed)
            return err_set(r->err, ERR_LIMIT, "a variant whose text is too long");
    }
    buf_add_char(r->out, object ? '}' : ']');
    return 0;
}

int variant_to_json(struct str metadata, struct str value, struct buf *out, struct err *err)
{
    struct variant_reader r = {.out = out, .err = err};

    TRY(variant_names_read(metadata, &r.names, NULL, err));
    return add_value(&r, value, 0);
}
