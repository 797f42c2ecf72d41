/*
 * _delta_log: names, listing, and the replay of actions.
 *
 *   00000000000000000042.json                                     commit
 *   00000000000000000040.checkpoint.parquet                       classic checkpoint
 *   00000000000000000040.checkpoint.0000000001.0000000003.parquet one part of three
 *   00000000000000000040.checkpoint.<uuid>.json|parquet           V2, with sidecars in _sidecars/
 *
 * Everything else there is not ours and is passed over. Actions are applied in the order of the log, the newest for a key
 * wins; files go to struct delta_files, whose entries know their versions.
 */
#include "delta/log/log.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <yyjson.h>

char *delta_commit_key(int64_t version, char out[DELTA_KEY])
{
    snprintf(out, DELTA_KEY, "_delta_log/%020lld.json", (long long)version);
    return out;
}

static bool take_digits(struct str *s, size_t n, int64_t *ret)
{
    uint64_t v;

    if (s->n < n || !str_to_u64(str_make(s->p, n), &v) || v > INT64_MAX)
        return false;
    *ret = (int64_t)v;
    *s = str_make(s->p + n, s->n - n);
    return true;
}

static bool take_text(struct str *s, struct str text)
{
    if (!str_has_prefix(*s, text))
        return false;
    *s = str_make(s->p + text.n, s->n - text.n);
    return true;
}

static bool parse_checkpoint(struct str s, struct delta_log_name *n)
{
    int64_t part, parts;
    struct str uuid = str_make(s.p, MIN(s.n, 36));

    if (str_is(s, "parquet"))
        return true;
    if (s.p && s.n > 36 && s.p[36] == '.' && !memchr(uuid.p, '.', uuid.n)) {
        struct str ext = str_make(s.p + 37, s.n - 37);
        n->json = str_is(ext, "json");
        return n->json || str_is(ext, "parquet");
    }
    if (!take_digits(&s, 10, &part) || !take_text(&s, STR(".")) || !take_digits(&s, 10, &parts))
        return false;
    if (!str_is(s, ".parquet") || part < 1 || part > parts || parts > 100000)
        return false;
    n->part = (int32_t)part;
    n->parts = (int32_t)parts;
    return true;
}

struct delta_log_name delta_log_name_parse(const char *key)
{
    struct str s = str_of(key);
    struct delta_log_name n = {0};

    if (!take_text(&s, STR("_delta_log/")) || !take_digits(&s, 20, &n.version) || !take_text(&s, STR(".")))
        return (struct delta_log_name){0};
    int64_t first = n.version;
    if (str_is(s, "json"))
        n.kind = LOG_COMMIT;
    else if (str_is(s, "crc"))
        n.kind = LOG_CHECKSUM;
    else if (take_text(&s, STR("checkpoint.")))
        n.kind = parse_checkpoint(s, &n) ? LOG_CHECKPOINT : LOG_OTHER;
    else if (take_digits(&s, 20, &n.version) && str_is(s, ".compacted.json") && n.version > first)
        n.kind = LOG_COMPACTED;
    n.first = first;
    return n;
}

void delta_log_deinit(struct delta_log *log)
{
    store_list_deinit(&log->list);
    arena_deinit(&log->arena);
    *log = (struct delta_log){0};
}

/* Entry i starts a checkpoint: the keys of all its parts, or NULL when some are missing. The list is sorted, so that parts come
 * in order; those of another number of parts, which another writer has left, may stand between them. */
static const char **checkpoint_keys(struct delta_log *log, size_t i, const struct delta_log_name *n)
{
    const struct store_list *l = &log->list;
    size_t parts = (size_t)MAX(n->parts, 1), found = 0;

    if (n->part > 1 || l->n - i < parts)
        return NULL;
    const char **keys = ARENA_NEW_N(&log->arena, const char *, parts);
    for (size_t k = i; k < l->n && found < parts; k++) {
        struct delta_log_name m = k > i ? delta_log_name_parse(l->v[k].key) : *n;
        if (m.kind != LOG_CHECKPOINT || m.version != n->version)
            break;
        bool next = k == i || (m.parts == n->parts && (size_t)m.part == found + 1);
        if (next && l->v[k].size > 0)
            keys[found++] = l->v[k].key;
    }
    return found == parts ? keys : NULL;
}

