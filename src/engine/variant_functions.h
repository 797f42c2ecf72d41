/*
 * VARIANT in SQL. Functions registered with every engine:
 *
 *   variant_value(VARIANT) → BLOB, variant_metadata(VARIANT) → BLOB   the two parts of the binary form (codec/variant.h)
 *   variant_of_bytes(BLOB) → VARIANT                                  both in one, the metadata first
 *   parse_json(VARCHAR) → VARIANT, try_parse_json(VARCHAR) → VARIANT  as Spark reads JSON; NULL where the second cannot
 *   to_json(VARIANT) → VARCHAR                                        as Spark writes it; DuckDB has it for other types
 *   variant_get(VARIANT, VARCHAR) → VARIANT                           the part at a path, $.a['b'][0]; NULL: there is none
 *   is_variant_null(VARIANT) → BOOLEAN                                JSON's null, which is not SQL's
 */
#ifndef SLUICE_ENGINE_VARIANT_FUNCTIONS_H
#define SLUICE_ENGINE_VARIANT_FUNCTIONS_H

#include "codec/variant.h"
#include "engine/variant_parts.h"

/* The value at `i` of DuckDB's form as binary, into a writer. ERR_UNSUPPORTED: Parquet has no such type. */
int variant_encode(struct variant_writer *w, const struct variant_parts *v, uint64_t i, struct err *err) MUST_CHECK;

#endif
