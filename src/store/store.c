/* Object stores: the calls common to all kinds, and lists of entries. */
#include "store/store.h"

#include "base/mem.h"

#include <assert.h>

void store_list_deinit(struct store_list *l)
{
    arena_deinit(&l->arena);
    mem_free(l->v);
    *l = (struct store_list){0};
}

void store_list_add(struct store_list *l, const char *key, int64_t size, int64_t time_ms)
{
    MEM_GROW(l->v, l->n, l->cap);
    l->v[l->n++] = (struct store_entry){arena_strdup(&l->arena, str_of(key)), size, time_ms};
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct store_entry *)a)->key, ((const struct store_entry *)b)->key);
}

void store_list_sort(struct store_list *l)
{
    if (l->n)
        qsort(l->v, l->n, sizeof *l->v, by_key);
}

struct store *store_ref(struct store *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void store_unref(struct store *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    char *name = s->name;
    s->ops->free(s);
    mem_free(name);
}

int store_get(struct store *s, const char *key, struct buf *ret, struct err *err)
{
    return s->ops->get(s, key, ret, err);
}

int store_head(struct store *s, const char *key, int64_t *ret_size, int64_t *ret_time_ms, struct err *err)
{
    int64_t size, time_ms;

    TRY(s->ops->head(s, key, &size, &time_ms, err));
    if (ret_size)
        *ret_size = size;
    if (ret_time_ms)
        *ret_time_ms = time_ms;
    return 0;
}

int store_put(struct store *s, const char *key, struct str bytes, struct err *err)
{
    assert(key[0] != '/');
    return s->ops->put(s, key, bytes, err);
}

int store_put_soon(struct store *s, const char *key, struct str bytes, struct err *err)
{
    assert(key[0] != '/');
    return (s->ops->put_soon ? s->ops->put_soon : s->ops->put)(s, key, bytes, err);
}

int store_put_if_absent(struct store *s, const char *key, struct str bytes, struct err *err)
{
    assert(key[0] != '/');
    return s->ops->put_if_absent(s, key, bytes, err);
}

int store_list(struct store *s, const char *dir, const char *start_after, bool recursive, struct store_list *ret,
               struct err *err)
{
    TRY(s->ops->list(s, dir, start_after, recursive, ret, err));
    store_list_sort(ret);
    return 0;
}

int store_remove(struct store *s, const char *key, struct err *err)
{
    return s->ops->remove(s, key, err);
}

void store_temp_path(struct store *s, const char *suffix, struct buf *ret)
{
    s->ops->temp_path(s, suffix, ret);
}

int store_adopt(struct store *s, const char *local_path, const char *key, struct err *err)
{
    assert(key[0] != '/');
    return s->ops->adopt(s, local_path, key, err);
}

void store_local_path(struct store *s, const char *key, struct buf *ret)
{
    s->ops->engine_path(s, key, ret);
}
