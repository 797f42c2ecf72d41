/*
 * One pass over the tokens with a stack of brackets, no tree.
 *
 * Each open bracket (and the text itself) is a level. A level becomes a query when SELECT or VALUES is met in it, or when
 * it starts with FROM or WITH; only in a query is FROM a clause (in `extract(year FROM x)` it is not). `in_from` holds
 * between FROM and the next clause; there JOIN and `,` announce the next table. A bracket where a table is expected is
 * either a query or a bracketed join, and so starts out as a FROM clause that a SELECT turns into a query.
 *
 * A common table expression is known from the end of its body (a recursive one from its start) to the end of the level
 * that its WITH stands in.
 */
#include "sql/rewrite.h"

#include "base/map.h"
#include "base/mem.h"
#include "sql/parser.h"

#include <assert.h>

enum with_state { WITH_NONE, WITH_NAME, WITH_BODY };

struct level {
    bool started;         /* a token was seen in it */
    bool is_query;        /* FROM is a clause here */
    bool in_from;         /* inside the FROM clause */
    bool expects;         /* a table comes next */
    bool is_args;         /* the arguments of a function whose own grammar has FROM */
    enum with_state with; /* a list of common table expressions is being read: its next name, or a body */
    bool recursive;
    struct str cte; /* WITH_BODY: the name to be known when the body closes */
    size_t n_ctes;  /* how many names were known when this level opened */
};

struct rewriter {
    struct parser p;
    struct level *levels;
    size_t n_levels, cap_levels;
    struct str *ctes;
    size_t n_ctes, cap_ctes;
    sql_replace_fn *replace;
    void *ctx;
    struct buf *out;
    size_t copied; /* the query up to here is in `out` */
    struct token prev;
    struct err *err;
};

static void rewriter_deinit(struct rewriter *r)
{
    mem_free(r->levels);
    mem_free(r->ctes);
}

static struct level *top(struct rewriter *r)
{
    assert(r->n_levels);
    return &r->levels[r->n_levels - 1];
}

static void cte_add(struct rewriter *r, struct str name)
{
    MEM_GROW(r->ctes, r->n_ctes, r->cap_ctes);
    r->ctes[r->n_ctes++] = name;
}

static bool is_cte(const struct rewriter *r, const struct sql_table *t)
{
    for (size_t i = 0; t->name.n_parts == 1 && i < r->n_ctes; i++)
        if (str_eq_nocase(r->ctes[i], t->name.parts[0]))
            return true;
    return false;
}

static int push(struct rewriter *r, bool expects)
{
    static const char *const own_grammar[] = {"EXTRACT", "TRIM", "SUBSTRING", "OVERLAY", "POSITION"};
    struct level level = {.in_from = expects, .expects = expects, .n_ctes = r->n_ctes};

    if (r->n_levels == SQL_REWRITE_DEPTH)
        return sql_error(r->err, ERR_LIMIT, r->p.lx.script, r->prev.at, "brackets are nested more than %d deep",
                         SQL_REWRITE_DEPTH);
    for (size_t i = 0; r->n_levels && i < ARRAY_LEN(own_grammar); i++)
        level.is_args |= token_is(&r->prev, own_grammar[i]);
    MEM_GROW(r->levels, r->n_levels, r->cap_levels);
    r->levels[r->n_levels++] = level;
    return 0;
}

static void pop(struct rewriter *r)
{
    if (r->n_levels == 1)
        return; /* a bracket too many: DuckDB will say so */
    r->n_ctes = top(r)->n_ctes;
    r->n_levels--;
    struct level *l = top(r);
    if (l->with == WITH_BODY && l->cte.p) {
        if (!l->recursive)
            cte_add(r, l->cte);
        l->cte = (struct str){0};
    }
}

/* Copies the text up to `at`; DuckDB knows no `names`, so they become "names". */
static void copy_to(struct rewriter *r, size_t at)
{
    struct str script = r->p.lx.script, part = str_make(script.p + r->copied, at - r->copied);
    struct lexer lx = lexer_in(script, part);
    struct token t;

    assert(at >= r->copied);
    while (part.n && memchr(part.p, '`', part.n) && lexer_next(&lx, &t, NULL) == 0) {
        if (t.kind != TOKEN_BACKQUOTED)
            continue;
        buf_add(r->out, script.p + r->copied, t.at - r->copied);
        buf_add_sql_ident(r->out, token_name(&t, r->p.arena));
        r->copied = t.at + t.text.n;
    }
    buf_add(r->out, script.p + r->copied, at - r->copied);
    r->copied = at;
}

/* Reads the reference at the cursor. The alias is looked at but stays in the text. */
static int read_ref(struct rewriter *r, struct sql_ref *ret)
{
    struct parser *p = &r->p;
    size_t start = parser_peek(p, 0)->at;

    *ret = (struct sql_ref){.at = start};
    TRY(parser_table(p, &ret->table));
    if (parser_at(p, "(") && ret->table.name.n_parts) {
        struct parser before = *p;
        int rc = parser_parens(p, "arguments", &ret->args);
        if (rc < 0) { /* leave it to DuckDB */
            *p = before;
            p->rc = 0;
        }
        ret->is_call = true;
    } else {
        TRY(parser_travel(p, &ret->table.travel));
    }
    ret->text = parser_text(p, start);
    struct parser after = *p;
    int rc = parser_alias(p, &ret->table.alias);
    *p = after;
    return rc;
}

