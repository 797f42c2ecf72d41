/* SELECT → data files, a partition at a time. */
#include "delta/dml/data_file.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/delta_partition.h"
#include "delta/dml/stats_columns.h"
#include "delta/log/transaction.h"
#include "engine/parquet_write.h"

#include <assert.h>
#include <unistd.h>

/* One call under way. */
struct writing {
    struct engine_conn *conn;
    struct store *store;
    const struct delta_data *data;
    const struct delta_metadata *m;
    struct schema *schema; /* of a file */
    struct arena *arena;
    struct delta_data_files *files;
};

static struct str property(const struct delta_metadata *m, const char *key)
{
    return delta_kv_get(m->configuration, m->n_configuration, str_of(key));
}

static bool is_partition(const struct writing *w, uint32_t field)
{
    for (uint32_t i = 0; i < w->m->n_partition_columns; i++)
        if (schema_find(w->data->head->schema, w->m->partition_columns[i]) == (int)field)
            return true;
    return false;
}

static void add_column(struct schema *s, struct str logical, struct str physical, enum type_id type)
{
    s->fields[s->n_fields++] = (struct field){
        .name = logical, .physical = arena_str(&s->arena, physical), .type = {.id = type}, .nullable = true};
}

/* The columns that a file has. */
static int file_schema(struct writing *w, struct err *err)
{
    const struct schema *table = w->data->head->schema;
    struct schema *s = w->schema = schema_clone(table);

    s->fields = ARENA_NEW_N(&s->arena, struct field, table->n_fields + 3);
    s->n_fields = 0;
    for (uint32_t i = 0; i < table->n_fields; i++)
        if (!is_partition(w, i) && table->fields[i].type.id != TYPE_VOID)
            s->fields[s->n_fields++] = table->fields[i];
    if (w->data->changes)
        add_column(s, STR("_change_type"), STR("_change_type"), TYPE_STRING);
    if (w->data->row_ids) {
        struct str id = property(w->m, "delta.rowTracking.materializedRowIdColumnName");
        struct str version = property(w->m, "delta.rowTracking.materializedRowCommitVersionColumnName");
        if (!id.n || !version.n)
            return err_set(err, ERR_INPUT, "%s tracks rows, but no property names the columns for their ids",
                           w->store->name);
        add_column(s, STR(DELTA_ROW_ID), id, TYPE_LONG);
        add_column(s, STR(DELTA_ROW_VERSION), version, TYPE_LONG);
    }
    return 0;
}

/* "p=1/q=x/part-00000-<uuid>.zstd.parquet"; with column mapping without folders. */
static void file_key(const struct writing *w, const struct delta_kv *parts, uint32_t n, struct buf *out)
{
    char uuid[DELTA_UUID];

    if (w->data->changes)
        buf_add_cstr(out, "_change_data/");
    for (uint32_t i = 0; w->data->head->mapping == DELTA_MAPPING_NONE && i < n; i++) {
        delta_partition_dir(parts[i].key, parts[i].value, out);
        buf_add_char(out, '/');
    }
    buf_printf(out, "%s-%s.zstd.parquet", w->data->changes ? "cdc" : "part-00000", delta_uuid(uuid));
}

static void add_file(struct writing *w, const struct parquet_file *file, struct str key, const struct delta_kv *parts,
                     uint32_t n_parts)
{
    struct delta_data_files *files = w->files;
    struct delta_file f = {.path = key,
                           .stats = w->data->changes ? (struct str){0} : buf_str(&file->stats),
                           .parts = (struct delta_kv *)parts,
                           .n_parts = n_parts,
                           .size = (int64_t)file->bytes,
                           .time_ms = clock_now_us() / 1000,
                           .num_records = (int64_t)file->rows,
                           .base_row_id = -1,
                           .row_commit_version = -1,
                           .data_change = !w->data->changes};

    if (files->n == files->cap) {
        struct delta_file *v = ARENA_NEW_N(w->arena, struct delta_file, files->cap ? files->cap * 2 : 4);
        if (files->n)
            memcpy(v, files->v, files->n * sizeof *v);
        files->v = v;
        files->cap = files->cap ? files->cap * 2 : 4;
    }
    files->v[files->n++] = delta_file_copy(&f, w->arena);
    files->rows += file->rows;
    files->bytes += file->bytes;
}

static struct parquet_spec file_spec(const struct writing *w)
{
    struct parquet_spec spec = {.schema = w->schema,
                                .any_order = w->data->any_order,
                                .level = w->data->level,
                                .tight_bounds = w->data->head->dv,
                                .no_stats = w->data->changes,
                                .bare_variants = w->data->bare_variants,
                                .stats_fields = w->schema->n_fields - (w->data->row_ids ? 2 : 0)};

    delta_stats_columns(w->data->head, w->arena, &spec);
    return spec;
}

static int write_file(struct writing *w, const char *select, const struct delta_kv *parts, uint32_t n_parts,
                      struct err *err)
{
    CLEANUP(parquet_file_deinit) struct parquet_file file = {0};
    CLEANUP(buf_deinit) struct buf sql = {0}, tmp = {0}, key = {0};
    struct parquet_spec spec = file_spec(w);

