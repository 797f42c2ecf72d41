"""Row tracking: every row keeps its id through whatever rewrites it, as `delta_scan(…, row_ids => true)` shows."""
import json
import os
import random
import shutil
from pathlib import Path

import pytest

from lib.oracle import assert_equal
from lib.sluice import ROOT
from test_dml import Model, folder, sql  # noqa: F401

SPARK = Path(os.environ.get("SLUICE_SHARED", ROOT.parent / "shared")) / "fixtures" / "spark-delta"
IDS = ("__row_id", "__row_version")


def tracked(sluice, lake, name, version=None):
    """id → (row id, version that wrote it last, the rest)"""
    at = "" if version is None else f"version => {version}, "
    out = {}
    for r in sql(sluice, lake, f"FROM delta_scan('{lake.table_path(name)}', {at}row_ids => true)").rows():
        assert r["id"] not in out
        out[r["id"]] = (r.pop("__row_id"), r.pop("__row_version"), r)
    return out


def high_water_marks(lake, name):
    for _, actions in lake.log(name):
        for a in actions:
            if a.get("domainMetadata", {}).get("domain") == "delta.rowTracking":
                yield json.loads(a["domainMetadata"]["configuration"])["rowIdHighWaterMark"]


def test_ids_of_spark_tables_are_read(sluice, folder):
    if not SPARK.exists():
        pytest.skip("the tables recorded from Spark are not here (SLUICE_SHARED)")
    shutil.copytree(SPARK / "row_tracking" / "table", folder.table_path("t"))
    expected = json.loads((SPARK / "row_tracking" / "expected.json").read_text())["versions"]
    for version, what in expected.items():
        got = tracked(sluice, folder, "t", version)
        assert {k: v[:2] for k, v in got.items()} == {
            r["id"]: (r["__row_id"], r["__row_commit_version"]) for r in what["rows"]}


def check_step(before, after, version):
    ids = [i for i, _, _ in after.values()]
    assert None not in ids and len(set(ids)) == len(ids)
    highest = max((i for i, _, _ in before.values()), default=-1)
    for key, (row_id, written, row) in after.items():
        if key in before:
            assert row_id == before[key][0]
            assert written == (before[key][1] if row == before[key][2] else version)
        else:
            assert written == version
            assert row_id > highest or key not in before
    return after


@pytest.mark.parametrize("vectors", ["true", "false"])
@pytest.mark.parametrize("partitioned", ["", "PARTITIONED BY (p)"])
@pytest.mark.parametrize("mapping", ["none", "name", "id"])
def test_ids_stay_through_every_statement(sluice, folder, vectors, partitioned, mapping):
    model = Model(f"ids{vectors}{partitioned}")
    sql(sluice, folder, f"CREATE TABLE t (id BIGINT NOT NULL, v STRING, p STRING) {partitioned} TBLPROPERTIES ("
                        f"'delta.enableDeletionVectors' = '{vectors}', 'delta.enableRowTracking' = 'true', "
                        f"'delta.columnMapping.mode' = '{mapping}')", model.insert())
    before, gone = tracked(sluice, folder, "t"), set()
    for _ in range(8):
        step = random.Random(len(gone)).choice([model.insert, model.delete, model.update, model.merge])
        sql(sluice, folder, step())
        after = tracked(sluice, folder, "t")
        gone |= {before[k][0] for k in before if k not in after}
        assert not gone & {i for i, _, _ in after.values()}, "the id of a row that is gone was given again"
        before = check_step(before, after, folder.version("t"))
        assert sorted(after) == sorted(model.rows)
    marks = list(high_water_marks(folder, "t"))
    assert marks == sorted(marks)
    for _, actions in folder.log("t"):
        for a in actions:
            if "add" in a:
                assert a["add"]["baseRowId"] >= 0 and a["add"]["defaultRowCommitVersion"] > 0
                assert not set(IDS) & set(json.loads(a["add"]["stats"]).get("minValues", {}))
                assert "_row-id" not in a["add"]["stats"]


def test_tracking_is_switched_on_in_a_table_with_rows(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, v STRING)", "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        "INSERT INTO t VALUES (4, 'd')", "DELETE FROM t WHERE id = 1",
        "ALTER TABLE t SET TBLPROPERTIES ('delta.enableRowTracking' = 'true')")
    before = tracked(sluice, folder, "t")
    assert sorted(before) == [2, 3, 4] and len({i for i, _, _ in before.values()}) == 3
    sql(sluice, folder, "UPDATE t SET v = 'x' WHERE id > 2", "INSERT INTO t VALUES (5, 'e')")
    after = tracked(sluice, folder, "t")
    assert {k: after[k][0] for k in before} == {k: v[0] for k, v in before.items()}
    assert after[5][0] not in {v[0] for v in before.values()}
    assert after[2][1] < after[3][1] == after[4][1] < after[5][1]


