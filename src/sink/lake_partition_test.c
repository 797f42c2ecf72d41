/* Partitioned tables: what files hold and what the log says of them, however rows move, columns change and files merge. */
#include "sink/test_drive.h"

#include "sink/lake_partition.h"

static const char *wanted; /* ",a,b," */

static bool is_wanted(void *ctx, struct table_name table, struct str column)
{
    char name[64];

    (void)ctx;
    (void)table;
    snprintf(name, sizeof name, ",%.*s,", STR_ARG(column));
    return strstr(wanted, name) != NULL;
}

static void begin_by(const char *columns, const char *table, enum relation_identity identity)
{
    wanted = columns;
    w.env.partitions_by = is_wanted;
    begin(table, identity);
}

/* Tells a new row, or the new version of the row at `i`. */
static void put(int i, const char *key, const char *a, const char *b)
{
    struct row *r = i < 0 ? &w.now.r[w.now.n++] : &w.now.r[i];

    if (i >= 0 && w.identity == IDENTITY_ROW)
        put_row(OP_BEFORE, r, 0);
    row_clear(r);
    r->v[1] = mem_strdup(key);
    r->v[2] = a ? mem_strdup(a) : NULL;
    r->v[3] = b ? mem_strdup(b) : NULL;
    put_row(i < 0 ? OP_INSERT : OP_UPDATE, r, 0);
}

static int find_row(const char *key)
{
    for (size_t i = 0; i < w.now.n; i++)
        if (strcmp(w.now.r[i].v[1], key) == 0)
            return (int)i;
    return -1;
}

static const char *const regions[] = {"eu", "us", NULL, "a/b=c %25 'x' \"é\"", "12:~", "eu "};

static size_t n_live(const struct delta_snapshot *s, const char *column, const char *value)
{
    const struct delta_file *f;
    size_t cursor = 0, n = 0;

    while ((f = delta_snapshot_next(s, &cursor))) {
        struct str is = delta_kv_get(f->parts, f->n_parts, str_of(column));
        n += value ? str_is(is, value) : !is.p;
    }
    return n;
}

/* Every row of every file has the values that the log says of the file, in the file itself too. */
static void check_files(void)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = delta_table_snapshot(w.t->delta);
    const struct delta_metadata *m = s->head->metadata;
    const struct delta_file *f;
    size_t cursor = 0;

    while ((f = delta_snapshot_next(s, &cursor))) {
        assert_int_equal(f->n_parts, m->n_partition_columns);
        for (uint32_t k = 0; k < m->n_partition_columns; k++) {
            CLEANUP(buf_deinit) struct buf sql = {0}, path = {0};
            CLEANUP(mem_freep) char *key = mem_strndup(f->path.p, f->path.n);
            const struct field *field = &s->head->schema->fields[schema_find(s->head->schema, m->partition_columns[k])];
            struct str value = delta_kv_get(f->parts, f->n_parts, field->physical);
            int64_t others;
            store_local_path(w.t->store, key, &path);
            buf_add_cstr(&sql, "SELECT count(*) FROM read_parquet(");
            buf_add_sql_literal(&sql, buf_str(&path));
            buf_add_cstr(&sql, ") WHERE nullif(");
            buf_add_sql_ident(&sql, field->physical);
            buf_add_cstr(&sql, "::VARCHAR, '') IS DISTINCT FROM ");
            if (value.p)
                buf_add_sql_literal(&sql, value);
            else
                buf_add_cstr(&sql, "NULL");
            OK(engine_query_i64(w.conn, sql.p, &others, &err));
            assert_int_equal(others, 0);
        }
    }
}

