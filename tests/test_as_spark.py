"""Details in which we once differed from Spark: found by `make spark`, kept here, where nothing of Spark is needed."""
import json

import pytest

from lib.sluice import USAGE
from test_dml import folder, sql  # noqa: F401


def info(lake, version=-1):
    return [a["commitInfo"] for a in list(lake.log("t"))[version][1] if "commitInfo" in a][0]


def metrics(lake, version=-1):
    return {k: v for k, v in info(lake, version)["operationMetrics"].items() if not k.endswith(("Ms", "Bytes"))}


def test_a_table_without_a_comment_has_no_description(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT)", "CREATE OR REPLACE TABLE t (a INT) COMMENT 'None'")
    assert info(folder, 0)["operationParameters"]["description"] is None
    assert info(folder, 1)["operationParameters"]["description"] == "None"


def test_replacing_a_table_by_a_query_counts_the_files_that_go(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)",
        "CREATE OR REPLACE TABLE t AS SELECT 1 AS b")
    assert metrics(folder) == {"numFiles": "1", "numOutputRows": "1", "numRemovedFiles": "2"}


MAPPED = "TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"


def numbers(lake, version):
    """The columns' ids at a version, and their names in files."""
    (metadata,) = [a["metaData"] for a in list(lake.log("t"))[version][1] if "metaData" in a]
    ids, names = {}, {}

    def walk(kind, path):
        if isinstance(kind, str):
            return
        for f in kind.get("fields", []):
            at = path + f["name"]
            ids[at], names[at] = f["metadata"]["delta.columnMapping.id"], f["metadata"]["delta.columnMapping.physicalName"]
            walk(f["type"], at + ".")
        for key in {"elementType", "keyType", "valueType"} & set(kind):
            walk(kind[key], path)

    walk(json.loads(metadata["schemaString"]), "")
    assert len(set(ids.values())) == len(set(names.values())) == len(ids)
    return ids, names, int(metadata["configuration"]["delta.columnMapping.maxColumnId"])


@pytest.mark.parametrize("before,after,expected", [
    ("a INT, b STRING, s STRUCT<x: INT, y: STRING>", "n INT, b STRING NOT NULL, a BIGINT, s STRUCT<x: INT, y: STRING>", {"n": 6, "b": 2, "a": 7, "s": 3, "s.x": 4, "s.y": 5}),
    ("a INT, s STRUCT<x: INT, y: STRING, z: STRUCT<k: INT>>", "a INT, s STRUCT<x: INT, y: INT, z: STRUCT<k: INT>, n: INT>",
     {"a": 1, "s": 7, "s.x": 3, "s.y": 8, "s.z": 5, "s.z.k": 6, "s.n": 9}),
    ("a INT, s STRUCT<x: INT, y: STRING>", "A INT, S STRUCT<X: INT, y: STRING>", {"A": 1, "S": 5, "S.X": 3, "S.y": 4}),
    ("s STRUCT<x: INT, y: STRING NOT NULL>, t STRUCT<x: INT NOT NULL>", "s STRUCT<x: INT NOT NULL, y: STRING>, t STRUCT<x: INT>", {"s": 6, "s.x": 2, "s.y": 3, "t": 4, "t.x": 5}),
    ("a ARRAY<STRUCT<x: INT, y: INT>>, m MAP<STRING, STRUCT<v: INT>>", "a ARRAY<STRUCT<x: INT, y: BIGINT>>, m MAP<STRING, STRUCT<v: INT>>",
     {"a": 6, "a.x": 2, "a.y": 7, "m": 4, "m.v": 5}),
    ("m MAP<STRING, STRUCT<x: INT>>, a ARRAY<STRUCT<x: INT>>", "m ARRAY<STRUCT<x: INT>>, a STRUCT<x: INT>", {"m": 5, "m.x": 6, "a": 7, "a.x": 8}),
    ("a DECIMAL(10,2), b CHAR(3), c VARCHAR(4), d STRING", "a DECIMAL(10,3), b CHAR(3), c STRING, d CHAR(2)", {"a": 5, "b": 6, "c": 3, "d": 7})])
