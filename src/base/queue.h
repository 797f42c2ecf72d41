/*
 * A bounded queue of pointers between threads. Pushing moves ownership to the one who pops. Closing wakes everyone:
 * pushes then fail, pops give what is left and then fail.
 */
#ifndef SLUICE_BASE_QUEUE_H
#define SLUICE_BASE_QUEUE_H

#include "base/macros.h"

#include <pthread.h>

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    void **items;
    size_t cap, head, n;
    bool closed;
};

void queue_init(struct queue *q, size_t cap);
void queue_deinit(struct queue *q); /* must be empty */
/* Waits for room. False when the queue is closed: the caller keeps the item. */
MUST_CHECK bool queue_push(struct queue *q, void *item);
/* Waits for an item up to timeout_us (< 0: for ever, 0: not at all). NULL on timeout, or closed and empty. */
void *queue_pop(struct queue *q, int64_t timeout_us);
void queue_close(struct queue *q);
bool queue_is_done(struct queue *q); /* closed and empty */

#endif
