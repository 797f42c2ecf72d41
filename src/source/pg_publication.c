/* The publication: made and extended, and asked whether somebody has altered it. */
#include "source/pg_publication.h"

#include "base/map.h"
#include "base/mem.h"

#include <stdio.h>

/* ---- names ---- */

void pg_inserts_publication(const char *publication, char ret[PG_NAME_MAX])
{
    snprintf(ret, PG_NAME_MAX, "%.*s_inserts", PG_NAME_MAX - 1 - (int)strlen("_inserts"), publication);
}

void pg_publication_names(const char *publication, bool inserts, struct buf *out)
{
    char second[PG_NAME_MAX];

    pg_inserts_publication(publication, second);
    buf_add_sql_ident(out, str_of(publication));
    buf_add_cstr(out, inserts ? "," : "");
    if (inserts)
        buf_add_sql_ident(out, str_of(second));
}

/* ---- has it been altered? ---- */

/*
 * Has the publication been altered? The stream does not say: rows that are not published are just not there. ALTER PUBLICATION
 * writes the rows of the catalog anew, so that they have other oids (a table in it, with its filter and columns), or another xmin
 * (its operations). An xmin also tells of what was altered and altered back; but a new owner gives another one, too.
 *
 * A mark: "<publication>.<its xmin>.<entry>.<owner>.<operations>" of each publication of the table, with spaces in between. An older
 * version wrote the first three.
 */
static const char marks_begin[] =
    "WITH p AS (SELECT oid, xmin, puballtables, concat(pubowner, '.', pubinsert::int, pubupdate::int, pubdelete::int,"
    "  pubtruncate::int, pubviaroot::int%s) AS more FROM pg_publication WHERE pubname IN ($1, $2)),"
    " m(relid, pub, xmin, id, more) AS ("
    "SELECT r.prrelid, p.oid, p.xmin, r.oid, p.more FROM p JOIN pg_publication_rel r ON r.prpubid = p.oid UNION ALL"
    " SELECT c.oid, p.oid, p.xmin, 0, p.more FROM p, pg_class c WHERE p.puballtables AND c.oid = ANY ($3::oid[]) UNION ALL"
    " SELECT c.oid, p.oid, p.xmin, r.oid, p.more FROM pg_class c CROSS JOIN LATERAL pg_partition_ancestors(c.oid) a"
    "  JOIN pg_publication_rel r ON r.prrelid = a.relid AND r.prrelid <> c.oid JOIN p ON r.prpubid = p.oid"
    "  WHERE c.relispartition AND c.oid = ANY ($3::oid[])";
static const char marks_of_schemas[] =
    " UNION ALL SELECT c.oid, p.oid, p.xmin, n.oid, p.more FROM p JOIN pg_publication_namespace n ON n.pnpubid = p.oid"
    "  JOIN pg_class c ON c.relnamespace = n.pnnspid WHERE c.oid = ANY ($3::oid[])";
static const char marks_end[] =
    ") SELECT relid, string_agg(pub || '.' || xmin || '.' || id || '.' || more, ' ' ORDER BY pub, id) FROM m"
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
    buf_printf(&sql, marks_begin, pg_conn_version(conn) >= 180000 ? ", pubgencols" : "");
    buf_printf(&sql, "%s%s", pg_conn_version(conn) >= 150000 ? marks_of_schemas : "", marks_end);
    const char *const params[] = {publication, inserts, oids.p};
    TRY(pg_query(conn, sql.p, 3, params, &r, err));
    for (size_t i = 0; i < pg_result_rows(r); i++) {
        struct relation *rel = imap_get(&by_oid, (uint64_t)pg_result_i64(r, i, 0));
        if (rel)
            rel->mark = arena_str(&rel->arena, pg_result_str(r, i, 1));
    }
    return 0;
}

/* One publication's part of a mark. */
struct mark {
    struct str pub, xmin, id, owner, operations;
};

