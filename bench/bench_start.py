"""From nothing to the first rows in Delta, and memory while nothing happens."""
import time

from measure import memory_of
from setting import log_of, median, newest, wait_for


def run(s):
    db = s.database("start")
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'v' FROM generate_series(1, 100) g")
    times, idle, anon = [], [], []
    for _ in range(3 if s.quick else 7):
        lake = s.folder("lake")
        s.settle()
        w = s.sluice("sync", db.url, lake)
        times.append(wait_for(lambda log=log_of(lake, "t"): newest(log) >= 0, 60, process=w) - w.begin)
        time.sleep(3)
        m = memory_of(w.pid)
        idle.append(m["VmRSS"])
        anon.append(m["RssAnon"])
        w.stop()
    s.report("start", "first rows in Delta", median(times), "s", "<= 1", median(times) <= 1,
             least=round(min(times), 3), most=round(max(times), 3))
    s.report("start", "resident when idle", median(idle), "MB", "<= 64", median(idle) <= 64, anon=round(median(anon)))
