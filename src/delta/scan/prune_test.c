/* Conditions as SQL, planned over a stub, against the statistics and partition values of one file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/test_ok.h"
#include "delta/scan/plan.h"

static struct engine *engine;
static struct engine_conn *conn;
static struct err err;

/* Name and type of each column; those that begin with p_ are partition columns. */
static const char *const COLUMNS[][2] = {
    {"b", "boolean"},         {"t", "byte"},
    {"i", "integer"},         {"l", "long"},
    {"dec", "decimal(10,2)"}, {"huge", "decimal(38,4)"},
    {"f", "float"},           {"d", "double"},
    {"s", "string"},          {"cut", "string"},
    {"bin", "binary"},        {"day", "date"},
    {"ts", "timestamp"},      {"ntz", "timestamp_ntz"},
    {"nothing", "integer"}, /* all NULL */
    {"few", "integer"},     /* some NULL */
    {"unknown", "integer"}, /* no statistics */
    {"odd", "integer"},     /* statistics that make no sense */
    {"p_int", "integer"},     {"p_null", "integer"},
    {"p_s", "string"},        {"p_dec", "decimal(5,1)"},
    {"p_b", "boolean"},       {"p_day", "date"},
    {"p_ts", "timestamp"},    {"p_d", "double"},
    {"p_nan", "double"},      {"p_bin", "binary"},
};

static const char STATS[] =
    "{\"numRecords\":10,\"tightBounds\":true,\"minValues\":{\"t\":-3,\"i\":10,\"l\":9007199254740993,\"dec\":1.50,"
    "\"huge\":12345678901234567890123456789012.0001,\"f\":0.1,\"d\":-2.5,\"s\":\"bar\",\"cut\":\"aaaa\","
    "\"day\":\"2024-01-10\",\"ts\":\"2024-01-10T10:00:00.123Z\",\"ntz\":\"2024-01-10T10:00:00.123\",\"few\":5,"
    "\"odd\":{\"a\":1},\"st\":{\"x\":100,\"in\":{\"y\":\"k\"}}},"
    "\"maxValues\":{\"t\":3,\"i\":20,\"l\":9007199254740995,\"dec\":9.99,"
    "\"huge\":12345678901234567890123456789012.5,\"f\":0.2,\"d\":7.25,\"s\":\"foo\",\"cut\":\"bbbb\","
    "\"day\":\"2024-01-20\",\"ts\":\"2024-01-20T11:00:00.456+01:00\",\"ntz\":\"2024-01-20T10:00:00.456\",\"few\":9,"
    "\"odd\":\"x\",\"st\":{\"x\":200,\"in\":{\"y\":\"m\"}}},"
    "\"nullCount\":{\"b\":0,\"t\":0,\"i\":0,\"l\":0,\"dec\":0,\"huge\":0,\"f\":0,\"d\":0,\"s\":0,\"cut\":0,\"bin\":0,"
    "\"day\":0,\"ts\":0,\"ntz\":0,\"nothing\":10,\"few\":4,\"odd\":\"many\",\"st\":{\"x\":2,\"in\":{\"y\":0}}}}";

static struct delta_kv PARTS[] = {
    {STR("p_int"), STR("7")},
    {STR("p_null"), {NULL, 0}},
    {STR("p_s"), STR("a b")},
    {STR("p_dec"), STR("12.5")},
    {STR("p_b"), STR("true")},
    {STR("p_day"), STR("2024-02-29")},
    {STR("p_ts"), STR("2024-02-29 12:00:00.123456")},
    {STR("p_d"), STR("1.5")},
    {STR("p_nan"), STR("NaN")},
    {STR("p_bin"), STR("\\u0001")},
};

static struct delta_head *head_new(void)
{
    CLEANUP(buf_deinit) struct buf json = {0};
    struct str parts[ARRAY_LEN(COLUMNS)];
    struct delta_protocol protocol = {.reader = 1, .writer = 2};
    struct delta_metadata m = {.id = STR("x"), .format_provider = STR("parquet"), .partition_columns = parts};
    struct delta_head *head;

