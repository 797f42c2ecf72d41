/*
 * Partitions that are gone, or were emptied: what the source says of them. Where a question needs a lock that somebody has, it
 * fails with sqlstate 55P03, as all questions to the catalog.
 */
#ifndef SLUICE_SOURCE_PG_PARTITIONS_H
#define SLUICE_SOURCE_PG_PARTITIONS_H

#include "base/buf.h"
#include "model/relation.h"
#include "source/pg_conn.h"

enum { PG_ENTRY_END = '\x1e' };

/* The entries (codec/pg_bounds.h) of all partitions of a root, on every level, by oid, each but the last with PG_ENTRY_END after it. */
MUST_CHECK int pg_partition_bounds(struct pg_conn *conn, uint32_t root, struct buf *ret, struct err *err);
/* A position in the WAL: transactions that were seen to be over before it was asked for committed below it, and no commit
 * record stands between it and the end. `leaves`: "{1,2}"; `*ret_attached`: one of them belongs to the root still, or again. */
struct pg_wal_position {
    uint64_t lsn;
    uint32_t timeline;
};
MUST_CHECK int pg_partition_position(struct pg_conn *conn, uint32_t root, const char *leaves,
                                     struct pg_wal_position *ret, bool *ret_attached, struct err *err);
/* The transactions ("3/17,4/2") that may just be putting rows into the root in new partitions; `writers`: in any way. Once they are
 * over, all that committed before has been seen to. */
MUST_CHECK int pg_partition_holders(struct pg_conn *conn, uint32_t root, bool writers, struct buf *ret,
                                    struct err *err);
/* Is there no partition that rows could be in for which `where` holds? */
MUST_CHECK int pg_partition_has_no_place(struct pg_conn *conn, const struct relation *root, const char *where,
                                         bool *ret, struct err *err);
/* Has the root such a row? True, too, when that cannot be told in a few seconds. */
MUST_CHECK int pg_partition_has_rows(struct pg_conn *conn, const struct relation *root, const char *where, bool *ret,
                                     struct err *err);

#endif
