/* Of what types the expressions of a statement are, and how their values become those of columns (store_assign.h). */
#include "delta/dml/dml_internal.h"

#include "base/mem.h"

static struct engine_type *literal(const struct dml *d, struct str expr)
{
    struct engine_type type;

    return store_literal_type(expr, &type) ? store_type_copy(&type, &d->tx->arena) : NULL;
}

int dml_columns_of(const struct dml *d, struct str query, uint32_t *ret_n, struct str **ret_names,
                   const struct engine_type ***ret_types, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct arena *arena = &d->tx->arena;

    dml_add_with(d, &sql);
    buf_printf(&sql, "SELECT * FROM (%.*s\n) LIMIT 0", STR_ARG(query));
    TRY(engine_query(d->t->conn, sql.p, &result, err));
    *ret_n = engine_result_n_columns(result);
    *ret_types = ARENA_NEW_N(arena, const struct engine_type *, *ret_n + 1);
    *ret_names = ARENA_NEW_N(arena, struct str, *ret_n + 1);
    for (uint32_t i = 0; i < *ret_n; i++) {
        const struct engine_column *c = engine_result_column(result, i);
        (*ret_types)[i] = store_type_copy(&c->type, arena);
        (*ret_names)[i] = arena_str(arena, c->name);
    }
    return 0;
}

/* Asks DuckDB for those that are not known yet. When it finds fault with one, the statement itself will say so. */
static void ask(const struct dml *d, const struct str *exprs, uint32_t n, struct str from,
                const struct engine_type **ret)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    const struct engine_type **types;
    struct str *names;
    uint32_t n_types, k = 0;

    for (uint32_t i = 0; i < n; i++)
        if (!ret[i] && !str_eq_nocase(str_trim(exprs[i]), STR("DEFAULT")))
            buf_printf(&sql, "%s(%.*s\n)", sql.n ? ", " : "SELECT ", STR_ARG(exprs[i]));
    if (!sql.n)
        return;
    if (from.n)
        buf_printf(&sql, " FROM %.*s", STR_ARG(from));
    if (dml_columns_of(d, buf_str(&sql), &n_types, &names, &types, NULL) < 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        if (!ret[i] && !str_eq_nocase(str_trim(exprs[i]), STR("DEFAULT")) && k < n_types)
            ret[i] = types[k++];
}

void dml_types_of(const struct dml *d, const struct str *exprs, uint32_t n, struct str from,
                  const struct engine_type **ret)
{
    enum { AT_ONCE = 500 };

    for (uint32_t i = 0; i < n; i++)
        if (!ret[i])
            ret[i] = literal(d, exprs[i]);
    for (uint32_t i = 0; i < n; i += AT_ONCE)
        ask(d, exprs + i, MIN(n - i, (uint32_t)AT_ONCE), from, ret + i);
}

const struct dml_set *dml_typed_sets(const struct dml *d, const struct dml_set *set, uint32_t n, struct str from)
{
    struct dml_set *typed = ARENA_NEW_N(&d->tx->arena, struct dml_set, n + 1);
    struct str *exprs = ARENA_NEW_N(&d->tx->arena, struct str, n + 1);
    const struct engine_type **types = ARENA_NEW_N(&d->tx->arena, const struct engine_type *, n + 1);

    for (uint32_t i = 0; i < n; i++) {
        typed[i] = set[i];
        exprs[i] = set[i].expr;
        types[i] = set[i].type;
    }
    dml_types_of(d, exprs, n, from, types);
    for (uint32_t i = 0; i < n; i++)
        typed[i].type = types[i];
    return typed;
}

int dml_add_stored(const struct dml *d, uint32_t i, enum assign_fields fields, const struct engine_type *type,
                   struct str expr, bool simple, struct buf *sql, struct err *err)
{
    const struct field *f = &d->logical->fields[i];
    const struct engine_type unknown = {.kind = ENGINE_INVALID};
    struct assign_to to = {fields, &f->type, f->name};

    return store_assign_sql(&to, type ? type : &unknown, expr, simple, sql, err);
}

int dml_add_constant(const struct dml *d, uint32_t i, struct str expr, struct buf *sql, struct err *err)
{
    const struct engine_type *type = NULL;

    dml_types_of(d, &expr, 1, (struct str){0}, &type);
    return dml_add_stored(d, i, ASSIGN_SAME_NAMES, type, expr, false, sql, err);
}