static struct mark mark_of(struct str *rest)
{
    struct str one = str_split(rest, ' ');
    struct mark m = {.pub = str_split(&one, '.'), .xmin = str_split(&one, '.'), .id = str_split(&one, '.')};

    m.owner = str_split(&one, '.');
    m.operations = one;
    return m;
}

/* An xmin that another owner explains is none that matters. */
static bool mark_same(const struct mark *a, const struct mark *b)
{
    bool owned = a->operations.n && str_eq(a->operations, b->operations) && !str_eq(a->owner, b->owner);

    return str_eq(a->pub, b->pub) && str_eq(a->id, b->id) && (owned || str_eq(a->xmin, b->xmin));
}

bool pg_publication_same(struct str a, struct str b)
{
    while (a.p && b.p) {
        struct mark x = mark_of(&a), y = mark_of(&b);
        if (!mark_same(&x, &y))
            return false;
    }
    return !a.p && !b.p;
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

/* ---- made and extended ---- */

static void add_table(struct buf *sql, const struct relation *rel, bool column_list)
{
    buf_add_cstr(sql, "ONLY "); /* tables that inherit are chosen on their own */
    buf_add_sql_ident(sql, rel->schema);
    buf_add_char(sql, '.');
    buf_add_sql_ident(sql, rel->name);
    for (uint32_t i = 0; column_list && i < rel->n_columns; i++) {
        buf_add_cstr(sql, i ? ", " : " (");
        buf_add_sql_ident(sql, rel->columns[i].name);
    }
    if (column_list && rel->n_columns)
        buf_add_char(sql, ')');
}

static void oid_list(struct buf *out, const struct pg_tables *tables)
{
    buf_add_char(out, '{');
    for (size_t i = 0; i < tables->n; i++)
        buf_printf(out, "%s%u", i ? "," : "", tables->items[i]->oid);
    buf_add_char(out, '}');
}

int pg_publication_exists(struct pg_conn *conn, const char *publication, bool *ret, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    const char *const params[] = {publication};

    TRY(pg_query(conn, "SELECT FROM pg_publication WHERE pubname = $1", 1, params, &r, err));
    *ret = pg_result_rows(r) > 0;
    return 0;
}

/* Tables that a publication has already. */
static int published_tables(struct pg_conn *conn, const char *publication, const struct pg_tables *tables,
                            struct imap *ret, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    CLEANUP(buf_deinit) struct buf oids = {0};

    oid_list(&oids, tables);
    const char *const params[] = {publication, oids.p};
    TRY(pg_query(conn,
                 "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                 " JOIN pg_publication_tables t ON t.schemaname = n.nspname AND t.tablename = c.relname"
                 " WHERE t.pubname = $1 AND c.oid = ANY ($2::oid[])",
                 2, params, &r, err));
    for (size_t i = 0; i < pg_result_rows(r); i++)
        imap_put(ret, (uint64_t)pg_result_i64(r, i, 0), ret);
    return 0;
}

static void begin_publication(struct buf *sql, const char *publication, bool exists)
{
    buf_add_cstr(sql, exists ? "ALTER PUBLICATION " : "CREATE PUBLICATION ");
    buf_add_sql_ident(sql, str_of(publication));
}

/* The tables of one of the two publications that it lacks. */
static size_t add_tables(struct pg_conn *conn, struct buf *sql, const struct pg_tables *tables,
                         const struct imap *there, bool identity, bool exists)
{
    size_t n = 0;

    for (size_t i = 0; i < tables->n; i++) {
        const struct relation *rel = tables->items[i];
        if (imap_get(there, rel->oid) || (rel->identity != IDENTITY_NONE) != identity)
            continue;
        buf_add_cstr(sql, n++ ? ", " : exists ? " ADD TABLE " : " FOR TABLE ");
        /* With REPLICA IDENTITY FULL a column list would make updates fail at the source. */
        add_table(sql, rel, pg_conn_version(conn) >= 150000 && !rel->full && rel->narrowed);
    }
    return n;
}

/* The statement for one of the two publications; nothing when it lacks nothing. */
static void publication_sql(struct pg_conn *conn, struct buf *out, const char *publication,
                            const struct pg_tables *tables, const struct imap *there, bool inserts, bool exists)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    begin_publication(&sql, publication, exists);
    if (add_tables(conn, &sql, tables, there, !inserts, exists) == 0 && exists)
        return;
    if (!exists)
        buf_printf(&sql, " WITH (publish = '%s', publish_via_partition_root = true%s)",
                   inserts ? "insert, truncate" : "insert, update, delete, truncate",
                   pg_conn_version(conn) >= 180000 ? ", publish_generated_columns = stored" : "");
    buf_add_cstr(out, out->n ? ";\n" : "");
    buf_add_str(out, buf_str(&sql));
}

