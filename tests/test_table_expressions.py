"""Expressions that a table brings with it are Spark's SQL: a CAST in them cuts off what DuckDB's would round."""
from lib.sluice import USAGE
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
