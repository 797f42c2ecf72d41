/*
 * Table features: which a protocol lists or implies, which we can read and write, and how a protocol is raised.
 *
 * Protocols before (3,7) imply features by their version numbers: `reader` and `writer` below are the legacy versions
 * from which on a feature is implied, 0 where it is only ever listed.
 */
#include "delta/log/snapshot.h"

#include "delta/log/manifest.h"

#include <assert.h>

enum { READS = 1, WRITES = 2, BOTH = 3 };

static const struct feature {
    const char *name;
    bool for_readers; /* readers must know it too */
    int8_t reader, writer;
    unsigned known; /* what we can do with it */
} features[] = {
    {"appendOnly", false, 0, 2, BOTH},
    {"invariants", false, 0, 2, BOTH},
    {"checkConstraints", false, 0, 3, BOTH},
    {"changeDataFeed", false, 0, 4, BOTH},
    {"generatedColumns", false, 0, 4, BOTH},
    {"columnMapping", true, 2, 5, BOTH},
    {"identityColumns", false, 0, 6, BOTH},
    {"deletionVectors", true, 0, 0, BOTH},
    {"timestampNtz", true, 0, 0, BOTH},
    {"timestampWithoutTimezone", true, 0, 0, BOTH}, /* an old name of timestampNtz */
    {"v2Checkpoint", true, 0, 0, BOTH},
    {"vacuumProtocolCheck", true, 0, 0, BOTH},
    {"typeWidening", true, 0, 0, BOTH},
    {"typeWidening-preview", true, 0, 0, BOTH},
    {"variantType", true, 0, 0, BOTH},
    {"variantType-preview", true, 0, 0, BOTH},
    {"variantShredding", true, 0, 0, BOTH},
    {"variantShredding-preview", true, 0, 0, BOTH},
    {"geospatial", true, 0, 0, READS}, /* such columns are TYPE_OTHER: the others can be read */
    {"geospatial-dev", true, 0, 0, READS},
    {"domainMetadata", false, 0, 0, BOTH},
    {"rowTracking", false, 0, 0, BOTH},
    {"clustering", false, 0, 0, BOTH},
    {"inCommitTimestamp", false, 0, 0, BOTH},
    {"inCommitTimestamp-preview", false, 0, 0, BOTH},
    {"allowColumnDefaults", false, 0, 0, BOTH},
    {"checkpointProtection", false, 0, 0, BOTH},
    {"materializePartitionColumns", false, 0, 0, BOTH},
};

static const struct feature *find_feature(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(features); i++)
        if (str_is(name, features[i].name))
            return &features[i];
    return NULL;
}

static bool lists(const struct str *v, uint32_t n, struct str name)
{
    for (uint32_t i = 0; i < n; i++)
        if (str_eq(v[i], name))
            return true;
    return false;
}

/* A feature of readers needs both versions: (1,5) has no column mapping, and (2,5) has. */
static bool implies(const struct delta_protocol *p, const struct feature *f)
{
    return f->writer && p->writer < 7 && p->writer >= f->writer && p->reader >= f->reader;
}

bool delta_protocol_has(const struct delta_protocol *p, const char *feature)
{
    const struct feature *f = find_feature(str_of(feature));

    if (lists(p->writer_features, p->n_writer_features, str_of(feature)) ||
        lists(p->reader_features, p->n_reader_features, str_of(feature)))
        return true;
    return f && implies(p, f);
}

uint32_t delta_protocol_implied(const struct delta_protocol *p, struct str *ret, uint32_t max)
{
    uint32_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(features) && n < max; i++)
        if (implies(p, &features[i]))
            ret[n++] = str_of(features[i].name);
    return n;
}

static int refuse(const char *who, struct str name, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "the table needs the %s feature \"%.*s\", which is not supported", who,
                   STR_ARG(name));
}

