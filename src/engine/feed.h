/*
 * Feeds: change batches as a table in SQL, without copying strings.
 *
 *     feed_open(engine, schema, source, 0, &feed, err);
 *     … "INSERT INTO t SELECT * FROM feed(" feed_id(feed) ")" …      by engine_exec(), once
 *
 * Columns come in the schema's order under their physical names. The rows of a batch that the selection names are
 * handed over in order. Missing values read as NULL. Strings are passed as views: a batch must live until the next call
 * of next() (DuckDB has consumed it by then, for statements that do not reorder: SELECT … , COPY, INSERT), or, when the
 * statement sorts, joins or aggregates by that string, until the statement ends.
 */
#ifndef SLUICE_ENGINE_FEED_H
#define SLUICE_ENGINE_FEED_H

#include "engine/engine.h"
#include "model/batch.h"

struct feed;

/* Where rows come from. next(): 0 and a batch with n rows by index (`*ret_sel` NULL: rows 0..n-1), or 1 at the end. */
struct feed_source {
    int (*next)(void *ctx, const struct batch **ret, const uint32_t **ret_sel, uint32_t *ret_n, struct err *err);
    void *ctx;
};

/*
 * Thread-safe. `schema` is referenced; every batch's leading columns must have its types. Fields may be booleans,
 * numbers, strings, dates, timestamps and arrays of those: else ERR_UNSUPPORTED naming the field.
 * `rows` (0: unknown) is a hint for the planner. next() is called on one thread at a time, not always the same.
 */
int feed_open(struct engine *engine, const struct schema *schema, struct feed_source source, uint64_t rows,
              struct feed **ret, struct err *err) MUST_CHECK;
void feed_free(struct feed *feed); /* takes NULL */
DEFINE_FREEP(feed)
int64_t feed_id(const struct feed *feed); /* for "feed(<id>)" */
/* NULLs handed over in column i (counts missing too). */
uint64_t feed_nulls(const struct feed *feed, uint32_t i);
/* Fills err and returns its code when next() failed, else 0: the statement's own error then only repeats it. */
int feed_error(const struct feed *feed, struct err *err) MUST_CHECK;

#endif
