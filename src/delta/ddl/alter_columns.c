/*
 * ALTER TABLE of columns.
 *
 * Data files are never touched: a column that is new reads as NULL in old files, one that is dropped is not read any more,
 * one that is renamed keeps its physical name, one whose type is widened is cast while reading.
 */
#include "delta/ddl/alter_internal.h"
#include "delta/log/clustering.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/delta_schema.h"
#include "delta/dml/column_rules.h"
#include "delta/dml/stats_columns.h"

#include <assert.h>

/* New fields get ids and physical names where the table has column mapping. */
int alter_map_new(struct alter *a, struct err *err)
{
    struct str known = delta_kv_get(a->m->configuration, a->m->n_configuration, STR("delta.columnMapping.maxColumnId"));
    int64_t max = 0;

    if (a->tx->read->head->mapping == DELTA_MAPPING_NONE)
        return 0;
    if (known.n && (!str_to_i64(known, &max) || max < 0 || max > INT32_MAX))
        return err_set(err, ERR_INPUT, "delta.columnMapping.maxColumnId is %.*s", STR_ARG(known));
    int32_t id = (int32_t)max;
    delta_schema_map(a->next, &id, true, (uint64_t)clock_now_us());
    alter_property(a, STR("delta.columnMapping.maxColumnId"), str_of(arena_printf(&a->tx->arena, "%d", id)));
    return 0;
}

static int need_struct(struct field_list list, struct err *err)
{
    return list.fixed
               ? err_set(err, ERR_USAGE, "the parts of an array or map cannot be added, dropped, renamed or moved")
               : 0;
}

static int add_column(struct alter *a, const struct delta_new_column *c, bool if_not_exists, bool *ret_added,
                      struct err *err)
{
    struct field_list list;
    int i;

    TRY(alter_find(a, c->path, &list, &i, err));
    *ret_added = i < 0;
    TRY(need_struct(list, err));
    if (i >= 0 && if_not_exists)
        return 0;
    if (i >= 0)
        return err_set(err, ERR_USAGE, "there is a column \"%.*s\" already", STR_ARG(c->field.name));
    if (!c->field.nullable)
        return err_set(err, ERR_UNSUPPORTED,
                       "the new column \"%.*s\" cannot be NOT NULL: existing rows have nothing in it",
                       STR_ARG(c->field.name));
    if (field_meta_get(&c->field, STR("CURRENT_DEFAULT")).n) {
        err_set(err, ERR_UNSUPPORTED, "a new column cannot come with a default: existing rows would read NULL");
        return err_hint(err, "add the column, then ALTER TABLE … ALTER COLUMN %.*s SET DEFAULT …",
                        STR_ARG(c->field.name));
    }
    struct field *more = ARENA_NEW_N(&a->next->arena, struct field, *list.n + 1);
    memcpy(more, *list.fields, *list.n * sizeof *more);
    more[*list.n] = c->field;
    more[*list.n].physical = c->field.name;
    *list.fields = more;
    ++*list.n;
    return alter_move(list, (int)*list.n - 1, c->place, c->after, err);
}

static void add_place(enum delta_place place, struct str after, struct buf *out)
{
    if (place == DELTA_PLACE_FIRST)
        buf_add_cstr(out, "FIRST");
    else if (place == DELTA_PLACE_AFTER)
        buf_printf(out, "AFTER %.*s", STR_ARG(after));
}

/* a.b, as the history names a field. */
static struct str path_text(struct alter *a, struct delta_path path)
{
    CLEANUP(buf_deinit) struct buf text = {0};

    for (uint32_t i = 0; i < path.n; i++)
        buf_printf(&text, "%s%.*s", i ? "." : "", STR_ARG(path.parts[i]));
    return arena_str(&a->tx->arena, buf_str(&text));
}

int delta_add_columns(struct delta_table *t, const struct delta_new_column *columns, uint32_t n, bool if_not_exists,
                      struct err *err)
{
    CLEANUP(alter_deinit) struct alter a = {0};
    CLEANUP(buf_deinit) struct buf list = {0}, place = {0};
    bool added;

