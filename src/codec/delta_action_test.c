/* Delta actions, schemas and partition values: golden lines of delta-spark, round trips, truncation, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec/delta_action.h"
#include "codec/delta_partition.h"
#include "codec/delta_schema.h"

static const char spark_commit[] =
    "{\"commitInfo\":{\"timestamp\":1700000000000,\"operation\":\"WRITE\",\"operationParameters\":{\"mode\":\"Append\","
    "\"partitionBy\":\"[]\"},\"readVersion\":3,\"isolationLevel\":\"Serializable\",\"isBlindAppend\":true,"
    "\"operationMetrics\":{\"numFiles\":\"1\"},\"engineInfo\":\"Apache-Spark/3.5.0 Delta-Lake/3.2.0\",\"txnId\":\"x-1\"}}"
    "\n"
    "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":[\"deletionVectors\"],"
    "\"writerFeatures\":[\"deletionVectors\",\"appendOnly\"]}}\n"
    "{\"metaData\":{\"id\":\"8c5f0fa8\",\"name\":\"t\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"
    "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[]}\",\"partitionColumns\":[\"p\"],"
    "\"configuration\":{\"delta.enableDeletionVectors\":\"true\"},\"createdTime\":1700000000001}}\n"
    "{\"add\":{\"path\":\"p=a%2520b/part-0%200.parquet\",\"partitionValues\":{\"p\":\"a b\",\"q\":null},\"size\":635,"
    "\"modificationTime\":1700000000002,\"dataChange\":true,\"stats\":\"{\\\"numRecords\\\":10,\\\"maxValues\\\":{\\\"d\\\""
    ":1.10000000000000000001}}\",\"tags\":{\"k\":\"v\"},\"deletionVector\":{\"storageType\":\"u\",\"pathOrInlineDv\":"
    "\"ab^-aqEH.-t@S}K{vb[*k^\",\"offset\":4,\"sizeInBytes\":40,\"cardinality\":6},\"baseRowId\":7,"
    "\"defaultRowCommitVersion\":2,\"clusteringProvider\":\"liquid\"}}\n"
    "{\"remove\":{\"path\":\"b.parquet\",\"deletionTimestamp\":17,\"dataChange\":false,\"extendedFileMetadata\":true,"
    "\"partitionValues\":{},\"size\":9}}\n"
    "{\"cdc\":{\"path\":\"_change_data/c.parquet\",\"partitionValues\":{},\"size\":9,\"dataChange\":false}}\n"
    "{\"txn\":{\"appId\":\"app\",\"version\":42,\"lastUpdated\":5}}\n"
    "{\"domainMetadata\":{\"domain\":\"d\",\"configuration\":\"{}\",\"removed\":true}}\n"
    "{\"sidecar\":{\"path\":\"s.parquet\",\"sizeInBytes\":1,\"modificationTime\":2}}\n"
    "{\"checkpointMetadata\":{\"version\":5}}\n";

static void test_actions__round_trip_spark_lines(void **state)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(buf_deinit) struct buf out = {0};
    struct delta_actions a = {0};
    struct err err;

    (void)state;
    assert_int_equal(delta_actions_parse(str_of(spark_commit), &arena, &a, &err), 0);
    assert_int_equal(a.n, 10);
    for (size_t i = 0; i < a.n; i++)
        delta_action_write(&out, &a.v[i]);
    assert_string_equal(out.p, spark_commit);
}

static void test_add__decodes_its_path_once_and_counts_rows(void **state)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct delta_actions a = {0};
    struct err err;

    (void)state;
    assert_int_equal(delta_actions_parse(str_of(spark_commit), &arena, &a, &err), 0);
    const struct delta_file *f = a.v[3].file;
    assert_string_equal(f->path.p, "p=a%20b/part-0 0.parquet");
    assert_string_equal(f->raw_path.p, "p=a%2520b/part-0%200.parquet");
    assert_int_equal(f->num_records, 10);
    assert_int_equal(f->n_parts, 2);
    assert_null(f->parts[1].value.p);
    assert_int_equal(f->dv->cardinality, 6);
    CLEANUP(buf_deinit) struct buf id = {0};
    delta_dv_unique_id(f->dv, &id);
    assert_string_equal(id.p, "uab^-aqEH.-t@S}K{vb[*k^@4");
    assert_int_equal(a.v[0].commit_info->blind_append, 1);
    assert_string_equal(a.v[0].commit_info->parameters.p, "{\"mode\":\"Append\",\"partitionBy\":\"[]\"}");
}

static void test_commit__cut_anywhere_never_breaks(void **state)
{
    size_t n = sizeof spark_commit - 1, good = 0;

    (void)state;
    for (size_t cut = 0; cut <= n; cut++) {
        CLEANUP(arena_deinit) struct arena arena = {0};
        char *exact = memcpy(arena_alloc(&arena, cut + 1), spark_commit, cut);
        struct delta_actions a = {0};
        struct err err = {0};
        int rc = delta_actions_parse(str_make(exact, cut), &arena, &a, &err);
        bool at_line_end = cut == 0 || spark_commit[cut - 1] == '\n' || spark_commit[cut] == '\n';
        assert_int_equal(rc, at_line_end ? 0 : ERR_INPUT);
        good += at_line_end;
        if (rc)
            assert_non_null(strstr(err.msg, "line "));
    }
    assert_int_equal(good, 21);
}

static void test_commit__refuses_what_breaks_the_protocol(void **state)
{
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"{\"add\":{\"path\":\"a\",\"size\":1}}\n{\"add\":{\"path\":\"a\",\"size\":1}}", "line 2: add \"a\""},
        {"{\"txn\":{\"appId\":\"a\",\"version\":1}}\n\n{\"txn\":{\"appId\":\"a\",\"version\":2}}", "line 3: txn"},
        {"{\"add\":{\"size\":1}}", "line 1: add has no path"},
        {"{\"add\":{\"path\":\"a\"}}", "add has no size"},
        {"{\"add\":{\"path\":\"a%zz\",\"size\":1}}", "no escape"},
        {"{\"add\":{\"path\":\"a%00b\",\"size\":1}}", "zero byte"},
        {"{\"add\":{\"path\":7,\"size\":1}}", "add.path is not a string"},
        {"{\"add\":{\"path\":\"a\",\"size\":1,\"partitionValues\":{\"p\":1}}}", "object of strings"},
        {"{\"add\":{\"path\":\"a\",\"size\":1,\"deletionVector\":{\"storageType\":\"z\",\"pathOrInlineDv\":\"\","
         "\"sizeInBytes\":1,\"cardinality\":1}}}",
         "none of u, i, p"},
        {"{\"add\":[]}", "add is not an object"},
        {"[]", "not a JSON object"},
        {"{\"protocol\":{}}", "minReaderVersion"},
        {"{\"add\":{\"path\":\"\xff\",\"size\":1}}", "broken JSON"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(arena_deinit) struct arena arena = {0};
        struct delta_actions a = {0};
        struct err err = {0};
        assert_int_equal(delta_actions_parse(str_of(cases[i].json), &arena, &a, &err), ERR_INPUT);
        if (!strstr(err.msg, cases[i].says))
            fail_msg("case %zu: \"%s\"", i, err.msg);
    }
}

static void test_commit__ignores_what_it_does_not_know(void **state)
{
    static const char json[] =
        "\n{\"whatever\":{\"a\":1}}\r\n{}\n{\"txn\":{\"appId\":\"a\",\"version\":1,\"new\":[]}}\r\n\n";
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct delta_actions a = {0};
    struct err err;

    (void)state;
    assert_int_equal(delta_actions_parse(str_of(json), &arena, &a, &err), 0);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.v[0].line, 4);
}

static void test_path__encodes_and_decodes(void **state)
{
    static const struct {
        const char *path, *raw;
    } cases[] = {
        {"a.parquet", "a.parquet"},
        {"p=a%20b/x y#1.parquet", "p=a%2520b/x%20y%231.parquet"},
        {"p=\xc3\xa4:1/f", "p=%C3%A4%3A1/f"},
        {"s3://bucket/a b", "s3://bucket/a%20b"},
        {"/abs/f", "/abs/f"},
    };
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct str got;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(buf_deinit) struct buf raw = {0};
        delta_path_encode(str_of(cases[i].path), &raw);
        assert_string_equal(raw.p, cases[i].raw);
        assert_int_equal(delta_path_decode(buf_str(&raw), &arena, &got, NULL), 0);
        assert_true(str_is(got, cases[i].path));
    }
    assert_int_equal(delta_path_decode(STR("file:///a%20b/c"), &arena, &got, NULL), 0);
    assert_true(str_is(got, "/a b/c"));
    assert_int_equal(delta_path_decode(STR("file:/a/c"), &arena, &got, NULL), 0);
    assert_true(str_is(got, "/a/c"));
}

static void test_stats__row_count_is_the_one_at_the_top(void **state)
{
    CLEANUP(arena_deinit) struct arena arena = {0};

    (void)state;
    assert_int_equal(delta_stats_num_records(STR("{\"numRecords\":3}")), 3);
    assert_int_equal(delta_stats_num_records(STR("{\"minValues\":{\"numRecords\":9},\"numRecords\" : 4}")), 4);
    assert_int_equal(delta_stats_num_records(STR("{\"a\\\"numRecords\":\"numRecords\"}")), -1);
    assert_int_equal(delta_stats_num_records(STR("{\"numRecords\"")), -1);
    assert_int_equal(delta_stats_num_records(STR("")), -1);
    struct str wide = delta_stats_widen(
        STR("{\"numRecords\":3,\"tightBounds\":true,\"maxValues\":{\"d\":1.10000000000000000001}}"), 3, &arena);
    assert_true(str_is(wide, "{\"numRecords\":3,\"maxValues\":{\"d\":1.10000000000000000001},\"tightBounds\":false}"));
    assert_true(str_is(delta_stats_widen((struct str){0}, 5, &arena), "{\"numRecords\":5,\"tightBounds\":false}"));
}

static const char spark_schema[] =
    "{\"type\":\"struct\",\"fields\":[{\"name\":\"id\",\"type\":\"long\",\"nullable\":false,\"metadata\":{"
    "\"delta.columnMapping.id\":4,\"delta.columnMapping.physicalName\":\"col-1\",\"x\":{\"deep\":[1,2.50]}}},"
    "{\"name\":\"d\",\"type\":\"decimal(38,18)\",\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"s\",\"type\":{\"type\":\"struct\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":\"array\",\"elementType\":"
    "\"timestamp_ntz\",\"containsNull\":false},\"nullable\":true,\"metadata\":{}}]},\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"keyType\":\"string\",\"valueType\":\"binary\",\"valueContainsNull\":true},"
    "\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"g\",\"type\":\"geometry(OGC:CRS84)\",\"nullable\":true,\"metadata\":{}}]}";

static void test_schema__round_trips(void **state)
{
    CLEANUP(schema_unrefp) struct schema *s = NULL;
    CLEANUP(buf_deinit) struct buf out = {0};
    struct err err;

    (void)state;
    assert_int_equal(delta_schema_parse(str_of(spark_schema), &s, &err), 0);
    assert_int_equal(s->n_fields, 5);
    assert_int_equal(s->fields[0].id, 4);
    assert_string_equal(s->fields[0].physical.p, "col-1");
    assert_int_equal(s->fields[1].type.precision, 38);
    assert_int_equal(s->fields[4].type.id, TYPE_OTHER);
    assert_ptr_equal(delta_schema_find_type(s, TYPE_TIMESTAMP_NTZ), &s->fields[2]);
    delta_schema_write(s, &out);
    assert_string_equal(
        out.p,
        "" /* numbers in metadata are read as numbers */
        "{\"type\":\"struct\",\"fields\":[{\"name\":\"id\",\"type\":\"long\",\"nullable\":false,\"metadata\":{"
        "\"delta.columnMapping.id\":4,\"delta.columnMapping.physicalName\":\"col-1\",\"x\":{\"deep\":[1,2.5]}}},"
        "{\"name\":\"d\",\"type\":\"decimal(38,18)\",\"nullable\":true,\"metadata\":{}},"
        "{\"name\":\"s\",\"type\":{\"type\":\"struct\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":\"array\",\"elementType\":"
        "\"timestamp_ntz\",\"containsNull\":false},\"nullable\":true,\"metadata\":{}}]},\"nullable\":true,\"metadata\":{}},"
        "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"keyType\":\"string\",\"valueType\":\"binary\",\"valueContainsNull\":true},"
        "\"nullable\":true,\"metadata\":{}},"
        "{\"name\":\"g\",\"type\":\"geometry(OGC:CRS84)\",\"nullable\":true,\"metadata\":{}}]}");
}

