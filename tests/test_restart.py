"""Stopped, killed, cut off: after a restart the lake is what the source is."""
import shutil

import psycopg
import pytest

from lib.oracle import assert_equal
from lib.pg import Database, Postgres
from lib.sluice import DONE, REFUSED
from lib.wait import wait_until

TABLE = ["CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'a' FROM generate_series(1, 1000) g"]


def has(lake, key):
    return lake.exists("t") and any(r[0] == key for r in lake.read("t").rows)


def test_term_drains_and_exits_0(db, sluice, lake):
    db.sql(*TABLE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    for i in range(20):
        db.sql(f"INSERT INTO t VALUES ({2000 + i}, 'b')")
    sync.term()
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])


def test_kill_9_again_and_again(db, sluice, lake):
    db.sql(*TABLE)
    for i in range(5):
        sync = sluice.start_sync(db.url, lake)
        db.sql(f"INSERT INTO t VALUES ({2000 + i}, 'b')", f"UPDATE t SET v = 'u{i}' WHERE id <= {100 * i}",
               f"DELETE FROM t WHERE id = {500 + i}")
        sync.wait_until(lambda n=2000 + i: has(lake, n), what=f"row {2000 + i}")
        db.sql(f"UPDATE t SET v = 'w{i}' WHERE id BETWEEN 200 AND 300")
        sync.kill()
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], ("delta-rs", "polars"))


def test_killed_in_the_snapshot(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)",
           "INSERT INTO t SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 60000) g")
    sync = sluice.start_sync(db.url, lake)
    wait_until(lambda: db.slots(), 60, "the slot")
    sync.kill()
    db.sql("UPDATE t SET v = 'changed' WHERE id % 100 = 0", "DELETE FROM t WHERE id % 77 = 0", "INSERT INTO t VALUES (-1, 'new')")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])


def test_readers_never_see_half_a_snapshot(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)",
           "INSERT INTO t SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 60000) g")
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    assert lake.count("t") == 60000 and all(len(lake.read("t", v).rows) in (0, 60000) for v, _ in lake.log("t"))
    sync.term()


@pytest.mark.parametrize("statement", ["TRUNCATE {}", "ALTER TABLE {} ALTER COLUMN n TYPE bigint", "VACUUM FULL {}", "DROP TABLE {}"])
def test_tables_are_rewritten_while_others_are_copied(db, sluice, lake, statement):
    """The table's file that the copy was planned on is gone when its turn comes."""
    names = [f"big{i:02d}" for i in range(30)]
    for name in names:
        db.sql(f"CREATE TABLE {name} (id int PRIMARY KEY, n int, v text)",
               f"INSERT INTO {name} SELECT g, g, repeat(md5(g::text), 5) FROM generate_series(1, 8000) g")
    sync = sluice.start_sync(db.url, lake)
    wait_until(lambda: db.slots(), 60, "the slot")
    for name in reversed(names[10:]):
        db.sql(statement.format(name))
    left = names[:10] if "DROP" in statement else names
    for name in left:
        db.sql(f"INSERT INTO {name} VALUES (-1, -1, 'after')")
    sync.wait_until(lambda: all(lake.exists(n) for n in left), 60, "every table")
    sync.term()
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, left)


def test_server_restarts(own_pg, sluice, lake):
    db = own_pg.create("r")
    db.sql(*TABLE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    for i, mode in enumerate(["fast", "immediate", "immediate"]):
        db.sql(f"INSERT INTO t VALUES ({2000 + i}, 'b')")
        own_pg.restart(mode)
        db.sql(f"INSERT INTO t VALUES ({3000 + i}, 'c')")
        sync.wait_until(lambda n=3000 + i: has(lake, n), 60, "a row after the server came back")
    sync.term()
    assert_equal(db, lake, ["t"])


def test_server_is_away_at_the_start_of_a_later_run(own_pg, sluice, lake):
    db = own_pg.create("r")
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    own_pg.stop()
    sync = sluice.start_sync(db.url, lake)
    wait_until(lambda: not sync.alive() or "retry" in sync.text() or "level=warn" in sync.text(), 30, "a word on the console")
    own_pg.start()
    if not sync.alive():  # it may also refuse at once
        sync = sluice.start_sync(db.url, lake)
    db.sql("INSERT INTO t VALUES (5000, 'x')")
    sync.wait_until(lambda: has(lake, 5000), 60, "the row")
    sync.term()


def test_a_server_that_is_starting_is_waited_for(own_pg, sluice, lake):
    """As a standby that takes no connections it stays in that state until it is promoted."""
    db = own_pg.create("r")
    db.sql(*TABLE)
    own_pg.stop()
    own_pg.configure(hot_standby="off")
    (own_pg.data / "standby.signal").touch()
    own_pg.start()
    sync = sluice.start_sync(db.url, lake)
    sync.wait_log("event=connection_lost.*accepting connections", 60)
    own_pg.promote()
    sync.wait_until(lambda: lake.exists("t"), 60, "the table")
    sync.term()
    assert_equal(db, lake, ["t"])


def test_the_key_index_may_vanish(db, sluice, lake):
    """It is derived: without it (or with that of another version) the next run is right all the same."""
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE t SET v = 'b' WHERE id < 100")
    sluice.sync_once(db.url, lake)
    for f in (lake.path / "_sluice").rglob("*"):
        if f.is_file() and "index" in f.name or f.suffix in (".idx", ".kix"):
            f.unlink()
    db.sql("UPDATE t SET v = 'c' WHERE id < 200", "DELETE FROM t WHERE id > 900")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])


