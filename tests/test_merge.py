"""MERGE: every combination of clauses against a model, schema evolution, what Spark's history would say."""
import itertools
import json
import os
import random
from pathlib import Path

import pytest

from lib.sluice import REFUSED, ROOT, USAGE
from test_dml import folder, sql  # noqa: F401
from test_nested_alter import field

SPARK = Path(os.environ.get("SLUICE_SHARED", ROOT.parent / "shared")) / "fixtures" / "spark-delta"

# A clause: its text, when it holds (target row or None, source row or None), and what it makes of the row.
MATCHED = [
    ("WHEN MATCHED AND s.v > 60 THEN DELETE", lambda t, s: s > 60, lambda t, s: None),
    ("WHEN MATCHED AND t.v % 2 = 0 THEN UPDATE SET v = t.v + s.v", lambda t, s: t % 2 == 0, lambda t, s: t + s),
    ("WHEN MATCHED THEN UPDATE SET *", lambda t, s: True, lambda t, s: s),
    ("WHEN MATCHED AND s.v < 20 THEN DO NOTHING", lambda t, s: s < 20, lambda t, s: t),
]
NOT_MATCHED = [
    ("WHEN NOT MATCHED AND s.v < 50 THEN INSERT (id, v) VALUES (id, -v)", lambda s: s < 50, lambda s: -s),
    ("WHEN NOT MATCHED AND s.id % 7 = 0 THEN DO NOTHING", lambda s: False, None),
    ("WHEN NOT MATCHED BY TARGET THEN INSERT *", lambda s: True, lambda s: s),
]
BY_SOURCE = [
    ("WHEN NOT MATCHED BY SOURCE AND t.v > 70 THEN DELETE", lambda t: t > 70, lambda t: None),
    ("WHEN NOT MATCHED BY SOURCE AND id % 3 = 0 THEN UPDATE SET v = 0 - t.v", None, lambda t: -t),
    ("WHEN NOT MATCHED BY SOURCE AND t.v < 30 THEN UPDATE SET v = t.v + 1000", lambda t: t < 30, lambda t: t + 1000),
]


def merged(target, source, clauses):
    out = {}
    for k in sorted(set(target) | set(source)):
        t, s = target.get(k), source.get(k)
        if t is not None and s is not None:
            hit = next((c for c in clauses if c in MATCHED and c[1](t, s)), None)
            value = hit[2](t, s) if hit else t
        elif s is not None:
            hit = next((c for c in clauses if c in NOT_MATCHED and (k % 7 == 0 if c[2] is None else c[1](s))), None)
            value = hit[2](s) if hit and hit[2] else None
        else:
            hit = next((c for c in clauses if c in BY_SOURCE and (k % 3 == 0 if c[1] is None else c[1](t))), None)
            value = hit[2](t) if hit else t
        if value is not None:
            out[k] = value
    return out


@pytest.mark.parametrize("vectors", ["true", "false"])
def test_clauses_in_every_combination(sluice, folder, vectors):
    dice, statements, target = random.Random(vectors), [], {i: i for i in range(80)}
    sql(sluice, folder, f"CREATE TABLE t (id INT, v INT) TBLPROPERTIES ('delta.enableDeletionVectors' = '{vectors}')",
        "INSERT INTO t SELECT i, i FROM range(80) r(i)")
    combinations = [c for n in (1, 2, 4, 6) for c in itertools.combinations(MATCHED + NOT_MATCHED + BY_SOURCE, n)]
    for clauses in dice.sample(combinations, 12):
        clauses = sorted(clauses, key=lambda c: " AND " not in c[0].split("THEN")[0])  # those without a condition last
        lo, n = dice.randrange(100), dice.randrange(1, 60)
        source = {k: dice.randrange(100) for k in range(lo, lo + n)}
        target = merged(target, source, clauses)
        statements.append("MERGE INTO t USING (VALUES " + ", ".join(f"({k}, {v})" for k, v in source.items()) +
                          ") s(id, v) ON t.id = s.id " + " ".join(c[0] for c in clauses))
        statements.append("INSERT INTO t BY NAME SELECT 0 id, 5 v WHERE NOT EXISTS (SELECT 1 FROM t WHERE id = 0)")
        target.setdefault(0, 5)
    sql(sluice, folder, *statements)
    for reader in ("delta-rs", "sluice"):
        assert dict(folder.read("t", reader=reader).rows) == target


