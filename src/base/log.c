/* One line, one write(2): lines of several threads do not mix. */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int level_now = LOG_INFO;
/* Of the hooks, and while they run: their argument may go after them. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void (*hook_before)(void *), (*hook_after)(void *);
static void *hook_arg;

void log_set_level(enum log_level level)
{
    level_now = (int)level;
}

bool log_enabled(enum log_level level)
{
    return (int)level >= level_now;
}

void log_set_hooks(void (*before)(void *), void (*after)(void *), void *arg)
{
    pthread_mutex_lock(&lock);
    hook_before = before;
    hook_after = after;
    hook_arg = arg;
    pthread_mutex_unlock(&lock);
}

void log_line(enum log_level level, const char *event, const char *fmt, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    CLEANUP(buf_deinit) struct buf b = {.max = 16384};
    char ts[CLOCK_TEXT];
    va_list ap;

    if (!log_enabled(level))
        return;
    buf_printf(&b, "ts=%s level=%s event=%s ", clock_text(clock_now_us(), ts), names[level], event);
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    while (b.n && b.p[b.n - 1] == ' ')
        b.n--;
    buf_add_char(&b, '\n');
    pthread_mutex_lock(&lock);
    if (hook_before)
        hook_before(hook_arg);
    for (size_t done = 0; done < b.n;) {
        ssize_t n = write(STDERR_FILENO, b.p + done, b.n - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (hook_after)
        hook_after(hook_arg);
    pthread_mutex_unlock(&lock);
}

const char *log_quote(const char *text)
{
    static _Thread_local char bufs[4][2300];
    static _Thread_local unsigned next;
    char *out = bufs[next++ % 4];
    size_t n = 0;

    out[n++] = '"';
    for (; *text && n < sizeof bufs[0] - 4; text++) {
        if (*text == '"' || *text == '\\')
            out[n++] = '\\';
        out[n++] = (unsigned char)*text < 0x20 ? ' ' : *text;
    }
    out[n++] = '"';
    out[n] = 0;
    return out;
}

void log_err(enum log_level level, const char *event, const struct err *err)
{
    if (err->hint[0])
        log_line(level, event, "code=%s error=%s hint=%s", err_name(err->code), log_quote(err->msg),
                 log_quote(err->hint));
    else
        log_line(level, event, "code=%s error=%s", err_name(err->code), log_quote(err->msg));
}
