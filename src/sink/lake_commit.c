/*
 * One epoch of one table as one Delta commit.
 *
 *   data files (written by flush) → deletion-vector file → commit JSON, put if absent → key index
 *
 * What the commit names is durable before the commit has its name (store_put_soon), the commit before the next begins. A
 * process killed in between leaves files that nothing names (VACUUM takes them), or an index that lags (lake_index.c
 * catches it up); the position stands in the commit itself.
 */
#include "sink/lake_changes.h"
#include "sink/lake_file.h"
#include "sink/lake_partition.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/delta_schema.h"

#include <assert.h>

static bool is_empty(const struct lake_file *f)
{
    return f->masked >= f->rows;
}

/* The vectors of this commit, in one file. `descs` by file id (in the transaction's arena). */
static int write_vectors(struct lake_table *t, struct arena *arena, struct imap *descs, struct err *err)
{
    CLEANUP(buf_deinit) struct buf bytes = {0}, name = {0}, path = {0};
    size_t cursor = 0;
    void *p;

    delta_new_vectors(&name, &path);
    dv_file_begin(&bytes);
    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        struct lake_file *f = p;
        if (!f->dv_dirty || f->doomed || is_empty(f))
            continue;
        struct delta_dv_desc *d = ARENA_NEW(arena, struct delta_dv_desc);
        d->storage = 'u';
        d->path_or_inline = arena_str(arena, buf_str(&name));
        d->cardinality = (int64_t)dv_cardinality(&f->dv);
        TRY(dv_file_append(&bytes, &f->dv, &d->offset, &d->size, err));
        imap_put(descs, f->id, d);
    }
    return descs->n ? store_put_soon(t->store, path.p, buf_str(&bytes), err) : 0;
}

static struct delta_file add_of(const struct lake_table *t, const struct lake_file *f, struct delta_dv_desc *dv,
                                struct arena *arena)
{
    struct str stats = str_of(f->stats);

    return (struct delta_file){.path = str_of(f->path),
                               .parts = lake_partition_values(t, f, arena),
                               .n_parts = t->n_parts,
                               .stats = dv ? delta_stats_widen(stats, f->rows, arena) : stats,
                               .dv = dv,
                               .size = f->size,
                               .time_ms = clock_now_us() / 1000,
                               .num_records = f->rows,
                               .base_row_id = -1,
                               .row_commit_version = -1,
                               .data_change = !f->compacted};
}

/* A live file of the log, as the transaction read it. The snapshot is the one that t->files came from: foreign commits
 * are looked for before (foreign_commit). */
static const struct delta_file *logged(const struct delta_tx *tx, const struct lake_file *f)
{
    const struct delta_file *df = delta_snapshot_find(tx->read, str_of(f->path));

    assert(df);
    return df;
}

static int64_t newest_version(struct lake_table *t)
{
    struct delta_snapshot *s = delta_table_snapshot(t->delta);
    int64_t version = s->version;

    delta_snapshot_unref(s);
    return version;
}

/* Another writer's commit between two of ours: what we know of the table's files is old. ERR_CONFLICT makes the pipeline
 * open everything anew; what was committed stays, the rest is applied again. */
static int foreign_commit(const struct lake_table *t, int64_t ours, int64_t expected, struct err *err)
{
    if (ours == expected)
        return 0;
    return err_set(err, ERR_CONFLICT, "table %s: another writer made version %lld; the table is read again", t->name,
                   (long long)expected);
}

/* A file that is new to the log, or that a copy put there before it was killed and now puts there once more: it is in the
 * log at most once, with the rows masked that are masked now. */
static void add_pending(const struct lake_table *t, struct delta_tx *tx, const struct lake_file *f,
                        struct delta_dv_desc *dv)
{
    const struct delta_file *there = f->adopted ? delta_snapshot_find(tx->read, str_of(f->path)) : NULL;
    struct delta_file add = add_of(t, f, dv, &tx->arena);

    if (there && !f->doomed && !there->dv && !dv)
        return;
    if (there)
        delta_tx_remove_file(tx, there, true);
    if (!f->doomed)
        delta_tx_add_file(tx, &add);
}

