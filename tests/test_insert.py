"""INSERT in all its forms: what goes and what comes, as delta-rs and sluice read it; identity columns; statistics columns."""
import json
import os
import shutil
from pathlib import Path

import pytest

from lib.sluice import REFUSED, ROOT, USAGE
from test_dml import folder, sql  # noqa: F401

SPARK = Path(os.environ.get("SLUICE_SHARED", ROOT.parent / "shared")) / "fixtures" / "spark-delta"
START = [(1, "a", "x"), (2, "a", "y"), (3, "b", "x"), (4, None, "x")]


def table(sluice, lake, partitioned="p, q", **properties):
    properties = ", ".join(f"'delta.{k}' = '{v}'" for k, v in ({"enableChangeDataFeed": "true"} | properties).items())
    by = f"PARTITIONED BY ({partitioned})" if partitioned else ""
    sql(sluice, lake, f"CREATE TABLE t (id INT, p STRING, q STRING) {by} TBLPROPERTIES ({properties})",
        "INSERT INTO t VALUES (1, 'a', 'x'), (2, 'a', 'y'), (3, 'b', 'x'), (4, NULL, 'x')")


def check(sluice, lake, expected):
    for reader in ("delta-rs", "sluice"):
        assert sorted(map(tuple, lake.read("t", reader=reader).rows), key=repr) == sorted(expected, key=repr), reader


def info(lake, version=-1):
    return [a["commitInfo"] for a in list(lake.log("t"))[version][1] if "commitInfo" in a][0]


@pytest.mark.parametrize("vectors", ["true", "false"])
@pytest.mark.parametrize("statement, expected", [
    ("INSERT OVERWRITE t VALUES (9, 'c', 'x')", [(9, "c", "x")]),
    ("INSERT OVERWRITE t PARTITION (p = 'a', q = 'x') VALUES (9)", [(9, "a", "x")] + START[1:]),
    ("INSERT OVERWRITE t PARTITION (p = 'a', q) VALUES (9, 'z')", [(9, "a", "z")] + START[2:]),
    ("INSERT OVERWRITE t PARTITION (p = NULL, q) VALUES (9, 'z')", [(9, None, "z")] + START[:3]),
    ("INSERT OVERWRITE t PARTITION (p, q) VALUES (9, 'b', 'z')", [(9, "b", "z")]),
    ("INSERT INTO t PARTITION (q = 'w') VALUES (9, 'c')", START + [(9, "c", "w")]),
    ("INSERT INTO t PARTITION (p = 'a', q = 'w') (id) VALUES (9)", START + [(9, "a", "w")]),
    ("INSERT OVERWRITE t PARTITION (p = 'b') BY NAME SELECT 'w' q, 9 id", START[:2] + START[3:] + [(9, "b", "w")]),
    ("INSERT INTO t REPLACE WHERE p = 'a' VALUES (9, 'a', 'x')", START[2:] + [(9, "a", "x")]),
    ("INSERT INTO t REPLACE WHERE id <= 2 AND p = 'a' SELECT 2, 'a', 'k'", START[2:] + [(2, "a", "k")]),
    ("INSERT INTO t REPLACE USING (p) VALUES (9, 'a', 'z'), (8, NULL, 'z')", START[2:] + [(9, "a", "z"), (8, None, "z")]),
    ("INSERT INTO t REPLACE USING (id) VALUES (3, 'c', 'z')", START[:2] + START[3:] + [(3, "c", "z")]),
    ("INSERT INTO t BY NAME SELECT 'x' q, 9 id", START + [(9, None, "x")]),
    ("INSERT INTO t SELECT id + 10, p, q FROM t", START + [(i + 10, p, q) for i, p, q in START]),
    ("INSERT OVERWRITE t SELECT id + 10, p, q FROM t WHERE p = 'a'", [(11, "a", "x"), (12, "a", "y")]),
    ("INSERT INTO t REPLACE WHERE p = 'a' SELECT 5, 'a', 'x' WHERE false", START[2:]),
])
def test_insert_replaces_what_it_says(sluice, folder, vectors, statement, expected):
    table(sluice, folder, enableDeletionVectors=vectors)
    sql(sluice, folder, statement)
    check(sluice, folder, expected)
    assert fold(folder) == sorted(expected, key=repr)


def fold(lake):
    """What the change data feed adds up to (delta-rs reads it where there are no deletion vectors)."""
    import pyarrow as pa
    from deltalake import DeltaTable
    if "deletionVectors" in json.dumps(list(lake.log("t"))[0][1][1]["protocol"]):
        return sorted(map(tuple, lake.read("t", reader="sluice").rows), key=repr)
    state = []
    changes = pa.table(DeltaTable(str(lake.table_path("t"))).load_cdf(starting_version=0).read_all()).to_pylist()
    for c in sorted(changes, key=lambda c: (c["_commit_version"], c["_change_type"] != "delete")):
        row = (c["id"], c["p"], c["q"])
        state.append(row) if c["_change_type"] == "insert" else state.remove(row)
    return sorted(state, key=repr)


