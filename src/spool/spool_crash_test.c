/* Tests of the spool: crashes, damage, full disks, quota. Nothing is lost and nothing comes twice. */
#include "spool/test_tools.h"

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

static void test_spool__all_passed_lets_even_the_newest_segment_go(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("pass_all");
    struct spool *spool = open_with(dir, 10000, 20000);
    struct spool_reader *reader = NULL;
    struct spool_frame f;
    struct spool_stats st;
    uint64_t lsn, end;
    (void)state;
    OK(spool_reader_open(spool, &reader, &err));
    put_transaction(spool, 1000, 2000, 1000); /* one segment, larger than the quota */
    OK(spool_flush(spool, &err));
    assert_int_equal(spool_has_room(spool, &err), 0);
    while (spool_reader_next(reader, &f, NULL, NULL) == 0)
        ;
    OK(spool_trim(spool, 1008, spool_reader_pos(reader), &err));
    assert_int_equal(spool_has_room(spool, &err), 1);
    spool_stats(spool, &st);
    assert_int_equal(st.n_segments, 1);
    assert_true(st.disk_bytes < 200);
    assert_int_equal(spool_reader_next(reader, &f, NULL, NULL), 1);
    OK(spool_sync(spool, &end, &err));
    assert_int_equal(end, 1008);
    spool_reader_free(reader);
    spool_free(spool);
    spool = open_with(dir, 10000, 20000); /* an empty segment still knows how far the log was */
    spool_last_commit(spool, &lsn, &end);
    assert_int_equal(lsn, 1000);
    assert_int_equal(end, 1008);
    spool_free(spool);
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

static void test_spool__opens_and_is_read_on_a_full_disk(void **state)
{
    CLEANUP(mem_freep) char *dir = test_dir("full_open");
    struct spool *spool = open_with(dir, 0, 0);
    CLEANUP(buf_deinit) struct buf got = {0};
    struct rlimit old, none;
    unsigned markers;
    (void)state;
    put_transaction(spool, 1000, 3, 100);
    OK(spool_flush(spool, &err));
    spool_free(spool);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    none = old;
    none.rlim_cur = 1;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    spool = open_with(dir, 0, 0);
    OK(read_all(spool, &got, &markers));
    assert_true(got.n > 300);
    assert_int_equal(markers, 0); /* waits in memory, before whatever comes next */
    put_transaction(spool, 2000, 3, 100);
    assert_int_equal(spool_flush(spool, &err), ERR_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    OK(spool_flush(spool, &err));
    OK(read_all(spool, &got, &markers));
    assert_int_equal(markers, 1);
    spool_free(spool);
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
    OK(file_replace(ballast, bytes, 3 << 20, &err));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spool__cut_at_every_byte_recovers_to_the_last_whole_commit),
        cmocka_unit_test(test_spool__what_was_synced_is_never_lost_in_silence),
        cmocka_unit_test(test_spool__flipped_bit_in_an_older_block_names_its_place),
        cmocka_unit_test(test_spool__flipped_bit_in_an_older_segment_is_found_by_the_reader),
        cmocka_unit_test(test_spool__trim_keeps_what_is_needed),
        cmocka_unit_test(test_spool__quota_waits_for_sinks_and_names_the_setting_when_waiting_is_in_vain),
        cmocka_unit_test(test_spool__all_passed_lets_even_the_newest_segment_go),
        cmocka_unit_test(test_spool__failing_writes_lose_nothing),
        cmocka_unit_test(test_spool__opens_and_is_read_on_a_full_disk),
        cmocka_unit_test(test_spool__full_disk_goes_on_when_there_is_space),
        cmocka_unit_test(test_spool__second_opener_is_told_the_pid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
