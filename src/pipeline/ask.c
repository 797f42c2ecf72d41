/*
 * Questions to the catalog, which the apply thread asks between two epochs. The server answers some of them (sizes, partitions, what is
 * published) only when it gets a lock on the tables; one that is being rewritten, or altered in a transaction that is open, has none to
 * give for as long as that takes. The others must not wait for it: so locks are waited for in moments only, and what can be asked
 * later, is.
 */
#include "pipeline/run.h"

#include "base/clock.h"
#include "base/log.h"

#include <poll.h>

enum { ASK_AGAIN_US = 1000000 };

bool sync_is_stopping(const struct sync *s)
{
    struct pollfd p = {.fd = s->o->stop_fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

bool sync_is_locked(const struct err *err)
{
    return strcmp(err->sqlstate, "55P03") == 0;
}

int sync_connect(struct sync *s, enum sync_patience patience, struct err *err)
{
    if (!s->conn)
        TRY(pg_conn_open(s->o->url, PG_CONN_SQL, s->o->stop_fd, &s->conn, err));
    return pg_exec(s->conn, patience == SYNC_QUICK ? "SET lock_timeout = '100ms'" : "SET lock_timeout = '5s'", err);
}

int sync_told_who_locks(struct sync *s, int rc, struct err *err)
{
    CLEANUP(buf_deinit) struct buf who = {0};

    if (rc >= 0 || !sync_is_locked(err) || pg_lock_holders(s->conn, &who, NULL) || !who.n)
        return rc;
    return err_wrap(err, "waiting for a lock at the source, held by %s", who.p);
}

int sync_ask_once(struct sync *s, int (*ask)(struct sync *s, void *arg, struct err *err), void *arg, struct err *err)
{
    struct err why;

    for (;;) {
        int rc = s->conn ? 0 : sync_connect(s, SYNC_QUICK, &why);
        if (rc == 0)
            rc = ask(s, arg, &why);
        if (rc == 0)
            return 0;
        rc = sync_told_who_locks(s, rc, &why);
        if (rc != ERR_NET || sync_is_stopping(s)) {
            if (err)
                *err = why;
            return rc;
        }
        log_err(LOG_WARN, "catalog_lost", &why);
        pg_conn_free(TAKE_PTR(s->conn));
        clock_sleep_us(ASK_AGAIN_US);
    }
}

int sync_ask(struct sync *s, int (*ask)(struct sync *s, void *arg, struct err *err), void *arg, struct err *err)
{
    struct err why;
    bool told = false;

    for (;;) {
        int rc = sync_ask_once(s, ask, arg, &why);
        if (rc == 0)
            return 0;
        if (!sync_is_locked(&why) || sync_is_stopping(s)) {
            if (err)
                *err = why;
            return rc;
        }
        if (!told)
            log_err(LOG_WARN, "catalog_locked", &why);
        told = true;
        clock_sleep_us(ASK_AGAIN_US);
    }
}
