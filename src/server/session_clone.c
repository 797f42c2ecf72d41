/* CREATE TABLE … SHALLOW CLONE and CONVERT TO DELTA of a session. */
#include "server/session_internal.h"

#include "delta/ddl/clone.h"
#include "delta/ddl/convert.h"

static int open_source(struct session *s, const struct sql_table *source, struct open_table **ret,
                       struct delta_snapshot **ret_snapshot, struct err *err)
{
    const char *path;
    int64_t version;

    TRY(session_path(s, source, &path, err));
    path = arena_strdup(&s->arena, str_of(path));
    TRY(session_table_at(s, path, ret, err));
    TRY(session_travel(s, path, &source->travel, &version, err));
    if (version != LATEST)
        return delta_snapshot_open((*ret)->store, s->engine, version, ret_snapshot, err);
    *ret_snapshot = delta_table_snapshot((*ret)->table);
    return 0;
}

static int clone_to(struct session *s, const struct sql_clone *st, const char *path, bool there,
                    struct delta_cloned *ret, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *source = NULL;
    CLEANUP(store_unrefp) struct store *store = store_local_new(path);
    struct delta_kv *kv = ARENA_NEW_N(&s->arena, struct delta_kv, st->target.n_properties + 1);
    struct delta_clone c = {.properties = kv, .n_properties = st->target.n_properties};
    struct open_table *from, *to;

    for (uint32_t i = 0; i < st->target.n_properties; i++) {
        kv[i] = (struct delta_kv){st->target.properties[i].key, st->target.properties[i].value};
        TRY(delta_property_check(&kv[i], err));
    }
    TRY(delta_properties_check(kv, c.n_properties, err));
    TRY(open_source(s, &st->source, &from, &source, err));
    c.source = source;
    c.source_store = from->store;
    if (there) {
        TRY(session_table_at(s, path, &to, err));
        if (to == from)
            return err_set(err, ERR_USAGE, "a table cannot be replaced by a clone of itself: RESTORE does that");
        c.replaced = to->table;
    }
    TRY(delta_clone(&c, store, s->engine, ret, err));
    if (!there)
        session_forget(s, path);
    return 0;
}

int session_clone(struct session *s, const struct sql_clone *st, struct buf *out, struct err *err)
{
    const struct sql_create *t = &st->target;
    struct delta_cloned r = {0};
    const char *path;
    bool there;

    if (!st->shallow)
        return err_set(err, ERR_UNSUPPORTED,
                       "only SHALLOW CLONE is supported: CREATE TABLE … AS SELECT copies the rows");
    TRY(session_new_path(s, &t->table, t->location, &path, err));
    TRY(session_exists(path, &there, err));
    if (there && !t->or_replace && !t->replace_only && !t->if_not_exists)
        return err_set(err, ERR_EXISTS, "there is a table %.*s already", STR_ARG(t->table.name.text));
    if (!there && t->replace_only)
        return session_no_table(s, t->table.name.text, err);
    if (!there || t->or_replace || t->replace_only)
        TRY(clone_to(s, st, path, there, &r, err));
    buf_printf(out,
               "SELECT %lld::BIGINT AS source_table_size, %llu::BIGINT AS source_num_of_files, %llu::BIGINT AS "
               "num_removed_files, 0::BIGINT AS num_copied_files, %lld::BIGINT AS removed_files_size, 0::BIGINT AS "
               "copied_files_size",
               (long long)r.bytes, (unsigned long long)r.files, (unsigned long long)r.removed_files,
               (long long)r.removed_bytes);
    return 0;
}

int session_convert(struct session *s, const struct sql_convert *st, struct buf *out, struct err *err)
{
    CLEANUP(store_unrefp) struct store *store = NULL;
    struct field *partition = ARENA_NEW_N(&s->arena, struct field, st->n_partition + 1);
    struct delta_convert c = {partition, st->n_partition, st->no_statistics};
    const char *path;
    uint64_t files;

    TRY(session_folder(s, st->path, &path, err));
    store = store_local_new(path);
    if (!str_eq_nocase(st->format, STR("parquet")))
        return err_set(err, ERR_UNSUPPORTED, "CONVERT TO DELTA %.*s.`…` is not supported: only parquet.`…` is",
                       STR_ARG(st->format));
    for (uint32_t i = 0; i < st->n_partition; i++)
        partition[i] = st->partition[i].field;
    TRY(delta_convert(store, s->conn, &c, &files, err));
    session_forget(s, path);
    buf_printf(out, "SELECT %llu::BIGINT AS num_converted_files", (unsigned long long)files);
    return 0;
}
