/*
 * CREATE TABLE and REPLACE TABLE of a session, with or without a query: always one commit.
 *
 * The query is first run into a temporary table, so that one that fails leaves no table behind (and a table that is replaced can be read by
 * it), then written as the files of a table that is only drafted, then committed with them.
 */
#include "server/session_internal.h"

#include "base/mem.h"
#include "delta/log/clustering.h"
#include "delta/dml/column_rules.h"
#include "delta/dml/data_file.h"
#include "delta/dml/dml_internal.h"
#include "delta/dml/stats_columns.h"
#include "delta/dml/table_expr.h"
#include "delta/log/manifest.h"
#include "delta/scan/query_columns.h"
#include "delta/log/transaction.h"
#include "engine/parquet_write.h"

#include <assert.h>

#define CTAS "__sluice_ctas"

/* ---- CREATE TABLE ---- */

static int stage_query(struct session *s, struct str query, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0}, select = {0};

    TRY(sql_rewrite(&s->arena, query, session_replace, s, &select, err));
    session_plan_part(s, (struct str){0}, buf_str(&select));
    buf_printf(&sql, "CREATE OR REPLACE TEMP TABLE " CTAS " AS %.*s", STR_ARG(buf_str(&select)));
    return engine_exec(s->conn, sql.p, err);
}

static int check_partitions(const struct sql_create *c, const struct schema *schema, struct err *err)
{
    for (uint32_t i = 0; i < c->n_partition_by; i++) {
        int k = schema_find(schema, c->partition_by[i]);
        if (k < 0)
            return err_set(err, ERR_USAGE, "PARTITIONED BY %.*s: the table has no such column",
                           STR_ARG(c->partition_by[i]));
        if (type_is_nested(&schema->fields[k].type) || schema->fields[k].type.id == TYPE_VARIANT)
            return err_set(err, ERR_USAGE, "PARTITIONED BY %.*s: a column of a nested type or VARIANT cannot be one",
                           STR_ARG(c->partition_by[i]));
        c->partition_by[i] = schema->fields[k].name;
    }
    if (c->n_partition_by && c->n_partition_by == schema->n_fields)
        return err_set(err, ERR_USAGE, "a table needs a column that it is not partitioned by");
    return 0;
}

/* Deletion vectors are on unless the statement says otherwise, or wants what they rule out. */
static int properties(struct session *s, const struct sql_create *c, struct delta_create *ret, struct err *err)
{
    struct delta_kv *kv = ARENA_NEW_N(&s->arena, struct delta_kv, c->n_properties + c->n_constraints + 1);
    bool dv = false;
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->n_properties; i++) {
        kv[n] = (struct delta_kv){c->properties[i].key, c->properties[i].value};
        if (!c->is_like) /* the other table's are as they are */
            TRY(delta_property_check(&kv[n], err));
        if (str_is(kv[n].key, "delta.dataSkippingStatsColumns"))
            TRY(delta_stats_columns_check(kv[n].value, ret->schema, c->partition_by, c->n_partition_by, err));
        dv |= str_is(kv[n].key, "delta.enableDeletionVectors") ||
              (str_is(kv[n].key, DELTA_MANIFEST_PROPERTY) && str_is(kv[n].value, "true"));
        n++;
    }
    if (!c->is_like)
        TRY(delta_properties_check(kv, n, err));
    for (uint32_t i = 0; i < c->n_constraints; i++)
        kv[n++] = (struct delta_kv){
            str_of(arena_printf(&s->arena, "delta.constraints.%.*s", STR_ARG(c->constraints[i].name))),
            c->constraints[i].expr};
    if (!dv && !c->is_like)
        kv[n++] = (struct delta_kv){STR("delta.enableDeletionVectors"), STR("true")};
    ret->configuration = kv;
    ret->n_configuration = n;
    return 0;
}

static void add_string_list(struct buf *out, const struct str *v, uint32_t n)
{
    CLEANUP(buf_deinit) struct buf list = {0};

    for (uint32_t i = 0; i < n; i++) {
        buf_add_char(&list, i ? ',' : '[');
        buf_add_json_str(&list, v[i]);
    }
    buf_add_cstr(&list, n ? "]" : "[]");
    buf_add_json_str(out, buf_str(&list));
}

/* What the history tells of a table that is made: `m` is its metadata. */
static struct str parameters(struct session *s, const struct delta_create *c, const struct delta_metadata *m)
{
    CLEANUP(buf_deinit) struct buf json = {0}, properties_json = {0};

