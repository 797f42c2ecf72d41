/*
 * A query is planned before it is run, with stubs for its lake tables, so that only the files are opened that can hold
 * rows it needs (delta/scan/plan.h).
 *
 * The plan and the run must mean the same: DuckDB computes now() and its like while it plans, from the start of the
 * transaction, so that what asks the clock gets a transaction of its own for both.
 */
#include "base/mem.h"
#include "codec/delta_schema.h"
#include "server/session_internal.h"

void session_unplan(struct session *s)
{
    size_t cursor = 0;
    struct str key;
    void *stub;

    while (map_next(&s->stubs, &cursor, &key, &stub) == 0)
        delta_stub_free(stub);
    map_deinit(&s->stubs);
    s->stubs = (struct map){0};
}

int session_stub(struct session *s, struct str key, struct delta_snapshot *snapshot, bool row_ids, struct buf *ret_sql,
                 struct err *err)
{
    static const struct stub_column ids[] = {{DELTA_ROW_ID, {.id = TYPE_LONG}}, {DELTA_ROW_VERSION, {.id = TYPE_LONG}}};
    const struct schema *schema = snapshot->head->schema;
    struct delta_stub *stub = map_get(&s->stubs, key);

    if (!schema->n_fields || delta_schema_find_type(schema, TYPE_OTHER))
        return err_set(err, ERR_UNSUPPORTED, "a table that cannot be read"); /* the scan says why */
    if (!stub) {
        stub = delta_stub_new(s->engine, snapshot, NULL, ids, row_ids ? ARRAY_LEN(ids) : 0);
        map_put(&s->stubs, key, stub);
    }
    buf_add_cstr(ret_sql, delta_stub_sql(stub));
    return 0;
}

void session_skip(struct session *s, const struct delta_stub *stub, const struct delta_snapshot *snapshot,
                  struct delta_scan_options *o)
{
    if (!stub || !stub->planned)
        return;
    if (stub->counted && !snapshot->n_unknown)
        o->count_only = true;
    else
        o->files = delta_stub_files(stub, snapshot, &s->arena, &o->n_files);
}

/* Finds out which files of lake tables the query needs: the scans that are then opened for the statement leave the others out. Of
 * all queries of a statement, or none. */
static void plan(struct session *s, struct str query)
{
    CLEANUP(buf_deinit) struct buf json = {0};
    size_t cursor = 0;
    uint32_t n = 0;
    struct str key;
    void *stub;

    s->planning = true;
    int rc = engine_plan(s->conn, query, &json, NULL);
    s->planning = false;
    if (rc < 0)
        return;
    CLEANUP(mem_freep) struct delta_stub **stubs = MEM_NEW_N(struct delta_stub *, s->stubs.n + 1);
    while (map_next(&s->stubs, &cursor, &key, &stub) == 0)
        stubs[n++] = stub;
    delta_plan_read(buf_str(&json), stubs, n);
}

static bool reads_tables(struct str query)
{
    struct lexer lx = lexer_of(query);
    struct token t;

    while (lexer_next(&lx, &t, NULL) == 0)
        if (token_is(&t, "FROM") || token_is(&t, "TABLE"))
            return true;
    return false;
}

void session_plan_part(struct session *s, struct str with, struct str query)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_printf(&sql, "%.*s %.*s", STR_ARG(with), STR_ARG(query));
    if (reads_tables(buf_str(&sql)) && (s->in_transaction || !(s->hidden_clock || delta_asks_clock(buf_str(&sql)))))
        plan(s, buf_str(&sql));
}

/* ---- the query of a statement ---- */

static bool begins_query(const struct token *t)
{
    return token_is(t, "SELECT") || token_is(t, "WITH") || token_is(t, "FROM") || token_is(t, "TABLE") ||
           token_is(t, "VALUES");
}

/* The text from the first token outside of brackets that begins a query. */
static struct str first_query(struct lexer *lx)
{
    struct token t;
    int depth = 0;

    while (lexer_next(lx, &t, NULL) == 0) {
        depth += token_is(&t, "(") - token_is(&t, ")");
        if (!depth && begins_query(&t))
            return str_make(lx->script.p + t.at, lx->end - t.at);
    }
    return (struct str){0};
}

