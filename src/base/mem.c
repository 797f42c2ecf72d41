/* Heap memory that does not return NULL. */
/* The one place that may call these. */
#undef calloc
#undef realloc

#include "base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(size_t size)
{
    fprintf(stderr, "sluice: out of memory (%zu bytes asked); state on disk is safe, start again\n", size);
    abort();
}

/* Columns of batches come and go by the hundred kilobytes: a mapping for each would cost more in page faults than their
 * contents. Few arenas, so that what one thread frees another can use. */
void mem_tune(void)
{
    mallopt(M_MMAP_THRESHOLD, 8 << 20);
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
    mallopt(M_ARENA_MAX, 4);
}

void mem_trim(void)
{
    malloc_trim(0);
}

static size_t product(size_t n, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total))
        out_of_memory(SIZE_MAX);
    return total;
}

void *mem_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);

    if (!p)
        out_of_memory(size);
    return p;
}

void *mem_alloc_n(size_t n, size_t size)
{
    return mem_alloc(product(n, size));
}

void *mem_realloc(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);

    if (!p)
        out_of_memory(size);
    return p;
}

void *mem_realloc_n(void *old, size_t n, size_t size)
{
    return mem_realloc(old, product(n, size));
}

void *mem_dup(const void *p, size_t size)
{
    void *copy = mem_alloc(size);

    if (size)
        memcpy(copy, p, size);
    return copy;
}

char *mem_strndup(const char *s, size_t n)
{
    char *copy = mem_alloc(n + 1);

    if (n)
        memcpy(copy, s, n);
    return copy;
}

char *mem_strdup(const char *s)
{
    return s ? mem_strndup(s, strlen(s)) : NULL;
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap, again;

    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory(0);
    char *s = mem_alloc((size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

void mem_free(void *p)
{
    free(p);
}
