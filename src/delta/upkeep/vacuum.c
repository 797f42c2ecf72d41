/*
 * VACUUM: what lies in the table's folder, less what is needed.
 *
 * Needed are the live files and their deletion vectors, those of files removed within the retention, and whatever is
 * younger than the retention (a writer may be about to commit it).
 */
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/dv.h"
#include "delta/log/log.h"
#include "delta/upkeep/restore.h"
#include "delta/log/transaction.h"

struct vacuum {
    struct delta_table *t;
    struct delta_snapshot *s;
    struct map needed; /* path → itself */
    struct arena arena;
    int64_t cutoff_ms;
    struct store_list list;
};

static void vacuum_deinit(struct vacuum *v)
{
    map_deinit(&v->needed);
    arena_deinit(&v->arena);
    delta_snapshot_unref(v->s);
    store_list_deinit(&v->list);
}

void delta_vacuumed_deinit(struct delta_vacuumed *v)
{
    arena_deinit(&v->arena);
    mem_free(v->paths);
}

static void need(struct vacuum *v, struct str path)
{
    struct str copy = arena_str(&v->arena, path);

    map_put(&v->needed, copy, (void *)(uintptr_t)copy.p);
}

static int need_file(struct vacuum *v, const struct delta_file *f, struct err *err)
{
    CLEANUP(buf_deinit) struct buf path = {0};

    need(v, f->path);
    if (!f->dv || f->dv->storage != 'u')
        return 0;
    TRY(dv_path(f->dv->storage, f->dv->path_or_inline, &path, err));
    need(v, buf_str(&path));
    return 0;
}

/* Files removed since the cutoff. The snapshot knows those within the table's own retention; beyond, the log is read. */
static int need_removed(struct vacuum *v, bool read_log, struct err *err)
{
    CLEANUP(delta_history_deinit) struct delta_history h = {0};
    CLEANUP(arena_deinit) struct arena arena = {0};
    const struct delta_graves *graves = v->s->files->graves;

    for (const struct delta_grave_run *run = graves ? graves->oldest : NULL; run; run = run->next)
        for (uint32_t i = 0; i < run->n; i++)
            if (run->files[i].time_ms >= v->cutoff_ms)
                TRY(need_file(v, &run->files[i], err));
    if (!read_log)
        return 0;
    TRY(delta_history_read(v->t->store, 0, &h, err));
    for (size_t i = 0; i < h.n; i++) {
        struct delta_actions actions = {0};
        if (h.v[i].timestamp_ms < v->cutoff_ms)
            continue;
        arena_reset(&arena);
        TRY(delta_commit_read(v->t->store, h.v[i].version, &arena, &actions, err));
        for (size_t k = 0; k < actions.n; k++)
            if (actions.v[k].kind == DELTA_REMOVE)
                TRY(need_file(v, actions.v[k].file, err));
    }
    return 0;
}

/* Is a part of the path hidden? Folders of partitions ("_p=1") are not. */
static bool is_hidden(const char *key)
{
    struct str rest = str_of(key);

    if (str_has_prefix(rest, STR("_change_data/")))
        str_split(&rest, '/');
    while (rest.p) {
        struct str part = str_split(&rest, '/');
        if (part.n && (part.p[0] == '_' || part.p[0] == '.') && !(rest.p && memchr(part.p, '=', part.n)))
            return true;
    }
    return false;
}

static bool is_garbage(const struct vacuum *v, const struct store_entry *e)
{
    return e->time_ms < v->cutoff_ms && !is_hidden(e->key) && !map_get(&v->needed, str_of(e->key));
}

static int sweep(struct vacuum *v, bool dry_run, struct delta_vacuumed *ret, struct err *err)
{
    for (size_t i = 0; i < v->list.n; i++) {
        const struct store_entry *e = &v->list.v[i];
        int64_t size, time_ms;
        if (!is_garbage(v, e))
            continue;
        int rc = dry_run ? 0 : store_head(v->t->store, e->key, &size, &time_ms, err);
        if (rc == ERR_NOT_FOUND)
            continue; /* somebody else's vacuum, or an inventory from before one */
        TRY(rc);
        if (dry_run) {
            MEM_GROW(ret->paths, ret->files, ret->cap);
            ret->paths[ret->files] = arena_str(&ret->arena, str_of(e->key));
        } else {
            TRY(store_remove(v->t->store, e->key, err));
        }
        ret->files++;
        ret->bytes += e->size;
    }
    return 0;
}

/* ---- LITE: what the log says was removed ---- */

