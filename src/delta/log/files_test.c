/* The set of files when its entries are kept packed: opened by need, complete, and the same for all that look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "delta/log/files.h"

enum { MANY = 5 * FILE_BLOCK + 100 };

/* File i, with all that a file can have, by turns. */
struct made {
    char path[40], raw[60], stats[4000], value[16], inline_dv[32];
    struct delta_kv parts[2];
    struct delta_dv_desc dv;
    struct delta_file_extra extra;
    struct delta_file file;
};

static const struct delta_file *make(struct made *m, int i)
{
    snprintf(m->path, sizeof m->path, "a b/part-%05d.parquet", i);
    snprintf(m->raw, sizeof m->raw, "a%%20b/part-%05d.parquet", i);
    snprintf(m->stats, sizeof m->stats, "{\"numRecords\":%d,\"maxValues\":{\"t\":\"%*d\"}}", i, 1 + i % 7 * 500,
             i * 7919);
    snprintf(m->value, sizeof m->value, "v%d", i / 100);
    snprintf(m->inline_dv, sizeof m->inline_dv, "vector %d", i);
    m->parts[0] = (struct delta_kv){STR("p"), str_of(m->value)};
    m->parts[1] = (struct delta_kv){.key = STR("q")};
    m->dv = (struct delta_dv_desc){'u', i, 40, 3, str_of(m->inline_dv)};
    m->extra = (struct delta_file_extra){STR("{\"a\":\"b\"}"), STR("liquid")};
    m->file = (struct delta_file){.path = str_of(m->path),
                                  .raw_path = i % 5 == 0   ? (struct str){0}
                                              : i % 5 == 1 ? str_of(m->path)
                                                           : str_of(m->raw),
                                  .stats = i % 11 == 0 ? (struct str){0} : str_of(m->stats),
                                  .parts = i % 3 ? m->parts : NULL,
                                  .n_parts = i % 3 ? 2 : 0,
                                  .dv = i % 4 == 0 ? &m->dv : NULL,
                                  .extra = i % 13 == 0 ? &m->extra : NULL,
                                  .size = i % 17 == 0 ? -1 : (int64_t)i << 30,
                                  .time_ms = i % 2 ? 1700000000000 - i * 12345678ll : 0,
                                  .num_records = i % 19 == 0 ? -1 : i,
                                  .base_row_id = i % 6 == 0 ? (int64_t)i << 40 : -1,
                                  .row_commit_version = i % 6 < 2 ? i : -1,
                                  .data_change = i % 2 == 0,
                                  .extended = i % 9 == 0};
    return &m->file;
}

static void check(const struct delta_file *got, int i, struct delta_stats_reader *stats)
{
    struct made m;
    const struct delta_file *f = make(&m, i);

    assert_non_null(got);
    assert_true(str_eq(got->path, f->path));
    assert_int_equal(got->path.p[got->path.n], 0);
    assert_true(str_eq(got->raw_path, f->raw_path));
    assert_true(str_eq(delta_stats_read(stats, got), f->stats));
    assert_int_equal(got->n_parts, f->n_parts);
    if (f->n_parts) {
        assert_true(str_eq(got->parts[0].value, f->parts[0].value));
        assert_true(str_is(got->parts[1].key, "q") && !got->parts[1].value.p);
    }
    assert_true(delta_dv_eq(got->dv, f->dv));
    assert_true(!f->dv || got->dv->cardinality == 3);
    assert_int_equal(!got->extra, !f->extra);
    assert_true(!f->extra || !got->extra ||
                (str_is(got->extra->tags, "{\"a\":\"b\"}") && str_is(got->extra->clustering_provider, "liquid")));
    assert_int_equal(got->size, f->size);
    assert_int_equal(got->time_ms, f->time_ms);
    assert_int_equal(got->num_records, f->num_records);
    assert_int_equal(got->base_row_id, f->base_row_id);
    assert_int_equal(got->row_commit_version, f->row_commit_version);
    assert_int_equal(got->data_change, f->data_change);
    assert_int_equal(got->extended, f->extended);
}

static void add(struct delta_files *s, int i, int64_t version)
{
    struct made m;

    delta_files_add(s, make(&m, i), version, NULL);
}

