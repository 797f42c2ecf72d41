/*
 * A thread for work on the lake that need not be waited for: merges of files, checkpoints.
 *
 * One thread, one job at a time, in order. The apply thread prepares a job, submits it, looks now and then whether it is
 * done, and takes its result: nothing but the job passes between the two.
 */
#ifndef SLUICE_SINK_LAKE_WORKER_H
#define SLUICE_SINK_LAKE_WORKER_H

#include "base/err.h"
#include "engine/engine.h"

struct lake_worker;

/* The first member of what is to be done. The fields are the worker's until the job is done. */
struct lake_job {
    int (*run)(struct lake_job *job, struct engine_conn *conn, struct err *err);
    int rc; /* what run() returned, ERR_CANCELLED when it never ran */
    struct err err;
    enum lake_job_state { LAKE_JOB_IDLE, LAKE_JOB_QUEUED, LAKE_JOB_RUNNING, LAKE_JOB_DONE } state;
    struct lake_job *next;
};

int lake_worker_new(struct engine *engine, struct lake_worker **ret, struct err *err) MUST_CHECK;
void lake_worker_free(struct lake_worker *w); /* all jobs must be done; takes NULL */
DEFINE_FREEP(lake_worker)

void lake_worker_submit(struct lake_worker *w, struct lake_job *job);
bool lake_worker_is_done(struct lake_worker *w, const struct lake_job *job);
void lake_worker_wait(struct lake_worker *w, struct lake_job *job);
/* Takes it off the queue, or interrupts it and waits for its end. */
void lake_worker_cancel(struct lake_worker *w, struct lake_job *job);

#endif
