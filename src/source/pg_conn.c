/*
 * libpq, wrapped: asynchronous calls only, so that every wait is a poll on the socket and on the caller's cancel fd.
 *
 *   open:   PQconnectStartParams → poll … → SET (one round trip)
 *   query:  PQsendQuery[Params] → flush → poll, PQconsumeInput … → results until NULL
 *   copy:   PQgetCopyData (async) drains what libpq has buffered without a system call; only then poll + recv
 *
 * Why not PQexec: it cannot be interrupted, and CREATE_REPLICATION_SLOT can wait for hours on someone's transaction.
 *
 * Passwords: libpq's messages about a connection string quote parts of it ("could not translate host name "ss@host""
 * for a password with an unescaped @), so a string that does not look right is refused without quoting anything.
 */
#include "source/pg_conn.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "model/position.h"
#include "source/pg_stall.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
/* libpq's struct tags are the same as ours: keep them apart. */
#define pg_conn libpq_conn
#define pg_result libpq_result
#include <libpq-fe.h>
#undef pg_conn
#undef pg_result

enum { CONNECT_TIMEOUT_S = 15, TELL_US = 10000000, CANCEL_S = 2 };

struct pg_conn {
    PGconn *pq;
    int cancel_fd;
    bool alive, replication, copying;
    bool unsent; /* output that the socket did not take yet */
    char *copy;  /* the last CopyData, libpq's memory */
    char *url;
    int pid;
    char server[40];
    int64_t patience_us, limit_us; /* 0: none */
    int64_t silent_at_us;          /* since when we wait, or since when nothing came; 0: it just began */
    unsigned looks;                /* at the server process, since then */
    char name[256];
};

static void conninfo_freep(PQconninfoOption **o)
{
    PQconninfoFree(*o);
}

static const char *conninfo_get(const PQconninfoOption *o, const char *key)
{
    for (; o->keyword; o++)
        if (strcmp(o->keyword, key) == 0)
            return o->val ? o->val : "";
    return "";
}

static bool has_odd_port(const char *port)
{
    return port[strspn(port, "0123456789,")] != 0;
}

static int parse_url(const char *url, PQconninfoOption **ret, struct err *err)
{
    char *why = NULL;
    PQconninfoOption *o = PQconninfoParse(url, &why);
    bool odd = o && (strpbrk(conninfo_get(o, "host"), "@ ") || strchr(conninfo_get(o, "dbname"), '@') ||
                     has_odd_port(conninfo_get(o, "port")));

    PQfreemem(why); /* it may quote a password */
    if (o && !odd) {
        *ret = o;
        return 0;
    }
    PQconninfoFree(o);
    err_set(err, ERR_USAGE, "the PostgreSQL connection string cannot be read");
    return err_hint(err, "write postgres://user:password@host:port/database, with @ : / %% in user and password "
                         "percent-encoded (@ is %%40), or leave the password to PGPASSWORD or ~/.pgpass");
}

static void describe(const PQconninfoOption *o, bool with_user, char *out, size_t size)
{
    const char *host = conninfo_get(o, "host"), *port = conninfo_get(o, "port"), *user = conninfo_get(o, "user");

    if (!*host)
        host = conninfo_get(o, "hostaddr");
    if (!with_user)
        user = "";
    snprintf(out, size, "%s%s%s:%s/%s", user, *user ? "@" : "", *host ? host : "localhost", *port ? port : "5432",
             conninfo_get(o, "dbname"));
}

int pg_url_describe(const char *url, char *out, size_t size, struct err *err)
{
    CLEANUP(conninfo_freep) PQconninfoOption *o = NULL;

    TRY(parse_url(url, &o, err));
    describe(o, false, out, size);
    return 0;
}

void pg_url_mask(char *url)
{
    char *begin = strstr(url, "://"), *end;

    if (begin) {
        end = strrchr(begin, '@');
        begin = memchr(begin + 3, ':', end ? (size_t)(end - begin - 3) : 0);
        if (begin && end)
            memset(begin + 1, '*', (size_t)(end - begin - 1));
        begin = strstr(url, "password="); /* among the parameters */
    } else {
        begin = strstr(url, "password");
    }
    begin = begin ? strchr(begin, '=') : NULL;
    for (end = begin ? begin + 1 : NULL; end && *end && *end != '&'; end++)
        *end = '*'; /* in keyword = value form, all that follows: values may be quoted */
}

