/*
 * A publication that is altered sends other rows, and the stream says nothing of it: a table was taken out for a time, given a row
 * filter or another column list, or updates were not published. So what publishes each table is compared with what it was, at
 * each look and at each start: where it is another (and not only its owner), changes may have been missed, and the table is copied anew. (A table of
 * changes would lose those that it has; it is set aside.) Without the publication that the slot was begun with, nothing can be
 * believed any more; from PostgreSQL 18 on the server sends nothing then, and no error either.
 */
#include "pipeline/run.h"

#include "base/log.h"

struct publication_question {
    const struct pg_tables *tables;
    struct pg_publication ret;
};

static int ask_publication(struct sync *s, void *arg, struct err *err)
{
    struct publication_question *q = arg;

    return pg_publication_read(s->conn, s->state.publication, q->tables, &q->ret, err);
}

static int check_publication(struct sync *s, const struct pg_publication *p, struct err *err)
{
    if (!s->state.publication_oid) {
        s->state.publication_oid = p->oid;
        s->state_dirty = true;
    }
    if (!p->oid || p->oid != s->state.publication_oid)
        return pg_publication_lost(s->state.publication, s->state.slot, err);
    if (p->whole)
        return 0;
    CLEANUP(buf_deinit) struct buf name = {0};
    buf_add_sql_ident(&name, str_of(s->state.publication));
    err_set(err, ERR_REFUSED,
            "publication %s was altered: it does not publish all of insert, update, delete and truncate any more",
            s->state.publication);
    return err_hint(err,
                    "ALTER PUBLICATION %s SET (publish = 'insert, update, delete, truncate');\n-- the next start then "
                    "copies the tables anew",
                    name.p);
}

static int follow_mark(struct sync *s, struct state_table *st, const struct relation *r, struct err *err)
{
    bool known = st->mark.n != 0 && !pg_publication_same(st->mark, r->mark);

    if (str_eq(st->mark, r->mark))
        return 0;
    if (known && st->state == TABLE_COPYING) /* what is copied so far is not completed by the stream */
        TRY(copy_forget(s->state_dir, st->oid, err));
    if (known && st->state == TABLE_STREAMING && s->o->history == LAKE_CHANGES_ONLY) {
        sync_set_aside(s, delta_sink_find(s->sink, st->oid),
                       "what the publication sends of it was altered, and changes may have been missed");
    } else if (known && st->state == TABLE_STREAMING) {
        st->moved = "what the publication sends of it was altered, and changes may have been missed";
        return 0; /* noted when the copy begins */
    }
    st->mark = arena_str(&s->state.arena, r->mark);
    s->state_dirty = true;
    return 0;
}

int sync_mind_publication(struct sync *s, const struct pg_tables *tables, struct err *err)
{
    struct publication_question q = {.tables = tables};

    TRY(sync_ask(s, ask_publication, &q, err));
    TRY(check_publication(s, &q.ret, err));
    for (size_t i = 0; i < tables->n; i++) {
        struct state_table *st = state_find(&s->state, tables->items[i]->oid);
        if (st)
            TRY(follow_mark(s, st, tables->items[i], err));
    }
    return 0;
}
