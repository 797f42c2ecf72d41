"""Files that a statement does not need are not opened: shown by taking them away, by what DuckDB says it read, and by
comparing random queries with themselves where nothing can be skipped."""
import json
import os
import random
import re
import subprocess
from pathlib import Path

import pytest

from lib.sluice import ROOT
from test_dml import folder, rows, sql  # noqa: F401

SHARED = Path(os.environ.get("SLUICE_SHARED", ROOT.parent / "shared"))

COLUMNS = """id BIGINT, small SMALLINT, name STRING, day DATE, ts TIMESTAMP, clock TIMESTAMP_NTZ, price DECIMAL(12,2),
    big DECIMAL(38,6), x DOUBLE, r FLOAT, live BOOLEAN, s STRUCT<a: INT, b: STRUCT<c: STRING>>, raw BINARY"""
VALUES = """i, CAST(i % 300 - 150 AS SMALLINT), printf('n%05d', i) || repeat('é', CAST(i % 40 AS INT)),
    DATE '2024-01-01' + CAST(i // 10 AS INT), TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_microseconds(i * 333333),
    TIMESTAMP '2024-01-01 00:00:00' + to_microseconds(i * 333333), CAST(i AS DECIMAL(12,2)) / 7, CAST(i AS HUGEINT) * 1e20::HUGEINT / 7,
    CASE WHEN i % 97 = 96 THEN 'nan'::DOUBLE ELSE i / 3.0 END, CAST(i / 3.0 AS FLOAT), i % 2 = 0,
    CASE WHEN i % 11 <> 0 THEN {'a': CAST(i AS INT), 'b': CASE WHEN i % 13 <> 0 THEN {'c': 'c' || i} END} END, 'x'::BLOB"""


def make(sluice, lake, partitions=("1", "2", "NULL"), files=4, properties=""):
    """A table t of partitions × files, each file of 100 ids in order."""
    statements = [f"CREATE TABLE t ({COLUMNS}, p INT) PARTITIONED BY (p) {properties}"]
    for k, p in enumerate(partitions):
        for i in range(files):
            low = (k * files + i) * 100
            statements.append(f"INSERT INTO t SELECT {VALUES}, {p} FROM range({low}, {low + 100}) q(i)")
    sql(sluice, lake, *statements)


def live_files(lake, table="t"):
    """Path → the add action of each file of the newest version."""
    root, live = lake.path / "public" / table, {}
    for commit in sorted((root / "_delta_log").glob("*.json")):
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                live[action["add"]["path"]] = action["add"]
            elif "remove" in action:
                live.pop(action["remove"]["path"], None)
    return root, live


class Without:
    """Data files are away while a statement runs, but for those with ids (minValues) in `keep`."""

    def __init__(self, lake, keep):
        root, live = live_files(lake)
        self.moved = []
        for path, add in live.items():
            if json.loads(add["stats"])["minValues"]["id"] not in keep:
                self.moved.append((root / path, lake.path / f"away-{len(self.moved)}"))

    def __enter__(self):
        for at, away in self.moved:
            at.rename(away)

    def __exit__(self, *_):
        for at, away in self.moved:
            away.rename(at)


def files_read(sluice, lake, *queries):
    """Files that DuckDB says it opened, for each query."""
    counts = []
    for row in sql(sluice, lake, *(f"EXPLAIN ANALYZE {q}" for q in queries)).rows():
        found = re.findall(r"Total Files Read: (\d+)", row["explain_value"])
        counts.append(sum(map(int, found)))
    return counts


@pytest.fixture
def table(sluice, folder):  # noqa: F811
    make(sluice, folder)
    return folder


