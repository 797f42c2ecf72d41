"""Files that no version within the retention needs are deleted by sync itself."""
import json
import os
import time

import deltalake

from lib.oracle import assert_equal

TABLE = ["CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'a' FROM generate_series(1, 200) g"]


def files(lake):
    return {p.name for p in lake.table_path("t").iterdir() if p.is_file()}


def needed(lake):
    """Live files and their vectors, by the log."""
    table = deltalake.DeltaTable(str(lake.table_path("t")))
    return {os.path.basename(p) for p in table.file_uris()}


def properties(lake):
    return deltalake.DeltaTable(str(lake.table_path("t"))).metadata().configuration


def retain(lake, interval):
    """Sets the retention as any other writer would: a commit with new metadata."""
    meta = [a["metaData"] for _, actions in lake.log("t") for a in actions if "metaData" in a][-1]
    meta["configuration"]["delta.deletedFileRetentionDuration"] = interval
    commit = lake.table_path("t") / "_delta_log" / f"{lake.version('t') + 1:020}.json"
    commit.write_text(json.dumps({"metaData": meta}) + "\n")


def test_new_tables_have_a_retention_of_a_week(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    assert properties(lake)["delta.logRetentionDuration"] == "interval 1 days"
    assert properties(lake)["delta.deletedFileRetentionDuration"] == "interval 6 hours"
    db.sql("DELETE FROM t", "INSERT INTO t VALUES (1, 'x')")
    before = files(lake)
    sluice.sync_once(db.url, lake)
    assert before <= files(lake), "removed files stay for readers of older versions"
    assert len(lake.read("t", 0).rows) == 200
    retain(lake, "interval 30 days")
    db.sql("ALTER TABLE t ADD COLUMN c int", "INSERT INTO t VALUES (2, 'y', 1)")
    sluice.sync_once(db.url, lake)
    assert properties(lake)["delta.deletedFileRetentionDuration"] == "interval 30 days", "what the owner set stays"
    assert_equal(db, lake, ["t"], ("delta-rs", "sluice"))


def test_without_retention_what_is_removed_is_deleted(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    retain(lake, "interval 0 seconds")
    first = files(lake)
    sync = sluice.start_sync(db.url, lake, "--epoch", "20ms")
    for i in range(40):
        db.sql(f"UPDATE t SET v = '{i}' WHERE id % 40 = {i}", f"INSERT INTO t VALUES ({1000 + i}, 'n')")
    # Whoever reads without retention may find files gone under him: the log alone is looked at until it stands still.
    sync.wait_until(lambda: sluice.run("status", lake, "--format", "json").rows()[0]["rows"] == 240)
    sync.wait_until(lambda: not first & files(lake), what="the first files are gone")
    sync.term()
    left = files(lake)
    assert needed(lake) <= left and len(left) <= 2 * len(needed(lake)) + 2, left
    assert_equal(db, lake, ["t"], ("delta-rs", "sluice"))


def test_orphans_of_killed_runs_go_when_a_day_old(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    folder = lake.table_path("t")
    uuid = "0f0e0d0c-1111-2222-3333-444455556666"
    ours, temp = f"part-00000077-{uuid}.parquet", ".tmp-1-2.parquet"
    foreign = [f"part-00000-{uuid}.c000.snappy.parquet", f"deletion_vector_{uuid}.bin", "notes.txt", "_notes.parquet"]
    fresh = f"part-00000078-{uuid}.parquet"
    for name in (ours, temp, fresh, *foreign):
        (folder / name).write_bytes(b"not referenced")
    for name in (ours, temp, *foreign):
        os.utime(folder / name, (time.time() - 2 * 86400,) * 2)
    for file in needed(lake):  # old, but needed
        os.utime(folder / file, (time.time() - 30 * 86400,) * 2)
    live = needed(lake)
    db.sql("INSERT INTO t VALUES (1000, 'n')")
    sluice.sync_once(db.url, lake)
    assert not {ours, temp} & files(lake)
    assert {fresh, *foreign, *live} <= files(lake)
    for name in foreign:
        os.utime(folder / name, (time.time() - 8 * 86400,) * 2)
    db.sql("INSERT INTO t VALUES (1001, 'n')")
    sluice.sync_once(db.url, lake)
    assert files(lake) & {fresh, *foreign} == {fresh, "notes.txt", "_notes.parquet"}
    assert_equal(db, lake, ["t"], ("delta-rs", "sluice"))
