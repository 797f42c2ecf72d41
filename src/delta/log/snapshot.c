/* Snapshots and their shared parts: the head (protocol, metadata, schema) and the ids (transactions, domains). */
#include "delta/log/snapshot.h"

#include "base/mem.h"

#include <assert.h>

enum { DAY_MS = 86400000 };

static struct str property(const struct delta_head *h, const char *key)
{
    return delta_kv_get(h->metadata->configuration, h->metadata->n_configuration, str_of(key));
}

static bool is_on(const struct delta_head *h, const char *key)
{
    return str_eq_nocase(property(h, key), STR("true"));
}

static int64_t duration(const struct delta_head *h, const char *key, int64_t absent)
{
    int64_t ms = delta_interval_ms(property(h, key));

    return ms < 0 ? absent : ms;
}

static int head_init(struct delta_head *h, struct err *err)
{
    const struct delta_metadata *m = h->metadata;
    const struct delta_protocol *p = h->protocol;
    int64_t interval = 0;

    TRY(delta_protocol_check_read(p, err));
    if (!str_is(m->format_provider, "parquet"))
        return err_set(err, ERR_UNSUPPORTED, "the table's files are in the format \"%.*s\", and not Parquet",
                       STR_ARG(m->format_provider));
    TRY(delta_mapping_mode(m->configuration, m->n_configuration, &h->mapping, err));
    bool lax = p->writer >= 5 && p->writer < 7; /* with reader version 1: mapped to Spark */
    if (!delta_protocol_has(p, "columnMapping") && !lax)
        h->mapping = DELTA_MAPPING_NONE;
    TRY(delta_schema_parse(m->schema_json, &h->schema, err));
    if (h->mapping == DELTA_MAPPING_NONE)
        delta_schema_unmap(h->schema);
    for (uint32_t i = 0; i < m->n_partition_columns; i++)
        if (schema_find(h->schema, m->partition_columns[i]) < 0)
            return err_set(err, ERR_INPUT, "the partition column \"%.*s\" is not in the schema",
                           STR_ARG(m->partition_columns[i]));
    h->row_tracking = delta_protocol_has(p, "rowTracking") && is_on(h, "delta.enableRowTracking");
    h->assigns_row_ids = delta_protocol_has(p, "rowTracking") && !is_on(h, "delta.rowTrackingSuspended");
    h->ict = (delta_protocol_has(p, "inCommitTimestamp") || delta_protocol_has(p, "inCommitTimestamp-preview")) &&
             (is_on(h, "delta.enableInCommitTimestamps") || is_on(h, "delta.enableInCommitTimestamps-preview"));
    h->dv = delta_protocol_has(p, "deletionVectors") && is_on(h, "delta.enableDeletionVectors");
    h->cdf = delta_protocol_has(p, "changeDataFeed") && is_on(h, "delta.enableChangeDataFeed");
    h->append_only = delta_protocol_has(p, "appendOnly") && is_on(h, "delta.appendOnly");
    h->checkpoint_interval = 10;
    if (str_to_i64(property(h, "delta.checkpointInterval"), &interval) && interval > 0 && interval <= INT32_MAX)
        h->checkpoint_interval = (int32_t)interval;
    h->log_retention_ms = duration(h, "delta.logRetentionDuration", 30ll * DAY_MS);
    h->deleted_file_retention_ms = duration(h, "delta.deletedFileRetentionDuration", 7ll * DAY_MS);
    h->txn_retention_ms = duration(h, "delta.setTransactionRetentionDuration", -1);
    return 0;
}

int delta_head_new(const struct delta_protocol *p, const struct delta_metadata *m, struct delta_head **ret,
                   struct err *err)
{
    struct delta_head *h = MEM_NEW(struct delta_head);

    h->refs = 1;
    h->protocol = delta_protocol_copy(p, &h->arena);
    h->metadata = delta_metadata_copy(m, &h->arena);
    int rc = head_init(h, err);
    if (rc < 0) {
        delta_head_unref(h);
        return rc;
    }
    *ret = h;
    return 0;
}

struct delta_head *delta_head_ref(const struct delta_head *h)
{
    struct delta_head *shared = (struct delta_head *)h;

    atomic_fetch_add(&shared->refs, 1);
    return shared;
}

