/*
 * Rows of partitions that the source has no more: they leave the table at one position, in a commit of their own (a DELETE), and
 * its history learns of each.
 *
 * Files that hold nothing else are removed, others are masked or written anew, as by any DELETE; statistics tell which files
 * matter at all.
 */
#ifndef SLUICE_SINK_LAKE_GONE_H
#define SLUICE_SINK_LAKE_GONE_H

#include "codec/pg_bounds.h"
#include "sink/lake_table.h"

/* What a history is told: the letters stand in the state. */
enum lake_gone_as {
    LAKE_GONE_KEY = 'k',   /* a delete, with the key */
    LAKE_GONE_ROW = 'w',   /* a delete, with the whole row (REPLICA IDENTITY FULL) */
    LAKE_GONE_QUIET = 'n', /* nothing: deletes of the table are not followed */
};

struct lake_gone {
    struct table_name name;         /* of the table's folder */
    const struct pg_bounds *leaves; /* which rows: those within the bounds of any */
    size_t n;
    uint64_t lsn;   /* after every transaction that committed below it, before all others */
    uint64_t until; /* see struct lake_table */
    enum lake_gone_as as;
};

/* ---- inside sink/ ---- */

/* The condition on a row, in DuckDB's SQL. `*ret_sure` false: what the lake has does not tell which rows are meant. `rel`: the relation that
 * the lake remembers. */
int lake_gone_where(struct lake_table *t, const struct relation *rel, const struct lake_gone *g, struct buf *ret,
                    bool *ret_sure, struct err *err) MUST_CHECK;
struct lake_history;
/* Tells the history of the rows. */
int lake_gone_tell(struct lake_table *t, const struct relation *rel, struct lake_history *h, const struct lake_gone *g,
                   const char *where, struct err *err) MUST_CHECK;
/* Deletes them. The table is to be opened anew then, whatever comes of it. */
int lake_gone_delete(struct lake_table *t, const char *where, uint64_t *ret_rows, struct err *err) MUST_CHECK;

#endif
