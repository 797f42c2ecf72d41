/*
 * The table's rules for new rows (Delta protocol: "Generated Columns", "Default Columns", "Identity Columns", "Column
 * Invariants", "CHECK Constraints"), kept over the staged rows in SQL.
 *
 * A condition holds only when it is true: NULL fails, unlike in SQL (what Spark does, and the protocol says). All rules
 * are counted in one pass; when one fails, a second query fetches a row to show.
 */
#include "delta/dml/dml_internal.h"

#include "base/mem.h"
#include "codec/delta_schema.h"
#include "delta/dml/table_expr.h"
#include "engine/parquet_write.h"
#include "engine/render.h"

#include <assert.h>
#include <stdio.h>
#include <yyjson.h>

struct rule {
    struct str holds; /* SQL; true when the row is right */
    struct str what;  /* "NOT NULL constraint of column id" */
};

struct rules {
    struct rule *v;
    size_t n, cap;
    struct arena *arena;
};

static void add_rule(struct rules *r, struct buf *holds, const char *what)
{
    MEM_GROW(r->v, r->n, r->cap);
    r->v[r->n++] = (struct rule){arena_str(r->arena, buf_str(holds)), str_of(what)};
}

/* "__clause IN (…)": the clauses where column i is from `given`; false when there is none. */
static bool add_clauses(const struct dml *d, const uint8_t *given, uint32_t n_clauses, uint32_t field,
                        enum dml_given from, struct buf *sql)
{
    bool any = false;

    buf_add_cstr(sql, "__clause IN (NULL");
    for (uint32_t c = 0; c < n_clauses; c++) {
        if (given[c * d->schema->n_fields + field] != from)
            continue;
        buf_printf(sql, ", %u", c);
        any = true;
    }
    buf_add_char(sql, ')');
    return any;
}

/* ---- generated columns ---- */

static int add_generated(const struct dml *d, uint32_t i, struct str expr, struct buf *sql, struct err *err)
{
    buf_add_cstr(sql, "CAST((");
    TRY(table_expr_sql(d->t->conn, STR("temp." DML_ROWS), expr, sql, err));
    buf_add_cstr(sql, ") AS ");
    TRY(dml_add_type(d, i, sql, err));
    buf_add_char(sql, ')');
    return 0;
}

static int generate(struct dml *d, const uint8_t *given, uint32_t n_clauses, uint32_t i, struct rules *rules,
                    struct err *err)
{
    const struct field *f = &d->schema->fields[i];
    struct str expr = delta_field_text(f, "delta.generationExpression", rules->arena);
    CLEANUP(buf_deinit) struct buf sql = {0}, where = {0}, holds = {0};

    if (!expr.n)
        return 0;
    bool absent = add_clauses(d, given, n_clauses, i, DML_ABSENT, &where);
    if (absent)
        buf_add_cstr(&where, " OR ");
    else
        buf_reset(&where);
    if (add_clauses(d, given, n_clauses, i, DML_OLD, &where) || absent) {
        buf_add_cstr(&sql, "UPDATE temp." DML_ROWS " SET ");
        buf_add_sql_ident(&sql, f->name);
        buf_add_cstr(&sql, " = ");
        TRY(add_generated(d, i, expr, &sql, err));
        buf_printf(&sql, " WHERE %s", where.p);
        if (dml_exec(d, sql.p, err) < 0)
            return err_wrap(err, "generated column \"%.*s\"", STR_ARG(f->name));
    }
    buf_add_cstr(&holds, "NOT coalesce(");
    if (!add_clauses(d, given, n_clauses, i, DML_GIVEN, &holds))
        return 0;
    buf_add_cstr(&holds, ", false) OR ");
    buf_add_sql_ident(&holds, f->name);
    buf_add_cstr(&holds, " IS NOT DISTINCT FROM ");
    TRY(add_generated(d, i, expr, &holds, err));
    add_rule(rules, &holds,
             arena_printf(rules->arena, "rule that generates column %.*s (%.*s)", STR_ARG(f->name), STR_ARG(expr)));
    return 0;
}

/* ---- identity columns ---- */

static bool meta_i64(const struct field *f, const char *key, int64_t *ret)
{
    return str_to_i64(field_meta_get(f, str_of(key)), ret);
}

