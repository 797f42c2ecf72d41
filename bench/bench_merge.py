"""MERGE of 10,000 random keys (80 % update, 10 % delete, 10 % insert) by `sluice sql`, against delta-rs and (--spark) Spark.

Rows of about 110 bytes, a bigint key and 8 other columns. Each MERGE has its own copy of the table. Of sluice it is the
whole process that is measured, from its start to its end; of delta-rs only the merge itself, its source already on disk
beside the table as for sluice; of Spark a MERGE in a session that has run one before. Goals: faster than every peer,
half of delta-rs's memory.
"""
import json
import os
import random
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import delta_tables
from setting import size_of
from lib.spark import HOME  # tools/deps.sh spark. pylint: disable=wrong-import-order

KEYS = 10_000
MERGE = """MERGE INTO delta.`{table}` AS t USING {source} AS s ON t.id = s.id
WHEN MATCHED AND s.op = 'd' THEN DELETE
WHEN MATCHED THEN UPDATE SET {sets}
WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"""
VECTORS = "ALTER TABLE delta.`{}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"


def statement(table, source):
    c = delta_tables.COLUMNS
    return MERGE.format(table=table, source=source, sets=", ".join(f"{x} = s.{x}" for x in c[1:]),
                        columns=", ".join(c), values=", ".join(f"s.{x}" for x in c))


def write_source(path, rows):
    rng = random.Random(rows)
    keys = rng.sample(range(1, rows + 1), KEYS * 9 // 10) + [rows + 1 + i for i in range(KEYS // 10)]
    t = delta_tables.rows_of(pa.array(keys, pa.int64()), salt=104_729)
    pq.write_table(t.append_column("op", [["u"] * (KEYS * 8 // 10) + ["d"] * (KEYS // 10) + ["c"] * (KEYS // 10)]), path)


def check(s, table, rows):
    """The outcome, whoever made it: 1,000 rows are gone, 1,000 are new, 9,000 have the source's values."""
    out = json.loads(s.sql(f"SELECT count(*) AS n, max(id) AS top FROM delta.`{table}`", "--format", "json").output)
    assert out == {"n": rows, "top": rows + KEYS // 10}, out


def ours(s, base, source, rows, vectors, memory=None):
    table = delta_tables.copy(base, s.folder("sluice"))
    if vectors:
        s.sql(VECTORS.format(table))
    size = size_of(table)
    w = s.sql(statement(table, f"read_parquet('{source}')"), *(["--memory", memory] if memory else []))
    written = size_of(table) - size
    check(s, table, rows)
    s.drop(table)
    return w.wall, w.cpu, w.rss, written / 1e6


def theirs(s, base, source, rows):
    table = delta_tables.copy(base, s.folder("delta-rs"))
    size = size_of(table)
    p = s.peer("merge", path=str(table), source=str(source))
    written = size_of(table) - size
    check(s, table, rows)
    s.drop(table)
    return p["wall"], p["cpu"], p["rss"], written / 1e6


SPARK = """
import json, os, sys, time
from pyspark.sql import SparkSession
spark = (SparkSession.builder.master("local[2]")
         .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
         .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
         .config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "2")
         .config("spark.databricks.delta.snapshotPartitions", "2").config("spark.log.level", "ERROR")
         .config("spark.sql.session.timeZone", "UTC").getOrCreate())
jvm = spark._jvm.java.lang.ProcessHandle.current().pid()
def cpu():
    f = open(f"/proc/{jvm}/stat").read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")
def peak():
    return next(int(x.split()[1]) / 1024 for x in open(f"/proc/{jvm}/status") if x.startswith("VmHWM"))
for statements in json.load(sys.stdin):
    for sql in statements[:-1]:
        spark.sql(sql)
    begin, before = time.monotonic(), cpu()
    spark.sql(statements[-1])
    print(json.dumps([time.monotonic() - begin, cpu() - before, peak()]), flush=True)
"""


def spark(s, base, source, rows):
    """Two tables to warm up, then two that count, with deletion vectors; and the same without."""
    result = {}
    env = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "TZ": "UTC", "PYSPARK_SUBMIT_ARGS":
                        f"--driver-memory 2g --driver-class-path {HOME}/jars/* pyspark-shell"}
    for vectors in (True, False):
        tables = [delta_tables.copy(base, s.folder("spark")) for _ in range(3)]
        jobs = [[*([VECTORS.format(t)] if vectors else []), statement(t, f"parquet.`{source}`")] for t in tables]
        size = size_of(tables[-1])
        out = subprocess.run([HOME / "venv/bin/python", "-c", SPARK], input=json.dumps(jobs), text=True, env=env,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        runs = [json.loads(line) for line in out.splitlines() if line.startswith("[")]
        for t in tables:
            check(s, t, rows)
        result[vectors] = [(*min(runs[1:]), (size_of(tables[-1]) - size) / 1e6)]
        for t in tables:
            s.drop(t)
    return result


def report(s, rows, way, mine, other, peer, memory_goal=None):
    s.compare("merge", f"{rows:,} rows, {way}", mine, other, "< 1", 1, memory_goal, 0.5, peer)
    s.report("merge", f"{rows:,} rows, {way}: written ratio to {peer}", mine[0][3] / other[0][3], "x",
             ours_mb=round(mine[0][3], 2), **{f"{peer}_mb": round(other[0][3], 2)})


def run(s):
    for rows, files in [(100_000, 4)] if s.quick else [(1_000_000, 4), (10_000_000, 10)]:
        base = delta_tables.make(s.folder("base"), rows, files)
        source = Path(s.folder("source")) / "source.parquet"
        write_source(source, rows)
        width = size_of(base) / rows
        s.report("merge", f"{rows:,} rows: bytes a row on disk", width, "B")
        mine, other = {True: [], False: []}, []
        for _ in range(3):  # in turns
            mine[True].append(ours(s, base, source, rows, True))
            other.append(theirs(s, base, source, rows))
            mine[False].append(ours(s, base, source, rows, False))
        for vectors, way in ((True, "deletion vectors"), (False, "copy-on-write")):
            report(s, rows, way, mine[vectors], other, "delta-rs", "< 0.5")
        limit = 256
        for vectors, way in ((True, "deletion vectors"), (False, "copy-on-write")):
            peak = ours(s, base, source, rows, vectors, f"{limit}MB")
            s.report("merge", f"{rows:,} rows, {way}: peak memory with --memory {limit}MB", peak[2], "MB", f"<= {limit}",
                     peak[2] <= limit, wall=round(peak[0], 2), cpu=round(peak[1], 2))
        if s.spark:
            for vectors, other in spark(s, base, source, rows).items():
                report(s, rows, "deletion vectors" if vectors else "copy-on-write", mine[vectors], other, "Spark")
        s.drop(base)
