/* Staged rows become files (delta/dml/data_file.h), and the files actions of the statement. */
#include "delta/dml/dml_internal.h"

#include "base/mem.h"
#include "delta/dml/data_file.h"

void dml_add_files(struct dml *d, const struct delta_data_files *files, bool changes)
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

static int write_data(struct dml *d, const struct delta_data *data, uint64_t *ret_rows, struct err *err)
{
    struct delta_data_files files = {0};
    int rc = delta_data_write(d->t->conn, d->t->table->store, data, &d->tx->arena, &files, err);

    dml_add_files(d, &files, data->changes);
    *ret_rows = files.rows;
    return rc;
}

int dml_write_rows(struct dml *d, uint64_t *ret_rows, struct err *err)
{
    struct delta_data data = {
        .head = d->head, .from = "(SELECT * FROM temp." DML_ROWS " WHERE __clause >= 0)", .row_ids = d->staged_ids};

    return write_data(d, &data, ret_rows, err);
}

int dml_write_changes(struct dml *d, const char *select, struct err *err)
{
    CLEANUP(buf_deinit) struct buf from = {0};
    struct delta_data data = {.head = d->head, .changes = true};
    uint64_t rows;

    buf_printf(&from, "(%s)", select);
    data.from = from.p;
    return write_data(d, &data, &rows, err);
}
