/*
 * Partitions that were dropped, detached or truncated alone: only their rows leave the lake, and the table is not copied anew.
 *
 * Which rows these are, their bounds tell; when they go, a position in the stream. It must have all changes of these rows below
 * it, and the source must have had no row within the bounds there. What it has now is no answer, for the stream is behind; and no
 * transaction may have been passed that was not seen when it was asked. So, between two epochs:
 *
 *   1  a position, asked after the partitions were seen to be gone: whoever wrote to them committed below it
 *   2  whoever holds locks by which rows might be put within the bounds is waited for, for a moment: what committed below the
 *      position is seen then
 *   3  no partition has place for such rows, or has any: so there were none at the position
 *   4  noted in the state. When the stream comes to the position, they are deleted (sink/lake_gone.h)
 *
 * (In 3 rows may be missed that were written below the position and deleted since. Then the stream takes away what is gone already;
 * an update of such a row that leaves out values has the table copied anew, lake_table.gone_until.)
 *
 * A kill between 4 and its end does it again at the same position; a history has noted what it was told.
 */
#include "pipeline/run.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/pg_bounds.h"
#include "source/pg_partitions.h"

#include <stdlib.h>

/* The stream stands still for so long at most: twice as long at each try, since the transactions may be longer. */
enum { WAIT_US = 200000, WAIT_DOUBLED = 4, LOOK_US = 10000, NAMES_MAX = 400 };

/* ---- entries ---- */

struct gone_entries {
    struct arena arena;
    struct pg_bounds *v;
    size_t n;
};

static void gone_entries_deinit(struct gone_entries *e)
{
    arena_deinit(&e->arena);
}

static bool read_entries(struct str list, struct gone_entries *ret)
{
    size_t cap = 1;

    for (size_t i = 0; i < list.n; i++)
        cap += list.p[i] == PG_ENTRY_END;
    ret->v = ARENA_NEW_N(&ret->arena, struct pg_bounds, cap);
    while (list.p)
        if (!pg_bounds_read(str_split(&list, PG_ENTRY_END), &ret->arena, &ret->v[ret->n++]))
            return false;
    return true;
}

struct bounds_question {
    uint32_t root;
    struct buf ret;
};

static void bounds_question_deinit(struct bounds_question *q)
{
    buf_deinit(&q->ret);
}

/* ---- asking ---- */

struct gone_question {
    const struct relation *root;
    struct gone_entries entries;
    struct buf leaves; /* "{1,2}": those that must belong to no table any more */
    int64_t wait_us;
    char **where; /* of each entry, in the source's SQL; in the arena */
    struct pg_wal_position ret_at, ret_until;
    enum gone_answer ret;
};

static void gone_question_deinit(struct gone_question *q)
{
    gone_entries_deinit(&q->entries);
    buf_deinit(&q->leaves);
}

static int add_column(void *ctx, int16_t attnum, struct buf *out, struct err *err)
{
    (void)err;
    buf_add_sql_ident(out, relation_column_of(ctx, attnum)->name);
    return 0;
}

/* A literal takes the type of the column that it is compared with. */
static int add_value(void *ctx, int16_t attnum, struct str text, struct buf *out, struct err *err)
{
    (void)ctx, (void)attnum, (void)err;
    buf_add_sql_literal(out, text);
    return 0;
}

static bool has_columns(const struct relation *rel, const struct pg_bounds *leaf)
{
    for (uint32_t i = 0; i < leaf->n_levels; i++)
        for (uint32_t k = 0; k < leaf->levels[i].n_keys; k++) {
            const struct relation_column *col = relation_column_of(rel, leaf->levels[i].attnums[k]);
            if (!col || !pg_bounds_tell(&leaf->levels[i], k, col))
                return false;
        }
    return true;
}

static int add_conditions(struct gone_question *q, bool *ret_sure, struct err *err)
{
    struct pg_bounds_writer w = {add_column, add_value, (void *)q->root};

    q->where = ARENA_NEW_N(&q->entries.arena, char *, q->entries.n);
    for (size_t i = 0; i < q->entries.n; i++) {
        CLEANUP(buf_deinit) struct buf sql = {0};
        if (!has_columns(q->root, &q->entries.v[i]))
            return 0;
        TRY(pg_bounds_add_sql(&q->entries.v[i], &w, &sql, err));
        q->where[i] = arena_printf(&q->entries.arena, "%s", sql.p);
    }
    *ret_sure = true;
    return 0;
}

