"""Checkpoints of every kind that we write, read back without the commits before them."""
import json
import os
import time

import pytest

from test_maintain import assert_rows, folder, rows, sql  # noqa: F401


def log_files(lake, table, pattern):
    return sorted((lake.table_path(table) / "_delta_log").glob(pattern))


def forget_commits(lake, table):
    """Deletes what lies before the newest checkpoint, so that only it can tell."""
    newest = max(int(p.name[:20]) for p in log_files(lake, table, "*.checkpoint*"))
    for p in log_files(lake, table, "*.json"):
        if ".checkpoint." not in p.name and int(p.name[:20]) < newest:
            p.unlink()
    return newest


def check(sluice, lake, expected):
    assert_rows(sluice, lake, "t", expected, ("delta-rs",))
    assert sorted(rows(sluice, lake, "SELECT * FROM t"), key=repr) == sorted(expected, key=repr)


def fill(sluice, lake, properties, columns="id INT, v STRING, p STRING", partitioned="PARTITIONED BY (p)"):
    sql(sluice, lake, f"CREATE TABLE t ({columns}) {partitioned} TBLPROPERTIES ({properties})",
        *[f"INSERT INTO t VALUES ({i}, 'v{i}', 'p {i % 2}')" for i in range(9)],
        "DELETE FROM t WHERE id IN (3, 4)", "INSERT INTO t VALUES (9, NULL, NULL)")
    return [(i, f"v{i}", f"p {i % 2}") for i in range(9) if i not in (3, 4)] + [(9, None, None)]


def test_v2_checkpoints_have_sidecars(sluice, folder):  # noqa: F811
    expected = fill(sluice, folder, "'delta.checkpointPolicy' = 'v2', 'delta.checkpointInterval' = '5'")
    tops = log_files(folder, "t", "*.checkpoint.*.json")
    assert tops and not log_files(folder, "t", "*.checkpoint.parquet")
    top = [json.loads(line) for line in tops[-1].read_text().splitlines()]
    kinds = [next(iter(a)) for a in top]
    assert kinds == ["checkpointMetadata", "protocol", "metaData", "sidecar"]
    assert top[0]["checkpointMetadata"]["version"] == int(tops[-1].name[:20])
    sidecar = folder.table_path("t") / "_delta_log" / "_sidecars" / top[-1]["sidecar"]["path"]
    assert sidecar.stat().st_size == top[-1]["sidecar"]["sizeInBytes"]
    columns = rows(sluice, folder, f"SELECT name FROM parquet_schema('{sidecar}') WHERE name IN ('add', 'remove', 'metaData')")
    assert columns == [("add",), ("remove",)]
    assert "v2Checkpoint" in str(list(folder.log("t")))
    forget_commits(folder, "t")
    check(sluice, folder, expected)


def test_sidecars_of_deleted_checkpoints_go(sluice, folder):  # noqa: F811
    fill(sluice, folder, "'delta.checkpointPolicy' = 'v2', 'delta.checkpointInterval' = '2', "
                         "'delta.logRetentionDuration' = 'interval 0 seconds', 'delta.deletedFileRetentionDuration' = 'interval 0 seconds'")
    log = folder.table_path("t") / "_delta_log"
    for p in log.rglob("*"):
        os.utime(p, (time.time() - 3 * 86400,) * 2)
    before = set((log / "_sidecars").iterdir())
    assert len(before) > 3
    sql(sluice, folder, "INSERT INTO t VALUES (10, 'x', 'y')", "INSERT INTO t VALUES (11, 'x', 'y')",
        "INSERT INTO t VALUES (12, 'x', 'y')")
    left = set((log / "_sidecars").iterdir())
    assert len(before & left) <= 1 and len(left) <= 3, (len(before), len(left))
    assert rows(sluice, folder, "SELECT count(*) FROM t") == [(11,)]


