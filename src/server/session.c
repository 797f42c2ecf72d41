/*
 * A statement's way: who runs it (our own statements, or DuckDB), and names in it resolved to tables (session_names.c).
 *
 * Scans are pinned: opened when first bound in a statement, dropped when the next statement starts.
 */
#include "server/session.h"

#include "base/file.h"
#include "base/mem.h"
#include "server/session_internal.h"
#include "sql/rewrite.h"

static int show_tables(struct session *s, const struct sql_show *show, struct buf *out, struct err *err)
{
    const char *sep = "";

    if (s->root) {
        lake_deinit(&s->lake);
        TRY(lake_list(s->root, &s->lake, err));
    }
    buf_add_cstr(out, "FROM (SELECT schema_name AS \"schema\", table_name AS \"table\" FROM duckdb_tables() UNION ALL "
                      "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal UNION ALL "
                      "SELECT * FROM (VALUES ");
    for (size_t i = 0; i < s->lake.n; i++, sep = ", ") {
        buf_printf(out, "%s(", sep);
        buf_add_sql_literal(out, s->lake.tables[i].schema);
        buf_add_cstr(out, ", ");
        buf_add_sql_literal(out, s->lake.tables[i].name);
        buf_add_char(out, ')');
    }
    buf_add_cstr(out, s->lake.n ? ")" : "(NULL, NULL)) LIMIT 0");
    buf_add_cstr(out, ") WHERE true");
    if (show->table.name.n_parts) {
        buf_add_cstr(out, " AND lower(\"schema\") = lower(");
        buf_add_sql_literal(out, show->table.name.parts[show->table.name.n_parts - 1]);
        buf_add_char(out, ')');
    }
    if (show->key.n) {
        buf_add_cstr(out, " AND \"table\" ILIKE replace(");
        buf_add_sql_literal(out, show->key);
        buf_add_cstr(out, ", '*', '%')");
    }
    buf_add_cstr(out, " ORDER BY ALL");
    return 0;
}

static int show_schemas(struct session *s, const struct sql_show *show, struct buf *out, struct err *err)
{
    lake_deinit(&s->lake);
    TRY(lake_list(s->root, &s->lake, err));
    buf_add_cstr(out, "SELECT DISTINCT namespace FROM (VALUES ('public')");
    for (size_t i = 0; i < s->lake.n; i++) {
        buf_add_cstr(out, ", (");
        buf_add_sql_literal(out, s->lake.tables[i].schema);
        buf_add_char(out, ')');
    }
    buf_add_cstr(out, ") AS s(namespace)");
    if (show->key.n) {
        buf_add_cstr(out, " WHERE namespace ILIKE replace(");
        buf_add_sql_literal(out, show->key);
        buf_add_cstr(out, ", '*', '%')");
    }
    buf_add_cstr(out, " ORDER BY ALL");
    return 0;
}

/* The table that a statement changes, or NULL. */
static const struct sql_table *target_of(const struct statement *st)
{
    switch (st->kind) {
    case STATEMENT_INSERT:
        return &st->insert.table;
    case STATEMENT_UPDATE:
        return &st->update.table;
    case STATEMENT_DELETE:
        return &st->delete_from.table;
    case STATEMENT_MERGE:
        return &st->merge.target;
    case STATEMENT_ALTER_TABLE:
        return &st->alter.table;
    case STATEMENT_DROP_TABLE:
        return &st->drop.table;
    default:
        return NULL;
    }
}

/* Is the table one of DuckDB's own, a temporary one that the user made? Those obey all of DuckDB's SQL. */
static bool is_own_table(struct session *s, const struct sql_table *t)
{
    return t && t->name.n_parts &&
           session_catalog_has(s, "duckdb_tables()", "table_name", t->name.parts[t->name.n_parts - 1]);
}

static bool is_view(struct session *s, struct str name)
{
    return session_catalog_has(s, "(FROM duckdb_views() WHERE NOT internal)", "view_name", name);
}

/* Views, tables and files of DuckDB's, and older versions, are described as queries are. */
static bool describes_delta(struct session *s, const struct sql_table *t)
{
    const char *path;

    if (t->travel.kind != TRAVEL_NONE || is_own_table(s, t))
        return false;
    if (t->path.n) {
        CLEANUP(mem_freep) char *log = mem_printf("%.*s/_delta_log", STR_ARG(t->path));
        return file_exists(log);
    }
    if (!t->name.n_parts || t->name.n_parts > 2 || is_view(s, t->name.parts[t->name.n_parts - 1]))
        return false;
    return session_find(s, t->name.n_parts == 2 ? t->name.parts[0] : (struct str){0},
                        t->name.parts[t->name.n_parts - 1], &path, NULL) == 0;
}

/*
 * Timestamps in files may lack a zone though they are instants (INT96), and DuckDB reads those in the zone of the session:
 * with another one than UTC it would read other values. So it stays UTC.
 */
