/*
 * A partition that is attached brings rows along, and one that is detached or dropped takes them away; the stream says nothing
 * of either. So the list of leaf partitions is compared with what it was: when one is gone, or a new one was not empty as it
 * came (most are), the table is copied anew. A table of changes (--history only) has had no change, and stays.
 */
#include "pipeline/run.h"

static bool next_leaf(struct str *list, uint32_t *ret)
{
    uint64_t oid = 0;

    while (list->p && oid == 0) /* 0 stands at the head of each list */
        if (!str_to_u64(str_split(list, ','), &oid))
            return false;
    *ret = (uint32_t)oid;
    return oid != 0;
}

static bool has_leaf(struct str list, uint32_t leaf)
{
    uint32_t oid;

    while (next_leaf(&list, &oid))
        if (oid == leaf)
            return true;
    return false;
}

struct leaf_question {
    uint32_t oid;
    bool ret;
};

static int ask_leaf(struct sync *s, void *arg, struct err *err)
{
    struct leaf_question *q = arg;

    return pg_catalog_leaf_brought_rows(s->conn, q->oid, &q->ret, err);
}

/* NULL in `*ret` when no rows came or went with partitions. */
static int why_moved(struct sync *s, struct str before, struct str now, const char **ret, struct err *err)
{
    struct str old = before, rest = now;
    uint32_t oid;

    *ret = NULL;
    while (next_leaf(&old, &oid))
        if (!has_leaf(now, oid))
            *ret = "a partition was detached or dropped, and its rows with it";
    while (!*ret && next_leaf(&rest, &oid)) {
        struct leaf_question q = {.oid = oid};
        if (has_leaf(before, oid))
            continue;
        TRY(sync_ask(s, ask_leaf, &q, err));
        if (q.ret)
            *ret = "a partition was attached that had rows already";
    }
    return 0;
}

int sync_mind_partitions(struct sync *s, const struct pg_tables *tables, struct err *err)
{
    for (size_t i = 0; i < tables->n; i++) {
        const struct relation *r = tables->items[i];
        struct state_table *st = state_find(&s->state, r->oid);
        bool follows = st && (st->state == TABLE_STREAMING || st->state == TABLE_QUARANTINED);
        if (!follows || str_eq(st->leaves, r->leaves) || s->o->history == LAKE_CHANGES_ONLY)
            continue;
        if (st->leaves.n)
            TRY(why_moved(s, st->leaves, r->leaves, &st->moved, err));
        if (st->moved)
            continue;
        st->leaves = arena_str(&s->state.arena, r->leaves);
        s->state_dirty = true;
    }
    return 0;
}
