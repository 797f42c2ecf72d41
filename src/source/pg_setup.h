/*
 * Everything that must be right before a change can flow: checks with the SQL that mends them, publication, slot.
 */
#ifndef SLUICE_SOURCE_PG_SETUP_H
#define SLUICE_SOURCE_PG_SETUP_H

#include "base/buf.h"
#include "source/pg_catalog.h"

/* What is left to do when a slot, or what it had kept, is lost. */
#define PG_COPY_ANEW "copy the tables anew: remove LAKE/_sluice (or what --state names) and start again"

enum { PG_NAME_MAX = 64, PG_SNAPSHOT_NAME = 64 };

struct pg_setup {
    const char *publication, *slot;
    bool create_publication; /* ours to create and extend; false: it must be there and complete */
    bool create_slot;        /* a slot will be created (first run): there must be room; false: it must be there */
};

struct pg_problem {
    bool fatal; /* false: a warning, the sync can run */
    char *what; /* one line */
    char *mend; /* the SQL or configuration lines that mend it, one a line; "" when there is none */
};

struct pg_check {
    struct pg_problem *items; /* fatal ones first */
    size_t n, n_fatal;
};

void pg_check_deinit(struct pg_check *c);
/*
 * Looks at everything that is needed: server version, wal_level, room for a slot and a sender, rights (replication,
 * SELECT, publication), publication (tables, operations, publish_via_partition_root), identity of the tables. All
 * problems are found in one go and 0 is returned; `err` is for the check itself failing.
 */
MUST_CHECK int pg_setup_check(struct pg_conn *conn, const struct pg_setup *setup, const struct pg_tables *tables,
                              struct pg_check *ret, struct err *err);
/* 0 when nothing fatal was found, else ERR_REFUSED: the first problems in the message, their mends in the hint. */
MUST_CHECK int pg_check_result(const struct pg_check *c, struct err *err);

/*
 * Tables without a replica identity: once their updates are published, UPDATE and DELETE on them fail at the source. So
 * they go into a second publication, of inserts and truncates only, "<publication>_inserts". It is made together with the
 * first one, and never later: a stream that names a publication which is younger than its slot fails.
 */
void pg_inserts_publication(const char *publication, char ret[PG_NAME_MAX]);
/* `"a"` or `"a","a_inserts"`, as the option publication_names of the output plugin takes them. */
void pg_publication_names(const char *publication, bool inserts, struct buf *out);
MUST_CHECK int pg_publication_exists(struct pg_conn *conn, const char *publication, bool *ret, struct err *err);

/*
 * Creates the publication for these tables (insert, update, delete, truncate; publish_via_partition_root; column lists
 * where columns are left out and the server can; stored generated columns on 18), or adds those tables that an
 * existing one lacks. Never removes or alters a table in it. `*ret_changed` (may be NULL) tells whether anything was
 * done. Tells each relation whether it is published now: one without an identity is not when there is no place for it. Marks
 * them, as pg_publication_read does.
 */
MUST_CHECK int pg_publication_ensure(struct pg_conn *conn, const char *publication, const struct pg_tables *tables,
                                     bool *ret_changed, struct err *err);
/* The statement that pg_publication_ensure would run (free with mem_free), NULL when nothing lacks: for someone with
 * the rights to run it. */
MUST_CHECK int pg_publication_sql(struct pg_conn *conn, const char *publication, const struct pg_tables *tables,
                                  char **ret, struct err *err);
/* A publication as it stands now. */
struct pg_publication {
    uint32_t oid; /* 0: there is none */
    bool whole;   /* it publishes inserts, updates, deletes and truncates */
};

/*
 * Also marks each relation that it, or its second one for inserts, publishes: the mark is another one when the table was taken out
 * meanwhile, was given another row filter or column list, or the publication other operations, even if that is as it was again.
 */
MUST_CHECK int pg_publication_read(struct pg_conn *conn, const char *publication, const struct pg_tables *tables,
                                   struct pg_publication *ret, struct err *err);
/* The slot cannot be read without its publication: ERR_REFUSED, and what is left to do. */
int pg_publication_lost(const char *publication, const char *slot, struct err *err);

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
