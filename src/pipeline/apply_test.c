/* Frames in a real spool, transactions out: whole, in commit order, streamed ones in pieces. */
#include "pipeline/apply.h"

#include "spool/test_tools.h"

/* What the sink was given: "oid:id@lsn " a row. */
struct record {
    struct buf got;
    uint64_t from; /* of all relations */
};

static uint64_t record_from(void *self, uint32_t relation)
{
    (void)relation;
    return ((struct record *)self)->from;
}

static int record_relation(void *self, const struct relation *rel, const struct schema *schema, uint64_t lsn,
                           uint64_t *ret_from, struct err *e)
{
    struct record *r = self;

    (void)schema, (void)lsn, (void)e;
    buf_printf(&r->got, "R%u/%u ", rel->oid, rel->n_columns);
    *ret_from = r->from;
    return 0;
}

static int record_write(void *self, uint32_t relation, struct batch *batch, struct err *e)
{
    struct record *r = self;

    (void)e;
    for (uint32_t i = 0; i < batch->n; i++)
        buf_printf(&r->got, "%u:%d@%llu ", relation, ((const int32_t *)batch->cols[0].data)[i],
                   (unsigned long long)batch->pos[i].lsn);
    batch_free(batch);
    return 0;
}

static int record_truncate(void *self, uint32_t relation, struct position pos, int64_t us, struct err *e)
{
    (void)us, (void)e;
    buf_printf(&((struct record *)self)->got, "T%u@%llu ", relation, (unsigned long long)pos.lsn);
    return 0;
}

static int record_reject(void *self, uint32_t relation, const struct reject *r, struct err *e)
{
    (void)self, (void)relation, (void)r, (void)e;
    return 0;
}

static void record_set_aside(void *self, uint32_t relation, const struct err *why)
{
    (void)self, (void)relation, (void)why;
}

static const struct sink_ops ops = {record_from,     record_relation, record_write,
                                    record_truncate, record_reject,   record_set_aside};

static int no_relation(void *ctx, uint32_t oid, struct relation **ret, struct err *e)
{
    (void)ctx, (void)oid, (void)e;
    *ret = NULL;
    return 0;
}

/* ---- messages ---- */

static void relation(struct buf *b, uint32_t xid, uint32_t oid, unsigned columns)
{
    buf_add_char(b, 'R');
    if (xid)
        buf_add_be32(b, xid);
    buf_add_be32(b, oid);
    buf_add(b, "s\0t\0d", 5);
    buf_add_be16(b, (uint16_t)columns);
    for (unsigned i = 0; i < columns; i++) {
        buf_add_char(b, i == 0);
        buf_printf(b, "c%u", i);
        buf_add_char(b, 0);
        buf_add_be32(b, 23);
        buf_add_be32(b, UINT32_MAX);
    }
}

static void insert(struct buf *b, uint32_t xid, uint32_t oid, int id, unsigned columns)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%d", id);

    buf_add_char(b, 'I');
    if (xid)
        buf_add_be32(b, xid);
    buf_add_be32(b, oid);
    buf_add_char(b, 'N');
    buf_add_be16(b, (uint16_t)columns);
    for (unsigned i = 0; i < columns; i++) {
        buf_add_char(b, 't');
        buf_add_be32(b, (uint32_t)n);
        buf_add(b, text, (size_t)n);
    }
}

static void begin(struct buf *b, uint64_t lsn)
{
    buf_add_char(b, 'B');
    buf_add_be64(b, lsn);
    buf_add_be64(b, 0);
    buf_add_be32(b, 1);
}

static void truncate_of(struct buf *b, uint32_t oid)
{
    buf_add_char(b, 'T');
    buf_add_be32(b, 1);
    buf_add_char(b, 0);
    buf_add_be32(b, oid);
}

/* ---- the bench ---- */

struct bench {
    char *dir;
    struct spool *spool;
    struct pg_epoch *epoch;
    struct record record;
    struct apply apply;
};

static void bench_open(struct bench *b, const char *name, uint64_t segment)
{
    *b = (struct bench){.dir = test_dir(name)};
    b->spool = open_with(b->dir, segment, 0);
    struct pg_epoch_options o = {.sink = {&ops, &b->record}, .live = no_relation, .known = no_relation};
    b->epoch = pg_epoch_new(&o);
    OK(apply_open(&b->apply, b->spool, b->epoch, &err));
}

