/* Bounds of partitions → a condition on rows of the lake → a DELETE. */
#include "sink/lake_gone.h"

#include "base/mem.h"
#include "codec/pg_schema.h"
#include "codec/pg_value.h"
#include "delta/dml/dml.h"
#include "delta/scan/plan.h"
#include "delta/scan/scan.h"
#include "engine/parquet_write.h"
#include "sink/lake_file.h"
#include "sink/lake_history.h"

#include <assert.h>

static int add_column(void *ctx, int16_t attnum, struct buf *out, struct err *err)
{
    const struct relation *rel = ctx;

    (void)err;
    buf_add_sql_ident(out, relation_column_of(rel, attnum)->name);
    return 0;
}

/* A value that the lake has no place for cannot be compared: ERR_LIMIT. */
static int add_value(void *ctx, int16_t attnum, struct str text, struct buf *out, struct err *err)
{
    const struct relation *rel = ctx;
    struct relation one = {.n_columns = 1, .columns = (struct relation_column *)relation_column_of(rel, attnum)};
    CLEANUP(schema_unrefp) struct schema *schema = pg_schema_of(&one);
    CLEANUP(batch_freep) struct batch *b = batch_new(schema, 1);
    struct pg_value_codec codec = pg_value_codec_of(one.columns);

    batch_add_row(b, OP_READ, (struct position){0}, 0);
    TRY(pg_value_read(&codec, 't', text, b, &b->cols[0], 0, err));
    buf_add_cstr(out, "CAST(");
    TRY(lake_add_literal(&b->cols[0], 0, out, err));
    buf_add_cstr(out, " AS ");
    TRY(parquet_type_sql(b->cols[0].type, out, err));
    buf_add_char(out, ')');
    return 0;
}

/* Which columns of a range must have no NULL in the lake, as "a" IS NULL OR …; false: a column is not there, or not to be compared. */
static bool check_columns(const struct relation *rel, const struct pg_bounds *leaf, struct buf *nulls)
{
    for (uint32_t i = 0; i < leaf->n_levels; i++) {
        const struct pg_bound_level *level = &leaf->levels[i];
        for (uint32_t k = 0; k < level->n_keys; k++) {
            const struct relation_column *col = relation_column_of(rel, level->attnums[k]);
            if (!col || !pg_bounds_tell(level, k, col))
                return false;
            if (!pg_bounds_may_be_null(level, k, col))
                continue;
            buf_add_cstr(nulls, nulls->n ? " OR " : "");
            buf_add_sql_ident(nulls, col->name);
            buf_add_cstr(nulls, " IS NULL");
        }
    }
    return true;
}

/* A scan over the files that may have such rows. */
static int open_scan(struct lake_table *t, const char *where, struct delta_scan **ret, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *snapshot = delta_table_snapshot(t->delta);
    CLEANUP(delta_stub_freep) struct delta_stub *stub = NULL;
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(buf_deinit) struct buf sql = {0}, plan = {0};
    struct delta_scan_options options = {0};

    stub = delta_stub_new(t->env->engine, snapshot, NULL, NULL, 0);
    buf_printf(&sql, "SELECT 1 FROM (%s) WHERE %s", delta_stub_sql(stub), where);
    if (snapshot->n_files) {
        TRY(engine_plan(t->env->conn, buf_str(&sql), &plan, err));
        delta_plan_read(buf_str(&plan), &stub, 1);
        options.files = delta_stub_files(stub, snapshot, &arena, &options.n_files);
    }
    return delta_scan_new(t->env->engine, t->store, snapshot, &options, ret, err);
}

static int has_rows(struct lake_table *t, const char *where, bool *ret, struct err *err)
{
    CLEANUP(delta_scan_freep) struct delta_scan *scan = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    int64_t n;

    TRY(open_scan(t, where, &scan, err));
    buf_printf(&sql, "SELECT count(*) FROM (SELECT 1 FROM (%s) WHERE %s LIMIT 1)", delta_scan_sql(scan), where);
    TRY(engine_query_i64(t->env->conn, sql.p, &n, err));
    *ret = n > 0;
    return 0;
}

int lake_gone_where(struct lake_table *t, const struct relation *rel, const struct lake_gone *g, struct buf *ret,
                    bool *ret_sure, struct err *err)
{
    struct pg_bounds_writer w = {add_column, add_value, (void *)rel};
    CLEANUP(buf_deinit) struct buf nulls = {0};
    bool null = false;
    struct err why;

    *ret_sure = false;
    for (size_t i = 0; i < g->n; i++) {
        if (!check_columns(rel, &g->leaves[i], &nulls))
            return 0;
        buf_add_cstr(ret, i ? " OR " : "(");
        if (pg_bounds_add_sql(&g->leaves[i], &w, ret, &why))
            return 0;
    }
    buf_add_char(ret, ')');
    if (nulls.n)
        TRY(has_rows(t, nulls.p, &null, err));
    *ret_sure = !null;
    return 0;
}

/* The column as the history has it, or NULL where a delete would not have it. */
static int add_value_of(const struct relation *rel, const struct field *f, enum lake_gone_as as, struct buf *sql,
                        struct err *err)
{
    const struct relation_column *col = NULL;

    for (uint32_t i = 0; i < rel->n_columns && !col; i++)
        if (str_eq(rel->columns[i].name, f->name))
            col = &rel->columns[i];
    buf_add_cstr(sql, "CAST(");
    if (col && (as == LAKE_GONE_ROW || col->key_seq))
        buf_add_sql_ident(sql, f->name);
    else
        buf_add_cstr(sql, "NULL");
    buf_add_cstr(sql, " AS ");
    TRY(parquet_type_sql(&f->type, sql, err));
    buf_add_char(sql, ')');
    return 0;
}

int lake_gone_tell(struct lake_table *t, const struct relation *rel, struct lake_history *h, const struct lake_gone *g,
                   const char *where, struct err *err)
{
    CLEANUP(delta_scan_freep) struct delta_scan *scan = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};

    assert(g->as != LAKE_GONE_QUIET);
    TRY(open_scan(t, where, &scan, err));
    buf_add_cstr(&sql, "SELECT ");
    for (uint32_t i = 0; i < lake_history_n_columns(h); i++) {
        buf_add_cstr(&sql, i ? ", " : "");
        TRY(add_value_of(rel, &h->schema->fields[i], g->as, &sql, err));
    }
    buf_printf(&sql, " FROM (%s) WHERE %s", delta_scan_sql(scan), where);
    return lake_history_gone(h, sql.p, g->lsn, err);
}

int lake_gone_delete(struct lake_table *t, const char *where, uint64_t *ret_rows, struct err *err)
{
    CLEANUP(mem_freep) char *files_app = mem_printf("%s" LAKE_FILES_APP, t->env->app_id);
    /* Files leave whose numbers must not be given again. */
    struct delta_txn txn = {str_of(files_app), t->next_file, -1};
    struct dml_target target = {
        .table = t->delta, .conn = t->env->conn, .name = str_of(t->name), .alias = STR("__sluice_gone"), .txn = &txn};
    struct dml_result result = {0};

    assert(!t->dirty && !t->buffer.n_rows);
    lake_table_stop_work(t);
    TRY(delta_delete(&target, str_of(where), &result, err));
    *ret_rows = result.deleted;
    return 0;
}
