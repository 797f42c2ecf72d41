/*
 * The actions of a Delta log: one JSON object a line in a commit, `{"add":{…}}`, and back (Delta protocol, "Actions").
 *
 * Everything parsed lives in the caller's arena and borrows nothing from the input. Unknown actions and unknown fields
 * are ignored, as the protocol demands. Errors are ERR_INPUT and name the line.
 */
#ifndef SLUICE_CODEC_DELTA_ACTION_H
#define SLUICE_CODEC_DELTA_ACTION_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum delta_kind {
    DELTA_UNKNOWN, /* an action that we do not know, or an empty object: to be ignored */
    DELTA_METADATA,
    DELTA_PROTOCOL,
    DELTA_ADD,
    DELTA_REMOVE,
    DELTA_CDC,
    DELTA_TXN,
    DELTA_COMMIT_INFO,
    DELTA_DOMAIN,
    DELTA_SIDECAR,             /* checkpoints only */
    DELTA_CHECKPOINT_METADATA, /* checkpoints only */
};

/* A string pair; `value.p` NULL is a null (a partition value, a configuration without a value). */
struct delta_kv {
    struct str key, value;
};

/* Where the deletion vector of a file is. */
struct delta_dv_desc {
    char storage;              /* 'u' file named by a UUID in the table, 'i' inline, 'p' absolute path */
    int32_t offset;            /* in the file; -1 absent (which means 0 for a file; never there inline) */
    int32_t size;              /* bytes of the serialized vector */
    int64_t cardinality;       /* rows that it masks */
    struct str path_or_inline; /* 'u': prefix + 20 characters Z85; 'i': Z85; 'p': URI as written */
};

/* Rarely there, so kept aside. Text is empty when absent. */
struct delta_file_extra {
    struct str tags; /* raw JSON object */
    struct str clustering_provider;
};

/*
 * A file of add, remove and cdc. `path` is what one opens, relative to the table or absolute: percent-decoded exactly once, and a
 * `file:` scheme is taken off. `raw_path` is the URI of the log (the same memory where there is no difference). When
 * writing, an empty raw_path is made from `path`.
 */
struct delta_file {
    struct str path, raw_path;
    struct str stats; /* JSON text, empty when absent; decimals are as the writer wrote them */
    const struct file_block
        *packed;            /* a file of a snapshot: where the text is (delta/log/file_block.h); then stats.p is NULL */
    struct delta_kv *parts; /* partition values by physical column name */
    struct delta_dv_desc *dv;       /* NULL: none */
    struct delta_file_extra *extra; /* NULL: none */
    int64_t size;                   /* bytes; -1 absent (an old remove) */
    int64_t time_ms;                /* add: modificationTime; remove: deletionTimestamp, 0 when absent */
    int64_t num_records;            /* physical rows, out of the stats; -1 unknown */
    int64_t base_row_id;            /* -1 absent */
    int64_t row_commit_version;     /* defaultRowCommitVersion; -1 absent */
    uint32_t n_parts;
    uint32_t packed_at;
    bool data_change;
    bool extended; /* remove: extendedFileMetadata, so partition values and size are there */
};
_Static_assert(sizeof(struct delta_file) <= 144, "hundreds of thousands of these are kept in memory");

struct delta_metadata {
    struct str id, name, description; /* name, description: p NULL when absent */
    struct str format_provider;       /* "parquet" */
    struct delta_kv *format_options;
    uint32_t n_format_options;
    struct str schema_json; /* schemaString, see codec/delta_schema.h */
    struct str *partition_columns;
    uint32_t n_partition_columns;
    struct delta_kv *configuration;
    uint32_t n_configuration;
    int64_t created_ms; /* -1 absent */
};

struct delta_protocol {
    int32_t reader, writer;      /* minReaderVersion, minWriterVersion */
    struct str *reader_features; /* only with reader version 3 */
    struct str *writer_features; /* only with writer version 7 */
    uint32_t n_reader_features, n_writer_features;
};

struct delta_txn {
    struct str app_id;
    int64_t version;
    int64_t updated_ms; /* lastUpdated; -1 absent */
};

struct delta_domain {
    struct str domain, configuration;
    bool removed;
};

#define DELTA_NO_VERSION INT64_MIN

