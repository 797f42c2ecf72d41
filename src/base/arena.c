/* Arena: a chain of blocks that double in size up to 1 MB; a large request gets a block of its own. */
#include "base/arena.h"

#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

struct arena_block {
    struct arena_block *next; /* older */
    size_t size;              /* bytes of data */
    char data[] __attribute__((aligned(16)));
};

enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 20 };

void arena_deinit(struct arena *a)
{
    while (a->head) {
        struct arena_block *next = a->head->next;
        mem_free(a->head);
        a->head = next;
    }
    *a = (struct arena){0};
}

void arena_reset(struct arena *a)
{
    struct arena_block *keep = a->head;

    if (!keep)
        return;
    while (keep->next) {
        struct arena_block *next = keep->next->next;
        mem_free(keep->next);
        keep->next = next;
    }
    a->p = keep->data;
    a->end = keep->data + keep->size;
    a->used = keep->size;
}

void *arena_alloc_slow(struct arena *a, size_t n)
{
    size_t need = (n + !n + 7) & ~(size_t)7; /* 0 bytes are a pointer too */
    size_t size = a->head ? MIN(a->head->size * 2, (size_t)LARGEST_BLOCK) : (size_t)FIRST_BLOCK;

    assert(need >= n);
    size = MAX(size, need);
    struct arena_block *b = mem_realloc(NULL, sizeof *b + size); /* not zeroed: that would cost as much as the work */
    b->size = size;
    b->next = a->head;
    a->head = b;
    a->p = b->data + need;
    a->end = b->data + size;
    a->used += size;
    return b->data;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    return memset(arena_alloc(a, n), 0, n);
}

void *arena_dup(struct arena *a, const void *p, size_t n)
{
    void *copy = arena_alloc(a, n);

    if (n)
        memcpy(copy, p, n);
    return copy;
}

char *arena_strdup(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.n + 1);

    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = 0;
    return copy;
}

struct str arena_str(struct arena *a, struct str s)
{
    return str_make(arena_strdup(a, s), s.n);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;

    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    char *s = arena_alloc(a, (size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}
