"""Upkeep of tables by SQL: OPTIMIZE, ZORDER BY, REORG, read back by delta-rs, Polars and sluice."""
import json
import threading
import time
from pathlib import Path

import pytest

from lib.sluice import USAGE


def sql(sluice, lake, *statements, code=0):
    return sluice.run("sql", lake, "--format", "json", "-c", ";\n".join(statements), code=code)


def rows(sluice, lake, query):
    return [tuple(r.values()) for r in sql(sluice, lake, query).rows()]


def assert_rows(sluice, lake, table, expected, readers=("delta-rs", "polars", "sluice")):
    expected = sorted(expected, key=repr)
    for reader in readers:
        got = sorted(map(tuple, lake.read(table, reader=reader).rows), key=repr)
        assert got == expected, reader


@pytest.fixture
def folder(lake):
    lake.path.mkdir(parents=True, exist_ok=True)
    return lake


def actions(lake, table, version=-1):
    """The actions of a commit by kind."""
    by_kind = {}
    for action in sorted(lake.log(table))[version][1]:
        for kind, body in action.items():
            by_kind.setdefault(kind, []).append(body)
    return by_kind


def test_optimize_merges_small_files_and_takes_masked_rows_out(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, v STRING)",
        *[f"INSERT INTO t VALUES ({3 * i}, 'a'), ({3 * i + 1}, 'b'), ({3 * i + 2}, 'c')" for i in range(5)],
        "DELETE FROM t WHERE id = 7")
    expected = [(i, "abc"[i % 3]) for i in range(15) if i != 7]
    [(path, metrics)] = rows(sluice, folder, "OPTIMIZE t")
    assert path == str(folder.table_path("t"))
    assert (metrics["numFilesAdded"], metrics["numFilesRemoved"], metrics["partitionsOptimized"]) == (1, 5, 1)
    done = actions(folder, "t")
    assert len(done["add"]) == 1 and len(done["remove"]) == 5
    assert not any(a["dataChange"] for a in done["add"] + done["remove"])
    assert "deletionVector" not in done["add"][0]
    stats = json.loads(done["add"][0]["stats"])
    assert stats["numRecords"] == 14 and stats["tightBounds"] and stats["maxValues"]["id"] == 14
    info = done["commitInfo"][0]
    assert info["operation"] == "OPTIMIZE" and info["isolationLevel"] == "SnapshotIsolation"
    assert info["operationParameters"] == {"predicate": "[]", "zOrderBy": "[]", "clusterBy": "[]", "auto": False}
    assert set(info["operationMetrics"]) == {
        "numRemovedFiles", "numRemovedBytes", "p25FileSize", "minFileSize", "numDeletionVectorsRemoved", "p75FileSize",
        "p50FileSize", "numAddedBytes", "numAddedFiles", "maxFileSize"}
    assert info["operationMetrics"]["numDeletionVectorsRemoved"] == "1"
    assert_rows(sluice, folder, "t", expected)
    version = folder.version("t")
    sql(sluice, folder, "OPTIMIZE t")
    assert folder.version("t") == version, "nothing is left to do"


def test_optimize_stays_within_partitions_and_where_chooses_them(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, p STRING, d DATE) PARTITIONED BY (p, d)",
        *[f"INSERT INTO t VALUES ({i}, 'a b', DATE '2026-01-01'), ({i + 10}, NULL, NULL), "
          f"({i + 20}, 'c', DATE '2026-01-02')" for i in range(3)])
    expected = sql(sluice, folder, "SELECT * FROM t").rows()
    sql(sluice, folder, "OPTIMIZE t WHERE `d` >= DATE '2026-01-02'")
    done = actions(folder, "t")
    assert [a["partitionValues"] for a in done["add"]] == [{"p": "c", "d": "2026-01-02"}]
    assert json.loads(done["commitInfo"][0]["operationParameters"]["predicate"])
    sql(sluice, folder, "OPTIMIZE t")
    assert len(actions(folder, "t")["add"]) == 2
    assert sorted(sql(sluice, folder, "SELECT * FROM t").rows(), key=repr) == sorted(expected, key=repr)
    assert len(folder.read("t").rows) == 9
    assert "partition columns" in sql(sluice, folder, "OPTIMIZE t WHERE id > 3", code=USAGE).err
    sql(sluice, folder, "CREATE TABLE u (id INT)", "INSERT INTO u VALUES (1)")
    assert "has none" in sql(sluice, folder, "OPTIMIZE u WHERE id > 3", code=USAGE).err


def test_optimize_packs_up_to_the_target_size(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id BIGINT, v STRING) TBLPROPERTIES ('delta.targetFileSize' = '40kb')",
        *[f"INSERT INTO t SELECT i, md5(i::VARCHAR) FROM range({i * 500}, {i * 500 + 500}) r(i)" for i in range(8)])
    sizes = [a["size"] for a in actions(folder, "t")["add"]]
    sql(sluice, folder, "OPTIMIZE t")
    done = actions(folder, "t")
    assert 1 < len(done["add"]) < 8 and len(done["remove"]) == 8, sizes
    assert_rows(sluice, folder, "t", rows(sluice, folder, "SELECT i, md5(i::VARCHAR) FROM range(4000) r(i)"))


