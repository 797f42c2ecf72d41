/*
 * The spool's folder: opening, the lock, statistics. Its files are in spool_segment.c, writing is in spool_writer.c, reading in
 * spool_reader.c, and what open does to a folder that a crash left in spool_recover.c.
 *
 *   <dir>/lock                    flock of the process that has it open; holds its pid as text
 *   <dir>/synced                  how much is known to be on disk, see spool_recover.c
 *   <dir>/0000000000000001.seg    segments, numbered without gaps; the last is being written
 */
#include "spool/spool_internal.h"

#include "base/clock.h"
#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>

enum { SEGMENT_DEFAULT = 64 << 20, PATIENCE_DEFAULT_MS = 10000 };

/* Someone may hold it for a moment, just to look (spool_look.c): it is tried again before it counts as taken. */
static bool lock(int fd)
{
    for (int i = 0; i < 10; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK)
            return false;
        clock_sleep_us(10000);
    }
    errno = EWOULDBLOCK;
    return false;
}

/* One process at a time: two writers would ruin the log. */
static int take_lock(struct spool *spool, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/lock", spool->dir);
    char pid[32] = "";

    spool->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (spool->lock_fd < 0)
        return err_set_errno(err, "cannot open %s", path);
    if (!lock(spool->lock_fd)) {
        if (errno != EWOULDBLOCK)
            return err_set_errno(err, "cannot lock %s", path);
        ssize_t n = pread(spool->lock_fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? strcspn(pid, "\n") : 0] = 0;
        (void)err_set(err, ERR_CONFLICT, "the spool %s is in use by process %s", spool->dir, pid[0] ? pid : "unknown");
        return err_hint(err, "stop that process first, or give this one another state folder");
    }
    int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(spool->lock_fd, 0) == 0)
        (void)!pwrite(spool->lock_fd, pid, (size_t)n, 0); /* for the message only: a full disk is no reason to stop */
    return 0;
}

static int check_config(const struct spool *spool, struct err *err)
{
    if (spool->quota_bytes && spool->quota_bytes / 2 < spool->segment_bytes) {
        (void)err_set(err, ERR_USAGE,
                      "the spool quota of %" PRIu64 " bytes is less than two segments of %" PRIu64 " bytes",
                      spool->quota_bytes, spool->segment_bytes);
        return err_hint(err, "raise spool_quota to %" PRIu64 " or more", spool->segment_bytes * 2);
    }
    return 0;
}

static struct spool *spool_new(const struct spool_config *config)
{
    struct spool *spool = MEM_NEW(struct spool);
    pthread_condattr_t attr;

    spool->dir = mem_strdup(config->dir);
    spool->segment_bytes = config->segment_bytes ? config->segment_bytes : SEGMENT_DEFAULT;
    spool->quota_bytes = config->quota_bytes;
    spool->patience_us = 1000 * (int64_t)(config->patience_ms ? config->patience_ms : PATIENCE_DEFAULT_MS);
    spool->lock_fd = spool->mark_fd = spool->fd = -1;
    spool->zstd = spool_zstd_new();
    pthread_mutex_init(&spool->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&spool->more, &attr);
    pthread_condattr_destroy(&attr);
    return spool;
}

int spool_open(const struct spool_config *config, struct spool **ret, struct err *err)
{
    CLEANUP(spool_freep) struct spool *spool = spool_new(config);

    TRY(check_config(spool, err));
    TRY(file_make_dirs(spool->dir, err));
    TRY(take_lock(spool, err));
    TRY(spool_recover(spool, err));
    TRY(spool_restart_marker(spool, err));
    *ret = TAKE_PTR(spool);
    return 0;
}

void spool_free(struct spool *spool)
{
    if (!spool)
        return;
    file_closep(&spool->fd);
    file_closep(&spool->mark_fd);
    file_closep(&spool->lock_fd); /* and with it the lock */
    pthread_cond_destroy(&spool->more);
    pthread_mutex_destroy(&spool->mutex);
    spool_context_clear(&spool->context);
    spool_zstd_free(spool->zstd);
    buf_deinit(&spool->raw);
    buf_deinit(&spool->out);
    mem_free(spool->segments);
    mem_free(spool->dir);
    mem_free(spool);
}

void spool_stats(struct spool *spool, struct spool_stats *ret)
{
    pthread_mutex_lock(&spool->mutex);
    *ret = spool->stats;
    ret->first_segment = spool->n_segments ? spool->segments[0].segment : 0;
    ret->n_segments = spool->n_segments;
    ret->quota_bytes = spool->quota_bytes;
    ret->readable_end_lsn = spool->readable_end_lsn;
    pthread_mutex_unlock(&spool->mutex);
}

void spool_wake(struct spool *spool)
{
    pthread_mutex_lock(&spool->mutex);
    spool->woken = true;
    pthread_cond_broadcast(&spool->more);
    pthread_mutex_unlock(&spool->mutex);
}
