/*
 * What a session says of tables and does to them as a whole: DESCRIBE HISTORY and DETAIL, SHOW TBLPROPERTIES and COLUMNS,
 * RESTORE, VACUUM. The answer is a SELECT over literals, so that it is a result like any other.
 */
#include "server/session_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "delta/log/clustering.h"
#include "delta/upkeep/restore.h"
#include "engine/parquet_write.h"

#include <limits.h>
#include <stdlib.h>

static int open_shown(struct session *s, const struct sql_table *name, struct open_table **ret, struct err *err)
{
    const char *path;

    TRY(session_path(s, name, &path, err));
    return session_table_at(s, arena_strdup(&s->arena, str_of(path)), ret, err);
}

static void add_text(struct buf *out, struct str text)
{
    if (text.p)
        buf_add_sql_literal(out, text);
    else
        buf_add_cstr(out, "NULL");
}

static void add_json(struct buf *out, struct str json)
{
    add_text(out, json.n ? json : (struct str){0});
}

static void add_time(struct buf *out, int64_t ms)
{
    if (ms < 0)
        buf_add_cstr(out, "NULL");
    else
        buf_printf(out, "epoch_ms(%lld)::TIMESTAMPTZ", (long long)ms);
}

static void add_number(struct buf *out, int64_t n, bool known)
{
    if (known)
        buf_printf(out, "%lld::BIGINT", (long long)n);
    else
        buf_add_cstr(out, "NULL::BIGINT");
}

static int add_history(struct open_table *t, int64_t limit, struct buf *out, struct err *err)
{
    CLEANUP(delta_history_deinit) struct delta_history h = {0};

    TRY(delta_history_read(t->store, limit > 0 ? (size_t)limit : 0, &h, err));
    buf_add_cstr(out, "FROM (VALUES ");
    for (size_t i = h.n; i-- > 0;) {
        const struct delta_history_entry *e = &h.v[i];
        buf_printf(out, "%s(%lld::BIGINT, ", i + 1 < h.n ? ", " : "", (long long)e->version);
        add_time(out, e->timestamp_ms);
        buf_add_cstr(out, ", ");
        add_json(out, e->info.user_name);
        buf_add_cstr(out, ", ");
        add_json(out, e->info.operation);
        buf_add_cstr(out, ", ");
        add_json(out, e->info.parameters);
        buf_add_cstr(out, ", ");
        add_number(out, e->info.read_version, e->info.read_version != DELTA_NO_VERSION);
        buf_add_cstr(out, ", ");
        add_json(out, e->info.isolation_level);
        buf_add_cstr(out, e->info.blind_append < 0 ? ", NULL::BOOLEAN, "
                          : e->info.blind_append   ? ", true, "
                                                   : ", false, ");
        add_json(out, e->info.metrics);
        buf_add_cstr(out, ", ");
        add_json(out, e->info.user_metadata);
        buf_add_cstr(out, ", ");
        add_json(out, e->info.engine_info);
        buf_add_char(out, ')');
    }
    if (!h.n) /* only a checkpoint is left: no rows, of these types */
        buf_add_cstr(out, "(0::BIGINT, NULL::TIMESTAMPTZ, '', '', '', 0::BIGINT, '', true, '', '', '')");
    buf_add_cstr(out,
                 ") AS h(version, \"timestamp\", \"userName\", operation, \"operationParameters\", \"readVersion\", "
                 "\"isolationLevel\", \"isBlindAppend\", \"operationMetrics\", \"userMetadata\", \"engineInfo\")");
    if (limit == 0 || !h.n)
        buf_add_cstr(out, " LIMIT 0");
    return 0;
}

int session_history(struct session *s, const struct sql_show *show, struct buf *out, struct err *err)
{
    struct open_table *t;

    TRY(open_shown(s, &show->table, &t, err));
    return add_history(t, show->limit, out, err);
}

int session_history_of(struct session *s, struct str args, struct buf *out, struct err *err)
{
    struct open_table *t;
    const char *path;

    TRY(session_named(s, args, false, &path, err));
    TRY(session_table_at(s, path, &t, err));
    buf_add_char(out, '(');
    TRY(add_history(t, -1, out, err));
    buf_add_char(out, ')');
    return 0;
}

