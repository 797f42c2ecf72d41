"""What is done to one partition is not in the stream of its root. Rows of one that is gone, or was emptied, leave the lake; the table is copied
anew where rows came, and where it cannot be told which went, and only there."""
import json
from collections import Counter

import pytest

from lib.oracle import assert_equal
from lib.wait import wait_until

TABLE = ["CREATE TABLE p (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)",
         "CREATE TABLE p0 PARTITION OF p FOR VALUES FROM (-100) TO (0)", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)",
         "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (1000) PARTITION BY RANGE (id)",
         "CREATE TABLE p2a PARTITION OF p2 FOR VALUES FROM (100) TO (200)", "CREATE TABLE p2b PARTITION OF p2 DEFAULT",
         "INSERT INTO p SELECT g, g FROM generate_series(1, 300, 7) g", "CREATE TABLE other (id int PRIMARY KEY)"]

# The statements, and whether the table is copied anew.
CHANGES = {
    "truncated alone": (["INSERT INTO p VALUES (3, 3)", "TRUNCATE p1", "INSERT INTO p VALUES (4, 4)"], True),
    "truncated alone, below": (["TRUNCATE p2"], False),
    "detached, changed, attached": (["ALTER TABLE p DETACH PARTITION p1", "UPDATE p1 SET v = -1",
                                     "ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (100)"], True),
    "detached, emptied, attached": (["ALTER TABLE p2 DETACH PARTITION p2a", "DELETE FROM p2a",
                                     "ALTER TABLE p2 ATTACH PARTITION p2a FOR VALUES FROM (100) TO (200)"], True),
    "truncated as a whole": (["TRUNCATE p", "INSERT INTO p VALUES (4, 4), (150, 150)"], False),
    "truncated with another": (["INSERT INTO other VALUES (1)", "TRUNCATE other, p", "INSERT INTO p VALUES (4, 4)"], False),
    "truncated as a whole, then one": (["TRUNCATE p", "INSERT INTO p VALUES (4, 4), (150, 150)", "TRUNCATE p1"], False),
    "emptied alone": (["INSERT INTO p VALUES (3, 3), (150, 7)", "TRUNCATE p1", "UPDATE p SET v = 1 WHERE id = 150"], False),
    "dropped": (["INSERT INTO p VALUES (3, 3)", "DROP TABLE p1", "INSERT INTO p VALUES (150, 7)"], False),
    "detached": (["UPDATE p SET v = 0", "ALTER TABLE p DETACH PARTITION p1", "DELETE FROM p1"], False),
    "detached concurrently": (["ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY"], False),
    "dropped, below": (["DROP TABLE p2a"], False),  # the default partition beside it has no such rows
    "dropped, with what is below": (["DROP TABLE p2"], False),
    "dropped, a default partition": (["DROP TABLE p2b"], True),
    "dropped and made again": (["DROP TABLE p1", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)"], False),
    "dropped and filled again": (["DROP TABLE p1", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)",
                                  "INSERT INTO p VALUES (8, 9)"], True),
    "two dropped, one emptied": (["DROP TABLE p1", "TRUNCATE p0", "ALTER TABLE p2 DETACH PARTITION p2b"], True),
    "written anew": (["VACUUM FULL p1", "CLUSTER p2a USING p2a_pkey", "UPDATE p SET v = 0 WHERE id < 30"], False),
    "altered, which writes anew": (["ALTER TABLE p ALTER v TYPE bigint", "DELETE FROM p WHERE id < 9"], False),
    "truncated alone, then altered": (["TRUNCATE p1", "ALTER TABLE p ALTER v TYPE bigint"], False),
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


# Of a key: the columns' types, how it is partitioned, the bounds of the partition that goes, rows of it, the bounds of another, rows of that.
KEYS = {
    "smallint": ("smallint", "RANGE (k)", "FROM (-10) TO (0)", ["-10", "-1"], "FROM (0) TO (10)", ["0", "9"]),
    "int_open": ("int", "RANGE (k)", "FROM (MINVALUE) TO (0)", ["-2147483648", "-1"], "FROM (0) TO (MAXVALUE)", ["0"]),
    "bigint": ("bigint", "RANGE (k)", "FROM (9007199254740993) TO (9007199254740995)", ["9007199254740993"],
               "FROM (0) TO (9007199254740993)", ["9007199254740992"]),
    "date": ("date", "RANGE (k)", "FROM ('2024-01-01') TO ('2024-02-01')", ["2024-01-01", "2024-01-31"],
             "FROM ('2024-02-01') TO (MAXVALUE)", ["2024-02-01", "infinity"]),
    "date_open": ("date", "RANGE (k)", "FROM (MINVALUE) TO ('0001-01-01 BC')", ["0044-03-15 BC"],
                  "FROM ('0001-01-01 BC') TO (MAXVALUE)", ["0001-01-01 BC", "2024-02-01"]),
    "timestamp": ("timestamp", "RANGE (k)", "FROM ('2024-01-01') TO ('2024-01-01 00:00:00.5')", ["2024-01-01 00:00:00.499999"],
                  "FROM ('2024-01-01 00:00:00.5') TO ('2025-01-01')", ["2024-01-01 00:00:00.5"]),
    "timestamptz": ("timestamptz", "RANGE (k)", "FROM ('2024-01-01+05') TO ('2024-02-01+05')", ["2023-12-31 19:00:00+00"],
                    "FROM ('2023-01-01+05') TO ('2024-01-01+05')", ["2023-12-31 18:59:59.999999+00"]),
    "numeric": ("numeric(20, 2)", "RANGE (k)", "FROM (1.10) TO (10)", ["1.10", "9.99"], "FROM (10) TO (1000)", ["10", "999.99"]),
    "uuid": ("uuid", "RANGE (k)", "FROM ('0a000000-0000-0000-0000-000000000000') TO ('A0000000-0000-0000-0000-000000000000')",
             ["0a000000-0000-0000-0000-000000000000", "9fffffff-ffff-ffff-ffff-ffffffffffff"],
             "FROM (MINVALUE) TO ('0a000000-0000-0000-0000-000000000000')", ["09ffffff-ffff-ffff-ffff-ffffffffffff"]),
    "text_c": ('text COLLATE "C"', "RANGE (k)", "FROM ('a') TO ('b')", ["a", "a~", "aé"], "FROM ('B') TO ('a')", ["B", "Z"]),
    "two": ("int, k2 date", "RANGE (k, k2)", "FROM (1, '2024-01-01') TO (2, '2024-01-01')",
            ["1', '2024-01-01", "1', '2025-01-01", "2', '2023-12-31"], "FROM (2, '2024-01-01') TO (3, MINVALUE)", ["2', '2024-01-01"]),
    "list_int": ("int", "LIST (k)", "IN (1, -2)", ["1", "-2"], "IN (2, NULL)", ["2", None]),
    "list_text": ("text", "LIST (k)", "IN ('it''s', 'a, b', '')", ["it's", "a, b", ""], "IN ('its', 'A, b')", ["its", "A, b"]),
    "list_varchar": ("varchar(9)", "LIST (k)", "IN ('x', NULL)", ["x", None], "IN ('x ', 'X')", ["x ", "X"]),
    "list_bool": ("bool", "LIST (k)", "IN (true)", ["t", "t"], "IN (false, NULL)", ["f", None]),
    "list_enum": ("mood", "LIST (k)", "IN ('so so')", ["so so"], "IN ('fine', NULL)", ["fine", None]),
    "list_uuid": ("uuid", "LIST (k)", "IN ('0A000000-0000-0000-0000-000000000000')", ["0a000000-0000-0000-0000-000000000000"],
                  "IN (NULL)", [None]),
    "list_date": ("date", "LIST (k)", "IN ('2024-01-01')", ["2024-01-01"], "IN ('infinity', NULL)", ["infinity", None]),
    "list_null": ("int", "LIST (k)", "IN (NULL)", [None, None], "IN (0)", ["0"]),
    "domain": ("natural_number", "RANGE (k)", "FROM (1) TO (5)", ["1", "4"], "FROM (5) TO (9)", ["5"]),
}

# The same, of those where nothing that the lake has tells which rows went.
UNSURE = {
    "hash": ("int", "HASH (k)", "WITH (MODULUS 2, REMAINDER 0)", ["1", "12"], "WITH (MODULUS 2, REMAINDER 1)", ["3", "4"]),
    "expression": ("int", "RANGE (abs(k))", "FROM (0) TO (5)", ["-1", "4"], "FROM (5) TO (9)", ["-5"]),
    "text_range": ('text COLLATE "und-x-icu"', "RANGE (k)", "FROM ('a') TO ('c')", ["a", "B"], "FROM ('c') TO ('e')", ["c", "D"]),
    "infinity": ("timestamptz", "RANGE (k)", "FROM (MINVALUE) TO ('2024-01-01')", ["-infinity", "2023-01-01"],
                 "FROM ('2024-01-01') TO ('2025-01-01')", ["2024-01-01"]),
    "list_infinity": ("date", "LIST (k)", "IN ('2024-01-01', NULL)", ["2024-01-01", None], "IN ('infinity')", ["infinity"]),
    "numeric_any": ("numeric", "RANGE (k)", "FROM (1.5) TO (10)", ["1.50", "9.99"], "FROM (10) TO (1000)", ["10", "999.99"]),
    "char": ("char(3)", "LIST (k)", "IN ('x')", ["x"], "IN ('y')", ["y"]),
    "float": ("float8", "RANGE (k)", "FROM (0) TO (1)", ["0", "0.1"], "FROM (1) TO (2)", ["1"]),
}


def make(db, name, key):
    """A table of this kind, with rows in both partitions."""
    types, by, gone, gone_rows, other, other_rows = key
    columns = "k, k2" if "k2" in types else "k"
    db.sql(f"CREATE TABLE {name} (k {types}, v text) PARTITION BY {by}",
           f"CREATE TABLE {name}_gone PARTITION OF {name} FOR VALUES {gone}",
           f"CREATE TABLE {name}_other PARTITION OF {name} FOR VALUES {other}")
    for v in gone_rows + other_rows:
        db.sql(f"INSERT INTO {name} ({columns}) VALUES (" + ("NULL" if v is None else "'" + v.replace("'s", "''s") + "'") + ")")
    db.sql(*[f"ALTER TABLE {name}{leaf} REPLICA IDENTITY FULL" for leaf in ("", "_gone", "_other")])


def types(db):
    db.sql("CREATE TYPE mood AS ENUM ('so so', 'fine')", "CREATE DOMAIN natural_number AS int CHECK (VALUE > 0)")


@pytest.mark.parametrize("how", ["DROP TABLE {}_gone", "TRUNCATE {}_gone", "ALTER TABLE {0} DETACH PARTITION {0}_gone"],
                         ids=["dropped", "truncated", "detached"])
def test_each_type_of_key(db, sluice, lake, how):
    types(db)
    for name, key in KEYS.items():
        make(db, name, key)
    sluice.sync_once(db.url, lake)
    for name in KEYS:
        db.sql(how.format(name))
    log = sluice.sync_once(db.url, lake).err
    assert "copied_anew" not in log
    assert log.count("event=partition_gone") == len(KEYS)
    for name, key in KEYS.items():
        assert f'table=public.{name} partition="public.{name}_gone" partitions=1 rows={len(key[3])}\n' in log
    expected = {n: db.sql(f"SELECT count(*) FROM {n}")[0][0] for n in KEYS}
    assert expected == {n: len(k[5]) for n, k in KEYS.items()}
    assert_equal(db, lake, KEYS)
    assert "partition_gone" not in sluice.sync_once(db.url, lake).err


def test_what_cannot_be_told_is_copied_anew(db, sluice, lake):
    types(db)
    for name, key in UNSURE.items():
        make(db, name, key)
    sluice.sync_once(db.url, lake)
    for name in UNSURE:
        db.sql(f"TRUNCATE {name}_gone" if name == "hash" else f"DROP TABLE {name}_gone")
    log = sluice.sync_once(db.url, lake).err
    assert "event=partition_gone" not in log
    for name in UNSURE:
        assert f"table_to_be_copied_anew table=public.{name} " in log
    assert_equal(db, lake, UNSURE)


DAYS = ["CREATE TABLE d (id int, day date, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
        *[f"CREATE TABLE d{n} PARTITION OF d FOR VALUES FROM ('2024-01-0{n}') TO ('2024-01-0{n + 1}')" for n in range(1, 8)],
        "CREATE TABLE d_default PARTITION OF d DEFAULT",
        "INSERT INTO d SELECT g, '2024-01-01'::date + g / 1000, repeat(md5(g::text), 5) FROM generate_series(0, 6999) g"]


def actions(lake, table, since):
    """Of commits after a version: files that were added, and removed, and those whose rows were only masked."""
    added, removed, masked = set(), set(), set()
    for version, commit in lake.log(table):
        if version > since:
            adds = {a["add"]["path"] for a in commit if "add" in a}
            removes = {a["remove"]["path"] for a in commit if "remove" in a}
            added |= adds - removes
            removed |= removes - adds
            masked |= adds & removes
    return added, removed, masked


@pytest.mark.parametrize("options", [(), ("--partition-by", "day"), ("--copy-on-write", "*.*"), ("--change-feed", "*.*")],
                         ids=["plain", "partitioned", "on write", "feed"])
def test_a_day_goes_and_nothing_is_written(db, sluice, lake, options):
    db.sql(*DAYS)
    sluice.sync_once(db.url, lake, *options)
    version = lake.version("d")
    sync = sluice.start_sync(db.url, lake, *options)
    sync.wait_log("stream_started")
    db.sql("DROP TABLE d1", "ALTER TABLE d DETACH PARTITION d2")
    sync.wait_log(r'event=partition_gone table=public.d partition="public.d1,public.d2" partitions=2 rows=2000\n')
    added, removed, masked = actions(lake, "d", version)
    assert added == masked == set() and len(removed) == 2  # each leaf was copied into files of its own
    db.sql("INSERT INTO d VALUES (1, '2024-01-03', 'x'), (1, '2024-01-01', 'in the default partition')")
    sync.wait_until(lambda: lake.count("d") == 5002)
    assert "copied_anew" not in sync.text()
    sync.term()
    assert_equal(db, lake, ["d"])


def test_rows_of_a_day_that_are_in_one_file_with_others_are_masked(db, sluice, lake):
    db.sql(*DAYS[:-1])
    sluice.sync_once(db.url, lake)
    db.sql(DAYS[-1])  # one commit of the stream
    sluice.sync_once(db.url, lake)
    version = lake.version("d")
    db.sql("DROP TABLE d3", "TRUNCATE d5")
    assert "rows=2000\n" in sluice.sync_once(db.url, lake).err
    added, removed, masked = actions(lake, "d", version)
    assert added == removed == set() and len(masked) == 1
    db.sql("CREATE TABLE d3 PARTITION OF d FOR VALUES FROM ('2024-01-03') TO ('2024-01-04')",
           "INSERT INTO d SELECT g, '2024-01-01'::date + g / 1000, 'again' FROM generate_series(2500, 5499) g ON CONFLICT DO NOTHING",
           "UPDATE d SET v = 'updated' WHERE id % 7 = 0")
    assert "copied_anew" not in sluice.sync_once(db.url, lake).err
    assert_equal(db, lake, ["d"])


def test_numbers_of_files_that_went_are_not_given_again(db, sluice, lake):
    """The index may still know rows by them."""
    db.sql(*DAYS[:-1])
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO d VALUES (1, '2024-01-01', 'a')")
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO d VALUES (2, '2024-01-02', 'b')")
    sluice.sync_once(db.url, lake)
    db.sql("DROP TABLE d2")
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO d VALUES (3, '2024-01-03', 'c')")
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO d VALUES (2, '2024-01-02', 'in the default partition')")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["d"])


def test_below_a_day_anything_may_be(db, sluice, lake):
    """Of a partition that lost all that is below it, its own bounds tell."""
    db.sql("CREATE TABLE d (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
           *[f"CREATE TABLE d{n} PARTITION OF d FOR VALUES FROM ('2024-01-0{n}') TO ('2024-01-0{n + 1}') PARTITION BY HASH (id)"
             for n in range(1, 5)],
           *[f"CREATE TABLE d{n}_{m} PARTITION OF d{n} FOR VALUES WITH (MODULUS 3, REMAINDER {m})" for n in range(1, 5) for m in range(3)],
           "INSERT INTO d SELECT g, '2024-01-01'::date + g / 100 FROM generate_series(0, 399) g")
    sluice.sync_once(db.url, lake)
    db.sql("DROP TABLE d1", "ALTER TABLE d DETACH PARTITION d2", "TRUNCATE d3")
    log = sluice.sync_once(db.url, lake).err
    assert 'partition="public.d1,public.d2,public.d3" partitions=3 rows=300\n' in log
    assert_equal(db, lake, ["d"])
    db.sql("TRUNCATE d4_1")
    assert "table_to_be_copied_anew" in sluice.sync_once(db.url, lake).err
    assert_equal(db, lake, ["d"])


def test_a_renamed_key(db, sluice, lake):
    """Bounds are of columns, whatever their names are by then."""
    db.sql("CREATE TABLE d (id int, a int, b int, PRIMARY KEY (id, a)) PARTITION BY RANGE (a)",
           "CREATE TABLE d1 PARTITION OF d FOR VALUES FROM (0) TO (10)", "CREATE TABLE d2 PARTITION OF d FOR VALUES FROM (10) TO (20)",
           "INSERT INTO d VALUES (1, 5, 15), (2, 15, 5)")
    sluice.sync_once(db.url, lake)
    db.sql("ALTER TABLE d RENAME a TO c", "ALTER TABLE d RENAME b TO a", "DROP TABLE d1", "INSERT INTO d VALUES (3, 16, 5)")
    assert "rows=1\n" in sluice.sync_once(db.url, lake).err
    assert_equal(db, lake, ["d"])


def test_of_a_table_without_an_identity(db, sluice, lake):
    db.sql("CREATE TABLE d (id int, day date) PARTITION BY RANGE (day)", *DAYS[1:4],
           "INSERT INTO d SELECT g, '2024-01-01'::date + g / 10 FROM generate_series(0, 29) g")
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO d VALUES (30, '2024-01-01')", "DROP TABLE d1", "INSERT INTO d VALUES (31, '2024-01-02')")
    log = sluice.sync_once(db.url, lake).err
    assert "rows=11\n" in log and "copied_anew" not in log
    assert_equal(db, lake, ["d"])


def test_who_writes_meanwhile_is_waited_for(db, sluice, lake):
    """A default partition may have rows of the partition that went, in a transaction that commits just now."""
    db.sql(*DAYS)
    sluice.sync_once(db.url, lake)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_log("stream_started")
    with db.connect() as writer:
        db.sql("DROP TABLE d1")
        writer.execute("BEGIN")
        writer.execute("INSERT INTO d VALUES (1, '2024-01-02', 'x'), (2, '2024-01-09', 'y') ON CONFLICT DO NOTHING")
        db.sql("INSERT INTO d VALUES (10000, '2024-01-05', 'z')")
        sync.wait_until(lambda: lake.count("d") == 7001)
        db.sql("SELECT pg_sleep(6)")
        assert "partition_gone" not in sync.text() and "copied_anew" not in sync.text()
        writer.execute("COMMIT")
    sync.wait_log("rows=1000\n")
    sync.wait_until(lambda: lake.count("d") == 6003)
    sync.term()
    assert "copied_anew" not in sync.text()
    assert_equal(db, lake, ["d"])


def test_rows_in_the_default_partition(db, sluice, lake):
    db.sql(*DAYS)
    sluice.sync_once(db.url, lake)
    db.sql("DROP TABLE d1", "INSERT INTO d VALUES (1, '2024-01-01', 'x')")
    assert "table_to_be_copied_anew" in sluice.sync_once(db.url, lake).err
    assert_equal(db, lake, ["d"])


def test_the_state_of_an_older_version(db, sluice, lake):
    """It knows no bounds; they are noted by the first look that finds the partitions as they were."""
    db.sql(*DAYS)
    sluice.sync_once(db.url, lake)
    file = lake.path / "_sluice" / "state.json"
    state = json.loads(file.read_text())
    for table in state["tables"]:
        assert table.pop("bounds").count("FOR VALUES") == 7
    file.write_text(json.dumps(state))
    db.sql("DROP TABLE d1")
    assert "table_to_be_copied_anew" in sluice.sync_once(db.url, lake).err
    state = json.loads(file.read_text())
    for table in state["tables"]:
        assert table.pop("bounds").count("FOR VALUES") == 6
    file.write_text(json.dumps(state))
    sluice.sync_once(db.url, lake)
    db.sql("DROP TABLE d2")
    assert "rows=1000\n" in sluice.sync_once(db.url, lake).err
    assert_equal(db, lake, ["d"])


def gone_days(lake):
    """The deletes in the history of d, by day."""
    rows = lake.read("d__history").dicts()
    deleted = [r for r in rows if r["__op"] == "delete"]
    assert len({(r["id"], r["day"]) for r in deleted}) == len(deleted)
    assert all(r["__commit_ts"] is None for r in deleted)
    return Counter(str(r["day"]) for r in deleted), deleted


STEPS = ["gone_noted", "gone_told", "gone_deleted", "state_saved:2", "spool_trimmed"]


@pytest.mark.parametrize("full", [False, True], ids=["key", "full"])
def test_the_history_has_each_row_once_over_kills(db, sluice, lake, full):
    db.sql(*DAYS)
    if full:
        db.sql(*[f"ALTER TABLE {t} REPLICA IDENTITY FULL" for t in ("d", *[f"d{n}" for n in range(1, 8)], "d_default")])
    options = ("--history", "beside")
    sluice.sync_once(db.url, lake, *options)
    for n, step in enumerate(STEPS, 1):
        db.sql(f"INSERT INTO d VALUES (10000, '2024-01-0{n}', 'x'), (1, '2024-01-07', '{step}') ON CONFLICT (id, day) DO UPDATE SET v = 'y'",
               f"DROP TABLE d{n}")
        db.sql(f"CREATE TABLE d{n} PARTITION OF d FOR VALUES FROM ('2024-01-0{n}') TO ('2024-01-0{n + 1}')")
        killed = sluice.sync_once(db.url, lake, *options, code=None, env={"SLUICE_CRASH_AT": step})
        assert killed.code == -9, step
        db.sql(f"INSERT INTO d VALUES (20000, '2024-01-0{n}', 'after it')")
        log = sluice.sync_once(db.url, lake, *options).err
        assert "copied_anew" not in killed.err + log, step
        days, deleted = gone_days(lake)
        assert days == {f"2024-01-0{m}": 1001 for m in range(1, n + 1)}, step
        assert_equal(db, lake, ["d"])
    assert all((r["v"] is not None) == full for r in deleted)
    inserted = [r for r in lake.read("d__history").dicts() if r["__op"] == "insert"]
    assert Counter(r["id"] for r in inserted) == {10000: len(STEPS), 20000: len(STEPS), 1: 1}


@pytest.mark.parametrize("options", [(), ("--copy-on-write", "*.*"), ("--change-feed", "*.*", "--partition-by", "day")],
                         ids=["plain", "on write", "feed"])
def test_over_kills(db, sluice, lake, options):
    db.sql(*DAYS[:-1])
    sluice.sync_once(db.url, lake, *options)
    db.sql(DAYS[-1])
    sluice.sync_once(db.url, lake, *options)
    for n, step in enumerate(["gone_noted", "gone_deleted", "state_saved:2"], 1):
        db.sql(f"INSERT INTO d VALUES (10000, '2024-01-0{n}', 'x')", f"TRUNCATE d{n}", "UPDATE d SET v = 'y' WHERE id % 100 = 7")
        killed = sluice.sync_once(db.url, lake, *options, code=None, env={"SLUICE_CRASH_AT": step})
        assert killed.code == -9, step
        if step.startswith("gone"):  # else the partition is only seen to be empty now
            db.sql(f"INSERT INTO d VALUES (20000, '2024-01-0{n}', 'after it')")
        assert "copied_anew" not in killed.err + sluice.sync_once(db.url, lake, *options).err, step
        assert_equal(db, lake, ["d"])
