/*
 * Snapshot → SELECT text.
 *
 *   SELECT c0 AS "id", CASE WHEN c1 IS NULL THEN NULL ELSE struct_pack("x" := struct_extract_at(c1, 1)) END AS "st",
 *          pval_date(7, 0, file_index) AS "day"
 *   FROM read_parquet(['/t/a.parquet', …], hive_partitioning = false,
 *        schema = map {'col-1': {name: 'c0', type: 'BIGINT', default_value: NULL}, …})
 *   WHERE dv(7, file_index, file_row_number) = 1::UTINYINT
 *
 * The map names columns c0, c1, … so that no column of the table can hide the virtual ones. file_index counts in the list
 * as given only while DuckDB prunes no file by itself: hence hive_partitioning = false and never filename = true.
 */
#include "delta/scan/scan.h"

#include "base/map.h"
#include "base/mem.h"
#include "codec/delta_partition.h"
#include "codec/dv.h"
#include "delta/scan/char_pad.h"
#include "delta/scan/scan_structs.h"
#include "delta/scan/scan_variants.h"
#include "engine/parquet_write.h"
#include "engine/rename.h"
#include "engine/scan_files.h"

#include <assert.h>

/* A partition column: its value a file, directly or as a number of a literal in a list. */
struct part {
    enum pval_kind kind;
    bool listed;
    struct str *text;
    int64_t *number;
    bool *is_null;
    struct buf literals; /* listed: "lit, lit, …" */
    struct map seen;     /* listed: text of the log → number + 1 */
    int64_t n_literals;
};

struct delta_scan {
    struct engine *engine;
    struct delta_snapshot *snapshot;
    const struct delta_head *head; /* the snapshot's or the caller's */
    int64_t id;
    uint32_t n;
    const struct delta_file **files;
    struct dv *dvs;            /* a file */
    const struct dv **deleted; /* a file; NULL where it has none */
    uint32_t n_parts;
    uint32_t *part_fields; /* index in the schema */
    struct part *parts;
    struct scan_pcol *pcols; /* n_parts; then, with row ids, the base id and the version of each file */
    bool row_ids, change_type;
    uint32_t n_numbers;
    int64_t *row_numbers[2];
    bool *no_row_ids;
    struct arena arena;
    const struct type **read_as; /* a column; NULL: as its type, all of them or this one */
    struct scan_variants variants;
    struct scan_files registered;
    struct buf sql;
};

/* The file of deletion vectors read last: the vectors of a commit mostly lie in one. */
struct dv_cache {
    struct buf path, bytes;
};

/* An absolute path is a URI: file:///a%20b */
static int open_path(struct buf *path, struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct str decoded;

    TRY(delta_path_decode(arena_str(&arena, buf_str(path)), &arena, &decoded, err));
    buf_reset(path);
    buf_add_str(path, decoded);
    return 0;
}

static int dv_load(struct store *store, const struct delta_file *file, struct dv_cache *cache, struct dv *ret,
                   struct err *err)
{
    const struct delta_dv_desc *d = file->dv;
    CLEANUP(buf_deinit) struct buf path = {0};

    if (d->storage == 'i')
        return dv_inline_read(d->path_or_inline, d->size, d->cardinality, ret, err);
    TRY(dv_path(d->storage, d->path_or_inline, &path, err));
    if (d->storage == 'p')
        TRY(open_path(&path, err));
    if (!str_eq(buf_str(&path), buf_str(&cache->path))) {
        buf_reset(&cache->path);
        buf_reset(&cache->bytes);
        TRY(store_get(store, path.p, &cache->bytes, err));
        buf_add_str(&cache->path, buf_str(&path));
    }
    return dv_file_read(cache->bytes.p, cache->bytes.n, MAX(d->offset, 0), d->size, d->cardinality, ret, err);
}

int delta_dv_load(struct store *store, const struct delta_file *file, struct dv *ret, struct err *err)
{
    struct dv_cache cache = {0};
    int rc = file->dv ? dv_load(store, file, &cache, ret, err) : 0;

    buf_deinit(&cache.path);
    buf_deinit(&cache.bytes);
    if (rc < 0)
        err_wrap(err, "deletion vector of %.*s", STR_ARG(file->path));
    return rc;
}

