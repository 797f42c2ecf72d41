/*
 * The checks before the first run: all problems at once, each with what mends it.
 *
 * facts (1 query) → server, rights; tables (1 query, a row a leaf) → grants, identity; publication (2 queries). A
 * problem is fatal where the sync could not run or would break or lose something; what only deserves a look is a
 * warning.
 */
#include "source/pg_check.h"

#include "base/buf.h"
#include "base/mem.h"
#include "source/pg_publication.h"
#include "source/pg_slot.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

struct check {
    struct pg_conn *conn;
    const struct pg_setup *setup;
    const struct pg_tables *tables;
    struct pg_server server;
    struct pg_check *ret;
    bool superuser, can_create; /* CREATE on the database */
    bool owns_all;              /* every chosen table */
    bool has_slot;              /* the one that we follow with is there, and can be read from this database */
};

void pg_check_deinit(struct pg_check *c)
{
    for (size_t i = 0; i < c->n; i++) {
        mem_free(c->items[i].what);
        mem_free(c->items[i].mend);
    }
    mem_free(c->items);
    *c = (struct pg_check){0};
}

/* Adds a problem: fatal ones before the warnings. Takes the text out of `mend`. */
static void add(struct check *c, bool fatal, struct buf *mend, const char *fmt, ...) PRINTF_LIKE(4, 5);
static void add(struct check *c, bool fatal, struct buf *mend, const char *fmt, ...)
{
    CLEANUP(buf_deinit) struct buf what = {0};
    struct pg_check *r = c->ret;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&what, fmt, ap);
    va_end(ap);
    r->items = mem_realloc_n(r->items, r->n + 1, sizeof *r->items);
    size_t at = fatal ? r->n_fatal++ : r->n;
    memmove(r->items + at + 1, r->items + at, (r->n - at) * sizeof *r->items);
    r->items[at] = (struct pg_problem){fatal, buf_take(&what), buf_take(mend)};
    r->n++;
}

static void add_ident(struct buf *b, const char *name)
{
    buf_add_sql_ident(b, str_of(name));
}

static void add_qualified(struct buf *b, struct str schema, struct str table)
{
    buf_add_sql_ident(b, schema);
    buf_add_char(b, '.');
    buf_add_sql_ident(b, table);
}

static const char facts_sql[] =
    "SELECT current_setting('wal_level'), current_setting('max_replication_slots')::int,"
    " (SELECT count(*) FROM pg_replication_slots), current_setting('max_wal_senders')::int,"
    " (SELECT count(*) FROM pg_stat_replication), r.rolsuper, r.rolreplication,"
    " coalesce((SELECT pg_has_role(g.oid, 'MEMBER') FROM pg_roles g WHERE g.rolname = 'rds_replication'), false),"
    " EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication'),"
    " has_database_privilege(current_database(), 'CREATE'), current_setting('hot_standby_feedback')::bool,"
    " current_setting('server_encoding'),"
    " (SELECT string_agg('SELECT pg_drop_replication_slot(' || quote_literal(slot_name) || ');', E'\\n')"
    "  FROM (SELECT slot_name FROM pg_replication_slots WHERE NOT active ORDER BY 1 LIMIT 3) s)"
    " FROM pg_roles r WHERE r.rolname = current_user";

static void check_wal_level(struct check *c, struct pg_result *r, bool rds)
{
    CLEANUP(buf_deinit) struct buf mend = {0};

    if (str_is(pg_result_str(r, 0, 0), "logical"))
        return;
    buf_add_cstr(&mend, rds ? "set rds.logical_replication = 1 in the instance's parameter group, then reboot it"
                            : "ALTER SYSTEM SET wal_level = logical; -- then restart PostgreSQL");
    add(c, true, &mend, "wal_level is %s; logical replication needs 'logical'", pg_result_str(r, 0, 0).p);
}