int dml_check_updatable(const struct dml *d, uint32_t field, struct err *err)
{
    const struct field *f = &d->schema->fields[field];

    if (!field_meta_get(f, STR("delta.identity.start")).n)
        return 0;
    return err_set(err, ERR_USAGE, "\"%.*s\" is an identity column: its values cannot be changed", STR_ARG(f->name));
}

/* The highest value given out so far becomes metadata of the column. */
static void set_high_water_mark(struct dml *d, struct schema **next, uint32_t i, int64_t mark)
{
    char text[24];

    if (!*next)
        *next = schema_clone(d->schema);
    snprintf(text, sizeof text, "%lld", (long long)mark);
    field_meta_set(&(*next)->fields[i], &(*next)->arena, STR("delta.identity.highWaterMark"), str_of(text));
}

static int number(struct dml *d, const uint8_t *given, uint32_t n_clauses, uint32_t i, struct schema **next,
                  struct err *err)
{
    const struct field *f = &d->schema->fields[i];
    CLEANUP(buf_deinit) struct buf where = {0}, sql = {0};
    int64_t start, step, mark, n;

    if (!meta_i64(f, "delta.identity.start", &start) || !meta_i64(f, "delta.identity.step", &step))
        return 0;
    bool allowed = str_is(field_meta_get(f, STR("delta.identity.allowExplicitInsert")), "true");
    if (add_clauses(d, given, n_clauses, i, DML_GIVEN, &where) && !allowed)
        return err_set(err, ERR_USAGE, "the identity column \"%.*s\" is GENERATED ALWAYS: a value cannot be given",
                       STR_ARG(f->name));
    buf_reset(&where);
    if (!add_clauses(d, given, n_clauses, i, DML_ABSENT, &where))
        return 0;
    buf_printf(&sql, "SELECT count(*) FROM temp." DML_ROWS " WHERE %s", where.p);
    TRY(engine_query_i64(d->t->conn, sql.p, &n, err));
    if (!n)
        return 0;
    int64_t first = meta_i64(f, "delta.identity.highWaterMark", &mark) ? mark + step : start;
    if (__builtin_mul_overflow(step, n - 1, &mark) || __builtin_add_overflow(first, mark, &mark))
        return err_set(err, ERR_LIMIT, "the identity column \"%.*s\" has no more values", STR_ARG(f->name));
    buf_reset(&sql);
    buf_add_cstr(&sql, "UPDATE temp." DML_ROWS " AS r SET ");
    buf_add_sql_ident(&sql, f->name);
    buf_printf(&sql,
               " = v.n FROM (SELECT rowid AS rid, %lld + %lld * (row_number() OVER (ORDER BY rowid) - 1) AS n FROM "
               "temp." DML_ROWS " WHERE %s) v WHERE r.rowid = v.rid",
               (long long)first, (long long)step, where.p);
    TRY(dml_exec(d, sql.p, err));
    set_high_water_mark(d, next, i, mark);
    return 0;
}

static void commit_schema(struct dml *d, const struct schema *next)
{
    CLEANUP(buf_deinit) struct buf json = {0};
    struct delta_metadata m = *d->head->metadata;

    delta_schema_write(next, &json);
    m.schema_json = buf_str(&json);
    delta_tx_set_metadata(d->tx, &m);
}

/* ---- CHAR and VARCHAR ---- */

/* CHAR is filled up with spaces; what is longer is refused, be it by spaces. */
static int fit_text(struct dml *d, uint32_t i, struct rules *rules, struct err *err)
{
    const struct field *f = &d->schema->fields[i];
    struct str type = delta_field_text(f, "__CHAR_VARCHAR_TYPE_STRING", rules->arena);
    CLEANUP(buf_deinit) struct buf name = {0}, sql = {0}, holds = {0};
    bool varying = str_has_prefix(type, STR("varchar("));
    int n;

    if (f->type.id != TYPE_STRING || sscanf(type.n ? type.p : "", varying ? "varchar(%d)" : "char(%d)", &n) != 1)
        return 0;
    buf_add_sql_ident(&name, f->name);
    buf_printf(&sql, "UPDATE temp." DML_ROWS " SET %s = rpad(%s, %d, ' ') WHERE length(%s) < %d", name.p, name.p, n,
               name.p, n);
    if (!varying)
        TRY(dml_exec(d, sql.p, err));
    buf_printf(&holds, "%s IS NULL OR length(%s) <= %d", name.p, name.p, n);
    add_rule(rules, &holds,
             arena_printf(rules->arena, "length of column %.*s, a %.*s,", STR_ARG(f->name), STR_ARG(type)));
    return 0;
}

