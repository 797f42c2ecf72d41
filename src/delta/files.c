/*
 * The set of files over versions. Entries are kept in chunks that double and never move; an index from path to the
 * newest entry of that path, with the older ones chained behind it, is the only thing that needs the lock.
 *
 *   slots: | hash's upper 32 bits | entry + 1 | … linear probing from where those bits say, at most 3/4 full
 */
#include "delta/files.h"

#include "base/hash.h"
#include "base/mem.h"

#include <assert.h>

static struct delta_graves *graves_new(void)
{
    struct delta_graves *g = MEM_NEW(struct delta_graves);

    g->refs = 1;
    return g;
}

static void graves_unref(struct delta_graves *g)
{
    if (!g || atomic_fetch_sub(&g->refs, 1) > 1)
        return;
    while (g->oldest) {
        struct delta_grave_run *next = g->oldest->next;
        arena_deinit(&g->oldest->arena);
        mem_free(g->oldest);
        g->oldest = next;
    }
    mem_free(g);
}

struct delta_files *delta_files_new(void)
{
    struct delta_files *s = MEM_NEW(struct delta_files);

    s->refs = 1;
    pthread_mutex_init(&s->mutex, NULL);
    s->graves = graves_new();
    return s;
}

struct delta_files *delta_files_ref(struct delta_files *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void delta_files_unref(struct delta_files *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    for (size_t i = 0; i < DELTA_CHUNKS; i++)
        mem_free(s->chunks[i]);
    mem_free(s->slots);
    map_deinit(&s->keys);
    arena_deinit(&s->arena);
    graves_unref(s->graves);
    pthread_mutex_destroy(&s->mutex);
    mem_free(s);
}

static struct delta_entry *entry_at(const struct delta_files *s, uint32_t i)
{
    /* chunk k starts at FIRST * (2^k - 1) */
    uint32_t k = 31 - (uint32_t)__builtin_clz(i / DELTA_FIRST_CHUNK + 1);

    return &s->chunks[k][i - DELTA_FIRST_CHUNK * ((1u << k) - 1)];
}

static struct delta_entry *entry_new(struct delta_files *s)
{
    uint32_t k = 31 - (uint32_t)__builtin_clz(s->n / DELTA_FIRST_CHUNK + 1);

    assert(k < DELTA_CHUNKS);
    if (!s->chunks[k]) /* not zeroed: the pages of a chunk come as they are used */
        s->chunks[k] = mem_realloc_n(NULL, (size_t)DELTA_FIRST_CHUNK << k, sizeof(struct delta_entry));
    return entry_at(s, s->n++);
}

/* The slot of the path, or the free one that ends its probing. */
static uint64_t *slot_of(const struct delta_files *s, struct str path, uint64_t hash)
{
    for (uint32_t i = (uint32_t)(hash >> 32) & (s->n_slots - 1);; i = (i + 1) & (s->n_slots - 1)) {
        uint64_t *slot = &s->slots[i];
        if (!*slot)
            return slot;
        if (*slot >> 32 == hash >> 32 && str_eq(entry_at(s, (uint32_t)*slot - 1)->file.path, path))
            return slot;
    }
}

/* A slot says itself where it belongs: no path is looked at. */
static void grow_index(struct delta_files *s)
{
    uint64_t *old = s->slots;
    uint32_t n_old = s->n_slots;

    s->n_slots = n_old ? n_old * 2 : 64;
    s->slots = MEM_NEW_N(uint64_t, s->n_slots);
    for (uint32_t i = 0; i < n_old; i++) {
        uint32_t at = (uint32_t)(old[i] >> 32) & (s->n_slots - 1);
        if (!old[i])
            continue;
        while (s->slots[at])
            at = (at + 1) & (s->n_slots - 1);
        s->slots[at] = old[i];
    }
    mem_free(old);
}

/* The live entry of the path with this vector. */
static struct delta_entry *find_live(const struct delta_files *s, struct str path, uint64_t hash,
                                     const struct delta_dv_desc *dv)
{
    if (!s->n_slots)
        return NULL;
    for (uint32_t i = (uint32_t)*slot_of(s, path, hash); i;) {
        struct delta_entry *e = entry_at(s, i - 1);
        if (atomic_load_explicit(&e->removed_at, memory_order_relaxed) == INT64_MAX && delta_dv_eq(e->file.dv, dv))
            return e;
        i = e->prev;
    }
    return NULL;
}

static struct str key_copy(struct delta_files *s, struct str name)
{
    struct str *key = map_get(&s->keys, name);

    if (!key) {
        key = ARENA_NEW(&s->arena, struct str);
        *key = arena_str(&s->arena, name);
        map_put(&s->keys, *key, key);
    }
    return *key;
}

static bool parts_eq(const struct delta_parts *a, const struct delta_kv *kv, uint32_t n)
{
    if (a->n != n)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!a->kv[i].value.p != !kv[i].value.p || !str_eq(a->kv[i].value, kv[i].value) ||
            !str_eq(a->kv[i].key, kv[i].key))
            return false;
    return true;
}

