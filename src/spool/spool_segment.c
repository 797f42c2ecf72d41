/* The files of segments: named, opened, read and written at a place, and deleted when they are past. */
#include "spool/spool_internal.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

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
