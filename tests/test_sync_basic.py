"""What `sluice sync` promises first: the snapshot, then every change, once."""
import json

import pytest

from lib.oracle import assert_equal
from lib.wait import wait_until

SHOP = ["""CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, email text)""",
        """CREATE TABLE orders (id bigserial PRIMARY KEY, customer int, total numeric(10,2), at timestamptz)""",
        """INSERT INTO customers SELECT g, 'name ' || g, CASE WHEN g % 3 > 0 THEN g || '@example.org' END
           FROM generate_series(1, 200) g""",
        """INSERT INTO orders (customer, total, at) SELECT g % 200, g / 7.0, '2024-01-01'::timestamptz + g * '1 hour'::interval
           FROM generate_series(1, 1000) g"""]
TABLES = ["customers", "orders"]


def test_snapshot_is_complete_and_read_alike_by_every_reader(db, sluice, lake):
    db.sql(*SHOP)
    sluice.sync_once(db.url, lake)
    assert lake.tables() == ["public.customers", "public.orders"]
    assert_equal(db, lake, TABLES, ("delta-rs", "polars", "sluice"))


def test_changes_follow_while_it_runs(db, sluice, lake):
    db.sql(*SHOP)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("orders") and lake.exists("customers"), what="the snapshot")
    db.sql("INSERT INTO orders (customer, total) VALUES (1, 9.99), (2, NULL)",
           "UPDATE customers SET email = 'new@example.org' WHERE id BETWEEN 10 AND 20",
           "DELETE FROM orders WHERE id <= 100",
           "INSERT INTO customers VALUES (1000, 'last', NULL)")
    sync.wait_until(lambda: any(r[0] == 1000 for r in lake.read("customers").rows), what="the last insert")
    sync.wait_until(lambda: lake.count("orders") == 902, what="the orders")
    assert_equal(db, lake, TABLES, ("delta-rs", "polars", "sluice"))
    sync.term()


def test_once_again_brings_only_what_is_new(db, sluice, lake):
    db.sql(*SHOP)
    sluice.sync_once(db.url, lake)
    before = {t: lake.version(t) for t in TABLES}
    sluice.sync_once(db.url, lake)
    assert {t: lake.version(t) for t in TABLES} == before, "a run without changes commits nothing"
    db.sql("UPDATE orders SET total = 0 WHERE id = 500")
    sluice.sync_once(db.url, lake)
    assert lake.version("customers") == before["customers"] and lake.version("orders") == before["orders"] + 1
    assert_equal(db, lake, TABLES)


def test_tables_chooses(db, sluice, lake):
    db.sql(*SHOP)
    sluice.sync_once(db.url, lake, "--tables", "customers")
    assert lake.tables() == ["public.customers"]
    assert_equal(db, lake, ["customers"])


def test_names_that_need_quotes(db, sluice, lake):
    db.sql('CREATE SCHEMA "my schema"', 'CREATE TABLE "my schema"."Order Items" ("Id" int PRIMARY KEY, "a b" text, "select" int)',
           """INSERT INTO "my schema"."Order Items" VALUES (1, 'x', 2)""")
    sluice.sync_once(db.url, lake)
    db.sql("""UPDATE "my schema"."Order Items" SET "a b" = 'y'""")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["my schema.Order Items"], ("delta-rs", "sluice"))


def test_an_empty_table_is_there(db, sluice, lake):
    db.sql("CREATE TABLE empty (id int PRIMARY KEY, v text)")
    sluice.sync_once(db.url, lake)
    assert lake.exists("empty") and lake.count("empty") == 0 and lake.columns("empty") == ["id", "v"]


