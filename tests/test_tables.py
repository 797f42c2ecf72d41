"""Tables that are not the plain case: without a key, truncated, partitioned, added later."""
import subprocess

import pytest

from lib.oracle import assert_equal
from lib.sluice import REFUSED, environment

READERS = ("delta-rs", "polars")


def test_without_a_key_full_identity_is_a_multiset(db, sluice, lake):
    db.sql("CREATE TABLE t (a int, b text, c float8)", "ALTER TABLE t REPLICA IDENTITY FULL",
           "INSERT INTO t SELECT g % 3, 'x', 1.5 FROM generate_series(1, 30) g", "INSERT INTO t VALUES (NULL, NULL, NULL), (NULL, NULL, 'NaN')")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)
    db.sql("DELETE FROM t WHERE ctid = (SELECT ctid FROM t WHERE a = 1 LIMIT 1)",
           "UPDATE t SET b = 'y' WHERE ctid IN (SELECT ctid FROM t WHERE a = 2 LIMIT 4)",
           "DELETE FROM t WHERE a IS NULL AND c IS NULL", "UPDATE t SET b = 'nan' WHERE c = 'NaN'",
           "INSERT INTO t VALUES (2, 'y', 1.5), (2, 'y', 1.5)", "DELETE FROM t WHERE ctid = (SELECT ctid FROM t WHERE b = 'y' LIMIT 1)")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)


def test_without_any_identity_only_new_rows_come(db, sluice, lake):
    """To publish the updates of such a table would make them fail at the source: they are not published."""
    db.sql("CREATE TABLE t (a int, b text)", "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
           "CREATE TABLE u (a int PRIMARY KEY)", "INSERT INTO u VALUES (1)")
    done = sluice.sync_once(db.url, lake)
    assert "public.t has no replica identity" in done.err and "REPLICA IDENTITY FULL" in done.err
    assert_equal(db, lake, ["t", "u"], READERS)
    db.sql("UPDATE t SET b = 'changed' WHERE a = 1", "DELETE FROM t WHERE a = 2", "INSERT INTO t VALUES (3, 'three')")
    sluice.sync_once(db.url, lake)
    assert sluice.run("sql", lake, "-c", "SELECT a, b FROM t ORDER BY a", "--format", "json").rows() == [
        {"a": 1, "b": "one"}, {"a": 2, "b": "two"}, {"a": 3, "b": "three"}]
    db.sql("TRUNCATE t", "INSERT INTO t VALUES (4, 'four')")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)


@pytest.mark.parametrize("identity", ["ADD PRIMARY KEY (a)", "REPLICA IDENTITY FULL"])
def test_a_table_that_gets_an_identity_is_copied_anew(db, sluice, lake, identity):
    db.sql("CREATE TABLE t (a int, b text)", "INSERT INTO t VALUES (1, 'one'), (2, 'two')")
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE t SET b = 'changed' WHERE a = 1", f"ALTER TABLE t {identity}", "INSERT INTO t VALUES (3, 'three')")
    done = sluice.sync_once(db.url, lake)
    assert "table_to_be_copied_anew" in done.err
    assert_equal(db, lake, ["t"], READERS)
    db.sql("UPDATE t SET b = 'again' WHERE a = 1", "DELETE FROM t WHERE a = 2")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)


