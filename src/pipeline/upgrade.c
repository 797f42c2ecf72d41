/*
 * pg_upgrade makes another cluster of the same rows: with another system identifier, its WAL going on further up, timeline 1. From
 * PostgreSQL 17 on it takes slots along, once the last change before it was acknowledged, so that they begin where the new cluster
 * does. That is as good as the old slot. But a slot that was made by hand after a restored dump looks much the same, so we go on only
 * where we are told that it was an upgrade (--upgraded), and then look for what only pg_upgrade keeps: the tables' oids.
 */
#include "pipeline/run.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/position.h"

static int refuse(const struct sync *s, struct err *err)
{
    return err_hint(
        err,
        "--upgraded is for a source that pg_upgrade made. If it did not take slot %s along (it takes those of PostgreSQL 17 "
        "and newer, none of an older one), or rows were written before there was one: " PG_COPY_ANEW,
        s->state.slot);
}

/* A table that we follow has another number: it was made again. */
static int check_oids(const struct sync *s, const struct pg_tables *tables, struct err *err)
{
    for (size_t i = 0; i < s->state.n_tables; i++) {
        const struct state_table *st = &s->state.tables[i];
        for (size_t k = 0; k < tables->n; k++) {
            const struct relation *r = tables->items[k];
            if (r->oid == st->oid || !str_eq(r->schema, st->schema) || !str_eq(r->name, st->name))
                continue;
            err_set(err, ERR_REFUSED,
                    "table %.*s.%.*s has the oid %u here, and not %u: this is no upgraded cluster but a copy of it",
                    STR_ARG(r->schema), STR_ARG(r->name), r->oid, st->oid);
            return refuse(s, err);
        }
    }
    return 0;
}

static int check_slot(const struct sync *s, struct pg_slot *slot, struct err *err)
{
    char ours[LSN_TEXT], theirs[LSN_TEXT];
    uint64_t lsn, end_lsn;

    if (pg_slot_read(s->conn, s->state.slot, slot, err) || pg_slot_check(s->conn, s->state.slot, slot, err))
        return refuse(s, err);
    spool_last_commit(s->spool, &lsn, &end_lsn);
    if (slot->confirmed_lsn >= MAX(MAX(end_lsn, s->state.start), s->state.applied))
        return 0;
    err_set(err, ERR_REFUSED, "replication slot %s begins at %s, before what we have (%s): pg_upgrade did not make it",
            s->state.slot, lsn_text(slot->confirmed_lsn, theirs), lsn_text(MAX(end_lsn, s->state.start), ours));
    return refuse(s, err);
}

/* There is no WAL between what we have and the slot: that is what <state>/confirmed says. */
static int note_slot(const struct sync *s, uint64_t lsn, struct err *err)
{
    CLEANUP(mem_freep) char *confirmed = mem_printf("%s/confirmed", s->state_dir);
    CLEANUP(mem_freep) char *timeline = mem_printf("%s/timeline", s->state_dir);
    char text[LSN_TEXT];

    lsn_text(lsn, text);
    TRY(file_replace(confirmed, text, strlen(text), err));
    return file_remove_tree(timeline, err);
}

int sync_follow_upgrade(struct sync *s, uint64_t system_id, const struct pg_tables *tables, struct err *err)
{
    struct pg_slot slot;
    char at[LSN_TEXT];

    if (system_id == state_cluster(&s->state))
        return 0;
    TRY(check_slot(s, &slot, err));
    TRY(check_oids(s, tables, err));
    TRY(note_slot(s, slot.confirmed_lsn, err));
    s->state.upgraded_id = system_id;
    s->state.publication_oid = 0; /* what was known by its number or its transaction is to be learnt again */
    for (size_t i = 0; i < s->state.n_tables; i++) {
        struct state_table *st = &s->state.tables[i];
        st->mark = st->leaves = st->bounds = (struct str){0};
        if (st->state == TABLE_COPYING)
            TRY(copy_forget(s->state_dir, st->oid, err));
    }
    log_info("upgrade_followed", "system_id=%llu slot=%s lsn=%s", (unsigned long long)system_id, s->state.slot,
             lsn_text(slot.confirmed_lsn, at));
    return state_save(&s->state, err);
}
