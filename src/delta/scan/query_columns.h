/* The columns of a query as a table would have them. */
#ifndef SLUICE_DELTA_QUERY_COLUMNS_H
#define SLUICE_DELTA_QUERY_COLUMNS_H

#include "engine/engine.h"
#include "model/type.h"

/* All nullable, in the query's order; memory of the arena. Unsigned integers become the next wider type; TIME, INTERVAL, UUID
 * and enums text. ERR_UNSUPPORTED names a column whose type Delta does not have. */
int delta_query_columns(struct engine_conn *conn, const char *select, struct arena *arena, struct field **ret,
                        uint32_t *ret_n, struct err *err) MUST_CHECK;

#endif
