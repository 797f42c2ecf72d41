/* A thread that asks for the snapshot, and is looked at now and then. */
#include "pipeline/snapshot.h"

#include "base/clock.h"
#include "base/mem.h"

static int make(struct snapshot *s, struct err *err)
{
    TRY(pg_conn_open(s->url, PG_CONN_REPLICATION, s->stop_fd, &s->owner, err));
    return s->slot ? pg_slot_create(s->owner, s->slot, &s->lsn, s->name, err)
                   : pg_slot_create_temporary(s->owner, &s->lsn, s->name, err);
}

static void *run(void *arg)
{
    struct snapshot *s = arg;

    s->rc = make(s, &s->err);
    s->done = true;
    return NULL;
}

int snapshot_begin(const char *url, const char *slot, int stop_fd, struct snapshot **ret, struct err *err)
{
    CLEANUP(snapshot_freep) struct snapshot *s = MEM_NEW(struct snapshot);

    s->url = url;
    s->slot = slot;
    s->stop_fd = stop_fd;
    s->begun_us = clock_mono_us();
    if (pthread_create(&s->thread, NULL, run, s))
        return err_set(err, ERR_INTERNAL, "cannot start a thread");
    s->started = true;
    *ret = TAKE_PTR(s);
    return 0;
}

int snapshot_poll(struct snapshot *s, struct err *err)
{
    if (!s->done)
        return 0;
    if (s->rc && err)
        *err = s->err;
    return s->rc ? s->rc : 1;
}

int64_t snapshot_age_us(const struct snapshot *s)
{
    return clock_mono_us() - s->begun_us;
}

void snapshot_free(struct snapshot *s)
{
    if (!s)
        return;
    if (s->started)
        pthread_join(s->thread, NULL);
    pg_conn_free(s->owner);
    mem_free(s);
}
