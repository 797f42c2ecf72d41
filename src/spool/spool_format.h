/*
 * The bytes of the spool: frames, blocks, segment headers. Pure (bytes in, structs out): no files, no clock, no
 * threads. The drawings are in spool_format.c. All integers are little-endian.
 */
#ifndef SLUICE_SPOOL_SPOOL_FORMAT_H
#define SLUICE_SPOOL_SPOOL_FORMAT_H

#include "base/buf.h"
#include "base/err.h"

enum {
    SPOOL_SEGMENT_HEADER = 64,
    SPOOL_BLOCK_HEADER = 80,
    SPOOL_FRAME_HEADER = 13,
    SPOOL_BLOCK_RAW = 256 * 1024, /* a block's frames; only a single larger frame makes a larger block */
    SPOOL_PAYLOAD_MAX = 1 << 30,  /* PostgreSQL's own limit of a message */
};

enum spool_kind {
    SPOOL_DATA,    /* a message as the server sent it */
    SPOOL_CONTEXT, /* a Relation or Type message that was sent before the segment began */
    SPOOL_RESTART, /* the connection was made anew here: see spool_restart_marker */
};

struct spool_frame {
    uint64_t lsn; /* WAL start of the message as the server gave it; 0 in context frames and markers */
    struct str payload;
    enum spool_kind kind;
    uint32_t xid; /* context frames only: known only within this streamed transaction (0: to everyone) */
};

/* How far the log is, in the source's terms: of the last transaction end before some point. */
struct spool_state {
    uint64_t commit_lsn;  /* of the last top-level commit (or prepare, rollback prepared) */
    uint64_t end_lsn;     /* its end: from where to ask the server again */
    uint64_t message_lsn; /* newest non-transactional message since, 0 = none */
};

struct spool_segment_header {
    uint64_t segment;
    int64_t created_us;       /* wall clock */
    struct spool_state state; /* at its start, that is, at the end of the segment before */
};

enum {
    SPOOL_BLOCK_ZSTD = 1u << 0,
    SPOOL_BLOCK_BOUNDARY = 1u << 1, /* ends where readers may stop: after a commit, abort, lone message or marker */
    SPOOL_BLOCK_CLEAN = 1u << 2,    /* ends outside any transaction and streamed chunk: a segment may end here */
    SPOOL_BLOCK_CONTEXT = 1u << 3,  /* context frames; only at the start of a segment */
    SPOOL_BLOCK_FLAGS = 15,
};

struct spool_block {
    uint32_t flags, raw_len, stored_len;
    uint64_t segment, offset; /* where the block stands */
    uint64_t first_lsn;
    struct spool_state state; /* at the block's end */
};

void spool_segment_encode(const struct spool_segment_header *h, char out[SPOOL_SEGMENT_HEADER]);
/* ERR_INPUT when it is short, damaged or of another format (ERR_UNSUPPORTED when of a newer one). */
int spool_segment_decode(const void *p, size_t n, struct spool_segment_header *ret, struct err *err) MUST_CHECK;

void spool_frame_encode(const struct spool_frame *frame, struct buf *out);
/* 0 and the next frame (payload borrowed from the reader's bytes), 1 at the end, ERR_INPUT. */
int spool_frame_decode(struct reader *r, struct spool_frame *ret, struct err *err) MUST_CHECK;

struct spool_zstd; /* compressor and decompressor, made when first needed; of one thread */
struct spool_zstd *spool_zstd_new(void);
void spool_zstd_free(struct spool_zstd *z);
/* Replaces `out` by the whole block of these frames. Fills in block->raw_len, stored_len and SPOOL_BLOCK_ZSTD. */
void spool_block_encode(struct spool_zstd *z, struct spool_block *block, struct str raw, struct buf *out);
/* Reads a header, unproven, and checks what can be: place and lengths. Tells how much to read for spool_block_check. */
int spool_block_peek(const void *p, size_t n, uint64_t segment, uint64_t offset, struct spool_block *ret,
                     struct err *err) MUST_CHECK;
/* Proves the whole block (header and stored bytes) at p, of which n bytes are there. */
int spool_block_check(const void *p, size_t n, uint64_t segment, uint64_t offset, struct spool_block *ret,
                      struct err *err) MUST_CHECK;
/* The frames of a block that was checked: replaces `raw`. `p` is the start of the block. */
int spool_block_unpack(struct spool_zstd *z, const struct spool_block *block, const void *p, struct buf *raw,
                       struct err *err) MUST_CHECK;

#endif
