/*
 * The key index: where the row of a key lives. Key hash → (file, row), in a memory-mapped hash file, so that an upsert
 * costs the batch and not the table.
 *
 * It is derived state: when it is absent, stale, or belongs to something else, key_index_open says ERR_NOT_FOUND and the
 * caller builds it anew from the table's key columns. It is a multi-map: a hash may have several entries (rows that
 * share a key in a table that does not enforce one), at most KEY_INDEX_SAME_MAX or so. Entries may be stale (a file
 * that left the table, a row that is masked by now): the caller, who knows the snapshot, skips those candidates.
 * Equal hashes mean equal keys: 96 bits are kept (for 10^9 keys the chance of one collision is below 10^-11).
 *
 * Epochs: put, replace and del go to an overlay in memory, which lookups see at once. key_index_commit says which Delta
 * version that now reflects: call it after the Delta commit. The file follows at once, or (lag_max) some commits later and
 * when the index is freed, which forgets the open epoch. A process killed at any moment leaves a file that open
 * either accepts at exactly its tagged version, or rejects.
 *
 * One thread at a time; one process at a time (a lock on the file).
 */
#ifndef SLUICE_DELTA_KEY_INDEX_H
#define SLUICE_DELTA_KEY_INDEX_H

#include "base/err.h"
#include "base/hash.h"

struct key_index;
struct key_index_build;

enum { KEY_INDEX_SAME_MAX = 4096 }; /* more entries than this of one hash: ERR_LIMIT, the key is none */

struct key_index_options {
    uint64_t table_id;    /* hash64 of the table's id */
    uint64_t fingerprint; /* of the key columns: key_fingerprint() */
    size_t overlay_max;   /* entries of an epoch held in memory; 0: 1 Mi. Past it they go to the file: see commit */
    size_t rss_max;       /* bytes of the file to keep mapped in, at most (about); 0: no limit. Much slower past it */
    uint32_t lag_max;     /* commits that the file may lag behind, for a caller who catches up from the log; 0: none */
    size_t build_mem_max; /* build: bytes of memory before it spills to a temporary file; 0: 256 MiB */
};

struct key_index_info {
    int64_t version; /* Delta version that it reflects; the file alone may be lag_max commits behind */
    uint64_t n;      /* entries in the file (not the overlay's) */
    uint64_t cap;    /* slots */
    uint64_t bytes;  /* of the file */
    size_t overlay_n;
    bool stale; /* failed half-way: build it anew */
};

/* ERR_NOT_FOUND: no file, or not one to be used (another table, key or format; left dirty by a crash; from another boot
 * without key_index_sync): build it. ERR_CONFLICT: another process has it open. */
int key_index_open(const char *path, const struct key_index_options *opt, struct key_index **ret,
                   struct err *err) MUST_CHECK;
/* Forgets the open epoch; then the file stays at the version it has. It stays valid for this boot. */
void key_index_free(struct key_index *idx);
DEFINE_FREEP(key_index)
struct key_index_info key_index_info(const struct key_index *idx);

/* What a file says of itself, without opening it for use: for inspection, also while another process has it open.
 * ERR_INPUT when it is no key index. */
struct key_index_file {
    uint32_t format;
    bool clean, synced, this_boot; /* left whole; written out; by this boot of the machine */
    int64_t version;
    uint64_t table_id, fingerprint, n, cap, bytes;
};
int key_index_look(const char *path, struct key_index_file *ret, struct err *err) MUST_CHECK;

/*
 * Look-up: struct key_cursor c = key_index_get(idx, h); while (key_cursor_next(&c, &file, &row) == 0) … The overlay's and the file's
 * entries, without those that the overlay deletes, in any order. The index must not change meanwhile.
 */
struct key_cursor {
    struct key_index *idx;
    struct hash128 hash;
    uint64_t at; /* the next slot of the overlay or the file */
    bool in_file, in_overlay, hide_file;
    uint32_t window_n; /* with rss_max: slots of the file read ahead, from window_at on */
    uint64_t window_at;
    uint32_t window[80];
};
struct key_cursor key_index_get(struct key_index *idx, struct hash128 hash);
int key_cursor_next(struct key_cursor *c, uint32_t *ret_file, uint32_t *ret_row); /* 0: an entry, 1: the end */
/* Brings in what a look-up of this hash will read, a little later. */
void key_index_prefetch(struct key_index *idx, struct hash128 hash);

/*
 * Changes of the epoch. All may fail only when the overlay is full and has to be written to the file (ERR_IO: disk
 * full), or with ERR_LIMIT; the index is then stale. `file` is below 2^32 - 1.
 */
/* Adds an entry; one that is there already stays single. */
int key_index_put(struct key_index *idx, struct hash128 hash, uint32_t file, uint32_t row, struct err *err) MUST_CHECK;
/* Removes exactly this entry; it is fine when there is none. */
int key_index_del(struct key_index *idx, struct hash128 hash, uint32_t file, uint32_t row, struct err *err) MUST_CHECK;
/* Makes this the only entry of the hash (unique keys). */
int key_index_replace(struct key_index *idx, struct hash128 hash, uint32_t file, uint32_t row,
                      struct err *err) MUST_CHECK;
/* Removes all entries of the hash. */
int key_index_clear(struct key_index *idx, struct hash128 hash, struct err *err) MUST_CHECK;
/* replace() for n consecutive rows of one file: row of hashes[i] = first_row + i. */
int key_index_replace_batch(struct key_index *idx, const struct hash128 *hashes, size_t n, uint32_t file,
                            uint32_t first_row, struct err *err) MUST_CHECK;

/* The epoch is over, as Delta version `version`. On an error the index is stale. */
int key_index_commit(struct key_index *idx, int64_t version, struct err *err) MUST_CHECK;
/* Makes the file survive a reboot: writes it out. Optional: without it, the first start after a reboot builds anew.
 * ERR_NOT_FOUND: an epoch is under way, or the index is stale. */
int key_index_sync(struct key_index *idx, struct err *err) MUST_CHECK;

/*
 * Building from nothing: begin, add for every live row, finish; the file appears (or replaces the old one) at finish.
 * Needs sequential disk of 20 bytes an entry more while building past build_mem_max.
 */
int key_index_build_begin(const char *path, const struct key_index_options *opt, struct key_index_build **ret,
                          struct err *err) MUST_CHECK;
int key_index_build_add(struct key_index_build *b, const struct hash128 *hashes, const uint32_t *files,
                        const uint32_t *rows, size_t n, struct err *err) MUST_CHECK;
int key_index_build_finish(struct key_index_build *b, int64_t version, struct key_index **ret,
                           struct err *err) MUST_CHECK; /* `b` still has to be freed */
void key_index_build_free(struct key_index_build *b);   /* without finish: leaves nothing behind */
DEFINE_FREEP(key_index_build)

#endif
