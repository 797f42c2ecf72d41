/*
 * The change data feed of a table: what each commit of a range did to the rows.
 *
 *     columns of the newest version (of the last in the range where they are mapped), _change_type, _commit_version, _commit_timestamp
 *
 * _change_type is insert, delete, update_preimage or update_postimage. Of a commit with change files those are read; of any
 * other, files added are inserts, files removed are deletes, and rows that a new deletion vector masks (or shows again)
 * are deletes (inserts). Commits that only move data have no changes (Delta protocol, "Change Data Files").
 */
#ifndef SLUICE_DELTA_CHANGES_H
#define SLUICE_DELTA_CHANGES_H

#include "delta/log/snapshot.h"
#include "engine/engine.h"
#include "store/store.h"

struct delta_changes;

/* A bound of the range, both inclusive. */
struct delta_bound {
    enum { DELTA_BOUND_NONE, DELTA_BOUND_VERSION, DELTA_BOUND_TIME } kind; /* NONE as the end: the newest version */
    int64_t value;                                                         /* version; milliseconds since 1970 */
};

/*
 * Reads the commits and deletion vectors of the range. ERR_USAGE: a range without versions, or one in which the feed was
 * not on (delta.enableChangeDataFeed) all the time; ERR_NOT_FOUND: commits that the log does not have any more.
 */
int delta_changes_new(struct engine *engine, struct store *store, struct delta_bound from, struct delta_bound to,
                      struct delta_changes **ret, struct err *err) MUST_CHECK;
void delta_changes_free(struct delta_changes *c); /* takes NULL */
DEFINE_FREEP(delta_changes)
/* A SELECT; must not outlive `c`. In no particular order. */
const char *delta_changes_sql(const struct delta_changes *c);

#endif
