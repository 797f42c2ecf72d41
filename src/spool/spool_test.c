/* Tests of spool/: what is written is read, whatever crash, damage, reconnect or full disk comes between. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

static _Thread_local struct err err; /* of the call just made */

#define OK(expr)                                               \
    do {                                                       \
        int ok_rc_ = (expr);                                   \
        if (ok_rc_ < 0)                                        \
            fail_msg("%s: %s [%s]", #expr, err.msg, err.hint); \
    } while (0)

/* --- Messages --- */

static uint64_t rng = 88172645463325252u;

static uint32_t rnd(uint32_t below)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 20) % below;
}

static void put_row(struct buf *b, char tag, uint32_t xid, uint32_t oid, size_t n)
{
    buf_add_char(b, tag);
    if (xid)
        buf_add_be32(b, xid);
    buf_add_be32(b, oid);
    for (size_t i = 0; i < n; i++)
        buf_add_char(b, (char)('a' + (rnd(4) ? i % 7 : rnd(26))));
}

static void put_end(struct buf *b, char tag, uint32_t xid, uint64_t lsn)
{
    buf_add_char(b, tag);
    if (xid)
        buf_add_be32(b, xid);
    buf_add_char(b, 0);
    buf_add_be64(b, lsn);
    buf_add_be64(b, lsn + 8);
    buf_add_be64(b, 0);
}

static void put_start(struct buf *b, uint32_t xid, bool first)
{
    buf_add_char(b, 'S');
    buf_add_be32(b, xid);
    buf_add_char(b, first);
}

static void put_abort(struct buf *b, uint32_t xid, uint32_t sub)
{
    buf_add_char(b, 'A');
    buf_add_be32(b, xid);
    buf_add_be32(b, sub);
}

static void put_message(struct buf *b, uint64_t lsn)
{
    buf_add_char(b, 'M');
    buf_add_char(b, 0);
    buf_add_be64(b, lsn);
    buf_add_cstr(b, "prefix");
}

static int append(struct spool *spool, uint64_t lsn, struct buf *b)
{
    struct spool_frame f = {.lsn = lsn, .payload = buf_str(b)};
    int rc = spool_append(spool, &f, &err);

    buf_reset(b);
    return rc;
}

#define APPEND(spool, lsn, ...)                  \
    do {                                         \
        CLEANUP(buf_deinit) struct buf b_ = {0}; \
        struct buf *b = &b_;                     \
        __VA_ARGS__;                             \
        OK(append(spool, lsn, b));               \
    } while (0)

/* One transaction of n rows that commits at `lsn` (and ends at lsn + 8). */
static void put_transaction(struct spool *spool, uint64_t lsn, unsigned rows, size_t row_bytes)
{
    APPEND(spool, lsn - 1, put_row(b, 'B', 0, 0, 20));
    for (unsigned i = 0; i < rows; i++)
        APPEND(spool, lsn - 1, put_row(b, 'I', 0, 16384, row_bytes));
    APPEND(spool, lsn, put_end(b, 'C', 0, lsn));
}

/* --- The folder --- */

static char *test_dir(const char *name)
{
    const char *tmp = getenv("SLUICE_TEST_TMP");
    char *dir = mem_printf("%s/spool_test_files/%s", tmp ? tmp : "/tmp", name);

    OK(file_remove_tree(dir, &err));
    return dir;
}

static struct spool *open_with(const char *dir, uint64_t segment, uint64_t quota)
{
    struct spool_config config = {dir, segment, quota, 20};
    struct spool *spool = NULL;

    OK(spool_open(&config, &spool, &err));
    return spool;
}

static char *seg_path(const char *dir, uint64_t n)
{
    return mem_printf("%s/%016" PRIx64 ".seg", dir, n);
}

static void copy_file(const char *from, const char *to, size_t n)
{
    CLEANUP(buf_deinit) struct buf b = {0};

    OK(file_read(from, &b, &err));
    OK(file_replace(to, b.p, MIN(n, b.n), &err));
}

/* All frames as one text: "lsn kind payload-hash" is too weak, so it is the frames themselves, encoded. Context left out. */
static int read_all(struct spool *spool, struct buf *ret, unsigned *ret_markers)
{
    CLEANUP(spool_reader_freep) struct spool_reader *reader = NULL;
    struct spool_frame f;
    int rc;

    *ret_markers = 0;
    TRY(spool_reader_open(spool, &reader, &err));
    while ((rc = spool_reader_next(reader, &f, NULL, &err)) == 0) {
        if (f.kind == SPOOL_DATA)
            spool_frame_encode(&f, ret);
        *ret_markers += f.kind == SPOOL_RESTART;
    }
    return rc < 0 ? rc : 0;
}

