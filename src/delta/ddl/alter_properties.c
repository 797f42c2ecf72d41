/* ALTER TABLE of properties, constraints and the comment. */
#include "delta/ddl/alter_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/delta_schema.h"
#include "delta/dml/stats_columns.h"
#include "delta/dml/table_expr.h"
#include "delta/scan/scan.h"

#include <ctype.h>

/* Column mapping that is switched on in a table with files: every column's physical name is the name it has. */
static int set_mapping(struct alter *a, struct str mode, struct err *err)
{
    enum delta_mapping now = a->tx->read->head->mapping;
    int32_t max_id = 0;

    if ((now == DELTA_MAPPING_NAME && str_is(mode, "name")) || (now == DELTA_MAPPING_ID && str_is(mode, "id")) ||
        (now == DELTA_MAPPING_NONE && str_is(mode, "none")))
        return 0;
    if (now != DELTA_MAPPING_NONE || !str_is(mode, "name"))
        return err_set(err, ERR_UNSUPPORTED,
                       "delta.columnMapping.mode of a table can only be changed from none to name, not to %.*s",
                       STR_ARG(mode));
    delta_schema_map(a->next, &max_id, false, (uint64_t)clock_now_us());
    alter_property(a, STR("delta.columnMapping.maxColumnId"), str_of(arena_printf(&a->tx->arena, "%d", max_id)));
    return 0;
}

/* What only says something of the protocol. 1: a property. */
static int take_protocol(struct alter *a, const struct delta_kv *kv, struct err *err)
{
    const struct delta_protocol *now = a->tx->new_protocol ? a->tx->new_protocol : a->tx->read->head->protocol;
    const struct delta_protocol *next;

    int rc = delta_protocol_property(now, kv->key, kv->value, &a->tx->arena, &next, err);
    if (rc == 0 && next != now)
        delta_tx_set_protocol(a->tx, next);
    return rc;
}

int delta_set_properties(struct delta_table *t, const struct delta_kv *kv, uint32_t n, struct err *err)
{
    CLEANUP(alter_deinit) struct alter a = {0};
    CLEANUP(buf_deinit) struct buf list = {0};

    TRY(alter_begin(&a, t, "SET TBLPROPERTIES", err));
    for (uint32_t i = 0; i < n; i++) {
        buf_add_char(&list, i ? ',' : '{');
        buf_add_json_str(&list, kv[i].key);
        buf_add_char(&list, ':');
        buf_add_json_str(&list, kv[i].value);
        if (str_has_prefix(kv[i].key, STR("delta.constraints.")))
            return err_set(err, ERR_USAGE, "constraints are set with ALTER TABLE … ADD CONSTRAINT");
        int rc = take_protocol(&a, &kv[i], err);
        TRY(rc);
        if (rc == 0)
            continue;
        if (str_eq_nocase(kv[i].key, STR("comment"))) { /* it is the table's */
            a.m->description = arena_str(&a.tx->arena, kv[i].value);
            continue;
        }
        if (str_is(kv[i].key, "delta.columnMapping.mode"))
            TRY(set_mapping(&a, kv[i].value, err));
        if (str_is(kv[i].key, "delta.dataSkippingStatsColumns"))
            TRY(delta_stats_columns_check(kv[i].value, a.next, a.m->partition_columns, a.m->n_partition_columns, err));
        alter_property(&a, kv[i].key, kv[i].value);
    }
    buf_add_char(&list, '}');
    alter_param(&a, "properties", buf_str(&list));
    return alter_commit(&a, err);
}

