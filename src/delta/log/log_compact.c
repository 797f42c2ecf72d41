/*
 * Log compaction: a run of commits reconciled into one file (Delta protocol, "Log Compaction Files").
 *
 *   of each file (path and vector)      the last add or remove
 *   of each application, each domain    the last txn, the last domainMetadata
 *   protocol, metaData                  the last
 *   commitInfo, cdc                     nothing
 */
#include "base/mem.h"
#include "delta/log/log.h"

enum { COMPACT_MAX = 8 << 20 }; /* bytes of commits: more are no quicker to read in one file */

struct compacting {
    struct arena arena;
    struct delta_actions actions; /* of all the commits */
    struct map last;              /* what an action is about → its index + 1 */
};

static bool name_of(const struct delta_action *a, struct buf *out)
{
    buf_reset(out);
    switch (a->kind) {
    case DELTA_ADD:
    case DELTA_REMOVE:
        buf_add_cstr(out, "f");
        buf_add_str(out, a->file->path);
        buf_add_char(out, 0);
        delta_dv_unique_id(a->file->dv, out);
        return true;
    case DELTA_TXN:
        buf_add_cstr(out, "t");
        buf_add_str(out, a->txn->app_id);
        return true;
    case DELTA_DOMAIN:
        buf_add_cstr(out, "d");
        buf_add_str(out, a->domain->domain);
        return true;
    case DELTA_PROTOCOL:
        buf_add_cstr(out, "p");
        return true;
    case DELTA_METADATA:
        buf_add_cstr(out, "m");
        return true;
    default:
        return false;
    }
}

static void take(struct compacting *c, const struct delta_actions *commit)
{
    CLEANUP(buf_deinit) struct buf name = {0};

    for (size_t i = 0; i < commit->n; i++) {
        if (!name_of(&commit->v[i], &name))
            continue;
        delta_actions_add(&c->actions, &c->arena, commit->v[i]);
        if (commit->v[i].kind == DELTA_ADD || commit->v[i].kind == DELTA_REMOVE)
            commit->v[i].file->data_change = false; /* as in a checkpoint: what changed is told by the commits */
        map_put(&c->last, arena_str(&c->arena, buf_str(&name)), (void *)(uintptr_t)c->actions.n);
    }
}

/* The last of each, in the order in which they came. */
static void write_last(struct compacting *c, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf name = {0};

    for (size_t i = 0; i < c->actions.n; i++)
        if (name_of(&c->actions.v[i], &name) && (uintptr_t)map_get(&c->last, buf_str(&name)) == i + 1)
            delta_action_write(out, &c->actions.v[i]);
}

static int compact(struct compacting *c, struct store *store, int64_t first, int64_t last, bool *ret_written,
                   struct err *err)
{
    CLEANUP(buf_deinit) struct buf bytes = {0}, out = {0};
    char key[DELTA_KEY], to[96];

    for (int64_t v = first, size = 0; v <= last; v++) {
        struct delta_actions commit = {0};
        buf_reset(&bytes);
        bytes.max = COMPACT_MAX;
        int rc = store_get(store, delta_commit_key(v, key), &bytes, err);
        size += (int64_t)bytes.n;
        if (rc == ERR_LIMIT || rc == ERR_NOT_FOUND || size > COMPACT_MAX)
            return 0; /* too large; cleaned away meanwhile */
        TRY(rc);
        if (delta_actions_parse(buf_str(&bytes), &c->arena, &commit, err) < 0)
            return err_wrap(err, "%s: version %lld", store->name, (long long)v);
        take(c, &commit);
    }
    write_last(c, &out);
    snprintf(to, sizeof to, "_delta_log/%020lld.%020lld.compacted.json", (long long)first, (long long)last);
    int rc = store_put_if_absent(store, to, buf_str(&out), err);
    *ret_written = rc == 0;
    return rc == ERR_EXISTS ? 0 : rc;
}

int delta_log_compact(struct store *store, int64_t first, int64_t last, bool *ret_written, struct err *err)
{
    struct compacting c = {0};

    *ret_written = false;
    int rc = compact(&c, store, first, last, ret_written, err);
    map_deinit(&c.last);
    arena_deinit(&c.arena);
    return rc;
}
