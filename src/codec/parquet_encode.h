/*
 * Rows of change batches as a Parquet file, for the few rows of an epoch: DuckDB's COPY plans, compiles and allocates for
 * milliseconds before the first of them.
 *
 * One row group; a column is one PLAIN data page (version 1), compressed by zstd where that gains something; min, max and
 * NULLs in the footer. Every column is optional. The files of larger flushes are DuckDB's (engine/parquet_write.h), which
 * has dictionaries and many row groups; types, names and field ids are the same in both.
 */
#ifndef SLUICE_CODEC_PARQUET_ENCODE_H
#define SLUICE_CODEC_PARQUET_ENCODE_H

#include "model/batch.h"

/* Rows of one batch: by index, or (sel NULL) the first n. Borrowed. */
struct parquet_rows {
    const struct batch *batch;
    const uint32_t *sel;
    uint32_t n;
};

/* What a top-level column holds. Texts as DuckDB's statistics have them (large floats with another
 * exponent, single precision with all its digits); p NULL: no bound (or an array). */
struct parquet_column_stats {
    uint64_t nulls;
    bool has_nan;
    struct str min, max;
};

/*
 * Puts the file into `out`, which is empty; at least one row. `stats` gets schema->n_fields elements, with texts from `arena`. `schema`: the types are
 * those of the batches' leading columns, names and ids may be others; scalars and arrays of them, else ERR_UNSUPPORTED
 * naming the field. A column of more than 1 GB: ERR_LIMIT. Missing values are written as NULL.
 */
int parquet_encode(const struct schema *schema, const struct parquet_rows *rows, size_t n_rows, struct buf *out,
                   struct parquet_column_stats *stats, struct arena *arena, struct err *err) MUST_CHECK;

#endif
