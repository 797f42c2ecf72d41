/*
 * Writing checkpoints: classic ones, in one file or in several parts (delta.checkpoint.partSize, actions in each), or V2
 * (delta.checkpointPolicy = v2) with sidecars, their top file JSON or Parquet (delta.checkpointV2.topLevelFileFormat). The actions go as flat rows (struct row_columns) through a feed into one SELECT that makes
 * the protocol's structs of them, and COPY writes the file:
 *
 *     kind | text1 | text2 | text3 | n1..n4 | keys[] values[] | dv…   →   txn, add, remove, metaData, protocol, …
 *
 * Every live file, the removals that are younger than delta.deletedFileRetentionDuration (without statistics, as the
 * protocol wants it), the transaction ids and the domains. A removal whose file is live again is left out, and of two of
 * the same file the last one stays.
 */
#include "delta/log/checkpoint.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "delta/log/checkpoint_parsed.h"
#include "delta/log/log.h"
#include "delta/log/transaction.h"
#include "engine/feed.h"

#include <assert.h>

enum { SIDECAR_ROWS = 500000, PARTS_MAX = 10000 };
enum row_kind { ROW_PROTOCOL, ROW_METADATA, ROW_TXN, ROW_DOMAIN, ROW_CHECKPOINT, ROW_SIDECAR, ROW_ADD, ROW_REMOVE };
enum row_column {
    KIND,
    TEXT1,
    TEXT2,
    TEXT3,
    TEXT4,
    N1,
    N2,
    N3,
    N4,
    KEYS,
    VALUES,
    DV_STORAGE,
    DV_PATH,
    DV_OFFSET,
    DV_SIZE,
    DV_CARDINALITY,
    N_ROW_COLUMNS
};

static const char schema_json[] =
    "{\"type\":\"struct\",\"fields\":["
    "{\"name\":\"kind\",\"type\":\"integer\"},{\"name\":\"t1\",\"type\":\"string\"},{\"name\":\"t2\",\"type\":\"string\"},"
    "{\"name\":\"t3\",\"type\":\"string\"},{\"name\":\"t4\",\"type\":\"string\"},{\"name\":\"n1\",\"type\":\"long\"},"
    "{\"name\":\"n2\",\"type\":\"long\"},{\"name\":\"n3\",\"type\":\"long\"},{\"name\":\"n4\",\"type\":\"long\"},"
    "{\"name\":\"k\",\"type\":{\"type\":\"array\",\"elementType\":\"string\",\"containsNull\":true}},"
    "{\"name\":\"v\",\"type\":{\"type\":\"array\",\"elementType\":\"string\",\"containsNull\":true}},"
    "{\"name\":\"ds\",\"type\":\"string\"},{\"name\":\"dp\",\"type\":\"string\"},{\"name\":\"do\",\"type\":\"integer\"},"
    "{\"name\":\"dn\",\"type\":\"integer\"},{\"name\":\"dc\",\"type\":\"long\"}]}";

#define DV_STRUCT                                                                                                       \
    "CASE WHEN ds IS NOT NULL THEN struct_pack(\"storageType\" := ds, \"pathOrInlineDv\" := dp, \"offset\" := \"do\", " \
    "\"sizeInBytes\" := dn, \"cardinality\" := dc) END"

struct runs {
    const struct delta_grave_run *run;
    uint32_t n;
};

/* Where the generator of rows stands. */
struct rows {
    const struct delta_snapshot *s;
    struct batch *batch;
    enum row_kind stage;
    size_t at;         /* in the stage */
    struct runs *runs; /* removals, as many as there were when it began: others may be added meanwhile */
    size_t n_runs, run;
    struct imap newest; /* hash of path and vector → the removal to write */
    int64_t now_ms;
    uint64_t n, n_adds;
    uint64_t until;     /* rows after which a file ends; 0: none */
    uint64_t part_rows; /* delta.checkpoint.partSize; 0: as many as there are */
    bool v2;
    bool files_only; /* a sidecar */
    struct delta_stats_reader stats;
    const struct delta_actions *top; /* a V2 top file in Parquet: the sidecars that it names, and no files */
};