static void test_schema__cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof spark_schema - 1; cut++) {
        CLEANUP(arena_deinit) struct arena arena = {0};
        CLEANUP(schema_unrefp) struct schema *s = NULL;
        char *exact = memcpy(arena_alloc(&arena, cut + 1), spark_schema, cut);
        assert_int_equal(delta_schema_parse(str_make(exact, cut), &s, NULL), ERR_INPUT);
    }
}

static void test_schema__mapping_names_every_field(void **state)
{
    static const char json[] =
        "{\"type\":\"struct\",\"fields\":[{\"name\":\"a\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}},"
        "{\"name\":\"s\",\"type\":{\"type\":\"array\",\"elementType\":{\"type\":\"struct\",\"fields\":[{\"name\":\"b\","
        "\"type\":\"long\",\"nullable\":true,\"metadata\":{}}]},\"containsNull\":true},\"nullable\":true,\"metadata\":{}}]}";
    CLEANUP(schema_unrefp) struct schema *s = NULL;
    int32_t max_id = 0;
    struct err err;

    (void)state;
    assert_int_equal(delta_schema_parse(str_of(json), &s, &err), 0);
    delta_schema_map(s, &max_id, false, 0);
    assert_int_equal(max_id, 3);
    const struct field *b = &s->fields[1].type.children[0].type.children[0];
    assert_int_equal(b->id, 3);
    assert_int_equal(s->fields[1].type.children[0].n_meta, 0); /* the element itself has none */
    assert_true(str_is(field_meta_get(b, STR("delta.columnMapping.physicalName")), "\"b\""));
    delta_schema_unmap(s);
    assert_int_equal(b->id, 0);
}

