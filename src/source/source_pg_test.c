/*
 * The PostgreSQL source against a real server, started in a folder of its own and stopped at the end.
 *
 * SLUICE_PG_BIN names the folder with initdb, pg_ctl and postgres (any of 13 to 18); else the newest in
 * /usr/lib/postgresql is taken. Without any, the test says so and is skipped (exit 77).
 */
#include "source/test_server.h"

#include "codec/pg_schema.h"
#include "source/pg_untouched.h"

static void test_conn__wrong_password_is_refused_and_not_shown(void **state)
{
    struct err err = {0};
    struct pg_conn *conn = NULL;
    char url[256];

    snprintf(url, sizeof url, "postgres://postgres:wr0ng-pass@127.0.0.1:%d/shop", port);
    assert_int_equal(pg_conn_open(url, PG_CONN_SQL, -1, &conn, &err), ERR_REFUSED);
    assert_string_equal(err.sqlstate, "28P01");
    assert_null(strstr(err.msg, "wr0ng"));
    assert_null(strstr(err.msg, "LOCATION"));
    snprintf(url, sizeof url, "postgres://postgres@127.0.0.1:%d/shop?passfile=/nonexistent", port);
    assert_int_equal(pg_conn_open(url, PG_CONN_SQL, -1, &conn, &err), ERR_REFUSED);
    snprintf(url, sizeof url, "postgres://postgres:" PASSWORD "@127.0.0.1:%d/nosuch", port);
    assert_int_equal(pg_conn_open(url, PG_CONN_SQL, -1, &conn, &err), ERR_REFUSED);
    assert_string_equal(err.sqlstate, "3D000");
    assert_null(strstr(err.msg, PASSWORD));
}

static void test_conn__errors_carry_code_and_sqlstate(void **state)
{
    struct err err = {0};

    assert_int_equal(pg_exec(admin, "SELECT * FROM nosuch", &err), ERR_NOT_FOUND);
    assert_string_equal(err.sqlstate, "42P01");
    assert_int_equal(pg_exec(admin, "SELECT 1/0", &err), ERR_REFUSED);
    assert_int_equal(pg_exec(admin, "DROP TABLE nosuch", &err), ERR_NOT_FOUND);
}

static void test_conn__stop_request_cancels_the_statement(void **state)
{
    struct err err = {0};
    CLEANUP(pg_conn_freep) struct pg_conn *conn = NULL;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

    OK(pg_conn_open(admin_url, PG_CONN_SQL, fd, &conn, &err));
    timerfd_settime(fd, 0, &(struct itimerspec){.it_value.tv_nsec = 100000000}, NULL);
    assert_int_equal(pg_exec(conn, "SELECT pg_sleep(60)", &err), ERR_CANCELLED);
    for (int i = 0; i < 500 && sql_i64("SELECT count(*) FROM pg_stat_activity WHERE query ~ 'sleep.60' AND state = "
                                       "'active' AND pid <> pg_backend_pid()");
         i++)
        clock_sleep_us(10000);
    assert_int_equal(sql_i64("SELECT count(*) FROM pg_stat_activity WHERE query ~ 'sleep.60' AND state = 'active' AND "
                             "pid <> pg_backend_pid()"),
                     0);
    close(fd);
}

static void test_conn__terminated_backend_is_ERR_NET(void **state)
{
    struct err err = {0};
    CLEANUP(pg_conn_freep) struct pg_conn *conn = connect_as("postgres", PG_CONN_SQL);

    assert_int_equal(pg_exec(conn, "SELECT pg_terminate_backend(pg_backend_pid())", &err), ERR_NET);
    assert_false(pg_conn_is_alive(conn));
    assert_int_equal(pg_exec(conn, "SELECT 1", &err), ERR_NET);
}

/* Catalog */

static const struct relation *find(const struct pg_tables *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (str_is(t->items[i]->name, name))
            return t->items[i];
    return NULL;
}

static const struct relation_column *col(const struct relation *rel, const char *name)
{
    for (uint32_t i = 0; i < rel->n_columns; i++)
        if (str_is(rel->columns[i].name, name))
            return &rel->columns[i];
    return NULL;
}

static void test_catalog__types_are_resolved(void **state)
{
    struct err err = {0};
    CLEANUP(pg_tables_deinit) struct pg_tables t = {0};

    sql("CREATE DOMAIN money1 AS numeric(10,2); CREATE DOMAIN money2 AS money1 NOT NULL;"
        "CREATE TYPE mood AS ENUM ('ok'); CREATE TYPE pair AS (a int, b int);"
        "CREATE TABLE t (id int8 PRIMARY KEY, d money2, e mood, ea mood[], na numeric(6,1)[], da money1[], gone int,"
        " p pair, r int4range, v varchar(7), iv int2vector, g int GENERATED ALWAYS AS (1) STORED);"
        "ALTER TABLE t DROP COLUMN gone");
    OK(pg_catalog_relations(admin, &(struct pg_filter){0}, &t, &err));
    assert_int_equal(t.n, 1);
    const struct relation *rel = t.items[0];
    assert_null(col(rel, "gone"));
    assert_int_equal(col(rel, "id")->type_oid, 20);
    assert_int_equal(col(rel, "id")->key_seq, 1);
    assert_true(col(rel, "id")->not_null);
    assert_int_equal(col(rel, "d")->type_oid, 1700);
    assert_int_equal(col(rel, "d")->typmod, (10 << 16 | 2) + 4);
    assert_int_not_equal(col(rel, "d")->declared_oid, 1700);
    assert_int_equal(col(rel, "e")->typtype, 'e');
    assert_int_equal(col(rel, "ea")->typtype, 'e');
    assert_int_equal(col(rel, "ea")->elem_oid, col(rel, "e")->type_oid);
    assert_int_equal(col(rel, "na")->elem_oid, 1700);
    assert_int_equal(col(rel, "na")->typmod, (6 << 16 | 1) + 4);
    assert_int_equal(col(rel, "da")->elem_oid, 1700);
    assert_int_equal(col(rel, "da")->typmod, (10 << 16 | 2) + 4);
    assert_int_equal(col(rel, "p")->typtype, 'c');
    assert_int_equal(col(rel, "r")->typtype, 'r');
    assert_int_equal(col(rel, "v")->typmod, 7 + 4);
    assert_int_equal(col(rel, "iv")->elem_oid, 0);
    if (pg_conn_version(admin) >= 180000)
        assert_true(col(rel, "g")->generated);
    else
        assert_int_equal(t.n_skipped_generated, 1);
}

