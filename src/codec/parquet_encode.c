/*
 * Pages.
 *
 *   "PAR1" page… footer            page     header, body
 *   body                           [repetition levels] definition levels, values
 *   levels   le32 length, RLE      all equal: one run, n << 1, the level in a byte;
 *                                  else: one bit-packed run, groups of 8 << 1 | 1, the levels from the low bit up
 *
 * A scalar is optional: level 1 is a value, 0 is NULL. An array inside k arrays is at 2k: NULL, 2k + 1: empty, more: it has
 * an element; an element that does not begin a new row repeats the innermost list that it continues.
 */
#include "codec/parquet_encode.h"

#include "base/mem.h"
#include "codec/parquet_meta.h"
#include "codec/pg_number.h"
#include "codec/pg_time.h"

#include <assert.h>
#include <math.h>
#include <zstd.h>

enum {
    ZSTD_LEVEL = 1,
    PAGE_MAX = 1 << 30,
    SMALL_PAGE = 64,  /* bytes below which compression gains nothing */
    BOUND_MAX = 256,  /* longest string in the footer's statistics */
    ARRAY_DEPTH = 16, /* arrays in arrays */
};

/* The column that is being written. */
struct page {
    const struct type *leaf;
    struct buf levels[2]; /* one byte each: repetition, definition */
    struct buf values;
    uint8_t bits; /* booleans: the byte that is being filled */
    uint64_t n_values;
    uint64_t nulls, top_nulls; /* of the leaf, of the column */
    bool any, has_nan;
    int128 imin, imax; /* everything that is an integer inside */
    double fmin, fmax;
    struct str smin, smax;
    char plain[2][16]; /* the bounds as PLAIN values */
};

struct encoder {
    struct buf *out;
    struct page page;
    struct buf body;
    ZSTD_CCtx *zstd; /* made when first needed */
};

/* ---- values ---- */

static void see_int(struct page *p, int128 v)
{
    p->imin = p->any && p->imin < v ? p->imin : v;
    p->imax = p->any && p->imax > v ? p->imax : v;
    p->any = true;
}

static void see_float(struct page *p, double v)
{
    if (isnan(v)) {
        p->has_nan = true;
        return;
    }
    p->fmin = p->any && p->fmin < v ? p->fmin : v;
    p->fmax = p->any && p->fmax > v ? p->fmax : v;
    p->any = true;
}

static void see_str(struct page *p, struct str s)
{
    if (!p->any || str_cmp(s, p->smin) < 0)
        p->smin = s;
    if (!p->any || str_cmp(s, p->smax) > 0)
        p->smax = s;
    p->any = true;
}

static void put_int(struct page *p, int128 v, size_t width)
{
    see_int(p, v);
    buf_add(&p->values, &v, width); /* little endian: its leading bytes */
}

static void big_endian(int128 v, char out[16])
{
    for (int i = 15; i >= 0; i--, v >>= 8)
        out[i] = (char)v;
}

static void put_decimal(struct page *p, const struct column *c, uint32_t i)
{
    const char *at = (const char *)c->data + (size_t)i * c->width;
    int16_t v2;
    int32_t v4;
    int64_t v8;
    int128 v16;
    char be[16];

    switch (c->width) {
    case 2:
        memcpy(&v2, at, sizeof v2);
        put_int(p, v2, 4);
        return;
    case 4:
        memcpy(&v4, at, sizeof v4);
        put_int(p, v4, 4);
        return;
    case 8:
        memcpy(&v8, at, sizeof v8);
        put_int(p, v8, 8);
        return;
    default:
        memcpy(&v16, at, sizeof v16);
        see_int(p, v16);
        big_endian(v16, be);
        buf_add(&p->values, be, sizeof be);
    }
}

static void put_bool(struct page *p, bool v)
{
    uint64_t at = p->n_values % 8;

    see_int(p, v);
    p->bits = (uint8_t)((at ? p->bits : 0) | (v ? 1u << at : 0));
    if (at == 0)
        buf_add_char(&p->values, 0);
    p->values.p[p->values.n - 1] = (char)p->bits;
}

