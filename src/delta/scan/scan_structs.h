/* Structs of which a file has no field that is left. */
#ifndef SLUICE_DELTA_SCAN_STRUCTS_H
#define SLUICE_DELTA_SCAN_STRUCTS_H

#include "engine/engine.h"
#include "model/type.h"

/*
 * The type to read a column of files with. DuckDB makes no struct of one that shares no field with it: where all the fields that
 * a file has were dropped since, one of these is asked for as well, as the struct's last. `paths`: a literal a file. Memory of
 * the arena.
 */
struct type scan_struct_type(struct engine_conn *conn, const struct field *f, const struct str *paths, uint32_t n,
                             struct arena *arena);
/* Do ids of columns tell that a struct in the column may have only fields that are younger than it? */
bool scan_struct_may_lack(const struct field *f);

#endif
