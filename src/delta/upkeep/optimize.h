/* Files written again without changing what they say: OPTIMIZE (bin-packing, Z-order, clustering) and REORG … PURGE. */
#ifndef SLUICE_DELTA_OPTIMIZE_H
#define SLUICE_DELTA_OPTIMIZE_H

#include "delta/ddl/alter.h"
#include "delta/log/table.h"
#include "engine/engine.h"

struct delta_optimize {
    struct str where;                /* DuckDB's SQL over partition columns; empty: the whole table */
    const struct delta_path *zorder; /* rows that are near in all of these columns come together */
    uint32_t n_zorder;
    bool full;  /* clustered tables: what is clustered already is clustered anew */
    bool purge; /* REORG … APPLY (PURGE): only the files with masked rows or values of dropped columns */
    bool all;   /* with purge: every file */
};

struct delta_sizes {
    uint64_t n;
    int64_t bytes, min, max; /* of one file; 0 when n is 0 */
};

struct delta_optimized {
    int64_t version; /* of the commit; the one that was read when nothing had to be done */
    bool committed;
    struct delta_sizes added, removed;
    int64_t p25, p50, p75; /* sizes of the files added */
    uint64_t vectors_removed;
    uint64_t partitions, batches; /* that were rewritten; runs of files that became one or several new ones */
    uint64_t considered, skipped; /* files */
};

/*
 * One commit that changes no data. Files smaller than delta.targetFileSize (128 MB where the table has none) are merged
 * up to that size within their partition, and files of which more than 5 % of the rows are masked are written without
 * them. Z-order and clustering rewrite all files of a partition, sorted along a Morton curve through the ranks of the
 * columns' values. In a table with a clustering the columns are the table's (domain delta.clustering); files
 * that are clustered by them already are left alone once they are 100 GB together.
 *
 * ERR_USAGE: the condition names other columns than those of partitions; ZORDER BY a column that there is not, that the
 * table is partitioned by, or in a clustered table. Another writer's commit between: done again from the start, a few
 * times, then ERR_CONFLICT.
 */
int delta_optimize(struct delta_table *t, struct engine_conn *conn, const struct delta_optimize *o,
                   struct delta_optimized *ret, struct err *err) MUST_CHECK;

#endif