    buf_add_cstr(&json, "{\"type\":\"struct\",\"fields\":[");
    for (size_t i = 0; i < ARRAY_LEN(COLUMNS); i++) {
        buf_printf(&json, "{\"name\":\"%s\",\"type\":\"%s\",\"nullable\":true,\"metadata\":{}},", COLUMNS[i][0],
                   COLUMNS[i][1]);
        if (strncmp(COLUMNS[i][0], "p_", 2) == 0)
            parts[m.n_partition_columns++] = str_of(COLUMNS[i][0]);
    }
    buf_add_cstr(&json, "{\"name\":\"st\",\"nullable\":true,\"metadata\":{},\"type\":{\"type\":\"struct\",\"fields\":["
                        "{\"name\":\"x\",\"type\":\"integer\",\"nullable\":true,\"metadata\":{}},"
                        "{\"name\":\"in\",\"nullable\":true,\"metadata\":{},\"type\":{\"type\":\"struct\",\"fields\":["
                        "{\"name\":\"y\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}}]}}]}}]}");
    m.schema_json = buf_str(&json);
    OK(delta_head_new(&protocol, &m, &head, &err));
    return head;
}

static struct delta_head *head;
static struct delta_snapshot snapshot;

static struct delta_file file_of(const char *stats)
{
    struct str s = str_of(stats);

    return (struct delta_file){.path = STR("x.parquet"),
                               .stats = s,
                               .num_records = delta_stats_num_records(s),
                               .parts = PARTS,
                               .n_parts = ARRAY_LEN(PARTS)};
}

static bool keeps_of(const char *where, const char *stats)
{
    CLEANUP(delta_stub_freep) struct delta_stub *stub = delta_stub_new(engine, &snapshot, NULL, NULL, 0);
    CLEANUP(buf_deinit) struct buf sql = {0}, json = {0};
    struct delta_file file = file_of(stats);

    buf_printf(&sql, "SELECT * FROM (%s) WHERE %s", delta_stub_sql(stub), where);
    OK(engine_plan(conn, buf_str(&sql), &json, &err));
    delta_plan_read(buf_str(&json), &stub, 1);
    if (!stub->planned)
        fail_msg("%s: not planned: %s", where, json.p);
    return prune_keeps(stub->any, &file, NULL);
}

static void keeps(const char *where)
{
    if (!keeps_of(where, STATS))
        fail_msg("%s: the file is left out", where);
}

static void skips(const char *where)
{
    if (keeps_of(where, STATS))
        fail_msg("%s: the file is read", where);
}

static void test_prune__integers_by_every_operator(void **state)
{
    (void)state;
    skips("i = 9"), keeps("i = 10"), keeps("i = 20"), skips("i = 21");
    skips("i < 10"), keeps("i < 11"), skips("10 > i"), keeps("i <= 10"), skips("i <= 9");
    skips("i > 20"), keeps("i > 19"), keeps("i >= 20"), skips("i >= 21");
    keeps("i <> 10"), skips("i BETWEEN 21 AND 30"), skips("i BETWEEN 1 AND 9"), keeps("i BETWEEN 1 AND 10");
    skips("i IN (1, 2, 3)"), keeps("i IN (1, 2, 15)"), skips("i IN (1, 2, 3, 4, 5, 6, 7, 21, 22)");
    keeps("i IN (1, 2, 3, 4, 5, 6, 7, 20, 22)"), keeps("i IN (1, 2, 3, 4, 5, 6, 7, 20, NULL)");
    skips("i IN (1, 2, 3, 4, 5, 6, 7, 21, NULL)"), keeps("i NOT IN (10, 20)");
    skips("i IS NOT DISTINCT FROM 9"), keeps("i IS DISTINCT FROM 9"), skips("i IS NULL"), keeps("i IS NOT NULL");
    skips("t > 3"), skips("t < -3"), keeps("t = -3"), skips("t = 100");
    skips("i = 9.5"), keeps("i = 10.0"), skips("i > 20.4"), keeps("i > 19.5"); /* the column is cast */
    skips("l = 9007199254740992"), keeps("l = 9007199254740994"), skips("l > 9007199254740995");
    keeps("l = 9007199254740992.0::DOUBLE"); /* where the two are one */
    skips("l > 1e17::DOUBLE"), skips("i::BIGINT > 20"), skips("i > 3000000000");
    skips("i = NULL"), skips("1 = 0"), keeps("1 = 1");
}

