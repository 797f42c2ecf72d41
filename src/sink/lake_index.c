/*
 * The key index of a table: opened when it fits the log's version, brought up to date when it lags, else built anew.
 *
 * The index file says which version it reflects. Commits that it lacks only matter for the files that they added: a
 * row that was masked since is an entry that no look-up believes (lake_table_live_row). The files of the open epoch, or
 * of a staged table, come on top.
 */
#include "sink/lake_file.h"
#include "sink/lake_merge.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "delta/index/key_hash.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

enum {
    REPLAY_MAX = 64,     /* more commits than this behind: building anew is as fast */
    LAG_MAX = 32,        /* commits that the file may lag while in use */
    OVERLAY_BYTES = 256, /* of memory allowed for each entry of an epoch's overlay, which takes a quarter of it */
};

struct key_rows { /* keys of live rows, as they were read */
    struct hash128 *hashes;
    uint32_t *files, *rows;
    size_t n, cap;
};

static void key_rows_deinit(struct key_rows *k)
{
    mem_free(k->hashes);
    mem_free(k->files);
    mem_free(k->rows);
}

static void vector_view(const struct engine_vector *v, const struct type *type, struct key_col_view *ret,
                        struct arena *arena)
{
    *ret = (struct key_col_view){.type = type, .data = v->data, .valid = v->valid};
    if (type->id == TYPE_ARRAY) {
        struct key_col_view *child = ARENA_NEW(arena, struct key_col_view);
        vector_view(&v->children[0], &type->children[0].type, child, arena);
        ret->child = child;
    }
}

void lake_keys_deinit(struct lake_keys *k)
{
    schema_unref(k->schema);
    mem_free(k->cols);
    buf_deinit(&k->sql);
    *k = (struct lake_keys){0};
}

int lake_keys_of(struct lake_table *t, struct lake_file *f, struct lake_keys *ret, struct err *err)
{
    *ret = (struct lake_keys){.schema = schema_ref(t->write),
                              .cols = mem_dup(t->key_cols, t->n_keys * sizeof *t->key_cols),
                              .n = t->n_keys,
                              .fingerprint = key_fingerprint(t->write, t->key_cols, t->n_keys)};
    buf_add_cstr(&ret->sql, "SELECT file_row_number");
    for (size_t k = 0; k < t->n_keys; k++) {
        buf_add_cstr(&ret->sql, ", ");
        buf_add_sql_ident(&ret->sql, t->write->fields[t->key_cols[k]].physical);
    }
    buf_add_cstr(&ret->sql, " FROM ");
    return lake_file_from(t, f, t->write, &ret->sql, err);
}

void lake_keys_hash(const struct lake_keys *k, const struct engine_chunk *c, struct hash128 *ret)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct key_col_view *views = ARENA_NEW_N(&arena, struct key_col_view, k->n);

    for (size_t i = 0; i < k->n; i++)
        vector_view(&c->cols[i + 1], &k->schema->fields[k->cols[i]].type, &views[i], &arena);
    key_hash_rows(views, k->n, 0, c->n, ret);
}

static void hash_chunk(const struct lake_keys *k, const struct lake_file *f, const struct engine_chunk *c,
                       struct key_rows *out)
{
    if (out->n + c->n > out->cap) {
        out->cap = MAX(out->cap * 2, (size_t)16384);
        out->hashes = mem_realloc_n(out->hashes, out->cap, sizeof *out->hashes);
        out->files = mem_realloc_n(out->files, out->cap, sizeof *out->files);
        out->rows = mem_realloc_n(out->rows, out->cap, sizeof *out->rows);
    }
    struct hash128 *hashes = out->hashes + out->n; /* closed up below, where masked rows fall out */
    lake_keys_hash(k, c, hashes);
    const int64_t *rows = c->cols[0].data;
    for (uint32_t i = 0; i < c->n; i++) {
        if (dv_contains(&f->dv, (uint64_t)rows[i]))
            continue;
        out->hashes[out->n] = hashes[i];
        out->files[out->n] = f->id;
        out->rows[out->n] = (uint32_t)rows[i];
        out->n++;
    }
}

