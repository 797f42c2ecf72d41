/*
 * The SQL lexer: one pass, no look-back, no copy.
 *
 * The first byte (after white space and comments) decides the kind of token; each kind then has one function that finds
 * its end. `>` is always a token of its own, as in ARRAY<ARRAY<INT>>, unless `=` follows.
 */
#include "sql/lexer.h"

#include "base/buf.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

static int peek(const struct lexer *lx, size_t ahead)
{
    return lx->end - lx->pos > ahead ? (unsigned char)lx->script.p[lx->pos + ahead] : -1;
}

static bool is_word_start(int c)
{
    return c == '_' || c >= 0x80 || (c >= 0 && isalpha(c));
}

static bool is_word(int c)
{
    return is_word_start(c) || c == '$' || (c >= 0 && isdigit(c));
}

/* Line and column (both from 1; columns count characters) of a byte offset. */
static void locate(struct str script, size_t at, unsigned *ret_line, unsigned *ret_column)
{
    unsigned line = 1, column = 1;

    for (size_t i = 0; i < at && i < script.n; i++) {
        if (script.p[i] == '\n')
            line++, column = 1;
        else if (((unsigned char)script.p[i] & 0xc0) != 0x80)
            column++;
    }
    *ret_line = line;
    *ret_column = column;
}

int sql_error(struct err *err, int code, struct str script, size_t at, const char *fmt, ...)
{
    char what[800];
    unsigned line, column;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    locate(script, at, &line, &column);
    return err_set(err, code, "line %u, column %u: %s", line, column, what);
}

/* Bytes of white space at the cursor, or 0. Text pasted from a web page has no-break spaces; a file may have a BOM. */
static size_t space_len(const struct lexer *lx)
{
    int c = peek(lx, 0);

    if (c == ' ' || (c >= '\t' && c <= '\r'))
        return 1;
    if (c == 0xc2 && peek(lx, 1) == 0xa0)
        return 2;
    if (c == 0xef && peek(lx, 1) == 0xbb && peek(lx, 2) == 0xbf && lx->pos == 0)
        return 3;
    return 0;
}

static int skip_block_comment(struct lexer *lx, struct err *err)
{
    size_t start = lx->pos, depth = 0;

    do {
        if (peek(lx, 0) == '/' && peek(lx, 1) == '*') {
            depth++;
            lx->pos += 2;
        } else if (peek(lx, 0) == '*' && peek(lx, 1) == '/') {
            depth--;
            lx->pos += 2;
        } else if (peek(lx, 0) < 0) {
            return sql_error(err, ERR_INPUT, lx->script, start, "the comment that starts here has no closing */");
        } else {
            lx->pos++;
        }
    } while (depth);
    return 0;
}

static int skip_space(struct lexer *lx, struct err *err)
{
    for (;;) {
        size_t n = space_len(lx);
        if (n) {
            lx->pos += n;
        } else if (peek(lx, 0) == '-' && peek(lx, 1) == '-') {
            while (peek(lx, 0) >= 0 && peek(lx, 0) != '\n')
                lx->pos++;
        } else if (peek(lx, 0) == '/' && peek(lx, 1) == '*') {
            TRY(skip_block_comment(lx, err));
        } else {
            return 0;
        }
    }
}

/* From the opening quote (at pos) past the closing one; a doubled quote stands for itself. */
static int take_quoted(struct lexer *lx, bool backslash, struct err *err)
{
    size_t start = lx->pos;
    int quote = peek(lx, 0);

    for (lx->pos++; peek(lx, 0) >= 0; lx->pos++) {
        if (backslash && peek(lx, 0) == '\\' && peek(lx, 1) >= 0) {
            lx->pos++;
        } else if (peek(lx, 0) == quote) {
            if (peek(lx, 1) != quote) {
                lx->pos++;
                return 0;
            }
            lx->pos++;
        }
    }
    return sql_error(err, ERR_INPUT, lx->script, start, "the %s that starts here has no closing %c",
                     quote == '\'' ? "string" : "quoted name", quote);
}

