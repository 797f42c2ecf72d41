/*
 * A snapshot as a SELECT that DuckDB runs: its files by read_parquet(), columns by field id or physical name under their
 * logical names and types, partition values as constants of their file, deleted rows masked.
 *
 *     delta_scan_new(engine, store, snapshot, NULL, &scan, err);
 *     engine_query(conn, "SELECT count(*) FROM (" delta_scan_sql(scan) ")", &result, err);
 *
 * A scan holds its snapshot and deletion vectors and must outlive the statements that use its text. Any thread may use
 * it. Columns come in the table's order; a column that a file does not have is NULL; types are the table's, whatever
 * narrower type a file was written with.
 */
#ifndef SLUICE_DELTA_SCAN_H
#define SLUICE_DELTA_SCAN_H

#include "delta/log/snapshot.h"
#include "store/store.h"

struct engine;
struct delta_scan;

/* How variants are read. DuckDB's reader takes the null of JSON for NULL, and what it makes of the others is written again in
 * other bytes. */
enum delta_variants {
    DELTA_VARIANTS_PLAIN, /* as DuckDB reads them: where they do not matter */
    DELTA_VARIANTS_EXACT, /* the null of JSON is told from NULL, but in shredded ones: a file that may have one is copied */
    DELTA_VARIANTS_COPIED, /* for rows that are only copied: byte for byte, as structs of metadata and value; see
                              delta_scan_is_bare() */
};

struct delta_scan_options {
    const struct delta_file *const *files; /* these of the snapshot, in this order; NULL: all that live */
    uint32_t n_files;
    const struct delta_head
        *head; /* with columns that the snapshot's does not have yet: they read as NULL. NULL: its own */
    bool
        with_position; /* two more columns: __file UBIGINT (index, see delta_scan_file) and __row BIGINT (in the file) */
    bool with_deleted; /* do not mask deleted rows */
    bool
        count_only; /* as many rows as there are, all of them NULLs, and no file is opened: the log must say how many */
    bool
        with_row_ids; /* row tracking: two more columns, DELTA_ROW_ID and DELTA_ROW_VERSION (BIGINT), after the others */
    /* Numbers of each file, as more columns (BIGINT): __n0, __n1, … after the others. Borrowed. */
    const int64_t *const *numbers;
    uint32_t n_numbers;    /* at most DELTA_SCAN_NUMBERS */
    bool with_change_type; /* change files: one more column, _change_type */
    enum delta_variants variants;
    const char *copies_in; /* EXACT: the folder of the copies, which is made; NULL: beside the table's files */
};
enum { DELTA_SCAN_NUMBERS = 3 };

/* The row's id, and the version that wrote it last: as materialised in the file, else by its file and position; NULL in a
 * file that has no ids. */
#define DELTA_ROW_ID "__row_id"
#define DELTA_ROW_VERSION "__row_version"

/* Reads the deletion vectors. ERR_UNSUPPORTED names a column of an unknown type, or row ids of a table mapped by id
 * whose files have other names for its columns; ERR_INPUT a broken partition value. */
int delta_scan_new(struct engine *engine, struct store *store, struct delta_snapshot *snapshot,
                   const struct delta_scan_options *options, struct delta_scan **ret, struct err *err) MUST_CHECK;
void delta_scan_free(struct delta_scan *scan); /* takes NULL */
DEFINE_FREEP(delta_scan)
const char *delta_scan_sql(const struct delta_scan *scan);
/* Are variants structs of metadata and value? As was asked for (DELTA_VARIANTS_COPIED), unless a file has shredded ones. */
bool delta_scan_is_bare(const struct delta_scan *scan);
uint32_t delta_scan_n_files(const struct delta_scan *scan);
const struct delta_file *delta_scan_file(const struct delta_scan *scan, uint64_t file);
/* Rows of file `file` that are masked; NULL: none. */
struct dv;
const struct dv *delta_scan_dv(const struct delta_scan *scan, uint64_t file);

/* Reads the deletion vector of a file; an empty set when it has none. `ret` must be empty. */
int delta_dv_load(struct store *store, const struct delta_file *file, struct dv *ret, struct err *err) MUST_CHECK;

#endif
