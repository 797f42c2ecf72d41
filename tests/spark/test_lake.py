"""What `sync` writes, as Spark reads it: every version of every table."""
import pytest

from lib.oracle import assert_equal
from lib.spark import Log
from lib.twins import our_rows, spark_rows

pytestmark = pytest.mark.spark


def same_to_spark(sluice, spark, lake, least):
    """Spark and sluice read the same rows at every version; returns how many versions that were."""
    versions = 0
    for name in lake.tables():
        path = lake.table_path(name)
        log = Log(path)
        ours = our_rows(sluice, path, log, log.versions)
        for v in log.versions:
            assert spark_rows(spark, path, v) == ours[v], f"{name} at version {v}"
        assert [h[0] for h in spark.rows(f"DESCRIBE HISTORY delta.`{path}`")] == sorted(log.versions, reverse=True)
        versions += len(log.versions)
    assert versions >= least
    return versions


STEPS = [
    ["INSERT INTO t SELECT g, 'n' || g, g * 1.25, g % 3, now(), g::bit(3) FROM generate_series(100, 160) g", "UPDATE t SET v = v + 1 WHERE id % 7 = 0",
     "INSERT INTO k VALUES (5, 'e'), (6, NULL)", "INSERT INTO plain VALUES (1, 'x')"],
    ["DELETE FROM t WHERE id % 5 = 0", "UPDATE t SET id = id + 1000 WHERE id = 3", "ALTER TABLE k ADD COLUMN extra int DEFAULT 7", "UPDATE k SET extra = 8 WHERE id = 5"],
    ["ALTER TABLE k RENAME COLUMN v TO text", "INSERT INTO k VALUES (7, 'seven', 1)", "ALTER TABLE t ALTER COLUMN v TYPE numeric(14,2)", "UPDATE t SET p = 9 WHERE id = 7"],
    ["ALTER TABLE k DROP COLUMN extra", "DELETE FROM k WHERE id = 6", "TRUNCATE plain", "INSERT INTO t VALUES (5000, 'last', 0.5, 2, NULL, NULL)"],
]


@pytest.mark.parametrize("options", [(), ("--partition-by", "public.t.p"), ("--copy-on-write", "*"), ("--history", "beside")], ids=lambda o: " ".join(o) or "plain")
def test_spark_reads_what_sync_writes(db, sluice, lake, spark, options):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, s text, v numeric(12,2), p int, at timestamptz, b bit(3))",
           "INSERT INTO t SELECT g, 'n' || g, g * 1.5, g % 3, '2024-01-02 03:04:05.678901Z', NULL FROM generate_series(1, 60) g",
           "CREATE TABLE k (id int PRIMARY KEY, v text)", "INSERT INTO k VALUES (1, 'a')", "CREATE TABLE plain (a int, b text)")
    sluice.sync_once(db.url, lake, *options)
    for step in STEPS:
        db.sql(*step)
        sluice.sync_once(db.url, lake, *options)
    assert_equal(db, lake, ["t", "k", "plain"], ("sluice",))
    same_to_spark(sluice, spark, lake, 12)


def test_spark_writes_to_a_table_of_the_lake_and_sync_goes_on(db, sluice, lake, spark):
    """Upkeep by Spark between two syncs: masked rows are taken out, files merged, a property set."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t SELECT g, g FROM generate_series(1, 100) g")
    path = lake.table_path("t")
    for i in range(3):
        sluice.sync_once(db.url, lake)
        db.sql(f"UPDATE t SET v = v + 1 WHERE id % 3 = {i}", f"DELETE FROM t WHERE id = {10 + i}", f"INSERT INTO t VALUES ({200 + i}, 0)")
        spark.run([f"OPTIMIZE delta.`{path}`", f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('mine' = 'x')", f"REORG TABLE delta.`{path}` APPLY (PURGE)"][i])
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], ("sluice", "delta-rs"))
    same_to_spark(sluice, spark, lake, 6)
