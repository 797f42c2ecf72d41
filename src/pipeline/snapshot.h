/*
 * A snapshot of the source, with the position that it stands at. The server makes it when all transactions that are open at
 * the moment have ended, which can take hours: so it is asked for on a thread of its own, and changes flow on.
 */
#ifndef SLUICE_PIPELINE_SNAPSHOT_H
#define SLUICE_PIPELINE_SNAPSHOT_H

#include "source/pg_slot.h"

#include <pthread.h>
#include <stdatomic.h>

struct snapshot {
    const char *url, *slot; /* borrowed; no slot: a temporary one that goes with `owner` */
    int stop_fd;
    int64_t begun_us;
    pthread_t thread;
    bool started;
    atomic_bool done;
    int rc;
    struct err err;
    /* Once it is there: */
    struct pg_conn *owner; /* exports it, as long as it is open */
    uint64_t lsn;
    char name[PG_SNAPSHOT_NAME];
};

/* Asks for it, and for the slot of that name (NULL: none that stays). Ends with ERR_CANCELLED when stop_fd can be read. */
int snapshot_begin(const char *url, const char *slot, int stop_fd, struct snapshot **ret, struct err *err) MUST_CHECK;
/* 1: it is there; 0: not yet. */
int snapshot_poll(struct snapshot *s, struct err *err) MUST_CHECK;
/* How long it has been asked for. */
int64_t snapshot_age_us(const struct snapshot *s);
/* Waits for the thread. Takes NULL. */
void snapshot_free(struct snapshot *s);
DEFINE_FREEP(snapshot)

#endif
