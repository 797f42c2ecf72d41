"""What upkeep makes of tables, as Spark reads it; of some only a checkpoint can tell what was before."""
import pytest

from lib.spark import Log, SparkError
from lib.twins import our_rows, spark_rows
from test_maintain import folder, sql  # noqa: F401

pytestmark = pytest.mark.spark
TYPES = ("a INT, d DECIMAL(10,2), s STRUCT<x: STRING, y: DOUBLE>, ts TIMESTAMP, n TIMESTAMP_NTZ, dt DATE, p DATE) "
         "PARTITIONED BY (p) TBLPROPERTIES ('delta.checkpointInterval' = '2', "
         "'delta.checkpoint.writeStatsAsStruct' = 'true', 'delta.checkpoint.writeStatsAsJson' = 'false'")
VALUES = ("(1, 1.25, {'x': 'm', 'y': 0.5}, '2026-01-02 03:04:05.678Z', '2026-01-02 03:04:05.678', '2026-01-02', '2026-02-03')",
          "(2, NULL, NULL, NULL, NULL, NULL, NULL)",
          "(3, 3.5, {'x': 'z', 'y': 1.5}, '2026-01-02 03:04:05Z', '2026-01-02 03:04:05', '2026-01-02', '2026-02-04')")
STATEMENTS = [
    "CREATE TABLE src (id INT, v STRING, p STRING) PARTITIONED BY (p)",
    "INSERT INTO src VALUES (1, 'a', 'a b'), (2, 'b', 'c%d'), (3, 'c', 'a b')",
    "DELETE FROM src WHERE id = 3", "INSERT INTO src VALUES (4, 'd', NULL)",
    "CREATE TABLE cloned SHALLOW CLONE src", "UPDATE cloned SET v = 'new' WHERE id = 1",
    "CREATE TABLE clustered (id INT, k INT, s STRUCT<x: INT>) CLUSTER BY (k, s.x) "
    "TBLPROPERTIES ('delta.targetFileSize' = '4kb')",
    "INSERT INTO clustered SELECT i, (i * 37) % 101, {'x': (i * 53) % 103} FROM range(700) r(i)",
    "INSERT INTO clustered SELECT i, (i * 37) % 101, {'x': (i * 53) % 103} FROM range(700, 900) r(i)", "OPTIMIZE clustered",
    "CREATE TABLE tracked (id INT, x INT, y INT) TBLPROPERTIES ('delta.enableRowTracking' = 'true')",
    "INSERT INTO tracked VALUES (1, 1, 1), (2, 2, 2)", "INSERT INTO tracked VALUES (3, 3, 3)",
    "DELETE FROM tracked WHERE id = 2", "OPTIMIZE tracked ZORDER BY (x, y)",
    "CREATE OR REPLACE TABLE replaced AS SELECT 1 AS a",
    "CREATE OR REPLACE TABLE replaced PARTITIONED BY (b) AS SELECT a + 1 AS c, 'x' AS b FROM replaced",
    "CREATE TABLE dropped (id INT)", "INSERT INTO dropped VALUES (1), (2)", "DELETE FROM dropped WHERE id = 1",
    "ALTER TABLE dropped DROP FEATURE deletionVectors",
    "CREATE TABLE purged (id INT, secret STRING, v INT) TBLPROPERTIES ('delta.columnMapping.mode' = 'name')",
    "INSERT INTO purged VALUES (1, 'x', 1)", "ALTER TABLE purged DROP COLUMN secret", "INSERT INTO purged VALUES (2, 2)",
    "REORG TABLE purged APPLY (PURGE)",
    f"CREATE TABLE classic ({TYPES})", *[f"INSERT INTO classic VALUES {v}" for v in VALUES],
    "DELETE FROM classic WHERE a = 2",
    f"CREATE TABLE v2 ({TYPES}, 'delta.checkpointPolicy' = 'v2')", *[f"INSERT INTO v2 VALUES {v}" for v in VALUES],
    "DELETE FROM v2 WHERE a = 2",
]
LAST = {"cloned": "UPDATE", "clustered": "OPTIMIZE", "tracked": "OPTIMIZE", "dropped": "DROP FEATURE", "purged": "REORG",
        "replaced": "CREATE OR REPLACE TABLE AS SELECT", "raw": "CONVERT"}


def forget(lake, table, before):
    """Only a checkpoint can tell what was before."""
    for version in range(before):
        (lake.table_path(table) / "_delta_log" / f"{version:020}.json").unlink()


def test_spark_reads_what_upkeep_leaves(sluice, folder, spark):  # noqa: F811
    raw = folder.table_path("raw") / "p=1" / "q=a%20b"
    raw.mkdir(parents=True)
    sql(sluice, folder, f"COPY (SELECT 1 AS id, {{'a': 1.5}} AS s) TO '{raw}/one.parquet' (FORMAT parquet)",
        f"CONVERT TO DELTA parquet.`{folder.table_path('raw')}` PARTITIONED BY (p INT, q STRING)", *STATEMENTS)
    newest = {name.split(".")[1]: Log(folder.table_path(name)) for name in folder.tables()}
    assert len(newest) == 10
    for table in ("classic", "v2"):
        forget(folder, table, 4)
    for name, log in newest.items():
        path, v = folder.table_path(name), log.newest
        assert spark_rows(spark, path, v) == our_rows(sluice, path, log, [v])[v], name
        history = spark.run(f"DESCRIBE HISTORY delta.`{path}`").dicts()
        assert history[0]["operation"] == LAST.get(name, history[0]["operation"]), name
    detail = {name: spark.run(f"DESCRIBE DETAIL delta.`{folder.table_path(name)}`").dicts()[0] for name in ("clustered", "dropped")}
    assert detail["clustered"]["clusteringColumns"] == ["k", "s.x"]
    assert "deletionVectors" not in detail["dropped"]["tableFeatures"]


def test_an_inventory_leads_both_to_the_same_files(sluice, folder, spark):  # noqa: F811
    sql(sluice, folder, "CREATE TABLE t (id INT, p INT) PARTITIONED BY (p) TBLPROPERTIES ('delta.enableDeletionVectors' = 'false')", "INSERT INTO t VALUES (1, 1)")
    t = folder.table_path("t")
    (live,) = t.rglob("*.parquet")
    files = [f"{t}/a.parquet", f"{t}/p=1/b.parquet", live, f"{t}/_hidden/x.parquet", f"{t}/.h.parquet", f"{t}/c d.parquet", f"{t}/_delta_log/{0:020}.json", f"{t}x/a.parquet", f"{t}/p=1/young.parquet"]
    rows = ", ".join(f"('file:{f}', 5::BIGINT, false, {8 * 10 ** 12 if 'young' in str(f) else 0}::BIGINT)" for f in files)
    vacuum = f"VACUUM {{}} USING INVENTORY (SELECT * FROM (VALUES {rows}, (NULL, NULL, NULL, NULL)) AS i(path, length, isDir, modificationTime)) DRY RUN"
    mine = {f"file:{t}/{r['path']}" for r in sql(sluice, folder, vacuum.format("t")).rows()}
    assert mine == {r[0] for r in spark.rows(vacuum.format(f"delta.`{t}`"))} and len(mine) == 3
    for inventory in ("(SELECT 'x' AS path, 5 AS length)", "nope"):
        with pytest.raises(SparkError):
            spark.run(f"VACUUM delta.`{t}` USING INVENTORY {inventory} DRY RUN")
        sql(sluice, folder, f"VACUUM t USING INVENTORY {inventory} DRY RUN", code=2)
