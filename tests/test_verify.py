"""`sluice verify` says equal when it is so, and finds what was planted when it is not."""
import re
import threading

import pytest

from lib.sluice import DIFFERENCE, REFUSED, USAGE
from lib.workload import TABLES, Workload

TABLE = ["CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(10,2), at timestamptz, f float8)",
         "INSERT INTO t SELECT g, md5(g::text), g / 3.0, '2024-01-01'::timestamptz + g * '1 s'::interval, g / 7.0 "
         "FROM generate_series(1, 3000) g", "INSERT INTO t VALUES (0, NULL, NULL, NULL, 'NaN')"]


def test_equal(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    sluice.run("verify", db.url, lake)
    db.sql("UPDATE t SET v = 'x' WHERE id % 10 = 0", "DELETE FROM t WHERE id % 7 = 0")
    sluice.sync_once(db.url, lake)
    assert "t" in sluice.run("verify", db.url, lake).out


def test_equal_while_sync_runs_and_clients_write(db, sluice, lake):
    db.sql(*TABLE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    for i in range(10):
        db.sql(f"UPDATE t SET v = 'r{i}' WHERE id % 50 = {i}")
    sluice.run("verify", db.url, lake)
    sync.term()


@pytest.mark.parametrize("plant", ["changed", "missing", "extra"])
def test_a_difference_is_found_and_its_key_named(db, sluice, lake, plant):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    log = lake.table_path("t") / "_delta_log"
    statement = {"changed": "UPDATE t SET v = 'planted' WHERE id = 1234", "missing": "DELETE FROM t WHERE id = 1234",
                 "extra": "INSERT INTO t (id, v) VALUES (1234567, 'planted')"}[plant]
    db.sql(statement)
    sluice.sync_once(db.url, lake)
    # The lake loses its last commit, and claims the position all the same.
    newest = max(int(f.stem) for f in log.glob("*.json"))
    text = (log / f"{newest:020d}.json").read_text().splitlines()
    kept = [line for line in text if '"commitInfo"' in line or '"txn"' in line]
    (log / f"{newest:020d}.json").write_text("\n".join(kept) + "\n")
    done = sluice.run("verify", db.url, lake, code=DIFFERENCE)
    assert re.search(r"\b1234(567)?\b", done.out + done.err), "the differing key is named"


def test_equal_at_any_moment_of_a_random_workload(db, sluice, lake):
    """Transactions of every kind run all the time: an epoch that straddled the position would show as a difference."""
    load = Workload(db, "verify", clients=2).create()
    load.run(10)
    sync = sluice.start_sync(db.url, lake, "--epoch", "200ms")
    sync.wait_until(lambda: all(lake.exists(t) for t in TABLES))
    positions = set()
    load.start(100000, rest=0.05)  # no faster than a sanitised build on a busy machine can follow
    try:
        for _ in range(8):
            done = sluice.run("verify", db.url, lake, "--timeout", "120s", "--limit", "3")
            positions.add(re.search(r"equal at (\S+)", done.out).group(1))
            assert all(f"public.{t}: equal" in done.out for t in TABLES)
            sync.check()
    finally:
        load.join(stop=True)
    assert len(positions) == 8
    assert sum(int(n) for n in re.findall(r"equal, (\d+) rows", done.out)) > 100
    sync.term()


def test_only_the_tables_named(db, sluice, lake):
    db.sql("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
    sluice.sync_once(db.url, lake)
    out = sluice.run("verify", db.url, lake, "--tables", "a").out
    assert "public.a: equal, 0 rows" in out and "public.b" not in out
    assert "nosuch" in sluice.run("verify", db.url, lake, "--tables", "a,nosuch", code=USAGE).err


def test_a_lake_that_is_behind_is_no_difference(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    db.sql("CREATE TABLE not_followed (id int)", "INSERT INTO not_followed VALUES (1)")
    sluice.run("verify", db.url, lake)
    db.sql("UPDATE t SET v = 'late' WHERE id = 1")
    done = sluice.run("verify", db.url, lake, code=REFUSED)
    assert "behind" in done.err and "sluice sync" in done.err
    assert "sync has ever" in sluice.run("verify", db.url, lake, "--state", lake.path / "none", code=REFUSED).err
    assert db.one("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()") == 1


def test_columns_and_values_are_told(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, n numeric(10,2), arr text[], secret text)",
           "INSERT INTO t VALUES (1, 'NaN', '{a,NULL,\"b c\"}', 'x'), (2, 1.5, '{}', 'y'), (3, NULL, NULL, NULL)")
    sluice.sync_once(db.url, lake, "--exclude-columns", "secret")
    out = sluice.run("verify", db.url, lake).out
    assert "public.t: equal, 3 rows" in out and "1 values do not fit" in out


def test_many_differences_are_counted_and_some_listed(db, sluice, lake):
    db.sql(*TABLE, "CREATE TABLE nokey (a int, b text)", "ALTER TABLE nokey REPLICA IDENTITY FULL",
           "INSERT INTO nokey SELECT 1, 'same' FROM generate_series(1, 3)")
    sluice.sync_once(db.url, lake)
    db.tx("UPDATE t SET v = 'planted', n = -1 WHERE id <= 500 AND id > 0", "INSERT INTO nokey VALUES (1, 'same')")
    sluice.sync_once(db.url, lake)
    for table in ("t", "nokey"):
        log = sorted((lake.table_path(table) / "_delta_log").glob("*.json"))[-1]
        log.write_text("".join(line + "\n" for line in log.read_text().splitlines()
                               if '"commitInfo"' in line or '"txn"' in line))
    out = sluice.run("verify", db.url, lake, "--limit", "5", code=DIFFERENCE).out
    assert "public.t: DIFFERENT, 3001 rows at the source, 3001 in the lake" in out
    assert len(re.findall(r"^  id=\d+: v: source planted, lake \w{32}; n: source -1.00, lake ", out, re.M)) == 5
    assert "500 keys differ in all" in out
    assert "public.nokey: DIFFERENT, 4 rows at the source, 3 in the lake" in out
    assert "a=1, b=same: more often at the source" in out


def test_an_open_transaction_is_waited_for_and_named(db, sluice, lake):
    db.sql(*TABLE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    with db.connect() as conn, conn.transaction():
        conn.execute("UPDATE t SET v = 'open' WHERE id = 1")
        done = sluice.run("verify", db.url, lake, "--timeout", "2s", code=REFUSED)
        assert f"pid {conn.info.backend_pid}" in done.err
    sluice.run("verify", db.url, lake)
    assert not (lake.path / "_sluice" / "barrier").exists()
    sync.term()


def test_sync_goes_on_when_verify_is_killed(db, sluice, lake):
    db.sql(*TABLE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    with db.connect() as conn, conn.transaction():  # keeps verify at its slot while sync holds
        conn.execute("UPDATE t SET v = 'open' WHERE id = 1")
        verify = sluice.start("verify", db.url, lake)
        sync.wait_until(lambda: (lake.path / "_sluice" / "barrier.done").exists())
        verify.kill()
    db.sql("UPDATE t SET v = 'after' WHERE id = 2")
    sync.wait_until(lambda: any(r["v"] == "after" for r in lake.read("t").dicts()))
    sluice.run("verify", db.url, lake)
    sync.term()


def test_several_at_once_take_turns(db, sluice, lake):
    db.sql(*TABLE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    done = []
    both = [threading.Thread(target=lambda: done.append(sluice.run("verify", db.url, lake, timeout=120)))
            for _ in range(3)]
    for t in both:
        t.start()
    for t in both:
        t.join()
    assert len(done) == 3
    sync.term()


def test_a_dropped_table_is_told_and_not_waited_for(db, sluice, lake):
    db.sql(*TABLE, "CREATE TABLE u (id int PRIMARY KEY)")
    sluice.sync_once(db.url, lake)
    db.sql("DROP TABLE u")
    sluice.sync_once(db.url, lake)
    out = sluice.run("verify", db.url, lake).out
    assert "public.u: not at the source any more" in out and "1 table equal" in out
    sync = sluice.start_sync(db.url, lake)
    sync.wait_log("stream_started")
    assert "public.u: not at the source any more" in sluice.run("verify", db.url, lake).out
    sync.term()


def test_a_quarantined_table_is_told(db, sluice, lake):
    db.sql("CREATE TABLE q (n numeric(10,2) PRIMARY KEY)", "INSERT INTO q VALUES (1)", *TABLE)
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO q VALUES ('NaN')")
    sync = sluice.start_sync(db.url, lake)
    sync.wait_log("quarantined")
    for _ in range(2):  # while sync runs, and after
        done = sluice.run("verify", db.url, lake, code=DIFFERENCE)
        assert "public.q: not followed any more: quarantined" in done.out and "public.t: equal" in done.out
        assert "1 of 2 tables" in done.err
        if sync.alive():
            sync.term()
