/*
 * A file's footer, after DuckDB's writer made two columns of one that holds variants. Parquet's levels are of one leaf each,
 * and know nothing of its neighbours: so a column whose variants are BLOBs, their values, and a column of the same shape
 * with their metadata are, byte for byte, the two leaves of a column of variants, if only the footer says so. DuckDB's
 * own variants are always shredded, and a NULL among them is no NULL.
 *
 *   optional binary v                          optional group v (VARIANT) {
 *   optional binary m                            required binary metadata; required binary value }
 *
 *   optional group a (LIST) {                  optional group a (LIST) {
 *     repeated group list {                      repeated group list {
 *       optional binary element }}                 optional group element (VARIANT) { … }}}
 *   optional group m (LIST) { … the same }
 *
 * A struct's metadata column has only the fields with variants in them; a map's is an array, whose elements are those of its values.
 */
#ifndef SLUICE_CODEC_PARQUET_JOIN_H
#define SLUICE_CODEC_PARQUET_JOIN_H

#include "base/err.h"
#include "model/type.h"

/* Does a value of the type hold variants? */
bool parquet_has_variant(const struct type *type);

/*
 * `footer` (FileMetaData alone, without its length) is of a file with the columns of `schema`, then the metadata columns of those
 * that hold variants. Appends the footer of the file with the columns of `schema` alone.
 */
int parquet_join_variants(struct str footer, const struct schema *schema, struct buf *out, struct err *err) MUST_CHECK;

#endif
