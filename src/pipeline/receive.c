/*
 * receive → keep → acknowledge.
 *
 * What is acknowledged must be known after a crash: commits are in the spool; a keepalive's end of WAL, past which there
 * was nothing for us, is written to <state>/confirmed first, at most once a second.
 *
 * Frames go to the spool as they come. When the socket is empty they are handed to the readers; at least every
 * SYNC_US they are put on disk, and only then acknowledged. A keepalive moves the acknowledgement past WAL that had
 * nothing for us.
 */
#include "pipeline/receive.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/position.h"
#include "source/pg_publication.h"
#include "source/pg_slot.h"
#include "source/pg_stream.h"

#include <poll.h>

enum {
    SYNC_US = 200000,
    NOTE_US = 1000000,
    HEARTBEAT_US = 10000000,
    WAIT_US = 50000,
    HEARTBEAT_LIMIT_US = 5000000, /* the stream waits meanwhile */
    TELL_US = 10000000,
    BACKOFF_MIN_US = 100000,
    INTERNAL_TRIES = 6,
    BACKOFF_MAX_US = 10000000,
    ROOM_EVERY = 64,
};

static bool is_stopping(const struct receive *r, int64_t timeout_us)
{
    struct pollfd p = {.fd = r->config.stop_fd, .events = POLLIN};

    return poll(&p, 1, (int)(timeout_us / 1000)) > 0;
}

/* Back-pressure: waits until the spool has room, answering keepalives through the last confirmed position. */
static int wait_for_room(struct receive *r, struct pg_stream *stream, struct err *err)
{
    int rc;
    uint64_t durable;

    while ((rc = spool_has_room(r->config.spool, err)) == 0) {
        TRY(spool_sync(r->config.spool, &durable, err));
        durable = MAX(durable, r->config.start_lsn);
        TRY(pg_stream_confirm(stream, durable, durable, durable, false, err));
        if (is_stopping(r, 50000))
            return err_set(err, ERR_CANCELLED, "stopped");
    }
    return rc < 0 ? rc : 0;
}

/* Notes that WAL up to `lsn` held nothing for us beyond the spool. Not every time: it costs two syncs. */
static int note_confirmed(struct receive *r, uint64_t lsn, struct err *err)
{
    char text[LSN_TEXT];
    int64_t now = clock_mono_us();

    if (lsn <= r->noted_lsn || now - r->last_note_us < NOTE_US)
        return 0;
    lsn_text(lsn, text);
    TRY(file_replace(r->note_path, text, strlen(text), err));
    r->noted_lsn = lsn;
    r->last_note_us = now;
    return 0;
}

static int damaged(const char *path, struct err *err)
{
    err_set(err, ERR_INPUT, "%s is not as sluice wrote it", path);
    return err_hint(err, "restore it, or " PG_COPY_ANEW);
}

static int read_confirmed(struct receive *r, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {.max = 64};

    if (!file_exists(r->note_path))
        return 0;
    TRY(file_read(r->note_path, &text, err));
    if (!lsn_parse(str_trim(buf_str(&text)), &r->noted_lsn))
        return damaged(r->note_path, err);
    return 0;
}

static int read_timeline(struct receive *r, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {.max = 64};
    uint64_t number;

    if (!file_exists(r->timeline_path))
        return 0;
    TRY(file_read(r->timeline_path, &text, err));
    if (!str_to_u64(str_trim(buf_str(&text)), &number))
        return damaged(r->timeline_path, err);
    r->timeline = (uint32_t)number;
    return 0;
}

/* Before anything of it is received: what is received belongs to it. */
static int note_timeline(struct receive *r, uint32_t timeline, struct err *err)
{
    char text[16];

    if (timeline == r->timeline)
        return 0;
    snprintf(text, sizeof text, "%u", timeline);
    TRY(file_replace(r->timeline_path, text, strlen(text), err));
    r->timeline = timeline;
    return 0;
}

static int acknowledge(struct receive *r, struct pg_stream *stream, bool want_reply, struct err *err)
{
    uint64_t durable, lsn, end_lsn;

    TRY(spool_sync(r->config.spool, &durable, err));
    crash_point("spool_synced");
    spool_last_commit(r->config.spool, &lsn, &end_lsn);
    durable = MAX(durable, r->config.start_lsn);
    if (durable >= end_lsn && spool_is_idle(r->config.spool)) {
        TRY(note_confirmed(r, r->keepalive_lsn, err));
        durable = MAX(durable, r->noted_lsn);
    }
    r->durable_lsn = durable;
    r->last_sync_us = clock_mono_us();
    TRY(pg_stream_confirm(stream, durable, durable, durable, want_reply, err));
    crash_point("acknowledged");
    return 0;
}

