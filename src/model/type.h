/*
 * Types and schemas: Delta's, which are also those of change batches.
 *
 * A schema is immutable once published and shared by reference count; everything in it lives in its own arena. Field
 * metadata is kept as raw JSON text, so that what other writers put there survives us.
 */
#ifndef SLUICE_MODEL_TYPE_H
#define SLUICE_MODEL_TYPE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdatomic.h>

enum type_id {
    TYPE_BOOLEAN,
    TYPE_BYTE,
    TYPE_SHORT,
    TYPE_INTEGER,
    TYPE_LONG,
    TYPE_FLOAT,
    TYPE_DOUBLE,
    TYPE_DECIMAL, /* precision 1..38, 0 <= scale <= precision */
    TYPE_STRING,
    TYPE_BINARY,
    TYPE_DATE,          /* days since 1970-01-01 */
    TYPE_TIMESTAMP,     /* microseconds since 1970-01-01 UTC: an instant */
    TYPE_TIMESTAMP_NTZ, /* microseconds since 1970-01-01 on a clock without a zone */
    TYPE_VARIANT,
    TYPE_VOID,
    TYPE_STRUCT, /* children: its fields */
    TYPE_ARRAY,  /* children[0]: "element" */
    TYPE_MAP,    /* children[0]: "key", children[1]: "value" */
    TYPE_OTHER,  /* a type that we do not know: `other` holds its JSON; a table with it can be opened, not read */
};

struct field;

struct type {
    enum type_id id;
    uint8_t precision, scale; /* TYPE_DECIMAL */
    uint32_t n_children;
    struct field *children;
    struct str other; /* TYPE_OTHER */
};

/* One entry of a field's metadata: the value is JSON text (a string has its quotes). */
struct field_meta {
    struct str key, json;
};

struct field {
    struct str name;
    struct type type;
    bool nullable;
    uint32_t n_meta;
    struct field_meta *meta;
    int32_t id;          /* delta.columnMapping.id, or 0 */
    struct str physical; /* delta.columnMapping.physicalName, or `name` */
};

struct schema {
    atomic_int refs;
    struct arena arena;
    uint32_t n_fields;
    struct field *fields;
};

struct schema *schema_new(void); /* empty, one reference; fill `fields` from its arena, then publish */
struct schema *schema_ref(const struct schema *s); /* immutable: sharing needs no lock */
void schema_unref(struct schema *s);               /* takes NULL */
static inline void schema_unrefp(struct schema **s)
{
    schema_unref(*s);
    *s = NULL;
}
struct schema *schema_clone(const struct schema *s); /* a deep copy that may be changed until published */
/* Index of the field with exactly this name (ASCII case-insensitive, as Delta compares), or -1. */
int schema_find(const struct schema *s, struct str name);
/* Metadata value (JSON text) of a field, {0} when absent. */
struct str field_meta_get(const struct field *f, struct str key);
/* Sets (or with an empty json removes) a metadata entry; memory from `arena`. */
void field_meta_set(struct field *f, struct arena *arena, struct str key, struct str json);
/* The same type, ignoring nullability and metadata; names of struct fields count. */
bool type_eq(const struct type *a, const struct type *b);
/* Deep copy into an arena. */
struct type type_clone(const struct type *t, struct arena *arena);
/* "decimal(10,2)", "array<string>": Spark's simple string. */
void type_text(const struct type *t, struct buf *out);
bool type_is_nested(const struct type *t);

#endif
