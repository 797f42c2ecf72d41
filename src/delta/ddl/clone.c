/* CREATE TABLE … SHALLOW CLONE: the source's metadata, and its files by absolute path. */
#include "delta/ddl/clone.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/dv.h"
#include "delta/log/clustering.h"
#include "delta/log/transaction.h"

#define ROW_IDS "delta.rowTracking"

/*
 * "file:/a%20b/part-1.parquet" for what lies at `path` in the source; a path that is absolute already stays. With one slash, as
 * Spark writes it: it looks its rows' files up by this text, and finds none that has three.
 */
static struct str absolute_uri(struct store *store, struct str path, struct arena *arena)
{
    CLEANUP(buf_deinit) struct buf local = {0}, uri = {0};
    CLEANUP(mem_freep) char *key = mem_strndup(path.p, path.n);

    store_local_path(store, key, &local);
    if (local.n && local.p[0] == '/')
        buf_add_cstr(&uri, "file:");
    delta_path_encode(buf_str(&local), &uri);
    return arena_str(arena, buf_str(&uri));
}

static int clone_dv(const struct delta_clone *c, const struct delta_dv_desc *old, struct arena *arena,
                    struct delta_dv_desc **ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf path = {0};
    struct delta_dv_desc *dv = *ret = arena_dup(arena, old, sizeof *old);

    if (old->storage != 'u')
        return 0;
    TRY(dv_path(old->storage, old->path_or_inline, &path, err));
    dv->storage = 'p';
    dv->path_or_inline = absolute_uri(c->source_store, buf_str(&path), arena);
    return 0;
}

static int clone_file(const struct delta_clone *c, const struct delta_file *from, struct delta_stats_reader *stats,
                      struct arena *arena, struct delta_file *to, struct err *err)
{
    *to = *from;
    if (from->packed)
        to->stats = arena_str(arena, delta_stats_read(stats, from));
    to->packed = NULL;
    to->raw_path = absolute_uri(c->source_store, from->path, arena);
    TRY(delta_path_decode(to->raw_path, arena, &to->path, err));
    to->data_change = true;
    if (c->replaced) { /* the row ids of the table that is replaced go on */
        to->base_row_id = -1;
        to->row_commit_version = -1;
    }
    return from->dv ? clone_dv(c, from->dv, arena, &to->dv, err) : 0;
}

/* The source's properties under the statement's; those that speak of versions of the source's log stay behind. */
static void clone_properties(const struct delta_clone *c, struct delta_metadata *m, struct arena *arena)
{
    struct delta_kv *kv = ARENA_NEW_N(arena, struct delta_kv, m->n_configuration + c->n_properties + 1);
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->n_configuration; i++) {
        struct str key = m->configuration[i].key;
        if (!str_has_prefix(key, STR("delta.inCommitTimestampEnablement")) &&
            !str_is(key, "delta.requireCheckpointProtectionBeforeVersion") &&
            !delta_kv_get(c->properties, c->n_properties, key).p)
            kv[n++] = m->configuration[i];
    }
    for (uint32_t i = 0; i < c->n_properties; i++)
        kv[n++] = c->properties[i];
    m->configuration = kv;
    m->n_configuration = n;
}

static int draft(const struct delta_clone *c, struct delta_draft *d, struct err *err)
{
    const struct delta_head *source = c->source->head;
    struct delta_metadata *m = delta_metadata_copy(source->metadata, &d->arena);
    struct str clustering = delta_snapshot_domain(c->source, STR(DELTA_CLUSTERING));
    struct delta_head *head;
    char uuid[DELTA_UUID];

    m->id = arena_str(&d->arena, str_of(delta_uuid(uuid)));
    m->created_ms = clock_now_us() / 1000;
    clone_properties(c, m, &d->arena);
    d->metadata = m;
    d->protocol = source->protocol;
    if (c->replaced) { /* what the replaced table needed stays in its protocol */
        d->replaced = delta_table_snapshot(c->replaced);
        d->protocol = d->replaced->head->protocol;
        for (uint32_t i = 0; i < source->protocol->n_writer_features; i++)
            TRY(delta_protocol_with(d->protocol, arena_strdup(&d->arena, source->protocol->writer_features[i]),
                                    &d->arena, &d->protocol, err));
    }
    TRY(delta_protocol_for(d->protocol, m, source->schema, &d->arena, &d->protocol, err));
    TRY(delta_protocol_check_write(d->protocol, err));
    d->clustering = arena_str(&d->arena, clustering);
    TRY(delta_head_new(d->protocol, m, &head, err));
    d->head = head;
    return 0;
}

