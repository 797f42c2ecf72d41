/* Parquet files out of batches and out of SELECTs: every type back again, field ids, statistics, threads, failures. */
#include "base/arena.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/parquet_stats.h"
#include "engine/render.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct engine *engine;
static struct engine_conn *conn;
static char folder[256];

static int setup(void **state)
{
    struct err err = {0};
    struct engine_options options = {.threads = 2};
    const char *tmp = getenv("SLUICE_TEST_TMP");

    (void)state;
    snprintf(folder, sizeof folder, "%s/parquet_test.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder) || engine_open(&options, &engine, &err) < 0 || engine_connect(engine, &conn, &err) < 0) {
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
    return file_remove_tree(folder, NULL);
}

/* A schema of named types; arrays of `elem` where id is TYPE_ARRAY. */
struct col {
    const char *name;
    enum type_id id;
    uint8_t precision, scale;
    enum type_id elem;
};

static struct schema *make_schema(const struct col *cols, uint32_t n, bool mapped)
{
    struct schema *s = schema_new();

    s->n_fields = n;
    s->fields = ARENA_NEW_N(&s->arena, struct field, n);
    for (uint32_t i = 0; i < n; i++) {
        struct field *f = &s->fields[i];
        f->name = f->physical = str_of(cols[i].name);
        f->nullable = true;
        f->type = (struct type){.id = cols[i].id, .precision = cols[i].precision, .scale = cols[i].scale};
        if (mapped) {
            f->id = (int32_t)i + 1;
            f->physical = str_of(arena_printf(&s->arena, "col-%u", i + 1));
        }
        if (cols[i].id == TYPE_ARRAY) {
            f->type.n_children = 1;
            f->type.children = ARENA_NEW(&s->arena, struct field);
            f->type.children->name = f->type.children->physical = STR("element");
            f->type.children->type.id = cols[i].elem;
        }
    }
    return s;
}

/* Batches one after the other; each is overwritten when the next is asked for, which shows who holds on to one. */
struct list_source {
    struct batch **batches;
    uint32_t n, at;
    const uint32_t *sel;
    uint32_t n_sel;
    bool scribble;
    int fail_at; /* > 0: the call that fails */
};

static int list_next(void *ctx, const struct batch **ret, const uint32_t **ret_sel, uint32_t *ret_n, struct err *err)
{
    struct list_source *s = ctx;

    if (s->fail_at && (int)s->at + 1 == s->fail_at)
        return err_set(err, ERR_NET, "the source broke");
    if (s->scribble && s->at > 0) {
        struct batch *before = s->batches[s->at - 1];
        for (uint32_t i = 0; i < before->schema->n_fields; i++)
            memset(before->cols[i].data, 0xAB, (size_t)before->cols[i].width * before->n);
        arena_deinit(&before->arena);
    }
    if (s->at == s->n)
        return 1;
    *ret = s->batches[s->at++];
    *ret_sel = s->sel;
    *ret_n = s->sel ? s->n_sel : (*ret)->n;
    return 0;
}

static char *path_of(const char *name)
{
    return mem_printf("%s/%s.parquet", folder, name);
}

/* Every row of a SELECT as a line of JSON. */
static char *rows_of(const char *fmt, const char *path)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(mem_freep) char *sql = mem_printf(fmt, path); /* NOLINT: formats of this file */
    const struct engine_chunk *chunk;
    struct err err = {0};
    struct buf out = {0};

    if (engine_query(conn, sql, &result, &err) < 0)
        fail_msg("%s: %s", sql, err.msg);
    while (engine_result_next(result, &chunk, &err) == 0)
        for (uint32_t i = 0; i < chunk->n; i++) {
            render_json_row(&out, result, chunk, i);
            buf_add_char(&out, '\n');
        }
    return buf_take(&out);
}

static const struct col ALL[] = {
    {"b", TYPE_BOOLEAN, 0, 0, 0},
    {"i8", TYPE_BYTE, 0, 0, 0},
    {"i16", TYPE_SHORT, 0, 0, 0},
    {"i32", TYPE_INTEGER, 0, 0, 0},
    {"i64", TYPE_LONG, 0, 0, 0},
    {"f", TYPE_FLOAT, 0, 0, 0},
    {"d", TYPE_DOUBLE, 0, 0, 0},
    {"dec4", TYPE_DECIMAL, 4, 2, 0},
    {"dec9", TYPE_DECIMAL, 9, 2, 0},
    {"dec18", TYPE_DECIMAL, 18, 4, 0},
    {"dec38", TYPE_DECIMAL, 38, 10, 0},
    {"s", TYPE_STRING, 0, 0, 0},
    {"bin", TYPE_BINARY, 0, 0, 0},
    {"day", TYPE_DATE, 0, 0, 0},
    {"ts", TYPE_TIMESTAMP, 0, 0, 0},
    {"tn", TYPE_TIMESTAMP_NTZ, 0, 0, 0},
    {"li", TYPE_ARRAY, 0, 0, TYPE_INTEGER},
    {"ls", TYPE_ARRAY, 0, 0, TYPE_STRING},
};

