/*
 * DuckDB opened, connected to and asked; its messages turned into our errors.
 *
 * DuckDB gives errors as text only where a statement is prepared ("Binder Error: …\n\nLINE 1: …\n   ^"), so that the
 * class is read from the text everywhere: one rule for all paths.
 */
#include "engine/engine.h"

#include "base/mem.h"
#include "engine/internal.h"
#include "engine/render.h"

#include <assert.h>
#include <unistd.h>

static const struct {
    const char *prefix;
    int code;
    const char *sqlstate;
    bool keep; /* the prefix tells something that the rest does not */
} CLASSES[] = {
    {"Parser Error: ", ERR_USAGE, "42601", false},
    {"Syntax Error: ", ERR_USAGE, "42601", false},
    {"Binder Error: ", ERR_USAGE, "42000", false},
    {"Catalog Error: ", ERR_USAGE, "42P01", false},
    {"Conversion Error: ", ERR_USAGE, "22000", false},
    {"Out of Range Error: ", ERR_USAGE, "22003", false},
    {"Invalid Input Error: ", ERR_USAGE, "22023", false},
    {"Constraint Error: ", ERR_USAGE, "23000", false},
    {"Not implemented Error: ", ERR_USAGE, "0A000", true},
    {"Missing Extension Error: ", ERR_USAGE, "0A000", true},
    {"Extension Autoloading Error: ", ERR_USAGE, "0A000", true},
    {"Permission Error: ", ERR_USAGE, "42501", true},
    {"Settings Error: ", ERR_USAGE, "22023", true},
    {"Out of Memory Error: ", ERR_LIMIT, "53200", true},
    {"IO Error: ", ERR_IO, "58030", false},
    {"HTTP Error: ", ERR_NET, "08000", true},
    {"Connection Error: ", ERR_NET, "08000", true},
    {"INTERRUPT Error: ", ERR_CANCELLED, "57014", false},
    {"INTERNAL Error: ", ERR_INTERNAL, "XX000", true},
    {"FATAL Error: ", ERR_INTERNAL, "XX000", true},
    {"Serialization Error: ", ERR_INTERNAL, "XX000", true},
    {"TransactionContext Error: ", ERR_CONFLICT, "40001", true},
    {"Transaction Error: ", ERR_CONFLICT, "40001", true},
};

/* The lines between the message and "LINE n:" are advice ("Did you mean …", "Candidate bindings: …"). */
static void set_hint(struct err *err, const char *rest)
{
    CLEANUP(buf_deinit) struct buf hint = {.max = sizeof err->hint};
    struct str s = str_of(rest);

    while (s.p) {
        struct str line = str_trim(str_split(&s, '\n'));
        if (str_has_prefix(line, STR("LINE ")))
            break;
        if (!line.n || memmem(line.p, line.n, "\"__", 3)) /* advice to use a column of ours */
            continue;
        if (hint.n)
            buf_add_char(&hint, ' ');
        buf_add_str(&hint, line);
    }
    if (hint.n)
        err_hint(err, "%.*s", STR_ARG(buf_str(&hint)));
}

int engine_error(struct err *err, const char *message)
{
    int code = ERR_USAGE;
    const char *sqlstate = "XX000";
    struct str s = str_of(message ? message : "INTERNAL Error: DuckDB failed without a message");

    for (size_t i = 0; i < ARRAY_LEN(CLASSES); i++) {
        struct str prefix = str_of(CLASSES[i].prefix);
        if (!str_has_prefix(s, prefix))
            continue;
        code = CLASSES[i].code;
        sqlstate = CLASSES[i].sqlstate;
        if (!CLASSES[i].keep)
            s = str_make(s.p + prefix.n, s.n - prefix.n);
        break;
    }
    const char *end = memchr(s.p, '\n', s.n);
    struct str first = end ? str_make(s.p, (size_t)(end - s.p)) : s;
    err_set(err, code, "%.*s", STR_ARG(first));
    if (!err)
        return code;
    memcpy(err->sqlstate, sqlstate, 6);
    if (end)
        set_hint(err, end + 1);
    if (code == ERR_LIMIT) /* what the engine proposes are settings that nobody can reach */
        err_hint(err, "allow more memory: --memory");
    if (code == ERR_IO && memmem(s.p, s.n, "No space left", 13))
        err_hint(err, "the disk is full: free some space and try again");
    return code;
}

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

