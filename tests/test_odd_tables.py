"""Tables as other writers may make them, by hand: the log as text, the files by pyarrow. None needs Spark."""
import datetime
import decimal
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.corpus import ask, path_of, refused

D = decimal.Decimal


def field(name, kind, **metadata):
    return {"name": name, "type": kind, "nullable": True, "metadata": metadata}


def struct(*fields):
    return {"type": "struct", "fields": list(fields)}


def array(kind):
    return {"type": "array", "elementType": kind, "containsNull": True}


class Table:
    """A folder with a log that begins with `fields`; `add()` puts a file and its action."""

    def __init__(self, folder, fields, partition=(), protocol=None, **configuration):
        self.path, self.version = folder, -1
        (folder / "_delta_log").mkdir(parents=True)
        metadata = {"id": "00000000-0000-4000-8000-000000000000", "format": {"provider": "parquet", "options": {}},
                    "schemaString": json.dumps(struct(*fields)), "partitionColumns": list(partition),
                    "configuration": configuration}
        self.commit({"protocol": protocol or {"minReaderVersion": 1, "minWriterVersion": 2}}, {"metaData": metadata})

    def log(self, version):
        return self.path / "_delta_log" / f"{version:020}.json"

    def commit(self, *actions):
        self.version += 1
        self.log(self.version).write_text("".join(json.dumps(a) + "\n" for a in actions))

    def file(self, table, name="a.parquet", uri=None, parts=None, **options):
        """Writes the file, gives its add action."""
        where = self.path / name
        where.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, where, **options)
        return {"add": {"path": uri or name, "partitionValues": parts or {}, "size": where.stat().st_size,
                        "modificationTime": 1700000000000, "dataChange": True}}

    def add(self, *args, **kwargs):
        self.commit(self.file(*args, **kwargs))

    def rows(self, order="1"):
        (rows,) = ask(f"SELECT * FROM {path_of(self.path)} ORDER BY {order}")
        return rows


IDS = [field("id", "integer")]


def ids(*values):
    return pa.table({"id": pa.array(values, pa.int32())})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "t"


def test_variants_that_their_file_does_not_call_so(folder):
    """Spark 4.0 wrote none of Parquet's annotation; members stand in either order, at any depth."""
    one = {"value": bytes.fromhex("02010000020c07"), "metadata": bytes.fromhex("010100036b6579")}  # {"key": 7}
    features = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["variantType"],
                "writerFeatures": ["variantType"]}
    t = Table(folder, [field("id", "integer"), field("v", "variant"), field("s", struct(field("a", array("variant"))))],
              protocol=features)
    for n, order in enumerate((["value", "metadata"], ["metadata", "value"])):
        kind = pa.struct([pa.field(name, pa.binary(), nullable=False) for name in order])
        t.add(pa.table({"id": pa.array([n, n + 10], pa.int32()), "v": pa.array([one, None], kind),
                        "s": pa.array([{"a": [one, None]}, None], pa.struct([("a", pa.list_(kind))]))}), f"{n}.parquet")
    full = {"v": {"key": 7}, "s": {"a": [{"key": 7}, None]}}
    assert t.rows() == [{"id": 0, **full}, {"id": 1, **full}, {"id": 10, "v": None, "s": None},
                        {"id": 11, "v": None, "s": None}]


