/*
 * CREATE TABLE, DROP TABLE and ALTER TABLE of a session.
 *
 * A table without LOCATION lies at <lake>/<schema>/<name>. CREATE TABLE … AS first runs the query into a temporary table,
 * so that a query that fails leaves no table behind, then makes the table and inserts.
 */
#include "server/session_internal.h"

#include "base/file.h"
#include "base/mem.h"
#include "delta/alter.h"
#include "delta/dml.h"
#include "delta/transaction.h"
#include "sql/types.h"

#include <assert.h>
#include <stdio.h>

#define CTAS "__sluice_ctas"

/* ---- where a table lies ---- */

/* A name that is a folder's name. */
static int check_name(struct str name, struct err *err)
{
    if (!name.n || name.p[0] == '.' || name.p[0] == '_' || memchr(name.p, '/', name.n) || memchr(name.p, 0, name.n))
        return err_set(err, ERR_USAGE, "\"%.*s\" cannot be the name of a table's folder", STR_ARG(name));
    return 0;
}

static int new_path(struct session *s, const struct sql_table *t, struct str location, const char **ret,
                    struct err *err)
{
    const struct sql_name *n = &t->name;
    struct str schema = n->n_parts > 1 ? n->parts[n->n_parts - 2] : STR("public");

    if (t->path.n || location.n) {
        *ret = arena_strdup(&s->arena, t->path.n ? t->path : location);
        return 0;
    }
    if (!s->root)
        return err_set(err, ERR_USAGE, "no lake is open: name the table by its path, as in delta.`/data/%.*s`",
                       STR_ARG(n->text));
    TRY(check_name(schema, err));
    TRY(check_name(n->parts[n->n_parts - 1], err));
    *ret = arena_printf(&s->arena, "%s/%.*s/%.*s", s->root, STR_ARG(schema), STR_ARG(n->parts[n->n_parts - 1]));
    return 0;
}

static int exists(const char *path, bool *ret, struct err *err)
{
    CLEANUP(store_unrefp) struct store *store = store_local_new(path);

    return delta_table_exists(store, ret, err);
}

/* What the session knows of a table is out of date. */
static void forget(struct session *s, const char *path)
{
    struct open_table *t = map_remove(&s->tables, str_of(path));

    if (t)
        session_table_free(t);
    s->relisted = false;
    lake_deinit(&s->lake);
}

/* ---- types of a query ---- */

static int type_of(struct session *s, const struct engine_type *from, struct str name, struct type *ret,
                   struct err *err);

static int children_of(struct session *s, const struct engine_type *from, struct str column, struct type *ret,
                       struct err *err)
{
    static const char *const pair[] = {"key", "value"};

    ret->n_children = from->n_children;
    ret->children = ARENA_NEW_N(&s->arena, struct field, from->n_children + 1);
    for (uint32_t i = 0; i < from->n_children; i++) {
        struct field *f = &ret->children[i];
        f->name = ret->id == TYPE_STRUCT  ? from->names[i]
                  : ret->id == TYPE_ARRAY ? STR("element")
                                          : str_of(pair[i != 0]);
        f->name = f->physical = arena_str(&s->arena, f->name);
        f->nullable = !(ret->id == TYPE_MAP && i == 0);
        TRY(type_of(s, &from->children[i], column, &f->type, err));
    }
    return 0;
}

