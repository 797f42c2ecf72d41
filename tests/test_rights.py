"""What a role may not do costs the tables that it is about, and settings of roles and databases cost nothing."""
import pytest

from lib.oracle import assert_equal
from lib.sluice import REFUSED

READERS = ("delta-rs", "polars")
TABLE = ["CREATE TABLE t (id int PRIMARY KEY, v text, n numeric, iv interval, at timestamptz, b bytea, f float8)",
         "INSERT INTO t SELECT g, 'a\\b' || g, g / 3.0, g * '1 mon'::interval, '2024-01-01'::timestamptz + g * '1 h'::interval, "
         "'\\x00ff', g / 7.0 FROM generate_series(1, 20) g"]


@pytest.fixture
def role(db, sluice):
    """A role that may replicate, and nothing else; its URL."""
    name = f"role_{db.name}"
    db.sql(f"CREATE ROLE {name} LOGIN REPLICATION")
    yield name
    sluice.stop_all()
    db.sql(f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


@pytest.mark.parametrize("hidden", ["CREATE TABLE secret (id int PRIMARY KEY)",
                                    "CREATE TABLE secret (id int PRIMARY KEY); GRANT SELECT ON secret TO {role}; "
                                    "ALTER TABLE secret ENABLE ROW LEVEL SECURITY"], ids=["no SELECT", "row security"])
def test_a_new_table_that_may_not_be_read_is_set_aside(db, sluice, lake, role, hidden):
    db.sql(*TABLE, f"GRANT SELECT ON t TO {role}", "CREATE PUBLICATION mine FOR ALL TABLES WITH (publish_via_partition_root = true)")
    url, options = db.server.url(db.name, role), ("--publication", "mine")
    sluice.sync_once(url, lake, *options)
    sync = sluice.start_sync(url, lake, *options)
    sync.wait_log("stream_started")
    db.sql(*hidden.format(role=role).split(";"), "INSERT INTO secret VALUES (1)", "CREATE TABLE later (id int PRIMARY KEY)",
           f"GRANT SELECT ON later TO {role}", "INSERT INTO later VALUES (1)")
    sync.wait_log("table_quarantined.*public.secret.*--resync public.secret")
    db.sql("INSERT INTO secret VALUES (2)", "INSERT INTO later VALUES (2)", "UPDATE t SET v = 'x'")
    sync.wait_until(lambda: lake.count("later") == 2)
    sync.term()
    done = sluice.sync_once(url, lake, *options, code=REFUSED)  # which is told; and a start with such a table is no trouble either
    assert "public.secret" in done.err
    assert_equal(db, lake, ["t", "later"], READERS)
    db.sql(f"GRANT SELECT ON secret TO {role}", "ALTER TABLE secret DISABLE ROW LEVEL SECURITY")
    sluice.sync_once(url, lake, *options, "--resync", "secret")
    assert_equal(db, lake, ["t", "later", "secret"], READERS)


def test_a_table_that_may_not_be_read_any_more_is_followed(db, sluice, lake, role):
    db.sql(*TABLE, f"GRANT SELECT ON t TO {role}", "CREATE PUBLICATION mine FOR TABLE t")
    url = db.server.url(db.name, role)
    sluice.sync_once(url, lake, "--publication", "mine")
    db.sql(f"REVOKE ALL ON t FROM {role}", "UPDATE t SET v = 'x' WHERE id < 5", "DELETE FROM t WHERE id = 7")
    assert f"the role {role} may not read table public.t" in sluice.sync_once(url, lake, "--publication", "mine").err
    assert_equal(db, lake, ["t"], READERS)
    sluice.run("sync", url, lake.path.with_name("other"), "--once", "--publication", "mine", code=REFUSED)


def test_a_new_table_that_may_not_be_published_is_set_aside(db, sluice, lake, role):
    db.sql(*TABLE, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}", "CREATE PUBLICATION mine FOR TABLE t",
           f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role}")
    url, options = db.server.url(db.name, role), ("--publication", "mine")
    sluice.sync_once(url, lake, *options)
    sync = sluice.start_sync(url, lake, *options)
    sync.wait_log("stream_started")
    db.sql("CREATE TABLE unpublished (id int PRIMARY KEY)", "INSERT INTO unpublished VALUES (1)")
    sync.wait_log("table_quarantined table=public.unpublished")
    db.sql("UPDATE t SET v = 'x'")
    sync.wait_until(lambda: {r["v"] for r in lake.read("t").dicts()} == {"x"})
    sync.term()
    sluice.sync_once(url, lake, *options, code=REFUSED)
    db.sql("ALTER PUBLICATION mine ADD TABLE unpublished")
    sluice.sync_once(url, lake, *options, "--resync", "unpublished")
    db.sql("INSERT INTO unpublished VALUES (2)")
    sluice.sync_once(url, lake, *options)
    assert_equal(db, lake, ["t", "unpublished"], READERS)


