/*
 * A table driven by hand: batches in, commits out, read back through the engine and compared with a plain list of rows.
 * The random test does everything that can happen to a table, in any order, from seeds.
 */
#include "sink/test_drive.h"

static int find_key(const char *key)
{
    for (size_t i = 0; i < w.now.n; i++)
        if (strcmp(w.now.r[i].v[1], key) == 0)
            return (int)i;
    return -1;
}

static void change_relation(void)
{
    send();
    make_relation();
    OK(lake_table_relation(w.t, w.rel, w.schema, &err));
    if (w.t->schema_dirty)
        w.t->dirty = true;
}

/* ---- by hand ---- */

static void test_stage__first_commit_masks_rows_of_its_own_files(void **state)
{
    (void)state;
    begin("staged", IDENTITY_KEY);
    for (int i = 0; i < 50; i++) {
        CLEANUP(mem_freep) char *key = mem_printf("%d", i);
        insert(key);
    }
    send();
    OK(lake_table_flush(w.t, &err));
    update(3, NULL, 3); /* its b stands in the file that is not in the log yet */
    drop(4);
    commit();
    check("first commit");
    struct delta_snapshot *s = delta_table_snapshot(w.t->delta);
    const struct delta_file *f;
    size_t cursor = 0;
    while ((f = delta_snapshot_next(s, &cursor)))
        assert_true(!f->dv || !strstr(f->stats.p, "\"tightBounds\":true"));
    delta_snapshot_unref(s);
    end();
}

static void test_apply__missing_values_come_from_wherever_they_stand(void **state)
{
    (void)state;
    begin("missing", IDENTITY_KEY);
    insert("1"), insert("2"), insert("3");
    commit();
    update(0, NULL, 3); /* from an older file */
    update(0, NULL, 3); /* from the buffer, which lacks it: its origin */
    insert("4");
    update(3, NULL, 3); /* from the buffer */
    update(1, "20", 3); /* with another key */
    send();
    OK(lake_table_flush(w.t, &err));
    update(0, NULL, 3); /* from a file of this epoch */
    update(1, "2", 3);
    commit();
    check("missing values");
    reopen(false);
    update(2, NULL, 3);
    commit();
    check("after opening again");
    end();
}

static void test_truncate__then_rows_and_numbers_that_are_never_used_twice(void **state)
{
    (void)state;
    begin("truncated", IDENTITY_KEY);
    for (int i = 0; i < 3; i++) {
        CLEANUP(mem_freep) char *key = mem_printf("%d", i);
        insert(key);
        commit();
    }
    OK(lake_table_truncate(w.t, &err));
    rows_clear(&w.now);
    commit();
    check("truncated");
    reopen(false); /* the index still has rows of files 1 to 3 */
    for (int i = 10; i < 14; i++) {
        CLEANUP(mem_freep) char *key = mem_printf("%d", i);
        insert(key);
        commit();
    }
    insert("0"), insert("1"), insert("2"); /* must not mask rows of files that took over the numbers */
    commit();
    check("after truncate");
    assert_true(w.t->next_file > 6);
    end();
}

static void test_index__made_in_an_epoch_that_comes_to_nothing_is_not_believed(void **state)
{
    (void)state;
    begin("abandoned", IDENTITY_KEY);
    insert("1"), insert("2");
    commit();
    reopen(true);
    OK(lake_table_truncate(w.t, &err));
    rows_clear(&w.now);
    insert("3"); /* the index is made here, without the rows that are going */
    send();
    reopen(false); /* and they have not gone */
    update(0, NULL, 3), drop(1);
    commit();
    check("truncate that was not committed");
    reopen(true);
    update(0, NULL, 3);
    send();
    w.cols[0].key = false, w.cols[1].key = true; /* in the middle: made anew, without the row just masked */
    make_relation();
    OK(lake_table_relation(w.t, w.rel, w.schema, &err));
    put_row(OP_DELETE, &w.now.r[0], 0);
    send();
    reopen(false);
    update(0, NULL, 3);
    commit();
    check("key that was not committed");
    end();
}

static void test_relation__copied_anew_over_a_table_with_renamed_columns(void **state)
{
    (void)state;
    begin("resync", IDENTITY_KEY);
    insert("1");
    commit();
    snprintf(w.cols[1].name, sizeof w.cols[1].name, "renamed");
    change_relation();
    insert("2");
    commit();
    check("renamed");
    assert_true(w.t->mapped);
    /* A copy writes its files with the source's own names. */
    lake_table_free(TAKE_PTR(w.t));
    OK(lake_table_stage(&w.env, w.rel, w.schema, w.lsn, w.lsn, &w.t, &err));
    for (uint32_t i = 0; i < w.t->write->n_fields; i++)
        assert_true(str_eq(w.t->write->fields[i].physical, w.schema->fields[i].name));
    rows_clear(&w.now);
    insert("7"), insert("8");
    commit();
    check("copied anew");
    reopen(true);
    update(0, NULL, 3);
    commit();
    check("and changed");
    end();
}

