/* A session that is lost costs a moment, as long as another one has the snapshot. */
#include "pipeline/copy_session.h"

#include "base/log.h"
#include "base/mem.h"

#include <poll.h>

enum { AGAIN_MS = 100, AGAIN_MS_MAX = 5000 };

void copy_sessions_init(struct copy_sessions *s, unsigned n, const char *url, int stop_fd, const atomic_bool *stop)
{
    *s = (struct copy_sessions){.url = url, .stop_fd = stop_fd, .stop = stop, .n = n};
    pthread_mutex_init(&s->mutex, NULL);
    s->v = MEM_NEW_N(struct copy_session, n);
    for (unsigned i = 0; i < n; i++)
        s->v[i].all = s;
}

void copy_sessions_deinit(struct copy_sessions *s)
{
    if (!s->v)
        return;
    for (unsigned i = 0; i < s->n; i++)
        pg_session_free(s->v[i].pg);
    pthread_mutex_destroy(&s->mutex);
    mem_free(s->v);
}

/* One that is open, by `gone` no more: whose it was has not noticed yet. */
static bool find_snapshot(struct copy_sessions *all, const char *gone, char ret[PG_SNAPSHOT_NAME])
{
    ret[0] = 0;
    pthread_mutex_lock(&all->mutex);
    for (unsigned i = 0; i < all->n && !ret[0]; i++) {
        char *name = all->v[i].snapshot;
        if (strcmp(name, gone) == 0)
            name[0] = 0;
        snprintf(ret, PG_SNAPSHOT_NAME, "%s", name);
    }
    pthread_mutex_unlock(&all->mutex);
    return ret[0] != 0;
}

bool copy_sessions_are_left(struct copy_sessions *s)
{
    char unused[PG_SNAPSHOT_NAME];

    return find_snapshot(s, "", unused);
}

int copy_session_open(struct copy_session *s, const char *snapshot, struct err *err)
{
    struct copy_sessions *all = s->all;

    TRY(pg_session_open(all->url, snapshot, all->stop_fd, &s->pg, err));
    pthread_mutex_lock(&all->mutex);
    snprintf(s->snapshot, sizeof s->snapshot, "%s", pg_session_snapshot(s->pg));
    pthread_mutex_unlock(&all->mutex);
    return 0;
}

void copy_session_close(struct copy_session *s)
{
    pthread_mutex_lock(&s->all->mutex);
    s->snapshot[0] = 0;
    pthread_mutex_unlock(&s->all->mutex);
    pg_session_free(TAKE_PTR(s->pg));
}

/* "invalid snapshot identifier", or from PostgreSQL 17 on "snapshot … does not exist". */
bool copy_snapshot_is_gone(const struct err *err)
{
    return strcmp(err->sqlstate, "22023") == 0 || strcmp(err->sqlstate, "42704") == 0 ||
           strcmp(err->sqlstate, "55000") == 0;
}

int copy_session_open_again(struct copy_session *s, struct err *err)
{
    struct copy_sessions *all = s->all;
    struct pollfd p = {.fd = all->stop_fd, .events = POLLIN};
    char name[PG_SNAPSHOT_NAME], gone[PG_SNAPSHOT_NAME] = "";
    struct err why;

    for (int ms = AGAIN_MS;; ms = MIN(2 * ms, (int)AGAIN_MS_MAX)) {
        if (*all->stop || !find_snapshot(all, gone, name))
            return err_set(err, ERR_NET, "the sessions of the copy were all lost");
        int rc = copy_session_open(s, name, &why);
        if (rc == 0)
            return 0;
        bool is_gone = copy_snapshot_is_gone(&why);
        if (!is_gone && rc != ERR_NET) {
            *err = why;
            return rc;
        }
        snprintf(gone, sizeof gone, "%s", is_gone ? name : "");
        if (!is_gone)
            log_err(LOG_WARN, "copy_session_lost", &why);
        if (poll(&p, 1, is_gone ? 0 : ms) > 0)
            return err_set(err, ERR_CANCELLED, "stopped");
    }
}
