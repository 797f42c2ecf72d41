/* Tests of the spool: what is written is read, across opens, reconnects, seeks and threads. */
#include "spool/test_tools.h"

/* --- Write, read, open again --- */

static void peer_step(struct peer *p, struct spool *spool)
{
    CLEANUP(buf_deinit) struct buf b = {0};

    p->lsn += 1 + rnd(100);
    if (p->in_transaction) {
        bool end = rnd(20) == 0;
        if (end)
            put_end(&b, 'C', 0, p->commit_lsn = p->lsn);
        else
            put_row(&b, rnd(10) ? 'I' : 'R', 0, rnd(5), rnd(rnd(300) ? 300 : 400000));
        p->in_transaction = !end;
        peer_send(p, spool, &b, end);
    } else if (rnd(3)) {
        put_row(&b, 'B', 0, 0, 20);
        p->in_transaction = true;
        peer_send(p, spool, &b, false);
    } else if (rnd(2)) {
        bool first = !p->open_xid;
        p->open_xid = first ? ++p->xid : p->open_xid;
        put_start(&b, p->open_xid, first);
        peer_send(p, spool, &b, false);
        for (unsigned n = rnd(50); n; n--) {
            put_row(&b, rnd(10) ? 'I' : 'R', p->open_xid, rnd(5), rnd(300));
            peer_send(p, spool, &b, false);
        }
        buf_add_char(&b, 'E');
        peer_send(p, spool, &b, false);
    } else if (p->open_xid && rnd(2)) {
        if (rnd(2))
            put_end(&b, 'c', p->open_xid, p->commit_lsn = p->lsn);
        else
            put_abort(&b, p->open_xid, p->open_xid);
        p->open_xid = 0;
        peer_send(p, spool, &b, true);
    } else {
        put_message(&b, p->lsn);
        peer_send(p, spool, &b, true);
    }
}

/* The connection is gone: what has no end will come again. */
static void peer_restart(struct peer *p)
{
    buf_reset(&p->tail);
    p->in_transaction = false;
    p->open_xid = 0;
}

static void test_spool__random_frames_are_read_as_written_across_reopens(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("random");
    struct peer p = {.lsn = 1000};
    struct spool *spool = open_with(dir, 100000, 0);
    uint64_t durable, lsn, end;
    (void)state;
    for (int i = 0; i < 12000; i++) {
        peer_step(&p, spool);
        if (rnd(50) == 0)
            OK(spool_flush(spool, &err));
        if (rnd(500) == 0) {
            OK(spool_sync(spool, &durable, &err));
            assert_int_equal(durable, p.commit_lsn ? p.commit_lsn + 8 : 0);
        }
        if (rnd(1000) == 0) {
            OK(spool_restart_marker(spool, &err));
            peer_restart(&p);
        }
        if (rnd(1500) == 0) {
            OK(spool_flush(spool, &err));
            spool_free(spool);
            spool = open_with(dir, 100000, 0);
            peer_restart(&p);
            spool_last_commit(spool, &lsn, &end);
            assert_int_equal(lsn, p.commit_lsn);
            assert_int_equal(end, p.commit_lsn ? p.commit_lsn + 8 : 0);
        }
    }
    OK(spool_flush(spool, &err));
    assert_holds(spool, &p.all);
    struct spool_stats st;
    spool_stats(spool, &st);
    assert_true(st.n_segments > 5);
    spool_free(spool);
    buf_deinit(&p.all);
    buf_deinit(&p.tail);
}

static void test_spool__reader_sees_only_whole_transactions(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("whole");
    CLEANUP(spool_freep) struct spool *spool = open_with(dir, 0, 0);
    CLEANUP(spool_reader_freep) struct spool_reader *reader = NULL;
    struct spool_frame f;
    (void)state;
    OK(spool_reader_open(spool, &reader, &err));
    assert_int_equal(spool_reader_next(reader, &f, NULL, NULL), 1);
    assert_false(spool_reader_wait(reader, 1000));
    APPEND(spool, 1, put_row(b, 'B', 0, 0, 20));
    for (int i = 0; i < 3000; i++)
        APPEND(spool, 1, put_row(b, 'I', 0, 1, 300)); /* several blocks */
    OK(spool_flush(spool, &err));
    assert_int_equal(spool_reader_next(reader, &f, NULL, NULL), 1);
    assert_false(spool_is_idle(spool));
    APPEND(spool, 9, put_end(b, 'C', 0, 9));
    APPEND(spool, 10, put_row(b, 'B', 0, 0, 20));
    assert_int_equal(spool_reader_next(reader, &f, NULL, NULL), 1);
    OK(spool_flush(spool, &err));
    assert_true(spool_reader_wait(reader, 0));
    int n = 0;
    while (spool_reader_next(reader, &f, NULL, NULL) == 0)
        n++;
    assert_int_equal(n, 3002);
    assert_int_equal(f.payload.p[0], 'C');
}

