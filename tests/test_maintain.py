"""Upkeep of tables by SQL: OPTIMIZE, ZORDER BY, REORG, read back by delta-rs, Polars and sluice."""
import json

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
    sql(sluice, folder, f"CREATE TABLE t (a INT, b INT) {mapped}", f"CREATE OR REPLACE TABLE t {mapped} AS SELECT 1 AS a")
    meta = actions(folder, "t")["metaData"][0]
    assert json.loads(meta["schemaString"])["fields"][0]["metadata"]["delta.columnMapping.id"] == 3
    assert meta["configuration"]["delta.columnMapping.maxColumnId"] == "3"
    assert_rows(sluice, folder, "t", [(1,)], ("delta-rs", "sluice"))


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
