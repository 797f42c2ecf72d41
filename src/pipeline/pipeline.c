/*
 * The whole path, top to bottom:
 *
 *   prepare   connect, choose tables, check, publication, slot            pipeline/prepare, source/pg_setup
 *   copy      what is not in the lake yet, in threads of its own          pipeline/tables, pipeline/copy
 *   receive   replication stream → spool, acknowledged when durable       pipeline/receive
 *   apply     spool → transactions → batches → tables                     pipeline/apply, source/pg_epoch, sink/
 *   commit    an epoch is over: one Delta commit a table                  pipeline/epoch, sink/delta_sink
 *   remember  position, states of tables; the spool is trimmed            pipeline/state, spool/
 *
 * This thread prepares, applies, commits and remembers; the others are one for receive, one that merges files and writes
 * checkpoints (sink/lake_worker), one that asks for a snapshot (pipeline/snapshot), and a few for copy.
 */
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "pipeline/run.h"

#include <assert.h>
#include <poll.h>
#include <unistd.h>

enum {
    REMEMBER_US = 1000000,
    TRIM_EVERY = 50000,
    IDLE_US = 100000,
    CONFLICT_TRIES = 10,
    CONFLICT_WINDOW_US = 60000000,
    CONFLICT_MS = 20,  /* before the first try, and twice as much before each next */
    AWAY_MS_MIN = 500, /* between two attempts while the server is away, longer from time to time */
    AWAY_MS_MAX = 10000,
};

void sync_options_default(struct sync_options *o)
{
    *o =
        (struct sync_options){.epoch_us = 500000, .memory_bytes = (size_t)256 << 20, .copy_sessions = 2, .stop_fd = -1};
}

/* ---- remember ---- */

/* Everything up to here may leave the spool: no table is behind it, none is being copied from before it. */
static uint64_t passed_everywhere(struct sync *s)
{
    uint64_t lsn = s->trim_lsn;
    struct lake_table *t;
    size_t cursor = 0;

    if (s->copy)
        lsn = MIN(lsn, copy_from_lsn(s->copy));
    if (s->snapshot)
        lsn = MIN(lsn, s->snapshot_lsn);
    while (delta_sink_next(s->sink, &cursor, NULL, &t) == 0)
        if (t->state == LAKE_STAGED)
            lsn = MIN(lsn, t->position);
    return lsn;
}

static int remember(struct sync *s, bool now, struct err *err)
{
    int64_t clock = clock_mono_us();

    if (!now && !s->state_dirty && (clock - s->last_remember_us < REMEMBER_US || s->state.applied == s->applied))
        return 0;
    s->last_remember_us = clock;
    s->state.applied = s->applied;
    TRY(state_save(&s->state, err));
    s->state_dirty = false;
    crash_point("state_saved");
    TRY(spool_trim(s->spool, passed_everywhere(s), apply_oldest_needed(&s->apply), err));
    crash_point("spool_trimmed");
    return 0;
}

/* ---- the loop ---- */

static void show_progress(struct sync *s)
{
    struct progress_figures f = {.changes = pg_epoch_changes(s->epoch),
                                 .tables = s->state.n_tables,
                                 .connected = s->receive.connected,
                                 .silent = s->receive.silent,
                                 .copying = s->copy != NULL};
    uint32_t done = 0, chunks = 0;

    if (s->copy)
        copy_progress(s->copy, &f.rows, &f.bytes, &done, &chunks);
    f.chunks_done = done;
    f.chunks = chunks;
    f.lag_bytes = (int64_t)(MAX((uint64_t)s->receive.server_lsn, s->applied) - s->applied);
    progress_show(&s->progress, &f);
}

/* Is there a staged table that the stream has brought to one position? */
static bool can_show_table(const struct sync *s)
{
    struct lake_table *t;
    size_t cursor = 0;

    while (delta_sink_next(s->sink, &cursor, NULL, &t) == 0)
        if (t->state == LAKE_STAGED && t->hold_until <= s->applied)
            return true;
    return false;
}

/* After many changes, memory that they took goes back to the system. */
static void rest(struct sync *s)
{
    uint64_t changes = pg_epoch_changes(s->epoch);

    if (changes - s->changes_at_rest < TRIM_EVERY)
        return;
    s->changes_at_rest = changes;
    mem_trim();
}

