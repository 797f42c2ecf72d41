/* The apply loop's reader. Message kinds are in codec/pgoutput.h. */
#include "pipeline/apply.h"

#include "base/mem.h"

#include <assert.h>

struct piece { /* from an S frame to its E */
    struct spool_pos pos;
    uint64_t arrival; /* of the S frame */
};

struct apply_stream {
    uint32_t xid;
    struct piece *pieces;
    size_t n, cap;
    uint32_t *aborted; /* sub-transactions that were rolled back */
    size_t n_aborted, cap_aborted;
};

enum { INTERRUPT_EVERY = 4096 };

static void stream_free(struct apply_stream *s)
{
    if (!s)
        return;
    mem_free(s->pieces);
    mem_free(s->aborted);
    mem_free(s);
}

static void forget_streams(struct apply *a)
{
    size_t cursor = 0;
    void *s;

    while (imap_next(&a->streams, &cursor, NULL, &s) == 0)
        stream_free(s);
    imap_deinit(&a->streams);
    a->in_stream = false;
}

int apply_open(struct apply *a, struct spool *spool, struct pg_epoch *epoch, struct err *err)
{
    a->spool = spool;
    a->epoch = epoch;
    return apply_rewind(a, err);
}

void apply_deinit(struct apply *a)
{
    forget_streams(a);
    spool_reader_free(a->reader);
    spool_reader_free(a->again);
    *a = (struct apply){0};
}

int apply_rewind(struct apply *a, struct err *err)
{
    forget_streams(a);
    spool_reader_free(TAKE_PTR(a->reader));
    a->at = (struct spool_pos){0};
    return spool_reader_open(a->spool, &a->reader, err);
}

struct spool_pos apply_oldest_needed(const struct apply *a)
{
    struct spool_pos oldest = a->at;
    size_t cursor = 0;
    void *p;

    while (imap_next(&a->streams, &cursor, NULL, &p) == 0) {
        const struct apply_stream *s = p;
        if (s->n && spool_pos_cmp(s->pieces[0].pos, oldest) < 0)
            oldest = s->pieces[0].pos;
    }
    return oldest;
}

static void note_piece(struct apply *a, uint32_t xid)
{
    struct apply_stream *s = imap_get(&a->streams, xid);

    if (!s) {
        s = MEM_NEW(struct apply_stream);
        s->xid = xid;
        imap_put(&a->streams, xid, s);
    }
    MEM_GROW(s->pieces, s->n, s->cap);
    s->pieces[s->n++] = (struct piece){a->at, a->n_frames};
}

static void note_abort(struct apply *a, uint32_t xid, uint32_t subxid)
{
    struct apply_stream *s = imap_get(&a->streams, xid);

    if (!s)
        return;
    if (xid == subxid) {
        stream_free(imap_remove(&a->streams, xid));
        return;
    }
    MEM_GROW(s->aborted, s->n_aborted, s->cap_aborted);
    s->aborted[s->n_aborted++] = subxid;
}

static bool is_aborted(const struct apply_stream *s, uint32_t xid)
{
    for (size_t i = 0; i < s->n_aborted; i++)
        if (s->aborted[i] == xid)
            return true;
    return false;
}

static int ask(struct apply *a, struct err *err)
{
    if (a->interrupt && ++a->n_interrupt % INTERRUPT_EVERY == 0 && a->interrupt(a->ctx))
        return err_set(err, ERR_CANCELLED, "stopped");
    return 0;
}

static int replay_piece(struct apply *a, const struct apply_stream *s, const struct piece *piece, struct err *err)
{
    struct spool_frame frame;
    struct pgoutput_msg msg;
    uint64_t arrival = piece->arrival;

    TRY(spool_reader_seek(a->again, piece->pos, err));
    for (bool first = true;; first = false, arrival++) {
        int rc = spool_reader_next(a->again, &frame, NULL, err);
        if (rc == 1)
            return err_set(err, ERR_INTERNAL, "a streamed transaction ends before its Stream Stop");
        TRY(rc);
        TRY(pgoutput_read(frame.payload.p, frame.payload.n, !first, &msg, err));
        if (msg.tag == 'E')
            return 0;
        if (!first && !is_aborted(s, msg.xid))
            TRY(pg_epoch_add(a->epoch, &msg, arrival, err));
        TRY(ask(a, err));
    }
}

static int replay_stream(struct apply *a, const struct pgoutput_msg *commit, struct err *err)
{
    struct apply_stream *s = imap_get(&a->streams, commit->xid);

    if (!s)
        return 0; /* nothing of it was for us */
    if (!a->again)
        TRY(spool_reader_open(a->spool, &a->again, err));
    pg_epoch_begin(a->epoch, commit->xid, commit->commit.commit_lsn, commit->commit.commit_us);
    for (size_t i = 0; i < s->n; i++)
        TRY(replay_piece(a, s, &s->pieces[i], err));
    stream_free(imap_remove(&a->streams, commit->xid));
    return 0;
}

static int tell_before(struct apply *a, uint64_t commit_lsn, struct err *err)
{
    return a->before ? a->before(a->ctx, commit_lsn, err) : 0;
}

static void note_commit(struct apply *a, const struct pgoutput_msg *msg)
{
    a->commit_lsn = msg->commit.commit_lsn;
    a->end_lsn = msg->commit.end_lsn;
    a->commit_us = msg->commit.commit_us;
    a->n_transactions++;
}

/* Returns 1 at the end of a transaction, else 0. */
static int take(struct apply *a, const struct spool_frame *frame, struct err *err)
{
    struct pgoutput_msg msg;

    if (a->in_stream) { /* only its end matters now */
        a->in_stream = !(frame->payload.n && frame->payload.p[0] == 'E');
        return 0;
    }
    TRY(pgoutput_read(frame->payload.p, frame->payload.n, false, &msg, err));
    switch (msg.tag) {
    case 'B':
        TRY(tell_before(a, msg.begin.final_lsn, err));
        pg_epoch_begin(a->epoch, msg.xid, msg.begin.final_lsn, msg.begin.commit_us);
        return 0;
    case 'C':
        note_commit(a, &msg);
        return 1;
    case 'S':
        note_piece(a, msg.xid);
        a->in_stream = true;
        return 0;
    case 'A':
        note_abort(a, msg.xid, msg.stream_abort.subxid);
        return 0;
    case 'c':
        TRY(tell_before(a, msg.commit.commit_lsn, err));
        TRY(replay_stream(a, &msg, err));
        note_commit(a, &msg);
        return 1;
    default:
        return pg_epoch_add(a->epoch, &msg, a->n_frames, err);
    }
}

int apply_next(struct apply *a, struct err *err)
{
    struct spool_frame frame;
    char at[LSN_TEXT];

    for (;;) {
        int rc = spool_reader_next(a->reader, &frame, &a->at, err);
        if (rc)
            return rc;
        a->n_frames++;
        if (frame.kind == SPOOL_RESTART) {
            forget_streams(a);
            continue;
        }
        if (frame.kind == SPOOL_CONTEXT && frame.xid)
            continue; /* for a streamed transaction alone: its pieces that are needed say it themselves */
        rc = take(a, &frame, err);
        if (rc == ERR_INPUT)
            err_wrap(err, "frame at %s", lsn_text(frame.lsn, at));
        TRY(rc);
        if (rc == 1)
            return 0;
        TRY(ask(a, err));
    }
}