# A condition, and how many of the twelve files (ids 0-99, 100-199, …; p = 1, 2, NULL) are read for it.
CONDITIONS = [
    ("id = 150", 1), ("id < 100", 1), ("id <= 100", 2), ("id > 1100", 1), ("id >= 1099", 2), ("id <> 5", 12),
    ("id BETWEEN 250 AND 350", 2), ("id IN (5, 105)", 2), ("id IN (5, 6, 7, 8, 9, 10, 1150)", 2), ("id NOT IN (5, 105)", 12),
    ("id IS NULL", 0), ("id IS NOT NULL", 12), ("id IS NOT DISTINCT FROM 5", 1), ("NOT id < 1100", 1), ("id = -1", 0),
    ("id = 5 OR id = 1105", 2), ("id < 200 AND id > 99", 1), ("id % 2 = 0 AND id < 100", 1), ("id = 5.5", 1), ("id > 1e9", 0),
    ("p = 1", 4), ("p IS NULL", 4), ("p <> 1", 4), ("p IS DISTINCT FROM 1", 8), ("p IN (1, 2)", 8), ("p = 2 AND id = 5", 0),
    ("name = 'n00150'", 1), ("name LIKE 'n001%'", 1), ("starts_with(name, 'n011')", 1), ("name > 'n01100'", 1),
    ("name LIKE '%5'", 12), ("day = '2024-01-15'", 1), ("day < DATE '2024-01-11'", 1), ("ts < '2024-01-01 00:00:33+00'", 1),
    ("ts::DATE = '2024-01-02'", 0), ("clock >= '2024-01-01 00:06:30'", 1), ("price < 14", 1), ("price = 20.00", 1),
    ("big < 1400000000000000000000", 1), ("x < 33", 1), ("x = 50", 2), ("r < 33", 1), ("s.a = 150", 1), ("s.b.c = 'nope'", 0),
    ("s.a < 100", 1), ("raw = 'x'::BLOB", 12), ("small > 148", 4), ("1 = 0", 0), ("random() < 2 AND id = 5", 1),
]


def test_as_many_files_are_read_as_can_match(sluice, table):
    got = files_read(sluice, table, *(f"SELECT * FROM t WHERE {c}" for c, _ in CONDITIONS))
    assert dict(zip((c for c, _ in CONDITIONS), got)) == dict(CONDITIONS)


def test_conditions_count_wherever_they_stand(sluice, table):
    sql(sluice, table, "CREATE TABLE u (id BIGINT, v STRING)", "INSERT INTO u VALUES (5, 'a'), (6, 'b')", "INSERT INTO u VALUES (1105, 'c')")
    one = "FROM t WHERE id = 150"
    queries = {
        "WITH c AS (SELECT * FROM t) SELECT * FROM c WHERE id = 150": 1,
        f"SELECT * FROM (SELECT id AS n, upper(name) {one} LIMIT 5) WHERE n < 1000": 1,
        f"SELECT sum(id), count(*), count(*) + 1 {one}": 1,
        f"SELECT name {one} UNION ALL SELECT v FROM u WHERE id = 1105": 2,
        "SELECT * FROM t JOIN u ON t.id = u.id WHERE u.id = 5": 2,
        "SELECT * FROM t LEFT JOIN u ON t.id = u.id AND u.id = 5 WHERE t.p = 1": 5,
        "SELECT * FROM u WHERE id IN (SELECT id FROM t WHERE p = 2)": 6,
        "SELECT * FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.id = u.id AND t.day < '2024-01-02')": 3,
        f"SELECT max(id) {one} OR id = 5": 2,
        "SELECT * FROM t AT (VERSION => 2) WHERE id = 150": 1,
        "SELECT * FROM t AT (VERSION => 1) WHERE id = 150": 0,
        f"SELECT * FROM delta_scan('{table.path}/public/t') WHERE id = 150": 1,
        "SELECT * FROM public.t WHERE ts < now() - INTERVAL 5 DAY AND id < 200": 2,
        "SELECT * FROM t WHERE ts > now()": 0,
    }
    assert dict(zip(queries, files_read(sluice, table, *queries))) == queries
    views = sql(sluice, table, "CREATE TEMP VIEW v AS SELECT * FROM t WHERE p = 1", "EXPLAIN ANALYZE SELECT * FROM v WHERE id > 350",
                "CREATE TEMP TABLE c AS SELECT * FROM t WHERE id = 150", "SELECT count(*) AS n FROM c").rows()
    assert "Total Files Read: 1" in str(views) and {"n": 1} in views