def test_replacing_a_table_keeps_the_ids_of_columns_of_the_same_name_and_type(sluice, folder, before, after, expected):
    sql(sluice, folder, f"CREATE TABLE t ({before}) {MAPPED}", f"REPLACE TABLE t ({after}) {MAPPED}")
    _, old, highest = numbers(folder, 0)
    ids, names, now = numbers(folder, 1)
    assert ids == expected and now == max(highest, *expected.values())
    was = {k.lower(): v for k, v in old.items()}
    assert {k for k in ids if names[k] == was.get(k.lower())} == {k for k, v in expected.items() if v <= highest}


def test_replacing_a_table_with_another_mapping_gives_new_ids(sluice, folder):
    by_id = MAPPED.replace("'name'", "'id'")
    sql(sluice, folder, "CREATE TABLE t (a INT)", f"REPLACE TABLE t (a INT, b INT) {MAPPED}", "INSERT INTO t VALUES (1, 2)", f"REPLACE TABLE t (a INT) {by_id}",
        "INSERT INTO t VALUES (3)", f"CREATE OR REPLACE TABLE t {by_id} AS SELECT a, 'x' AS b FROM t", "REPLACE TABLE t (a INT)", f"REPLACE TABLE t (a INT) {MAPPED}")
    assert [numbers(folder, v)[0] for v in (1, 3, 5, 7)] == [{"a": 1, "b": 2}, {"a": 3}, {"a": 3, "b": 4}, {"a": 1}]
    assert numbers(folder, 3)[1]["a"] not in {numbers(folder, v)[1]["a"] for v in (1, 7)}
    assert sql(sluice, folder, "SELECT * FROM t VERSION AS OF 5").rows() == [{"a": 3, "b": "x"}]
    assert sql(sluice, folder, "SELECT * FROM t VERSION AS OF 2").rows() == [{"a": 1, "b": 2}]


def test_dropping_a_constraint_that_is_not_there_is_a_commit(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT)", "ALTER TABLE t DROP CONSTRAINT IF EXISTS c")
    assert info(folder)["operation"] == "DROP CONSTRAINT" and folder.version("t") == 1
    assert info(folder)["operationParameters"] == {"name": "c", "existed": "false"}


def test_a_column_of_the_type_already_makes_no_commit(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT, c CHAR(3))", "ALTER TABLE t ALTER COLUMN a TYPE INT")
    assert folder.version("t") == 0
    sql(sluice, folder, "ALTER TABLE t ALTER COLUMN c TYPE STRING")
    assert folder.version("t") == 1


def protocol(lake):
    return [a["protocol"] for _, actions in lake.log("t") for a in actions if "protocol" in a][-1]


def test_protocol_versions_are_no_properties(sluice, folder):
    old = "'delta.enableDeletionVectors' = 'false'"
    sql(sluice, folder, f"CREATE TABLE t (a INT) TBLPROPERTIES ({old}, 'delta.minReaderVersion' = '1', 'delta.minWriterVersion' = '4')")
    assert protocol(folder) == {"minReaderVersion": 1, "minWriterVersion": 4}
    sql(sluice, folder, "ALTER TABLE t SET TBLPROPERTIES ('delta.minWriterVersion' = '2')")  # it is never lowered
    assert protocol(folder)["minWriterVersion"] == 4
    sql(sluice, folder, "ALTER TABLE t SET TBLPROPERTIES ('delta.minReaderVersion' = '3', 'delta.minWriterVersion' = '7')")
    raised = protocol(folder)
    assert (raised["minReaderVersion"], raised["minWriterVersion"], raised["readerFeatures"]) == (3, 7, [])
    assert sorted(raised["writerFeatures"]) == ["appendOnly", "changeDataFeed", "checkConstraints", "generatedColumns", "invariants"]
    assert "1 to 7" in sql(sluice, folder, "ALTER TABLE t SET TBLPROPERTIES ('delta.minWriterVersion' = '8')", code=USAGE).err
    rows = sql(sluice, folder, "SHOW TBLPROPERTIES t").rows()
    assert not [r for r in rows if r["key"] in ("delta.minWriterVersion", "delta.minReaderVersion") and r["value"] == "2"]


