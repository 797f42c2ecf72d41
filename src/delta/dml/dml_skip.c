/*
 * Which files of its table a statement has to look at: those that may hold a row that meets its condition. For a
 * condition with the rows of another table (MERGE, REPLACE USING), the values of that table's columns are bounds, too.
 *
 *   ON t.id = s.id AND t.day = s.day AND t.live    id IN (values of s) AND day BETWEEN (least of s) AND (greatest) AND live
 */
#include "delta/dml/dml_internal.h"

#include "base/mem.h"

enum { MAX_KEYS = 16, MAX_VALUES = 10000 }; /* more values than that: their bounds */

bool dml_clock_moves(const struct dml *d, struct str text)
{
    return !d->clock_stands && !d->t->in_transaction && (d->t->hidden_clock || delta_asks_clock(text));
}

/* Plans "SELECT 1 FROM table <rest>" over a stub. False: nothing can be said. */
static bool plan(struct dml *d, const char *rest, struct buf *ret_json)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    if (!d->tx->read->n_files || dml_clock_moves(d, str_of(rest)))
        return false;
    delta_stub_free(TAKE_PTR(d->stub));
    d->stub = delta_stub_new(engine_of(d->t->conn), d->tx->read, d->head, NULL, 0);
    dml_add_with(d, &sql);
    buf_printf(&sql, "SELECT 1 FROM (%s) AS ", delta_stub_sql(d->stub));
    dml_add_alias(d, &sql);
    buf_printf(&sql, " %s", rest);
    if (engine_plan(d->t->conn, buf_str(&sql), ret_json, NULL) < 0)
        return false;
    delta_plan_read(buf_str(ret_json), &d->stub, 1);
    return d->stub->planned;
}

const struct prune *dml_keep_where(struct dml *d, struct str where)
{
    CLEANUP(buf_deinit) struct buf rest = {0}, json = {0};

    buf_printf(&rest, "WHERE (%.*s\n)", STR_ARG(where));
    return plan(d, rest.p, &json) ? d->stub->any : NULL;
}

/* Values as text, in the arena. A NULL among them has p NULL. */
struct values {
    struct prune_value *v;
    size_t n;
    bool null;
};

static int read_values(struct dml *d, const struct delta_plan_key *key, const char *sql, struct values *ret)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;
    int rc;

    *ret = (struct values){.v = ARENA_NEW_N(&d->tx->arena, struct prune_value, MAX_VALUES + 1)};
    TRY(engine_query(d->t->conn, sql, &result, NULL));
    while ((rc = engine_result_next(result, &chunk, NULL)) == 0)
        for (uint32_t i = 0; i < chunk->n; i++) {
            if (engine_is_null(&chunk->cols[0], i)) {
                ret->null = true;
                continue;
            }
            struct str text = arena_str(&d->tx->arena, engine_str(&chunk->cols[0], i));
            if (ret->n > MAX_VALUES || !prune_value_read(&key->as, text, 0, &ret->v[ret->n++]))
                return ERR_UNSUPPORTED;
        }
    return rc < 0 ? rc : 0;
}

/* The condition that the key's value is one of the column's, or between the least and the greatest. */
static struct prune *keep_key(struct dml *d, const char *table, const struct delta_plan_key *key)
{
    struct prune_scope scope = {&d->tx->arena, d->head};
    CLEANUP(buf_deinit) struct buf column = {0}, sql = {0};
    struct values values;

    buf_add_cstr(&column, "TRY_CAST(");
    buf_add_sql_ident(&column, key->column);
    buf_printf(&column, " AS %s)", key->type);
    buf_printf(&sql, "SELECT CAST(v AS VARCHAR) FROM (SELECT DISTINCT %s AS v FROM temp.%s) LIMIT %d", column.p, table,
               MAX_VALUES + 1);
    if (read_values(d, key, sql.p, &values) < 0)
        return prune_unknown(&scope);
    bool all = values.n + values.null <= MAX_VALUES;
    struct prune *keep = prune_in(&scope, key->value, values.v, values.n);
    if (!all) {
        buf_reset(&sql);
        buf_printf(&sql, "SELECT CAST(unnest([min(%s), max(%s)]) AS VARCHAR) FROM temp.%s", column.p, column.p, table);
        if (read_values(d, key, sql.p, &values) < 0 || values.n != 2)
            return prune_unknown(&scope);
        struct prune *both[] = {
            prune_compare(&scope, PRUNE_GE, key->value, prune_constant(&scope, &values.v[0])),
            prune_compare(&scope, PRUNE_LE, key->value, prune_constant(&scope, &values.v[1])),
        };
        keep = prune_and(&scope, both, 2);
    }
    if (!key->nulls || (all && !values.null))
        return keep;
    return prune_or(&scope, (struct prune *[]){keep, prune_is_null(&scope, key->value)}, 2);
}

const struct prune *dml_keep_joined(struct dml *d, const char *table, struct str alias, struct str on)
{
    struct prune_scope scope = {&d->tx->arena, d->head};
    CLEANUP(buf_deinit) struct buf rest = {0}, json = {0};
    struct delta_plan_key keys[MAX_KEYS];
    struct prune *all[MAX_KEYS + 1];

    buf_printf(&rest, "JOIN temp.%s AS ", table);
    buf_add_sql_ident(&rest, alias);
    buf_printf(&rest, " ON (%.*s\n)", STR_ARG(on));
    if (!plan(d, rest.p, &json))
        return NULL;
    uint32_t n = delta_plan_keys(buf_str(&json), d->stub, table, keys, MAX_KEYS);
    for (uint32_t i = 0; i < n; i++)
        all[i] = keep_key(d, table, &keys[i]);
    all[n] = d->stub->any;
    return prune_and(&scope, all, n + 1);
}
