/* See the header. */
#include "engine/variant_functions.h"

#include "base/mem.h"
#include "engine/internal.h"
#include "engine/render.h"
#include "engine/variant_call.h"

/* ---- of variants ---- */

static int value_of(struct variant_call *c, idx_t row, duckdb_vector out, struct err *err)
{
    const struct variant_parts parts = variant_parts_of(&c->in, row);

    variant_writer_reset(&c->w);
    TRY(variant_encode(&c->w, &parts, 0, err));
    duckdb_vector_assign_string_element_len(out, row, c->w.value.p, c->w.value.n);
    return 0;
}

static int metadata_of(struct variant_call *c, idx_t row, duckdb_vector out, struct err *err)
{
    const struct variant_parts parts = variant_parts_of(&c->in, row);

    variant_writer_reset(&c->w);
    TRY(variant_encode(&c->w, &parts, 0, err));
    buf_reset(&c->text);
    TRY(variant_metadata(&c->w, &c->text, err));
    duckdb_vector_assign_string_element_len(out, row, c->text.p, c->text.n);
    return 0;
}

static int json_of(struct variant_call *c, idx_t row, duckdb_vector out, struct err *err)
{
    (void)err;
    buf_reset(&c->text);
    render_variant(&c->text, &c->in, row);
    duckdb_vector_assign_string_element_len(out, row, c->text.p, c->text.n);
    return 0;
}

static void value_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    variant_call_run(info, in, out, value_of);
}

static void metadata_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    variant_call_run(info, in, out, metadata_of);
}

static void json_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    variant_call_run(info, in, out, json_of);
}

/* SQL's NULL is not JSON's null: false, as Spark has it. */
static void is_null_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    CLEANUP(variant_call_deinit) struct variant_call c = {0};
    bool *is_null = duckdb_vector_get_data(out);

    (void)info;
    variant_call_begin(&c, duckdb_data_chunk_get_vector(in, 0));
    for (idx_t i = 0; i < duckdb_data_chunk_get_size(in); i++) {
        const struct variant_parts parts = variant_parts_of(&c.in, i);
        is_null[i] = !engine_is_null(&c.in, i) && variant_part_at(&parts, 0).kind == PART_NULL;
    }
}

/* ---- to variants ---- */

/* One call over a vector of texts or bytes. */
struct making {
    struct variant_writer w;
    struct variant_build build;
    struct arena arena; /* of bytes that were written */
};

static void making_deinit(struct making *m)
{
    variant_writer_deinit(&m->w);
    variant_build_deinit(&m->build);
    arena_deinit(&m->arena);
}

typedef int make_fn(struct making *m, struct str in, struct err *err);

static int make_of_bytes(struct making *m, struct str in, struct err *err)
{
    return variant_build_add(&m->build, in, err);
}

static int make_of_json(struct making *m, struct str in, struct err *err)
{
    CLEANUP(buf_deinit) struct buf bytes = {0};

    variant_writer_reset(&m->w);
    TRY(variant_from_json(&m->w, in, err));
    TRY(variant_metadata(&m->w, &bytes, err));
    buf_add_str(&bytes, buf_str(&m->w.value));
    return variant_build_add(&m->build, arena_str(&m->arena, buf_str(&bytes)), err);
}

static int make_of_json_or_null(struct making *m, struct str in, struct err *err)
{
    if (make_of_json(m, in, err) < 0)
        variant_build_add_null(&m->build);
    return 0;
}

static void make(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out, make_fn *fn)
{
    CLEANUP(making_deinit) struct making m = {0};
    static const struct engine_type text = {.kind = ENGINE_BLOB};
    duckdb_vector v = duckdb_data_chunk_get_vector(in, 0);
    const struct engine_vector view = {
        .type = &text, .data = duckdb_vector_get_data(v), .valid = duckdb_vector_get_validity(v)};
    struct err err = {0};

    for (idx_t i = 0; i < duckdb_data_chunk_get_size(in); i++) {
        if (engine_is_null(&view, i)) {
            variant_build_add_null(&m.build);
        } else if (fn(&m, engine_str(&view, i), &err) < 0) {
            duckdb_scalar_function_set_error(info, err.msg);
            return;
        }
    }
    variant_build_fill(&m.build, out);
}

static void of_bytes_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    make(info, in, out, make_of_bytes);
}

static void parse_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    make(info, in, out, make_of_json);
}

static void try_parse_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    make(info, in, out, make_of_json_or_null);
}

/* ---- a part of a variant ---- */

/* The next step of "$.name", "$['name']", "$[0]": a name, or an element's number. 1: the path is at its end. */
static int take_step(struct str *path, struct str *ret_name, int64_t *ret_element)
{
    struct str s = *path;
    bool bracket = s.n && s.p[0] == '[', quoted = bracket && s.n > 1 && (s.p[1] == '\'' || s.p[1] == '"');
    size_t begin = quoted ? 2 : 1, n;

    if (!s.n)
        return 1;
    for (n = begin; n < s.n; n++)
        if (quoted ? s.p[n] == s.p[1] : bracket ? s.p[n] == ']' : s.p[n] == '.' || s.p[n] == '[')
            break;
    *ret_name = str_make(s.p + begin, n - begin);
    *ret_element = -1;
    n += quoted;
    if (bracket ? n >= s.n || s.p[n] != ']' : s.p[0] != '.' || !ret_name->n)
        return ERR_USAGE;
    n += bracket;
    if (bracket && !quoted && (!str_to_i64(*ret_name, ret_element) || *ret_element < 0))
        return ERR_USAGE;
    *path = str_make(s.p + n, s.n - n);
    return 0;
}

