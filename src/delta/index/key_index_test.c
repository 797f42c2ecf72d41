/* Tests of the key index: against a plain list, epochs, growth, crashes, reboots, a full disk. */
#include "delta/index/key_index.h"

#include "base/crash.h"
#include "base/file.h"
#include "base/mem.h"
#include "delta/index/key_table.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static char dir[512], path[600];
static const struct key_index_options opts = {.table_id = 11, .fingerprint = 22};

static int setup(void **state)
{
    const char *tmp = getenv("SLUICE_TEST_TMP");
    struct err err;
    (void)state;
    snprintf(dir, sizeof dir, "%s/key_index_test.%d", tmp ? tmp : "/tmp", (int)getpid());
    snprintf(path, sizeof path, "%s/keys.idx", dir);
    return file_remove_tree(dir, &err) < 0 || file_make_dirs(dir, &err) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    struct err err;
    (void)state;
    return file_remove_tree(dir, &err);
}

/* Key k; its hash. */
static struct hash128 hash_of(uint64_t k)
{
    return hash128(&k, sizeof k);
}

static struct key_index *build(const struct key_index_options *opt, uint64_t first, uint64_t n, int64_t version)
{
    CLEANUP(key_index_build_freep) struct key_index_build *b = NULL;
    struct key_index *idx = NULL;
    struct err err = {0};

    assert_int_equal(key_index_build_begin(path, opt, &b, &err), 0);
    for (uint64_t k = first; k < first + n; k++) {
        struct hash128 h = hash_of(k);
        uint32_t file = (uint32_t)(k % 7), row = (uint32_t)k;
        assert_int_equal(key_index_build_add(b, &h, &file, &row, 1, &err), 0);
    }
    if (key_index_build_finish(b, version, &idx, &err) < 0)
        fail_msg("%s", err.msg);
    return idx;
}

/* The entries of key k: how many, and the one when it is one. */
static size_t entries(struct key_index *idx, uint64_t k, uint32_t *ret_file, uint32_t *ret_row)
{
    struct key_cursor c = key_index_get(idx, hash_of(k));
    uint32_t file, row;
    size_t n = 0;

    while (key_cursor_next(&c, &file, &row) == 0) {
        n++;
        if (ret_file)
            *ret_file = file;
        if (ret_row)
            *ret_row = row;
    }
    return n;
}

static void check_built(struct key_index *idx, uint64_t first, uint64_t n)
{
    for (uint64_t k = first; k < first + n; k++) {
        uint32_t file, row;
        assert_int_equal(entries(idx, k, &file, &row), 1);
        assert_int_equal(file, k % 7);
        assert_int_equal(row, k);
    }
    assert_int_equal(entries(idx, first + n, NULL, NULL), 0);
}

static void test_build__finds_all_and_nothing_else(void **state)
{
    static const uint64_t sizes[] = {0, 1, 613, 100000};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        CLEANUP(key_index_freep) struct key_index *idx = build(&opts, 0, sizes[i], 5);
        assert_int_equal(key_index_info(idx).n, sizes[i]);
        assert_int_equal(key_index_info(idx).version, 5);
        check_built(idx, 0, sizes[i]);
    }
}

static void test_build__spills_past_its_memory(void **state)
{
    struct key_index_options small = opts;
    (void)state;
    small.build_mem_max = 1; /* one chunk a partition */
    CLEANUP(key_index_freep) struct key_index *idx = build(&small, 0, 1200000, 5);
    check_built(idx, 0, 1200000);
    assert_int_equal(file_size(path), (int64_t)key_index_info(idx).bytes);
    char left[700];
    snprintf(left, sizeof left, "%s.spill", path);
    assert_false(file_exists(left));
    snprintf(left, sizeof left, "%s.new", path);
    assert_false(file_exists(left));
}

static void test_build__that_is_given_up_leaves_the_old_one(void **state)
{
    CLEANUP(key_index_build_freep) struct key_index_build *b = NULL;
    struct key_index *idx = build(&opts, 0, 10, 1);
    struct err err;
    (void)state;
    key_index_free(idx);
    assert_int_equal(key_index_build_begin(path, &opts, &b, &err), 0);
    struct hash128 h = hash_of(99);
    assert_int_equal(key_index_build_add(b, &h, &(uint32_t){0}, &(uint32_t){0}, 1, &err), 0);
    key_index_build_freep(&b);
    assert_int_equal(key_index_open(path, &opts, &idx, &err), 0);
    check_built(idx, 0, 10);
    key_index_free(idx);
}

