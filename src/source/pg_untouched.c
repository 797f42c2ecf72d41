/*
 * A row's xmin is the transaction that wrote it. ALTER TABLE that writes a table anew gives all rows its own, and the altered
 * column's entry in pg_attribute as well: rows that have the xmin of such an entry were not written since. (They may also have
 * been written by the transaction that made the table, which does no harm.)
 */
#include "source/pg_untouched.h"

#include "base/buf.h"
#include "base/log.h"
#include "codec/pg_value.h"
#include "source/pg_snapshot.h"

enum { ROWS_MAX = 5000, ROWS_MIN = 200, BYTES_MAX = 16 << 20, BLOCKS_MAX = 2000 };

static void add_table(const struct relation *rel, struct buf *sql)
{
    buf_add_sql_ident(sql, rel->schema);
    buf_add_char(sql, '.');
    buf_add_sql_ident(sql, rel->name);
}

static void add_where(const struct relation *rel, struct buf *sql)
{
    buf_printf(sql,
               " WHERE xmin = ANY (ARRAY(SELECT a.xmin FROM pg_attribute a WHERE a.attrelid = %u AND a.attnum > 0))",
               rel->oid);
    if (rel->row_filter.n)
        buf_printf(sql, " AND (%.*s)", STR_ARG(rel->row_filter));
}

/* Places of rows (`k`), and how many of them to read (`n`): the fewer, the larger rows are on the average. */
static void add_places(const struct relation *rel, struct buf *sql)
{
    double part = rel->blocks > BLOCKS_MAX ? (double)BLOCKS_MAX / (double)rel->blocks : 1;

    buf_add_cstr(sql, "WITH k AS MATERIALIZED (SELECT ctid AS c FROM ");
    add_table(rel, sql);
    if (part < 1)
        buf_printf(sql, " TABLESAMPLE SYSTEM (%.6f)", 100 * part);
    add_where(rel, sql);
    buf_printf(
        sql,
        "), n AS (SELECT least(%d, greatest(%d, %d * (count(*) / %.9f) / greatest(1, coalesce("
        "(SELECT sum(pg_table_size(relid)) FROM pg_partition_tree(%u) WHERE isleaf), pg_table_size(%u)))))::bigint"
        " AS n FROM k) ",
        ROWS_MAX, ROWS_MIN, BYTES_MAX, part, rel->oid, rel->oid);
}

static void add_select(const struct relation *rel, struct buf *sql)
{
    add_places(rel, sql);
    buf_add_cstr(sql, "SELECT");
    for (uint32_t i = 0; i < rel->n_columns; i++) {
        CLEANUP(buf_deinit) struct buf column = {0};
        buf_add_cstr(&column, "(s.r).");
        buf_add_sql_ident(&column, rel->columns[i].name);
        buf_add_cstr(sql, i ? ", " : " ");
        pg_add_value_text(buf_str(&column), sql);
    }
    buf_printf(sql, " FROM (SELECT sluice_row AS r,"
                    " sum(pg_column_size(sluice_row)) OVER (ROWS UNBOUNDED PRECEDING) AS bytes FROM ");
    add_table(rel, sql);
    buf_add_cstr(sql, " AS sluice_row");
    add_where(rel, sql);
    buf_printf(sql,
               " AND ctid = ANY (ARRAY(SELECT c FROM k ORDER BY random() LIMIT (SELECT n FROM n))) LIMIT %d) s"
               " WHERE s.bytes < %d",
               ROWS_MAX, 2 * BYTES_MAX);
}

static int read_row(const struct relation *rel, const struct pg_result *r, size_t i, struct batch *b, struct err *err)
{
    uint32_t row = batch_add_row(b, OP_READ, (struct position){0}, 0);
    struct err why;

    for (uint32_t c = 0; c < rel->n_columns; c++) {
        struct pg_value_codec codec = pg_value_codec_of(&rel->columns[c]);
        if (pg_result_is_null(r, i, c))
            continue;
        int rc = pg_value_read(&codec, 't', pg_result_str(r, i, c), b, &b->cols[c], row, &why);
        if (rc == 0 || rc == ERR_LIMIT) /* it does not fit, and is NULL here as in the lake */
            continue;
        if (err)
            *err = why;
        return rc;
    }
    return 0;
}

/* The server gave up this statement and not the connection: it took too long, or somebody cancelled it. */
static bool was_cancelled(const struct pg_conn *conn, const struct err *why)
{
    return pg_conn_is_alive(conn) && strcmp(why->sqlstate, "57014") == 0;
}

int pg_untouched_rows(struct pg_conn *conn, const struct relation *rel, const struct schema *schema, struct batch **ret,
                      struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    CLEANUP(batch_freep) struct batch *b = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct err why;

    add_select(rel, &sql);
    TRY(pg_exec(conn, "BEGIN READ ONLY; SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '60s'", err));
    int rc = pg_query(conn, sql.p, 0, NULL, &r, &why);
    if (rc == 0 || pg_conn_is_alive(conn))
        TRY(pg_exec(conn, "ROLLBACK", err));
    if (rc == ERR_CANCELLED || (rc == ERR_NET && !was_cancelled(conn, &why))) {
        if (err)
            *err = why;
        return rc;
    }
    if (rc) {
        log_err(LOG_WARN, "altered_table_not_looked_at", &why);
        return 0;
    }
    b = batch_new(schema, (uint32_t)pg_result_rows(r) + 1);
    for (size_t i = 0; i < pg_result_rows(r); i++)
        TRY(read_row(rel, r, i, b, err));
    *ret = TAKE_PTR(b);
    return 0;
}
