/* Tables without data: create, commit, open, conflict, lost races. The store below can be told to fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "delta/log/transaction.h"

/* A store that passes everything on, and lets a test step in before a put, or lose its answer. */
struct store_fake {
    struct store base;
    struct store *real;
    int (*before_put)(struct store_fake *f, const char *key, void *arg);
    void *arg;
    int lose_answers; /* so many puts succeed, and say ERR_NET */
    uint64_t n_lists, n_gets;
};

static struct store *real_of(struct store *s)
{
    return ((struct store_fake *)s)->real;
}

static int fake_get(struct store *s, const char *key, struct buf *ret, struct err *err)
{
    ((struct store_fake *)s)->n_gets++;
    return store_get(real_of(s), key, ret, err);
}

static int fake_head(struct store *s, const char *key, int64_t *size, int64_t *time_ms, struct err *err)
{
    return store_head(real_of(s), key, size, time_ms, err);
}

static int fake_put(struct store *s, const char *key, struct str bytes, struct err *err)
{
    return store_put(real_of(s), key, bytes, err);
}

static int fake_put_if_absent(struct store *s, const char *key, struct str bytes, struct err *err)
{
    struct store_fake *f = (struct store_fake *)s;

    if (f->before_put && f->before_put(f, key, f->arg))
        return err_set(err, ERR_NET, "the connection broke before the put");
    int rc = store_put_if_absent(f->real, key, bytes, err);
    if (rc == 0 && f->lose_answers > 0) {
        f->lose_answers--;
        return err_set(err, ERR_NET, "the answer was lost");
    }
    return rc;
}

static int fake_list(struct store *s, const char *dir, const char *after, bool recursive, struct store_list *ret,
                     struct err *err)
{
    ((struct store_fake *)s)->n_lists++;
    return store_list(real_of(s), dir, after, recursive, ret, err);
}

static int fake_remove(struct store *s, const char *key, struct err *err)
{
    return store_remove(real_of(s), key, err);
}

static int fake_adopt(struct store *s, const char *path, const char *key, struct err *err)
{
    return store_adopt(real_of(s), path, key, err);
}

static void fake_temp_path(struct store *s, const char *suffix, struct buf *ret)
{
    store_temp_path(real_of(s), suffix, ret);
}

static void fake_engine_path(struct store *s, const char *key, struct buf *ret)
{
    store_local_path(real_of(s), key, ret);
}

static void fake_free(struct store *s)
{
    store_unref(real_of(s));
    mem_free(s);
}

static struct store_fake *fake_new(struct store *real)
{
    static const struct store_ops ops = {fake_get,         fake_head,   fake_put,   fake_put_if_absent,
                                         fake_list,        fake_remove, fake_adopt, fake_temp_path,
                                         fake_engine_path, fake_free,   NULL};
    struct store_fake *f = MEM_NEW(struct store_fake);

    f->base = (struct store){.ops = &ops, .refs = 1, .name = mem_strdup("fake")};
    f->real = store_ref(real);
    return f;
}

static char root[512];

static struct store *fresh_store(void)
{
    static int serial;
    const char *tmp = getenv("SLUICE_TEST_TMP");

    snprintf(root, sizeof root, "%s/delta-test-%d-%d", tmp ? tmp : "/tmp", (int)getpid(), ++serial);
    assert_int_equal(file_remove_tree(root, NULL), 0);
    return store_local_new(root);
}

static void drop_store(struct store *s)
{
    store_unref(s);
    assert_int_equal(file_remove_tree(root, NULL), 0);
}

static struct schema *a_schema(void)
{
    struct schema *s = NULL;

    assert_int_equal(
        delta_schema_parse(
            STR("{\"type\":\"struct\",\"fields\":[{\"name\":\"id\",\"type\":\"long\",\"nullable\":true,"
                "\"metadata\":{}},{\"name\":\"p\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}}]}"),
            &s, NULL),
        0);
    return s;
}

static struct delta_table *create(struct store *store, const struct delta_kv *conf, uint32_t n)
{
    CLEANUP(schema_unrefp) struct schema *schema = a_schema();
    struct delta_create c = {.schema = schema, .configuration = conf, .n_configuration = n};
    struct delta_table *t = NULL;
    struct err err = {0};

    if (delta_table_create(store, NULL, &c, &t, &err))
        fail_msg("%s", err.msg);
    return t;
}

