"""SQL that changes tables: every outcome is compared with a model in Python, as delta-rs, Polars and sluice read it."""
import os
import random
import shutil
from pathlib import Path

import pytest

from lib.sluice import REFUSED, ROOT, USAGE

SPARK = Path(os.environ.get("SLUICE_SHARED", ROOT.parent / "shared")) / "fixtures" / "spark-delta"


def sql(sluice, lake, *statements, code=0):
    return sluice.run("sql", lake, "--format", "json", "-c", ";\n".join(statements), code=code)


def rows(sluice, lake, query):
    return [tuple(r.values()) for r in sql(sluice, lake, query).rows()]


def assert_rows(sluice, lake, table, expected):
    expected = sorted(expected, key=repr)
    for reader in ("delta-rs", "polars", "sluice"):
        got = sorted(map(tuple, lake.read(table, reader=reader).rows), key=repr)
        assert got == expected, reader


@pytest.fixture
def folder(lake):
    lake.path.mkdir(parents=True, exist_ok=True)
    return lake


class Model:
    """id -> (v, p), and the statements that make it so."""

    def __init__(self, seed):
        self.random, self.rows, self.next = random.Random(seed), {}, 1

    def insert(self):
        new = {self.next + i: (f"n{self.next + i}", self.random.choice("abc")) for i in range(self.random.randint(1, 30))}
        self.next += len(new)
        self.rows.update(new)
        return "INSERT INTO t VALUES " + ", ".join(f"({k}, '{v}', '{p}')" for k, (v, p) in new.items())

    def delete(self):
        m, r = self.random.randint(2, 9), self.random.randint(0, 8)
        self.rows = {k: x for k, x in self.rows.items() if k % m != r}
        return f"DELETE FROM t WHERE id % {m} = {r}"

    def update(self):
        m, r, p = self.random.randint(2, 9), self.random.randint(0, 8), self.random.choice("abc")
        self.rows = {k: ((v + "!", p) if k % m == r else (v, q)) for k, (v, q) in self.rows.items()}
        return f"UPDATE t SET v = v || '!', p = '{p}' WHERE id % {m} = {r}"

    def merge(self):
        lo, n = self.random.randint(1, self.next), self.random.randint(1, 40)
        for k in range(lo, lo + n):
            if k in self.rows and k % 3 == 0:
                del self.rows[k]
            elif k in self.rows:
                self.rows[k] = (f"m{k}", self.rows[k][1])
            elif k % 2:
                self.rows[k] = (f"i{k}", "c")
        self.next = max(self.next, lo + n)
        gone = {k for k in self.rows if not lo <= k < lo + n and k % 11 == 5}
        self.rows = {k: x for k, x in self.rows.items() if k not in gone}
        return (f"MERGE INTO t USING (SELECT i AS id FROM range({lo}, {lo + n}) r(i)) s ON t.id = s.id "
                "WHEN MATCHED AND s.id % 3 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = 'm' || s.id "
                "WHEN NOT MATCHED AND s.id % 2 = 1 THEN INSERT (id, v, p) VALUES (s.id, 'i' || s.id, 'c') "
                "WHEN NOT MATCHED BY SOURCE AND t.id % 11 = 5 THEN DELETE")

    def step(self):
        return self.random.choice([self.insert, self.delete, self.update, self.merge])()

    def expected(self):
        return [(k, v, p) for k, (v, p) in self.rows.items()]


@pytest.mark.parametrize("vectors", ["true", "false"])
@pytest.mark.parametrize("partitioned", ["", "PARTITIONED BY (p)"])
def test_random_statements_equal_the_model(sluice, folder, vectors, partitioned):
    model = Model(f"{vectors}{partitioned}")
    sql(sluice, folder, f"CREATE TABLE t (id BIGINT NOT NULL, v STRING, p STRING) {partitioned} "
                        f"TBLPROPERTIES ('delta.enableDeletionVectors' = '{vectors}')")
    for _ in range(4):
        sql(sluice, folder, *[model.step() for _ in range(6)])
        assert_rows(sluice, folder, "t", model.expected())


def fold_changes(folder, name):
    """The rows that the change data feed adds up to, as delta-rs reads it."""
    import pyarrow as pa
    from deltalake import DeltaTable
    changes = pa.table(DeltaTable(str(folder.table_path(name))).load_cdf(starting_version=0).read_all()).to_pylist()
    order = {"update_preimage": 0, "delete": 0, "insert": 1, "update_postimage": 1}
    state = {}
    for c in sorted(changes, key=lambda c: (c["_commit_version"], order[c["_change_type"]])):
        row = (c["id"], c["v"], c["p"])
        if order[c["_change_type"]]:
            assert c["id"] not in state
            state[c["id"]] = row
        else:
            assert state.pop(c["id"]) == row
    return sorted(state.values())


