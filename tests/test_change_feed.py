"""The change data feed that sync writes: at every version it is what the rows of that version and the one before differ in."""
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from lib.oracle import assert_equal


def key_of(row):
    return tuple(sorted((k, str(v)) for k, v in row.items() if not k.startswith("_c")))


def feed(sluice, lake, table, first=0):
    """version → [(type, row)]"""
    out = {}
    for r in sluice.sql(lake, f"FROM table_changes('{table}', {first})"):
        out.setdefault(r["_commit_version"], []).append((r["_change_type"], r))
    return out


def check(sluice, lake, table, first=0, paired=True):
    """Folds the feed over the versions. Returns the types by number."""
    def rows(version):
        return Counter(key_of(r) for r in sluice.sql(lake, f"FROM {table} VERSION AS OF {version}"))

    last, seen = lake.version(table), Counter()
    changes = feed(sluice, lake, table, first)
    state = rows(first - 1) if first else Counter()
    for version in range(first, last + 1):
        before = dict(state)
        for kind, r in changes.get(version, []):
            seen[kind] += 1
            state[key_of(r)] += 1 if kind in ("insert", "update_postimage") else -1
        state = Counter({k: n for k, n in state.items() if n})
        assert state == rows(version), f"{table} at version {version}"
        images = {kind: {r["id"] for k, r in changes.get(version, []) if k == kind} for kind in
                  ("insert", "delete", "update_preimage", "update_postimage")}
        assert images["update_preimage"] == images["update_postimage"]
        if paired and not (set(before) and not images["update_preimage"] and images["delete"] >= {
                int(dict(k)["id"]) for k in before}):  # truncated: deletes and inserts
            assert not images["insert"] & images["delete"]
    return seen


def change(db, rng, n=12):
    """A few statements on t, of all kinds."""
    out = []
    for _ in range(n):
        i, what = rng.randrange(60), rng.random()
        if what < 0.35:
            out.append(f"INSERT INTO t VALUES ({i}, 'new {rng.random()}', '{rng.choice('abc')}', repeat(md5('{i}'), 60)) "
                       "ON CONFLICT (id) DO UPDATE SET v = excluded.v")
        elif what < 0.65:
            out.append(f"UPDATE t SET v = 'v{rng.random()}', p = '{rng.choice('abc')}' WHERE id % 7 = {i % 7}")
        elif what < 0.75:
            out.append(f"UPDATE t SET id = id + 100 WHERE id = {i}")
        elif what < 0.9:
            out.append(f"DELETE FROM t WHERE id % 11 = {i % 11} OR id > 100")
        else:
            out.append(f"UPDATE t SET v = v WHERE id = {i}")
    if rng.random() < 0.2:
        out.append("TRUNCATE t; INSERT INTO t SELECT g, 'again', 'a' FROM generate_series(1, 40) g")
    db.sql(*out)


@pytest.mark.parametrize("options", [(), ("--copy-on-write", "*.*"), ("--partition-by", "t.p")])
def test_feed_is_what_versions_differ_in(db, sluice, lake, options):
    rng = random.Random(str(options))
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text, p text, big text)", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
           "INSERT INTO t SELECT g, 'first', 'a', repeat(md5(g::text), 60) FROM generate_series(1, 50) g")
    run = lambda: sluice.sync_once(db.url, lake, "--change-feed", "*.*", *options)  # noqa: E731
    run()
    for _ in range(8):
        change(db, rng)
        run()
    assert_equal(db, lake, ["t"], ("sluice",))
    seen = check(sluice, lake, "t")
    assert set(seen) == {"insert", "delete", "update_preimage", "update_postimage"}
    [properties] = [r for r in sluice.sql(lake, "SHOW TBLPROPERTIES t") if r["key"] == "delta.enableChangeDataFeed"]
    assert properties["value"] == "true"


