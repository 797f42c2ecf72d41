/*
 * Opening, applying, flushing. The commit is in lake_commit.c, files and their vectors in lake_file.c.
 *
 * What a row does, by operation:
 *   INSERT, READ   a key that is there already is replaced (a copy and the stream may overlap)
 *   UPDATE         masks the old row, found by the key of the OP_BEFORE row ahead of it, or else by its own
 *   DELETE         masks the old row
 * Tables without a key: INSERT only adds; UPDATE and DELETE take one row that is equal in every column.
 */
#include "sink/lake_table.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/pg_schema.h"
#include "delta/index/key_hash.h"
#include "engine/parquet_write.h"
#include "sink/lake_file.h"
#include "sink/lake_partition.h"

#include <assert.h>
#include <stdio.h>

enum {
    PREFETCH = 32, /* rows ahead of the one whose key is looked up; so many the disk may be asked for at once */
    FEW_ROWS = 10000,
    FEW_BYTES = 4 << 20, /* flushes up to these sizes do not go through DuckDB */
};

static struct lake_table *table_new(const struct lake_env *env, struct table_name name)
{
    struct lake_table *t = MEM_NEW(struct lake_table);
    CLEANUP(mem_freep)
    char *path = mem_printf("%s/%.*s/%.*s", env->root, STR_ARG(name.schema), STR_ARG(name.table));

    t->env = env;
    t->name = mem_printf("%.*s.%.*s", STR_ARG(name.schema), STR_ARG(name.table));
    t->store = store_local_new(path);
    t->vectors = lake_has_vectors(env, name);
    t->feed = env->feeds_changes && env->feeds_changes(env->ctx, name);
    t->next_file = 1;
    t->compacted_to = -1;
    return t;
}

static void forget_files(struct lake_table *t)
{
    size_t cursor = 0;
    void *f;

    while (imap_next(&t->files, &cursor, NULL, &f) == 0)
        lake_file_free(f);
    imap_deinit(&t->files);
}

void lake_table_free(struct lake_table *t)
{
    if (!t)
        return;
    lake_table_stop_work(t);
    forget_files(t);
    lake_partition_deinit(t);
    arena_deinit(&t->part_arena);
    key_index_free(t->index);
    row_buffer_deinit(&t->buffer);
    delta_table_free(t->delta);
    store_unref(t->store);
    relation_unref(t->rel);
    schema_unref(t->source);
    schema_unref(t->lake);
    schema_unref(t->write);
    schema_unref(t->tracked);
    mem_free(t->row_id);
    mem_free(t->key_cols);
    mem_free(t->hashes);
    mem_free(t->reason);
    mem_free(t->name);
    mem_free(t);
}

/* Rows of a file whose writer did not say how many. */
static int count_rows(struct lake_table *t, struct lake_file *f, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0}, path = {0};
    int64_t rows;

    store_local_path(t->store, f->path, &path);
    buf_add_cstr(&sql, "SELECT count(*) FROM read_parquet(");
    buf_add_sql_literal(&sql, buf_str(&path));
    buf_add_cstr(&sql, ", hive_partitioning=false)");
    TRY(engine_query_i64(t->env->conn, sql.p, &rows, err));
    f->rows = (uint32_t)rows;
    return 0;
}

/* Fills t->files from the log, instead of what is there. */
static int load_files(struct lake_table *t, struct err *err)
{
    struct delta_snapshot *s = delta_table_snapshot(t->delta);
    const struct delta_file *df;
    size_t cursor = 0;
    int rc = 0;

    forget_files(t);
    while (rc == 0 && (df = delta_snapshot_next(s, &cursor))) {
        uint32_t id = lake_file_id(df->path);
        if (imap_get(&t->files, id)) {
            rc = err_set(err, ERR_UNSUPPORTED, "table %s: two data files have the number %u", t->name, id);
            break;
        }
        struct lake_file *f = lake_table_add_file(t, id, df->path, lake_partition_logged(t, df));
        f->size = df->size;
        f->rows = (uint32_t)MAX(df->num_records, 0);
        if (df->num_records < 0 && t->env->conn)
            rc = count_rows(t, f, err);
        f->masked = df->dv ? (uint64_t)df->dv->cardinality : 0;
        f->dv_loaded = df->dv == NULL;
    }
    delta_snapshot_unref(s);
    return rc;
}

