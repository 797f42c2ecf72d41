/*
 * Variants built from the inside out, and from JSON. Members are written one after the other; when their object or array
 * ends, they move up to make room for its head, whose size is known only then. Ids are given as names come, and those of
 * an object listed in the order of their names, so that the bytes are those of Spark's writer.
 */
#include "codec/variant.h"

#include "base/mem.h"
#include "codec/pg_number.h"

#include <assert.h>
#include <stdlib.h>
#include <yyjson.h>

enum { PRIMITIVE, SHORT_TEXT, OBJECT, ARRAY };
enum { SHORT_TEXT_BYTES = 63, SMALL = 255, VERSION = 1 };

struct variant_member {
    struct str name; /* of an object's */
    uint32_t id, offset;
};

struct variant_level {
    bool object;
    size_t start;        /* of its members in the value */
    size_t first_member; /* in `members` */
};

void variant_writer_deinit(struct variant_writer *w)
{
    buf_deinit(&w->value);
    arena_deinit(&w->arena);
    map_deinit(&w->ids);
    mem_free(w->names);
    mem_free(w->members);
    mem_free(w->levels);
    *w = (struct variant_writer){0};
}

void variant_writer_reset(struct variant_writer *w)
{
    buf_reset(&w->value);
    arena_reset(&w->arena);
    map_deinit(&w->ids);
    w->ids = (struct map){0};
    w->n_names = w->names_bytes = w->n_members = w->n_levels = 0;
}

static void add_int(struct buf *out, uint64_t v, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        buf_add_char(out, (char)(v >> 8 * i));
}

static unsigned size_of(size_t n)
{
    return n <= 0xff ? 1 : n <= 0xffff ? 2 : n <= 0xffffff ? 3 : 4;
}

void variant_put(struct variant_writer *w, enum variant_primitive what, const void *bytes, size_t n)
{
    buf_add_char(&w->value, (char)(what << 2 | PRIMITIVE));
    buf_add(&w->value, bytes, n);
}

void variant_put_int(struct variant_writer *w, int64_t v, unsigned least)
{
    unsigned size = v == (int8_t)v ? 1 : v == (int16_t)v ? 2 : v == (int32_t)v ? 4 : 8;

    size = MAX(size, least);
    buf_add_char(&w->value, (char)((VARIANT_INT8 + __builtin_ctz(size)) << 2 | PRIMITIVE));
    add_int(&w->value, (uint64_t)v, size);
}

void variant_put_decimal(struct variant_writer *w, int128 v, unsigned scale)
{
    uint128 digits = v < 0 ? -(uint128)v : (uint128)v;
    unsigned k = scale <= 9 && digits < pg_pow10(9) ? 0 : scale <= 18 && digits < pg_pow10(18) ? 1 : 2;
    uint128 bits = (uint128)v;

    assert(scale <= VARIANT_DECIMAL_DIGITS);
    buf_add_char(&w->value, (char)((VARIANT_DECIMAL4 + k) << 2 | PRIMITIVE));
    buf_add_char(&w->value, (char)scale);
    add_int(&w->value, (uint64_t)bits, k ? 8 : 4);
    if (k == 2)
        add_int(&w->value, (uint64_t)(bits >> 64), 8);
}

static void put_long(struct variant_writer *w, enum variant_primitive what, struct str s)
{
    buf_add_char(&w->value, (char)(what << 2 | PRIMITIVE));
    add_int(&w->value, s.n, 4);
    buf_add_str(&w->value, s);
}

void variant_put_text(struct variant_writer *w, struct str text)
{
    if (text.n > SHORT_TEXT_BYTES) {
        put_long(w, VARIANT_STRING, text);
        return;
    }
    buf_add_char(&w->value, (char)(text.n << 2 | SHORT_TEXT));
    buf_add_str(&w->value, text);
}

