/*
 * Changes of what a table is, not of its rows: columns, properties, constraints, comment. Each is one commit of its own
 * that changes only metadata (and the protocol, where a feature is needed).
 *
 * Dropping and renaming columns needs column mapping (delta.columnMapping.mode = name), since the files stay as they are;
 * widening a type needs delta.enableTypeWidening. Names of parts of columns are paths: a.b, and element, key, value inside
 * arrays and maps. ERR_USAGE says what is wrong, ERR_UNSUPPORTED what Delta does not allow.
 */
#ifndef SLUICE_DELTA_ALTER_H
#define SLUICE_DELTA_ALTER_H

#include "delta/log/table.h"
#include "engine/engine.h"

enum delta_place { DELTA_PLACE_KEEP, DELTA_PLACE_FIRST, DELTA_PLACE_AFTER };

struct delta_new_column {
    struct delta_path path; /* its last part is field.name */
    struct field field;
    enum delta_place place; /* KEEP: at the end */
    struct str after;
};
int delta_add_columns(struct delta_table *t, const struct delta_new_column *columns, uint32_t n, bool if_not_exists,
                      struct err *err) MUST_CHECK;
int delta_drop_columns(struct delta_table *t, const struct delta_path *paths, uint32_t n, bool if_exists,
                       struct err *err) MUST_CHECK;
int delta_rename_column(struct delta_table *t, struct delta_path path, struct str name, struct err *err) MUST_CHECK;

struct delta_column_change {
    struct delta_path path;
    const struct type *type;          /* NULL: stays */
    struct str char_type;             /* with `type`: __CHAR_VARCHAR_TYPE_STRING as JSON; empty: none */
    const struct str *comment;        /* NULL: stays */
    const struct str *default_to;     /* NULL: stays; empty: dropped */
    bool drop_not_null, set_not_null; /* it must be NOT NULL already */
    enum delta_place place;
    struct str after;
};
/* One commit. No column, nor a part of one, is changed twice. */
int delta_change_columns(struct delta_table *t, struct engine_conn *conn, const struct delta_column_change *changes,
                         uint32_t n, struct err *err) MUST_CHECK;
/* The columns, and the fields of structs, are these from now on: what is there under the name stays, with its comment where none is given,
 * and may be widened; others are added, or dropped, but not both in one place. */
int delta_replace_columns(struct delta_table *t, const struct field *fields, uint32_t n, struct err *err) MUST_CHECK;
/* The column counts on from the values that are in the table. */
int delta_sync_identity(struct delta_table *t, struct engine_conn *conn, struct delta_path path,
                        struct err *err) MUST_CHECK;

int delta_set_properties(struct delta_table *t, const struct delta_kv *kv, uint32_t n, struct err *err) MUST_CHECK;
/* Those that are not there are no error. */
int delta_unset_properties(struct delta_table *t, const struct str *keys, uint32_t n, struct err *err) MUST_CHECK;
/* The rows that there are must meet the condition. */
int delta_add_constraint(struct delta_table *t, struct engine_conn *conn, struct str name, struct str expr,
                         struct err *err) MUST_CHECK;
int delta_drop_constraint(struct delta_table *t, struct str name, bool if_exists, struct err *err) MUST_CHECK;
/* p NULL: no comment. */
int delta_set_comment(struct delta_table *t, struct str comment, struct err *err) MUST_CHECK;

#endif
