/* Bounds of partitions: what is read, what condition it makes, and what says nothing. */
#include "codec/pg_bounds.h"

#include "base/mem.h"
#include "codec/pg_type.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define US "\x1f"

static int add_column(void *ctx, int16_t attnum, struct buf *out, struct err *err)
{
    (void)ctx, (void)err;
    buf_printf(out, "c%d", attnum);
    return 0;
}

static int add_value(void *ctx, int16_t attnum, struct str text, struct buf *out, struct err *err)
{
    (void)ctx, (void)attnum, (void)err;
    buf_add_sql_literal(out, text);
    return 0;
}

/* The condition of an entry with these levels; "none": it is not read. */
static void check(const char *levels, const char *want)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct pg_bounds_writer w = {add_column, add_value, NULL};
    struct str entry = str_of(arena_printf(&arena, "16403" US "745" US "public.\"a b\"" US "%s", levels));
    struct pg_bounds_head head;
    struct pg_bounds b;

    if (pg_bounds_read(entry, &arena, &b)) {
        assert_true(pg_bounds_read_head(entry, &head) && str_is(head.levels, levels));
        assert_int_equal(head.oid, 16403);
        assert_int_equal(head.link, 745);
        assert_true(str_is(b.name, "public.\"a b\""));
        assert_int_equal(pg_bounds_add_sql(&b, &w, &sql, NULL), 0);
    } else {
        buf_add_cstr(&sql, "none");
    }
    assert_string_equal(sql.p, want);
}

static void test_bounds__make_a_condition(void **state)
{
    (void)state;
    check("r3" US "FOR VALUES FROM (1) TO ('-5')", "(c3 IS NOT NULL AND c3 >= '1' AND c3 < '-5')");
    check("r3" US "FOR VALUES FROM (MINVALUE) TO ('2024-01-01')", "(c3 IS NOT NULL AND true AND c3 < '2024-01-01')");
    check("r3" US "FOR VALUES FROM ('MINVALUE') TO (MAXVALUE)", "(c3 IS NOT NULL AND c3 >= 'MINVALUE' AND true)");
    check("l1" US "FOR VALUES IN ('it''s', 'a, b', ')', '')", "((c1 IN ('it''s', 'a, b', ')', '')))");
    check("l1" US "FOR VALUES IN (NULL)", "((c1 IS NULL))");
    check("l1" US "FOR VALUES IN (true, NULL, 'NULL')", "((c1 IN ('t', 'NULL') OR c1 IS NULL))");
    check("l1" US "FOR VALUES IN ('''')", "((c1 IN ('''')))");
    check("l2" US "FOR VALUES IN (1)" US "r1" US "FOR VALUES FROM (1) TO (2)",
          "((c2 IN ('1')) AND c1 IS NOT NULL AND c1 >= '1' AND c1 < '2')");
}

static void test_bounds__of_several_columns_compare_like_words(void **state)
{
    (void)state;
    check(
        "r1,2" US "FOR VALUES FROM (1, 2) TO (3, 4)",
        "(c1 IS NOT NULL AND c2 IS NOT NULL AND c1 >= '1' AND c1 <= '3' AND (c1 > '1' OR (c1 = '1' AND c2 >= '2')) AND "
        "(c1 < '3' OR (c1 = '3' AND c2 < '4')))");
    check("r1,2" US "FOR VALUES FROM (1, MINVALUE) TO (3, MINVALUE)",
          "(c1 IS NOT NULL AND c2 IS NOT NULL AND c1 >= '1' AND c1 <= '3' AND (c1 > '1' OR (c1 = '1' AND true)) AND "
          "(c1 < '3' OR (c1 = '3' AND false)))");
    check("r1,2" US "FOR VALUES FROM (1, MAXVALUE) TO (3, MAXVALUE)",
          "(c1 IS NOT NULL AND c2 IS NOT NULL AND c1 >= '1' AND c1 <= '3' AND (c1 > '1' OR (c1 = '1' AND false)) AND "
          "(c1 < '3' OR (c1 = '3' AND true)))");
}