static void set_text(struct rows *r, uint32_t row, enum row_column c, struct str s)
{
    if (s.p)
        column_set_str(r->batch, &r->batch->cols[c], row, s);
}

static void set_number(struct rows *r, uint32_t row, enum row_column c, int64_t v)
{
    column_set(&r->batch->cols[c], row, &v);
}

static void set_int(struct rows *r, uint32_t row, enum row_column c, int32_t v)
{
    column_set(&r->batch->cols[c], row, &v);
}

static uint32_t new_row(struct rows *r, enum row_kind kind)
{
    uint32_t row = batch_add_row(r->batch, OP_READ, (struct position){0}, 0);

    set_int(r, row, KIND, (int32_t)kind);
    r->n++;
    return row;
}

static void set_pairs(struct rows *r, uint32_t row, const struct delta_kv *kv, uint32_t n)
{
    struct column *keys = &r->batch->cols[KEYS], *values = &r->batch->cols[VALUES];
    uint64_t first = keys->child->n;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = column_child_add(keys), v = column_child_add(values);
        column_set_str(r->batch, keys->child, k, kv[i].key);
        if (kv[i].value.p)
            column_set_str(r->batch, values->child, v, kv[i].value);
        else
            column_set_null(values->child, v);
    }
    column_set_list(keys, row, first, n);
    column_set_list(values, row, first, n);
}

static void add_file_row(struct rows *r, enum row_kind kind, const struct delta_file *f)
{
    uint32_t row = new_row(r, kind);

    if (f->raw_path.n) {
        set_text(r, row, TEXT1, f->raw_path);
    } else {
        CLEANUP(buf_deinit) struct buf uri = {0};
        delta_path_encode(f->path, &uri);
        set_text(r, row, TEXT1, buf_str(&uri));
    }
    if (f->size >= 0)
        set_number(r, row, N1, f->size);
    set_number(r, row, N2, f->time_ms);
    if (f->base_row_id >= 0)
        set_number(r, row, N3, f->base_row_id);
    if (f->row_commit_version >= 0)
        set_number(r, row, N4, f->row_commit_version);
    if (f->dv) {
        char storage[1] = {f->dv->storage};
        set_text(r, row, DV_STORAGE, str_make(storage, 1));
        set_text(r, row, DV_PATH, f->dv->path_or_inline);
        if (f->dv->offset >= 0)
            set_int(r, row, DV_OFFSET, f->dv->offset);
        set_int(r, row, DV_SIZE, f->dv->size);
        set_number(r, row, DV_CARDINALITY, f->dv->cardinality);
    }
    if (kind == ROW_ADD || f->extended)
        set_pairs(r, row, f->parts, f->n_parts);
    if (kind == ROW_REMOVE)
        return;
    r->n_adds++;
    set_text(r, row, TEXT2, delta_stats_read(&r->stats, f));
    if (f->extra && f->extra->tags.n)
        set_text(r, row, TEXT3, f->extra->tags);
    if (f->extra && f->extra->clustering_provider.n)
        set_text(r, row, TEXT4, f->extra->clustering_provider);
}

static uint64_t grave_key(const struct delta_file *f)
{
    CLEANUP(buf_deinit) struct buf id = {0};

    buf_add_str(&id, f->path);
    buf_add_char(&id, 0);
    delta_dv_unique_id(f->dv, &id);
    return hash64(id.p, id.n);
}

/* Young enough, and not live again. */
static bool grave_counts(const struct rows *r, const struct delta_file *f)
{
    if (f->time_ms <= r->now_ms - r->s->head->deleted_file_retention_ms)
        return false;
    const struct delta_file *live = delta_snapshot_find(r->s, f->path);
    return !live || !delta_dv_eq(live->dv, f->dv);
}

static void note_runs(struct rows *r)
{
    size_t cap = 0;

    for (const struct delta_grave_run *run = r->s->files->graves->oldest; run; run = run->next) {
        MEM_GROW(r->runs, r->n_runs, cap);
        r->runs[r->n_runs++] = (struct runs){run, run->n};
    }
}