static void put_str(struct page *p, struct str s)
{
    see_str(p, s);
    buf_add_le32(&p->values, (uint32_t)s.n);
    buf_add_str(&p->values, s);
}

static void put_value(struct page *p, const struct column *c, uint32_t i)
{
    switch (c->type->id) {
    case TYPE_BOOLEAN:
        put_bool(p, ((const uint8_t *)c->data)[i] != 0);
        break;
    case TYPE_BYTE:
        put_int(p, ((const int8_t *)c->data)[i], 4);
        break;
    case TYPE_SHORT:
        put_int(p, ((const int16_t *)c->data)[i], 4);
        break;
    case TYPE_INTEGER:
    case TYPE_DATE:
        put_int(p, ((const int32_t *)c->data)[i], 4);
        break;
    case TYPE_LONG:
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMP_NTZ:
        put_int(p, ((const int64_t *)c->data)[i], 8);
        break;
    case TYPE_FLOAT:
        see_float(p, (double)((const float *)c->data)[i]);
        buf_add(&p->values, (const float *)c->data + i, 4);
        break;
    case TYPE_DOUBLE:
        see_float(p, ((const double *)c->data)[i]);
        buf_add(&p->values, (const double *)c->data + i, 8);
        break;
    case TYPE_DECIMAL:
        put_decimal(p, c, i);
        break;
    default:
        assert(c->type->id == TYPE_STRING || c->type->id == TYPE_BINARY);
        put_str(p, column_str(c, i));
    }
    p->n_values++;
}

static void put_level(struct page *p, unsigned rep, unsigned def)
{
    buf_add_char(&p->levels[0], (char)rep);
    buf_add_char(&p->levels[1], (char)def);
}

/* Value i of a column that stands inside `depth` arrays, where `rep` is how the row goes on. */
static void put_cell(struct page *p, const struct column *c, uint32_t i, unsigned depth, unsigned rep)
{
    if (!column_is_valid(c, i)) {
        p->nulls++;
        put_level(p, rep, 2 * depth);
        return;
    }
    if (c->type->id != TYPE_ARRAY) {
        put_level(p, rep, 2 * depth + 1);
        put_value(p, c, i);
        return;
    }
    struct listview list = ((const struct listview *)c->data)[i];
    if (!list.length) {
        p->nulls++;
        put_level(p, rep, 2 * depth + 1);
    }
    for (uint64_t k = 0; k < list.length; k++)
        put_cell(p, c->child, (uint32_t)(list.offset + k), depth + 1, k ? depth + 1 : rep);
}

/* ---- levels ---- */

static unsigned bit_width(unsigned max)
{
    return max ? 32 - (unsigned)__builtin_clz(max) : 0;
}

static void varint(struct buf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_add_char(out, (char)(v | 0x80));
    buf_add_char(out, (char)v);
}

static void put_levels(const struct buf *levels, unsigned max, struct buf *out)
{
    unsigned width = bit_width(max), held = 0, n_held = 0;
    size_t at = out->n, groups = (levels->n + 7) / 8;
    const char *l = levels->p;

    buf_add_le32(out, 0);
    if (levels->n == 1 || memcmp(l, l + 1, levels->n - 1) == 0) {
        varint(out, levels->n << 1);
        buf_add_char(out, l[0]);
    } else {
        varint(out, groups << 1 | 1);
        for (size_t i = 0; i < groups * 8; i++) {
            held |= (i < levels->n ? (unsigned)(uint8_t)l[i] : 0) << n_held;
            for (n_held += width; n_held >= 8; n_held -= 8, held >>= 8)
                buf_add_char(out, (char)held);
        }
    }
    uint32_t n = (uint32_t)(out->n - at - 4);
    memcpy(out->p + at, &n, sizeof n);
}

/* ---- pages ---- */