/* Partition column names are the same in every file, and many files have the same values: both are shared. */
static const struct delta_kv *parts_copy(struct delta_files *s, const struct delta_kv *kv, uint32_t n)
{
    uint64_t hash = n;

    if (!n)
        return NULL;
    for (uint32_t i = 0; i < n; i++)
        hash = hash * 31 + hash64(kv[i].value.p, kv[i].value.n);
    struct delta_parts *recent = &s->recent[hash % DELTA_RECENT_PARTS];
    if (parts_eq(recent, kv, n))
        return recent->kv;
    struct delta_kv *copy = ARENA_NEW_N(&s->arena, struct delta_kv, n);
    for (uint32_t i = 0; i < n; i++) {
        copy[i].key = key_copy(s, kv[i].key);
        if (kv[i].value.p)
            copy[i].value = arena_str(&s->arena, kv[i].value);
    }
    *recent = (struct delta_parts){copy, n};
    return copy;
}

static struct delta_file file_copy(struct delta_files *s, const struct delta_file *f)
{
    struct delta_file bare = *f;

    bare.n_parts = 0;
    bare.parts = NULL;
    struct delta_file copy = delta_file_copy(&bare, &s->arena);
    copy.n_parts = f->n_parts;
    copy.parts = (struct delta_kv *)parts_copy(s, f->parts, f->n_parts);
    return copy;
}

static void kill_entry(struct delta_files *s, struct delta_entry *e, int64_t version)
{
    atomic_store(&e->removed_at, version);
    s->n_live--;
}

const struct delta_file *delta_files_add(struct delta_files *s, const struct delta_file *f, int64_t version,
                                         const struct delta_file **ret_replaced)
{
    uint64_t hash = hash64(f->path.p, f->path.n);
    struct delta_entry *old = find_live(s, f->path, hash, f->dv);
    struct delta_file copy = file_copy(s, f);

    if (ret_replaced)
        *ret_replaced = old ? &old->file : NULL;
    pthread_mutex_lock(&s->mutex);
    if (old)
        kill_entry(s, old, version);
    if ((s->n_paths + 1) * 4ull > s->n_slots * 3ull)
        grow_index(s);
    struct delta_entry *e = entry_new(s);
    *e = (struct delta_entry){.file = copy, .added_at = version, .removed_at = INT64_MAX};
    uint64_t *slot = slot_of(s, copy.path, hash);
    if (*slot)
        e->prev = (uint32_t)*slot;
    else
        s->n_paths++;
    *slot = hash >> 32 << 32 | s->n;
    s->n_live++;
    pthread_mutex_unlock(&s->mutex);
    return &e->file;
}

const struct delta_file *delta_files_remove(struct delta_files *s, struct str path, const struct delta_dv_desc *dv,
                                            int64_t version)
{
    struct delta_entry *e = find_live(s, path, hash64(path.p, path.n), dv);

    if (e)
        kill_entry(s, e, version);
    return e ? &e->file : NULL;
}

void delta_files_bury(struct delta_files *s, const struct delta_file *removed)
{
    struct delta_graves *g = s->graves;
    struct delta_grave_run *run = g->newest;
    struct delta_file bare = *removed;

    if (!run || run->n == DELTA_GRAVES) {
        run = MEM_NEW(struct delta_grave_run);
        run->newest_ms = INT64_MIN;
        if (g->newest)
            g->newest->next = run;
        else
            g->oldest = run;
        g->newest = run;
    }
    bare.stats = (struct str){0};
    bare.extra = NULL;
    run->newest_ms = MAX(run->newest_ms, removed->time_ms);
    run->files[run->n++] = delta_file_copy(&bare, &run->arena);
    g->n++;
}

void delta_files_expire(struct delta_files *s, int64_t before_ms)
{
    struct delta_graves *g = s->graves;

    while (g->oldest && g->oldest->newest_ms < before_ms) {
        struct delta_grave_run *run = g->oldest;
        g->oldest = run->next;
        if (!g->oldest)
            g->newest = NULL;
        g->n -= run->n;
        arena_deinit(&run->arena);
        mem_free(run);
    }
}

bool delta_files_is_sparse(const struct delta_files *s)
{
    return s->n - s->n_live > s->n_live + 1024;
}

struct delta_files *delta_files_compact(const struct delta_files *s)
{
    struct delta_files *dense = delta_files_new();

    graves_unref(dense->graves);
    dense->graves = s->graves;
    atomic_fetch_add(&s->graves->refs, 1);
    for (uint32_t i = 0; i < s->n; i++) {
        const struct delta_entry *e = entry_at(s, i);
        if (e->removed_at == INT64_MAX)
            delta_files_add(dense, &e->file, e->added_at, NULL);
    }
    return dense;
}

const struct delta_file *delta_files_next(const struct delta_files *s, uint32_t n, int64_t version, size_t *cursor)
{
    while (*cursor < n) {
        const struct delta_entry *e = entry_at(s, (uint32_t)(*cursor)++);
        if (atomic_load_explicit(&e->removed_at, memory_order_relaxed) > version)
            return &e->file;
    }
    return NULL;
}

const struct delta_file *delta_files_find(struct delta_files *s, uint32_t n, int64_t version, struct str path)
{
    const struct delta_file *found = NULL;

    pthread_mutex_lock(&s->mutex);
    uint32_t i = s->n_slots ? (uint32_t)*slot_of(s, path, hash64(path.p, path.n)) : 0;
    while (i && !found) {
        const struct delta_entry *e = entry_at(s, i - 1);
        if (i <= n && e->removed_at > version)
            found = &e->file;
        i = e->prev;
    }
    pthread_mutex_unlock(&s->mutex);
    return found;
}