def table(sluice, lake, **properties):
    properties = ", ".join(f"'delta.{k}' = '{v}'" for k, v in ({"enableDeletionVectors": "false"} | properties).items())
    sql(sluice, lake, f"CREATE TABLE t (id INT, v STRING, s STRUCT<a: INT>) TBLPROPERTIES ({properties})",
        "INSERT INTO t VALUES (1, 'a', {'a': 10}), (2, 'b', {'a': 20})")


def by_id(sluice, lake):
    return {r.pop("id"): r for r in sql(sluice, lake, "FROM t").rows()}


SOURCE = "(VALUES (2, 'B', {'b': 'x', 'a': 21}, 1.5::DECIMAL(4,2)), (3, 'C', {'b': 'y', 'a': 31}, 2.5)) src(id, v, s, price)"


@pytest.mark.parametrize("mapping", ["none", "name"])
def test_schema_evolution_adds_columns_and_what_is_inside_them(sluice, folder, mapping):
    table(sluice, folder, **{"columnMapping.mode": mapping})
    sql(sluice, folder, f"MERGE WITH SCHEMA EVOLUTION INTO t USING {SOURCE} ON t.id = src.id "
                        "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *")
    rows = json.loads(json.dumps(by_id(sluice, folder)))
    assert rows == {"1": {"v": "a", "s": {"a": 10, "b": None}, "price": None},
                    "2": {"v": "B", "s": {"a": 21, "b": "x"}, "price": 1.5},
                    "3": {"v": "C", "s": {"a": 31, "b": "y"}, "price": 2.5}}
    assert len(list(folder.log("t"))) == 3, "the columns came with the commit of the MERGE"
    other = {r[0]: r[1:] for r in folder.read("t", reader="delta-rs").rows}
    assert other[1][2] is None and str(other[3][2]) == "2.50"
    sql(sluice, folder, "UPDATE t SET price = 9 WHERE id = 1", "DELETE FROM t WHERE s.b = 'x'")
    assert sorted(by_id(sluice, folder)) == [1, 3]


def test_schema_evolution_adds_only_what_a_clause_gives(sluice, folder):
    table(sluice, folder)
    sql(sluice, folder, f"MERGE WITH SCHEMA EVOLUTION INTO t USING {SOURCE} ON t.id = src.id "
                        "WHEN MATCHED THEN UPDATE SET v = src.v")
    assert list(folder.schema("t")) == ["id", "v", "s"]
    sql(sluice, folder, f"MERGE WITH SCHEMA EVOLUTION INTO t USING {SOURCE} ON t.id = src.id "
                        "WHEN MATCHED THEN UPDATE SET price = src.price")
    assert list(folder.schema("t")) == ["id", "v", "s", "price"]
    assert by_id(sluice, folder)[2]["v"] == "B" and float(by_id(sluice, folder)[2]["price"]) == 1.5


def test_schema_evolution_keeps_columns_that_the_source_lacks(sluice, folder):
    table(sluice, folder)
    sql(sluice, folder, "MERGE WITH SCHEMA EVOLUTION INTO t USING (VALUES (2, true), (3, false)) src(id, flag) ON t.id = src.id "
                        "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *")
    assert by_id(sluice, folder) == {1: {"v": "a", "s": {"a": 10}, "flag": None}, 2: {"v": "b", "s": {"a": 20}, "flag": True},
                                     3: {"v": None, "s": None, "flag": False}}