static int load_dvs(struct delta_scan *scan, struct store *store, struct err *err)
{
    struct dv_cache cache = {0};
    int rc = 0;

    for (uint32_t i = 0; i < scan->n && rc == 0; i++) {
        if (!scan->files[i]->dv)
            continue;
        if (!scan->dvs) {
            scan->dvs = MEM_NEW_N(struct dv, scan->n);
            scan->deleted = MEM_NEW_N(const struct dv *, scan->n);
        }
        rc = dv_load(store, scan->files[i], &cache, &scan->dvs[i], err);
        if (rc < 0)
            err_wrap(err, "deletion vector of %.*s", STR_ARG(scan->files[i]->path));
        scan->deleted[i] = &scan->dvs[i];
    }
    buf_deinit(&cache.path);
    buf_deinit(&cache.bytes);
    return rc;
}

static int load_files(struct delta_scan *scan, struct store *store, const struct delta_scan_options *o, struct err *err)
{
    size_t cursor = 0;
    const struct delta_file *file;

    if (o->count_only)
        return 0;
    scan->n = o->files ? o->n_files : (uint32_t)scan->snapshot->n_files;
    scan->files = MEM_NEW_N(const struct delta_file *, scan->n + 1);
    if (o->files) {
        memcpy(scan->files, o->files, scan->n * sizeof *scan->files);
    } else {
        uint32_t n = 0;
        while ((file = delta_snapshot_next(scan->snapshot, &cursor))) {
            assert(n < scan->n);
            scan->files[n++] = file;
        }
        assert(n == scan->n);
    }
    return o->with_deleted ? 0 : load_dvs(scan, store, err);
}

/* The value of one file. Kinds that are not long, date or string become literals in a list, each once. */
static int part_add(struct part *part, const struct type *type, uint32_t i, struct str value, struct err *err)
{
    if (part->listed) {
        intptr_t known = (intptr_t)map_get(&part->seen, value);
        if (!known) {
            if (part->n_literals)
                buf_add_cstr(&part->literals, ", ");
            TRY(delta_partition_sql(type, value, &part->literals, err));
            known = (intptr_t)++part->n_literals;
            map_put(&part->seen, value, (void *)known);
        }
        part->number[i] = known;
        return 0;
    }
    if (part->kind == PVAL_TEXT) {
        part->text[i] = value;
        return 0;
    }
    bool ok =
        part->kind == PVAL_DATE ? delta_partition_days(value, &part->number[i]) : str_to_i64(value, &part->number[i]);
    return ok ? 0 : err_set(err, ERR_INPUT, "\"%.*s\" is no value of its type", STR_ARG(value));
}

static int load_part(struct delta_scan *scan, uint32_t k, struct err *err)
{
    const struct field *f = &scan->head->schema->fields[scan->part_fields[k]];
    struct part *part = &scan->parts[k];

    part->kind = f->type.id == TYPE_STRING ? PVAL_TEXT : f->type.id == TYPE_DATE ? PVAL_DATE : PVAL_LONG;
    part->listed =
        f->type.id != TYPE_STRING && f->type.id != TYPE_DATE && !(f->type.id >= TYPE_BYTE && f->type.id <= TYPE_LONG);
    part->text = MEM_NEW_N(struct str, scan->n + 1);
    part->number = MEM_NEW_N(int64_t, scan->n + 1);
    part->is_null = MEM_NEW_N(bool, scan->n + 1);
    for (uint32_t i = 0; i < scan->n; i++) {
        const struct delta_file *file = scan->files[i];
        struct str value = delta_kv_get(file->parts, file->n_parts, f->physical);
        part->is_null[i] = !value.n; /* the empty text is NULL, for every type */
        if (value.n && part_add(part, &f->type, i, value, err) < 0)
            return err_wrap(err, "file %.*s, partition column \"%.*s\"", STR_ARG(file->path), STR_ARG(f->name));
    }
    scan->pcols[k] = (struct scan_pcol){part->kind, part->text, part->number, part->is_null};
    return 0;
}

static int load_parts(struct delta_scan *scan, struct err *err)
{
    const struct delta_metadata *m = scan->head->metadata;

    scan->n_parts = m->n_partition_columns;
    scan->part_fields = MEM_NEW_N(uint32_t, scan->n_parts + 1);
    scan->parts = MEM_NEW_N(struct part, scan->n_parts + 1);
    scan->pcols = MEM_NEW_N(struct scan_pcol, scan->n_parts + 2 + DELTA_SCAN_NUMBERS);
    for (uint32_t k = 0; k < scan->n_parts; k++) {
        int field = schema_find(scan->head->schema, m->partition_columns[k]);
        if (field < 0)
            return err_set(err, ERR_INPUT, "the partition column \"%.*s\" is not in the schema",
                           STR_ARG(m->partition_columns[k]));
        scan->part_fields[k] = (uint32_t)field;
        TRY(load_part(scan, k, err));
    }
    return 0;
}

