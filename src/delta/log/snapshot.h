/*
 * A Delta table at one version: what the log says, nothing of the data. Immutable and shared by reference count.
 */
#ifndef SLUICE_DELTA_SNAPSHOT_H
#define SLUICE_DELTA_SNAPSHOT_H

#include "codec/delta_schema.h"
#include "delta/log/files.h"

/* The name of a column or of a part of one: a.b */
struct delta_path {
    const struct str *parts;
    uint32_t n;
};

/* Protocol, metadata and schema: shared by all versions between two changes of them. */
struct delta_head {
    atomic_int refs;
    struct arena arena;
    struct delta_protocol *protocol;
    struct delta_metadata *metadata;
    struct schema *schema; /* with `physical` and `id` as the mapping mode has them */
    enum delta_mapping mapping;
    bool row_tracking, ict, dv, cdf, append_only; /* active: feature supported and property set */
    bool assigns_row_ids; /* row tracking is supported and not suspended: each new file gets ids, active or not */
    int32_t checkpoint_interval;
    int64_t log_retention_ms, deleted_file_retention_ms;
    int64_t txn_retention_ms; /* delta.setTransactionRetentionDuration; -1: for ever */
};
/* Copies both, parses the schema and checks that we can read such a table. */
int delta_head_new(const struct delta_protocol *p, const struct delta_metadata *m, struct delta_head **ret,
                   struct err *err) MUST_CHECK;
struct delta_head *delta_head_ref(const struct delta_head *h);
void delta_head_unref(struct delta_head *h); /* takes NULL */

/* Transaction ids and domains, newest of each: shared by all versions between two changes of them. */
struct delta_ids {
    atomic_int refs;
    struct arena arena;
    struct delta_txn *txns;
    struct delta_domain *domains; /* live ones only */
    uint32_t n_txns, n_domains;
};
/* A copy of `old` (may be NULL) with room for more, to be changed before it is shared. */
struct delta_ids *delta_ids_new(const struct delta_ids *old, uint32_t more_txns, uint32_t more_domains);
void delta_ids_set_txn(struct delta_ids *ids, const struct delta_txn *t);
void delta_ids_set_domain(struct delta_ids *ids, const struct delta_domain *d);
struct delta_ids *delta_ids_ref(const struct delta_ids *ids);

struct delta_snapshot {
    atomic_int refs;
    int64_t version;
    int64_t timestamp_ms; /* of the commit: in-commit timestamp, else the time of its file */
    int64_t ict_ms;       /* in-commit timestamp of the commit, -1 none */
    const struct delta_head *head;
    const struct delta_ids *ids;
    struct delta_files *files;
    uint32_t n_entries; /* of `files` that this version may see */
    uint64_t n_files;   /* live */
    int64_t bytes;      /* of the live files */
    uint64_t n_unknown; /* live files whose number of rows the log does not say */
    int64_t records;    /* rows of the other live files, less those masked: exact when n_unknown is 0 */
    uint64_t n_dvs;     /* live files that have a deletion vector */
};

struct delta_snapshot *delta_snapshot_ref(const struct delta_snapshot *s);
void delta_snapshot_unref(struct delta_snapshot *s); /* takes NULL */
static inline void delta_snapshot_unrefp(struct delta_snapshot **s)
{
    delta_snapshot_unref(*s);
    *s = NULL;
}

/* The live files, oldest first; NULL at the end. `cursor` starts at 0. A file stays as long as the snapshot. */
static inline const struct delta_file *delta_snapshot_next(const struct delta_snapshot *s, size_t *cursor)
{
    return delta_files_next(s->files, s->n_entries, s->version, cursor);
}
/* The live file with this path (as in delta_file.path), or NULL. Any thread. */
static inline const struct delta_file *delta_snapshot_find(const struct delta_snapshot *s, struct str path)
{
    return delta_files_find(s->files, s->n_entries, s->version, path);
}
/* The last version set for the application, or -1 and false. */
bool delta_snapshot_txn(const struct delta_snapshot *s, struct str app_id, int64_t *ret_version);
/* Configuration of a live domain, p NULL when there is none. */
struct str delta_snapshot_domain(const struct delta_snapshot *s, struct str domain);
/* A table property (configuration), p NULL when absent. */
struct str delta_snapshot_property(const struct delta_snapshot *s, struct str key);
bool delta_snapshot_property_is_true(const struct delta_snapshot *s, struct str key);

/* ---- protocol: what a table demands of us (delta/log/protocol.c) ---- */

/* Does the protocol list or imply the feature (for readers or for writers)? */
bool delta_protocol_has(const struct delta_protocol *p, const char *feature);
/* ERR_UNSUPPORTED naming the first reader (writer) feature or version that we do not know. */
int delta_protocol_check_read(const struct delta_protocol *p, struct err *err) MUST_CHECK;
int delta_protocol_check_write(const struct delta_protocol *p, struct err *err) MUST_CHECK;
/*
 * A protocol that also has the feature: raised to (3,7) or (1..2,7) with the implied features spelled out where that is
 * needed, and left alone (returns p) where the feature is there. ERR_UNSUPPORTED for a feature that we do not know.
 */
int delta_protocol_with(const struct delta_protocol *p, const char *feature, struct arena *arena,
                        const struct delta_protocol **ret, struct err *err) MUST_CHECK;
/*
 * What a table property that is none itself makes of the protocol: delta.feature.x = supported, and delta.minReaderVersion
 * and delta.minWriterVersion, which only raise it. 1: it is another property. ERR_USAGE: no such value.
 */
int delta_protocol_property(const struct delta_protocol *p, struct str key, struct str value, struct arena *arena,
                            const struct delta_protocol **ret, struct err *err) MUST_CHECK;
/* The protocol without a feature that it has, with the lowest version numbers that say the rest. */
const struct delta_protocol *delta_protocol_without(const struct delta_protocol *p, const char *feature,
                                                    struct arena *arena);
/* The features that a writer version below 7 stands for. */
uint32_t delta_protocol_implied(const struct delta_protocol *p, struct str *ret, uint32_t max);
/* Must readers know the feature, too? */
bool delta_feature_is_for_readers(const char *feature);
/* A property that somebody sets: ERR_USAGE when it begins with delta. and there is none, or its value is none of its. The key gets
 * its own spelling. Properties that tables of others have already are not asked. */
int delta_property_check(struct delta_kv *kv, struct err *err) MUST_CHECK;
/* Those that a statement sets together: what it does not name counts with Delta's default, as for Spark. */
int delta_properties_check(const struct delta_kv *kv, uint32_t n, struct err *err) MUST_CHECK;
/* With delta.enableRowTracking: names the columns where files keep the ids of rows, the table's for ever, where no
 * property does yet. */
void delta_name_row_id_columns(struct delta_metadata *m, struct arena *arena);
/* The protocol with all features that the metadata's properties and schema need (delta.enableX, types, mapping, …). */
int delta_protocol_for(const struct delta_protocol *p, const struct delta_metadata *m, const struct schema *schema,
                       struct arena *arena, const struct delta_protocol **ret, struct err *err) MUST_CHECK;
/* "interval 7 days", "interval 1 week 3 hours" → ms; -1 when it is no interval. */
int64_t delta_interval_ms(struct str text);

#endif
