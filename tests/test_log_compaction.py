"""Runs of commits in one file: written while streaming, read in place of the commits, of no harm when broken."""
import json

from lib.oracle import assert_equal


def compacted(lake, table):
    return sorted((lake.table_path(table) / "_delta_log").glob("*.compacted.json"))


def stream(db, sluice, lake, n):
    sync = sluice.start_sync(db.url, lake, "--epoch", "0", "--no-compaction")
    sync.wait_until(lambda: lake.exists("t"))
    for i in range(n):
        db.sql(f"UPDATE t SET v = 'round {i}' WHERE id % 7 = {i % 7}", f"INSERT INTO t VALUES ({1000 + i}, 'new')", f"DELETE FROM t WHERE id = {i}")
        sync.wait_until(lambda i=i: lake.version("t") >= i + 1)
    sync.term()
    sluice.sync_once(db.url, lake, "--epoch", "0", "--no-compaction")


def reconciled(lake, table, first, last):
    """What the commits come to, by Delta's rules."""
    out = {}
    for version, actions in lake.log(table):
        for a in actions if first <= version <= last else ():
            (kind, x), = a.items()
            if kind in ("add", "remove"):
                dv = x.get("deletionVector") or {}
                out["file", x["path"], dv.get("pathOrInlineDv"), dv.get("offset")] = (kind, {**x, "dataChange": False})
            elif kind != "commitInfo":
                out[kind, x.get("appId"), x.get("domain")] = (kind, x)
    return out


def test_runs_of_commits_are_one_file(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'first' FROM generate_series(1, 100) g")
    stream(db, sluice, lake, 25)
    files = compacted(lake, "t")
    assert len(files) >= 2
    at = 0
    for f in files:
        first, last = (int(n) for n in f.name.split(".")[:2])
        assert first >= at and last >= first + 9
        at = last + 1
        got = [json.loads(line) for line in f.read_text().splitlines()]
        want = reconciled(lake, "t", first, last)
        assert sorted(json.dumps(a, sort_keys=True) for a in got) == sorted(json.dumps({k: x}, sort_keys=True) for k, x in want.values())
    assert at <= lake.version("t"), "the newest commit is not in one"
    assert_equal(db, lake, ["t"], ("delta-rs", "sluice"))


def test_they_are_read_in_place_of_the_commits(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'first' FROM generate_series(1, 100) g")
    stream(db, sluice, lake, 25)
    query = "SELECT count(*) AS n, sum(id) AS s FROM t"
    first, last = (int(n) for n in compacted(lake, "t")[0].name.split(".")[:2])
    versions = {v: sluice.sql(lake, f"SELECT count(*) AS n, sum(id) AS s FROM t VERSION AS OF {v}") for v in (first + 1, last, last + 1)}
    before = sluice.sql(lake, query)
    commit = lake.table_path("t") / "_delta_log" / f"{first + 3:020}.json"
    text = commit.read_text()
    commit.unlink()  # nobody reads it: but versions inside of the run need it
    assert sluice.sql(lake, query) == before
    assert sluice.sql(lake, f"SELECT count(*) AS n, sum(id) AS s FROM t VERSION AS OF {last}") == versions[last]
    commit.write_text(text)
    for broken in ("", "{", '{"add":{"path":"x"'):
        for f in compacted(lake, "t"):
            f.write_text(broken + "\n")
        for v, rows in versions.items():
            assert sluice.sql(lake, f"SELECT count(*) AS n, sum(id) AS s FROM t VERSION AS OF {v}") == rows
        assert sluice.sql(lake, query) == before
    db.sql("UPDATE t SET v = 'after' WHERE id < 50")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], ("sluice",))