static int type_of(struct session *s, const struct engine_type *from, struct str name, struct type *ret,
                   struct err *err)
{
    static const uint8_t simple[] = {
        [ENGINE_BOOLEAN] = TYPE_BOOLEAN + 1,
        [ENGINE_TINYINT] = TYPE_BYTE + 1,
        [ENGINE_SMALLINT] = TYPE_SHORT + 1,
        [ENGINE_INTEGER] = TYPE_INTEGER + 1,
        [ENGINE_BIGINT] = TYPE_LONG + 1,
        [ENGINE_UTINYINT] = TYPE_SHORT + 1,
        [ENGINE_USMALLINT] = TYPE_INTEGER + 1,
        [ENGINE_UINTEGER] = TYPE_LONG + 1,
        [ENGINE_FLOAT] = TYPE_FLOAT + 1,
        [ENGINE_DOUBLE] = TYPE_DOUBLE + 1,
        [ENGINE_TIMESTAMP] = TYPE_TIMESTAMP_NTZ + 1,
        [ENGINE_DATE] = TYPE_DATE + 1,
        [ENGINE_TIME] = TYPE_STRING + 1,
        [ENGINE_INTERVAL] = TYPE_STRING + 1,
        [ENGINE_VARCHAR] = TYPE_STRING + 1,
        [ENGINE_BLOB] = TYPE_BINARY + 1,
        [ENGINE_TIMESTAMP_S] = TYPE_TIMESTAMP_NTZ + 1,
        [ENGINE_TIMESTAMP_MS] = TYPE_TIMESTAMP_NTZ + 1,
        [ENGINE_TIMESTAMP_NS] = TYPE_TIMESTAMP_NTZ + 1,
        [ENGINE_ENUM] = TYPE_STRING + 1,
        [ENGINE_LIST] = TYPE_ARRAY + 1,
        [ENGINE_STRUCT] = TYPE_STRUCT + 1,
        [ENGINE_MAP] = TYPE_MAP + 1,
        [ENGINE_UUID] = TYPE_STRING + 1,
        [ENGINE_TIMESTAMP_TZ] = TYPE_TIMESTAMP + 1,
        [ENGINE_ARRAY] = TYPE_ARRAY + 1,
    };

    *ret = (struct type){.id = TYPE_DECIMAL, .precision = from->precision, .scale = from->scale};
    if (from->kind == ENGINE_DECIMAL)
        return 0;
    if (from->kind == ENGINE_HUGEINT || from->kind == ENGINE_UBIGINT) {
        ret->precision = from->kind == ENGINE_HUGEINT ? 38 : 20;
        return 0;
    }
    *ret = (struct type){0};
    if (from->kind >= ARRAY_LEN(simple) || !simple[from->kind])
        return err_set(err, ERR_UNSUPPORTED, "the column \"%.*s\" has a type that Delta does not have: use CAST",
                       STR_ARG(name));
    ret->id = (enum type_id)(simple[from->kind] - 1);
    if (ret->id == TYPE_MAP) /* the engine gives its entries */
        return children_of(s, from->n_children == 1 ? &from->children[0] : from, name, ret, err);
    return type_is_nested(ret) ? children_of(s, from, name, ret, err) : 0;
}

static int fields_of_query(struct session *s, struct field **ret, uint32_t *ret_n, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;

    TRY(engine_query(s->conn, "SELECT * FROM temp." CTAS " LIMIT 0", &result, err));
    *ret_n = engine_result_n_columns(result);
    *ret = ARENA_NEW_N(&s->arena, struct field, *ret_n);
    for (uint32_t i = 0; i < *ret_n; i++) {
        const struct engine_column *c = engine_result_column(result, i);
        struct field *f = &(*ret)[i];
        f->name = f->physical = arena_str(&s->arena, c->name);
        f->nullable = true;
        TRY(type_of(s, &c->type, c->name, &f->type, err));
    }
    return 0;
}

/* ---- CREATE TABLE ---- */

static int stage_query(struct session *s, struct str query, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_add_cstr(&sql, "CREATE OR REPLACE TEMP TABLE " CTAS " AS ");
    TRY(sql_rewrite(&s->arena, query, session_replace, s, &sql, err));
    return engine_exec(s->conn, sql.p, err);
}

static int check_partitions(const struct sql_create *c, const struct schema *schema, struct err *err)
{
    for (uint32_t i = 0; i < c->n_partition_by; i++) {
        int k = schema_find(schema, c->partition_by[i]);
        if (k < 0)
            return err_set(err, ERR_USAGE, "PARTITIONED BY %.*s: the table has no such column",
                           STR_ARG(c->partition_by[i]));
        if (type_is_nested(&schema->fields[k].type))
            return err_set(err, ERR_USAGE, "PARTITIONED BY %.*s: a column of a nested type cannot be one",
                           STR_ARG(c->partition_by[i]));
        c->partition_by[i] = schema->fields[k].name;
    }
    if (c->n_partition_by && c->n_partition_by == schema->n_fields)
        return err_set(err, ERR_USAGE, "a table needs a column that it is not partitioned by");
    return 0;
}

