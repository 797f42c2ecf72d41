/* One OPTIMIZE under way. Private to the optimize*.c files. */
#ifndef SLUICE_DELTA_OPTIMIZE_INTERNAL_H
#define SLUICE_DELTA_OPTIMIZE_INTERNAL_H

#include "delta/dml/data_file.h"
#include "delta/upkeep/optimize.h"
#include "delta/log/transaction.h"

/* The files of one partition. */
struct optimize_group {
    const struct delta_file **files; /* in the log's order; later: those that are to be rewritten, by size */
    size_t n, cap;
    bool skip; /* the condition does not hold */
};

struct optimizing {
    struct delta_table *t;
    struct engine_conn *conn;
    const struct delta_optimize *o;
    struct delta_tx *tx;
    const struct delta_head *head;
    struct map by_partition; /* text of the values → group's index + 1 */
    struct optimize_group *groups;
    size_t n, cap;
    struct map extra;  /* paths of files with columns that the table dropped */
    struct str *sort;  /* SQL of the columns to sort by, in the transaction's arena */
    struct str *names; /* the same as the user knows them: "a.b" */
    uint32_t n_sort;
    bool clustered;
    struct str tags; /* of the new files, where the table is clustered */
    int64_t target;
    bool bare_variants; /* of the files at hand: see delta_data */
    struct delta_data_files written;
    struct delta_optimized r;
};

/* The files that a group's run has to be made of, in place. */
void optimize_choose(struct optimizing *z, struct optimize_group *g);
/* Groups the table's files and marks those that the condition leaves out. */
int optimize_group_files(struct optimizing *z, struct err *err) MUST_CHECK;
/* Finds the files that have columns of which the table knows nothing any more. */
int optimize_find_extra(struct optimizing *z, struct err *err) MUST_CHECK;
/* Sort columns: of ZORDER BY, or of the table's clustering. */
int optimize_sort_columns(struct optimizing *z, struct err *err) MUST_CHECK;
/* Writes the files anew, as one run, and notes the actions. */
int optimize_rewrite(struct optimizing *z, const struct delta_file *const *files, size_t n, struct err *err) MUST_CHECK;

#endif
