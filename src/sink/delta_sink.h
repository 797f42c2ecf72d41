/*
 * The lake as a sink: the tables that follow, by relation, and one commit a table an epoch.
 *
 * Each table keeps its own position, so a crash between two of them only makes the late one see its changes again. A table
 * that cannot go on is quarantined: its rows are dropped, the others go on. Values that do not fit go to the table
 * sluice.dead_letters, which is committed before the tables that they belong to.
 *
 * Belongs to the apply thread.
 */
#ifndef SLUICE_SINK_DELTA_SINK_H
#define SLUICE_SINK_DELTA_SINK_H

#include "model/epoch.h"
#include "sink/lake_gone.h"

struct delta_sink;

/* `env` is copied; what it points to is borrowed. buffer_bytes: rows held in memory, of all tables (0: 64 MB). */
struct delta_sink *delta_sink_new(const struct lake_env *env, size_t buffer_bytes);
void delta_sink_free(struct delta_sink *s); /* takes NULL; what is not committed is forgotten */
DEFINE_FREEP(delta_sink)
struct sink delta_sink_ops(struct delta_sink *s);
/* A table that shall follow the relation. Takes the table. */
void delta_sink_add(struct delta_sink *s, uint32_t relation, struct lake_table *t);
/* Takes the table out and gives it to the caller; NULL when there is none. Its rows are not wanted from then on. */
struct lake_table *delta_sink_remove(struct delta_sink *s, uint32_t relation);
struct lake_table *delta_sink_find(const struct delta_sink *s, uint32_t relation); /* or NULL */
/* Iterates: cursor from 0; 1 at the end. */
int delta_sink_next(const struct delta_sink *s, size_t *cursor, uint32_t *ret_relation, struct lake_table **ret);
/* A value of the initial copy that did not fit. */
int delta_sink_dead_letter(struct delta_sink *s, const char *table, const struct reject *r, struct err *err) MUST_CHECK;
/* Commits the epoch that ends with the transaction at `lsn`. */
int delta_sink_commit(struct delta_sink *s, uint64_t lsn, struct err *err) MUST_CHECK;
/* Commits one table that is not in the sink yet, and its dead letters. */
int delta_sink_commit_table(struct delta_sink *s, struct lake_table *t, uint64_t lsn, struct err *err) MUST_CHECK;
bool delta_sink_is_dirty(const struct delta_sink *s);   /* rows or changes since the last commit */
size_t delta_sink_buffered(const struct delta_sink *s); /* bytes of rows in memory */

/*
 * Takes rows of partitions out of the table, just before the transactions that commit at or after `gone->lsn`: all others are committed,
 * and nothing else is open. `*ret_sure` false: nothing was done, for it is not sure which rows are meant; the table is to be
 * copied anew. The relation is to be announced anew (pg_epoch_forget_sink).
 */
int delta_sink_drop_leaves(struct delta_sink *s, uint32_t relation, const struct lake_gone *gone, bool *ret_sure,
                           uint64_t *ret_rows, struct err *err) MUST_CHECK;

/* With a worker (lake_worker.h): takes what it has done since, where nothing is left to commit; finish() waits for it first. */
int delta_sink_mind(struct delta_sink *s, struct err *err) MUST_CHECK;
int delta_sink_finish(struct delta_sink *s, struct err *err) MUST_CHECK;
/* Writes the key indexes out, so that they are believed after a restart of the machine. One that cannot be is built anew then. */
void delta_sink_sync_indexes(struct delta_sink *s);

#endif
