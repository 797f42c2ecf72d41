"""VARIANT columns written: what is in the files, as others read it, and through every statement that writes rows again."""
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from lib.sluice import REFUSED, USAGE
from test_dml import SPARK, folder, rows, sql  # noqa: F401

DV, COW = ("'delta.enableDeletionVectors' = 'true'", "'delta.enableDeletionVectors' = 'false'")
COLUMNS = "id INT, v VARIANT, st STRUCT<x: INT, v: VARIANT>, a ARRAY<VARIANT>, m MAP<STRING, VARIANT>"
FULL = """(1, parse_json('{"a":1,"b":[true,null,"x"]}'), {'x': 5, 'v': parse_json('2.50')}, [parse_json('1'), NULL],
          map {'k': parse_json('{"z":1}'), 'n': NULL})"""
NONE = "(2, NULL, NULL, NULL, NULL), (3, NULL, {'x': 1, 'v': NULL}, [], map {})"
# Bytes of Spark for the same JSON: (metadata, value)
A = (b"\x01\x02\x00\x01\x02ab", b"\x02\x02\x00\x01\x00\x02\x0c\x0c\x01\x03\x03\x00\x01\x02\x04\x04\x00\x05x")
TWO_AND_A_HALF = (b"\x01\x00\x00", b"\x20\x02\xfa\x00\x00\x00")
ONE, Z = (b"\x01\x00\x00", b"\x0c\x01"), (b"\x01\x01\x00\x01z", b"\x02\x01\x00\x00\x02\x0c\x01")


def pair(v):
    return v and (v["metadata"], v["value"])


def files(lake, table="t"):
    """The live files, oldest first."""
    live = {}
    for _, actions in lake.log(table):
        for a in actions:
            if "add" in a:
                live[a["add"]["path"]] = a["add"]
            if "remove" in a:
                live.pop(a["remove"]["path"], None)
    return [(lake.table_path(table) / path, add) for path, add in live.items()]


def one_file(lake, table="t"):
    [(path, add)] = files(lake, table)
    return path, add


def table(sluice, lake, *properties, columns=COLUMNS, name="t"):
    sql(sluice, lake, f"CREATE TABLE {name} ({columns}) TBLPROPERTIES ({', '.join(properties)})")


def test_files_are_as_spark_writes_them(sluice, folder):
    table(sluice, folder, DV)
    sql(sluice, folder, f"INSERT INTO t VALUES {FULL}, {NONE}")
    protocol = [a["protocol"] for _, actions in folder.log("t") for a in actions if "protocol" in a]
    assert "variantType" in protocol[0]["readerFeatures"] and "variantType" in protocol[0]["writerFeatures"]
    assert folder.schema("t")["v"] == "variant"
    path, add = one_file(folder)
    assert add["size"] == path.stat().st_size
    schema = str(pq.ParquetFile(path).schema)
    assert schema.count("(Variant(1))") == 4 and "typed_value" not in schema
    assert schema.count("required binary field_id=-1 metadata;") == schema.count("required binary field_id=-1 value;") == 4
    first, second, third = pq.ParquetFile(path).read().to_pylist()
    assert list(first) == ["id", "v", "st", "a", "m"]
    assert (pair(first["v"]), pair(first["st"]["v"])) == (A, TWO_AND_A_HALF)
    assert [pair(v) for v in first["a"]] == [ONE, None]
    assert [(k, pair(v)) for k, v in first["m"]] == [("k", Z), ("n", None)]
    assert second == {"id": 2, "v": None, "st": None, "a": None, "m": None}
    assert third == {"id": 3, "v": None, "st": {"x": 1, "v": None}, "a": [], "m": []}
    stats = json.loads(add["stats"])
    assert stats["minValues"] == {"id": 1, "st": {"x": 1}} and stats["maxValues"] == {"id": 3, "st": {"x": 5}}
    assert stats["nullCount"] == {"id": 0, "v": 2, "st": {"x": 1, "v": 2}, "a": 1, "m": 1}


