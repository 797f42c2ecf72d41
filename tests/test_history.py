"""--history beside: every change is a row of <table>__history, once."""
from collections import Counter
from datetime import datetime, timezone

import pytest

from lib.oracle import assert_equal
from lib.sluice import REFUSED, USAGE

OWN = ["__op", "__commit_ts", "__lsn", "__ordinal", "__unchanged"]
TABLE = ["CREATE TABLE t (id int PRIMARY KEY, a int, b text)", "INSERT INTO t VALUES (1, 1, 'one'), (2, 2, 'two')"]
HISTORY = ("--history", "beside")


def history(lake, *columns):
    """(op, columns …) of each change, in the order of the source."""
    rows = lake.read("t__history").dicts()
    place = lambda r: (*(int(x, 16) for x in r["__lsn"].split("/")), r["__ordinal"])  # noqa: E731
    return [(r["__op"], *(r[c] for c in columns)) for r in sorted(rows, key=place)]


def test_each_change_is_a_row(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake, *HISTORY)
    begin = datetime.now(timezone.utc)
    db.sql("INSERT INTO t VALUES (3, 3, 'three')", "UPDATE t SET b = 'uno' WHERE id = 1", "DELETE FROM t WHERE id = 2")
    db.tx("UPDATE t SET id = 10 WHERE id = 1", "UPDATE t SET a = 0", "INSERT INTO t VALUES (4, NULL, NULL)")
    db.sql("TRUNCATE t")
    sluice.sync_once(db.url, lake, *HISTORY)
    assert lake.columns("t__history") == ["id", "a", "b", *OWN]
    assert [r[:4] for r in history(lake, "id", "a", "b")][:3] == [
        ("insert", 3, 3, "three"), ("update", 1, 1, "uno"), ("delete", 2, None, None)]
    rest = history(lake, "id", "a", "b")[3:]
    assert rest[0] in [("delete", 1, None, None), ("update", 10, 1, "uno")] and len(rest) == 6
    assert sorted(rest[2:4]) == [("update", 3, 0, "three"), ("update", 10, 0, "uno")]
    assert rest[4:] == [("insert", 4, None, None), ("truncate", None, None, None)]
    rows = lake.read("t__history").dicts()
    assert len({r["__lsn"] for r in rows}) == 5 and all(r["__unchanged"] is None for r in rows)
    assert lake.schema("t__history")["__commit_ts"] == "timestamp"
    ends = sluice.sql(lake, f"SELECT count(*) AS n FROM public.t__history WHERE __commit_ts >= "
                            f"TIMESTAMPTZ '{begin.isoformat()}' - INTERVAL 5 SECOND")
    assert ends == [{"n": len(rows)}]
    assert_equal(db, lake, ["t"], ("delta-rs", "sluice"))


def test_old_rows_are_whole_with_identity_full(db, sluice, lake):
    db.sql(*TABLE, "ALTER TABLE t REPLICA IDENTITY FULL")
    sluice.sync_once(db.url, lake, *HISTORY)
    db.sql("DELETE FROM t WHERE id = 2", "UPDATE t SET a = 7 WHERE id = 1")
    sluice.sync_once(db.url, lake, *HISTORY)
    assert history(lake, "id", "a", "b") == [("delete", 2, 2, "two"), ("update", 1, 7, "one")]
    assert_equal(db, lake, ["t"])


def test_values_that_were_not_sent_are_named(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, a int, b text, c text)", "ALTER TABLE t ALTER COLUMN b SET STORAGE EXTERNAL",
           "INSERT INTO t VALUES (1, 1, repeat('x', 9000), NULL)")
    sluice.sync_once(db.url, lake, *HISTORY)
    db.sql("UPDATE t SET a = 2", "UPDATE t SET b = 'short'")
    sluice.sync_once(db.url, lake, *HISTORY)
    assert history(lake, "a", "b", "c", "__unchanged") == [("update", 2, None, None, ["b"]), ("update", 2, "short", None, None)]
    assert_equal(db, lake, ["t"])


def test_columns_follow_and_earlier_changes_keep_what_they_had(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake, *HISTORY)
    db.sql("UPDATE t SET a = 5 WHERE id = 1", "ALTER TABLE t ADD COLUMN c int DEFAULT 7", "UPDATE t SET a = 6 WHERE id = 1",
           "ALTER TABLE t RENAME COLUMN b TO d", "ALTER TABLE t ALTER COLUMN a TYPE bigint", "INSERT INTO t VALUES (9, 9, 'nine', 9)")
    sluice.sync_once(db.url, lake, *HISTORY)
    assert history(lake, "id", "a", "d", "c") == [
        ("update", 1, 5, "one", None), ("update", 1, 6, "one", 7), ("insert", 9, 9, "nine", 9)]
    assert_equal(db, lake, ["t"])


@pytest.mark.parametrize("step", ["data_written:2", "committed:1", "committed:2", "epoch_committed:1"])
def test_killed_at_a_step_each_change_is_there_once(db, sluice, lake, step):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake, *HISTORY)
    db.sql("INSERT INTO t SELECT g, g, 'x' FROM generate_series(10, 20) g", "UPDATE t SET a = 0 WHERE id < 15",
           "DELETE FROM t WHERE id > 18")
    done = sluice.run("sync", db.url, lake, "--once", *HISTORY, code=None, env={"SLUICE_CRASH_AT": step})
    assert done.code == -9, repr(done)
    db.sql("INSERT INTO t VALUES (100, 1, 'last')")
    sluice.sync_once(db.url, lake, *HISTORY)
    ops = [h[0] for h in history(lake)]
    assert (ops.count("insert"), ops.count("update"), ops.count("delete")) == (12, 7, 2), ops
    assert_equal(db, lake, ["t"])


