/* The live line is rubbed out before each log line and drawn again after it. */
#include "pipeline/progress.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <unistd.h>

enum { TERMINAL_US = 200000, LINES_US = 10000000 };

static void rub_out(void *arg)
{
    struct progress *p = arg;

    if (p->line[0])
        fputs("\r\033[K", stderr);
}

static void draw(void *arg)
{
    struct progress *p = arg;

    if (p->line[0])
        fprintf(stderr, "\r\033[K%s", p->line);
    fflush(stderr);
}

void progress_init(struct progress *p)
{
    *p = (struct progress){.terminal = isatty(STDERR_FILENO) == 1, .last_us = clock_mono_us()};
    if (p->terminal)
        log_set_hooks(rub_out, draw, p);
}

static const char *human(uint64_t n, char out[16])
{
    if (n >= 10000000)
        snprintf(out, 16, "%.1fM", (double)n / 1e6);
    else if (n >= 10000)
        snprintf(out, 16, "%.1fk", (double)n / 1e3);
    else
        snprintf(out, 16, "%llu", (unsigned long long)n);
    return out;
}

static void show_on_terminal(struct progress *p, const struct progress_figures *f, double rate)
{
    char a[16], b[16], c[16];

    if (f->copying)
        snprintf(p->line, sizeof p->line, "copying   %s rows  %s rows/s  %s MB  chunk %llu of %llu", human(f->rows, a),
                 human((uint64_t)rate, b), human(f->bytes >> 20, c), (unsigned long long)f->chunks_done,
                 (unsigned long long)f->chunks);
    else
        snprintf(p->line, sizeof p->line, "%s   %llu tables  %s changes  %s changes/s  %.1f MB behind",
                 f->silent      ? "waiting for the server"
                 : f->connected ? "following"
                                : "reconnecting",
                 (unsigned long long)f->tables, human(f->changes, a), human((uint64_t)rate, b),
                 (double)f->lag_bytes / 1048576.0);
    draw(p);
}

void progress_show(struct progress *p, const struct progress_figures *f)
{
    int64_t now = clock_mono_us(), passed = now - p->last_us;
    uint64_t count = f->copying ? f->rows : f->changes;

    if (passed < (p->terminal ? TERMINAL_US : LINES_US))
        return;
    double rate = count >= p->last_count ? (double)(count - p->last_count) * 1e6 / (double)passed : 0;
    p->last_us = now;
    p->last_count = count;
    if (p->terminal)
        show_on_terminal(p, f, rate);
    else if (f->copying)
        log_info("copying", "rows=%llu rows_per_s=%.0f bytes=%llu chunks_done=%llu chunks=%llu",
                 (unsigned long long)f->rows, rate, (unsigned long long)f->bytes, (unsigned long long)f->chunks_done,
                 (unsigned long long)f->chunks);
    else
        log_info("following", "tables=%llu changes=%llu changes_per_s=%.0f lag_bytes=%lld connected=%d",
                 (unsigned long long)f->tables, (unsigned long long)f->changes, rate, (long long)f->lag_bytes,
                 f->connected);
}

void progress_end(struct progress *p)
{
    if (p->terminal && p->line[0]) {
        rub_out(p);
        fflush(stderr);
    }
    p->line[0] = 0;
    log_set_hooks(NULL, NULL, NULL);
}
