/*
 * Compaction: many small files become one, and files with many masked rows are written without them, so that a table fed
 * for a day at one commit a second has a bounded number of live files and thin deletion vectors.
 *
 * Files are sorted into classes of size, a factor of four apart. When a class holds `compact_files` of them they
 * are merged, together with all smaller ones of the same partition; so a row is written again once a class, not once a commit. A compaction is
 * a Delta commit of its own that changes no data. Where the lake has a worker (lake_worker.h), it does the work while the
 * table goes on, and the commit comes between two epochs; checkpoints likewise.
 */
#include "sink/lake_merge.h"
#include "sink/lake_partition.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "delta/log/checkpoint.h"
#include "delta/log/log.h"

enum { N_CLASSES = LAKE_CLASSES - 1, SMALLEST = 16 << 10, MASKED_PERCENT = 25, MERGE_MAX = 512 };
enum { PUT_OFF_US = 30000000 };
enum { LOG_RUN = 10, LOG_RUN_MAX = 100 }; /* commits that become one file */

static int class_of(const struct lake_table *t, const struct lake_file *f)
{
    int64_t limit = SMALLEST;

    for (int c = 0; c < N_CLASSES; c++, limit *= 4)
        if (f->size < limit && limit <= t->env->target_file_bytes / 2)
            return c;
    return N_CLASSES;
}

/* A partition with a full class of files: the largest such class of it. NULL: none has one. */
static struct lake_partition *choose_partition(struct lake_table *t, int *ret_top)
{
    size_t cursor = 0;
    void *p;

    while (map_next(&t->partitions, &cursor, NULL, &p) == 0)
        memset(((struct lake_partition *)p)->in_class, 0, sizeof((struct lake_partition *)p)->in_class);
    for (cursor = 0; imap_next(&t->files, &cursor, NULL, &p) == 0;)
        ((struct lake_file *)p)->part->in_class[class_of(t, p)]++;
    for (cursor = 0; map_next(&t->partitions, &cursor, NULL, &p) == 0;)
        for (int c = N_CLASSES - 1; c >= 0; c--)
            if (((struct lake_partition *)p)->in_class[c] >= t->env->compact_files) {
                *ret_top = c;
                return p;
            }
    return NULL;
}

/* The files worth merging now: those of the largest full class of a partition and all smaller ones. */
static size_t choose_small(struct lake_table *t, uint32_t *ids)
{
    size_t cursor = 0, n = 0;
    int64_t bytes = 0;
    int top = -1;
    void *p;
    const struct lake_partition *part = choose_partition(t, &top);

    for (cursor = 0; part && n < MERGE_MAX && imap_next(&t->files, &cursor, NULL, &p) == 0;) {
        struct lake_file *f = p;
        if (f->part == part && class_of(t, f) <= top && bytes + f->size <= t->env->target_file_bytes) {
            ids[n++] = f->id;
            bytes += f->size;
        }
    }
    return n > 1 ? n : 0;
}

static uint32_t choose_masked(struct lake_table *t)
{
    size_t cursor = 0;
    void *p;

    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        struct lake_file *f = p;
        if (f->rows >= 1024 && f->masked * 100 > (uint64_t)f->rows * MASKED_PERCENT)
            return f->id;
    }
    return 0;
}

/* Upkeep for which memory did not suffice, beside other work perhaps, is put off; all else is an error. */
static int upkeep_rc(struct lake_table *t, int rc, const struct err *why, struct err *err)
{
    if (rc == ERR_LIMIT) {
        t->upkeep_not_before_us = clock_mono_us() + PUT_OFF_US;
        log_err(LOG_WARN, "upkeep_put_off", why);
        return 0;
    }
    if (rc && err)
        *err = *why;
    return rc;
}

static bool is_put_off(const struct lake_table *t)
{
    return t->upkeep_not_before_us && clock_mono_us() < t->upkeep_not_before_us;
}

static void drop_merge(struct lake_table *t)
{
    lake_merge_free(TAKE_PTR(t->merge));
}

/* What the worker has done, or failed to do, by now. */
static int take_merge(struct lake_table *t, struct err *err)
{
    struct lake_job *job = lake_merge_job(t->merge);
    struct err why = job->err;
    bool taken = false;
    int rc = job->rc;

    if (rc) {
        err_wrap(&why, "table %s, compaction", t->name);
        rc = upkeep_rc(t, rc, &why, err);
    } else {
        rc = lake_merge_take(t, t->merge, false, &taken, err);
    }
    drop_merge(t);
    if (rc || !taken)
        return rc;
    log_debug("compacted", "table=%s files=%zu", t->name, t->files.n);
    return lake_commit_compaction(t, err);
}

static int begin_merge(struct lake_table *t, const uint32_t *ids, size_t n, struct err *err)
{
    struct lake_worker *worker = t->env->worker;

    TRY(lake_merge_prepare(t, ids, n, NULL, &t->merge, err));
    struct lake_job *job = lake_merge_job(t->merge);
    if (worker) {
        lake_worker_submit(worker, job);
        return 0;
    }
    job->rc = job->run(job, t->env->conn, &job->err);
    return take_merge(t, err);
}

