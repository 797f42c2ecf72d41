/*
 * INSERT: the query's rows go to a temporary table with the columns and defaults of the real one, which gives DuckDB's
 * conversions, column lists, BY NAME and DEFAULT for nothing; from there they become files.
 */
#include "delta/dml/dml_internal.h"

#include "base/mem.h"

static int check_partition(const struct dml *d, const struct dml_insert *ins, struct err *err)
{
    const struct delta_metadata *m = d->head->metadata;

    for (uint32_t i = 0; i < ins->n_partition; i++) {
        bool known = false;
        for (uint32_t k = 0; k < m->n_partition_columns; k++)
            known |= str_eq_nocase(m->partition_columns[k], ins->partition[i].column);
        if (!known)
            return err_set(err, ERR_USAGE, "PARTITION: the table is not partitioned by \"%.*s\"",
                           STR_ARG(ins->partition[i].column));
    }
    return 0;
}

static int create_staging(struct dml *d, const struct dml_insert *ins, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_add_cstr(&sql, "CREATE OR REPLACE TEMP TABLE " DML_ROWS " (");
    for (uint32_t i = 0; i < d->schema->n_fields; i++) {
        struct str given = dml_static_value(ins, d->schema->fields[i].name);
        buf_add_sql_ident(&sql, d->schema->fields[i].name);
        buf_add_char(&sql, ' ');
        TRY(dml_add_type(d, i, &sql, err));
        buf_add_cstr(&sql, " DEFAULT (");
        if (given.n)
            TRY(dml_add_constant(d, i, given, &sql, err));
        else
            TRY(dml_add_default(d, i, &sql, err));
        buf_add_cstr(&sql, "), ");
    }
    buf_add_cstr(&sql, "__clause INTEGER DEFAULT 0)");
    return dml_exec(d, sql.p, err);
}

static int give(struct dml *d, const struct dml_insert *ins, struct str column, uint8_t *given, struct err *err)
{
    uint32_t field;

    TRY(dml_find_column(d, column, &field, err));
    if (dml_static_value(ins, column).n)
        return err_set(err, ERR_USAGE, "the column \"%.*s\" is given by PARTITION and by the query", STR_ARG(column));
    given[field] = DML_GIVEN;
    return 0;
}

/* BY NAME: the query's columns; those that are new to the table are added to it, if the statement says so. */
static int find_by_name(struct dml *d, const struct dml_insert *ins, uint8_t **given, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};

    dml_add_with(d, &sql);
    buf_printf(&sql, "SELECT * FROM (%.*s\n) LIMIT 0", STR_ARG(ins->query));
    TRY(engine_query(d->t->conn, sql.p, &result, err));
    if (ins->schema_evolution)
        TRY(dml_evolve(d, result, NULL, err));
    *given = arena_alloc(&d->tx->arena, d->schema->n_fields);
    memset(*given, DML_ABSENT, d->schema->n_fields);
    for (uint32_t i = 0; i < engine_result_n_columns(result); i++)
        TRY(give(d, ins, engine_result_column(result, i)->name, *given, err));
    return 0;
}

/* Which columns the statement gives (in the transaction's arena). */
static int find_given(struct dml *d, const struct dml_insert *ins, uint8_t **ret, struct err *err)
{
    uint32_t n = d->schema->n_fields;
    bool all = !ins->n_columns && ins->query.n;

    TRY(check_partition(d, ins, err));
    if (ins->by_name) {
        TRY(find_by_name(d, ins, ret, err));
        n = d->schema->n_fields;
    } else {
        *ret = arena_alloc(&d->tx->arena, n);
        memset(*ret, all ? DML_GIVEN : DML_ABSENT, n);
        for (uint32_t i = 0; i < ins->n_columns; i++)
            TRY(give(d, ins, ins->columns[i], *ret, err));
    }
    for (uint32_t i = 0; i < n; i++)
        if (dml_static_value(ins, d->schema->fields[i].name).n)
            (*ret)[i] = DML_GIVEN;
    return 0;
}

/* ---- what goes ---- */

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

/* Rows in the partitions that PARTITION (p = …) names. An empty text is NULL. */
static int add_static_partitions(struct dml *d, const struct dml_insert *ins, struct buf *sql, struct err *err)
{
    bool any = false;

    for (uint32_t i = 0; i < d->schema->n_fields; i++) {
        const struct field *f = &d->schema->fields[i];
        struct str value = dml_static_value(ins, f->name);
        if (!value.n)
            continue;
        buf_add_cstr(sql, any ? " AND " : "");
        dml_add_alias(d, sql);
        buf_add_char(sql, '.');
        buf_add_sql_ident(sql, f->name);
        buf_printf(sql, " IS NOT DISTINCT FROM %s", f->type.id == TYPE_STRING ? "nullif(" : "(");
        TRY(dml_add_constant(d, i, value, sql, err));
        buf_add_cstr(sql, f->type.id == TYPE_STRING ? ", '')" : ")");
        any = true;
    }
    return 0;
}

