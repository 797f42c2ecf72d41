/*
 * Equal or not, and if not, where. Each side is read once when they are equal, else up to three times:
 *
 *   1  rows, and the sum of the rows' hashes (mod 2^128: order does not matter, how often a row stands does), for each
 *      of BUCKETS parts of the keys by hash: 24 kB a side, whatever the size of the table
 *   2  of buckets that differ (as many as ENTRIES_MAX allows): key hash and row hash of each row, sorted and matched
 *   3  of the keys that did not match: the values
 *
 * Hashes are those of delta/index/key_hash.h over every column: -0 and 0 count as equal, and so do all NaNs.
 */
#include "pipeline/verify_table.h"

#include "base/mem.h"
#include "codec/pg_value.h"
#include "delta/index/key_hash.h"

#include <stdlib.h>

enum { BUCKETS = 1024, ENTRIES_MAX = 2000000, VALUE_SHOWN = 60 };

struct sum {
    uint64_t n;
    unsigned __int128 sum;
};

struct entry { /* a row, by its hashes */
    struct hash128 key, row;
};

struct entries {
    struct entry *v;
    size_t n, cap;
};

/* A key whose rows are not the same on both sides. */
struct suspect {
    struct hash128 key;
    struct entry rows[2];  /* an unmatched row of either side … */
    uint64_t n[2];         /* … which stands so many times more there than on the other */
    bool same;             /* the same row, only more often */
    struct buf *values[2]; /* by column; NULL: no row on this side */
};

struct side {
    struct sum buckets[BUCKETS];
    uint64_t n;
    struct entries entries; /* pass 2 */
};

struct compare {
    struct verify_table *t;
    struct side sides[2]; /* source, lake */
    int at;               /* the side being read */
    struct hash128 *keys, *rows;
    uint32_t cap;
    bool wanted[BUCKETS]; /* pass 2 */
    struct suspect *suspects;
    size_t n_suspects, cap_suspects;
    uint64_t n_differ;   /* keys, in the buckets looked into */
    struct hash128 last; /* the last one of them */
    bool partly;         /* not all buckets that differ were */
};

static int entry_cmp(const void *x, const void *y)
{
    return memcmp(x, y, sizeof(struct entry)); /* any order will do */
}

/* ---- hashing ---- */

static void hash_batch(struct compare *c, const struct batch *b)
{
    const struct verify_table *t = c->t;

    if (b->n > c->cap) {
        c->cap = b->n;
        c->keys = mem_realloc_n(c->keys, c->cap, sizeof *c->keys);
        c->rows = mem_realloc_n(c->rows, c->cap, sizeof *c->rows);
    }
    key_hash_batch(b, t->all, t->rel->n_columns, 0, b->n, c->rows);
    if (t->has_key)
        key_hash_batch(b, t->keys, t->n_keys, 0, b->n, c->keys);
    else
        memcpy(c->keys, c->rows, b->n * sizeof *c->keys);
}

static uint32_t bucket_of(struct hash128 key)
{
    return (uint32_t)(key.hi % BUCKETS);
}

static int read_both(struct compare *c, int (*rows)(void *, const struct batch *, struct err *), struct err *err)
{
    struct verify_visitor v = {rows, c};

    c->at = 0;
    if (verify_read_source(c->t, &v, err))
        return err_wrap(err, "table %s at the source", c->t->name);
    c->at = 1;
    if (verify_read_lake(c->t, &v, err))
        return err_wrap(err, "table %s in the lake, version %lld", c->t->name, (long long)c->t->snapshot->version);
    return 0;
}

/* ---- pass 1 ---- */

static int add_sums(void *ctx, const struct batch *b, struct err *err)
{
    struct compare *c = ctx;
    struct side *side = &c->sides[c->at];

    (void)err;
    hash_batch(c, b);
    side->n += b->n;
    for (uint32_t i = 0; i < b->n; i++) {
        struct sum *s = &side->buckets[bucket_of(c->keys[i])];
        s->n++;
        s->sum += (unsigned __int128)c->rows[i].hi << 64 | c->rows[i].lo;
    }
    return 0;
}