@pytest.mark.parametrize("setting", ["spark.sql.sources.partitionOverwriteMode = dynamic", "partition_overwrite_mode = 'dynamic'"])
def test_dynamic_overwrite_replaces_only_partitions_of_new_rows(sluice, folder, setting):
    table(sluice, folder)
    sql(sluice, folder, f"SET {setting}", "INSERT OVERWRITE t VALUES (9, 'a', 'x'), (8, NULL, 'x'), (7, 'n', 'n')")
    check(sluice, folder, START[1:3] + [(9, "a", "x"), (8, None, "x"), (7, "n", "n")])
    assert info(folder)["operationParameters"] == {"mode": "Overwrite", "partitionBy": "[]",
                                                   "isDynamicPartitionOverwrite": True}
    sql(sluice, folder, f"SET {setting}", "SET partition_overwrite_mode = static", "INSERT OVERWRITE t VALUES (1, 'a', 'x')")
    check(sluice, folder, [(1, "a", "x")])


@pytest.mark.parametrize("statement, error", [
    ("INSERT INTO t PARTITION (id = 1) VALUES ('a', 'b')", "not partitioned by"),
    ("INSERT INTO t PARTITION (p = 'a') (id, p) VALUES (1, 'b')", "given by PARTITION and by the query"),
    ("INSERT INTO t PARTITION (p = 'a') BY NAME SELECT 1 id, 'b' p", "given by PARTITION and by the query"),
    ("INSERT INTO t REPLACE WHERE p = 'a' VALUES (1, 'b', 'x')", "do not meet REPLACE WHERE"),
    ("INSERT INTO t REPLACE USING (nope) VALUES (1, 'b', 'x')", "no column"),
    ("INSERT OVERWRITE t PARTITION (p = 'a') IF NOT EXISTS VALUES (1, 'b')", "IF NOT EXISTS is not supported"),
    ("SET partition_overwrite_mode = sometimes", "static or dynamic"),
])
def test_wrong_inserts_are_refused(sluice, folder, statement, error):
    table(sluice, folder)
    assert error in sql(sluice, folder, statement, code=(USAGE, REFUSED)).err
    check(sluice, folder, START)


def test_schema_evolution_adds_the_columns_of_the_query(sluice, folder):
    table(sluice, folder)
    sql(sluice, folder, "INSERT WITH SCHEMA EVOLUTION INTO t BY NAME SELECT 9 id, 'a' p, 'x' q, 1.50::DECIMAL(5,2) price, "
                        "{'a': 1, 'b': 'z'} s", "INSERT INTO t (id, price) VALUES (10, 2.25)")
    rows = {r["id"]: r for r in sql(sluice, folder, "FROM t").rows()}
    assert rows[1]["price"] is None and rows[9]["s"] == {"a": 1, "b": "z"} and str(rows[10]["price"]) == "2.25"
    assert list(folder.schema("t"))[-2:] == ["price", "s"]
    assert sum("metaData" in a for a in list(folder.log("t"))[2][1]) == 1


def test_commit_info_is_sparks(sluice, folder):
    table(sluice, folder, "p", enableDeletionVectors="false", enableChangeDataFeed="false")
    sql(sluice, folder, "INSERT INTO t REPLACE WHERE p = 'a' VALUES (9, 'a', 'x')")
    assert info(folder)["operationParameters"] == {"mode": "Overwrite", "partitionBy": "[]", "predicate": "p = 'a'"}
    metrics = info(folder)["operationMetrics"]
    assert {k: metrics[k] for k in ("numFiles", "numOutputRows", "numDeletedRows", "numCopiedRows", "numRemovedFiles")} == {
        "numFiles": "1", "numOutputRows": "1", "numDeletedRows": "2", "numCopiedRows": "0", "numRemovedFiles": "1"}


