/*
 * schemaString of a Delta table ⇄ struct schema (model/type.h), and column mapping.
 *
 *   {"type":"struct","fields":[{"name":"id","type":"long","nullable":false,"metadata":{…}}, …]}
 *
 * Field metadata is kept as raw JSON and written back. A type that we do not know becomes TYPE_OTHER with its JSON.
 */
#ifndef SLUICE_CODEC_DELTA_SCHEMA_H
#define SLUICE_CODEC_DELTA_SCHEMA_H

#include "codec/delta_action.h"
#include "model/type.h"

/* A new schema (one reference). `id` and `physical` come from delta.columnMapping.*; delta_schema_unmap drops them. */
int delta_schema_parse(struct str json, struct schema **ret, struct err *err) MUST_CHECK;
void delta_schema_write(const struct schema *s, struct buf *out);

/* May a type become the other, or is it that already (Delta protocol, "Type Widening")? */
bool delta_schema_widens(const struct type *from, const struct type *to);
/* Adds {"fromType":…,"toType":…} to the field's list of changes (Delta protocol, "Type Widening"); the types stay. `path`:
 * of the part of an array or map that changes ("element", "value.element"), empty: the field itself. */
void delta_schema_note_widening(struct field *f, const struct type *from, const struct type *to, struct str path,
                                struct arena *arena);

enum delta_mapping { DELTA_MAPPING_NONE, DELTA_MAPPING_NAME, DELTA_MAPPING_ID };
/* delta.columnMapping.mode of a configuration; ERR_INPUT on an unknown word. */
int delta_mapping_mode(const struct delta_kv *configuration, uint32_t n, enum delta_mapping *ret,
                       struct err *err) MUST_CHECK;
/* A name that a table can only have with column mapping: one with a space or one of ,;{}()= or a tab or line end. */
bool delta_schema_is_odd_name(struct str name);
/* The schema of a table without column mapping: physical names equal logical ones whatever the metadata says. */
void delta_schema_unmap(struct schema *s);
/*
 * Gives every field, nested too, that has none an id (from *max_id + 1 on) and a physical name (`new_names` false: its
 * own name, for an existing table; true: "col-" + the id and 16 hex digits of `seed`), in `id`, `physical` and the
 * metadata. The schema must not be published yet.
 */
void delta_schema_map(struct schema *s, int32_t *max_id, bool new_names, uint64_t seed);
/*
 * The schema of a table that replaces one with `old`: fields, nested too, that it had under the same name (in any case) and with
 * the same type keep their ids and physical names, before delta_schema_map() makes those of the others. What Spark takes for
 * the same type: names of a struct's fields in the same case, nothing that may be NULL now and might not be before but the
 * field itself, no CHAR or VARCHAR.
 */
void delta_schema_keep_ids(struct schema *s, const struct schema *old);
/* Is any type in the schema one that we cannot read? Returns its field, or NULL. */
const struct field *delta_schema_find_type(const struct schema *s, enum type_id id);

/* A text in a field's metadata ("comment", CURRENT_DEFAULT), without its JSON quotes; empty when it has none. */
struct str delta_field_text(const struct field *f, const char *key, struct arena *arena);

#endif
