/* The engine as its callers see it: results, rendering of every type, errors with their codes, limits, interruption. */
#include "base/arena.h"
#include "base/mem.h"
#include "engine/feed.h"
#include "engine/render.h"
#include "engine/scan_files.h"
#include "model/batch.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct engine *engine;
static struct engine_conn *conn;

static int setup(void **state)
{
    struct err err = {0};
    struct engine_options options = {.threads = 2, .memory_limit_bytes = 64 << 20};

    (void)state;
    if (engine_open(&options, &engine, &err) < 0 || engine_connect(engine, &conn, &err) < 0) {
        print_error("%s\n", err.msg);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    engine_conn_freep(&conn);
    engine_freep(&engine);
    return 0;
}

/* The first row of a statement as JSON. */
static char *json_of(const char *sql)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;
    struct err err = {0};
    struct buf out = {0};

    if (engine_query(conn, sql, &result, &err) < 0 || engine_result_next(result, &chunk, &err) < 0)
        fail_msg("%s: %s", sql, err.msg);
    render_json_row(&out, result, chunk, 0);
    return buf_take(&out);
}

static char *text_of(const char *sql)
{
    struct err err = {0};
    struct buf out = {0};

    if (engine_query_text(conn, sql, &out, &err) < 0)
        fail_msg("%s: %s", sql, err.msg);
    return buf_take(&out);
}

#define assert_json(expr, expected)                        \
    do {                                                   \
        char *got_ = json_of("SELECT " expr " AS x");      \
        assert_string_equal(got_, "{\"x\":" expected "}"); \
        mem_free(got_);                                    \
    } while (0)

static void test_json__numbers_are_exact(void **state)
{
    (void)state;
    assert_json("true", "true");
    assert_json("NULL", "null");
    assert_json("(-128)::TINYINT", "-128");
    assert_json("18446744073709551615::UBIGINT", "18446744073709551615");
    assert_json("(-170141183460469231731687303715884105728)::HUGEINT", "-170141183460469231731687303715884105728");
    assert_json("340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455");
    assert_json("(-0.05)::DECIMAL(4,2)", "-0.05");
    assert_json("147::DECIMAL(9,2)", "147.00");
    assert_json("12345678901234567890123456789012345678::DECIMAL(38,0)", "12345678901234567890123456789012345678");
    assert_json("(-1.2345678901234567890123456789012345678)::DECIMAL(38,37)",
                "-1.2345678901234567890123456789012345678");
    assert_json("'123456789012345678901234567890123456789012345'::BIGNUM",
                "123456789012345678901234567890123456789012345");
    assert_json("(-256)::BIGNUM", "-256");
    assert_json("0.1::DOUBLE", "0.1");
    assert_json("3.14::FLOAT", "3.14");
    assert_json("1e300::DOUBLE", "1e+300");
    assert_json("0.30000000000000004::DOUBLE", "0.30000000000000004");
    assert_json("[1::DOUBLE, 'nan', 'inf', '-inf']::DOUBLE[]", "[1.0,\"NaN\",\"Infinity\",\"-Infinity\"]");
}

static void test_json__times_are_iso_8601(void **state)
{
    (void)state;
    assert_json("DATE '2026-11-23'", "\"2026-11-23\"");
    assert_json("'infinity'::DATE", "\"infinity\"");
    assert_json("'0044-03-15 (BC)'::DATE", "\"-0043-03-15\"");
    assert_json("TIMESTAMP '2026-11-23 01:02:03.4'", "\"2026-11-23T01:02:03.400000\"");
    assert_json("TIMESTAMPTZ '2026-11-23 01:02:03+02'", "\"2026-11-22T23:02:03Z\"");
    assert_json("TIMESTAMPTZ '1969-12-31 23:59:59.999999+00'", "\"1969-12-31T23:59:59.999999Z\"");
    assert_json("'2026-11-23 01:02:03.5'::TIMESTAMP_MS", "\"2026-11-23T01:02:03.500\"");
    assert_json("'2026-11-23 01:02:03'::TIMESTAMP_S", "\"2026-11-23T01:02:03\"");
    assert_json("'2026-11-23 01:02:03.123456789'::TIMESTAMP_NS", "\"2026-11-23T01:02:03.123456789\"");
    assert_json("TIME '01:02:03.5'", "\"01:02:03.500000\"");
    assert_json("'01:02:03+05:30'::TIMETZ", "\"01:02:03+05:30\"");
    assert_json("INTERVAL '1 year 2 months 1 day 01:00:00.5'", "\"1 year 2 months 1 day 01:00:00.5\"");
}

