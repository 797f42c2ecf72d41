/* One chunk of a table: COPY bytes in, a Parquet file out. */
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
    uint32_t file_id;
    uint64_t lsn;
    atomic_uint_least64_t *rows, *bytes; /* progress, added to */
};

/* Writes the file (ret->path NULL when the chunk has no rows) and collects values that do not fit (strings are on the
 * heap: copy_rejects_free). */
int copy_chunk(const struct copy_chunk_task *task, struct copy_file *ret, struct copy_reject **ret_rejects,
               size_t *ret_n_rejects, struct err *err) MUST_CHECK;
void copy_rejects_free(struct copy_reject *rejects, size_t n);

#endif