/* Reads the keys of a file's live rows in chunks and hands them to `take`. */
static int scan_keys(struct lake_table *t, struct lake_file *f, int (*take)(void *, struct key_rows *, struct err *),
                     void *arg, struct err *err)
{
    CLEANUP(lake_keys_deinit) struct lake_keys keys = {0};
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(key_rows_deinit) struct key_rows rows = {0};
    const struct engine_chunk *chunk;
    int rc;

    TRY(lake_file_load_dv(t, f, err));
    TRY(lake_keys_of(t, f, &keys, err));
    TRY(engine_query(t->env->conn, keys.sql.p, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0) {
        hash_chunk(&keys, f, chunk, &rows);
        if (rows.n >= 8192) {
            TRY(take(arg, &rows, err));
            rows.n = 0;
        }
    }
    TRY(rc);
    return rows.n ? take(arg, &rows, err) : 0;
}

static int take_into_build(void *arg, struct key_rows *k, struct err *err)
{
    return key_index_build_add(arg, k->hashes, k->files, k->rows, k->n, err);
}

static int take_into_index(void *arg, struct key_rows *k, struct err *err)
{
    struct lake_table *t = arg;

    for (size_t i = 0; i < k->n; i++) {
        int rc = t->rel->identity == IDENTITY_KEY
                     ? key_index_replace(t->index, k->hashes[i], k->files[i], k->rows[i], err)
                     : key_index_put(t->index, k->hashes[i], k->files[i], k->rows[i], err);
        TRY(rc);
    }
    return 0;
}

static int take_out_of_index(void *arg, struct key_rows *k, struct err *err)
{
    struct lake_table *t = arg;

    for (size_t i = 0; i < k->n; i++)
        TRY(key_index_del(t->index, k->hashes[i], k->files[i], k->rows[i], err));
    return 0;
}

int lake_index_add_file(struct lake_table *t, struct lake_file *f, struct err *err)
{
    return lake_index_rc(t, scan_keys(t, f, take_into_index, t, err), err);
}

int lake_index_remove_file(struct lake_table *t, struct lake_file *f, struct err *err)
{
    return scan_keys(t, f, take_out_of_index, t, err);
}

int lake_index_rc(const struct lake_table *t, int rc, struct err *err)
{
    if (rc != ERR_LIMIT)
        return rc;
    err_set(err, ERR_UNSUPPORTED, "table %s: too many rows are equal in every column, and it has no key", t->name);
    return err_hint(err, "give the table a primary key, or exclude it");
}

/* Does the log have what the files say? Not when the open epoch has masked rows, or removed files: an index made now lacks
 * them, and must not count as the log's version if the epoch comes to nothing. */
static bool is_as_logged(const struct lake_table *t)
{
    size_t cursor = 0;
    void *p;

    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        const struct lake_file *f = p;
        if (!f->pending && (f->doomed || f->dv_dirty))
            return false;
    }
    return true;
}

static int build(struct lake_table *t, const char *path, const struct key_index_options *opt, int64_t version,
                 struct err *err)
{
    CLEANUP(key_index_build_freep) struct key_index_build *b = NULL;
    size_t cursor = 0;
    void *p;

    TRY(key_index_build_begin(path, opt, &b, err));
    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        struct lake_file *f = p;
        if (lake_file_is_live(f) && (!f->pending || t->state == LAKE_STAGED))
            TRY(scan_keys(t, f, take_into_build, b, err));
    }
    return lake_index_rc(t, key_index_build_finish(b, version, &t->index, err), err);
}

/* The files that a commit added, as far as they still live. */
static int replay_commit(struct lake_table *t, int64_t version, struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct delta_actions actions = {0};

    TRY(delta_commit_read(t->store, version, &arena, &actions, err));
    for (size_t i = 0; i < actions.n; i++) {
        if (actions.v[i].kind != DELTA_ADD)
            continue;
        struct lake_file *f = imap_get(&t->files, lake_file_id(actions.v[i].file->path));
        bool masked_only = false;
        for (size_t j = 0; j < actions.n && !masked_only; j++)
            masked_only = actions.v[j].kind == DELTA_REMOVE && str_eq(actions.v[j].file->path, actions.v[i].file->path);
        if (f && !masked_only && lake_file_is_live(f))
            TRY(lake_index_add_file(t, f, err));
    }
    return 0;
}

