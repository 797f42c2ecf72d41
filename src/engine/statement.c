/* Connections, and the statements that run on them: prepared, worked on, their results taken. */
#include "engine/engine.h"

#include "base/mem.h"
#include "engine/internal.h"
#include "engine/render.h"

#include <unistd.h>

/* What a table lookup failed with, on the thread that runs the statement; DuckDB only carries its text. */
static _Thread_local struct err lookup_err;

static void replacement(duckdb_replacement_scan_info info, const char *name, void *data)
{
    struct engine *engine = data;
    CLEANUP(buf_deinit) struct buf sql = {0};

    if (!engine->lookup)
        return;
    struct err err = {0};
    int rc = engine->lookup(engine->lookup_ctx, str_of(name), &sql, &err);
    if (rc == 0) {
        duckdb_replacement_scan_set_function_name(info, "query");
        duckdb_value v = duckdb_create_varchar_length(sql.p, sql.n);
        duckdb_replacement_scan_add_parameter(info, v);
        duckdb_destroy_value(&v);
    } else if (rc < 0) {
        lookup_err = err;
        lookup_err.code = rc;
        duckdb_replacement_scan_set_error(info, err.msg);
    }
}

void engine_add_lookup(struct engine *engine)
{
    duckdb_add_replacement_scan(engine->db, replacement, engine, NULL);
}

void engine_set_table_lookup(struct engine *engine, engine_table_fn *lookup, void *ctx)
{
    engine->lookup = lookup;
    engine->lookup_ctx = ctx;
}

static int statement_error(struct err *err, const char *message)
{
    if (!lookup_err.code)
        return engine_error(err, message);
    if (err)
        *err = lookup_err;
    return lookup_err.code;
}

int engine_connect(struct engine *engine, struct engine_conn **ret, struct err *err)
{
    struct engine_conn *conn = MEM_NEW(struct engine_conn);

    conn->engine = engine;
    if (duckdb_connect(engine->db, &conn->c) != DuckDBSuccess) {
        mem_free(conn);
        return err_set(err, ERR_INTERNAL, "the SQL engine gives no connection");
    }
    *ret = conn;
    return 0;
}

void engine_conn_free(struct engine_conn *conn)
{
    if (!conn)
        return;
    duckdb_disconnect(&conn->c);
    mem_free(conn);
}

struct engine *engine_of(struct engine_conn *conn)
{
    return conn->engine;
}

void engine_interrupt(struct engine_conn *conn)
{
    duckdb_interrupt(conn->c);
}

/*
 * Works on the statement until its result can be taken, or it failed. Where the last tasks are other threads', this one
 * sleeps: DuckDB's own way to wait asks again and again, which costs a core and slows the others down.
 */
static int work_on(duckdb_pending_result pending, struct err *err)
{
    unsigned pause_us = 20;

    for (;;) {
        switch (duckdb_pending_execute_task(pending)) {
        case DUCKDB_PENDING_RESULT_NOT_READY:
            pause_us = 20;
            break;
        case DUCKDB_PENDING_NO_TASKS_AVAILABLE:
            usleep(pause_us);
            pause_us = MIN(pause_us * 2, 200u);
            break;
        case DUCKDB_PENDING_ERROR:
            return statement_error(err, duckdb_pending_error(pending));
        default:
            return 0;
        }
    }
}

/* One statement: prepared, started, its result taken; a result that is not wanted (`ret` NULL) is dropped. */
static int run_one(struct engine_conn *conn, duckdb_extracted_statements all, idx_t i, struct engine_result **ret,
                   struct err *err)
{
    CLEANUP(duckdb_destroy_prepare) duckdb_prepared_statement stmt = NULL;
    CLEANUP(duckdb_destroy_pending) duckdb_pending_result pending = NULL;
    duckdb_result result = {0};
    int rc = 0;

    lookup_err.code = 0;
    if (duckdb_prepare_extracted_statement(conn->c, all, i, &stmt) != DuckDBSuccess)
        return statement_error(err, duckdb_prepare_error(stmt));
    if (duckdb_pending_prepared_streaming(stmt, &pending) != DuckDBSuccess)
        return statement_error(err, duckdb_pending_error(pending));
    TRY(work_on(pending, err));
    if (duckdb_execute_pending(pending, &result) != DuckDBSuccess)
        rc = statement_error(err, duckdb_result_error(&result));
    if (rc == 0 && ret)
        *ret = engine_result_new(result);
    else
        duckdb_destroy_result(&result);
    return rc;
}

int engine_query(struct engine_conn *conn, const char *sql, struct engine_result **ret, struct err *err)
{
    duckdb_extracted_statements all = NULL;
    idx_t n = duckdb_extract_statements(conn->c, sql, &all);
    int rc = 0;

    if (n == 0) {
        const char *message = duckdb_extract_statements_error(all);
        rc = message ? engine_error(err, message) : err_set(err, ERR_USAGE, "there is no statement to run");
    }
    for (idx_t i = 0; i < n && rc == 0; i++)
        rc = run_one(conn, all, i, i + 1 == n ? ret : NULL, err);
    duckdb_destroy_extracted(&all);
    return rc;
}

int engine_exec(struct engine_conn *conn, const char *sql, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;
    int rc;

    TRY(engine_query(conn, sql, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0)
        ;
    return rc < 0 ? rc : 0;
}

/* The first row of the statement's result, whose first value is not NULL. */
static int first_row(struct engine_conn *conn, const char *sql, struct engine_result **ret,
                     const struct engine_chunk **ret_chunk, struct err *err)
{
    TRY(engine_query(conn, sql, ret, err));
    int rc = engine_result_next(*ret, ret_chunk, err);
    if (rc < 0)
        return rc;
    if (rc == 1 || (*ret_chunk)->n_cols < 1 || engine_is_null(&(*ret_chunk)->cols[0], 0))
        return err_set(err, ERR_NOT_FOUND, "the statement gave no value");
    return 0;
}

int engine_query_i64(struct engine_conn *conn, const char *sql, int64_t *ret, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;

    TRY(first_row(conn, sql, &result, &chunk, err));
    *ret = engine_i64(&chunk->cols[0], 0);
    return 0;
}

int engine_query_text(struct engine_conn *conn, const char *sql, struct buf *ret, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;

    TRY(first_row(conn, sql, &result, &chunk, err));
    render_text(ret, &chunk->cols[0], 0);
    return 0;
}
