"""Every feature of writing: the table that sluice writes is, at every version, the one that Spark writes by the same
statements, and both read both. What is compared: rows, schema, properties, protocol, history (operation, parameters,
metrics), statistics of files field by field, the change feed, row ids. delta-rs and Polars read the newest
version where they can."""
import json
from decimal import Decimal

import pytest

from lib.lake import read_arrow
from lib.spark import Log, plain, plain_arrow
from lib.twins import Twins, our_rows, shape, spark_rows, told_history, told_stats, unlike

pytestmark = pytest.mark.spark
DV, COW, CDF = "'delta.enableDeletionVectors' = 'true'", "'delta.enableDeletionVectors' = 'false'", "'delta.enableChangeDataFeed' = 'true'"
MAPPED = "'delta.columnMapping.mode' = 'name'"
ROWS = "INSERT INTO {t} VALUES (1, 'a', 1.5), (2, 'b', NULL), (3, NULL, 3.5), (4, 'd', 4.5)"


def table(*properties, columns="id INT, s STRING, d DECIMAL(10,2)", more=""):
    return f"CREATE TABLE {{t}} ({columns}) USING delta {more} TBLPROPERTIES ({', '.join(properties)})"


def source(*rows, columns="id, s, d"):
    return f"(SELECT * FROM (VALUES {', '.join(rows)}) AS x({columns})) AS s"


FOUR = source("(1, 'x', 9.5)", "(3, 'y', 8.5)", "(7, 'z', 7.5)", "(8, 'w', 6.5)")
ABSENT, WIDE = source("(99, 'x', 9.5)"), source("(1, 'x', 5)", "(7, 'z', 6)", columns="id, s, extra")
MERGE = f"MERGE INTO {{t}} AS t USING {FOUR} ON t.id = s.id "
CLAUSES = {
    "matched update": MERGE + "WHEN MATCHED THEN UPDATE SET s = s.s, d = t.d + s.d",
    "matched star": MERGE + "WHEN MATCHED THEN UPDATE SET *",
    "matched delete": MERGE + "WHEN MATCHED AND s.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET d = s.d",
    "not matched": MERGE + "WHEN NOT MATCHED AND s.id > 7 THEN INSERT (id, s) VALUES (s.id, s.s) WHEN NOT MATCHED THEN INSERT *",
    "by source": MERGE + "WHEN NOT MATCHED BY SOURCE AND t.id = 2 THEN DELETE WHEN NOT MATCHED BY SOURCE THEN UPDATE SET s = 'left'",
    "all": MERGE + "WHEN MATCHED AND t.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT * "
                   "WHEN NOT MATCHED BY SOURCE THEN UPDATE SET d = 0",
    "nothing": f"MERGE INTO {{t}} AS t USING {ABSENT} ON t.id = s.id WHEN MATCHED THEN DELETE",
}
CHANGES = ["UPDATE {t} SET s = 'u' WHERE id = 1", "DELETE FROM {t} WHERE id = 2", "UPDATE {t} SET d = d + 1", "DELETE FROM {t} WHERE id > 100",
           "DELETE FROM {t}"]
MANY = [f"INSERT INTO {{t}} VALUES ({i}, '{i % 3}', {i}.5), ({i + 10}, 'x', NULL)" for i in range(4)]

VARIANTS = ["INSERT INTO {t} VALUES (1, parse_json('{\"a\":1,\"b\":[true,null,\"x\"],\"c\":{\"d\":1.25}}'), «array:parse_json('1'),NULL», «struct:parse_json('{\"z\":[]}'),5»), "
            "(2, NULL, NULL, NULL), (3, parse_json('null'), «array:parse_json('null')», «struct:NULL,NULL»), (4, parse_json('12345678901234567890'), NULL, NULL)",
            "UPDATE {t} SET v = parse_json('{\"u\":[1e5,-0.5]}') WHERE id = 1", "UPDATE {t} SET id = 30 WHERE id = 3", "DELETE FROM {t} WHERE id = 2",
            "MERGE INTO {t} AS t USING (SELECT id, parse_json(j) AS v FROM (VALUES (4, '\"four\"'), (9, '9.50')) AS x(id, j)) AS s ON t.id = s.id "
            "WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v)",
            "INSERT INTO {t} (id, v) SELECT 10, parse_json('{\"k\":\"v\"}')"]
VARIANT_COLUMNS = "id INT, v VARIANT, l ARRAY<VARIANT>, n STRUCT<a: VARIANT, b: INT>"

DEEP = "id INT, n STRUCT<a: INT, b: STRING, m: STRUCT<x: INT, y: STRING>>, l ARRAY<STRUCT<v: INT, w: STRING>>"
DEEP_ROWS = ("INSERT INTO {t} SELECT * FROM (VALUES (1, «fields:a=1;b='x';m=«fields:x=1;y='p'»», «array:«fields:v=1;w='q'»»), "
             "(2, «fields:a=2;b=NULL;m=CAST(NULL AS STRUCT<x: INT, y: STRING>)», NULL), (3, NULL, NULL)) AS x(id, n, l)")


def by_id(columns, clauses, how=""):
    return f"MERGE {how}INTO {{t}} AS t USING (SELECT {columns}) AS s ON t.id = s.id {clauses}"


def evolving(columns, clauses="WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"):
    return by_id(columns, clauses, "WITH SCHEMA EVOLUTION ")


FIELDS = [
    DEEP_ROWS, "UPDATE {t} SET n.a = n.a + 10, n.m.y = 'upd' WHERE id < 4", "UPDATE {t} SET n.m.x = 5, n.m = «fields:x=1;y='z'»",
    "MERGE INTO {t} AS t USING (SELECT * FROM (VALUES (1, 5), (3, 6), (7, 7)) AS x(id, x)) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET t.n.a = s.x, n.m.y = 'z' "
    "WHEN NOT MATCHED THEN INSERT (id, n) VALUES (s.id, «fields:a=s.x;b='i';m=«fields:x=s.x;y='new'»»)",
    "MERGE INTO {t} AS t USING (SELECT 1 AS id) AS s ON t.n.a = s.id WHEN NOT MATCHED BY SOURCE AND t.n.m.x > 0 THEN UPDATE SET n.m.x = t.n.m.x + 1, n.b = 'left'",
    *[by_id(f"1 AS id, 2 AS a, {m} AS m", f"WHEN MATCHED THEN UPDATE SET {what}") for m, what in (
        ("«fields:x=3.7;y=5»", "n.m = s.m"), ("«fields:y='a';x=3»", "n.m = s.m"), ("1", "n.a = s.a, n.a = 4"), ("1", "n.zz = s.a"), ("1", "l.v = s.a"))],
    "UPDATE {t} SET n.b = id, n.a = '7' WHERE id = 1", "UPDATE {t} SET n = NULL WHERE id = 1", "UPDATE {t} SET n.m.x = 1 WHERE id = 1", "DELETE FROM {t} WHERE n.m.x = 1"]
