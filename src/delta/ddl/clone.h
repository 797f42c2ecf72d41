/* Shallow clones: a table of its own whose files are, until they are rewritten, those of another. */
#ifndef SLUICE_DELTA_CLONE_H
#define SLUICE_DELTA_CLONE_H

#include "delta/log/table.h"

struct delta_clone {
    struct delta_snapshot *source; /* at the version that is cloned */
    struct store *source_store;
    struct delta_table *replaced;      /* CREATE OR REPLACE: the table that is there; NULL: none is */
    const struct delta_kv *properties; /* in place of the source's */
    uint32_t n_properties;
};

struct delta_cloned {
    uint64_t files, removed_files;
    int64_t bytes, removed_bytes;
};

/*
 * Makes the clone in `store`, in one commit. Files and deletion vectors are named by absolute paths; data are not copied, so that
 * a VACUUM of the source may take files that the clone still needs. Clustering and row ids come along, transaction ids and
 * other domains do not. ERR_EXISTS: there is a table, and it is not to be replaced.
 */
int delta_clone(const struct delta_clone *c, struct store *store, struct engine *engine, struct delta_cloned *ret,
                struct err *err) MUST_CHECK;

#endif
