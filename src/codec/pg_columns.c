/* The alignment, by dynamic programming: message columns down, attnums across. */
#include "codec/pg_columns.h"

#include "base/mem.h"
#include "codec/pg_type.h"

#include <assert.h>

enum { IMPOSSIBLE = 1 << 28 };

/* What speaks against a match. */
enum {
    COST_GONE = 1,         /* of a column that is no more, by its name: one of that name which is there goes before */
    COST_RENAMED = 3,      /* neither name is the message's */
    COST_RENAMED_GONE = 4, /* the same, and nothing of it is left to see */
    COST_TYPE = 1,         /* another type, where the name agrees */
    COST_TYPE_RENAMED = 5, /* where it does not */
    COST_UNSEEN = 6,       /* a column that came and went */
    COST_RENAMED_NEW = 7,  /* a new one, renamed since: if it was not, its values would be another's for good */
    COST_BURIED = 8,       /* a column that the stream had shown, and that was gone already */
    COST_OLDER = 5,        /* the message is older than what was known before */
};

struct place { /* an attnum */
    const struct relation_column *prev, *live;
};

struct alignment {
    const struct pgoutput_column *cols;
    uint32_t n;
    struct place *places; /* [1..n_places] */
    uint32_t n_places;
    int known;     /* the highest attnum that the stream had shown before */
    int32_t *cost; /* [(i, p)]: of the first i columns in the first p places */
    bool *matched; /* … and whether column i is in place p there */
};

static int32_t match_cost(const struct alignment *a, const struct place *p, const struct pgoutput_column *col)
{
    bool named = (p->prev && str_eq(p->prev->name, col->name)) || (p->live && str_eq(p->live->name, col->name));
    bool typed =
        (p->prev && p->prev->declared_oid == col->type_oid) || (p->live && p->live->declared_oid == col->type_oid);

    if (!p->prev && !p->live)
        return p - a->places > a->known ? COST_UNSEEN : COST_BURIED;
    if (named)
        return (p->live ? 0 : COST_GONE) + (typed ? 0 : COST_TYPE);
    int32_t renamed = !p->live ? COST_RENAMED_GONE : p->prev ? COST_RENAMED : COST_RENAMED_NEW;
    return renamed + (typed ? 0 : COST_TYPE_RENAMED);
}

/* `ended`: no column of the message comes after it. */
static int32_t skip_cost(const struct place *p, bool ended)
{
    if (!p->live)
        return 0;
    if (!ended)
        return IMPOSSIBLE;
    return p->prev ? COST_OLDER : 0;
}

static void put(struct alignment *a, const struct relation *rel, bool live)
{
    for (uint32_t i = 0; rel && i < rel->n_columns; i++) {
        const struct relation_column *c = &rel->columns[i];
        if (c->attnum > 0)
            *(live ? &a->places[c->attnum].live : &a->places[c->attnum].prev) = c;
    }
}

static int shown(const struct relation *rel)
{
    int h = rel ? rel->max_attnum : 0;

    for (uint32_t i = 0; rel && i < rel->n_columns; i++)
        h = MAX(h, (int)rel->columns[i].attnum);
    return h;
}

static uint32_t highest(const struct relation *rel)
{
    return rel ? (uint32_t)MAX(shown(rel), (int)rel->n_attributes) : 0;
}

static void fill(struct alignment *a)
{
    size_t width = a->n_places + 1;

    for (uint32_t i = 0; i <= a->n; i++) {
        for (uint32_t p = 0; p <= a->n_places; p++) {
            size_t at = i * width + p;
            int32_t skip = IMPOSSIBLE, match = IMPOSSIBLE;
            if (p > 0)
                skip = a->cost[at - 1] + skip_cost(&a->places[p], i == a->n);
            if (p > 0 && i > 0)
                match = a->cost[at - width - 1] + match_cost(a, &a->places[p], &a->cols[i - 1]);
            a->matched[at] = match <= skip;
            a->cost[at] = i == 0 && p == 0 ? 0 : MIN(MIN(match, skip), (int32_t)IMPOSSIBLE);
        }
    }
}

