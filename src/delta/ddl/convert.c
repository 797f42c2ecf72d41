/*
 * CONVERT TO DELTA: list the files, read the partition values off their folders, take the union of their columns as the
 * schema, count rows and make statistics file by file, and commit all as version 0. The data stay where they are.
 */
#include "delta/ddl/convert.h"

#include "base/mem.h"
#include "codec/delta_partition.h"
#include "delta/scan/query_columns.h"
#include "delta/log/transaction.h"
#include "engine/parquet_write.h"

#define NULL_PARTITION "__HIVE_DEFAULT_PARTITION__"

struct converting {
    struct store *store;
    struct engine_conn *conn;
    const struct delta_convert *c;
    struct arena arena;
    struct store_list list;
    struct delta_file *files;
    uint32_t n;
    struct schema *schema, *in_files; /* of the table; without its partition columns */
    struct str *partition_names;
};

static void converting_deinit(struct converting *v)
{
    schema_unref(v->schema);
    schema_unref(v->in_files);
    store_list_deinit(&v->list);
    arena_deinit(&v->arena);
}

/* ---- files and their partitions ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* Hive's escapes: %XX */
static struct str unescape(struct arena *arena, struct str s)
{
    char *out = arena_alloc(arena, s.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        int hi = s.p[i] == '%' && i + 2 < s.n ? hex(s.p[i + 1]) : -1, lo = hi >= 0 ? hex(s.p[i + 2]) : -1;
        out[n++] = lo >= 0 ? (char)(hi << 4 | lo) : s.p[i];
        i += lo >= 0 ? 2 : 0;
    }
    out[n] = 0;
    return str_make(out, n);
}

static int undeclared(const char *key, struct err *err)
{
    err_set(err, ERR_USAGE, "%s: its folders are not the partition columns that were declared", key);
    return err_hint(err, "name the columns of the folders, in their order: … PARTITIONED BY (year INT, month INT)");
}

static int read_partitions(struct converting *v, const char *key, struct delta_file *f, struct err *err)
{
    struct str rest = str_of(key);
    uint32_t n = 0;

    f->parts = ARENA_NEW_N(&v->arena, struct delta_kv, v->c->n_partition + 1);
    while (rest.n) {
        struct str value = str_split(&rest, '/'), name;
        if (!rest.p || !memchr(value.p, '=', value.n))
            continue;
        name = unescape(&v->arena, str_split(&value, '='));
        if (n == v->c->n_partition || !str_eq_nocase(name, v->c->partition[n].name))
            return undeclared(key, err);
        f->parts[n] = (struct delta_kv){v->c->partition[n].name, {0}};
        if (!str_is(value, NULL_PARTITION)) {
            CLEANUP(buf_deinit) struct buf literal = {0};
            f->parts[n].value = unescape(&v->arena, value);
            if (delta_partition_sql(&v->c->partition[n].type, f->parts[n].value, &literal, err) < 0)
                return err_wrap(err, "%s, partition column \"%.*s\"", key, STR_ARG(name));
        }
        n++;
    }
    f->n_parts = n;
    return n == v->c->n_partition ? 0 : undeclared(key, err);
}

/* Is a part of the path hidden? Folders of partitions ("_p=1") are not. */
static bool is_hidden(const char *key)
{
    struct str rest = str_of(key);

    while (rest.n) {
        struct str part = str_split(&rest, '/');
        if (part.n && (part.p[0] == '_' || part.p[0] == '.') && !(rest.p && memchr(part.p, '=', part.n)))
            return true;
    }
    return false;
}

static int list_files(struct converting *v, struct err *err)
{
    TRY(store_list(v->store, "", NULL, true, &v->list, err));
    v->files = ARENA_NEW_N(&v->arena, struct delta_file, v->list.n + 1);
    for (size_t i = 0; i < v->list.n; i++) {
        const struct store_entry *e = &v->list.v[i];
        if (is_hidden(e->key) || !str_has_suffix(str_of(e->key), STR(".parquet")))
            continue;
        struct delta_file *f = &v->files[v->n++];
        *f = (struct delta_file){.path = str_of(e->key),
                                 .size = e->size,
                                 .time_ms = e->time_ms,
                                 .num_records = -1,
                                 .base_row_id = -1,
                                 .row_commit_version = -1,
                                 .data_change = true};
        TRY(read_partitions(v, e->key, f, err));
    }
    return v->n ? 0 : err_set(err, ERR_USAGE, "there is no .parquet file in %s", v->store->name);
}

/* ---- columns ---- */

static void add_path(struct converting *v, const struct delta_file *f, struct buf *sql)
{
    CLEANUP(mem_freep) char *key = mem_strndup(f->path.p, f->path.n);
    CLEANUP(buf_deinit) struct buf path = {0}, pattern = {0};

    store_local_path(v->store, key, &path);
    for (size_t i = 0; i < path.n; i++) /* paths are patterns to DuckDB */
        buf_printf(&pattern, strchr("*?[\\", path.p[i]) ? "[%c]" : "%c", path.p[i]);
    buf_add_sql_literal(sql, buf_str(&pattern));
}