static void compress(struct encoder *e, struct parquet_chunk *c)
{
    size_t at = e->out->n, room = ZSTD_compressBound(e->body.n), n;

    if (e->body.n < SMALL_PAGE)
        return;
    if (!e->zstd)
        e->zstd = ZSTD_createCCtx();
    char *to = e->zstd ? buf_reserve(e->out, room + 64) : NULL;
    if (!to)
        return;
    n = ZSTD_compressCCtx(e->zstd, to + 64, room, e->body.p, e->body.n, ZSTD_LEVEL);
    if (ZSTD_isError(n) || n > e->body.n - e->body.n / 16)
        return;
    /* the header goes before the body: it is shorter than what was left free for it */
    CLEANUP(buf_deinit) struct buf head = {0};
    parquet_page_header(&head, e->body.n, n, c->values);
    assert(head.n <= 64);
    memcpy(to, head.p, head.n);
    memmove(to + head.n, to + 64, n);
    e->out->n = at + head.n + n;
    c->zstd = true;
    c->plain = head.n + e->body.n;
    c->stored = head.n + n;
}

static void write_page(struct encoder *e, struct parquet_chunk *c, unsigned depth)
{
    struct page *p = &e->page;

    buf_reset(&e->body);
    if (depth)
        put_levels(&p->levels[0], depth, &e->body);
    put_levels(&p->levels[1], 2 * depth + 1, &e->body);
    buf_add_str(&e->body, buf_str(&p->values));
    c->values = p->levels[1].n;
    c->offset = e->out->n;
    compress(e, c);
    if (c->zstd)
        return;
    parquet_page_header(e->out, e->body.n, e->body.n, c->values);
    buf_add_str(e->out, buf_str(&e->body));
    c->plain = c->stored = e->out->n - c->offset;
}

/* ---- bounds ---- */

/* The footer's: PLAIN, p NULL where there is none. A double's zero has a sign that its bound must not lean on. */
static struct str plain_bound(struct page *p, bool is_max)
{
    char *out = p->plain[is_max];
    int128 v = is_max ? p->imax : p->imin;
    double d = is_max ? p->fmax : p->fmin;
    struct str s = is_max ? p->smax : p->smin;
    float f;

    switch (p->leaf->id) {
    case TYPE_STRING:
    case TYPE_BINARY:
        return p->smin.n <= BOUND_MAX && p->smax.n <= BOUND_MAX ? str_make(s.n ? s.p : "", s.n) : (struct str){0};
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        if (p->has_nan)
            return (struct str){0};
        d = d == 0 ? (is_max ? 0.0 : -0.0) : d;
        f = (float)d;
        memcpy(out, &d, sizeof d);
        if (p->leaf->id == TYPE_FLOAT)
            memcpy(out, &f, sizeof f);
        return str_make(out, p->leaf->id == TYPE_FLOAT ? sizeof f : sizeof d);
    case TYPE_DECIMAL:
        if (p->leaf->precision <= 18)
            break;
        big_endian(v, out);
        return str_make(out, 16);
    default:
        break;
    }
    memcpy(out, &v, sizeof v);
    size_t width = type_width(p->leaf);
    return str_make(out, p->leaf->id == TYPE_BOOLEAN ? 1 : width < 4 ? 4 : width);
}

/* Delta's, as DuckDB would say it. */
static struct str text_bound(const struct page *p, bool is_max, struct arena *arena)
{
    int128 v = is_max ? p->imax : p->imin;
    char text[PG_TIME_TEXT];
    size_t n;

    switch (p->leaf->id) {
    case TYPE_STRING:
        return arena_str(arena, is_max ? p->smax : p->smin);
    case TYPE_BYTE:
    case TYPE_SHORT:
    case TYPE_INTEGER:
    case TYPE_LONG:
        n = pg_decimal_format(v, 0, text);
        break;
    case TYPE_DECIMAL:
        n = pg_decimal_format(v, p->leaf->scale, text);
        break;
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        /* also a float as a double: the fewer digits that name a float may be above it for a reader who compares doubles */
        n = pg_float_format(is_max ? p->fmax : p->fmin, 17, text);
        if (!memchr(text, '.', n) && !memchr(text, 'e', n) && !memchr(text, 'n', n)) /* nor an infinity */
            n += (size_t)snprintf(text + n, 3, ".0");
        break;
    case TYPE_DATE:
        n = pg_date_format((int32_t)v, text);
        break;
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMP_NTZ:
        n = pg_timestamp_format((int64_t)v, p->leaf->id == TYPE_TIMESTAMP, text);
        break;
    default:
        return (struct str){0};
    }
    return arena_str(arena, str_make(text, n));
}