/* What a caller can do about a server's error. */
static int code_of_sqlstate(const char *s)
{
    static const struct {
        const char *prefix;
        int code;
    } map[] = {
        {"08", ERR_NET},           /* connection exceptions */
        {"57P0", ERR_NET},         /* shut down, crash, starting, dropped database, idle timeout */
        {"57014", ERR_NET},        /* cancelled by someone else */
        {"25P03", ERR_NET},        /* idle in transaction timeout */
        {"25P04", ERR_NET},        /* transaction timeout */
        {"53400", ERR_REFUSED},    /* a configured limit: all slots in use */
        {"53", ERR_NET},           /* too many connections, disk full, out of memory */
        {"55006", ERR_CONFLICT},   /* object in use: the slot is active */
        {"40", ERR_CONFLICT},      /* serialization, deadlock, conflict with recovery */
        {"55P03", ERR_CONFLICT},   /* lock not available */
        {"42P01", ERR_NOT_FOUND},  /* table */
        {"42704", ERR_NOT_FOUND},  /* object: slot, publication, snapshot */
        {"42703", ERR_NOT_FOUND},  /* column */
        {"42710", ERR_EXISTS},     /* object */
        {"0A000", ERR_UNSUPPORTED} /* feature */
    };

    for (size_t i = 0; i < ARRAY_LEN(map); i++)
        if (strncmp(s, map[i].prefix, strlen(map[i].prefix)) == 0)
            return map[i].code;
    return ERR_REFUSED;
}

static int conn_error(struct pg_conn *conn, struct err *err)
{
    struct str why = str_trim(str_of(PQerrorMessage(conn->pq)));

    conn->alive = false;
    return err_set(err, ERR_NET, "connection to %s lost: %.*s", conn->name, STR_ARG(why));
}

static int result_error(struct pg_conn *conn, const PGresult *res, struct err *err)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);

    if (PQstatus(conn->pq) == CONNECTION_BAD)
        conn->alive = false;
    if (!state || !text)
        return conn_error(conn, err);
    int code = err_set(err, code_of_sqlstate(state), "PostgreSQL: %s%s%s%s", text, detail ? " (" : "",
                       detail ? detail : "", detail ? ")" : "");
    if (err)
        snprintf(err->sqlstate, sizeof err->sqlstate, "%s", state);
    if (hint)
        err_hint(err, "%s", hint);
    return code;
}

/* Waits for the socket or the cancel fd: the events that came, ERR_AGAIN when time is up, ERR_CANCELLED. */
static int wait_socket(struct pg_conn *conn, short events, int64_t deadline_us, struct err *err)
{
    struct pollfd fds[2] = {{PQsocket(conn->pq), events, 0}, {conn->cancel_fd, POLLIN, 0}};

    for (;;) {
        struct timespec ts = {0};
        if (deadline_us > 0) {
            int64_t left = deadline_us - clock_mono_us();
            left = MAX(left, 0);
            ts = (struct timespec){left / 1000000, left % 1000000 * 1000};
        }
        int n = ppoll(fds, conn->cancel_fd >= 0 ? 2 : 1, deadline_us < 0 ? NULL : &ts, NULL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, "poll");
        if (n == 0)
            return ERR_AGAIN;
        if (fds[1].revents)
            return err_set(err, ERR_CANCELLED, "asked to stop");
        return fds[0].revents;
    }
}

static void *send_cancel(void *arg)
{
    char ignored[256];

    (void)!PQcancel(arg, ignored, sizeof ignored);
    PQfreeCancel(arg);
    return NULL;
}

/* Asks the server to give up the running statement; the connection is not used again. PQcancel waits for ever where nobody answers:
 * so it does that in a thread of its own. */