def test_thick_deletion_vectors_are_purged_and_thin_ones_stay(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id BIGINT) TBLPROPERTIES ('delta.targetFileSize' = '100')",
        "INSERT INTO t SELECT i FROM range(1000) r(i)", "DELETE FROM t WHERE id < 10", "OPTIMIZE t")
    assert folder.version("t") == 2, "one file of which one percent is masked stays"
    sql(sluice, folder, "DELETE FROM t WHERE id < 100", "OPTIMIZE t")
    assert folder.version("t") == 4
    assert "deletionVector" not in actions(folder, "t")["add"][0]
    assert_rows(sluice, folder, "t", [(i,) for i in range(100, 1000)])


def test_zorder_sorts_rows_so_that_files_have_narrow_bounds(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id BIGINT, x INT, y STRING, s STRUCT<z: INT>) "
                        "TBLPROPERTIES ('delta.targetFileSize' = '60kb')",
        *[f"INSERT INTO t SELECT i, (i * 7919) % 1000, chr(97 + ((i * 104729) % 26)::INT) || md5(i::VARCHAR), "
          f"{{'z': i}} FROM range({k * 2000}, {k * 2000 + 2000}) r(i)" for k in range(4)])
    before = sql(sluice, folder, "SELECT * FROM t ORDER BY id").rows()
    sql(sluice, folder, "OPTIMIZE t ZORDER BY (x, y)")
    done = actions(folder, "t")
    assert len(done["add"]) > 3 and len(done["remove"]) == 4
    assert done["commitInfo"][0]["operationParameters"]["zOrderBy"] == '["x","y"]'
    spans = [json.loads(a["stats"]) for a in done["add"]]
    assert all(s["maxValues"]["x"] - s["minValues"]["x"] < 900 or s["maxValues"]["y"][0] <= "q" or
               s["minValues"]["y"][0] >= "j" for s in spans), "each file has a part of x or of y"
    assert sum(s["maxValues"]["x"] - s["minValues"]["x"] for s in spans) < 800 * len(spans)
    assert sql(sluice, folder, "SELECT * FROM t ORDER BY id").rows() == before
    assert len(folder.read("t").rows) == 8000
    sql(sluice, folder, "OPTIMIZE t ZORDER BY s.z")
    spans = [json.loads(a["stats"]) for a in actions(folder, "t")["add"]]
    bounds = sorted((s["minValues"]["s"]["z"], s["maxValues"]["s"]["z"]) for s in spans)
    assert all(a[1] < b[0] for a, b in zip(bounds, bounds[1:])), "one column is sorted whole"
    assert "no column \"nope\"" in sql(sluice, folder, "OPTIMIZE t ZORDER BY nope", code=USAGE).err
    assert "FULL" in sql(sluice, folder, "OPTIMIZE t FULL", code=USAGE).err


def test_zorder_refuses_partition_columns(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, p INT) PARTITIONED BY (p)", "INSERT INTO t VALUES (1, 1)")
    assert "partitioned by it" in sql(sluice, folder, "OPTIMIZE t ZORDER BY p", code=USAGE).err


def test_reorg_purge_drops_masked_rows_and_dropped_columns_for_good(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, secret STRING, v INT) TBLPROPERTIES "
                        "('delta.columnMapping.mode' = 'name')",
        "INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2)", "ALTER TABLE t DROP COLUMN secret", "INSERT INTO t VALUES (3, 3)",
        "INSERT INTO t VALUES (4, 4), (5, 5)", "DELETE FROM t WHERE id = 4", "REORG TABLE t APPLY (PURGE)")
    done = actions(folder, "t")
    assert len(done["remove"]) == 2, "the file that is fine stays"
    assert done["commitInfo"][0]["operation"] == "REORG"
    assert done["commitInfo"][0]["operationParameters"] == {"predicate": "[]", "applyPurge": True}
    assert_rows(sluice, folder, "t", [(1, 1), (2, 2), (3, 3), (5, 5)], ("delta-rs", "sluice"))
    columns = rows(sluice, folder, f"SELECT count(DISTINCT name) FROM parquet_schema('{folder.table_path('t')}/"
                                   f"{done['add'][0]['path']}') WHERE num_children IS NULL")
    assert columns == [(2,)]
    version = folder.version("t")
    sql(sluice, folder, "REORG TABLE t APPLY (PURGE)")
    assert folder.version("t") == version


def test_optimize_keeps_nothing_of_a_partition_that_was_masked_whole(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1), (2)", "INSERT INTO t VALUES (3)",
        "DELETE FROM t WHERE id IN (1, 3)", "DELETE FROM t WHERE id = 2", "OPTIMIZE t")
    assert_rows(sluice, folder, "t", [])


def test_optimize_keeps_row_ids(sluice, folder):
    query = f"FROM delta_scan('{folder.table_path('t')}', row_ids => true) ORDER BY id"
    sql(sluice, folder, "CREATE TABLE t (id INT, x INT, y INT) TBLPROPERTIES ('delta.enableRowTracking' = 'true')",
        *[f"INSERT INTO t SELECT i, i * 7 % 13, i * 5 % 11 FROM range({k * 9}, {k * 9 + 9}) r(i)" for k in range(4)],
        "DELETE FROM t WHERE id % 10 = 3", "UPDATE t SET x = -1 WHERE id = 20")
    before = sql(sluice, folder, query).rows()
    for statement in ("OPTIMIZE t", "OPTIMIZE t ZORDER BY (x, y)"):
        sql(sluice, folder, statement)
        assert actions(folder, "t")["commitInfo"][0]["operation"] == "OPTIMIZE"
        assert sql(sluice, folder, query).rows() == before


# ---- CREATE … AS, REPLACE TABLE, CLUSTER BY ----


def kinds(lake, table, version=-1):
    return {kind: len(v) for kind, v in actions(lake, table, version).items()}