def test_without_any_identity_added_while_running(db, sluice, lake):
    db.sql("CREATE TABLE u (a int PRIMARY KEY)", "INSERT INTO u VALUES (1)")
    process = sluice.start_sync(db.url, lake)
    process.wait_until(lambda: lake.exists("u"))
    db.sql("CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
    process.wait_until(lambda: lake.exists("t"), what="the added table")
    db.sql("UPDATE t SET a = 2", "INSERT INTO t VALUES (3)")
    process.term()
    sluice.sync_once(db.url, lake)
    assert sorted(r["a"] for r in sluice.run("sql", lake, "-c", "SELECT a FROM t", "--format", "json").rows()) == [1, 3]


def test_without_any_identity_in_a_publication_of_the_users(db, sluice, lake):
    """There is no place for it, and nothing of it is published; what is said mends it, in each of the ways."""
    db.sql("CREATE TABLE t (a int)", "CREATE TABLE u (a int PRIMARY KEY)", "INSERT INTO u VALUES (1)",
           "CREATE PUBLICATION mine FOR TABLE u WITH (publish_via_partition_root = true)")
    done = sluice.sync_once(db.url, lake, "--publication", "mine", code=REFUSED)
    assert "table public.t has no replica identity, and publication mine has no place for such a table" in done.err
    assert "ALTER TABLE \"public\".\"t\" REPLICA IDENTITY FULL;" in done.err
    assert not db.slots(), "nothing is left behind on the server"
    sluice.sync_once(db.url, lake, "--publication", "mine", "--tables", "u")
    assert_equal(db, lake, ["u"], READERS)
    db.sql("INSERT INTO u VALUES (2)")
    done = sluice.sync_once(db.url, lake, "--publication", "mine", code=REFUSED)  # later, it costs itself only
    assert "publication mine has no place" in done.err and "table_quarantined table=public.t" in done.err
    assert_equal(db, lake, ["u"], READERS)
    db.sql("ALTER TABLE t REPLICA IDENTITY FULL", "INSERT INTO t VALUES (1), (2)")
    sluice.sync_once(db.url, lake, "--publication", "mine")
    db.sql("UPDATE t SET a = 3 WHERE a = 1", "INSERT INTO u VALUES (3)")
    sluice.sync_once(db.url, lake, "--publication", "mine")
    assert_equal(db, lake, ["t", "u"], READERS)


def test_the_inserts_publication_of_the_users(db, sluice, lake):
    """The other mend that the message names."""
    db.sql("CREATE TABLE t (a int)", "CREATE TABLE u (a int PRIMARY KEY)", "INSERT INTO u VALUES (1)",
           "CREATE PUBLICATION mine FOR TABLE u WITH (publish_via_partition_root = true)")
    told = sluice.sync_once(db.url, lake, "--publication", "mine", code=REFUSED).err
    db.sql(told[told.index("CREATE PUBLICATION"):].split(";")[0])
    sluice.sync_once(db.url, lake, "--publication", "mine")
    db.sql("INSERT INTO t VALUES (1), (2)", "UPDATE t SET a = 5 WHERE a = 1")
    sluice.sync_once(db.url, lake, "--publication", "mine")
    assert sorted(lake.read("t").rows) == [(1,), (2,)]


@pytest.mark.parametrize("bad, why", [
    (["CREATE TABLE bad (id int PRIMARY KEY, name int, \"Name\" int)"], "differ only by case"),
    (["CREATE TABLE bad (k numeric(8,2) PRIMARY KEY)", "INSERT INTO bad VALUES ('NaN')"], "key column k does not fit"),
])
def test_a_table_that_cannot_be_copied_is_set_aside_alone(db, sluice, lake, bad, why):
    db.sql("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 100)", *bad)
    done = sluice.sync_once(db.url, lake, code=REFUSED)
    assert "table_quarantined" in done.err and why in done.err
    assert_equal(db, lake, ["t"], READERS)
    assert not lake.exists("bad")
    db.sql("INSERT INTO t VALUES (101)", "DELETE FROM bad")
    sluice.sync_once(db.url, lake, code=REFUSED)
    assert_equal(db, lake, ["t"], READERS)
    assert "quarantined" in sluice.run("status", lake).out


def test_identity_by_index(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, k text NOT NULL, v int)", "CREATE UNIQUE INDEX t_k ON t (k)",
           "ALTER TABLE t REPLICA IDENTITY USING INDEX t_k", "INSERT INTO t SELECT g, 'k' || g, g FROM generate_series(1, 20) g")
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE t SET v = 0 WHERE id < 5", "UPDATE t SET k = 'moved' WHERE id = 7", "UPDATE t SET id = 100 WHERE id = 8",
           "DELETE FROM t WHERE id = 9")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)


@pytest.mark.parametrize("statements", [
    ["TRUNCATE t"],
    ["INSERT INTO t VALUES (100, 'before')", "TRUNCATE t", "INSERT INTO t VALUES (1, 'after')"],
    ["TRUNCATE t, u", "INSERT INTO u VALUES (5, 'five')"],
    ["BEGIN; INSERT INTO t VALUES (100, 'x'); TRUNCATE t; INSERT INTO t VALUES (100, 'y'); UPDATE t SET v = 'z'; COMMIT"],
    ["BEGIN; SAVEPOINT s; TRUNCATE t; ROLLBACK TO s; INSERT INTO t VALUES (100, 'x'); COMMIT"],
])
def test_truncate(db, sluice, lake, statements):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "CREATE TABLE u (id int PRIMARY KEY, v text)",
           "INSERT INTO t SELECT g, 'a' FROM generate_series(1, 50) g", "INSERT INTO u SELECT g, 'a' FROM generate_series(1, 50) g")
    sluice.sync_once(db.url, lake)
    db.sql(*statements)
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t", "u"], READERS)