def test_update_counts_the_files_whose_rows_it_masks(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1), (2), (3)", "UPDATE t SET a = 9 WHERE a = 1",
        "UPDATE t SET a = a + 1")
    assert metrics(folder, 2)["numRemovedFiles"] == "1" and metrics(folder, 2)["numDeletionVectorsAdded"] == "1"
    assert metrics(folder, 3)["numRemovedFiles"] == "2" and metrics(folder, 3)["numDeletionVectorsRemoved"] == "0"


def test_an_insert_that_adds_columns_only_adds(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT)", "INSERT WITH SCHEMA EVOLUTION INTO t BY NAME SELECT 1 AS a, 2 AS b")
    assert info(folder)["isBlindAppend"] is True and info(folder)["operationParameters"]["canMergeSchema"] is True


@pytest.mark.parametrize("clause", [
    "WHEN MATCHED THEN UPDATE SET *", "WHEN MATCHED THEN UPDATE SET n = s.n", "WHEN NOT MATCHED THEN INSERT *",
    "WHEN NOT MATCHED THEN INSERT (id, n) VALUES (s.id, n)"])
@pytest.mark.parametrize("value", ["{'a': 1}", "{'a': 1, 'c': 2}", "{'a': 1, 'b': 2, 'c': 3}"])
def test_merge_does_not_empty_fields_that_the_source_lacks(sluice, folder, clause, value):
    sql(sluice, folder, "CREATE TABLE t (id INT, n STRUCT<a: INT, b: INT>)", "INSERT INTO t VALUES (1, {'a': 5, 'b': 6})")
    merge = f"INTO t USING (SELECT 1 AS id, {value} AS n UNION ALL SELECT 2, {value}) AS s ON t.id = s.id {clause}"
    assert "which should be (a, b)" in sql(sluice, folder, f"MERGE {merge}", code=USAGE).err
    if "*" in clause:
        sql(sluice, folder, f"MERGE WITH SCHEMA EVOLUTION {merge}")


def parameters(lake, version=-1):
    return info(lake, version)["operationParameters"]


def test_the_history_of_a_new_table_tells_the_properties_that_it_has(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT, b INT) TBLPROPERTIES ('delta.columnMapping.mode' = 'name', 'delta.feature.vacuumProtocolCheck' = 'supported')")
    assert json.loads(parameters(folder)["properties"]) == {
        "delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2", "delta.enableDeletionVectors": "true"}


def test_the_history_names_a_new_field_by_its_path_and_a_wider_column_without_its_past(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT, n STRUCT<x: INT>) TBLPROPERTIES ('delta.enableTypeWidening' = 'true')",
        "ALTER TABLE t ADD COLUMN n.y INT", "ALTER TABLE t ALTER COLUMN a TYPE BIGINT")
    assert json.loads(parameters(folder, 1)["columns"])[0]["column"]["name"] == "n.y"
    assert json.loads(parameters(folder, 2)["column"]) == {"name": "a", "type": "long", "nullable": True, "metadata": {}}


def test_a_property_that_is_not_there_can_be_unset(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT)", "ALTER TABLE t UNSET TBLPROPERTIES ('nope')")
    assert info(folder)["operation"] == "UNSET TBLPROPERTIES" and folder.version("t") == 1