def test_create_as_is_one_commit_with_metadata_and_data(sluice, folder):
    [(n,)] = rows(sluice, folder, "CREATE TABLE t PARTITIONED BY (p) TBLPROPERTIES ('a' = 'b') AS "
                                  "SELECT i AS id, 'p' || (i % 2) AS p, {'a b': [i::UTINYINT]} AS s FROM range(5) r(i)")
    assert n == 5 and folder.version("t") == 0
    assert kinds(folder, "t") == {"commitInfo": 1, "protocol": 1, "metaData": 1, "add": 2}
    info = actions(folder, "t")["commitInfo"][0]
    assert info["operation"] == "CREATE TABLE AS SELECT" and info["operationMetrics"]["numOutputRows"] == "5"
    assert len(folder.read("t").rows) == 5
    assert sql(sluice, folder, "SELECT * FROM t WHERE id = 3").rows() == [{"id": 3, "p": "p1", "s": {"a b": [3]}}]


def test_failed_create_as_leaves_no_table_and_no_file(sluice, folder):
    for bad in ("SELECT 1/0 AS x, error('no')", "SELECT nope", "SELECT INTERVAL 1 DAY AS a, NULL::BIT AS b"):
        assert sql(sluice, folder, f"CREATE TABLE t AS {bad}", code=None).err
        assert not [p for p in folder.path.rglob("*") if p.is_file()]


def test_replace_table_is_one_commit_and_the_old_versions_stay(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, v STRING) TBLPROPERTIES ('delta.enableDeletionVectors' = 'false')",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        "CREATE OR REPLACE TABLE t AS SELECT id * 10 AS k, upper(v) AS w FROM t")
    assert folder.version("t") == 2
    assert kinds(folder, "t") == {"commitInfo": 1, "protocol": 1, "metaData": 1, "add": 1, "remove": 1}
    first, last = actions(folder, "t", 0), actions(folder, "t")
    assert first["metaData"][0]["id"] != last["metaData"][0]["id"]
    info = last["commitInfo"][0]
    assert info["operation"] == "CREATE OR REPLACE TABLE AS SELECT" and not info["isBlindAppend"]
    assert_rows(sluice, folder, "t", [(10, "A"), (20, "B")])
    assert rows(sluice, folder, "SELECT * FROM t AT (VERSION => 1) ORDER BY id") == [(1, "a"), (2, "b")]
    sql(sluice, folder, "REPLACE TABLE t (x DATE) PARTITIONED BY (x) COMMENT 'new'", code=None)
    sql(sluice, folder, "REPLACE TABLE t (x DATE, y INT) PARTITIONED BY (x)", "INSERT INTO t VALUES (DATE '2026-01-01', 1)")
    assert actions(folder, "t", 3)["commitInfo"][0]["operation"] == "REPLACE TABLE"
    assert rows(sluice, folder, "SELECT y FROM t") == [(1,)]
    assert "no table u" in sql(sluice, folder, "REPLACE TABLE u (x INT)", code=USAGE).err
    sql(sluice, folder, "CREATE OR REPLACE TABLE u (x INT)")
    assert folder.version("u") == 0


def test_replaced_column_mapping_gives_no_id_twice(sluice, folder):
    mapped = "TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"
    sql(sluice, folder, f"CREATE TABLE t (a INT, b INT) {mapped}", f"CREATE OR REPLACE TABLE t {mapped} AS SELECT 'x' AS a")
    meta = actions(folder, "t")["metaData"][0]
    assert json.loads(meta["schemaString"])["fields"][0]["metadata"]["delta.columnMapping.id"] == 3
    assert meta["configuration"]["delta.columnMapping.maxColumnId"] == "3"
    assert_rows(sluice, folder, "t", [("x",)], ("delta-rs", "sluice"))


def test_create_as_checks_constraints(sluice, folder):
    done = sql(sluice, folder, "CREATE TABLE t (CONSTRAINT pos CHECK (`id` > 0)) AS SELECT -1 AS id", code=USAGE)
    assert "pos" in done.err


def clustering(lake, table, version=-1):
    return [(json.loads(d["configuration"])["clusteringColumns"], d["removed"])
            for d in actions(lake, table, version).get("domainMetadata", [])]


