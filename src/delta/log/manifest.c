/* Files sorted by their partition's folder, and a manifest for each run of them. */
#include "delta/log/manifest.h"

#include "base/mem.h"
#include "codec/delta_partition.h"

#include <stdlib.h>

#define FOLDER "_symlink_format_manifest"

struct line {        /* of a manifest */
    const char *key; /* the manifest's */
    const char *path;
};

struct manifests {
    struct arena arena;
    struct line *lines;
    size_t n, cap;
};

static void manifests_deinit(struct manifests *m)
{
    mem_free(m->lines);
    arena_deinit(&m->arena);
}

static int check(const struct delta_snapshot *s, struct err *err)
{
    if (s->head->mapping != DELTA_MAPPING_NONE)
        return err_set(err, ERR_UNSUPPORTED,
                       "manifests are not for tables with column mapping: "
                       "those who read them do not know it");
    if (!s->n_dvs)
        return 0;
    err_set(err, ERR_UNSUPPORTED, "manifests are not for tables with deletion vectors: %llu files have some",
            (unsigned long long)s->n_dvs);
    return err_hint(err, "ALTER TABLE … SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'false'), "
                         "then REORG TABLE … APPLY (PURGE)");
}

static const char *manifest_key(struct manifests *m, const struct delta_metadata *meta, const struct delta_file *f)
{
    CLEANUP(buf_deinit) struct buf key = {0};

    buf_add_cstr(&key, FOLDER "/");
    for (uint32_t i = 0; i < meta->n_partition_columns; i++) {
        struct str name = meta->partition_columns[i];
        delta_partition_dir(name, delta_kv_get(f->parts, f->n_parts, name), &key);
        buf_add_char(&key, '/');
    }
    buf_add_cstr(&key, "manifest");
    return arena_strdup(&m->arena, buf_str(&key));
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct line *)a)->key, ((const struct line *)b)->key);
}

static int by_key_and_path(const void *a, const void *b)
{
    int order = by_key(a, b);

    return order ? order : strcmp(((const struct line *)a)->path, ((const struct line *)b)->path);
}

static void collect(struct manifests *m, struct store *store, const struct delta_snapshot *s)
{
    const struct delta_metadata *meta = s->head->metadata;
    CLEANUP(buf_deinit) struct buf path = {0};
    const struct delta_file *f;
    size_t cursor = 0;

    while ((f = delta_snapshot_next(s, &cursor))) {
        buf_reset(&path);
        store_local_path(store, arena_strdup(&m->arena, f->path), &path);
        MEM_GROW(m->lines, m->n, m->cap);
        m->lines[m->n++] = (struct line){manifest_key(m, meta, f), arena_strdup(&m->arena, buf_str(&path))};
    }
    if (!m->n && !meta->n_partition_columns) { /* an empty table has an empty manifest: it is not unknown */
        MEM_GROW(m->lines, m->n, m->cap);
        m->lines[m->n++] = (struct line){FOLDER "/manifest", NULL};
    }
    if (m->n)
        qsort(m->lines, m->n, sizeof *m->lines, by_key_and_path);
}

static bool is_written(const struct manifests *m, const char *key)
{
    return m->n && bsearch(&(struct line){.key = key}, m->lines, m->n, sizeof *m->lines, by_key);
}

/* Manifests of partitions that are gone, and Hadoop's checksums of what was there before. */
static int remove_others(const struct manifests *m, struct store *store, struct err *err)
{
    CLEANUP(store_list_deinit) struct store_list list = {0};

    TRY(store_list(store, FOLDER, NULL, true, &list, err));
    for (size_t i = 0; i < list.n; i++)
        if (!is_written(m, list.v[i].key))
            TRY(store_remove(store, list.v[i].key, err));
    return 0;
}

int delta_manifest_write(struct store *store, const struct delta_snapshot *s, struct err *err)
{
    CLEANUP(manifests_deinit) struct manifests m = {0};
    CLEANUP(buf_deinit) struct buf text = {0};

    TRY(check(s, err));
    collect(&m, store, s);
    for (size_t i = 0; i < m.n; i++) {
        if (m.lines[i].path)
            buf_printf(&text, "%s%s\n", m.lines[i].path[0] == '/' ? "file:" : "", m.lines[i].path);
        if (i + 1 < m.n && strcmp(m.lines[i].key, m.lines[i + 1].key) == 0)
            continue;
        TRY(store_put(store, m.lines[i].key, buf_str(&text), err));
        buf_reset(&text);
    }
    return remove_others(&m, store, err);
}

int delta_manifest_follow(struct store *store, const struct delta_snapshot *s, struct err *err)
{
    if (!delta_snapshot_property_is_true(s, STR(DELTA_MANIFEST_PROPERTY)))
        return 0;
    if (delta_manifest_write(store, s, err))
        return err_wrap(err, "version %lld is committed, but its manifests are not written", (long long)s->version);
    return 0;
}
