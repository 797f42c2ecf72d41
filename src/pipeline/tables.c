/*
 * How tables come into the lake: by a copy, after which the spool is read again from its start for them. Every table
 * skips what it has, so reading again is safe, and no table waits for another.
 */
#include "pipeline/run.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "sink/lake_history.h"
#include "sink/lake_partition.h"

#include <assert.h>

enum { PUT_OFF_US = 500000, UNREADABLE_TRIES = 10, TELL_OF_WAIT_US = 2000000 };

static bool is_resync(const struct sync *s, struct str schema, struct str name)
{
    struct pg_filter f = {.include = s->o->resync, .n_include = s->o->n_resync};

    return s->o->n_resync && pg_filter_table(&f, schema, name);
}

static void tell_of_quarantine(const struct state_table *st, const char *reason)
{
    log_warn("table_quarantined", "table=%.*s.%.*s reason=%s", STR_ARG(st->schema), STR_ARG(st->name),
             log_quote(reason));
}

/* The log of the table in the lake is damaged, or pieces of it are gone. */
static bool is_unreadable(int rc)
{
    return rc == ERR_INPUT || rc == ERR_NOT_FOUND;
}

/* Somebody has made of the table what cannot be followed: it is set aside, and the others go on. `*ret` is NULL when it cannot
 * be read at all. */
static int open_table(struct sync *s, struct state_table *st, struct lake_table **ret, struct err *err)
{
    struct err why;
    int rc = lake_table_open(&s->env, (struct table_name){st->schema, st->name}, ret, &why);

    if (rc && rc != ERR_UNSUPPORTED && !is_unreadable(rc)) {
        *err = why;
        return rc;
    }
    const char *reason = rc ? why.msg : *ret && (*ret)->state == LAKE_QUARANTINED ? (*ret)->reason : NULL;
    if (!reason || st->state == TABLE_QUARANTINED)
        return 0;
    tell_of_quarantine(st, reason);
    st->state = TABLE_QUARANTINED;
    state_set_reason(&s->state, st, reason);
    return 0;
}

int sync_open_tables(struct sync *s, struct err *err)
{
    for (size_t i = 0; i < s->state.n_tables; i++) {
        struct state_table *st = &s->state.tables[i];
        struct lake_table *t;
        if (st->state != TABLE_STREAMING && st->state != TABLE_QUARANTINED)
            continue;
        if (st->state == TABLE_QUARANTINED && !is_resync(s, st->schema, st->name))
            tell_of_quarantine(st, st->reason.p);
        TRY(open_table(s, st, &t, err));
        if (!t && st->state == TABLE_STREAMING) {
            log_warn("table_gone", "table=%.*s.%.*s next=copy", STR_ARG(st->schema), STR_ARG(st->name));
            st->state = TABLE_NEW;
        }
        if (!t)
            continue;
        t->position = MAX(t->position, s->state.applied);
        if (lake_partition_differs(t) && !is_resync(s, st->schema, st->name))
            log_warn("partition_columns_stay", "table=%s mend=%s", t->name,
                     log_quote("--resync copies the table anew, by the columns of --partition-by"));
        if (st->state == TABLE_QUARANTINED)
            lake_table_quarantine(t, st->reason.p);
        delta_sink_add(s->sink, st->oid, t);
    }
    return 0;
}

/* ---- copying ---- */

/* It was dropped since the catalog was read: else it would be published by now. Another of its name may be there. */
static bool is_gone(const struct relation *r)
{
    return !r->published && r->identity != IDENTITY_NONE && !r->withheld;
}

/* Why the table cannot be in the lake, or NULL. */
static const char *cannot_follow(const struct relation *r)
{
    if (!r->n_columns)
        return "the table " LAKE_NO_COLUMNS;
    if (!r->published && r->identity == IDENTITY_NONE)
        return "the table has no replica identity and is not published: give it a primary key or REPLICA IDENTITY FULL";
    if (!r->published)
        return "the table is not in the publication, and the role may not add it: let the owner of both do it, then --resync";
    return sync_bad_name(r->schema, r->name);
}