static void test_json__text_binary_and_nested(void **state)
{
    (void)state;
    assert_json("'a\"b' || chr(10) || 'é'", "\"a\\\"b\\né\"");
    assert_json("'\\x00\\xFFab'::BLOB", "\"AP9hYg==\"");
    assert_json("'01010'::BIT", "\"01010\"");
    assert_json("'a2b1c3d4-0000-4000-8000-00000000000f'::UUID", "\"a2b1c3d4-0000-4000-8000-00000000000f\"");
    assert_json("'b'::ENUM('a', 'b')", "\"b\"");
    assert_json("[1, NULL, 3]", "[1,null,3]");
    assert_json("[]", "[]");
    assert_json("[[1], NULL, [2, 3]]", "[[1],null,[2,3]]");
    assert_json("array_value(1, 2, 3)", "[1,2,3]");
    assert_json("{'a': 1, 'b': [{'c': 'x'}]}", "{\"a\":1,\"b\":[{\"c\":\"x\"}]}");
    assert_json("map {1: 'x', 2: NULL}", "{\"1\":\"x\",\"2\":null}");
    assert_json("'{\"k\": \n[1]}'::JSON", "{\"k\":  [1]}");
    assert_json("union_value(num := 7)", "7");
}

static void test_json__of_a_variant_is_the_json_of_spark(void **state)
{
    static const char *const cases[][2] = {
        {"NULL::VARIANT", "null"},
        {"true", "true"},
        {"-7", "-7"},
        {"12345678901234567890123456789::HUGEINT", "12345678901234567890123456789"},
        {"1.50::DECIMAL(5,2)", "1.5"},
        {"-1.5::DECIMAL(38,10)", "-1.5"},
        {"-100::DECIMAL(5,2)", "-100"},
        {"0::DECIMAL(5,2)", "0"},
        {"2.25::DOUBLE", "2.25"},
        {"'nan'::FLOAT", "\"NaN\""},
        {"'twelve bytes'", "\"twelve bytes\""},
        {"'thirteen byte\"'", "\"thirteen byte\\\"\""},
        {"''", "\"\""},
        {"'\\x01\\x02'::BLOB", "\"AQI=\""},
        {"DATE '2024-01-01'", "\"2024-01-01\""},
        {"TIMESTAMP '2024-01-01 00:00:00.5'", "\"2024-01-01 00:00:00.5\""},
        {"TIMESTAMPTZ '2024-01-01 00:00:00Z'", "\"2024-01-01 00:00:00+00:00\""},
        {"[1, NULL, 3]", "[1,null,3]"},
        {"[]::INTEGER[]", "[]"},
        {"{'b': {'c': [{'d': 'x'}]}, 'a': NULL}", "{\"b\":{\"c\":[{\"d\":\"x\"}]},\"a\":null}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char sql[256];
        snprintf(sql, sizeof sql, "SELECT v FROM (SELECT (%s)::VARIANT AS v FROM range(3000)) OFFSET 2999",
                 cases[i][0]);
        CLEANUP(engine_result_freep) struct engine_result *result = NULL;
        CLEANUP(buf_deinit) struct buf out = {0};
        const struct engine_chunk *chunk;
        assert_int_equal(engine_query(conn, sql, &result, NULL), 0);
        assert_int_equal(engine_result_next(result, &chunk, NULL), 0);
        render_json(&out, &chunk->cols[0], 0);
        assert_string_equal(out.p, cases[i][1]);
    }
}

static void test_text__is_what_duckdb_casts_to(void **state)
{
    static const char *exprs[] = {
        "true",
        "(-1)::BIGINT",
        "1.50::DECIMAL(5,2)",
        "0.1::DOUBLE",
        "2::DOUBLE",
        "DATE '2026-11-23'",
        "'0044-03-15 (BC)'::DATE",
        "TIMESTAMP '2026-11-23 01:02:03.4'",
        "'0044-03-15 (BC) 01:02:03'::TIMESTAMP",
        "TIMESTAMPTZ '2026-11-23 01:02:03.000001+02'",
        "TIME '01:02:03.5'",
        "'01:02:03+05:30'::TIMETZ",
        "INTERVAL '1 year -3 days'",
        "INTERVAL '-00:00:00.5'",
        "'\\x00ab\\x5C'::BLOB",
        "'0101'::BIT",
        "uuid()",
        "'x'::VARCHAR",
        "(-99999999999999999999999)::BIGNUM",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(exprs); i++) {
        char sql[256];
        snprintf(sql, sizeof sql, "CREATE OR REPLACE TEMP TABLE t AS SELECT %s AS x", exprs[i]);
        assert_int_equal(engine_exec(conn, sql, NULL), 0);
        CLEANUP(mem_freep) char *ours = text_of("SELECT x FROM t");
        CLEANUP(mem_freep) char *theirs = text_of("SELECT CAST(x AS VARCHAR) FROM t");
        assert_string_equal(ours, theirs);
    }
}

static void test_csv__quotes_what_must_be(void **state)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;
    CLEANUP(buf_deinit) struct buf out = {0};

    (void)state;
    assert_int_equal(engine_query(conn, "SELECT 'plain', 'a,b', 'say \"hi\"', '', NULL, chr(10)", &result, NULL), 0);
    assert_int_equal(engine_result_next(result, &chunk, NULL), 0);
    for (uint32_t i = 0; i < chunk->n_cols; i++) {
        render_csv(&out, &chunk->cols[i], 0);
        buf_add_char(&out, '|');
    }
    assert_string_equal(out.p, "plain|\"a,b\"|\"say \"\"hi\"\"\"|\"\"||\"\n\"|");
}