static void set_int(struct batch *b, uint32_t col, uint32_t row, __int128 v)
{
    column_set(&b->cols[col], row, &v); /* little endian: the leading bytes are the smaller integers */
}

static void fill_row(struct batch *b, int k)
{
    uint32_t row = batch_add_row(b, OP_INSERT, (struct position){1, 1}, 0);
    float f = (float)k + 0.5F;
    double d = -k - 0.25;
    char text[64];
    int len = snprintf(text, sizeof text, "row %d with text that is long", k);

    set_int(b, 0, row, k % 2);
    for (uint32_t c = 1; c <= 4; c++)
        set_int(b, c, row, k + (int)c);
    column_set(&b->cols[5], row, &f);
    column_set(&b->cols[6], row, &d);
    for (uint32_t c = 7; c <= 9; c++)
        set_int(b, c, row, -k - 1);
    set_int(b, 10, row, (__int128)(k + 1) * 1000000000000000000LL * 1000000);
    column_set_str(b, &b->cols[11], row, str_make(text, k % 2 ? (size_t)len : 5));
    column_set_str(b, &b->cols[12], row, str_make("\0\xff", 2));
    set_int(b, 13, row, 19000 + k);
    set_int(b, 14, row, 1700000000123456LL + k);
    set_int(b, 15, row, 1700000000123456LL + k);
    for (uint32_t c = 16; c <= 17; c++) {
        struct column *list = &b->cols[c];
        uint32_t first = list->child->n;
        for (int e = 0; e < k % 3; e++) {
            uint32_t at = column_child_add(list);
            int32_t v = k * 10 + e;
            if (c == 16)
                column_set(list->child, at, &v);
            else if (e == 0)
                column_set_str(b, list->child, at, str_make(text, (size_t)len));
        }
        column_set_list(list, row, first, (uint64_t)(k % 3));
    }
}

static const char EXPECTED[] =
    "{\"b\":false,\"i8\":3,\"i16\":4,\"i32\":5,\"i64\":6,\"f\":2.5,\"d\":-2.25,\"dec4\":-0.03,\"dec9\":-0.03,"
    "\"dec18\":-0.0003,\"dec38\":300000000000000.0000000000,\"s\":\"row 2\",\"bin\":\"AP8=\",\"day\":\"2022-01-10\","
    "\"ts\":\"2023-11-14T22:13:20.123458Z\",\"tn\":\"2023-11-14T22:13:20.123458\",\"li\":[20,21],"
    "\"ls\":[\"row 2 with text that is long\",null]}\n"
    "{\"b\":null,\"i8\":null,\"i16\":null,\"i32\":null,\"i64\":null,\"f\":null,\"d\":null,\"dec4\":null,\"dec9\":null,"
    "\"dec18\":null,\"dec38\":null,\"s\":null,\"bin\":null,\"day\":null,\"ts\":null,\"tn\":null,\"li\":null,"
    "\"ls\":null}\n";

