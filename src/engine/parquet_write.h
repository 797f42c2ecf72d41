/*
 * Parquet files with Delta's statistics, written by DuckDB's COPY: from change batches or from a SELECT.
 *
 * Safe from several threads at once, each with its own connection. The file is not synced: store_adopt() does that.
 * On failure no file is left behind.
 *
 * Types (Delta → Parquet): boolean, byte INT32(8), short INT32(16), integer, long, float, double, decimal by precision
 * INT32/INT64/FIXED(16), string UTF8, binary, date, timestamp INT64 MICROS UTC, timestamp_ntz INT64 MICROS,
 * array: 3-level list, variant: unshredded (parquet_write_query() alone takes it).
 */
#ifndef SLUICE_ENGINE_PARQUET_WRITE_H
#define SLUICE_ENGINE_PARQUET_WRITE_H

#include "base/buf.h"
#include "codec/parquet_encode.h"
#include "engine/feed.h"

struct parquet_spec {
    const struct schema *schema; /* data columns only; physical names; field ids are written where they are not 0 */
    const char *compression;     /* NULL: "zstd". snappy, uncompressed, lz4_raw, gzip, brotli */
    int level;                   /* of zstd; 0: 3. 1 takes half the time for files 3 % larger */
    bool
        any_order; /* rows may come in another order: a row group a thread is held, not whole row groups of the source */
    uint32_t row_group_size; /* 0: 122,880 rows (the best measured) */
    uint32_t stats_columns;  /* leaf columns that get min/max/nullCount: 0 = 32 (Delta's default), UINT32_MAX = all */
    uint32_t stats_fields;   /* only the first so many fields of the schema may have statistics; 0: all */
    const struct str *stats_paths; /* these have statistics, and what is in them, instead of stats_columns: "a"."b" (SQL
                                      identifiers of physical names); NULL: by stats_columns */
    uint32_t n_stats_paths;
    bool no_stats; /* numRecords only */
    bool
        bare_variants; /* the SELECT has structs of metadata and value where the schema has variants: written as they are */
    bool tight_bounds; /* writes "tightBounds":true (tables with deletion vectors) */
};

/* What was written. `{0}` is valid; reset before each write. */
struct parquet_file {
    uint64_t rows;
    uint64_t bytes;
    struct buf stats; /* Delta's stats JSON (an object); owned */
};

void parquet_file_deinit(struct parquet_file *file);

/* An empty source writes a file with 0 rows. */
int parquet_write(struct engine_conn *conn, const char *path, const struct parquet_spec *spec,
                  struct feed_source source, struct parquet_file *ret, struct err *err) MUST_CHECK;
/*
 * The rows of a SELECT, whose columns are those of the schema in order (names do not matter). Scalars are cast to the
 * schema's types; a value that does not fit is ERR_USAGE.
 */
int parquet_write_query(struct engine_conn *conn, const char *select, const char *path, const struct parquet_spec *spec,
                        struct parquet_file *ret, struct err *err) MUST_CHECK;

/* Rows in memory as the bytes of a file, without DuckDB (codec/parquet_encode.h): for small ones. Of the spec, compression,
 * level and row_group_size are not heeded. `out` is empty, `ret` reset. */
int parquet_write_rows(const struct parquet_spec *spec, const struct parquet_rows *rows, size_t n_rows, struct buf *out,
                       struct parquet_file *ret, struct err *err) MUST_CHECK;

/* Counts the rows of a table expression, whose columns have the physical names, and makes the statistics that a file of
 * them would have: `rows` and `stats` of `ret`. Reads every row. */
int parquet_stats_query(struct engine_conn *conn, const char *from, const struct parquet_spec *spec,
                        struct parquet_file *ret, struct err *err) MUST_CHECK;

/* DuckDB's name of a type, as used in casts: "DECIMAL(10,2)", "STRUCT(\"a\" INTEGER)[]". Physical names. */
int parquet_type_sql(const struct type *type, struct buf *out, struct err *err) MUST_CHECK;

#endif