static void test_spool__message_larger_than_a_block(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("large");
    CLEANUP(spool_freep) struct spool *spool = open_with(dir, 0, 0);
    CLEANUP(spool_reader_freep) struct spool_reader *reader = NULL;
    struct spool_frame f;
    (void)state;
    put_transaction(spool, 100, 2, 5 << 20);
    put_transaction(spool, 200, 2, 100);
    OK(spool_flush(spool, &err));
    OK(spool_reader_open(spool, &reader, &err));
    OK(spool_reader_next(reader, &f, NULL, &err));
    OK(spool_reader_next(reader, &f, NULL, &err));
    assert_int_equal(f.payload.n, (5 << 20) + 5);
    for (int i = 0; i < 6; i++)
        assert_int_equal(spool_reader_next(reader, &f, NULL, NULL), 0);
    assert_int_equal(spool_reader_next(reader, &f, NULL, NULL), 1);
}

static void test_spool__bad_messages_are_refused_and_not_taken(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("bad");
    CLEANUP(spool_freep) struct spool *spool = open_with(dir, 0, 0);
    CLEANUP(buf_deinit) struct buf b = {0};
    (void)state;
    assert_int_equal(append(spool, 1, &b), ERR_INPUT);
    buf_add_cstr(&b, "C1234");
    assert_int_equal(append(spool, 0x2000000a1, &b), ERR_INPUT);
    assert_non_null(strstr(err.msg, "2/A1"));
    put_row(&b, 'B', 0, 0, 20);
    OK(append(spool, 1, &b));
    put_row(&b, 'B', 0, 0, 20);
    assert_int_equal(append(spool, 1, &b), ERR_INPUT);
}

static void test_spool__seek_reads_streamed_chunks_again(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("seek");
    CLEANUP(spool_freep) struct spool *spool = open_with(dir, 10000, 0);
    CLEANUP(spool_reader_freep) struct spool_reader *main = NULL, *again = NULL;
    struct spool_pos at[64], pos;
    struct spool_frame f;
    unsigned chunks = 0, rows;
    (void)state;
    for (uint64_t lsn = 100; lsn < 4000; lsn += 100) {
        APPEND(spool, lsn, put_start(b, 77, lsn == 100));
        for (uint64_t i = 0; i < 10; i++)
            APPEND(spool, lsn + i, put_row(b, 'I', 77, 1, 200 + rnd(200)));
        APPEND(spool, lsn + 50, buf_add_char(b, 'E'));
        put_transaction(spool, lsn + 60, 5, 200);
        OK(spool_flush(spool, &err));
    }
    APPEND(spool, 5000, put_end(b, 'c', 77, 5000));
    OK(spool_flush(spool, &err));
    OK(spool_reader_open(spool, &main, &err));
    OK(spool_reader_open(spool, &again, &err));
    while (spool_reader_next(main, &f, &pos, NULL) == 0)
        if (f.payload.p[0] == 'S')
            at[chunks++] = pos;
    assert_int_equal(chunks, 39);
    assert_true(at[38].segment > at[0].segment);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < chunks; i++) {
            OK(spool_reader_seek(again, at[round ? chunks - 1 - i : i], &err));
            OK(spool_reader_next(again, &f, &pos, &err));
            assert_int_equal(f.payload.p[0], 'S');
            assert_int_equal(f.lsn, 100 * (1 + (round ? chunks - 1 - i : i)));
            for (rows = 0; spool_reader_next(again, &f, &pos, NULL) == 0 && f.payload.p[0] == 'I';)
                rows++;
            assert_int_equal(rows, 10);
            assert_int_equal(f.payload.p[0], 'E');
        }
    pos.offset = 1u << 30;
    assert_int_equal(spool_reader_seek(again, pos, NULL), ERR_NOT_FOUND);
    assert_int_equal(spool_reader_seek(again, SPOOL_POS_MAX, NULL), ERR_NOT_FOUND);
}

/* --- Reconnects --- */

