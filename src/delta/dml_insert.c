/*
 * INSERT: the query's rows go to a temporary table with the columns and defaults of the real one, which gives DuckDB's
 * conversions, column lists, BY NAME and DEFAULT for nothing; from there they become files.
 */
#include "delta/dml_internal.h"

#include "base/mem.h"

static int create_staging(struct dml *d, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_add_cstr(&sql, "CREATE OR REPLACE TEMP TABLE " DML_ROWS " (");
    for (uint32_t i = 0; i < d->schema->n_fields; i++) {
        buf_add_sql_ident(&sql, d->schema->fields[i].name);
        buf_add_char(&sql, ' ');
        TRY(dml_add_type(d, i, &sql, err));
        buf_add_cstr(&sql, " DEFAULT (");
        dml_add_default(&d->schema->fields[i], &sql);
        buf_add_cstr(&sql, "), ");
    }
    buf_add_cstr(&sql, "__clause INTEGER DEFAULT 0)");
    return dml_exec(d, sql.p, err);
}

/* Which columns the statement gives. */
static int find_given(struct dml *d, const struct dml_insert *ins, uint8_t *given, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    uint32_t field;

    bool all = !ins->n_columns && !ins->by_name && ins->query.n;
    memset(given, all ? DML_GIVEN : DML_ABSENT, d->schema->n_fields);
    for (uint32_t i = 0; i < ins->n_columns; i++) {
        TRY(dml_find_column(d, ins->columns[i], &field, err));
        given[field] = DML_GIVEN;
    }
    if (!ins->by_name)
        return 0;
    dml_add_with(d, &sql);
    buf_printf(&sql, "SELECT * FROM (%.*s\n) LIMIT 0", STR_ARG(ins->query));
    TRY(engine_query(d->t->conn, sql.p, &result, err));
    for (uint32_t i = 0; i < engine_result_n_columns(result); i++) {
        TRY(dml_find_column(d, engine_result_column(result, i)->name, &field, err));
        given[field] = DML_GIVEN;
    }
    return 0;
}

static int stage_inserted(struct dml *d, const struct dml_insert *ins, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    TRY(create_staging(d, err));
    dml_add_with(d, &sql);
    buf_add_cstr(&sql, "INSERT INTO temp." DML_ROWS);
    if (!ins->query.n) {
        buf_add_cstr(&sql, " DEFAULT VALUES");
    } else if (ins->by_name) {
        buf_printf(&sql, " BY NAME %.*s", STR_ARG(ins->query));
    } else {
        buf_add_cstr(&sql, " (");
        for (uint32_t i = 0; i < ins->n_columns; i++) {
            buf_add_cstr(&sql, i ? ", " : "");
            buf_add_sql_ident(&sql, ins->columns[i]);
        }
        if (!ins->n_columns)
            dml_add_columns(d, "", &sql);
        buf_printf(&sql, ") %.*s", STR_ARG(ins->query));
    }
    return dml_exec(d, sql.p, err);
}

/* New rows must be among those that the statement replaces. */
static int check_replaced(struct dml *d, struct str where, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    int64_t n;

    buf_add_cstr(&sql, "SELECT count(*) FROM temp." DML_ROWS " AS ");
    dml_add_alias(d, &sql);
    buf_printf(&sql, " WHERE NOT coalesce((%.*s\n), false)", STR_ARG(where));
    TRY(engine_query_i64(d->t->conn, sql.p, &n, err));
    if (n)
        return err_set(err, ERR_USAGE, "%lld of the new rows do not meet REPLACE WHERE %.*s", (long long)n,
                       STR_ARG(where));
    return 0;
}

static int hit_replaced(struct dml *d, struct str where, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    TRY(check_replaced(d, where, err));
    dml_add_with(d, &sql);
    buf_add_cstr(&sql, "SELECT __file, __row FROM ");
    dml_add_target(d, &sql);
    buf_printf(&sql, " WHERE (%.*s\n)", STR_ARG(where));
    d->tx->read_whole_table = true;
    return dml_hit(d, sql.p, err);
}

/* What goes and what comes as change files, where a file is only partly replaced. */
static int write_replace_changes(struct dml *d, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    if (!d->n_hits || !dml_needs_changes(d, true))
        return 0;
    buf_add_cstr(&sql, "SELECT ");
    dml_add_columns(d, "", &sql);
    buf_printf(&sql, ", 'delete' AS _change_type FROM (%s) WHERE NOT dv(%lld, __file, __row) UNION ALL SELECT ",
               delta_scan_sql(d->scan), (long long)d->hit_id);
    dml_add_columns(d, "", &sql);
    buf_add_cstr(&sql, ", 'insert' FROM temp." DML_ROWS);
    return dml_write_changes(d, sql.p, err);
}

static void set_info(struct dml *d, const struct dml_insert *ins, uint64_t rows)
{
    const struct delta_metadata *m = d->head->metadata;
    CLEANUP(buf_deinit) struct buf json = {0}, list = {0};

    buf_add_char(&list, '[');
    for (uint32_t i = 0; i < m->n_partition_columns; i++) {
        buf_add_cstr(&list, i ? "," : "");
        buf_add_json_str(&list, m->partition_columns[i]);
    }
    buf_add_char(&list, ']');
    buf_printf(&json, "{\"mode\":\"%s\",\"partitionBy\":", ins->overwrite ? "Overwrite" : "Append");
    buf_add_json_str(&json, buf_str(&list));
    if (ins->replace_where.n) {
        buf_add_cstr(&json, ",\"predicate\":");
        buf_add_json_str(&json, ins->replace_where);
    }
    buf_add_char(&json, '}');
    delta_tx_set_parameters(d->tx, buf_str(&json));
    buf_reset(&json);
    buf_printf(&json, "{\"numFiles\":\"%llu\",\"numOutputRows\":\"%llu\",\"numOutputBytes\":\"%llu\"",
               (unsigned long long)d->result.files_added, (unsigned long long)rows, (unsigned long long)d->bytes_added);
    if (ins->overwrite)
        buf_printf(&json, ",\"numRemovedFiles\":\"%llu\",\"numRemovedBytes\":\"%llu\"",
                   (unsigned long long)d->result.files_removed, (unsigned long long)d->bytes_removed);
    buf_add_char(&json, '}');
    delta_tx_set_metrics(d->tx, buf_str(&json));
}

static int insert_body(struct dml *d, const void *arg, struct err *err)
{
    const struct dml_insert *ins = arg;
    CLEANUP(mem_freep) uint8_t *given = MEM_NEW_N(uint8_t, d->schema->n_fields);
    uint64_t rows;

    TRY(find_given(d, ins, given, err));
    TRY(stage_inserted(d, ins, err));
    TRY(dml_finish_rows(d, given, 1, err));
    if (ins->overwrite && ins->replace_where.n)
        TRY(hit_replaced(d, ins->replace_where, err));
    TRY(dml_write_rows(d, &rows, err));
    if (ins->overwrite && ins->replace_where.n) {
        TRY(write_replace_changes(d, err));
        TRY(dml_apply_hits(d, err));
    } else if (ins->overwrite) {
        d->tx->read_whole_table = true;
        TRY(dml_hit_all(d, err));
    }
    d->tx->blind_append = !ins->overwrite && !ins->reads_target && !d->tx->new_metadata;
    d->result.inserted = rows;
    d->result.deleted = d->n_hits;
    set_info(d, ins, rows);
    return 0;
}

int delta_insert(const struct dml_target *t, const struct dml_insert *insert, struct dml_result *ret, struct err *err)
{
    return dml_run(t, "WRITE", insert_body, insert, ret, err);
}