static int check_time_zone(struct str text, struct err *err)
{
    struct lexer lx = lexer_of(text);
    struct token t, before = {0};
    bool zone = false;

    if (lexer_next(&lx, &t, NULL) != 0 || !(token_is(&t, "SET") || token_is(&t, "PRAGMA")))
        return 0;
    while (lexer_next(&lx, &t, NULL) == 0) {
        bool utc = (t.kind == TOKEN_STRING && str_eq_nocase(t.text, STR("'UTC'"))) || token_is(&t, "UTC");
        if (zone && utc)
            return 0;
        zone |= token_is(&t, "timezone") || (token_is(&t, "ZONE") && token_is(&before, "TIME"));
        before = t;
    }
    if (!zone)
        return 0;
    err_set(err, ERR_UNSUPPORTED, "the time zone of a session is always UTC");
    return err_hint(err, "write ts AT TIME ZONE 'Europe/Paris' for the local time of an instant");
}

/* The statement as DuckDB shall run it. `ret_done`: it is done, and that is only what it has to say. */
static int translate(struct session *s, struct str text, struct buf *out, bool *ret_done, struct err *err)
{
    struct statement st;
    int rc = session_variants(s, text, &text, err);

    *ret_done = false;
    if (rc == 0)
        rc = statement_parse(&s->arena, text, text, &st, err);
    if (rc == 0 && st.kind == STATEMENT_SHOW_TABLES)
        return show_tables(s, &st.show, out, err);
    if (rc == 0 && st.kind == STATEMENT_SHOW_SCHEMAS && s->root)
        return show_schemas(s, &st.show, out, err);
    if (rc == 0 && st.kind == STATEMENT_SHOW_SCHEMAS)
        st.kind = STATEMENT_QUERY; /* DuckDB's own */
    if (rc == 0 && st.kind == STATEMENT_DESCRIBE && describes_delta(s, &st.show.table))
        return session_describe(s, &st.show, out, err);
    if (rc == 0 && st.kind == STATEMENT_DESCRIBE) {
        text = str_of(arena_printf(&s->arena, "DESCRIBE %.*s", STR_ARG(st.show.table.name.text)));
    } else if (rc == 0 && st.kind != STATEMENT_QUERY && !is_own_table(s, target_of(&st))) {
        s->writes = true;
        rc = session_execute(s, &st, out, err);
        text = (struct str){0};
        *ret_done = true;
    }
    if (rc == 0 && st.kind == STATEMENT_QUERY) {
        rc = session_set(s, text, err);
        if (rc == 0) {
            session_say(s, out, "set");
            return 0;
        }
        rc = rc == 1 ? check_time_zone(text, err) : rc;
    }
    if (rc == 0 && text.n)
        rc = sql_rewrite(&s->arena, text, session_replace, s, out, err);
    if (rc == ERR_INPUT) { /* the user's text, not a broken file */
        rc = ERR_USAGE;
        if (err)
            err->code = rc;
    }
    return rc;
}

int session_open(struct engine *engine, const char *root, struct session **ret, struct err *err)
{
    CLEANUP(session_freep) struct session *s = MEM_NEW(struct session);

    s->engine = engine;
    s->root = root ? mem_strdup(root) : NULL;
    if (root)
        TRY(lake_list(root, &s->lake, err));
    TRY(engine_connect(engine, &s->conn, err));
    engine_set_table_lookup(engine, session_lookup, NULL);
    *ret = TAKE_PTR(s);
    return 0;
}

void session_free(struct session *s)
{
    size_t cursor = 0;
    struct str key;
    void *table;

    if (!s)
        return;
    (void)!session_settle(s, NULL);
    session_unpin(s);
    session_unplan(s);
    while (map_next(&s->tables, &cursor, &key, &table) == 0)
        session_table_free(table);
    map_deinit(&s->tables);
    engine_conn_free(s->conn);
    lake_deinit(&s->lake);
    arena_deinit(&s->arena);
    mem_free((char *)s->root);
    mem_free(s);
}

struct engine_conn *session_conn(struct session *s)
{
    return s->conn;
}

const char *session_word(const struct session *s)
{
    return s->word;
}

int session_run(struct session *s, struct str statement, struct engine_result **ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    bool done;

    TRY(session_settle(s, err));
    session_unpin(s);
    session_unplan(s);
    arena_reset(&s->arena);
    s->statement++;
    s->relisted = s->writes = false;
    s->word = NULL;
    session_current(s);
    int rc = translate(s, statement, &sql, &done, err);
    if (rc == 0)
        rc = done ? engine_query(s->conn, sql.p, ret, err) : session_query(s, buf_str(&sql), ret, err);
    session_current(NULL);
    if (rc == ERR_USAGE)
        session_hint(statement, err);
    return rc;
}
