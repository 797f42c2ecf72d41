/*
 * The replication stream. CopyData messages from the server (PostgreSQL docs 55.4, integers big-endian):
 *
 *   'w' u64 wal_start, u64 wal_end, i64 clock, bytes: one pgoutput message
 *   'k' u64 wal_end, i64 clock, u8 reply_requested
 * and to it:
 *   'r' u64 written, u64 flushed, u64 applied, i64 clock, u8 reply_requested
 *
 * Clocks are microseconds since 2000-01-01. Frames are handed out without a copy of our own; as long as libpq has some
 * buffered, taking the next one costs no system call.
 */
#include "source/pg_stream.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "model/position.h"
#include "source/pg_publication.h"
#include "source/pg_slot.h"

#include <assert.h>
#include <stdio.h>

#define PG_EPOCH_US 946684800000000LL /* 2000-01-01 in microseconds since 1970 */
#define STATUS_EVERY_US 10000000LL    /* at most this long between two status messages */
enum { STALLS_MAX = 6 };              /* doublings of the patience */
enum { FRAMES_PER_CLOCK = 256 };      /* frames between two looks at the clock, when they come without a pause */

struct pg_stream {
    struct pg_conn *conn;
    int protocol;
    uint32_t timeline;
    bool streaming, ended;
    uint64_t written, flushed, applied; /* last confirmed */
    int64_t status_every_us, status_at_us;
    int64_t asked_us, patience_us; /* the server was asked for an answer, and nothing came since; 0: not so */
    unsigned frames;               /* since the clock was read */
};

static int protocol_of(int version)
{
    return version >= 160000 ? 4 : version >= 150000 ? 3 : version >= 140000 ? 2 : 1;
}

/* wal_sender_timeout in milliseconds; 0 = never. */
static int read_timeout(struct pg_stream *s, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;

    TRY(pg_query(s->conn, "SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'", 0, NULL, &r, err));
    int64_t ms = pg_result_rows(r) ? pg_result_i64(r, 0, 0) : 0;
    s->status_every_us = ms > 0 ? MIN(STATUS_EVERY_US, ms * 1000 / 3) : STATUS_EVERY_US;
    return 0;
}

/* The publications' names go as identifiers in a literal: START_REPLICATION parses both. */
static void start_sql(struct pg_stream *s, const struct pg_stream_options *o, struct buf *sql)
{
    CLEANUP(buf_deinit) struct buf ident = {0};
    char lsn[LSN_TEXT];
    int version = pg_conn_version(s->conn);

    pg_publication_names(o->publication, o->inserts, &ident);
    buf_printf(sql, "START_REPLICATION SLOT %s LOGICAL %s (proto_version '%d', publication_names ", o->slot,
               lsn_text(o->start_lsn, lsn), s->protocol);
    buf_add_sql_literal(sql, buf_str(&ident));
    if (version >= 140000)
        buf_printf(sql, ", messages 'true'%s%s", s->streaming ? ", streaming 'on'" : "",
                   o->binary ? ", binary 'true'" : "");
    if (version >= 160000)
        buf_add_cstr(sql, ", origin 'any'");
    buf_add_char(sql, ')');
}

/* Where the timeline `of` ended, in a history file: lines of its number, its last position, and why. 0: it is not in there. */
static uint64_t timeline_end(struct str history, uint32_t of)
{
    while (history.p && history.n) {
        struct str line = str_trim(str_split(&history, '\n'));
        uint64_t number, end;
        if (!str_to_u64(str_split(&line, '\t'), &number) || number != of)
            continue;
        return lsn_parse(str_split(&line, '\t'), &end) ? end : 0;
    }
    return 0;
}

/* A promoted server goes on from where it stood, under another number. What we have past that point it does not have, though
 * its WAL may have come further by now. */
