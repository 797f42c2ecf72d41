/*
 * Files with masked rows into one without: what compaction, copy-on-write and the values of added columns have in common.
 *
 *   prepare   what to read, with the vectors as they are now; a number and a name for the new file     thread of the table
 *   run       reads, writes, syncs; reads the keys of what it wrote                                     any thread
 *   take      the new file takes the place of the old ones                                             thread of the table
 *
 * Between prepare and take the table may go on. When an old file is gone by then (rewritten, truncated), the result is
 * thrown away. Rows that were masked meanwhile are masked in the new file too: rows keep their order, so that row r of
 * input i is row (live rows of the inputs before i) + r - (rows masked before r when it began).
 */
#include "sink/lake_merge.h"

#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "delta/index/key_hash.h"
#include "engine/parquet_write.h"
#include "engine/scan_files.h"
#include "sink/lake_file.h"

#include <assert.h>
#include <unistd.h>

enum { HASHES_MAX = 2 << 20 }; /* rows whose keys are kept for take(), 16 bytes each; else take() reads them itself */

struct input {
    uint32_t id;
    uint32_t rows;     /* physical */
    struct dv deleted; /* at prepare() */
};

/* SELECT of the live rows of the files, in order of the list. `columns`: the lake's, then those of row ids. */
static int select_live(struct lake_table *t, const struct schema *columns, struct lake_file **files, size_t n,
                       char *const *constants, int64_t scan_id, struct buf *sql, struct err *err)
{
    buf_add_cstr(sql, "SELECT ");
    for (uint32_t i = 0; i < columns->n_fields; i++) {
        bool own = i < t->lake->n_fields;
        buf_add_cstr(sql, i ? ", " : "");
        if (own && constants && constants[i]) {
            buf_add_cstr(sql, constants[i]);
            continue;
        }
        buf_add_cstr(sql, own ? "" : "coalesce(");
        buf_add_sql_ident(sql, columns->fields[i].physical);
        if (!own)
            buf_printf(sql, ", pval_long(%lld, %u, file_index)%s)", (long long)scan_id, i - t->lake->n_fields,
                       i == t->lake->n_fields ? " + file_row_number" : "");
    }
    buf_add_cstr(sql, " FROM ");
    TRY(lake_files_from(t, files, n, columns, sql, err));
    buf_printf(sql, " WHERE dv(%lld, file_index, file_row_number) = 1::UTINYINT", (long long)scan_id);
    return 0;
}

/*
 * Row tracking: the ids that the rows have, as two more columns of the new file, under the names that the table's properties
 * say. A file that is not in the log yet has none to keep.
 */
struct row_ids {
    struct str columns[2]; /* physical; empty: the table does not track rows */
    int64_t *numbers[2];   /* a file: its base id, its version */
    bool *absent;          /* a file */
    struct scan_pcol pcols[2];
};

static void row_ids_deinit(struct row_ids *ids)
{
    mem_free(ids->numbers[0]);
    mem_free(ids->numbers[1]);
    mem_free(ids->absent);
}

static void find_row_ids(const struct lake_table *t, struct lake_file **files, size_t n, struct arena *arena,
                         struct row_ids *ret)
{
    struct delta_snapshot *s = t->delta ? delta_table_snapshot(t->delta) : NULL;

    if (s && s->head->row_tracking) {
        ret->columns[0] = delta_snapshot_property(s, STR("delta.rowTracking.materializedRowIdColumnName"));
        ret->columns[1] = delta_snapshot_property(s, STR("delta.rowTracking.materializedRowCommitVersionColumnName"));
        ret->absent = MEM_NEW_N(bool, n);
        for (unsigned k = 0; k < 2; k++) {
            ret->columns[k] = arena_str(arena, ret->columns[k]);
            ret->numbers[k] = MEM_NEW_N(int64_t, n);
            ret->pcols[k] = (struct scan_pcol){.kind = PVAL_LONG, .number = ret->numbers[k], .is_null = ret->absent};
        }
        for (size_t i = 0; i < n; i++) {
            const struct delta_file *f = delta_snapshot_find(s, str_of(files[i]->path));
            ret->absent[i] = !f || f->base_row_id < 0;
            ret->numbers[0][i] = f ? f->base_row_id : -1;
            ret->numbers[1][i] = f ? f->row_commit_version : -1;
        }
    }
    delta_snapshot_unref(s);
}

