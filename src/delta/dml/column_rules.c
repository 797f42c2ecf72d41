/* DuckDB is asked: a default is given to a row of a table of its own, an expression is put over a row of nothing but NULLs. */
#include "delta/dml/column_rules.h"

#include "base/arena.h"
#include "codec/delta_schema.h"
#include "delta/dml/store_assign.h"
#include "delta/dml/table_expr.h"
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

static int check_expr(struct engine_conn *conn, const struct schema *schema, bool with_generated, struct str expr,
                      const struct type *type, struct err *err)
{
    CLEANUP(buf_deinit) struct buf from = {0}, sql = {0};

    TRY(add_nothing(schema, with_generated, &from, err));
    buf_add_cstr(&sql, "SELECT CAST((");
    TRY(table_expr_sql(conn, buf_str(&from), expr, &sql, err));
    buf_add_cstr(&sql, "\n) AS ");
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