/* Deletion vectors are on unless the statement says otherwise. */
static struct delta_kv *properties(struct session *s, const struct sql_create *c, uint32_t *ret_n)
{
    struct delta_kv *kv = ARENA_NEW_N(&s->arena, struct delta_kv, c->n_properties + c->n_constraints + 1);
    bool dv = false;
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->n_properties; i++) {
        dv |= str_is(c->properties[i].key, "delta.enableDeletionVectors");
        kv[n++] = (struct delta_kv){c->properties[i].key, c->properties[i].value};
    }
    for (uint32_t i = 0; i < c->n_constraints; i++)
        kv[n++] = (struct delta_kv){
            str_of(arena_printf(&s->arena, "delta.constraints.%.*s", STR_ARG(c->constraints[i].name))),
            c->constraints[i].expr};
    if (!dv)
        kv[n++] = (struct delta_kv){STR("delta.enableDeletionVectors"), STR("true")};
    *ret_n = n;
    return kv;
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

static struct str parameters(struct session *s, const struct delta_create *c)
{
    CLEANUP(buf_deinit) struct buf json = {0}, properties_json = {0};

    buf_add_cstr(&json, "{\"isManaged\":\"false\",\"description\":");
    buf_add_json_str(&json, c->description.p ? c->description : STR("None"));
    buf_add_cstr(&json, ",\"partitionBy\":");
    add_string_list(&json, c->partition_columns, c->n_partition_columns);
    buf_add_cstr(&json, ",\"clusterBy\":\"[]\",\"properties\":");
    for (uint32_t i = 0; i < c->n_configuration; i++) {
        buf_add_char(&properties_json, i ? ',' : '{');
        buf_add_json_str(&properties_json, c->configuration[i].key);
        buf_add_char(&properties_json, ':');
        buf_add_json_str(&properties_json, c->configuration[i].value);
    }
    buf_add_cstr(&properties_json, "}");
    buf_add_json_str(&json, buf_str(&properties_json));
    buf_add_char(&json, '}');
    return arena_str(&s->arena, buf_str(&json));
}

static int make_table(struct session *s, const struct sql_create *c, const char *path, struct err *err)
{
    CLEANUP(store_unrefp) struct store *store = store_local_new(path);
    CLEANUP(schema_unrefp) struct schema *schema = schema_new();
    CLEANUP(delta_table_freep) struct delta_table *table = NULL;
    struct delta_create create = {.schema = schema, .description = c->comment};

    if (c->query.n) {
        TRY(fields_of_query(s, &schema->fields, &schema->n_fields, err));
    } else {
        schema->n_fields = c->n_columns;
        schema->fields = ARENA_NEW_N(&schema->arena, struct field, c->n_columns + 1);
        for (uint32_t i = 0; i < c->n_columns; i++)
            schema->fields[i] = c->columns[i].field;
    }
    if (!schema->n_fields)
        return err_set(err, ERR_USAGE, "a table needs a column");
    TRY(check_partitions(c, schema, err));
    create.partition_columns = c->partition_by;
    create.n_partition_columns = c->n_partition_by;
    create.configuration = properties(s, c, &create.n_configuration);
    create.operation = c->query.n ? "CREATE TABLE AS SELECT" : "CREATE TABLE";
    create.parameters = parameters(s, &create);
    return delta_table_create(store, s->engine, &create, &table, err);
}

static int fill_table(struct session *s, const struct sql_create *c, const char *path, struct dml_result *ret,
                      struct err *err)
{
    struct dml_insert insert = {.query = STR("SELECT * FROM temp." CTAS)};
    struct dml_target target = {.conn = s->conn, .name = c->table.name.text};
    struct open_table *t;

    TRY(session_table_at(s, path, &t, err));
    target.table = t->table;
    return delta_insert(&target, &insert, ret, err);
}

