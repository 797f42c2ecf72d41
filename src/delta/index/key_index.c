/*
 * The key index: the hash file (key_table.h) with the changes of the current epoch laid over it.
 *
 *     put, replace, del, clear ──▶ overlay (memory) ──▶ hash file, tagged with the Delta version
 *     look-up ◀── overlay, then the file without what the overlay hides
 *
 * The overlay goes to the file at a commit: at each, or (lag_max) when it is half full, so many commits late, or at the
 * end. A change of a random key costs a page of the file to be written; many at once, in the file's order, share pages and
 * calls. Applying clears the file's clean flag, stores the version, sets the flag: a process killed in between leaves a
 * file that open refuses. An epoch larger than the overlay is applied in pieces, with the flag cleared from the first
 * piece on. Both are rare, and a rebuild reads only the key columns.
 */
#include "delta/index/key_index.h"

#include "base/crash.h"
#include "base/file.h"
#include "base/mem.h"
#include "delta/index/key_table.h"

#include <assert.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum {
    OVERLAY_MIN = 128,
    OVERLAY_MAX = 1 << 20,
    OVERLAY_KEEP = 64 << 10, /* slots kept from one epoch to the next */
    WINDOW = sizeof(((struct key_cursor *)0)->window) / sizeof(struct key_slot),
    COLD = 256, /* look-ups that are read ahead after one had to wait for the disk */
    AHEAD = 16, /* hashes to prefetch ahead: covers a memory access and stays in the line fill buffers */
};

enum overlay_flags {
    OV_USED = 1u << 0, /* without others: no effect any more */
    OV_PUT = 1u << 1,  /* the entry is there */
    OV_DEL = 1u << 2,  /* the file's entry, if any, is not */
    OV_HIDE = 1u << 3, /* none of the file's entries of this hash is; at most one slot of a hash has it */
};

struct overlay_slot {
    uint64_t lo;
    uint32_t mid, file, row;
    uint32_t flags; /* 0: free */
};

struct key_index {
    struct key_table table;
    struct overlay_slot *ov; /* NULL while empty */
    uint64_t ov_cap;
    size_t ov_n, ov_max;
    int64_t version;       /* that the file and the overlay reflect, but for the open epoch */
    uint32_t lag, lag_max; /* commits that are not in the file */
    unsigned cold;         /* look-ups to read ahead */
    bool has_puts;         /* some slot has OV_PUT without OV_HIDE */
    bool open;             /* the overlay has changes of an epoch that is not committed */
    bool spilled;          /* a part of this epoch is in the file already */
    bool stale;
};

/* --- overlay --- */

static inline bool ov_is(const struct overlay_slot *s, struct hash128 h)
{
    return s->lo == h.lo && s->mid == (uint32_t)h.hi;
}

static inline uint64_t ov_next(const struct key_index *idx, uint64_t i)
{
    return i + 1 == idx->ov_cap ? 0 : i + 1;
}

/* The slot of exactly this entry, or NULL. */
static const struct overlay_slot *ov_get(const struct key_index *idx, struct hash128 h, uint32_t file, uint32_t row)
{
    for (uint64_t i = key_home(h.lo, idx->ov_cap); idx->ov[i].flags; i = ov_next(idx, i)) {
        const struct overlay_slot *s = &idx->ov[i];
        if (ov_is(s, h) && s->file == file && s->row == row)
            return s;
    }
    return NULL;
}

/* The slot of exactly this entry, or one to put it: of its hash and without effect, or else free. */
static int ov_find(const struct key_index *idx, struct hash128 h, uint32_t file, uint32_t row,
                   struct overlay_slot **ret, struct err *err)
{
    struct overlay_slot *dead = NULL;
    unsigned same = 0;
    uint64_t i = key_home(h.lo, idx->ov_cap);

    for (; idx->ov[i].flags; i = ov_next(idx, i)) {
        struct overlay_slot *s = &idx->ov[i];
        if (!ov_is(s, h))
            continue;
        if (s->file == file && s->row == row) {
            *ret = s;
            return 0;
        }
        if (s->flags == OV_USED)
            dead = s;
        else if (++same >= KEY_INDEX_SAME_MAX)
            return key_error_same(err);
    }
    *ret = dead ? dead : &idx->ov[i];
    return 0;
}

