/*
 * Statement → names resolved to tables at a version → DuckDB.
 *
 * A reference that only we understand (a schema of the lake, a path, a point in time) is rewritten to one quoted name,
 * "delta:<version>:<path>" (with "+ids" after the version: row ids, too); DuckDB asks for that name, as for every plain name that it does not have, when it binds, and
 * gets the SELECT over the table's files. So a temporary view over a lake table reads the newest version each time, and
 * DuckDB's own tables and common table expressions hide lake tables of the same name, as one expects.
 *
 * Scans are pinned: opened when first bound in a statement, dropped when the next statement starts.
 */
#include "server/session.h"

#include "base/file.h"
#include "base/mem.h"
#include "delta/scan/changes.h"
#include "server/session_internal.h"
#include "sql/rewrite.h"

#include <assert.h>

#define IDS "+ids"

/* Whose statement runs on this thread: DuckDB's callback does not say. */
static _Thread_local struct session *current;

void session_unpin(struct session *s)
{
    size_t cursor = 0;
    struct str key;
    void *scan;

    while (map_next(&s->pins, &cursor, &key, &scan) == 0)
        delta_scan_free(scan);
    map_deinit(&s->pins);
    s->pins = (struct map){0};
    cursor = 0;
    while (map_next(&s->changes, &cursor, &key, &scan) == 0)
        delta_changes_free(scan);
    map_deinit(&s->changes);
    s->changes = (struct map){0};
}

/* ---- tables ---- */

int session_table_at(struct session *s, const char *path, struct open_table **ret, struct err *err)
{
    struct open_table *t = map_get(&s->tables, str_of(path));

    if (!t) {
        CLEANUP(store_unrefp) struct store *store = store_local_new(path);
        struct delta_table *table;
        TRY(delta_table_open(store, s->engine, &table, err));
        table->writes_checksums = true;
        t = MEM_NEW(struct open_table);
        *t = (struct open_table){mem_strdup(path), TAKE_PTR(store), table, s->statement};
        map_put(&s->tables, str_of(t->path), t);
    } else if (t->refreshed != s->statement) {
        TRY(delta_table_refresh(t->table, err));
        t->refreshed = s->statement;
    }
    *ret = t;
    return 0;
}

void session_table_free(struct open_table *t)
{
    delta_table_free(t->table);
    store_unref(t->store);
    mem_free(t->path);
    mem_free(t);
}

/* Appends the SELECT over the table at the version. One scan a table and version in a statement. */
static int pin(struct session *s, const char *path, int64_t version, bool row_ids, struct buf *ret_sql, struct err *err)
{
    struct str key = str_of(arena_printf(&s->arena, "%lld%s:%s", (long long)version, row_ids ? IDS : "", path));
    struct delta_scan *scan = map_get(&s->pins, key);
    struct delta_stub *stub = map_get(&s->stubs, key);
    bool variants = s->writes || !stub || !stub->planned || stub->variants;
    struct delta_scan_options options = {.with_row_ids = row_ids,
                                         .variants = variants ? DELTA_VARIANTS_EXACT : DELTA_VARIANTS_PLAIN,
                                         .copies_in = s->writes ? NULL : engine_temp_dir(s->engine)};
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *snapshot = NULL;
    struct open_table *t;

    if (!scan) {
        TRY(session_table_at(s, path, &t, err));
        if (version == LATEST)
            snapshot = delta_table_snapshot(t->table);
        else if (stub)
            snapshot = delta_snapshot_ref(stub->snapshot);
        else
            TRY(delta_snapshot_open(t->store, s->engine, version, &snapshot, err));
        if (s->planning)
            return session_stub(s, key, snapshot, row_ids, ret_sql, err);
        session_skip(s, stub, snapshot, &options);
        TRY(delta_scan_new(s->engine, t->store, snapshot, &options, &scan, err));
        map_put(&s->pins, key, scan);
    }
    buf_add_cstr(ret_sql, delta_scan_sql(scan));
    return 0;
}

