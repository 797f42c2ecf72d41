/*
 * replay → decode → assemble: the spool's frames, transaction by transaction, into the sink.
 *
 * Transactions arrive whole, in commit order. A transaction that the server streamed while it was in progress stands in
 * the spool in pieces; the places of the pieces are noted as they go by, and read again when its commit comes, without
 * the rows of sub-transactions that were rolled back. So a transaction of any size costs memory for its places only, and a
 * rolled back one costs nothing.
 */
#ifndef SLUICE_PIPELINE_APPLY_H
#define SLUICE_PIPELINE_APPLY_H

#include "base/map.h"
#include "source/pg_epoch.h"
#include "spool/spool.h"

struct apply_stream;

struct apply {
    struct spool *spool;         /* borrowed */
    struct pg_epoch *epoch;      /* borrowed */
    struct spool_reader *reader; /* the main one */
    struct spool_reader *again;  /* reads pieces of streamed transactions again */
    struct imap streams;         /* xid → struct apply_stream * */
    bool in_stream;              /* between S and E */
    struct spool_pos at;         /* of the frame last read … */
    uint64_t n_frames;           /* … and how many were read; goes on when they are read again */
    /* The last whole transaction: what a commit of the epoch stands for. */
    uint64_t commit_lsn, end_lsn;
    int64_t commit_us;
    uint64_t n_transactions;
    uint64_t n_interrupt;         /* frames read since the caller was last asked */
    bool (*interrupt)(void *ctx); /* asked now and then inside a long transaction: true ends it with ERR_CANCELLED */
    /* A transaction is about to be applied; all before it have been. May be NULL. */
    int (*before)(void *ctx, uint64_t commit_lsn, struct err *err);
    void *ctx;
};

int apply_open(struct apply *a, struct spool *spool, struct pg_epoch *epoch, struct err *err) MUST_CHECK;
void apply_deinit(struct apply *a);
/* Starts over at the oldest frame kept: the sink skips what it has. */
int apply_rewind(struct apply *a, struct err *err) MUST_CHECK;
/* Goes on to the end of the next transaction: 0, or 1 when nothing more is readable now. */
int apply_next(struct apply *a, struct err *err) MUST_CHECK;
/* The oldest frame that a restart would need besides those after `end_lsn`. */
struct spool_pos apply_oldest_needed(const struct apply *a);

#endif
