"""From the commit at the source to the Delta version that shows it, at 1,000 changes a second."""
import bisect
import threading
import time

from setting import log_of, newest, percentile, position, wait_for


def write(db, seconds, moments):
    """100 transactions a second of 10 updates; notes (end of WAL, time) after each commit."""
    with db.connect() as conn:
        begin = time.monotonic()
        for i in range(seconds * 100):
            time.sleep(max(0.0, begin + i / 100 - time.monotonic()))
            k = i * 10 % 10000
            conn.execute(f"UPDATE t SET v = v + 1 WHERE id BETWEEN {k + 1} AND {k + 10}")
            now = time.monotonic()
            moments.append((conn.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()[0], now))


def delays(s, db, seconds, *args):
    lake, moments, seen = s.folder("lake"), [], []
    w = s.sluice("sync", db.url, lake, "--slot", "s" + str(s.serial), *args)
    log = log_of(lake, "t")
    wait_for(lambda: newest(log) >= 0, 60, process=w)
    time.sleep(2)
    at = newest(log)
    cpu, begin = w.cpu_now(), time.monotonic()
    writer = threading.Thread(target=write, args=(db, seconds, moments))
    writer.start()
    while writer.is_alive() or (time.monotonic() < moments[-1][1] + 3):
        if newest(log) > at:
            now = time.monotonic()
            at += 1
            seen.append((position(log, at), now))
        else:
            time.sleep(0.001)
    cpu = (w.cpu_now() - cpu) / (time.monotonic() - begin)
    w.stop()
    ends, result, covered = [m[0] for m in moments], [], 0
    for lsn, now in seen:  # commit i lies between the ends of WAL noted after commits i - 1 and i
        upto = bisect.bisect_right(ends, lsn) + 1 if lsn else 0
        for _, committed in moments[covered:upto]:
            result.append(now - committed)
        covered = max(covered, min(upto, len(moments)))
    return result, cpu, len(moments) - covered


def run(s):
    db = s.database("freshness")
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, v int, note text)",
           "INSERT INTO t SELECT g, 0, md5(g::text) FROM generate_series(1, 10000) g")
    for name, args in (("--epoch 100ms", ["--epoch", "100ms"]), ("default epoch", [])):
        found, cpu, lost = delays(s, db, 6 if s.quick else 30, *args)
        assert lost == 0, f"{lost} commits did not arrive"
        for p in (50, 99):
            s.report("freshness", f"p{p}, {name}", percentile(found[100:], p) * 1e3, "ms", cpu_cores=round(cpu, 3))