@pytest.mark.parametrize("vectors", ["true", "false"])
def test_update_star_keeps_fields_that_the_source_lacks(sluice, folder, vectors):
    """As Spark does, at any depth; of a list and a map, and by an assignment that names the column, the whole value is new."""
    whole = {"a": 1, "b": "x", "m": {"x": 1, "y": "p"}}
    sql(sluice, folder, "CREATE TABLE t (id INT, n STRUCT<a: INT, b: STRING, m: STRUCT<x: INT, y: STRING>>, l STRUCT<v: INT, w: INT>[]) "
                        f"TBLPROPERTIES ('delta.enableDeletionVectors' = '{vectors}')",
        f"INSERT INTO t SELECT i, CASE WHEN i % 2 = 1 THEN {whole} END, [{{'v': 1, 'w': 2}}] FROM range(1, 13) r(i)")
    star = "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    for ids, n, clauses in (
            ("1, 2, 20", "{'b': 'S', 'new': 5}", star), ("3, 4", "{'m': {'y': 'S'}}", star), ("5, 6, 30", "NULL::STRUCT(m STRUCT(y VARCHAR))", star),
            ("7, 8", "NULL::STRUCT(a INT, b VARCHAR, m STRUCT(x INT, y VARCHAR), new INT)", star), ("9, 10", "{'b': 'S'}", "WHEN MATCHED THEN UPDATE SET n = s.n"),
            ("11, 12", "{'b': 'S'}", "WHEN MATCHED THEN UPDATE SET n.m = {'y': s.n.b}")):
        sql(sluice, folder, f"MERGE WITH SCHEMA EVOLUTION INTO t USING (SELECT unnest([{ids}]) AS id, {n} AS n, [{{'w': 3}}] AS l) AS s ON t.id = s.id {clauses}")
    row = lambda a=None, b=None, m=None, new=None: {"a": a, "b": b, "m": m, "new": new}  # noqa: E731
    inner = lambda x=None, y=None: {"x": x, "y": y}  # noqa: E731
    rows = by_id(sluice, folder)
    assert {k: r["n"] for k, r in rows.items()} == {
        1: row(1, "S", inner(1, "p"), 5), 2: row(b="S", new=5), 20: row(b="S", new=5), 3: row(1, "x", inner(1, "S")), 4: row(m=inner(y="S")),
        5: row(1, "x", inner(1)), 6: None, 30: None, 7: None, 8: None, 9: row(b="S"), 10: row(b="S"), 11: row(1, "x", inner(y="S")), 12: row(m=inner(y="S"))}
    assert rows[1]["l"] == [{"v": None, "w": 3}] and rows[9]["l"] == [{"v": 1, "w": 2}]


WIDER = ("5000000000::BIGINT AS k, 1.2345::DECIMAL(10,4) AS d, 0.1::DOUBLE AS f, 1.5::DOUBLE AS i, {'a': [70000::INT], 'b': MAP {'k': 1.5::DECIMAL(12,1)}} AS n, "
         "1.23456::DECIMAL(6,5) AS e")
EVOLVING = {"MERGE": "MERGE WITH SCHEMA EVOLUTION INTO t USING (SELECT 1 AS id, {}) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *",
            "INSERT": "INSERT WITH SCHEMA EVOLUTION INTO t BY NAME SELECT 1 AS id, {}"}


@pytest.mark.parametrize("statement", EVOLVING)
def test_schema_evolution_widens_types_where_the_table_lets_it(sluice, folder, statement):
    for on in ("true", "false"):
        sql(sluice, folder, "CREATE OR REPLACE TABLE t (id INT, k SMALLINT, d DECIMAL(6,2), f FLOAT, i INT, n STRUCT<a: SMALLINT[], b: MAP(VARCHAR, INT)>, e DECIMAL(6,2)) "
                            f"TBLPROPERTIES ('delta.enableTypeWidening' = '{on}')",
            "INSERT INTO t VALUES (2, 3, 4.25, 1.5, 7, {'a': [1], 'b': MAP {'k': 2}}, 1.25)" + ", (1, 0, 0, 0, 0, NULL, 0)" * (statement == "MERGE"))
        text = EVOLVING[statement].format(WIDER if on == "true" else "1.2345::DECIMAL(10,4) AS d, 1.5::DOUBLE AS i")
        sql(sluice, folder, text)
        rows = sql(sluice, folder, "SELECT * FROM t ORDER BY id").rows()
        if on == "true":
            assert rows == [{"id": 1, "k": 5000000000, "d": 1.2345, "f": 0.1, "i": 1.5, "n": {"a": [70000], "b": {"k": 1.5}}, "e": 1.23},
                            {"id": 2, "k": 3, "d": 4.25, "f": 1.5, "i": 7.0, "n": {"a": [1], "b": {"k": 2.0}}, "e": 1.25}]
            for path, change in ((("n", "a"), ("short", "integer", "element")), (("n", "b"), ("integer", "decimal(12,1)", "value")), (("d",), ("decimal(6,2)", "decimal(10,4)"))):
                told = field(folder, "t", *path)["metadata"]["delta.typeChanges"]
                assert told == [dict(zip(("fromType", "toType", "fieldPath"), change))]
            sql(sluice, folder, "UPDATE t SET d = d + 0.0001", "OPTIMIZE t")
            assert [r["d"] for r in sql(sluice, folder, "SELECT d FROM t ORDER BY id").rows()] == [1.2346, 4.2501]
        else:
            assert rows[0]["d"] == 1.23 and rows[0]["i"] == 1 and folder.schema("t")["d"] == "decimal(6,2)"


