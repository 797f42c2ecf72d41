/*
 * Tables: opening by the log, refreshing, and the snapshot that everyone shares.
 *
 * Opening tries, from the newest to the oldest, each complete checkpoint up to the wanted version followed by the commits
 * after it, and at last the whole log. The listing starts at the version that _last_checkpoint names; when nothing
 * can be read from there, everything is listed and tried again, and the first error is told.
 */
#include "delta/log/table.h"

#include "base/mem.h"
#include "delta/log/log.h"

#include <assert.h>

static int get_commit(struct store *store, int64_t version, struct buf *ret, struct err *err)
{
    char key[DELTA_KEY];

    buf_reset(ret);
    ret->max = DELTA_MAX_COMMIT;
    return store_get(store, delta_commit_key(version, key), ret, err);
}

/* The compacted file that goes furthest from this version on, not beyond `to`; NULL: there is none. */
static const struct delta_log_compacted *find_compacted(const struct delta_log *log, int64_t from, int64_t to)
{
    const struct delta_log_compacted *best = NULL;

    for (size_t i = 0; i < log->n_compacted; i++)
        if (log->compacted[i].first == from && log->compacted[i].last <= to)
            best = &log->compacted[i];
    return best;
}

/* A way through the log: which versions, and by which files. */
struct way {
    const struct delta_log *log;
    const struct delta_log_checkpoint *checkpoint; /* NULL: none */
    int64_t to;
    bool compacted;  /* read compacted files where they fit */
    bool at_covered; /* the last version was read out of one, or out of the checkpoint */
};

static int replay_commits(struct delta_replay *r, struct way *w, int64_t *ret_time_ms, struct err *err)
{
    CLEANUP(buf_deinit) struct buf b = {0};
    const struct delta_log *log = w->log;
    int64_t from = w->checkpoint ? w->checkpoint->version + 1 : 0;

    w->at_covered = w->checkpoint != NULL;
    for (int64_t v = from, i = 0; v <= w->to; v++) {
        const struct delta_log_compacted *c = w->compacted ? find_compacted(log, v, w->to) : NULL;
        w->at_covered = c != NULL;
        buf_reset(&b);
        b.max = DELTA_MAX_COMMIT;
        if (c)
            TRY(store_get(r->store, c->key, &b, err));
        if (c && !str_trim(buf_str(&b)).n)
            return err_set(err, ERR_INPUT, "%s is empty", c->key);
        v = c ? c->last : v;
        while (i < (int64_t)log->n_commits && log->commits[i].version < v)
            i++;
        bool there = i < (int64_t)log->n_commits && log->commits[i].version == v;
        if (!c && !there)
            return err_set(err, ERR_INPUT, "version %lld is missing in the log", (long long)v);
        if (!c)
            TRY(get_commit(r->store, v, &b, err));
        if ((c ? delta_replay_compacted : delta_replay_json)(r, buf_str(&b), v, err) < 0)
            return err_wrap(err, "version %lld", (long long)v);
        if (there)
            *ret_time_ms = log->commits[i].time_ms;
    }
    return 0;
}

/* The in-commit timestamp of a version that a checkpoint covers is only in its commit, in the first line. */
static void read_ict(struct delta_replay *r, int64_t version)
{
    CLEANUP(buf_deinit) struct buf b = {0};
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(delta_action_reader_deinit) struct delta_action_reader reader = {0};
    const struct delta_metadata *m = r->metadata;
    struct delta_action a;

    if (!str_eq_nocase(delta_kv_get(m->configuration, m->n_configuration, STR("delta.enableInCommitTimestamps")),
                       STR("true")))
        return;
    if (get_commit(r->store, version, &b, NULL))
        return;
    delta_action_reader_init(&reader, buf_str(&b));
    if (delta_action_next(&reader, &arena, &a, NULL) == 0 && a.kind == DELTA_COMMIT_INFO)
        r->ict_ms = a.commit_info->in_commit_timestamp_ms;
}

/* Reads the version by a checkpoint (NULL: none) and the commits after it. */
static int try_way(struct store *store, struct engine *engine, struct way *w, struct delta_snapshot **ret,
                   struct err *err)
{
    const struct delta_log_checkpoint *c = w->checkpoint;
    struct delta_replay r;
    int64_t time_ms = c ? c->time_ms : 0;