def test_a_row_changed_many_times_in_one_epoch(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 0), (2, 0)")
    sluice.sync_once(db.url, lake)
    db.tx(*[f"UPDATE t SET v = {i} WHERE id = 1" for i in range(50)], "DELETE FROM t WHERE id = 2",
          "INSERT INTO t VALUES (2, 7)", "INSERT INTO t VALUES (3, 1)", "DELETE FROM t WHERE id = 3",
          "UPDATE t SET id = 4 WHERE id = 1", "INSERT INTO t VALUES (1, 99)")
    sluice.sync_once(db.url, lake)
    assert sorted(lake.read("t").rows) == [(1, 99), (2, 7), (4, 49)]
    assert_equal(db, lake, ["t"], ("delta-rs", "polars", "sluice"))


def test_slot_is_acknowledged(db, sluice, lake):
    db.sql(*SHOP)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("orders"))
    db.sql("INSERT INTO orders (customer) SELECT 1 FROM generate_series(1, 100)")
    lsn = db.one("SELECT pg_current_wal_flush_lsn()::text")
    sync.wait_until(lambda: db.one("SELECT coalesce(bool_and(confirmed_flush_lsn >= "
                                   f"'{lsn}'), false) FROM pg_replication_slots WHERE database = current_database()"),
                    what=f"the slot to be confirmed up to {lsn}")
    sync.term()


def test_status_tells_each_table(db, sluice, lake):
    db.sql(*SHOP)
    sluice.sync_once(db.url, lake)
    text = sluice.run("status", lake).out
    assert "customers" in text and "orders" in text and "1000" in text.replace(",", "")
    rows = {json.dumps(r): r for r in sluice.status(lake)}
    assert any("orders" in k for k in rows) and any("1000" in k for k in rows)


def test_sql_reads_names_paths_and_versions(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'a')")
    sluice.sync_once(db.url, lake)
    first = lake.version("t")
    db.sql("INSERT INTO t VALUES (2, 'b')")
    sluice.sync_once(db.url, lake)
    assert sluice.sql(lake, "SELECT count(*) AS n FROM t") == [{"n": 2}]
    assert sluice.sql(lake, "SELECT count(*) AS n FROM public.t") == [{"n": 2}]
    assert sluice.sql(lake, f"SELECT count(*) AS n FROM t AT (VERSION => {first})") == [{"n": 1}]
    assert sluice.sql(lake, f"SELECT v FROM t VERSION AS OF {first}") == [{"v": "a"}]
    assert sluice.sql(lake, f"SELECT v FROM delta.`{lake.table_path('t')}` ORDER BY id") == [{"v": "a"}, {"v": "b"}]
    csv = sluice.run("sql", lake, "--format", "csv", "-c", "SELECT id, v FROM t ORDER BY id").out
    assert csv.split() == ["id,v", "1,a", "2,b"]
    assert sluice.run("sql", lake, "-c", "SELECT * FROM nosuch", code=(2, 3)).err


@pytest.mark.parametrize("rows", [100000])
def test_a_larger_table(db, sluice, lake, rows):
    db.sql("CREATE TABLE big (id int PRIMARY KEY, a text, b float8, c timestamptz)",
           f"INSERT INTO big SELECT g, md5(g::text), g / 3.0, now() FROM generate_series(1, {rows}) g")
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE big SET a = 'x' WHERE id % 10 = 0", "DELETE FROM big WHERE id % 7 = 0")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["big"], ("delta-rs", "polars"))


def test_idle_lake_does_not_pin_wal(db, sluice, lake):
    """Changes to a table that is not synced move the slot all the same."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE other (id int)")
    sync = sluice.start_sync(db.url, lake, "--tables", "t")
    sync.wait_until(lambda: lake.exists("t"))
    db.sql("INSERT INTO other SELECT generate_series(1, 20000)")
    lsn = db.one("SELECT pg_current_wal_flush_lsn()::text")
    wait_until(lambda: db.one("SELECT coalesce(bool_and(confirmed_flush_lsn >= "
                              f"'{lsn}'), false) FROM pg_replication_slots WHERE database = current_database()"), 60,
               "the slot to pass changes that are not ours")
    sync.term()