static void cancel_statement(struct pg_conn *conn)
{
    PGcancel *cancel = PQgetCancel(conn->pq);
    struct timespec until;
    pthread_t thread;

    conn->alive = false;
    if (!cancel)
        return;
    if (pthread_create(&thread, NULL, send_cancel, cancel)) {
        PQfreeCancel(cancel);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CANCEL_S;
    if (pthread_timedjoin_np(thread, NULL, &until))
        pthread_detach(thread);
}

static int look_at_server(struct pg_conn *conn, struct err *err)
{
    int64_t silent_us = clock_mono_us() - conn->silent_at_us;
    struct pg_stall_question q = {conn->url, conn->server, conn->pid, conn->cancel_fd, conn->looks++ == 0, silent_us};
    struct err why;
    int rc = pg_stall_look(&q, &why);

    if (rc == 0 || (rc == ERR_NET && silent_us < conn->patience_us))
        return 0;
    conn->alive = false;
    if (err)
        *err = why;
    return rc;
}

static int64_t next_look_us(const struct pg_conn *conn)
{
    if (conn->limit_us)
        return conn->silent_at_us + conn->limit_us;
    if (!conn->patience_us)
        return -1;
    return conn->silent_at_us +
           (conn->looks ? conn->looks * conn->patience_us : MIN(conn->patience_us / 2, (int64_t)TELL_US));
}

/* Like wait_socket(), but whoever is silent for too long is looked at: the events, ERR_NET, ERR_CANCELLED. */
static int wait_answer(struct pg_conn *conn, short events, struct err *err)
{
    int rc = wait_socket(conn, events, 0, err);

    if (rc == ERR_AGAIN && !conn->silent_at_us) {
        conn->silent_at_us = clock_mono_us();
        conn->looks = 0;
    }
    while (rc == ERR_AGAIN) {
        rc = wait_socket(conn, events, next_look_us(conn), err);
        if (rc == ERR_AGAIN && conn->limit_us) {
            conn->alive = false;
            return err_set(err, ERR_NET, "%s: no answer in time", conn->name);
        }
        if (rc == ERR_AGAIN)
            TRY(look_at_server(conn, err));
    }
    if (rc > 0 && rc & ~POLLOUT)
        conn->silent_at_us = 0;
    return rc;
}

/* Takes the sqlstate out of a verbose message ("FATAL:  28P01: password …\nLOCATION: …") and cuts it to its text. */
static struct str split_verbose(struct str msg, char sqlstate[6])
{
    for (size_t i = 0; i + 10 < msg.n; i++) {
        const char *p = msg.p + i;
        bool is = memcmp(p, ":  ", 3) == 0 && memcmp(p + 8, ": ", 2) == 0;
        for (size_t k = 3; is && k < 8; k++)
            is = isdigit((unsigned char)p[k]) || isupper((unsigned char)p[k]);
        if (!is)
            continue;
        memcpy(sqlstate, p + 3, 5);
        sqlstate[5] = 0;
        struct str rest = str_make(p + 10, msg.n - i - 10);
        return str_split(&rest, '\n');
    }
    return str_trim(msg);
}

static int connect_error(struct pg_conn *conn, struct err *err)
{
    char state[6] = "";
    struct str why = split_verbose(str_of(PQerrorMessage(conn->pq)), state);
    bool refused = PQconnectionNeedsPassword(conn->pq) || (state[0] && code_of_sqlstate(state) != ERR_NET);
    const char *password = PQpass(conn->pq);
    bool leaks = password && strlen(password) > 3 && memmem(why.p, why.n, password, strlen(password)) &&
                 !strstr(conn->name, password);

    if (leaks) /* libpq does not do this; belt and braces */
        why = STR("(message left out: it quotes the password)");
    err_set(err, refused ? ERR_REFUSED : ERR_NET, "cannot connect to %s: %.*s", conn->name, STR_ARG(why));
    if (err)
        snprintf(err->sqlstate, sizeof err->sqlstate, "%s", state);
    if (memmem(why.p, why.n, "startup parameter: replication", 30))
        err_hint(
            err,
            "this is PgBouncer or another pooler, which hands no replication connections on: name the server itself");
    else if (PQconnectionNeedsPassword(conn->pq))
        err_hint(err, "give a password in the URL, in PGPASSWORD or in ~/.pgpass");
    else if (strcmp(state, "53300") == 0)
        err_hint(
            err,
            "sync takes up to six connections (more with --sessions), two of them for replication: see max_connections, "
            "max_wal_senders, or ALTER ROLE ... CONNECTION LIMIT");
    return refused ? ERR_REFUSED : ERR_NET;
}

/* Where it goes may stand in a service file or in the environment; libpq knows as soon as it has begun. */
static void name_conn(struct pg_conn *conn)
{
    CLEANUP(conninfo_freep) PQconninfoOption *o = PQconninfo(conn->pq);

    if (o)
        describe(o, true, conn->name, sizeof conn->name);
    int64_t ms = 0;
    if (o && str_to_i64(str_of(conninfo_get(o, "tcp_user_timeout")), &ms) && ms > 0)
        conn->patience_us = ms * 1000;
}

static int connect_poll(struct pg_conn *conn, int64_t deadline_us, struct err *err)
{
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    while (state != PGRES_POLLING_OK) {
        if (state == PGRES_POLLING_FAILED || PQstatus(conn->pq) == CONNECTION_BAD)
            return connect_error(conn, err);
        int rc = wait_socket(conn, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_us, err);
        if (rc == ERR_AGAIN)
            return err_set(err, ERR_NET, "cannot connect to %s: no answer in time", conn->name);
        TRY(rc);
        state = PQconnectPoll(conn->pq);
    }
    return 0;
}

static void ignore_notice(void *arg, const PGresult *res)
{
}

static int set_session(struct pg_conn *conn, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    int version = pg_conn_version(conn);

    buf_add_cstr(&sql, "SET DateStyle = 'ISO, YMD'; SET IntervalStyle = postgres; SET TimeZone = 'UTC';"
                       "SET extra_float_digits = 1; SET bytea_output = hex; SET search_path = '';"
                       "SET standard_conforming_strings = on; SET default_transaction_read_only = off;"
                       "SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off;"
                       "SET statement_timeout = 0; SET lock_timeout = 0;"
                       "SET idle_in_transaction_session_timeout = 0; SET row_security = off;");
    if (version >= 140000)
        buf_add_cstr(&sql, "SET idle_session_timeout = 0;");
    if (version >= 170000)
        buf_add_cstr(&sql, "SET transaction_timeout = 0;");
    /* The server would fail at the first text that is not UTF-8, and with it the stream. Told value by value, it costs itself. */
    const char *encoding = PQparameterStatus(conn->pq, "server_encoding");
    if (encoding && strcmp(encoding, "SQL_ASCII") == 0)
        buf_add_cstr(&sql, "SET client_encoding = SQL_ASCII;");
    buf_add_cstr(&sql,
                 "SELECT pg_backend_pid(), pg_postmaster_start_time()::text"); /* a pooler has told another number */
    TRY(pg_query(conn, sql.p, 0, NULL, &r, err));
    conn->pid = (int)pg_result_i64(r, 0, 0);
    snprintf(conn->server, sizeof conn->server, "%s", pg_result_str(r, 0, 1).p);
    return 0;
}

int pg_conn_open(const char *url, enum pg_conn_kind kind, int cancel_fd, struct pg_conn **ret, struct err *err)
{
    /* Before dbname: defaults that the URL overrides; after it: what must be so. */
    const char *const keys[] = {"fallback_application_name", "keepalives_idle",  "keepalives_interval",
                                "keepalives_count",          "tcp_user_timeout", "dbname",
                                "client_encoding",           "replication",      NULL};
    const char *values[] = {"sluice", "30", "10", "3", "60000", url, "UTF8", NULL, NULL};
    CLEANUP(conninfo_freep) PQconninfoOption *o = NULL;
    CLEANUP(pg_conn_freep) struct pg_conn *conn = NULL;
    int64_t timeout_s = 0;

    TRY(parse_url(url, &o, err));
    if (kind == PG_CONN_REPLICATION || *conninfo_get(o, "replication"))
        values[ARRAY_LEN(keys) - 2] = kind == PG_CONN_REPLICATION ? "database" : "false";
    conn = MEM_NEW(struct pg_conn);
    conn->cancel_fd = cancel_fd;
    conn->replication = kind == PG_CONN_REPLICATION;
    conn->url = mem_strdup(url);
    describe(o, true, conn->name, sizeof conn->name);
    if (!str_to_i64(str_of(conninfo_get(o, "connect_timeout")), &timeout_s) || timeout_s <= 0)
        timeout_s = CONNECT_TIMEOUT_S;
    conn->pq = PQconnectStartParams(keys, values, 1);
    if (!conn->pq)
        return err_set(err, ERR_INTERNAL, "libpq is out of memory");
    name_conn(conn);
    PQsetNoticeReceiver(conn->pq, ignore_notice, NULL);
    PQsetErrorVerbosity(conn->pq, PQERRORS_VERBOSE); /* only so do connection errors carry a sqlstate */
    TRY(connect_poll(conn, clock_mono_us() + timeout_s * 1000000, err));
    PQsetErrorVerbosity(conn->pq, PQERRORS_DEFAULT);
    PQsetnonblocking(conn->pq, 1);
    conn->alive = true;
    conn->limit_us = timeout_s * 1000000;
    TRY(set_session(conn, err));
    conn->limit_us = 0;
    *ret = TAKE_PTR(conn);
    return 0;
}

void pg_conn_free(struct pg_conn *conn)
{
    if (!conn)
        return;
    PQfreemem(conn->copy);
    PQfinish(conn->pq);
    mem_free(conn->url);
    mem_free(conn);
}

int pg_conn_version(const struct pg_conn *conn)
{
    return PQserverVersion(conn->pq);
}

int pg_conn_pid(const struct pg_conn *conn)
{
    return conn->pid;
}

const char *pg_conn_server(const struct pg_conn *conn)
{
    return conn->server;
}

int64_t pg_conn_patience_us(const struct pg_conn *conn)
{
    return conn->patience_us;
}

void pg_conn_limit(struct pg_conn *conn, int64_t limit_us)
{
    conn->limit_us = limit_us;
}

const char *pg_conn_name(const struct pg_conn *conn)
{
    return conn->name;
}

bool pg_conn_is_alive(const struct pg_conn *conn)
{
    return conn->alive;
}

static int flush(struct pg_conn *conn, struct err *err)
{
    int rc = PQflush(conn->pq);

    if (rc < 0)
        return conn_error(conn, err);
    conn->unsent = rc > 0;
    return 0;
}

/* Sends the rest of our output and waits until the next result is complete. */
static int wait_result(struct pg_conn *conn, struct err *err)
{
    conn->silent_at_us = 0;
    TRY(flush(conn, err));
    while (conn->unsent || PQisBusy(conn->pq)) {
        int rc = wait_answer(conn, conn->unsent ? POLLIN | POLLOUT : POLLIN, err);
        if (rc == ERR_CANCELLED)
            cancel_statement(conn);
        TRY(rc);
        if (rc & ~POLLOUT && !PQconsumeInput(conn->pq))
            return conn_error(conn, err);
        TRY(flush(conn, err));
    }
    return 0;
}

static void result_clearp(PGresult **res)
{
    PQclear(*res);
}

/* Reads all results of what was sent: the last one in *ret (may be NULL), or the first error. */
static int collect(struct pg_conn *conn, PGresult **ret, struct err *err)
{
    CLEANUP(result_clearp) PGresult *last = NULL;
    int failed = 0;

    for (;;) {
        TRY(wait_result(conn, err));
        PGresult *res = PQgetResult(conn->pq);
        if (!res)
            break;
        ExecStatusType status = PQresultStatus(res);
        if (status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
            PQclear(res);
            conn->alive = false;
            return err_set(err, ERR_INTERNAL, "a COPY was started where no data is read");
        }
        if (status == PGRES_COPY_IN) /* the other half of COPY BOTH is still open */
            (void)PQputCopyEnd(conn->pq, NULL);
        else if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY && !failed)
            failed = result_error(conn, res, err);
        PQclear(last);
        last = res;
        if (PQstatus(conn->pq) == CONNECTION_BAD)
            break;
    }
    if (failed)
        return failed;
    if (PQstatus(conn->pq) == CONNECTION_BAD)
        return conn_error(conn, err);
    if (ret)
        *ret = TAKE_PTR(last);
    return 0;
}

