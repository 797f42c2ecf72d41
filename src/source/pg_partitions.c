/*
 * Bounds of partitions, and whether the source has rows within them.
 *
 * A position and what is seen in a snapshot are two things: a transaction whose commit stands in the WAL is not seen yet while its
 * process waits for the disk or for a standby. But it keeps its locks until it is seen. So: a position first, then whoever holds
 * locks by which rows get in, and when these are over, a look.
 */
#include "source/pg_partitions.h"

#include <stdio.h>
#include <stdlib.h>

/* Key columns by the root's attnums, for partitions may number theirs otherwise; 0 where the values' bytes do not tell how they
 * compare: another operator class than the type's, a collation by which unequal bytes are equal, or of a range one that is not C. */
static const char bounds_sql[] =
    "WITH RECURSIVE tree(oid, link, chain) AS (SELECT $1::oid, ''::text, ''::text COLLATE \"C\" UNION ALL"
    " SELECT c.oid, i.xmin::text, (t.chain || chr(31) || k.key || chr(31) ||"
    "  CASE WHEN b.bound ~ ('[' || chr(30) || chr(31) || ']') THEN '?' ELSE b.bound END) COLLATE \"C\""
    " FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid JOIN pg_class c ON c.oid = i.inhrelid"
    " CROSS JOIN LATERAL (SELECT coalesce(pg_get_expr(c.relpartbound, c.oid), '?') AS bound) b"
    " JOIN LATERAL (SELECT p.partstrat::text || string_agg(CASE WHEN o.opcdefault AND (coll.oid IS NULL OR"
    "   (coll.collisdeterministic AND (p.partstrat = 'l' OR coll.oid IN (950, 951))"
    "    AND pg_encoding_to_char(d.encoding) <> 'SQL_ASCII')) THEN coalesce(a.attnum, 0) ELSE 0 END::text, ','"
    "   ORDER BY n.i) AS key FROM pg_partitioned_table p JOIN pg_database d ON d.datname = current_database()"
    "  CROSS JOIN LATERAL generate_series(0, p.partnatts - 1) n(i) JOIN pg_opclass o ON o.oid = p.partclass[n.i]"
    "  LEFT JOIN pg_collation coll ON coll.oid = p.partcollation[n.i]"
    "  LEFT JOIN pg_attribute own ON own.attrelid = t.oid AND own.attnum = p.partattrs[n.i] AND own.attnum > 0"
    "  LEFT JOIN pg_attribute a ON a.attrelid = $1::oid AND a.attname = own.attname AND NOT a.attisdropped"
    "  WHERE p.partrelid = t.oid GROUP BY p.partstrat) k ON true)"
    " SELECT string_agg(concat(t.oid, chr(31), t.link, chr(31),"
    "  translate(concat(n.nspname, '.', c.relname), chr(30) || chr(31), '  '), t.chain), chr(30) ORDER BY t.oid)"
    " FROM tree t JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')"
    " AND t.oid <> $1::oid";

int pg_partition_bounds(struct pg_conn *conn, uint32_t root, struct buf *ret, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    char oid[16];
    const char *const params[] = {oid};

    snprintf(oid, sizeof oid, "%u", root);
    TRY(pg_query(conn, bounds_sql, 1, params, &r, err));
    buf_add_str(ret, pg_result_str(r, 0, 0));
    return 0;
}

/* The insert position may be just after the header of a page that nobody has begun to write, where the stream never comes to. No record
 * begins in a header, or in less than its own smallest size after it, so the page's beginning is as good; but not what is flushed, for
 * that may have been applied. */