static void assert_holds(struct spool *spool, const struct buf *expect)
{
    CLEANUP(buf_deinit) struct buf got = {0};
    unsigned markers;

    OK(read_all(spool, &got, &markers));
    assert_int_equal(got.n, expect->n);
    assert_true(str_eq(buf_str(&got), buf_str(expect)));
}

/* --- The format --- */

static void fill_frames(struct buf *raw, unsigned n)
{
    CLEANUP(buf_deinit) struct buf b = {0};

    for (unsigned i = 0; i < n; i++) {
        struct spool_frame f = {.lsn = 1000 + i, .kind = i % 3 == 1 ? SPOOL_RESTART : SPOOL_DATA};
        buf_reset(&b);
        put_row(&b, 'I', 0, i, i * 3);
        f.payload = buf_str(&b);
        spool_frame_encode(&f, raw);
    }
}

static void test_format__block_survives_round_trip_and_no_change(void **state)
{
    CLEANUP(buf_deinit) struct buf raw = {0}, out = {0}, back = {0};
    struct spool_zstd *z = spool_zstd_new();
    struct spool_block b = {.flags = SPOOL_BLOCK_BOUNDARY,
                            .segment = 7,
                            .offset = 640,
                            .first_lsn = 5,
                            .state = {1, 2, 3}},
                       got;
    (void)state;
    for (unsigned frames = 1; frames < 40; frames += 13) {
        buf_reset(&raw);
        fill_frames(&raw, frames);
        spool_block_encode(z, &b, buf_str(&raw), &out);
        OK(spool_block_check(out.p, out.n, 7, 640, &got, &err));
        assert_memory_equal(&got, &b, sizeof b);
        OK(spool_block_unpack(z, &got, out.p, &back, &err));
        assert_true(str_eq(buf_str(&raw), buf_str(&back)));
        assert_int_equal(spool_block_check(out.p, out.n, 7, 641, &got, NULL), ERR_INPUT);
        assert_int_equal(spool_block_check(out.p, out.n, 8, 640, &got, NULL), ERR_INPUT);
        for (size_t n = 0; n < out.n; n++)
            assert_int_equal(spool_block_check(out.p, n, 7, 640, &got, NULL), ERR_INPUT);
        for (size_t bit = 0; bit < out.n * 8; bit++) {
            out.p[bit / 8] ^= (char)(1 << bit % 8);
            assert_int_equal(spool_block_check(out.p, out.n, 7, 640, &got, NULL), ERR_INPUT);
            out.p[bit / 8] ^= (char)(1 << bit % 8);
        }
    }
    spool_zstd_free(z);
}

static void test_format__bytes_are_as_drawn(void **state)
{
    CLEANUP(buf_deinit) struct buf raw = {0}, out = {0};
    struct spool_zstd *z = spool_zstd_new();
    struct spool_frame f = {.lsn = 0x0102030405060708, .payload = STR("Bxyz")};
    struct spool_block b = {.segment = 1, .offset = 64, .first_lsn = 9, .state = {10, 11, 12}};
    (void)state;
    spool_frame_encode(&f, &raw);
    assert_memory_equal(raw.p,
                        "\4\0\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01"
                        "Bxyz",
                        17);
    spool_block_encode(z, &b, buf_str(&raw), &out);
    assert_int_equal(out.n, SPOOL_BLOCK_HEADER + 17);
    assert_memory_equal(out.p + 8,
                        "SLBK\0\0\0\0\x11\0\0\0\x11\0\0\0\1\0\0\0\0\0\0\0@\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x0a", 41);
    assert_memory_equal(out.p + SPOOL_BLOCK_HEADER, raw.p, 17);
    spool_zstd_free(z);
}

