/*
 * Hashes of keys: the values of the key columns of a row, in a canonical form, as 128 bits.
 *
 * Two keys that PostgreSQL holds equal hash equally, however they are stored: all integer types alike, float as double
 * with -0 as 0 and one NaN, decimals without trailing zeros (so any precision and scale alike), dates as their midnight.
 * So a key column may be widened within its class (integers; float to double; decimals; date to timestamp_ntz) and the
 * hashes stay. NULL is a value (tables without a primary key are found by the whole row).
 */
#ifndef SLUICE_DELTA_KEY_HASH_H
#define SLUICE_DELTA_KEY_HASH_H

#include "base/hash.h"
#include "model/batch.h"

/*
 * A column of values in the layout of `struct column`, which is also that of DuckDB's flat vectors: data and validity
 * of either can be hashed. All borrowed.
 */
struct key_col_view {
    const struct type *type;
    const void *data;
    const uint64_t *valid;            /* bit i: value i is there; NULL: all are */
    const struct key_col_view *child; /* TYPE_ARRAY: its elements */
};

/* Can a column of this type be (part of) a key? Not: struct, map, variant, void, other; arrays nest at most 6 deep. */
bool key_type_ok(const struct type *t);
/* ret[i - from] = hash of row i, from <= i < to. All types must be key_type_ok. */
void key_hash_rows(const struct key_col_view *cols, size_t n_cols, uint32_t from, uint32_t to, struct hash128 *ret);
/* The same over columns `key_cols` of a batch. A missing value counts as NULL: fill it in before. */
void key_hash_batch(const struct batch *b, const int *key_cols, size_t n_keys, uint32_t from, uint32_t to,
                    struct hash128 *ret);
/* What a key index of these columns is tagged with: changes with the columns (by physical name), their order and the
 * classes of their types, that is whenever hashes may change. */
uint64_t key_fingerprint(const struct schema *s, const int *key_cols, size_t n_keys);

#endif
