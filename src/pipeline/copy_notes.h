/*
 * What a copy has done so far, on disk: <state>/copy/<oid>.jsonl.
 *
 *   {"plan":"<fingerprint>","first_id":1,"chunks":[[leaf_oid,filenode,from,to,rows],…]}
 *   {"chunk":0,"lsn":"0/1A2B3C","xmin":741,"files":[["part-…parquet",1,81920,4711,"{…}","2:eu"]]}
 *   {"chunk":1,"lsn":"0/1A2B3C","xmin":741,"rejects":[["amount","NaN","…"]]}                   (no rows: no files)
 *
 * Of a file: path, number, rows, bytes, statistics, values of the partition columns. One line a chunk, synced before the chunk counts. A line cut short by a kill is dropped.
 */
#ifndef SLUICE_PIPELINE_COPY_NOTES_H
#define SLUICE_PIPELINE_COPY_NOTES_H

#include "pipeline/copy.h"
#include "source/pg_snapshot.h"

struct copy_done {
    uint64_t lsn; /* of the snapshot that the chunk was read in; 0 = not done */
    uint32_t xmin;
};

struct copy_plan {
    char *path; /* of the notes */
    int fd;
    atomic_uint next_id; /* of the files that are still to come */
    struct pg_chunk *chunks;
    struct copy_done *done;
    size_t n;
};

/* What tells a rejected value of a copy from the others: the same when its notes are read again. */
static inline uint64_t copy_reject_ordinal(uint64_t task, size_t i)
{
    return (task + 1) << 32 | (i + 1);
}
void copy_plan_free(struct copy_plan *p);
/* Reads notes: the plan, and the files and rejects of finished chunks into `t`. NULL when there are none, or they are of
 * another set of columns. */
int copy_notes_read(const char *state_dir, struct copy_table *t, struct copy_plan **ret, struct err *err) MUST_CHECK;
/* Begins notes with a new plan. Takes `chunks`. */
int copy_notes_begin(const char *state_dir, struct copy_table *t, uint32_t first_id, struct pg_chunk *chunks, size_t n,
                     struct copy_plan **ret, struct err *err) MUST_CHECK;
/* Writes down that the chunk is done. */
int copy_notes_add(struct copy_plan *p, size_t chunk, const struct copy_files *files, const struct copy_reject *rejects,
                   size_t n_rejects, struct err *err) MUST_CHECK;
char *copy_notes_path(const char *state_dir, uint32_t oid);

#endif
