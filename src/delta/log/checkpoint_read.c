/*
 * Reading checkpoints: JSON by the action parser, Parquet by DuckDB.
 *
 * Which columns a Parquet checkpoint has depends on its writer, so it is asked first (LIMIT 0). The few rows that are
 * not files come as JSON, through the same parser as commits. Files, of which there may be millions, come as flat columns
 * out of the structs (DuckDB then reads only those), a vector at a time:
 *
 *     SELECT "add"."path", "add"."partitionValues", "add"."size", … FROM read_parquet('…') WHERE "add"."path" IS NOT NULL
 *
 * Statistics that only exist parsed (stats_parsed) become JSON again. The files stay packed (delta/log/files.h).
 */
#include "base/clock.h"
#include "base/mem.h"
#include "delta/log/log.h"
#include "engine/engine.h"
#include "model/batch.h"

#include <assert.h>

/* A column of a file row. Those that the checkpoint does not have are not asked for: DuckDB would copy them, too. */
enum file_column {
    PATH,
    PARTS,
    SIZE,
    TIME,
    STATS,
    TAGS,
    DV_STORAGE,
    DV_PATH,
    DV_OFFSET,
    DV_SIZE,
    DV_CARDINALITY,
    ROW_ID,
    ROW_VERSION,
    PROVIDER,
    EXTENDED,
    N_FILE_COLUMNS
};

struct checkpoint_file {
    struct delta_replay *r;
    struct engine_conn *conn;
    const char *path; /* SQL literal */
    struct engine_result *shape;
};

static const struct engine_type *child_type(const struct engine_type *t, const char *name)
{
    for (uint32_t i = 0; t && t->kind == ENGINE_STRUCT && i < t->n_children; i++)
        if (str_is(t->names[i], name))
            return &t->children[i];
    return NULL;
}

static const struct engine_type *column_type(const struct checkpoint_file *f, const char *name)
{
    for (uint32_t i = 0; i < engine_result_n_columns(f->shape); i++)
        if (str_is(engine_result_column(f->shape, i)->name, name))
            return &engine_result_column(f->shape, i)->type;
    return NULL;
}

/* The actions that are no files, and a field that each of them has. */
static const struct {
    const char *name, *field;
} small_actions[] = {{"protocol", "minReaderVersion"}, {"metaData", "schemaString"}, {"txn", "appId"},
                     {"domainMetadata", "domain"},     {"sidecar", "path"},          {"checkpointMetadata", "version"}};

/* Where in the file they are: mostly at its beginning or end. To find out, one column of each is read; all of them have dozens,
 * which cost as much as the files do. 1: there are none. */
static int small_range(struct checkpoint_file *f, int64_t *ret_first, int64_t *ret_last, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;

    buf_printf(&sql, "SELECT min(file_row_number), max(file_row_number) FROM read_parquet(%s) WHERE false", f->path);
    for (size_t i = 0; i < ARRAY_LEN(small_actions); i++)
        if (child_type(column_type(f, small_actions[i].name), small_actions[i].field))
            buf_printf(&sql, " OR \"%s\".\"%s\" IS NOT NULL", small_actions[i].name, small_actions[i].field);
    TRY(engine_query(f->conn, sql.p, &result, err));
    TRY(engine_result_next(result, &chunk, err));
    *ret_first = engine_i64(&chunk->cols[0], 0);
    *ret_last = engine_i64(&chunk->cols[1], 0);
    return engine_is_null(&chunk->cols[0], 0);
}

