/* DuckDB's file statistics (COPY … RETURN_STATS) → Delta's. For the files of this folder. */
#ifndef SLUICE_ENGINE_PARQUET_STATS_H
#define SLUICE_ENGINE_PARQUET_STATS_H

#include "codec/parquet_encode.h"
#include "engine/parquet_write.h"

/*
 * `columns` is the MAP(VARCHAR, MAP(VARCHAR, VARCHAR)) of row 0, keyed by quoted path ("st"."a"). How often arrays and maps are
 * NULL, which COPY does not count, is in `nulls` (of each top-level column) or in `lists` (more of `columns`); both may be
 * NULL. Adds a JSON object to `out`.
 */
void parquet_stats_json(const struct parquet_spec *spec, uint64_t rows, const struct engine_vector *columns,
                        const struct engine_vector *lists, const uint64_t *nulls, struct buf *out);

/* Reads the arrays and maps of a file for `lists`, borrowed from the result; NULL: there are none. */
int parquet_list_nulls(struct engine_conn *conn, const char *path, const struct parquet_spec *spec,
                       struct engine_result **ret, const struct engine_vector **ret_columns,
                       struct err *err) MUST_CHECK;

/* The same from what our own encoder saw of each top-level column. `arena` is scratch. */
void parquet_stats_json_of(const struct parquet_spec *spec, uint64_t rows, const struct parquet_column_stats *columns,
                           struct arena *arena, struct buf *out);

/* One bound of a column as JSON, out of DuckDB's text for it; false: it gives no bound. */
bool parquet_stats_bound(const struct type *type, struct str text, bool is_max, struct buf *out);

#endif
