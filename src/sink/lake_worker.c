/* The worker's queue and loop. */
#include "sink/lake_worker.h"

#include "base/mem.h"

#include <assert.h>
#include <pthread.h>

struct lake_worker {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct lake_job *first, **last; /* waiting, and where the next is hung on */
    bool stop;
    struct engine_conn *conn;
    pthread_t thread;
};

static struct lake_job *next_job(struct lake_worker *w)
{
    while (!w->first && !w->stop)
        pthread_cond_wait(&w->changed, &w->mutex);
    struct lake_job *job = w->first;
    if (!job)
        return NULL;
    w->first = job->next;
    if (!w->first)
        w->last = &w->first;
    job->state = LAKE_JOB_RUNNING;
    return job;
}

static void *worker_main(void *arg)
{
    struct lake_worker *w = arg;
    struct lake_job *job;

    pthread_mutex_lock(&w->mutex);
    while ((job = next_job(w))) {
        pthread_mutex_unlock(&w->mutex);
        job->rc = job->run(job, w->conn, &job->err);
        pthread_mutex_lock(&w->mutex);
        job->state = LAKE_JOB_DONE;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

int lake_worker_new(struct engine *engine, struct lake_worker **ret, struct err *err)
{
    CLEANUP(engine_conn_freep) struct engine_conn *conn = NULL;

    TRY(engine_connect(engine, &conn, err));
    struct lake_worker *w = MEM_NEW(struct lake_worker);
    w->last = &w->first;
    w->conn = TAKE_PTR(conn);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    if (pthread_create(&w->thread, NULL, worker_main, w)) {
        engine_conn_free(w->conn);
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->mutex);
        mem_free(w);
        return err_set(err, ERR_IO, "cannot start a thread");
    }
    *ret = w;
    return 0;
}

void lake_worker_free(struct lake_worker *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    assert(!w->first);
    w->stop = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    engine_conn_free(w->conn);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    mem_free(w);
}

void lake_worker_submit(struct lake_worker *w, struct lake_job *job)
{
    pthread_mutex_lock(&w->mutex);
    assert(job->state == LAKE_JOB_IDLE);
    job->state = LAKE_JOB_QUEUED;
    job->next = NULL;
    *w->last = job;
    w->last = &job->next;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

bool lake_worker_is_done(struct lake_worker *w, const struct lake_job *job)
{
    pthread_mutex_lock(&w->mutex);
    bool done = job->state == LAKE_JOB_DONE;
    pthread_mutex_unlock(&w->mutex);
    return done;
}

static void wait_locked(struct lake_worker *w, const struct lake_job *job)
{
    while (job->state != LAKE_JOB_DONE)
        pthread_cond_wait(&w->changed, &w->mutex);
}

void lake_worker_wait(struct lake_worker *w, struct lake_job *job)
{
    pthread_mutex_lock(&w->mutex);
    assert(job->state != LAKE_JOB_IDLE);
    wait_locked(w, job);
    pthread_mutex_unlock(&w->mutex);
}

static void unlink_locked(struct lake_worker *w, struct lake_job *job)
{
    struct lake_job **at = &w->first;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    if (w->last == &job->next)
        w->last = at;
    job->rc = err_set(&job->err, ERR_CANCELLED, "stopped");
    job->state = LAKE_JOB_DONE;
}

void lake_worker_cancel(struct lake_worker *w, struct lake_job *job)
{
    pthread_mutex_lock(&w->mutex);
    if (job->state == LAKE_JOB_QUEUED)
        unlink_locked(w, job);
    if (job->state == LAKE_JOB_RUNNING)
        engine_interrupt(w->conn);
    wait_locked(w, job);
    pthread_mutex_unlock(&w->mutex);
}