static void test_flush__a_file_for_each_partition(void **state)
{
    (void)state;
    begin_by(",b,", "flushed", IDENTITY_KEY);
    for (int i = 0; i < 60; i++) {
        CLEANUP(mem_freep) char *key = mem_printf("%d", i);
        put(-1, key, "1", regions[i % 6]);
    }
    commit();
    check("flushed");
    check_files();
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = delta_table_snapshot(w.t->delta);
    assert_int_equal(s->head->metadata->n_partition_columns, 1);
    assert_true(str_is(s->head->metadata->partition_columns[0], "b"));
    assert_int_equal(s->n_files, 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(n_live(s, "b", regions[i]), 1);
    end();
}

static void test_flush__the_empty_text_is_null(void **state)
{
    (void)state;
    begin_by(",b,", "emptied", IDENTITY_KEY);
    put(-1, "1", "1", "");
    put(-1, "2", "2", NULL);
    commit();
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = delta_table_snapshot(w.t->delta);
    assert_int_equal(s->n_files, 1);
    assert_int_equal(n_live(s, "b", NULL), 1);
    check_files();
    end();
}

static void test_apply__a_row_moves_to_another_partition(void **state)
{
    (void)state;
    begin_by(",a,b,", "moved", IDENTITY_KEY);
    put(-1, "1", "7", "eu");
    put(-1, "2", "7", "eu");
    put(-1, "3", "8", "eu");
    commit();
    put(0, "1", "7", "us");
    put(1, "2", NULL, "eu");
    put(1, "2", "8", "eu"); /* it never was in the one in between */
    commit();
    check("moved");
    check_files();
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = delta_table_snapshot(w.t->delta);
    assert_int_equal(s->n_files, 3); /* of the first three two are empty, or nearly */
    assert_int_equal(n_live(s, "a", "7"), 1);
    assert_int_equal(n_live(s, "b", "us"), 1);
    end();
}

static void test_apply__a_value_that_is_not_sent_is_that_of_the_old_row(void **state)
{
    (void)state;
    begin_by(",b,", "unsent", IDENTITY_KEY);
    insert("1");
    put(-1, "2", "7", "eu");
    commit();
    update(0, NULL, 3);
    update(1, NULL, 3);
    update(1, "4", 3);
    commit();
    check("unsent");
    check_files();
    end();
}

static void step(void)
{
    CLEANUP(mem_freep) char *key = mem_printf("%u", dice(100)), *a = mem_printf("%u", dice(2));
    const char *b = regions[dice(6)];
    int at = find_row(key);

    if (at < 0 && w.now.n < 300)
        put(-1, key, dice(4) ? a : NULL, b);
    else if (at >= 0 && dice(4) == 0)
        drop((size_t)at);
    else if (at >= 0)
        put(at, key, a, dice(2) ? b : w.now.r[at].v[3] ? "eu" : NULL);
}

static void run(const char *columns, enum relation_identity identity, bool vectors, uint64_t seed)
{
    CLEANUP(mem_freep) char *name = mem_printf("random%llu", (unsigned long long)seed);

    w.random = seed;
    w.env.compact_files = 3;
    begin_by(columns, name, identity);
    w.t->vectors = vectors;
    for (int epoch = 0; epoch < 10; epoch++) {
        for (uint32_t i = 0, n = dice(40); i < n; i++) {
            step();
            if (dice(10) == 0)
                send();
            if (dice(20) == 0) {
                send();
                OK(lake_table_flush(w.t, &err));
            }
        }
        commit();
        check(name);
        if (dice(4) == 0)
            reopen(dice(2));
        w.t->vectors = vectors;
    }
    check_files();
    end();
    w.env.compact_files = 0;
}

static void test_random__partitioned_as_a_plain_list(void **state)
{
    (void)state;
    run(",a,b,", IDENTITY_KEY, true, 1);
    run(",a,", IDENTITY_ROW, true, 2);
    run(",a,", IDENTITY_KEY, false, 3);
}

static void test_relation__a_partition_column_is_renamed_and_dropped(void **state)
{
    (void)state;
    begin_by(",b,", "renamed", IDENTITY_KEY);
    put(-1, "1", "7", "eu");
    put(-1, "2", "7", "us");
    commit();
    snprintf(w.cols[2].name, sizeof w.cols[2].name, "where");
    make_relation();
    OK(lake_table_relation(w.t, w.rel, w.schema, &err));
    put(-1, "3", "7", "eu");
    commit();
    check("renamed");
    check_files();
    reopen(false);
    put(0, "1", "9", "us");
    commit();
    check("renamed, opened again");
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = delta_table_snapshot(w.t->delta);
    assert_true(str_is(s->head->metadata->partition_columns[0], "where"));
    assert_int_equal(n_live(s, "b", "us"), 2); /* under its physical name */
    w.n_cols--;
    make_relation();
    assert_int_equal(lake_table_relation(w.t, w.rel, w.schema, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "partitioned"));
    end();
}

static void test_stage__anew_with_other_columns(void **state)
{
    (void)state;
    begin_by(",b,", "anew", IDENTITY_KEY);
    put(-1, "1", "7", "eu");
    commit();
    assert_false(lake_partition_differs(w.t));
    wanted = ",a,";
    assert_true(lake_partition_differs(w.t));
    reopen(false); /* keeps what it has */
    assert_int_equal(w.t->n_parts, 1);
    put(-1, "2", "7", "us");
    commit();
    check("as it was");
    lake_table_free(TAKE_PTR(w.t));
    rows_clear(&w.now);
    OK(lake_table_stage(&w.env, w.rel, w.schema, w.lsn, w.lsn, &w.t, &err));
    put(-1, "1", "7", "eu");
    put(-1, "2", "8", "us");
    commit();
    check("anew");
    check_files();
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = delta_table_snapshot(w.t->delta);
    assert_int_equal(s->head->metadata->n_partition_columns, 1);
    assert_true(str_is(s->head->metadata->partition_columns[0], "a"));
    assert_int_equal(n_live(s, "a", "8"), 1);
    end();
}

static void test_stage__by_what_cannot_be(void **state)
{
    (void)state;
    begin_by(",id,a,", "cannot", IDENTITY_KEY);
    wanted = ",id,a,b,";
    assert_int_equal(lake_table_stage(&w.env, w.rel, w.schema, 0, 0, &w.t, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "all of its columns"));
    wanted = ",a,";
    struct schema *s = schema_clone(w.schema);
    s->fields[1].type = (struct type){.id = TYPE_BINARY};
    assert_int_equal(lake_partition_check(&w.env, (struct table_name){STR("public"), STR("t")}, s, &err),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "public.t cannot be partitioned by column a, whose type is binary"));
    schema_unref(s);
    end();
}

