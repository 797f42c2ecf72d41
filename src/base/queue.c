/* A ring under one mutex and one condition; waits use the monotonic clock. */
#include "base/queue.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

void queue_init(struct queue *q, size_t cap)
{
    pthread_condattr_t attr;

    assert(cap > 0);
    *q = (struct queue){.cap = cap, .items = MEM_NEW_N(void *, cap)};
    pthread_mutex_init(&q->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->changed, &attr);
    pthread_condattr_destroy(&attr);
}

void queue_deinit(struct queue *q)
{
    if (!q->items)
        return;
    assert(q->n == 0);
    pthread_mutex_destroy(&q->mutex);
    pthread_cond_destroy(&q->changed);
    mem_free(q->items);
    *q = (struct queue){0};
}

bool queue_push(struct queue *q, void *item)
{
    pthread_mutex_lock(&q->mutex);
    while (q->n == q->cap && !q->closed)
        pthread_cond_wait(&q->changed, &q->mutex);
    bool ok = !q->closed;
    if (ok) {
        q->items[(q->head + q->n++) % q->cap] = item;
        pthread_cond_broadcast(&q->changed);
    }
    pthread_mutex_unlock(&q->mutex);
    return ok;
}

void *queue_pop(struct queue *q, int64_t timeout_us)
{
    int64_t until = clock_mono_us() + (timeout_us > 0 ? timeout_us : 0);
    struct timespec ts = {until / 1000000, until % 1000000 * 1000};
    void *item = NULL;

    pthread_mutex_lock(&q->mutex);
    while (q->n == 0 && !q->closed && timeout_us != 0) {
        if (timeout_us < 0)
            pthread_cond_wait(&q->changed, &q->mutex);
        else if (pthread_cond_timedwait(&q->changed, &q->mutex, &ts) == ETIMEDOUT)
            break;
    }
    if (q->n) {
        item = q->items[q->head];
        q->head = (q->head + 1) % q->cap;
        q->n--;
        pthread_cond_broadcast(&q->changed);
    }
    pthread_mutex_unlock(&q->mutex);
    return item;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->closed = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->mutex);
}

bool queue_is_done(struct queue *q)
{
    pthread_mutex_lock(&q->mutex);
    bool done = q->closed && q->n == 0;
    pthread_mutex_unlock(&q->mutex);
    return done;
}
