/* Driving the table of the tests: rows change, epochs are committed, the table is opened again and compared. */
#ifndef SLUICE_SINK_TEST_DRIVE_H
#define SLUICE_SINK_TEST_DRIVE_H

#include "sink/test_world.h"

static void update(size_t i, const char *new_key, int missing)
{
    struct row *r = &w.now.r[i];

    if (new_key || w.identity == IDENTITY_ROW)
        put_row(OP_BEFORE, r, 0);
    for (uint32_t c = 0; c < w.n_cols; c++) {
        int a = w.cols[c].attnum;
        if (a == missing || (a == 1 && !new_key))
            continue;
        mem_free(r->v[a]);
        r->v[a] = a == 1 ? mem_strdup(new_key) : random_value(w.cols[c].oid);
    }
    put_row(OP_UPDATE, r, missing);
}

static void drop(size_t i)
{
    put_row(OP_DELETE, &w.now.r[i], 0);
    remove_row(i);
}

static void commit(void)
{
    send();
    OK(lake_table_commit(w.t, ++w.lsn, &err));
    rows_copy(&w.saved, &w.now);
    memcpy(w.saved_cols, w.cols, sizeof w.cols);
    w.n_saved_cols = w.n_cols;
}

/* As after a kill, or an orderly end: what was not committed is gone. */
static void reopen(bool without_index)
{
    batch_free(TAKE_PTR(w.batch));
    lake_table_free(TAKE_PTR(w.t));
    if (without_index) {
        CLEANUP(mem_freep) char *path = mem_printf("%s/state/index", w.dir);
        OK(file_remove_tree(path, &err));
    }
    rows_copy(&w.now, &w.saved);
    memcpy(w.cols, w.saved_cols, sizeof w.cols);
    w.n_cols = w.n_saved_cols;
    make_relation();
    OK(lake_table_open(&w.env, (struct table_name){STR("public"), str_of(w.table)}, &w.t, &err));
    assert_non_null(w.t);
    OK(lake_table_relation(w.t, w.rel, w.schema, &err));
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All rows as sorted lines of what the table holds; freed with free_lines. */
static char **read_lines(size_t *ret_n, uint64_t *ret_records)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/lake/public/%s", w.dir, w.table);
    CLEANUP(store_unrefp) struct store *store = store_local_new(path);
    CLEANUP(delta_table_freep) struct delta_table *dt = NULL;
    CLEANUP(delta_scan_freep) struct delta_scan *scan = NULL;
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    const struct engine_chunk *chunk;
    char **lines = NULL;
    size_t n = 0, cap = 0;

    OK(delta_table_open(store, w.engine, &dt, &err));
    struct delta_snapshot *s = delta_table_snapshot(dt);
    *ret_records = (uint64_t)s->records;
    assert_int_equal(s->head->schema->n_fields, w.n_saved_cols);
    OK(delta_scan_new(w.engine, store, s, NULL, &scan, &err));
    delta_snapshot_unref(s);
    buf_add_cstr(&sql, "SELECT concat(''");
    for (uint32_t c = 0; c < w.n_saved_cols; c++) {
        buf_add_cstr(&sql, ", '|', coalesce(CAST(");
        buf_add_sql_ident(&sql, str_of(w.saved_cols[c].name));
        buf_add_cstr(&sql, " AS VARCHAR), 'NULL')");
    }
    buf_printf(&sql, ") FROM (%s)", delta_scan_sql(scan));
    OK(engine_query(w.conn, sql.p, &result, &err));
    while (engine_result_next(result, &chunk, &err) == 0)
        for (uint32_t i = 0; i < chunk->n; i++) {
            MEM_GROW(lines, n, cap);
            struct str line = engine_str(&chunk->cols[0], i);
            lines[n++] = mem_strndup(line.p, line.n);
        }
    if (n)
        qsort(lines, n, sizeof *lines, by_text);
    *ret_n = n;
    return lines;
}

static void free_lines(char **lines, size_t n)
{
    for (size_t i = 0; i < n; i++)
        mem_free(lines[i]);
    mem_free(lines);
}

/* The newest version is as the source was at the last commit. */
static void check(const char *what)
{
    size_t n, want_n = w.saved.n;
    uint64_t records;
    char **have = read_lines(&n, &records), **want = MEM_NEW_N(char *, want_n + 1);

    for (size_t i = 0; i < want_n; i++) {
        CLEANUP(buf_deinit) struct buf line = {0};
        for (uint32_t c = 0; c < w.n_saved_cols; c++) {
            const char *v = w.saved.r[i].v[w.saved_cols[c].attnum];
            buf_printf(&line, "|%s", v ? v : "NULL");
        }
        want[i] = buf_take(&line);
    }
    if (want_n)
        qsort(want, want_n, sizeof *want, by_text);
    for (size_t i = 0; i < n && i < want_n; i++)
        if (strcmp(have[i], want[i]) != 0)
            fail_msg("%s: the lake has %.200s where the source has %.200s", what, have[i], want[i]);
    if (n != want_n || records != want_n)
        fail_msg("%s: %zu rows (%llu records) where the source has %zu", what, n, (unsigned long long)records, want_n);
    free_lines(have, n);
    free_lines(want, want_n);
}

static int setup(void **state)
{
    const char *tmp = getenv("SLUICE_TEST_TMP");
    struct engine_options o = {.threads = 1};

    (void)state;
    snprintf(w.dir, sizeof w.dir, "%s/lake_table_test.%d", tmp ? tmp : "/tmp", (int)getpid());
    OK(file_remove_tree(w.dir, &err));
    OK(engine_open(&o, &w.engine, &err));
    OK(engine_connect(w.engine, &w.conn, &err));
    w.env = (struct lake_env){.engine = w.engine,
                              .conn = w.conn,
                              .root = mem_printf("%s/lake", w.dir),
                              .state_dir = mem_printf("%s/state", w.dir),
                              .app_id = "test",
                              .target_file_bytes = 1 << 20,
                              .checkpoint_interval = 10};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    relation_unref(w.rel);
    schema_unref(w.schema);
    engine_conn_free(w.conn);
    engine_free(w.engine);
    mem_free((char *)w.env.root);
    mem_free((char *)w.env.state_dir);
    return file_remove_tree(w.dir, NULL);
}

#endif
