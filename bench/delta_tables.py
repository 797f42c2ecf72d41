"""Delta tables for benchmarks, of fixed seeds: rows of about 110 bytes, and logs written action by action."""
import json
import os
import shutil
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

COLUMNS = "id customer quantity price weight note day at paid".split()
SCHEMA = pa.schema([("id", pa.int64()), ("customer", pa.int32()), ("quantity", pa.int16()),
                    ("price", pa.decimal128(12, 2)), ("weight", pa.float64()), ("note", pa.string()),
                    ("day", pa.date32()), ("at", pa.timestamp("us", "UTC")), ("paid", pa.bool_())])
SCHEMA_STRING = json.dumps({"type": "struct", "fields": [
    {"name": n, "type": t, "nullable": True, "metadata": {}} for n, t in zip(
        COLUMNS, ["long", "integer", "short", "decimal(12,2)", "double", "string", "date", "timestamp", "boolean"])]})


def numbered(first, n):
    return pa.array(range(first, first + n), pa.int64())


def remainder(a, n):
    return pc.subtract(a, pc.multiply(pc.divide(a, n), n))


def rows_of(ids, salt=7919):
    """A table of the rows with these ids (an Arrow array of int64); another salt gives the same rows other values."""
    mixed = remainder(pc.multiply(ids, salt), 1_000_003)
    text = pc.cast(pc.multiply(mixed, 1_000_000_007), pa.string())
    note = pc.binary_join_element_wise("order", text, pc.utf8_reverse(text), "of the bench", " ")
    return pa.Table.from_arrays([
        ids, pc.cast(remainder(mixed, 100_000), pa.int32()), pc.cast(remainder(mixed, 50), pa.int16()),
        pc.cast(pc.divide(pc.cast(remainder(mixed, 99_991), pa.float64()), 4), pa.decimal128(12, 2)),
        pc.multiply(pc.cast(mixed, pa.float64()), 0.37), note,
        pc.cast(pc.cast(pc.add(remainder(mixed, 2000), 18_000), pa.int32()), pa.date32()),
        pc.cast(pc.add(pc.multiply(ids, 13_000_000), 1_577_836_800_000_000), pa.timestamp("us", "UTC")),
        pc.equal(remainder(mixed, 3), 0)], schema=SCHEMA)


def make(path, rows, files):
    """A table of delta-rs with ids 1..rows in so many files, in order of id."""
    per = rows // files
    for i in range(files):
        append(path, numbered(i * per + 1, per))
    return Path(path)


def append(path, ids):
    write_deltalake(str(path), rows_of(ids), mode="append")


def checkpoint_of(path):
    DeltaTable(str(path)).create_checkpoint()


def copy(path, to):
    """Another table of the same files: hard links, for no writer changes a file."""
    shutil.copytree(path, to, copy_function=os.link, dirs_exist_ok=True)
    return Path(to)


def data_files(path):
    return sorted(str(f) for f in Path(path).rglob("*.parquet") if "_delta_log" not in f.parts)


# --- logs without data: what opening a table costs

def stats_of(i):
    bounds = {"id": i * 1000, "customer": 1, "quantity": 0, "price": 0.25, "weight": 0.37, "note": f"order {i}",
              "day": "2020-01-01", "at": "2020-01-01T00:00:00.000Z"}
    return json.dumps({"numRecords": 1000, "minValues": bounds, "maxValues": bounds | {"id": i * 1000 + 999},
                       "nullCount": {c: 0 for c in COLUMNS}}, separators=(",", ":"))


def add_of(i):
    return {"path": f"part-{i % 10:05}-{uuid.UUID(int=i * 0x9E3779B97F4A7C15 % (1 << 128))}-c000.snappy.parquet",
            "partitionValues": {}, "size": 40_000 + i % 1000, "modificationTime": 1_700_000_000_000 + i,
            "dataChange": True, "stats": stats_of(i)}


def head():
    return [{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
            {"metaData": {"id": str(uuid.UUID(int=4)), "format": {"provider": "parquet", "options": {}},
                          "schemaString": SCHEMA_STRING, "partitionColumns": [], "configuration": {},
                          "createdTime": 1_700_000_000_000}}]


def commits(path, n):
    """A log of n commits, one file each, every tenth removing one, and no checkpoint."""
    log = Path(path) / "_delta_log"
    log.mkdir(parents=True)
    for v in range(n):
        info = {"timestamp": 1_700_000_000_000 + v, "operation": "WRITE", "operationParameters": {"mode": "Append"},
                "operationMetrics": {"numFiles": "1", "numOutputRows": "1000"}, "engineInfo": "bench"}
        actions = [{"commitInfo": info}, *(head() if v == 0 else []), {"add": add_of(v)}]
        if v % 10 == 9:
            actions.append({"remove": {"path": add_of(v - 5)["path"], "deletionTimestamp": 1_700_000_000_000 + v,
                                       "dataChange": True, "size": 40_000}})
        (log / f"{v:020}.json").write_text("".join(json.dumps(a, separators=(",", ":")) + "\n" for a in actions),
                                           encoding="utf-8")
    return n - n // 10


ADD = pa.struct([("path", pa.string()), ("partitionValues", pa.map_(pa.string(), pa.string())), ("size", pa.int64()),
                 ("modificationTime", pa.int64()), ("dataChange", pa.bool_()), ("stats", pa.string())])
META = pa.struct([("id", pa.string()), ("name", pa.string()), ("description", pa.string()),
                  ("format", pa.struct([("provider", pa.string()), ("options", pa.map_(pa.string(), pa.string()))])),
                  ("schemaString", pa.string()), ("partitionColumns", pa.list_(pa.string())),
                  ("configuration", pa.map_(pa.string(), pa.string())), ("createdTime", pa.int64())])
PROTOCOL = pa.struct([("minReaderVersion", pa.int32()), ("minWriterVersion", pa.int32())])


def checkpoint(path, n):
    """A log of one checkpoint with n files, and one commit after it."""
    log, rows = Path(path) / "_delta_log", [*head(), *({"add": add_of(i)} for i in range(n))]
    log.mkdir(parents=True)
    for r in rows:
        if "add" in r:
            r["add"] |= {"partitionValues": [], "dataChange": False}
        if "metaData" in r:
            r["metaData"] |= {"configuration": [], "format": {"provider": "parquet", "options": []}}
    table = pa.Table.from_pydict({k: pa.array([r.get(k) for r in rows], t) for k, t in
                                  (("protocol", PROTOCOL), ("metaData", META), ("add", ADD))})
    pq.write_table(table, log / f"{10:020}.checkpoint.parquet", row_group_size=100_000, compression="snappy")
    (log / "_last_checkpoint").write_text(json.dumps({"version": 10, "size": len(rows)}), encoding="utf-8")
    (log / f"{11:020}.json").write_text(json.dumps({"add": add_of(n)}) + "\n", encoding="utf-8")
    return n + 1