static void bench_close(struct bench *b)
{
    apply_deinit(&b->apply);
    pg_epoch_free(b->epoch);
    spool_free(b->spool);
    buf_deinit(&b->record.got);
    OK(file_remove_tree(b->dir, &err));
    mem_free(b->dir);
}

/* Applies all that can be read; what came since the last call. */
static void applied(struct bench *b, const char *want)
{
    int rc;

    OK(spool_flush(b->spool, &err));
    while ((rc = apply_next(&b->apply, &err)) == 0)
        OK(pg_epoch_flush(b->epoch, &err));
    if (rc < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(b->record.got.p ? b->record.got.p : "", want);
    buf_reset(&b->record.got);
    buf_add_cstr(&b->record.got, "");
}

#define SEND(lsn, ...) APPEND(bench.spool, lsn, __VA_ARGS__)

static void test_apply__whole_transactions_only(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, "whole", 0);
    SEND(90, begin(b, 100));
    SEND(90, relation(b, 0, 7, 2));
    SEND(90, insert(b, 0, 7, 1, 2));
    applied(&bench, "");
    SEND(90, insert(b, 0, 7, 2, 2));
    SEND(90, truncate_of(b, 7));
    SEND(90, insert(b, 0, 7, 3, 2));
    SEND(100, put_end(b, 'C', 0, 100));
    applied(&bench, "R7/2 7:1@100 7:2@100 T7@100 7:3@100 ");
    assert_int_equal(bench.apply.commit_lsn, 100);
    assert_int_equal(bench.apply.end_lsn, 108);
    bench_close(&bench);
}

static void test_apply__streamed_transactions_come_when_they_commit(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, "streamed", 0);
    SEND(10, put_start(b, 5, true));
    SEND(10, relation(b, 5, 7, 1));
    SEND(10, insert(b, 5, 7, 1, 1));
    SEND(10, insert(b, 50, 7, 2, 1)); /* of a sub-transaction */
    SEND(10, buf_add_char(b, 'E'));
    SEND(20, put_start(b, 6, true));
    SEND(20, relation(b, 6, 7, 1));
    SEND(20, insert(b, 6, 7, 3, 1));
    SEND(20, buf_add_char(b, 'E'));
    SEND(30, begin(b, 40));
    SEND(30, relation(b, 0, 7, 1));
    SEND(30, insert(b, 0, 7, 4, 1));
    SEND(40, put_end(b, 'C', 0, 40));
    applied(&bench, "R7/1 7:4@40 ");
    struct spool_pos oldest = apply_oldest_needed(&bench.apply);
    SEND(50, put_start(b, 5, false));
    SEND(50, insert(b, 51, 7, 5, 1));
    SEND(50, insert(b, 5, 7, 6, 1));
    SEND(50, buf_add_char(b, 'E'));
    SEND(60, put_abort(b, 5, 50)); /* takes row 2 back */
    SEND(70, put_end(b, 'c', 6, 70));
    applied(&bench, "7:3@70 ");
    assert_int_equal(spool_pos_cmp(apply_oldest_needed(&bench.apply), oldest), 0);
    SEND(80, put_end(b, 'c', 5, 80));
    applied(&bench, "7:1@80 7:5@80 7:6@80 ");
    assert_true(spool_pos_cmp(apply_oldest_needed(&bench.apply), oldest) > 0);
    SEND(90, put_start(b, 8, true));
    SEND(90, insert(b, 8, 7, 9, 1));
    SEND(90, buf_add_char(b, 'E'));
    SEND(91, put_abort(b, 8, 8)); /* the whole */
    SEND(92, begin(b, 93));
    SEND(93, put_end(b, 'C', 0, 93));
    applied(&bench, "");
    bench_close(&bench);
}