static void test_query__streams_all_rows(void **state)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;
    uint64_t n = 0, sum = 0, nulls = 0;
    int rc;

    (void)state;
    assert_int_equal(
        engine_query(conn, "SELECT i, CASE WHEN i % 3 > 0 THEN 'v' || i END FROM range(100000) t(i)", &result, NULL),
        0);
    assert_true(engine_result_has_rows(result));
    while ((rc = engine_result_next(result, &chunk, NULL)) == 0) {
        for (uint32_t i = 0; i < chunk->n; i++) {
            sum += (uint64_t)engine_i64(&chunk->cols[0], i);
            nulls += engine_is_null(&chunk->cols[1], i);
        }
        n += chunk->n;
    }
    assert_int_equal(rc, 1);
    assert_int_equal(n, 100000);
    assert_int_equal(sum, 4999950000);
    assert_int_equal(nulls, 33334);
}

struct visited {
    int64_t n, nulls, bad, fail_at;
};

/* On any thread: what is wrong is only counted. */
static int count_in_order(void *ctx, const struct engine_chunk *chunk, struct err *err)
{
    struct visited *v = ctx;

    for (uint32_t i = 0; i < chunk->n; i++) {
        struct str text = engine_str(&chunk->cols[1], i);
        v->bad += chunk->n_cols != 4 || engine_i64(&chunk->cols[0], i) != v->n * 3;
        v->bad += v->n % 3 ? text.n <= 20 || text.p[0] != 'v' : text.p != NULL;
        v->bad += ((const struct listview *)chunk->cols[2].data)[i].length != 2;
        v->bad += !engine_is_null(&chunk->cols[3], i);
        v->nulls += engine_is_null(&chunk->cols[1], i);
        if (++v->n == v->fail_at)
            return err_set(err, ERR_INPUT, "row %d is bad", (int)v->n);
    }
    return 0;
}

