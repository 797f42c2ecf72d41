/* The token stream, and names, tables, points in time and raw expression text read from it. */
#include "sql/parser.h"

#include "base/buf.h"

#include <assert.h>
#include <stdio.h>

void parser_init(struct parser *p, struct arena *arena, struct str script, struct str part, struct err *err)
{
    *p = (struct parser){.arena = arena, .lx = lexer_in(script, part), .err = err};
    p->last_end = p->lx.pos;
}

const struct token *parser_peek(struct parser *p, unsigned k)
{
    assert(k < PARSER_AHEAD);
    while (p->n_ahead <= k) {
        struct token *t = &p->ahead[p->n_ahead++];
        int rc = p->rc ? p->rc : lexer_next(&p->lx, t, p->err);
        if (rc < 0) {
            p->rc = rc;
            *t = (struct token){TOKEN_END, {0}, p->lx.pos};
        }
    }
    return &p->ahead[k];
}

struct token parser_take(struct parser *p)
{
    struct token t = *parser_peek(p, 0);

    memmove(p->ahead, p->ahead + 1, --p->n_ahead * sizeof p->ahead[0]);
    if (t.kind != TOKEN_END)
        p->last_end = t.at + t.text.n;
    return t;
}

bool parser_at_end(struct parser *p)
{
    return parser_peek(p, 0)->kind == TOKEN_END;
}

/* How many tokens `words` has, or 0 when the next tokens are others. */
static unsigned match(struct parser *p, const char *words)
{
    struct str rest = str_of(words);
    unsigned n = 0;

    while (rest.p) {
        char word[32];
        struct str w = str_split(&rest, ' ');
        assert(w.n && w.n < sizeof word);
        memcpy(word, w.p, w.n);
        word[w.n] = 0;
        if (!token_is(parser_peek(p, n), word))
            return 0;
        n++;
    }
    return n;
}

bool parser_at(struct parser *p, const char *words)
{
    return match(p, words) > 0;
}

bool parser_accept(struct parser *p, const char *words)
{
    unsigned n = match(p, words);

    for (unsigned i = 0; i < n; i++)
        parser_take(p);
    return n > 0;
}

int parser_expect(struct parser *p, const char *words)
{
    return parser_accept(p, words) ? 0 : parser_fail(p, words);
}

int parser_fail(struct parser *p, const char *what)
{
    const struct token *t = parser_peek(p, 0);

    if (p->rc)
        return p->rc;
    if (t->kind == TOKEN_END)
        return sql_error(p->err, ERR_INPUT, p->lx.script, p->last_end, "expected %s, found the end of the statement",
                         what);
    return sql_error(p->err, ERR_INPUT, p->lx.script, t->at, "expected %s, found %.*s%s", what,
                     (int)MIN(t->text.n, (size_t)60), t->text.p, t->text.n > 60 ? "…" : "");
}

int parser_end(struct parser *p)
{
    return !p->rc && parser_at_end(p) ? 0 : parser_fail(p, "the end of the statement");
}

struct str parser_text(const struct parser *p, size_t start)
{
    assert(start <= p->last_end);
    return str_make(p->lx.script.p + start, p->last_end - start);
}

int parser_ident(struct parser *p, const char *what, struct str *ret)
{
    if (!token_is_name(parser_peek(p, 0)))
        return parser_fail(p, what);
    struct token t = parser_take(p);
    *ret = token_name(&t, p->arena);
    if (!ret->n)
        return sql_error(p->err, ERR_INPUT, p->lx.script, t.at, "%s must not be empty", what);
    return 0;
}

int parser_string(struct parser *p, const char *what, struct str *ret)
{
    if (parser_peek(p, 0)->kind != TOKEN_STRING)
        return parser_fail(p, what);
    struct token t = parser_take(p);
    *ret = token_string(&t, p->arena);
    return 0;
}