static struct delta_file a_file(const char *path)
{
    return (struct delta_file){.path = str_of(path),
                               .size = 100,
                               .time_ms = 1,
                               .num_records = 10,
                               .stats = STR("{\"numRecords\":10}"),
                               .base_row_id = -1,
                               .row_commit_version = -1,
                               .data_change = true};
}

static int append(struct delta_table *t, const char *path, struct err *err)
{
    CLEANUP(delta_tx_freep) struct delta_tx *tx = delta_tx_new(t, "WRITE");
    struct delta_file f = a_file(path);
    int64_t version;

    tx->blind_append = true;
    delta_tx_add_file(tx, &f);
    return delta_commit(tx, &version, err);
}

static size_t live(struct delta_table *t)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = delta_table_snapshot(t);
    size_t n = 0, at = 0;

    while (delta_snapshot_next(s, &at))
        n++;
    assert_int_equal(n, s->n_files);
    return n;
}

/* What is in memory must be what a fresh open reads. */
static void check_reopen(struct delta_table *t)
{
    CLEANUP(delta_table_freep) struct delta_table *again = NULL;
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *mine = delta_table_snapshot(t);
    struct err err = {0};

    if (delta_table_open(t->store, NULL, &again, &err))
        fail_msg("%s", err.msg);
    const struct delta_snapshot *s = again->snapshot;
    assert_int_equal(s->version, mine->version);
    assert_int_equal(s->n_files, mine->n_files);
    assert_int_equal(s->bytes, mine->bytes);
    assert_int_equal(s->records, mine->records);
    assert_int_equal(s->n_dvs, mine->n_dvs);
    assert_int_equal(s->ict_ms, mine->ict_ms);
    assert_int_equal(s->ids->n_txns, mine->ids->n_txns);
    assert_int_equal(s->head->protocol->writer, mine->head->protocol->writer);
    const struct delta_file *f;
    for (size_t at = 0; (f = delta_snapshot_next(s, &at));) {
        const struct delta_file *m = delta_snapshot_find(mine, f->path);
        assert_non_null(m);
        assert_true(delta_dv_eq(m->dv, f->dv));
        assert_int_equal(m->base_row_id, f->base_row_id);
    }
}

static void test_table__create_commit_reopen(void **state)
{
    CLEANUP(store_unrefp) struct store *store = fresh_store();
    CLEANUP(delta_table_freep) struct delta_table *t = create(store, NULL, 0);
    struct err err = {0};
    int64_t version = 0;

    (void)state;
    assert_int_equal(append(t, "a b%.parquet", &err), 0);
    assert_int_equal(append(t, "p=1/b.parquet", &err), 0);
    assert_int_equal(live(t), 2);
    check_reopen(t);
    CLEANUP(delta_tx_freep) struct delta_tx *tx = delta_tx_new(t, "DELETE");
    delta_tx_remove_file(tx, delta_snapshot_find(tx->read, STR("a b%.parquet")), true);
    delta_tx_set_txn(tx, STR("app"), 77);
    assert_int_equal(delta_commit(tx, &version, &err), 0);
    assert_int_equal(version, 3);
    assert_int_equal(live(t), 1);
    assert_true(delta_snapshot_txn(t->snapshot, STR("app"), &version));
    assert_int_equal(version, 77);
    assert_non_null(delta_snapshot_find(tx->read, STR("a b%.parquet"))); /* the old snapshot still has it */
    check_reopen(t);
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *old = NULL;
    assert_int_equal(delta_snapshot_open(store, NULL, 1, &old, &err), 0);
    assert_int_equal(old->n_files, 1);
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *none = NULL;
    assert_int_equal(delta_snapshot_open(store, NULL, 9, &none, &err), ERR_NOT_FOUND);
    drop_store(TAKE_PTR(store));
}

static void test_table__exists_only_once(void **state)
{
    CLEANUP(store_unrefp) struct store *store = fresh_store();
    CLEANUP(delta_table_freep) struct delta_table *none = NULL;
    struct err err = {0};

    (void)state;
    assert_int_equal(delta_table_open(store, NULL, &none, &err), ERR_NOT_FOUND);
    CLEANUP(delta_table_freep) struct delta_table *t = create(store, NULL, 0);
    CLEANUP(schema_unrefp) struct schema *schema = a_schema();
    struct delta_create c = {.schema = schema};
    assert_int_equal(delta_table_create(store, NULL, &c, &none, &err), ERR_EXISTS);
    drop_store(TAKE_PTR(store));
}

