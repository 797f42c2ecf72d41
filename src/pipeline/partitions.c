/*
 * A partition that is attached brings rows along, and one that is detached or dropped takes them away; a TRUNCATE of one alone,
 * too. The stream says nothing of these. So the list of partitions is compared with what it was:
 *
 *   one is gone, or was attached anew  → the table is copied anew
 *   a new one was not empty as it came → the same (most are empty)
 *   one has another file               → it was rewritten (VACUUM FULL, CLUSTER), and has rows that are as old as the list; or
 *                                        the whole table was truncated, which the stream says, so it is waited for; else the same
 *
 * A table of changes (--history only) has had no change, and stays.
 */
#include "pipeline/run.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>

enum { LOOK_AGAIN_US = 300000 };

/* An entry of the list (relation.h). What a list of an older version lacks is 0. */
struct leaf {
    uint64_t oid, file, link, xid, pages;
};

struct leaves {
    uint64_t since; /* the oldest transaction that ran when the list was made; 0: not known */
    struct leaf *v; /* by oid */
    size_t n;
};

static void leaves_deinit(struct leaves *l)
{
    mem_free(l->v);
}

static struct leaf read_leaf(struct str entry)
{
    struct leaf leaf = {0};
    uint64_t *const parts[] = {&leaf.oid, &leaf.file, &leaf.link, &leaf.xid, &leaf.pages};

    for (size_t i = 0; i < ARRAY_LEN(parts) && entry.p; i++)
        (void)!str_to_u64(str_split(&entry, ':'), parts[i]);
    return leaf;
}

static struct leaves read_leaves(struct str list)
{
    struct leaves l = {0};
    size_t cap = 0;

    l.since = read_leaf(str_split(&list, ',')).file; /* "0:<xid>" */
    while (list.p) {
        MEM_GROW(l.v, l.n, cap);
        l.v[l.n++] = read_leaf(str_split(&list, ','));
    }
    return l;
}

static int compare_leaves(const void *a, const void *b)
{
    const struct leaf *x = a, *y = b;

    return (x->oid > y->oid) - (x->oid < y->oid);
}

static const struct leaf *find_leaf(const struct leaves *l, uint64_t oid)
{
    return l->n ? bsearch(&(struct leaf){.oid = oid}, l->v, l->n, sizeof *l->v, compare_leaves) : NULL;
}

/* The list without its head, which says only when it was made. */
static struct str rest_of(struct str list)
{
    str_split(&list, ',');
    return list;
}

struct leaf_question {
    uint32_t oid;
    uint64_t xid;
    bool had_rows, ret;
};

static int ask_brought(struct sync *s, void *arg, struct err *err)
{
    struct leaf_question *q = arg;

    return pg_catalog_leaf_brought_rows(s->conn, q->oid, &q->ret, err);
}

static int ask_kept(struct sync *s, void *arg, struct err *err)
{
    struct leaf_question *q = arg;

    return pg_catalog_leaf_kept_rows(s->conn, q->oid, q->xid, q->had_rows, &q->ret, err);
}

static int ask_lsn(struct sync *s, void *arg, struct err *err)
{
    return pg_current_wal_lsn(s->conn, arg, err);
}

/* NULL in `*ret` when no rows came or went with partitions. */
static int why_moved(struct sync *s, const struct leaves *before, const struct leaves *now, const char **ret,
                     struct err *err)
{
    *ret = NULL;
    for (size_t i = 0; i < before->n; i++) {
        const struct leaf *leaf = find_leaf(now, before->v[i].oid);
        if (!leaf)
            *ret = "a partition was detached or dropped, and its rows with it";
        else if (before->v[i].link && before->v[i].link != leaf->link)
            *ret = "a partition was detached, and attached again: it may have changed meanwhile";
    }
    for (size_t i = 0; i < now->n && !*ret; i++) {
        struct leaf_question q = {.oid = (uint32_t)now->v[i].oid};
        if (find_leaf(before, q.oid))
            continue;
        TRY(sync_ask(s, ask_brought, &q, err));
        if (q.ret)
            *ret = "a partition was attached that had rows already";
    }
    return 0;
}

/* Does a partition have another file, and neither rows that tell why, nor a TRUNCATE of the whole table? */
static int is_emptied(struct sync *s, const struct leaves *before, const struct leaves *now, uint32_t truncated_xid,
                      bool *ret, struct err *err)
{
    *ret = false;
    for (size_t i = 0; i < now->n && before->since && !*ret; i++) {
        const struct leaf *leaf = &now->v[i], *old = find_leaf(before, leaf->oid);
        if (!old || old->file == leaf->file || (truncated_xid && leaf->xid == truncated_xid))
            continue;
        struct leaf_question q = {.oid = (uint32_t)leaf->oid, .xid = before->since, .had_rows = old->pages > 0};
        TRY(sync_ask(s, ask_kept, &q, err));
        *ret = !q.ret;
    }
    return 0;
}

/* Has the stream come to where it must have told of what was seen, if it tells of it at all? If not, we look again soon. */
static int has_been_told(struct sync *s, struct state_table *st, struct str now, bool *ret, struct err *err)
{
    if (!str_eq(rest_of(st->suspect), rest_of(now))) {
        st->suspect = arena_str(&s->state.arena, now);
        TRY(sync_ask(s, ask_lsn, &st->suspect_lsn, err));
    }
    *ret = s->receive.started && s->applied + 1 >= st->suspect_lsn;
    if (!*ret) {
        s->n_suspects++;
        sync_look_soon(s, LOOK_AGAIN_US);
    }
    return 0;
}

static int mind(struct sync *s, struct state_table *st, struct str now, struct err *err)
{
    CLEANUP(leaves_deinit) struct leaves old = read_leaves(st->leaves), new = read_leaves(now);
    bool emptied = false, told = true;

    if (st->leaves.n)
        TRY(why_moved(s, &old, &new, &st->moved, err));
    if (st->leaves.n && !st->moved)
        TRY(is_emptied(s, &old, &new, pg_epoch_truncated_xid(s->epoch, st->oid), &emptied, err));
    if (emptied)
        TRY(has_been_told(s, st, now, &told, err));
    if (!told)
        return 0;
    if (emptied)
        st->moved = "a partition was truncated by itself, or written anew";
    st->suspect = (struct str){0};
    if (st->moved)
        return 0;
    st->leaves = arena_str(&s->state.arena, now);
    s->state_dirty = true;
    return 0;
}

int sync_mind_partitions(struct sync *s, const struct pg_tables *tables, struct err *err)
{
    s->n_suspects = 0;
    for (size_t i = 0; i < tables->n; i++) {
        const struct relation *r = tables->items[i];
        struct state_table *st = state_find(&s->state, r->oid);
        bool follows = st && (st->state == TABLE_STREAMING || st->state == TABLE_QUARANTINED);
        if (!follows || str_eq(rest_of(st->leaves), rest_of(r->leaves)) || s->o->history == LAKE_CHANGES_ONLY)
            continue;
        TRY(mind(s, st, r->leaves, err));
    }
    return 0;
}