static int send_query(struct pg_conn *conn, const char *sql, size_t n_params, const char *const *params,
                      struct err *err)
{
    assert(!conn->copying);
    assert(!conn->replication || n_params == 0);
    if (!conn->alive)
        return err_set(err, ERR_NET, "connection to %s was lost", conn->name);
    PQfreemem(conn->copy);
    conn->copy = NULL;
    int ok = n_params == 0 ? PQsendQuery(conn->pq, sql)
                           : PQsendQueryParams(conn->pq, sql, (int)n_params, NULL, params, NULL, NULL, 0);
    return ok ? 0 : conn_error(conn, err);
}

int pg_exec(struct pg_conn *conn, const char *sql, struct err *err)
{
    TRY(send_query(conn, sql, 0, NULL, err));
    return collect(conn, NULL, err);
}

int pg_query(struct pg_conn *conn, const char *sql, size_t n_params, const char *const *params, struct pg_result **ret,
             struct err *err)
{
    PGresult *res = NULL;

    TRY(send_query(conn, sql, n_params, params, err));
    TRY(collect(conn, &res, err));
    assert(res);
    *ret = (struct pg_result *)res;
    return 0;
}

void pg_result_free(struct pg_result *r)
{
    PQclear((PGresult *)r);
}

size_t pg_result_rows(const struct pg_result *r)
{
    return (size_t)PQntuples((const PGresult *)r);
}