static void test_commit__lost_race_is_rebased(void **state)
{
    CLEANUP(store_unrefp) struct store *store = fresh_store();
    CLEANUP(delta_table_freep) struct delta_table *a = create(store, NULL, 0);
    CLEANUP(delta_table_freep) struct delta_table *b = NULL;
    struct err err = {0};

    (void)state;
    assert_int_equal(delta_table_open(store, NULL, &b, &err), 0);
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "b%d.parquet", i);
        assert_int_equal(append(b, name, &err), 0);
    }
    assert_int_equal(append(a, "a.parquet", &err), 0);
    assert_int_equal(a->snapshot->version, 4);
    assert_int_equal(live(a), 4);
    assert_int_equal(a->n_conflicts, 3);
    check_reopen(a);
    assert_int_equal(delta_table_refresh(b, &err), 0);
    assert_int_equal(live(b), 4);
    drop_store(TAKE_PTR(store));
}

static void test_commit__lost_answer_is_recognised(void **state)
{
    CLEANUP(store_unrefp) struct store *store = fresh_store();
    CLEANUP(delta_table_freep) struct delta_table *t = NULL;
    struct err err = {0};

    (void)state;
    struct store_fake *fake = fake_new(store);
    CLEANUP(store_unrefp) struct store *fake_store = &fake->base;
    t = create(fake_store, NULL, 0);
    fake->lose_answers = 1;
    assert_int_equal(append(t, "a.parquet", &err), 0);
    assert_int_equal(t->snapshot->version, 1);
    assert_int_equal(live(t), 1);
    assert_int_equal(append(t, "b.parquet", &err), 0);
    check_reopen(t);
    drop_store(TAKE_PTR(store));
}

static int fail_put(struct store_fake *f, const char *key, void *arg)
{
    (void)f, (void)key;
    return (*(int *)arg)-- > 0;
}

static void test_commit__broken_put_fails_and_leaves_nothing(void **state)
{
    CLEANUP(store_unrefp) struct store *store = fresh_store();
    CLEANUP(delta_table_freep) struct delta_table *t = NULL;
    struct err err = {0};
    int failures = 1;

    (void)state;
    struct store_fake *fake = fake_new(store);
    CLEANUP(store_unrefp) struct store *fake_store = &fake->base;
    t = create(fake_store, NULL, 0);
    fake->before_put = fail_put;
    fake->arg = &failures;
    assert_int_equal(append(t, "a.parquet", &err), ERR_NET);
    assert_int_equal(live(t), 0);
    assert_int_equal(append(t, "a.parquet", &err), 0);
    check_reopen(t);
    drop_store(TAKE_PTR(store));
}

/* The other writer commits just before each of our puts. */
static int race(struct store_fake *f, const char *key, void *arg)
{
    struct delta_table *other = arg;
    char name[64];

    (void)f, (void)key;
    snprintf(name, sizeof name, "other-%d.parquet", (int)other->snapshot->version);
    if (other->snapshot->version < 6)
        assert_int_equal(append(other, name, NULL), 0);
    return 0;
}

static void test_commit__loses_many_races_and_wins(void **state)
{
    CLEANUP(store_unrefp) struct store *store = fresh_store();
    CLEANUP(delta_table_freep) struct delta_table *t = NULL;
    CLEANUP(delta_table_freep) struct delta_table *other = NULL;
    struct err err = {0};
    struct delta_kv conf[] = {{STR("delta.enableInCommitTimestamps"), STR("true")},
                              {STR("delta.enableRowTracking"), STR("true")}};

    (void)state;
    struct store_fake *fake = fake_new(store);
    CLEANUP(store_unrefp) struct store *fake_store = &fake->base;
    t = create(fake_store, conf, 2);
    assert_int_equal(delta_table_open(store, NULL, &other, &err), 0);
    fake->before_put = race;
    fake->arg = other;
    assert_int_equal(append(t, "mine.parquet", &err), 0);
    assert_int_equal(t->snapshot->version, 7);
    assert_int_equal(delta_snapshot_find(t->snapshot, STR("mine.parquet"))->base_row_id, 60);
    assert_int_equal(delta_snapshot_find(t->snapshot, STR("mine.parquet"))->row_commit_version, 7);
    check_reopen(t);
    CLEANUP(delta_history_deinit) struct delta_history h = {0};
    assert_int_equal(delta_history_read(store, 0, &h, &err), 0);
    assert_int_equal(h.n, 8);
    for (size_t i = 1; i < h.n; i++)
        assert_true(h.v[i].timestamp_ms > h.v[i - 1].timestamp_ms);
    int64_t version;
    assert_int_equal(delta_version_at(store, h.v[5].timestamp_ms, false, &version, &err), 0);
    assert_int_equal(version, 5);
    assert_int_equal(delta_version_at(store, 5, false, &version, &err), ERR_NOT_FOUND);
    drop_store(TAKE_PTR(store));
}

