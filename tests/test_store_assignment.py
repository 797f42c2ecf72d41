"""What becomes of a value in a column of another type: Spark's rules (store assignment). Each was asked of Spark."""
import pytest

from lib.sluice import USAGE
from test_dml import folder, rows, sql  # noqa: F401

VALUES = {
    "INT": [("1.5", 1), ("-1.5", -1), ("2.5::FLOAT", 2), ("1e3", 1000), ("-1.99::DECIMAL(5,2)", -1), ("' 12 '", 12), ("'+7'", 7), ("TRUE", 1), ("NULL", None),
            ("2147483647.9", 2147483647)],
    "BIGINT": [("1.5::DOUBLE", 1), ("99999.999", 99999)],
    "DECIMAL(5,2)": [("1.255::DOUBLE", 1.26), ("-1.255", -1.26), ("1.255::FLOAT", 1.25), ("'NaN'::DOUBLE", None), ("'inf'::FLOAT", None), ("'1.255'", 1.26)],
    "STRING": [("TIMESTAMPTZ '2024-01-02 23:04:05.678+00'", "2024-01-02 23:04:05.678"), ("'\\xC3\\xA9'::BLOB", "é"), ("1.5", "1.5"), ("1e10", "1.0E10"), ("1e-4", "1.0E-4"), ("0.1::FLOAT", "0.1"), ("'NaN'::DOUBLE", "NaN"), ("-0.125::DECIMAL(3,3)", "-0.125"), ("0.5::DECIMAL(1,1)", "0.5")],
    "BINARY": [("'é'", "w6k=")],
    "TIMESTAMP": [("5", "1970-01-01T00:00:05Z"), ("-1::SMALLINT", "1969-12-31T23:59:59Z"), ("5.5", "1970-01-01T00:00:05.500000Z"), ("-0.0000019::DOUBLE", "1969-12-31T23:59:59.999999Z"), ("1.5::FLOAT", "1970-01-01T00:00:01.500000Z"),
                  ("1700000000.1234567", "2023-11-14T22:13:20.123456Z"), ("'2024'", "2024-01-01T00:00:00Z"), ("' 2024-5 '", "2024-05-01T00:00:00Z"), ("'2024-05-06 07'", "2024-05-06T07:00:00Z")],
    "SMALLINT": [("TIMESTAMPTZ '1969-12-31 23:59:58.5Z'", -2)], "DOUBLE": [("TIMESTAMPTZ '1970-01-01 00:00:01.25Z'", 1.25)], "DECIMAL(8,3)": [("TIMESTAMPTZ '1970-01-01 00:00:01.2345Z'", 1.235)],
    "DATE": [("'2024'", "2024-01-01"), ("'2024-5'", "2024-05-01"), ("'2024-1-2'", "2024-01-02"), ("TIMESTAMP '2024-01-02 23:00:00'", "2024-01-02")],
    "ARRAY<INT>": [("[1.5, NULL]", [1, None]), ("['7']", [7])],
    "MAP<STRING, INT>": [("MAP {'a': 1.5}", {"a": 1})],
}
REFUSED = {
    "INT": ["'1.5'", "'1e2'", "'0x10'", "'1_0'", "''", "2147483648.0", "1e10", "'NaN'::DOUBLE"], "DOUBLE": ["'1_0'"], "DECIMAL(5,2)": ["1000", "'1_0'"],
    "DATE": ["5", "'infinity'", "'epoch'", "'-infinity'", "'2024-13-01'"], "TIMESTAMP": ["'inf'", "'NaN'::DOUBLE", "TRUE", "1e300"], "TIMESTAMP_NTZ": ["5"], "BOOLEAN": ["TIMESTAMPTZ '1970-01-01 00:00:01Z'"], "TINYINT": ["TIMESTAMPTZ '2024-01-02 00:00:01Z'"], "MAP<STRING, INT>": ["{'a': 1}"], "ARRAY<INT>": ["['1.5']"],
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_are_converted_as_spark_does(sluice, folder, kind):
    """By VALUES, by a query, by UPDATE and by MERGE."""
    sql(sluice, folder, f"CREATE TABLE t (how STRING, id INT, c {kind})")
    for i, (value, _) in enumerate(VALUES[kind]):
        sql(sluice, folder, f"INSERT INTO t VALUES ('values', {i}, {value})", f"INSERT INTO t SELECT 'query', {i}, {value}",
            f"INSERT INTO t BY NAME SELECT {value} AS c, {i} AS id, 'name' AS how", f"INSERT INTO t (how, id) VALUES ('update', {i})",
            f"UPDATE t SET c = {value} WHERE how = 'update' AND id = {i}",
            f"MERGE INTO t USING (SELECT 'merge' AS how, {i} AS id, {value} AS c) AS s ON t.how = s.how AND t.id = s.id WHEN NOT MATCHED THEN INSERT *",
            f"MERGE INTO t USING (SELECT 'merge two' AS how) AS s ON false WHEN NOT MATCHED THEN INSERT (how, id, c) VALUES (s.how, {i}, {value})")
    for how in ("values", "query", "name", "update", "merge", "merge two"):
        assert rows(sluice, folder, f"SELECT c FROM t WHERE how = '{how}' ORDER BY id") == [(e,) for _, e in VALUES[kind]], how


@pytest.mark.parametrize("kind", REFUSED)
def test_values_that_do_not_fit_are_refused(sluice, folder, kind):
    sql(sluice, folder, f"CREATE TABLE t (c {kind})", "INSERT INTO t VALUES (NULL)")
    for value in REFUSED[kind]:
        for statement in ("INSERT INTO t VALUES ({})", "INSERT INTO t SELECT {}", "UPDATE t SET c = {}"):
            sql(sluice, folder, statement.format(value), code=USAGE)
    assert rows(sluice, folder, "FROM t") == [(None,)]


def test_a_message_says_the_text_that_is_no_number(sluice, folder):
    assert "1.5" in sql(sluice, folder, "CREATE TABLE t (c INT)", "INSERT INTO t VALUES ('1.5')", code=USAGE).err


def test_values_of_many_kinds_in_one_column(sluice, folder):
    """Each is converted by itself; commas and brackets in them, defaults, and what follows VALUES."""
    sql(sluice, folder, "CREATE TABLE t (a INT DEFAULT 7.9, b DOUBLE, s STRING)",
        "INSERT INTO t VALUES (1.5, 'NaN', 'a,b)'), (DEFAULT, 1.5, [1, 2][1]), ('3', greatest(1, 2), NULL), ((SELECT 4.5), -1, 'x''y')",
        "INSERT INTO t VALUES (5.5, 0, 'o'), (6.5, 0, 'p') ORDER BY 1 DESC LIMIT 1", "INSERT INTO t (s, a) VALUES ('list', 9.9)", "INSERT INTO t (s) VALUES ('default')")
    assert rows(sluice, folder, "SELECT a, s FROM t ORDER BY a, s") == [
        (1, "a,b)"), (3, None), (4, "x'y"), (6, "p"), (7, "1"), (7, "default"), (9, "list")]
    sql(sluice, folder, "INSERT INTO t VALUES (1, 2)", code=USAGE)
    sql(sluice, folder, "INSERT INTO t VALUES (1, 2, 'x'), (1)", code=USAGE)


def test_static_partition_values_are_stored_alike(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT, p INT) PARTITIONED BY (p)", "INSERT INTO t PARTITION (p = 1.9) VALUES (5.5)", "INSERT OVERWRITE t PARTITION (p = 1.2) VALUES (6.5)")
    assert rows(sluice, folder, "FROM t") == [(6, 1)]


@pytest.fixture
def structs(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT, s STRUCT<a: INT, b: STRING>, l ARRAY<STRUCT<a: INT, b: STRING>>, m MAP<STRING, STRUCT<a: INT, b: STRING>>)",
        "INSERT INTO t (id) VALUES (0)")
    return folder


