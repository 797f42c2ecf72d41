/* Macros used everywhere: scope cleanup, ownership transfer, checked results. A macro never hides a jump, except TRY. */
#ifndef SLUICE_BASE_MACROS_H
#define SLUICE_BASE_MACROS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Runs `fn(&var)` when `var` goes out of scope: CLEANUP(buf_deinit) struct buf b = {0}; */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
/* The caller must look at the result. */
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Evaluates to the pointer and leaves NULL behind: `return TAKE_PTR(p);` hands ownership to the caller. */
#define TAKE_PTR(p)                    \
    ({                                 \
        __typeof__(p) take_ptr_ = (p); \
        (p) = NULL;                    \
        take_ptr_;                     \
    })

/* Returns from the calling function when `expr` is an error (negative). */
#define TRY(expr)             \
    do {                      \
        int try_rc_ = (expr); \
        if (try_rc_ < 0)      \
            return try_rc_;   \
    } while (0)

/* Defines `void type_freep(struct type **p)` for CLEANUP from `void type_free(struct type *)`. */
#define DEFINE_FREEP(type)                           \
    static inline void type##_freep(struct type **p) \
    {                                                \
        type##_free(*p);                             \
        *p = NULL;                                   \
    }

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
