"""What one left, the other goes on with: features whose state lies in the table (marks of identity columns, ids of rows, clustering, types
that were widened), statement after statement by sluice and Spark on one table, beside one that Spark writes alone."""
import os

import pytest

from lib.twins import Twins
from test_differential import same_changes, same_row_ids, same_tables

pytestmark = pytest.mark.spark
DV, COW, CDF = "'delta.enableDeletionVectors' = 'true'", "'delta.enableDeletionVectors' = 'false'", "'delta.enableChangeDataFeed' = 'true'"
NAME, ID, TRACKED = "'delta.columnMapping.mode' = 'name'", "'delta.columnMapping.mode' = 'id'", "'delta.enableRowTracking' = 'true'"
WIDENING, DEFAULTS = "'delta.enableTypeWidening' = 'true'", "'delta.feature.allowColumnDefaults' = 'supported'"


def table(*properties, columns="id INT, s STRING", more=""):
    return f"CREATE TABLE {{t}} ({columns}) USING delta {more} TBLPROPERTIES ({', '.join(properties)})"


def rows(*values):
    return f"INSERT INTO {{t}} VALUES {', '.join(values)}"


def merge(*values, clauses="WHEN MATCHED THEN UPDATE SET s = s.s WHEN NOT MATCHED THEN INSERT (id, s) VALUES (s.id, s.s)"):
    return f"MERGE INTO {{t}} AS t USING (SELECT * FROM (VALUES {', '.join(values)}) AS x(id, s)) AS s ON t.id = s.id {clauses}"


def alter(*what):
    return [f"ALTER TABLE {{t}} {w}" for w in what]


THREE = rows("(1, 'a'), (2, 'b'), (3, 'c')")
RESTORED = [THREE, "UPDATE {t} SET s = 'u' WHERE id = 1", "DELETE FROM {t} WHERE id = 2", merge("(3, 'm')", "(4, 'n')"), "RESTORE TABLE {t} TO VERSION AS OF ‹2›",
            rows("(5, 'e')"), "RESTORE TABLE {t} TO VERSION AS OF ‹1›", "OPTIMIZE {t}", "DELETE FROM {t}", "RESTORE TABLE {t} TO VERSION AS OF ‹6›", "UPDATE {t} SET s = 'v'"]
IDENTITY = ["INSERT INTO {t} (id, s) VALUES (1, 'a'), (2, 'b')", merge("(2, 'm')", "(3, 'n')", "(4, 'o')"), "INSERT INTO {t} (id) VALUES (5)",
            "RESTORE TABLE {t} TO VERSION AS OF ‹1›", "INSERT INTO {t} (id) VALUES (6)", "UPDATE {t} SET k = 7", "UPDATE {t} SET s = 'u' WHERE id = 6", "DELETE FROM {t} WHERE id = 2",
            "INSERT INTO {t} (k, id) VALUES (100, 7)", "INSERT INTO {t} (id) VALUES (8)", "INSERT OVERWRITE {t} (id) VALUES (9)", "OPTIMIZE {t}", "INSERT INTO {t} (id) VALUES (10)",
            merge("(10, 'x')", clauses="WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (k, id) VALUES (-5, s.id)"), "RESTORE TABLE {t} TO VERSION AS OF ‹3›", "INSERT INTO {t} (id) VALUES (11)",
            "ALTER TABLE {t} ALTER COLUMN k SYNC IDENTITY", "INSERT INTO {t} (id) VALUES (12)", "ALTER TABLE {t} DROP COLUMN s", "ALTER TABLE {t} ADD COLUMN z INT", "INSERT INTO {t} (z) VALUES (13)"]