static void test_prune__logic(void **state)
{
    (void)state;
    skips("i = 9 AND random() < 0.5"), keeps("i = 9 OR random() < 0.5"), keeps("i = 10 AND random() < 0.5");
    skips("i = 9 OR i = 21"), keeps("i = 9 OR i = 11"), skips("NOT (i >= 10)"), keeps("NOT (i > 10)");
    skips("NOT (i >= 10 OR random() < 0.5)"), keeps("NOT (i >= 10 AND random() < 0.5)");
    skips("NOT (i BETWEEN 10 AND 20)"), keeps("NOT (i BETWEEN 10 AND 19)"), skips("(i > 20) IS TRUE");
    keeps("(i > 20) IS FALSE"), keeps("(i > 20) IS NOT TRUE"), skips("(i > 20) IS NULL"), keeps("(few > 20) IS NULL");
    keeps("CASE WHEN b THEN i > 20 ELSE false END"), keeps("i % 2 = 0 AND i > 5"), skips("i % 2 = 0 AND i > 20");
    keeps("coalesce(i, 5) = 5"), skips("i + 0 = 5 AND i = 5");
}

static void test_prune__nulls(void **state)
{
    (void)state;
    skips("nothing = 1"), skips("nothing <> 1"), skips("nothing IS NOT NULL"), keeps("nothing IS NULL");
    keeps("nothing IS DISTINCT FROM 1"), skips("nothing IS NOT DISTINCT FROM 1"), keeps("(NOT (nothing = 1)) IS NULL");
    skips("nothing IN (1, 2, 3, 4, 5, 6, 7, 8)"), skips("NOT (nothing = 1)");
    keeps("few IS NULL"), keeps("few IS NOT NULL"), skips("few = 4"), keeps("few = 5");
    keeps("few IS DISTINCT FROM 7"), keeps("few IS NOT DISTINCT FROM NULL");
    keeps("unknown = 4"), keeps("unknown IS NULL"), keeps("unknown IS NOT NULL"), keeps("odd = 4");
    keeps("odd IS NULL"), keeps("st IS NULL"), keeps("bin = 'x'::BLOB"), skips("bin IS NULL");
}

static void test_prune__decimals(void **state)
{
    (void)state;
    skips("dec = 1.49"), keeps("dec = 1.5"), skips("dec > 9.99"), keeps("dec >= 9.99"), skips("dec < 1.5");
    skips("dec = 10"), skips("dec > 9.991"), keeps("dec > 9.989"), skips("dec > 10.0::DOUBLE");
    keeps("dec >= 9.99::DOUBLE"), skips("huge < 12345678901234567890123456789012.0001");
    keeps("huge <= 12345678901234567890123456789012.0001"), skips("huge > 12345678901234567890123456789012.5");
    skips("huge = 1"), keeps("huge = 12345678901234567890123456789012.4999"),
        skips("dec IN (1, 10, 11, 12, 13, 14, 15)");
    /* delta-rs writes them as doubles: this maximum is that of 12345678901234567890.1234 */
    const char *rounded =
        "{\"numRecords\":2,\"minValues\":{\"huge\":0.1},\"maxValues\":{\"huge\":1.2345678901234567e+19},"
        "\"nullCount\":{\"huge\":0}}";
    assert_true(keeps_of("huge = 12345678901234567890.1234", rounded));
    assert_true(keeps_of("huge > 12345678901234567890", rounded));
    assert_false(keeps_of("huge > 12345678901235000000", rounded));
    assert_false(keeps_of("huge < 0.0999", rounded));
}

