/*
 * Sessions of a copy, one a worker. All of them see one snapshot, which the server keeps for as long as any of them is open: one that is
 * lost is opened again by what another exports.
 *
 * A session belongs to its worker's thread; what is shared are the names of the snapshots.
 */
#ifndef SLUICE_PIPELINE_COPY_SESSION_H
#define SLUICE_PIPELINE_COPY_SESSION_H

#include "source/pg_snapshot.h"

#include <pthread.h>
#include <stdatomic.h>

struct copy_session {
    struct copy_sessions *all;
    struct pg_session *pg;           /* NULL: lost, or not opened yet */
    char snapshot[PG_SNAPSHOT_NAME]; /* that it exports; "" without `pg`. Under the mutex */
};

struct copy_sessions {
    const char *url;
    int stop_fd;
    const atomic_bool *stop; /* the copy ends: nothing is opened again */
    pthread_mutex_t mutex;
    struct copy_session *v;
    unsigned n;
};

/* None is open yet. Borrows the texts and `stop`. */
void copy_sessions_init(struct copy_sessions *s, unsigned n, const char *url, int stop_fd, const atomic_bool *stop);
void copy_sessions_deinit(struct copy_sessions *s); /* takes a zeroed one */
/* Is any session still open, as far as its worker has noticed? */
bool copy_sessions_are_left(struct copy_sessions *s);

/* Errors: pg_session_open()'s. */
int copy_session_open(struct copy_session *s, const char *snapshot, struct err *err) MUST_CHECK;
void copy_session_close(struct copy_session *s);
/* Tries until one is open. ERR_NET: all are lost, and the snapshot with them; ERR_CANCELLED. */
int copy_session_open_again(struct copy_session *s, struct err *err) MUST_CHECK;
/* Does the error say that whoever exported the snapshot is gone? */
bool copy_snapshot_is_gone(const struct err *err);

#endif
