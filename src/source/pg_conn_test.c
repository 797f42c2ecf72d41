/* Connection strings that are wrong in every way that could make a message quote a password. No server is needed. */
#include "source/pg_conn.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_no_secret(const struct err *err)
{
    assert_null(strstr(err->msg, "s3cr"));
    assert_null(strstr(err->hint, "s3cr"));
}

static void test_pg_conn__malformed_url_is_refused_without_quoting_it(void **state)
{
    static const char *const urls[] = {
        "postgres://u:s3cr@s3cret@127.0.0.1:1/db",
        "postgres://u:s3cr/s3cret@127.0.0.1:1/db",

        "postgres://u:s3cr%zz@127.0.0.1:1/db",
        "host=127.0.0.1 port=s3cret",
        "host=127.0.0.1 passwd=s3cret",
        "password='s3cret",
        "postgres//u:s3cret@127.0.0.1/db",
        "u:s3cret@127.0.0.1/db",
        "postgres://u:s3cret@[::1/db",
        "postgres://u:s3cr:s3cret@127.0.0.1:s3cret/db",
    };

    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct err err = {0};
        struct pg_conn *conn = NULL;
        char where[200];
        assert_int_equal(pg_conn_open(urls[i], PG_CONN_SQL, -1, &conn, &err), ERR_USAGE);
        assert_no_secret(&err);
        assert_int_equal(pg_url_describe(urls[i], where, sizeof where, &err), ERR_USAGE);
    }
}

static void test_pg_conn__nobody_listening_is_ERR_NET_and_names_the_place(void **state)
{
    struct err err = {0};
    struct pg_conn *conn = NULL;

    assert_int_equal(pg_conn_open("postgres://u:s3cret@127.0.0.1:1/shop", PG_CONN_SQL, -1, &conn, &err), ERR_NET);
    assert_non_null(strstr(err.msg, "u@127.0.0.1:1/shop"));
    assert_no_secret(&err);
}

static void test_pg_conn__stop_request_ends_a_connect(void **state)
{
    struct err err = {0};
    struct pg_conn *conn = NULL;
    int fd = eventfd(1, EFD_CLOEXEC);

    /* TEST-NET-1: packets go nowhere; a machine without any route answers at once instead. */
    int rc = pg_conn_open("postgres://u:s3cret@192.0.2.1:5432/db", PG_CONN_SQL, fd, &conn, &err);
    assert_true(rc == ERR_CANCELLED || rc == ERR_NET);
    close(fd);
}

static void test_pg_url_describe__leaves_user_and_password_out(void **state)
{
    char where[200];

    assert_int_equal(
        pg_url_describe("postgresql://u:s3cret@db.example:6432/shop?sslmode=require", where, sizeof where, NULL), 0);
    assert_string_equal(where, "db.example:6432/shop");
    assert_int_equal(pg_url_describe("dbname=shop user=u password=s3cret", where, sizeof where, NULL), 0);
    assert_string_equal(where, "localhost:5432/shop");
}

static void test_pg_url_mask__overwrites_passwords(void **state)
{
    static const struct {
        const char *url, *masked;
    } cases[] = {
        {"postgresql://u:s3cret@db:6432/shop?x=1", "postgresql://u:******@db:6432/shop?x=1"},
        {"postgresql://u@db:6432/shop", "postgresql://u@db:6432/shop"},
        {"postgresql://db:6432/shop?user=u&password=s3&x=1", "postgresql://db:6432/shop?user=u&password=**&x=1"},
        {"postgresql://u:a@b@db/shop?password=s3", "postgresql://u:***@db/shop?password=**"},
        {"host=db password = 's 3' user=u", "host=db password =*************"},
        {"service=shop", "service=shop"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(mem_freep) char *url = mem_strdup(cases[i].url);
        pg_url_mask(url);
        assert_string_equal(url, cases[i].masked);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_conn__malformed_url_is_refused_without_quoting_it),
        cmocka_unit_test(test_pg_conn__nobody_listening_is_ERR_NET_and_names_the_place),
        cmocka_unit_test(test_pg_conn__stop_request_ends_a_connect),
        cmocka_unit_test(test_pg_url_describe__leaves_user_and_password_out),
        cmocka_unit_test(test_pg_url_mask__overwrites_passwords),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
