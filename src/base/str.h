/* A borrowed run of bytes (often text, never 0-terminated by contract), and what one does with it. */
#ifndef SLUICE_BASE_STR_H
#define SLUICE_BASE_STR_H

#include "base/macros.h"

#include <string.h>

struct str {
    const char *p; /* may be NULL when n is 0 */
    size_t n;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
/* printf("%.*s", STR_ARG(s)) */
#define STR_ARG(s) (int)(s).n, (s).n ? (s).p : ""

static inline struct str str_of(const char *s)
{
    return (struct str){s, s ? strlen(s) : 0};
}

static inline struct str str_make(const void *p, size_t n)
{
    return (struct str){p, n};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || (a.p && b.p && memcmp(a.p, b.p, a.n) == 0));
}

static inline bool str_is(struct str a, const char *b)
{
    return str_eq(a, str_of(b));
}

bool str_has_prefix(struct str s, struct str prefix);
bool str_has_suffix(struct str s, struct str suffix);
bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
int str_cmp(struct str a, struct str b);        /* by bytes, as memcmp */
struct str str_trim(struct str s);              /* without ASCII white space at both ends */
struct str str_trim_end(struct str s);
size_t str_skip_space(struct str s, size_t i); /* behind the ASCII white space at i */
/* Cuts the part before the first `sep` off `*rest` and returns it; the whole when there is no `sep` (`rest` is then
 * left empty with p NULL). Loop while (rest.p). */
struct str str_split(struct str *rest, char sep);
/* The whole of `s` as a decimal number; false when it is anything else or does not fit. */
bool str_to_i64(struct str s, int64_t *ret);
bool str_to_u64(struct str s, uint64_t *ret);
/* `pattern` with `*` (any run) and `?` (any one byte) against the whole of `s`. */
bool str_glob(struct str pattern, struct str s);
/* Is it well-formed UTF-8 (no surrogates, no over-long forms)? */
bool str_is_utf8(struct str s);

#endif
