/*
 * COPY (SELECT …) TO 'file' (FORMAT parquet, FIELD_IDS …, RETURN_STATS): DuckDB encodes, we name and number.
 *
 * DuckDB never fsyncs what it writes, and neither do we: store_adopt() does, when the file gets its name.
 */
#include "engine/parquet_write.h"

#include "base/mem.h"
#include "codec/parquet_join.h"
#include "engine/internal.h"
#include "engine/parquet_stats.h"
#include "engine/rename.h"
#include "engine/variant_columns.h"
#include "engine/variant_file.h"

#include <assert.h>
#include <unistd.h>

void parquet_file_deinit(struct parquet_file *file)
{
    buf_deinit(&file->stats);
    *file = (struct parquet_file){0};
}

static bool has_ids(const struct field *fields, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (fields[i].id || has_ids(fields[i].type.children, fields[i].type.n_children))
            return true;
    return false;
}

/* {"a":1,"st":{__duckdb_field_id:2,"x":3},…}; fields without an id are left out. */
static void ids_sql(const struct field *fields, uint32_t n, bool more, struct buf *out)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct field *f = &fields[i];
        bool nested = has_ids(f->type.children, f->type.n_children);
        if (!f->id && !nested)
            continue;
        if (more)
            buf_add_char(out, ',');
        more = true;
        buf_add_sql_ident(out, f->physical);
        if (!nested) {
            buf_printf(out, ":%d", f->id);
            continue;
        }
        buf_add_cstr(out, ":{");
        if (f->id)
            buf_printf(out, "__duckdb_field_id:%d", f->id);
        ids_sql(f->type.children, f->type.n_children, f->id != 0, out);
        buf_add_char(out, '}');
    }
}

static int copy_sql(const char *select, const char *path, const struct parquet_spec *spec, struct buf *out,
                    struct err *err)
{
    static const char *known[] = {"zstd", "snappy", "uncompressed", "lz4_raw", "gzip", "brotli"};
    const char *compression = spec->compression ? spec->compression : "zstd";
    size_t i = 0;

    while (i < ARRAY_LEN(known) && strcmp(known[i], compression))
        i++;
    if (i == ARRAY_LEN(known))
        return err_set(err, ERR_USAGE, "unknown Parquet compression \"%s\"", compression);
    buf_printf(out, "COPY (%s\n) TO ", select);
    buf_add_sql_literal(out, str_of(path));
    buf_printf(out, " (FORMAT parquet, COMPRESSION %s, RETURN_STATS, USE_TMP_FILE false", compression);
    if (spec->level && strcmp(compression, "zstd") == 0)
        buf_printf(out, ", COMPRESSION_LEVEL %d", spec->level);
    if (spec->any_order)
        buf_add_cstr(out, ", PRESERVE_ORDER false");
    if (spec->row_group_size)
        buf_printf(out, ", ROW_GROUP_SIZE %u", spec->row_group_size);
    if (has_ids(spec->schema->fields, spec->schema->n_fields)) {
        buf_add_cstr(out, ", FIELD_IDS {");
        ids_sql(spec->schema->fields, spec->schema->n_fields, false, out);
        buf_add_char(out, '}');
    }
    buf_add_char(out, ')');
    return 0;
}

/* Runs the COPY to `path` and reads its one row: filename, count, file_size_bytes, footer_size_bytes, column_statistics, … */
static int copy_run(struct engine_conn *conn, const char *sql, const char *path, const struct parquet_spec *spec,
                    const struct feed *feed, struct parquet_file *ret, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL, *counted = NULL;
    const struct engine_vector *lists = NULL;
    CLEANUP(mem_freep) uint64_t *nulls = NULL;
    const struct engine_chunk *chunk;

    TRY(engine_query(conn, sql, &result, err));
    int rc = engine_result_next(result, &chunk, err);
    if (rc < 0)
        return rc;
    if (rc == 1 || chunk->n != 1 || chunk->n_cols < 5 || chunk->cols[4].type->kind != ENGINE_MAP)
        return err_set(err, ERR_INTERNAL, "COPY gave no statistics");
    ret->rows = (uint64_t)engine_i64(&chunk->cols[1], 0);
    ret->bytes = (uint64_t)engine_i64(&chunk->cols[2], 0);
    if (feed) {
        nulls = MEM_NEW_N(uint64_t, spec->schema->n_fields + 1);
        for (uint32_t i = 0; i < spec->schema->n_fields; i++)
            nulls[i] = feed_nulls(feed, i);
    }
    if (!feed)
        TRY(parquet_list_nulls(conn, path, spec, &counted, &lists, err));
    buf_reset(&ret->stats);
    parquet_stats_json(spec, ret->rows, &chunk->cols[4], lists, nulls, &ret->stats);
    return 0;
}

/* COPY; what a failure leaves behind is removed. */
static int copy_to(struct engine_conn *conn, const char *select, const char *path, const struct parquet_spec *spec,
                   const struct feed *feed, struct parquet_file *ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    TRY(copy_sql(select, path, spec, &sql, err));
    int rc = copy_run(conn, sql.p, path, spec, feed, ret, err);
    if (rc < 0 && feed && feed_error(feed, err) < 0)
        rc = feed_error(feed, err); /* the cause, with its own code */
    if (rc < 0)
        unlink(path);
    return rc;
}