static void test_key__there_and_back(void **state)
{
    static const char *const broken[] = {"", ":", "5:abc", "x:abc", "-1:a", "0:", "99999999999999999999:a"};
    struct str key = STR("~3:a:~~12:~~~~~~~~~~~~"), value;

    (void)state;
    assert_true(lake_partition_next(&key, &value) && !value.p);
    assert_true(lake_partition_next(&key, &value) && str_is(value, "a:~"));
    assert_true(lake_partition_next(&key, &value) && !value.p);
    assert_true(lake_partition_next(&key, &value) && str_is(value, "~~~~~~~~~~~~"));
    assert_int_equal(key.n, 0);
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        key = str_of(broken[i]);
        assert_false(lake_partition_next(&key, &value));
    }
}

/* Days and microseconds since 1970 as the log has them. */
static void test_value__of_times(void **state)
{
    static const struct {
        enum type_id type;
        int64_t value;
        const char *text; /* NULL: refused */
    } cases[] = {
        {TYPE_DATE, 0, "10:1970-01-01"},
        {TYPE_DATE, -719162, "10:0001-01-01"},
        {TYPE_DATE, -719163, NULL},
        {TYPE_DATE, 2932896, "10:9999-12-31"},
        {TYPE_DATE, 2932897, NULL},
        {TYPE_TIMESTAMP, 1500000, "22:1970-01-01T00:00:01.5Z"},
        {TYPE_TIMESTAMP_NTZ, 1, "26:1970-01-01 00:00:00.000001"},
        {TYPE_TIMESTAMP, -62135596800000001, NULL},
        {TYPE_TIMESTAMP_NTZ, 253402300800000000, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(buf_deinit) struct buf key = {0};
        struct field f = {.name = STR("c"), .type = {.id = cases[i].type}};
        int32_t day = (int32_t)cases[i].value;
        int64_t us = cases[i].value;
        uint64_t valid = 1;
        struct column c = {
            .type = &f.type, .data = f.type.id == TYPE_DATE ? (void *)&day : (void *)&us, .valid = &valid};
        assert_int_equal(lake_partition_add(&f, &c, 0, &key, &err), cases[i].text ? 0 : ERR_UNSUPPORTED);
        if (cases[i].text)
            assert_true(str_is(buf_str(&key), cases[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flush__a_file_for_each_partition),
        cmocka_unit_test(test_flush__the_empty_text_is_null),
        cmocka_unit_test(test_apply__a_row_moves_to_another_partition),
        cmocka_unit_test(test_apply__a_value_that_is_not_sent_is_that_of_the_old_row),
        cmocka_unit_test(test_random__partitioned_as_a_plain_list),
        cmocka_unit_test(test_relation__a_partition_column_is_renamed_and_dropped),
        cmocka_unit_test(test_stage__anew_with_other_columns),
        cmocka_unit_test(test_stage__by_what_cannot_be),
        cmocka_unit_test(test_key__there_and_back),
        cmocka_unit_test(test_value__of_times),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
