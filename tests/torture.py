#!/usr/bin/env python3
"""Kills sluice over and over while clients write, restarts it, and compares source and lake row by row.

usage: tests/torture.py [--kills N] [--seed S] [--points a,b|none] [--without truncate,ddl,partitions]
                        [--options TEXT] [--keep]

A kill is one of: kill -9 at a random moment; SIGKILL at a named step (SLUICE_CRASH_AT, see src/base/crash.h; the names
are read from the sources); kill -9 together with PostgreSQL, which is stopped at once or killed -9 itself, and then recovers
from its WAL; kill -9 of the server's sending process, which makes the server break all connections, and later of sluice.
Every round of kills begins with a new database and an empty lake, so that the initial copy is hit as well, and has options
of its own (OPTIONS, in turn). It ends with everything caught up and compared. Prints a line a round, and what was done;
exits 1 when anything differed or the program gave up.
"""
import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.history import fold  # noqa: E402
from lib.lake import Lake  # noqa: E402
from lib.oracle import assert_equal, difference, primary_key, read_sources  # noqa: E402
from lib.pg import Postgres  # noqa: E402
from lib.sluice import BIN, ROOT, Sluice  # noqa: E402
from lib.wait import Late, wait_until  # noqa: E402
from lib.workload import Workload, quiesce  # noqa: E402

ROUND = 25  # kills on one lake
DECODE_FAULT = "the server fails to decode its own WAL"
PARTITIONS = ("--partition-by", "wl_part.day,wl_single.b,wl_single.e,wl_full.a,wl_toast.n")
ON_WRITE = ("--copy-on-write", "*.*")
FEED = ("--change-feed", "wl_*")
OPTIONS = [(), PARTITIONS, FEED, ("--history", "beside"), ON_WRITE, ("--history", "only"), (*PARTITIONS, *FEED),
           (*PARTITIONS, "--history", "beside", "--binary"), (*ON_WRITE, *FEED, "--epoch", "0", "--memory", "128MB"), (*PARTITIONS, *ON_WRITE)]


def points_in_sources():
    names = set()
    for file in (ROOT / "src").rglob("*.c"):
        if not file.name.endswith("_test.c"):
            names.update(re.findall(r'crash_point\("(\w+)"\)', file.read_text(encoding="utf-8")))
    return sorted(names)