/* Finds a table of the lake; looks again on disk, once a statement, for one that is not known. 1: there is none. */
int session_find(struct session *s, struct str schema, struct str name, const char **ret, struct err *err)
{
    bool several = false;
    const struct lake_table *t = lake_find(&s->lake, schema, name, &several);

    if (!t && !several && s->root && !s->relisted) {
        s->relisted = true;
        lake_deinit(&s->lake);
        TRY(lake_list(s->root, &s->lake, err));
        t = lake_find(&s->lake, schema, name, &several);
    }
    if (several)
        return err_set(err, ERR_USAGE, "\"%.*s\" is in several schemas: name one, as in <schema>.%.*s", STR_ARG(name),
                       STR_ARG(name));
    if (!t)
        return 1;
    *ret = t->path;
    return 0;
}

/* DuckDB does not know the name: "delta:<version>:<path>", or a table of the lake. */
static int lookup(void *ctx, struct str name, struct buf *ret_sql, struct err *err)
{
    struct session *s = current;
    struct str rest = name;
    const char *path = NULL;
    int64_t version;

    (void)ctx;
    if (!s)
        return 1;
    if (str_has_prefix(name, STR("changes:")))
        return session_changes(s, str_make(name.p + 8, name.n - 8), ret_sql, err);
    if (str_has_prefix(name, STR("delta:"))) {
        str_split(&rest, ':');
        struct str at = str_split(&rest, ':');
        bool row_ids = str_has_suffix(at, STR(IDS));
        at.n -= row_ids ? strlen(IDS) : 0;
        if (str_to_i64(at, &version) && rest.n)
            return pin(s, arena_strdup(&s->arena, rest), version, row_ids, ret_sql, err);
    }
    int rc = session_find(s, (struct str){0}, name, &path, err);
    if (rc == 1 && !memchr(name.p, '.', name.n) && !memchr(name.p, '/', name.n))
        return session_no_table(s, name, err); /* nor is it a file */
    return rc ? rc : pin(s, path, LATEST, false, ret_sql, err);
}

/* ---- references that only we understand ---- */

int session_travel(struct session *s, const char *path, const struct sql_travel *travel, int64_t *ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct open_table *t;
    int64_t ms;

    *ret = LATEST;
    if (travel->kind == TRAVEL_NONE)
        return 0;
    buf_printf(&sql,
               travel->kind == TRAVEL_VERSION ? "SELECT CAST((%.*s\n) AS BIGINT)"
                                              : "SELECT epoch_ms(CAST((%.*s\n) AS TIMESTAMPTZ))",
               STR_ARG(travel->expr));
    if (engine_query_i64(s->conn, sql.p, travel->kind == TRAVEL_VERSION ? ret : &ms, err) < 0)
        return err_wrap(err, "the %s to read at", travel->kind == TRAVEL_VERSION ? "version" : "time");
    if (travel->kind == TRAVEL_VERSION)
        return *ret >= 0 ? 0 : err_set(err, ERR_USAGE, "there is no version %lld", (long long)*ret);
    TRY(session_table_at(s, path, &t, err));
    return delta_version_at(t->store, ms, false, ret, err);
}

static int write_key(struct session *s, const char *path, const struct sql_travel *travel, bool row_ids,
                     struct buf *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf key = {0};
    int64_t version;

    TRY(session_travel(s, path, travel, &version, err));
    buf_printf(&key, "delta:%lld%s:%s", (long long)version, row_ids ? IDS : "", path);
    buf_add_sql_ident(out, buf_str(&key));
    return 0;
}

