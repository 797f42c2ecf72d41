"""The source went through pg_upgrade: another cluster of the same rows, which is followed when we are told; a restored dump is not."""
import shutil

import pytest

from lib.oracle import assert_equal
from lib.pg import SETTINGS, Database, Postgres
from lib.sluice import REFUSED

TABLES = ["CREATE TABLE t (id int PRIMARY KEY, gone int, v text)", "INSERT INTO t SELECT g, g, 'a' FROM generate_series(1, 500) g",
          "ALTER TABLE t DROP COLUMN gone, ADD COLUMN n int DEFAULT 5",
          "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)",
          "INSERT INTO p VALUES (1, 'a')", "CREATE TABLE only_inserts (v text)", "INSERT INTO only_inserts VALUES ('x')"]
NAMES = ["t", "p", "only_inserts"]
CHANGES = ["UPDATE t SET v = v || 'b' WHERE id < 5", "INSERT INTO p SELECT max(id) + 1, 'b' FROM p", "DELETE FROM t WHERE id = (SELECT max(id) FROM t)"]


@pytest.fixture
def fresh():
    """An empty server that has never run."""
    server = Postgres()
    yield server
    server.remove()


def upgraded(old, new):
    """`new` is what pg_upgrade makes of `old`, on the same port. Before PostgreSQL 17 it leaves the slots behind."""
    old.stop()
    new._run("pg_upgrade", "-b", old.bindir, "-B", new.bindir, "-d", old.data, "-D", new.data, "-U", "postgres", "-s", new.home)
    new.port = old.port
    new.configure(**SETTINGS)
    new.start()


def slot_of(done):
    return done.err.split(" slot=")[1].split()[0]


def test_it_is_followed_when_we_are_told(own_pg, fresh, sluice, lake):
    db = own_pg.create("f")
    db.sql(*TABLES)
    slot = slot_of(sluice.sync_once(db.url, lake))
    db.sql(*CHANGES)
    sluice.sync_once(db.url, lake)
    versions = {t: lake.version(t) for t in NAMES}
    upgraded(own_pg, fresh)
    db = Database(fresh, "f")
    assert "start once with --upgraded" in sluice.sync_once(db.url, lake, code=REFUSED).err
    assert f"take slot {slot} along" in sluice.sync_once(db.url, lake, "--upgraded", code=REFUSED).err  # there is none yet
    db.sql(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')", *CHANGES)
    done = sluice.sync_once(db.url, lake, "--upgraded")
    assert "upgrade_followed" in done.err and "copy_started" not in done.err
    assert_equal(db, lake, NAMES)
    assert {t: lake.version(t) for t in NAMES} == {t: v + (t != "only_inserts") for t, v in versions.items()}
    db.sql(*CHANGES, "CREATE TABLE later (id int PRIMARY KEY)", "INSERT INTO later VALUES (1)")
    for options in ([], ["--upgraded"]):  # which does not matter any more
        assert "upgrade_followed" not in sluice.sync_once(db.url, lake, *options).err
        assert_equal(db, lake, [*NAMES, "later"])
    sluice.run("verify", db.url, lake)


def test_a_restored_dump_is_no_upgrade(own_pg, fresh, sluice, lake):
    db = own_pg.create("f")
    db.sql(*TABLES)
    slot = slot_of(sluice.sync_once(db.url, lake))
    own_pg._run("pg_dump", "-U", "postgres", "-h", own_pg.home, "-p", own_pg.port, "-f", own_pg.home / "dump", "f")
    own_pg.stop()
    fresh.port = own_pg.port
    fresh.configure()
    db = fresh.start().create("f")
    db.sql("SELECT lo_create(0) FROM generate_series(1, 100)")  # so that no table has the oid that it had
    shutil.copy(own_pg.home / "dump", fresh.home / "dump")
    fresh._run("psql", "-q", "-U", "postgres", "-h", fresh.home, "-p", fresh.port, "-d", "f", "-f", fresh.home / "dump")
    db.sql(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    assert "before what we have" in sluice.sync_once(db.url, lake, "--upgraded", code=REFUSED).err
    while db.lsn() < 64 << 20:
        db.sql("SELECT pg_switch_wal()", "CREATE TABLE IF NOT EXISTS filler (v text)", "INSERT INTO filler VALUES ('x')")
    db.sql("DROP TABLE filler", f"SELECT pg_drop_replication_slot('{slot}')", f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    assert "this is no upgraded cluster" in sluice.sync_once(db.url, lake, "--upgraded", code=REFUSED).err


def test_a_note_that_is_damaged(db, sluice, lake):
    db.sql(*TABLES)
    sluice.sync_once(db.url, lake)
    (lake.path / "_sluice" / "timeline").write_text("")
    done = sluice.sync_once(db.url, lake, code=REFUSED)
    assert "timeline is not as sluice wrote it" in done.err and "hint: restore it" in done.err


def test_wal_that_was_thrown_away(own_pg, sluice, lake):
    """The slot looks as it did."""
    db = own_pg.create("f")
    db.sql(*TABLES)
    slot = slot_of(sluice.sync_once(db.url, lake))
    own_pg.stop()
    own_pg._run("pg_resetwal", own_pg.data)
    own_pg.start()
    done = sluice.sync_once(db.url, lake, code=REFUSED)
    assert "lacks WAL" in done.err and f"SELECT pg_drop_replication_slot('{slot}')" in done.err
