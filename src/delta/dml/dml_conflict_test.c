/*
 * Two statements on one table, the second overtaken by the first between its last read and its commit: what becomes of it.
 *
 * Each case runs "ours" on one handle; before its first put "theirs" commits through another handle. Then ours is either
 * rebased (its commit says the version that it read at first), or run again (it says a later one). The rows must be those
 * that the two give one after the other.
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

#include "base/file.h"
#include "base/mem.h"
#include "base/test_ok.h"
#include "delta/dml/dml.h"
#include "delta/upkeep/optimize.h"
#include "delta/scan/scan.h"
#include "delta/log/transaction.h"

enum kind { NOTHING, DELETE, UPDATE, MERGE, INSERT, SELF_INSERT, OVERWRITE, REPLACE, OPTIMIZE };

/* DELETE: where. UPDATE: where, value of v. MERGE: source query, clauses out of "u" "i" "d" "b". INSERT …: query, REPLACE: where. */
struct statement {
    enum kind kind;
    const char *a, *b;
};

enum outcome { REBASED, AGAIN };
enum order { IN_ORDER, OURS_FIRST };

struct conflict_case {
    struct statement theirs, ours;
    enum outcome outcome;
    enum order order;     /* in which the rows must be as if */
    const char *property; /* "key=value" */
};

static struct engine *engine;
static char folder[256];

static int look_up(void *ctx, struct str name, struct buf *ret_sql, struct err *e);