static bool lists(struct str list, struct str one)
{
    while (list.p)
        if (str_eq(str_split(&list, ','), one))
            return true;
    return false;
}

static bool any_left(struct str before, struct str now)
{
    while (before.p) {
        struct str one = str_split(&before, ',');
        if (one.n && lists(now, one))
            return true;
    }
    return false;
}

/* Until whoever holds locks now has let go of them. */
static int wait_for_holders(struct sync *s, const struct gone_question *q, bool writers, bool *ret_over,
                            struct err *err)
{
    CLEANUP(buf_deinit) struct buf before = {0};
    int64_t begin = clock_mono_us();
    uint32_t root = q->root->oid;

    TRY(pg_partition_holders(s->conn, root, writers, &before, err));
    for (*ret_over = !before.n; !*ret_over && clock_mono_us() - begin < q->wait_us && !sync_is_stopping(s);) {
        CLEANUP(buf_deinit) struct buf now = {0};
        clock_sleep_us(LOOK_US);
        TRY(pg_partition_holders(s->conn, root, writers, &now, err));
        *ret_over = !any_left(buf_str(&before), buf_str(&now));
    }
    return 0;
}

/* Rows may be there where a partition has place for them. */
static int ask_for_rows(struct sync *s, struct gone_question *q, struct err *err)
{
    bool place = false, rows = false, over = true;

    for (size_t i = 0; i < q->entries.n && !place; i++) {
        bool none;
        TRY(pg_partition_has_no_place(s->conn, q->root, q->where[i], &none, err));
        place = !none;
    }
    if (place)
        TRY(wait_for_holders(s, q, true, &over, err));
    for (size_t i = 0; i < q->entries.n && place && over && !rows; i++)
        TRY(pg_partition_has_rows(s->conn, q->root, q->where[i], &rows, err));
    q->ret = !over ? GONE_LATER : rows ? GONE_UNSURE : GONE_NOTED;
    return 0;
}

static int ask_gone(struct sync *s, void *arg, struct err *err)
{
    struct gone_question *q = arg;
    bool attached, over, unused;

    q->ret = GONE_LATER;
    TRY(pg_partition_position(s->conn, q->root->oid, q->leaves.p, &q->ret_at, &attached, err));
    if (attached) /* DETACH … CONCURRENTLY is not over yet */
        return 0;
    TRY(wait_for_holders(s, q, false, &over, err));
    if (!over)
        return 0;
    TRY(ask_for_rows(s, q, err));
    return pg_partition_position(s->conn, q->root->oid, "{}", &q->ret_until, &unused, err);
}

/* ---- bounds ---- */

static int ask_bounds(struct sync *s, void *arg, struct err *err)
{
    struct bounds_question *q = arg;

    buf_reset(&q->ret);
    return pg_partition_bounds(s->conn, q->root, &q->ret, err);
}

int sync_note_bounds(struct sync *s, struct state_table *st, struct err *err)
{
    CLEANUP(bounds_question_deinit) struct bounds_question q = {.root = st->oid};
    struct err why;
    int rc = sync_ask_once(s, ask_bounds, &q, &why);

    if (rc && !sync_is_locked(&why)) {
        if (err)
            *err = why;
        return rc;
    }
    st->bounds = rc ? (struct str){0} : arena_str(&s->state.arena, buf_str(&q.ret)); /* the next look asks again */
    s->state_dirty = true;
    return 0;
}

/* ---- which bounds ---- */

/* A partition of the table, and what is to become of it. */
struct part {
    struct pg_bounds_head head;
    struct str entry;
    bool gone;  /* a leaf whose rows are gone */
    bool above; /* it is partitioned itself */
    bool told;  /* its bounds are in the list */
};

struct parts {
    struct part *v;
    size_t n, cap;
};

static void parts_deinit(struct parts *p)
{
    mem_free(p->v);
}

static bool is_below(const struct part *p, const struct part *top)
{
    struct str a = top->head.levels, b = p->head.levels;

    return b.n > a.n && b.p[a.n] == '\x1f' && str_has_prefix(b, a);
}

static int compare_parts(const void *a, const void *b)
{
    const struct part *x = a, *y = b;

    return (x->head.oid > y->head.oid) - (x->head.oid < y->head.oid);
}

