"""Schema changes are followed in the order of the log: the lake's columns are the source's."""
import pytest

from lib.oracle import assert_equal

BASE = ["CREATE TABLE t (id int PRIMARY KEY, a int, b text)", "INSERT INTO t VALUES (1, 1, 'one'), (2, 2, 'two')"]

# Each is run on BASE, with rows changed before, between and after.
CHANGES = {
    "add": ["ALTER TABLE t ADD COLUMN c int", "UPDATE t SET c = 5 WHERE id = 1"],
    "add with default": ["ALTER TABLE t ADD COLUMN c int DEFAULT 7", "INSERT INTO t (id) VALUES (10)"],
    "add not null with default": ["ALTER TABLE t ADD COLUMN c text NOT NULL DEFAULT 'x'", "UPDATE t SET a = 9 WHERE id = 2"],
    "drop": ["ALTER TABLE t DROP COLUMN a", "UPDATE t SET b = 'x' WHERE id = 1"],
    "rename": ["ALTER TABLE t RENAME COLUMN a TO c", "UPDATE t SET c = 5 WHERE id = 1"],
    "rename key": ["ALTER TABLE t RENAME COLUMN id TO key", "UPDATE t SET b = 'x' WHERE key = 1", "DELETE FROM t WHERE key = 2"],
    "swap names": ["ALTER TABLE t RENAME COLUMN a TO x", "ALTER TABLE t ADD COLUMN a text",
                   "UPDATE t SET a = 'new' WHERE id = 1", "INSERT INTO t (id, x, a) VALUES (9, 9, 'nine')"],
    "drop and add the same name": ["ALTER TABLE t DROP COLUMN b", "ALTER TABLE t ADD COLUMN b text",
                                   "UPDATE t SET b = 'back' WHERE id = 1"],
    "drop and add as another type": ["ALTER TABLE t DROP COLUMN a", "ALTER TABLE t ADD COLUMN a text",
                                     "INSERT INTO t (id, a) VALUES (9, 'text')"],
    "widen": ["ALTER TABLE t ALTER COLUMN a TYPE bigint", "INSERT INTO t (id, a) VALUES (9, 9000000000)"],
    "not null": ["ALTER TABLE t ALTER COLUMN b SET NOT NULL", "INSERT INTO t VALUES (9, 9, 'nine')"],
    "primary key moves": ["ALTER TABLE t DROP CONSTRAINT t_pkey", "ALTER TABLE t ADD PRIMARY KEY (a)",
                          "UPDATE t SET b = 'x' WHERE a = 1", "DELETE FROM t WHERE a = 2"],
    "identity full": ["ALTER TABLE t REPLICA IDENTITY FULL", "UPDATE t SET b = 'x' WHERE id = 1", "DELETE FROM t WHERE id = 2"],
    "varchar to text": ["ALTER TABLE t ALTER COLUMN b TYPE varchar(50)", "INSERT INTO t VALUES (9, 9, 'nine')"],
}


def around(name):
    """The change with rows written before and after it in the same stretch of the log."""
    return ["INSERT INTO t VALUES (100, 100, 'before')", *CHANGES[name]]


@pytest.mark.parametrize("name", CHANGES)
def test_change_in_the_stream(db, sluice, lake, name):
    db.sql(*BASE)
    sluice.sync_once(db.url, lake)
    db.sql(*around(name))
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], ("delta-rs", "polars", "sluice"))


@pytest.mark.parametrize("name", ["add", "drop", "rename", "widen", "swap names"])
def test_change_in_one_transaction_with_rows(db, sluice, lake, name):
    db.sql(*BASE)
    sluice.sync_once(db.url, lake)
    db.tx(*around(name))
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], ("delta-rs", "sluice"))


def test_old_versions_keep_their_columns(db, sluice, lake):
    db.sql(*BASE)
    sluice.sync_once(db.url, lake)
    first, before = lake.version("t"), sorted(lake.read("t").rows)
    for name in ("add", "rename"):
        db.sql(*CHANGES[name]) if name == "add" else db.sql("ALTER TABLE t RENAME COLUMN a TO z", "UPDATE t SET z = 0")
        sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])
    old = lake.read("t", first)
    assert old.columns == ["id", "a", "b"] and sorted(old.rows) == before


def test_changes_one_after_the_other_while_it_runs(db, sluice, lake):
    db.sql(*BASE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    for i in range(6):
        db.sql(f"ALTER TABLE t ADD COLUMN c{i} int", f"UPDATE t SET c{i} = id * {i}",
               f"INSERT INTO t (id, c{i}) VALUES ({1000 + i}, {i})")
        if i % 2:
            db.sql(f"ALTER TABLE t RENAME COLUMN c{i} TO d{i}", f"INSERT INTO t (id, d{i}) VALUES ({2000 + i}, {i})")
        else:
            db.sql(f"ALTER TABLE t DROP COLUMN c{i}")
    db.sql("INSERT INTO t (id) VALUES (9999)")
    sync.wait_until(lambda: any(r[0] == 9999 for r in lake.read("t").rows), what="the last row")
    sync.term()
    assert_equal(db, lake, ["t"], ("delta-rs", "sluice"))


@pytest.mark.parametrize("change", ["ALTER TABLE t ADD COLUMN d int DEFAULT 7", "ALTER TABLE t ALTER COLUMN b TYPE varchar(9)", "resync"])
def test_copied_anew_after_a_rename(db, sluice, lake, change):
    """The files of the new copy have the columns' physical names, which are not their names any more."""
    db.sql(*BASE)
    sluice.sync_once(db.url, lake)
    db.sql("ALTER TABLE t RENAME COLUMN a TO c", "UPDATE t SET c = 5 WHERE id = 1")
    sluice.sync_once(db.url, lake)
    if change == "resync":
        sluice.sync_once(db.url, lake, "--resync", "t")
    else:
        db.sql(change, "INSERT INTO t (id, c) VALUES (3, 3)")
        sluice.sync_once(db.url, lake)
    db.sql("UPDATE t SET b = 'z' WHERE id = 1", "DELETE FROM t WHERE id = 2")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], ("delta-rs", "sluice"))


def test_widened_then_killed_and_replayed(db, sluice, lake):
    """After a restart the log is read again from before the change: old descriptions of the table come by."""
    db.sql(*BASE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    for i, wider in enumerate(["bigint", None, None]):
        db.sql(f"INSERT INTO t (id, a) VALUES ({10 + i}, 1)", *([f"ALTER TABLE t ALTER COLUMN a TYPE {wider}"] if wider else []),
               f"INSERT INTO t (id, a) VALUES ({100 + i}, 9000000000)")
        sync.wait_until(lambda n=100 + i: any(r[0] == n for r in lake.read("t", reader="sluice").rows), what=f"row {100 + i}")
        sync.kill()
        sync = sluice.start_sync(db.url, lake)
    db.sql("INSERT INTO t (id) VALUES (9999)")
    sync.wait_until(lambda: any(r[0] == 9999 for r in lake.read("t", reader="sluice").rows), what="the last row")
    sync.term()
    assert_equal(db, lake, ["t"])


def test_a_dropped_table_does_not_stop_the_others(db, sluice, lake):
    db.sql(*BASE, "CREATE TABLE other (id int PRIMARY KEY)")
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t") and lake.exists("other"))
    db.sql("INSERT INTO t VALUES (3, 3, 'three')", "DROP TABLE t", "INSERT INTO other VALUES (1)")
    sync.wait_until(lambda: lake.count("other") == 1, what="the row of the other table")
    sync.term()
