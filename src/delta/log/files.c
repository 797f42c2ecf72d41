/*
 * The set of files over versions. Entries are kept in chunks that double and never move; an index from path to the
 * newest entry of that path, with the older ones chained behind it, is the only thing that needs the lock.
 *
 *   slots: | hash's upper 32 bits | entry + 1 | … linear probing from where those bits say, at most 3/4 full
 */
#include "delta/log/files.h"

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
    for (uint32_t k = 0; k < s->n_cold; k++)
        file_block_free(s->cold[k].block);
    mem_free(s->cold);
    file_packer_free(s->packer);
    mem_free(s->slots);
    map_deinit(&s->keys);
    arena_deinit(&s->arena);
    graves_unref(s->graves);
    pthread_mutex_destroy(&s->mutex);
    mem_free(s);
}

/* Where the entry is; to be looked at only when its block is open. */
static struct delta_entry *entry_place(const struct delta_files *s, uint32_t i)
{
    /* chunk k starts at FIRST * (2^k - 1) */
    uint32_t k = 31 - (uint32_t)__builtin_clz(i / DELTA_FIRST_CHUNK + 1);

    return &s->chunks[k][i - DELTA_FIRST_CHUNK * ((1u << k) - 1)];
}

static bool is_cold(const struct delta_files *s, uint32_t i)
{
    return i / FILE_BLOCK < s->n_cold && !atomic_load(&s->cold[i / FILE_BLOCK].open);
}

/* With the mutex held. */
static void open_block(struct delta_files *s, uint32_t k)
{
    CLEANUP(mem_freep) struct file_image *images = file_block_open(s->cold[k].block);

    for (uint32_t i = 0; i < file_block_count(s->cold[k].block); i++)
        *entry_place(s, k * FILE_BLOCK + i) =
            (struct delta_entry){.file = images[i].file, .added_at = images[i].added_at, .removed_at = INT64_MAX};
    atomic_store(&s->cold[k].open, true);
}

/* With the mutex held, or else for entries that were returned before. */
static struct delta_entry *entry_at(struct delta_files *s, uint32_t i)
{
    if (is_cold(s, i))
        open_block(s, i / FILE_BLOCK);
    return entry_place(s, i);
}

/* Makes room for one more. */
static struct delta_entry *entry_new(struct delta_files *s)
{
    uint32_t k = 31 - (uint32_t)__builtin_clz(s->n / DELTA_FIRST_CHUNK + 1);

    assert(k < DELTA_CHUNKS);
    if (!s->chunks[k]) /* not zeroed: the pages of a chunk come as they are used */
        s->chunks[k] = mem_realloc_n(NULL, (size_t)DELTA_FIRST_CHUNK << k, sizeof(struct delta_entry));
    return entry_place(s, s->n++);
}

/* The block that the next entry can go into, or NULL: it has to be an entry at once. */
static struct file_block *open_end(struct delta_files *s, const struct delta_file *f)
{
    uint32_t k = s->n / FILE_BLOCK;

    if (!s->packer || f->stats.n > FILE_BLOCK_STATS_MAX)
        return NULL;
    if (k == s->n_cold && s->n % FILE_BLOCK == 0) {
        if (s->n_cold == s->cap_cold) {
            s->cap_cold = s->cap_cold ? s->cap_cold * 2 : 8;
            s->cold = mem_realloc_n(s->cold, s->cap_cold, sizeof *s->cold);
        }
        s->cold[s->n_cold++] = (struct delta_cold){.block = file_block_new(s->packer)};
    }
    return is_cold(s, s->n) ? s->cold[k].block : NULL;
}

