"""What is wrong is said in plain words, with what to do, and the exit code that the contract gives."""
import os
import re
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import psycopg
import pytest

from lib.oracle import assert_equal
from lib.pg import Postgres, free_port
from lib.sluice import REFUSED, USAGE
from lib.wait import wait_until

TABLE = ["CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'a' FROM generate_series(1, 100) g"]


def test_usage(sluice, tmp_path):
    for args in (["sync"], ["sync", "postgresql://x/y"], ["nosuch"], ["sync", "postgresql://x/y", tmp_path, "--nosuch"],
                 ["sync", "mysql://x/y", tmp_path / "l"], ["status"], ["verify", "x"]):
        done = sluice.run(*args, code=USAGE)
        assert done.err.strip(), args
    few = sluice.run("sync", "postgresql://x/y", tmp_path / "l", "--memory", "16MB", code=USAGE)
    assert "128MB" in few.err
    least = sluice.run("sync", "postgresql://x@127.0.0.1:1/y", tmp_path / "l", "--once", "--memory", "128MB", code=REFUSED)
    assert "128MB" not in least.err
    assert "sync" in sluice.run("--help").out
    assert sluice.run("--version").out.startswith("sluice ")


def test_a_table_that_breaks_off_in_its_copy_leaves_the_others_alone(db, sluice, lake):
    """A value that no memory of this size holds, read by the same session as the tables after it."""
    db.sql("CREATE TABLE a (id int PRIMARY KEY, v text)", "INSERT INTO a VALUES (1, repeat('x', 60000000)), (2, repeat('y', 60000000))",
           *(f"CREATE TABLE t{i} (id int PRIMARY KEY)" for i in range(4)), *(f"INSERT INTO t{i} VALUES (1)" for i in range(4)))
    done = sluice.sync_once(db.url, lake, "--memory", "128MB", "--sessions", "1", code=REFUSED)
    assert "table public.a" in done.err and "allow more memory: --memory" in done.err
    assert not lake.exists("a") and all(len(lake.read(f"t{i}").rows) == 1 for i in range(4))
    sluice.sync_once(db.url, lake, "--resync", "a", "--memory", "1GB")
    assert sorted(len(r[1]) for r in lake.read("a").rows) == [60000000, 60000000]


def test_nobody_listens(sluice, lake):
    done = sluice.sync_once(f"postgresql://postgres:secret@127.0.0.1:{free_port()}/x", lake, code=REFUSED, timeout=120)
    assert "refused" in done.err.lower() and "secret" not in done.err


def test_no_such_database(pg, sluice, lake):
    assert "nosuch" in sluice.sync_once(pg.url("nosuch"), lake, code=REFUSED).err


def test_no_such_table(db, sluice, lake):
    db.sql(*TABLE)
    assert "nosuch" in sluice.sync_once(db.url, lake, "--tables", "nosuch", code=(USAGE, REFUSED)).err


def test_wal_level_is_named_with_its_mend(own_pg, sluice, lake):
    own_pg.stop()
    own_pg.configure(wal_level="replica")
    own_pg.start()
    db = own_pg.create("r")
    db.sql(*TABLE)
    done = sluice.sync_once(db.url, lake, code=REFUSED)
    assert "wal_level" in done.err and "logical" in done.err


def test_a_user_without_rights(db, sluice, lake):
    db.sql(*TABLE, f"DROP ROLE IF EXISTS {db.name}_user", f"CREATE ROLE {db.name}_user LOGIN")
    try:
        done = sluice.sync_once(db.server.url(db.name, f"{db.name}_user"), lake, code=REFUSED)
        assert "replication" in done.err.lower()
    finally:
        db.sql(f"DROP ROLE {db.name}_user")


def drop_slots(db):
    def free():
        return db.one("SELECT count(*) FROM pg_replication_slots WHERE active AND database = current_database()") == 0
    wait_until(free, 30, "the slot to be free")
    db.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()")


