"""The server that we follow is another one now: promoted, or restored. What it lost of that which we have is told, and else we go on."""
import os
import shutil
import subprocess
import tempfile

import pytest

from lib.oracle import assert_equal
from lib.pg import Database, Postgres, ServerAbsent, unpack_version
from lib.sluice import REFUSED
from lib.wait import wait_until

READERS = ("delta-rs", "polars")
TABLES = ["CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'a'), (2, 'a')", "CREATE TABLE u (id int PRIMARY KEY, v text)"]
FAR = "INSERT INTO u SELECT g + coalesce((SELECT max(id) FROM u), 0), repeat('x', 100) FROM generate_series(1, 2000) g"  # past where we are


def copy_files(source, target, **more):
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("postmaster.*"))
    for name, text in more.items():
        (target / name).write_text(text)
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", "--reference", target.parent, target], check=True)
    target.chmod(0o700)


def promote(server):
    """Starts it as a standby, which it ceases to be."""
    (server.data / "standby.signal").touch()
    server.start()
    server.promote()


def test_a_promoted_server_that_has_everything(own_pg, sluice, lake):
    db = own_pg.create("f")
    db.sql(*TABLES)
    for _ in range(3):
        sluice.sync_once(db.url, lake)
        assert_equal(db, lake, ["t", "u"], READERS)
        db.sql("UPDATE t SET v = v || 'b'")
        own_pg.stop()
        promote(own_pg)
        db.sql(FAR)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.count("u") == 6000)
    own_pg.stop()
    (own_pg.data / "standby.signal").touch()
    own_pg.start()
    sync.wait_log("the server is a standby and was not promoted yet")
    own_pg.promote()
    db.sql(FAR)
    sync.wait_until(lambda: lake.count("u") == 8000)
    sync.term()
    assert_equal(db, lake, ["t", "u"], READERS)


def test_a_restored_backup_is_told(own_pg, sluice, lake):
    """Its WAL has come past our position by the time that we look."""
    db = own_pg.create("f")
    db.sql(*TABLES)
    sluice.sync_once(db.url, lake)
    own_pg.stop()
    copy_files(own_pg.data, own_pg.home / "backup")
    own_pg.start()
    db.sql("UPDATE t SET v = 'lost' WHERE id = 1")
    sluice.sync_once(db.url, lake)
    own_pg.stop()
    shutil.rmtree(own_pg.data)
    (own_pg.home / "backup").rename(own_pg.data)
    promote(own_pg)
    db.sql("UPDATE t SET v = 'new' WHERE id = 2", FAR)
    for _ in range(2):
        done = sluice.sync_once(db.url, lake, code=REFUSED)
        assert "the server left timeline 1 at" in done.err and "restored from a backup" in done.err
    db.sql([line for line in done.err.splitlines() if line.startswith("hint: ")][0].split(": ", 2)[2])
    shutil.rmtree(lake.path / "_sluice")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t", "u"], READERS)


@pytest.mark.parametrize("has_it", [False, True], ids=["without the drop", "with it"])
def test_a_failover_between_the_note_of_a_partition_that_is_gone_and_its_deletion(own_pg, sluice, lake, has_it):
    """The server that was promoted may never have dropped it: its rows stay, or the copy has them."""
    db = own_pg.create("f")
    db.sql(*TABLES, "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
           "CREATE TABLE p0 PARTITION OF p FOR VALUES FROM (0) TO (100)", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (100) TO (200)",
           "INSERT INTO p SELECT g, 'a' FROM generate_series(1, 199) g")
    sluice.sync_once(db.url, lake)
    own_pg.stop()
    copy_files(own_pg.data, own_pg.home / "backup")
    own_pg.start()
    db.sql("DROP TABLE p1")
    assert sluice.sync_once(db.url, lake, code=None, env={"SLUICE_CRASH_AT": "gone_noted"}).code == -9
    own_pg.stop()
    if not has_it:
        shutil.rmtree(own_pg.data)
        (own_pg.home / "backup").rename(own_pg.data)
    promote(own_pg)
    db.sql(FAR, "UPDATE p SET v = 'b' WHERE id % 10 = 0")
    done = sluice.sync_once(db.url, lake)
    assert "table_to_be_copied_anew table=public.p reason=" in done.err and "the server is another since" in done.err, done
    assert "event=partition_gone" not in done.err
    assert_equal(db, lake, ["t", "u", "p"], READERS)
    assert lake.count("p") == (99 if has_it else 199)
    assert "copied_anew" not in sluice.sync_once(db.url, lake).err


@pytest.fixture
def pair(sluice):
    """A primary of PostgreSQL 18, and its standby, to which failover slots are copied."""
    with tempfile.TemporaryDirectory(prefix="sluice-pgbin-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        try:
            primary = Postgres(unpack_version(18, folder)).start()
        except ServerAbsent as e:
            pytest.skip(str(e))
        standby = Postgres(primary.bindir)
        with primary.connect() as conn:
            conn.execute("SELECT pg_create_physical_replication_slot('standby', true)")
            conn.execute("SELECT pg_backup_start('standby', true)")
            shutil.copytree(primary.data, standby.home / "copy", symlinks=True, ignore=shutil.ignore_patterns("postmaster.*"))
            (label,) = conn.execute("SELECT labelfile FROM pg_backup_stop(false)").fetchone()
        shutil.rmtree(standby.data)
        copy_files(standby.home / "copy", standby.data, backup_label=label)
        for slot in (standby.data / "pg_replslot").iterdir():
            shutil.rmtree(slot)
        standby.configure(primary_conninfo=f"host=127.0.0.1 port={primary.port} user=postgres dbname=postgres", primary_slot_name="standby",
                          sync_replication_slots="on", hot_standby_feedback="on")
        (standby.data / "standby.signal").touch()
        standby.start()
        yield primary, standby
        sluice.stop_all()
        primary.remove()
        standby.remove()


def has_slot(primary, standby):
    with primary.connect() as conn:
        conn.execute("SELECT pg_log_standby_snapshot()")
    with standby.connect() as conn:
        return conn.execute("SELECT count(*) = 1 FROM pg_replication_slots WHERE synced AND NOT temporary").fetchone()[0]


def has_all(primary, standby):
    with primary.connect() as conn:
        (lsn,) = conn.execute("SELECT pg_current_wal_flush_lsn()").fetchone()
    with standby.connect() as conn:
        return conn.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [lsn]).fetchone()[0]


