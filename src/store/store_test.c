/* The local store: what exists is not overwritten, what comes soon is there when a commit names it. */
#include "store/store.h"

#include "base/file.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct err err;
static char folder[256];

static int setup(void **state)
{
    const char *tmp = getenv("SLUICE_TEST_TMP");

    (void)state;
    snprintf(folder, sizeof folder, "%s/store_test.XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return file_remove_tree(folder, &err);
}

static void assert_object(struct store *s, const char *key, const char *content)
{
    CLEANUP(buf_deinit) struct buf b = {0};

    assert_int_equal(store_get(s, key, &b, &err), 0);
    assert_string_equal(b.p, content);
}

static size_t count(struct store *s, const char *dir)
{
    struct store_list l = {0};
    size_t n;

    assert_int_equal(store_list(s, dir, NULL, false, &l, &err), 0);
    n = l.n;
    store_list_deinit(&l);
    return n;
}

static struct store *open_store(const char *name)
{
    CLEANUP(mem_freep) char *root = mem_printf("%s/%s", folder, name);

    return store_local_new(root);
}

static void test_put_if_absent__the_second_finds_it_there(void **state)
{
    CLEANUP(store_unrefp) struct store *s = open_store("absent");

    (void)state;
    assert_int_equal(store_put_if_absent(s, "_delta_log/0.json", STR("one"), &err), 0);
    assert_int_equal(store_put_soon(s, "part-1", STR("rows"), &err), 0);
    assert_int_equal(store_put_if_absent(s, "_delta_log/0.json", STR("two"), &err), ERR_EXISTS);
    assert_object(s, "_delta_log/0.json", "one");
    assert_int_equal(store_put_if_absent(s, "_delta_log/1.json", STR("two"), &err), 0);
    assert_int_equal(count(s, "_delta_log"), 2); /* and nothing temporary */
}

static void test_put_soon__many_files_then_a_commit(void **state)
{
    CLEANUP(store_unrefp) struct store *s = open_store("many");
    char key[32];

    (void)state;
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "%s/part-%d", i % 3 ? "a" : "b", i);
        assert_int_equal(store_put_soon(s, key, STR("rows"), &err), 0);
        assert_object(s, key, "rows"); /* at once */
    }
    assert_int_equal(store_remove(s, "a/part-199", &err), 0); /* while it waits */
    assert_int_equal(store_put_if_absent(s, "_delta_log/0.json", STR("{}"), &err), 0);
    assert_int_equal(count(s, "a") + count(s, "b"), 199);
    assert_int_equal(store_put_soon(s, "b/part-0", STR("again"), &err), ERR_EXISTS);
    assert_int_equal(store_put_soon(s, "part-200", STR("never named"), &err), 0); /* freed with the store */
}

static void test_put_if_absent__nothing_is_left_when_it_fails(void **state)
{
    CLEANUP(store_unrefp) struct store *s = open_store("full");
    CLEANUP(mem_freep) char *blocked = mem_printf("%s/full/_delta_log", folder);

    (void)state;
    assert_int_equal(store_put_soon(s, "part-1", STR("rows"), &err), 0);
    assert_int_equal(file_replace(blocked, "", 0, &err), 0); /* a file where the folder should be */
    assert_true(store_put_if_absent(s, "_delta_log/0.json", STR("{}"), &err) < 0);
    assert_int_equal(unlink(blocked), 0);
    assert_int_equal(store_put_if_absent(s, "_delta_log/0.json", STR("{}"), &err), 0);
    assert_int_equal(count(s, "_delta_log"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_if_absent__the_second_finds_it_there),
        cmocka_unit_test(test_put_soon__many_files_then_a_commit),
        cmocka_unit_test(test_put_if_absent__nothing_is_left_when_it_fails),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
