"""Large values that an update does not touch are not in the stream: they must stay, never become NULL."""
import pytest

from lib.oracle import assert_equal

BIG = "(SELECT string_agg(md5(g::text || id::text), '') FROM generate_series(1, 400) g)"


@pytest.fixture
def toasted(db):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, big text, other bytea, n int)",
           "ALTER TABLE t ALTER big SET STORAGE EXTERNAL, ALTER other SET STORAGE EXTERNAL",
           "INSERT INTO t (id, n) SELECT g, 0 FROM generate_series(1, 50) g",
           f"UPDATE t SET big = {BIG}, other = convert_to(repeat('x', 9000) || id, 'UTF8')")
    return db


def check(db, sluice, lake, *statements):
    db.sql(*statements)
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], ("delta-rs", "polars"))


def test_untouched_by_an_update(toasted, sluice, lake):
    check(toasted, sluice, lake)
    check(toasted, sluice, lake, "UPDATE t SET n = n + 1 WHERE id <= 20")
    check(toasted, sluice, lake, "UPDATE t SET n = n + 1 WHERE id <= 30", "UPDATE t SET n = n + 1 WHERE id <= 10")


def test_one_touched_the_other_not(toasted, sluice, lake):
    check(toasted, sluice, lake)
    check(toasted, sluice, lake, "UPDATE t SET big = 'small now' WHERE id = 1", "UPDATE t SET other = NULL WHERE id = 2",
          "UPDATE t SET n = 5", f"UPDATE t SET big = {BIG} || 'y' WHERE id = 3", "UPDATE t SET n = 6 WHERE id <= 3")


def test_the_key_changes_and_the_value_stays(toasted, sluice, lake):
    check(toasted, sluice, lake)
    check(toasted, sluice, lake, "UPDATE t SET id = id + 1000 WHERE id <= 5", "UPDATE t SET id = id + 1000 WHERE id = 1001",
          "UPDATE t SET n = 1 WHERE id = 2001")


def test_insert_and_update_in_one_transaction(toasted, sluice, lake):
    check(toasted, sluice, lake)
    toasted.tx(f"INSERT INTO t (id, n, big) SELECT 100, 0, {BIG} FROM (SELECT 1 AS id) s",
               "UPDATE t SET n = 1 WHERE id = 100", "UPDATE t SET n = 2 WHERE id = 100", "UPDATE t SET n = 3 WHERE id = 1",
               "UPDATE t SET id = 101 WHERE id = 100")
    check(toasted, sluice, lake)


def test_delete_and_insert_again(toasted, sluice, lake):
    check(toasted, sluice, lake)
    toasted.tx("UPDATE t SET n = 9 WHERE id = 1", "DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (1, 'new', NULL, 0)",
               "UPDATE t SET n = 10 WHERE id = 1")
    check(toasted, sluice, lake)


def test_full_identity_brings_the_old_value(toasted, sluice, lake):
    check(toasted, sluice, lake, "ALTER TABLE t REPLICA IDENTITY FULL")
    check(toasted, sluice, lake, "UPDATE t SET n = n + 1", "UPDATE t SET id = id + 100 WHERE id < 10")


def test_a_value_that_looks_like_a_placeholder(toasted, sluice, lake):
    check(toasted, sluice, lake)
    check(toasted, sluice, lake, "UPDATE t SET big = '__debezium_unavailable_value' WHERE id = 1", "UPDATE t SET n = 1")
