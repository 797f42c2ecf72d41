/* All tokens at once, with what goes before and after each; those that go away are marked. */
#include "sql/variants.h"

#include "base/mem.h"
#include "sql/lexer.h"
#include "sql/types.h"

struct piece {
    struct token t;
    struct str before, after;
    bool gone;
};

/* An open bracket, or the text itself. */
struct level {
    char open; /* of a list of values as of a round one; the square one is a slice's */
    bool list; /* of SELECT or FROM: `a: b` is an alias there */
};

struct variants {
    struct arena *arena;
    struct str text;
    struct piece *v;
    size_t n, cap;
    struct level *levels;
    size_t n_levels, cap_levels;
    unsigned angles; /* open < of types */
    const struct sql_variants *knows;
};

static void variants_deinit(struct variants *x)
{
    mem_free(x->v);
    mem_free(x->levels);
}

static bool at(const struct variants *x, size_t i, const char *text)
{
    return i < x->n && token_is(&x->v[i].t, text);
}

static bool closes(const struct variants *x, size_t i)
{
    return at(x, i, ")") || at(x, i, "]");
}

/* The bracket that the one at i closes; 0 when there is none. */
static size_t partner(const struct variants *x, size_t i)
{
    size_t depth = 0;

    for (;; i--) {
        depth += at(x, i, ")") || at(x, i, "]") || at(x, i, "}");
        depth -= at(x, i, "(") || at(x, i, "[") || at(x, i, "{");
        if (!depth || !i)
            return i;
    }
}

/* f( and not WHERE (, l[ and not SELECT [. */
static bool is_adjacent(const struct variants *x, size_t i)
{
    const struct token *t = &x->v[i].t;

    return token_is_name(t) && t->at + t->text.n == x->v[i + 1].t.at;
}

/* The first token of the operand that ends at i: a.b, f(x)[1].c. */
static size_t operand(const struct variants *x, size_t i)
{
    for (;;) {
        if (closes(x, i)) {
            bool element = at(x, i, "]");
            i = partner(x, i);
            if (!i || (!element && !is_adjacent(x, i - 1)))
                return i;
            i--; /* what has the element, or the function */
        } else if (i >= 2 && at(x, i - 1, ".")) {
            i -= 2;
        } else {
            return i;
        }
    }
}

/* lambda x, y: … */
static bool is_lambda(const struct variants *x, size_t i)
{
    while (i >= 2 && at(x, i - 1, ",") && token_is_name(&x->v[i - 2].t))
        i -= 2;
    return i && at(x, i - 1, "LAMBDA");
}

static bool may_be_alias(const struct variants *x, size_t i)
{
    static const char *const before[] = {"SELECT", "DISTINCT", "ALL", "FROM", "JOIN"};

    if (!i || (at(x, i - 1, ",") && x->levels[x->n_levels - 1].list))
        return true;
    for (size_t k = 0; k < ARRAY_LEN(before); k++)
        if (at(x, i - 1, before[k]))
            return true;
    return false;
}

static void add_step(struct str name, struct buf *path)
{
    bool plain = name.n > 0;

    for (size_t i = 0; i < name.n; i++)
        plain &= !strchr(".[]'\"", name.p[i]);
    if (plain)
        buf_printf(path, ".%.*s", STR_ARG(name));
    else
        buf_printf(path, memchr(name.p, '\'', name.n) ? "[\"%.*s\"]" : "['%.*s']", STR_ARG(name));
}

/* A step of a path at i: a name, .name, [0], ['name']; how many tokens it has, 0: none. */
static size_t take_step(struct variants *x, size_t i, bool first, struct buf *path)
{
    bool dot = at(x, i, "."), bracket = at(x, i, "[") && at(x, i + 2, "]");
    size_t name = i + dot;

    if (bracket && x->v[i + 1].t.kind == TOKEN_NUMBER) {
        buf_printf(path, "[%.*s]", STR_ARG(x->v[i + 1].t.text));
        return 3;
    }
    if (bracket && x->v[i + 1].t.kind == TOKEN_STRING) {
        add_step(token_string(&x->v[i + 1].t, x->arena), path);
        return 3;
    }
    if ((!dot && !first) || name >= x->n || !token_is_name(&x->v[name].t) || at(x, name + 1, "("))
        return 0;
    add_step(token_name(&x->v[name].t, x->arena), path);
    return 1 + dot;
}

static struct str joined(struct arena *arena, struct str a, struct str b)
{
    return str_of(arena_printf(arena, "%.*s%.*s", STR_ARG(a), STR_ARG(b)));
}

/* The colon at i: a path into what stands in front of it, if it is one. */
static void take_colon(struct variants *x, size_t i)
{
    CLEANUP(buf_deinit) struct buf path = {0}, sql = {0};
    char open = x->levels[x->n_levels - 1].open;
    size_t end = i + 1, n;

    if (!i || open == '[' || x->angles || !(token_is_name(&x->v[i - 1].t) || closes(x, i - 1)))
        return;
    size_t start = operand(x, i - 1);
    bool name = start == i - 1 && token_is_name(&x->v[start].t);
    if (name && is_lambda(x, start))
        return;
    if (open == '{' && (at(x, start - 1, "{") || at(x, start - 1, ","))) /* a key */
        return;
    if (name && may_be_alias(x, start) &&
        !x->knows->is_column(x->knows->ctx, x->text, token_name(&x->v[start].t, x->arena)))
        return;
    buf_add_char(&path, '$');
    while (end < x->n && (n = take_step(x, end, end == i + 1, &path)) > 0)
        end += n;
    if (end == i + 1)
        return;
    for (size_t k = i; k < end; k++)
        x->v[k].gone = true;
    buf_add_cstr(&sql, ", ");
    buf_add_sql_literal(&sql, buf_str(&path));
    buf_add_char(&sql, ')');
    x->v[start].before = joined(x->arena, STR("variant_get("), x->v[start].before);
    x->v[end - 1].after = arena_str(x->arena, buf_str(&sql));
}

