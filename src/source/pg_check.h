/*
 * Everything that must be right before a change can flow, checked, with the SQL that mends it.
 */
#ifndef SLUICE_SOURCE_PG_CHECK_H
#define SLUICE_SOURCE_PG_CHECK_H

#include "source/pg_catalog.h"

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

#endif
