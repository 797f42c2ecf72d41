/*
 * Values of results as text, for every type DuckDB has. Nothing here allocates beyond the buffer.
 *
 * JSON: numbers exact (integers of any size, decimals with their scale), NaN and infinities as strings, timestamps ISO
 * 8601 ("…Z" where they have a zone), dates "2026-11-23", binary base64, lists, structs and maps as JSON (keys of a map as
 * their text), a JSON column as it is on one line, a VARIANT as the JSON that Spark makes of it.
 * Text: as DuckDB's CAST to VARCHAR for scalars (booleans true/false, binary \xAB); nested values as JSON.
 */
#ifndef SLUICE_ENGINE_RENDER_H
#define SLUICE_ENGINE_RENDER_H

#include "base/buf.h"
#include "engine/engine.h"

void render_json(struct buf *out, const struct engine_vector *v, uint64_t row);
void render_variant(struct buf *out, const struct engine_vector *v, uint64_t row); /* not NULL */
/* One value within a VARIANT as text, if its bytes are its own; false: they are not. */
struct variant_part;
bool variant_part_text(const struct variant_part *p, struct buf *out);
/* NULL adds nothing: ask engine_is_null() first. */
void render_text(struct buf *out, const struct engine_vector *v, uint64_t row);
/* One CSV field (RFC 4180): quoted when it must be; NULL is empty, the empty string is "". */
void render_csv(struct buf *out, const struct engine_vector *v, uint64_t row);
/* {"name":value,…} of a row, without a line end. */
void render_json_row(struct buf *out, const struct engine_result *result, const struct engine_chunk *chunk,
                     uint32_t row);

#endif