static struct part *part_of(const struct parts *p, uint64_t oid)
{
    struct part key = {.head.oid = oid};

    return p->n ? bsearch(&key, p->v, p->n, sizeof *p->v, compare_parts) : NULL;
}

/* Are the bounds of the same attachments as the list? */
static bool match(struct parts *p, const struct gone_leaves *leaves)
{
    for (size_t i = 0; i < leaves->n_list; i++) {
        struct part *part = part_of(p, leaves->list[i].oid);
        if (part && part->head.link != leaves->list[i].link)
            return false;
        if (part)
            part->above = !leaves->list[i].file;
    }
    return true;
}

static bool read_parts(struct str bounds, const struct gone_leaves *leaves, struct parts *ret)
{
    while (bounds.p) {
        struct part part = {.entry = str_split(&bounds, PG_ENTRY_END)};
        if (!pg_bounds_read_head(part.entry, &part.head))
            return false;
        MEM_GROW(ret->v, ret->n, ret->cap);
        ret->v[ret->n++] = part;
    }
    for (size_t i = 0; i < leaves->n; i++) {
        struct part *part = part_of(ret, leaves->v[i].oid);
        if (!part)
            return false;
        part->gone = true;
    }
    return match(ret, leaves);
}

/* Is everything below it gone? A foreign table has no entry, and no rows in the lake. */
static bool is_all_gone(const struct parts *p, const struct part *top)
{
    for (size_t i = 0; i < p->n; i++)
        if (is_below(&p->v[i], top) && !p->v[i].gone && !p->v[i].above)
            return false;
    return true;
}

static void add_entry(struct part *part, struct buf *list)
{
    if (part->told)
        return;
    part->told = true;
    if (list->n)
        buf_add_char(list, PG_ENTRY_END);
    buf_add_str(list, part->entry);
}

/* The entries whose bounds hold what is gone and nothing else: of a table that lost all that is below it, its own, for it may be
 * partitioned by a hash there, or have a default partition. */
static bool collect(struct str bounds, const struct gone_leaves *leaves, struct buf *list)
{
    CLEANUP(parts_deinit) struct parts p = {0};

    if (!bounds.n || !read_parts(bounds, leaves, &p))
        return false;
    for (size_t i = 0; i < p.n; i++) {
        struct part *top = &p.v[i];
        for (size_t k = 0; p.v[i].gone && k < p.n; k++)
            if (is_below(top, &p.v[k]) && is_all_gone(&p, &p.v[k]))
                top = &p.v[k];
        if (p.v[i].gone)
            add_entry(top, list);
    }
    return true;
}

static void add_detached(const struct gone_leaves *leaves, struct buf *out)
{
    buf_add_char(out, '{');
    for (size_t i = 0; i < leaves->n_detached; i++)
        buf_printf(out, "%s%llu", i ? "," : "", (unsigned long long)leaves->v[i].oid);
    buf_add_char(out, '}');
}

/* ---- noting ---- */

static void note(struct sync *s, struct state_table *st, const struct gone_question *q, struct str list)
{
    const struct relation *r = q->root;
    CLEANUP(buf_deinit) struct buf gone = {0};
    enum lake_gone_as as = r->identity == IDENTITY_NONE             ? LAKE_GONE_QUIET
                           : r->full || r->identity == IDENTITY_ROW ? LAKE_GONE_ROW
                                                                    : LAKE_GONE_KEY;

    buf_add_char(&gone, (char)as);
    buf_add_str(&gone, list);
    st->gone = arena_str(&s->state.arena, buf_str(&gone));
    st->gone_lsn = q->ret_at.lsn;
    st->gone_until = q->ret_until.lsn;
    st->gone_timeline = q->ret_at.timeline;
    s->state_dirty = true;
    sync_find_gone(s);
}

int sync_note_gone(struct sync *s, struct state_table *st, const struct relation *r, const struct gone_leaves *leaves,
                   enum gone_answer *ret, struct err *err)
{
    CLEANUP(gone_question_deinit)
    struct gone_question q = {.root = r, .wait_us = (int64_t)WAIT_US << MIN(st->gone_tries, (unsigned)WAIT_DOUBLED)};
    CLEANUP(buf_deinit) struct buf list = {0};
    bool sure = false;
    struct err why;