static void test_catalog__identity_follows_relreplident(void **state)
{
    struct err err = {0};
    CLEANUP(pg_tables_deinit) struct pg_tables t = {0};

    sql("CREATE TABLE pk (b int, a int, PRIMARY KEY (a, b)); CREATE TABLE none (a int);"
        "CREATE TABLE nothing (a int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING;"
        "CREATE TABLE fullpk (a int PRIMARY KEY, b int); ALTER TABLE fullpk REPLICA IDENTITY FULL;"
        "CREATE TABLE fullrow (a int); ALTER TABLE fullrow REPLICA IDENTITY FULL;"
        "CREATE TABLE ix (a int PRIMARY KEY, b int NOT NULL UNIQUE); ALTER TABLE ix REPLICA IDENTITY USING INDEX ix_b_key;"
        "CREATE TABLE lazy (a int PRIMARY KEY DEFERRABLE)");
    OK(pg_catalog_relations(admin, &(struct pg_filter){0}, &t, &err));
    assert_int_equal(find(&t, "pk")->identity, IDENTITY_KEY);
    assert_int_equal(col(find(&t, "pk"), "a")->key_seq, 1);
    assert_int_equal(col(find(&t, "pk"), "b")->key_seq, 2);
    assert_int_equal(find(&t, "none")->identity, IDENTITY_NONE);
    assert_int_equal(find(&t, "nothing")->identity, IDENTITY_NONE);
    assert_int_equal(find(&t, "fullpk")->identity, IDENTITY_KEY);
    assert_true(find(&t, "fullpk")->full);
    assert_int_equal(find(&t, "fullrow")->identity, IDENTITY_ROW);
    assert_int_equal(col(find(&t, "ix"), "b")->key_seq, 1);
    assert_int_equal(col(find(&t, "ix"), "a")->key_seq, 0);
    assert_int_equal(find(&t, "lazy")->identity, IDENTITY_NONE);
}

static void test_catalog__partitions_go_with_their_root(void **state)
{
    struct err err = {0};
    CLEANUP(pg_tables_deinit) struct pg_tables all = {0}, one = {0}, without = {0};
    struct str leaf[] = {STR("p1"), STR("nosuch")}, root[] = {STR("p")}, any[] = {STR("*")};

    sql("CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000) PARTITION BY RANGE (id);"
        "CREATE TABLE p1a PARTITION OF p1 FOR VALUES FROM (0) TO (1000);"
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (1000) TO (100000);"
        "INSERT INTO p SELECT generate_series(0, 9999); ANALYZE p;"
        "CREATE UNLOGGED TABLE u (a int); CREATE TABLE parent (a int PRIMARY KEY);"
        "CREATE TABLE child (b int, PRIMARY KEY (a)) INHERITS (parent)");
    OK(pg_catalog_relations(admin, &(struct pg_filter){0}, &all, &err));
    assert_int_equal(all.n, 3);
    assert_true(find(&all, "p")->partitioned);
    assert_true(find(&all, "p")->blocks > 40);
    assert_true(find(&all, "p")->row_estimate == 10000);
    assert_non_null(find(&all, "parent"));
    assert_non_null(find(&all, "child"));
    assert_int_equal(all.n_notes, 1);
    assert_non_null(strstr(all.notes[0], "unlogged"));
    OK(pg_catalog_relations(admin, &(struct pg_filter){.include = leaf, .n_include = 2}, &one, &err));
    assert_int_equal(one.n, 1);
    assert_non_null(find(&one, "p1"));
    assert_int_equal(one.n_unmatched, 1);
    assert_string_equal(one.unmatched[0], "nosuch");
    OK(pg_catalog_relations(admin, &(struct pg_filter){.include = any, .n_include = 1, .exclude = root, .n_exclude = 1},
                            &without, &err));
    assert_int_equal(without.n, 2);
}