static void test_format__segment_header_refuses_damage_and_newer_formats(void **state)
{
    struct spool_segment_header h = {5, -7, {1, 2, 3}}, got;
    char bytes[SPOOL_SEGMENT_HEADER];
    (void)state;
    spool_segment_encode(&h, bytes);
    OK(spool_segment_decode(bytes, sizeof bytes, &got, &err));
    assert_memory_equal(&got, &h, sizeof h);
    for (size_t n = 0; n < sizeof bytes; n++)
        assert_int_equal(spool_segment_decode(bytes, n, &got, NULL), ERR_INPUT);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(spool_segment_decode(bytes, sizeof bytes, &got, NULL), ERR_INPUT);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
}

/* --- Write, read, open again --- */

/* A random server: makes messages, and the oracle of what readers must see. */
struct peer {
    struct buf all;  /* frames up to the last boundary */
    struct buf tail; /* frames after it */
    uint64_t lsn, commit_lsn;
    uint32_t xid, open_xid;
    bool in_transaction;
    unsigned rows;
};

static void peer_send(struct peer *p, struct spool *spool, struct buf *b, bool boundary)
{
    struct spool_frame f = {.lsn = p->lsn, .payload = buf_str(b)};

    OK(spool_append(spool, &f, &err));
    spool_frame_encode(&f, &p->tail);
    if (boundary) {
        buf_add_str(&p->all, buf_str(&p->tail));
        buf_reset(&p->tail);
    }
    buf_reset(b);
}

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

/* --- Crashes --- */

static void test_spool__cut_at_every_byte_recovers_to_the_last_whole_commit(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("cut"), *copy = test_dir("cut_copy");
    CLEANUP(mem_freep) char *from = seg_path(dir, 1), *to = seg_path(copy, 1);
    struct spool *spool = open_with(dir, 0, 0);
    int64_t ends[6] = {0};
    (void)state;
    OK(file_make_dirs(copy, &err));
    for (unsigned i = 1; i <= 5; i++) {
        put_transaction(spool, i * 1000, 3, 60);
        OK(spool_flush(spool, &err));
        ends[i] = file_size(from);
    }
    spool_free(spool);
    for (int64_t n = 0; n <= ends[5]; n++) {
        CLEANUP(mem_freep) char *mark = mem_printf("%s/synced", copy);
        uint64_t lsn, end, whole = 0;
        struct spool_stats st;
        copy_file(from, to, (size_t)n);
        unlink(mark);
        spool = open_with(copy, 0, 0);
        while (whole < 5 && ends[whole + 1] <= n)
            whole++;
        spool_last_commit(spool, &lsn, &end);
        assert_int_equal(lsn, whole * 1000);
        assert_int_equal(end, whole ? whole * 1000 + 8 : 0);
        spool_stats(spool, &st);
        int64_t good = whole ? ends[whole] : n < SPOOL_SEGMENT_HEADER ? 0 : SPOOL_SEGMENT_HEADER;
        assert_int_equal(st.torn_bytes + st.cut_bytes, n - good);
        put_transaction(spool, 9000, 1, 10);
        OK(spool_flush(spool, &err));
        CLEANUP(buf_deinit) struct buf got = {0};
        unsigned markers;
        OK(read_all(spool, &got, &markers));
        assert_int_equal(markers, n >= SPOOL_SEGMENT_HEADER ? 1 : 0);
        spool_free(spool);
    }
}

static void test_spool__what_was_synced_is_never_lost_in_silence(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("synced"), *seg = seg_path(dir, 1);
    struct spool *spool = open_with(dir, 0, 0);
    struct spool_config config = {.dir = dir};
    uint64_t durable;
    (void)state;
    put_transaction(spool, 1000, 3, 60);
    OK(spool_sync(spool, &durable, &err));
    assert_int_equal(durable, 1008);
    int64_t synced = file_size(seg);
    put_transaction(spool, 2000, 3, 60);
    OK(spool_flush(spool, &err));
    spool_free(spool);
    assert_int_equal(truncate(seg, synced + 20), 0); /* only what was not synced */
    spool = open_with(dir, 0, 0);
    spool_free(spool);
    assert_int_equal(truncate(seg, synced - 1), 0);
    assert_int_equal(spool_open(&config, &spool, &err), ERR_INPUT);
    assert_non_null(strstr(err.msg, "0000000000000001.seg at offset 64"));
    assert_true(err.hint[0]);
    assert_int_equal(unlink(seg), 0);
    assert_int_equal(spool_open(&config, &spool, &err), ERR_INPUT);
}

static void flip(const char *path, int64_t at)
{
    CLEANUP(file_closep) int fd = open(path, O_RDWR);
    char c;

    assert_int_equal(pread(fd, &c, 1, at), 1);
    c ^= (char)(1 << rnd(8));
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
}

