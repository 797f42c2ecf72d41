/*
 * Compaction: many small files become one, and files with many masked rows are written without them, so that a table fed
 * for a day at one commit a second has a bounded number of live files and thin deletion vectors.
 *
 * Files are sorted into classes of size, a factor of four apart. When a class holds `compact_files` of them they
 * are merged, together with all smaller ones; so a row is written again once a class, not once a commit. A compaction is
 * a Delta commit of its own that changes no data.
 */
#include "sink/lake_table.h"

#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/parquet_write.h"
#include "engine/scan_files.h"

#include <assert.h>

enum { N_CLASSES = 8, SMALLEST = 16 << 10, MASKED_PERCENT = 25, MERGE_MAX = 512 };

/* SELECT of the live rows of the files, in order of the list. `columns`: the lake's, then those of row ids. */
static int select_live(struct lake_table *t, const struct schema *columns, struct lake_file **files, size_t n,
                       char *const *constants, int64_t scan_id, struct buf *sql, struct err *err)
{
    CLEANUP(buf_deinit) struct buf from = {0}, path = {0};

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
    TRY(lake_file_from(t, files[0], columns, &from, err));
    /* read_parquet('first', …) → read_parquet(['first', 'second', …], …) */
    const char *rest = strstr(from.p, ", hive_partitioning");
    assert(rest);
    buf_add_cstr(sql, " FROM read_parquet([");
    for (size_t i = 0; i < n; i++) {
        buf_reset(&path);
        store_local_path(t->store, files[i]->path, &path);
        buf_add_cstr(sql, i ? "," : "");
        buf_add_sql_literal(sql, buf_str(&path));
    }
    buf_printf(sql, "]%s WHERE dv(%lld, file_index, file_row_number)", rest, (long long)scan_id);
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

static int write_merged(struct lake_table *t, struct lake_file **files, size_t n, char *const *constants,
                        struct lake_file *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0}, tmp = {0};
    CLEANUP(mem_freep) const struct dv **deleted = MEM_NEW_N(const struct dv *, n);
    CLEANUP(row_ids_deinit) struct row_ids row_ids = {0};
    CLEANUP(arena_deinit) struct arena arena = {0};
    find_row_ids(t, files, n, &arena, &row_ids);
    CLEANUP(schema_unrefp) struct schema *columns = schema_with(t->lake, &row_ids);
    struct parquet_spec spec = {.schema = columns, .stats_fields = t->lake->n_fields, .tight_bounds = t->vectors};
    struct scan_files scan = {
        .n = (uint32_t)n, .deleted = deleted, .n_pcols = row_ids.columns[0].n ? 2 : 0, .pcols = row_ids.pcols};
    struct parquet_file info = {0};

    for (size_t i = 0; i < n; i++) {
        TRY(lake_file_load_dv(t, files[i], err));
        deleted[i] = files[i]->masked ? &files[i]->dv : NULL;
    }
    int64_t id = scan_files_register(t->env->engine, &scan);
    lake_stats_columns(t, &arena, &spec);
    store_temp_path(t->store, ".parquet", &tmp);
    int rc = select_live(t, columns, files, n, constants, id, &sql, err);
    if (rc == 0)
        rc = parquet_write_query(t->env->conn, sql.p, tmp.p, &spec, &info, err);
    scan_files_unregister(t->env->engine, id);
    if (rc == 0)
        rc = store_adopt(t->store, tmp.p, out->path, err);
    out->rows = (uint32_t)info.rows;
    out->size = (int64_t)info.bytes;
    out->stats = buf_take(&info.stats);
    parquet_file_deinit(&info);
    return rc;
}

int lake_rewrite(struct lake_table *t, const uint32_t *ids, size_t n, bool changes_data, char *const *constants,
                 struct err *err)
{
    CLEANUP(mem_freep) struct lake_file **files = MEM_NEW_N(struct lake_file *, n);
    uint64_t live = 0;

    for (size_t i = 0; i < n; i++) {
        files[i] = imap_get(&t->files, ids[i]);
        assert(files[i] && lake_file_is_live(files[i]));
        live += files[i]->rows - files[i]->masked;
    }
    uint32_t id = t->next_file++;
    CLEANUP(mem_freep) char *name = lake_file_name(id);
    struct lake_file *out = lake_table_add_file(t, id, str_of(name));
    out->pending = out->dv_loaded = true;
    out->compacted = !changes_data;
    if (write_merged(t, files, n, constants, out, err))
        return err_wrap(err, "table %s, compaction", t->name);
    if (out->rows != live)
        return err_set(err, ERR_INTERNAL, "table %s: compaction read %u rows where %llu should be", t->name, out->rows,
                       (unsigned long long)live);
    crash_point("compaction_written");
    for (size_t i = 0; i < n; i++) {
        files[i]->doomed = true;
        files[i]->compacted = !changes_data;
    }
    if (!t->index)
        return 0;
    /* With a key, the new entry replaces the old one; equal rows without a key have an entry each. */
    for (size_t i = 0; i < n && t->rel->identity == IDENTITY_ROW; i++)
        TRY(lake_index_remove_file(t, files[i], err));
    return lake_index_add_file(t, out, err);
}

static int class_of(const struct lake_table *t, const struct lake_file *f)
{
    int64_t limit = SMALLEST;

    for (int c = 0; c < N_CLASSES; c++, limit *= 4)
        if (f->size < limit && limit <= t->env->target_file_bytes / 2)
            return c;
    return N_CLASSES;
}

/* The files worth merging now: those of the largest full class and all smaller ones. */
static size_t choose_small(struct lake_table *t, uint32_t *ids)
{
    uint32_t count[N_CLASSES + 1] = {0};
    size_t cursor = 0, n = 0;
    int64_t bytes = 0;
    int top = -1;
    void *p;

    while (imap_next(&t->files, &cursor, NULL, &p) == 0)
        count[class_of(t, p)]++;
    for (int c = 0; c < N_CLASSES; c++)
        if (count[c] >= t->env->compact_files)
            top = c;
    for (cursor = 0; top >= 0 && n < MERGE_MAX && imap_next(&t->files, &cursor, NULL, &p) == 0;) {
        struct lake_file *f = p;
        if (class_of(t, f) <= top && bytes + f->size <= t->env->target_file_bytes) {
            ids[n++] = f->id;
            bytes += f->size;
        }
    }
    return n > 1 ? n : 0;
}

static uint32_t choose_masked(struct lake_table *t)
{
    size_t cursor = 0;
    void *p;

    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        struct lake_file *f = p;
        if (f->rows >= 1024 && f->masked * 100 > (uint64_t)f->rows * MASKED_PERCENT)
            return f->id;
    }
    return 0;
}

int lake_compact(struct lake_table *t, struct err *err)
{
    uint32_t ids[MERGE_MAX];
    size_t n;

    if (!t->env->compact_files)
        return 0;
    n = choose_small(t, ids);
    if (!n && (ids[0] = choose_masked(t)))
        n = 1;
    if (!n)
        return 0;
    TRY(lake_rewrite(t, ids, n, false, NULL, err));
    log_debug("compacted", "table=%s files=%zu", t->name, n);
    return lake_commit_compaction(t, err);
}
