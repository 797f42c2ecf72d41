/*
 * Building a key index from nothing, in bounded memory and sequentially.
 *
 *     add ──▶ 1024 partitions by the high bits of the hash, in chunks of 10 KiB; full chunks stay in memory up to
 *             build_mem_max, and go to a temporary file past it
 *     finish: partition by partition into the regions of the file (key_writer.c)
 */
#include "base/file.h"
#include "base/mem.h"
#include "delta/index/key_index.h"
#include "delta/index/key_table.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/mman.h>

enum {
    PARTS = KEY_CAP_STEP, /* one for each region of the file */
    CHUNK = 512,          /* entries */
    BUILD_MEM = 256 << 20,
};

struct chunk {
    struct chunk *next;
    uint32_t n;
    struct key_slot e[CHUNK];
};

struct part {
    struct chunk *head; /* the newest one is being filled */
    uint32_t *on_disk;  /* numbers of full chunks in the spill file */
    uint32_t n_disk, cap_disk;
};

struct key_index_build {
    char *path;
    struct key_index_options opt;
    struct part parts[PARTS];
    uint64_t n;
    size_t mem, mem_max; /* bytes of chunks */
    int spill_fd;        /* -1: none yet */
    uint32_t n_spilled;  /* chunks */
};

int key_index_build_begin(const char *path, const struct key_index_options *opt, struct key_index_build **ret,
                          struct err *err)
{
    struct key_index_build *b = MEM_NEW(struct key_index_build);

    (void)err;
    b->path = mem_strdup(path);
    b->opt = *opt;
    b->mem_max = opt->build_mem_max ? opt->build_mem_max : BUILD_MEM;
    b->spill_fd = -1;
    *ret = b;
    return 0;
}

static void part_deinit(struct part *p)
{
    for (struct chunk *c = p->head, *next; c; c = next) {
        next = c->next;
        mem_free(c);
    }
    mem_free(p->on_disk);
    *p = (struct part){0};
}

void key_index_build_free(struct key_index_build *b)
{
    if (!b)
        return;
    for (int i = 0; i < PARTS; i++)
        part_deinit(&b->parts[i]);
    file_closep(&b->spill_fd);
    mem_free(b->path);
    mem_free(b);
}

/* --- adding --- */

static int spill_open(struct key_index_build *b, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s.spill", b->path);

    b->spill_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (b->spill_fd < 0)
        return err_set_errno(err, "create %s", path);
    unlink(path); /* goes away with us, however we end */
    return 0;
}

/* Writes the newest, full chunk of a partition to the spill file and empties it for reuse. */
static int spill_chunk(struct key_index_build *b, struct part *p, struct err *err)
{
    if (b->spill_fd < 0)
        TRY(spill_open(b, err));
    TRY(file_write_all(b->spill_fd, p->head->e, sizeof p->head->e, b->path, err));
    MEM_GROW(p->on_disk, p->n_disk, p->cap_disk);
    p->on_disk[p->n_disk++] = b->n_spilled++;
    p->head->n = 0;
    return 0;
}

static int part_room(struct key_index_build *b, struct part *p, struct err *err)
{
    if (p->head && b->mem >= b->mem_max)
        return spill_chunk(b, p, err);
    struct chunk *c = MEM_NEW(struct chunk);
    c->next = p->head;
    p->head = c;
    b->mem += sizeof *c;
    return 0;
}

static inline int build_add(struct key_index_build *b, struct hash128 h, uint32_t file, uint32_t row, struct err *err)
{
    struct part *p = &b->parts[h.lo >> KEY_REGION_SHIFT];

    assert(file < UINT32_MAX);
    if (!p->head || p->head->n == CHUNK)
        TRY(part_room(b, p, err));
    p->head->e[p->head->n++] = (struct key_slot){h.lo, (uint32_t)h.hi, file + 1, row};
    b->n++;
    return 0;
}

int key_index_build_add(struct key_index_build *b, const struct hash128 *hashes, const uint32_t *files,
                        const uint32_t *rows, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        TRY(build_add(b, hashes[i], files[i], rows[i], err));
    return 0;
}

/* --- finishing --- */

static int add_part(struct key_index_build *b, struct part *p, struct key_writer *w, struct err *err)
{
    for (struct chunk *c = p->head; c; c = c->next)
        TRY(key_writer_add(w, c->e, c->n, err));
    if (p->n_disk == 0)
        return 0;
    CLEANUP(mem_freep) struct chunk *c = MEM_NEW(struct chunk);
    for (uint32_t i = 0; i < p->n_disk; i++) {
        ssize_t n = pread(b->spill_fd, c->e, sizeof c->e, (off_t)((uint64_t)p->on_disk[i] * sizeof c->e));
        if (n != (ssize_t)sizeof c->e)
            return err_set_errno(err, "read the temporary file of %s", b->path);
        TRY(key_writer_add(w, c->e, CHUNK, err));
    }
    return 0;
}

static int build_table(struct key_index_build *b, struct key_table *t, int64_t version, struct err *err)
{
    CLEANUP(key_writer_deinit) struct key_writer w = {0};

    key_writer_init(&w, t);
    for (uint64_t i = 0; i < PARTS; i++) {
        TRY(key_writer_begin(&w, i, err));
        TRY(add_part(b, &b->parts[i], &w, err));
        TRY(key_writer_flush(&w, err));
        part_deinit(&b->parts[i]);
    }
    TRY(key_table_end(&w, err));
    t->head->table_id = b->opt.table_id;
    t->head->fingerprint = b->opt.fingerprint;
    t->head->version = version;
    t->head->clean = 1;
    return key_table_publish(t, err);
}

int key_index_build_finish(struct key_index_build *b, int64_t version, struct key_index **ret, struct err *err)
{
    struct key_table t = {0};

    TRY(key_table_create(b->path, key_cap_for(b->n), &t, err));
    int rc = build_table(b, &t, version, err);
    if (rc < 0) {
        key_table_discard(&t);
        return rc;
    }
    *ret = key_index_of_table(&t, &b->opt);
    return 0;
}
