"""Statements about tables: CREATE TABLE LIKE, SHOW PARTITIONS, table_history(), properties that there are; and what is said of those that there are not."""
import json

import pytest

from lib.sluice import USAGE
from test_dml import folder, rows, sql  # noqa: F401

MADE = ("CREATE TABLE t (a INT NOT NULL DEFAULT 3, b STRING COMMENT 'text', p DATE, q STRING, CONSTRAINT pos CHECK (a > 0)) PARTITIONED BY (p, q) COMMENT 'all of it' "
        "TBLPROPERTIES ('mine' = 'x', 'delta.checkpointInterval' = '7')")


def newest(lake, name, kind):
    return [a[kind] for _, actions in lake.log(name) for a in actions if kind in a][-1]


def test_a_table_like_another(sluice, folder):
    sql(sluice, folder, MADE, "INSERT INTO t VALUES (1, 'x', DATE '2024-01-01', 'k')", "CREATE TABLE u LIKE t", "CREATE TABLE v LIKE t USING delta COMMENT 'other' TBLPROPERTIES ('mine' = 'y', 'more' = 'z')")
    t, u, v = (newest(folder, n, "metaData") for n in "tuv")
    same = ("schemaString", "partitionColumns", "configuration", "description")
    assert {k: t[k] for k in same} == {k: u[k] for k in same} and t["id"] != u["id"]
    assert v["configuration"] == t["configuration"] | {"mine": "y", "more": "z"} and v["description"] == "other"
    assert newest(folder, "t", "protocol") == newest(folder, "u", "protocol") and rows(sluice, folder, "FROM u") == []
    sql(sluice, folder, "CREATE TABLE IF NOT EXISTS u LIKE t", "INSERT INTO u (b) VALUES ('d')", "CREATE OR REPLACE TABLE u LIKE t")
    assert rows(sluice, folder, "FROM u") == []
    for wrong in ("CREATE TABLE w LIKE nope", "CREATE TABLE w LIKE t PARTITIONED BY (b)", "CREATE TABLE u LIKE t"):
        assert sql(sluice, folder, wrong, code=None).code != 0
    sql(sluice, folder, "INSERT INTO u VALUES (-1, '', NULL, NULL)", code=USAGE)


def test_a_table_like_one_of_another_writer(sluice, folder):
    """Properties that nobody knows come along; mapped columns get numbers of their own; clustering stays."""
    sql(sluice, folder, "CREATE TABLE t (a INT, b INT, c INT) CLUSTER BY (b) TBLPROPERTIES ('delta.columnMapping.mode' = 'name')", "ALTER TABLE t DROP COLUMN a")
    path = folder.table_path("t") / "_delta_log"
    last = sorted(path.glob("*.json"))[-1]
    meta = newest(folder, "t", "metaData")
    meta["configuration"]["delta.fromTheFuture"] = "1"
    (path / f"{int(last.stem) + 1:020}.json").write_text(json.dumps({"metaData": meta}) + "\n")
    sql(sluice, folder, "INSERT INTO t VALUES (1, 2)", "CREATE TABLE u LIKE t", "INSERT INTO u VALUES (3, 4)", "ALTER TABLE t SET TBLPROPERTIES ('mine' = 'x')")
    assert newest(folder, "u", "metaData")["configuration"]["delta.fromTheFuture"] == "1"
    assert newest(folder, "t", "metaData")["configuration"]["delta.fromTheFuture"] == "1"
    assert rows(sluice, folder, "FROM u") == [(3, 4)] and rows(sluice, folder, "FROM t") == [(1, 2)]
    assert sql(sluice, folder, "DESCRIBE DETAIL u").rows()[0]["clusteringColumns"] == ["b"]


def test_partitions_are_shown(sluice, folder):
    sql(sluice, folder, MADE, "INSERT INTO t VALUES (1, 'x', DATE '2024-01-01', 'k'), (2, 'x', DATE '2024-01-01', 'k'), (3, 'x', NULL, 'a b=c')", "CREATE TABLE u (a INT)")
    assert sql(sluice, folder, "SHOW PARTITIONS t").rows() == [{"p": "2024-01-01", "q": "k"}, {"p": None, "q": "a b=c"}]
    sql(sluice, folder, "DELETE FROM t WHERE q = 'k'")
    assert sql(sluice, folder, "SHOW PARTITIONS t").rows() == [{"p": None, "q": "a b=c"}]
    assert "no partitions" in sql(sluice, folder, "SHOW PARTITIONS u", code=USAGE).err