def test_the_history_of_restore_and_clone(sluice, folder):
    sql(sluice, folder, "CREATE TABLE s (a INT)", "INSERT INTO s VALUES (1)", "CREATE TABLE t SHALLOW CLONE s", "INSERT INTO t VALUES (2)",
        "RESTORE TABLE t TO VERSION AS OF 0")
    assert parameters(folder, 2) == {"version": 0, "timestamp": None}
    assert set(parameters(folder, 0)) == {"source", "sourceVersion"} and info(folder, 0)["isBlindAppend"] is False
    assert info(folder, 0)["readVersion"] == -1
    assert [r["readVersion"] for r in sql(sluice, folder, "DESCRIBE HISTORY t").rows()] == [1, 0, -1]
    assert [r["readVersion"] for r in sql(sluice, folder, "DESCRIBE HISTORY s").rows()] == [0, None]


def test_describe_tells_columns_partitions_and_the_table(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT COMMENT 'key', c CHAR(5), n STRUCT<a: INT, b: STRING COMMENT 'in'>, p INT COMMENT 'part', s STRING DEFAULT 'x') "
        "PARTITIONED BY (p) COMMENT 'of all' TBLPROPERTIES ('mine' = 'x', 'delta.feature.allowColumnDefaults' = 'supported')",
        "CREATE TABLE k (id INT, n STRUCT<a: INT>) CLUSTER BY (n.a, id)")
    columns = [("id", "int", "key"), ("c", "string", None), ("n", "struct<a:int,b:string>", None), ("p", "int", "part"), ("s", "string", None),
               ("# Partition Information", "", ""), ("# col_name", "data_type", "comment"), ("p", "int", "part")]
    for statement in ("DESCRIBE t", "DESC TABLE public.t", f"DESCRIBE delta.`{folder.table_path('t')}`"):
        assert [tuple(r.values()) for r in sql(sluice, folder, statement).rows()] == columns
    rows = [tuple(r.values()) for r in sql(sluice, folder, "DESCRIBE TABLE EXTENDED t").rows()]
    assert rows[:8] == columns and rows[8:12] == [("", "", ""), ("# Detailed Table Information", "", ""), ("Name", "t", ""), ("Comment", "of all", "")]
    assert rows[12:14] == [("Location", str(folder.table_path("t")), ""), ("Provider", "delta", "")]
    assert rows[14][0] == "Table Properties" and rows[14][1].startswith("[delta.enableDeletionVectors=true,delta.feature.allowColumnDefaults=supported,")
    assert rows[14][1].endswith("delta.minReaderVersion=3,delta.minWriterVersion=7,mine=x]")
    assert rows[15:] == [("", "", ""), ("# Column Default Values", "", ""), ("s", "string", "'x'")]
    assert [r["col_name"] for r in sql(sluice, folder, "DESCRIBE k").rows()] == ["id", "n", "# Clustering Information", "n.a", "id"]


def test_the_history_of_a_folder_of_parquet(sluice, folder):
    path = folder.table_path("raw")
    path.mkdir(parents=True)
    sql(sluice, folder, f"COPY (SELECT 1 AS id) TO '{path}/one.parquet' (FORMAT parquet)", f"CONVERT TO DELTA parquet.`{path}`")
    (told,) = [a["commitInfo"] for _, actions in folder.log("raw") for a in actions if "commitInfo" in a]
    assert (told["operation"], told["readVersion"], told["isBlindAppend"]) == ("CONVERT", -1, False)


