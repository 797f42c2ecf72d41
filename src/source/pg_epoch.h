/*
 * From pgoutput messages to change batches: the hop "assemble".
 *
 * Fed with the messages of whole transactions in commit order. Keeps what the stream said of each relation, turns rows
 * into columns, and hands full batches to the sink. Relations that the sink does not want cost a hash look-up a row.
 */
#ifndef SLUICE_SOURCE_PG_EPOCH_H
#define SLUICE_SOURCE_PG_EPOCH_H

#include "model/epoch.h"
#include "codec/pg_schema.h"

struct pg_epoch;

struct pg_epoch_options {
    struct sink sink;
    uint32_t batch_rows; /* a batch goes to the sink when it has so many rows (0: 8192) … */
    size_t batch_bytes;  /* … or so many bytes (0: 4 MiB) */
    /*
     * The relation as the catalog has it now, NULL when it is gone or not chosen; and as the lake remembers it. Asked when a
     * Relation message differs from the one before, and a row that the sink wants follows. Both give a reference.
     */
    int (*live)(void *ctx, uint32_t oid, struct relation **ret, struct err *err);
    int (*known)(void *ctx, uint32_t oid, struct relation **ret, struct err *err);
    void *ctx;
    struct pg_schema_filter columns;
    bool
        whole_deletes; /* a delete has all of the old row where that was sent (REPLICA IDENTITY FULL), not its key only */
};

struct pg_epoch *pg_epoch_new(const struct pg_epoch_options *opt);
void pg_epoch_free(struct pg_epoch *e); /* takes NULL */
DEFINE_FREEP(pg_epoch)
/* The transaction that the next messages belong to. */
void pg_epoch_begin(struct pg_epoch *e, uint32_t xid, uint64_t commit_lsn, int64_t commit_us);
/* A message of the transaction: R I U D T (others are ignored). `arrival` grows with each message as the server sent them: a
 * Relation message out of a streamed transaction says nothing of other transactions where a later one has come by already. */
int pg_epoch_add(struct pg_epoch *e, const struct pgoutput_msg *msg, uint64_t arrival, struct err *err) MUST_CHECK;
/* Hands the batches that are still open to the sink. */
int pg_epoch_flush(struct pg_epoch *e, struct err *err) MUST_CHECK;
/* Forgets what is known of all relations: each is announced to the sink anew by its next
 * row that the sink wants, and compared with what the lake remembers. */
void pg_epoch_forget_sink(struct pg_epoch *e);
/* The last transaction whose TRUNCATE of the relation has come; 0: none. */
uint32_t pg_epoch_truncated_xid(const struct pg_epoch *e, uint32_t oid);
uint64_t pg_epoch_changes(const struct pg_epoch *e); /* rows handed over since it was made */

#endif
