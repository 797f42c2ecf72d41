/*
 * Deletion vectors in memory and as bytes.
 *
 *     serialized set:  u32 LE magic 1681511377 | u64 LE n | n x { u32 LE key | 32-bit Roaring bitmap, portable format }
 *     legacy native:   u32 LE magic 1681511376 | i32 LE n | n x { i32 LE size | 32-bit Roaring bitmap }, key = 0, 1, …
 *
 *     Roaring bitmap:  u32 cookie: 12346, then u32 n containers; or 12347 | (n - 1) << 16, then a bit a container: is run
 *                      n x { u16 key | u16 cardinality - 1 } | n x u32 offset, unless runs and n < 4
 *                      containers: run { u16 n | n x { u16 first | u16 length - 1 } }, array { u16 … } up to 4096 values,
 *                      else a bitmap of 8192 bytes
 *
 * CRoaring believes what it reads, so every bitmap is checked here before it sees it: a file is a peer's bytes.
 */
#include "codec/dv.h"

#include "base/mem.h"

#include <assert.h>

#include <roaring/roaring.h>

enum {
    DV_MAGIC = 1681511377,
    DV_MAGIC_NATIVE = 1681511376,
    ROARING_COOKIE = 12346,
    ROARING_COOKIE_RUNS = 12347,
    ROARING_OFFSETS_FROM = 4, /* containers from which a bitmap with runs has offsets */
    ROARING_ARRAY_MAX = 4096,
    ROARING_BITMAP_BYTES = 8192,
};

void dv_deinit(struct dv *dv)
{
    if (!dv)
        return;
    for (uint32_t i = 0; i < dv->n; i++)
        roaring_bitmap_free(dv->parts[i].rows);
    mem_free(dv->parts);
    *dv = (struct dv){0};
}

void dv_move(struct dv *to, struct dv *from)
{
    assert(to->n == 0 && to != from);
    dv_deinit(to);
    *to = *from;
    *from = (struct dv){0};
}

/* Index of the first part whose key is >= key. */
static uint32_t part_lower(const struct dv *dv, uint32_t key)
{
    uint32_t lo = 0, hi = dv->n;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (dv->parts[mid].key < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static roaring_bitmap_t *part_find(const struct dv *dv, uint32_t key)
{
    if (dv->n == 1)
        return dv->parts[0].key == key ? dv->parts[0].rows : NULL;
    uint32_t i = part_lower(dv, key);
    return i < dv->n && dv->parts[i].key == key ? dv->parts[i].rows : NULL;
}

/* Takes `rows`; the key must not be there. */
static roaring_bitmap_t *part_insert(struct dv *dv, uint32_t key, roaring_bitmap_t *rows)
{
    uint32_t i = part_lower(dv, key);

    assert(rows && (i == dv->n || dv->parts[i].key != key));
    MEM_GROW(dv->parts, dv->n, dv->cap);
    memmove(dv->parts + i + 1, dv->parts + i, (dv->n - i) * sizeof *dv->parts);
    dv->parts[i] = (struct dv_part){key, rows};
    dv->n++;
    return rows;
}

static roaring_bitmap_t *part_ensure(struct dv *dv, uint32_t key)
{
    roaring_bitmap_t *rows = part_find(dv, key);

    assert(key <= INT32_MAX);
    return rows ? rows : part_insert(dv, key, roaring_bitmap_create());
}

static void recount(struct dv *dv)
{
    dv->cardinality = 0;
    for (uint32_t i = 0; i < dv->n; i++)
        dv->cardinality += roaring_bitmap_get_cardinality(dv->parts[i].rows);
}

bool dv_add(struct dv *dv, uint64_t row)
{
    bool is_new = roaring_bitmap_add_checked(part_ensure(dv, (uint32_t)(row >> 32)), (uint32_t)row);

    dv->cardinality += is_new;
    return is_new;
}

void dv_add_range(struct dv *dv, uint64_t first, uint64_t n)
{
    assert(first + n >= first);
    for (uint64_t end = first + n; first < end;) {
        uint64_t part_end = ((first >> 32) + 1) << 32;
        uint64_t last = MIN(end, part_end) - 1;
        roaring_bitmap_add_range_closed(part_ensure(dv, (uint32_t)(first >> 32)), (uint32_t)first, (uint32_t)last);
        first = last + 1;
    }
    recount(dv);
}

bool dv_contains(const struct dv *dv, uint64_t row)
{
    const roaring_bitmap_t *rows = part_find(dv, (uint32_t)(row >> 32));

    return rows && roaring_bitmap_contains(rows, (uint32_t)row);
}

void dv_clone(const struct dv *dv, struct dv *ret)
{
    assert(ret->n == 0);
    for (uint32_t i = 0; i < dv->n; i++)
        part_insert(ret, dv->parts[i].key, roaring_bitmap_copy(dv->parts[i].rows));
    ret->cardinality = dv->cardinality;
}

void dv_union(struct dv *dv, const struct dv *other)
{
    for (uint32_t i = 0; i < other->n; i++)
        roaring_bitmap_or_inplace(part_ensure(dv, other->parts[i].key), other->parts[i].rows);
    recount(dv);
}

void dv_subtract(struct dv *dv, const struct dv *other)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < dv->n; i++) {
        struct dv_part part = dv->parts[i];
        const roaring_bitmap_t *minus = part_find(other, part.key);
        if (minus)
            roaring_bitmap_andnot_inplace(part.rows, minus);
        if (roaring_bitmap_is_empty(part.rows))
            roaring_bitmap_free(part.rows);
        else
            dv->parts[n++] = part;
    }
    dv->n = n;
    recount(dv);
}

