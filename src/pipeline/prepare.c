/* From a URL to a running stream: connection, checks, publication, slot, spool, engine. */
#include "pipeline/run.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/pg_schema.h"
#include "codec/pg_type.h"
#include "sink/lake_history.h"
#include "sink/lake_partition.h"
#include "source/pg_untouched.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOOK_US = 2000, LOOK_AT_SLOT_US = 50000, TELL_US = 2000000, IN_USE_US = 10000000 };

/* ---- questions that the assembler asks ---- */

struct live_question {
    uint32_t oid;
    struct relation *ret;
};

static int ask_live(struct sync *s, void *arg, struct err *err)
{
    struct live_question *q = arg;
    int rc = pg_catalog_relation(s->conn, q->oid, &s->filter, &q->ret, err);

    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int live_relation(void *ctx, uint32_t oid, struct relation **ret, struct err *err)
{
    struct live_question q = {.oid = oid};

    TRY(sync_ask(ctx, ask_live, &q, err));
    *ret = q.ret;
    return 0;
}

static int known_relation(void *ctx, uint32_t oid, struct relation **ret, struct err *err)
{
    struct sync *s = ctx;
    struct lake_table *t = delta_sink_find(s->sink, oid);
    struct state_table *st = state_find(&s->state, oid);

    (void)err;
    *ret = t && st && t->lake ? pg_schema_relation(t->lake, oid, (struct table_name){st->schema, st->name}) : NULL;
    if (*ret && s->o->history == LAKE_CHANGES_ONLY)
        lake_history_strip(*ret);
    return 0;
}

struct rows_question {
    const struct relation *rel;
    const struct schema *schema;
    struct batch *ret;
};

static int ask_untouched(struct sync *s, void *arg, struct err *err)
{
    struct rows_question *q = arg;
    CLEANUP(relation_unrefp) struct relation *now = NULL;
    int rc = pg_catalog_relation(s->conn, q->rel->oid, &s->filter, &now, err);

    if (rc)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    return relation_same_columns(now, q->rel) ? pg_untouched_rows(s->conn, now, q->schema, &q->ret, err) : 0;
}

/* See struct lake_env. */
static int untouched(void *ctx, const struct relation *rel, const struct schema *schema, struct batch **ret,
                     struct err *err)
{
    struct rows_question q = {rel, schema, NULL};

    TRY(sync_ask(ctx, ask_untouched, &q, err));
    *ret = q.ret;
    return 0;
}

static bool column_wanted(void *ctx, struct str schema, struct str table, struct str column)
{
    struct sync *s = ctx;

    return pg_filter_column(&s->filter, schema, table, column);
}

/* ---- the parts ---- */

static bool copies_on_write(void *ctx, struct table_name table)
{
    const struct sync *s = ctx;
    struct pg_filter f = {.include = s->o->copy_on_write, .n_include = s->o->n_copy_on_write};

    return f.n_include && pg_filter_table(&f, table.schema, table.table);
}

static bool feeds_changes(void *ctx, struct table_name table)
{
    const struct sync *s = ctx;
    struct pg_filter f = {.include = s->o->change_feed, .n_include = s->o->n_change_feed};

    return f.n_include && pg_filter_table(&f, table.schema, table.table);
}

static bool partitions_by(void *ctx, struct table_name table, struct str column)
{
    const struct sync *s = ctx;
    struct pg_filter f = {.exclude_columns = s->o->partition_by, .n_exclude_columns = s->o->n_partition_by};
    bool own = str_is(table.schema, "sluice") && str_is(table.table, "dead_letters");

    return !own && !pg_filter_column(&f, table.schema, table.table, column);
}

/* A wish that cannot be met is told before anything begins, and so is one that is for no column at all. */
static int check_partitions(struct sync *s, const struct pg_tables *tables, struct err *err)
{
    for (size_t i = 0; i < tables->n; i++) {
        const struct relation *r = tables->items[i];
        CLEANUP(schema_unrefp) struct schema *columns = pg_schema_of(r);
        if (lake_partition_check(&s->env, (struct table_name){r->schema, r->name}, columns, err) == 0)
            continue;
        if (err)
            err->code = ERR_USAGE;
        return ERR_USAGE;
    }
    for (size_t p = 0; p < s->o->n_partition_by; p++) {
        struct pg_filter f = {.exclude_columns = &s->o->partition_by[p], .n_exclude_columns = 1};
        bool used = false;
        for (size_t i = 0; !used && i < tables->n; i++)
            for (uint32_t c = 0; c < tables->items[i]->n_columns; c++)
                used |= !pg_filter_column(&f, tables->items[i]->schema, tables->items[i]->name,
                                          tables->items[i]->columns[c].name);
        if (!used)
            log_warn("no_column_matches", "pattern=%.*s", STR_ARG(s->o->partition_by[p]));
    }
    return 0;
}

static int open_engine(struct sync *s, struct err *err)
{
    CLEANUP(mem_freep) char *temp = mem_printf("%s/tmp", s->state_dir);
    /* No threads of its own: a statement runs in the thread that asks, and copies have a thread each. */
    struct engine_options options = {.memory_limit_bytes = s->o->memory_bytes / 2, .temp_dir = temp, .threads = 1};

    TRY(file_remove_tree(temp, err));
    TRY(file_make_dirs(temp, err));
    TRY(engine_open(&options, &s->engine, err));
    TRY(engine_connect(s->engine, &s->engine_conn, err));
    TRY(lake_worker_new(s->engine, &s->worker, err));
    s->env = (struct lake_env){.engine = s->engine,
                               .conn = s->engine_conn,
                               .worker = s->worker,
                               .root = s->o->lake,
                               .state_dir = s->state_dir,
                               .app_id = s->app_id,
                               .copies_on_write = copies_on_write,
                               .feeds_changes = feeds_changes,
                               .partitions_by = s->o->n_partition_by ? partitions_by : NULL,
                               .untouched = untouched,
                               .ctx = s,
                               .history = s->o->history,
                               .compact_files = s->o->no_compaction ? 0 : 16,
                               .index_memory = s->o->memory_bytes / 4,
                               .target_file_bytes = (int64_t)128 << 20,
                               .checkpoint_interval = 100};
    s->sink = delta_sink_new(&s->env, s->o->memory_bytes / 4);
    struct pg_epoch_options eo = {.sink = delta_sink_ops(s->sink),
                                  .live = live_relation,
                                  .known = known_relation,
                                  .ctx = s,
                                  .columns = {column_wanted, s},
                                  .whole_deletes = s->o->history != LAKE_CHANGES_NOWHERE};
    s->epoch = pg_epoch_new(&eo);
    return 0;
}

static void name_slot(struct sync *s)
{
    CLEANUP(mem_freep) char *lake = mem_strdup(s->o->lake);
    char *real = realpath(s->o->lake, NULL);
    const char *path = real ? real : lake;

    if (s->o->slot)
        snprintf(s->state.slot, sizeof s->state.slot, "%s", s->o->slot);
    else
        snprintf(s->state.slot, sizeof s->state.slot, "sluice_%08x", (unsigned)hash64(path, strlen(path)));
    snprintf(s->state.publication, sizeof s->state.publication, "%s",
             s->o->publication ? s->o->publication : s->state.slot);
    mem_free(real);
}

static int check_identity(struct sync *s, const struct pg_server *server, struct err *err)
{
    if (!s->state.system_id)
        s->state.system_id = server->system_id;
    uint64_t cluster = state_cluster(&s->state);
    if (cluster != server->system_id && !s->o->upgraded) {
        err_set(err, ERR_REFUSED,
                "this is another database cluster than the one that %s follows (system identifier "
                "%llu, not %llu)",
                s->o->lake, (unsigned long long)server->system_id, (unsigned long long)cluster);
        return err_hint(
            err, "name the right source, or another lake, or another state folder with --state; if pg_upgrade made "
                 "it of the one that was followed, and took the slot along, start once with --upgraded");
    }
    if ((s->o->slot && strcmp(s->o->slot, s->state.slot) != 0) ||
        (s->o->publication && strcmp(s->o->publication, s->state.publication) != 0))
        return err_set(err, ERR_USAGE, "%s follows with slot %s and publication %s; they cannot be changed", s->o->lake,
                       s->state.slot, s->state.publication);
    bool only = s->o->history == LAKE_CHANGES_ONLY;
    if (s->state.start && only != s->state.history_only)
        return err_set(err, ERR_USAGE, "the tables of %s hold %s; that cannot be changed: name another lake",
                       s->o->lake,
                       only ? "the current state, and --history only would put changes in" : "changes: --history only");
    s->state.history_only = only;
    s->app_id = state_app_id(&s->state);
    return 0;
}

static void log_notes(const struct pg_tables *tables, const struct pg_check *check)
{
    for (size_t i = 0; i < tables->n_notes; i++)
        log_warn("note", "text=%s", log_quote(tables->notes[i]));
    for (size_t i = 0; i < tables->n_unmatched; i++)
        log_warn("no_table_matches", "pattern=%s", log_quote(tables->unmatched[i]));
    for (size_t i = 0; i < check->n; i++)
        if (!check->items[i].fatal)
            log_warn("check", "text=%s mend=%s", log_quote(check->items[i].what), log_quote(check->items[i].mend));
}

static int check_source(struct sync *s, const struct pg_tables *tables, struct err *err)
{
    CLEANUP(pg_check_deinit) struct pg_check check = {0};
    char inserts[PG_NAME_MAX];
    struct pg_setup setup = {.publication = s->state.publication,
                             .slot = s->state.slot,
                             .create_publication = true,
                             .create_slot = s->state.start == 0};

    if (!tables->n) {
        err_set(err, ERR_USAGE, "no table to follow: %s takes none",
                tables->n_unmatched ? tables->unmatched[0] : "the choice of tables");
        return err_hint(err, "sluice sync … --tables 'public.*' takes all tables of a schema");
    }
    TRY(pg_setup_check(s->conn, &setup, tables, &check, err));
    log_notes(tables, &check);
    TRY(pg_check_result(&check, err));
    TRY(pg_publication_ensure(s->conn, s->state.publication, tables, NULL, err));
    pg_inserts_publication(s->state.publication, inserts);
    return s->state.start ? 0 : pg_publication_exists(s->conn, inserts, &s->state.inserts, err);
}

/*
 * A start that was killed as it made the slot leaves a server process that still makes it: that waits for open transactions, and
 * does not look whether anybody is there. Then there is the slot, or none. One that is made and in use may still be that start's,
 * for a moment.
 */
static int wait_for_slot(struct sync *s, struct pg_slot *slot, struct err *err)
{
    int64_t begin = clock_mono_us();
    bool told = false;

    while (slot->exists && slot->active) {
        if (sync_is_stopping(s))
            return err_set(err, ERR_CANCELLED, "stopped");
        int64_t waited_us = clock_mono_us() - begin;
        if (slot->confirmed_lsn && waited_us > IN_USE_US)
            return pg_slot_adopt(s->conn, s->state.slot, 0, state_cluster(&s->state), slot, err);
        if (!slot->confirmed_lsn && waited_us > TELL_US && !told) {
            told = true;
            log_warn("waiting_for_slot", "slot=%s pid=%d text=%s", s->state.slot, slot->active_pid,
                     log_quote("the server still makes the slot for a start that was cut short: it waits for the "
                               "transactions that are open"));
        }
        clock_sleep_us(LOOK_AT_SLOT_US);
        TRY(pg_slot_read(s->conn, s->state.slot, slot, err));
    }
    return 0;
}

/* A start without state: makes the slot and exports its snapshot, or takes over the slot of a start that was cut short
 * before it could write its state (everything is copied, so going on from where it stands loses nothing). */
static int make_slot(struct sync *s, struct snapshot **ret, struct err *err)
{
    CLEANUP(snapshot_freep) struct snapshot *snapshot = NULL;
    struct pg_slot slot;
    char at[LSN_TEXT];
    int rc;

    TRY(pg_slot_read(s->conn, s->state.slot, &slot, err));
    TRY(wait_for_slot(s, &slot, err));
    if (slot.exists) {
        TRY(pg_slot_check(s->conn, s->state.slot, &slot, err));
        s->state.start = slot.confirmed_lsn;
        log_warn("slot_taken_over", "slot=%s lsn=%s", s->state.slot, lsn_text(s->state.start, at));
        return 0;
    }
    TRY(snapshot_begin(s->o->url, s->state.slot, s->o->stop_fd, &snapshot, err));
    while ((rc = snapshot_poll(snapshot, err)) == 0) {
        TRY(sync_tell_of_wait(s, snapshot, err));
        clock_sleep_us(LOOK_US);
    }
    if (rc < 0)
        return rc;
    s->state.start = snapshot->lsn;
    log_info("slot_created", "slot=%s publication=%s lsn=%s", s->state.slot, s->state.publication,
             lsn_text(s->state.start, at));
    *ret = TAKE_PTR(snapshot);
    return 0;
}

static int open_spool(struct sync *s, struct err *err)
{
    CLEANUP(mem_freep) char *dir = mem_printf("%s/spool", s->state_dir);
    struct spool_config config = {.dir = dir, .quota_bytes = s->o->spool_quota};

    if (s->o->spool_quota && s->o->spool_quota < (uint64_t)256 << 20)
        config.segment_bytes = MAX(s->o->spool_quota / 8, (uint64_t)1 << 20);
    return spool_open(&config, &s->spool, err);
}

/* The server sends all columns in one form. So binary is for those sources only whose types can all be read so. */
static bool may_be_binary(const struct sync *s, const struct pg_tables *tables)
{
    for (size_t i = 0; s->o->binary && i < tables->n; i++)
        for (uint32_t c = 0; c < tables->items[i]->n_columns; c++) {
            const struct relation *r = tables->items[i];
            if (pg_type_binary_safe(&r->columns[c]))
                continue;
            log_warn("binary_is_off", "table=%.*s.%.*s column=%.*s reason=%s", STR_ARG(r->schema), STR_ARG(r->name),
                     STR_ARG(r->columns[c].name), log_quote("its type is not read in binary form"));
            return false;
        }
    return s->o->binary;
}

static int start_receiving(struct sync *s, const struct pg_tables *tables, struct err *err)
{
    struct receive_config config = {.url = s->o->url,
                                    .slot = s->state.slot,
                                    .publication = s->state.publication,
                                    .inserts = s->state.inserts,
                                    .state_dir = s->state_dir,
                                    .start_lsn = s->state.start,
                                    .system_id = state_cluster(&s->state),
                                    .binary = may_be_binary(s, tables),
                                    .heartbeat = !s->o->no_heartbeat,
                                    .stop_fd = s->o->stop_fd,
                                    .spool = s->spool};

    return receive_start(&s->receive, &config, err);
}

int sync_prepare(struct sync *s, struct err *err)
{
    CLEANUP(pg_tables_deinit) struct pg_tables tables = {0};
    CLEANUP(snapshot_freep) struct snapshot *snapshot = NULL;
    struct pg_server server;

    s->state_dir = state_dir_of(s->o->lake, s->o->state_dir);
    TRY(file_make_dirs(s->state_dir, err));
    TRY(open_spool(s, err)); /* first: it also keeps a second process out */
    sync_barrier_reset(s);
    TRY(state_load(&s->state, s->state_dir, err));
    TRY(sync_connect(s, SYNC_PATIENT, err));
    TRY(pg_server_read(s->conn, &server, err));
    if (!s->state.slot[0])
        name_slot(s);
    TRY(check_identity(s, &server, err));
    s->filter.publication = s->state.publication;
    TRY(sync_told_who_locks(s, pg_catalog_relations(s->conn, &s->filter, &tables, err), err));
    TRY(sync_follow_upgrade(s, server.system_id, &tables, err));
    TRY(sync_copy_rc(sync_told_who_locks(s, check_source(s, &tables, err), err), err));
    TRY(sync_connect(s, SYNC_QUICK, err));
    TRY(open_engine(s, err));
    TRY(check_partitions(s, &tables, err));
    TRY(pg_current_wal_lsn(s->conn, &s->target_lsn, err));
    if (!s->state.start)
        TRY(make_slot(s, &snapshot, err));
    s->applied = s->state.applied;
    TRY(state_save(&s->state, err));
    TRY(sync_recover_names(s, err));
    TRY(sync_open_tables(s, err));
    TRY(sync_start_copy(s, &tables, TAKE_PTR(snapshot), err));
    TRY(start_receiving(s, &tables, err));
    s->apply.ctx = s;
    return apply_open(&s->apply, s->spool, s->epoch, err);
}