/* The slot of the path, or the free one that ends its probing. */
static uint64_t *slot_of(struct delta_files *s, struct str path, uint64_t hash)
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
static struct delta_entry *find_live(struct delta_files *s, uint64_t slot, const struct delta_dv_desc *dv)
{
    for (uint32_t i = (uint32_t)slot; i;) {
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

/* A copy but for the text of path and statistics. */
static struct delta_file bare_copy(struct delta_files *s, const struct delta_file *f)
{
    struct delta_file copy = *f, rest = {.dv = f->dv, .extra = f->extra};

    if (f->dv || f->extra) {
        rest = delta_file_copy(&rest, &s->arena);
        copy.dv = rest.dv;
        copy.extra = rest.extra;
    }
    copy.parts = (struct delta_kv *)parts_copy(s, f->parts, f->n_parts);
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

static void add_packed(struct delta_files *s, struct file_block *block, const struct delta_file *f, int64_t version)
{
    struct delta_file bare = bare_copy(s, f);

    entry_new(s);
    file_block_add(block, &bare, version);
    if (file_block_count(block) == FILE_BLOCK)
        file_block_pack(block, s->packer);
}

static void add_entry(struct delta_files *s, const struct delta_file *f, int64_t version, uint32_t prev)
{
    struct delta_file copy = file_copy(s, f);

    if (is_cold(s, s->n)) /* the last block is not full, and will not be */
        open_block(s, s->n / FILE_BLOCK);
    *entry_new(s) = (struct delta_entry){.file = copy, .added_at = version, .removed_at = INT64_MAX, .prev = prev};
}

void delta_files_add(struct delta_files *s, const struct delta_file *f, int64_t version,
                     const struct delta_file **ret_replaced)
{
    uint64_t hash = hash64(f->path.p, f->path.n);

    pthread_mutex_lock(&s->mutex);
    if ((s->n_paths + 1) * 4ull > s->n_slots * 3ull)
        grow_index(s);
    uint64_t *slot = slot_of(s, f->path, hash);
    struct delta_entry *old = find_live(s, *slot, f->dv);
    if (ret_replaced)
        *ret_replaced = old ? &old->file : NULL;
    if (old)
        kill_entry(s, old, version);
    struct file_block *block = *slot ? NULL : open_end(s, f);
    if (block)
        add_packed(s, block, f, version);
    else
        add_entry(s, f, version, (uint32_t)*slot);
    s->n_paths += !*slot;
    *slot = hash >> 32 << 32 | s->n;
    s->n_live++;
    pthread_mutex_unlock(&s->mutex);
}

void delta_files_foresee(const struct delta_files *s, struct str path)
{
    if (s->n_slots)
        __builtin_prefetch(&s->slots[(uint32_t)(hash64(path.p, path.n) >> 32) & (s->n_slots - 1)]);
}

void delta_files_pack_begin(struct delta_files *s)
{
    s->packer = file_packer_new();
}

void delta_files_pack_end(struct delta_files *s)
{
    file_packer_free(TAKE_PTR(s->packer));
}

uint32_t delta_files_n_packed(struct delta_files *s)
{
    uint32_t n = 0;

    for (uint32_t k = 0; k < s->n_cold; k++)
        n += atomic_load(&s->cold[k].open) ? 0 : file_block_count(s->cold[k].block);
    return n;
}

const struct delta_file *delta_files_remove(struct delta_files *s, struct str path, const struct delta_dv_desc *dv,
                                            int64_t version)
{
    pthread_mutex_lock(&s->mutex);
    struct delta_entry *e = s->n_slots ? find_live(s, *slot_of(s, path, hash64(path.p, path.n)), dv) : NULL;
    if (e)
        kill_entry(s, e, version);
    pthread_mutex_unlock(&s->mutex);
    return e ? &e->file : NULL;
}

void delta_files_bury(struct delta_files *s, const struct delta_file *removed)
{
    struct delta_graves *g = s->graves;
    struct delta_grave_run *run = g->newest;
    struct delta_file bare = *removed;

    if (!run || run->n == run->cap) {
        uint32_t cap = run ? MIN(run->cap * 2, (uint32_t)DELTA_GRAVES) : DELTA_FIRST_GRAVES;
        run = mem_alloc(sizeof *run + cap * sizeof run->files[0]);
        run->cap = cap;
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

struct delta_files *delta_files_compact(struct delta_files *s)
{
    CLEANUP(delta_stats_reader_deinit) struct delta_stats_reader stats = {0};
    struct delta_files *dense = delta_files_new();
    const struct delta_file *f;
    size_t cursor = 0;

    graves_unref(dense->graves);
    dense->graves = s->graves;
    atomic_fetch_add(&s->graves->refs, 1);
    delta_files_pack_begin(dense);
    while ((f = delta_files_next(s, s->n, INT64_MAX - 1, &cursor))) {
        struct delta_file file = *f;
        file.stats = delta_stats_read(&stats, f);
        file.packed = NULL;
        delta_files_add(dense, &file, ((const struct delta_entry *)f)->added_at, NULL);
    }
    delta_files_pack_end(dense);
    return dense;
}

const struct delta_file *delta_files_next(struct delta_files *s, uint32_t n, int64_t version, size_t *cursor)
{
    while (*cursor < n) {
        uint32_t i = (uint32_t)(*cursor)++;
        if (is_cold(s, i)) {
            pthread_mutex_lock(&s->mutex);
            entry_at(s, i);
            pthread_mutex_unlock(&s->mutex);
        }
        const struct delta_entry *e = entry_place(s, i);
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