/* Its folder would be that of another table's history. */
static bool is_history_of_another(const struct sync *s, const struct pg_tables *tables, const struct relation *r)
{
    static const struct str suffix = {"__history", 9};

    if (s->o->history != LAKE_CHANGES_BESIDE || !str_has_suffix(r->name, suffix))
        return false;
    struct str base = str_make(r->name.p, r->name.n - suffix.n);
    for (size_t i = 0; i < tables->n; i++)
        if (str_eq(tables->items[i]->schema, r->schema) && str_eq(tables->items[i]->name, base))
            return true;
    return false;
}

/* It had no identity, and has one now: its updates and deletes so far are not in the lake. */
static bool gained_identity(const struct state_table *st, const struct relation *r)
{
    return st && st->append_only && r->identity != IDENTITY_NONE &&
           (st->state == TABLE_STREAMING || st->state == TABLE_QUARANTINED);
}

/* It had none when it came (see above), or had lost all (sink/lake_schema.c). */
static bool gained_columns(const struct state_table *st, const struct relation *r)
{
    return st && st->state == TABLE_QUARANTINED && str_has_suffix(st->reason, STR(LAKE_NO_COLUMNS)) && r->n_columns > 0;
}

/* Is the table to be copied now, though it is in the lake already? */
static bool is_anew(const struct sync *s, const struct state_table *st, const struct relation *r)
{
    const char *why = gained_identity(st, r)
                          ? "it has a replica identity now: its updates and deletes so far are not in the lake"
                      : gained_columns(st, r) ? "it has columns now"
                                              : st->moved;

    if (why) {
        log_warn("table_to_be_copied_anew", "table=%.*s.%.*s reason=%s", STR_ARG(r->schema), STR_ARG(r->name),
                 log_quote(why));
        return true;
    }
    return !s->looked && is_resync(s, r->schema, r->name);
}

static void begin_copying(struct sync *s, struct state_table *st, const struct relation *r)
{
    struct lake_table *t = delta_sink_find(s->sink, r->oid);

    st->append_only = r->identity == IDENTITY_NONE;
    st->leaves = arena_str(&s->state.arena, r->leaves);
    st->mark = arena_str(&s->state.arena, r->mark);
    st->bounds = st->gone = (struct str){0};
    st->gone_lsn = st->gone_until = 0;
    st->moved = NULL;
    if (s->looked && st->append_only) /* those of the start were told by the check */
        log_warn("append_only", "table=%.*s.%.*s reason=%s", STR_ARG(r->schema), STR_ARG(r->name),
                 log_quote("no replica identity: the lake gets its new rows only, not updates and deletes"));
    st->state = TABLE_COPYING;
    st->reason = (struct str){0};
    if (t && t->state == LAKE_QUARANTINED)
        lake_table_free(delta_sink_remove(s->sink, r->oid));
    else if (t)
        t->being_copied = true;
    st->schema = arena_str(&s->state.arena, r->schema);
    st->name = arena_str(&s->state.arena, r->name);
}

/* Which of the tables have to be copied. `again`: of those that were chosen before, since they alone were published when the
 * snapshot was asked for. */
static size_t choose(struct sync *s, const struct pg_tables *tables, bool again, struct relation **ret)
{
    size_t n = 0;

    for (size_t i = 0; i < tables->n; i++) {
        struct relation *r = tables->items[i];
        struct state_table *st = state_find(&s->state, r->oid);
        const char *why = cannot_follow(r);
        if (is_gone(r) || (again && (!st || st->state != TABLE_COPYING)))
            continue;
        if (!st)
            st = state_add(&s->state, r->oid, r->schema, r->name);
        if (!why && is_history_of_another(s, tables, r))
            why = "the lake keeps the history of another table under this name (--history)";
        if (!again && !is_anew(s, st, r) && st->state != TABLE_NEW && st->state != TABLE_COPYING)
            continue;
        if (why) {
            tell_of_quarantine(st, why);
            st->state = TABLE_QUARANTINED;
            st->append_only = r->identity == IDENTITY_NONE;
            state_set_reason(&s->state, st, why);
            if (delta_sink_find(s->sink, r->oid))
                lake_table_quarantine(delta_sink_find(s->sink, r->oid), why);
            continue;
        }
        begin_copying(s, st, r);
        ret[n++] = r;
    }
    return n;
}