int lake_compact(struct lake_table *t, struct err *err)
{
    uint32_t ids[MERGE_MAX];

    if (!t->env->compact_files)
        return 0;
    if (t->merge)
        return lake_worker_is_done(t->env->worker, lake_merge_job(t->merge)) ? take_merge(t, err) : 0;
    if (is_put_off(t))
        return 0;
    size_t n = choose_small(t, ids);
    if (!n && (ids[0] = choose_masked(t)))
        n = 1;
    return n ? begin_merge(t, ids, n, err) : 0;
}

/* ---- checkpoints, and runs of commits in one file ---- */

struct lake_checkpoint {
    struct lake_job job;                 /* first */
    struct delta_checkpoint *checkpoint; /* NULL: commits first to last are written as one file */
    struct store *store;
    int64_t first, last;
};

static int checkpoint_run(struct lake_job *job, struct engine_conn *conn, struct err *err)
{
    struct lake_checkpoint *c = (struct lake_checkpoint *)job;
    bool written;

    (void)conn; /* it has its own */
    if (!c->checkpoint) {
        TRY(delta_log_compact(c->store, c->first, c->last, &written, err));
        crash_point("log_compacted");
        return 0;
    }
    TRY(delta_checkpoint_finish(c->checkpoint, err));
    crash_point("checkpoint_written");
    return 0;
}

static void drop_checkpoint(struct lake_table *t)
{
    struct lake_checkpoint *c = TAKE_PTR(t->checkpoint);

    if (c)
        delta_checkpoint_free(c->checkpoint);
    mem_free(c);
}

static int take_checkpoint(struct lake_table *t, struct err *err)
{
    struct err why = t->checkpoint->job.err;
    int rc = t->checkpoint->job.rc;

    drop_checkpoint(t);
    return upkeep_rc(t, rc, &why, err);
}

/* The commits since the last checkpoint, or the last such file, when there are enough. Not the newest one, which a power cut
 * may still take. */
static bool log_run(struct lake_table *t, int64_t *ret_first, int64_t *ret_last)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = delta_table_snapshot(t->delta);
    int64_t since = MAX(t->delta->last_checkpoint, t->compacted_to);

    *ret_first = since + 1;
    *ret_last = s->version - 1;
    t->compacted_to = MAX(t->compacted_to, *ret_last - LOG_RUN_MAX);
    return *ret_last - since >= LOG_RUN && *ret_last - since <= LOG_RUN_MAX;
}

int lake_checkpoint(struct lake_table *t, struct err *err)
{
    struct lake_worker *worker = t->env->worker;
    struct lake_checkpoint c = {.job = {.run = checkpoint_run}, .store = t->store};

    if (t->checkpoint)
        return lake_worker_is_done(worker, &t->checkpoint->job) ? take_checkpoint(t, err) : 0;
    if (is_put_off(t))
        return 0;
    if (delta_checkpoint_is_due(t->delta))
        c.checkpoint = delta_checkpoint_begin(t->delta);
    else if (log_run(t, &c.first, &c.last))
        t->compacted_to = c.last;
    else
        return 0;
    t->checkpoint = mem_dup(&c, sizeof c);
    if (worker) {
        lake_worker_submit(worker, &t->checkpoint->job);
        return 0;
    }
    t->checkpoint->job.rc = checkpoint_run(&t->checkpoint->job, NULL, &t->checkpoint->job.err);
    return take_checkpoint(t, err);
}

/* ---- what the worker has in hand ---- */

static bool is_quiet(const struct lake_table *t)
{
    return t->state == LAKE_STREAMING && !t->dirty;
}

int lake_table_mind(struct lake_table *t, struct err *err)
{
    if (t->merge && is_quiet(t) && lake_worker_is_done(t->env->worker, lake_merge_job(t->merge)))
        TRY(take_merge(t, err));
    if (t->checkpoint && lake_worker_is_done(t->env->worker, &t->checkpoint->job))
        TRY(take_checkpoint(t, err));
    return 0;
}

int lake_table_finish(struct lake_table *t, struct err *err)
{
    if (t->merge)
        lake_worker_wait(t->env->worker, lake_merge_job(t->merge));
    if (t->checkpoint)
        lake_worker_wait(t->env->worker, &t->checkpoint->job);
    return lake_table_mind(t, err);
}

void lake_table_stop_work(struct lake_table *t)
{
    if (t->merge) {
        struct lake_job *job = lake_merge_job(t->merge);
        lake_worker_cancel(t->env->worker, job);
        if (job->rc == 0)
            lake_merge_discard(t->merge);
    }
    if (t->checkpoint)
        lake_worker_cancel(t->env->worker, &t->checkpoint->job);
    drop_merge(t);
    drop_checkpoint(t);
}
