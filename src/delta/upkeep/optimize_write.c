/*
 * A run of files written anew, as it is or sorted.
 *
 * Sorting by several columns: each value becomes its rank scaled to a few bits, so that every column has the same say
 * whatever its type and spread, and the bits of the ranks are interleaved (Morton, "Z" curve):
 *
 *     ranks  a = a2 a1 a0, b = b2 b1 b0      key = a2 b2 a1 b1 a0 b0
 */
#include "base/mem.h"
#include "delta/log/clustering.h"
#include "delta/upkeep/optimize_internal.h"
#include "delta/scan/scan.h"

#include <assert.h>

#define SORTED "__sluice_sorted"
enum { KEY_BITS = 62, RANK_BITS = 10 };

/* ---- the columns to sort by ---- */

static int find(const struct field *fields, uint32_t n, struct str name, bool physical)
{
    for (uint32_t i = 0; i < n; i++)
        if (physical ? str_eq(fields[i].physical, name) : str_eq_nocase(fields[i].name, name))
            return (int)i;
    return -1;
}

/* Appends the column that the path names, as SQL and as the user says it. */
static int add_sort(struct optimizing *z, struct delta_path path, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0}, name = {0};
    const struct field *fields = z->head->schema->fields;
    uint32_t n = z->head->schema->n_fields;

    for (uint32_t k = 0; k < path.n; k++) {
        int i = find(fields, n, path.parts[k], false);
        if (i < 0)
            return err_set(err, ERR_USAGE, "ZORDER BY: the table has no column \"%.*s\"", STR_ARG(path.parts[k]));
        buf_add_cstr(&sql, k ? "." : "");
        buf_add_sql_ident(&sql, fields[i].name);
        buf_printf(&name, "%s%.*s", k ? "." : "", STR_ARG(fields[i].name));
        n = fields[i].type.id == TYPE_STRUCT ? fields[i].type.n_children : 0;
        fields = fields[i].type.children;
    }
    for (uint32_t k = 0; path.n == 1 && k < z->head->metadata->n_partition_columns; k++)
        if (str_eq_nocase(z->head->metadata->partition_columns[k], buf_str(&name)))
            return err_set(err, ERR_USAGE, "ZORDER BY %s: the table is partitioned by it", name.p);
    z->sort[z->n_sort] = arena_str(&z->tx->arena, buf_str(&sql));
    z->names[z->n_sort++] = arena_str(&z->tx->arena, buf_str(&name));
    return 0;
}

static int add_sorts(struct optimizing *z, const struct delta_path *columns, uint32_t n, struct err *err)
{
    if (!n)
        return 0;
    z->sort = ARENA_NEW_N(&z->tx->arena, struct str, n);
    z->names = ARENA_NEW_N(&z->tx->arena, struct str, n);
    for (uint32_t i = 0; i < n; i++)
        TRY(add_sort(z, columns[i], err));
    return 0;
}

static int clustered_by(struct optimizing *z, struct err *err)
{
    struct delta_path *columns;
    char uuid[DELTA_UUID];
    uint32_t n;

    TRY(delta_clustering_read(z->tx->read, &z->tx->arena, &columns, &n, err));
    if (!n)
        return 0;
    z->clustered = true;
    TRY(add_sorts(z, columns, n, err));
    CLEANUP(buf_deinit) struct buf tags = {0}, names = {0};
    for (uint32_t i = 0; i < z->n_sort; i++) {
        buf_add_cstr(&names, i ? "," : "[");
        buf_add_json_str(&names, z->names[i]);
    }
    buf_add_char(&names, ']');
    buf_printf(&tags, "{\"ZCUBE_ID\":\"%s\",\"ZCUBE_ZORDER_BY\":", delta_uuid(uuid));
    buf_add_json_str(&tags, buf_str(&names));
    buf_add_char(&tags, '}');
    z->tags = arena_str(&z->tx->arena, buf_str(&tags));
    return 0;
}

