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
    COST_TYPE = 1,         /* a type that was widened, where the name agrees */
    COST_TYPE_RENAMED = 5, /* where it does not */
    COST_TYPE_OTHER = 8,   /* a type that comes of no widening */
    COST_UNSEEN = 6,       /* a column that came and went */
    COST_RENAMED_NEW = 7,  /* a new one, renamed since: if it was not, its values would be another's for good */
    COST_BURIED = 8,       /* a column that the stream had shown, and that was gone already */
    COST_OLDER = 5,        /* the message is older than what was known before */
};

/* Two alignments whose costs are that close are as good as each other. Random histories of ALTER TABLE: with 3, four times as many
 * columns are taken for others; with 5, twice as many tables are copied anew. */
enum { MARGIN = 4 };

struct place { /* an attnum */
    const struct relation_column *prev, *live;
};

struct alignment {
    const struct pgoutput_column *cols;
    uint32_t n;
    struct place *places; /* [1..n_places] */
    uint32_t n_places;
    int known;       /* the highest attnum that the stream had shown before */
    int32_t *before; /* [(i, p)]: the least cost of the first i columns in the first p places … */
    int32_t *after;  /* … and of the other columns in the other places */
};

static size_t at(const struct alignment *a, uint32_t i, uint32_t p)
{
    return (size_t)i * (a->n_places + 1) + p;
}

/* May a column of one type become one of the other while its rows stay as they are? */
static bool may_turn_into(uint32_t a, uint32_t b)
{
    bool texts = (a == PG_OID_TEXT || a == PG_OID_VARCHAR) && (b == PG_OID_TEXT || b == PG_OID_VARCHAR);

    return a == b || texts || MAX(a, b) >= PG_OID_FIRST_USER; /* a domain, perhaps */
}

/* May it, when they are written anew, and the lake follow? */
static bool may_widen(uint32_t from, uint32_t to)
{
    static const uint32_t wider[][2] = {{PG_OID_INT2, PG_OID_INT4},     {PG_OID_INT2, PG_OID_INT8},
                                        {PG_OID_INT4, PG_OID_INT8},     {PG_OID_INT2, PG_OID_FLOAT8},
                                        {PG_OID_INT4, PG_OID_FLOAT8},   {PG_OID_FLOAT4, PG_OID_FLOAT8},
                                        {PG_OID_DATE, PG_OID_TIMESTAMP}};

    for (size_t i = 0; i < ARRAY_LEN(wider); i++)
        if (wider[i][0] == from && wider[i][1] == to)
            return true;
    return may_turn_into(from, to);
}

static int32_t type_cost(const struct place *p, const struct pgoutput_column *col, bool named)
{
    if ((p->prev && may_turn_into(p->prev->declared_oid, col->type_oid)) ||
        (p->live && may_turn_into(p->live->declared_oid, col->type_oid)))
        return 0;
    if ((p->prev && !may_widen(p->prev->declared_oid, col->type_oid)) ||
        (p->live && !may_widen(col->type_oid, p->live->declared_oid)))
        return COST_TYPE_OTHER;
    return named ? COST_TYPE : COST_TYPE_RENAMED;
}

static bool is_named(const struct relation_column *c, const struct pgoutput_column *col)
{
    return c && str_eq(c->name, col->name);
}

static int32_t match_cost(const struct alignment *a, const struct place *p, const struct pgoutput_column *col)
{
    bool named = is_named(p->prev, col) || is_named(p->live, col);

    if (!p->prev && !p->live)
        return p - a->places > a->known ? COST_UNSEEN : COST_BURIED;
    if (named)
        return (p->live ? 0 : COST_GONE) + type_cost(p, col, true);
    int32_t renamed = !p->live ? COST_RENAMED_GONE : p->prev ? COST_RENAMED : COST_RENAMED_NEW;
    return renamed + type_cost(p, col, false);
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

static int32_t sum(int32_t a, int32_t b)
{
    return MIN(a + b, (int32_t)IMPOSSIBLE);
}

static void fill_before(struct alignment *a)
{
    for (uint32_t i = 0; i <= a->n; i++) {
        for (uint32_t p = 0; p <= a->n_places; p++) {
            int32_t skip = IMPOSSIBLE, match = IMPOSSIBLE;
            if (p > 0)
                skip = sum(a->before[at(a, i, p - 1)], skip_cost(&a->places[p], i == a->n));
            if (p > 0 && i > 0)
                match = sum(a->before[at(a, i - 1, p - 1)], match_cost(a, &a->places[p], &a->cols[i - 1]));
            a->before[at(a, i, p)] = i == 0 && p == 0 ? 0 : MIN(match, skip);
        }
    }
}

static void fill_after(struct alignment *a)
{
    for (uint32_t i = a->n + 1; i-- > 0;) {
        for (uint32_t p = a->n_places + 1; p-- > 0;) {
            int32_t skip = IMPOSSIBLE, match = IMPOSSIBLE;
            if (p < a->n_places)
                skip = sum(a->after[at(a, i, p + 1)], skip_cost(&a->places[p + 1], i == a->n));
            if (p < a->n_places && i < a->n)
                match = sum(a->after[at(a, i + 1, p + 1)], match_cost(a, &a->places[p + 1], &a->cols[i]));
            a->after[at(a, i, p)] = i == a->n && p == a->n_places ? 0 : MIN(match, skip);
        }
    }
}

/* From the end back. Of two equal places the earlier is taken: a column that came and went unseen then never stands in the place
 * of one that comes after it (those that the message lacks are gone for good). */
static bool trace(const struct alignment *a, int16_t *ret)
{
    uint32_t i = a->n, p = a->n_places;

    if (a->before[at(a, i, p)] >= IMPOSSIBLE)
        return false;
    for (; i > 0; p--)
        if (a->before[at(a, i, p)] < sum(a->before[at(a, i, p - 1)], skip_cost(&a->places[p], i == a->n)))
            ret[--i] = (int16_t)p;
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

/* Two places that a column may be in. Of neither anything is known: it does not matter. The one has its name now: the other would
 * have had it at least. */
static bool is_choice(const struct place *p, const struct place *other, const struct pgoutput_column *col)
{
    if (!p->prev && !p->live && !other->prev && !other->live)
        return false;
    return !is_named(p->live, col) || is_named(other->prev, col);
}

static bool is_doubtful(const struct alignment *a, uint32_t i, uint32_t place)
{
    int32_t best = a->before[at(a, a->n, a->n_places)];

    for (uint32_t p = 1; p <= a->n_places; p++) {
        if (p == place || !is_choice(&a->places[place], &a->places[p], &a->cols[i]))
            continue;
        int32_t rest = sum(a->before[at(a, i, p - 1)], a->after[at(a, i + 1, p)]);
        if (sum(rest, match_cost(a, &a->places[p], &a->cols[i])) <= best + MARGIN)
            return true;
    }
    return false;
}

static int16_t find_doubtful(struct alignment *a, const int16_t *attnums)
{
    fill_after(a);
    for (uint32_t i = 0; i < a->n; i++)
        if (is_doubtful(a, i, (uint32_t)attnums[i]))
            return attnums[i];
    return 0;
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
    a.before = MEM_NEW_N(int32_t, cells);
    a.after = MEM_NEW_N(int32_t, cells);
    fill_before(&a);
    int16_t doubtful = 0;
    if (trace(&a, ret_attnums)) {
        doubtful = find_doubtful(&a, ret_attnums);
    } else {
        a.n_places += n;
        by_names(&a, ret_attnums);
    }
    mem_free(a.places);
    mem_free(a.before);
    mem_free(a.after);
    return doubtful;
}