static void test_catalog__columns_can_be_left_out_but_not_the_key(void **state)
{
    struct err err = {0};
    CLEANUP(pg_tables_deinit) struct pg_tables t = {0}, bad = {0};
    CLEANUP(relation_unrefp) struct relation *rel = NULL;
    CLEANUP(mem_freep) char *name = NULL;
    struct str secret[] = {STR("secret")}, key[] = {STR("t.id")};

    sql("CREATE TABLE t (id int PRIMARY KEY, a int, secret text); ALTER TABLE t RENAME a TO b");
    OK(pg_catalog_relations(admin, &(struct pg_filter){.exclude_columns = secret, .n_exclude_columns = 1}, &t, &err));
    assert_int_equal(t.items[0]->n_columns, 2);
    assert_int_equal(
        pg_catalog_relations(admin, &(struct pg_filter){.exclude_columns = key, .n_exclude_columns = 1}, &bad, &err),
        ERR_USAGE);
    OK(pg_catalog_relation(admin, t.items[0]->oid, NULL, &rel, &err));
    assert_int_equal(rel->n_columns, 3);
    assert_int_equal(pg_catalog_relation(admin, 1, NULL, &rel, &err), ERR_NOT_FOUND);
}

/* Set-up */

static void check_as(struct pg_conn *conn, const struct pg_setup *s, const struct pg_filter *f, struct pg_check *ret)
{
    struct err err = {0};
    CLEANUP(pg_tables_deinit) struct pg_tables t = {0};

    OK(pg_catalog_relations(conn, f, &t, &err));
    OK(pg_setup_check(conn, s, &t, ret, &err));
}

/* Runs what mends each fatal problem, as a superuser; returns how many there were. */
static size_t mend_as_told(struct pg_conn *conn, const struct pg_setup *s)
{
    CLEANUP(pg_check_deinit) struct pg_check c = {0};
    struct err err = {0};

    check_as(conn, s, &(struct pg_filter){0}, &c);
    for (size_t i = 0; i < c.n; i++)
        print_message("  %s: %s\n    %s\n", c.items[i].fatal ? "problem" : "warning", c.items[i].what, c.items[i].mend);
    assert_int_equal(pg_check_result(&c, &err), c.n_fatal ? ERR_REFUSED : 0);
    for (size_t i = 0; i < c.n; i++)
        sql(c.items[i].mend);
    return c.n_fatal;
}

static void test_check__what_it_says_mends_everything(void **state)
{
    CLEANUP(pg_conn_freep) struct pg_conn *conn = NULL;
    struct pg_setup s = {.publication = "sluice", .slot = "sluice", .create_publication = true, .create_slot = true};

    sql("DROP ROLE IF EXISTS \"we ird\"; CREATE ROLE \"we ird\" LOGIN PASSWORD '" PASSWORD "';"
        "DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app; CREATE TABLE app.\"T 1\" (id int PRIMARY KEY);"
        "CREATE TABLE rls (id int PRIMARY KEY); ALTER TABLE rls ENABLE ROW LEVEL SECURITY;"
        "CREATE TABLE nokey (id int);"
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000); ALTER TABLE p1 REPLICA IDENTITY FULL;"
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (1000) TO (2000)");
    conn = connect_as("we%20ird", PG_CONN_SQL);
    /* REPLICATION; SELECT on T 1, nokey, p1, p2, rls; the publications */
    assert_int_equal(mend_as_told(conn, &s), 7);
    /* Row security comes to light once rls may be read; nokey has got an identity, and goes to the other publication. */
    assert_int_equal(mend_as_told(conn, &s), 2);
    assert_int_equal(mend_as_told(conn, &s), 0);
    sql("ALTER PUBLICATION sluice SET (publish = 'insert', publish_via_partition_root = false);"
        "ALTER PUBLICATION sluice DROP TABLE rls");
    s.create_publication = false;
    assert_int_equal(mend_as_told(conn, &s), 2);
    assert_int_equal(mend_as_told(conn, &s), 1); /* what it lacks */
    assert_int_equal(mend_as_told(conn, &s), 0);
    pg_conn_free(TAKE_PTR(conn));
    sql("DROP SCHEMA app CASCADE; DROP OWNED BY \"we ird\"; DROP ROLE \"we ird\"");
}

static void test_check__wal_level_and_full_slots(void **state)
{
    struct err err = {0};
    CLEANUP(pg_check_deinit) struct pg_check c = {0}, full = {0};
    struct pg_setup s = {.publication = "sluice", .slot = "sluice", .create_publication = true, .create_slot = true};
    struct str typo[] = {STR("ordesr")};

    sql("SELECT pg_create_logical_replication_slot('s' || i, 'pgoutput') FROM generate_series(1, 4) i");
    check_as(admin, &s, &(struct pg_filter){0}, &full);
    assert_int_equal(full.n_fatal, 2);
    assert_non_null(strstr(full.items[0].what, "slots"));
    assert_non_null(strstr(full.items[0].mend, "pg_drop_replication_slot('s1')"));
    assert_non_null(strstr(full.items[1].what, "no table"));
    sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
    pg_conn_free(TAKE_PTR(admin));
    server_stop();
    assert_int_equal(server_start("-c wal_level=replica"), 0);
    OK(pg_conn_open(admin_url, PG_CONN_SQL, -1, &admin, &err));
    check_as(admin, &s, &(struct pg_filter){.include = typo, .n_include = 1}, &c);
    pg_conn_free(TAKE_PTR(admin));
    server_stop();
    assert_int_equal(server_start("-c wal_level=logical"), 0);
    OK(pg_conn_open(admin_url, PG_CONN_SQL, -1, &admin, &err));
    assert_int_equal(c.n_fatal, 2);
    assert_int_equal(pg_check_result(&c, &err), ERR_REFUSED);
    assert_non_null(strstr(err.hint, "ALTER SYSTEM SET wal_level = logical"));
    assert_non_null(strstr(err.msg, "ordesr"));
}

