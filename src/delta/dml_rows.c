/*
 * Staged rows become files: one select a partition, columns by their physical names, statistics by the Parquet writer.
 */
#include "delta/dml_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/delta_partition.h"
#include "codec/delta_schema.h"
#include "engine/parquet_write.h"

#include <assert.h>
#include <unistd.h>

static bool is_partition(const struct dml *d, uint32_t field)
{
    const struct delta_metadata *m = d->head->metadata;

    for (uint32_t i = 0; i < m->n_partition_columns; i++)
        if (schema_find(d->schema, m->partition_columns[i]) == (int)field)
            return true;
    return false;
}

/* The columns that a data file has; change files have one more. */
static struct schema *file_schema(const struct dml *d, bool changes)
{
    struct schema *s = schema_clone(d->schema);
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->n_fields; i++)
        if (!is_partition(d, i) && s->fields[i].type.id != TYPE_VOID)
            s->fields[n++] = s->fields[i];
    if (changes) {
        struct field *more = ARENA_NEW_N(&s->arena, struct field, n + 1);
        memcpy(more, s->fields, n * sizeof *more);
        more[n++] = (struct field){.name = STR("_change_type"),
                                   .physical = STR("_change_type"),
                                   .type = {.id = TYPE_STRING},
                                   .nullable = true};
        s->fields = more;
    }
    s->n_fields = n;
    return s;
}

static uint32_t stats_columns(const struct dml *d)
{
    int64_t n;
    struct str text = delta_snapshot_property(d->tx->read, STR("delta.dataSkippingNumIndexedCols"));

    if (!str_to_i64(text, &n))
        return 0;
    return n < 0 ? UINT32_MAX : (uint32_t)MIN(n, (int64_t)UINT32_MAX);
}

/* "p=1/q=x/part-<uuid>.zstd.parquet"; with column mapping without folders. */
static void file_key(const struct dml *d, const struct delta_kv *parts, uint32_t n_parts, bool changes, struct buf *out)
{
    char uuid[DELTA_UUID];

    if (changes)
        buf_add_cstr(out, "_change_data/");
    for (uint32_t i = 0; d->head->mapping == DELTA_MAPPING_NONE && i < n_parts; i++) {
        delta_partition_dir(parts[i].key, parts[i].value, out);
        buf_add_char(out, '/');
    }
    buf_printf(out, "%s-%s.zstd.parquet", changes ? "cdc" : "part-00000", delta_uuid(uuid));
}

static void add_action(struct dml *d, const struct parquet_file *file, struct str key, const struct delta_kv *parts,
                       uint32_t n_parts, bool changes)
{
    struct delta_file f = {.path = key,
                           .stats = changes ? (struct str){0} : buf_str(&file->stats),
                           .parts = (struct delta_kv *)parts,
                           .n_parts = n_parts,
                           .size = (int64_t)file->bytes,
                           .time_ms = clock_now_us() / 1000,
                           .num_records = (int64_t)file->rows,
                           .base_row_id = -1,
                           .row_commit_version = -1,
                           .data_change = !changes};

    if (changes) {
        delta_tx_add_cdc(d->tx, &f);
        d->cdc_files++;
        return;
    }
    delta_tx_add_file(d->tx, &f);
    d->result.files_added++;
    d->bytes_added += file->bytes;
}

int dml_write_file(struct dml *d, const char *select, const struct delta_kv *parts, uint32_t n_parts, bool changes,
                   uint64_t *ret_rows, struct err *err)
{
    CLEANUP(schema_unrefp) struct schema *schema = file_schema(d, changes);
    CLEANUP(parquet_file_deinit) struct parquet_file file = {0};
    CLEANUP(buf_deinit) struct buf sql = {0}, tmp = {0}, key = {0};
    struct store *store = d->t->table->store;
    struct parquet_spec spec = {
        .schema = schema, .tight_bounds = d->head->dv, .stats_columns = stats_columns(d), .no_stats = changes};

    if (!stats_columns(d) && delta_snapshot_property(d->tx->read, STR("delta.dataSkippingNumIndexedCols")).n)
        spec.no_stats = true;
    buf_add_cstr(&sql, "SELECT ");
    for (uint32_t i = 0; i < schema->n_fields; i++) {
        buf_add_cstr(&sql, i ? ", " : "");
        buf_add_sql_ident(&sql, schema->fields[i].name);
    }
    buf_printf(&sql, " FROM (%s)", select);
    store_temp_path(store, ".parquet", &tmp);
    TRY(parquet_write_query(d->t->conn, sql.p, tmp.p, &spec, &file, err));
    *ret_rows = file.rows;
    if (!file.rows) {
        unlink(tmp.p);
        return 0;
    }
    file_key(d, parts, n_parts, changes, &key);
    MEM_GROW(d->written, d->n_written, d->cap_written);
    d->written[d->n_written++] = mem_strndup(key.p, key.n);
    TRY(store_adopt(store, tmp.p, key.p, err));
    add_action(d, &file, buf_str(&key), parts, n_parts, changes);
    return 0;
}

