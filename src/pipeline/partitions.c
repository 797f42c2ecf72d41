/*
 * A partition that is attached brings rows along, and one that is detached or dropped takes them away; a TRUNCATE of one alone,
 * too. The stream says nothing of these. So the list of partitions is compared with what it was:
 *
 *   one is gone                        → its rows leave the lake (gone.c), or the table is copied anew
 *   one was attached anew              → the table is copied anew
 *   a new one was not empty as it came → the same (most are empty)
 *   one has another file               → it was rewritten (VACUUM FULL, CLUSTER), and has rows that are as old as the list; or
 *                                        the whole table was truncated, which the stream says, so it is waited for; else as if gone
 *
 * A table of changes (--history only) has had no change, and stays.
 */
#include "pipeline/run.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/mem.h"

#include <stdlib.h>

enum { LOOK_AGAIN_US = 300000, GONE_AGAIN_US = 2000000 };

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

static void add_gone(struct gone_leaves *g, const struct leaf *leaf)
{
    MEM_GROW(g->v, g->n, g->cap);
    g->v[g->n++] = *leaf;
}

static void gone_leaves_deinit(struct gone_leaves *g)
{
    mem_free(g->v);
}

/* NULL in `*ret` when no rows came with partitions; those that went with some are told by `gone`. What has no file has no rows. */
static int why_moved(struct sync *s, const struct leaves *before, const struct leaves *now, struct gone_leaves *gone,
                     const char **ret, struct err *err)
{
    *ret = NULL;
    for (size_t i = 0; i < before->n; i++) {
        const struct leaf *leaf = find_leaf(now, before->v[i].oid);
        if (!leaf && before->v[i].file)
            add_gone(gone, &before->v[i]);
        else if (leaf && before->v[i].link && before->v[i].link != leaf->link)
            *ret = "a partition was detached, and attached again: it may have changed meanwhile";
    }
    gone->n_detached = gone->n;
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

/* Has a partition another file, and neither rows that tell why, nor a TRUNCATE of the whole table? Adds those to `gone`. */
static int find_emptied(struct sync *s, const struct leaves *before, const struct leaves *now, uint32_t truncated_xid,
                        struct gone_leaves *gone, struct err *err)
{
    for (size_t i = 0; i < now->n && before->since; i++) {
        const struct leaf *leaf = &now->v[i], *old = find_leaf(before, leaf->oid);
        if (!old || old->file == leaf->file || (truncated_xid && leaf->xid == truncated_xid))
            continue;
        struct leaf_question q = {.oid = (uint32_t)leaf->oid, .xid = before->since, .had_rows = old->pages > 0};
        TRY(sync_ask(s, ask_kept, &q, err));
        if (!q.ret)
            add_gone(gone, old);
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

/* Rows of partitions are gone: they leave the lake, or the table is copied anew. `*ret_later`: that cannot be told yet. */
static int mind_gone(struct sync *s, struct state_table *st, const struct relation *r, const struct gone_leaves *gone,
                     bool *ret_later, struct err *err)
{
    enum gone_answer answer;

    TRY(sync_note_gone(s, st, r, gone, &answer, err));
    if (answer == GONE_UNSURE)
        st->moved = gone->n_detached ? "a partition was detached or dropped, and its rows with it"
                                     : "a partition was truncated by itself, or written anew";
    *ret_later = answer == GONE_LATER;
    if (*ret_later) {
        s->n_suspects++;
        sync_look_soon(s, GONE_AGAIN_US);
    }
    return 0;
}

/* The list is as it is now, and the bounds with it. */
static int keep_list(struct sync *s, struct state_table *st, struct str now, struct err *err)
{
    st->leaves = arena_str(&s->state.arena, now);
    s->state_dirty = true;
    TRY(sync_note_bounds(s, st, err));
    if (!st->gone_lsn)
        return 0;
    TRY(state_save(&s->state, err)); /* before anything is done about it */
    crash_point("gone_noted");
    return 0;
}

static int mind(struct sync *s, struct state_table *st, const struct relation *r, struct err *err)
{
    CLEANUP(leaves_deinit) struct leaves old = read_leaves(st->leaves), new = read_leaves(r->leaves);
    CLEANUP(gone_leaves_deinit) struct gone_leaves gone = {.list = old.v, .n_list = old.n};
    bool told = true, later = false;

    if (st->leaves.n)
        TRY(why_moved(s, &old, &new, &gone, &st->moved, err));
    if (st->leaves.n && !st->moved)
        TRY(find_emptied(s, &old, &new, pg_epoch_truncated_xid(s->epoch, st->oid), &gone, err));
    if (!st->moved && gone.n > gone.n_detached)
        TRY(has_been_told(s, st, r->leaves, &told, err));
    if (!told)
        return 0;
    if (!st->moved && gone.n)
        TRY(mind_gone(s, st, r, &gone, &later, err));
    if (later)
        return 0;
    st->suspect = (struct str){0};
    return st->moved ? 0 : keep_list(s, st, r->leaves, err);
}

/* Of a list that is as it was: kept by an older version, or a table was locked when it was made. */
static bool lacks_bounds(const struct state_table *st)
{
    return rest_of(st->leaves).n && !st->bounds.n;
}

int sync_mind_partitions(struct sync *s, const struct pg_tables *tables, struct err *err)
{
    s->n_suspects = 0;
    for (size_t i = 0; i < tables->n; i++) {
        const struct relation *r = tables->items[i];
        struct state_table *st = state_find(&s->state, r->oid);
        bool follows = st && (st->state == TABLE_STREAMING || st->state == TABLE_QUARANTINED);
        bool same = st && str_eq(rest_of(st->leaves), rest_of(r->leaves));
        if (!follows || st->gone_lsn || s->o->history == LAKE_CHANGES_ONLY)
            continue; /* one thing after the other */
        if (!same)
            TRY(mind(s, st, r, err));
        else if (lacks_bounds(st))
            TRY(sync_note_bounds(s, st, err));
    }
    return 0;
}
