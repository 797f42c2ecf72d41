/*
 * The history of a table: an append-only Delta table <table>__history beside it, a row a change.
 *
 *   the table's columns   insert, update: the new row. delete: the old row's key, or all of it with REPLICA IDENTITY FULL
 *   __op                  "insert", "update", "delete" or "truncate"; an update that changes the key is a "delete" of the
 *                         old key and then the "update", at one place
 *   __commit_ts           when the transaction committed at the source
 *   __lsn, __ordinal      where: the transaction's commit LSN, and the place of the change in it
 *   __unchanged           columns whose large values were not sent because they did not change: they are NULL here
 *
 * It starts when the table starts to follow; the rows of the first copy are no changes. Exactly once, by its own
 * position: it is committed before the table itself, and passes over what it has when changes are read again.
 */
#ifndef SLUICE_SINK_LAKE_HISTORY_H
#define SLUICE_SINK_LAKE_HISTORY_H

#include "sink/lake_table.h"

struct lake_history {
    struct lake_table *table;
    struct relation *rel;  /* the source's, as last announced, with the columns above */
    struct schema *schema; /* of its rows */
    bool keyed;            /* rows of the source have a key */
    bool told;             /* the table has that schema */
};

/* Opens or makes the history of `rel`; a new one has all changes up to `position`. */
int lake_history_open(const struct lake_env *env, const struct relation *rel, uint64_t position,
                      struct lake_history **ret, struct err *err) MUST_CHECK;
void lake_history_free(struct lake_history *h); /* takes NULL */
/* The relation of the changes that follow. */
void lake_history_relation(struct lake_history *h, const struct relation *rel);
int lake_history_write(struct lake_history *h, const struct batch *changes, struct err *err) MUST_CHECK;
int lake_history_truncate(struct lake_history *h, struct position pos, int64_t commit_us, struct err *err) MUST_CHECK;
int lake_history_commit(struct lake_history *h, uint64_t lsn, struct err *err) MUST_CHECK;

#endif
