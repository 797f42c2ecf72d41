"""The harness itself: an oracle that is wrong would make every other test worthless."""
import json
import os
import random
from pathlib import Path

import pytest

from lib.lake import Lake, Table
from lib.oracle import difference, kinds_of, read_source, read_sources
from lib.values import civil_from_days, days_from_civil, from_pg, pg_array
from lib.workload import Workload

SHARED = Path(os.environ.get("SLUICE_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))


def test_days_and_dates_are_inverse():
    assert days_from_civil(1970, 1, 1) == 0 and days_from_civil(2000, 3, 1) == 11017
    for day in range(-3000000, 3000000, 997):
        assert days_from_civil(*civil_from_days(day)) == day


@pytest.mark.parametrize("kind, text, value", [
    ("date", "0044-03-15 BC", "-0043-03-15"),
    ("date", "infinity", None),
    ("timestamp", "2024-02-29 12:34:56.7+00", "2024-02-29T12:34:56.700000Z"),
    ("timestamp_ntz", "0001-01-01 00:00:00 BC", "0000-01-01T00:00:00.000000"),
    ("timestamp_ntz", "294276-12-31 23:59:59.999999", None),  # in PostgreSQL's range, not in Delta's
    ("decimal(10,2)", "12.50", "12.50"),
    ("decimal(10,2)", "NaN", None),
    ("float", "0.1", "0.10000000149011612"),
    ("double", "-0", "0.0"),
    ("binary", "\\x00ff", b"\x00\xff"),
    (("array", "integer"), "{1,NULL,-3}", [1, None, -3]),
    (("array", "integer"), "{{1},{2}}", None),
    ("string", "", ""),
])
def test_values_of_postgres(kind, text, value):
    assert from_pg(kind, text) == value


def test_array_literals():
    assert pg_array('{a,"b,\\"c\\\\",NULL,"NULL",""}') == ["a", 'b,"c\\', None, "NULL", ""]
    assert pg_array("{}") == [] and pg_array("[2:3]={1,2}") is None


def test_difference_names_the_key_and_the_column():
    a = Table(["id", "v"], [(1, "x"), (2, "y"), (3, "z")])
    b = Table(["id", "v"], [(1, "x"), (2, "Y"), (4, "z")])
    assert difference(a, a) is None
    text = difference(a, b)
    assert "{'id': 2}: v: source 'y', lake 'Y'" in text and "only in the source" in text and "only in the lake" in text
    assert "rows: source 1, lake 2" in difference(Table(["a"], [(1,)]), Table(["a"], [(1,), (1,)]))
    assert "only lake ['w']" in difference(a, Table(["id", "v", "w"], []))


def test_oracle_resolves_domains_and_arrays(db):
    db.sql("CREATE DOMAIN money2 AS numeric(9,2)", "CREATE DOMAIN money3 AS money2 CHECK (VALUE > 0)",
           "CREATE TABLE t (a money3, b numeric(9,2)[], c name, d point, e int[][], f char(4), g numeric, h numeric(5,-2), "
           "i int GENERATED ALWAYS AS (1) STORED)",
           """INSERT INTO t VALUES (1.5, '{2}', 'n', '(1,2)', '{{1,2},{3,4}}', 'ab', 1.10, 12345)""")
    with db.connect() as conn:
        assert kinds_of(conn, "t") == {
            "a": "decimal(9,2)", "b": ("array", "decimal(9,2)"), "c": "string", "d": "string",
            "e": ("array", "integer"), "f": "string", "g": "string", "h": "string"}
        assert read_source(conn, "t").dicts()[0]["f"] == "ab  "
        assert read_source(conn, "t").dicts()[0]["e"] is None


def test_workload_makes_every_kind_of_change(db):
    workload = Workload(db, seed=7, clients=2, ddl=True).create()
    db.sql("SELECT pg_create_logical_replication_slot('watch_' || current_database(), 'test_decoding')")
    workload.run(60)
    state = read_sources(db, workload.tables)
    assert all(state[t].rows for t in ("wl_single", "wl_toast", "wl_pkfull"))
    changes = db.sql("SELECT data FROM pg_logical_slot_get_changes('watch_' || current_database(), NULL, NULL)")
    text = "\n".join(r[0] for r in changes)
    for kind in ("INSERT:", "UPDATE: old-key:", "UPDATE: id", "DELETE:", "TRUNCATE:", "unchanged-toast-datum"):
        assert kind in text, kind
    assert any(c[0] in "xy" for t in state.values() for c in t.columns)


@pytest.mark.parametrize("feature", ["dml_dv", "column_mapping_name", "nested_types", "partitioned_all_types"])
def test_readers_agree_with_spark(feature):
    table = SHARED / "fixtures" / "spark-delta" / feature
    if not table.exists():
        pytest.skip("the tables recorded from Spark are not here (SLUICE_SHARED)")
    expected = json.loads((table / "expected.json").read_text())
    lake = Lake(table / "x")
    lake.table_path = lambda name: table / "table"
    newest = expected["versions"][str(expected["version"])] if isinstance(expected["versions"], dict) \
        else expected["versions"][-1]
    for reader in ("delta-rs", "polars"):
        if "rows" in newest:
            assert len(lake.read("t", None, reader).rows) == len(newest["rows"]), reader


def test_random_arrays_survive_the_trip_through_postgres(db):
    r = random.Random(3)
    lists = [[None if r.random() < 0.2 else "".join(r.choice('a"\\{},N ') for _ in range(r.randint(0, 5)))
              for _ in range(r.randint(0, 5))] for _ in range(100)]
    db.sql("CREATE TABLE t (id serial PRIMARY KEY, a text[])")
    with db.connect() as conn:
        for a in lists:
            conn.execute("INSERT INTO t (a) VALUES (%s)", [a])
        assert [row[1] for row in sorted(read_source(conn, "t").rows)] == lists


def test_crash_of_the_server_is_survived_by_the_workload(own_pg):
    db = own_pg.create("w")
    workload = Workload(db, seed=5, clients=2).create()
    workload.start(1000000)
    for mode in ("immediate", "fast"):
        own_pg.restart(mode)
    assert db.one("SELECT count(*) FROM wl_single") >= 0
    workload.join(stop=True)