static void collect_graves(struct rows *r)
{
    for (size_t k = 0; k < r->n_runs; k++)
        for (uint32_t i = 0; i < r->runs[k].n; i++)
            if (grave_counts(r, &r->runs[k].run->files[i]))
                imap_put(&r->newest, grave_key(&r->runs[k].run->files[i]), (void *)&r->runs[k].run->files[i]);
}

static bool txn_counts(const struct rows *r, const struct delta_txn *t)
{
    int64_t keep_ms = r->s->head->txn_retention_ms;

    return keep_ms < 0 || t->updated_ms < 0 || t->updated_ms >= r->now_ms - keep_ms;
}

/* Adds the next row of the stage; false at its end. */
static bool add_row(struct rows *r)
{
    const struct delta_ids *ids = r->s->ids;
    const struct delta_file *f;

    switch (r->stage) {
    case ROW_PROTOCOL:
    case ROW_METADATA:
    case ROW_CHECKPOINT:
        if (r->at++ || (r->stage == ROW_CHECKPOINT && !r->v2))
            return false;
        new_row(r, r->stage);
        return true;
    case ROW_TXN: {
        if (r->at >= ids->n_txns)
            return false;
        const struct delta_txn *t = &ids->txns[r->at++];
        if (!txn_counts(r, t))
            return true;
        uint32_t row = new_row(r, ROW_TXN);
        set_text(r, row, TEXT1, t->app_id);
        set_number(r, row, N1, t->version);
        if (t->updated_ms >= 0)
            set_number(r, row, N2, t->updated_ms);
        return true;
    }
    case ROW_DOMAIN: {
        if (r->at >= ids->n_domains)
            return false;
        const struct delta_domain *d = &ids->domains[r->at++];
        uint32_t row = new_row(r, ROW_DOMAIN);
        set_text(r, row, TEXT1, d->domain);
        set_text(r, row, TEXT2, d->configuration);
        return true;
    }
    case ROW_SIDECAR: {
        while (r->top && r->at < r->top->n && r->top->v[r->at].kind != DELTA_SIDECAR)
            r->at++;
        if (!r->top || r->at >= r->top->n)
            return false;
        const struct delta_sidecar *s = r->top->v[r->at++].sidecar;
        uint32_t row = new_row(r, ROW_SIDECAR);
        set_text(r, row, TEXT1, s->path);
        set_number(r, row, N1, s->size);
        set_number(r, row, N2, s->time_ms);
        return true;
    }
    case ROW_ADD:
        if (!(f = delta_snapshot_next(r->s, &r->at)))
            return false;
        add_file_row(r, ROW_ADD, f);
        return true;
    case ROW_REMOVE:
        while (r->run < r->n_runs && r->at >= r->runs[r->run].n)
            r->run++, r->at = 0;
        if (r->run >= r->n_runs)
            return false;
        f = &r->runs[r->run].run->files[r->at++];
        if (grave_counts(r, f) && imap_get(&r->newest, grave_key(f)) == f)
            add_file_row(r, ROW_REMOVE, f);
        return true;
    }
    return false;
}

static int next_batch(void *ctx, const struct batch **ret, const uint32_t **ret_sel, uint32_t *ret_n, struct err *err)
{
    struct rows *r = ctx;
    struct batch *fresh = batch_new(r->batch->schema, 2048);

    (void)err;
    batch_free(r->batch);
    r->batch = fresh;
    while (fresh->n < 2048 && r->stage <= (r->top ? ROW_SIDECAR : ROW_REMOVE) && (!r->until || r->n < r->until))
        if (!add_row(r)) {
            r->stage++;
            r->at = 0;
        }
    *ret = fresh;
    *ret_sel = NULL;
    *ret_n = fresh->n;
    return fresh->n ? 0 : 1;
}

static void add_text(struct buf *sql, const char *name, struct str s)
{
    buf_printf(sql, ", \"%s\" := ", name);
    if (s.p)
        buf_add_sql_literal(sql, s);
    else
        buf_add_cstr(sql, "NULL::VARCHAR");
}