def test_arrays_and_maps_that_are_null_are_counted(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (i INT, a ARRAY<INT>, m MAP<STRING, INT>, s STRUCT<x: INT, b: ARRAY<STRING>>)",
        "INSERT INTO t VALUES (1, [1, NULL], MAP {'a': 1}, {'x': 1, 'b': ['q']}), (2, NULL, NULL, NULL), (3, [], MAP {}, {'x': NULL, 'b': NULL})")
    stats = json.loads([a["add"] for a in list(folder.log("t"))[-1][1] if "add" in a][0]["stats"])
    assert stats["nullCount"] == {"i": 0, "a": 1, "m": 1, "s": {"x": 2, "b": 2}}
    sql(sluice, folder, "OPTIMIZE t")
    sql(sluice, folder, "ALTER TABLE t SET TBLPROPERTIES ('delta.dataSkippingNumIndexedCols' = '2')", "INSERT INTO t VALUES (4, NULL, NULL, NULL)")
    stats = json.loads([a["add"] for a in list(folder.log("t"))[-1][1] if "add" in a][0]["stats"])
    assert stats["nullCount"] == {"i": 0, "a": 1}


def test_a_struct_of_nulls_has_empty_bounds(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (n STRUCT<a: INT, b: BOOLEAN>, m STRUCT<l: INT[]>, i INT)",
        "INSERT INTO t VALUES ({'a': NULL, 'b': true}, {'l': [1]}, NULL)")
    stats = json.loads([a["add"] for a in list(folder.log("t"))[-1][1] if "add" in a][0]["stats"])
    assert stats["minValues"] == stats["maxValues"] == {"n": {}}
    assert stats["nullCount"]["n"] == {"a": 1, "b": 0} and stats["nullCount"]["i"] == 1


def test_a_switch_is_true_or_false(sluice, folder):
    said = sql(sluice, folder, "CREATE TABLE t (a INT) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'maybe')", code=USAGE).err
    assert "is true or false, not maybe" in said
    sql(sluice, folder, "CREATE TABLE t (a INT)")
    assert "is true or false" in sql(sluice, folder, "ALTER TABLE t SET TBLPROPERTIES ('delta.appendOnly' = '1')", code=USAGE).err


def test_bounds_of_nan_and_infinities(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (d DOUBLE, f FLOAT)", "INSERT INTO t VALUES ('NaN', 1.5), ('NaN', 'NaN')", "INSERT INTO t VALUES ('Infinity', '-Infinity')",
        "INSERT INTO t (d) SELECT 1.5")
    bounds = [json.loads(a["add"]["stats"]) for v, actions in folder.log("t") for a in actions if "add" in a]
    assert [(b["minValues"], b["maxValues"]) for b in bounds] == [
        ({"d": "NaN", "f": 1.5}, {"d": "NaN", "f": "NaN"}), ({"d": "Infinity", "f": "-Infinity"}, {"d": "Infinity", "f": "-Infinity"}),
        ({"d": 1.5}, {"d": 1.5})]
    for table in ("classic", "parsed"):  # a checkpoint keeps them
        sql(sluice, folder, f"ALTER TABLE t SET TBLPROPERTIES ('delta.checkpointInterval' = '1', 'delta.checkpoint.writeStatsAsStruct' = '{str(table == 'parsed').lower()}')",
            f"INSERT INTO t VALUES ({len(table)}, 0)")
    for reader in ("delta-rs", "polars", "sluice"):
        assert len(folder.read("t", reader=reader).rows) == 6, reader


@pytest.mark.parametrize("value", ["'zzz'", "3000000000", "DATE '2024-01-01'", "CAST(3e9 AS DOUBLE)", "'1.5'"])
def test_an_update_of_no_row_refuses_constants_that_are_no_values(sluice, folder, value):
    sql(sluice, folder, "CREATE TABLE t (id INT, n INT)", "INSERT INTO t VALUES (1, 1)", "UPDATE t SET n = '7', id = id WHERE id = 9", "UPDATE t SET n = 'x' || id WHERE id = 9")
    sql(sluice, folder, f"UPDATE t SET n = {value} WHERE id = 9", code=USAGE)
    assert folder.version("t") == 1


