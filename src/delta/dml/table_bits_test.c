/* Where operators of bits get their brackets. Spark's values: tests/lib/expressions.py. */
#include "delta/dml/table_bits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_table_bits__each_operator_has_its_precedence(void **state)
{
    static const char *const pairs[][2] = {
        {"a || b = '|^&~'", "a || b = '|^&~'"},
        {"a | b|c", " a | b | c "},
        {"a|b&c", " a | ( b & c ) "},
        {"a ^ b & 1", " xor(a, ( b & 1 )) "},
        {"a ^ b ^ c", " xor(xor(a, b), c) "},
        {"a << 2 >> b", " shiftright(shiftleft(a, 2), b) "},
        {"~a + 1", "(~ a) + 1"},
        {"~ ~-f(a).b[1], 2", "(~  (~ -f(a).b[1])), 2"},
        {"a < b | c AND NOT d&e", "a < b | c AND NOT d & e "},
        {"CAST(a AS ARRAY<ARRAY<INT>>) = f(~x)", "CAST(a AS ARRAY<ARRAY<INT>>) = f((~ x))"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        CLEANUP(buf_deinit) struct buf out = {0};
        struct err err;
        assert_int_equal(table_bits(str_of(pairs[i][0]), &out, &err), 0);
        assert_string_equal(out.p, pairs[i][1]);
    }
}

static void test_table_bits__any_part_of_an_expression_is_survived(void **state)
{
    struct str whole = STR("f(a | [b) ^ CASE ~ 'x' >>> R\"\\\" END & `n``` << ~CASE WHEN 1 THEN 2 END | ~");
    (void)state;
    for (size_t begin = 0; begin < whole.n; begin++)
        for (size_t end = begin; end <= whole.n; end++) {
            CLEANUP(buf_deinit) struct buf out = {0};
            CLEANUP(buf_deinit) struct buf copy = {0}; /* of its own, for its end to be guarded */
            struct err err;
            buf_add(&copy, whole.p + begin, end - begin);
            int rc = table_bits(buf_str(&copy), &out, &err);
            assert_true(rc == 0 || rc == ERR_USAGE);
        }
}

static void test_table_bits__what_is_too_long_or_no_pair_is_said(void **state)
{
    CLEANUP(buf_deinit) struct buf out = {0}, in = {0};
    struct err err;
    (void)state;
    assert_int_equal(table_bits(STR("a & end"), &out, &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "`backquotes`"));
    assert_int_equal(table_bits(STR("a & `end`"), &out, &err), 0);
    buf_add_cstr(&in, "a");
    for (int i = 0; i < 300; i++)
        buf_add_cstr(&in, " ^ a");
    assert_int_equal(table_bits(buf_str(&in), &out, &err), ERR_LIMIT);
    buf_reset(&in);
    for (int i = 0; i < 100000; i++)
        buf_add_char(&in, '~');
    assert_int_equal(table_bits(buf_str(&in), &out, &err), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_bits__each_operator_has_its_precedence),
        cmocka_unit_test(test_table_bits__any_part_of_an_expression_is_survived),
        cmocka_unit_test(test_table_bits__what_is_too_long_or_no_pair_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
