/*
 * A PostgreSQL connection: the one place that knows libpq.
 *
 * Every wait can be interrupted: `cancel_fd` (an eventfd or the read end of a pipe; -1 = none) becomes readable when
 * the process is asked to stop, and the call returns ERR_CANCELLED (a running statement is cancelled at the server).
 * A server that is silent is looked at after some seconds, and given up when no answer will come.
 * The fd is only polled, never read, and borrowed as long as the connection lives.
 *
 * Error codes: ERR_NET the connection is broken, refused, or the server is starting, stopping or full: free the
 * connection, wait, open a new one. ERR_REFUSED the server says no and will say so again (rights, authentication,
 * SQL). ERR_NOT_FOUND an object does not exist. ERR_CONFLICT it is in use, or a deadlock. ERR_UNSUPPORTED the server
 * has no such feature. ERR_USAGE the connection string. `err->sqlstate` is set where the server gave one. No message
 * and no log line ever holds a password or a connection string.
 *
 * A connection belongs to one thread at a time.
 */
#ifndef SLUICE_SOURCE_PG_CONN_H
#define SLUICE_SOURCE_PG_CONN_H

#include "base/err.h"
#include "base/str.h"

/* What is left to do when a slot, or what it had kept, is lost. */
#define PG_COPY_ANEW "copy the tables anew: remove LAKE/_sluice (or what --state names) and start again"

enum { PG_NAME_MAX = 64 }; /* bytes of a name in the catalog, with its end (NAMEDATALEN) */

struct pg_conn;
struct pg_result;

enum pg_conn_kind {
    PG_CONN_SQL,
    PG_CONN_REPLICATION, /* replication=database: replication commands, and SQL without parameters */
};

/*
 * Connects (at most connect_timeout, 15 s unless the URL says otherwise) and puts the session into a known state:
 * UTF-8 (bytes as they are where the database is SQL_ASCII), ISO dates, UTC, shortest exact floats, hex bytea, empty
 * search_path (so write pg_catalog. or rely on its being searched first), no timeouts, transactions that may write,
 * row_security off (a policy that would hide rows is an error, not a silent loss).
 * `url`: postgres://user@host:port/database?… or "key=value …", as libpq takes them. Copied as far as needed.
 */
MUST_CHECK int pg_conn_open(const char *url, enum pg_conn_kind kind, int cancel_fd, struct pg_conn **ret,
                            struct err *err);
void pg_conn_free(struct pg_conn *conn); /* takes NULL */
DEFINE_FREEP(pg_conn)
int pg_conn_version(const struct pg_conn *conn);        /* 150020 */
int pg_conn_pid(const struct pg_conn *conn);            /* of the server's process */
const char *pg_conn_server(const struct pg_conn *conn); /* when it was started: tells it from others. Borrowed */
/* How long the server may be silent: tcp_user_timeout of the URL, 60 s without one; 0 = for ever. A statement is given up then only if
 * another connection shows that no answer will come (source/pg_stall.h). */
int64_t pg_conn_patience_us(const struct pg_conn *conn);
/* From now on, each answer must come within that time: else ERR_NET. */
void pg_conn_limit(struct pg_conn *conn, int64_t limit_us);
/* "user@host:port/database", without password: for messages. Borrowed from the connection. */
const char *pg_conn_name(const struct pg_conn *conn);
/* False once an error broke it (free it then). */
bool pg_conn_is_alive(const struct pg_conn *conn);
/* The same of a URL, without connecting: "host:port/database" for logs and state; no user, no password. */
MUST_CHECK int pg_url_describe(const char *url, char *out, size_t size, struct err *err);
/* Overwrites the password in it, where there is one: other users of the machine can see a command's arguments. */
void pg_url_mask(char *url);

/* One or more statements whose rows do not matter. */
MUST_CHECK int pg_exec(struct pg_conn *conn, const char *sql, struct err *err);
/* One statement with text parameters ($1…; NULL = NULL). A replication connection takes none. Free the result. */
MUST_CHECK int pg_query(struct pg_conn *conn, const char *sql, size_t n_params, const char *const *params,
                        struct pg_result **ret, struct err *err);
void pg_result_free(struct pg_result *r);
DEFINE_FREEP(pg_result)
size_t pg_result_rows(const struct pg_result *r);
bool pg_result_is_null(const struct pg_result *r, size_t row, size_t col);
/* The value's text, "" for NULL; 0-terminated; borrowed from the result. */
struct str pg_result_str(const struct pg_result *r, size_t row, size_t col);
/* A number; 0 for NULL or when it is none. */
int64_t pg_result_i64(const struct pg_result *r, size_t row, size_t col);
bool pg_result_bool(const struct pg_result *r, size_t row, size_t col);    /* 't' */
uint64_t pg_result_lsn(const struct pg_result *r, size_t row, size_t col); /* "16/B374D848"; 0 for NULL */

/* Starts a statement that answers with COPY OUT or COPY BOTH (START_REPLICATION). */
MUST_CHECK int pg_copy_begin(struct pg_conn *conn, const char *sql, struct err *err);
/*
 * The next CopyData message, borrowed until the next call on the connection. Waits at most timeout_us (-1 = for ever,
 * 0 = not at all). Returns 0 data, 1 the end of the copy (the server's final answer has been read; an error in it is
 * returned as such), ERR_AGAIN when time is up (err is not written).
 */
MUST_CHECK int pg_copy_read(struct pg_conn *conn, int64_t timeout_us, struct str *ret, struct err *err);
/* Reads what is left of a COPY OUT, if one is open, and throws it away: another statement can be sent. */
MUST_CHECK int pg_copy_skip(struct pg_conn *conn, struct err *err);
/* Queues a CopyData message (COPY BOTH) and sends what the socket takes at once; the rest goes with the next read. */
MUST_CHECK int pg_copy_write(struct pg_conn *conn, struct str data, struct err *err);

#endif