def test_delta_rs_reads_them(sluice, folder):
    table(sluice, folder, COW, columns="id INT, v VARIANT, a ARRAY<VARIANT>")
    sql(sluice, folder, "INSERT INTO t VALUES (1, parse_json('2.50'), [parse_json('1'), NULL]), (2, NULL, NULL)")
    got = DeltaTable(folder.table_path("t")).to_pyarrow_table().to_pylist()
    assert [(r["id"], pair(r["v"]), r["a"] and [pair(v) for v in r["a"]]) for r in got] == [(1, TWO_AND_A_HALF, [ONE, None]), (2, None, None)]


def test_several_row_groups_and_a_large_dictionary(sluice, folder):
    table(sluice, folder, COW, columns="id INT, v VARIANT, s STRING, l ARRAY<VARIANT>")
    sql(sluice, folder, """INSERT INTO t SELECT i, CASE WHEN i % 3 <> 0 THEN parse_json('{"k' || i % 300 || '":' || i || ',"long":"' || repeat('y', i % 90) || '"}') END,
            's' || i, CASE WHEN i % 7 <> 0 THEN [parse_json(i::VARCHAR), NULL] END FROM range(300000) r(i)""")
    assert sum(pq.ParquetFile(path).num_row_groups for path, _ in files(folder)) > 1
    [found] = rows(sluice, folder, """SELECT count(*), count(v), count(l), sum((v).long::VARCHAR = repeat('y', id % 90))::INT,
        sum((to_json(v)::JSON->>('k' || id % 300))::INT = id)::INT, sum((l[1])::INT = id)::INT, sum(s = 's' || id)::INT FROM t""")
    assert found == (300000, 200000, 257142, 200000, 200000, 257142, 300000)
    for path, _ in files(folder):  # another reader finds the chunks where the footer says
        got = pq.ParquetFile(path).read(["id", "v", "s"]).to_pylist()
        assert all(r["s"] == f"s{r['id']}" and (r["v"] is None) == (r["id"] % 3 == 0) for r in got)


@pytest.mark.parametrize("properties", [(DV,), (COW,), (COW, "'delta.enableChangeDataFeed' = 'true'"),
                                        (DV, "'delta.columnMapping.mode' = 'name'", "'delta.enableRowTracking' = 'true'"),
                                        (DV, "'delta.columnMapping.mode' = 'id'")])
def test_statements_that_write_rows_again(sluice, folder, properties):
    table(sluice, folder, *properties)
    want = {1: {"a": 1, "b": [True, None, "x"]}, 2: None, 3: None}
    whole = {"st": {"x": 5, "v": 2.5}, "a": [1, None], "m": {"k": {"z": 1}, "n": None}}

    def check():
        got = {r["id"]: r for r in sql(sluice, folder, "SELECT * FROM t").rows()}
        assert {k: r["v"] for k, r in got.items()} == want
        assert {k: got[1][k] for k in whole} == whole

    sql(sluice, folder, f"INSERT INTO t VALUES {FULL}, {NONE}")
    check()
    sql(sluice, folder, "UPDATE t SET v = parse_json('[1e3]') WHERE id = 3")
    want[3] = [1000.0]
    check()
    sql(sluice, folder, "UPDATE t SET id = id + 10 WHERE id = 2", "UPDATE t SET v = NULL WHERE id = 3")
    want = {1: want[1], 12: None, 3: None}
    check()
    sql(sluice, folder, """MERGE INTO t USING (SELECT 3 AS id, parse_json('"m"') AS v UNION ALL SELECT 20, parse_json('{"new":{}}')) s ON t.id = s.id
        WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v)""")
    want |= {3: "m", 20: {"new": {}}}
    check()
    sql(sluice, folder, "DELETE FROM t WHERE id = 12", "OPTIMIZE t")
    del want[12]
    check()
    if any("columnMapping" in p for p in properties):
        sql(sluice, folder, "ALTER TABLE t ADD COLUMN w VARIANT", "UPDATE t SET w = v WHERE id = 20", "ALTER TABLE t RENAME COLUMN w TO ww")
        assert rows(sluice, folder, "SELECT ww FROM t WHERE ww IS NOT NULL") == [({"new": {}},)]
        sql(sluice, folder, "ALTER TABLE t DROP COLUMN ww", "REORG TABLE t APPLY (PURGE)")
        check()
    sql(sluice, folder, "CREATE TABLE c SHALLOW CLONE t", "DELETE FROM c WHERE id <> 1", "CREATE TABLE d AS SELECT * FROM t")
    assert rows(sluice, folder, "SELECT v, st.v AS w FROM c") == [(want[1], 2.5)]
    assert sorted(rows(sluice, folder, "SELECT id, v FROM d"), key=repr) == sorted(want.items(), key=repr)
    sql(sluice, folder, "INSERT OVERWRITE t SELECT * FROM c")
    assert [pair(r) for path, _ in files(folder) for r in pq.ParquetFile(path).read().column(1).to_pylist()] == [A]
    sql(sluice, folder, "RESTORE TABLE t TO VERSION AS OF 1")
    assert rows(sluice, folder, "SELECT count(*), count(v) FROM t") == [(3, 1)]


