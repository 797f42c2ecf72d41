/*
 * Delta log actions: structs → JSON lines, fields in delta-spark's order; and the small things around them: copies, URI
 * paths, the identity of deletion vectors. A field that is absent is not written.
 */
#include "codec/delta_action.h"

#include <assert.h>

static void key(struct buf *out, const char *name)
{
    if (out->n && out->p[out->n - 1] != '{')
        buf_add_char(out, ',');
    buf_printf(out, "\"%s\":", name);
}

static void put_text(struct buf *out, const char *name, struct str s)
{
    key(out, name);
    buf_add_json_str(out, s);
}

static void put_optional(struct buf *out, const char *name, struct str s)
{
    if (s.p)
        put_text(out, name, s);
}

static void put_raw(struct buf *out, const char *name, struct str json)
{
    key(out, name);
    buf_add_str(out, json);
}

static void put_number(struct buf *out, const char *name, int64_t v)
{
    key(out, name);
    buf_printf(out, "%lld", (long long)v);
}

static void put_bool(struct buf *out, const char *name, bool v)
{
    put_raw(out, name, v ? STR("true") : STR("false"));
}

static void put_pairs(struct buf *out, const char *name, const struct delta_kv *kv, uint32_t n)
{
    key(out, name);
    buf_add_char(out, '{');
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            buf_add_char(out, ',');
        buf_add_json_str(out, kv[i].key);
        buf_add_char(out, ':');
        if (kv[i].value.p)
            buf_add_json_str(out, kv[i].value);
        else
            buf_add_cstr(out, "null");
    }
    buf_add_char(out, '}');
}

static void put_texts(struct buf *out, const char *name, const struct str *v, uint32_t n)
{
    key(out, name);
    buf_add_char(out, '[');
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            buf_add_char(out, ',');
        buf_add_json_str(out, v[i]);
    }
    buf_add_char(out, ']');
}

static void put_dv(struct buf *out, const struct delta_dv_desc *dv)
{
    char storage[1] = {dv->storage};

    put_raw(out, "deletionVector", STR("{"));
    put_text(out, "storageType", str_make(storage, 1));
    put_text(out, "pathOrInlineDv", dv->path_or_inline);
    if (dv->offset >= 0)
        put_number(out, "offset", dv->offset);
    put_number(out, "sizeInBytes", dv->size);
    put_number(out, "cardinality", dv->cardinality);
    buf_add_char(out, '}');
}

static void write_file(struct buf *out, const struct delta_file *f, enum delta_kind kind)
{
    bool remove = kind == DELTA_REMOVE;

    if (f->raw_path.n) {
        put_text(out, "path", f->raw_path);
    } else {
        CLEANUP(buf_deinit) struct buf uri = {0};
        delta_path_encode(f->path, &uri);
        put_text(out, "path", buf_str(&uri));
    }
    if (remove) {
        if (f->time_ms)
            put_number(out, "deletionTimestamp", f->time_ms);
        put_bool(out, "dataChange", f->data_change);
        if (f->extended)
            put_bool(out, "extendedFileMetadata", true);
    }
    if (!remove || f->extended) {
        put_pairs(out, "partitionValues", f->parts, f->n_parts);
        put_number(out, "size", f->size);
    }
    if (kind == DELTA_ADD)
        put_number(out, "modificationTime", f->time_ms);
    if (!remove)
        put_bool(out, "dataChange", f->data_change);
    assert(!f->packed);
    if (f->stats.n)
        put_text(out, "stats", f->stats);
    if (f->extra && f->extra->tags.n)
        put_raw(out, "tags", f->extra->tags);
    if (f->dv)
        put_dv(out, f->dv);
    if (f->base_row_id >= 0)
        put_number(out, "baseRowId", f->base_row_id);
    if (f->row_commit_version >= 0)
        put_number(out, "defaultRowCommitVersion", f->row_commit_version);
    if (kind == DELTA_ADD && f->extra && f->extra->clustering_provider.n)
        put_text(out, "clusteringProvider", f->extra->clustering_provider);
}

static void write_metadata(struct buf *out, const struct delta_metadata *m)
{
    put_text(out, "id", m->id);
    put_optional(out, "name", m->name);
    put_optional(out, "description", m->description);
    put_raw(out, "format", STR("{"));
    put_text(out, "provider", m->format_provider.n ? m->format_provider : STR("parquet"));
    put_pairs(out, "options", m->format_options, m->n_format_options);
    buf_add_char(out, '}');
    put_text(out, "schemaString", m->schema_json);
    put_texts(out, "partitionColumns", m->partition_columns, m->n_partition_columns);
    put_pairs(out, "configuration", m->configuration, m->n_configuration);
    if (m->created_ms >= 0)
        put_number(out, "createdTime", m->created_ms);
}