static void test_prune__floats_and_NaN(void **state)
{
    (void)state;
    keeps("f = 0.1::FLOAT"), keeps("f = 0.2::FLOAT"), skips("f = 0.3::FLOAT"), skips("f < 0.1::FLOAT");
    keeps("f > 0.2::FLOAT"); /* NaN */
    keeps("f = 'nan'::FLOAT"), keeps("d = 'nan'"), keeps("d > 7.25"), keeps("d >= 'inf'"), keeps("d <> 1");
    skips("d = 7.5"), skips("d = -3"), skips("d < -2.5"), keeps("d <= -2.5"), skips("d IN (8, 9, 10, 11, 12, 13)");
    keeps("d IN (8, 9, 10, 11, 12, 'nan')"), keeps("d < 'inf'"), skips("d < '-inf'"),
        skips("d BETWEEN 8 AND 9 AND d = 8");
    keeps("f::DOUBLE = 0.1::FLOAT::DOUBLE"), skips("f::DOUBLE < 0.1");
    assert_false(keeps_of("d = 0.5", "{\"numRecords\":1,\"minValues\":{\"d\":1},\"maxValues\":{\"d\":2}}"));
    assert_true(keeps_of("d = 5", "{\"numRecords\":1,\"minValues\":{\"d\":1},\"maxValues\":{\"d\":\"NaN\"}}"));
    assert_true(keeps_of("d = 0", "{\"numRecords\":1,\"minValues\":{\"d\":-0.0},\"maxValues\":{\"d\":-0.0}}"));
    assert_true(keeps_of("d = 5", "{\"numRecords\":1,\"minValues\":{\"d\":\"NaN\"},\"maxValues\":{\"d\":\"NaN\"}}"));
    assert_false(
        keeps_of("d < 0", "{\"numRecords\":1,\"minValues\":{\"d\":1e300},\"maxValues\":{\"d\":\"Infinity\"}}"));
}

static void test_prune__strings_may_be_cut(void **state)
{
    (void)state;
    skips("s = 'bap'"), keeps("s = 'bar'"), keeps("s = 'foo'"), skips("s = 'fop'"), skips("s < 'bar'"),
        keeps("s < 'bas'");
    keeps("s = 'fool'"), keeps("s > 'foo'"), skips("s > 'fop'"), skips("s >= 'g'"); /* foo may be the start of more */
    keeps("cut = 'bbbbzz'"), skips("cut = 'bbbc'"), skips("s LIKE 'a%'"), keeps("s LIKE 'b%'"), skips("s LIKE 'z%'");
    skips("starts_with(s, 'ba') AND s LIKE 'c%' AND s LIKE 'g%'"), keeps("s LIKE 'ba_z%'"), skips("s LIKE 'g_x'");
    keeps("s LIKE '%z'"), keeps("s LIKE 'food%'"), skips("s LIKE 'fz%'"), keeps("s ILIKE 'A%'"),
        keeps("lower(s) = 'a'");
    keeps("s COLLATE NOCASE = 'A'"), keeps("NOT s LIKE 'b%'"), keeps("s LIKE 'x\\%' ESCAPE '\\'"), skips("s ^@ 'zz'");
    skips("s IN ('a', 'b', 'ba', 'fop', 'fz', 'z')"), keeps("s IN ('a', 'b', 'ba', 'food', 'fz', 'z')");
    skips("s = 'Z'"), skips("s = 'é'"), keeps("s::INTEGER = 5"), keeps("i::VARCHAR = '5'");
}

