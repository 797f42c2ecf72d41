/*
 * Delta log actions: JSON lines → structs (the way back is delta_action_write.c).
 *
 *   {"protocol":{"minReaderVersion":1,"minWriterVersion":2}}\n
 *   {"add":{"path":"p%3D1/f.parquet","partitionValues":{"p":"1"},"size":9,"modificationTime":1,"dataChange":true,
 *           "stats":"{\"numRecords\":3}"}}\n
 *
 * A line is one JSON object, and its first known key is the action. Fields are taken out by `struct parse`, which keeps the
 * first failure, so that an action is a list of fields and one check. Stats stay text: they are JSON in a JSON string, and
 * only the row count is needed here.
 */
#include "codec/delta_action.h"

#include "base/map.h"
#include "base/mem.h"

#include <assert.h>
#include <yyjson.h>

/* Lines up to this size are parsed in memory kept between lines. */
enum { SCRATCH_LINE = 64 << 10 };

struct parse {
    struct arena *arena;
    struct err *err;
    const char *what; /* the action, for messages */
    yyjson_val *obj;
    int rc;
};

static void wrong_type(struct parse *p, const char *key, const char *want)
{
    if (!p->rc)
        p->rc = err_set(p->err, ERR_INPUT, "%s.%s is not %s", p->what, key, want);
}

/* The field, or NULL when it is absent, null, or something failed before. */
static yyjson_val *field(struct parse *p, const char *key)
{
    yyjson_val *v = p->rc ? NULL : yyjson_obj_get(p->obj, key);

    return v && !yyjson_is_null(v) ? v : NULL;
}

static struct str val_str(struct parse *p, yyjson_val *v)
{
    return arena_str(p->arena, str_make(yyjson_get_str(v), yyjson_get_len(v)));
}

static struct str text(struct parse *p, const char *key)
{
    yyjson_val *v = field(p, key);

    if (v && !yyjson_is_str(v))
        wrong_type(p, key, "a string");
    return v && yyjson_is_str(v) ? val_str(p, v) : (struct str){0};
}

static struct str text_required(struct parse *p, const char *key)
{
    struct str s = text(p, key);

    if (!p->rc && !s.p)
        p->rc = err_set(p->err, ERR_INPUT, "%s has no %s", p->what, key);
    return s;
}

static int64_t number(struct parse *p, const char *key, int64_t absent)
{
    yyjson_val *v = field(p, key);

    if (!v)
        return absent;
    if (yyjson_is_sint(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) <= INT64_MAX))
        return yyjson_get_sint(v);
    if (yyjson_is_real(v) && yyjson_get_real(v) >= -9e15 && yyjson_get_real(v) <= 9e15)
        return (int64_t)yyjson_get_real(v);
    wrong_type(p, key, "a whole number");
    return absent;
}

static int32_t number32(struct parse *p, const char *key, int32_t absent)
{
    int64_t v = number(p, key, absent);

    if (v < INT32_MIN || v > INT32_MAX)
        wrong_type(p, key, "a 32-bit number");
    return (int32_t)v;
}

static bool boolean(struct parse *p, const char *key, bool absent)
{
    yyjson_val *v = field(p, key);

    if (v && !yyjson_is_bool(v))
        wrong_type(p, key, "true or false");
    return v ? yyjson_get_bool(v) : absent;
}

static struct str raw_json(struct arena *arena, yyjson_val *v)
{
    size_t n = 0;
    char *s = yyjson_val_write(v, YYJSON_WRITE_ALLOW_INF_AND_NAN, &n);
    struct str copy = arena_str(arena, str_make(s, n));

    free(s);
    return copy;
}

static struct delta_kv *pairs(struct parse *p, const char *key, uint32_t *ret_n)
{
    yyjson_val *obj = field(p, key), *k, *v;
    size_t i, max;

    *ret_n = 0;
    if (!obj)
        return NULL;
    if (!yyjson_is_obj(obj)) {
        wrong_type(p, key, "an object");
        return NULL;
    }
    struct delta_kv *kv = ARENA_NEW_N(p->arena, struct delta_kv, yyjson_obj_size(obj));
    yyjson_obj_foreach(obj, i, max, k, v)
    {
        if (!yyjson_is_str(v) && !yyjson_is_null(v)) {
            wrong_type(p, key, "an object of strings");
            return NULL;
        }
        kv[*ret_n].key = val_str(p, k);
        if (yyjson_is_str(v))
            kv[*ret_n].value = val_str(p, v);
        (*ret_n)++;
    }
    return kv;
}