int parser_i64(struct parser *p, const char *what, int64_t *ret)
{
    bool minus = parser_at(p, "-"), sign = minus || parser_at(p, "+");
    const struct token *t = parser_peek(p, sign);
    char text[24];

    snprintf(text, sizeof text, "%s%.*s", minus ? "-" : "", (int)MIN(t->text.n, (size_t)20),
             t->text.p ? t->text.p : "");
    if (t->kind != TOKEN_NUMBER || !str_to_i64(str_of(text), ret))
        return parser_fail(p, what);
    if (sign)
        parser_take(p);
    parser_take(p);
    return 0;
}

int parser_name(struct parser *p, const char *what, struct sql_name *ret)
{
    size_t start = parser_peek(p, 0)->at;
    struct str parts[SQL_NAME_PARTS];
    uint32_t n = 0;

    do {
        if (n == SQL_NAME_PARTS)
            return sql_error(p->err, ERR_LIMIT, p->lx.script, start, "a name of more than %d parts", SQL_NAME_PARTS);
        TRY(parser_ident(p, n ? "a name after the dot" : what, &parts[n]));
        n++;
    } while (parser_accept(p, "."));
    *ret = (struct sql_name){parser_text(p, start), start, n, arena_dup(p->arena, parts, n * sizeof parts[0])};
    return 0;
}

int parser_table(struct parser *p, struct sql_table *ret)
{
    struct token first = *parser_peek(p, 0), second = *parser_peek(p, 2);
    bool prefixed =
        token_is(&first, "delta") && parser_peek(p, 1)->kind == TOKEN_OP && token_is(parser_peek(p, 1), ".");

    *ret = (struct sql_table){0};
    if (first.kind == TOKEN_STRING) {
        TRY(parser_string(p, "a path", &ret->path));
        ret->name = (struct sql_name){.text = first.text, .at = first.at};
        return ret->path.n ? 0 : sql_error(p->err, ERR_INPUT, p->lx.script, first.at, "the path is empty");
    }
    TRY(parser_name(p, "a table name", &ret->name));
    if (prefixed && ret->name.n_parts == 2 &&
        (second.kind == TOKEN_BACKQUOTED || memchr(ret->name.parts[1].p, '/', ret->name.parts[1].n))) {
        ret->path = ret->name.parts[1];
        ret->name.n_parts = 0;
    } else if (ret->name.n_parts > 3) {
        return sql_error(p->err, ERR_INPUT, p->lx.script, first.at,
                         "a table name has at most three parts (catalog.schema.table), found %u", ret->name.n_parts);
    }
    return 0;
}

/* A literal, name, call or bracketed expression; DATE '…' and INTERVAL 7 DAYS too. */
static int skip_primary(struct parser *p)
{
    struct str ignored;
    struct sql_name name;

    while (parser_accept(p, "-") || parser_accept(p, "+"))
        continue;
    if (parser_at(p, "("))
        return parser_parens(p, "an expression", &ignored);
    if (parser_accept(p, "INTERVAL")) {
        bool number = parser_peek(p, 0)->kind == TOKEN_NUMBER;
        if (!number && parser_peek(p, 0)->kind != TOKEN_STRING)
            return parser_fail(p, "how long the interval is");
        parser_take(p);
        static const char *const units[] = {"YEAR", "YEARS", "MONTH", "MONTHS", "WEEK",    "WEEKS",  "DAY",
                                            "DAYS", "HOUR",  "HOURS", "MINUTE", "MINUTES", "SECOND", "SECONDS"};
        for (size_t i = 0; i < ARRAY_LEN(units); i++)
            if (parser_accept(p, units[i]))
                break;
        return 0;
    }
    enum token_kind kind = parser_peek(p, 0)->kind;
    if (kind == TOKEN_NUMBER || kind == TOKEN_STRING || kind == TOKEN_PARAM) {
        parser_take(p);
        return 0;
    }
    TRY(parser_name(p, "a point in time", &name));
    if (parser_at(p, "("))
        return parser_parens(p, "arguments", &ignored);
    if (parser_peek(p, 0)->kind == TOKEN_STRING)
        parser_take(p);
    return 0;
}

