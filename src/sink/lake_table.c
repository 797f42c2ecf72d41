/*
 * The life of a table: opened or staged, following a relation, committed and minded, set aside. Rows come in by lake_apply.c and go to
 * files by lake_flush.c; the commit itself is in lake_commit.c, files and their vectors in lake_file.c.
 */
#include "sink/lake_table.h"

#include "base/mem.h"
#include "delta/index/key_hash.h"
#include "sink/lake_file.h"
#include "sink/lake_partition.h"

static struct lake_table *table_new(const struct lake_env *env, struct table_name name)
{
    struct lake_table *t = MEM_NEW(struct lake_table);
    CLEANUP(mem_freep)
    char *path = mem_printf("%s/%.*s/%.*s", env->root, STR_ARG(name.schema), STR_ARG(name.table));

    t->env = env;
    t->name = mem_printf("%.*s.%.*s", STR_ARG(name.schema), STR_ARG(name.table));
    t->schema_bytes = name.schema.n;
    t->store = store_local_new(path);
    t->vectors = lake_has_vectors(env, name);
    t->feed = env->feeds_changes && env->feeds_changes(env->ctx, name);
    t->next_file = 1;
    t->compacted_to = -1;
    return t;
}

static void forget_files(struct lake_table *t)
{
    size_t cursor = 0;
    void *f;

    while (imap_next(&t->files, &cursor, NULL, &f) == 0)
        lake_file_free(f);
    imap_deinit(&t->files);
}

void lake_table_free(struct lake_table *t)
{
    if (!t)
        return;
    lake_table_stop_work(t);
    forget_files(t);
    lake_partition_deinit(t);
    arena_deinit(&t->part_arena);
    key_index_free(t->index);
    row_buffer_deinit(&t->buffer);
    delta_table_free(t->delta);
    store_unref(t->store);
    relation_unref(t->rel);
    schema_unref(t->source);
    schema_unref(t->lake);
    schema_unref(t->write);
    schema_unref(t->tracked);
    mem_free(t->row_id);
    mem_free(t->key_cols);
    mem_free(t->hashes);
    mem_free(t->reason);
    mem_free(t->name);
    mem_free(t);
}

/* Rows of a file whose writer did not say how many. */
static int count_rows(struct lake_table *t, struct lake_file *f, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0}, path = {0};
    int64_t rows;

    store_local_path(t->store, f->path, &path);
    buf_add_cstr(&sql, "SELECT count(*) FROM read_parquet(");
    buf_add_sql_literal(&sql, buf_str(&path));
    buf_add_cstr(&sql, ", hive_partitioning=false)");
    TRY(engine_query_i64(t->env->conn, sql.p, &rows, err));
    f->rows = (uint32_t)rows;
    return 0;
}

/* Fills t->files from the log, instead of what is there. */
static int load_files(struct lake_table *t, struct err *err)
{
    struct delta_snapshot *s = delta_table_snapshot(t->delta);
    const struct delta_file *df;
    size_t cursor = 0;
    int rc = 0;

    forget_files(t);
    while (rc == 0 && (df = delta_snapshot_next(s, &cursor))) {
        uint32_t id = lake_file_id(df->path);
        if (imap_get(&t->files, id)) {
            rc = err_set(err, ERR_UNSUPPORTED, "table %s: two data files have the number %u", t->name, id);
            break;
        }
        struct lake_file *f = lake_table_add_file(t, id, df->path, lake_partition_logged(t, df));
        f->size = df->size;
        f->rows = (uint32_t)MAX(df->num_records, 0);
        if (df->num_records < 0 && t->env->conn)
            rc = count_rows(t, f, err);
        f->masked = df->dv ? (uint64_t)df->dv->cardinality : 0;
        f->dv_loaded = df->dv == NULL;
    }
    delta_snapshot_unref(s);
    return rc;
}

