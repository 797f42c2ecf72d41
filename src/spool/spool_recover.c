/*
 * Opening a folder that a crash may have left: where does the log end?
 *
 * A kill or power cut can leave the newest segment with blocks that are torn, and with whole blocks of a transaction
 * that has no end. Both are cut off, because the server sends that again: it was never told that it was safe. Damage to
 * what *was* called safe is another thing: it must be said aloud, or data would be lost in silence. The file `synced`
 * tells the two apart: it holds the readable end as of the last fdatasync, is written after it, and not synced itself
 * (an older one only makes us more lenient):
 *
 *   0 u64 XXH3-64 of the rest    8 u64 number of the segment    16 u64 offset in it
 *
 * Below that mark, and in all but the newest segment (a segment is synced before the next begins), damage is bit rot.
 * In the newest segment above the mark it is a torn tail. Without a mark, a bad block is torn when no good one follows
 * it.
 */
#include "spool/spool_internal.h"

#include "base/file.h"
#include "base/hash.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { MARK_BYTES = 24 };

void spool_mark_write(struct spool *spool, struct spool_end end)
{
    uint64_t mark[3] = {0, end.segment, end.offset};

    mark[0] = hash64(&mark[1], MARK_BYTES - 8);
    (void)!pwrite(spool->mark_fd, mark, MARK_BYTES, 0); /* best effort: see above */
}

static int open_mark(struct spool *spool, bool *ret_known, struct spool_end *ret, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/synced", spool->dir);
    uint64_t mark[3] = {0};

    spool->mark_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (spool->mark_fd < 0)
        return err_set_errno(err, "cannot open %s", path);
    int64_t n = spool_pread(spool->mark_fd, mark, MARK_BYTES, 0, path, err);
    if (n < 0)
        return (int)n;
    *ret_known = n == MARK_BYTES && mark[0] == hash64(&mark[1], MARK_BYTES - 8);
    *ret = *ret_known ? (struct spool_end){mark[1], mark[2]} : (struct spool_end){0};
    return 0;
}

static int by_number(const void *a, const void *b)
{
    const struct spool_segment *x = a, *y = b;

    return (x->segment > y->segment) - (x->segment < y->segment);
}

static bool parse_name(const char *name, uint64_t *ret)
{
    char *end;

    if (strlen(name) != 20 || strcmp(name + 16, ".seg") != 0 || strspn(name, "0123456789abcdef") != 16)
        return false;
    *ret = strtoull(name, &end, 16);
    return *ret > 0 && *ret < UINT64_MAX;
}

static int list_segments(struct spool *spool, struct err *err)
{
    DIR *dir = opendir(spool->dir);
    struct dirent *e;
    uint64_t number;

    if (!dir)
        return err_set_errno(err, "cannot list %s", spool->dir);
    while ((e = readdir(dir))) {
        if (!parse_name(e->d_name, &number))
            continue;
        CLEANUP(mem_freep) char *path = spool_segment_path(spool, number);
        int64_t size = file_size(path);
        MEM_GROW(spool->segments, spool->n_segments, spool->cap_segments);
        spool->segments[spool->n_segments++] = (struct spool_segment){number, (uint64_t)MAX(size, 0), {0}};
    }
    closedir(dir);
    if (spool->n_segments)
        qsort(spool->segments, spool->n_segments, sizeof *spool->segments, by_number);
    for (size_t i = 0; i < spool->n_segments; i++) {
        spool->stats.disk_bytes += spool->segments[i].bytes;
        if (i && spool->segments[i].segment != spool->segments[i - 1].segment + 1) {
            (void)err_set(err, ERR_INPUT, "the segment is missing");
            return spool_damage(spool, spool->segments[i - 1].segment + 1, 0, err);
        }
    }
    return 0;
}