/* Two threads could read the file's row groups side by side; all rows come, in order. */
static void test_visit__sees_all_rows_in_order(void **state)
{
    static const char columns[] = "i, s, l, NULL::VARCHAR";
    CLEANUP(buf_deinit) struct buf sql = {0}, from = {0};
    const char *tmp = getenv("SLUICE_TEST_TMP");
    char path[512];
    struct visited v = {0};
    struct err err = {0};

    (void)state;
    snprintf(path, sizeof path, "%s/visit-%d.parquet", tmp ? tmp : "/tmp", (int)getpid());
    buf_printf(&from, "FROM read_parquet('%s') WHERE i %% 3 = 0", path);
    buf_printf(&sql,
               "COPY (SELECT i, CASE WHEN i %% 9 > 0 THEN 'v' || repeat('x', 20) || i END AS s, [i, NULL] AS l "
               "FROM range(300000) t(i)) TO '%s' (ROW_GROUP_SIZE 10000)",
               path);
    assert_int_equal(engine_exec(conn, sql.p, &err), 0);
    assert_int_equal(engine_visit(conn, columns, from.p, count_in_order, &v, &err), 0);
    assert_int_equal(v.n, 100000);
    assert_int_equal(v.nulls, 33334);
    v.n = 0;
    v.fail_at = 70000;
    assert_int_equal(engine_visit(conn, columns, from.p, count_in_order, &v, &err), ERR_INPUT);
    assert_string_equal(err.msg, "row 70000 is bad");
    assert_int_equal(v.n, 70000);
    assert_int_equal(v.bad, 0);
    assert_int_equal(engine_visit(conn, "i, nothing", from.p, count_in_order, &v, &err), ERR_USAGE);
    buf_add_cstr(&from, " AND false");
    assert_int_equal(engine_visit(conn, columns, from.p, count_in_order, &v, &err), 0);
    assert_int_equal(v.n, 70000);
    unlink(path);
}

static void test_errors__have_a_code_a_sqlstate_and_a_hint(void **state)
{
    struct err err = {0};

    (void)state;
    assert_int_equal(engine_exec(conn, "SELEC 1", &err), ERR_USAGE);
    assert_string_equal(err.sqlstate, "42601");
    assert_string_equal(err.msg, "syntax error at or near \"SELEC\"");
    assert_int_equal(engine_exec(conn, "SELECT nme FROM (SELECT 1 AS name)", &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "\"nme\" not found"));
    assert_non_null(strstr(err.hint, "\"name\""));
    assert_int_equal(engine_exec(conn, "SELECT 'x'::INT", &err), ERR_USAGE);
    assert_int_equal(engine_exec(conn, "SELECT * FROM read_parquet('/nowhere/x.parquet')", &err), ERR_IO);
    struct engine_result *result;
    assert_int_equal(engine_query(conn, " -- nothing", &result, &err), ERR_USAGE);
}

static void test_errors__in_the_middle_of_a_stream_arrive(void **state)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;
    struct err err = {0};
    int rc;

    (void)state;
    rc = engine_query(conn, "SELECT CASE WHEN i = 90000 THEN 'boom' ELSE '1' END::INT FROM range(100000) t(i)", &result,
                      &err);
    while (rc == 0)
        rc = engine_result_next(result, &chunk, &err);
    assert_int_equal(rc, ERR_USAGE);
    assert_non_null(strstr(err.msg, "boom"));
}

static void test_errors__over_the_memory_limit_is_ERR_LIMIT(void **state)
{
    struct err err = {0};

    (void)state;
    assert_int_equal(
        engine_exec(conn, "CREATE TEMP TABLE big AS SELECT i, md5(i::VARCHAR) FROM range(10000000) t(i)", &err),
        ERR_LIMIT);
    assert_string_equal(err.sqlstate, "53200");
    assert_string_equal(err.hint, "allow more memory: --memory");
}

static void test_extensions__are_never_installed(void **state)
{
    struct err err = {0};

    (void)state;
    assert_true(engine_exec(conn, "INSTALL httpfs", &err) < 0);
    assert_true(engine_exec(conn, "SELECT * FROM 'https://localhost:1/x.parquet'", &err) < 0);
}

static int lookup(void *ctx, struct str name, struct buf *ret, struct err *err)
{
    (void)ctx;
    if (str_is(name, "ours")) {
        buf_add_cstr(ret, "SELECT 42 AS answer");
        return 0;
    }
    if (str_is(name, "broken"))
        return err_set(err, ERR_INPUT, "the log of \"broken\" is torn");
    return 1;
}

static void test_lookup__gives_tables_by_name(void **state)
{
    struct err err = {0};
    int64_t n = 0;

    (void)state;
    engine_set_table_lookup(engine, lookup, NULL);
    assert_int_equal(engine_query_i64(conn, "SELECT answer FROM ours", &n, NULL), 0);
    assert_int_equal(n, 42);
    assert_int_equal(engine_query_i64(conn, "SELECT 1 FROM broken", &n, &err), ERR_INPUT);
    assert_string_equal(err.msg, "the log of \"broken\" is torn");
    assert_int_equal(engine_query_i64(conn, "SELECT 1 FROM nobody", &n, &err), ERR_USAGE);
    assert_string_equal(err.sqlstate, "42P01");
}

