/* Staged rows become files (delta/data_file.h), and the files actions of the statement. */
#include "delta/dml_internal.h"

#include "base/mem.h"
#include "delta/data_file.h"

static void add_actions(struct dml *d, const struct delta_data_files *files, bool changes)
{
    for (size_t i = 0; i < files->n; i++) {
        const struct delta_file *f = &files->v[i];
        MEM_GROW(d->written, d->n_written, d->cap_written);
        d->written[d->n_written++] = mem_strndup(f->path.p, f->path.n);
        if (changes)
            delta_tx_add_cdc(d->tx, f);
        else
            delta_tx_add_file(d->tx, f);
    }
    if (changes) {
        d->cdc_files += files->n;
        return;
    }
    d->result.files_added += files->n;
    d->bytes_added += files->bytes;
}

static int write_data(struct dml *d, const char *from, const struct delta_kv *parts, uint32_t n_parts, bool changes,
                      uint64_t *ret_rows, struct err *err)
{
    struct delta_data data = {.head = d->head, .from = from, .parts = parts, .n_parts = n_parts, .changes = changes};
    struct delta_data_files files = {0};
    int rc = delta_data_write(d->t->conn, d->t->table->store, &data, &d->tx->arena, &files, err);

    add_actions(d, &files, changes);
    *ret_rows = files.rows;
    return rc;
}

int dml_write_file(struct dml *d, const char *select, const struct delta_kv *parts, uint32_t n_parts, bool changes,
                   uint64_t *ret_rows, struct err *err)
{
    CLEANUP(buf_deinit) struct buf from = {0};

    buf_printf(&from, "(%s)", select);
    return write_data(d, from.p, n_parts ? parts : NULL, n_parts, changes, ret_rows, err);
}

int dml_write_rows(struct dml *d, uint64_t *ret_rows, struct err *err)
{
    return write_data(d, "(SELECT * FROM temp." DML_ROWS " WHERE __clause >= 0)", NULL, 0, false, ret_rows, err);
}

int dml_write_changes(struct dml *d, const char *select, struct err *err)
{
    uint64_t rows;

    return dml_write_file(d, select, NULL, 0, true, &rows, err);
}