static void add_map(struct buf *sql, const struct delta_kv *kv, uint32_t n)
{
    buf_add_cstr(sql, "CAST(map([");
    for (uint32_t i = 0; i < n; i++) {
        buf_add_cstr(sql, i ? ", " : "");
        buf_add_sql_literal(sql, kv[i].key);
    }
    buf_add_cstr(sql, "], [");
    for (uint32_t i = 0; i < n; i++) {
        buf_add_cstr(sql, i ? ", " : "");
        buf_add_sql_literal(sql, kv[i].value);
    }
    buf_add_cstr(sql, "]) AS MAP(VARCHAR, VARCHAR))");
}

static void add_list(struct buf *sql, const char *name, const struct str *v, uint32_t n)
{
    buf_printf(sql, ", \"%s\" := CAST([", name);
    for (uint32_t i = 0; i < n; i++) {
        buf_add_cstr(sql, i ? ", " : "");
        buf_add_sql_literal(sql, v[i]);
    }
    buf_add_cstr(sql, "] AS VARCHAR[])");
}

/* The one row each of protocol and metaData is in the text of the statement. */
static void head_sql(const struct delta_head *h, struct buf *sql)
{
    const struct delta_protocol *p = h->protocol;
    const struct delta_metadata *m = h->metadata;

    buf_printf(sql,
               "CASE WHEN kind = 0 THEN struct_pack(\"minReaderVersion\" := %d::INTEGER, \"minWriterVersion\" := "
               "%d::INTEGER",
               p->reader, p->writer);
    if (p->reader >= 3)
        add_list(sql, "readerFeatures", p->reader_features, p->n_reader_features);
    if (p->writer >= 7)
        add_list(sql, "writerFeatures", p->writer_features, p->n_writer_features);
    buf_add_cstr(sql, ") END AS \"protocol\", CASE WHEN kind = 1 THEN struct_pack(\"id\" := ");
    buf_add_sql_literal(sql, m->id);
    add_text(sql, "name", m->name);
    add_text(sql, "description", m->description);
    buf_add_cstr(sql, ", \"format\" := struct_pack(\"provider\" := 'parquet', \"options\" := ");
    add_map(sql, m->format_options, m->n_format_options);
    buf_add_cstr(sql, ")");
    add_text(sql, "schemaString", m->schema_json);
    add_list(sql, "partitionColumns", m->partition_columns, m->n_partition_columns);
    buf_add_cstr(sql, ", \"configuration\" := ");
    add_map(sql, m->configuration, m->n_configuration);
    if (m->created_ms >= 0)
        buf_printf(sql, ", \"createdTime\" := %lld::BIGINT", (long long)m->created_ms);
    buf_add_cstr(sql, ") END AS \"metaData\"");
}

static int files_sql(const struct delta_head *h, struct buf *sql, struct err *err)
{
    buf_printf(sql,
               "CASE WHEN kind = 6 THEN struct_pack(\"path\" := t1, \"partitionValues\" := map(k, v), \"size\" := n1, "
               "\"modificationTime\" := n2, \"dataChange\" := false, \"stats\" := %s, "
               "\"tags\" := t3::JSON::MAP(VARCHAR, VARCHAR), \"deletionVector\" := " DV_STRUCT
               ", \"baseRowId\" := n3, \"defaultRowCommitVersion\" := n4, \"clusteringProvider\" := t4",
               delta_checkpoint_has_json(h) ? "t2" : "NULL::VARCHAR");
    if (delta_checkpoint_has_structs(h))
        TRY(delta_checkpoint_structs(h, "t2", "map(k, v)", sql, err));
    buf_add_cstr(sql, ") END AS \"add\", "
                      "CASE WHEN kind = 7 THEN struct_pack(\"path\" := t1, \"deletionTimestamp\" := n2, "
                      "\"dataChange\" := false, \"extendedFileMetadata\" := k IS NOT NULL, "
                      "\"partitionValues\" := CASE WHEN k IS NOT NULL THEN map(k, v) END, "
                      "\"size\" := n1, \"deletionVector\" := " DV_STRUCT
                      ", \"baseRowId\" := n3, \"defaultRowCommitVersion\" := n4) END AS \"remove\"");
    return 0;
}