static void test_build__too_many_rows_of_one_key_is_an_error(void **state)
{
    CLEANUP(key_index_build_freep) struct key_index_build *b = NULL;
    struct key_index *idx = NULL;
    struct hash128 h = hash_of(1);
    struct err err;
    (void)state;
    assert_int_equal(key_index_build_begin(path, &opts, &b, &err), 0);
    for (uint32_t row = 0; row <= KEY_INDEX_SAME_MAX; row++)
        assert_int_equal(key_index_build_add(b, &h, &(uint32_t){0}, &row, 1, &err), 0);
    assert_int_equal(key_index_build_finish(b, 1, &idx, &err), ERR_LIMIT);
    assert_false(file_exists(path));
}

/* --- against an oracle --- */

enum { KEYS = 400, FILES = 3, ROWS = 5, STEPS = 60000 };
/* Which (file, row) of each key are there: now, and at each version. */
enum { VERSIONS = 100 };
static bool now[KEYS][FILES][ROWS], at_version[VERSIONS][KEYS][FILES][ROWS];

static void check_key(struct key_index *idx, uint64_t k)
{
    bool seen[FILES][ROWS] = {0};
    struct key_cursor c = key_index_get(idx, hash_of(k));
    uint32_t file, row;

    while (key_cursor_next(&c, &file, &row) == 0) {
        assert_true(file < FILES && row < ROWS && !seen[file][row]);
        seen[file][row] = true;
    }
    assert_memory_equal(seen, now[k], sizeof seen);
}

static void check_all(struct key_index *idx)
{
    for (uint64_t k = 0; k < KEYS; k++)
        check_key(idx, k);
}

static void step_change(struct key_index *idx, uint64_t r)
{
    uint64_t k = r % KEYS;
    uint32_t file = (uint32_t)(r >> 16) % FILES, row = (uint32_t)(r >> 24) % ROWS;
    struct err err;

    switch (r >> 40 & 7) {
    case 0:
    case 1:
        assert_int_equal(key_index_replace(idx, hash_of(k), file, row, &err), 0);
        memset(now[k], 0, sizeof now[k]);
        now[k][file][row] = true;
        break;
    case 2:
        assert_int_equal(key_index_clear(idx, hash_of(k), &err), 0);
        memset(now[k], 0, sizeof now[k]);
        break;
    case 3:
    case 4:
        assert_int_equal(key_index_del(idx, hash_of(k), file, row, &err), 0);
        now[k][file][row] = false;
        break;
    default:
        assert_int_equal(key_index_put(idx, hash_of(k), file, row, &err), 0);
        now[k][file][row] = true;
    }
    check_key(idx, k);
}

static void rebuild_from_now(struct key_index **idx, const struct key_index_options *opt, int64_t version)
{
    CLEANUP(key_index_build_freep) struct key_index_build *b = NULL;
    struct err err;

    key_index_freep(idx);
    assert_int_equal(key_index_build_begin(path, opt, &b, &err), 0);
    for (uint64_t k = 0; k < KEYS; k++)
        for (uint32_t file = 0; file < FILES; file++)
            for (uint32_t row = 0; row < ROWS; row++) {
                struct hash128 h = hash_of(k);
                if (now[k][file][row])
                    assert_int_equal(key_index_build_add(b, &h, &file, &row, 1, &err), 0);
            }
    assert_int_equal(key_index_build_finish(b, version, idx, &err), 0);
}

static void run_oracle(size_t overlay_max, size_t limit_rss, uint32_t lag_max)
{
    struct key_index_options opt = opts;
    opt.overlay_max = overlay_max;
    opt.rss_max = limit_rss; /* the smallest: everything goes the other way */
    opt.lag_max = lag_max;
    struct key_index *idx = build(&opt, 0, 0, 0);
    uint64_t seed = overlay_max;
    int64_t version = 0;
    struct err err;

    memset(now, 0, sizeof now);
    memset(at_version, 0, sizeof at_version);
    for (int i = 0; i < STEPS; i++) {
        uint64_t x = (uint64_t)i * 2654435761u + seed;
        uint64_t r = hash64(&x, sizeof x);
        if (r >> 52 == 1 || r >> 52 == 2) {
            assert_int_equal(key_index_commit(idx, ++version, &err), 0);
            assert_in_range(version, 1, VERSIONS - 1);
            memcpy(at_version[version], now, sizeof now);
        } else if (r >> 52 == 4) { /* goes away without a word: as at its version, or not to be used */
            int64_t newest = version;
            key_index_freep(&idx);
            int rc = key_index_open(path, &opt, &idx, &err);
            version = rc == 0 ? key_index_info(idx).version : newest;
            assert_true(newest - lag_max <= version && version <= newest);
            memcpy(now, at_version[version], sizeof now);
            if (rc == ERR_NOT_FOUND)
                rebuild_from_now(&idx, &opt, version);
        } else {
            step_change(idx, r);
            continue;
        }
        check_all(idx);
    }
    assert_true(version > 5);
    key_index_free(idx);
}

