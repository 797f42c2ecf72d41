/*
 * History: commits with their times, and the version at a time.
 *
 * A commit's time is its in-commit timestamp where it has one (those rise by themselves), else the time of its file; file
 * times that do not rise are taken as one millisecond after the commit before, as all readers of Delta do.
 */
#include "delta/log/table.h"

#include "base/mem.h"
#include "delta/log/log.h"

void delta_history_deinit(struct delta_history *h)
{
    arena_deinit(&h->arena);
    *h = (struct delta_history){0};
}

static int read_entry(struct store *store, const struct delta_log_commit *c, struct arena *arena,
                      struct delta_history_entry *ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf b = {.max = DELTA_MAX_COMMIT};
    CLEANUP(delta_action_reader_deinit) struct delta_action_reader r = {0};
    CLEANUP(arena_deinit) struct arena scratch = {0};
    struct delta_action a;
    char key[DELTA_KEY];
    int rc;

    *ret = (struct delta_history_entry){.version = c->version, .timestamp_ms = c->time_ms};
    ret->info = (struct delta_commit_info){
        .timestamp_ms = -1, .in_commit_timestamp_ms = -1, .read_version = DELTA_NO_VERSION, .blind_append = -1};
    TRY(store_get(store, delta_commit_key(c->version, key), &b, err));
    /* commitInfo comes first where it matters and is rarely last: the pass mostly ends at once */
    delta_action_reader_init(&r, buf_str(&b));
    while ((rc = delta_action_next(&r, &scratch, &a, err)) == 0)
        if (a.kind == DELTA_COMMIT_INFO) {
            CLEANUP(buf_deinit) struct buf line = {0};
            struct delta_actions one = {0};
            delta_action_write(&line, &a);
            TRY(delta_actions_parse(buf_str(&line), arena, &one, err));
            ret->info = *one.v[0].commit_info;
            break;
        } else {
            arena_reset(&scratch);
        }
    if (rc < 0)
        return err_wrap(err, "%s: version %lld", store->name, (long long)c->version);
    return 0;
}

static void make_times_rise(struct delta_history_entry *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i].info.in_commit_timestamp_ms >= 0)
            v[i].timestamp_ms = v[i].info.in_commit_timestamp_ms;
        else if (i && v[i].timestamp_ms <= v[i - 1].timestamp_ms)
            v[i].timestamp_ms = v[i - 1].timestamp_ms + 1;
    }
}

int delta_history_read(struct store *store, size_t limit, struct delta_history *ret, struct err *err)
{
    CLEANUP(delta_log_deinit) struct delta_log log = {0};
    CLEANUP(delta_history_deinit) struct delta_history h = {0};

    TRY(delta_log_list(store, 0, &log, err));
    size_t first = limit && log.n_commits > limit ? log.n_commits - limit : 0;
    h.v = ARENA_NEW_N(&h.arena, struct delta_history_entry, log.n_commits - first);
    for (size_t i = first; i < log.n_commits; i++) {
        int rc = read_entry(store, &log.commits[i], &h.arena, &h.v[h.n], err);
        if (rc == ERR_NOT_FOUND) /* cleaned meanwhile */
            continue;
        TRY(rc);
        h.n++;
    }
    make_times_rise(h.v, h.n);
    *ret = h;
    h = (struct delta_history){0}; /* the caller's now. NOLINT(clang-analyzer-deadcode.DeadStores) */
    return 0;
}

int delta_version_at(struct store *store, int64_t timestamp_ms, bool strict, int64_t *ret, struct err *err)
{
    CLEANUP(delta_history_deinit) struct delta_history h = {0};
    int64_t found = -1;

    TRY(delta_history_read(store, 0, &h, err));
    for (size_t i = 0; i < h.n && h.v[i].timestamp_ms <= timestamp_ms; i++)
        found = h.v[i].version;
    if (found < 0)
        return err_set(err, ERR_NOT_FOUND, "%s has no version as old as that: the oldest in its log is version %lld",
                       store->name, h.n ? (long long)h.v[0].version : -1ll);
    if (strict && timestamp_ms > h.v[h.n - 1].timestamp_ms)
        return err_set(err, ERR_NOT_FOUND, "%s has no version as new as that: the newest is version %lld", store->name,
                       (long long)found);
    *ret = found;
    return 0;
}
