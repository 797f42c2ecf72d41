"""What is done to one partition is not in the stream of its root: the table is copied anew where that changed rows, and only there."""
import pytest

from lib.oracle import assert_equal

TABLE = ["CREATE TABLE p (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)",
         "CREATE TABLE p0 PARTITION OF p FOR VALUES FROM (-100) TO (0)", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)",
         "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (1000) PARTITION BY RANGE (id)",
         "CREATE TABLE p2a PARTITION OF p2 FOR VALUES FROM (100) TO (200)", "CREATE TABLE p2b PARTITION OF p2 DEFAULT",
         "INSERT INTO p SELECT g, g FROM generate_series(1, 300, 7) g", "CREATE TABLE other (id int PRIMARY KEY)"]

# The statements, and whether the table is copied anew.
CHANGES = {
    "truncated alone": (["INSERT INTO p VALUES (3, 3)", "TRUNCATE p1", "INSERT INTO p VALUES (4, 4)"], True),
    "truncated alone, below": (["TRUNCATE p2"], True),
    "detached, changed, attached": (["ALTER TABLE p DETACH PARTITION p1", "UPDATE p1 SET v = -1",
                                     "ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (100)"], True),
    "detached, emptied, attached": (["ALTER TABLE p2 DETACH PARTITION p2a", "DELETE FROM p2a",
                                     "ALTER TABLE p2 ATTACH PARTITION p2a FOR VALUES FROM (100) TO (200)"], True),
    "truncated as a whole": (["TRUNCATE p", "INSERT INTO p VALUES (4, 4), (150, 150)"], False),
    "truncated with another": (["INSERT INTO other VALUES (1)", "TRUNCATE other, p", "INSERT INTO p VALUES (4, 4)"], False),
    "truncated as a whole, then one": (["TRUNCATE p", "INSERT INTO p VALUES (4, 4), (150, 150)", "TRUNCATE p1"], True),
    "written anew": (["VACUUM FULL p1", "CLUSTER p2a USING p2a_pkey", "UPDATE p SET v = 0 WHERE id < 30"], False),
    "altered, which writes anew": (["ALTER TABLE p ALTER v TYPE bigint", "DELETE FROM p WHERE id < 9"], False),
    "truncated alone, then altered": (["TRUNCATE p1", "ALTER TABLE p ALTER v TYPE bigint"], True),
    "altered, then truncated alone": (["ALTER TABLE p ALTER v TYPE bigint", "TRUNCATE p1", "INSERT INTO p VALUES (3, 3)"], True),
    "with new partitions": (["CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (1000) TO (2000) PARTITION BY RANGE (id)",
                             "CREATE TABLE p3a PARTITION OF p3 DEFAULT", "INSERT INTO p VALUES (1500, 1)"], False),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("running", [False, True], ids=["away", "running"])
def test_one_partition(db, sluice, lake, name, running):
    statements, copied = CHANGES[name]
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    sync = sluice.start_sync(db.url, lake) if running else None
    if running:
        sync.wait_log("stream_started")
    db.sql(*statements)
    if running:
        def equal():
            return sorted(lake.read("p").rows) == sorted(db.sql("SELECT * FROM p"))
        sync.wait_until(equal, what="the rows of the source")
        if not copied:  # two looks later there is still nothing to do
            db.sql("CREATE TABLE look (id int PRIMARY KEY)")
            sync.wait_until(lambda: lake.exists("look"))
        sync.term()
        log = sync.text()
    else:
        log = sluice.sync_once(db.url, lake).err
        if copied:
            assert "table_to_be_copied_anew" in log
    if not copied:
        assert "table_to_be_copied_anew" not in log
    assert_equal(db, lake, ["p", "other"], ("delta-rs", "polars"))
    db.sql("UPDATE p SET v = 7", "DELETE FROM p WHERE id = 4")
    assert "copied_anew" not in sluice.sync_once(db.url, lake).err
    assert_equal(db, lake, ["p"], ("delta-rs", "polars"))
