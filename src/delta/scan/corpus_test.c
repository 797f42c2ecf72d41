/*
 * Tables that other writers made. Those of delta-spark come with what Spark reads from them (version, protocol, schema of
 * every version); of the other implementations' golden tables the log must open, or be refused where its name says so.
 * Skipped where the corpora are not there (SLUICE_SHARED, or ../shared beside the repository).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <dirent.h>
#include <yyjson.h>

#include "base/file.h"
#include "base/mem.h"
#include "delta/log/checkpoint.h"
#include "engine/engine.h"

static struct engine *engine;
static char shared[512];

static int setup(void **state)
{
    struct engine_options o = {.threads = 1};
    const char *env = getenv("SLUICE_SHARED");

    (void)state;
    snprintf(shared, sizeof shared, "%s", env ? env : "../shared");
    return engine_open(&o, &engine, NULL);
}

static int teardown(void **state)
{
    (void)state;
    engine_free(engine);
    return 0;
}

/* Sorted names in a folder; NULL-terminated, to be freed with its entries. */
static int names(const char *dir, struct dirent ***ret)
{
    int n = scandir(dir, ret, NULL, alphasort);

    if (n < 0) {
        print_message("no %s here: skipped\n", dir);
        skip();
    }
    return n;
}

static void check_features(const char *table, yyjson_val *want, const struct str *have, uint32_t n)
{
    yyjson_val *v;
    size_t i, max;

    if (yyjson_arr_size(want) != n)
        fail_msg("%s: %u features, and not %zu", table, n, yyjson_arr_size(want));
    yyjson_arr_foreach(want, i, max, v)
    {
        bool found = false;
        for (uint32_t k = 0; k < n; k++)
            found |= str_is(have[k], yyjson_get_str(v));
        if (!found)
            fail_msg("%s: feature %s is missing", table, yyjson_get_str(v));
    }
}

static void check_schema(const char *table, const struct delta_snapshot *s, yyjson_val *want)
{
    CLEANUP(schema_unrefp) struct schema *schema = NULL;
    char *json = yyjson_val_write(want, 0, NULL);
    struct err err = {0};

    if (delta_schema_parse(str_of(json), &schema, &err))
        fail_msg("%s: %s", table, err.msg);
    free(json);
    assert_int_equal(schema->n_fields, s->head->schema->n_fields);
    for (uint32_t i = 0; i < schema->n_fields; i++)
        if (!str_eq(schema->fields[i].name, s->head->schema->fields[i].name) ||
            !type_eq(&schema->fields[i].type, &s->head->schema->fields[i].type))
            fail_msg("%s: version %d: column %d differs", table, (int)s->version, (int)i);
}

/* Every live file, and its deletion vector, must lie where the log says. */
static void check_files(const char *table, struct store *store, const struct delta_snapshot *s)
{
    const struct delta_file *f;
    struct err err = {0};
    uint64_t n = 0;
    int64_t size;

    for (size_t at = 0; (f = delta_snapshot_next(s, &at)); n++) {
        if (store_head(store, f->path.p, &size, NULL, &err))
            fail_msg("%s: %s", table, err.msg);
        if (size != f->size)
            fail_msg("%s: %s is of another size", table, f->path.p);
    }
    assert_int_equal(n, s->n_files);
}

static void check_spark_version(const char *name, struct store *store, const char *version, yyjson_val *want)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = NULL;
    yyjson_val *schema = yyjson_obj_get(want, "schema"), *rows = yyjson_obj_get(want, "rows");
    struct err err = {0};

    if (!schema)
        return; /* no longer readable by Spark either */
    if (delta_snapshot_open(store, engine, strtoll(version, NULL, 10), &s, &err))
        fail_msg("%s: version %s: %s", name, version, err.msg);
    check_schema(name, s, schema);
    if (rows && s->n_unknown == 0 && s->records != (int64_t)yyjson_arr_size(rows))
        fail_msg("%s: version %s: %d rows, and not %zu", name, version, (int)s->records, yyjson_arr_size(rows));
}

static void check_spark_table(const char *name, const char *dir, yyjson_val *want)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/table", dir);
    CLEANUP(store_unrefp) struct store *store = store_local_new(path);
    CLEANUP(delta_table_freep) struct delta_table *t = NULL;
    CLEANUP(delta_history_deinit) struct delta_history h = {0};
    yyjson_val *protocol = yyjson_obj_get(want, "protocol"), *k, *v;
    struct err err = {0};
    size_t i, max;

    if (delta_table_open(store, engine, &t, &err))
        fail_msg("%s: %s", name, err.msg);
    const struct delta_protocol *p = t->snapshot->head->protocol;
    assert_int_equal(t->snapshot->version, yyjson_get_sint(yyjson_obj_get(want, "version")));
    assert_int_equal(p->reader, yyjson_get_sint(yyjson_obj_get(protocol, "minReaderVersion")));
    assert_int_equal(p->writer, yyjson_get_sint(yyjson_obj_get(protocol, "minWriterVersion")));
    check_features(name, yyjson_obj_get(protocol, "readerFeatures"), p->reader_features, p->n_reader_features);
    check_features(name, yyjson_obj_get(protocol, "writerFeatures"), p->writer_features, p->n_writer_features);
    check_files(name, store, t->snapshot);
    assert_int_equal(delta_history_read(store, 0, &h, &err), 0);
    assert_int_equal(h.v[h.n - 1].version, t->snapshot->version);
    yyjson_obj_foreach(yyjson_obj_get(want, "versions"), i, max, k, v)
        check_spark_version(name, store, yyjson_get_str(k), v);
}