/* name => value after the path of delta_scan(): a value goes up to the next comma or the end. */
static int read_option(struct lexer *lx, struct sql_travel *travel, bool *row_ids, struct token *next, struct err *err)
{
    struct token name, token;
    size_t start;

    TRY(lexer_next(lx, &name, err));
    TRY(lexer_next(lx, &token, err));
    bool ok = token_is(&token, "=>") || token_is(&token, "=");
    start = lx->pos;
    TRY(lexer_next(lx, next, err));
    for (int depth = 0; next->kind != TOKEN_END && (depth || !token_is(next, ","));) {
        depth += token_is(next, "(") - token_is(next, ")");
        TRY(lexer_next(lx, next, err));
    }
    size_t end = next->kind == TOKEN_END ? lx->end : next->at;
    struct str value = str_trim(str_make(lx->script.p + start, end - start));
    if (ok && token_is(&name, "version")) {
        *travel = (struct sql_travel){.kind = TRAVEL_VERSION, .expr = value};
        return 0;
    }
    if (!ok || !token_is(&name, "row_ids") ||
        !(str_eq_nocase(value, STR("true")) || str_eq_nocase(value, STR("false"))))
        return err_set(err, ERR_USAGE, "delta_scan() takes only version => N and row_ids => true beside the path");
    *row_ids = str_eq_nocase(value, STR("true"));
    return 0;
}

/* delta_scan('/path'), delta_scan('/path', version => 3, row_ids => true). 1: another function. */
static int replace_call(struct session *s, const struct sql_ref *ref, struct buf *out, struct err *err)
{
    struct lexer lx = lexer_of(ref->args);
    struct token path, token;
    struct sql_travel travel = ref->table.travel;
    bool row_ids = false;

    if (ref->table.name.n_parts != 1)
        return 1;
    if (str_eq_nocase(ref->table.name.parts[0], STR("table_changes")) ||
        str_eq_nocase(ref->table.name.parts[0], STR("table_changes_by_path")))
        return session_changes_key(s, ref, out, err);
    if (str_eq_nocase(ref->table.name.parts[0], STR("table_history")))
        return session_history_of(s, ref->args, out, err);
    if (!str_eq_nocase(ref->table.name.parts[0], STR("delta_scan")))
        return 1;
    TRY(lexer_next(&lx, &path, err));
    if (path.kind != TOKEN_STRING)
        return err_set(err, ERR_USAGE, "delta_scan() wants the path of a table as a string");
    TRY(lexer_next(&lx, &token, err));
    while (token_is(&token, ","))
        TRY(read_option(&lx, &travel, &row_ids, &token, err));
    if (token.kind != TOKEN_END)
        return err_set(err, ERR_USAGE, "delta_scan() wants the path of a table as a string");
    const char *folder;
    TRY(session_folder(s, token_string(&path, &s->arena), &folder, err));
    return write_key(s, folder, &travel, row_ids, out, err);
}

/* Has DuckDB's own catalog something of this name? */
static bool catalog_has(struct session *s, const char *from, const char *column, struct str name)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    int64_t n = 0;

    buf_printf(&sql, "SELECT count(*) FROM %s WHERE lower(%s) = lower(", from, column);
    buf_add_sql_literal(&sql, name);
    buf_add_char(&sql, ')');
    return engine_query_i64(s->conn, sql.p, &n, NULL) == 0 && n > 0;
}

/* Is it a schema (or database) of DuckDB's own? */
static bool is_own_schema(struct session *s, struct str name)
{
    return catalog_has(s, "duckdb_schemas()", "schema_name", name) ||
           catalog_has(s, "duckdb_schemas()", "database_name", name);
}

int session_no_table(struct session *s, struct str name, struct err *err)
{
    CLEANUP(buf_deinit) struct buf names = {.max = 512};

    err_set(err, ERR_USAGE, "there is no table %.*s", STR_ARG(name));
    if (err)
        memcpy(err->sqlstate, "42P01", 6);
    for (size_t i = 0; i < s->lake.n; i++)
        buf_printf(&names, "%s%.*s.%.*s", i ? ", " : "", STR_ARG(s->lake.tables[i].schema),
                   STR_ARG(s->lake.tables[i].name));
    if (names.n)
        err_hint(err, "the lake has %s", names.p);
    return ERR_USAGE;
}

