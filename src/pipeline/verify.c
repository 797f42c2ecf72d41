/*
 * One position for both sides.
 *
 *   a sync runs       it holds; a temporary slot is made: LSN L, snapshot; it goes on and commits right before the first
 *                     transaction at or after L, and tells each table's version there (barrier.h)
 *   none runs         the lake stands still; the slot is made, and the source is asked whether anything for the lake
 *                     committed between what is applied and L: if so the lake is behind, which is told and is no difference
 *
 * What cannot be compared in one round (sync was faster than L, a table is being copied, was truncated at the source
 * since L) is tried again in the next one, at another L.
 */
#include "pipeline/verify.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "delta/log/table.h"
#include "pipeline/barrier.h"
#include "pipeline/state.h"
#include "pipeline/verify_table.h"
#include "source/pg_publication.h"
#include "source/pg_slot.h"
#include "spool/spool_look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { PAUSE_US = 20000, TELL_US = 5000000, COPYING_US = 500000 };

enum outcome { PENDING, EQUAL, DIFFERENT, GONE };

struct item { /* a table to compare */
    uint32_t oid;
    struct str schema, name; /* of the state first read */
    enum outcome outcome;
    int64_t version; /* of this round; -1: cannot be compared now */
    char why[256];   /* … because */
};

struct verify {
    const struct verify_options *o;
    struct state state;
    char *state_dir, *spool_dir, *app_id;
    struct pg_conn *conn;
    struct engine *engine;
    struct engine_conn *engine_conn;
    struct item *items;
    size_t n_items, cap_items;
    int timer_fd; /* readable when the time for waiting is over */
    int64_t deadline_us, told_us;
    /* the round */
    struct pg_conn *owner; /* keeps the slot and its snapshot */
    uint64_t lsn;
    char snapshot[PG_SNAPSHOT_NAME];
    unsigned round;
};

static void verify_deinit(struct verify *v)
{
    pg_conn_free(v->owner);
    pg_conn_free(v->conn);
    engine_conn_free(v->engine_conn);
    engine_free(v->engine);
    if (v->timer_fd >= 0)
        close(v->timer_fd);
    state_deinit(&v->state);
    mem_free(v->items);
    mem_free(v->state_dir);
    mem_free(v->spool_dir);
    mem_free(v->app_id);
}

/* ---- time ---- */

/* The time limit is for waiting: the clock stands still while tables are compared. */
static void set_timer(struct verify *v, int64_t us)
{
    struct itimerspec at = {.it_value = {us / 1000000, us % 1000000 * 1000}};

    v->deadline_us = clock_mono_us() + us;
    timerfd_settime(v->timer_fd, 0, &at, NULL);
}

static int pause_or_late(struct verify *v, int64_t us, const char *what, struct err *err)
{
    int64_t now = clock_mono_us();
    char at[LSN_TEXT];

    if (now >= v->deadline_us) {
        err_set(err, ERR_REFUSED, "not within %lld s: %s", (long long)(v->o->timeout_us / 1000000), what);
        return err_hint(err, "allow more time with --timeout; sluice status shows how far the lake is");
    }
    if (now - v->told_us > TELL_US) {
        v->told_us = now;
        log_info("waiting", "for=%s lsn=%s", log_quote(what), lsn_text(v->lsn, at));
    }
    clock_sleep_us(us);
    return 0;
}

static int is_sync_running(struct verify *v, bool *ret, struct err *err)
{
    struct spool_look look;

    TRY(spool_look(v->spool_dir, &look, err));
    *ret = look.in_use;
    return 0;
}

/* ---- the source's side of the position ---- */

static int make_slot(struct verify *v, struct err *err)
{
    CLEANUP(buf_deinit) struct buf who = {0};

    pg_conn_free(TAKE_PTR(v->owner));
    TRY(pg_conn_open(v->o->url, PG_CONN_REPLICATION, v->timer_fd, &v->owner, err));
    int rc = pg_slot_create_temporary(v->owner, &v->lsn, v->snapshot, err);
    if (rc != ERR_CANCELLED)
        return rc;
    err_set(err, ERR_REFUSED, "not within %lld s: a snapshot of the source", (long long)(v->o->timeout_us / 1000000));
    bool named = pg_open_transactions(v->conn, &who, NULL) == 0 && who.n;
    return err_hint(err, "end the transactions that are open at the source: %s; or allow more time with --timeout",
                    named ? who.p : "pg_stat_activity and pg_prepared_xacts show them");
}

