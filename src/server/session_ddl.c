/* DROP TABLE and ALTER TABLE of a session, and where a table lies: without LOCATION at <lake>/<schema>/<name>. */
#include "server/session_internal.h"

#include "base/file.h"
#include "base/mem.h"
#include "delta/ddl/alter.h"
#include "delta/log/clustering.h"
#include "delta/upkeep/drop_feature.h"
#include "delta/log/transaction.h"
#include "sql/types.h"

#include <assert.h>
#include <stdio.h>

/* ---- where a table lies ---- */

/* A name that is a folder's name. */
static int check_name(struct str name, struct err *err)
{
    if (!name.n || name.p[0] == '.' || name.p[0] == '_' || memchr(name.p, '/', name.n) || memchr(name.p, 0, name.n))
        return err_set(err, ERR_USAGE, "\"%.*s\" cannot be the name of a table's folder", STR_ARG(name));
    return 0;
}

int session_new_path(struct session *s, const struct sql_table *t, struct str location, const char **ret,
                     struct err *err)
{
    const struct sql_name *n = &t->name;
    struct str schema = n->n_parts > 1 ? n->parts[n->n_parts - 2] : STR("public");

    if (t->path.n || location.n)
        return session_folder(s, t->path.n ? t->path : location, ret, err);
    if (!s->root)
        return err_set(err, ERR_USAGE, "no lake is open: name the table by its path, as in delta.`/data/%.*s`",
                       STR_ARG(n->text));
    TRY(check_name(schema, err));
    TRY(check_name(n->parts[n->n_parts - 1], err));
    *ret = arena_printf(&s->arena, "%s/%.*s/%.*s", s->root, STR_ARG(schema), STR_ARG(n->parts[n->n_parts - 1]));
    return 0;
}

int session_exists(const char *path, bool *ret, struct err *err)
{
    CLEANUP(store_unrefp) struct store *store = store_local_new(path);

    return delta_table_exists(store, ret, err);
}

/* What the session knows of a table is out of date. */
void session_forget(struct session *s, const char *path)
{
    struct open_table *t = map_remove(&s->tables, str_of(path));

    if (t)
        session_table_free(t);
    s->relisted = false;
    lake_deinit(&s->lake);
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
        session_forget(s, path);
        TRY(file_remove_tree(path, err));
    }
    session_say(s, out, "dropped");
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

static struct delta_column_change change_of(const struct sql_column_change *c)
{
    static const struct str none = {0};

    return (struct delta_column_change){
        .path = path_of(&c->column),
        .type = c->set_type ? &c->field.type : NULL,
        .char_type = c->set_type ? field_meta_get(&c->field, STR(SQL_CHAR_TYPE_KEY)) : none,
        .comment = c->set_comment ? &c->comment : NULL,
        .default_to = c->default_expr.n ? &c->default_expr
                      : c->drop_default ? &none
                                        : NULL,
        .drop_not_null = c->drop_not_null,
        .set_not_null = c->set_not_null,
        .place = !c->move                  ? DELTA_PLACE_KEEP
                 : c->place == PLACE_FIRST ? DELTA_PLACE_FIRST
                                           : DELTA_PLACE_AFTER,
        .after = c->after,
    };
}

static int change_columns(struct session *s, struct delta_table *t, const struct sql_alter *a, struct err *err)
{
    struct delta_column_change *changes = ARENA_NEW_N(&s->arena, struct delta_column_change, a->n_changes);

    for (uint32_t i = 0; i < a->n_changes; i++) {
        const struct sql_column_change *c = &a->changes[i];
        if (c->sync_identity && a->n_changes > 1)
            return err_set(err, ERR_UNSUPPORTED, "SYNC IDENTITY is a statement of its own");
        if (c->sync_identity)
            return delta_sync_identity(t, s->conn, path_of(&c->column), err);
        changes[i] = change_of(c);
    }
    return delta_change_columns(t, s->conn, changes, a->n_changes, err);
}

static int replace_columns(struct session *s, struct delta_table *t, const struct sql_alter *a, struct err *err)
{
    struct field *fields = ARENA_NEW_N(&s->arena, struct field, a->n_columns);

    for (uint32_t i = 0; i < a->n_columns; i++)
        fields[i] = a->columns[i].field;
    return delta_replace_columns(t, fields, a->n_columns, err);
}

static int change_properties(struct session *s, struct delta_table *t, const struct sql_alter *a, struct err *err)
{
    struct delta_kv *kv = ARENA_NEW_N(&s->arena, struct delta_kv, a->n_properties);
    struct str *keys = ARENA_NEW_N(&s->arena, struct str, a->n_properties);

    for (uint32_t i = 0; i < a->n_properties; i++) {
        kv[i] = (struct delta_kv){a->properties[i].key, a->properties[i].value};
        keys[i] = a->properties[i].key;
        if (a->action == ALTER_SET_PROPERTIES)
            TRY(delta_property_check(&kv[i], err));
    }
    if (a->action == ALTER_SET_PROPERTIES)
        TRY(delta_properties_check(kv, a->n_properties, err));
    return a->action == ALTER_SET_PROPERTIES ? delta_set_properties(t, kv, a->n_properties, err)
                                             : delta_unset_properties(t, keys, a->n_properties, err);
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
        return change_columns(s, t, a, err);
    case ALTER_REPLACE_COLUMNS:
        return replace_columns(s, t, a, err);
    case ALTER_SET_PROPERTIES:
    case ALTER_UNSET_PROPERTIES:
        return change_properties(s, t, a, err);
    case ALTER_ADD_CONSTRAINT:
        return delta_add_constraint(t, s->conn, a->constraint.name, a->constraint.expr, err);
    case ALTER_DROP_CONSTRAINT:
        return delta_drop_constraint(t, a->constraint.name, a->if_exists, err);
    case ALTER_DROP_FEATURE:
        return delta_drop_feature(t, s->conn, a->new_name, a->truncate_history, err);
    case ALTER_CLUSTER_BY:
        return delta_set_clustering(t, paths, a->n_names, err);
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

    TRY(session_new_path(s, &a->new_table, (struct str){0}, &to, err));
    TRY(session_exists(to, &there, err));
    if (there || file_exists(to))
        return err_set(err, ERR_EXISTS, "there is a table %.*s already", STR_ARG(a->new_table.name.text));
    const char *slash = strrchr(to, '/');
    TRY(file_make_dirs(arena_strdup(&s->arena, str_make(to, (size_t)(slash - to))), err));
    session_forget(s, path);
    if (rename(path, to) != 0)
        return err_set_errno(err, "renaming %s to %s", path, to);
    return 0;
}

/* The table's name is the first two parts, or the first alone; what is left is the column's. */
static void split_name(struct session *s, struct sql_alter *a)
{
    struct sql_name *table = &a->table.name, *column = &a->changes->column;
    const char *path;
    uint32_t n = 2;

    *table = *column;
    if (column->n_parts < 3 || session_find(s, column->parts[0], column->parts[1], &path, NULL) != 0)
        n = 1;
    table->n_parts = n;
    table->text = table->parts[n - 1];
    column->parts += n;
    column->n_parts -= n;
    column->text = column->parts[column->n_parts - 1];
}

int session_alter(struct session *s, const struct sql_alter *st, struct buf *out, struct err *err)
{
    struct sql_alter named = *st, *a = &named;
    struct open_table *t;
    const char *path;

    session_say(s, out, "altered");
    if (a->whole_name)
        split_name(s, a);
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
