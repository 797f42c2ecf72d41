/*
 * The first copy of tables: chunks read in parallel in one exported snapshot, each into a Parquet file of its own (one for
 * each partition in it).
 *
 * What is done is written down chunk by chunk in <state>/copy/<oid>.jsonl, so that a copy goes on after a kill. What was
 * copied before the kill was read in an older snapshot: rows of it that changed since are read once more
 * (source/pg_snapshot.h), and the stream between the two snapshots is applied on top before the table is shown
 * (LAKE_STAGED). Tables whose rows cannot be told apart (no key), or that were rewritten meanwhile, start again.
 *
 * A copy job runs in threads of its own; the apply thread takes its result.
 */
#ifndef SLUICE_PIPELINE_COPY_H
#define SLUICE_PIPELINE_COPY_H

#include "engine/engine.h"
#include "model/epoch.h"
#include "model/relation.h"

#include <pthread.h>
#include <stdatomic.h>

struct pg_filter;
struct lake_env;

struct copy_config {
    const char *url;
    const char *lake, *state_dir;
    struct engine *engine;
    unsigned sessions;
    uint32_t chunk_blocks;
    const struct pg_filter *filter; /* of columns; borrowed */
    const struct lake_env *env;     /* what the user chose for a table; borrowed */
    int stop_fd;
};

/* A file that the copy wrote. */
struct copy_file {
    char *path; /* from the table's root */
    uint32_t id;
    uint32_t rows;
    int64_t size;
    char *stats;
    char *parts;  /* values of the partition columns: a key of sink/lake_partition.h */
    bool changed; /* rows that were read once more: they replace rows of the same key in the others */
};

struct copy_files {
    struct copy_file *v; /* strings are owned */
    size_t n, cap;
};
void copy_files_deinit(struct copy_files *files);

struct copy_reject {
    struct reject r; /* strings owned by the table's arena */
};

/* The result for one table. */
struct copy_table {
    struct relation *rel;
    struct schema *schema;
    struct arena arena;
    uint64_t from, to; /* LSNs of the oldest and the newest snapshot that its files were read in */
    uint32_t *parts;   /* partition columns, as fields of schema */
    uint32_t n_parts;
    struct copy_files files;
    struct copy_reject *rejects;
    size_t n_rejects, cap_rejects;
    struct err failed; /* its code is set: the table cannot be in the lake as it is, and the rest does not count … */
    bool moved;        /* … for it became another while it was copied: to be copied anew, in a new snapshot */
    /* while the job runs */
    struct copy_plan *plan;
};

struct copy_job;

/*
 * Starts copying the tables (references are taken). `snapshot` was exported at `lsn` by `owner`, which the job keeps open
 * until its sessions have it, and then closes. Takes `owner`.
 */
struct pg_conn;
int copy_start(const struct copy_config *config, struct relation *const *tables, size_t n, uint64_t lsn,
               const char *snapshot, struct pg_conn *owner, struct copy_job **ret, struct err *err) MUST_CHECK;
/* 0 running, 1 done (take the tables), or the error that ended it. */
int copy_poll(struct copy_job *job, struct err *err) MUST_CHECK;
size_t copy_tables(struct copy_job *job, struct copy_table **ret); /* borrowed; once done */
uint64_t copy_from_lsn(const struct copy_job *job);                /* the oldest snapshot that a table was read in */
void copy_progress(struct copy_job *job, uint64_t *ret_rows, uint64_t *ret_bytes, uint32_t *ret_done,
                   uint32_t *ret_chunks);
/* Stops the threads and frees; what is written down stays. */
void copy_free(struct copy_job *job);
static inline void copy_freep(struct copy_job **job)
{
    copy_free(*job);
    *job = NULL;
}
/* Does the error say that a table was dropped, truncated or altered between catalog, snapshot and copy, or that somebody held a
 * lock for too long? Then looking again mends it. */
bool copy_table_moved(int rc, const struct err *err);
/* The table is in the lake: its notes are not needed any more. */
int copy_forget(const char *state_dir, uint32_t oid, struct err *err) MUST_CHECK;

#endif
