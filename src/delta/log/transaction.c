/*
 * Transactions: collecting actions, and the commit loop.
 *
 *   commit:  [commitInfo][protocol][metaData][txn…][domainMetadata…][add…][remove…][cdc…]   put-if-absent as version N+1
 *
 * Someone was first: read that version, check it against ours (conflict.c), and go on to the next. Row ids, the in-commit
 * timestamp and the version in the bytes are made anew for each attempt. A version whose content is ours (its txnId says
 * so) was written by a put whose answer got lost: that is success.
 */
#include "delta/log/transaction.h"

#include "base/clock.h"
#include "base/mem.h"
#include "delta/log/checksum.h"
#include "delta/log/conflict.h"
#include "delta/log/log.h"
#include "delta/log/manifest.h"

#include <assert.h>
#include <yyjson.h>

struct delta_tx *delta_tx_new(struct delta_table *t, const char *operation)
{
    struct delta_tx *tx = MEM_NEW(struct delta_tx);

    tx->table = t;
    tx->read = delta_table_snapshot(t);
    tx->operation = arena_str(&tx->arena, str_of(operation));
    delta_uuid(tx->txn_id);
    return tx;
}

void delta_tx_free(struct delta_tx *tx)
{
    if (!tx)
        return;
    delta_snapshot_unref(tx->read);
    map_deinit(&tx->read_files);
    map_deinit(&tx->removed);
    delta_stats_reader_deinit(&tx->stats);
    arena_deinit(&tx->arena);
    mem_free(tx);
}

static struct delta_file *add_file_action(struct delta_tx *tx, enum delta_kind kind, const struct delta_file *f)
{
    struct delta_file *copy = ARENA_NEW(&tx->arena, struct delta_file), plain = *f;

    plain.stats = kind == DELTA_ADD ? delta_stats_read(&tx->stats, f) : (struct str){0};
    plain.packed = NULL;
    *copy = delta_file_copy(&plain, &tx->arena);
    if (!copy->raw_path.n) {
        CLEANUP(buf_deinit) struct buf uri = {0};
        delta_path_encode(copy->path, &uri);
        copy->raw_path = str_eq(buf_str(&uri), copy->path) ? copy->path : arena_str(&tx->arena, buf_str(&uri));
    }
    delta_actions_add(&tx->actions, &tx->arena, (struct delta_action){.kind = kind, .file = copy});
    return copy;
}

void delta_tx_add_file(struct delta_tx *tx, const struct delta_file *f)
{
    struct delta_file *copy = add_file_action(tx, DELTA_ADD, f);

    if (copy->num_records < 0 || copy->stats.n)
        copy->num_records = delta_stats_num_records(copy->stats);
}

void delta_tx_remove_file(struct delta_tx *tx, const struct delta_file *live, bool data_change)
{
    struct delta_file *f = add_file_action(tx, DELTA_REMOVE, live);

    f->time_ms = clock_now_us() / 1000;
    f->data_change = data_change;
    f->extended = f->size >= 0;
    map_put(&tx->removed, f->path, f);
}

void delta_tx_set_dv(struct delta_tx *tx, const struct delta_file *live, const struct delta_dv_desc *dv)
{
    struct delta_file next = *live;
    struct delta_dv_desc copy = *dv;

    assert(live->num_records >= dv->cardinality || live->num_records < 0);
    delta_tx_remove_file(tx, live, true);
    next.dv = &copy;
    next.data_change = true;
    next.stats = delta_stats_widen(delta_stats_read(&tx->stats, live), live->num_records, &tx->arena);
    next.packed = NULL;
    delta_tx_add_file(tx, &next);
}

void delta_tx_add_cdc(struct delta_tx *tx, const struct delta_file *f)
{
    add_file_action(tx, DELTA_CDC, f)->data_change = false;
}

void delta_tx_read_file(struct delta_tx *tx, const struct delta_file *f)
{
    struct str path = arena_str(&tx->arena, f->path);

    map_put(&tx->read_files, path, (void *)(uintptr_t)path.p);
}

void delta_tx_set_metadata(struct delta_tx *tx, const struct delta_metadata *m)
{
    tx->new_metadata = delta_metadata_copy(m, &tx->arena);
}

void delta_tx_set_protocol(struct delta_tx *tx, const struct delta_protocol *p)
{
    tx->new_protocol = delta_protocol_copy(p, &tx->arena);
}