static void take_number(struct lexer *lx)
{
    if (peek(lx, 0) == '0' && (peek(lx, 1) | 0x20) == 'x' && isxdigit(MAX(peek(lx, 2), 0))) {
        for (lx->pos += 2; isxdigit(MAX(peek(lx, 0), 0)) || peek(lx, 0) == '_';)
            lx->pos++;
        return;
    }
    while (isdigit(MAX(peek(lx, 0), 0)) || (peek(lx, 0) == '_' && isdigit(MAX(peek(lx, 1), 0))))
        lx->pos++;
    if (peek(lx, 0) == '.' && peek(lx, 1) != '.') {
        lx->pos++;
        while (isdigit(MAX(peek(lx, 0), 0)) || (peek(lx, 0) == '_' && isdigit(MAX(peek(lx, 1), 0))))
            lx->pos++;
    }
    if ((peek(lx, 0) | 0x20) == 'e' && peek(lx, 0) >= 0) {
        size_t sign = peek(lx, 1) == '+' || peek(lx, 1) == '-';
        if (!isdigit(MAX(peek(lx, 1 + sign), 0)))
            return;
        for (lx->pos += 1 + sign; isdigit(MAX(peek(lx, 0), 0));)
            lx->pos++;
    }
}

/* $1, $name, $$text$$, $tag$text$tag$; a lone $ is an operator. */
static int take_dollar(struct lexer *lx, enum token_kind *ret_kind, struct err *err)
{
    size_t start = lx->pos, tag = 1;

    *ret_kind = TOKEN_PARAM;
    if (isdigit(MAX(peek(lx, 1), 0))) {
        for (lx->pos++; isdigit(MAX(peek(lx, 0), 0));)
            lx->pos++;
        return 0;
    }
    while (is_word(peek(lx, tag)) && peek(lx, tag) != '$')
        tag++;
    if (peek(lx, tag) != '$') {
        *ret_kind = tag > 1 ? TOKEN_PARAM : TOKEN_OP;
        lx->pos += tag;
        return 0;
    }
    tag++; /* the opening quote's length */
    *ret_kind = TOKEN_STRING;
    for (lx->pos += tag; lx->end - lx->pos >= tag; lx->pos++) {
        if (memcmp(lx->script.p + lx->pos, lx->script.p + start, tag) == 0) {
            lx->pos += tag;
            return 0;
        }
    }
    lx->pos = lx->end;
    return sql_error(err, ERR_INPUT, lx->script, start, "the string that starts here has no closing %.*s",
                     (int)MIN(tag, (size_t)64), lx->script.p + start);
}

static void take_op(struct lexer *lx)
{
    static const char *const pairs[] = {"=>", "::", "<=", ">=", "<>", "!=", "||", "->"};

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        if (peek(lx, 0) == pairs[i][0] && peek(lx, 1) == pairs[i][1]) {
            lx->pos += 2;
            return;
        }
    }
    lx->pos++;
}

static int take_token(struct lexer *lx, enum token_kind *ret_kind, struct err *err)
{
    int c = peek(lx, 0), low = c | 0x20;

    if (c == '\'' || ((low == 'e' || low == 'x' || low == 'b') && peek(lx, 1) == '\'')) {
        *ret_kind = c == '\'' || low == 'e' ? TOKEN_STRING : TOKEN_BITS;
        lx->pos += c != '\'';
        return take_quoted(lx, low == 'e', err);
    }
    if (c == '"' || c == '`') {
        *ret_kind = c == '"' ? TOKEN_QUOTED : TOKEN_BACKQUOTED;
        return take_quoted(lx, false, err);
    }
    if (c == '$')
        return take_dollar(lx, ret_kind, err);
    if (isdigit(c) || (c == '.' && isdigit(MAX(peek(lx, 1), 0)))) {
        *ret_kind = TOKEN_NUMBER;
        take_number(lx);
    } else if (is_word_start(c)) {
        *ret_kind = TOKEN_WORD;
        while (is_word(peek(lx, 0)) && !space_len(lx))
            lx->pos++;
    } else if (c < 0x20 || c == 0x7f) {
        return sql_error(err, ERR_INPUT, lx->script, lx->pos, "a byte 0x%02x, which no SQL text has", (unsigned)c);
    } else {
        *ret_kind = c == '?' ? TOKEN_PARAM : TOKEN_OP;
        take_op(lx);
    }
    return 0;
}

int lexer_next(struct lexer *lx, struct token *ret, struct err *err)
{
    enum token_kind kind = TOKEN_END;

    assert(lx->pos <= lx->end && lx->end <= lx->script.n);
    TRY(skip_space(lx, err));
    size_t start = lx->pos;
    if (start < lx->end)
        TRY(take_token(lx, &kind, err));
    assert(kind == TOKEN_END || lx->pos > start);
    *ret = (struct token){kind, str_make(lx->script.p ? lx->script.p + start : NULL, lx->pos - start), start};
    return kind == TOKEN_END;
}

bool token_is(const struct token *t, const char *text)
{
    return (t->kind == TOKEN_WORD && str_eq_nocase(t->text, str_of(text))) ||
           (t->kind == TOKEN_OP && str_is(t->text, text));
}