int lake_table_open(const struct lake_env *env, struct table_name name, struct lake_table **ret, struct err *err)
{
    CLEANUP(lake_table_freep) struct lake_table *t = table_new(env, name);
    bool exists;
    int64_t position, next_file, gone;

    *ret = NULL;
    TRY(delta_table_exists(t->store, &exists, err));
    if (!exists)
        return 0;
    int rc = delta_table_open(t->store, env->engine, &t->delta, err);
    if (rc == ERR_INPUT || rc == ERR_NOT_FOUND)
        err_wrap(err, "it cannot be read (remove its folder, and --resync copies it anew)");
    if (rc)
        return err_wrap(err, "table %s", t->name);
    t->delta->checkpoint_interval = env->checkpoint_interval;
    struct delta_snapshot *s = delta_table_snapshot(t->delta);
    t->compacted_to = s->version;
    if (delta_snapshot_txn(s, str_of(env->app_id), &position))
        t->position = (uint64_t)position;
    CLEANUP(mem_freep) char *files_app = mem_printf("%s" LAKE_FILES_APP, env->app_id);
    if (delta_snapshot_txn(s, str_of(files_app), &next_file))
        t->next_file = (uint32_t)next_file;
    CLEANUP(mem_freep) char *gone_app = mem_printf("%s" LAKE_GONE_APP, env->app_id);
    if (delta_snapshot_txn(s, str_of(gone_app), &gone))
        t->gone = (uint64_t)gone;
    snprintf(t->uuid, sizeof t->uuid, "%.*s", STR_ARG(s->head->metadata->id));
    t->lake = schema_clone(s->head->schema);
    t->mapped = s->head->mapping != DELTA_MAPPING_NONE;
    int64_t max_id = 0;
    if (str_to_i64(delta_snapshot_property(s, STR("delta.columnMapping.maxColumnId")), &max_id))
        t->max_column_id = (int32_t)max_id;
    t->schema_dirty = t->vectors != str_is(delta_snapshot_property(s, STR("delta.enableDeletionVectors")), "true") ||
                      (t->feed && !s->head->cdf);
    struct str row_id = delta_snapshot_property(s, STR("delta.rowTracking.materializedRowIdColumnName"));
    t->row_id = s->head->row_tracking && row_id.n ? mem_strndup(row_id.p, row_id.n) : NULL;
    struct str storage = delta_snapshot_property(s, STR("sluice.storage"));
    int64_t attributes = 0;
    if (str_to_i64(str_split(&storage, ' '), &t->storage) && str_to_i64(str_split(&storage, ' '), &attributes))
        t->attributes = (int)attributes;
    if (!str_to_i64(storage, &t->shape))
        t->shape = 0; /* of a table that was made before this was noted */
    struct err why;
    rc = lake_partition_open(t, s->head->metadata, &why);
    delta_snapshot_unref(s);
    if (rc == ERR_UNSUPPORTED)
        lake_table_quarantine(t, why.msg);
    else if (rc)
        return err_set(err, why.code, "%s", why.msg);
    TRY(load_files(t, err));
    *ret = TAKE_PTR(t);
    return 0;
}

int lake_table_stage(const struct lake_env *env, const struct relation *rel, const struct schema *schema,
                     uint64_t position, uint64_t hold_until, struct lake_table **ret, struct err *err)
{
    struct table_name name = {rel->schema, rel->name};
    CLEANUP(lake_table_freep) struct lake_table *t = NULL;

    TRY(lake_table_open(env, name, &t, err));
    if (t) { /* copied anew: its files go when the new ones come */
        size_t cursor = 0;
        void *f;
        while (imap_next(&t->files, &cursor, NULL, &f) == 0)
            ((struct lake_file *)f)->doomed = true;
        t->replace_all = true;
        schema_unref(TAKE_PTR(t->lake));
        TRY(lake_index_drop(t, err));
    } else {
        t = table_new(env, name);
        delta_uuid(t->uuid);
    }
    t->state = LAKE_STAGED;
    t->position = position;
    t->hold_until = hold_until;
    t->dirty = true;
    TRY(lake_partition_stage(t, name, schema, err));
    TRY(lake_table_relation(t, rel, schema, err));
    *ret = TAKE_PTR(t);
    return 0;
}

void lake_table_quarantine(struct lake_table *t, const char *reason)
{
    mem_free(t->reason);
    t->reason = mem_strdup(reason);
    t->state = LAKE_QUARANTINED;
    row_buffer_reset(&t->buffer);
    key_index_free(TAKE_PTR(t->index));
    t->dirty = false;
}

int lake_table_relation(struct lake_table *t, const struct relation *rel, const struct schema *schema, struct err *err)
{
    CLEANUP(schema_unrefp) struct schema *before = t->lake ? schema_ref(t->lake) : NULL;

    TRY(lake_table_flush(t, err));
    uint64_t old = t->n_keys ? key_fingerprint(t->write, t->key_cols, t->n_keys) : 0;
    TRY(lake_schema_evolve(t, rel, schema, err));
    relation_unref(t->rel);
    schema_unref(t->source);
    t->rel = relation_ref(rel);
    t->source = schema_ref(schema);
    t->key_cols = mem_realloc_n(t->key_cols, rel->n_columns + 1, sizeof *t->key_cols);
    t->n_keys = 0;
    for (uint32_t i = 0; i < rel->n_columns; i++)
        if ((rel->identity == IDENTITY_KEY && rel->columns[i].key_seq) ||
            (rel->identity == IDENTITY_ROW && key_type_ok(&schema->fields[i].type)))
            t->key_cols[t->n_keys++] = (int)i;
    if (old && (!t->n_keys || old != key_fingerprint(t->write, t->key_cols, t->n_keys))) {
        key_index_free(t->index); /* the key is another: the index is built anew by the next row */
        t->index = NULL;
    }
    return lake_backfill(t, before, err);
}

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

int lake_table_find(struct lake_table *t, struct hash128 hash, struct lake_file **ret, uint32_t *ret_row,
                    struct err *err)
{
    struct key_cursor c = key_index_get(t->index, hash);
    uint32_t file;

    *ret = NULL;
    while (!*ret && key_cursor_next(&c, &file, ret_row) == 0)
        TRY(lake_table_live_row(t, file, *ret_row, ret, err));
    return 0;
}

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

/* ---- flush: the live rows of the buffer as Parquet files, one a partition ---- */

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