/* Which buckets to look into. False: none differs. */
static bool choose_buckets(struct compare *c)
{
    uint64_t rows = 0;
    bool any = false;

    for (uint32_t i = 0; i < BUCKETS; i++) {
        const struct sum *a = &c->sides[0].buckets[i], *b = &c->sides[1].buckets[i];
        if (a->n == b->n && a->sum == b->sum)
            continue;
        any = true;
        c->wanted[i] = rows + MAX(a->n, b->n) <= ENTRIES_MAX;
        c->partly |= !c->wanted[i];
        rows += c->wanted[i] ? MAX(a->n, b->n) : 0;
    }
    return any;
}

/* ---- pass 2 ---- */

static int collect(void *ctx, const struct batch *b, struct err *err)
{
    struct compare *c = ctx;
    struct entries *e = &c->sides[c->at].entries;

    (void)err;
    hash_batch(c, b);
    for (uint32_t i = 0; i < b->n; i++) {
        if (!c->wanted[bucket_of(c->keys[i])])
            continue;
        MEM_GROW(e->v, e->n, e->cap);
        e->v[e->n++] = (struct entry){c->keys[i], c->rows[i]};
    }
    return 0;
}

static void add_unmatched(struct compare *c, int side, const struct entry *e, uint64_t more, bool same, uint32_t limit)
{
    if (!c->n_differ || memcmp(&c->last, &e->key, sizeof c->last) != 0) {
        c->last = e->key;
        if (c->n_differ++ < limit) {
            MEM_GROW(c->suspects, c->n_suspects, c->cap_suspects);
            c->suspects[c->n_suspects++] = (struct suspect){.key = e->key};
        }
    }
    if (c->n_differ > limit)
        return;
    struct suspect *s = &c->suspects[c->n_suspects - 1];
    if (!s->n[side])
        s->rows[side] = *e;
    s->n[side] += more;
    s->same |= same;
}

static size_t run_length(const struct entries *e, size_t at)
{
    size_t n = 1;

    while (at + n < e->n && entry_cmp(&e->v[at], &e->v[at + n]) == 0)
        n++;
    return n;
}

/* Both sides sorted: what stands more often on one. */
static void match(struct compare *c, uint32_t limit)
{
    struct entries *a = &c->sides[0].entries, *b = &c->sides[1].entries;
    size_t i = 0, k = 0;

    if (a->n)
        qsort(a->v, a->n, sizeof *a->v, entry_cmp);
    if (b->n)
        qsort(b->v, b->n, sizeof *b->v, entry_cmp);
    while (i < a->n || k < b->n) {
        int cmp = i == a->n ? 1 : k == b->n ? -1 : entry_cmp(&a->v[i], &b->v[k]);
        size_t n_a = cmp <= 0 ? run_length(a, i) : 0, n_b = cmp >= 0 ? run_length(b, k) : 0;
        if (n_a > n_b)
            add_unmatched(c, 0, &a->v[i], n_a - n_b, n_b > 0, limit);
        else if (n_b > n_a)
            add_unmatched(c, 1, &b->v[k], n_b - n_a, n_a > 0, limit);
        i += n_a;
        k += n_b;
    }
}

/* ---- pass 3 ---- */

static int keep_values(void *ctx, const struct batch *b, struct err *err)
{
    struct compare *c = ctx;
    uint32_t n_cols = c->t->rel->n_columns;

    (void)err;
    hash_batch(c, b);
    for (uint32_t i = 0; i < b->n; i++) {
        if (!c->wanted[bucket_of(c->keys[i])])
            continue;
        for (size_t k = 0; k < c->n_suspects; k++) {
            struct suspect *s = &c->suspects[k];
            struct entry e = {c->keys[i], c->rows[i]};
            if (!s->n[c->at] || s->values[c->at] || entry_cmp(&s->rows[c->at], &e) != 0)
                continue;
            s->values[c->at] = MEM_NEW_N(struct buf, n_cols + 1);
            for (uint32_t col = 0; col < n_cols; col++)
                pg_value_text(&b->cols[col], i, &s->values[c->at][col]);
        }
    }
    return 0;
}

static void print_value(FILE *out, const struct buf *v)
{
    size_t n = v->n;

    if (n > VALUE_SHOWN) {
        n = VALUE_SHOWN - 10;
        while (n > 0 && ((uint8_t)v->p[n] & 0xc0) == 0x80) /* whole characters */
            n--;
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)v->p[i];
        if (byte < 0x20 || byte == 0x7f)
            fprintf(out, "\\x%02x", byte);
        else
            fputc(byte, out);
    }
    if (n < v->n)
        fprintf(out, "… (%zu bytes)", v->n);
}