static void test_publication__of_tables_that_change_meanwhile_and_without_identity(void **state)
{
    struct err err = {0};
    CLEANUP(pg_tables_deinit) struct pg_tables t = {0};
    CLEANUP(buf_deinit) struct buf names = {0};

    sql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE nokey (id int)");
    OK(pg_catalog_relations(admin, &(struct pg_filter){0}, &t, &err));
    sql("ALTER TABLE a ADD v int"); /* no choice of the user's: it must not end in a column list */
    OK(pg_publication_ensure(admin, "sluice", &t, NULL, &err));
    assert_true(find(&t, "a")->published && find(&t, "nokey")->published);
    if (pg_conn_version(admin) >= 150000)
        assert_int_equal(sql_i64("SELECT count(*) FROM pg_publication_rel WHERE prattrs IS NOT NULL"), 0);
    sql("INSERT INTO nokey VALUES (1); UPDATE nokey SET id = 2; DELETE FROM nokey"); /* goes on as ever */
    pg_publication_names("sluice", true, &names);
    assert_string_equal(names.p, "\"sluice\",\"sluice_inserts\"");
    sql("DROP PUBLICATION IF EXISTS sluice, sluice_inserts");
    assert_int_equal(sql_i64("SELECT count(*) FROM pg_publication"), 0);
    /* A publication that is not ours to complete has no place for it. */
    sql("CREATE PUBLICATION sluice FOR TABLE a");
    OK(pg_publication_ensure(admin, "sluice", &t, NULL, &err));
    assert_true(find(&t, "a")->published && !find(&t, "nokey")->published);
    sql("DROP PUBLICATION IF EXISTS sluice, sluice_inserts");
}

static void test_publication__is_made_extended_and_respected(void **state)
{
    struct err err = {0};
    CLEANUP(pg_tables_deinit) struct pg_tables one = {0}, two = {0}, seen = {0};
    struct str secret[] = {STR("secret")};
    struct pg_filter f = {.exclude_columns = secret, .n_exclude_columns = 1};
    bool changed;

    sql("CREATE TABLE a (id int PRIMARY KEY, secret text, v int); CREATE TABLE c () INHERITS (a)");
    sql("ALTER TABLE c ADD PRIMARY KEY (id)");
    struct str only_a[] = {STR("a")};
    f.include = only_a, f.n_include = 1;
    OK(pg_catalog_relations(admin, &f, &one, &err));
    OK(pg_publication_ensure(admin, "sluice", &one, &changed, &err));
    assert_true(changed);
    assert_int_equal(sql_i64("SELECT count(*) FROM pg_publication_tables WHERE pubname = 'sluice'"), 1);
    OK(pg_publication_ensure(admin, "sluice", &one, &changed, &err));
    assert_false(changed);
    f.n_include = 0;
    OK(pg_catalog_relations(admin, &f, &two, &err));
    OK(pg_publication_ensure(admin, "sluice", &two, &changed, &err));
    assert_true(changed);
    assert_int_equal(sql_i64("SELECT count(*) FROM pg_publication_tables WHERE pubname = 'sluice'"), 2);
    if (pg_conn_version(admin) >= 150000) {
        sql("ALTER PUBLICATION sluice SET TABLE ONLY a (id, v) WHERE (v > 5)");
        OK(pg_catalog_relations(admin, &(struct pg_filter){.publication = "sluice"}, &seen, &err));
        assert_int_equal(find(&seen, "a")->n_columns, 2);
        assert_string_equal(find(&seen, "a")->row_filter.p, "(v > 5)");
        assert_int_equal(find(&seen, "c")->n_columns, 3);
    }
    sql("DROP PUBLICATION IF EXISTS sluice, sluice_inserts");
    sql("DROP PUBLICATION IF EXISTS sluice, sluice_inserts");
}

static void test_slot__adopting_refuses_every_loss(void **state)
{
    struct err err = {0};
    struct pg_slot slot;
    uint64_t lsn = 0, now = 0;
    char snapshot[PG_SNAPSHOT_NAME];
    CLEANUP(pg_conn_freep) struct pg_conn *repl = connect_as("postgres", PG_CONN_REPLICATION);
    struct pg_server server;

    OK(pg_server_read(admin, &server, &err));
    assert_int_equal(pg_slot_adopt(admin, "sluice", 1, 0, &slot, &err), ERR_REFUSED);
    assert_non_null(strstr(err.msg, "not there"));
    assert_int_equal(pg_slot_create(repl, "Not OK", &lsn, snapshot, &err), ERR_USAGE);
    OK(pg_slot_create(repl, "sluice", &lsn, snapshot, &err));
    assert_true(lsn > 0 && snapshot[0]);
    assert_int_equal(pg_slot_create(repl, "sluice", &lsn, snapshot, &err), ERR_EXISTS);
    OK(pg_slot_adopt(repl, "sluice", lsn, server.system_id, &slot, &err));
    assert_int_equal(slot.confirmed_lsn, lsn);
    assert_int_equal(slot.failover, pg_conn_version(admin) >= 170000);
    assert_int_equal(pg_slot_adopt(admin, "sluice", lsn, server.system_id + 1, &slot, &err), ERR_REFUSED);
    OK(pg_current_wal_lsn(admin, &now, &err));
    assert_int_equal(pg_slot_adopt(admin, "sluice", now + (1 << 30), 0, &slot, &err), ERR_REFUSED);
    assert_non_null(strstr(err.msg, "WAL ends at"));
    sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    sql("SELECT pg_replication_slot_advance('sluice', pg_current_wal_flush_lsn())");
    assert_int_equal(pg_slot_adopt(admin, "sluice", lsn, 0, &slot, &err), ERR_REFUSED);
    assert_non_null(strstr(err.msg, "moved"));
    OK(pg_slot_drop(admin, "sluice", &err));
    OK(pg_slot_drop(admin, "sluice", &err));
    sql("SELECT pg_create_physical_replication_slot('sluice')");
    assert_int_equal(pg_slot_adopt(admin, "sluice", lsn, 0, &slot, &err), ERR_REFUSED);
    assert_non_null(strstr(err.msg, "plugin"));
}