/* ---- while a sync runs ---- */

static struct item *find_item(struct verify *v, uint32_t oid)
{
    for (size_t i = 0; i < v->n_items; i++)
        if (v->items[i].oid == oid)
            return &v->items[i];
    return NULL;
}

/* "16385 12" or "16386 quarantined because" */
static void take_line(struct verify *v, struct str line)
{
    struct str rest = line, oid_text = str_split(&rest, ' ');
    uint64_t oid = 0;

    if (!str_to_u64(oid_text, &oid))
        return;
    struct item *item = find_item(v, (uint32_t)oid);
    if (!item || item->outcome != PENDING)
        return;
    if (!str_to_i64(rest, &item->version)) {
        item->version = -1;
        snprintf(item->why, sizeof item->why, "%.*s", STR_ARG(rest));
    }
}

/* Waits for the answer: 0 and its lines, 1 when the sync ended meanwhile. */
static int wait_answer(struct verify *v, const char *id, uint64_t lsn, const char *what, bool *ret_passed,
                       struct buf *ret, struct err *err)
{
    for (;;) {
        bool running;
        int rc = barrier_answer(v->state_dir, id, lsn, ret_passed, ret, err);
        if (rc <= 0)
            return rc;
        TRY(is_sync_running(v, &running, err));
        if (!running)
            return 1;
        TRY(pause_or_late(v, PAUSE_US, what, err));
    }
}

/* One verify at a time meets the sync. The lock goes with the file. */
static int take_turn(struct verify *v, int *ret_fd, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/barrier.lock", v->state_dir);
    CLEANUP(file_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0)
        return err_set_errno(err, "cannot open %s", path);
    while (flock(fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK)
            return err_set_errno(err, "cannot lock %s", path);
        TRY(pause_or_late(v, PAUSE_US, "another verify of this lake", err));
    }
    *ret_fd = file_take(&fd);
    return 0;
}

/* 0: the items have versions; 1: try again. */
static int talk(struct verify *v, struct err *err)
{
    CLEANUP(buf_deinit) struct buf lines = {0};
    char id[BARRIER_ID];
    bool passed = false;

    snprintf(id, sizeof id, "%d-%llx-%u", (int)getpid(), (unsigned long long)clock_now_us(), v->round);
    TRY(barrier_ask(v->state_dir, id, 0, err));
    int rc = wait_answer(v, id, 0, "sync to pause (is it in a large transaction?)", &passed, &lines, err);
    if (rc)
        return rc;
    TRY(make_slot(v, err));
    TRY(barrier_ask(v->state_dir, id, v->lsn, err));
    rc = wait_answer(v, id, v->lsn, "the lake to reach the snapshot", &passed, &lines, err);
    if (rc || passed)
        return rc ? rc : 1;
    struct str rest = buf_str(&lines);
    while (rest.p)
        take_line(v, str_split(&rest, '\n'));
    return 0;
}

static int meet(struct verify *v, struct err *err)
{
    CLEANUP(file_closep) int turn = -1;

    TRY(take_turn(v, &turn, err));
    int rc = talk(v, err);
    barrier_clear(v->state_dir);
    return rc;
}

/* ---- while none runs ---- */

static int behind(struct verify *v, const char *what, uint64_t lsn, struct err *err)
{
    char at[LSN_TEXT], to[LSN_TEXT];

    err_set(err, ERR_REFUSED, "the lake is behind: it has the changes up to %s, %s %s, and no sync is running",
            lsn_text(v->state.applied, at), what, lsn_text(lsn, to));
    return err_hint(err, "start sluice sync (or run it with --once), then verify");
}

