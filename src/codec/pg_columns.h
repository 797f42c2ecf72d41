/*
 * Which column is which: a Relation message names columns and types, but not their attnums, which alone tell a renamed
 * column from a dropped and an added one.
 *
 * Known are the columns as they were before the message, and as the catalog has them now, which is after it. The message's
 * stand in order of attnum. So it is an alignment of two sequences, the message's columns and the attnums that there may
 * have been, under these rules:
 *
 *   before and now       the column was there in between as well (an older message than "before": only the last may lack)
 *   before, not now      dropped, before the message or after it
 *   now, not before      added; columns are added in order, so when one is there, all added before it are
 *   neither              added and dropped again without our seeing it
 *
 * Of all that fit, the one of least cost is taken: names that agree count most, then types. Where another place would do
 * nearly as well for a column, and something is known of one of the two places, the rows that come with the message cannot be
 * trusted: they may have the value in the wrong column.
 */
#ifndef SLUICE_CODEC_PG_COLUMNS_H
#define SLUICE_CODEC_PG_COLUMNS_H

#include "codec/pgoutput.h"
#include "model/relation.h"

/* Gives the attnums of the message's columns (those that are replicated; at most PGOUTPUT_MAX_COLUMNS), ascending. `prev`,
 * `live`: as in pg_schema_reconcile. Returns that of a column which may be another in this way; else 0. */
int16_t pg_columns_align(const struct relation *prev, const struct relation *live, const struct pgoutput_column *cols,
                         uint32_t n, int16_t *ret_attnums);

#endif
