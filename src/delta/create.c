/* New tables: version 0 with commitInfo, protocol, metaData, and whatever the first commit brings. */
#include "base/clock.h"
#include "delta/log.h"
#include "delta/transaction.h"

/* "delta.feature.X": "supported" asks for a feature and is not itself a property. */
static int take_feature_properties(struct delta_metadata *m, struct arena *arena, const struct delta_protocol **p,
                                   struct err *err)
{
    struct str prefix = STR("delta.feature.");
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->n_configuration; i++) {
        struct str key = m->configuration[i].key;
        if (!str_has_prefix(key, prefix)) {
            m->configuration[n++] = m->configuration[i];
            continue;
        }
        if (!str_is(m->configuration[i].value, "supported") && !str_is(m->configuration[i].value, "enabled"))
            return err_set(err, ERR_USAGE, "the property %.*s can only be \"supported\"", STR_ARG(key));
        TRY(delta_protocol_with(*p, key.p + prefix.n, arena, p, err));
    }
    m->n_configuration = n;
    return 0;
}

static void put_property(struct delta_metadata *m, struct arena *arena, const char *key, struct str value)
{
    struct delta_kv *kv = ARENA_NEW_N(arena, struct delta_kv, m->n_configuration + 1);
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->n_configuration; i++)
        if (!str_is(m->configuration[i].key, key))
            kv[n++] = m->configuration[i];
    kv[n++] = (struct delta_kv){str_of(key), value};
    m->configuration = kv;
    m->n_configuration = n;
}

/* Column mapping gives every column an id and a physical name, unless the schema comes with them. */
static int map_schema(struct delta_metadata *m, struct schema *schema, struct arena *arena, struct err *err)
{
    enum delta_mapping mapping;
    int64_t max = 0;
    int32_t max_id = 0;

    TRY(delta_mapping_mode(m->configuration, m->n_configuration, &mapping, err));
    if (mapping == DELTA_MAPPING_NONE)
        return 0;
    struct str known = delta_kv_get(m->configuration, m->n_configuration, STR("delta.columnMapping.maxColumnId"));
    if (str_to_i64(known, &max) && max > 0 && max < INT32_MAX)
        max_id = (int32_t)max;
    delta_schema_map(schema, &max_id, true, (uint64_t)clock_now_us());
    put_property(m, arena, "delta.columnMapping.maxColumnId", str_of(arena_printf(arena, "%d", max_id)));
    return 0;
}

/* Names of the columns that rewritten files keep their row ids in: the table's for ever. */
void delta_name_row_id_columns(struct delta_metadata *m, struct arena *arena)
{
    static const char *const names[][2] = {
        {"delta.rowTracking.materializedRowIdColumnName", "_row-id-col-"},
        {"delta.rowTracking.materializedRowCommitVersionColumnName", "_row-commit-version-col-"},
    };
    char uuid[DELTA_UUID];

    if (!str_eq_nocase(delta_kv_get(m->configuration, m->n_configuration, STR("delta.enableRowTracking")), STR("true")))
        return;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!delta_kv_get(m->configuration, m->n_configuration, str_of(names[i][0])).n)
            put_property(m, arena, names[i][0], str_of(arena_printf(arena, "%s%s", names[i][1], delta_uuid(uuid))));
}

static int make_metadata(const struct delta_create *c, struct arena *arena, const struct delta_protocol **protocol,
                         struct delta_metadata **ret, struct err *err)
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
    struct delta_metadata *m = delta_metadata_copy(&draft, arena);

    TRY(take_feature_properties(m, arena, protocol, err));
    TRY(map_schema(m, schema, arena, err));
    delta_name_row_id_columns(m, arena);
    delta_schema_write(schema, &json);
    m->schema_json = arena_str(arena, buf_str(&json));
    TRY(delta_protocol_for(*protocol, m, schema, arena, protocol, err));
    for (size_t i = 0; c->features && c->features[i]; i++)
        TRY(delta_protocol_with(*protocol, c->features[i], arena, protocol, err));
    *ret = m;
    return 0;
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
    buf_printf(&b, ",\"isolationLevel\":\"Serializable\",\"isBlindAppend\":true,\"engineInfo\":\"sluice/%s\"",
               SLUICE_VERSION);
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

static void head_unrefp(struct delta_head **h)
{
    delta_head_unref(*h);
}

static int make_actions(const struct delta_create *c, struct arena *arena, int64_t now_ms, struct delta_actions *a,
                        struct err *err)
{
    static const struct delta_protocol oldest = {.reader = 1, .writer = 2};
    CLEANUP(head_unrefp) struct delta_head *head = NULL;
    const struct delta_protocol *protocol = &oldest;
    struct delta_metadata *m = NULL;

    TRY(make_metadata(c, arena, &protocol, &m, err));
    TRY(delta_protocol_check_write(protocol, err));
    TRY(delta_head_new(protocol, m, &head, err));
    struct delta_commit_info *info = ARENA_NEW(arena, struct delta_commit_info);
    info->raw = commit_info(c, head->ict, now_ms, arena);
    delta_actions_add(a, arena, (struct delta_action){.kind = DELTA_COMMIT_INFO, .commit_info = info});
    delta_actions_add(a, arena,
                      (struct delta_action){.kind = DELTA_PROTOCOL, .protocol = delta_protocol_copy(protocol, arena)});
    delta_actions_add(a, arena, (struct delta_action){.kind = DELTA_METADATA, .metadata = m});
    if (c->txn)
        delta_actions_add(
            a, arena,
            (struct delta_action){.kind = DELTA_TXN, .txn = arena_dup(arena, c->txn, sizeof(struct delta_txn))});
    TRY(add_files(c, head->assigns_row_ids, arena, a, err));
    return delta_actions_check(a, err);
}

int delta_table_create(struct store *store, struct engine *engine, const struct delta_create *c,
                       struct delta_table **ret, struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(buf_deinit) struct buf bytes = {0};
    struct delta_actions actions = {0};
    struct delta_snapshot *s = NULL;
    struct delta_replay r;
    int64_t now_ms = clock_now_us() / 1000;
    bool exists;
    char key[DELTA_KEY];

    TRY(delta_table_exists(store, &exists, err));
    if (exists)
        return err_set(err, ERR_EXISTS, "there is a table at %s already", store->name);
    if (make_actions(c, &arena, now_ms, &actions, err) < 0)
        return err_wrap(err, "%s", store->name);
    for (size_t i = 0; i < actions.n; i++)
        delta_action_write(&bytes, &actions.v[i]);
    TRY(store_put_if_absent(store, delta_commit_key(0, key), buf_str(&bytes), err));
    delta_replay_init(&r, store, engine);
    int rc = delta_replay_json(&r, buf_str(&bytes), 0, err); /* as every reader will see it */
    if (rc == 0)
        rc = delta_replay_finish(&r, 0, now_ms, &s, err);
    delta_replay_deinit(&r);
    TRY(rc);
    *ret = delta_table_new(store, engine, s, -1);
    return 0;
}
