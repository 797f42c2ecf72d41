/*
 * Partition columns: which a table has, and the values of its files.
 *
 * The columns stand in the data files too, so that keys, vectors and merges go on as in any other table; readers take the
 * values from the log. A file holds rows of one partition only. Other writers' files may lack the columns: whoever reads
 * a file here gets the log's value for them (lake_file_from).
 *
 * In the log a value is text (Delta protocol, "Partition Value Serialization"); the empty text is NULL, for every type.
 * All values of a file in one text, a "key": 5:a b c for a value, ~ for NULL, one after the other.
 */
#ifndef SLUICE_SINK_LAKE_PARTITION_H
#define SLUICE_SINK_LAKE_PARTITION_H

#include "sink/lake_table.h"

enum {
    PARTITIONS_MAX = 10000,     /* of the rows that are written at once */
    PARTITION_VALUE_MAX = 4096, /* bytes */
    LAKE_CLASSES = 9,           /* of files, by size (lake_compact.c) */
};

/* The values of one or more files: the same values in a table are the same pointer. */
struct lake_partition {
    struct str key;
    struct str *values;              /* by t->parts; p NULL: NULL */
    uint32_t in_class[LAKE_CLASSES]; /* scratch of compaction: files by size */
};

/* Which fields of the schema are to be partition columns, in order; `ret` has room for all. Returns how many. */
uint32_t lake_partition_choose(const struct lake_env *env, struct table_name name, const struct schema *s,
                               uint32_t *ret);
/* Can they be? ERR_UNSUPPORTED names table and column: an array, binary; no column would be left. */
int lake_partition_check(const struct lake_env *env, struct table_name name, const struct schema *s,
                         struct err *err) MUST_CHECK;
/* Is the table partitioned otherwise than is wanted now? Not when nothing is wanted for it. */
bool lake_partition_differs(const struct lake_table *t);

/* Appends a value to a key. ERR_UNSUPPORTED: one that cannot be in the log (too long; a year past 9999 or before 1). */
int lake_partition_add(const struct field *f, const struct column *c, uint32_t row, struct buf *key,
                       struct err *err) MUST_CHECK;
/* Takes the first value off a key. False: it is none. */
bool lake_partition_next(struct str *key, struct str *ret);

/* ---- inside sink/ ---- */

/* The columns of a table that is staged anew, out of its first schema. */
int lake_partition_stage(struct lake_table *t, struct table_name name, const struct schema *s,
                         struct err *err) MUST_CHECK;
/* Those that the log names, when a table is opened. */
int lake_partition_open(struct lake_table *t, const struct delta_metadata *m, struct err *err) MUST_CHECK;
/* Finds them in a new t->lake and `source` (NULL: not known yet). ERR_UNSUPPORTED, and t->stale: one was dropped, or its
 * type changed so that the log's text would be another value. */
int lake_partition_bind(struct lake_table *t, const struct schema *source, struct err *err) MUST_CHECK;
void lake_partition_deinit(struct lake_table *t);
struct lake_partition *lake_partition_of(struct lake_table *t, struct str key);
struct lake_partition *lake_partition_logged(struct lake_table *t, const struct delta_file *f);
/* The value that the file has in a field, by the field's physical name; p NULL: NULL, or no partition column. */
struct str lake_partition_value(const struct lake_table *t, const struct lake_file *f, const struct field *field);
/* For an add action. */
struct delta_kv *lake_partition_values(const struct lake_table *t, const struct lake_file *f, struct arena *arena);
struct str *lake_partition_names(const struct lake_table *t, struct arena *arena);

/* The live rows of the buffer by partition: `ordinals` of the first n[0] rows are those of parts[0], and so on. */
struct lake_groups {
    uint32_t *ordinals;
    struct lake_partition **parts;
    uint32_t *n;
    uint32_t n_groups;
};
void lake_groups_deinit(struct lake_groups *g);
int lake_partition_group(struct lake_table *t, struct lake_groups *ret, struct err *err) MUST_CHECK;

#endif