int pg_publication_sql(struct pg_conn *conn, const char *publication, const struct pg_tables *tables, char **ret,
                       struct err *err)
{
    CLEANUP(imap_deinit) struct imap there = {0};
    CLEANUP(buf_deinit) struct buf sql = {0};
    char inserts[PG_NAME_MAX];
    bool exists, has_inserts;

    pg_inserts_publication(publication, inserts);
    TRY(pg_publication_exists(conn, publication, &exists, err));
    TRY(pg_publication_exists(conn, inserts, &has_inserts, err));
    TRY(published_tables(conn, publication, tables, &there, err));
    publication_sql(conn, &sql, publication, tables, &there, false, exists);
    TRY(published_tables(conn, inserts, tables, &there, err));
    if (has_inserts || !exists)
        publication_sql(conn, &sql, inserts, tables, &there, true, has_inserts);
    *ret = sql.n ? buf_take(&sql) : NULL;
    return 0;
}

static int note_published(struct pg_conn *conn, const char *publication, const struct pg_tables *tables,
                          struct err *err)
{
    CLEANUP(imap_deinit) struct imap there = {0};
    char inserts[PG_NAME_MAX];
    struct pg_publication p;

    pg_inserts_publication(publication, inserts);
    TRY(published_tables(conn, publication, tables, &there, err));
    TRY(published_tables(conn, inserts, tables, &there, err));
    TRY(pg_publication_read(conn, publication, tables, &p, err));
    for (size_t i = 0; i < tables->n; i++)
        tables->items[i]->published = imap_get(&there, tables->items[i]->oid) != NULL;
    return 0;
}

/* One of the tables cannot be added, so that none was: each by itself, as far as it goes. */
static int extend_by_one(struct pg_conn *conn, const char *publication, const struct pg_tables *tables, struct err *err)
{
    for (size_t i = 0; i < tables->n; i++) {
        const struct pg_tables one = {.items = &tables->items[i], .n = 1};
        CLEANUP(mem_freep) char *sql = NULL;
        TRY(pg_publication_sql(conn, publication, &one, &sql, err));
        int rc = sql ? pg_exec(conn, sql, err) : 0;
        if (rc == ERR_NET || rc == ERR_CANCELLED)
            return rc;
        tables->items[i]->withheld = rc == ERR_REFUSED; /* else it is gone */
    }
    return 0;
}

int pg_publication_ensure(struct pg_conn *conn, const char *publication, const struct pg_tables *tables,
                          bool *ret_changed, struct err *err)
{
    CLEANUP(mem_freep) char *sql = NULL;
    bool exists;

    TRY(pg_publication_exists(conn, publication, &exists, err));
    TRY(pg_publication_sql(conn, publication, tables, &sql, err));
    int rc = sql ? pg_exec(conn, sql, err) : 0;
    if (rc && exists && rc != ERR_NET && rc != ERR_CANCELLED)
        rc = extend_by_one(conn, publication, tables, err);
    if (rc)
        return err_wrap(err, "publication %s", publication);
    if (ret_changed)
        *ret_changed = sql != NULL;
    return note_published(conn, publication, tables, err);
}