int delta_unset_properties(struct delta_table *t, const struct str *keys, uint32_t n, struct err *err)
{
    CLEANUP(alter_deinit) struct alter a = {0};
    CLEANUP(buf_deinit) struct buf list = {0};

    TRY(alter_begin(&a, t, "UNSET TBLPROPERTIES", err));
    for (uint32_t i = 0; i < n; i++) {
        buf_add_char(&list, i ? ',' : '[');
        buf_add_json_str(&list, keys[i]);
        bool there = delta_kv_get(a.m->configuration, a.m->n_configuration, keys[i]).p;
        if (str_has_prefix(keys[i], STR("delta.constraints.")) ||
            (there && str_has_prefix(keys[i], STR("delta.columnMapping."))))
            return err_set(err, ERR_USAGE, "the property %.*s cannot be unset", STR_ARG(keys[i]));
        alter_property(&a, keys[i], (struct str){0}); /* one that is not there is no error to Spark either */
    }
    buf_add_char(&list, ']');
    alter_param(&a, "properties", buf_str(&list));
    buf_add_cstr(&a.parameters, ",\"ifExists\":true"); /* so says Spark, whatever the statement says */
    return alter_commit(&a, err);
}

/* "delta.constraints.<name in lower case>" */
static struct str constraint_key(struct alter *a, struct str name)
{
    char *key = arena_printf(&a->tx->arena, "delta.constraints.%.*s", STR_ARG(name));

    for (char *p = key; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return str_of(key);
}

static int check_rows(struct alter *a, struct engine_conn *conn, struct str expr, struct err *err)
{
    CLEANUP(delta_scan_freep) struct delta_scan *scan = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0}, from = {0};
    int64_t n;

    TRY(delta_scan_new(engine_of(conn), a->table->store, a->tx->read, NULL, &scan, err));
    buf_printf(&from, "(%s)", delta_scan_sql(scan));
    buf_printf(&sql, "SELECT count(*) FROM %s WHERE NOT coalesce((", from.p);
    TRY(table_expr_sql(conn, buf_str(&from), expr, &sql, err));
    buf_add_cstr(&sql, "\n), false)");
    TRY(engine_query_i64(conn, sql.p, &n, err));
    if (n)
        return err_set(err, ERR_USAGE, "%lld rows of the table do not meet the condition %.*s", (long long)n,
                       STR_ARG(expr));
    return 0;
}

int delta_add_constraint(struct delta_table *t, struct engine_conn *conn, struct str name, struct str expr,
                         struct err *err)
{
    CLEANUP(alter_deinit) struct alter a = {0};

    TRY(alter_begin(&a, t, "ADD CONSTRAINT", err));
    struct str key = constraint_key(&a, name);
    if (delta_kv_get(a.m->configuration, a.m->n_configuration, key).p)
        return err_set(err, ERR_USAGE, "there is a constraint %.*s already", STR_ARG(name));
    a.tx->read_whole_table = true;
    a.tx->blind_append = false;
    TRY(check_rows(&a, conn, expr, err));
    alter_property(&a, key, expr);
    alter_param(&a, "name", name);
    alter_param(&a, "expr", expr);
    return alter_commit(&a, err);
}

int delta_drop_constraint(struct delta_table *t, struct str name, bool if_exists, struct err *err)
{
    CLEANUP(alter_deinit) struct alter a = {0};

    TRY(alter_begin(&a, t, "DROP CONSTRAINT", err));
    struct str key = constraint_key(&a, name);
    struct str expr = delta_kv_get(a.m->configuration, a.m->n_configuration, key);
    if (!expr.p && !if_exists)
        return err_set(err, ERR_USAGE, "there is no constraint %.*s", STR_ARG(name));
    alter_property(&a, key, (struct str){0});
    alter_param(&a, "name", name);
    if (expr.p)
        alter_param(&a, "expr", expr);
    alter_param(&a, "existed", expr.p ? STR("true") : STR("false"));
    return alter_commit(&a, err);
}

int delta_set_comment(struct delta_table *t, struct str comment, struct err *err)
{
    CLEANUP(alter_deinit) struct alter a = {0};

    TRY(alter_begin(&a, t, "SET TBLPROPERTIES", err));
    a.m->description = comment.p ? arena_str(&a.tx->arena, comment) : (struct str){0};
    alter_param(&a, "properties", comment.p ? STR("{\"comment\":\"…\"}") : STR("{}"));
    return alter_commit(&a, err);
}