static int leave_ref(struct rewriter *r, const struct sql_ref *ref, const struct parser *before)
{
    if (ref->table.travel.kind != TRAVEL_NONE)
        return sql_error(r->err, ERR_NOT_FOUND, r->p.lx.script, ref->at,
                         "%.*s is not a Delta table, so it has no older versions to read",
                         STR_ARG(ref->table.name.text));
    if (!ref->is_call)
        return 0;
    r->p = *before; /* arguments may hold queries: go through them */
    struct sql_name name;
    return parser_name(&r->p, "a function", &name);
}

/* A table stands at the cursor. `wrap`: the place takes a query but no table expression. */
static int take_ref(struct rewriter *r, bool wrap)
{
    struct parser before = r->p;
    CLEANUP(buf_deinit) struct buf text = {0};
    struct sql_ref ref;

    TRY(read_ref(r, &ref));
    int rc = !ref.is_call && ref.table.travel.kind == TRAVEL_NONE && is_cte(r, &ref.table)
                 ? 1
                 : r->replace(r->ctx, &ref, &text, r->err);
    TRY(rc);
    if (rc == 1)
        return leave_ref(r, &ref, &before);
    copy_to(r, ref.at);
    buf_add_cstr(r->out, wrap ? "(FROM " : "");
    buf_add_str(r->out, buf_str(&text));
    if (!wrap && !ref.is_call && !ref.table.alias.n && ref.table.name.n_parts) {
        buf_add_cstr(r->out, " AS ");
        buf_add_sql_ident(r->out, ref.table.name.parts[ref.table.name.n_parts - 1]);
    }
    buf_add_cstr(r->out, wrap ? ")" : "");
    r->copied = ref.at + ref.text.n;
    return 0;
}