enum op { APPEND, BLIND_APPEND, REMOVE_A, REMOVE_B, REWRITE_A, READ_ALL, METADATA, HARMLESS, PROTOCOL, TXN, DOMAIN_X };

static void do_op(struct delta_tx *tx, enum op op)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    const struct delta_head *head = tx->read->head;
    struct delta_metadata m = *head->metadata;
    struct delta_file f = a_file(op == REWRITE_A ? "rewritten.parquet" : "new.parquet");
    struct delta_kv kv;
    const struct delta_protocol *p;

    switch (op) {
    case BLIND_APPEND:
        tx->blind_append = true;
        delta_tx_add_file(tx, &f);
        break;
    case READ_ALL:
        tx->read_whole_table = true;
        f.path = STR("all.parquet");
        delta_tx_add_file(tx, &f);
        break;
    case APPEND:
        delta_tx_add_file(tx, &f);
        break;
    case REMOVE_A:
    case REMOVE_B:
        delta_tx_remove_file(tx, delta_snapshot_find(tx->read, op == REMOVE_A ? STR("a") : STR("b")), true);
        break;
    case REWRITE_A: /* as OPTIMIZE does */
        delta_tx_remove_file(tx, delta_snapshot_find(tx->read, STR("a")), false);
        f.data_change = false;
        delta_tx_add_file(tx, &f);
        break;
    case METADATA:
        kv = (struct delta_kv){STR("delta.enableChangeDataFeed"), STR("false")};
        m.configuration = &kv, m.n_configuration = 1;
        delta_tx_set_metadata(tx, &m);
        break;
    case HARMLESS:
        kv = (struct delta_kv){STR("delta.logRetentionDuration"), STR("interval 1 days")};
        m.configuration = &kv, m.n_configuration = 1;
        delta_tx_set_metadata(tx, &m);
        break;
    case PROTOCOL:
        assert_int_equal(delta_protocol_with(head->protocol, "deletionVectors", &arena, &p, NULL), 0);
        delta_tx_set_protocol(tx, p);
        break;
    case TXN:
        delta_tx_set_txn(tx, STR("app"), 1);
        break;
    case DOMAIN_X:
        delta_tx_set_domain(tx, STR("x"), STR("{}"), false);
        break;
    }
}

