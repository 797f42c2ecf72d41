/* Error text: formatting, context prefixes, and the map from codes to exit codes. */
#define ERR_IMPLEMENTATION
#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void format(char *out, size_t size, const char *fmt, va_list ap)
{
    int n = vsnprintf(out, size, fmt, ap);

    if (n < 0)
        out[0] = 0;
    for (char *p = out; *p; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
    va_list ap;

    assert(code < 0);
    if (!err)
        return code;
    err->code = code;
    err->sqlstate[0] = err->hint[0] = 0;
    va_start(ap, fmt);
    format(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    return code;
}

int err_set_errno(struct err *err, const char *fmt, ...)
{
    int saved = errno;
    int code = saved == ENOENT ? ERR_NOT_FOUND : saved == EEXIST ? ERR_EXISTS : ERR_IO;
    va_list ap;
    char what[512];

    va_start(ap, fmt);
    format(what, sizeof what, fmt, ap);
    va_end(ap);
    err_set(err, code, "%s: %s", what, strerror(saved));
    if (saved == ENOSPC)
        err_hint(err, "the disk is full: free some space and start again, nothing is lost");
    else if (saved == EROFS || saved == EACCES || saved == EPERM)
        err_hint(err, "make the path writable for this user and start again, nothing is lost");
    return code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char context[512], old[sizeof err->msg];
    va_list ap;

    if (!err)
        return ERR_INTERNAL;
    va_start(ap, fmt);
    format(context, sizeof context, fmt, ap);
    va_end(ap);
    memcpy(old, err->msg, sizeof old);
    int n = snprintf(err->msg, sizeof err->msg, "%s: ", context);
    if (n >= 0 && (size_t)n < sizeof err->msg) {
        size_t room = sizeof err->msg - (size_t)n - 1, len = strnlen(old, room);
        memcpy(err->msg + n, old, len);
        err->msg[(size_t)n + len] = 0;
    }
    return err->code;
}

int err_hint(struct err *err, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return ERR_INTERNAL;
    va_start(ap, fmt);
    vsnprintf(err->hint, sizeof err->hint, fmt, ap); /* a hint may have several lines: SQL to run */
    va_end(ap);
    return err->code;
}

int err_exit_code(int code)
{
    switch (code) {
    case ERR_CHECK:
        return 1;
    case ERR_USAGE:
    case ERR_NOT_FOUND:
    case ERR_EXISTS:
        return 2;
    case ERR_INTERNAL:
        return 4;
    default:
        return code < 0 ? 3 : 0;
    }
}

const char *err_name(int code)
{
    static const char *const names[] = {"ok",        "check",       "usage", "refused", "internal",
                                        "input",     "unsupported", "io",    "net",     "conflict",
                                        "not_found", "exists",      "limit", "again",   "cancelled"};
    int i = -code;

    return i >= 0 && i < (int)ARRAY_LEN(names) ? names[i] : "unknown";
}