/* Lists a file of the table's folder, once, where it is still there. */
static int candidate(struct vacuum *v, struct map *seen, struct str path, struct err *err)
{
    CLEANUP(mem_freep) char *key = mem_strndup(path.p, path.n);
    int64_t size, time_ms;

    if (!path.n || path.p[0] == '/' || memmem(path.p, path.n, "://", 3) || map_get(seen, path))
        return 0;
    struct str copy = arena_str(&v->arena, path);
    map_put(seen, copy, (void *)(uintptr_t)copy.p);
    int rc = store_head(v->t->store, key, &size, &time_ms, err);
    if (rc == 0)
        store_list_add(&v->list, key, size, time_ms);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int candidates_of(struct vacuum *v, struct map *seen, const struct delta_actions *a, struct err *err)
{
    for (size_t i = 0; i < a->n; i++) {
        const struct delta_file *f = a->v[i].file;
        if (a->v[i].kind != DELTA_REMOVE && a->v[i].kind != DELTA_CDC)
            continue;
        if (a->v[i].kind == DELTA_REMOVE && f->time_ms >= v->cutoff_ms)
            continue;
        TRY(candidate(v, seen, f->path, err));
        if (!f->dv || f->dv->storage != 'u')
            continue;
        CLEANUP(buf_deinit) struct buf path = {0};
        TRY(dv_path(f->dv->storage, f->dv->path_or_inline, &path, err));
        TRY(candidate(v, seen, buf_str(&path), err));
    }
    return 0;
}

static int list_removed(struct vacuum *v, struct err *err)
{
    CLEANUP(delta_log_deinit) struct delta_log log = {0};
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(map_deinit) struct map seen = {0};

    TRY(delta_log_list(v->t->store, 0, &log, err));
    for (size_t i = 0; i < log.n_commits; i++) {
        struct delta_actions actions = {0};
        if (log.commits[i].time_ms >= v->cutoff_ms)
            break;
        arena_reset(&arena);
        TRY(delta_commit_read(v->t->store, log.commits[i].version, &arena, &actions, err));
        TRY(candidates_of(v, &seen, &actions, err));
    }
    store_list_sort(&v->list);
    return 0;
}

/* VACUUM START and VACUUM END, as Spark notes them. */
static int note(struct delta_table *t, const char *operation, const char *parameters, const char *metrics,
                struct err *err)
{
    CLEANUP(delta_tx_freep) struct delta_tx *tx = delta_tx_new(t, operation);
    int64_t version;

    tx->blind_append = true;
    tx->isolation = DELTA_SNAPSHOT_ISOLATION;
    delta_tx_set_parameters(tx, str_of(parameters));
    delta_tx_set_metrics(tx, str_of(metrics));
    return delta_commit(tx, &version, err);
}

static int note_start(struct vacuum *v, const struct delta_vacuum *how, int64_t retain_ms, int64_t default_ms,
                      struct err *err)
{
    uint64_t files = 0;
    int64_t bytes = 0;

    for (size_t i = 0; i < v->list.n; i++) {
        if (is_garbage(v, &v->list.v[i])) {
            files++;
            bytes += v->list.v[i].size;
        }
    }
    return note(v->t, "VACUUM START",
                arena_printf(&v->arena,
                             "{\"retentionCheckEnabled\":%s,\"defaultRetentionMillis\":%lld,"
                             "\"specifiedRetentionMillis\":%lld}",
                             how->any_retention ? "false" : "true", (long long)default_ms, (long long)retain_ms),
                arena_printf(&v->arena, "{\"numFilesToDelete\":\"%llu\",\"sizeOfDataToDelete\":\"%lld\"}",
                             (unsigned long long)files, (long long)bytes),
                err);
}

/* What there is to judge. */
static int list_files(struct vacuum *v, const struct delta_vacuum *how, struct err *err)
{
    if (how->lite)
        return list_removed(v, err);
    if (!how->inventory)
        return store_list(v->t->store, "", NULL, true, &v->list, err);
    for (size_t i = 0; i < how->inventory->n; i++) {
        const struct store_entry *e = &how->inventory->v[i];
        store_list_add(&v->list, e->key, e->size, e->time_ms);
    }
    store_list_sort(&v->list);
    return 0;
}

static int collect_needed(struct vacuum *v, bool read_log, struct err *err)
{
    const struct delta_file *f;
    size_t cursor = 0;

    while ((f = delta_snapshot_next(v->s, &cursor)))
        TRY(need_file(v, f, err));
    pthread_mutex_lock(&v->t->writer); /* the removals are the writer's */
    int rc = need_removed(v, read_log, err);
    pthread_mutex_unlock(&v->t->writer);
    return rc;
}

int delta_vacuum(struct delta_table *t, const struct delta_vacuum *how, struct delta_vacuumed *ret, struct err *err)
{
    CLEANUP(vacuum_deinit) struct vacuum v = {.t = t};
    int64_t retain_ms = how->retain_ms;

    TRY(delta_table_refresh(t, err));
    v.s = delta_table_snapshot(t);
    int64_t own_ms = v.s->head->deleted_file_retention_ms;
    TRY(delta_protocol_check_write(v.s->head->protocol, err));
    if (retain_ms >= 0 && retain_ms < own_ms && !how->any_retention) {
        err_set(err, ERR_USAGE, "RETAIN %.3g HOURS is less than the %.3g hours that the table keeps removed files for",
                (double)retain_ms / 3600000.0, (double)own_ms / 3600000.0);
        return err_hint(err, "when nobody reads or writes older versions: ALTER TABLE … SET TBLPROPERTIES "
                             "('delta.deletedFileRetentionDuration' = 'interval 0 hours')");
    }
    retain_ms = retain_ms < 0 ? own_ms : retain_ms;
    v.cutoff_ms = clock_now_us() / 1000 - retain_ms;
    /* before what is needed is looked up: commits go on */
    TRY(list_files(&v, how, err));
    TRY(delta_table_refresh(t, err));
    delta_snapshot_unref(v.s);
    v.s = delta_table_snapshot(t);
    TRY(collect_needed(&v, retain_ms > own_ms, err));
    if (how->dry_run)
        return sweep(&v, true, ret, err);
    TRY(note_start(&v, how, retain_ms, own_ms, err));
    TRY(sweep(&v, false, ret, err));
    return note(t, "VACUUM END", "{\"status\":\"COMPLETED\"}",
                arena_printf(&v.arena, "{\"numDeletedFiles\":\"%llu\",\"numVacuumedDirectories\":\"1\"}",
                             (unsigned long long)ret->files),
                err);
}
