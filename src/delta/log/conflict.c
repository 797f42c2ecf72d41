/*
 * The rules by which two concurrent commits clash, those of delta-spark's ConflictChecker, in its order:
 *
 *   1 the winner changed the protocol                                                       always
 *   2 it changed the metadata, other than properties that do not touch what we write        always
 *   3 it set a domain that we set (delta.rowTracking is rebased instead)                    always
 *   4 it set a transaction id that we set                                                   always
 *   5 it added data, and we read the whole table   write-serializable: unless it was a blind append; serializable: always
 *   6 it removed a file that we read, or any when we read the whole table                   but for snapshot isolation
 *   7 it removed a file that we remove                                                      always
 *
 * A statement that knows its rows judges 5 to 7 by rows (tx->added_file, removed_file, rebase_file): then only rows that it
 * would have treated, and rows that both changed, clash; and data that only moved clashes nowhere but in 7.
 */
#include "delta/log/conflict.h"

#include <assert.h>

enum delta_isolation delta_tx_isolation(const struct delta_tx *tx)
{
    struct str property = delta_snapshot_property(tx->read, STR("delta.isolationLevel"));
    bool files = false, data = false;

    for (size_t i = 0; i < tx->actions.n; i++) {
        const struct delta_action *a = &tx->actions.v[i];
        bool file = a->kind == DELTA_ADD || a->kind == DELTA_REMOVE;
        files |= file;
        data |= file && a->file->data_change;
    }
    if (files && !data)
        return DELTA_SNAPSHOT_ISOLATION;
    if (tx->isolation != DELTA_BY_PROPERTY)
        return tx->isolation;
    return str_eq_nocase(property, STR("Serializable")) ? DELTA_SERIALIZABLE : DELTA_WRITE_SERIALIZABLE;
}

static int clash(const struct delta_tx *tx, int64_t version, struct err *err, const char *what)
{
    int rc = err_set(err, ERR_CONFLICT, "%s: version %lld, by another writer, %s", tx->table->store->name,
                     (long long)version, what);

    if (err)
        (void)err_hint(err, "run %.*s again", STR_ARG(tx->operation));
    return rc;
}

static bool kv_is_harmless(struct str key)
{
    static const char *const keys[] = {
        "delta.checkpointInterval",       "delta.logRetentionDuration",     "delta.deletedFileRetentionDuration",
        "delta.checkpointPolicy",         "delta.enableExpiredLogCleanup",  "delta.setTransactionRetentionDuration",
        "delta.targetFileSize",           "delta.tuneFileSizesForRewrites", "delta.dataSkippingNumIndexedCols",
        "delta.dataSkippingStatsColumns",
    };

    if (str_has_prefix(key, STR("delta.autoOptimize")) || str_has_prefix(key, STR("delta.checkpoint.")))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (str_is(key, keys[i]))
            return true;
    return !str_has_prefix(key, STR("delta."));
}

static bool config_is_harmless(const struct delta_metadata *a, const struct delta_metadata *b)
{
    for (uint32_t i = 0; i < a->n_configuration; i++) {
        struct str other = delta_kv_get(b->configuration, b->n_configuration, a->configuration[i].key);
        bool same = other.p && str_eq(other, a->configuration[i].value);
        if (!same && !kv_is_harmless(a->configuration[i].key))
            return false;
    }
    return true;
}

/* Only properties changed that do not bear on our actions, or the comment. */
static bool metadata_is_harmless(const struct delta_metadata *old, const struct delta_metadata *new)
{
    bool same_columns = old->n_partition_columns == new->n_partition_columns;

    for (uint32_t i = 0; same_columns && i < old->n_partition_columns; i++)
        same_columns = str_eq(old->partition_columns[i], new->partition_columns[i]);
    return same_columns && str_eq(old->id, new->id) && str_eq(old->schema_json, new->schema_json) &&
           config_is_harmless(old, new) && config_is_harmless(new, old);
}

static bool sets(const struct delta_tx *tx, const struct delta_action *theirs)
{
    for (size_t i = 0; i < tx->actions.n; i++) {
        const struct delta_action *a = &tx->actions.v[i];
        if (a->kind != theirs->kind)
            continue;
        if (a->kind == DELTA_TXN && str_eq(a->txn->app_id, theirs->txn->app_id))
            return true;
        if (a->kind == DELTA_DOMAIN && str_eq(a->domain->domain, theirs->domain->domain))
            return true;
    }
    return false;
}