@pytest.mark.slow
@pytest.mark.parametrize("lags", [False, True], ids=["it has everything", "it lags"])
def test_a_failover_slot(pair, sluice, lake, lags):
    primary, standby = pair
    db, now = primary.create("f"), Database(standby, "f")
    db.sql(*TABLES)
    sluice.sync_once(db.url, lake)
    wait_until(lambda: has_slot(primary, standby), 60, "the slot on the standby")
    wait_until(lambda: has_all(primary, standby), 60, "the rows on the standby")
    if lags:
        standby.stop()
    db.sql("UPDATE t SET v = 'b' WHERE id = 1")
    sluice.sync_once(db.url, lake)
    if not lags:
        wait_until(lambda: has_all(primary, standby), 60, "the rows on the standby")
    primary.stop("immediate")
    if lags:
        standby.start()
    standby.promote()
    now.sql("UPDATE t SET v = 'c' WHERE id = 2", FAR)
    done = sluice.sync_once(now.url, lake, code=REFUSED if lags else 0)
    if lags:
        assert "failed over to a standby that lagged" in done.err
    else:
        assert_equal(now, lake, ["t", "u"], READERS)


@pytest.mark.slow
def test_generated_columns_of_18(pair, sluice, lake):
    """Stored ones are in the stream, also as a key; virtual ones are not, be they there from the start."""
    db = pair[0].create("g")
    db.sql("CREATE TABLE g (id int PRIMARY KEY, a int, s int GENERATED ALWAYS AS (a * 2) STORED, v int GENERATED ALWAYS AS (a * 3) VIRTUAL)",
           "INSERT INTO g (id, a) VALUES (1, 1), (2, 2)", "CREATE TABLE k (a int, s int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY)",
           "INSERT INTO k VALUES (1), (2)")
    assert "column public.g.v is left out: it is generated" in sluice.sync_once(db.url, lake).err
    assert lake.columns("g", 0) == ["id", "a", "s"]
    db.sql("UPDATE g SET a = 5 WHERE id = 1", "UPDATE k SET a = 9 WHERE a = 1", "DELETE FROM k WHERE a = 2",
           "ALTER TABLE g ADD COLUMN w int GENERATED ALWAYS AS (a + 1) VIRTUAL", "INSERT INTO g (id, a) VALUES (3, 3)")
    sluice.sync_once(db.url, lake)
    assert sorted(lake.read("g").rows) == [(1, 5, 10), (2, 2, 4), (3, 3, 6)] and lake.read("k").rows == [(9, 18)]
    db.sql("ALTER TABLE g ALTER COLUMN s SET EXPRESSION AS (a * 100)", "UPDATE g SET a = 6 WHERE id = 2")
    sluice.sync_once(db.url, lake)
    assert sorted(lake.read("g").rows) == [(1, 5, 500), (2, 6, 600), (3, 3, 300)]
    sluice.run("verify", db.url, lake)


@pytest.mark.slow
def test_a_virtual_column_under_full_identity_of_18(pair, sluice, lake):
    """Were its updates published, the server would refuse them."""
    db = pair[0].create("g")
    db.sql("CREATE TABLE f (id int, a int, v int GENERATED ALWAYS AS (a * 2) VIRTUAL)", "ALTER TABLE f REPLICA IDENTITY FULL",
           "INSERT INTO f (id, a) VALUES (1, 1), (2, 2)", "CREATE TABLE s (id int, a int, s int GENERATED ALWAYS AS (a * 2) STORED)",
           "ALTER TABLE s REPLICA IDENTITY FULL", "INSERT INTO s (id, a) VALUES (1, 1), (2, 2)")
    assert "table public.f has REPLICA IDENTITY FULL, and a generated column" in sluice.sync_once(db.url, lake).err
    db.sql("UPDATE f SET a = 9 WHERE id = 1", "INSERT INTO f (id, a) VALUES (3, 3)", "UPDATE s SET a = 9 WHERE id = 1", "DELETE FROM s WHERE id = 2")
    sluice.sync_once(db.url, lake)
    assert sorted(lake.read("f").rows) == [(1, 1), (2, 2), (3, 3)] and lake.read("s").rows == [(1, 9, 18)]
    db.sql("ALTER TABLE f DROP COLUMN v")
    assert "it has a replica identity now" in sluice.sync_once(db.url, lake).err
    db.sql("UPDATE f SET a = 7 WHERE id = 2")
    sluice.sync_once(db.url, lake)
    assert sorted(lake.read("f").rows) == [(1, 9), (2, 7), (3, 3)]
