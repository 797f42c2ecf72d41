/* Files whose footers are written anew, for the variants in them (codec/parquet_join.h, codec/parquet_bare.h). */
#ifndef SLUICE_ENGINE_VARIANT_FILE_H
#define SLUICE_ENGINE_VARIANT_FILE_H

#include "codec/parquet_bare.h"

/* Makes the columns of the finished file those of the schema: it has two for each with variants. Sets its new size. */
int variant_file_join(const char *path, const struct schema *schema, uint64_t *ret_bytes, struct err *err) MUST_CHECK;
/* What variants the file has. */
int variant_file_look(const char *path, struct parquet_variants *ret, struct err *err) MUST_CHECK;
/* A copy of the file in which those that are not shredded are structs of metadata and value. */
int variant_file_bare(const char *path, const char *copy, struct err *err) MUST_CHECK;

#endif
