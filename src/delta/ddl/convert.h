/* A folder of Parquet files becomes a table where it lies (CONVERT TO DELTA). */
#ifndef SLUICE_DELTA_CONVERT_H
#define SLUICE_DELTA_CONVERT_H

#include "engine/engine.h"
#include "model/type.h"
#include "store/store.h"

struct delta_convert {
    const struct field *partition; /* in the order of the folders: p=1/q=x */
    uint32_t n_partition;
    bool no_statistics; /* numRecords only */
};

/*
 * Writes version 0 with all files of the folder that end in .parquet; those in folders that begin with '_' or '.' are not
 * looked at. Columns are the union of the files'. A folder that is a table already is left as it is (*ret_files 0).
 * ERR_USAGE: no files; folders of partitions that were not declared, or otherwise; a name that Delta does not allow; a column
 * that has other types in other files (byte, short and integer are one to Parquet);
 * ERR_INPUT: a broken file or partition value.
 */
int delta_convert(struct store *store, struct engine_conn *conn, const struct delta_convert *c, uint64_t *ret_files,
                  struct err *err) MUST_CHECK;

#endif