/* The columns of the file with those of the ids after them. */
static struct schema *schema_with(const struct schema *columns, const struct row_ids *ids)
{
    struct schema *s = schema_clone(columns);
    struct field *fields = ARENA_NEW_N(&s->arena, struct field, s->n_fields + 2);

    memcpy(fields, s->fields, s->n_fields * sizeof *fields);
    s->fields = fields;
    for (unsigned k = 0; k < 2 && ids->columns[k].n; k++) {
        struct str name = arena_str(&s->arena, ids->columns[k]);
        s->fields[s->n_fields++] =
            (struct field){.name = name, .physical = name, .type = {.id = TYPE_LONG}, .nullable = true};
    }
    return s;
}

struct lake_merge {
    struct lake_job job; /* first */
    struct engine *engine;
    struct store *store;
    struct arena arena;
    size_t n;
    struct input *in;
    uint64_t live; /* rows that the new file will have */
    uint32_t id;
    char *path; /* of the new file */
    struct lake_partition *part;
    struct schema *columns;
    struct row_ids row_ids;
    struct parquet_spec spec;
    struct scan_files scan;
    int64_t scan_id;
    struct buf sql, tmp;
    struct lake_keys keys; /* how to read the keys of the new file; n 0: not to be read */
    /* of run() */
    struct parquet_file file;
    struct hash128 *hashes;
};

void lake_merge_free(struct lake_merge *m)
{
    if (!m)
        return;
    scan_files_unregister(m->engine, m->scan_id);
    for (size_t i = 0; i < m->n; i++)
        dv_deinit(&m->in[i].deleted);
    row_ids_deinit(&m->row_ids);
    schema_unref(m->columns);
    lake_keys_deinit(&m->keys);
    parquet_file_deinit(&m->file);
    buf_deinit(&m->sql);
    buf_deinit(&m->tmp);
    mem_free(m->path);
    mem_free(m->hashes);
    store_unref(m->store);
    arena_deinit(&m->arena);
    mem_free(m);
}

struct lake_job *lake_merge_job(struct lake_merge *m)
{
    return &m->job;
}

/* ---- run ---- */