static struct str *texts(struct parse *p, const char *key, uint32_t *ret_n)
{
    yyjson_val *arr = field(p, key), *v;
    size_t i, max;

    *ret_n = 0;
    if (!arr)
        return NULL;
    if (!yyjson_is_arr(arr)) {
        wrong_type(p, key, "an array");
        return NULL;
    }
    struct str *list = ARENA_NEW_N(p->arena, struct str, yyjson_arr_size(arr));
    yyjson_arr_foreach(arr, i, max, v)
    {
        if (!yyjson_is_str(v)) {
            wrong_type(p, key, "an array of strings");
            return NULL;
        }
        list[(*ret_n)++] = val_str(p, v);
    }
    return list;
}

static struct delta_dv_desc *dv_desc(struct parse *p)
{
    yyjson_val *obj = field(p, "deletionVector");

    if (!obj)
        return NULL;
    if (!yyjson_is_obj(obj)) {
        wrong_type(p, "deletionVector", "an object");
        return NULL;
    }
    struct parse in = {.arena = p->arena, .err = p->err, .what = "deletionVector", .obj = obj};
    struct str storage = text_required(&in, "storageType");
    struct delta_dv_desc *dv = ARENA_NEW(p->arena, struct delta_dv_desc);
    dv->path_or_inline = text_required(&in, "pathOrInlineDv");
    dv->offset = number32(&in, "offset", -1);
    dv->size = number32(&in, "sizeInBytes", -1);
    dv->cardinality = number(&in, "cardinality", -1);
    if (!in.rc && (storage.n != 1 || !strchr("uip", storage.p[0])))
        in.rc = err_set(p->err, ERR_INPUT, "deletionVector.storageType \"%.*s\" is none of u, i, p", STR_ARG(storage));
    if (!in.rc && (dv->offset < -1 || dv->size < 0 || dv->cardinality < 0))
        in.rc = err_set(p->err, ERR_INPUT, "deletionVector has an impossible offset, sizeInBytes or cardinality");
    p->rc = in.rc;
    dv->storage = storage.n ? storage.p[0] : 0;
    return dv;
}

static void file_extra(struct parse *p, struct delta_file *f)
{
    yyjson_val *tags = field(p, "tags");
    struct str provider = text(p, "clusteringProvider");

    if (tags && !yyjson_is_obj(tags))
        wrong_type(p, "tags", "an object");
    if ((!tags || !yyjson_obj_size(tags)) && !provider.p)
        return;
    f->extra = ARENA_NEW(p->arena, struct delta_file_extra);
    f->extra->clustering_provider = provider;
    if (tags)
        f->extra->tags = raw_json(p->arena, tags);
}

static int parse_file(struct parse *p, struct delta_action *a)
{
    struct delta_file *f = a->file = ARENA_NEW(p->arena, struct delta_file);
    bool remove = a->kind == DELTA_REMOVE;

    f->raw_path = text_required(p, "path");
    f->stats = text(p, "stats");
    f->parts = pairs(p, "partitionValues", &f->n_parts);
    f->size = number(p, "size", -1);
    f->time_ms = number(p, remove ? "deletionTimestamp" : "modificationTime", 0);
    f->base_row_id = number(p, "baseRowId", -1);
    f->row_commit_version = number(p, "defaultRowCommitVersion", -1);
    f->data_change = boolean(p, "dataChange", a->kind != DELTA_CDC);
    f->extended = remove && boolean(p, "extendedFileMetadata", false);
    f->dv = dv_desc(p);
    f->num_records = delta_stats_num_records(f->stats);
    file_extra(p, f);
    if (!p->rc && !f->raw_path.n)
        p->rc = err_set(p->err, ERR_INPUT, "%s.path is empty", p->what);
    if (!p->rc && !remove && f->size < 0)
        p->rc = err_set(p->err, ERR_INPUT, "%s has no size", p->what);
    if (!p->rc)
        p->rc = delta_path_decode(f->raw_path, p->arena, &f->path, p->err);
    return p->rc;
}

