"""Expressions that a table brings with it are Spark's SQL: a CAST in them cuts off what DuckDB's would round."""
import json
from decimal import Decimal

import pytest

from lib.expressions import COLUMNS as SPARK_COLUMNS
from lib.expressions import EXPRESSIONS, NAMES, OURS
from lib.sluice import REFUSED, USAGE
from lib.spark import Log, plain
from test_dml import folder, sql  # noqa: F401

COLUMNS = ("id INT, x DOUBLE, s STRING, i INT GENERATED ALWAYS AS (CAST(x AS INT)), l BIGINT GENERATED ALWAYS AS (2 * cast(`x` * 10 AS long)), "
           "d INT GENERATED ALWAYS AS (CAST(CAST(x AS DECIMAL(6,1)) AS INT)), w DATE GENERATED ALWAYS AS (CAST(s AS DATE)), "
           "q STRING GENERATED ALWAYS AS (concat('CAST(x AS INT)', CAST(id AS STRING)))")


def test_casts_in_generated_columns_cut_off(sluice, folder):
    sql(sluice, folder, f"CREATE TABLE t ({COLUMNS})", "INSERT INTO t (id, x, s) VALUES (1, 1.76, '2024-01-02'), (2, -2.76, '2024-01-03')",
        "UPDATE t SET x = x + 2 WHERE id = 1", "INSERT INTO t VALUES (3, 0.99, '2024-01-04', 0, 18, 1, DATE '2024-01-04', 'CAST(x AS INT)3')")
    rows = [tuple(r.values()) for r in sql(sluice, folder, "SELECT * EXCLUDE (s) FROM t ORDER BY id").rows()]
    assert rows == [(1, 3.76, 3, 74, 3, "2024-01-02", "CAST(x AS INT)1"), (2, -2.76, -2, -54, -2, "2024-01-03", "CAST(x AS INT)2"),
                    (3, 0.99, 0, 18, 1, "2024-01-04", "CAST(x AS INT)3")]
    assert "rule that generates column i" in sql(sluice, folder, "INSERT INTO t (id, x, i) VALUES (4, 0.99, 1)", code=USAGE).err


def test_casts_in_constraints_and_defaults_cut_off(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (x DOUBLE, n INT DEFAULT CAST(1.7 AS INT)) TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')",
        "INSERT INTO t (x) VALUES (3.9)", "ALTER TABLE t ADD CONSTRAINT small CHECK (CAST(x AS INT) < 4)", "INSERT INTO t (x) VALUES (3.95)")
    assert "small" in sql(sluice, folder, "INSERT INTO t (x) VALUES (4)", code=USAGE).err
    assert "do not meet" in sql(sluice, folder, "ALTER TABLE t ADD CONSTRAINT smaller CHECK (CAST(x AS INT) < 3)", code=USAGE).err
    assert [r["n"] for r in sql(sluice, folder, "SELECT n FROM t").rows()] == [1, 1]


@pytest.mark.parametrize("expression,kind,expected", [
    ("DATE_FORMAT(ts, 'yyyy-MM-dd-HH')", "STRING", ("2024-05-06-07", None)), ("date_format(ts, 'yy/M')", "STRING", ("24/5", None)), ("SUBSTRING(s, 0, 2)", "STRING", ("ab", None)),
    ("substr(s, 2)", "STRING", ("bc", None)), ("TRUNC(d, 'MM')", "DATE", ("2024-05-01", None)), ("s RLIKE '^a' AND s NOT RLIKE 'z$'", "BOOLEAN", (True, None)),
    ("s <=> 'abc'", "BOOLEAN", (True, False)), ("id DIV 2", "INT", (-3, 1)), ("concat(s, '-', cast(id AS STRING))", "STRING", ("abc--7", None)), ("dayofweek(d)", "INT", (2, None)),
    ("weekday(d)", "INT", (0, None)), ("regexp_replace(s, '[abc]', 'x')", "STRING", ("xxx", None)), ("datediff(d, DATE'2024-01-01')", "INT", (126, None)),
    ("unix_timestamp(ts)", "BIGINT", (1714978889, None)), ("id + 5L", "BIGINT", (-2, 8)), ("pmod(id, 3)", "INT", (2, 0)), ("log(id)", "DOUBLE", (None, 1.0986122886681098)),
    ("nvl(s, 'DIV RLIKE 5L')", "STRING", ("abc", "DIV RLIKE 5L")), ("add_months(d, 1)", "DATE", ("2024-06-06", None)), ("isnull(s)", "BOOLEAN", (False, True)), ("1.5D * id", "DOUBLE", (-10.5, 4.5))])