static void test_parquet_write__every_type_comes_back(void **state)
{
    struct schema *schema = make_schema(ALL, ARRAY_LEN(ALL), false);
    struct batch *batch = batch_new(schema, 16);
    static const uint32_t sel[] = {2, 3};
    struct list_source source = {&batch, 1, 0, sel, 2, false, 0};
    struct parquet_spec spec = {.schema = schema};
    struct parquet_file file = {0};
    struct err err = {0};
    CLEANUP(mem_freep) char *path = path_of("types");

    (void)state;
    for (int k = 0; k < 3; k++)
        fill_row(batch, k);
    batch_add_row(batch, OP_INSERT, (struct position){1, 1}, 0);
    if (parquet_write(conn, path, &spec, (struct feed_source){list_next, &source}, &file, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(file.rows, 2);
    assert_int_equal(file.bytes, file_size(path));
    CLEANUP(mem_freep) char *rows = rows_of("FROM read_parquet('%s')", path);
    assert_string_equal(rows, EXPECTED);
    CLEANUP(mem_freep)
    char *types = rows_of(
        "SELECT name, type, regexp_extract(logical_type, 'isAdjustedToUTC=[01]|\\w+\\(scale.*') AS logical FROM parquet_schema('%s') "
        "WHERE name IN ('i8','dec4','dec18','dec38','ts','tn')",
        path);
    assert_string_equal(
        types,
        "{\"name\":\"i8\",\"type\":\"INT32\",\"logical\":null}\n"
        "{\"name\":\"dec4\",\"type\":\"INT32\",\"logical\":\"DecimalType(scale=2, precision=4)\"}\n"
        "{\"name\":\"dec18\",\"type\":\"INT64\",\"logical\":\"DecimalType(scale=4, precision=18)\"}\n"
        "{\"name\":\"dec38\",\"type\":\"FIXED_LEN_BYTE_ARRAY\",\"logical\":\"DecimalType(scale=10, precision=38)\"}\n"
        "{\"name\":\"ts\",\"type\":\"INT64\",\"logical\":\"isAdjustedToUTC=1\"}\n"
        "{\"name\":\"tn\",\"type\":\"INT64\",\"logical\":\"isAdjustedToUTC=0\"}\n");
    assert_string_equal(
        file.stats.p,
        "{\"numRecords\":2,\"minValues\":{\"i8\":3,\"i16\":4,\"i32\":5,\"i64\":6,\"f\":2.5,\"d\":-2.25,\"dec4\":-0.03,"
        "\"dec9\":-0.03,\"dec18\":-0.0003,\"dec38\":300000000000000.0000000000,\"s\":\"row 2\",\"day\":\"2022-01-10\","
        "\"ts\":\"2023-11-14T22:13:20.123Z\",\"tn\":\"2023-11-14T22:13:20.123\"},"
        "\"maxValues\":{\"i8\":3,\"i16\":4,\"i32\":5,\"i64\":6,\"f\":2.5,\"d\":-2.25,\"dec4\":-0.03,"
        "\"dec9\":-0.03,\"dec18\":-0.0003,\"dec38\":300000000000000.0000000000,\"s\":\"row 2\",\"day\":\"2022-01-10\","
        "\"ts\":\"2023-11-14T22:13:20.123Z\",\"tn\":\"2023-11-14T22:13:20.123\"},"
        "\"nullCount\":{\"b\":1,\"i8\":1,\"i16\":1,\"i32\":1,\"i64\":1,\"f\":1,\"d\":1,\"dec4\":1,\"dec9\":1,"
        "\"dec18\":1,\"dec38\":1,\"s\":1,\"bin\":1,\"day\":1,\"ts\":1,\"tn\":1,\"li\":1,\"ls\":1}}");
    parquet_file_deinit(&file);
    batch_free(batch);
    schema_unref(schema);
}

static void test_parquet_write__field_ids_and_physical_names(void **state)
{
    static const struct col cols[] = {{"id", TYPE_LONG, 0, 0, 0}, {"tags", TYPE_ARRAY, 0, 0, TYPE_STRING}};
    struct schema *schema = make_schema(cols, 2, true);
    struct list_source source = {0};
    struct parquet_spec spec = {.schema = schema, .tight_bounds = true, .compression = "snappy"};
    struct parquet_file file = {0};
    struct err err = {0};
    CLEANUP(mem_freep) char *path = path_of("ids");

    (void)state;
    if (parquet_write(conn, path, &spec, (struct feed_source){list_next, &source}, &file, &err) < 0)
        fail_msg("%s", err.msg);
    CLEANUP(mem_freep)
    char *ids = rows_of("SELECT name, field_id FROM parquet_schema('%s') WHERE field_id IS NOT NULL", path);
    assert_string_equal(ids, "{\"name\":\"col-1\",\"field_id\":1}\n{\"name\":\"col-2\",\"field_id\":2}\n");
    assert_int_equal(file.rows, 0);
    assert_string_equal(file.stats.p, "{\"numRecords\":0,\"tightBounds\":true,\"minValues\":{},\"maxValues\":{},"
                                      "\"nullCount\":{\"col-1\":0,\"col-2\":0}}");
    parquet_file_deinit(&file);
    schema_unref(schema);
}

/* Many batches, each destroyed when the next is asked for: nothing may be kept that points into one. */
static void test_parquet_write__a_batch_lives_only_until_the_next(void **state)
{
    enum { N = 40, ROWS = 5000 };
    struct schema *schema = make_schema(ALL, ARRAY_LEN(ALL), false);
    struct batch *batches[N];
    struct list_source source = {batches, N, 0, NULL, 0, true, 0};
    struct parquet_spec spec = {.schema = schema};
    struct parquet_file file = {0};
    CLEANUP(mem_freep) char *path = path_of("lifetime");

    (void)state;
    for (int i = 0; i < N; i++) {
        batches[i] = batch_new(schema, ROWS);
        for (int k = 0; k < ROWS; k++)
            fill_row(batches[i], i * ROWS + k);
    }
    assert_int_equal(parquet_write(conn, path, &spec, (struct feed_source){list_next, &source}, &file, NULL), 0);
    CLEANUP(mem_freep)
    char *rows = rows_of("SELECT count(*) AS n, count_if(s = left('row ' || (i64 - 4) || ' with text that is long', "
                         "CASE WHEN i64 %% 2 = 1 THEN 99 ELSE 5 END)) AS ok, "
                         "count_if(i64 = file_row_number + 4) AS in_order, "
                         "count_if(ls[1] = 'row ' || (i64 - 4) || ' with text that is long') AS lists, "
                         "count_if(len(li) = (i64 - 4) %% 3) AS lens FROM read_parquet('%s')",
                         path);
    assert_string_equal(rows, "{\"n\":200000,\"ok\":200000,\"in_order\":200000,\"lists\":133333,\"lens\":200000}\n");
    parquet_file_deinit(&file);
    for (int i = 0; i < N; i++)
        batch_free(batches[i]);
    schema_unref(schema);
}

static void test_parquet_write__a_failing_source_leaves_nothing(void **state)
{
    static const struct col cols[] = {{"id", TYPE_LONG, 0, 0, 0}};
    struct schema *schema = make_schema(cols, 1, false);
    struct batch *batch = batch_new(schema, 1);
    struct list_source source = {&batch, 1, 0, NULL, 0, false, 2};
    struct parquet_spec spec = {.schema = schema};
    struct parquet_file file = {0};
    struct err err = {0};
    CLEANUP(mem_freep) char *path = path_of("failed");

    (void)state;
    batch_add_row(batch, OP_INSERT, (struct position){1, 1}, 0);
    assert_int_equal(parquet_write(conn, path, &spec, (struct feed_source){list_next, &source}, &file, &err), ERR_NET);
    assert_string_equal(err.msg, "the source broke");
    assert_false(file_exists(path));
    source = (struct list_source){&batch, 1, 0, NULL, 0, false, 0};
    assert_int_equal(
        parquet_write(conn, "/nowhere/x.parquet", &spec, (struct feed_source){list_next, &source}, &file, &err),
        ERR_IO);
    spec.compression = "zip";
    assert_int_equal(parquet_write(conn, path, &spec, (struct feed_source){list_next, &source}, &file, &err),
                     ERR_USAGE);
    parquet_file_deinit(&file);
    batch_free(batch);
    schema_unref(schema);
}

static void *write_some(void *arg)
{
    static const struct col cols[] = {{"id", TYPE_LONG, 0, 0, 0}, {"s", TYPE_STRING, 0, 0, 0}};
    struct schema *schema = make_schema(cols, 2, false);
    struct batch *batch = batch_new(schema, 1);
    struct engine_conn *own = NULL;
    struct parquet_spec spec = {.schema = schema};
    struct parquet_file file = {0};
    intptr_t failed = engine_connect(engine, &own, NULL) < 0;

    for (int64_t i = 0; i < 3000; i++) {
        uint32_t row = batch_add_row(batch, OP_INSERT, (struct position){1, 1}, 0);
        column_set(&batch->cols[0], row, &i);
        column_set_str(batch, &batch->cols[1], row, STR("a text of more than twelve bytes"));
    }
    for (int i = 0; i < 20 && !failed; i++) {
        struct list_source source = {&batch, 1, 0, NULL, 0, false, 0};
        CLEANUP(mem_freep) char *path = mem_printf("%s/thread-%d-%d.parquet", folder, (int)(intptr_t)arg, i);
        failed = parquet_write(own, path, &spec, (struct feed_source){list_next, &source}, &file, NULL) < 0 ||
                 file.rows != 3000;
    }
    parquet_file_deinit(&file);
    engine_conn_free(own);
    batch_free(batch);
    schema_unref(schema);
    return (void *)failed;
}

static void test_parquet_write__several_threads_at_once(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (intptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_some, (void *)i), 0);
    for (int i = 0; i < 4; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    CLEANUP(mem_freep) char *rows = rows_of("SELECT count(*) AS n, sum(id) AS s FROM '%s/thread-*.parquet'", folder);
    assert_string_equal(rows, "{\"n\":240000,\"s\":359880000}\n");
}

static void test_write_query__casts_renames_and_counts(void **state)
{
    struct schema *schema = schema_new();
    struct parquet_file file = {0};
    struct err err = {0};
    CLEANUP(mem_freep) char *path = path_of("query");

    (void)state;
    schema->n_fields = 2;
    schema->fields = ARENA_NEW_N(&schema->arena, struct field, 2);
    schema->fields[0] = (struct field){.name = STR("id"), .physical = STR("c-1"), .id = 1, .type.id = TYPE_LONG};
    struct field *inner = ARENA_NEW_N(&schema->arena, struct field, 2);
    inner[0] = (struct field){.name = STR("x"), .physical = STR("c-3"), .id = 3, .type.id = TYPE_INTEGER};
    inner[1] = (struct field){.name = STR("y"), .physical = STR("c-4"), .id = 4, .type.id = TYPE_STRING};
    schema->fields[1] = (struct field){.name = STR("st"), .physical = STR("c-2"), .id = 2};
    schema->fields[1].type = (struct type){.id = TYPE_STRUCT, .n_children = 2, .children = inner};
    struct parquet_spec spec = {.schema = schema};
    if (parquet_write_query(conn,
                            "SELECT i::INTEGER AS a, CASE WHEN i < 9 THEN {'x': i::INTEGER, 'y': 't' || i} END AS b "
                            "FROM range(10) t(i) -- a comment",
                            path, &spec, &file, &err) < 0)
        fail_msg("%s", err.msg);
    CLEANUP(mem_freep) char *rows = rows_of("FROM read_parquet('%s') LIMIT 1 OFFSET 8", path);
    assert_string_equal(rows, "{\"c-1\":8,\"c-2\":{\"c-3\":8,\"c-4\":\"t8\"}}\n");
    CLEANUP(mem_freep)
    char *ids = rows_of("SELECT list(field_id) AS ids FROM parquet_schema('%s') WHERE field_id IS NOT NULL", path);
    assert_string_equal(ids, "{\"ids\":[1,2,3,4]}\n");
    assert_string_equal(file.stats.p, "{\"numRecords\":10,\"minValues\":{\"c-1\":0,\"c-2\":{\"c-3\":0,\"c-4\":\"t0\"}},"
                                      "\"maxValues\":{\"c-1\":9,\"c-2\":{\"c-3\":8,\"c-4\":\"t8\"}},"
                                      "\"nullCount\":{\"c-1\":0,\"c-2\":{\"c-3\":1,\"c-4\":1}}}");
    assert_int_equal(parquet_write_query(conn, "SELECT 'x', NULL", path, &spec, &file, &err), ERR_USAGE);
    assert_false(file_exists(path));
    parquet_file_deinit(&file);
    schema_unref(schema);
}

static void check_bound(enum type_id id, struct str text, bool is_max, const char *expected)
{
    struct type type = {.id = id};
    CLEANUP(buf_deinit) struct buf out = {0};

    if (!parquet_stats_bound(&type, text, is_max, &out))
        buf_add_cstr(&out, "none");
    assert_string_equal(out.p, expected);
}

static void test_stats__bounds_are_what_readers_can_trust(void **state)
{
    (void)state;
    check_bound(TYPE_LONG, STR("-5"), false, "-5");
    check_bound(TYPE_BOOLEAN, STR("0"), false, "none");
    check_bound(TYPE_BINARY, STR("00"), false, "none");
    check_bound(TYPE_DECIMAL, STR("-.125"), true, "-0.125");
    check_bound(TYPE_DOUBLE, STR("inf"), true, "\"Infinity\"");
    check_bound(TYPE_DOUBLE, STR("-0.0"), true, "0.0");
    check_bound(TYPE_DOUBLE, STR("0.0"), false, "-0.0");
    check_bound(TYPE_DOUBLE, STR("1e+20"), true, "1e+20");
    check_bound(TYPE_DATE, STR("2024-01-10"), true, "\"2024-01-10\"");
    check_bound(TYPE_DATE, STR("0044-03-15 (BC)"), false, "none");
    check_bound(TYPE_DATE, STR("infinity"), true, "none");
    check_bound(TYPE_DATE, STR("12024-01-10"), true, "none");
    check_bound(TYPE_TIMESTAMP, STR("2024-01-01 00:01:38.123456+00"), true, "\"2024-01-01T00:01:38.123Z\"");
    check_bound(TYPE_TIMESTAMP, STR("2024-01-01 00:01:38+00"), true, "\"2024-01-01T00:01:38.000Z\"");
    check_bound(TYPE_TIMESTAMP_NTZ, STR("2024-01-01 00:01:38.1"), true, "\"2024-01-01T00:01:38.100\"");
    check_bound(TYPE_TIMESTAMP, STR("0044-03-15 (BC) 00:00:00+00"), false, "none");
    check_bound(TYPE_TIMESTAMP, STR("infinity"), true, "none");
    check_bound(TYPE_STRING, STR("short"), true, "\"short\"");
    check_bound(TYPE_STRING, STR(""), false, "\"\"");
    check_bound(TYPE_STRING, STR("0123456789abcdef0123456789abcdefXYZ"), false, "\"0123456789abcdef0123456789abcdef\"");
    check_bound(TYPE_STRING, STR("0123456789abcdef0123456789abcdefXYZ"), true,
                "\"0123456789abcdef0123456789abcdef\x7f\"");
    check_bound(TYPE_STRING, STR("0123456789abcdef0123456789abcdefé"), true,
                "\"0123456789abcdef0123456789abcdef\xf4\x8f\xbf\xbf\"");
    check_bound(TYPE_STRING, STR("0123456789abcdef0123456789abcdef\xf4\x8f\xbf\xbfz"), true,
                "\"0123456789abcdef0123456789abcdef\xf4\x8f\xbf\xbf\x7f\"");
    check_bound(TYPE_STRING, STR("éééééééééééééééééééééééééééééééééé"), false, "\"éééééééééééééééééééééééééééééééé\"");
    /* Spark counts the characters of a maximum in UTF-16 */
    check_bound(TYPE_STRING, STR("😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀"), false, "\"😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀\"");
    check_bound(TYPE_STRING, STR("😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀"), true, "\"😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀\xf4\x8f\xbf\xbf\"");
    check_bound(TYPE_STRING, STR("0123456789abcdef0123456789abcde😀tail"), true,
                "\"0123456789abcdef0123456789abcde😀\x7f\"");
    check_bound(TYPE_STRING, STR("\xff\xfe"), true, "none");
}

static void test_stats__nan_drops_the_maximum(void **state)
{
    static const struct col cols[] = {{"d", TYPE_DOUBLE, 0, 0, 0}, {"n", TYPE_LONG, 0, 0, 0}};
    struct schema *schema = make_schema(cols, 2, false);
    struct parquet_spec spec = {.schema = schema, .stats_columns = 1};
    struct parquet_file file = {0};
    CLEANUP(mem_freep) char *path = path_of("nan");

    (void)state;
    assert_int_equal(parquet_write_query(conn, "FROM (VALUES (1.5::DOUBLE, 1), ('nan', 2))", path, &spec, &file, NULL),
                     0);
    assert_string_equal(
        file.stats.p,
        "{\"numRecords\":2,\"minValues\":{\"d\":1.5},\"maxValues\":{\"d\":\"NaN\"},\"nullCount\":{\"d\":0}}");
    parquet_file_deinit(&file);
    schema_unref(schema);
}

/* ---- our own encoder against DuckDB's ---- */

static uint64_t seed;

static uint32_t dice(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

/* Below a million: above, the two lay out the same number differently. Of floats we give all digits, DuckDB nine. */
static double random_double(void)
{
    static const double odd[] = {0.0, -0.0, 1e300, -1e-30, 100000, 0.1, -7};

    return dice(4) ? (double)(int32_t)dice(1u << 31) / 4096 : odd[dice(ARRAY_LEN(odd))];
}

static void random_text(struct batch *b, struct column *c, uint32_t row, bool binary)
{
    static const char *parts[] = {"a", "é", "\xf4\x8f\xbf\xbf", "line\n", "\"", "0123456789", "zz", ""};
    CLEANUP(buf_deinit) struct buf text = {0};

    for (uint32_t n = dice(12); n; n--)
        buf_add_cstr(&text, parts[dice(ARRAY_LEN(parts))]);
    if (binary)
        buf_add(&text, "\0\xff", dice(3));
    column_set_str(b, c, row, buf_str(&text));
}

static void random_number(struct column *c, uint32_t row)
{
    static const int64_t limits[] = {0, 1, -1, INT8_MIN, INT16_MAX};
    __int128 v = dice(8) ? (__int128)(int32_t)dice(1u << 31) - (1 << 30) : (__int128)limits[dice(ARRAY_LEN(limits))];
    const struct type *t = c->type;

    if (t->id == TYPE_BOOLEAN)
        v &= 1;
    else if (t->id == TYPE_BYTE || t->id == TYPE_SHORT)
        v = t->id == TYPE_BYTE ? (int8_t)v : (int16_t)v;
    else if (t->id == TYPE_DECIMAL && t->precision == 4)
        v %= 10000;
    else if (t->id == TYPE_DECIMAL && t->precision == 9)
        v %= 1000000000;
    else if (t->id == TYPE_DATE)
        v = v % 2000000 + (dice(30) == 0 ? 3000000 : 0);
    else if (c->width >= 8)
        v *= 1 + dice(1000000);
    if (c->width == 16)
        v *= 1000000000000LL;
    column_set(c, row, &v);
}

static void random_value(struct batch *b, struct column *c, uint32_t row, bool nan)
{
    enum type_id id = c->type->id;
    double d = nan && dice(20) == 0 ? __builtin_nan("") : random_double();
    float f = __builtin_isnan(d) ? (float)d : (float)(int32_t)(d < 1e6 ? d * 8 : 0) / 8;

    if (id == TYPE_ARRAY) {
        uint64_t first = c->child->n, n = dice(4);
        for (uint64_t i = 0; i < n; i++) {
            uint32_t at = column_child_add(c);
            if (dice(5))
                random_value(b, c->child, at, nan);
        }
        column_set_list(c, row, first, n);
    } else if (id == TYPE_STRING || id == TYPE_BINARY) {
        random_text(b, c, row, id == TYPE_BINARY);
    } else if (id == TYPE_FLOAT) {
        column_set(c, row, &f);
    } else if (id == TYPE_DOUBLE) {
        column_set(c, row, &d);
    } else {
        random_number(c, row);
    }
}

static struct batch *random_batch(const struct schema *schema, bool nan)
{
    struct batch *b = batch_new(schema, 16);
    uint32_t n = 1 + (dice(4) ? dice(20) : dice(3000)), null_one_in[ARRAY_LEN(ALL)];

    for (uint32_t c = 0; c < schema->n_fields; c++)
        null_one_in[c] = dice(4); /* 0: never, 1: always */
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = batch_add_row(b, OP_INSERT, (struct position){1, 1}, 0);
        for (uint32_t c = 0; c < schema->n_fields; c++)
            if (!null_one_in[c] || dice(null_one_in[c]))
                random_value(b, &b->cols[c], row, nan);
    }
    return b;
}

static void both_ways(struct batch **batches, uint32_t n, const uint32_t *sel, uint32_t n_sel,
                      const struct parquet_spec *spec)
{
    struct list_source source = {batches, n, 0, sel, n_sel, false, 0};
    struct parquet_rows pieces[4];
    struct parquet_file theirs = {0}, ours = {0};
    CLEANUP(buf_deinit) struct buf bytes = {0};
    CLEANUP(mem_freep) char *their_path = path_of("theirs"), *our_path = path_of("ours");
    struct err err = {0};

    for (uint32_t i = 0; i < n; i++)
        pieces[i] = (struct parquet_rows){batches[i], sel, sel ? n_sel : batches[i]->n};
    if (parquet_write(conn, their_path, spec, (struct feed_source){list_next, &source}, &theirs, &err) < 0 ||
        parquet_write_rows(spec, pieces, n, &bytes, &ours, &err) < 0 ||
        file_replace(our_path, bytes.p, bytes.n, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(ours.rows, theirs.rows);
    assert_int_equal(ours.bytes, file_size(our_path));
    assert_string_equal(ours.stats.p, theirs.stats.p);
    static const char *const queries[] = {
        "FROM read_parquet('%s')",
        "SELECT name, type, type_length, repetition_type, num_children, scale, precision, field_id, logical_type, "
        "CASE WHEN name NOT IN ('tn', 'col-16') THEN converted_type END AS ct FROM parquet_schema('%s') "
        "WHERE name NOT IN ('schema', 'duckdb_schema')",
        "SELECT path_in_schema, num_values, stats_null_count FROM parquet_metadata('%s')",
    };
    for (size_t q = 0; q < ARRAY_LEN(queries); q++) {
        CLEANUP(mem_freep) char *a = rows_of(queries[q], their_path);
        CLEANUP(mem_freep) char *b = rows_of(queries[q], our_path);
        assert_string_equal(b, a);
    }
    parquet_file_deinit(&theirs);
    parquet_file_deinit(&ours);
}

static void test_parquet_write_rows__random_rows_are_as_duckdb_writes_them(void **state)
{
    static const uint32_t sel[] = {0, 0, 0};
    struct batch *batches[3];

    (void)state;
    for (seed = 1; seed < 40;) {
        uint64_t next = seed + 1;
        struct schema *schema = make_schema(ALL, ARRAY_LEN(ALL), dice(2));
        struct parquet_spec spec = {.schema = schema, .tight_bounds = dice(2), .stats_columns = dice(2) ? 5 : 0};
        uint32_t n = 1 + dice(3);
        bool nan = dice(3) == 0;
        for (uint32_t i = 0; i < n; i++)
            batches[i] = random_batch(schema, nan);
        both_ways(batches, n, dice(4) ? NULL : sel, 1 + dice(3), &spec);
        for (uint32_t i = 0; i < n; i++)
            batch_free(batches[i]);
        schema_unref(schema);
        seed = next;
    }
}

static void test_parquet_write_rows__extremes_have_no_bound(void **state)
{
    static const struct col cols[] = {{"d", TYPE_DATE, 0, 0, 0},          {"t", TYPE_TIMESTAMP, 0, 0, 0},
                                      {"n", TYPE_TIMESTAMP_NTZ, 0, 0, 0}, {"l", TYPE_LONG, 0, 0, 0},
                                      {"m", TYPE_DECIMAL, 38, 0, 0},      {"f", TYPE_DOUBLE, 0, 0, 0}};
    struct schema *schema = make_schema(cols, ARRAY_LEN(cols), false);
    struct batch *b = batch_new(schema, 2);
    struct parquet_rows rows = {b, NULL, 2};
    struct parquet_spec spec = {.schema = schema};
    struct parquet_file file = {0};
    CLEANUP(buf_deinit) struct buf bytes = {0};
    __int128 most = (__int128)1000000000000000000LL * 1000000000000000000LL * 100 - 1;

    (void)state;
    for (int i = 0; i < 2; i++) {
        uint32_t row = batch_add_row(b, OP_INSERT, (struct position){1, 1}, 0);
        int32_t day = i ? INT32_MAX : -INT32_MAX;
        int64_t us = i ? INT64_MAX : -INT64_MAX;
        __int128 m = i ? most : -most;
        double f = i ? __builtin_inf() : -__builtin_inf();
        column_set(&b->cols[0], row, &day);
        for (int c = 1; c <= 3; c++)
            column_set(&b->cols[c], row, &us);
        column_set(&b->cols[4], row, &m);
        column_set(&b->cols[5], row, &f);
    }
    assert_int_equal(parquet_write_rows(&spec, &rows, 1, &bytes, &file, NULL), 0);
    assert_string_equal(
        file.stats.p,
        "{\"numRecords\":2,\"minValues\":{\"l\":-9223372036854775807,\"m\":-99999999999999999999999999999999999999},"
        "\"maxValues\":{\"l\":9223372036854775807,\"m\":99999999999999999999999999999999999999},"
        "\"nullCount\":{\"d\":0,\"t\":0,\"n\":0,\"l\":0,\"m\":0,\"f\":0}}");
    CLEANUP(mem_freep) char *path = path_of("extremes");
    assert_int_equal(file_replace(path, bytes.p, bytes.n, NULL), 0);
    CLEANUP(mem_freep) char *back = rows_of("SELECT d, t, n, l, m, f FROM read_parquet('%s') LIMIT 1 OFFSET 1", path);
    assert_string_equal(back, "{\"d\":\"infinity\",\"t\":\"infinity\",\"n\":\"infinity\",\"l\":9223372036854775807,"
                              "\"m\":99999999999999999999999999999999999999,\"f\":\"Infinity\"}\n");
    parquet_file_deinit(&file);
    batch_free(b);
    schema_unref(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parquet_write__every_type_comes_back),
        cmocka_unit_test(test_parquet_write__field_ids_and_physical_names),
        cmocka_unit_test(test_parquet_write__a_batch_lives_only_until_the_next),
        cmocka_unit_test(test_parquet_write__a_failing_source_leaves_nothing),
        cmocka_unit_test(test_parquet_write__several_threads_at_once),
        cmocka_unit_test(test_write_query__casts_renames_and_counts),
        cmocka_unit_test(test_stats__bounds_are_what_readers_can_trust),
        cmocka_unit_test(test_stats__nan_drops_the_maximum),
        cmocka_unit_test(test_parquet_write_rows__random_rows_are_as_duckdb_writes_them),
        cmocka_unit_test(test_parquet_write_rows__extremes_have_no_bound),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