@pytest.mark.parametrize("clause", ["WHEN MATCHED THEN UPDATE SET n = s.o", "WHEN NOT MATCHED THEN INSERT (id, n) VALUES (s.id, s.o)", "WHEN MATCHED THEN UPDATE SET n.m = s.o.m",
                                    "WHEN MATCHED THEN UPDATE SET n = {'a': 1, 'zz': 2}"])
def test_schema_evolution_drops_no_field_that_it_does_not_add(sluice, folder, clause):
    sql(sluice, folder, "CREATE TABLE t (id INT, n STRUCT<a: INT, m: STRUCT<x: INT>>)", "INSERT INTO t (id) VALUES (1)")
    merge = f"MERGE WITH SCHEMA EVOLUTION INTO t USING (SELECT unnest([1, 2]) AS id, {{'a': 1, 'm': {{'x': 1, 'y': 2}}}} AS o) AS s ON t.id = s.id {clause}"
    assert "which should be" in sql(sluice, folder, merge, code=USAGE).err


@pytest.mark.parametrize("clauses, error", [
    ("WHEN MATCHED THEN UPDATE SET *", 'the source has no column "s"'),
    ("WHEN NOT MATCHED THEN INSERT *", 'the source has no column "s"'),
    ("WHEN MATCHED THEN UPDATE SET nope = 1", 'no column "nope"'),
    ("WHEN MATCHED THEN UPDATE SET v = 'x', v = 'y'", "set twice"),
    ("WHEN MATCHED AND src.v > 'y' THEN DELETE WHEN MATCHED THEN UPDATE SET v = src.v", "matches several rows"),
    ("WHEN MATCHED AND src.v > 'a' THEN DELETE", "matches several rows"),
])
def test_what_spark_refuses_is_refused(sluice, folder, clauses, error):
    table(sluice, folder)
    done = sql(sluice, folder, "MERGE INTO t USING (VALUES (1, 'x'), (1, 'z')) src(id, v) ON t.id = src.id " + clauses,
               code=(USAGE, REFUSED))
    assert error in done.err and folder.version("t") == 1


def test_conditions_and_values_may_have_subqueries(sluice, folder):
    table(sluice, folder)
    sql(sluice, folder, "CREATE TABLE other (id INT, w STRING)", "INSERT INTO other VALUES (2, 'two'), (3, 'three')",
        "MERGE INTO t USING (VALUES (1), (2), (3), (4)) src(id) ON t.id = src.id "
        "WHEN MATCHED AND t.id IN (SELECT id FROM other) THEN UPDATE SET v = (SELECT w FROM other o WHERE o.id = t.id) "
        "WHEN NOT MATCHED AND id IN (SELECT id FROM other) THEN INSERT (id, v) VALUES (id, (SELECT max(w) FROM other))")
    assert {k: r["v"] for k, r in by_id(sluice, folder).items()} == {1: "a", 2: "two", 3: "two"}


def test_rows_matched_twice_may_be_deleted_or_left(sluice, folder):
    table(sluice, folder)
    sql(sluice, folder, "MERGE INTO t USING (VALUES (1), (1)) src(id) ON t.id = src.id WHEN MATCHED AND t.v = 'q' THEN DELETE",
        "MERGE INTO t USING (VALUES (1), (1)) src(id) ON t.id = src.id WHEN MATCHED THEN DELETE")
    assert sorted(by_id(sluice, folder)) == [2]


