/* Messages of the replication stream as bytes. */
#include "source/pg_stream.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* 2024-05-01 12:00:00 UTC as the server sends it: microseconds since 2000-01-01 = 0x0002ba61fea15000. */
static const char keepalive[] = "k\0\0\0\x01\x02\x03\x04\x05\x00\x02\xba\x61\xfe\xa1\x50\x00\x01";
static const char data[] = "w\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x20\x00\x02\xba\x61\xfe\xa1\x50\x00"
                           "B\x01\x02";

static void test_pg_frame_read__keepalive(void **state)
{
    struct pg_frame f;

    assert_int_equal(pg_frame_read(str_make(keepalive, sizeof keepalive - 1), &f, NULL), 0);
    assert_int_equal(f.kind, 'k');
    assert_int_equal(f.wal_end, 0x102030405);
    assert_int_equal(f.server_us, 1714564800000000LL);
    assert_true(f.reply_requested);
}

static void test_pg_frame_read__data_borrows_its_payload(void **state)
{
    struct pg_frame f;

    assert_int_equal(pg_frame_read(str_make(data, sizeof data - 1), &f, NULL), 0);
    assert_int_equal(f.kind, 'w');
    assert_int_equal(f.wal_start, 0x10);
    assert_int_equal(f.wal_end, 0x20);
    assert_ptr_equal(f.payload.p, data + 25);
    assert_int_equal(f.payload.n, 3);
}

static void test_pg_frame_read__cut_anywhere_is_ERR_INPUT(void **state)
{
    struct pg_frame f;

    for (size_t n = 0; n < sizeof keepalive - 1; n++)
        assert_int_equal(pg_frame_read(str_make(keepalive, n), &f, NULL), ERR_INPUT);
    for (size_t n = 0; n < 25; n++)
        assert_int_equal(pg_frame_read(str_make(data, n), &f, NULL), ERR_INPUT);
    assert_int_equal(pg_frame_read(STR("x1234"), &f, NULL), ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_frame_read__keepalive),
        cmocka_unit_test(test_pg_frame_read__data_borrows_its_payload),
        cmocka_unit_test(test_pg_frame_read__cut_anywhere_is_ERR_INPUT),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