static int check_timeline(struct pg_stream *s, const struct pg_stream_options *o, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *now = NULL, *standby = NULL, *history = NULL;
    char sql[48], ours[LSN_TEXT], theirs[LSN_TEXT];

    TRY(pg_query(s->conn, "IDENTIFY_SYSTEM", 0, NULL, &now, err));
    TRY(pg_query(s->conn, "SELECT pg_is_in_recovery()", 0, NULL, &standby, err));
    uint32_t timeline = (uint32_t)pg_result_i64(now, 0, 1);
    s->timeline = pg_result_bool(standby, 0, 0) ? 0 : timeline;
    if (!o->timeline || timeline == o->timeline)
        return 0;
    snprintf(sql, sizeof sql, "TIMELINE_HISTORY %u", timeline);
    if (timeline > o->timeline && pg_query(s->conn, sql, 0, NULL, &history, err))
        return err_wrap(err, "the server was promoted, and its history cannot be read");
    uint64_t end = history ? timeline_end(pg_result_str(history, 0, 1), o->timeline) : 0;
    if (end >= o->start_lsn)
        return 0;
    err_set(
        err, ERR_REFUSED,
        "the server left timeline %u at %s (it is on timeline %u now), but we have changes up to %s: it was restored from a "
        "backup or failed over to a standby that lagged",
        o->timeline, lsn_text(end, theirs), timeline, lsn_text(o->start_lsn, ours));
    return err_hint(err,
                    "what we hold contains changes that the server has lost: SELECT pg_drop_replication_slot('%s');\n"
                    "-- then " PG_COPY_ANEW,
                    o->slot);
}

/* A failover may send us to a standby a moment before it is promoted: it refuses until then. */
static int cannot_begin(const struct pg_stream *s, const struct pg_stream_options *o, struct err *why, struct err *err)
{
    bool standby = s->timeline == 0,
         not_yet = strcmp(why->sqlstate, "0A000") == 0 || strcmp(why->sqlstate, "55000") == 0;

    err_wrap(why, "replication slot %s", o->slot);
    if (standby && not_yet) {
        err_wrap(why, "the server is a standby and was not promoted yet");
        why->code = ERR_NET;
    }
    if (err)
        *err = *why;
    return why->code;
}

int pg_stream_open(const char *url, const struct pg_stream_options *options, int cancel_fd, struct pg_stream **ret,
                   struct err *err)
{
    CLEANUP(pg_stream_freep) struct pg_stream *s = MEM_NEW(struct pg_stream);
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct pg_slot slot;
    struct err why;

    assert(options->start_lsn);
    s->ended = true;
    TRY(pg_conn_open(url, PG_CONN_REPLICATION, cancel_fd, &s->conn, err));
    s->protocol = protocol_of(pg_conn_version(s->conn));
    s->streaming = s->protocol >= 2 && !options->no_streaming;
    TRY(pg_slot_adopt(s->conn, options->slot, options->start_lsn, options->system_id, &slot, err));
    TRY(check_timeline(s, options, err));
    TRY(read_timeout(s, err));
    start_sql(s, options, &sql);
    if (pg_copy_begin(s->conn, sql.p, &why) < 0)
        return cannot_begin(s, options, &why, err);
    s->ended = false;
    s->patience_us = pg_conn_patience_us(s->conn) << MIN(options->stalls, (unsigned)STALLS_MAX);
    s->written = s->flushed = s->applied = options->start_lsn;
    s->status_at_us = clock_mono_us();
    *ret = TAKE_PTR(s);
    return 0;
}

void pg_stream_free(struct pg_stream *s)
{
    if (!s)
        return;
    pg_conn_free(s->conn);
    mem_free(s);
}

uint32_t pg_stream_timeline(const struct pg_stream *s)
{
    return s->timeline;
}

int pg_stream_protocol(const struct pg_stream *s)
{
    return s->protocol;
}

static int send_status(struct pg_stream *s, bool reply, struct err *err)
{
    CLEANUP(buf_deinit) struct buf b = {0};

    buf_add_char(&b, 'r');
    buf_add_be64(&b, s->written);
    buf_add_be64(&b, s->flushed);
    buf_add_be64(&b, s->applied);
    buf_add_be64(&b, (uint64_t)(clock_now_us() - PG_EPOCH_US));
    buf_add_char(&b, reply);
    s->status_at_us = clock_mono_us();
    s->frames = 0;
    if (reply && !s->asked_us)
        s->asked_us = s->status_at_us;
    return pg_copy_write(s->conn, buf_str(&b), err);
}

