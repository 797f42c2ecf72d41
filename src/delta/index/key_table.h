/*
 * Inside the key index: the memory-mapped hash file itself. Nobody but key_index*.c (and its test) includes this.
 *
 *     page 0       struct key_head
 *     from 4096    cap slots of 20 bytes: open addressing, linear probing from hash * cap / 2^64 on, wrapping
 *
 * The home of a slot grows with its hash, so the file is nearly sorted by hash: copying it into a larger one and building
 * it from partitions are sequential. There are no tombstones: a removal moves the slots behind it up.
 */
#ifndef SLUICE_DELTA_KEY_TABLE_H
#define SLUICE_DELTA_KEY_TABLE_H

#include "base/err.h"
#include "base/hash.h"

enum { KEY_HEAD_BYTES = 4096, KEY_FORMAT = 1, KEY_BOOT_ID = 40, KEY_CAP_STEP = 1024 };

static const char key_magic[8] = {'S', 'L', 'K', 'E', 'Y', 'I', 'D', 'X'};

struct key_head {
    char magic[8];
    uint32_t format;
    uint32_t clean; /* 1: the slots are exactly those of `version` */
    uint64_t table_id, fingerprint;
    int64_t version;
    uint64_t n, cap;
    uint32_t synced; /* 1: written out, so good after a reboot too */
    char boot_id[KEY_BOOT_ID];
};
_Static_assert(sizeof(struct key_head) <= KEY_HEAD_BYTES, "one page");

struct key_slot {
    uint64_t lo; /* hash, bits 0..63 */
    uint32_t mid;
    uint32_t file1; /* file + 1; 0: the slot is free */
    uint32_t row;
} __attribute__((packed, aligned(4), may_alias));
_Static_assert(sizeof(struct key_slot) == 20, "20 bytes a slot");

struct key_table {
    char *path;
    int fd;
    struct key_head *head; /* the mapping */
    struct key_slot *slots;
    uint64_t first;      /* number of slots[0]: 0, but in a window (below) */
    uint64_t cap, limit; /* slots; entries from which it grows */
    uint64_t low, high;  /* slots [low, high) were stored to since somebody reset this */
    size_t bytes;
    size_t rss_wanted, rss_max; /* as asked for; 0 when that is no limit or all of it fits */
    uint64_t *touched;          /* with a limit: a bit for each 64 KiB of the mapping that may be resident */
    size_t n_touched;
};

static inline uint64_t key_home(uint64_t lo, uint64_t cap)
{
    return (uint64_t)((unsigned __int128)lo * cap >> 64);
}

/* Slot i of a table, or of a window on it that holds the slot. */
static inline struct key_slot *key_slot_at(const struct key_table *t, uint64_t i)
{
    return &t->slots[i - t->first];
}

static inline bool key_slot_is(const struct key_slot *s, struct hash128 h)
{
    return s->lo == h.lo && s->mid == (uint32_t)h.hi;
}

/* Prefetches where the entries of a hash most likely are. */
static inline void key_table_prefetch(const struct key_table *t, struct hash128 h)
{
    const char *p = (const char *)&t->slots[key_home(h.lo, t->cap)];

    __builtin_prefetch(p);
    __builtin_prefetch(p + 3 * sizeof(struct key_slot));
}

void key_table_touch_slow(struct key_table *t, uint64_t slot);
/* Before `slot` is used through the mapping: with a limit, unmaps everything when that would be too much. Pointers stay
 * valid. */
static inline void key_table_touch(struct key_table *t, uint64_t slot)
{
    if (t->rss_max > 0)
        key_table_touch_slow(t, slot);
}
/* Reads n slots from i on (less at the end of the table; the number is returned) without mapping them in. */
size_t key_table_read(const struct key_table *t, uint64_t i, struct key_slot *ret, size_t n);
/* The same if it need not wait for the disk, else 0. */
size_t key_table_read_cached(const struct key_table *t, uint64_t i, struct key_slot *ret, size_t n);
/* Begins to read n slots from the disk. */
void key_table_read_ahead(const struct key_table *t, uint64_t i, size_t n);

/* "<path>.new" with room for `cap` slots (a multiple of KEY_CAP_STEP), locked, mapped, all free, not clean. The disk
 * space is there: writing to the mapping cannot fail. */
