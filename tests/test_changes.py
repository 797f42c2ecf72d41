"""table_changes(): against what Spark recorded, against delta-rs, and against the rows that the versions differ in."""
import json
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from lib.sluice import REFUSED, ROOT, USAGE
from test_dml import Model, folder, sql  # noqa: F401

SPARK = Path(os.environ.get("SLUICE_SHARED", ROOT.parent / "shared")) / "fixtures" / "spark-delta"
BAD = (USAGE, REFUSED)


def changes(sluice, lake, *arguments, columns="* EXCLUDE (_commit_timestamp)"):
    return sql(sluice, lake, f"SELECT {columns} FROM table_changes({', '.join(map(str, arguments))})").rows()


def counted(rows):
    return Counter(tuple(sorted((k, str(v)) for k, v in r.items())) for r in rows)


@pytest.mark.parametrize("fixture", ["cdf", "cdf_dv"])
def test_changes_are_sparks(sluice, folder, fixture):
    if not SPARK.exists():
        pytest.skip("the tables recorded from Spark are not here (SLUICE_SHARED)")
    shutil.copytree(SPARK / fixture / "table", folder.table_path("t"))
    expected = json.loads((SPARK / fixture / "expected.json").read_text())["cdf"]
    expected = expected["rows"] if isinstance(expected, dict) else expected
    keep = [k for k in expected[0] if k != "_commit_timestamp"]
    got = changes(sluice, folder, "'t'", 0)
    assert set(got[0]) == set(keep)
    assert counted(got) == counted({k: r[k] for k in keep} for r in expected)
    for version in range(1, 8):
        assert counted(changes(sluice, folder, "'t'", version, version)) == counted(
            {k: r[k] for k in keep} for r in expected if r["_commit_version"] == version)
    times = {r["_commit_version"]: r["_commit_timestamp"] for r in changes(sluice, folder, "t", 0, columns="*")}
    assert [times[v] for v in sorted(times)] == sorted(times.values())


def at(sluice, lake, version):
    return counted(sql(sluice, lake, f"FROM t VERSION AS OF {version}").rows())


@pytest.mark.parametrize("vectors", ["true", "false"])
@pytest.mark.parametrize("options", ["", "PARTITIONED BY (p)", "mapped"])
def test_changes_are_what_the_versions_differ_in(sluice, folder, vectors, options):
    model = Model(f"changes{vectors}{options}")
    mapping = ", 'delta.columnMapping.mode' = 'name'" if options == "mapped" else ""
    sql(sluice, folder, f"CREATE TABLE t (id BIGINT, v STRING, p STRING) {options if options != 'mapped' else ''} TBLPROPERTIES ("
                        f"'delta.enableDeletionVectors' = '{vectors}', 'delta.enableChangeDataFeed' = 'true'{mapping})",
        *[model.step() for _ in range(7)], "UPDATE t SET v = v || '?' WHERE id % 2 = 0", "INSERT INTO t REPLACE WHERE id < 20 SELECT 3, 'replaced', 'a'", model.insert(),
        "OPTIMIZE t", "RESTORE t TO VERSION AS OF 3", "DELETE FROM t", "INSERT OVERWRITE t VALUES (1, 'x', 'a')")
    state, last = Counter(), folder.version("t")
    feed = changes(sluice, folder, "'t'", 0)
    for version in range(last + 1):
        for r in [dict(r) for r in feed if r["_commit_version"] == version]:
            kind, _ = r.pop("_change_type"), r.pop("_commit_version")
            state[tuple(sorted((k, str(v)) for k, v in r.items()))] += 1 if kind in ("insert", "update_postimage") else -1
        state = Counter({k: n for k, n in state.items() if n})
        assert state == at(sluice, folder, version), version
    assert {r["_change_type"] for r in changes(sluice, folder, "'t'", 0)} == {
        "insert", "delete", "update_preimage", "update_postimage"}