/* ---- NOT NULL, CHECK, invariants ---- */

/* `expr` must not be null where `parent` is not; then the same for what is inside. */
static void add_not_null(struct rules *r, const struct field *f, struct str expr, struct str parent, const char *path)
{
    CLEANUP(buf_deinit) struct buf holds = {0};

    if (!f->nullable) {
        if (parent.n)
            buf_printf(&holds, "%.*s IS NULL OR ", STR_ARG(parent));
        buf_printf(&holds, "%.*s IS NOT NULL", STR_ARG(expr));
        add_rule(r, &holds, arena_printf(r->arena, "NOT NULL constraint of column %s", path));
    }
    if (f->type.id == TYPE_ARRAY && !f->type.children[0].nullable) {
        buf_reset(&holds);
        buf_printf(&holds, "%.*s IS NULL OR list_count(%.*s) = len(%.*s)", STR_ARG(expr), STR_ARG(expr), STR_ARG(expr));
        add_rule(r, &holds, arena_printf(r->arena, "NOT NULL constraint of the elements of column %s", path));
    }
    for (uint32_t i = 0; f->type.id == TYPE_STRUCT && i < f->type.n_children; i++) {
        const struct field *child = &f->type.children[i];
        CLEANUP(buf_deinit) struct buf inner = {0};
        buf_printf(&inner, "struct_extract(%.*s, ", STR_ARG(expr));
        buf_add_sql_literal(&inner, child->name);
        buf_add_char(&inner, ')');
        add_not_null(r, child, arena_str(r->arena, buf_str(&inner)), expr,
                     arena_printf(r->arena, "%s.%.*s", path, STR_ARG(child->name)));
    }
}

static int add_check(const struct dml *d, struct rules *r, struct str expr, const char *what, struct err *err)
{
    CLEANUP(buf_deinit) struct buf holds = {0};

    TRY(table_expr_sql(d->t->conn, STR("temp." DML_ROWS), expr, &holds, err));
    add_rule(r, &holds, what);
    return 0;
}

/* delta.invariants: {"expression":{"expression":"x > 3"}} */
static struct str invariant(const struct field *f, struct arena *arena)
{
    struct str json = delta_field_text(f, "delta.invariants", arena), text = {0};
    yyjson_doc *doc = json.n ? yyjson_read(json.p, json.n, 0) : NULL;
    yyjson_val *v = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), "expression"), "expression");

    if (yyjson_is_str(v))
        text = arena_str(arena, str_make(yyjson_get_str(v), yyjson_get_len(v)));
    yyjson_doc_free(doc);
    return text;
}

static int add_table_rules(const struct dml *d, struct rules *r, struct err *err)
{
    const struct delta_metadata *m = d->head->metadata;
    struct str prefix = STR("delta.constraints.");

    for (uint32_t i = 0; i < d->schema->n_fields; i++) {
        const struct field *f = &d->schema->fields[i];
        CLEANUP(buf_deinit) struct buf name = {0};
        buf_add_sql_ident(&name, f->name);
        add_not_null(r, f, arena_str(r->arena, buf_str(&name)), (struct str){0},
                     arena_printf(r->arena, "%.*s", STR_ARG(f->name)));
        struct str inv = invariant(f, r->arena);
        if (inv.n)
            TRY(add_check(d, r, inv,
                          arena_printf(r->arena, "invariant of column %.*s (%.*s)", STR_ARG(f->name), STR_ARG(inv)),
                          err));
    }
    for (uint32_t i = 0; i < m->n_configuration; i++) {
        struct str key = m->configuration[i].key, expr = m->configuration[i].value;
        if (str_has_prefix(key, prefix))
            TRY(add_check(d, r, expr,
                          arena_printf(r->arena, "CHECK constraint %.*s (%.*s)", (int)(key.n - prefix.n),
                                       key.p + prefix.n, STR_ARG(expr)),
                          err));
    }
    return 0;
}

