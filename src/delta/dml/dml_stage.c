/*
 * INSERT: rows of the query → DML_ROWS. Where DuckDB's casts are Spark's, its own INSERT does it; else the query's columns,
 * or the expressions of VALUES, are converted one by one.
 */
#include "delta/dml/dml_internal.h"

#include "base/mem.h"

struct str dml_static_value(const struct dml_insert *ins, struct str column)
{
    for (uint32_t i = 0; i < ins->n_partition; i++)
        if (str_eq_nocase(ins->partition[i].column, column))
            return ins->partition[i].expr;
    return (struct str){0};
}

/* The table's columns in the order of the query's. */
struct given {
    uint32_t n;
    uint32_t *fields;
};

static int by_position(struct dml *d, const struct dml_insert *ins, struct given *g, struct err *err)
{
    g->fields = ARENA_NEW_N(&d->tx->arena, uint32_t, d->schema->n_fields + ins->n_columns + 1);
    for (uint32_t i = 0; i < ins->n_columns; i++)
        TRY(dml_find_column(d, ins->columns[i], &g->fields[g->n++], err));
    for (uint32_t i = 0; !ins->n_columns && i < d->schema->n_fields; i++)
        if (!dml_static_value(ins, d->schema->fields[i].name).n)
            g->fields[g->n++] = i;
    return 0;
}

static void add_insert(const struct dml *d, const struct given *g, struct buf *sql)
{
    dml_add_with(d, sql);
    buf_add_cstr(sql, "INSERT INTO temp." DML_ROWS " (");
    for (uint32_t i = 0; i < g->n; i++) {
        buf_add_cstr(sql, i ? ", " : "");
        buf_add_sql_ident(sql, d->schema->fields[g->fields[i]].name);
    }
    buf_add_cstr(sql, ") ");
}

static bool is_plain(const struct dml *d, uint32_t field, enum assign_fields fields, const struct engine_type *type)
{
    const struct field *f = &d->logical->fields[field];
    struct assign_to to = {fields, &f->type, f->name};

    return store_assign_plain(&to, type);
}

static int check(const struct dml *d, uint32_t field, enum assign_fields fields, const struct engine_type *type,
                 struct err *err)
{
    const struct field *f = &d->logical->fields[field];
    struct assign_to to = {fields, &f->type, f->name};

    return store_assign_check(&to, type, err);
}

static int stage_values(struct dml *d, const struct dml_insert *ins, const struct given *g, struct err *err)
{
    const struct engine_type **types = ARENA_NEW_N(&d->tx->arena, const struct engine_type *, ins->n_rows * g->n + 1);
    CLEANUP(buf_deinit) struct buf sql = {0};

    dml_types_of(d, ins->values, ins->n_rows * g->n, (struct str){0}, types);
    add_insert(d, g, &sql);
    buf_add_cstr(&sql, "VALUES ");
    for (uint32_t k = 0; k < ins->n_rows * g->n; k++) {
        uint32_t field = g->fields[k % g->n];
        buf_add_cstr(&sql, k % g->n ? ", " : k ? "), (" : "(");
        if (types[k])
            TRY(check(d, field, ASSIGN_BY_POSITION, types[k], err));
        if (!types[k] || is_plain(d, field, ASSIGN_BY_POSITION, types[k]))
            buf_add_str(&sql, ins->values[k]);
        else
            TRY(dml_add_stored(d, field, ASSIGN_BY_POSITION, types[k], ins->values[k], false, &sql, err));
    }
    buf_add_char(&sql, ')');
    return dml_exec(d, sql.p, err);
}

/* What DuckDB has no objection to, nor has Spark: as it is. */
static int stage_as_written(struct dml *d, const struct dml_insert *ins, const struct given *g, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    if (ins->by_name) {
        dml_add_with(d, &sql);
        buf_printf(&sql, "INSERT INTO temp." DML_ROWS " BY NAME %.*s", STR_ARG(ins->query));
    } else {
        add_insert(d, g, &sql);
        buf_add_str(&sql, ins->query);
    }
    return dml_exec(d, sql.p, err);
}

static int stage_converted(struct dml *d, const struct dml_insert *ins, const struct given *g,
                           enum assign_fields fields, const struct engine_type *const *types, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    add_insert(d, g, &sql);
    buf_add_cstr(&sql, "SELECT ");
    for (uint32_t i = 0; i < g->n; i++) {
        char column[24];
        snprintf(column, sizeof column, "__q.c%u", i);
        buf_add_cstr(&sql, i ? ", " : "");
        TRY(dml_add_stored(d, g->fields[i], fields, types[i], str_of(column), true, &sql, err));
    }
    buf_printf(&sql, " FROM (%.*s\n) AS __q (", STR_ARG(ins->query));
    for (uint32_t i = 0; i < g->n; i++)
        buf_printf(&sql, i ? ", c%u" : "c%u", i);
    buf_add_char(&sql, ')');
    return dml_exec(d, sql.p, err);
}

int dml_stage_query(struct dml *d, const struct dml_insert *ins, struct err *err)
{
    enum assign_fields fields = !ins->by_name           ? ASSIGN_BY_POSITION
                                : ins->schema_evolution ? ASSIGN_EVOLVING
                                                        : ASSIGN_BY_NAME;
    const struct engine_type **types;
    struct given g = {0};
    struct str *names;
    bool plain = true;
    uint32_t n;

    if (!ins->query.n)
        return dml_exec(d, "INSERT INTO temp." DML_ROWS " DEFAULT VALUES", err);
    if (!ins->by_name)
        TRY(by_position(d, ins, &g, err));
    if (ins->n_rows && !ins->by_name && ins->n_row_values == g.n)
        return stage_values(d, ins, &g, err);
    if (dml_columns_of(d, ins->query, &n, &names, &types, NULL) < 0 || (!ins->by_name && n != g.n))
        return stage_as_written(d, ins, &g, err); /* which says what is wrong */
    for (uint32_t i = 0; ins->by_name && i < n; i++) {
        g.fields = i ? g.fields : ARENA_NEW_N(&d->tx->arena, uint32_t, n);
        TRY(dml_find_column(d, names[i], &g.fields[g.n++], err));
    }
    for (uint32_t i = 0; i < n; i++) {
        TRY(check(d, g.fields[i], fields, types[i], err));
        plain &= is_plain(d, g.fields[i], fields, types[i]);
    }
    return plain ? stage_as_written(d, ins, &g, err) : stage_converted(d, ins, &g, fields, types, err);
}