class Torture:
    def __init__(self, folder, seed, points, without=(), options=None):
        self.folder, self.seed, self.without = Path(folder), seed, without
        self.rng = random.Random(seed)
        self.points, self.all_options = points, OPTIONS if options is None else [options]
        self.server = Postgres()
        self.kills = Counter()
        self.hits = Counter()
        self.rows = self.comparisons = self.rounds = self.faults = 0
        self.next_point = 0

    def run(self, kills):
        self.server.start()
        try:
            while sum(self.kills.values()) < kills:
                self.round(min(ROUND, kills - sum(self.kills.values())))
        finally:
            self.server.remove()

    def round(self, kills):
        self.rounds += 1
        home = self.folder / f"round-{self.rounds}"
        home.mkdir()
        self.sluice = Sluice(home)
        self.lake = Lake(home / "lake", self.sluice)
        self.options = self.all_options[(self.seed + self.rounds) % len(self.all_options)]
        self.only, self.beside = "only" in self.options, "beside" in self.options
        db = self.server.create(f"w{self.rounds}")
        workload = Workload(db, f"{self.seed}/{self.rounds}", clients=2,
                            ddl="ddl" not in self.without,
                            partitions=not self.only and "partitions" not in self.without).create()
        workload.run(30)
        fault = False
        try:
            for i in range(kills):
                self.one(db, workload, copying=i < 5)
                if i % 10 == 9:
                    self.compare(db, workload)
            self.compare(db, workload)
        except AssertionError as e:  # PostgreSQL itself may fail: its slot is lost then, and sluice says so
            fault = DECODE_FAULT in str(e)
            if not fault:
                raise
            self.faults += 1
        finally:
            workload.join(stop=True)
            self.sluice.stop_all()
        db.drop()
        shutil.rmtree(home)
        print(f"round {self.rounds} [{' '.join(self.options) or 'no options'}]: {sum(self.kills.values())} kills, "
              f"{self.comparisons} comparisons, {self.rows} rows compared so far, "
              f"{'ended by a fault of the server: ' + DECODE_FAULT if fault else 'no difference'}", flush=True)

    def pick(self, copying):
        """The next step in turn, those of the initial copy only while there is one."""
        for _ in self.points:
            self.next_point += 1
            point = self.points[self.next_point % len(self.points)]
            if copying == point.startswith("chunk") or not any(p.startswith("chunk") for p in self.points):
                return point
        return point

    def one(self, db, workload, copying):
        """Starts sluice, lets clients write, and kills it."""
        kind = self.rng.choices(["moment", "step", "server", "sender"],
                                [5, 5 if self.points else 0, 1, 1])[0]
        env, point = {}, None
        if kind == "step":
            point = self.pick(copying and self.rng.random() < 0.6)
            env["SLUICE_CRASH_AT"] = f"{point}:{self.rng.choice([1, 1, 1, 2, 4])}"
        if not workload.threads:
            workload.start(1000000, truncates="truncate" not in self.without)
        process = self.sluice.start_sync(db.url, self.lake, *self.options, env=env)
        end = time.monotonic() + (8 if point else self.rng.uniform(0.05, 2.5))
        while process.alive() and time.monotonic() < end:
            time.sleep(0.01)
        if not process.alive():
            code = process.popen.returncode
            process.check_sanitizers()
            if code != -9 or not point:
                raise AssertionError(f"sluice gave up with {code} ({env}):\n{process.text()[-6000:]}")
            self.hits[point] += 1
        elif kind == "step":
            kind = "moment"  # the step was not reached in time
        if kind == "sender" and "stream_started" in process.text() and db.kill_sender():
            process.check()  # it takes a server that comes back as it comes
            time.sleep(self.rng.uniform(0, 3))
        if kind == "server":
            self.server.stop("immediate") if self.rng.random() < 0.5 else self.server.kill()
            if self.rng.random() < 0.5:  # sometimes it notices before it dies itself
                time.sleep(self.rng.uniform(0, 0.3))
        process.kill()
        if kind == "server":
            self.server.start()
        wait_until(db.answers, 60, "the server to come back")
        self.kills[kind] += 1

    def compare(self, db, workload):
        workload.join(stop=True)
        process = self.sluice.start_sync(db.url, self.lake, *self.options)
        quiesce(workload, self.lake, process, deadline=1800)
        process.term()
        self.sluice.sync_once(db.url, self.lake, *self.options)  # partitions may have gone that no look had seen
        tables = [*workload.tables, "marker"]
        self.rows += self.compare_changes(db, tables) if self.only else assert_equal(db, self.lake, tables)
        for t in tables if self.beside else ():
            if self.lake.exists(f"{t}__history"):
                self.no_change_twice(t)
        self.comparisons += 1

    def compare_changes(self, db, tables):
        """The tables hold changes: what they lead to is what the source has."""
        sources = read_sources(db, tables)
        for t in tables:
            key = ("id",) if t == "wl_index" else primary_key(db, t)
            diff = difference(sources[t], fold(self.lake.read(t), key), key)
            assert not diff, f"the changes of {t} lead to another state than the source's\n{diff}"
        return sum(len(s.rows) for s in sources.values())

    def no_change_twice(self, table):
        rows = self.lake.read(f"{table}__history").dicts()
        seen = Counter((r["__lsn"], r["__ordinal"], r["__op"]) for r in rows)
        twice = [place for place, n in seen.items() if n > 1]
        assert not twice, f"{table}__history has changes twice: {twice[:5]}"
        self.rows += len(rows)

    def report(self, differences):
        told = ", ".join(f"{self.kills[k]} {text}" for k, text in (
            ("moment", "at a random moment"), ("step", "at a named step"), ("server", "with the server"),
            ("sender", "after the server's sending process")))
        if self.points:
            never = [p for p in self.points if not self.hits[p]]
            print(f"steps hit: {dict(self.hits)}" + (f"; never reached: {never}" if never else ""))
        print(f"{'FAILED' if differences else 'PASSED'}: kills {sum(self.kills.values())} ({told}), rounds {self.rounds}, "
              f"comparisons {self.comparisons}, rows compared {self.rows}, rounds ended by faults of the server {self.faults}, "
              f"differences {differences}")


def brief(text, size=6000):
    return text if len(text) <= 2 * size else f"{text[:size]}\n[…]\n{text[-size:]}"


def torture(kills, seed, points=None, without=(), keep=False, options=None):
    """Returns the number of failures: 0 or 1, because the first one ends it. Leaves its folder behind on a failure."""
    folder = tempfile.mkdtemp(prefix="sluice-torture-")
    t = Torture(folder, seed, points_in_sources() if points is None else points, without, options)
    try:
        t.run(kills)
    except (AssertionError, Late) as e:
        print(f"{e}\n{brief(t.sluice.logs())}\nleft for inspection: {folder} (seed {seed}, round {t.rounds}, "
              f"options {' '.join(t.options) or 'none'})")
        t.report(1)
        return 1
    t.report(0)
    if not keep:
        shutil.rmtree(folder)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--points", help="names of steps, or none (default: all that the sources name)")
    parser.add_argument("--without", default="", help="kinds of change that the clients leave out: truncate, ddl, partitions")
    parser.add_argument("--options", help="of sluice sync for every round, as one text (default: OPTIONS in turn)")
    parser.add_argument("--keep", action="store_true", help="leave the folder behind also when all went well")
    args = parser.parse_args()
    assert BIN.exists(), f"{BIN} is not built"
    points = None if args.points is None else [p for p in args.points.split(",") if p and p != "none"]
    print(f"torture: {args.kills} kills, seed {args.seed}", flush=True)
    options = None if args.options is None else tuple(args.options.split())
    return torture(args.kills, args.seed, points, args.without.split(","), args.keep, options)


if __name__ == "__main__":
    sys.exit(main())