def test_char_columns_are_padded(folder):
    kind = {"__CHAR_VARCHAR_TYPE_STRING": "struct<c:char(4),v:varchar(9),a:array<char(2)>,m:map<char(3),decimal(5,2)>>"}
    inner = struct(field("c", "string"), field("v", "string"), field("a", array("string")),
                   field("m", {"type": "map", "keyType": "string", "valueType": "decimal(5,2)", "valueContainsNull": True}))
    t = Table(folder, [field("id", "integer"), field("c", "string", __CHAR_VARCHAR_TYPE_STRING="char(3)"),
                       field("v", "string", __CHAR_VARCHAR_TYPE_STRING="varchar(3)"),
                       field("p", "string", __CHAR_VARCHAR_TYPE_STRING="char(2)"), field("s", inner, **kind)],
              partition=["p"])
    row = {"c": "x", "v": "x", "a": ["y", None], "m": [("k", D("1.50"))]}
    arrow = pa.struct([("c", pa.string()), ("v", pa.string()), ("a", pa.list_(pa.string())),
                       ("m", pa.map_(pa.string(), pa.decimal128(5, 2)))])
    t.add(pa.table({"id": pa.array([1, 2], pa.int32()), "c": ["é", None], "v": ["x", None],
                    "s": pa.array([row, None], arrow)}), parts={"p": "q"})
    first, second = t.rows()
    assert first == {"id": 1, "c": "é  ", "v": "x", "p": "q ",
                     "s": {"c": "x   ", "v": "x", "a": ["y ", None], "m": {"k  ": "1.50"}}}
    assert second == {"id": 2, "c": None, "v": None, "p": "q ", "s": None}


def test_partition_values_of_far_years(folder):
    t = Table(folder, [field("id", "integer"), field("d", "date"), field("t", "timestamp"), field("n", "timestamp_ntz")],
              partition=["d", "t", "n"], protocol={"minReaderVersion": 3, "minWriterVersion": 7,
                                                   "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"]})
    t.add(ids(1), "1.parquet", parts={"d": "+10000-01-01", "t": "+10000-01-01T00:00:00.5Z", "n": "+10000-01-01 00:00:00"})
    t.add(ids(2), "2.parquet", parts={"d": "-0001-06-01", "t": "-0001-06-01 00:00:00", "n": "-0001-06-01 00:00:00.5"})
    assert t.rows() == [
        {"id": 1, "d": "10000-01-01", "t": "10000-01-01T00:00:00.500000Z", "n": "10000-01-01T00:00:00"},
        {"id": 2, "d": "-0001-06-01", "t": "-0001-06-01T00:00:00Z", "n": "-0001-06-01T00:00:00.500000"}]


def test_rows_are_not_counted_where_the_log_does_not_say_them(folder):
    t = Table(folder, IDS)
    t.add(ids(1, 2))
    ((detail,),) = ask(f"DESCRIBE DETAIL {path_of(t.path)}")
    assert (detail["numFiles"], detail["numRows"]) == (1, None)


def test_lines_of_a_log_as_other_writers_leave_them(folder):
    """CR LF, blank lines, no line end, no commitInfo, actions and fields that nobody knows."""
    t = Table(folder, IDS)
    add = t.file(ids(1, 2))
    add["add"]["somethingNew"] = {"a": [1, None]}
    t.version += 1
    lines = ["", json.dumps({"newAction": {"path": "x"}}), " ", json.dumps(add), json.dumps({"commitInfo": None})]
    t.log(t.version).write_bytes("\r\n".join(lines).encode())
    t.commit()  # a commit of nothing
    t.log(t.version).write_bytes(b"")
    assert t.rows() == [{"id": 1}, {"id": 2}]


def test_a_compacted_file_that_is_not_reconciled_is_passed_over(folder):
    """Some have every action of their commits, the newest first: what is removed would come back."""
    t = Table(folder, IDS)
    t.add(ids(1), "1.parquet")
    first = json.loads(t.log(1).read_text())["add"]
    gone = {"remove": {"path": "1.parquet", "deletionTimestamp": 1700000000000, "dataChange": True}}
    t.commit(gone, t.file(ids(2), "2.parquet"))
    both = [t.log(2).read_text().splitlines(), t.log(1).read_text().splitlines(), t.log(0).read_text().splitlines()]
    (t.path / "_delta_log" / f"{0:020}.{2:020}.compacted.json").write_text("\n".join(sum(both, [])) + "\n")
    assert first["path"] == "1.parquet" and t.rows() == [{"id": 2}]