static void test_spool__restart_marker_forgets_the_unfinished_tail(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("marker");
    CLEANUP(spool_freep) struct spool *spool = open_with(dir, 100000, 0);
    CLEANUP(spool_reader_freep) struct spool_reader *reader = NULL;
    struct spool_frame f;
    struct spool_stats st;
    uint64_t lsn, end, disk;
    char seen[16] = "";
    (void)state;
    OK(spool_reader_open(spool, &reader, &err));
    put_transaction(spool, 1000, 1, 60);
    OK(spool_flush(spool, &err));
    spool_stats(spool, &st);
    disk = st.disk_bytes;
    for (uint64_t i = 0; i < 40; i++) { /* chunks without end: over several segments */
        APPEND(spool, 2000, put_start(b, 5, i == 0));
        for (int k = 0; k < 100; k++)
            APPEND(spool, 2000, put_row(b, 'I', 5, 1, 300));
        APPEND(spool, 2000, buf_add_char(b, 'E'));
    }
    APPEND(spool, 3000, put_row(b, 'B', 0, 0, 20));
    spool_stats(spool, &st);
    assert_true(st.n_segments > 1);
    OK(spool_restart_marker(spool, &err));
    spool_stats(spool, &st);
    assert_int_equal(st.n_segments, 1);
    assert_true(st.disk_bytes < disk + 200);
    spool_last_commit(spool, &lsn, &end);
    assert_int_equal(lsn, 1000);
    assert_int_equal(end, 1008);
    put_transaction(spool, 4000, 1, 60);
    OK(spool_flush(spool, &err));
    while (spool_reader_next(reader, &f, NULL, NULL) == 0)
        seen[strlen(seen)] = f.kind == SPOOL_RESTART ? '|' : f.payload.p[0];
    assert_string_equal(seen, "BIC|BIC");
}

static void test_spool__message_sent_again_after_a_reconnect_is_left_out(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("message");
    struct spool *spool = open_with(dir, 0, 0);
    CLEANUP(buf_deinit) struct buf got = {0};
    struct spool_stats st;
    unsigned markers;
    (void)state;
    put_transaction(spool, 1000, 1, 10);
    APPEND(spool, 1100, put_message(b, 1100));
    APPEND(spool, 1200, put_message(b, 1200));
    OK(spool_flush(spool, &err));
    spool_free(spool);
    spool = open_with(dir, 0, 0);
    APPEND(spool, 1100, put_message(b, 1100));
    APPEND(spool, 1200, put_message(b, 1200));
    APPEND(spool, 1300, put_message(b, 1300));
    OK(spool_flush(spool, &err));
    spool_stats(spool, &st);
    assert_int_equal(st.repeated_messages, 2);
    OK(read_all(spool, &got, &markers));
    assert_int_equal(markers, 1);
    struct reader r = reader_of(got.p, got.n);
    struct spool_frame f;
    unsigned n = 0;
    while (spool_frame_decode(&r, &f, NULL) == 0)
        n += f.payload.p[0] == 'M';
    assert_int_equal(n, 3);
    spool_free(spool);
}

static void test_spool__segment_starts_with_the_definitions_in_force(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("context");
    CLEANUP(spool_freep) struct spool *spool = open_with(dir, 700, 0);
    CLEANUP(spool_reader_freep) struct spool_reader *reader = NULL;
    struct spool_frame f;
    struct spool_stats st;
    char seen[200] = "";
    (void)state;
    APPEND(spool, 1, buf_add(b, "B12345678901234567890", 21));
    APPEND(spool, 1, buf_add(b, "Y\0\0\0\1type", 9));
    APPEND(spool, 1, buf_add(b, "R\0\0\0\1old", 8));
    APPEND(spool, 1, buf_add(b, "R\0\0\0\2two", 8));
    APPEND(spool, 1, buf_add(b, "R\0\0\0\1new", 8));
    APPEND(spool, 2, put_end(b, 'C', 0, 2));
    APPEND(spool, 3, put_start(b, 9, true)); /* commits below: counts for all then */
    APPEND(spool, 3, buf_add(b, "R\0\0\0\x09\0\0\0\2nine", 13));
    APPEND(spool, 3, buf_add_char(b, 'E'));
    APPEND(spool, 3, put_start(b, 10, true)); /* in progress */
    APPEND(spool, 3, buf_add(b, "R\0\0\0\x0b\0\0\0\3ten", 12));
    APPEND(spool, 3, buf_add_char(b, 'E'));
    APPEND(spool, 3, put_start(b, 11, true)); /* aborts below */
    APPEND(spool, 3, buf_add(b, "R\0\0\0\x0b\0\0\0\4eleven", 15));
    APPEND(spool, 3, buf_add_char(b, 'E'));
    APPEND(spool, 4, put_end(b, 'c', 9, 4));
    APPEND(spool, 5, put_abort(b, 10, 12)); /* of a subtransaction only */
    APPEND(spool, 6, put_abort(b, 11, 11));
    for (uint64_t i = 1; i <= 30; i++) {
        put_transaction(spool, i * 1000, 3, 60);
        OK(spool_flush(spool, &err));
    }
    OK(spool_trim(spool, 20000, SPOOL_POS_MAX, &err));
    spool_stats(spool, &st);
    assert_true(st.first_segment > 1 && st.n_segments > 2);
    OK(spool_reader_open(spool, &reader, &err));
    unsigned contexts = 0, others = 0;
    while (spool_reader_next(reader, &f, NULL, NULL) == 0) {
        if (f.kind != SPOOL_CONTEXT) {
            others++;
            continue;
        }
        assert_int_equal(others, 0);
        contexts++;
        snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%c%d:%u:%.*s ", f.payload.p[0], f.payload.p[4],
                 f.xid, (int)f.payload.n - 5, f.payload.p + 5);
    }
    assert_int_equal(contexts, 4);
    assert_string_equal(seen, "Y1:0:type R1:0:new R2:0:nine R3:10:ten ");
}

