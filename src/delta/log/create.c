/* New tables: version 0 with commitInfo, protocol, metaData, and whatever the first commit brings. */
#include "base/clock.h"
#include "delta/log/checksum.h"
#include "delta/log/clustering.h"
#include "delta/log/log.h"
#include "delta/log/manifest.h"
#include "delta/log/transaction.h"

#define MAX_COLUMN_ID "delta.columnMapping.maxColumnId"

/* Takes out the properties that only say something of the protocol. */
static int take_protocol_properties(struct delta_metadata *m, struct arena *arena, const struct delta_protocol **p,
                                    struct err *err)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->n_configuration; i++) {
        struct delta_kv kv = m->configuration[i];
        int rc = delta_protocol_property(*p, kv.key, kv.value, arena, p, err);
        TRY(rc);
        if (rc == 1)
            m->configuration[n++] = kv;
    }
    m->n_configuration = n;
    return 0;
}

/*
 * Column mapping gives every column an id and a physical name, unless the schema comes with them, or the table that it
 * replaces has them in the same mode. Ids that were given out there are not given out again.
 */
static int map_schema(struct delta_metadata *m, const struct delta_snapshot *replaced, struct schema *schema,
                      struct arena *arena, struct err *err)
{
    enum delta_mapping mapping;
    int64_t max = 0, before = 0;
    int32_t max_id = 0;

    TRY(delta_mapping_mode(m->configuration, m->n_configuration, &mapping, err));
    if (mapping == DELTA_MAPPING_NONE)
        return 0;
    struct str known = delta_kv_get(m->configuration, m->n_configuration, STR(MAX_COLUMN_ID));
    if (str_to_i64(known, &max) && max > 0 && max < INT32_MAX)
        max_id = (int32_t)max;
    if (replaced && str_to_i64(delta_snapshot_property(replaced, STR(MAX_COLUMN_ID)), &before) && before > max_id &&
        before < INT32_MAX)
        max_id = (int32_t)before;
    if (replaced && replaced->head->mapping == mapping)
        delta_schema_keep_ids(schema, replaced->head->schema);
    delta_schema_map(schema, &max_id, true, (uint64_t)clock_now_us());
    delta_metadata_set(m, arena, STR(MAX_COLUMN_ID), str_of(arena_printf(arena, "%d", max_id)));
    return 0;
}

/* The feature stays in the protocol, and by it Spark takes the table for a clustered one: it would not optimize partitions. */
static int check_replaced(const struct delta_create *c, const struct delta_snapshot *replaced, struct err *err)
{
    if (!replaced || !c->n_partition_columns || !delta_protocol_has(replaced->head->protocol, "clustering"))
        return 0;
    err_set(err, ERR_USAGE, "a table that is, or was, clustered is not replaced by a partitioned one");
    return err_hint(err,
                    "first ALTER TABLE … CLUSTER BY NONE and ALTER TABLE … DROP FEATURE clustering; or DROP TABLE");
}

static int make_metadata(const struct delta_create *c, struct delta_draft *d, struct err *err)
{
    CLEANUP(schema_unrefp) struct schema *schema = schema_clone(c->schema);
    CLEANUP(buf_deinit) struct buf json = {0};
    char uuid[DELTA_UUID];
    struct delta_metadata draft = {
        .id = c->id.n ? c->id : str_of(delta_uuid(uuid)),
        .name = c->name,
        .description = c->description,
        .format_provider = STR("parquet"),
        .partition_columns = (struct str *)c->partition_columns,
        .n_partition_columns = c->n_partition_columns,
        .configuration = (struct delta_kv *)c->configuration,
        .n_configuration = c->n_configuration,
        .created_ms = clock_now_us() / 1000,
    };
    struct delta_metadata *m = d->metadata = delta_metadata_copy(&draft, &d->arena);

    TRY(check_replaced(c, d->replaced, err));
    TRY(take_protocol_properties(m, &d->arena, &d->protocol, err));
    TRY(map_schema(m, d->replaced, schema, &d->arena, err));
    delta_name_row_id_columns(m, &d->arena);
    delta_schema_write(schema, &json);
    m->schema_json = arena_str(&d->arena, buf_str(&json));
    TRY(delta_protocol_for(d->protocol, m, schema, &d->arena, &d->protocol, err));
    for (size_t i = 0; c->features && c->features[i]; i++)
        TRY(delta_protocol_with(d->protocol, c->features[i], &d->arena, &d->protocol, err));
    if (!c->n_cluster_by)
        return 0;
    TRY(delta_clustering_protocol(d->protocol, &d->arena, &d->protocol, err));
    return delta_clustering_make(m, schema, c->cluster_by, c->n_cluster_by, &d->arena, &d->clustering, err);
}

