/* Tests of the table rewriter: what is a table, what is not, what it becomes. */
#include "sql/rewrite.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Replaces every table by T(name|travel) and leaves calls except table_changes. */
static int replace(void *ctx, const struct sql_ref *ref, struct buf *out, struct err *err)
{
    (void)ctx, (void)err;
    if (ref->is_call && !str_is(ref->table.name.text, "table_changes"))
        return 1;
    if (ref->is_call) {
        buf_printf(out, "C(%.*s)", STR_ARG(ref->args));
        return 0;
    }
    if (ref->table.name.n_parts && str_has_prefix(ref->table.name.parts[0], STR("other")))
        return 1;
    buf_printf(out, "T(%.*s", STR_ARG(ref->table.path.n ? ref->table.path : ref->table.name.text));
    if (ref->table.travel.kind)
        buf_printf(out, "%c%.*s", ref->table.travel.kind == TRAVEL_VERSION ? '@' : '#',
                   STR_ARG(ref->table.travel.expr));
    buf_add_char(out, ')');
    return 0;
}

static const char *rewrite(const char *sql)
{
    static char text[65536];
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(buf_deinit) struct buf out = {0};
    struct err err;

    int rc = sql_rewrite(&arena, str_of(sql), replace, NULL, &out, &err);
    snprintf(text, sizeof text, "%s", rc < 0 ? err.msg : out.p ? out.p : "");
    return text;
}

#define CHECK(sql, expected) assert_string_equal(rewrite(sql), expected)
#define SAME(sql) CHECK(sql, sql)

static void test_rewrite__names_in_backquotes_become_quoted_names(void **state)
{
    (void)state;
    CHECK("SELECT `a b`, t.`c``d\"e`, '`x`', \"`\" -- `y`\nFROM `t` WHERE `a b` = 1 /* ` */",
          "SELECT \"a b\", t.\"c`d\"\"e\", '`x`', \"`\" -- `y`\nFROM T(`t`) AS \"t\" WHERE \"a b\" = 1 /* ` */");
    CHECK("SELECT `f`(1) FROM other.`t x` `u`", "SELECT \"f\"(1) FROM other.\"t x\" \"u\"");
}

static void test_rewrite__tables_in_from_and_join(void **state)
{
    (void)state;
    CHECK("SELECT * FROM a", "SELECT * FROM T(a) AS \"a\"");
    CHECK("select a.x from s.a, \"B c\" b where a.x = 1",
          "select a.x from T(s.a) AS \"a\", T(\"B c\") b where a.x = 1");
    CHECK("FROM a SELECT x", "FROM T(a) AS \"a\" SELECT x");
    CHECK(
        "SELECT * FROM a x JOIN b AS y ON x.i = y.i AND f(1, 2), c LEFT JOIN d USING (i, j) WHERE i IN (1, 2)",
        "SELECT * FROM T(a) x JOIN T(b) AS y ON x.i = y.i AND f(1, 2), T(c) AS \"c\" LEFT JOIN T(d) AS \"d\" USING (i, j) "
        "WHERE i IN (1, 2)");
    CHECK("SELECT * FROM (a JOIN b ON true) x, LATERAL (SELECT * FROM c) y",
          "SELECT * FROM (T(a) AS \"a\" JOIN T(b) AS \"b\" ON true) x, LATERAL (SELECT * FROM T(c) AS \"c\") y");
    CHECK("SELECT * FROM ((SELECT 1 FROM a) UNION (FROM b)) u, c",
          "SELECT * FROM ((SELECT 1 FROM T(a) AS \"a\") UNION (FROM T(b) AS \"b\")) u, T(c) AS \"c\"");
    CHECK("SELECT 1 FROM a UNION ALL SELECT 2 FROM b ORDER BY 1, 2 LIMIT 3",
          "SELECT 1 FROM T(a) AS \"a\" UNION ALL SELECT 2 FROM T(b) AS \"b\" ORDER BY 1, 2 LIMIT 3");
    CHECK("SELECT * FROM a TABLESAMPLE 10% -- from x\n, b /* , c */",
          "SELECT * FROM T(a) AS \"a\" TABLESAMPLE 10% -- from x\n, T(b) AS \"b\" /* , c */");
    CHECK("SELECT * FROM x : a", "SELECT * FROM x : T(a) AS \"a\"");
}

static void test_rewrite__paths_and_points_in_time(void **state)
{
    (void)state;
    CHECK("SELECT * FROM delta.`/a b` x, '/c', delta.\"/d\"", "SELECT * FROM T(/a b) x, T(/c), T(/d)");
    CHECK("SELECT * FROM a AT (VERSION => 3) x", "SELECT * FROM T(a@3) x");
    CHECK("SELECT * FROM a VERSION AS OF 3, b FOR VERSION AS OF 4 JOIN c TIMESTAMP AS OF '2024-01-01' ON true",
          "SELECT * FROM T(a@3) AS \"a\", T(b@4) AS \"b\" JOIN T(c#'2024-01-01') AS \"c\" ON true");
    CHECK("SELECT * FROM a TIMESTAMP AS OF current_timestamp() - INTERVAL 7 DAYS x",
          "SELECT * FROM T(a#current_timestamp() - INTERVAL 7 DAYS) x");
    CHECK("SELECT * FROM a AT (TIMESTAMP => now()::TIMESTAMP - INTERVAL '1 day') WHERE b",
          "SELECT * FROM T(a#now()::TIMESTAMP - INTERVAL '1 day') AS \"a\" WHERE b");
    CHECK("SELECT * FROM delta.`/p` VERSION AS OF 0", "SELECT * FROM T(/p@0)");
    CHECK("SELECT * FROM a VERSION AS OF",
          "line 1, column 30: expected a point in time, found the end of the statement");
    CHECK("SELECT * FROM other VERSION AS OF 1",
          "line 1, column 15: other is not a Delta table, so it has no older versions to read");
}

