"""OPTIMIZE (compaction; ZORDER by two columns) and VACUUM of 1,000 files of 1,000 rows, against delta-rs.

The time is of the statement, as `sluice sql --timing` says it, against delta-rs's step alone; CPU and memory are of the
whole processes, delta-rs's CPU without Python's start. VACUUM takes the 1,000 files that the compaction left. Goal:
faster.
"""
import re
import time

import delta_tables

ROWS = 1000
RETAIN = "ALTER TABLE delta.`{}` SET TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 0 hours')"


def small_files(path, files):
    """A file a commit; a checkpoint at the end, as any writer would have left one."""
    for i in range(files):
        delta_tables.append(path, delta_tables.numbered(i * ROWS + 1, ROWS))
    delta_tables.checkpoint_of(path)
    return path


def count_left(table):
    return len(delta_tables.data_files(table))


def one(s, base, step, statement, files):
    mine, other = [], []
    for _ in range(2 if s.quick else 5):  # in turns
        table = delta_tables.copy(base, s.folder("sluice"))
        w = s.sql(statement.format(table), "--timing")
        mine.append((float(re.search(r"([\d.]+) ms$", w.output, re.M)[1]) / 1e3, w.cpu, w.rss))
        assert step == "vacuum" or count_left(table) == files + 1, count_left(table)
        twin = delta_tables.copy(base, s.folder("delta-rs"))
        p = s.peer(step, path=str(twin))
        other.append((p["wall"], p["cpu"], p["rss"]))
        assert count_left(twin) == count_left(table), (count_left(twin), count_left(table))
        s.drop(table)
        s.drop(twin)
    s.compare("maintain", f"{step} of {files} files", mine, other, "< 1", 1, None, None)
    return mine


def run(s):
    files = 100 if s.quick else 1000
    base = small_files(s.folder("base"), files)
    one(s, base, "compact", "OPTIMIZE delta.`{}`", files)
    one(s, base, "z_order", "OPTIMIZE delta.`{}` ZORDER BY (customer, day)", files)
    s.sql(f"OPTIMIZE delta.`{base}`; {RETAIN.format(base)}")
    time.sleep(0.1)  # files are of before the cutoff
    one(s, base, "vacuum", "VACUUM delta.`{}` RETAIN 0 HOURS", files)