bool pg_result_is_null(const struct pg_result *r, size_t row, size_t col)
{
    return PQgetisnull((const PGresult *)r, (int)row, (int)col);
}

struct str pg_result_str(const struct pg_result *r, size_t row, size_t col)
{
    assert((int)row < PQntuples((const PGresult *)r) && (int)col < PQnfields((const PGresult *)r));
    return str_make(PQgetvalue((const PGresult *)r, (int)row, (int)col),
                    (size_t)PQgetlength((const PGresult *)r, (int)row, (int)col));
}

int64_t pg_result_i64(const struct pg_result *r, size_t row, size_t col)
{
    int64_t v = 0;

    return str_to_i64(pg_result_str(r, row, col), &v) ? v : 0;
}

bool pg_result_bool(const struct pg_result *r, size_t row, size_t col)
{
    return str_is(pg_result_str(r, row, col), "t");
}

uint64_t pg_result_lsn(const struct pg_result *r, size_t row, size_t col)
{
    uint64_t v = 0;

    return lsn_parse(pg_result_str(r, row, col), &v) ? v : 0;
}

int pg_copy_begin(struct pg_conn *conn, const char *sql, struct err *err)
{
    TRY(send_query(conn, sql, 0, NULL, err));
    TRY(wait_result(conn, err));
    CLEANUP(result_clearp) PGresult *res = PQgetResult(conn->pq);
    ExecStatusType status = PQresultStatus(res);
    if (status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
        conn->copying = true;
        return 0;
    }
    int rc = status == PGRES_FATAL_ERROR ? result_error(conn, res, err)
                                         : err_set(err, ERR_INTERNAL, "the statement did not start a COPY");
    if (conn->alive)
        TRY(collect(conn, NULL, err));
    return rc;
}