static void test_relation__changes_of_columns_in_the_middle_of_an_epoch(void **state)
{
    (void)state;
    begin("evolves", IDENTITY_KEY);
    insert("1"), insert("2"), insert("3");
    commit();
    insert("4");
    add_col("c", PG_OID_TEXT, false);
    change_relation();
    insert("5");
    update(0, NULL, 3);
    snprintf(w.cols[2].name, sizeof w.cols[2].name, "body");
    change_relation();
    insert("6");
    update(1, NULL, 3);
    w.cols[1].oid = PG_OID_INT8;
    change_relation();
    insert("7");
    update(3, NULL, 4); /* c is missing in a row of before it was there: NULL */
    commit();
    check("add, rename, widen");
    w.cols[1] = w.cols[2], w.cols[2] = w.cols[3], w.n_cols = 3; /* drop a */
    change_relation();
    insert("8");
    add_col("a", PG_OID_TEXT, false);
    change_relation();
    insert("9");
    commit();
    check("drop, add the same name");
    reopen(true);
    for (size_t i = 0; i < w.now.n; i++)
        update(i, NULL, 3);
    commit();
    check("all rows changed");
    end();
}

static void test_relation__key_moves_to_another_column(void **state)
{
    (void)state;
    begin("rekeyed", IDENTITY_KEY);
    for (int i = 0; i < 20; i++) {
        CLEANUP(mem_freep) char *key = mem_printf("%d", i);
        insert(key);
        mem_free(w.now.r[i].v[2]);
        w.now.r[i].v[2] = mem_printf("%d", 1000 + i);
        put_value(w.batch->n - 1, 1, w.now.r[i].v[2]);
    }
    commit();
    insert("20");
    mem_free(w.now.r[20].v[2]);
    w.now.r[20].v[2] = mem_strdup("1020");
    put_value(w.batch->n - 1, 1, "1020");
    w.cols[0].key = false, w.cols[1].key = true;
    change_relation();
    drop(5), drop(20 - 1), drop(18);
    commit();
    check("key is a");
    w.identity = IDENTITY_ROW;
    w.cols[1].key = false;
    change_relation();
    insert("7"), insert("7");
    update(3, NULL, 0), drop(2);
    commit();
    check("no key, whole rows");
    reopen(false);
    drop(1), update(0, "99", 0);
    commit();
    check("opened again");
    end();
}

static void test_apply__equal_rows_are_told_apart_by_number_only(void **state)
{
    struct row same = {.v = {NULL, "1", "2", "three"}};

    (void)state;
    begin("equal", IDENTITY_ROW);
    w.env.compact_files = 3;
    for (int i = 0; i < 200; i++) {
        struct row *r = &w.now.r[w.now.n++];
        for (int a = 1; a <= 3; a++)
            r->v[a] = mem_strdup(same.v[a]);
        put_row(OP_INSERT, r, 0);
        if (i % 20 == 0)
            commit();
    }
    commit();
    for (int i = 0; i < 30; i++) {
        drop(0);
        if (i % 10 == 0)
            commit();
    }
    commit();
    check("equal rows");
    assert_true(key_index_info(w.t->index).n <= 200); /* compaction sheds what it leaves behind */
    reopen(true);
    for (int i = 0; i < 30; i++)
        drop(0);
    commit();
    check("opened again");
    w.env.compact_files = 0;
    end();
}

static void test_apply__too_many_equal_rows_are_the_tables_own_trouble(void **state)
{
    (void)state;
    begin("equals", IDENTITY_ROW);
    struct row same = {.v = {NULL, "1", "2", "three"}};
    for (int i = 0; i <= KEY_INDEX_SAME_MAX + 100; i++)
        put_row(OP_INSERT, &same, 0);
    int rc = lake_table_apply(w.t, TAKE_PTR(w.batch), &err);
    if (rc == 0)
        rc = lake_table_flush(w.t, &err);
    if (rc == 0) {
        put_row(OP_DELETE, &same, 0);
        rc = lake_table_apply(w.t, TAKE_PTR(w.batch), &err);
    }
    assert_int_equal(rc, ERR_UNSUPPORTED);
    end();
}

