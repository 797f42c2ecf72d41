/*
 * Checkpoints: the state of the log at a version in one Parquet file, and the cleaning of what a checkpoint made idle.
 */
#ifndef SLUICE_DELTA_CHECKPOINT_H
#define SLUICE_DELTA_CHECKPOINT_H

#include "delta/log/table.h"

/* Writes a checkpoint of the table's newest version, classic or as delta.checkpointPolicy says, and _last_checkpoint. Needs the
 * table's engine. */
int delta_checkpoint_write(struct delta_table *t, struct err *err) MUST_CHECK;
/* Writes one when the interval (of the table struct, or delta.checkpointInterval) has passed, and cleans the log when that
 * is due. To be called after commits; without an engine it does nothing. */
int delta_checkpoint_if_due(struct delta_table *t, bool *ret_written, struct err *err) MUST_CHECK;
/*
 * The same in steps, so that commits go on meanwhile: the thread that commits asks whether one is due and begins it (which
 * costs little), any thread finishes it, then it is freed. One at a time a table, and is_due() only while there is none.
 */
struct delta_checkpoint;
bool delta_checkpoint_is_due(struct delta_table *t);
struct delta_checkpoint *delta_checkpoint_begin(struct delta_table *t); /* the table must outlive it */
int delta_checkpoint_finish(struct delta_checkpoint *c, struct err *err) MUST_CHECK;
void delta_checkpoint_free(struct delta_checkpoint *c); /* takes NULL */
DEFINE_FREEP(delta_checkpoint)
/* Deletes log files older than the retention that no kept version needs. The newest checkpoint that is old enough, and
 * its commit, stay. Counts the files deleted. */
int delta_log_clean(struct delta_table *t, uint64_t *ret_deleted, struct err *err) MUST_CHECK;
/* The same at most once an hour, or once in the table's own log_retention_ms. */
int delta_log_clean_if_due(struct delta_table *t, uint64_t *ret_deleted, struct err *err) MUST_CHECK;

#endif