int lake_table_open(const struct lake_env *env, struct table_name name, struct lake_table **ret, struct err *err)
{
    CLEANUP(lake_table_freep) struct lake_table *t = table_new(env, name);
    bool exists;
    int64_t position, next_file, gone;

    *ret = NULL;
    TRY(delta_table_exists(t->store, &exists, err));
    if (!exists)
        return 0;
    int rc = delta_table_open(t->store, env->engine, &t->delta, err);
    if (rc == ERR_INPUT || rc == ERR_NOT_FOUND)
        err_wrap(err, "it cannot be read (remove its folder, and --resync copies it anew)");
    if (rc)
        return err_wrap(err, "table %s", t->name);
    t->delta->checkpoint_interval = env->checkpoint_interval;
    struct delta_snapshot *s = delta_table_snapshot(t->delta);
    t->compacted_to = s->version;
    if (delta_snapshot_txn(s, str_of(env->app_id), &position))
        t->position = (uint64_t)position;
    CLEANUP(mem_freep) char *files_app = mem_printf("%s" LAKE_FILES_APP, env->app_id);
    if (delta_snapshot_txn(s, str_of(files_app), &next_file))
        t->next_file = (uint32_t)next_file;
    CLEANUP(mem_freep) char *gone_app = mem_printf("%s" LAKE_GONE_APP, env->app_id);
    if (delta_snapshot_txn(s, str_of(gone_app), &gone))
        t->gone = (uint64_t)gone;
    snprintf(t->uuid, sizeof t->uuid, "%.*s", STR_ARG(s->head->metadata->id));
    t->lake = schema_clone(s->head->schema);
    t->mapped = s->head->mapping != DELTA_MAPPING_NONE;
    int64_t max_id = 0;
    if (str_to_i64(delta_snapshot_property(s, STR("delta.columnMapping.maxColumnId")), &max_id))
        t->max_column_id = (int32_t)max_id;
    t->schema_dirty = t->vectors != str_is(delta_snapshot_property(s, STR("delta.enableDeletionVectors")), "true") ||
                      (t->feed && !s->head->cdf);
    struct str row_id = delta_snapshot_property(s, STR("delta.rowTracking.materializedRowIdColumnName"));
    t->row_id = s->head->row_tracking && row_id.n ? mem_strndup(row_id.p, row_id.n) : NULL;
    struct str storage = delta_snapshot_property(s, STR("sluice.storage"));
    int64_t attributes = 0;
    if (str_to_i64(str_split(&storage, ' '), &t->storage) && str_to_i64(str_split(&storage, ' '), &attributes))
        t->attributes = (int)attributes;
    if (!str_to_i64(storage, &t->shape))
        t->shape = 0; /* of a table that was made before this was noted */
    struct err why;
    rc = lake_partition_open(t, s->head->metadata, &why);
    delta_snapshot_unref(s);
    if (rc == ERR_UNSUPPORTED)
        lake_table_quarantine(t, why.msg);
    else if (rc)
        return err_set(err, why.code, "%s", why.msg);
    TRY(load_files(t, err));
    *ret = TAKE_PTR(t);
    return 0;
}

int lake_table_stage(const struct lake_env *env, const struct relation *rel, const struct schema *schema,
                     uint64_t position, uint64_t hold_until, struct lake_table **ret, struct err *err)
{
    struct table_name name = {rel->schema, rel->name};
    CLEANUP(lake_table_freep) struct lake_table *t = NULL;

    TRY(lake_table_open(env, name, &t, err));
    if (t) { /* copied anew: its files go when the new ones come */
        size_t cursor = 0;
        void *f;
        while (imap_next(&t->files, &cursor, NULL, &f) == 0)
            ((struct lake_file *)f)->doomed = true;
        t->replace_all = true;
        schema_unref(TAKE_PTR(t->lake));
        TRY(lake_index_drop(t, err));
    } else {
        t = table_new(env, name);
        delta_uuid(t->uuid);
    }
    t->state = LAKE_STAGED;
    t->position = position;
    t->hold_until = hold_until;
    t->dirty = true;
    TRY(lake_partition_stage(t, name, schema, err));
    TRY(lake_table_relation(t, rel, schema, err));
    *ret = TAKE_PTR(t);
    return 0;
}

void lake_table_quarantine(struct lake_table *t, const char *reason)
{
    mem_free(t->reason);
    t->reason = mem_strdup(reason);
    t->state = LAKE_QUARANTINED;
    row_buffer_reset(&t->buffer);
    key_index_free(TAKE_PTR(t->index));
    t->dirty = false;
}

int lake_table_relation(struct lake_table *t, const struct relation *rel, const struct schema *schema, struct err *err)
{
    CLEANUP(schema_unrefp) struct schema *before = t->lake ? schema_ref(t->lake) : NULL;

    TRY(lake_table_flush(t, err));
    uint64_t old = t->n_keys ? key_fingerprint(t->write, t->key_cols, t->n_keys) : 0;
    TRY(lake_schema_evolve(t, rel, schema, err));
    relation_unref(t->rel);
    schema_unref(t->source);
    t->rel = relation_ref(rel);
    t->source = schema_ref(schema);
    t->key_cols = mem_realloc_n(t->key_cols, rel->n_columns + 1, sizeof *t->key_cols);
    t->n_keys = 0;
    for (uint32_t i = 0; i < rel->n_columns; i++)
        if ((rel->identity == IDENTITY_KEY && rel->columns[i].key_seq) ||
            (rel->identity == IDENTITY_ROW && key_type_ok(&schema->fields[i].type)))
            t->key_cols[t->n_keys++] = (int)i;
    if (old && (!t->n_keys || old != key_fingerprint(t->write, t->key_cols, t->n_keys))) {
        key_index_free(t->index); /* the key is another: the index is built anew by the next row */
        t->index = NULL;
    }
    return lake_backfill(t, before, err);
}

int lake_table_commit(struct lake_table *t, uint64_t lsn, struct err *err)
{
    if (t->state == LAKE_QUARANTINED || !t->dirty || (t->state == LAKE_STAGED && lsn < t->hold_until))
        return 0;
    TRY(lake_commit(t, lsn, err));
    TRY(lake_compact(t, err));
    TRY(lake_checkpoint(t, err));
    return lake_vacuum(t, err);
}
