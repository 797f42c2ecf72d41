"""Tables that Spark wrote, read by sluice and compared with the rows that Spark read (Delta's golden tables).

They lie outside of the repository, in $SLUICE_SHARED/corpora/kernel-golden (default ../shared)."""

import collections
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = os.environ.get("SLUICE_BIN") or str(ROOT / "build-asan" / "sluice")
SHARED = pathlib.Path(os.environ.get("SLUICE_SHARED") or ROOT.parent / "shared")
ARCHIVES = sorted((SHARED / "corpora" / "kernel-golden").glob("*.tar.zst"))

MUST_BE_REFUSED = {
    "deltalog-invalid-protocol-version": "99",
    "deltalog-state-reconstruction-from-checkpoint-missing-metadata": "metaData",
    "deltalog-state-reconstruction-from-checkpoint-missing-protocol": "protocol",
    "deltalog-state-reconstruction-without-metadata": "metaData",
    "deltalog-state-reconstruction-without-protocol": "protocol",
    "no-delta-log-folder": "no Delta table",
    "versions-not-contiguous": "",
}
# The expected timestamps of this one are off by the zone of their writer (a fault of the data): left out of the comparison.
WRONG_COLUMNS = {"data-reader-partition-values": {"as_timestamp"}}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    return tmp_path_factory.mktemp("golden")


def bag(lines, without):
    rows = collections.Counter()
    for line in lines:
        row = {k: v for k, v in json.loads(line, parse_float=str).items() if k not in without}
        # Whether an expected timestamp has a zone is its Parquet writer's business.
        rows[json.dumps(row, sort_keys=True).replace('Z"', '"')] += 1
    return rows


@pytest.mark.skipif(not ARCHIVES, reason=f"no golden tables in {SHARED}")
@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda a: a.name.removesuffix(".tar.zst"))
def test_golden_table(archive, unpacked):
    name = archive.name.removesuffix(".tar.zst")
    subprocess.run(["tar", "--zstd", "-xf", archive, "-C", unpacked], check=True, stderr=subprocess.DEVNULL)
    table = unpacked / name / "delta"
    expected = sorted((unpacked / name / "expected").rglob("*.parquet"))
    statements = [f"FROM delta.`{table}`"]
    if expected:
        files = ", ".join("'" + str(f).replace("'", "''") + "'" for f in expected)
        statements += ["SELECT '-' AS separator", f"FROM read_parquet([{files}], hive_partitioning = false)"]
    done = subprocess.run([BINARY, "sql", "--format", "json", "-c", ";".join(statements)], capture_output=True,
                          text=True, timeout=120)
    if name in MUST_BE_REFUSED:
        assert done.returncode in (2, 3) and MUST_BE_REFUSED[name] in done.stderr, done.stderr
        return
    if not expected:
        assert done.returncode in (0, 2, 3), done.stderr  # a log without its files: read, or refused, not crashed
        return
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    cut = lines.index('{"separator":"-"}')
    without = WRONG_COLUMNS.get(name, set())
    assert bag(lines[:cut], without) == bag(lines[cut + 1:], without)
