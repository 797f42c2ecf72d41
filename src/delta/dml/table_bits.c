/*
 * A run of operands and operators ends where something binds looser than all operators of bits: at a comma, a comparison, AND, a bracket.
 * Each run is split at its loosest operators, and so on.
 */
#include "delta/dml/table_bits.h"

#include "base/mem.h"
#include "delta/dml/table_words.h"

/* Brackets are looked through once for each level and each bracket that they stand in. */
enum { MAX_DEPTH = 64, MAX_OPERATORS = 256, MAX_LENGTH = 1 << 15 };

/* What binds tighter comes later. */
enum kind { BITS_OR, BITS_XOR, BITS_AND, BITS_SHIFT, OPERAND, NOT_BITS, OPENS, CLOSES, ENDS_RUN };

struct token {
    size_t n;
    enum kind kind;
    const char *call; /* that the operator becomes; NULL: it stays */
};

/* What begins alike: the longest first. */
static const struct {
    const char *text;
    enum kind kind;
    const char *call;
} SYMBOLS[] = {
    {"||", OPERAND, NULL},
    {"|", BITS_OR, NULL},
    {"^", BITS_XOR, "xor"},
    {"&", BITS_AND, NULL},
    {">>>", BITS_SHIFT, "shiftrightunsigned"},
    {">>", BITS_SHIFT, "shiftright"},
    {"<<", BITS_SHIFT, "shiftleft"},
    {"~", NOT_BITS, NULL},
    {"(", OPENS, NULL},
    {"[", OPENS, NULL},
    {")", CLOSES, NULL},
    {"]", CLOSES, NULL},
    {"<", ENDS_RUN, NULL},
    {">", ENDS_RUN, NULL},
    {"=", ENDS_RUN, NULL},
    {"!", ENDS_RUN, NULL},
    {",", ENDS_RUN, NULL},
};

static const struct {
    const char *text;
    enum kind kind;
} WORDS[] = {
    {"CASE", OPENS},      {"END", CLOSES},    {"AND", ENDS_RUN},  {"OR", ENDS_RUN},      {"NOT", ENDS_RUN},
    {"IS", ENDS_RUN},     {"IN", ENDS_RUN},   {"LIKE", ENDS_RUN}, {"ILIKE", ENDS_RUN},   {"RLIKE", ENDS_RUN},
    {"REGEXP", ENDS_RUN}, {"WHEN", ENDS_RUN}, {"THEN", ENDS_RUN}, {"BETWEEN", ENDS_RUN}, {"ELSE", ENDS_RUN},
    {"AS", ENDS_RUN},     {"FROM", ENDS_RUN}, {"FOR", ENDS_RUN},  {"ESCAPE", ENDS_RUN},
};

static int add_run(struct str s, enum kind level, unsigned depth_left, struct buf *out, struct err *err);

static struct str slice(struct str s, size_t begin, size_t end)
{
    return str_make(s.p + begin, end - begin);
}

static struct token token_at(struct str s, size_t i)
{
    for (size_t k = 0; k < ARRAY_LEN(SYMBOLS); k++)
        if (str_has_prefix(slice(s, i, s.n), str_of(SYMBOLS[k].text)))
            return (struct token){strlen(SYMBOLS[k].text), SYMBOLS[k].kind, SYMBOLS[k].call};
    struct token t = {table_words_skip(s, i) - i, OPERAND, NULL};
    for (size_t k = 0; k < ARRAY_LEN(WORDS); k++)
        if (str_eq_nocase(str_make(s.p + i, t.n), str_of(WORDS[k].text)))
            t.kind = WORDS[k].kind;
    return t;
}

/* Where what closes the bracket begins that ends at i; s.n: nothing does. */
static size_t find_close(struct str s, size_t i)
{
    size_t depth = 0;
    struct token t;

    for (; i < s.n; i += t.n) {
        t = token_at(s, i);
        if (t.kind == CLOSES && !depth--)
            return i;
        depth += t.kind == OPENS;
    }
    return s.n;
}

/* Behind the token at i, or the brackets that it opens. */
static size_t skip(struct str s, size_t i, const struct token *t)
{
    size_t close = t->kind == OPENS ? find_close(s, i + t->n) : s.n;

    return close < s.n ? close + token_at(s, close).n : i + t->n;
}

/* Text up to where a run ends, and so on. */
static int add_runs(struct str s, unsigned depth_left, struct buf *out, struct err *err)
{
    size_t from = 0;
    struct token t;

    if (!depth_left)
        return err_set(err, ERR_LIMIT, "more than %d brackets stand in each other around operators of bits", MAX_DEPTH);
    for (size_t i = 0, next; i < s.n; i = next) {
        t = token_at(s, i);
        next = skip(s, i, &t);
        if (t.kind != ENDS_RUN)
            continue;
        TRY(add_run(slice(s, from, i), BITS_OR, depth_left - 1, out, err));
        buf_add_str(out, slice(s, i, next));
        from = next;
    }
    return add_run(slice(s, from, s.n), BITS_OR, depth_left - 1, out, err);
}