static const struct {
    enum op theirs, ours;
    enum delta_isolation isolation;
    bool clash;
} matrix[] = {
    {APPEND, APPEND, DELTA_WRITE_SERIALIZABLE, false},
    {APPEND, READ_ALL, DELTA_WRITE_SERIALIZABLE, true},
    {BLIND_APPEND, READ_ALL, DELTA_WRITE_SERIALIZABLE, false},
    {BLIND_APPEND, READ_ALL, DELTA_SERIALIZABLE, true},
    {REMOVE_A, READ_ALL, DELTA_WRITE_SERIALIZABLE, true},
    {REMOVE_A, REMOVE_B, DELTA_SERIALIZABLE, false},
    {REMOVE_A, REMOVE_A, DELTA_WRITE_SERIALIZABLE, true},
    {REMOVE_A, REWRITE_A, DELTA_WRITE_SERIALIZABLE, true},
    {REWRITE_A, REMOVE_A, DELTA_WRITE_SERIALIZABLE, true},
    {REWRITE_A, APPEND, DELTA_SERIALIZABLE, false},
    {APPEND, REWRITE_A, DELTA_SERIALIZABLE, false},
    {METADATA, APPEND, DELTA_WRITE_SERIALIZABLE, true},
    {HARMLESS, APPEND, DELTA_WRITE_SERIALIZABLE, false},
    {HARMLESS, METADATA, DELTA_WRITE_SERIALIZABLE, true},
    {APPEND, METADATA, DELTA_WRITE_SERIALIZABLE, false},
    {PROTOCOL, APPEND, DELTA_WRITE_SERIALIZABLE, true},
    {TXN, TXN, DELTA_WRITE_SERIALIZABLE, true},
    {TXN, DOMAIN_X, DELTA_WRITE_SERIALIZABLE, false},
    {DOMAIN_X, DOMAIN_X, DELTA_WRITE_SERIALIZABLE, true},
    {DOMAIN_X, APPEND, DELTA_SERIALIZABLE, false},
    {TXN, APPEND, DELTA_SERIALIZABLE, false},
    {APPEND, TXN, DELTA_SERIALIZABLE, false},
    {REMOVE_A, APPEND, DELTA_SERIALIZABLE, false},
    {BLIND_APPEND, REMOVE_A, DELTA_SERIALIZABLE, false},
    {APPEND, REMOVE_A, DELTA_SERIALIZABLE, false},
    {READ_ALL, READ_ALL, DELTA_WRITE_SERIALIZABLE, true},
    {READ_ALL, BLIND_APPEND, DELTA_SERIALIZABLE, false},
    {REWRITE_A, READ_ALL, DELTA_WRITE_SERIALIZABLE, true}, /* which files there are may matter: RESTORE */
    {REWRITE_A, REWRITE_A, DELTA_WRITE_SERIALIZABLE, true},
    {REMOVE_B, REWRITE_A, DELTA_SERIALIZABLE, false},
    {HARMLESS, READ_ALL, DELTA_SERIALIZABLE, false},
    {HARMLESS, REWRITE_A, DELTA_SERIALIZABLE, false},
    {HARMLESS, HARMLESS, DELTA_WRITE_SERIALIZABLE, true},
    {METADATA, METADATA, DELTA_WRITE_SERIALIZABLE, true},
    {METADATA, REWRITE_A, DELTA_WRITE_SERIALIZABLE, true},
    {METADATA, TXN, DELTA_WRITE_SERIALIZABLE, true},
    {PROTOCOL, PROTOCOL, DELTA_WRITE_SERIALIZABLE, true},
    {PROTOCOL, REWRITE_A, DELTA_WRITE_SERIALIZABLE, true},
};

static void test_conflict__matrix(void **state)
{
    struct delta_kv conf = {STR("delta.feature.domainMetadata"), STR("supported")};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(matrix); i++) {
        CLEANUP(store_unrefp) struct store *store = fresh_store();
        CLEANUP(delta_table_freep) struct delta_table *t = create(store, &conf, 1);
        CLEANUP(delta_table_freep) struct delta_table *other = NULL;
        struct err err = {0};
        int64_t version;
        assert_int_equal(append(t, "a", &err), 0);
        assert_int_equal(append(t, "b", &err), 0);
        assert_int_equal(delta_table_open(store, NULL, &other, &err), 0);
        CLEANUP(delta_tx_freep) struct delta_tx *ours = delta_tx_new(t, "OURS");
        CLEANUP(delta_tx_freep) struct delta_tx *theirs = delta_tx_new(other, "THEIRS");
        do_op(ours, matrix[i].ours);
        ours->isolation = matrix[i].isolation;
        do_op(theirs, matrix[i].theirs);
        if (delta_commit(theirs, &version, &err))
            fail_msg("case %zu: %s", i, err.msg);
        int rc = delta_commit(ours, &version, &err);
        if (rc != (matrix[i].clash ? ERR_CONFLICT : 0))
            fail_msg("case %zu: %d %s", i, rc, err.msg);
        check_reopen(t);
        drop_store(TAKE_PTR(store));
    }
}

static int take_theirs(struct delta_tx *tx, const struct delta_file *ours, const struct delta_file *theirs, void *arg,
                       struct err *err)
{
    (void)err;
    assert_string_equal(ours->path.p, "a");
    assert_int_equal(theirs->dv->cardinality, 3);
    tx->actions.n = 0; /* a real one unites the vectors */
    *(int *)arg += 1;
    return 0;
}

