/*
 * Which files of its tables a query needs: planned over stubs (engine/stub.h), the conditions right above each stub become
 * a prune tree. So conditions count wherever they stand: in a view, a common table expression, a subquery, or moved
 * through a join by DuckDB's optimizer.
 *
 *     stub = delta_stub_new(engine, snapshot, NULL, NULL, 0);
 *     engine_plan(conn, "SELECT … FROM (" delta_stub_sql(stub) ") …", &json, err);
 *     delta_plan_read(json, &stub, 1);
 *     files = delta_stub_files(stub, snapshot, &arena, &n);
 *
 * The answer holds as long as the statement is the same: conditions that ask the clock must be planned and run in one
 * transaction of DuckDB's, in which it stands still (delta_asks_clock()).
 */
#ifndef SLUICE_DELTA_PLAN_H
#define SLUICE_DELTA_PLAN_H

#include "delta/scan/prune.h"
#include "engine/engine.h"
#include "engine/stub.h"

struct delta_stub {
    struct engine *engine;
    struct delta_snapshot *snapshot; /* referenced */
    const struct delta_head *head;   /* referenced: the snapshot's or the caller's */
    struct stub registered;
    int64_t id;
    char sql[48];
    struct arena arena; /* of the tree */
    /* what delta_plan_read() found */
    bool planned;      /* without it, all files are needed */
    bool counted;      /* nothing but the number of rows matters */
    bool variants;     /* a column with variants is read */
    struct prune *any; /* may be true for a row that matters; NULL: every row matters */
};

/* `more`: columns after those of the schema; borrowed. `head`: NULL for the snapshot's own. */
struct delta_stub *delta_stub_new(struct engine *engine, struct delta_snapshot *snapshot, const struct delta_head *head,
                                  const struct stub_column *more, uint32_t n_more);
void delta_stub_free(struct delta_stub *stub); /* takes NULL */
DEFINE_FREEP(delta_stub)
const char *delta_stub_sql(const struct delta_stub *stub);

/* Tells the stubs what a plan (engine_plan()) needs of them. One that cannot be read leaves them as they are. */
void delta_plan_read(struct str json, struct delta_stub *const *stubs, uint32_t n);

/* A condition of an inner join: a value of the stub's table is equal to one of a column of another table. */
struct delta_plan_key {
    struct prune *value;
    struct str column; /* of the other table, which must be one of DuckDB's */
    char type[32];     /* both are compared as this SQL type: cast the column to it */
    struct type as;    /* the same, for prune_value_read() */
    bool nulls;        /* NULL is equal to NULL */
};
/* The conditions by which a plan joins the stub with the table of this name, at most `max`; in the stub's arena. */
uint32_t delta_plan_keys(struct str json, struct delta_stub *stub, const char *table, struct delta_plan_key *ret,
                         uint32_t max);

/* The files of the snapshot that the plan needs, in `arena`, or NULL for all of them: it was not planned, needs them all,
 * or the table has another schema by now. */
const struct delta_file **delta_stub_files(const struct delta_stub *stub, const struct delta_snapshot *snapshot,
                                           struct arena *arena, uint32_t *ret_n);

/* Does the text name a function that asks the clock or the transaction? Said too often rather than too seldom. */
bool delta_asks_clock(struct str sql);

#endif