/* Paths are patterns to DuckDB: what would mean something in one is put in brackets. */
static void path_sql(struct store *store, struct str key, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf path = {0}, pattern = {0};
    CLEANUP(mem_freep) char *name = mem_strndup(key.p, key.n);

    store_local_path(store, name, &path);
    for (size_t i = 0; i < path.n; i++) {
        if (strchr("*?[\\", path.p[i]))
            buf_printf(&pattern, "[%c]", path.p[i]);
        else
            buf_add_char(&pattern, path.p[i]);
    }
    buf_add_sql_literal(out, buf_str(&pattern));
}

static void footers_sql(const struct delta_scan *scan, struct store *store, struct buf *sql)
{
    buf_add_cstr(sql, "parquet_schema([");
    for (uint32_t i = 0; i < scan->n; i++) {
        buf_add_cstr(sql, i ? ", " : "");
        path_sql(store, scan->files[i]->path, sql);
    }
    buf_add_cstr(sql, "])");
}

/*
 * A file without any ids, in a table whose columns are mapped by id, would read as nothing but NULLs, and a rewrite would make
 * that last. The protocol lets a reader refuse it, as Spark does.
 */
static int check_ids(const struct delta_scan *scan, struct store *store, struct err *err)
{
    CLEANUP(engine_conn_freep) struct engine_conn *conn = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0}, name = {0};

    if (!scan->n || scan->head->mapping != DELTA_MAPPING_ID || scan->change_type)
        return 0;
    buf_add_cstr(&sql, "SELECT coalesce(min(file_name), '') FROM (SELECT file_name FROM ");
    footers_sql(scan, store, &sql);
    buf_add_cstr(&sql, " GROUP BY file_name HAVING count(field_id) = 0)");
    TRY(engine_connect(scan->engine, &conn, err));
    TRY(engine_query_text(conn, sql.p, &name, err));
    return name.n ? err_set(err, ERR_UNSUPPORTED, "the table's columns are mapped by id, and %s has no ids", name.p)
                  : 0;
}

/*
 * The columns that hold row ids have no number, and DuckDB finds all columns by their numbers or all by their names. So it is by
 * names, where a table's columns are mapped by id, too; which is right as long as no file calls a numbered column otherwise.
 */
static int check_names(struct delta_scan *scan, struct store *store, struct err *err)
{
    CLEANUP(engine_conn_freep) struct engine_conn *conn = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    const struct schema *schema = scan->head->schema;
    int64_t others;

    if (!scan->n)
        return 0;
    buf_add_cstr(&sql, "SELECT count(*) FROM ");
    footers_sql(scan, store, &sql);
    buf_add_cstr(&sql, " WHERE false");
    for (uint32_t i = 0; i < schema->n_fields; i++) {
        buf_printf(&sql, " OR (field_id = %d AND name <> ", schema->fields[i].id);
        buf_add_sql_literal(&sql, schema->fields[i].physical);
        buf_add_char(&sql, ')');
    }
    TRY(engine_connect(scan->engine, &conn, err));
    TRY(engine_query_i64(conn, sql.p, &others, err));
    if (others)
        return err_set(
            err, ERR_UNSUPPORTED,
            "row ids of a table whose columns are mapped by id, and named otherwise in its files, cannot be kept");
    return 0;
}

/* Base row id and default commit version of each file, as two more values a file. */
static int load_row_ids(struct delta_scan *scan, struct store *store, struct err *err)
{
    if (!scan->row_ids)
        return 0;
    if (scan->head->mapping == DELTA_MAPPING_ID)
        TRY(check_names(scan, store, err));
    scan->no_row_ids = MEM_NEW_N(bool, scan->n + 1);
    scan->row_numbers[0] = MEM_NEW_N(int64_t, scan->n + 1);
    scan->row_numbers[1] = MEM_NEW_N(int64_t, scan->n + 1);
    for (uint32_t i = 0; i < scan->n; i++) {
        scan->row_numbers[0][i] = scan->files[i]->base_row_id;
        scan->row_numbers[1][i] = scan->files[i]->row_commit_version;
        scan->no_row_ids[i] = scan->files[i]->base_row_id < 0;
    }
    for (uint32_t k = 0; k < 2; k++)
        scan->pcols[scan->n_parts + k] =
            (struct scan_pcol){.kind = PVAL_LONG, .number = scan->row_numbers[k], .is_null = scan->no_row_ids};
    return 0;
}