def test_a_lost_slot_is_told_not_papered_over(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO t VALUES (1000, 'lost with the slot')")
    drop_slots(db)
    version = lake.version("t")
    done = sluice.sync_once(db.url, lake, code=REFUSED)
    assert "slot" in done.err and lake.version("t") == version


def test_a_slot_that_is_not_ours_is_told(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY)", "SELECT pg_create_physical_replication_slot('theirs')")
    assert "a physical slot" in sluice.sync_once(db.url, lake, "--slot", "theirs", code=REFUSED).err
    db.sql("SELECT pg_drop_replication_slot('theirs')")


def test_a_slot_that_another_sync_reads_is_told(db, sluice, lake, tmp_path):
    db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    sync = sluice.start_sync(db.url, lake, "--slot", "first")
    sync.wait_until(lambda: lake.exists("t"))
    done = sluice.sync_once(db.url, tmp_path / "second", "--slot", "first", code=REFUSED)
    assert "replication slot first is in use by the server process" in done.err
    sync.term()


def test_a_moved_slot_is_told(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO t VALUES (1000, 'skipped')")
    slot = db.slots()[0]
    wait_until(lambda: db.one(f"SELECT NOT active FROM pg_replication_slots WHERE slot_name = '{slot}'"), 30)
    db.sql(f"SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())")
    done = sluice.sync_once(db.url, lake, code=REFUSED)
    assert "slot" in done.err


def test_another_database_is_told(own_pg, sluice, lake):
    """And nothing else, for the slot and the publication are well where they are."""
    db, other = own_pg.create("shop"), own_pg.create("other")
    for d in (db, other):
        d.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    done = sluice.sync_once(other.url, lake, code=REFUSED)
    assert "belongs to database shop, not other" in done.err and "connect to database shop" in done.err and "pg_drop" not in done.err
    assert other.one("SELECT count(*) FROM pg_publication") == 0
    sluice.sync_once(db.url, lake)


def test_another_cluster_is_told(db, own_pg, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    other = own_pg.create("other")
    other.sql(*TABLE)
    assert sluice.sync_once(other.url, lake, code=REFUSED).err.strip()


def test_a_folder_that_is_a_file(db, sluice, tmp_path):
    db.sql(*TABLE)
    (tmp_path / "file").write_text("x")
    done = sluice.sync_once(db.url, tmp_path / "file", code=(USAGE, REFUSED))
    assert "file" in done.err


def unprivileged(args):
    """As root nothing is read-only: run as somebody else then."""
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *args] if os.getuid() == 0 else args


def test_a_read_only_folder(db, sluice, tmp_path):
    db.sql(*TABLE)
    folder = tmp_path / "ro"
    folder.mkdir(mode=0o555)
    args = unprivileged([str(sluice.binary), "sync", db.url, str(folder / "lake"), "--once"])
    done = subprocess.run(args, capture_output=True, text=True, timeout=120)
    if "setpriv: failed to execute" in done.stderr or "error while loading" in done.stderr:
        pytest.skip("the program is where only root can run it")
    assert done.returncode == REFUSED and "ro" in done.stderr, done.stderr
    assert not db.slots(), "nothing is left behind on the server"


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder],
                                     capture_output=True).returncode:
        pytest.skip("may not mount a small disk here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_costs_nothing_but_time(db, sluice, small_disk):
    from lib.lake import Lake
    lake = Lake(small_disk / "lake", sluice)
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    ballast = small_disk / "ballast"
    with open(ballast, "wb") as f:
        try:
            while True:
                f.write(os.urandom(65536))
                f.flush()
        except OSError:
            pass
    db.sql("INSERT INTO t SELECT g, md5(g::text) || md5((g + 1)::text) FROM generate_series(1000, 20000) g")
    sync = sluice.start_sync(db.url, lake)
    wait_until(lambda: not sync.alive() or "space" in sync.text().lower(), 60, "a word on the full disk")
    assert "space" in sync.text().lower()
    waits = False
    try:  # it may end, or wait for space
        sync.popen.wait(3)
    except subprocess.TimeoutExpired:
        waits = True
    ballast.unlink()
    if not waits:
        assert sync.popen.returncode == REFUSED
        sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.count("t") == 19101, 60, "all rows after there is space again")
    sync.term()
    assert_equal(db, lake, ["t"])


