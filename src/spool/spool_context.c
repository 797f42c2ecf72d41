/*
 * The definitions in force: which Relation ('R') and Type ('Y') messages a reader has to know to decode what follows.
 *
 * The server sends a definition once a connection, before its first use, and again when it changed. Inside the chunks
 * of a streamed transaction messages have an xid after their tag, and a definition sent there counts for that
 * transaction only; the server counts it as sent to all at its commit, and as never sent at its abort. So does this.
 * After a reconnect everything is sent again: a restart marker clears all.
 *
 *   'R' [u32 xid] u32 relation OID …     'Y' [u32 xid] u32 type OID …     'S' u32 xid …   'c' u32 xid …
 *   'A' u32 xid, u32 xid of the subtransaction …     'p' u8 flags, 3 × u64, u32 xid …
 */
#include "spool/spool_internal.h"

struct definition {
    uint64_t arrival;
    uint32_t xid;
    size_t n;
    char payload[]; /* in the form without xid */
};

static void clear_map(struct imap *m)
{
    size_t cursor = 0;
    void *d;

    while (imap_next(m, &cursor, NULL, &d) == 0)
        mem_free(d);
    imap_deinit(m);
    *m = (struct imap){0};
}

void spool_context_clear(struct spool_context *c)
{
    clear_map(&c->relations);
    clear_map(&c->types);
    *c = (struct spool_context){0};
}

static void drop(struct spool_context *c, struct definition *d)
{
    if (!d)
        return;
    c->bytes -= d->n;
    c->n_streamed -= d->xid != 0;
    mem_free(d);
}

static void put(struct spool_context *c, struct imap *m, uint32_t oid, struct definition *d)
{
    c->bytes += d->n;
    c->n_streamed += d->xid != 0;
    drop(c, imap_put(m, (uint64_t)d->xid << 32 | oid, d));
}

static void define(struct spool_context *c, struct imap *m, struct str payload)
{
    size_t skip = c->xid ? 4 : 0;
    struct reader r = reader_of(payload.p, payload.n);

    (void)reader_bytes(&r, 1 + skip);
    uint32_t oid = reader_be32(&r);
    if (r.failed)
        return; /* malformed: the decoder will say so with its position */
    struct definition *d = mem_alloc(sizeof *d + payload.n - skip);
    d->arrival = ++c->arrivals;
    d->xid = c->xid;
    d->n = payload.n - skip;
    d->payload[0] = payload.p[0];
    memcpy(d->payload + 1, payload.p + 1 + skip, d->n - 1);
    put(c, m, oid, d);
}

/* The transaction ended: its definitions count for all (unless a later one does already), or for nobody. */
static void settle(struct spool_context *c, struct imap *m, uint32_t xid, bool keep)
{
    struct {
        uint64_t key;
        struct definition *d;
    } *found = NULL;
    size_t n = 0, cap = 0, cursor = 0;
    uint64_t key;
    void *value;

    while (imap_next(m, &cursor, &key, &value) == 0) {
        if (key >> 32 != xid)
            continue;
        MEM_GROW(found, n, cap);
        found[n].key = key;
        found[n++].d = value;
        (void)imap_remove(m, key);
    }
    for (size_t i = 0; i < n; i++) {
        struct definition *d = found[i].d, *all = imap_get(m, (uint32_t)found[i].key);
        c->bytes -= d->n;
        c->n_streamed--;
        d->xid = 0;
        if (keep && (!all || all->arrival < d->arrival))
            put(c, m, (uint32_t)found[i].key, d);
        else
            mem_free(d);
    }
    mem_free(found);
}

static void end_streamed(struct spool_context *c, uint32_t xid, bool keep)
{
    if (!c->n_streamed || !xid)
        return;
    settle(c, &c->relations, xid, keep);
    settle(c, &c->types, xid, keep);
}

void spool_context_note(struct spool_context *c, const struct spool_frame *frame)
{
    struct reader r = reader_of(frame->payload.p, frame->payload.n);

    if (frame->kind == SPOOL_RESTART)
        spool_context_clear(c);
    if (frame->kind != SPOOL_DATA)
        return;
    switch (reader_u8(&r)) {
    case 'R':
        define(c, &c->relations, frame->payload);
        break;
    case 'Y':
        define(c, &c->types, frame->payload);
        break;
    case 'S':
        c->xid = reader_be32(&r);
        break;
    case 'E':
        c->xid = 0;
        break;
    case 'c':
        end_streamed(c, reader_be32(&r), true);
        break;
    case 'p':
        (void)reader_bytes(&r, 1 + 3 * 8);
        end_streamed(c, reader_be32(&r), true);
        break;
    case 'A': {
        uint32_t xid = reader_be32(&r), sub = reader_be32(&r);
        if (xid == sub) /* else only a subtransaction, and what the server tells of its relations next is newer */
            end_streamed(c, xid, false);
        break;
    }
    default:
        break;
    }
}

static int by_arrival(const void *a, const void *b)
{
    const struct definition *x = *(struct definition *const *)a, *y = *(struct definition *const *)b;

    return (x->arrival > y->arrival) - (x->arrival < y->arrival);
}

int spool_context_each(const struct spool_context *c, int (*add)(void *arg, const struct spool_frame *, struct err *),
                       void *arg, struct err *err)
{
    size_t n = 0, cursor = 0;
    struct definition **all = mem_alloc_n(c->relations.n + c->types.n + 1, sizeof *all);
    void *value;
    int rc = 0;

    while (imap_next(&c->types, &cursor, NULL, &value) == 0)
        all[n++] = value;
    cursor = 0;
    while (imap_next(&c->relations, &cursor, NULL, &value) == 0)
        all[n++] = value;
    qsort(all, n, sizeof *all, by_arrival);
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct spool_frame f = {
            .kind = SPOOL_CONTEXT, .xid = all[i]->xid, .payload = str_make(all[i]->payload, all[i]->n)};
        rc = add(arg, &f, err);
    }
    mem_free(all);
    return rc;
}
