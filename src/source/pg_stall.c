/* Looks at a silent server process through another connection, which has no patience itself. */
#include "source/pg_stall.h"

#include "base/log.h"

enum { ANSWER_US = 10000000 };

/* The name of several servers may lead to another one, which knows nothing of the process. */
static const char question[] =
    "SELECT a.pid IS NOT NULL, a.state, a.wait_event_type, a.wait_event, o.server = $2"
    " FROM (SELECT pg_postmaster_start_time()::text AS server) o LEFT JOIN pg_stat_activity a ON a.pid = $1::int";

static int ask(const struct pg_stall_question *q, struct pg_result **ret, struct err *err)
{
    CLEANUP(pg_conn_freep) struct pg_conn *conn = NULL;
    char pid[16];
    const char *const params[] = {pid, q->server};

    snprintf(pid, sizeof pid, "%d", q->pid);
    TRY(pg_conn_open(q->url, PG_CONN_SQL, q->cancel_fd, &conn, err));
    pg_conn_limit(conn, ANSWER_US);
    return pg_query(conn, question, 2, params, ret, err);
}

/* It waits for the rest of our question, or for us to take what it sends: one of the ways is dead. */
static bool is_cut_off(struct str type, struct str event)
{
    return str_is(type, "Client") && (str_is(event, "ClientRead") || str_is(event, "ClientWrite"));
}

static int judge(const struct pg_stall_question *q, const struct pg_result *r, struct err *err)
{
    int seconds = (int)(q->silent_us / 1000000);

    if (!pg_result_bool(r, 0, 4))
        return 0;
    if (!pg_result_bool(r, 0, 0))
        return err_set(err, ERR_NET, "nothing came from server process %d in %d s, and it has ended", q->pid, seconds);
    struct str state = pg_result_str(r, 0, 1), type = pg_result_str(r, 0, 2), event = pg_result_str(r, 0, 3);
    if (state.n && !str_is(state, "active") && !str_has_prefix(state, STR("fastpath")))
        return err_set(err, ERR_NET, "nothing came from server process %d in %d s, and it has nothing to do (%.*s)",
                       q->pid, seconds, STR_ARG(state));
    if (is_cut_off(type, event))
        return err_set(err, ERR_NET, "nothing came from server process %d in %d s, and it waits for us (%.*s)", q->pid,
                       seconds, STR_ARG(event));
    if (q->first)
        log_warn("waiting_for_server", "pid=%d seconds=%d state=%.*s wait=%.*s", q->pid, seconds,
                 STR_ARG(state.n ? state : STR("unknown")), STR_ARG(event.n ? event : STR("none")));
    return 0;
}

int pg_stall_look(const struct pg_stall_question *q, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    struct err why;
    int rc = ask(q, &r, &why);

    if (rc == ERR_CANCELLED) {
        if (err)
            *err = why;
        return rc;
    }
    if (rc) /* also what it refuses by now */
        rc = err_wrap(&why, "nothing came from server process %d in %d s, and the server does not answer otherwise",
                      q->pid, (int)(q->silent_us / 1000000));
    else
        rc = judge(q, r, &why);
    if (rc)
        why.code = rc = ERR_NET;
    if (rc && q->first)
        log_err(LOG_WARN, "waiting_for_server", &why);
    if (rc && err)
        *err = why;
    return rc;
}
