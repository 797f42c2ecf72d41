/*
 * Columns with variants on their way to a file: each becomes two, the values and the metadata (codec/parquet_join.h), and the
 * footer of the file then makes one of them again.
 */
#ifndef SLUICE_ENGINE_VARIANT_COLUMNS_H
#define SLUICE_ENGINE_VARIANT_COLUMNS_H

#include "base/buf.h"
#include "model/type.h"

/* Appends the expression of one of the two, out of `expr` of the type, whose struct fields have their physical names. `bare`: its
 * variants are structs of metadata and value (codec/parquet_bare.h). */
void variant_column_sql(const struct type *type, struct str expr, bool metadata, bool bare, struct buf *out);

#endif
