/*
 * A change batch: one table, one schema version, up to `cap` rows, in columns.
 *
 * Fixed-width values and validity bits are laid out as in Arrow. Strings and lists take the 16-byte forms that DuckDB's
 * vectors have (a "view": length and either the bytes or a prefix and a pointer), so that a column is handed to the
 * Parquet writer by copying memory, and so that one value can be replaced in place (an unchanged TOAST value is filled
 * in after the fact). Long strings live in the batch's arena.
 *
 * A value is in one of three states: valid, NULL, or *missing* (PostgreSQL did not send an unchanged TOAST value).
 * Missing is neither NULL nor a default; its validity bit is 0 and its missing bit is 1.
 */
#ifndef SLUICE_MODEL_BATCH_H
#define SLUICE_MODEL_BATCH_H

#include "model/position.h"
#include "model/type.h"

enum batch_op {
    OP_READ = 'r',   /* a row of the initial snapshot */
    OP_INSERT = 'c', /* */
    OP_UPDATE =
        'u', /* the new row; the old one is found by the key of the row before, if that is OP_BEFORE, else by its own */
    OP_BEFORE = 'b', /* the old image of the OP_UPDATE that follows at once: only the key, or the whole row */
    OP_DELETE = 'd', /* the old image: only the key, or the whole row */
};

const char *batch_op_name(enum batch_op op); /* "insert" … */

struct strview {
    uint32_t len;
    char prefix[4]; /* the first bytes, zero padded */
    union {
        char rest[8];  /* len <= 12: the bytes go on here, zero padded */
        const char *p; /* len > 12: all the bytes */
    };
};
_Static_assert(sizeof(struct strview) == 16, "the layout of DuckDB's string_t");

struct listview {
    uint64_t offset, length; /* in the child column */
};

/*
 * Storage of a value by type (bytes): boolean 1; byte 1; short 2; integer, date, float 4; long, double, timestamp,
 * timestamp_ntz 8; decimal by precision: <=4: 2, <=9: 4, <=18: 8, else 16 (two's complement of the unscaled value);
 * string, binary 16 (strview); array 16 (listview, child[0] has the elements).
 */
struct column {
    const struct type *type; /* borrowed from the batch's schema */
    uint32_t width;
    uint32_t cap; /* values allocated */
    void *data;
    uint64_t *valid;      /* bit i: value i is there */
    uint64_t *missing;    /* bit i: value i was not sent; NULL when none is missing */
    struct column *child; /* array: its elements, else NULL */
    uint32_t n;           /* child columns only: values used */
};

struct batch {
    struct schema *schema; /* a reference of its own */
    uint32_t n, cap;
    uint8_t *op; /* enum batch_op */
    struct position *pos;
    int64_t *commit_us;  /* commit time at the source, microseconds since 1970 UTC */
    struct column *cols; /* schema->n_fields of them */
    struct arena arena;  /* long strings */
    size_t bytes;        /* of column data and arena: what it counts against a limit */
};

struct batch *batch_new(const struct schema *schema, uint32_t cap); /* takes a reference to the schema */
void batch_free(struct batch *b);
DEFINE_FREEP(batch)
/* The batch gets one more column, all NULL. `wider`: its schema with a field more. Takes a reference to it. */
void batch_add_column(struct batch *b, const struct schema *wider);
/* Adds a row whose values are all NULL and returns its index. Grows as needed. */
uint32_t batch_add_row(struct batch *b, enum batch_op op, struct position pos, int64_t commit_us);

uint32_t type_width(const struct type *t); /* bytes a value takes in a column */
static inline bool bit_get(const uint64_t *bits, uint32_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}
static inline void bit_set(uint64_t *bits, uint32_t i)
{
    bits[i / 64] |= (uint64_t)1 << (i % 64);
}
static inline void bit_clear(uint64_t *bits, uint32_t i)
{
    bits[i / 64] &= ~((uint64_t)1 << (i % 64));
}
static inline bool column_is_valid(const struct column *c, uint32_t i)
{
    return bit_get(c->valid, i);
}
static inline bool column_is_missing(const struct column *c, uint32_t i)
{
    return c->missing && bit_get(c->missing, i);
}
/* Copies `c->width` bytes in and marks the value valid (and not missing). */
void column_set(struct column *c, uint32_t i, const void *value);
void column_set_null(struct column *c, uint32_t i);
void column_set_missing(struct column *c, uint32_t i);
/* Copies the bytes into the batch's arena when they are long. At most 2^32-1 bytes. */
void column_set_str(struct batch *b, struct column *c, uint32_t i, struct str s);
struct str column_str(const struct column *c, uint32_t i);
/* Adds one element to an array column's child and returns its index (value NULL). */
uint32_t column_child_add(struct column *c);
void column_set_list(struct column *c, uint32_t i, uint64_t offset, uint64_t length);
/* Copies value `from` of a column of equal type in another batch, with its state and its bytes. */
void column_copy(struct batch *to_batch, struct column *to, uint32_t i, const struct column *from, uint32_t j);

#endif
