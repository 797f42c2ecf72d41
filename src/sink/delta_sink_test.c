/* The sink of several tables: positions, quarantine, the memory limit, dead letters that come once. */
#include "sink/delta_sink.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/test_ok.h"
#include "codec/pg_schema.h"
#include "codec/pg_type.h"
#include "delta/scan/scan.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char dir[512];
static struct engine *engine;
static struct engine_conn *conn;
static struct lake_env env;
static struct err err;

static int setup_all(void **state)
{
    const char *tmp = getenv("SLUICE_TEST_TMP");
    struct engine_options o = {.threads = 1};

    (void)state;
    log_set_level(LOG_ERROR);
    snprintf(dir, sizeof dir, "%s/delta_sink_test.%d", tmp ? tmp : "/tmp", (int)getpid());
    OK(engine_open(&o, &engine, &err));
    OK(engine_connect(engine, &conn, &err));
    env = (struct lake_env){.engine = engine,
                            .conn = conn,
                            .root = mem_printf("%s/lake", dir),
                            .state_dir = mem_printf("%s/state", dir),
                            .app_id = "test"};
    return 0;
}

static int teardown_all(void **state)
{
    (void)state;
    engine_conn_free(conn);
    engine_free(engine);
    mem_free((char *)env.root);
    mem_free((char *)env.state_dir);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    return file_remove_tree(dir, &err);
}

/* id int4 key, v text (or whatever `oid` is). */
static struct relation *relation_of(uint32_t relation, const char *name, uint32_t oid)
{
    struct relation *rel = relation_new();

    rel->oid = relation;
    rel->schema = STR("public");
    rel->name = arena_str(&rel->arena, str_of(name));
    rel->identity = IDENTITY_KEY;
    rel->n_columns = 2;
    rel->columns = ARENA_NEW_N(&rel->arena, struct relation_column, 2);
    rel->columns[0] = (struct relation_column){.name = STR("id"),
                                               .attnum = 1,
                                               .declared_oid = PG_OID_INT4,
                                               .type_oid = PG_OID_INT4,
                                               .typmod = -1,
                                               .typtype = 'b',
                                               .key_seq = 1};
    rel->columns[1] = (struct relation_column){
        .name = STR("v"), .attnum = 2, .declared_oid = oid, .type_oid = oid, .typmod = -1, .typtype = 'b'};
    return rel;
}

static void add_table(struct delta_sink *s, uint32_t relation, const char *name)
{
    CLEANUP(relation_unrefp) struct relation *rel = relation_of(relation, name, PG_OID_TEXT);
    CLEANUP(schema_unrefp) struct schema *schema = pg_schema_of(rel);
    struct lake_table *t = NULL;

    OK(lake_table_open(&env, (struct table_name){rel->schema, rel->name}, &t, &err));
    if (!t)
        OK(lake_table_stage(&env, rel, schema, 0, 0, &t, &err));
    delta_sink_add(s, relation, t);
}

static uint64_t tell(struct delta_sink *s, uint32_t relation, const char *name, uint32_t oid, uint64_t lsn)
{
    CLEANUP(relation_unrefp) struct relation *rel = relation_of(relation, name, oid);
    CLEANUP(schema_unrefp) struct schema *schema = pg_schema_of(rel);
    struct sink sink = delta_sink_ops(s);
    uint64_t from;

    OK(sink.ops->relation(sink.self, rel, schema, lsn, &from, &err));
    return from;
}

static int write_rows(struct delta_sink *s, uint32_t relation, int32_t first, uint32_t n, size_t bytes)
{
    CLEANUP(relation_unrefp) struct relation *rel = relation_of(relation, "x", PG_OID_TEXT);
    CLEANUP(schema_unrefp) struct schema *schema = pg_schema_of(rel);
    CLEANUP(mem_freep) char *text = mem_alloc(bytes + 1);
    struct sink sink = delta_sink_ops(s);
    struct batch *b = batch_new(schema, n);

    memset(text, 'x', bytes);
    for (int32_t i = first; i < first + (int32_t)n; i++) {
        uint32_t row = batch_add_row(b, OP_INSERT, (struct position){1, 1}, 0);
        column_set(&b->cols[0], row, &i);
        column_set_str(b, &b->cols[1], row, str_make(text, bytes));
    }
    return sink.ops->write(sink.self, relation, b, &err);
}

