/* See the header. */
#include "engine/variant_call.h"

void variant_set_null(duckdb_vector out, idx_t i)
{
    duckdb_vector_ensure_validity_writable(out);
    duckdb_validity_set_row_invalid(duckdb_vector_get_validity(out), i);
}

void variant_call_deinit(struct variant_call *c)
{
    arena_deinit(&c->arena);
    variant_writer_deinit(&c->w);
    buf_deinit(&c->text);
}

void variant_call_begin(struct variant_call *c, duckdb_vector in)
{
    struct engine_type *type = ARENA_NEW(&c->arena, struct engine_type);
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type t = duckdb_vector_get_column_type(in);

    engine_type_read(&c->arena, t, type);
    engine_view_init(&c->arena, &c->in, type);
    engine_view_set(&c->in, in);
}

void variant_call_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out, variant_call_fn *fn)
{
    CLEANUP(variant_call_deinit) struct variant_call c = {0};
    struct err err = {0};

    variant_call_begin(&c, duckdb_data_chunk_get_vector(in, 0));
    for (idx_t i = 0; i < duckdb_data_chunk_get_size(in); i++) {
        if (engine_is_null(&c.in, i)) {
            variant_set_null(out, i);
        } else if (fn(&c, i, out, &err) < 0) {
            duckdb_scalar_function_set_error(info, err.msg);
            return;
        }
    }
}

int variant_function_add(struct engine_conn *conn, const char *name, duckdb_logical_type from, duckdb_logical_type more,
                         duckdb_logical_type to, duckdb_scalar_function_t fn, struct err *err)
{
    CLEANUP(duckdb_destroy_scalar_function) duckdb_scalar_function f = duckdb_create_scalar_function();

    duckdb_scalar_function_set_name(f, name);
    duckdb_scalar_function_add_parameter(f, from);
    if (more)
        duckdb_scalar_function_add_parameter(f, more);
    duckdb_scalar_function_set_return_type(f, to);
    duckdb_scalar_function_set_special_handling(f);
    duckdb_scalar_function_set_function(f, fn);
    if (duckdb_register_scalar_function(conn->c, f) != DuckDBSuccess)
        return err_set(err, ERR_INTERNAL, "the SQL engine does not take the function %s", name);
    return 0;
}
