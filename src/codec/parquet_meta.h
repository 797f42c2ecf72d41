/*
 * The Thrift parts of a Parquet file with one row group and one page a column: page headers and the footer.
 * For parquet_encode.c. Source: parquet-format's parquet.thrift.
 */
#ifndef SLUICE_CODEC_PARQUET_META_H
#define SLUICE_CODEC_PARQUET_META_H

#include "base/buf.h"
#include "model/type.h"

/* The page of one leaf column. */
struct parquet_chunk {
    const struct field *field; /* top-level; its arrays, if any, lead to the leaf */
    uint64_t values;           /* level pairs: NULLs and empty arrays count */
    uint64_t nulls;            /* of those, without a value */
    uint64_t offset;           /* of the page's header in the file */
    uint64_t plain, stored;    /* header and body, before and after compression */
    bool zstd;
    struct str min, max; /* as PLAIN values, borrowed; p NULL: not known */
};

/* Array levels above the leaf. */
unsigned parquet_depth(const struct type *t);
const struct type *parquet_leaf(const struct type *t);

void parquet_page_header(struct buf *out, size_t plain, size_t stored, uint64_t values);
/* Footer, its length and the magic. Chunks in the order of the fields. */
void parquet_footer(struct buf *out, const struct schema *schema, uint64_t rows, const struct parquet_chunk *chunks);

#endif
