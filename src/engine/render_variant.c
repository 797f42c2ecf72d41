/*
 * A VARIANT as JSON. Texts are those of Spark's to_json(): binary in base64, times with a blank, and with an offset where they
 * have a zone, decimals without zeros at their end.
 */
#include "codec/java_real.h"
#include "engine/internal.h"
#include "engine/render.h"
#include "engine/variant_parts.h"

/* `n` bytes as the one value of a vector. */
static void add_value(struct buf *out, const struct engine_type *type, struct str bytes, size_t n, bool text)
{
    uint8_t value[16] __attribute__((aligned(16))) = {0};
    const struct engine_vector v = {.type = type, .data = value};

    memcpy(value, bytes.p, MIN(MIN(n, bytes.n), sizeof value));
    if (text)
        render_scalar_text(out, &v, 0);
    else
        render_scalar_json(out, &v, 0);
}

static void add_text(struct buf *out, enum engine_kind kind, struct str bytes, bool text)
{
    const struct engine_type type = {.kind = kind};
    struct strview s = {.len = (uint32_t)bytes.n};

    memcpy(s.prefix, bytes.p, MIN(s.len, sizeof s.prefix));
    if (s.len > sizeof s.prefix + sizeof s.rest)
        s.p = bytes.p;
    else if (s.len > sizeof s.prefix)
        memcpy(s.rest, bytes.p + sizeof s.prefix, s.len - sizeof s.prefix);
    const struct engine_vector v = {.type = &type, .data = &s};
    if (text)
        render_scalar_text(out, &v, 0);
    else
        render_scalar_json(out, &v, 0);
}

static void add_decimal(struct buf *out, const struct variant_part *p)
{
    const struct engine_type type = {.kind = ENGINE_DECIMAL, .precision = p->width, .scale = p->scale};
    size_t start = out->n;

    add_value(out, &type, p->bytes, p->width > 18 ? 16 : p->width > 9 ? 8 : p->width > 4 ? 4 : 2, false);
    if (!p->scale || !memchr(out->p + start, '.', out->n - start))
        return;
    while (out->p[out->n - 1] == '0')
        out->n--;
    if (out->p[out->n - 1] == '.')
        out->n--;
    if (out->n == start + 2 && memcmp(out->p + start, "-0", 2) == 0)
        out->p[start] = '0', out->n--;
    out->p[out->n] = 0;
}

static void add_real(struct buf *out, const struct variant_part *p)
{
    bool is_float = p->kind == PART_FLOAT;
    double d = 0;
    float f = 0;

    memcpy(is_float ? (void *)&f : (void *)&d, p->bytes.p, MIN(p->bytes.n, is_float ? sizeof f : sizeof d));
    java_real_json(is_float ? (double)f : d, is_float, out);
}

static void add_scalar(struct buf *out, const struct variant_part *p)
{
    struct part_layout layout = variant_part_layout(p->kind);
    const struct engine_type type = {.kind = layout.kind};
    bool is_time = p->kind >= PART_TIMESTAMP_S && p->kind <= PART_TIMESTAMP_TZ && p->kind != PART_TIME_TZ;

    if (!layout.size) {
        buf_add_cstr(out, "null");
        return;
    }
    if (p->kind == PART_FLOAT || p->kind == PART_DOUBLE) {
        add_real(out, p);
        return;
    }
    if (is_time)
        buf_add_char(out, '"');
    add_value(out, &type, p->bytes, layout.size, is_time);
    if (is_time)
        buf_add_cstr(out, p->kind == PART_TIMESTAMP_TZ ? "+00:00\"" : "\"");
}

static void add_at(struct buf *out, const struct variant_parts *v, uint64_t i);

static void add_members(struct buf *out, const struct variant_parts *v, const struct variant_part *p)
{
    bool object = p->kind == PART_OBJECT;

    buf_add_char(out, object ? '{' : '[');
    for (uint64_t c = p->first; c < p->first + p->n; c++) {
        if (c > p->first)
            buf_add_char(out, ',');
        if (object) {
            buf_add_json_str(out, variant_member_name(v, c));
            buf_add_char(out, ':');
        }
        add_at(out, v, variant_member(v, c));
    }
    buf_add_char(out, object ? '}' : ']');
}

static void add_at(struct buf *out, const struct variant_parts *v, uint64_t i)
{
    const struct variant_part p = variant_part_at(v, i);

    switch (p.kind) {
    case PART_NULL:
        buf_add_cstr(out, "null");
        return;
    case PART_TRUE:
    case PART_FALSE:
        buf_add_cstr(out, p.kind == PART_TRUE ? "true" : "false");
        return;
    case PART_DECIMAL:
        add_decimal(out, &p);
        return;
    case PART_VARCHAR:
    case PART_BLOB:
    case PART_BIGNUM:
    case PART_BIT:
        add_text(out,
                 p.kind == PART_VARCHAR  ? ENGINE_VARCHAR
                 : p.kind == PART_BLOB   ? ENGINE_BLOB
                 : p.kind == PART_BIGNUM ? ENGINE_BIGNUM
                                         : ENGINE_BIT,
                 p.bytes, false);
        return;
    case PART_OBJECT:
    case PART_ARRAY:
        add_members(out, v, &p);
        return;
    default:
        add_scalar(out, &p);
        return;
    }
}

bool variant_part_text(const struct variant_part *p, struct buf *out)
{
    struct part_layout layout = variant_part_layout(p->kind);

    if (p->kind == PART_BIGNUM || p->kind == PART_BIT)
        add_text(out, p->kind == PART_BIGNUM ? ENGINE_BIGNUM : ENGINE_BIT, p->bytes, true);
    else if (layout.size)
        add_value(out, &(struct engine_type){.kind = layout.kind}, p->bytes, layout.size, true);
    else
        return false;
    return true;
}

void render_variant(struct buf *out, const struct engine_vector *v, uint64_t row)
{
    const struct variant_parts parts = variant_parts_of(v, row);

    add_at(out, &parts, 0);
}