def test_history_in_a_query(sluice, folder):
    sql(sluice, folder, MADE, "INSERT INTO t (b) VALUES ('x')")
    assert rows(sluice, folder, "SELECT version, operation FROM table_history('t') AS h ORDER BY version") == [(0, "CREATE TABLE"), (1, "WRITE")]
    assert rows(sluice, folder, "SELECT max(version) AS v FROM table_history('t')") == [(1,)]
    assert "no table nope" in sql(sluice, folder, "FROM table_history('nope')", code=USAGE).err


@pytest.mark.parametrize("statement, hint", [
    ("SELECT * FROM (DESCRIBE HISTORY t)", "table_history('t')"), ("COPY INTO t FROM '/x' FILEFORMAT = PARQUET", "read_parquet"), ("MSCK REPAIR TABLE t", "CONVERT TO DELTA"),
    ("ANALYZE TABLE t COMPUTE STATISTICS", "statistics are in the log"), ("CACHE TABLE t", "CREATE TEMP TABLE"), ("REFRESH TABLE t", "newest version"),
    ("ALTER TABLE t DROP PARTITION (p = 'x')", "DELETE FROM"), ("ALTER TABLE t SET LOCATION '/x'", "SHALLOW CLONE"), ("LOAD DATA INPATH '/x' INTO TABLE t", "read_csv"),
    ("SHOW TABLE EXTENDED LIKE 't'", "DESCRIBE DETAIL"), ("CLEAR CACHE", "nothing is cached"), ("DESCRIBE SCHEMA public", "SHOW TABLES IN"), ("DESCRIBE DATABASE public", "SHOW TABLES IN"),
    ("DESCRIBE QUERY SELECT 1", "DESCRIBE SELECT"), ("USE public", "s.t"), ("CREATE DATABASE x", "CREATE TABLE s.t"), ("DROP SCHEMA x", "DROP TABLE"),
    ("INSERT INTO t REPLACE ON id = 1 SELECT 1", "REPLACE USING"), ("SHOW VIEWS", "duckdb_views"), ("SHOW FUNCTIONS", "duckdb_functions"), ("SHOW CATALOGS", "SHOW SCHEMAS"),
    ("SET spark.sql.ansi.enabled = false", "partitionOverwriteMode"), ("SET spark.databricks.delta.schema.autoMerge.enabled = true", "WITH SCHEMA EVOLUTION")])
def test_what_there_is_not_says_what_there_is(sluice, folder, statement, hint):
    sql(sluice, folder, MADE)
    assert hint in sql(sluice, folder, statement, code=USAGE).err


BAD = [("delta.nonsense", "1"), ("DELTA.nonsense", "1"), ("delta.checkpointInterval", "x"), ("delta.checkpointInterval", "0"), ("delta.appendOnly", "maybe"), ("delta.logRetentionDuration", "5"),
       ("delta.deletedFileRetentionDuration", "interval 1 month"), ("delta.dataSkippingNumIndexedCols", "-2"), ("delta.isolationLevel", "x"), ("delta.checkpointPolicy", "x"),
       ("delta.columnMapping.maxColumnId", "5"), ("clusteringColumns", "a"), ("location", "/x")]


@pytest.mark.parametrize("key, value", BAD)
def test_properties_that_there_are_not(sluice, folder, key, value):
    sql(sluice, folder, "CREATE TABLE t (a INT)")
    for statement in ("ALTER TABLE t SET TBLPROPERTIES ('{}' = '{}')", "CREATE TABLE u (a INT) TBLPROPERTIES ('{}' = '{}')", "CREATE TABLE u LIKE t TBLPROPERTIES ('{}' = '{}')",
                      "CREATE TABLE u SHALLOW CLONE t TBLPROPERTIES ('{}' = '{}')"):
        said = sql(sluice, folder, statement.format(key, value), code=USAGE).err
        assert key.rpartition(".")[2].lower() in said.lower(), said


def test_mapping_that_is_not_there_can_be_unset(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT)", "ALTER TABLE t UNSET TBLPROPERTIES ('delta.columnMapping.mode')", "ALTER TABLE t SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')")
    assert "cannot be unset" in sql(sluice, folder, "ALTER TABLE t UNSET TBLPROPERTIES ('delta.columnMapping.mode')", code=USAGE).err


def test_properties_have_one_spelling(sluice, folder):
    """Spark takes names of any case, and writes its own; `comment` is the table's."""
    sql(sluice, folder, "CREATE TABLE t (a INT) TBLPROPERTIES ('delta.CHECKPOINTinterval' = '7', 'Mine' = 'x')", "ALTER TABLE t SET TBLPROPERTIES ('Delta.appendonly' = 'FALSE', 'comment' = 'said')")
    meta = newest(folder, "t", "metaData")
    assert {k: v for k, v in meta["configuration"].items() if "Vectors" not in k} == {"delta.checkpointInterval": "7", "Mine": "x", "delta.appendOnly": "FALSE"}
    assert meta["description"] == "said"


