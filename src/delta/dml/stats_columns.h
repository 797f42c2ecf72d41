/* Which columns of a table get statistics: delta.dataSkippingStatsColumns, delta.dataSkippingNumIndexedCols. */
#ifndef SLUICE_DELTA_STATS_COLUMNS_H
#define SLUICE_DELTA_STATS_COLUMNS_H

#include "delta/log/snapshot.h"
#include "engine/parquet_write.h"

/* Sets stats_columns, stats_paths and no_stats as the table's properties say. Memory of the arena. */
void delta_stats_columns(const struct delta_head *head, struct arena *arena, struct parquet_spec *spec);

/* May the property have this value? Columns that are there, each once, that statistics are kept of. */
int delta_stats_columns_check(struct str list, const struct schema *schema, const struct str *partition_columns,
                              uint32_t n_partition_columns, struct err *err) MUST_CHECK;

/*
 * delta.dataSkippingStatsColumns after the column at `path` got another name, or was dropped (`name` empty): what it names there
 * and inside. Memory of the arena.
 */
struct str delta_stats_columns_renamed(struct str list, const struct str *path, uint32_t n, struct str name,
                                       struct arena *arena);

#endif