    assert(m);
    buf_add_cstr(&json, "{\"isManaged\":\"false\",\"description\":");
    if (c->description.p)
        buf_add_json_str(&json, c->description);
    else
        buf_add_cstr(&json, "null");
    buf_add_cstr(&json, ",\"partitionBy\":");
    add_string_list(&json, c->partition_columns, c->n_partition_columns);
    buf_add_cstr(&json, ",\"clusterBy\":");
    struct str *clustered = ARENA_NEW_N(&s->arena, struct str, c->n_cluster_by + 1);
    for (uint32_t i = 0; i < c->n_cluster_by; i++) {
        CLEANUP(buf_deinit) struct buf name = {0};
        delta_clustering_text(&c->cluster_by[i], 1, &name);
        clustered[i] = arena_str(&s->arena, buf_str(&name));
    }
    add_string_list(&json, clustered, c->n_cluster_by);
    buf_add_cstr(&json, ",\"properties\":");
    for (uint32_t i = 0; i < m->n_configuration; i++) {
        buf_add_char(&properties_json, i ? ',' : '{');
        buf_add_json_str(&properties_json, m->configuration[i].key);
        buf_add_char(&properties_json, ':');
        buf_add_json_str(&properties_json, m->configuration[i].value);
    }
    buf_add_cstr(&properties_json, m->n_configuration ? "}" : "{}");
    buf_add_json_str(&json, buf_str(&properties_json));
    buf_add_char(&json, '}');
    return arena_str(&s->arena, buf_str(&json));
}

/* One CREATE or REPLACE under way. */
struct creating {
    struct session *s;
    const struct sql_create *c;
    struct delta_create create;
    struct store *store;
    struct delta_table *old; /* NULL: there is none */
    struct delta_draft draft;
    struct delta_data_files files;
    struct schema *schema;
};

/* Of a query's rows the conditions are asked as they are written. */
static int check_rules(const struct creating *n, struct err *err)
{
    TRY(column_rules_check(n->s->conn, n->schema, err));
    for (uint32_t i = 0; i < n->c->n_constraints && !n->c->query.n; i++) {
        const struct sql_constraint *k = &n->c->constraints[i];
        if (column_condition_check(n->s->conn, n->schema, k->expr, err))
            return err_wrap(err, "CHECK constraint %.*s", STR_ARG(k->name));
    }
    return 0;
}

static int describe(struct creating *n, struct err *err)
{
    const struct sql_create *c = n->c;
    struct schema *schema = n->schema = schema_new();
    struct delta_path *cluster_by = ARENA_NEW_N(&n->s->arena, struct delta_path, c->n_cluster_by + 1);

    if (c->query.n) {
        TRY(delta_query_columns(n->s->conn, "SELECT * FROM temp." CTAS, &n->s->arena, &schema->fields,
                                &schema->n_fields, err));
    } else {
        schema->n_fields = c->n_columns;
        schema->fields = ARENA_NEW_N(&schema->arena, struct field, c->n_columns + 1);
        for (uint32_t i = 0; i < c->n_columns; i++)
            schema->fields[i] = c->columns[i].field;
    }
    if (!schema->n_fields)
        return err_set(err, ERR_USAGE, "a table needs a column");
    TRY(check_partitions(c, schema, err));
    TRY(check_rules(n, err));
    for (uint32_t i = 0; i < c->n_cluster_by; i++)
        cluster_by[i] = (struct delta_path){c->cluster_by[i].parts, c->cluster_by[i].n_parts};
    n->create = (struct delta_create){.schema = schema,
                                      .description = c->comment,
                                      .partition_columns = c->partition_by,
                                      .n_partition_columns = c->n_partition_by,
                                      .cluster_by = cluster_by,
                                      .n_cluster_by = c->n_cluster_by};
    TRY(properties(n->s, c, &n->create, err));
    n->create.operation = arena_printf(&n->s->arena, "%sTABLE%s",
                                       c->replace_only ? "REPLACE "
                                       : c->or_replace ? "CREATE OR REPLACE "
                                                       : "CREATE ",
                                       c->query.n ? " AS SELECT" : "");
    return 0;
}

/* The rows of the query must meet the constraints of the table that is made of them. */
static int check_constraints(struct creating *n, struct err *err)
{
    for (uint32_t i = 0; i < n->c->n_constraints; i++) {
        CLEANUP(buf_deinit) struct buf sql = {0};
        int64_t bad;
        buf_add_cstr(&sql, "SELECT count(*) FROM temp." CTAS " WHERE (");
        TRY(table_expr_sql(n->s->conn, STR("temp." CTAS), n->c->constraints[i].expr, &sql, err));
        buf_add_cstr(&sql, "\n) IS NOT TRUE");
        TRY(engine_query_i64(n->s->conn, sql.p, &bad, err));
        if (bad)
            return err_set(err, ERR_USAGE, "the CHECK constraint %.*s is violated by %lld rows of the query",
                           STR_ARG(n->c->constraints[i].name), (long long)bad);
    }
    return 0;
}

