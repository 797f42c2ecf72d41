/*
 * Statistics of rows that are in files already: one aggregate over each leaf column, as the map of maps that COPY gives.
 *
 *   SELECT count(*), map(['"a"', '"st"."b"'], [map(['min', 'max', 'null_count', 'has_nan'], [min("a")::VARCHAR, …]), …])
 *
 * Arrays and maps that COPY has just written are asked for alone: it counts what is in them, and not how many are NULL.
 */
#include "engine/parquet_stats.h"

#include "base/mem.h"

struct leaves {
    struct buf keys, values, path;
    uint32_t left;
    bool lists; /* arrays and maps only */
};

static void leaves_deinit(struct leaves *l)
{
    buf_deinit(&l->keys);
    buf_deinit(&l->values);
    buf_deinit(&l->path);
}

static void add_leaf(struct leaves *l, const struct type *type)
{
    const char *column = l->path.p;
    bool real = type->id == TYPE_FLOAT || type->id == TYPE_DOUBLE;
    bool bounds =
        type->id != TYPE_BOOLEAN && type->id != TYPE_BINARY && type->id != TYPE_VARIANT && !type_is_nested(type);

    buf_add_cstr(&l->keys, l->keys.n ? ", " : "");
    buf_add_sql_literal(&l->keys, buf_str(&l->path));
    buf_add_cstr(&l->values, l->values.n ? ", " : "");
    buf_add_cstr(&l->values, "map(['min', 'max', 'null_count', 'has_nan'], [");
    if (bounds)
        buf_printf(&l->values, "min(%s)::VARCHAR, max(%s)::VARCHAR", column, column);
    else
        buf_add_cstr(&l->values, "NULL, NULL");
    buf_printf(&l->values, ", (count(*) - count(%s))::VARCHAR, ", column);
    if (real)
        buf_printf(&l->values, "(count(*) FILTER (isnan(%s)) > 0)::VARCHAR])", column);
    else
        buf_add_cstr(&l->values, "'false'])");
}

static void add_fields(struct leaves *l, const struct field *fields, uint32_t n)
{
    size_t before = l->path.n;

    for (uint32_t i = 0; i < n && l->left; i++) {
        buf_add_cstr(&l->path, before ? "." : "");
        buf_add_sql_ident(&l->path, fields[i].physical);
        if (fields[i].type.id == TYPE_STRUCT) {
            add_fields(l, fields[i].type.children, fields[i].type.n_children);
        } else {
            if (!l->lists || fields[i].type.id == TYPE_ARRAY || fields[i].type.id == TYPE_MAP)
                add_leaf(l, &fields[i].type);
            l->left--;
        }
        l->path.n = before;
        l->path.p[before] = 0;
    }
}

static uint32_t leaves_wanted(const struct parquet_spec *spec)
{
    if (spec->no_stats)
        return 0;
    if (spec->stats_paths)
        return UINT32_MAX;
    return spec->stats_columns ? spec->stats_columns : 32;
}

static int ask(struct engine_conn *conn, const char *from, const struct leaves *l, struct engine_result **ret,
               const struct engine_chunk **ret_chunk, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_printf(&sql, "SELECT count(*), map([%s]::VARCHAR[], [%s]::MAP(VARCHAR, VARCHAR)[]) FROM %s",
               l->keys.n ? l->keys.p : "", l->values.n ? l->values.p : "", from);
    TRY(engine_query(conn, sql.p, ret, err));
    int rc = engine_result_next(*ret, ret_chunk, err);
    return rc <= 0 ? rc : err_set(err, ERR_INTERNAL, "an aggregate gave no row");
}

int parquet_stats_query(struct engine_conn *conn, const char *from, const struct parquet_spec *spec,
                        struct parquet_file *ret, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(leaves_deinit) struct leaves l = {.left = leaves_wanted(spec)};
    const struct engine_chunk *chunk;

    add_fields(&l, spec->schema->fields, spec->schema->n_fields);
    TRY(ask(conn, from, &l, &result, &chunk, err));
    ret->rows = (uint64_t)engine_i64(&chunk->cols[0], 0);
    buf_reset(&ret->stats);
    parquet_stats_json(spec, ret->rows, NULL, &chunk->cols[1], NULL, &ret->stats);
    return 0;
}

int parquet_list_nulls(struct engine_conn *conn, const char *path, const struct parquet_spec *spec,
                       struct engine_result **ret, const struct engine_vector **ret_columns, struct err *err)
{
    CLEANUP(leaves_deinit) struct leaves l = {.left = leaves_wanted(spec), .lists = true};
    CLEANUP(buf_deinit) struct buf from = {0};
    const struct engine_chunk *chunk;

    *ret_columns = NULL;
    add_fields(&l, spec->schema->fields, spec->schema->n_fields);
    if (!l.keys.n)
        return 0;
    buf_add_cstr(&from, "read_parquet(");
    buf_add_sql_literal(&from, str_of(path));
    buf_add_cstr(&from, ", hive_partitioning = false)");
    TRY(ask(conn, from.p, &l, ret, &chunk, err));
    *ret_columns = &chunk->cols[1];
    return 0;
}
