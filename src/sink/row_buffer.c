/* Rows waiting for their file: liveness bits, a key map, origins of missing values. */
#include "sink/row_buffer.h"

#include "base/mem.h"

#include <assert.h>

enum { FEW = 64 }; /* rows that there is room for at first: there may be thousands of tables */

void row_buffer_deinit(struct row_buffer *b)
{
    row_buffer_reset(b);
    mem_free(b->batches);
    mem_free(b->first);
    mem_free(b->hash);
    mem_free(b->live);
    mem_free(b->slots);
    mem_free(b->origins);
    *b = (struct row_buffer){0};
}

void row_buffer_reset(struct row_buffer *b)
{
    for (uint32_t i = 0; i < b->n_batches; i++)
        batch_free(b->batches[i]);
    if (b->slots)
        memset(b->slots, 0, b->slot_cap * sizeof *b->slots);
    if (b->live)
        memset(b->live, 0, (b->cap_rows + 63) / 64 * sizeof *b->live);
    b->n_batches = b->n_rows = b->n_live = b->slot_used = b->n_origins = 0;
    b->bytes = 0;
}

static void reserve_rows(struct row_buffer *b, uint32_t n)
{
    uint32_t cap = b->cap_rows ? b->cap_rows : FEW;

    if (n <= b->cap_rows)
        return;
    while (cap < n)
        cap *= 2;
    size_t old_words = (b->cap_rows + 63) / 64, words = (cap + 63) / 64;
    b->hash = mem_realloc_n(b->hash, cap, sizeof *b->hash);
    b->live = mem_realloc_n(b->live, words, sizeof *b->live);
    memset(b->live + old_words, 0, (words - old_words) * sizeof *b->live);
    b->cap_rows = cap;
}

uint32_t row_buffer_add(struct row_buffer *b, struct batch *batch, const struct hash128 *hashes)
{
    uint32_t first = b->n_rows;

    assert(batch->n < UINT32_MAX - b->n_rows);
    if (b->n_batches == b->cap_batches) {
        b->cap_batches = b->cap_batches ? b->cap_batches * 2 : 8;
        b->batches = mem_realloc_n(b->batches, b->cap_batches, sizeof *b->batches);
        b->first = mem_realloc_n(b->first, b->cap_batches, sizeof *b->first);
    }
    reserve_rows(b, first + batch->n);
    b->batches[b->n_batches] = batch;
    b->first[b->n_batches++] = first;
    memcpy(b->hash + first, hashes, batch->n * sizeof *hashes);
    b->n_rows += batch->n;
    b->bytes += batch->bytes + batch->n * (sizeof *hashes + 2 * sizeof *b->slots);
    return first;
}

static void place(struct row_buffer *b, uint32_t ordinal)
{
    uint32_t mask = b->slot_cap - 1, i = (uint32_t)b->hash[ordinal].lo & mask;

    while (b->slots[i] && bit_get(b->live, b->slots[i] - 1))
        i = (i + 1) & mask;
    b->slot_used += !b->slots[i]; /* else a dead row's: a row that changes all the time takes one slot */
    b->slots[i] = ordinal + 1;
}

static void grow_slots(struct row_buffer *b)
{
    b->slot_cap = b->slot_cap ? b->slot_cap * 2 : 2 * FEW;
    mem_free(b->slots);
    b->slots = MEM_NEW_N(uint32_t, b->slot_cap);
    b->slot_used = 0;
    for (uint32_t i = 0; i < b->n_rows; i++)
        if (bit_get(b->live, i))
            place(b, i);
}

void row_buffer_put(struct row_buffer *b, uint32_t ordinal)
{
    assert(ordinal < b->n_rows && !bit_get(b->live, ordinal));
    if ((b->slot_used + 1) * 3 > b->slot_cap * 2)
        grow_slots(b);
    place(b, ordinal);
    bit_set(b->live, ordinal);
    b->n_live++;
}

uint32_t row_buffer_find(const struct row_buffer *b, struct hash128 hash)
{
    uint32_t mask = b->slot_cap - 1;

    if (!b->n_live)
        return ROW_NONE;
    for (uint32_t i = (uint32_t)hash.lo & mask; b->slots[i]; i = (i + 1) & mask) {
        uint32_t ordinal = b->slots[i] - 1;
        const struct hash128 *h = &b->hash[ordinal];
        if (h->lo == hash.lo && h->hi == hash.hi && bit_get(b->live, ordinal))
            return ordinal;
    }
    return ROW_NONE;
}

void row_buffer_kill(struct row_buffer *b, uint32_t ordinal)
{
    assert(bit_get(b->live, ordinal));
    bit_clear(b->live, ordinal);
    b->n_live--;
}

struct batch *row_buffer_at(const struct row_buffer *b, uint32_t ordinal, uint32_t *ret_row)
{
    uint32_t lo = 0, hi = b->n_batches;

    assert(ordinal < b->n_rows);
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (b->first[mid] <= ordinal)
            lo = mid;
        else
            hi = mid;
    }
    *ret_row = ordinal - b->first[lo];
    return b->batches[lo];
}

bool row_buffer_has_missing(const struct row_buffer *b, uint32_t ordinal)
{
    uint32_t row;
    struct batch *batch = row_buffer_at(b, ordinal, &row);

    for (uint32_t c = 0; c < batch->schema->n_fields; c++)
        if (column_is_missing(&batch->cols[c], row))
            return true;
    return false;
}

static const struct row_origin *find_origin(const struct row_buffer *b, uint32_t ordinal)
{
    uint32_t lo = 0, hi = b->n_origins;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (b->origins[mid].ordinal < ordinal)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < b->n_origins && b->origins[lo].ordinal == ordinal ? &b->origins[lo] : NULL;
}

void row_buffer_inherit(struct row_buffer *b, uint32_t ordinal, uint32_t old)
{
    uint32_t row, old_row;
    struct batch *batch = row_buffer_at(b, ordinal, &row), *from = row_buffer_at(b, old, &old_row);
    bool still_missing = false;

    for (uint32_t c = 0; c < batch->schema->n_fields; c++) {
        if (!column_is_missing(&batch->cols[c], row))
            continue;
        column_copy(batch, &batch->cols[c], row, &from->cols[c], old_row);
        still_missing |= column_is_missing(&batch->cols[c], row);
    }
    if (still_missing) {
        const struct row_origin *o = find_origin(b, old);
        assert(o);
        row_buffer_set_origin(b, ordinal, o->file, o->row);
    }
}

void row_buffer_set_origin(struct row_buffer *b, uint32_t ordinal, uint32_t file, uint32_t row)
{
    assert(!b->n_origins || b->origins[b->n_origins - 1].ordinal < ordinal);
    MEM_GROW(b->origins, b->n_origins, b->cap_origins);
    b->origins[b->n_origins++] = (struct row_origin){ordinal, file, row};
}

uint32_t row_buffer_take(const struct row_buffer *b, const uint32_t *ordinals, uint32_t n,
                         const struct batch **ret_batch, uint32_t *ret)
{
    uint32_t row, taken = 0;

    assert(n);
    *ret_batch = row_buffer_at(b, ordinals[0], &row);
    uint32_t first = ordinals[0] - row;
    while (taken < n && ordinals[taken] - first < (*ret_batch)->n) {
        ret[taken] = ordinals[taken] - first;
        taken++;
    }
    return taken;
}