static void check_room(struct check *c, struct pg_result *r)
{
    int64_t max_slots = pg_result_i64(r, 0, 1), slots = pg_result_i64(r, 0, 2);
    int64_t max_senders = pg_result_i64(r, 0, 3), senders = pg_result_i64(r, 0, 4);

    if (c->setup->create_slot && slots >= max_slots) {
        CLEANUP(buf_deinit) struct buf mend = {0};
        if (!pg_result_is_null(r, 0, 12)) {
            buf_add_cstr(&mend, "-- slots that nobody reads now; drop one if it is not needed:\n");
            buf_add_str(&mend, pg_result_str(r, 0, 12));
            buf_add_cstr(&mend, "\n-- or make room:\n");
        }
        buf_printf(&mend, "ALTER SYSTEM SET max_replication_slots = %lld; -- then restart PostgreSQL",
                   (long long)max_slots + 10);
        add(c, true, &mend, "all %lld replication slots (max_replication_slots) are taken", (long long)max_slots);
    }
    if (senders >= max_senders) {
        CLEANUP(buf_deinit) struct buf mend = {0};
        buf_printf(&mend, "ALTER SYSTEM SET max_wal_senders = %lld; -- then restart PostgreSQL",
                   (long long)max_senders + 10);
        add(c, true, &mend, "all %lld WAL senders (max_wal_senders) are busy", (long long)max_senders);
    }
}

static void check_role(struct check *c, struct pg_result *r, bool rds)
{
    CLEANUP(buf_deinit) struct buf mend = {0};

    if (c->superuser || pg_result_bool(r, 0, 6) || pg_result_bool(r, 0, 7))
        return;
    buf_add_cstr(&mend, rds ? "GRANT rds_replication TO " : "ALTER ROLE ");
    add_ident(&mend, c->server.user);
    buf_add_cstr(&mend, rds ? ";" : " REPLICATION;");
    add(c, true, &mend, "the role %s may not replicate", c->server.user);
}

static void check_standby(struct check *c, struct pg_result *r)
{
    CLEANUP(buf_deinit) struct buf mend = {0};

    if (!c->server.standby)
        return;
    if (c->server.version < 160000) {
        buf_add_cstr(&mend, "connect to the primary, or upgrade to PostgreSQL 16");
        add(c, true, &mend, "the server is a standby; those can be read from only since PostgreSQL 16");
    } else if (!pg_result_bool(r, 0, 10)) {
        buf_add_cstr(&mend, "ALTER SYSTEM SET hot_standby_feedback = on;\nSELECT pg_reload_conf();");
        add(c, false, &mend,
            "hot_standby_feedback is off on this standby: the primary's vacuum can invalidate the slot");
    }
}

static int check_server(struct check *c, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    CLEANUP(buf_deinit) struct buf none = {0};

    TRY(pg_query(c->conn, facts_sql, 0, NULL, &r, err));
    if (pg_result_rows(r) == 0)
        return err_set(err, ERR_REFUSED, "the role %s is not in pg_roles", c->server.user);
    bool rds = pg_result_bool(r, 0, 8);
    c->superuser = pg_result_bool(r, 0, 5);
    c->can_create = pg_result_bool(r, 0, 9);
    check_wal_level(c, r, rds);
    check_room(c, r);
    check_role(c, r, rds);
    check_standby(c, r);
    if (str_is(pg_result_str(r, 0, 11), "SQL_ASCII"))
        add(c, false, &none,
            "the database's encoding is SQL_ASCII: text that is not UTF-8 will be refused value by value");
    return 0;
}

/* Tables: one row for each table, or for each leaf partition, that must be readable */

static const char tables_sql[] =
    "SELECT c.oid, n.nspname, f.relname, f.relkind, has_schema_privilege(n.oid, 'USAGE'),"
    " has_table_privilege(f.oid, 'SELECT'), row_security_active(f.oid), pg_has_role(c.relowner, 'USAGE'),"
    " f.relreplident <> c.relreplident, c.relreplident"
    " FROM pg_class c CROSS JOIN LATERAL (SELECT c.oid AS leaf WHERE c.relkind = 'r' UNION ALL"
    "  SELECT relid FROM pg_partition_tree(c.oid) WHERE c.relkind = 'p' AND isleaf) l"
    " JOIN pg_class f ON f.oid = l.leaf JOIN pg_namespace n ON n.oid = f.relnamespace"
    " WHERE c.oid = ANY ($1::oid[]) ORDER BY n.nspname, f.relname";