void delta_tx_set_txn(struct delta_tx *tx, struct str app_id, int64_t version)
{
    struct delta_txn *t = ARENA_NEW(&tx->arena, struct delta_txn);

    *t = (struct delta_txn){arena_str(&tx->arena, app_id), version, clock_now_us() / 1000};
    delta_actions_add(&tx->actions, &tx->arena, (struct delta_action){.kind = DELTA_TXN, .txn = t});
}

void delta_tx_set_domain(struct delta_tx *tx, struct str domain, struct str configuration, bool removed)
{
    struct delta_domain *d = ARENA_NEW(&tx->arena, struct delta_domain);

    *d = (struct delta_domain){arena_str(&tx->arena, domain), arena_str(&tx->arena, configuration), removed};
    delta_actions_add(&tx->actions, &tx->arena, (struct delta_action){.kind = DELTA_DOMAIN, .domain = d});
}

void delta_tx_set_parameters(struct delta_tx *tx, struct str json)
{
    tx->parameters = arena_str(&tx->arena, json);
}

void delta_tx_set_metrics(struct delta_tx *tx, struct str json)
{
    tx->metrics = arena_str(&tx->arena, json);
}

/* ---- one attempt ---- */

/* What a commit of version `base` + 1 would hold. */
struct attempt {
    struct arena arena;
    struct delta_actions actions;
    struct buf bytes;
    int64_t now_ms;
};

static void attempt_deinit(struct attempt *a)
{
    arena_deinit(&a->arena);
    buf_deinit(&a->bytes);
}

static void add_commit_info(struct delta_tx *tx, struct attempt *at, const struct delta_snapshot *base,
                            const struct delta_head *head)
{
    static const char *const levels[] = {
        [DELTA_WRITE_SERIALIZABLE] = "WriteSerializable",
        [DELTA_SERIALIZABLE] = "Serializable",
        [DELTA_SNAPSHOT_ISOLATION] = "SnapshotIsolation",
    };
    CLEANUP(buf_deinit) struct buf b = {0};
    struct delta_commit_info *info = ARENA_NEW(&at->arena, struct delta_commit_info);

    *info = (struct delta_commit_info){.timestamp_ms = at->now_ms, .in_commit_timestamp_ms = -1};
    buf_add_char(&b, '{');
    if (head->ict) {
        info->in_commit_timestamp_ms = MAX(at->now_ms, MAX(base->ict_ms, base->timestamp_ms) + 1);
        buf_printf(&b, "\"inCommitTimestamp\":%lld,", (long long)info->in_commit_timestamp_ms);
    }
    buf_printf(&b, "\"timestamp\":%lld,\"operation\":", (long long)at->now_ms);
    buf_add_json_str(&b, tx->operation);
    buf_printf(&b, ",\"operationParameters\":%.*s", STR_ARG(tx->parameters.n ? tx->parameters : STR("{}")));
    buf_printf(&b, ",\"readVersion\":%lld,\"isolationLevel\":\"%s\",\"isBlindAppend\":%s", (long long)tx->read->version,
               levels[delta_tx_isolation(tx)], tx->blind_append ? "true" : "false");
    if (tx->metrics.n)
        buf_printf(&b, ",\"operationMetrics\":%.*s", STR_ARG(tx->metrics));
    if (tx->user_metadata.n) {
        buf_add_cstr(&b, ",\"userMetadata\":");
        buf_add_json_str(&b, tx->user_metadata);
    }
    if (head->row_tracking && tx->keeps_row_ids)
        buf_add_cstr(&b, ",\"tags\":{\"delta.rowTracking.preserved\":\"true\"}");
    buf_printf(&b, ",\"engineInfo\":\"sluice/%s\",\"txnId\":\"%s\"}", SLUICE_VERSION, tx->txn_id);
    info->raw = arena_str(&at->arena, buf_str(&b));
    delta_actions_add(&at->actions, &at->arena, (struct delta_action){.kind = DELTA_COMMIT_INFO, .commit_info = info});
}

/*
 * Protocol and metadata, with the features that they need, as actions; and the head as it will be. In-commit timestamps
 * that are switched on in a table that has versions leave a mark of when.
 */
static int add_head(struct delta_tx *tx, struct attempt *at, const struct delta_snapshot *base, struct delta_head **ret,
                    struct err *err)
{
    const struct delta_protocol *p = tx->new_protocol ? tx->new_protocol : base->head->protocol;
    struct delta_metadata *m =
        delta_metadata_copy(tx->new_metadata ? tx->new_metadata : base->head->metadata, &at->arena);
    CLEANUP(schema_unrefp) struct schema *schema = NULL;

