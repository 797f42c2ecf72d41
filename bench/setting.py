"""What the benchmarks share: a PostgreSQL of their own, folders, the program, and the table of results."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from lib.pg import Postgres  # noqa: E402  pylint: disable=wrong-import-position
from measure import Watched, cpu_of_tree  # noqa: E402  pylint: disable=wrong-import-position

BIN = Path(os.environ.get("SLUICE_BIN", ROOT / "build" / "sluice"))


class Setting:
    def __init__(self, args):
        self.quick, self.full, self.out, self.spark = args.quick, args.full, args.out, args.spark
        self.debezium = args.debezium
        self.home = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
        self.results, self.serial, self.server = [], 0, None

    @property
    def pg(self):
        """The server, started when first asked for: benchmarks of Delta alone need none."""
        if self.server is None:
            self.server = Postgres(shared_buffers="512MB", max_wal_size="16GB", checkpoint_timeout="1h",
                                   logical_decoding_work_mem="64MB", wal_sender_timeout="0", autovacuum="off").start()
        return self.server

    def close(self):
        if self.server is not None:
            self.server.remove()
        shutil.rmtree(self.home, ignore_errors=True)

    def clear(self):
        """Folders of a step that is done with."""
        for path in self.home.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)

    # --- the two sides

    def database(self, name):
        return self.pg.create(name)

    def folder(self, name):
        self.serial += 1
        path = self.home / f"{name}-{self.serial}"
        path.mkdir()
        return path

    @staticmethod
    def drop(folder):
        shutil.rmtree(folder)

    def sluice(self, *args):
        """`sluice …` in the background, watched."""
        self.serial += 1
        return Watched([BIN, *args], log=self.home / f"sluice-{self.serial}.log")

    def sql(self, statements, *args):
        """`sluice sql -c …`, to its end; what it printed is in `output`."""
        w = self.sluice("sql", "-c", statements, *args).wait()
        w.output = Path(w.log).read_text(encoding="utf-8")
        return w

    def peer(self, step, **args):
        """A step of delta_peer.py, in a process of its own: its figures."""
        out = subprocess.run([sys.executable, Path(__file__).with_name("delta_peer.py"), step, json.dumps(args)],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
        return json.loads(out.stdout)

    def program(self, name, *args):
        return Watched([self.pg.bindir / name, *args], log=None)

    def server_cpu(self):
        return cpu_of_tree(int((self.pg.data / "postmaster.pid").read_text(encoding="utf-8").split()[0]))

    def settle(self):
        """Nothing that an earlier step left to be written disturbs the next."""
        if self.server is not None:
            with self.pg.connect() as conn:
                conn.execute("CHECKPOINT")
        subprocess.run(["sync"], check=False)

    # --- results

    def report(self, name, figure, value, unit, goal=None, ok=None, **more):
        """One line: a figure, what it should be, and what it was measured from."""
        line = {"bench": name, "figure": figure, "value": round(value, 4), "unit": unit, "goal": goal, "ok": ok,
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **more}
        self.results.append(line)
        with open(self.out, "a", encoding="utf-8") as f:
            f.write(json.dumps(line) + "\n")
        print(f"  {figure}: {value:,.3f} {unit}" + (f" (goal {goal}: {'met' if ok else 'MISSED'})" if goal else ""),
              "  ".join(f"{k}={v}" for k, v in more.items()), flush=True)

    def compare(self, name, figure, ours, theirs, goal, limit, memory_goal=None, memory_limit=None, peer="delta-rs"):
        """Lists of (wall, CPU, peak memory): ratios of the medians, ours to theirs, and what is at most the goal."""
        mine, other = ([median(x[i] for x in side) for i in range(3)] for side in (ours, theirs))
        for i, (what, unit, g, at_most) in enumerate((("time", "s", goal, limit), ("CPU", "s", None, None),
                                                      ("memory", "MB", memory_goal, memory_limit))):
            ratio = mine[i] / other[i]
            self.report(name, f"{figure}: {what} ratio to {peer}", ratio, "x", g, g and ratio <= at_most,
                        **{f"ours_{unit.lower()}": round(mine[i], 3), f"{peer}_{unit.lower()}": round(other[i], 3)})


def show(results):
    """The table at the end."""
    print(f"\n{'bench':<11} {'figure':<66} {'value':>14} {'unit':<10} {'goal':<9} result")
    for r in results:
        result = "" if r["ok"] is None else "met" if r["ok"] else "MISSED"
        print(f"{r['bench']:<11} {r['figure']:<66} {r['value']:>14,.3f} {r['unit']:<10} {r['goal'] or '':<9} {result}")


# --- the lake, seen from outside

def log_of(lake, table, schema="public"):
    return Path(lake) / schema / table / "_delta_log"


def newest(log):
    """The newest version in a log, -1 when there is none."""
    try:
        return max((int(e.name[:20]) for e in os.scandir(log) if e.name.endswith(".json") and e.name[:1].isdigit()),
                   default=-1)
    except FileNotFoundError:
        return -1


def actions(log, version):
    with open(log / f"{version:020}.json", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def position(log, version):
    """The source position that a version stands for: the version of sluice's txn action, 0 when it has none."""
    for a in actions(log, version):
        if "txn" in a:
            return a["txn"]["version"]
    return 0


def wait_for(condition, deadline=300.0, every=0.001, process=None):
    """Polls until it holds; returns the time when it did."""
    end = time.monotonic() + deadline
    while not condition():
        if process is not None and process.popen.poll() is not None:
            raise RuntimeError(f"sluice ended early:\n{Path(process.log).read_text(encoding='utf-8')[-3000:]}")
        if time.monotonic() > end:
            raise RuntimeError("not within the time given")
        time.sleep(every)
    return time.monotonic()


def size_of(folder):
    return sum(e.stat().st_size for e in Path(folder).rglob("*") if e.is_file())


def median(values):
    v = sorted(values)
    return v[len(v) // 2]


def percentile(values, p):
    v = sorted(values)
    return v[min(len(v) - 1, int(len(v) * p / 100))]
