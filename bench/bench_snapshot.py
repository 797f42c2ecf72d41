"""First copy of a table of ~110-byte rows, against COPY … TO STDOUT (FORMAT binary) read by psql and thrown away.

Goal: at least 0.8 of the rows a second. The peer only moves the bytes; sluice decodes them, encodes Parquet, syncs it.
"""
from setting import median

TABLE = """
CREATE TABLE snap (id bigint PRIMARY KEY, customer integer, quantity smallint, price numeric(12,2), weight float8,
                   note text, day date, at timestamptz, paid boolean);
INSERT INTO snap SELECT g, (g % 100000 * 7919) % 100000, g % 50, (g % 100000 * 31)::numeric / 100, g * 0.37,
       'order ' || md5(g::text) || ' x', date '2020-01-01' + (g % 2000)::int,
       timestamptz '2020-01-01 00:00:00+00' + g * interval '13 seconds', g % 3 = 0 FROM generate_series(1, {rows}) g
"""


def run(s):
    rows, rounds = (200_000, 2) if s.quick else (2_000_000, 3)
    db = s.database("snapshot")
    for statement in TABLE.format(rows=rows).split(";"):
        db.sql(statement)
    db.sql("VACUUM (FREEZE, ANALYZE) snap")
    width = db.one("SELECT pg_table_size('snap')") / rows
    s.settle()
    ours, theirs = [], []
    for _ in range(rounds):  # in turns, so that a busy machine is busy for both
        before = s.server_cpu()
        w = s.program("psql", "-X", "-d", db.url, "-c", "COPY snap TO STDOUT (FORMAT binary)").wait()
        theirs.append((w.wall, w.cpu, s.server_cpu() - before, w.rss))
        before = s.server_cpu()
        w = s.sluice("sync", db.url, s.folder("lake"), "--once", "--tables", "public.snap").wait()
        ours.append((w.wall, w.cpu, s.server_cpu() - before, w.rss, w.anon))
    wall, peer = median(o[0] for o in ours), median(t[0] for t in theirs)
    s.report("snapshot", "rows/s", rows / wall, "rows/s", width=round(width))
    s.report("snapshot", "rows/s of the peer", rows / peer, "rows/s")
    s.report("snapshot", "ratio of rows/s", peer / wall, "x", ">= 0.8", peer / wall >= 0.8)
    s.report("snapshot", "CPU s a million rows", median(o[1] for o in ours) / rows * 1e6, "s",
             server=round(median(o[2] for o in ours) / rows * 1e6, 2),
             peer=round(median(t[1] for t in theirs) / rows * 1e6, 2),
             peer_server=round(median(t[2] for t in theirs) / rows * 1e6, 2))
    s.report("snapshot", "peak memory", max(o[3] for o in ours), "MB", "<= 256", max(o[3] for o in ours) <= 256,
             anon=round(max(o[4] for o in ours)))