    if (!tx->new_metadata && !tx->new_protocol) {
        *ret = delta_head_ref(base->head);
        return delta_protocol_check_write(p, err);
    }
    TRY(delta_schema_parse(m->schema_json, &schema, err));
    delta_name_row_id_columns(m, &at->arena);
    if (tx->new_metadata)
        TRY(delta_protocol_for(p, m, schema, &at->arena, &p, err));
    TRY(delta_protocol_check_write(p, err));
    TRY(delta_head_new(p, m, ret, err));
    if ((*ret)->ict && !base->head->ict) {
        delta_metadata_set(m, &at->arena, STR("delta.inCommitTimestampEnablementVersion"),
                           str_of(arena_printf(&at->arena, "%lld", (long long)base->version + 1)));
        delta_metadata_set(
            m, &at->arena, STR("delta.inCommitTimestampEnablementTimestamp"),
            str_of(arena_printf(&at->arena, "%lld", (long long)MAX(at->now_ms, base->timestamp_ms + 1))));
    }
    if (p != base->head->protocol)
        delta_actions_add(
            &at->actions, &at->arena,
            (struct delta_action){.kind = DELTA_PROTOCOL, .protocol = delta_protocol_copy(p, &at->arena)});
    if (tx->new_metadata || ((*ret)->ict && !base->head->ict))
        delta_actions_add(&at->actions, &at->arena, (struct delta_action){.kind = DELTA_METADATA, .metadata = m});
    return 0;
}

static int64_t row_id_high_water_mark(const struct delta_snapshot *s)
{
    struct str json = delta_snapshot_domain(s, STR("delta.rowTracking"));
    yyjson_doc *doc = yyjson_read(json.n ? json.p : "", json.n, 0);
    yyjson_val *v = yyjson_obj_get(yyjson_doc_get_root(doc), "rowIdHighWaterMark");
    int64_t mark = yyjson_is_int(v) ? yyjson_get_sint(v) : -1;

    yyjson_doc_free(doc);
    return mark;
}

/* Row tracking: fresh ids for adds that have none. Copies the file, so that the next attempt starts from the same. */
static int assign_row_ids(struct attempt *at, const struct delta_snapshot *base, struct err *err)
{
    int64_t mark = row_id_high_water_mark(base), before = mark;

    for (size_t i = 0; i < at->actions.n; i++) {
        struct delta_action *a = &at->actions.v[i];
        if (a->kind != DELTA_ADD || a->file->base_row_id >= 0)
            continue;
        if (a->file->num_records < 0)
            return err_set(err, ERR_INPUT, "row tracking needs numRecords in the stats of %.*s",
                           STR_ARG(a->file->path));
        a->file = arena_dup(&at->arena, a->file, sizeof *a->file);
        a->file->base_row_id = mark + 1;
        a->file->row_commit_version = base->version + 1;
        mark += a->file->num_records;
    }
    if (mark == before)
        return 0;
    struct delta_domain *d = ARENA_NEW(&at->arena, struct delta_domain);
    d->domain = STR("delta.rowTracking");
    d->configuration = str_of(arena_printf(&at->arena, "{\"rowIdHighWaterMark\":%lld}", (long long)mark));
    delta_actions_add(&at->actions, &at->arena, (struct delta_action){.kind = DELTA_DOMAIN, .domain = d});
    return 0;
}

static bool names_path(const struct delta_tx *tx, struct str path)
{
    for (size_t i = 0; i < tx->actions.n; i++)
        if (tx->actions.v[i].kind == DELTA_ADD && str_eq(tx->actions.v[i].file->path, path))
            return true;
    return map_get(&tx->removed, path) != NULL;
}

/* Row tracking is switched on: the files that have no ids yet are named once more, so that they get some. */
static void backfill_row_ids(struct delta_tx *tx, struct attempt *at, const struct delta_snapshot *base)
{
    const struct delta_file *f;
    size_t cursor = 0;

    while ((f = delta_snapshot_next(base, &cursor))) {
        if (f->base_row_id >= 0 || names_path(tx, f->path))
            continue;
        struct delta_file *copy = ARENA_NEW(&at->arena, struct delta_file);
        *copy = *f;
        if (f->packed)
            copy->stats = arena_str(&at->arena, delta_stats_read(&tx->stats, f));
        copy->packed = NULL;
        copy->data_change = false;
        delta_actions_add(&at->actions, &at->arena, (struct delta_action){.kind = DELTA_ADD, .file = copy});
    }
}

