/*
 * The history of a table: an append-only Delta table, a row a change. <table>__history beside the table, or the table itself
 * instead of the current state (LAKE_CHANGES_ONLY).
 *
 *   the table's columns   insert, update: the new row. delete: the old row's key, or all of it with REPLICA IDENTITY FULL
 *   __op                  "insert", "update", "delete" or "truncate" ("read": see below); an update that changes the key is a "delete" of the
 *                         old key and then the "update", at one place; without a key, so is every update, for nothing else tells which row it was
 *   __commit_ts           when the transaction committed at the source
 *   __lsn, __ordinal      where: the transaction's commit LSN, and the place of the change in it
 *   __unchanged           columns whose large values were not sent because they did not change: they are NULL here
 *
 * One beside a table starts when the table starts to follow; the rows of the first copy are no changes. One instead of it
 * begins with these as "read", at the copy's position, without a commit time. Exactly once, by its own position: it is
 * committed before the table itself, and passes over what it has when changes are read again.
 */
#ifndef SLUICE_SINK_LAKE_HISTORY_H
#define SLUICE_SINK_LAKE_HISTORY_H

#include "sink/lake_table.h"

struct lake_history {
    struct lake_table *table;
    struct relation *rel;  /* the source's, as last announced, with the columns above */
    struct schema *schema; /* of its rows */
    bool told;             /* the table has that schema */
    bool beside;           /* a table of its own, which goes with this */
};

/* The relation with the columns above, as the table of this name has it. */
struct relation *lake_history_relation_of(const struct relation *rel, bool beside);
/* Takes the columns above out of a relation again. */
void lake_history_strip(struct relation *rel);
/* Fills the columns above in a row of such a table, whose source has n columns. `commit_us` 0: not known. */
void lake_history_fill(struct batch *b, uint32_t n, uint32_t row, const char *op, struct position pos,
                       int64_t commit_us);

/* Opens or makes the history of `rel`; a new one has all changes up to `position`. */
int lake_history_open(const struct lake_env *env, const struct relation *rel, uint64_t position,
                      struct lake_history **ret, struct err *err) MUST_CHECK;
/* The history that the table itself is (borrowed). */
struct lake_history *lake_history_of(struct lake_table *t, const struct relation *rel);
/* How many of its columns are the source's: the first ones. */
uint32_t lake_history_n_columns(const struct lake_history *h);
void lake_history_free(struct lake_history *h); /* takes NULL */
/* The relation of the changes that follow. */
void lake_history_relation(struct lake_history *h, const struct relation *rel);
int lake_history_write(struct lake_history *h, const struct batch *changes, struct err *err) MUST_CHECK;
int lake_history_truncate(struct lake_history *h, struct position pos, int64_t commit_us, struct err *err) MUST_CHECK;
/* Rows of the table went at a position without a change of their own (lake_gone.h): the rows of `select`, whose columns are those of the
 * source in order, become rows of the history, and it is committed. Once, by the position. Nothing waits to be committed. */
int lake_history_gone(struct lake_history *h, const char *select, uint64_t lsn, struct err *err) MUST_CHECK;
int lake_history_commit(struct lake_history *h, uint64_t lsn, struct err *err) MUST_CHECK;

#endif