static uint32_t first_number(const struct delta_scan *scan)
{
    return scan->n_parts + (scan->row_ids ? 2 : 0);
}

static void load_numbers(struct delta_scan *scan, const struct delta_scan_options *o)
{
    assert(o->n_numbers <= DELTA_SCAN_NUMBERS);
    scan->n_numbers = o->n_numbers;
    for (uint32_t k = 0; k < o->n_numbers; k++)
        scan->pcols[first_number(scan) + k] = (struct scan_pcol){.kind = PVAL_LONG, .number = o->numbers[k]};
}

static int part_of(const struct delta_scan *scan, uint32_t field)
{
    for (uint32_t k = 0; k < scan->n_parts; k++)
        if (scan->part_fields[k] == field)
            return (int)k;
    return -1;
}

static int part_sql(const struct delta_scan *scan, uint32_t k, const struct type *type, struct buf *out,
                    struct err *err)
{
    const struct part *part = &scan->parts[k];
    static const char *calls[] = {[PVAL_TEXT] = "pval", [PVAL_LONG] = "pval_long", [PVAL_DATE] = "pval_date"};
    bool cast = part->listed || (part->kind == PVAL_LONG && type->id != TYPE_LONG);

    if (cast)
        buf_add_cstr(out, "CAST(");
    if (part->listed && !part->n_literals)
        buf_add_cstr(out, "NULL");
    else if (part->listed)
        buf_printf(out, "list_extract([%.*s], ", STR_ARG(buf_str(&part->literals)));
    if (!part->listed || part->n_literals)
        buf_printf(out, "%s(%lld, %u, file_index)", calls[part->kind], (long long)scan->id, k);
    if (part->listed && part->n_literals)
        buf_add_char(out, ')');
    if (cast) {
        buf_add_cstr(out, " AS ");
        TRY(parquet_type_sql(type, out, err));
        buf_add_char(out, ')');
    }
    return 0;
}

/* The property that names the column where files keep the ids (versions) of rows that were written again. */
static struct str row_id_column(const struct delta_scan *scan, unsigned k)
{
    return delta_snapshot_property(scan->snapshot,
                                   k == 0 ? STR("delta.rowTracking.materializedRowIdColumnName")
                                          : STR("delta.rowTracking.materializedRowCommitVersionColumnName"));
}

static void row_ids_sql(struct delta_scan *scan)
{
    static const char *const names[] = {DELTA_ROW_ID, DELTA_ROW_VERSION};

    for (unsigned k = 0; k < 2; k++) {
        if (!scan->n) {
            buf_printf(&scan->sql, ", 0::BIGINT AS %s", names[k]);
            continue;
        }
        buf_add_cstr(&scan->sql, row_id_column(scan, k).n ? ", coalesce(r" : ", (");
        if (row_id_column(scan, k).n)
            buf_printf(&scan->sql, "%u, ", k);
        buf_printf(&scan->sql, "pval_long(%lld, %u, file_index)%s) AS %s", (long long)scan->id, scan->n_parts + k,
                   k == 0 ? " + file_row_number" : "", names[k]);
    }
}

/*
 * Conditions that DuckDB must not take into a file. In one of an older type it casts the condition's constant, and rounds: v > 5.5
 * looks for integers past 6; only integers are safe from it. And it believes the bounds that a file has of floats, though Arrow's
 * writers leave NaN out of them: v > 5 would miss it. A condition over a CASE is judged by the values.
 */
static bool misleads_conditions(const struct field *f)
{
    bool exact =
        f->type.id == TYPE_BYTE || f->type.id == TYPE_SHORT || f->type.id == TYPE_INTEGER || f->type.id == TYPE_LONG;

    return f->type.id == TYPE_FLOAT || f->type.id == TYPE_DOUBLE ||
           (!exact && !f->type.n_children && field_meta_get(f, STR("delta.typeChanges")).p);
}

