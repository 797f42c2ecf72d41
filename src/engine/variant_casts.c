/*
 * Casts of variants as Spark has them where DuckDB's are others: to text, which is JSON for objects and arrays, and numbers
 * that become integers by losing what is behind the point.
 */
#include "codec/pg_number.h"
#include "engine/render.h"
#include "engine/variant_call.h"

#include <math.h>

/* ---- to text ---- */

static void add_text(struct variant_call *c, idx_t row, duckdb_vector out)
{
    const struct variant_parts parts = variant_parts_of(&c->in, row);
    const struct variant_part p = variant_part_at(&parts, 0);
    struct str text = p.bytes;

    if (p.kind == PART_NULL) {
        variant_set_null(out, row);
        return;
    }
    buf_reset(&c->text);
    if (p.kind != PART_VARCHAR) {
        render_variant(&c->text, &c->in, row);
        text = buf_str(&c->text);
        if (p.kind != PART_OBJECT && p.kind != PART_ARRAY && text.n > 1 && text.p[0] == '"') /* a date or the like */
            text = str_make(text.p + 1, text.n - 2);
    }
    duckdb_vector_assign_string_element_len(out, row, text.n ? text.p : "", text.n);
}

static bool text_cast(duckdb_function_info info, idx_t n, duckdb_vector in, duckdb_vector out)
{
    CLEANUP(variant_call_deinit) struct variant_call c = {0};

    (void)info;
    variant_call_begin(&c, in);
    for (idx_t i = 0; i < n; i++) {
        if (engine_is_null(&c.in, i))
            variant_set_null(out, i);
        else
            add_text(&c, i, out);
    }
    return true;
}

static int add_text_cast(struct engine_conn *conn, duckdb_logical_type variant, duckdb_logical_type text,
                         struct err *err)
{
    CLEANUP(duckdb_destroy_cast_function) duckdb_cast_function cast = duckdb_create_cast_function();

    duckdb_cast_function_set_source_type(cast, variant);
    duckdb_cast_function_set_target_type(cast, text);
    duckdb_cast_function_set_function(cast, text_cast);
    if (duckdb_register_cast_function(conn->c, cast) != DuckDBSuccess)
        return err_set(err, ERR_INTERNAL, "the SQL engine does not take the cast of VARIANT to VARCHAR");
    return 0;
}

/* ---- whole numbers ---- */

static void put_whole_real(struct variant_writer *w, const struct variant_part *p)
{
    double d = 0;
    float f = 0;

    if (p->kind == PART_FLOAT)
        memcpy(&f, p->bytes.p, sizeof f);
    else
        memcpy(&d, p->bytes.p, sizeof d);
    d = trunc(p->kind == PART_FLOAT ? (double)f : d);
    variant_put(w, VARIANT_DOUBLE, &d, sizeof d);
}

static void put_whole_decimal(struct variant_writer *w, const struct variant_part *p)
{
    size_t size = p->width > 18 ? 16 : p->width > 9 ? 8 : p->width > 4 ? 4 : 2;
    unsigned shift = 128 - 8 * (unsigned)size;
    uint128 bits = 0;

    memcpy(&bits, p->bytes.p, MIN(size, p->bytes.n));
    variant_put_decimal(w, ((int128)(bits << shift) >> shift) / (int128)pg_pow10(p->scale), 0);
}

static int whole_part(struct variant_call *c, idx_t row, struct variant_build *build, struct err *err)
{
    const struct variant_parts parts = variant_parts_of(&c->in, row);
    const struct variant_part p = variant_part_at(&parts, 0);

    variant_writer_reset(&c->w);
    if (p.kind == PART_FLOAT || p.kind == PART_DOUBLE)
        put_whole_real(&c->w, &p);
    else if (p.kind == PART_DECIMAL && p.scale && p.scale <= VARIANT_DECIMAL_DIGITS)
        put_whole_decimal(&c->w, &p);
    else
        TRY(variant_encode(&c->w, &parts, 0, err));
    buf_reset(&c->text);
    TRY(variant_metadata(&c->w, &c->text, err));
    buf_add_str(&c->text, buf_str(&c->w.value));
    return variant_build_add(build, arena_str(&c->arena, buf_str(&c->text)), err);
}

static void whole_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    CLEANUP(variant_call_deinit) struct variant_call c = {0};
    CLEANUP(variant_build_deinit) struct variant_build build = {0};
    struct err err = {0};

    variant_call_begin(&c, duckdb_data_chunk_get_vector(in, 0));
    for (idx_t i = 0; i < duckdb_data_chunk_get_size(in); i++) {
        if (engine_is_null(&c.in, i)) {
            variant_build_add_null(&build);
        } else if (whole_part(&c, i, &build, &err) < 0) {
            duckdb_scalar_function_set_error(info, err.msg);
            return;
        }
    }
    variant_build_fill(&build, out);
}

int variant_casts_register(struct engine_conn *conn, duckdb_logical_type variant, struct err *err)
{
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type text = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);

    TRY(add_text_cast(conn, variant, text, err));
    TRY(variant_function_add(conn, "variant_whole", variant, NULL, variant, whole_run, err));
    return engine_exec(conn, "CREATE OR REPLACE MACRO to_variant_object(v) AS CAST(v AS VARIANT)", err);
}
