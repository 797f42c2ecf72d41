"""Transactions that PostgreSQL streams while they are in progress (the tests' servers do so from 64 kB on)."""
from lib.oracle import assert_equal

TABLE = ["CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'a' FROM generate_series(1, 100) g"]
FILL = "INSERT INTO t SELECT g, repeat(md5(g::text), 5) FROM generate_series({}, {}) g"


def test_one_large_transaction(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    db.tx(FILL.format(1000, 30000), "UPDATE t SET v = 'b' WHERE id % 3 = 0", "DELETE FROM t WHERE id % 5 = 0")
    assert db.one("SELECT stream_txns FROM pg_stat_replication_slots LIMIT 1") is not None
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], ("delta-rs", "polars"))


def test_aborted_subtransactions_leave_nothing(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    db.tx(FILL.format(1000, 3000), "SAVEPOINT a", FILL.format(5000, 9000), "UPDATE t SET v = 'gone'", "ROLLBACK TO a",
          FILL.format(10000, 12000), "SAVEPOINT b", "DELETE FROM t WHERE id < 50", FILL.format(20000, 23000), "RELEASE b",
          "SAVEPOINT c", "SAVEPOINT d", FILL.format(30000, 33000), "RELEASE d", "ROLLBACK TO c", "INSERT INTO t VALUES (99999, 'end')")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])


def test_an_aborted_transaction_leaves_nothing(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    version = lake.version("t")
    with db.connect() as conn:
        conn.execute("BEGIN")
        conn.execute(FILL.format(1000, 9000))
        conn.execute("ROLLBACK")
    sluice.sync_once(db.url, lake)
    assert lake.version("t") == version
    assert_equal(db, lake, ["t"])


def test_large_transactions_interleaved_with_small_ones(db, sluice, lake):
    db.sql(*TABLE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    with db.connect() as one, db.connect() as two:
        one.execute("BEGIN")
        two.execute("BEGIN")
        for i in range(5):
            one.execute(FILL.format(100000 + i * 1000, 100999 + i * 1000))
            two.execute(FILL.format(200000 + i * 1000, 200999 + i * 1000))
            db.sql(f"INSERT INTO t VALUES ({1000 + i}, 'small')", f"UPDATE t SET v = 'u{i}' WHERE id = {i + 1}")
        two.execute("UPDATE t SET v = 'two' WHERE id BETWEEN 50 AND 60")
        two.execute("COMMIT")
        db.sql("DELETE FROM t WHERE id BETWEEN 200000 AND 200100")
        one.execute("COMMIT")
    db.sql("INSERT INTO t VALUES (-1, 'last')")
    sync.wait_until(lambda: any(r[0] == -1 for r in lake.read("t").rows), what="the last row")
    sync.term()
    assert_equal(db, lake, ["t"])


def test_killed_while_a_transaction_is_in_progress(db, sluice, lake):
    db.sql(*TABLE)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    with db.connect() as conn:
        conn.execute("BEGIN")
        conn.execute(FILL.format(1000, 9000))
        db.sql("INSERT INTO t VALUES (-1, 'other')")
        sync.wait_until(lambda: any(r[0] == -1 for r in lake.read("t").rows), what="the row of another transaction")
        sync.kill()
        conn.execute(FILL.format(10000, 19000))
        sync = sluice.start_sync(db.url, lake)
        db.sql("INSERT INTO t VALUES (-2, 'other')")
        sync.wait_until(lambda: any(r[0] == -2 for r in lake.read("t").rows), what="another row after the restart")
        conn.execute("COMMIT")
    db.sql("INSERT INTO t VALUES (-3, 'last')")
    sync.wait_until(lambda: any(r[0] == -3 for r in lake.read("t").rows), what="the last row")
    sync.term()
    assert_equal(db, lake, ["t"])


def test_ddl_inside_a_large_transaction(db, sluice, lake):
    db.sql(*TABLE)
    sluice.sync_once(db.url, lake)
    db.tx(FILL.format(1000, 4000), "ALTER TABLE t ADD COLUMN n int", "UPDATE t SET n = id WHERE id > 2000",
          FILL.replace("INTO t", "INTO t (id, v)").format(5000, 8000), "SAVEPOINT s", "ALTER TABLE t DROP COLUMN n", "ROLLBACK TO s",
          "UPDATE t SET n = 1 WHERE id = 5000")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])