void variant_put_binary(struct variant_writer *w, struct str bytes)
{
    put_long(w, VARIANT_BINARY, bytes);
}

void variant_begin(struct variant_writer *w, bool object)
{
    MEM_GROW(w->levels, w->n_levels, w->cap_levels);
    w->levels[w->n_levels++] =
        (struct variant_level){.object = object, .start = w->value.n, .first_member = w->n_members};
}

static uint32_t id_of(struct variant_writer *w, struct str *name)
{
    uintptr_t known = (uintptr_t)map_get(&w->ids, *name);

    if (!known) {
        struct str copy = arena_str(&w->arena, *name);
        MEM_GROW(w->names, w->n_names, w->cap_names);
        w->names[w->n_names++] = copy;
        w->names_bytes += copy.n;
        known = w->n_names;
        map_put(&w->ids, copy, (void *)known);
    }
    *name = w->names[known - 1];
    return (uint32_t)(known - 1);
}

void variant_next(struct variant_writer *w, struct str name)
{
    const struct variant_level *level = &w->levels[w->n_levels - 1];
    struct variant_member m = {.name = name, .offset = (uint32_t)(w->value.n - level->start)};

    assert(w->n_levels);
    if (level->object)
        m.id = id_of(w, &m.name);
    MEM_GROW(w->members, w->n_members, w->cap_members);
    w->members[w->n_members++] = m;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct variant_member *)a)->name, ((const struct variant_member *)b)->name);
}

/* The head of an object or array with these members, `bytes` long together. */
static void add_head(struct buf *out, bool object, const struct variant_member *m, size_t n, size_t bytes)
{
    unsigned offset_size = size_of(bytes), id_size = 1;
    bool large = n > SMALL;

    for (size_t i = 0; i < n; i++)
        id_size = MAX(id_size, size_of(m[i].id));
    if (object)
        buf_add_char(out, (char)((unsigned)large << 6 | (id_size - 1) << 4 | (offset_size - 1) << 2 | OBJECT));
    else
        buf_add_char(out, (char)((unsigned)large << 4 | (offset_size - 1) << 2 | ARRAY));
    add_int(out, n, large ? 4 : 1);
    for (size_t i = 0; object && i < n; i++)
        add_int(out, m[i].id, id_size);
    for (size_t i = 0; i < n; i++)
        add_int(out, m[i].offset, offset_size);
    add_int(out, bytes, offset_size);
}

int variant_end(struct variant_writer *w, struct err *err)
{
    const struct variant_level level = w->levels[--w->n_levels];
    struct variant_member *m = w->members ? w->members + level.first_member : NULL;
    size_t n = w->n_members - level.first_member, bytes = w->value.n - level.start;
    CLEANUP(buf_deinit) struct buf head = {0};

    w->n_members = level.first_member;
    if (bytes > VARIANT_BYTES)
        return err_set(err, ERR_LIMIT, "a variant of more than %d bytes", VARIANT_BYTES);
    if (level.object && n)
        qsort(m, n, sizeof *m, by_name);
    for (size_t i = 1; level.object && i < n; i++)
        if (m[i].id == m[i - 1].id)
            return err_set(err, ERR_USAGE, "the name \"%.*s\" is there twice in one object", STR_ARG(m[i].name));
    add_head(&head, level.object, m, n, bytes);
    buf_add_str(&w->value, buf_str(&head)); /* makes the room */
    if (bytes)
        memmove(w->value.p + level.start + head.n, w->value.p + level.start, bytes);
    memcpy(w->value.p + level.start, head.p, head.n);
    return 0;
}

