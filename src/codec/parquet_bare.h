/*
 * A file's footer without its annotations of variants: their groups are then structs of two binaries, metadata and value, and
 * read as such, byte for byte. (DuckDB makes variants of its own of those that are annotated, which know no difference between
 * NULL and the null of JSON.)
 */
#ifndef SLUICE_CODEC_PARQUET_BARE_H
#define SLUICE_CODEC_PARQUET_BARE_H

#include "base/buf.h"
#include "base/err.h"
#include "model/type.h"

struct parquet_variants {
    bool any;      /* there are annotated groups */
    bool shredded; /* and some hold more than metadata and value: those of them stay annotated */
    bool nulls;    /* some may hold the null of JSON itself, by the statistics of their values */
};

/* `footer` is FileMetaData alone. */
int parquet_bare(struct str footer, struct parquet_variants *ret, struct buf *out, struct err *err) MUST_CHECK;

/* Makes the variants in the schema, which is not shared yet, the structs that they are in such a file. */
void parquet_bare_schema(struct schema *schema);

#endif