static int read_keys(struct lake_merge *m, struct engine_conn *conn, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;
    uint64_t n = 0;
    int rc;

    m->hashes = MEM_NEW_N(struct hash128, m->live + 1);
    TRY(engine_query(conn, m->keys.sql.p, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0) {
        if (n + chunk->n > m->live || engine_i64(&chunk->cols[0], 0) != (int64_t)n)
            return err_set(err, ERR_INTERNAL, "%s is not read in order", m->path);
        lake_keys_hash(&m->keys, chunk, m->hashes + n);
        n += chunk->n;
    }
    TRY(rc);
    return n == m->live ? 0 : err_set(err, ERR_INTERNAL, "%s: rows are missing", m->path);
}

static int merge_run(struct lake_job *job, struct engine_conn *conn, struct err *err)
{
    struct lake_merge *m = (struct lake_merge *)job;

    TRY(parquet_write_query(conn, m->sql.p, m->tmp.p, &m->spec, &m->file, err));
    if (m->file.rows != m->live) {
        unlink(m->tmp.p);
        return err_set(err, ERR_INTERNAL, "compaction read %llu rows where %llu should be",
                       (unsigned long long)m->file.rows, (unsigned long long)m->live);
    }
    TRY(store_adopt(m->store, m->tmp.p, m->path, err));
    crash_point("compaction_written");
    return m->keys.n && m->live <= HASHES_MAX ? read_keys(m, conn, err) : 0;
}

/* ---- prepare ---- */

static int take_inputs(struct lake_table *t, struct lake_merge *m, const uint32_t *ids, struct lake_file **files,
                       struct err *err)
{
    const struct dv **deleted = ARENA_NEW_N(&m->arena, const struct dv *, m->n);

    for (size_t i = 0; i < m->n; i++) {
        struct lake_file *f = files[i] = imap_get(&t->files, ids[i]);
        assert(f && lake_file_is_live(f) && f->part == files[0]->part);
        TRY(lake_file_load_dv(t, f, err));
        m->in[i] = (struct input){.id = f->id, .rows = f->rows};
        dv_clone(&f->dv, &m->in[i].deleted);
        deleted[i] = f->masked ? &m->in[i].deleted : NULL;
        m->live += f->rows - f->masked;
    }
    find_row_ids(t, files, m->n, &m->arena, &m->row_ids);
    m->scan = (struct scan_files){
        .n = (uint32_t)m->n, .deleted = deleted, .n_pcols = m->row_ids.columns[0].n ? 2 : 0, .pcols = m->row_ids.pcols};
    return 0;
}

int lake_merge_prepare(struct lake_table *t, const uint32_t *ids, size_t n, char *const *constants,
                       struct lake_merge **ret, struct err *err)
{
    CLEANUP(lake_merge_freep) struct lake_merge *m = MEM_NEW(struct lake_merge);
    CLEANUP(mem_freep) struct lake_file **files = MEM_NEW_N(struct lake_file *, n);

    m->job.run = merge_run;
    m->engine = t->env->engine;
    m->store = store_ref(t->store);
    m->scan_id = scan_files_register(m->engine, &m->scan);
    m->n = n;
    m->in = ARENA_NEW_N(&m->arena, struct input, n);
    TRY(take_inputs(t, m, ids, files, err));
    m->columns = schema_with(t->lake, &m->row_ids);
    m->spec =
        (struct parquet_spec){.schema = m->columns, .stats_fields = t->lake->n_fields, .tight_bounds = t->vectors};
    lake_stats_columns(t, &m->arena, &m->spec);
    m->id = t->next_file++;
    m->path = lake_file_name(m->id);
    m->part = files[0]->part;
    store_temp_path(t->store, ".parquet", &m->tmp);
    TRY(select_live(t, m->columns, files, n, constants, m->scan_id, &m->sql, err));
    if (t->index)
        TRY(lake_keys_of(t, &(struct lake_file){.path = m->path}, &m->keys, err));
    *ret = TAKE_PTR(m);
    return 0;
}

/* ---- take ---- */

/* All inputs are there as they were, but for rows that were masked. */
static bool is_current(const struct lake_table *t, const struct lake_merge *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct lake_file *f = imap_get(&t->files, m->in[i].id);
        if (!f || !lake_file_is_live(f))
            return false;
        assert(f->rows == m->in[i].rows && f->masked >= dv_cardinality(&m->in[i].deleted));
    }
    return true;
}

/* Rows of one input that were masked since, in the new file, where the input begins at `base`. */
static void mask_again(const struct input *in, const struct lake_file *f, uint64_t base, struct lake_file *out)
{
    struct dv fresh = {0};
    struct dv_iter now, then;
    uint64_t first, n, gone_first = 0, gone_n = 0, gone = 0;

    if (f->masked == dv_cardinality(&in->deleted))
        return;
    dv_clone(&f->dv, &fresh);
    dv_subtract(&fresh, &in->deleted);
    dv_iter_init(&now, &fresh, 0);
    dv_iter_init(&then, &in->deleted, 0);
    bool more = dv_iter_next(&then, &gone_first, &gone_n) == 0;
    while (dv_iter_next(&now, &first, &n) == 0) {
        while (more && gone_first < first) {
            gone += gone_n;
            more = dv_iter_next(&then, &gone_first, &gone_n) == 0;
        }
        dv_add_range(&out->dv, base + first - gone, n);
    }
    dv_deinit(&fresh);
}