static int write_rows(struct creating *n, struct err *err)
{
    CLEANUP(buf_deinit) struct buf from = {0}, json = {0};
    const struct delta_snapshot *replaced = n->draft.replaced;
    struct delta_data data = {.head = n->draft.head};

    TRY(check_constraints(n, err));
    for (uint32_t i = 0; i < n->schema->n_fields; i++) {
        const struct field *f = &n->schema->fields[i];
        buf_add_cstr(&from, i ? ", CAST(" : "(SELECT CAST(");
        buf_add_sql_ident(&from, f->name);
        buf_add_cstr(&from, " AS ");
        TRY(parquet_type_sql(&f->type, &from, err));
        buf_add_cstr(&from, ") AS ");
        buf_add_sql_ident(&from, f->name);
    }
    buf_add_cstr(&from, " FROM temp." CTAS ")");
    data.from = from.p;
    TRY(delta_data_write(n->s->conn, n->store, &data, &n->s->arena, &n->files, err));
    n->create.files = n->files.v;
    n->create.n_files = (uint32_t)n->files.n;
    buf_printf(&json, "{\"numFiles\":\"%zu\",\"numOutputRows\":\"%llu\",\"numOutputBytes\":\"%llu\"", n->files.n,
               (unsigned long long)n->files.rows, (unsigned long long)n->files.bytes);
    if (replaced)
        buf_printf(&json, ",\"numRemovedFiles\":\"%llu\",\"numRemovedBytes\":\"%lld\"",
                   (unsigned long long)replaced->n_files, (long long)replaced->bytes);
    buf_add_char(&json, '}');
    n->create.metrics = arena_str(&n->s->arena, buf_str(&json));
    return 0;
}

static int commit(struct creating *n, struct err *err)
{
    CLEANUP(delta_table_freep) struct delta_table *table = NULL;
    int64_t version;

    if (n->old)
        return delta_draft_replace(&n->draft, n->old, &n->create, &version, err);
    return delta_draft_create(&n->draft, n->store, n->s->engine, &n->create, &table, err);
}

static int make_table(struct creating *n, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *replaced = n->old ? delta_table_snapshot(n->old) : NULL;

    if (n->c->query.n)
        TRY(stage_query(n->s, n->c->query, err));
    TRY(describe(n, err));
    TRY(delta_draft_make(&n->create, replaced, &n->draft, err));
    n->create.parameters = parameters(n->s, &n->create, n->draft.metadata);
    int rc = n->c->query.n ? write_rows(n, err) : 0;
    if (rc == 0)
        rc = commit(n, err);
    if (rc < 0)
        delta_data_drop(n->store, &n->files);
    return rc;
}

static int create_at(struct session *s, const struct sql_create *c, const char *path, bool there, uint64_t *ret_rows,
                     struct err *err)
{
    CLEANUP(store_unrefp) struct store *store = store_local_new(path);
    struct creating n = {.s = s, .c = c, .store = store};
    struct open_table *t;
    int rc = 0;

    if (there) {
        TRY(session_table_at(s, path, &t, err));
        n.old = t->table;
    }
    rc = make_table(&n, err);
    delta_draft_deinit(&n.draft);
    schema_unref(n.schema);
    (void)!engine_exec(s->conn, "DROP TABLE IF EXISTS temp." CTAS, NULL);
    *ret_rows = n.files.rows;
    if (rc < 0)
        return err_wrap(err, "table %.*s", STR_ARG(c->table.name.text));
    if (!there)
        session_forget(s, path);
    return 0;
}

int session_create(struct session *s, const struct sql_create *c, struct buf *out, struct err *err)
{
    uint64_t rows = 0;
    const char *path;
    struct sql_create like;
    bool there;

    if (c->is_like) {
        TRY(session_like(s, c, &like, err));
        c = &like;
    }
    TRY(session_new_path(s, &c->table, c->location, &path, err));
    TRY(session_exists(path, &there, err));
    if (there && !c->or_replace && !c->replace_only && !c->if_not_exists)
        return err_set(err, ERR_EXISTS, "there is a table %.*s already", STR_ARG(c->table.name.text));
    if (!there && c->replace_only)
        return session_no_table(s, c->table.name.text, err);
    if (!there || c->or_replace || c->replace_only)
        TRY(create_at(s, c, path, there, &rows, err));
    if (c->query.n)
        buf_printf(out, "SELECT %llu AS num_inserted_rows", (unsigned long long)rows);
    else
        session_say(s, out, "created");
    return 0;
}
