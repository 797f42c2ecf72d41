/* Looks into the footers, and makes the copies: beside the table's files, where new ones are written, too, or where queries spill. */
#include "delta/scan/scan_variants.h"

#include "base/file.h"
#include "base/mem.h"
#include "engine/variant_file.h"

#include <stdatomic.h>
#include <unistd.h>

static void path_of(struct store *store, struct str key, struct buf *ret)
{
    CLEANUP(mem_freep) char *name = mem_strndup(key.p, key.n);

    store_local_path(store, name, ret);
}

static int copy_path(const struct scan_variants *v, struct store *store, struct buf *ret, struct err *err)
{
    static atomic_uint serial;

    if (!v->copies_in) {
        store_temp_path(store, ".parquet", ret);
        return 0;
    }
    TRY(file_make_dirs(v->copies_in, err));
    buf_printf(ret, "%s/variants-%u.parquet", v->copies_in, atomic_fetch_add(&serial, 1));
    return 0;
}

static int copy(struct scan_variants *v, uint32_t i, struct store *store, struct str key, struct err *err)
{
    CLEANUP(buf_deinit) struct buf path = {0}, to = {0};

    path_of(store, key, &path);
    TRY(copy_path(v, store, &to, err));
    TRY(variant_file_bare(path.p, to.p, err));
    v->copies[i] = buf_take(&to);
    return 0;
}

int scan_variants_load(struct scan_variants *v, struct store *store, const struct delta_file *const *files, uint32_t n,
                       bool all, struct err *err)
{
    CLEANUP(mem_freep) struct parquet_variants *found = MEM_NEW_N(struct parquet_variants, n + 1);

    v->copies = MEM_NEW_N(char *, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        CLEANUP(buf_deinit) struct buf path = {0};
        path_of(store, files[i]->path, &path);
        TRY(variant_file_look(path.p, &found[i], err));
        all &= !found[i].shredded;
    }
    v->bare = all && n;
    for (uint32_t i = 0; i < n; i++)
        if (found[i].any && (all || (found[i].nulls && !found[i].shredded)))
            TRY(copy(v, i, store, files[i]->path, err));
    return 0;
}

void scan_variants_deinit(struct scan_variants *v, uint32_t n)
{
    for (uint32_t i = 0; v->copies && i < n; i++) {
        if (v->copies[i])
            unlink(v->copies[i]);
        mem_free(v->copies[i]);
    }
    mem_free(v->copies);
}

int scan_bare_head(const struct delta_head *head, struct delta_head **ret, struct err *err)
{
    TRY(delta_head_new(head->protocol, head->metadata, ret, err));
    parquet_bare_schema((*ret)->schema);
    return 0;
}