/* Spark's /path@v3 and /path@20240131235959000: the path, and the point in time. A folder of that very name is what it is. */
static struct str travel_in_path(struct session *s, struct str path, struct sql_travel *travel)
{
    const char *at = memrchr(path.p, '@', path.n);
    size_t n = at ? (size_t)(path.p + path.n - at) - 1 : 0;
    bool version = n > 1 && (at[1] == 'v' || at[1] == 'V');

    if (!n || (!version && n != 17) || travel->kind != TRAVEL_NONE || file_exists(arena_strdup(&s->arena, path)))
        return path;
    for (size_t i = version; i < n; i++)
        if (at[1 + i] < '0' || at[1 + i] > '9')
            return path;
    if (version)
        *travel = (struct sql_travel){TRAVEL_VERSION, str_make(at + 2, n - 1)};
    else
        *travel = (struct sql_travel){TRAVEL_TIMESTAMP,
                                      str_of(arena_printf(&s->arena, "'%.4s-%.2s-%.2s %.2s:%.2s:%.2s.%.3s'", at + 1,
                                                          at + 5, at + 7, at + 9, at + 11, at + 13, at + 15))};
    return str_make(path.p, (size_t)(at - path.p));
}

int session_replace(void *ctx, const struct sql_ref *ref, struct buf *out, struct err *err)
{
    struct session *s = ctx;
    const struct sql_table *t = &ref->table;
    const struct sql_name *name = &t->name;
    const char *path = NULL;

    if (ref->is_call)
        return replace_call(s, ref, out, err);
    if (t->path.n) {
        struct sql_travel travel = t->travel;
        struct str folder = travel_in_path(s, t->path, &travel);
        bool maybe_file = ref->text.p[0] == '\'' && travel.kind == TRAVEL_NONE; /* for DuckDB */
        int rc = session_folder(s, folder, &path, maybe_file ? NULL : err);
        if (maybe_file) {
            CLEANUP(mem_freep) char *log = rc == 0 ? mem_printf("%s/_delta_log", path) : NULL;
            if (!log || !file_exists(log))
                return 1;
        }
        TRY(rc);
        return write_key(s, path, &travel, false, out, err);
    }
    if (name->n_parts == 1 && t->travel.kind == TRAVEL_NONE)
        return 1; /* DuckDB looks in its own catalog first, then asks */
    if (name->n_parts > 2)
        return 1;
    struct str schema = name->n_parts == 2 ? name->parts[0] : (struct str){0};
    int rc = session_find(s, schema, name->parts[name->n_parts - 1], &path, err);
    if (rc < 0)
        return rc;
    if (rc == 1)
        return schema.n && is_own_schema(s, schema) ? 1 : session_no_table(s, ref->table.name.text, err);
    return write_key(s, path, &t->travel, false, out, err);
}

/* ---- statements ---- */

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
    return t && t->name.n_parts && catalog_has(s, "duckdb_tables()", "table_name", t->name.parts[t->name.n_parts - 1]);
}

static bool is_view(struct session *s, struct str name)
{
    return catalog_has(s, "(FROM duckdb_views() WHERE NOT internal)", "view_name", name);
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
    engine_set_table_lookup(engine, lookup, NULL);
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

void session_say(struct session *s, struct buf *out, const char *word)
{
    s->word = word;
    buf_add_cstr(out, "SELECT 1 AS done WHERE false");
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
    current = s;
    int rc = translate(s, statement, &sql, &done, err);
    if (rc == 0)
        rc = done ? engine_query(s->conn, sql.p, ret, err) : session_query(s, buf_str(&sql), ret, err);
    current = NULL;
    if (rc == ERR_USAGE)
        session_hint(statement, err);
    return rc;
}
