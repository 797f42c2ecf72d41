"""Many writers on one table, several sluice processes and delta-rs, each with statements of its own. What every one of them
says it has done is a set of rows; the table must be their sum."""
import json
import os
import random
import subprocess
import sys
import threading
import time

import pytest

from lib.sluice import BIN, DONE, environment
from test_dml import folder, sql  # noqa: F401

ROWS, SECONDS = 4000, float(os.environ.get("SLUICE_CONCURRENCY_SECONDS", "20"))


class Writer(threading.Thread):
    """Runs statements one after the other until the time is over; notes those that were committed, and their effect."""

    def __init__(self, number, until):
        super().__init__(daemon=True)
        self.number, self.until, self.dice = number, until, random.Random(number)
        self.done, self.failed, self.error = [], [], None

    def run(self):
        try:
            while time.monotonic() < self.until:
                self.step()
        except Exception as e:  # shown by the test
            self.error = e


class SluiceWriter(Writer):
    """Deletes and updates rows of its own (id % 16 = number), which lie in files with everybody else's; merges and inserts
    new ones."""

    def __init__(self, number, until, lake):
        super().__init__(number, until)
        self.lake, self.next = lake, 1_000_000 * (number + 1)
        self.mine = [i for i in range(ROWS) if i % 16 == number]

    def take(self, n):
        self.dice.shuffle(self.mine)
        taken, self.mine = self.mine[:n], self.mine[n:]
        return taken

    def statement(self):
        """A statement and its effect on rows that nobody else changes."""
        kind, rows, new = self.dice.choice(["delete", "update", "merge", "insert"]), self.take(3), [self.next, self.next + 1]
        self.next += 2
        listed = ", ".join(map(str, rows)) or "-1"
        if kind != "delete":
            self.mine += rows
        return {
            "delete": (f"DELETE FROM t WHERE id IN ({listed})", ("delete", rows)),
            "update": (f"UPDATE t SET v = v + 1 WHERE id IN ({listed})", ("update", rows)),
            "merge": ("MERGE INTO t USING (VALUES " + ", ".join(f"({i}, 5)" for i in rows[:1] + new) + ") s(id, v) ON t.id = s.id "
                      "WHEN MATCHED THEN UPDATE SET v = t.v + s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v)",
                      ("merge", rows[:1], new)),
            "insert": (f"INSERT INTO t VALUES ({new[0]}, 1), ({new[1]}, 1)", ("insert", new)),
        }[kind]

    def step(self):
        """Several statements in a process, the first that fails is the last; now and then a compaction."""
        steps = [("OPTIMIZE t", ("nothing",))] if self.dice.random() < 0.2 else [self.statement() for _ in range(6)]
        done = subprocess.run([BIN, "sql", str(self.lake), "--format", "json", "-c", ";\n".join(s for s, _ in steps)],
                              capture_output=True, text=True, env=environment(), timeout=120)
        said = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(said) == len(steps) or done.returncode != DONE
        self.done += [(effect, row) for (_, effect), row in zip(steps, said)]
        if done.returncode != DONE:
            assert "another writer" in done.stderr, done.stderr
            self.failed.append(steps[len(said)][0])


class DeltaRs(Writer):
    """Appends, and deletes by rewriting whole files; in a process of its own a step, as delta-rs holds the table open."""

    SCRIPT = """
import sys, pyarrow as pa
from deltalake import DeltaTable, write_deltalake
path, kind, a, b = sys.argv[1:5]
if kind == "append":
    write_deltalake(path, pa.table({"id": pa.array([int(a), int(b)], pa.int64()), "v": pa.array([1, 1], pa.int64())}), mode="append")
else:
    print(DeltaTable(path).delete(f"id = {a}")["num_deleted_rows"])
"""

    def __init__(self, number, until, path, deletes):
        super().__init__(number, until)
        self.path, self.deletes, self.next = path, deletes, 1_000_000 * (number + 1)
        self.mine = [i for i in range(ROWS) if i % 16 == number]

    def step(self):
        delete = self.deletes and self.dice.random() < 0.5
        a, b = (self.mine.pop(), 0) if delete else (self.next, self.next + 1)
        self.next += 2
        done = subprocess.run([sys.executable, "-c", self.SCRIPT, str(self.path), "delete" if delete else "append", str(a), str(b)],
                              capture_output=True, text=True, timeout=120)
        if done.returncode == 0:
            self.done.append((("delete", [a]) if delete else ("insert", [a, b]), None))
        else:
            assert "onflict" in done.stderr or "oncurrent" in done.stderr or "transaction" in done.stderr, done.stderr[-3000:]
            self.failed.append(a)


