/*
 * The bytes of the spool's segments. A segment file:
 *
 *   segment header | block: context … | block | block | …
 *
 *   segment header, 64 bytes            block, 80 bytes + stored_len              frame, 13 bytes + length
 *    0 u64 XXH3-64 of the rest           0 u64 XXH3-64 of the rest, frames too     0 u32 length of the payload
 *    8 u32 magic "SLSG"                  8 u32 magic "SLBK"                        4 u8  kind
 *   12 u32 format, 1                    12 u32 flags                               5 u64 LSN; xid in context frames
 *   16 u64 number of the segment        16 u32 length of the frames unpacked      13 payload
 *   24 i64 created, µs since 1970       20 u32 length as stored
 *   32 u64 last commit LSN  ┐ at the    24 u64 number of the segment
 *   40 u64 its end LSN      │ start     32 u64 offset of the block in the file
 *   48 u64 last message LSN ┘           40 u64 LSN of the first frame
 *   56 u64 0                            48 u64 last commit LSN  ┐
 *                                       56 u64 its end LSN      │ at the end of the block
 *                                       64 u64 last message LSN ┘
 *                                       72 u64 0
 *                                       80 frames, zstd or as they are
 *
 * A block says where it stands, so that a stale or misplaced one never passes for another. The state at the end of each
 * block is what makes recovery a matter of headers: the last good block tells where the log ends for the source.
 */
#include "spool/spool_format.h"

#include "base/hash.h"
#include "base/mem.h"

#include <assert.h>
#include <zstd.h>

enum { SEGMENT_MAGIC = 0x47534c53, BLOCK_MAGIC = 0x4b424c53, FORMAT = 1 };

struct spool_zstd {
    ZSTD_CCtx *c;
    ZSTD_DCtx *d;
};

struct spool_zstd *spool_zstd_new(void)
{
    return MEM_NEW(struct spool_zstd);
}

void spool_zstd_free(struct spool_zstd *z)
{
    if (!z)
        return;
    ZSTD_freeCCtx(z->c);
    ZSTD_freeDCtx(z->d);
    mem_free(z);
}