/* Column `i` out of what the file has, or of what the log says of the file. */
static int column_sql(struct delta_scan *scan, uint32_t i, struct buf *out, struct err *err)
{
    const struct field *f = &scan->head->schema->fields[i];
    CLEANUP(buf_deinit) struct buf value = {0};
    int k = part_of(scan, i);
    char name[16];

    if (f->type.id == TYPE_VOID) {
        buf_add_cstr(out, "NULL");
        return 0;
    }
    snprintf(name, sizeof name, "c%u", i);
    if (k >= 0 && scan->n)
        TRY(part_sql(scan, (uint32_t)k, &f->type, &value, err));
    else if (misleads_conditions(f))
        buf_printf(&value, "CASE WHEN %s IS NULL THEN NULL ELSE %s END", name, name);
    else
        rename_sql(&f->type, str_of(name), false, &value);
    char_pad_sql(f, buf_str(&value), out);
    return 0;
}

static int columns_sql(struct delta_scan *scan, bool with_position, struct err *err)
{
    const struct schema *schema = scan->head->schema;

    buf_add_cstr(&scan->sql, "SELECT ");
    for (uint32_t i = 0; i < schema->n_fields; i++) {
        const struct field *f = &schema->fields[i];
        if (i)
            buf_add_cstr(&scan->sql, ", ");
        TRY(column_sql(scan, i, &scan->sql, err));
        buf_add_cstr(&scan->sql, " AS ");
        buf_add_sql_ident(&scan->sql, f->name);
    }
    if (with_position && scan->n)
        buf_add_cstr(&scan->sql, ", file_index AS __file, file_row_number AS __row");
    else if (with_position)
        buf_add_cstr(&scan->sql, ", 0::UBIGINT AS __file, 0::BIGINT AS __row");
    if (scan->row_ids)
        row_ids_sql(scan);
    for (uint32_t k = 0; k < scan->n_numbers; k++)
        buf_printf(&scan->sql, scan->n ? ", pval_long(%lld, %u, file_index) AS __n%u" : ", %lld + %u AS __n%u",
                   (long long)scan->id, first_number(scan) + k, k);
    if (scan->change_type)
        buf_add_cstr(&scan->sql, scan->n ? ", t AS _change_type" : ", '' AS _change_type");
    return 0;
}

/* map {'physical': {name: 'c0', type: 'BIGINT', default_value: NULL}, …} of the columns that the files have. */
static int schema_sql(struct delta_scan *scan, struct err *err)
{
    const struct delta_head *head = scan->head;
    bool any = false;

    for (uint32_t i = 0; i < head->schema->n_fields; i++) {
        const struct field *f = &head->schema->fields[i];
        CLEANUP(buf_deinit) struct buf type = {0};
        if (part_of(scan, i) >= 0 || f->type.id == TYPE_VOID)
            continue;
        buf_add_cstr(&scan->sql, any ? ", " : ", schema = map {");
        any = true;
        if (head->mapping == DELTA_MAPPING_ID && !scan->change_type && !scan->row_ids) /* those columns have no id */
            buf_printf(&scan->sql, "%d", f->id);
        else
            buf_add_sql_literal(&scan->sql, f->physical);
        buf_printf(&scan->sql, ": {name: 'c%u', type: ", i);
        TRY(parquet_type_sql(scan->read_as && scan->read_as[i] ? scan->read_as[i] : &f->type, &type, err));
        buf_add_sql_literal(&scan->sql, buf_str(&type));
        buf_add_cstr(&scan->sql, ", default_value: NULL}");
    }
    if (scan->change_type) {
        buf_add_cstr(&scan->sql, any ? ", " : ", schema = map {");
        any = true;
        buf_add_cstr(&scan->sql, "'_change_type': {name: 't', type: 'VARCHAR', default_value: NULL}");
    }
    for (unsigned k = 0; scan->row_ids && k < 2; k++) {
        if (!row_id_column(scan, k).n)
            continue;
        buf_add_cstr(&scan->sql, any ? ", " : ", schema = map {");
        any = true;
        buf_add_sql_literal(&scan->sql, row_id_column(scan, k));
        buf_printf(&scan->sql, ": {name: 'r%u', type: 'BIGINT', default_value: NULL}", k);
    }
    if (any)
        buf_add_char(&scan->sql, '}');
    return 0;
}