def expected(writers):
    rows = {i: 0 for i in range(ROWS)}
    for w in writers:
        for (kind, *what), said in w.done:
            if kind == "delete":
                for i in what[0]:
                    del rows[i]
                assert said is None or said["num_affected_rows"] == len(what[0])
            elif kind == "update":
                rows.update({i: rows[i] + 1 for i in what[0]})
                assert said["num_affected_rows"] == len(what[0])
            elif kind == "merge":
                rows.update({i: rows[i] + 5 for i in what[0]} | {i: 5 for i in what[1]})
            elif kind == "insert":
                rows.update({i: 1 for i in what[0]})
    return rows


def check(sluice, lake, writers, other_readers):
    for w in writers:
        w.join()
        assert w.error is None, repr(w.error)
    want = expected(writers)
    for reader in ["sluice"] + other_readers:
        got = [tuple(r) for r in lake.read("t", reader=reader).rows]
        assert len(got) == len(set(i for i, _ in got)), "a row is there twice"
        assert dict(got) == want, reader
    versions = [v for v, _ in lake.log("t")]
    assert versions == list(range(len(versions)))
    for w in writers:
        print(type(w).__name__, w.number, "committed", len(w.done), "gave up", len(w.failed))


@pytest.mark.parametrize("row_ids", ["false", "true"])
def test_sluice_writers_lose_nothing(sluice, folder, row_ids):
    """Deletion vectors: everybody masks rows of the same few files."""
    sql(sluice, folder, f"CREATE TABLE t (id BIGINT, v BIGINT) TBLPROPERTIES ('delta.enableRowTracking' = '{row_ids}')",
        f"INSERT INTO t SELECT i, 0 FROM range({ROWS}) r(i)")
    until = time.monotonic() + SECONDS / 3
    writers = [SluiceWriter(n, until, folder) for n in range(4)]
    for w in writers:
        w.start()
    check(sluice, folder, writers, ["delta-rs"])
    assert sum(len(w.failed) for w in writers) * 10 <= sum(len(w.done) for w in writers)
    rebased = [v for v, actions in folder.log("t") if any("remove" in a for a in actions) and
               actions[0]["commitInfo"].get("readVersion", v) < v - 1]
    assert rebased, "no two writers met"
    if row_ids == "true":
        ids = [r["__row_id"] for r in sql(sluice, folder, f"FROM delta_scan('{folder.table_path('t')}', row_ids => true)").rows()]
        assert None not in ids and len(ids) == len(set(ids))


def test_sluice_and_delta_rs_lose_nothing(sluice, folder):
    """Without deletion vectors, which delta-rs does not write: files are rewritten, by both."""
    sql(sluice, folder, "CREATE TABLE t (id BIGINT, v BIGINT) TBLPROPERTIES ('delta.enableDeletionVectors' = 'false')",
        *[f"INSERT INTO t SELECT i, 0 FROM range({lo}, {lo + ROWS // 8}) r(i)" for lo in range(0, ROWS, ROWS // 8)])
    until = time.monotonic() + SECONDS / 3
    path = folder.table_path("t")
    writers = [SluiceWriter(0, until, folder), SluiceWriter(1, until, folder), DeltaRs(2, until, path, False),
               DeltaRs(3, until, path, True)]
    for w in writers:
        w.start()
    check(sluice, folder, writers, ["delta-rs"])
    assert all(w.done for w in writers)