static void add_list(struct buf *out, const struct str *v, uint32_t n)
{
    buf_add_char(out, '[');
    for (uint32_t i = 0; i < n; i++) {
        buf_add_cstr(out, i ? ", " : "");
        buf_add_sql_literal(out, v[i]);
    }
    buf_add_cstr(out, "]::VARCHAR[]");
}

static void add_features(struct buf *out, const struct delta_protocol *p)
{
    struct str all[128];
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->n_writer_features && n < ARRAY_LEN(all); i++)
        all[n++] = p->writer_features[i];
    if (p->writer < 7) /* the number stands for them */
        n = delta_protocol_implied(p, all, ARRAY_LEN(all));
    buf_add_cstr(out, "list_sort(");
    add_list(out, all, n);
    buf_add_char(out, ')');
}

static void add_clustering(struct buf *out, const struct delta_path *columns, uint32_t n)
{
    CLEANUP(buf_deinit) struct buf name = {0};

    buf_add_char(out, '[');
    for (uint32_t i = 0; i < n; i++) {
        buf_reset(&name);
        delta_clustering_text(&columns[i], 1, &name);
        buf_add_cstr(out, i ? ", " : "");
        buf_add_sql_literal(out, buf_str(&name));
    }
    buf_add_cstr(out, "]::VARCHAR[]");
}

int session_detail(struct session *s, const struct sql_show *show, struct buf *out, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *snapshot = NULL;
    struct delta_path *clustered;
    struct open_table *t;
    uint32_t n_clustered;

    TRY(open_shown(s, &show->table, &t, err));
    snapshot = delta_table_snapshot(t->table);
    const struct delta_metadata *m = snapshot->head->metadata;
    const struct delta_protocol *p = snapshot->head->protocol;
    TRY(delta_clustering_read(snapshot, &s->arena, &clustered, &n_clustered, err));
    buf_add_cstr(out, "SELECT 'delta' AS format, ");
    add_text(out, m->id);
    buf_add_cstr(out, " AS id, ");
    add_text(out, m->name);
    buf_add_cstr(out, "::VARCHAR AS name, ");
    add_text(out, m->description);
    buf_add_cstr(out, "::VARCHAR AS description, ");
    add_text(out, str_of(t->path));
    buf_add_cstr(out, " AS location, ");
    add_time(out, m->created_ms);
    buf_add_cstr(out, "::TIMESTAMPTZ AS \"createdAt\", ");
    add_time(out, snapshot->timestamp_ms);
    buf_printf(out, " AS \"lastModified\", %lld::BIGINT AS version, ", (long long)snapshot->version);
    add_list(out, m->partition_columns, m->n_partition_columns);
    buf_add_cstr(out, " AS \"partitionColumns\", ");
    add_clustering(out, clustered, n_clustered);
    buf_printf(out, " AS \"clusteringColumns\", %llu::BIGINT AS \"numFiles\", %lld::BIGINT AS \"sizeInBytes\", ",
               (unsigned long long)snapshot->n_files, (long long)snapshot->bytes);
    add_number(out, snapshot->records, snapshot->n_unknown == 0);
    buf_add_cstr(out, " AS \"numRows\", MAP {");
    for (uint32_t i = 0; i < m->n_configuration; i++) {
        buf_add_cstr(out, i ? ", " : "");
        buf_add_sql_literal(out, m->configuration[i].key);
        buf_add_cstr(out, ": ");
        buf_add_sql_literal(out, m->configuration[i].value);
    }
    buf_printf(out, "}::MAP(VARCHAR, VARCHAR) AS properties, %d AS \"minReaderVersion\", %d AS \"minWriterVersion\", ",
               p->reader, p->writer);
    add_features(out, p);
    buf_add_cstr(out, " AS \"tableFeatures\"");
    return 0;
}

static void add_property(struct buf *out, struct str key, struct str value)
{
    buf_add_cstr(out, ", (");
    buf_add_sql_literal(out, key);
    buf_add_cstr(out, ", ");
    buf_add_sql_literal(out, value);
    buf_add_char(out, ')');
}

