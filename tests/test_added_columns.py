"""ADD COLUMN with a default: PostgreSQL gives the rows that are there a value without a word in the log."""
import pytest

from lib.history import fold
from lib.oracle import assert_equal, difference, read_sources

READERS = ("delta-rs", "sluice")
BASE = ["CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 500) g"]

CONSTANTS = {
    "integer": "int DEFAULT 7",
    "negative": "bigint NOT NULL DEFAULT -9000000000",
    "boolean": "boolean DEFAULT true",
    "numeric": "numeric(10,2) DEFAULT 12.5",
    "unbounded numeric": "numeric DEFAULT 0.1",
    "real": "real DEFAULT 0.1",
    "nan": "double precision DEFAULT 'NaN'",
    "text": "text NOT NULL DEFAULT 'it''s \"so\", \\ ünïcode'",
    "empty text": "text DEFAULT ''",
    "char": "char(5) DEFAULT 'ab'",
    "bytea": r"bytea DEFAULT '\x00ff27'",
    "date": "date DEFAULT '1969-07-20'",
    "timestamp": "timestamp DEFAULT '1900-01-01 00:00:00.000001'",
    "timestamptz now": "timestamptz DEFAULT now()",
    "uuid": "uuid DEFAULT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
    "jsonb": "jsonb DEFAULT '{\"a\": [1, null]}'",
    "array": "int[] DEFAULT '{1,NULL,3}'",
    "text array": "text[] DEFAULT ARRAY['a,b', 'c\"d', '', NULL]",
    "empty array": "int[] DEFAULT '{}'",
    "dropped default": "text DEFAULT 'was'; ALTER TABLE t ALTER COLUMN c DROP DEFAULT",
    "default set later": "text; ALTER TABLE t ALTER COLUMN c SET DEFAULT 'new rows only'",
}


def test_rows_that_were_there_read_the_constant(db, sluice, lake):
    tables = {f"t{i}": definition.split("; ") for i, definition in enumerate(CONSTANTS.values())}
    for t in tables:
        db.sql(*[line.replace(" t ", f" {t} ") for line in BASE])
    sluice.sync_once(db.url, lake)
    for t, (column, *then) in tables.items():
        db.sql(f"DELETE FROM {t} WHERE id % 10 = 0", f"UPDATE {t} SET v = 'before' WHERE id = 1",
               f"ALTER TABLE {t} ADD COLUMN c {column}", *[line.replace(" t ", f" {t} ") for line in then],
               f"INSERT INTO {t} (id) VALUES (1000)", f"UPDATE {t} SET v = 'after' WHERE id = 3",
               f"UPDATE {t} SET c = c WHERE id = 2", f"DELETE FROM {t} WHERE id = 4")
    done = sluice.sync_once(db.url, lake)
    assert "copied_anew" not in done.err and "copy_started" not in done.err
    assert_equal(db, lake, list(tables), READERS)


def test_no_version_shows_the_column_without_its_values(db, sluice, lake):
    db.sql(*BASE)
    sluice.sync_once(db.url, lake)
    db.sql("ALTER TABLE t ADD COLUMN c int DEFAULT 7", "INSERT INTO t (id) VALUES (1000)")
    sluice.sync_once(db.url, lake)
    for version in range(lake.version("t") + 1):
        if "c" in lake.columns("t", version):
            table = lake.read("t", version)
            assert all(r[table.columns.index("c")] == 7 for r in table.rows)


def test_in_one_transaction_with_rows_before_and_after(db, sluice, lake):
    db.sql(*BASE)
    sluice.sync_once(db.url, lake)
    db.tx("INSERT INTO t VALUES (1000, 'before')", "UPDATE t SET v = 'before' WHERE id = 5",
          "ALTER TABLE t ADD COLUMN c int DEFAULT 7, ADD COLUMN d text DEFAULT 'd', ADD COLUMN e int",
          "INSERT INTO t VALUES (1001, 'after', 1, 'x', 2)", "UPDATE t SET c = 8 WHERE id = 6")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)
    db.sql("UPDATE t SET v = 'later' WHERE id IN (5, 7, 1000)", "DELETE FROM t WHERE id = 8")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)


def test_unchanged_toast_values_outlive_it(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, n int, v text)", "ALTER TABLE t ALTER COLUMN v SET STORAGE EXTERNAL",
           "INSERT INTO t SELECT g, 0, repeat('x', 9000) || g FROM generate_series(1, 20) g")
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE t SET n = 1 WHERE id = 1", "ALTER TABLE t ADD COLUMN c int DEFAULT 7", "UPDATE t SET n = 2 WHERE id < 4")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)


def test_partitions_know_the_constant(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
           "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100)",
           "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (100) TO (10000)",
           "INSERT INTO t SELECT g, 'v' FROM generate_series(1, 200) g")
    sluice.sync_once(db.url, lake)
    db.sql("ALTER TABLE t ADD COLUMN c int DEFAULT 7", "INSERT INTO t (id) VALUES (1000)")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)


def test_tables_without_a_key(db, sluice, lake):
    db.sql("CREATE TABLE t (v text)", "ALTER TABLE t REPLICA IDENTITY FULL", "INSERT INTO t VALUES ('a'), ('a'), ('b')")
    sluice.sync_once(db.url, lake)
    db.sql("ALTER TABLE t ADD COLUMN c int DEFAULT 7", "UPDATE t SET v = 'c' WHERE v = 'b'", "INSERT INTO t VALUES ('d')")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)
    db.sql("DELETE FROM t WHERE v = 'a'")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)