/* The columns of what is not a file. */
static void small_sql(const struct rows *r, struct buf *sql)
{
    head_sql(r->s->head, sql);
    buf_add_cstr(sql,
                 ", CASE WHEN kind = 2 THEN struct_pack(\"appId\" := t1, \"version\" := n1, \"lastUpdated\" := n2) "
                 "END AS \"txn\", CASE WHEN kind = 3 THEN struct_pack(\"domain\" := t1, \"configuration\" := t2, "
                 "\"removed\" := false) END AS \"domainMetadata\", ");
    if (r->v2)
        buf_printf(sql,
                   "CASE WHEN kind = 4 THEN struct_pack(\"version\" := %lld::BIGINT) END AS \"checkpointMetadata\", ",
                   (long long)r->s->version);
}

static int copy_sql(const struct rows *r, int64_t feed, const char *path, struct buf *sql, struct err *err)
{
    buf_add_cstr(sql, "COPY (SELECT ");
    if (!r->files_only)
        small_sql(r, sql);
    if (r->top)
        buf_add_cstr(sql, "CASE WHEN kind = 5 THEN struct_pack(\"path\" := t1, \"sizeInBytes\" := n1, "
                          "\"modificationTime\" := n2) END AS \"sidecar\", ");
    TRY(files_sql(r->s->head, sql, err)); /* in a top file too: Spark asks for the columns, all NULL */
    buf_printf(sql, " FROM feed(%lld)) TO ", (long long)feed);
    buf_add_sql_literal(sql, str_of(path));
    buf_add_cstr(sql, " (FORMAT parquet, COMPRESSION snappy)");
    return 0;
}

static int write_file(struct delta_table *t, struct rows *r, const char *path, struct err *err)
{
    CLEANUP(engine_conn_freep) struct engine_conn *conn = NULL;
    CLEANUP(feed_freep) struct feed *feed = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct feed_source source = {next_batch, r};

    TRY(engine_connect(t->engine, &conn, err));
    TRY(feed_open(t->engine, r->batch->schema, source, 0, &feed, err));
    TRY(copy_sql(r, feed_id(feed), path, &sql, err));
    return engine_exec(conn, sql.p, err);
}

/* `parts`: of a classic checkpoint in several files, else 0. */
static int put_hint(struct delta_table *t, const struct rows *r, int64_t size, uint64_t parts, struct err *err)
{
    CLEANUP(buf_deinit) struct buf json = {0};

    buf_printf(&json, "{\"version\":%lld,\"size\":%llu,", (long long)r->s->version, (unsigned long long)r->n);
    if (parts)
        buf_printf(&json, "\"parts\":%llu,", (unsigned long long)parts);
    buf_printf(&json, "\"sizeInBytes\":%lld,\"numOfAddFiles\":%llu}", (long long)size, (unsigned long long)r->n_adds);
    return store_put(t->store, "_delta_log/_last_checkpoint", buf_str(&json), err);
}

/* The rows up to r->until as the object `key`. `*ret_size` grows by its size. */
static int write_object(struct delta_table *t, struct rows *r, const char *key, int64_t *ret_size, struct err *err)
{
    CLEANUP(buf_deinit) struct buf path = {0};

    store_temp_path(t->store, ".parquet", &path);
    int rc = write_file(t, r, path.p, err);
    if (rc < 0) {
        unlink(path.p);
        return rc;
    }
    *ret_size += file_size(path.p);
    return store_adopt(t->store, path.p, key, err);
}

/* Parts of about part_rows actions; the last has what is left. A reader wants all of them, or takes none. */
static int write_rows(struct delta_table *t, struct rows *r, struct err *err)
{
    uint64_t n = r->s->n_files + r->newest.n, parts = 1;
    int64_t size = 0;
    char key[DELTA_KEY];

    if (r->part_rows)
        parts = MIN(MAX((n + r->part_rows - 1) / r->part_rows, 1), (uint64_t)PARTS_MAX);
    for (uint64_t k = 1; k <= parts; k++) {
        snprintf(key, sizeof key, "_delta_log/%020lld.checkpoint.parquet", (long long)r->s->version);
        if (parts > 1)
            snprintf(key, sizeof key, "_delta_log/%020lld.checkpoint.%010llu.%010llu.parquet", (long long)r->s->version,
                     (unsigned long long)k, (unsigned long long)parts);
        r->until = k < parts ? k * ((n + parts - 1) / parts) : 0;
        TRY(write_object(t, r, key, &size, err));
    }
    t->last_checkpoint = r->s->version;
    return put_hint(t, r, size, parts > 1 ? parts : 0, err);
}

