/*
 * The spool's folder: opening, the lock, trimming, statistics. Writing is in spool_writer.c, reading in spool_reader.c,
 * and what open does to a folder that a crash left in spool_recover.c.
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

int spool_pos_cmp(struct spool_pos a, struct spool_pos b)
{
    if (a.segment != b.segment)
        return a.segment < b.segment ? -1 : 1;
    if (a.block != b.block)
        return a.block < b.block ? -1 : 1;
    return (a.offset > b.offset) - (a.offset < b.offset);
}

char *spool_segment_path(const struct spool *spool, uint64_t segment)
{
    return mem_printf("%s/%016" PRIx64 ".seg", spool->dir, segment);
}

int spool_damage(const struct spool *spool, uint64_t segment, uint64_t offset, struct err *err)
{
    (void)err_wrap(err, "%s/%016" PRIx64 ".seg at offset %" PRIu64, spool->dir, segment, offset);
    (void)err_hint(err,
                   "the file was changed or the disk is failing, and the source may have forgotten what it held: put "
                   "the file back from a backup, or remove the folder %s and the replication slot and let the tables "
                   "be copied again",
                   spool->dir);
    return ERR_INPUT;
}

int spool_segment_open(const struct spool *spool, uint64_t segment, int *ret_fd, struct spool_segment_header *ret,
                       struct err *err)
{
    CLEANUP(mem_freep) char *path = spool_segment_path(spool, segment);
    CLEANUP(file_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char bytes[SPOOL_SEGMENT_HEADER];

    if (fd < 0)
        return err_set_errno(err, "cannot read %s", path);
    int64_t n = spool_pread(fd, bytes, sizeof bytes, 0, path, err);
    if (n < 0)
        return (int)n;
    int rc = spool_segment_decode(bytes, (size_t)n, ret, err);
    if (rc == 0 && ret->segment != segment)
        rc = err_set(err, ERR_INPUT, "the file holds segment %" PRIx64, ret->segment);
    if (rc)
        return rc == ERR_INPUT ? spool_damage(spool, segment, 0, err) : rc;
    *ret_fd = file_take(&fd);
    return 0;
}

int64_t spool_pread(int fd, void *p, size_t n, uint64_t offset, const char *path, struct err *err)
{
    size_t got = 0;

    while (got < n) {
        ssize_t r = pread(fd, (char *)p + got, n - got, (off_t)(offset + got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return err_set_errno(err, "cannot read %s", path);
        if (r == 0)
            break;
        got += (size_t)r;
    }
    return (int64_t)got;
}

int spool_pwrite(int fd, const void *p, size_t n, uint64_t offset, const char *path, struct err *err)
{
    const char *from = p;

    while (n) {
        ssize_t w = pwrite(fd, from, n, (off_t)offset);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return err_set_errno(err, "cannot write %s", path);
        from += w;
        offset += (uint64_t)w;
        n -= (size_t)w;
    }
    return 0;
}

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

/* A segment goes when its last commit, which the next one's header tells, has been passed. The one that the readable
 * end is in stays: the log may be cut back to there. */
int spool_trim_locked(struct spool *spool, struct err *err)
{
    uint64_t keep = MIN(spool->trim_pos.segment, spool->readable.segment);
    size_t n = 0;
    int rc = 0;

    while (n + 1 < spool->n_segments && spool->segments[n].segment < keep &&
           spool->segments[n + 1].start.end_lsn <= spool->trim_lsn) {
        CLEANUP(mem_freep) char *path = spool_segment_path(spool, spool->segments[n].segment);
        if (unlink(path) && errno != ENOENT) {
            rc = err_set_errno(err, "cannot remove %s", path);
            break;
        }
        spool->stats.disk_bytes -= spool->segments[n++].bytes;
    }
    spool->n_segments -= n;
    if (n)
        memmove(spool->segments, spool->segments + n, spool->n_segments * sizeof *spool->segments);
    return rc;
}

int spool_trim(struct spool *spool, uint64_t end_lsn, struct spool_pos oldest_needed, struct err *err)
{
    pthread_mutex_lock(&spool->mutex);
    spool->trim_lsn = MAX(spool->trim_lsn, end_lsn);
    spool->trim_pos = oldest_needed;
    int rc = spool_trim_locked(spool, err);
    pthread_mutex_unlock(&spool->mutex);
    return rc;
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