static int make_config(const struct engine_options *o, duckdb_config *ret, struct err *err)
{
    char memory[32], threads[16];
    const char *settings[][2] = {
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},
        {"allow_community_extensions", "false"},
        {"custom_extension_repository", "/installing-extensions-is-off"},
        {"preserve_insertion_order", "true"},
        {"enable_external_file_cache", "false"}, /* the system's page cache has the files already */
        {"temp_directory", o->temp_dir ? o->temp_dir : ""},
        {"memory_limit", o->memory_limit_bytes ? memory : NULL},
        {"threads", o->threads ? threads : NULL},
    };

    snprintf(memory, sizeof memory, "%lluKiB", (unsigned long long)MAX(o->memory_limit_bytes / 1024, 1));
    snprintf(threads, sizeof threads, "%u", o->threads);
    if (duckdb_create_config(ret) != DuckDBSuccess)
        return err_set(err, ERR_INTERNAL, "DuckDB gives no configuration object");
    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (settings[i][1] && duckdb_set_config(*ret, settings[i][0], settings[i][1]) != DuckDBSuccess)
            return err_set(err, ERR_INTERNAL, "DuckDB does not take the setting %s = \"%s\"", settings[i][0],
                           settings[i][1]);
    return 0;
}

static int prepare_database(struct engine *engine, struct err *err)
{
    CLEANUP(engine_conn_freep) struct engine_conn *conn = NULL;

    TRY(engine_connect(engine, &conn, err));
    TRY(engine_exec(conn, "SET GLOBAL TimeZone = 'UTC'", err));
    TRY(feed_functions_register(conn, err));
    TRY(scan_functions_register(conn, err));
    TRY(stub_functions_register(conn, err));
    TRY(visit_function_register(conn, err));
    TRY(variant_functions_register(conn, err));
    TRY(spark_functions_register(conn, err));
    TRY(engine_exec(conn, "CREATE MACRO current_timestamp() AS get_current_timestamp()", err)); /* as Spark writes it */
    duckdb_add_replacement_scan(engine->db, replacement, engine, NULL);
    return 0;
}

int engine_open(const struct engine_options *options, struct engine **ret, struct err *err)
{
    CLEANUP(engine_freep) struct engine *engine = MEM_NEW(struct engine);
    CLEANUP(duckdb_destroy_config) duckdb_config config = NULL;
    char *message = NULL;

    pthread_mutex_init(&engine->mutex, NULL);
    engine->temp_dir = options->temp_dir ? mem_strdup(options->temp_dir) : NULL;
    TRY(make_config(options, &config, err));
    if (duckdb_open_ext(options->path, &engine->db, config, &message) != DuckDBSuccess) {
        int code = engine_error(err, message);
        duckdb_free(message);
        err_wrap(err, "opening the SQL engine");
        return code;
    }
    TRY(prepare_database(engine, err));
    *ret = TAKE_PTR(engine);
    return 0;
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    if (engine->db)
        duckdb_close(&engine->db);
    mem_free(engine->temp_dir);
    for (int i = 0; i < NUMBERED_KINDS; i++)
        imap_deinit(&engine->numbered[i]);
    pthread_mutex_destroy(&engine->mutex);
    mem_free(engine);
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

const char *engine_temp_dir(const struct engine *engine)
{
    return engine->temp_dir;
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

int engine_query_i64(struct engine_conn *conn, const char *sql, int64_t *ret, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;

    TRY(engine_query(conn, sql, &result, err));
    int rc = engine_result_next(result, &chunk, err);
    if (rc < 0)
        return rc;
    if (rc == 1 || chunk->n_cols < 1 || engine_is_null(&chunk->cols[0], 0))
        return err_set(err, ERR_NOT_FOUND, "the statement gave no value");
    *ret = engine_i64(&chunk->cols[0], 0);
    return 0;
}

int engine_query_text(struct engine_conn *conn, const char *sql, struct buf *ret, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;

    TRY(engine_query(conn, sql, &result, err));
    int rc = engine_result_next(result, &chunk, err);
    if (rc < 0)
        return rc;
    if (rc == 1 || chunk->n_cols < 1 || engine_is_null(&chunk->cols[0], 0))
        return err_set(err, ERR_NOT_FOUND, "the statement gave no value");
    render_text(ret, &chunk->cols[0], 0);
    return 0;
}