static void write_protocol(struct buf *out, const struct delta_protocol *p)
{
    put_number(out, "minReaderVersion", p->reader);
    put_number(out, "minWriterVersion", p->writer);
    if (p->reader >= 3)
        put_texts(out, "readerFeatures", p->reader_features, p->n_reader_features);
    if (p->writer >= 7)
        put_texts(out, "writerFeatures", p->writer_features, p->n_writer_features);
}

static void write_body(struct buf *out, const struct delta_action *a)
{
    switch (a->kind) {
    case DELTA_ADD:
    case DELTA_REMOVE:
    case DELTA_CDC:
        write_file(out, a->file, a->kind);
        break;
    case DELTA_METADATA:
        write_metadata(out, a->metadata);
        break;
    case DELTA_PROTOCOL:
        write_protocol(out, a->protocol);
        break;
    case DELTA_TXN:
        put_text(out, "appId", a->txn->app_id);
        put_number(out, "version", a->txn->version);
        if (a->txn->updated_ms >= 0)
            put_number(out, "lastUpdated", a->txn->updated_ms);
        break;
    case DELTA_DOMAIN:
        put_text(out, "domain", a->domain->domain);
        put_text(out, "configuration", a->domain->configuration);
        put_bool(out, "removed", a->domain->removed);
        break;
    case DELTA_SIDECAR:
        put_text(out, "path", a->sidecar->path);
        put_number(out, "sizeInBytes", a->sidecar->size);
        put_number(out, "modificationTime", a->sidecar->time_ms);
        break;
    case DELTA_CHECKPOINT_METADATA:
        put_number(out, "version", a->checkpoint_version);
        break;
    case DELTA_COMMIT_INFO:
    case DELTA_UNKNOWN:
        break;
    }
}

void delta_action_write(struct buf *out, const struct delta_action *a)
{
    static const char *const names[] = {[DELTA_METADATA] = "metaData",
                                        [DELTA_PROTOCOL] = "protocol",
                                        [DELTA_ADD] = "add",
                                        [DELTA_REMOVE] = "remove",
                                        [DELTA_CDC] = "cdc",
                                        [DELTA_TXN] = "txn",
                                        [DELTA_COMMIT_INFO] = "commitInfo",
                                        [DELTA_DOMAIN] = "domainMetadata",
                                        [DELTA_SIDECAR] = "sidecar",
                                        [DELTA_CHECKPOINT_METADATA] = "checkpointMetadata"};

    assert(a->kind != DELTA_UNKNOWN && a->kind < ARRAY_LEN(names));
    if (a->kind == DELTA_COMMIT_INFO) {
        buf_printf(out, "{\"commitInfo\":%.*s}\n", STR_ARG(a->commit_info->raw));
        return;
    }
    buf_printf(out, "{\"%s\":{", names[a->kind]);
    write_body(out, a);
    buf_add_cstr(out, "}}\n");
}

static struct delta_kv *kv_copy(const struct delta_kv *kv, uint32_t n, struct arena *arena)
{
    struct delta_kv *copy = n ? ARENA_NEW_N(arena, struct delta_kv, n) : NULL;

    for (uint32_t i = 0; i < n; i++) {
        copy[i].key = arena_str(arena, kv[i].key);
        if (kv[i].value.p)
            copy[i].value = arena_str(arena, kv[i].value);
    }
    return copy;
}

static struct str *texts_copy(const struct str *v, uint32_t n, struct arena *arena)
{
    struct str *copy = n ? ARENA_NEW_N(arena, struct str, n) : NULL;

    for (uint32_t i = 0; i < n; i++)
        copy[i] = arena_str(arena, v[i]);
    return copy;
}

static struct str optional_copy(struct str s, struct arena *arena)
{
    return s.p ? arena_str(arena, s) : s;
}

struct delta_file delta_file_copy(const struct delta_file *f, struct arena *arena)
{
    struct delta_file copy = *f;

    assert(!f->packed);
    copy.path = arena_str(arena, f->path);
    copy.raw_path = f->raw_path.n && !str_eq(f->raw_path, f->path) ? arena_str(arena, f->raw_path)
                    : f->raw_path.n                                ? copy.path
                                                                   : (struct str){0};
    copy.stats = optional_copy(f->stats, arena);
    copy.parts = kv_copy(f->parts, f->n_parts, arena);
    if (f->dv) {
        copy.dv = arena_dup(arena, f->dv, sizeof *f->dv);
        copy.dv->path_or_inline = arena_str(arena, f->dv->path_or_inline);
    }
    if (f->extra) {
        copy.extra = arena_dup(arena, f->extra, sizeof *f->extra);
        copy.extra->tags = optional_copy(f->extra->tags, arena);
        copy.extra->clustering_provider = optional_copy(f->extra->clustering_provider, arena);
    }
    return copy;
}

