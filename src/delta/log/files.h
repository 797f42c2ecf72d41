/*
 * The files of a table at all the versions that someone still looks at, in one place.
 *
 * Snapshots of a table share one `struct delta_files`: each file has the version that added it and the one that removed
 * it, so that a commit costs what it changes and not what the table holds, and a snapshot that a reader keeps never
 * moves. Entries do not move in memory either. Those of a checkpoint stay compressed, in blocks of FILE_BLOCK, until one of
 * the block is wanted; their statistics stay so after that (delta_stats_read). When more entries are dead than live, the writer starts a new set with the
 * live ones, and the old set goes with its last snapshot.
 *
 * One thread adds and removes; any thread may iterate and find at a version that has been published to it.
 */
#ifndef SLUICE_DELTA_FILES_H
#define SLUICE_DELTA_FILES_H

#include "base/map.h"
#include "delta/log/file_block.h"

#include <pthread.h>
#include <stdatomic.h>

struct delta_entry {
    struct delta_file file; /* first: a delta_file of a snapshot is an entry */
    int64_t added_at;
    atomic_int_least64_t removed_at; /* version; INT64_MAX while it lives */
    uint32_t prev;                   /* entry + 1 of the same path before this one; 0 = none */
};

enum {
    DELTA_FIRST_CHUNK = 64,
    DELTA_CHUNKS = 26,
    DELTA_FIRST_GRAVES = 16,
    DELTA_GRAVES = 4096,
    DELTA_RECENT_PARTS = 256
};

/*
 * Removed files as a checkpoint keeps them until deletedFileRetentionDuration has passed (time_ms is the deletion; no
 * stats, no tags). In runs, so that old ones are given back as a whole. Of the writer only.
 */
struct delta_graves {
    atomic_int refs;
    struct delta_grave_run {
        struct delta_grave_run *next; /* newer */
        struct arena arena;
        int64_t newest_ms;
        uint32_t n;
        uint32_t cap; /* twice that of the run before, up to DELTA_GRAVES */
        struct delta_file files[];
    } * oldest, *newest;
    size_t n;
};

struct delta_files {
    atomic_int refs;
    pthread_mutex_t mutex;                    /* the index, and opening blocks */
    struct arena arena;                       /* the strings */
    struct delta_entry *chunks[DELTA_CHUNKS]; /* chunk k holds DELTA_FIRST_CHUNK << k entries */
    uint32_t n;                               /* entries, dead ones too */
    uint32_t n_live;
    struct delta_cold { /* block k holds entries k * FILE_BLOCK to … + FILE_BLOCK - 1 until it is open */
        struct file_block *block;
        atomic_bool open; /* its entries are in the chunks */
    } * cold;
    uint32_t n_cold, cap_cold;
    struct file_packer *packer; /* while adds are to be packed */
    uint64_t *slots;            /* open addressing: hash's upper half and entry + 1 of the newest with this path */
    uint32_t n_slots, n_paths;
    struct map keys; /* names of partition columns, kept once */
    /* Partition values lately seen: files of a partition share them. By a hash of the values. */
    struct delta_parts {
        const struct delta_kv *kv;
        uint32_t n;
    } recent[DELTA_RECENT_PARTS];
    struct delta_graves *graves;
};

struct delta_files *delta_files_new(void);
struct delta_files *delta_files_ref(struct delta_files *s);
void delta_files_unref(struct delta_files *s);
/* Adds a copy of the file; one with the same path and deletion vector that lives is replaced. In ret_replaced (may be NULL)
 * the file that it replaced, or NULL. */
void delta_files_add(struct delta_files *s, const struct delta_file *f, int64_t version,
                     const struct delta_file **ret_replaced);
/* The path (as in the log) is to be added soon: its place in the index, which is far from that of others, is fetched. */
void delta_files_foresee(const struct delta_files *s, struct str path);
/* Files added until pack_end() are kept packed. Only in a set that no other thread knows yet; one that has files already which
 * are not packed goes on so. */
void delta_files_pack_begin(struct delta_files *s);
void delta_files_pack_end(struct delta_files *s);
uint32_t delta_files_n_packed(struct delta_files *s); /* entries that nobody has wanted yet */
/* The live file with this path and deletion vector is dead from `version` on. Returns it, or NULL when there is none. */
const struct delta_file *delta_files_remove(struct delta_files *s, struct str path, const struct delta_dv_desc *dv,
                                            int64_t version);
/* Keeps a copy of a removal for checkpoints. */
void delta_files_bury(struct delta_files *s, const struct delta_file *removed);
/* Gives runs of removals back that are all older than `before_ms`. */
void delta_files_expire(struct delta_files *s, int64_t before_ms);
/* Is a smaller set worth making? */
bool delta_files_is_sparse(const struct delta_files *s);
/* A new set with the files that live now; the removals are shared. */
struct delta_files *delta_files_compact(struct delta_files *s);
/* The entries live at `version` among the first n; NULL at the end. `cursor` starts at 0. */
const struct delta_file *delta_files_next(struct delta_files *s, uint32_t n, int64_t version, size_t *cursor);
/* The newest live at `version` with this path, or NULL. */
const struct delta_file *delta_files_find(struct delta_files *s, uint32_t n, int64_t version, struct str path);

#endif