static void add_actions(struct lake_table *t, struct delta_tx *tx, struct imap *descs)
{
    size_t cursor = 0;
    void *p;

    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        struct lake_file *f = p;
        f->doomed |= is_empty(f);
        if (f->pending) {
            add_pending(t, tx, f, imap_get(descs, f->id));
        } else if (f->doomed) {
            delta_tx_remove_file(tx, logged(tx, f), !f->compacted);
        } else if (f->dv_dirty) {
            delta_tx_set_dv(tx, logged(tx, f), imap_get(descs, f->id));
        }
    }
}

/* The highest number of a live file of ours. */
static uint32_t highest_file(const struct lake_table *t)
{
    uint32_t highest = 0;
    size_t cursor = 0;
    void *p;

    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        const struct lake_file *f = p;
        if (lake_file_is_live(f) && f->id < LAKE_FOREIGN)
            highest = MAX(highest, f->id);
    }
    return highest;
}

/* The number of a file is never used again, or the key index would take the new one's rows for the old one's. Mostly the
 * newest file says what the next number is; where it leaves, a txn action does. */
static void note_next_file(struct lake_table *t, struct delta_tx *tx)
{
    if (highest_file(t) + 1 < t->next_file)
        delta_tx_set_txn(tx, str_of(arena_printf(&tx->arena, "%s" LAKE_FILES_APP, t->env->app_id)), t->next_file);
}

/* What was pending is in the log now. Files that nobody will see go, but not those of a copy: its notes name them until
 * the table's state is saved, and VACUUM takes them. */
static void settle(struct lake_table *t)
{
    struct err err;
    size_t cursor = 0;
    void *p;

    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        struct lake_file *f = p;
        if (f->doomed) {
            if (f->pending && !f->adopted && store_remove(t->store, f->path, &err))
                log_err(LOG_WARN, "file_left", &err);
            imap_remove(&t->files, f->id);
            lake_file_free(f);
            continue;
        }
        f->pending = f->adopted = f->dv_dirty = f->compacted = false;
        mem_free(TAKE_PTR(f->stats));
    }
    t->dirty = t->schema_dirty = t->replace_all = false;
    if (t->gone_next)
        t->gone = t->gone_next;
    t->gone_next = 0;
}

/* Copy-on-write: files with masked rows are written again without them, in the same commit. */
static int rewrite_masked(struct lake_table *t, struct err *err)
{
    size_t cursor = 0, n = 0;
    void *p;
    CLEANUP(mem_freep) uint32_t *ids = MEM_NEW_N(uint32_t, t->files.n + 1);

    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        struct lake_file *f = p;
        if (f->masked && !f->doomed && !is_empty(f))
            ids[n++] = f->id;
    }
    for (size_t i = 0; i < n; i++)
        TRY(lake_rewrite(t, &ids[i], 1, true, NULL, err));
    return 0;
}

static int commit_existing(struct lake_table *t, uint64_t lsn, const char *operation, int64_t *ret_version,
                           struct err *err)
{
    CLEANUP(delta_tx_freep) struct delta_tx *tx = delta_tx_new(t->delta, operation);
    CLEANUP(imap_deinit) struct imap descs = {0};
    char at[LSN_TEXT];

    tx->handles = DELTA_HANDLES_PARTITION_COLUMNS; /* they are in the files */
    tx->keeps_row_ids = true;
    TRY(lake_schema_commit(t, tx, err));
    if (lsn)
        TRY(lake_changes_write(t, tx, err));
    crash_point("changes_written");
    if (lsn && !t->vectors)
        TRY(rewrite_masked(t, err));
    TRY(write_vectors(t, &tx->arena, &descs, err));
    crash_point("vectors_written");
    add_actions(t, tx, &descs);
    note_next_file(t, tx);
    if (t->gone_next)
        delta_tx_set_txn(tx, str_of(arena_printf(&tx->arena, "%s" LAKE_GONE_APP, t->env->app_id)),
                         (int64_t)t->gone_next);
    if (lsn)
        delta_tx_set_txn(tx, str_of(t->env->app_id), (int64_t)lsn);
    delta_tx_set_parameters(
        tx, str_of(arena_printf(&tx->arena, "{\"position\":\"%s\"}", lsn_text(lsn ? lsn : t->position, at))));
    return delta_commit(tx, ret_version, err);
}

