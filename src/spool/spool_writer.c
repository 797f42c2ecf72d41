/*
 * Writing the spool: frames gather in a block, blocks go to the newest segment, the readable end follows.
 *
 *   frames ──▶ raw (≤ 256 KB) ──zstd──▶ block ──pwrite──▶ segment ──▶ readable end moves ──▶ readers wake
 *
 * A block that holds a boundary (a place where readers may stop) ends at its last one; what follows it in `raw` waits
 * for the next block. So whatever has to be forgotten (an unfinished transaction at a reconnect or after a crash) is
 * always whole blocks that no reader has seen, and cutting it is a truncation. Segments begin only between transactions
 * and chunks, so that every one of them can be read from its start.
 *
 * A frame is taken as a whole or not at all: when the disk is full, the full block stays in `raw` and is tried again
 * with the next call.
 */
#include "spool/spool_internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "model/position.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

enum { CONTEXT_MAX = 256 << 20 };

/* What a message does to the writer: where transactions stand after it. */
struct step {
    bool in_transaction, in_stream, boundary, repeated;
    struct spool_state state;
};

/* Commit and end LSN, which stand alike in all messages that end a transaction: u8 flags, u64 LSN, u64 end LSN. */
static void read_end(struct reader *r, struct step *s)
{
    (void)reader_u8(r);
    s->state.commit_lsn = reader_be64(r);
    s->state.end_lsn = reader_be64(r);
    s->state.message_lsn = 0;
    s->boundary = true;
    s->in_transaction = false;
}

static int classify(const struct spool *spool, const struct spool_frame *frame, struct step *ret, struct err *err)
{
    struct reader r = reader_of(frame->payload.p, frame->payload.n);
    struct step s = {spool->in_transaction, spool->in_stream, false, false, spool->state};
    uint8_t tag = reader_u8(&r);
    char lsn[LSN_TEXT];

    switch (tag) {
    case 'B': /* begin */
    case 'b': /* begin prepare */
        s.in_transaction = true;
        break;
    case 'S': /* stream start */
        s.in_stream = true;
        break;
    case 'E': /* stream stop */
        s.in_stream = false;
        break;
    case 'c': /* stream commit */
        (void)reader_be32(&r);
        read_end(&r, &s);
        break;
    case 'C': /* commit */
    case 'P': /* prepare */
    case 'p': /* stream prepare */
    case 'K': /* commit prepared */
    case 'r': /* rollback prepared */
        read_end(&r, &s);
        break;
    case 'A': /* stream abort */
        s.boundary = true;
        break;
    case 'M': /* logical message; stands alone when not transactional */
        if (s.in_transaction || s.in_stream)
            break;
        (void)reader_u8(&r);
        uint64_t at = reader_be64(&r);
        s.repeated = at <= s.state.message_lsn;
        s.state.message_lsn = at;
        s.boundary = true;
        break;
    default:
        break;
    }
    if (r.failed)
        return err_set(err, ERR_INPUT, "the replication message '%c' at %s is too short", tag >= ' ' ? tag : '?',
                       lsn_text(frame->lsn, lsn));
    if ((tag == 'B' || tag == 'b' || tag == 'S') && (spool->in_transaction || spool->in_stream))
        return err_set(err, ERR_INPUT, "the replication message '%c' at %s begins inside another transaction", tag,
                       lsn_text(frame->lsn, lsn));
    *ret = s;
    return 0;
}

/* The file is known to be on disk up to its end. Sticky on failure: the kernel drops what it could not write. */
static int sync_file(struct spool *spool, struct err *err)
{
    if (spool->failed || fdatasync(spool->fd)) {
        if (!spool->failed)
            (void)err_set_errno(err, "cannot sync segment %" PRIx64 " in %s", spool->segment, spool->dir);
        else
            (void)err_set(err, ERR_IO, "an earlier sync or cut of the spool %s failed", spool->dir);
        spool->failed = true;
        (void)err_hint(err, "look after the disk and start again: the source sends again what is not on disk");
        return ERR_IO;
    }
    spool->synced = spool->readable; /* only this thread writes `readable` */
    spool->durable_end_lsn = spool->filed.end_lsn;
    spool_mark_write(spool, spool->synced);
    pthread_mutex_lock(&spool->mutex);
    spool->stats.syncs++;
    pthread_mutex_unlock(&spool->mutex);
    return 0;
}

struct context_writer {
    struct spool *spool;
    const char *path;
    int fd;
    uint64_t segment, offset;
    struct buf raw;
};

