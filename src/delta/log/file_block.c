/* Runs of files, compressed by zstd: the statistics of one writer are much alike. */
#include "delta/log/file_block.h"

#include "base/mem.h"

#include <assert.h>
#include <stdatomic.h>
#include <zstd.h>

/* Text that may be compressed: then `raw` is empty. */
struct part {
    struct buf raw;
    char *packed;
    size_t n_packed, n_raw;
};

/* Levels of zstd. Paths are mostly random names: to look closer at them costs time and gains little. */
enum { QUICK = -10, SMALL = 1 };

/* Of each file: which fields it has, and those, as numbers of 7 bits a byte. */
enum {
    HAS_RAW_PATH = 1,
    RAW_IS_PATH = 2,
    HAS_PARTS = 4,
    HAS_DV = 8,
    HAS_EXTRA = 16,
    HAS_ROW_ID = 32,
    DATA_CHANGE = 64,
    EXTENDED = 128
};

struct file_block {
    uint64_t id; /* never used twice: a reader's memory of a block that is gone is of no other */
    uint32_t n;
    int64_t last_ms; /* time of the file last added */
    struct part numbers, paths, stats;
};

struct file_packer {
    ZSTD_CCtx *zstd;
    struct buf out;
    struct buf spare[3]; /* of the block before: numbers, paths, stats */
};

struct file_packer *file_packer_new(void)
{
    struct file_packer *p = MEM_NEW(struct file_packer);

    p->zstd = ZSTD_createCCtx();
    return p;
}

void file_packer_free(struct file_packer *p)
{
    if (!p)
        return;
    ZSTD_freeCCtx(p->zstd);
    buf_deinit(&p->out);
    for (size_t i = 0; i < ARRAY_LEN(p->spare); i++)
        buf_deinit(&p->spare[i]);
    mem_free(p);
}

/* The memory goes to the next block. */
static void give_back(struct buf *b, struct buf *spare)
{
    buf_deinit(spare);
    buf_reset(b);
    *spare = *b;
    *b = (struct buf){0};
}

/* Without memory for it the part stays as it is. */
static void part_pack(struct part *part, struct file_packer *p, int level, struct buf *spare)
{
    size_t bound = ZSTD_compressBound(part->raw.n);

    if (!p->zstd || !part->raw.n)
        return;
    buf_reset(&p->out);
    size_t n = ZSTD_compressCCtx(p->zstd, buf_reserve(&p->out, bound), bound, part->raw.p, part->raw.n, level);
    if (ZSTD_isError(n))
        return;
    part->packed = mem_dup(p->out.p, n);
    part->n_packed = n;
    part->n_raw = part->raw.n;
    give_back(&part->raw, spare);
}

static void part_unpack(const struct part *part, struct buf *out)
{
    buf_reset(out);
    size_t n = ZSTD_decompress(buf_reserve(out, part->n_raw), part->n_raw, part->packed, part->n_packed);
    assert(n == part->n_raw);
    out->n = n;
}

static void part_deinit(struct part *part)
{
    buf_deinit(&part->raw);
    mem_free(part->packed);
    *part = (struct part){0};
}

/* The text to keep in place of the packed one. */
static void part_open(struct part *part)
{
    if (!part->packed)
        return;
    part_unpack(part, &part->raw);
    mem_free(TAKE_PTR(part->packed));
}

struct file_block *file_block_new(struct file_packer *p)
{
    static atomic_uint_least64_t last_id;
    struct file_block *b = MEM_NEW(struct file_block);

    b->id = atomic_fetch_add(&last_id, 1) + 1;
    b->numbers.raw = p->spare[0];
    b->paths.raw = p->spare[1];
    b->stats.raw = p->spare[2];
    memset(p->spare, 0, sizeof p->spare);
    return b;
}

void file_block_free(struct file_block *b)
{
    if (!b)
        return;
    part_deinit(&b->numbers);
    part_deinit(&b->paths);
    part_deinit(&b->stats);
    mem_free(b);
}

uint32_t file_block_count(const struct file_block *b)
{
    return b->n;
}

static void put(struct buf *out, uint64_t v)
{
    char bytes[10];
    size_t n = 0;

    for (; v >= 128; v >>= 7)
        bytes[n++] = (char)(v | 128);
    bytes[n++] = (char)v;
    buf_add(out, bytes, n);
}

static uint64_t take(const char **p)
{
    uint64_t v = 0;

    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = (uint8_t) * (*p)++;
        v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return v;
    }
}

static uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

static unsigned fields_of(const struct delta_file *f)
{
    bool rows = f->base_row_id >= 0 || f->row_commit_version >= 0;

    return (f->raw_path.n ? HAS_RAW_PATH : 0) | (str_eq(f->raw_path, f->path) ? RAW_IS_PATH : 0) |
           (f->n_parts ? HAS_PARTS : 0) | (f->dv ? HAS_DV : 0) | (f->extra ? HAS_EXTRA : 0) | (rows ? HAS_ROW_ID : 0) |
           (f->data_change ? DATA_CHANGE : 0) | (f->extended ? EXTENDED : 0);
}