int session_create(struct session *s, const struct sql_create *c, struct buf *out, struct err *err)
{
    struct dml_result filled = {0};
    const char *path;
    bool there;

    if (c->n_cluster_by)
        return err_set(err, ERR_UNSUPPORTED, "CLUSTER BY is not supported: use OPTIMIZE … ZORDER BY");
    TRY(new_path(s, &c->table, c->location, &path, err));
    TRY(exists(path, &there, err));
    if (there && c->or_replace)
        return err_set(err, ERR_UNSUPPORTED, "REPLACE TABLE is not supported: DROP TABLE %.*s first",
                       STR_ARG(c->table.name.text));
    if (there && !c->if_not_exists)
        return err_set(err, ERR_EXISTS, "there is a table %.*s already", STR_ARG(c->table.name.text));
    if (!there && c->replace_only)
        return session_no_table(s, c->table.name.text, err);
    if (!there && c->query.n)
        TRY(stage_query(s, c->query, err));
    if (!there) {
        TRY(make_table(s, c, path, err));
        forget(s, path);
    }
    if (!there && c->query.n) {
        int rc = fill_table(s, c, path, &filled, err);
        (void)!engine_exec(s->conn, "DROP TABLE IF EXISTS temp." CTAS, NULL);
        TRY(rc);
    }
    buf_printf(out, "SELECT %llu AS num_inserted_rows WHERE %s", (unsigned long long)filled.inserted,
               c->query.n ? "true" : "false");
    return 0;
}

int session_drop(struct session *s, const struct sql_drop *d, struct buf *out, struct err *err)
{
    const struct sql_name *n = &d->table.name;
    const char *path;

    if (d->table.path.n)
        return err_set(err, ERR_USAGE, "a table that is named by its path is not dropped: delete the folder");
    int rc = session_find(s, n->n_parts > 1 ? n->parts[n->n_parts - 2] : (struct str){0}, n->parts[n->n_parts - 1],
                          &path, err);
    TRY(rc);
    if (rc == 1 && !d->if_exists)
        return session_no_table(s, n->text, err);
    if (rc == 0) {
        path = arena_strdup(&s->arena, str_of(path));
        forget(s, path);
        TRY(file_remove_tree(path, err));
    }
    buf_add_cstr(out, "SELECT 1 AS dropped WHERE false");
    return 0;
}

/* ---- ALTER TABLE ---- */

static struct delta_path path_of(const struct sql_name *name)
{
    return (struct delta_path){name->parts, name->n_parts};
}

static int add_columns(struct session *s, struct delta_table *t, const struct sql_alter *a, struct err *err)
{
    static const enum delta_place places[] = {
        [PLACE_LAST] = DELTA_PLACE_KEEP, [PLACE_FIRST] = DELTA_PLACE_FIRST, [PLACE_AFTER] = DELTA_PLACE_AFTER};
    struct delta_new_column *columns = ARENA_NEW_N(&s->arena, struct delta_new_column, a->n_columns);

    for (uint32_t i = 0; i < a->n_columns; i++)
        columns[i] = (struct delta_new_column){path_of(&a->columns[i].name), a->columns[i].field,
                                               places[a->columns[i].place], a->columns[i].after};
    return delta_add_columns(t, columns, a->n_columns, a->if_not_exists, err);
}

static int change_column(struct delta_table *t, const struct sql_alter *a, struct err *err)
{
    const struct sql_column_change *c = &a->change;
    struct str none = {0};
    struct delta_column_change change = {
        .type = c->set_type ? &c->field.type : NULL,
        .char_type = c->set_type ? field_meta_get(&c->field, STR(SQL_CHAR_TYPE_KEY)) : none,
        .comment = c->set_comment ? &c->comment : NULL,
        .default_to = c->default_expr.n ? &c->default_expr
                      : c->drop_default ? &none
                                        : NULL,
        .drop_not_null = c->drop_not_null,
        .place = !c->move                  ? DELTA_PLACE_KEEP
                 : c->place == PLACE_FIRST ? DELTA_PLACE_FIRST
                                           : DELTA_PLACE_AFTER,
        .after = c->after,
    };

    if (c->set_not_null) {
        err_set(err, ERR_UNSUPPORTED, "a column cannot become NOT NULL");
        return err_hint(err, "ALTER TABLE … ADD CONSTRAINT … CHECK (%.*s IS NOT NULL)", STR_ARG(a->column.text));
    }
    if (c->sync_identity)
        return err_set(err, ERR_UNSUPPORTED, "SYNC IDENTITY is not supported");
    return delta_change_column(t, path_of(&a->column), &change, err);
}

