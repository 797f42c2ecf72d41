/* DuckDB is asked: a default is given to a row of a table of its own, an expression is put over a row of nothing but NULLs. */
#include "delta/dml/column_rules.h"

#include "base/arena.h"
#include "codec/delta_schema.h"
#include "delta/dml/store_assign.h"
#include "delta/dml/table_expr.h"
#include "delta/dml/table_words.h"
#include "engine/parquet_write.h"

#define DEFAULT_ROW "__sluice_default"

/* ---- defaults ---- */

static int type_of(struct engine_conn *conn, struct str value, struct arena *arena, const struct engine_type **ret,
                   struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct engine_type literal;

    if (store_literal_type(value, &literal)) {
        *ret = store_type_copy(&literal, arena);
        return 0;
    }
    buf_printf(&sql, "SELECT (%.*s\n) LIMIT 0", STR_ARG(value));
    TRY(engine_query(conn, sql.p, &result, err));
    *ret = store_type_copy(&engine_result_column(result, 0)->type, arena);
    return 0;
}

/* `f` with logical names inside. */
static int check_default(struct engine_conn *conn, const struct field *f, struct str expr, struct arena *arena,
                         struct err *err)
{
    CLEANUP(buf_deinit) struct buf value = {0}, sql = {0};
    struct assign_to to = {ASSIGN_SAME_NAMES, &f->type, f->name};
    const struct engine_type *type;

    TRY(table_expr_sql(conn, (struct str){0}, expr, &value, err));
    TRY(type_of(conn, buf_str(&value), arena, &type, err));
    buf_add_cstr(&sql, "CREATE OR REPLACE TEMP TABLE " DEFAULT_ROW " (c ");
    TRY(parquet_type_sql(&f->type, &sql, err));
    buf_add_cstr(&sql, " DEFAULT (");
    TRY(store_assign_sql(&to, type, buf_str(&value), false, &sql, err));
    buf_add_cstr(&sql, "))");
    TRY(engine_exec(conn, sql.p, err));
    int rc = engine_exec(conn, "INSERT INTO temp." DEFAULT_ROW " DEFAULT VALUES", err);
    (void)!engine_exec(conn, "DROP TABLE IF EXISTS temp." DEFAULT_ROW, NULL);
    return rc;
}

int column_default_check(struct engine_conn *conn, const struct field *f, struct str expr, struct err *err)
{
    const struct schema only = {.n_fields = 1, .fields = (struct field *)f};
    CLEANUP(schema_unrefp) struct schema *own = schema_clone(&only);

    delta_schema_unmap(own);
    int rc = check_default(conn, &own->fields[0], expr, &own->arena, err);
    return rc < 0 ? err_wrap(err, "DEFAULT of column \"%.*s\"", STR_ARG(f->name)) : 0;
}

/* ---- conditions and generated columns ---- */

/* "(SELECT CAST(NULL AS INTEGER) AS "a", …)": the columns that an expression of the table may name. */
static int add_nothing(const struct schema *schema, bool with_generated, struct buf *sql, struct err *err)
{
    const char *next = "(SELECT ";

    for (uint32_t i = 0; i < schema->n_fields; i++) {
        const struct field *f = &schema->fields[i];
        if (f->type.id == TYPE_VOID || (!with_generated && field_meta_get(f, STR("delta.generationExpression")).p))
            continue;
        buf_printf(sql, "%sCAST(NULL AS ", next);
        TRY(parquet_type_sql(&f->type, sql, err));
        buf_add_cstr(sql, ") AS ");
        buf_add_sql_ident(sql, f->name);
        next = ", ";
    }
    buf_add_cstr(sql, *next == ',' ? ")" : "(SELECT NULL)");
    return 0;
}

/* What a type is at least; 0: something else. Of numbers DuckDB does not tell as Spark does which they are among their kind. */
static char kind_of(enum engine_kind kind)
{
    switch (kind) {
    case ENGINE_TINYINT:
    case ENGINE_SMALLINT:
    case ENGINE_INTEGER:
    case ENGINE_BIGINT:
    case ENGINE_HUGEINT:
        return 'i';
    case ENGINE_FLOAT:
    case ENGINE_DOUBLE:
        return 'n';
    case ENGINE_LIST:
    case ENGINE_ARRAY:
        return 'l';
    case ENGINE_DECIMAL:
        return 'c';
    case ENGINE_VARCHAR:
        return 's';
    case ENGINE_BLOB:
        return 'b';
    case ENGINE_BOOLEAN:
        return 'B';
    case ENGINE_DATE:
        return 'd';
    case ENGINE_TIMESTAMP_TZ:
        return 't';
    case ENGINE_TIMESTAMP:
        return 'z';
    case ENGINE_SQLNULL: /* it may be of any */
        return 'N';
    default:
        return 0;
    }
}

/* Spark has no generated column whose type is not its expression's. A quotient of decimals is a double to DuckDB, and DIV an INT. */
static int check_value_type(struct engine_conn *conn, struct str value, struct str from, const struct type *type,
                            struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0}, name = {0};

    TRY(parquet_type_sql(type, &name, err));
    buf_printf(&sql, "SELECT (%.*s\n), CAST(NULL AS %s) FROM %.*s LIMIT 0", STR_ARG(value), name.p, STR_ARG(from));
    TRY(engine_query(conn, sql.p, &result, err));
    enum engine_kind is = engine_result_column(result, 0)->type.kind, want = engine_result_column(result, 1)->type.kind;
    char a = kind_of(is), b = kind_of(want);
    bool quotient = strchr(sql.p, '/') != NULL;
    if (a == 'N' || (a == b && (a != 'i' || is >= want || quotient)) || (a == 'n' && b == 'c' && quotient))
        return 0;
    return err_set(err, ERR_USAGE, "the type of the expression is not that of the column, %s", name.p);
}

