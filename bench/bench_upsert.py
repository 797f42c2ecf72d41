"""10,000 random keys (80 % update, 10 % delete, 10 % insert) into a large table, against delta-rs `merge` of the same.

Two times, each the median of batches into a warm table, by a running sync with --epoch 100ms:
  * commit → visible: from COMMIT at the source to the Delta version that holds it. The server's decoding and sending,
    which go on until the last change is here, and ours, are in it
  * the sink alone: the batch is in memory, as delta-rs has its keys; until its Delta version is there. Finding and masking
    the old rows, the data file, the commit with its fsyncs: event=committed of --debug
delta-rs merges the keys, which it has in memory, into a table of its own with the same rows. The first batch, which
builds the key index, is left out, and printed.
"""
import random
import re
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, write_deltalake

from measure import written_by
from setting import log_of, median, newest, position, size_of, wait_for

KEYS, BATCHES = 10_000, 9

TABLE = """
CREATE TABLE t (id bigint NOT NULL, customer integer, quantity smallint, price numeric(12,2), weight float8,
                note text, day date, at timestamptz, paid boolean);
INSERT INTO t SELECT g, (g % 100000 * 7919) % 100000, g % 50, (g % 100000 * 31)::numeric / 100, g * 0.37,
       'order ' || md5(g::text) || ' x', date '2020-01-01' + (g % 2000)::int,
       timestamptz '2020-01-01 00:00:00+00' + g * interval '13 seconds', g % 3 = 0 FROM generate_series(1, {rows}) g;
ALTER TABLE t ADD PRIMARY KEY (id)
"""
COLUMNS = ["id", "customer", "quantity", "price", "weight", "note", "day", "at", "paid"]