def test_delta_rs_reads_the_same_changes(sluice, folder):
    import pyarrow as pa
    from deltalake import DeltaTable
    model = Model("delta-rs")
    sql(sluice, folder, "CREATE TABLE t (id BIGINT, v STRING, p STRING) TBLPROPERTIES ('delta.enableDeletionVectors' = 'false', "
                        "'delta.enableChangeDataFeed' = 'true')", *[model.step() for _ in range(10)],
        "INSERT INTO t REPLACE WHERE id < 20 SELECT 3, 'replaced', 'a'", "INSERT OVERWRITE t VALUES (1, 'x', 'a')")
    theirs = pa.table(DeltaTable(str(folder.table_path("t"))).load_cdf(starting_version=0).read_all()).to_pylist()
    for r in theirs:
        del r["_commit_timestamp"]
    assert counted(changes(sluice, folder, "'t'", 0)) == counted(theirs)


def test_ranges_by_version_and_time(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT) TBLPROPERTIES ('delta.enableInCommitTimestamps' = 'true', "
                        "'delta.enableChangeDataFeed' = 'true')", *[f"INSERT INTO t VALUES ({i})" for i in range(1, 6)])
    time = {r["id"]: r["_commit_timestamp"] for r in changes(sluice, folder, "'t'", 0, columns="*")}

    def ids(*arguments):
        return sorted(r["id"] for r in changes(sluice, folder, "'t'", *arguments))

    assert ids(2, 4) == [2, 3, 4] and ids(4) == [4, 5] and ids(4, 100) == [4, 5] and ids(0, 0) == []
    assert ids(f"'{time[2]}'", f"'{time[4]}'") == [2, 3, 4] and ids(f"'{time[3]}'") == [3, 4, 5]
    assert ids("'2000-01-01'", 2) == [1, 2] and ids(3, "'2100-01-01'") == [3, 4, 5]
    assert ids(f"TIMESTAMPTZ '{time[3]}' + INTERVAL 1 MICROSECOND") == [4, 5]
    by_path = sql(sluice, folder, f"SELECT count(*) n FROM table_changes_by_path('{folder.table_path('t')}', 2) c WHERE c.id > 3")
    assert by_path.rows() == [{"n": 2}]
    assert len(sql(sluice, folder, "SELECT * FROM t JOIN table_changes('public.t', 1) c USING (id)").rows()) == 5
    for arguments, error in {("'t'", 9): "newest is 5", ("'t'", 3, 2): "before the start", ("'t'",): "wants a table",
                             ("'nope'", 1): "no table nope", ("'t'", "'soon'"): "versions or times"}.items():
        done = sql(sluice, folder, f"FROM table_changes({', '.join(map(str, arguments))})", code=BAD)
        assert error in done.err


def test_the_feed_must_have_been_on(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)",
        "ALTER TABLE t SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')", "INSERT INTO t VALUES (2)")
    assert "was not on at version 1" in sql(sluice, folder, "FROM table_changes('t', 1)", code=BAD).err
    assert [r["id"] for r in changes(sluice, folder, "'t'", 2)] == [2]
    sql(sluice, folder, "ALTER TABLE t SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'false')")
    assert "was not on at version 4" in sql(sluice, folder, "FROM table_changes('t', 2)", code=BAD).err


def test_changes_have_the_columns_of_the_last_version(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, a STRING) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true', "
                        "'delta.columnMapping.mode' = 'name')", "INSERT INTO t VALUES (1, 'x')",
        "ALTER TABLE t RENAME COLUMN a TO b", "ALTER TABLE t ADD COLUMN c INT", "UPDATE t SET c = 5",
        "MERGE WITH SCHEMA EVOLUTION INTO t USING (SELECT 1 id, true d) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET *")
    rows = changes(sluice, folder, "'t'", 0)
    assert [(r["b"], r["c"], r["d"]) for r in sorted(rows, key=lambda r: (r["_commit_version"], "post" in r["_change_type"]))] == [
        ("x", None, None), ("x", None, None), ("x", 5, None), ("x", 5, None), ("x", 5, True)]