/* A publication's column list may change, and without a lock, while a transaction is streamed that has rows of the old one. */
static void test_apply__relations_are_in_force_in_the_order_of_their_arrival(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, "arrival", 0);
    SEND(10, put_start(b, 5, true));
    SEND(10, relation(b, 5, 7, 2));
    SEND(10, insert(b, 5, 7, 1, 2));
    SEND(10, buf_add_char(b, 'E'));
    SEND(11, put_start(b, 6, true));
    SEND(11, relation(b, 6, 7, 2));
    SEND(11, insert(b, 6, 7, 2, 2));
    SEND(11, buf_add_char(b, 'E'));
    SEND(20, begin(b, 21));
    SEND(20, relation(b, 0, 7, 3));
    SEND(20, insert(b, 0, 7, 3, 3));
    SEND(21, put_end(b, 'C', 0, 21));
    SEND(30, put_start(b, 6, false));
    SEND(30, relation(b, 6, 7, 1)); /* this one goes on, and is told, too */
    SEND(30, insert(b, 6, 7, 4, 1));
    SEND(30, buf_add_char(b, 'E'));
    SEND(40, put_end(b, 'c', 5, 40));
    SEND(50, begin(b, 51));
    SEND(50, insert(b, 0, 7, 5, 3));
    SEND(51, put_end(b, 'C', 0, 51));
    SEND(60, put_end(b, 'c', 6, 60));
    SEND(70, begin(b, 71));
    SEND(70, insert(b, 0, 7, 6, 1));
    SEND(71, put_end(b, 'C', 0, 71));
    applied(&bench, "R7/3 7:3@21 R7/2 7:1@40 R7/3 7:5@51 R7/2 7:2@60 R7/1 7:4@60 7:6@71 ");
    bench.record.from = 40;
    pg_epoch_forget_sink(bench.epoch);
    OK(apply_rewind(&bench.apply, &err));
    applied(&bench, "R7/3 7:5@51 R7/2 7:2@60 R7/1 7:4@60 7:6@71 ");
    bench_close(&bench);
}

static void test_apply__a_restart_voids_what_is_in_progress(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, "restart", 0);
    SEND(10, put_start(b, 5, true));
    SEND(10, relation(b, 5, 7, 1));
    SEND(10, insert(b, 5, 7, 1, 1));
    SEND(10, buf_add_char(b, 'E'));
    SEND(20, begin(b, 21));
    SEND(21, put_end(b, 'C', 0, 21));
    applied(&bench, "");
    OK(spool_restart_marker(bench.spool, &err));
    SEND(10, put_start(b, 5, true)); /* sent again, whole */
    SEND(10, relation(b, 5, 7, 1));
    SEND(10, insert(b, 5, 7, 1, 1));
    SEND(10, insert(b, 5, 7, 2, 1));
    SEND(10, buf_add_char(b, 'E'));
    SEND(30, put_end(b, 'c', 5, 30));
    applied(&bench, "R7/1 7:1@30 7:2@30 ");
    bench_close(&bench);
}

static void test_apply__a_rewind_sends_what_the_sink_wants(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, "rewind", 0);
    SEND(10, begin(b, 11));
    SEND(10, relation(b, 0, 7, 1));
    SEND(10, insert(b, 0, 7, 1, 1));
    SEND(11, put_end(b, 'C', 0, 11));
    SEND(20, begin(b, 21));
    SEND(20, relation(b, 0, 7, 2)); /* a column was added */
    SEND(20, insert(b, 0, 7, 2, 2));
    SEND(21, put_end(b, 'C', 0, 21));
    SEND(30, begin(b, 31));
    SEND(30, insert(b, 0, 7, 3, 2));
    SEND(31, put_end(b, 'C', 0, 31));
    applied(&bench, "R7/1 7:1@11 R7/2 7:2@21 7:3@31 ");
    bench.record.from = 21;
    pg_epoch_forget_sink(bench.epoch);
    OK(apply_rewind(&bench.apply, &err));
    applied(&bench, "R7/2 7:3@31 "); /* nothing is heard of the relation as it once was */
    bench.record.from = 0;
    pg_epoch_forget_sink(bench.epoch);
    OK(apply_rewind(&bench.apply, &err));
    applied(&bench, "R7/1 7:1@11 R7/2 7:2@21 7:3@31 ");
    bench.record.from = UINT64_MAX;
    pg_epoch_forget_sink(bench.epoch);
    OK(apply_rewind(&bench.apply, &err));
    applied(&bench, "");
    bench_close(&bench);
}