def test_a_table_that_only_supports_tracking_gets_ids_for_new_files(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT) TBLPROPERTIES ('delta.feature.rowTracking' = 'supported', "
                        "'delta.feature.domainMetadata' = 'supported')", "INSERT INTO t VALUES (1), (2)",
        "UPDATE t SET id = 3 WHERE id = 1")
    adds = [a["add"] for _, actions in folder.log("t") for a in actions if "add" in a]
    assert [a["baseRowId"] for a in adds if "deletionVector" not in a] == [0, 2]


def test_compaction_of_the_pipeline_keeps_ids(sluice, lake, db):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT i, 'x' FROM generate_series(1, 100) i")
    sluice.sync_once(db.url, lake)
    sql(sluice, lake, "ALTER TABLE t SET TBLPROPERTIES ('delta.enableRowTracking' = 'true')")
    before = tracked(sluice, lake, "t")
    sync = sluice.start_sync(db.url, lake, "--epoch", "0")
    for i in range(1, 40):
        db.sql(f"UPDATE t SET v = 'y' WHERE id = {i}")
    sync.wait_until(lambda: "OPTIMIZE" in [a["commitInfo"]["operation"] for _, actions in lake.log("t")
                                           for a in actions if "commitInfo" in a], what="a compaction")
    sync.term()
    sluice.sync_once(db.url, lake)
    after = tracked(sluice, lake, "t")
    assert {k: v for k, v in after.items() if k >= 40} == {k: v for k, v in before.items() if k >= 40}
    ids = [i for i, _, _ in after.values()]
    assert len(set(ids)) == 100 and None not in ids
    versions = {k: v[1] for k, v in after.items() if k < 40}
    assert sorted(versions.values()) == [versions[k] for k in sorted(versions)]


@pytest.mark.parametrize("options", [(), ("--copy-on-write", "*.*"), ("--partition-by", "t.p,f.p", "--change-feed", "*.*")])
def test_rows_that_sync_updates_keep_their_ids(sluice, lake, db, options):
    """A row is its key; where there is none, PostgreSQL's old and new images of an update."""
    rng = random.Random(str(options))
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text, p text, big text)", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
           "INSERT INTO t SELECT i, 'x', 'a', repeat(md5(i::text), 80) FROM generate_series(1, 60) i",
           "CREATE TABLE f (id int, v text, p text, big text)", "ALTER TABLE f REPLICA IDENTITY FULL",
           "INSERT INTO f SELECT i, 'x', 'a', 'b' FROM generate_series(1, 60) i")
    sluice.sync_once(db.url, lake, *options)
    for t in "tf":
        sql(sluice, lake, f"ALTER TABLE {t} SET TBLPROPERTIES ('delta.enableRowTracking' = 'true')")
    rows = lambda t: {k: (i, v) for k, (i, _, v) in tracked(sluice, lake, t).items()}  # noqa: E731
    ids = {t: {k: i for k, (i, _) in rows(t).items()} for t in "tf"}
    for round in range(4):
        n = rng.randrange(2, 6)
        for t in "tf":
            db.sql(f"BEGIN; UPDATE {t} SET v = 'u{round}', p = chr(97 + id % 3) WHERE id % {n} = 0; "
                   f"INSERT INTO {t} VALUES ({100 + round}, 'new', 'b', 'c'), ({200 + round}, 'new', 'b', 'c'); "
                   f"UPDATE {t} SET v = v || '!' WHERE id % 3 = 0; DELETE FROM {t} WHERE id = {50 - round}; COMMIT",
                   f"UPDATE {t} SET id = 1000 + id WHERE id = {round + 1}", f"DELETE FROM {t} WHERE id = {20 + round}",
                   f"INSERT INTO {t} VALUES ({20 + round}, 'again', 'a', 'd')")
        sluice.sync_once(db.url, lake, *options)
        for t in "tf":
            assert_equal(db, lake, [t], ("sluice",))
            now = {k: i for k, (i, _) in rows(t).items()}
            old = ids[t]
            assert len(set(now.values())) == len(now) and None not in now.values()
            moved = {1001 + round: old[1 + round]}
            fresh = {100 + round, 200 + round, 20 + round}
            assert {k: i for k, i in now.items() if k not in fresh} == {
                k: i for k, i in {**old, **moved}.items() if k in now and k not in fresh}
            assert not {now[k] for k in fresh} & set(old.values())
            ids[t] = now
