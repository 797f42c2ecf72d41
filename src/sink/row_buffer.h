/*
 * The rows of the open epoch that are not in a file yet, for one table.
 *
 * Batches come in as they are and are never copied: a row that is updated or deleted again before it reaches a file is
 * only marked dead, and dead rows are left out when the file is written. Rows are named by ordinal: their place in the
 * sequence of all rows of all batches. A map from key hash to ordinal finds the live row of a key.
 *
 * A row may lack unchanged TOAST values. Where they stand (a row in a file) is kept as its origin; a later update of the
 * same row inherits the values, or the origin.
 */
#ifndef SLUICE_SINK_ROW_BUFFER_H
#define SLUICE_SINK_ROW_BUFFER_H

#include "base/hash.h"
#include "model/batch.h"

enum { ROW_NONE = UINT32_MAX };

/* Where an unchanged value stands: row `row` of the file with this id. */
struct row_origin {
    uint32_t ordinal;
    uint32_t file, row;
};

struct row_buffer {
    struct batch **batches; /* owned, all of one schema */
    uint32_t *first;        /* ordinal of the first row of each batch */
    uint32_t n_batches, cap_batches;
    uint32_t n_rows, cap_rows;
    struct hash128 *hash; /* by ordinal: of the row's key */
    uint64_t *live;       /* bit by ordinal */
    uint32_t n_live;
    uint32_t *slots; /* open addressing: ordinal + 1, 0 = free; dead rows stay until the buffer is reset */
    uint32_t slot_cap, slot_used;
    struct row_origin *origins; /* in order of ordinal */
    uint32_t n_origins, cap_origins;
    size_t bytes;
};

void row_buffer_deinit(struct row_buffer *b);
void row_buffer_reset(struct row_buffer *b); /* frees the batches, keeps the small memory */
/* Takes a batch and the hashes of its rows' keys (copied). Its rows are not live yet. Returns the first ordinal. */
uint32_t row_buffer_add(struct row_buffer *b, struct batch *batch, const struct hash128 *hashes);
/* Makes a row findable by its key, and part of the next file. */
void row_buffer_put(struct row_buffer *b, uint32_t ordinal);
/* A live row with this key hash, or ROW_NONE. */
uint32_t row_buffer_find(const struct row_buffer *b, struct hash128 hash);
void row_buffer_kill(struct row_buffer *b, uint32_t ordinal);
struct batch *row_buffer_at(const struct row_buffer *b, uint32_t ordinal, uint32_t *ret_row);
bool row_buffer_has_missing(const struct row_buffer *b, uint32_t ordinal);
/* The new row takes the missing values of the old buffered row, or its origin. */
void row_buffer_inherit(struct row_buffer *b, uint32_t ordinal, uint32_t old);
/* The missing values of the row stand in a file. Rows must come in order. */
void row_buffer_set_origin(struct row_buffer *b, uint32_t ordinal, uint32_t file, uint32_t row);
/* The rows at the head of `ordinals` (rising, n of them) that are of one batch: their indexes in it go to `ret` (room for
 * n). Returns how many. */
uint32_t row_buffer_take(const struct row_buffer *b, const uint32_t *ordinals, uint32_t n,
                         const struct batch **ret_batch, uint32_t *ret);

#endif