static void test_key_index__random_changes_against_an_oracle(void **state)
{
    (void)state;
    run_oracle(0, 0, 0);
    run_oracle(0, 1, 0);
    run_oracle(0, 0, 3);
    run_oracle(0, 1, 3);
}

static void test_key_index__random_changes_with_an_overlay_that_overflows(void **state)
{
    (void)state;
    run_oracle(50, 0, 0);
    run_oracle(1, 1, 0);
    run_oracle(50, 1, 3);
}

/* --- growth --- */

static void test_key_index__grows_and_keeps_everything(void **state)
{
    CLEANUP(key_index_freep) struct key_index *idx = build(&opts, 0, 1000, 1);
    uint64_t cap = key_index_info(idx).cap;
    struct err err;
    (void)state;
    for (uint64_t k = 1000; k < 50000; k++) {
        assert_int_equal(key_index_put(idx, hash_of(k), (uint32_t)(k % 7), (uint32_t)k, &err), 0);
        if (k % 5000 == 0)
            assert_int_equal(key_index_commit(idx, (int64_t)k, &err), 0);
    }
    assert_int_equal(key_index_commit(idx, 50000, &err), 0);
    assert_true(key_index_info(idx).cap > cap);
    assert_true(key_index_info(idx).n * 10 <= key_index_info(idx).cap * 7 + 10);
    check_built(idx, 0, 50000);
    key_index_freep(&idx);
    assert_int_equal(key_index_open(path, &opts, &idx, &err), 0);
    assert_int_equal(key_index_info(idx).version, 50000);
    check_built(idx, 0, 50000);
}

static void test_key_index__one_key_that_changes_often_in_an_epoch(void **state)
{
    CLEANUP(key_index_freep) struct key_index *idx = build(&opts, 0, 10, 1);
    uint32_t row;
    struct err err;
    (void)state;
    for (uint32_t i = 0; i < 3 * KEY_INDEX_SAME_MAX; i++) {
        assert_int_equal(key_index_put(idx, hash_of(3), 8, i, &err), 0);
        if (i > 0)
            assert_int_equal(key_index_del(idx, hash_of(3), 8, i - 1, &err), 0);
        assert_int_equal(key_index_replace(idx, hash_of(4), 9, i, &err), 0);
    }
    assert_int_equal(entries(idx, 3, NULL, NULL), 2);
    assert_int_equal(key_index_commit(idx, 2, &err), 0);
    assert_int_equal(entries(idx, 3, NULL, NULL), 2);
    assert_int_equal(entries(idx, 4, NULL, &row), 1);
    assert_int_equal(row, 3 * KEY_INDEX_SAME_MAX - 1);
    assert_true(key_index_info(idx).cap < 10000);
}

/* --- what open accepts --- */

static void test_key_index_open__refuses_what_is_not_ours(void **state)
{
    struct key_index *idx = build(&opts, 0, 10, 1), *other = NULL;
    struct key_index_options opt = opts;
    struct err err;
    (void)state;
    assert_int_equal(key_index_open(path, &opts, &other, &err), ERR_CONFLICT);
    key_index_free(idx);
    opt.table_id++;
    assert_int_equal(key_index_open(path, &opt, &idx, &err), ERR_NOT_FOUND);
    opt = opts;
    opt.fingerprint++;
    assert_int_equal(key_index_open(path, &opt, &idx, &err), ERR_NOT_FOUND);
    assert_int_equal(truncate(path, file_size(path) - 1), 0);
    assert_int_equal(key_index_open(path, &opts, &idx, &err), ERR_NOT_FOUND);
    for (off_t n = 0; n < (off_t)sizeof(struct key_head); n += 7) {
        key_index_free(build(&opts, 0, 10, 1));
        assert_int_equal(truncate(path, n), 0);
        assert_int_equal(key_index_open(path, &opts, &idx, &err), ERR_NOT_FOUND);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(key_index_open(path, &opts, &idx, &err), ERR_NOT_FOUND);
}

/* As if the machine had been restarted since the file was written. */
static void change_boot_id(void)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "00000000", 8, offsetof(struct key_head, boot_id)), 8);
    close(fd);
}

