/*
 * The initial copy: COPY (SELECT … FROM ONLY leaf WHERE ctid >= '(from,0)' AND ctid < '(to,0)') TO STDOUT (FORMAT
 * binary).
 *
 * Why ctid ranges: they cut any table, with or without a key, into pieces of equal I/O, and each piece is read once.
 *
 * Values that are not taken in binary go through concat(), which calls the type's output function as the stream does;
 * a cast to text would not do ('t' becomes 'true', inet gets a netmask, char(n) loses blanks).
 *
 * Why filenodes are compared: ALTER TABLE that rewrites and TRUNCATE are not MVCC-safe, the table then looks *empty*
 * to a snapshot from before. pg_class as the snapshot sees it and pg_relation_filenode() (which sees the present)
 * tell.
 */
#include "source/pg_snapshot.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CHUNKS = 16, /* of a large table */
    CHUNK_MIN = 8192,
    CHUNK_MAX = 65536, /* blocks: 64 and 512 MB */
};

struct pg_session {
    struct pg_conn *conn;
    uint32_t xmin;
    char snapshot[PG_SNAPSHOT_NAME];
};

int pg_session_open(const char *url, const char *snapshot, int cancel_fd, struct pg_session **ret, struct err *err)
{
    CLEANUP(pg_session_freep) struct pg_session *s = MEM_NEW(struct pg_session);
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};

    TRY(pg_conn_open(url, PG_CONN_SQL, cancel_fd, &s->conn, err));
    buf_add_cstr(&sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;");
    if (snapshot) {
        buf_add_cstr(&sql, "SET TRANSACTION SNAPSHOT ");
        buf_add_sql_literal(&sql, str_of(snapshot));
    }
    if (pg_exec(s->conn, sql.p, err) < 0)
        return err_wrap(err, "snapshot %s", snapshot ? snapshot : "");
    TRY(pg_query(s->conn, "SELECT pg_snapshot_xmin(pg_current_snapshot()), pg_export_snapshot()", 0, NULL, &r, err));
    TRY(pg_exec(s->conn, "SAVEPOINT opened", err));
    s->xmin = (uint32_t)pg_result_i64(r, 0, 0);
    snprintf(s->snapshot, sizeof s->snapshot, "%s", pg_result_str(r, 0, 1).p);
    *ret = TAKE_PTR(s);
    return 0;
}

void pg_session_free(struct pg_session *s)
{
    if (!s)
        return;
    pg_conn_free(s->conn);
    mem_free(s);
}

struct pg_conn *pg_session_conn(struct pg_session *s)
{
    return s->conn;
}

const char *pg_session_snapshot(const struct pg_session *s)
{
    return s->snapshot;
}

uint32_t pg_session_xmin(const struct pg_session *s)
{
    return s->xmin;
}

static const char leaves_sql[] =
    "SELECT f.oid, f.filenode, f.main, f.total, f.reltuples FROM (SELECT c.oid, c.reltuples,"
    " pg_relation_filenode(c.oid) AS filenode, pg_relation_size(c.oid) / b.size AS main,"
    " pg_table_size(c.oid) / b.size AS total"
    " FROM pg_class c, (SELECT current_setting('block_size')::bigint AS size) b WHERE c.relkind = 'r' AND (c.oid = $1"
    "  OR c.oid IN (SELECT relid FROM pg_partition_tree($1::oid::regclass) WHERE isleaf))) f"
    " WHERE f.filenode IS NOT NULL ORDER BY f.oid";

uint32_t pg_chunk_blocks(uint64_t table_blocks)
{
    return (uint32_t)MIN(MAX(table_blocks / CHUNKS, (uint64_t)CHUNK_MIN), (uint64_t)CHUNK_MAX);
}

int pg_snapshot_plan(struct pg_conn *conn, const struct relation *rel, uint32_t target_blocks, struct pg_chunk **ret,
                     size_t *ret_n, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    CLEANUP(mem_freep) struct pg_chunk *chunks = NULL;
    size_t n = 0, cap = 0;
    char oid[16];
    const char *const params[] = {oid};

    snprintf(oid, sizeof oid, "%u", rel->oid);
    TRY(pg_query(conn, leaves_sql, 1, params, &r, err));
    for (size_t i = 0; i < pg_result_rows(r); i++) {
        /* Both at most 2^32 blocks or so: TOAST counts towards the size of a chunk, but cannot be cut itself. */
        uint64_t blocks = (uint64_t)pg_result_i64(r, i, 2), total = (uint64_t)pg_result_i64(r, i, 3);
        uint32_t target = target_blocks ? target_blocks : pg_chunk_blocks(total);
        double tuples = strtod(pg_result_str(r, i, 4).p, NULL);
        uint64_t step = total > blocks ? (uint64_t)((double)target * (double)blocks / (double)total) : target;
        step = pg_conn_version(conn) < 140000 ? UINT32_MAX : MAX(step, 1);
        uint64_t from = 0;
        do {
            uint64_t to = from + step < blocks ? from + step : UINT32_MAX;
            double share = blocks ? (double)(MIN(to, blocks) - from) / (double)blocks : 0;
            MEM_GROW(chunks, n, cap);
            chunks[n++] = (struct pg_chunk){.leaf_oid = (uint32_t)pg_result_i64(r, i, 0),
                                            .filenode = (uint32_t)pg_result_i64(r, i, 1),
                                            .from = (uint32_t)from,
                                            .to = (uint32_t)to,
                                            .row_estimate = tuples < 0 ? -1 : tuples * share};
            from = to;
        } while (from < UINT32_MAX);
    }
    *ret = TAKE_PTR(chunks);
    *ret_n = n;
    return 0;
}