static int write_context_block(struct context_writer *w, struct err *err)
{
    struct spool *spool = w->spool;
    struct spool_block block = {
        .flags = SPOOL_BLOCK_CONTEXT, .segment = w->segment, .offset = w->offset, .state = spool->filed};

    if (!w->raw.n)
        return 0;
    spool_block_encode(spool->zstd, &block, buf_str(&w->raw), &spool->out);
    TRY(spool_pwrite(w->fd, spool->out.p, spool->out.n, w->offset, w->path, err));
    w->offset += spool->out.n;
    buf_reset(&w->raw);
    return 0;
}

static int add_context(void *arg, const struct spool_frame *frame, struct err *err)
{
    struct context_writer *w = arg;

    if (w->raw.n + SPOOL_FRAME_HEADER + frame->payload.n > SPOOL_BLOCK_RAW)
        TRY(write_context_block(w, err));
    spool_frame_encode(frame, &w->raw);
    return 0;
}

/* Header and context, durable: after this the state at the segment's start survives the removal of older segments. */
static int write_segment_start(struct context_writer *w, struct err *err)
{
    struct spool *spool = w->spool;
    struct spool_segment_header h = {w->segment, clock_now_us(), spool->filed};
    char bytes[SPOOL_SEGMENT_HEADER];

    spool_segment_encode(&h, bytes);
    TRY(spool_pwrite(w->fd, bytes, sizeof bytes, 0, w->path, err));
    w->offset = sizeof bytes;
    TRY(spool_context_each(&spool->context, add_context, w, err));
    TRY(write_context_block(w, err));
    if (fdatasync(w->fd))
        return err_set_errno(err, "cannot sync %s", w->path);
    return file_sync_dir(spool->dir, err);
}

static int begin_segment(struct spool *spool, struct err *err)
{
    uint64_t number = spool->segment + 1;
    CLEANUP(mem_freep) char *path = spool_segment_path(spool, number);
    CLEANUP(file_closep) int fd = -1;

    assert(spool->ends_clean || spool->fd < 0);
    if (spool->fd >= 0)
        TRY(sync_file(spool, err));
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_set_errno(err, "cannot create %s", path);
    struct context_writer w = {.spool = spool, .path = path, .fd = fd, .segment = number};
    int rc = write_segment_start(&w, err);
    buf_deinit(&w.raw);
    if (rc) {
        (void)unlink(path); /* when it stays, the next try writes over it, and recovery removes it */
        return rc;
    }
    bool all_readable =
        spool->fd >= 0 && spool->readable.segment == spool->segment && spool->readable.offset == spool->offset;
    file_closep(&spool->fd);
    spool->fd = file_take(&fd);
    spool->segment = number;
    spool->offset = spool->data_start = w.offset;
    spool->ends_clean = true;
    pthread_mutex_lock(&spool->mutex);
    MEM_GROW(spool->segments, spool->n_segments, spool->cap_segments);
    spool->segments[spool->n_segments++] = (struct spool_segment){number, w.offset, spool->filed};
    spool->stats.disk_bytes += w.offset;
    if (all_readable)
        spool->readable = (struct spool_end){number, w.offset};
    pthread_mutex_unlock(&spool->mutex);
    return 0;
}

/* Readies the file for the next block. */
static int prepare_file(struct spool *spool, struct err *err)
{
    if (spool->failed)
        return sync_file(spool, err);
    if (spool->cut_needed && ftruncate(spool->fd, (off_t)spool->offset))
        return err_set_errno(err, "cannot cut segment %" PRIx64 " in %s", spool->segment, spool->dir);
    spool->cut_needed = false;
    if (spool->fd < 0 || (spool->ends_clean && spool->offset - spool->data_start >= spool->segment_bytes))
        return begin_segment(spool, err);
    return 0;
}

static uint64_t note_frames(struct spool *spool, struct str raw)
{
    struct reader r = reader_of(raw.p, raw.n);
    struct spool_frame frame = {0};
    uint64_t n = 0;
    int rc;

    while ((rc = spool_frame_decode(&r, &frame, NULL)) == 0) {
        spool_context_note(&spool->context, &frame);
        n++;
    }
    assert(rc == 1);
    return n;
}

