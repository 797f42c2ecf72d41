/*
 * table_changes('orders', 3, 7), table_changes('sales.orders', '2026-01-01'), table_changes_by_path('/data/orders', 0):
 * the call becomes the name "changes:<from>:<to>:<path>", v<version> or t<milliseconds> or nothing for each bound, that DuckDB asks for
 * when it binds.
 */
#include "base/mem.h"
#include "delta/scan/changes.h"
#include "server/session_internal.h"

/* The next argument: up to a comma or the end. False: there is none. */
static bool next_argument(struct lexer *lx, struct str *ret)
{
    struct token t;
    size_t start = lx->pos, end = lx->end;
    int depth = 0;

    while (lexer_next(lx, &t, NULL) == 0) {
        if (!depth && token_is(&t, ",")) {
            end = t.at;
            break;
        }
        depth += (token_is(&t, "(") || token_is(&t, "[")) - (token_is(&t, ")") || token_is(&t, "]"));
    }
    *ret = str_trim(str_make(lx->script.p + start, end - start));
    return ret->n > 0;
}

/* 't', 's.t', '/path'; t and s.t without quotes. */
int session_named(struct session *s, struct str text, bool by_path, const char **ret, struct err *err)
{
    struct lexer lx = lexer_of(text);
    struct token t;

    TRY(lexer_next(&lx, &t, err));
    struct str name = t.kind == TOKEN_STRING ? token_string(&t, &s->arena) : text;
    if (by_path || memchr(name.p, '/', name.n))
        return session_folder(s, name, ret, err);
    const char *dot = memrchr(name.p, '.', name.n);
    struct str schema = dot ? str_make(name.p, (size_t)(dot - name.p)) : (struct str){0};
    struct str table = dot ? str_make(dot + 1, name.n - schema.n - 1) : name;
    int rc = session_find(s, schema, table, ret, err);
    return rc == 1 ? session_no_table(s, name, err) : rc;
}

/* A number is a version; what is not, is a time: of commits, whose times are in milliseconds, those not before (after) it. */
static int add_bound(struct session *s, struct str text, bool is_start, struct buf *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    int64_t value;
    bool version;

    if (!text.n || str_eq_nocase(text, STR("NULL")))
        return 0;
    version = str_to_i64(text, &value);
    buf_printf(&sql, "SELECT CAST(floor((epoch_us(CAST((%.*s\n) AS TIMESTAMPTZ)) + %d) / 1000.0) AS BIGINT)",
               STR_ARG(text), is_start ? 999 : 0);
    if (!version && engine_query_i64(s->conn, sql.p, &value, err) < 0)
        return err_wrap(err, "table_changes() wants versions or times");
    buf_printf(out, "%c%lld", version ? 'v' : 't', (long long)value);
    return 0;
}

int session_changes_key(struct session *s, const struct sql_ref *ref, struct buf *out, struct err *err)
{
    struct lexer lx = lexer_of(ref->args);
    struct str table, from, to = {0};
    CLEANUP(buf_deinit) struct buf key = {0};
    bool by_path = str_eq_nocase(ref->table.name.parts[0], STR("table_changes_by_path"));
    const char *path;

    if (!next_argument(&lx, &table) || !next_argument(&lx, &from))
        return err_set(err, ERR_USAGE,
                       "table_changes() wants a table and the first version or time, and may have the last");
    next_argument(&lx, &to);
    TRY(session_named(s, table, by_path, &path, err));
    buf_add_cstr(&key, "changes:");
    TRY(add_bound(s, from, true, &key, err));
    buf_add_char(&key, ':');
    TRY(add_bound(s, to, false, &key, err));
    buf_printf(&key, ":%s", path);
    buf_add_sql_ident(out, buf_str(&key));
    return 0;
}

static struct delta_bound bound_of(struct str text)
{
    struct delta_bound b = {DELTA_BOUND_NONE, 0};

    if (text.n > 1 && str_to_i64(str_make(text.p + 1, text.n - 1), &b.value))
        b.kind = *text.p == 'v' ? DELTA_BOUND_VERSION : DELTA_BOUND_TIME;
    return b;
}

int session_changes(struct session *s, struct str key, struct buf *ret_sql, struct err *err)
{
    struct delta_changes *c = map_get(&s->changes, key);
    struct str rest = key;
    struct open_table *t;

    if (!c) {
        struct delta_bound from = bound_of(str_split(&rest, ':')), to = bound_of(str_split(&rest, ':'));
        TRY(session_table_at(s, arena_strdup(&s->arena, rest), &t, err));
        TRY(delta_changes_new(s->engine, t->store, from, to, &c, err));
        map_put(&s->changes, arena_str(&s->arena, key), c);
    }
    buf_add_cstr(ret_sql, delta_changes_sql(c));
    return 0;
}