static void test_spool__flipped_bit_in_an_older_block_names_its_place(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("rot"), *copy = test_dir("rot_copy");
    CLEANUP(mem_freep) char *from = seg_path(dir, 1), *to = seg_path(copy, 1);
    struct spool *spool = open_with(dir, 0, 0);
    struct spool_config config = {.dir = copy};
    int64_t ends[4] = {SPOOL_SEGMENT_HEADER};
    (void)state;
    OK(file_make_dirs(copy, &err));
    for (unsigned i = 1; i <= 3; i++) {
        put_transaction(spool, i * 1000, 3, 60);
        OK(spool_flush(spool, &err));
        ends[i] = file_size(from);
    }
    spool_free(spool);
    for (int64_t at = 0; at < ends[2]; at++) { /* no mark of what was synced: good blocks follow, so it is damage */
        CLEANUP(mem_freep) char *mark = mem_printf("%s/synced", copy);
        char place[80];
        int64_t block = at < ends[0] ? 0 : at < ends[1] ? ends[0] : ends[1];
        copy_file(from, to, SIZE_MAX);
        flip(to, at);
        unlink(mark);
        assert_int_equal(spool_open(&config, &spool, &err), ERR_INPUT);
        snprintf(place, sizeof place, "0000000000000001.seg at offset %" PRId64 ":", block);
        if (!strstr(err.msg, place))
            fail_msg("byte %" PRId64 ": %s", at, err.msg);
    }
}

