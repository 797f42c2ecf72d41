"""The files beside the commits: checksums that Spark checks as it goes, compacted logs, checkpoints in parts, logs that were cleaned
up, and folders of Parquet that become tables. What one leaves, the other reads and goes on with."""
import datetime
import json
import os
import shutil
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.spark import Log, SparkError
from lib.twins import our_rows, shape, spark_rows, told_stats

pytestmark = pytest.mark.spark
STRICT = {f"spark.databricks.delta.{k}": "true" for k in (
    "checksum.verify.enabled", "writeChecksumFile.enabled", "incrementalCommit.verify", "incrementalCommit.forceVerifyInTests",
    "stateReconstructionValidation.enabled", "state.corruptionIsFatal")}


@pytest.fixture
def settings(spark):
    """Settings of Spark's for one test."""
    done = []

    def put(values):
        for key, value in values.items():
            spark.run(f"SET {key}={value}")
            done.append(key)
    yield put
    for key in done:
        spark.run(f"RESET {key}")


def by_us(sluice, *statements):
    return sluice.run("sql", "--format", "json", "-c", ";\n".join(statements)).rows()


def same_rows(sluice, spark, path, versions=None):
    log = Log(path)
    versions = versions or [log.newest]
    ours = our_rows(sluice, path, log, versions)
    for v in versions:
        assert spark_rows(spark, path, v) == ours[v], f"version {v}"
    return ours


@pytest.mark.parametrize("properties", ["'delta.enableRowTracking' = 'true', 'delta.enableInCommitTimestamps' = 'true'", "'delta.enableDeletionVectors' = 'false'",
                                        "'delta.checkpointPolicy' = 'v2', 'delta.checkpointInterval' = '3'", "'delta.checkpointInterval' = '2', 'delta.checkpoint.partSize' = '2'"])
def test_checksums_by_turns(sluice, spark, settings, tmp_path, properties):
    settings(STRICT)
    path = tmp_path / "t"
    t = f"delta.`{path}`"
    by_us(sluice, f"CREATE TABLE {t} (id INT, p INT) PARTITIONED BY (p) TBLPROPERTIES ({properties})")
    steps = [f"INSERT INTO {t} VALUES (1, 1), (2, 2), (3, 1)", f"DELETE FROM {t} WHERE id = 1", f"UPDATE {t} SET id = id + 10 WHERE p = 1", f"INSERT INTO {t} VALUES (4, 4)",
             f"OPTIMIZE {t}", f"DELETE FROM {t} WHERE p = 4", f"ALTER TABLE {t} ADD COLUMN x INT", f"INSERT INTO {t} VALUES (5, 5, 5)", f"RESTORE TABLE {t} TO VERSION AS OF 3",
             f"INSERT INTO {t} VALUES (9, 9)", f"DELETE FROM {t} WHERE id = 9"]
    for turn, statement in enumerate(steps):
        by_us(sluice, statement) if turn % 2 else spark.run(statement)
    log = Log(path)
    same_rows(sluice, spark, path, list(log.versions))
    said = {int(f.stem): json.loads(f.read_text()) for f in (path / "_delta_log").glob("[0-9]*.crc")}
    assert {v for v in log.versions if v not in said} <= {v for v in log.versions if log.info(v)["operation"] == "RESTORE"}  # Spark writes none there
    for v, checksum in said.items():
        files = spark.rows(f"SELECT DISTINCT _metadata.file_path FROM {t} VERSION AS OF {v}")
        assert checksum["numFiles"] >= len(files) and shape(checksum["metadata"]["schemaString"]) == shape(log.last("metaData", v)["schemaString"])


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "Spark's"])
def test_checkpoints_in_parts_after_which_the_log_is_gone(sluice, spark, settings, tmp_path, ours):
    if not ours:
        settings({"spark.databricks.delta.checkpoint.partSize": "3"})
    path = tmp_path / "t"
    t = f"delta.`{path}`"
    (by_us(sluice, f"CREATE TABLE {t} (id INT, p STRING) PARTITIONED BY (p) TBLPROPERTIES ('delta.checkpointInterval' = '5', 'delta.checkpoint.partSize' = '3', 'delta.checkpoint.writeStatsAsStruct' = 'true')")
     if ours else spark.run(f"CREATE TABLE {t} (id INT, p STRING) USING delta PARTITIONED BY (p) TBLPROPERTIES ('delta.checkpointInterval' = '5', 'delta.enableDeletionVectors' = 'true')"))
    for i in range(6):
        statement = f"INSERT INTO {t} VALUES ({i}, 'a'), ({i + 50}, 'b'), ({i + 70}, NULL)" if i != 3 else f"DELETE FROM {t} WHERE id = 51"
        by_us(sluice, statement) if ours else spark.run(statement)
    parts = list((path / "_delta_log").glob("*5.checkpoint.*.parquet"))
    assert len(parts) > 1, list((path / "_delta_log").iterdir())
    moved = tmp_path / "moved"  # what a reader has cached is of the old place
    shutil.copytree(path, moved)
    for v in range(5):
        (moved / "_delta_log" / f"{v:020}.json").unlink()
    for file in (moved / "_delta_log").glob("*.crc"):
        file.unlink()
    schema = Log(path).schema()
    for where in (path, moved):
        log = Log(path)
        assert our_rows(sluice, where, log, [6]) == our_rows(sluice, path, log, [6]) and spark_rows(spark, where, 6) == our_rows(sluice, path, log, [6])[6]
    (spark.run if ours else lambda s: by_us(sluice, s))(f"DELETE FROM delta.`{moved}` WHERE p = 'b'")
    assert len(spark_rows(spark, moved, 7)) == 10 and schema
    assert by_us(sluice, f"SELECT count(*) AS n FROM delta.`{moved}`") == [{"n": 10}]