int delta_protocol_check_read(const struct delta_protocol *p, struct err *err)
{
    if (p->reader > 3)
        return err_set(err, ERR_UNSUPPORTED, "the table needs protocol reader version %d, and 3 is the newest known",
                       p->reader);
    for (uint32_t i = 0; p->reader == 3 && i < p->n_reader_features; i++) {
        const struct feature *f = find_feature(p->reader_features[i]);
        if (!f || !(f->known & READS))
            return refuse("reader", p->reader_features[i], err);
    }
    return 0;
}

int delta_protocol_check_write(const struct delta_protocol *p, struct err *err)
{
    TRY(delta_protocol_check_read(p, err));
    if (p->writer > 7)
        return err_set(err, ERR_UNSUPPORTED, "the table needs protocol writer version %d, and 7 is the newest known",
                       p->writer);
    for (uint32_t i = 0; p->writer == 7 && i < p->n_writer_features; i++) {
        const struct feature *f = find_feature(p->writer_features[i]);
        if (!f || !(f->known & WRITES))
            return refuse("writer", p->writer_features[i], err);
    }
    return 0;
}

/* Lists of features that grow in an arena. */
static void add_name(struct str **v, uint32_t *n, struct str name, struct arena *arena)
{
    if (lists(*v, *n, name))
        return;
    struct str *copy = ARENA_NEW_N(arena, struct str, *n + 1);
    if (*n)
        memcpy(copy, *v, *n * sizeof *copy);
    copy[(*n)++] = arena_str(arena, name);
    *v = copy;
}

/*
 * The protocol with its features, and one more (or NULL), listed by name; for readers, too, or where they are already. Column
 * mapping alone is no reason for a list of readers' features: their version 2 stands for it, and more readers know that.
 */
static struct delta_protocol *spell_out(const struct delta_protocol *p, const struct feature *add, bool readers,
                                        struct arena *arena)
{
    struct delta_protocol *up = delta_protocol_copy(p, arena);

    for (size_t i = 0; i < ARRAY_LEN(features); i++) {
        const struct feature *f = &features[i];
        bool needed = f == add || delta_protocol_has(p, f->name);
        if (needed)
            add_name(&up->writer_features, &up->n_writer_features, str_of(f->name), arena);
        if (needed && f->for_readers && (readers || p->reader == 3))
            add_name(&up->reader_features, &up->n_reader_features, str_of(f->name), arena);
    }
    up->writer = 7;
    if (readers)
        up->reader = 3;
    else if (add)
        up->reader = MAX(up->reader, add->reader);
    return up;
}

int delta_protocol_with(const struct delta_protocol *p, const char *feature, struct arena *arena,
                        const struct delta_protocol **ret, struct err *err)
{
    const struct feature *add = find_feature(str_of(feature));

    if (!add)
        return refuse("writer", str_of(feature), err);
    *ret = delta_protocol_has(p, feature) ? p : spell_out(p, add, add->for_readers && !add->reader, arena);
    return 0;
}

static const struct delta_protocol *with_reader(const struct delta_protocol *p, int64_t version, struct arena *arena)
{
    if (version <= p->reader)
        return p;
    if (version == 3)
        return spell_out(p, NULL, true, arena);
    struct delta_protocol *up = delta_protocol_copy(p, arena);
    up->reader = (int32_t)version;
    return up;
}

static int with_writer(const struct delta_protocol *p, int64_t version, struct arena *arena,
                       const struct delta_protocol **ret, struct err *err)
{
    *ret = p;
    for (size_t i = 0; p->writer == 7 && version < 7 && i < ARRAY_LEN(features); i++) /* what it would imply */
        if (features[i].writer && features[i].writer <= version && !features[i].for_readers)
            TRY(delta_protocol_with(*ret, features[i].name, arena, ret, err));
    if (version <= p->writer)
        return 0;
    struct delta_protocol *up = version == 7 ? spell_out(p, NULL, false, arena) : delta_protocol_copy(p, arena);
    up->writer = (int32_t)version;
    *ret = up;
    return 0;
}

