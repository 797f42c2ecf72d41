/* OPTIMIZE, REORG and GENERATE of a session; the answer is a row as Spark has it. */
#include "server/session_internal.h"

#include "delta/log/manifest.h"
#include "delta/upkeep/optimize.h"

static void add_sizes(struct buf *out, const char *name, const struct delta_sizes *s)
{
    buf_printf(out, ", %s: {min: %lld::BIGINT, max: %lld::BIGINT, avg: %.1f::DOUBLE, totalFiles: %llu::BIGINT, ", name,
               (long long)s->min, (long long)s->max, s->n ? (double)s->bytes / (double)s->n : 0,
               (unsigned long long)s->n);
    buf_printf(out, "totalSize: %lld::BIGINT}", (long long)s->bytes);
}

static int optimize(struct session *s, const struct sql_table *table, const struct delta_optimize *o, struct buf *out,
                    struct err *err)
{
    struct delta_optimized r;
    struct open_table *t;
    const char *path;

    TRY(session_path(s, table, &path, err));
    TRY(session_table_at(s, arena_strdup(&s->arena, str_of(path)), &t, err));
    TRY(delta_optimize(t->table, s->conn, o, &r, err));
    buf_add_cstr(out, "SELECT ");
    buf_add_sql_literal(out, str_of(t->path));
    buf_printf(out, " AS path, {numFilesAdded: %llu::BIGINT, numFilesRemoved: %llu::BIGINT",
               (unsigned long long)r.added.n, (unsigned long long)r.removed.n);
    add_sizes(out, "filesAdded", &r.added);
    add_sizes(out, "filesRemoved", &r.removed);
    buf_printf(out,
               ", partitionsOptimized: %llu::BIGINT, numBatches: %llu::BIGINT, totalConsideredFiles: %llu::BIGINT, "
               "totalFilesSkipped: %llu::BIGINT} AS metrics",
               (unsigned long long)r.partitions, (unsigned long long)r.batches, (unsigned long long)r.considered,
               (unsigned long long)r.skipped);
    return 0;
}

int session_optimize(struct session *s, const struct sql_optimize *st, struct buf *out, struct err *err)
{
    struct delta_path *zorder = ARENA_NEW_N(&s->arena, struct delta_path, st->n_zorder + 1);
    struct delta_optimize o = {.where = st->where, .zorder = zorder, .n_zorder = st->n_zorder, .full = st->full};

    for (uint32_t i = 0; i < st->n_zorder; i++)
        zorder[i] = (struct delta_path){st->zorder[i].parts, st->zorder[i].n_parts};
    return optimize(s, &st->table, &o, out, err);
}

int session_reorg(struct session *s, const struct sql_reorg *st, struct buf *out, struct err *err)
{
    struct delta_optimize o = {.where = st->where, .purge = true};

    if (!str_eq_nocase(str_trim(st->apply), STR("PURGE")))
        return err_set(err, ERR_UNSUPPORTED, "REORG … APPLY (%.*s) is not supported: only PURGE is",
                       STR_ARG(st->apply));
    return optimize(s, &st->table, &o, out, err);
}

int session_generate(struct session *s, const struct sql_show *show, struct buf *out, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *snapshot = NULL;
    struct open_table *t;
    const char *path;

    if (!str_eq_nocase(show->key, STR("symlink_format_manifest")))
        return err_set(err, ERR_USAGE, "GENERATE knows symlink_format_manifest, not %.*s", STR_ARG(show->key));
    TRY(session_path(s, &show->table, &path, err));
    TRY(session_table_at(s, arena_strdup(&s->arena, str_of(path)), &t, err));
    snapshot = delta_table_snapshot(t->table);
    TRY(delta_manifest_write(t->store, snapshot, err));
    session_say(s, out, "generated");
    return 0;
}