def changes(rows, seed):
    """Keys to update, to delete, to insert. Some of the first two may be gone by an earlier batch."""
    rng = random.Random(seed)
    keys = rng.sample(range(1, rows + 1), KEYS * 9 // 10)
    return keys[:KEYS * 8 // 10], keys[KEYS * 8 // 10:], [rows + seed * KEYS + i for i in range(KEYS // 10)]


def apply_to_source(db, rows, seed):
    """Returns when it was committed, by both clocks."""
    update, delete, insert = changes(rows, seed)
    with db.connect() as conn:
        with conn.transaction():
            conn.execute("UPDATE t SET quantity = quantity + 1, price = price + 1, note = 'changed' WHERE id = ANY(%s)",
                         [update])
            conn.execute("DELETE FROM t WHERE id = ANY(%s)", [delete])
            conn.execute("INSERT INTO t SELECT g, 1, 1, 1.5, 2.5, 'new', date '2024-01-01', now(), true"
                         " FROM unnest(%s::bigint[]) g", [insert])
        return time.monotonic()


def times_of(log):
    """Of each commit with rows: the milliseconds in the sink, and where they went."""
    found = []
    for line in Path(log).read_text(encoding="utf-8").splitlines():
        f = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)(?= |$)", line)}
        if "event=committed" in line and f["rows"]:
            found.append({k: f[k + "_us"] / 1e3 for k in ("apply", "write", "commit", "index")})
    return found


def ours(s, db, rows):
    lake = s.folder("lake")
    w = s.sluice("sync", db.url, lake, "--epoch", "100ms", "--no-heartbeat", "--no-compaction", "--debug")
    log, end_to_end, cpu = log_of(lake, "t"), [], []
    wait_for(lambda: newest(log) >= 0, 1800, process=w)
    files = sorted(log.parent.glob("*.parquet"))
    s.settle()
    for seed in range(1, BATCHES + 2):
        if seed == 2:  # the index is there now
            s.settle()
            written, size = written_by(w.pid), size_of(log.parent)
        at, before = newest(log), w.cpu_now()
        begin = apply_to_source(db, rows, seed)
        end = wait_for(lambda at=at: newest(log) > at and position(log, newest(log)), 300, process=w)
        time.sleep(0.5)
        end_to_end.append((end - begin) * 1e3)
        cpu.append(w.cpu_now() - before)
    size = (size_of(log.parent) - size) / BATCHES / 1e6
    log_size = (log / f"{newest(log):020}.json").stat().st_size / 1e6
    w.stop()  # the key index is written out now
    sink = times_of(w.log)
    assert len(sink) == BATCHES + 1, sink
    parts = {k: median(t[k] for t in sink[1:]) for k in sink[0]}
    return {"end_to_end": median(end_to_end[1:]), "first": end_to_end[0], "cpu": sum(cpu[1:]) / BATCHES, "rss": w.rss,
            "sink": median(t["apply"] + t["write"] + t["commit"] for t in sink[1:]), "parts": parts, "table_mb": size,
            "json_mb": log_size, "written_mb": (w.written - written) / BATCHES / 1e6, "files": len(files)}, files


def theirs(s, files, rows):
    """delta-rs writes no tables with deletion vectors or column mapping: it gets one of its own with the same rows."""
    path = str(s.folder("peer-table"))
    data = ds.dataset([str(f) for f in files])
    schema = pa.schema(list(zip(COLUMNS, [f.type for f in data.schema])))
    write_deltalake(path, pa.RecordBatchReader.from_batches(
        schema, (b.rename_columns(COLUMNS) for b in data.to_batches() if b.num_rows)))
    result = []
    for seed in (1, 2, 3):
        update, delete, insert = changes(rows, seed)
        source = pa.table({"id": pa.array(update + delete + insert, pa.int64()),
                           "op": ["u"] * len(update) + ["d"] * len(delete) + ["c"] * len(insert)})
        size, begin, cpu = size_of(path), time.monotonic(), time.process_time()
        (DeltaTable(path).merge(source, "t.id = s.id", source_alias="s", target_alias="t")
         .when_matched_delete("s.op = 'd'")
         .when_matched_update({"quantity": "t.quantity + 1", "price": "t.price + 1", "note": "'changed'"})
         .when_not_matched_insert({"id": "s.id", "customer": "1", "quantity": "1", "price": "1.5", "weight": "2.5",
                                   "note": "'new'", "day": "cast('2024-01-01' as date)", "at": "now()", "paid": "true"})
         .execute())
        result.append((time.monotonic() - begin, time.process_time() - cpu, size_of(path) - size))
    return {"ms": median(r[0] for r in result) * 1e3, "cpu": median(r[1] for r in result),
            "table_mb": median(r[2] for r in result) / 1e6}


def report(s, rows, mine, peer):
    def goal(ratio):
        return (">= 100", ratio >= 100) if rows == 10_000_000 else (None, None)

    n = f"{rows:,} rows"
    s.report("upsert", f"10,000 keys, commit → visible, {n}", mine["end_to_end"], "ms", cpu=round(mine["cpu"], 3),
             table_mb=round(mine["table_mb"], 3), json_mb=round(mine["json_mb"], 3),
             written_mb=round(mine["written_mb"], 1), first_ms=round(mine["first"]), files=mine["files"])
    s.report("upsert", f"10,000 keys, sink alone, {n}", mine["sink"], "ms",
             **{k + "_ms": round(v, 1) for k, v in mine["parts"].items()})
    s.report("upsert", f"10,000 keys, delta-rs merge, {n}", peer["ms"], "ms", cpu=round(peer["cpu"], 2),
             table_mb=round(peer["table_mb"], 1))
    for what in ("end_to_end", "sink"):
        ratio = peer["ms"] / mine[what]
        name = "commit → visible" if what == "end_to_end" else "sink alone"
        s.report("upsert", f"delta-rs / ours, {name}, {n}", ratio, "x", *goal(ratio))
    s.report("upsert", f"CPU, delta-rs / ours, {n}", peer["cpu"] / mine["cpu"], "x")
    s.report("upsert", f"peak memory, {n}", mine["rss"], "MB", "<= 256", mine["rss"] <= 256)


def run(s):
    found = {}
    for rows in [100_000] if s.quick else [1_000_000, 10_000_000] + ([50_000_000] if s.full else []):
        db = s.database(f"upsert{rows}")
        for statement in TABLE.format(rows=rows).split(";"):
            db.sql(statement)
        s.settle()
        mine, files = ours(s, db, rows)
        db.drop()
        peer = theirs(s, files, rows)
        report(s, rows, mine, peer)
        found[rows] = mine
        s.clear()
    small, large = min(found), max(found)
    for what, name in (("end_to_end", "time, commit → visible"), ("sink", "time, sink alone"),
                       ("table_mb", "bytes written to the table")):
        ratio = found[large][what] / found[small][what]
        s.report("upsert", f"{name}: {large:,} / {small:,} rows", ratio, "x", "<= 1.3", ratio <= 1.3)