/* ---- V2: the files in sidecars, the rest in a JSON file that names them ---- */

/* Writes the next sidecar, of at most SIDECAR_ROWS files; none when there are no more. */
static int write_sidecar(struct delta_table *t, struct rows *r, struct arena *arena, struct delta_actions *top,
                         struct err *err)
{
    CLEANUP(buf_deinit) struct buf path = {0};
    uint64_t before = r->n;
    char uuid[DELTA_UUID];

    r->until = r->n + (r->part_rows ? r->part_rows : SIDECAR_ROWS);
    store_temp_path(t->store, ".parquet", &path);
    int rc = write_file(t, r, path.p, err);
    if (rc < 0 || r->n == before) {
        unlink(path.p);
        return rc;
    }
    struct delta_sidecar *s = ARENA_NEW(arena, struct delta_sidecar);
    *s = (struct delta_sidecar){str_of(arena_printf(arena, "%s.parquet", delta_uuid(uuid))), file_size(path.p),
                                clock_now_us() / 1000};
    delta_actions_add(top, arena, (struct delta_action){.kind = DELTA_SIDECAR, .sidecar = s});
    return store_adopt(t->store, path.p, arena_printf(arena, "_delta_log/_sidecars/%s", s->path.p), err);
}

static void add_small_actions(const struct rows *r, struct arena *arena, struct delta_actions *top)
{
    const struct delta_head *h = r->s->head;
    const struct delta_ids *ids = r->s->ids;

    delta_actions_add(top, arena,
                      (struct delta_action){.kind = DELTA_CHECKPOINT_METADATA, .checkpoint_version = r->s->version});
    delta_actions_add(
        top, arena, (struct delta_action){.kind = DELTA_PROTOCOL, .protocol = delta_protocol_copy(h->protocol, arena)});
    delta_actions_add(
        top, arena, (struct delta_action){.kind = DELTA_METADATA, .metadata = delta_metadata_copy(h->metadata, arena)});
    for (uint32_t i = 0; i < ids->n_txns; i++)
        if (txn_counts(r, &ids->txns[i]))
            delta_actions_add(top, arena, (struct delta_action){.kind = DELTA_TXN, .txn = &ids->txns[i]});
    for (uint32_t i = 0; i < ids->n_domains; i++)
        delta_actions_add(top, arena, (struct delta_action){.kind = DELTA_DOMAIN, .domain = &ids->domains[i]});
}

static int write_json_top(struct delta_table *t, struct rows *r, const struct delta_actions *top, const char *key,
                          int64_t *ret_size, struct err *err)
{
    CLEANUP(buf_deinit) struct buf json = {0};

    (void)r;
    for (size_t i = 0; i < top->n; i++)
        delta_action_write(&json, &top->v[i]);
    *ret_size = (int64_t)json.n;
    return store_put(t->store, key, buf_str(&json), err);
}

static int write_parquet_top(struct delta_table *t, struct rows *r, const struct delta_actions *top, const char *key,
                             int64_t *ret_size, struct err *err)
{
    r->top = top;
    r->files_only = false;
    r->stage = ROW_PROTOCOL;
    r->at = r->until = 0;
    return write_object(t, r, key, ret_size, err);
}