static void print_suspect(const struct compare *c, const struct suspect *s, FILE *out)
{
    const struct verify_table *t = c->t;
    const struct buf *a = s->values[0], *b = s->values[1], *any = a ? a : b;
    const char *comma = "";

    if (!any)
        return;
    fputs("  ", out);
    for (uint32_t i = 0; i < t->n_keys; i++) {
        fprintf(out, "%s%.*s=", i ? ", " : "", STR_ARG(t->rel->columns[t->keys[i]].name));
        print_value(out, &any[t->keys[i]]);
    }
    fputs(": ", out);
    if (s->same || !a || !b) {
        uint64_t more = a ? s->n[0] : s->n[1];
        fprintf(out, s->same ? "more often %s" : "only %s", a ? "at the source" : "in the lake");
        if (more > 1)
            fprintf(out, ", %llu times", (unsigned long long)more);
    }
    for (uint32_t i = 0; a && b && !s->same && i < t->rel->n_columns; i++) {
        if (str_eq(buf_str(&a[i]), buf_str(&b[i])))
            continue;
        fprintf(out, "%s%.*s: source ", comma, STR_ARG(t->rel->columns[i].name));
        print_value(out, &a[i]);
        fputs(", lake ", out);
        print_value(out, &b[i]);
        comma = "; ";
    }
    if (a && b && !s->same && !comma[0])
        fputs("the values differ, though not in their text", out);
    fputc('\n', out);
}

/* ---- the whole ---- */

static void compare_free(struct compare *c)
{
    for (size_t i = 0; i < c->n_suspects; i++)
        for (int side = 0; side < 2; side++) {
            for (uint32_t col = 0; c->suspects[i].values[side] && col < c->t->rel->n_columns; col++)
                buf_deinit(&c->suspects[i].values[side][col]);
            mem_free(c->suspects[i].values[side]);
        }
    mem_free(c->suspects);
    mem_free(c->sides[0].entries.v);
    mem_free(c->sides[1].entries.v);
    mem_free(c->keys);
    mem_free(c->rows);
    mem_free(c);
}

static int drill_down(struct compare *c, uint32_t limit, FILE *out, struct err *err)
{
    TRY(read_both(c, collect, err));
    match(c, limit);
    if (c->n_suspects)
        TRY(read_both(c, keep_values, err));
    for (size_t i = 0; i < c->n_suspects; i++)
        print_suspect(c, &c->suspects[i], out);
    if (c->n_differ > c->n_suspects || c->partly)
        fprintf(out, "  … %s%llu %s differ in all\n", c->partly ? "more than " : "", (unsigned long long)c->n_differ,
                c->t->has_key ? "keys" : "rows");
    return 0;
}

static int compare(struct compare *c, uint32_t limit, FILE *out, bool *ret_equal, struct err *err)
{
    struct verify_table *t = c->t;

    TRY(read_both(c, add_sums, err));
    bool differ = choose_buckets(c);
    uint64_t n_letters = t->n_letters;
    *ret_equal = !differ && !t->faults.n;
    if (*ret_equal)
        fprintf(out, "%s: equal, %llu rows, version %lld\n", t->name, (unsigned long long)c->sides[0].n,
                (long long)t->snapshot->version);
    else
        fprintf(out, "%s: DIFFERENT, %llu rows at the source, %llu in the lake, version %lld\n", t->name,
                (unsigned long long)c->sides[0].n, (unsigned long long)c->sides[1].n, (long long)t->snapshot->version);
    fprintf(out, "%.*s%.*s", STR_ARG(buf_str(&t->faults)), STR_ARG(buf_str(&t->notes)));
    if (n_letters)
        fprintf(out, "  %llu values do not fit their types in the lake: NULL there, and in sluice.dead_letters\n",
                (unsigned long long)n_letters);
    return differ ? drill_down(c, limit, out, err) : 0;
}

int verify_compare(struct verify_table *t, uint32_t limit, FILE *out, bool *ret_equal, struct err *err)
{
    if (!t->rel->n_columns)
        return err_set(err, ERR_REFUSED, "table %s has no column that can be compared", t->name);
    struct compare *c = MEM_NEW(struct compare);
    c->t = t;
    int rc = compare(c, limit, out, ret_equal, err);
    compare_free(c);
    return rc;
}