static void test_commit__of_nothing_but_dead_rows_makes_no_files(void **state)
{
    (void)state;
    begin("empty", IDENTITY_KEY);
    insert("1");
    send();
    OK(lake_table_flush(w.t, &err));
    drop(0);
    insert("2");
    drop(0);
    commit();
    check("nothing");
    assert_int_equal(w.t->files.n, 0);
    insert("3");
    commit();
    drop(0);
    commit();
    check("all gone");
    reopen(false);
    insert("1"), insert("2");
    commit();
    check("and back");
    end();
}

static void test_stage__is_held_until_its_position(void **state)
{
    bool exists;

    (void)state;
    begin("held", IDENTITY_KEY);
    w.t->hold_until = 105;
    insert("1");
    commit();
    OK(delta_table_exists(w.t->store, &exists, &err));
    assert_false(exists);
    while (w.lsn < 105)
        commit();
    check("held");
    end();
}

/* Killed between the commit that showed a copied table and the note of it: the copy is staged again, from its notes. */
static void stage_again(const struct lake_file *copied, const struct rows *rows)
{
    struct lake_file f = *copied;
    CLEANUP(mem_freep) char *path = mem_strdup(f.path);

    lake_table_free(TAKE_PTR(w.t));
    OK(lake_table_stage(&w.env, w.rel, w.schema, w.lsn, w.lsn, &w.t, &err));
    lake_table_adopt_file(w.t, path, f.id, f.rows, f.size, "", mem_strdup("{\"numRecords\":3}"));
    rows_copy(&w.now, rows);
}

static struct lake_file *only_file(void)
{
    size_t cursor = 0;
    void *f;

    assert_int_equal(imap_next(&w.t->files, &cursor, NULL, &f), 0);
    return f;
}

static void test_stage__a_copy_that_the_log_has_already(void **state)
{
    struct rows copied = {0};

    (void)state;
    begin("again", IDENTITY_KEY);
    insert("1"), insert("2"), insert("3");
    commit();
    rows_copy(&copied, &w.saved);
    stage_again(only_file(), &copied);
    commit();
    check("as it was");
    stage_again(only_file(), &copied);
    update(0, NULL, 0);
    commit();
    check("with a row masked");
    /* The newer file goes as well: the copy has its three rows again, then loses another one. */
    struct lake_file *f = NULL, *first = NULL;
    size_t cursor = 0;
    while (imap_next(&w.t->files, &cursor, NULL, (void **)&f) == 0)
        first = !first || f->id < first->id ? f : first;
    stage_again(first, &copied);
    drop(1);
    commit();
    check("with another row masked");
    stage_again(only_file(), &copied);
    drop(0), drop(0), drop(0);
    commit();
    check("with all rows masked");
    rows_clear(&copied);
    end();
}

static void test_commit__of_another_writer_is_noticed(void **state)
{
    (void)state;
    begin("foreign", IDENTITY_KEY);
    for (int i = 0; i < 6; i++) {
        CLEANUP(mem_freep) char *key = mem_printf("%d", i);
        insert(key);
        commit();
    }
    /* Somebody merges the files. */
    struct world mine = w;
    w.env.compact_files = 2;
    w.env.app_id = "other";
    w.batch = NULL;
    OK(lake_table_open(&w.env, (struct table_name){STR("public"), str_of(w.table)}, &w.t, &err));
    OK(lake_table_relation(w.t, w.rel, w.schema, &err));
    w.t->next_file = 1000; /* its numbers are others */
    OK(lake_compact(w.t, &err));
    lake_table_free(w.t);
    w.env = mine.env;
    w.t = mine.t;
    insert("6"); /* goes along, and then the table has to be read again */
    send();
    assert_int_equal(lake_table_commit(w.t, ++w.lsn, &err), ERR_CONFLICT);
    rows_copy(&w.saved, &w.now);
    check("beside another writer");
    reopen(false);
    update(0, NULL, 3), drop(1); /* rows that stand in the other's file now */
    commit();
    check("on top of another writer");
    end();
}

