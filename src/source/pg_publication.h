/*
 * The publication: what of the source is in the stream.
 */
#ifndef SLUICE_SOURCE_PG_PUBLICATION_H
#define SLUICE_SOURCE_PG_PUBLICATION_H

#include "base/buf.h"
#include "source/pg_catalog.h"

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
/* Do two marks say that nothing of it was altered, but for its owner? */
bool pg_publication_same(struct str a, struct str b);
/* The slot cannot be read without its publication: ERR_REFUSED, and what is left to do. */
int pg_publication_lost(const char *publication, const char *slot, struct err *err);

#endif
