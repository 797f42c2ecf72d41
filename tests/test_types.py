"""Every type lands as documented, by snapshot and by stream alike; what cannot land costs itself only."""
import pytest

from lib.oracle import assert_equal, kinds_of
from lib.wait import wait_until

TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS numeric(8,2) CHECK (VALUE > 0);
CREATE TABLE t (
    id int PRIMARY KEY, b boolean, i2 smallint, i4 integer, i8 bigint, o oid, f4 real, f8 double precision,
    n102 numeric(10,2), n38 numeric(38,0), n3810 numeric(38,10), n44 numeric(4,4), n3838 numeric(38,38), nn numeric, n50 numeric(50,5), money money,
    t text, vc varchar(10), c char(6), q "char", nm name, by bytea, d date, ts timestamp, ts0 timestamp(0),
    tz timestamptz, tm time, tmz timetz, iv interval, u uuid, j json, jb jsonb, x xml, e mood, p pair, dm positive,
    ip inet, cd cidr, mac macaddr, mac8 macaddr8, bi bit(5), vb bit varying(8), pt point, ln line, ls lseg, bx box,
    pa path, pg polygon, ci circle, tsv tsvector, tsq tsquery, lsn pg_lsn, r4 int4range, rn numrange, rt tstzrange,
    rd daterange, mr int4multirange, ab boolean[], ai integer[], al bigint[], af double precision[], an numeric(10,2)[],
    at text[], ad date[], ats timestamp[], atz timestamptz[], ab2 bytea[], au uuid[], aj jsonb[], ae mood[])