int optimize_sort_columns(struct optimizing *z, struct err *err)
{
    const struct delta_optimize *o = z->o;

    if (!o->purge)
        TRY(clustered_by(z, err));
    if (z->clustered && o->n_zorder)
        return err_set(err, ERR_USAGE, "the table is clustered: OPTIMIZE sorts it by its own columns, not ZORDER BY");
    if (z->clustered && o->where.n)
        return err_set(err, ERR_USAGE, "the table is clustered: it has no partitions that WHERE could choose");
    if (o->full && !z->clustered)
        return err_set(err, ERR_USAGE, "OPTIMIZE … FULL is for tables with CLUSTER BY");
    return add_sorts(z, o->zorder, z->clustered ? 0 : o->n_zorder, err);
}

/* ---- columns that were dropped ---- */

/* Is the leaf "a, b, list, element" of a file one of a field that the table has? */
static bool is_known(const struct optimizing *z, struct str leaf)
{
    const struct field *fields = z->head->schema->fields;
    uint32_t n = z->head->schema->n_fields;

    while (leaf.n) {
        struct str name = str_trim(str_split(&leaf, ','));
        int i = find(fields, n, name, true);
        if (i < 0)
            return false;
        if (fields[i].type.id != TYPE_STRUCT)
            return true;
        n = fields[i].type.n_children;
        fields = fields[i].type.children;
    }
    return true;
}

static int find_extra(struct optimizing *z, const struct delta_file *f, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0}, path = {0};
    CLEANUP(mem_freep) char *key = mem_strndup(f->path.p, f->path.n);
    const struct engine_chunk *chunk;
    int rc;

    store_local_path(z->t->store, key, &path);
    buf_add_cstr(&sql, "SELECT DISTINCT path_in_schema FROM parquet_metadata(");
    buf_add_sql_literal(&sql, buf_str(&path));
    buf_add_char(&sql, ')');
    TRY(engine_query(z->conn, sql.p, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0)
        for (uint32_t i = 0; i < chunk->n; i++)
            if (!is_known(z, engine_str(&chunk->cols[0], i)))
                map_put(&z->extra, f->path, (void *)(uintptr_t)f);
    return rc < 0 ? rc : 0;
}

int optimize_find_extra(struct optimizing *z, struct err *err)
{
    const struct delta_file *f;
    size_t cursor = 0;

    if (z->head->mapping == DELTA_MAPPING_NONE) /* no column can be dropped there */
        return 0;
    while ((f = delta_snapshot_next(z->tx->read, &cursor)))
        TRY(find_extra(z, f, err));
    return 0;
}

/* ---- rewriting ---- */

static void add_key(const struct optimizing *z, struct buf *sql)
{
    uint32_t k = z->n_sort, bits = MIN(MAX(KEY_BITS / k, 1), RANK_BITS);

    for (uint32_t i = 0; i < k; i++)
        for (uint32_t b = 0; b < bits && b * k + k - 1 - i < KEY_BITS; b++)
            buf_printf(sql, "%s(((__z%u >> %u) & 1) << %u)", i || b ? " + " : "", i, b, b * k + k - 1 - i);
}

/* The rows in the order that they shall have. */
static void sorted_sql(const struct optimizing *z, const char *scan, struct buf *sql)
{
    uint32_t bits = MIN(MAX(KEY_BITS / z->n_sort, 1), RANK_BITS);

    if (z->n_sort == 1) {
        buf_printf(sql, "SELECT * FROM (%s) ORDER BY %.*s", scan, STR_ARG(z->sort[0]));
        return;
    }
    buf_add_cstr(sql, "SELECT * FROM (SELECT *");
    for (uint32_t i = 0; i < z->n_sort; i++)
        buf_printf(sql, ", (rank() OVER (ORDER BY %.*s) - 1) * %u // count(*) OVER () AS __z%u", STR_ARG(z->sort[i]),
                   1u << bits, i);
    buf_printf(sql, " FROM (%s)) ORDER BY ", scan);
    add_key(z, sql);
}