static void publish(struct spool *spool, const struct spool_block *block, uint64_t frames)
{
    pthread_mutex_lock(&spool->mutex);
    spool->segments[spool->n_segments - 1].bytes = spool->offset;
    spool->stats.disk_bytes += spool->out.n;
    spool->stats.frames += frames;
    spool->stats.raw_bytes += block->raw_len;
    spool->stats.stored_bytes += spool->out.n;
    spool->stats.blocks++;
    if (block->flags & SPOOL_BLOCK_BOUNDARY) {
        spool->readable = (struct spool_end){spool->segment, spool->offset};
        spool->readable_end_lsn = spool->filed.end_lsn;
        pthread_cond_broadcast(&spool->more);
    }
    pthread_mutex_unlock(&spool->mutex);
}

static void shrink(struct buf *b)
{
    if (b->cap > 4 * SPOOL_BLOCK_RAW && b->n < SPOOL_BLOCK_RAW) {
        b->cap = b->n + 1;
        b->p = mem_realloc(b->p, b->cap);
    }
}

/* Writes the first n bytes of `raw` as a block. On failure nothing has changed. */
static int write_block(struct spool *spool, size_t n, struct err *err)
{
    struct spool_block block = {0};
    struct str raw = str_make(spool->raw.p, n);
    struct reader r = reader_of(raw.p, raw.n);
    struct spool_frame first = {0};

    assert(n && n <= spool->raw.n && (!spool->boundary || n == spool->boundary));
    TRY(prepare_file(spool, err));
    if (spool_frame_decode(&r, &first, err))
        return ERR_INTERNAL;
    block.flags = n == spool->boundary ? SPOOL_BLOCK_BOUNDARY | SPOOL_BLOCK_CLEAN
                  : n == spool->clean  ? SPOOL_BLOCK_CLEAN
                                       : 0;
    block.segment = spool->segment;
    block.offset = spool->offset;
    block.first_lsn = first.lsn;
    block.state = spool->state; /* changes at boundaries only, so it is right for a block without one as well */
    spool_block_encode(spool->zstd, &block, raw, &spool->out);
    int rc = spool_pwrite(spool->fd, spool->out.p, spool->out.n, spool->offset, spool->dir, err);
    if (rc) {
        spool->cut_needed = ftruncate(spool->fd, (off_t)spool->offset) != 0;
        return rc;
    }
    spool->offset += spool->out.n;
    spool->ends_clean = block.flags & SPOOL_BLOCK_CLEAN;
    if (block.flags & SPOOL_BLOCK_BOUNDARY)
        spool->filed = spool->state;
    uint64_t frames = note_frames(spool, raw);
    memmove(spool->raw.p, spool->raw.p + n, spool->raw.n - n);
    spool->raw.n -= n;
    spool->boundary = 0;
    spool->clean = spool->clean > n ? spool->clean - n : 0;
    shrink(&spool->raw);
    publish(spool, &block, frames);
    shrink(&spool->out);
    return 0;
}

/* Makes room in `raw`. Without a boundary in it, it may end at a chunk's end, where the next segment can begin. */
static int write_some(struct spool *spool, struct err *err)
{
    bool segment_full = spool->offset - spool->data_start >= spool->segment_bytes;

    if (spool->boundary)
        return write_block(spool, spool->boundary, err);
    if (spool->clean && segment_full)
        return write_block(spool, spool->clean, err);
    return write_block(spool, spool->raw.n, err);
}

static void add_frame(struct spool *spool, const struct spool_frame *frame, const struct step *step)
{
    spool_frame_encode(frame, &spool->raw);
    spool->in_transaction = step->in_transaction;
    spool->in_stream = step->in_stream;
    spool->state = step->state;
    if (step->boundary)
        spool->boundary = spool->raw.n;
    if (!step->in_transaction && !step->in_stream)
        spool->clean = spool->raw.n;
}

int spool_append(struct spool *spool, const struct spool_frame *frame, struct err *err)
{
    struct step step = {0};
    size_t need = SPOOL_FRAME_HEADER + frame->payload.n;
    char lsn[LSN_TEXT];

    assert(frame->kind == SPOOL_DATA);
    if (frame->payload.n > SPOOL_PAYLOAD_MAX)
        return err_set(err, ERR_LIMIT, "the replication message at %s is longer than %d bytes",
                       lsn_text(frame->lsn, lsn), SPOOL_PAYLOAD_MAX);
    TRY(classify(spool, frame, &step, err));
    if (step.repeated) {
        pthread_mutex_lock(&spool->mutex);
        spool->stats.repeated_messages++;
        pthread_mutex_unlock(&spool->mutex);
        return 0;
    }
    if ((frame->payload.p[0] == 'R' || frame->payload.p[0] == 'Y') &&
        spool->context.bytes + frame->payload.n > CONTEXT_MAX)
        return err_set(err, ERR_LIMIT, "the definitions of all published tables take more than %d bytes", CONTEXT_MAX);
    while (spool->raw.n && spool->raw.n + need > SPOOL_BLOCK_RAW)
        TRY(write_some(spool, err));
    add_frame(spool, frame, &step);
    return 0;
}

