/* Tests of footers that are read, changed and written again: those of Spark's files with variants, and made ones. */
#include "codec/parquet_bare.h"
#include "codec/parquet_join.h"
#include "codec/thrift.h"

#include "base/test_fixture.h"
#include "base/mem.h"

#include <dirent.h>
#include <setjmp.h>

#include <cmocka.h>

/* ---- footers of Spark ---- */

static bool read_footer(const char *folder, const char *name, struct buf *ret)
{
    CLEANUP(buf_deinit) struct buf file = {0}, path = {0};

    if (!str_has_suffix(str_of(name), STR(".parquet")))
        return false;
    buf_printf(&path, "%s/%s", folder, name);
    assert_int_equal(file_read(path.p, &file, NULL), 0);
    struct reader r = reader_of(file.p + file.n - 8, 4);
    uint32_t n = reader_le32(&r);
    buf_reset(ret);
    buf_add(ret, file.p + file.n - 8 - n, n);
    return true;
}

static void each_footer(void (*check)(struct str footer))
{
    char path[4096];
    const char *folder = fixture_path("fixtures/spark-delta/variant/table", path);
    CLEANUP(buf_deinit) struct buf footer = {0};
    int n = 0;

    if (!folder)
        skip();
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (!read_footer(folder, e->d_name, &footer))
            continue;
        check(buf_str(&footer));
        n++;
    }
    closedir(dir);
    assert_int_equal(n, 4);
}

static void check_again(struct str footer)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(buf_deinit) struct buf out = {0};
    struct thrift t;

    assert_int_equal(thrift_read(footer, &arena, &t, NULL), 0);
    thrift_write(&t, &out);
    assert_int_equal(out.n, footer.n);
    assert_memory_equal(out.p, footer.p, out.n);
}

static void test_thrift__writes_what_it_read(void **state)
{
    (void)state;
    each_footer(check_again);
}

/* In memory of just that size, so that a read past its end is seen. */
static void check_cuts(struct str footer)
{
    for (size_t n = 0; n < footer.n; n++) {
        CLEANUP(arena_deinit) struct arena arena = {0};
        CLEANUP(mem_freep) char *cut = mem_alloc(n + !n);
        struct thrift t;
        struct err err;
        memcpy(cut, footer.p, n);
        assert_int_equal(thrift_read(str_make(cut, n), &arena, &t, &err), ERR_INPUT);
    }
}

static void test_thrift__refuses_a_cut_at_every_length(void **state)
{
    (void)state;
    each_footer(check_cuts);
}

static unsigned annotations(struct str footer)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct thrift t;
    unsigned n = 0;

    assert_int_equal(thrift_read(footer, &arena, &t, NULL), 0);
    const struct thrift *schema = thrift_field(&t, 2, THRIFT_LIST);
    for (uint32_t i = 0; i < schema->n; i++) {
        const struct thrift *logical = thrift_field(&schema->v[i], 10, THRIFT_STRUCT);
        n += logical && thrift_field(logical, 16, THRIFT_STRUCT);
    }
    return n;
}

static void check_bare(struct str footer)
{
    CLEANUP(buf_deinit) struct buf out = {0}, again = {0};
    struct parquet_variants found;

    assert_int_equal(annotations(footer), 3);
    assert_int_equal(parquet_bare(footer, &found, &out, NULL), 0);
    assert_true(found.any && !found.shredded);
    assert_int_equal(annotations(buf_str(&out)), 0);
    assert_int_equal(parquet_bare(buf_str(&out), &found, &again, NULL), 0);
    assert_false(found.any || found.shredded || found.nulls);
    assert_true(str_eq(buf_str(&out), buf_str(&again)));
}

static void test_parquet_bare__takes_the_annotations_of_spark(void **state)
{
    (void)state;
    each_footer(check_bare);
}

/* ---- made ones ---- */

static struct arena arena;