static void test_spark__tables_open_as_spark_says(void **state)
{
    char dir[700]; /* no heap memory: skip() leaves by a jump */
    struct dirent **list;
    int n, checked = 0;

    (void)state;
    snprintf(dir, sizeof dir, "%s/fixtures/spark-delta", shared);
    n = names(dir, &list);
    for (int i = 0; i < n; i++) {
        CLEANUP(mem_freep) char *table = mem_printf("%s/%s", dir, list[i]->d_name);
        CLEANUP(mem_freep) char *json = mem_printf("%s/expected.json", table);
        yyjson_doc *doc = list[i]->d_name[0] == '.' ? NULL : yyjson_read_file(json, 0, NULL, NULL);
        if (doc) {
            check_spark_table(list[i]->d_name, table, yyjson_doc_get_root(doc));
            checked++;
        }
        yyjson_doc_free(doc);
        free(list[i]);
    }
    free(list);
    print_message("%d tables\n", checked);
    assert_true(checked > 30);
}

/* By their names; and two that are logs without a table: no metaData, no commits. */
static bool must_be_refused(const char *name)
{
    static const char *const parts[] = {"reconstruction-without-",
                                        "invalid-protocol",
                                        "versions-not-contiguous",
                                        "no-delta-log",
                                        "crc-malformed",
                                        "absolute-paths-escaped-chars",
                                        NULL};

    for (size_t i = 0; parts[i]; i++)
        if (strstr(name, parts[i]))
            return true;
    return false;
}

/* Opens every table (a folder with _delta_log) below `dir`, at its newest version and at its oldest. */
static int open_tables(const char *name, const char *dir)
{
    CLEANUP(mem_freep) char *log = mem_printf("%s/_delta_log", dir);
    CLEANUP(store_unrefp) struct store *store = store_local_new(dir);
    CLEANUP(delta_table_freep) struct delta_table *t = NULL;
    struct err err = {0};
    int opened = 0;

    if (file_exists(log)) {
        int rc = delta_table_open(store, engine, &t, &err);
        if (must_be_refused(name) ? rc == 0 : rc < 0)
            fail_msg("%s: %s", name, rc ? err.msg : "opened");
        if (rc)
            print_message("%s: refused: %s\n", name, err.msg);
        return 1;
    }
    struct dirent **list;
    int n = scandir(dir, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        CLEANUP(mem_freep) char *child = mem_printf("%s/%s", dir, list[i]->d_name);
        if (list[i]->d_name[0] != '.' && list[i]->d_type == DT_DIR)
            opened += open_tables(name, child);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    return opened;
}

static void check_corpus(const char *corpus, int at_least)
{
    char dir[700];
    struct dirent **list;
    int n, opened = 0;
    const char *tmp = getenv("SLUICE_TEST_TMP");

    snprintf(dir, sizeof dir, "%s/corpora/%s", shared, corpus);
    n = names(dir, &list);

    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        bool packed = str_has_suffix(str_of(name), STR(".tar.zst"));
        CLEANUP(mem_freep) char *path = mem_printf("%s/%s", dir, name);
        if (name[0] != '.' && !packed)
            opened += open_tables(name, path);
        if (packed && !strstr(name, "300k")) {
            CLEANUP(mem_freep) char *out = mem_printf("%s/corpus-%d", tmp ? tmp : "/tmp", (int)getpid());
            CLEANUP(mem_freep) char *cmd = mem_printf("mkdir -p '%s' && tar --zstd -xf '%s' -C '%s'", out, path, out);
            if (system(cmd) == 0)
                opened += open_tables(name, out);
            assert_int_equal(file_remove_tree(out, NULL), 0);
        }
        free(list[i]);
    }
    free(list);
    print_message("%d tables\n", opened);
    assert_true(opened >= at_least);
}

static void test_kernel__golden_tables_open(void **state)
{
    (void)state;
    check_corpus("kernel-golden", 80);
}

static void test_kernel__data_tables_open(void **state)
{
    (void)state;
    check_corpus("kernel-data", 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spark__tables_open_as_spark_says),
        cmocka_unit_test(test_kernel__golden_tables_open),
        cmocka_unit_test(test_kernel__data_tables_open),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
