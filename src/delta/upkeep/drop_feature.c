/* DROP FEATURE: first the table's files and properties, then its protocol. */
#include "delta/upkeep/drop_feature.h"

#include "base/mem.h"
#include "codec/delta_schema.h"
#include "delta/ddl/alter_internal.h"
#include "delta/log/checkpoint.h"
#include "delta/log/clustering.h"
#include "delta/log/log.h"
#include "delta/upkeep/optimize.h"
#include "delta/ddl/unmap.h"

#define PROTECTION "checkpointProtection"
#define PROTECTED_BEFORE "delta.requireCheckpointProtectionBeforeVersion"
enum { DAY_MS = 86400000 };

/* What stands in the way, or NULL. */
typedef const char *in_use_fn(const struct delta_snapshot *s);

struct droppable {
    const char *feature;
    const char *properties[4]; /* go with it */
    const char *becomes;       /* the value that the first of them has instead, where it is set */
    in_use_fn *in_use;
    bool rewrite_masked, rewrite_all; /* files, before */
    bool drop_type_changes;           /* in the schema */
    bool unmap;                       /* files, too: columns get their own names */
    bool untrack;                     /* files lose the ids of their rows */
    const char *domain;               /* goes with it; "": all */
};

static bool any_field(const struct field *fields, uint32_t n, enum type_id type, const char *meta)
{
    for (uint32_t i = 0; i < n; i++)
        if ((!meta && fields[i].type.id == type) || (meta && field_meta_get(&fields[i], str_of(meta)).n) ||
            any_field(fields[i].type.children, fields[i].type.n_children, type, meta))
            return true;
    return false;
}

static const char *uses_constraints(const struct delta_snapshot *s)
{
    const struct delta_metadata *m = s->head->metadata;

    for (uint32_t i = 0; i < m->n_configuration; i++)
        if (str_has_prefix(m->configuration[i].key, STR("delta.constraints.")))
            return "it has CHECK constraints: ALTER TABLE … DROP CONSTRAINT first";
    return NULL;
}

static const char *uses_defaults(const struct delta_snapshot *s)
{
    return any_field(s->head->schema->fields, s->head->schema->n_fields, TYPE_VOID, "CURRENT_DEFAULT")
               ? "columns have defaults: ALTER COLUMN … DROP DEFAULT first"
               : NULL;
}

static const char *uses_ntz(const struct delta_snapshot *s)
{
    return any_field(s->head->schema->fields, s->head->schema->n_fields, TYPE_TIMESTAMP_NTZ, NULL)
               ? "it has columns of the type timestamp_ntz"
               : NULL;
}

static const char *is_clustered(const struct delta_snapshot *s)
{
    struct str json = delta_snapshot_domain(s, STR(DELTA_CLUSTERING));

    return json.n && !memmem(json.p, json.n, "\"clusteringColumns\":[]", 22)
               ? "it is clustered: ALTER TABLE … CLUSTER BY NONE first"
               : NULL;
}

static const char *needs_domains(const struct delta_snapshot *s)
{
    static const char *const features[] = {"rowTracking", "clustering"};

    for (size_t i = 0; i < ARRAY_LEN(features); i++)
        if (delta_protocol_has(s->head->protocol, features[i]))
            return "rowTracking or clustering needs it: drop that first";
    return NULL;
}

