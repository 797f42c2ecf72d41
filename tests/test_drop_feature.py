"""DROP FEATURE of features that stand in the files: column mapping, row tracking, domains."""
import pyarrow.parquet as pq
import pytest

from lib.sluice import USAGE
from test_dml import assert_rows, folder, rows, sql  # noqa: F401
from test_maintain import actions, protocol


@pytest.mark.parametrize("mode", ["name", "id"])
@pytest.mark.parametrize("options", ["", "PARTITIONED BY (p)", "CLUSTER BY (id)"])
def test_drop_column_mapping_writes_files_under_their_columns_names(sluice, folder, mode, options):
    sql(sluice, folder, f"CREATE TABLE t (id INT, old STRING, s STRUCT<a: INT, b: STRING>, p STRING) {options} TBLPROPERTIES ("
                        f"'delta.columnMapping.mode' = '{mode}', 'delta.enableChangeDataFeed' = 'true')",
        "INSERT INTO t VALUES (1, 'x', {'a': 1, 'b': 'y'}, 'p1'), (2, 'y', NULL, 'p1'), (3, 'z', {'a': 3, 'b': NULL}, NULL)",
        "DELETE FROM t WHERE id = 2", "ALTER TABLE t RENAME COLUMN old TO v", "ALTER TABLE t RENAME COLUMN s.a TO c",
        "ALTER TABLE t ADD COLUMNS (n INT)", "INSERT INTO t VALUES (4, 'w', {'c': 4, 'b': 'q'}, 'p2', 9)")
    before = rows(sluice, folder, "SELECT * FROM t ORDER BY id")
    sql(sluice, folder, "ALTER TABLE t DROP FEATURE columnMapping")
    assert rows(sluice, folder, "SELECT * FROM t ORDER BY id") == before
    assert "columnMapping" not in str(protocol(folder, "t")) and "physicalName" not in actions(folder, "t")["metaData"][0]["schemaString"]
    log = dict(folder.log("t"))
    removal = [v for v, done in log.items() for a in done if a.get("commitInfo", {}).get("operation") == "REMOVE COLUMN MAPPING"]
    assert len(removal) == 1
    adds = [a["add"] for a in log[removal[0]] if "add" in a]
    assert adds and not any(a["dataChange"] for a in adds) and not [a for a in log[removal[0]] if "cdc" in a]
    for a in adds:
        names = pq.read_schema(folder.table_path("t") / a["path"]).names
        assert set(names) == {"id", "v", "s", "p", "n"} - set(a["partitionValues"])
        assert set(a["partitionValues"]) == ({"p"} if "PARTITIONED" in options else set())
    sql(sluice, folder, "UPDATE t SET v = 'new' WHERE id = 1", "INSERT INTO t VALUES (5, 'v', NULL, 'p1', 1)")
    assert rows(sluice, folder, "SELECT id, v FROM t ORDER BY id") == [(1, "new"), (3, "z"), (4, "w"), (5, "v")]
    if options.startswith("CLUSTER"):
        sql(sluice, folder, "OPTIMIZE t FULL")
    assert sorted(r[0] for r in folder.read("t", reader="delta-rs").rows) == [1, 3, 4, 5]


def test_names_that_need_the_mapping_keep_it(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (`a b` INT, s STRUCT<`c,d`: INT>) TBLPROPERTIES ('delta.columnMapping.mode' = 'name')",
        "INSERT INTO t VALUES (1, {'c,d': 2})")
    version = folder.version("t")
    done = sql(sluice, folder, "ALTER TABLE t DROP FEATURE columnMapping", code=USAGE)
    assert '"a b"' in done.err and '"c,d"' in done.err and folder.version("t") == version
    sql(sluice, folder, "ALTER TABLE t RENAME COLUMN `a b` TO a", "ALTER TABLE t RENAME COLUMN s.`c,d` TO c",
        "ALTER TABLE t DROP FEATURE columnMapping")
    assert rows(sluice, folder, "SELECT a, s.c FROM t") == [(1, 2)]


def test_row_ids_stay_when_the_mapping_goes(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, v STRING) TBLPROPERTIES ('delta.columnMapping.mode' = 'name', 'delta.enableRowTracking' = 'true')",
        "INSERT INTO t SELECT i, 'x' FROM range(20) r(i)", "UPDATE t SET v = 'y' WHERE id % 3 = 0", "DELETE FROM t WHERE id = 4")
    query = f"SELECT id, __row_id, __row_version FROM delta_scan('{folder.table_path('t')}', row_ids => true) ORDER BY id"
    before = rows(sluice, folder, query)
    sql(sluice, folder, "ALTER TABLE t DROP FEATURE columnMapping")
    assert rows(sluice, folder, query) == before