static int skip_simple_expr(struct parser *p)
{
    for (;;) {
        TRY(skip_primary(p));
        while (parser_accept(p, "::")) {
            struct sql_name type;
            TRY(parser_name(p, "a type", &type));
        }
        if (!parser_accept(p, "-") && !parser_accept(p, "+"))
            return 0;
    }
}

int parser_travel(struct parser *p, struct sql_travel *ret)
{
    static const char *const none[] = {NULL};
    static const struct {
        const char *words;
        enum sql_travel_kind kind;
    } forms[] = {
        {"VERSION AS OF", TRAVEL_VERSION},        {"FOR VERSION AS OF", TRAVEL_VERSION},
        {"SYSTEM_VERSION AS OF", TRAVEL_VERSION}, {"FOR SYSTEM_VERSION AS OF", TRAVEL_VERSION},
        {"TIMESTAMP AS OF", TRAVEL_TIMESTAMP},    {"FOR TIMESTAMP AS OF", TRAVEL_TIMESTAMP},
        {"SYSTEM_TIME AS OF", TRAVEL_TIMESTAMP},  {"FOR SYSTEM_TIME AS OF", TRAVEL_TIMESTAMP},
    };

    *ret = (struct sql_travel){0};
    if (parser_at(p, "AT ( VERSION =>") || parser_at(p, "AT ( TIMESTAMP =>")) {
        ret->kind = parser_at(p, "AT ( VERSION") ? TRAVEL_VERSION : TRAVEL_TIMESTAMP;
        for (int i = 0; i < 4; i++)
            parser_take(p);
        TRY(parser_until(p, none, ret->kind == TRAVEL_VERSION ? "a version" : "a point in time", &ret->expr));
        return parser_expect(p, ")");
    }
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (!parser_accept(p, forms[i].words))
            continue;
        size_t start = parser_peek(p, 0)->at;
        TRY(skip_simple_expr(p));
        *ret = (struct sql_travel){forms[i].kind, parser_text(p, start)};
        return 0;
    }
    return 0;
}

