/*
 * ALTER COLUMN … TYPE … USING: values that changed without a word in the stream.
 *
 * PostgreSQL writes the table anew, and the stream says only that the column has another type. A widening (the values are
 * what they were) looks just the same in the catalog. So values are compared: rows that the source still has as ALTER TABLE
 * left them (their xmin is its transaction) must be in the lake, with the value that widening gives. They are a sample where
 * the table is large. Where one differs, the table is copied anew. That is also how a cast shows that is none for the lake,
 * such as json to jsonb, which prints otherwise.
 *
 * Asked only when both numbers of the catalog moved, that of the storage (the rows were written anew) and that of the columns
 * (one was altered).
 */
#include "sink/lake_file.h"

#include "base/mem.h"
#include "codec/pg_value.h"
#include "delta/index/key_hash.h"

static bool is_key(const struct lake_table *t, uint32_t col)
{
    for (size_t k = 0; k < t->n_keys; k++)
        if (t->key_cols[k] == (int)col)
            return true;
    return false;
}

/* The rows with nothing but their keys: the rest is to be read from where it stands. */
static struct batch *keys_only(const struct lake_table *t, const struct batch *rows)
{
    struct batch *b = batch_new(t->source, rows->n);

    for (uint32_t i = 0; i < rows->n; i++) {
        batch_add_row(b, OP_UPDATE, (struct position){0}, 0);
        for (uint32_t c = 0; c < t->source->n_fields; c++)
            if (is_key(t, c))
                column_copy(b, &b->cols[c], i, &rows->cols[c], i);
            else
                column_set_missing(&b->cols[c], i);
    }
    return b;
}

/* The place of each row; false: one is not there, so it has another key now. */
static int find_all(struct lake_table *t, uint32_t first, uint32_t n, bool *ret, struct err *err)
{
    for (uint32_t i = first; i < first + n; i++) {
        struct lake_file *f;
        uint32_t row;
        TRY(lake_table_find(t, t->buffer.hash[i], &f, &row, err));
        if (!f) {
            *ret = false;
            return 0;
        }
        if (row_buffer_has_missing(&t->buffer, i))
            row_buffer_set_origin(&t->buffer, i, f->id, row);
        row_buffer_put(&t->buffer, i);
    }
    *ret = true;
    return 0;
}

/* The first column in which the two differ, or -1. */
static int first_difference(const struct batch *a, const struct batch *b)
{
    CLEANUP(buf_deinit) struct buf x = {0}, y = {0};

    for (uint32_t c = 0; c < a->schema->n_fields; c++)
        for (uint32_t i = 0; i < a->n; i++) {
            if (column_is_valid(&a->cols[c], i) != column_is_valid(&b->cols[c], i))
                return (int)c;
            buf_reset(&x);
            buf_reset(&y);
            pg_value_text(&a->cols[c], i, &x);
            pg_value_text(&b->cols[c], i, &y);
            if (!str_eq(buf_str(&x), buf_str(&y)))
                return (int)c;
        }
    return -1;
}

static int compare(struct lake_table *t, const struct batch *rows, struct err *err)
{
    CLEANUP(mem_freep) struct hash128 *hashes = MEM_NEW_N(struct hash128, rows->n);
    struct batch *have = keys_only(t, rows);
    bool all_there;

    key_hash_batch(rows, t->key_cols, t->n_keys, 0, rows->n, hashes);
    uint32_t first = row_buffer_add(&t->buffer, have, hashes);
    TRY(find_all(t, first, rows->n, &all_there, err));
    if (!all_there)
        return lake_copy_anew(t, t->source->fields[t->key_cols[0]].name,
                              "the source has other rows since it altered a column; the first key", err);
    TRY(lake_fill_missing(t, err));
    int col = first_difference(rows, have);
    return col < 0
               ? 0
               : lake_copy_anew(t, t->source->fields[col].name, "the source gave rows other values as it altered", err);
}

int lake_check_altered(struct lake_table *t, bool *ret_known, struct err *err)
{
    CLEANUP(batch_freep) struct batch *rows = NULL;

    if (!t->env->untouched || !t->shape || t->shape == t->rel->shape || t->env->history == LAKE_CHANGES_ONLY ||
        t->rel->identity == IDENTITY_NONE)
        return 0;
    *ret_known = false;
    if (t->rel->current)
        TRY(t->env->untouched(t->env->ctx, t->rel, t->source, &rows, err));
    if (!rows)
        return 0;
    *ret_known = true;
    if (!rows->n)
        return 0; /* all were written since, and the stream has that */
    TRY(lake_index_ready(t, err));
    int rc = compare(t, rows, err);
    row_buffer_reset(&t->buffer);
    return rc;
}
