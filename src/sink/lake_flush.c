/* The live rows of the buffer become Parquet files, one a partition; the key index learns where they are. */
#include "sink/lake_table.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/parquet_write.h"
#include "sink/lake_file.h"
#include "sink/lake_partition.h"

#include <assert.h>

enum { FEW_ROWS = 10000, FEW_BYTES = 4 << 20 }; /* flushes up to these sizes do not go through DuckDB */

/* Rows of the buffer, by ordinal, batch by batch. */
struct flush_source {
    struct row_buffer *b;
    const uint32_t *ordinals; /* rising */
    uint32_t n, at;
    uint32_t *sel; /* of the batch handed out last */
};

static int next_rows(void *ctx, const struct batch **ret, const uint32_t **ret_sel, uint32_t *ret_n, struct err *err)
{
    struct flush_source *s = ctx;

    (void)err;
    if (s->at == s->n)
        return 1;
    s->sel = mem_realloc_n(s->sel, s->n, sizeof *s->sel);
    *ret_sel = s->sel;
    *ret_n = row_buffer_take(s->b, s->ordinals + s->at, s->n - s->at, ret, s->sel);
    s->at += *ret_n;
    return 0;
}

/* Tells the index where the rows are now. */
static int index_rows(struct lake_table *t, const struct lake_file *f, const uint32_t *ordinals, uint32_t n,
                      struct err *err)
{
    if (!t->index)
        return 0;
    if (n > t->cap_hashes) {
        t->hashes = mem_realloc_n(t->hashes, n, sizeof *t->hashes);
        t->cap_hashes = n;
    }
    for (uint32_t i = 0; i < n; i++)
        t->hashes[i] = t->buffer.hash[ordinals[i]];
    assert(n == f->rows);
    if (t->rel->identity == IDENTITY_KEY)
        return key_index_replace_batch(t->index, t->hashes, n, f->id, 0, err);
    for (uint32_t i = 0; i < n; i++)
        TRY(lake_index_rc(t, key_index_put(t->index, t->hashes[i], f->id, i, err), err));
    return 0;
}

/* The rows of a small flush, by our own encoder. */
static int write_few(struct lake_table *t, const struct parquet_spec *spec, const char *path,
                     struct flush_source *source, struct parquet_file *ret, struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(buf_deinit) struct buf bytes = {0};
    uint32_t *sel = ARENA_NEW_N(&arena, uint32_t, source->n), n = 0;
    struct parquet_rows *rows = ARENA_NEW_N(&arena, struct parquet_rows, MIN(source->n, source->b->n_batches));

    for (uint32_t at = 0; at < source->n; at += rows[n++].n) {
        rows[n].sel = sel + at;
        rows[n].n = row_buffer_take(source->b, source->ordinals + at, source->n - at, &rows[n].batch, sel + at);
    }
    TRY(parquet_write_rows(spec, rows, n, &bytes, ret, err));
    return store_put_soon(t->store, path, buf_str(&bytes), err);
}

/* Those of a large one, by DuckDB. */
static int write_many(struct lake_table *t, const struct parquet_spec *spec, const char *path,
                      struct flush_source *source, struct parquet_file *ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf tmp = {0};

    store_temp_path(t->store, ".parquet", &tmp);
    int rc = parquet_write(t->env->conn, tmp.p, spec, (struct feed_source){next_rows, source}, ret, err);
    mem_free(source->sel);
    return rc ? rc : store_adopt(t->store, tmp.p, path, err);
}

/* `bytes`: of the rows, about. */
static int write_rows(struct lake_table *t, struct lake_file *f, const uint32_t *ordinals, uint32_t n, size_t bytes,
                      struct err *err)
{
    struct parquet_spec spec = {
        .schema = t->write, .stats_fields = t->source->n_fields, .level = 1, .tight_bounds = t->vectors};
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct parquet_file info = {0};
    struct flush_source source = {.b = &t->buffer, .ordinals = ordinals, .n = n};
    bool few = n <= FEW_ROWS && bytes <= FEW_BYTES;

    lake_stats_columns(t, &arena, &spec);
    int rc = (few ? write_few : write_many)(t, &spec, f->path, &source, &info, err);
    f->rows = (uint32_t)info.rows;
    f->size = (int64_t)info.bytes;
    f->stats = buf_take(&info.stats);
    parquet_file_deinit(&info);
    return rc;
}

static int flush_rows(struct lake_table *t, struct err *err)
{
    CLEANUP(lake_groups_deinit) struct lake_groups g = {0};
    uint32_t at = 0;

    TRY(lake_fill_missing(t, err));
    TRY(lake_partition_group(t, &g, err));
    size_t row_bytes = t->buffer.bytes / t->buffer.n_live + 1;
    for (uint32_t i = 0; i < g.n_groups; at += g.n[i++]) {
        uint32_t id = t->next_file++;
        CLEANUP(mem_freep) char *name = lake_file_name(id);
        struct lake_file *f = lake_table_add_file(t, id, str_of(name), g.parts[i]);
        f->pending = f->dv_loaded = true;
        TRY(write_rows(t, f, g.ordinals + at, g.n[i], row_bytes * g.n[i], err));
        TRY(index_rows(t, f, g.ordinals + at, g.n[i], err));
    }
    return 0;
}

int lake_table_flush(struct lake_table *t, struct err *err)
{
    int64_t begin = clock_mono_us();

    if (!t->buffer.n_rows)
        return 0;
    if (t->buffer.n_live && flush_rows(t, err))
        return err_wrap(err, "table %s", t->name);
    row_buffer_reset(&t->buffer);
    t->times.write_us += clock_mono_us() - begin;
    return 0;
}
