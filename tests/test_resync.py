"""--resync: tables are copied anew under their readers' eyes, and go on following."""
import pytest

from lib.oracle import assert_equal
from lib.sluice import REFUSED

READERS = ("delta-rs", "sluice")
TABLE = ["CREATE TABLE t (id int PRIMARY KEY, a int, b text)",
         "INSERT INTO t SELECT g, g, repeat('x', 100) || g FROM generate_series(1, 3000) g",
         "CREATE TABLE other (id int PRIMARY KEY)"]
PIECES = ("--chunk", "4", "--sessions", "1")


def adds(lake, name):
    return {a["add"]["path"] for _, actions in lake.log(name) for a in actions if "add" in a}


def test_a_table_that_follows_is_copied_anew(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    first = adds(lake, "t")
    db.sql("UPDATE t SET a = 0 WHERE id < 10", "INSERT INTO other VALUES (1)")
    done = sluice.sync_once(db.url, lake, "--resync", "t", *PIECES)
    assert "copy_started tables=1" in done.err.replace("event=", "")
    assert_equal(db, lake, ["t", "other"], READERS)
    removed = {a["remove"]["path"] for _, actions in lake.log("t") for a in actions if "remove" in a}
    assert first <= removed
    db.sql("UPDATE t SET a = 5 WHERE id < 20", "DELETE FROM t WHERE id = 20", "INSERT INTO t VALUES (9999, 1, 'new')")
    done = sluice.sync_once(db.url, lake)
    assert "copy_started" not in done.err
    assert_equal(db, lake, ["t", "other"], READERS)


def test_a_table_that_was_set_aside_comes_back(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    db.sql("ALTER TABLE t ALTER COLUMN a TYPE text USING 'n' || a", "UPDATE t SET a = 'changed' WHERE id = 1",
           "INSERT INTO other VALUES (1)")
    done = sluice.sync_once(db.url, lake, code=REFUSED)
    assert "table_quarantined" in done.err and "--resync" in done.err
    assert "1 of 2 tables are set aside: public.t\n" in done.err
    old = lake.read("t")
    assert old.columns == ["id", "a", "b"] and (1, 1) == old.rows[[r[0] for r in old.rows].index(1)][:2]
    db.sql("UPDATE t SET a = 'again' WHERE id = 2")
    assert "table_quarantined table=public.t" in sluice.sync_once(db.url, lake, code=REFUSED).err, "each start says so"
    sluice.sync_once(db.url, lake, "--exclude", "t")
    assert sorted(lake.read("t").rows) == sorted(old.rows), "it takes nothing while it is set aside"
    sluice.sync_once(db.url, lake, "--resync", "t")
    assert_equal(db, lake, ["t", "other"], READERS)
    db.sql("UPDATE t SET a = 'streams' WHERE id < 20", "DELETE FROM t WHERE id = 20")
    done = sluice.sync_once(db.url, lake)
    assert "copy_started" not in done.err and "quarantined" not in done.err
    assert_equal(db, lake, ["t", "other"], READERS)


@pytest.mark.parametrize("step", ["chunk_noted:3", "committed:1", "state_saved:2"])
def test_killed_in_the_middle_readers_have_the_old_rows_until_it_is_done(db, sluice, lake, step):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    version, old = lake.version("t"), sorted(lake.read("t").rows)
    db.sql("UPDATE t SET a = 0 WHERE id % 3 = 0", "DELETE FROM t WHERE id % 7 = 0")
    done = sluice.run("sync", db.url, lake, "--once", "--resync", "t", *PIECES, code=None,
                      env={"SLUICE_CRASH_AT": step})
    assert done.code == -9, repr(done)
    assert sorted(lake.read("t", version).rows) == old
    assert len(lake.read("t").rows) in (3000, 3000 - 3000 // 7)
    db.sql("UPDATE t SET b = 'late' WHERE id % 5 = 0", "INSERT INTO t VALUES (9999, 1, 'new')")
    sluice.sync_once(db.url, lake)  # without --resync: what was begun is ended
    assert_equal(db, lake, ["t"], READERS)
    db.sql("UPDATE t SET a = 5 WHERE id < 20")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)


def test_others_go_on_and_changes_in_the_middle_arrive(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    sync = sluice.start_sync(db.url, lake, "--resync", "t", *PIECES)
    for i in range(30):
        db.sql(f"UPDATE t SET a = {i} WHERE id % 30 = {i}", f"INSERT INTO other VALUES ({i})",
               f"INSERT INTO t VALUES ({10000 + i}, 0, 'x')")
    sync.wait_log("copy_done")
    sync.wait_until(lambda: lake.count("other") == 30 and lake.count("t") == 3030)
    sync.term()
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t", "other"], READERS)


def test_after_truncate_and_a_restart_no_old_row_is_mistaken_for_a_new_one(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE t SET a = 1 WHERE id = 1")
    sluice.sync_once(db.url, lake)
    db.sql("TRUNCATE t")
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO t SELECT g, g, 'new' FROM generate_series(5000, 5100) g")
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO t SELECT g, g, 'back' FROM generate_series(1, 100) g", "DELETE FROM t WHERE id < 50")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)
