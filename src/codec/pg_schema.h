/*
 * The schema that a relation's rows land in, and the relation that a schema came from.
 *
 * Each field carries the metadata key "sluice.column": what PostgreSQL's catalog said of its column. It is the memory
 * that tells a renamed column from a dropped and an added one (attnum is the identity), a widened type from a new one,
 * and it lives in the Delta table itself, so that it moves with the rows.
 */
#ifndef SLUICE_CODEC_PG_SCHEMA_H
#define SLUICE_CODEC_PG_SCHEMA_H

#include "codec/pgoutput.h"
#include "model/relation.h"
#include "model/type.h"

#define PG_SCHEMA_COLUMN "sluice.column"

/* One field a column, in attnum order, types by codec/pg_type. All fields are nullable: a value that does not fit its
 * declared type lands as NULL and in the dead-letter table. */
struct schema *pg_schema_of(const struct relation *rel);

/* Fills `ret_col` from a field's "sluice.column" (the name is the field's, borrowed). False when it has none. */
bool pg_schema_column(const struct field *f, struct relation_column *ret_col);

/* The columns of a relation as a lake table remembers them; NULL when no field carries "sluice.column". */
struct relation *pg_schema_relation(const struct schema *s, uint32_t oid, struct table_name name);

/*
 * The relation that a Relation message describes, with attnums and resolved types. Its name is the message's where the
 * catalog has that name too, else (a rename that was followed by another, or an old message) prev's.
 *
 * `prev` is what was known before the message (NULL: nothing); `live` is the catalog now (NULL: the table is gone),
 * which may be ahead of the message. Which column is which: codec/pg_columns.h.
 *
 * `wanted` (may be NULL) says which columns are replicated at all; the others are left out. ret_map (room for the
 * message's columns) gives for each column of the message its index in the relation, or -1.
 */
struct pg_schema_filter {
    bool (*wanted)(void *ctx, struct str schema, struct str table, struct str column);
    void *ctx;
};
struct relation *pg_schema_reconcile(const struct relation *prev, const struct relation *live,
                                     const struct pgoutput_relation *msg, const struct pg_schema_filter *filter,
                                     int16_t *ret_map);

#endif
