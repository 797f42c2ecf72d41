/* The files that a copy wrote: numbered and listed, and taken back. */
#include "pipeline/copy_chunk.h"

#include "base/mem.h"
#include "engine/parquet_write.h"
#include "sink/lake_file.h"

#include <unistd.h>

void copy_files_deinit(struct copy_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        mem_free(files->v[i].path);
        mem_free(files->v[i].stats);
        mem_free(files->v[i].parts);
    }
    mem_free(files->v);
    *files = (struct copy_files){0};
}

int copy_add_file(const struct copy_chunk_task *task, struct store *store, const char *path, struct parquet_file *info,
                  struct str parts, struct copy_files *ret, struct err *err)
{
    uint32_t id = atomic_fetch_add(task->next_id, 1);
    CLEANUP(mem_freep) char *name = lake_file_name(id);

    TRY(store_adopt(store, path, name, err));
    MEM_GROW(ret->v, ret->n, ret->cap);
    ret->v[ret->n++] = (struct copy_file){.path = TAKE_PTR(name),
                                          .id = id,
                                          .rows = (uint32_t)info->rows,
                                          .size = (int64_t)info->bytes,
                                          .stats = buf_take(&info->stats),
                                          .parts = mem_strndup(parts.p, parts.n)};
    return 0;
}

void copy_files_unlink(const struct copy_chunk_task *task, struct copy_files *files)
{
    const struct relation *rel = task->table->rel;

    for (size_t i = 0; i < files->n; i++) {
        CLEANUP(mem_freep)
        char *path = mem_printf("%s/%.*s/%.*s/%s", task->config->lake, STR_ARG(rel->schema), STR_ARG(rel->name),
                                files->v[i].path);
        unlink(path);
    }
    copy_files_deinit(files);
}