def changes(sluice, lake, *columns):
    rows = sluice.sql(lake, f"SELECT __op, {', '.join(columns)} FROM t ORDER BY __ordinal")  # of one transaction
    return [tuple(r.values()) for r in rows]


def test_names_that_are_taken(db, sluice, lake):
    """By columns, and by a table of the source: that costs these tables only."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, __op text)", "INSERT INTO t VALUES (1, 'x')", "CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO u VALUES (1)",
           "CREATE TABLE u__history (id int PRIMARY KEY)", "CREATE TABLE v__history (id int PRIMARY KEY)", "CREATE TABLE w (id int PRIMARY KEY)", "INSERT INTO w VALUES (1)",
           "CREATE TABLE w__history (id int PRIMARY KEY)")
    done = sluice.sync_once(db.url, lake, "--history", "beside", "--exclude", "w", code=REFUSED)
    assert "table=public.u__history reason=\"the lake keeps the history of another table" in done.err
    db.sql("UPDATE t SET __op = 'y'", "INSERT INTO u VALUES (2)", "INSERT INTO u__history VALUES (2)", "INSERT INTO v__history VALUES (2)", "INSERT INTO w__history VALUES (2)")
    done = sluice.sync_once(db.url, lake, "--history", "beside", code=REFUSED)
    assert "table public.t cannot have a history" in done.err
    db.sql("INSERT INTO w VALUES (2)", "INSERT INTO u VALUES (3)", "INSERT INTO v__history VALUES (3)", "INSERT INTO w__history VALUES (3)")
    done = sluice.sync_once(db.url, lake, "--history", "beside", code=REFUSED)
    assert "3 of 6 tables are set aside: public.t, public.u__history, public.w" in done.err
    assert_equal(db, lake, ["u", "v__history", "w__history"])
    assert sorted(r["id"] for r in lake.read("u__history").dicts()) == [2, 3]


def test_only_the_changes(db, sluice, lake):
    """The table itself is the history; it begins with the rows of the first copy."""
    only = ("--history", "only")
    db.sql(*TABLE, "CREATE TABLE k (a int)", "INSERT INTO k VALUES (7)")
    sluice.sync_once(db.url, lake, *only)
    assert lake.columns("t") == ["id", "a", "b", *OWN] and not lake.exists("t__history")
    assert sorted(changes(sluice, lake, "id", "b")) == [("read", 1, "one"), ("read", 2, "two")]
    db.tx("INSERT INTO t VALUES (3, 3, 'three')", "UPDATE t SET b = 'uno' WHERE id = 1", "UPDATE t SET id = 10 WHERE id = 1",
          "DELETE FROM t WHERE id = 2", "INSERT INTO k VALUES (8)")
    sluice.sync_once(db.url, lake, *only)
    sluice.sync_once(db.url, lake, *only)
    assert changes(sluice, lake, "id", "b")[2:] == [("insert", 3, "three"), ("update", 1, "uno"), ("delete", 1, None),
                                                     ("update", 10, "uno"), ("delete", 2, None)]
    db.sql("ALTER TABLE t ADD c int DEFAULT 5", "ALTER TABLE t RENAME b TO bb", "UPDATE t SET c = 6 WHERE id = 3", "TRUNCATE t",
           "ALTER TABLE t RENAME TO u", "INSERT INTO u VALUES (4, 4, 'four', 4)")
    sluice.sync_once(db.url, lake, *only)
    rows = sluice.sql(lake, "SELECT __op, id, bb, c FROM u WHERE __op <> 'read' ORDER BY __commit_ts, __ordinal")
    assert [tuple(r.values()) for r in rows][5:] == [("update", 3, "three", 6), ("truncate", None, None, None),
                                                     ("insert", 4, "four", 4)]
    assert sluice.sql(lake, "SELECT a FROM k ORDER BY a") == [{"a": 7}, {"a": 8}]
    assert "hold changes" in sluice.sync_once(db.url, lake, code=USAGE).err
    assert "no state to compare" in sluice.run("verify", db.url, lake, code=USAGE).err


@pytest.mark.parametrize("where", ["beside", "only"])
def test_without_a_key_the_old_row_goes_before_the_new_one(db, sluice, lake, where):
    """Nothing else tells which row an update was of, so that the state can be followed."""
    from lib.history import fold
    from lib.oracle import difference, read_sources
    db.sql("CREATE TABLE t (a int, b text)", "ALTER TABLE t REPLICA IDENTITY FULL")
    sluice.sync_once(db.url, lake, "--history", where)
    db.sql("INSERT INTO t VALUES (1, 'x'), (1, 'x'), (2, 'y')", "UPDATE t SET b = 'z' WHERE a = 2",
           "UPDATE t SET b = b WHERE ctid = (SELECT min(ctid) FROM t)", "DELETE FROM t WHERE ctid = (SELECT max(ctid) FROM t)")
    sluice.sync_once(db.url, lake, "--history", where)
    changes = lake.read("t" if where == "only" else "t__history")
    assert Counter(r["__op"] for r in changes.dicts()) == {"insert": 3, "update": 2, "delete": 3}
    assert difference(read_sources(db, ["t"])["t"], fold(changes, ()), ()) is None