def test_change_data_feed_adds_up_to_the_table(sluice, folder):
    model = Model("cdf")
    sql(sluice, folder, "CREATE TABLE t (id BIGINT, v STRING, p STRING) TBLPROPERTIES "
                        "('delta.enableDeletionVectors' = 'false', 'delta.enableChangeDataFeed' = 'true')",
        *[model.step() for _ in range(15)])
    assert fold_changes(folder, "t") == sorted(model.expected())


def test_masked_rows_stay_away_however_few_rows_a_filter_leaves(sluice, folder):
    deleted = "(id % 10 = 3 OR id BETWEEN 20000 AND 31000 OR id > 99990)"
    sql(sluice, folder, "CREATE TABLE t (id INT, v INT)", "INSERT INTO t SELECT i, hash(i) % 5000 FROM range(100000) r(i)",
        f"DELETE FROM t WHERE {deleted}")
    for condition in ("v < 1", "v < 50", "v < 2500", "v <> 7", "id % 3 = 0", "id > 99900", "v < 100 OR id < 40"):
        wanted = f"SELECT count(*) AS n, sum(i) AS s FROM (SELECT i, i AS id, hash(i) % 5000 AS v FROM range(100000) r(i)) WHERE ({condition}) AND NOT {deleted}"
        assert rows(sluice, folder, f"SELECT count(*) AS n, sum(id) AS s FROM t WHERE {condition}") == rows(sluice, folder, wanted), condition


def test_merge_refuses_a_row_matched_twice(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, v STRING)", "INSERT INTO t VALUES (1, 'a')")
    done = sql(sluice, folder, "MERGE INTO t USING (VALUES (1, 'x'), (1, 'y')) s(id, v) ON t.id = s.id "
                               "WHEN MATCHED THEN UPDATE SET v = s.v", code=USAGE)
    assert "matches several rows of the source" in done.err
    assert_rows(sluice, folder, "t", [(1, "a")])


def test_failed_statement_leaves_nothing_behind(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, v STRING, CONSTRAINT pos CHECK (id > 0)) PARTITIONED BY (v)",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    before = {p for p in folder.path.rglob("*") if p.is_file()}
    for bad in ("INSERT INTO t VALUES (3, 'c'), (-1, 'd')", "UPDATE t SET id = -id", "INSERT INTO t SELECT 1/0, 'x'",
                "UPDATE t SET nope = 1", "DELETE FROM t WHERE nope", "INSERT INTO t VALUES (1)"):
        assert sql(sluice, folder, bad, code=USAGE).err
    assert {p for p in folder.path.rglob("*") if p.is_file()} == before


def test_constraint_errors_name_rule_and_row(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT NOT NULL, s STRUCT<a: INT NOT NULL>, c VARCHAR(3), v INT, "
                        "CONSTRAINT pos CHECK (v > 0))")
    for values, expected in {
        "(NULL, NULL, 'x', 1)": "NOT NULL constraint of column id",
        "(1, {'a': NULL}, 'x', 1)": "NOT NULL constraint of column s.a",
        "(1, NULL, 'xxxx', 1)": "length of column c",
        "(1, NULL, 'xx   ', 1)": "length of column c",
        "(1, NULL, 'x', -1)": "CHECK constraint pos (v > 0)",
        "(1, NULL, 'x', NULL)": "CHECK constraint pos (v > 0)",
    }.items():
        done = sql(sluice, folder, f"INSERT INTO t VALUES {values}", code=USAGE)
        assert expected in done.err and "1 row: {" in done.err
    sql(sluice, folder, "INSERT INTO t VALUES (1, NULL, 'xx ', 1)")
    assert rows(sluice, folder, "FROM t") == [(1, None, "xx ", 1)]


def test_columns_are_added_renamed_dropped_widened_moved(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT, b STRING) TBLPROPERTIES ('delta.columnMapping.mode' = 'name', "
                        "'delta.enableTypeWidening' = 'true')", "INSERT INTO t VALUES (1, 'x')",
        "ALTER TABLE t ADD COLUMN c STRUCT<d: INT> FIRST", "ALTER TABLE t RENAME COLUMN b TO b2",
        "ALTER TABLE t ALTER COLUMN a TYPE BIGINT", "ALTER TABLE t ADD COLUMN c.e STRING",
        "INSERT INTO t VALUES ({'d': 5, 'e': 'q'}, 5000000000, 'y')", "ALTER TABLE t DROP COLUMN c.d",
        "ALTER TABLE t ALTER COLUMN a FIRST")
    expected = [{"a": 1, "c": None, "b2": "x"}, {"a": 5000000000, "c": {"e": "q"}, "b2": "y"}]
    assert sorted(sql(sluice, folder, "FROM t").rows(), key=lambda r: r["a"]) == expected


