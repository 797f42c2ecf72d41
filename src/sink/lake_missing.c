/* Unchanged TOAST values, which the stream leaves out: read from where the old row stands. */
#include "sink/lake_file.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

static int by_place(const void *a, const void *b)
{
    const struct row_origin *x = a, *y = b;

    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* One row of the result: file_row_number, then all columns. Fills every buffered row whose values stand there. */
static void fill_from_row(struct lake_table *t, const struct engine_chunk *c, uint32_t i, const struct row_origin *o,
                          size_t n, size_t *at, size_t *ret_filled)
{
    int64_t row = engine_i64(&c->cols[0], i);

    while (*at < n && o[*at].row < row)
        (*at)++;
    for (size_t k = *at; k < n && o[k].row == row; k++, (*ret_filled)++) {
        uint32_t r;
        struct batch *b = row_buffer_at(&t->buffer, o[k].ordinal, &r);
        for (uint32_t col = 0; col < b->schema->n_fields; col++)
            if (column_is_missing(&b->cols[col], r))
                engine_value_copy(b, &b->cols[col], r, &c->cols[col + 1], i);
    }
}

/* The id of a row: it stands in the file, or follows from the row's place. One of this epoch may have none. */
static void add_row_id(const struct lake_table *t, const struct lake_file *f, struct buf *sql)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = t->delta ? delta_table_snapshot(t->delta) : NULL;
    const struct delta_file *df = s ? delta_snapshot_find(s, str_of(f->path)) : NULL;

    buf_add_cstr(sql, "coalesce(");
    buf_add_sql_ident(sql, str_of(t->row_id));
    if (df && df->base_row_id >= 0)
        buf_printf(sql, ", %lld + file_row_number)", (long long)df->base_row_id);
    else
        buf_add_cstr(sql, ", NULL)");
}

/* The origins of one file, sorted by row. */
static int fill_from_file(struct lake_table *t, const struct row_origin *o, size_t n, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    struct lake_file *f = imap_get(&t->files, o[0].file);
    const struct engine_chunk *chunk;
    size_t at = 0, filled = 0;
    int rc;

    assert(f);
    buf_add_cstr(&sql, "SELECT file_row_number");
    for (uint32_t i = 0; i < t->write->n_fields; i++) {
        buf_add_cstr(&sql, ", ");
        if (i < t->source->n_fields)
            buf_add_sql_ident(&sql, t->write->fields[i].physical);
        else
            add_row_id(t, f, &sql);
    }
    buf_add_cstr(&sql, " FROM ");
    TRY(lake_file_from(t, f, t->write, &sql, err));
    buf_printf(&sql, " WHERE file_row_number BETWEEN %u AND %u", o[0].row, o[n - 1].row);
    if (n <= 64) {
        buf_add_cstr(&sql, " AND file_row_number IN (");
        for (size_t i = 0; i < n; i++)
            buf_printf(&sql, "%s%u", i ? "," : "", o[i].row);
        buf_add_char(&sql, ')');
    }
    TRY(engine_query(t->env->conn, sql.p, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0)
        for (uint32_t i = 0; i < chunk->n; i++)
            fill_from_row(t, chunk, i, o, n, &at, &filled);
    TRY(rc);
    if (filled != n)
        return err_set(err, ERR_INPUT, "table %s: %s has not the rows that the key index names", t->name, f->path);
    return 0;
}

int lake_fill_missing(struct lake_table *t, struct err *err)
{
    struct row_buffer *b = &t->buffer;
    size_t n = 0;

    for (uint32_t i = 0; i < b->n_origins; i++) /* rows that died meanwhile need nothing */
        if (bit_get(b->live, b->origins[i].ordinal))
            b->origins[n++] = b->origins[i];
    b->n_origins = (uint32_t)n;
    if (n > 0)
        qsort(b->origins, n, sizeof *b->origins, by_place);
    for (size_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && b->origins[j].file == b->origins[i].file; j++)
            ;
        TRY(fill_from_file(t, b->origins + i, j - i, err));
    }
    return 0;
}