static int reject(struct delta_sink *s, uint32_t relation, uint64_t lsn, uint64_t ordinal, const char *column)
{
    struct sink sink = delta_sink_ops(s);
    struct reject r = {{lsn, ordinal}, 5, str_of(column), STR("NaN"), STR("does not fit")};

    return sink.ops->reject(sink.self, relation, &r, &err);
}

static int64_t count(const char *schema, const char *table)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/%s/%s", env.root, schema, table);
    CLEANUP(store_unrefp) struct store *store = store_local_new(path);
    CLEANUP(delta_table_freep) struct delta_table *t = NULL;
    CLEANUP(delta_scan_freep) struct delta_scan *scan = NULL;
    int64_t n;

    OK(delta_table_open(store, engine, &t, &err));
    struct delta_snapshot *snapshot = delta_table_snapshot(t);
    OK(delta_scan_new(engine, store, snapshot, NULL, &scan, &err));
    delta_snapshot_unref(snapshot);
    CLEANUP(mem_freep) char *sql = mem_printf("SELECT count(*) FROM (%s)", delta_scan_sql(scan));
    OK(engine_query_i64(conn, sql, &n, &err));
    return n;
}

static void test_sink__says_from_where_it_wants_changes(void **state)
{
    CLEANUP(delta_sink_freep) struct delta_sink *s = delta_sink_new(&env, 0);
    struct sink sink = delta_sink_ops(s);

    (void)state;
    add_table(s, 1, "a");
    assert_int_equal(sink.ops->from(sink.self, 1), 0);
    assert_int_equal(sink.ops->from(sink.self, 9), UINT64_MAX);
    assert_int_equal(tell(s, 1, "a", PG_OID_TEXT, 7), 0);
    OK(write_rows(s, 1, 0, 10, 5));
    OK(write_rows(s, 9, 0, 10, 5)); /* nobody's */
    assert_true(delta_sink_is_dirty(s));
    OK(delta_sink_commit(s, 7, &err));
    assert_false(delta_sink_is_dirty(s));
    assert_int_equal(sink.ops->from(sink.self, 1), 7);
    assert_int_equal(count("public", "a"), 10);
}

static void test_sink__a_table_that_breaks_is_set_aside_and_others_go_on(void **state)
{
    CLEANUP(delta_sink_freep) struct delta_sink *s = delta_sink_new(&env, 0);
    struct sink sink = delta_sink_ops(s);

    (void)state;
    add_table(s, 1, "a");
    add_table(s, 2, "b");
    tell(s, 1, "a", PG_OID_TEXT, 5), tell(s, 2, "b", PG_OID_TEXT, 5);
    OK(write_rows(s, 1, 0, 3, 5));
    OK(write_rows(s, 2, 0, 3, 5));
    OK(delta_sink_commit(s, 5, &err));
    OK(write_rows(s, 1, 10, 3, 5));
    assert_int_equal(tell(s, 1, "a", PG_OID_INT4, 6), UINT64_MAX); /* text became a number */
    assert_int_equal(delta_sink_find(s, 1)->state, LAKE_QUARANTINED);
    assert_non_null(strstr(delta_sink_find(s, 1)->reason, "public.a"));
    OK(write_rows(s, 1, 20, 3, 5));
    OK(write_rows(s, 2, 20, 3, 5));
    OK(sink.ops->truncate(sink.self, 1, (struct position){6, 1}, 0, &err));
    OK(delta_sink_commit(s, 6, &err));
    assert_int_equal(count("public", "a"), 3);
    assert_int_equal(count("public", "b"), 6);
    assert_int_equal(sink.ops->from(sink.self, 1), UINT64_MAX);
}

