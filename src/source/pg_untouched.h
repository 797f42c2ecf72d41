/*
 * Rows that nobody has written since columns of their table were last altered, to see what ALTER TABLE made of them.
 */
#ifndef SLUICE_SOURCE_PG_UNTOUCHED_H
#define SLUICE_SOURCE_PG_UNTOUCHED_H

#include "model/batch.h"
#include "model/relation.h"
#include "source/pg_conn.h"

/*
 * Reads some of them, at most 5,000 rows and about 16 MB, all columns of `rel` (as the catalog has it now); of a large table from
 * blocks all over it. `schema` has a field for each column. `*ret` is a new batch, which may be empty; NULL when the source
 * would not say soon (the table is locked), so that nobody waits for it.
 */
MUST_CHECK int pg_untouched_rows(struct pg_conn *conn, const struct relation *rel, const struct schema *schema,
                                 struct batch **ret, struct err *err);

#endif
