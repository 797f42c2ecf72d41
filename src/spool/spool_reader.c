/*
 * Reading the spool while it is written: block by block up to the readable end, segment after segment.
 *
 *   segment ──pread──▶ stored block ──checksum, zstd──▶ raw ──▶ frames, borrowed from raw
 *
 * The reader keeps a copy of the readable end and takes the spool's mutex only when it has come to it. All bytes before
 * it stay as they are, so files are read without a lock; a segment that is trimmed stays open until the reader leaves
 * it.
 */
#include "spool/spool_internal.h"

#include "base/clock.h"
#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

struct spool_reader {
    struct spool *spool;
    int fd;
    uint64_t segment;       /* that fd is of, 0 = none yet */
    uint64_t end;           /* of the segment, as far as readable */
    struct spool_end limit; /* readable end when last looked at */
    uint64_t block, next;   /* offsets of the block in `raw` (0 = none) and of the one after it */
    struct reader frames;   /* what is left of `raw` */
    bool first;             /* no block of data was loaded yet: context is given out */
    struct buf stored, raw;
    struct spool_zstd *zstd;
};

int spool_reader_open(struct spool *spool, struct spool_reader **ret, struct err *err)
{
    struct spool_reader *reader = MEM_NEW(struct spool_reader);

    (void)err; /* the first segment is opened when there is something to read */
    reader->spool = spool;
    reader->fd = -1;
    reader->first = true;
    reader->zstd = spool_zstd_new();
    *ret = reader;
    return 0;
}

void spool_reader_free(struct spool_reader *reader)
{
    if (!reader)
        return;
    file_closep(&reader->fd);
    buf_deinit(&reader->stored);
    buf_deinit(&reader->raw);
    spool_zstd_free(reader->zstd);
    mem_free(reader);
}

static void drop_block(struct spool_reader *reader)
{
    reader->frames = (struct reader){0};
    reader->block = 0;
}

/* Opens a segment and stands at its first block. */
static int open_segment(struct spool_reader *reader, uint64_t segment, struct err *err)
{
    CLEANUP(file_closep) int fd = -1;
    struct spool_segment_header h;

    TRY(spool_segment_open(reader->spool, segment, &fd, &h, err));
    drop_block(reader);
    file_closep(&reader->fd);
    reader->fd = file_take(&fd);
    reader->segment = segment;
    reader->end = 0; /* until find_end */
    reader->next = SPOOL_SEGMENT_HEADER;
    return 0;
}

/* How far the open segment may be read: a segment before the one of the limit is complete. */
static int find_end(struct spool_reader *reader, struct err *err)
{
    struct stat st;

    if (reader->segment == reader->limit.segment) {
        reader->end = reader->limit.offset;
    } else if (reader->segment < reader->limit.segment) {
        if (fstat(reader->fd, &st))
            return err_set_errno(err, "cannot read segment %" PRIx64 " in %s", reader->segment, reader->spool->dir);
        reader->end = (uint64_t)st.st_size;
    }
    return 0;
}

/* Stands before a block that may be read (0), or there is none (1). */
static int find_block(struct spool_reader *reader, struct err *err)
{
    struct spool *spool = reader->spool;

    while (reader->segment == 0 || reader->next >= reader->end) {
        if (reader->segment && reader->segment < reader->limit.segment && reader->end) {
            TRY(open_segment(reader, reader->segment + 1, err));
            TRY(find_end(reader, err));
            continue;
        }
        int rc = 0;
        pthread_mutex_lock(&spool->mutex);
        struct spool_end limit = spool->readable;
        bool more = limit.offset &&
                    (!reader->end || limit.segment != reader->limit.segment || limit.offset != reader->limit.offset);
        if (more && !reader->segment) /* with the mutex, so that it is not trimmed right now */
            rc = open_segment(reader, spool->segments[0].segment, err);
        pthread_mutex_unlock(&spool->mutex);
        TRY(rc);
        if (!more)
            return 1;
        reader->limit = limit;
        TRY(find_end(reader, err));
    }
    return 0;
}

static int damaged(struct spool_reader *reader, uint64_t offset, int rc, struct err *err)
{
    return rc == ERR_INPUT ? spool_damage(reader->spool, reader->segment, offset, err) : rc;
}

static int read_stored(struct spool_reader *reader, uint64_t offset, size_t n, struct err *err)
{
    CLEANUP(mem_freep) char *path = spool_segment_path(reader->spool, reader->segment);
    char *to = buf_reserve(&reader->stored, n);

    assert(to);
    int64_t got = spool_pread(reader->fd, to, n, offset, path, err);
    if (got < 0)
        return (int)got;
    reader->stored.n += (size_t)got;
    return (size_t)got == n ? 0 : err_set(err, ERR_INPUT, "the block is incomplete");
}

static void shrink(struct buf *b)
{
    if (b->cap > 4 * SPOOL_BLOCK_RAW)
        buf_deinit(b);
}