def test_functions_are_those_of_spark(sluice, folder, expression, kind, expected):
    sql(sluice, folder, f"CREATE TABLE t (ts TIMESTAMP, s STRING, id INT, d DATE, g {kind} GENERATED ALWAYS AS ({expression}))",
        "INSERT INTO t (ts, s, id, d) VALUES (TIMESTAMPTZ '2024-05-06 07:01:29.5Z', 'abc', -7, DATE '2024-05-06'), (NULL, NULL, 3, NULL)")
    assert [r["g"] for r in sql(sluice, folder, "SELECT g FROM t ORDER BY id").rows()] == list(expected)


@pytest.mark.parametrize("columns,said", [
    ("s STRING, h INT GENERATED ALWAYS AS (hash(s))", 'generated column "h"'),
    ("ts TIMESTAMP, h STRING GENERATED ALWAYS AS (date_format(ts, 'QQQ'))", "does not exist"),
    ("id INT, g INT GENERATED ALWAYS AS (other + 1)", 'generated column "g": Referenced column "other" not found'),
    ("id INT, g INT GENERATED ALWAYS AS (g + 1)", "columns of the table that are not generated themselves"),
    ("id INT, g INT GENERATED ALWAYS AS (id + 1), h INT GENERATED ALWAYS AS (g + 1)", 'generated column "h"'),
    ("id INT DEFAULT 'abc'", 'DEFAULT of column "id"'), ("id INT, CONSTRAINT c CHECK (x > 1)", "CHECK constraint c")])
def test_what_makes_no_sense_makes_no_table(sluice, folder, columns, said):
    """Spark refuses these, too, but for its functions that we do not compute: the table could not be written."""
    properties = "TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')"
    assert said in sql(sluice, folder, f"CREATE TABLE t ({columns}) {properties}", code=USAGE).err
    sql(sluice, folder, "CREATE TABLE t (id INT)")  # nothing was left behind


def test_the_default_of_a_column_is_a_value_of_it(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, z INT, s STRUCT<a: INT, b: STRING>) TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')")
    for value in ("'abc'", "(SELECT 1)", "id + 1", "current_date()", "5000000000", "nothing(1)"):
        assert 'DEFAULT of column "z"' in sql(sluice, folder, f"ALTER TABLE t ALTER COLUMN z SET DEFAULT {value}", code=USAGE).err, value
    sql(sluice, folder, "ALTER TABLE t ALTER COLUMN z SET DEFAULT 1 + 1", "ALTER TABLE t ALTER COLUMN s SET DEFAULT {'a': 1, 'b': 'x'}",
        "INSERT INTO t (id) VALUES (1)")
    assert [r["z"] for r in sql(sluice, folder, "SELECT z FROM t").rows()] == [2]


def test_names_in_expressions_are_stored_in_backquotes(sluice, folder):
    """"name" is a text to Spark."""
    sql(sluice, folder, """CREATE TABLE t ("a b" INT, c INT GENERATED ALWAYS AS ("a b" + 1), CONSTRAINT k CHECK ("a b" > 0)) TBLPROPERTIES ('delta.columnMapping.mode' = 'name')""",
        """ALTER TABLE t ADD CONSTRAINT z CHECK ("a b" < 5 OR '"a b"' = '')""", """INSERT INTO t ("a b") VALUES (1)""")
    metadata = [a["metaData"] for _, actions in folder.log("t") for a in actions if "metaData" in a][-1]
    assert {k: v for k, v in metadata["configuration"].items() if "constraint" in k} == {
        "delta.constraints.k": "`a b` > 0", "delta.constraints.z": "`a b` < 5 OR '\"a b\"' = ''"}
    assert "`a b` + 1" in metadata["schemaString"] and '\\"a b' not in metadata["schemaString"]
    for value in (0, 5):
        assert "constraint" in sql(sluice, folder, f'INSERT INTO t ("a b") VALUES ({value})', code=USAGE).err


