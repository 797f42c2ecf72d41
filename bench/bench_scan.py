"""Scans of 10 M rows of which 0, 1 and 10 % are deleted, against DuckDB's bare read_parquet() of the same files.

Both by the same `sluice sql` process, in turns, so that the library and its start are the same; what is compared is the
time of a statement. delta-rs (its SQL) and pyarrow over delta-rs are compared at 0 %, and delta-rs at 10 %.
Goals: at most 1.1 times the bare files at 0 %, 1.3 times at 10 % (of which the bare files give more rows).
"""
import re

import delta_tables
from setting import median

QUERIES = {
    "count with filter": "SELECT count(*) FROM {} WHERE quantity < 5",
    "sum": "SELECT sum(weight) FROM {}",
    "group by 8": "SELECT customer & 7, sum(weight), count(*) FROM {} GROUP BY 1",
    "group by 1 M": "SELECT count(*) FROM (SELECT id & 1048575 AS k, sum(weight) FROM {} GROUP BY 1)",
    "one key": "SELECT * FROM {} WHERE id = {key}",
    "key range": "SELECT count(*), sum(weight), max(note) FROM {} WHERE id >= {low} AND id < {low} + 10000",
}


def shares(base, s):
    """{percent: table}: rows spread over all files are masked by deletion vectors."""
    tables = {0: base}
    for percent in (1, 10):
        t = tables[percent] = delta_tables.copy(base, s.folder(f"deleted{percent}"))
        s.sql(f"ALTER TABLE delta.`{t}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true');"
              f"DELETE FROM delta.`{t}` WHERE hash(id) % 100 < {percent}", "--memory", "4GB")
    return tables


def times(s, queries, rounds, *args):
    """Milliseconds of each statement, in turns, by one process."""
    order = [name for _ in range(rounds) for name in queries]
    out = s.sql(";\n".join(queries[name] for name in order), "--timing", "--format", "csv", *args).output
    took = [float(x) for x in re.findall(r"^\d+ rows?, ([\d.]+) ms$", out, re.M)]
    assert len(took) == len(order), out[-2000:]
    result = {}
    for name, ms in zip(order, took):
        result.setdefault(name, []).append(ms)
    return {name: median(v[1:]) for name, v in result.items()}  # the first one warms up


def run(s):
    rows, files, rounds = (1_000_000, 8, 4) if s.quick else (10_000_000, 8, 6)
    base = delta_tables.make(s.folder("base"), rows, files)
    bare = f"read_parquet([{', '.join(repr(f) for f in delta_tables.data_files(base))}])"
    tables, keys = shares(base, s), {"key": rows * 3 // 4 + 4321, "low": rows // 2}
    for percent, table in tables.items():
        queries = {}
        for name, q in QUERIES.items():
            queries[name, "ours"] = q.format(f"delta.`{table}`", **keys)
            queries[name, "bare"] = q.format(bare, **keys)
        took = times(s, queries, rounds)
        peer = s.peer("scan", path=str(table), queries={n: q.format("t", **keys) for n, q in QUERIES.items()})["result"] \
            if percent != 1 else {}
        arrow = s.peer("arrow", path=str(table), queries=list(QUERIES), **keys)["result"] if percent == 0 else {}
        limit = {0: 1.1, 1: 1.3, 10: 1.3}[percent]
        for name in QUERIES:
            mine, other = took[name, "ours"], took[name, "bare"]
            more = {"ours_ms": round(mine, 2), "bare_ms": round(other, 2)}
            if name in peer:
                more["delta_rs_ms"] = round(peer[name], 1)
            if name in arrow:
                more["pyarrow_ms"] = round(arrow[name], 1)
            s.report("scan", f"{name}, {percent} % deleted: ratio to bare", mine / other, "x", f"<= {limit}",
                     mine / other <= limit, **more)