/* Words that may follow a table and are not its alias. */
static bool is_continuation(const struct token *t)
{
    static const char *const words[] = {
        "WHERE",     "GROUP",       "HAVING", "ORDER",     "LIMIT",   "OFFSET", "FETCH",  "WINDOW",
        "QUALIFY",   "UNION",       "EXCEPT", "INTERSECT", "MINUS",   "JOIN",   "INNER",  "LEFT",
        "RIGHT",     "FULL",        "CROSS",  "NATURAL",   "ANTI",    "SEMI",   "ASOF",   "POSITIONAL",
        "ON",        "USING",       "SAMPLE", "PIVOT",     "UNPIVOT", "SELECT", "SET",    "WHEN",
        "RETURNING", "TABLESAMPLE", "FOR",    "LATERAL",   "THEN",    "AT",     "VALUES", "FROM",
        "CLUSTER",   "DISTRIBUTE",  "SORT",   "OUTER",     "TO",      "AS",     "WITH",
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (token_is(t, words[i]))
            return true;
    return false;
}

int parser_alias(struct parser *p, struct str *ret)
{
    const struct token *t = parser_peek(p, 0);

    *ret = (struct str){0};
    if (parser_accept(p, "AS"))
        return parser_ident(p, "an alias", ret);
    if (!token_is_name(t) || is_continuation(t))
        return 0;
    return parser_ident(p, "an alias", ret);
}

void *parser_grow(struct parser *p, void *array, uint32_t n, size_t size)
{
    if (n && (n < 8 || (n & (n - 1))))
        return array; /* the capacity is 8, 16, 32, … */
    void *more = arena_zalloc(p->arena, (n ? 2 * (size_t)n : 8) * size);
    if (n)
        memcpy(more, array, n * size);
    return more;
}

int parser_names(struct parser *p, const char *what, uint32_t *ret_n, struct sql_name **ret)
{
    struct sql_name *names = NULL;
    uint32_t n = 0;

    TRY(parser_expect(p, "("));
    do {
        names = parser_grow(p, names, n, sizeof *names);
        TRY(parser_name(p, what, &names[n]));
        n++;
    } while (parser_accept(p, ","));
    TRY(parser_expect(p, ")"));
    *ret_n = n;
    *ret = names;
    return 0;
}

static int bracket(const struct token *t)
{
    if (t->kind != TOKEN_OP || t->text.n != 1)
        return 0;
    return strchr("([{", t->text.p[0]) ? 1 : strchr(")]}", t->text.p[0]) ? -1 : 0;
}

static bool at_any(struct parser *p, const char *const *stops)
{
    for (; *stops; stops++)
        if (parser_at(p, *stops))
            return true;
    return false;
}

int parser_until(struct parser *p, const char *const *stops, const char *what, struct str *ret)
{
    size_t start = parser_peek(p, 0)->at, open_at = start, depth = 0, cases = 0;
    bool any = false;

    while (!parser_at_end(p)) {
        int b = bracket(parser_peek(p, 0));
        if (!depth && (b < 0 || (!cases && at_any(p, stops))))
            break;
        if (b > 0 && !depth)
            open_at = parser_peek(p, 0)->at;
        depth += (size_t)b; /* never below 0: checked above */
        if (parser_at(p, "CASE"))
            cases++;
        else if (cases && parser_at(p, "END"))
            cases--;
        parser_take(p);
        any = true;
    }
    if (p->rc || !any)
        return parser_fail(p, what);
    if (depth)
        return sql_error(p->err, ERR_INPUT, p->lx.script, open_at, "the bracket that opens here is never closed");
    *ret = parser_text(p, start);
    return 0;
}

int parser_parens(struct parser *p, const char *what, struct str *ret)
{
    static const char *const none[] = {NULL};

    TRY(parser_expect(p, "("));
    if (parser_accept(p, ")")) {
        *ret = (struct str){0};
        return 0;
    }
    TRY(parser_until(p, none, what, ret));
    return parser_expect(p, ")");
}

/* `name`, the quote doubled; 'text', with a backslash before what needs one. */
static void add_stored(struct str value, char quote, struct buf *out)
{
    buf_add_char(out, quote);
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == quote || (quote == '\'' && value.p[i] == '\\'))
            buf_add_char(out, quote == '`' ? '`' : '\\');
        buf_add_char(out, value.p[i]);
    }
    buf_add_char(out, quote);
}

/* R'text': Spark's, in which nothing escapes. */
static bool is_raw(const struct token *before, const struct token *t)
{
    return t->kind == TOKEN_STRING && str_eq_nocase(before->text, STR("R")) && before->at + 1 == t->at;
}

struct str parser_stored(struct parser *p, struct str expr)
{
    CLEANUP(buf_deinit) struct buf out = {0};
    struct lexer lx = lexer_of(expr);
    struct token t, before = {0};
    size_t copied = 0;

    for (; lexer_next(&lx, &t, NULL) == 0; before = t) {
        if ((t.kind != TOKEN_QUOTED && t.kind != TOKEN_STRING) || is_raw(&before, &t))
            continue;
        buf_add(&out, expr.p + copied, t.at - copied);
        if (t.kind == TOKEN_QUOTED)
            add_stored(token_name(&t, p->arena), '`', &out);
        else
            add_stored(token_string(&t, p->arena), '\'', &out);
        copied = t.at + t.text.n;
    }
    if (!copied)
        return expr;
    buf_add(&out, expr.p + copied, expr.n - copied);
    return arena_str(p->arena, buf_str(&out));
}

struct str parser_rest(struct parser *p)
{
    size_t start = parser_peek(p, 0)->at;

    if (parser_at_end(p))
        return (struct str){0};
    while (!parser_at_end(p))
        parser_take(p);
    return parser_text(p, start);
}