static int copy_end(struct pg_conn *conn, struct err *err)
{
    conn->copying = false;
    TRY(collect(conn, NULL, err));
    return 1;
}

int pg_copy_read(struct pg_conn *conn, int64_t timeout_us, struct str *ret, struct err *err)
{
    int64_t deadline_us = 0; /* read the clock only when there is something to wait for */
    /* OpenSSL may hold the rest of a record, which poll does not see: look again before sleeping. */
    int tries = PQsslInUse(conn->pq) ? 2 : 0;

    assert(conn->copying);
    if (!conn->alive)
        return err_set(err, ERR_NET, "connection to %s was lost", conn->name);
    PQfreemem(conn->copy);
    conn->copy = NULL;
    for (;;) {
        int n = PQgetCopyData(conn->pq, &conn->copy, 1);
        if (n > 0) {
            *ret = str_make(conn->copy, (size_t)n);
            return 0;
        }
        if (n == -1)
            return copy_end(conn, err);
        if (n < -1)
            return conn_error(conn, err);
        if (conn->unsent)
            TRY(flush(conn, err));
        if (tries-- <= 0) {
            if (deadline_us == 0 && timeout_us != 0)
                deadline_us = timeout_us < 0 ? -1 : clock_mono_us() + timeout_us;
            short events = conn->unsent ? POLLIN | POLLOUT : POLLIN;
            int rc = deadline_us < 0 ? wait_answer(conn, events, err) : wait_socket(conn, events, deadline_us, err);
            TRY(rc);
            if (!(rc & ~POLLOUT))
                continue;
        }
        if (!PQconsumeInput(conn->pq))
            return conn_error(conn, err);
    }
}

int pg_copy_skip(struct pg_conn *conn, struct err *err)
{
    struct str rest;

    while (conn->copying) {
        int rc = pg_copy_read(conn, -1, &rest, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int pg_copy_write(struct pg_conn *conn, struct str data, struct err *err)
{
    assert(conn->copying);
    if (PQputCopyData(conn->pq, data.p, (int)data.n) != 1)
        return conn_error(conn, err);
    return flush(conn, err);
}