/* Nothing can be read: what is open is committed when its time has come, then we wait. */
static int idle(struct sync *s, uint64_t seen_lsn, struct err *err)
{
    int64_t since = clock_mono_us() - s->last_commit_us;

    TRY(sync_drop_leaves(s, seen_lsn, err));
    if (sync_epoch_is_open(s) && since >= s->o->epoch_us)
        TRY(sync_commit_epoch(s, err));
    if (!sync_epoch_is_open(s)) {
        if (seen_lsn) /* the end of a record: the next one, which may be a commit, begins just there */
            s->applied = MAX(s->applied, seen_lsn - 1);
        TRY(sync_barrier_reached(s, seen_lsn, err));
        if (can_show_table(s)) {
            TRY(delta_sink_commit(s->sink, s->applied, err));
            sync_note_tables(s);
        }
        TRY(delta_sink_mind(s->sink, err));
    }
    TRY(remember(s, false, err));
    if (!sync_epoch_is_open(s))
        rest(s);
    int64_t wait = sync_epoch_is_open(s) ? s->o->epoch_us - (clock_mono_us() - s->last_commit_us) : IDLE_US;
    if (wait > 0 && s->apply.reader)
        spool_reader_wait(s->apply.reader, MIN(wait, (int64_t)IDLE_US));
    return 0;
}

/* One transaction, or one pause. */
static int step(struct sync *s, struct err *err)
{
    uint64_t seen_lsn = s->receive.seen_lsn; /* before reading: what we then cannot read does not exist up to here */
    int64_t begin_us = clock_mono_us();
    int rc = apply_next(&s->apply, err);

    TRY(rc);
    if (rc == 1)
        return idle(s, seen_lsn, err);
    if (!s->epoch_us)
        s->epoch_us = begin_us;
    s->read_lsn = s->apply.commit_lsn;
    s->read_end_lsn = s->apply.end_lsn;
    if (clock_mono_us() - s->last_commit_us >= s->o->epoch_us) {
        TRY(sync_commit_epoch(s, err));
        TRY(remember(s, false, err));
    }
    return 0;
}

static int mind_copy(struct sync *s, struct err *err)
{
    if (!s->copy)
        return 0;
    int rc = copy_poll(s->copy, err);
    if (rc != 1)
        return rc < 0 ? sync_copy_rc(rc, err) : 0;
    if (sync_epoch_is_open(s))
        TRY(sync_commit_epoch(s, err));
    return sync_finish_copy(s, err);
}

static bool is_caught_up(const struct sync *s)
{
    struct lake_table *t;
    size_t cursor = 0;

    if (s->copy || s->snapshot || s->applied + 1 < s->target_lsn || s->n_suspects)
        return false;
    while (delta_sink_next(s->sink, &cursor, NULL, &t) == 0)
        if (t->state == LAKE_STAGED)
            return false;
    for (size_t i = 0; i < s->state.n_tables; i++)
        if (s->state.tables[i].state == TABLE_NEW || s->state.tables[i].gone_lsn)
            return false;
    return true;
}

static bool has_tables(const struct sync *s)
{
    struct lake_table *t;
    size_t cursor = 0;

    return delta_sink_next(s->sink, &cursor, NULL, &t) == 0;
}

/* --once has caught up, but for tables that are set aside: that is no success. */
static int all_follow(const struct sync *s, struct err *err)
{
    CLEANUP(buf_deinit) struct buf names = {.max = 512};
    size_t n = 0;

    for (size_t i = 0; i < s->state.n_tables; i++) {
        const struct state_table *st = &s->state.tables[i];
        if (st->state == TABLE_QUARANTINED && pg_filter_table(&s->filter, st->schema, st->name))
            buf_printf(&names, "%s%.*s.%.*s", n++ ? ", " : "", STR_ARG(st->schema), STR_ARG(st->name));
    }
    if (!n)
        return 0;
    err_set(err, ERR_UNSUPPORTED, "%zu of %zu tables are set aside: %s", n, s->state.n_tables, names.p);
    return err_hint(err,
                    "the others are done; `sluice status` has the reasons; --resync TABLE copies one anew, --exclude "
                    "TABLE does without it");
}

static int receive_error(struct sync *s, struct err *err)
{
    if (err)
        *err = s->receive.err;
    return s->receive.err.code;
}

static int run(struct sync *s, struct err *err)
{
    bool hold;

    s->last_commit_us = clock_mono_us();
    s->next_look_us = s->n_suspects ? 0 : s->last_commit_us + SYNC_LOOK_US;
    for (;;) {
        show_progress(s);
        if (sync_is_stopping(s))
            return sync_epoch_is_open(s) ? sync_commit_epoch(s, err) : 0;
        if (s->receive.ended)
            return receive_error(s, err);
        TRY(sync_mind_snapshot(s, err));
        TRY(mind_copy(s, err));
        TRY(sync_barrier_mind(s, &hold, err));
        if (hold || ((s->copy || s->snapshot) && !has_tables(s))) {
            clock_sleep_us(5000); /* a barrier; or the first copy: nothing can be applied yet */
            continue;
        }
        TRY(step(s, err));
        if (s->o->once && is_caught_up(s)) {
            s->caught_up = true;
            return delta_sink_finish(s->sink, err);
        }
        TRY(sync_look_for_tables(s, err));
    }
}