void delta_head_unref(struct delta_head *h)
{
    if (!h || atomic_fetch_sub(&h->refs, 1) > 1)
        return;
    schema_unref(h->schema);
    arena_deinit(&h->arena);
    mem_free(h);
}

struct delta_ids *delta_ids_new(const struct delta_ids *old, uint32_t more_txns, uint32_t more_domains)
{
    struct delta_ids *ids = MEM_NEW(struct delta_ids);

    ids->refs = 1;
    ids->txns = ARENA_NEW_N(&ids->arena, struct delta_txn, (old ? old->n_txns : 0) + more_txns);
    ids->domains = ARENA_NEW_N(&ids->arena, struct delta_domain, (old ? old->n_domains : 0) + more_domains);
    for (uint32_t i = 0; old && i < old->n_txns; i++) {
        ids->txns[i] = old->txns[i];
        ids->txns[i].app_id = arena_str(&ids->arena, old->txns[i].app_id);
        ids->n_txns++;
    }
    for (uint32_t i = 0; old && i < old->n_domains; i++) {
        const struct delta_domain *d = &old->domains[i];
        ids->domains[i] =
            (struct delta_domain){arena_str(&ids->arena, d->domain), arena_str(&ids->arena, d->configuration), false};
        ids->n_domains++;
    }
    return ids;
}

void delta_ids_set_txn(struct delta_ids *ids, const struct delta_txn *t)
{
    uint32_t i = 0;

    while (i < ids->n_txns && !str_eq(ids->txns[i].app_id, t->app_id))
        i++;
    struct str app_id = i < ids->n_txns ? ids->txns[i].app_id : arena_str(&ids->arena, t->app_id);
    ids->txns[i] = (struct delta_txn){app_id, t->version, t->updated_ms};
    ids->n_txns += i == ids->n_txns;
}

void delta_ids_set_domain(struct delta_ids *ids, const struct delta_domain *d)
{
    uint32_t i = 0;

    while (i < ids->n_domains && !str_eq(ids->domains[i].domain, d->domain))
        i++;
    if (d->removed) {
        if (i < ids->n_domains)
            ids->domains[i] = ids->domains[--ids->n_domains];
        return;
    }
    ids->domains[i] =
        (struct delta_domain){arena_str(&ids->arena, d->domain), arena_str(&ids->arena, d->configuration), false};
    ids->n_domains += i == ids->n_domains;
}

struct delta_ids *delta_ids_ref(const struct delta_ids *ids)
{
    struct delta_ids *shared = (struct delta_ids *)ids;

    atomic_fetch_add(&shared->refs, 1);
    return shared;
}

static void ids_unref(struct delta_ids *ids)
{
    if (!ids || atomic_fetch_sub(&ids->refs, 1) > 1)
        return;
    arena_deinit(&ids->arena);
    mem_free(ids);
}

struct delta_snapshot *delta_snapshot_ref(const struct delta_snapshot *s)
{
    struct delta_snapshot *shared = (struct delta_snapshot *)s;

    atomic_fetch_add(&shared->refs, 1);
    return shared;
}

void delta_snapshot_unref(struct delta_snapshot *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    delta_head_unref((struct delta_head *)s->head);
    ids_unref((struct delta_ids *)s->ids);
    delta_files_unref(s->files);
    mem_free(s);
}

bool delta_snapshot_txn(const struct delta_snapshot *s, struct str app_id, int64_t *ret_version)
{
    *ret_version = -1;
    for (uint32_t i = 0; i < s->ids->n_txns; i++)
        if (str_eq(s->ids->txns[i].app_id, app_id)) {
            *ret_version = s->ids->txns[i].version;
            return true;
        }
    return false;
}

struct str delta_snapshot_domain(const struct delta_snapshot *s, struct str domain)
{
    for (uint32_t i = 0; i < s->ids->n_domains; i++)
        if (str_eq(s->ids->domains[i].domain, domain))
            return s->ids->domains[i].configuration;
    return (struct str){0};
}

struct str delta_snapshot_property(const struct delta_snapshot *s, struct str key)
{
    return delta_kv_get(s->head->metadata->configuration, s->head->metadata->n_configuration, key);
}

bool delta_snapshot_property_is_true(const struct delta_snapshot *s, struct str key)
{
    return str_eq_nocase(delta_snapshot_property(s, key), STR("true"));
}