def test_identity_columns_count_on_from_given_values(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a BIGINT GENERATED ALWAYS AS IDENTITY (START WITH 100 INCREMENT BY -3), "
                        "b BIGINT GENERATED BY DEFAULT AS IDENTITY (START WITH 1 INCREMENT BY 4), v STRING)",
        "INSERT INTO t (v) VALUES ('x'), ('y')", "INSERT INTO t (b, v) VALUES (20, 'z')")
    assert "GENERATED ALWAYS" in sql(sluice, folder, "INSERT INTO t (a, v) VALUES (1, 'no')", code=USAGE).err
    sql(sluice, folder, "INSERT INTO t (v) VALUES ('before')", "ALTER TABLE t ALTER COLUMN b SYNC IDENTITY",
        "INSERT INTO t (v) VALUES ('after')", "ALTER TABLE t ALTER COLUMN b SYNC IDENTITY")
    check(sluice, folder, [(100, 1, "x"), (97, 5, "y"), (94, 20, "z"), (91, 9, "before"), (88, 25, "after")])
    assert folder.version("t") == 6, "a mark that is right already is a commit all the same, as Spark's"
    sql(sluice, folder, "INSERT INTO t (v) VALUES ('last')")
    assert (85, 29, "last") in map(tuple, folder.read("t", reader="sluice").rows)
    assert "no identity column" in sql(sluice, folder, "ALTER TABLE t ALTER COLUMN v SYNC IDENTITY", code=USAGE).err


def test_identity_values_are_not_changed_and_not_given_out_again_after_restore(sluice, folder):
    """As with Spark: a value that RESTORE takes away may be known elsewhere."""
    sql(sluice, folder, "CREATE TABLE t (a BIGINT GENERATED ALWAYS AS IDENTITY (START WITH 10 INCREMENT BY 5), b BIGINT GENERATED BY DEFAULT AS IDENTITY (START WITH -1 INCREMENT BY -1), v STRING)",
        "INSERT INTO t (v) VALUES ('one')", "INSERT INTO t (v) VALUES ('two'), ('three')", "RESTORE TABLE t TO VERSION AS OF 1", "INSERT INTO t (v) VALUES ('four')",
        "RESTORE TABLE t TO VERSION AS OF 0", "INSERT INTO t (v) VALUES ('five')", "RESTORE TABLE t TO VERSION AS OF 2", "INSERT INTO t (v) VALUES ('six')")
    assert sql(sluice, folder, "SELECT a, b, v FROM t ORDER BY a").rows() == [
        {"a": a, "b": b, "v": v} for a, b, v in ((10, -1, "one"), (15, -2, "two"), (20, -3, "three"), (35, -6, "six"))]
    for statement in ("UPDATE t SET a = 1", "UPDATE t SET b = b WHERE v = 'nope'", "MERGE INTO t USING (SELECT 'one' AS v) AS s ON t.v = s.v WHEN MATCHED THEN UPDATE SET b = 5",
                      "MERGE INTO t USING (SELECT 1 AS a, 2 AS b, 'one' AS v) AS s ON t.v = s.v WHEN MATCHED THEN UPDATE SET *",
                      "MERGE INTO t USING (SELECT 'one' AS v) AS s ON t.v = s.v WHEN NOT MATCHED BY SOURCE THEN UPDATE SET b = 5"):
        assert "identity column" in sql(sluice, folder, statement, code=USAGE).err
    sql(sluice, folder, "UPDATE t SET v = 'ONE' WHERE v = 'one'", "ALTER TABLE t ALTER COLUMN b SYNC IDENTITY")
    assert sql(sluice, folder, "DESCRIBE HISTORY t").rows()[0]["operation"] == "CHANGE COLUMN"  # also of a mark that is right, as Spark


def stats(lake, name):
    return [json.loads(a["add"]["stats"]) for _, actions in lake.log(name) for a in actions if "add" in a]


def test_statistics_are_of_the_columns_that_the_table_asks_for(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT, b STRING, c STRUCT<d: INT, `e.f`: INT>, `g,h` INT) TBLPROPERTIES "
                        "('delta.dataSkippingStatsColumns' = 'b, c.d', 'delta.columnMapping.mode' = 'name', "
                        "'delta.enableDeletionVectors' = 'false')",
        "INSERT INTO t VALUES (1, 'x', {'d': 2, 'e.f': 3}, 4)",
        "ALTER TABLE t SET TBLPROPERTIES ('delta.dataSkippingStatsColumns' = '`g,h`,c.`e.f`')",
        "INSERT INTO t VALUES (1, 'x', {'d': 2, 'e.f': 3}, 4)",
        "ALTER TABLE t SET TBLPROPERTIES ('delta.dataSkippingStatsColumns' = 'c')", "UPDATE t SET a = 2",
        "ALTER TABLE t UNSET TBLPROPERTIES ('delta.dataSkippingStatsColumns')",
        "ALTER TABLE t SET TBLPROPERTIES ('delta.dataSkippingNumIndexedCols' = '2')", "INSERT INTO t (a) VALUES (7)",
        "ALTER TABLE t SET TBLPROPERTIES ('delta.dataSkippingNumIndexedCols' = '0')", "INSERT INTO t (a) VALUES (7)")

    def names(values):
        return [len(v) if isinstance(v, dict) else v for v in values.values()]

    got = [(names(s.get("minValues", {})), names(s.get("nullCount", {}))) for s in stats(folder, "t")]
    assert got == [(["x", 1], [0, 1]), ([1, 4], [1, 0]), ([2], [2]), ([7], [0, 1]), ([], [])]


