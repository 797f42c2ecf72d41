/*
 * Nested names: column mapping gives struct fields, too, a physical name in the files. This builds the SQL that turns a
 * value with the one kind of names into one with the other, field by field in order.
 */
#ifndef SLUICE_ENGINE_RENAME_H
#define SLUICE_ENGINE_RENAME_H

#include "base/buf.h"
#include "model/type.h"

/* Does a struct field anywhere in it have a physical name of its own? */
bool rename_needed(const struct type *type);
/* Appends an expression: `expr` (evaluated once a value) with the names changed; `expr` itself when none differs. On the way
 * from files, variants that a file does not call so are read as what they are, too. */
void rename_sql(const struct type *type, struct str expr, bool to_physical, struct buf *out);

#endif