/* From the end back: the later of two equal places is taken. */
static bool trace(const struct alignment *a, int16_t *ret)
{
    size_t width = a->n_places + 1;
    uint32_t i = a->n, p = a->n_places;

    if (a->cost[i * width + p] >= IMPOSSIBLE)
        return false;
    while (i > 0) {
        if (a->matched[i * width + p])
            ret[--i] = (int16_t)p;
        p--;
    }
    return true;
}

/* What cannot be, such as a table of another history: by name, else a new number. */
static void by_names(const struct alignment *a, int16_t *ret)
{
    uint32_t next = a->n_places - a->n + 1;

    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t p = a->n_places;
        while (p > 0 && !(a->places[p].live && str_eq(a->places[p].live->name, a->cols[i].name)) &&
               !(a->places[p].prev && str_eq(a->places[p].prev->name, a->cols[i].name)))
            p--;
        ret[i] = (int16_t)(p ? p : next++);
    }
}

static bool is_named(const struct relation_column *c, const struct pgoutput_column *col)
{
    return c && str_eq(c->name, col->name);
}

/* May a column of one type become one of the other while its rows stay as they are? Else the table's storage tells. */
static bool may_turn_into(uint32_t a, uint32_t b)
{
    bool texts = (a == PG_OID_TEXT || a == PG_OID_VARCHAR) && (b == PG_OID_TEXT || b == PG_OID_VARCHAR);

    return a == b || texts || MAX(a, b) >= PG_OID_FIRST_USER; /* a domain, perhaps */
}

static bool is_like(const struct relation_column *c, const struct pgoutput_column *col)
{
    return is_named(c, col) && c->declared_oid == col->type_oid;
}

/* A new column that has the message's name: is there one of before, in the neighbourhood, that would have done as well? */
static bool is_reborn(const struct alignment *a, uint32_t i, const int16_t *attnums)
{
    const struct place *here = &a->places[attnums[i]];

    if (here->prev || !is_like(here->live, &a->cols[i]))
        return false;
    for (int p = i ? attnums[i - 1] + 1 : 1; p < attnums[i]; p++)
        if (!a->places[p].live && is_like(a->places[p].prev, &a->cols[i]))
            return true;
    return false;
}

/* The last one, taken for a column that is gone and never had its name: is there a new one that it could be, renamed since? */
static bool may_be_new(const struct alignment *a, const int16_t *attnums)
{
    const struct pgoutput_column *col = &a->cols[a->n - 1];
    const struct place *here = &a->places[attnums[a->n - 1]];

    if (here->live || is_named(here->prev, col))
        return false;
    for (uint32_t p = (uint32_t)attnums[a->n - 1] + 1; p <= a->n_places; p++)
        if (a->places[p].live && !a->places[p].prev && may_turn_into(a->places[p].live->declared_oid, col->type_oid))
            return true;
    return false;
}

static int16_t find_doubtful(const struct alignment *a, const int16_t *attnums)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (is_reborn(a, i, attnums))
            return attnums[i];
    return a->n && may_be_new(a, attnums) ? attnums[a->n - 1] : 0;
}

int16_t pg_columns_align(const struct relation *prev, const struct relation *live, const struct pgoutput_column *cols,
                         uint32_t n, int16_t *ret_attnums)
{
    struct alignment a = {.cols = cols, .n = n};
    uint32_t top = live ? MAX(highest(live), highest(prev)) : highest(prev) + n;

    assert(n <= PGOUTPUT_MAX_COLUMNS);
    a.n_places = MAX(top, n);
    a.places = MEM_NEW_N(struct place, a.n_places + n + 1);
    a.known = shown(prev);
    put(&a, prev, false);
    put(&a, live, true);
    size_t cells = (size_t)(n + 1) * (a.n_places + 1);
    a.cost = MEM_NEW_N(int32_t, cells);
    a.matched = MEM_NEW_N(bool, cells);
    fill(&a);
    int16_t doubtful = 0;
    if (trace(&a, ret_attnums)) {
        doubtful = find_doubtful(&a, ret_attnums);
    } else {
        a.n_places += n;
        by_names(&a, ret_attnums);
    }
    mem_free(a.places);
    mem_free(a.cost);
    mem_free(a.matched);
    return doubtful;
}