static int check_expr(struct engine_conn *conn, const struct schema *schema, bool with_generated, struct str expr,
                      const struct type *type, struct err *err)
{
    CLEANUP(buf_deinit) struct buf from = {0}, sql = {0}, value = {0};

    TRY(add_nothing(schema, with_generated, &from, err));
    TRY(table_expr_sql(conn, buf_str(&from), expr, &value, err));
    if (!with_generated)
        TRY(check_value_type(conn, buf_str(&value), buf_str(&from), type, err));
    buf_printf(&sql, "SELECT CAST((%s\n) AS ", value.n ? value.p : "");
    TRY(parquet_type_sql(type, &sql, err));
    buf_printf(&sql, ") FROM %s", from.p);
    return engine_exec(conn, sql.p, err); /* not only planned: that there is no such cast is found by the first row */
}

int column_condition_check(struct engine_conn *conn, const struct schema *schema, struct str expr, struct err *err)
{
    const struct type boolean = {.id = TYPE_BOOLEAN};
    CLEANUP(schema_unrefp) struct schema *own = schema_clone(schema);

    delta_schema_unmap(own);
    return check_expr(conn, own, true, expr, &boolean, err);
}

int column_rules_check(struct engine_conn *conn, const struct schema *schema, struct err *err)
{
    CLEANUP(schema_unrefp) struct schema *own = schema_clone(schema);

    delta_schema_unmap(own);
    for (uint32_t i = 0; i < own->n_fields; i++) {
        const struct field *f = &own->fields[i];
        struct str generated = delta_field_text(f, "delta.generationExpression", &own->arena);
        struct str value = delta_field_text(f, "CURRENT_DEFAULT", &own->arena);
        if (value.n)
            TRY(column_default_check(conn, f, value, err));
        if (!generated.n || check_expr(conn, own, false, generated, &f->type, err) == 0)
            continue;
        if (err && strstr(err->msg, "FROM clause"))
            err_hint(err, "it is made of columns of the table that are not generated themselves");
        return err_wrap(err, "generated column \"%.*s\"", STR_ARG(f->name));
    }
    return 0;
}

/* ---- columns that rules are made of ---- */

int column_unused_check(const struct delta_metadata *m, const struct schema *schema, struct delta_path path,
                        struct err *err)
{
    const char *key = "delta.constraints.";

    for (uint32_t i = 0; i < m->n_configuration; i++)
        if (str_has_prefix(m->configuration[i].key, str_of(key)) && table_words_name(m->configuration[i].value, path))
            return err_set(err, ERR_USAGE, "the column \"%.*s\" is used by the constraint %.*s",
                           STR_ARG(path.parts[path.n - 1]), STR_ARG(m->configuration[i].key));
    for (uint32_t i = 0; i < schema->n_fields; i++) {
        CLEANUP(arena_deinit) struct arena arena = {0};
        if (table_words_name(delta_field_text(&schema->fields[i], "delta.generationExpression", &arena), path))
            return err_set(err, ERR_USAGE, "the column \"%.*s\" is used to generate \"%.*s\"",
                           STR_ARG(path.parts[path.n - 1]), STR_ARG(schema->fields[i].name));
    }
    return 0;
}

struct retyped {
    const struct delta_metadata *m;
    const struct schema *schema;
    struct arena arena; /* of paths */
};

static struct str part_name(const struct type *of, uint32_t i)
{
    static const char *const of_map[] = {"key", "value"};

    if (of->id == TYPE_STRUCT)
        return of->children[i].name;
    return str_of(of->id == TYPE_MAP ? of_map[i != 0] : "element");
}

static int check_type(struct retyped *r, struct delta_path path, const struct type *was, const struct type *is,
                      struct err *err)
{
    if (!type_is_nested(was) || was->id != is->id)
        return type_eq(was, is) ? 0 : column_unused_check(r->m, r->schema, path, err);
    for (uint32_t i = 0; i < was->n_children; i++) {
        struct str *parts = ARENA_NEW_N(&r->arena, struct str, path.n + 1);
        memcpy(parts, path.parts, path.n * sizeof *parts);
        parts[path.n] = part_name(was, i);
        TRY(check_type(r, (struct delta_path){parts, path.n + 1}, &was->children[i].type, &is->children[i].type, err));
    }
    return 0;
}

int column_retyped_check(const struct delta_metadata *m, const struct schema *schema, const struct schema *next,
                         struct err *err)
{
    struct retyped r = {m, schema, {0}};
    int rc = 0;

    for (uint32_t i = 0; i < schema->n_fields && rc == 0; i++) {
        const struct field *f = &schema->fields[i];
        rc = check_type(&r, (struct delta_path){&f->name, 1}, &f->type, &next->fields[i].type, err);
        if (rc == 0 && field_meta_get(f, STR("delta.generationExpression")).n &&
            !type_eq(&f->type, &next->fields[i].type))
            rc = err_set(err, ERR_USAGE, "\"%.*s\" is generated: its type is that of its expression", STR_ARG(f->name));
    }
    arena_deinit(&r.arena);
    return rc;
}
