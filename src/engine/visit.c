/*
 * engine_visit(): a function of DuckDB's own, called where the rows are made. row_number() lets one thread at a time run the
 * statement, in the order of its rows, and sum() makes it want every one of them:
 *
 *     SELECT coalesce(sum(v), 0) FROM (SELECT visit(<id>, row_number() OVER (), a, b, …) AS v FROM …)
 */
#include "engine/internal.h"

#include "base/arena.h"

enum { FIRST = 2 }; /* arguments before the columns */

struct visit {
    engine_visit_fn *fn;
    void *ctx;
    struct arena arena;
    struct engine_chunk chunk;
    struct err err;
    int rc;
};

/* The types are known with the first chunk. */
static void set_columns(struct visit *v, duckdb_data_chunk in)
{
    uint32_t n = (uint32_t)duckdb_data_chunk_get_column_count(in) - FIRST;

    if (!v->chunk.cols) {
        v->chunk.n_cols = n;
        v->chunk.cols = ARENA_NEW_N(&v->arena, struct engine_vector, n);
        for (uint32_t i = 0; i < n; i++) {
            struct engine_type *type = ARENA_NEW(&v->arena, struct engine_type);
            CLEANUP(duckdb_destroy_logical_type)
            duckdb_logical_type t = duckdb_vector_get_column_type(duckdb_data_chunk_get_vector(in, FIRST + i));
            engine_type_read(&v->arena, t, type);
            engine_view_init(&v->arena, &v->chunk.cols[i], type);
        }
    }
    for (uint32_t i = 0; i < n; i++)
        engine_view_set(&v->chunk.cols[i], duckdb_data_chunk_get_vector(in, FIRST + i));
}

static void visit_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    idx_t n = duckdb_data_chunk_get_size(in);
    int64_t *to = duckdb_vector_get_data(out);

    memset(to, 0, n * sizeof *to);
    if (!n)
        return;
    const int64_t *id = duckdb_vector_get_data(duckdb_data_chunk_get_vector(in, 0));
    struct visit *v = engine_numbered(duckdb_scalar_function_get_extra_info(info), NUMBERED_VISIT, id[0]);
    if (v && !v->rc) {
        set_columns(v, in);
        v->chunk.n = (uint32_t)n;
        v->rc = v->fn(v->ctx, &v->chunk, &v->err);
    }
    if (!v || v->rc < 0)
        duckdb_scalar_function_set_error(info, v ? v->err.msg : "nobody visits the rows of this statement");
}

int engine_visit(struct engine_conn *conn, const char *columns, const char *from, engine_visit_fn *fn, void *ctx,
                 struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct visit v = {.fn = fn, .ctx = ctx};
    int64_t id = engine_number(conn->engine, NUMBERED_VISIT, &v);

    buf_printf(&sql, "SELECT coalesce(sum(v), 0) FROM (SELECT visit(%lld, row_number() OVER (), %s) AS v %s)",
               (long long)id, columns, from);
    int rc = engine_exec(conn, sql.p, err);
    engine_number_free(conn->engine, NUMBERED_VISIT, id);
    arena_deinit(&v.arena);
    if (v.rc < 0 && err)
        *err = v.err;
    return v.rc < 0 ? v.rc : rc;
}

int visit_function_register(struct engine_conn *conn, struct err *err)
{
    CLEANUP(duckdb_destroy_scalar_function) duckdb_scalar_function f = duckdb_create_scalar_function();
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type number = duckdb_create_logical_type(DUCKDB_TYPE_BIGINT);
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type any = duckdb_create_logical_type(DUCKDB_TYPE_ANY);

    duckdb_scalar_function_set_name(f, "visit");
    duckdb_scalar_function_add_parameter(f, number);
    duckdb_scalar_function_add_parameter(f, number);
    duckdb_scalar_function_set_varargs(f, any);
    duckdb_scalar_function_set_return_type(f, number);
    duckdb_scalar_function_set_special_handling(f); /* NULLs are rows, too */
    duckdb_scalar_function_set_volatile(f);
    duckdb_scalar_function_set_extra_info(f, conn->engine, NULL);
    duckdb_scalar_function_set_function(f, visit_run);
    if (duckdb_register_scalar_function(conn->c, f) != DuckDBSuccess)
        return err_set(err, ERR_INTERNAL, "DuckDB does not take the function visit()");
    return 0;
}