    TRY(alter_begin(&a, t, "ADD COLUMNS", err));
    for (uint32_t i = 0; i < n; i++) {
        TRY(add_column(&a, &columns[i], if_not_exists, &added, err));
        if (!added)
            continue;
        buf_add_cstr(&list, list.n ? ",{\"column\":" : "[{\"column\":");
        struct field shown = columns[i].field;
        shown.name = path_text(&a, columns[i].path);
        alter_field_json(&shown, &list);
        buf_reset(&place);
        add_place(columns[i].place, columns[i].after, &place);
        if (place.n) {
            buf_add_cstr(&list, ",\"position\":");
            buf_add_json_str(&list, buf_str(&place));
        }
        buf_add_char(&list, '}');
    }
    if (!list.n)
        return 0;
    buf_add_char(&list, ']');
    alter_param(&a, "columns", buf_str(&list));
    TRY(alter_map_new(&a, err));
    return alter_commit(&a, err);
}

/* ---- drop and rename ---- */

static int need_mapping(const struct alter *a, const char *what, struct err *err)
{
    if (a->tx->read->head->mapping != DELTA_MAPPING_NONE)
        return 0;
    err_set(err, ERR_UNSUPPORTED, "%s needs column mapping, since the data files keep their columns", what);
    return err_hint(err, "ALTER TABLE … SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')");
}

static int partition_of(const struct alter *a, struct str name)
{
    for (uint32_t i = 0; i < a->m->n_partition_columns; i++)
        if (str_eq_nocase(a->m->partition_columns[i], name))
            return (int)i;
    return -1;
}

/* A column that the table is clustered by, or a part of one, stays. */
static int check_not_clustered(struct alter *a, struct delta_path path, struct err *err)
{
    struct delta_path *by;
    uint32_t n;

    TRY(delta_clustering_read(a->tx->read, &a->tx->arena, &by, &n, err));
    for (uint32_t i = 0; i < n; i++) {
        bool within = path.n <= by[i].n;
        for (uint32_t k = 0; within && k < path.n; k++)
            within = str_eq_nocase(path.parts[k], by[i].parts[k]);
        if (within)
            return err_set(err, ERR_USAGE, "the table is clustered by \"%.*s\": it cannot be dropped",
                           STR_ARG(path.parts[path.n - 1]));
    }
    return 0;
}

/* The columns with statistics are named by what they are called. */
static void rename_in_stats(struct alter *a, struct delta_path path, struct str name)
{
    struct str key = STR("delta.dataSkippingStatsColumns");
    struct str list = delta_kv_get(a->m->configuration, a->m->n_configuration, key);

    if (list.p)
        alter_property(a, key, delta_stats_columns_renamed(list, path.parts, path.n, name, &a->tx->arena));
}

int alter_droppable(struct alter *a, struct delta_path path, struct err *err)
{
    TRY(need_mapping(a, "dropping a column", err));
    if (path.n == 1 && partition_of(a, path.parts[0]) >= 0)
        return err_set(err, ERR_USAGE, "\"%.*s\" is a partition column: it cannot be dropped", STR_ARG(path.parts[0]));
    TRY(column_unused_check(a->m, a->next, path, err));
    TRY(check_not_clustered(a, path, err));
    rename_in_stats(a, path, (struct str){0});
    return 0;
}

int delta_drop_columns(struct delta_table *t, const struct delta_path *paths, uint32_t n, bool if_exists,
                       struct err *err)
{
    CLEANUP(alter_deinit) struct alter a = {0};
    CLEANUP(buf_deinit) struct buf list = {0}, text = {0};

    TRY(alter_begin(&a, t, "DROP COLUMNS", err));
    TRY(need_mapping(&a, "dropping a column", err)); /* even where none is there */
    for (uint32_t k = 0; k < n; k++) {
        struct field_list in;
        int i;
        TRY(if_exists ? alter_find(&a, paths[k], &in, &i, err) : alter_get(&a, paths[k], &in, &i, err));
        TRY(need_struct(in, err));
        if (i < 0)
            continue;
        if (*in.n == 1)
            return err_set(err, ERR_USAGE, "\"%.*s\" is the only column there: it cannot be dropped",
                           STR_ARG(paths[k].parts[paths[k].n - 1]));
        TRY(alter_droppable(&a, paths[k], err));
        memmove(&(*in.fields)[i], &(*in.fields)[i + 1], (*in.n - (uint32_t)i - 1) * sizeof(struct field));
        --*in.n;
        buf_reset(&text);
        alter_path_text(paths[k], &text);
        buf_add_cstr(&list, list.n ? "," : "[");
        buf_add_json_str(&list, buf_str(&text));
    }
    if (!list.n)
        return 0;
    buf_add_char(&list, ']');
    alter_param(&a, "columns", buf_str(&list));
    return alter_commit(&a, err);
}

