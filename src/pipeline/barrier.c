/* Both ends of the meeting point; the conversation is drawn in barrier.h. */
#include "pipeline/barrier.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/position.h"
#include "pipeline/run.h"

#include <stdio.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 20 };

static char *request_path(const char *state_dir)
{
    return mem_printf("%s/barrier", state_dir);
}

static char *answer_path(const char *state_dir)
{
    return mem_printf("%s/barrier.done", state_dir);
}

/* Reads a file that may not be there: 1 when it is not. */
static int read_file(const char *path, struct buf *ret, struct err *err)
{
    ret->max = FILE_MAX;
    int rc = file_read(path, ret, err);

    return rc == ERR_NOT_FOUND ? 1 : rc;
}

/* ---- sync ---- */

void sync_barrier_reset(struct sync *s)
{
    CLEANUP(mem_freep) char *answer = answer_path(s->state_dir);

    s->barrier = (struct barrier){0};
    barrier_clear(s->state_dir);
    unlink(answer);
}

static int answer(struct sync *s, const char *what, const struct buf *lines, struct err *err)
{
    CLEANUP(mem_freep) char *path = answer_path(s->state_dir);
    CLEANUP(buf_deinit) struct buf text = {0};

    buf_printf(&text, "%s %s\n", what, s->barrier.id);
    if (lines)
        buf_add_str(&text, buf_str(lines));
    return file_replace(path, text.p, text.n, err);
}

/* A line for each table; false when one has changes of `lsn` or later. */
static bool list_tables(struct sync *s, uint64_t lsn, struct buf *out)
{
    for (size_t i = 0; i < s->state.n_tables; i++) {
        const struct state_table *st = &s->state.tables[i];
        struct lake_table *t = delta_sink_find(s->sink, st->oid);
        if (!t || t->state == LAKE_STAGED) {
            buf_printf(out, "%u copying\n", st->oid);
        } else if (t->state == LAKE_QUARANTINED) {
            buf_printf(out, "%u quarantined %s\n", st->oid, t->reason ? t->reason : "");
        } else if (t->position >= lsn) {
            return false;
        } else {
            struct delta_snapshot *snapshot = delta_table_snapshot(t->delta);
            buf_printf(out, "%u %lld\n", st->oid, (long long)snapshot->version);
            delta_snapshot_unref(snapshot);
        }
    }
    return true;
}

static int arrive(struct sync *s, struct err *err)
{
    CLEANUP(buf_deinit) struct buf lines = {0};
    char at[LSN_TEXT];

    if (sync_epoch_is_open(s))
        TRY(sync_commit_epoch(s, err));
    s->barrier.state = BARRIER_DONE;
    bool exact = list_tables(s, s->barrier.lsn, &lines);
    log_debug("barrier", "lsn=%s exact=%d", lsn_text(s->barrier.lsn, at), exact);
    return answer(s, exact ? "at" : "passed", exact ? &lines : NULL, err);
}

static int hold(struct sync *s, const char *id, struct err *err)
{
    struct barrier *b = &s->barrier;

    snprintf(b->id, sizeof b->id, "%s", id);
    b->state = BARRIER_HOLDING;
    b->since_us = clock_mono_us();
    if (sync_epoch_is_open(s))
        TRY(sync_commit_epoch(s, err));
    return answer(s, "held", NULL, err);
}

static int look(struct sync *s, struct err *err)
{
    CLEANUP(mem_freep) char *path = request_path(s->state_dir);
    CLEANUP(buf_deinit) struct buf text = {0};
    struct barrier *b = &s->barrier;
    char verb[8] = "", id[BARRIER_ID] = "", lsn[LSN_TEXT] = "";
    int rc = read_file(path, &text, err);

    TRY(rc);
    if (rc == 1 || sscanf(text.p ? text.p : "", "%7s %39s %19s", verb, id, lsn) < 2) {
        b->state = BARRIER_NONE;
        return 0;
    }
    bool known = strcmp(id, b->id) == 0;
    if (strcmp(verb, "hold") == 0)
        return known ? 0 : hold(s, id, err);
    if (strcmp(verb, "until") != 0 || (known && b->state >= BARRIER_UNTIL) || !lsn_parse(str_of(lsn), &b->lsn))
        return 0;
    snprintf(b->id, sizeof b->id, "%s", id);
    b->state = BARRIER_UNTIL;
    return 0;
}

int sync_barrier_mind(struct sync *s, bool *ret_hold, struct err *err)
{
    struct barrier *b = &s->barrier;
    int64_t now = clock_mono_us();

    if (now - b->last_look_us >= (b->state == BARRIER_HOLDING ? BARRIER_LOOK_US / 10 : BARRIER_LOOK_US)) {
        b->last_look_us = now;
        TRY(look(s, err));
    }
    if (b->state == BARRIER_HOLDING && now - b->since_us > BARRIER_HOLD_US)
        b->state = BARRIER_RELEASED;
    *ret_hold = b->state == BARRIER_HOLDING;
    return 0;
}

int sync_barrier_before(struct sync *s, uint64_t commit_lsn, struct err *err)
{
    return s->barrier.state == BARRIER_UNTIL && commit_lsn >= s->barrier.lsn ? arrive(s, err) : 0;
}

int sync_barrier_reached(struct sync *s, uint64_t lsn, struct err *err)
{
    return s->barrier.state == BARRIER_UNTIL && lsn >= s->barrier.lsn ? arrive(s, err) : 0;
}

/* ---- verify ---- */

int barrier_ask(const char *state_dir, const char *id, uint64_t lsn, struct err *err)
{
    CLEANUP(mem_freep) char *path = request_path(state_dir);
    CLEANUP(buf_deinit) struct buf text = {0};
    char at[LSN_TEXT];

    if (lsn)
        buf_printf(&text, "until %s %s\n", id, lsn_text(lsn, at));
    else
        buf_printf(&text, "hold %s\n", id);
    return file_replace(path, text.p, text.n, err);
}

int barrier_answer(const char *state_dir, const char *id, uint64_t lsn, bool *ret_passed, struct buf *ret,
                   struct err *err)
{
    CLEANUP(mem_freep) char *path = answer_path(state_dir);
    CLEANUP(buf_deinit) struct buf text = {0};
    int rc = read_file(path, &text, err);

    if (rc)
        return rc;
    struct str rest = buf_str(&text), first = str_split(&rest, '\n'), verb = str_split(&first, ' ');
    *ret_passed = str_is(verb, "passed");
    if (!str_is(first, id) || (lsn == 0) != str_is(verb, "held"))
        return 1;
    buf_add_str(ret, rest);
    return 0;
}

void barrier_clear(const char *state_dir)
{
    CLEANUP(mem_freep) char *path = request_path(state_dir);

    unlink(path);
}
