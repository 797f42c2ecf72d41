/* Data files of a table (lake_file.c). For the files of this folder, and those that write files for it. */
#ifndef SLUICE_SINK_LAKE_FILE_H
#define SLUICE_SINK_LAKE_FILE_H

#include "sink/lake_table.h"

/* "part-<id>-<uuid>.parquet" in a new buffer of the caller (mem_free). */
char *lake_file_name(uint32_t id);
/* The id in such a name; other writers' files get one above 2^31 from their name. */
uint32_t lake_file_id(struct str path);
struct lake_file *lake_table_add_file(struct lake_table *t, uint32_t id, struct str path, struct lake_partition *part);
void lake_file_free(struct lake_file *f);
int lake_file_load_dv(struct lake_table *t, struct lake_file *f, struct err *err) MUST_CHECK;
/* The rows of a file of the log that are gone as the log has it; `ret` is {0}, to be deinited. */
int lake_file_logged_dv(struct lake_table *t, const struct lake_file *f, struct dv *ret, struct err *err) MUST_CHECK;
/* A row that is there: its file is in the table, and it is not masked. NULL otherwise. */
int lake_table_live_row(struct lake_table *t, uint32_t file, uint32_t row, struct lake_file **ret,
                        struct err *err) MUST_CHECK;
bool lake_file_is_live(const struct lake_file *f);
/* The row in a file that has this key; NULL: there is none. */
int lake_table_find(struct lake_table *t, struct hash128 hash, struct lake_file **ret, uint32_t *ret_row,
                    struct err *err) MUST_CHECK;
/* The FROM clause that reads the file's columns under their physical names, absent ones as NULL, or as the log has them. */
int lake_file_from(const struct lake_table *t, struct lake_file *f, const struct schema *schema, struct buf *out,
                   struct err *err) MUST_CHECK;
/* The same of several files of one partition. */
int lake_files_from(const struct lake_table *t, struct lake_file *const *files, size_t n, const struct schema *schema,
                    struct buf *out, struct err *err) MUST_CHECK;
/* Which columns of the next file get statistics, as the table's properties want it. */
struct parquet_spec;
void lake_stats_columns(const struct lake_table *t, struct arena *arena, struct parquet_spec *spec);
/* Appends a value as an expression of DuckDB's. */
int lake_add_literal(const struct column *c, uint32_t row, struct buf *out, struct err *err) MUST_CHECK;
/* Fills in the missing values of buffered rows from the files that have them. */
int lake_fill_missing(struct lake_table *t, struct err *err) MUST_CHECK;

#endif