static int open_heart(struct receive *r, struct err *err)
{
    TRY(pg_conn_open(r->config.url, PG_CONN_SQL, r->config.stop_fd, &r->heart, err));
    pg_conn_limit(r->heart, HEARTBEAT_LIMIT_US);
    return 0;
}

static void beat(struct receive *r)
{
    struct err err;
    int64_t now = clock_mono_us();

    if (!r->config.heartbeat || r->silent || now - r->last_heartbeat_us < HEARTBEAT_US)
        return;
    r->last_heartbeat_us = now;
    if ((!r->heart && open_heart(r, &err)) || pg_heartbeat(r->heart, &err) < 0) {
        pg_conn_free(r->heart); /* the stream itself tells when the server is gone */
        r->heart = NULL;
    }
}

/* Once, when it is silent for long. */
static void mind_silence(struct receive *r, const struct pg_stream *stream)
{
    int64_t silent_us = pg_stream_silent_us(stream);
    int64_t patience_us = pg_stream_patience_us(stream);
    bool silent = silent_us > (patience_us ? MIN((int64_t)TELL_US, patience_us / 2) : TELL_US);

    if (silent && !r->silent)
        log_warn("waiting_for_server", "slot=%s pid=%d seconds=%lld text=%s", r->config.slot, pg_stream_pid(stream),
                 (long long)(silent_us / 1000000),
                 log_quote("nothing comes, though the server was asked for an answer"));
    r->silent = silent;
}

static int take(struct receive *r, struct pg_stream *stream, const struct pg_frame *f, struct err *err)
{
    r->server_lsn = MAX(f->wal_end, (uint64_t)r->server_lsn);
    if (f->kind == 'k') {
        r->keepalive_lsn = f->wal_end;
        return 0;
    }
    struct spool_frame frame = {.lsn = f->wal_start, .payload = f->payload};
    TRY(spool_append(r->config.spool, &frame, err));
    atomic_fetch_add(&r->bytes, f->payload.n);
    if (atomic_fetch_add(&r->frames, 1) % ROOM_EVERY == 0)
        TRY(wait_for_room(r, stream, err));
    return 0;
}

/* The socket is empty: readers get what there is. */
static int pause_stream(struct receive *r, struct err *err)
{
    uint64_t lsn, end_lsn;

    TRY(spool_flush(r->config.spool, err));
    spool_last_commit(r->config.spool, &lsn, &end_lsn);
    r->seen_lsn = MAX(MAX(end_lsn, r->keepalive_lsn), (uint64_t)r->seen_lsn);
    return 0;
}

static int pump(struct receive *r, struct pg_stream *stream, struct err *err)
{
    struct pg_frame f;
    int rc;

    for (;;) {
        while ((rc = pg_stream_next(stream, 0, &f, err)) == 0) {
            TRY(take(r, stream, &f, err));
            if (clock_mono_us() - r->last_sync_us > SYNC_US)
                TRY(acknowledge(r, stream, false, err));
        }
        TRY(rc);
        TRY(pause_stream(r, err));
        if (clock_mono_us() - r->last_sync_us > SYNC_US)
            TRY(acknowledge(r, stream, true, err));
        mind_silence(r, stream);
        beat(r);
        rc = pg_stream_next(stream, WAIT_US, &f, err);
        TRY(rc);
        if (rc == 0)
            TRY(take(r, stream, &f, err));
    }
}

static int connect_and_pump(struct receive *r, struct err *err)
{
    CLEANUP(pg_stream_freep) struct pg_stream *stream = NULL;
    struct pg_stream_options options = {.slot = r->config.slot,
                                        .publication = r->config.publication,
                                        .inserts = r->config.inserts,
                                        .system_id = r->config.system_id,
                                        .timeline = r->timeline,
                                        .stalls = r->stalls,
                                        .binary = r->config.binary};
    uint64_t lsn, end_lsn, frames = r->frames;

    spool_last_commit(r->config.spool, &lsn, &end_lsn);
    options.start_lsn = MAX(MAX(end_lsn, r->config.start_lsn), r->noted_lsn);
    TRY(pg_stream_open(r->config.url, &options, r->config.stop_fd, &stream, err));
    TRY(note_timeline(r, pg_stream_timeline(stream), err));
    TRY(spool_restart_marker(r->config.spool, err));
    r->keepalive_lsn = 0;
    r->connected = true;
    log_info("stream_started", "slot=%s protocol=%d binary=%d", r->config.slot, pg_stream_protocol(stream),
             r->config.binary);
    int rc = pump(r, stream, err);
    r->stalls = r->frames != frames ? 0 : r->stalls + r->silent;
    r->connected = r->silent = false;
    return rc;
}

