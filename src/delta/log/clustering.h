/*
 * Liquid clustering: the columns by which OPTIMIZE sorts a table (Delta protocol, "Clustered Table"). They are in the
 * domain delta.clustering, {"clusteringColumns":[["a"],["s","b"]],…}, by physical name.
 */
#ifndef SLUICE_DELTA_CLUSTERING_H
#define SLUICE_DELTA_CLUSTERING_H

#include "delta/log/table.h"

#define DELTA_CLUSTERING "delta.clustering"

/* The table's columns by the names that users know; none: not clustered. Memory of the arena. */
int delta_clustering_read(const struct delta_snapshot *s, struct arena *arena, struct delta_path **ret, uint32_t *ret_n,
                          struct err *err) MUST_CHECK;
/* "a,s.b" */
void delta_clustering_text(const struct delta_path *columns, uint32_t n, struct buf *out);
/*
 * The domain's configuration. ERR_USAGE: a column that there is not, that has no statistics (their type has none, or they
 * are past delta.dataSkippingNumIndexedCols), more than four columns, or a partitioned table.
 */
int delta_clustering_make(const struct delta_metadata *m, const struct schema *schema, const struct delta_path *columns,
                          uint32_t n, struct arena *arena, struct str *ret, struct err *err) MUST_CHECK;
/* The protocol with the features that a clustered table needs. */
int delta_clustering_protocol(const struct delta_protocol *p, struct arena *arena, const struct delta_protocol **ret,
                              struct err *err) MUST_CHECK;
/* ALTER TABLE … CLUSTER BY (columns), or NONE with n 0: one commit. Files are sorted by the next OPTIMIZE. */
int delta_set_clustering(struct delta_table *t, const struct delta_path *columns, uint32_t n,
                         struct err *err) MUST_CHECK;

#endif
