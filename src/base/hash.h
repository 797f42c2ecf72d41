/* Hashing: XXH3. Stable across runs and machines of either endianness that we build for (little). */
#ifndef SLUICE_BASE_HASH_H
#define SLUICE_BASE_HASH_H

#include "base/str.h"

struct hash128 {
    uint64_t lo, hi;
};

uint64_t hash64(const void *p, size_t n);
struct hash128 hash128(const void *p, size_t n);

#endif