/* Stream */

static struct pg_stream *open_stream(uint64_t lsn, bool binary)
{
    struct err err = {0};
    struct pg_stream *s = NULL;

    OK(pg_stream_open(
        admin_url,
        &(struct pg_stream_options){.slot = "sluice", .publication = "sluice", .start_lsn = lsn, .binary = binary}, -1,
        &s, &err));
    return s;
}

static uint64_t make_slot(void)
{
    struct err err = {0};
    CLEANUP(pg_conn_freep) struct pg_conn *repl = connect_as("postgres", PG_CONN_REPLICATION);
    CLEANUP(pg_tables_deinit) struct pg_tables t = {0};
    char snapshot[PG_SNAPSHOT_NAME];
    uint64_t lsn = 0;

    OK(pg_catalog_relations(admin, &(struct pg_filter){0}, &t, &err));
    OK(pg_publication_ensure(admin, "sluice", &t, NULL, &err));
    OK(pg_slot_create(repl, "sluice", &lsn, snapshot, &err));
    return lsn;
}

/* Collects the kinds of pgoutput messages until one of `until` has come. */
static void receive(struct pg_stream *s, char until, struct buf *kinds, struct pg_frame *last)
{
    struct err err = {0};
    int64_t deadline = clock_mono_us() + 20000000;

    buf_reset(kinds);
    while (clock_mono_us() < deadline) {
        int rc = pg_stream_next(s, 1000000, last, &err);
        OK(rc);
        if (rc == 1 || last->kind != 'w')
            continue;
        buf_add_char(kinds, last->payload.p[0]);
        if (last->payload.p[0] == until)
            return;
    }
    fail_msg("no '%c' came, only %s", until, kinds->p);
}

static void test_stream__changes_come_and_confirming_moves_the_slot(void **state)
{
    struct err err = {0};
    CLEANUP(buf_deinit) struct buf kinds = {0};
    struct pg_frame f;
    struct pg_slot slot;
    int version = pg_conn_version(admin);

    sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
    uint64_t lsn = make_slot();
    CLEANUP(pg_stream_freep) struct pg_stream *s = open_stream(lsn, true);
    assert_int_equal(pg_stream_protocol(s), version >= 160000 ? 4 : version / 10000 - 12);
    sql("BEGIN; INSERT INTO t VALUES (1, 'a'), (2, 'b'); UPDATE t SET v = 'c' WHERE id = 1; DELETE FROM t WHERE id = 2; COMMIT");
    receive(s, 'C', &kinds, &f);
    assert_string_equal(kinds.p, "BRIIUDC");
    assert_true(llabs(f.server_us - clock_now_us()) < 60000000);
    assert_true(f.wal_end > lsn);
    assert_int_equal(pg_slot_adopt(admin, "sluice", lsn, 0, &slot, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.msg, "server process"));
    if (version >= 140000) {
        assert_int_equal(pg_heartbeat(admin, &err), 0);
        receive(s, 'M', &kinds, &f);
    }
    uint64_t end = f.wal_end;
    OK(pg_stream_confirm(s, end, end, end, true, &err));
    do { /* a keepalive from before may be under way */
        OK(pg_stream_next(s, 5000000, &f, &err));
        OK(pg_slot_read(admin, "sluice", &slot, &err));
    } while (f.kind != 'k' || slot.confirmed_lsn < end);
    assert_true(slot.active && slot.active_pid > 0);
    assert_int_equal(slot.confirmed_lsn, end);
    assert_string_equal(slot.wal_status, "reserved");
    assert_true(slot.retained_bytes >= 0);
}

static void test_stream__stays_alive_while_idle_and_survives_nothing_to_read(void **state)
{
    struct err err = {0};
    struct pg_frame f;
    int64_t start = clock_mono_us();

    sql("CREATE TABLE t (id int PRIMARY KEY)");
    CLEANUP(pg_stream_freep) struct pg_stream *s = open_stream(make_slot(), false);
    while (pg_stream_next(s, 0, &f, &err) == 0) {
    }
    start = clock_mono_us();
    assert_int_equal(pg_stream_next(s, 0, &f, &err), 1);
    assert_true(clock_mono_us() - start < 500000);
    while (clock_mono_us() - start < 8000000) /* wal_sender_timeout is 6 s here */
        OK(pg_stream_next(s, 1000000, &f, &err));
    assert_int_equal(sql_i64("SELECT count(*) FROM pg_stat_replication"), 1);
}

static void test_stream__in_progress_transactions_are_streamed_from_14_on(void **state)
{
    CLEANUP(buf_deinit) struct buf kinds = {0};
    struct pg_frame f;

    if (pg_conn_version(admin) < 140000)
        return;
    sql("ALTER SYSTEM SET logical_decoding_work_mem = '64kB'");
    sql("SELECT pg_reload_conf()");
    sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
    CLEANUP(pg_stream_freep) struct pg_stream *s = open_stream(make_slot(), false);
    sql("BEGIN");
    sql("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i");
    receive(s, 'E', &kinds, &f); /* before the commit */
    assert_int_equal(kinds.p[0], 'S');
    sql("COMMIT");
    receive(s, 'c', &kinds, &f);
    sql("ALTER SYSTEM RESET logical_decoding_work_mem");
    sql("SELECT pg_reload_conf()");
}