def test_clustered_table_is_sorted_by_its_columns(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, k INT, s STRUCT<x: INT>) CLUSTER BY (k, s.x) "
                        "TBLPROPERTIES ('delta.targetFileSize' = '8kb')")
    assert clustering(folder, "t") == [([["k"], ["s", "x"]], False)]
    assert {"clustering", "domainMetadata"} <= set(actions(folder, "t")["protocol"][0]["writerFeatures"])
    assert json.loads(actions(folder, "t")["commitInfo"][0]["operationParameters"]["clusterBy"]) == ["k", "s.x"]
    sql(sluice, folder, *[f"INSERT INTO t SELECT i, (i * 37) % 101, {{'x': (i * 53) % 103}} "
                          f"FROM range({k * 700}, {k * 700 + 700}) r(i)" for k in range(3)])
    before = sql(sluice, folder, "SELECT * FROM t ORDER BY id").rows()
    sql(sluice, folder, "OPTIMIZE t")
    done = actions(folder, "t")
    assert len(done["remove"]) == 3 and len(done["add"]) > 1
    assert all(a["clusteringProvider"] == "liquid" and json.loads(a["tags"]["ZCUBE_ZORDER_BY"]) == ["k", "s.x"]
               for a in done["add"]) and len({a["tags"]["ZCUBE_ID"] for a in done["add"]}) == 1
    assert done["commitInfo"][0]["operationParameters"] == {
        "predicate": "[]", "zOrderBy": "[]", "clusterBy": '["k","s.x"]', "auto": False, "isFull": False}
    assert sql(sluice, folder, "SELECT * FROM t ORDER BY id").rows() == before
    version = folder.version("t")
    sql(sluice, folder, "OPTIMIZE t")
    assert folder.version("t") == version, "nothing new to cluster"
    sql(sluice, folder, "INSERT INTO t VALUES (-1, 5, NULL)", "OPTIMIZE t", "ALTER TABLE t CLUSTER BY (id)", "OPTIMIZE t")
    assert actions(folder, "t")["commitInfo"][0]["operation"] == "CLUSTER BY"
    assert actions(folder, "t")["commitInfo"][0]["operationParameters"] == {
        "oldClusteringColumns": "k,s.x", "newClusteringColumns": "id"}
    sql(sluice, folder, "OPTIMIZE t FULL")
    assert actions(folder, "t")["commitInfo"][0]["operationParameters"]["isFull"]
    assert sql(sluice, folder, "SELECT count(*) AS n FROM t").rows() == [{"n": 2101}]
    assert rows(sluice, folder, "DESCRIBE DETAIL t") and len(folder.read("t").rows) == 2101
    assert "clustered" in sql(sluice, folder, "OPTIMIZE t ZORDER BY k", code=USAGE).err
    sql(sluice, folder, "ALTER TABLE t CLUSTER BY NONE")
    assert clustering(folder, "t") == [([], False)]
    sql(sluice, folder, "CREATE OR REPLACE TABLE t (id INT)")
    assert clustering(folder, "t") == [([], True)]


def test_cluster_by_refuses_what_cannot_be(sluice, folder):
    for create, expected in {
        "(a INT, p INT) PARTITIONED BY (p) CLUSTER BY (a)": "partitioned or clustered",
        "(a INT) CLUSTER BY (b)": "no such column",
        "(a BOOLEAN) CLUSTER BY (a)": "no statistics",
        "(a INT, b INT) CLUSTER BY (b) TBLPROPERTIES ('delta.dataSkippingNumIndexedCols' = '1')": "no statistics",
        "(a INT, b INT, c INT, d INT, e INT) CLUSTER BY (a, b, c, d, e)": "at most 4",
    }.items():
        assert expected in sql(sluice, folder, f"CREATE TABLE t {create}", code=USAGE).err, create
    sql(sluice, folder, "CREATE TABLE t (a INT, b INT) TBLPROPERTIES ('delta.columnMapping.mode' = 'name')",
        "ALTER TABLE t CLUSTER BY (b)", "ALTER TABLE t RENAME COLUMN b TO c")
    assert "clustered by" in sql(sluice, folder, "ALTER TABLE t DROP COLUMN c", code=USAGE).err
    assert sql(sluice, folder, "DESCRIBE DETAIL t").rows()[0]["clusteringColumns"] == ["c"]


def test_a_table_is_partitioned_or_clustered(sluice, folder):
    """As Spark, to which a table that has the feature is a clustered one."""
    sql(sluice, folder, "CREATE TABLE t (id INT, p INT) CLUSTER BY (id)", "ALTER TABLE t CLUSTER BY NONE", "CREATE TABLE part (id INT, p INT) PARTITIONED BY (p)")
    for statement in ("CREATE OR REPLACE TABLE t (id INT, p INT) PARTITIONED BY (p)", "CREATE OR REPLACE TABLE t PARTITIONED BY (p) AS SELECT 1 AS id, 2 AS p"):
        done = sql(sluice, folder, statement, code=USAGE)
        assert "clustered is not replaced" in done.err and "DROP FEATURE clustering" in done.err
    for columns in ("(id)", "NONE"):
        assert "partitioned or clustered" in sql(sluice, folder, f"ALTER TABLE part CLUSTER BY {columns}", code=USAGE).err
    sql(sluice, folder, "ALTER TABLE t DROP FEATURE clustering", "CREATE OR REPLACE TABLE t (id INT, p INT) PARTITIONED BY (p)",
        "CREATE OR REPLACE TABLE part (id INT, p INT) CLUSTER BY (p)")
    assert clustering(folder, "part") == [([["p"]], False)]


# ---- SHALLOW CLONE, CONVERT TO DELTA ----


def test_shallow_clone_reads_the_sources_files_and_goes_its_own_way(sluice, folder):
    sql(sluice, folder, "CREATE TABLE src (id INT, v STRING, p STRING) PARTITIONED BY (p) TBLPROPERTIES ('own' = 'x')",
        "INSERT INTO src VALUES (1, 'a', 'a b'), (2, 'b', 'c%d'), (3, 'c', 'a b')", "DELETE FROM src WHERE id = 3",
        "INSERT INTO src VALUES (4, 'd', NULL)",
        "CREATE TABLE t SHALLOW CLONE src", "CREATE TABLE old SHALLOW CLONE src VERSION AS OF 1 TBLPROPERTIES ('own' = 'y')")
    assert folder.version("t") == 0
    done = actions(folder, "t")
    assert all(a["path"].startswith("file:/") and not a["path"].startswith("file://") for a in done["add"])
    assert {a["deletionVector"]["storageType"] for a in done["add"] if "deletionVector" in a} == {"p"}
    info = done["commitInfo"][0]
    assert info["operation"] == "CLONE" and info["operationParameters"]["sourceVersion"] == 3
    assert info["operationMetrics"]["sourceNumOfFiles"] == "3"
    assert done["metaData"][0]["id"] != actions(folder, "src", 0)["metaData"][0]["id"]
    expected = [(1, "a", "a b"), (2, "b", "c%d"), (4, "d", None)]
    assert_rows(sluice, folder, "t", expected, ("sluice", "delta-rs"))
    assert rows(sluice, folder, "SELECT id FROM old ORDER BY id") == [(1,), (2,), (3,)]
    assert actions(folder, "old")["metaData"][0]["configuration"]["own"] == "y"
    sql(sluice, folder, "UPDATE t SET v = 'new' WHERE id = 1", "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (9, 'z', 'q')")
    assert_rows(sluice, folder, "t", [(1, "new", "a b"), (4, "d", None), (9, "z", "q")], ("sluice",))
    assert_rows(sluice, folder, "src", expected, ("sluice", "delta-rs"))
    sql(sluice, folder, "OPTIMIZE t", "CREATE TABLE again SHALLOW CLONE t")
    assert_rows(sluice, folder, "again", [(1, "new", "a b"), (4, "d", None), (9, "z", "q")], ("sluice",))


