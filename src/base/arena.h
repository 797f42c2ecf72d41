/*
 * An arena: memory that is given back all at once. One arena a unit of work (a message batch, a statement, a log
 * replay), passed explicitly and reset by the loop that owns the unit; nothing in it outlives the unit.
 */
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *head; /* newest; its free space is [p, end) */
    char *p, *end;
    size_t used; /* bytes held by all blocks */
};

void arena_deinit(struct arena *a);
void arena_reset(struct arena *a); /* empties; keeps the newest block for reuse */
void *arena_alloc_slow(struct arena *a, size_t n);
/* n bytes aligned to 8, not zeroed. Never NULL. */
static inline void *arena_alloc(struct arena *a, size_t n)
{
    size_t need = (n + !n + 7) & ~(size_t)7; /* 0 bytes are a pointer too */

    if (need < n || need > (size_t)(a->end - a->p))
        return arena_alloc_slow(a, n);
    void *p = a->p;
    a->p += need;
    return p;
}
void *arena_zalloc(struct arena *a, size_t n); /* zeroed */
void *arena_dup(struct arena *a, const void *p, size_t n);
char *arena_strdup(struct arena *a, struct str s);   /* 0-terminated copy */
struct str arena_str(struct arena *a, struct str s); /* copy, also 0-terminated */
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define ARENA_NEW(a, type) ((type *)arena_zalloc((a), sizeof(type)))
#define ARENA_NEW_N(a, type, n) ((type *)arena_zalloc((a), (n) * sizeof(type)))

#endif