def test_partitioned_is_one_table(db, sluice, lake):
    db.sql("CREATE TABLE p (id int, day date, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
           "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2024-07-01')",
           "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2024-07-01') TO ('2025-01-01') PARTITION BY RANGE (id)",
           "CREATE TABLE p2a PARTITION OF p2 DEFAULT",
           "CREATE TABLE p3 PARTITION OF p DEFAULT",
           "INSERT INTO p SELECT g, '2024-01-01'::date + g, 'v' FROM generate_series(1, 150) g")
    sluice.sync_once(db.url, lake)
    assert lake.tables() == ["public.p"]
    assert_equal(db, lake, ["p"], READERS)
    db.sql("UPDATE p SET day = '2030-01-01' WHERE id = 3", "DELETE FROM p WHERE id = 4", "UPDATE p SET v = 'w' WHERE id = 5",
           "CREATE TABLE p4 PARTITION OF p FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
           "INSERT INTO p VALUES (1000, '2025-05-05', 'new partition')")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["p"], READERS)


def test_partition_attached_later(db, sluice, lake):
    db.sql("CREATE TABLE p (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
           "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')", "INSERT INTO p VALUES (1, '2024-02-02')")
    sluice.sync_once(db.url, lake)
    db.sql("CREATE TABLE p5 (id int NOT NULL, day date NOT NULL, PRIMARY KEY (id, day))",
           "ALTER TABLE p ATTACH PARTITION p5 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
           "INSERT INTO p VALUES (2, '2025-02-02')")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["p"], READERS)


def test_table_added_while_it_runs(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    db.sql("CREATE TABLE later (id int PRIMARY KEY, v text)", "INSERT INTO later SELECT g, 'x' FROM generate_series(1, 500) g")
    sync.term()
    sync = sluice.start_sync(db.url, lake)  # at the latest now it must be found
    sync.wait_until(lambda: lake.exists("later"), what="the added table")
    db.sql("UPDATE later SET v = 'y' WHERE id <= 10", "INSERT INTO later VALUES (1000, 'z')", "INSERT INTO t VALUES (2)")
    sync.wait_until(lambda: lake.count("later") == 501 and lake.count("t") == 2, what="rows of both")
    sync.term()
    assert_equal(db, lake, ["t", "later"], READERS)


def test_table_added_by_the_option(db, sluice, lake):
    db.sql("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (1)")
    sluice.sync_once(db.url, lake, "--tables", "a")
    db.sql("INSERT INTO a VALUES (2)", "INSERT INTO b VALUES (2)")
    sluice.sync_once(db.url, lake, "--tables", "a,b")
    db.sql("INSERT INTO a VALUES (3)", "INSERT INTO b VALUES (3)")
    sluice.sync_once(db.url, lake, "--tables", "a,b")
    assert_equal(db, lake, ["a", "b"], READERS)


def test_generated_and_identity_columns(db, sluice, lake):
    db.sql("CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED)",
           "INSERT INTO t (a) SELECT generate_series(1, 10)")
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE t SET a = a + 1 WHERE id < 5")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"], READERS)


def test_wide_table(db, sluice, lake):
    columns = ", ".join(f"c{i} {['int', 'text', 'float8', 'boolean'][i % 4]}" for i in range(400))
    db.sql(f"CREATE TABLE wide (id int PRIMARY KEY, {columns})",
           "INSERT INTO wide (id, c0, c1, c399) SELECT g, g, g::text, true FROM generate_series(1, 100) g")
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE wide SET c5 = 'five' WHERE id < 10", "DELETE FROM wide WHERE id > 90")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["wide"], READERS)


def test_copy_on_write_of_chosen_tables(db, sluice, lake):
    """No deletion vectors: a reader that knows none of Delta's features reads it."""
    db.sql("CREATE TABLE a (id int PRIMARY KEY, v text)", "INSERT INTO a SELECT g, 'x' FROM generate_series(1, 1000) g",
           "CREATE TABLE b (id int PRIMARY KEY, v text)", "INSERT INTO b SELECT g, 'x' FROM generate_series(1, 1000) g")
    sluice.sync_once(db.url, lake, "--copy-on-write", "a")
    for round in range(3):
        db.sql(*(f"UPDATE {t} SET v = 'round {round}' WHERE id % 10 = {round}" for t in "ab"),
               *(f"DELETE FROM {t} WHERE id % 10 = 9 - {round}" for t in "ab"))
        sluice.sync_once(db.url, lake, "--copy-on-write", "a")
        assert_equal(db, lake, ["a", "b"], READERS)
    assert "deletionVectors" not in lake.features("a") and "deletionVectors" in lake.features("b")
    # Changed minds: vectors where there were none, and none where there were.
    db.sql("UPDATE a SET v = 'again' WHERE id = 1", "UPDATE b SET v = 'again' WHERE id = 1")
    sluice.sync_once(db.url, lake, "--copy-on-write", "b")
    db.sql("UPDATE a SET v = 'and again' WHERE id = 2", "UPDATE b SET v = 'and again' WHERE id = 2")
    sluice.sync_once(db.url, lake, "--copy-on-write", "b")
    assert_equal(db, lake, ["a", "b"], READERS)
    assert "deletionVectors" in lake.features("a")
    newest = [actions for _, actions in lake.log("b")][-1]
    assert [a for a in newest if "add" in a] and not any(a["add"].get("deletionVector") for a in newest if "add" in a)


