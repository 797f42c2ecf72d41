/*
 * Building a key index from nothing, in bounded memory and sequentially.
 *
 *     add ──▶ 1024 partitions by the high bits of the hash, in chunks of 10 KiB; full chunks stay in memory up to
 *             build_mem_max, and go to a temporary file past it
 *     finish: the table is as many regions; region by region its partition is hashed in memory and written with one
 *             write; what does not fit at the end of a region is carried into the next one
 *
 * Inserting 50 M random keys straight into the mapping would miss the cache and the TLB at each; this does neither.
 */
#include "base/file.h"
#include "base/mem.h"
#include "delta/key_index.h"
#include "delta/key_table.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/mman.h>

enum {
    PARTS = KEY_CAP_STEP, /* so that regions are of equal size */
    PART_SHIFT = 54,
    CHUNK = 512, /* entries */
    BUILD_MEM = 256 << 20,
};
_Static_assert(PARTS == 1 << (64 - PART_SHIFT), "a partition is the high bits of the hash");

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

/* What is hashed at finish: a region in memory, and the entries carried over its end. */
struct region {
    struct key_slot *slots;
    uint64_t start, n; /* slots [start, start + n) of the table */
    uint64_t cap;      /* of the table */
    struct key_slot *carry;
    size_t n_carry, cap_carry;
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
    struct part *p = &b->parts[h.lo >> PART_SHIFT];

    assert(file < UINT32_MAX);
    if (!p->head || p->head->n == CHUNK)
        TRY(part_room(b, p, err));
    p->head->e[p->head->n++] = (struct key_slot){h.lo, (uint32_t)h.hi, file + 1, row};
    b->n++;
    return 0;
}

int key_index_build_add(struct key_index_build *b, const struct hash128 *hashes, size_t n, uint32_t file,
                        uint32_t first_row, struct err *err)
{
    assert(n <= UINT32_MAX - first_row);
    for (size_t i = 0; i < n; i++)
        TRY(build_add(b, hashes[i], file, first_row + (uint32_t)i, err));
    return 0;
}

int key_index_build_add_rows(struct key_index_build *b, const struct hash128 *hashes, const uint32_t *files,
                             const uint32_t *rows, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        TRY(build_add(b, hashes[i], files[i], rows[i], err));
    return 0;
}

/* --- finishing --- */

/* Puts n entries, whose homes are in the region (or, when carried, before it), into the region. */
static int region_add(struct region *r, const struct key_slot *e, size_t n, bool carried, struct err *err)
{
    for (size_t k = 0; k < n; k++) {
        uint64_t i = carried ? 0 : key_home(e[k].lo, r->cap) - r->start;
        unsigned same = 0;
        for (; i < r->n && r->slots[i].file1 != 0; i++)
            if (r->slots[i].lo == e[k].lo && r->slots[i].mid == e[k].mid && ++same >= KEY_INDEX_SAME_MAX)
                return key_error_same(err);
        if (i < r->n) {
            r->slots[i] = e[k];
            continue;
        }
        if (r->n_carry >= KEY_INDEX_SAME_MAX) /* hashes are spread evenly, so only equal ones come to this */
            return key_error_same(err);
        MEM_GROW(r->carry, r->n_carry, r->cap_carry);
        r->carry[r->n_carry++] = e[k];
    }
    return 0;
}

static int region_fill(struct region *r, struct key_index_build *b, struct part *p, struct err *err)
{
    for (struct chunk *c = p->head; c; c = c->next)
        TRY(region_add(r, c->e, c->n, false, err));
    if (p->n_disk == 0)
        return 0;
    CLEANUP(mem_freep) struct chunk *c = MEM_NEW(struct chunk);
    for (uint32_t i = 0; i < p->n_disk; i++) {
        ssize_t n = pread(b->spill_fd, c->e, sizeof c->e, (off_t)((uint64_t)p->on_disk[i] * sizeof c->e));
        if (n != (ssize_t)sizeof c->e)
            return err_set_errno(err, "read the temporary file of %s", b->path);
        TRY(region_add(r, c->e, CHUNK, false, err));
    }
    return 0;
}

static int write_regions(struct key_index_build *b, struct key_table *t, struct region *r, struct err *err)
{
    uint64_t at = KEY_HEAD_BYTES;

    r->cap = t->cap;
    r->n = t->cap / PARTS;
    r->slots = MEM_NEW_N(struct key_slot, r->n);
    for (int i = 0; i < PARTS; i++) {
        struct key_slot *carry = r->carry;
        size_t n_carry = r->n_carry;
        r->carry = NULL;
        r->n_carry = r->cap_carry = 0;
        r->start = (uint64_t)i * r->n;
        memset(r->slots, 0, r->n * sizeof *r->slots);
        int rc = region_add(r, carry, n_carry, true, err);
        mem_free(carry);
        TRY(rc);
        TRY(region_fill(r, b, &b->parts[i], err));
        part_deinit(&b->parts[i]);
        size_t size = r->n * sizeof *r->slots;
        if (lseek(t->fd, (off_t)at, SEEK_SET) < 0)
            return err_set_errno(err, "seek in %s", b->path);
        TRY(file_write_all(t->fd, r->slots, size, b->path, err));
        at += size;
    }
    return 0;
}

static int build_table(struct key_index_build *b, struct key_table *t, int64_t version, struct err *err)
{
    struct region r = {0};
    int rc = write_regions(b, t, &r, err);

    t->head->n = b->n - r.n_carry;
    for (size_t i = 0; rc == 0 && i < r.n_carry; i++) { /* past the end of the last region: wraps to the first slots */
        struct hash128 h = {r.carry[i].lo, r.carry[i].mid};
        rc = key_table_put(t, h, r.carry[i].file1 - 1, r.carry[i].row, err);
    }
    mem_free(r.slots);
    mem_free(r.carry);
    TRY(rc);
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