static struct delta_files *packed(int n)
{
    struct delta_files *s = delta_files_new();

    delta_files_pack_begin(s);
    for (int i = 0; i < n; i++)
        add(s, i, 7);
    delta_files_pack_end(s);
    assert_int_equal(s->n_live, n);
    return s;
}

static const struct delta_file *find(struct delta_files *s, int i, int64_t version)
{
    struct made m;

    return delta_files_find(s, s->n, version, make(&m, i)->path);
}

static void take_out(struct delta_files *s, int i)
{
    struct made m;
    const struct delta_file *f = make(&m, i);

    assert_non_null(delta_files_remove(s, f->path, f->dv, 8));
}

static void test_files__only_the_blocks_that_are_wanted_are_opened(void **state)
{
    CLEANUP(delta_stats_reader_deinit) struct delta_stats_reader stats = {0};
    struct delta_files *s = packed(MANY);
    size_t cursor = 0;

    (void)state;
    assert_int_equal(delta_files_n_packed(s), MANY);
    check(find(s, 300, 7), 300, &stats);
    assert_int_equal(delta_files_n_packed(s), MANY - FILE_BLOCK);
    assert_null(delta_files_find(s, s->n, 7, STR("not there")));
    check(find(s, 511, 7), 511, &stats);
    assert_int_equal(delta_files_n_packed(s), MANY - FILE_BLOCK);
    check(find(s, MANY - 1, 7), MANY - 1, &stats); /* in the last block, which is not full */
    assert_int_equal(delta_files_n_packed(s), 4 * FILE_BLOCK);
    for (int i = 0; i < MANY; i++)
        check(delta_files_next(s, s->n, 7, &cursor), i, &stats);
    assert_null(delta_files_next(s, s->n, 7, &cursor));
    assert_int_equal(delta_files_n_packed(s), 0);
    for (int i = MANY; i-- > 0;) /* statistics in any order */
        check(find(s, i, 7), i, &stats);
    delta_files_unref(s);
}

static void test_files__packed_ones_are_removed_and_replaced_like_others(void **state)
{
    CLEANUP(delta_stats_reader_deinit) struct delta_stats_reader stats = {0};
    struct delta_files *s = packed(MANY);
    uint32_t n = s->n;
    struct made m;
    const struct delta_file *old, *f = make(&m, 700);

    (void)state;
    check(delta_files_remove(s, f->path, f->dv, 8), 700, &stats);
    assert_int_equal(s->n_live, MANY - 1);
    assert_int_equal(delta_files_n_packed(s), MANY - FILE_BLOCK);
    assert_null(delta_files_find(s, n, 8, f->path));
    check(delta_files_find(s, n, 7, f->path), 700, &stats);
    delta_files_add(s, make(&m, 701), 9, &old); /* once more: the old one is replaced */
    check(old, 701, &stats);
    add(s, MANY, 9);
    assert_int_equal(s->n_live, MANY);
    check(find(s, MANY, 9), MANY, &stats);
    check(find(s, MANY - 1, 9), MANY - 1, &stats);
    delta_files_unref(s);
}

/* A checkpoint may name a path with two vectors; or, broken, a file twice: then the last one counts. */
static void test_files__a_path_may_come_twice_while_packing(void **state)
{
    CLEANUP(delta_stats_reader_deinit) struct delta_stats_reader stats = {0};
    struct delta_files *s = delta_files_new();
    const struct delta_file *old = NULL;
    struct delta_file other;
    struct made m;
    size_t cursor = 0;

    (void)state;
    delta_files_pack_begin(s);
    for (int i = 0; i < MANY; i++) {
        add(s, i, 7);
        if (i % 400 != 10)
            continue;
        delta_files_add(s, make(&m, i), 7, &old);
        check(old, i, &stats);
        other = *make(&m, i - 5);
        struct delta_dv_desc dv = {'u', 12345, 1, 1, STR("another")};
        other.dv = &dv;
        delta_files_add(s, &other, 7, &old);
        assert_null(old);
    }
    delta_files_pack_end(s);
    assert_int_equal(s->n, MANY + 8);
    assert_int_equal(s->n_live, MANY + 4);
    assert_int_equal(delta_files_n_packed(s), FILE_BLOCK + s->n % FILE_BLOCK); /* those without such a path */
    for (int i = 0; i < MANY; i++)
        if (i % 400 != 5)
            check(find(s, i, 7), i, &stats);
    for (int i = 0; i < MANY + 4; i++)
        assert_non_null(delta_files_next(s, s->n, 7, &cursor));
    assert_null(delta_files_next(s, s->n, 7, &cursor));
    delta_files_unref(s);
}