static void test_relation__a_thousand_columns_and_long_strings(void **state)
{
    (void)state;
    struct relation *rel = relation_new();
    rel->oid = 1;
    rel->schema = STR("public"), rel->name = STR("wide");
    rel->identity = IDENTITY_KEY;
    rel->n_columns = 1600;
    rel->columns = ARENA_NEW_N(&rel->arena, struct relation_column, rel->n_columns);
    for (uint32_t i = 0; i < rel->n_columns; i++)
        rel->columns[i] = (struct relation_column){.name = str_of(arena_printf(&rel->arena, "c%u", i)),
                                                   .attnum = (int16_t)(i + 1),
                                                   .declared_oid = i ? PG_OID_TEXT : PG_OID_INT4,
                                                   .type_oid = i ? PG_OID_TEXT : PG_OID_INT4,
                                                   .typmod = -1,
                                                   .typtype = 'b',
                                                   .key_seq = i == 0};
    struct schema *schema = pg_schema_of(rel);
    OK(lake_table_stage(&w.env, rel, schema, 0, 0, &w.t, &err));
    struct batch *b = batch_new(schema, 16);
    CLEANUP(mem_freep) char *big = mem_alloc(20 << 20);
    memset(big, 'x', 20 << 20);
    for (int32_t i = 0; i < 3; i++) {
        uint32_t row = batch_add_row(b, OP_INSERT, (struct position){1, 1}, 0);
        column_set(&b->cols[0], row, &i);
        column_set_str(b, &b->cols[1599], row, str_make(big, 20 << 20));
    }
    OK(lake_table_apply(w.t, b, &err));
    OK(lake_table_commit(w.t, 5, &err));
    b = batch_new(schema, 16);
    uint32_t row = batch_add_row(b, OP_UPDATE, (struct position){6, 1}, 0);
    int32_t key = 1;
    column_set(&b->cols[0], row, &key);
    column_set_missing(&b->cols[1599], row);
    OK(lake_table_apply(w.t, b, &err));
    OK(lake_table_commit(w.t, 6, &err));
    assert_int_equal(w.t->files.n, 2);
    schema_unref(schema);
    relation_unref(rel);
    end();
}

static void test_relation__without_columns_is_refused(void **state)
{
    (void)state;
    begin("bare", IDENTITY_NONE);
    w.n_cols = 0;
    make_relation();
    assert_int_equal(lake_table_relation(w.t, w.rel, w.schema, &err), ERR_UNSUPPORTED);
    end();
}

static void test_relation__a_change_of_type_that_is_no_widening_is_refused(void **state)
{
    (void)state;
    begin("narrowed", IDENTITY_KEY);
    insert("1");
    commit();
    w.cols[1].oid = PG_OID_TEXT;
    make_relation();
    assert_int_equal(lake_table_relation(w.t, w.rel, w.schema, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "public.narrowed"));
    check("as it was");
    end();
}

/* ---- at random ---- */

static void random_relation_change(void)
{
    switch (dice(4)) {
    case 0:
        if (w.next_attnum < ATTS && w.n_cols < 10) {
            char name[16];
            snprintf(name, sizeof name, "n%u", dice(12));
            for (uint32_t c = 0; c < w.n_cols; c++)
                if (strcmp(w.cols[c].name, name) == 0)
                    return;
            add_col(name, dice(2) ? PG_OID_TEXT : PG_OID_INT4, false);
        }
        break;
    case 1:
        if (w.n_cols > 3) {
            uint32_t c = 3 + dice(w.n_cols - 3);
            for (size_t i = 0; i < w.now.n; i++)
                mem_free(TAKE_PTR(w.now.r[i].v[w.cols[c].attnum]));
            memmove(&w.cols[c], &w.cols[c + 1], (w.n_cols - c - 1) * sizeof w.cols[0]);
            w.n_cols--;
        }
        break;
    case 2:
        snprintf(w.cols[dice(w.n_cols)].name, sizeof w.cols[0].name, "r%u", dice(1000000));
        break;
    default:
        if (w.cols[1].oid == PG_OID_INT4)
            w.cols[1].oid = PG_OID_INT8;
    }
    change_relation();
}

static void random_row(uint32_t n_keys)
{
    CLEANUP(mem_freep) char *key = mem_printf("%u", dice(n_keys));
    bool keyed = w.identity == IDENTITY_KEY;
    size_t at = w.now.n ? dice((uint32_t)w.now.n) : 0;
    uint32_t what = dice(10);
    /* Only text is ever missing. */
    uint32_t c = dice(w.n_cols);
    int missing = keyed && w.cols[c].oid == PG_OID_TEXT && dice(2) ? w.cols[c].attnum : 0;

    if (!w.now.n || what < 4) {
        if (!keyed || find_key(key) < 0)
            insert(key);
    } else if (what < 7) {
        update(at, NULL, missing);
    } else if (what < 8) {
        if (!keyed || find_key(key) < 0)
            update(at, key, missing);
    } else {
        drop(at);
    }
}

