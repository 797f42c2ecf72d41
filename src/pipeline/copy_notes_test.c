/* Notes of a copy: there and back, cut short at every byte, of another table. */
#include "pipeline/copy_notes.h"

#include "base/file.h"
#include "base/mem.h"
#include "codec/pg_schema.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char dir[512];
static struct err err;

static int setup(void **state)
{
    const char *tmp = getenv("SLUICE_TEST_TMP");

    (void)state;
    snprintf(dir, sizeof dir, "%s/copy_notes_test.%d", tmp ? tmp : "/tmp", (int)getpid());
    return file_make_dirs(dir, NULL);
}

static int teardown(void **state)
{
    (void)state;
    return file_remove_tree(dir, NULL);
}

static void table_init(struct copy_table *t, const char *name, uint32_t type_oid)
{
    *t = (struct copy_table){.rel = relation_new()};
    t->rel->oid = 77;
    t->rel->schema = STR("public");
    t->rel->name = arena_str(&t->rel->arena, str_of(name));
    t->rel->identity = IDENTITY_KEY;
    t->rel->n_columns = 1;
    t->rel->columns = ARENA_NEW_N(&t->rel->arena, struct relation_column, 1);
    t->rel->columns[0] = (struct relation_column){
        .name = STR("id"), .attnum = 1, .declared_oid = type_oid, .type_oid = type_oid, .typmod = -1, .key_seq = 1};
    t->schema = pg_schema_of(t->rel);
}

static void table_deinit(struct copy_table *t)
{
    copy_files_deinit(&t->files);
    mem_free(t->rejects);
    arena_deinit(&t->arena);
    relation_unref(t->rel);
    schema_unref(t->schema);
    copy_plan_free(t->plan);
}

/* Three chunks planned; the first has rows, the second none but rejects, the third is not done. */
static void write_notes(void)
{
    CLEANUP(table_deinit) struct copy_table t;
    struct pg_chunk *chunks = MEM_NEW_N(struct pg_chunk, 3);
    struct copy_file file[2] = {
        {.path = (char *)"part-1.parquet",
         .id = 11,
         .rows = 1000,
         .size = 5000000000,
         .stats = (char *)"{\"numRecords\":1000,\"x\":\"\\u00e9\"}",
         .parts = (char *)"4:a\"b\\~"},
        {.path = (char *)"part-2.parquet", .id = 14, .rows = 1, .size = 2, .stats = (char *)"", .parts = (char *)"~~"}};
    struct copy_files files = {.v = file, .n = 2}, none = {0};
    struct copy_reject rejects[2] = {{{.column = STR("a\"b"), .value = STR("NaN"), .reason = STR("no\nroom")}},
                                     {{.column = STR("c"), .value = STR(""), .reason = STR("r")}}};

    table_init(&t, "t", 23);
    for (uint32_t i = 0; i < 3; i++)
        chunks[i] =
            (struct pg_chunk){.leaf_oid = 77, .filenode = 78, .from = i * 10, .to = i * 10 + 10, .row_estimate = 99};
    chunks[2].to = UINT32_MAX;
    assert_int_equal(copy_notes_begin(dir, &t, 11, chunks, 3, &t.plan, &err), 0);
    t.plan->done[0] = (struct copy_done){0x100000001, 741};
    assert_int_equal(copy_notes_add(t.plan, 0, &files, NULL, 0, &err), 0);
    t.plan->done[1] = (struct copy_done){0x100000002, UINT32_MAX};
    assert_int_equal(copy_notes_add(t.plan, 1, &none, rejects, 2, &err), 0);
}

static void test_notes__come_back_as_they_were(void **state)
{
    CLEANUP(table_deinit) struct copy_table t;

    (void)state;
    write_notes();
    table_init(&t, "t", 23);
    assert_int_equal(copy_notes_read(dir, &t, &t.plan, &err), 0);
    assert_non_null(t.plan);
    assert_int_equal(t.plan->n, 3);
    assert_int_equal(t.plan->next_id, 15);
    assert_int_equal(t.plan->chunks[1].from, 10);
    assert_int_equal(t.plan->chunks[2].to, UINT32_MAX);
    assert_int_equal(t.plan->done[0].lsn, 0x100000001);
    assert_int_equal(t.plan->done[1].xmin, UINT32_MAX);
    assert_int_equal(t.plan->done[2].lsn, 0);
    assert_int_equal(t.files.n, 2);
    assert_int_equal(t.files.v[0].size, 5000000000);
    assert_string_equal(t.files.v[0].parts, "4:a\"b\\~");
    assert_string_equal(t.files.v[1].parts, "~~");
    assert_int_equal(t.files.v[1].id, 14);
    assert_string_equal(t.files.v[0].stats, "{\"numRecords\":1000,\"x\":\"\\u00e9\"}");
    assert_int_equal(t.n_rejects, 2);
    assert_true(str_is(t.rejects[0].r.column, "a\"b") && str_is(t.rejects[0].r.reason, "no\nroom"));
    assert_int_equal(t.rejects[0].r.pos.lsn, 0x100000002);
    assert_int_equal(t.rejects[1].r.pos.ordinal, copy_reject_ordinal(1, 1));
    t.plan->done[2] = (struct copy_done){0x100000003, 9}; /* and the copy goes on */
    assert_int_equal(copy_notes_add(t.plan, 2, &(struct copy_files){0}, NULL, 0, &err), 0);
    CLEANUP(table_deinit) struct copy_table again;
    table_init(&again, "t", 23);
    assert_int_equal(copy_notes_read(dir, &again, &again.plan, &err), 0);
    assert_int_equal(again.plan->done[2].lsn, 0x100000003);
}

