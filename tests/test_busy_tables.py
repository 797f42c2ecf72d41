"""A table that is truncated, altered or dropped while it is being copied is copied again, and nobody has to wait for it."""
import threading
from contextlib import contextmanager

import psycopg
import pytest

from lib.oracle import assert_equal


@pytest.fixture
def tables(db):
    """One that takes long to copy, and then one that is busy: with one session, it is planned before and copied after."""
    db.sql("CREATE TABLE large (id int PRIMARY KEY, note text)",
           "INSERT INTO large SELECT g, repeat(md5(g::text), 30) FROM generate_series(1, 100000) g",
           "CREATE TABLE busy (id int PRIMARY KEY, a int)", "INSERT INTO busy VALUES (0, 0)")
    return ["large", "busy"]


@contextmanager
def over_and_over(db, *statements):
    """Runs them until the end of the block."""
    end = threading.Event()

    def work():
        with db.connect() as conn:
            conn.execute("SET lock_timeout = '1s'")
            turn = 0
            while not end.wait(0.01):
                turn += 1
                for s in statements:
                    try:
                        conn.execute(s.format(turn=turn))
                    except psycopg.Error:
                        pass

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize("statements", [
    ["TRUNCATE busy", "INSERT INTO busy VALUES ({turn}, 1)"],
    ["ALTER TABLE busy ADD COLUMN x{turn} int DEFAULT 7", "ALTER TABLE busy DROP COLUMN x{turn}"],
    ["ALTER TABLE busy ALTER COLUMN a TYPE bigint", "ALTER TABLE busy ALTER COLUMN a TYPE int"],
    ["DROP TABLE busy", "CREATE TABLE busy (id int PRIMARY KEY, a int)", "INSERT INTO busy VALUES ({turn}, 1)"],
], ids=["truncated", "altered", "rewritten", "replaced"])
def test_the_others_are_copied_meanwhile_and_it_is_later(db, sluice, lake, tables, statements):
    with over_and_over(db, *statements):
        sync = sluice.start_sync(db.url, lake, "--sessions", "1")
        sync.wait_until(lambda: lake.exists("large"))
        if "ADD COLUMN" not in statements[0]:  # it may be there again just when it is wanted
            sync.wait_log("copy_put_off|tables_added")
    sync.wait_until(lambda: lake.exists("busy") and all(t["state"] == "streaming" for t in sluice.status(lake)
                                                        if t["table"] in ("public.busy", "public.large")))
    db.sql("INSERT INTO busy VALUES (1000000, 2)")
    sync.wait_until(lambda: 1000000 in [r["id"] for r in lake.read("busy").dicts()])
    assert_equal(db, lake, tables)
    sync.term()
    if "DROP TABLE" not in statements[0]:  # published as it is dropped: everything is looked at anew
        assert "event=read_again" not in sync.text()


def test_once_waits_until_it_is_there(db, sluice, lake, tables):
    with over_and_over(db, "TRUNCATE busy", "INSERT INTO busy VALUES ({turn}, 1)"):
        sync = sluice.start_sync(db.url, lake, "--once", "--sessions", "1")
        sync.wait_log("copy_put_off")
    assert sync.wait() == 0
    assert_equal(db, lake, tables)


def test_a_table_that_is_dropped_as_it_is_copied_is_set_aside(db, sluice, lake, tables):
    sync = sluice.start_sync(db.url, lake, "--sessions", "1")
    sync.wait_log("copy_started")
    db.sql("DROP TABLE busy")
    sync.wait_until(lambda: lake.exists("large"))
    if not lake.exists("busy"):  # it may have been copied before
        sync.wait_log("table_gone table=public.busy")
        assert [t["table"] for t in sluice.status(lake)] == ["public.large"]
    assert_equal(db, lake, ["large"])
    sync.term()
