/*
 * Tables that were renamed, dropped or made again at the source: what becomes of their folders in the lake.
 *
 *   renamed       the folder is renamed, between two epochs: when a row after the rename has come (its Relation message
 *                 has the new name), at a start, or when another table takes the old name. A target that is there
 *                 already sets the table aside; where it is of another table that we follow, that one goes first. Two
 *                 that swap their names are both copied anew, and readers have the old rows until it is done
 *   made again    another oid has the name: the old table is forgotten, and the copy of the new one replaces its rows
 *
 *     state.json {new name, was: old name} → rename → state.json {new name}
 *
 * A process killed in between finds `was` at its start, and renames if that has not happened.
 */
#include "pipeline/run.h"

#include "base/crash.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

static char *folder(const struct sync *s, struct str schema, struct str name)
{
    return mem_printf("%s/%.*s/%.*s", s->o->lake, STR_ARG(schema), STR_ARG(name));
}

static void sync_parent(const char *path)
{
    CLEANUP(mem_freep) char *dir = mem_strndup(path, (size_t)(strrchr(path, '/') - path));
    struct err err;

    if (file_sync_dir(dir, &err))
        log_err(LOG_WARN, "folder_not_synced", &err);
}

/* Renames the folder from what it was, if that has not been done. */
static int rename_folder(struct sync *s, struct state_table *st, struct err *err)
{
    CLEANUP(mem_freep) char *from = folder(s, st->was_schema, st->was_name), *to = folder(s, st->schema, st->name);
    CLEANUP(mem_freep) char *parent = mem_printf("%s/%.*s", s->o->lake, STR_ARG(st->schema));

    if (file_exists(from) && !file_exists(to)) {
        TRY(file_make_dirs(parent, err));
        if (rename(from, to))
            return err_set_errno(err, "cannot rename %s to %s", from, to);
        sync_parent(from);
        sync_parent(to);
        crash_point("folder_renamed");
        log_info("table_renamed", "from=%.*s.%.*s to=%.*s.%.*s", STR_ARG(st->was_schema), STR_ARG(st->was_name),
                 STR_ARG(st->schema), STR_ARG(st->name));
    }
    st->was_schema = st->was_name = (struct str){0};
    return state_save(&s->state, err);
}

int sync_recover_names(struct sync *s, struct err *err)
{
    for (size_t i = 0; i < s->state.n_tables; i++)
        if (s->state.tables[i].was_name.n)
            TRY(rename_folder(s, &s->state.tables[i], err));
    return 0;
}

/* The table in its new folder, as it was. */
static int open_again(struct sync *s, struct state_table *st, struct lake_table *old, struct err *err)
{
    CLEANUP(lake_table_freep) struct lake_table *t = NULL;
    uint64_t position = old->position;

    lake_table_free(delta_sink_remove(s->sink, st->oid)); /* it has the key index open */
    TRY(rename_folder(s, st, err));
    TRY(lake_table_open(&s->env, (struct table_name){st->schema, st->name}, &t, err));
    if (!t)
        return err_set(err, ERR_NOT_FOUND, "table %.*s.%.*s is not in its folder any more", STR_ARG(st->schema),
                       STR_ARG(st->name));
    t->position = MAX(t->position, position);
    delta_sink_add(s->sink, st->oid, TAKE_PTR(t));
    pg_epoch_forget_sink(s->epoch); /* what it announces next has the new name */
    return 0;
}

/* `*ret_taken`: there is a folder of that name already, and nothing was done. */
static int rename_table(struct sync *s, struct state_table *st, struct str schema, struct str name, bool *ret_taken,
                        struct err *err)
{
    CLEANUP(mem_freep) char *to = folder(s, schema, name);
    struct lake_table *t = delta_sink_find(s->sink, st->oid);
    const char *why = sync_bad_name(schema, name);

    *ret_taken = false;
    if (!t || t->state != LAKE_STREAMING)
        return 0; /* later */
    if (why) {
        sync_set_aside(s, t, why);
        return 0;
    }
    if ((*ret_taken = file_exists(to)))
        return 0;
    assert(!delta_sink_is_dirty(s->sink));
    st->was_schema = st->schema;
    st->was_name = st->name;
    st->schema = arena_str(&s->state.arena, schema);
    st->name = arena_str(&s->state.arena, name);
    TRY(state_save(&s->state, err));
    crash_point("rename_noted");
    return open_again(s, st, t, err);
}

static bool has_name(const struct state_table *st, struct str schema, struct str name)
{
    return str_eq(st->schema, schema) && str_eq(st->name, name);
}

struct name_question {
    uint32_t oid;
    struct relation *ret;
};

