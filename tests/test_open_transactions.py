"""A snapshot waits for the transactions that are open at the source: whoever waits says so, and nobody else has to."""
from contextlib import contextmanager

import pytest

from lib.oracle import assert_equal
from lib.pg import Postgres
from lib.wait import wait_until


@pytest.fixture(scope="module")
def prepared_server():
    server = Postgres(max_prepared_transactions="5").start()
    yield server
    server.remove()


@pytest.fixture
def writer(db):
    """A connection in a transaction that has written."""
    db.sql("CREATE TABLE w (id int PRIMARY KEY)")
    with db.connect(application_name="the writer") as conn:
        conn.execute("BEGIN")
        conn.execute("INSERT INTO w VALUES (1)")
        yield conn


@contextmanager
def new_table_waits(db, sluice, lake):
    """A sync of t and w to which the table "late" came, and the transaction that keeps it from being copied."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE w (id int PRIMARY KEY)")
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t") and lake.exists("w"))
    with db.connect() as open_one:
        open_one.execute("BEGIN")
        open_one.execute("INSERT INTO w VALUES (1)")
        db.sql("CREATE TABLE late (id int PRIMARY KEY)", "INSERT INTO late VALUES (1)")
        sync.wait_log("waiting_for_transactions")
        yield sync, open_one


def ids(lake, table):
    return sorted(r["id"] for r in lake.read(table).dicts())


def test_the_first_start_says_whom_it_waits_for(db, sluice, lake, writer):
    sync = sluice.start_sync(db.url, lake)
    sync.wait_log("waiting_for_transactions.*pid [0-9]+ .the writer. since")
    writer.execute("COMMIT")
    sync.wait_until(lambda: lake.exists("w") and ids(lake, "w") == [1])
    sync.term()


def test_it_stops_while_it_waits(db, sluice, lake, writer):
    sync = sluice.start_sync(db.url, lake)
    sync.wait_log("waiting_for_transactions")
    assert sync.term() < 10
    writer.execute("ROLLBACK")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["w"])


def test_changes_flow_while_a_new_table_waits(db, sluice, lake):
    with new_table_waits(db, sluice, lake) as (sync, open_one):
        db.sql("INSERT INTO t VALUES (1)", "INSERT INTO late VALUES (2)", "CREATE TABLE later (id int PRIMARY KEY)",
               "INSERT INTO later VALUES (1)")
        sync.wait_until(lambda: ids(lake, "t") == [1])
        assert not lake.exists("late")
        sync.kill()  # and the same after a restart
        sync = sluice.start_sync(db.url, lake)
        db.sql("INSERT INTO t VALUES (2)", "ALTER TABLE late ADD v int", "INSERT INTO late VALUES (3, 3)")
        sync.wait_until(lambda: ids(lake, "t") == [1, 2])
        sync.wait_log("waiting_for_transactions")
        assert not lake.exists("late")
        open_one.execute("COMMIT")
    db.sql("UPDATE late SET v = 7 WHERE id = 1", "INSERT INTO later VALUES (2)")
    sync.wait_until(lambda: lake.exists("late") and lake.exists("later") and ids(lake, "later") == [1, 2] and len(ids(lake, "late")) == 3)
    sync.term()
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t", "w", "late", "later"])


def test_a_table_that_goes_while_it_waits(db, sluice, lake):
    with new_table_waits(db, sluice, lake) as (sync, open_one):
        db.sql("DROP TABLE late", "CREATE TABLE other (id int PRIMARY KEY)", "INSERT INTO other VALUES (1)")
        open_one.execute("COMMIT")
    sync.wait_until(lambda: lake.exists("other") and ids(lake, "other") == [1])
    db.sql("INSERT INTO t VALUES (1)")
    sync.wait_until(lambda: ids(lake, "t") == [1])
    sync.term()
    assert not lake.exists("late")
    sluice.sync_once(db.url, lake)


def test_once_waits_for_a_prepared_transaction(prepared_server, sluice, lake):
    db = prepared_server.create("prepared")
    db.sql("CREATE TABLE t (id int PRIMARY KEY)", "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'it''s'")
    sync = sluice.start("sync", db.url, lake, "--once")
    sync.wait_log("waiting_for_transactions.*prepared transaction 'it''s' since")
    db.sql("COMMIT PREPARED 'it''s'")
    assert sync.wait() == 0
    assert_equal(db, lake, ["t"])
    db.sql("BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'two'", "BEGIN; INSERT INTO t VALUES (3); PREPARE TRANSACTION 'three'")
    sluice.sync_once(db.url, lake)
    assert ids(lake, "t") == [1], "not committed, and nothing waits for it"
    db.sql("COMMIT PREPARED 'two'", "ROLLBACK PREPARED 'three'")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])
    wait_until(lambda: not db.one("SELECT count(*) FROM pg_prepared_xacts"))


def test_a_start_that_was_killed_as_it_made_the_slot(db, sluice, lake, writer):
    killed = sluice.start_sync(db.url, lake)
    killed.wait_log("waiting_for_transactions")
    killed.kill()
    sync = sluice.start_sync(db.url, lake)  # the server still makes the slot for the other one
    sync.wait_log("waiting_for_slot.*pid=[0-9]+")
    writer.execute("COMMIT")
    sync.wait_until(lambda: lake.exists("w") and ids(lake, "w") == [1])
    sync.term()
    db.sql("INSERT INTO w VALUES (2)")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["w"])


def test_it_stops_while_it_waits_for_such_a_slot(db, sluice, lake, writer):
    killed = sluice.start_sync(db.url, lake)
    killed.wait_log("waiting_for_transactions")
    killed.kill()
    sync = sluice.start_sync(db.url, lake)
    sync.wait_log("waiting_for_slot")
    assert sync.term() < 10
    writer.execute("ROLLBACK")
