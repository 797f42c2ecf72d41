/*
 * Has the publication been altered? The stream does not say: rows that are not published are just not there. ALTER PUBLICATION
 * writes the rows of the catalog anew, so that they have other oids (a table in it, with its filter and columns), or another xmin
 * (its operations).
 */
#include "source/pg_setup.h"

#include "base/buf.h"
#include "base/map.h"

static const char marks_begin[] =
    "WITH p AS (SELECT oid, xmin, puballtables FROM pg_publication WHERE pubname IN ($1, $2)),"
    " m(relid, pub, xmin, id) AS ("
    "SELECT r.prrelid, p.oid, p.xmin, r.oid FROM p JOIN pg_publication_rel r ON r.prpubid = p.oid UNION ALL"
    " SELECT c.oid, p.oid, p.xmin, 0 FROM p, pg_class c WHERE p.puballtables AND c.oid = ANY ($3::oid[]) UNION ALL"
    " SELECT c.oid, p.oid, p.xmin, r.oid FROM pg_class c CROSS JOIN LATERAL pg_partition_ancestors(c.oid) a"
    "  JOIN pg_publication_rel r ON r.prrelid = a.relid AND r.prrelid <> c.oid JOIN p ON r.prpubid = p.oid"
    "  WHERE c.relispartition AND c.oid = ANY ($3::oid[])";
static const char marks_of_schemas[] =
    " UNION ALL SELECT c.oid, p.oid, p.xmin, n.oid FROM p JOIN pg_publication_namespace n ON n.pnpubid = p.oid"
    "  JOIN pg_class c ON c.relnamespace = n.pnnspid WHERE c.oid = ANY ($3::oid[])";
static const char marks_end[] =
    ") SELECT relid, string_agg(pub || '.' || xmin || '.' || id, ' ' ORDER BY pub, id) FROM m"
    " WHERE relid = ANY ($3::oid[]) GROUP BY relid";

static int read_marks(struct pg_conn *conn, const char *publication, const struct pg_tables *tables, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    CLEANUP(imap_deinit) struct imap by_oid = {0};
    CLEANUP(buf_deinit) struct buf oids = {0}, sql = {0};
    char inserts[PG_NAME_MAX];

    pg_inserts_publication(publication, inserts);
    for (size_t i = 0; i < tables->n; i++) {
        tables->items[i]->mark = (struct str){0};
        imap_put(&by_oid, tables->items[i]->oid, tables->items[i]);
        buf_printf(&oids, "%c%u", i ? ',' : '{', tables->items[i]->oid);
    }
    buf_add_cstr(&oids, tables->n ? "}" : "{}");
    buf_printf(&sql, "%s%s%s", marks_begin, pg_conn_version(conn) >= 150000 ? marks_of_schemas : "", marks_end);
    const char *const params[] = {publication, inserts, oids.p};
    TRY(pg_query(conn, sql.p, 3, params, &r, err));
    for (size_t i = 0; i < pg_result_rows(r); i++) {
        struct relation *rel = imap_get(&by_oid, (uint64_t)pg_result_i64(r, i, 0));
        if (rel)
            rel->mark = arena_str(&rel->arena, pg_result_str(r, i, 1));
    }
    return 0;
}

int pg_publication_read(struct pg_conn *conn, const char *publication, const struct pg_tables *tables,
                        struct pg_publication *ret, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    const char *const params[] = {publication};

    TRY(pg_query(conn,
                 "SELECT oid, pubinsert AND pubupdate AND pubdelete AND pubtruncate FROM pg_publication"
                 " WHERE pubname = $1",
                 1, params, &r, err));
    *ret = (struct pg_publication){0};
    if (pg_result_rows(r) > 0)
        *ret = (struct pg_publication){(uint32_t)pg_result_i64(r, 0, 0), pg_result_bool(r, 0, 1)};
    return read_marks(conn, publication, tables, err);
}

int pg_publication_lost(const char *publication, const char *slot, struct err *err)
{
    err_set(err, ERR_REFUSED,
            "publication %s was dropped or renamed: changes since then are lost to replication slot %s", publication,
            slot);
    return err_hint(
        err, "SELECT pg_drop_replication_slot('%s');\n-- then " PG_COPY_ANEW " (the publication is made again)", slot);
}