def test_the_manual_page_has_every_option_of_the_help(sluice, tmp_path):
    page = sluice.run("help", "--man").out
    for command in ("sync", "status", "verify", "sql", "debug"):
        options = re.findall(r"--[a-z][a-z-]+", sluice.run("help", command).out.split("options\n")[-1])
        assert options or command in ("status", "debug")
        for option in options:
            assert option.replace("-", "\\-") in page, (command, option)
    assert page.startswith(".TH SLUICE 1")
    if shutil.which("groff"):
        (tmp_path / "sluice.1").write_text(page)
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-K", "utf8", tmp_path / "sluice.1"], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr and "--resync" in re.sub(r"\x1b\[\d*m", "", done.stdout)


def test_where_it_connects_is_named(sluice, lake, db, tmp_path):
    """Also when the service file says it."""
    (tmp_path / "services").write_text(f"[shop]\nhost=127.0.0.1\nport={db.server.port}\ndbname=not_there\nuser=postgres\n")
    done = sluice.sync_once("service=shop", lake, env={"PGSERVICEFILE": str(tmp_path / "services")}, code=REFUSED)
    assert f"cannot connect to postgres@127.0.0.1:{db.server.port}/not_there" in done.err


def test_the_password_is_not_among_the_arguments(db, sluice, lake):
    """Where others who use the machine see it."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    sync = sluice.start_sync(db.url.replace("postgres@", "postgres:sesame@"), lake)
    sync.wait_log("stream_started")
    arguments = Path(f"/proc/{sync.popen.pid}/cmdline").read_bytes()
    assert b"sesame" not in arguments and b"postgres:******@127.0.0.1" in arguments
    sync.term()


def test_a_pooler_is_told(sluice, lake):
    """PgBouncer's answer to a replication connection."""
    def answer():
        client, _ = listener.accept()
        with client:
            assert client.recv(8) and client.send(b"N")  # no TLS
            client.recv(4096)
            text = b"SERROR\0C08P01\0Munsupported startup parameter: replication\0\0"
            client.sendall(b"E" + (len(text) + 4).to_bytes(4, "big") + text)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        done = sluice.sync_once(f"postgresql://u@127.0.0.1:{listener.getsockname()[1]}/f?sslmode=prefer", lake, code=REFUSED)
        thread.join()
    assert "unsupported startup parameter: replication" in done.err and "name the server itself" in done.err


@pytest.fixture
def german(monkeypatch):
    """A server whose messages are in another language."""
    monkeypatch.setenv("LANGUAGE", "de")
    server = Postgres(lc_messages="C.UTF-8").start()
    yield server
    server.remove()


def test_messages_of_the_server_may_be_in_any_language(german, sluice, lake):
    """What is to be done is told by codes alone."""
    db = german.create("g")
    with pytest.raises(psycopg.errors.DivisionByZero) as told:
        db.sql("SELECT 1 / 0")
    if "Division durch Null" not in str(told.value):
        pytest.skip("the server has no German messages here")
    db.sql(*TABLE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    db.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",
           "CREATE TABLE gone (id int PRIMARY KEY)", "DROP TABLE gone", "INSERT INTO t VALUES (1000, 'x')")
    sync.wait_until(lambda: lake.count("t") == 101)
    german.stop("immediate")
    german.start()
    db.sql("INSERT INTO t VALUES (1001, 'x')")
    sync.wait_until(lambda: lake.count("t") == 102)
    sync.term()
    assert "existiert nicht" in sluice.sync_once(db.url + "x", lake, code=REFUSED).err
    db.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    assert "copy the tables anew" in sluice.sync_once(db.url, lake, code=REFUSED).err