static void sync_deinit(struct sync *s)
{
    copy_free(s->copy);
    snapshot_free(s->snapshot);
    apply_deinit(&s->apply);
    pg_epoch_free(s->epoch);
    delta_sink_free(s->sink);
    spool_free(s->spool);
    lake_worker_free(s->worker);
    engine_conn_free(s->engine_conn);
    engine_free(s->engine);
    pg_conn_free(s->conn);
    state_deinit(&s->state);
    mem_free(s->state_dir);
    mem_free(s->app_id);
}

/* Inside a long transaction: keeps the progress moving, and ends it when asked to stop (it is applied anew later). */
static bool look_up(void *ctx)
{
    struct sync *s = ctx;

    show_progress(s);
    return sync_is_stopping(s) || s->receive.ended;
}

static int before_transaction(void *ctx, uint64_t commit_lsn, struct err *err)
{
    TRY(sync_drop_leaves(ctx, commit_lsn, err));
    return sync_barrier_before(ctx, commit_lsn, err);
}

/* From preparing to stopping. `*ret_ran`: it came as far as applying. */
static int run_once(const struct sync_options *o, bool *ret_ran, struct err *err)
{
    struct sync s = {.o = o};

    s.filter = (struct pg_filter){.include = o->include,
                                  .n_include = o->n_include,
                                  .exclude = o->exclude,
                                  .n_exclude = o->n_exclude,
                                  .include_columns = o->include_columns,
                                  .n_include_columns = o->n_include_columns,
                                  .exclude_columns = o->exclude_columns,
                                  .n_exclude_columns = o->n_exclude_columns};
    s.apply.interrupt = look_up;
    s.apply.before = before_transaction;
    progress_init(&s.progress);
    int rc = sync_prepare(&s, err);
    bool prepared = rc == 0; /* else it may have been stopped with nothing made yet */
    *ret_ran = prepared || s.copied;
    if (rc == 0)
        rc = run(&s, err);
    if (rc == ERR_CANCELLED && sync_is_stopping(&s))
        rc = 0;
    if (rc == ERR_CANCELLED && s.receive.ended)
        rc = receive_error(&s, err);
    if (rc == 0 && prepared)
        rc = remember(&s, true, err);
    if (rc == 0 && prepared)
        delta_sink_sync_indexes(s.sink);
    uint64_t one = 1;
    if (write(o->stop_fd, &one, sizeof one) != sizeof one) /* the threads end too */
        log_warn("stop_failed", "fd=%d", o->stop_fd);
    receive_stop(&s.receive);
    progress_end(&s.progress);
    if (rc == 0)
        log_info("stopped", "changes=%llu", (unsigned long long)(prepared ? pg_epoch_changes(s.epoch) : 0));
    if (rc == 0 && s.caught_up)
        rc = all_follow(&s, err);
    sync_deinit(&s);
    return rc;
}

/* The server chose us as the victim of a deadlock, somebody held a lock for too long, or dropped a table just now: no reason to
 * give up. */
static bool is_passing(const struct err *err)
{
    return strncmp(err->sqlstate, "40", 2) == 0 || strcmp(err->sqlstate, "55P03") == 0 ||
           strcmp(err->sqlstate, "42P01") == 0;
}

/* False: we were asked to stop meanwhile. */
static bool wait_ms(const struct sync_options *o, int ms)
{
    struct pollfd p = {.fd = o->stop_fd, .events = POLLIN};

    return poll(&p, 1, ms) == 0;
}

/* It is there and will take us: it starts, or recovers from a crash (cannot_connect_now). */
static bool is_starting(const struct err *err)
{
    return strcmp(err->sqlstate, "57P03") == 0;
}

/* A source that was there at the start may go away and come back; one that never was is an error of the user's. */
int sync_run(const struct sync_options *o, struct err *err)
{
    struct sync_options again = *o;
    int64_t start = clock_mono_us();
    bool ran, ever = false;
    int away_ms = AWAY_MS_MIN;
    uint64_t ours;

    assert(err);
    for (int tries = 0;; tries++) {
        int rc = run_once(&again, &ran, err);
        ever |= ran;
        if (clock_mono_us() - start > CONFLICT_WINDOW_US) {
            start = clock_mono_us();
            tries = 0;
        }
        bool away = rc == ERR_NET && (ever || is_starting(err));
        if (!away && (rc != ERR_CONFLICT || !(ran || is_passing(err)) || tries >= CONFLICT_TRIES))
            return rc;
        struct err why = *err;
        if (read(o->stop_fd, &ours, sizeof ours) != sizeof ours || ours > 1) { /* we were asked to stop as well */
            log_err(LOG_WARN, "stopped_early", &why); /* the next start goes on from the spool */
            return 0;
        }
        log_err(LOG_WARN, away ? "connection_lost" : "read_again", &why);
        if (!wait_ms(o, away ? away_ms : CONFLICT_MS << tries))
            return 0;
        away_ms = away ? MIN(2 * away_ms, (int)AWAY_MS_MAX) : away_ms;
        if (ran)
            again.n_resync = 0;
    }
}