/* The first commit of a table: everything that was staged becomes version 0. */
static int commit_new(struct lake_table *t, uint64_t lsn, struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(imap_deinit) struct imap descs = {0};
    struct delta_kv kv[LAKE_PROPERTIES];
    struct delta_txn txn = {str_of(t->env->app_id), (int64_t)lsn, clock_now_us() / 1000};
    const char *features[] = {t->vectors ? "deletionVectors" : NULL, NULL, NULL};
    struct delta_create c = {
        .schema = t->lake, .id = str_of(t->uuid), .configuration = kv, .features = features, .txn = &txn};
    size_t cursor = 0;
    void *p;

    if (!t->vectors)
        TRY(rewrite_masked(t, err));
    TRY(write_vectors(t, &arena, &descs, err));
    if (lake_schema_has_ntz(t->lake))
        features[features[0] ? 1 : 0] = "timestampNtz";
    c.n_configuration = lake_schema_properties(t, &arena, kv, 0);
    /* Each commit buries the files that it masks rows of, and checkpoints carry them until this time has passed: a week
     * of commits a second would be too many. */
    kv[c.n_configuration++] = (struct delta_kv){STR("delta.logRetentionDuration"), STR("interval 1 days")};
    kv[c.n_configuration++] = (struct delta_kv){STR("delta.deletedFileRetentionDuration"), STR("interval 6 hours")};
    struct delta_file *files = ARENA_NEW_N(&arena, struct delta_file, t->files.n + 1);
    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        struct lake_file *f = p;
        f->doomed |= is_empty(f);
        if (!f->doomed)
            files[c.n_files++] = add_of(t, f, imap_get(&descs, f->id), &arena);
    }
    c.files = files;
    c.partition_columns = lake_partition_names(t, &arena);
    c.n_partition_columns = t->n_parts;
    TRY(delta_table_create(t->store, t->env->engine, &c, &t->delta, err));
    t->delta->checkpoint_interval = t->env->checkpoint_interval;
    log_info("table_created", "table=%s columns=%u files=%u", t->name, t->lake->n_fields, c.n_files);
    return 0;
}

/* The index follows the log; when it cannot (disk full), it is built anew later. */
static void commit_index(struct lake_table *t, int64_t version)
{
    struct err err;

    if (!t->index)
        return;
    if (key_index_commit(t->index, version, &err)) {
        log_err(LOG_WARN, "key_index_dropped", &err);
        key_index_free(t->index);
        t->index = NULL;
    }
}

static void log_times(struct lake_table *t, int64_t version, int64_t begin_us, int64_t committed_us)
{
    log_debug("committed", "table=%s version=%lld rows=%llu apply_us=%lld write_us=%lld commit_us=%lld index_us=%lld",
              t->name, (long long)version, (unsigned long long)t->times.rows, (long long)t->times.apply_us,
              (long long)t->times.write_us, (long long)(committed_us - begin_us),
              (long long)(clock_mono_us() - committed_us));
    t->times = (struct lake_times){0};
}

int lake_commit(struct lake_table *t, uint64_t lsn, struct err *err)
{
    int64_t version = 0, expected = t->delta ? newest_version(t) + 1 : 0;
    int rc;

    TRY(lake_table_flush(t, err));
    crash_point("data_written");
    int64_t begin_us = clock_mono_us();
    rc = t->delta ? commit_existing(t, lsn, "STREAMING UPDATE", &version, err) : commit_new(t, lsn, err);
    if (rc)
        return err_wrap(err, "table %s", t->name);
    crash_point("committed");
    int64_t committed_us = clock_mono_us();
    t->state = LAKE_STREAMING;
    t->position = lsn;
    t->n_commits++;
    settle(t);
    if (expected == 0 && highest_file(t) + 1 < t->next_file)
        TRY(lake_index_drop(t, err)); /* there was no place for note_next_file */
    TRY(foreign_commit(t, version, expected, err));
    commit_index(t, version);
    crash_point("index_committed");
    log_times(t, version, begin_us, committed_us);
    return 0;
}

int lake_commit_compaction(struct lake_table *t, struct err *err)
{
    int64_t version, expected = newest_version(t) + 1;

    if (commit_existing(t, 0, "OPTIMIZE", &version, err))
        return err_wrap(err, "table %s, compaction", t->name);
    settle(t);
    TRY(foreign_commit(t, version, expected, err));
    commit_index(t, version);
    crash_point("compacted");
    return 0;
}
