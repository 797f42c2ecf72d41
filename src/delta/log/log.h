/*
 * Inside the delta layer: what lies in _delta_log, and the replay of it into a snapshot.
 */
#ifndef SLUICE_DELTA_LOG_H
#define SLUICE_DELTA_LOG_H

#include "delta/log/table.h"

/* What a file in _delta_log is by its name. */
enum delta_log_kind {
    LOG_OTHER,
    LOG_COMMIT,     /* <version>.json */
    LOG_CHECKPOINT, /* <version>.checkpoint.parquet, ….<part>.<parts>.parquet, ….<uuid>.{json,parquet} */
    LOG_CHECKSUM,   /* <version>.crc */
    LOG_COMPACTED,  /* <first>.<last>.compacted.json */
};
struct delta_log_name {
    enum delta_log_kind kind;
    int64_t version;     /* of a compacted file: the last */
    int64_t first;       /* of a compacted file */
    int32_t part, parts; /* of a checkpoint in parts, else 0 */
    bool json;           /* checkpoint */
};
struct delta_log_name delta_log_name_parse(const char *key);

struct delta_log_commit {
    int64_t version, time_ms;
};
struct delta_log_checkpoint {
    int64_t version, time_ms;
    int32_t n_keys; /* parts; all of them are there */
    const char **keys;
    bool json;
};
/* What commits `first` to `last` come to, in one file. */
struct delta_log_compacted {
    int64_t first, last;
    const char *key;
};
/* The files of a log; strings belong to `list`. */
struct delta_log {
    struct store_list list;
    struct arena arena;
    struct delta_log_commit *commits; /* ascending */
    size_t n_commits;
    struct delta_log_checkpoint *checkpoints; /* complete ones, ascending */
    size_t n_checkpoints;
    struct delta_log_compacted *compacted; /* ascending by `first`, then by `last` */
    size_t n_compacted;
};
void delta_log_deinit(struct delta_log *log);
/* Lists from a version on. */
int delta_log_list(struct store *store, int64_t from, struct delta_log *ret, struct err *err) MUST_CHECK;
/* Version in _last_checkpoint, -1 when there is none or it is broken: only a hint. */
int64_t delta_log_hint(struct store *store);

/*
 * Writes <first>.<last>.compacted.json: what the commits come to, so that whoever opens the table reads one file instead of them.
 * They can not be lost any more. Nothing is written (`*ret_written` false) when they are large, when one is not
 * there, or when the file is.
 */
int delta_log_compact(struct store *store, int64_t first, int64_t last, bool *ret_written, struct err *err) MUST_CHECK;

/* Largest files that are read into memory. */
enum { DELTA_MAX_COMMIT = 1 << 30, DELTA_MAX_HINT = 4 << 20 };

/* A snapshot being built from the log. */
struct delta_replay {
    struct store *store;
    struct engine *engine;
    struct delta_snapshot *s; /* files and counters; the rest at the end */
    struct arena scratch;     /* of an action */
    struct arena protocol_arena, metadata_arena;
    const struct delta_protocol *protocol; /* newest so far */
    const struct delta_metadata *metadata;
    int64_t metadata_version;
    struct arena ids_arena;
    struct map txns, domains;       /* newest so far: struct delta_txn, struct delta_domain */
    int64_t ict_ms;                 /* of the last commit */
    struct delta_sidecar *sidecars; /* of a V2 checkpoint, in ids_arena */
    size_t n_sidecars, cap_sidecars;
};
void delta_replay_init(struct delta_replay *r, struct store *store, struct engine *engine);
void delta_replay_deinit(struct delta_replay *r);
int delta_replay_action(struct delta_replay *r, const struct delta_action *a, int64_t version,
                        struct err *err) MUST_CHECK;
/* Actions of a commit, or of a JSON checkpoint, as NDJSON. */
int delta_replay_json(struct delta_replay *r, struct str ndjson, int64_t version, struct err *err) MUST_CHECK;
/* A compacted file. Some writers put every action of its commits into it, in no order that can be relied on: a file that is
 * named twice (by path and vector) is ERR_INPUT, and the commits must be read. */
int delta_replay_compacted(struct delta_replay *r, struct str ndjson, int64_t version, struct err *err) MUST_CHECK;
int delta_replay_checkpoint(struct delta_replay *r, const struct delta_log_checkpoint *c, struct err *err) MUST_CHECK;
/* Only what is not a file: afterwards r->sidecars says where the files are. */
int delta_replay_checkpoint_top(struct delta_replay *r, const struct delta_log_checkpoint *c,
                                struct err *err) MUST_CHECK;
/* The snapshot; the replay is then empty. */
int delta_replay_finish(struct delta_replay *r, int64_t version, int64_t time_ms, struct delta_snapshot **ret,
                        struct err *err) MUST_CHECK;

/*
 * The snapshot after one more commit, made of the newest one: costs what the commit changes. Only head changes can
 * fail, and then nothing has happened.
 */
int delta_snapshot_advance(const struct delta_snapshot *newest, const struct delta_actions *a, int64_t time_ms,
                           struct delta_snapshot **ret, struct err *err) MUST_CHECK;

/* A table around a snapshot; takes its reference, references the store. */
struct delta_table *delta_table_new(struct store *store, struct engine *engine, struct delta_snapshot *s,
                                    int64_t checkpoint);
/* Puts a newer snapshot in the table. Takes the reference. */
void delta_table_publish(struct delta_table *t, struct delta_snapshot *s);

#endif
