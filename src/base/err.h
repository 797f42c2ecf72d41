/*
 * Errors: an int code plus a message in a struct that the caller owns.
 *
 * A function that can fail returns 0 or a negative `enum err_code` and takes `struct err *` last; the struct is
 * written only on failure. Iterators return 0 for an item and 1 for the end. `err` may be NULL where the caller does
 * not want the text. A code is something that a caller *does*, so there are few.
 */
#ifndef SLUICE_BASE_ERR_H
#define SLUICE_BASE_ERR_H

#include "base/macros.h"

enum err_code {
    ERR_CHECK = -1,       /* a check that the user asked for found a difference (exit 1) */
    ERR_USAGE = -2,       /* wrong arguments or configuration: tell the user (exit 2) */
    ERR_REFUSED = -3,     /* a peer refuses for good: rights, missing slot, read-only disk (exit 3) */
    ERR_INTERNAL = -4,    /* our own fault (exit 4) */
    ERR_INPUT = -5,       /* bytes that break their format: a corrupt file, a malformed message */
    ERR_UNSUPPORTED = -6, /* well-formed, but a feature that we do not have; the message names it */
    ERR_IO = -7,          /* the local system failed: disk full, permission; retriable once mended */
    ERR_NET = -8,         /* the connection broke: reconnect and go on */
    ERR_CONFLICT = -9,    /* another writer was first: rebase and retry, or give up */
    ERR_NOT_FOUND = -10,  /* the thing named does not exist */
    ERR_EXISTS = -11,     /* put-if-absent found something there */
    ERR_LIMIT = -12,      /* a configured limit was reached */
    ERR_AGAIN = -13,      /* nothing now; not an error */
    ERR_CANCELLED = -14,  /* asked to stop */
};

struct err {
    int code;
    char sqlstate[6]; /* PostgreSQL's code where the error came from there, or "" */
    char msg[1024];   /* one line, plain words, names the table, column, position or file */
    char hint[1024];  /* what to do about it, or "" */
};

/* Fills `err` and returns `code`, so that `return err_set(err, ERR_INPUT, "…")` reads as one step. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Like err_set with ": <strerror(errno)>" appended. ENOENT becomes ERR_NOT_FOUND and EEXIST ERR_EXISTS. */
int err_set_errno(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Puts "<context>: " before the message. Returns err->code (ERR_INTERNAL when err is NULL). */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Sets the hint. Returns err->code. */
int err_hint(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The process exit code of the commands' contract for an error code: 1, 2, 3 or 4. */
int err_exit_code(int code);
/* Short name of a code, for logs: "input", "io", … */
const char *err_name(int code);

#if defined(__clang_analyzer__) && !defined(ERR_IMPLEMENTATION)
/* The static analyzer does not see into err.c: tell it that these never return 0, or it follows paths that are none. */
#define err_set(err, code, ...) (err_set(err, code, __VA_ARGS__), (code))
#define err_set_errno(...) (err_set_errno(__VA_ARGS__), ERR_IO)
#define err_wrap(...) (err_wrap(__VA_ARGS__), ERR_INTERNAL)
#define err_hint(...) (err_hint(__VA_ARGS__), ERR_INTERNAL)
#endif

#endif
