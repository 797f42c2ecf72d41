/*
 * Partition values: text in the log (Delta protocol, "Partition Value Serialization") ⇄ SQL literals and folder names.
 *
 *   log         null or ""   2024-01-02   2024-01-02T03:04:05.123456Z   true   12.50   a b
 *   SQL         NULL         DATE '…'     TIMESTAMPTZ '…+00'            true   12.50   'a b'
 *   folder      __HIVE_DEFAULT_PARTITION__                                             a%20b
 */
#ifndef SLUICE_CODEC_DELTA_PARTITION_H
#define SLUICE_CODEC_DELTA_PARTITION_H

#include "codec/delta_action.h"
#include "model/type.h"

/*
 * Appends the value as a typed DuckDB expression; NULL for a null or an empty text. `value` is checked against the
 * type (ERR_INPUT): nothing but a literal comes out. A timestamp without a zone is taken as UTC.
 */
int delta_partition_sql(const struct type *t, struct str value, struct buf *out, struct err *err) MUST_CHECK;
/* "2024-01-10", "+10000-01-01" or "-0001-06-01" as days since 1970; false for anything else. */
bool delta_partition_days(struct str s, int64_t *ret);
/*
 * The log's text of a value that is given as DuckDB prints it (CAST AS VARCHAR with TimeZone UTC): timestamps become
 * ISO 8601 with Z, binary (given as raw bytes) becomes escaped text. ERR_INPUT when it is no such value.
 */
int delta_partition_text(const struct type *t, struct str value, struct buf *out, struct err *err) MUST_CHECK;
/* Appends "name=value" for a folder: Hive's escapes (%XX), __HIVE_DEFAULT_PARTITION__ for null. Not URI-encoded. */
void delta_partition_dir(struct str name, struct str value, struct buf *out);

#endif
