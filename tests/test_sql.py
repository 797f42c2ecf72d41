"""sluice sql as its users see it: names, points in time, formats, errors. Tables are made by hand here."""

import csv
import io
import json
import os
import pathlib
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = os.environ.get("SLUICE_BIN") or str(ROOT / "build-asan" / "sluice")

SCHEMA = {
    "type": "struct",
    "fields": [
        {"name": "id", "type": "long", "nullable": True, "metadata": {}},
        {"name": "note", "type": "string", "nullable": True, "metadata": {}},
        {"name": "day", "type": "date", "nullable": True, "metadata": {}},
    ],
}


def sluice(*args, stdin=None):
    return subprocess.run([BINARY, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=120)


def rows(*args):
    done = sluice("sql", *args, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def commit(table, version, *actions):
    log = table / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(a) + "\n" for a in actions)
    (log / f"{version:020}.json").write_text(lines)


def add_file(table, name, select, day):
    done = sluice("sql", "-c", f"COPY ({select}) TO '{table / name}' (FORMAT parquet)")
    assert done.returncode == 0, done.stderr
    return {"add": {"path": name, "partitionValues": {"day": day}, "size": (table / name).stat().st_size,
                    "modificationTime": 0, "dataChange": True}}


def make_table(table):
    table.mkdir(parents=True)
    meta = {"metaData": {"id": "t", "format": {"provider": "parquet", "options": {}}, "configuration": {},
                         "schemaString": json.dumps(SCHEMA), "partitionColumns": ["day"], "createdTime": 0}}
    commit(table, 0, {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}, meta)
    commit(table, 1, add_file(table, "a [1].parquet", "SELECT 1::BIGINT AS id, 'one' AS note", "2026-01-01"))
    time.sleep(0.02)
    # The second file has no column "note", and an id that is narrower.
    commit(table, 2, add_file(table, "b.parquet", "SELECT 2::INTEGER AS id", None))


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    make_table(root / "public" / "orders")
    make_table(root / "sales" / "Items")
    (root / "_sluice").mkdir()
    return root


ALL = [{"id": 1, "note": "one", "day": "2026-01-01"}, {"id": 2, "note": None, "day": None}]


@pytest.mark.parametrize("table", ["orders", "public.orders", "PUBLIC.Orders", "items", "sales.Items", 'sales."Items"'])
def test_tables_are_found_by_name(lake, table):
    assert rows(lake, "-c", f"SELECT * FROM {table} ORDER BY id") == ALL


@pytest.mark.parametrize("form", ["delta.`{}`", "delta_scan('{}')", "'{}'"])
def test_tables_are_found_by_path(lake, form):
    table = form.format(lake / "public" / "orders")
    assert rows("-c", f"SELECT * FROM {table} ORDER BY id") == ALL


def test_a_folder_may_be_one_table(lake):
    assert rows(lake / "public" / "orders", "-c", "FROM orders WHERE day = DATE '2026-01-01'") == ALL[:1]


@pytest.mark.parametrize("at, n", [("AT (VERSION => 0)", 0), ("VERSION AS OF 1", 1), ("AT (VERSION => 1 + 1)", 2)])
def test_older_versions_can_be_read(lake, at, n):
    assert rows(lake, "-c", f"SELECT count(*) AS n FROM orders {at}") == [{"n": n}]


def test_versions_at_a_time(lake):
    log = lake / "public" / "orders" / "_delta_log"
    at = (log / f"{1:020}.json").stat().st_mtime_ns // 1000
    sql = f"SELECT count(*) AS n FROM public.orders TIMESTAMP AS OF make_timestamptz({at})"
    assert rows(lake, "-c", sql) == [{"n": 1}]
    assert rows(lake, "-c", "SELECT count(*) AS n FROM orders AT (TIMESTAMP => '2999-01-01')") == [{"n": 2}]
    done = sluice("sql", lake, "-c", "FROM orders AT (TIMESTAMP => '2001-01-01')")
    assert done.returncode == 2 and done.stderr


def test_two_versions_of_a_table_join(lake):
    sql = "SELECT o.id FROM orders o LEFT JOIN orders VERSION AS OF 1 old USING (id) WHERE old.id IS NULL"
    assert rows(lake, "-c", sql) == [{"id": 2}]


def test_common_table_expressions_and_temporary_tables_hide_lake_tables(lake):
    assert rows(lake, "-c", "WITH orders AS (SELECT 7 AS x) FROM orders") == [{"x": 7}]
    assert rows(lake, "-c", "CREATE TEMP TABLE orders AS SELECT 8 AS x; FROM orders")[-1] == {"x": 8}


def test_a_view_sees_new_versions(lake, tmp_path):
    table = tmp_path / "public" / "t"
    make_table(table)
    sql = "CREATE TEMP VIEW v AS SELECT count(*) AS n FROM public.t; FROM v"
    assert rows(tmp_path, "-c", sql) == [{"n": 2}]


def test_show_tables_and_describe(lake):
    found = rows(lake, "-c", "SHOW TABLES")
    assert found == [{"schema": "public", "table": "orders"}, {"schema": "sales", "table": "Items"}]
    described = rows(lake, "-c", "DESCRIBE public.orders")
    assert [(c["col_name"], c["data_type"]) for c in described][:3] == [("id", "bigint"), ("note", "string"), ("day", "date")]
    described = rows(lake, "-c", "DESCRIBE public.orders VERSION AS OF 0")
    assert [(c["column_name"], c["column_type"]) for c in described] == [
        ("id", "BIGINT"), ("note", "VARCHAR"), ("day", "DATE")]
    assert [c["column_name"] for c in rows(lake, "-c", "CREATE TEMP VIEW orders AS SELECT 1 AS x; DESCRIBE orders")] == ["x"]


def test_an_empty_table_has_its_types(lake):
    sql = "SELECT typeof(id) AS i, typeof(day) AS d FROM (SELECT 1) LEFT JOIN orders VERSION AS OF 0 ON true"
    assert rows(lake, "-c", sql) == [{"i": "BIGINT", "d": "DATE"}]


def test_formats(lake):
    sql = "SELECT 1 AS a, 'x,\"y\"' AS b, NULL AS c, '' AS d, 1.50 AS e, 'wörld 你好' AS f"
    out = sluice("sql", "--format", "csv", "-c", sql).stdout
    assert list(csv.reader(io.StringIO(out))) == [list("abcdef"), ["1", 'x,"y"', "", "", "1.50", "wörld 你好"]]
    assert out.splitlines()[1] == '1,"x,""y""",,"",1.50,wörld 你好'
    assert sluice("sql", "-c", "SELECT 1 AS n, 'ab' AS t, NULL AS z").stdout == (
        "┌───┬────┬──────┐\n│ n │ t  │ z    │\n├───┼────┼──────┤\n│ 1 │ ab │ NULL │\n└───┴────┴──────┘\n")
    exact = "SELECT 12345678901234567890123456789::HUGEINT AS h, 'NaN'::DOUBLE AS n, '\\xFF'::BLOB AS b"
    assert sluice("sql", "--format", "json", "-c", exact).stdout == (
        '{"h":12345678901234567890123456789,"n":"NaN","b":"/w=="}\n')


def test_scripts_come_from_standard_input_and_files(lake, tmp_path):
    script = "SELECT 1 AS a; -- x\nSELECT 2 AS b"
    assert sluice("sql", lake, "--format", "csv", stdin=script).stdout == "a\n1\nb\n2\n"
    script = tmp_path / "s.sql"
    script.write_text("SELECT 3 AS c;")
    assert rows("-f", script) == [{"c": 3}]


@pytest.mark.parametrize("args, code, says, hint", [
    (["sql", "-c", "SELEC 1"], 2, 'syntax error at or near "SELEC"', ""),
    (["sql", "-c", "FROM nope"], 2, "there is no table nope", ""),
    (["sql", "-c", "FROM nope.x"], 2, "there is no table nope.x", ""),
    (["sql", "-c", "SELECT 'abc"], 2, "no closing", ""),
    (["sql", "-c", "SET timezone = 'Asia/Tokyo'"], 3, "always UTC", "AT TIME ZONE"),
    (["sql", "--fromat", "csv"], 2, "no option --fromat", "--format"),
    (["sql", "--format", "xml"], 2, '"xml"', "table|csv|json"),
    (["sql", "-c"], 2, "wants a value", ""),
    (["sql", "a", "b"], 2, "too many", "usage"),
    (["sql", "/nowhere/at/all"], 2, "/nowhere/at/all", ""),
    (["sqll"], 2, 'no command "sqll"', "sql"),
    (["--wat"], 2, "no option --wat", "--help"),
])
def test_mistakes_are_explained(args, code, says, hint):
    done = sluice(*args, stdin="")
    assert done.returncode == code, done.stderr
    assert says in done.stderr and hint in done.stderr
    assert done.stdout == ""


def test_help_and_version():
    assert "sql" in sluice("--help").stdout
    assert "--format" in sluice("help", "sql").stdout
    assert sluice("sql", "--help").stdout == sluice("help", "sql").stdout
    assert sluice("--version").stdout.startswith("sluice ")
