/* What the files of this folder share and nobody else sees: DuckDB's handles. */
#ifndef SLUICE_ENGINE_INTERNAL_H
#define SLUICE_ENGINE_INTERNAL_H

#include "base/buf.h"
#include "base/map.h"
#include "engine/engine.h"

#include <duckdb.h>
#include <pthread.h>

struct engine {
    duckdb_database db;
    pthread_mutex_t mutex; /* guards next_id, feeds, scans, stubs, visits */
    int64_t next_id;
    struct imap feeds; /* id → struct feed */
    struct imap scans; /* id → const struct scan_files */
    struct imap stubs; /* id → const struct stub */
    struct imap visits;
    engine_table_fn *lookup;
    void *lookup_ctx;
};

struct engine_conn {
    duckdb_connection c;
    struct engine *engine;
};

/* Fills err from DuckDB's message ("Binder Error: …\nLINE 1: …") and returns its code. */
int engine_error(struct err *err, const char *message);
/* Reads a type into memory of `arena`. */
struct arena;
void engine_type_read(struct arena *arena, duckdb_logical_type t, struct engine_type *ret);

/* Makes views of vectors of a type, and points them at some. */
void engine_view_init(struct arena *arena, struct engine_vector *v, const struct engine_type *type);
void engine_view_set(struct engine_vector *v, duckdb_vector vector);

struct engine_result *engine_result_new(duckdb_result result); /* takes it */
int feed_functions_register(struct engine_conn *conn, struct err *err) MUST_CHECK;
int scan_functions_register(struct engine_conn *conn, struct err *err) MUST_CHECK;
int stub_functions_register(struct engine_conn *conn, struct err *err) MUST_CHECK;
int visit_function_register(struct engine_conn *conn, struct err *err) MUST_CHECK;
int variant_functions_register(struct engine_conn *conn, struct err *err) MUST_CHECK;

static inline bool valid_bit(const uint64_t *valid, uint64_t i)
{
    return !valid || (valid[i / 64] >> (i % 64) & 1);
}

#endif