struct delta_commit_info {
    struct str raw;                 /* the whole object as JSON text */
    int64_t timestamp_ms;           /* -1 absent */
    int64_t in_commit_timestamp_ms; /* -1 absent */
    int64_t read_version;           /* DELTA_NO_VERSION absent: that before the first is -1 */
    struct str operation, engine_info, isolation_level, txn_id, user_name, user_metadata; /* empty when absent */
    struct str parameters, metrics; /* raw JSON objects; empty when absent */
    int8_t blind_append;            /* 1, 0, or -1 absent */
};

struct delta_sidecar {
    struct str path; /* name of a file in _delta_log/_sidecars/, decoded; or an absolute path */
    int64_t size, time_ms;
};

struct delta_action {
    enum delta_kind kind;
    uint32_t line; /* from 1 */
    union {
        struct delta_metadata *metadata;
        struct delta_protocol *protocol;
        struct delta_file *file; /* add, remove, cdc */
        struct delta_txn *txn;
        struct delta_domain *domain;
        struct delta_commit_info *commit_info;
        struct delta_sidecar *sidecar;
        int64_t checkpoint_version;
    };
};

struct delta_actions {
    struct delta_action *v; /* in the arena */
    size_t n, cap;
};

/* A pass over the lines of a commit, for logs too large to hold as structs. */
struct delta_action_reader {
    struct str rest; /* borrowed */
    uint32_t line;   /* of the action last returned */
    void *scratch;   /* of the JSON parser; owned */
    size_t scratch_n;
};
void delta_action_reader_init(struct delta_action_reader *r, struct str ndjson);
void delta_action_reader_deinit(struct delta_action_reader *r);
/* 0 and an action (memory from `arena`), 1 at the end. Blank lines and unknown actions are skipped. */
int delta_action_next(struct delta_action_reader *r, struct arena *arena, struct delta_action *ret,
                      struct err *err) MUST_CHECK;

/* All actions of a commit, checked as a whole by delta_actions_check. */
int delta_actions_parse(struct str ndjson, struct arena *arena, struct delta_actions *ret, struct err *err) MUST_CHECK;
/* What one commit may not hold: two metaData, two protocols, two adds or two removes of a path, a txn or domain twice. */
int delta_actions_check(const struct delta_actions *a, struct err *err) MUST_CHECK;
void delta_actions_add(struct delta_actions *a, struct arena *arena, struct delta_action action);

/* Appends the action as one line with its newline. */
void delta_action_write(struct buf *out, const struct delta_action *a);

/* Copies that live in another arena. */
struct delta_file delta_file_copy(const struct delta_file *f, struct arena *arena);
struct delta_metadata *delta_metadata_copy(const struct delta_metadata *m, struct arena *arena);
struct delta_protocol *delta_protocol_copy(const struct delta_protocol *p, struct arena *arena);
/* Sets a property in place of the one that is there; value p NULL: takes it out. Makes a new list in the arena, and
 * borrows key and value. */
void delta_metadata_set(struct delta_metadata *m, struct arena *arena, struct str key, struct str value);
/* Text of a configuration entry or partition value, p NULL when it is absent or null. */
struct str delta_kv_get(const struct delta_kv *kv, uint32_t n, struct str key);

/* Is it the same vector? Both NULL counts as the same. Compares the unique id: storage, path, offset. */
bool delta_dv_eq(const struct delta_dv_desc *a, const struct delta_dv_desc *b);
/* Appends storageType + pathOrInlineDv [+ "@" + offset]; nothing when dv is NULL. */
void delta_dv_unique_id(const struct delta_dv_desc *dv, struct buf *out);

/* URI path of the log → path to open, and back. Decoding copies only when something changes. ERR_INPUT on a broken %. */
int delta_path_decode(struct str raw, struct arena *arena, struct str *ret, struct err *err) MUST_CHECK;
void delta_path_encode(struct str path, struct buf *out);
/* "numRecords" at the top of a stats JSON; -1 when absent. Scans text, allocates nothing. */
int64_t delta_stats_num_records(struct str stats);
/* The stats of a file whose rows get masked: with "tightBounds":false, all else as it was (numbers as written). Empty stats
 * become {"numRecords":n,"tightBounds":false} when num_records is known. Memory from `arena`. */
struct str delta_stats_widen(struct str stats, int64_t num_records, struct arena *arena);

#endif