/* Behind what the ~ at i turns over; i + 1: it cannot be told. */
static size_t skip_turned(struct str s, size_t i)
{
    size_t at = i + 1;

    while ((at = str_skip_space(s, at)) < s.n && s.p[at] == '~')
        at++;
    struct token t = at < s.n ? token_at(s, at) : (struct token){.kind = ENDS_RUN};
    size_t end = t.kind == OPENS ? skip(s, at, &t) : at;
    return t.kind == OPENS && t.n > 1 ? end : table_words_operand(s, at); /* CASE … END, or anything else */
}

/* Without an operator between two operands, but what is in brackets. */
static int add_operand(struct str s, unsigned depth_left, struct buf *out, struct err *err)
{
    for (size_t i = 0, next; i < s.n; i = next) {
        struct token t = token_at(s, i);
        next = skip(s, i, &t);
        if (t.kind == OPENS && next > i + t.n) {
            size_t close = find_close(s, i + t.n);
            buf_add_str(out, slice(s, i, i + t.n));
            TRY(add_runs(slice(s, i + t.n, close), depth_left, out, err));
            buf_add_str(out, slice(s, close, next));
        } else if (t.kind == NOT_BITS && skip_turned(s, i) > i + 1) {
            next = skip_turned(s, i);
            buf_add_cstr(out, "(~ "); /* "~-" would be one operator */
            TRY(add_runs(slice(s, i + 1, next), depth_left, out, err));
            buf_add_char(out, ')');
        } else {
            buf_add_str(out, slice(s, i, next));
        }
    }
    return 0;
}

/* Does the run have an operator of the level, or of a tighter one? */
static bool has_operator(struct str s, enum kind level)
{
    struct token t;

    for (size_t i = 0; i < s.n; i = skip(s, i, &t)) {
        t = token_at(s, i);
        if (t.kind >= level && t.kind <= BITS_SHIFT)
            return true;
    }
    return false;
}

struct operators {
    struct operator_at {
        size_t at;
        struct token token;
    } * v;
    size_t n, cap;
};

static void operators_deinit(struct operators *ops)
{
    mem_free(ops->v);
}

/* The operators of one level in a run. The ends of types that stand in each other (ARRAY<ARRAY<INT>>) are none. */
static int find_operators(struct str s, enum kind level, struct operators *ret, struct err *err)
{
    struct token t;

    for (size_t i = 0; i < s.n; i = skip(s, i, &t)) {
        t = token_at(s, i);
        if (t.kind != level || str_skip_space(s, i + t.n) == s.n)
            continue;
        if (ret->n == MAX_OPERATORS)
            return err_set(err, ERR_LIMIT, "more than %d operators of bits stand in a row", MAX_OPERATORS);
        MEM_GROW(ret->v, ret->n, ret->cap);
        ret->v[ret->n++] = (struct operator_at){i, t};
    }
    return 0;
}

/* An operand of an operator. */
static int add_part(struct str s, enum kind level, unsigned depth_left, struct buf *out, struct err *err)
{
    struct str part = str_trim(s);
    bool wraps = has_operator(part, level);

    buf_add_cstr(out, wraps ? "(" : "");
    TRY(add_run(part, level, depth_left, out, err));
    buf_add_cstr(out, wraps ? ")" : "");
    return 0;
}

/* A run at the level and below: from left to right, the last operator is the outermost call. */
static int add_run(struct str s, enum kind level, unsigned depth_left, struct buf *out, struct err *err)
{
    CLEANUP(operators_deinit) struct operators ops = {0};
    size_t from = 0;

    if (level > BITS_SHIFT)
        return add_operand(s, depth_left, out, err);
    TRY(find_operators(s, level, &ops, err));
    if (!ops.n)
        return add_run(s, level + 1, depth_left, out, err);
    buf_add_char(out, ' ');
    for (size_t i = ops.n; i-- > 0;)
        if (ops.v[i].token.call)
            buf_printf(out, "%s(", ops.v[i].token.call);
    for (size_t i = 0; i <= ops.n; i++) {
        const struct operator_at *o = i < ops.n ? &ops.v[i] : NULL;
        TRY(add_part(slice(s, from, o ? o->at : s.n), level + 1, depth_left, out, err));
        buf_add_cstr(out, i && ops.v[i - 1].token.call ? ")" : "");
        if (!o)
            break;
        from = o->at + o->token.n;
        buf_printf(out, o->token.call ? ", " : " %.*s ", STR_ARG(slice(s, o->at, from)));
    }
    buf_add_char(out, ' ');
    return 0;
}

int table_bits(struct str s, struct buf *out, struct err *err)
{
    bool any = false;
    size_t depth = 0;
    struct token t;

    for (size_t i = 0; i < s.n; i += t.n) {
        t = token_at(s, i);
        any = any || t.kind <= BITS_SHIFT || t.kind == NOT_BITS;
        depth += t.kind == OPENS;
        if (t.kind == CLOSES && !depth--)
            break;
    }
    if (any && depth)
        return err_set(err, ERR_USAGE,
                       "its brackets, or CASE and END, are no pairs (a column of such a name stands in `backquotes`)");
    if (any && s.n > MAX_LENGTH)
        return err_set(err, ERR_LIMIT, "with operators of bits it is longer than %d bytes", MAX_LENGTH);
    if (any)
        return add_runs(s, MAX_DEPTH, out, err);
    buf_add_str(out, s);
    return 0;
}