int delta_rename_column(struct delta_table *t, struct delta_path path, struct str name, struct err *err)
{
    CLEANUP(alter_deinit) struct alter a = {0};
    CLEANUP(buf_deinit) struct buf from = {0}, to = {0};
    struct field_list list, other;
    int i, clash;

    TRY(alter_begin(&a, t, "RENAME COLUMN", err));
    TRY(need_mapping(&a, "renaming a column", err));
    TRY(alter_get(&a, path, &list, &i, err));
    TRY(need_struct(list, err));
    struct str *parts = arena_dup(&a.tx->arena, path.parts, path.n * sizeof *parts);
    parts[path.n - 1] = name;
    TRY(alter_find(&a, (struct delta_path){parts, path.n}, &other, &clash, err));
    if (clash >= 0 && clash != i)
        return err_set(err, ERR_USAGE, "there is a column \"%.*s\" already", STR_ARG(name));
    TRY(column_unused_check(a.m, a.next, path, err));
    int partition = path.n == 1 ? partition_of(&a, path.parts[0]) : -1;
    if (partition >= 0)
        a.m->partition_columns[partition] = arena_str(&a.tx->arena, name);
    (*list.fields)[i].name = arena_str(&a.next->arena, name);
    rename_in_stats(&a, path, name);
    alter_path_text(path, &from);
    alter_path_text((struct delta_path){parts, path.n}, &to);
    alter_param(&a, "oldColumnPath", buf_str(&from));
    alter_param(&a, "newColumnPath", buf_str(&to));
    return alter_commit(&a, err);
}

/* ---- types ---- */

/* A change of a part of an array or map is noted at the nearest field of a struct, with the way from there. */
static void note_widening(struct alter *a, struct delta_path path, const struct type *from, const struct type *to)
{
    struct field *fields = a->next->fields, *host = NULL;
    uint32_t n = a->next->n_fields, host_at = 0;
    CLEANUP(buf_deinit) struct buf way = {0};
    bool named = true;

    for (uint32_t k = 0; k < path.n; k++) {
        uint32_t i = 0;
        while (i < n && !str_eq_nocase(fields[i].name, path.parts[k]))
            i++;
        assert(i < n);
        if (named) {
            host = &fields[i];
            host_at = k;
        }
        named = fields[i].type.id == TYPE_STRUCT;
        n = fields[i].type.n_children;
        fields = fields[i].type.children;
    }
    alter_path_text((struct delta_path){path.parts + host_at + 1, path.n - host_at - 1}, &way);
    assert(host);
    delta_schema_note_widening(host, from, to, buf_str(&way), &a->next->arena);
}

int alter_type(struct alter *a, struct delta_path path, struct field *f, const struct type *to, struct err *err)
{
    CLEANUP(buf_deinit) struct buf from_text = {0}, to_text = {0};

    if (type_eq(&f->type, to))
        return 0;
    type_text(&f->type, &from_text);
    type_text(to, &to_text);
    if (!delta_schema_widens(&f->type, to))
        return err_set(err, ERR_UNSUPPORTED, "\"%.*s\" cannot go from %s to %s: a type can only be widened",
                       STR_ARG(f->name), from_text.p, to_text.p);
    if (!delta_snapshot_property_is_true(a->tx->read, STR("delta.enableTypeWidening"))) {
        err_set(err, ERR_UNSUPPORTED, "widening \"%.*s\" from %s to %s needs type widening", STR_ARG(f->name),
                from_text.p, to_text.p);
        return err_hint(err, "ALTER TABLE … SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true')");
    }
    TRY(column_unused_check(a->m, a->next, path, err));
    if (field_meta_get(f, STR("delta.generationExpression")).n)
        return err_set(err, ERR_USAGE, "\"%.*s\" is generated: its type is that of its expression", STR_ARG(f->name));
    note_widening(a, path, &f->type, to);
    f->type = type_clone(to, &a->next->arena);
    return 0;
}

static void set_text(struct alter *a, struct field *f, const char *key, struct str value)
{
    CLEANUP(buf_deinit) struct buf json = {0};

    if (value.n)
        buf_add_json_str(&json, value);
    field_meta_set(f, &a->next->arena, str_of(key), buf_str(&json));
}

/* Only a type is given, and the column has it: Spark makes no commit of that. */
static bool changes_nothing(const struct field *f, const struct delta_column_change *c)
{
    return c->type && type_eq(&f->type, c->type) &&
           str_eq(field_meta_get(f, STR("__CHAR_VARCHAR_TYPE_STRING")), c->char_type) && !c->comment &&
           !c->default_to && !c->drop_not_null && !c->set_not_null && c->place == DELTA_PLACE_KEEP;
}

