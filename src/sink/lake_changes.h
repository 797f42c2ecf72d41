/* Change files of a commit (lake_changes.c), for tables with delta.enableChangeDataFeed. For the files of this folder. */
#ifndef SLUICE_SINK_LAKE_CHANGES_H
#define SLUICE_SINK_LAKE_CHANGES_H

#include "sink/lake_table.h"

/*
 * Writes what the open epoch changes into change files, where such are due, and names them in the transaction, whose
 * schema is set. After the flush, and before masked rows are written out of their files. ERR_UNSUPPORTED: a column
 * has a name that the feed needs.
 */
int lake_changes_write(struct lake_table *t, struct delta_tx *tx, struct err *err) MUST_CHECK;

#endif