static void test_key_index_open__after_a_reboot_only_when_synced(void **state)
{
    struct key_index *idx = build(&opts, 0, 10, 1);
    struct err err;
    (void)state;
    key_index_freep(&idx);
    change_boot_id();
    assert_int_equal(key_index_open(path, &opts, &idx, &err), ERR_NOT_FOUND);

    idx = build(&opts, 0, 10, 1);
    assert_int_equal(key_index_sync(idx, &err), 0);
    key_index_freep(&idx);
    change_boot_id();
    assert_int_equal(key_index_open(path, &opts, &idx, &err), 0);
    check_built(idx, 0, 10);
    /* The first change of this boot takes that back. */
    assert_int_equal(key_index_replace(idx, hash_of(1), 0, 1, &err), 0);
    assert_int_equal(key_index_sync(idx, &err), ERR_NOT_FOUND); /* in the midst of an epoch */
    assert_int_equal(key_index_commit(idx, 2, &err), 0);
    key_index_freep(&idx);
    assert_int_equal(key_index_open(path, &opts, &idx, &err), 0);
    key_index_freep(&idx);
    change_boot_id();
    assert_int_equal(key_index_open(path, &opts, &idx, &err), ERR_NOT_FOUND);
}

/* --- crashes --- */

/* A child opens the index and does this until it is killed; after `rest_after` commits (0: never) it only waits for that. */
static void run_child(int pipe_fd, size_t overlay_max, int rest_after)
{
    struct key_index_options opt = opts;
    struct key_index *idx = NULL;
    struct err err;

    opt.overlay_max = overlay_max;
    if (key_index_open(path, &opt, &idx, &err) < 0)
        _exit(1);
    for (int64_t version = key_index_info(idx).version + 1;; version++) {
        for (uint64_t k = 0; k < 300; k++)
            if (key_index_replace(idx, hash_of((uint64_t)version * 100 + k), 1, (uint32_t)version, &err) < 0)
                _exit(2);
        if (key_index_commit(idx, version, &err) < 0 || write(pipe_fd, &version, sizeof version) < 0)
            _exit(3);
        while (rest_after && --rest_after == 0)
            pause();
    }
}

/* Kills a child after some commits, while it goes on or rests; returns the newest version that it reported. */
static int64_t kill_child(int commits, size_t overlay_max, bool rests)
{
    int fds[2], status;
    int64_t version = -1;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0)
        run_child(fds[1], overlay_max, rests ? commits : 0);
    close(fds[1]);
    for (int i = 0; i < commits; i++)
        assert_int_equal(read(fds[0], &version, sizeof version), sizeof version);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    while (read(fds[0], &version, sizeof version) == sizeof version)
        ;
    close(fds[0]);
    return version;
}

static void test_key_index__killed_at_any_moment_is_whole_or_refused(void **state)
{
    struct err err;
    int good = 0, refused = 0;
    (void)state;
    key_index_free(build(&opts, 1000000, 10, 0));
    for (int round = 0; round < 40; round++) {
        bool rests = round % 8 == 7;
        int64_t reported = kill_child(1 + round % 5, round % 2 ? 64 : 0, rests);
        struct key_index *idx = NULL;
        int rc = key_index_open(path, &opts, &idx, &err);
        if (rc == ERR_NOT_FOUND && !rests) {
            refused++;
            idx = build(&opts, 1000000, 10, reported);
        } else {
            assert_int_equal(rc, 0);
            good++;
            int64_t version = key_index_info(idx).version;
            assert_true(version == reported || version == reported + 1);
            for (uint64_t k = 0; k < 300; k++) {
                uint32_t row;
                assert_int_equal(entries(idx, (uint64_t)version * 100 + k, NULL, &row), 1);
                assert_int_equal(row, version);
            }
            assert_int_equal(entries(idx, (uint64_t)version * 100 + 300, NULL, NULL), 0);
        }
        key_index_free(idx);
    }
    print_message("             %d whole, %d refused\n", good, refused);
}