static int start_copy(struct sync *s, struct relation **chosen, size_t n, struct snapshot *snapshot, struct err *err)
{
    struct copy_config config = {.url = s->o->url,
                                 .lake = s->o->lake,
                                 .state_dir = s->state_dir,
                                 .engine = s->engine,
                                 .sessions = s->o->copy_sessions,
                                 .chunk_blocks = s->o->chunk_blocks,
                                 .filter = &s->filter,
                                 .env = &s->env,
                                 .stop_fd = s->o->stop_fd};
    char at[LSN_TEXT];

    log_info("copy_started", "tables=%zu lsn=%s sessions=%u", n, lsn_text(snapshot->lsn, at), config.sessions);
    return sync_copy_rc(
        copy_start(&config, chosen, n, snapshot->lsn, snapshot->name, TAKE_PTR(snapshot->owner), &s->copy, err), err);
}

int sync_start_copy(struct sync *s, const struct pg_tables *tables, struct snapshot *snapshot, struct err *err)
{
    CLEANUP(snapshot_freep) struct snapshot *held = snapshot;
    CLEANUP(mem_freep) struct relation **chosen = MEM_NEW_N(struct relation *, tables->n + 1);
    bool first = !s->looked;

    assert(!s->copy && !s->snapshot);
    TRY(sync_follow_catalog(s, tables, err));
    if (first) {
        TRY(sync_mind_partitions(s, tables, err));
        TRY(sync_mind_publication(s, tables, err));
    }
    size_t n = choose(s, tables, snapshot && !first, chosen);
    s->looked = true;
    sync_find_gone(s);
    for (size_t i = 0; i < n; i++)
        if (chosen[i]->partitioned)
            TRY(sync_note_bounds(s, state_find(&s->state, chosen[i]->oid), err));
    TRY(state_save(&s->state, err));
    if (!n)
        return 0;
    s->copied = true;
    if (snapshot)
        return start_copy(s, chosen, n, snapshot, err);
    s->snapshot_lsn = s->trim_lsn; /* later than all that was received */
    s->told_of_wait = false;
    return snapshot_begin(s->o->url, NULL, s->o->stop_fd, &s->snapshot, err);
}

static int ask_tables(struct sync *s, void *arg, struct err *err)
{
    return pg_catalog_relations(s->conn, &s->filter, arg, err);
}

static int ask_published_tables(struct sync *s, void *arg, struct err *err)
{
    TRY(ask_tables(s, arg, err));
    return pg_publication_ensure(s->conn, s->state.publication, arg, NULL, err);
}

static int ask_who_is_open(struct sync *s, void *arg, struct err *err)
{
    return pg_open_transactions(s->conn, arg, err);
}

int sync_tell_of_wait(struct sync *s, const struct snapshot *snapshot, struct err *err)
{
    CLEANUP(buf_deinit) struct buf who = {0};

    if (s->told_of_wait || snapshot_age_us(snapshot) < TELL_OF_WAIT_US)
        return 0;
    s->told_of_wait = true;
    TRY(sync_ask(s, ask_who_is_open, &who, err));
    log_warn("waiting_for_transactions", "text=%s open=%s",
             log_quote("the copy begins when the transactions that are open at the source have ended"),
             log_quote(who.n ? who.p : "see pg_stat_activity and pg_prepared_xacts"));
    return 0;
}

/* 1: later, for a table is locked. */
static int ask_or_put_off(struct sync *s, int (*ask)(struct sync *s, void *arg, struct err *err),
                          struct pg_tables *tables, struct err *err)
{
    int rc = sync_ask_once(s, ask, tables, err);

    if (rc == 0)
        s->told_of_lock = false;
    if (rc == 0 || !sync_is_locked(err))
        return rc;
    if (!s->told_of_lock)
        log_err(LOG_WARN, "look_put_off", err);
    s->told_of_lock = true;
    s->next_look_us = clock_mono_us() + SYNC_LOOK_US;
    return 1;
}

/* The server has no slot, sender or connection left for a snapshot. The tables that follow are no worse for it. */
static bool is_full(const struct sync *s, const struct err *err)
{
    return !s->o->once && strncmp(err->sqlstate, "53", 2) == 0;
}

static void put_off_snapshot(struct sync *s, const struct err *why)
{
    if (!s->told_of_full)
        log_err(LOG_WARN, "copy_put_off", why);
    s->told_of_full = true;
    snapshot_free(TAKE_PTR(s->snapshot));
    for (size_t i = 0; i < s->state.n_tables; i++)
        if (s->state.tables[i].state == TABLE_COPYING)
            s->state.tables[i].state = TABLE_NEW; /* the next look asks again */
    s->state_dirty = true;
    s->next_look_us = clock_mono_us() + SYNC_LOOK_US;
}