FIELDS_EVOLVE = [
    DEEP_ROWS, evolving("1 AS id, «fields:a=5;b='e';m=«fields:x=5;y='e';z=6»» AS n, «array:«fields:v=1;w='q';u=2.5»» AS l"), evolving("1 AS id, «fields:b='only'» AS n"),
    evolving("3 AS id, «fields:m=«fields:y='only'»» AS n"), evolving("2 AS id, CAST(NULL AS STRUCT<b: STRING>) AS n"), evolving("8 AS id, «fields:b='only';new=1» AS n"),
    evolving("1 AS id, «fields:b='S'» AS n", "WHEN MATCHED THEN UPDATE SET n = s.n"), evolving("1 AS id, «fields:y='S';q=1» AS m", "WHEN MATCHED THEN UPDATE SET n.m = s.m"),
    evolving("1 AS id, «fields:a=1;zz=1» AS o", "WHEN MATCHED THEN UPDATE SET n = s.o"), evolving("2 AS id, 7 AS extra, 9 AS other", "WHEN MATCHED THEN UPDATE SET extra = s.extra"),
    evolving("2 AS ID, 'up' AS Extra"), evolving("2 AS ID, 4 AS Extra"), evolving("2 AS id, 4 AS never", "WHEN MATCHED THEN DELETE")]
WIDER = ["CAST(70000 AS INT) AS k", "CAST(5000000000 AS BIGINT) AS k", "CAST(1.2345 AS DECIMAL(10,4)) AS d", "CAST(1.23456 AS DECIMAL(11,5)) AS d", "CAST(1.2345 AS DECIMAL(7,4)) AS e",
         "CAST(1.5 AS DOUBLE) AS i", "CAST(1.5 AS DECIMAL(12,2)) AS j", "70000 AS e", "CAST(0.1 AS DOUBLE) AS f", "«fields:a=CAST(5000000000 AS BIGINT)» AS n", "«array:CAST(5000000000 AS BIGINT)» AS l"]