int session_properties(struct session *s, const struct sql_show *show, struct buf *out, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *snapshot = NULL;
    struct open_table *t;

    TRY(open_shown(s, &show->table, &t, err));
    snapshot = delta_table_snapshot(t->table);
    const struct delta_metadata *m = snapshot->head->metadata;
    const struct delta_protocol *p = snapshot->head->protocol;
    buf_printf(out, "FROM (VALUES ('delta.minReaderVersion', '%d'), ('delta.minWriterVersion', '%d')", p->reader,
               p->writer);
    for (uint32_t i = 0; i < p->n_writer_features; i++)
        add_property(out, str_of(arena_printf(&s->arena, "delta.feature.%.*s", STR_ARG(p->writer_features[i]))),
                     STR("supported"));
    for (uint32_t i = 0; i < m->n_configuration; i++)
        add_property(out, m->configuration[i].key, m->configuration[i].value);
    buf_add_cstr(out, ") AS p(key, value)");
    if (show->key.n) {
        buf_add_cstr(out, " WHERE key = ");
        buf_add_sql_literal(out, show->key);
    }
    buf_add_cstr(out, " ORDER BY key");
    return 0;
}

int session_columns(struct session *s, const struct sql_show *show, struct buf *out, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *snapshot = NULL;
    struct open_table *t;

    TRY(open_shown(s, &show->table, &t, err));
    snapshot = delta_table_snapshot(t->table);
    const struct schema *schema = snapshot->head->schema;
    buf_add_cstr(out, "FROM (VALUES ");
    for (uint32_t i = 0; i < schema->n_fields; i++) {
        CLEANUP(buf_deinit) struct buf type = {0};
        type_text(&schema->fields[i].type, &type);
        buf_add_cstr(out, i ? ", (" : "(");
        buf_add_sql_literal(out, schema->fields[i].name);
        buf_add_cstr(out, ", ");
        buf_add_sql_literal(out, buf_str(&type));
        buf_printf(out, ", %s)", schema->fields[i].nullable ? "true" : "false");
    }
    buf_add_cstr(out, schema->n_fields ? "" : "(NULL, NULL, NULL)");
    buf_add_cstr(out, ") AS c(col_name, data_type, nullable)");
    return 0;
}

/* The values of the partition columns, as a query over them. */
int session_partitions(struct session *s, const struct sql_show *show, struct buf *out, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *snapshot = NULL;
    CLEANUP(buf_deinit) struct buf name = {0};
    struct open_table *t;

    TRY(open_shown(s, &show->table, &t, err));
    snapshot = delta_table_snapshot(t->table);
    const struct delta_metadata *m = snapshot->head->metadata;
    if (!m->n_partition_columns)
        return err_set(err, ERR_USAGE, "the table has no partitions");
    for (uint32_t i = 0; i < m->n_partition_columns; i++) {
        buf_add_cstr(out, i ? ", " : "SELECT DISTINCT ");
        buf_add_sql_ident(out, m->partition_columns[i]);
    }
    buf_printf(&name, "delta:-1:%s", t->path);
    buf_add_cstr(out, " FROM ");
    buf_add_sql_ident(out, buf_str(&name));
    buf_add_cstr(out, " ORDER BY ALL");
    return 0;
}

int session_restore(struct session *s, const struct sql_restore *r, struct buf *out, struct err *err)
{
    struct delta_restored done;
    struct open_table *t;
    struct str asked = {0};
    int64_t version;

    TRY(open_shown(s, &r->table, &t, err));
    TRY(session_travel(s, t->path, &r->to, &version, err));
    if (r->to.kind == TRAVEL_TIMESTAMP)
        asked = r->to.expr;
    TRY(delta_restore(t->table, version, asked, &done, err));
    buf_printf(out,
               "SELECT %lld::BIGINT AS version, %llu::BIGINT AS num_restored_files, %llu::BIGINT AS num_removed_files, "
               "%lld::BIGINT AS restored_files_size, %lld::BIGINT AS removed_files_size",
               (long long)done.version, (unsigned long long)done.files_restored, (unsigned long long)done.files_removed,
               (long long)done.bytes_restored, (long long)done.bytes_removed);
    return 0;
}

