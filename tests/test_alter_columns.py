"""ALTER COLUMN of several columns, and REPLACE COLUMNS: what Spark makes of them."""
import json

import pytest

from lib.sluice import USAGE
from test_dml import folder, sql  # noqa: F401

REFUSED = (2, 3)  # what is wrong, what Delta does not allow


def history(folder, name="t"):
    return [next(a["commitInfo"] for a in actions if "commitInfo" in a) for _, actions in folder.log(name)]


def columns_of(sluice, folder):
    return [tuple(r.values()) for r in sql(sluice, folder, "DESCRIBE t").rows()]


def test_several_columns_are_changed_by_one_statement(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT, b STRING NOT NULL, c INT, s STRUCT<x: INT, y: INT>) TBLPROPERTIES ('delta.enableTypeWidening' = 'true', "
        "'delta.feature.allowColumnDefaults' = 'supported')", "ALTER TABLE t ALTER COLUMN a TYPE BIGINT, b DROP NOT NULL, s.x COMMENT 'inner'",
        "ALTER TABLE t ALTER COLUMN a SET DEFAULT 5 + 1, b COMMENT 'x', c FIRST", "ALTER TABLE t ALTER COLUMN a TYPE BIGINT, c TYPE INT", "ALTER TABLE t ALTER COLUMN b AFTER s, c COMMENT ''")
    assert columns_of(sluice, folder) == [("c", "int", None), ("a", "bigint", None), ("s", "struct<x:int,y:int>", None), ("b", "string", "x")]
    assert [i["operation"] for i in history(folder)] == ["CREATE TABLE"] + 3 * ["CHANGE COLUMNS"]  # those that change nothing are no commit
    told = json.loads(history(folder)[2]["operationParameters"]["columns"])
    assert [(c["name"], c.get("position")) for c in told] == [("a", None), ("b", None), ("c", "FIRST")]
    sql(sluice, folder, "INSERT INTO t (c) VALUES (1)")
    assert sql(sluice, folder, "SELECT a, b FROM t").rows() == [{"a": 6, "b": None}]
    for changes, said in (("a COMMENT 'x', a COMMENT 'y'", "changed twice"), ("s.x COMMENT 'x', s COMMENT 'y'", "changed twice"), ("a COMMENT 'x', nope COMMENT 'y'", 'no column "nope"'),
                          ("a COMMENT 'x',", "a column name"), ("a COMMENT 'x', b TYPE INT", "widened"), ("a COMMENT 'x', b SYNC IDENTITY", "of its own")):
        assert said in sql(sluice, folder, f"ALTER TABLE t ALTER COLUMN {changes}", code=REFUSED).err, changes
    assert folder.version("t") == 4


def test_what_changes_nothing_is_not_told(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT, s STRUCT<x: INT>)", "ALTER TABLE t ALTER COLUMN a TYPE INT, s.x COMMENT 'b'", "ALTER TABLE t ALTER COLUMN a TYPE INT, s.x TYPE INT",
        "ALTER TABLE t ALTER COLUMN s COMMENT 'all'")
    told = [(i["operation"], json.loads(i["operationParameters"]["column"])) for i in history(folder)[1:]]
    assert [(o, c["name"], c["type"]) for o, c in told] == [("CHANGE COLUMN", "s.x", "integer"), ("CHANGE COLUMN", "s", "struct")]


