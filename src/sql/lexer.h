/*
 * SQL text → tokens, and a script → its statements.
 *
 * The lexical rules are the SQL standard's with PostgreSQL's and Spark's additions, so that one text can be cut the same
 * way whether DuckDB or we will read it: words, "quoted" and `backquoted` names (the quote doubled inside), 'strings'
 * (quote doubled inside), E'strings' with backslash escapes, $tag$ strings $tag$, X'…' and B'…', numbers, parameters
 * ($1, $name, ?), -- comments and nested block comments. "…" is a name and never a string.
 *
 * Nothing is copied: a token's text is a slice of the script. Positions in error messages are those in the script.
 */
#ifndef SLUICE_SQL_LEXER_H
#define SLUICE_SQL_LEXER_H

#include "base/arena.h"
#include "base/err.h"

enum token_kind {
    TOKEN_END,        /* nothing follows; text is empty and stands at the end */
    TOKEN_WORD,       /* an unquoted name or keyword */
    TOKEN_QUOTED,     /* "name" */
    TOKEN_BACKQUOTED, /* `name` */
    TOKEN_NUMBER,     /* 1, 1.5, .5, 1e-3, 0x1f, 1_000; never a sign */
    TOKEN_STRING,     /* 'text', E'text', $$text$$ */
    TOKEN_BITS,       /* X'1f', B'01' */
    TOKEN_PARAM,      /* $1, $name, ? */
    TOKEN_OP,         /* punctuation: one byte each, except => :: <= >= <> != || -> */
};

struct token {
    enum token_kind kind;
    struct str text; /* as written, with its quotes; a slice of the script */
    size_t at;       /* byte offset in the script */
};

struct lexer {
    struct str script;
    size_t pos, end; /* what is still to be read: a part of the script */
};

static inline struct lexer lexer_of(struct str script)
{
    return (struct lexer){script, 0, script.n};
}

/* Reads only `part`, a slice of `script`; positions stay those in the script. */
static inline struct lexer lexer_in(struct str script, struct str part)
{
    size_t at = part.n ? (size_t)(part.p - script.p) : 0;
    return (struct lexer){script, at, at + part.n};
}

/* 0 and a token, or 1 and TOKEN_END. ERR_INPUT: a quote or comment that is never closed, or a byte that no SQL has. */
int lexer_next(struct lexer *lx, struct token *ret, struct err *err) MUST_CHECK;

/* Is it this keyword (any case; a quoted name is no keyword) or this operator? */
bool token_is(const struct token *t, const char *text);
/* A word or a quoted name: something that can name a table or column. */
bool token_is_name(const struct token *t);
/* The name without its quotes; the case is kept as written. */
struct str token_name(const struct token *t, struct arena *arena);
/* The value of a TOKEN_STRING: without quotes, escapes resolved. */
struct str token_string(const struct token *t, struct arena *arena);

/* The script's next statement from `*cursor` (starts at 0): the text without surrounding space and comments and without
 * its `;`. Empty statements are skipped. `ret_terminated` (may be NULL): did a `;` follow it? 0, or 1 at the end. */
int sql_split(struct str script, size_t *cursor, struct str *ret_statement, bool *ret_terminated,
              struct err *err) MUST_CHECK;
/* For a prompt: does the text end in `;` (comments may follow), or hold no statement at all? False while a quote, comment
 * or statement is open, which is when the prompt should ask for another line. */
bool sql_is_complete(struct str script);

/* Sets "line L, column C: …" and returns `code`. */
int sql_error(struct err *err, int code, struct str script, size_t at, const char *fmt, ...) PRINTF_LIKE(5, 6);

#endif