def test_clone_replaces_a_table_in_one_commit(sluice, folder):
    sql(sluice, folder, "CREATE TABLE src (id INT) CLUSTER BY (id)", "INSERT INTO src VALUES (1)",
        "CREATE TABLE t (x STRING)", "INSERT INTO t VALUES ('old')")
    assert "already" in sql(sluice, folder, "CREATE TABLE t SHALLOW CLONE src", code=None).err
    sql(sluice, folder, "CREATE OR REPLACE TABLE t SHALLOW CLONE src")
    assert folder.version("t") == 2 and clustering(folder, "t") == [([["id"]], False)]
    assert_rows(sluice, folder, "t", [(1,)], ("sluice", "delta-rs"))
    assert "itself" in sql(sluice, folder, "CREATE OR REPLACE TABLE t SHALLOW CLONE t VERSION AS OF 1", code=USAGE).err


def test_clone_brings_row_ids_along(sluice, folder):
    sql(sluice, folder, "CREATE TABLE src (id INT) TBLPROPERTIES ('delta.enableRowTracking' = 'true')",
        "INSERT INTO src VALUES (1), (2)", "INSERT INTO src VALUES (3)", "CREATE TABLE t SHALLOW CLONE src",
        "INSERT INTO t VALUES (4)")
    got = sql(sluice, folder, f"FROM delta_scan('{folder.table_path('t')}', row_ids => true) ORDER BY id").rows()
    assert [r["__row_id"] for r in got] == [0, 1, 2, 3]


def test_convert_makes_a_table_of_parquet_files(sluice, folder):
    at = folder.path / "raw"
    for part in ("p=1/q=a%20b", "p=2/q=__HIVE_DEFAULT_PARTITION__", "_hidden", ".hidden"):
        (at / part).mkdir(parents=True)
    sql(sluice, folder, f"COPY (SELECT 1 AS id, 'x' AS v, {{'a': 1.5}} AS s, TIMESTAMPTZ '2026-01-01 00:00:00+00' AS ts) "
                        f"TO '{at}/p=1/q=a%20b/one.parquet' (FORMAT parquet)",
        f"COPY (SELECT i::INT AS id, 'y' || i AS v, NULL::STRUCT(a DECIMAL(2,1)) AS s, NULL::TIMESTAMPTZ AS ts, i::DOUBLE AS d "
        f"FROM range(2, 5) r(i)) TO '{at}/p=2/q=__HIVE_DEFAULT_PARTITION__/two [2].parquet' (FORMAT parquet)",
        f"COPY (SELECT 1 AS nope) TO '{at}/_hidden/x.parquet' (FORMAT parquet)",
        f"COPY (SELECT 1 AS nope) TO '{at}/.hidden/x.parquet' (FORMAT parquet)")
    done = sql(sluice, folder, f"CONVERT TO DELTA parquet.`{at}`", code=USAGE)
    assert "PARTITIONED BY" in done.err
    assert rows(sluice, folder, f"CONVERT TO DELTA parquet.`{at}` PARTITIONED BY (p INT, q STRING)") == [(2,)]
    from deltalake import DeltaTable
    table = DeltaTable(str(at))
    assert sorted(table.to_pyarrow_table().to_pylist(), key=lambda r: r["id"])[0]["q"] == "a b"
    got = sql(sluice, folder, f"SELECT id, v, s.a AS a, d, p, q FROM delta.`{at}` ORDER BY id").rows()
    assert got == [{"id": 1, "v": "x", "a": 1.5, "d": None, "p": 1, "q": "a b"}] + [
        {"id": i, "v": f"y{i}", "a": None, "d": float(i), "p": 2, "q": None} for i in (2, 3, 4)]
    log = [json.loads(line) for line in (at / "_delta_log" / f"{0:020}.json").read_text().splitlines()]
    adds = {a["add"]["partitionValues"]["p"]: json.loads(a["add"]["stats"]) for a in log if "add" in a}
    assert adds["1"] == {"numRecords": 1, "minValues": {"id": 1, "v": "x", "s": {"a": 1.5}, "ts": "2026-01-01T00:00:00.000Z"},
                         "maxValues": {"id": 1, "v": "x", "s": {"a": 1.5}, "ts": "2026-01-01T00:00:00.000Z"},
                         "nullCount": {"id": 0, "v": 0, "s": {"a": 0}, "ts": 0, "d": 1}}
    assert adds["2"]["minValues"]["d"] == 2.0 and adds["2"]["nullCount"]["ts"] == 3
    assert next(a["commitInfo"] for a in log if "commitInfo" in a)["operation"] == "CONVERT"
    assert rows(sluice, folder, f"CONVERT TO DELTA parquet.`{at}`") == [(0,)], "it is a table already"
    sql(sluice, folder, f"INSERT INTO delta.`{at}` (id, p) VALUES (9, 9)", f"OPTIMIZE delta.`{at}`")