def test_a_table_that_somebody_gave_a_feature_we_do_not_know_is_set_aside(db, sluice, lake):
    import json
    db.sql("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE u (id int PRIMARY KEY)")
    sluice.sync_once(db.url, lake)
    features = ["deletionVectors", "mystery"]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
    log = lake.table_path("t") / "_delta_log" / f"{lake.version('t') + 1:020d}.json"
    log.write_text(json.dumps({"protocol": protocol}) + "\n")
    for i, options in enumerate([(), (), ("--resync", "t")]):
        db.sql(f"INSERT INTO t VALUES ({i})", f"INSERT INTO u VALUES ({i})")
        assert "mystery" in sluice.sync_once(db.url, lake, *options, code=REFUSED).err + str(sluice.status(lake))
        assert_equal(db, lake, ["u"], READERS)


def test_where_no_table_can_be_copied_it_ends_all_the_same(db, sluice, lake):
    db.sql('CREATE TABLE t (id int PRIMARY KEY, a int, "A" int)', "INSERT INTO t VALUES (1, 2, 3)")
    assert "1 of 1 tables are set aside: public.t" in sluice.sync_once(db.url, lake, code=REFUSED).err
    db.sql('ALTER TABLE t DROP COLUMN "A"')
    sluice.sync_once(db.url, lake, "--resync", "t")
    assert_equal(db, lake, ["t"], READERS)


def test_changes_leave_the_spool_where_no_table_takes_them(db, sluice, lake):
    db.sql('CREATE TABLE t (id int PRIMARY KEY, a text, "A" int)')
    sync = sluice.start_sync(db.url, lake, "--spool-quota", "4MB")
    sync.wait_log("table_quarantined")
    for i in range(8):
        db.sql(f"INSERT INTO t SELECT g, repeat(md5(g::text), 30), 1 FROM generate_series({i}000, {i}999) g")
    end = db.lsn()
    sync.wait_until(lambda: db.one("SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots "
                                   "WHERE database = current_database()") >= end, what="the slot moves on")
    sync.term()


def test_more_tables_than_the_shell_lets_files_be_open(db, sluice, lake):
    with db.connect() as conn:
        conn.execute(";".join(f"CREATE TABLE t{i} (id int PRIMARY KEY); INSERT INTO t{i} VALUES ({i})" for i in range(100)))
        args = [sluice.binary, "sync", db.url, lake, "--once", "--no-heartbeat"]
        for _ in range(2):
            done = subprocess.run(["sh", "-c", 'ulimit -S -n 64; exec "$@"', "sh", *args], capture_output=True, text=True,
                                  env=environment(), timeout=120, check=False)
            assert done.returncode == 0, done.stderr
            conn.execute(";".join(f"UPDATE t{i} SET id = id + 1000" for i in range(100)))
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, [f"t{i}" for i in range(100)])


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_a_table_without_columns_is_followed_when_it_has_some(db, sluice, lake, identity):
    db.sql("CREATE TABLE other (id int PRIMARY KEY)", "CREATE TABLE t ()", f"ALTER TABLE t REPLICA IDENTITY {identity}",
           "INSERT INTO t DEFAULT VALUES", "CREATE TABLE bare (id int PRIMARY KEY)", "INSERT INTO bare VALUES (1)")
    sync = sluice.start_sync(db.url, lake)
    sync.wait_log("table_quarantined table=public.t reason=.*no columns")
    sync.wait_until(lambda: lake.exists("bare"))
    db.sql("ALTER TABLE bare DROP COLUMN id", "INSERT INTO bare DEFAULT VALUES")
    sync.wait_until(lambda: any(r["table"] == "public.bare" and r["state"] == "quarantined" for r in sluice.status(lake)), 15)
    db.sql("ALTER TABLE t ADD COLUMN id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY", "INSERT INTO t DEFAULT VALUES",
           "ALTER TABLE bare ADD COLUMN a int", "ALTER TABLE bare REPLICA IDENTITY FULL", "INSERT INTO bare VALUES (7)")
    sync.wait_until(lambda: lake.exists("t") and lake.count("t") == 2)
    sync.wait_until(lambda: lake.count("bare") == 3)
    db.sql("UPDATE bare SET a = 8 WHERE a = 7", "DELETE FROM t WHERE id = 1")
    sync.wait_until(lambda: lake.count("t") == 1)
    sync.term()
    assert_equal(db, lake, ["t", "bare"])
