/* state.json: there and back, broken, cut short. */
#include "pipeline/state.h"

#include "base/file.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char dir[512], path[600];

static int setup(void **state)
{
    const char *tmp = getenv("SLUICE_TEST_TMP");

    (void)state;
    snprintf(dir, sizeof dir, "%s/state_test.%d", tmp ? tmp : "/tmp", (int)getpid());
    snprintf(path, sizeof path, "%s/state.json", dir);
    return file_make_dirs(dir, NULL);
}

static int teardown(void **state)
{
    (void)state;
    return file_remove_tree(dir, NULL);
}

static void save_one(struct err *err)
{
    CLEANUP(state_deinit) struct state s = {0};

    assert_int_equal(file_remove_tree(path, err), 0);
    assert_int_equal(state_load(&s, dir, err), 0);
    s.system_id = UINT64_MAX;
    s.start = 0x1a2b3c4d5e;
    s.applied = UINT64_MAX - 1;
    snprintf(s.slot, sizeof s.slot, "slot_1");
    snprintf(s.publication, sizeof s.publication, "pub");
    for (uint32_t i = 0; i < 3; i++) {
        struct state_table *t = state_add(&s, 100 + i, STR("public"), i == 1 ? STR("a \"b\"\n\xc3\xa9\\") : STR("t"));
        t->state = (enum table_state)i;
    }
    struct state_table *t = state_add(&s, UINT32_MAX, STR("x"), STR("new"));
    t->state = TABLE_QUARANTINED;
    t->was_schema = STR("public");
    t->was_name = STR("old \"one\"");
    t->bounds = STR("1\x1f"
                    "2\x1f"
                    "s.t\x1fr1\x1f"
                    "FOR VALUES IN ('\"')\x1e");
    t->gone = STR("k1\x1f");
    t->gone_lsn = 0x1600000001;
    t->gone_until = UINT64_MAX;
    t->gone_timeline = UINT32_MAX;
    state_set_reason(&s, t, "it \"broke\"\nhere");
    assert_int_equal(state_save(&s, err), 0);
}

static void test_state__comes_back_as_it_was(void **state)
{
    CLEANUP(state_deinit) struct state s = {0};
    struct err err;

    (void)state;
    save_one(&err);
    assert_int_equal(state_load(&s, dir, &err), 0);
    assert_int_equal(s.system_id, UINT64_MAX);
    assert_int_equal(s.start, 0x1a2b3c4d5e);
    assert_int_equal(s.applied, UINT64_MAX - 1);
    assert_string_equal(s.slot, "slot_1");
    assert_int_equal(s.n_tables, 4);
    assert_true(str_is(state_find(&s, 101)->name, "a \"b\"\n\xc3\xa9\\"));
    assert_int_equal(state_find(&s, 102)->state, TABLE_STREAMING);
    struct state_table *t = state_find(&s, UINT32_MAX);
    assert_int_equal(t->state, TABLE_QUARANTINED);
    assert_true(str_is(t->reason, "it \"broke\"\nhere"));
    assert_true(str_is(t->was_schema, "public") && str_is(t->was_name, "old \"one\""));
    assert_true(str_is(t->bounds, "1\x1f"
                                  "2\x1f"
                                  "s.t\x1fr1\x1f"
                                  "FOR VALUES IN ('\"')\x1e"));
    assert_true(str_is(t->gone, "k1\x1f") && t->gone_lsn == 0x1600000001 && t->gone_until == UINT64_MAX &&
                t->gone_timeline == UINT32_MAX);
    assert_int_equal(state_find(&s, 100)->was_name.n, 0);
    assert_true(!state_find(&s, 100)->gone.n && !state_find(&s, 100)->gone_lsn);
}

static void test_state__a_table_that_leaves_leaves_the_others(void **state)
{
    CLEANUP(state_deinit) struct state s = {0};
    struct err err;

    (void)state;
    save_one(&err);
    assert_int_equal(state_load(&s, dir, &err), 0);
    state_remove(&s, 101);
    state_remove(&s, 5);
    assert_int_equal(s.n_tables, 3);
    assert_null(state_find(&s, 101));
    assert_int_equal(state_find(&s, 102)->oid, 102);
    assert_int_equal(state_find(&s, UINT32_MAX)->state, TABLE_QUARANTINED);
}

static void test_state__cut_short_anywhere_is_refused(void **state)
{
    CLEANUP(buf_deinit) struct buf whole = {0};
    struct err err;

    (void)state;
    save_one(&err);
    assert_int_equal(file_read(path, &whole, &err), 0);
    for (size_t n = 0; n + 1 < whole.n; n++) { /* the last byte is a newline */
        CLEANUP(state_deinit) struct state s = {0};
        assert_int_equal(file_replace(path, whole.p, n, &err), 0);
        assert_int_equal(state_load(&s, dir, &err), ERR_INPUT);
        assert_non_null(strstr(err.msg, "state.json"));
        assert_true(err.hint[0] != 0);
    }
    assert_int_equal(file_remove_tree(path, &err), 0);
}

static void test_state__of_another_kind_is_refused(void **state)
{
    static const char *const broken[] = {
        "[]",
        "{}",
        "{\"version\":2}",
        "{\"version\":1}",
        "{\"version\":1,\"system_id\":\"x\",\"start\":\"0/0\"}",
        "{\"version\":1,\"system_id\":\"1\",\"start\":\"0/0\",\"applied\":\"nowhere\"}",
        "{\"version\":1,\"system_id\":\"1\",\"start\":\"0/0\",\"applied\":\"0/0\",\"tables\":[{\"state\":\"lost\"}]}",
        "{\"version\":1,\"system_id\":\"1\",\"start\":\"0/0\",\"applied\":\"0/0\",\"tables\":[7]}",
        "{\"version\":1,\"system_id\":\"1\",\"start\":\"0/0\",\"applied\":\"0/0\",\"tables\":[{\"state\":\"new\",\"gone\":\"k\"}]}"};
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        CLEANUP(state_deinit) struct state s = {0};
        assert_int_equal(file_replace(path, broken[i], strlen(broken[i]), &err), 0);
        if (state_load(&s, dir, &err) != ERR_INPUT)
            fail_msg("%s was taken", broken[i]);
    }
    assert_int_equal(file_remove_tree(path, &err), 0);
}

static void test_state__none_is_an_empty_one(void **state)
{
    CLEANUP(state_deinit) struct state s = {0};
    struct err err;

    (void)state;
    assert_int_equal(state_load(&s, dir, &err), 0);
    assert_int_equal(s.n_tables, 0);
    assert_int_equal(s.start, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state__none_is_an_empty_one),
        cmocka_unit_test(test_state__comes_back_as_it_was),
        cmocka_unit_test(test_state__a_table_that_leaves_leaves_the_others),
        cmocka_unit_test(test_state__cut_short_anywhere_is_refused),
        cmocka_unit_test(test_state__of_another_kind_is_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
