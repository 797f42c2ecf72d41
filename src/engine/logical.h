/* Delta's types as DuckDB's. For the files of this folder. */
#ifndef SLUICE_ENGINE_LOGICAL_H
#define SLUICE_ENGINE_LOGICAL_H

#include "model/type.h"

#include <duckdb.h>

/* To be destroyed by the caller. Struct fields by their logical names. Not TYPE_OTHER. */
duckdb_logical_type logical_type_of(const struct type *type);

#endif