def test_restore_and_vacuum(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT) TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 0 hours')",
        "INSERT INTO t SELECT i FROM range(10) r(i)", "DELETE FROM t WHERE id < 5", "INSERT INTO t VALUES (100)",
        "RESTORE t TO VERSION AS OF 2")
    assert_rows(sluice, folder, "t", [(i,) for i in range(5, 10)])
    sql(sluice, folder, "VACUUM t")
    assert_rows(sluice, folder, "t", [(i,) for i in range(5, 10)])
    assert len(list(folder.table_path("t").glob("*.parquet"))) == 1
    assert "is gone" in sql(sluice, folder, "RESTORE t TO VERSION AS OF 3", code=USAGE).err


@pytest.mark.parametrize("setting,message", [("id = nocol", "nocol"), ("id = 1, id = 2", "twice"), ("s.a = 1, s = NULL", "twice"), ("g = 5", "identity column"),
                                             ("s.b = 1", "no field"), ("id = id + [1]", "INTEGER")])
def test_an_update_of_no_row_must_make_sense(sluice, folder, setting, message):
    sql(sluice, folder, "CREATE TABLE t (id INT, s STRUCT<a: INT>, g BIGINT GENERATED ALWAYS AS IDENTITY)")
    assert message in sql(sluice, folder, f"UPDATE t SET {setting}", code=USAGE).err  # an empty table
    sql(sluice, folder, "INSERT INTO t (id) VALUES (1)")
    assert message in sql(sluice, folder, f"UPDATE t SET {setting} WHERE id > 5", code=USAGE).err
    sql(sluice, folder, "UPDATE t SET id = id + 1, s.a = 2 WHERE id > 5")
    assert folder.version("t") == 1


def test_vacuum_keeps_what_older_versions_need(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)", "INSERT OVERWRITE t VALUES (2)", "VACUUM t")
    assert rows(sluice, folder, "FROM t VERSION AS OF 1") == [(1,)]
    assert "less than" in sql(sluice, folder, "VACUUM t RETAIN 0 HOURS", code=USAGE).err


def test_create_table_as_keeps_types(sluice, folder):
    sql(sluice, folder, "CREATE TABLE s.t PARTITIONED BY (p) AS SELECT 1::TINYINT a, 2.50::DECIMAL(5,2) b, "
                        "DATE '2024-02-29' c, TIMESTAMP '2024-01-01 00:00:00' d, [1, 2] e, 'x' p")
    assert folder.schema("s.t") == {"a": "byte", "b": "decimal(5,2)", "c": "date", "d": "timestamp_ntz",
                                    "e": ("array", "integer"), "p": "string"}


def test_an_append_only_table_refuses_also_what_would_change_no_row(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT) TBLPROPERTIES ('delta.appendOnly' = 'true')", "INSERT INTO t VALUES (1)", "CREATE TABLE e LIKE t")
    for text in ("DELETE FROM t WHERE a = 9", "UPDATE t SET a = 2 WHERE a = 9", "DELETE FROM t", "INSERT OVERWRITE e VALUES (1)", "INSERT INTO t REPLACE WHERE a = 9 VALUES (9)",
                 "MERGE INTO t USING (SELECT 1 AS a) AS s ON t.a = s.a WHEN NOT MATCHED BY SOURCE THEN DELETE"):
        assert "append-only" in sql(sluice, folder, text, code=REFUSED).err
    sql(sluice, folder, "MERGE INTO t USING (SELECT 5 AS a) AS s ON t.a = s.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT *")


@pytest.mark.parametrize("feature, statement", [
    ("append_only", "DELETE FROM t WHERE id = 1"), ("append_only", "UPDATE t SET id = 2"),
    ("check_constraints", "INSERT INTO t VALUES (3, -1, null)"),
    ("check_constraints", "INSERT INTO t VALUES (3, null, null)"),
    ("check_constraints", "INSERT INTO t VALUES (null, 1, null)"),
    ("check_constraints", "ALTER TABLE t ADD CONSTRAINT v_big CHECK (v > 10)"),
    ("drop_not_null_comment", "INSERT INTO t VALUES (2, {'a': 1}, 'abcdefg', 'x')"),
    ("drop_not_null_comment", "INSERT INTO t VALUES (2, {'a': null}, 'a', 'x')"),
    ("generated_columns", "INSERT INTO t (id, ts, s, d) VALUES (4, TIMESTAMP '2025-03-04 05:06:07', 'x', DATE '2025-03-05')"),
    ("identity_columns", "INSERT INTO t (a, v) VALUES (1, 'no')"),
])
def test_what_spark_refuses_is_refused(sluice, folder, feature, statement):
    if not SPARK.exists():
        pytest.skip("the tables recorded from Spark are not here (SLUICE_SHARED)")
    shutil.copytree(SPARK / feature / "table", folder.table_path("t"))
    version = folder.version("t")
    assert sql(sluice, folder, statement, code=(USAGE, REFUSED)).err
    assert folder.version("t") == version