void delta_draft_deinit(struct delta_draft *d)
{
    delta_head_unref((struct delta_head *)d->head);
    delta_snapshot_unref(d->replaced);
    arena_deinit(&d->arena);
}

int delta_draft_make(const struct delta_create *c, struct delta_snapshot *replaced, struct delta_draft *ret,
                     struct err *err)
{
    static const struct delta_protocol oldest = {.reader = 1, .writer = 2};
    struct delta_head *head;

    *ret = (struct delta_draft){.protocol = &oldest};
    if (replaced) {
        ret->replaced = delta_snapshot_ref(replaced);
        ret->protocol = replaced->head->protocol;
    }
    TRY(make_metadata(c, ret, err));
    TRY(delta_protocol_check_write(ret->protocol, err));
    TRY(delta_head_new(ret->protocol, ret->metadata, &head, err));
    ret->head = head;
    return 0;
}

/* Such tables were read at version -1, says Spark, and that is no blind append; of others it says no version. */
static bool has_files_of_others(const struct delta_create *c)
{
    return c->operation && (strcmp(c->operation, "CLONE") == 0 || strcmp(c->operation, "CONVERT") == 0);
}

static struct str commit_info(const struct delta_create *c, bool ict, int64_t now_ms, struct arena *arena)
{
    CLEANUP(buf_deinit) struct buf b = {0};
    char uuid[DELTA_UUID];

    buf_add_char(&b, '{');
    if (ict)
        buf_printf(&b, "\"inCommitTimestamp\":%lld,", (long long)now_ms);
    buf_printf(&b, "\"timestamp\":%lld,\"operation\":", (long long)now_ms);
    buf_add_json_str(&b, str_of(c->operation ? c->operation : "CREATE TABLE"));
    buf_printf(&b, ",\"operationParameters\":%.*s", STR_ARG(c->parameters.n ? c->parameters : STR("{}")));
    if (c->metrics.n)
        buf_printf(&b, ",\"operationMetrics\":%.*s", STR_ARG(c->metrics));
    buf_add_cstr(&b, has_files_of_others(c) ? ",\"readVersion\":-1" : "");
    buf_printf(&b, ",\"isolationLevel\":\"Serializable\",\"isBlindAppend\":%s,\"engineInfo\":\"sluice/%s\"",
               has_files_of_others(c) ? "false" : "true", SLUICE_VERSION);
    buf_printf(&b, ",\"txnId\":\"%s\"}", delta_uuid(uuid));
    return arena_str(arena, buf_str(&b));
}

/* Row ids of the first files, and the domain that keeps the highest. */
static int add_files(const struct delta_create *c, bool row_tracking, struct arena *arena, struct delta_actions *a,
                     struct err *err)
{
    int64_t next = 0;

    for (uint32_t i = 0; i < c->n_files; i++) {
        struct delta_file *f = arena_dup(arena, &c->files[i], sizeof *f);
        if (f->num_records < 0 || f->stats.n)
            f->num_records = delta_stats_num_records(f->stats);
        if (row_tracking && f->num_records < 0)
            return err_set(err, ERR_INPUT, "row tracking needs numRecords in the stats of %.*s", STR_ARG(f->path));
        if (row_tracking) {
            f->base_row_id = next;
            f->row_commit_version = 0;
            next += f->num_records;
        }
        delta_actions_add(a, arena, (struct delta_action){.kind = DELTA_ADD, .file = f});
    }
    if (next) {
        struct delta_domain *d = ARENA_NEW(arena, struct delta_domain);
        d->domain = STR("delta.rowTracking");
        d->configuration = str_of(arena_printf(arena, "{\"rowIdHighWaterMark\":%lld}", (long long)next - 1));
        delta_actions_add(a, arena, (struct delta_action){.kind = DELTA_DOMAIN, .domain = d});
    }
    return 0;
}

static void add_domain(const struct delta_draft *d, struct arena *arena, struct delta_actions *a)
{
    struct delta_domain *domain = ARENA_NEW(arena, struct delta_domain);

    if (!d->clustering.n)
        return;
    *domain = (struct delta_domain){STR(DELTA_CLUSTERING), d->clustering, false};
    delta_actions_add(a, arena, (struct delta_action){.kind = DELTA_DOMAIN, .domain = domain});
}

static int make_actions(const struct delta_draft *d, const struct delta_create *c, struct arena *arena, int64_t now_ms,
                        struct delta_actions *a, struct err *err)
{
    struct delta_commit_info *info = ARENA_NEW(arena, struct delta_commit_info);

