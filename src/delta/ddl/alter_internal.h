/* One ALTER under way. Private to the alter*.c files. */
#ifndef SLUICE_DELTA_ALTER_INTERNAL_H
#define SLUICE_DELTA_ALTER_INTERNAL_H

#include "delta/ddl/alter.h"
#include "delta/log/transaction.h"

struct alter {
    struct delta_table *table;
    struct delta_tx *tx;
    struct schema *next;      /* to be changed */
    struct delta_metadata *m; /* to be changed; schema_json is made at the commit */
    struct buf parameters;    /* of commitInfo, without its brackets */
};

int alter_begin(struct alter *a, struct delta_table *t, const char *operation, struct err *err) MUST_CHECK;
void alter_deinit(struct alter *a);
int alter_commit(struct alter *a, struct err *err) MUST_CHECK;
/* "key":"value" for commitInfo. */
void alter_param(struct alter *a, const char *key, struct str value);
/* A property of the table-to-be; value p NULL removes it. */
void alter_property(struct alter *a, struct str key, struct str value);

/* Where a column is: an entry of a list of fields. */
struct field_list {
    struct field **fields;
    uint32_t *n;
    bool fixed; /* the parts of an array or map: none can come, go or get another name */
};
/* The list that the last part of the path belongs to, and its index there, or -1. ERR_USAGE when a part before it is
 * missing or has no parts. */
int alter_find(struct alter *a, struct delta_path path, struct field_list *ret, int *ret_index,
               struct err *err) MUST_CHECK;
/* The same; the column must be there. */
int alter_get(struct alter *a, struct delta_path path, struct field_list *ret, int *ret_index,
              struct err *err) MUST_CHECK;
/* Moves entry `from` of a list to its place. */
int alter_move(struct field_list list, int from, enum delta_place place, struct str after, struct err *err) MUST_CHECK;
/* The field at the path gets a type; ERR_UNSUPPORTED: it would not be a widening. */
int alter_type(struct alter *a, struct delta_path path, struct field *f, const struct type *to,
               struct err *err) MUST_CHECK;
/* New fields get ids and physical names where the table has column mapping. */
int alter_map_new(struct alter *a, struct err *err) MUST_CHECK;
/* May the column go, or the part of one? Then it goes from the list of columns with statistics; from the schema the caller takes it. */
int alter_droppable(struct alter *a, struct delta_path path, struct err *err) MUST_CHECK;
/* Appends the field as Delta's schema JSON has it, but of a nested type only what kind it is: what the history tells. */
void alter_field_json(const struct field *f, struct buf *out);
void alter_path_text(struct delta_path path, struct buf *out);

#endif