static const struct droppable droppables[] = {
    {.feature = "deletionVectors", .properties = {"delta.enableDeletionVectors"}, .rewrite_masked = true},
    {.feature = "typeWidening",
     .properties = {"delta.enableTypeWidening"},
     .rewrite_all = true,
     .drop_type_changes = true},
    {.feature = "typeWidening-preview",
     .properties = {"delta.enableTypeWidening"},
     .rewrite_all = true,
     .drop_type_changes = true},
    {.feature = "v2Checkpoint", .properties = {"delta.checkpointPolicy"}, .becomes = "classic"},
    {.feature = "vacuumProtocolCheck"},
    {.feature = "inCommitTimestamp",
     .properties = {"delta.enableInCommitTimestamps", "delta.inCommitTimestampEnablementVersion",
                    "delta.inCommitTimestampEnablementTimestamp"}},
    {.feature = "checkConstraints", .in_use = uses_constraints},
    {.feature = "allowColumnDefaults", .in_use = uses_defaults},
    {.feature = "timestampNtz", .in_use = uses_ntz},
    {.feature = "clustering", .in_use = is_clustered, .domain = DELTA_CLUSTERING},
    {.feature = "domainMetadata", .in_use = needs_domains, .domain = ""},
    {.feature = "columnMapping",
     .properties = {"delta.columnMapping.mode", "delta.columnMapping.maxColumnId"},
     .unmap = true},
    {.feature = "rowTracking",
     .properties = {"delta.enableRowTracking", "delta.rowTrackingSuspended",
                    "delta.rowTracking.materializedRowIdColumnName",
                    "delta.rowTracking.materializedRowCommitVersionColumnName"},
     .untrack = true,
     .domain = "delta.rowTracking"},
    {.feature = "materializePartitionColumns"},
    {.feature = PROTECTION, .properties = {PROTECTED_BEFORE}},
};

static int find(const struct delta_table *t, const struct delta_snapshot *s, struct str name,
                const struct droppable **ret, struct err *err)
{
    *ret = NULL;
    for (size_t i = 0; i < ARRAY_LEN(droppables); i++)
        if (str_eq_nocase(name, str_of(droppables[i].feature)))
            *ret = &droppables[i];
    CLEANUP(mem_freep) char *text = mem_strndup(name.p, name.n);
    if (!delta_protocol_has(s->head->protocol, *ret ? (*ret)->feature : text))
        return err_set(err, ERR_USAGE, "%s does not have the feature \"%s\"", t->store->name, text);
    if (!*ret)
        return err_set(err, ERR_UNSUPPORTED, "the feature \"%s\" cannot be dropped", text);
    const char *why = (*ret)->in_use ? (*ret)->in_use(s) : NULL;
    return why ? err_set(err, ERR_USAGE, "the feature \"%s\" cannot be dropped from %s: %s", text, t->store->name, why)
               : 0;
}

/* No file gets ids any more, and those that have some are named once more, without. */
static int untrack(struct delta_table *t, struct err *err)
{
    const struct delta_kv off[] = {{STR("delta.enableRowTracking"), STR("false")},
                                   {STR("delta.rowTrackingSuspended"), STR("true")}};
    const struct delta_file *f;
    size_t cursor = 0;
    int64_t version;

    TRY(delta_set_properties(t, off, ARRAY_LEN(off), err));
    CLEANUP(delta_tx_freep) struct delta_tx *tx = delta_tx_new(t, "ROW TRACKING UNBACKFILL");
    tx->read_whole_table = true;
    while ((f = delta_snapshot_next(tx->read, &cursor))) {
        struct delta_file bare = *f;
        bare.base_row_id = bare.row_commit_version = -1;
        bare.data_change = false;
        if (f->base_row_id >= 0)
            delta_tx_add_file(tx, &bare);
    }
    delta_tx_set_parameters(tx, STR("{\"batchId\":\"0\"}"));
    return tx->actions.n ? delta_commit(tx, &version, err) : 0;
}

/* No new traces from here on, then none of the old ones in the files that live. */
static int clear_files(struct delta_table *t, struct engine_conn *conn, const struct droppable *d, struct err *err)
{
    struct delta_optimize o = {.purge = true, .all = d->rewrite_all};
    struct delta_optimized done;
    struct str key = str_of(d->properties[0]);

    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = delta_table_snapshot(t);
    if (d->untrack)
        return untrack(t, err);
    if (d->unmap)
        return s->head->mapping == DELTA_MAPPING_NONE ? 0 : delta_remove_mapping(t, conn, err);
    if (!d->rewrite_masked && !d->rewrite_all)
        return 0;
    if (delta_snapshot_property_is_true(s, key))
        TRY(delta_unset_properties(t, &key, 1, err));
    return delta_optimize(t, conn, &o, &done, err);
}

