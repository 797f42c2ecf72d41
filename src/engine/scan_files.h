/*
 * What SQL needs to know of a snapshot's files while it reads them: deletion vectors and partition values.
 *
 *     scan_files_register(engine, &files, &id, err)
 *     SELECT …, CAST(pval(<id>, 0, file_index) AS DATE) AS day
 *     FROM read_parquet([file 0, file 1, …], hive_partitioning = false, schema = …)
 *     WHERE dv(<id>, file_index, file_row_number) = 1::UTINYINT
 *
 * file_index and file_row_number are virtual columns of read_parquet. TRAP: file_index is renumbered when the list of
 * files is pruned by hive partitions or by the option filename=true, which would mask rows of the wrong file: always
 * hive_partitioning=false, never filename=true.
 *
 * Functions registered with every engine:
 *   dv(BIGINT id, UBIGINT file, BIGINT row) → UTINYINT      is the row live (1) or deleted (0)? DuckDB selects rows by a
 *       comparison without a branch a row, by a BOOLEAN with one, which costs more where deleted rows are scattered
 *   pval(BIGINT id, INTEGER column, UBIGINT file) → VARCHAR   a partition value as its text, or NULL
 *   pval_long(…) → BIGINT, pval_date(…) → DATE                the same, typed (no cast a row)
 */
#ifndef SLUICE_ENGINE_SCAN_FILES_H
#define SLUICE_ENGINE_SCAN_FILES_H

#include "codec/dv.h"
#include "engine/engine.h"

enum pval_kind { PVAL_TEXT, PVAL_LONG, PVAL_DATE };

struct scan_pcol {
    enum pval_kind kind;
    const struct str *text; /* PVAL_TEXT: one a file; p NULL is NULL */
    const int64_t *number;  /* PVAL_LONG, PVAL_DATE (days): one a file */
    const bool *is_null;    /* PVAL_LONG, PVAL_DATE: NULL pointer when none is */
};

/* One snapshot's files, in the order of the list given to read_parquet. Borrowed until unregistered, and constant. */
struct scan_files {
    uint32_t n;
    const struct dv *const *deleted; /* a set a file, NULL: no rows deleted; NULL: in no file */
    uint32_t n_pcols;
    const struct scan_pcol *pcols;
};

/* Thread-safe; ids are never used twice. */
int64_t scan_files_register(struct engine *engine, const struct scan_files *files);
/* No statement that names the id may be running. */
void scan_files_unregister(struct engine *engine, int64_t id);

#endif