static void test_prune__dates_and_times(void **state)
{
    (void)state;
    skips("day = '2024-01-09'"), keeps("day = '2024-01-20'"), skips("day > '2024-01-20'"),
        keeps("day >= DATE '2024-01-20'");
    skips("day >= TIMESTAMP '2024-01-20 00:00:01'"), keeps("day >= TIMESTAMP '2024-01-20 00:00:00'");
    keeps("ts > '2024-01-20 10:00:00.456998+00'"),
        skips("ts > '2024-01-20 10:00:00.456999+00'"); /* cut to milliseconds */
    keeps("ts = '2024-01-10 10:00:00.123+00'"), skips("ts < '2024-01-10 10:00:00.123+00'");
    keeps("ntz > '2024-01-20 10:00:00.456998'"), skips("ntz > '2024-01-20 10:00:00.456999'");
    skips("ntz < '2024-01-10 10:00:00.123'"), keeps("ntz <= '2024-01-10 10:00:00.123'");
    skips("ts::DATE = '2024-01-09'"), keeps("ts::DATE = '2024-01-20'"), skips("ts::DATE > '2024-01-20'");
    skips("ntz::DATE < '2024-01-10'"), skips("ts > TIMESTAMP '2024-01-21'"), keeps("year(ts) = 2023");
    assert_true(keeps_of("day = '1500-01-01'", "{\"numRecords\":1,\"minValues\":{\"day\":\"1500-01-09\"}}"));
    assert_true(keeps_of("day > '2024-02-01'", "{\"numRecords\":1,\"maxValues\":{\"day\":\"+12024-01-01\"}}"));
    assert_false(keeps_of("ts < '2023-12-31 23:59:59.999+00'",
                          "{\"numRecords\":1,\"minValues\":{\"ts\":\"2024-01-01T00:00:00-08:00\"}}"));
    assert_true(keeps_of("ntz > '2024-01-01'", "{\"numRecords\":1,\"maxValues\":{\"ntz\":\"2024-01-01\"}}"));
}

static void test_prune__fields_of_structs(void **state)
{
    (void)state;
    skips("st.x = 99"), keeps("st.x = 100"), skips("st['x'] > 200"), keeps("st.x IS NULL"), skips("st.in.y = 'a'");
    keeps("st.in.y = 'l'"), skips("st.in.y IS NULL"), skips("(st).\"in\".y LIKE 'n%'"),
        skips("st.x IN (1, 2, 3, 4, 5, 6)");
    keeps("st.x % 7 = 5"), keeps("st.x IS NULL OR st.x = 5");
}

static void test_prune__booleans(void **state)
{
    static const char all_true[] = "{\"numRecords\":1,\"minValues\":{\"b\":true},\"maxValues\":{\"b\":true}}";

    (void)state;
    keeps("b"), keeps("NOT b"), skips("b IS NULL"), keeps("b = false");
    assert_true(keeps_of("b", all_true));
    assert_false(keeps_of("NOT b", all_true));
    assert_false(keeps_of("b = false", all_true));
    assert_true(keeps_of("b IS NOT TRUE", all_true)); /* perhaps NULL */
}

static void test_prune__partition_values(void **state)
{
    (void)state;
    keeps("p_int = 7"), skips("p_int = 8"), skips("p_int <> 7"), skips("p_int IS NULL"), skips("NOT (p_int = 7)");
    skips("p_int NOT IN (1, 7)"), skips("p_int IS DISTINCT FROM 7"), skips("p_int NOT IN (1, 2, 3, 4, 5, 6, 7)");
    keeps("p_null IS NULL"), skips("p_null = 1"), skips("p_null <> 1"), skips("p_null IS NOT NULL");
    keeps("p_null IS NOT DISTINCT FROM NULL"), keeps("p_s = 'a b'"), skips("p_s = 'a'"), skips("p_s > 'a b'");
    skips("p_s <> 'a b'"), skips("p_s LIKE 'b%'"), keeps("p_dec = 12.5"), skips("p_dec < 12.5"), skips("p_dec <> 12.5");
    keeps("p_b"), skips("NOT p_b"), skips("p_b = false"), keeps("p_day = '2024-02-29'"), skips("p_day <> '2024-02-29'");
    keeps("p_ts = '2024-02-29 12:00:00.123456+00'"), skips("p_ts > '2024-02-29 12:00:00.123456+00'");
    keeps("p_d = 1.5"), skips("p_d > 1.5"), skips("p_nan < 'inf'"), keeps("p_nan > 'inf'"), keeps("p_nan = 'nan'");
    keeps("p_bin = 'x'::BLOB"), skips("p_bin IS NULL"), skips("p_int = 7 AND i = 5"), skips("p_int = 8 OR i = 5");
    skips("p_int + 0 = 7 AND p_int = 8");
}

