/* A table whose files are merged, and whose checkpoints are written, by the worker while it goes on changing. */
#include "sink/test_drive.h"

static void begin_with_worker(const char *table, enum relation_identity identity, uint32_t compact)
{
    OK(lake_worker_new(w.engine, &w.worker, &err));
    w.env.worker = w.worker;
    w.env.compact_files = compact;
    begin(table, identity);
}

static void end_with_worker(void)
{
    end();
    w.env.worker = NULL;
    w.env.compact_files = 0;
    lake_worker_free(TAKE_PTR(w.worker));
}

static void insert_some(int from, int n)
{
    for (int i = from; i < from + n; i++) {
        CLEANUP(mem_freep) char *key = mem_printf("%d", i);
        insert(key);
    }
}

static uint64_t live_files(void)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = delta_table_snapshot(w.t->delta);

    return s->n_files;
}

static uint64_t masked_in(uint32_t id)
{
    const struct lake_file *f = imap_get(&w.t->files, id);

    assert_non_null(f);
    return f->masked;
}

/* Rows change while the worker merges their files, before and after it is done. */
static void merge_under_changes(const char *table, enum relation_identity identity)
{
    int missing = identity == IDENTITY_KEY ? 3 : 0;

    begin_with_worker(table, identity, 4);
    for (int i = 0; i < 3; i++) {
        insert_some(i * 100, 100);
        drop(0), drop(10);
        commit();
    }
    insert_some(300, 100);
    commit();
    assert_non_null(w.t->merge);
    uint32_t merged = w.t->next_file - 1;
    for (int i = 0; i < 3; i++) {
        for (size_t k = 0; k < 40; k++)
            update(k * 7, NULL, missing * (int)(k % 2));
        drop(5);
        if (i == 1)
            lake_worker_wait(w.worker, lake_merge_job(w.t->merge));
        if (i < 2) {
            send();
            OK(lake_table_flush(w.t, &err));
        }
    }
    commit(); /* the result comes in, with the rows of this epoch masked */
    assert_null(w.t->merge);
    assert_true(live_files() <= 5);
    assert_int_equal(masked_in(merged), 40 + 3);
    check("merged");
    for (size_t k = 0; k < 60; k++) /* rows that stand in the new file */
        update(k * 5, NULL, missing);
    drop(100);
    commit();
    check("after");
    reopen(true);
    for (size_t k = 0; k < 60; k++)
        update(k * 4, NULL, missing);
    commit();
    check("with a new index");
    end_with_worker();
}

static void test_worker__rows_change_while_their_files_are_merged(void **state)
{
    (void)state;
    merge_under_changes("worker_key", IDENTITY_KEY);
    merge_under_changes("worker_row", IDENTITY_ROW);
}

static void test_worker__a_merge_of_files_that_are_gone_is_thrown_away(void **state)
{
    (void)state;
    begin_with_worker("worker_gone", IDENTITY_KEY, 4);
    for (int i = 0; i < 4; i++) {
        insert_some(i * 10, 10);
        commit();
    }
    assert_non_null(w.t->merge);
    lake_worker_wait(w.worker, lake_merge_job(w.t->merge));
    send();
    OK(lake_table_truncate(w.t, &err));
    rows_clear(&w.now);
    insert_some(100, 5);
    commit();
    assert_null(w.t->merge);
    check("truncated");
    assert_int_equal(live_files(), 1);
    for (int i = 0; i < 3; i++) {
        insert_some(200 + i, 1);
        commit();
    }
    assert_non_null(w.t->merge);
    OK(lake_table_finish(w.t, &err)); /* nothing else is to commit */
    assert_int_equal(live_files(), 1);
    check("finished");
    for (int i = 0; i < 3; i++) {
        insert_some(300 + i, 1);
        commit();
    }
    end_with_worker(); /* perhaps under way */
}

static void test_worker__checkpoints_do_not_hold_up_commits(void **state)
{
    (void)state;
    begin_with_worker("worker_checkpoints", IDENTITY_KEY, 0);
    w.env.checkpoint_interval = 3;
    for (int i = 0; i < 20; i++) {
        insert_some(i, 1);
        commit();
        if (i % 5 == 4)
            OK(lake_table_finish(w.t, &err));
    }
    assert_null(w.t->checkpoint);
    assert_true(w.t->delta->last_checkpoint >= 12);
    check("with checkpoints");
    reopen(false);
    check("read from one");
    w.env.checkpoint_interval = 0;
    end_with_worker();
}

/* What the worker lacked memory for is no error of the stream's: it is tried again later. */
static void test_worker__a_merge_without_memory_is_put_off(void **state)
{
    (void)state;
    begin_with_worker("worker_limit", IDENTITY_KEY, 4);
    for (int i = 0; i < 4; i++) {
        insert_some(i * 10, 10);
        commit();
    }
    struct lake_job *job = lake_merge_job(w.t->merge);
    lake_worker_wait(w.worker, job);
    job->rc = err_set(&job->err, ERR_LIMIT, "no memory");
    insert_some(100, 5);
    commit();
    assert_null(w.t->merge);
    insert_some(200, 5);
    commit();
    assert_null(w.t->merge); /* not at once */
    w.t->upkeep_not_before_us = 1;
    insert_some(300, 5);
    commit();
    assert_non_null(w.t->merge);
    lake_worker_wait(w.worker, lake_merge_job(w.t->merge));
    insert_some(400, 5);
    commit();
    assert_true(live_files() <= 2);
    check("merged later");
    end_with_worker();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worker__rows_change_while_their_files_are_merged),
        cmocka_unit_test(test_worker__a_merge_of_files_that_are_gone_is_thrown_away),
        cmocka_unit_test(test_worker__a_merge_without_memory_is_put_off),
        cmocka_unit_test(test_worker__checkpoints_do_not_hold_up_commits),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
