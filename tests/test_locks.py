"""A table that somebody has locked, as a migration does for hours: the others do not wait for it, and who waits says for whom."""
import time

import pytest

from lib.oracle import assert_equal

READERS = ("delta-rs", "polars")
TABLES = ["CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'a')", "CREATE TABLE u (id int PRIMARY KEY, v text)",
          "INSERT INTO u VALUES (1, 'a')", "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
          "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)"]


@pytest.fixture
def migration(db):
    """A transaction that has locked a table, and a partition."""
    db.sql(*TABLES)
    with db.connect(application_name="the migration") as conn:
        yield conn


def lock(conn):
    conn.execute("BEGIN")
    conn.execute("ALTER TABLE t ADD COLUMN w int")
    conn.execute("LOCK TABLE p, p1 IN ACCESS EXCLUSIVE MODE")


def test_the_others_go_on(db, sluice, lake, migration):
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t") and lake.exists("u") and lake.exists("p"))
    lock(migration)
    sync.wait_log("look_put_off.*held by pid .*the migration. on public.t ")
    db.sql("CREATE TABLE later (id int PRIMARY KEY)", "INSERT INTO later VALUES (1)")
    end = time.monotonic() + 11  # two more looks
    for i in range(1000):
        if time.monotonic() > end:
            break
        db.sql(f"UPDATE u SET v = 'x{i}'")
        sync.wait_until(lambda n=i: lake.read("u").rows == [(1, f"x{n}")], 5, "the row of the other table")
    assert sync.text().count("look_put_off") == 1
    migration.execute("UPDATE t SET w = 7")
    migration.execute("COMMIT")
    sync.wait_until(lambda: lake.exists("later"))
    sync.wait_until(lambda: "w" in lake.columns("t"))
    sync.term()
    assert_equal(db, lake, ["t", "u", "p", "later"], READERS)


def test_a_start_says_for_whom_it_waits(db, sluice, lake, migration):
    sluice.sync_once(db.url, lake)
    lock(migration)
    sync = sluice.start("sync", db.url, lake, "--once")
    sync.wait_log("waiting for a lock at the source, held by pid [0-9]+ .the migration. on public")
    migration.execute("UPDATE t SET w = 7")
    migration.execute("COMMIT")
    assert sync.wait() == 0
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t", "u", "p"], READERS)


def test_it_stops_while_it_waits(db, sluice, lake, migration):
    lock(migration)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_log("waiting for a lock")
    assert sync.term() < 10
    migration.execute("ROLLBACK")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t", "u", "p"], READERS)