/* The empty text and NULL are the same partition. */
static void add_partition_value(const struct dml *d, uint32_t field, struct buf *sql)
{
    const struct field *f = &d->schema->fields[field];

    if (f->type.id == TYPE_STRING)
        buf_add_cstr(sql, "nullif(");
    buf_add_sql_ident(sql, f->name);
    if (f->type.id == TYPE_STRING)
        buf_add_cstr(sql, ", '')");
}

struct partition {
    struct delta_kv *values; /* in the transaction's arena */
};

/* The distinct partitions of `from`. */
static int find_partitions(struct dml *d, const char *from, struct partition **ret, size_t *ret_n, struct err *err)
{
    const struct delta_metadata *m = d->head->metadata;
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0}, text = {0};
    const struct engine_chunk *chunk;
    size_t cap = 0;
    int rc;

    buf_add_cstr(&sql, "SELECT DISTINCT ");
    for (uint32_t k = 0; k < m->n_partition_columns; k++) {
        uint32_t field = (uint32_t)schema_find(d->schema, m->partition_columns[k]);
        bool binary = d->schema->fields[field].type.id == TYPE_BINARY;
        buf_add_cstr(&sql, k ? ", " : "");
        buf_add_cstr(&sql, binary ? "" : "CAST(");
        add_partition_value(d, field, &sql);
        buf_add_cstr(&sql, binary ? "" : " AS VARCHAR)");
    }
    buf_printf(&sql, " FROM %s ORDER BY ALL", from);
    TRY(engine_query(d->t->conn, sql.p, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0) {
        for (uint32_t i = 0; i < chunk->n; i++) {
            MEM_GROW(*ret, *ret_n, cap);
            struct delta_kv *kv = ARENA_NEW_N(&d->tx->arena, struct delta_kv, m->n_partition_columns);
            for (uint32_t k = 0; k < m->n_partition_columns; k++) {
                int field = schema_find(d->schema, m->partition_columns[k]);
                kv[k].key = d->schema->fields[field].physical;
                if (engine_is_null(&chunk->cols[k], i))
                    continue;
                buf_reset(&text);
                TRY(delta_partition_text(&d->schema->fields[field].type, engine_str(&chunk->cols[k], i), &text, err));
                kv[k].value = arena_str(&d->tx->arena, buf_str(&text));
            }
            (*ret)[(*ret_n)++].values = kv;
        }
    }
    return rc < 0 ? rc : 0;
}

static int write_partition(struct dml *d, const char *from, const struct delta_kv *parts, bool changes,
                           uint64_t *ret_rows, struct err *err)
{
    const struct delta_metadata *m = d->head->metadata;
    CLEANUP(buf_deinit) struct buf sql = {0};
    uint64_t rows = 0;

    buf_printf(&sql, "SELECT * FROM %s WHERE true", from);
    for (uint32_t k = 0; k < m->n_partition_columns; k++) {
        uint32_t field = (uint32_t)schema_find(d->schema, m->partition_columns[k]);
        buf_add_cstr(&sql, " AND ");
        add_partition_value(d, field, &sql);
        buf_add_cstr(&sql, " IS NOT DISTINCT FROM ");
        TRY(delta_partition_sql(&d->schema->fields[field].type, parts[k].value, &sql, err));
    }
    TRY(dml_write_file(d, sql.p, parts, m->n_partition_columns, changes, &rows, err));
    *ret_rows += rows;
    return 0;
}

static int write_from(struct dml *d, const char *from, bool changes, uint64_t *ret_rows, struct err *err)
{
    CLEANUP(mem_freep) struct partition *partitions = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    size_t n = 0;

    *ret_rows = 0;
    if (!d->head->metadata->n_partition_columns) {
        buf_printf(&sql, "SELECT * FROM %s", from);
        return dml_write_file(d, sql.p, NULL, 0, changes, ret_rows, err);
    }
    TRY(find_partitions(d, from, &partitions, &n, err));
    for (size_t i = 0; i < n; i++)
        TRY(write_partition(d, from, partitions[i].values, changes, ret_rows, err));
    return 0;
}

int dml_write_rows(struct dml *d, uint64_t *ret_rows, struct err *err)
{
    return write_from(d, "(SELECT * FROM temp." DML_ROWS " WHERE __clause >= 0)", false, ret_rows, err);
}

int dml_write_changes(struct dml *d, const char *select, struct err *err)
{
    CLEANUP(buf_deinit) struct buf from = {0};
    uint64_t rows;

    buf_printf(&from, "(%s)", select);
    return write_from(d, from.p, true, &rows, err);
}
