/* Variants from their binary form to DuckDB's, for a vector of them. */
#ifndef SLUICE_ENGINE_VARIANT_DECODE_H
#define SLUICE_ENGINE_VARIANT_DECODE_H

#include "codec/variant.h"
#include "engine/internal.h"

/* The parts of all rows so far. `{0}` is valid. */
struct variant_build {
    struct arena arena; /* bytes of rows */
    struct str *keys;
    uint32_t *children[2]; /* names and places, of each member */
    uint8_t *types;
    uint32_t *offsets;
    uint64_t n_keys, cap_keys, n_children, cap_children[2], n_values, cap_types, cap_offsets;
    struct buf data;                              /* of the row under way */
    uint64_t first_key, first_child, first_value; /* of the row under way */
    struct variant_names names;                   /* of it */
    struct variant_row *rows;
    uint64_t n_rows, cap_rows;
};

void variant_build_deinit(struct variant_build *b);
/* The next row: metadata and then the value, which are borrowed until the vector is filled. */
int variant_build_add(struct variant_build *b, struct str bytes, struct err *err) MUST_CHECK;
void variant_build_add_null(struct variant_build *b);
/* All rows, into a vector of VARIANT. */
void variant_build_fill(const struct variant_build *b, duckdb_vector out);

#endif