static bool always(void *ctx, struct table_name table)
{
    (void)ctx;
    (void)table;
    return true;
}

static void run_random(uint64_t seed, enum relation_identity identity, bool vectors, uint32_t compact, bool worker)
{
    char name[32], what[100];
    uint32_t n_keys;

    if (worker)
        OK(lake_worker_new(w.engine, &w.worker, &err));
    w.env.worker = w.worker;
    w.random = seed;
    w.env.copies_on_write = vectors ? NULL : always;
    w.env.compact_files = compact;
    w.env.checkpoint_interval = worker ? 4 : 0;
    snprintf(name, sizeof name, "random_%llu%s", (unsigned long long)seed, worker ? "w" : "");
    begin(name, identity);
    n_keys = dice(2) ? 30 : 600;
    for (int epoch = 0; epoch < 14; epoch++) {
        uint32_t n = dice(4) ? dice(60) : dice(900);
        for (uint32_t i = 0; i < n; i++) {
            random_row(n_keys);
            if (dice(30) == 0)
                send();
            if (dice(150) == 0) {
                send();
                OK(lake_table_flush(w.t, &err));
            }
            if (dice(400) == 0) {
                send();
                OK(lake_table_truncate(w.t, &err));
                rows_clear(&w.now);
            }
            if (dice(200) == 0)
                random_relation_change();
        }
        if (epoch && dice(6) == 0) {
            send();
            reopen(dice(2)); /* before the commit: the epoch is gone */
        } else {
            commit();
        }
        snprintf(what, sizeof what, "seed %llu, epoch %d", (unsigned long long)seed, epoch);
        check(what);
        if (dice(5) == 0)
            reopen(dice(2));
    }
    end();
    w.env.copies_on_write = NULL;
    w.env.compact_files = 0;
    w.env.checkpoint_interval = 0;
    w.env.worker = NULL;
    lake_worker_free(TAKE_PTR(w.worker));
}

static void test_random__as_a_plain_list(void **state)
{
    const char *only = getenv("SLUICE_TEST_SEED"), *many = getenv("SLUICE_TEST_SEEDS");
    uint64_t n = many ? strtoull(many, NULL, 10) : 8;

    (void)state;
    for (uint64_t seed = 1; seed <= n; seed++)
        if (!only || strtoull(only, NULL, 10) == seed)
            run_random(seed, seed % 4 == 3 ? IDENTITY_ROW : IDENTITY_KEY, seed % 3 != 2, seed % 2 ? 3 : 0, false);
}

static void test_random__with_a_worker(void **state)
{
    const char *only = getenv("SLUICE_TEST_SEED"), *many = getenv("SLUICE_TEST_SEEDS");
    uint64_t n = many ? strtoull(many, NULL, 10) : 6;

    (void)state;
    for (uint64_t seed = 1; seed <= n; seed++)
        if (!only || strtoull(only, NULL, 10) == seed)
            run_random(1000 + seed, seed % 4 == 3 ? IDENTITY_ROW : IDENTITY_KEY, seed % 3 != 2, 2 + seed % 2, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stage__first_commit_masks_rows_of_its_own_files),
        cmocka_unit_test(test_apply__missing_values_come_from_wherever_they_stand),
        cmocka_unit_test(test_truncate__then_rows_and_numbers_that_are_never_used_twice),
        cmocka_unit_test(test_index__made_in_an_epoch_that_comes_to_nothing_is_not_believed),
        cmocka_unit_test(test_relation__copied_anew_over_a_table_with_renamed_columns),
        cmocka_unit_test(test_relation__changes_of_columns_in_the_middle_of_an_epoch),
        cmocka_unit_test(test_relation__key_moves_to_another_column),
        cmocka_unit_test(test_apply__equal_rows_are_told_apart_by_number_only),
        cmocka_unit_test(test_apply__too_many_equal_rows_are_the_tables_own_trouble),
        cmocka_unit_test(test_commit__of_nothing_but_dead_rows_makes_no_files),
        cmocka_unit_test(test_stage__is_held_until_its_position),
        cmocka_unit_test(test_stage__a_copy_that_the_log_has_already),
        cmocka_unit_test(test_commit__of_another_writer_is_noticed),
        cmocka_unit_test(test_relation__a_thousand_columns_and_long_strings),
        cmocka_unit_test(test_relation__without_columns_is_refused),
        cmocka_unit_test(test_relation__a_change_of_type_that_is_no_widening_is_refused),
        cmocka_unit_test(test_random__as_a_plain_list),
        cmocka_unit_test(test_random__with_a_worker),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