/* Brings an index that lags up to the log's version; false when it has to be built anew. */
static bool catch_up(struct lake_table *t, int64_t version)
{
    int64_t from = key_index_info(t->index).version;
    struct err err;

    if (from < 0 || from > version || version - from > REPLAY_MAX || (from < version && !is_as_logged(t)))
        return false;
    for (int64_t v = from + 1; v <= version; v++)
        if (replay_commit(t, v, &err))
            return false;
    return from == version || key_index_commit(t->index, version, &err) == 0;
}

/* Schema "a.b" with table "c" is not schema "a" with table "b.c". No schema in a lake has a backslash. */
static char *index_path(const struct lake_table *t)
{
    char *path = mem_printf("%s/index/%s.idx", t->env->state_dir, t->name);
    char *schema = path + strlen(t->env->state_dir) + strlen("/index/");

    for (size_t i = 0; i < t->schema_bytes; i++)
        if (schema[i] == '.')
            schema[i] = '\\';
    return path;
}

int lake_index_drop(struct lake_table *t, struct err *err)
{
    CLEANUP(mem_freep) char *path = index_path(t);

    key_index_free(TAKE_PTR(t->index));
    if (unlink(path) && errno != ENOENT)
        return err_set_errno(err, "cannot remove %s", path);
    return 0;
}

int lake_index_ready(struct lake_table *t, struct err *err)
{
    CLEANUP(mem_freep) char *dir = NULL, *path = index_path(t);
    int64_t version = -1;
    size_t cursor = 0;
    void *p;

    if (t->index)
        return 0;
    dir = mem_printf("%s/index", t->env->state_dir);
    TRY(file_make_dirs(dir, err));
    struct key_index_options opt = {.table_id = hash64(t->uuid, strlen(t->uuid)),
                                    .fingerprint = key_fingerprint(t->write, t->key_cols, t->n_keys),
                                    .lag_max = LAG_MAX,
                                    .overlay_max = t->env->index_memory / OVERLAY_BYTES,
                                    .rss_max = t->env->index_memory / 2,
                                    .build_mem_max = t->env->index_memory};
    if (t->state != LAKE_STAGED) {
        struct delta_snapshot *s = delta_table_snapshot(t->delta);
        version = s->version;
        delta_snapshot_unref(s);
        struct err why;
        int rc = key_index_open(path, &opt, &t->index, &why);
        if (rc && rc != ERR_NOT_FOUND) {
            if (err)
                *err = why;
            return err_wrap(err, "key index of table %s", t->name);
        }
        if (t->index && !catch_up(t, version)) {
            key_index_free(t->index);
            t->index = NULL;
        }
    }
    if (!t->index) {
        if (build(t, path, &opt, is_as_logged(t) ? version : -1, err))
            return err_wrap(err, "key index of table %s", t->name);
        log_debug("index_built", "table=%s keys=%llu", t->name, (unsigned long long)key_index_info(t->index).n);
    }
    while (t->state != LAKE_STAGED && imap_next(&t->files, &cursor, NULL, &p) == 0)
        if (((struct lake_file *)p)->pending && lake_file_is_live(p))
            TRY(lake_index_add_file(t, p, err));
    return 0;
}

int lake_table_find(struct lake_table *t, struct hash128 hash, struct lake_file **ret, uint32_t *ret_row,
                    struct err *err)
{
    struct key_cursor c = key_index_get(t->index, hash);
    uint32_t file;

    *ret = NULL;
    while (!*ret && key_cursor_next(&c, &file, ret_row) == 0)
        TRY(lake_table_live_row(t, file, *ret_row, ret, err));
    return 0;
}
