/*
 * Deletion vectors (Delta protocol, "Deletion Vectors" and "Deletion Vector Format"): the set of row positions of a
 * data file that are no longer rows, its portable bytes, the file that holds it, and the descriptor in the log.
 *
 * In memory: a 32-bit Roaring bitmap for each run of 2^32 rows, so almost always one. A row is its physical position in
 * the data file, from 0. Not thread safe; a `const struct dv` may be read by several threads.
 */
#ifndef SLUICE_CODEC_DV_H
#define SLUICE_CODEC_DV_H

#include "base/buf.h"
#include "base/err.h"

struct roaring_bitmap_s;

struct dv_part {
    uint32_t key; /* row >> 32 */
    struct roaring_bitmap_s *rows;
};

/* {0} is a valid empty set. */
struct dv {
    struct dv_part *parts; /* ascending by key */
    uint32_t n, cap;
    uint64_t cardinality; /* rows in the set */
};

void dv_deinit(struct dv *dv);
void dv_move(struct dv *to, struct dv *from); /* `to` must be empty; `from` is left empty */
/* Adds a row (below 2^63); true when it was not there before. */
bool dv_add(struct dv *dv, uint64_t row);
void dv_add_range(struct dv *dv, uint64_t first, uint64_t n);
bool dv_contains(const struct dv *dv, uint64_t row);
/* bits[0 … n): which of the n rows from `first` on are in the set. Returns how many. */
uint32_t dv_bits(const struct dv *dv, uint64_t first, uint32_t n, uint64_t *bits);
static inline uint64_t dv_cardinality(const struct dv *dv)
{
    return dv->cardinality;
}
void dv_clone(const struct dv *dv, struct dv *ret);      /* `ret` must be empty */
void dv_union(struct dv *dv, const struct dv *other);    /* adds all rows of `other` */
void dv_subtract(struct dv *dv, const struct dv *other); /* takes all rows of `other` away */
bool dv_equal(const struct dv *a, const struct dv *b);

/* Walks the set in ascending order as ranges of adjacent rows. The set must not change meanwhile. No deinit. */
struct dv_iter {
    const struct dv *dv;
    uint32_t part;
    uint32_t at, n; /* rows read ahead: [at, n) */
    uint64_t base;
    uint64_t opaque[8]; /* CRoaring's iterator */
    uint32_t ahead[256];
};
void dv_iter_init(struct dv_iter *it, const struct dv *dv, uint64_t from); /* starts at the first row >= from */
/* 0 and the next range [first, first + n), n > 0; or 1 at the end. */
int dv_iter_next(struct dv_iter *it, uint64_t *ret_first, uint64_t *ret_n);

/*
 * The serialized set: what descriptor.sizeInBytes counts, from the magic on. Adds it to `out`; run-compresses the set
 * first, hence not const. Returns how many bytes.
 */
size_t dv_serialize(struct dv *dv, struct buf *out);
/*
 * Back again: exactly n bytes, everything checked. Reads the portable format and the little-endian form of the legacy
 * "native" one (which is never written). `ret` must be empty. ERR_INPUT.
 */
int dv_parse(const void *p, size_t n, struct dv *ret, struct err *err) MUST_CHECK;

/*
 * Deletion vector files: a version byte, then any number of blocks
 *     i32 BE size | serialized set (size bytes) | u32 BE CRC-32 of it
 */
void dv_file_begin(struct buf *out); /* `out` must be empty: offsets are counted from its start */
/* Adds a block; the results are the descriptor's offset and sizeInBytes. ERR_LIMIT past 2 GiB. */
int dv_file_append(struct buf *out, struct dv *dv, int32_t *ret_offset, int32_t *ret_size, struct err *err) MUST_CHECK;
enum { DV_BLOCK_OVERHEAD = 8 }; /* a block takes size + 8 bytes from `offset` on */
/* The same out of a whole file, whose version byte is checked too. */
int dv_file_read(const void *p, size_t n, int64_t offset, int64_t size, int64_t cardinality, struct dv *ret,
                 struct err *err) MUST_CHECK;

/*
 * The parts of a descriptor (struct delta_dv_desc) that name the set: storageType 'u', 'i' or 'p' and pathOrInlineDv.
 *
 * dv_path: where the file is; 'u': relative to the table's root ("ab/deletion_vector_<uuid>.bin"), 'p': as it stands.
 * Adds it to `ret`. ERR_INPUT for a broken one and for 'i'.
 */
int dv_path(char storage, struct str path_or_inline, struct buf *ret, struct err *err) MUST_CHECK;
/* 'i': decodes and parses the set; `size` and `cardinality` as the descriptor says. `ret` must be empty. ERR_INPUT. */
int dv_inline_read(struct str text, int64_t size, int64_t cardinality, struct dv *ret, struct err *err) MUST_CHECK;
/* pathOrInlineDv of an 'i' descriptor; returns its sizeInBytes. */
size_t dv_inline_write(struct dv *dv, struct buf *ret);
/* pathOrInlineDv of a 'u' descriptor (`prefix`, a folder, may be empty), and its file's path in the table. */
void dv_uuid_text(struct str prefix, const uint8_t uuid[16], struct buf *ret);
void dv_uuid_path(struct str prefix, const uint8_t uuid[16], struct buf *ret);

/* Z85 (ZeroMQ RFC 32): 4 bytes in 5 characters. The encoder pads with zero bytes to a multiple of 4. */
void z85_encode(const void *p, size_t n, struct buf *out);
/*
 * Decodes to exactly `size` bytes, added to `ret`. A tail of 1..3 bytes may be zero-padded (Java, and us) or written
 * with leading '#' (the Rust crate z85: "##093" is 03 00), which no full group can start with. ERR_INPUT.
 */
int z85_decode(struct str s, size_t size, struct buf *ret, struct err *err) MUST_CHECK;

#endif