/* No files: the same columns out of nothing, or as many NULLs of them as there are rows. */
static int empty_sql(struct delta_scan *scan, int64_t rows, struct err *err)
{
    const struct schema *schema = scan->head->schema;

    buf_add_cstr(&scan->sql, " FROM (SELECT ");
    for (uint32_t i = 0; i < schema->n_fields; i++) {
        buf_add_cstr(&scan->sql, i ? ", CAST(NULL AS " : "CAST(NULL AS ");
        TRY(parquet_type_sql(&schema->fields[i].type, &scan->sql, err));
        buf_printf(&scan->sql, ") AS c%u", i);
    }
    if (rows)
        buf_printf(&scan->sql, " FROM range(%lld))", (long long)rows);
    else
        buf_add_cstr(&scan->sql, ") WHERE false");
    return 0;
}

/* DuckDB asks no file how many rows it has when the columns are given, and would think of a small table in a join. */
static void add_cardinality(struct delta_scan *scan)
{
    int64_t rows = 0;

    for (uint32_t i = 0; i < scan->n; i++) {
        if (scan->files[i]->num_records < 0)
            return;
        rows += scan->files[i]->num_records;
    }
    if (rows > 0)
        buf_printf(&scan->sql, ", explicit_cardinality = %lld", (long long)rows);
}

static int load_variants(struct delta_scan *scan, struct store *store, const struct delta_scan_options *o,
                         struct err *err)
{
    struct delta_head *bare;

    if (o->variants == DELTA_VARIANTS_PLAIN || !delta_schema_find_type(scan->head->schema, TYPE_VARIANT))
        return 0;
    scan->variants.copies_in = o->copies_in;
    TRY(scan_variants_load(&scan->variants, store, scan->files, scan->n, o->variants == DELTA_VARIANTS_COPIED, err));
    if (!scan->variants.bare)
        return 0;
    TRY(scan_bare_head(scan->head, &bare, err));
    delta_head_unref((struct delta_head *)scan->head);
    scan->head = bare;
    return 0;
}

/* See scan_structs.h. */
static int load_structs(struct delta_scan *scan, struct store *store, struct err *err)
{
    CLEANUP(engine_conn_freep) struct engine_conn *conn = NULL;
    const struct schema *schema = scan->head->schema;
    struct str *paths = NULL;

    for (uint32_t i = 0; i < schema->n_fields && scan->head->mapping != DELTA_MAPPING_NONE; i++) {
        if (!scan_struct_may_lack(&schema->fields[i]))
            continue;
        if (!paths) {
            TRY(engine_connect(scan->engine, &conn, err));
            scan->read_as = ARENA_NEW_N(&scan->arena, const struct type *, schema->n_fields);
            paths = ARENA_NEW_N(&scan->arena, struct str, scan->n + 1);
            for (uint32_t k = 0; k < scan->n; k++) {
                CLEANUP(buf_deinit) struct buf path = {0};
                path_sql(store, scan->files[k]->path, &path);
                paths[k] = arena_str(&scan->arena, buf_str(&path));
            }
        }
        struct type t = scan_struct_type(conn, &schema->fields[i], paths, scan->n, &scan->arena);
        scan->read_as[i] = arena_dup(&scan->arena, &t, sizeof t);
    }
    return 0;
}

static int build_sql(struct delta_scan *scan, struct store *store, const struct delta_scan_options *o, struct err *err)
{
    TRY(columns_sql(scan, o->with_position, err));
    if (!scan->n)
        return empty_sql(scan, o->count_only ? scan->snapshot->records : 0, err);
    buf_add_cstr(&scan->sql, " FROM read_parquet([");
    for (uint32_t i = 0; i < scan->n; i++) {
        if (i)
            buf_add_cstr(&scan->sql, ", ");
        if (scan->variants.copies && scan->variants.copies[i])
            buf_add_sql_literal(&scan->sql, str_of(scan->variants.copies[i]));
        else
            path_sql(store, scan->files[i]->path, &scan->sql);
    }
    buf_add_cstr(&scan->sql, "], hive_partitioning = false");
    TRY(schema_sql(scan, err));
    add_cardinality(scan);
    buf_add_char(&scan->sql, ')');
    if (scan->deleted)
        buf_printf(&scan->sql, " WHERE dv(%lld, file_index, file_row_number) = 1::UTINYINT", (long long)scan->id);
    return 0;
}