static void ov_grow(struct key_index *idx)
{
    struct overlay_slot *old = idx->ov;
    uint64_t old_cap = old ? idx->ov_cap : 0;

    idx->ov_cap = old ? old_cap * 2 : OVERLAY_MIN;
    idx->ov = MEM_NEW_N(struct overlay_slot, idx->ov_cap);
    for (uint64_t i = 0; i < old_cap; i++) {
        if (!old[i].flags)
            continue;
        uint64_t j = key_home(old[i].lo, idx->ov_cap);
        while (idx->ov[j].flags)
            j = ov_next(idx, j);
        idx->ov[j] = old[i];
    }
    mem_free(old);
}

static void ov_reset(struct key_index *idx)
{
    if (idx->ov_cap > OVERLAY_KEEP) {
        mem_free(idx->ov);
        idx->ov = NULL;
        idx->ov_cap = 0;
    } else if (idx->ov_n > 0) {
        memset(idx->ov, 0, idx->ov_cap * sizeof *idx->ov);
    }
    idx->ov_n = 0;
    idx->has_puts = false;
}

/* --- applying it --- */

/* From here on the file is not to be trusted until the version is set. */
static int mark_dirty(struct key_index *idx, struct err *err)
{
    struct key_head *head = idx->table.head;

    if (head->synced) {
        /* The disk must learn first that what it has is no longer whole. */
        TRY(key_boot_id(head->boot_id, err));
        head->synced = 0;
        if (msync(head, KEY_HEAD_BYTES, MS_SYNC) < 0)
            return err_set_errno(err, "write %s", idx->table.path);
    }
    atomic_store_explicit((_Atomic uint32_t *)&head->clean, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    return 0;
}

static inline void apply_prefetch(const struct key_index *idx, uint64_t i)
{
    if (i + AHEAD < idx->ov_cap && idx->ov[i + AHEAD].flags)
        key_table_prefetch(&idx->table, (struct hash128){idx->ov[i + AHEAD].lo, 0});
}

/* Entries come in order of their hashes, and a table that grew by and by would have them all crowded at its start. */
static int grow_for_overlay(struct key_index *idx, struct err *err)
{
    uint64_t n = idx->table.head->n;

    if (n + idx->ov_n <= idx->table.limit)
        return 0;
    return key_table_resize(&idx->table, key_cap_for(n + MAX(idx->ov_n, n / 2)), err);
}

/* What hides or deletes comes before what adds; otherwise order within a hash does not matter. */
static int take_out(struct key_table *t, const struct overlay_slot *s, struct err *err)
{
    struct hash128 h = {s->lo, s->mid};

    if (s->flags & OV_HIDE) {
        if (s->flags & OV_PUT)
            return key_table_replace(t, h, s->file, s->row, err);
        key_table_clear(t, h);
    } else if (s->flags & OV_DEL) {
        key_table_del(t, h, s->file, s->row);
    }
    return 0;
}

static int put_in(struct key_table *t, const struct overlay_slot *s, struct err *err)
{
    if ((s->flags & (OV_PUT | OV_HIDE)) != OV_PUT)
        return 0;
    return key_table_put(t, (struct hash128){s->lo, s->mid}, s->file, s->row, err);
}

/* The overlay in its order, which is nearly that of the file: through the mapping, or where that is limited by windows. */
static int apply_all(struct key_index *idx,
                     int (*change)(struct key_table *, const struct overlay_slot *, struct err *), struct err *err)
{
    CLEANUP(key_window_deinit) struct key_window w = {0};
    struct key_table *t = &idx->table;
    bool limited = t->rss_max > 0;

    if (limited)
        key_window_init(&w, t, idx->ov_n);
    for (uint64_t i = 0; i < idx->ov_cap; i++) {
        const struct overlay_slot *s = &idx->ov[i];
        if (!limited)
            apply_prefetch(idx, i);
        if (!(s->flags & ~(unsigned)OV_USED))
            continue;
        if (limited)
            TRY(key_window_at(&w, (struct hash128){s->lo, s->mid}, &t, err));
        TRY(change(t, s, err));
    }
    return limited ? key_window_flush(&w, err) : 0;
}

static int apply_overlay(struct key_index *idx, struct err *err)
{
    if (idx->ov_n == 0)
        return 0;
    assert(idx->ov);
    TRY(grow_for_overlay(idx, err));
    TRY(apply_all(idx, take_out, err));
    if (idx->has_puts)
        TRY(apply_all(idx, put_in, err));
    ov_reset(idx);
    return 0;
}

static int spill(struct key_index *idx, struct err *err)
{
    TRY(mark_dirty(idx, err));
    idx->spilled = true;
    int rc = apply_overlay(idx, err);
    crash_point("key_index_spilled");
    return rc;
}

/* Room for one more entry in the overlay. */
static int ov_room(struct key_index *idx, struct err *err)
{
    if (idx->stale)
        return err_set(err, ERR_NOT_FOUND, "the key index %s has to be built anew", idx->table.path);
    idx->open = true;
    if (idx->ov_n >= idx->ov_max) {
        int rc = spill(idx, err);
        if (rc < 0) {
            idx->stale = true;
            return rc;
        }
    }
    if (idx->ov_n + 1 > idx->ov_cap / 2)
        ov_grow(idx);
    return 0;
}

/* --- changes --- */

static void ov_set(struct key_index *idx, struct overlay_slot *s, struct hash128 h, uint32_t file, uint32_t row,
                   uint32_t flags)
{
    idx->ov_n += s->flags == 0;
    *s = (struct overlay_slot){h.lo, (uint32_t)h.hi, file, row, flags};
}

int key_index_put(struct key_index *idx, struct hash128 h, uint32_t file, uint32_t row, struct err *err)
{
    struct overlay_slot *s = NULL;

    assert(file < UINT32_MAX);
    TRY(ov_room(idx, err));
    TRY(ov_find(idx, h, file, row, &s, err));
    ov_set(idx, s, h, file, row, (s->flags & OV_HIDE) | OV_USED | OV_PUT);
    idx->has_puts = true;
    return 0;
}

int key_index_del(struct key_index *idx, struct hash128 h, uint32_t file, uint32_t row, struct err *err)
{
    struct overlay_slot *s = NULL;

    assert(file < UINT32_MAX);
    TRY(ov_room(idx, err));
    TRY(ov_find(idx, h, file, row, &s, err));
    uint32_t hide = s->flags & OV_HIDE;
    /* An entry of this very epoch goes without a trace, so that a key that changes often does not leave many. */
    if ((s->flags & OV_PUT) && !key_table_has(&idx->table, h, file, row))
        ov_set(idx, s, h, UINT32_MAX, 0, OV_USED | hide);
    else
        ov_set(idx, s, h, file, row, OV_USED | OV_DEL | hide);
    return 0;
}

/* Makes (file, row) with `flags`, which hide the file's entries, the only one of its hash in the overlay. */
static void ov_hide(struct key_index *idx, struct hash128 h, uint32_t file, uint32_t row, uint32_t flags)
{
    uint64_t i = key_home(h.lo, idx->ov_cap);

    assert(idx->ov);
    for (; idx->ov[i].flags; i = ov_next(idx, i)) {
        if (!ov_is(&idx->ov[i], h))
            continue;
        if (flags)
            ov_set(idx, &idx->ov[i], h, file, row, flags);
        else /* UINT32_MAX: no entry can match it again */
            ov_set(idx, &idx->ov[i], h, UINT32_MAX, 0, OV_USED);
        flags = 0;
    }
    if (flags)
        ov_set(idx, &idx->ov[i], h, file, row, flags);
}

int key_index_replace(struct key_index *idx, struct hash128 h, uint32_t file, uint32_t row, struct err *err)
{
    assert(file < UINT32_MAX);
    TRY(ov_room(idx, err));
    ov_hide(idx, h, file, row, OV_USED | OV_PUT | OV_HIDE);
    return 0;
}

int key_index_clear(struct key_index *idx, struct hash128 h, struct err *err)
{
    TRY(ov_room(idx, err));
    ov_hide(idx, h, UINT32_MAX, 0, OV_USED | OV_HIDE);
    return 0;
}

int key_index_replace_batch(struct key_index *idx, const struct hash128 *hashes, size_t n, uint32_t file,
                            uint32_t first_row, struct err *err)
{
    assert(n <= UINT32_MAX - first_row);
    for (size_t i = 0; i < n; i++) {
        if (idx->ov && i + AHEAD < n)
            __builtin_prefetch(&idx->ov[key_home(hashes[i + AHEAD].lo, idx->ov_cap)], 1);
        TRY(key_index_replace(idx, hashes[i], file, first_row + (uint32_t)i, err));
    }
    return 0;
}

/* --- look-up --- */

static inline void cursor_to_file(struct key_cursor *c)
{
    c->in_file = true;
    c->at = key_home(c->hash.lo, c->idx->table.cap);
}

/* The next slot of the file. With a limit on resident memory it comes through a small window, by pread: a read of the
 * mapping would map in 64 KiB for the few bytes that are looked at. */
static inline const struct key_slot *cursor_slot(struct key_cursor *c)
{
    const struct key_table *t = &c->idx->table;

    if (t->rss_max == 0)
        return &t->slots[c->at];
    if (c->window_n == 0 || c->at < c->window_at || c->at >= c->window_at + c->window_n) {
        c->window_at = c->at;
        c->window_n = (uint32_t)key_table_read_cached(t, c->at, (struct key_slot *)c->window, WINDOW);
        if (c->window_n == 0) {
            c->idx->cold = COLD;
            c->window_n = (uint32_t)key_table_read(t, c->at, (struct key_slot *)c->window, WINDOW);
        }
    }
    return (struct key_slot *)c->window + (c->at - c->window_at);
}

static inline struct key_cursor cursor_start(struct key_index *idx, struct hash128 h)
{
    struct key_cursor c;

    c.idx = idx; /* field by field: the window stays as it is */
    c.hash = h;
    c.in_file = c.in_overlay = c.hide_file = false;
    c.window_n = 0;
    if (idx->ov_n > 0)
        c.at = key_home(h.lo, idx->ov_cap);
    else
        cursor_to_file(&c);
    return c;
}

static int cursor_next_in_file(struct key_cursor *c, uint32_t *ret_file, uint32_t *ret_row)
{
    const struct key_table *t = &c->idx->table;

    for (;;) {
        const struct key_slot *s = c->hide_file ? NULL : cursor_slot(c);
        if (!s || s->file1 == 0)
            return 1;
        c->at = c->at + 1 == t->cap ? 0 : c->at + 1;
        /* What the overlay knows of this very entry it has said already. */
        if (!key_slot_is(s, c->hash) || (c->in_overlay && ov_get(c->idx, c->hash, s->file1 - 1, s->row)))
            continue;
        *ret_file = s->file1 - 1;
        *ret_row = s->row;
        return 0;
    }
}

static inline int cursor_step(struct key_cursor *c, uint32_t *ret_file, uint32_t *ret_row)
{
    while (!c->in_file) {
        const struct overlay_slot *s = &c->idx->ov[c->at];
        if (!s->flags) {
            cursor_to_file(c);
            break;
        }
        c->at = ov_next(c->idx, c->at);
        if (!ov_is(s, c->hash))
            continue;
        c->in_overlay = true;
        c->hide_file |= (s->flags & OV_HIDE) != 0;
        if (s->flags & OV_PUT) {
            *ret_file = s->file;
            *ret_row = s->row;
            return 0;
        }
    }
    return cursor_next_in_file(c, ret_file, ret_row);
}

struct key_cursor key_index_get(struct key_index *idx, struct hash128 hash)
{
    return cursor_start(idx, hash);
}

int key_cursor_next(struct key_cursor *c, uint32_t *ret_file, uint32_t *ret_row)
{
    return cursor_step(c, ret_file, ret_row);
}

void key_index_prefetch(struct key_index *idx, struct hash128 hash)
{
    if (idx->table.rss_max == 0) {
        key_table_prefetch(&idx->table, hash);
    } else if (idx->cold > 0) { /* the disk answers many as fast as one */
        idx->cold--;
        key_table_read_ahead(&idx->table, key_home(hash.lo, idx->table.cap), WINDOW);
    }
    if (idx->ov_n > 0)
        __builtin_prefetch(&idx->ov[key_home(hash.lo, idx->ov_cap)]);
}

/* --- epochs --- */

/* Brings the file up to idx->version. */
static int write_through(struct key_index *idx, struct err *err)
{
    struct key_head *head = idx->table.head;

    idx->stale = true; /* until done */
    if (idx->ov_n > 0) {
        TRY(mark_dirty(idx, err));
        crash_point("key_index_dirty");
        TRY(apply_overlay(idx, err));
        crash_point("key_index_applied");
        head = idx->table.head; /* it may have grown */
    }
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store_explicit((_Atomic int64_t *)&head->version, idx->version, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store_explicit((_Atomic uint32_t *)&head->clean, 1, memory_order_relaxed);
    idx->spilled = idx->stale = false;
    idx->lag = 0;
    return 0;
}

int key_index_commit(struct key_index *idx, int64_t version, struct err *err)
{
    if (idx->stale)
        return err_set(err, ERR_NOT_FOUND, "the key index %s has to be built anew", idx->table.path);
    idx->version = version;
    idx->open = false;
    if (idx->ov_n > 0 && !idx->spilled && idx->lag < idx->lag_max && idx->ov_n <= idx->ov_max / 2) {
        idx->lag++;
        return 0;
    }
    return write_through(idx, err);
}

/* --- life --- */

static int check_tags(const struct key_table *t, const struct key_index_options *opt, struct err *err)
{
    const struct key_head *head = t->head;
    char boot_id[KEY_BOOT_ID];

    if (head->table_id != opt->table_id || head->fingerprint != opt->fingerprint)
        return err_set(err, ERR_NOT_FOUND, "the key index %s is of another table or other key columns", t->path);
    if (!head->clean)
        return err_set(err, ERR_NOT_FOUND, "the key index %s was left half-way by a crash", t->path);
    TRY(key_boot_id(boot_id, err));
    if (!head->synced && memcmp(head->boot_id, boot_id, KEY_BOOT_ID) != 0)
        return err_set(err, ERR_NOT_FOUND, "the key index %s was not written out before the machine restarted",
                       t->path);
    return 0;
}

struct key_index *key_index_of_table(struct key_table *t, const struct key_index_options *opt)
{
    struct key_index *idx = MEM_NEW(struct key_index);

    idx->table = *t;
    *t = (struct key_table){0};
    key_table_limit(&idx->table, opt->rss_max);
    idx->ov_max = opt->overlay_max ? opt->overlay_max : OVERLAY_MAX;
    idx->lag_max = opt->lag_max;
    idx->version = idx->table.head->version;
    return idx;
}

int key_index_look(const char *path, struct key_index_file *ret, struct err *err)
{
    CLEANUP(file_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct key_head head;
    char boot[KEY_BOOT_ID];

    if (fd < 0)
        return err_set_errno(err, "cannot read %s", path);
    ssize_t n = pread(fd, &head, sizeof head, 0);
    if (n < 0)
        return err_set_errno(err, "cannot read %s", path);
    if (n != sizeof head || memcmp(head.magic, key_magic, sizeof key_magic) != 0)
        return err_set(err, ERR_INPUT, "%s is no key index", path);
    TRY(key_boot_id(boot, err));
    *ret = (struct key_index_file){.format = head.format,
                                   .clean = head.clean == 1,
                                   .synced = head.synced == 1,
                                   .this_boot = memcmp(boot, head.boot_id, sizeof boot) == 0,
                                   .version = head.version,
                                   .table_id = head.table_id,
                                   .fingerprint = head.fingerprint,
                                   .n = head.n,
                                   .cap = head.cap,
                                   .bytes = (uint64_t)MAX(file_size(path), 0)};
    return 0;
}

int key_index_open(const char *path, const struct key_index_options *opt, struct key_index **ret, struct err *err)
{
    struct key_table t = {0};

    TRY(key_table_open(path, &t, err));
    int rc = check_tags(&t, opt, err);
    if (rc < 0) {
        key_table_close(&t);
        return rc;
    }
    *ret = key_index_of_table(&t, opt);
    return 0;
}

void key_index_free(struct key_index *idx)
{
    struct err err;

    if (!idx)
        return;
    if (idx->lag && !idx->open && !idx->stale && write_through(idx, &err) < 0)
        idx->stale = true; /* and so says the file: it is built anew */
    mem_free(idx->ov);
    key_table_close(&idx->table);
    mem_free(idx);
}

struct key_index_info key_index_info(const struct key_index *idx)
{
    const struct key_head *head = idx->table.head;

    return (struct key_index_info){idx->version, head->n, head->cap, idx->table.bytes, idx->ov_n, idx->stale};
}

int key_index_sync(struct key_index *idx, struct err *err)
{
    if (idx->stale || idx->open || idx->spilled)
        return err_set(err, ERR_NOT_FOUND, "the key index %s is at no version of the table", idx->table.path);
    if (idx->lag)
        TRY(write_through(idx, err));
    struct key_head *head = idx->table.head;
    CLEANUP(mem_freep) char *dir = mem_strdup(idx->table.path);
    if (msync(head, idx->table.bytes, MS_SYNC) < 0)
        return err_set_errno(err, "write %s", idx->table.path);
    TRY(file_sync_dir(dirname(dir), err));
    head->synced = 1;
    if (msync(head, KEY_HEAD_BYTES, MS_SYNC) < 0)
        return err_set_errno(err, "write %s", idx->table.path);
    return 0;
}
