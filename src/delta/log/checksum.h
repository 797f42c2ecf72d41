/* Version checksums: what a table is at a version, in one small file beside its commit (Delta protocol, "Version Checksum File"). */
#ifndef SLUICE_DELTA_CHECKSUM_H
#define SLUICE_DELTA_CHECKSUM_H

#include "delta/log/table.h"

/*
 * Writes <version>.crc for a snapshot: protocol, metadata, counts, transaction ids and domains. To be called after the commit
 * of that version; one that is there already stays. A reader must do without it, so that a failure is only logged.
 */
void delta_checksum_write(struct store *store, const struct delta_snapshot *s, struct str txn_id);

#endif