FEATURES = {
    "create": [table(DV)],
    "create: comments, NOT NULL, partitions": [
        "CREATE TABLE {t} (id INT NOT NULL COMMENT 'key', s STRING, p DATE) USING delta PARTITIONED BY (p) COMMENT 'of all' "
        f"TBLPROPERTIES ({DV}, 'mine' = 'x')", "INSERT INTO {t} VALUES (1, 'a', DATE '2024-01-02'), (2, 'b', NULL)"],
    "create as select": [f"CREATE TABLE {{t}} USING delta TBLPROPERTIES ({DV}) AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS x(id, s)"],
    "replace": [table(DV), ROWS, f"CREATE OR REPLACE TABLE {{t}} (a INT, b STRING) USING delta TBLPROPERTIES ({DV})", "INSERT INTO {t} VALUES (1, 'x')",
                f"REPLACE TABLE {{t}} (c INT) USING delta TBLPROPERTIES ({DV})"],
    "replace as select": [table(DV), ROWS, f"CREATE OR REPLACE TABLE {{t}} USING delta PARTITIONED BY (b) TBLPROPERTIES ({DV}) AS "
                          "SELECT * FROM (VALUES (1, 'x'), (2, 'y')) AS x(a, b)"],
    "replace with column mapping": [
        table(DV, MAPPED, columns="a INT, b STRING, s STRUCT<x: INT, y: STRING, z: STRUCT<k: INT>>, l ARRAY<STRUCT<x: INT, y: INT>>, m MAP<STRING, STRUCT<v: INT>>, c CHAR(3)"),
        *("CREATE OR REPLACE " + table(DV, MAPPED, columns=c).removeprefix("CREATE ") for c in (
            "n INT, B STRING, a BIGINT, s STRUCT<x: INT, y: INT, z: STRUCT<k: INT>, n: INT>, l ARRAY<STRUCT<x: INT, y: BIGINT>>, m MAP<STRING, STRUCT<v: INT>>, c CHAR(3)",
            "B STRING NOT NULL, S STRUCT<x: INT NOT NULL, y: INT, z: STRUCT<k: INT>, n: INT>, l STRUCT<x: INT>, c VARCHAR(3), m ARRAY<STRUCT<v: INT>>",
            "B STRING, S STRUCT<x: INT, y: INT, z: STRUCT<K: INT>, n: INT>, c STRING")),
        "ALTER TABLE {t} RENAME COLUMN B TO d", f"CREATE OR REPLACE TABLE {{t}} USING delta TBLPROPERTIES ({DV}, {MAPPED}) AS SELECT 'x' AS b, 1 AS c, 'y' AS d",
        f"CREATE OR REPLACE TABLE {{t}} USING delta TBLPROPERTIES ({DV}, 'delta.columnMapping.mode' = 'id') AS SELECT 'x' AS b, 'y' AS d",
        "REPLACE " + table(DV, columns="b STRING").removeprefix("CREATE "), "REPLACE " + table(DV, MAPPED, columns="b STRING").removeprefix("CREATE ")],
    "change columns": [
        table(DV, "'delta.feature.allowColumnDefaults' = 'supported'", "'delta.enableTypeWidening' = 'true'", columns="a INT, b STRING, c INT, s STRUCT<x: INT, y: INT>"),
        "ALTER TABLE {t} ALTER COLUMN a COMMENT 'ac', nope COMMENT 'x'", "ALTER TABLE {t} ALTER COLUMN a COMMENT 'x', a COMMENT 'y'",
        "ALTER TABLE {t} ALTER COLUMN s COMMENT 'x', s.x COMMENT 'y'", "ALTER TABLE {t} ALTER COLUMN a FIRST, c AFTER a", "ALTER TABLE {t} ALTER COLUMN b AFTER s, c FIRST",
        *[f"ALTER TABLE {{t}} ALTER COLUMN {c}" for c in (
            "a TYPE BIGINT, b SET DEFAULT 'x', s.x COMMENT 'q', c COMMENT 'z'", "a TYPE BIGINT, b COMMENT 'b'", "a TYPE BIGINT, b TYPE STRING", "s.x COMMENT 'alone'", "s COMMENT 'all'", "s.y FIRST")],
        "INSERT INTO {t} (a) VALUES (1)"],
    "replace columns, nested": [
        table(DV, MAPPED, columns="a INT, b STRING, s STRUCT<x: INT, y: STRING>, l ARRAY<STRUCT<q: INT>>, d DECIMAL(5,2), c CHAR(3)"),
        "INSERT INTO {t} VALUES (1, 'x', «struct:1,'y'», NULL, 1.5, 'ccc')", "ALTER TABLE {t} ADD COLUMNS (z STRUCT<q: INT>, w ARRAY<INT> COMMENT 'w')",
        *[f"ALTER TABLE {{t}} REPLACE COLUMNS ({c})" for c in (
            "A INT COMMENT 'x', b STRING, l ARRAY<STRUCT<q: INT, r: INT>>, s STRUCT<y: STRING>, d DECIMAL(5,2), c STRING", "b STRING, d DECIMAL(5,2)",
            "b STRING, d DECIMAL(5,2), a INT, s STRUCT<y: STRING, x: INT>, l ARRAY<STRUCT<r: INT>>")], "INSERT INTO {t} (a, b) VALUES (5, 'n')"],
    "replace columns": [
        table(DV, "'delta.feature.allowColumnDefaults' = 'supported'", "'delta.enableTypeWidening' = 'true'", columns="a INT COMMENT 'of a', b STRING NOT NULL, c INT DEFAULT 5, s STRUCT<x: INT, y: INT>"),
        "INSERT INTO {t} VALUES (1, 'x', 2, «fields:x=1;y=2»)", *(f"ALTER TABLE {{t}} REPLACE COLUMNS ({columns})" for columns in (
            "a INT, b STRING", "a INT, b STRING COMMENT 'of b', c INT, s STRUCT<x: INT, y: INT>, d DOUBLE", "d DOUBLE, a BIGINT, B STRING, c INT, s STRUCT<x: INT, n: STRING, y: INT>",
            "d STRING, a BIGINT, b STRING, c INT, s STRUCT<x: INT, n: STRING, y: INT>", "d DOUBLE, a BIGINT, b STRING NOT NULL, c INT, s STRUCT<x: INT, n: STRING, y: INT>", "a INT, a INT")),
        f"ALTER TABLE {{t}} SET TBLPROPERTIES ({MAPPED})", *(f"ALTER TABLE {{t}} REPLACE COLUMNS ({columns})" for columns in (
            "a BIGINT, c INT, s STRUCT<y: INT, k: INT>", "a BIGINT, c INT, z INT", "a BIGINT, c INT, s STRUCT<n: STRING, y: INT>", "a BIGINT, c INT, s STRUCT<n: STRING, y: INT>, l ARRAY<STRUCT<p: INT>>",
            "l ARRAY<STRUCT<p: INT, q: DATE>>, c INT")), "INSERT INTO {t} VALUES (NULL, 7)"],
    "insert": [table(DV), ROWS, "INSERT INTO {t} (s, id) VALUES ('q', 9)", "INSERT INTO {t} BY NAME SELECT 5 AS id, CAST(1.25 AS DECIMAL(10,2)) AS d, 'n' AS s",
               "INSERT INTO {t} (id) SELECT 1 WHERE 1 = 0"],
    "insert overwrite": [table(DV), ROWS, "INSERT OVERWRITE {t} VALUES (9, 'o', 1.25)"],
    "insert replace where": [table(DV, more="PARTITIONED BY (s)"), ROWS, "INSERT INTO {t} REPLACE WHERE s = 'a' SELECT 5, CAST(2.5 AS DECIMAL(10,2)), 'a'"],
    "insert overwrite of partitions": [table(DV, more="PARTITIONED BY (s)"), "INSERT INTO {t} VALUES (1, 1.5, 'a'), (2, 2.5, 'b')",
                                       "DYNAMIC INSERT OVERWRITE {t} VALUES (3, 3.5, 'b'), (4, 4.5, 'c')"],
    "insert overwrite of static partitions": [
        table(DV, more="PARTITIONED BY (p, q, d)", columns="id INT, p STRING, q INT, d DATE"), "INSERT INTO {t} VALUES (1, 'a', 1, NULL), (2, 'b', 1, NULL), (3, 'a', 2, NULL)",
        *[f"INSERT OVERWRITE {{t}} PARTITION ({p}) VALUES {v}" for p, v in {
            "p = 'a', q, d": "(9, 5, DATE '2024-01-02')", "q = 5, p = 'a', d": "(10, NULL)", "q = -7, p = 'x y', d = NULL": "(10)", "q = 7, p, d = DATE '2024-01-02'": "(10, 'x')"}.items()]],
    "insert partition clause": [table(DV, more="PARTITIONED BY (s)"), "INSERT INTO {t} PARTITION (s = 'k') VALUES (1, 1.5)"],
    "store assignment": [
        table(DV, "'delta.feature.allowColumnDefaults' = 'supported'", columns="id INT DEFAULT 1.7, b BIGINT, c DECIMAL(5,2), s STRING, n STRUCT<a: INT, b: STRING>, l ARRAY<INT>"),
        "INSERT INTO {t} (id, b) VALUES (1.9, -1.9), (2.5, DEFAULT)", "INSERT INTO {t} (b) VALUES (1)", "INSERT INTO {t} (id) VALUES ('1.5')", "INSERT INTO {t} (id) VALUES (3e9)",
        "INSERT INTO {t} (id, c) SELECT CAST(2.5 AS DOUBLE), CAST(1.255 AS DOUBLE)", "INSERT INTO {t} (c) SELECT CAST('NaN' AS DOUBLE)", "INSERT INTO {t} (c) SELECT CAST(-1.255 AS DECIMAL(6,3))",
        "INSERT INTO {t} (s) SELECT TIMESTAMP '2024-01-02 03:04:05.5'", "INSERT INTO {t} (l) SELECT «array:1.5,2.5»", "INSERT INTO {t} (s) SELECT CAST(x AS DOUBLE) FROM (VALUES (1e10), (1e-4), (0.1)) AS y(x)",
        "INSERT INTO {t} (n) SELECT «struct1:1»", "INSERT INTO {t} BY NAME SELECT «struct1:1» AS n", "INSERT INTO {t} (n) SELECT «struct:1.9,'x'»", "INSERT INTO {t} (n) SELECT «swapped:'5','6'»",
        "INSERT INTO {t} BY NAME SELECT «swapped:'x',2» AS n", "UPDATE {t} SET id = 7.9 WHERE b = 1", "UPDATE {t} SET n = «swapped:8.5,7.5» WHERE b = 1",
        "UPDATE {t} SET n = «struct1:1»", "UPDATE {t} SET n.a = 3.9 WHERE b = 1", "UPDATE {t} SET id = '3.9'",
        "MERGE INTO {t} AS t USING (SELECT CAST(1 AS BIGINT) AS b, 9.9 AS x, 30.7 AS y) AS s ON t.b = s.b WHEN MATCHED THEN UPDATE SET id = s.x + 1, l = «array:5.9» WHEN NOT MATCHED THEN INSERT (id) VALUES (s.y)",
        "MERGE INTO {t} AS t USING (SELECT CAST(99 AS BIGINT) AS b, 30.7 AS id) AS s ON t.b = s.b WHEN NOT MATCHED THEN INSERT (id, b, n) VALUES (s.id, s.b, «swapped:1.5,2.5»)",
        "MERGE INTO {t} AS t USING (SELECT CAST(98 AS BIGINT) AS b) AS s ON t.b = s.b WHEN NOT MATCHED THEN INSERT (b, n) VALUES (s.b, «struct1:1»)"],
    "seconds": [table(DV, columns="id INT, t TIMESTAMP, d DATE, b BIGINT, i SMALLINT, x DOUBLE"), "INSERT INTO {t} (id, t) VALUES (1, 5)", "INSERT INTO {t} (id, t) SELECT 2, CAST(-5.5 AS DOUBLE)", "INSERT INTO {t} (id, t) VALUES (3, 5.5)",
                "INSERT INTO {t} (id, t) VALUES (4, true)", "INSERT INTO {t} (id, d) VALUES (4, 5)", "INSERT INTO {t} (id, t, d) VALUES (4, '2024', '2024-05')", "INSERT INTO {t} (id, b, x) SELECT 5, t, t FROM {t} WHERE id = 2",
                "INSERT INTO {t} (id, i) SELECT 6, t FROM {t} WHERE id = 4", "UPDATE {t} SET t = 7 WHERE id = 1", "UPDATE {t} SET b = t", "MERGE INTO {t} AS t USING (SELECT 1 AS id, 9.25 AS x) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET t = s.x"],
    "insert evolves": [table(DV), ROWS, "INSERT WITH SCHEMA EVOLUTION INTO {t} BY NAME SELECT 6 AS id, 'e' AS extra"],
    "change by vectors": [table(DV), ROWS, *CHANGES],
    "change by copies": [table(COW), ROWS, *CHANGES],
    "change feed, vectors": [table(DV, CDF), ROWS, *CHANGES[:3], MERGE + "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *", CHANGES[-1]],
    "change feed, copies": [table(COW, CDF), ROWS, *CHANGES[:3], MERGE + "WHEN MATCHED AND s.id = 3 THEN DELETE WHEN MATCHED THEN UPDATE SET * "
                            "WHEN NOT MATCHED THEN INSERT *", CHANGES[-1]],
    "change feed, partitions": [table(DV, CDF, more="PARTITIONED BY (s)"), "INSERT INTO {t} VALUES (1, 1.5, 'a'), (2, 2.5, 'b')",
                                "UPDATE {t} SET s = 'c' WHERE id = 1", "DELETE FROM {t} WHERE s = 'b'", "INSERT OVERWRITE {t} VALUES (3, 3.5, 'z')"],
    **{f"merge {name}, {how}": [table(props), ROWS, text] for name, text in CLAUSES.items() for how, props in (("vectors", DV), ("copies", COW))},
    "merge evolves": [table(DV), ROWS, f"MERGE WITH SCHEMA EVOLUTION INTO {{t}} AS t USING {WIDE} "
                      "ON t.id = s.id WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"],
    "fields of structs, vectors": [table(DV, columns=DEEP), *FIELDS],
    "fields of structs, copies": [table(COW, columns=DEEP), *FIELDS],
    "merge evolves structs": [table(DV, columns=DEEP), *FIELDS_EVOLVE],
    "evolution widens types": [table(DV, "'delta.enableTypeWidening' = 'true'", columns="id INT, k SMALLINT, i INT, j INT, d DECIMAL(6,2), e DECIMAL(6,2), f FLOAT, n STRUCT<a: SMALLINT>, l ARRAY<INT>"),
                               "INSERT INTO {t} (id, k, d) VALUES (1, 2, 3.25), (2, 3, 4.25)",
                               *[say for n, w in enumerate(WIDER) for say in (evolving(f"1 AS id, {w}"), f"INSERT WITH SCHEMA EVOLUTION INTO {{t}} BY NAME SELECT {5 + n} AS id, {w}")[n % 2:n % 2 + 1]],
                               "ALTER TABLE {t} SET TBLPROPERTIES ('delta.enableTypeWidening' = 'false')",
                               evolving("1 AS id, CAST(9 AS DECIMAL(20,6)) AS d"), "OPTIMIZE {t}"],
    "constraints": [table(DV, columns="id INT NOT NULL, s STRING, d DECIMAL(10,2)"), ROWS, "ALTER TABLE {t} ADD CONSTRAINT small CHECK (id < 10)",
                    "INSERT INTO {t} VALUES (11, 'a', 1)", "INSERT INTO {t} VALUES (NULL, 'a', 1)", "UPDATE {t} SET id = 12", "INSERT INTO {t} VALUES (9, 'a', 1)",
                    "ALTER TABLE {t} ADD CONSTRAINT smaller CHECK (id < 5)", "ALTER TABLE {t} DROP CONSTRAINT small", "INSERT INTO {t} VALUES (11, 'a', 1)",
                    "ALTER TABLE {t} ALTER COLUMN id DROP NOT NULL", "INSERT INTO {t} VALUES (NULL, 'a', 1)"],
    "generated": ["BOTH " + table(DV, columns="id INT, g BIGINT GENERATED ALWAYS AS (CAST(id + 1 AS BIGINT))"), "INSERT INTO {t} (id) VALUES (1), (2)",
                  "INSERT INTO {t} VALUES (3, 4)", "INSERT INTO {t} VALUES (3, 5)", "UPDATE {t} SET id = 7 WHERE id = 1"],
    "generated by casts": ["BOTH " + table(DV, columns="id INT, x DOUBLE, g INT GENERATED ALWAYS AS (CAST(x AS INT)), h DATE GENERATED ALWAYS AS (CAST(s AS DATE)), s STRING"),
                           "INSERT INTO {t} (id, x, s) VALUES (1, 1.76, '2024-01-02'), (2, -2.76, '2024-01-03')", "INSERT INTO {t} (id, x, g, s) VALUES (3, 1.76, 2, NULL)",
                           "INSERT INTO {t} (id, x, g, s) VALUES (3, 1.76, 1, NULL)", "UPDATE {t} SET x = x + 2 WHERE id = 1", "ALTER TABLE {t} ADD CONSTRAINT small CHECK (CAST ( x AS INT ) < 4)",
                           "INSERT INTO {t} (id, x, s) VALUES (4, 4, NULL)", "INSERT INTO {t} (id, x, s) VALUES (4, 3.99, NULL)"],
    "update of no row": [table(DV), ROWS, *[f"UPDATE {{t}} SET {a} WHERE id = 99" for a in (
        "id = 'zzz'", "id = '7'", "id = 3000000000", "id = DATE '2024-01-01'", "id = '1.5'", "id = TRUE", "d = 'x'", "d = 1e30", "s = 1", "s = DATE '2024-01-01'", "id = 2.5")]],
    "mapped, copies": [table(COW, MAPPED), ROWS, "UPDATE {t} SET s = 'u' WHERE id = 1", "ALTER TABLE {t} RENAME COLUMN s TO text", f"ALTER TABLE {{t}} SET TBLPROPERTIES ({DV})", "DELETE FROM {t} WHERE id = 3"],
    "mapping later, copies": [table(COW), ROWS, f"ALTER TABLE {{t}} SET TBLPROPERTIES ({MAPPED})", "ALTER TABLE {t} DROP COLUMN s", "ALTER TABLE {t} DROP FEATURE columnMapping"],
    "columns of statistics": [table(COW, columns="id INT, b BOOLEAN, x BINARY, l ARRAY<INT>, n STRUCT<a: INT, l: ARRAY<INT>>, m MAP<INT, INT>, p INT", more="PARTITIONED BY (p)"),
                              *[f"ALTER TABLE {{t}} SET TBLPROPERTIES ('delta.dataSkippingStatsColumns' = '{c}')" for c in (
                                  "nope", "b", "x", "l", "m", "p", "n,n.a", "id,id", "id,,n.a", "n.zz", "n", "n.l", "", "ID", "id,n.a")],
                              "INSERT INTO {t} (id, b) VALUES (1, true)"],
    "retention": [table(COW), *[f"ALTER TABLE {{t}} SET TBLPROPERTIES ({p})" for p in (
        "'delta.logRetentionDuration' = 'interval 6 days'", "'delta.deletedFileRetentionDuration' = 'interval 31 days'",
        "'delta.logRetentionDuration' = 'interval 60 days', 'delta.deletedFileRetentionDuration' = 'interval 60 days'", "'delta.logRetentionDuration' = 'interval 7 days'")]],
    "defaults": [table(DV, "'delta.feature.allowColumnDefaults' = 'supported'", columns="id INT, s STRING DEFAULT 'dflt'"),
                 "INSERT INTO {t} (id) VALUES (1)", "INSERT INTO {t} VALUES (2, DEFAULT)", "ALTER TABLE {t} ALTER COLUMN s SET DEFAULT 'other'",
                 "INSERT INTO {t} (id) VALUES (3)", "ALTER TABLE {t} ALTER COLUMN s DROP DEFAULT", "INSERT INTO {t} (id) VALUES (4)"],
    "identity": ["BOTH " + table(DV, columns="k BIGINT GENERATED ALWAYS AS IDENTITY (START WITH 10 INCREMENT BY 5), id INT"), "INSERT INTO {t} (id) VALUES (1)",
                 "INSERT INTO {t} (id) VALUES (2)", "INSERT INTO {t} VALUES (1, 2)"],
    "append only": [table(DV, "'delta.appendOnly' = 'true'"), ROWS, "DELETE FROM {t} WHERE id = 1", "UPDATE {t} SET id = 1", "INSERT OVERWRITE {t} VALUES (9, 'o', 1.25)",
                    "ALTER TABLE {t} SET TBLPROPERTIES ('delta.appendOnly' = 'false')", "DELETE FROM {t} WHERE id = 1"],
    "add columns": [table(DV, columns="id INT, n STRUCT<a: INT>"), "INSERT INTO {t} SELECT * FROM (VALUES (1, «struct1:1»)) AS x(id, n)",
                    "ALTER TABLE {t} ADD COLUMNS (x STRING COMMENT 'new', y INT FIRST, z DATE AFTER id)", "ALTER TABLE {t} ADD COLUMN n.b STRING",
                    "INSERT INTO {t} (id, x) VALUES (2, 'q')"],
    "rename, drop, reorder": [table(DV, MAPPED), ROWS, "ALTER TABLE {t} RENAME COLUMN s TO text", "ALTER TABLE {t} DROP COLUMN d", "ALTER TABLE {t} ADD COLUMN d INT",
                              "INSERT INTO {t} VALUES (9, 'z', 5)", "ALTER TABLE {t} ALTER COLUMN d FIRST", "ALTER TABLE {t} ALTER COLUMN id COMMENT 'key'",
                              "UPDATE {t} SET d = 1 WHERE id < 3"],
    "structs of which all is new": [table(DV, MAPPED, columns="id INT, l STRUCT<a: INT, m: STRUCT<v: INT>>, k MAP<STRING, STRUCT<v: INT>>, r ARRAY<STRUCT<v: INT>>"),
                                    "INSERT INTO {t} SELECT 1, «fields:a=1;m=«fields:v=2»», «map:'k',«fields:v=3»», «array:«fields:v=4»»", "INSERT INTO {t} (id) VALUES (2)",
                                    *[f"ALTER TABLE {{t}} {what}" for f in ("l.m", "k.value", "r.element") for what in (f"ADD COLUMN {f}.w STRING", f"DROP COLUMN {f}.v")],
                                    "ALTER TABLE {t} DROP COLUMN l.a", "UPDATE {t} SET id = id + 10", "DELETE FROM {t} WHERE l.m.w = 'x'", "OPTIMIZE {t}"],
    "mapping later": [table(DV), ROWS, "ALTER TABLE {t} RENAME COLUMN s TO text", f"ALTER TABLE {{t}} SET TBLPROPERTIES ({MAPPED})",
                      "ALTER TABLE {t} RENAME COLUMN s TO text", "INSERT INTO {t} VALUES (9, 'z', 5)", "DELETE FROM {t} WHERE text = 'a'"],
    "mapping by id": [table(DV, "'delta.columnMapping.mode' = 'id'"), ROWS, "ALTER TABLE {t} RENAME COLUMN s TO text", "DELETE FROM {t} WHERE text = 'a'"],
    "widening": [table(DV, "'delta.enableTypeWidening' = 'true'", columns="id INT, k SMALLINT, d DECIMAL(6,2), f FLOAT"), "INSERT INTO {t} VALUES (1, 2, 3.25, 1.5)",
                 "ALTER TABLE {t} ALTER COLUMN id TYPE BIGINT", "ALTER TABLE {t} ALTER COLUMN k TYPE INT", "ALTER TABLE {t} ALTER COLUMN d TYPE DECIMAL(10,4)",
                 "ALTER TABLE {t} ALTER COLUMN f TYPE DOUBLE", "INSERT INTO {t} VALUES (5000000000, 70000, 3.2525, 0.1)", "ALTER TABLE {t} ALTER COLUMN id TYPE INT",
                 "UPDATE {t} SET k = 1 WHERE id = 1"],
    "variants by vectors": [table(DV, CDF, columns=VARIANT_COLUMNS), *VARIANTS, "OPTIMIZE {t}"],
    "variants by copies": [table(COW, CDF, columns=VARIANT_COLUMNS), *VARIANTS, "OPTIMIZE {t}", "RESTORE TABLE {t} TO VERSION AS OF 1"],
    "variants, mapped": [table(DV, MAPPED, "'delta.enableRowTracking' = 'true'", columns=VARIANT_COLUMNS), *VARIANTS, "ALTER TABLE {t} RENAME COLUMN v TO w",
                         "ALTER TABLE {t} ADD COLUMN x VARIANT", "UPDATE {t} SET x = w", "REORG TABLE {t} APPLY (PURGE)"],
    "variants as select": [f"CREATE TABLE {{t}} USING delta TBLPROPERTIES ({DV}) AS SELECT id, parse_json(s) AS v FROM (VALUES (1, '[1, 2.50]'), (2, 'true')) AS x(id, s)",
                           "CLONE", "DELETE FROM {t} WHERE id = 1"],
    "variants later": [table(DV), ROWS, "ALTER TABLE {t} ADD COLUMN v VARIANT", "UPDATE {t} SET v = parse_json('1') WHERE id < 3",
                       "CREATE OR REPLACE TABLE {t} (v VARIANT, p INT) USING delta PARTITIONED BY (v)"],
    "properties": [table(DV), ROWS, "ALTER TABLE {t} SET TBLPROPERTIES ('a' = 'b', 'delta.checkpointInterval' = '20')", "ALTER TABLE {t} UNSET TBLPROPERTIES ('a')",
                   "ALTER TABLE {t} UNSET TBLPROPERTIES ('nope')", "ALTER TABLE {t} UNSET TBLPROPERTIES IF EXISTS ('nope')",
                   "ALTER TABLE {t} SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')", "ALTER TABLE {t} SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true')",
                   *[f"ALTER TABLE {{t}} SET TBLPROPERTIES ('{k}' = '{v}')" for k, v in {
                       "delta.enableChangeDataFeed": "maybe", "delta.nonsense": "1", "Delta.nonsense": "1", "delta.checkpointinterval": "30", "delta.checkpointInterval": "x",
                       "delta.dataSkippingNumIndexedCols": "-2", "delta.deletedFileRetentionDuration": "7", "delta.setTransactionRetentionDuration": "interval 1 day",
                       "delta.isolationLevel": "x", "delta.checkpointPolicy": "x", "delta.columnMapping.maxColumnId": "5", "delta.appendOnly": "FALSE", "comment": "said",
                       "delta.sampleRetentionDuration": "interval 1 month", "delta.autoOptimize": "maybe", "delta.randomPrefixLength": "0", "owner": "x"}.items()],
                   "ALTER TABLE {t} SET TBLPROPERTIES ('delta.minReaderVersion' = '3', 'delta.minWriterVersion' = '7')"],
    "protocol upgrade": [table(COW), ROWS, "ALTER TABLE {t} SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')", f"ALTER TABLE {{t}} SET TBLPROPERTIES ({DV})",
                         "ALTER TABLE {t} SET TBLPROPERTIES ('delta.feature.vacuumProtocolCheck' = 'supported')", "DELETE FROM {t} WHERE id = 1"],
    "optimize": [table(DV), *MANY, "DELETE FROM {t} WHERE id = 1", "OPTIMIZE {t}"],
    "optimize of partitions": [table(DV, more="PARTITIONED BY (s)", columns="id INT, s STRING, d INT"),
                               *[f"INSERT INTO {{t}} VALUES ({i}, {i}, 'x'), ({i}, {i}, 'y')" for i in range(2)], "OPTIMIZE {t} WHERE s = 'x'"],
    "zorder": [table(DV), *MANY, "OPTIMIZE {t} ZORDER BY (id, s)"],
    "clustered": ["CREATE TABLE {t} (id INT, s STRING) USING delta CLUSTER BY (id)" f" TBLPROPERTIES ({DV})", "INSERT INTO {t} VALUES (1, 'a'), (2, 'b')",
                  "INSERT INTO {t} VALUES (0, 'c')", "OPTIMIZE {t}", "ALTER TABLE {t} CLUSTER BY (s)", "INSERT INTO {t} VALUES (5, 'c')", "OPTIMIZE {t} FULL",
                  "ALTER TABLE {t} CLUSTER BY NONE"],
    "purge": [table(DV, MAPPED), ROWS, "DELETE FROM {t} WHERE id = 1", "REORG TABLE {t} APPLY (PURGE)"],
    "restore": [table(DV), ROWS, "DELETE FROM {t} WHERE id = 1", "ALTER TABLE {t} ADD COLUMN x INT", "RESTORE TABLE {t} TO VERSION AS OF 1",
                "INSERT INTO {t} VALUES (9, 'z', 5)", "RESTORE TABLE {t} TO VERSION AS OF 2"],
    "clone": [table(DV, "'mine' = 'x'"), ROWS, "DELETE FROM {t} WHERE id = 1", "CLONE", "UPDATE {t} SET s = 'clone' WHERE id = 2", "OPTIMIZE {t}"],
    "drop feature": [table(DV), ROWS, "DELETE FROM {t} WHERE id = 1", "ALTER TABLE {t} DROP FEATURE deletionVectors", "INSERT INTO {t} VALUES (9, 'z', 5)"],
    "drop feature without trace": [table(COW, "'delta.feature.vacuumProtocolCheck' = 'supported'"), ROWS, "ALTER TABLE {t} DROP FEATURE vacuumProtocolCheck",
                                   "ALTER TABLE {t} DROP FEATURE nonsense"],
    **{f"checkpoints, {name}": [table(DV, "'delta.checkpointInterval' = '2'", *props), ROWS, CHANGES[1], *MANY[:3]] for name, props in {
        "classic": [], "V2": ["'delta.checkpointPolicy' = 'v2'"],
        "parsed": ["'delta.checkpoint.writeStatsAsStruct' = 'true'", "'delta.checkpoint.writeStatsAsJson' = 'false'"]}.items()},
    "in-commit timestamps": [table(DV, "'delta.enableInCommitTimestamps' = 'true'"), ROWS, CHANGES[1]],
    "in-commit timestamps later": [table(DV), ROWS, "ALTER TABLE {t} SET TBLPROPERTIES ('delta.enableInCommitTimestamps' = 'true')", CHANGES[1]],
    "row tracking": [table(DV, "'delta.enableRowTracking' = 'true'"), ROWS, *CHANGES[:3], MANY[0], MERGE + "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED AND s.id = 7 THEN INSERT *",
                     "OPTIMIZE {t}"],
    "row tracking, mapped by id": [table(DV, "'delta.enableRowTracking' = 'true'", "'delta.columnMapping.mode' = 'id'"), ROWS, "ALTER TABLE {t} RENAME COLUMN s TO text", *[
        c.replace("SET s", "SET text") for c in CHANGES[:3]], "ALTER TABLE {t} ADD COLUMN z INT", "INSERT INTO {t} (id, z) VALUES (9, 9)", "OPTIMIZE {t}"],
    "create like": ["CREATE TABLE {t} (a INT COMMENT 'n', p STRING, q DATE) USING delta PARTITIONED BY (p, q) COMMENT 'of all' "
                    f"TBLPROPERTIES ({DV}, {CDF}, 'mine' = 'x')", "LIKE", "INSERT INTO {t} VALUES (1, 'x', DATE '2024-01-02')"],
    "row tracking by copies": [table(COW, "'delta.enableRowTracking' = 'true'"), ROWS, *CHANGES[:3]],
    "row tracking later": [table(DV), ROWS, "DELETE FROM {t} WHERE id = 2", "ALTER TABLE {t} SET TBLPROPERTIES ('delta.enableRowTracking' = 'true')", CHANGES[2]],
    "vacuum protocol check": [table(DV, "'delta.feature.vacuumProtocolCheck' = 'supported'"), ROWS, "VACUUM {t}"],
    "vacuum": [table(COW), ROWS, "UPDATE {t} SET s = 'u'", "VACUUM {t} DRY RUN", "VACUUM {t}", "VACUUM {t} RETAIN 0 HOURS"],
    "statistics: text": [table(DV, columns="s STRING"), "INSERT INTO {t} SELECT * FROM (VALUES (repeat('a', 40)), (repeat('z', 40)), ('ü'), (NULL)) AS x(s)",
                         "INSERT INTO {t} SELECT repeat('é', 33)", "INSERT INTO {t} SELECT repeat('a', 32)", "INSERT INTO {t} VALUES ('')",
                         "INSERT INTO {t} SELECT repeat('😀', 40)", "INSERT INTO {t} SELECT concat(repeat('a', 31), '😀', 'tail')"],
    "statistics: numbers": [table(DV, columns="b TINYINT, s SMALLINT, i INT, l BIGINT, f FLOAT, d DOUBLE, c DECIMAL(38,10), e DECIMAL(5,0)"),
                            "INSERT INTO {t} VALUES (1, 2, 3, 4, 1.5, 2.5, 3.25, 7), (-1, -2, -3, -4, -0.1, 1e300, 12345678901234567890.0123456789, -7)",
                            "INSERT INTO {t} (f, d) SELECT CAST('NaN' AS FLOAT), CAST('NaN' AS DOUBLE)", "INSERT INTO {t} (f, d) SELECT CAST('NaN' AS FLOAT), 1.5",
                            "INSERT INTO {t} (f, d) SELECT CAST('Infinity' AS FLOAT), CAST('-Infinity' AS DOUBLE)", "INSERT INTO {t} (i) VALUES (NULL)",
                            "INSERT INTO {t} (l, f, d) VALUES (9007199254740993, 16777216, 100), (1, 1e-10, 1e22)"],
    "statistics: times": [table(DV, "'delta.feature.timestampNtz' = 'supported'", columns="d DATE, t TIMESTAMP, n TIMESTAMP_NTZ, b BOOLEAN, x BINARY"),
                          "INSERT INTO {t} VALUES (DATE '2024-01-02', TIMESTAMP '2024-01-02 03:04:05.123456', «ntz:'2024-01-02 03:04:05.123456'», true, NULL), "
                          "(DATE '1899-01-02', TIMESTAMP '1969-12-31 23:59:59.999999', «ntz:'1969-12-31 23:59:59.999999'», false, NULL)"],
    "statistics: nested": [table(DV, columns="id INT, n STRUCT<a: INT, b: STRING>, l ARRAY<INT>"),
                           "INSERT INTO {t} SELECT * FROM (VALUES (1, «struct:1,'x'», «array:1,2»), (2, «struct:NULL,'y'», NULL), (3, NULL, «array:3»)) AS x(id, n, l)"],
    "statistics: first columns": [table(DV, "'delta.dataSkippingNumIndexedCols' = '2'", columns="n STRUCT<a: INT, b: STRING>, id INT, s STRING"),
                                  "INSERT INTO {t} SELECT * FROM (VALUES («struct:1,'x'», 1, 'a')) AS x(n, id, s)"],
    "statistics: none": [table(DV, "'delta.dataSkippingNumIndexedCols' = '0'"), ROWS, "DELETE FROM {t} WHERE id = 1"],
    "statistics: named columns": [table(DV, "'delta.dataSkippingStatsColumns' = 's,d'"), ROWS],
}