static bool is_blind_append(const struct delta_actions *winner)
{
    bool removes = false;
    int8_t says = -1;

    for (size_t i = 0; i < winner->n; i++) {
        removes |= winner->v[i].kind == DELTA_REMOVE;
        if (winner->v[i].kind == DELTA_COMMIT_INFO)
            says = winner->v[i].commit_info->blind_append;
    }
    return says == 1 && !removes;
}

static const struct delta_file *find_file(const struct delta_actions *winner, enum delta_kind kind, struct str path)
{
    for (size_t i = 0; i < winner->n; i++)
        if (winner->v[i].kind == kind && str_eq(winner->v[i].file->path, path))
            return winner->v[i].file;
    return NULL;
}

/* A file that we leave alone. */
static int check_read(struct delta_tx *tx, const struct delta_file *theirs, const struct delta_file *again,
                      int64_t version, struct err *err)
{
    bool named = map_get(&tx->read_files, theirs->path);

    if (delta_tx_isolation(tx) == DELTA_SNAPSHOT_ISOLATION || (!named && !tx->read_whole_table))
        return 0;
    if (tx->removed_file)
        return theirs->data_change ? tx->removed_file(tx, theirs, again, tx->rebase_arg, err) : 0;
    return clash(tx, version, err,
                 named ? "removed a file that this commit has read"
                       : "removed files, and this commit has read the whole table");
}

static int check_remove(struct delta_tx *tx, const struct delta_actions *winner, const struct delta_file *theirs,
                        int64_t version, struct err *err)
{
    const struct delta_file *ours = map_get(&tx->removed, theirs->path);
    const struct delta_file *again = find_file(winner, DELTA_ADD, theirs->path);

    if (!ours)
        return check_read(tx, theirs, again, version, err);
    if (tx->rebase_file)
        return tx->rebase_file(tx, ours, again, tx->rebase_arg, err);
    return clash(tx, version, err, "removed or changed a file that this commit removes or changes");
}

static int check_add(struct delta_tx *tx, const struct delta_actions *winner, const struct delta_file *theirs,
                     int64_t version, struct err *err)
{
    enum delta_isolation isolation = delta_tx_isolation(tx);

    if (!theirs->data_change || !tx->read_whole_table || isolation == DELTA_SNAPSHOT_ISOLATION)
        return 0;
    if (isolation == DELTA_WRITE_SERIALIZABLE && is_blind_append(winner))
        return 0;
    if (tx->removed_file && find_file(winner, DELTA_REMOVE, theirs->path))
        return 0; /* other rows are masked: judged at the remove */
    if (tx->added_file)
        return tx->added_file(tx, theirs, tx->rebase_arg, err);
    return clash(tx, version, err, "added data, and this commit has read the whole table");
}

static int check_action(struct delta_tx *tx, const struct delta_actions *winner, const struct delta_action *a,
                        int64_t version, struct err *err)
{
    switch (a->kind) {
    case DELTA_PROTOCOL:
        return clash(tx, version, err, "changed the table's protocol");
    case DELTA_METADATA:
        if (tx->new_metadata || !metadata_is_harmless(tx->read->head->metadata, a->metadata))
            return clash(tx, version, err, "changed the table's schema or properties");
        return 0;
    case DELTA_DOMAIN:
        if (!str_is(a->domain->domain, "delta.rowTracking") && sets(tx, a))
            return clash(tx, version, err, "set the same domain metadata");
        return 0;
    case DELTA_TXN:
        if (sets(tx, a))
            return clash(tx, version, err, "set the same transaction id: another process writes in our name");
        return 0;
    case DELTA_ADD:
        return check_add(tx, winner, a->file, version, err);
    case DELTA_REMOVE:
        return check_remove(tx, winner, a->file, version, err);
    default:
        return 0;
    }
}

int delta_conflict_check(struct delta_tx *tx, const struct delta_actions *winner, int64_t version, struct err *err)
{
    assert(version > tx->read->version);
    for (size_t i = 0; i < winner->n; i++)
        TRY(check_action(tx, winner, &winner->v[i], version, err));
    return 0;
}
