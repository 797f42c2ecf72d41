/*
 * The memory-mapped hash file of the key index (its form: key_table.h).
 *
 * Disk space is allocated before it is mapped, so that a full disk is an error here and not a SIGBUS in the middle of a
 * commit. A kill of the process loses nothing that was stored to the mapping: the page cache has it.
 */
#include "delta/index/key_table.h"

#include "base/file.h"
#include "base/mem.h"
#include "delta/index/key_index.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum {
    PIECE_SHIFT = 16,                                  /* a fault maps in the 64 KiB around it */
    TRIM_EVERY = (16 << 20) / sizeof(struct key_slot), /* slots of a sequential pass between two trims */
    CAP_MIN = KEY_CAP_STEP,                            /* slots */
};

int key_boot_id(char ret[KEY_BOOT_ID], struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {.max = 4096};

    TRY(file_read("/proc/sys/kernel/random/boot_id", &text, err));
    struct str id = str_trim(buf_str(&text));
    memset(ret, 0, KEY_BOOT_ID);
    memcpy(ret, id.p, MIN(id.n, KEY_BOOT_ID - 1u));
    return 0;
}

uint64_t key_cap_for(uint64_t n)
{
    uint64_t cap = n / 6 * 10 + 10;

    return MAX((cap + KEY_CAP_STEP - 1) / KEY_CAP_STEP * KEY_CAP_STEP, (uint64_t)CAP_MIN);
}

static void table_map_done(struct key_table *t, void *map)
{
    t->head = map;
    t->slots = (struct key_slot *)((char *)map + KEY_HEAD_BYTES);
    t->limit = t->cap / 10 * 7;
    /* Look-ups are random: reading ahead of a fault would only fill the cache. */
    madvise(map, t->bytes, MADV_RANDOM);
}

