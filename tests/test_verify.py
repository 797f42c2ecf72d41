"""`sluice verify` says equal when it is so, and finds what was planted when it is not."""
import re

import pytest

from lib.sluice import DIFFERENCE

TABLE = ["CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(10,2), at timestamptz, f float8)",
         "INSERT INTO t SELECT g, md5(g::text), g / 3.0, '2024-01-01'::timestamptz + g * '1 s'::interval, g / 7.0 "
         "FROM generate_series(1, 3000) g", "INSERT INTO t VALUES (0, NULL, NULL, NULL, 'NaN')"]


def test_equal(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    sluice.run("verify", db.url, lake)
    db.sql("UPDATE t SET v = 'x' WHERE id % 10 = 0", "DELETE FROM t WHERE id % 7 = 0")
    sluice.sync_once(db.url, lake)
    assert "t" in sluice.run("verify", db.url, lake).out


def test_equal_while_sync_runs_and_clients_write(db, sluice, lake):
    db.sql(*TABLE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    for i in range(10):
        db.sql(f"UPDATE t SET v = 'r{i}' WHERE id % 50 = {i}")
    sluice.run("verify", db.url, lake)
    sync.term()


@pytest.mark.parametrize("plant", ["changed", "missing", "extra"])
def test_a_difference_is_found_and_its_key_named(db, sluice, lake, plant):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    log = lake.table_path("t") / "_delta_log"
    statement = {"changed": "UPDATE t SET v = 'planted' WHERE id = 1234", "missing": "DELETE FROM t WHERE id = 1234",
                 "extra": "INSERT INTO t (id, v) VALUES (1234567, 'planted')"}[plant]
    db.sql(statement)
    sluice.sync_once(db.url, lake)
    # The lake loses its last commit, and claims the position all the same.
    newest = max(int(f.stem) for f in log.glob("*.json"))
    text = (log / f"{newest:020d}.json").read_text().splitlines()
    kept = [line for line in text if '"commitInfo"' in line or '"txn"' in line]
    (log / f"{newest:020d}.json").write_text("\n".join(kept) + "\n")
    done = sluice.run("verify", db.url, lake, code=DIFFERENCE)
    assert re.search(r"\b1234(567)?\b", done.out + done.err), "the differing key is named"