static int parse_metadata(struct parse *p, struct delta_action *a)
{
    struct delta_metadata *m = a->metadata = ARENA_NEW(p->arena, struct delta_metadata);
    yyjson_val *format = field(p, "format");

    m->id = text_required(p, "id");
    m->name = text(p, "name");
    m->description = text(p, "description");
    m->schema_json = text(p, "schemaString");
    if (!m->schema_json.p) /* delta-spark takes that as a table without columns */
        m->schema_json = STR("{\"type\":\"struct\",\"fields\":[]}");
    m->partition_columns = texts(p, "partitionColumns", &m->n_partition_columns);
    m->configuration = pairs(p, "configuration", &m->n_configuration);
    m->created_ms = number(p, "createdTime", -1);
    m->format_provider = STR("parquet");
    if (format) {
        struct parse in = {.arena = p->arena, .err = p->err, .what = "metaData.format", .obj = format, .rc = p->rc};
        struct str provider = text(&in, "provider");
        if (provider.p)
            m->format_provider = provider;
        m->format_options = pairs(&in, "options", &m->n_format_options);
        p->rc = in.rc;
    }
    return p->rc;
}

static int parse_protocol(struct parse *p, struct delta_action *a)
{
    struct delta_protocol *q = a->protocol = ARENA_NEW(p->arena, struct delta_protocol);

    q->reader = number32(p, "minReaderVersion", 0);
    q->writer = number32(p, "minWriterVersion", 0);
    q->reader_features = texts(p, "readerFeatures", &q->n_reader_features);
    q->writer_features = texts(p, "writerFeatures", &q->n_writer_features);
    if (!p->rc && (q->reader < 1 || q->writer < 1))
        p->rc = err_set(p->err, ERR_INPUT, "protocol has no minReaderVersion or minWriterVersion");
    return p->rc;
}

static int parse_txn(struct parse *p, struct delta_action *a)
{
    a->txn = ARENA_NEW(p->arena, struct delta_txn);
    a->txn->app_id = text_required(p, "appId");
    a->txn->version = number(p, "version", -1);
    a->txn->updated_ms = number(p, "lastUpdated", -1);
    return p->rc;
}

static int parse_domain(struct parse *p, struct delta_action *a)
{
    a->domain = ARENA_NEW(p->arena, struct delta_domain);
    a->domain->domain = text_required(p, "domain");
    a->domain->configuration = text(p, "configuration");
    a->domain->removed = boolean(p, "removed", false);
    return p->rc;
}

static int parse_sidecar(struct parse *p, struct delta_action *a)
{
    a->sidecar = ARENA_NEW(p->arena, struct delta_sidecar);
    struct str raw = text_required(p, "path");
    a->sidecar->size = number(p, "sizeInBytes", -1);
    a->sidecar->time_ms = number(p, "modificationTime", -1);
    return p->rc ? p->rc : delta_path_decode(raw, p->arena, &a->sidecar->path, p->err);
}

static int parse_checkpoint_metadata(struct parse *p, struct delta_action *a)
{
    a->checkpoint_version = number(p, "version", -1);
    return p->rc;
}

/* commitInfo is free form: a field of another type than usual is left out, never an error. */
static struct str info_text(struct parse *p, const char *key)
{
    yyjson_val *v = field(p, key);

    return v && yyjson_is_str(v) ? val_str(p, v) : (struct str){0};
}

static int64_t info_number(struct parse *p, const char *key, int64_t absent)
{
    yyjson_val *v = field(p, key);

    return v && yyjson_is_int(v) ? yyjson_get_sint(v) : absent;
}

static struct str info_object(struct parse *p, const char *key)
{
    yyjson_val *v = field(p, key);

    return v && yyjson_is_obj(v) ? raw_json(p->arena, v) : (struct str){0};
}

static int parse_commit_info(struct parse *p, struct delta_action *a)
{
    struct delta_commit_info *c = a->commit_info = ARENA_NEW(p->arena, struct delta_commit_info);
    yyjson_val *blind = field(p, "isBlindAppend");

    c->raw = raw_json(p->arena, p->obj);
    c->timestamp_ms = info_number(p, "timestamp", -1);
    c->in_commit_timestamp_ms = info_number(p, "inCommitTimestamp", -1);
    c->read_version = info_number(p, "readVersion", DELTA_NO_VERSION);
    c->operation = info_text(p, "operation");
    c->engine_info = info_text(p, "engineInfo");
    c->isolation_level = info_text(p, "isolationLevel");
    c->txn_id = info_text(p, "txnId");
    c->user_name = info_text(p, "userName");
    c->user_metadata = info_text(p, "userMetadata");
    c->parameters = info_object(p, "operationParameters");
    c->metrics = info_object(p, "operationMetrics");
    c->blind_append = blind && yyjson_is_bool(blind) ? yyjson_get_bool(blind) : -1;
    return 0;
}