LACKING = ["{'a': 1}", "{'a': 1, 'b': 'x', 'c': 2}"]


@pytest.mark.parametrize("value", LACKING)
@pytest.mark.parametrize("column, wrap", [("s", "{}"), ("l", "[{}]"), ("m", "MAP {{'k': {}}}")])
def test_a_struct_needs_all_fields_and_no_more(sluice, structs, value, column, wrap):
    value = wrap.format(value)
    for statement in (f"INSERT INTO t (id, {column}) VALUES (1, {value})", f"INSERT INTO t (id, {column}) SELECT 1, {value}", f"INSERT INTO t BY NAME SELECT 1 AS id, {value} AS {column}",
                      f"UPDATE t SET {column} = {value}", f"MERGE INTO t USING (SELECT 0 AS id) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET {column} = {value}",
                      f"MERGE INTO t USING (SELECT 0 AS id, {value} AS v) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET {column} = s.v"):
        assert "which should be (a, b)" in sql(sluice, structs, statement, code=USAGE).err, statement


def test_fields_by_position_and_by_name(sluice, structs):
    """INSERT goes by position inside of structs as well, BY NAME and the others by name; BY NAME with other names by position."""
    sql(sluice, structs, "INSERT INTO t (id, s) VALUES (1, {'b': '5', 'a': '6'})", "INSERT INTO t (id, s) SELECT 2, {'x': 5.9, 'y': 6}", "INSERT INTO t BY NAME SELECT 3 AS id, {'b': 'q', 'a': 6.9} AS s",
        "INSERT INTO t BY NAME SELECT 4 AS id, {'x': 6.9, 'b': 'q'} AS s", "INSERT INTO t (id) VALUES (5), (6)", "UPDATE t SET s = {'b': 'u', 'a': 7.9} WHERE id = 5",
        "MERGE INTO t USING (SELECT 6 AS id, {'b': 1.5, 'a': 2.5} AS v) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET s = s.v",
        "INSERT INTO t (id, s) SELECT 7, CASE WHEN range = 0 THEN {'b': 1.5, 'a': 'z'} END FROM range(1)")
    assert rows(sluice, structs, "SELECT id, s FROM t WHERE id > 0 ORDER BY id") == [
        (1, {"a": 5, "b": "6"}), (2, {"a": 5, "b": "6"}), (3, {"a": 6, "b": "q"}), (4, {"a": 6, "b": "q"}), (5, {"a": 7, "b": "u"}), (6, {"a": 2, "b": "1.5"}),
        (7, {"a": 1, "b": "z"})]
    sql(sluice, structs, "INSERT INTO t (id, s) VALUES (1, {'b': 'q', 'a': '6'})", code=USAGE)
    sql(sluice, structs, "UPDATE t SET s = {'x': 1, 'y': 'q'}", code=USAGE)


def test_fields_inside_lists_and_maps(sluice, structs):
    sql(sluice, structs, "INSERT INTO t (id, l, m) SELECT 1, [{'x': 5.9, 'y': 6}, NULL], MAP {'k': {'x': 5.9, 'y': 6}}",
        "INSERT INTO t BY NAME SELECT 2 AS id, [{'b': 6, 'a': 5.9}] AS l, MAP {'k': {'b': 6, 'a': 5.9}} AS m", "INSERT INTO t (id) VALUES (3)",
        "UPDATE t SET l = [{'b': 6, 'a': 5.9}], m = MAP {'k': {'b': 6, 'a': 5.9}} WHERE id = 3")
    one = {"a": 5, "b": "6"}
    assert rows(sluice, structs, "SELECT id, l, m FROM t WHERE id > 0 ORDER BY id") == [(1, [one, None], {"k": one}), (2, [one], {"k": one}), (3, [one], {"k": one})]