def test_other_files_may_be_gone(sluice, table, tmp_path):
    with Without(table, {100}):
        assert rows(sluice, table, "SELECT count(*), min(id) FROM t WHERE id BETWEEN 120 AND 129") == [(10, 120)]
        out = tmp_path / "out.csv"
        sql(sluice, table, f"COPY (SELECT id FROM t WHERE id = 150) TO '{out}' (HEADER false)",
            "CREATE TABLE made AS SELECT id, name FROM t WHERE id = 151",
            "INSERT INTO made SELECT id, name FROM t WHERE id = 152",
            "MERGE INTO made USING (SELECT id, 'x' AS name FROM t WHERE id IN (152, 153)) s ON made.id = s.id WHEN MATCHED "
            "THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *")
        assert out.read_text() == "150\n"
        assert [r[0] for r in rows(sluice, table, "SELECT id FROM made ORDER BY id")] == [151, 152, 153]
        sql(sluice, table, "SELECT * FROM t WHERE id = 250", code=None)
    with Without(table, set()):
        assert sluice.run("sql", table, "-c", "SELECT * FROM t WHERE id = 250", code=None).code != 0


def test_counts_come_out_of_the_log(sluice, table):
    sql(sluice, table, "DELETE FROM t WHERE id % 10 = 3 AND id < 250")
    with Without(table, set()):
        for q in ("SELECT count(*) FROM t", "SELECT count(1) FROM (SELECT id, name FROM t)"):
            assert rows(sluice, table, q) == [(1175,)]
        assert rows(sluice, table, "SELECT count(*) FROM t AT (VERSION => 3)") == [(300,)]
        assert rows(sluice, table, "SELECT count(*) FROM t WHERE random() < 2") == [(1175,)]
        assert rows(sluice, table, "SELECT count(*) FROM t AT (VERSION => 0)") == [(0,)]


def test_counts_are_read_where_the_log_does_not_say(sluice, table):
    log = table.path / "public" / "t" / "_delta_log"
    for other in (*log.glob("*.crc"), *log.glob("*checkpoint*")):
        other.unlink()
    commit = log / f"{5:020}.json"
    lines = [json.loads(line) for line in commit.read_text().splitlines()]
    for line in lines:
        if "add" in line:
            del line["add"]["stats"]
    commit.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert rows(sluice, table, "SELECT count(*) FROM t") == [(1200,)]
    assert files_read(sluice, table, "SELECT count(*) FROM t", "SELECT id FROM t WHERE id = 5", "SELECT id FROM t WHERE p = 1") == [12, 2, 4]


@pytest.mark.parametrize("vectors", ["true", "false"])
def test_changes_open_what_they_change(sluice, folder, vectors):  # noqa: F811
    make(sluice, folder, properties=f"TBLPROPERTIES ('delta.enableDeletionVectors' = '{vectors}', 'delta.enableChangeDataFeed' = 'true')")
    with Without(folder, {100, 300}):
        done = sql(sluice, folder, "DELETE FROM t WHERE id = 150", "UPDATE t SET name = 'new' WHERE id BETWEEN 160 AND 162",
                   "UPDATE t SET name = 'old' WHERE ts < now() AND id = 170", "DELETE FROM t WHERE p = 1 AND s.a = 171",
                   "MERGE INTO t USING (VALUES (180, 1), (390, 1)) q(id, p) ON t.id = q.id AND t.p = q.p WHEN MATCHED THEN DELETE",
                   "MERGE INTO t USING (SELECT i::INT AS i FROM range(190, 193) r(i)) q ON q.i = t.id WHEN MATCHED THEN UPDATE SET name = 'm' "
                   "WHEN NOT MATCHED THEN INSERT (id) VALUES (i)",
                   "INSERT INTO t REPLACE WHERE id = 199 SELECT 199, * EXCLUDE (id, p), 2 FROM t WHERE id = 198",
                   "INSERT INTO t REPLACE USING (id) SELECT * FROM t WHERE id = 197")
        assert [r["num_affected_rows"] for r in done.rows()] == [1, 3, 1, 1, 2, 3, 1, 1]
    assert rows(sluice, folder, "SELECT count(*), count(*) FILTER (name = 'new'), count(*) FILTER (name = 'm'), sum(id) FROM t") == [
        (1200 - 4, 3, 3, 719400 - 150 - 171 - 180 - 390)]
    kinds = rows(sluice, folder, "SELECT _change_type, count(*) FROM table_changes('t', 13) GROUP BY ALL ORDER BY ALL")
    assert dict(kinds)["update_preimage"] == 7 and dict(kinds)["delete"] >= 4