static void drop_type_changes(struct arena *arena, struct field *fields, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        field_meta_set(&fields[i], arena, STR("delta.typeChanges"), (struct str){0});
        drop_type_changes(arena, fields[i].type.children, fields[i].type.n_children);
    }
}

/* The commit that takes the feature out of the protocol. */
static int commit(struct delta_table *t, const struct droppable *d, bool truncate, bool protect, struct err *err)
{
    CLEANUP(alter_deinit) struct alter a = {0};
    const struct delta_protocol *p;

    TRY(alter_begin(&a, t, "DROP FEATURE", err));
    struct arena *arena = &a.tx->arena;
    a.tx->read_whole_table = true; /* a trace that another writer leaves meanwhile */
    for (size_t i = 0; i < ARRAY_LEN(d->properties) && d->properties[i]; i++)
        if (!d->becomes)
            alter_property(&a, str_of(d->properties[i]), (struct str){0});
        else if (delta_kv_get(a.m->configuration, a.m->n_configuration, str_of(d->properties[i])).n)
            alter_property(&a, str_of(d->properties[i]), str_of(d->becomes)); /* as Spark leaves it */
    if (d->drop_type_changes)
        drop_type_changes(&a.next->arena, a.next->fields, a.next->n_fields);
    const struct delta_ids *ids = a.tx->read->ids;
    for (uint32_t i = 0; d->domain && i < ids->n_domains; i++)
        if (!d->domain[0] || str_is(ids->domains[i].domain, d->domain))
            delta_tx_set_domain(a.tx, ids->domains[i].domain, ids->domains[i].configuration, true);
    p = delta_protocol_without(a.tx->read->head->protocol, d->feature, arena);
    if (protect) {
        TRY(delta_protocol_with(p, PROTECTION, arena, &p, err));
        alter_property(&a, STR(PROTECTED_BEFORE),
                       str_of(arena_printf(arena, "%lld", (long long)a.tx->read->version + 1)));
    }
    delta_tx_set_protocol(a.tx, p);
    alter_param(&a, "featureName", str_of(d->feature));
    buf_printf(&a.parameters, ",\"truncateHistory\":%s", truncate ? "true" : "false");
    return alter_commit(&a, err);
}

/* Does the version need the feature to be read? */
static bool needs(const struct delta_snapshot *s, const struct droppable *d)
{
    if (d->rewrite_masked && s->n_dvs)
        return true;
    if (d->drop_type_changes &&
        any_field(s->head->schema->fields, s->head->schema->n_fields, TYPE_VOID, "delta.typeChanges"))
        return true;
    if (d->unmap)
        return s->head->mapping != DELTA_MAPPING_NONE;
    return d->properties[0] && delta_snapshot_property_is_true(s, str_of(d->properties[0]));
}

static bool action_needs(const struct delta_action *a, const struct droppable *d)
{
    if (a->kind == DELTA_ADD)
        return d->rewrite_masked && a->file->dv;
    if (a->kind != DELTA_METADATA)
        return false;
    const struct delta_metadata *m = a->metadata;
    struct str value = d->properties[0] ? delta_kv_get(m->configuration, m->n_configuration, str_of(d->properties[0]))
                                        : (struct str){0};
    if (d->unmap ? value.n && !str_is(value, "none") : str_eq_nocase(value, STR("true")))
        return true;
    const char *changes = "\"delta.typeChanges\"";
    return d->drop_type_changes && memmem(m->schema_json.p, m->schema_json.n, changes, strlen(changes));
}