def test_compacted_logs(sluice, spark, settings, tmp_path):
    """Spark reads a compacted file in place of its commits, if it is told to; these are then gone."""
    settings({"spark.databricks.delta.deltaLog.minorCompaction.useForReads": "true"})
    path = tmp_path / "t"
    t = f"delta.`{path}`"
    by_us(sluice, f"CREATE TABLE {t} (id INT) TBLPROPERTIES ('delta.enableRowTracking' = 'true')", *[f"INSERT INTO {t} VALUES ({i}), ({i + 100})" for i in range(4)],
          f"DELETE FROM {t} WHERE id = 101", f"OPTIMIZE {t}", f"INSERT INTO {t} VALUES (7)", f"UPDATE {t} SET id = 8 WHERE id = 7")
    log = Log(path)
    last = {}
    for v in range(1, log.newest + 1):  # as the protocol says: the newest action of each kind and file
        for kind in ("add", "remove"):
            for a in log.actions(v, kind):
                vector = (a.get("deletionVector") or {})
                last[a["path"], vector.get("pathOrInlineDv"), vector.get("offset")] = {kind: a}
        for a in log.actions(v, "domainMetadata"):
            last["domain", a["domain"]] = {"domainMetadata": a}
    (path / "_delta_log" / f"{1:020}.{log.newest:020}.compacted.json").write_text("".join(json.dumps(a) + "\n" for a in last.values()))
    moved = tmp_path / "moved"
    shutil.copytree(path, moved)
    for file in (moved / "_delta_log").glob("*.crc"):
        file.unlink()
    want = sorted(spark.rows(f"SELECT id FROM {t}"))
    assert sorted(spark.rows(f"SELECT id FROM delta.`{moved}`")) == want == sorted((r["id"],) for r in by_us(sluice, f"SELECT id FROM delta.`{moved}`"))


def aged(path, copy, days):
    """A copy of the table whose log was written so long ago, a minute between its versions."""
    shutil.copytree(path, copy)
    for file in (copy / "_delta_log").iterdir():
        if file.is_file() and file.name[0].isdigit():
            at = time.time() - days * 86400 + 60 * int(file.name[:20])
            os.utime(file, (at, at))
    return f"delta.`{copy}`"


