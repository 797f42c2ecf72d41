/* Reading a spool's folder from outside. The formats are drawn in spool_format.c. */
#include "spool/spool_look.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct numbers {
    uint64_t *v;
    size_t n, cap;
};

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static int list(const char *dir, struct numbers *ret, struct err *err)
{
    DIR *d = opendir(dir);
    const struct dirent *e;

    if (!d && errno == ENOENT)
        return 0;
    if (!d)
        return err_set_errno(err, "cannot list %s", dir);
    while ((e = readdir(d))) {
        if (strlen(e->d_name) != 20 || strcmp(e->d_name + 16, ".seg") != 0 ||
            strspn(e->d_name, "0123456789abcdef") != 16)
            continue;
        MEM_GROW(ret->v, ret->n, ret->cap);
        ret->v[ret->n++] = strtoull(e->d_name, NULL, 16);
    }
    closedir(d);
    if (ret->n)
        qsort(ret->v, ret->n, sizeof *ret->v, by_number);
    return 0;
}

static char *path_of(const char *dir, uint64_t segment)
{
    return mem_printf("%s/%016" PRIx64 ".seg", dir, segment);
}

/* A shared lock for a moment: whoever opens the spool just then tries again (spool.c). */
static void look_at_lock(const char *dir, struct spool_look *ret)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/lock", dir);
    CLEANUP(file_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char pid[32] = "";

    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return;
    ret->in_use = true;
    if (pread(fd, pid, sizeof pid - 1, 0) > 0)
        ret->pid = (int)strtol(pid, NULL, 10);
}

int spool_look(const char *dir, struct spool_look *ret, struct err *err)
{
    struct numbers numbers = {0};
    struct spool_look look = {0};
    int rc = list(dir, &numbers, err);

    for (size_t i = 0; i < numbers.n; i++) {
        CLEANUP(mem_freep) char *path = path_of(dir, numbers.v[i]);
        look.disk_bytes += (uint64_t)MAX(file_size(path), 0);
    }
    if (numbers.n) {
        look.n_segments = numbers.n;
        look.first_segment = numbers.v[0];
        look.last_segment = numbers.v[numbers.n - 1];
    }
    mem_free(numbers.v);
    TRY(rc);
    look_at_lock(dir, &look);
    *ret = look;
    return 0;
}

struct walk {
    const struct spool_visitor *v;
    struct spool_zstd *zstd;
    struct buf raw;
};

static int walk_frames(struct walk *w, const struct spool_block *b, const char *p, struct err *err)
{
    struct spool_frame frame;
    int rc;

    buf_reset(&w->raw);
    TRY(spool_block_unpack(w->zstd, b, p, &w->raw, err));
    struct reader r = reader_of(w->raw.p, w->raw.n);
    for (;;) {
        uint32_t offset = (uint32_t)((const char *)r.p - w->raw.p);
        rc = spool_frame_decode(&r, &frame, err);
        if (rc)
            return rc < 0 ? rc : 0;
        rc = w->v->frame(w->v->ctx, b, offset, &frame, err);
        if (rc)
            return rc;
    }
}

static int walk_bytes(struct walk *w, uint64_t segment, const char *p, size_t n, struct err *err)
{
    struct spool_segment_header h;
    struct spool_block b;
    struct err why;
    int rc = spool_segment_decode(p, n, &h, err);

    if (rc == 0 && w->v->segment)
        rc = w->v->segment(w->v->ctx, &h, n, err);
    for (uint64_t at = SPOOL_SEGMENT_HEADER; rc == 0 && at < n; at += SPOOL_BLOCK_HEADER + (uint64_t)b.stored_len) {
        if (spool_block_check(p + at, n - at, segment, at, &b, &why))
            return w->v->torn ? w->v->torn(w->v->ctx, segment, at, n - at, &why, err) : 0;
        if (w->v->block)
            rc = w->v->block(w->v->ctx, &b, err);
        if (rc == 0 && w->v->frame)
            rc = walk_frames(w, &b, p + at, err);
    }
    return rc;
}

static int walk_segment(struct walk *w, const char *dir, uint64_t segment, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(dir, segment);
    CLEANUP(file_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &st))
        return err_set_errno(err, "cannot read %s", path);
    if (st.st_size < SPOOL_SEGMENT_HEADER)
        return 0; /* just being made */
    char *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return err_set_errno(err, "cannot read %s", path);
    int rc = walk_bytes(w, segment, p, (size_t)st.st_size, err);
    munmap(p, (size_t)st.st_size);
    if (rc < 0)
        err_wrap(err, "%s", path);
    return rc;
}

int spool_walk(const char *dir, uint64_t from, const struct spool_visitor *v, struct err *err)
{
    struct numbers numbers = {0};
    struct walk w = {.v = v, .zstd = spool_zstd_new()};
    int rc = list(dir, &numbers, err);

    for (size_t i = 0; rc == 0 && i < numbers.n; i++)
        if (numbers.v[i] >= from)
            rc = walk_segment(&w, dir, numbers.v[i], err);
    mem_free(numbers.v);
    spool_zstd_free(w.zstd);
    buf_deinit(&w.raw);
    return rc;
}

static int last_of_segment(void *ctx, const struct spool_segment_header *h, uint64_t bytes, struct err *err)
{
    uint64_t *lsn = ctx;

    (void)bytes;
    (void)err;
    *lsn = MAX(*lsn, h->state.commit_lsn);
    return 0;
}

static int last_of_block(void *ctx, const struct spool_block *b, struct err *err)
{
    uint64_t *lsn = ctx;

    (void)err;
    *lsn = MAX(*lsn, b->state.commit_lsn);
    return 0;
}

int spool_look_last_commit(const char *dir, uint64_t *ret_lsn, struct err *err)
{
    uint64_t lsn = 0;
    struct spool_visitor v = {.segment = last_of_segment, .block = last_of_block, .ctx = &lsn};
    struct spool_look look;

    TRY(spool_look(dir, &look, err));
    TRY(spool_walk(dir, look.last_segment, &v, err));
    *ret_lsn = lsn;
    return 0;
}