"""

ROWS = [
    # everything NULL
    {},
    # ordinary values
    dict(b="t", i2="1", i4="2", i8="3", o="4", f4="1.5", f8="2.5", n102="1.25", n38="7", n3810="1.1", n44="0.5", n3838="0.1", nn="1.10",
         n50="1.5", money="12.34", t="text", vc="varchar", c="char", q="x", nm="name", by="\\x0102", d="2024-02-29",
         ts="2024-02-29 12:34:56.789", ts0="2024-02-29 12:34:56", tz="2024-02-29 12:34:56.789+02", tm="12:34:56.789",
         tmz="12:34:56+02", iv="1 year 2 mons 3 days 04:05:06.789", u="a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
         j='{"a": 1,  "a": 2}', jb='{"b": [1, null], "a": "é"}', x="<a>b</a>", e="glad", p='(1,"a b")', dm="3.50",
         ip="192.168.0.1/24", cd="10.0.0.0/8", mac="08:00:2b:01:02:03", mac8="08:00:2b:01:02:03:04:05", bi="10101",
         vb="101", pt="(1,2)", ln="{1,2,3}", ls="[(1,2),(3,4)]", bx="(3,4),(1,2)", pa="((1,2),(3,4))",
         pg="((1,2),(3,4),(5,6))", ci="<(1,2),3>", tsv="'a':1 'b':2", tsq="'a' & 'b'", lsn="16/B374D848", r4="[1,5)",
         rn="(1.5,2.5]", rt='["2024-01-01 00:00:00+00",)', rd="[2024-01-01,2024-02-01)", mr="{[1,3),[5,7)}",
         ab="{t,f,NULL}", ai="{1,2,NULL}", al="{9223372036854775807}", af="{1.5,NaN}", an="{1.25,NULL}",
         at='{a,"b,c","NULL",NULL,""}', ad="{2024-02-29}", ats='{"2024-02-29 01:02:03.000004"}',
         atz='{"2024-02-29 01:02:03+00"}', ab2='{"\\\\x00ff"}', au="{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
         aj='{"{\\"a\\": 1}"}', ae="{sad,glad}"),
    # the ends of the ranges that Delta holds too
    dict(i2="-32768", i4="-2147483648", i8="-9223372036854775808", o="4294967295", f4="-0", f8="5e-324",
         n102="-99999999.99", n38="-" + "9" * 38, n3810="9" * 28 + "." + "9" * 10, n44="-0.9999", n3838="-0." + "9" * 38,
         nn="-0.00000000000000000001",
         n50="9" * 45 + ".99999", money="-92233720368547758.08", t="", vc="", c="", q="", by="\\x", d="4713-01-01 BC",
         ts="4713-01-01 00:00:00 BC", tz="4713-01-01 00:00:00+00 BC", tm="00:00:00", tmz="24:00:00-15:59",
         iv="-178000000 years", jb="1e400", dm="0.01", ip="::", bi="00000", vb="", r4="empty", mr="{}", ai="{}", at="{}"),
    dict(i2="32767", i4="2147483647", i8="9223372036854775807", f4="3.4028235e38", f8="1.7976931348623157e308",
         n38="9" * 38, t="漢字 🦆 \\ \" ' \t \n", d="5874897-12-31", ts="290000-12-31 23:59:59.999999",
         tz="290000-12-31 23:59:59.999999+00", tm="24:00:00", iv="178000000 years", r4="(,)"),
    dict(f4="NaN", f8="NaN", nn="NaN"),
    dict(f4="Infinity", f8="-Infinity", nn="Infinity"),
    dict(nn="1" + "0" * 500, at="{" + ",".join(["x"] * 2000) + "}"),
]

# (column, value): good for PostgreSQL, beyond what the Delta type holds
MISFITS = [("n102", "NaN"), ("d", "infinity"), ("d", "-infinity"), ("ts", "infinity"), ("tz", "-infinity"),
           ("ts", "294276-12-31 23:59:59.999999"), ("ai", "{{1,2},{3,4}}"), ("ai", "[2:3]={1,2}"), ("ad", "{infinity}")]


def insert(db, first, rows):
    with db.connect() as conn:
        for i, row in enumerate(rows):
            row = {"id": first + i, **{k: v for k, v in row.items() if v is not None}}
            conn.execute(f"INSERT INTO t ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",
                         list(row.values()))


def check(db, sluice, lake):
    with db.connect() as conn:
        assert lake.schema("t") == kinds_of(conn, "t"), "the documented mapping of types"
    return assert_equal(db, lake, ["t"], ("delta-rs", "polars", "sluice"))


def test_every_type_by_snapshot(db, sluice, lake):
    db.sql(TYPES)
    insert(db, 1, ROWS)
    sluice.sync_once(db.url, lake)
    check(db, sluice, lake)


def test_every_type_by_stream(db, sluice, lake):
    db.sql(TYPES)
    sluice.sync_once(db.url, lake)
    insert(db, 1, ROWS)
    db.sql("UPDATE t SET id = id + 100 WHERE id = 2")
    sluice.sync_once(db.url, lake)
    check(db, sluice, lake)
    assert not lake.dead_letters()


@pytest.mark.parametrize("way", ["snapshot", "stream"])
def test_a_value_that_does_not_fit_goes_to_the_dead_letters(db, sluice, lake, way):
    db.sql(TYPES)
    if way == "stream":
        sluice.sync_once(db.url, lake)
    insert(db, 1, [{c: v, "t": "kept"} for c, v in MISFITS] + [{"t": "neighbour"}])
    sluice.sync_once(db.url, lake, code=(0, 1))
    check(db, sluice, lake)  # the oracle has NULL there, and all else as it is
    letters = lake.dead_letters()
    assert len(letters) == len(MISFITS), letters
    told = " ".join(str(v) for letter in letters for v in letter.values())
    assert "public.t" in told and not [v for _, v in MISFITS if v not in told], told


@pytest.mark.parametrize("kind, values", [
    ("text", ["a", "b c", "é", ""]),
    ("uuid", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"]),
    ("numeric(20,5)", ["1.50000", "-1", "0"]),
    ("numeric", ["1.5", "1.50001", "100000000000000000000000000000000000000000"]),
    ("timestamptz", ["2024-01-01 00:00:00+00", "1969-01-01 00:00:00+00"]),
    ("date", ["2024-01-01", "0001-01-01 BC"]),
    ("bytea", ["\\x00", "\\x"]),
    ("boolean", ["t", "f"]),
    ("double precision", ["1.5", "-1e300"]),
    ("char(3)", ["a", "abc"]),
    ("inet", ["10.0.0.1", "10.0.0.1/8"]),
])
def test_keys_of_many_types(db, sluice, lake, kind, values):
    db.sql(f"CREATE TABLE k (k {kind} PRIMARY KEY, v int)")
    for i, v in enumerate(values):
        db.sql(f"INSERT INTO k VALUES ('{v}', {i})")
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE k SET v = v + 10", f"DELETE FROM k WHERE k = '{values[0]}'", f"INSERT INTO k VALUES ('{values[0]}', 99)")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["k"])


def test_the_mapping_is_the_same_in_later_epochs_of_one_process(db, sluice, lake):
    db.sql(TYPES)
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    for i, row in enumerate(ROWS):
        insert(db, i + 1, [row])
        wait_until(lambda n=i + 1: lake.count("t") == n, 60, f"row {i + 1}")
    check(db, sluice, lake)
    sync.term()


def test_binary_is_off_where_a_type_cannot_be_read_so(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, r int4range)", "CREATE TABLE u (id int PRIMARY KEY, n bigint)")
    done = sluice.sync_once(db.url, lake, "--binary")
    assert "binary_is_off table=public.t column=r" in done.err and "binary=0" in done.err
    db.sql("INSERT INTO t VALUES (1, '[1,5)')", "INSERT INTO u VALUES (1, 2)")
    assert "quarantined" not in sluice.sync_once(db.url, lake, "--binary").err
    assert_equal(db, lake, ["t", "u"])
    db.sql("INSERT INTO u VALUES (3, 4)")
    assert "binary=1" in sluice.sync_once(db.url, lake, "--binary", "--tables", "u").err
