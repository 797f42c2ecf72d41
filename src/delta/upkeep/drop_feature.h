/* ALTER TABLE … DROP FEATURE: a table that older readers and writers know again. */
#ifndef SLUICE_DELTA_DROP_FEATURE_H
#define SLUICE_DELTA_DROP_FEATURE_H

#include "delta/log/table.h"
#include "engine/engine.h"

/*
 * Takes what the feature left in the table out of it (properties, deletion vectors, files of narrower types), then the
 * feature out of the protocol, whose version numbers go down as far as they can.
 *
 * Older versions in the log may need a reader feature still. They stay, behind a checkpoint and the feature
 * checkpointProtection, which keeps clean-up from cutting among them; with `truncate` they must be gone, or go now: those
 * older than delta.dropFeatureTruncateHistory.retentionDuration (24 hours) are deleted, and ERR_REFUSED says when others
 * are left.
 *
 * ERR_USAGE: the table does not have it, or uses it (constraints, defaults, columns of the type); ERR_UNSUPPORTED: it
 * cannot be dropped.
 */
int delta_drop_feature(struct delta_table *t, struct engine_conn *conn, struct str feature, bool truncate,
                       struct err *err) MUST_CHECK;

#endif