struct delta_metadata *delta_metadata_copy(const struct delta_metadata *m, struct arena *arena)
{
    struct delta_metadata *copy = arena_dup(arena, m, sizeof *m);

    copy->id = arena_str(arena, m->id);
    copy->name = optional_copy(m->name, arena);
    copy->description = optional_copy(m->description, arena);
    copy->format_provider = arena_str(arena, m->format_provider);
    copy->format_options = kv_copy(m->format_options, m->n_format_options, arena);
    copy->schema_json = arena_str(arena, m->schema_json);
    copy->partition_columns = texts_copy(m->partition_columns, m->n_partition_columns, arena);
    copy->configuration = kv_copy(m->configuration, m->n_configuration, arena);
    return copy;
}

struct delta_protocol *delta_protocol_copy(const struct delta_protocol *p, struct arena *arena)
{
    struct delta_protocol *copy = arena_dup(arena, p, sizeof *p);

    copy->reader_features = texts_copy(p->reader_features, p->n_reader_features, arena);
    copy->writer_features = texts_copy(p->writer_features, p->n_writer_features, arena);
    return copy;
}

struct str delta_kv_get(const struct delta_kv *kv, uint32_t n, struct str name)
{
    for (uint32_t i = 0; i < n; i++)
        if (str_eq(kv[i].key, name))
            return kv[i].value;
    return (struct str){0};
}

void delta_metadata_set(struct delta_metadata *m, struct arena *arena, struct str key, struct str value)
{
    struct delta_kv *kv = ARENA_NEW_N(arena, struct delta_kv, m->n_configuration + 1);
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->n_configuration; i++)
        if (!str_eq(m->configuration[i].key, key))
            kv[n++] = m->configuration[i];
    if (value.p)
        kv[n++] = (struct delta_kv){key, value};
    m->configuration = kv;
    m->n_configuration = n;
}

bool delta_dv_eq(const struct delta_dv_desc *a, const struct delta_dv_desc *b)
{
    if (!a || !b)
        return a == b;
    return a->storage == b->storage && a->offset == b->offset && str_eq(a->path_or_inline, b->path_or_inline);
}

void delta_dv_unique_id(const struct delta_dv_desc *dv, struct buf *out)
{
    if (!dv)
        return;
    buf_add_char(out, dv->storage);
    buf_add_str(out, dv->path_or_inline);
    if (dv->offset >= 0)
        buf_printf(out, "@%d", dv->offset);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int delta_path_decode(struct str raw, struct arena *arena, struct str *ret, struct err *err)
{
    struct str s = raw;

    if (str_has_prefix(s, STR("file:///")))
        s = str_make(s.p + 7, s.n - 7);
    else if (str_has_prefix(s, STR("file:/")) && !str_has_prefix(s, STR("file://")))
        s = str_make(s.p + 5, s.n - 5);
    if (!s.n || !memchr(s.p, '%', s.n)) {
        *ret = s;
        return 0;
    }
    char *out = arena_alloc(arena, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int hi = s.p[i] == '%' && i + 2 < s.n ? hex(s.p[i + 1]) : -1;
        int lo = hi >= 0 ? hex(s.p[i + 2]) : -1;
        if (s.p[i] == '%' && lo < 0)
            return err_set(err, ERR_INPUT, "the path \"%.*s\" has a %% that is no escape", STR_ARG(raw));
        out[n++] = lo >= 0 ? (char)(hi << 4 | lo) : s.p[i];
        i += lo >= 0 ? 2 : 0;
        if (!out[n - 1])
            return err_set(err, ERR_INPUT, "the path \"%.*s\" holds a zero byte", STR_ARG(raw));
    }
    out[n] = 0;
    *ret = str_make(out, n);
    return 0;
}

void delta_path_encode(struct str path, struct buf *out)
{
    static const char plain[] = "-_.!~*'(),;$&+=@/";
    size_t i = 0;

    for (size_t k = 0; k + 2 < path.n && path.p[k] != '/'; k++)
        if (memcmp(path.p + k, "://", 3) == 0)
            i = k + 3; /* a URL's scheme stays */
    buf_add(out, path.p, i);
    for (; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (alnum || (c && strchr(plain, c)))
            buf_add_char(out, (char)c);
        else
            buf_printf(out, "%%%02X", c);
    }
}