def test_backslashes_and_quotes_in_texts(sluice, folder):
    """In Spark's texts a backslash escapes, in DuckDB's it is one: what is stored is Spark's, and read so."""
    sql(sluice, folder, r"""CREATE TABLE t (id INT, s STRING DEFAULT 'a\b''c', g STRING GENERATED ALWAYS AS (concat(CAST(id AS STRING), E'\n\\')), CONSTRAINT k CHECK (s RLIKE '^a.\w'))
        TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')""", "INSERT INTO t (id) VALUES (1)")
    (metadata,) = [a["metaData"] for _, actions in folder.log("t") for a in actions if "metaData" in a]
    fields = {f["name"]: f["metadata"] for f in json.loads(metadata["schemaString"])["fields"]}
    assert fields["s"]["CURRENT_DEFAULT"] == r"'a\\b\'c'" and metadata["configuration"]["delta.constraints.k"] == r"s RLIKE '^a.\\w'"
    assert fields["g"]["delta.generationExpression"] == "concat(CAST(id AS STRING), '\n\\\\')"
    assert [tuple(r.values()) for r in sql(sluice, folder, "SELECT * FROM t").rows()] == [(1, "a\\b'c", "1\n\\")]
    assert "constraint" in sql(sluice, folder, "INSERT INTO t (id, s) VALUES (1, 'a.%')", code=USAGE).err


@pytest.mark.parametrize("expression", ["s RLIKE '", 's RLIKE "', "date_format(s, '", "'", "s = 'a\\", "s RLIKE", "DIV", "5L", '"', "`", "date_format(s, ''"])
def test_broken_expressions_of_others(sluice, folder, expression):
    sql(sluice, folder, "CREATE TABLE t (s STRING, CONSTRAINT k CHECK (s <> 'x'))")
    log = folder.table_path("t") / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for a in actions:
        if "metaData" in a:
            a["metaData"]["configuration"]["delta.constraints.k"] = expression
    log.write_text("".join(json.dumps(a) + "\n" for a in actions))
    assert sql(sluice, folder, "INSERT INTO t VALUES ('a')", code=None).code in (0, USAGE)


