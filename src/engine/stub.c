/*
 * The table function stub(id), and the plans of queries over stubs.
 *
 * json_serialize_plan() of a constant is folded while the statement that asks for it is bound: so it runs on the caller's
 * thread, in its transaction, with its temporary views.
 */
#include "engine/stub.h"

#include "base/mem.h"
#include "engine/internal.h"
#include "engine/logical.h"

int64_t stub_register(struct engine *engine, const struct stub *stub)
{
    return engine_number(engine, NUMBERED_STUB, stub);
}

void stub_unregister(struct engine *engine, int64_t id)
{
    engine_number_free(engine, NUMBERED_STUB, id);
}

static void add_column(duckdb_bind_info info, const char *name, const struct type *type)
{
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type t = logical_type_of(type);

    duckdb_bind_add_result_column(info, name, t);
}

static void stub_bind(duckdb_bind_info info)
{
    struct engine *engine = duckdb_bind_get_extra_info(info);
    CLEANUP(duckdb_destroy_value) duckdb_value v = duckdb_bind_get_parameter(info, 0);

    const struct stub *stub = engine_numbered(engine, NUMBERED_STUB, duckdb_get_int64(v));

    if (!stub) {
        duckdb_bind_set_error(info, "there is no stub of this number");
        return;
    }
    for (uint32_t i = 0; i < stub->schema->n_fields; i++) {
        const struct field *f = &stub->schema->fields[i];
        CLEANUP(mem_freep) char *name = mem_strndup(f->name.p, f->name.n);
        add_column(info, name, &f->type);
    }
    for (uint32_t i = 0; i < stub->n_more; i++)
        add_column(info, stub->more[i].name, &stub->more[i].type);
    duckdb_bind_set_cardinality(info, stub->rows, true);
}

static void stub_init(duckdb_init_info info)
{
    (void)info;
}

static void stub_run(duckdb_function_info info, duckdb_data_chunk out)
{
    duckdb_function_set_error(info, "a stub has no rows to give");
    duckdb_data_chunk_set_size(out, 0);
}

int stub_functions_register(struct engine_conn *conn, struct err *err)
{
    static const struct engine_table_function stub = {"stub", stub_bind, stub_init, stub_run, .picks_columns = true};

    return engine_add_table_function(conn, &stub, err);
}

static int plan_once(struct engine_conn *conn, struct str query, struct buf *ret_json, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_reset(ret_json);
    buf_add_cstr(&sql, "SELECT json_serialize_plan(");
    buf_add_sql_literal(&sql, query);
    buf_add_cstr(&sql, ", optimize := true, skip_null := true)");
    return engine_query_text(conn, sql.p, ret_json, err);
}

/* Steps of the optimizer that change what an operator gives after it has been worked out, and move no condition. */
#define LATE_STEPS                                                                                             \
    "common_aggregate,common_subexpressions,column_lifetime,build_side_probe_side,compressed_materialization," \
    "duplicate_groups,late_materialization"

/* SET disabled_optimizers to what it was, and these if `more`. */
static int disable_optimizers(struct engine_conn *conn, struct str old, bool more, struct err *err)
{
    CLEANUP(buf_deinit) struct buf list = {0}, sql = {0};

    buf_add_str(&list, old);
    if (more)
        buf_printf(&list, "%s" LATE_STEPS, old.n ? "," : "");
    buf_add_cstr(&sql, "SET disabled_optimizers = ");
    buf_add_sql_literal(&sql, buf_str(&list));
    return engine_exec(conn, sql.p, err);
}

/*
 * json_serialize_plan() trips over some plans that the late steps have changed ("inequal types"), such as one with the same
 * aggregate twice. Such a query is planned without them. The setting is the database's: another connection misses them
 * meanwhile, and nothing else.
 */
int engine_plan(struct engine_conn *conn, struct str query, struct buf *ret_json, struct err *err)
{
    static const char internal[] = "{\"error\":true,\"error_type\":\"internal\"";
    CLEANUP(buf_deinit) struct buf old = {0};

    TRY(plan_once(conn, query, ret_json, err));
    if (!str_has_prefix(buf_str(ret_json), str_of(internal)))
        return 0;
    TRY(engine_query_text(conn, "SELECT current_setting('disabled_optimizers')", &old, err));
    TRY(disable_optimizers(conn, buf_str(&old), true, err));
    int rc = plan_once(conn, query, ret_json, err);
    TRY(disable_optimizers(conn, buf_str(&old), false, err));
    return rc;
}