static void test_prune__vectors_widen_bounds(void **state)
{
    static const char wide[] =
        "{\"numRecords\":10,\"tightBounds\":false,\"minValues\":{\"i\":10},\"maxValues\":{\"i\":20},"
        "\"nullCount\":{\"i\":3,\"s\":0,\"l\":10}}";

    (void)state;
    assert_false(keeps_of("i = 9", wide));
    assert_true(keeps_of("i = 20", wide));
    assert_true(keeps_of("i IS NULL", wide)); /* though the three may be masked */
    assert_true(keeps_of("i IS NOT NULL", wide));
    assert_false(keeps_of("s IS NULL", wide));
    assert_false(keeps_of("l IS NOT NULL", wide));
}

static void test_prune__no_statistics_or_broken_ones(void **state)
{
    static const char *const stats[] = {"",
                                        "{}",
                                        "{",
                                        "null",
                                        "[1]",
                                        "{\"numRecords\":10}",
                                        "{\"minValues\":[1],\"maxValues\":3,\"nullCount\":null}",
                                        "{\"minValues\":{\"i\":null,\"s\":5},\"maxValues\":{\"i\":\"\",\"s\":[]}}",
                                        "{\"minValues\":{\"i\":\"1e999\"},\"maxValues\":{\"i\":1e-999}}"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stats); i++) {
        assert_true(keeps_of("i = 9 AND i IS NOT NULL AND d < 3 AND day < '2020-01-01'", stats[i]));
        assert_true(keeps_of("i IS NULL AND day IS NULL", stats[i]));
        assert_false(keeps_of("p_int = 8", stats[i]));
    }
}

