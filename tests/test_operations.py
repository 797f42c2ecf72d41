"""Rows that come and go without a word in the stream: partitions that are attached and detached; TRUNCATE of what refers."""
import pytest

from lib.oracle import assert_equal

READERS = ("delta-rs", "sluice")
PARTED = ["CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
          "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)",
          "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200)",
          "INSERT INTO p SELECT g, 'v' FROM generate_series(1, 199) g"]
NEW = "CREATE TABLE p3 (id int PRIMARY KEY, v text)"
ATTACH = "ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (200) TO (300)"

# What is done to partitions: their rows leave the lake, the table is copied anew, or nothing is to be done.
LEFT = {
    "detached": ["ALTER TABLE p DETACH PARTITION p2"],
    "detached concurrently": ["ALTER TABLE p DETACH PARTITION p2 CONCURRENTLY"],
    "dropped": ["DROP TABLE p2"],
    "moved to another place": ["ALTER TABLE p DETACH PARTITION p2", "ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (100) TO (200)",
                               "DELETE FROM p WHERE id = 150", "ALTER TABLE p DETACH PARTITION p2", "UPDATE p2 SET v = 'w'"],
}
MOVED = {
    "attached with rows": [NEW, "INSERT INTO p3 VALUES (250, 'old')", ATTACH],
    "made, filled and attached at once": [f"BEGIN; {NEW}; INSERT INTO p3 VALUES (250, 'old'); {ATTACH}; COMMIT"],
    "a tree with rows": ["CREATE TABLE q (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
                         "CREATE TABLE q1 PARTITION OF q FOR VALUES FROM (300) TO (350)", "INSERT INTO q VALUES (310, 'old')",
                         "ALTER TABLE p ATTACH PARTITION q FOR VALUES FROM (300) TO (400)"],
}
STAYED = {
    "made in place": ["CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (200) TO (300)", "INSERT INTO p VALUES (250, 'new')"],
    "attached empty": [NEW, ATTACH, "INSERT INTO p VALUES (250, 'new')", "INSERT INTO p3 VALUES (251, 'new')"],
}


@pytest.mark.parametrize("name", [*LEFT, *MOVED, *STAYED])
def test_partitions_come_and_go(db, sluice, lake, name):
    db.sql(*PARTED, "CREATE TABLE other (id int PRIMARY KEY)")
    sluice.sync_once(db.url, lake, "--tables", "p,other")
    db.sql("UPDATE p SET v = 'before' WHERE id = 3", *(LEFT | MOVED | STAYED)[name], "UPDATE p SET v = 'w' WHERE id < 10",
           "INSERT INTO other VALUES (1)")
    done = sluice.sync_once(db.url, lake, "--tables", "p,other")
    assert ("table_to_be_copied_anew" in done.err) == (name in MOVED) and ("partition_gone" in done.err) == (name in LEFT)
    assert_equal(db, lake, ["p", "other"], READERS)
    db.sql("UPDATE p SET v = 'later' WHERE id < 5")
    assert "copied_anew" not in sluice.sync_once(db.url, lake, "--tables", "p,other").err
    assert_equal(db, lake, ["p", "other"], READERS)


def test_partitions_come_and_go_while_it_runs(db, sluice, lake):
    db.sql(*PARTED)
    sync = sluice.start_sync(db.url, lake, "--tables", "p")
    sync.wait_until(lambda: lake.exists("p"))
    for event, *change in [["table_to_be_copied_anew", NEW, "INSERT INTO p3 VALUES (250, 'old'), (251, 'old')", ATTACH],
                           ["partition_gone", "DROP TABLE p2"]]:
        db.sql(*change, f"UPDATE p SET v = '{event}' WHERE id < 10")
        sync.wait_until(lambda e=event: e in sync.text() and
                        sorted(r[0] for r in lake.read("p").rows) == [r[0] for r in db.sql("SELECT id FROM p ORDER BY id")],
                        what="the rows of the partitions that are there")
    sync.term()
    assert_equal(db, lake, ["p"], READERS)


def test_a_table_of_changes_stays(db, sluice, lake):
    db.sql(*PARTED)
    sluice.sync_once(db.url, lake, "--history", "only")
    db.sql("DROP TABLE p2", "UPDATE p SET v = 'w' WHERE id = 1")
    assert "copied_anew" not in sluice.sync_once(db.url, lake, "--history", "only").err
    assert lake.count("p") == 200


def test_truncate_cascade_takes_all_that_refer(db, sluice, lake):
    db.sql("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a)",
           "CREATE TABLE c (id int PRIMARY KEY, b int REFERENCES b)", "CREATE TABLE d (id int PRIMARY KEY)",
           *(f"INSERT INTO {t} SELECT g{', g' if t in 'bc' else ''} FROM generate_series(1, 20) g" for t in "abcd"))
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO c VALUES (100, 1)", "TRUNCATE a CASCADE", "INSERT INTO a VALUES (7)", "INSERT INTO b VALUES (8, 7)")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["a", "b", "c", "d"], READERS)
    assert [lake.count(t) for t in "abcd"] == [1, 1, 0, 20]
