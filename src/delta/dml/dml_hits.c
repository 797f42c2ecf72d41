/*
 * Rows that go: found by a scan as (file, row), kept as a set a file, then taken out of the table.
 *
 *   all rows of a file are hit      remove
 *   deletion vectors are on         the old vector ∪ the hits, all vectors of the statement in one file
 *   else                            the file's other rows written as a new file
 */
#include "delta/dml/dml_internal.h"

#include "base/mem.h"
#include "engine/scan_files.h"

#include <assert.h>

static void register_hits(struct dml *d)
{
    uint32_t n = delta_scan_n_files(d->scan);

    assert(!d->hit_id);
    for (uint32_t i = 0; i < n; i++) {
        d->hit_list[i] = dv_cardinality(&d->hits[i]) ? &d->hits[i] : NULL;
        d->n_hits += dv_cardinality(&d->hits[i]);
        if (d->hit_list[i])
            delta_tx_read_file(d->tx, delta_scan_file(d->scan, i));
    }
    *d->hit_files = (struct scan_files){.n = n, .deleted = d->hit_list};
    d->hit_id = scan_files_register(engine_of(d->t->conn), d->hit_files);
}

int dml_hit(struct dml *d, const char *sql, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;
    int rc;

    TRY(engine_query(d->t->conn, sql, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0) {
        for (uint32_t i = 0; i < chunk->n; i++) {
            uint64_t file = (uint64_t)engine_i64(&chunk->cols[0], i);
            assert(file < delta_scan_n_files(d->scan));
            dv_add(&d->hits[file], (uint64_t)engine_i64(&chunk->cols[1], i));
        }
    }
    TRY(rc);
    register_hits(d);
    return 0;
}

/* Rows of a file that are not masked yet. Counted where the log does not say. */
static int live_rows(struct dml *d, uint32_t file, uint64_t *ret, struct err *err)
{
    const struct delta_file *f = delta_scan_file(d->scan, file);
    CLEANUP(buf_deinit) struct buf sql = {0};
    int64_t n = f->num_records - (f->dv ? f->dv->cardinality : 0);

    if (f->num_records < 0) {
        buf_printf(&sql, "SELECT count(*) FROM (%s) WHERE __file = %u", delta_scan_sql(d->scan), file);
        TRY(engine_query_i64(d->t->conn, sql.p, &n, err));
    }
    *ret = (uint64_t)n;
    return 0;
}

static void remove_file(struct dml *d, const struct delta_file *f)
{
    delta_tx_remove_file(d->tx, f, true);
    d->result.files_removed++;
    d->bytes_removed += f->size > 0 ? (uint64_t)f->size : 0;
    d->vectors_removed += f->dv != NULL;
}

int dml_hit_all(struct dml *d, struct err *err)
{
    for (uint32_t i = 0; i < delta_scan_n_files(d->scan); i++) {
        uint64_t n;
        TRY(live_rows(d, i, &n, err));
        d->n_hits += n;
        remove_file(d, delta_scan_file(d->scan, i));
    }
    return 0;
}

void dml_new_vectors(struct dml *d, struct buf *ret_name, struct buf *ret_path)
{
    delta_new_vectors(ret_name, ret_path);
    MEM_GROW(d->written, d->n_written, d->cap_written);
    d->written[d->n_written++] = mem_strndup(ret_path->p, ret_path->n);
}

/* Starts the file of vectors on first use. */
static void begin_vectors(struct dml *d)
{
    CLEANUP(buf_deinit) struct buf path = {0};

    if (d->dv_bytes.n)
        return;
    dml_new_vectors(d, &d->dv_name, &path); /* dml_apply_hits writes it */
    dv_file_begin(&d->dv_bytes);
}

static int mask_rows(struct dml *d, uint32_t file, struct err *err)
{
    const struct delta_file *f = delta_scan_file(d->scan, file);
    const struct dv *old = delta_scan_dv(d->scan, file);
    struct dv next = {0};
    struct delta_dv_desc desc = {.storage = 'u'};

    begin_vectors(d);
    dv_clone(&d->hits[file], &next);
    if (old)
        dv_union(&next, old);
    desc.path_or_inline = buf_str(&d->dv_name);
    desc.cardinality = (int64_t)dv_cardinality(&next);
    int rc = dv_file_append(&d->dv_bytes, &next, &desc.offset, &desc.size, err);
    dv_deinit(&next);
    TRY(rc);
    delta_tx_set_dv(d->tx, f, &desc);
    d->result.vectors_added++;
    d->vectors_updated += old != NULL;
    d->vectors_removed += old != NULL; /* what Spark counts */
    return 0;
}

/* Takes the hits out, but for files that have to be written again: those are listed with their rows. */
static int apply_hits(struct dml *d, uint32_t *again, uint64_t *again_live, uint32_t *ret_n, struct err *err)
{
    for (uint32_t i = 0; i < delta_scan_n_files(d->scan); i++) {
        const struct delta_file *f = delta_scan_file(d->scan, i);
        uint64_t live;
        if (!dv_cardinality(&d->hits[i]))
            continue;
        TRY(live_rows(d, i, &live, err));
        if (dv_cardinality(&d->hits[i]) == live) {
            remove_file(d, f);
        } else if (d->head->dv && f->num_records >= 0) {
            TRY(mask_rows(d, i, err));
        } else {
            again[*ret_n] = i;
            again_live[(*ret_n)++] = live;
        }
    }
    return 0;
}

int dml_apply_hits(struct dml *d, struct err *err)
{
    uint32_t n_files = delta_scan_n_files(d->scan), n = 0;
    CLEANUP(mem_freep) uint32_t *again = MEM_NEW_N(uint32_t, n_files + 1);
    CLEANUP(mem_freep) uint64_t *live = MEM_NEW_N(uint64_t, n_files + 1);

    TRY(apply_hits(d, again, live, &n, err));
    TRY(dml_rewrite_files(d, again, live, n, err));
    for (uint32_t i = 0; i < n; i++)
        remove_file(d, delta_scan_file(d->scan, again[i]));
    if (!d->dv_bytes.n)
        return 0;
    assert(d->n_written);
    CLEANUP(buf_deinit) struct buf path = {0};
    TRY(dv_path('u', buf_str(&d->dv_name), &path, err));
    return store_put(d->t->table->store, path.p, buf_str(&d->dv_bytes), err);
}
