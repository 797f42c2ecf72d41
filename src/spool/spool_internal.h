/*
 * What the files of the spool share.
 *
 * One mutex guards what crosses threads: the list of segments, the readable end, trim limits and statistics. Bytes
 * before the readable end never change until their segment is trimmed, so readers read files without the mutex.
 */
#ifndef SLUICE_SPOOL_SPOOL_INTERNAL_H
#define SLUICE_SPOOL_SPOOL_INTERNAL_H

#include "base/map.h"
#include "base/mem.h"
#include "spool/spool.h"

#include <pthread.h>

struct spool_segment {
    uint64_t segment;
    uint64_t bytes;
    struct spool_state start;
};

/* The Relation and Type messages that a reader of the next segment has to know, see spool_context.c. */
struct spool_context {
    struct imap relations, types; /* xid << 32 | OID → struct definition; xid 0: known to all */
    size_t bytes;
    uint64_t arrivals;
    size_t n_streamed; /* entries with an xid */
    uint32_t xid;      /* of the chunk that is open, else 0 */
};

void spool_context_clear(struct spool_context *c);
void spool_context_note(struct spool_context *c, const struct spool_frame *frame);
/* All entries as context frames, in the order that they arrived: calls `add` for each until it fails. */
int spool_context_each(const struct spool_context *c, int (*add)(void *arg, const struct spool_frame *, struct err *),
                       void *arg, struct err *err) MUST_CHECK;

/* The end of something in the log: the next byte of a file. {0, 0} = nothing yet. */
struct spool_end {
    uint64_t segment, offset;
};

struct spool {
    char *dir;
    uint64_t segment_bytes, quota_bytes;
    int64_t patience_us;
    int lock_fd, mark_fd;

    /* Any thread, under the mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t more;             /* `readable` moved, or woken */
    struct spool_segment *segments;  /* oldest first, without gaps; writer alone appends */
    size_t n_segments, cap_segments; /* the last is the one being written */
    struct spool_end readable;
    uint64_t readable_end_lsn;
    uint64_t trim_lsn;
    struct spool_pos trim_pos;
    bool woken;
    struct spool_stats stats;

    /* Writer thread only. */
    int fd;                               /* the newest segment, or -1 when there is none */
    uint64_t segment, offset, data_start; /* its number, end, and end of its context */
    bool ends_clean;                      /* the file ends outside of any transaction and chunk */
    bool cut_needed;                      /* a failed write left bytes after `offset` */
    bool failed;              /* a sync or cut failed: what the disk holds is unknown, nothing more is written */
    struct spool_state state; /* at the last boundary, be it in `raw` or in the file */
    struct spool_state filed; /* at the last boundary in the file */
    struct spool_end synced;  /* readable end at the last fdatasync */
    uint64_t durable_end_lsn;
    bool in_transaction, in_stream;
    struct buf raw;         /* frames not yet in the file */
    size_t boundary, clean; /* ends of the last boundary and clean point in `raw`, 0 = none */
    struct spool_context context;
    struct spool_zstd *zstd;
    struct buf out;
    struct spool_pos stuck_pos; /* over the quota: where trimming stood, and since when */
    struct spool_end stuck_end;
    int64_t stuck_since_us;
};

char *spool_segment_path(const struct spool *spool, uint64_t segment); /* free with mem_free */
/* Opens a segment and reads its header; damage is ERR_INPUT, with the file and what to do. `*ret_fd` is the caller's. */
int spool_segment_open(const struct spool *spool, uint64_t segment, int *ret_fd, struct spool_segment_header *ret,
                       struct err *err) MUST_CHECK;
/* Wraps an error about a place in a segment: names both and says what to do. */
int spool_damage(const struct spool *spool, uint64_t segment, uint64_t offset, struct err *err);
/* pread until n bytes or the end of the file; returns what was read, or ERR_IO. */
int64_t spool_pread(int fd, void *p, size_t n, uint64_t offset, const char *path, struct err *err);
int spool_pwrite(int fd, const void *p, size_t n, uint64_t offset, const char *path, struct err *err) MUST_CHECK;
/* Notes in the file `synced` that all up to this end is on disk: see spool_recover.c. */
void spool_mark_write(struct spool *spool, struct spool_end end);
/* Brings the folder to the end of its last whole transaction and fills in segments and state. */
int spool_recover(struct spool *spool, struct err *err) MUST_CHECK;
/* Deletes what may be deleted. The mutex is held. */
int spool_trim_locked(struct spool *spool, struct err *err) MUST_CHECK;
/* Cuts the log back to `end` and opens that segment for writing; {0, 0}: removes all. */
int spool_cut(struct spool *spool, struct spool_end end, struct err *err) MUST_CHECK;

#endif