static void add_equal(const struct dml *d, struct str column, const char *equals, struct buf *sql)
{
    buf_add_cstr(sql, "__new.");
    buf_add_sql_ident(sql, column);
    buf_add_cstr(sql, equals);
    dml_add_alias(d, sql);
    buf_add_char(sql, '.');
    buf_add_sql_ident(sql, column);
}

/* A row has the same values in some columns as the row __new. */
static int add_same(const struct dml *d, const struct dml_insert *ins, struct buf *sql, struct err *err)
{
    const struct delta_metadata *m = d->head->metadata;
    uint32_t n = ins->n_replace_using ? ins->n_replace_using : m->n_partition_columns, field;

    for (uint32_t i = 0; i < n; i++) {
        struct str column = ins->n_replace_using ? ins->replace_using[i] : m->partition_columns[i];
        TRY(dml_find_column(d, column, &field, err));
        bool text = !ins->n_replace_using && d->schema->fields[field].type.id == TYPE_STRING;
        buf_add_cstr(sql, i ? " AND " : "");
        if (text) { /* an empty text is NULL there */
            buf_add_cstr(sql, "nullif(__new.");
            buf_add_sql_ident(sql, column);
            buf_add_cstr(sql, ", '') IS NOT DISTINCT FROM ");
            dml_add_alias(d, sql);
            buf_add_char(sql, '.');
            buf_add_sql_ident(sql, column);
        } else {
            add_equal(d, column, ins->n_replace_using ? " = " : " IS NOT DISTINCT FROM ", sql);
        }
    }
    return 0;
}

static bool has_static(const struct dml_insert *ins)
{
    for (uint32_t i = 0; i < ins->n_partition; i++)
        if (ins->partition[i].expr.n)
            return true;
    return false;
}

/* Which rows the new ones replace, as a condition, and the scan over files that may have such rows. */
static int open_replaced(struct dml *d, const struct dml_insert *ins, bool dynamic, struct err *err)
{
    CLEANUP(buf_deinit) struct buf same = {0};

    if (!ins->replace_where.n && (ins->n_replace_using || dynamic)) {
        TRY(add_same(d, ins, &same, err));
        buf_printf(&d->concern, "EXISTS (SELECT 1 FROM temp." DML_ROWS " AS __new WHERE %s)", same.p);
        return dml_open_scan(d, dml_keep_joined(d, DML_ROWS, STR("__new"), buf_str(&same)), err);
    }
    if (ins->replace_where.n) {
        TRY(check_replaced(d, ins->replace_where, err));
        buf_printf(&d->concern, "(%.*s\n)", STR_ARG(ins->replace_where));
    } else {
        TRY(add_static_partitions(d, ins, &d->concern, err));
    }
    return dml_open_scan(d, dml_keep_where(d, buf_str(&d->concern)), err);
}