static void test_stream__a_slot_moved_or_gone_stops_it_loudly(void **state)
{
    struct err err = {0};
    struct pg_stream *s = NULL;
    struct pg_stream_options o = {.slot = "sluice", .publication = "sluice"};

    sql("CREATE TABLE t (id int PRIMARY KEY)");
    o.start_lsn = make_slot();
    sql("INSERT INTO t VALUES (1)");
    sql("SELECT pg_replication_slot_advance('sluice', pg_current_wal_flush_lsn())");
    assert_int_equal(pg_stream_open(admin_url, &o, -1, &s, &err), ERR_REFUSED);
    sql("SELECT pg_drop_replication_slot('sluice')");
    assert_int_equal(pg_stream_open(admin_url, &o, -1, &s, &err), ERR_REFUSED);
    assert_null(strstr(err.msg, PASSWORD));
}

static void test_stream__terminated_sender_is_ERR_NET_and_it_goes_on_where_it_was(void **state)
{
    struct err err = {0};
    CLEANUP(buf_deinit) struct buf kinds = {0};
    struct pg_frame f;
    int rc;

    sql("CREATE TABLE t (id int PRIMARY KEY)");
    uint64_t lsn = make_slot();
    CLEANUP(pg_stream_freep) struct pg_stream *s = open_stream(lsn, false);
    sql("INSERT INTO t VALUES (1)");
    receive(s, 'C', &kinds, &f);
    sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active");
    while ((rc = pg_stream_next(s, 1000000, &f, &err)) >= 0) {
    }
    assert_int_equal(rc, ERR_NET);
    pg_stream_free(TAKE_PTR(s));
    for (int i = 0; i < 500 && sql_i64("SELECT count(*) FROM pg_replication_slots WHERE active"); i++)
        clock_sleep_us(10000);
    s = open_stream(lsn, false);
    receive(s, 'C', &kinds, &f); /* not confirmed: it comes again */
    assert_string_equal(kinds.p, "BRIC");
}

/* Snapshot */

/* Reads a whole copy and counts its rows; the last row's first field goes to `*ret_text`. */
static int64_t copy_rows(struct pg_session *s, const struct relation *rel, const struct pg_chunk *chunk,
                         const bool *binary_ok, struct buf *field)
{
    struct err err = {0};
    CLEANUP(buf_deinit) struct buf all = {0};
    struct str bytes;
    int64_t rows = 0;
    int rc;

    OK(pg_snapshot_copy_begin(s, rel, chunk, binary_ok, &err));
    while ((rc = pg_snapshot_copy_next(s, &bytes, &err)) == 0)
        buf_add_str(&all, bytes);
    OK(rc);
    struct reader r = reader_of(all.p, all.n);
    assert_memory_equal(reader_bytes(&r, 11), "PGCOPY\n\377\r\n", 11);
    reader_be64(&r);
    for (;;) {
        int16_t n = (int16_t)reader_be16(&r);
        if (n < 0)
            break;
        assert_int_equal(n, rel->n_columns);
        for (int16_t i = 0; i < n; i++) {
            int32_t len = (int32_t)reader_be32(&r);
            const uint8_t *p = len < 0 ? NULL : reader_bytes(&r, (size_t)len);
            if (field) {
                buf_add_str(field, p ? str_make(p, (size_t)len) : STR("\\N"));
                buf_add_char(field, '|');
            }
        }
        rows++;
    }
    assert_false(r.failed);
    assert_int_equal(reader_left(&r), 0);
    return rows;
}

static void test_pg_chunk_blocks__grow_with_the_table(void **state)
{
    (void)state;
    assert_int_equal(pg_chunk_blocks(0), 8192);
    assert_int_equal(pg_chunk_blocks(16 * 8192), 8192);
    assert_int_equal(pg_chunk_blocks(16 * 20000), 20000);
    assert_int_equal(pg_chunk_blocks(1ull << 32), 65536);
}

static void test_snapshot__chunks_in_parallel_sessions_make_one_view(void **state)
{
    struct err err = {0};
    CLEANUP(pg_conn_freep) struct pg_conn *repl = connect_as("postgres", PG_CONN_REPLICATION);
    CLEANUP(pg_session_freep) struct pg_session *one = NULL, *two = NULL;
    CLEANUP(relation_unrefp) struct relation *rel = NULL;
    CLEANUP(mem_freep) struct pg_chunk *chunks = NULL;
    char snapshot[PG_SNAPSHOT_NAME];
    bool ok[2] = {true, true};
    size_t n = 0;
    uint64_t lsn;
    int64_t rows = 0;

    sql("CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10000);"
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10000) TO (1000000);"
        "CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (1000000) TO (2000000);"
        "INSERT INTO p SELECT i, repeat('x', 50) FROM generate_series(1, 30000) i; ANALYZE p;");
    OK(pg_catalog_relation(admin, (uint32_t)sql_i64("SELECT 'public.p'::regclass::oid"), NULL, &rel, &err));
    OK(pg_slot_create_temporary(repl, &lsn, snapshot, &err));
    OK(pg_session_open(admin_url, snapshot, -1, &one, &err));
    OK(pg_session_open(admin_url, snapshot, -1, &two, &err));
    OK(pg_snapshot_plan(pg_session_conn(one), rel, 50, &chunks, &n, &err));
    assert_true(pg_conn_version(admin) < 140000 ? n == 3 : n > 6);
    sql("INSERT INTO p SELECT i, 'late' FROM generate_series(30001, 60000) i; DELETE FROM p WHERE id <= 1000");
    for (size_t i = 0; i < n; i++)
        rows += copy_rows(i % 2 ? one : two, rel, &chunks[i], ok, NULL);
    assert_int_equal(rows, 30000);
    pg_session_free(TAKE_PTR(two));
    pg_conn_free(TAKE_PTR(repl));
    assert_true(pg_session_open(admin_url, snapshot, -1, &two, &err) < 0); /* its owner is gone */
    assert_string_equal(err.sqlstate, pg_conn_version(admin) >= 170000 ? "42704" : "22023");
}

