/*
 * The tables that a session knows: found by name or path, opened once, refreshed once a statement; and the scans that are
 * pinned while a statement runs.
 */
#include "server/session_internal.h"

#include "base/mem.h"
#include "delta/scan/changes.h"

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

void session_say(struct session *s, struct buf *out, const char *word)
{
    s->word = word;
    buf_add_cstr(out, "SELECT 1 AS done WHERE false");
}

int session_folder(struct session *s, struct str path, const char **ret, struct err *err)
{
    struct str folder;

    TRY(store_local_root(path, &folder, err));
    *ret = arena_strdup(&s->arena, folder);
    return 0;
}

int session_path(struct session *s, const struct sql_table *t, const char **ret, struct err *err)
{
    const struct sql_name *name = &t->name;

    if (t->path.n)
        return session_folder(s, t->path, ret, err);
    struct str schema = name->n_parts > 1 ? name->parts[name->n_parts - 2] : (struct str){0};
    int rc = session_find(s, schema, name->parts[name->n_parts - 1], ret, err);
    return rc == 1 ? session_no_table(s, name->text, err) : rc;
}

bool session_catalog_has(struct session *s, const char *from, const char *column, struct str name)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    int64_t n = 0;

    buf_printf(&sql, "SELECT count(*) FROM %s WHERE lower(%s) = lower(", from, column);
    buf_add_sql_literal(&sql, name);
    buf_add_char(&sql, ')');
    return engine_query_i64(s->conn, sql.p, &n, NULL) == 0 && n > 0;
}
