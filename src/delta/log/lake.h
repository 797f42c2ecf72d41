/*
 * A lake: a folder of tables, LAKE/<schema>/<table>, or one table by itself. A table is what holds a `_delta_log`.
 * Names that begin with '_' or '.' are names as any; only sluice's own folder, _sluice, is not looked into.
 */
#ifndef SLUICE_DELTA_LAKE_H
#define SLUICE_DELTA_LAKE_H

#include "base/arena.h"
#include "base/err.h"

struct lake_table {
    struct str schema; /* "public" for a table that lies in the lake itself, or is it */
    struct str name;
    char *path;
};

struct lake {
    struct arena arena;
    const char *root;
    struct lake_table *tables; /* by schema, then name */
    size_t n, cap;
};

void lake_deinit(struct lake *lake);
/* Lists the tables of a local folder. `ret` must be {0}. ERR_NOT_FOUND: there is no such folder. No table is no error. */
int lake_list(const char *root, struct lake *ret, struct err *err) MUST_CHECK;
/*
 * The table by name; `schema` empty: the only one of that name, or the one in "public". Exact case first, then any
 * case. NULL: none, and *ret_several says whether that is because there are several.
 */
const struct lake_table *lake_find(const struct lake *lake, struct str schema, struct str name, bool *ret_several);

#endif