def test_insert_only_merge_opens_nothing(sluice, table):
    with Without(table, set()):
        done = sql(sluice, table, "MERGE INTO t USING (SELECT i FROM range(5000, 25000) r(i)) s ON t.id = s.i WHEN NOT MATCHED THEN INSERT (id) VALUES (i)",
                   "MERGE INTO t USING (SELECT 1 AS i WHERE false) s ON t.id = s.i WHEN MATCHED THEN DELETE")
        assert [r["num_affected_rows"] for r in done.rows()] == [20000, 0]
    sql(sluice, table, "MERGE INTO t USING (SELECT 5 AS i) s ON t.id = s.i WHEN NOT MATCHED BY SOURCE AND p = 2 THEN DELETE")
    assert rows(sluice, table, "SELECT count(*) FROM t") == [(20800,)]


def test_dynamic_overwrite_opens_its_partitions(sluice, table):
    with Without(table, {400, 500, 600, 700}):
        sql(sluice, table, "SET partition_overwrite_mode = dynamic", "INSERT OVERWRITE t SELECT * FROM t WHERE id = 450")
    assert rows(sluice, table, "SELECT p, count(*) FROM t GROUP BY p ORDER BY p") == [(1, 400), (2, 1), (None, 400)]


def test_the_feed_and_row_ids(sluice, folder):  # noqa: F811
    make(sluice, folder, properties="TBLPROPERTIES ('delta.enableRowTracking' = 'true')")
    path = f"{folder.path}/public/t"
    with Without(folder, {100}):
        assert rows(sluice, folder, f"SELECT id, __row_id FROM delta_scan('{path}', row_ids => true) WHERE id = 150") == [(150, 150)]
    assert rows(sluice, folder, f"SELECT count(*) FROM delta_scan('{path}', row_ids => true) WHERE __row_id < 5") == [(5,)]


# ---- random queries ----

def literal(dice, column, i):
    value = {
        "id": f"{i}", "small": f"{i % 300 - 150}", "name": f"'n{i:05d}{'é' * dice.randrange(40)}'",
        "day": f"DATE '2024-01-01' + {i // 10}", "ts": f"TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_microseconds({i * 333333 + dice.randrange(3) - 1})",
        "clock": f"TIMESTAMP '2024-01-01 00:00:00' + to_microseconds({i * 333333 + dice.randrange(3) - 1})",
        "price": f"{i / 7:.2f}", "big": f"{i}::HUGEINT * 1e20::HUGEINT / 7", "x": dice.choice([f"{i} / 3.0", f"{i}", "'nan'::DOUBLE", "'inf'::DOUBLE"]),
        "r": dice.choice([f"CAST({i} / 3.0 AS FLOAT)", f"{i}", "'nan'::FLOAT"]), "live": dice.choice(["true", "false"]), "s.a": f"{i}",
        "s.b.c": f"'c{i}'", "p": dice.choice("123")}[column]
    return dice.choice([value, value, value, "NULL"]) if dice.random() < 0.1 else value


