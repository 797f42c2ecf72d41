/* DuckDB opened with our settings and functions, and closed. */
#include "engine/engine.h"

#include "base/mem.h"
#include "engine/internal.h"

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
    engine_add_lookup(engine);
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

const char *engine_temp_dir(const struct engine *engine)
{
    return engine->temp_dir;
}