bool dv_equal(const struct dv *a, const struct dv *b)
{
    if (a->cardinality != b->cardinality || a->n != b->n)
        return false;
    /* Not roaring_bitmap_equals: that compares runs one by one, and a reader may have met two runs side by side. */
    uint64_t common = 0;
    for (uint32_t i = 0; i < a->n && a->parts[i].key == b->parts[i].key; i++)
        common += roaring_bitmap_and_cardinality(a->parts[i].rows, b->parts[i].rows);
    return common == a->cardinality;
}

/* --- ranges --- */

_Static_assert(sizeof(roaring_uint32_iterator_t) <= sizeof(((struct dv_iter *)0)->opaque), "room for the iterator");

static void iter_enter_part(struct dv_iter *it)
{
    if (it->part >= it->dv->n)
        return;
    it->base = (uint64_t)it->dv->parts[it->part].key << 32;
    roaring_init_iterator(it->dv->parts[it->part].rows, (roaring_uint32_iterator_t *)it->opaque);
}

void dv_iter_init(struct dv_iter *it, const struct dv *dv, uint64_t from)
{
    uint32_t key = (uint32_t)(from >> 32);

    it->dv = dv;
    it->at = it->n = 0;
    it->part = part_lower(dv, key);
    iter_enter_part(it);
    if (it->part < dv->n && dv->parts[it->part].key == key)
        roaring_move_uint32_iterator_equalorlarger((roaring_uint32_iterator_t *)it->opaque, (uint32_t)from);
}

/* Are there rows read ahead? Reads more, from the next part too. */
static bool iter_fill(struct dv_iter *it)
{
    while (it->at == it->n && it->part < it->dv->n) {
        it->at = 0;
        it->n = roaring_read_uint32_iterator((roaring_uint32_iterator_t *)it->opaque, it->ahead, ARRAY_LEN(it->ahead));
        if (it->n > 0)
            break;
        it->part++;
        iter_enter_part(it);
    }
    return it->at < it->n;
}

int dv_iter_next(struct dv_iter *it, uint64_t *ret_first, uint64_t *ret_n)
{
    if (!iter_fill(it))
        return 1;
    uint64_t first = it->base + it->ahead[it->at], next = first;
    do {
        while (it->at < it->n && it->base + it->ahead[it->at] == next) {
            it->at++;
            next++;
        }
    } while (it->at == it->n && iter_fill(it) && it->base + it->ahead[it->at] == next);
    *ret_first = first;
    *ret_n = next - first;
    return 0;
}