int variant_metadata(const struct variant_writer *w, struct buf *out, struct err *err)
{
    unsigned size = size_of(MAX(w->names_bytes, w->n_names));
    size_t end = 0;

    if (w->names_bytes > VARIANT_BYTES || w->value.n > VARIANT_BYTES)
        return err_set(err, ERR_LIMIT, "a variant of more than %d bytes", VARIANT_BYTES);
    buf_add_char(out, (char)((size - 1) << 6 | VERSION));
    add_int(out, w->n_names, size);
    for (size_t i = 0; i < w->n_names; i++) {
        add_int(out, end, size);
        end += w->names[i].n;
    }
    add_int(out, end, size);
    for (size_t i = 0; i < w->n_names; i++)
        buf_add_str(out, w->names[i]);
    return 0;
}

/* ---- JSON ---- */

/* Digits, a sign and a point: a decimal, if there are not too many; the scale is what stands behind the point. */
static bool put_plain_number(struct variant_writer *w, struct str text)
{
    const char *point = memchr(text.p, '.', text.n);
    unsigned scale = point ? (unsigned)(text.p + text.n - point - 1) : 0;
    int128 v;

    for (size_t i = 0; i < text.n; i++)
        if (!memchr("-.0123456789", text.p[i], 12))
            return false;
    if (scale > VARIANT_DECIMAL_DIGITS || pg_decimal_parse(text, VARIANT_DECIMAL_DIGITS, scale, &v, NULL) < 0)
        return false;
    variant_put_decimal(w, v, scale);
    return true;
}

static void put_number(struct variant_writer *w, struct str text)
{
    int64_t whole;

    if (str_to_i64(text, &whole)) {
        variant_put_int(w, whole, 1);
    } else if (!put_plain_number(w, text)) {
        double d = strtod(text.p, NULL); /* a 0 follows; what is too large is infinite */
        variant_put(w, VARIANT_DOUBLE, &d, sizeof d);
    }
}

static int put_json(struct variant_writer *w, yyjson_val *v, unsigned depth, struct err *err);

static int put_members(struct variant_writer *w, yyjson_val *v, unsigned depth, struct err *err)
{
    bool object = yyjson_is_obj(v);
    size_t i, n;
    yyjson_val *key, *member;

    if (depth > VARIANT_DEPTH)
        return err_set(err, ERR_LIMIT, "objects and arrays are more than %d deep", VARIANT_DEPTH);
    variant_begin(w, object);
    if (object) {
        yyjson_obj_foreach(v, i, n, key, member)
        {
            variant_next(w, str_make(yyjson_get_str(key), yyjson_get_len(key)));
            TRY(put_json(w, member, depth, err));
        }
    } else {
        yyjson_arr_foreach(v, i, n, member)
        {
            variant_next(w, (struct str){0});
            TRY(put_json(w, member, depth, err));
        }
    }
    return variant_end(w, err);
}

static int put_json(struct variant_writer *w, yyjson_val *v, unsigned depth, struct err *err)
{
    if (yyjson_is_ctn(v))
        return put_members(w, v, depth + 1, err);
    if (yyjson_is_raw(v))
        put_number(w, str_make(yyjson_get_raw(v), yyjson_get_len(v)));
    else if (yyjson_is_str(v))
        variant_put_text(w, str_make(yyjson_get_str(v), yyjson_get_len(v)));
    else
        variant_put(w, yyjson_is_null(v) ? VARIANT_NULL : yyjson_is_true(v) ? VARIANT_TRUE : VARIANT_FALSE, NULL, 0);
    return 0;
}

int variant_from_json(struct variant_writer *w, struct str json, struct err *err)
{
    yyjson_read_err bad;
    yyjson_doc *doc =
        yyjson_read_opts((char *)(uintptr_t)(json.n ? json.p : ""), json.n, YYJSON_READ_NUMBER_AS_RAW, NULL, &bad);

    if (!doc)
        return err_set(err, ERR_USAGE, "no JSON: %s at byte %zu of %.*s", bad.msg, bad.pos, (int)MIN(json.n, 200),
                       json.n ? json.p : "");
    int rc = put_json(w, yyjson_doc_get_root(doc), 0, err);
    yyjson_doc_free(doc);
    return rc;
}