static void put32(char *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static void put64(char *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

static uint64_t get64(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

static void put_state(char *p, const struct spool_state *s)
{
    put64(p, s->commit_lsn);
    put64(p + 8, s->end_lsn);
    put64(p + 16, s->message_lsn);
}

static struct spool_state read_state(struct reader *r)
{
    struct spool_state s = {0};

    s.commit_lsn = reader_le64(r);
    s.end_lsn = reader_le64(r);
    s.message_lsn = reader_le64(r);
    return s;
}

void spool_segment_encode(const struct spool_segment_header *h, char out[SPOOL_SEGMENT_HEADER])
{
    memset(out, 0, SPOOL_SEGMENT_HEADER);
    put32(out + 8, SEGMENT_MAGIC);
    put32(out + 12, FORMAT);
    put64(out + 16, h->segment);
    put64(out + 24, (uint64_t)h->created_us);
    put_state(out + 32, &h->state);
    put64(out, hash64(out + 8, SPOOL_SEGMENT_HEADER - 8));
}

int spool_segment_decode(const void *p, size_t n, struct spool_segment_header *ret, struct err *err)
{
    struct reader r = reader_of(p, n);
    struct spool_segment_header h = {0};

    if (n < SPOOL_SEGMENT_HEADER)
        return err_set(err, ERR_INPUT, "the segment header is incomplete");
    uint64_t sum = reader_le64(&r);
    uint32_t magic = reader_le32(&r), format = reader_le32(&r);
    if (magic != SEGMENT_MAGIC)
        return err_set(err, ERR_INPUT, "this is not a segment of a spool");
    if (sum != hash64((const char *)p + 8, SPOOL_SEGMENT_HEADER - 8))
        return err_set(err, ERR_INPUT, "the checksum of the segment header is wrong");
    if (format != FORMAT)
        return err_set(err, ERR_UNSUPPORTED, "the segment has format %u, this program reads format %d", format, FORMAT);
    h.segment = reader_le64(&r);
    h.created_us = (int64_t)reader_le64(&r);
    h.state = read_state(&r);
    *ret = h;
    return 0;
}

void spool_frame_encode(const struct spool_frame *frame, struct buf *out)
{
    char *p = buf_reserve(out, SPOOL_FRAME_HEADER + frame->payload.n);

    assert(frame->payload.n <= SPOOL_PAYLOAD_MAX && frame->kind <= SPOOL_RESTART && p);
    put32(p, (uint32_t)frame->payload.n);
    p[4] = (char)frame->kind;
    put64(p + 5, frame->kind == SPOOL_CONTEXT ? frame->xid : frame->lsn);
    if (frame->payload.n)
        memcpy(p + SPOOL_FRAME_HEADER, frame->payload.p, frame->payload.n);
    out->n += SPOOL_FRAME_HEADER + frame->payload.n;
    out->p[out->n] = 0;
}

int spool_frame_decode(struct reader *r, struct spool_frame *ret, struct err *err)
{
    if (!r->failed && reader_left(r) == 0)
        return 1;
    uint32_t n = reader_le32(r);
    uint8_t kind = reader_u8(r);
    uint64_t lsn = reader_le64(r);
    const uint8_t *p = n <= SPOOL_PAYLOAD_MAX ? reader_bytes(r, n) : NULL;
    if (!p || kind > SPOOL_RESTART || (kind == SPOOL_CONTEXT && lsn > UINT32_MAX))
        return err_set(err, ERR_INPUT, "a frame breaks its block");
    *ret = (struct spool_frame){.kind = kind, .payload = str_make(p, n)};
    if (kind == SPOOL_CONTEXT)
        ret->xid = (uint32_t)lsn;
    else
        ret->lsn = lsn;
    return 0;
}

/* Frames are repetitive, so nearly every block shrinks; tiny or already compressed ones stay as they are. */
static size_t compress(struct spool_zstd *z, struct str raw, char *to, size_t room)
{
    if (!z->c && !(z->c = ZSTD_createCCtx()))
        return 0;
    size_t n = ZSTD_compressCCtx(z->c, to, room, raw.p, raw.n, 1);

    return ZSTD_isError(n) || n >= raw.n ? 0 : n;
}

void spool_block_encode(struct spool_zstd *z, struct spool_block *block, struct str raw, struct buf *out)
{
    assert(raw.n && raw.n <= (size_t)SPOOL_PAYLOAD_MAX + SPOOL_BLOCK_RAW);
    size_t room = ZSTD_compressBound(raw.n);
    buf_reset(out);
    char *p = buf_reserve(out, SPOOL_BLOCK_HEADER + room);
    assert(p);
    size_t stored = compress(z, raw, p + SPOOL_BLOCK_HEADER, room);

    block->flags &= ~(uint32_t)SPOOL_BLOCK_ZSTD;
    if (stored)
        block->flags |= SPOOL_BLOCK_ZSTD;
    else
        memcpy(p + SPOOL_BLOCK_HEADER, raw.p, stored = raw.n);
    block->raw_len = (uint32_t)raw.n;
    block->stored_len = (uint32_t)stored;
    memset(p, 0, SPOOL_BLOCK_HEADER);
    put32(p + 8, BLOCK_MAGIC);
    put32(p + 12, block->flags);
    put32(p + 16, block->raw_len);
    put32(p + 20, block->stored_len);
    put64(p + 24, block->segment);
    put64(p + 32, block->offset);
    put64(p + 40, block->first_lsn);
    put_state(p + 48, &block->state);
    out->n = SPOOL_BLOCK_HEADER + stored;
    put64(p, hash64(p + 8, out->n - 8));
}

int spool_block_peek(const void *p, size_t n, uint64_t segment, uint64_t offset, struct spool_block *ret,
                     struct err *err)
{
    struct reader r = reader_of(p, n);
    struct spool_block b = {0};

    if (n < SPOOL_BLOCK_HEADER)
        return err_set(err, ERR_INPUT, "the block is incomplete");
    (void)reader_le64(&r); /* the checksum: spool_block_check */
    uint32_t magic = reader_le32(&r);
    b.flags = reader_le32(&r);
    b.raw_len = reader_le32(&r);
    b.stored_len = reader_le32(&r);
    b.segment = reader_le64(&r);
    b.offset = reader_le64(&r);
    b.first_lsn = reader_le64(&r);
    b.state = read_state(&r);
    if (magic != BLOCK_MAGIC || b.segment != segment || b.offset != offset || b.flags & ~SPOOL_BLOCK_FLAGS)
        return err_set(err, ERR_INPUT, "there is no block here");
    bool sizes = b.flags & SPOOL_BLOCK_ZSTD ? b.stored_len < b.raw_len : b.stored_len == b.raw_len;
    if (!sizes || !b.stored_len || b.raw_len > (uint32_t)SPOOL_PAYLOAD_MAX + SPOOL_BLOCK_RAW)
        return err_set(err, ERR_INPUT, "the lengths of the block are impossible");
    *ret = b;
    return 0;
}

int spool_block_check(const void *p, size_t n, uint64_t segment, uint64_t offset, struct spool_block *ret,
                      struct err *err)
{
    struct spool_block b = {0};

    TRY(spool_block_peek(p, n, segment, offset, &b, err));
    if (n - SPOOL_BLOCK_HEADER < b.stored_len)
        return err_set(err, ERR_INPUT, "the block is incomplete");
    if (get64(p) != hash64((const char *)p + 8, SPOOL_BLOCK_HEADER - 8 + (size_t)b.stored_len))
        return err_set(err, ERR_INPUT, "the checksum of the block is wrong");
    *ret = b;
    return 0;
}

int spool_block_unpack(struct spool_zstd *z, const struct spool_block *block, const void *p, struct buf *raw,
                       struct err *err)
{
    const char *stored = (const char *)p + SPOOL_BLOCK_HEADER;

    buf_reset(raw);
    if (block->flags & SPOOL_BLOCK_ZSTD) {
        char *to = buf_reserve(raw, block->raw_len);
        if (!z->d)
            z->d = ZSTD_createDCtx();
        if (!z->d || !to)
            return err_set(err, ERR_INTERNAL, "cannot make a zstd decompressor");
        size_t n = ZSTD_decompressDCtx(z->d, to, block->raw_len, stored, block->stored_len);
        if (ZSTD_isError(n) || n != block->raw_len)
            return err_set(err, ERR_INPUT, "the block does not decompress");
        raw->n = n;
    } else {
        buf_add(raw, stored, block->stored_len);
    }
    return raw->failed ? err_set(err, ERR_LIMIT, "the block is too large") : 0;
}