static bool needs(const struct delta_head *head, const char *feature, const char *meta_prefix)
{
    if (!delta_protocol_has(head->protocol, feature))
        return false;
    for (uint32_t i = 0; meta_prefix && i < head->schema->n_fields; i++)
        for (uint32_t k = 0; k < head->schema->fields[i].n_meta; k++)
            if (str_has_prefix(head->schema->fields[i].meta[k].key, str_of(meta_prefix)))
                return true;
    return !meta_prefix;
}

static bool has_constraints(const struct delta_head *head)
{
    const struct delta_metadata *m = head->metadata;

    for (uint32_t i = 0; i < m->n_configuration; i++)
        if (str_has_prefix(m->configuration[i].key, STR("delta.constraints.")))
            return true;
    return needs(head, "invariants", "delta.invariants");
}

int delta_tx_check_removable(const struct delta_tx *tx, const struct delta_head *head, struct err *err)
{
    if (head->append_only)
        return err_set(err, ERR_REFUSED, "%s is append-only (delta.appendOnly): nothing may be removed from it",
                       tx->table->store->name);
    return 0;
}

/* The table's rules for new rows that only the writer of the rows can keep. */
static int check_handled(const struct delta_tx *tx, const struct delta_head *head, struct err *err)
{
    bool adds = false, removes = false;

    for (size_t i = 0; i < tx->actions.n; i++) {
        adds |= tx->actions.v[i].kind == DELTA_ADD && tx->actions.v[i].file->data_change;
        removes |= tx->actions.v[i].kind == DELTA_REMOVE && tx->actions.v[i].file->data_change;
    }
    if (removes)
        TRY(delta_tx_check_removable(tx, head, err));
    const struct {
        unsigned flag;
        bool needed;
        const char *what;
    } rules[] = {
        {DELTA_HANDLES_CONSTRAINTS, adds && has_constraints(head), "constraints"},
        {DELTA_HANDLES_GENERATED, adds && needs(head, "generatedColumns", "delta.generationExpression"),
         "generated columns"},
        {DELTA_HANDLES_IDENTITY, adds && needs(head, "identityColumns", "delta.identity."), "identity columns"},
        {DELTA_HANDLES_DEFAULTS, adds && needs(head, "allowColumnDefaults", "CURRENT_DEFAULT"), "column defaults"},
        {DELTA_HANDLES_CDF, adds && removes && head->cdf, "a change data feed"},
        {DELTA_HANDLES_PARTITION_COLUMNS,
         adds && head->metadata->n_partition_columns && needs(head, "materializePartitionColumns", NULL),
         "materializePartitionColumns"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (rules[i].needed && !(tx->handles & rules[i].flag))
            return err_set(err, ERR_UNSUPPORTED, "%s has %s, which %.*s does not keep", tx->table->store->name,
                           rules[i].what, STR_ARG(tx->operation));
    return 0;
}

static void head_unrefp(struct delta_head **h)
{
    delta_head_unref(*h);
}

static int attempt_make(struct delta_tx *tx, const struct delta_snapshot *base, struct attempt *at, struct err *err)
{
    CLEANUP(head_unrefp) struct delta_head *head = NULL;
    struct delta_actions head_actions;

    at->now_ms = clock_now_us() / 1000;
    TRY(add_head(tx, at, base, &head, err));
    TRY(check_handled(tx, head, err));
    head_actions = at->actions;
    at->actions = (struct delta_actions){0};
    add_commit_info(tx, at, base, head); /* first: readers of in-commit timestamps rely on it */
    for (size_t i = 0; i < head_actions.n; i++)
        delta_actions_add(&at->actions, &at->arena, head_actions.v[i]);
    for (size_t i = 0; i < tx->actions.n; i++)
        delta_actions_add(&at->actions, &at->arena, tx->actions.v[i]);
    if (head->row_tracking && !base->head->row_tracking)
        backfill_row_ids(tx, at, base);
    if (head->assigns_row_ids)
        TRY(assign_row_ids(at, base, err));
    TRY(delta_actions_check(&at->actions, err));
    for (size_t i = 0; i < at->actions.n; i++)
        delta_action_write(&at->bytes, &at->actions.v[i]);
    return 0;
}

/* ---- the loop ---- */

static const struct delta_commit_info *info_of(const struct delta_actions *a)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->v[i].kind == DELTA_COMMIT_INFO)
            return a->v[i].commit_info;
    return NULL;
}

