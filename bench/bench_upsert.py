"""10,000 random keys (80 % update, 10 % delete, 10 % insert) into a large table, against delta-rs `merge` of the same.

The time is from the source's COMMIT to the Delta version that holds it, by a running sync with --epoch 100ms; delta-rs
gets the keys in memory and merges them into its own copy of the table. A first batch, which builds the key index, is
timed too.
"""
import random
import shutil
import time
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from measure import written_by
from setting import log_of, newest, position, size_of, wait_for

KEYS = 10_000


def changes(rows, seed):
    rng = random.Random(seed)
    keys = rng.sample(range(1, rows + 1), KEYS * 9 // 10)
    return keys[:KEYS * 8 // 10], keys[KEYS * 8 // 10:], [rows + seed * KEYS + i for i in range(KEYS // 10)]


def apply_to_source(db, rows, seed):
    update, delete, insert = changes(rows, seed)
    with db.connect() as conn, conn.transaction():
        conn.execute("UPDATE t SET v = v + 1, note = 'changed' WHERE id = ANY(%s)", [update])
        conn.execute("DELETE FROM t WHERE id = ANY(%s)", [delete])
        conn.execute("INSERT INTO t SELECT g, 0, 'new' FROM unnest(%s::bigint[]) g", [insert])
    return time.monotonic()


def ours(s, db, rows):
    lake = s.folder("lake")
    w = s.sluice("sync", db.url, lake, "--epoch", "100ms", "--no-heartbeat", "--no-compaction")
    log, result = log_of(lake, "t"), []
    wait_for(lambda: newest(log) >= 0, 900, process=w)
    time.sleep(1)
    copy = s.folder("peer")
    shutil.copytree(log.parent, copy, dirs_exist_ok=True)
    for seed in (1, 2, 3):
        at, cpu, io, size = newest(log), w.cpu_now(), written_by(w.pid), size_of(log.parent)
        begin = apply_to_source(db, rows, seed)
        wait_for(lambda at=at: newest(log) > at and position(log, newest(log)), 300, process=w)
        result.append((time.monotonic() - begin, w.cpu_now() - cpu, written_by(w.pid) - io, size_of(log.parent) - size))
        time.sleep(1)
    w.stop()
    return result, copy, w.rss


def theirs(s, files, rows):
    """delta-rs writes no tables with deletion vectors or column mapping: it gets one of its own with the same rows."""
    import pyarrow.dataset as ds  # pylint: disable=import-outside-toplevel
    path = str(s.folder("peer-table"))
    data = ds.dataset([str(f) for f in Path(files).glob("*.parquet")])
    write_deltalake(path, pa.RecordBatchReader.from_batches(
        pa.schema([("id", pa.int64()), ("v", pa.int32()), ("note", pa.string())]),
        (b.rename_columns(["id", "v", "note"]) for b in data.to_batches() if b.num_rows)))
    result = []
    for seed in (1, 2, 3):
        update, delete, insert = changes(rows, seed)
        source = pa.table({"id": pa.array(update + delete + insert, pa.int64()),
                           "op": ["u"] * len(update) + ["d"] * len(delete) + ["c"] * len(insert)})
        size, begin, cpu = size_of(path), time.monotonic(), time.process_time()
        (DeltaTable(path).merge(source, "t.id = s.id", source_alias="s", target_alias="t")
         .when_matched_delete("s.op = 'd'").when_matched_update({"v": "t.v + 1", "note": "'changed'"})
         .when_not_matched_insert({"id": "s.id", "v": "0", "note": "'new'"}).execute())
        result.append((time.monotonic() - begin, time.process_time() - cpu, size_of(path) - size))
    return result


def run(s):
    for rows in [100_000] if s.quick else [1_000_000, 10_000_000] + ([50_000_000] if s.full else []):
        db = s.database(f"upsert{rows}")
        db.sql("CREATE TABLE t (id bigint PRIMARY KEY, v int, note text)",
               f"INSERT INTO t SELECT g, g % 1000, 'note ' || g FROM generate_series(1, {rows}) g")
        s.settle()
        mine, copy, rss = ours(s, db, rows)
        peer = theirs(s, copy, rows)
        mine_s, peer_s = min(m[0] for m in mine[1:]), min(p[0] for p in peer[1:])
        s.report("upsert", f"10,000 keys into {rows:,} rows", mine_s * 1e3, "ms", cpu=round(mine[-1][1], 3),
                 first_ms=round(mine[0][0] * 1e3), table_mb=round(mine[-1][3] / 1e6, 2),
                 written_mb=round(mine[-1][2] / 1e6, 2))
        s.report("upsert", f"the same by delta-rs merge, {rows:,}", peer_s * 1e3, "ms", cpu=round(peer[-1][1], 2),
                 table_mb=round(peer[-1][2] / 1e6, 2))
        s.report("upsert", f"time ratio, {rows:,} rows", peer_s / mine_s, "x")
        s.report("upsert", f"peak memory, {rows:,} rows", rss, "MB", "<= 256", rss <= 256)
        db.drop()