    *ret = GONE_UNSURE;
    if (st->state != TABLE_STREAMING || !collect(st->bounds, leaves, &list) ||
        !read_entries(buf_str(&list), &q.entries))
        return 0;
    add_detached(leaves, &q.leaves);
    TRY(add_conditions(&q, &sure, err));
    if (!sure)
        return 0;
    int rc = sync_ask_once(s, ask_gone, &q, &why);
    if (rc == ERR_NET || rc == ERR_CANCELLED) {
        if (err)
            *err = why;
        return rc;
    }
    if (rc && sync_is_locked(&why)) {
        *ret = GONE_LATER;
    } else if (rc) {
        log_err(LOG_WARN, "partition_not_looked_at", &why);
    } else {
        *ret = q.ret;
        if (q.ret == GONE_NOTED)
            note(s, st, &q, buf_str(&list));
    }
    st->gone_tries = *ret == GONE_LATER ? st->gone_tries + 1 : 0;
    return 0;
}

/* ---- leaving ---- */

void sync_find_gone(struct sync *s)
{
    s->gone_lsn = 0;
    for (size_t i = 0; i < s->state.n_tables; i++) {
        const struct state_table *st = &s->state.tables[i];
        if (st->gone_lsn && !st->moved && (!s->gone_lsn || st->gone_lsn < s->gone_lsn))
            s->gone_lsn = st->gone_lsn;
    }
}

static void tell(const struct state_table *st, const struct gone_entries *e, uint64_t rows)
{
    CLEANUP(buf_deinit) struct buf names = {0};

    for (size_t i = 0; i < e->n && names.n < NAMES_MAX; i++)
        buf_printf(&names, "%s%.*s", i ? "," : "", STR_ARG(e->v[i].name));
    log_info("partition_gone", "table=%.*s.%.*s partition=%s partitions=%zu rows=%llu", STR_ARG(st->schema),
             STR_ARG(st->name), log_quote(names.p), e->n, (unsigned long long)rows);
}

/* A server that was promoted may never have dropped the partition. */
static bool is_of_another_timeline(struct sync *s, const struct state_table *st)
{
    uint32_t now = s->receive.timeline;

    return now && st->gone_timeline && now != st->gone_timeline;
}

static int drop(struct sync *s, struct state_table *st, struct err *err)
{
    CLEANUP(gone_entries_deinit) struct gone_entries e = {0};
    struct lake_table *t = delta_sink_find(s->sink, st->oid);
    uint64_t rows = 0;
    bool sure = false;

    if (t && t->state == LAKE_STREAMING && st->state == TABLE_STREAMING && t->position < st->gone_lsn) {
        if (!is_of_another_timeline(s, st) && read_entries(str_make(st->gone.p + 1, st->gone.n - 1), &e)) {
            struct lake_gone gone = {.name = {st->schema, st->name},
                                     .leaves = e.v,
                                     .n = e.n,
                                     .lsn = st->gone_lsn,
                                     .until = st->gone_until,
                                     .as = (enum lake_gone_as)st->gone.p[0]};
            TRY(delta_sink_drop_leaves(s->sink, st->oid, &gone, &sure, &rows, err));
        }
        if (!sure) { /* it stays noted until the copy begins */
            st->moved = is_of_another_timeline(s, st)
                            ? "partitions were detached, dropped or truncated, and the server is another since"
                            : "rows of a partition that was detached, dropped or truncated cannot be told from others";
            s->next_look_us = 0;
            return 0;
        }
        tell(st, &e, rows);
    }
    st->gone = (struct str){0};
    st->gone_lsn = st->gone_until = 0;
    return 0;
}

int sync_drop_leaves(struct sync *s, uint64_t lsn, struct err *err)
{
    if (!s->gone_lsn || lsn < s->gone_lsn)
        return 0;
    if (sync_epoch_is_open(s))
        TRY(sync_commit_epoch(s, err));
    for (size_t i = 0; i < s->state.n_tables; i++)
        if (s->state.tables[i].gone_lsn && s->state.tables[i].gone_lsn <= lsn && !s->state.tables[i].moved)
            TRY(drop(s, &s->state.tables[i], err));
    pg_epoch_forget_sink(s->epoch);
    sync_find_gone(s);
    return state_save(&s->state, err);
}
