/* Merging files of a table, in three steps (lake_merge.c). For the files of this folder. */
#ifndef SLUICE_SINK_LAKE_MERGE_H
#define SLUICE_SINK_LAKE_MERGE_H

#include "sink/lake_table.h"
#include "sink/lake_worker.h"

struct lake_merge;

/* `constants`: by field of t->lake an SQL expression in place of the column, or NULL; NULL: none. */
int lake_merge_prepare(struct lake_table *t, const uint32_t *ids, size_t n, char *const *constants,
                       struct lake_merge **ret, struct err *err) MUST_CHECK;
struct lake_job *lake_merge_job(struct lake_merge *m); /* to be run by any thread */
/* After the job, when it succeeded: the new file is pending and the old ones are doomed; or the table has changed too much,
 * `*ret_taken` is false and the new file is gone. */
int lake_merge_take(struct lake_table *t, struct lake_merge *m, bool changes_data, bool *ret_taken,
                    struct err *err) MUST_CHECK;
void lake_merge_discard(struct lake_merge *m); /* removes the new file */
void lake_merge_free(struct lake_merge *m);    /* not while the job runs; takes NULL */
DEFINE_FREEP(lake_merge)

/* Reading the keys of a file: the statement gives the number of the row and then the key's columns. */
struct lake_keys {
    struct schema *schema;
    int *cols; /* of schema */
    size_t n;
    uint64_t fingerprint;
    struct buf sql;
};
void lake_keys_deinit(struct lake_keys *k);
int lake_keys_of(struct lake_table *t, struct lake_file *f, struct lake_keys *ret, struct err *err) MUST_CHECK;
/* Hashes of a chunk's rows. Any thread. */
void lake_keys_hash(const struct lake_keys *k, const struct engine_chunk *c, struct hash128 *ret);

#endif