int pg_chunk_is_current(struct pg_conn *conn, const struct pg_chunk *chunk, bool *ret, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    char oid[16];
    const char *const params[] = {oid};

    snprintf(oid, sizeof oid, "%u", chunk->leaf_oid);
    TRY(pg_query(conn, "SELECT pg_relation_filenode($1::oid)", 1, params, &r, err));
    *ret = (uint32_t)pg_result_i64(r, 0, 0) == chunk->filenode;
    return 0;
}

static int leaf_gone(const struct relation *rel, const struct pg_chunk *chunk, struct err *err)
{
    if (rel->oid == chunk->leaf_oid)
        return err_set(err, ERR_NOT_FOUND, "table %.*s.%.*s is not there any more", STR_ARG(rel->schema),
                       STR_ARG(rel->name));
    return err_set(err, ERR_NOT_FOUND, "the partition of %.*s.%.*s with oid %u is not there any more",
                   STR_ARG(rel->schema), STR_ARG(rel->name), chunk->leaf_oid);
}

/* Locks the leaf against rewriting and makes sure that the snapshot sees the rows of the file that the chunk is of. */
static int lock_leaf(struct pg_session *s, const struct relation *rel, const struct pg_chunk *chunk, struct buf *name,
                     struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL, *files = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    char oid[16];
    const char *const params[] = {oid};

    snprintf(oid, sizeof oid, "%u", chunk->leaf_oid);
    /* With an empty search_path the name is qualified; it is the present one. */
    TRY(pg_query(s->conn, "SELECT $1::oid::regclass::text, pg_relation_filenode($1::oid)", 1, params, &r, err));
    if (pg_result_is_null(r, 0, 1))
        return leaf_gone(rel, chunk, err);
    buf_add_str(name, pg_result_str(r, 0, 0));
    buf_printf(&sql, "LOCK TABLE ONLY %s IN ACCESS SHARE MODE", name->p);
    if (pg_exec(s->conn, sql.p, err) < 0)
        return err_wrap(err, "table %s", name->p);
    TRY(pg_query(s->conn, "SELECT relfilenode, pg_relation_filenode(oid) FROM pg_class WHERE oid = $1::oid", 1, params,
                 &files, err));
    int64_t seen = pg_result_rows(files) ? pg_result_i64(files, 0, 0) : 0;
    int64_t now = pg_result_rows(files) ? pg_result_i64(files, 0, 1) : 0;
    if (seen == now && now == chunk->filenode)
        return 0;
    err_set(err, ERR_CONFLICT, "table %s was rewritten or truncated since the snapshot or the plan was made", name->p);
    return err_hint(err, "plan the table anew and copy it in a new snapshot");
}

static void add_where(const struct relation *rel, const struct pg_chunk *chunk, struct buf *sql)
{
    const char *word = " WHERE";

    if (chunk->from > 0) {
        buf_printf(sql, "%s ctid >= '(%u,0)'::tid", word, chunk->from);
        word = " AND";
    }
    if (chunk->to != UINT32_MAX) {
        buf_printf(sql, "%s ctid < '(%u,0)'::tid", word, chunk->to);
        word = " AND";
    }
    if (chunk->changed_since) {
        buf_printf(sql, "%s age(xmin) <= age('%u'::xid)", word, chunk->changed_since);
        word = " AND";
    }
    if (rel->row_filter.n)
        buf_printf(sql, "%s (%.*s)", word, STR_ARG(rel->row_filter));
}

void pg_add_value_text(struct str value, struct buf *out)
{
    /* a composite of NULLs is not NULL: hence DISTINCT */
    buf_printf(out, "CASE WHEN %.*s IS DISTINCT FROM NULL THEN concat(%.*s) END", STR_ARG(value), STR_ARG(value));
}

int pg_snapshot_copy_begin(struct pg_session *s, const struct relation *rel, const struct pg_chunk *chunk,
                           const bool *binary_ok, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0}, name = {0};

    TRY(lock_leaf(s, rel, chunk, &name, err));
    buf_add_cstr(&sql, "COPY (SELECT");
    for (uint32_t i = 0; i < rel->n_columns; i++) {
        CLEANUP(buf_deinit) struct buf column = {0};
        buf_add_cstr(&sql, i ? ", " : " ");
        buf_add_sql_ident(&column, rel->columns[i].name);
        if (binary_ok[i])
            buf_add_str(&sql, buf_str(&column));
        else
            pg_add_value_text(buf_str(&column), &sql);
    }
    buf_printf(&sql, " FROM ONLY %s", name.p);
    add_where(rel, chunk, &sql);
    buf_add_cstr(&sql, ") TO STDOUT (FORMAT binary)");
    if (pg_copy_begin(s->conn, sql.p, err) < 0)
        return err_wrap(err, "copy of %s", name.p);
    return 0;
}

int pg_snapshot_copy_next(struct pg_session *s, struct str *ret, struct err *err)
{
    return pg_copy_read(s->conn, -1, ret, err);
}

int pg_snapshot_copy_abandon(struct pg_session *s, struct err *err)
{
    int rc = pg_copy_skip(s->conn, err);

    if (rc && (rc == ERR_CANCELLED || !pg_conn_is_alive(s->conn)))
        return rc; /* else the server failed in the rest, too */
    return pg_exec(s->conn, "ROLLBACK TO SAVEPOINT opened", err);
}
