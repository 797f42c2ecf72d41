/*
 * Vacuum: files in the table's folder that no version within the retention needs are deleted.
 *
 *   needed    live files, their deletion vectors, and what was removed less than delta.deletedFileRetentionDuration ago
 *   removed   longer ago than that: deleted
 *   changes   files of the change data feed: deleted when they are so old
 *   orphans   what no log names: of runs that were killed. Deleted when a day old (other writers' also not before the
 *             retention: it may be at work on them); names that are not ours nor Delta's are left alone
 *
 * One listing an hour at most, and only after a commit; a run deletes at most so many files, the next goes on. Not while
 * the table is being copied anew: the copy's files lie there, and no log names them yet.
 */
#include "sink/lake_file.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"

enum { HOUR_MS = 3600000, DAY_MS = 24 * HOUR_MS, DELETE_MAX = 10000 };

struct vacuum {
    struct lake_table *t;
    struct map needed, removed; /* keys of files */
    struct arena arena;
    int64_t now_ms, retention_ms;
};

static void vacuum_deinit(struct vacuum *v)
{
    map_deinit(&v->needed);
    map_deinit(&v->removed);
    arena_deinit(&v->arena);
}

/* A file and its vector. */
static int note(struct vacuum *v, struct map *m, const struct delta_file *f, struct err *err)
{
    CLEANUP(buf_deinit) struct buf path = {0};

    map_put(m, arena_str(&v->arena, f->path), v);
    if (!f->dv || f->dv->storage == 'i')
        return 0;
    TRY(dv_path(f->dv->storage, f->dv->path_or_inline, &path, err));
    map_put(m, arena_str(&v->arena, buf_str(&path)), v);
    return 0;
}

static int note_all(struct vacuum *v, const struct delta_snapshot *s, struct err *err)
{
    const struct delta_file *f;
    size_t cursor = 0;
    void *p;

    while ((f = delta_snapshot_next(s, &cursor)))
        TRY(note(v, &v->needed, f, err));
    for (const struct delta_grave_run *run = s->files->graves ? s->files->graves->oldest : NULL; run; run = run->next)
        for (uint32_t i = 0; i < run->n; i++) {
            bool old = run->files[i].time_ms <= v->now_ms - v->retention_ms;
            TRY(note(v, old ? &v->removed : &v->needed, &run->files[i], err));
        }
    for (cursor = 0; imap_next(&v->t->files, &cursor, NULL, &p) == 0;) /* those of the open epoch too */
        map_put(&v->needed, str_of(((struct lake_file *)p)->path), v);
    return 0;
}

static bool may_delete(const struct vacuum *v, const struct store_entry *e)
{
    struct str key = str_of(e->key), base = key;
    int64_t age = v->now_ms - e->time_ms;

    while (base.p && memchr(base.p, '/', base.n))
        str_split(&base, '/');
    if (str_has_prefix(key, STR("_change_data/"))) /* no snapshot names them: they are as old as their commit */
        return age > v->retention_ms;
    if (map_get(&v->needed, key) || str_has_prefix(key, STR("_")))
        return false;
    if (map_get(&v->removed, key))
        return true;
    bool ours = lake_file_id(base) < 0x80000000u || str_has_prefix(base, STR(".tmp-"));
    bool delta = str_has_suffix(base, STR(".parquet")) ||
                 (str_has_prefix(base, STR("deletion_vector_")) && str_has_suffix(base, STR(".bin")));
    return ours ? age > DAY_MS : delta && age > MAX(v->retention_ms, 7 * (int64_t)DAY_MS);
}

/* Lists `dir`, and deletes what may be. */
static int delete_idle(struct vacuum *v, const char *dir, bool recursive, size_t *ret_n, struct err *err)
{
    CLEANUP(store_list_deinit) struct store_list list = {0};

    TRY(store_list(v->t->store, dir, NULL, recursive, &list, err));
    for (size_t i = 0; i < list.n && *ret_n < DELETE_MAX; i++) {
        if (!may_delete(v, &list.v[i]))
            continue;
        TRY(store_remove(v->t->store, list.v[i].key, err));
        crash_point("vacuum_removed");
        ++*ret_n;
    }
    return 0;
}

int lake_vacuum(struct lake_table *t, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = delta_table_snapshot(t->delta);
    CLEANUP(vacuum_deinit)
    struct vacuum v = {
        .t = t, .now_ms = clock_now_us() / 1000, .retention_ms = MAX(s->head->deleted_file_retention_ms, (int64_t)0)};
    size_t n = 0;

    if (t->being_copied || (t->last_vacuum_ms && v.now_ms - t->last_vacuum_ms < MIN(v.retention_ms, (int64_t)HOUR_MS)))
        return 0;
    t->last_vacuum_ms = v.now_ms;
    TRY(note_all(&v, s, err));
    TRY(delete_idle(&v, "", s->head->metadata->n_partition_columns > 0, &n, err));
    TRY(delete_idle(&v, "_change_data", true, &n, err));
    if (n)
        log_info("vacuumed", "table=%s files=%zu", t->name, n);
    return 0;
}