def test_of_two_new_tables_the_one_that_may_be_published_is_followed(db, sluice, lake, role):
    db.sql(*TABLE, f"ALTER TABLE t OWNER TO {role}", f"GRANT CREATE ON DATABASE {db.name} TO {role}")
    url = db.server.url(db.name, role)
    sluice.sync_once(url, lake)
    db.sql("CREATE TABLE others (id int PRIMARY KEY)", f"GRANT SELECT ON others TO {role}", "CREATE TABLE own (id int PRIMARY KEY)",
           f"ALTER TABLE own OWNER TO {role}", "INSERT INTO own VALUES (1)")
    done = sluice.sync_once(url, lake, code=REFUSED)
    assert "table_quarantined table=public.others" in done.err
    db.sql("INSERT INTO own VALUES (2)", "UPDATE t SET v = 'x'")
    sluice.sync_once(url, lake, code=REFUSED)
    assert_equal(db, lake, ["t", "own"], READERS)


SETTINGS = {"default_transaction_read_only": "on", "statement_timeout": "'50ms'", "lock_timeout": "'1ms'",
            "idle_in_transaction_session_timeout": "'100ms'", "search_path": "'nowhere'", "DateStyle": "'SQL, DMY'",
            "IntervalStyle": "'iso_8601'", "bytea_output": "'escape'", "extra_float_digits": "'-3'",
            "TimeZone": "'America/St_Johns'", "client_encoding": "'LATIN1'", "standard_conforming_strings": "off",
            "default_transaction_isolation": "'serializable'", "default_transaction_deferrable": "on",
            "quote_all_identifiers": "on", "array_nulls": "off", "row_security": "off", "backslash_quote": "off"}


@pytest.mark.parametrize("kind", ["role", "database"])
def test_all_settings_of_a_role_or_database_at_once(db, sluice, lake, role, kind):
    db.sql(*TABLE, f"ALTER ROLE {role} SUPERUSER", *(f"ALTER {kind.upper()} {role if kind == 'role' else db.name} SET {k} = {v}"
                                                     for k, v in SETTINGS.items()))
    url = db.server.url(db.name, role)
    for i in range(2):
        sluice.sync_once(url, lake)
        assert_equal(db, lake, ["t"], READERS)
        sluice.run("verify", url, lake)
        db.sql("INSERT INTO t SELECT id + 100, v, n, iv, at, b, f FROM t WHERE id < 100 ON CONFLICT DO NOTHING", "UPDATE t SET f = f / 3")
    db.sql("CREATE TABLE later (id int PRIMARY KEY, v text)", "INSERT INTO later VALUES (1, 'a\\b')")
    sluice.sync_once(url, lake)
    assert_equal(db, lake, ["t", "later"], READERS)


def test_replication_in_the_url_is_ours_to_say(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url + "?replication=database", lake)
    assert_equal(db, lake, ["t"], READERS)
