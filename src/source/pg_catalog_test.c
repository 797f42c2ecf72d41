/* Patterns for tables and columns. */
#include "source/pg_catalog.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool table(const struct pg_filter *f, const char *schema, const char *name)
{
    return pg_filter_table(f, str_of(schema), str_of(name));
}

static bool column(const struct pg_filter *f, const char *schema, const char *name, const char *col)
{
    return pg_filter_column(f, str_of(schema), str_of(name), str_of(col));
}

static void test_pg_filter_table__nothing_said_takes_everything(void **state)
{
    assert_true(table(&(struct pg_filter){0}, "app", "orders"));
}

static void test_pg_filter_table__no_dot_means_public(void **state)
{
    struct str include[] = {STR("orders"), STR("app.*")};
    struct pg_filter f = {.include = include, .n_include = 2};

    assert_true(table(&f, "public", "orders"));
    assert_false(table(&f, "public", "orders2"));
    assert_false(table(&f, "crm", "orders"));
    assert_true(table(&f, "app", "anything"));
}

static void test_pg_filter_table__exclude_wins(void **state)
{
    struct str include[] = {STR("public.*")}, exclude[] = {STR("tmp_?")};
    struct pg_filter f = {.include = include, .n_include = 1, .exclude = exclude, .n_exclude = 1};

    assert_true(table(&f, "public", "tmp_10"));
    assert_false(table(&f, "public", "tmp_1"));
}

static void test_pg_filter_column__include_restricts_only_its_tables(void **state)
{
    struct str include[] = {STR("users.id"), STR("users.na*")};
    struct pg_filter f = {.include_columns = include, .n_include_columns = 2};

    assert_true(column(&f, "public", "users", "name"));
    assert_false(column(&f, "public", "users", "email"));
    assert_true(column(&f, "public", "orders", "email"));
    assert_true(column(&f, "app", "users", "email"));
}

static void test_pg_filter_column__exclude_by_name_in_any_table(void **state)
{
    struct str exclude[] = {STR("password*"), STR("app.users.ssn")};
    struct pg_filter f = {.exclude_columns = exclude, .n_exclude_columns = 2};

    assert_false(column(&f, "any", "where", "password_hash"));
    assert_false(column(&f, "app", "users", "ssn"));
    assert_true(column(&f, "public", "users", "ssn"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_filter_table__nothing_said_takes_everything),
        cmocka_unit_test(test_pg_filter_table__no_dot_means_public),
        cmocka_unit_test(test_pg_filter_table__exclude_wins),
        cmocka_unit_test(test_pg_filter_column__include_restricts_only_its_tables),
        cmocka_unit_test(test_pg_filter_column__exclude_by_name_in_any_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