/* The place of the member, or -1. */
static int64_t find_member(const struct variant_parts *v, uint64_t place, struct str name, int64_t element)
{
    const struct variant_part p = variant_part_at(v, place);

    if (p.kind != (element < 0 ? PART_OBJECT : PART_ARRAY))
        return -1;
    if (element >= 0)
        return element < p.n ? (int64_t)variant_member(v, p.first + (uint64_t)element) : -1;
    for (uint64_t c = p.first; c < p.first + p.n; c++)
        if (str_eq(variant_member_name(v, c), name))
            return (int64_t)variant_member(v, c);
    return -1;
}

static int add_part(struct variant_call *c, struct making *m, idx_t row, struct str path, struct err *err)
{
    const struct variant_parts parts = variant_parts_of(&c->in, row);
    struct str rest = path.n ? str_make(path.p + 1, path.n - 1) : path, name;
    int64_t place = 0, element;
    int rc = path.n && path.p[0] == '$' ? 0 : ERR_USAGE;

    while (rc == 0 && (rc = take_step(&rest, &name, &element)) == 0)
        place = place < 0 ? -1 : find_member(&parts, (uint64_t)place, name, element);
    if (rc < 0)
        return err_set(err, ERR_USAGE, "\"%.*s\" is no path into a variant, as $.name, $['name'] and $[0] are",
                       STR_ARG(path));
    if (place < 0) {
        variant_build_add_null(&m->build);
        return 0;
    }
    variant_writer_reset(&c->w);
    buf_reset(&c->text);
    TRY(variant_encode(&c->w, &parts, (uint64_t)place, err));
    TRY(variant_metadata(&c->w, &c->text, err));
    buf_add_str(&c->text, buf_str(&c->w.value));
    return variant_build_add(&m->build, arena_str(&m->arena, buf_str(&c->text)), err);
}

static void get_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    CLEANUP(variant_call_deinit) struct variant_call c = {0};
    CLEANUP(making_deinit) struct making m = {0};
    static const struct engine_type text = {.kind = ENGINE_VARCHAR};
    duckdb_vector path = duckdb_data_chunk_get_vector(in, 1);
    const struct engine_vector paths = {
        .type = &text, .data = duckdb_vector_get_data(path), .valid = duckdb_vector_get_validity(path)};
    struct err err = {0};

    variant_call_begin(&c, duckdb_data_chunk_get_vector(in, 0));
    for (idx_t i = 0; i < duckdb_data_chunk_get_size(in); i++) {
        if (engine_is_null(&c.in, i) || engine_is_null(&paths, i)) {
            variant_build_add_null(&m.build);
        } else if (add_part(&c, &m, i, engine_str(&paths, i), &err) < 0) {
            duckdb_scalar_function_set_error(info, err.msg);
            return;
        }
    }
    variant_build_fill(&m.build, out);
}

/* ---- registered ---- */

/* DuckDB's type with its parts, which a handle made from the number of the type lacks; to be destroyed. */
static duckdb_logical_type variant_type(struct engine_conn *conn)
{
    CLEANUP(duckdb_destroy_prepare) duckdb_prepared_statement stmt = NULL;

    if (duckdb_prepare(conn->c, "SELECT NULL::VARIANT", &stmt) != DuckDBSuccess)
        return NULL;
    return duckdb_prepared_statement_column_logical_type(stmt, 0);
}

int variant_functions_register(struct engine_conn *conn, struct err *err)
{
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type variant = variant_type(conn);
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type text = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type blob = duckdb_create_logical_type(DUCKDB_TYPE_BLOB);
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type truth = duckdb_create_logical_type(DUCKDB_TYPE_BOOLEAN);

    if (!variant)
        return err_set(err, ERR_INTERNAL, "the SQL engine has no type VARIANT");
    TRY(variant_function_add(conn, "variant_value", variant, NULL, blob, value_run, err));
    TRY(variant_function_add(conn, "variant_metadata", variant, NULL, blob, metadata_run, err));
    TRY(variant_function_add(conn, "variant_of_bytes", blob, NULL, variant, of_bytes_run, err));
    TRY(variant_function_add(conn, "parse_json", text, NULL, variant, parse_run, err));
    TRY(variant_function_add(conn, "try_parse_json", text, NULL, variant, try_parse_run, err));
    TRY(variant_function_add(conn, "to_json", variant, NULL, text, json_run, err));
    TRY(variant_function_add(conn, "variant_get", variant, text, variant, get_run, err));
    TRY(variant_function_add(conn, "try_variant_get", variant, text, variant, get_run, err));
    TRY(variant_function_add(conn, "is_variant_null", variant, NULL, truth, is_null_run, err));
    TRY(variant_casts_register(conn, variant, err));
    TRY(variant_schema_register(conn, variant, err));
    return variant_entries_register(conn, variant, err);
}