/* A child that dies at a named step leaves a file that is refused. */
static void die_at(const char *step, size_t overlay_max)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        setenv("SLUICE_CRASH_AT", step, 1);
        atomic_store(&crash_state, CRASH_UNREAD);
        alarm(60);
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        run_child(null, overlay_max, 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_key_index__death_within_a_commit_or_spill_is_noticed(void **state)
{
    static const char *const steps[] = {"key_index_dirty:2", "key_index_applied", "key_index_spilled:3"};
    struct key_index *idx = NULL;
    struct err err;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        key_index_free(build(&opts, 0, 10, 1));
        die_at(steps[i], i == 2 ? 50 : 0);
        assert_int_equal(key_index_open(path, &opts, &idx, &err), ERR_NOT_FOUND);
        assert_non_null(strstr(err.msg, "crash"));
    }
}

/* --- limits --- */

static void test_key_index__full_disk_is_an_error_and_no_signal(void **state)
{
    CLEANUP(key_index_freep) struct key_index *idx = NULL;
    struct err err = {0};
    int rc = 0;
    (void)state;
    if (mount("tmpfs", dir, "tmpfs", 0, "size=1m") < 0) {
        print_message("skipped: no right to mount a small tmpfs\n");
        skip();
    }
    idx = build(&opts, 0, 20000, 1); /* 670 KB */
    for (uint64_t k = 20000; rc == 0 && k < 60000; k++) {
        rc = key_index_put(idx, hash_of(k), 1, 1, &err);
        if (rc == 0 && k % 1000 == 0)
            rc = key_index_commit(idx, (int64_t)k, &err);
    }
    bool stale = key_index_info(idx).stale;
    key_index_freep(&idx);
    int reopened = key_index_open(path, &opts, &idx, NULL);
    assert_int_equal(umount2(dir, MNT_DETACH), 0);
    assert_int_equal(rc, ERR_IO);
    assert_non_null(strstr(err.msg, "No space left"));
    assert_true(stale);
    assert_int_equal(reopened, ERR_NOT_FOUND);
}

/* Bytes of the index file that are mapped in. */
static size_t resident(void)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[1024];
    size_t kb, total = 0;
    bool ours = false;

    while (fgets(line, sizeof line, f)) {
        if (strstr(line, "keys.idx"))
            ours = true;
        else if (ours && sscanf(line, "Rss: %zu kB", &kb) == 1) {
            total += kb << 10;
            ours = false;
        }
    }
    fclose(f);
    return total;
}

static void test_key_index__resident_memory_stays_within_its_limit(void **state)
{
    struct key_index_options opt = opts;
    struct err err;
    (void)state;
    opt.rss_max = 2 << 20;
    CLEANUP(key_index_freep) struct key_index *idx = build(&opt, 0, 600000, 1); /* 20 MB */
    for (uint64_t k = 0; k < 20000; k++) {
        assert_int_equal(entries(idx, k * 29, NULL, NULL), 1);
        if (k % 500 == 0)
            assert_true(resident() <= opt.rss_max + (256 << 10));
    }
    for (uint64_t k = 0; k < 20000; k++)
        assert_int_equal(key_index_replace(idx, hash_of(k * 29), 1, 1, &err), 0);
    assert_int_equal(key_index_commit(idx, 2, &err), 0);
    assert_true(resident() <= opt.rss_max + (256 << 10));
}

/* Key k as it is after `round` rounds of changes: in file `round`, gone, or as it was. */
static void change_keys(struct key_index *idx, uint64_t n, uint64_t step, uint32_t round)
{
    struct err err;

    for (uint64_t k = 0; k < n; k += step) {
        struct hash128 h = hash_of(k);
        int rc = k % 3 == 1   ? key_index_replace(idx, h, round, (uint32_t)k, &err)
                 : k % 6 == 5 ? key_index_del(idx, h, (uint32_t)(k % 7), (uint32_t)k, &err)
                              : key_index_clear(idx, h, &err);
        assert_int_equal(rc, 0);
        if (k % 6 == 2)
            assert_int_equal(key_index_put(idx, h, round, (uint32_t)k, &err), 0);
    }
}