def test_the_change_feed_has_variants(sluice, folder):
    table(sluice, folder, COW, "'delta.enableChangeDataFeed' = 'true'", columns="id INT, v VARIANT")
    sql(sluice, folder, """INSERT INTO t VALUES (1, parse_json('{"a":1}')), (2, NULL)""", "UPDATE t SET v = parse_json('[2]') WHERE id = 1",
        "DELETE FROM t WHERE id = 2")
    assert rows(sluice, folder, "SELECT id, v, _change_type FROM table_changes('t', 2) ORDER BY _commit_version, _change_type") == [
        (1, [2], "update_postimage"), (1, {"a": 1}, "update_preimage"), (2, None, "delete")]


def test_a_table_of_spark_is_changed(sluice, folder):
    """Its files have value before metadata, and members that are not in the order of their names."""
    shutil.copytree(SPARK / "variant" / "table", folder.path / "public" / "t")
    before = {r["id"]: r for r in sql(sluice, folder, "SELECT * FROM t").rows()}
    sql(sluice, folder, "UPDATE t SET st = {'v': parse_json('7')} WHERE id = 2", "OPTIMIZE t")
    before[2]["st"] = {"v": 7}
    assert {r["id"]: r for r in sql(sluice, folder, "SELECT * FROM t").rows()} == before
    path, _ = one_file(folder)
    schema = str(pq.ParquetFile(path).schema)
    assert schema.count("(Variant(1))") == 3


def test_values_of_every_type_that_duckdb_has(sluice, folder):
    values = {"1::TINYINT": "0c01", "1::SMALLINT": "100100", "1": "1401000000", "1::BIGINT": "180100000000000000", "200::UTINYINT": "10c800",
              "3000000000::UINTEGER": "18005ed0b200000000", "18446744073709551615::UBIGINT": "2800ffffffffffffffff0000000000000000",
              "1.5::FLOAT": "380000c03f", "1.5::DOUBLE": "1c000000000000f83f", "1.50::DECIMAL(5,2)": "200296000000",
              "-1.5::DECIMAL(38,10)": "240a002aee81fcffffff", "true": "04", "'x'": "0578", "'\\x01'::BLOB": "3c0100000001", "DATE '2024-01-01'": "2c0b4d0000",
              "TIMESTAMP '2024-01-01'": "3400202110d70d0600", "TIMESTAMPTZ '2024-01-01 00:00:00Z'": "3000202110d70d0600", "TIMESTAMP_S '2024-01-01'": "3400202110d70d0600",
              "TIME '00:00:01'": "4440420f0000000000", "uuid '00112233-4455-6677-8899-aabbccddeeff'": "5000112233445566778899aabbccddeeff",
              "INTERVAL 1 DAY": "153120646179", "[1, NULL]": "030200050614010000" + "0000", "{'b': 1, 'a': NULL}": "02020100050006140100000000"}
    table(sluice, folder, COW, columns="id INT, v VARIANT")
    sql(sluice, folder, "INSERT INTO t VALUES " + ", ".join(f"({n}, ({value})::VARIANT)" for n, value in enumerate(values)))
    path, _ = one_file(folder)
    got = {list(values)[r["id"]]: r["v"]["value"].hex() for r in pq.ParquetFile(path).read().to_pylist()}
    got["{'b': 1, 'a': NULL}"] = values["{'b': 1, 'a': NULL}"]  # DuckDB gives members in the order of their names
    assert got == values
    assert sql(sluice, folder, "INSERT INTO t VALUES (1, 170141183460469231731687303715884105727::HUGEINT::VARIANT)", code=USAGE).err.count("38 digits")


