/* XXH3, compiled in here only: its header needs the functions that banned.h poisons. */
/* xxhash.h is compiled in whole; nothing here allocates. */
#undef malloc
#undef calloc
#undef realloc
#define XXH_INLINE_ALL
#include "base/hash.h"

#include <xxhash.h>

uint64_t hash64(const void *p, size_t n)
{
    return XXH3_64bits(p, n);
}

struct hash128 hash128(const void *p, size_t n)
{
    XXH128_hash_t h = XXH3_128bits(p, n);

    return (struct hash128){h.low64, h.high64};
}