/* A segment begins with the relations of streamed transactions too: they are theirs alone. */
static void test_apply__relations_of_a_streamed_transaction_stay_in_it(void **state)
{
    struct bench bench;
    struct spool_stats stats;
    uint64_t lsn = 100;

    (void)state;
    bench_open(&bench, "context", 1 << 16);
    SEND(10, begin(b, 11));
    SEND(10, relation(b, 0, 7, 1));
    SEND(11, put_end(b, 'C', 0, 11));
    SEND(20, put_start(b, 5, true));
    SEND(20, relation(b, 5, 7, 2)); /* it has added a column, and never commits */
    SEND(20, insert(b, 5, 7, 1, 2));
    SEND(20, buf_add_char(b, 'E'));
    for (stats.n_segments = 0; stats.n_segments < 3; lsn += 10) {
        SEND(lsn - 1, begin(b, lsn));
        for (unsigned i = 0; i < 40; i++) {
            uint32_t oid = 100 + rnd(1000000);
            SEND(lsn - 1, relation(b, 0, oid, 40)); /* something that fills segments */
        }
        SEND(lsn, put_end(b, 'C', 0, lsn));
        OK(spool_flush(bench.spool, &err));
        spool_stats(bench.spool, &stats);
    }
    OK(spool_restart_marker(bench.spool, &err));
    SEND(lsn - 1, begin(b, lsn));
    SEND(lsn - 1, insert(b, 0, 7, 2, 1));
    SEND(lsn, put_end(b, 'C', 0, lsn));
    OK(spool_flush(bench.spool, &err));
    OK(spool_trim(bench.spool, lsn - 1, SPOOL_POS_MAX, &err));
    bench.record.from = lsn - 1;
    OK(apply_rewind(&bench.apply, &err));
    CLEANUP(mem_freep) char *want = mem_printf("R7/1 7:2@%llu ", (unsigned long long)lsn);
    applied(&bench, want);
    bench_close(&bench);
}

/* The segments that began a long transaction are trimmed away when all have it; what is left lacks its relations. */
static void test_apply__the_rest_of_a_trimmed_transaction_is_passed_over(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, "trimmed", 0);
    SEND(10, put_start(b, 5, false));
    SEND(10, insert(b, 5, 7, 1, 1));
    SEND(10, buf_add_char(b, 'E'));
    SEND(20, put_end(b, 'c', 5, 20));
    OK(spool_flush(bench.spool, &err));
    bench.record.from = 20;
    applied(&bench, "");
    bench.record.from = 19; /* wanted: then it is no such rest, and something is wrong */
    pg_epoch_forget_sink(bench.epoch);
    OK(apply_rewind(&bench.apply, &err));
    assert_int_equal(apply_next(&bench.apply, &err), ERR_INPUT);
    bench_close(&bench);
}

static bool stop(void *ctx)
{
    return ++*(int *)ctx >= 2;
}

static void test_apply__can_be_interrupted_in_a_long_transaction(void **state)
{
    struct bench bench;
    int asked = 0;

    (void)state;
    bench_open(&bench, "interrupt", 0);
    SEND(10, begin(b, 11));
    SEND(10, relation(b, 0, 7, 1));
    for (int i = 0; i < 10000; i++)
        SEND(10, insert(b, 0, 7, i, 1));
    SEND(11, put_end(b, 'C', 0, 11));
    OK(spool_flush(bench.spool, &err));
    bench.apply.interrupt = stop;
    bench.apply.ctx = &asked;
    assert_int_equal(apply_next(&bench.apply, &err), ERR_CANCELLED);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apply__whole_transactions_only),
        cmocka_unit_test(test_apply__streamed_transactions_come_when_they_commit),
        cmocka_unit_test(test_apply__relations_are_in_force_in_the_order_of_their_arrival),
        cmocka_unit_test(test_apply__a_restart_voids_what_is_in_progress),
        cmocka_unit_test(test_apply__a_rewind_sends_what_the_sink_wants),
        cmocka_unit_test(test_apply__relations_of_a_streamed_transaction_stay_in_it),
        cmocka_unit_test(test_apply__the_rest_of_a_trimmed_transaction_is_passed_over),
        cmocka_unit_test(test_apply__can_be_interrupted_in_a_long_transaction),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