static void add_path(struct file_block *b, struct str path)
{
    put(&b->numbers.raw, path.n);
    buf_add_str(&b->paths.raw, path);
    buf_add_char(&b->paths.raw, 0);
}

void file_block_add(struct file_block *b, const struct delta_file *f, int64_t added_at)
{
    unsigned has = fields_of(f);
    struct buf *out = &b->numbers.raw;

    assert(b->n < FILE_BLOCK && !f->packed && f->stats.n <= FILE_BLOCK_STATS_MAX);
    put(out, has);
    add_path(b, f->path);
    if ((has & HAS_RAW_PATH) && !(has & RAW_IS_PATH))
        add_path(b, f->raw_path);
    put(out, f->stats.n);
    buf_add_str(&b->stats.raw, f->stats);
    put(out, (uint64_t)f->size + 1);
    put(out, zigzag(f->time_ms - b->last_ms));
    b->last_ms = f->time_ms;
    put(out, (uint64_t)f->num_records + 1);
    put(out, (uint64_t)added_at);
    if (has & HAS_ROW_ID) {
        put(out, (uint64_t)f->base_row_id + 1);
        put(out, (uint64_t)f->row_commit_version + 1);
    }
    if (has & HAS_PARTS) {
        put(out, f->n_parts);
        put(out, (uintptr_t)f->parts);
    }
    if (has & HAS_DV)
        put(out, (uintptr_t)f->dv);
    if (has & HAS_EXTRA)
        put(out, (uintptr_t)f->extra);
    b->n++;
}

void file_block_pack(struct file_block *b, struct file_packer *p)
{
    part_pack(&b->numbers, p, QUICK, &p->spare[0]);
    part_pack(&b->paths, p, QUICK, &p->spare[1]);
    part_pack(&b->stats, p, SMALL, &p->spare[2]);
}

/* Where the next file's numbers and texts begin. */
struct place {
    const char *numbers, *paths;
    size_t stats;
    int64_t last_ms;
};

static struct str take_path(struct place *at)
{
    struct str path = str_make(at->paths, take(&at->numbers));

    at->paths += path.n + 1;
    return path;
}

static void take_file(const struct file_block *b, struct place *at, struct file_image *ret)
{
    const char **p = &at->numbers;
    uint64_t has = take(p);
    struct delta_file *f = &ret->file;

    *f = (struct delta_file){.base_row_id = -1, .row_commit_version = -1};
    f->data_change = has & DATA_CHANGE;
    f->extended = has & EXTENDED;
    f->path = take_path(at);
    if (has & RAW_IS_PATH)
        f->raw_path = f->path;
    else if (has & HAS_RAW_PATH)
        f->raw_path = take_path(at);
    f->stats.n = take(p);
    f->packed = f->stats.n ? b : NULL;
    f->packed_at = (uint32_t)at->stats;
    at->stats += f->stats.n;
    f->size = (int64_t)(take(p) - 1);
    at->last_ms += unzigzag(take(p));
    f->time_ms = at->last_ms;
    f->num_records = (int64_t)(take(p) - 1);
    ret->added_at = (int64_t)take(p);
    if (has & HAS_ROW_ID) {
        f->base_row_id = (int64_t)(take(p) - 1);
        f->row_commit_version = (int64_t)(take(p) - 1);
    }
    if (has & HAS_PARTS) {
        f->n_parts = (uint32_t)take(p);
        f->parts = (struct delta_kv *)(uintptr_t)take(p);
    }
    if (has & HAS_DV)
        f->dv = (struct delta_dv_desc *)(uintptr_t)take(p);
    if (has & HAS_EXTRA)
        f->extra = (struct delta_file_extra *)(uintptr_t)take(p);
}

struct file_image *file_block_open(struct file_block *b)
{
    struct file_image *images = MEM_NEW_N(struct file_image, b->n);

    part_open(&b->numbers);
    part_open(&b->paths);
    struct place at = {.numbers = b->numbers.raw.p, .paths = b->paths.raw.p};
    for (uint32_t i = 0; i < b->n; i++)
        take_file(b, &at, &images[i]);
    part_deinit(&b->numbers);
    return images;
}

void delta_stats_reader_deinit(struct delta_stats_reader *r)
{
    buf_deinit(&r->text);
    r->block = 0;
}

struct str delta_stats_read(struct delta_stats_reader *r, const struct delta_file *f)
{
    const struct file_block *b = f->packed;

    if (!b)
        return f->stats;
    if (!b->stats.packed)
        return str_make(b->stats.raw.p + f->packed_at, f->stats.n);
    if (r->block != b->id)
        part_unpack(&b->stats, &r->text);
    r->block = b->id;
    return str_make(r->text.p + f->packed_at, f->stats.n);
}