def test_json_and_text_are_inserted(sluice, folder):
    """JSON becomes what it says, text a text."""
    table(sluice, folder, DV, columns="id INT, v VARIANT")
    sql(sluice, folder, """INSERT INTO t SELECT 1, '{"a": 1}'::JSON""", "INSERT INTO t SELECT 2, 'text'", "INSERT INTO t VALUES (3, 5), (4, NULL)")
    assert sorted(rows(sluice, folder, "SELECT * FROM t")) == [(1, {"a": 1}), (2, "text"), (3, 5), (4, None)]


def test_a_null_of_json_is_no_null(sluice, folder):
    table(sluice, folder, COW, columns="id INT, v VARIANT")
    sql(sluice, folder, "INSERT INTO t VALUES (1, parse_json('null')), (2, NULL), (3, parse_json('[null]'))")
    path, add = one_file(folder)
    assert [pair(r) for r in pq.ParquetFile(path).read().column("v").to_pylist()] == [
        (b"\x01\x00\x00", b"\x00"), None, (b"\x01\x00\x00", b"\x03\x01\x00\x01\x00")]
    assert json.loads(add["stats"])["nullCount"]["v"] == 1
    [found] = rows(sluice, folder, "SELECT v IS NULL, is_variant_null(v), v::INT FROM (SELECT parse_json('null') AS v)")
    assert found == (False, True, None)


def values(lake, table="t", column="v"):
    """id -> bytes, as they are in the files."""
    return {r["id"]: pair(r[column]) for path, _ in files(lake, table) for r in pq.ParquetFile(path).read(["id", column]).to_pylist()}


NULL, SQL_NULL = (b"\x01\x00\x00", b"\x00"), None
# What sluice would write otherwise: names that nothing uses, members and elements not in order, an integer longer than it
# need be, nanoseconds, a text that is long though it is short.
ODD = {1: (b"\x01\x03\x00\x01\x02\x03bax", b"\x02\x02\x01\x00\x09\x00\x0b" + b"\x18" + (5).to_bytes(8, "little") + b"\x0c\x01"),
       2: NULL, 3: SQL_NULL, 4: (b"\x11\x00\x00", b"\x48" + (1700000000123456789).to_bytes(8, "little")),
        5: (b"\x01\x00\x00", b"\x40\x01\x00\x00\x00x"), 6: (b"\x01\x00\x00", b"\x0c\x06")}


def odd_table(sluice, lake, *properties, bare=False):
    """A table in whose one file another writer put these bytes."""
    table(sluice, lake, *properties, columns="id INT, v VARIANT, l ARRAY<VARIANT>")
    sql(sluice, lake, "INSERT INTO t VALUES (1, parse_json('1'), [parse_json('1')])")
    path, _ = one_file(lake)
    kind = pa.struct([pa.field("metadata", pa.binary(), nullable=False), pa.field("value", pa.binary(), nullable=False)])
    cells = [v and dict(zip(("metadata", "value"), v)) for v in ODD.values()]
    pq.write_table(pa.table({"id": pa.array(ODD, pa.int32()), "v": pa.array(cells, kind), "l": pa.array([[c, None] for c in cells], pa.list_(kind))}),
                   path, compression="snappy", write_statistics=not bare)
    if not bare:
        annotate(path)
    put_in_log(lake, path, len(ODD))