static int read_header(struct spool *spool, struct spool_segment *s, struct err *err)
{
    CLEANUP(file_closep) int fd = -1;
    struct spool_segment_header h;

    TRY(spool_segment_open(spool, s->segment, &fd, &h, err));
    s->start = h.state;
    return 0;
}

/* Whether a good block stands anywhere after `offset`. */
static bool good_block_follows(const char *p, size_t n, uint64_t segment, size_t offset)
{
    static const char magic[] = "SLBK";
    struct spool_block b;

    for (size_t at = offset + 1; at + SPOOL_BLOCK_HEADER < n; at++) {
        const char *hit = memmem(p + at + 8, n - at - 8, magic, sizeof magic - 1);
        if (!hit)
            return false;
        at = (size_t)(hit - p) - 8;
        if (spool_block_check(p + at, n - at, segment, at, &b, NULL) == 0)
            return true;
    }
    return false;
}

struct scan {
    uint64_t boundary; /* end of the last block that ends at one, 0 = none */
    struct spool_state state;
    uint64_t end; /* of the last good block */
};

static void scan_blocks(const char *p, size_t n, const struct spool_segment *s, struct scan *ret, struct err *err)
{
    struct scan scan = {.state = s->start, .end = SPOOL_SEGMENT_HEADER};
    struct spool_block b = {0};

    while (scan.end < n && spool_block_check(p + scan.end, n - scan.end, s->segment, scan.end, &b, err) == 0) {
        scan.end += SPOOL_BLOCK_HEADER + (uint64_t)b.stored_len;
        if (b.flags & SPOOL_BLOCK_BOUNDARY) {
            scan.boundary = scan.end;
            scan.state = b.state;
        }
    }
    *ret = scan;
}

