/* Whole values as text: what is nested here, its scalars by render_scalar.c. */
#include "engine/render.h"

#include "engine/internal.h"
#include "model/batch.h"

#define AT(type) (((const type *)v->data)[row])

static void add_list(struct buf *out, const struct engine_vector *v, uint64_t first, uint64_t n)
{
    buf_add_char(out, '[');
    for (uint64_t i = 0; i < n; i++) {
        if (i)
            buf_add_char(out, ',');
        render_json(out, &v->children[0], first + i);
    }
    buf_add_char(out, ']');
}

static void add_map(struct buf *out, const struct engine_vector *v, struct listview list)
{
    const struct engine_vector *keys = &v->children[0].children[0], *values = &v->children[0].children[1];
    CLEANUP(buf_deinit) struct buf key = {0};

    buf_add_char(out, '{');
    for (uint64_t i = list.offset; i < list.offset + list.length; i++) {
        if (i > list.offset)
            buf_add_char(out, ',');
        buf_reset(&key);
        render_text(&key, keys, i);
        buf_add_json_str(out, buf_str(&key));
        buf_add_char(out, ':');
        render_json(out, values, i);
    }
    buf_add_char(out, '}');
}

static void add_struct(struct buf *out, const struct engine_vector *v, uint64_t row)
{
    buf_add_char(out, '{');
    for (uint32_t i = 0; i < v->n_children; i++) {
        if (i)
            buf_add_char(out, ',');
        buf_add_json_str(out, v->type->names[i]);
        buf_add_char(out, ':');
        render_json(out, &v->children[i], row);
    }
    buf_add_char(out, '}');
}

static bool add_nested(struct buf *out, const struct engine_vector *v, uint64_t row)
{
    switch (v->type->kind) {
    case ENGINE_LIST:
        add_list(out, v, AT(struct listview).offset, AT(struct listview).length);
        return true;
    case ENGINE_ARRAY:
        add_list(out, v, row * v->type->array_size, v->type->array_size);
        return true;
    case ENGINE_MAP:
        add_map(out, v, AT(struct listview));
        return true;
    case ENGINE_STRUCT:
        add_struct(out, v, row);
        return true;
    case ENGINE_UNION:
        render_json(out, &v->children[1 + engine_i64(&v->children[0], row)], row);
        return true;
    case ENGINE_VARIANT:
        render_variant(out, v, row);
        return true;
    default:
        return false;
    }
}

void render_json(struct buf *out, const struct engine_vector *v, uint64_t row)
{
    if (engine_is_null(v, row))
        buf_add_cstr(out, "null");
    else if (!render_scalar_json(out, v, row) && !add_nested(out, v, row))
        buf_add_cstr(out, "\"a type that has no text: cast it to VARCHAR\"");
}

void render_text(struct buf *out, const struct engine_vector *v, uint64_t row)
{
    if (!engine_is_null(v, row) && !render_scalar_text(out, v, row) && !add_nested(out, v, row))
        buf_add_cstr(out, "a type that has no text: cast it to VARCHAR");
}

void render_csv(struct buf *out, const struct engine_vector *v, uint64_t row)
{
    size_t begin = out->n, quotes = 0;
    bool must_quote = false;

    if (engine_is_null(v, row))
        return;
    render_text(out, v, row);
    size_t n = out->n - begin;
    for (size_t i = begin; i < out->n; i++) {
        quotes += out->p[i] == '"';
        must_quote |= out->p[i] == '"' || out->p[i] == ',' || out->p[i] == '\n' || out->p[i] == '\r';
    }
    if (!must_quote && n)
        return;
    if (!buf_reserve(out, n + quotes + 2))
        return;
    size_t to = begin + n + quotes + 2;
    out->n = to;
    out->p[to] = 0;
    out->p[--to] = '"';
    for (size_t i = begin + n; i-- > begin;) {
        out->p[--to] = out->p[i];
        if (out->p[to] == '"')
            out->p[--to] = '"';
    }
    out->p[begin] = '"';
}

void render_json_row(struct buf *out, const struct engine_result *result, const struct engine_chunk *chunk,
                     uint32_t row)
{
    buf_add_char(out, '{');
    for (uint32_t i = 0; i < chunk->n_cols; i++) {
        if (i)
            buf_add_char(out, ',');
        buf_add_json_str(out, engine_result_column(result, i)->name);
        buf_add_char(out, ':');
        render_json(out, &chunk->cols[i], row);
    }
    buf_add_char(out, '}');
}