def refused(spark, query):
    try:
        spark.run(query)
    except SparkError:
        return True
    return False


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "Spark's"])
@pytest.mark.parametrize("policy", ["classic", "v2"])
def test_a_log_that_was_cleaned_up(sluice, spark, tmp_path, ours, policy):
    """What one cleans up, the other reads and goes on with: the oldest version is that of a checkpoint."""
    path, copy = tmp_path / "t", tmp_path / "copy"
    one = (lambda s: by_us(sluice, s)) if ours else spark.run
    other = spark.run if ours else lambda s: by_us(sluice, s)
    one(f"CREATE TABLE delta.`{path}` (id INT, p STRING) USING delta PARTITIONED BY (p) TBLPROPERTIES ('delta.checkpointInterval' = '3', 'delta.enableDeletionVectors' = 'true', "
        f"'delta.checkpointPolicy' = '{policy}', 'delta.logRetentionDuration' = 'interval 2 days', 'delta.deletedFileRetentionDuration' = 'interval 2 days')")
    statements = ["INSERT INTO {t} VALUES (%d, 'a'), (%d, 'b')" % (i, i + 50) if i % 3 else "DELETE FROM {t} WHERE id = %d" % (50 + i - 1) for i in range(1, 11)]
    for statement in statements[:7]:
        one(statement.format(t=f"delta.`{path}`"))
    t = aged(path, copy, 5)
    for statement in statements[7:]:
        one(statement.format(t=t))
    log = Log(copy)
    assert min(log.versions) == 6 and log.newest == 10, sorted(f.name for f in (copy / "_delta_log").iterdir())
    full = Log(path)
    schema = full.schema()
    log.schema = lambda version=None: schema  # of a commit that is gone
    mine = our_rows(sluice, copy, log, list(log.versions))
    aged(copy, tmp_path / "young", 1)  # Spark shows no version that is older than files are kept
    for v in log.versions:
        assert spark_rows(spark, tmp_path / "young", v) == mine[v], f"version {v}"
    assert mine[6] == our_rows(sluice, path, full, [6])[6]
    versions = sorted(log.versions, reverse=True)
    assert [r[0] for r in spark.rows(f"DESCRIBE HISTORY {t}")] == versions == [r["version"] for r in by_us(sluice, f"SELECT version FROM table_history('{copy}')")]
    assert refused(spark, f"SELECT * FROM {t} VERSION AS OF 5") and sluice.run("sql", "-c", f"SELECT * FROM {t} VERSION AS OF 5", code=None).code
    for by in (other, one):
        by(f"INSERT INTO {t} VALUES (99, 'c')")
        by(f"DELETE FROM {t} WHERE id = 1")
        by(f"OPTIMIZE {t}")
    log = Log(copy)
    log.schema = lambda version=None: schema
    assert spark_rows(spark, copy, log.newest) == our_rows(sluice, copy, log, [log.newest])[log.newest]


def test_in_commit_timestamps_that_come_late(sluice, spark, tmp_path):
    """Before the version that turns them on, the times of files count; which version was at a time, both say alike."""
    path, copy = tmp_path / "t", tmp_path / "copy"
    t = f"delta.`{path}`"
    by_us(sluice, f"CREATE TABLE {t} (id INT)", f"INSERT INTO {t} VALUES (1)")
    spark.run(f"INSERT INTO {t} VALUES (2)")
    by_us(sluice, f"ALTER TABLE {t} SET TBLPROPERTIES ('delta.enableInCommitTimestamps' = 'true')")
    spark.run(f"INSERT INTO {t} VALUES (4)")
    by_us(sluice, f"INSERT INTO {t} VALUES (5)")
    t = aged(path, copy, 3)
    spark.run(f"INSERT INTO {t} VALUES (6)")
    log = Log(copy)
    told = {r["version"]: r["timestamp"] for r in by_us(sluice, f"SELECT version, epoch_ms(timestamp) AS timestamp FROM table_history('{copy}')")}
    theirs = {r["version"]: r["timestamp"] for r in spark.run(f"DESCRIBE HISTORY {t}").dicts()}
    assert told == {v: int(datetime.datetime.fromisoformat(at).timestamp() * 1000) for v, at in theirs.items()}
    assert told[3] == log.info(3)["inCommitTimestamp"] and told[3] - told[2] > 2 * 86400 * 1000
    for version, at in told.items():
        for ms in (at - 1, at, at + 1):
            query = f"SELECT coalesce(max(id), 0) AS n FROM {t} TIMESTAMP AS OF '{datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc):%Y-%m-%d %H:%M:%S.%f}'"
            want = max([0, *(v for v, found in told.items() if found <= ms and v != 3)])
            if ms < told[0]:
                assert refused(spark, query) and sluice.run("sql", "-c", query, code=None).code
            else:
                assert by_us(sluice, query) == [{"n": want}], (version, query)
                assert ms > told[log.newest] or spark.rows(query) == [(want,)], (version, query)


PLAIN = "id INT, s STRING, d DECIMAL(10,2), n STRUCT<a: INT, b: ARRAY<STRING>>, t TIMESTAMP"
RAW = ["SELECT 1 AS id, 'x' AS s, CAST(1.5 AS DECIMAL(10,2)) AS d, named_struct('a', 1, 'b', array('q', NULL)) AS n, TIMESTAMP '2024-01-02 03:04:05.678' AS t, {p}",
       "SELECT 2, NULL, NULL, NULL, NULL, {p}"]


