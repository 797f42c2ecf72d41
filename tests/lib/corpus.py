"""Tables of other writers: what is expected of them, told apart by type, and what sluice reads.

An expectation has the form of ../shared/fixtures/README.md: decimals as strings, bytes as hex, timestamps in ISO 8601,
non-finite floats as words, maps as [[key, value], …]. Both sides become one plain form, by the Delta type of each column."""

import base64
import collections
import hashlib
import json
import os
import pathlib
import struct
import subprocess

import pyarrow.parquet

from .sluice import BIN

SHARED = pathlib.Path(os.environ.get("SLUICE_SHARED") or pathlib.Path(__file__).resolve().parents[3] / "shared")
CUT = '{"separator":"-"}'


class Number(str):
    """A number of JSON that is no integer, as it was written."""


def run(*statements, timeout=300):
    """Runs the statements in one process, nothing around them."""
    return subprocess.run([BIN, "sql", "--format", "json", "-c", ";\n".join(statements)], capture_output=True,
                          text=True, timeout=timeout)


def ask(*queries, timeout=300):
    """The rows of each query, in one process. Any error fails the test with its text."""
    statements = []
    for q in queries:
        statements += [q, "SELECT '-' AS separator"]
    done = run(*statements, timeout=timeout)
    assert done.returncode == 0, done.stderr
    answers, rows = [], []
    for line in done.stdout.splitlines():
        if line == CUT:
            answers.append(rows)
            rows = []
        else:
            rows.append(json.loads(line, parse_float=Number))
    assert len(answers) == len(queries)
    return answers


def refused(statement, *words):
    """The statement must be refused (exit 2 or 3) with a message that says these words."""
    done = run(statement)
    assert done.returncode in (2, 3), f"{statement}: exit {done.returncode}\n{done.stdout[:500]}{done.stderr}"
    assert len(done.stderr.strip()) > 20, f"{statement}: {done.stderr}"
    for word in words:
        assert word.lower() in done.stderr.lower(), f"{statement}: {done.stderr}"
    return done.stderr


def moment(text):
    """2024-02-29T23:59:59.5Z (the key of a map: 2024-02-29 23:59:59.5+00) with six digits: equal times are equal texts."""
    zone = text.endswith(("Z", "+00"))
    head, _, fraction = text.removesuffix("Z").removesuffix("+00").replace(" ", "T").partition(".")
    return f"{head}.{fraction:0<6}" + ("Z" if zone else "")


def inexact(value):
    """For what has no declared type (variants): numbers by value."""
    if isinstance(value, dict):
        return {k: inexact(v) for k, v in value.items()}
    if isinstance(value, list):
        return [inexact(v) for v in value]
    if isinstance(value, (Number, float, int)) and not isinstance(value, bool):
        return float(value)
    return value


def real(value, kind):
    number = float(value)
    return repr(struct.unpack("f", struct.pack("f", number))[0] if kind == "float" else number)


def pairs(value, kind, one):
    entries = value.items() if isinstance(value, dict) else value
    return sorted(([one(k, kind["keyType"]), one(v, kind["valueType"])] for k, v in entries),
                  key=lambda e: json.dumps(e[0], sort_keys=True, default=str))


def nested(value, kind, one):
    if kind["type"] == "struct":
        assert set(value) == {f["name"] for f in kind["fields"]}, value
        return {f["name"]: one(value[f["name"]], f["type"]) for f in kind["fields"]}
    if kind["type"] == "array":
        return [one(v, kind["elementType"]) for v in value]
    return pairs(value, kind, one)