/* Names of a file's columns, at any depth, whose values are instants though their type does not say so. */
static int find_int96(struct converting *v, const struct delta_file *f, struct map *ret, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    const struct engine_chunk *chunk;
    int rc;

    buf_add_cstr(&sql, "SELECT DISTINCT name FROM parquet_schema(");
    add_path(v, f, &sql);
    buf_add_cstr(&sql, ") WHERE type = 'INT96'");
    TRY(engine_query(v->conn, sql.p, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0)
        for (uint32_t i = 0; i < chunk->n; i++) {
            struct str name = arena_str(&v->arena, engine_str(&chunk->cols[0], i));
            map_put(ret, name, v);
        }
    return rc < 0 ? rc : 0;
}

static void mend_instants(const struct map *int96, struct field *fields, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (fields[i].type.id == TYPE_TIMESTAMP_NTZ && map_get(int96, fields[i].name))
            fields[i].type.id = TYPE_TIMESTAMP;
        mend_instants(int96, fields[i].type.children, fields[i].type.n_children);
    }
}

static bool is_partition(const struct converting *v, struct str name)
{
    for (uint32_t k = 0; k < v->c->n_partition; k++)
        if (str_eq_nocase(name, v->c->partition[k].name))
            return true;
    return false;
}

static bool merge_fields(struct field **into, uint32_t *n_into, struct field *from, uint32_t n, struct arena *arena);

static bool is_int32(enum type_id id) /* to Parquet */
{
    return id == TYPE_BYTE || id == TYPE_SHORT || id == TYPE_INTEGER;
}

/* `into` also takes the values of `from`, as Spark has it: statistics and readers go by what the files hold, so that only a
 * type of the same bytes can become a wider one. */
static bool merge_type(struct type *into, struct type *from, struct arena *arena)
{
    if (is_int32(into->id) && is_int32(from->id)) {
        into->id = MAX(into->id, from->id);
        return true;
    }
    if (into->id != from->id || into->precision != from->precision || into->scale != from->scale)
        return false;
    if (into->id == TYPE_STRUCT)
        return merge_fields(&into->children, &into->n_children, from->children, from->n_children, arena);
    for (uint32_t i = 0; i < into->n_children; i++)
        if (!merge_type(&into->children[i].type, &from->children[i].type, arena))
            return false;
    return true;
}

static struct field *find_field(struct field *fields, uint32_t n, struct str name)
{
    for (uint32_t i = 0; i < n; i++)
        if (str_eq_nocase(fields[i].name, name))
            return &fields[i];
    return NULL;
}

/* New fields come last. */
static bool merge_fields(struct field **into, uint32_t *n_into, struct field *from, uint32_t n, struct arena *arena)
{
    uint32_t n_old = *n_into;
    struct field *all = ARENA_NEW_N(arena, struct field, n_old + n + 1);

    for (uint32_t i = 0; i < n_old; i++)
        all[i] = (*into)[i];
    for (uint32_t i = 0; i < n; i++) {
        struct field *old = find_field(all, n_old, from[i].name);
        if (!old)
            all[(*n_into)++] = from[i];
        else if (!merge_type(&old->type, &from[i].type, arena))
            return false;
    }
    *into = all;
    return true;
}

static int check_name(struct str name, struct err *err)
{
    if (!delta_schema_is_odd_name(name))
        return 0;
    return err_set(err, ERR_USAGE, "the column \"%.*s\" has a character that a Delta table's names may not have",
                   STR_ARG(name));
}

static int two_types(const struct converting *v, const struct delta_file *f, const struct field *here,
                     const struct type *before, struct err *err)
{
    CLEANUP(buf_deinit) struct buf a = {0}, b = {0};

    type_text(&here->type, &a);
    type_text(before, &b);
    err_set(err, ERR_USAGE, "%.*s: the column \"%.*s\" is %.*s there and %.*s in other files", STR_ARG(f->path),
            STR_ARG(here->name), STR_ARG(buf_str(&a)), STR_ARG(buf_str(&b)));
    return err_hint(err,
                    "CREATE TABLE t AS SELECT * FROM read_parquet('%s/**/*.parquet', union_by_name = true) copies the "
                    "rows into files of one type",
                    v->store->name);
}

/* The columns of one file join those of the files before it. */
static int add_columns(struct converting *v, const struct delta_file *f, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    CLEANUP(map_deinit) struct map int96 = {0};
    struct schema *s = v->in_files;
    struct field *fields;
    uint32_t n;

    buf_add_cstr(&sql, "SELECT * FROM read_parquet(");
    add_path(v, f, &sql);
    buf_add_cstr(&sql, ", hive_partitioning = false)");
    TRY(delta_query_columns(v->conn, sql.p, &v->arena, &fields, &n, err));
    TRY(find_int96(v, f, &int96, err));
    mend_instants(&int96, fields, n);
    for (uint32_t i = 0; i < n; i++) {
        struct field *old = find_field(s->fields, s->n_fields, fields[i].name);
        struct type before = old ? type_clone(&old->type, &v->arena) : (struct type){0};
        TRY(check_name(fields[i].name, err));
        if (!is_partition(v, fields[i].name) && !merge_fields(&s->fields, &s->n_fields, &fields[i], 1, &v->arena))
            return two_types(v, f, &fields[i], &before, err);
    }
    return 0;
}

