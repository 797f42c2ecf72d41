/* What the files of this folder share and nobody else sees: DuckDB's handles. */
#ifndef SLUICE_ENGINE_INTERNAL_H
#define SLUICE_ENGINE_INTERNAL_H

#include "base/buf.h"
#include "base/map.h"
#include "engine/engine.h"

#include <duckdb.h>
#include <pthread.h>

/* What statements name by a number, and not by its address: one that names a wrong one gets an error and not a crash. */
enum numbered_kind { NUMBERED_FEED, NUMBERED_SCAN, NUMBERED_STUB, NUMBERED_VISIT, NUMBERED_KINDS };

struct engine {
    duckdb_database db;
    pthread_mutex_t mutex; /* guards the next two */
    int64_t last_number;
    struct imap numbered[NUMBERED_KINDS]; /* number → struct feed, scan_files, stub, visit */
    char *temp_dir;                       /* NULL: none */
    engine_table_fn *lookup;
    void *lookup_ctx;
};

struct engine_conn {
    duckdb_connection c;
    struct engine *engine;
};

/* Gives a thing its number, which no other thing of this engine has or had. It is the caller's, who takes it back. */
int64_t engine_number(struct engine *engine, enum numbered_kind kind, const void *thing);
void engine_number_free(struct engine *engine, enum numbered_kind kind, int64_t number);
void *engine_numbered(struct engine *engine, enum numbered_kind kind, int64_t number); /* NULL: there is none */

/* A table function of one number; its extra info is the engine. */
struct engine_table_function {
    const char *name;
    duckdb_table_function_bind_t bind;
    duckdb_table_function_init_t init;
    duckdb_table_function_t run;
    bool picks_columns; /* it is told which columns are wanted */
};
int engine_add_table_function(struct engine_conn *conn, const struct engine_table_function *function,
                              struct err *err) MUST_CHECK;

/* Fills err from DuckDB's message ("Binder Error: …\nLINE 1: …") and returns its code. */
int engine_error(struct err *err, const char *message);
/* Has DuckDB ask the engine's table lookup for names that it does not know. */
void engine_add_lookup(struct engine *engine);
/* Reads a type into memory of `arena`. */
struct arena;
void engine_type_read(struct arena *arena, duckdb_logical_type t, struct engine_type *ret);

/* Makes views of vectors of a type, and points them at some. */
void engine_view_init(struct arena *arena, struct engine_vector *v, const struct engine_type *type);
void engine_view_set(struct engine_vector *v, duckdb_vector vector);

/* A value that is not NULL, as render_json() and render_text() write it; false, and nothing written: it is no scalar. */
bool render_scalar_json(struct buf *out, const struct engine_vector *v, uint64_t row);
bool render_scalar_text(struct buf *out, const struct engine_vector *v, uint64_t row);

struct engine_result *engine_result_new(duckdb_result result); /* takes it */
int feed_functions_register(struct engine_conn *conn, struct err *err) MUST_CHECK;
int scan_functions_register(struct engine_conn *conn, struct err *err) MUST_CHECK;
int stub_functions_register(struct engine_conn *conn, struct err *err) MUST_CHECK;
int visit_function_register(struct engine_conn *conn, struct err *err) MUST_CHECK;
int variant_functions_register(struct engine_conn *conn, struct err *err) MUST_CHECK;
int spark_text_register(struct engine_conn *conn, struct err *err) MUST_CHECK;
int spark_functions_register(struct engine_conn *conn, struct err *err) MUST_CHECK;

static inline bool valid_bit(const uint64_t *valid, uint64_t i)
{
    return !valid || (valid[i / 64] >> (i % 64) & 1);
}

#endif