static void test_conflict__vectors_of_one_file_can_be_rebased(void **state)
{
    CLEANUP(store_unrefp) struct store *store = fresh_store();
    struct delta_kv conf = {STR("delta.enableDeletionVectors"), STR("true")};
    CLEANUP(delta_table_freep) struct delta_table *t = create(store, &conf, 1);
    CLEANUP(delta_table_freep) struct delta_table *other = NULL;
    struct delta_dv_desc dv = {'u', 1, 40, 3, STR("ab^-aqEH.-t@S}K{vb[*k^")};
    struct err err = {0};
    int64_t version;
    int calls = 0;

    (void)state;
    assert_int_equal(append(t, "a", &err), 0);
    assert_int_equal(delta_table_open(store, NULL, &other, &err), 0);
    CLEANUP(delta_tx_freep) struct delta_tx *ours = delta_tx_new(t, "DELETE");
    CLEANUP(delta_tx_freep) struct delta_tx *theirs = delta_tx_new(other, "DELETE");
    delta_tx_set_dv(theirs, delta_snapshot_find(theirs->read, STR("a")), &dv);
    assert_int_equal(delta_commit(theirs, &version, &err), 0);
    assert_int_equal(other->snapshot->records, 7);
    assert_int_equal(other->snapshot->n_dvs, 1);
    check_reopen(other);
    dv.offset = 100;
    delta_tx_set_dv(ours, delta_snapshot_find(ours->read, STR("a")), &dv);
    ours->rebase_file = take_theirs;
    ours->rebase_arg = &calls;
    assert_int_equal(delta_commit(ours, &version, &err), 0);
    assert_int_equal(calls, 1);
    drop_store(TAKE_PTR(store));
}

static void test_commit__costs_the_same_at_any_size(void **state)
{
    CLEANUP(store_unrefp) struct store *store = fresh_store();
    CLEANUP(delta_table_freep) struct delta_table *t = NULL;
    struct err err = {0};

    (void)state;
    struct store_fake *fake = fake_new(store);
    CLEANUP(store_unrefp) struct store *fake_store = &fake->base;
    t = create(fake_store, NULL, 0);
    fake->n_lists = fake->n_gets = 0;
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(append(t, name, &err), 0);
    }
    assert_int_equal(fake->n_lists, 0);
    assert_int_equal(fake->n_gets, 0);
    assert_int_equal(delta_table_refresh(t, &err), 0);
    assert_int_equal(fake->n_lists, 0);
    assert_int_equal(fake->n_gets, 1);
    drop_store(TAKE_PTR(store));
}

/* One file is masked again and again: the set of entries must not grow with the versions, nor lose what a reader keeps. */
static void test_files__old_versions_stay_and_memory_does_not_grow(void **state)
{
    struct delta_files *s = delta_files_new();
    struct delta_files *first = delta_files_ref(s);
    char name[32];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "f%d", i);
        struct delta_file f = a_file(name);
        delta_files_add(s, &f, 0, NULL);
    }
    uint32_t n0 = s->n;
    for (int64_t v = 1; v <= 50000; v++) {
        snprintf(name, sizeof name, "f%d", (int)(v % 100));
        struct delta_file f = a_file(name);
        struct delta_dv_desc dv = {'u', (int32_t)v, 1, 1, STR("x")}, old = {'u', (int32_t)(v - 100), 1, 1, STR("x")};
        f.dv = &dv;
        if (delta_files_is_sparse(s)) {
            struct delta_files *dense = delta_files_compact(s);
            delta_files_unref(s);
            s = dense;
        }
        assert_non_null(delta_files_remove(s, f.path, v > 100 ? &old : NULL, v));
        delta_files_add(s, &f, v, NULL);
    }
    assert_true(s->n < 3000);
    assert_int_equal(s->n_live, 100);
    size_t at = 0, n = 0;
    while (delta_files_next(first, n0, 0, &at))
        n++;
    assert_int_equal(n, 100);
    assert_null(delta_files_find(first, n0, 0, STR("f0"))->dv);
    assert_int_equal(delta_files_find(s, s->n, 50000, STR("f0"))->dv->offset, 50000);
    delta_files_unref(first);
    delta_files_unref(s);
}

