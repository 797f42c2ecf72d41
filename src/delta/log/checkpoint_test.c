/* Checkpoints: written and read back, broken ones passed over, the log cleaned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "delta/log/checkpoint.h"
#include "delta/log/transaction.h"
#include "engine/engine.h"

static struct engine *engine;
static char root[512];

static int open_engine(void **state)
{
    struct engine_options o = {.threads = 1};

    (void)state;
    return engine_open(&o, &engine, NULL);
}

static int close_engine(void **state)
{
    (void)state;
    engine_free(engine);
    return 0;
}

static void ok(int rc, const struct err *err)
{
    if (rc < 0)
        fail_msg("%s", err->msg);
}

static struct store *fresh_store(void)
{
    static int serial;
    const char *tmp = getenv("SLUICE_TEST_TMP");

    snprintf(root, sizeof root, "%s/checkpoint-test-%d-%d", tmp ? tmp : "/tmp", (int)getpid(), ++serial);
    assert_int_equal(file_remove_tree(root, NULL), 0);
    return store_local_new(root);
}

static struct delta_file a_file(const char *path, struct delta_kv *part)
{
    return (struct delta_file){.path = str_of(path),
                               .size = 100,
                               .time_ms = 1700000000000,
                               .num_records = 10,
                               .stats = STR("{\"numRecords\":10,\"maxValues\":{\"d\":1.10000000000000000001}}"),
                               .base_row_id = -1,
                               .row_commit_version = -1,
                               .data_change = true,
                               .parts = part,
                               .n_parts = 1};
}

static struct delta_table *create(struct store *store)
{
    static const struct str partition = {"p", 1};
    static const struct delta_kv conf[] = {{{"delta.enableDeletionVectors", 27}, {"true", 4}},
                                           {{"delta.enableRowTracking", 23}, {"true", 4}},
                                           {{"delta.enableInCommitTimestamps", 30}, {"true", 4}},
                                           {{"it's", 4}, {"\"quoted\" 'text'", 15}}};
    CLEANUP(schema_unrefp) struct schema *schema = NULL;
    struct delta_table *t = NULL;
    struct err err = {0};

    ok(delta_schema_parse(STR("{\"type\":\"struct\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"},{\"name\":\"p\","
                              "\"type\":\"string\"}]}"),
                          &schema, &err),
       &err);
    struct delta_create c = {.schema = schema,
                             .partition_columns = &partition,
                             .n_partition_columns = 1,
                             .configuration = conf,
                             .n_configuration = 4,
                             .description = STR("it's a table")};
    ok(delta_table_create(store, engine, &c, &t, &err), &err);
    return t;
}

static void commit(struct delta_tx *tx)
{
    struct err err = {0};
    int64_t version;

    ok(delta_commit(tx, &version, &err), &err);
}

static void append(struct delta_table *t, const char *path, const char *value)
{
    CLEANUP(delta_tx_freep) struct delta_tx *tx = delta_tx_new(t, "WRITE");
    struct delta_kv part = {STR("p"), value ? str_of(value) : (struct str){0}};
    struct delta_file_extra extra = {STR("{\"a\":\"b\"}"), STR("liquid")};
    struct delta_file f = a_file(path, &part);

    f.extra = value ? NULL : &extra;
    delta_tx_add_file(tx, &f);
    delta_tx_set_txn(tx, STR("app"), t->snapshot->version);
    commit(tx);
}

static void mask(struct delta_table *t, const char *path, int32_t offset)
{
    CLEANUP(delta_tx_freep) struct delta_tx *tx = delta_tx_new(t, "DELETE");
    struct delta_dv_desc dv = {'u', offset, 40, 3, STR("ab^-aqEH.-t@S}K{vb[*k^")};

    delta_tx_set_dv(tx, delta_snapshot_find(tx->read, str_of(path)), &dv);
    commit(tx);
}

/* A table with everything that a checkpoint can hold. */
static struct delta_table *a_table(struct store *store)
{
    struct delta_table *t = create(store);

    append(t, "p=a%20b/one two.parquet", "a b");
    append(t, "p=x/2.parquet", "x");
    append(t, "n.parquet", NULL);
    mask(t, "p=x/2.parquet", 1);
    mask(t, "p=x/2.parquet", 50);
    CLEANUP(delta_tx_freep) struct delta_tx *tx = delta_tx_new(t, "DELETE");
    delta_tx_set_domain(tx, STR("d"), STR("{\"x\":'1'}"), false);
    delta_tx_remove_file(tx, delta_snapshot_find(tx->read, STR("n.parquet")), true);
    commit(tx);
    append(t, "n.parquet", NULL); /* comes back: its removal must not be in the checkpoint */
    return t;
}

static void check_same(const struct delta_snapshot *a, const struct delta_snapshot *b)
{
    CLEANUP(delta_stats_reader_deinit) struct delta_stats_reader mine = {0}, theirs = {0};
    const struct delta_file *f, *g;

    assert_int_equal(a->version, b->version);
    assert_int_equal(a->n_files, b->n_files);
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->records, b->records);
    assert_int_equal(a->ict_ms, b->ict_ms);
    assert_int_equal(a->ids->n_txns, b->ids->n_txns);
    assert_int_equal(a->ids->n_domains, b->ids->n_domains);
    assert_true(str_eq(delta_snapshot_domain(a, STR("d")), delta_snapshot_domain(b, STR("d"))));
    assert_true(str_eq(delta_snapshot_property(a, STR("it's")), delta_snapshot_property(b, STR("it's"))));
    assert_true(str_eq(a->head->metadata->description, b->head->metadata->description));
    for (size_t at = 0; (f = delta_snapshot_next(a, &at));) {
        assert_non_null(g = delta_snapshot_find(b, f->path));
        assert_true(str_eq(f->raw_path, g->raw_path));
        assert_true(str_eq(delta_stats_read(&mine, f), delta_stats_read(&theirs, g)));
        assert_true(delta_dv_eq(f->dv, g->dv));
        assert_int_equal(f->base_row_id, g->base_row_id);
        assert_int_equal(f->row_commit_version, g->row_commit_version);
        assert_int_equal(f->time_ms, g->time_ms);
        assert_int_equal(f->n_parts, g->n_parts);
        assert_true(str_eq(f->parts[0].value, g->parts[0].value));
        assert_int_equal(!f->extra, !g->extra);
        assert_true(!f->extra || (str_eq(f->extra->tags, g->extra->tags) &&
                                  str_eq(f->extra->clustering_provider, g->extra->clustering_provider)));
    }
}

