"""Broken logs: the exact words in which each is refused, and what is read all the same."""
import json
import re
import shutil

import pytest

from test_maintain import folder, sql  # noqa: F401


class Broken:
    """A table of seven versions with checkpoints of 2, 4 and 6, to be broken."""

    def __init__(self, sluice, lake, made):
        self.sluice, self.lake = sluice, lake
        self.path = lake.table_path("t")
        self.log = self.path / "_delta_log"
        if not made:
            self.make()
        assert len(list(self.log.glob("*.checkpoint.parquet"))) == 3

    def make(self):
        sql(self.sluice, self.lake, "CREATE TABLE t (id INT, v STRING, p INT) PARTITIONED BY (p) TBLPROPERTIES "
                          "('delta.checkpointInterval' = '2')",
            "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 1)", "INSERT INTO t VALUES (3, 'c', 2)",
            "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (4, 'd', 2)", "INSERT INTO t VALUES (5, 'e', 1)",
            "INSERT INTO t VALUES (6, 'f', 1)", "INSERT INTO t VALUES (7, 'g', NULL)")

    def commit(self, version):
        return self.log / f"{version:020}.json"

    def checkpoint(self, version):
        return self.log / f"{version:020}.checkpoint.parquet"

    def without_checkpoints(self):
        for p in [*self.log.glob("*.checkpoint.parquet"), self.log / "_last_checkpoint"]:
            p.unlink(missing_ok=True)
        return self

    def edit(self, version, change):
        """change(action) returns the new line, or None to leave it."""
        lines = []
        for line in self.commit(version).read_text().splitlines():
            new = change(json.loads(line))
            lines.append(line if new is None else new if isinstance(new, str) else json.dumps(new))
        self.commit(version).write_text("\n".join(lines) + "\n")

    def set(self, version, kind, key, value):
        def change(action):
            if kind not in action:
                return None
            action[kind][key] = value
            return action
        self.edit(version, change)

    def add_line(self, version, line):
        with self.commit(version).open("a") as f:
            f.write(line + "\n")

    def data_files(self):
        return sorted(self.path.rglob("*.parquet"), key=lambda p: p.stat().st_mtime_ns)

    def vectors(self):
        return sorted(self.path.glob("deletion_vector_*.bin"), key=lambda p: p.stat().st_mtime_ns)

    def vector(self):
        [one] = self.vectors()
        return one

    def error(self):
        done = sql(self.sluice, self.lake, "SELECT * FROM t ORDER BY id", code=None)
        assert done.code != 0, done.out
        text = done.err.strip().removeprefix("sluice sql: ").replace(str(self.path), "T")
        return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "UUID", text)

    def ids(self):
        return [r["id"] for r in sql(self.sluice, self.lake, "SELECT id FROM t ORDER BY id").rows()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Where the whole table is kept, once made."""
    return tmp_path_factory.mktemp("whole") / "t"


@pytest.fixture
def broken(sluice, folder, whole):  # noqa: F811
    if whole.exists():
        shutil.copytree(whole, folder.table_path("t"))
    b = Broken(sluice, folder, made=whole.exists())
    if not whole.exists():
        shutil.copytree(b.path, whole)
    return b


ALL = [1, 3, 4, 5, 6, 7]


def truncated(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def line_of(b, version, n, text):
    lines = b.commit(version).read_text().splitlines()
    lines[n - 1] = text
    b.commit(version).write_text("\n".join(lines) + "\n")


def patch(path, at, value):
    data = bytearray(path.read_bytes())
    data[at] = value
    path.write_bytes(bytes(data))


REFUSED = {
    "a line cut short": lambda b: truncated(b.without_checkpoints().commit(3), 40),
    "a line that is no JSON": lambda b: line_of(b.without_checkpoints(), 1, 2, "{nope}"),
    "a line that is no object": lambda b: line_of(b.without_checkpoints(), 1, 2, "[1, 2]"),
    "bytes that are no text": lambda b: b.without_checkpoints().commit(2).write_bytes(b"\x00\xff\xfe\x01"),
    "a version missing in the middle": lambda b: b.without_checkpoints().commit(3).unlink(),
    "the first version missing": lambda b: b.without_checkpoints().commit(0).unlink(),
    "an add without a path": lambda b: b.without_checkpoints().edit(
        1, lambda a: {"add": {k: v for k, v in a["add"].items() if k != "path"}} if "add" in a else None),
    "a size that is text": lambda b: b.without_checkpoints().set(1, "add", "size", "big"),
    "a dataChange that is a number": lambda b: b.without_checkpoints().set(1, "add", "dataChange", 1),
    "partition values that are a list": lambda b: b.without_checkpoints().set(1, "add", "partitionValues", [1]),
    "a partition value of another type": lambda b: b.without_checkpoints().set(2, "add", "partitionValues", {"p": "x"}),
    "a path with a broken escape": lambda b: b.without_checkpoints().set(1, "add", "path", "a%zz.parquet"),
    "a file added twice": lambda b: b.without_checkpoints().add_line(
        1, next(x for x in b.commit(1).read_text().splitlines() if '"add"' in x)),
    "two metaData": lambda b: b.without_checkpoints().add_line(
        0, next(x for x in b.commit(0).read_text().splitlines() if '"metaData"' in x)),
    "no metaData": lambda b: b.without_checkpoints().edit(0, lambda a: "{}" if "metaData" in a else None),
    "no protocol": lambda b: b.without_checkpoints().edit(0, lambda a: "{}" if "protocol" in a else None),
    "a protocol of the future": lambda b: b.without_checkpoints().set(0, "protocol", "minReaderVersion", 4),
    "an unknown reader feature": lambda b: b.without_checkpoints().set(
        0, "protocol", "readerFeatures", ["deletionVectors", "timeTravelOfTheThirdKind"]),
    "a schema that is no JSON": lambda b: b.without_checkpoints().set(0, "metaData", "schemaString", "{"),
    "a schema with an unknown type": lambda b: b.without_checkpoints().set(
        0, "metaData", "schemaString", json.dumps({"type": "struct", "fields": [
            {"name": "id", "type": "quaternion", "nullable": True, "metadata": {}},
            {"name": "p", "type": "integer", "nullable": True, "metadata": {}}]})),
    "a partition column that is not there": lambda b: b.without_checkpoints().set(0, "metaData", "partitionColumns", ["q"]),
    "a deletion vector of an unknown kind": lambda b: b.without_checkpoints().edit(
        3, lambda a: {"add": a["add"] | {"deletionVector": a["add"]["deletionVector"] | {"storageType": "x"}}}
        if "add" in a else None),
    "a deletion vector that is gone": lambda b: b.vector().unlink(),
    "a deletion vector cut short": lambda b: truncated(b.vector(), 20),
    "a deletion vector with a wrong byte": lambda b: patch(b.vector(), 30, 0x5a),
    "a deletion vector of an unknown version": lambda b: patch(b.vector(), 0, 9),
    "a deletion vector of another size": lambda b: b.without_checkpoints().edit(
        3, lambda a: {"add": a["add"] | {"deletionVector": a["add"]["deletionVector"] | {"sizeInBytes": 33}}}
        if "add" in a else None),
    "a deletion vector of another cardinality": lambda b: b.without_checkpoints().edit(
        3, lambda a: {"add": a["add"] | {"deletionVector": a["add"]["deletionVector"] | {"cardinality": 2}}}
        if "add" in a else None),
    "a data file that is gone": lambda b: next(b.path.glob("p=2/*.parquet")).unlink(),
    "a data file cut short": lambda b: truncated(b.data_files()[0], 100),
    "every checkpoint broken and no early commits": lambda b: (
        [b.commit(v).unlink() for v in range(3)], [b.checkpoint(v).write_bytes(b"PAR1") for v in (2, 4, 6)]),
}

# What is said of each, by heart: a change of these words is a change of what users see.
WORDS = {
    "a line cut short":
        'T: version 3: line 1: broken JSON at byte 40: unexpected end of data',
    "a line that is no JSON":
        'T: version 1: line 2: broken JSON at byte 1: unexpected character, expected a string for object key',
    "a line that is no object":
        'T: version 1: line 2: not a JSON object',
    "bytes that are no text":
        'T: version 2: line 1: broken JSON at byte 0: unexpected character, expected a valid root value',
    "a version missing in the middle":
        'T: version 3 is missing in the log',
    "the first version missing":
        'T: version 0 is missing in the log',
    "an add without a path":
        'T: version 1: line 2: add has no path',
    "a size that is text":
        'T: version 1: line 2: add.size is not a whole number',
    "a dataChange that is a number":
        'T: version 1: line 2: add.dataChange is not true or false',
    "partition values that are a list":
        'T: version 1: line 2: add.partitionValues is not an object',
    "a partition value of another type":
        'table T, version 7: file p=2/part-00000-UUID.zstd.parquet, partition column "p": "x" is no value of its type',
    "a path with a broken escape":
        'T: version 1: line 2: the path "a%zz.parquet" has a % that is no escape',
    "a file added twice":
        'T: version 1: line 3: add "p=1/part-00000-UUID.zstd.parquet" was already in line 2 of the same commit',
    "two metaData":
        'T: version 0: line 4: action "metaData" was already in line 3 of the same commit',
    "no metaData":
        'T: the log holds no metaData action up to version 7',
    "no protocol":
        'T: the log holds no protocol action up to version 7',
    "a protocol of the future":
        'T: the table needs protocol reader version 4, and 3 is the newest known',
    "an unknown reader feature":
        'T: the table needs the reader feature "timeTravelOfTheThirdKind", which is not supported',
    "a schema that is no JSON":
        'T: version 0: metaData: schema: broken JSON at byte 1: unexpected end of data',
    "a schema with an unknown type":
        'table T, column "id": the type "quaternion" is not known',
    "a partition column that is not there":
        'T: version 0: metaData: the partition column "q" is not in the schema',
    "a deletion vector of an unknown kind":
        'T: version 3: line 3: deletionVector.storageType "x" is none of u, i, p',
    "a deletion vector that is gone":
        'table T, version 7: deletion vector of p=1/part-00000-UUID.zstd.parquet: cannot read T/deletion_vector_UUID.bin: No such file or directory',
    "a deletion vector cut short":
        'table T, version 7: deletion vector of p=1/part-00000-UUID.zstd.parquet: deletion vector file ends within a deletion vector of 34 bytes',
    "a deletion vector with a wrong byte":
        'table T, version 7: deletion vector of p=1/part-00000-UUID.zstd.parquet: deletion vector is corrupt: its CRC-32 is 09c14e1c, and should be eebd85f4',
    "a deletion vector of an unknown version":
        'table T, version 7: deletion vector of p=1/part-00000-UUID.zstd.parquet: deletion vector file is of version 9, and we read 1',
    "a deletion vector of another size":
        'table T, version 7: deletion vector of p=1/part-00000-UUID.zstd.parquet: deletion vector is of 34 bytes, but its descriptor says 33',
    "a deletion vector of another cardinality":
        'table T, version 7: deletion vector of p=1/part-00000-UUID.zstd.parquet: deletion vector masks 1 rows, but its descriptor says 2',
    "a data file that is gone":
        'No files found that match the pattern "T/p=2/part-00000-UUID.zstd.parquet"',
    "a data file cut short":
        "No magic bytes found at end of file 'T/p=1/part-00000-UUID.zstd.parquet'",
    "every checkpoint broken and no early commits":
        "T: checkpoint of version 6: File 'T/_delta_log/00000000000000000006.checkpoint.parquet' too small to be a Parquet file",
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_by_name(broken, name):
    REFUSED[name](broken)
    assert broken.error() == WORDS[name]


def set_last(b, text):
    (b.log / "_last_checkpoint").write_text(text)


STILL_READ = {
    "_last_checkpoint is no JSON": lambda b: set_last(b, "{"),
    "_last_checkpoint is empty": lambda b: set_last(b, ""),
    "_last_checkpoint names a version that is not there": lambda b: set_last(b, '{"version": 5, "size": 1}'),
    "_last_checkpoint names a version of the future": lambda b: set_last(b, '{"version": 99, "size": 1}'),
    "_last_checkpoint has a version that is text": lambda b: set_last(b, '{"version": "six"}'),
    "_last_checkpoint is gone": lambda b: (b.log / "_last_checkpoint").unlink(),
    "_last_checkpoint is stale": lambda b: set_last(b, '{"version": 2, "size": 1}'),
    "the newest checkpoint is cut short": lambda b: truncated(b.checkpoint(6), 1000),
    "the newest checkpoint is empty": lambda b: truncated(b.checkpoint(6), 0),
    "the newest checkpoint is no Parquet": lambda b: b.checkpoint(6).write_bytes(b"nonsense" * 100),
    "the newest checkpoint has wrong bytes in the middle": lambda b: [patch(b.checkpoint(6), i, 0xff) for i in range(8, 400)],
    "the two newest checkpoints are broken": lambda b: [b.checkpoint(v).write_bytes(b"x" * 100) for v in (4, 6)],
    "all checkpoints are broken": lambda b: [b.checkpoint(v).write_bytes(b"x" * 100) for v in (2, 4, 6)],
    "all checkpoints are gone": lambda b: b.without_checkpoints(),
    "a part of a checkpoint is missing": lambda b: b.checkpoint(6).rename(
        b.log / f"{6:020}.checkpoint.0000000001.0000000002.parquet"),
    "early commits are gone, and the newest checkpoint is broken": lambda b: (
        [b.commit(v).unlink() for v in range(4)], truncated(b.checkpoint(6), 500)),
    "checksums are garbage": lambda b: [p.write_text("nonsense") for p in b.log.glob("*.crc")],
    "files of others lie in the log": lambda b: [(b.log / name).write_text("x") for name in (
        ".00000000000000000001.json.crc", "00000000000000000001.json.tmp", "notes.txt", "00000000000000000009.checkpoint")],
    "blank lines and carriage returns": lambda b: b.without_checkpoints().commit(1).write_bytes(
        b"\r\n" + b.commit(1).read_bytes().replace(b"\n", b"\r\n\r\n")),
    "unknown actions and fields": lambda b: b.without_checkpoints().add_line(1, '{"teleport": {"to": "mars"}, "x": 1}'),
    "statistics that are no JSON": lambda b: b.without_checkpoints().set(2, "add", "stats", "{nope"),
    "a broken vector of a file that is gone since": lambda b: (
        sql(b.sluice, b.lake, "DELETE FROM t WHERE id = 1"), b.vectors()[0].write_bytes(b"")),
}


@pytest.mark.parametrize("name", STILL_READ)
def test_is_read_all_the_same(broken, name):
    STILL_READ[name](broken)
    assert broken.ids() == ([i for i in ALL if i != 1] if "since" in name else ALL)


def test_v2_checkpoints_fall_back_as_well(sluice, folder):  # noqa: F811
    sql(sluice, folder, "CREATE TABLE t (id INT) TBLPROPERTIES ('delta.checkpointPolicy' = 'v2', "
                        "'delta.checkpointInterval' = '2')", *[f"INSERT INTO t VALUES ({i})" for i in range(6)])
    log = folder.table_path("t") / "_delta_log"
    tops = sorted(log.glob("*.checkpoint.*.json"))
    assert len(tops) == 3
    sidecars = [json.loads(line)["sidecar"]["path"] for line in tops[2].read_text().splitlines() if "sidecar" in line]
    (log / "_sidecars" / sidecars[0]).unlink()
    truncated(tops[1], 300)
    assert [r["id"] for r in sql(sluice, folder, "SELECT id FROM t ORDER BY id").rows()] == list(range(6))
    for v in range(3):
        (log / f"{v:020}.json").unlink()
    tops[0].unlink()
    done = sql(sluice, folder, "SELECT id FROM t", code=None)
    assert "checkpoint of version 6: sidecar " + sidecars[0] in done.err