static int scan_segment(struct spool *spool, const struct spool_segment *s, bool newest, bool known,
                        struct spool_end mark, struct scan *ret, struct err *err)
{
    CLEANUP(mem_freep) char *path = spool_segment_path(spool, s->segment);
    CLEANUP(file_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0)
        return err_set_errno(err, "cannot read %s", path);
    struct err why = {0};
    char *p = mmap(NULL, s->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_set_errno(err, "cannot read %s", path);
    (void)madvise(p, s->bytes, MADV_SEQUENTIAL);
    scan_blocks(p, s->bytes, s, ret, &why);
    bool was_safe = mark.segment > s->segment || (mark.segment == s->segment && ret->end < mark.offset);
    if (ret->end == s->bytes && was_safe) {
        (void)err_set(err, ERR_INPUT, "the file is shorter than what was synced");
        rc = spool_damage(spool, s->segment, ret->end, err);
    } else if (ret->end < s->bytes) {
        bool torn = newest && !was_safe && (known || !good_block_follows(p, s->bytes, s->segment, ret->end));
        rc = torn ? 0 : spool_damage(spool, s->segment, ret->end, &why);
        if (rc && err)
            *err = why;
        spool->stats.torn_bytes += torn ? s->bytes - ret->end : 0;
    }
    munmap(p, s->bytes);
    return rc;
}

/* Headers of all; a newest segment that a crash left without one is removed. */
static int read_headers(struct spool *spool, bool known, struct spool_end mark, struct err *err)
{
    for (size_t i = 0; i < spool->n_segments; i++) {
        struct spool_segment *s = &spool->segments[i];
        struct err why = {0};
        int rc = read_header(spool, s, &why);
        if (rc == ERR_INPUT && i + 1 == spool->n_segments && mark.segment < s->segment &&
            (known || s->bytes <= SPOOL_SEGMENT_HEADER)) {
            CLEANUP(mem_freep) char *path = spool_segment_path(spool, s->segment);
            if (unlink(path))
                return err_set_errno(err, "cannot remove %s", path);
            spool->stats.torn_bytes += s->bytes;
            spool->stats.disk_bytes -= s->bytes;
            spool->segment = s->segment - 1;
            spool->n_segments--;
            return 0;
        }
        if (rc && err)
            *err = why;
        TRY(rc);
    }
    return 0;
}

int spool_cut(struct spool *spool, struct spool_end end, struct err *err)
{
    pthread_mutex_lock(&spool->mutex);
    file_closep(&spool->fd);
    int rc = 0;
    while (rc == 0 && spool->n_segments && spool->segments[spool->n_segments - 1].segment > end.segment) {
        struct spool_segment *s = &spool->segments[spool->n_segments - 1];
        CLEANUP(mem_freep) char *path = spool_segment_path(spool, s->segment);
        if (unlink(path) && errno != ENOENT)
            rc = err_set_errno(err, "cannot remove %s", path);
        else
            spool->stats.disk_bytes -= spool->segments[--spool->n_segments].bytes;
    }
    if (rc == 0 && spool->n_segments) {
        struct spool_segment *s = &spool->segments[spool->n_segments - 1];
        CLEANUP(mem_freep) char *path = spool_segment_path(spool, s->segment);
        assert(s->segment == end.segment);
        spool->fd = open(path, O_RDWR | O_CLOEXEC);
        if (spool->fd < 0 || ftruncate(spool->fd, (off_t)end.offset))
            rc = err_set_errno(err, "cannot cut %s", path);
        else {
            spool->stats.disk_bytes -= s->bytes - end.offset;
            s->bytes = end.offset;
        }
    }
    pthread_mutex_unlock(&spool->mutex);
    spool->failed |= rc != 0;
    TRY(rc);
    spool->segment = end.segment ? end.segment : spool->segment;
    spool->offset = end.offset;
    spool->data_start = SPOOL_SEGMENT_HEADER; /* about: matters only for when the next segment begins */
    spool->ends_clean = true;
    spool->cut_needed = false;
    return 0;
}

/* Goes back from the newest segment to the last boundary; when there is none at all, the oldest is kept, emptied: its
 * header alone still tells the last commit. */
static int find_end(struct spool *spool, bool known, struct spool_end mark, struct spool_end *ret, struct err *err)
{
    for (size_t i = spool->n_segments; i-- > 0;) {
        const struct spool_segment *s = &spool->segments[i];
        struct scan scan = {0};
        TRY(scan_segment(spool, s, i + 1 == spool->n_segments, known, mark, &scan, err));
        spool->state = scan.state;
        uint64_t to = scan.boundary ? scan.boundary : SPOOL_SEGMENT_HEADER;
        if (mark.segment == s->segment) /* was readable, so it is a boundary, be it the bare start of the segment */
            to = MAX(to, mark.offset);
        spool->stats.cut_bytes += scan.end - to;
        *ret = (struct spool_end){s->segment, to};
        if (scan.boundary || mark.segment == s->segment)
            break;
    }
    return 0;
}

int spool_recover(struct spool *spool, struct err *err)
{
    struct spool_end mark = {0}, end = {0};
    bool known = false;

    TRY(open_mark(spool, &known, &mark, err));
    TRY(list_segments(spool, err));
    TRY(read_headers(spool, known, mark, err));
    if (spool->n_segments == 0 && mark.segment) {
        (void)err_set(err, ERR_INPUT, "the segment is missing");
        return spool_damage(spool, mark.segment, 0, err);
    }
    if (spool->n_segments) {
        TRY(find_end(spool, known, mark, &end, err));
        TRY(spool_cut(spool, end, err));
        if (fdatasync(spool->fd)) /* what a killed process wrote may be in memory only */
            return err_set_errno(err, "cannot sync segment %" PRIx64 " in %s", end.segment, spool->dir);
    }
    TRY(file_sync_dir(spool->dir, err));
    spool_mark_write(spool, end);
    spool->ends_clean = true;
    spool->filed = spool->state;
    spool->readable = spool->synced = end;
    spool->readable_end_lsn = spool->durable_end_lsn = spool->state.end_lsn;
    return 0;
}