static void test_sink__keeps_its_memory_below_the_limit(void **state)
{
    CLEANUP(delta_sink_freep) struct delta_sink *s = delta_sink_new(&env, 300000);

    (void)state;
    add_table(s, 1, "a");
    add_table(s, 2, "b");
    tell(s, 1, "a", PG_OID_TEXT, 5), tell(s, 2, "b", PG_OID_TEXT, 5);
    for (int32_t i = 0; i < 20; i++) {
        OK(write_rows(s, 1 + (uint32_t)(i % 3 == 0), i * 100, 100, 500));
        assert_true(delta_sink_buffered(s) <= 300000);
    }
    OK(delta_sink_commit(s, 5, &err));
    assert_int_equal(count("public", "a") + count("public", "b"), 2000);
}

static void test_dead_letters__come_once_across_replays(void **state)
{
    (void)state;
    for (int run = 0; run < 3; run++) { /* killed twice after the dead letters were committed, and before the table */
        CLEANUP(delta_sink_freep) struct delta_sink *s = delta_sink_new(&env, 0);
        add_table(s, 1, "a");
        tell(s, 1, "a", PG_OID_TEXT, 5);
        OK(reject(s, 1, 5, 1, "v"));
        OK(reject(s, 1, 5, 2, "v"));
        OK(write_rows(s, 1, 0, 2, 5));
        if (run < 2) {
            struct lake_table *t = delta_sink_find(s, 1);
            t->dirty = false; /* the table itself is not committed */
        }
        OK(delta_sink_commit(s, 5, &err));
        assert_int_equal(count("sluice", "dead_letters"), 2);
    }
}

static void test_dead_letters__of_a_table_that_is_behind_are_not_lost(void **state)
{
    CLEANUP(delta_sink_freep) struct delta_sink *s = delta_sink_new(&env, 0);
    struct reject copied = {{1000, 1}, 0, STR("v"), STR("NaN"), STR("does not fit")};

    (void)state;
    add_table(s, 1, "a");
    tell(s, 1, "a", PG_OID_TEXT, 5);
    OK(delta_sink_dead_letter(s, "public.copied", &copied, &err)); /* of a copy at a newer position */
    OK(delta_sink_commit_table(s, delta_sink_find(s, 1), 1000, &err));
    OK(reject(s, 1, 7, 1, "v")); /* an older change of another table */
    OK(delta_sink_commit(s, 7, &err));
    assert_int_equal(count("sluice", "dead_letters"), 2);
    for (uint64_t i = 0; i < 10000; i++) /* more than are held at a time */
        OK(reject(s, 1, 8, i, "v"));
    OK(delta_sink_commit(s, 8, &err));
    assert_int_equal(count("sluice", "dead_letters"), 10002);
}

static void test_dead_letters__a_key_that_does_not_fit_sets_the_table_aside(void **state)
{
    CLEANUP(delta_sink_freep) struct delta_sink *s = delta_sink_new(&env, 0);

    (void)state;
    add_table(s, 1, "a");
    tell(s, 1, "a", PG_OID_TEXT, 5);
    OK(reject(s, 1, 5, 1, "id"));
    assert_int_equal(delta_sink_find(s, 1)->state, LAKE_QUARANTINED);
    assert_non_null(strstr(delta_sink_find(s, 1)->reason, "key column id"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sink__says_from_where_it_wants_changes, clean),
        cmocka_unit_test_setup(test_sink__a_table_that_breaks_is_set_aside_and_others_go_on, clean),
        cmocka_unit_test_setup(test_sink__keeps_its_memory_below_the_limit, clean),
        cmocka_unit_test_setup(test_dead_letters__come_once_across_replays, clean),
        cmocka_unit_test_setup(test_dead_letters__of_a_table_that_is_behind_are_not_lost, clean),
        cmocka_unit_test_setup_teardown(test_dead_letters__a_key_that_does_not_fit_sets_the_table_aside, clean, clean),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