def ours(value, kind):
    """A value as `sluice sql --format json` prints it → the plain form."""
    if value is None:
        return None
    if isinstance(kind, dict):
        return nested(json.loads(value, parse_float=Number) if isinstance(value, str) else value, kind, ours)
    if kind in ("float", "double"):
        return real(value, kind)
    if kind == "binary":
        return base64.b64decode(value).hex()
    if kind in ("timestamp", "timestamp_ntz"):
        return moment(value)
    if kind == "variant":
        return inexact(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else value == "true"
    return str(value) if kind.startswith("decimal") or kind in ("string", "date") else int(value)


def expected(value, kind):
    """A value as the fixtures have it → the plain form."""
    if value is None:
        return None
    if isinstance(kind, dict):
        return nested(value, kind, expected)
    if kind in ("float", "double"):
        return real(value, kind)
    if kind in ("timestamp", "timestamp_ntz"):
        return moment(value)
    return inexact(value) if kind == "variant" else value


def is_void(kind):
    return kind in ("void", "null")


def typed(rows, schema, one):
    fields = [f for f in schema["fields"] if not is_void(f["type"])]
    return collections.Counter(json.dumps([one(r[f["name"]], f["type"]) for f in fields], ensure_ascii=False)
                               for r in rows)


def same_rows(have, want, schema, what):
    """`have` as sluice prints rows, `want` as the fixtures have them, both of this schema."""
    if want:
        names = [f["name"] for f in schema["fields"]]
        assert not have or list(have[0]) == names, f"{what}: columns {list(have[0])}, and not {names}"
    a, b = typed(have, schema, ours), typed(want, schema, expected)
    more, less = a - b, b - a
    assert not more and not less, f"{what}: not expected {list(more.items())[:5]}, missing {list(less.items())[:5]}"


SQL_NAMES = {"integer": "int", "long": "bigint", "short": "smallint", "byte": "tinyint"}
ENGINE_NAMES = {"string": "VARCHAR", "long": "BIGINT", "short": "SMALLINT", "byte": "TINYINT", "binary": "BLOB", "void": "INTEGER", "null": "INTEGER",
                "timestamp": "TIMESTAMP WITH TIME ZONE", "timestamp_ntz": "TIMESTAMP"}


def type_name(kind):
    """A type of a Delta schema as SHOW COLUMNS says it."""
    if isinstance(kind, str):
        return SQL_NAMES.get(kind, kind)
    if kind["type"] == "array":
        return f"array<{type_name(kind['elementType'])}>"
    if kind["type"] == "map":
        return f"map<{type_name(kind['keyType'])},{type_name(kind['valueType'])}>"
    return "struct<" + ",".join(f"{f['name']}:{type_name(f['type'])}" for f in kind["fields"]) + ">"


def engine_name(kind):
    """A type of a Delta schema as DESCRIBE of a query says it; names in structs only where they need no quotes."""
    if isinstance(kind, str):
        return ENGINE_NAMES.get(kind, kind.upper())
    if kind["type"] == "array":
        return engine_name(kind["elementType"]) + "[]"
    if kind["type"] == "map":
        return f"MAP({engine_name(kind['keyType'])}, {engine_name(kind['valueType'])})"
    return "STRUCT(" + ", ".join(f"{f['name']} {engine_name(f['type'])}" for f in kind["fields"]) + ")"


def path_of(table, version=None):
    at = "" if version is None else f" VERSION AS OF {version}"
    return f"delta.`{str(table).replace('`', '``')}`{at}"


def digest(schema, rows, one):
    """One short text for names, types and rows in any order: "<rows>:<hash>"."""
    sha = hashlib.sha256()
    for f in schema["fields"]:
        sha.update(f"{f['name']} {engine_name(f['type'])}\n".encode())
    for row, n in sorted(typed(rows, schema, one).items()):
        sha.update(f"{n} {row}\n".encode())
    return f"{len(rows)}:{sha.hexdigest()[:12]}"


def schemas_in(text_of_actions):
    return [json.loads(a["metaData"]["schemaString"]) for a in text_of_actions if a.get("metaData")]


def schema_of(table, version):
    """The newest schema up to this version, out of the log's JSON, or out of a checkpoint where that was cleaned."""
    log = pathlib.Path(table) / "_delta_log"
    for v in range(version, -1, -1):
        commit = log / f"{v:020}.json"
        if commit.exists():
            found = schemas_in(json.loads(line) for line in commit.read_text().splitlines() if line.strip())
            if found:
                return found[-1]
        for checkpoint in sorted(log.glob(f"{v:020}.checkpoint*.parquet")):
            if "metaData" not in pyarrow.parquet.read_schema(checkpoint).names:
                continue  # a part that has none
            found = schemas_in(pyarrow.parquet.ParquetFile(checkpoint).read(columns=["metaData"]).to_pylist())
            if found:
                return found[-1]
    raise AssertionError(f"{table}: no schema up to version {version}")


def check_versions(table, versions):
    """{version: digest}: names, types and rows of each, in one process. Gives the number of rows."""
    queries = []
    for v in versions:
        queries += [f"DESCRIBE (SELECT * FROM {path_of(table, v)})", f"SELECT * FROM {path_of(table, v)}"]
    answers = iter(ask(*queries)) if queries else iter(())
    rows = 0
    for v, want in versions.items():
        columns, have = next(answers), next(answers)
        schema = schema_of(table, int(v))
        types = [(c["column_name"], c["column_type"].replace('"', "")) for c in columns]
        assert types == [(f["name"], engine_name(f["type"]).replace('"', "")) for f in schema["fields"]], f"version {v}"
        assert digest(schema, have, ours) == want, f"version {v} has other rows: {have[:5]}"
        rows += len(have)
    return rows


def check_feed(table, first, last, columns, changes):
    """`changes`: a line for each version, "version type: row; row", a row being the values of `columns`."""
    end = "" if last is None else f", {last}"
    (rows,) = ask(f"SELECT * FROM table_changes_by_path('{table}', {first}{end})")
    want = collections.Counter()
    for line in changes:
        what, _, listed = line.partition(": ")
        version, kind = what.split()
        want.update((kind, int(version), row) for row in listed.split("; "))
    have = collections.Counter((r["_change_type"], r["_commit_version"], " ".join(str(r[c]) for c in columns)) for r in rows)
    assert all(r["_commit_timestamp"] for r in rows)
    assert have == want, f"more {have - want}, missing {want - have}"
    return len(rows)
