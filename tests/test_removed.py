"""Somebody removes files of a table under sync, or damages its log: it is set aside, the others go on, and --resync brings it back."""
import shutil

import pytest

from lib.oracle import assert_equal
from lib.sluice import REFUSED

TABLES = ["CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, repeat('a', 50) FROM generate_series(1, 500) g",
          "CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO u VALUES (1)"]


def removed(lake, what):
    folder = lake.table_path("t")
    if what == "folder":
        shutil.rmtree(folder)
    elif what == "log":
        shutil.rmtree(folder / "_delta_log")
    else:
        for file in folder.glob("part-*"):
            file.unlink()


@pytest.mark.parametrize("what", ["folder", "log", "files"])
@pytest.mark.parametrize("index", ["index in use", "no index yet"])
def test_while_it_runs(db, sluice, lake, what, index):
    db.sql(*TABLES)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.count("t") == 500 and lake.exists("u"))
    if index == "index in use":
        db.sql("UPDATE t SET v = 'b' WHERE id = 7")
        sync.wait_until(lambda: lake.version("t") == 1)
    removed(lake, what)
    db.sql("UPDATE t SET v = 'c' WHERE id < 10", "INSERT INTO u VALUES (2)")
    sync.wait_until(lambda: lake.count("u") == 2)
    told = what != "files" or index == "no index yet"  # else the files are not looked into, and may be for a long time
    if told:
        sync.wait_log("table_quarantined.*public[./]t")
    sync.term()
    db.sql("UPDATE t SET v = 'd' WHERE id = 3", "INSERT INTO u VALUES (3)")
    sluice.sync_once(db.url, lake, code=REFUSED if told else 0)
    assert_equal(db, lake, ["u"])
    sluice.sync_once(db.url, lake, "--resync", "t")
    db.sql("UPDATE t SET v = 'e' WHERE id = 4")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t", "u"])


@pytest.mark.parametrize("damage", ["first version gone", "no JSON"])
def test_a_log_that_cannot_be_read(db, sluice, lake, damage):
    db.sql(*TABLES)
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE t SET v = 'b' WHERE id = 7")
    sluice.sync_once(db.url, lake)
    first = lake.table_path("t") / "_delta_log" / f"{0:020}.json"
    if damage == "no JSON":
        first.write_text("{\n")
    else:
        first.unlink()
    db.sql("UPDATE t SET v = 'c' WHERE id < 10", "INSERT INTO u VALUES (2)")
    for options in ([], ["--resync", "t"]):
        done = sluice.sync_once(db.url, lake, *options, code=REFUSED)
        assert "1 of 2 tables are set aside: public.t" in done.err and "remove its folder, and --resync copies it anew" in done.err
        assert_equal(db, lake, ["u"])
    assert next(r["state"] for r in sluice.status(lake) if r["table"] == "public.t") == "unreadable"
    removed(lake, "folder")
    sluice.sync_once(db.url, lake, "--resync", "t")
    db.sql("UPDATE t SET v = 'd' WHERE id < 20")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t", "u"])