def condition(dice, depth=0):
    column = dice.choice(["id", "small", "name", "day", "ts", "clock", "price", "big", "x", "r", "live", "s.a", "s.b.c", "p", "p"])

    def value():
        return literal(dice, column, dice.randrange(-20, 1220))

    kind = dice.randrange(12)
    if depth < 3 and kind < 4:
        word = dice.choice([" AND ", " OR "])
        return dice.choice(["", "NOT "]) + "(" + word.join(condition(dice, depth + 1) for _ in range(dice.randint(2, 3))) + ")"
    if kind < 8:
        op = dice.choice(["=", "=", "<", "<=", ">", ">=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"])
        return f"({column} {op} {value()})"
    if kind == 8:
        return f"{column} {dice.choice(['IN', 'NOT IN'])} ({', '.join(value() for _ in range(dice.randint(1, 9)))})"
    if kind == 9:
        return f"({column} BETWEEN {value()} AND {value()})"
    if kind == 10:
        return f"({column} {dice.choice(['IS NULL', 'IS NOT NULL'])})"
    text = f"n0{dice.randrange(13):02d}{dice.choice(['', '1', '2%', '_3'])}%"
    return dice.choice([f"name LIKE '{text}'", f"starts_with(name, '{text[:3]}')", f"ts::DATE >= DATE '2024-01-{dice.randint(1, 3):02d}'",
                        f"price > {dice.randrange(200)}::DOUBLE", "live", f"id + 1 < {dice.randrange(1200)}", f"id::DOUBLE <= {dice.randrange(1200)}"])


@pytest.mark.parametrize("seed", range(4))
def test_skipping_changes_no_result(sluice, folder, seed):  # noqa: F811
    dice = random.Random(seed)
    mapping = "TBLPROPERTIES ('delta.columnMapping.mode' = 'name')" if seed % 2 else ""
    sql(sluice, folder, f"CREATE TABLE t ({COLUMNS}, p INT) PARTITIONED BY (p) {mapping}")
    names = [c for c in re.findall(r"(?:^|, *)\s*(\w+) [A-Z]", COLUMNS)]
    inserts = []
    for i in range(12):  # NULLs in some files, in all rows of others
        nulls = dice.sample(names, 3)
        select = ", ".join(f"CASE WHEN random() < {dice.choice([0.1, 2])} THEN NULL ELSE {n} END AS {n}" if n in nulls else n for n in names)
        inserts.append(f"INSERT INTO t SELECT {select}, {dice.choice(['1', '2', 'NULL'])} AS p FROM (SELECT {VALUES} FROM range({i * 100}, {i * 100 + 100}) q(i)) "
                       f"v({', '.join(names)})")
    sql(sluice, folder, *inserts, "DELETE FROM t WHERE id % 100 IN (0, 1, 50, 98, 99) AND p IS NOT NULL")
    conditions = [condition(dice) for _ in range(150)]
    ask = [f"SELECT {k} AS k, count(*) AS n, sum(id) AS ids, count(name) AS names FROM t WHERE {c}" for k, c in enumerate(conditions)]
    whole = [f"{q[:q.index(' WHERE ')]} WHERE ({q[q.index(' WHERE ') + 7:]}) OR random() < -1" for q in ask]
    got, expected = (sql(sluice, folder, *qs).rows() for qs in (ask, whole))
    assert [r for r in got if r not in expected] == [], [conditions[r["k"]] for r in got if r not in expected]
    read = files_read(sluice, folder, *ask)
    assert sum(read) < 150 * 12 * 0.7 and max(files_read(sluice, folder, *whole[:3])) == 12


