/*
 * Hash maps with open addressing: bytes → pointer (`struct map`) and u64 → pointer (`struct imap`).
 *
 * Keys of `struct map` are borrowed: they must live as long as their entry (put them in the value's own memory, or in
 * an arena). Values are not owned. `{0}` is a valid empty map. Iterate with a cursor that starts at 0; do not change the
 * map while iterating, except to remove the entry just returned.
 */
#ifndef SLUICE_BASE_MAP_H
#define SLUICE_BASE_MAP_H

#include "base/str.h"

struct map_slot {
    struct str key;
    uint64_t hash;
    void *value; /* NULL: the slot is free (key.p NULL) or was removed (key.p not NULL) */
};

struct map {
    struct map_slot *slots;
    size_t cap;     /* power of two */
    size_t n, used; /* live entries; live and removed */
};

void map_deinit(struct map *m);
void *map_get(const struct map *m, struct str key);
/* Stores a value (not NULL) and returns the one that was there, or NULL. The key is borrowed. */
void *map_put(struct map *m, struct str key, void *value);
void *map_remove(struct map *m, struct str key); /* returns what was there, or NULL */
/* 0 and the next entry, or 1 at the end. Order is arbitrary. */
int map_next(const struct map *m, size_t *cursor, struct str *ret_key, void **ret_value);

struct imap_slot {
    uint64_t key;
    void *value;
    bool used;
};

struct imap {
    struct imap_slot *slots;
    size_t cap, n, used;
};

void imap_deinit(struct imap *m);
void *imap_get(const struct imap *m, uint64_t key);
void *imap_put(struct imap *m, uint64_t key, void *value);
void *imap_remove(struct imap *m, uint64_t key);
int imap_next(const struct imap *m, size_t *cursor, uint64_t *ret_key, void **ret_value);

#endif