/* Types inside `type` that have no reading. */
static const struct type *unreadable(const struct type *type)
{
    if (type->id == TYPE_OTHER)
        return type;
    for (uint32_t i = 0; i < type->n_children; i++) {
        const struct type *found = unreadable(&type->children[i].type);
        if (found)
            return found;
    }
    return NULL;
}

int delta_scan_new(struct engine *engine, struct store *store, struct delta_snapshot *snapshot,
                   const struct delta_scan_options *options, struct delta_scan **ret, struct err *err)
{
    static const struct delta_scan_options defaults;
    const struct delta_scan_options *o = options ? options : &defaults;
    const struct delta_head *head = o->head ? o->head : snapshot->head;
    const struct schema *schema = head->schema;

    if (!schema->n_fields)
        return err_set(err, ERR_UNSUPPORTED, "table %s: its metaData has no columns: there is nothing to read",
                       store->name);
    for (uint32_t i = 0; i < schema->n_fields; i++) {
        const struct type *bad = unreadable(&schema->fields[i].type);
        if (bad)
            return err_set(err, ERR_UNSUPPORTED, "table %s, column \"%.*s\": the type %.*s is not known", store->name,
                           STR_ARG(schema->fields[i].name), STR_ARG(bad->other));
    }
    assert(!o->count_only || !snapshot->n_unknown);
    CLEANUP(delta_scan_freep) struct delta_scan *scan = MEM_NEW(struct delta_scan);
    scan->engine = engine;
    scan->snapshot = delta_snapshot_ref(snapshot);
    scan->head = delta_head_ref(head);
    int rc = load_files(scan, store, o, err);
    if (rc == 0)
        rc = load_variants(scan, store, o, err);
    if (rc == 0)
        rc = load_structs(scan, store, err);
    if (rc == 0)
        rc = load_parts(scan, err);
    scan->row_ids = o->with_row_ids;
    scan->change_type = o->with_change_type;
    if (rc == 0 && !o->count_only)
        rc = check_ids(scan, store, err);
    if (rc == 0)
        rc = load_row_ids(scan, store, err);
    if (rc == 0) {
        load_numbers(scan, o);
        scan->registered =
            (struct scan_files){scan->n, scan->deleted, first_number(scan) + scan->n_numbers, scan->pcols};
        scan->id = scan_files_register(engine, &scan->registered);
        rc = build_sql(scan, store, o, err);
    }
    if (rc < 0) {
        err_wrap(err, "table %s, version %lld", store->name, (long long)snapshot->version);
        return rc;
    }
    *ret = TAKE_PTR(scan);
    return 0;
}

void delta_scan_free(struct delta_scan *scan)
{
    if (!scan)
        return;
    if (scan->id)
        scan_files_unregister(scan->engine, scan->id);
    scan_variants_deinit(&scan->variants, scan->n);
    for (uint32_t i = 0; scan->dvs && i < scan->n; i++)
        dv_deinit(&scan->dvs[i]);
    for (uint32_t k = 0; scan->parts && k < scan->n_parts; k++) {
        mem_free(scan->parts[k].text);
        mem_free(scan->parts[k].number);
        mem_free(scan->parts[k].is_null);
        buf_deinit(&scan->parts[k].literals);
        map_deinit(&scan->parts[k].seen);
    }
    mem_free(scan->no_row_ids);
    mem_free(scan->row_numbers[0]);
    mem_free(scan->row_numbers[1]);
    mem_free(scan->dvs);
    mem_free(scan->deleted);
    mem_free(scan->files);
    mem_free(scan->part_fields);
    mem_free(scan->parts);
    mem_free(scan->pcols);
    arena_deinit(&scan->arena);
    buf_deinit(&scan->sql);
    delta_snapshot_unref(scan->snapshot);
    delta_head_unref((struct delta_head *)scan->head);
    mem_free(scan);
}

const char *delta_scan_sql(const struct delta_scan *scan)
{
    return scan->sql.p;
}

bool delta_scan_is_bare(const struct delta_scan *scan)
{
    return scan->variants.bare;
}

uint32_t delta_scan_n_files(const struct delta_scan *scan)
{
    return scan->n;
}

const struct delta_file *delta_scan_file(const struct delta_scan *scan, uint64_t file)
{
    assert(file < scan->n);
    return scan->files[file];
}

const struct dv *delta_scan_dv(const struct delta_scan *scan, uint64_t file)
{
    assert(file < scan->n);
    return scan->deleted ? scan->deleted[file] : NULL;
}
