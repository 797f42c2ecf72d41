/* Inside the delta layer: statistics and partition values of a checkpoint as structs, beside or instead of text. */
#ifndef SLUICE_DELTA_CHECKPOINT_PARSED_H
#define SLUICE_DELTA_CHECKPOINT_PARSED_H

#include "delta/log/snapshot.h"

/* delta.checkpoint.writeStatsAsJson (true where it is not set), delta.checkpoint.writeStatsAsStruct (false). */
bool delta_checkpoint_has_json(const struct delta_head *head);
bool delta_checkpoint_has_structs(const struct delta_head *head);
/*
 * Appends ', "partitionValues_parsed" := …, "stats_parsed" := …' for struct_pack(): out of `stats` and `parts`, SQL
 * expressions of the JSON text and of MAP(VARCHAR, VARCHAR). Keys are physical names.
 */
int delta_checkpoint_structs(const struct delta_head *head, const char *stats, const char *parts, struct buf *sql,
                             struct err *err) MUST_CHECK;

#endif
