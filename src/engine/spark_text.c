/* spark_double_text(x), spark_float_text(x) in SQL: the text of numbers as Spark has it (codec/java_real.h). */
#include "codec/java_real.h"
#include "engine/internal.h"

static void text_run(duckdb_data_chunk in, duckdb_vector out, bool is_float)
{
    CLEANUP(buf_deinit) struct buf text = {0};
    duckdb_vector from = duckdb_data_chunk_get_vector(in, 0);
    const void *values = duckdb_vector_get_data(from);
    const uint64_t *valid = duckdb_vector_get_validity(from);

    for (idx_t i = 0; i < duckdb_data_chunk_get_size(in); i++) {
        if (!valid_bit(valid, i)) {
            duckdb_vector_ensure_validity_writable(out);
            duckdb_validity_set_row_invalid(duckdb_vector_get_validity(out), i);
            continue;
        }
        buf_reset(&text);
        java_real_text(is_float ? (double)((const float *)values)[i] : ((const double *)values)[i], is_float, &text);
        duckdb_vector_assign_string_element_len(out, i, text.p, text.n);
    }
}

static void float_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    (void)info;
    text_run(in, out, true);
}

static void double_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    (void)info;
    text_run(in, out, false);
}

static int add_function(struct engine_conn *conn, const char *name, duckdb_type from, duckdb_scalar_function_t run,
                        struct err *err)
{
    CLEANUP(duckdb_destroy_scalar_function) duckdb_scalar_function f = duckdb_create_scalar_function();
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type number = duckdb_create_logical_type(from);
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type text = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);

    duckdb_scalar_function_set_name(f, name);
    duckdb_scalar_function_add_parameter(f, number);
    duckdb_scalar_function_set_return_type(f, text);
    duckdb_scalar_function_set_special_handling(f); /* NULLs are seen */
    duckdb_scalar_function_set_function(f, run);
    if (duckdb_register_scalar_function(conn->c, f) != DuckDBSuccess)
        return err_set(err, ERR_INTERNAL, "DuckDB does not take the function %s()", name);
    return 0;
}

int spark_text_register(struct engine_conn *conn, struct err *err)
{
    TRY(add_function(conn, "spark_float_text", DUCKDB_TYPE_FLOAT, float_run, err));
    return add_function(conn, "spark_double_text", DUCKDB_TYPE_DOUBLE, double_run, err);
}