/* Those of one part. The rows are read by the dozen: few of a stretch are in the set as a rule. */
static uint32_t part_bits(const struct dv_part *part, uint64_t first, uint32_t n, uint64_t *bits)
{
    uint64_t base = (uint64_t)part->key << 32;
    roaring_uint32_iterator_t it;
    uint32_t rows[32], found = 0, got;

    roaring_init_iterator(part->rows, &it);
    if (base < first && !roaring_move_uint32_iterator_equalorlarger(&it, (uint32_t)(first - base)))
        return 0;
    do {
        got = roaring_read_uint32_iterator(&it, rows, ARRAY_LEN(rows));
        for (uint32_t i = 0; i < got; i++) {
            uint64_t at = base + rows[i] - first;
            if (at >= n)
                return found;
            bits[at / 64] |= 1ull << (at % 64);
            found++;
        }
    } while (got == ARRAY_LEN(rows));
    return found;
}

uint32_t dv_bits(const struct dv *dv, uint64_t first, uint32_t n, uint64_t *bits)
{
    uint32_t found = 0;

    memset(bits, 0, (n + 63) / 64 * sizeof *bits);
    for (uint32_t i = part_lower(dv, (uint32_t)(first >> 32)); i < dv->n; i++) {
        if ((uint64_t)dv->parts[i].key << 32 >= first + n)
            break;
        found += part_bits(&dv->parts[i], first, n, bits);
    }
    return found;
}

/* --- bytes --- */

size_t dv_serialize(struct dv *dv, struct buf *out)
{
    size_t start = out->n;

    buf_add_le32(out, DV_MAGIC);
    buf_add_le64(out, dv->n);
    for (uint32_t i = 0; i < dv->n; i++) {
        roaring_bitmap_t *rows = dv->parts[i].rows;
        roaring_bitmap_run_optimize(rows);
        size_t size = roaring_bitmap_portable_size_in_bytes(rows);
        buf_add_le32(out, dv->parts[i].key);
        char *p = buf_reserve(out, size);
        if (!p)
            break;
        out->n += roaring_bitmap_portable_serialize(rows, p);
    }
    return out->n - start;
}

static uint16_t le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

/* Runs: ascending, apart, within 16 bits. Returns how many values, or -1. */
static int64_t check_runs(struct reader *r)
{
    const uint8_t *p = reader_bytes(r, 2);
    uint32_t n = p ? le16(p) : 0, next = 0;
    int64_t values = 0;

    p = reader_bytes(r, (size_t)n * 4);
    if (!p)
        return -1;
    for (uint32_t i = 0; i < n; i++, p += 4) {
        uint32_t first = le16(p), last = first + le16(p + 2);
        if (first < next || last > UINT16_MAX)
            return -1;
        values += last - first + 1;
        next = last + 1;
    }
    return values;
}

static int64_t check_array(struct reader *r, uint32_t n)
{
    const uint8_t *p = reader_bytes(r, (size_t)n * 2);

    if (!p)
        return -1;
    for (uint32_t i = 1; i < n; i++)
        if (le16(p + (size_t)i * 2) <= le16(p + (size_t)i * 2 - 2))
            return -1;
    return n;
}

static int64_t check_bitmap(struct reader *r)
{
    int64_t values = 0;

    for (int i = 0; i < ROARING_BITMAP_BYTES / 8; i++)
        values += __builtin_popcountll(reader_le64(r));
    return r->failed ? -1 : values;
}

