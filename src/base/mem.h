/*
 * Heap memory. Running out of memory stops the process at once with a message: sluice is built to be killed at any
 * moment, so that is safe, and no caller has an untested path for it. Sizes that a peer controls are checked against a
 * limit before they get here.
 */
#ifndef SLUICE_BASE_MEM_H
#define SLUICE_BASE_MEM_H

#include "base/macros.h"

/* Settings of the allocator for the whole process; called once, first of all. */
void mem_tune(void);
/* Gives what is free back to the system: after something large, or before a long rest. */
void mem_trim(void);
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));             /* zeroed */
void *mem_alloc_n(size_t n, size_t size) __attribute__((malloc, returns_nonnull)); /* zeroed; checks n * size */
void *mem_realloc(void *p, size_t size) __attribute__((returns_nonnull));
void *mem_realloc_n(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
void *mem_dup(const void *p, size_t size);
char *mem_strdup(const char *s);            /* NULL gives NULL */
char *mem_strndup(const char *s, size_t n); /* copies exactly n bytes and adds a 0 */
char *mem_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);
void mem_free(void *p);
static inline void mem_freep(void *p) /* for CLEANUP(mem_freep) char *s = …; */
{
    mem_free(*(void **)p);
    *(void **)p = NULL;
}

#define MEM_NEW(type) ((type *)mem_alloc(sizeof(type)))
#define MEM_NEW_N(type, n) ((type *)mem_alloc_n((n), sizeof(type)))
/* Makes room for one more element in the growable array `arr` of `n` used and `cap` allocated elements. */
#define MEM_GROW(arr, n, cap)                                   \
    do {                                                        \
        if ((n) >= (cap)) {                                     \
            (cap) = (cap) ? (cap)*2 : 8;                        \
            (arr) = mem_realloc_n((arr), (cap), sizeof *(arr)); \
        }                                                       \
    } while (0)

#endif