def test_texts_of_spark_in_double_quotes(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (s STRING, CONSTRAINT k CHECK (s <> 'x'))")
    log = folder.table_path("t") / "_delta_log" / f"{0:020}.json"
    log.write_text(log.read_text().replace("s <> 'x'", 's <> \\"x\\"'))
    assert any(json.loads(line).get("metaData", {}).get("configuration", {}).get("delta.constraints.k") == 's <> "x"' for line in log.read_text().splitlines())
    sql(sluice, folder, "INSERT INTO t VALUES ('y')")
    assert "constraint" in sql(sluice, folder, "INSERT INTO t VALUES ('x')", code=USAGE).err


ONE_OF_EACH = ("i INT, j INT, d DOUBLE, s STRING, l ARRAY<INT>, mp MAP<STRING, INT>, st STRUCT<x: INT>, ll ARRAY<ARRAY<STRING>>", "-7, 3, -2.5, 'a%b_c', [10, 20, 30], MAP {'k': 1}, {'x': 5}, [['u', 'v'], ['w']]")


def generated(sluice, folder, expression, kind, code=0):
    """The value of the expression, stored as Spark's text is, in a row with one of each type."""
    columns, row = ONE_OF_EACH
    sql(sluice, folder, f"CREATE TABLE t ({columns}, g {kind} GENERATED ALWAYS AS ({'[1]' if kind == 'ARRAY<INT>' else f'CAST(NULL AS {kind})'}))")
    log = folder.table_path("t") / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for a in actions:
        if "metaData" in a:
            schema = json.loads(a["metaData"]["schemaString"])
            schema["fields"][-1]["metadata"]["delta.generationExpression"] = expression
            a["metaData"]["schemaString"] = json.dumps(schema)
    log.write_text("".join(json.dumps(a) + "\n" for a in actions))
    for crc in log.parent.glob("*.crc"):
        crc.unlink()
    done = sql(sluice, folder, f"INSERT INTO t (i, j, d, s, l, mp, st, ll) VALUES ({row})", "SELECT g FROM t", code=code)
    return done.err if code else done.rows()[-1]["g"]


@pytest.mark.parametrize("expression,kind,expected", [
    ("l[0]", "INT", 10), ("l[2]", "INT", 30), ("l[j - 1] + l[0]", "INT", 40), ("array('a]', 'b')[1]", "STRING", "b"), ("ll[0][1]", "STRING", "v"), ("`l`[size(l) - 1]", "INT", 30),
    ("CAST(l[0] AS STRING)", "STRING", "10"), ("mp['k']", "INT", 1), ("mp['q']", "INT", None), ("element_at(l, 1)", "INT", 10), ("element_at(l, -1)", "INT", 30), ("element_at(mp, 'k')", "INT", 1),
    ("l[element_at(l, 1) - 8]", "INT", 30), (r"s LIKE 'a\\%b%'", "BOOLEAN", True), (r"s LIKE '%b\_c'", "BOOLEAN", True), (r"s LIKE 'ax\\%b%'", "BOOLEAN", False), (r"s NOT ILIKE 'A\\%B%'", "BOOLEAN", False),
    ("s LIKE 'a|%b%' ESCAPE '|'", "BOOLEAN", True), ("i / j * 3", "DOUBLE", -7.0), ("i / (j - 1)", "DOUBLE", -3.5), ("i / 2 / -2", "DOUBLE", 1.75), ("i % j", "INT", -1), ("i div 2", "BIGINT", -3),
    ("i % CASE WHEN i < 0 THEN 4 ELSE 3 END", "INT", -3), ("st.x / 2", "DOUBLE", 2.5), ("j / size(l)", "DOUBLE", 1.0), ("'a/b[0]%^' || s", "STRING", "a/b[0]%^a%b_c"), ("d / -2", "DOUBLE", 1.25),
    (r"R'a\d'", "STRING", r"a\d"), ("1e-5D", "DOUBLE", 1e-5), ("1.5e2D + 2.5e3", "DOUBLE", 2650.0), ("ln(i)", "DOUBLE", None)])
def test_values_are_those_of_spark(sluice, folder, expression, kind, expected):
    assert generated(sluice, folder, expression, kind) == expected


@pytest.mark.parametrize("expression,kind,said", [
    ("l[i]", "INT", "no element -7"), ("l[3]", "INT", "no element 3"), ("element_at(l, 0)", "INT", "no element 0"), ("element_at(l, 4)", "INT", "no element 4"), ("i / 0", "DOUBLE", "division by zero"),
    ("i % (j - 3)", "INT", "division by zero"), ("i DIV 0", "BIGINT", "division by zero"), ("d / 0.0", "DOUBLE", "division by zero"), ("typeof(i)", "STRING", "typeof()")])
def test_what_has_no_value_is_refused(sluice, folder, expression, kind, said):
    """Spark's ANSI mode raises an error; of the last one we would have another value."""
    assert said in generated(sluice, folder, expression, kind, code=USAGE)


@pytest.mark.parametrize("expression", ["l[", "l[0", "[", "]", "l]", "element_at(", "element_at(l", "element_at(l)", "l[]", "i /", "i % (", "/", "s LIKE '", "'a'[0]", "l[0][0]", "element_at", "1e", "1e-", "`[0]", "i / -"])
def test_broken_parts_of_expressions(sluice, folder, expression):
    generated(sluice, folder, expression, "INT", code=(0, USAGE))


@pytest.mark.parametrize("chunk", range(8))
def test_values_that_spark_was_asked_for(sluice, folder, chunk):
    """In generated columns of one row; tests/spark asks Spark for the same."""
    asked = EXPRESSIONS[chunk::8]
    generated_columns = ", ".join(f"g{i} {kind} GENERATED ALWAYS AS ({expression})" for i, (expression, kind, _) in enumerate(asked))
    sql(sluice, folder, f"CREATE TABLE t ({SPARK_COLUMNS}, {generated_columns})", f"INSERT INTO t ({NAMES}) VALUES ({OURS})")
    (row,) = [json.loads(line, parse_float=Decimal) for line in sql(sluice, folder, "FROM t").out.splitlines() if '"g0"' in line]
    kinds = {f["name"]: f["type"] for f in Log(folder.table_path("t")).schema()["fields"]}
    found = [plain(kinds[f"g{i}"], row[f"g{i}"]) for i in range(len(asked))]
    assert [(e, v) for (e, _, _), v in zip(asked, found)] == [(e, plain(kinds[f"g{i}"], v) if "DOUBLE" in k or "FLOAT" in k else v) for i, (e, k, v) in enumerate(asked)]


@pytest.mark.parametrize("expression,kind,said", [
    ("levenshtein(s, 'x')", "INT", "levenshtein()"), ("array_distinct(l)", "ARRAY<INT>", "array_distinct()"), ("to_json(st)", "STRING", "to_json()"), ("xxhash64(s)", "BIGINT", "xxhash64"),
    ("sha2(s, 512)", "STRING", "sha2() of 512 bits"), ("date_part('nope', s)", "INT", "date_part()"), ("concat(s, l)", "STRING", "concat()"), ("CAST(l AS STRING)", "STRING", "array, map or struct"),
    ("round(d, 2)", "DOUBLE", "round()"), ("upper()", "STRING", "upper()"), ("TRY_CAST(s AS ARRAY<INT>)", "ARRAY<INT>", "ARRAY<INT>"), ("regexp_replace(s, 'a', '\\\\\\\\$')", "STRING", "regexp_replace()"),
    ("CAST(12.5 AS DECIMAL(20,5)) / 3", "DECIMAL(26,10)", "more than 15 digits"), ("CAST(12.5 AS DECIMAL(4,1)) DIV 2", "BIGINT", "DIV of decimals"), ("user()", "STRING", "user()")])
def test_what_is_not_computed_alike_is_refused_by_name(sluice, folder, expression, kind, said):
    assert said in generated(sluice, folder, expression, kind, code=USAGE)


@pytest.mark.parametrize("kind,expression", [
    ("BIGINT", "a + 1"), ("STRING", "a + 1"), ("DATE", "ts"), ("TIMESTAMP", "d"), ("INT", "s"), ("BOOLEAN", "a"), ("DOUBLE", "a"), ("DECIMAL(10,0)", "a"), ("STRING", "d")])
def test_a_generated_column_has_the_type_of_its_expression(sluice, folder, kind, expression):
    """Spark's DeltaTable.create() refuses these (its SQL makes no generated columns)."""
    said = sql(sluice, folder, f"CREATE TABLE t (a INT, ts TIMESTAMP, d DATE, s STRING, g {kind} GENERATED ALWAYS AS ({expression}))", code=USAGE).err
    assert 'generated column "g": the type of the expression is not that of the column' in said
    sql(sluice, folder, f"CREATE TABLE t (a INT, ts TIMESTAMP, d DATE, s STRING, g {kind} GENERATED ALWAYS AS (CAST({expression} AS {kind})))" if (kind, expression) not in
        (("BOOLEAN", "a"), ("INT", "s")) else "CREATE TABLE t (a INT)")


@pytest.mark.parametrize("call,depth,said", [("CAST({} AS STRING)", 60, None), ("CAST({} AS STRING)", 70, "more than 64 calls"), ("upper({})", 5000, "more than 64 calls"),
                                             ("substring({}, 2, 3)", 5, None), ("substring({}, 2, 3)", 12, "longer than 262144 bytes"),
                                             ("CAST(1 / ({}) AS STRING)", 30, None), ("1 / ({})", 5000, "more than 64 divisions"), ("CAST(1 & CAST({} AS INT) AS STRING)", 20, None), ("1 | ({})", 5000, "more than 64 brackets"),
                                             ("CASE WHEN true THEN 1 ^ {} END", 70, "more than 64 brackets"), ("CAST(split('0,0', ',')[CAST({} AS INT)] AS STRING)", 20, None)])
def test_expressions_in_each_other(sluice, folder, call, depth, said):
    """Who wrote the log decides how deep they are: neither the stack nor the memory is theirs."""
    expression = "1" if "1 " in call else "'0'" if "split" in call else "s"
    for _ in range(depth):
        expression = call.format(expression)
    sql(sluice, folder, "CREATE TABLE t (s STRING)")
    add = f"ALTER TABLE t ADD CONSTRAINT c CHECK ({expression} <> 'x')"
    if said:
        assert said in sql(sluice, folder, add, code=REFUSED).err
    else:
        sql(sluice, folder, add, "INSERT INTO t VALUES ('yy')")