@pytest.mark.parametrize("uri", ["file:{}", "file://{}", "{}"])
def test_paths_absolute_and_encoded(folder, uri):
    """Names are encoded once in the log; a percent sign in a name is encoded, too."""
    t = Table(folder, IDS)
    for n, name in enumerate(["a b.parquet", "a%20b.parquet", "p=x%2Fy/ü#?.parquet", "[1]*.parquet"]):
        encoded = name.replace("%", "%25").replace(" ", "%20").replace("#", "%23").replace("?", "%3F")
        t.add(ids(n), name, uri=uri.format(f"{t.path}/{encoded}") if n % 2 else encoded)
    assert [r["id"] for r in t.rows()] == [0, 1, 2, 3]
    link = folder.parent / "a link"
    os.symlink(t.path, link)
    assert ask(f"SELECT count(*) AS n FROM {path_of(link)}") == [[{"n": 4}]]


@pytest.mark.parametrize("hint", ["", "{", '{"version":99,"size":1}', '{"version":0,"size":3}', '{"version":-1}', "[]",
                                  '{"version":1,"size":2,"parts":7}', '{"version":"x"}', "null"])
def test_last_checkpoint_is_a_hint(folder, hint):
    t = Table(folder, IDS)
    t.add(ids(1, 2))
    (t.path / "_delta_log" / "_last_checkpoint").write_text(hint)
    (t.path / "_delta_log" / f"{1:020}.crc").write_text(hint)
    assert t.rows() == [{"id": 1}, {"id": 2}]


def test_physical_types_of_other_writers(folder):
    """The same columns as each writer has them in Parquet: decimals in every form, times in every unit, dictionaries."""
    t = Table(folder, [field("id", "long"), field("d", "decimal(9,2)"), field("e", "decimal(18,3)"), field("t", "timestamp"),
                       field("s", "string"), field("b", "binary"), field("l", array("integer"))])
    when = datetime.datetime(2024, 2, 29, 12, 30, 15, 250000, tzinfo=datetime.timezone.utc)
    forms = [
        (pa.decimal128(9, 2), pa.decimal128(18, 3), pa.timestamp("us", "UTC"), pa.string(), {"store_decimal_as_integer": True}),
        (pa.decimal128(9, 2), pa.decimal128(18, 3), pa.timestamp("ms", "UTC"), pa.large_string(), {"compression": "zstd"}),
        (pa.decimal256(9, 2), pa.decimal128(18, 3), pa.timestamp("ns", "UTC"), pa.dictionary(pa.int8(), pa.string()), {}),
        (pa.decimal128(5, 2), pa.decimal128(9, 3), pa.timestamp("ns", "UTC"), pa.string_view(),
         {"use_deprecated_int96_timestamps": True, "data_page_version": "2.0", "compression": "gzip"}),
        (pa.decimal128(9, 2), pa.decimal128(18, 3), pa.timestamp("us", "UTC"), pa.string(),
         {"use_dictionary": False, "compression": "lz4", "column_encoding": {
             "id": "DELTA_BINARY_PACKED", "s": "DELTA_BYTE_ARRAY", "b": "DELTA_LENGTH_BYTE_ARRAY", "t": "DELTA_BINARY_PACKED"}}),
        (pa.decimal128(9, 2), pa.decimal128(18, 3), pa.timestamp("us", "UTC"), pa.string(),
         {"compression": "brotli", "use_compliant_nested_type": False}),
    ]
    for n, (d, e, ts, s, options) in enumerate(forms):
        t.add(pa.table({"id": [n], "d": pa.array([D("-123.45")], d), "e": pa.array([D("1.500")], e),
                        "t": pa.array([when], ts), "s": pa.array(["é"], pa.string()).cast(s), "b": pa.array([b"\0\xff"]),
                        "l": pa.array([[1, None]], pa.list_(pa.int32()))}), f"{n}.parquet", **options)
    for n, row in enumerate(t.rows()):
        assert row == {"id": n, "d": "-123.45", "e": "1.500", "t": "2024-02-29T12:30:15.250000Z", "s": "é", "b": "AP8=",
                       "l": [1, None]}, forms[n]