static void test_files__a_smaller_set_is_packed_with_all_statistics(void **state)
{
    CLEANUP(delta_stats_reader_deinit) struct delta_stats_reader stats = {0};
    struct delta_files *s = packed(MANY), *dense;
    int live = 0;

    (void)state;
    for (int i = 0; i < MANY; i++)
        if (i % 3)
            take_out(s, i);
    for (int i = MANY; i < MANY + 10; i++)
        add(s, i, 9);
    dense = delta_files_compact(s);
    delta_files_unref(s);
    for (int i = 0; i < MANY + 10; i++)
        live += i % 3 == 0 || i >= MANY;
    assert_int_equal(dense->n, live);
    assert_int_equal(delta_files_n_packed(dense), live);
    for (int i = 0; i < MANY + 10; i++)
        if (i % 3 == 0 || i >= MANY)
            check(find(dense, i, 9), i, &stats);
        else
            assert_null(find(dense, i, 9));
    delta_files_unref(dense);
}

static void test_files__huge_statistics_are_not_packed(void **state)
{
    CLEANUP(delta_stats_reader_deinit) struct delta_stats_reader stats = {0};
    struct delta_files *s = delta_files_new();
    struct str huge = str_make(mem_alloc(FILE_BLOCK_STATS_MAX + 1), FILE_BLOCK_STATS_MAX + 1);
    struct delta_file f = {.path = STR("huge"), .stats = huge};

    (void)state;
    delta_files_pack_begin(s);
    for (int i = 0; i < 300; i++) {
        add(s, i, 7);
        if (i == 20)
            delta_files_add(s, &f, 7, NULL);
    }
    delta_files_pack_end(s);
    assert_int_equal(delta_files_n_packed(s), 301 - FILE_BLOCK);
    assert_true(str_eq(delta_stats_read(&stats, delta_files_find(s, s->n, 7, f.path)), huge));
    for (int i = 0; i < 300; i++)
        check(find(s, i, 7), i, &stats);
    delta_files_unref(s);
    mem_free((void *)huge.p);
}

static void *look_at_all(void *arg)
{
    CLEANUP(delta_stats_reader_deinit) struct delta_stats_reader stats = {0};
    struct delta_files *s = arg;
    const struct delta_file *f;
    size_t cursor = 0;
    intptr_t n = 0, bytes = 0;

    while ((f = delta_files_next(s, MANY, 7, &cursor))) {
        n += delta_files_find(s, MANY, 7, f->path) == f;
        bytes += (intptr_t)delta_stats_read(&stats, f).n;
    }
    return (void *)(n + bytes);
}

static void test_files__threads_open_blocks_side_by_side(void **state)
{
    struct delta_files *s = packed(MANY);
    pthread_t threads[4];
    intptr_t want = MANY;
    struct made m;
    void *got;

    (void)state;
    for (int i = 0; i < MANY; i++)
        want += (intptr_t)make(&m, i)->stats.n;
    for (size_t k = 0; k < ARRAY_LEN(threads); k++)
        assert_int_equal(pthread_create(&threads[k], NULL, look_at_all, s), 0);
    for (int i = 0; i < MANY; i += 2) /* the writer goes on meanwhile */
        take_out(s, i);
    for (size_t k = 0; k < ARRAY_LEN(threads); k++) {
        pthread_join(threads[k], &got);
        assert_int_equal((intptr_t)got, want);
    }
    delta_files_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files__only_the_blocks_that_are_wanted_are_opened),
        cmocka_unit_test(test_files__packed_ones_are_removed_and_replaced_like_others),
        cmocka_unit_test(test_files__a_path_may_come_twice_while_packing),
        cmocka_unit_test(test_files__a_smaller_set_is_packed_with_all_statistics),
        cmocka_unit_test(test_files__huge_statistics_are_not_packed),
        cmocka_unit_test(test_files__threads_open_blocks_side_by_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