/* Whether the stream of the sync's slot has any change after what is applied and before L. Reads a copy of the slot. */
static int find_changes(struct verify *v, bool *ret, struct err *err)
{
    static const char read_sql[] =
        "SELECT count(*), coalesce(bool_or(get_byte(data, 0) NOT IN (66, 67)), false) FROM"
        " pg_logical_slot_get_binary_changes($1, $2::pg_lsn, 1000, 'proto_version', '1', 'publication_names', $3)";
    CLEANUP(mem_freep) char *copy = mem_printf("sluice_verify_%d_%u", (int)getpid(), v->round);
    CLEANUP(buf_deinit) struct buf publication = {0};
    CLEANUP(pg_result_freep) struct pg_result *copied = NULL, *moved = NULL;
    char at[LSN_TEXT], to[LSN_TEXT];
    const char *const copy_params[] = {v->state.slot, copy}, *const move_params[] = {copy,
                                                                                     lsn_text(v->state.applied, at)};
    const char *params[] = {copy, lsn_text(v->lsn, to), NULL};
    struct pg_slot slot;
    bool published;
    int64_t n;

    *ret = false;
    TRY(pg_slot_read(v->conn, v->state.slot, &slot, err));
    TRY(pg_slot_check(v->conn, v->state.slot, &slot, err));
    TRY(pg_publication_exists(v->conn, v->state.publication, &published, err));
    if (!published)
        return pg_publication_lost(v->state.publication, v->state.slot, err);
    pg_publication_names(v->state.publication, v->state.inserts, &publication);
    params[2] = publication.p;
    TRY(pg_query(v->conn, "SELECT pg_copy_logical_replication_slot($1, $2, true)", 2, copy_params, &copied, err));
    if (v->state.applied > slot.confirmed_lsn)
        TRY(pg_query(v->conn, "SELECT pg_replication_slot_advance($1, $2::pg_lsn)", 2, move_params, &moved, err));
    do {
        CLEANUP(pg_result_freep) struct pg_result *r = NULL;
        TRY(pg_query(v->conn, read_sql, 3, params, &r, err));
        n = pg_result_i64(r, 0, 0);
        *ret = pg_result_bool(r, 0, 1);
    } while (n && !*ret);
    return pg_slot_drop(v->conn, copy, err);
}

static int newest_version(struct verify *v, struct item *item, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/%.*s/%.*s", v->o->lake, STR_ARG(item->schema), STR_ARG(item->name));
    CLEANUP(store_unrefp) struct store *store = store_local_new(path);
    CLEANUP(delta_table_freep) struct delta_table *table = NULL;

    TRY(delta_table_open(store, v->engine, &table, err));
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *snapshot = delta_table_snapshot(table);
    item->version = snapshot->version;
    return 0;
}

/* 0: the items have versions; 1: a sync was started meanwhile. */
static int stand_still(struct verify *v, struct err *err)
{
    uint64_t last;
    bool changes, running;

    TRY(make_slot(v, err));
    TRY(spool_look_last_commit(v->spool_dir, &last, err));
    if (last > v->state.applied)
        return behind(v, "has not applied those it received up to", last, err);
    TRY(find_changes(v, &changes, err));
    if (changes)
        return behind(v, "the source has more before", v->lsn, err);
    for (size_t i = 0; i < v->n_items; i++) {
        struct item *item = &v->items[i];
        const struct state_table *st = state_find(&v->state, item->oid);
        if (item->outcome != PENDING)
            continue;
        item->version = -1;
        if (st && st->state < TABLE_STREAMING)
            return behind(v, "a table is not copied yet; the source is at", v->lsn, err);
        if (st && st->state == TABLE_STREAMING)
            TRY(newest_version(v, item, err));
        else
            snprintf(item->why, sizeof item->why, "%s %.*s", st ? table_state_name(st->state) : "not followed",
                     st ? (int)st->reason.n : 0, st && st->reason.n ? st->reason.p : "");
    }
    TRY(is_sync_running(v, &running, err));
    return running;
}

/* ---- the comparison ---- */

