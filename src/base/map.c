/* Open addressing with linear probing, at most 3/4 full counting removed slots. */
#include "base/map.h"

#include "base/hash.h"
#include "base/mem.h"

#include <assert.h>

void map_deinit(struct map *m)
{
    mem_free(m->slots);
    *m = (struct map){0};
}

/* The slot of the key, or the free slot that ends its probe sequence. */
static struct map_slot *find(const struct map *m, struct str key, uint64_t hash)
{
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct map_slot *s = &m->slots[i];
        if (!s->key.p || (s->value && s->hash == hash && str_eq(s->key, key)))
            return s;
    }
}

static void grow(struct map *m)
{
    struct map old = *m;

    m->cap = old.n * 2 >= 8 ? (size_t)1 << (64 - __builtin_clzll(old.n * 2)) : 16;
    m->slots = MEM_NEW_N(struct map_slot, m->cap);
    m->used = m->n;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].value)
            *find(m, old.slots[i].key, old.slots[i].hash) = old.slots[i];
    mem_free(old.slots);
}

void *map_get(const struct map *m, struct str key)
{
    return m->n ? find(m, key, hash64(key.p, key.n))->value : NULL;
}

void *map_put(struct map *m, struct str key, void *value)
{
    uint64_t hash = hash64(key.p, key.n);

    assert(value);
    if (!key.p)
        key.p = "";
    if ((m->used + 1) * 4 > m->cap * 3)
        grow(m);
    struct map_slot *s = find(m, key, hash);
    void *old = s->value;
    if (!old)
        m->n++, m->used++;
    *s = (struct map_slot){key, hash, value};
    return old;
}

void *map_remove(struct map *m, struct str key)
{
    static const char removed[1];

    if (!m->n)
        return NULL;
    struct map_slot *s = find(m, key, hash64(key.p, key.n));
    void *old = s->value;
    if (old) {
        *s = (struct map_slot){.key = {removed, 0}};
        m->n--;
    }
    return old;
}

int map_next(const struct map *m, size_t *cursor, struct str *ret_key, void **ret_value)
{
    for (; *cursor < m->cap; (*cursor)++) {
        const struct map_slot *s = &m->slots[*cursor];
        if (!s->value)
            continue;
        if (ret_key)
            *ret_key = s->key;
        *ret_value = s->value;
        (*cursor)++;
        return 0;
    }
    return 1;
}

void imap_deinit(struct imap *m)
{
    mem_free(m->slots);
    *m = (struct imap){0};
}

static struct imap_slot *ifind(const struct imap *m, uint64_t key)
{
    uint64_t h = key * 0x9e3779b97f4a7c15u;

    for (size_t i = (h ^ h >> 32) & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct imap_slot *s = &m->slots[i];
        if (!s->used || (s->value && s->key == key))
            return s;
    }
}

static void igrow(struct imap *m)
{
    struct imap old = *m;

    m->cap = old.n * 2 >= 8 ? (size_t)1 << (64 - __builtin_clzll(old.n * 2)) : 16;
    m->slots = MEM_NEW_N(struct imap_slot, m->cap);
    m->used = m->n;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].value)
            *ifind(m, old.slots[i].key) = old.slots[i];
    mem_free(old.slots);
}

void *imap_get(const struct imap *m, uint64_t key)
{
    return m->n ? ifind(m, key)->value : NULL;
}

void *imap_put(struct imap *m, uint64_t key, void *value)
{
    assert(value);
    if ((m->used + 1) * 4 > m->cap * 3)
        igrow(m);
    struct imap_slot *s = ifind(m, key);
    void *old = s->value;
    if (!old)
        m->n++, m->used++;
    *s = (struct imap_slot){key, value, true};
    return old;
}

void *imap_remove(struct imap *m, uint64_t key)
{
    if (!m->n)
        return NULL;
    struct imap_slot *s = ifind(m, key);
    void *old = s->value;
    if (old) {
        s->value = NULL;
        m->n--;
    }
    return old;
}

int imap_next(const struct imap *m, size_t *cursor, uint64_t *ret_key, void **ret_value)
{
    for (; *cursor < m->cap; (*cursor)++) {
        const struct imap_slot *s = &m->slots[*cursor];
        if (!s->value)
            continue;
        if (ret_key)
            *ret_key = s->key;
        *ret_value = s->value;
        (*cursor)++;
        return 0;
    }
    return 1;
}