/* Takes one Roaring bitmap off `r`, checked; false when it breaks the format. */
static bool check_roaring(struct reader *r)
{
    uint32_t cookie = reader_le32(r), n;
    bool runs = (cookie & 0xffff) == ROARING_COOKIE_RUNS;
    const uint8_t *is_run = NULL;

    if (runs) {
        n = (cookie >> 16) + 1;
        is_run = reader_bytes(r, (n + 7) / 8);
    } else {
        n = reader_le32(r);
    }
    if (r->failed || (!runs && cookie != ROARING_COOKIE) || n > 65536)
        return false;
    const uint8_t *heads = reader_bytes(r, (size_t)n * 4);
    if (!runs || n >= ROARING_OFFSETS_FROM)
        reader_bytes(r, (size_t)n * 4);
    if (r->failed || !heads)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t values = (uint32_t)le16(heads + (size_t)i * 4 + 2) + 1;
        int64_t found;
        if (i > 0 && le16(heads + (size_t)i * 4) <= le16(heads + (size_t)i * 4 - 4))
            return false;
        if (is_run && (is_run[i / 8] >> (i % 8) & 1))
            found = check_runs(r);
        else
            found = values <= ROARING_ARRAY_MAX ? check_array(r, values) : check_bitmap(r);
        if (found != values)
            return false;
    }
    return true;
}

/* Takes one Roaring bitmap off `r` into the set; an empty one leaves nothing. */
static int parse_part(struct reader *r, uint32_t key, struct dv *dv, struct err *err)
{
    const uint8_t *start = r->p;

    if (!check_roaring(r))
        return err_set(err, ERR_INPUT, "deletion vector: the Roaring bitmap of rows from %llu * 2^32 on is corrupt",
                       (unsigned long long)key);
    roaring_bitmap_t *rows = roaring_bitmap_portable_deserialize_safe((const char *)start, (size_t)(r->p - start));
    if (!rows)
        return err_set(err, ERR_INPUT, "deletion vector: CRoaring cannot read its bitmap");
    if (roaring_bitmap_is_empty(rows))
        roaring_bitmap_free(rows);
    else
        dv->cardinality += roaring_bitmap_get_cardinality(part_insert(dv, key, rows));
    return 0;
}

static int parse_portable(struct reader *r, struct dv *dv, struct err *err)
{
    uint64_t n = reader_le64(r);
    int64_t last = -1;

    for (uint64_t i = 0; i < n; i++) {
        uint32_t key = reader_le32(r);
        if (r->failed)
            return err_set(err, ERR_INPUT, "deletion vector ends within bitmap %llu of %llu", (unsigned long long)i + 1,
                           (unsigned long long)n);
        if (key > INT32_MAX || (int64_t)key <= last)
            return err_set(err, ERR_INPUT, "deletion vector: key %u of bitmap %llu is out of order or range", key,
                           (unsigned long long)i + 1);
        last = key;
        TRY(parse_part(r, key, dv, err));
    }
    return 0;
}

static int parse_native(struct reader *r, struct dv *dv, struct err *err)
{
    uint32_t n = reader_le32(r);

    for (uint32_t i = 0; i < n; i++) {
        uint32_t size = reader_le32(r);
        const uint8_t *start = r->p;
        if (r->failed || n > INT32_MAX)
            return err_set(err, ERR_INPUT, "deletion vector ends within bitmap %u of %u", i + 1, n);
        TRY(parse_part(r, i, dv, err));
        if ((size_t)(r->p - start) != size)
            return err_set(err, ERR_INPUT, "deletion vector: bitmap %u is of %zu bytes, and should be of %u", i + 1,
                           (size_t)(r->p - start), size);
    }
    return 0;
}

int dv_parse(const void *p, size_t n, struct dv *ret, struct err *err)
{
    CLEANUP(dv_deinit) struct dv dv = {0};
    struct reader r = reader_of(p, n);
    uint32_t magic = reader_le32(&r);

    assert(ret->n == 0);
    if (magic == DV_MAGIC)
        TRY(parse_portable(&r, &dv, err));
    else if (magic == DV_MAGIC_NATIVE)
        TRY(parse_native(&r, &dv, err));
    else
        return err_set(err, ERR_INPUT, "deletion vector of %zu bytes does not start with its magic number", n);
    if (r.failed || reader_left(&r) > 0)
        return err_set(err, ERR_INPUT, "deletion vector of %zu bytes is %s", n, r.failed ? "cut short" : "too long");
    dv_move(ret, &dv);
    return 0;
}
