/*
 * Rows in.
 *
 *   INSERT, READ   a key that is there already is replaced (a copy and the stream may overlap)
 *   UPDATE         masks the old row, found by the key of the OP_BEFORE row ahead of it, or else by its own
 *   DELETE         masks the old row
 * Tables without a key: INSERT only adds; UPDATE and DELETE take one row that is equal in every column.
 */
#include "sink/lake_table.h"

#include "base/clock.h"
#include "base/mem.h"
#include "delta/index/key_hash.h"
#include "sink/lake_file.h"

#include <assert.h>

enum { PREFETCH = 32 }; /* rows ahead of the one whose key is looked up; so many the disk may be asked for at once */

/* Masks a row in its file; its place stays known as the origin of values that the new row lacks. */
static void mask(struct lake_table *t, struct lake_file *f, uint32_t row)
{
    bool fresh = dv_add(&f->dv, row);

    assert(fresh);
    f->masked++;
    f->dv_dirty = true;
    t->dirty = true;
    (void)fresh;
}

/* The old version of a row, by the hash of its key. At most one of the two is set in the result. */
struct old_row {
    uint32_t ordinal; /* ROW_NONE: not in the buffer */
    struct lake_file *file;
    uint32_t row;
};

static int find_old(struct lake_table *t, struct hash128 hash, struct old_row *ret, struct err *err)
{
    *ret = (struct old_row){.ordinal = row_buffer_find(&t->buffer, hash)};
    return ret->ordinal == ROW_NONE ? lake_table_find(t, hash, &ret->file, &ret->row, err) : 0;
}

/* A row that moved between two chunks of a copy, read in two snapshots, stands in both; the stream has its update. */
static int mask_doubles(struct lake_table *t, struct hash128 hash, struct err *err)
{
    struct old_row old;

    for (;;) {
        TRY(find_old(t, hash, &old, err));
        if (!old.file)
            return 0;
        mask(t, old.file, old.row);
    }
}

/* Takes the old version out of the table. `heir`: the ordinal of the new row that inherits unchanged values, or ROW_NONE. */
static int retire(struct lake_table *t, struct hash128 hash, uint32_t heir, bool *ret_found, struct err *err)
{
    struct old_row old;

    TRY(find_old(t, hash, &old, err));
    *ret_found = old.ordinal != ROW_NONE || old.file;
    bool missing = heir != ROW_NONE && *ret_found && row_buffer_has_missing(&t->buffer, heir);
    if (old.ordinal != ROW_NONE) {
        if (missing)
            row_buffer_inherit(&t->buffer, heir, old.ordinal);
        row_buffer_kill(&t->buffer, old.ordinal);
    } else if (old.file) {
        if (missing)
            row_buffer_set_origin(&t->buffer, heir, old.file->id, old.row);
        mask(t, old.file, old.row);
        if (t->rel->identity == IDENTITY_ROW)
            TRY(key_index_del(t->index, hash, old.file->id, old.row, err));
    }
    return t->state == LAKE_STAGED && t->rel->identity == IDENTITY_KEY ? mask_doubles(t, hash, err) : 0;
}

static int missing_without_row(struct lake_table *t, const struct batch *b, uint32_t row, struct err *err)
{
    char at[LSN_TEXT];

    t->stale = b->pos[row].lsn < t->gone_until;
    err_set(err, ERR_UNSUPPORTED,
            "table %s: an update at %s leaves a value unchanged in a row that the lake does not have", t->name,
            lsn_text(b->pos[row].lsn, at));
    return err_hint(err, "copy the table anew: sluice sync … --resync %s", t->name);
}

/* Row tracking: the row has no id yet. */
static void set_new_row(struct lake_table *t, uint32_t ordinal)
{
    uint32_t row;
    struct batch *b = row_buffer_at(&t->buffer, ordinal, &row);

    column_set_null(&b->cols[t->source->n_fields], row);
}