PARTS = {"TINYINT": ("CAST(-7 AS TINYINT)", "CAST(127 AS TINYINT)"), "SMALLINT": ("CAST(300 AS SMALLINT)", "CAST(-1 AS SMALLINT)"), "INT": ("70000", "0"), "BIGINT": ("5000000000", "-1"),
         "FLOAT": ("CAST(1.5 AS FLOAT)", "CAST('NaN' AS FLOAT)"), "DOUBLE": ("CAST(1e300 AS DOUBLE)", "CAST(-0.1 AS DOUBLE)"), "DECIMAL(10,2)": ("1.50", "-0.05"),
         "DECIMAL(38,0)": ("CAST('12345678901234567890123456789012345678' AS DECIMAL(38,0))", "CAST(0 AS DECIMAL(38,0))"), "DATE": ("DATE '2024-02-29'", "DATE '0001-01-01'"),
         "TIMESTAMP": ("TIMESTAMP '2024-01-02 03:04:05.678901'", "TIMESTAMP '1969-12-31 23:59:59'"), "TIMESTAMP_NTZ": ("«ntz:'2024-01-02 03:04:05.678901'»", "«ntz:'2024-01-02 00:00:00'»"),
         "BOOLEAN": ("TRUE", "FALSE"), "STRING": ("'a/b %2F=:'", "''"), "BINARY": ("«bin:6263»", "«bin:61»")}


def partitioned(mapping):
    """All types at once: the first two columns of partitions are those that change."""
    columns, whole = {f"p{i}": kind for i, kind in enumerate(PARTS)}, ", ".join(f"p{i}" for i in range(len(PARTS)))
    a, b = (", ".join(values[i] for values in PARTS.values()) for i in (0, 1))
    out = [table(mapping, DV, "'delta.feature.timestampNtz' = 'supported'", columns="id INT, s STRING, " + ", ".join(f"{c} {k}" for c, k in columns.items()), more=f"PARTITIONED BY ({whole})"),
           f"INSERT INTO {{t}} SELECT * FROM (VALUES (1, 'x', {a}), (2, 'y', {b})) AS v(id, s, {whole})", "INSERT INTO {t} (id, s) VALUES (3, 'z')", f"INSERT INTO {{t}} SELECT 4 AS id, 'w' AS s, {a}"]
    out += [f"UPDATE {{t}} SET s = concat(s, '{c}') WHERE {c} = {values[n % 2]}" for n, (c, values) in enumerate(zip(columns, PARTS.values()))]
    return out + [f"UPDATE {{t}} SET {', '.join(f'{c} = {v[0]}' for c, v in zip(columns, PARTS.values()))} WHERE id = 2", f"UPDATE {{t}} SET {', '.join(f'{c} = NULL' for c in columns)} WHERE id = 1",
                  "ALTER TABLE {t} RENAME COLUMN p0 TO q", f"INSERT INTO {{t}} SELECT 5 AS id, 'v' AS s, {b}", "DELETE FROM {t} WHERE q = CAST(-7 AS TINYINT)", "OPTIMIZE {t}", "DELETE FROM {t} WHERE p3 IS NULL",
                  "INSERT INTO {t} (id) VALUES (6)"]