int spool_flush(struct spool *spool, struct err *err)
{
    return spool->boundary ? write_block(spool, spool->boundary, err) : 0;
}

int spool_sync(struct spool *spool, uint64_t *ret_durable_commit_lsn, struct err *err)
{
    TRY(spool_flush(spool, err));
    if (spool->failed || spool->synced.segment != spool->readable.segment ||
        spool->synced.offset != spool->readable.offset)
        TRY(sync_file(spool, err));
    *ret_durable_commit_lsn = spool->durable_end_lsn;
    return 0;
}

bool spool_is_idle(const struct spool *spool)
{
    return !spool->in_transaction && !spool->in_stream;
}

void spool_last_commit(const struct spool *spool, uint64_t *ret_lsn, uint64_t *ret_end_lsn)
{
    *ret_lsn = spool->state.commit_lsn;
    *ret_end_lsn = spool->state.end_lsn;
}

int spool_restart_marker(struct spool *spool, struct err *err)
{
    struct spool_frame marker = {.kind = SPOOL_RESTART};
    struct step step = {.boundary = true, .state = spool->state};

    if (spool->boundary) {
        spool->raw.n = spool->boundary;
    } else {
        if (spool->readable.segment != spool->segment || spool->readable.offset != spool->offset)
            TRY(spool_cut(spool, spool->readable, err));
        spool->raw.n = 0;
        spool_context_clear(&spool->context);
    }
    spool->in_transaction = spool->in_stream = false;
    if (spool->raw.n == 0 && spool->fd < 0)
        return 0; /* nothing to void */
    add_frame(spool, &marker, &step);
    struct err why = {0};
    int rc = spool_flush(spool, &why);
    if (rc && rc != ERR_IO && err)
        *err = why;
    return rc == ERR_IO ? 0 : rc; /* a full disk: the marker goes with the next block */
}

/* Over the quota with nothing to trim: has everything stood still long enough to say that it will not end? */
static bool is_stuck(struct spool *spool)
{
    int64_t now = clock_mono_us();
    bool moved = spool_pos_cmp(spool->stuck_pos, spool->trim_pos) != 0 ||
                 spool->stuck_end.segment != spool->readable.segment ||
                 spool->stuck_end.offset != spool->readable.offset;

    if (spool->trim_lsn < spool->readable_end_lsn || moved || !spool->stuck_since_us) {
        spool->stuck_pos = spool->trim_pos;
        spool->stuck_end = spool->readable;
        spool->stuck_since_us = now;
        return false;
    }
    return now - spool->stuck_since_us >= spool->patience_us;
}

/* 1 room, 0 none. */
static int look_for_room(struct spool *spool, bool *ret_stuck, struct err *err)
{
    pthread_mutex_lock(&spool->mutex);
    int rc = 0;
    if (spool->stats.disk_bytes >= spool->quota_bytes)
        rc = spool_trim_locked(spool, err);
    if (rc == 0 && spool->stats.disk_bytes < spool->quota_bytes) {
        spool->stuck_since_us = 0;
        rc = 1;
    }
    *ret_stuck = rc == 0 && is_stuck(spool);
    pthread_mutex_unlock(&spool->mutex);
    return rc;
}

int spool_has_room(struct spool *spool, struct err *err)
{
    bool stuck = false;

    if (!spool->quota_bytes)
        return 1;
    int rc = look_for_room(spool, &stuck, err);
    if (rc)
        return rc;
    TRY(spool_flush(spool, err)); /* let readers have all that can be passed */
    if (spool->ends_clean && spool->fd >= 0 && !spool->cut_needed &&
        spool->offset - spool->data_start >= spool->segment_bytes / 2)
        TRY(begin_segment(spool, err)); /* so that the segment being written can go too */
    rc = look_for_room(spool, &stuck, err);
    if (rc || !stuck)
        return rc;
    (void)err_set(err, ERR_LIMIT,
                  "the spool %s is over its quota of %" PRIu64 " bytes with transactions that are not complete yet",
                  spool->dir, spool->quota_bytes);
    return err_hint(err, "raise spool_quota above the size of the largest transaction (and what is written beside it), "
                         "and start again");
}