/* Marks what the new rows replace; false: everything. */
static int hit_replaced(struct dml *d, const struct dml_insert *ins, bool *ret_some, struct err *err)
{
    bool dynamic = ins->dynamic && d->head->metadata->n_partition_columns;
    CLEANUP(buf_deinit) struct buf sql = {0};

    *ret_some = ins->replace_where.n || ins->n_replace_using || dynamic || has_static(ins);
    d->tx->read_whole_table = true;
    if (!*ret_some)
        return dml_open_scan(d, NULL, err);
    TRY(open_replaced(d, ins, dynamic, err));
    dml_add_with(d, &sql);
    buf_add_cstr(&sql, "SELECT __file, __row FROM ");
    dml_add_target(d, &sql);
    buf_printf(&sql, " WHERE %s", d->concern.p);
    d->judges_rows = d->concern_is_hit = !ins->reads_target && !dml_has_query(ins->replace_where);
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

/* "(p <=> 'a')" or "(p IS NULL)", of the value that PARTITION gives. */
static int add_given_partition(const struct dml *d, const struct dml_partition *given, struct buf *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf value = {0}, sql = {0};
    uint32_t i;

    TRY(dml_find_column(d, given->column, &i, err));
    struct str name = d->logical->fields[i].name;
    enum type_id type = d->logical->fields[i].type.id;
    bool date = type == TYPE_DATE, time = type == TYPE_TIMESTAMP || type == TYPE_TIMESTAMP_NTZ;
    TRY(dml_add_constant(d, i, given->expr, &value, err));
    buf_add_cstr(&sql, "SELECT coalesce(");
    buf_add_sql_literal(&sql, name);
    buf_printf(&sql, " || ' <=> %s' || ", date ? "DATE " : time ? "TIMESTAMP " : "");
    if (type == TYPE_STRING || date || time)
        buf_add_cstr(&sql, "'''' || replace(replace(CAST(v AS VARCHAR), '\\', '\\\\'), '''', '\\''') || ''''");
    else
        buf_add_cstr(&sql, "CAST(v AS VARCHAR)");
    buf_add_cstr(&sql, ", ");
    buf_add_sql_literal(&sql, name);
    buf_printf(&sql, " || ' IS NULL') FROM (SELECT %s AS v)", value.p);
    buf_add_char(out, '(');
    TRY(engine_query_text(d->t->conn, sql.p, out, err));
    buf_add_char(out, ')');
    return 0;
}

/* What a static PARTITION clause replaces, as Spark tells it: "((p <=> 'a') AND (q IS NULL))". */
static int add_static_predicate(const struct dml *d, const struct dml_insert *ins, struct buf *json, struct err *err)
{
    CLEANUP(buf_deinit) struct buf all = {0};

    for (uint32_t k = 0; k < ins->n_partition; k++) {
        CLEANUP(buf_deinit) struct buf both = {0};
        if (!ins->partition[k].expr.n)
            continue;
        if (all.n)
            buf_printf(&both, "(%s AND ", all.p);
        TRY(add_given_partition(d, &ins->partition[k], &both, err));
        buf_add_cstr(&both, all.n ? ")" : "");
        buf_reset(&all);
        buf_add_str(&all, buf_str(&both));
    }
    buf_add_cstr(json, ",\"predicate\":");
    buf_add_json_str(json, buf_str(&all));
    return 0;
}

static int set_info(struct dml *d, const struct dml_insert *ins, bool some, uint64_t rows, struct err *err)
{
    CLEANUP(buf_deinit) struct buf json = {0};
    struct dml_result *r = &d->result;

    buf_printf(&json, "{\"mode\":\"%s\",\"partitionBy\":\"[]\"", ins->overwrite ? "Overwrite" : "Append");
    if (ins->replace_where.n) {
        buf_add_cstr(&json, ",\"predicate\":");
        buf_add_json_str(&json, ins->replace_where);
    } else if (ins->overwrite && !ins->dynamic && !ins->n_replace_using && has_static(ins)) {
        TRY(add_static_predicate(d, ins, &json, err));
    }
    if (ins->dynamic && d->head->metadata->n_partition_columns && !ins->replace_where.n && !ins->n_replace_using)
        buf_add_cstr(&json, ",\"isDynamicPartitionOverwrite\":true");
    buf_add_cstr(&json, ins->schema_evolution ? ",\"canMergeSchema\":true}" : "}");
    delta_tx_set_parameters(d->tx, buf_str(&json));
    buf_reset(&json);
    buf_printf(&json, "{\"numFiles\":\"%llu\",\"numOutputRows\":\"%llu\",\"numOutputBytes\":\"%llu\"",
               (unsigned long long)r->files_added, (unsigned long long)rows, (unsigned long long)d->bytes_added);
    if (ins->overwrite)
        buf_printf(&json, ",\"numRemovedFiles\":\"%llu\",\"numRemovedBytes\":\"%llu\"",
                   (unsigned long long)r->files_removed, (unsigned long long)d->bytes_removed);
    if (some)
        buf_printf(&json, ",\"numDeletedRows\":\"%llu\",\"numCopiedRows\":\"%llu\",\"numAddedChangeFiles\":\"%llu\"",
                   (unsigned long long)d->n_hits, (unsigned long long)r->copied, (unsigned long long)d->cdc_files);
    buf_add_char(&json, '}');
    delta_tx_set_metrics(d->tx, buf_str(&json));
    return 0;
}

static int insert_body(struct dml *d, const void *arg, struct err *err)
{
    const struct dml_insert *ins = arg;
    bool some = false;
    uint8_t *given;
    uint64_t rows;

    if (ins->overwrite) /* though there may be nothing to replace, as Spark */
        TRY(delta_tx_check_removable(d->tx, d->head, err));
    TRY(find_given(d, ins, &given, err));
    TRY(create_staging(d, ins, err));
    TRY(dml_stage_query(d, ins, err));
    TRY(dml_finish_rows(d, given, 1, err));
    if (ins->overwrite)
        TRY(hit_replaced(d, ins, &some, err));
    TRY(dml_write_rows(d, &rows, err));
    if (some) {
        TRY(write_replace_changes(d, err));
        TRY(dml_apply_hits(d, err));
    } else if (ins->overwrite) {
        TRY(dml_hit_all(d, err));
    }
    d->tx->read_whole_table |= ins->reads_target;
    d->tx->blind_append = !ins->overwrite && !ins->reads_target;
    d->result.inserted = rows;
    d->result.deleted = d->n_hits;
    return set_info(d, ins, some, rows, err);
}

int delta_insert(const struct dml_target *t, const struct dml_insert *insert, struct dml_result *ret, struct err *err)
{
    return dml_run(t, "WRITE", insert_body, insert, ret, err);
}