static void test_bounds__that_say_nothing_of_a_row_are_not_read(void **state)
{
    static const char *const levels[] = {
        "",
        "r3",
        "r3" US "",
        "r3" US "DEFAULT",
        "h3" US "FOR VALUES WITH (modulus 4, remainder 0)",
        "r0" US "FOR VALUES FROM (1) TO (2)",
        "r3,0" US "FOR VALUES FROM (1, 1) TO (2, 2)",
        "r3" US "FOR VALUES FROM (1, 2) TO (3, 4)",
        "r3" US "FOR VALUES FROM (1) TO (2) ",
        "r3" US "FOR VALUES FROM (1) TO (2",
        "r3" US "FOR VALUES FROM (1) TO ('2",
        "r3" US "FOR VALUES FROM (f(1)) TO (2)",
        "l3" US "FOR VALUES IN ()",
        "l3" US "FOR VALUES IN ('a' || 'b')",
        "l3" US "FOR VALUES IN ('a)",
        "l3" US "?",
        "l3,4" US "FOR VALUES IN (1)",
        "r3" US "FOR VALUES FROM (1) TO (2)" US "h1",
        "r99999" US "FOR VALUES FROM (1) TO (2)",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        check(levels[i], "none");
}

static void test_bounds__cut_short_anywhere_are_not_read(void **state)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct str entry = STR("1" US "2" US "n" US "l2" US "FOR VALUES IN ('x', 2, NULL)");
    struct pg_bounds b;

    (void)state;
    for (size_t n = 0; n < entry.n; n++) {
        char *copy = mem_strndup(entry.p, n); /* so that a read past the end shows */
        assert_false(pg_bounds_read(str_make(copy, n), &arena, &b));
        mem_free(copy);
    }
    assert_true(pg_bounds_read(entry, &arena, &b));
}

/* Reads the level and asks of a column of the type. */
static void check_type(const char *level, uint32_t oid, char typtype, int32_t typmod, bool tells, bool may_be_null)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct relation_column col = {.type_oid = oid, .declared_oid = oid, .typtype = typtype, .typmod = typmod};
    struct pg_bounds b;

    assert_true(pg_bounds_read(str_of(arena_printf(&arena, "1" US "2" US "n" US "%s", level)), &arena, &b));
    assert_int_equal(pg_bounds_tell(&b.levels[0], 0, &col), tells);
    assert_int_equal(pg_bounds_may_be_null(&b.levels[0], 0, &col), may_be_null);
}

static void test_bounds__tell_by_the_type(void **state)
{
    static const char range[] = "r1" US "FOR VALUES FROM (1) TO (2)",
                      open[] = "r1" US "FOR VALUES FROM (MINVALUE) TO (2)", list[] = "l1" US "FOR VALUES IN (1)",
                      null[] = "l1" US "FOR VALUES IN (1, NULL)";
    enum { ENUM = 99999, NUMERIC_10_2 = (10 << 16 | 2) + 4 };

    (void)state;
    check_type(range, PG_OID_INT4, 'b', -1, true, false);
    check_type(open, PG_OID_INT4, 'b', -1, true, false);
    check_type(null, PG_OID_INT4, 'b', -1, true, false);
    check_type(range, PG_OID_UUID, 'b', -1, true, false);
    check_type(range, PG_OID_DATE, 'b', -1, true, false);
    check_type(open, PG_OID_TIMESTAMPTZ, 'b', -1, true, true);
    check_type(null, PG_OID_TIMESTAMPTZ, 'b', -1, false, false);
    check_type(range, PG_OID_NUMERIC, 'b', NUMERIC_10_2, true, false);
    check_type(range, PG_OID_NUMERIC, 'b', -1, false, false);
    check_type(list, PG_OID_BOOL, 'b', -1, true, false);
    check_type(range, PG_OID_BOOL, 'b', -1, false, false);
    check_type(null, PG_OID_TEXT, 'b', -1, true, false);
    check_type(list, PG_OID_BPCHAR, 'b', -1, false, false);
    check_type(list, ENUM, 'e', -1, true, false);
    check_type(range, ENUM, 'e', -1, false, false);
    check_type(list, PG_OID_FLOAT8, 'b', -1, false, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds__make_a_condition),
        cmocka_unit_test(test_bounds__of_several_columns_compare_like_words),
        cmocka_unit_test(test_bounds__that_say_nothing_of_a_row_are_not_read),
        cmocka_unit_test(test_bounds__cut_short_anywhere_are_not_read),
        cmocka_unit_test(test_bounds__tell_by_the_type),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
