"""ALTER COLUMN … TYPE … USING: the source writes all rows anew, and the stream says nothing of them."""
import pytest

from lib.oracle import assert_equal

READERS = ("delta-rs", "sluice")
BASE = ["CREATE TABLE t (id int PRIMARY KEY, cents int, v text, r real, c char(5), j json)",
        """INSERT INTO t SELECT g, g * 7, 'v' || g, g / 3.0, 'ab', '{"a" : [1,  2]}' FROM generate_series(1, 500) g"""]

CHANGED = {
    "int to numeric": ["ALTER TABLE t ALTER COLUMN cents TYPE numeric(12,2) USING cents / 100.0"],
    "int to bigint": ["ALTER TABLE t ALTER COLUMN cents TYPE bigint USING cents + 10000000000"],
    "real to double": ["ALTER TABLE t ALTER COLUMN r TYPE double precision USING r::numeric::float8 * 2"],
    "the key": ["ALTER TABLE t ALTER COLUMN id TYPE bigint USING id + 10000000000"],
    "the same type": ["ALTER TABLE t ALTER COLUMN v TYPE text USING upper(v)"],
    "one row": ["ALTER TABLE t ALTER COLUMN cents TYPE bigint USING CASE WHEN id = 250 THEN 0 ELSE cents END"],
    "to NULL": ["ALTER TABLE t ALTER COLUMN cents TYPE bigint USING NULL"],
    "blanks": ["ALTER TABLE t ALTER COLUMN c TYPE text"],
    "json": ["ALTER TABLE t ALTER COLUMN j TYPE jsonb"],
    "two, the first changes": ["ALTER TABLE t ALTER COLUMN cents TYPE bigint USING -cents",
                               "ALTER TABLE t ALTER COLUMN r TYPE double precision"],
    "widened, then vacuumed": ["ALTER TABLE t ALTER COLUMN cents TYPE bigint USING -cents", "VACUUM FULL t"],
}
KEPT = {
    "int to bigint": ["ALTER TABLE t ALTER COLUMN cents TYPE bigint"],
    "int to numeric": ["ALTER TABLE t ALTER COLUMN cents TYPE numeric(12,2)"],
    "real to double": ["ALTER TABLE t ALTER COLUMN r TYPE double precision"],
    "the key": ["ALTER TABLE t ALTER COLUMN id TYPE bigint"],
    "two": ["ALTER TABLE t ALTER COLUMN cents TYPE bigint", "ALTER TABLE t ALTER COLUMN r TYPE double precision"],
    "vacuum": ["VACUUM FULL t"],
    "statistics, vacuum": ["ALTER TABLE t ALTER COLUMN v SET STATISTICS 500", "VACUUM FULL t"],
    "all written since": ["ALTER TABLE t ALTER COLUMN cents TYPE bigint USING -cents", "UPDATE t SET v = 'w'"],
}
AFTER = "INSERT INTO t (id, v) VALUES (1000, 'after')"


def was_copied(done):
    return "table_to_be_copied_anew" in done.err


@pytest.mark.parametrize("name", CHANGED)
def test_changed_values_have_the_table_copied_anew(db, sluice, lake, name):
    db.sql(*BASE, "CREATE TABLE other (id int PRIMARY KEY)")
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE t SET v = 'before' WHERE id = 3", *CHANGED[name], AFTER, "UPDATE t SET v = 'x' WHERE id = 7",
           "DELETE FROM t WHERE id = 9", "INSERT INTO other VALUES (1)")
    assert was_copied(sluice.sync_once(db.url, lake))
    assert_equal(db, lake, ["t", "other"], READERS)
    db.sql("UPDATE t SET v = 'later' WHERE id < 5")
    assert not was_copied(sluice.sync_once(db.url, lake))
    assert_equal(db, lake, ["t", "other"], READERS)


@pytest.mark.parametrize("name", KEPT)
def test_kept_values_are_not_copied(db, sluice, lake, name):
    db.sql(*BASE)
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE t SET v = 'before' WHERE id = 3", *KEPT[name], AFTER, "UPDATE t SET v = 'x' WHERE id = 7",
           "DELETE FROM t WHERE id = 9")
    assert not was_copied(sluice.sync_once(db.url, lake))
    assert_equal(db, lake, ["t"], READERS)


@pytest.mark.parametrize("using, copied", [("", False), ("USING -n", True)])
def test_in_pieces_and_by_whole_rows(db, sluice, lake, using, copied):
    """Partitions, which are written anew one by one; a table without a key, whose rows are found as a whole."""
    db.sql("CREATE TABLE p (id int PRIMARY KEY, n int, v text) PARTITION BY RANGE (id)",
           "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)",
           "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (10000)",
           "CREATE TABLE f (n int, v text)", "ALTER TABLE f REPLICA IDENTITY FULL",
           "INSERT INTO p SELECT g, g, 'v' FROM generate_series(1, 200) g",
           "INSERT INTO f SELECT g, 'v' FROM generate_series(1, 200) g")
    sluice.sync_once(db.url, lake)
    for t, row in (("p", "(1000, 1, 'x')"), ("f", "(1, 'x')")):
        db.sql(f"ALTER TABLE {t} ALTER COLUMN n TYPE bigint {using}", f"INSERT INTO {t} VALUES {row}",
               f"DELETE FROM {t} WHERE n IN (7, -7)")
    done = sluice.sync_once(db.url, lake)
    assert done.err.count("table_to_be_copied_anew") == (2 if copied else 0)
    assert_equal(db, lake, ["p", "f"], READERS)


def test_the_change_and_rows_in_one_transaction(db, sluice, lake):
    db.sql(*BASE)
    sluice.sync_once(db.url, lake)
    db.tx("INSERT INTO t (id, cents) VALUES (1000, 1)", "ALTER TABLE t ALTER COLUMN cents TYPE bigint USING cents * 2",
          "INSERT INTO t (id, cents) VALUES (1001, 1)", "UPDATE t SET v = 'x' WHERE id = 5")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)


def test_the_source_has_altered_it_again_before_the_first_is_read(db, sluice, lake):
    db.sql(*BASE)
    sluice.sync_once(db.url, lake)
    db.sql("ALTER TABLE t ALTER COLUMN cents TYPE bigint USING cents * 2", AFTER,
           "ALTER TABLE t ALTER COLUMN cents TYPE numeric(22,2)", "INSERT INTO t (id, cents) VALUES (1001, 1)",
           "ALTER TABLE t ALTER COLUMN r TYPE double precision", "INSERT INTO t (id, cents) VALUES (1002, 1)")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)


def test_a_large_table_is_sampled(db, sluice, lake):
    """Some thousand rows are read of it, from all over, and not the rows of its beginning only."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, n int, v text)",
           "INSERT INTO t SELECT g, g, repeat('x', 1500) FROM generate_series(1, 20000) g")
    sluice.sync_once(db.url, lake)
    db.sql("ALTER TABLE t ALTER COLUMN n TYPE bigint USING CASE WHEN id > 15000 THEN -n ELSE n END",
           "INSERT INTO t (id) VALUES (-1)")
    assert was_copied(sluice.sync_once(db.url, lake))
    assert_equal(db, lake, ["t"], READERS)


def test_while_it_runs(db, sluice, lake):
    db.sql(*BASE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    db.sql("ALTER TABLE t ALTER COLUMN cents TYPE numeric(12,2) USING cents / 100.0", AFTER)
    sync.wait_until(lambda: lake.count("t") == 501 and "copied_anew" in sync.text(), what="the table copied anew")
    sync.term()
    assert_equal(db, lake, ["t"], READERS)