static void test_snapshot__resumed_in_a_later_one_finds_moved_rows(void **state)
{
    struct err err = {0};
    CLEANUP(pg_session_freep) struct pg_session *s = NULL;
    CLEANUP(relation_unrefp) struct relation *rel = NULL;
    CLEANUP(mem_freep) struct pg_chunk *chunks = NULL;
    bool ok[2] = {true, true}, current = false;
    size_t n = 0;

    sql("CREATE TABLE t (id int PRIMARY KEY, v text);"
        "INSERT INTO t SELECT i, repeat('x', 50) FROM generate_series(1, 5000) i; DELETE FROM t WHERE id <= 800");
    sql("VACUUM t");
    OK(pg_catalog_relation(admin, (uint32_t)sql_i64("SELECT 'public.t'::regclass::oid"), NULL, &rel, &err));
    OK(pg_session_open(admin_url, NULL, -1, &s, &err));
    OK(pg_snapshot_plan(pg_session_conn(s), rel, 10, &chunks, &n, &err));
    assert_true(copy_rows(s, rel, &chunks[0], ok, NULL) > 0);
    uint32_t xmin = pg_session_xmin(s);
    pg_session_free(TAKE_PTR(s));
    sql("UPDATE t SET v = repeat('y', 50) WHERE id BETWEEN 2000 AND 2400"); /* into the room at the front */
    int64_t moved =
        sql_i64("SELECT count(*) FROM t WHERE (ctid::text::point)[0]::int < 10 AND id BETWEEN 2000 AND 2400");
    assert_true(pg_conn_version(admin) < 140000 || moved > 300);
    OK(pg_session_open(admin_url, NULL, -1, &s, &err));
    OK(pg_chunk_is_current(pg_session_conn(s), &chunks[0], &current, &err));
    assert_true(current);
    chunks[0].changed_since = xmin;
    assert_int_equal(copy_rows(s, rel, &chunks[0], ok, NULL), n == 1 ? 401 : moved); /* 13: one chunk */
    chunks[0].changed_since = 0;
    pg_session_free(TAKE_PTR(s));
    OK(pg_session_open(admin_url, NULL, -1, &s, &err));
    sql("ALTER TABLE t ALTER id TYPE bigint"); /* rewrites: the snapshot would see nothing */
    assert_int_equal(pg_snapshot_copy_begin(s, rel, &chunks[0], ok, &err), ERR_CONFLICT);
    OK(pg_chunk_is_current(admin, &chunks[0], &current, &err));
    assert_false(current);
    pg_session_free(TAKE_PTR(s)); /* it holds a lock */
    sql("DROP TABLE t");
    OK(pg_session_open(admin_url, NULL, -1, &s, &err));
    assert_int_equal(pg_snapshot_copy_begin(s, rel, &chunks[0], ok, &err), ERR_NOT_FOUND);
}

static void test_snapshot__a_copy_that_fails_is_abandoned_and_the_next_one_sees_the_same(void **state)
{
    struct err err = {0};
    CLEANUP(pg_session_freep) struct pg_session *s = NULL;
    CLEANUP(relation_unrefp) struct relation *rel = NULL, *other = NULL;
    CLEANUP(mem_freep) struct pg_chunk *chunks = NULL, *others = NULL;
    bool ok[2] = {true, true};
    struct str bytes;
    size_t n = 0;

    sql("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY, v text);"
        "INSERT INTO t SELECT i, repeat('x', 5000) FROM generate_series(1, 1000) i; INSERT INTO u VALUES (1, 'a'), (2, 'b')");
    OK(pg_catalog_relation(admin, (uint32_t)sql_i64("SELECT 'public.t'::regclass::oid"), NULL, &rel, &err));
    OK(pg_catalog_relation(admin, (uint32_t)sql_i64("SELECT 'public.u'::regclass::oid"), NULL, &other, &err));
    OK(pg_session_open(admin_url, NULL, -1, &s, &err));
    OK(pg_snapshot_plan(pg_session_conn(s), rel, 0, &chunks, &n, &err));
    OK(pg_snapshot_plan(pg_session_conn(s), other, 0, &others, &n, &err));
    OK(pg_snapshot_copy_begin(s, rel, &chunks[0], ok, &err));
    assert_int_equal(pg_snapshot_copy_next(s, &bytes, &err), 0);
    OK(pg_snapshot_copy_abandon(s, &err));                                /* in the middle */
    sql("INSERT INTO u VALUES (3, 'late'); ALTER TABLE t DROP COLUMN v"); /* abandoned, it holds no lock */
    assert_int_equal(pg_snapshot_copy_begin(s, rel, &chunks[0], ok, &err), ERR_NOT_FOUND);
    assert_string_equal(err.sqlstate, "42703");
    OK(pg_snapshot_copy_abandon(s, &err)); /* after an error of the server's */
    assert_int_equal(copy_rows(s, other, &others[0], ok, NULL), 2);
}