int pg_stream_confirm(struct pg_stream *s, uint64_t written, uint64_t flushed, uint64_t applied, bool reply,
                      struct err *err)
{
    if (s->ended)
        return err_set(err, ERR_NET, "the server has ended the replication stream");
    s->written = MAX(s->written, written);
    s->flushed = MAX(s->flushed, flushed);
    s->applied = MAX(s->applied, applied);
    return send_status(s, reply, err);
}

int pg_stream_pid(const struct pg_stream *s)
{
    return pg_conn_pid(s->conn);
}

int64_t pg_stream_patience_us(const struct pg_stream *s)
{
    return s->patience_us;
}

int64_t pg_stream_silent_us(const struct pg_stream *s)
{
    return s->asked_us ? clock_mono_us() - s->asked_us : 0;
}

/* A walsender answers at once, but while it decodes a large transaction, of which nothing may be for us: hence the doubling. */
static int check_silence(const struct pg_stream *s, int64_t now_us, struct err *err)
{
    if (!s->patience_us || !s->asked_us || now_us - s->asked_us < s->patience_us)
        return 0;
    return err_set(err, ERR_NET, "nothing came from server process %d in %d s, though it was asked for an answer",
                   pg_conn_pid(s->conn), (int)((now_us - s->asked_us) / 1000000));
}

int pg_frame_read(struct str bytes, struct pg_frame *ret, struct err *err)
{
    struct reader r = reader_of(bytes.p, bytes.n);
    struct pg_frame f = {.kind = (char)reader_u8(&r)};

    if (f.kind == 'w') {
        f.wal_start = reader_be64(&r);
        f.wal_end = reader_be64(&r);
        f.server_us = (int64_t)reader_be64(&r) + PG_EPOCH_US;
        f.payload = str_make(r.p, reader_left(&r));
    } else if (f.kind == 'k') {
        f.wal_end = reader_be64(&r);
        f.server_us = (int64_t)reader_be64(&r) + PG_EPOCH_US;
        f.reply_requested = reader_u8(&r) != 0;
    } else {
        return err_set(err, ERR_INPUT, "replication stream: message of unknown kind 0x%02x", (unsigned char)f.kind);
    }
    if (r.failed)
        return err_set(err, ERR_INPUT, "replication stream: message '%c' of %zu bytes is too short", f.kind, bytes.n);
    *ret = f;
    return 0;
}

int pg_stream_next(struct pg_stream *s, int64_t timeout_us, struct pg_frame *ret, struct err *err)
{
    struct str bytes;
    int64_t deadline_us = -1;

    if (s->ended)
        return err_set(err, ERR_NET, "the server has ended the replication stream");
    if (++s->frames >= FRAMES_PER_CLOCK) {
        s->frames = 0;
        if (clock_mono_us() - s->status_at_us >= s->status_every_us)
            TRY(send_status(s, false, err));
    }
    for (;;) {
        /* What is buffered costs nothing; the clock and a real wait come only when there is nothing. */
        int rc = pg_copy_read(s->conn, 0, &bytes, err);
        if (rc == ERR_AGAIN) {
            int64_t now = clock_mono_us();
            if (now - s->status_at_us >= s->status_every_us)
                TRY(send_status(s, false, err));
            TRY(check_silence(s, now, err));
            if (deadline_us < 0)
                deadline_us = timeout_us < 0 ? INT64_MAX : now + timeout_us;
            if (now >= deadline_us)
                return 1;
            rc = pg_copy_read(s->conn, MIN(deadline_us, s->status_at_us + s->status_every_us) - now, &bytes, err);
            if (rc == ERR_AGAIN)
                continue;
        }
        TRY(rc);
        if (rc == 1) {
            s->ended = true;
            return err_set(err, ERR_NET, "the server has ended the replication stream");
        }
        s->asked_us = 0;
        TRY(pg_frame_read(bytes, ret, err));
        if (ret->reply_requested)
            TRY(send_status(s, false, err));
        return 0;
    }
}

int pg_heartbeat(struct pg_conn *conn, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;

    TRY(pg_query(conn,
                 "SELECT CASE WHEN pg_is_in_recovery() THEN NULL"
                 " ELSE pg_logical_emit_message(false, 'sluice', 'heartbeat') END",
                 0, NULL, &r, err));
    return pg_result_is_null(r, 0, 0);
}