def differences(feature, twins, spark, sluice):
    """What is not alike, a line each."""
    ours, theirs, out = Log(twins.ours), Log(twins.theirs), []

    def same(what, a, b):
        if a != b:
            left, right = unlike(a, b)
            out.append(f"{what}:\n    ours  {left}\n    Spark {right}")

    same_files, at = True, sorted(set(twins.points))
    mine, other = our_rows(sluice, twins.ours, ours, {a for a, _ in at}), our_rows(sluice, twins.theirs, theirs, {b for _, b in at})
    for a, b in at:
        same(f"rows of {a}", mine[a], other[b])
        same(f"rows of {a}, ours and as Spark reads ours", mine[a], spark_rows(spark, twins.ours, a))
        same(f"schema of {a}", shape(ours.schema(a)), shape(theirs.schema(b)))
        same(f"properties of {a}", *(shape(log.last("metaData", v)["configuration"]) for log, v in ((ours, a), (theirs, b))))
        same(f"protocol of {a}", *({k: sorted(p) if isinstance(p, list) else p for k, p in log.last("protocol", v).items()}
                                   for log, v in ((ours, a), (theirs, b))))
        if at[0] != (0, 0) or a - b != at[0][0] - at[0][1]:
            continue  # several commits of Spark's against one of ours: only what they lead to is compared
        same_files &= all(len(ours.actions(a, k)) == len(theirs.actions(b, k)) for k in ("add", "remove"))
        assert same_files or feature.endswith("copies"), twins.story(f"the numbers of files that version {a} adds and removes")
        same(f"history of {a}", told_history(ours.info(a), same_files), told_history(theirs.info(b), same_files))
        if same_files:
            same(f"statistics of {a}", told_stats(ours, a), told_stats(theirs, b))
            same(f"domains of {a}", *(domains(log, v) for log, v in ((ours, a), (theirs, b))))
    if "delta.enableChangeDataFeed" in ours.last("metaData", 0)["configuration"]:
        feeds = [asked(spark, path, FEED.format(path=path)) for path in (twins.ours, twins.theirs)]
        same("change feed as Spark reads both", *feeds)
        for path in (twins.ours, twins.theirs):
            same(f"change feed of {path.name} as sluice reads it", our_feed(sluice, path), feeds[0])
    if ours.last("metaData")["configuration"].get("delta.enableRowTracking") == "true":
        ids = "SELECT *, _metadata.row_id" + ", _metadata.row_commit_version" * (ours.newest == theirs.newest) + " FROM {p}"
        same("row ids", asked(spark, twins.ours, ids), asked(spark, twins.theirs, ids))
    same("detail", *(detail(spark, path, same_files) for path in (twins.ours, twins.theirs)))
    features = set(ours.last("protocol").get("readerFeatures", []))
    for reader, knows in READERS.items():
        if features <= knows and not (reader == "polars" and "delta.columnMapping.mode" in ours.last("metaData")["configuration"]):
            same(f"rows as {reader} reads ours", rows_of_arrow(twins.ours, reader, ours.schema()["fields"]), mine[ours.newest])
    same("rows of the newest version as Spark reads its own", other[theirs.newest], spark_rows(spark, twins.theirs, theirs.newest))
    return out