static void *interrupt_soon(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        usleep(5000);
        engine_interrupt(conn);
    }
    return NULL;
}

static void test_interrupt__ends_the_statement(void **state)
{
    struct err err = {0};
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, interrupt_soon, NULL), 0);
    assert_int_equal(engine_exec(conn, "SELECT count(*) FROM range(100000000000) a(i) WHERE i % 7 = 3", &err),
                     ERR_CANCELLED);
    pthread_join(thread, NULL);
    assert_int_equal(engine_exec(conn, "SELECT 1", &err), 0);
}

static void test_dv__masks_deleted_rows_and_no_others(void **state)
{
    struct dv dv = {0};
    const struct dv *deleted[2] = {NULL, &dv};
    struct scan_files files = {.n = 2, .deleted = deleted};
    char sql[512];
    int64_t n;

    (void)state;
    dv_add(&dv, 0);
    dv_add_range(&dv, 5000, 3000);
    dv_add(&dv, 9999);
    int64_t id = scan_files_register(engine, &files);
    snprintf(sql, sizeof sql,
             "SELECT sum(row) FROM (SELECT f::UBIGINT AS f, r AS row FROM range(2) a(f), range(10000) b(r)) "
             "WHERE dv(%lld, f, row)",
             (long long)id);
    assert_int_equal(engine_query_i64(conn, sql, &n, NULL), 0);
    assert_int_equal(n, 2 * 49995000LL - 9999 - (5000 + 7999) * 3000LL / 2);
    static const char *const orders[] = {"r % 7 = 3", "r % 7 = 3 ORDER BY hash(r)", "r % 7 = 3 ORDER BY r, f",
                                         "r % 7 = 3 ORDER BY r DESC, f"};
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) { /* what a filter leaves, far apart, of both files in turns */
        snprintf(
            sql, sizeof sql,
            "SELECT sum(row) FROM (SELECT f::UBIGINT AS f, r AS row FROM range(2) a(f), range(10000) b(r) WHERE %s LIMIT "
            "99999) WHERE dv(%lld, f, row)",
            orders[i], (long long)id);
        assert_int_equal(engine_query_i64(conn, sql, &n, NULL), 0);
        int64_t expected = 0;
        for (int64_t r = 3; r < 10000; r += 7)
            expected += dv_contains(&dv, (uint64_t)r) ? r : 2 * r;
        assert_int_equal(n, expected);
    }
    scan_files_unregister(engine, id);
    struct err err = {0};
    assert_true(engine_query_i64(conn, sql, &n, &err) < 0);
    dv_deinit(&dv);
}

static void test_pval__gives_each_file_its_value(void **state)
{
    static const struct str text[3] = {{"a", 1}, {NULL, 0}, {"a longer text than twelve", 25}};
    static const int64_t number[3] = {7, 0, 20000};
    static const bool is_null[3] = {false, true, false};
    const struct scan_pcol cols[3] = {
        {PVAL_TEXT, text, NULL, NULL}, {PVAL_LONG, NULL, number, is_null}, {PVAL_DATE, NULL, number, is_null}};
    struct scan_files files = {.n = 3, .n_pcols = 3, .pcols = cols};
    char sql[256];

    (void)state;
    int64_t id = scan_files_register(engine, &files);
    snprintf(sql, sizeof sql,
             "SELECT list({t: pval(%lld, 0, f), n: pval_long(%lld, 1, f), d: pval_date(%lld, 2, f)}) AS x "
             "FROM (SELECT i::UBIGINT AS f FROM range(3) t(i))",
             (long long)id, (long long)id, (long long)id);
    CLEANUP(mem_freep) char *json = json_of(sql);
    assert_string_equal(json, "{\"x\":[{\"t\":\"a\",\"n\":7,\"d\":\"1970-01-08\"},{\"t\":null,\"n\":null,\"d\":null},"
                              "{\"t\":\"a longer text than twelve\",\"n\":20000,\"d\":\"2024-10-04\"}]}");
    scan_files_unregister(engine, id);
}