int sync_mind_snapshot(struct sync *s, struct err *err)
{
    CLEANUP(pg_tables_deinit) struct pg_tables tables = {0};

    if (!s->snapshot)
        return 0;
    int rc = snapshot_poll(s->snapshot, err);
    if (rc < 0 && is_full(s, err)) {
        put_off_snapshot(s, err);
        return 0;
    }
    if (rc < 0)
        return sync_copy_rc(rc, err);
    if (rc == 0)
        return sync_tell_of_wait(s, s->snapshot, err);
    if (s->told_of_lock && clock_mono_us() < s->next_look_us)
        return 0;
    if (sync_epoch_is_open(s))
        TRY(sync_commit_epoch(s, err));
    s->told_of_full = false;
    rc = ask_or_put_off(s, ask_published_tables, &tables, err); /* as they are by now */
    if (rc)
        return rc < 0 ? sync_copy_rc(rc, err) : 0;
    return sync_start_copy(s, &tables, TAKE_PTR(s->snapshot), err);
}

int sync_copy_rc(int rc, struct err *err)
{
    if (rc >= 0)
        return rc; /* `err` is not filled in */
    return copy_table_moved(rc, err) ? (err->code = ERR_CONFLICT) : rc;
}

static int add_rejects(struct sync *s, const struct copy_table *c, struct lake_table *t, struct err *err)
{
    for (size_t i = 0; i < c->n_rejects; i++)
        TRY(delta_sink_dead_letter(s->sink, t->name, &c->rejects[i].r, err));
    return 0;
}

/* A table whose chunks are all there. Shown at once when they were read in one snapshot, else when the stream has come
 * as far as the newest one. */
static int stage_table(struct sync *s, struct copy_table *c, struct err *err)
{
    CLEANUP(lake_table_freep) struct lake_table *t = NULL;

    lake_table_free(delta_sink_remove(s->sink, c->rel->oid)); /* what it has is committed */
    /* A snapshot at LSN x holds every transaction that committed before x: position x - 1. */
    bool only = s->env.history == LAKE_CHANGES_ONLY;
    CLEANUP(relation_unrefp)
    struct relation *rel = only ? lake_history_relation_of(c->rel, false) : relation_ref(c->rel);
    TRY(lake_table_stage(&s->env, rel, c->schema, c->from - 1, c->to - 1, &t, err));
    for (size_t i = 0; i < c->files.n; i++) {
        struct copy_file *f = &c->files.v[i];
        if (!f->changed)
            lake_table_adopt_file(t, f->path, f->id, f->rows, f->size, f->parts, TAKE_PTR(f->stats));
    }
    for (size_t i = 0; i < c->files.n; i++)
        if (c->files.v[i].changed)
            TRY(lake_table_replace_rows(t, c->files.v[i].path, err));
    TRY(add_rejects(s, c, t, err));
    if (c->from == c->to)
        TRY(delta_sink_commit_table(s->sink, t, c->to - 1, err));
    s->applied = MIN(s->applied, t->position);
    delta_sink_add(s->sink, c->rel->oid, TAKE_PTR(t));
    return 0;
}

/* The table cannot be in the lake as it is: it is set aside, and the others go on. */
static int set_aside(struct sync *s, const struct copy_table *c, const struct err *why, struct err *err)
{
    struct state_table *st = state_find(&s->state, c->rel->oid);

    log_err(LOG_WARN, "table_quarantined", why);
    lake_table_free(delta_sink_remove(s->sink, c->rel->oid));
    st->state = TABLE_QUARANTINED;
    state_set_reason(&s->state, st, why->msg);
    return copy_forget(s->state_dir, c->rel->oid, err);
}

/* The table became another while it was copied. The next look, which is soon, copies it in a new snapshot. */
static int put_off(struct sync *s, const struct copy_table *c, struct err *err)
{
    struct state_table *st = state_find(&s->state, c->rel->oid);

    if (++st->put_off >= UNREADABLE_TRIES && c->failed.code == ERR_INPUT)
        return set_aside(s, c, &c->failed, err);
    log_err(LOG_WARN, "copy_put_off", &c->failed);
    st->state = TABLE_NEW;
    if (st->put_off <= UNREADABLE_TRIES)
        s->next_look_us = clock_mono_us() + PUT_OFF_US;
    return copy_forget(s->state_dir, c->rel->oid, err); /* the spool is not kept for chunks that are done */
}

