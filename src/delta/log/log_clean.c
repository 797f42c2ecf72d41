/*
 * Cleaning the log: what lies before the newest checkpoint that is old enough is of no use for reading the versions that
 * are still promised.
 *
 *   cutoff  = now - delta.logRetentionDuration, cut to midnight UTC as delta-spark does (not with our own setting)
 *   keep    = newest checkpoint whose commit is not younger than the cutoff; it and its commit stay
 *   deleted = commits, checkpoints, checksums and compacted commits before `keep`; sidecars that no checkpoint names
 */
#include "base/clock.h"
#include "delta/log/checkpoint.h"
#include "delta/log/log.h"

#define SIDECARS "_delta_log/_sidecars"
enum { DAY_MS = 86400000, CLEAN_EVERY_MS = 3600000 };

static int64_t cutoff_of(const struct delta_table *t, const struct delta_snapshot *s)
{
    int64_t now_ms = clock_now_us() / 1000;

    if (t->log_retention_ms >= 0)
        return now_ms - t->log_retention_ms;
    return (now_ms - s->head->log_retention_ms) / DAY_MS * DAY_MS;
}

static int64_t version_to_keep(const struct delta_log *log, int64_t cutoff_ms)
{
    int64_t newest_old = -1, keep = -1;

    for (size_t i = 0; i < log->n_commits && log->commits[i].time_ms <= cutoff_ms; i++)
        newest_old = log->commits[i].version;
    for (size_t i = 0; i < log->n_checkpoints; i++)
        if (log->checkpoints[i].version <= newest_old)
            keep = log->checkpoints[i].version;
    return keep;
}

/* checkpointProtection: versions before the one named go all at once or not at all. */
static bool is_protected(const struct delta_snapshot *s, int64_t keep)
{
    int64_t before = 0;
    struct str text = delta_snapshot_property(s, STR("delta.requireCheckpointProtectionBeforeVersion"));

    return delta_protocol_has(s->head->protocol, "checkpointProtection") && str_to_i64(text, &before) && keep < before;
}

/* Names in _sidecars that the checkpoints from version `keep` on need. */
static int needed_sidecars(struct delta_table *t, const struct delta_log *log, int64_t keep, struct map *ret,
                           struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < log->n_checkpoints; i++) {
        struct delta_replay r;
        if (log->checkpoints[i].version < keep)
            continue;
        delta_replay_init(&r, t->store, t->engine);
        int rc = delta_replay_checkpoint_top(&r, &log->checkpoints[i], err);
        for (size_t k = 0; rc == 0 && k < r.n_sidecars; k++) {
            struct str name = arena_str(arena, r.sidecars[k].path);
            map_put(ret, name, t);
        }
        delta_replay_deinit(&r);
        TRY(rc);
    }
    return 0;
}

/* Sidecars that no checkpoint names any more; a young one may belong to a checkpoint that is being written. */
static int clean_sidecars(struct delta_table *t, const struct delta_log *log, int64_t keep, uint64_t *ret_deleted,
                          struct err *err)
{
    CLEANUP(store_list_deinit) struct store_list list = {0};
    CLEANUP(map_deinit) struct map needed = {0};
    CLEANUP(arena_deinit) struct arena arena = {0};
    int64_t young_ms = clock_now_us() / 1000 - DAY_MS;

    TRY(store_list(t->store, SIDECARS, NULL, false, &list, err));
    if (!list.n || !t->engine)
        return 0;
    TRY(needed_sidecars(t, log, keep, &needed, &arena, err));
    for (size_t i = 0; i < list.n; i++) {
        const struct store_entry *e = &list.v[i];
        if (e->time_ms > young_ms || map_get(&needed, str_of(e->key + sizeof SIDECARS)))
            continue;
        TRY(store_remove(t->store, e->key, err));
        ++*ret_deleted;
    }
    return 0;
}

int delta_log_clean(struct delta_table *t, uint64_t *ret_deleted, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = delta_table_snapshot(t);
    CLEANUP(delta_log_deinit) struct delta_log log = {0};

    *ret_deleted = 0;
    if (str_eq_nocase(delta_snapshot_property(s, STR("delta.enableExpiredLogCleanup")), STR("false")))
        return 0;
    TRY(delta_log_list(t->store, 0, &log, err));
    int64_t keep = version_to_keep(&log, cutoff_of(t, s));
    if (keep < 0 || is_protected(s, keep))
        return 0;
    for (size_t i = 0; i < log.list.n; i++) {
        struct delta_log_name n = delta_log_name_parse(log.list.v[i].key);
        if (n.kind == LOG_OTHER || n.version >= keep)
            continue;
        TRY(store_remove(t->store, log.list.v[i].key, err));
        ++*ret_deleted;
    }
    return clean_sidecars(t, &log, keep, ret_deleted, err);
}

int delta_log_clean_if_due(struct delta_table *t, uint64_t *ret_deleted, struct err *err)
{
    int64_t now_ms = clock_now_us() / 1000;
    int64_t every = t->log_retention_ms >= 0 ? MIN(t->log_retention_ms, (int64_t)CLEAN_EVERY_MS) : CLEAN_EVERY_MS;

    *ret_deleted = 0;
    if (t->last_cleanup_ms && now_ms - t->last_cleanup_ms < every)
        return 0;
    t->last_cleanup_ms = now_ms;
    return delta_log_clean(t, ret_deleted, err);
}