def test_columns_that_come_while_rows_change(db, sluice, lake):
    """A default for the rows that are there moves files; it is no change of a row. Deletes of the same epoch are told."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'first' FROM generate_series(1, 50) g")
    sluice.sync_once(db.url, lake, "--change-feed", "*.*")
    db.sql("BEGIN; DELETE FROM t WHERE id < 5; INSERT INTO t VALUES (60, 'early'); ALTER TABLE t ADD n int DEFAULT 7; "
           "UPDATE t SET v = 'later' WHERE id IN (10, 60); DELETE FROM t WHERE id = 11; COMMIT")
    sluice.sync_once(db.url, lake, "--change-feed", "*.*")
    assert_equal(db, lake, ["t"], ("sluice",))
    changes = [c for v, c in feed(sluice, lake, "t", 1).items()]
    assert len(changes) == 1
    assert sorted((kind, r["id"], r["n"]) for kind, r in changes[0] if kind != "delete") == [
        ("insert", 60, 7), ("update_postimage", 10, 7), ("update_preimage", 10, 7)]
    assert sorted(r["id"] for kind, r in changes[0] if kind == "delete") == [1, 2, 3, 4, 11]


def test_rows_without_a_key(db, sluice, lake):
    """Rows cannot be paired: deletes and inserts. A table without identity has only inserts."""
    db.sql("CREATE TABLE f (id int, v text)", "ALTER TABLE f REPLICA IDENTITY FULL", "INSERT INTO f SELECT g % 20, 'x' FROM generate_series(1, 50) g",
           "CREATE TABLE n (id int, v text)", "INSERT INTO n VALUES (1, 'x'), (1, 'x')")
    for options in (("--change-feed", "*.*"), ("--change-feed", "*.*", "--copy-on-write", "f")):
        sluice.sync_once(db.url, lake, *options)
        db.sql("UPDATE f SET v = 'y' WHERE id % 5 = 0", "DELETE FROM f WHERE id = 7", "INSERT INTO f VALUES (7, 'z')", "INSERT INTO n VALUES (1, 'x')")
        sluice.sync_once(db.url, lake, *options)
        assert_equal(db, lake, ["f", "n"], ("sluice",))
    assert set(check(sluice, lake, "f", paired=False)) == {"insert", "delete"}
    assert set(check(sluice, lake, "n")) == {"insert"}


def test_switched_on_while_it_runs(db, sluice, lake):
    """By SQL: from the next commit on the feed is there; sync goes on."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'first' FROM generate_series(1, 50) g")
    sync = sluice.start_sync(db.url, lake, "--epoch", "50ms")
    sync.wait_until(lambda: lake.exists("t"))
    sluice.run("sql", lake, "-c", "ALTER TABLE t SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
    first = lake.version("t")
    for i in range(5):
        db.sql(f"UPDATE t SET v = 'round {i}' WHERE id % 5 = {i}", f"DELETE FROM t WHERE id = {i + 1}")
        sync.wait_until(lambda i=i: any(r["v"] == f"round {i}" for r in sluice.sql(lake, "SELECT v FROM t")))
    sync.term()
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], ("sluice",))
    seen = check(sluice, lake, "t", first)
    assert seen["update_preimage"] == seen["update_postimage"] > 0 and seen["delete"] > 0


@pytest.mark.parametrize("point", ["data_written", "changes_written", "vectors_written", "committed"])
def test_killed_between_the_change_file_and_the_commit(db, sluice, lake, point):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'first' FROM generate_series(1, 50) g")
    sluice.sync_once(db.url, lake, "--change-feed", "*.*")
    db.sql("UPDATE t SET v = 'second' WHERE id < 10", "DELETE FROM t WHERE id > 45", "INSERT INTO t VALUES (99, 'new')")
    killed = sluice.sync_once(db.url, lake, "--change-feed", "*.*", code=None, env={"SLUICE_CRASH_AT": point})
    assert killed.code != 0
    sluice.sync_once(db.url, lake, "--change-feed", "*.*")
    assert_equal(db, lake, ["t"], ("sluice",))
    assert check(sluice, lake, "t") == {"insert": 51, "update_preimage": 9, "update_postimage": 9, "delete": 5}


def test_delta_rs_reads_it(db, sluice, lake):
    import pyarrow as pa
    from deltalake import DeltaTable
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'first' FROM generate_series(1, 50) g")
    options = ("--change-feed", "*.*", "--copy-on-write", "*.*")
    sluice.sync_once(db.url, lake, *options)
    for i in range(3):
        db.sql(f"UPDATE t SET v = 'round {i}' WHERE id % 5 = {i}", f"DELETE FROM t WHERE id = {i + 20}", f"INSERT INTO t VALUES ({100 + i}, 'new')")
        sluice.sync_once(db.url, lake, *options)
    theirs = pa.table(DeltaTable(str(lake.table_path("t"))).load_cdf(starting_version=0).read_all()).to_pylist()
    ours = sluice.sql(lake, "SELECT * EXCLUDE (_commit_timestamp) FROM table_changes('t', 0)")
    for r in theirs:
        del r["_commit_timestamp"]
    assert sorted(map(str, map(sorted, (r.items() for r in theirs)))) == sorted(map(str, map(sorted, (r.items() for r in ours))))


def test_files_of_the_feed_go_with_the_retention(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'first' FROM generate_series(1, 50) g")
    sluice.sync_once(db.url, lake, "--change-feed", "*.*")
    for i in range(2):
        db.sql(f"UPDATE t SET v = 'round {i}' WHERE id < 10")
        sluice.sync_once(db.url, lake)
    files = lambda: set(Path(lake.table_path("t") / "_change_data").glob("*.parquet"))  # noqa: E731
    old = files()
    assert len(old) == 2
    sluice.run("sql", lake, "-c", "ALTER TABLE t SET TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 1 hours')")
    for f in old:
        os.utime(f, (time.time() - 7300,) * 2)
    db.sql("UPDATE t SET v = 'last' WHERE id < 10")
    sluice.sync_once(db.url, lake)
    assert not files() & old and len(files()) == 1