def test_comments_on_fields(sluice, folder):
    """What a name of several parts means depends on the tables that there are."""
    sql(sluice, folder, "CREATE TABLE a (id INT, nest STRUCT<x: INT, y: STRUCT<z: INT>>)", "CREATE TABLE a.nest (x INT)", "COMMENT ON COLUMN a.id IS 'one'",
        "COMMENT ON COLUMN a.nest.x IS 'of the table a.nest'", "COMMENT ON COLUMN a.nest.y.z IS 'no'", code=None)
    sql(sluice, folder, "COMMENT ON COLUMN public.a.nest.y.z IS 'deep'")
    assert rows(sluice, folder, "DESCRIBE a id") == [("col_name", "id"), ("data_type", "int"), ("comment", "one")]
    assert rows(sluice, folder, "DESCRIBE TABLE a NEST.y.z")[2] == ("comment", "deep")
    assert rows(sluice, folder, "DESCRIBE a.nest x")[2] == ("comment", "of the table a.nest")
    sql(sluice, folder, "DROP TABLE a.nest", "COMMENT ON COLUMN a.nest.x IS 'field'")
    assert rows(sluice, folder, "DESC a nest.x") == [("col_name", "x"), ("data_type", "int"), ("comment", "field")]
    for statement in ("COMMENT ON COLUMN a.nope IS 'x'", "COMMENT ON COLUMN nope.a IS 'x'", "DESCRIBE a nope", "DESCRIBE a nest.nope"):
        assert "nope" in sql(sluice, folder, statement, code=USAGE).err


def test_schemas_are_listed(sluice, folder):
    sql(sluice, folder, "CREATE TABLE a (id INT)", "CREATE TABLE s.b (x INT, y INT)")
    assert rows(sluice, folder, "SHOW SCHEMAS") == [("public",), ("s",)]
    assert rows(sluice, folder, "SHOW DATABASES LIKE 'p*'") == [("public",)]
    assert [r[0] for r in rows(sluice, folder, "SHOW COLUMNS IN b FROM s")] == [r[0] for r in rows(sluice, folder, "SHOW COLUMNS FROM s.b")] == ["x", "y"]


def test_points_in_time_as_spark_writes_them(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
    path = folder.table_path("t")
    for source, n in ((f"delta.`{path}@v1`", 1), (f"delta.`{path}@v2`", 2), (f"'{path}@V0'", 0), (f"delta.`{path}@20991231235959000`", 2), ("t TIMESTAMP AS OF current_timestamp()", 2)):
        assert rows(sluice, folder, f"SELECT count(*) FROM {source}") == [(n,)], source
    assert "does not exist" in sql(sluice, folder, f"SELECT * FROM delta.`{path}@v9`", code=None).err
    path.rename(f"{path}@v1")  # a folder of that very name
    assert rows(sluice, folder, f"SELECT count(*) FROM delta.`{path}@v1`") == [(2,)]
    sql(sluice, folder, f"RESTORE delta.`{path}@v1` VERSION AS OF 1")
    assert rows(sluice, folder, f"SELECT * FROM delta.`{path}@v1`") == [(1,)]


def test_vacuum_below_the_retention(sluice, folder):
    """Refused, until Spark's setting says otherwise; the history says that it did."""
    sql(sluice, folder, "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)", "INSERT OVERWRITE t VALUES (2)")
    off, on = (f"SET spark.databricks.delta.retentionDurationCheck.enabled = {v}" for v in ("false", "true"))
    for before in ([], [off, on]):
        assert "RETAIN 0 HOURS" in sql(sluice, folder, *before, "VACUUM t RETAIN 0 HOURS", code=USAGE).err
    assert sql(sluice, folder, off, "VACUUM t RETAIN 0 HOURS DRY RUN").out.count("part-") == 1
    sql(sluice, folder, off, "VACUUM t RETAIN 0 HOURS")
    assert rows(sluice, folder, "SELECT * FROM t") == [(2,)] and len(list(folder.table_path("t").glob("*.parquet"))) == 1
    start = [a["commitInfo"] for _, actions in folder.log("t") for a in actions if "commitInfo" in a][-2]
    assert start["operation"] == "VACUUM START" and str(start["operationParameters"]["retentionCheckEnabled"]).lower() == "false"


def test_hints_name_no_columns_of_ours(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)")
    assert "__" not in sql(sluice, folder, "DELETE FROM t WHERE ro = 1", code=USAGE).err
    assert "TRUNCATE TABLE" in sql(sluice, folder, "TRUNCATE t", code=USAGE).err
    assert "DELETE FROM" in sql(sluice, folder, "TRUNCATE TABLE t PARTITION (p = 1)", code=USAGE).err
