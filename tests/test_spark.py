"""What upkeep makes of tables, as Spark reads it. A job of its own: SLUICE_SPARK names a Python that has pyspark and delta-spark."""
import json
import os
import subprocess
from pathlib import Path

import pytest

from test_maintain import folder, sql  # noqa: F401

PYTHON = os.environ.get("SLUICE_SPARK")
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


def plain(value):
    """The same words for the same value, whoever printed it."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    text = str(value).replace("T", " ").removesuffix("Z")
    if text.count(":") == 2 and "." in text:
        text = text.rstrip("0").rstrip(".")
    try:
        return float(text)
    except ValueError:
        return text


def forget(lake, table, before):
    """Only a checkpoint can tell what was before."""
    for version in range(before):
        (lake.table_path(table) / "_delta_log" / f"{version:020}.json").unlink()


@pytest.mark.skipif(not PYTHON, reason="SLUICE_SPARK names no Python that has pyspark and delta-spark")
def test_spark_reads_what_upkeep_leaves(sluice, folder, tmp_path):  # noqa: F811
    raw = folder.table_path("raw") / "p=1" / "q=a%20b"
    raw.mkdir(parents=True)
    sql(sluice, folder, f"COPY (SELECT 1 AS id, {{'a': 1.5}} AS s) TO '{raw}/one.parquet' (FORMAT parquet)",
        f"CONVERT TO DELTA parquet.`{folder.table_path('raw')}` PARTITIONED BY (p INT, q STRING)", *STATEMENTS)
    for table in ("classic", "v2"):
        forget(folder, table, 4)
    out = tmp_path / "spark.json"
    reader = Path(__file__).with_name("spark_reader.py")
    done = subprocess.run([PYTHON, str(reader), str(folder.path), str(out)], capture_output=True, text=True, timeout=900)
    assert out.exists(), done.stderr[-3000:]
    tables = json.loads(out.read_text())
    assert len(tables) == 10
    for name, spark in tables.items():
        ours = sql(sluice, folder, f"SELECT * FROM {name}").rows()
        assert sorted(map(repr, map(plain, spark["rows"]))) == sorted(map(repr, map(plain, ours))), name
        assert spark["history"][0][1] == LAST.get(name, spark["history"][0][1]), name
    assert tables["clustered"]["clustering"] == ["k", "s.x"]
    assert "deletionVectors" not in tables["dropped"]["features"]