int pg_partition_position(struct pg_conn *conn, uint32_t root, const char *leaves, struct pg_wal_position *ret,
                          bool *ret_attached, struct err *err)
{
    enum { HEADER_MAX = 40 }; /* 24, or 40 */
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    char oid[16], timeline[9] = "";
    const char *const params[] = {leaves, oid};

    snprintf(oid, sizeof oid, "%u", root);
    TRY(pg_query(conn,
                 "WITH RECURSIVE up(oid) AS (SELECT unnest($1::oid[]) UNION"
                 "  SELECT i.inhparent FROM up JOIN pg_inherits i ON i.inhrelid = up.oid)"
                 " SELECT w.lsn, current_setting('wal_block_size')::bigint, pg_current_wal_flush_lsn(),"
                 " pg_walfile_name(w.lsn), EXISTS (SELECT FROM up WHERE oid = $2::oid)"
                 " FROM (SELECT pg_current_wal_insert_lsn() AS lsn) w",
                 2, params, &r, err));
    uint64_t lsn = pg_result_lsn(r, 0, 0), page = (uint64_t)pg_result_i64(r, 0, 1), flushed = pg_result_lsn(r, 0, 2);
    if (page && lsn % page <= HEADER_MAX)
        lsn -= lsn % page;
    snprintf(timeline, sizeof timeline, "%.8s", pg_result_str(r, 0, 3).p);
    *ret = (struct pg_wal_position){MAX(lsn, flushed), (uint32_t)strtoul(timeline, NULL, 16)};
    *ret_attached = pg_result_bool(r, 0, 4);
    return 0;
}

/* VACUUM and CREATE INDEX CONCURRENTLY hold SHARE UPDATE EXCLUSIVE on a leaf, for hours; ATTACH PARTITION has it on the parent. */
int pg_partition_holders(struct pg_conn *conn, uint32_t root, bool writers, struct buf *ret, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    char oid[16];
    const char *const params[] = {oid, writers ? "RowExclusiveLock" : ""};

    snprintf(oid, sizeof oid, "%u", root);
    TRY(pg_query(conn,
                 "SELECT string_agg(DISTINCT l.virtualtransaction, ',') FROM pg_locks l JOIN pg_class c"
                 " ON c.oid = l.relation WHERE l.locktype = 'relation' AND l.granted"
                 " AND l.pid IS DISTINCT FROM pg_backend_pid()"
                 " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                 " AND l.relation IN (SELECT relid FROM pg_partition_tree($1::oid))"
                 " AND (l.mode IN ($2, 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"
                 "  OR (l.mode = 'ShareUpdateExclusiveLock' AND c.relkind = 'p'))",
                 2, params, &r, err));
    buf_add_str(ret, pg_result_str(r, 0, 0));
    return 0;
}

static void add_table(const struct relation *root, const char *where, struct buf *sql)
{
    buf_add_sql_ident(sql, root->schema);
    buf_add_char(sql, '.');
    buf_add_sql_ident(sql, root->name);
    buf_printf(sql, " WHERE %s", where);
}

int pg_partition_has_no_place(struct pg_conn *conn, const struct relation *root, const char *where, bool *ret,
                              struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_add_cstr(&sql, "EXPLAIN (COSTS OFF) SELECT FROM ");
    add_table(root, where, &sql);
    TRY(pg_query(conn, sql.p, 0, NULL, &r, err));
    *ret = pg_result_rows(r) == 2 && str_is(str_trim(pg_result_str(r, 0, 0)), "Result") &&
           str_is(str_trim(pg_result_str(r, 1, 0)), "One-Time Filter: false");
    return 0;
}

/* The server gave up this statement and not the connection: it took too long, or somebody cancelled it. */
static bool was_cancelled(const struct pg_conn *conn, const struct err *why)
{
    return pg_conn_is_alive(conn) && str_is(str_of(why->sqlstate), "57014");
}

int pg_partition_has_rows(struct pg_conn *conn, const struct relation *root, const char *where, bool *ret,
                          struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct err why;

    buf_add_cstr(&sql, "SELECT EXISTS (SELECT FROM ");
    add_table(root, where, &sql);
    buf_add_char(&sql, ')');
    TRY(pg_exec(conn, "SET statement_timeout = '5s'", err));
    int rc = pg_query(conn, sql.p, 0, NULL, &r, &why);
    if (pg_conn_is_alive(conn))
        TRY(pg_exec(conn, "SET statement_timeout = 0", err));
    if (rc && !was_cancelled(conn, &why)) {
        if (err)
            *err = why;
        return rc;
    }
    *ret = rc || pg_result_bool(r, 0, 0);
    return 0;
}