static int take_in(struct sync *s, struct copy_table *c, struct err *err)
{
    if (c->moved)
        return put_off(s, c, err);
    struct err why = c->failed;
    int rc = why.code ? ERR_UNSUPPORTED : stage_table(s, c, &why);

    if (rc == ERR_UNSUPPORTED || is_unreadable(rc))
        return set_aside(s, c, &why, err);
    state_find(&s->state, c->rel->oid)->put_off = 0;
    if (rc && err)
        *err = why;
    return rc;
}

int sync_finish_copy(struct sync *s, struct err *err)
{
    struct copy_table *tables;
    size_t n = copy_tables(s->copy, &tables), n_in = 0;
    uint64_t rows, bytes;
    uint32_t done, chunks;

    copy_progress(s->copy, &rows, &bytes, &done, &chunks);
    for (size_t i = 0; i < n; i++) {
        TRY(take_in(s, &tables[i], err));
        n_in += !tables[i].failed.code;
    }
    log_info("copy_done", "tables=%zu rows=%llu bytes=%llu", n_in, (unsigned long long)rows, (unsigned long long)bytes);
    copy_free(TAKE_PTR(s->copy));
    sync_note_tables(s);
    s->state.applied = s->applied;
    TRY(state_save(&s->state, err));
    for (size_t i = 0; i < s->state.n_tables; i++)
        if (s->state.tables[i].state == TABLE_STREAMING)
            TRY(copy_forget(s->state_dir, s->state.tables[i].oid, err));
    pg_epoch_forget_sink(s->epoch);
    s->read_lsn = s->read_end_lsn = s->trim_lsn = 0; /* what is read again is not read yet, for the new tables */
    return apply_rewind(&s->apply, err);
}

/* ---- looking for tables ---- */

/* Tables that wait for a copy, and that the source does not have any more: what the lake has of them stays. */
static void give_up_gone(struct sync *s, const struct pg_tables *tables)
{
    for (size_t i = s->state.n_tables; i-- > 0;) { /* backwards: entries leave */
        struct state_table *st = &s->state.tables[i];
        bool in_lake = delta_sink_find(s->sink, st->oid), there = false;
        for (size_t k = 0; k < tables->n; k++)
            there |= tables->items[k]->oid == st->oid;
        if (there || !(st->state == TABLE_NEW || (st->state == TABLE_COPYING && !in_lake)))
            continue;
        log_warn("table_gone", "table=%.*s.%.*s reason=%s", STR_ARG(st->schema), STR_ARG(st->name),
                 log_quote("the source does not have it any more"));
        if (in_lake)
            st->state = TABLE_STREAMING;
        else
            state_remove(&s->state, st->oid);
        s->state_dirty = true;
    }
}

int sync_look_for_tables(struct sync *s, struct err *err)
{
    CLEANUP(pg_tables_deinit) struct pg_tables tables = {0};
    int64_t now = clock_mono_us();
    size_t n_new = 0;

    if (s->copy || s->snapshot || now < s->next_look_us || sync_epoch_is_open(s))
        return 0;
    s->next_look_us = now + SYNC_LOOK_US;
    int rc = ask_or_put_off(s, ask_tables, &tables, err);
    if (rc)
        return rc < 0 ? rc : 0;
    TRY(sync_mind_partitions(s, &tables, err));
    TRY(sync_mind_publication(s, &tables, err));
    for (size_t i = 0; i < tables.n; i++) {
        const struct state_table *st = state_find(&s->state, tables.items[i]->oid);
        n_new += !st || st->state == TABLE_NEW || st->moved || gained_identity(st, tables.items[i]) ||
                 gained_columns(st, tables.items[i]);
    }
    give_up_gone(s, &tables);
    if (!n_new)
        return 0;
    log_info("tables_added", "tables=%zu", n_new);
    rc = sync_copy_rc(pg_publication_ensure(s->conn, s->state.publication, &tables, NULL, err), err);
    if (rc != ERR_CONFLICT)
        return rc ? rc : sync_start_copy(s, &tables, NULL, err);
    log_err(LOG_WARN, "look_again", err); /* one was dropped meanwhile */
    return 0;
}