static void collect(struct delta_log *log)
{
    const struct store_list *l = &log->list;

    log->commits = ARENA_NEW_N(&log->arena, struct delta_log_commit, l->n);
    log->checkpoints = ARENA_NEW_N(&log->arena, struct delta_log_checkpoint, l->n);
    log->compacted = ARENA_NEW_N(&log->arena, struct delta_log_compacted, l->n);
    for (size_t i = 0; i < l->n; i++) {
        struct delta_log_name n = delta_log_name_parse(l->v[i].key);
        if (n.kind == LOG_COMMIT)
            log->commits[log->n_commits++] = (struct delta_log_commit){n.version, l->v[i].time_ms};
        if (n.kind == LOG_COMPACTED)
            log->compacted[log->n_compacted++] = (struct delta_log_compacted){n.first, n.version, l->v[i].key};
        const char **keys = n.kind == LOG_CHECKPOINT ? checkpoint_keys(log, i, &n) : NULL;
        if (keys)
            log->checkpoints[log->n_checkpoints++] =
                (struct delta_log_checkpoint){n.version, l->v[i].time_ms, MAX(n.parts, 1), keys, n.json};
    }
}

int delta_log_list(struct store *store, int64_t from, struct delta_log *ret, struct err *err)
{
    char start[DELTA_KEY];

    snprintf(start, sizeof start, "_delta_log/%020lld.", (long long)from);
    TRY(store_list(store, "_delta_log", start, false, &ret->list, err));
    collect(ret);
    return 0;
}

int64_t delta_log_hint(struct store *store)
{
    CLEANUP(buf_deinit) struct buf b = {.max = DELTA_MAX_HINT};

    if (store_get(store, "_delta_log/_last_checkpoint", &b, NULL))
        return -1;
    yyjson_doc *doc = yyjson_read(b.p ? b.p : "", b.n, 0);
    yyjson_val *v = yyjson_obj_get(yyjson_doc_get_root(doc), "version");
    int64_t version = yyjson_is_int(v) ? yyjson_get_sint(v) : -1;
    yyjson_doc_free(doc);
    return version;
}

void delta_replay_init(struct delta_replay *r, struct store *store, struct engine *engine)
{
    *r = (struct delta_replay){.store = store, .engine = engine, .ict_ms = -1};
    r->s = MEM_NEW(struct delta_snapshot);
    r->s->refs = 1;
    r->s->ict_ms = -1;
    r->s->files = delta_files_new();
}

void delta_replay_deinit(struct delta_replay *r)
{
    delta_snapshot_unref(r->s);
    arena_deinit(&r->scratch);
    arena_deinit(&r->protocol_arena);
    arena_deinit(&r->metadata_arena);
    arena_deinit(&r->ids_arena);
    map_deinit(&r->txns);
    map_deinit(&r->domains);
    *r = (struct delta_replay){0};
}

static void count(struct delta_snapshot *s, const struct delta_file *f, int sign)
{
    s->n_files += (uint64_t)sign;
    s->bytes += sign * MAX(f->size, 0);
    if (f->num_records < 0)
        s->n_unknown += (uint64_t)sign;
    else
        s->records += sign * (f->num_records - (f->dv ? f->dv->cardinality : 0));
    if (f->dv)
        s->n_dvs += (uint64_t)sign;
}

/* Applies an add or remove to a snapshot that is not published yet. */
static void apply_file(struct delta_snapshot *s, const struct delta_action *a, int64_t version)
{
    const struct delta_file *old = NULL;

    if (a->kind == DELTA_ADD) {
        delta_files_add(s->files, a->file, version, &old);
        count(s, a->file, 1);
    } else {
        old = delta_files_remove(s->files, a->file->path, a->file->dv, version);
        delta_files_bury(s->files, a->file);
    }
    if (old)
        count(s, old, -1);
}

static void replay_txn(struct delta_replay *r, const struct delta_txn *t)
{
    struct delta_txn *mine = map_get(&r->txns, t->app_id);

    if (!mine) {
        mine = ARENA_NEW(&r->ids_arena, struct delta_txn);
        mine->app_id = arena_str(&r->ids_arena, t->app_id);
        map_put(&r->txns, mine->app_id, mine);
    }
    mine->version = t->version;
    mine->updated_ms = t->updated_ms;
}

static void replay_domain(struct delta_replay *r, const struct delta_domain *d)
{
    struct delta_domain *mine = map_get(&r->domains, d->domain);

    if (!mine) {
        mine = ARENA_NEW(&r->ids_arena, struct delta_domain);
        mine->domain = arena_str(&r->ids_arena, d->domain);
        map_put(&r->domains, mine->domain, mine);
    }
    mine->configuration = arena_str(&r->ids_arena, d->configuration);
    mine->removed = d->removed;
}