/* ---- VACUUM ---- */

/* A path of an inventory as a key of the table's folder; false: it is not in it. */
static bool key_in(const char *folder, struct str path, struct str *ret)
{
    struct str rest;

    if (str_has_prefix(path, STR("file:///")))
        path = str_make(path.p + 7, path.n - 7);
    else if (str_has_prefix(path, STR("file:/")))
        path = str_make(path.p + 5, path.n - 5);
    size_t n = strlen(folder);
    if (!str_has_prefix(path, str_of(folder)) || path.n <= n + 1 || path.p[n] != '/')
        return false;
    rest = *ret = str_make(path.p + n + 1, path.n - n - 1);
    while (rest.p) {
        struct str part = str_split(&rest, '/');
        if (!part.n || str_is(part, ".") || str_is(part, ".."))
            return false; /* it may lead out of the folder */
    }
    return true;
}

/* What the query tells of files in the folder. Of what it does not tell all, nothing is known. */
static int read_inventory(struct session *s, const char *folder, struct str query, struct store_list *ret,
                          struct err *err)
{
    char whole[PATH_MAX]; /* of a folder that is named from here, or through a link */
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    const struct engine_chunk *chunk;
    struct str key;
    int rc;

    if (!realpath(folder, whole))
        return err_set_errno(err, "%s", folder);
    buf_add_cstr(&sql, "SELECT CAST(path AS VARCHAR), CAST(length AS BIGINT), CAST(isDir AS BOOLEAN), "
                       "CAST(modificationTime AS BIGINT) FROM (");
    TRY(sql_rewrite(&s->arena, query, session_replace, s, &sql, err));
    buf_add_cstr(&sql, "\n)");
    TRY(engine_query(s->conn, sql.p, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0) {
        for (uint32_t i = 0; i < chunk->n; i++) {
            bool told = true;
            for (uint32_t c = 0; c < chunk->n_cols; c++)
                told &= !engine_is_null(&chunk->cols[c], i);
            struct str path = engine_str(&chunk->cols[0], i);
            if (!told || engine_bool(&chunk->cols[2], i) || !(key_in(folder, path, &key) || key_in(whole, path, &key)))
                continue;
            store_list_add(ret, arena_strdup(&s->arena, key), engine_i64(&chunk->cols[1], i),
                           engine_i64(&chunk->cols[3], i));
        }
    }
    return rc < 0 ? rc : 0;
}

int session_vacuum(struct session *s, const struct sql_vacuum *v, struct buf *out, struct err *err)
{
    CLEANUP(delta_vacuumed_deinit) struct delta_vacuumed done = {0};
    CLEANUP(store_list_deinit) struct store_list inventory = {0};
    struct open_table *t;

    TRY(open_shown(s, &v->table, &t, err));
    if (v->inventory.n && read_inventory(s, t->path, v->inventory, &inventory, err) < 0) {
        err_hint(err, "an inventory has the columns path (whole, or file:/…), length, isDir and modificationTime "
                      "(milliseconds since 1970)");
        return err_wrap(err, "USING INVENTORY");
    }
    const struct delta_vacuum how = {v->has_retain ? (int64_t)(v->retain_hours * 3600000.0) : -1, s->any_retention,
                                     v->lite, v->dry_run, v->inventory.n ? &inventory : NULL};
    TRY(delta_vacuum(t->table, &how, &done, err));
    if (!v->dry_run) {
        buf_printf(out, "SELECT %llu::BIGINT AS num_deleted_files, %lld::BIGINT AS deleted_bytes",
                   (unsigned long long)done.files, (long long)done.bytes);
        return 0;
    }
    buf_add_cstr(out, "FROM (VALUES ");
    for (uint64_t i = 0; i < done.files; i++) {
        buf_add_cstr(out, i ? ", (" : "(");
        buf_add_sql_literal(out, done.paths[i]);
        buf_add_char(out, ')');
    }
    buf_add_cstr(out, done.files ? ") AS f(path)" : "(NULL)) AS f(path) LIMIT 0");
    return 0;
}
