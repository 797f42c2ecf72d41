"""Opening a table of 10,000 commits without a checkpoint, and one of a checkpoint with 300,000 files, against delta-rs.

Goals: at most a third of its time and a quarter of its memory. Of sluice it is the whole process, from its start to its
end, that is measured; of delta-rs only DeltaTable(path), after Python and its imports (their memory is in its figure).
"""
import delta_tables
from setting import median


def one(s, name, path, files):
    ours, theirs = [], []
    for _ in range(2 if s.quick else 5):  # in turns
        w = s.sql(f"DESCRIBE DETAIL delta.`{path}`", "--format", "json")
        assert f'"numFiles":{files},' in w.output.replace(" ", ""), w.output
        ours.append((w.wall, w.cpu, w.rss))
        p = s.peer("open_table", path=str(path))
        theirs.append((p["wall"], p["cpu"], p["rss"]))
    s.compare("open", name, ours, theirs, "<= 0.333", 1 / 3, "<= 0.25", 0.25)


def run(s):
    n, m = (1000, 30_000) if s.quick else (10_000, 300_000)
    path = s.folder("commits")
    one(s, f"{n:,} commits", path, delta_tables.commits(path, n))
    path = s.folder("checkpoint")
    one(s, f"{m:,} files", path, delta_tables.checkpoint(path, m))