/* Takes a commit into the table's snapshot; our own or a winner's. */
static int advance(struct delta_table *t, const struct delta_actions *a, struct err *err)
{
    const struct delta_commit_info *info = info_of(a);
    struct delta_snapshot *next = NULL;

    TRY(delta_snapshot_advance(t->snapshot, a, info ? MAX(info->timestamp_ms, 0) : 0, &next, err));
    delta_table_publish(t, next);
    return 0;
}

/* Versions that came to the table after our start by another way than our failed puts. */
static int check_known(struct delta_tx *tx, struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};

    for (int64_t v = tx->read->version + 1; v <= tx->table->snapshot->version; v++) {
        struct delta_actions winner = {0};
        arena_reset(&arena);
        tx->table->n_gets++;
        TRY(delta_commit_read(tx->table->store, v, &arena, &winner, err));
        TRY(delta_conflict_check(tx, &winner, v, err));
    }
    return 0;
}

/* The next version is there: is it ours after all (`ret_ours`)? Else it and those after it are checked and taken in. */
static int absorb_winners(struct delta_tx *tx, bool *ret_ours, struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct delta_table *t = tx->table;

    for (bool any = false;; any = true) {
        struct delta_actions winner = {0};
        int64_t version = t->snapshot->version + 1;
        arena_reset(&arena);
        t->n_gets++;
        int rc = delta_commit_read(t->store, version, &arena, &winner, err);
        if (rc == ERR_NOT_FOUND && any)
            return 0;
        TRY(rc);
        const struct delta_commit_info *info = info_of(&winner);
        *ret_ours = info && str_is(info->txn_id, tx->txn_id);
        rc = *ret_ours ? 0 : delta_conflict_check(tx, &winner, version, err);
        TRY(advance(t, &winner, err));
        if (rc < 0 || *ret_ours)
            return rc;
        t->n_conflicts++;
    }
}

/* The put would make a log that begins in its middle, which nobody could read. */
static int check_log_is_there(struct store *store, int64_t version, struct err *err)
{
    char key[DELTA_KEY];
    bool exists = true;

    int rc = version < 0 ? 0 : store_head(store, delta_commit_key(version, key), NULL, NULL, err);
    if (rc == ERR_NOT_FOUND) /* cleaned away, or all of it? */
        rc = delta_table_exists(store, &exists, err);
    return rc || exists ? rc : err_set(err, ERR_NOT_FOUND, "%s was removed: its log is gone", store->name);
}

static int attempt_put(struct delta_tx *tx, bool *ret_done, struct err *err)
{
    CLEANUP(attempt_deinit) struct attempt at = {0};
    struct delta_table *t = tx->table;
    char key[DELTA_KEY];
    struct err lost;

    TRY(attempt_make(tx, t->snapshot, &at, err));
    TRY(check_log_is_there(t->store, t->snapshot->version, err));
    delta_commit_key(t->snapshot->version + 1, key);
    int rc = store_put_if_absent(t->store, key, buf_str(&at.bytes), err);
    if (rc == 0) {
        *ret_done = true;
        return advance(t, &at.actions, err);
    }
    if (rc == ERR_EXISTS)
        return absorb_winners(tx, ret_done, err);
    if (rc != ERR_NET || absorb_winners(tx, ret_done, &lost) < 0 || !*ret_done)
        return rc; /* the answer was lost, and the commit is not there */
    return 0;
}

static int commit_locked(struct delta_tx *tx, int64_t *ret_version, struct err *err)
{
    bool done = false;

    TRY(check_known(tx, err));
    while (!done)
        TRY(attempt_put(tx, &done, err));
    tx->table->n_commits++;
    if (tx->table->writes_checksums)
        delta_checksum_write(tx->table->store, tx->table->snapshot, str_of(tx->txn_id));
    *ret_version = tx->table->snapshot->version;
    return delta_manifest_follow(tx->table->store, tx->table->snapshot, err);
}

int delta_commit(struct delta_tx *tx, int64_t *ret_version, struct err *err)
{
    pthread_mutex_lock(&tx->table->writer);
    int rc = commit_locked(tx, ret_version, err);
    pthread_mutex_unlock(&tx->table->writer);
    return rc;
}