def test_statistics_as_structs(sluice, folder):  # noqa: F811
    sql(sluice, folder,
        "CREATE TABLE t (a INT, d DECIMAL(10,2), big DECIMAL(38,10), s STRUCT<x: STRING, `y z`: DOUBLE>, ts TIMESTAMP, "
        "n TIMESTAMP_NTZ, dt DATE, l ARRAY<INT>, b BOOLEAN, p DATE, q INT) PARTITIONED BY (p, q) TBLPROPERTIES "
        "('delta.checkpoint.writeStatsAsStruct' = 'true', 'delta.checkpoint.writeStatsAsJson' = 'false', "
        "'delta.checkpointInterval' = '3', 'delta.columnMapping.mode' = 'name')",
        "INSERT INTO t VALUES (1, 1.25, 1.0000000001, {'x': 'm', 'y z': 0.5}, '2026-01-02 03:04:05.678Z', "
        "'2026-01-02 03:04:05.678', '2026-01-02', [1], true, '2026-02-03', 7)",
        "INSERT INTO t VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)", "DELETE FROM t WHERE a = 5")
    sql(sluice, folder, "INSERT INTO t (a) VALUES (2)")
    [checkpoint] = log_files(folder, "t", "*.checkpoint.parquet")
    physical = {f["name"]: f["metadata"]["delta.columnMapping.physicalName"] for f in json.loads(
        [a for _, done in folder.log("t") for a in done if "metaData" in a][0]["metaData"]["schemaString"])["fields"]}
    found = sql(sluice, folder, f"SELECT \"add\".stats AS s, \"add\".stats_parsed AS p, \"add\".partitionValues_parsed AS pv "
                                f"FROM '{checkpoint}' WHERE \"add\" IS NOT NULL AND \"add\".stats_parsed.numRecords = 1 "
                                f"ORDER BY \"add\".stats_parsed.nullCount.\"{physical['a']}\"").rows()
    full = found[0]
    assert full["s"] is None
    low = {k: full["p"]["minValues"].get(v) for k, v in physical.items()}
    assert low["a"] == 1 and low["d"] == 1.25 and low["dt"] == "2026-01-02" and low["big"] is None and low["l"] is None
    assert low["ts"].startswith("2026-01-02T03:04:05.678") and low["n"].startswith("2026-01-02T03:04:05.678")
    assert list(low["s"].values()) == ["m", 0.5]
    assert full["p"]["nullCount"][physical["a"]] == 0 and found[-1]["p"]["nullCount"][physical["a"]] == 1
    assert {k: full["pv"][physical[k]] for k in "pq"} == {"p": "2026-02-03", "q": 7}
    forget_commits(folder, "t")
    assert rows(sluice, folder, "SELECT count(*), sum(a) FROM t") == [(3, 3)]
    assert sql(sluice, folder, "DESCRIBE DETAIL t").rows()[0]["numRows"] == 3
    assert len(folder.read("t").rows) == 3


@pytest.mark.parametrize("policy", ["classic", "v2"])
def test_statistics_in_both_forms(sluice, folder, policy):  # noqa: F811
    expected = fill(sluice, folder, f"'delta.checkpointPolicy' = '{policy}', 'delta.checkpointInterval' = '4', "
                                    "'delta.checkpoint.writeStatsAsStruct' = 'true'")
    forget_commits(folder, "t")
    check(sluice, folder, expected)
    assert sql(sluice, folder, "DESCRIBE DETAIL t").rows()[0]["numRows"] == len(expected)


def test_each_commit_of_sql_has_a_checksum(sluice, folder):  # noqa: F811
    fill(sluice, folder, "'delta.enableInCommitTimestamps' = 'true', 'delta.enableRowTracking' = 'true'")
    size = {}
    newest = {}
    for version, actions in sorted(folder.log("t")):
        crc = json.loads((folder.table_path("t") / "_delta_log" / f"{version:020}.crc").read_text())
        for a in actions:
            newest.update({k: v for k, v in a.items() if k in ("metaData", "protocol", "domainMetadata", "commitInfo")})
            if "remove" in a and not any("add" in b and b["add"]["path"] == a["remove"]["path"] for b in actions):
                size.pop(a["remove"]["path"])
            if "add" in a:
                size[a["add"]["path"]] = a["add"]["size"]
        assert (crc["numFiles"], crc["tableSizeBytes"]) == (len(size), sum(size.values())), version
        assert crc["metadata"] == newest["metaData"] and crc["protocol"] == newest["protocol"]
        assert crc["domainMetadata"] == ([newest["domainMetadata"]] if "domainMetadata" in newest else [])
        assert crc["inCommitTimestampOpt"] == newest["commitInfo"]["inCommitTimestamp"]
        assert crc["setTransactions"] == [] and crc.get("txnId", newest["commitInfo"]["txnId"]) == newest["commitInfo"]["txnId"]
    assert version > 5


@pytest.mark.parametrize("partitioned", ["PARTITIONED BY (p)", ""])
def test_classic_checkpoints_in_parts(sluice, folder, partitioned):  # noqa: F811
    expected = fill(sluice, folder, "'delta.checkpointInterval' = '5', 'delta.checkpoint.partSize' = '4'", partitioned=partitioned)
    parts = log_files(folder, "t", "*.checkpoint.*.*.parquet")
    newest = [p.name.split(".") for p in parts if p.name[:20] == parts[-1].name[:20]]
    assert [int(n[2]) for n in newest] == list(range(1, len(newest) + 1)) and len(newest) > 1
    assert {int(n[3]) for n in newest} == {len(newest)} and not log_files(folder, "t", "*.checkpoint.parquet")
    hint = json.loads((folder.table_path("t") / "_delta_log" / "_last_checkpoint").read_text())
    assert hint["parts"] == len(newest) and hint["version"] == int(newest[0][0])
    forget_commits(folder, "t")
    check(sluice, folder, expected)
    import pyarrow.parquet as pq
    sizes = [pq.read_metadata(p).num_rows for p in parts if p.name[:20] == parts[-1].name[:20]]
    assert sum(sizes) == hint["size"] and max(sizes) <= 6