FEED = "SELECT * EXCEPT (_commit_timestamp) FROM table_changes_by_path('{path}', 0)"
READERS = {"delta-rs": {"deletionVectors", "columnMapping", "timestampNtz", "v2Checkpoint"}, "polars": {"deletionVectors", "timestampNtz"}}


def rows_of_arrow(path, reader, fields):
    rows = read_arrow(path, reader=reader).to_pylist()
    return sorted([tuple(plain_arrow(f["type"], r[f["name"]]) for f in fields) for r in rows], key=repr)


def domains(log, version):
    return [d | {"configuration": shape(json.loads(d["configuration"]))} for d in log.actions(version, "domainMetadata")]


def our_feed(sluice, path):
    done = sluice.run("sql", "--format", "json", "-c", f"SELECT * FROM table_changes_by_path('{path}', 0)")
    fields = Log(path).schema()["fields"] + [{"name": "_change_type", "type": "string"}, {"name": "_commit_version", "type": "long"}]
    rows = [json.loads(line, parse_float=Decimal) for line in done.out.splitlines()]
    return sorted([tuple(plain(f["type"], r[f["name"]]) for f in fields) for r in rows], key=repr)


def detail(spark, path, same_files):
    told = spark.run(f"DESCRIBE DETAIL delta.`{path}`").dicts()[0]
    return {k: v for k, v in told.items() if (same_files or k != "numFiles") and k in ("format", "description", "partitionColumns", "clusteringColumns", "numFiles", "minReaderVersion",
                                                   "minWriterVersion", "tableFeatures")}


def asked(spark, path, query):
    return sorted(spark.rows(query.format(p=f"delta.`{path}`")), key=repr)


@pytest.mark.parametrize("feature", FEATURES)
def test_spark_would_have_written_the_same(sluice, spark, tmp_path, feature):
    twins = Twins(sluice, spark, tmp_path, feature)
    for statement in FEATURES[feature]:
        twins.step(statement)
    found = differences(feature, twins, spark, sluice)
    assert not found, twins.story("\n".join(found))