static void test_schema__refuses_impossible_types(void **state)
{
    static const char *const types[] = {"\"decimal(39,1)\"", "\"decimal(5,6)\"", "\"decimal()\"",
                                        "{\"type\":\"array\"}", "{\"type\":\"struct\"}"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        CLEANUP(buf_deinit) struct buf json = {0};
        CLEANUP(schema_unrefp) struct schema *s = NULL;
        struct err err = {0};
        buf_printf(&json, "{\"type\":\"struct\",\"fields\":[{\"name\":\"c\",\"type\":%s}]}", types[i]);
        assert_int_equal(delta_schema_parse(buf_str(&json), &s, &err), ERR_INPUT);
        assert_non_null(strstr(err.msg, "column \"c\""));
    }
}

static void test_partition__becomes_sql(void **state)
{
    static const struct {
        struct type t;
        const char *value, *sql; /* sql NULL: refused */
    } cases[] = {
        {{.id = TYPE_STRING}, "a'b", "'a''b'"},
        {{.id = TYPE_STRING}, "", "NULL"},
        {{.id = TYPE_INTEGER}, "-5", "CAST('-5' AS INTEGER)"},
        {{.id = TYPE_BYTE}, "128", NULL},
        {{.id = TYPE_LONG}, "9223372036854775807", "CAST('9223372036854775807' AS BIGINT)"},
        {{.id = TYPE_LONG}, "1); DROP", NULL},
        {{.id = TYPE_BOOLEAN}, "true", "true"},
        {{.id = TYPE_DOUBLE}, "1.5E-3", "CAST('1.5E-3' AS DOUBLE)"},
        {{.id = TYPE_DOUBLE}, "NaN", "CAST('NaN' AS DOUBLE)"},
        {{.id = TYPE_DOUBLE}, "nope", NULL},
        {{.id = TYPE_DECIMAL, .precision = 5, .scale = 2}, "12.50", "CAST('12.50' AS DECIMAL(5,2))"},
        {{.id = TYPE_DATE}, "2024-01-02", "DATE '2024-01-02'"},
        {{.id = TYPE_DATE}, "+10000-01-02", "DATE '10000-01-02'"},
        {{.id = TYPE_DATE}, "-0001-06-01", "DATE '-0001-06-01'"},
        {{.id = TYPE_TIMESTAMP}, "+10000-01-01 00:00:00", "TIMESTAMPTZ '10000-01-01 00:00:00+00'"},
        {{.id = TYPE_TIMESTAMP}, "-0001-06-01 00:00:00", "TIMESTAMPTZ '-0001-06-01 00:00:00+00'"},
        {{.id = TYPE_DATE}, "2024-01", NULL},
        {{.id = TYPE_TIMESTAMP}, "2024-01-02T03:04:05.123456Z", "TIMESTAMPTZ '2024-01-02 03:04:05.123456+00'"},
        {{.id = TYPE_TIMESTAMP}, "2024-01-02 03:04:05", "TIMESTAMPTZ '2024-01-02 03:04:05+00'"},
        {{.id = TYPE_TIMESTAMP}, "2024-01-02 03:04:05'", NULL},
        {{.id = TYPE_TIMESTAMP_NTZ}, "2024-01-02 03:04:05.5", "TIMESTAMP '2024-01-02 03:04:05.5'"},
        {{.id = TYPE_BINARY}, "a\x01", "'\\x61\\x01'::BLOB"},
        {{.id = TYPE_STRUCT}, "x", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(buf_deinit) struct buf out = {0};
        struct err err = {0};
        int rc = delta_partition_sql(&cases[i].t, str_of(cases[i].value), &out, &err);
        assert_int_equal(rc, cases[i].sql ? 0 : ERR_INPUT);
        if (cases[i].sql)
            assert_string_equal(out.p, cases[i].sql);
    }
}

static void test_partition__dates_of_all_years(void **state)
{
    static const struct {
        const char *text;
        int64_t days;
    } cases[] = {{"1970-01-01", 0}, {"2024-2-9", 19762}, {"+10000-01-01", 2932897}, {"-0001-06-01", -719742}};
    static const char *const bad[] = {"2024-01", "2024-13-01", "2024-01-01 00:00:00", "x", "-", "", "999999999-01-01"};
    int64_t days;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(delta_partition_days(str_of(cases[i].text), &days));
        assert_int_equal(days, cases[i].days);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(delta_partition_days(str_of(bad[i]), &days));
}

static void test_partition__becomes_text_and_folder(void **state)
{
    CLEANUP(buf_deinit) struct buf out = {0};
    struct type ts = {.id = TYPE_TIMESTAMP}, d = {.id = TYPE_DOUBLE};
    struct type n = {.id = TYPE_DECIMAL, .precision = 2, .scale = 2};

    (void)state;
    assert_int_equal(delta_partition_text(&n, STR("-.10"), &out, NULL), 0);
    assert_string_equal(out.p, "-0.10");
    buf_reset(&out);
    assert_int_equal(delta_partition_text(&ts, STR("2024-01-02 03:04:05.5+00"), &out, NULL), 0);
    assert_string_equal(out.p, "2024-01-02T03:04:05.5Z");
    buf_reset(&out);
    assert_int_equal(delta_partition_text(&ts, STR("2024-01-02 03:04:05+02"), &out, NULL), ERR_INPUT);
    buf_reset(&out);
    assert_int_equal(delta_partition_text(&d, STR("-inf"), &out, NULL), 0);
    assert_string_equal(out.p, "-Infinity");
    buf_reset(&out);
    delta_partition_dir(STR("p q"), STR("a/b:%"), &out);
    assert_string_equal(out.p, "p q=a%2Fb%3A%25");
    buf_reset(&out);
    delta_partition_dir(STR("p"), (struct str){0}, &out);
    assert_string_equal(out.p, "p=__HIVE_DEFAULT_PARTITION__");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_actions__round_trip_spark_lines),
        cmocka_unit_test(test_add__decodes_its_path_once_and_counts_rows),
        cmocka_unit_test(test_commit__cut_anywhere_never_breaks),
        cmocka_unit_test(test_commit__refuses_what_breaks_the_protocol),
        cmocka_unit_test(test_commit__ignores_what_it_does_not_know),
        cmocka_unit_test(test_path__encodes_and_decodes),
        cmocka_unit_test(test_stats__row_count_is_the_one_at_the_top),
        cmocka_unit_test(test_schema__round_trips),
        cmocka_unit_test(test_schema__cut_anywhere_is_refused),
        cmocka_unit_test(test_schema__mapping_names_every_field),
        cmocka_unit_test(test_schema__refuses_impossible_types),
        cmocka_unit_test(test_partition__becomes_sql),
        cmocka_unit_test(test_partition__dates_of_all_years),
        cmocka_unit_test(test_partition__becomes_text_and_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