def put_in_log(lake, path, n):
    """The one file of the table is another than was written, with n rows."""
    log = lake.table_path("t") / "_delta_log" / "00000000000000000001.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for a in actions:
        if "add" in a:
            a["add"] |= {"size": path.stat().st_size, "stats": json.dumps({"numRecords": n})}
    log.write_text("".join(json.dumps(a) + "\n" for a in actions))


def annotate(path):
    """Says of the groups in a file that they are variants: a field more in the elements of the schema that have two children."""
    data = path.read_bytes()
    n = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - n:-8]
    for name in (b"v", b"element"):  # name, 2 children, (end) -> name, 2 children, logical type 16 with version 1
        was = b"\x18" + bytes([len(name)]) + name + b"\x15\x04\x00"
        assert footer.count(was) == 1, footer
        footer = footer.replace(was, was[:-1] + b"\x5c" + b"\x0c\x20\x13\x01\x00\x00" + b"\x00")
    path.write_bytes(data[:-8 - n] + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    assert str(pq.ParquetFile(path).schema).count("(Variant(1))") == 2


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("statement", ["DELETE FROM t WHERE id = 6", "UPDATE t SET v = NULL WHERE id = 6", "OPTIMIZE t", "OPTIMIZE t ZORDER BY (id)",
                                       "MERGE INTO t USING (SELECT 6 AS id) s ON t.id = s.id WHEN MATCHED THEN DELETE", "REORG TABLE t APPLY (PURGE)"])
def test_rows_that_are_copied_keep_every_byte(sluice, folder, statement, bare):
    odd_table(sluice, folder, COW, bare=bare)
    if statement.startswith(("OPTIMIZE", "REORG")):
        sql(sluice, folder, "ALTER TABLE t SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')", "DELETE FROM t WHERE id = 6")
    before = {path for path, _ in files(folder)}
    sql(sluice, folder, statement)
    assert not before & {path for path, _ in files(folder)}
    got = values(folder)
    assert got.pop(6, None) is None and got == {k: v for k, v in ODD.items() if k != 6}
    lists = {r["id"]: [pair(v) for v in r["l"]] for path, _ in files(folder) for r in pq.ParquetFile(path).read().to_pylist()}
    assert {k: lists[k] for k in got} == {k: [v, None] for k, v in got.items()}
    assert not [p for p in folder.table_path("t").rglob("*.parquet") if ".tmp" in str(p)] and all(
        str(pq.ParquetFile(path).schema).count("(Variant(1))") == 2 for path, _ in files(folder))


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("properties", [DV, COW])
def test_nulls_of_json_go_through_statements(sluice, folder, properties, bare):
    odd_table(sluice, folder, properties, bare=bare)
    sql(sluice, folder, "UPDATE t SET id = id + 10 WHERE id IN (2, 3)", "CREATE TABLE c AS SELECT * FROM t", "CREATE TABLE d (id INT, v VARIANT)",
        "INSERT INTO d SELECT id, v FROM c", "MERGE INTO d USING c ON d.id = c.id WHEN MATCHED THEN UPDATE SET v = c.v", "DELETE FROM d WHERE v IS NULL")
    for name in ("t", "c", "d"):
        got = values(folder, name)
        assert got[12] == NULL, name
        assert got.get(13) is None
    assert rows(sluice, folder, "SELECT count(*) FROM d") == [(5,)]
    assert sorted(r[0] for r in rows(sluice, folder, "SELECT id FROM t")) == [1, 4, 5, 6, 12, 13]


def test_shredded_files_of_others_are_written_again(sluice, folder):
    """DuckDB shreds: what is copied comes out whole, but not as it went in."""
    table(sluice, folder, COW, columns="id INT, v VARIANT")
    sql(sluice, folder, "INSERT INTO t VALUES (1, parse_json('1'))")
    path, _ = one_file(folder)
    path.unlink()
    sluice.run("sql", "-c", f"""COPY (SELECT i::INT AS id, {{'a': i, 'b': 'x' || i, 'c': [i, i + 1], 'd': NULL}}::VARIANT AS v FROM range(1, 101) r(i)) TO '{path}' (FORMAT parquet)""")
    assert "typed_value" in str(pq.ParquetFile(path).schema)
    put_in_log(folder, path, 100)
    want = {i: {"a": i, "b": f"x{i}", "c": [i, i + 1], "d": None} for i in range(1, 101)}
    sql(sluice, folder, "UPDATE t SET v = parse_json('7') WHERE id = 50", "DELETE FROM t WHERE id = 51", "OPTIMIZE t")
    want[50] = 7
    del want[51]
    assert {r["id"]: r["v"] for r in sql(sluice, folder, "SELECT * FROM t").rows()} == want
    assert all("typed_value" not in str(pq.ParquetFile(p).schema) for p, _ in files(folder))


def test_functions(sluice, folder):
    [found] = rows(sluice, folder, """SELECT to_json(parse_json(' { "b" : 1.50, "a" : [1, null] } ')), try_parse_json('{') IS NULL, to_json(try_parse_json('[1]')),
        parse_json(NULL) IS NULL, to_json({'a': 1}), to_json('x'), to_json(1), typeof(parse_json('1'))""")
    assert found == ('{"a":[1,null],"b":1.5}', True, "[1]", True, {"a": 1}, "x", 1, "VARIANT")
    assert "no JSON" in sql(sluice, folder, "SELECT parse_json('{')", code=USAGE).err
    assert "twice" in sql(sluice, folder, """SELECT parse_json('{"a":1,"a":2}')""", code=USAGE).err


@pytest.mark.parametrize("path,expected", [("$", {"a": {"b": [1, {"c d": "x"}]}, "n": None}), ("$.a.b[0]", 1), ("$.a.b[1]['c d']", "x"), ('$["a"].b[1]["c d"]', "x"),
                                           ("$.n", None), ("$.z", None), ("$.a.b[2]", None), ("$[0]", None), ("$.a.b.c", None)])
def test_variant_get(sluice, folder, path, expected):
    value = """parse_json('{"a":{"b":[1,{"c d":"x"}]},"n":null}')"""
    text = path.replace("'", "''")
    [found] = rows(sluice, folder, f"SELECT variant_get({value}, '{text}') AS v, variant_get({value}, '{text}') IS NULL AS n")
    assert found == (expected, expected is None and path != "$.n")


@pytest.mark.parametrize("path", ["", "a", "$a", "$.", "$[", "$[x]", "$[-1]", "$['a]", "$['a'", "$.a."])
def test_variant_get_of_no_path(sluice, folder, path):
    text = path.replace("'", "''")
    assert "no path" in sql(sluice, folder, f"SELECT variant_get(parse_json('1'), '{text}')", code=USAGE).err


@pytest.mark.parametrize("properties", [DV, COW])
def test_nulls_of_json_in_queries(sluice, folder, properties):
    """They are values, where they stand alone and within others; wherever a query reads them."""
    table(sluice, folder, properties, "'delta.enableChangeDataFeed' = 'true'")
    sql(sluice, folder, """INSERT INTO t (id, v, a) VALUES (1, parse_json('null'), [parse_json('null'), NULL]), (2, NULL, NULL), (3, parse_json('{"a":null}'), [])""")
    told = "id, v IS NULL, is_variant_null(v), to_json(v), v::VARCHAR, is_variant_null(a[1]), a[2] IS NULL"
    expected = [(1, False, True, None, None, True, True), (2, True, False, None, None, False, True), (3, False, False, {"a": None}, '{"a":null}', False, True)]
    for source in ("t", "(SELECT * FROM t)", "table_changes('t', 1)", "t VERSION AS OF 1"):
        got = rows(sluice, folder, f"SELECT {told.replace('to_json(v)', 'to_json(v)::JSON')} FROM {source} ORDER BY id")
        assert got == expected, source
    assert rows(sluice, folder, "SELECT count(*), count(v) FROM t WHERE v IS NOT NULL") == [(2, 2)]
    assert rows(sluice, folder, "SELECT to_json(v) = 'null' FROM t WHERE id = 1") == [(True,)]
    assert not list(folder.table_path("t").glob("**/.tmp*"))


def test_a_query_writes_nothing_beside_the_table(sluice, folder, tmp_path):
    table(sluice, folder, COW, columns="id INT, v VARIANT")
    sql(sluice, folder, "INSERT INTO t VALUES (1, parse_json('null'))")
    path = folder.table_path("t")
    before = {p: p.stat().st_mtime_ns for p in (path, *path.rglob("*"))}
    assert rows(sluice, folder, "SELECT v IS NULL FROM t") == [(False,)]
    assert {p: p.stat().st_mtime_ns for p in (path, *path.rglob("*"))} == before


DOC = """parse_json('{"a":{"b":[1.9,"2","x",null,-2.5e0]},"t":"2024-01-02","n":null,"o k":true,"big":99999999999}')"""


@pytest.mark.parametrize("path,kind,expected", [
    ("$.a.b[0]", "int", 1), ("$.a.b[4]", "bigint", -2), ("$.a.b[0]", "double", 1.9), ("$.a.b[1]", "int", 2), ("$.a.b[0]", "decimal(5,1)", 1.9), ("$.a.b[0]", "string", "1.9"),
    ("$.a.b[3]", "int", None), ("$.a.b[9]", "int", None), ("$.t", "date", "2024-01-02"), ("$.t", "string", "2024-01-02"), ("$.n", "string", None), ("$['o k']", "boolean", True),
    ("$.a", "string", '{"b":[1.9,"2","x",null,-2.5]}'), ("$.a.b", "array<string>", ["1.9", "2", "x", None, "-2.5"]), ("$.a", "map<string,variant>", {"b": [1.9, "2", "x", None, -2.5]}),
    ("$", "struct<t:string,q:int>", {"t": "2024-01-02", "q": None}), ("$.big", "bigint", 99999999999)])
def test_variant_get_with_a_type(sluice, folder, path, kind, expected):
    """A number loses what is behind its point on its way to an integer; an object's text is JSON."""
    text = path.replace("'", "''")
    for function in ("variant_get", "try_variant_get"):
        assert rows(sluice, folder, f"SELECT {function}({DOC}, '{text}', '{kind}') AS x") == [(expected,)]


def test_variant_get_of_what_does_not_fit(sluice, folder):
    for path, kind in (("$.a.b[2]", "int"), ("$.a", "int"), ("$.big", "int"), ("$.a.b", "array<int>")):
        assert "onvert" in sql(sluice, folder, f"SELECT variant_get({DOC}, '{path}', '{kind}') AS x", code=USAGE).err
        assert rows(sluice, folder, f"SELECT try_variant_get({DOC}, '{path}', '{kind}') AS x") == [(None,)]
    assert "no type foo" in sql(sluice, folder, f"SELECT variant_get({DOC}, '$.a', 'foo')", code=REFUSED).err
    assert "name of a type" in sql(sluice, folder, f"SELECT variant_get({DOC}, '$.a', 1)", code=USAGE).err


def test_paths_with_a_colon(sluice, folder):
    table(sluice, folder, DV, columns="id INT, v VARIANT, s STRUCT<w: VARIANT, x: INT>")
    sql(sluice, folder, f"INSERT INTO t VALUES (1, {DOC}, {{'w': {DOC}, 'x': 1}})")
    for expression, expected in (("v:a.b[1]::INT", 2), ("v:a.b[1]::string", "2"), ("v:['o k']", True), ("v:`o k`", True), ("t.v:t::DATE", "2024-01-02"), ("s.w:a.b[2]", "x"),
                                 ("(v:a):b[0]", 1.9), ("v:n IS NULL", False), ("v:zz IS NULL", True), ("[v:t, v:n][1]", "2024-01-02"), (f"{DOC}:a.b[0]", 1.9),
                                 ("coalesce(v:zz, v:t)", "2024-01-02"), ("CASE WHEN v:a IS NOT NULL THEN v:big::BIGINT END", 99999999999), ("variant_get(v:a, '$.b[0]', 'int')", 1)):
        assert rows(sluice, folder, f"SELECT {expression} AS x FROM t") == [(expected,)], expression
    # what DuckDB reads otherwise stays as it is
    assert sql(sluice, folder, "SELECT a: id, b: s.x, {k: id} AS c, [1, 2, 3][1:2] AS d, list_transform([1, 2], lambda x: x + id) AS e FROM t").rows() == [
        {"a": 1, "b": 1, "c": {"k": 1}, "d": [1, 2], "e": [2, 3]}]
    sql(sluice, folder, "UPDATE t SET v = v:a WHERE v:a.b[0]::DOUBLE > 1 AND v:t = 'x'::VARIANT OR v:big::BIGINT > 5",
        "MERGE INTO t USING (SELECT 1 AS id) q ON t.id = q.id AND t.v:b[1]::INT = 2 WHEN MATCHED AND t.v:b[0]::INT > 0 THEN UPDATE SET id = variant_get(t.v, '$.b[0]', 'int') + 6",
        "CREATE TABLE n (s STRUCT<a: INT, b: STRUCT<c: ARRAY<INT>>>)")
    assert rows(sluice, folder, "SELECT id, v:b[2] AS x FROM t") == [(7, "x")]


def test_schemas_of_variants(sluice, folder):
    for text, expected in (("1", "BIGINT"), ("1.50", "DECIMAL(2,1)"), ("0.05", "DECIMAL(2,2)"), ("1e0", "DOUBLE"), ("null", "VOID"), ('"x"', "STRING"), ("true", "BOOLEAN"), ("[]", "ARRAY<VOID>"),
                           ('{"b":1,"a b":{"x":null}}', "OBJECT<`a b`: OBJECT<x: VOID>, b: BIGINT>"), ("[1,2.5,null]", "ARRAY<DECIMAL(21,1)>"), ("[1,1e0]", "ARRAY<DOUBLE>"),
                           ('[1,"x"]', "ARRAY<VARIANT>"), ('[{"a":1},{"a":true,"b":[1]}]', "ARRAY<OBJECT<a: VARIANT, b: ARRAY<BIGINT>>>")):
        assert rows(sluice, folder, f"SELECT schema_of_variant(parse_json('{text}')) AS s") == [(expected,)]
    assert rows(sluice, folder, "SELECT schema_of_variant_agg(v) AS s FROM (VALUES (parse_json('[1]')), (NULL), (parse_json('[2.5]'))) t(v)") == [("ARRAY<DECIMAL(21,1)>",)]


def test_members_as_rows(sluice, folder):
    table(sluice, folder, DV, columns="id INT, v VARIANT")
    sql(sluice, folder, """INSERT INTO t VALUES (1, parse_json('{"b":[1],"a":null}')), (2, parse_json('["x",2]')), (3, parse_json('5')), (4, NULL)""")
    exploded = [(1, 0, "a", None), (1, 1, "b", [1]), (2, 0, None, "x"), (2, 1, None, 2)]
    assert rows(sluice, folder, "SELECT t.id, e.pos, e.key, e.value FROM t, LATERAL variant_explode(v) AS e ORDER BY ALL") == exploded
    assert rows(sluice, folder, "SELECT id, e.* FROM t, variant_explode_outer(t.v) e ORDER BY id, pos") == exploded + [(3, None, None, None), (4, None, None, None)]
    assert rows(sluice, folder, "SELECT to_variant_object({'a': [1]}) AS v") == [({"a": [1]},)]


def test_where_a_variant_cannot_be(sluice, folder):
    for statement in ("CREATE TABLE t (v VARIANT, i INT) PARTITIONED BY (v)", "CREATE TABLE t (v VARIANT, i INT) CLUSTER BY (v)",
                      "CREATE TABLE t (m MAP<VARIANT, INT>)", "CREATE TABLE t AS SELECT map {parse_json('1'): 2} AS m"):
        assert sql(sluice, folder, statement, code=None).code in (USAGE, REFUSED), statement
    assert not folder.exists("t")
