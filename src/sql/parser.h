/*
 * What the parsers of this layer share: a token stream with a little look-ahead, and the pieces that occur everywhere.
 * Private to sql/; others use statement.h, types.h and rewrite.h.
 *
 * A lexical error is sticky: the stream then ends, and every later failure reports that first error. So a parser may
 * peek and accept freely and need not check each step.
 */
#ifndef SLUICE_SQL_PARSER_H
#define SLUICE_SQL_PARSER_H

#include "sql/lexer.h"
#include "sql/name.h"

#define PARSER_AHEAD 6

struct parser {
    struct arena *arena;
    struct lexer lx;
    struct token ahead[PARSER_AHEAD];
    unsigned n_ahead;
    size_t last_end; /* where the token taken last ends */
    unsigned depth;  /* of nested types */
    int rc;          /* the sticky lexical error */
    struct err *err; /* may be NULL */
};

void parser_init(struct parser *p, struct arena *arena, struct str script, struct str part, struct err *err);
/* The token `k` places ahead (0 = the next one); TOKEN_END past the end. Valid until the next call. */
const struct token *parser_peek(struct parser *p, unsigned k);
struct token parser_take(struct parser *p);
bool parser_at_end(struct parser *p);
/* Do the next tokens read `words` ("IF NOT EXISTS"; at most PARSER_AHEAD of them)? accept also takes them. */
bool parser_at(struct parser *p, const char *words);
bool parser_accept(struct parser *p, const char *words);
int parser_expect(struct parser *p, const char *words) MUST_CHECK;
/* "line L, column C: expected <what>, found <next token>". Always negative. */
int parser_fail(struct parser *p, const char *what) MUST_CHECK;
/* Nothing may follow. */
int parser_end(struct parser *p) MUST_CHECK;

/* Room for element `n` of an array in the arena that has `n` elements of `size` bytes: returns where the array is now. */
void *parser_grow(struct parser *p, void *array, uint32_t n, size_t size);

/* The source text from byte `start` to the end of the token taken last. */
struct str parser_text(const struct parser *p, size_t start);
int parser_ident(struct parser *p, const char *what, struct str *ret) MUST_CHECK;
int parser_string(struct parser *p, const char *what, struct str *ret) MUST_CHECK;
/* A whole number with an optional sign. */
int parser_i64(struct parser *p, const char *what, int64_t *ret) MUST_CHECK;
int parser_name(struct parser *p, const char *what, struct sql_name *ret) MUST_CHECK;
/* A name or path; no alias, no travel. `ret` is zeroed first. */
int parser_table(struct parser *p, struct sql_table *ret) MUST_CHECK;
/* The optional point in time after a table. TRAVEL_NONE when there is none. */
int parser_travel(struct parser *p, struct sql_travel *ret) MUST_CHECK;
/* [AS] alias; a word that can only continue the statement is no alias. Empty when there is none. */
int parser_alias(struct parser *p, struct str *ret) MUST_CHECK;
/* ( name, name, … ) */
int parser_names(struct parser *p, const char *what, uint32_t *ret_n, struct sql_name **ret) MUST_CHECK;

/* Source text up to (not including) the first token outside of brackets and CASE … END that is one of `stops` (each a
 * run of words, NULL at the end of the list), or a bracket that was not opened here, or the end. Not empty. */
int parser_until(struct parser *p, const char *const *stops, const char *what, struct str *ret) MUST_CHECK;
/* The text inside the bracket that stands next, which is taken with its partner. */
int parser_parens(struct parser *p, const char *what, struct str *ret) MUST_CHECK;
/* An expression that the table will keep, in Spark's words: "name" is a text there, and in a text a backslash escapes. */
struct str parser_stored(struct parser *p, struct str expr);
/* Everything that is left, trimmed; may be empty. */
struct str parser_rest(struct parser *p);

#endif
