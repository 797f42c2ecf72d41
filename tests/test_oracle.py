"""The random workload against the oracle, at the end and at moments on the way, through every reader."""
import time

import pytest

from lib.oracle import assert_equal
from lib.workload import Workload, quiesce


def copied_anew(workload, log):
    """Tables that the source rewrote: they are copied anew, and have no versions between being set aside and that copy."""
    lines = [line for line in log.splitlines() if "event=table_to_be_copied_anew" in line]
    return {t for t in workload.tables if any(f"table public.{t}: " in line for line in lines)}


def check_moments(workload, lake, moments, log=""):
    """The rows at earlier moments against the versions that the lake had there. Returns how many could be told."""
    tables = [t for t in workload.tables if t not in copied_anew(workload, log)]
    positions = {}
    for v, p in lake.positions("marker"):
        newest = max((r[0] for r in lake.read("marker", v).rows), default=0)
        positions.setdefault(newest, p)
    told = 0
    for marker, state in moments:
        if marker not in positions:
            continue  # no epoch ended in the pause: this moment cannot be told from its neighbours
        versions = {t: lake.version_at(t, positions[marker]) for t in tables}
        assert None not in versions.values(), f"a table began after the moment of marker {marker}: {versions}"
        assert_equal(workload.db, lake, tables, sources=state, versions=versions)
        told += 1
    return told


@pytest.mark.parametrize("seed, ddl", [(1, False), (2, False), (3, True)])
def test_random_workload(db, sluice, lake, seed, ddl):
    workload = Workload(db, seed, clients=3, ddl=ddl).create()
    workload.run(15)
    sync = sluice.start_sync(db.url, lake)
    workload.start(40, truncates=False)  # while the snapshot is read
    sync.wait_until(lambda: all(lake.exists(t) for t in [*workload.tables, "marker"]), what="the snapshot")
    workload.join()
    quiesce(workload, lake, sync)
    moments = []
    for _ in range(5):
        workload.run(25)
        moments.append(workload.remember(pause=lambda: time.sleep(1.5)))
    quiesce(workload, lake, sync)
    sync.term()
    assert_equal(db, lake, workload.tables, ("delta-rs", "polars", "sluice"))
    assert check_moments(workload, lake, moments, sync.text()) > 0, "no epoch ended within a pause"
    sluice.run("verify", db.url, lake)


@pytest.mark.parametrize("seed, clients", [(11, 2), (11, 1), (12, 1), (14, 1)])
def test_once_after_every_burst(db, sluice, lake, seed, clients):
    """The same without a process that lives: state must come from the lake alone. One client alone is reproducible."""
    workload = Workload(db, seed, clients, ddl=True).create()
    sluice.sync_once(db.url, lake)
    for burst in range(6):
        workload.run(20)
        done = sluice.sync_once(db.url, lake)
        assert "table_quarantined" not in done.err, f"burst {burst}: {done.err}"
        assert_equal(db, lake, workload.tables)