def test_drop_row_tracking(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, v STRING) TBLPROPERTIES ('delta.enableRowTracking' = 'true')",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b')", "UPDATE t SET v = 'c' WHERE id = 1")
    assert "drop that first" in sql(sluice, folder, "ALTER TABLE t DROP FEATURE domainMetadata", code=USAGE).err
    sql(sluice, folder, "ALTER TABLE t DROP FEATURE rowTracking")
    operations = [a["commitInfo"]["operation"] for _, done in folder.log("t") for a in done if "commitInfo" in a]
    assert operations[-3:] == ["SET TBLPROPERTIES", "ROW TRACKING UNBACKFILL", "DROP FEATURE"]
    assert "rowTracking" not in str(protocol(folder, "t"))
    assert "rowTracking" not in str(actions(folder, "t")["metaData"][0]["configuration"]).replace("checkpointProtection", "")
    gone = [a["domainMetadata"] for a in dict(folder.log("t"))[folder.version("t")] if "domainMetadata" in a]
    assert [(d["domain"], d["removed"]) for d in gone] == [("delta.rowTracking", True)]
    sql(sluice, folder, "INSERT INTO t VALUES (3, 'd')", "UPDATE t SET v = 'e' WHERE id = 2")
    assert not any("baseRowId" in a["add"] for a in dict(folder.log("t"))[folder.version("t")] if "add" in a)
    assert_rows(sluice, folder, "t", [(1, "c"), (2, "e"), (3, "d")])
    sql(sluice, folder, "ALTER TABLE t DROP FEATURE domainMetadata")
    assert "domainMetadata" not in str(protocol(folder, "t"))


def test_features_that_spark_cannot_drop_either(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, g INT GENERATED ALWAYS AS (id + 1)) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
    for feature in ("changeDataFeed", "appendOnly", "invariants", "generatedColumns"):
        assert "cannot be dropped" in sql(sluice, folder, f"ALTER TABLE t DROP FEATURE {feature}", code=None).err


@pytest.mark.parametrize("feature, properties, use", [
    ("deletionVectors", "'delta.enableDeletionVectors' = 'true'", "DELETE FROM t WHERE id = 1"), ("columnMapping", "'delta.columnMapping.mode' = 'name'", "ALTER TABLE t RENAME COLUMN v TO w"),
    ("typeWidening", "'delta.enableTypeWidening' = 'true'", "ALTER TABLE t ALTER COLUMN id TYPE BIGINT")])
def test_a_feature_that_came_late_does_not_go_while_the_log_has_its_versions(sluice, folder, feature, properties, use):
    """The oldest version does not need it: the later ones are looked at too, as by Spark."""
    sql(sluice, folder, "CREATE TABLE t (id INT, v STRING) TBLPROPERTIES ('delta.enableDeletionVectors' = 'false')", "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        f"ALTER TABLE t SET TBLPROPERTIES ({properties})", use)
    said = sql(sluice, folder, f"ALTER TABLE t DROP FEATURE {feature} TRUNCATE HISTORY", code=3).err
    assert f'version 2, which is still in the log' in said and f'needs the feature "{feature}"' in said
    assert protocol(folder, "t")["minReaderVersion"] > 1
    if feature == "deletionVectors":  # no new ones, and no property, as Spark leaves it
        sql(sluice, folder, "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (3, 'c')")
        assert "delta.enableDeletionVectors" not in [a["metaData"] for _, done in folder.log("t") for a in done if "metaData" in a][-1]["configuration"]
        assert not any("deletionVector" in a["add"] for _, done in list(folder.log("t"))[-2:] for a in done if "add" in a)


def test_without_v2_checkpoints_the_policy_is_classic(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT) TBLPROPERTIES ('delta.checkpointPolicy' = 'v2')", "INSERT INTO t VALUES (1)", "ALTER TABLE t DROP FEATURE v2Checkpoint")
    assert actions(folder, "t")["metaData"][0]["configuration"]["delta.checkpointPolicy"] == "classic"  # as Spark leaves it
    assert "v2Checkpoint" not in protocol(folder, "t")["readerFeatures"]
