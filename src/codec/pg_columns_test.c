/*
 * Random histories of ALTER TABLE, of which the stream shows some states while the catalog is ahead by any number of steps. What is
 * right is known here: every column has its true attnum.
 */
#include "codec/pg_columns.h"

#include "base/mem.h"
#include "codec/pg_type.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 40, COLUMNS = STEPS + 2, HISTORIES = 2000 };

struct column_state {
    int attnum;
    char name[12];
    uint32_t type;
};

struct table_state {
    struct column_state v[COLUMNS];
    uint32_t n;
    int n_attributes;
};

struct outcome {
    uint32_t messages, doubtful, wrong;
};

static uint32_t seed;

static uint32_t rnd(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

static void alter(struct table_state *t, int step)
{
    static const uint32_t types[] = {PG_OID_INT2, PG_OID_INT4, PG_OID_FLOAT4};
    uint32_t r = rnd(100), k = t->n > 2 ? 2 + rnd(t->n - 2) : 0;
    struct column_state *c = &t->v[k ? k : t->n];

    if (!k || r < 40) {
        c = &t->v[t->n++];
        *c = (struct column_state){.attnum = ++t->n_attributes, .type = types[rnd(ARRAY_LEN(types))]};
        snprintf(c->name, sizeof c->name, "x%d", step);
    } else if (r < 60) {
        memmove(c, c + 1, (--t->n - k) * sizeof *c);
    } else if (r < 80) {
        snprintf(c->name, sizeof c->name, "y%d", step);
    } else {
        c->type = c->type == PG_OID_INT2     ? PG_OID_INT4
                  : c->type == PG_OID_INT4   ? PG_OID_INT8
                  : c->type == PG_OID_FLOAT4 ? PG_OID_FLOAT8
                                             : c->type;
    }
}

static void make_history(struct table_state *steps)
{
    steps[0] = (struct table_state){.v = {{1, "id", PG_OID_INT4}, {2, "v", PG_OID_TEXT}}, .n = 2, .n_attributes = 2};
    for (int i = 1; i <= STEPS; i++) {
        steps[i] = steps[i - 1];
        alter(&steps[i], i);
    }
}

/* With the attnums given, or else the true ones. */
static struct relation *relation_of(const struct table_state *t, const int16_t *attnums, int max_attnum)
{
    struct relation *r = relation_new();

    r->columns = ARENA_NEW_N(&r->arena, struct relation_column, COLUMNS);
    r->n_columns = t->n;
    r->n_attributes = t->n_attributes;
    for (uint32_t i = 0; i < t->n; i++) {
        r->columns[i] = (struct relation_column){.name = arena_str(&r->arena, str_of(t->v[i].name)),
                                                 .attnum = attnums ? attnums[i] : (int16_t)t->v[i].attnum,
                                                 .declared_oid = t->v[i].type};
        max_attnum = MAX(max_attnum, (int)r->columns[i].attnum);
    }
    r->max_attnum = (int16_t)max_attnum;
    return r;
}

/* Which true column each attnum was given to, and the other way round; 0: none yet. */
struct given {
    int owner[2 * COLUMNS], attnum[2 * COLUMNS];
};

static void begin_again(const struct table_state *t, struct given *g, struct relation **prev)
{
    *g = (struct given){0};
    for (uint32_t i = 0; i < t->n; i++)
        g->owner[t->v[i].attnum] = g->attnum[t->v[i].attnum] = t->v[i].attnum;
    relation_unref(*prev);
    *prev = relation_of(t, NULL, 0);
}

static bool is_right(const struct table_state *t, const struct relation *live, const int16_t *attnums, struct given *g)
{
    for (uint32_t i = 0; i < t->n; i++) {
        int got = attnums[i], is = t->v[i].attnum;
        if ((g->owner[got] && g->owner[got] != is) || (g->attnum[is] && g->attnum[is] != got) ||
            (got != is && relation_column_of(live, (int16_t)got)))
            return false;
        g->owner[got] = is;
        g->attnum[is] = got;
    }
    return true;
}

static void assert_widened(const struct table_state *t, const struct relation *prev, const int16_t *attnums)
{
    for (uint32_t i = 0; i < t->n; i++) {
        const struct relation_column *p = relation_column_of(prev, attnums[i]);
        bool is_int = t->v[i].type != PG_OID_FLOAT4 && t->v[i].type != PG_OID_FLOAT8;
        if (p && p->attnum > 2 && is_int)
            assert_true(p->declared_oid == t->v[i].type || p->declared_oid == PG_OID_INT2 ||
                        (p->declared_oid == PG_OID_INT4 && t->v[i].type == PG_OID_INT8));
    }
}

static void follow(const struct table_state *steps, struct outcome *o)
{
    CLEANUP(relation_unrefp) struct relation *prev = NULL;
    struct given given;
    uint32_t ahead = rnd(3), newest = 0;

    begin_again(&steps[0], &given, &prev);
    for (uint32_t s = 1; s <= STEPS; s++) {
        const struct table_state *t = &steps[s];
        struct pgoutput_column cols[COLUMNS];
        int16_t attnums[COLUMNS];
        if (rnd(5) == 0)
            continue; /* no row came with it */
        newest = MAX(newest, ahead == 0 ? s : ahead == 1 ? STEPS : s + rnd(STEPS - s + 1));
        CLEANUP(relation_unrefp) struct relation *live = relation_of(&steps[newest], NULL, 0);
        for (uint32_t i = 0; i < t->n; i++)
            cols[i] = (struct pgoutput_column){.name = str_of(t->v[i].name), .type_oid = t->v[i].type};
        int16_t doubtful = pg_columns_align(prev, live, cols, t->n, attnums);
        o->messages++;
        o->doubtful += doubtful != 0;
        if (!doubtful)
            assert_widened(t, prev, attnums);
        bool right = !doubtful && is_right(t, live, attnums, &given);
        o->wrong += !doubtful && !right;
        if (right) {
            int max_attnum = prev->max_attnum;
            relation_unref(prev);
            prev = relation_of(t, attnums, max_attnum);
        } else {
            begin_again(t, &given, &prev); /* copied anew */
        }
    }
}

static void test_align__random_histories(void **state)
{
    static struct table_state steps[STEPS + 1];
    struct outcome o = {0};

    (void)state;
    for (seed = 1; seed <= HISTORIES; seed++) {
        uint32_t mine = seed;
        make_history(steps);
        follow(steps, &o);
        seed = mine;
    }
    print_message("%u messages, %u doubtful, %u wrong\n", o.messages, o.doubtful, o.wrong);
    assert_true(o.messages > 60000);
    assert_true(o.doubtful < o.messages / 8);
    assert_true(o.wrong < o.messages / 1000); /* where two columns that came and went cannot be told apart */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_align__random_histories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