def test_tables_of_delta_rs_and_what_polars_makes_of_them(sluice, folder):  # noqa: F811
    import deltalake
    import polars as pl
    import pyarrow as pa

    path = folder.path / "public" / "t"
    path.parent.mkdir(parents=True)
    dice = random.Random(7)
    for k in range(8):
        n = [k * 50 + i for i in range(50)]
        deltalake.write_deltalake(path, pa.table({
            "id": pa.array(n, pa.int64()), "x": pa.array([float("nan") if dice.random() < 0.05 else v / 3 for v in n], pa.float64()),
            "name": pa.array([None if dice.random() < 0.1 else f"n{v:04d}" + "z" * (v % 60) for v in n], pa.string()),
            "ts": pa.array([v * 333333 for v in n], pa.timestamp("us", "UTC")), "p": pa.array([f"p{k % 3}"] * 50, pa.string()),
            "s": pa.array([{"a": v} for v in n], pa.struct([("a", pa.int32())]))}), partition_by=["p"], mode="append")
    frame, conditions = pl.scan_delta(str(path)).collect(), {}
    for _ in range(25):
        a, b = sorted(dice.sample(range(400), 2))
        for text, keep in ((f"id BETWEEN {a} AND {b}", pl.col("id").is_between(a, b)),
                           (f"s.a > {a}", pl.col("s").struct.field("a") > a),
                           (f"name >= 'n{a:04d}zz'", pl.col("name") >= f"n{a:04d}zz"),
                           (f"name IS NULL AND id < {a}", pl.col("name").is_null() & (pl.col("id") < a)),
                           (f"x <= {a / 3}", pl.col("x") <= a / 3), (f"x = {a / 3}", pl.col("x") == a / 3),
                           (f"p = 'p1' AND id <> {a}", (pl.col("p") == "p1") & (pl.col("id") != a)),
                           (f"ts < make_timestamp({a * 333333 + 1})::TIMESTAMPTZ", pl.col("id") <= a)):
            conditions[text] = keep
    got = sql(sluice, folder, *(f"SELECT count(*) AS n, coalesce(sum(id), 0) AS ids FROM t WHERE {c}" for c in conditions)).rows()
    for (text, keep), row in zip(conditions.items(), got):
        kept = frame.filter(keep)
        assert row == {"n": kept.height, "ids": kept["id"].sum()}, text
    assert sum(files_read(sluice, folder, *(f"SELECT * FROM t WHERE {c}" for c in conditions))) < len(conditions) * 8 * 0.7


# ---- Spark's own tables ----

SPARK = sorted((SHARED / "corpora" / "kernel-golden").glob("data-skipping-basic-stats*.tar.zst"))


@pytest.mark.skipif(not SPARK, reason=f"no golden tables in {SHARED}")
@pytest.mark.parametrize("archive", SPARK, ids=lambda a: a.name.removesuffix(".tar.zst"))
def test_statistics_of_spark(sluice, tmp_path, archive):
    """Tables of one row: every value is 0, or what stands for it in its type (ScanSuite's)."""
    subprocess.run(["tar", "--zstd", "-xf", archive, "-C", tmp_path], check=True, stderr=subprocess.DEVNULL)
    root = next(tmp_path.rglob("_delta_log")).parent
    columns = [(r["column_name"], r["column_type"]) for r in sluice.run("sql", "--format", "json", "-c", f"DESCRIBE (FROM delta.`{root}`)").rows()]
    row = sluice.run("sql", "--format", "csv", "-c", f"SELECT * FROM delta.`{root}`").out.splitlines()[1].split(",")
    hits, misses = [], []
    for (name, kind), value in zip(columns, row):
        if kind in ("BOOLEAN", "BLOB") or kind.startswith("STRUCT"):
            continue
        typed = f"CAST('{value}' AS {kind})"
        hits += [f'"{name}" = {typed}', f'"{name}" >= {typed}', f'"{name}" <= {typed}', f'"{name}" IS NOT NULL']
        misses += [f'"{name}" < {typed}', f'"{name}" IS NULL']
        if kind not in ("FLOAT", "DOUBLE", "VARCHAR"):
            misses += [f'"{name}" > {typed} + {"INTERVAL 1 MILLISECOND" if "TIME" in kind else 1}']
    done = sluice.run("sql", "--format", "json", "-c", ";".join(f"SELECT count(*) AS n FROM delta.`{root}` WHERE {c}" for c in hits + misses))
    assert [r["n"] for r in done.rows()] == [1] * len(hits) + [0] * len(misses)
    for data in root.rglob("*.parquet"):
        if data.parent.name != "_delta_log":
            data.unlink()
    done = sluice.run("sql", "--format", "json", "-c", ";".join(f"SELECT * FROM delta.`{root}` WHERE {c}" for c in misses))
    assert done.rows() == []
    for c in hits[:4]:
        assert sluice.run("sql", "-c", f"SELECT * FROM delta.`{root}` WHERE {c}", code=None).code != 0