/* A table that may not be read stops the first start. Later it costs itself only: what follows already needs no reading, and a new
 * one is set aside. */
static void check_leaf(struct check *c, const struct pg_result *r, size_t i)
{
    struct str schema = pg_result_str(r, i, 1), table = pg_result_str(r, i, 2);
    CLEANUP(buf_deinit) struct buf mend = {0};

    if (pg_result_str(r, i, 3).p[0] != 'r') {
        add(c, false, &mend, "partition %s.%s is a foreign table: its rows are not in the stream and are not copied",
            schema.p, table.p);
        return;
    }
    if (!pg_result_bool(r, i, 4) || !pg_result_bool(r, i, 5)) {
        if (!pg_result_bool(r, i, 4)) {
            buf_add_cstr(&mend, "GRANT USAGE ON SCHEMA ");
            buf_add_sql_ident(&mend, schema);
            buf_add_cstr(&mend, " TO ");
            add_ident(&mend, c->server.user);
            buf_add_cstr(&mend, "; ");
        }
        buf_add_cstr(&mend, "GRANT SELECT ON ");
        add_qualified(&mend, schema, table);
        buf_add_cstr(&mend, " TO ");
        add_ident(&mend, c->server.user);
        buf_add_char(&mend, ';');
        add(c, c->setup->create_slot, &mend, "the role %s may not read table %s.%s", c->server.user, schema.p, table.p);
    } else if (pg_result_bool(r, i, 6)) {
        buf_add_cstr(&mend, "ALTER ROLE ");
        add_ident(&mend, c->server.user);
        buf_add_cstr(&mend, " BYPASSRLS;");
        add(c, c->setup->create_slot, &mend, "row-level security hides rows of table %s.%s from the role %s", schema.p,
            table.p, c->server.user);
    }
    if (pg_result_bool(r, i, 8)) {
        static const char *const names[] = {"DEFAULT", "FULL", "NOTHING"};
        char root = pg_result_str(r, i, 9).p[0];
        buf_reset(&mend);
        buf_add_cstr(&mend, "ALTER TABLE ");
        add_qualified(&mend, schema, table);
        buf_printf(&mend, " REPLICA IDENTITY %s;",
                   root == 'i' ? "USING INDEX … -- the partition's index"
                               : names[root == 'f'   ? 1
                                       : root == 'n' ? 2
                                                     : 0]);
        add(c, false, &mend,
            "partition %s.%s has another replica identity than its root: its updates and deletes may lack the old row",
            schema.p, table.p);
    }
}

static int check_tables(struct check *c, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    CLEANUP(buf_deinit) struct buf oids = {0};

    for (size_t i = 0; i < c->tables->n; i++)
        buf_printf(&oids, "%c%u", i ? ',' : '{', c->tables->items[i]->oid);
    buf_add_cstr(&oids, c->tables->n ? "}" : "{}");
    const char *const params[] = {oids.p};
    TRY(pg_query(c->conn, tables_sql, 1, params, &r, err));
    c->owns_all = true;
    for (size_t i = 0; i < pg_result_rows(r); i++) {
        c->owns_all = c->owns_all && pg_result_bool(r, i, 7);
        check_leaf(c, r, i);
    }
    return 0;
}

static void check_choice(struct check *c)
{
    CLEANUP(buf_deinit) struct buf none = {0};

    for (size_t i = 0; i < c->tables->n_unmatched; i++)
        add(c, true, &none, "no table matches '%s'", c->tables->unmatched[i]);
    if (c->tables->n == 0 && c->tables->n_unmatched == 0)
        add(c, true, &none, "there is no table to replicate in database %s", c->server.database);
}

/* Publication */