static int read_small_actions(struct checkpoint_file *f, int64_t version, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;
    int64_t first, last;
    int rc = small_range(f, &first, &last, err);

    if (rc != 0)
        return MIN(rc, 0);
    buf_add_cstr(&sql, "SELECT * FROM (SELECT CASE");
    for (size_t i = 0; i < ARRAY_LEN(small_actions); i++) {
        const char *name = small_actions[i].name;
        if (column_type(f, name))
            buf_printf(&sql, " WHEN \"%s\" IS NOT NULL THEN '{\"%s\":' || to_json(\"%s\") || '}'", name, name, name);
    }
    buf_printf(
        &sql,
        " END AS action FROM read_parquet(%s) WHERE file_row_number BETWEEN %lld AND %lld) WHERE action IS NOT NULL",
        f->path, (long long)first, (long long)last);
    TRY(engine_query(f->conn, sql.p, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0)
        for (uint32_t i = 0; i < chunk->n; i++)
            TRY(delta_replay_json(f->r, engine_str(&chunk->cols[0], i), version, err));
    return MIN(rc, 0);
}

/* `add` and `remove` name the field of a column of file rows, "" where such a row does not have it. */
static const struct {
    const char *add, *remove, *type;
} file_columns[N_FILE_COLUMNS] = {
    [PATH] = {"path", "path", "VARCHAR"},
    [PARTS] = {"partitionValues", "partitionValues", "MAP(VARCHAR, VARCHAR)"},
    [SIZE] = {"size", "size", "BIGINT"},
    [TIME] = {"modificationTime", "deletionTimestamp", "BIGINT"},
    [STATS] = {"stats", "", "VARCHAR"},
    [TAGS] = {"tags", "", "VARCHAR"},
    [DV_STORAGE] = {"storageType", "storageType", "VARCHAR"},
    [DV_PATH] = {"pathOrInlineDv", "pathOrInlineDv", "VARCHAR"},
    [DV_OFFSET] = {"offset", "offset", "INTEGER"},
    [DV_SIZE] = {"sizeInBytes", "sizeInBytes", "INTEGER"},
    [DV_CARDINALITY] = {"cardinality", "cardinality", "BIGINT"},
    [ROW_ID] = {"baseRowId", "baseRowId", "BIGINT"},
    [ROW_VERSION] = {"defaultRowCommitVersion", "defaultRowCommitVersion", "BIGINT"},
    [PROVIDER] = {"clusteringProvider", "", "VARCHAR"},
    [EXTENDED] = {"", "extendedFileMetadata", "BOOLEAN"},
};

static bool wants_parsed_stats(const struct checkpoint_file *f, const struct engine_type *t)
{
    const struct delta_metadata *m = f->r->metadata;
    struct str as_json =
        m ? delta_kv_get(m->configuration, m->n_configuration, STR("delta.checkpoint.writeStatsAsJson"))
          : (struct str){0};

    return child_type(t, "stats_parsed") && (!child_type(t, "stats") || str_eq_nocase(as_json, STR("false")));
}

/* Appends the column, if there is one. */
static bool select_column(const struct checkpoint_file *f, struct buf *sql, const char *action, enum file_column c)
{
    const struct engine_type *t = column_type(f, action), *dv = child_type(t, "deletionVector");
    bool remove = action[0] == 'r', in_dv = c >= DV_STORAGE && c <= DV_CARDINALITY;
    const char *name = remove ? file_columns[c].remove : file_columns[c].add;
    bool there = name[0] && child_type(in_dv ? dv : t, name);
    bool parsed = c == STATS && !remove && wants_parsed_stats(f, t);

    if (!there && !parsed)
        return false;
    buf_add_cstr(sql, c ? ", " : ""); /* there always is a path */
    if (parsed)
        buf_printf(sql, "%sto_json(\"add\".\"stats_parsed\")::VARCHAR%s", there ? "coalesce(\"add\".\"stats\", " : "",
                   there ? ")" : "");
    else if (c == TAGS)
        buf_printf(sql, "to_json(\"%s\".\"tags\")::VARCHAR", action);
    else if (in_dv)
        buf_printf(sql, "\"%s\".\"deletionVector\".\"%s\"::%s", action, name, file_columns[c].type);
    else
        buf_printf(sql, "\"%s\".\"%s\"::%s", action, name, file_columns[c].type);
    return true;
}

static int64_t number_or(const struct engine_vector *v, uint32_t row, int64_t absent)
{
    return engine_is_null(v, row) ? absent : engine_i64(v, row);
}

static struct delta_kv *read_parts(const struct engine_vector *v, uint32_t row, struct arena *arena, uint32_t *ret_n)
{
    *ret_n = 0;
    if (engine_is_null(v, row))
        return NULL;
    struct listview at = ((const struct listview *)v->data)[row];
    const struct engine_vector *key = &v->children[0].children[0], *value = &v->children[0].children[1];
    struct delta_kv *kv = ARENA_NEW_N(arena, struct delta_kv, at.length);
    for (uint64_t i = 0; i < at.length; i++) {
        kv[i].key = engine_str(key, at.offset + i);
        if (!engine_is_null(value, at.offset + i)) {
            kv[i].value = engine_str(value, at.offset + i);
            if (!kv[i].value.p)
                kv[i].value.p = "";
        }
    }
    *ret_n = (uint32_t)at.length;
    return kv;
}

/* A row as a file. Strings are borrowed from the chunk, the rest is in `arena`. */
static int read_file(const struct engine_vector *const *c, uint32_t row, struct arena *arena, struct delta_file *f,
                     struct err *err)
{
    *f = (struct delta_file){
        .raw_path = engine_str(c[PATH], row),
        .stats = engine_str(c[STATS], row),
        .size = number_or(c[SIZE], row, -1),
        .time_ms = number_or(c[TIME], row, 0),
        .base_row_id = number_or(c[ROW_ID], row, -1),
        .row_commit_version = number_or(c[ROW_VERSION], row, -1),
        .extended = engine_bool(c[EXTENDED], row),
    };
    f->num_records = delta_stats_num_records(f->stats);
    f->parts = read_parts(c[PARTS], row, arena, &f->n_parts);
    struct str tags = engine_str(c[TAGS], row), provider = engine_str(c[PROVIDER], row);
    if ((tags.n && !str_is(tags, "{}")) || provider.n) {
        f->extra = ARENA_NEW(arena, struct delta_file_extra);
        *f->extra = (struct delta_file_extra){str_is(tags, "{}") ? (struct str){0} : tags, provider};
    }
    struct str storage = engine_str(c[DV_STORAGE], row);
    if (storage.n) {
        f->dv = ARENA_NEW(arena, struct delta_dv_desc);
        *f->dv = (struct delta_dv_desc){storage.p[0], (int32_t)number_or(c[DV_OFFSET], row, -1),
                                        (int32_t)engine_i64(c[DV_SIZE], row), engine_i64(c[DV_CARDINALITY], row),
                                        engine_str(c[DV_PATH], row)};
        if (storage.n != 1 || !strchr("uip", storage.p[0]))
            return err_set(err, ERR_INPUT, "deletionVector.storageType \"%.*s\" is none of u, i, p", STR_ARG(storage));
    }
    if (!f->raw_path.n)
        return err_set(err, ERR_INPUT, "a file without a path");
    return delta_path_decode(f->raw_path, arena, &f->path, err);
}

static void find_columns(const struct engine_chunk *chunk, const bool *there, const struct engine_vector **ret)
{
    static const struct engine_type null = {.kind = ENGINE_SQLNULL};
    static const struct engine_vector absent = {.type = &null};
    uint32_t n = 0;

    for (enum file_column c = 0; c < N_FILE_COLUMNS; c++)
        ret[c] = there[c] ? &chunk->cols[n++] : &absent;
}

enum { AHEAD = 8 };

struct files_read {
    struct delta_replay *r;
    int64_t version;
    enum delta_kind kind;
    bool there[N_FILE_COLUMNS];
};

static int take_files(void *ctx, const struct engine_chunk *chunk, struct err *err)
{
    struct files_read *read = ctx;
    const struct engine_vector *cols[N_FILE_COLUMNS];
    struct delta_file file;
    struct delta_action a = {.kind = read->kind, .file = &file};

    arena_reset(&read->r->scratch);
    find_columns(chunk, read->there, cols);
    for (uint32_t i = 0; i < chunk->n; i++) {
        if (i + AHEAD < chunk->n)
            delta_files_foresee(read->r->s->files, engine_str(cols[PATH], i + AHEAD));
        TRY(read_file(cols, i, &read->r->scratch, &file, err));
        TRY(delta_replay_action(read->r, &a, read->version, err));
    }
    return 0;
}

static int read_files(struct checkpoint_file *f, const char *action, int64_t version, struct err *err)
{
    CLEANUP(buf_deinit) struct buf columns = {0};
    CLEANUP(buf_deinit) struct buf from = {0};
    struct files_read read = {f->r, version, action[0] == 'r' ? DELTA_REMOVE : DELTA_ADD, {0}};

    if (!child_type(column_type(f, action), "path"))
        return 0;
    for (enum file_column c = 0; c < N_FILE_COLUMNS; c++)
        read.there[c] = select_column(f, &columns, action, c);
    buf_printf(&from, "FROM read_parquet(%s) WHERE \"%s\".\"path\" IS NOT NULL", f->path, action);
    return engine_visit(f->conn, columns.p, from.p, take_files, &read, err);
}

static int read_parquet(struct delta_replay *r, const char *key, int64_t version, bool small, bool files,
                        struct err *err)
{
    CLEANUP(buf_deinit) struct buf path = {0};
    CLEANUP(buf_deinit) struct buf literal = {0};
    CLEANUP(buf_deinit) struct buf sql = {0};
    CLEANUP(engine_conn_freep) struct engine_conn *conn = NULL;
    CLEANUP(engine_conn_freep) struct engine_conn *second = NULL;
    CLEANUP(engine_result_freep) struct engine_result *shape = NULL;

    if (!r->engine)
        return err_set(err, ERR_USAGE, "a Parquet checkpoint cannot be read without the engine");
    store_local_path(r->store, key, &path);
    buf_add_sql_literal(&literal, buf_str(&path));
    buf_printf(&sql, "SELECT * FROM read_parquet(%s) LIMIT 0", literal.p);
    TRY(engine_connect(r->engine, &conn, err));
    TRY(engine_connect(r->engine, &second, err)); /* `shape` keeps the first one busy */
    TRY(engine_query(conn, sql.p, &shape, err));
    struct checkpoint_file f = {r, second, literal.p, shape};
    if (small)
        TRY(read_small_actions(&f, version, err));
    if (files) {
        TRY(read_files(&f, "remove", version, err));
        delta_files_pack_begin(r->s->files);
        int rc = read_files(&f, "add", version, err);
        delta_files_pack_end(r->s->files);
        return rc;
    }
    return 0;
}

static int read_one(struct delta_replay *r, const struct delta_log_checkpoint *c, const char *key, bool small,
                    bool files, struct err *err)
{
    CLEANUP(buf_deinit) struct buf b = {.max = DELTA_MAX_COMMIT};

    if (!c->json)
        return read_parquet(r, key, c->version, small, files, err);
    if (!small)
        return 0;
    TRY(store_get(r->store, key, &b, err));
    return delta_replay_json(r, buf_str(&b), c->version, err);
}

static int read_sidecar(struct delta_replay *r, const struct delta_sidecar *s, int64_t version, struct err *err)
{
    CLEANUP(buf_deinit) struct buf key = {0};

    if (!memchr(s->path.p, '/', s->path.n))
        buf_add_cstr(&key, "_delta_log/_sidecars/");
    buf_add_str(&key, s->path);
    if (read_parquet(r, key.p, version, false, true, err) < 0)
        return err_wrap(err, "sidecar %.*s", STR_ARG(s->path));
    return 0;
}

int delta_replay_checkpoint_top(struct delta_replay *r, const struct delta_log_checkpoint *c, struct err *err)
{
    for (int32_t i = 0; i < c->n_keys; i++)
        TRY(read_one(r, c, c->keys[i], true, false, err));
    return 0;
}

/* What is not a file first, of all parts: it says how files are to be read. */
int delta_replay_checkpoint(struct delta_replay *r, const struct delta_log_checkpoint *c, struct err *err)
{
    TRY(delta_replay_checkpoint_top(r, c, err));
    for (int32_t i = 0; i < c->n_keys; i++)
        TRY(read_one(r, c, c->keys[i], false, true, err));
    for (size_t i = 0; i < r->n_sidecars; i++)
        TRY(read_sidecar(r, &r->sidecars[i], c->version, err));
    r->n_sidecars = 0;
    if (!r->protocol || !r->metadata)
        return err_set(err, ERR_INPUT, "it holds no %s", r->protocol ? "metaData" : "protocol");
    return 0;
}
