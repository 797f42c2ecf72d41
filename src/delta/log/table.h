/*
 * A Delta table that is open: its store, and its newest snapshot known to us.
 *
 * Opening reads the log: one listing from the last checkpoint on, the newest complete checkpoint, the commits after it.
 * A broken checkpoint is passed over for an older one, or for the whole log. After that, our own commits and a refresh
 * only add to what is in memory. Any thread may take the snapshot; one thread at a time refreshes and commits (a mutex sees
 * to it).
 */
#ifndef SLUICE_DELTA_TABLE_H
#define SLUICE_DELTA_TABLE_H

#include "delta/log/snapshot.h"
#include "store/store.h"

struct engine;

struct delta_table {
    struct store *store;
    struct engine *engine;           /* borrowed: reads and writes Parquet checkpoints; NULL: only JSON */
    pthread_mutex_t mutex;           /* `snapshot`, short */
    pthread_mutex_t writer;          /* held while refreshing or committing */
    struct delta_snapshot *snapshot; /* newest known; never NULL */
    /* Counters for tests and metrics. */
    uint64_t n_lists, n_gets, n_commits, n_conflicts;
    /* Checkpoints (delta/log/checkpoint.h). */
    int64_t last_checkpoint;     /* version, -1 none known */
    int32_t checkpoint_interval; /* > 0: instead of delta.checkpointInterval; < 0: none are written; 0: the property */
    int64_t log_retention_ms;    /* >= 0: instead of delta.logRetentionDuration; -1: the property */
    int64_t last_cleanup_ms;
    bool
        writes_checksums; /* a .crc after each commit: one more durable write, which a stream of commits does without */
};

enum { DELTA_LATEST = -1 };

/* Opens at the newest version. Takes a reference to the store. ERR_NOT_FOUND: no table there; ERR_UNSUPPORTED names
 * the feature; ERR_INPUT names the file (and line) that is broken. */
int delta_table_open(struct store *store, struct engine *engine, struct delta_table **ret, struct err *err) MUST_CHECK;
void delta_table_free(struct delta_table *t);
DEFINE_FREEP(delta_table)
/* Is there a log at all? */
int delta_table_exists(struct store *store, bool *ret, struct err *err) MUST_CHECK;
/* The newest snapshot known, a reference to be given back. Never waits for the network. */
struct delta_snapshot *delta_table_snapshot(struct delta_table *t);
/* Reads commits of other writers, if there are any: a GET of the next version, and no listing. */
int delta_table_refresh(struct delta_table *t, struct err *err) MUST_CHECK;
/* The table at an older version: read afresh. ERR_NOT_FOUND names the oldest version that can still be read. */
int delta_snapshot_open(struct store *store, struct engine *engine, int64_t version, struct delta_snapshot **ret,
                        struct err *err) MUST_CHECK;

struct delta_history_entry {
    int64_t version;
    int64_t timestamp_ms;          /* in-commit timestamp where there is one, else of the file, made to rise */
    struct delta_commit_info info; /* of the version; `raw` empty where it has none */
};
struct delta_history {
    struct arena arena;
    struct delta_history_entry *v; /* oldest first */
    size_t n;
};
void delta_history_deinit(struct delta_history *h);
/* The commits still in the log, at most the newest `limit` (0 = all). */
int delta_history_read(struct store *store, size_t limit, struct delta_history *ret, struct err *err) MUST_CHECK;
/* The newest version whose commit is not after the time. ERR_NOT_FOUND when all are; a time after the newest commit
 * gives the newest (strict: ERR_NOT_FOUND, as Spark has it). */
int delta_version_at(struct store *store, int64_t timestamp_ms, bool strict, int64_t *ret, struct err *err) MUST_CHECK;

/* The actions of one commit (for change data feed and the like). ERR_NOT_FOUND when the log does not have it. */
int delta_commit_read(struct store *store, int64_t version, struct arena *arena, struct delta_actions *ret,
                      struct err *err) MUST_CHECK;
/* "_delta_log/00000000000000000042.json" */
enum { DELTA_KEY = 80 };
char *delta_commit_key(int64_t version, char out[DELTA_KEY]);

#endif
