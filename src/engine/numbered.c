/* Things of ours that statements name by number, and the table functions that take one. */
#include "engine/internal.h"

int64_t engine_number(struct engine *engine, enum numbered_kind kind, const void *thing)
{
    pthread_mutex_lock(&engine->mutex);
    int64_t number = ++engine->last_number;
    imap_put(&engine->numbered[kind], (uint64_t)number, (void *)thing);
    pthread_mutex_unlock(&engine->mutex);
    return number;
}

void engine_number_free(struct engine *engine, enum numbered_kind kind, int64_t number)
{
    pthread_mutex_lock(&engine->mutex);
    imap_remove(&engine->numbered[kind], (uint64_t)number);
    pthread_mutex_unlock(&engine->mutex);
}

void *engine_numbered(struct engine *engine, enum numbered_kind kind, int64_t number)
{
    pthread_mutex_lock(&engine->mutex);
    void *thing = imap_get(&engine->numbered[kind], (uint64_t)number);
    pthread_mutex_unlock(&engine->mutex);
    return thing;
}

int engine_add_table_function(struct engine_conn *conn, const struct engine_table_function *function, struct err *err)
{
    CLEANUP(duckdb_destroy_table_function) duckdb_table_function f = duckdb_create_table_function();
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type bigint = duckdb_create_logical_type(DUCKDB_TYPE_BIGINT);

    duckdb_table_function_set_name(f, function->name);
    duckdb_table_function_add_parameter(f, bigint);
    duckdb_table_function_set_extra_info(f, conn->engine, NULL);
    duckdb_table_function_set_bind(f, function->bind);
    duckdb_table_function_set_init(f, function->init);
    duckdb_table_function_set_function(f, function->run);
    duckdb_table_function_supports_projection_pushdown(f, function->picks_columns);
    if (duckdb_register_table_function(conn->c, f) != DuckDBSuccess)
        return err_set(err, ERR_INTERNAL, "DuckDB does not take the function %s()", function->name);
    return 0;
}
