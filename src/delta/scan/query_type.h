/* What a column of a query would be in a Delta table. */
#ifndef SLUICE_DELTA_QUERY_TYPE_H
#define SLUICE_DELTA_QUERY_TYPE_H

#include "engine/engine.h"
#include "model/type.h"

/* Memory of the arena. ERR_UNSUPPORTED names the column whose type Delta does not have. */
int delta_type_of_query(const struct engine_type *from, struct str name, struct arena *arena, struct type *ret,
                        struct err *err) MUST_CHECK;

#endif
