"""Tables that delta-spark wrote, each with what Spark reads from it: rows and schema of every version, the history, the change
data feed, the protocol, and statements that Spark refuses. ($SLUICE_SHARED/fixtures/spark-delta; SLUICE_SPARK_TABLES names
another folder of the same form.)"""

import json
import os
import pathlib
import re
import shutil

import pytest

from lib.corpus import SHARED, ask, engine_name, path_of, refused, same_rows, type_name

FOLDER = pathlib.Path(os.environ.get("SLUICE_SPARK_TABLES") or SHARED / "fixtures" / "spark-delta")
TABLES = sorted(p.parent for p in FOLDER.glob("*/expected.json"))
pytestmark = pytest.mark.skipif(not TABLES, reason=f"no tables in {FOLDER}")
# Of the history's metrics, those that say what became of rows and files; times and bytes are the writer's own.
COUNTS = re.compile(r"^num.*(Rows|Files|Vectors).*$")


def check_versions(table, versions):
    """Rows and schema of every version; or, where Spark cannot read it, the refusal."""
    good = [v for v in versions if "error" not in versions[v]]
    for v in versions.keys() - good:
        reason = "version" if "VERSION_NOT_FOUND" in versions[v]["error"] else ""
        refused(f"SELECT * FROM {path_of(table, v)}", reason)
    columns = ask(*[f"DESCRIBE (SELECT * FROM {path_of(table, v)})" for v in good])
    answers = ask(*[f"SELECT * FROM {path_of(table, v)}" for v in good])
    for v, described, rows in zip(good, columns, answers):
        want = versions[v]
        have = {c["column_name"]: c["column_type"].replace('"', "") for c in described}
        assert have == {f["name"]: engine_name(f["type"]).replace('"', "") for f in want["schema"]["fields"]}
        if "rows" in want:
            same_rows(rows, want["rows"], want["schema"], f"version {v}")
        else:  # too many to list: runs of one column
            ids = sorted(r["id"] for r in rows)
            assert len(ids) == want["rows_count"]
            assert ids == [i for first, last in want["id_ranges"] for i in range(first, last + 1)]
    return sum(map(len, answers))


def as_text(value):
    """Spark's map has texts only; "None" is what the fixtures made of its null."""
    return json.dumps(value) if isinstance(value, (bool, int)) else str(value)


def check_history(table, want):
    (rows,) = ask(f"DESCRIBE HISTORY {path_of(table)}")
    have = {r["version"]: r for r in rows}
    assert sorted(have) == sorted(h["version"] for h in want)
    for h in want:
        row = have[h["version"]]
        assert (row["operation"], row["isBlindAppend"]) == (h["operation"], h["isBlindAppend"]), h["version"]
        parameters = json.loads(row["operationParameters"] or "{}")
        want_parameters = {k: str(v) for k, v in h["operationParameters"].items()}
        assert {k: as_text(v) for k, v in parameters.items()} == want_parameters, h["version"]
        metrics = json.loads(row["operationMetrics"] or "{}")
        assert {k: v for k, v in metrics.items() if COUNTS.match(k)} == \
            {k: v for k, v in h["operationMetrics"].items() if COUNTS.match(k)}, h["version"]


def check_protocol(table, want):
    (detail,), columns = ask(f"DESCRIBE DETAIL {path_of(table)}", f"SHOW COLUMNS IN {path_of(table)}")
    protocol = want["protocol"]
    assert detail["version"] == want["version"]
    assert detail["minReaderVersion"] == protocol["minReaderVersion"]
    assert detail["minWriterVersion"] == protocol["minWriterVersion"]
    if protocol["minWriterVersion"] == 7:
        features = set(protocol.get("readerFeatures", [])) | set(protocol["writerFeatures"])
        assert set(detail["tableFeatures"]) == features
    schema = want["versions"][str(want["version"])]["schema"]
    have = [(c["col_name"], c["data_type"].replace('"', "").replace("`", ""), c["nullable"]) for c in columns]
    assert have == [(f["name"], type_name(f["type"]).replace("`", ""), f["nullable"]) for f in schema["fields"]]


def check_feed(table, want):
    feed = want["cdf"]
    (rows,) = ask(f"SELECT * FROM table_changes_by_path('{table}', {feed['from']}, {feed['to']})")
    assert all(r.pop("_commit_timestamp") for r in rows)
    for r in feed["rows"]:
        r.pop("_commit_timestamp", None)
    schema = want["versions"][str(feed["to"])]["schema"]
    fields = schema["fields"] + [{"name": "_change_type", "type": "string"}, {"name": "_commit_version", "type": "long"}]
    same_rows(rows, feed["rows"], {"fields": fields}, "change data feed")


def rewind(copy, constraint):
    """A copy whose last versions have dropped this constraint: back to where it was there."""
    log = copy / "_delta_log"
    while True:
        last = max(p for p in log.glob("*.json") if p.stem.isdigit())
        metadata = [a["metaData"] for p in sorted(log.glob("*.json")) for a in map(json.loads, p.read_text().splitlines())
                    if "metaData" in a]
        if f"delta.constraints.{constraint}" in metadata[-1]["configuration"]:
            return
        last.unlink()
        last.with_suffix(".crc").unlink(missing_ok=True)


def check_must_fail(table, cases, tmp_path):
    """Each statement on a copy, which must be as it was afterwards."""
    for n, case in enumerate(cases):
        check_refusal(table, case, tmp_path / f"copy{n}")


def check_refusal(table, case, copy):
    shutil.copytree(table, copy)
    for root, _, names in os.walk(copy):
        os.chmod(root, 0o755)
        for name in names:
            os.chmod(os.path.join(root, name), 0o644)
    dropped = re.search(r"CHECK constraint (\w+) \(", case["message"])
    if dropped and "NEW_CHECK" not in case["error"]:
        rewind(copy, dropped[1])
    before = sorted(os.listdir(copy / "_delta_log"))
    statement = re.sub(r"\bT\b", path_of(copy), case["sql"])
    message = refused(re.sub(r"named_struct\('(\w+)',", r"struct_pack(\1 := ", statement))  # DuckDB's name of it
    for word in must_say(case):
        assert word in message, f"{case['what']}: {message}"
    assert sorted(os.listdir(copy / "_delta_log")) == before


def must_say(case):
    """What the refusal must name: the constraint, the column, or the property, as Spark's message does."""
    found = re.search(r"CHECK constraint (\w+) |for column: ([\w.]+)\.|IDENTITY column (\w+)|delta\.(appendOnly)|\((\w+) <=> "
                      r"|length\((\w+)\)|new CHECK constraint \((\w+)", case["message"])
    assert found, case
    return [g for g in found.groups() if g and g != "Generated"]


@pytest.mark.parametrize("folder", TABLES, ids=lambda p: p.name)
def test_spark_table(folder, tmp_path, record_property):
    table, want = folder / "table", json.loads((folder / "expected.json").read_text())
    rows = check_versions(table, want["versions"])
    record_property("corpus", ["spark-delta", folder.name, len(want["versions"]), rows])
    check_history(table, want["history"])
    check_protocol(table, want)
    if "cdf" in want:
        check_feed(table, want)
    if "must_fail" in want:
        check_must_fail(table, want["must_fail"], tmp_path)