def test_column_mapping_alone_needs_reader_version_2(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT) TBLPROPERTIES ('delta.columnMapping.mode' = 'name', 'delta.enableDeletionVectors' = 'false')",
        "INSERT INTO t VALUES (1)", "ALTER TABLE t RENAME COLUMN a TO b", "ALTER TABLE t SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')", "DELETE FROM t")
    first, last = ([a["protocol"] for _, actions in folder.log("t") for a in actions if "protocol" in a][i] for i in (0, -1))
    assert (first["minReaderVersion"], first["minWriterVersion"]) == (2, 7) and "readerFeatures" not in first
    assert "columnMapping" in first["writerFeatures"]
    assert last["minReaderVersion"] == 3 and sorted(last["readerFeatures"]) == ["columnMapping", "deletionVectors"]


def test_retention_of_the_log_and_of_files(sluice, folder):
    def properties(**kv):
        return "TBLPROPERTIES (" + ", ".join(f"'delta.{k}RetentionDuration' = 'interval {v}'" for k, v in kv.items()) + ")"
    for wrong in ({"log": "6 days"}, {"deletedFile": "31 days"}, {"log": "8 days", "deletedFile": "9 days"}):
        assert "RetentionDuration" in sql(sluice, folder, f"CREATE TABLE t (a INT) {properties(**wrong)}", code=USAGE).err
    sql(sluice, folder, f"CREATE TABLE t (a INT) {properties(log='1 hours', deletedFile='1 hours')}")
    assert "RetentionDuration" in sql(sluice, folder, f"ALTER TABLE t SET {properties(log='2 hours')}", code=USAGE).err
    sql(sluice, folder, f"ALTER TABLE t SET {properties(log='60 days', deletedFile='60 days')}", f"ALTER TABLE t SET {properties(log='7 days')}")  # as Spark: by the statement alone


STATS = {"nope": "no column", "b": "of the type", "x": "of the type", "l": "of the type", "m": "of the type", "p": "partition", "n,n.a": "twice", "id,id": "twice",
         "id,,n.a": "no column", "n.zz": "no column", "id.a": "no column"}


def test_the_columns_of_statistics_must_be_there(sluice, folder):
    columns = "(id INT, b BOOLEAN, x BINARY, l ARRAY<INT>, n STRUCT<a: INT, l: ARRAY<INT>>, m MAP<INT, INT>, `o,d` INT, p INT) PARTITIONED BY (p)"
    sql(sluice, folder, f"CREATE TABLE t {columns}")
    for value, why in STATS.items():
        assert why in sql(sluice, folder, f"ALTER TABLE t SET TBLPROPERTIES ('delta.dataSkippingStatsColumns' = '{value}')", code=USAGE).err
        assert why in sql(sluice, folder, f"CREATE TABLE u {columns} TBLPROPERTIES ('delta.dataSkippingStatsColumns' = '{value}')", code=USAGE).err
    for value in ("n", "n.l", "id, `o,d` ,n.a", "", "ID"):
        sql(sluice, folder, f"ALTER TABLE t SET TBLPROPERTIES ('delta.dataSkippingStatsColumns' = '{value}')")
    sql(sluice, folder, "ALTER TABLE t SET TBLPROPERTIES ('delta.dataSkippingStatsColumns' = 'id,n')", "INSERT INTO t (id, b) VALUES (1, true)")
    stats = json.loads([a["add"] for a in list(folder.log("t"))[-1][1] if "add" in a][0]["stats"])
    assert stats["minValues"] == {"id": 1, "n": {}}


def test_overwriting_the_rows_leaves_a_table_clustered(sluice, folder):
    """On purpose: Spark's forgets the columns, which nobody asked it to."""
    sql(sluice, folder, "CREATE TABLE t (a INT, b INT) CLUSTER BY (a)", "INSERT INTO t VALUES (1, 2)", "INSERT OVERWRITE t VALUES (3, 4)")
    assert not [a for a in list(folder.log("t"))[-1][1] if "domainMetadata" in a]
    assert sql(sluice, folder, "DESCRIBE DETAIL t").rows()[0]["clusteringColumns"] == ["a"]