static const struct {
    const char *key;
    enum delta_kind kind;
    int (*parse)(struct parse *, struct delta_action *);
} known[] = {
    {"add", DELTA_ADD, parse_file},
    {"remove", DELTA_REMOVE, parse_file},
    {"cdc", DELTA_CDC, parse_file},
    {"commitInfo", DELTA_COMMIT_INFO, parse_commit_info},
    {"txn", DELTA_TXN, parse_txn},
    {"metaData", DELTA_METADATA, parse_metadata},
    {"protocol", DELTA_PROTOCOL, parse_protocol},
    {"domainMetadata", DELTA_DOMAIN, parse_domain},
    {"sidecar", DELTA_SIDECAR, parse_sidecar},
    {"checkpointMetadata", DELTA_CHECKPOINT_METADATA, parse_checkpoint_metadata},
};

/* Rows of a checkpoint as JSON have every key, with nulls for what is not the row's action. */
static int parse_line(yyjson_val *root, struct arena *arena, struct delta_action *ret, struct err *err)
{
    if (!yyjson_is_obj(root))
        return err_set(err, ERR_INPUT, "not a JSON object");
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        yyjson_val *v = yyjson_obj_get(root, known[i].key);
        if (!v || yyjson_is_null(v))
            continue;
        if (!yyjson_is_obj(v))
            return err_set(err, ERR_INPUT, "%s is not an object", known[i].key);
        struct parse p = {.arena = arena, .err = err, .what = known[i].key, .obj = v};
        ret->kind = known[i].kind;
        return known[i].parse(&p, ret);
    }
    ret->kind = DELTA_UNKNOWN;
    return 0;
}

void delta_action_reader_init(struct delta_action_reader *r, struct str ndjson)
{
    *r = (struct delta_action_reader){.rest = ndjson.p ? ndjson : STR("")};
}

void delta_action_reader_deinit(struct delta_action_reader *r)
{
    mem_free(r->scratch);
    *r = (struct delta_action_reader){0};
}

static yyjson_doc *read_json(struct delta_action_reader *r, struct str line, yyjson_read_err *ret_err)
{
    yyjson_alc pool;
    size_t need = yyjson_read_max_memory_usage(line.n, 0);

    if (line.n > SCRATCH_LINE) /* cast: without the in-situ flag the parser leaves its input alone */
        return yyjson_read_opts((char *)(uintptr_t)line.p, line.n, 0, NULL, ret_err);
    if (need > r->scratch_n) {
        mem_free(r->scratch);
        r->scratch = mem_realloc(NULL, need);
        r->scratch_n = need;
    }
    yyjson_alc_pool_init(&pool, r->scratch, r->scratch_n);
    return yyjson_read_opts((char *)(uintptr_t)line.p, line.n, 0, &pool, ret_err);
}

int delta_action_next(struct delta_action_reader *r, struct arena *arena, struct delta_action *ret, struct err *err)
{
    while (r->rest.p) {
        struct str line = str_trim(str_split(&r->rest, '\n'));
        yyjson_read_err bad = {0};
        r->line++;
        if (!line.n)
            continue;
        yyjson_doc *doc = read_json(r, line, &bad);
        if (!doc)
            return err_set(err, ERR_INPUT, "line %u: broken JSON at byte %zu: %s", r->line, bad.pos, bad.msg);
        struct delta_action a = {.line = r->line};
        int rc = parse_line(yyjson_doc_get_root(doc), arena, &a, err);
        yyjson_doc_free(doc);
        if (rc)
            return err_wrap(err, "line %u", r->line);
        if (a.kind == DELTA_UNKNOWN)
            continue;
        *ret = a;
        return 0;
    }
    return 1;
}

void delta_actions_add(struct delta_actions *a, struct arena *arena, struct delta_action action)
{
    if (a->n == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 16;
        struct delta_action *v = ARENA_NEW_N(arena, struct delta_action, cap);
        if (a->n)
            memcpy(v, a->v, a->n * sizeof *v);
        a->v = v;
        a->cap = cap;
    }
    a->v[a->n++] = action;
}