static struct str metrics(const struct delta_cloned *r, struct arena *arena)
{
    return str_of(
        arena_printf(arena,
                     "{\"sourceTableSize\":\"%lld\",\"sourceNumOfFiles\":\"%llu\",\"numRemovedFiles\":\"%llu\","
                     "\"numCopiedFiles\":\"0\",\"removedFilesSize\":\"%lld\",\"copiedFilesSize\":\"0\"}",
                     (long long)r->bytes, (unsigned long long)r->files, (unsigned long long)r->removed_files,
                     (long long)r->removed_bytes));
}

static struct str parameters(const struct delta_clone *c, struct arena *arena)
{
    CLEANUP(buf_deinit) struct buf json = {0};
    struct str uri = absolute_uri(c->source_store, (struct str){0}, arena);
    while (uri.n && uri.p[uri.n - 1] == '/')
        uri.n--;
    struct str source = str_of(arena_printf(arena, "delta.`%.*s`", STR_ARG(uri)));

    buf_add_cstr(&json, "{\"source\":");
    buf_add_json_str(&json, source);
    buf_printf(&json, ",\"sourceVersion\":%lld}", (long long)c->source->version);
    return arena_str(arena, buf_str(&json));
}

static int make_clone(const struct delta_clone *c, struct delta_draft *d, struct store *store, struct engine *engine,
                      struct delta_cloned *r, struct err *err)
{
    CLEANUP(delta_table_freep) struct delta_table *table = NULL;
    struct str high = delta_snapshot_domain(c->source, STR(ROW_IDS));
    struct delta_domain row_ids = {STR(ROW_IDS), high, false};
    struct delta_create create = {.operation = "CLONE", .row_ids = high.n ? &row_ids : NULL};
    struct delta_file *files = ARENA_NEW_N(&d->arena, struct delta_file, c->source->n_files + 1);
    CLEANUP(delta_stats_reader_deinit) struct delta_stats_reader stats = {0};
    const struct delta_file *f;
    size_t cursor = 0;
    int64_t version;

    TRY(draft(c, d, err));
    while ((f = delta_snapshot_next(c->source, &cursor))) {
        TRY(clone_file(c, f, &stats, &d->arena, &files[create.n_files++], err));
        r->bytes += MAX(f->size, 0);
    }
    create.files = files;
    r->files = create.n_files;
    if (d->replaced) {
        r->removed_files = d->replaced->n_files;
        r->removed_bytes = d->replaced->bytes;
    }
    create.metrics = metrics(r, &d->arena);
    create.parameters = parameters(c, &d->arena);
    if (d->replaced)
        return delta_draft_replace(d, c->replaced, &create, &version, err);
    return delta_draft_create(d, store, engine, &create, &table, err);
}

int delta_clone(const struct delta_clone *c, struct store *store, struct engine *engine, struct delta_cloned *ret,
                struct err *err)
{
    CLEANUP(delta_draft_deinit) struct delta_draft d = {0};
    bool exists;

    *ret = (struct delta_cloned){0};
    TRY(delta_table_exists(store, &exists, err));
    if (exists && !c->replaced)
        return err_set(err, ERR_EXISTS, "there is a table at %s already", store->name);
    if (make_clone(c, &d, store, engine, ret, err) < 0)
        return err_wrap(err, "cloning %s", c->source_store->name);
    return 0;
}
