/* VALUES (a, b), (c, d) → its expressions. */
#include "delta/dml/dml.h"
#include "server/session_internal.h"

struct values {
    struct lexer lx;
    struct arena *arena;
    struct str *v;
    uint32_t n, cap;
};

static void add(struct values *v, size_t from, size_t to)
{
    if (v->n == v->cap) {
        struct str *more = ARENA_NEW_N(v->arena, struct str, v->cap * 2 + 64);
        if (v->n)
            memcpy(more, v->v, v->n * sizeof *more);
        v->v = more;
        v->cap = v->cap * 2 + 64;
    }
    v->v[v->n++] = str_trim(str_make(v->lx.script.p + from, to - from));
}

/* After the "(" of a row, up to its ")". False: it is none. */
static bool read_row(struct values *v)
{
    size_t start = v->lx.pos;
    struct token t;

    for (int depth = 0; lexer_next(&v->lx, &t, NULL) == 0;) {
        if (depth == 0 && (token_is(&t, ",") || token_is(&t, ")"))) {
            add(v, start, t.at);
            if (!v->v[v->n - 1].n)
                return false;
            start = v->lx.pos;
            if (token_is(&t, ")"))
                return true;
        }
        depth += token_is(&t, "(") || token_is(&t, "[") || token_is(&t, "{");
        depth -= token_is(&t, ")") || token_is(&t, "]") || token_is(&t, "}");
    }
    return false;
}

void session_values(struct session *s, struct dml_insert *ins)
{
    struct values v = {.lx = lexer_of(ins->query), .arena = &s->arena};
    uint32_t rows = 0, columns = 0;
    struct token t;
    int rc;

    if (lexer_next(&v.lx, &t, NULL) != 0 || !token_is(&t, "VALUES"))
        return;
    do {
        uint32_t before = v.n;
        if (lexer_next(&v.lx, &t, NULL) != 0 || !token_is(&t, "(") || !read_row(&v))
            return;
        columns = rows ? columns : v.n;
        if (v.n - before != columns)
            return;
        rows++;
        rc = lexer_next(&v.lx, &t, NULL);
    } while (rc == 0 && token_is(&t, ","));
    if (rc != 1)
        return; /* ORDER BY, UNION … */
    ins->values = v.v;
    ins->n_rows = rows;
    ins->n_row_values = columns;
}