/* --- Threads --- */

enum { THREAD_TRANSACTIONS = 3000 };

struct shared {
    struct spool *spool;
    bool trims;
    uint64_t rows;
};

static void *read_thread(void *arg)
{
    struct shared *s = arg;
    CLEANUP(spool_reader_freep) struct spool_reader *reader = NULL;
    struct spool_frame f;
    uint64_t expect = 1;

    OK(spool_reader_open(s->spool, &reader, &err));
    while (expect <= THREAD_TRANSACTIONS) {
        int rc = spool_reader_next(reader, &f, NULL, &err);
        if (rc == 1) {
            (void)spool_reader_wait(reader, 100000);
            continue;
        }
        assert_int_equal(rc, 0);
        s->rows += f.payload.n && f.payload.p[0] == 'I';
        if (!f.payload.n || f.payload.p[0] != 'C')
            continue;
        assert_int_equal(f.lsn, expect++ * 100);
        if (s->trims && expect % 50 == 0)
            OK(spool_trim(s->spool, f.lsn + 8 - 5000, spool_reader_pos(reader), &err));
    }
    return NULL;
}

static void write_beside_readers(const char *name, unsigned n_readers, bool trims)
{
    CLEANUP(mem_freep) char *dir = test_dir(name);
    CLEANUP(spool_freep) struct spool *spool = open_with(dir, 20000, 0);
    struct shared readers[2] = {{spool, trims, 0}, {spool, trims, 0}};
    pthread_t t[2];
    uint64_t rows = 0, durable;

    for (unsigned i = 0; i < n_readers; i++)
        pthread_create(&t[i], NULL, read_thread, &readers[i]);
    for (uint64_t i = 1; i <= THREAD_TRANSACTIONS; i++) {
        unsigned n = rnd(20);
        rows += n;
        if (rnd(100) == 0) {
            APPEND(spool, i * 100 - 1, put_row(b, 'B', 0, 0, 20));
            OK(spool_restart_marker(spool, &err));
        }
        put_transaction(spool, i * 100, n, 150);
        if (rnd(10) == 0)
            OK(spool_flush(spool, &err));
        if (rnd(200) == 0)
            OK(spool_sync(spool, &durable, &err));
    }
    OK(spool_sync(spool, &durable, &err));
    assert_int_equal(durable, THREAD_TRANSACTIONS * 100 + 8);
    struct spool_stats st;
    for (unsigned i = 0; i < n_readers; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(readers[i].rows, rows);
    }
    spool_stats(spool, &st);
    assert_true(trims ? st.first_segment > 1 : st.n_segments > 5);
}

static void test_spool__reader_trims_beside_the_writer(void **state)
{
    (void)state;
    write_beside_readers("threads", 1, true);
}

static void test_spool__two_readers_beside_the_writer(void **state)
{
    (void)state;
    write_beside_readers("threads2", 2, false);
}

static void *wake_thread(void *arg)
{
    clock_sleep_us(20000);
    spool_wake(arg);
    return NULL;
}

static void test_spool__wake_ends_waits(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("wake");
    CLEANUP(spool_freep) struct spool *spool = open_with(dir, 0, 0);
    CLEANUP(spool_reader_freep) struct spool_reader *reader = NULL;
    pthread_t t;
    (void)state;
    OK(spool_reader_open(spool, &reader, &err));
    pthread_create(&t, NULL, wake_thread, spool);
    assert_false(spool_reader_wait(reader, -1));
    pthread_join(t, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spool__random_frames_are_read_as_written_across_reopens),
        cmocka_unit_test(test_spool__reader_sees_only_whole_transactions),
        cmocka_unit_test(test_spool__message_larger_than_a_block),
        cmocka_unit_test(test_spool__bad_messages_are_refused_and_not_taken),
        cmocka_unit_test(test_spool__seek_reads_streamed_chunks_again),
        cmocka_unit_test(test_spool__restart_marker_forgets_the_unfinished_tail),
        cmocka_unit_test(test_spool__message_sent_again_after_a_reconnect_is_left_out),
        cmocka_unit_test(test_spool__segment_starts_with_the_definitions_in_force),
        cmocka_unit_test(test_spool__reader_trims_beside_the_writer),
        cmocka_unit_test(test_spool__two_readers_beside_the_writer),
        cmocka_unit_test(test_spool__wake_ends_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
