/*
 * The replication slot, which keeps WAL for us; and what the server is asked about it.
 */
#ifndef SLUICE_SOURCE_PG_SLOT_H
#define SLUICE_SOURCE_PG_SLOT_H

#include "base/buf.h"
#include "source/pg_conn.h"

enum { PG_SNAPSHOT_NAME = 64 };

struct pg_slot {
    bool exists;
    bool active, temporary, two_phase, conflicting, failover;
    int active_pid; /* 0 = none */
    char plugin[PG_NAME_MAX], database[PG_NAME_MAX];
    char wal_status[16];    /* reserved, extended, unreserved, lost */
    uint64_t restart_lsn;   /* WAL is kept from here */
    uint64_t confirmed_lsn; /* confirmed_flush_lsn: what we acknowledged */
    int64_t safe_wal_size;  /* bytes that can be written before it may be lost; -1 = no limit */
    int64_t retained_bytes; /* WAL kept for it */
    uint64_t server_lsn;    /* the end of the server's WAL now */
};

/* The slot as it stands; exists = false when there is none. */
MUST_CHECK int pg_slot_read(struct pg_conn *conn, const char *slot, struct pg_slot *ret, struct err *err);
/* Is it there, and one that we can read from: pgoutput's, of this database, not lost? ERR_REFUSED. */
MUST_CHECK int pg_slot_check(struct pg_conn *conn, const char *slot, const struct pg_slot *s, struct err *err);
/*
 * May we go on from `our_lsn` (everything up to it is durable with us; 0 = nothing yet) with this slot? Refuses loudly
 * (ERR_REFUSED) when the slot is gone, lost its WAL, is another plugin's or database's, was moved past our_lsn, or
 * when the server is behind us (restored, or failed over to a lagging standby); ERR_CONFLICT when another process (its
 * pid is named) uses it: after a crash that may be our own old connection, so retry for wal_sender_timeout. system_id:
 * the cluster that our_lsn belongs to, 0 = not known.
 */
MUST_CHECK int pg_slot_adopt(struct pg_conn *conn, const char *slot, uint64_t our_lsn, uint64_t system_id,
                             struct pg_slot *ret, struct err *err);
/*
 * Creates a slot on a replication connection and exports its snapshot: every change that commits after *ret_lsn is in
 * the stream, everything before is in the snapshot. The snapshot name can be used as long as the connection lives and
 * runs no other command. Waits for running transactions to end. ERR_EXISTS when there is one of this name. On 17+ a
 * permanent slot is a failover slot (unless the server is a standby).
 */
MUST_CHECK int pg_slot_create(struct pg_conn *repl, const char *slot, uint64_t *ret_lsn,
                              char ret_snapshot[PG_SNAPSHOT_NAME], struct err *err);
/* The same with a slot that goes with the connection: a consistent view for a resumed snapshot or an added table. */
MUST_CHECK int pg_slot_create_temporary(struct pg_conn *repl, uint64_t *ret_lsn, char ret_snapshot[PG_SNAPSHOT_NAME],
                                        struct err *err);
MUST_CHECK int pg_slot_drop(struct pg_conn *conn, const char *slot, struct err *err); /* none: no error */
/* Appends who keeps a slot from being made: transactions that wrote, the oldest first, and prepared ones, of all databases ("pid 71
 * (psql) since 10:04:12"). Nothing when we may not see them. */
MUST_CHECK int pg_open_transactions(struct pg_conn *conn, struct buf *ret, struct err *err);
/* Appends who has locked tables of this database against reading ("pid 71 (psql) on public.t since …"). */
MUST_CHECK int pg_lock_holders(struct pg_conn *conn, struct buf *ret, struct err *err);
/* The end of the flushed WAL: a stream that reached it has everything committed before the call. */
MUST_CHECK int pg_current_wal_lsn(struct pg_conn *conn, uint64_t *ret, struct err *err);

#endif