/* `before`: hash of the old image, when one came ahead of this row. */
static int apply_new(struct lake_table *t, const struct batch *b, uint32_t row, uint32_t ordinal,
                     const struct hash128 *before, struct err *err)
{
    struct hash128 own = t->buffer.hash[ordinal];
    bool found = false, update = b->op[row] == OP_UPDATE;

    if (t->rel->identity == IDENTITY_KEY || before)
        TRY(retire(t, before ? *before : own, update ? ordinal : ROW_NONE, &found, err));
    if (before && t->rel->identity == IDENTITY_KEY) { /* the new key may be there where a copy and the stream overlap */
        bool taken;
        TRY(retire(t, own, found ? ROW_NONE : ordinal, &taken, err));
        found |= taken;
    }
    if (update && !found) {
        t->n_unmatched++;
        if (t->tracked)
            set_new_row(t, ordinal);
        if (row_buffer_has_missing(&t->buffer, ordinal)) {
            if (t->state == LAKE_STAGED)
                return 0; /* a row that is gone by the end of the copy: a change that is still to come takes it away */
            return missing_without_row(t, b, row, err);
        }
    }
    row_buffer_put(&t->buffer, ordinal);
    return 0;
}

static int apply_delete(struct lake_table *t, struct hash128 hash, struct err *err)
{
    bool found;

    TRY(retire(t, hash, ROW_NONE, &found, err));
    t->n_unmatched += !found;
    return t->rel->identity == IDENTITY_KEY ? key_index_clear(t->index, hash, err) : 0;
}

static int apply_rows(struct lake_table *t, const struct batch *b, uint32_t first, struct err *err)
{
    const struct hash128 *before = NULL;

    for (uint32_t i = 0; i < b->n; i++) {
        if (i + PREFETCH < b->n)
            key_index_prefetch(t->index, t->buffer.hash[first + i + PREFETCH]);
        switch (b->op[i]) {
        case OP_BEFORE:
            before = &t->buffer.hash[first + i];
            continue;
        case OP_DELETE:
            TRY(apply_delete(t, t->buffer.hash[first + i], err));
            break;
        default:
            TRY(apply_new(t, b, i, first + i, before, err));
        }
        before = NULL;
    }
    return 0;
}

/* Row tracking: an updated row inherits its id from the old one, like a value that was left unchanged. While a table is
 * copied nobody has seen an id of it. */
static void add_row_ids(struct lake_table *t, struct batch *b)
{
    batch_add_column(b, t->tracked);
    for (uint32_t i = 0; t->state == LAKE_STREAMING && i < b->n; i++)
        if (b->op[i] == OP_UPDATE)
            column_set_missing(&b->cols[t->source->n_fields], i);
}

static int apply_batch(struct lake_table *t, struct batch *batch, struct err *err)
{
    uint32_t n = batch->n;

    if (n > t->cap_hashes) {
        t->hashes = mem_realloc_n(t->hashes, n, sizeof *t->hashes);
        t->cap_hashes = n;
    }
    if (t->n_keys)
        key_hash_batch(batch, t->key_cols, t->n_keys, 0, n, t->hashes);
    else
        memset(t->hashes, 0, n * sizeof *t->hashes);
    t->dirty = true;
    if (t->tracked)
        add_row_ids(t, batch);
    uint32_t first = row_buffer_add(&t->buffer, batch, t->hashes);
    if (t->rel->identity == IDENTITY_NONE) {
        for (uint32_t i = 0; i < n; i++)
            if (batch->op[i] == OP_INSERT || batch->op[i] == OP_READ)
                row_buffer_put(&t->buffer, first + i);
        return 0;
    }
    TRY(lake_index_ready(t, err));
    return apply_rows(t, batch, first, err);
}

int lake_table_apply(struct lake_table *t, struct batch *batch, struct err *err)
{
    int64_t begin = clock_mono_us();

    if (t->state == LAKE_QUARANTINED) {
        batch_free(batch);
        return 0;
    }
    t->times.rows += batch->n;
    int rc = apply_batch(t, batch, err);
    t->times.apply_us += clock_mono_us() - begin;
    return rc;
}

int lake_table_truncate(struct lake_table *t, struct err *err)
{
    size_t cursor = 0;
    void *p;

    if (t->state == LAKE_QUARANTINED)
        return 0;
    row_buffer_reset(&t->buffer);
    t->dirty = true;
    TRY(lake_index_drop(t, err));
    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        struct lake_file *f = p;
        f->doomed = true;
        f->compacted = false;
    }
    return 0;
}
