/*
 * What the source's catalog says: the server, and the tables chosen by pattern as `struct relation`.
 *
 * All tables are read by a fixed handful of queries, whatever their number.
 */
#ifndef SLUICE_SOURCE_PG_CATALOG_H
#define SLUICE_SOURCE_PG_CATALOG_H

#include "model/relation.h"
#include "source/pg_conn.h"

struct pg_server {
    int version;        /* 150020 */
    uint64_t system_id; /* of the cluster: a different one means a different database, whatever its address */
    uint32_t timeline;  /* changes at each promotion */
    bool standby;       /* in recovery */
    char database[64];  /* connected to */
    char user[64];      /* current_user */
    char text[64];      /* "15.20 (Debian …)": server_version */
    int64_t now_us;     /* its clock */
};

/*
 * Which tables and columns. Patterns have * (any run) and ? (any one byte) and match the whole name.
 *
 * Tables: "schema.table", without a dot "public.table". A table is taken when an include pattern (or there is none)
 * and no exclude pattern matches. Without include patterns: every ordinary and partitioned table outside pg_* and
 * information_schema that does not belong to an extension. A partition is taken as a table of its own only when an
 * include pattern matches it and none of its ancestors is taken or excluded.
 *
 * Columns: "schema.table.column", with one dot "public.table.column", without a dot in any table. An include pattern
 * restricts only the tables that it matches. Key columns always stay. Everything is borrowed.
 */
struct pg_filter {
    const struct str *include, *exclude;                 /* tables */
    size_t n_include, n_exclude;                         /* */
    const struct str *include_columns, *exclude_columns; /* an include pattern restricts only the tables it matches */
    size_t n_include_columns, n_exclude_columns;         /* */
    const char
        *publication; /* its column lists, row filters and generated columns are respected if it exists; or NULL */
};

bool pg_filter_table(const struct pg_filter *f, struct str schema, struct str table);
bool pg_filter_column(const struct pg_filter *f, struct str schema, struct str table, struct str column);

/* Tables, sorted by schema and name, and what the user should know about the choice. */
struct pg_tables {
    struct relation **items; /* a reference each */
    size_t n;
    char **notes; /* one line each: an unlogged table left out, a generated column left out, … */
    size_t n_notes;
    char **unmatched; /* include patterns that match no table */
    size_t n_unmatched;
    size_t n_skipped_generated; /* generated columns that the stream does not carry: not in the relations */
};

void pg_tables_deinit(struct pg_tables *t);

MUST_CHECK int pg_server_read(struct pg_conn *conn, struct pg_server *ret, struct err *err);
/*
 * Reads the tables that the filter takes. A relation has only the columns that both the filter and the stream let
 * through; the stream may still carry columns that are not in the relation (before PostgreSQL 15 a publication has no
 * column lists): ignore those by name. Key columns are never filtered out: excluding one is an error (ERR_USAGE).
 */
MUST_CHECK int pg_catalog_relations(struct pg_conn *conn, const struct pg_filter *filter, struct pg_tables *ret,
                                    struct err *err);
/* One table by oid, whatever the patterns for tables say; ERR_NOT_FOUND when it is gone. `filter` may be NULL. */
MUST_CHECK int pg_catalog_relation(struct pg_conn *conn, uint32_t oid, const struct pg_filter *filter,
                                   struct relation **ret, struct err *err);
/* Had the leaf partition rows when it was attached, of which the stream of its root says nothing? Looks at its rows until it
 * finds one. Those of the attaching transaction count, too, for nothing tells them apart. */
MUST_CHECK int pg_catalog_leaf_brought_rows(struct pg_conn *conn, uint32_t oid, bool *ret, struct err *err);
/*
 * Has the leaf, whose file is another, still the rows that it had when `xid` was the oldest transaction that ran? It has when one of
 * them is there; when one is there that an ALTER since has written anew; and when it had none, and was altered since. False,
 * too, when that cannot be seen.
 */
MUST_CHECK int pg_catalog_leaf_kept_rows(struct pg_conn *conn, uint32_t oid, uint64_t xid, bool had_rows, bool *ret,
                                         struct err *err);

#endif
