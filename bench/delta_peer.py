#!/usr/bin/env python3
"""A step of a peer in a process of its own, so that its memory is its own: delta_peer.py STEP {json of arguments}

Prints one JSON line: wall and CPU seconds of the step alone (the interpreter and its imports come before), the peak of
memory in MB, and that of an interpreter that has only imported, and what the step returned.
"""
import json
import resource
import sys
import time

import pyarrow.parquet as pq
from deltalake import DeltaTable

from measure import memory_of


def open_table(path):
    t = DeltaTable(path)
    return t.version(), t


def merge(path, source):
    (DeltaTable(path).merge(pq.read_table(source), "t.id = s.id", source_alias="s", target_alias="t")
     .when_matched_delete("s.op = 'd'")
     .when_matched_update({c: f"s.{c}" for c in COLUMNS if c != "id"})
     .when_not_matched_insert({c: f"s.{c}" for c in COLUMNS}).execute())


def compact(path):
    return DeltaTable(path).optimize.compact()["numFilesAdded"]


def z_order(path):
    return DeltaTable(path).optimize.z_order(["customer", "day"])["numFilesAdded"]


def vacuum(path):
    return len(DeltaTable(path).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False))


COLUMNS = "id customer quantity price weight note day at paid".split()


def scan(path, queries):
    """Each query by delta-rs's own SQL, the table opened before; the median of several runs."""
    from deltalake import QueryBuilder  # pylint: disable=import-outside-toplevel
    builder, result = QueryBuilder().register("t", DeltaTable(path)), {}
    for name, sql in queries.items():
        times = []
        for _ in range(5):
            begin = time.monotonic()
            builder.execute(sql).read_all()
            times.append(time.monotonic() - begin)
        result[name] = sorted(times)[2] * 1e3
    return result


def arrow(path, queries, key, low):
    """The same by pyarrow over delta-rs's data set: what it can say without SQL."""
    import pyarrow.compute as pc  # pylint: disable=import-outside-toplevel
    data, result = DeltaTable(path).to_pyarrow_dataset(), {}
    f = pc.field
    steps = {
        "count with filter": lambda: data.count_rows(filter=f("quantity") < 5),
        "sum": lambda: pc.sum(data.to_table(columns=["weight"])["weight"]),
        "group by 8": lambda: data.to_table(columns={"g": pc.bit_wise_and(f("customer"), 7), "weight": f("weight")})
        .group_by("g").aggregate([("weight", "sum"), ("g", "count")]),
        "group by 1 M": lambda: data.to_table(columns={"g": pc.bit_wise_and(f("id"), (1 << 20) - 1),
                                                       "weight": f("weight")})
        .group_by("g").aggregate([("weight", "sum")]).num_rows,
        "one key": lambda: data.to_table(filter=f("id") == key),
        "key range": lambda: data.to_table(filter=(f("id") >= low) & (f("id") < low + 10_000)),
    }
    for name in queries:
        times = []
        for _ in range(5):
            begin = time.monotonic()
            steps[name]()
            times.append(time.monotonic() - begin)
        result[name] = sorted(times)[2] * 1e3
    return result


def main():
    step, args = globals()[sys.argv[1]], json.loads(sys.argv[2])
    base, cpu, begin = memory_of("self")["VmHWM"], time.process_time(), time.monotonic()
    result = step(**args)
    wall, cpu = time.monotonic() - begin, time.process_time() - cpu
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"wall": wall, "cpu": cpu, "rss": memory_of("self")["VmHWM"], "base": base,
                      "written": usage.ru_oublock * 512,
                      "result": result[0] if isinstance(result, tuple) else result}))


if __name__ == "__main__":
    main()