    buf_add_cstr(&sql, "SELECT ");
    for (uint32_t i = 0; i < w->schema->n_fields; i++) {
        buf_add_cstr(&sql, i ? ", " : "");
        buf_add_sql_ident(&sql, w->schema->fields[i].name);
    }
    buf_printf(&sql, " FROM (%s)", select);
    store_temp_path(w->store, ".parquet", &tmp);
    TRY(parquet_write_query(w->conn, sql.p, tmp.p, &spec, &file, err));
    if (!file.rows) {
        unlink(tmp.p);
        return 0;
    }
    file_key(w, parts, n_parts, &key);
    TRY(store_adopt(w->store, tmp.p, key.p, err));
    add_file(w, &file, buf_str(&key), parts, n_parts);
    return 0;
}

/* The empty text and NULL are the same partition. */
static void add_partition_value(const struct field *f, struct buf *sql)
{
    if (f->type.id == TYPE_STRING)
        buf_add_cstr(sql, "nullif(");
    buf_add_sql_ident(sql, f->name);
    if (f->type.id == TYPE_STRING)
        buf_add_cstr(sql, ", '')");
}

static const struct field *partition_field(const struct writing *w, uint32_t k)
{
    int field = schema_find(w->data->head->schema, w->m->partition_columns[k]);

    assert(field >= 0);
    return &w->data->head->schema->fields[field];
}

struct partition {
    struct delta_kv *values; /* in the arena */
};

/* The distinct partitions of the rows. */
static int find_partitions(struct writing *w, struct partition **ret, size_t *ret_n, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0}, text = {0};
    const struct engine_chunk *chunk;
    size_t cap = 0;
    int rc;

    buf_add_cstr(&sql, "SELECT DISTINCT ");
    for (uint32_t k = 0; k < w->m->n_partition_columns; k++) {
        const struct field *f = partition_field(w, k);
        bool binary = f->type.id == TYPE_BINARY;
        buf_add_cstr(&sql, k ? ", " : "");
        buf_add_cstr(&sql, binary ? "" : "CAST(");
        add_partition_value(f, &sql);
        buf_add_cstr(&sql, binary ? "" : " AS VARCHAR)");
    }
    buf_printf(&sql, " FROM %s ORDER BY ALL", w->data->from);
    TRY(engine_query(w->conn, sql.p, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0) {
        for (uint32_t i = 0; i < chunk->n; i++) {
            MEM_GROW(*ret, *ret_n, cap);
            struct delta_kv *kv = ARENA_NEW_N(w->arena, struct delta_kv, w->m->n_partition_columns);
            for (uint32_t k = 0; k < w->m->n_partition_columns; k++) {
                const struct field *f = partition_field(w, k);
                kv[k].key = arena_str(w->arena, f->physical);
                if (engine_is_null(&chunk->cols[k], i))
                    continue;
                buf_reset(&text);
                TRY(delta_partition_text(&f->type, engine_str(&chunk->cols[k], i), &text, err));
                kv[k].value = arena_str(w->arena, buf_str(&text));
            }
            (*ret)[(*ret_n)++].values = kv;
        }
    }
    return rc < 0 ? rc : 0;
}

static int write_partition(struct writing *w, const struct delta_kv *parts, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_printf(&sql, "SELECT * FROM %s WHERE true", w->data->from);
    for (uint32_t k = 0; k < w->m->n_partition_columns; k++) {
        const struct field *f = partition_field(w, k);
        buf_add_cstr(&sql, " AND ");
        add_partition_value(f, &sql);
        buf_add_cstr(&sql, " IS NOT DISTINCT FROM ");
        TRY(delta_partition_sql(&f->type, parts[k].value, &sql, err));
    }
    return write_file(w, sql.p, parts, w->m->n_partition_columns, err);
}

static int write_all(struct writing *w, struct err *err)
{
    CLEANUP(mem_freep) struct partition *partitions = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    size_t n = 0;

    TRY(file_schema(w, err));
    if (!w->m->n_partition_columns || w->data->parts) {
        buf_printf(&sql, "SELECT * FROM %s", w->data->from);
        return write_file(w, sql.p, w->data->parts, w->data->parts ? w->data->n_parts : 0, err);
    }
    TRY(find_partitions(w, &partitions, &n, err));
    for (size_t i = 0; i < n; i++)
        TRY(write_partition(w, partitions[i].values, err));
    return 0;
}

int delta_data_write(struct engine_conn *conn, struct store *store, const struct delta_data *data, struct arena *arena,
                     struct delta_data_files *ret, struct err *err)
{
    struct writing w = {conn, store, data, data->head->metadata, NULL, arena, ret};
    int rc = write_all(&w, err);

    schema_unref(w.schema);
    return rc;
}

void delta_data_drop(struct store *store, const struct delta_data_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        CLEANUP(mem_freep) char *key = mem_strndup(files->v[i].path.p, files->v[i].path.n);
        (void)!store_remove(store, key, NULL);
    }
}