int delta_protocol_property(const struct delta_protocol *p, struct str key, struct str value, struct arena *arena,
                            const struct delta_protocol **ret, struct err *err)
{
    struct str prefix = STR("delta.feature.");
    bool reader = str_eq_nocase(key, STR("delta.minReaderVersion"));
    int64_t version;

    if (str_has_prefix(key, prefix)) {
        if (!str_is(value, "supported") && !str_is(value, "enabled"))
            return err_set(err, ERR_USAGE, "the property %.*s can only be \"supported\"", STR_ARG(key));
        return delta_protocol_with(p, arena_strdup(arena, str_make(key.p + prefix.n, key.n - prefix.n)), arena, ret,
                                   err);
    }
    if (!reader && !str_eq_nocase(key, STR("delta.minWriterVersion")))
        return 1;
    if (!str_to_i64(value, &version) || version < 1 || version > (reader ? 3 : 7))
        return err_set(err, ERR_USAGE, "%.*s is a number from 1 to %d, not %.*s", STR_ARG(key), reader ? 3 : 7,
                       STR_ARG(value));
    if (!reader)
        return with_writer(p, version, arena, ret, err);
    *ret = with_reader(p, version, arena);
    return 0;
}

bool delta_feature_is_for_readers(const char *feature)
{
    const struct feature *f = find_feature(str_of(feature));

    return f && f->for_readers;
}

/* The legacy writer version that implies just these features, or 0. */
static int32_t legacy_writer(const struct delta_protocol *p)
{
    for (int32_t version = 2; version < 7; version++) {
        uint32_t implied = 0;
        bool all = true;
        for (size_t i = 0; i < ARRAY_LEN(features); i++) {
            if (!features[i].writer || features[i].writer > version)
                continue;
            implied++;
            all &= lists(p->writer_features, p->n_writer_features, str_of(features[i].name));
        }
        if (all && implied == p->n_writer_features)
            return version;
    }
    return 0;
}

const struct delta_protocol *delta_protocol_without(const struct delta_protocol *p, const char *feature,
                                                    struct arena *arena)
{
    struct delta_protocol *down = ARENA_NEW(arena, struct delta_protocol);
    bool mapping = delta_protocol_has(p, "columnMapping") && strcmp(feature, "columnMapping") != 0;

    for (size_t i = 0; i < ARRAY_LEN(features); i++)
        if (delta_protocol_has(p, features[i].name) && strcmp(features[i].name, feature) != 0)
            add_name(&down->writer_features, &down->n_writer_features, str_of(features[i].name), arena);
    for (uint32_t i = 0; i < down->n_writer_features; i++)
        if (delta_feature_is_for_readers(arena_strdup(arena, down->writer_features[i])))
            add_name(&down->reader_features, &down->n_reader_features, down->writer_features[i], arena);
    down->writer = 7;
    down->reader = 3;
    if (down->n_reader_features == (uint32_t)mapping) { /* reader versions 1 and 2 say as much */
        down->reader = mapping ? 2 : 1;
        down->n_reader_features = 0;
        int32_t legacy = legacy_writer(down);
        if (legacy) {
            down->writer = legacy;
            down->n_writer_features = 0;
        }
    }
    return down;
}

static bool is_true(const struct delta_metadata *m, const char *key)
{
    return str_eq_nocase(delta_kv_get(m->configuration, m->n_configuration, str_of(key)), STR("true"));
}

static bool any_field_has(const struct field *f, uint32_t n, struct str meta_prefix)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < f[i].n_meta; k++)
            if (str_has_prefix(f[i].meta[k].key, meta_prefix))
                return true;
        if (any_field_has(f[i].type.children, f[i].type.n_children, meta_prefix))
            return true;
    }
    return false;
}

static bool any_constraint(const struct delta_metadata *m)
{
    for (uint32_t i = 0; i < m->n_configuration; i++)
        if (str_has_prefix(m->configuration[i].key, STR("delta.constraints.")))
            return true;
    return false;
}

