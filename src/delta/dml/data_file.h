/*
 * Data files of a table, written out of SELECTs: columns by physical name and field id, statistics as the table's
 * properties want them, one file a partition.
 */
#ifndef SLUICE_DELTA_DATA_FILE_H
#define SLUICE_DELTA_DATA_FILE_H

#include "delta/scan/scan.h"
#include "engine/engine.h"
#include "store/store.h"

struct delta_data {
    const struct delta_head *head; /* of the table as it will be */
    const char *from;              /* table expression with the table's columns by logical name: "(SELECT …)" */
    const struct delta_kv *parts;  /* all rows are of this partition (physical names); NULL: split by partition */
    uint32_t n_parts;
    bool changes; /* a change file: `from` also has _change_type; no statistics */
    bool row_ids; /* `from` also has DELTA_ROW_ID and DELTA_ROW_VERSION, to be kept in the file */
    bool
        bare_variants; /* where the table has variants, `from` has structs of metadata and value: delta_scan_is_bare() */
    bool any_order;    /* rows may be in another order than `from` gives them: less memory */
    int level;         /* of compression, see parquet_spec */
};

/* The files written, as add (or cdc) actions. Memory of the arena that was given. */
struct delta_data_files {
    struct delta_file *v;
    size_t n, cap;
    uint64_t rows, bytes;
};

/*
 * Writes the rows and appends the files, none for no rows. On failure `ret` has what was written so far: see
 * delta_data_drop. `data_change` is true but for change files.
 */
int delta_data_write(struct engine_conn *conn, struct store *store, const struct delta_data *data, struct arena *arena,
                     struct delta_data_files *ret, struct err *err) MUST_CHECK;
/* Deletes the files, which no commit names. What cannot be deleted is left to VACUUM. */
void delta_data_drop(struct store *store, const struct delta_data_files *files);

#endif
