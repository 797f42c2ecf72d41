/* ALTER TABLE … REPLACE COLUMNS: the list of columns as it is to be, which says what to add, drop, move and widen. */
#include "delta/ddl/alter_internal.h"

static int replace_fields(struct alter *a, struct delta_path at, struct field **fields, uint32_t *n,
                          const struct field *to, uint32_t n_to, struct err *err);

static struct delta_path part_of(struct alter *a, struct delta_path at, struct str name)
{
    struct str *parts = ARENA_NEW_N(&a->tx->arena, struct str, at.n + 1);

    for (uint32_t i = 0; i < at.n; i++)
        parts[i] = at.parts[i];
    parts[at.n] = name;
    return (struct delta_path){parts, at.n + 1};
}

/* The field keeps its name and id. */
static int replace_type(struct alter *a, struct delta_path at, struct field *f, const struct type *to, struct err *err)
{
    if (f->type.id != to->id || !to->n_children)
        return alter_type(a, at, f, to, err);
    if (to->id == TYPE_STRUCT)
        return replace_fields(a, at, &f->type.children, &f->type.n_children, to->children, to->n_children, err);
    for (uint32_t i = 0; i < to->n_children; i++) {
        struct field *part = &f->type.children[i];
        TRY(replace_type(a, part_of(a, at, part->name), part, &to->children[i].type, err));
    }
    return 0;
}

static int keep(struct alter *a, struct delta_path at, struct field *f, const struct field *to, struct err *err)
{
    struct str comment = field_meta_get(to, STR("comment"));

    TRY(replace_type(a, at, f, &to->type, err));
    if (comment.p)
        field_meta_set(f, &a->next->arena, STR("comment"), arena_str(&a->next->arena, comment));
    f->nullable |= to->nullable;
    return 0;
}

static int drop_others(struct alter *a, struct delta_path at, const struct field *fields, const bool *kept, uint32_t n,
                       bool added, struct err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        struct delta_path path = part_of(a, at, fields[i].name);
        if (kept[i])
            continue;
        if (added) {
            err_set(err, ERR_UNSUPPORTED, "REPLACE COLUMNS adds and drops (\"%.*s\"): it may be meant to rename",
                    STR_ARG(fields[i].name));
            return err_hint(err, "ALTER TABLE … RENAME COLUMN, or first DROP COLUMN and then ADD COLUMN");
        }
        TRY(alter_droppable(a, path, err));
    }
    return 0;
}

static int replace_fields(struct alter *a, struct delta_path at, struct field **fields, uint32_t *n,
                          const struct field *to, uint32_t n_to, struct err *err)
{
    struct field *next = ARENA_NEW_N(&a->next->arena, struct field, n_to);
    bool *kept = ARENA_NEW_N(&a->tx->arena, bool, *n + 1), added = false;

    for (uint32_t i = 0; i < n_to; i++) {
        uint32_t k = 0;
        for (uint32_t j = 0; j < i; j++)
            if (str_eq_nocase(to[j].name, to[i].name))
                return err_set(err, ERR_USAGE, "the column \"%.*s\" is there twice", STR_ARG(to[i].name));
        while (k < *n && !str_eq_nocase((*fields)[k].name, to[i].name))
            k++;
        if (k < *n) {
            TRY(keep(a, part_of(a, at, (*fields)[k].name), &(*fields)[k], &to[i], err));
            next[i] = (*fields)[k];
            kept[k] = true;
            continue;
        }
        next[i] = to[i];
        next[i].physical = to[i].name;
        added = true;
    }
    TRY(drop_others(a, at, *fields, kept, *n, added, err));
    *fields = next;
    *n = n_to;
    return 0;
}

int delta_replace_columns(struct delta_table *t, const struct field *fields, uint32_t n, struct err *err)
{
    CLEANUP(alter_deinit) struct alter a = {0};
    CLEANUP(buf_deinit) struct buf list = {0};

    TRY(alter_begin(&a, t, "REPLACE COLUMNS", err));
    for (uint32_t i = 0; i < n; i++) {
        buf_add_char(&list, i ? ',' : '[');
        alter_field_json(&fields[i], &list);
    }
    buf_add_char(&list, ']');
    alter_param(&a, "columns", buf_str(&list));
    TRY(replace_fields(&a, (struct delta_path){0}, &a.next->fields, &a.next->n_fields, fields, n, err));
    TRY(alter_map_new(&a, err));
    return alter_commit(&a, err);
}