    info->raw = commit_info(c, d->head->ict, now_ms, arena);
    delta_actions_add(a, arena, (struct delta_action){.kind = DELTA_COMMIT_INFO, .commit_info = info});
    delta_actions_add(
        a, arena, (struct delta_action){.kind = DELTA_PROTOCOL, .protocol = delta_protocol_copy(d->protocol, arena)});
    delta_actions_add(a, arena, (struct delta_action){.kind = DELTA_METADATA, .metadata = d->metadata});
    if (c->txn)
        delta_actions_add(
            a, arena,
            (struct delta_action){.kind = DELTA_TXN, .txn = arena_dup(arena, c->txn, sizeof(struct delta_txn))});
    add_domain(d, arena, a);
    TRY(add_files(c, d->head->assigns_row_ids && !c->row_ids, arena, a, err));
    if (c->row_ids)
        delta_actions_add(a, arena,
                          (struct delta_action){.kind = DELTA_DOMAIN,
                                                .domain = arena_dup(arena, c->row_ids, sizeof(struct delta_domain))});
    return delta_actions_check(a, err);
}

int delta_draft_create(const struct delta_draft *d, struct store *store, struct engine *engine,
                       const struct delta_create *c, struct delta_table **ret, struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(buf_deinit) struct buf bytes = {0};
    struct delta_actions actions = {0};
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = NULL;
    struct delta_replay r;
    int64_t now_ms = clock_now_us() / 1000;
    char key[DELTA_KEY];

    TRY(make_actions(d, c, &arena, now_ms, &actions, err));
    for (size_t i = 0; i < actions.n; i++)
        delta_action_write(&bytes, &actions.v[i]);
    TRY(store_put_if_absent(store, delta_commit_key(0, key), buf_str(&bytes), err));
    delta_replay_init(&r, store, engine);
    int rc = delta_replay_json(&r, buf_str(&bytes), 0, err); /* as every reader will see it */
    if (rc == 0)
        rc = delta_replay_finish(&r, 0, now_ms, &s, err);
    delta_replay_deinit(&r);
    TRY(rc);
    delta_checksum_write(store, s, (struct str){0});
    TRY(delta_manifest_follow(store, s, err));
    *ret = delta_table_new(store, engine, delta_snapshot_ref(s), -1);
    return 0;
}

int delta_draft_replace(const struct delta_draft *d, struct delta_table *t, const struct delta_create *c,
                        int64_t *ret_version, struct err *err)
{
    CLEANUP(delta_tx_freep) struct delta_tx *tx = delta_tx_new(t, c->operation);
    struct str old = delta_snapshot_domain(d->replaced, STR(DELTA_CLUSTERING));
    const struct delta_file *f;
    size_t cursor = 0;

    delta_snapshot_unref(tx->read);
    tx->read = delta_snapshot_ref(d->replaced);
    tx->handles = DELTA_HANDLES_CONSTRAINTS | DELTA_HANDLES_GENERATED | DELTA_HANDLES_IDENTITY |
                  DELTA_HANDLES_DEFAULTS | DELTA_HANDLES_CDF;
    tx->read_whole_table = true;
    delta_tx_set_metadata(tx, d->metadata);
    if (d->protocol != d->replaced->head->protocol)
        delta_tx_set_protocol(tx, d->protocol);
    delta_tx_set_parameters(tx, c->parameters);
    delta_tx_set_metrics(tx, c->metrics);
    while ((f = delta_snapshot_next(tx->read, &cursor)))
        delta_tx_remove_file(tx, f, true);
    for (uint32_t i = 0; i < c->n_files; i++)
        delta_tx_add_file(tx, &c->files[i]);
    if (d->clustering.n || old.n)
        delta_tx_set_domain(tx, STR(DELTA_CLUSTERING), d->clustering.n ? d->clustering : old, !d->clustering.n);
    return delta_commit(tx, ret_version, err);
}

int delta_table_create(struct store *store, struct engine *engine, const struct delta_create *c,
                       struct delta_table **ret, struct err *err)
{
    CLEANUP(delta_draft_deinit) struct delta_draft d = {0};
    bool exists;

    TRY(delta_table_exists(store, &exists, err));
    if (exists)
        return err_set(err, ERR_EXISTS, "there is a table at %s already", store->name);
    int rc = delta_draft_make(c, NULL, &d, err);
    if (rc == 0)
        rc = delta_draft_create(&d, store, engine, c, ret, err);
    return rc < 0 ? err_wrap(err, "%s", store->name) : 0;
}
