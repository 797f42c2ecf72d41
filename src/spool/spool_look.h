/*
 * A spool as seen from outside, by another process than the one that has it open: nothing is written, cut or locked.
 *
 * While a sync runs, blocks are added and whole segments go away as one looks; a torn block at the end of the newest
 * segment is then its end.
 */
#ifndef SLUICE_SPOOL_SPOOL_LOOK_H
#define SLUICE_SPOOL_SPOOL_LOOK_H

#include "spool/spool_format.h"

struct spool_look {
    bool in_use; /* a process has it open … */
    int pid;     /* … this one; 0 unknown */
    uint64_t n_segments, first_segment, last_segment;
    uint64_t disk_bytes;
};

/* A folder that does not exist is an empty spool. */
int spool_look(const char *dir, struct spool_look *ret, struct err *err) MUST_CHECK;

/* What a walk shows; members may be NULL. A result other than 0 ends the walk and is returned. */
struct spool_visitor {
    int (*segment)(void *ctx, const struct spool_segment_header *header, uint64_t bytes, struct err *err);
    int (*block)(void *ctx, const struct spool_block *block, struct err *err);
    int (*frame)(void *ctx, const struct spool_block *block, uint32_t offset, const struct spool_frame *frame,
                 struct err *err);
    int (*torn)(void *ctx, uint64_t segment, uint64_t offset, uint64_t bytes, const struct err *why, struct err *err);
    void *ctx;
};
/* Oldest first, from segment `from` on (0: all). Segments that vanish meanwhile are passed over. */
int spool_walk(const char *dir, uint64_t from, const struct spool_visitor *v, struct err *err) MUST_CHECK;

/* Commit LSN of the last whole transaction in it, 0 when there was never one. */
int spool_look_last_commit(const char *dir, uint64_t *ret_lsn, struct err *err) MUST_CHECK;

#endif
