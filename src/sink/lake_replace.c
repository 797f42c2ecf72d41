/* Rows that a copy read once more: they replace those of the same keys. */
#include "sink/lake_file.h"

enum { REPLACED_MAX = 32 << 20 }; /* bytes of rows read once more that are kept in memory */

static int apply_chunk(struct lake_table *t, const struct engine_chunk *c, struct err *err)
{
    struct batch *b = batch_new(t->source, c->n);

    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t row = batch_add_row(b, OP_READ, (struct position){t->position, 0}, 0);
        for (uint32_t col = 0; col < c->n_cols; col++)
            engine_value_copy(b, &b->cols[col], row, &c->cols[col], i);
    }
    return lake_table_apply(t, b, err);
}

int lake_table_replace_rows(struct lake_table *t, const char *path, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct lake_file f = {.path = (char *)path};
    const struct engine_chunk *chunk;
    int rc;

    TRY(lake_index_ready(t, err)); /* it reads through the same connection */
    buf_add_cstr(&sql, "SELECT ");
    for (uint32_t i = 0; i < t->source->n_fields; i++) {
        buf_add_cstr(&sql, i ? ", " : "");
        buf_add_sql_ident(&sql, t->source->fields[i].physical);
    }
    buf_add_cstr(&sql, " FROM ");
    TRY(lake_file_from(t, &f, t->source, &sql, err));
    {
        CLEANUP(engine_result_freep) struct engine_result *result = NULL;
        TRY(engine_query(t->env->conn, sql.p, &result, err));
        while ((rc = engine_result_next(result, &chunk, err)) == 0)
            TRY(apply_chunk(t, chunk, err));
        TRY(rc);
    }
    if (t->buffer.bytes > REPLACED_MAX)
        TRY(lake_table_flush(t, err));
    return store_remove(t->store, path, err);
}