def test_a_checkpoint_whose_part_is_missing_is_passed_over(sluice, folder):  # noqa: F811
    expected = fill(sluice, folder, "'delta.checkpointInterval' = '5', 'delta.checkpoint.partSize' = '4'")
    log_files(folder, "t", "*.checkpoint.*.*.parquet")[-1].unlink()
    assert sorted(rows(sluice, folder, "SELECT * FROM t"), key=repr) == sorted(expected, key=repr)


def test_parts_that_another_writer_has_left_are_passed_over(sluice, folder):  # noqa: F811
    """Of a checkpoint of the same version in another number of parts, which was never finished: they stand among the others."""
    expected = fill(sluice, folder, "'delta.checkpointInterval' = '5', 'delta.checkpoint.partSize' = '4'")
    parts = log_files(folder, "t", "*.checkpoint.*.*.parquet")
    newest = [p for p in parts if p.name[:20] == parts[-1].name[:20]]
    for part in (1, 2):
        for total in (len(newest) + 1, len(newest) + 7):
            newest[0].with_name(f"{newest[0].name[:20]}.checkpoint.{part:010}.{total:010}.parquet").write_bytes(newest[0].read_bytes())
    forget_commits(folder, "t")
    check(sluice, folder, expected)


@pytest.mark.parametrize("part_size", ["", ", 'delta.checkpoint.partSize' = '3'"])
def test_v2_checkpoints_with_a_parquet_top(sluice, folder, part_size):  # noqa: F811
    expected = fill(sluice, folder, "'delta.checkpointPolicy' = 'v2', 'delta.checkpointInterval' = '5', "
                                    "'delta.checkpointV2.topLevelFileFormat' = 'parquet'" + part_size)
    tops = log_files(folder, "t", "*.checkpoint.*.parquet")
    assert tops and not log_files(folder, "t", "*.checkpoint.*.json")
    import pyarrow.parquet as pq
    top = pq.read_table(tops[-1]).to_pylist()
    sidecars = [r["sidecar"] for r in top if r["sidecar"]]
    assert len(sidecars) > (1 if part_size else 0) and {r["checkpointMetadata"]["version"] for r in top if r["checkpointMetadata"]} == {int(tops[-1].name[:20])}
    assert sum(1 for r in top if r["protocol"]) == sum(1 for r in top if r["metaData"]) == 1
    assert not any(r["add"] or r["remove"] for r in top)  # but the columns are there: Spark asks for them
    for s in sidecars:
        assert (folder.table_path("t") / "_delta_log" / "_sidecars" / s["path"]).stat().st_size == s["sizeInBytes"]
    forget_commits(folder, "t")
    check(sluice, folder, expected)


@pytest.mark.parametrize("text", (True, False))
def test_statistics_of_many_files_go_through_checkpoints(sluice, folder, text):  # noqa: F811
    """The files of a checkpoint are kept packed, some hundred together. Here they do not exist: only statistics tell."""
    n = 1000
    sql(sluice, folder, "CREATE TABLE t (id BIGINT, v STRING) TBLPROPERTIES ('delta.checkpointInterval' = '2', "
                        f"'delta.checkpoint.writeStatsAsJson' = '{str(text).lower()}', "
                        f"'delta.checkpoint.writeStatsAsStruct' = '{str(not text).lower()}')")
    files = {}
    for i in range(n):
        bounds = [{"id": i * 10, "v": f"<{i:04}"}, {"id": i * 10 + 9, "v": f"<{i:04}>"}]
        files[f"none/part {i}.parquet"] = {"numRecords": 10 + i, "minValues": bounds[0], "maxValues": bounds[1],
                                           "nullCount": {"id": 0, "v": i % 3}}
    log = folder.table_path("t") / "_delta_log"
    (log / f"{1:020}.json").write_text("".join(json.dumps({"add": {
        "path": path.replace(" ", "%20"), "partitionValues": {}, "size": 1000, "modificationTime": 1700000000000,
        "dataChange": True, "stats": json.dumps(stats)}}) + "\n" for path, stats in files.items()))
    expected = sum(s["numRecords"] for s in files.values())
    for _ in range(2):
        sql(sluice, folder, "INSERT INTO t VALUES (-1, 'x')", "INSERT INTO t VALUES (-1, 'x')")
        expected += 2
        newest = forget_commits(folder, "t")
        assert rows(sluice, folder, "SELECT count(*) FROM t") == [(expected,)]
        assert rows(sluice, folder, "SELECT v FROM t WHERE id < 0 AND v < 'y'")[0] == ("x",)
        assert rows(sluice, folder, "SELECT count(*) FROM t WHERE id = 10000 OR v = '<0007a'") == [(0,)]
        with pytest.raises(Exception, match="part 42.parquet"):
            rows(sluice, folder, "SELECT v FROM t WHERE id = 421")
        stats = "add.stats" if text else "to_json(add.stats_parsed)::VARCHAR"
        kept = dict(rows(sluice, folder, f"SELECT add.path, {stats} FROM "
                                         f"read_parquet('{log}/{newest:020}.checkpoint.parquet') WHERE add IS NOT NULL"))
        for path, want in files.items():
            got = json.loads(kept[path.replace(" ", "%20")])
            assert {k: v for k, v in got.items() if v is not None} == want
        assert n < len(kept) <= n + 4