/* ---- the file ---- */

static void page_reset(struct page *p, const struct type *leaf)
{
    struct buf levels[2] = {p->levels[0], p->levels[1]}, values = p->values;

    *p = (struct page){.leaf = leaf, .levels = {levels[0], levels[1]}, .values = values};
    buf_reset(&p->levels[0]);
    buf_reset(&p->levels[1]);
    buf_reset(&p->values);
}

static int put_column(struct page *p, uint32_t col, const struct parquet_rows *rows, size_t n_rows, struct err *err)
{
    for (size_t r = 0; r < n_rows; r++) {
        const struct column *c = &rows[r].batch->cols[col];
        assert(parquet_leaf(c->type)->id == p->leaf->id);
        for (uint32_t k = 0; k < rows[r].n; k++) {
            uint32_t i = rows[r].sel ? rows[r].sel[k] : k;
            p->top_nulls += !column_is_valid(c, i);
            put_cell(p, c, i, 0, 0);
            if (p->values.n > PAGE_MAX || p->levels[1].n > PAGE_MAX)
                return err_set(err, ERR_LIMIT, "column \"%.*s\": too many bytes for one page",
                               STR_ARG(rows[r].batch->schema->fields[col].name));
        }
    }
    return 0;
}

static int check_types(const struct schema *s, struct err *err)
{
    for (uint32_t i = 0; i < s->n_fields; i++) {
        const struct type *t = &s->fields[i].type;
        if (parquet_leaf(t)->id >= TYPE_VARIANT || parquet_depth(t) > ARRAY_DEPTH)
            return err_set(err, ERR_UNSUPPORTED, "column \"%.*s\": values of this type do not come in batches",
                           STR_ARG(s->fields[i].name));
    }
    return 0;
}

static void footer_bounds(struct page *p, struct parquet_chunk *c, struct arena *arena)
{
    struct str min = p->any ? plain_bound(p, false) : (struct str){0};

    if (!min.p)
        return;
    c->min = arena_str(arena, min);
    c->max = arena_str(arena, plain_bound(p, true));
}

static void column_stats(struct page *p, const struct parquet_chunk *c, struct parquet_column_stats *ret,
                         struct arena *arena)
{
    *ret = (struct parquet_column_stats){.nulls = p->top_nulls, .has_nan = p->has_nan};
    if (!p->any || c->field->type.id == TYPE_ARRAY)
        return;
    ret->min = text_bound(p, false, arena);
    ret->max = text_bound(p, true, arena);
}

int parquet_encode(const struct schema *schema, const struct parquet_rows *rows, size_t n_rows, struct buf *out,
                   struct parquet_column_stats *stats, struct arena *arena, struct err *err)
{
    CLEANUP(mem_freep) struct parquet_chunk *chunks = MEM_NEW_N(struct parquet_chunk, schema->n_fields + 1);
    struct encoder e = {.out = out};
    uint64_t n = 0;
    int rc = check_types(schema, err);

    for (size_t r = 0; r < n_rows; r++)
        n += rows[r].n;
    assert(n > 0 && !out->n);
    buf_add_cstr(out, "PAR1");
    for (uint32_t i = 0; rc == 0 && i < schema->n_fields; i++) {
        struct parquet_chunk *c = &chunks[i];
        c->field = &schema->fields[i];
        page_reset(&e.page, parquet_leaf(&c->field->type));
        rc = put_column(&e.page, i, rows, n_rows, err);
        if (rc)
            break;
        write_page(&e, c, parquet_depth(&c->field->type));
        c->nulls = e.page.nulls;
        footer_bounds(&e.page, c, arena);
        column_stats(&e.page, c, &stats[i], arena);
    }
    if (rc == 0)
        parquet_footer(out, schema, n, chunks);
    buf_deinit(&e.page.levels[0]);
    buf_deinit(&e.page.levels[1]);
    buf_deinit(&e.page.values);
    buf_deinit(&e.body);
    ZSTD_freeCCtx(e.zstd);
    return rc;
}
