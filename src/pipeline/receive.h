/*
 * The source thread: replication stream → spool, acknowledging what is durable. Reconnects with backoff; ends only on
 * request or on an error that waiting cannot mend.
 */
#ifndef SLUICE_PIPELINE_RECEIVE_H
#define SLUICE_PIPELINE_RECEIVE_H

#include "base/err.h"
#include "spool/spool.h"

#include <pthread.h>
#include <stdatomic.h>

struct receive_config {
    const char *url, *slot, *publication;
    bool inserts;          /* the publication beside it is there */
    const char *state_dir; /* <state>/confirmed holds what was acknowledged past the last commit in the spool */
    uint64_t start_lsn;    /* the slot's consistent point: where to begin when the spool is empty */
    uint64_t system_id;
    bool binary;
    bool heartbeat;
    int stop_fd;
    struct spool *spool;
};

struct receive {
    struct receive_config config;
    pthread_t thread;
    bool started;
    atomic_bool ended;
    struct err err;                 /* why it ended; read after `ended` */
    atomic_uint_least64_t seen_lsn; /* every transaction that committed up to here can be read from the spool */
    atomic_uint_least64_t server_lsn, durable_lsn;
    atomic_uint_least64_t frames, bytes;
    atomic_bool connected, silent; /* the server does not answer */
    /* of the thread */
    uint64_t keepalive_lsn; /* newest end of WAL that the server named when nothing was left to send */
    uint64_t noted_lsn;     /* in <state>/confirmed */
    int64_t last_sync_us, last_heartbeat_us, last_note_us;
    atomic_uint timeline; /* in <state>/timeline: of what was received; 0 = not known */
    char *note_path, *timeline_path;
    struct pg_conn *heart;
    unsigned stalls; /* connections that brought nothing, one after the other */
};

int receive_start(struct receive *r, const struct receive_config *config, struct err *err) MUST_CHECK;
void receive_stop(struct receive *r); /* waits for the thread; stop_fd must be readable, or the thread have ended */

#endif