ONE_BY_ONE = [rows(f"({i}, '{i}'), ({i + 10}, 'x')") for i in range(5)]
SCENARIOS = {
    "restore, change feed, vectors": [table(DV, CDF), *RESTORED],
    "restore, change feed, copies": [table(COW, CDF), *RESTORED],
    "restore, change feed, mapped, partitions": [table(DV, CDF, NAME, more="PARTITIONED BY (s)", columns="id INT, s STRING"), *RESTORED],
    "identity, always": ["BOTH " + table(DV, NAME, columns="k BIGINT GENERATED ALWAYS AS IDENTITY (START WITH 10 INCREMENT BY 5), id INT, s STRING"), *IDENTITY],
    "identity, by default, falling": ["BOTH " + table(COW, NAME, columns="k BIGINT GENERATED BY DEFAULT AS IDENTITY (START WITH -1 INCREMENT BY -3), id INT, s STRING"), *IDENTITY],
    "row tracking, vectors": [table(DV, TRACKED, CDF), *RESTORED, merge("(1, 'w')", "(9, 'x')"), "RESTORE TABLE {t} TO VERSION AS OF ‹4›", rows("(7, 'g')"), "REORG TABLE {t} APPLY (PURGE)"],
    "row tracking, copies": [table(COW, TRACKED), *RESTORED, merge("(1, 'w')", "(9, 'x')"), "RESTORE TABLE {t} TO VERSION AS OF ‹4›", rows("(7, 'g')")],
    "row tracking, mapped, partitions": [table(DV, TRACKED, ID, more="PARTITIONED BY (s)"), *RESTORED, "UPDATE {t} SET s = 'q' WHERE id = 1", "INSERT OVERWRITE {t} VALUES (1, 'z')"],
    **{f"checkpoints, {name}": [table(DV, "'delta.checkpointInterval' = '2'", *props, more="PARTITIONED BY (s)"), *RESTORED, *alter("ADD COLUMN x INT", "CLUSTER BY (id)"), "INSERT INTO {t} (id) VALUES (9)"]
       for name, props in {"v2": ["'delta.checkpointPolicy' = 'v2'"], "v2, tracked, parsed": ["'delta.checkpointPolicy' = 'v2'", TRACKED, "'delta.checkpoint.writeStatsAsStruct' = 'true'",
                                                                                              "'delta.checkpoint.writeStatsAsJson' = 'false'"]}.items()},
    "policy of checkpoints changes": [table(DV, "'delta.checkpointInterval' = '2'"), THREE, *alter("SET TBLPROPERTIES ('delta.checkpointPolicy' = 'v2')"), *ONE_BY_ONE[:3],
                                      *alter("SET TBLPROPERTIES ('delta.checkpointPolicy' = 'classic')"), "DELETE FROM {t} WHERE id = 2", *ONE_BY_ONE[3:],
                                      *alter("DROP FEATURE v2Checkpoint"), "DELETE FROM {t} WHERE id = 3"],
    "type widening": [table(DV, WIDENING, NAME, columns="id INT, s STRING, k TINYINT, d DECIMAL(6,2), f FLOAT, t DATE, n STRUCT<a: SMALLINT>, l ARRAY<SMALLINT>, m MAP<STRING, INT>", more="PARTITIONED BY (k)"),
                      "INSERT INTO {t} (id, k, d, f, t) VALUES (1, CAST(2 AS TINYINT), 3.25, CAST(0.1 AS FLOAT), DATE '2024-01-02')", *alter("ALTER COLUMN id TYPE BIGINT", "ALTER COLUMN k TYPE SMALLINT"),
                      "INSERT INTO {t} (id, k) VALUES (5000000000, CAST(300 AS SMALLINT))", *alter("ALTER COLUMN k TYPE INT", "ALTER COLUMN d TYPE DECIMAL(12,4)", "ALTER COLUMN n.a TYPE INT",
                      "ALTER COLUMN l.element TYPE INT", "ALTER COLUMN m.value TYPE BIGINT", "ALTER COLUMN f TYPE DOUBLE", "ALTER COLUMN t TYPE TIMESTAMP_NTZ", "ALTER COLUMN id TYPE DOUBLE"),
                      "INSERT INTO {t} (id, k, d, f, n, l) SELECT 7, 70000, 12345678.1234, 0.1, «struct1:70000», «array:70000»", "UPDATE {t} SET d = d + 1 WHERE k = 2", "DELETE FROM {t} WHERE k = 300",
                      "OPTIMIZE {t}", *alter("RENAME COLUMN d TO e", "ALTER COLUMN e TYPE DECIMAL(14,6)"), "RESTORE TABLE {t} TO VERSION AS OF ‹4›", *alter("ALTER COLUMN k TYPE BIGINT"),
                      "INSERT INTO {t} (id, k) VALUES (8, 5000000000)", *alter("DROP FEATURE typeWidening"), "INSERT INTO {t} (id) VALUES (9)"],
    "vacuum": [table(COW), THREE, "UPDATE {t} SET s = 'u'", "VACUUM {t} RETAIN 0 HOURS", "DELETE FROM {t} WHERE id = 2", "VACUUM {t} LITE RETAIN 0 HOURS", *alter(f"SET TBLPROPERTIES ({DV})"),
               "DELETE FROM {t} WHERE id = 1", "UPDATE {t} SET s = 'w'", "VACUUM {t} RETAIN 0 HOURS", "OPTIMIZE {t}", "VACUUM {t} RETAIN 0 HOURS", THREE],
    "clustering": [table(DV, more="CLUSTER BY (id)", columns="id INT, s STRING, n STRUCT<a: INT>"), *[f"INSERT INTO {{t}} (id, s) VALUES ({i}, '{i}')" for i in range(3)], "OPTIMIZE {t}",
                   *alter("CLUSTER BY (n.a, s)"), "INSERT INTO {t} (id, s) VALUES (7, 'y')", "OPTIMIZE {t}", "OPTIMIZE {t} FULL", *alter("CLUSTER BY NONE"), "INSERT INTO {t} (id) VALUES (8)", "OPTIMIZE {t}",
                   *alter("CLUSTER BY (s)"), "RESTORE TABLE {t} TO VERSION AS OF ‹2›", "INSERT INTO {t} (id) VALUES (9)", "OPTIMIZE {t} FULL", *alter("DROP COLUMN id", "DROP FEATURE clustering"), "CLONE",
                   "INSERT INTO {t} (id) VALUES (10)", "OPTIMIZE {t}"],
    "clustering, mapped": [table(DV, NAME, more="CLUSTER BY (id)"), THREE, *alter("RENAME COLUMN id TO k", "DROP COLUMN k"), "INSERT INTO {t} (k) VALUES (7)", "OPTIMIZE {t}", *alter("CLUSTER BY (s)", "DROP COLUMN k"),
                           "INSERT INTO {t} VALUES ('x')", "OPTIMIZE {t}"],
    "defaults": [table(DV, NAME, DEFAULTS, columns="id INT DEFAULT 7, s STRING DEFAULT 'it is', d DATE DEFAULT DATE '2024-01-02', c DECIMAL(10,2) DEFAULT 1.5, x INT"), "INSERT INTO {t} (x) VALUES (1)",
                 "INSERT INTO {t} (id, s) VALUES (DEFAULT, DEFAULT), (2, 'b')", *alter("ALTER COLUMN x SET DEFAULT 40 + 2"), "INSERT INTO {t} (id) VALUES (3)", merge("(3, 'u')", "(8, 'v')"),
                 "UPDATE {t} SET s = DEFAULT WHERE id = 3", *alter("RENAME COLUMN s TO text", "ALTER COLUMN text DROP DEFAULT"),
                 "INSERT INTO {t} (id) VALUES (4)", *alter("ADD COLUMN z INT DEFAULT 5"), *alter("ADD COLUMN z INT", "ALTER COLUMN z SET DEFAULT 6"), "INSERT INTO {t} (id) VALUES (5)",
                 "RESTORE TABLE {t} TO VERSION AS OF ‹3›", "INSERT INTO {t} (id) VALUES (6)", "INSERT OVERWRITE {t} (id) VALUES (10)", "CLONE", "INSERT INTO {t} (x) VALUES (11)"],
    "constraints": [table(DV, NAME, columns="id INT, n STRUCT<a: INT, m: STRUCT<b: STRING>>, s STRING"), *alter("ADD CONSTRAINT deep CHECK (n.a > 0)", "ADD CONSTRAINT deeper CHECK (n.m.b = 'x' OR n.m.b IS NULL)",
                    "ADD CONSTRAINT deep CHECK (id > 0)", "ADD CONSTRAINT nope CHECK (n.zz > 0)"), "INSERT INTO {t} SELECT 1, «fields:a=1;m=«fields:b='x'»», 'a'", "INSERT INTO {t} (id) VALUES (2)",
                    "INSERT INTO {t} SELECT 3, «fields:a=0;m=«fields:b='x'»», 'a'", "INSERT INTO {t} SELECT 3, «fields:a=1;m=«fields:b='y'»», 'a'", "UPDATE {t} SET n.a = -1", "UPDATE {t} SET n.m.b = 'z' WHERE id = 1",
                    "UPDATE {t} SET n.a = 9 WHERE id = 1", "MERGE INTO {t} AS t USING (SELECT 1 AS id, 0 AS a) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET n.a = s.a", *alter("RENAME COLUMN n.a TO z", "DROP COLUMN n.m",
                    "RENAME COLUMN s TO text", "DROP CONSTRAINT deeper", "DROP COLUMN n.m.b", "ALTER COLUMN n.a COMMENT 'x'"), "RESTORE TABLE {t} TO VERSION AS OF ‹1›", "INSERT INTO {t} SELECT 3, «fields:a=0;m=«fields:b='x'»», 'a'",
                    *alter("DROP FEATURE checkConstraints", "DROP CONSTRAINT IF EXISTS deeper", "DROP CONSTRAINT DEEP", "DROP FEATURE checkConstraints"), "INSERT INTO {t} SELECT 3, «fields:a=0;m=«fields:b='x'»», 'a'"],
    **{f"feature goes with its history: {name}": [table(*props, "'delta.dropFeatureTruncateHistory.retentionDuration' = 'interval 24 hours'"), THREE, "DELETE FROM {t} WHERE id = 1",
                                                  *alter(f"DROP FEATURE {name} TRUNCATE HISTORY"), "INSERT INTO {t} (id) VALUES (9)", *alter(f"DROP FEATURE {name}"), "INSERT INTO {t} (id) VALUES (10)", *alter(f"DROP FEATURE {name}")]
       for name, props in {"deletionVectors": [DV], "columnMapping": [COW, NAME], "typeWidening": [COW, WIDENING], "v2Checkpoint": [COW, "'delta.checkpointPolicy' = 'v2'"], "rowTracking": [COW, TRACKED],
                           "inCommitTimestamp": [COW, "'delta.enableInCommitTimestamps' = 'true'"], "vacuumProtocolCheck": [COW, "'delta.feature.vacuumProtocolCheck' = 'supported'"]}.items()},
    "a feature that came late does not go with its history": [table(COW), THREE, *alter(f"SET TBLPROPERTIES ({DV})"), "DELETE FROM {t} WHERE id = 1", *alter("DROP FEATURE deletionVectors TRUNCATE HISTORY"),
                                                              "INSERT INTO {t} (id) VALUES (9)"],
    "partitions of all types, mapped by name": partitioned(NAME),
    "partitions of all types, mapped by id": partitioned(ID),
}
SETTINGS = {"vacuum": {"spark.databricks.delta.retentionDurationCheck.enabled": "false"}}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("first", [0, 1] if os.environ.get("SLUICE_SPARK_BOTH") else [0], ids=lambda first: ("sluice", "Spark")[first])
def test_by_turns(sluice, spark, tmp_path, scenario, first):
    twins = Twins(sluice, spark, tmp_path, f"{scenario}, {first}")
    for key, value in SETTINGS.get(scenario, {}).items():
        spark.run(f"SET {key}={value}")
    try:
        for turn, statement in enumerate(SCENARIOS[scenario]):
            twins.step(statement, sluice=turn % 2 == first)
    finally:
        for key in SETTINGS.get(scenario, {}):
            spark.run(f"RESET {key}")
    if scenario == "vacuum":
        twins.points = twins.points[-1:]  # older versions have lost their files
        for path in (twins.ours, twins.theirs):
            live = {row[0].rpartition("/")[2] for row in spark.rows(f"SELECT DISTINCT _metadata.file_path FROM delta.`{path}`")}
            assert {f.name for f in path.glob("*.parquet")} == live and not list(path.glob("*.bin")), path
    same_tables(twins)
    same_changes(twins)
    same_row_ids(twins)
