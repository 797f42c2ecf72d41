"""GENERATE symlink_format_manifest, and the property that keeps manifests beside every version; as Spark writes them."""
import re

import pytest

from lib.sluice import REFUSED, USAGE

ENABLED = "'delta.compatibility.symlinkFormatManifest.enabled' = 'true'"


@pytest.fixture
def run(sluice, tmp_path):
    """Runs statements on delta.`T`, and returns the manifests: folder below _symlink_format_manifest -> paths."""
    table = tmp_path / "a b" / "t"
    top = table / "_symlink_format_manifest"

    def call(*statements, code=0):
        for s in statements:
            done = sluice.run("sql", "-c", re.sub(r"\bT\b", f"delta.`{table}`", s), code=code)
        if code:
            return done.err
        return {str(f.parent.relative_to(top)): f.read_text().splitlines() for f in top.rglob("manifest")}

    call.table = table
    return call


def files(run):
    return sorted(f"file:{p}" for p in run.table.rglob("*.parquet"))


def test_one_manifest_of_a_table_without_partitions(run):
    found = run("CREATE TABLE T (id INT, v STRING)", "GENERATE symlink_format_manifest FOR TABLE T")
    assert found == {".": []}
    found = run("INSERT INTO T VALUES (1, 'a'), (2, 'b')", "INSERT INTO T VALUES (3, 'c')")
    assert found == {".": []}, "only GENERATE writes it"
    assert run("GENERATE symlink_format_manifest FOR TABLE T") == {".": files(run)} and len(files(run)) == 2


def test_a_manifest_a_partition(run):
    run("CREATE TABLE T (id INT, v STRING, d DATE) PARTITIONED BY (v, d)",
        "INSERT INTO T VALUES (1, 'a b', DATE '2024-01-01'), (2, 'b=%/ü', NULL), (3, NULL, NULL)")
    found = run("GENERATE symlink_format_manifest FOR TABLE T")
    null = "__HIVE_DEFAULT_PARTITION__"
    assert sorted(found) == sorted([f"v={null}/d={null}", "v=a b/d=2024-01-01", f"v=b%3D%25%2Fü/d={null}"])
    assert sorted(sum(found.values(), [])) == files(run)
    stale = run.table / "_symlink_format_manifest" / "v=a b" / "d=2024-01-01" / ".manifest.crc"
    stale.write_bytes(b"of Hadoop, and of the old text")
    run("DELETE FROM T WHERE id = 2")
    found = run("GENERATE symlink_format_manifest FOR TABLE T")
    assert sorted(found) == [f"v={null}/d={null}", "v=a b/d=2024-01-01"] and not stale.exists()


def test_the_property_keeps_them(run):
    run(f"CREATE TABLE T (id INT, v STRING) PARTITIONED BY (v) TBLPROPERTIES ({ENABLED})")
    found = run("INSERT INTO T VALUES (1, 'a'), (2, 'b')")
    assert sorted(found) == ["v=a", "v=b"]
    assert sorted(run("UPDATE T SET v = 'z' WHERE id = 2")) == ["v=a", "v=z"]
    assert sorted(run("DELETE FROM T WHERE id = 1")) == ["v=z"]
    assert "v=z" in run("VACUUM T RETAIN 200 HOURS")


def test_a_table_made_of_a_query_has_them_at_once(run):
    found = run(f"CREATE TABLE T TBLPROPERTIES ({ENABLED}) AS SELECT 1 AS id")
    assert found == {".": files(run)} and len(files(run)) == 1


def test_what_manifests_cannot_tell_of_is_refused(run):
    run("CREATE TABLE T (id INT) TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')", "INSERT INTO T VALUES (1), (2)")
    assert sorted(run("GENERATE symlink_format_manifest FOR TABLE T")) == ["."]
    assert "deletion vectors" in run(f"ALTER TABLE T SET TBLPROPERTIES ({ENABLED})", code=REFUSED)
    run("DELETE FROM T WHERE id = 1")
    assert "REORG TABLE" in run("GENERATE symlink_format_manifest FOR TABLE T", code=REFUSED)
    run("ALTER TABLE T SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'false')", "REORG TABLE T APPLY (PURGE)")
    assert len(run("GENERATE symlink_format_manifest FOR TABLE T")["."]) == 1
    run(f"ALTER TABLE T SET TBLPROPERTIES ({ENABLED})")
    assert "column mapping" in run("ALTER TABLE T SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')", code=REFUSED)
    run("ALTER TABLE T UNSET TBLPROPERTIES ('delta.compatibility.symlinkFormatManifest.enabled')",
        "ALTER TABLE T SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')")
    assert "column mapping" in run("GENERATE symlink_format_manifest FOR TABLE T", code=REFUSED)
    assert "knows symlink_format_manifest" in run("GENERATE nonsense FOR TABLE T", code=USAGE)