VOLATILE = {
    "volatile": ["ALTER TABLE t ADD COLUMN c double precision DEFAULT random()"],
    "volatile, default dropped": ["ALTER TABLE t ADD COLUMN c uuid DEFAULT gen_random_uuid()",
                                  "ALTER TABLE t ALTER COLUMN c DROP DEFAULT"],
    "serial": ["ALTER TABLE t ADD COLUMN c bigserial"],
    "identity": ["ALTER TABLE t ADD COLUMN c int GENERATED ALWAYS AS IDENTITY"],
    "constant, then rewritten": ["ALTER TABLE t ADD COLUMN c int DEFAULT 7", "VACUUM FULL t"],
}


@pytest.mark.parametrize("name", VOLATILE)
def test_other_defaults_have_the_table_copied_anew(db, sluice, lake, name):
    db.sql(*BASE, "CREATE TABLE other (id int PRIMARY KEY)")
    sluice.sync_once(db.url, lake)
    db.sql(*VOLATILE[name], "INSERT INTO t (id) VALUES (1000)", "INSERT INTO other VALUES (1)")
    done = sluice.sync_once(db.url, lake)
    assert "table_to_be_copied_anew" in done.err
    assert_equal(db, lake, ["t", "other"], READERS)
    db.sql("UPDATE t SET v = 'later' WHERE id < 5", "DELETE FROM t WHERE id = 6")
    done = sluice.sync_once(db.url, lake)
    assert "copy_started" not in done.err
    assert_equal(db, lake, ["t", "other"], READERS)


def test_copied_anew_while_it_runs_and_the_others_go_on(db, sluice, lake):
    db.sql(*BASE, "CREATE TABLE other (id int PRIMARY KEY)")
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t") and lake.exists("other"))
    db.sql("ALTER TABLE t ADD COLUMN c double precision DEFAULT random()")
    for i in range(20):
        db.sql(f"INSERT INTO other VALUES ({i})", f"INSERT INTO t (id, v) VALUES ({1000 + i}, 'x')")
    sync.wait_until(lambda: "c" in lake.columns("t") and lake.count("t") == 520 and lake.count("other") == 20)
    sync.term()
    assert_equal(db, lake, ["t", "other"], READERS)


def test_a_restart_that_reads_old_changes_again_keeps_the_later_schema(db, sluice, lake):
    db.sql(*BASE)
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO t VALUES (1000, 'old columns')")
    sluice.sync_once(db.url, lake)
    db.sql("ALTER TABLE t ADD COLUMN c int DEFAULT 7", "UPDATE t SET c = 8 WHERE id < 10")
    sluice.sync_once(db.url, lake)
    for i in range(2):
        db.sql(f"UPDATE t SET c = {i} WHERE id = 100 + {i}")
        sluice.sync_once(db.url, lake)
        assert_equal(db, lake, ["t"], READERS)
    assert lake.columns("t") == ["id", "v", "c"]

@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("option", [(), ("--history", "only")])
def test_a_column_that_came_and_went_beside_a_new_one(db, sluice, lake, renamed, option):
    """With sync away: is the one of the first message the one that is there now, renamed, or another that is gone?"""
    def check():
        if not option:
            return assert_equal(db, lake, ["t"], READERS)
        diff = difference(read_sources(db, ["t"])["t"], fold(lake.read("t"), ("id",)))
        assert not diff, diff

    db.sql("CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t VALUES (1, 1)")
    sluice.sync_once(db.url, lake, *option)
    gone = ["ALTER TABLE t ADD gone int", "ALTER TABLE t DROP gone"]
    if renamed:
        db.sql(*gone, "ALTER TABLE t ADD x int", "INSERT INTO t VALUES (2, 2, 20)", "ALTER TABLE t RENAME x TO y")
    else:
        db.sql(gone[0], "INSERT INTO t VALUES (2, 2, 20)", gone[1], "ALTER TABLE t ADD y int")
    db.sql("INSERT INTO t VALUES (3, 3, 30)", "UPDATE t SET a = 4 WHERE id = 1")
    assert "copied_anew" in sluice.sync_once(db.url, lake, *option).err
    check()
    db.sql("UPDATE t SET y = y + 1")
    assert "copied_anew" not in sluice.sync_once(db.url, lake, *option).err
    check()


@pytest.mark.parametrize("option", [(), ("--history", "only")])
def test_columns_that_came_and_went_before_ones_that_stay(db, sluice, lake, option):
    """With sync away, each with a row: those that are gone took the places of those that stayed, which were set aside for their types."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t VALUES (1, 1)")
    sluice.sync_once(db.url, lake, *option)
    n = 2
    for width, change in [(3, "ADD gone1 real"), (4, "ADD gone2 smallint"), (5, "ADD x int"), (6, "ADD y int"), (6, "ALTER x TYPE bigint"),
                          (6, "RENAME y TO z"), (5, "DROP gone2"), (6, "ADD w smallint"), (5, "DROP gone1")]:
        db.sql(f"ALTER TABLE t {change}", f"INSERT INTO t VALUES ({', '.join([str(n)] * width)})")
        n += 1
    told = sluice.sync_once(db.url, lake, *option).err
    assert "table_quarantined" not in told
    if option:
        diff = difference(read_sources(db, ["t"])["t"], fold(lake.read("t"), ("id",)))
        assert not diff, diff
    else:
        assert_equal(db, lake, ["t"], READERS)
    assert ("copied_anew" in told) == (not option)  # the type that was widened wrote its rows anew