static bool ends_from(const struct token *t)
{
    static const char *const words[] = {"WHERE",  "GROUP",     "HAVING", "ORDER",     "LIMIT",
                                        "OFFSET", "FETCH",     "WINDOW", "QUALIFY",   "UNION",
                                        "EXCEPT", "INTERSECT", "SELECT", "RETURNING", "SET"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (token_is(t, words[i]))
            return true;
    return false;
}

/* name AS, name (columns) AS: not the WITH of `timestamp with time zone`. */
static bool starts_cte(struct parser *p)
{
    unsigned k = parser_at(p, "RECURSIVE");
    struct token after = *parser_peek(p, k + 1);

    return token_is_name(parser_peek(p, k)) &&
           (token_is(&after, "AS") || token_is(&after, "(") || token_is(&after, "USING"));
}

static bool introduces_query(const struct token *t)
{
    return token_is(t, "AS") || token_is(t, "EXPLAIN") || token_is(t, "ANALYZE");
}

/* A word that may change what the level is. */
static int take_word(struct rewriter *r)
{
    struct token t = parser_take(&r->p);
    struct level *l = top(r);
    bool first = !l->started;

    l->started = true;
    if (ends_from(&t) || token_is(&t, "VALUES")) {
        l->in_from = l->expects = false;
        l->is_query |= token_is(&t, "SELECT") || token_is(&t, "VALUES");
    } else if (token_is(&t, "WITH") && !l->in_from && starts_cte(&r->p)) {
        l->recursive = parser_accept(&r->p, "RECURSIVE");
        l->with = WITH_NAME;
    } else if (token_is(&t, "FROM") && !l->is_args && (first || l->is_query || introduces_query(&r->prev)) &&
               !token_is(&r->prev, "DISTINCT")) {
        l->is_query = l->in_from = l->expects = true;
    } else if (token_is(&t, "JOIN") && l->in_from) {
        l->expects = true;
    }
    r->prev = t;
    return 0;
}

/* WITH name [(columns)] [USING KEY (columns)] AS [[NOT] MATERIALIZED] ( … ): up to the bracket of its body. */
static int take_cte_head(struct rewriter *r)
{
    struct parser *p = &r->p;
    struct level *l = top(r);
    struct str name, ignored;

    l->with = WITH_NONE;
    if (!token_is_name(parser_peek(p, 0)))
        return 0;
    TRY(parser_ident(p, "a name", &name));
    if (parser_at(p, "("))
        TRY(parser_parens(p, "column names", &ignored));
    if (parser_accept(p, "USING KEY"))
        TRY(parser_parens(p, "column names", &ignored));
    r->prev = parser_take(p);
    if (!token_is(&r->prev, "AS"))
        return 0;
    if (!parser_accept(p, "MATERIALIZED"))
        parser_accept(p, "NOT MATERIALIZED");
    if (!parser_at(p, "("))
        return 0;
    l->with = WITH_BODY;
    l->cte = name;
    if (l->recursive)
        cte_add(r, name);
    return 0;
}

static int take_op(struct rewriter *r)
{
    struct token t = parser_take(&r->p);
    struct level *l = top(r);

    if (token_is(&t, "(") || token_is(&t, "[") || token_is(&t, "{")) {
        bool expects = l->expects && token_is(&t, "(");
        l->started = true;
        l->expects = false;
        TRY(push(r, expects));
    } else if (token_is(&t, ")") || token_is(&t, "]") || token_is(&t, "}")) {
        pop(r);
    } else if (token_is(&t, ",")) {
        if (l->with == WITH_BODY)
            l->with = WITH_NAME;
        else
            l->expects = l->in_from;
    } else {
        l->started = true;
    }
    r->prev = t;
    return 0;
}

static bool starts_query(struct parser *p)
{
    return parser_at(p, "SELECT") || parser_at(p, "WITH") || parser_at(p, "VALUES") || parser_at(p, "FROM") ||
           parser_at(p, "PIVOT") || parser_at(p, "UNPIVOT") || parser_at(p, "TABLE") || parser_at(p, "DESCRIBE") ||
           parser_at(p, "SUMMARIZE") || parser_at(p, "SHOW");
}

/* Where a table is expected: takes it, or gives up expecting one. */
static int take_expected(struct rewriter *r)
{
    struct parser *p = &r->p;
    struct level *l = top(r);
    const struct token *t = parser_peek(p, 0);

    if (!l->started && starts_query(p)) {
        l->in_from = l->expects = false;
        return 0;
    }
    if (token_is(t, "(") || ends_from(t))
        return 0;
    l->started = true;
    if (parser_accept(p, "LATERAL") || parser_accept(p, "ONLY"))
        return 0;
    l->expects = false;
    if (!token_is_name(t) && t->kind != TOKEN_STRING)
        return 0;
    if (parser_peek(p, 1)->kind == TOKEN_OP && token_is(parser_peek(p, 1), ":")) { /* DuckDB's FROM alias : table */
        parser_take(p);
        parser_take(p);
        l->expects = true;
        return 0;
    }
    r->prev = (struct token){.kind = TOKEN_QUOTED};
    return take_ref(r, false);
}

/* COPY t TO, DESCRIBE t, SUMMARIZE t, PIVOT t at the start of a level. */
static int take_leading(struct rewriter *r, bool *ret_done)
{
    struct parser *p = &r->p;
    bool copy = parser_at(p, "COPY"), pivot = parser_at(p, "PIVOT") || parser_at(p, "UNPIVOT");
    bool describe = parser_at(p, "DESCRIBE") || parser_at(p, "DESC") || parser_at(p, "SUMMARIZE");

    *ret_done = false;
    if (!copy && !pivot && !describe)
        return 0;
    struct token next = *parser_peek(p, 1);
    if (!token_is_name(&next) && next.kind != TOKEN_STRING)
        return 0;
    if (!pivot && (token_is(&next, "SELECT") || token_is(&next, "WITH") || token_is(&next, "FROM") ||
                   token_is(&next, "VALUES") || token_is(&next, "TABLE") || token_is(&next, "QUERY")))
        return 0;
    struct parser before = *p;
    struct sql_ref ref;
    r->prev = parser_take(p);
    struct parser at_table = *p;
    TRY(read_ref(r, &ref));
    bool reads = !copy || (!ref.is_call && parser_at(p, "TO"));
    *p = reads ? at_table : before;
    if (!reads)
        return 0;
    top(r)->started = *ret_done = true;
    return take_ref(r, !pivot);
}

static int step(struct rewriter *r)
{
    struct parser *p = &r->p;
    bool done = false;

    if (top(r)->with == WITH_NAME)
        return take_cte_head(r);
    if (top(r)->with == WITH_BODY && !top(r)->cte.p && !parser_at(p, ",")) {
        top(r)->with = WITH_NONE;
        top(r)->started = false; /* the query itself starts here */
    }
    if (!top(r)->started)
        TRY(take_leading(r, &done));
    if (done)
        return 0;
    if (top(r)->expects) {
        size_t at = parser_peek(p, 0)->at;
        TRY(take_expected(r));
        if (parser_peek(p, 0)->at != at)
            return 0;
    }
    if (parser_peek(p, 0)->kind == TOKEN_WORD)
        return take_word(r);
    return take_op(r);
}

int sql_rewrite(struct arena *arena, struct str query, sql_replace_fn *replace, void *ctx, struct buf *out,
                struct err *err)
{
    CLEANUP(rewriter_deinit) struct rewriter r = {.replace = replace, .ctx = ctx, .out = out, .err = err};

    parser_init(&r.p, arena, query, query, err);
    TRY(push(&r, false));
    while (!parser_at_end(&r.p))
        TRY(step(&r));
    if (r.p.rc)
        return r.p.rc;
    copy_to(&r, query.n);
    return 0;
}