static int teardown(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static struct thrift *add(struct thrift *list)
{
    struct thrift *v = ARENA_NEW_N(&arena, struct thrift, list->n + 1);

    if (list->n)
        memcpy(v, list->v, list->n * sizeof *v);
    list->v = v;
    list->element = THRIFT_STRUCT;
    v[list->n].type = THRIFT_STRUCT;
    return &v[list->n++];
}

/* type -1: a group with so many children. */
static struct thrift *element(struct thrift *schema, const char *name, int type, int children)
{
    struct thrift *e = add(schema);

    thrift_set(e, 3, THRIFT_I32, &arena)->number = 1;
    thrift_set(e, 4, THRIFT_BINARY, &arena)->bytes = str_of(name);
    if (type >= 0)
        thrift_set(e, 1, THRIFT_I32, &arena)->number = type;
    else
        thrift_set(e, 5, THRIFT_I32, &arena)->number = children;
    return e;
}

static void annotate(struct thrift *e)
{
    thrift_set(thrift_set(e, 10, THRIFT_STRUCT, &arena), 16, THRIFT_STRUCT, &arena);
}

/* A column chunk with 10 values; min NULL: no statistics. */
static void chunk(struct thrift *columns, int64_t nulls, const char *min)
{
    struct thrift *meta = thrift_set(add(columns), 3, THRIFT_STRUCT, &arena);
    struct thrift *path = thrift_set(meta, 3, THRIFT_LIST, &arena);

    path->element = THRIFT_BINARY;
    thrift_set(meta, 5, THRIFT_I64, &arena)->number = 10;
    thrift_set(meta, 9, THRIFT_I64, &arena)->number = columns->n; /* tells it from others */
    if (!min)
        return;
    struct thrift *statistics = thrift_set(meta, 12, THRIFT_STRUCT, &arena);
    thrift_set(statistics, 3, THRIFT_I64, &arena)->number = nulls;
    thrift_set(statistics, 6, THRIFT_BINARY, &arena)->bytes = str_make(min, 1);
}

/* optional group v (VARIANT) { metadata, value[, typed_value] }, and what the statistics of its values say */
static struct parquet_variants bared(bool shredded, int64_t nulls, const char *min)
{
    struct thrift file = {.type = THRIFT_STRUCT};
    struct thrift schema = {0}, columns = {0}, groups = {0};
    CLEANUP(buf_deinit) struct buf footer = {0}, out = {0};
    struct parquet_variants found;

    element(&schema, "root", -1, 1);
    element(&schema, "v", -1, shredded ? 3 : 2);
    element(&schema, "metadata", 6, 0);
    element(&schema, "value", 6, 0);
    if (shredded)
        element(&schema, "typed_value", 1, 0);
    annotate(&schema.v[1]);
    chunk(&columns, 0, "\1");
    chunk(&columns, nulls, min);
    if (shredded)
        chunk(&columns, 0, "\1");
    struct thrift *group = add(&groups), *list;
    list = thrift_set(group, 1, THRIFT_LIST, &arena);
    *list = (struct thrift){.type = THRIFT_LIST, .id = 1, .element = THRIFT_STRUCT, .n = columns.n, .v = columns.v};
    list = thrift_set(&file, 2, THRIFT_LIST, &arena);
    *list = (struct thrift){.type = THRIFT_LIST, .id = 2, .element = THRIFT_STRUCT, .n = schema.n, .v = schema.v};
    list = thrift_set(&file, 4, THRIFT_LIST, &arena);
    *list = (struct thrift){.type = THRIFT_LIST, .id = 4, .element = THRIFT_STRUCT, .n = groups.n, .v = groups.v};
    thrift_write(&file, &footer);
    assert_int_equal(parquet_bare(buf_str(&footer), &found, &out, NULL), 0);
    assert_int_equal(annotations(buf_str(&out)), shredded);
    return found;
}

static void test_parquet_bare__knows_where_a_null_of_json_may_be(void **state)
{
    (void)state;
    assert_true(bared(false, 0, "\0").nulls);   /* the least value is one */
    assert_false(bared(false, 0, "\2").nulls);  /* all are above it */
    assert_true(bared(false, 0, NULL).nulls);   /* nobody knows */
    assert_false(bared(false, 10, "\0").nulls); /* there are no values */
    assert_true(bared(true, 0, "\2").shredded);
    assert_false(bared(false, 0, "\2").shredded);
}

/* v: a struct of a number and a list of variants, as two columns. */
static void join_file(struct thrift *file, bool right)
{
    struct thrift schema = {0}, columns = {0}, groups = {0};

    element(&schema, "root", -1, 3);
    element(&schema, "id", 1, 0);
    element(&schema, "v", -1, 2);
    element(&schema, "n", 1, 0);
    element(&schema, "l", -1, 1);
    element(&schema, "list", -1, 1);
    element(&schema, "element", 6, 0);
    element(&schema, "m", -1, 1);
    element(&schema, "l", -1, 1);
    element(&schema, "list", -1, 1);
    element(&schema, "element", right ? 6 : 1, 0);
    for (int i = 0; i < 4; i++)
        chunk(&columns, 0, "\1");
    struct thrift *group = add(&groups), *list = thrift_set(group, 1, THRIFT_LIST, &arena);
    *list = (struct thrift){.type = THRIFT_LIST, .id = 1, .element = THRIFT_STRUCT, .n = columns.n, .v = columns.v};
    *file = (struct thrift){.type = THRIFT_STRUCT};
    list = thrift_set(file, 2, THRIFT_LIST, &arena);
    *list = (struct thrift){.type = THRIFT_LIST, .id = 2, .element = THRIFT_STRUCT, .n = schema.n, .v = schema.v};
    list = thrift_set(file, 4, THRIFT_LIST, &arena);
    *list = (struct thrift){.type = THRIFT_LIST, .id = 4, .element = THRIFT_STRUCT, .n = groups.n, .v = groups.v};
}

static struct schema *join_schema(void)
{
    struct schema *s = schema_new();
    struct field *v = ARENA_NEW_N(&s->arena, struct field, 5);

    s->fields = v;
    s->n_fields = 2;
    v[0] = (struct field){.name = STR("id"), .physical = STR("id"), .type = {.id = TYPE_INTEGER}};
    v[4] = (struct field){.name = STR("element"), .physical = STR("element"), .type = {.id = TYPE_VARIANT}};
    v[2] = (struct field){.name = STR("n"), .physical = STR("n"), .type = {.id = TYPE_INTEGER}};
    v[3] = (struct field){
        .name = STR("l"), .physical = STR("l"), .type = {.id = TYPE_ARRAY, .n_children = 1, .children = &v[4]}};
    v[1] = (struct field){
        .name = STR("v"), .physical = STR("v"), .type = {.id = TYPE_STRUCT, .n_children = 2, .children = &v[2]}};
    return s;
}

/* "id 1, v.n 2, …": each chunk's path and the number that tells it. */
static void tell_chunks(const struct thrift *file, struct buf *out)
{
    const struct thrift *groups = thrift_field(file, 4, THRIFT_LIST);
    const struct thrift *columns = thrift_field(&groups->v[0], 1, THRIFT_LIST);

    for (uint32_t i = 0; i < columns->n; i++) {
        const struct thrift *meta = thrift_field(&columns->v[i], 3, THRIFT_STRUCT);
        const struct thrift *path = thrift_field(meta, 3, THRIFT_LIST);
        buf_add_cstr(out, i ? ", " : "");
        for (uint32_t k = 0; k < path->n; k++)
            buf_printf(out, "%s%.*s", k ? "." : "", STR_ARG(path->v[k].bytes));
        buf_printf(out, " %lld", (long long)thrift_number(meta, 9, 0));
    }
}

static void test_parquet_join__makes_one_column_of_two(void **state)
{
    CLEANUP(schema_unrefp) struct schema *schema = join_schema();
    CLEANUP(buf_deinit) struct buf footer = {0}, out = {0}, told = {0};
    struct thrift file;

    (void)state;
    join_file(&file, true);
    thrift_write(&file, &footer);
    assert_int_equal(parquet_join_variants(buf_str(&footer), schema, &out, NULL), 0);
    assert_int_equal(annotations(buf_str(&out)), 1);
    assert_int_equal(thrift_read(buf_str(&out), &arena, &file, NULL), 0);
    tell_chunks(&file, &told);
    assert_string_equal(told.p, "id 1, v.n 2, v.l.list.element.metadata 4, v.l.list.element.value 3");
    assert_int_equal(thrift_field(&file, 2, THRIFT_LIST)->n, 9);
}

static void test_parquet_join__refuses_other_columns(void **state)
{
    CLEANUP(schema_unrefp) struct schema *schema = join_schema();
    CLEANUP(buf_deinit) struct buf footer = {0}, out = {0};
    struct thrift file;
    struct err err;

    (void)state;
    join_file(&file, false);
    thrift_write(&file, &footer);
    assert_int_equal(parquet_join_variants(buf_str(&footer), schema, &out, &err), ERR_INTERNAL);
    schema->n_fields = 1;
    assert_int_equal(parquet_join_variants(buf_str(&footer), schema, &out, &err), ERR_INTERNAL);
    assert_int_equal(parquet_join_variants(STR(""), schema, &out, &err), ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thrift__writes_what_it_read),
        cmocka_unit_test(test_thrift__refuses_a_cut_at_every_length),
        cmocka_unit_test(test_parquet_bare__takes_the_annotations_of_spark),
        cmocka_unit_test(test_parquet_bare__knows_where_a_null_of_json_may_be),
        cmocka_unit_test(test_parquet_join__makes_one_column_of_two),
        cmocka_unit_test(test_parquet_join__refuses_other_columns),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