@pytest.mark.parametrize("fixture", ["cdf", "cdf_dv"])
def test_history_says_what_sparks_does(sluice, folder, fixture):
    if not SPARK.exists():
        pytest.skip("the tables recorded from Spark are not here (SLUICE_SHARED)")
    expected = json.loads((SPARK / fixture / "expected.json").read_text())["history"]
    vectors, by = ("true", "PARTITIONED BY (p)") if fixture == "cdf_dv" else ("false", "")
    sql(sluice, folder, f"CREATE TABLE t (id INT, v STRING, p STRING) {by} TBLPROPERTIES ("
                        f"'delta.enableDeletionVectors' = '{vectors}', 'delta.enableChangeDataFeed' = 'true')",
        "INSERT INTO t SELECT i, 'v' || i, CASE WHEN i % 2 = 0 THEN 'e' ELSE 'o' END FROM range(1, 16) r(i)",
        "DELETE FROM t WHERE id IN (2, 3)", "UPDATE t SET v = upper(v) WHERE id BETWEEN 5 AND 7",
        "MERGE INTO t USING (VALUES (1, 'm1', 'u'), (4, '', 'd'), (20, 'n20', 'u'), (21, 'n21', 'u')) s(id, v, op) "
        "ON t.id = s.id WHEN MATCHED AND s.op = 'd' THEN DELETE WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN "
        "INSERT (id, v, p) VALUES (s.id, s.v, CASE WHEN s.id % 2 = 0 THEN 'e' ELSE 'o' END)",
        "DELETE FROM t WHERE id = 8",
        "MERGE INTO t USING (VALUES (1)) s(id) ON t.id = s.id WHEN NOT MATCHED BY SOURCE AND t.id > 13 THEN "
        "UPDATE SET v = 'nms'")
    for (version, actions), spark in zip(folder.log("t"), expected):
        info = actions[0]["commitInfo"]
        assert info["operation"] == spark["operation"] and info["isBlindAppend"] == spark["isBlindAppend"]
        parameters = {k: v for k, v in spark["operationParameters"].items() if "redicate" not in k}
        assert version == 0 or {k: v for k, v in info["operationParameters"].items() if "redicate" not in k} == parameters
        assert sorted(k for k in info["operationParameters"] if "redicate" in k) == sorted(
            k for k in spark["operationParameters"] if "redicate" in k)
        metrics = info.get("operationMetrics", {})
        assert set(metrics) >= set(spark["operationMetrics"]), version
        rows = {k: v for k, v in spark["operationMetrics"].items() if ("Rows" in k or "Vectors" in k) and
                not (vectors == "false" and ("Copied" in k or "Output" in k))}  # files are laid out otherwise
        assert {k: metrics[k] for k in rows} == rows, version


@pytest.mark.parametrize("width", [3, 250])
@pytest.mark.parametrize("aliases", [("t", "s"), ("alias", "__c")])
def test_conditions_of_wide_tables(sluice, folder, width, aliases):
    """Past some hundred columns the number of a row's clause is found in another way."""
    t, s = aliases
    names = [f"c{i}" for i in range(width)]
    sql(sluice, folder, "CREATE TABLE t AS SELECT i AS id, " + ", ".join(f"i * {k + 1} AS c{k}" for k in range(width)) + " FROM range(6) r(i)",
        f"MERGE INTO t AS {t} USING (SELECT i AS id, " + ", ".join(f"-i AS c{k}" for k in range(width)) + f" FROM range(3, 9) r(i)) AS {s} ON {t}.id = {s}.id "
        f"WHEN MATCHED AND {s}.c1 = -3 THEN DELETE WHEN MATCHED AND {t}.c2 > 12 THEN UPDATE SET * WHEN MATCHED THEN UPDATE SET c2 = {s}.c2 + {t}.c2 + {t}.c2 "
        f"WHEN NOT MATCHED AND {s}.id < 8 THEN INSERT * WHEN NOT MATCHED THEN INSERT (id, c0) VALUES ({s}.id, 1) "
        f"WHEN NOT MATCHED BY SOURCE AND {t}.id = 0 THEN DELETE WHEN NOT MATCHED BY SOURCE AND {t}.id = 1 THEN UPDATE SET c1 = NULL")
    got = [tuple(r.values()) for r in sql(sluice, folder, f"SELECT id, {', '.join(names)} FROM t ORDER BY id").rows()]
    times = lambda i, **other: (i, *(other.get(n, i * (k + 1)) for k, n in enumerate(names)))  # noqa: E731
    assert got == [times(1, c1=None), times(2), times(4, c2=20), (5, *[-5] * width), (6, *[-6] * width), (7, *[-7] * width), (8, 1, *[None] * (width - 1))]
