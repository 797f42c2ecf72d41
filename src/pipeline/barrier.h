/*
 * A meeting point of two processes: `sluice verify` learns the versions of the lake's tables at exactly one position of
 * the source, while the source goes on changing and a sync follows it.
 *
 *     verify writes <state>/barrier       sync answers in <state>/barrier.done
 *     "hold ID"                    →      commits its open epoch and stops applying      "held ID"
 *     makes a temporary slot at LSN L (all that sync has applied committed before it), exports its snapshot
 *     "until ID L"                 →      goes on; commits once more right before the
 *                                         first transaction with a commit LSN >= L       "at ID" or "passed ID"
 *
 * "at ID" is followed by a line for each table: "<oid> <version>", or "<oid> <state> <reason>" for one that cannot be
 * compared. "passed": a table has changes of L or later (the hold had ended by itself): verify begins anew with another
 * ID. Both files are replaced as a whole. Whoever dies leaves nothing behind that matters: sync holds for at most
 * BARRIER_HOLD_US and never twice for one ID; files of before its start are removed. Several verifies take turns, by a
 * lock on <state>/barrier.lock.
 */
#ifndef SLUICE_PIPELINE_BARRIER_H
#define SLUICE_PIPELINE_BARRIER_H

#include "base/buf.h"
#include "base/err.h"

enum { BARRIER_HOLD_US = 10000000, BARRIER_LOOK_US = 50000, BARRIER_ID = 40 };

/* ---- sync's side, of the apply thread ---- */

enum barrier_state { BARRIER_NONE, BARRIER_HOLDING, BARRIER_RELEASED, BARRIER_UNTIL, BARRIER_DONE };

struct barrier {
    enum barrier_state state;
    char id[BARRIER_ID]; /* of the request seen last */
    uint64_t lsn;        /* BARRIER_UNTIL */
    int64_t last_look_us, since_us;
};

struct sync;
/* Removes what an earlier process left. */
void sync_barrier_reset(struct sync *s);
/* Looks for a request now and then. *ret_hold: nothing may be applied now. */
int sync_barrier_mind(struct sync *s, bool *ret_hold, struct err *err) MUST_CHECK;
/* A transaction is about to be applied: all before it have been. */
int sync_barrier_before(struct sync *s, uint64_t commit_lsn, struct err *err) MUST_CHECK;
/* Every transaction that committed up to `lsn` has been applied and is committed in the lake. */
int sync_barrier_reached(struct sync *s, uint64_t lsn, struct err *err) MUST_CHECK;

/* ---- verify's side ---- */

/* Writes a request: "hold ID" when lsn is 0, else "until ID L". */
int barrier_ask(const char *state_dir, const char *id, uint64_t lsn, struct err *err) MUST_CHECK;
/* 0 and the rest of the answer after its first line in `ret` (*ret_passed: it was "passed"); 1: there is none to what was
 * asked last. */
int barrier_answer(const char *state_dir, const char *id, uint64_t lsn, bool *ret_passed, struct buf *ret,
                   struct err *err) MUST_CHECK;
void barrier_clear(const char *state_dir); /* takes the request back */

#endif