def test_convert_refuses_what_is_no_table(sluice, folder):
    for name, select in {"empty": None, "names": "SELECT 1 AS \"a b\"", "type": "SELECT 1 AS id"}.items():
        (folder.path / name).mkdir()
        if select:
            sql(sluice, folder, f"COPY ({select}) TO '{folder.path / name}/x.parquet' (FORMAT parquet)")
    assert "no .parquet file" in sql(sluice, folder, f"CONVERT TO DELTA parquet.`{folder.path}/empty`", code=USAGE).err
    assert "\"a b\"" in sql(sluice, folder, f"CONVERT TO DELTA parquet.`{folder.path}/names`", code=USAGE).err
    (folder.path / "type" / "y.parquet").write_bytes(b"not parquet")
    assert "y.parquet" in sql(sluice, folder, f"CONVERT TO DELTA parquet.`{folder.path}/type`", code=None).err
    assert not (folder.path / "type" / "_delta_log").exists()
    (folder.path / "p" / "d=x").mkdir(parents=True)
    sql(sluice, folder, f"COPY (SELECT 1 AS id) TO '{folder.path}/p/d=x/x.parquet' (FORMAT parquet)")
    done = sql(sluice, folder, f"CONVERT TO DELTA parquet.`{folder.path}/p` PARTITIONED BY (d DATE)", code=None)
    assert "d=x/x.parquet" in done.err


def test_convert_refuses_a_column_of_two_types(sluice, folder):
    """As Spark: statistics and conditions go by what a file holds. What Parquet stores alike (byte, short, integer) is one type."""
    for n, (one, other, told) in enumerate([("1::INT", "2::BIGINT", ("bigint", "int")), ("1::INT", "2.5::DOUBLE", ("double", "int")), ("'x'", "1::INT", ("int", "string")),
                                            ("1::DECIMAL(10,2)", "2::DECIMAL(12,2)", ("decimal(12,2)", "decimal(10,2)")),
                                            ("{'a': 1::INT}", "{'a': 2::BIGINT}", ("struct<a:bigint>", "struct<a:int>"))]):
        at = folder.path / f"two{n}"
        at.mkdir()
        sql(sluice, folder, *[f"COPY (SELECT 7 AS k, {v} AS c) TO '{at}/{file}.parquet' (FORMAT parquet)" for file, v in (("a", one), ("b", other))])
        done = sql(sluice, folder, f"CONVERT TO DELTA parquet.`{at}`", code=USAGE)
        assert f'b.parquet: the column "c" is {told[0]} there and {told[1]} in other files' in done.err and "union_by_name" in done.err
        assert not (at / "_delta_log").exists()
    at = folder.path / "one"
    at.mkdir()
    sql(sluice, folder, f"COPY (SELECT 1::TINYINT AS c, {{'x': [1::SMALLINT]}} AS s) TO '{at}/a.parquet' (FORMAT parquet)",
        f"COPY (SELECT 2::INT AS \"C\", {{'y': 'new', 'x': [70000::INT]}} AS s) TO '{at}/b.parquet' (FORMAT parquet)", f"CONVERT TO DELTA parquet.`{at}`")
    t = f"delta.`{at}`"
    assert sql(sluice, folder, f"SELECT * FROM {t} ORDER BY c").rows() == [{"c": 1, "s": {"x": [1], "y": None}}, {"c": 2, "s": {"x": [70000], "y": "new"}}]
    assert rows(sluice, folder, f"SELECT c FROM {t} WHERE c > 1") == rows(sluice, folder, f"SELECT c FROM {t} WHERE s.y = 'new'") == [(2,)]
    kinds = {r["col_name"]: r["data_type"] for r in sql(sluice, folder, f"DESCRIBE TABLE {t}").rows()}
    assert (kinds["c"], kinds["s"]) == ("int", "struct<x:array<int>,y:string>")


STORES = ["CREATE TABLE delta.`{at}/c` SHALLOW CLONE delta.`{url}`", "CREATE TABLE delta.`{url}` SHALLOW CLONE t", "CREATE TABLE u (id INT) LOCATION '{url}'",
          "CONVERT TO DELTA parquet.`{url}`", "SELECT * FROM delta.`{url}`", "INSERT INTO delta.`{url}` VALUES (1)", "DESCRIBE HISTORY delta.`{url}`",
          "SELECT * FROM delta_scan('{url}')", "SELECT * FROM table_changes_by_path('{url}', 0)", "VACUUM delta.`{url}`"]


@pytest.mark.parametrize("statement", STORES)
def test_the_url_of_an_object_store_is_no_folder(sluice, folder, statement):
    sql(sluice, folder, "CREATE TABLE t (id INT)")
    for url in ("s3://bucket/x", "abfss://c@a.dfs.core.windows.net/x"):
        done = sql(sluice, folder, statement.format(at=folder.path, url=url), code=None)
        assert done.code == 2 and f"{url}: only folders" in done.err and "mount the bucket" in done.err
    assert not Path("s3:").exists()


