"""Limits of the server that are reached: those that follow go on, and what is in the way is named."""
import time

import psycopg
import pytest

from lib.oracle import assert_equal
from lib.sluice import REFUSED

READERS = ("delta-rs", "polars")


@pytest.fixture
def db(own_pg):
    """With room for two slots and three senders."""
    own_pg.stop()
    own_pg.configure(max_wal_senders=3, max_replication_slots=2, max_connections=14, superuser_reserved_connections=0)
    own_pg.start()
    db = own_pg.create("limits")
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'a')")
    yield db


def fill_slots(db):
    db.sql("SELECT pg_create_physical_replication_slot('theirs')")


def fill_senders(db):
    return [psycopg.connect(db.url + "?replication=true", autocommit=True) for _ in range(2)]


def fill_connections(db, conns):
    """One that was closed a moment ago may still count."""
    refused = 0
    while refused < 5:
        try:
            conns.append(db.connect())
            refused = 0
        except psycopg.OperationalError:
            refused += 1
            time.sleep(0.1)


def test_a_new_table_waits_for_a_slot(db, sluice, lake):
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    fill_slots(db)
    db.sql("CREATE TABLE later (id int PRIMARY KEY)", "INSERT INTO later VALUES (1)")
    sync.wait_log("copy_put_off.*all replication slots are in use")
    db.sql("UPDATE t SET v = 'b'")
    sync.wait_until(lambda: lake.read("t").rows == [(1, "b")], what="the table that follows")
    sync.term()
    assert "all replication slots are in use" in sluice.sync_once(db.url, lake, code=REFUSED).err
    sync = sluice.start_sync(db.url, lake)
    sync.wait_log("copy_put_off")
    db.sql("INSERT INTO later VALUES (2)", "SELECT pg_drop_replication_slot('theirs')")
    sync.wait_until(lambda: lake.exists("later"))
    sync.term()
    assert sync.text().count("copy_put_off") == 1
    assert_equal(db, lake, ["t", "later"], READERS)


def test_a_new_table_waits_for_a_sender(db, sluice, lake):
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    others = fill_senders(db)
    try:
        sync.wait_until(lambda: db.one("SELECT count(*) FROM pg_stat_replication") == 3, what="all senders busy")
        db.sql("CREATE TABLE later (id int PRIMARY KEY)", "INSERT INTO later VALUES (1)")
        sync.wait_log("copy_put_off.*max_wal_senders")
        db.sql("UPDATE t SET v = 'b'")
        sync.wait_until(lambda: lake.read("t").rows == [(1, "b")], what="the table that follows")
    finally:
        for conn in others:
            conn.close()
    sync.wait_until(lambda: lake.exists("later"))
    assert "connection_lost" not in sync.text() and "stream_lost" not in sync.text()
    sync.term()
    assert_equal(db, lake, ["t", "later"], READERS)


def test_a_first_start_names_what_is_full(db, sluice, lake):
    db.sql("SELECT pg_create_physical_replication_slot('other')")
    fill_slots(db)
    done = sluice.sync_once(db.url, lake, code=REFUSED)
    assert "all 2 replication slots (max_replication_slots) are taken" in done.err
    db.sql(*[line for line in done.err.splitlines() if line.startswith("SELECT pg_drop")])
    role, conns = f"role_{db.name}", []
    db.sql(f"CREATE ROLE {role} LOGIN REPLICATION CONNECTION LIMIT 0")
    assert f'too many connections for role "{role}"' in sluice.sync_once(db.server.url(db.name, role), lake, code=REFUSED).err
    fill_connections(db, conns)
    err = sluice.sync_once(db.url, lake, code=REFUSED).err
    assert "too many clients already" in err and "hint: sync takes up to six connections" in err
    for conn in conns:
        conn.close()
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)