/* The field as the history shows it, by this name. */
static void show(struct alter *a, const struct field *f, struct str name, struct buf *out)
{
    struct field shown = *f;

    shown.name = name;
    field_meta_set(&shown, &a->tx->arena, STR("delta.typeChanges"), (struct str){0});
    alter_field_json(&shown, out);
}

/* `several`: the history's list, which gets an entry; NULL: this change is the only one. */
static int change_column(struct alter *a, struct engine_conn *conn, const struct delta_column_change *c,
                         struct buf *several, struct err *err)
{
    CLEANUP(buf_deinit) struct buf json = {0}, place = {0};
    struct field_list list;
    int i;

    TRY(alter_get(a, c->path, &list, &i, err));
    struct field *f = &(*list.fields)[i];
    if (c->type) {
        TRY(alter_type(a, c->path, f, c->type, err));
        field_meta_set(f, &a->next->arena, STR("__CHAR_VARCHAR_TYPE_STRING"), c->char_type);
    }
    if (c->comment)
        set_text(a, f, "comment", *c->comment);
    if (c->default_to && c->default_to->n)
        TRY(column_default_check(conn, f, *c->default_to, err));
    if (c->default_to)
        set_text(a, f, "CURRENT_DEFAULT", *c->default_to);
    if (c->set_not_null && f->nullable) {
        struct str text = path_text(a, c->path);
        err_set(err, ERR_UNSUPPORTED, "a column cannot become NOT NULL");
        return err_hint(err, "ALTER TABLE … ADD CONSTRAINT … CHECK (%.*s IS NOT NULL)", STR_ARG(text));
    }
    f->nullable |= c->drop_not_null;
    add_place(c->place, c->after, &place);
    if (several) { /* the position is beside the field's own, and not inside a "column" as that of ADD COLUMNS */
        buf_add_char(several, several->n ? ',' : '[');
        show(a, f, path_text(a, c->path), several);
        if (place.n) {
            several->n--;
            buf_add_cstr(several, ",\"position\":");
            buf_add_json_str(several, buf_str(&place));
            buf_add_char(several, '}');
        }
    } else {
        show(a, f, path_text(a, c->path), &json);
        alter_param(a, "column", buf_str(&json));
        if (place.n)
            alter_param(a, "position", buf_str(&place));
    }
    if (c->place != DELTA_PLACE_KEEP)
        TRY(need_struct(list, err));
    return alter_move(list, i, c->place, c->after, err);
}

/* Is one the other, or a part of it? */
static bool overlap(struct delta_path a, struct delta_path b)
{
    for (uint32_t i = 0; i < MIN(a.n, b.n); i++)
        if (!str_eq_nocase(a.parts[i], b.parts[i]))
            return false;
    return true;
}

/* Those that change something, as the history tells only of these. */
static int effective(struct alter *a, const struct delta_column_change *changes, uint32_t *n,
                     struct delta_column_change **ret, struct err *err)
{
    uint32_t n_kept = 0;

    *ret = ARENA_NEW_N(&a->tx->arena, struct delta_column_change, *n);
    for (uint32_t i = 0; i < *n; i++) {
        struct field_list list;
        int at;
        TRY(alter_get(a, changes[i].path, &list, &at, err));
        if (!changes_nothing(&(*list.fields)[at], &changes[i]))
            (*ret)[n_kept++] = changes[i];
    }
    *n = n_kept;
    return 0;
}

int delta_change_columns(struct delta_table *t, struct engine_conn *conn, const struct delta_column_change *changes,
                         uint32_t n, struct err *err)
{
    CLEANUP(alter_deinit) struct alter a = {0};
    CLEANUP(buf_deinit) struct buf list = {0};
    struct delta_column_change *todo;

    TRY(alter_begin(&a, t, "CHANGE COLUMN", err));
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < i; k++)
            if (overlap(changes[i].path, changes[k].path))
                return err_set(err, ERR_USAGE, "the column \"%.*s\", or a part of it, is changed twice",
                               STR_ARG(path_text(&a, changes[i].path)));
    TRY(effective(&a, changes, &n, &todo, err));
    for (uint32_t i = 0; i < n; i++)
        TRY(change_column(&a, conn, &todo[i], n > 1 ? &list : NULL, err));
    if (!n)
        return 0;
    if (n > 1) {
        buf_add_char(&list, ']');
        alter_param(&a, "columns", buf_str(&list));
        a.tx->operation = STR("CHANGE COLUMNS");
    }
    return alter_commit(&a, err);
}