def test_the_url_of_a_folder_is_that_folder(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)", f"CREATE TABLE u SHALLOW CLONE delta.`file://{folder.table_path('t')}`")
    assert rows(sluice, folder, f"SELECT id FROM delta.`file:{folder.table_path('u')}`") == rows(sluice, folder, f"FROM 'file://{folder.table_path('t')}'") == [(1,)]
    for args in (["sql", "s3://bucket/lake", "-c", "SELECT 1"], ["status", "gs://bucket/lake"], ["sync", "postgres:///none", "s3://bucket/lake"],
                 ["verify", "postgres:///none", "s3://bucket/lake"]):
        done = sluice.run(*args, code=None)
        assert done.code == 2 and "://bucket/lake: only folders" in done.err


# ---- DROP FEATURE, VACUUM LITE ----


def protocol(lake, table):
    return [a["protocol"] for _, done in sorted(lake.log(table)) for a in done if "protocol" in a][-1]


def test_drop_deletion_vectors_writes_files_without_them(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1), (2), (3)", "DELETE FROM t WHERE id = 2",
        "ALTER TABLE t DROP FEATURE deletionVectors")
    assert protocol(folder, "t") == {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": [
        "appendOnly", "invariants", "checkpointProtection"]}
    info = actions(folder, "t")["commitInfo"][0]
    assert info["operation"] == "DROP FEATURE"
    assert info["operationParameters"] == {"featureName": "deletionVectors", "truncateHistory": False}
    version = folder.version("t")
    meta = actions(folder, "t")["metaData"][0]["configuration"]
    assert meta == {"delta.requireCheckpointProtectionBeforeVersion": str(version)}
    assert (folder.table_path("t") / "_delta_log" / f"{version:020}.checkpoint.parquet").exists()
    sql(sluice, folder, "DELETE FROM t WHERE id = 1")
    assert_rows(sluice, folder, "t", [(3,)])
    assert "does not have" in sql(sluice, folder, "ALTER TABLE t DROP FEATURE deletionVectors", code=USAGE).err
    assert "still has versions" in sql(sluice, folder, "ALTER TABLE t DROP FEATURE checkpointProtection", code=None).err


def test_drop_feature_with_truncated_history(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1), (2)", "DELETE FROM t WHERE id = 1")
    done = sql(sluice, folder, "ALTER TABLE t DROP FEATURE deletionVectors TRUNCATE HISTORY", code=None)
    assert "24 hours" in done.err and "deletionVectors" in done.err
    sql(sluice, folder, "ALTER TABLE t SET TBLPROPERTIES "
                        "('delta.dropFeatureTruncateHistory.retentionDuration' = 'interval 0 seconds')",
        "ALTER TABLE t DROP FEATURE deletionVectors TRUNCATE HISTORY")
    assert protocol(folder, "t") == {"minReaderVersion": 1, "minWriterVersion": 2}
    assert_rows(sluice, folder, "t", [(2,)])


def test_drop_feature_refuses_what_is_in_use(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, d INT DEFAULT 1, n TIMESTAMP_NTZ, CONSTRAINT pos CHECK (id > 0)) "
                        "CLUSTER BY (id) TBLPROPERTIES ('delta.enableInCommitTimestamps' = 'true')")
    for feature, expected in {"checkConstraints": "DROP CONSTRAINT", "allowColumnDefaults": "DROP DEFAULT",
                              "timestampNtz": "timestamp_ntz", "clustering": "CLUSTER BY NONE",
                              "domainMetadata": "drop that first"}.items():
        assert expected in sql(sluice, folder, f"ALTER TABLE t DROP FEATURE {feature}", code=None).err, feature
    sql(sluice, folder, "ALTER TABLE t DROP CONSTRAINT pos", "ALTER TABLE t DROP FEATURE checkConstraints",
        "ALTER TABLE t CLUSTER BY NONE", "ALTER TABLE t DROP FEATURE clustering",
        "ALTER TABLE t DROP FEATURE inCommitTimestamp", "INSERT INTO t (id) VALUES (1)")
    left = set(protocol(folder, "t")["writerFeatures"])
    assert not left & {"checkConstraints", "clustering", "inCommitTimestamp"} and "allowColumnDefaults" in left
    assert clustering(folder, "t", -3) == [([], True)]


def test_drop_type_widening_rewrites_narrow_files(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT) TBLPROPERTIES ('delta.enableTypeWidening' = 'true', "
                        "'delta.enableDeletionVectors' = 'false')", "INSERT INTO t VALUES (1)",
        "ALTER TABLE t ALTER COLUMN id TYPE BIGINT", "INSERT INTO t VALUES (5000000000)",
        "ALTER TABLE t DROP FEATURE typeWidening")
    assert "typeChanges" not in actions(folder, "t")["metaData"][0]["schemaString"]
    assert_rows(sluice, folder, "t", [(1,), (5000000000,)], ("delta-rs", "sluice"))


def inventory(*files):
    rows = ", ".join(f"({p if p == 'NULL' else repr(str(p))}, {size}, {str(is_dir).lower()}, {time})" for p, size, is_dir, time in files)
    return f"(SELECT * FROM (VALUES {rows}) AS i(path, length, isDir, modificationTime))"


