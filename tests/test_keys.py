"""Keys of which the stream does not have every part, that change, and of every type: rows are found, or the table says that they are not."""
from lib.oracle import assert_equal, difference, read_sources

READERS = ("delta-rs", "polars")


def test_a_generated_key_that_is_not_in_the_stream(db, sluice, lake):
    """Before PostgreSQL 18: by the other columns, where old rows are whole; else new rows only."""
    db.sql("CREATE TABLE whole (a int, b int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY, v text)", "ALTER TABLE whole REPLICA IDENTITY FULL",
           "CREATE TABLE part (a int, b int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY)",
           "INSERT INTO whole (a, v) VALUES (1, 'x'), (2, 'y'), (3, 'z')", "INSERT INTO part VALUES (1), (2), (3)")
    done = sluice.sync_once(db.url, lake)
    assert "table public.part has a key that is not in the stream" in done.err
    assert "table public.part has no replica identity: the lake gets its new rows only" in done.err
    db.sql("UPDATE whole SET a = 10 WHERE a = 1", "UPDATE whole SET v = 'q' WHERE a = 2", "DELETE FROM whole WHERE a = 3",
           "INSERT INTO part VALUES (4)", "UPDATE part SET a = 10 WHERE a = 1", "DELETE FROM part WHERE a = 2")
    assert "copied_anew" not in sluice.sync_once(db.url, lake).err
    assert sorted(lake.read("part").rows) == [(1,), (2,), (3,), (4,)]
    assert not difference(read_sources(db, ["whole"])["whole"], lake.read("whole"))
    sluice.run("verify", db.url, lake, "--tables", "whole")