static void test_notes__cut_short_anywhere_have_the_whole_lines(void **state)
{
    CLEANUP(mem_freep) char *path = copy_notes_path(dir, 77);
    CLEANUP(buf_deinit) struct buf whole = {0};
    size_t lines = 0;

    (void)state;
    write_notes();
    assert_int_equal(file_read(path, &whole, &err), 0);
    for (size_t n = 0; n <= whole.n; n++) {
        CLEANUP(table_deinit) struct copy_table t;
        lines += n && whole.p[n - 1] == '\n';
        table_init(&t, "t", 23);
        assert_int_equal(file_replace(path, whole.p, n, &err), 0);
        assert_int_equal(copy_notes_read(dir, &t, &t.plan, &err), 0);
        assert_int_equal(t.plan != NULL, lines > 0);
        assert_int_equal(t.files.n, lines > 1 ? 2 : 0);
        assert_int_equal(t.n_rejects, lines > 2 ? 2 : 0);
        if (!t.plan)
            continue;
        assert_int_equal(t.plan->done[0].lsn != 0, lines > 1);
        t.plan->done[2] = (struct copy_done){5, 5}; /* appended after whole lines only */
        assert_int_equal(copy_notes_add(t.plan, 2, &(struct copy_files){0}, NULL, 0, &err), 0);
        CLEANUP(table_deinit) struct copy_table again;
        table_init(&again, "t", 23);
        assert_int_equal(copy_notes_read(dir, &again, &again.plan, &err), 0);
        assert_int_equal(again.plan->done[2].lsn, 5);
    }
}

static void test_notes__of_other_columns_or_another_name_are_none(void **state)
{
    CLEANUP(table_deinit) struct copy_table other_type, other_name;

    (void)state;
    write_notes();
    table_init(&other_type, "t", 20);
    assert_int_equal(copy_notes_read(dir, &other_type, &other_type.plan, &err), 0);
    assert_null(other_type.plan);
    table_init(&other_name, "u", 23); /* its files are in another folder */
    assert_int_equal(copy_notes_read(dir, &other_name, &other_name.plan, &err), 0);
    assert_null(other_name.plan);
}

static void test_notes__garbage_is_not_believed(void **state)
{
    static const char *const garbage[] = {
        "{\"chunk\":3,\"lsn\":\"0/1\"}\n",      "{\"chunk\":-1,\"lsn\":\"0/1\"}\n", "7\n", "\n", "{\"chunk\":2}\n",
        "{\"chunk\":2,\"lsn\":5,\"files\":7}\n"};
    CLEANUP(mem_freep) char *path = copy_notes_path(dir, 77);
    CLEANUP(buf_deinit) struct buf whole = {0};

    (void)state;
    write_notes();
    assert_int_equal(file_read(path, &whole, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
        CLEANUP(table_deinit) struct copy_table t;
        CLEANUP(buf_deinit) struct buf b = {0};
        buf_add_str(&b, buf_str(&whole));
        buf_add_cstr(&b, garbage[i]);
        assert_int_equal(file_replace(path, b.p, b.n, &err), 0);
        table_init(&t, "t", 23);
        assert_int_equal(copy_notes_read(dir, &t, &t.plan, &err), 0);
        assert_int_equal(t.files.n, 2);
        assert_int_equal(t.plan->done[2].lsn, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notes__come_back_as_they_were),
        cmocka_unit_test(test_notes__cut_short_anywhere_have_the_whole_lines),
        cmocka_unit_test(test_notes__of_other_columns_or_another_name_are_none),
        cmocka_unit_test(test_notes__garbage_is_not_believed),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
