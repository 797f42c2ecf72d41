/* A throw-away PostgreSQL server for the tests of this layer: started once, a database with test tables on demand. */
#ifndef SLUICE_SOURCE_TEST_SERVER_H
#define SLUICE_SOURCE_TEST_SERVER_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "model/position.h"
#include "source/pg_check.h"
#include "source/pg_publication.h"
#include "source/pg_slot.h"
#include "source/pg_snapshot.h"
#include "source/pg_stream.h"
#include <arpa/inet.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <cmocka.h>

#define PASSWORD "s3cret-w0rd"

static char bin[256], dir[64];
static int port;
static char admin_url[256];
static struct pg_conn *admin; /* superuser */

#define OK(expr)                                                           \
    do {                                                                   \
        struct err *e_ = &err;                                             \
        int rc_ = (expr);                                                  \
        if (rc_ < 0)                                                       \
            fail_msg("%s: %d %s [%s]", #expr, rc_, e_->msg, e_->sqlstate); \
    } while (0)

/* The server */

static int run_as_postgres(const char *fmt, ...) PRINTF_LIKE(1, 2);
static int run_as_postgres(const char *fmt, ...)
{
    CLEANUP(buf_deinit) struct buf cmd = {0};
    va_list ap;

    if (geteuid() == 0)
        buf_add_cstr(&cmd, "cd / && exec runuser -u postgres -- ");
    va_start(ap, fmt);
    buf_vprintf(&cmd, fmt, ap);
    va_end(ap);
    buf_add_cstr(&cmd, " >/dev/null 2>&1");
    return system(cmd.p);
}

static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)!bind(fd, (struct sockaddr *)&a, sizeof a);
    (void)!getsockname(fd, (struct sockaddr *)&a, &n);
    close(fd);
    return ntohs(a.sin_port);
}

static int server_start(const char *options)
{
    return run_as_postgres(
        "%s/pg_ctl -w -t 60 -D %s/data -l %s/log -o '-p %d -k %s -c listen_addresses=127.0.0.1 -c fsync=off"
        " -c max_replication_slots=4 -c max_wal_senders=6 -c wal_sender_timeout=6s %s' start",
        bin, dir, dir, port, dir, options);
}

static void server_stop(void)
{
    (void)!run_as_postgres("%s/pg_ctl -m fast -w -D %s/data stop", bin, dir);
}

static bool find_bin(void)
{
    const char *env = getenv("SLUICE_PG_BIN");
    glob_t g = {0};

    if (env) {
        snprintf(bin, sizeof bin, "%s", env);
        return true;
    }
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &g) == 0)
        snprintf(bin, sizeof bin, "%.*s", (int)(strlen(g.gl_pathv[g.gl_pathc - 1]) - strlen("/initdb")),
                 g.gl_pathv[g.gl_pathc - 1]);
    globfree(&g);
    return bin[0];
}

static struct pg_conn *connect_as(const char *user, enum pg_conn_kind kind)
{
    struct err err = {0};
    struct pg_conn *conn = NULL;
    char url[256];

    snprintf(url, sizeof url, "postgres://%s:" PASSWORD "@127.0.0.1:%d/shop", user, port);
    OK(pg_conn_open(url, kind, -1, &conn, &err));
    return conn;
}

static int setup(void **state)
{
    struct err err = {0};
    char path[128];
    FILE *f;

    snprintf(dir, sizeof dir, "/tmp/sluice-pg-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    chmod(dir, 0777);
    snprintf(path, sizeof path, "%s/pw", dir);
    f = fopen(path, "w");
    fputs(PASSWORD "\n", f);
    fclose(f);
    chmod(path, 0644);
    assert_int_equal(
        run_as_postgres("%s/initdb -D %s/data -U postgres -A scram-sha-256 --pwfile=%s -N -E UTF8", bin, dir, path), 0);
    port = free_port();
    assert_int_equal(server_start("-c wal_level=logical"), 0);
    snprintf(admin_url, sizeof admin_url, "postgres://postgres:" PASSWORD "@127.0.0.1:%d/postgres", port);
    OK(pg_conn_open(admin_url, PG_CONN_SQL, -1, &admin, &err));
    OK(pg_exec(admin, "CREATE DATABASE shop", &err));
    pg_conn_free(admin);
    snprintf(admin_url, sizeof admin_url, "postgres://postgres:" PASSWORD "@127.0.0.1:%d/shop", port);
    OK(pg_conn_open(admin_url, PG_CONN_SQL, -1, &admin, &err));
    print_message("server version %d\n", pg_conn_version(admin));
    return 0;
}

static int teardown(void **state)
{
    char cmd[128];

    pg_conn_free(admin);
    server_stop();
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd);
}

static void sql(const char *text)
{
    struct err err = {0};

    OK(pg_exec(admin, text, &err));
}

static int64_t sql_i64(const char *text)
{
    struct err err = {0};
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;

    OK(pg_query(admin, text, 0, NULL, &r, &err));
    return pg_result_i64(r, 0, 0);
}

/* Each test has its own schema of tables in `shop`. */
static int fresh(void **state)
{
    /* A sender of the test before notices that we are gone only when it next reads. */
    for (int i = 0; i < 1000 && sql_i64("SELECT count(*) FROM pg_replication_slots WHERE active"); i++)
        clock_sleep_us(10000);
    sql("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public;"
        "SET search_path = public; DROP PUBLICATION IF EXISTS sluice;"
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active");
    return 0;
}

/* Connection */

#endif