/* A relation whose table is gone at the source, or was truncated since the snapshot, is ERR_NOT_FOUND or ERR_CONFLICT. */
static int compare_table(struct verify *v, struct pg_session *session, struct item *item, struct err *err)
{
    CLEANUP(verify_table_deinit) struct verify_table t = {.engine = v->engine, .conn = v->engine_conn};
    CLEANUP(mem_freep) char *path = mem_printf("%s/%.*s/%.*s", v->o->lake, STR_ARG(item->schema), STR_ARG(item->name));
    CLEANUP(store_unrefp) struct store *store = store_local_new(path);
    CLEANUP(relation_unrefp) struct relation *rel = NULL;
    struct delta_snapshot *snapshot;
    struct pg_filter filter = {.publication = v->state.publication};
    bool equal = false;

    TRY(pg_catalog_relation(pg_session_conn(session), item->oid, &filter, &rel, err));
    TRY(delta_snapshot_open(store, v->engine, item->version, &snapshot, err));
    verify_table_init(&t, TAKE_PTR(rel), TAKE_PTR(store), snapshot);
    t.session = session;
    TRY(verify_compare(&t, v->o->limit, v->o->out, &equal, err));
    item->outcome = equal ? EQUAL : DIFFERENT;
    return 0;
}

/* Is the table dropped at the source by now? What the lake has of it stays, and there is nothing to compare it with. */
static int note_gone(struct verify *v, struct item *item, struct err *err)
{
    CLEANUP(relation_unrefp) struct relation *rel = NULL;
    struct err why;
    int rc = pg_catalog_relation(v->conn, item->oid, NULL, &rel, &why);

    if (rc == ERR_NOT_FOUND) {
        item->outcome = GONE;
        fprintf(v->o->out, "%.*s.%.*s: not at the source any more\n", STR_ARG(item->schema), STR_ARG(item->name));
        return 0;
    }
    if (rc && err)
        *err = why;
    return rc;
}

static int compare_items(struct verify *v, struct err *err)
{
    CLEANUP(pg_session_freep) struct pg_session *session = NULL;
    struct err why;

    for (size_t i = 0; i < v->n_items; i++) {
        struct item *item = &v->items[i];
        if (item->outcome != PENDING)
            continue;
        if (item->version < 0 && strncmp(item->why, "quarantined", 11) == 0) {
            fprintf(v->o->out, "%.*s.%.*s: not followed any more: %s\n", STR_ARG(item->schema), STR_ARG(item->name),
                    item->why);
            item->outcome = DIFFERENT;
        }
        if (item->version < 0)
            snprintf(item->why, sizeof item->why, "table %.*s.%.*s to be copied", STR_ARG(item->schema),
                     STR_ARG(item->name));
        if (item->version < 0)
            continue;
        if (!session)
            TRY(pg_session_open(v->o->url, v->snapshot, -1, &session, err));
        int rc = compare_table(v, session, item, &why);
        if (rc == ERR_CONFLICT || rc == ERR_NOT_FOUND) {
            snprintf(item->why, sizeof item->why, "%s", why.msg);
            TRY(note_gone(v, item, err));
        } else if (rc) {
            if (err)
                *err = why;
            return rc;
        }
        TRY(pg_snapshot_copy_abandon(session, err)); /* its lock goes */
        fflush(v->o->out);
    }
    return 0;
}

/* ---- the whole ---- */

static int choose(struct verify *v, struct err *err)
{
    for (size_t i = 0; i < v->state.n_tables; i++) {
        const struct state_table *st = &v->state.tables[i];
        struct pg_filter f = {.include = v->o->include, .n_include = v->o->n_include};
        if (v->o->n_include && !pg_filter_table(&f, st->schema, st->name))
            continue;
        MEM_GROW(v->items, v->n_items, v->cap_items);
        v->items[v->n_items++] = (struct item){.oid = st->oid, .version = -1};
        v->items[v->n_items - 1].schema = st->schema;
        v->items[v->n_items - 1].name = st->name;
    }
    for (size_t k = 0; k < v->o->n_include; k++) {
        struct pg_filter f = {.include = &v->o->include[k], .n_include = 1};
        bool any = false;
        for (size_t i = 0; i < v->n_items; i++)
            any |= pg_filter_table(&f, v->items[i].schema, v->items[i].name);
        if (!any)
            return err_set(err, ERR_USAGE, "no table that the sync follows matches %.*s", STR_ARG(v->o->include[k]));
    }
    return v->n_items ? 0 : err_set(err, ERR_USAGE, "the sync of %s follows no table", v->o->lake);
}