static int show_violation(struct dml *d, const struct rule *rule, int64_t n, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0}, row = {0};
    const struct engine_chunk *chunk;

    buf_add_cstr(&sql, "SELECT ");
    dml_add_columns(d, "", &sql);
    buf_printf(&sql, " FROM temp." DML_ROWS " WHERE __clause >= 0 AND NOT coalesce((%.*s), false) LIMIT 1",
               STR_ARG(rule->holds));
    TRY(engine_query(d->t->conn, sql.p, &result, err));
    if (engine_result_next(result, &chunk, err) == 0)
        render_json_row(&row, result, chunk, 0);
    err_set(err, ERR_USAGE, "%.*s is violated by %lld row%s: %.*s", STR_ARG(rule->what), (long long)n,
            n == 1 ? "" : "s", (int)MIN(row.n, (size_t)500), row.p ? row.p : "");
    if (err)
        snprintf(err->sqlstate, sizeof err->sqlstate, "%s",
                 str_has_prefix(rule->what, STR("NOT NULL")) ? "23502" : "23514");
    return ERR_USAGE;
}

static int check_rules(struct dml *d, const struct rules *r, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    const struct engine_chunk *chunk;
    size_t broken = r->n;
    int64_t n = 0;

    if (!r->n)
        return 0;
    buf_add_cstr(&sql, "SELECT ");
    for (size_t i = 0; i < r->n; i++)
        buf_printf(&sql, "%scount(*) FILTER (WHERE NOT coalesce((%.*s), false))", i ? ", " : "",
                   STR_ARG(r->v[i].holds));
    buf_add_cstr(&sql, " FROM temp." DML_ROWS " WHERE __clause >= 0");
    TRY(engine_query(d->t->conn, sql.p, &result, err));
    int rc = engine_result_next(result, &chunk, err);
    if (rc)
        return rc < 0 ? rc : err_set(err, ERR_INTERNAL, "no answer to the check of constraints");
    for (size_t i = r->n; i-- > 0;) {
        if (engine_i64(&chunk->cols[i], 0)) {
            broken = i;
            n = engine_i64(&chunk->cols[i], 0);
        }
    }
    engine_result_free(TAKE_PTR(result));
    return broken < r->n ? show_violation(d, &r->v[broken], n, err) : 0;
}

static void rules_deinit(struct rules *r)
{
    mem_free(r->v);
}

/* The empty text in a partition column is read as NULL, so it is NULL before the rules are asked. */
static int null_empty_partitions(const struct dml *d, struct err *err)
{
    const struct delta_metadata *m = d->head->metadata;
    int rc = 0;

    for (uint32_t k = 0; k < m->n_partition_columns && !rc; k++) {
        int field = schema_find(d->schema, m->partition_columns[k]);
        CLEANUP(buf_deinit) struct buf sql = {0}, name = {0};
        if (field < 0 || d->schema->fields[field].type.id != TYPE_STRING)
            continue;
        buf_add_sql_ident(&name, d->schema->fields[field].name);
        buf_printf(&sql, "UPDATE temp." DML_ROWS " SET %s = NULL WHERE %s = ''", name.p, name.p);
        rc = dml_exec(d, sql.p, err);
    }
    return rc;
}

int dml_finish_rows(struct dml *d, const uint8_t *given, uint32_t n_clauses, struct err *err)
{
    CLEANUP(rules_deinit) struct rules rules = {.arena = &d->tx->arena};
    CLEANUP(schema_unrefp) struct schema *next = NULL;

    for (uint32_t i = 0; i < d->schema->n_fields; i++) {
        TRY(fit_text(d, i, &rules, err));
        TRY(number(d, given, n_clauses, i, &next, err));
    }
    for (uint32_t i = 0; i < d->schema->n_fields; i++)
        TRY(generate(d, given, n_clauses, i, &rules, err));
    TRY(null_empty_partitions(d, err));
    TRY(add_table_rules(d, &rules, err));
    TRY(check_rules(d, &rules, err));
    if (next)
        commit_schema(d, next);
    return 0;
}