static void test_rewrite__leaves_what_is_no_table(void **state)
{
    (void)state;
    SAME("SELECT extract(year FROM d), trim(both ' ' FROM x), substring(x FROM 2 FOR 3)");
    SAME("SELECT a IS DISTINCT FROM b, a IS NOT DISTINCT FROM c");
    SAME("SELECT 1");
    SAME("");
    SAME("SELECT * FROM range(3) t(i), unnest([1, 2]) u, other, (VALUES (1, 2)) v(a, b)");
    SAME("SET x = 1, y = 2");
    SAME("DELETE FROM a");
    SAME("UPDATE a SET x = 1 FROM b");
    SAME("SELECT ' FROM a', \"FROM\", $$ FROM a $$");
    SAME("SELECT x::timestamp with time zone, y");
    SAME("SELECT )) FROM");
    CHECK("SELECT * FROM table_changes('a', 1, 2) c, f((SELECT max(x) FROM a))",
          "SELECT * FROM C('a', 1, 2) c, f((SELECT max(x) FROM T(a) AS \"a\"))");
    CHECK("id IN (SELECT id FROM a) AND EXISTS (FROM b)",
          "id IN (SELECT id FROM T(a) AS \"a\") AND EXISTS (FROM T(b) AS \"b\")");
    CHECK("SELECT extract(year FROM (SELECT d FROM a))", "SELECT extract(year FROM (SELECT d FROM T(a) AS \"a\"))");
}

static void test_rewrite__common_table_expressions_hide_tables(void **state)
{
    (void)state;
    CHECK(
        "WITH a AS (SELECT * FROM a), b(x) AS NOT MATERIALIZED (FROM a) SELECT * FROM a, B, s.a, c",
        "WITH a AS (SELECT * FROM T(a) AS \"a\"), b(x) AS NOT MATERIALIZED (FROM a) SELECT * FROM a, B, T(s.a) AS \"a\", "
        "T(c) AS \"c\"");
    SAME("WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 3) SELECT * FROM r");
    CHECK("SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) x, a",
          "SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) x, T(a) AS \"a\"");
    SAME("WITH a AS (SELECT 1) SELECT (SELECT max(x) FROM a), (WITH b AS (FROM a) FROM b)");
    CHECK("WITH a AS (SELECT 1) FROM a, b", "WITH a AS (SELECT 1) FROM a, T(b) AS \"b\"");
}

static void test_rewrite__statements_that_take_a_table(void **state)
{
    (void)state;
    CHECK("COPY a TO 'x.csv'", "COPY (FROM T(a)) TO 'x.csv'");
    CHECK("COPY (SELECT * FROM a) TO 'x.csv'", "COPY (SELECT * FROM T(a) AS \"a\") TO 'x.csv'");
    SAME("COPY a FROM 'x.csv'");
    CHECK("DESCRIBE a", "DESCRIBE (FROM T(a))");
    CHECK("SUMMARIZE s.a", "SUMMARIZE (FROM T(s.a))");
    CHECK("DESCRIBE SELECT * FROM a", "DESCRIBE SELECT * FROM T(a) AS \"a\"");
    CHECK("PIVOT a ON b USING sum(c)", "PIVOT T(a) AS \"a\" ON b USING sum(c)");
    CHECK("EXPLAIN FROM a", "EXPLAIN FROM T(a) AS \"a\"");
    CHECK("CREATE TEMP TABLE x AS FROM a", "CREATE TEMP TABLE x AS FROM T(a) AS \"a\"");
    CHECK("EXPLAIN ANALYZE SELECT * FROM a", "EXPLAIN ANALYZE SELECT * FROM T(a) AS \"a\"");
}

static void test_rewrite__nesting_has_a_limit(void **state)
{
    char sql[3000];
    (void)state;
    memset(sql, '(', sizeof sql);
    sql[sizeof sql - 1] = 0;
    assert_non_null(strstr(rewrite(sql), "nested more than 1000 deep"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rewrite__names_in_backquotes_become_quoted_names),
        cmocka_unit_test(test_rewrite__tables_in_from_and_join),
        cmocka_unit_test(test_rewrite__paths_and_points_in_time),
        cmocka_unit_test(test_rewrite__leaves_what_is_no_table),
        cmocka_unit_test(test_rewrite__common_table_expressions_hide_tables),
        cmocka_unit_test(test_rewrite__statements_that_take_a_table),
        cmocka_unit_test(test_rewrite__nesting_has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
