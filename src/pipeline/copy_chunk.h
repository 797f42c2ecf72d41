/* One chunk of a table: COPY bytes in, Parquet files out. */
#ifndef SLUICE_PIPELINE_COPY_CHUNK_H
#define SLUICE_PIPELINE_COPY_CHUNK_H

#include "pipeline/copy.h"
#include "source/pg_snapshot.h"

#include <stdatomic.h>

struct copy_chunk_task {
    const struct copy_config *config;
    struct pg_session *session;
    struct engine_conn *conn;
    struct copy_table *table;
    const struct pg_chunk *chunk;
    atomic_uint *next_id; /* of files */
    uint64_t lsn;
    atomic_uint_least64_t *rows, *bytes; /* progress, added to */
};

/* Writes the files (none when the chunk has no rows; one for each partition in it, but rows that are read once more are in
 * one) and collects values that do not fit (strings are on the heap: copy_rejects_free). */
int copy_chunk(const struct copy_chunk_task *task, struct copy_files *ret, struct copy_reject **ret_rejects,
               size_t *ret_n_rejects, struct err *err) MUST_CHECK;
void copy_rejects_free(struct copy_reject *rejects, size_t n);

/* copy_files.c: gives the file its number and name, and adds it to the list. Takes the file and its statistics. */
struct parquet_file;
struct parquet_spec;
struct store;
int copy_add_file(const struct copy_chunk_task *task, struct store *store, const char *path, struct parquet_file *info,
                  struct str parts, struct copy_files *ret, struct err *err) MUST_CHECK;
/* Deletes them, and empties the list. */
void copy_files_unlink(const struct copy_chunk_task *task, struct copy_files *files);

/* copy_split.c: the Parquet file at `path` (a temporary one, taken) of all rows of the chunk becomes one file for each
 * partition; `whole`: what is known of it. */
int copy_split(const struct copy_chunk_task *task, struct store *store, const char *path,
               const struct parquet_spec *spec, struct parquet_file *whole, struct copy_files *ret,
               struct err *err) MUST_CHECK;
#endif