/* The server stumbled over its own WAL ("could not map filenode … to relation OID", where tables are truncated and rewritten all the
 * time). Mostly it gets past it at the second try; sometimes never, and neither does pg_logical_slot_peek_changes(). */
static bool is_internal(const struct err *err)
{
    return strncmp(err->sqlstate, "XX", 2) == 0;
}

static void cannot_decode(const struct receive *r, struct err *err)
{
    err_wrap(err, "the server fails to decode its own WAL, by a fault of its own");
    (void)err_hint(
        err,
        "nothing in the lake is wrong, but it cannot go on from here%s: SELECT pg_drop_replication_slot('%s'); "
        "then " PG_COPY_ANEW,
        r->config.binary
            ? ""
            : " (but where it could not get memory for a row, try --binary: as text a bytea is twice as long)",
        r->config.slot);
}

/* The database holds text that its encoding does not have, and the server turns all text into UTF-8. */
static bool is_untranslatable(const struct err *err)
{
    return strcmp(err->sqlstate, "22P05") == 0 || strcmp(err->sqlstate, "22021") == 0;
}

static void cannot_translate(const struct receive *r, struct err *err)
{
    err_wrap(err, "a row in the stream cannot be sent");
    (void)err_hint(
        err,
        "its text is none of the database's encoding; the slot cannot get past it. Mend the row at the source (SET "
        "client_encoding = 'SQL_ASCII' shows it), then SELECT pg_drop_replication_slot('%s'), and " PG_COPY_ANEW,
        r->config.slot);
}

/* "requested WAL segment … has already been removed": by pg_resetwal, or by hand; the slot looks well all the same. */
static bool is_removed(const struct err *err)
{
    return strcmp(err->sqlstate, "58P01") == 0;
}

static void cannot_go_on(const struct receive *r, struct err *err)
{
    err_wrap(err, "the server lacks WAL that replication slot %s needs", r->config.slot);
    (void)err_hint(err, "SELECT pg_drop_replication_slot('%s');\n-- then " PG_COPY_ANEW, r->config.slot);
}

/* "publication … does not exist", up to PostgreSQL 17. */
static bool is_unpublished(const struct err *err)
{
    return strcmp(err->sqlstate, "42704") == 0;
}

static void *run(void *arg)
{
    struct receive *r = arg;
    int64_t backoff = BACKOFF_MIN_US;
    unsigned fruitless = 0;
    struct err err = {0};

    for (;;) {
        uint64_t frames = r->frames, seen = r->seen_lsn;
        int rc = connect_and_pump(r, &err);
        if (r->frames != frames && !is_internal(&err))
            backoff = BACKOFF_MIN_US;
        fruitless = r->seen_lsn == seen ? fruitless + 1 : 0;
        bool again = rc == ERR_NET || rc == ERR_CONFLICT || (is_internal(&err) && fruitless < INTERNAL_TRIES);
        if (!again && is_internal(&err))
            cannot_decode(r, &err);
        if (is_removed(&err))
            cannot_go_on(r, &err);
        if (is_untranslatable(&err))
            cannot_translate(r, &err);
        if (!again && is_unpublished(&err))
            pg_publication_lost(r->config.publication, r->config.slot, &err);
        if (!again)
            break;
        log_err(LOG_WARN, "stream_lost", &err);
        if (is_stopping(r, backoff)) {
            err_set(&err, ERR_CANCELLED, "stopped");
            break;
        }
        backoff = MIN(backoff * 2, (int64_t)BACKOFF_MAX_US);
    }
    r->err = err;
    r->ended = true;
    spool_wake(r->config.spool);
    return NULL;
}

int receive_start(struct receive *r, const struct receive_config *config, struct err *err)
{
    *r = (struct receive){.config = *config};
    r->note_path = mem_printf("%s/confirmed", config->state_dir);
    r->timeline_path = mem_printf("%s/timeline", config->state_dir);
    TRY(read_confirmed(r, err));
    TRY(read_timeline(r, err));
    r->last_heartbeat_us = clock_mono_us();
    if (pthread_create(&r->thread, NULL, run, r))
        return err_set(err, ERR_INTERNAL, "cannot start a thread");
    r->started = true;
    return 0;
}

void receive_stop(struct receive *r)
{
    if (r->started)
        pthread_join(r->thread, NULL);
    pg_conn_free(r->heart);
    mem_free(r->note_path);
    mem_free(r->timeline_path);
    *r = (struct receive){.err = r->err};
}
