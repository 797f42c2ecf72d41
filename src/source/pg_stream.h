/*
 * The replication stream: START_REPLICATION, frames in, acknowledgements out.
 *
 * The caller loops: pg_stream_next → keep the payload → make it durable → pg_stream_confirm. On ERR_NET it frees the
 * stream, waits (backoff is the caller's), and opens a new one at what it has made durable.
 *
 * Confirming: the server forgets what is confirmed as `flushed`. Confirm only what could be given back as `start_lsn`
 * after a crash: record it durably first. When everything received is durable, also confirm the `wal_end` of a
 * keepalive, since that moves the slot past WAL that held nothing for us, and lets the server shut down without
 * waiting for us.
 */
#ifndef SLUICE_SOURCE_PG_STREAM_H
#define SLUICE_SOURCE_PG_STREAM_H

#include "source/pg_conn.h"

struct pg_stream;

struct pg_stream_options {
    const char *slot;
    const char *publication;
    bool inserts;       /* … and the one beside it for tables without an identity (pg_publication.h) */
    uint64_t start_lsn; /* everything committed up to here is durable with us; never 0 */
    uint64_t system_id; /* of the cluster that start_lsn belongs to; 0 = do not check */
    uint32_t timeline;  /* … and its timeline (pg_stream_timeline); 0 = not known */
    bool binary;        /* values in binary where the type has a send function */
    unsigned stalls;    /* the server was given up as silent so many times: it is waited for twice as long at each */
    bool no_streaming;  /* whole transactions only, even where the server could send those in progress (14+) */
};

struct pg_frame {
    char kind;            /* 'w' data, 'k' keepalive */
    bool reply_requested; /* 'k': it has been answered already, with the last confirmed positions */
    uint64_t wal_start;   /* 'w': of the data; 0 in some messages of a streamed transaction */
    uint64_t wal_end;     /* the end of WAL that the server has sent so far */
    int64_t server_us;    /* when it sent this, microseconds since 1970 UTC */
    struct str payload;   /* 'w': one pgoutput message, borrowed until the next call on the stream */
};

/*
 * Opens a replication connection, checks the slot as pg_slot_adopt does (the server would silently skip to where the
 * slot stands), and starts with the newest pgoutput protocol that the server has (1 on 13, 2 on 14, 3 on 15, 4 from
 * 16). ERR_REFUSED when the server left the history that start_lsn belongs to before it (restored, or failed over to a standby
 * that lagged) and went on from there.
 */
MUST_CHECK int pg_stream_open(const char *url, const struct pg_stream_options *options, int cancel_fd,
                              struct pg_stream **ret, struct err *err);
void pg_stream_free(struct pg_stream *s); /* takes NULL; ends the copy and closes */
DEFINE_FREEP(pg_stream)
/* What the server writes now; 0 on a standby, which may be promoted while we read from it. */
uint32_t pg_stream_timeline(const struct pg_stream *s);
int pg_stream_protocol(const struct pg_stream *s); /* 1..4 */
int pg_stream_pid(const struct pg_stream *s);      /* of the server's process */
/* How long nothing has come since the server was asked for an answer (pg_stream_confirm). Past the patience (0: for ever) it is given
 * up, as ERR_NET. */
int64_t pg_stream_patience_us(const struct pg_stream *s);
int64_t pg_stream_silent_us(const struct pg_stream *s);
/*
 * The next frame: 0, or 1 when none came in timeout_us (0 = only what is there, -1 = wait for ever). ERR_CANCELLED
 * when cancel_fd became readable, ERR_NET when the connection broke or the server ended the stream. Repeats the last
 * status every third of wal_sender_timeout (at most 10 s): call this or pg_stream_confirm at least that often, or the
 * server hangs up.
 */
MUST_CHECK int pg_stream_next(struct pg_stream *s, int64_t timeout_us, struct pg_frame *ret, struct err *err);
/* One CopyData message of the stream as a frame that borrows from it. ERR_INPUT when it is none. */
MUST_CHECK int pg_frame_read(struct str bytes, struct pg_frame *ret, struct err *err);
/* Tells the server how far we are; positions never go back. `reply` asks it for a keepalive in answer. Does not block.
 * */
MUST_CHECK int pg_stream_confirm(struct pg_stream *s, uint64_t written, uint64_t flushed, uint64_t applied, bool reply,
                                 struct err *err);
/*
 * Writes a small logical message into the WAL on an ordinary connection, so that an idle database never pins WAL: on
 * 14+ it comes back in the stream as an 'M' frame with prefix "sluice", on 13 only as a keepalive. Returns 1 where it
 * cannot (a standby): the primary's own heartbeat must do.
 */
MUST_CHECK int pg_heartbeat(struct pg_conn *conn, struct err *err);

#endif
