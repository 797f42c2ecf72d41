/*
 * Names in a statement → tables at a version.
 *
 * A reference that only we understand (a schema of the lake, a path, a point in time) is rewritten to one quoted name,
 * "delta:<version>:<path>" (with "+ids" after the version: row ids, too); DuckDB asks for that name, as for every plain name
 * that it does not have, when it binds, and gets the SELECT over the table's files. So a temporary view over a lake table reads
 * the newest version each time, and DuckDB's own tables and common table expressions hide lake tables of the same name, as one
 * expects.
 */
#include "server/session_internal.h"

#include "base/file.h"
#include "base/mem.h"

#define IDS "+ids"

/* Whose statement runs on this thread: DuckDB's callback does not say. */
static _Thread_local struct session *current;

void session_current(struct session *s)
{
    current = s;
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

int session_lookup(void *ctx, struct str name, struct buf *ret_sql, struct err *err)
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

/* Is it a schema (or database) of DuckDB's own? */
static bool is_own_schema(struct session *s, struct str name)
{
    return session_catalog_has(s, "duckdb_schemas()", "schema_name", name) ||
           session_catalog_has(s, "duckdb_schemas()", "database_name", name);
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
