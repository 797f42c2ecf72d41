/*
 * stub(id): a table that has columns and types but no rows, for planning a query before its tables are opened.
 *
 * DuckDB tells a table function nothing of the filters above it, but it moves them right above the scan and prints its
 * optimized plan. So the plan of a query over stubs says which rows of each table are needed, and no file was touched.
 */
#ifndef SLUICE_ENGINE_STUB_H
#define SLUICE_ENGINE_STUB_H

#include "engine/engine.h"
#include "model/type.h"

/* Borrowed until unregistered, and constant. Columns: the schema's by name (struct fields, too), then the others. */
struct stub {
    const struct schema *schema;
    uint64_t rows; /* for the planner */
    uint32_t n_more;
    const struct stub_column {
        const char *name;
        struct type type;
    } * more;
};

/* Thread-safe; ids are never used twice. */
int64_t stub_register(struct engine *engine, const struct stub *stub);
/* No statement that names the id may be running. */
void stub_unregister(struct engine *engine, int64_t id);

/* Appends DuckDB's optimized plan of a query as JSON: {"error":false,"plans":[{"type":"LOGICAL_…",…}]}, or
 * {"error":true,…} of what it cannot plan. Tables that it does not know are asked for on the caller's thread. */
struct buf;
int engine_plan(struct engine_conn *conn, struct str query, struct buf *ret_json, struct err *err) MUST_CHECK;

#endif