/* DuckDB numbers files anew when it prunes the list; a set of deleted rows would then hit the wrong file, silently. */
static void test_dv__files_keep_their_number_under_every_filter(void **state)
{
    static const struct {
        const char *where;
        int64_t rows;
    } filters[] = {{"true", 3900},
                   {"p = 10", 1960},
                   {"p = 30", 960},
                   {"p IN (20, 30)", 1940},
                   {"p > 10 AND id > 2500", 960},
                   {"p IS NULL", 0},
                   {"id % 1000 BETWEEN 0 AND 120 AND p = 10", 232},
                   {"p = (SELECT 30)", 960},
                   {"p IN (SELECT unnest([20, 30]))", 1940}};
    static const int64_t values[4] = {10, 20, 10, 30};
    const struct scan_pcol col = {PVAL_LONG, NULL, values, NULL};
    const char *tmp = getenv("SLUICE_TEST_TMP");
    struct dv dvs[4] = {0};
    const struct dv *deleted[4];
    struct scan_files files = {4, deleted, 1, &col};
    CLEANUP(buf_deinit) struct buf list = {0};

    (void)state;
    for (int f = 0; f < 4; f++) {
        CLEANUP(mem_freep) char *path = mem_printf("%s/part=%d.parquet", tmp ? tmp : "/tmp", f);
        CLEANUP(mem_freep)
        char *copy = mem_printf("COPY (SELECT %d * 1000 + i AS id FROM range(1000) t(i)) TO '%s'", f, path);
        assert_int_equal(engine_exec(conn, copy, NULL), 0);
        buf_printf(&list, "%s'%s'", f ? ", " : "", path);
        dv_add_range(&dvs[f], (uint64_t)f * 100, (uint64_t)(f + 1) * 10);
        deleted[f] = &dvs[f];
    }
    int64_t id = scan_files_register(engine, &files);
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        int64_t n = -1;
        CLEANUP(mem_freep)
        char *sql = mem_printf("SELECT count(*) FILTER (id // 1000 = file_index) FROM (SELECT id, file_index, "
                               "pval_long(%lld, 0, file_index) AS p FROM read_parquet([%s], hive_partitioning = false) "
                               "WHERE dv(%lld, file_index, file_row_number)) WHERE %s",
                               (long long)id, list.p, (long long)id, filters[i].where);
        assert_int_equal(engine_query_i64(conn, sql, &n, NULL), 0);
        if (n != filters[i].rows)
            fail_msg("%s: %lld rows", filters[i].where, (long long)n);
    }
    scan_files_unregister(engine, id);
    for (int f = 0; f < 4; f++)
        dv_deinit(&dvs[f]);
}

/* A lookup may leave text in its err and still succeed; a later error of the statement must not be mistaken for it. */
static int sloppy_lookup(void *ctx, struct str name, struct buf *ret, struct err *err)
{
    (void)ctx;
    (void)name;
    (void)err_set(err, ERR_NOT_FOUND, "no newer version");
    buf_add_cstr(ret, "SELECT 42 AS answer");
    return 0;
}

static void test_lookup__only_its_failures_are_reported(void **state)
{
    struct err err = {0};
    int64_t n;

    (void)state;
    engine_set_table_lookup(engine, sloppy_lookup, NULL);
    assert_int_equal(engine_query_i64(conn, "SELECT question FROM ours", &n, &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "question"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json__numbers_are_exact),
        cmocka_unit_test(test_json__times_are_iso_8601),
        cmocka_unit_test(test_json__text_binary_and_nested),
        cmocka_unit_test(test_json__of_a_variant_is_the_json_of_spark),
        cmocka_unit_test(test_text__is_what_duckdb_casts_to),
        cmocka_unit_test(test_csv__quotes_what_must_be),
        cmocka_unit_test(test_query__streams_all_rows),
        cmocka_unit_test(test_visit__sees_all_rows_in_order),
        cmocka_unit_test(test_errors__have_a_code_a_sqlstate_and_a_hint),
        cmocka_unit_test(test_errors__in_the_middle_of_a_stream_arrive),
        cmocka_unit_test(test_errors__over_the_memory_limit_is_ERR_LIMIT),
        cmocka_unit_test(test_extensions__are_never_installed),
        cmocka_unit_test(test_lookup__gives_tables_by_name),
        cmocka_unit_test(test_interrupt__ends_the_statement),
        cmocka_unit_test(test_dv__masks_deleted_rows_and_no_others),
        cmocka_unit_test(test_dv__files_keep_their_number_under_every_filter),
        cmocka_unit_test(test_lookup__only_its_failures_are_reported),
        cmocka_unit_test(test_pval__gives_each_file_its_value),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