@pytest.mark.parametrize("column, values", [("p INT", ("1", "NULL")), ("p STRING", ("'a b/c%d'", "''")), ("p DATE", ("DATE '2024-01-02'", "NULL")), ("p DECIMAL(10,2)", ("1.5", "-0.05")),
                                            ("p DECIMAL(38,0)", ("12345678901234567890123456789012345678", "NULL")), ("p DOUBLE", ("1e300", "-0.1")), ("p BOOLEAN", ("true", "NULL"))])
def test_a_folder_of_parquet_becomes_a_table(sluice, spark, tmp_path, column, values):
    paths = {who: tmp_path / who for who in ("ours", "theirs")}
    name = f"raw_{abs(hash((str(tmp_path), column)))}"
    spark.run(f"CREATE TABLE {name} ({PLAIN}, {column}) USING parquet PARTITIONED BY (p) LOCATION '{paths['theirs']}'")
    for query, value in zip(RAW, values):
        spark.run(f"INSERT INTO {name} {query.format(p=f'CAST({value} AS {column[2:]}) AS p')}")
    shutil.copytree(paths["theirs"], paths["ours"])
    by_us(sluice, f"CONVERT TO DELTA parquet.`{paths['ours']}` PARTITIONED BY ({column})")
    spark.run(f"CONVERT TO DELTA parquet.`{paths['theirs']}` PARTITIONED BY ({column})")
    ours, theirs = (Log(p) for p in paths.values())
    assert ours.newest == theirs.newest == 0 and shape(ours.schema()) == shape(theirs.schema())
    assert our_rows(sluice, paths["ours"], ours, [0]) == our_rows(sluice, paths["theirs"], theirs, [0])
    assert spark_rows(spark, paths["ours"], 0) == our_rows(sluice, paths["ours"], ours, [0])[0] == spark_rows(spark, paths["theirs"], 0)
    assert [s[0] for s in told_stats(ours, 0)] == [s[0] for s in told_stats(theirs, 0)]
    for key in ("operation", "readVersion", "isBlindAppend", "isolationLevel"):
        assert ours.info(0).get(key) == theirs.info(0).get(key), key
    assert set(ours.info(0)["operationParameters"]) == set(theirs.info(0)["operationParameters"])
    for path in paths.values():
        by_us(sluice, f"DELETE FROM delta.`{path}` WHERE id = 1")
        spark.run(f"INSERT INTO delta.`{path}` (id) VALUES (3)")
        same_rows(sluice, spark, path, [0, 1, 2])


def test_both_refuse_a_file_without_ids_in_a_table_mapped_by_id(sluice, spark, tmp_path):
    path = tmp_path / "t"
    spark.run(f"CREATE TABLE delta.`{path}` (a INT, b STRING) USING delta TBLPROPERTIES ('delta.columnMapping.mode' = 'id', 'delta.enableDeletionVectors' = 'false')")
    spark.run(f"INSERT INTO delta.`{path}` VALUES (1, 'x')")
    same_rows(sluice, spark, path)
    (add,) = Log(path).actions(1, "add")
    names = [f["metadata"]["delta.columnMapping.physicalName"] for f in Log(path).schema()["fields"]]
    (path / "x").mkdir()
    pq.write_table(pa.table({names[0]: pa.array([2], pa.int32()), names[1]: pa.array(["y"])}), path / "x" / "without.parquet")
    add |= {"path": "x/without.parquet", "size": (path / "x" / "without.parquet").stat().st_size}
    (path / "_delta_log" / f"{2:020}.json").write_text(json.dumps({"add": add}) + "\n")
    with pytest.raises(SparkError, match="without.parquet"):
        spark.rows(f"SELECT * FROM delta.`{path}`")
    assert "without.parquet has no ids" in sluice.run("sql", "-c", f"SELECT * FROM delta.`{path}`", code=3).err


ALL = ("a TINYINT, B SMALLINT, c BIGINT, d FLOAT, e DOUBLE, f BOOLEAN, g BINARY, h DATE, i TIMESTAMP_NTZ, j DECIMAL(38,10), k MAP<STRING, ARRAY<INT>>, `l.x` INT, m STRUCT<`q.r`: INT, S: ARRAY<STRUCT<t: DATE>>>, "
       "t TIMESTAMP, `ü%` STRING")