static void replay_sidecar(struct delta_replay *r, const struct delta_sidecar *c)
{
    if (r->n_sidecars == r->cap_sidecars) {
        size_t cap = r->cap_sidecars ? r->cap_sidecars * 2 : 8;
        struct delta_sidecar *v = ARENA_NEW_N(&r->ids_arena, struct delta_sidecar, cap);
        if (r->n_sidecars)
            memcpy(v, r->sidecars, r->n_sidecars * sizeof *v);
        r->sidecars = v;
        r->cap_sidecars = cap;
    }
    r->sidecars[r->n_sidecars] = *c;
    r->sidecars[r->n_sidecars++].path = arena_str(&r->ids_arena, c->path);
}

int delta_replay_action(struct delta_replay *r, const struct delta_action *a, int64_t version, struct err *err)
{
    switch (a->kind) {
    case DELTA_ADD:
    case DELTA_REMOVE:
        apply_file(r->s, a, version);
        break;
    case DELTA_PROTOCOL:
        arena_reset(&r->protocol_arena);
        r->protocol = delta_protocol_copy(a->protocol, &r->protocol_arena);
        break;
    case DELTA_METADATA:
        arena_reset(&r->metadata_arena);
        r->metadata = delta_metadata_copy(a->metadata, &r->metadata_arena);
        r->metadata_version = version;
        break;
    case DELTA_TXN:
        replay_txn(r, a->txn);
        break;
    case DELTA_DOMAIN:
        replay_domain(r, a->domain);
        break;
    case DELTA_SIDECAR:
        replay_sidecar(r, a->sidecar);
        break;
    case DELTA_COMMIT_INFO:
        r->ict_ms = a->commit_info->in_commit_timestamp_ms;
        break;
    case DELTA_CHECKPOINT_METADATA:
        if (a->checkpoint_version >= 0 && a->checkpoint_version != version)
            return err_set(err, ERR_INPUT, "the checkpoint of version %lld says that it is of version %lld",
                           (long long)version, (long long)a->checkpoint_version);
        break;
    case DELTA_CDC:
    case DELTA_UNKNOWN:
        break;
    }
    return 0;
}

/* Actions of several commits: one by one, not checked as those of one. */
static int replay_lines(struct delta_replay *r, struct str ndjson, int64_t version, struct err *err)
{
    CLEANUP(delta_action_reader_deinit) struct delta_action_reader reader = {0};
    struct delta_action a;
    int rc;

    arena_reset(&r->scratch);
    delta_action_reader_init(&reader, ndjson);
    while ((rc = delta_action_next(&reader, &r->scratch, &a, err)) == 0) {
        TRY(delta_replay_action(r, &a, version, err));
        arena_reset(&r->scratch);
    }
    return MIN(rc, 0);
}

/* Above this a commit is applied line by line, so that it is not held twice. */
enum { WHOLE_COMMIT = 4 << 20 };

int delta_replay_json(struct delta_replay *r, struct str ndjson, int64_t version, struct err *err)
{
    struct delta_actions all = {0};

    if (ndjson.n > WHOLE_COMMIT)
        return replay_lines(r, ndjson, version, err);
    arena_reset(&r->scratch);
    TRY(delta_actions_parse(ndjson, &r->scratch, &all, err));
    for (size_t i = 0; i < all.n; i++)
        TRY(delta_replay_action(r, &all.v[i], version, err));
    return 0;
}

/* Path and deletion vector of a file action that was not there yet; false when it was. */
static bool is_first(struct map *seen, const struct delta_action *a, struct arena *arena)
{
    CLEANUP(buf_deinit) struct buf key = {0};

    buf_add_str(&key, a->file->path);
    buf_add_char(&key, 0);
    if (a->file->dv)
        delta_dv_unique_id(a->file->dv, &key);
    struct str mine = arena_str(arena, buf_str(&key));
    return map_put(seen, mine, seen) == NULL;
}

int delta_replay_compacted(struct delta_replay *r, struct str ndjson, int64_t version, struct err *err)
{
    CLEANUP(delta_action_reader_deinit) struct delta_action_reader reader = {0};
    CLEANUP(map_deinit) struct map seen = {0};
    CLEANUP(arena_deinit) struct arena keys = {0};
    struct delta_action a;
    int rc;

    delta_action_reader_init(&reader, ndjson);
    for (;;) {
        arena_reset(&r->scratch);
        if ((rc = delta_action_next(&reader, &r->scratch, &a, err)) != 0)
            return MIN(rc, 0);
        if ((a.kind == DELTA_ADD || a.kind == DELTA_REMOVE) && !is_first(&seen, &a, &keys))
            return err_set(err, ERR_INPUT, "the compacted file says two things of %.*s", STR_ARG(a.file->path));
        TRY(delta_replay_action(r, &a, version, err));
    }
}

static struct delta_ids *collect_ids(const struct delta_replay *r)
{
    struct delta_ids *ids = delta_ids_new(NULL, (uint32_t)r->txns.n, (uint32_t)r->domains.n);
    void *value;

