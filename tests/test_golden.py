"""Delta's golden tables (those of the Java kernel's and of standalone's tests), at every version.

What Spark read from the newest version lies beside most of them; golden_rows.json has the rows of every version as a digest of
names, types and values, taken from another reader; and what must hold of the logs that have no data files stands here.
They lie outside of the repository, in $SLUICE_SHARED/corpora/kernel-golden (default ../shared)."""

import collections
import json
import pathlib
import subprocess

import pyarrow.parquet
import pytest

from lib.corpus import SHARED, ask, check_versions, path_of, refused

ARCHIVES = sorted((SHARED / "corpora" / "kernel-golden").glob("*.tar.zst"))
VERSIONS = json.loads(pathlib.Path(__file__).with_name("golden_rows.json").read_text())["kernel-golden"]

# Logs that are no tables, and how that is said.
REFUSED = {
    "deltalog-invalid-protocol-version": "the table needs protocol reader version 99",
    "deltalog-state-reconstruction-without-metadata": "the log holds no metaData action up to version 0",
    "deltalog-state-reconstruction-without-protocol": "the log holds no protocol action up to version 0",
    "data-reader-absolute-paths-escaped-chars": "the log holds no metaData action up to version 1",
    "no-delta-log-folder": "there is no Delta table at",
    "versions-not-contiguous": "version 1 is missing in the log",
    # The checkpoint lacks an action and is passed over for the log, which is whole, and whose metaData has no schema.
    "deltalog-state-reconstruction-from-checkpoint-missing-metadata": "metaData has no columns",
    "deltalog-state-reconstruction-from-checkpoint-missing-protocol": "metaData has no columns",
    "deltalog-commit-info": "metaData has no columns",
    "update-deleted-directory": "metaData has no columns",
}
# Logs whose data files were never there: files at each version, and the file that is missed.
FILES = {
    "canonicalized-paths-normal-a": {0: (1, "/some/unqualified/absolute/path"), 1: (0, None)},
    "canonicalized-paths-normal-b": {0: (1, "/some/unqualified/absolute/path"), 1: (0, None)},
    "canonicalized-paths-special-a": {0: (1, "/some/unqualified/with space/p@#h"), 1: (0, None)},
    "canonicalized-paths-special-b": {0: (1, "/some/unqualified/with space/p@#h"), 1: (0, None)},
    "checkpoint": {0: (1, "/1"), 9: (1, "/10"), 14: (1, "/15")},
    "delete-re-add-same-file-different-transactions": {0: (1, "/foo"), 1: (0, None), 2: (1, "/foo"), 3: (2, "/foo")},
    "deltalog-getChanges": {0: (1, "/fake/path/1"), 1: (0, None), 2: (0, None)},
    "log-replay-special-characters": {0: (1, "/special p@#h"), 1: (0, None)},
    "log-replay-special-characters-a": {0: (1, "/special p@#h"), 1: (0, None)},
    "log-replay-special-characters-b": {0: (1, "/special p@#h")},
}
# The expected timestamps of this one are off by the zone of their writer (a fault of the data): left out of the comparison.
WRONG_COLUMNS = {"data-reader-partition-values": {"as_timestamp"}}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    return tmp_path_factory.mktemp("golden")


def bag(rows, without):
    """Whether an expected timestamp has a zone is its Parquet writer's business."""
    return collections.Counter(json.dumps({k: v for k, v in r.items() if k not in without},
                                          sort_keys=True).replace('Z"', '"') for r in rows)


def check_expected(name, table, expected):
    files = ", ".join("'" + str(f).replace("'", "''") + "'" for f in expected)
    parquet = f"read_parquet([{files}], hive_partitioning = false)"
    count = sum(pyarrow.parquet.read_metadata(f).num_rows for f in expected)
    if count > 20000:  # too many for a list
        assert ask(f"SELECT count(*) AS n FROM {path_of(table)}", f"FROM {path_of(table)} EXCEPT ALL FROM {parquet}") == \
            [[{"n": count}], []]
        return count
    have, want = ask(f"FROM {path_of(table)}", f"FROM {parquet}")
    without = WRONG_COLUMNS.get(name, set())
    assert bag(have, without) == bag(want, without)
    return len(have)


def check_files(table, versions):
    """Versions of a log without data: what is live, by what a reader misses first. (Of two, foo may come before bar.)"""
    for v, (n, missing) in versions.items():
        if missing is None:
            assert ask(f"SELECT * FROM {path_of(table, v)}") == [[]]
            continue
        message = refused(f"SELECT * FROM {path_of(table, v)}", "No files found")
        assert f"{missing}\"" in message or n > 1, message
    (detail,), = ask(f"DESCRIBE DETAIL {path_of(table)}")
    assert (detail["version"], detail["numFiles"]) == (max(versions), versions[max(versions)][0])


def check_hive(folder):
    return sum(check_versions(folder / name.removeprefix("hive/delta/"), versions)
               for name, versions in VERSIONS.items() if name.startswith("hive/"))


def check(name, table, expected):
    """Gives the number of versions and rows that were compared."""
    if name in REFUSED:
        refused(f"FROM {path_of(table)}", REFUSED[name])
        return 1, "refused"
    if name in FILES:
        check_files(table, FILES[name])
        return len(FILES[name]), "files"
    if name == "hive":
        return 11, check_hive(table)
    versions = VERSIONS.get(name, {})
    assert versions or expected, "nothing is known of this table"
    rows = check_expected(name, table, expected) if expected else 0
    return max(len(versions), 1), max(check_versions(table, versions), rows)


@pytest.mark.skipif(not ARCHIVES, reason=f"no golden tables in {SHARED}")
@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda a: a.name.removesuffix(".tar.zst"))
def test_golden_table(archive, unpacked, record_property):
    name = archive.name.removesuffix(".tar.zst")
    subprocess.run(["tar", "--zstd", "-xf", archive, "-C", unpacked], check=True, stderr=subprocess.DEVNULL)
    expected = sorted((unpacked / name / "expected").rglob("*.parquet"))
    versions, rows = check(name, unpacked / name / "delta", expected)
    record_property("corpus", ["kernel-golden", name, versions, rows])


@pytest.mark.skipif(not ARCHIVES, reason=f"no golden tables in {SHARED}")
def test_golden_commit_info(unpacked):
    """Every field that a commitInfo may have, of a table that has no columns."""
    archive = SHARED / "corpora" / "kernel-golden" / "deltalog-commit-info.tar.zst"
    subprocess.run(["tar", "--zstd", "-xf", archive, "-C", unpacked], check=True, stderr=subprocess.DEVNULL)
    ((row,),) = ask(f"DESCRIBE HISTORY {path_of(unpacked / 'deltalog-commit-info' / 'delta')}")
    assert (row["version"], row["operation"], row["userName"]) == (0, "WRITE", "username_0")
    assert (row["isolationLevel"], row["isBlindAppend"]) == ("default", True)
    assert json.loads(row["operationParameters"]) == json.loads(row["operationMetrics"]) == {"test": "test"}