static int open_all(struct verify *v, struct err *err)
{
    struct engine_options options = {.memory_limit_bytes = (uint64_t)512 << 20};
    struct pg_server server;

    TRY(state_load(&v->state, v->state_dir, err));
    if (!v->state.slot[0]) {
        err_set(err, ERR_REFUSED, "no sync has ever followed a source here: %s holds no state", v->state_dir);
        return err_hint(err, "start sluice sync first, or name its folder with --state");
    }
    if (v->state.history_only)
        return err_set(err, ERR_USAGE, "the tables of %s hold changes (--history only): there is no state to compare",
                       v->o->lake);
    TRY(pg_conn_open(v->o->url, PG_CONN_SQL, -1, &v->conn, err));
    TRY(pg_server_read(v->conn, &server, err));
    if (server.system_id != state_cluster(&v->state))
        return err_set(err, ERR_REFUSED,
                       "%s is another database cluster than the one that the lake follows (system identifier %llu, not "
                       "%llu)",
                       pg_conn_name(v->conn), (unsigned long long)server.system_id,
                       (unsigned long long)state_cluster(&v->state));
    TRY(choose(v, err));
    TRY(engine_open(&options, &v->engine, err));
    return engine_connect(v->engine, &v->engine_conn, err);
}

static struct item *first_pending(struct verify *v)
{
    for (size_t i = 0; i < v->n_items; i++)
        if (v->items[i].outcome == PENDING)
            return &v->items[i];
    return NULL;
}

static int round_trip(struct verify *v, struct err *err)
{
    bool running;
    struct state state;

    TRY(is_sync_running(v, &running, err));
    TRY(state_load(&state, v->state_dir, err));
    v->state.applied = state.applied;
    for (size_t i = 0; i < state.n_tables && !running; i++) { /* what became of them since */
        struct state_table *st = state_find(&v->state, state.tables[i].oid);
        if (st)
            st->state = state.tables[i].state;
    }
    state_deinit(&state);
    int rc = running ? meet(v, err) : stand_still(v, err);
    if (rc)
        return rc < 0 ? rc : pause_or_late(v, PAUSE_US, "a position that source and lake have in common", err);
    int64_t left = v->deadline_us - clock_mono_us();
    TRY(compare_items(v, err));
    set_timer(v, MAX(left, 1));
    return first_pending(v) ? pause_or_late(v, COPYING_US, first_pending(v)->why, err) : 0;
}

static int conclude(struct verify *v, struct err *err)
{
    size_t n_different = 0, n_equal = 0;
    char at[LSN_TEXT];

    for (size_t i = 0; i < v->n_items; i++) {
        n_different += v->items[i].outcome == DIFFERENT;
        n_equal += v->items[i].outcome == EQUAL;
    }
    if (n_different)
        return err_set(err, ERR_CHECK, "%zu of %zu tables differ", n_different, v->n_items);
    fprintf(v->o->out, "%zu table%s equal at %s\n", n_equal, n_equal == 1 ? "" : "s", lsn_text(v->lsn, at));
    return 0;
}

static int verify(struct verify *v, struct err *err)
{
    v->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (v->timer_fd < 0)
        return err_set_errno(err, "cannot make a timer");
    TRY(open_all(v, err));
    set_timer(v, MAX(v->o->timeout_us, 1));
    v->told_us = clock_mono_us();
    for (v->round = 0; first_pending(v); v->round++)
        TRY(round_trip(v, err));
    return conclude(v, err);
}

int verify_run(const struct verify_options *o, struct err *err)
{
    struct verify v = {.o = o, .timer_fd = -1};

    v.state_dir = state_dir_of(o->lake, o->state_dir);
    v.spool_dir = mem_printf("%s/spool", v.state_dir);
    int rc = verify(&v, err);
    verify_deinit(&v);
    return rc;
}