static int write_v2(struct delta_table *t, struct rows *r, struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct delta_actions top = {0};
    char uuid[DELTA_UUID], key[DELTA_KEY + DELTA_UUID];
    bool parquet =
        str_eq_nocase(delta_snapshot_property(r->s, STR("delta.checkpointV2.topLevelFileFormat")), STR("parquet"));
    int64_t size = 0;

    r->files_only = true;
    r->stage = ROW_ADD;
    add_small_actions(r, &arena, &top);
    while (r->stage <= ROW_REMOVE)
        TRY(write_sidecar(t, r, &arena, &top, err));
    snprintf(key, sizeof key, "_delta_log/%020lld.checkpoint.%s.%s", (long long)r->s->version, delta_uuid(uuid),
             parquet ? "parquet" : "json");
    uint64_t files = r->n;
    TRY((parquet ? write_parquet_top : write_json_top)(t, r, &top, key, &size, err));
    r->n = files + top.n;
    t->last_checkpoint = r->s->version;
    return put_hint(t, r, size, 0, err);
}

struct delta_checkpoint {
    struct delta_table *table;
    struct delta_snapshot *snapshot;
    struct rows rows;
};

void delta_checkpoint_free(struct delta_checkpoint *c)
{
    if (!c)
        return;
    batch_free(c->rows.batch);
    delta_stats_reader_deinit(&c->rows.stats);
    imap_deinit(&c->rows.newest);
    mem_free(c->rows.runs);
    delta_snapshot_unref(c->snapshot);
    mem_free(c);
}

struct delta_checkpoint *delta_checkpoint_begin(struct delta_table *t)
{
    struct delta_checkpoint *c = MEM_NEW(struct delta_checkpoint);

    pthread_mutex_lock(&t->writer);
    struct delta_snapshot *s = delta_table_snapshot(t);
    *c = (struct delta_checkpoint){.table = t, .snapshot = s, .rows = {.s = s, .now_ms = clock_now_us() / 1000}};
    delta_files_expire(s->files, c->rows.now_ms - s->head->deleted_file_retention_ms);
    note_runs(&c->rows);
    pthread_mutex_unlock(&t->writer);
    return c;
}

static int write_checkpoint(struct delta_checkpoint *c, struct err *err)
{
    CLEANUP(schema_unrefp) struct schema *schema = NULL;

    if (!c->table->engine)
        return err_set(err, ERR_INTERNAL, "a checkpoint cannot be written without the engine");
    TRY(delta_schema_parse(STR(schema_json), &schema, err));
    c->rows.batch = batch_new(schema, 16);
    c->rows.v2 = delta_protocol_has(c->snapshot->head->protocol, "v2Checkpoint");
    collect_graves(&c->rows);
    int64_t part_rows = 0;
    if (str_to_i64(delta_snapshot_property(c->snapshot, STR("delta.checkpoint.partSize")), &part_rows) && part_rows > 0)
        c->rows.part_rows = (uint64_t)part_rows;
    bool policy = c->rows.v2 && str_is(delta_snapshot_property(c->snapshot, STR("delta.checkpointPolicy")), "v2");
    if (policy ? write_v2(c->table, &c->rows, err) : write_rows(c->table, &c->rows, err))
        return err_wrap(err, "%s: checkpoint of version %lld", c->table->store->name, (long long)c->snapshot->version);
    return 0;
}

int delta_checkpoint_finish(struct delta_checkpoint *c, struct err *err)
{
    uint64_t deleted;

    TRY(write_checkpoint(c, err));
    return delta_log_clean_if_due(c->table, &deleted, err);
}

int delta_checkpoint_write(struct delta_table *t, struct err *err)
{
    CLEANUP(delta_checkpoint_freep) struct delta_checkpoint *c = delta_checkpoint_begin(t);

    return write_checkpoint(c, err);
}

bool delta_checkpoint_is_due(struct delta_table *t)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = delta_table_snapshot(t);
    int64_t interval = t->checkpoint_interval ? t->checkpoint_interval : s->head->checkpoint_interval;

    return interval >= 0 && t->engine && s->version - MAX(t->last_checkpoint, 0) >= interval;
}

int delta_checkpoint_if_due(struct delta_table *t, bool *ret_written, struct err *err)
{
    *ret_written = delta_checkpoint_is_due(t);
    if (!*ret_written)
        return 0;
    CLEANUP(delta_checkpoint_freep) struct delta_checkpoint *c = delta_checkpoint_begin(t);
    return delta_checkpoint_finish(c, err);
}
