/* Questions to the source's catalog, and whether anybody wants us to end. */
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

int sync_ask(struct sync *s, int (*ask)(struct sync *s, void *arg, struct err *err), void *arg, struct err *err)
{
    struct err why;

    for (;;) {
        int rc = 0;
        if (!s->conn)
            rc = pg_conn_open(s->o->url, PG_CONN_SQL, s->o->stop_fd, &s->conn, &why);
        if (rc == 0)
            rc = ask(s, arg, &why);
        if (rc == 0)
            return 0;
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