static int change_properties(struct session *s, struct delta_table *t, const struct sql_alter *a, struct err *err)
{
    struct delta_kv *kv = ARENA_NEW_N(&s->arena, struct delta_kv, a->n_properties);
    struct str *keys = ARENA_NEW_N(&s->arena, struct str, a->n_properties);

    for (uint32_t i = 0; i < a->n_properties; i++) {
        kv[i] = (struct delta_kv){a->properties[i].key, a->properties[i].value};
        keys[i] = a->properties[i].key;
    }
    return a->action == ALTER_SET_PROPERTIES ? delta_set_properties(t, kv, a->n_properties, err)
                                             : delta_unset_properties(t, keys, a->n_properties, a->if_exists, err);
}

static int run_alter(struct session *s, struct delta_table *t, const struct sql_alter *a, struct err *err)
{
    struct delta_path *paths = ARENA_NEW_N(&s->arena, struct delta_path, a->n_names + 1);

    for (uint32_t i = 0; i < a->n_names; i++)
        paths[i] = path_of(&a->names[i]);
    switch (a->action) {
    case ALTER_ADD_COLUMNS:
        return add_columns(s, t, a, err);
    case ALTER_DROP_COLUMNS:
        return delta_drop_columns(t, paths, a->n_names, a->if_exists, err);
    case ALTER_RENAME_COLUMN:
        return delta_rename_column(t, path_of(&a->column), a->new_name, err);
    case ALTER_COLUMN:
        return change_column(t, a, err);
    case ALTER_SET_PROPERTIES:
    case ALTER_UNSET_PROPERTIES:
        return change_properties(s, t, a, err);
    case ALTER_ADD_CONSTRAINT:
        return delta_add_constraint(t, s->conn, a->constraint.name, a->constraint.expr, err);
    case ALTER_DROP_CONSTRAINT:
        return delta_drop_constraint(t, a->constraint.name, a->if_exists, err);
    case ALTER_COMMENT:
        return delta_set_comment(t, a->has_comment ? a->comment : (struct str){0}, err);
    default:
        return err_set(err, ERR_UNSUPPORTED, "this ALTER TABLE is not supported");
    }
}

static int rename_table(struct session *s, const char *path, const struct sql_alter *a, struct err *err)
{
    const char *to;
    bool there;

    TRY(new_path(s, &a->new_table, (struct str){0}, &to, err));
    TRY(exists(to, &there, err));
    if (there || file_exists(to))
        return err_set(err, ERR_EXISTS, "there is a table %.*s already", STR_ARG(a->new_table.name.text));
    const char *slash = strrchr(to, '/');
    TRY(file_make_dirs(arena_strdup(&s->arena, str_make(to, (size_t)(slash - to))), err));
    forget(s, path);
    if (rename(path, to) != 0)
        return err_set_errno(err, "renaming %s to %s", path, to);
    return 0;
}

int session_alter(struct session *s, const struct sql_alter *a, struct buf *out, struct err *err)
{
    struct open_table *t;
    const char *path;

    buf_add_cstr(out, "SELECT 1 AS altered WHERE false");
    int rc = session_path(s, &a->table, &path, err);
    if (rc == ERR_USAGE && a->table_if_exists)
        return 0;
    TRY(rc);
    path = arena_strdup(&s->arena, str_of(path));
    if (a->action == ALTER_RENAME_TABLE)
        return rename_table(s, path, a, err);
    TRY(session_table_at(s, path, &t, err));
    rc = run_alter(s, t->table, a, err);
    return rc < 0 ? err_wrap(err, "table %.*s", STR_ARG(a->table.name.text)) : 0;
}
