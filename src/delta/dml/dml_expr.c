/*
 * Expressions of the table and of the statement: names in backquotes, defaults, assignments to (parts of) columns.
 */
#include "delta/dml/dml_internal.h"

#include "base/mem.h"
#include "delta/dml/table_expr.h"

#include <assert.h>

int dml_add_default(const struct dml *d, uint32_t i, struct buf *sql, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {0};
    struct str expr = delta_field_text(&d->schema->fields[i], "CURRENT_DEFAULT", &d->tx->arena);

    if (!expr.n) {
        buf_add_cstr(sql, "NULL");
        return 0;
    }
    TRY(table_expr_sql(d->t->conn, (struct str){0}, expr, &text, err));
    return dml_add_constant(d, i, buf_str(&text), sql, err);
}

/* The assignments of a statement that name a field of `type` at this depth of their paths. */
struct assign {
    const struct dml *d;
    uint32_t field; /* of the table: the column */
    const struct dml_set *const *sets;
    uint32_t n;
    uint32_t depth;
};

static int add_value(const struct field *f, struct str old, struct assign a, struct buf *sql, struct err *err);

static int add_struct(const struct type *type, struct str old, struct assign a, struct buf *sql, struct err *err)
{
    buf_add_cstr(sql, "struct_pack(");
    for (uint32_t i = 0; i < type->n_children; i++) {
        const struct field *f = &type->children[i];
        CLEANUP(mem_freep) const struct dml_set **mine = MEM_NEW_N(const struct dml_set *, a.n);
        CLEANUP(buf_deinit) struct buf part = {0};
        struct assign inner = {a.d, a.field, mine, 0, a.depth + 1};
        for (uint32_t k = 0; k < a.n; k++)
            if (str_eq_nocase(a.sets[k]->path[a.depth], f->name))
                mine[inner.n++] = a.sets[k];
        buf_add_cstr(sql, i ? ", " : "");
        buf_add_sql_ident(sql, f->name);
        buf_add_cstr(sql, " := ");
        buf_printf(&part, "struct_extract(%.*s, ", STR_ARG(old));
        buf_add_sql_literal(&part, f->name);
        buf_add_char(&part, ')');
        TRY(add_value(f, buf_str(&part), inner, sql, err));
    }
    buf_add_char(sql, ')');
    return 0;
}

static bool has_child(const struct type *type, struct str name)
{
    for (uint32_t i = 0; type->id == TYPE_STRUCT && i < type->n_children; i++)
        if (str_eq_nocase(type->children[i].name, name))
            return true;
    return false;
}

/* The new value of a field: as it was, as one assignment says, or with some of its parts assigned. */
static int add_value(const struct field *f, struct str old, struct assign a, struct buf *sql, struct err *err)
{
    for (uint32_t k = 0; k < a.n; k++) {
        bool whole = a.sets[k]->n_path == a.depth;
        if (whole && a.n > 1)
            return err_set(err, ERR_USAGE, "the column \"%.*s\" is set twice", STR_ARG(f->name));
        if (!whole && !has_child(&f->type, a.sets[k]->path[a.depth]))
            return err_set(err, ERR_USAGE, "\"%.*s\" has no field \"%.*s\"", STR_ARG(f->name),
                           STR_ARG(a.sets[k]->path[a.depth]));
    }
    if (!a.n) {
        buf_add_str(sql, old);
        return 0;
    }
    if (a.sets[0]->n_path > a.depth)
        return add_struct(&f->type, old, a, sql, err);
    if (str_eq_nocase(str_trim(a.sets[0]->expr), STR("DEFAULT")) && a.depth > 1) {
        buf_add_cstr(sql, "NULL"); /* fields have none */
        return 0;
    }
    if (str_eq_nocase(str_trim(a.sets[0]->expr), STR("DEFAULT")))
        return dml_add_default(a.d, a.field, sql, err);
    struct assign_to to = {a.d->evolves ? ASSIGN_EVOLVING : ASSIGN_SAME_NAMES, &f->type, f->name};
    const struct engine_type unknown = {.kind = ENGINE_INVALID}, *type = a.sets[0]->type;
    return store_assign_sql(&to, type ? type : &unknown, a.sets[0]->expr, false, sql, err);
}

int dml_add_assigned(const struct dml *d, uint32_t field, struct str old, const struct dml_set *set, uint32_t n_set,
                     struct buf *sql, struct err *err)
{
    const struct field *f = &d->logical->fields[field];
    CLEANUP(mem_freep) const struct dml_set **mine = MEM_NEW_N(const struct dml_set *, n_set + 1);
    struct assign a = {d, field, mine, 0, 1};

    for (uint32_t k = 0; k < n_set; k++)
        if (str_eq_nocase(set[k].path[0], f->name))
            mine[a.n++] = &set[k];
    return add_value(f, old, a, sql, err);
}