    delta_replay_init(&r, store, engine);
    int rc = c ? delta_replay_checkpoint(&r, c, err) : 0;
    if (rc < 0)
        rc = err_wrap(err, "checkpoint of version %lld", (long long)c->version);
    if (rc == 0)
        rc = replay_commits(&r, w, &time_ms, err);
    if (rc == 0 && w->at_covered)
        read_ict(&r, w->to);
    if (rc == 0)
        rc = delta_replay_finish(&r, w->to, time_ms, ret, err);
    if (rc < 0 && r.protocol && delta_protocol_check_read(r.protocol, NULL) < 0)
        rc = delta_protocol_check_read(r.protocol, err); /* the cause, rather than what came of it */
    delta_replay_deinit(&r);
    return rc;
}

/* Would another checkpoint or a fresh listing help? */
static bool is_curable(int rc)
{
    return rc == ERR_INPUT || rc == ERR_NOT_FOUND || rc == ERR_IO || rc == ERR_USAGE || rc == ERR_LIMIT;
}

/* One way, by compacted files where they can be read. */
static int try_replay(struct store *store, struct engine *engine, const struct delta_log *log,
                      const struct delta_log_checkpoint *c, int64_t version, struct delta_snapshot **ret,
                      struct err *err)
{
    struct way w = {.log = log, .checkpoint = c, .to = version, .compacted = log->n_compacted > 0};
    int rc = try_way(store, engine, &w, ret, err);

    if (rc == 0 || !w.compacted || !is_curable(rc))
        return rc;
    w.compacted = false;
    return try_way(store, engine, &w, ret, err);
}

static int replay_listed(struct store *store, struct engine *engine, const struct delta_log *log, int64_t version,
                         struct delta_snapshot **ret, struct err *err)
{
    int64_t newest = log->n_commits ? log->commits[log->n_commits - 1].version : -1;
    struct err first = {0}, later;

    if (log->n_checkpoints)
        newest = MAX(newest, log->checkpoints[log->n_checkpoints - 1].version);
    if (newest < 0)
        return err_set(err, ERR_NOT_FOUND, "there is no Delta table at %s", store->name);
    if (version > newest)
        return err_set(err, ERR_NOT_FOUND, "version %lld of %s does not exist: the newest is %lld", (long long)version,
                       store->name, (long long)newest);
    int64_t target = version == DELTA_LATEST ? newest : version;
    for (size_t i = log->n_checkpoints + 1; i-- > 0;) {
        const struct delta_log_checkpoint *c = i ? &log->checkpoints[i - 1] : NULL;
        if (c && c->version > target)
            continue;
        if (!c && first.code && (!log->n_commits || log->commits[0].version != 0))
            break; /* the first error says more than "version 0 is missing" */
        int rc = try_replay(store, engine, log, c, target, ret, first.code ? &later : &first);
        if (rc == 0)
            return 0;
        if (!first.code)
            first.code = rc;
        if (!is_curable(rc))
            break;
    }
    *(err ? err : &later) = first;
    return first.code;
}

/* The oldest version that a log can still give, -1 none. */
static int64_t oldest_version(const struct delta_log *log)
{
    if (log->n_commits && log->commits[0].version == 0)
        return 0;
    return log->n_checkpoints ? log->checkpoints[0].version : -1;
}

static int open_version(struct store *store, struct engine *engine, int64_t version, struct delta_snapshot **ret,
                        int64_t *ret_checkpoint, struct err *err)
{
    CLEANUP(delta_log_deinit) struct delta_log log = {0};
    int64_t hint = delta_log_hint(store);
    struct err from_hint;

    if (hint > 0 && (version == DELTA_LATEST || version >= hint)) {
        TRY(delta_log_list(store, hint, &log, err));
        if (log.n_checkpoints && replay_listed(store, engine, &log, version, ret, &from_hint) == 0)
            goto found;
        delta_log_deinit(&log);
    }
    TRY(delta_log_list(store, 0, &log, err));
    if (version >= 0 && version < oldest_version(&log))
        return err_set(err, ERR_NOT_FOUND, "version %lld of %s is no longer in its log: the oldest is %lld",
                       (long long)version, store->name, (long long)oldest_version(&log));
    int rc = replay_listed(store, engine, &log, version, ret, err);
    if (rc < 0)
        return rc == ERR_NOT_FOUND ? rc : err_wrap(err, "%s", store->name);
found:
    *ret_checkpoint = log.n_checkpoints ? log.checkpoints[log.n_checkpoints - 1].version : -1;
    return 0;
}