static int setup(void **state)
{
    struct engine_options o = {.threads = 1};
    const char *tmp = getenv("SLUICE_TEST_TMP");

    (void)state;
    snprintf(folder, sizeof folder, "%s/dml-conflict-%d", tmp ? tmp : "/tmp", (int)getpid());
    if (engine_open(&o, &engine, NULL) < 0)
        return -1;
    engine_set_table_lookup(engine, look_up, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    engine_free(engine);
    return file_remove_tree(folder, NULL);
}

static struct err err;

static void create(const char *dir, const char *property)
{
    CLEANUP(store_unrefp) struct store *store = store_local_new(dir);
    CLEANUP(delta_table_freep) struct delta_table *t = NULL;
    CLEANUP(schema_unrefp) struct schema *schema = NULL;
    struct delta_kv kv[] = {
        {STR("delta.enableDeletionVectors"), STR("true")}, {STR("delta.enableRowTracking"), STR("true")}, {{0}, {0}}};
    struct delta_create c = {.configuration = kv, .n_configuration = 2};

    OK(delta_schema_parse(
        STR("{\"type\":\"struct\",\"fields\":[{\"name\":\"id\",\"type\":\"long\",\"nullable\":true,"
            "\"metadata\":{}},{\"name\":\"v\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}}]}"),
        &schema, &err));
    if (property) {
        struct str rest = str_of(property);
        kv[2].key = str_split(&rest, '=');
        kv[2].value = rest;
        c.n_configuration = 3;
        if (str_eq(kv[2].key, kv[0].key))
            kv[0] = kv[2], c.n_configuration = 2;
    }
    c.schema = schema;
    OK(file_remove_tree(dir, &err));
    OK(delta_table_create(store, engine, &c, &t, &err));
}

static int insert(struct dml_target *t, const char *query, bool overwrite, const char *where, bool self)
{
    struct dml_insert ins = {.query = str_of(query), .overwrite = overwrite, .reads_target = self};
    struct dml_result r;

    if (where)
        ins.replace_where = str_of(where);
    return delta_insert(t, &ins, &r, &err);
}

static int merge(struct dml_target *t, const struct statement *s)
{
    static const struct str id[] = {STR("id")}, v[] = {STR("v")};
    struct dml_set update = {v, 1, STR("t.v + s.v"), NULL};
    struct dml_set insert_set[] = {{id, 1, STR("s.id"), NULL}, {v, 1, STR("s.v"), NULL}};
    CLEANUP(mem_freep) char *source = mem_printf("(%s) AS s(id, v)", s->a);
    struct dml_clause clauses[4];
    struct dml_merge m = {
        .source = str_of(source), .source_alias = STR("s"), .on = STR("t.id = s.id"), .clauses = clauses};
    struct dml_result r;

    for (const char *p = s->b; *p; p++) {
        struct dml_clause *c = &clauses[m.n_clauses++];
        *c = (struct dml_clause){.when = DML_MATCHED, .action = DML_UPDATE, .set = &update, .n_set = 1};
        if (*p == 'd')
            *c = (struct dml_clause){.when = DML_MATCHED, .action = DML_DELETE, .condition = STR("s.v > 0")};
        if (*p == 'i')
            *c = (struct dml_clause){.when = DML_NOT_MATCHED, .action = DML_INSERT, .set = insert_set, .n_set = 2};
        if (*p == 'b')
            *c = (struct dml_clause){
                .when = DML_NOT_MATCHED_BY_SOURCE, .action = DML_DELETE, .condition = STR("t.v > 100")};
    }
    return delta_merge(t, &m, &r, &err);
}

/* The table by the name `itself`, at the version that its handle has. */
static struct {
    struct delta_table *table;
    struct delta_scan *scan;
} self;

static void forget_self(void *ctx)
{
    (void)ctx;
    delta_scan_free(TAKE_PTR(self.scan));
}

static int look_up(void *ctx, struct str name, struct buf *ret_sql, struct err *e)
{
    (void)ctx;
    if (!str_is(name, "itself"))
        return 1;
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *now = delta_table_snapshot(self.table);
    if (!self.scan)
        TRY(delta_scan_new(engine, self.table->store, now, NULL, &self.scan, e));
    buf_add_cstr(ret_sql, delta_scan_sql(self.scan));
    return 0;
}

static int run(struct delta_table *table, struct engine_conn *conn, const struct statement *s)
{
    static const struct str v[] = {STR("v")};
    struct dml_target t = {.table = table, .conn = conn, .name = STR("t"), .forget = forget_self};
    struct dml_result r;
    struct delta_optimize all = {0};
    struct delta_optimized optimized;

    switch (s->kind) {
    case NOTHING:
        return 0;
    case DELETE:
        return delta_delete(&t, str_of(s->a), &r, &err);
    case UPDATE: {
        struct dml_set set = {v, 1, str_of(s->b), NULL};
        return delta_update(&t, &set, 1, str_of(s->a), &r, &err);
    }
    case MERGE:
        return merge(&t, s);
    case INSERT:
        return insert(&t, s->a, false, NULL, false);
    case SELF_INSERT:
        self.table = table;
        return insert(&t, "SELECT id + 1000, v FROM itself WHERE id < 1000", false, NULL, true);
    case OVERWRITE:
        return insert(&t, s->a, true, NULL, false);
    case REPLACE:
        return insert(&t, s->a, true, s->b, false);
    default:
        return delta_optimize(table, conn, &all, &optimized, &err);
    }
}

/* ---- theirs, before the first put of ours ---- */

static struct {
    const struct statement *statement; /* NULL: done */
    const char *dir;
    const struct store_ops *real;
} theirs;

static void run_alone(const char *dir, const struct statement *s)
{
    CLEANUP(store_unrefp) struct store *store = store_local_new(dir);
    CLEANUP(delta_table_freep) struct delta_table *t = NULL;
    CLEANUP(engine_conn_freep) struct engine_conn *conn = NULL;

    OK(delta_table_open(store, engine, &t, &err));
    OK(engine_connect(engine, &conn, &err));
    OK(run(t, conn, s));
    forget_self(NULL);
}

static int put_after_theirs(struct store *s, const char *key, struct str bytes, struct err *e)
{
    const struct statement *first = TAKE_PTR(theirs.statement);

    if (first)
        run_alone(theirs.dir, first);
    return theirs.real->put_if_absent(s, key, bytes, e);
}

static void fill(const char *dir, const char *property)
{
    struct statement first = {INSERT, "SELECT i, i FROM range(10) r(i)", NULL},
                     second = {INSERT, "SELECT i, i FROM range(10, 20) r(i)", NULL};

    create(dir, property);
    run_alone(dir, &first);
    run_alone(dir, &second);
}

static char *rows_of(const char *dir)
{
    CLEANUP(store_unrefp) struct store *store = store_local_new(dir);
    CLEANUP(delta_table_freep) struct delta_table *t = NULL;
    CLEANUP(engine_conn_freep) struct engine_conn *conn = NULL;
    CLEANUP(delta_scan_freep) struct delta_scan *scan = NULL;
    struct delta_scan_options options = {.with_row_ids = true};
    CLEANUP(buf_deinit) struct buf text = {0};

    OK(delta_table_open(store, engine, &t, &err));
    OK(engine_connect(engine, &conn, &err));
    OK(delta_scan_new(engine, store, t->snapshot, &options, &scan, &err));
    CLEANUP(mem_freep)
    char *sql = mem_printf(
        "SELECT coalesce(string_agg(id || '=' || v, ' ' ORDER BY id, v), 'none') || CASE WHEN count(DISTINCT __row_id) = count(*) THEN '' "
        "ELSE ' with row ids twice' END FROM (%s)",
        delta_scan_sql(scan));
    OK(engine_query_text(conn, sql, &text, &err));
    return buf_take(&text);
}

static int64_t read_version(struct delta_table *t)
{
    CLEANUP(delta_history_deinit) struct delta_history h = {0};

    OK(delta_history_read(t->store, 1, &h, &err));
    return h.v[h.n - 1].info.read_version;
}

static void run_case(size_t i, const struct conflict_case *c)
{
    CLEANUP(mem_freep) char *dir = mem_printf("%s/a", folder), *serial = mem_printf("%s/b", folder);
    struct store *store = store_local_new(dir);
    struct store_ops ops = *store->ops;
    CLEANUP(delta_table_freep) struct delta_table *t = NULL;
    CLEANUP(engine_conn_freep) struct engine_conn *conn = NULL;

    fill(dir, c->property);
    theirs.real = store->ops;
    theirs.dir = dir;
    theirs.statement = &c->theirs;
    ops.put_if_absent = put_after_theirs;
    store->ops = &ops;
    OK(delta_table_open(store, engine, &t, &err));
    OK(engine_connect(engine, &conn, &err));
    if (run(t, conn, &c->ours))
        fail_msg("case %zu: %s", i, err.msg);
    forget_self(NULL);
    if (theirs.statement)
        fail_msg("case %zu: ours committed nothing", i);
    bool again = read_version(t) > 2;
    if (again != (c->outcome == AGAIN))
        fail_msg("case %zu was %s", i, again ? "run again" : "rebased");
    delta_table_free(TAKE_PTR(t));
    store->ops = theirs.real;
    store_unref(store);
    fill(serial, c->property);
    run_alone(serial, c->order == IN_ORDER ? &c->theirs : &c->ours);
    run_alone(serial, c->order == IN_ORDER ? &c->ours : &c->theirs);
    CLEANUP(mem_freep) char *got = rows_of(dir), *want = rows_of(serial);
    if (strcmp(got, want) != 0)
        fail_msg("case %zu:\n  %s\nand not\n  %s", i, got, want);
}

#define SERIALIZABLE "delta.isolationLevel=Serializable"
#define COPY_ON_WRITE "delta.enableDeletionVectors=false"

static void test_statement__overtaken_is_judged_by_rows(void **state)
{
    static const struct conflict_case cases[] = {
        /* other rows of one file; the same rows */
        {{DELETE, "id = 1", NULL}, {DELETE, "id = 2", NULL}, REBASED, IN_ORDER, NULL},
        {{DELETE, "id = 1", NULL}, {DELETE, "id = 2", NULL}, REBASED, IN_ORDER, SERIALIZABLE},
        {{DELETE, "id = 1", NULL}, {DELETE, "id < 3", NULL}, AGAIN, IN_ORDER, NULL},
        {{DELETE, "id = 1", NULL}, {UPDATE, "id = 2", "50"}, REBASED, IN_ORDER, NULL},
        {{UPDATE, "id = 1", "50"}, {DELETE, "id = 2", NULL}, REBASED, IN_ORDER, NULL},
        {{UPDATE, "id = 1", "50"}, {UPDATE, "id = 2", "60"}, REBASED, IN_ORDER, SERIALIZABLE},
        {{UPDATE, "id = 1", "50"}, {UPDATE, "id = 1", "v + 1"}, AGAIN, IN_ORDER, NULL},
        /* rows that the statement would have treated */
        {{UPDATE, "id = 1", "50"}, {DELETE, "v BETWEEN 15 AND 60", NULL}, AGAIN, IN_ORDER, NULL},
        {{UPDATE, "id = 1", "70"}, {DELETE, "v BETWEEN 15 AND 60", NULL}, REBASED, IN_ORDER, NULL},
        {{INSERT, "VALUES (2, 77)", NULL}, {DELETE, "id = 2", NULL}, REBASED, OURS_FIRST, NULL},
        {{INSERT, "VALUES (2, 77)", NULL}, {DELETE, "id = 2", NULL}, AGAIN, IN_ORDER, SERIALIZABLE},
        {{INSERT, "VALUES (3, 77)", NULL}, {DELETE, "id = 2", NULL}, REBASED, IN_ORDER, SERIALIZABLE},
        {{SELF_INSERT, NULL, NULL}, {DELETE, "id = 2 OR id = 5000", NULL}, REBASED, IN_ORDER, NULL},
        {{SELF_INSERT, NULL, NULL}, {UPDATE, "id % 1000 = 2", "0"}, AGAIN, IN_ORDER, NULL},
        /* what reads more than its rows */
        {{DELETE, "id = 1", NULL}, {SELF_INSERT, NULL, NULL}, AGAIN, IN_ORDER, NULL},
        {{DELETE, "id = 1", NULL}, {DELETE, "id = (SELECT 2)", NULL}, AGAIN, IN_ORDER, NULL},
        {{DELETE, "id = 1", NULL}, {UPDATE, "id = 2", "(SELECT 2)"}, AGAIN, IN_ORDER, NULL},
        {{INSERT, "VALUES (3, 77)", NULL}, {OVERWRITE, "VALUES (1, 1)", NULL}, REBASED, OURS_FIRST, NULL},
        {{DELETE, "id = 1", NULL}, {OVERWRITE, "VALUES (1, 1)", NULL}, AGAIN, IN_ORDER, NULL},
        {{DELETE, "id = 1", NULL}, {REPLACE, "VALUES (2, 9)", "id = 2"}, REBASED, IN_ORDER, NULL},
        {{DELETE, "id = 2", NULL}, {REPLACE, "VALUES (2, 9)", "id = 2"}, AGAIN, IN_ORDER, NULL},
        {{UPDATE, "id = 1", "50"}, {REPLACE, "VALUES (2, 50)", "v = 50 OR id = 2"}, AGAIN, IN_ORDER, NULL},
        /* MERGE */
        {{DELETE, "id = 1", NULL}, {MERGE, "VALUES (2, 5)", "ui"}, REBASED, IN_ORDER, NULL},
        {{DELETE, "id = 1", NULL}, {MERGE, "VALUES (1, 5), (2, 5)", "ui"}, AGAIN, IN_ORDER, NULL},
        {{DELETE, "id = 1", NULL}, {MERGE, "VALUES (1, 0), (2, 5)", "di"}, AGAIN, IN_ORDER, NULL},
        {{DELETE, "id = 12", NULL}, {MERGE, "VALUES (12, 0), (2, 5)", "di"}, AGAIN, IN_ORDER, NULL},
        {{DELETE, "id >= 10", NULL}, {MERGE, "VALUES (12, 0), (2, 5)", "di"}, AGAIN, IN_ORDER, NULL},
        {{DELETE, "id = 13", NULL}, {MERGE, "VALUES (12, 0), (2, 5)", "di"}, REBASED, IN_ORDER, NULL},
        {{UPDATE, "id = 1", "50"}, {MERGE, "VALUES (1, 5)", "u"}, AGAIN, IN_ORDER, NULL},
        {{MERGE, "VALUES (30, 1)", "ui"}, {MERGE, "VALUES (30, 2)", "ui"}, AGAIN, IN_ORDER, NULL},
        {{MERGE, "VALUES (30, 1), (3, 3)", "ui"}, {MERGE, "VALUES (31, 2), (4, 4)", "ui"}, REBASED, IN_ORDER, NULL},
        {{UPDATE, "id = 1", "150"}, {MERGE, "VALUES (2, 5)", "ub"}, AGAIN, IN_ORDER, NULL},
        /* whole files */
        {{DELETE, "id < 10", NULL}, {DELETE, "id = 12", NULL}, REBASED, IN_ORDER, NULL},
        {{DELETE, "id < 10", NULL}, {DELETE, "id = 2 OR id = 12", NULL}, AGAIN, IN_ORDER, NULL},
        {{DELETE, "id = 1", NULL}, {DELETE, "id < 10", NULL}, AGAIN, IN_ORDER, NULL},
        {{DELETE, "id = 1", NULL}, {DELETE, "", NULL}, AGAIN, IN_ORDER, NULL},
        {{DELETE, "id = 1", NULL}, {DELETE, "id = 2", NULL}, AGAIN, IN_ORDER, COPY_ON_WRITE},
        {{DELETE, "id = 1", NULL}, {DELETE, "id = 12", NULL}, REBASED, IN_ORDER, COPY_ON_WRITE},
        {{UPDATE, "id = 1", "50"}, {DELETE, "id = 12 OR v = 50", NULL}, AGAIN, IN_ORDER, COPY_ON_WRITE},
        /* appends and compactions */
        {{INSERT, "VALUES (3, 77)", NULL}, {INSERT, "VALUES (4, 77)", NULL}, REBASED, IN_ORDER, SERIALIZABLE},
        {{DELETE, "id = 1", NULL}, {INSERT, "VALUES (4, 77)", NULL}, REBASED, IN_ORDER, SERIALIZABLE},
        {{OPTIMIZE, NULL, NULL}, {INSERT, "VALUES (4, 77)", NULL}, REBASED, IN_ORDER, SERIALIZABLE},
        {{OPTIMIZE, NULL, NULL}, {DELETE, "id = 1", NULL}, AGAIN, IN_ORDER, NULL},
        {{OPTIMIZE, NULL, NULL}, {MERGE, "VALUES (30, 1)", "ui"}, REBASED, IN_ORDER, SERIALIZABLE},
        {{INSERT, "VALUES (3, 77)", NULL}, {OPTIMIZE, NULL, NULL}, REBASED, IN_ORDER, SERIALIZABLE},
        {{DELETE, "id = 1", NULL}, {OPTIMIZE, NULL, NULL}, AGAIN, IN_ORDER, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        run_case(i, &cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statement__overtaken_is_judged_by_rows),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