static bool is_whole(const struct type *t)
{
    return t->id == TYPE_BYTE || t->id == TYPE_SHORT || t->id == TYPE_INTEGER || t->id == TYPE_LONG;
}

/* variant_get( at i: its third argument, if it has one, becomes a cast. */
static int take_get(struct variants *x, size_t i, struct err *err)
{
    CLEANUP(buf_deinit) struct buf type_sql = {0};
    size_t depth = 0, commas = 0, comma = 0, end;
    struct type type;

    for (end = i + 1; end < x->n; end++) {
        depth += at(x, end, "(") || at(x, end, "[") || at(x, end, "{");
        depth -= at(x, end, ")") || at(x, end, "]") || at(x, end, "}");
        if (!depth)
            break;
        if (depth == 1 && at(x, end, ",") && ++commas == 2)
            comma = end;
    }
    if (end == x->n || commas != 2)
        return 0;
    const struct token *t = &x->v[comma + 1].t;
    if (t->kind != TOKEN_STRING || comma + 2 != end)
        return sql_error(err, ERR_USAGE, x->text, t->at, "variant_get() wants the name of a type, as in 'int'");
    if (sql_type_parse(x->arena, token_string(t, x->arena), &type, err) < 0)
        return err_wrap(err, "variant_get()");
    TRY(x->knows->type_sql(&type, &type_sql, err));
    bool whole = is_whole(&type), tries = at(x, i, "try_variant_get");
    x->v[comma].gone = x->v[comma + 1].gone = true;
    x->v[i].before = str_of(arena_printf(x->arena, "%sCAST(%s%.*s", tries ? "TRY_" : "", whole ? "variant_whole(" : "",
                                         STR_ARG(x->v[i].before)));
    x->v[end].after =
        str_of(arena_printf(x->arena, "%.*s%s AS %s)", STR_ARG(x->v[end].after), whole ? ")" : "", type_sql.p));
    return 0;
}

static void take_bracket(struct variants *x, size_t i)
{
    if (at(x, i, "(") || at(x, i, "[") || at(x, i, "{")) {
        MEM_GROW(x->levels, x->n_levels, x->cap_levels);
        bool list = at(x, i, "[") && !(i && (is_adjacent(x, i - 1) || closes(x, i - 1)));
        x->levels[x->n_levels++] = (struct level){.open = list ? '(' : x->v[i].t.text.p[0]};
    } else if ((closes(x, i) || at(x, i, "}")) && x->n_levels > 1) {
        x->n_levels--;
    } else if (at(x, i, "<") && i &&
               (x->angles || at(x, i - 1, "STRUCT") || at(x, i - 1, "ARRAY") || at(x, i - 1, "MAP"))) {
        x->angles++;
    } else if (at(x, i, ">") && x->angles) {
        x->angles--;
    }
}

static void take_word(struct variants *x, size_t i)
{
    static const char *const ends[] = {"WHERE", "GROUP", "ORDER", "HAVING", "QUALIFY", "LIMIT", "WINDOW", "ON", "SET"};
    bool *list = &x->levels[x->n_levels - 1].list;

    *list |= at(x, i, "SELECT") || at(x, i, "FROM") || at(x, i, "JOIN");
    for (size_t k = 0; k < ARRAY_LEN(ends); k++)
        *list &= !at(x, i, ends[k]);
}

static bool read_tokens(struct variants *x)
{
    struct lexer lx = lexer_of(x->text);
    struct token t;
    int rc;
    bool any = false;

    while ((rc = lexer_next(&lx, &t, NULL)) == 0) {
        MEM_GROW(x->v, x->n, x->cap);
        x->v[x->n++] = (struct piece){.t = t};
        any |= token_is(&t, ":") || token_is(&t, "variant_get") || token_is(&t, "try_variant_get");
    }
    return rc == 1 && any; /* what cannot be read is refused later */
}

static void write_all(const struct variants *x, struct buf *out)
{
    size_t copied = 0;

    for (size_t i = 0; i < x->n; i++) {
        const struct piece *p = &x->v[i];
        if (!p->gone)
            buf_add(out, x->text.p + copied, p->t.at - copied);
        buf_add_str(out, p->before);
        if (!p->gone)
            buf_add_str(out, p->t.text);
        buf_add_str(out, p->after);
        copied = p->t.at + p->t.text.n;
    }
    buf_add(out, x->text.p + copied, x->text.n - copied);
}

int sql_variants(struct arena *arena, struct str text, const struct sql_variants *knows, struct str *ret,
                 struct err *err)
{
    CLEANUP(variants_deinit) struct variants x = {.arena = arena, .text = text, .knows = knows};
    CLEANUP(buf_deinit) struct buf out = {0};

    *ret = text;
    if (!read_tokens(&x))
        return 0;
    MEM_GROW(x.levels, x.n_levels, x.cap_levels);
    x.levels[x.n_levels++] = (struct level){0};
    for (size_t i = 0; i < x.n; i++) {
        take_bracket(&x, i);
        take_word(&x, i);
        if (at(&x, i, ":"))
            take_colon(&x, i);
        else if ((at(&x, i, "variant_get") || at(&x, i, "try_variant_get")) && at(&x, i + 1, "("))
            TRY(take_get(&x, i, err));
    }
    write_all(&x, &out);
    *ret = arena_str(arena, buf_str(&out));
    return 0;
}
