/* Column mapping taken out of a table. */
#ifndef SLUICE_DELTA_UNMAP_H
#define SLUICE_DELTA_UNMAP_H

#include "delta/log/table.h"
#include "engine/engine.h"

/* One commit, "REMOVE COLUMN MAPPING". ERR_USAGE names columns whose names the mapping alone makes possible; ERR_CONFLICT:
 * another writer changed the table meanwhile. The feature stays in the protocol. */
int delta_remove_mapping(struct delta_table *t, struct engine_conn *conn, struct err *err) MUST_CHECK;

#endif