ALL_ROW = ("SELECT CAST(-1 AS TINYINT), CAST(2 AS SMALLINT), 5000000000, CAST('NaN' AS FLOAT), -0.5D, true, X'00FF', DATE '1899-01-02', TIMESTAMP_NTZ '2024-01-02 03:04:05.678901', "
           "CAST('1234567890123456789012345678.0123456789' AS DECIMAL(38,10)), map('k', array(1, NULL)), 7, named_struct('q.r', 1, 'S', array(named_struct('t', DATE '2024-01-02'), NULL)), "
           "TIMESTAMP '1969-12-31 23:59:59.999999', 'ü', {p}, 5")


@pytest.mark.parametrize("names", ["", ", `a b` INT", ", `a;b` INT", ", `a=b` INT"])
def test_parquet_of_all_types_becomes_a_table(sluice, spark, tmp_path, names):
    """Names that Delta has no place for without column mapping are refused by both."""
    paths = {who: tmp_path / who for who in ("ours", "theirs")}
    name = f"all_{abs(hash(str(tmp_path)))}"
    spark.run(f"CREATE TABLE {name} ({ALL}{names}, `P.q` STRING, z SMALLINT) USING parquet PARTITIONED BY (`P.q`, z) LOCATION '{paths['theirs']}'")
    more = ", 1" if names else ""
    for p in ("'a b/c%d'", "NULL"):
        spark.run(f"INSERT INTO {name} {ALL_ROW.format(p=p).replace(', ' + p + ', 5', more + ', ' + p + ', 5')}")
    shutil.copytree(paths["theirs"], paths["ours"])
    columns = "PARTITIONED BY (`P.q` STRING, z SMALLINT)"
    if names:
        assert refused(spark, f"CONVERT TO DELTA parquet.`{paths['theirs']}` {columns}")
        assert sluice.run("sql", "-c", f"CONVERT TO DELTA parquet.`{paths['ours']}` {columns}", code=None).code
        return
    by_us(sluice, f"CONVERT TO DELTA parquet.`{paths['ours']}` {columns}")
    spark.run(f"CONVERT TO DELTA parquet.`{paths['theirs']}` {columns}")
    ours, theirs = (Log(p) for p in paths.values())
    assert shape(ours.schema()) == shape(theirs.schema()) and told_stats(ours, 0) == told_stats(theirs, 0)
    mine = our_rows(sluice, paths["ours"], ours, [0])[0]
    assert mine == our_rows(sluice, paths["theirs"], theirs, [0])[0] == spark_rows(spark, paths["ours"], 0) and len(mine) == 2


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "Spark's"])
def test_both_ends_of_a_shallow_clone(sluice, spark, tmp_path, ours):
    """Who made it or not: both read and change the clone and its source, by vectors and by files, and neither touches the other."""
    paths = tmp_path / "s p%", tmp_path / "clone"
    source, clone = (f"delta.`{p}`" for p in paths)
    one, other = (lambda s: by_us(sluice, s)), spark.run
    one(f"CREATE TABLE {source} (id INT, p STRING) USING delta PARTITIONED BY (p) TBLPROPERTIES ('delta.enableDeletionVectors' = 'true', 'delta.enableRowTracking' = 'true')")
    one(f"INSERT INTO {source} VALUES (1, 'a b/%'), (2, 'a b/%'), (3, NULL), (4, 'c')")
    other(f"INSERT INTO {source} VALUES (5, 'a b/%'), (6, 'c'), (7, 'c')")
    one(f"DELETE FROM {source} WHERE id = 1")
    other(f"DELETE FROM {source} WHERE id = 6")
    (one if ours else other)(f"CREATE TABLE {clone} SHALLOW CLONE {source}")
    for by, also in ((one, other), (other, one)):
        for t in (clone, source):
            last = max(r[0] for r in spark.rows(f"SELECT id FROM {t}"))
            by(f"DELETE FROM {t} WHERE id = {2 if by is one else 7}")
            also(f"UPDATE {t} SET id = id + 100 WHERE id = {5 if by is one else 4}")
            by(f"INSERT INTO {t} VALUES ({last + 200}, 'a b/%')")
    other(f"OPTIMIZE {clone}") if ours else one(f"OPTIMIZE {clone}")
    for path in paths:
        same_rows(sluice, spark, path, list(Log(path).versions))
    ids = [sorted(r[0] for r in spark.rows(f"SELECT id FROM {t}")) for t in (clone, source)]
    assert ids[0] == ids[1] == [3, 104, 105, 207, 407], ids