static void test_spool__flipped_bit_in_an_older_segment_is_found_by_the_reader(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("rot2"), *seg = seg_path(dir, 1), *keep = mem_printf("%s.keep", seg);
    struct spool *spool = open_with(dir, 2000, 0);
    (void)state;
    for (unsigned i = 1; i <= 40; i++) {
        put_transaction(spool, i * 1000, 3, 60);
        OK(spool_flush(spool, &err));
    }
    copy_file(seg, keep, SIZE_MAX);
    for (int64_t at = SPOOL_SEGMENT_HEADER, n = file_size(seg); at < n; at++) {
        CLEANUP(buf_deinit) struct buf got = {0};
        unsigned markers;
        copy_file(keep, seg, SIZE_MAX);
        flip(seg, at);
        assert_int_equal(read_all(spool, &got, &markers), ERR_INPUT);
        assert_non_null(strstr(err.msg, "0000000000000001.seg at offset "));
        assert_true(err.hint[0]);
    }
    copy_file(keep, seg, SIZE_MAX);
    spool_free(spool);
    assert_int_equal(unlink(seg), 0); /* the oldest may have been trimmed; one in the middle may not be missing */
    spool = open_with(dir, 2000, 0);
    spool_free(spool);
    CLEANUP(mem_freep) char *third = seg_path(dir, 3);
    assert_int_equal(unlink(third), 0);
    struct spool_config config = {.dir = dir};
    assert_int_equal(spool_open(&config, &spool, &err), ERR_INPUT);
    assert_non_null(strstr(err.msg, "0000000000000003.seg"));
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

/* --- Room --- */

static void test_spool__trim_keeps_what_is_needed(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("trim");
    CLEANUP(spool_freep) struct spool *spool = open_with(dir, 2000, 0);
    CLEANUP(spool_reader_freep) struct spool_reader *reader = NULL;
    struct spool_pos pos[41], p;
    struct spool_frame f;
    struct spool_stats st;
    unsigned n = 0;
    (void)state;
    for (unsigned i = 1; i <= 40; i++) {
        put_transaction(spool, i * 1000, 3, 100);
        OK(spool_flush(spool, &err));
    }
    OK(spool_reader_open(spool, &reader, &err));
    while (spool_reader_next(reader, &f, &p, NULL) == 0)
        if (f.payload.p[0] == 'B')
            pos[++n] = p;
    assert_int_equal(n, 40);
    OK(spool_trim(spool, 7, SPOOL_POS_MAX, &err));
    spool_stats(spool, &st);
    assert_int_equal(st.first_segment, 1);
    for (unsigned i = 1; i <= 40; i++) {
        OK(spool_trim(spool, i * 1000 + 8, SPOOL_POS_MAX, &err));
        spool_stats(spool, &st);
        uint64_t first = i < 40 ? MIN(pos[i + 1].segment, pos[40].segment) : pos[40].segment;
        assert_int_equal(st.first_segment, first);
        CLEANUP(spool_reader_freep) struct spool_reader *late = NULL;
        OK(spool_reader_open(spool, &late, &err));
        assert_int_equal(spool_reader_seek(late, pos[i], NULL), pos[i].segment < first ? ERR_NOT_FOUND : 0);
        if (i == 10)
            for (unsigned k = i; k < 20; k++) { /* a streamed transaction that began at 12 is still wanted */
                OK(spool_trim(spool, k * 1000 + 8, pos[12], &err));
                spool_stats(spool, &st);
                assert_true(st.first_segment <= pos[12].segment);
            }
        if (i == 10)
            i = 20;
    }
    spool_stats(spool, &st);
    assert_int_equal(st.n_segments, 1);
    assert_true(st.disk_bytes < 4000);
}

static void test_spool__quota_waits_for_sinks_and_names_the_setting_when_waiting_is_in_vain(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("quota");
    CLEANUP(spool_freep) struct spool *spool = open_with(dir, 10000, 40000);
    struct spool_config tight = {dir, 10000, 15000, 0};
    struct spool *other = NULL;
    struct spool_stats st;
    uint64_t lsn = 1000;
    int rc = 1;
    (void)state;
    assert_int_equal(spool_open(&tight, &other, &err), ERR_USAGE);
    for (; (rc = spool_has_room(spool, &err)) == 1; lsn += 1000) {
        put_transaction(spool, lsn, 20, 200);
        OK(spool_flush(spool, &err));
    }
    assert_int_equal(rc, 0);
    for (int i = 0; i < 5; i++, clock_sleep_us(10000))
        assert_int_equal(spool_has_room(spool, &err), 0); /* the sinks have it before them: never ERR_LIMIT */
    OK(spool_trim(spool, lsn - 1000 + 8, SPOOL_POS_MAX, &err));
    assert_int_equal(spool_has_room(spool, &err), 1);
    spool_stats(spool, &st);
    assert_true(st.disk_bytes <= 10000);
    APPEND(spool, lsn, put_row(b, 'B', 0, 0, 20)); /* one transaction larger than all */
    for (int i = 0; (rc = spool_has_room(spool, &err)) == 1; i++) {
        assert_true(i < 10000);
        APPEND(spool, lsn, put_row(b, 'I', 0, 1, 20000));
    }
    assert_int_equal(rc, 0);
    clock_sleep_us(30000);
    assert_int_equal(spool_has_room(spool, &err), ERR_LIMIT);
    assert_non_null(strstr(err.hint, "spool_quota"));
    APPEND(spool, lsn, put_end(b, 'C', 0, lsn)); /* had it ended, it would go as any other */
    OK(spool_flush(spool, &err));
    assert_int_equal(spool_has_room(spool, &err), 0);
    OK(spool_trim(spool, lsn + 8, SPOOL_POS_MAX, &err));
    assert_int_equal(spool_has_room(spool, &err), 1);
}

/* Fills until a write fails, makes room, goes on: nothing is lost, nothing twice. */
static void fill_and_go_on(const char *dir, void (*make_room)(void *), void *arg)
{
    struct peer p = {.lsn = 1000};
    struct spool *spool = open_with(dir, 1 << 20, 0);
    CLEANUP(buf_deinit) struct buf b = {0};
    int rc = 0;

    for (int i = 0; rc == 0 && i < 1000000; i++) {
        p.lsn += 10;
        put_row(&b, 'B', 0, 0, 20);
        peer_send(&p, spool, &b, false);
        put_row(&b, 'I', 0, 1, 300);
        for (size_t k = 5; k < b.n; k++)
            b.p[k] = (char)rnd(256);
        peer_send(&p, spool, &b, false);
        put_end(&b, 'C', 0, p.lsn);
        peer_send(&p, spool, &b, true);
        if (i % 10 == 9)
            rc = spool_flush(spool, &err);
    }
    assert_int_equal(rc, ERR_IO);
    assert_non_null(strstr(err.msg, dir));
    assert_int_equal(spool_flush(spool, &err), ERR_IO);
    CLEANUP(buf_deinit) struct buf part = {0};
    unsigned markers;
    OK(read_all(spool, &part, &markers));
    assert_true(part.n > 0 && part.n < p.all.n && memcmp(part.p, p.all.p, part.n) == 0);
    make_room(arg);
    OK(spool_flush(spool, &err));
    assert_holds(spool, &p.all);
    spool_free(spool);
    spool = open_with(dir, 1 << 20, 0);
    assert_holds(spool, &p.all);
    spool_free(spool);
    buf_deinit(&p.all);
    buf_deinit(&p.tail);
}

static void lift_limit(void *arg)
{
    assert_int_equal(setrlimit(RLIMIT_FSIZE, arg), 0);
}

static void test_spool__failing_writes_lose_nothing(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("failing");
    struct rlimit old, small;
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 300000 + 77; /* below the size of a segment, in the midst of a block */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fill_and_go_on(dir, lift_limit, &old);
}

static void remove_ballast(void *arg)
{
    assert_int_equal(unlink(arg), 0);
}

static void test_spool__full_disk_goes_on_when_there_is_space(void **state)
{
    CLEANUP(mem_freep)
    char *dir = test_dir("tmpfs"), *in = mem_printf("%s/spool", dir), *ballast = mem_printf("%s/b", dir);
    CLEANUP(mem_freep) char *bytes = mem_alloc(3 << 20);
    (void)state;
    OK(file_make_dirs(dir, &err));
    if (mount("none", dir, "tmpfs", 0, "size=6m")) {
        print_message("skipped: a small file system cannot be mounted here (%s)\n", strerror(errno));
        skip();
    }
    OK(file_create_new(ballast, bytes, 3 << 20, &err));
    fill_and_go_on(in, remove_ballast, ballast);
    assert_int_equal(umount(dir), 0);
}

static void test_spool__second_opener_is_told_the_pid(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("lock");
    CLEANUP(spool_freep) struct spool *spool = open_with(dir, 0, 0);
    struct spool_config config = {.dir = dir};
    struct spool *other = NULL;
    char pid[32];
    (void)state;
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_int_equal(spool_open(&config, &other, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.msg, pid));
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

static void test_spool__readers_and_trim_run_beside_the_writer(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("threads");
    CLEANUP(spool_freep) struct spool *spool = open_with(dir, 20000, 0);
    struct shared a = {spool, true, 0};
    pthread_t t[1];
    uint64_t rows = 0, durable;
    (void)state;
    pthread_create(&t[0], NULL, read_thread, &a);
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
    pthread_join(t[0], NULL);
    assert_int_equal(a.rows, rows);
    struct spool_stats st;
    spool_stats(spool, &st);
    assert_true(st.first_segment > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format__block_survives_round_trip_and_no_change),
        cmocka_unit_test(test_format__bytes_are_as_drawn),
        cmocka_unit_test(test_format__segment_header_refuses_damage_and_newer_formats),
        cmocka_unit_test(test_spool__random_frames_are_read_as_written_across_reopens),
        cmocka_unit_test(test_spool__reader_sees_only_whole_transactions),
        cmocka_unit_test(test_spool__message_larger_than_a_block),
        cmocka_unit_test(test_spool__bad_messages_are_refused_and_not_taken),
        cmocka_unit_test(test_spool__seek_reads_streamed_chunks_again),
        cmocka_unit_test(test_spool__cut_at_every_byte_recovers_to_the_last_whole_commit),
        cmocka_unit_test(test_spool__what_was_synced_is_never_lost_in_silence),
        cmocka_unit_test(test_spool__flipped_bit_in_an_older_block_names_its_place),
        cmocka_unit_test(test_spool__flipped_bit_in_an_older_segment_is_found_by_the_reader),
        cmocka_unit_test(test_spool__restart_marker_forgets_the_unfinished_tail),
        cmocka_unit_test(test_spool__message_sent_again_after_a_reconnect_is_left_out),
        cmocka_unit_test(test_spool__segment_starts_with_the_definitions_in_force),
        cmocka_unit_test(test_spool__trim_keeps_what_is_needed),
        cmocka_unit_test(test_spool__quota_waits_for_sinks_and_names_the_setting_when_waiting_is_in_vain),
        cmocka_unit_test(test_spool__failing_writes_lose_nothing),
        cmocka_unit_test(test_spool__full_disk_goes_on_when_there_is_space),
        cmocka_unit_test(test_spool__second_opener_is_told_the_pid),
        cmocka_unit_test(test_spool__readers_and_trim_run_beside_the_writer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