    for (size_t at = 0; map_next(&r->txns, &at, NULL, &value) == 0;) {
        ids->txns[ids->n_txns] = *(struct delta_txn *)value;
        ids->txns[ids->n_txns].app_id = arena_str(&ids->arena, ids->txns[ids->n_txns].app_id);
        ids->n_txns++;
    }
    for (size_t at = 0; map_next(&r->domains, &at, NULL, &value) == 0;) {
        const struct delta_domain *d = value;
        if (!d->removed)
            ids->domains[ids->n_domains++] = (struct delta_domain){arena_str(&ids->arena, d->domain),
                                                                   arena_str(&ids->arena, d->configuration), false};
    }
    return ids;
}

int delta_replay_finish(struct delta_replay *r, int64_t version, int64_t time_ms, struct delta_snapshot **ret,
                        struct err *err)
{
    struct delta_head *head = NULL;

    if (!r->protocol)
        return err_set(err, ERR_INPUT, "the log holds no protocol action up to version %lld", (long long)version);
    if (!r->metadata)
        return err_set(err, ERR_INPUT, "the log holds no metaData action up to version %lld", (long long)version);
    int rc = delta_head_new(r->protocol, r->metadata, &head, err);
    if (rc == ERR_INPUT)
        rc = err_wrap(err, "version %lld: metaData", (long long)r->metadata_version);
    TRY(rc);
    struct delta_snapshot *s = TAKE_PTR(r->s);
    s->head = head;
    s->ids = collect_ids(r);
    s->version = version;
    s->ict_ms = head->ict ? r->ict_ms : -1;
    s->timestamp_ms = s->ict_ms >= 0 ? s->ict_ms : time_ms;
    s->n_entries = s->files->n;
    delta_files_expire(s->files, clock_now_us() / 1000 - head->deleted_file_retention_ms);
    *ret = s;
    return 0;
}

/* New head when the commit has a protocol or metadata, else the old one. */
static int advance_head(const struct delta_snapshot *old, const struct delta_actions *a, struct delta_head **ret,
                        struct err *err)
{
    const struct delta_protocol *p = NULL;
    const struct delta_metadata *m = NULL;

    for (size_t i = 0; i < a->n; i++) {
        if (a->v[i].kind == DELTA_PROTOCOL)
            p = a->v[i].protocol;
        if (a->v[i].kind == DELTA_METADATA)
            m = a->v[i].metadata;
    }
    if (p || m)
        return delta_head_new(p ? p : old->head->protocol, m ? m : old->head->metadata, ret, err);
    *ret = delta_head_ref(old->head);
    return 0;
}

static struct delta_ids *advance_ids(const struct delta_snapshot *old, const struct delta_actions *a)
{
    uint32_t n_txns = 0, n_domains = 0;

    for (size_t i = 0; i < a->n; i++) {
        n_txns += a->v[i].kind == DELTA_TXN;
        n_domains += a->v[i].kind == DELTA_DOMAIN;
    }
    if (!n_txns && !n_domains)
        return delta_ids_ref(old->ids);
    struct delta_ids *ids = delta_ids_new(old->ids, n_txns, n_domains);
    for (size_t i = 0; i < a->n; i++) {
        if (a->v[i].kind == DELTA_TXN)
            delta_ids_set_txn(ids, a->v[i].txn);
        if (a->v[i].kind == DELTA_DOMAIN)
            delta_ids_set_domain(ids, a->v[i].domain);
    }
    return ids;
}

int delta_snapshot_advance(const struct delta_snapshot *newest, const struct delta_actions *a, int64_t time_ms,
                           struct delta_snapshot **ret, struct err *err)
{
    struct delta_head *head = NULL;

    TRY(advance_head(newest, a, &head, err));
    struct delta_snapshot *s = MEM_NEW(struct delta_snapshot);
    *s = *newest;
    s->refs = 1;
    s->head = head;
    s->ids = advance_ids(newest, a);
    s->version = newest->version + 1;
    s->files = delta_files_is_sparse(newest->files) ? delta_files_compact(newest->files) : delta_files_ref(s->files);
    s->ict_ms = -1;
    for (size_t i = 0; i < a->n; i++) {
        if (a->v[i].kind == DELTA_ADD || a->v[i].kind == DELTA_REMOVE)
            apply_file(s, &a->v[i], s->version);
        if (a->v[i].kind == DELTA_COMMIT_INFO && head->ict)
            s->ict_ms = a->v[i].commit_info->in_commit_timestamp_ms;
    }
    s->timestamp_ms = s->ict_ms >= 0 ? s->ict_ms : time_ms;
    s->n_entries = s->files->n;
    *ret = s;
    return 0;
}