/* Loads the block at an offset: proves it and unpacks it. */
static int load_block(struct spool_reader *reader, uint64_t offset, struct spool_block *ret, struct err *err)
{
    struct spool_block b = {0};

    drop_block(reader);
    shrink(&reader->stored);
    shrink(&reader->raw);
    buf_reset(&reader->stored);
    TRY(read_stored(reader, offset, SPOOL_BLOCK_HEADER, err));
    TRY(spool_block_peek(reader->stored.p, reader->stored.n, reader->segment, offset, &b, err));
    if (offset + SPOOL_BLOCK_HEADER + b.stored_len > reader->end)
        return err_set(err, ERR_INPUT, "the block goes past the end of what was written");
    TRY(read_stored(reader, offset + SPOOL_BLOCK_HEADER, b.stored_len, err));
    TRY(spool_block_check(reader->stored.p, reader->stored.n, reader->segment, offset, &b, err));
    TRY(spool_block_unpack(reader->zstd, &b, reader->stored.p, &reader->raw, err));
    reader->block = offset;
    reader->next = offset + SPOOL_BLOCK_HEADER + b.stored_len;
    reader->frames = reader_of(reader->raw.p, reader->raw.n);
    *ret = b;
    return 0;
}

static struct spool_pos here(const struct spool_reader *reader)
{
    return (struct spool_pos){reader->segment, reader->block, (uint32_t)(reader->raw.n - reader_left(&reader->frames))};
}

struct spool_pos spool_reader_pos(const struct spool_reader *reader)
{
    if (reader->block && reader_left(&reader->frames))
        return here(reader);
    return (struct spool_pos){reader->segment, reader->next, 0};
}

int spool_reader_next(struct spool_reader *reader, struct spool_frame *ret, struct spool_pos *ret_pos, struct err *err)
{
    while (!reader->block || reader_left(&reader->frames) == 0) {
        struct spool_block b = {0};
        int rc = find_block(reader, err);
        if (rc)
            return rc;
        uint64_t offset = reader->next;
        rc = load_block(reader, offset, &b, err);
        if (rc)
            return damaged(reader, offset, rc, err);
        if (!(b.flags & SPOOL_BLOCK_CONTEXT))
            reader->first = false;
        else if (!reader->first)
            drop_block(reader); /* those messages have gone by already */
    }
    struct spool_pos pos = here(reader);
    int rc = spool_frame_decode(&reader->frames, ret, err);
    if (rc)
        return damaged(reader, pos.block, ERR_INPUT, err);
    if (ret_pos)
        *ret_pos = pos;
    return 0;
}

int spool_reader_seek(struct spool_reader *reader, struct spool_pos pos, struct err *err)
{
    struct spool *spool = reader->spool;
    struct spool_block b = {0};

    reader->first = false;
    if (pos.segment != reader->segment) {
        int rc = open_segment(reader, pos.segment, err);
        if (rc == ERR_NOT_FOUND)
            (void)err_wrap(err, "the log before this position was trimmed");
        TRY(rc);
    }
    pthread_mutex_lock(&spool->mutex);
    reader->limit = spool->readable;
    pthread_mutex_unlock(&spool->mutex);
    TRY(find_end(reader, err));
    if (pos.block != reader->block || !pos.block) {
        if (pos.block < SPOOL_SEGMENT_HEADER || pos.block >= reader->end)
            return err_set(err, ERR_NOT_FOUND, "the spool has no position %" PRIx64 "/%" PRIu64, pos.segment,
                           pos.block);
        int rc = load_block(reader, pos.block, &b, err);
        if (rc)
            return damaged(reader, pos.block, rc, err);
    }
    if (pos.offset >= reader->raw.n)
        return err_set(err, ERR_NOT_FOUND, "the spool has no position %" PRIx64 "/%" PRIu64 "/%u", pos.segment,
                       pos.block, pos.offset);
    reader->frames = reader_of(reader->raw.p + pos.offset, reader->raw.n - pos.offset);
    return 0;
}

bool spool_reader_wait(struct spool_reader *reader, int64_t timeout_us)
{
    struct spool *spool = reader->spool;
    int64_t until = clock_mono_us() + MAX(timeout_us, 0);
    struct timespec ts = {until / 1000000, until % 1000000 * 1000};
    bool more;

    if (reader->block && reader_left(&reader->frames))
        return true;
    pthread_mutex_lock(&spool->mutex);
    for (int rc = 0;;) {
        more = spool->readable.segment > reader->segment ||
               (spool->readable.segment == reader->segment && spool->readable.offset > reader->next);
        more = more && spool->readable.offset;
        if (more || spool->woken || rc)
            break;
        rc = timeout_us < 0 ? pthread_cond_wait(&spool->more, &spool->mutex)
                            : pthread_cond_timedwait(&spool->more, &spool->mutex, &ts);
    }
    pthread_mutex_unlock(&spool->mutex);
    return more;
}
