/*
 * Log lines on standard error: key=value, one a line, one write each.
 *
 *   ts=2026-11-23T14:37:13.123456Z level=info event=table_created table=public.orders columns=9
 *
 * The owner of a task logs once; layers below return errors. Never pass a connection string or a password.
 */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level); /* default LOG_INFO; at start only */
bool log_enabled(enum log_level level);
/* `fmt` gives the rest of the line as key=value pairs; quote free text with log_quote. */
void log_line(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);
#define log_debug(event, ...) (log_enabled(LOG_DEBUG) ? log_line(LOG_DEBUG, event, __VA_ARGS__) : (void)0)
#define log_info(event, ...) log_line(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) log_line(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_line(LOG_ERROR, event, __VA_ARGS__)
/* Text in double quotes with escapes, in a buffer of the calling thread that the next 4 calls leave alone. */
const char *log_quote(const char *text);
/* "<event> error=… code=… [hint=…]" at the level given. */
void log_err(enum log_level level, const char *event, const struct err *err);
/* A hook around each line, so that a live progress line can be cleared and redrawn. NULL removes it: once this has returned, it does
 * not run, and will not. It must not log. */
void log_set_hooks(void (*before)(void *), void (*after)(void *), void *arg);

#endif