int delta_actions_parse(struct str ndjson, struct arena *arena, struct delta_actions *ret, struct err *err)
{
    CLEANUP(delta_action_reader_deinit) struct delta_action_reader r = {0};
    struct delta_actions all = {0};
    struct delta_action a;
    int rc;

    delta_action_reader_init(&r, ndjson);
    while ((rc = delta_action_next(&r, arena, &a, err)) == 0)
        delta_actions_add(&all, arena, a);
    if (rc < 0)
        return rc;
    TRY(delta_actions_check(&all, err));
    *ret = all;
    return 0;
}

static int check_twice(struct map *seen, struct str key, const struct delta_action *a, const char *what,
                       struct err *err)
{
    const struct delta_action *before = map_put(seen, key, (void *)(uintptr_t)a);

    if (!before)
        return 0;
    return err_set(err, ERR_INPUT, "line %u: %s \"%.*s\" was already in line %u of the same commit", a->line, what,
                   STR_ARG(key), before->line);
}

int delta_actions_check(const struct delta_actions *a, struct err *err)
{
    struct map seen[DELTA_CHECKPOINT_METADATA + 1] = {0};
    int rc = 0;

    for (size_t i = 0; i < a->n && !rc; i++) {
        const struct delta_action *x = &a->v[i];
        switch (x->kind) {
        case DELTA_ADD:
            rc = check_twice(&seen[x->kind], x->file->path, x, "add", err);
            break;
        case DELTA_REMOVE:
            rc = check_twice(&seen[x->kind], x->file->path, x, "remove", err);
            break;
        case DELTA_TXN:
            rc = check_twice(&seen[x->kind], x->txn->app_id, x, "txn", err);
            break;
        case DELTA_DOMAIN:
            rc = check_twice(&seen[x->kind], x->domain->domain, x, "domainMetadata", err);
            break;
        case DELTA_METADATA:
            rc = check_twice(&seen[x->kind], STR("metaData"), x, "action", err);
            break;
        case DELTA_PROTOCOL:
            rc = check_twice(&seen[x->kind], STR("protocol"), x, "action", err);
            break;
        default:
            break;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(seen); i++)
        map_deinit(&seen[i]);
    return rc;
}

int64_t delta_stats_num_records(struct str stats)
{
    static const char key[] = "\"numRecords\"";
    int depth = 0;

    for (size_t i = 0; i < stats.n; i++) {
        char c = stats.p[i];
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (c != '"')
            continue;
        size_t start = i++;
        while (i < stats.n && stats.p[i] != '"')
            i += stats.p[i] == '\\' ? 2 : 1;
        if (depth != 1 || i >= stats.n || i + 1 - start != sizeof key - 1 ||
            memcmp(stats.p + start, key, sizeof key - 1) != 0)
            continue;
        for (i++; i < stats.n && (stats.p[i] == ' ' || stats.p[i] == ':');)
            i++;
        size_t digits = i;
        int64_t n;
        while (i < stats.n && stats.p[i] >= '0' && stats.p[i] <= '9')
            i++;
        return i > digits && str_to_i64(str_make(stats.p + digits, i - digits), &n) ? n : -1;
    }
    return -1;
}

struct str delta_stats_widen(struct str stats, int64_t num_records, struct arena *arena)
{
    yyjson_doc *doc = yyjson_read(stats.n ? stats.p : "", stats.n, YYJSON_READ_NUMBER_AS_RAW);
    struct str wide = stats;

    if (!doc || !yyjson_is_obj(yyjson_doc_get_root(doc))) {
        yyjson_doc_free(doc);
        if (num_records < 0)
            return stats;
        return str_of(arena_printf(arena, "{\"numRecords\":%lld,\"tightBounds\":false}", (long long)num_records));
    }
    yyjson_mut_doc *mut = yyjson_doc_mut_copy(doc, NULL);
    yyjson_mut_val *root = yyjson_mut_doc_get_root(mut);
    yyjson_mut_obj_remove_key(root, "tightBounds");
    yyjson_mut_obj_add_bool(mut, root, "tightBounds", false);
    size_t n = 0;
    char *text = yyjson_mut_write(mut, 0, &n);
    if (text)
        wide = arena_str(arena, str_make(text, n));
    free(text);
    yyjson_mut_doc_free(mut);
    yyjson_doc_free(doc);
    return wide;
}