static void test_prune__numbers_of_any_form(void **state)
{
    static const struct {
        const char *text, *same;
    } numbers[] = {{"12.50", "12.5"}, {"1e3", "1000"}, {"-1.5E-2", "-0.015"},
                   {"0", "0.000"},    {"+7", "7"},     {"1E+2", "100"}};
    static const char *const none[] = {"", "-", ".", "1e", "abc", "1.2.3", "0x10", "1e99999", "9e60"};
    struct prune_value a, b;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        assert_true(prune_number(str_of(numbers[i].text), &a) && prune_number(str_of(numbers[i].same), &b));
        assert_int_equal(prune_value_cmp(&a, &b), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_false(prune_number(str_of(none[i]), &a));
    assert_true(prune_number(STR("99999999999999999999999999999999999999"), &a));
    assert_true(prune_number(STR("0.0000000000000000000000000000000001"), &b));
    assert_true(prune_value_cmp(&a, &b) > 0 && prune_value_cmp(&b, &a) < 0);
    a.number = -a.number;
    assert_true(prune_value_cmp(&a, &b) < 0 && prune_value_cmp(&b, &a) > 0);
}

/* A query over two tables: what each stub is told, as letters: k keeps the file, s skips it, c is only counted, - not planned. */
static const char *told(const char *query)
{
    static char letters[3];
    struct delta_stub *stubs[2];
    CLEANUP(buf_deinit) struct buf sql = {0}, json = {0};
    struct delta_file file = file_of(STATS);

    for (int k = 0; k < 2; k++) {
        stubs[k] = delta_stub_new(engine, &snapshot, NULL, NULL, 0);
        buf_printf(&sql, "CREATE OR REPLACE TEMP VIEW %c AS %s;", 'a' + k, delta_stub_sql(stubs[k]));
    }
    OK(engine_exec(conn, sql.p, &err));
    OK(engine_plan(conn, str_of(query), &json, &err));
    delta_plan_read(buf_str(&json), stubs, 2);
    for (int k = 0; k < 2; k++) {
        letters[k] = !stubs[k]->planned                        ? '-'
                     : stubs[k]->counted                       ? 'c'
                     : prune_keeps(stubs[k]->any, &file, NULL) ? 'k'
                                                               : 's';
        delta_stub_free(stubs[k]);
    }
    return letters;
}

static void test_plan__conditions_are_found_wherever_they_stand(void **state)
{
    (void)state;
    assert_string_equal(told("SELECT a.s FROM a JOIN b ON a.i = b.i WHERE a.i = 9"), "ss"); /* moved over the join */
    assert_string_equal(told("SELECT a.s FROM a JOIN b ON a.i = b.i WHERE a.l = 9"), "sk");
    assert_string_equal(told("SELECT a.s FROM a LEFT JOIN b ON a.i = b.i AND b.l = 9"), "ks");
    assert_string_equal(told("SELECT a.s FROM a LEFT JOIN b ON a.i = b.i AND a.l = 9"), "kk");
    assert_string_equal(told("SELECT a.s FROM a WHERE EXISTS (FROM b WHERE b.i = a.i AND b.l = 9)"), "ks");
    assert_string_equal(told("SELECT a.s FROM a WHERE i = 9 UNION ALL SELECT s FROM a WHERE i = 10"), "ks");
    assert_string_equal(told("SELECT a.s FROM a WHERE i = 9 UNION ALL SELECT s FROM b WHERE i = 10"), "sk");
    assert_string_equal(told("SELECT * FROM (SELECT i AS j, sum(l) FROM a GROUP BY i) WHERE j = 9"), "ss");
    assert_string_equal(told("SELECT * FROM (SELECT i AS j, row_number() OVER (ORDER BY l) FROM a) WHERE j = 9"), "ks");
    assert_string_equal(told("SELECT * FROM (SELECT * FROM a LIMIT 5) WHERE i = 9"), "ks");
    assert_string_equal(told("SELECT x.s FROM a x, a y WHERE x.i = 9 AND y.l = 9"), "ss");
    assert_string_equal(told("SELECT x.s FROM a x, a y WHERE x.i = 9 AND y.l > 9"), "ks");
    assert_string_equal(told("SELECT s FROM a WHERE i IN (1, 2, 3, 4, 5, 6) AND s IN ('a', 'b', 'c', 'd', 'e', 'f')"),
                        "ss");
    assert_string_equal(told("SELECT s FROM a WHERE i IN (1, 2, 3, 4, 5, 6) OR s IN ('c', 'd', 'e', 'f', 'g')"), "ks");
    assert_string_equal(told("SELECT s FROM a WHERE i IN (1, 2, 3, 4, 5, 6) OR s IN ('g', 'h', 'i', 'j', 'k')"), "ss");
    assert_string_equal(told("SELECT s FROM a WHERE i NOT IN (1, 2, 3, 4, 5, 6)"), "ks");
    assert_string_equal(told("WITH c AS (SELECT * FROM a), d AS (SELECT * FROM c WHERE i = 9) SELECT * FROM d"), "ss");
    assert_string_equal(told("WITH c AS MATERIALIZED (FROM a) SELECT x.i FROM c x, c y WHERE x.i = 9 AND y.l = 9"),
                        "ss");
    assert_string_equal(told("SELECT 1 WHERE 2 = (SELECT max(i) FROM a WHERE i < 9)"), "ss");
    assert_string_equal(told("SELECT count(*), 1 + count(*), sum(l) / sum(i) + sum(i) FROM a WHERE i = 9"), "ss");
    assert_string_equal(told("SELECT x.i, sum(y.l) q, x.day FROM a x JOIN b y ON x.i = y.i JOIN b z ON z.s = x.s WHERE "
                             "x.l < 9 AND y.dec > 1 GROUP BY ALL ORDER BY q DESC LIMIT 10"),
                        "sk");
    assert_string_equal(told("SELECT nonsense FROM a"), "--");
}

static void test_plan__rows_are_counted_where_no_column_is_needed(void **state)
{
    (void)state;
    assert_string_equal(told("SELECT count(*) FROM a"), "cs");
    assert_string_equal(told("SELECT count(*) FROM (SELECT i + 1 FROM a)"), "cs");
    assert_string_equal(told("SELECT count(*), 1 + count(1) FROM a WHERE random() < 2"), "cs");
    assert_string_equal(told("SELECT 'x' FROM a"), "cs");
    assert_string_equal(told("SELECT count(*) FROM a UNION ALL SELECT count(*) FROM a"), "cs");
    assert_string_equal(told("SELECT count(*) FROM a UNION ALL SELECT max(i) FROM a"), "ks");
    assert_string_equal(told("SELECT count(i) FROM a"), "ks");
    assert_string_equal(told("SELECT count(*) FROM a WHERE i > 3"), "ks");
    assert_string_equal(told("SELECT count(*) FROM a GROUP BY i"), "ks");
    assert_string_equal(told("SELECT count(*) FROM (SELECT DISTINCT i FROM a)"), "ks");
    assert_string_equal(told("SELECT count(*) FROM a, b WHERE a.i = b.i"), "kk");
    assert_string_equal(told("SELECT count(*) FROM a WHERE i IN (1, 2, 3, 4, 5, 6)"), "ss");
}

static void test_plan__clocks_are_seen(void **state)
{
    (void)state;
    assert_true(delta_asks_clock(STR("SELECT * FROM t WHERE ts > now() - INTERVAL 1 DAY")));
    assert_true(delta_asks_clock(STR("SELECT * FROM t WHERE day = Current_Date")));
    assert_true(delta_asks_clock(STR("SELECT * FROM t WHERE day = today()")));
    assert_false(delta_asks_clock(STR("SELECT known FROM nowhere WHERE agent = todays")));
}

static int setup(void **state)
{
    struct engine_options o = {.threads = 2};

    (void)state;
    if (engine_open(&o, &engine, NULL) || engine_connect(engine, &conn, NULL))
        return -1;
    head = head_new();
    snapshot = (struct delta_snapshot){.refs = 1, .head = head, .n_files = 1, .records = 10};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    delta_head_unref(head);
    engine_conn_free(conn);
    engine_free(engine);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prune__integers_by_every_operator),
        cmocka_unit_test(test_prune__logic),
        cmocka_unit_test(test_prune__nulls),
        cmocka_unit_test(test_prune__decimals),
        cmocka_unit_test(test_prune__floats_and_NaN),
        cmocka_unit_test(test_prune__strings_may_be_cut),
        cmocka_unit_test(test_prune__dates_and_times),
        cmocka_unit_test(test_prune__fields_of_structs),
        cmocka_unit_test(test_prune__booleans),
        cmocka_unit_test(test_prune__partition_values),
        cmocka_unit_test(test_prune__vectors_widen_bounds),
        cmocka_unit_test(test_prune__no_statistics_or_broken_ones),
        cmocka_unit_test(test_prune__numbers_of_any_form),
        cmocka_unit_test(test_plan__conditions_are_found_wherever_they_stand),
        cmocka_unit_test(test_plan__rows_are_counted_where_no_column_is_needed),
        cmocka_unit_test(test_plan__clocks_are_seen),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
