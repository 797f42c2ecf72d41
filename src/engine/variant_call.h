/* What the functions over variants share. Private to engine/. */
#ifndef SLUICE_ENGINE_VARIANT_CALL_H
#define SLUICE_ENGINE_VARIANT_CALL_H

#include "engine/internal.h"
#include "engine/variant_decode.h"
#include "engine/variant_functions.h"

/* One call over a vector of variants. */
struct variant_call {
    struct arena arena;
    struct engine_vector in;
    struct variant_writer w;
    struct buf text;
};

void variant_call_deinit(struct variant_call *c);
void variant_call_begin(struct variant_call *c, duckdb_vector in);

/* One value, which is not NULL. */
typedef int variant_call_fn(struct variant_call *c, idx_t row, duckdb_vector out, struct err *err);
void variant_call_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out, variant_call_fn *fn);
void variant_set_null(duckdb_vector out, idx_t i);

/* `more`: a second parameter, or NULL. */
int variant_function_add(struct engine_conn *conn, const char *name, duckdb_logical_type from, duckdb_logical_type more,
                         duckdb_logical_type to, duckdb_scalar_function_t fn, struct err *err) MUST_CHECK;

/* The functions of other files; `variant` is DuckDB's type. */
int variant_casts_register(struct engine_conn *conn, duckdb_logical_type variant, struct err *err) MUST_CHECK;
int variant_schema_register(struct engine_conn *conn, duckdb_logical_type variant, struct err *err) MUST_CHECK;
int variant_entries_register(struct engine_conn *conn, duckdb_logical_type variant, struct err *err) MUST_CHECK;

#endif