static int write_rows(struct optimizing *z, const char *select, const struct delta_file *like, struct err *err)
{
    CLEANUP(buf_deinit) struct buf from = {0};
    struct delta_data data = {.head = z->head,
                              .parts = like->parts,
                              .n_parts = like->n_parts,
                              .row_ids = z->head->row_tracking,
                              .any_order = !z->n_sort,
                              .bare_variants = z->bare_variants};

    buf_printf(&from, "(%s)", select);
    data.from = from.p;
    return delta_data_write(z->conn, z->t->store, &data, &z->tx->arena, &z->written, err);
}

/* Sorted rows that make several files wait in a temporary table, to be cut by row number. */
static int write_pieces(struct optimizing *z, const char *select, uint64_t pieces, const struct delta_file *like,
                        struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    int64_t rows;

    buf_printf(&sql, "CREATE OR REPLACE TEMP TABLE " SORTED " AS %s", select);
    TRY(engine_exec(z->conn, sql.p, err));
    TRY(engine_query_i64(z->conn, "SELECT count(*) FROM temp." SORTED, &rows, err));
    int64_t step = (rows + (int64_t)pieces - 1) / (int64_t)pieces;
    for (int64_t at = 0; at < rows; at += step) {
        long long from = at, to = at + step;
        buf_reset(&sql);
        buf_printf(&sql, "SELECT * FROM temp." SORTED " WHERE rowid >= %lld AND rowid < %lld", from, to);
        TRY(write_rows(z, sql.p, like, err));
    }
    return 0;
}

static int write_run(struct optimizing *z, const char *scan, int64_t bytes, const struct delta_file *like,
                     struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    uint64_t pieces = (uint64_t)((bytes + z->target - 1) / z->target);

    if (!z->n_sort)
        return write_rows(z, scan, like, err);
    sorted_sql(z, scan, &sql);
    if (pieces <= 1)
        return write_rows(z, sql.p, like, err);
    int rc = write_pieces(z, sql.p, pieces, like, err);
    (void)!engine_exec(z->conn, "DROP TABLE IF EXISTS temp." SORTED, NULL);
    return rc;
}

static void note_removed(struct optimizing *z, const struct delta_file *f)
{
    struct delta_sizes *r = &z->r.removed;
    int64_t size = MAX(f->size, 0);

    delta_tx_remove_file(z->tx, f, false);
    r->min = r->n ? MIN(r->min, size) : size;
    r->max = MAX(r->max, size);
    r->bytes += size;
    r->n++;
    z->r.vectors_removed += f->dv != NULL;
}

static void note_added(struct optimizing *z, const struct delta_file *f)
{
    struct delta_file add = *f;
    struct delta_file_extra extra = {z->tags, STR("liquid")};

    add.data_change = false;
    if (z->clustered)
        add.extra = &extra;
    delta_tx_add_file(z->tx, &add);
}

int optimize_rewrite(struct optimizing *z, const struct delta_file *const *files, size_t n, struct err *err)
{
    CLEANUP(delta_scan_freep) struct delta_scan *scan = NULL;
    struct delta_scan_options options = {.files = files,
                                         .n_files = (uint32_t)n,
                                         .with_row_ids = z->head->row_tracking,
                                         .variants = DELTA_VARIANTS_COPIED};
    size_t first = z->written.n;
    uint64_t rows = z->written.rows;
    int64_t live = 0, bytes = 0;
    bool known = true;

    for (size_t i = 0; i < n; i++) {
        known &= files[i]->num_records >= 0;
        live += files[i]->num_records - (files[i]->dv ? files[i]->dv->cardinality : 0);
        bytes += MAX(files[i]->size, 0);
    }
    TRY(delta_scan_new(engine_of(z->conn), z->t->store, z->tx->read, &options, &scan, err));
    z->bare_variants = delta_scan_is_bare(scan);
    TRY(write_run(z, delta_scan_sql(scan), bytes, files[0], err));
    rows = z->written.rows - rows;
    if (known && rows != (uint64_t)live)
        return err_set(err, ERR_INPUT, "%s: %llu rows were read of %zu files that should have %lld", z->tx->operation.p,
                       (unsigned long long)rows, n, (long long)live);
    for (size_t i = 0; i < n; i++)
        note_removed(z, files[i]);
    for (size_t i = first; i < z->written.n; i++)
        note_added(z, &z->written.v[i]);
    return 0;
}