bool token_is_name(const struct token *t)
{
    return t->kind == TOKEN_WORD || t->kind == TOKEN_QUOTED || t->kind == TOKEN_BACKQUOTED;
}

/* The text between its first and last byte, each doubled `quote` once. */
static struct str undouble(struct str text, char quote, struct arena *arena)
{
    struct str in = str_make(text.p + 1, text.n - 2);
    char *out = arena_alloc(arena, in.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < in.n; i++) {
        out[n++] = in.p[i];
        if (in.p[i] == quote)
            i++;
    }
    out[n] = 0;
    return str_make(out, n);
}

struct str token_name(const struct token *t, struct arena *arena)
{
    assert(token_is_name(t));
    return t->kind == TOKEN_WORD ? t->text : undouble(t->text, t->text.p[0], arena);
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80)
        return out[0] = (char)c, 1;
    if (c < 0x800)
        return out[0] = (char)(0xc0 | c >> 6), out[1] = (char)(0x80 | (c & 0x3f)), 2;
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        c = 0xfffd;
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 0x3f)), out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f)), out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Up to `most` digits of `base` at *i, which moves past them. */
static uint32_t take_digits(struct str s, size_t *i, unsigned base, size_t most)
{
    uint32_t v = 0;

    for (; most && *i < s.n && isxdigit((unsigned char)s.p[*i]); most--, ++*i) {
        uint32_t d = isdigit((unsigned char)s.p[*i]) ? (uint32_t)(s.p[*i] - '0') : ((uint32_t)s.p[*i] & 7) + 9;
        if (d >= base)
            break;
        v = v * base + d;
    }
    return v;
}

/* PostgreSQL's escapes: \b \f \n \r \t \ooo \xhh \uhhhh \Uhhhhhhhh, and any other byte for itself. */
static struct str unescape(struct str text, struct arena *arena)
{
    struct str in = str_make(text.p + 2, text.n - 3);
    char *out = arena_alloc(arena, in.n + 4);
    size_t n = 0, i = 0;

    while (i < in.n) {
        char c = in.p[i++];
        if (c == '\'' && i < in.n) {
            i++;
        } else if (c == '\\' && i < in.n) {
            static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
            c = in.p[i];
            const char *simple = strchr(from, c);
            if (c >= '0' && c <= '7') {
                c = (char)take_digits(in, &i, 8, 3);
            } else if (c == 'x' && i + 1 < in.n && isxdigit((unsigned char)in.p[i + 1])) {
                i++;
                c = (char)take_digits(in, &i, 16, 2);
            } else if ((c == 'u' || c == 'U') && i + 1 < in.n && isxdigit((unsigned char)in.p[i + 1])) {
                i++;
                n += put_utf8(out + n, take_digits(in, &i, 16, c == 'u' ? 4 : 8));
                continue;
            } else {
                i++;
                c = c && simple ? to[simple - from] : c;
            }
        }
        out[n++] = c;
    }
    out[n] = 0;
    return str_make(out, n);
}

struct str token_string(const struct token *t, struct arena *arena)
{
    assert(t->kind == TOKEN_STRING);
    if (t->text.p[0] == '\'')
        return undouble(t->text, '\'', arena);
    if (t->text.p[0] != '$')
        return unescape(t->text, arena);
    size_t tag = 1 + (size_t)((const char *)memchr(t->text.p + 1, '$', t->text.n - 1) - t->text.p);
    return arena_str(arena, str_make(t->text.p + tag, t->text.n - 2 * tag));
}

int sql_split(struct str script, size_t *cursor, struct str *ret_statement, bool *ret_terminated, struct err *err)
{
    struct lexer lx = {script, *cursor, script.n};
    size_t start = SIZE_MAX, end = 0;
    bool terminated = false;
    struct token t;
    int rc;

    while (!terminated && (rc = lexer_next(&lx, &t, err)) != 1) {
        TRY(rc);
        if (token_is(&t, ";")) {
            terminated = start != SIZE_MAX;
            continue;
        }
        start = MIN(start, t.at);
        end = t.at + t.text.n;
    }
    *cursor = lx.pos;
    if (start == SIZE_MAX)
        return 1;
    *ret_statement = str_make(script.p + start, end - start);
    if (ret_terminated)
        *ret_terminated = terminated;
    return 0;
}

bool sql_is_complete(struct str script)
{
    bool terminated = true;
    struct str statement;
    size_t cursor = 0;
    int rc;

    while ((rc = sql_split(script, &cursor, &statement, &terminated, NULL)) == 0)
        continue;
    return rc == 1 && terminated;
}