/* What is between the bracket just taken and its partner. */
static struct str in_brackets(struct lexer *lx)
{
    size_t start = lx->pos;
    struct token t;
    int depth = 1;

    while (depth && lexer_next(lx, &t, NULL) == 0)
        depth += token_is(&t, "(") - token_is(&t, ")");
    return depth ? (struct str){0} : str_make(lx->script.p + start, t.at - start);
}

/* CREATE [OR REPLACE] [TEMP] TABLE name AS query */
static struct str created_query(struct lexer *lx)
{
    struct token t;

    for (int i = 0; i < 4 && lexer_next(lx, &t, NULL) == 0; i++)
        if (token_is(&t, "TABLE"))
            return first_query(lx);
    return (struct str){0};
}

/* The query in a statement that DuckDB runs, as it runs it: SELECT …, what EXPLAIN, COPY, INSERT and CREATE TABLE AS hold. p NULL:
 * there is none, or none that reads tables. */
static struct str query_of(struct str sql)
{
    struct lexer lx = lexer_of(sql), rest;
    struct token t;
    struct str query = {0};

    if (lexer_next(&lx, &t, NULL) != 0)
        return query;
    if (token_is(&t, "EXPLAIN")) {
        rest = lx;
        if (lexer_next(&lx, &t, NULL) == 0 && token_is(&t, "ANALYZE")) {
            rest = lx;
            if (lexer_next(&lx, &t, NULL) != 0)
                return query;
        }
        if (token_is(&t, "(") && in_brackets(&lx).n)
            rest = lx;
        return query_of(str_make(sql.p + rest.pos, sql.n - rest.pos));
    }
    if (begins_query(&t) || token_is(&t, "("))
        query = sql;
    else if (token_is(&t, "COPY") && lexer_next(&lx, &t, NULL) == 0 && token_is(&t, "("))
        query = in_brackets(&lx);
    else if (token_is(&t, "INSERT"))
        query = first_query(&lx);
    else if (token_is(&t, "CREATE"))
        query = created_query(&lx);
    return reads_tables(query) ? query : (struct str){0};
}

/* ---- statements ---- */

/* What later statements must know of this one, which has succeeded or not. */
static void note(struct session *s, struct str sql, bool succeeded)
{
    struct lexer lx = lexer_of(sql);
    struct token t;

    if (lexer_next(&lx, &t, NULL) != 0)
        return;
    if (token_is(&t, "BEGIN") || token_is(&t, "START"))
        s->in_transaction |= succeeded;
    else if (token_is(&t, "COMMIT") || token_is(&t, "END") || token_is(&t, "ROLLBACK") || token_is(&t, "ABORT"))
        s->in_transaction = false;
    else if (token_is(&t, "ATTACH") || token_is(&t, "IMPORT") || token_is(&t, "LOAD"))
        s->hidden_clock = true;
    else if (token_is(&t, "CREATE"))
        s->hidden_clock |= delta_asks_clock(sql);
}

int session_settle(struct session *s, struct err *err)
{
    bool ours = s->ends_ours;

    s->ends_ours = false;
    return ours ? engine_exec(s->conn, "COMMIT", err) : 0;
}

static int run_in_transaction(struct session *s, const char *sql, struct str query, struct engine_result **ret,
                              struct err *err)
{
    TRY(engine_exec(s->conn, "BEGIN", err));
    plan(s, query);
    int rc = engine_query(s->conn, sql, ret, err);
    if (rc < 0) {
        (void)!engine_exec(s->conn, "ROLLBACK", NULL);
        return rc;
    }
    s->ends_ours = true;
    return 0;
}

int session_query(struct session *s, struct str sql, struct engine_result **ret, struct err *err)
{
    struct str query = query_of(sql);
    bool clock = query.n && !s->in_transaction && (s->hidden_clock || delta_asks_clock(sql));
    int rc;

    if (query.n && !clock)
        plan(s, query);
    rc = clock ? run_in_transaction(s, sql.p, query, ret, err) : engine_query(s->conn, sql.p, ret, err);
    note(s, sql, rc == 0);
    return rc;
}
