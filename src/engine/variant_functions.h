/*
 * VARIANT in SQL. Functions registered with every engine:
 *
 *   variant_value(VARIANT) → BLOB, variant_metadata(VARIANT) → BLOB   the two parts of the binary form (codec/variant.h)
 *   variant_of_bytes(BLOB) → VARIANT                                  both in one, the metadata first
 *   parse_json(VARCHAR) → VARIANT, try_parse_json(VARCHAR) → VARIANT  as Spark reads JSON; NULL where the second cannot
 *   to_json(VARIANT) → VARCHAR                                        as Spark writes it; DuckDB has it for other types
 *   variant_get(VARIANT, VARCHAR) → VARIANT, try_variant_get          the part at a path, $.a['b'][0]; NULL: there is none
 *   is_variant_null(VARIANT) → BOOLEAN                                JSON's null, which is not SQL's: false of that
 *   CAST(VARIANT AS VARCHAR)                                          a text as it is, else JSON; NULL of JSON's null
 *   variant_whole(VARIANT) → VARIANT                                  a number without what is behind its point
 *   schema_of_variant(VARIANT) → VARCHAR, schema_of_variant_agg       OBJECT<a: BIGINT>, as Spark names types
 *   variant_entries(VARIANT) → STRUCT(pos, key, value)[]              members; NULL of what has none
 *   variant_explode(VARIANT), variant_explode_outer(VARIANT)          the same as tables
 *   to_variant_object(any) → VARIANT
 *
 * A type as a third argument of variant_get() is seen to before DuckDB meets it (server/session_variant.c).
 */
#ifndef SLUICE_ENGINE_VARIANT_FUNCTIONS_H
#define SLUICE_ENGINE_VARIANT_FUNCTIONS_H

#include "codec/variant.h"
#include "engine/variant_parts.h"

/* The value at `i` of DuckDB's form as binary, into a writer. ERR_UNSUPPORTED: Parquet has no such type. */
int variant_encode(struct variant_writer *w, const struct variant_parts *v, uint64_t i, struct err *err) MUST_CHECK;

#endif