/* The first of the commits that needs it; DELTA_NO_VERSION: none does. */
static int find_needing(struct delta_table *t, const struct delta_log *log, int64_t before, const struct droppable *d,
                        int64_t *ret, struct err *err)
{
    *ret = DELTA_NO_VERSION;
    for (size_t i = 0; i < log->n_commits && log->commits[i].version < before && *ret == DELTA_NO_VERSION; i++) {
        CLEANUP(arena_deinit) struct arena arena = {0};
        struct delta_actions actions = {0};
        TRY(delta_commit_read(t->store, log->commits[i].version, &arena, &actions, err));
        for (size_t k = 0; k < actions.n; k++)
            if (action_needs(&actions.v[k], d))
                *ret = log->commits[i].version;
    }
    return 0;
}

/* Deletes the older versions that may need the feature, as far as they are old enough, and looks whether any is left. */
static int truncate_history(struct delta_table *t, const struct droppable *d, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *now = delta_table_snapshot(t), *oldest = NULL;
    CLEANUP(delta_log_deinit) struct delta_log log = {0};
    int64_t keep_ms =
        delta_interval_ms(delta_snapshot_property(now, STR("delta.dropFeatureTruncateHistory.retentionDuration")));
    int64_t saved = t->log_retention_ms;
    uint64_t deleted;

    t->log_retention_ms = keep_ms >= 0 ? keep_ms : DAY_MS;
    int rc = delta_log_clean(t, &deleted, err);
    t->log_retention_ms = saved;
    TRY(rc);
    TRY(delta_log_list(t->store, 0, &log, err));
    int64_t first = log.n_commits ? log.commits[0].version : now->version;
    TRY(delta_snapshot_open(t->store, t->engine, first, &oldest, err));
    if (first == now->version)
        return 0;
    if (!needs(oldest, d)) { /* it may have come later */
        TRY(find_needing(t, &log, now->version, d, &first, err));
        if (first == DELTA_NO_VERSION)
            return 0;
    }
    err_set(err, ERR_REFUSED, "version %lld, which is still in the log of %s, needs the feature \"%s\"",
            (long long)first, t->store->name, d->feature);
    return err_hint(err,
                    "run the statement again when that version is older than "
                    "delta.dropFeatureTruncateHistory.retentionDuration (24 hours), or leave TRUNCATE HISTORY out");
}

/* The versions that checkpointProtection keeps together must be gone before it can be. */
static int check_unprotected(struct delta_table *t, const struct delta_snapshot *s, struct err *err)
{
    CLEANUP(delta_log_deinit) struct delta_log log = {0};
    int64_t before = 0;

    TRY(delta_log_list(t->store, 0, &log, err));
    if (!str_to_i64(delta_snapshot_property(s, STR(PROTECTED_BEFORE)), &before) || !log.n_commits ||
        log.commits[0].version >= before)
        return 0;
    return err_set(err, ERR_REFUSED, "%s still has versions before %lld, which \"" PROTECTION "\" protects",
                   t->store->name, (long long)before);
}

int delta_drop_feature(struct delta_table *t, struct engine_conn *conn, struct str feature, bool truncate,
                       struct err *err)
{
    const struct droppable *d;
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = NULL;

    TRY(delta_table_refresh(t, err));
    s = delta_table_snapshot(t);
    TRY(find(t, s, feature, &d, err));
    bool readers = delta_feature_is_for_readers(d->feature);
    if (strcmp(d->feature, PROTECTION) == 0)
        TRY(check_unprotected(t, s, err));
    else if (truncate && !readers)
        return err_set(err, ERR_USAGE, "TRUNCATE HISTORY is for features that readers must know: \"%s\" is not",
                       d->feature);
    TRY(clear_files(t, conn, d, err));
    if (readers)
        TRY(delta_checkpoint_write(t, err)); /* readers without the feature start there */
    if (truncate && readers)
        TRY(truncate_history(t, d, err));
    TRY(commit(t, d, truncate, readers && !truncate, err));
    return readers ? delta_checkpoint_write(t, err) : 0;
}
