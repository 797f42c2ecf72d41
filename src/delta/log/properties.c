/* Table properties that begin with delta.: which there are, and what values they take (asked of Spark, one by one). */
#include "delta/log/snapshot.h"
#include "delta/log/uuid.h"

enum kind {
    ANY, /* or checked by those who read it */
    SWITCH,
    POSITIVE,
    COLUMNS,
    INTERVAL,
    ISOLATION,
    POLICY,
    OF_TABLE, /* is not for users to set */
};

static const struct property {
    const char *name;
    enum kind kind;
} properties[] = {
    {"delta.appendOnly", SWITCH},
    {"delta.autoOptimize", SWITCH},
    {"delta.autoOptimize.autoCompact", SWITCH},
    {"delta.autoOptimize.optimizeWrite", SWITCH},
    {"delta.castIcebergTimeType", SWITCH},
    {"delta.checkpoint.partSize", POSITIVE},
    {"delta.checkpoint.writeStatsAsJson", SWITCH},
    {"delta.checkpoint.writeStatsAsStruct", SWITCH},
    {"delta.checkpointInterval", POSITIVE},
    {"delta.checkpointPolicy", POLICY},
    {"delta.checkpointV2.topLevelFileFormat", ANY},
    {"delta.columnMapping.maxColumnId", OF_TABLE},
    {"delta.columnMapping.mode", ANY},
    {"delta.compatibility.symlinkFormatManifest.enabled", SWITCH},
    {"delta.dataSkippingNumIndexedCols", COLUMNS},
    {"delta.dataSkippingStatsColumns", ANY},
    {"delta.deletedFileRetentionDuration", INTERVAL},
    {"delta.dropFeatureTruncateHistory.retentionDuration", INTERVAL},
    {"delta.enableChangeDataFeed", SWITCH},
    {"delta.enableDeletionVectors", SWITCH},
    {"delta.enableExpiredLogCleanup", SWITCH},
    {"delta.enableFullRetentionRollback", SWITCH},
    {"delta.enableIcebergCompatV1", SWITCH},
    {"delta.enableIcebergCompatV2", SWITCH},
    {"delta.enableIcebergCompatV3", SWITCH},
    {"delta.enableInCommitTimestamps", SWITCH},
    {"delta.enableRowTracking", SWITCH},
    {"delta.enableTypeWidening", SWITCH},
    {"delta.enableVariantShredding", SWITCH},
    {"delta.ignoreProtocolDefaults", SWITCH},
    {"delta.inCommitTimestampEnablementTimestamp", ANY},
    {"delta.inCommitTimestampEnablementVersion", ANY},
    {"delta.isolationLevel", ISOLATION},
    {"delta.logRetentionDuration", INTERVAL},
    {"delta.minReaderVersion", ANY},
    {"delta.minWriterVersion", ANY},
    {"delta.parquet.format.version", ANY},
    {"delta.randomPrefixLength", POSITIVE},
    {"delta.randomizeFilePrefixes", SWITCH},
    {"delta.requireCheckpointProtectionBeforeVersion", ANY},
    {"delta.rowTracking.materializedRowCommitVersionColumnName", OF_TABLE},
    {"delta.rowTracking.materializedRowIdColumnName", OF_TABLE},
    {"delta.rowTrackingSuspended", SWITCH},
    {"delta.sampleRetentionDuration", INTERVAL},
    {"delta.setTransactionRetentionDuration", INTERVAL},
    {"delta.targetFileSize", ANY},
    {"delta.tuneFileSizesForRewrites", SWITCH},
    {"clusteringColumns", OF_TABLE},
};

static const char *const prefixes[] = {"delta.feature.", "delta.constraints.", "delta.universalFormat.",
                                       "delta.coordinatedCommits."};

static bool begins(struct str key, const char *prefix)
{
    size_t n = strlen(prefix);

    return key.n >= n && str_eq_nocase(str_make(key.p, n), str_make(prefix, n));
}

static const struct property *find(struct str key)
{
    for (size_t i = 0; i < ARRAY_LEN(properties); i++)
        if (str_eq_nocase(key, str_of(properties[i].name)))
            return &properties[i];
    return NULL;
}

static int check_value(const struct property *p, struct str value, struct err *err)
{
    int64_t n = 0;
    bool number = str_to_i64(str_trim(value), &n), ok = true;
    const char *want = "";

    switch (p->kind) {
    case OF_TABLE:
        return err_set(err, ERR_USAGE, "the property %s is kept by the table itself: it cannot be set", p->name);
    case SWITCH:
        ok = str_eq_nocase(value, STR("true")) || str_eq_nocase(value, STR("false"));
        want = "true or false";
        break;
    case POSITIVE:
        ok = number && n > 0 && n <= INT32_MAX;
        want = "a positive number";
        break;
    case COLUMNS:
        ok = number && n >= -1 && n <= INT32_MAX;
        want = "a number of columns, or -1 for all";
        break;
    case INTERVAL:
        ok = delta_interval_ms(value) >= 0;
        want = "an interval, like interval 7 days";
        break;
    case ISOLATION:
        ok = str_eq_nocase(value, STR("Serializable")) || str_eq_nocase(value, STR("WriteSerializable"));
        want = "Serializable or WriteSerializable";
        break;
    case POLICY:
        ok = str_eq_nocase(value, STR("classic")) || str_eq_nocase(value, STR("v2"));
        want = "classic or v2";
        break;
    case ANY:
        break;
    }
    return ok ? 0 : err_set(err, ERR_USAGE, "the property %s is %s, not %.*s", p->name, want, STR_ARG(value));
}

int delta_property_check(struct delta_kv *kv, struct err *err)
{
    static const char *const reserved[] = {"location", "provider", "owner", "external"};
    const struct property *p = find(kv->key);

    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (begins(kv->key, prefixes[i]))
            return 0;
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (str_eq_nocase(kv->key, str_of(reserved[i])))
            return err_set(err, ERR_USAGE, "\"%s\" is no property that can be set", reserved[i]);
    if (p) {
        TRY(check_value(p, kv->value, err));
        kv->key = str_of(p->name);
    } else if (begins(kv->key, "delta.")) {
        err_set(err, ERR_USAGE, "there is no table property %.*s", STR_ARG(kv->key));
        return err_hint(err,
                        "Delta has the names that begin with delta. to itself: properties of your own go without it");
    }
    return 0;
}

int delta_properties_check(const struct delta_kv *kv, uint32_t n, struct err *err)
{
    struct str log = delta_kv_get(kv, n, STR("delta.logRetentionDuration"));
    struct str files = delta_kv_get(kv, n, STR("delta.deletedFileRetentionDuration"));

    if (delta_interval_ms(log.p ? log : STR("interval 30 days")) >=
        delta_interval_ms(files.p ? files : STR("interval 7 days")))
        return 0;
    err_set(err, ERR_USAGE,
            "delta.logRetentionDuration (%.*s) cannot be less than delta.deletedFileRetentionDuration (%.*s)",
            STR_ARG(log.p ? log : STR("30 days by default")), STR_ARG(files.p ? files : STR("7 days by default")));
    return err_hint(err, "set both in one statement");
}

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
            delta_metadata_set(m, arena, str_of(names[i][0]),
                               str_of(arena_printf(arena, "%s%s", names[i][1], delta_uuid(uuid))));
}