static void test_snapshot__text_is_what_the_type_prints(void **state)
{
    struct err err = {0};
    CLEANUP(pg_session_freep) struct pg_session *s = NULL;
    CLEANUP(relation_unrefp) struct relation *rel = NULL;
    CLEANUP(mem_freep) struct pg_chunk *chunks = NULL;
    CLEANUP(buf_deinit) struct buf got = {0};
    bool ok[9] = {0};
    size_t n = 0;

    sql("CREATE TYPE pair AS (a int, b int); CREATE TABLE only_parent (b bool, i inet, c char(5), p pair, n pair, z timestamptz, r "
        "int4range, e text, nul text);"
        "INSERT INTO only_parent VALUES (true, '10.0.0.1', 'ab', '(,)', NULL, '2024-01-02 03:04:05+02', '[1,5)', '', NULL);"
        "CREATE TABLE kid () INHERITS (only_parent); INSERT INTO kid VALUES (false)");
    OK(pg_catalog_relation(admin, (uint32_t)sql_i64("SELECT 'public.only_parent'::regclass::oid"), NULL, &rel, &err));
    OK(pg_session_open(admin_url, NULL, -1, &s, &err));
    OK(pg_snapshot_plan(pg_session_conn(s), rel, 10, &chunks, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(copy_rows(s, rel, &chunks[0], ok, &got), 1);
    assert_string_equal(got.p, "t|10.0.0.1|ab   |(,)|\\N|2024-01-02 01:04:05+00|[1,5)||\\N|");
}

static void test_untouched__a_statement_that_is_cancelled_is_no_lost_connection(void **state)
{
    struct err err = {0};
    CLEANUP(relation_unrefp) struct relation *rel = NULL;
    CLEANUP(schema_unrefp) struct schema *schema = NULL;
    CLEANUP(batch_freep) struct batch *rows = NULL;

    sql("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'x' FROM generate_series(1, 100) i");
    OK(pg_catalog_relation(admin, (uint32_t)sql_i64("SELECT 'public.t'::regclass::oid"), NULL, &rel, &err));
    schema = pg_schema_of(rel);
    rel->row_filter = STR("pg_cancel_backend(pg_backend_pid())"); /* as statement_timeout does */
    OK(pg_untouched_rows(admin, rel, schema, &rows, &err));
    assert_null(rows);
    rel->row_filter = STR("id <= 40");
    OK(pg_untouched_rows(admin, rel, schema, &rows, &err));
    assert_int_equal(rows->n, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn__wrong_password_is_refused_and_not_shown),
        cmocka_unit_test(test_conn__errors_carry_code_and_sqlstate),
        cmocka_unit_test(test_conn__stop_request_cancels_the_statement),
        cmocka_unit_test(test_conn__terminated_backend_is_ERR_NET),
        cmocka_unit_test_setup(test_catalog__types_are_resolved, fresh),
        cmocka_unit_test_setup(test_catalog__identity_follows_relreplident, fresh),
        cmocka_unit_test_setup(test_catalog__partitions_go_with_their_root, fresh),
        cmocka_unit_test_setup(test_catalog__columns_can_be_left_out_but_not_the_key, fresh),
        cmocka_unit_test_setup(test_check__what_it_says_mends_everything, fresh),
        cmocka_unit_test_setup(test_check__wal_level_and_full_slots, fresh),
        cmocka_unit_test_setup(test_publication__of_tables_that_change_meanwhile_and_without_identity, fresh),
        cmocka_unit_test_setup(test_publication__is_made_extended_and_respected, fresh),
        cmocka_unit_test_setup(test_slot__adopting_refuses_every_loss, fresh),
        cmocka_unit_test_setup(test_stream__changes_come_and_confirming_moves_the_slot, fresh),
        cmocka_unit_test_setup(test_stream__stays_alive_while_idle_and_survives_nothing_to_read, fresh),
        cmocka_unit_test_setup(test_stream__in_progress_transactions_are_streamed_from_14_on, fresh),
        cmocka_unit_test_setup(test_stream__a_slot_moved_or_gone_stops_it_loudly, fresh),
        cmocka_unit_test_setup(test_stream__terminated_sender_is_ERR_NET_and_it_goes_on_where_it_was, fresh),
        cmocka_unit_test(test_pg_chunk_blocks__grow_with_the_table),
        cmocka_unit_test_setup(test_snapshot__chunks_in_parallel_sessions_make_one_view, fresh),
        cmocka_unit_test_setup(test_snapshot__resumed_in_a_later_one_finds_moved_rows, fresh),
        cmocka_unit_test_setup(test_snapshot__a_copy_that_fails_is_abandoned_and_the_next_one_sees_the_same, fresh),
        cmocka_unit_test_setup(test_untouched__a_statement_that_is_cancelled_is_no_lost_connection, fresh),
        cmocka_unit_test_setup(test_snapshot__text_is_what_the_type_prints, fresh),
    };

    if (!find_bin()) {
        printf("skipped: no PostgreSQL server programs found (set SLUICE_PG_BIN)\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
