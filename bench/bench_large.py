"""One transaction of 20 M rows, and one that is rolled back, with --memory 256MB: it ends, and stays within memory."""
from setting import log_of, newest, position


def run(s):
    rows = 2_000_000 if s.quick else 20_000_000
    db = s.database("large")
    db.sql("CREATE TABLE big (id bigint PRIMARY KEY, v bigint, t text)", "INSERT INTO big VALUES (0, 0, '')")
    lake = s.folder("lake")
    s.sluice("sync", db.url, lake, "--once").wait()
    insert = f"INSERT INTO big SELECT g, g * 3, 'row ' || g FROM generate_series(1, {rows}) g"
    for what in ("committed", "rolled back"):
        with db.connect() as conn:
            conn.autocommit = False
            conn.execute("SET synchronous_commit = off")
            conn.execute(insert if what == "committed" else insert.replace("SELECT g,", "SELECT -g,"))
            (conn.commit if what == "committed" else conn.rollback)()
        s.settle()
        w = s.sluice("sync", db.url, lake, "--once", "--memory", "256MB").wait()
        s.report("large", f"transaction of {rows:,} rows, {what}", rows / w.wall, "rows/s", cpu=round(w.cpu, 1),
                 wall=round(w.wall, 1))
        s.report("large", f"peak memory, {what}", w.rss, "MB", "<= 256", w.rss <= 256, anon=round(w.anon))
    log = log_of(lake, "big")
    assert position(log, newest(log)) or newest(log) >= 1