int key_table_create(const char *path, uint64_t cap, struct key_table *ret, struct err *err) MUST_CHECK;
/* Gives it its name in place of what is there. */
int key_table_publish(struct key_table *t, struct err *err) MUST_CHECK;
/* ERR_NOT_FOUND when there is none or its form is not ours; ERR_CONFLICT when it is locked. */
int key_table_open(const char *path, struct key_table *ret, struct err *err) MUST_CHECK;
void key_table_close(struct key_table *t);   /* takes {0} */
void key_table_discard(struct key_table *t); /* closes and removes one that was created and not published */
void key_table_limit(struct key_table *t, size_t rss_max);
void key_table_trim(struct key_table *t);
/* Copies all entries to a table of `cap` slots and publishes that instead. */
int key_table_resize(struct key_table *t, uint64_t cap, struct err *err) MUST_CHECK;
uint64_t key_cap_for(uint64_t n); /* slots for n entries at a load of 0.6 */

/* Changes. The first two grow the table when it is full. */
int key_table_put(struct key_table *t, struct hash128 h, uint32_t file, uint32_t row, struct err *err) MUST_CHECK;
int key_table_replace(struct key_table *t, struct hash128 h, uint32_t file, uint32_t row, struct err *err) MUST_CHECK;
void key_table_del(struct key_table *t, struct hash128 h, uint32_t file, uint32_t row);
bool key_table_has(struct key_table *t, struct hash128 h, uint32_t file, uint32_t row);
void key_table_clear(struct key_table *t, struct hash128 h);

/*
 * Many changes in rising order of their hashes to a table with a limit on resident memory: a piece of the file is read,
 * changed in memory and written back, since a fault in the mapping costs more than both calls and maps in 64 KiB. Where
 * changes are close together a piece is long and serves many.
 */
struct key_window {
    struct key_table *t;   /* borrowed */
    struct key_table view; /* of it: slots [view.first, view.first + n) */
    size_t n, max;         /* slots */
    bool dense;            /* pieces begin and end at pages */
};
void key_window_init(struct key_window *w, struct key_table *t, uint64_t n_changes);
void key_window_deinit(struct key_window *w); /* forgets what is not flushed */
/* The table to make a change of this hash in: the window, moved there, or the mapping when no window has all that the
 * change may touch. Until the next call. */
int key_window_at(struct key_window *w, struct hash128 h, struct key_table **ret, struct err *err) MUST_CHECK;
int key_window_flush(struct key_window *w, struct err *err) MUST_CHECK;

/*
 * Writing a whole table from its start, region by region, without mapping it: KEY_CAP_STEP regions, region p has the
 * slots of the hashes whose 10 high bits are p. What does not fit at the end of a region is carried into the next.
 */
enum { KEY_REGION_SHIFT = 54 };
_Static_assert(KEY_CAP_STEP == 1 << (64 - KEY_REGION_SHIFT), "regions are of equal size");
struct key_writer {
    struct key_table *t; /* borrowed; created and empty */
    struct key_slot *slots;
    uint64_t start, n; /* slots [start, start + n) of the table */
    uint64_t n_entries;
    struct key_slot *carry, *old_carry;
    size_t n_carry, n_old_carry, cap_carry, cap_old_carry;
};
void key_writer_init(struct key_writer *w, struct key_table *t);
void key_writer_deinit(struct key_writer *w);
/* Opens region p, adds entries of it, writes it: for every p in order; then key_table_end. ERR_LIMIT, ERR_IO. */
int key_writer_begin(struct key_writer *w, uint64_t p, struct err *err) MUST_CHECK;
int key_writer_add(struct key_writer *w, const struct key_slot *e, size_t n, struct err *err) MUST_CHECK;
int key_writer_flush(struct key_writer *w, struct err *err) MUST_CHECK;
/* What was carried past the last region goes to the first slots. */
int key_table_end(struct key_writer *w, struct err *err) MUST_CHECK;

/* The id of this boot of the machine. */
int key_boot_id(char ret[KEY_BOOT_ID], struct err *err) MUST_CHECK;
int key_error_same(struct err *err); /* ERR_LIMIT: too many entries of one hash */

struct key_index;
struct key_index_options;
/* An index over a table, which is taken over ({0} is left). */
struct key_index *key_index_of_table(struct key_table *t, const struct key_index_options *opt);

#endif