static void test_protocol__is_raised_with_what_it_implied(void **state)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct delta_protocol old = {.reader = 2, .writer = 5};
    const struct delta_protocol *p = NULL;
    struct err err = {0};

    (void)state;
    assert_int_equal(delta_protocol_with(&old, "domainMetadata", &arena, &p, &err), 0);
    assert_int_equal(p->reader, 2);
    assert_int_equal(p->writer, 7);
    assert_int_equal(p->n_writer_features, 7); /* 5 implies six */
    assert_int_equal(delta_protocol_with(p, "deletionVectors", &arena, &p, &err), 0);
    assert_int_equal(p->reader, 3);
    assert_int_equal(p->n_reader_features, 2); /* and columnMapping */
    struct str unknown = STR("fancyNew");
    struct delta_protocol strange = {.reader = 3, .writer = 7, .reader_features = &unknown, .n_reader_features = 1};
    assert_int_equal(delta_protocol_check_read(&strange, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "fancyNew"));
    assert_int_equal(delta_interval_ms(STR("interval 1 week 2 hours")), 612000000);
    assert_int_equal(delta_interval_ms(STR("7 days")), 604800000);
    assert_int_equal(delta_interval_ms(STR("interval x days")), -1);
    assert_int_equal(delta_interval_ms(STR("")), -1);
}

static void test_log__gaps_and_broken_commits_are_named(void **state)
{
    CLEANUP(store_unrefp) struct store *store = fresh_store();
    CLEANUP(delta_table_freep) struct delta_table *t = create(store, NULL, 0);
    CLEANUP(delta_table_freep) struct delta_table *again = NULL;
    struct err err = {0};
    char key[DELTA_KEY];

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(append(t, i == 0 ? "a" : i == 1 ? "b" : "c", &err), 0);
    assert_int_equal(store_remove(store, delta_commit_key(2, key), &err), 0);
    assert_int_equal(delta_table_open(store, NULL, &again, &err), ERR_INPUT);
    assert_non_null(strstr(err.msg, "version 2 is missing"));
    assert_int_equal(store_put(store, delta_commit_key(2, key), STR("{\"add\":{\"path\":"), &err), 0);
    assert_int_equal(delta_table_open(store, NULL, &again, &err), ERR_INPUT);
    assert_non_null(strstr(err.msg, "version 2: line 1: broken JSON"));
    drop_store(TAKE_PTR(store));
}

static void test_commit__keeps_the_rules_of_the_table(void **state)
{
    CLEANUP(store_unrefp) struct store *store = fresh_store();
    struct delta_kv conf[] = {{STR("delta.appendOnly"), STR("true")}, {STR("delta.constraints.c"), STR("id > 0")}};
    CLEANUP(delta_table_freep) struct delta_table *t = create(store, conf, 2);
    struct delta_file f = a_file("a");
    struct err err = {0};
    int64_t version;

    (void)state;
    assert_int_equal(append(t, "a", &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "constraints"));
    CLEANUP(delta_tx_freep) struct delta_tx *tx = delta_tx_new(t, "WRITE");
    tx->handles = DELTA_HANDLES_CONSTRAINTS;
    delta_tx_add_file(tx, &f);
    assert_int_equal(delta_commit(tx, &version, &err), 0);
    CLEANUP(delta_tx_freep) struct delta_tx *del = delta_tx_new(t, "DELETE");
    delta_tx_remove_file(del, delta_snapshot_find(del->read, STR("a")), true);
    assert_int_equal(delta_commit(del, &version, &err), ERR_REFUSED);
    drop_store(TAKE_PTR(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table__create_commit_reopen),
        cmocka_unit_test(test_table__exists_only_once),
        cmocka_unit_test(test_commit__lost_race_is_rebased),
        cmocka_unit_test(test_commit__lost_answer_is_recognised),
        cmocka_unit_test(test_commit__broken_put_fails_and_leaves_nothing),
        cmocka_unit_test(test_commit__loses_many_races_and_wins),
        cmocka_unit_test(test_conflict__matrix),
        cmocka_unit_test(test_conflict__vectors_of_one_file_can_be_rebased),
        cmocka_unit_test(test_commit__costs_the_same_at_any_size),
        cmocka_unit_test(test_files__old_versions_stay_and_memory_does_not_grow),
        cmocka_unit_test(test_protocol__is_raised_with_what_it_implied),
        cmocka_unit_test(test_log__gaps_and_broken_commits_are_named),
        cmocka_unit_test(test_commit__keeps_the_rules_of_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