static int ask_name(struct sync *s, void *arg, struct err *err)
{
    struct name_question *q = arg;
    int rc = pg_catalog_relation(s->conn, q->oid, NULL, &q->ret, err);

    return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* Nothing that the lake has of it counts any more. */
static int let_go(struct sync *s, struct state_table *st, struct err *err)
{
    log_info("table_replaced", "table=%.*s.%.*s oid=%u", STR_ARG(st->schema), STR_ARG(st->name), st->oid);
    lake_table_free(delta_sink_remove(s->sink, st->oid));
    return copy_forget(s->state_dir, st->oid, err);
}

/* Another table has the name now: was this one renamed, or is it gone? */
static int make_way(struct sync *s, struct state_table *st, struct err *err)
{
    struct name_question q = {.oid = st->oid};
    bool taken = false;

    TRY(sync_ask(s, ask_name, &q, err));
    CLEANUP(relation_unrefp) struct relation *now = q.ret;
    if (now && !has_name(st, now->schema, now->name)) {
        TRY(rename_table(s, st, now->schema, now->name, &taken, err));
        if (!taken && st->state != TABLE_QUARANTINED)
            return 0;
    }
    TRY(let_go(s, st, err));
    state_remove(&s->state, st->oid);
    return 0;
}

static struct state_table *owner_of(struct sync *s, struct str schema, struct str name)
{
    for (size_t i = 0; i < s->state.n_tables; i++)
        if (has_name(&s->state.tables[i], schema, name))
            return &s->state.tables[i];
    return NULL;
}

/* The stream says that the table is named so now. Its entry may move. */
static int follow_name(struct sync *s, uint32_t oid, struct str schema, struct str name, struct err *err)
{
    struct state_table *owner = owner_of(s, schema, name);
    CLEANUP(mem_freep) char *reason = NULL;
    bool taken;

    if (owner)
        TRY(make_way(s, owner, err));
    struct state_table *st = state_find(&s->state, oid);
    TRY(rename_table(s, st, schema, name, &taken, err));
    if (!taken)
        return 0;
    if (!owner) {
        reason = mem_printf("the table was renamed to %.*s.%.*s, and the lake has a table of that name",
                            STR_ARG(schema), STR_ARG(name));
        sync_set_aside(s, delta_sink_find(s->sink, oid), reason);
        return 0;
    }
    TRY(let_go(s, st, err));
    st->state = TABLE_NEW; /* the next look copies it, and that is now */
    s->next_look_us = 0;
    s->state_dirty = true;
    return 0;
}

int sync_follow_names(struct sync *s, struct err *err)
{
    for (size_t i = 0; i < s->state.n_tables && !s->copy; i++) {
        struct state_table *st = &s->state.tables[i];
        struct lake_table *t = delta_sink_find(s->sink, st->oid);
        bool follows = t && t->rel && t->state == LAKE_STREAMING && st->state == TABLE_STREAMING;
        if (!follows || has_name(st, t->rel->schema, t->rel->name))
            continue;
        CLEANUP(relation_unrefp) struct relation *rel = relation_ref(t->rel); /* its names outlive the table */
        TRY(follow_name(s, st->oid, rel->schema, rel->name, err));
        i = (size_t)-1; /* entries may have moved */
    }
    return 0;
}

/* Without a row after the rename, the catalog alone tells. */
static int follow_catalog_name(struct sync *s, struct state_table *st, const struct relation *now, struct err *err)
{
    bool taken;

    TRY(rename_table(s, st, now->schema, now->name, &taken, err));
    if (taken)
        sync_set_aside(s, delta_sink_find(s->sink, st->oid),
                       "the table was renamed, and the lake has a table of that name");
    return 0;
}

int sync_follow_catalog(struct sync *s, const struct pg_tables *tables, struct err *err)
{
    for (size_t i = s->state.n_tables; i-- > 0;) { /* backwards: an entry may leave */
        struct state_table *st = &s->state.tables[i];
        const struct relation *self = NULL, *other = NULL;
        for (size_t k = 0; k < tables->n; k++) {
            const struct relation *r = tables->items[k];
            if (r->oid == st->oid)
                self = r;
            else if (has_name(st, r->schema, r->name))
                other = r;
        }
        if (other)
            TRY(make_way(s, st, err));
        else if (self && !s->looked && st->state == TABLE_STREAMING && !has_name(st, self->schema, self->name))
            TRY(follow_catalog_name(s, st, self, err));
    }
    return 0;
}

const char *sync_bad_name(struct str schema, struct str name)
{
    const struct str parts[] = {schema, name};

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (!str_is_utf8(parts[i]))
            return "the table's name is not UTF-8";
        if (memchr(parts[i].p, '/', parts[i].n) || str_is(parts[i], ".") || str_is(parts[i], ".."))
            return "the table's name cannot be a folder's";
        if (str_is(parts[i], "_delta_log"))
            return "a folder of this name makes a Delta table of the one it is in";
        for (size_t k = 0; k < parts[i].n; k++)
            if (parts[i].p[k] == '\\' || (unsigned char)parts[i].p[k] < 0x20 || parts[i].p[k] == 0x7f)
                return "readers of Delta cannot open a folder of the table's name: it has a backslash or a control character";
    }
    if (str_is(schema, "_sluice"))
        return "the folder _sluice is the lake's own";
    if (str_is(schema, "sluice") && str_is(name, "dead_letters"))
        return "the lake has its own table of this name";
    return NULL;
}