static void test_checkpoint__holds_what_the_log_says(void **state)
{
    CLEANUP(store_unrefp) struct store *store = fresh_store();
    CLEANUP(delta_table_freep) struct delta_table *t = a_table(store);
    CLEANUP(delta_table_freep) struct delta_table *again = NULL;
    struct err err = {0};
    char key[DELTA_KEY];

    (void)state;
    ok(delta_checkpoint_write(t, &err), &err);
    ok(delta_table_open(store, engine, &again, &err), &err);
    assert_int_equal(again->last_checkpoint, 7);
    assert_int_equal(delta_files_n_packed(again->snapshot->files), again->snapshot->n_files); /* only counted */
    check_same(t->snapshot, again->snapshot);
    for (int64_t v = 0; v < 7; v++) /* now it is the checkpoint alone */
        ok(store_remove(store, delta_commit_key(v, key), &err), &err);
    delta_table_free(TAKE_PTR(again));
    ok(delta_table_open(store, engine, &again, &err), &err);
    check_same(t->snapshot, again->snapshot);
    /* removals: one.dv none + dv@1 of 2.parquet; n.parquet is live again */
    assert_int_equal(again->snapshot->files->graves->n, 2);
    append(again, "more.parquet", "x");
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *old = NULL;
    assert_int_equal(delta_snapshot_open(store, engine, 3, &old, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, "the oldest is 7"));
    assert_int_equal(file_remove_tree(root, NULL), 0);
}

static void test_checkpoint__broken_ones_are_passed_over(void **state)
{
    CLEANUP(store_unrefp) struct store *store = fresh_store();
    CLEANUP(delta_table_freep) struct delta_table *t = a_table(store);
    static const char *const hints[] = {"", "{", "{\"version\":999}", "{\"version\":\"x\"}", "{\"version\":3}"};
    static const char *const bytes[] = {"", "PAR1", "nonsense that is no Parquet file at all PAR1"};
    struct err err = {0};

    (void)state;
    ok(delta_checkpoint_write(t, &err), &err);
    append(t, "more.parquet", "x");
    ok(delta_checkpoint_write(t, &err), &err);
    append(t, "more2.parquet", "x");
    for (size_t i = 0; i < ARRAY_LEN(hints) + ARRAY_LEN(bytes); i++) {
        CLEANUP(delta_table_freep) struct delta_table *again = NULL;
        const char *key =
            i < ARRAY_LEN(hints) ? "_delta_log/_last_checkpoint" : "_delta_log/00000000000000000008.checkpoint.parquet";
        ok(store_put(store, key, str_of(i < ARRAY_LEN(hints) ? hints[i] : bytes[i - ARRAY_LEN(hints)]), &err), &err);
        ok(delta_table_open(store, engine, &again, &err), &err);
        check_same(t->snapshot, again->snapshot);
    }
    ok(store_put(store, "_delta_log/00000000000000000007.checkpoint.parquet", STR("x"), &err), &err);
    CLEANUP(delta_table_freep) struct delta_table *again = NULL;
    ok(delta_table_open(store, engine, &again, &err), &err); /* the whole log */
    check_same(t->snapshot, again->snapshot);
    assert_int_equal(file_remove_tree(root, NULL), 0);
}

static void test_checkpoint__comes_when_due_and_the_log_is_cleaned(void **state)
{
    CLEANUP(store_unrefp) struct store *store = fresh_store();
    CLEANUP(delta_table_freep) struct delta_table *t = create(store);
    CLEANUP(store_list_deinit) struct store_list list = {0};
    struct err err = {0};
    char name[32];
    int written = 0;

    (void)state;
    t->checkpoint_interval = 5;
    t->log_retention_ms = 0;
    for (int i = 1; i <= 23; i++) {
        bool now;
        snprintf(name, sizeof name, "f%d", i);
        append(t, name, "x");
        ok(delta_checkpoint_if_due(t, &now, &err), &err);
        assert_int_equal(now, i % 5 == 0);
        written += now;
    }
    assert_int_equal(written, 4);
    ok(store_list(store, "_delta_log", NULL, false, &list, &err), &err);
    assert_int_equal(list.n, 4 + 1 + 1); /* commits 20..23, checkpoint 20, the hint */
    CLEANUP(delta_table_freep) struct delta_table *again = NULL;
    ok(delta_table_open(store, engine, &again, &err), &err);
    check_same(t->snapshot, again->snapshot);
    assert_int_equal(file_remove_tree(root, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checkpoint__holds_what_the_log_says),
        cmocka_unit_test(test_checkpoint__broken_ones_are_passed_over),
        cmocka_unit_test(test_checkpoint__comes_when_due_and_the_log_is_cleaned),
    };

    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