int parquet_write(struct engine_conn *conn, const char *path, const struct parquet_spec *spec,
                  struct feed_source source, struct parquet_file *ret, struct err *err)
{
    CLEANUP(feed_freep) struct feed *feed = NULL;
    char select[64];

    TRY(feed_open(engine_of(conn), spec->schema, source, 0, &feed, err));
    snprintf(select, sizeof select, "FROM feed(%lld)", (long long)feed_id(feed));
    return copy_to(conn, select, path, spec, feed, ret, err);
}

/* Are there variants, and all where they can be written? */
static int find_variants(const struct type *type, bool *ret, struct err *err)
{
    if (type->id == TYPE_MAP && parquet_has_variant(&type->children[0].type))
        return err_set(err, ERR_UNSUPPORTED, "a map whose keys are variants cannot be written");
    *ret |= type->id == TYPE_VARIANT;
    for (uint32_t i = 0; i < type->n_children; i++)
        TRY(find_variants(&type->children[i].type, ret, err));
    return 0;
}

/* The columns as the file has them, out of those of the type, which are named x0, x1, …: see codec/parquet_join.h. */
static void split_sql(const struct schema *schema, bool bare, struct buf *sql)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    const char *comma = "";

    for (int metadata = 0; metadata <= 1; metadata++) {
        for (uint32_t i = 0; i < schema->n_fields; i++) {
            const struct field *f = &schema->fields[i];
            if (metadata && !parquet_has_variant(&f->type))
                continue;
            buf_add_cstr(sql, comma);
            comma = ", ";
            variant_column_sql(&f->type, str_of(arena_printf(&arena, "x%u", i)), metadata, bare, sql);
            buf_add_cstr(sql, " AS ");
            if (metadata) /* a name that no other column has: theirs have no such byte */
                buf_printf(sql, "\"metadata\x01%u\"", i);
            else
                buf_add_sql_ident(sql, f->physical);
        }
    }
}

/* The SELECT's columns c0, c1, … as the file is to have them: renamed, cast, and those with variants as two. */
static int file_columns_sql(const struct parquet_spec *spec, bool variants, struct buf *sql, struct err *err)
{
    CLEANUP(schema_unrefp) struct schema *bare = NULL;
    const struct schema *schema = spec->schema;

    if (variants && spec->bare_variants) {
        schema = bare = schema_clone(spec->schema);
        parquet_bare_schema(bare);
    }
    buf_add_cstr(sql, "SELECT ");
    if (variants) {
        split_sql(spec->schema, spec->bare_variants, sql);
        buf_add_cstr(sql, " FROM (SELECT ");
    }
    for (uint32_t i = 0; i < schema->n_fields; i++) {
        const struct field *f = &schema->fields[i];
        char name[16];
        snprintf(name, sizeof name, "c%u", i);
        buf_add_cstr(sql, i ? ", CAST(" : "CAST(");
        rename_sql(&f->type, str_of(name), true, sql);
        buf_add_cstr(sql, " AS ");
        TRY(parquet_type_sql(&f->type, sql, err));
        buf_add_cstr(sql, ") AS ");
        if (variants)
            buf_printf(sql, "x%u", i);
        else
            buf_add_sql_ident(sql, f->physical);
    }
    return 0;
}

int parquet_write_query(struct engine_conn *conn, const char *select, const char *path, const struct parquet_spec *spec,
                        struct parquet_file *ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    bool variants = false;

    for (uint32_t i = 0; i < spec->schema->n_fields; i++)
        TRY(find_variants(&spec->schema->fields[i].type, &variants, err));
    TRY(file_columns_sql(spec, variants, &sql, err));
    buf_printf(&sql, " FROM (%s\n) AS q(", select);
    for (uint32_t i = 0; i < spec->schema->n_fields; i++)
        buf_printf(&sql, i ? ",c%u" : "c%u", i);
    buf_add_cstr(&sql, variants ? "))" : ")");
    TRY(copy_to(conn, sql.p, path, spec, NULL, ret, err));
    int rc = variants ? variant_file_join(path, spec->schema, &ret->bytes, err) : 0;
    if (rc < 0)
        unlink(path);
    return rc;
}

int parquet_write_rows(const struct parquet_spec *spec, const struct parquet_rows *rows, size_t n_rows, struct buf *out,
                       struct parquet_file *ret, struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct parquet_column_stats *stats = ARENA_NEW_N(&arena, struct parquet_column_stats, spec->schema->n_fields + 1);

    TRY(parquet_encode(spec->schema, rows, n_rows, out, stats, &arena, err));
    ret->rows = 0;
    for (size_t i = 0; i < n_rows; i++)
        ret->rows += rows[i].n;
    ret->bytes = out->n;
    buf_reset(&ret->stats);
    parquet_stats_json_of(spec, ret->rows, stats, &arena, &ret->stats);
    return 0;
}