def test_replace_columns_says_what_to_add_drop_move_and_widen(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (a INT COMMENT 'of a', b STRING NOT NULL, c INT DEFAULT 5, s STRUCT<x: INT, y: INT>) TBLPROPERTIES ('delta.enableTypeWidening' = 'true', "
        "'delta.feature.allowColumnDefaults' = 'supported')", "INSERT INTO t VALUES (1, 'x', 2, {'x': 3, 'y': 4})")
    wide = "d DOUBLE, a BIGINT, B STRING COMMENT 'of b', c INT, s STRUCT<x: INT, n: STRING, y: INT>"
    sql(sluice, folder, f"ALTER TABLE t REPLACE COLUMNS ({wide})")
    assert columns_of(sluice, folder) == [("d", "double", None), ("a", "bigint", "of a"), ("b", "string", "of b"), ("c", "int", None), ("s", "struct<x:int,n:string,y:int>", None)]
    assert sql(sluice, folder, "SELECT * FROM t").rows() == [{"d": None, "a": 1, "b": "x", "c": 2, "s": {"x": 3, "n": None, "y": 4}}]
    assert history(folder)[-1]["operation"] == "REPLACE COLUMNS"
    for columns, said in (("a BIGINT, b STRING, c INT", "needs column mapping"), (wide.replace("d DOUBLE", "d STRING"), "widened"), (wide.replace("a BIGINT", "a BIGINT NOT NULL"), "names, types and comments"),
                          (wide.replace("d DOUBLE", "z INT"), "RENAME COLUMN"), (wide + ", a INT", "there twice"), ("", "a column name")):
        assert said in sql(sluice, folder, f"ALTER TABLE t REPLACE COLUMNS ({columns})", code=REFUSED).err, columns
    sql(sluice, folder, "ALTER TABLE t SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')", "ALTER TABLE t REPLACE COLUMNS (s STRUCT<y: INT>, c INT)",
        "ALTER TABLE t REPLACE COLUMNS (s STRUCT<y: INT>, c INT, l ARRAY<STRUCT<p: INT>>)", "ALTER TABLE t REPLACE COLUMNS (l ARRAY<STRUCT<p: INT, q: DATE>>, s STRUCT<y: INT>, c INT)", "INSERT INTO t (s) VALUES ({'y': 9})")
    assert sql(sluice, folder, "SELECT * FROM t ORDER BY c").rows() == [{"l": None, "s": {"y": 4}, "c": 2}, {"l": None, "s": {"y": 9}, "c": 5}]
    sql(sluice, folder, "ALTER TABLE t ADD CONSTRAINT k CHECK (c > 0)")
    assert "constraint" in sql(sluice, folder, "ALTER TABLE t REPLACE COLUMNS (s STRUCT<y: INT>)", code=USAGE).err


RULED = ["CREATE TABLE t (id INT, n STRUCT<a: INT, b: INT>, l ARRAY<INT>, k INT, `odd name` INT, g BIGINT GENERATED ALWAYS AS (CAST(id * 2 AS BIGINT)), h INT GENERATED ALWAYS AS (n.a)) "
         "TBLPROPERTIES ('delta.enableTypeWidening' = 'true', 'delta.columnMapping.mode' = 'name')",
         "ALTER TABLE t ADD CONSTRAINT kk CHECK (k <> 7 AND l[0] > 0 AND `odd name` <> 5 AND 'n.b' <> 'id')"]


@pytest.mark.parametrize("column, to, said", [("id", "1::BIGINT AS id", "used to generate \"g\""), ("n.a", "{'a': 1::BIGINT, 'b': 1} AS n", "used to generate \"h\""), ("k", "1::BIGINT AS k", "kk"),
                                              ("l.element", "[1::BIGINT] AS l", "kk"), ("odd name", "1::BIGINT AS \"odd name\"", "kk"), ("g", "9::DECIMAL(20,0) AS g", "type is that of its expression")])
def test_what_rules_are_made_of_keeps_its_type(sluice, folder, column, to, said):
    """Neither ALTER nor the source of a statement widens it, as with Spark; n.b, of which no rule speaks, is free."""
    sql(sluice, folder, *RULED)
    name = "`odd name`" if " " in column else column
    kind = "DECIMAL(20,0)" if column == "g" else "BIGINT"
    assert said in sql(sluice, folder, f"ALTER TABLE t ALTER COLUMN {name} TYPE {kind}", code=USAGE).err
    assert said in sql(sluice, folder, f"INSERT WITH SCHEMA EVOLUTION INTO t BY NAME SELECT * FROM (SELECT {to}) x", code=USAGE).err
    if column != "g":
        merge = f"MERGE WITH SCHEMA EVOLUTION INTO t USING (SELECT 1 AS id, {to}) AS s ON t.k = 0 WHEN NOT MATCHED THEN INSERT *".replace("1 AS id, 1::BIGINT AS id", "1::BIGINT AS id")
        assert said in sql(sluice, folder, merge, code=USAGE).err
    if column in ("n.a", "k", "l", "odd name"):
        assert said in sql(sluice, folder, f"ALTER TABLE t RENAME COLUMN {name} TO z", code=USAGE).err
        assert said in sql(sluice, folder, f"ALTER TABLE t DROP COLUMN {name}", code=USAGE).err
    sql(sluice, folder, "INSERT WITH SCHEMA EVOLUTION INTO t BY NAME SELECT 1 AS id, 1 AS k, [1] AS l, 1 AS \"odd name\", {'a': 1, 'b': 5000000000, 'c': 1} AS n", "ALTER TABLE t RENAME COLUMN n.b TO z",
        "ALTER TABLE t DROP COLUMN n.z")
    assert "used" in sql(sluice, folder, "ALTER TABLE t DROP COLUMN n", code=USAGE).err


def test_a_column_that_is_not_null_may_be_set_so(sluice, folder):
    sql(sluice, folder, "CREATE TABLE t (id INT NOT NULL, k INT, n STRUCT<a: INT NOT NULL>)", "ALTER TABLE t ALTER COLUMN id SET NOT NULL", "ALTER TABLE t ALTER COLUMN n.a SET NOT NULL",
        "ALTER TABLE t ALTER COLUMN id SET NOT NULL, k COMMENT 'x'")
    assert [r["operation"] for r in sql(sluice, folder, "DESCRIBE HISTORY t").rows()] == ["CHANGE COLUMNS", "CHANGE COLUMN", "CHANGE COLUMN", "CREATE TABLE"]
    assert "CHECK (k IS NOT NULL)" in sql(sluice, folder, "ALTER TABLE t ALTER COLUMN k SET NOT NULL", code=REFUSED).err