static void check_changed(struct key_index *idx, uint64_t n, uint64_t step, uint32_t round)
{
    for (uint64_t k = 0; k < n; k++) {
        bool changed = k % step == 0, gone = changed && (k % 3 == 0 || k % 6 == 5);
        uint32_t file = 0, row = 0;
        assert_int_equal(entries(idx, k, &file, &row), gone ? 0 : 1);
        if (!gone) {
            assert_int_equal(file, changed ? round : k % 7);
            assert_int_equal(row, k);
        }
    }
}

static void test_key_index__changes_close_together_and_far_apart_with_limited_memory(void **state)
{
    static const uint64_t steps[] = {1, 5, 100, 20011};
    struct key_index_options opt = opts;
    (void)state;
    opt.rss_max = 1 << 20;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        CLEANUP(key_index_freep) struct key_index *idx = build(&opt, 0, 300000, 1);
        struct err err;
        change_keys(idx, 300000, steps[i], 100);
        assert_int_equal(key_index_commit(idx, 2, &err), 0);
        assert_int_equal(key_index_info(idx).overlay_n, 0);
        check_changed(idx, 300000, steps[i], 100);
        assert_true(resident() <= opt.rss_max + (256 << 10));
    }
}

static void test_key_index__the_file_follows_some_commits_late_and_at_the_end(void **state)
{
    struct key_index_options opt = opts;
    struct key_index_file f;
    struct key_index *idx;
    struct err err;
    (void)state;
    opt.lag_max = 2;
    idx = build(&opt, 0, 5000, 1);
    for (int64_t version = 2; version <= 5; version++) {
        change_keys(idx, 5000, 50, (uint32_t)version);
        assert_int_equal(key_index_commit(idx, version, &err), 0);
        assert_int_equal(key_index_info(idx).version, version);
        check_changed(idx, 5000, 50, (uint32_t)version);
        assert_int_equal(key_index_look(path, &f, &err), 0);
        assert_true(f.clean);
        assert_int_equal(f.version, version < 4 ? 1 : 4);
    }
    key_index_freep(&idx);
    assert_int_equal(key_index_open(path, &opt, &idx, &err), 0);
    assert_int_equal(key_index_info(idx).version, 5);
    check_changed(idx, 5000, 50, 5);
    change_keys(idx, 5000, 50, 6);
    assert_int_equal(key_index_commit(idx, 6, &err), 0);
    assert_int_equal(key_index_put(idx, hash_of(1), 7, 7, &err), 0);
    key_index_freep(&idx); /* an epoch was open: the file stays where it is */
    assert_int_equal(key_index_open(path, &opt, &idx, &err), 0);
    assert_int_equal(key_index_info(idx).version, 5);
    check_changed(idx, 5000, 50, 5);
    key_index_free(idx);
}

static void test_key_index__a_small_one_takes_many_in_one_epoch(void **state)
{
    CLEANUP(key_index_freep) struct key_index *idx = build(&opts, 0, 1, 1);
    struct err err;
    (void)state;
    for (uint32_t i = 0; i < 200000; i++)
        assert_int_equal(key_index_replace(idx, hash_of(i), 8, i, &err), 0);
    if (key_index_commit(idx, 2, &err))
        fail_msg("%s", err.msg);
    for (uint32_t i = 0, row; i < 200000; i++) {
        assert_int_equal(entries(idx, i, NULL, &row), 1);
        assert_int_equal(row, i);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_build__finds_all_and_nothing_else),
        TEST(test_build__spills_past_its_memory),
        TEST(test_build__that_is_given_up_leaves_the_old_one),
        TEST(test_build__too_many_rows_of_one_key_is_an_error),
        TEST(test_key_index__random_changes_against_an_oracle),
        TEST(test_key_index__random_changes_with_an_overlay_that_overflows),
        TEST(test_key_index__grows_and_keeps_everything),
        TEST(test_key_index__one_key_that_changes_often_in_an_epoch),
        TEST(test_key_index__a_small_one_takes_many_in_one_epoch),
        TEST(test_key_index__changes_close_together_and_far_apart_with_limited_memory),
        TEST(test_key_index__the_file_follows_some_commits_late_and_at_the_end),
        TEST(test_key_index_open__refuses_what_is_not_ours),
        TEST(test_key_index_open__after_a_reboot_only_when_synced),
        TEST(test_key_index__killed_at_any_moment_is_whole_or_refused),
        TEST(test_key_index__death_within_a_commit_or_spill_is_noticed),
        TEST(test_key_index__full_disk_is_an_error_and_no_signal),
        TEST(test_key_index__resident_memory_stays_within_its_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