int delta_protocol_for(const struct delta_protocol *p, const struct delta_metadata *m, const struct schema *schema,
                       struct arena *arena, const struct delta_protocol **ret, struct err *err)
{
    const struct delta_kv *conf = m->configuration;
    enum delta_mapping mapping;

    TRY(delta_mapping_mode(conf, m->n_configuration, &mapping, err));
    if (is_true(m, DELTA_MANIFEST_PROPERTY) && (is_true(m, "delta.enableDeletionVectors") || mapping))
        return err_set(err, ERR_UNSUPPORTED,
                       DELTA_MANIFEST_PROPERTY
                       " is not for tables with deletion vectors or column mapping: manifests cannot tell of them");
    const struct {
        bool needed;
        const char *feature;
    } needs[] = {
        {is_true(m, "delta.appendOnly"), "appendOnly"},
        {is_true(m, "delta.enableChangeDataFeed"), "changeDataFeed"},
        {is_true(m, "delta.enableDeletionVectors"), "deletionVectors"},
        {is_true(m, "delta.enableRowTracking"), "rowTracking"},
        {is_true(m, "delta.enableRowTracking"), "domainMetadata"},
        {is_true(m, "delta.enableInCommitTimestamps"), "inCommitTimestamp"},
        {is_true(m, "delta.enableTypeWidening"), "typeWidening"},
        {mapping != DELTA_MAPPING_NONE, "columnMapping"},
        {str_is(delta_kv_get(conf, m->n_configuration, STR("delta.checkpointPolicy")), "v2"), "v2Checkpoint"},
        {any_constraint(m), "checkConstraints"},
        {delta_schema_find_type(schema, TYPE_TIMESTAMP_NTZ), "timestampNtz"},
        {delta_schema_find_type(schema, TYPE_VARIANT), "variantType"},
        {any_field_has(schema->fields, schema->n_fields, STR("delta.generationExpression")), "generatedColumns"},
        {any_field_has(schema->fields, schema->n_fields, STR("delta.invariants")), "invariants"},
        {any_field_has(schema->fields, schema->n_fields, STR("delta.identity.")), "identityColumns"},
        {any_field_has(schema->fields, schema->n_fields, STR("CURRENT_DEFAULT")), "allowColumnDefaults"},
    };
    for (size_t i = 0; i < ARRAY_LEN(needs); i++)
        if (needs[i].needed)
            TRY(delta_protocol_with(p, needs[i].feature, arena, &p, err));
    *ret = p;
    return 0;
}

int64_t delta_interval_ms(struct str text)
{
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {{"microsecond", 1},     {"millisecond", 1000},  {"second", 1000000},        {"minute", 60000000ll},
                 {"hour", 3600000000ll}, {"day", 86400000000ll}, {"week", 7 * 86400000000ll}};
    struct str rest = str_trim(text);
    int64_t total = 0, n = 0;
    bool have_n = false, any = false;

    if (rest.n >= 8 && str_eq_nocase(str_make(rest.p, 8), STR("interval")))
        rest = str_trim(str_make(rest.p + 8, rest.n - 8));
    while (rest.p && rest.n) {
        struct str word = str_split(&rest, ' ');
        if (!word.n)
            continue;
        if (!have_n) {
            if (!str_to_i64(word, &n))
                return -1;
            have_n = true;
            continue;
        }
        if (word.n > 1 && (word.p[word.n - 1] | 0x20) == 's')
            word.n--;
        int64_t us = 0;
        for (size_t i = 0; i < ARRAY_LEN(units); i++)
            if (str_eq_nocase(word, str_of(units[i].name)))
                us = units[i].us;
        if (!us || __builtin_mul_overflow(n, us, &us) || __builtin_add_overflow(total, us, &total))
            return -1;
        have_n = false;
        any = true;
    }
    return any && !have_n && total >= 0 ? total / 1000 : -1;
}