static int read_columns(struct converting *v, struct err *err)
{
    struct schema *s = v->schema = schema_new(), *inner = v->in_files = schema_new();

    for (uint32_t i = 0; i < v->n; i++)
        TRY(add_columns(v, &v->files[i], err));
    s->fields = ARENA_NEW_N(&v->arena, struct field, inner->n_fields + v->c->n_partition + 1);
    for (uint32_t i = 0; i < inner->n_fields; i++)
        s->fields[s->n_fields++] = inner->fields[i];
    v->partition_names = ARENA_NEW_N(&v->arena, struct str, v->c->n_partition + 1);
    for (uint32_t k = 0; k < v->c->n_partition; k++) {
        s->fields[s->n_fields] = v->c->partition[k];
        s->fields[s->n_fields].physical = s->fields[s->n_fields].name;
        v->partition_names[k] = s->fields[s->n_fields++].name;
    }
    return inner->n_fields ? 0 : err_set(err, ERR_USAGE, "the files have no column beside those of the partitions");
}

/* ---- statistics ---- */

/* The columns as the table has them, whatever the file has. */
static int columns_sql(const struct converting *v, struct buf *out, struct err *err)
{
    for (uint32_t i = 0; i < v->in_files->n_fields; i++) {
        CLEANUP(buf_deinit) struct buf type = {0};
        buf_add_cstr(out, i ? ", " : ", hive_partitioning = false, schema = map {");
        buf_add_sql_literal(out, v->in_files->fields[i].name);
        buf_add_cstr(out, ": {name: ");
        buf_add_sql_literal(out, v->in_files->fields[i].name);
        buf_add_cstr(out, ", type: ");
        TRY(parquet_type_sql(&v->in_files->fields[i].type, &type, err));
        buf_add_sql_literal(out, buf_str(&type));
        buf_add_cstr(out, ", default_value: NULL}");
    }
    buf_add_cstr(out, "})");
    return 0;
}

static int add_stats(struct converting *v, struct err *err)
{
    CLEANUP(parquet_file_deinit) struct parquet_file info = {0};
    CLEANUP(buf_deinit) struct buf sql = {0}, columns = {0};
    struct parquet_spec spec = {.schema = v->in_files, .no_stats = v->c->no_statistics};

    TRY(columns_sql(v, &columns, err));
    for (uint32_t i = 0; i < v->n; i++) {
        struct delta_file *f = &v->files[i];
        buf_reset(&sql);
        buf_add_cstr(&sql, "read_parquet(");
        add_path(v, f, &sql);
        buf_add_str(&sql, buf_str(&columns));
        if (parquet_stats_query(v->conn, sql.p, &spec, &info, err) < 0)
            return err_wrap(err, "file %.*s", STR_ARG(f->path));
        f->num_records = (int64_t)info.rows;
        f->stats = arena_str(&v->arena, buf_str(&info.stats));
    }
    return 0;
}

static struct str parameters(struct converting *v)
{
    CLEANUP(buf_deinit) struct buf json = {0}, names = {0};

    for (uint32_t k = 0; k < v->c->n_partition; k++) {
        buf_add_cstr(&names, k ? "," : "[");
        buf_add_json_str(&names, v->partition_names[k]);
    }
    buf_add_cstr(&names, v->c->n_partition ? "]" : "[]");
    buf_printf(&json, "{\"numFiles\":%u,\"partitionedBy\":", v->n);
    buf_add_json_str(&json, buf_str(&names));
    buf_printf(&json, ",\"collectStats\":%s,\"sourceFormat\":\"parquet\"}", v->c->no_statistics ? "false" : "true");
    return arena_str(&v->arena, buf_str(&json));
}

static int convert(struct converting *v, struct err *err)
{
    CLEANUP(delta_table_freep) struct delta_table *table = NULL;
    struct delta_create create = {.operation = "CONVERT"};

    TRY(list_files(v, err));
    TRY(read_columns(v, err));
    TRY(add_stats(v, err));
    create.schema = v->schema;
    create.partition_columns = v->partition_names;
    create.n_partition_columns = v->c->n_partition;
    create.files = v->files;
    create.n_files = v->n;
    create.parameters = parameters(v);
    create.metrics = str_of(arena_printf(&v->arena, "{\"numConvertedFiles\":\"%u\"}", v->n));
    return delta_table_create(v->store, engine_of(v->conn), &create, &table, err);
}

int delta_convert(struct store *store, struct engine_conn *conn, const struct delta_convert *c, uint64_t *ret_files,
                  struct err *err)
{
    CLEANUP(converting_deinit) struct converting v = {.store = store, .conn = conn, .c = c};
    bool exists;

    *ret_files = 0;
    TRY(delta_table_exists(store, &exists, err));
    if (exists)
        return 0;
    TRY(convert(&v, err));
    *ret_files = v.n;
    return 0;
}