def test_two_at_once_are_refused(db, sluice, lake):
    db.sql(*TABLE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    second = sluice.run("sync", db.url, lake, "--once", code=None, timeout=60)
    assert second.code != DONE and second.err.strip()
    db.sql("INSERT INTO t VALUES (5000, 'x')")
    sync.wait_until(lambda: has(lake, 5000), what="the first goes on")
    sync.term()


def test_the_server_goes_away_under_the_first_copy(own_pg, sluice, lake):
    db = own_pg.create("r")
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)",
           "INSERT INTO t SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 60000) g")
    sync = sluice.start_sync(db.url, lake, "--chunk", "64")
    sync.wait_log("event=copy_started", 60)
    for mode in ("immediate", "fast"):
        own_pg.stop(mode)
        wait_until(lambda: not sync.alive() or "lost" in sync.text(), 60, "a word on the console")
        own_pg.start()
        sync.check()
    db.sql("INSERT INTO t VALUES (100000, 'x')", "UPDATE t SET v = 'y' WHERE id = 7")
    sync.wait_until(lambda: has(lake, 100000), 90, "the table")
    sync.term()
    assert_equal(db, lake, ["t"])


def test_asked_to_stop_while_the_server_is_away(own_pg, sluice, lake):
    db = own_pg.create("r")
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)",
           "INSERT INTO t SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 60000) g")
    sync = sluice.start_sync(db.url, lake, "--chunk", "64")
    sync.wait_log("event=copy_started", 60)
    own_pg.stop("immediate")
    sync.wait_log("event=(connection|stream|catalog)_lost", 60)
    sync.term()
    own_pg.start()
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])


def test_asked_to_stop_while_it_connects(sluice, lake):
    """Nobody answers on the port; nothing is made yet that could be remembered."""
    import socket
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        sync = sluice.start_sync(f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=60", lake)
        peer, _ = silent.accept()  # it has come as far as connecting
        sync.term()
        peer.close()


def test_starting_again_without_state_copies_anew(db, sluice, lake):
    """What is to be done when the slot is lost for good."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'a' FROM generate_series(1, 100) g")
    sluice.sync_once(db.url, lake)
    db.sql("DELETE FROM t WHERE id < 50", "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()")
    assert "copy the tables anew" in sluice.sync_once(db.url, lake, code=REFUSED).err
    shutil.rmtree(lake.path / "_sluice")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])
    db.sql("UPDATE t SET v = 'b' WHERE id < 60")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])
    assert len(lake.read("t", 0).rows) == 100


def test_a_server_that_cannot_decode_its_wal_is_not_asked_for_ever(sluice, lake):
    server = Postgres().start()
    try:
        db = server.create("broken")
        db.sql("CREATE TABLE t (id int PRIMARY KEY)")
        sluice.sync_once(db.url, lake)
        db.sql("SELECT pg_switch_wal()", "INSERT INTO t VALUES (1)")
        name, at = db.sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn()), (pg_current_wal_insert_lsn() - '0/0')::bigint % 16777216")[0]
        db.sql("INSERT INTO t SELECT generate_series(2, 1000)")
        server.stop("fast")  # after its checkpoint nobody but the slot reads the WAL before it
        with open(server.data / "pg_wal" / name, "r+b") as wal:
            wal.seek(int(at) + 2000)
            wal.write(bytes(64))
        server.start()
        done = sluice.sync_once(db.url, lake, code=REFUSED)
        assert "the server fails to decode its own WAL" in done.err and "copy the tables anew" in done.err
        db.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        shutil.rmtree(lake.path / "_sluice")
        sluice.sync_once(db.url, lake)
        assert lake.count("t") == 1000
    finally:
        server.remove()


def opens(url):
    try:
        psycopg.connect(url).close()
        return True
    except psycopg.OperationalError:
        return False


def test_another_password_and_another_name_of_the_database(own_pg, sluice, lake):
    """It ends, says why, and goes on from there with the URL that is right now."""
    db = own_pg.create("r")
    db.sql(*TABLE, "CREATE ROLE pw SUPERUSER LOGIN PASSWORD 'one'")
    hba = own_pg.data / "pg_hba.conf"
    hba.write_text("host all pw 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
    db.sql("SELECT pg_reload_conf()")
    url, everybody = db.url.replace("postgres@", "pw:{}@"), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pw'"
    wait_until(lambda: not opens(url.format("wrong")), 10, "the server to ask for passwords")
    sync = sluice.start_sync(url.format("one"), lake)
    sync.wait_log("stream_started")
    db.sql("ALTER ROLE pw PASSWORD 'two'", everybody, "INSERT INTO t VALUES (5000, 'x')")
    assert sync.wait() == REFUSED and "password authentication failed" in sync.text()
    sync = sluice.start_sync(url.format("two"), lake)
    sync.wait_until(lambda: has(lake, 5000))
    db.conn.close()
    with own_pg.connect() as conn:
        def renamed():
            conn.execute(everybody)
            try:
                return conn.execute("ALTER DATABASE r RENAME TO s")
            except psycopg.errors.ObjectInUse:
                return None
        wait_until(renamed, 20, "the database to be renamed", every=0.01)
    assert sync.wait() == REFUSED and 'database "r" does not exist' in sync.text()
    db = Database(own_pg, "s")
    db.sql("INSERT INTO t VALUES (5001, 'x')")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])