def test_statistics_follow_a_column_that_is_renamed_or_dropped(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT, b STRING, c STRUCT<d: INT, e: INT>) TBLPROPERTIES "
                        "('delta.dataSkippingStatsColumns' = 'b, c.d , a', 'delta.columnMapping.mode' = 'name')",
        "ALTER TABLE t RENAME COLUMN b TO `odd,name`", "ALTER TABLE t RENAME COLUMN c TO cc", "ALTER TABLE t DROP COLUMN a",
        "INSERT INTO t VALUES ('x', {'d': 1, 'e': 2})")
    properties = {r["key"]: r["value"] for r in sql(sluice, folder, "SHOW TBLPROPERTIES t").rows()}
    assert properties["delta.dataSkippingStatsColumns"] == "`odd,name`,cc.d"
    assert [list(v.values()) if isinstance(v, dict) else v for v in stats(folder, "t")[0]["minValues"].values()] == ["x", [1]]


def test_statistics_options_give_what_spark_gives(sluice, folder):
    if not SPARK.exists():
        pytest.skip("the tables recorded from Spark are not here (SLUICE_SHARED)")
    shutil.copytree(SPARK / "stats_options" / "table", folder.table_path("s"))
    expected = [a["add"]["stats"] for v, actions in folder.log("s") for a in actions if "add" in a]
    last = sql(sluice, folder, "SELECT a, b, c FROM s VERSION AS OF 4 WHERE a = 3").rows()[0]
    sql(sluice, folder, "CREATE TABLE t (a INT, b STRING, c STRUCT<d: INT, e: INT>) TBLPROPERTIES "
                        "('delta.dataSkippingNumIndexedCols' = '2', 'delta.enableDeletionVectors' = 'false')",
        f"INSERT INTO t SELECT a, b, NULL FROM s VERSION AS OF 4 WHERE a = {last['a']}")
    assert stats(folder, "t") == [json.loads(expected[2])]


@pytest.mark.parametrize("statement, error", [
    ("INSERT INTO t VALUES (2, '')", "NOT NULL"), ("UPDATE t SET p = ''", "NOT NULL"), ("INSERT INTO t PARTITION (p = '') VALUES (2)", "NOT NULL"),
    ("MERGE INTO t USING (SELECT 1 AS id) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET p = ''", "NOT NULL"),
    ("INSERT INTO t VALUES (2, 'y')", "only_x"), ("INSERT INTO u VALUES (2, '')", "small"), ("INSERT INTO w REPLACE WHERE p = '' VALUES (2, '')", "do not meet")])
def test_an_empty_text_is_null_as_a_partition_before_rules_are_asked(sluice, folder, statement, error):
    sql(sluice, folder, "CREATE TABLE t (id INT, p STRING NOT NULL) PARTITIONED BY (p)", "INSERT INTO t VALUES (1, 'x')", "ALTER TABLE t ADD CONSTRAINT only_x CHECK (p = 'x')",
        "CREATE TABLE u (id INT, p STRING) PARTITIONED BY (p)", "ALTER TABLE u ADD CONSTRAINT small CHECK (length(p) < 2)",
        "CREATE TABLE w (id INT, p STRING) PARTITIONED BY (p)")
    assert error in sql(sluice, folder, statement, code=USAGE).err


def test_history_tells_what_a_partition_clause_replaced(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, p STRING, q INT, d DATE) PARTITIONED BY (p, q, d)", "INSERT OVERWRITE t PARTITION (p = 'a', q, d) VALUES (9, 5, NULL)",
        r"INSERT OVERWRITE t PARTITION (q = -5, p = 'o''x\') (id, d) VALUES (10, NULL)", "INSERT OVERWRITE t PARTITION (d = DATE '2024-01-02', p = NULL, q) VALUES (1, 2)", "INSERT OVERWRITE t VALUES (1, 'a', 1, NULL)",
        "INSERT INTO t PARTITION (p = 'a', q = 1, d = NULL) VALUES (9)")
    told = [a["commitInfo"]["operationParameters"].get("predicate") for _, actions in folder.log("t") for a in actions if "commitInfo" in a]
    assert told == [None, "(p <=> 'a')", r"((q <=> -5) AND (p <=> 'o\'x\\'))", "((d <=> DATE '2024-01-02') AND (p IS NULL))", None, None]