static int table_lock(const struct key_table *t, const char *path, struct err *err)
{
    if (flock(t->fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return err_set_errno(err, "lock %s", path);
    err_set(err, ERR_CONFLICT, "the key index %s is in use by another process", path);
    return err_hint(err, "only one process can write to a table with a key index at a time");
}

static int table_create(struct key_table *t, const char *path, struct err *err)
{
    t->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (t->fd < 0)
        return err_set_errno(err, "create %s", path);
    TRY(table_lock(t, path, err));
    if (ftruncate(t->fd, 0) < 0)
        return err_set_errno(err, "truncate %s", path);
    int rc = posix_fallocate(t->fd, 0, (off_t)t->bytes);
    if (rc != 0) {
        errno = rc;
        return err_set_errno(err, "allocate %zu bytes for %s", t->bytes, path);
    }
    void *map = mmap(NULL, t->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
    if (map == MAP_FAILED)
        return err_set_errno(err, "map %s", path);
    table_map_done(t, map);
    memcpy(t->head->magic, key_magic, sizeof key_magic);
    t->head->format = KEY_FORMAT;
    t->head->cap = t->cap;
    return key_boot_id(t->head->boot_id, err);
}

int key_table_create(const char *path, uint64_t cap, struct key_table *ret, struct err *err)
{
    CLEANUP(mem_freep) char *tmp = mem_printf("%s.new", path);
    struct key_table t = {.path = mem_strdup(path), .fd = -1, .cap = cap};

    assert(cap > 0 && cap % KEY_CAP_STEP == 0);
    t.bytes = KEY_HEAD_BYTES + cap * sizeof(struct key_slot);
    int rc = table_create(&t, tmp, err);
    if (rc == ERR_CONFLICT)
        key_table_close(&t);
    else if (rc < 0)
        key_table_discard(&t);
    else
        *ret = t;
    return rc;
}

int key_table_publish(struct key_table *t, struct err *err)
{
    CLEANUP(mem_freep) char *tmp = mem_printf("%s.new", t->path);

    if (rename(tmp, t->path) < 0)
        return err_set_errno(err, "rename %s to %s", tmp, t->path);
    return 0;
}

static int table_open(struct key_table *t, struct err *err)
{
    struct key_head head;
    struct stat st;

    t->fd = open(t->path, O_RDWR | O_CLOEXEC);
    if (t->fd < 0)
        return err_set_errno(err, "open %s", t->path);
    TRY(table_lock(t, t->path, err));
    if (fstat(t->fd, &st) < 0)
        return err_set_errno(err, "stat %s", t->path);
    ssize_t n = pread(t->fd, &head, sizeof head, 0);
    if (n < 0)
        return err_set_errno(err, "read %s", t->path);
    if (n != sizeof head || memcmp(head.magic, key_magic, sizeof key_magic) != 0 || head.format != KEY_FORMAT)
        return err_set(err, ERR_NOT_FOUND, "%s is no key index of this format", t->path);
    t->cap = head.cap;
    t->bytes = KEY_HEAD_BYTES + head.cap * sizeof(struct key_slot);
    if (head.cap == 0 || head.cap % KEY_CAP_STEP != 0 || head.cap > UINT64_MAX / 64 || head.n >= head.cap ||
        t->bytes != (uint64_t)st.st_size)
        return err_set(err, ERR_NOT_FOUND, "the key index %s is cut short or corrupt", t->path);
    void *map = mmap(NULL, t->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
    if (map == MAP_FAILED)
        return err_set_errno(err, "map %s", t->path);
    table_map_done(t, map);
    return 0;
}

int key_table_open(const char *path, struct key_table *ret, struct err *err)
{
    struct key_table t = {.path = mem_strdup(path), .fd = -1};
    int rc = table_open(&t, err);

    if (rc < 0)
        key_table_close(&t);
    else
        *ret = t;
    return rc;
}

void key_table_close(struct key_table *t)
{
    if (!t->path)
        return;
    if (t->head)
        munmap(t->head, t->bytes);
    file_closep(&t->fd);
    mem_free(t->touched);
    mem_free(t->path);
    *t = (struct key_table){0};
}

void key_table_discard(struct key_table *t)
{
    CLEANUP(mem_freep) char *tmp = mem_printf("%s.new", t->path);

    unlink(tmp);
    key_table_close(t);
}

/* --- resident memory --- */

static size_t touched_bytes(const struct key_table *t)
{
    return ((t->bytes >> PIECE_SHIFT) / 64 + 2) * sizeof *t->touched;
}

void key_table_limit(struct key_table *t, size_t rss_max)
{
    t->rss_wanted = rss_max;
    t->rss_max = rss_max < t->bytes ? rss_max : 0;
    if (rss_max > 0 && t->rss_max == 0) /* all of it will be wanted soon: one long read, where it is not in memory */
        madvise(t->head, t->bytes, MADV_WILLNEED);
    if (t->rss_max > 0 && !t->touched)
        t->touched = mem_alloc(touched_bytes(t));
}

void key_table_trim(struct key_table *t)
{
    /* On a shared file mapping this only drops the page table entries; the page cache keeps what was stored. */
    madvise(t->head, t->bytes, MADV_DONTNEED);
    if (t->touched)
        memset(t->touched, 0, touched_bytes(t));
    t->n_touched = 0;
}

void key_table_touch_slow(struct key_table *t, uint64_t slot)
{
    size_t unaligned = (uintptr_t)t->head & ((1u << PIECE_SHIFT) - 1); /* pieces are of addresses */
    uint64_t piece = (unaligned + KEY_HEAD_BYTES + slot * sizeof(struct key_slot)) >> PIECE_SHIFT;
    uint64_t bit = 1ull << (piece % 64);

    if (t->touched[piece / 64] & bit)
        return;
    if ((t->n_touched + 1) << PIECE_SHIFT > t->rss_max)
        key_table_trim(t);
    t->touched[piece / 64] |= bit;
    t->n_touched++;
}

size_t key_table_read(const struct key_table *t, uint64_t i, struct key_slot *ret, size_t n)
{
    n = MIN(n, t->cap - i);
    ssize_t got = pread(t->fd, ret, n * sizeof *ret, (off_t)(KEY_HEAD_BYTES + i * sizeof *ret));
    if (got != (ssize_t)(n * sizeof *ret))
        memcpy(ret, &t->slots[i], n * sizeof *ret);
    return n;
}

size_t key_table_read_cached(const struct key_table *t, uint64_t i, struct key_slot *ret, size_t n)
{
    n = MIN(n, t->cap - i);
    struct iovec v = {ret, n * sizeof *ret};
    ssize_t got = preadv2(t->fd, &v, 1, (off_t)(KEY_HEAD_BYTES + i * sizeof *ret), RWF_NOWAIT);
    return got == (ssize_t)v.iov_len ? n : 0;
}

void key_table_read_ahead(const struct key_table *t, uint64_t i, size_t n)
{
    (void)posix_fadvise(t->fd, (off_t)(KEY_HEAD_BYTES + i * sizeof(struct key_slot)),
                        (off_t)(n * sizeof(struct key_slot)), POSIX_FADV_WILLNEED);
}

/* --- changes --- */

static inline uint64_t slot_next(const struct key_table *t, uint64_t i)
{
    return i + 1 == t->cap ? 0 : i + 1;
}

static inline uint64_t slot_distance(const struct key_table *t, uint64_t from, uint64_t to)
{
    return to >= from ? to - from : to + t->cap - from;
}

static inline void slot_store(struct key_table *t, uint64_t i, struct key_slot s)
{
    *key_slot_at(t, i) = s;
    t->low = MIN(t->low, i);
    t->high = MAX(t->high, i + 1);
}

/* Frees slot i: moves up those behind it that would not be found past a gap. */
static void slot_remove(struct key_table *t, uint64_t i)
{
    for (uint64_t j = slot_next(t, i); key_slot_at(t, j)->file1 != 0; j = slot_next(t, j)) {
        uint64_t home = key_home(key_slot_at(t, j)->lo, t->cap);
        if (slot_distance(t, home, j) < slot_distance(t, i, j))
            continue;
        slot_store(t, i, *key_slot_at(t, j));
        i = j;
    }
    slot_store(t, i, (struct key_slot){0});
    t->head->n--;
}

/* Removes the entries of h from slot i on to the end of the run. */
static void run_clear(struct key_table *t, uint64_t i, struct hash128 h)
{
    while (key_slot_at(t, i)->file1 != 0) {
        if (key_slot_is(key_slot_at(t, i), h))
            slot_remove(t, i);
        else
            i = slot_next(t, i);
    }
}

void key_table_clear(struct key_table *t, struct hash128 h)
{
    uint64_t i = key_home(h.lo, t->cap);

    key_table_touch(t, i);
    run_clear(t, i, h);
}

/* Where exactly this entry is; cap when it is nowhere. */
static uint64_t slot_find(struct key_table *t, struct hash128 h, uint32_t file, uint32_t row)
{
    uint64_t i = key_home(h.lo, t->cap);

    key_table_touch(t, i);
    for (; key_slot_at(t, i)->file1 != 0; i = slot_next(t, i))
        if (key_slot_is(key_slot_at(t, i), h) && key_slot_at(t, i)->file1 == file + 1 && key_slot_at(t, i)->row == row)
            return i;
    return t->cap;
}

bool key_table_has(struct key_table *t, struct hash128 h, uint32_t file, uint32_t row)
{
    return slot_find(t, h, file, row) < t->cap;
}

void key_table_del(struct key_table *t, struct hash128 h, uint32_t file, uint32_t row)
{
    uint64_t i = slot_find(t, h, file, row);

    if (i < t->cap)
        slot_remove(t, i);
}

static inline struct key_slot slot_of(struct hash128 h, uint32_t file, uint32_t row)
{
    return (struct key_slot){h.lo, (uint32_t)h.hi, file + 1, row};
}

/* Stores into the free slot i, growing the table first when it is full. */
static int slot_fill(struct key_table *t, uint64_t i, struct hash128 h, uint32_t file, uint32_t row, struct err *err)
{
    if (t->head->n >= t->limit) {
        assert(t->fd >= 0); /* a window cannot grow: its owner has seen to the room */
        TRY(key_table_resize(t, t->cap * 2, err));
        for (i = key_home(h.lo, t->cap); key_slot_at(t, i)->file1 != 0; i = slot_next(t, i))
            ;
    }
    slot_store(t, i, slot_of(h, file, row));
    t->head->n++;
    return 0;
}

int key_table_put(struct key_table *t, struct hash128 h, uint32_t file, uint32_t row, struct err *err)
{
    uint64_t i = key_home(h.lo, t->cap);
    unsigned same = 0;

    key_table_touch(t, i);
    for (; key_slot_at(t, i)->file1 != 0; i = slot_next(t, i)) {
        const struct key_slot *s = key_slot_at(t, i);
        if (!key_slot_is(s, h))
            continue;
        if (s->file1 == file + 1 && s->row == row)
            return 0;
        if (++same >= KEY_INDEX_SAME_MAX)
            return key_error_same(err);
    }
    return slot_fill(t, i, h, file, row, err);
}

int key_table_replace(struct key_table *t, struct hash128 h, uint32_t file, uint32_t row, struct err *err)
{
    uint64_t i = key_home(h.lo, t->cap);

    key_table_touch(t, i);
    for (; key_slot_at(t, i)->file1 != 0; i = slot_next(t, i)) {
        if (!key_slot_is(key_slot_at(t, i), h))
            continue;
        slot_store(t, i, slot_of(h, file, row));
        run_clear(t, slot_next(t, i), h);
        return 0;
    }
    return slot_fill(t, i, h, file, row, err);
}

/* --- another size --- */

int key_table_end(struct key_writer *w, struct err *err)
{
    w->t->head->n = w->n_entries - w->n_carry;
    for (size_t i = 0; i < w->n_carry; i++) {
        const struct key_slot *e = &w->carry[i];
        TRY(key_table_put(w->t, (struct hash128){e->lo, e->mid}, e->file1 - 1, e->row, err));
    }
    return 0;
}

/* Adds the entries of region p of `from`: in its slots, and past its end up to the first free slot. */
static int copy_region(const struct key_table *from, struct key_writer *w, uint64_t p, struct err *err)
{
    uint64_t n = from->cap / KEY_CAP_STEP, i = p * n;

    for (uint64_t k = 0; k < n || from->slots[i].file1 != 0; k++, i = slot_next(from, i)) {
        const struct key_slot *s = &from->slots[i];
        if (s->file1 != 0 && s->lo >> KEY_REGION_SHIFT == p)
            TRY(key_writer_add(w, s, 1, err));
    }
    return 0;
}

static int table_copy(struct key_table *from, struct key_writer *w, struct err *err)
{
    uint64_t n = from->cap / KEY_CAP_STEP;

    for (uint64_t p = 0; p < KEY_CAP_STEP; p++) {
        TRY(key_writer_begin(w, p, err));
        TRY(copy_region(from, w, p, err));
        TRY(key_writer_flush(w, err));
        if (p * n / TRIM_EVERY != (p + 1) * n / TRIM_EVERY)
            key_table_trim(from);
    }
    TRY(key_table_end(w, err));
    w->t->head->clean = from->head->clean;
    return key_table_publish(w->t, err);
}

int key_table_resize(struct key_table *t, uint64_t cap, struct err *err)
{
    struct key_table to = {0};
    CLEANUP(key_writer_deinit) struct key_writer w = {0};

    if (key_table_create(t->path, cap, &to, err) < 0)
        return err_wrap(err, "resize the key index to %llu slots", (unsigned long long)cap);
    to.head->table_id = t->head->table_id;
    to.head->fingerprint = t->head->fingerprint;
    to.head->version = t->head->version;
    key_writer_init(&w, &to);
    int rc = table_copy(t, &w, err);
    if (rc < 0) {
        key_table_discard(&to);
        return rc;
    }
    key_table_limit(&to, t->rss_wanted);
    key_table_close(t);
    *t = to;
    return 0;
}