/* By name: is the table published already? */
static bool is_published(const struct pg_result *published, const struct relation *rel)
{
    for (size_t lo = 0, hi = pg_result_rows(published); lo < hi;) {
        size_t mid = lo + (hi - lo) / 2;
        int64_t oid = pg_result_i64(published, mid, 0);
        if (oid == rel->oid)
            return true;
        if (oid < rel->oid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

/* `inserts`: the second publication when there is one, or will be; else NULL. A publication of the user's has none, and once
 * there is a slot it is too late for it: the table is set aside then, and the others go on. */
static void check_identities(struct check *c, const struct pg_result *published, const char *inserts)
{
    char second[PG_NAME_MAX];

    pg_inserts_publication(c->setup->publication, second);
    for (size_t i = 0; i < c->tables->n; i++) {
        const struct relation *rel = c->tables->items[i];
        CLEANUP(buf_deinit) struct buf mend = {0};
        bool is_there = is_published(published, rel), homeless = !is_there && !inserts;
        if (rel->identity != IDENTITY_NONE)
            continue;
        buf_add_cstr(&mend, "ALTER TABLE ");
        add_qualified(&mend, rel->schema, rel->name);
        buf_add_cstr(&mend, " REPLICA IDENTITY FULL; -- or give it a primary key, or leave the table out (--exclude)");
        if (homeless && c->setup->create_slot) {
            buf_add_cstr(&mend, "; for its new rows only: CREATE PUBLICATION ");
            add_ident(&mend, second);
            buf_add_cstr(&mend, " WITH (publish = 'insert, truncate', publish_via_partition_root = true);");
        }
        add(c, homeless && c->setup->create_slot, &mend, "table %.*s.%.*s has no replica identity%s%s%s",
            STR_ARG(rel->schema), STR_ARG(rel->name), homeless ? ", and publication " : "",
            homeless ? c->setup->publication : "",
            homeless   ? " has no place for such a table: UPDATE and DELETE on it would fail at the source"
            : is_there ? ": while published, UPDATE and DELETE on it fail at the source"
                       : ": the lake gets its new rows only, not its updates and deletes");
    }
}

/* The statement that creates or extends the publication has to come from someone else, or from us: can we? */
static int check_missing(struct check *c, bool exists, bool ours, struct err *err)
{
    const struct pg_setup *s = c->setup;
    CLEANUP(mem_freep) char *sql = NULL;
    CLEANUP(buf_deinit) struct buf mend = {0};

    if (c->tables->n == 0)
        return 0;
    TRY(pg_publication_sql(c->conn, s->publication, c->tables, &sql, err));
    if (!exists && !s->create_slot && !c->has_slot)
        return 0; /* that is told */
    if (!exists && !s->create_slot) {
        struct err lost;
        pg_publication_lost(s->publication, s->slot, &lost);
        buf_add_cstr(&mend, lost.hint);
        add(c, true, &mend, "%s", lost.msg);
        return 0;
    }
    bool able = !c->server.standby && c->owns_all && (exists ? ours : c->can_create);
    if (!sql || (s->create_publication && (able || c->superuser)))
        return 0;
    buf_printf(&mend, "%s%s;",
               c->server.standby ? "-- on the primary:\n"
               : able            ? ""
                                 : "-- as the tables' owner or a superuser:\n",
               sql);
    if (!exists && s->create_publication && c->owns_all && !c->can_create && !c->server.standby) {
        buf_add_cstr(&mend, "\n-- or let us do it: GRANT CREATE ON DATABASE ");
        add_ident(&mend, c->server.database);
        buf_add_cstr(&mend, " TO ");
        add_ident(&mend, c->server.user);
        buf_add_char(&mend, ';');
    }
    bool fatal = !exists || s->create_slot; /* later, what it lacks is set aside */
    add(c, fatal, &mend, exists ? "publication %s lacks some of the tables%s" : "publication %s does not exist%s",
        s->publication, s->create_publication ? ", and we may not mend that ourselves" : "");
    return 0;
}

static void check_options(struct check *c, const struct pg_result *p)
{
    bool partitioned = false;

    for (size_t i = 0; i < c->tables->n; i++)
        partitioned = partitioned || c->tables->items[i]->partitioned;
    if (!pg_result_bool(p, 0, 0)) {
        CLEANUP(buf_deinit) struct buf mend = {0};
        buf_add_cstr(&mend, "ALTER PUBLICATION ");
        add_ident(&mend, c->setup->publication);
        buf_add_cstr(&mend, " SET (publish = 'insert, update, delete, truncate');");
        add(c, true, &mend, "publication %s does not publish all of insert, update, delete and truncate",
            c->setup->publication);
    }
    if (partitioned && !pg_result_bool(p, 0, 1)) {
        CLEANUP(buf_deinit) struct buf mend = {0};
        buf_add_cstr(&mend, "ALTER PUBLICATION ");
        add_ident(&mend, c->setup->publication);
        buf_add_cstr(&mend, " SET (publish_via_partition_root = true);");
        add(c, true, &mend, "publication %s does not publish partitions under their root's name",
            c->setup->publication);
    }
}

static int check_publication(struct check *c, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *p = NULL, *published = NULL;
    const char *const params[] = {c->setup->publication};
    char inserts[PG_NAME_MAX];

    TRY(pg_query(c->conn,
                 "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot,"
                 " pg_has_role(pubowner, 'USAGE') FROM pg_publication WHERE pubname = $1",
                 1, params, &p, err));
    TRY(pg_query(c->conn,
                 "SELECT c.oid FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = t.schemaname"
                 " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename"
                 " WHERE t.pubname = $1 ORDER BY c.oid",
                 1, params, &published, err));
    bool exists = pg_result_rows(p) > 0, has_inserts;
    pg_inserts_publication(c->setup->publication, inserts);
    TRY(pg_publication_exists(c->conn, inserts, &has_inserts, err));
    check_identities(c, published, has_inserts || (!exists && c->setup->create_publication) ? inserts : NULL);
    if (exists)
        check_options(c, p);
    if (exists && c->ret->n_fatal && !pg_result_bool(p, 0, 1))
        return 0; /* without publish_via_partition_root, what it lacks cannot be told */
    return check_missing(c, exists, exists && pg_result_bool(p, 0, 2), err);
}

static int check_slot(struct check *c, struct err *err)
{
    struct pg_slot slot;
    struct err why;
    CLEANUP(buf_deinit) struct buf mend = {0};

    if (c->setup->create_slot)
        return 0;
    TRY(pg_slot_read(c->conn, c->setup->slot, &slot, err));
    int rc = pg_slot_check(c->conn, c->setup->slot, &slot, &why);
    c->has_slot = rc == 0;
    if (rc == ERR_REFUSED) {
        buf_add_cstr(&mend, why.hint);
        add(c, true, &mend, "%s", why.msg);
    } else if (rc && err) {
        *err = why;
    }
    return rc == ERR_REFUSED ? 0 : rc;
}

int pg_setup_check(struct pg_conn *conn, const struct pg_setup *setup, const struct pg_tables *tables,
                   struct pg_check *ret, struct err *err)
{
    CLEANUP(pg_check_deinit) struct pg_check found = {0};
    struct check c = {.conn = conn, .setup = setup, .tables = tables, .ret = &found};

    if (pg_conn_version(conn) < 130000) {
        CLEANUP(buf_deinit) struct buf mend = {0};
        buf_add_cstr(&mend, "upgrade the server to PostgreSQL 13 or later");
        add(&c, true, &mend, "the server is PostgreSQL %d; 13 is the oldest that is supported",
            pg_conn_version(conn) / 10000);
    } else {
        TRY(pg_server_read(conn, &c.server, err));
        TRY(check_server(&c, err));
        check_choice(&c);
        TRY(check_tables(&c, err));
        TRY(check_slot(&c, err));
        TRY(check_publication(&c, err));
    }
    *ret = found;
    found = (struct pg_check){0};
    return 0;
}

int pg_check_result(const struct pg_check *c, struct err *err)
{
    CLEANUP(buf_deinit) struct buf what = {0}, mend = {0};

    if (c->n_fatal == 0)
        return 0;
    for (size_t i = 0; i < c->n_fatal; i++) {
        const struct pg_problem *p = &c->items[i];
        buf_printf(&what, "%s%s", i ? "; " : "", p->what);
        if (p->mend[0])
            buf_printf(&mend, "%s%s", mend.n ? "\n" : "", p->mend);
    }
    err_set(err, ERR_REFUSED, "%s%s", c->n_fatal > 1 ? "the source is not ready: " : "", what.p);
    return err_hint(err, "%s", mend.n ? mend.p : "");
}
