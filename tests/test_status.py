"""`sluice status` tells of each table what the Delta log, the state and the source say, while sync runs and after."""
import csv
import io

from lib.sluice import USAGE

SHOP = ["CREATE TABLE a (id int PRIMARY KEY, v text)", "INSERT INTO a SELECT g, 'x' FROM generate_series(1, 500) g",
        "CREATE SCHEMA s", "CREATE TABLE s.b (id int PRIMARY KEY, n numeric(4,1))", "INSERT INTO s.b VALUES (1, 'NaN')"]


def by_table(rows):
    return {r["table"]: r for r in rows}


def test_each_table_and_the_whole(db, sluice, lake):
    db.sql(*SHOP)
    sluice.sync_once(db.url, lake)
    db.sql("DELETE FROM a WHERE id <= 100")
    sluice.sync_once(db.url, lake)
    rows = by_table(sluice.status(lake))
    assert set(rows) == {"public.a", "s.b", "sluice.dead_letters"}
    a = rows["public.a"]
    assert (a["state"], a["rows"], a["deleted_rows"], a["deletion_vectors"]) == ("streaming", 400, 100, 1)
    assert a["version"] == lake.version("a") and a["files"] >= 1 and a["bytes"] > 0 and a["reason"] is None
    assert a["sync_running"] is False and a["slot"] == db.slots()[0] and a["spool_bytes"] > 0
    assert a["position_number"] >= max(p for _, p in lake.positions("a"))
    assert a["committed"].endswith("Z") and a["applied"].count("/") == 1
    assert rows["sluice.dead_letters"]["state"] == "dead letters"


def test_position_follows_a_running_sync(db, sluice, lake):
    db.sql(*SHOP)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("a") and lake.exists("s.b"))
    db.sql("UPDATE a SET v = 'y' WHERE id = 7")
    lsn = db.lsn()
    row = sync.wait_until(lambda: (lambda r: r["position_number"] >= lsn and r)(by_table(sluice.status(lake))["public.a"]))
    assert row["sync_running"] is True
    assert any(r["v"] == "y" for r in lake.read("a").dicts())
    sync.term()


def test_source_says_lag_and_slot(db, sluice, lake):
    db.sql(*SHOP)
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE a SET v = 'z'")
    row = sluice.run("status", lake, "--source", db.url, "--format", "json").rows()[0]
    assert row["lag_bytes"] > 10000 and row["wal_status"] == "reserved" and row["server_number"] > row["applied_number"]
    text = sluice.run("status", lake, "--source", db.url).out
    assert "public.a" in text and "lag" in text and "not running" in text
    table = list(csv.DictReader(io.StringIO(sluice.run("status", lake, "--format", "csv").out)))
    assert [r["table"] for r in table] == ["public.a", "s.b", "sluice.dead_letters"]


def test_no_lake_and_an_empty_one(sluice, tmp_path):
    assert sluice.run("status", tmp_path / "none", code=USAGE).err
    (tmp_path / "empty").mkdir()
    assert sluice.run("status", tmp_path / "empty", "--format", "json").out == ""
    assert "no sync" in sluice.run("status", tmp_path / "empty").out
