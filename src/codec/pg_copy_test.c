/* Tests of binary COPY: bytes from PostgreSQL 15, in slices of every size, cut, and broken. */
#include "codec/pg_copy.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* COPY (VALUES (1,'one',NULL::int8), (2,'',7), (3,'three',-1)) TO STDOUT (FORMAT binary) */
static const uint8_t golden[] = {
    0x50, 0x47, 0x43, 0x4f, 0x50, 0x59, 0x0a, 0xff, 0x0d, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x03, 0x6f,
    0x6e, 0x65, 0xff, 0xff, 0xff, 0xff, 0x00, 0x03, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x02, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x03,
    0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x05, 0x74, 0x68, 0x72, 0x65, 0x65,
    0x00, 0x00, 0x00, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
};
enum { HEADER = 19, FIRST_ROW_END = 40 };

static void check_row(const struct str *f, uint64_t n_rows)
{
    static const char *const texts[] = {"one", "", "three"};

    assert_in_range(n_rows, 1, 3);
    assert_true(f[0].n == 4 && (uint8_t)f[0].p[3] == n_rows);
    assert_true(f[1].p && str_is(f[1], texts[n_rows - 1]));
    assert_true(n_rows == 1 ? !f[2].p : f[2].n == 8 && (uint8_t)f[2].p[7] == (n_rows == 2 ? 7 : 255));
}

/* Feeds `n` bytes in slices of `slice`, each a copy of its own; the result is that of the last read. */
static int read_sliced(struct pg_copy_reader *r, const uint8_t *bytes, size_t n, size_t slice, struct err *err)
{
    const struct str *fields;
    int rc = ERR_AGAIN;

    for (size_t at = 0; at < n; at += slice) {
        size_t m = MIN(slice, n - at);
        CLEANUP(mem_freep) uint8_t *copy = mem_dup(bytes + at, m);
        pg_copy_feed(r, copy, m);
        while ((rc = pg_copy_read_row(r, &fields, err)) == 0)
            check_row(fields, r->n_rows);
        if (rc != ERR_AGAIN && rc != 1)
            return rc;
    }
    return rc;
}

static void test_pg_copy__slices_of_every_size_give_the_same_rows(void **state)
{
    for (size_t slice = 1; slice <= sizeof golden; slice++) {
        struct pg_copy_reader r;
        pg_copy_reader_init(&r, 3, 1000);
        assert_int_equal(read_sliced(&r, golden, sizeof golden, slice, NULL), 1);
        assert_int_equal(r.n_rows, 3);
        assert_int_equal(pg_copy_finish(&r, NULL), 0);
        pg_copy_reader_deinit(&r);
    }
}

static void test_pg_copy__two_slices_cut_anywhere(void **state)
{
    for (size_t cut = 0; cut <= sizeof golden; cut++) {
        struct pg_copy_reader r;
        pg_copy_reader_init(&r, 3, 1000);
        int rc = read_sliced(&r, golden, cut, MAX(cut, 1u), NULL);
        assert_int_equal(rc, cut == sizeof golden ? 1 : ERR_AGAIN);
        assert_int_equal(pg_copy_finish(&r, NULL), cut == sizeof golden ? 0 : ERR_INPUT);
        if (cut < sizeof golden)
            rc = read_sliced(&r, golden + cut, sizeof golden - cut, sizeof golden, NULL);
        assert_int_equal(rc, 1);
        assert_int_equal(r.n_rows, 3);
        pg_copy_reader_deinit(&r);
    }
}

static void test_pg_copy__a_whole_row_is_not_copied(void **state)
{
    struct pg_copy_reader r;
    const struct str *f;

    pg_copy_reader_init(&r, 3, 1000);
    pg_copy_feed(&r, golden, FIRST_ROW_END);
    assert_int_equal(pg_copy_read_row(&r, &f, NULL), 0);
    assert_ptr_equal(f[0].p, golden + HEADER + 6);
    assert_int_equal(pg_copy_read_row(&r, &f, NULL), ERR_AGAIN);
    pg_copy_reader_deinit(&r);
}

static void test_pg_copy__refuses_what_breaks_the_format(void **state)
{
    static const struct {
        size_t at;
        uint8_t byte;
        int code;
    } bad[] = {
        {0, 'X', ERR_INPUT},      /* signature */
        {12, 1, ERR_UNSUPPORTED}, /* a critical flag */
        {15, 1, ERR_UNSUPPORTED}, /* an extension of 16 MB */
        {20, 2, ERR_INPUT},       /* two fields */
        {21, 0xfe, ERR_INPUT},    /* a size below -1 */
        {21, 0x7f, ERR_LIMIT},    /* a field of 2 GB */
    };
    uint8_t bytes[sizeof golden];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct pg_copy_reader r;
        pg_copy_reader_init(&r, 3, 1000);
        memcpy(bytes, golden, sizeof golden);
        bytes[bad[i].at] = bad[i].byte;
        assert_int_equal(read_sliced(&r, bytes, sizeof bytes, 7, NULL), bad[i].code);
        pg_copy_reader_deinit(&r);
    }
}

static void test_pg_copy__limits_a_row_and_ends_at_the_trailer(void **state)
{
    struct pg_copy_reader r;
    uint8_t bytes[sizeof golden + 1] = {0};

    pg_copy_reader_init(&r, 3, 27); /* the third row has 31 */
    assert_int_equal(read_sliced(&r, golden, sizeof golden, 1000, NULL), ERR_LIMIT);
    assert_int_equal(r.n_rows, 2);
    pg_copy_reader_deinit(&r);
    memcpy(bytes, golden, sizeof golden);
    for (size_t slice = 1; slice <= sizeof bytes; slice++) {
        pg_copy_reader_init(&r, 3, 1000);
        assert_int_equal(read_sliced(&r, bytes, sizeof bytes, slice, NULL), ERR_INPUT);
        pg_copy_reader_deinit(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_copy__slices_of_every_size_give_the_same_rows),
        cmocka_unit_test(test_pg_copy__two_slices_cut_anywhere),
        cmocka_unit_test(test_pg_copy__a_whole_row_is_not_copied),
        cmocka_unit_test(test_pg_copy__refuses_what_breaks_the_format),
        cmocka_unit_test(test_pg_copy__limits_a_row_and_ends_at_the_trailer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