def test_columns_that_a_file_has_otherwise(folder):
    """Missing, of more columns, in another order, narrower, and none of them at all."""
    t = Table(folder, [field("id", "long"), field("x", "double"), field("s", struct(field("a", "long"), field("b", "string")))])
    t.add(pa.table({"s": pa.array([{"b": "q", "zz": 1, "a": 2}], pa.struct([("b", pa.string()), ("zz", pa.int8()), ("a", pa.int16())])),
                    "other": [1], "id": pa.array([1], pa.int8())}), "1.parquet")
    t.add(pa.table({"other": [1, 2]}), "2.parquet")
    assert t.rows("id NULLS LAST") == [{"id": 1, "x": None, "s": {"a": 2, "b": "q"}}] + [{"id": None, "x": None, "s": None}] * 2


def mapped(name, kind, n, physical):
    return field(name, kind, **{"delta.columnMapping.id": n, "delta.columnMapping.physicalName": physical})


def test_columns_mapped_by_id(folder):
    """Files say the ids; their names mean nothing (inside of structs they are the physical ones)."""
    inner = struct(mapped("c d", "long", 3, "col-3"), mapped("e", "string", 4, "col-4"))
    t = Table(folder, [mapped("a b", "integer", 1, "col-1"), mapped("s", inner, 2, "col-2")],
              protocol={"minReaderVersion": 2, "minWriterVersion": 5},
              **{"delta.columnMapping.mode": "id", "delta.columnMapping.maxColumnId": "4"})

    def numbered(name, kind, n):
        return pa.field(name, kind, metadata={"PARQUET:field_id": str(n)})

    for n, names in enumerate((["col-1", "col-2", "col-3", "col-4"], ["w", "x", "col-3", "col-4"])):
        kind = pa.struct([numbered(names[3], pa.string(), 4), numbered(names[2], pa.int64(), 3)])
        schema = pa.schema([numbered(names[1], kind, 2), numbered(names[0], pa.int32(), 1)])
        values = [pa.array([{names[2]: 5, names[3]: "v"}], kind), pa.array([n], pa.int32())]
        t.add(pa.Table.from_arrays(values, schema=schema), f"{n}.parquet")
    assert t.rows() == [{"a b": n, "s": {"c d": 5, "e": "v"}} for n in (0, 1)]


def test_files_without_ids_in_a_table_mapped_by_id_are_refused(folder):
    """They would read as nothing but NULLs, and UPDATE or OPTIMIZE would make that last. Of a file with ids, a column whose id it lacks is NULL."""
    t = Table(folder, [mapped("a", "integer", 1, "col-1"), mapped("b", "integer", 2, "col-2")], protocol={"minReaderVersion": 2, "minWriterVersion": 5},
              **{"delta.columnMapping.mode": "id", "delta.columnMapping.maxColumnId": "2"})
    t.add(pa.Table.from_arrays([pa.array([1], pa.int32())], schema=pa.schema([pa.field("x", pa.int32(), metadata={"PARQUET:field_id": "1"})])), "with ids.parquet")
    assert t.rows() == [{"a": 1, "b": None}]
    plain = t.file(pa.table({"col-1": pa.array([2], pa.int32()), "col-2": pa.array([3], pa.int32())}), "without.parquet")
    plain["add"]["stats"] = json.dumps({"numRecords": 1, "minValues": {"col-1": 2}, "maxValues": {"col-1": 2}, "nullCount": {"col-1": 0}})
    t.commit(plain)
    for statement in ("SELECT * FROM {}", "SELECT b FROM {} WHERE a = 2", "UPDATE {} SET b = 5", "OPTIMIZE {}", "DELETE FROM {} WHERE b IS NULL"):
        refused(statement.format(path_of(t.path)), "mapped by id", "without.parquet")
    assert ask(f"SELECT a FROM {path_of(t.path)} WHERE a = 1") == [[{"a": 1}]]  # that file is not opened
    assert not t.log(t.version + 1).exists()


