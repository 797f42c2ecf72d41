"""Commits a second of one-row transactions with --epoch 0, each on disk, in a young and in an old table.

Goal: at least 200 a second at version 1,000 and at version 10,000. The peer is delta-rs, appending one row a commit.
"""
import time

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from setting import log_of, newest, wait_for

WORK = """
CREATE PROCEDURE work(n int) LANGUAGE plpgsql AS $$
BEGIN FOR i IN 1..n LOOP INSERT INTO one SELECT coalesce(max(id), 0) + 1, 'a row' FROM one; COMMIT; END LOOP; END $$
"""


def peer(s, n):
    path, begin = str(s.folder("peer")), 0.0
    row = pa.table({"id": pa.array([1], pa.int64()), "v": ["a row"]})
    write_deltalake(path, row)
    table = DeltaTable(path)
    for i in range(n + 100):
        if i == n:
            begin = time.monotonic()
        write_deltalake(table, row, mode="append")
    return 100 / (time.monotonic() - begin)


def rate(log, at, n, w):
    begin = wait_for(lambda: newest(log) >= at, 600, process=w)
    first, cpu = newest(log), w.cpu_now()
    end = wait_for(lambda: newest(log) >= at + n, 600, process=w)
    return (newest(log) - first) / (end - begin), (w.cpu_now() - cpu) / (newest(log) - first) * 1e3


def run(s):
    versions = [200, 1000] if s.quick else [1000, 10000]
    db = s.database("commits")
    db.sql("CREATE TABLE one (id bigint PRIMARY KEY, v text)", WORK)
    lake = s.folder("lake")
    s.sluice("sync", db.url, lake, "--once", "--no-heartbeat").wait()
    db.sql(f"CALL work({versions[-1] + 1200})")
    s.settle()
    log = log_of(lake, "one")
    w = s.sluice("sync", db.url, lake, "--epoch", "0", "--no-heartbeat")
    for at in versions:
        per_s, cpu_ms = rate(log, at, 500, w)
        s.report("commits", f"commits/s at version {at}", per_s, "/s", ">= 200", per_s >= 200, cpu_ms=round(cpu_ms, 2))
    w.stop()
    other = peer(s, 200 if s.quick else 1000)
    s.report("commits", "commits/s of delta-rs at version 1000", other, "/s")