def test_vacuum_judges_the_files_of_an_inventory_only(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, p INT) PARTITIONED BY (p)", "INSERT INTO t VALUES (1, 1)", "CREATE TABLE u (id INT)", "INSERT INTO u VALUES (1)")
    t, u = folder.table_path("t"), folder.table_path("u")
    live, other = next(t.rglob("*.parquet")), next(u.rglob("*.parquet"))
    young, link = int(time.time() * 1000), folder.path / "link"
    for name in ("a.parquet", "p=1/b.parquet", "c d.parquet", "unlisted.parquet", "young.parquet", "_hidden/x.parquet", "null.parquet", "via.parquet"):
        (t / name).parent.mkdir(exist_ok=True)
        (t / name).write_bytes(b"12345")
    link.symlink_to(t)
    files = [(f"file:{t}/a.parquet", 5, False, 0), (t / "p=1/b.parquet", 5, False, 0), (f"file://{t}/c d.parquet", 5, False, 0), (live, 5, False, 0),
             (t / "young.parquet", 5, False, young), (t / "_hidden/x.parquet", 5, False, 0), (t / "gone.parquet", 7, False, 0), (t / "p=1", 0, True, 0),
             (t / "_delta_log" / f"{0:020}.json", 5, False, 0), (other, 5, False, 0), (f"{t}/../u/{other.name}", 5, False, 0), (f"{t}x/a.parquet", 5, False, 0), ("unlisted.parquet", 5, False, 0),
             ("NULL", 5, False, 0), (t / "null.parquet", 5, False, "NULL")]
    listed = [r["path"] for r in sql(sluice, folder, f"VACUUM t USING INVENTORY {inventory(*files)} DRY RUN").rows()]
    assert listed == ["a.parquet", "c d.parquet", "gone.parquet", "p=1/b.parquet"]
    assert sql(sluice, folder, f"VACUUM t USING INVENTORY {inventory(*files)} RETAIN 200 HOURS").rows() == [{"num_deleted_files": 3, "deleted_bytes": 15}]
    assert {p.name for p in t.rglob("*.parquet")} == {live.name, "unlisted.parquet", "young.parquet", "x.parquet", "null.parquet", "via.parquet"} and other.exists()
    sql(sluice, folder, f"CREATE TABLE i AS {inventory((t / 'via.parquet', 5, False, 0))}", f"VACUUM delta.`{link}` USING INVENTORY i VERSION AS OF 0")
    assert not (t / "via.parquet").exists()
    assert rows(sluice, folder, "SELECT * FROM t") == [(1, 1)]


@pytest.mark.parametrize("query,said", [("(SELECT 'x' AS path, 5 AS length, false AS isDir)", "modificationTime"), ("(SELECT 'x' AS path, 5 AS length, false AS isDir, now() AS modificationTime)", "cast"),
                                        ("nope", "nope"), ("(SELECT", "expected )")])
def test_vacuum_refuses_what_is_no_inventory(sluice, folder, query, said):
    sql(sluice, folder, "CREATE TABLE t (id INT)")
    assert said in sql(sluice, folder, f"VACUUM t USING INVENTORY {query}", code=None).err
    assert "not for VACUUM … LITE" in sql(sluice, folder, "VACUUM t LITE USING INVENTORY (SELECT 1)", code=None).err
    assert folder.version("t") == 0


def test_vacuum_lite_deletes_what_the_log_removed(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, p INT) PARTITIONED BY (p) TBLPROPERTIES "
                        "('delta.deletedFileRetentionDuration' = 'interval 0 seconds')",
        "INSERT INTO t VALUES (1, 1), (2, 1)", "INSERT INTO t VALUES (3, 2)", "DELETE FROM t WHERE id = 1",
        "OPTIMIZE t", "DELETE FROM t WHERE id = 2")
    stray = folder.table_path("t") / "p=1" / "stray.parquet"
    stray.write_bytes(b"")
    listed = [r["path"] for r in sql(sluice, folder, "VACUUM t LITE DRY RUN").rows()]
    assert len(listed) == 3 and "stray" not in str(listed), listed
    assert sql(sluice, folder, "VACUUM t LITE").rows()[0]["num_deleted_files"] == 3
    assert stray.exists()
    assert actions(folder, "t", -2)["commitInfo"][0]["operationParameters"] == {
        "retentionCheckEnabled": True, "defaultRetentionMillis": 0, "specifiedRetentionMillis": 0}
    assert_rows(sluice, folder, "t", [(3, 2)])
    assert sql(sluice, folder, "VACUUM t").rows()[0]["num_deleted_files"] == 1


def test_optimize_beside_a_writer_loses_nothing(sluice, folder):
    """Another process inserts and deletes all the while; whoever comes second goes on from what the first has done."""
    sql(sluice, folder, "CREATE TABLE t (id INT, x INT)", "INSERT INTO t SELECT i, i % 7 FROM range(1000) r(i)")
    statements = []
    for k in range(12):
        statements += [f"INSERT INTO t SELECT i, i % 5 FROM range({1000 + 100 * k}, {1100 + 100 * k}) r(i)",
                       f"DELETE FROM t WHERE id % 50 = {k}"]
    failed = []

    def write():
        for statement in statements:
            done = sql(sluice, folder, statement, code=None)
            if done.code:
                failed.append(done.err)

    writer = threading.Thread(target=write)
    writer.start()
    optimized = 0
    while writer.is_alive():
        for statement in ("OPTIMIZE t", "OPTIMIZE t ZORDER BY (x, id)"):
            done = sql(sluice, folder, statement, code=None)
            assert done.code == 0 or "by another writer" in done.err, done.err
            optimized += done.code == 0
    writer.join()
    assert not failed and optimized
    expected = []
    for i in range(2200):
        born = max(0, (i - 1000) // 100)  # the step that inserted it
        if not any(i % 50 == k for k in range(born, 12)):
            expected.append((i, i % 7 if i < 1000 else i % 5))
    assert_rows(sluice, folder, "t", expected)