def test_row_ids_are_not_guessed_where_files_have_other_names(folder):
    """Row ids stand in columns without a number, so that all columns are found by name: which must be the table's."""
    features = ["columnMapping", "rowTracking", "domainMetadata"]
    t = Table(folder, [mapped("a", "integer", 1, "col-1")], protocol={"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features[:1], "writerFeatures": features},
              **{"delta.columnMapping.mode": "id", "delta.columnMapping.maxColumnId": "1", "delta.enableRowTracking": "true",
                 "delta.rowTracking.materializedRowIdColumnName": "_row-id-col-x", "delta.rowTracking.materializedRowCommitVersionColumnName": "_row-commit-version-col-x"})
    for n, name in enumerate(("col-1", "other")):
        add = t.file(pa.Table.from_arrays([pa.array([n], pa.int32())], schema=pa.schema([pa.field(name, pa.int32(), metadata={"PARQUET:field_id": "1"})])), f"{n}.parquet")
        add["add"] |= {"baseRowId": n, "defaultRowCommitVersion": n + 1}
        t.commit(add)
        if n == 0:
            assert ask(f"FROM delta_scan('{t.path}', row_ids => true)") == [[{"a": 0, "__row_id": 0, "__row_version": 1}]]
    assert t.rows() == [{"a": 0}, {"a": 1}]
    refused(f"FROM delta_scan('{t.path}', row_ids => true)", "mapped by id")


def test_a_removed_file_of_the_partition_null(folder):
    """Spark leaves NULL values out of a remove; without extendedFileMetadata nobody knows them."""
    t = Table(folder, [*IDS, field("p", "string")], partition=["p"], **{"delta.enableChangeDataFeed": "true"})
    t.add(ids(1), parts={"p": None})
    gone = {"path": "a.parquet", "deletionTimestamp": 1700000000000, "dataChange": True, "extendedFileMetadata": True, "partitionValues": {}, "size": 1}
    t.commit({"remove": gone})
    changes = f"SELECT id, p, _change_type AS c FROM table_changes_by_path('{t.path}', 2)"
    assert ask(changes) == [[{"id": 1, "p": None, "c": "delete"}]]
    t.log(2).write_text(json.dumps({"remove": {k: gone[k] for k in ("path", "deletionTimestamp", "dataChange")}}) + "\n")
    refused(changes, "without its partition values")


def test_changes_have_the_columns_of_now(folder):
    """As in Spark: where columns are not mapped, those of the newest version and not of the last in the range."""
    t = Table(folder, IDS, **{"delta.enableChangeDataFeed": "true"})
    t.add(ids(1))
    newer = json.loads(t.log(0).read_text().splitlines()[1])
    newer["metaData"]["schemaString"] = json.dumps(struct(*IDS, field("more", "string")))
    t.commit(newer)
    assert ask(f"SELECT * EXCLUDE (_commit_timestamp) FROM table_changes_by_path('{t.path}', 1, 1)") == [
        [{"id": 1, "more": None, "_change_type": "insert", "_commit_version": 1}]]


def test_features_that_a_writer_version_stands_for(folder):
    t = Table(folder, IDS)
    ((detail,),) = ask(f"DESCRIBE DETAIL {path_of(t.path)}")
    assert detail["tableFeatures"] == ["appendOnly", "invariants"]


WIDENED = [  # from, to, the file's type and values, what they are compared with
    ("integer", "double", pa.int32(), [1, 5, 6, 7], ["5.5", "6.4", "5", "1e300", "-1e300"]),
    ("byte", "double", pa.int8(), [1, 5, 127], ["5.5", "126.9", "127.4", "128"]),
    ("float", "double", pa.float32(), [0.1, 3.4, 5.0], ["0.1::DOUBLE", "3.4::DOUBLE", "1e300"]),
    ("long", "decimal(24,2)", pa.int64(), [1, 5, 6], ["5.5", "5.49", "6.00"]),
    ("decimal(10,2)", "decimal(12,4)", pa.decimal128(10, 2), [D("1.23"), D("1.24"), D("5")], ["1.235", "1.2349", "1.24", "4.9999"]),
    ("date", "timestamp_ntz", pa.date32(), [datetime.date(2024, 9, 9), datetime.date(2024, 9, 10)],
     ["TIMESTAMP '2024-09-09 12:34:56'", "TIMESTAMP '2024-09-10'", "TIMESTAMP '2024-09-10 00:00:01'"]),
    ("byte", "integer", pa.int8(), [1, 5, 127], ["128", "-129", "5", "5.5"]),
    ("integer", "long", pa.int32(), [1, 5, 2147483647], ["2147483648", "-2147483649", "5.4"]),
]


@pytest.mark.parametrize("old, new, kind, values, others", WIDENED, ids=lambda v: v if isinstance(v, str) else "")
def test_conditions_on_widened_columns(folder, old, new, kind, values, others):
    """Conditions are of the new type in files of the old one: v > 5.5 is true of the integer 6."""
    widened = field("v", new, **{"delta.typeChanges": [{"fromType": old, "toType": new}]})
    features = ["typeWidening", "timestampNtz"]
    t = Table(folder, [widened], protocol={"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features,
                                           "writerFeatures": features})
    t.add(pa.table({"v": pa.array(values, kind)}))
    name = path_of(t.path)
    tests = [f"v {op} {c}" for c in others for op in ("<", "<=", "=", ">", ">=", "<>")]
    tests += [f"v {word} ({', '.join(others)})" for word in ("IN", "NOT IN")] + [f"v BETWEEN {others[0]} AND {others[-1]}"]
    (all_of,), *each = ask(f"SELECT {', '.join(f'count(*) FILTER (WHERE {c}) AS n{i}' for i, c in enumerate(tests))} FROM {name}",
                           *(f"SELECT count(*) AS n FROM {name} WHERE {c}" for c in tests))
    assert {c: r[0]["n"] for c, r in zip(tests, each)} == dict(zip(tests, all_of.values()))
    joined = f"FROM {name} AS a JOIN (VALUES {', '.join(f'({c})' for c in others)}) AS b(w) ON a.v"
    have, want = ask(f"SELECT count(*) AS n {joined} = b.w", f"SELECT count(*) FILTER (WHERE v IS NOT DISTINCT FROM w) AS n {joined} IS NOT NULL")
    assert have == want
    ask(f"DELETE FROM {name} WHERE v > {others[0]}")
    assert len(t.rows()) == all_of[f"n{tests.index(f'v <= {others[0]}')}"]


@pytest.mark.parametrize("condition,expected", [("d > 5", [1, 4]), ("d = 'NaN'::DOUBLE", [1]), ("d >= 1", [1, 2, 4]), ("d <> 1", [1, 3, 4]),
                                                ("d < 1", [3]), ("isnan(d)", [1]), ("d = (SELECT max(d) FROM {0})", [1]), ("f > 5", [1, 4])])
def test_NaN_that_a_file_does_not_tell_of(folder, condition, expected):
    """Arrow's writers leave NaN out of the bounds of a row group, and DuckDB would believe these."""
    t = Table(folder, [field("id", "integer"), field("d", "double"), field("f", "float")])
    for name, table in {"a.parquet": {1: float("nan"), 2: 1.0, 3: -0.5}, "b.parquet": {4: 6.0}}.items():
        t.add(pa.table({"id": pa.array(table, pa.int32()), "d": list(table.values()), "f": pa.array(table.values(), pa.float32())}), name)
    (rows,) = ask(f"SELECT id FROM {path_of(folder)} WHERE {condition.format(path_of(folder))} ORDER BY id")
    assert [r["id"] for r in rows] == expected


def test_decimal_bounds_of_delta_rs(folder):
    """It writes them as doubles, which hold some 16 digits."""
    deltalake = pytest.importorskip("deltalake")
    big, small = "12345678901234567890.123456789012345678", "0.099999999999999999"
    deltalake.write_deltalake(folder, pa.table({"id": [1, 2], "d": pa.array([D(big), D(small)], pa.decimal128(38, 18))}))
    for condition, expected in ((f"d = {big}", 1), (f"d = {small}", 2), ("d < 0.1", 2),
                                ("d > 12345678901234567890", 1), ("d > 12345678901234580000", None)):
        (rows,) = ask(f"SELECT id FROM {path_of(folder)} WHERE {condition}")
        assert [r["id"] for r in rows] == ([expected] if expected else []), condition


def test_the_history_of_a_log_that_is_a_checkpoint(folder):
    t = Table(folder, IDS, **{"delta.checkpointInterval": "1"})
    ask(f"INSERT INTO {path_of(t.path)} VALUES (1), (2)")
    for commit in (t.path / "_delta_log").glob("0*.json"):
        commit.unlink()
    assert t.rows() == [{"id": 1}, {"id": 2}]
    history, typed = ask(f"DESCRIBE HISTORY {path_of(t.path)}", f"SELECT max(version) + 1 AS v FROM table_history('{t.path}')")
    assert (history, typed) == ([], [{"v": None}])


def test_column_mapping_needs_both_versions(folder):
    """(1,6) implies all that writer 6 stands for but column mapping, of which readers of version 1 know nothing."""
    t = Table(folder, IDS, protocol={"minReaderVersion": 1, "minWriterVersion": 6})
    t.add(ids(1))
    ((detail,),) = ask(f"DESCRIBE DETAIL {path_of(t.path)}")
    assert "columnMapping" not in detail["tableFeatures"] and "identityColumns" in detail["tableFeatures"]
    ask(f"ALTER TABLE {path_of(t.path)} SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')")
    (protocol,) = [a["protocol"] for a in map(json.loads, t.log(2).read_text().splitlines()) if "protocol" in a]
    assert protocol["minReaderVersion"] == 2 and "readerFeatures" not in protocol
    assert sorted(protocol["writerFeatures"]) == sorted(detail["tableFeatures"] + ["columnMapping"])
    assert t.rows() == [{"id": 1}]


def test_what_a_commit_says_of_itself(folder):
    """As in Spark: also what its user said, and the version -1 that a clone was made of."""
    t = Table(folder, IDS)
    t.commit({"commitInfo": {"timestamp": 1700000000000, "operation": "CLONE", "readVersion": -1, "userMetadata": "because"}})
    (rows,) = ask(f"SELECT \"readVersion\", \"userMetadata\" FROM table_history('{t.path}') ORDER BY version DESC")
    assert rows == [{"readVersion": -1, "userMetadata": "because"}, {"readVersion": None, "userMetadata": None}]


def test_unknown_features_are_named(folder):
    t = Table(folder, IDS, protocol={"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["timeTravel9"],
                                     "writerFeatures": ["timeTravel9"]})
    refused(f"FROM {path_of(t.path)}", "timeTravel9")


def test_a_thousand_columns(folder):
    names = [f"c{i}" for i in range(1500)]
    t = Table(folder, [field(n, "integer") for n in names])
    t.add(pa.table({n: pa.array([i], pa.int32()) for i, n in enumerate(names)}))
    assert t.rows() == [{n: i for i, n in enumerate(names)}]


def test_no_columns_and_no_files(folder):
    t = Table(folder, [])
    refused(f"FROM {path_of(t.path)}", "no columns")
    u = Table(folder.parent / "u", IDS)
    assert u.rows() == []