static void mask_all_again(struct lake_table *t, const struct lake_merge *m, struct lake_file *out)
{
    uint64_t base = 0;

    for (size_t i = 0; i < m->n; i++) {
        mask_again(&m->in[i], imap_get(&t->files, m->in[i].id), base, out);
        base += m->in[i].rows - dv_cardinality(&m->in[i].deleted);
    }
    assert(base == m->live);
    out->masked = dv_cardinality(&out->dv);
    out->dv_dirty = out->masked > 0;
}

/* Equal rows without a key have an entry each: the old ones go. Hashes are in the order of the inputs' rows. */
static int drop_entries(struct lake_table *t, const struct lake_merge *m, const struct lake_file *out, struct err *err)
{
    uint32_t at = 0;

    for (size_t i = 0; i < m->n; i++)
        for (uint32_t row = 0; row < m->in[i].rows; row++) {
            if (dv_contains(&m->in[i].deleted, row))
                continue;
            if (!dv_contains(&out->dv, at))
                TRY(key_index_del(t->index, m->hashes[at], m->in[i].id, row, err));
            at++;
        }
    return 0;
}

static int put_entries(struct lake_table *t, const struct lake_merge *m, const struct lake_file *out, struct err *err)
{
    uint32_t n = (uint32_t)m->live;

    if (t->rel->identity == IDENTITY_ROW)
        TRY(drop_entries(t, m, out, err));
    for (uint32_t row = 0, end; row < n; row = end + 1) {
        for (end = row; end < n && !dv_contains(&out->dv, end); end++)
            if (t->rel->identity == IDENTITY_ROW)
                TRY(key_index_put(t->index, m->hashes[end], out->id, end, err));
        if (t->rel->identity == IDENTITY_KEY && end > row)
            TRY(key_index_replace_batch(t->index, m->hashes + row, end - row, out->id, row, err));
    }
    return 0;
}

static int take_index(struct lake_table *t, const struct lake_merge *m, struct lake_file *out, struct err *err)
{
    if (!t->index)
        return 0;
    if (m->hashes && m->keys.fingerprint == key_fingerprint(t->write, t->key_cols, t->n_keys))
        return lake_index_rc(t, put_entries(t, m, out, err), err);
    for (size_t i = 0; i < m->n && t->rel->identity == IDENTITY_ROW; i++)
        TRY(lake_index_remove_file(t, imap_get(&t->files, m->in[i].id), err));
    return lake_index_add_file(t, out, err);
}

void lake_merge_discard(struct lake_merge *m)
{
    struct err why;

    if (store_remove(m->store, m->path, &why))
        log_err(LOG_WARN, "file_left", &why);
}

int lake_merge_take(struct lake_table *t, struct lake_merge *m, bool changes_data, bool *ret_taken, struct err *err)
{
    *ret_taken = is_current(t, m);
    if (!*ret_taken) {
        lake_merge_discard(m);
        return 0;
    }
    struct lake_file *out = lake_table_add_file(t, m->id, str_of(m->path), m->part);
    out->pending = out->dv_loaded = true;
    out->compacted = !changes_data;
    out->rows = (uint32_t)m->file.rows;
    out->size = (int64_t)m->file.bytes;
    out->stats = buf_take(&m->file.stats);
    mask_all_again(t, m, out);
    TRY(take_index(t, m, out, err));
    for (size_t i = 0; i < m->n; i++) {
        struct lake_file *f = imap_get(&t->files, m->in[i].id);
        f->doomed = true;
        f->compacted = !changes_data;
    }
    return 0;
}

int lake_rewrite(struct lake_table *t, const uint32_t *ids, size_t n, bool changes_data, char *const *constants,
                 struct err *err)
{
    CLEANUP(lake_merge_freep) struct lake_merge *m = NULL;
    bool taken;

    TRY(lake_merge_prepare(t, ids, n, constants, &m, err));
    if (merge_run(&m->job, t->env->conn, err))
        return err_wrap(err, "table %s, compaction", t->name);
    TRY(lake_merge_take(t, m, changes_data, &taken, err));
    assert(taken);
    return 0;
}