int delta_snapshot_open(struct store *store, struct engine *engine, int64_t version, struct delta_snapshot **ret,
                        struct err *err)
{
    int64_t checkpoint;

    return open_version(store, engine, version, ret, &checkpoint, err);
}

int delta_table_open(struct store *store, struct engine *engine, struct delta_table **ret, struct err *err)
{
    struct delta_snapshot *s = NULL;
    int64_t checkpoint = -1;

    TRY(open_version(store, engine, DELTA_LATEST, &s, &checkpoint, err));
    *ret = delta_table_new(store, engine, s, checkpoint);
    return 0;
}

struct delta_table *delta_table_new(struct store *store, struct engine *engine, struct delta_snapshot *s,
                                    int64_t checkpoint)
{
    struct delta_table *t = MEM_NEW(struct delta_table);

    t->store = store_ref(store);
    t->engine = engine;
    t->snapshot = s;
    t->last_checkpoint = checkpoint;
    t->log_retention_ms = -1;
    pthread_mutex_init(&t->mutex, NULL);
    pthread_mutex_init(&t->writer, NULL);
    return t;
}

void delta_table_free(struct delta_table *t)
{
    if (!t)
        return;
    delta_snapshot_unref(t->snapshot);
    store_unref(t->store);
    pthread_mutex_destroy(&t->mutex);
    pthread_mutex_destroy(&t->writer);
    mem_free(t);
}

int delta_table_exists(struct store *store, bool *ret, struct err *err)
{
    CLEANUP(delta_log_deinit) struct delta_log log = {0};
    char key[DELTA_KEY];
    int rc = store_head(store, delta_commit_key(0, key), NULL, NULL, err);

    if (rc == ERR_NOT_FOUND) { /* cleaned away? */
        TRY(delta_log_list(store, 0, &log, err));
        *ret = log.n_commits || log.n_checkpoints;
        return 0;
    }
    *ret = true;
    return rc;
}

struct delta_snapshot *delta_table_snapshot(struct delta_table *t)
{
    pthread_mutex_lock(&t->mutex);
    struct delta_snapshot *s = delta_snapshot_ref(t->snapshot);
    pthread_mutex_unlock(&t->mutex);
    return s;
}

void delta_table_publish(struct delta_table *t, struct delta_snapshot *s)
{
    pthread_mutex_lock(&t->mutex);
    struct delta_snapshot *old = t->snapshot;
    t->snapshot = s;
    pthread_mutex_unlock(&t->mutex);
    delta_snapshot_unref(old);
}

static int64_t commit_time(const struct delta_actions *a)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->v[i].kind == DELTA_COMMIT_INFO)
            return MAX(a->v[i].commit_info->timestamp_ms, 0);
    return 0;
}

/* refresh with the writer's mutex held. */
static int refresh_locked(struct delta_table *t, struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};

    for (;;) {
        struct delta_actions a = {0};
        struct delta_snapshot *next = NULL;
        arena_reset(&arena);
        t->n_gets++;
        int rc = delta_commit_read(t->store, t->snapshot->version + 1, &arena, &a, err);
        if (rc == ERR_NOT_FOUND)
            return 0;
        TRY(rc);
        if (delta_snapshot_advance(t->snapshot, &a, commit_time(&a), &next, err) < 0)
            return err_wrap(err, "%s: version %lld", t->store->name, (long long)t->snapshot->version + 1);
        delta_table_publish(t, next);
    }
}

int delta_table_refresh(struct delta_table *t, struct err *err)
{
    pthread_mutex_lock(&t->writer);
    int rc = refresh_locked(t, err);
    pthread_mutex_unlock(&t->writer);
    return rc;
}

int delta_commit_read(struct store *store, int64_t version, struct arena *arena, struct delta_actions *ret,
                      struct err *err)
{
    CLEANUP(buf_deinit) struct buf b = {0};

    TRY(get_commit(store, version, &b, err));
    if (delta_actions_parse(buf_str(&b), arena, ret, err) < 0)
        return err_wrap(err, "%s: version %lld", store->name, (long long)version);
    return 0;
}
