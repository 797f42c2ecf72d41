/* Tests of base/: text, buffers, arena, maps, files, clock. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_str__split_and_glob(void **state)
{
    struct str rest = STR("a,,b");
    (void)state;
    assert_true(str_is(str_split(&rest, ','), "a"));
    assert_true(str_is(str_split(&rest, ','), ""));
    assert_true(str_is(str_split(&rest, ','), "b"));
    assert_null(rest.p);
    assert_true(str_glob(STR("public.*"), STR("public.orders")));
    assert_true(str_glob(STR("*_2?"), STR("orders_23")));
    assert_false(str_glob(STR("public.*"), STR("private.orders")));
    assert_true(str_glob(STR("**"), STR("")));
}

static void test_str__numbers_are_whole_and_bounded(void **state)
{
    int64_t v;
    (void)state;
    assert_true(str_to_i64(STR("-9223372036854775808"), &v) && v == INT64_MIN);
    assert_false(str_to_i64(STR("9223372036854775808"), &v));
    assert_false(str_to_i64(STR("12x"), &v));
    assert_false(str_to_i64(STR(""), &v));
}

static void test_str__utf8_rejects_surrogates_and_overlong(void **state)
{
    (void)state;
    assert_true(str_is_utf8(STR("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80")));
    assert_false(str_is_utf8(STR("\xed\xa0\x80")));
    assert_false(str_is_utf8(STR("\xc0\xaf")));
    assert_false(str_is_utf8(STR("\xe2\x82")));
}

static void test_buf__limit_is_sticky(void **state)
{
    CLEANUP(buf_deinit) struct buf b = {.max = 4};
    (void)state;
    buf_add_cstr(&b, "abcd");
    assert_false(b.failed);
    buf_add_char(&b, 'e');
    assert_true(b.failed);
    assert_int_equal(b.n, 4);
}

static void test_buf__json_and_sql_quoting(void **state)
{
    CLEANUP(buf_deinit) struct buf b = {0};
    (void)state;
    buf_add_json_str(&b, STR("a\"\\\n\x01\xff"));
    assert_string_equal(b.p, "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\"");
    buf_reset(&b);
    buf_add_sql_literal(&b, STR("o'clock"));
    buf_add_sql_ident(&b, STR("a\"b"));
    assert_string_equal(b.p, "'o''clock'\"a\"\"b\"");
    buf_reset(&b);
    buf_add_decimal(&b, STR("-.125"));
    buf_add_decimal(&b, STR(".5"));
    buf_add_decimal(&b, STR("-1.5"));
    buf_add_decimal(&b, STR(""));
    assert_string_equal(b.p, "-0.1250.5-1.5");
}

static void test_reader__past_the_end_is_sticky(void **state)
{
    struct reader r = reader_of("\0\0\0\5ab", 6);
    (void)state;
    assert_int_equal(reader_be32(&r), 5);
    assert_null(reader_bytes(&r, 3));
    assert_true(r.failed);
    assert_int_equal(reader_u8(&r), 0);
}

static void test_arena__reset_keeps_a_block(void **state)
{
    CLEANUP(arena_deinit) struct arena a = {0};
    (void)state;
    for (int i = 0; i < 10000; i++)
        memset(arena_alloc(&a, 100), i, 100);
    assert_true(a.used >= 1000000);
    arena_reset(&a);
    assert_true(a.used <= 1 << 20);
    assert_string_equal(arena_printf(&a, "%d", 42), "42");
}

static void test_map__put_get_remove_many(void **state)
{
    CLEANUP(map_deinit) struct map m = {0};
    CLEANUP(imap_deinit) struct imap im = {0};
    CLEANUP(arena_deinit) struct arena a = {0};
    static int values[5000];
    (void)state;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 5000; i++) {
            char *k = arena_printf(&a, "key%d", i);
            map_put(&m, str_of(k), &values[i]);
            imap_put(&im, (uint64_t)i * 1000003, &values[i]);
            if (i % 3 == 0) {
                assert_ptr_equal(map_remove(&m, str_of(k)), &values[i]);
                assert_ptr_equal(imap_remove(&im, (uint64_t)i * 1000003), &values[i]);
            }
        }
    size_t n = 0, cursor = 0;
    void *v;
    while (map_next(&m, &cursor, NULL, &v) == 0)
        n++;
    assert_int_equal(n, m.n);
    assert_int_equal(m.n, 5000 - 1667);
    assert_int_equal(im.n, m.n);
    assert_null(map_get(&m, STR("key3")));
    assert_ptr_equal(map_get(&m, STR("key4")), &values[4]);
}

static void test_file__replace_and_read_within_a_limit(void **state)
{
    const char *tmp = getenv("SLUICE_TEST_TMP");
    CLEANUP(mem_freep) char *dir = mem_printf("%s/base_test_files/deep", tmp ? tmp : "/tmp");
    CLEANUP(mem_freep) char *path = mem_printf("%s/f", dir);
    CLEANUP(buf_deinit) struct buf b = {.max = 3};
    struct err err = {0};
    (void)state;
    assert_int_equal(file_remove_tree(dir, &err), 0);
    assert_int_equal(file_make_dirs(dir, &err), 0);
    assert_int_equal(file_replace(path, "one", 3, &err), 0);
    assert_int_equal(file_read(path, &b, &err), 0);
    assert_string_equal(b.p, "one");
    assert_int_equal(file_replace(path, "four", 4, &err), 0);
    buf_reset(&b);
    assert_int_equal(file_read(path, &b, &err), ERR_LIMIT);
    assert_int_equal(file_remove_tree(dir, &err), 0);
    assert_false(file_exists(path));
}

static void test_clock__text_of_odd_times(void **state)
{
    char t[CLOCK_TEXT];
    int64_t y;
    unsigned m, d;
    (void)state;
    assert_string_equal(clock_text(0, t), "1970-01-01T00:00:00.000000Z");
    assert_string_equal(clock_text(-1, t), "1969-12-31T23:59:59.999999Z");
    for (int64_t day = -3000000; day < 3000000; day += 777) {
        clock_civil_from_days(day, &y, &m, &d);
        assert_int_equal(clock_days_from_civil(y, m, d), day);
    }
}

static void test_err__wrap_puts_context_first(void **state)
{
    struct err err = {0};
    (void)state;
    assert_int_equal(err_set(&err, ERR_INPUT, "bad\nbyte %d", 7), ERR_INPUT);
    assert_int_equal(err_wrap(&err, "table %s", "t"), ERR_INPUT);
    assert_string_equal(err.msg, "table t: bad byte 7");
    assert_int_equal(err_exit_code(ERR_INPUT), 3);
    assert_int_equal(err_exit_code(ERR_CHECK), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_str__split_and_glob),
        cmocka_unit_test(test_str__numbers_are_whole_and_bounded),
        cmocka_unit_test(test_str__utf8_rejects_surrogates_and_overlong),
        cmocka_unit_test(test_buf__limit_is_sticky),
        cmocka_unit_test(test_buf__json_and_sql_quoting),
        cmocka_unit_test(test_reader__past_the_end_is_sticky),
        cmocka_unit_test(test_arena__reset_keeps_a_block),
        cmocka_unit_test(test_map__put_get_remove_many),
        cmocka_unit_test(test_file__replace_and_read_within_a_limit),
        cmocka_unit_test(test_clock__text_of_odd_times),
        cmocka_unit_test(test_err__wrap_puts_context_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
