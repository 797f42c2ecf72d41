"""The tables of the Delta kernel's own tests: every version (golden_rows.json: digests of names, types and rows, taken from
another reader), change feeds, and what must be refused. ($SLUICE_SHARED/corpora/kernel-data, default ../shared)"""

import json
import pathlib
import shutil
import subprocess

import pytest

from lib.corpus import SHARED, ask, check_feed, check_versions, path_of, refused

FOLDER = SHARED / "corpora" / "kernel-data"
TABLES = sorted(p.name for p in FOLDER.glob("*") if p.is_dir() or p.name.endswith(".tar.zst"))
VERSIONS = json.loads(pathlib.Path(__file__).with_name("golden_rows.json").read_text())["kernel-data"]
pytestmark = pytest.mark.skipif(not TABLES, reason=f"no tables in {FOLDER}")

TEN = "0; 1; 2; 3; 4; 5; 6; 7; 8; 9"
VECTORS = [  # of a table of comments, with vectors and change files
    "0 insert: 1 initial", "1 insert: 2 insert1; 3 insert1-delete1; 4 insert1-delete2; 5 insert1-delete2",
    "2 delete: 3 insert1-delete1", "4 insert: 3 insert1-delete1", "5 delete: 4 insert1-delete2; 5 insert1-delete2",
    "7 insert: 4 insert1-delete2", "8 insert: 5 insert2",
    "9 update_preimage: 1 initial; 2 insert1; 3 insert1-delete1", "9 update_postimage: 1 update1; 2 update1; 3 update1",
    "10 delete: 1 update1", "12 update_preimage: 2 update1", "12 update_postimage: 2 update2",
    "14 insert: 6 insert3; 7 insert3", "15 insert: 8 insert4; 9 insert4", "16 delete: 8 insert4; 7 insert3",
    "18 insert: 10 merge1-insert; 11 merge1-insert", "18 update_preimage: 9 insert4", "18 update_postimage: 9 merge1-update",
    "20 update_preimage: 11 merge1-insert", "20 update_postimage: 11 ", "22 insert: 12 merge2-insert", "22 delete: 11 ",
    "24 delete: 3 update1; 4 insert1-delete2; 5 insert2; 2 update2; 6 insert3; 9 merge1-update",
    "25 insert: 0 new; 1 after-large-delete; 2 "]
BY_NAME = ["2 update_preimage: 2 Bob 200.0", "2 update_postimage: 2 Bob 250.0", "3 insert: 4 David 400.0",
           "4 delete: 1 Alice 100.0"]
# Change feeds: from, to, the columns that are compared, and the changes.
FEEDS = {
    "cdf-table": (0, None, ["id", "name", "birthday"], [
        "0 insert: 1 Steve 2023-12-22; 2 Bob 2023-12-23; 3 Dave 2023-12-23; 4 Kate 2023-12-23; 5 Emily 2023-12-24; "
        "6 Carl 2023-12-24; 7 Dennis 2023-12-24; 8 Claire 2023-12-25; 9 Ada 2023-12-25; 10 Borb 2023-12-25",
        "1 update_preimage: 3 Dave 2023-12-23; 4 Kate 2023-12-23; 2 Bob 2023-12-23",
        "1 update_postimage: 3 Dave 2023-12-22; 4 Kate 2023-12-22; 2 Bob 2023-12-22",
        "2 update_preimage: 7 Dennis 2023-12-24; 5 Emily 2023-12-24; 6 Carl 2023-12-24",
        "2 update_postimage: 7 Dennis 2023-12-29; 5 Emily 2023-12-29; 6 Carl 2023-12-29",
        "3 delete: 7 Dennis 2023-12-29"]),
    "cdf-table-non-partitioned": (0, None, ["id", "name", "birthday", "long_field"], [
        "0 insert: 1 Steve 2024-04-14 1; 2 Bob 2024-04-15 1; 3 Dave 2024-04-15 2; 4 Kate 2024-04-15 3; "
        "5 Emily 2024-04-16 4; 6 Carl 2024-04-16 5; 7 Dennis 2024-04-16 6; 8 Claire 2024-04-17 7; 9 Ada 2024-04-17 8; "
        "10 Borb 2024-04-17 99999999999999999",
        "1 update_preimage: 3 Dave 2024-04-15 2; 4 Kate 2024-04-15 3; 2 Bob 2024-04-15 1",
        "1 update_postimage: 3 Dave 2024-04-14 2; 4 Kate 2024-04-14 3; 2 Bob 2024-04-14 1",
        "2 update_preimage: 7 Dennis 2024-04-16 6; 5 Emily 2024-04-16 4; 6 Carl 2024-04-16 5",
        "2 update_postimage: 7 Dennis 2024-04-14 6; 5 Emily 2024-04-14 4; 6 Carl 2024-04-14 5",
        "3 delete: 7 Dennis 2024-04-14 6", "4 insert: 1 Alex 2024-04-14 1; 2 Alan 2024-04-15 1"]),
    "cdf-table-with-dv": (0, None, ["value"], [
        f"0 insert: {TEN}", "1 delete: 0; 9", "2 insert: 0; 9", "3 delete: 0; 1; 4; 5", "4 insert: 1; 4", "5 delete: 3",
        "5 insert: 0; 5", "6 insert: 3"]),
    "cdf-table-with-cdc-and-dvs": (0, None, ["id", "comment"], VECTORS),
    "cdf-table-simple": (0, 2, ["id"], [f"0 insert: {TEN}", f"1 delete: {TEN}", "2 insert: 20; 21; 22; 23; 24"]),
    "cdf-table-update-ops": (0, 2, ["id"], [  # its writer named the changes so
        f"0 insert: {TEN}", "1 update_pre: 20; 21; 22; 23; 24", "2 update_post: 30; 31; 32; 33; 34"]),
    "cdf-table-data-change": (0, 1, ["id"], [f"0 insert: {TEN}"]),
    "cdf-table-partitioned": (0, 2, ["id", "text", "part"], [
        "0 insert: 0 old 0; 1 old 1; 2 old 0; 3 old 1; 4 old 0; 5 old 1", "1 delete: 3 old 1", "1 update_preimage: 1 old 1",
        "1 update_postimage: 1 new 1", "2 delete: 0 old 0; 2 old 0; 4 old 0"]),
    "cdf-table-backtick-column-names": (0, None, ["id.num", "id.num`s", "struct_col"], [
        "0 insert: " + "; ".join(f"{i} 10 {{'field': 1, 'field.one': 2}}" for i in (2, 4)),
        "1 insert: " + "; ".join(f"{i} 10 {{'field': 1, 'field.one': 2}}" for i in (1, 3, 5))]),
    "cdf-table-delete-unconditional": (0, None, ["id"], [f"0 insert: {TEN}", f"1 delete: {TEN}"]),
    "cdf-table-delete-conditional-all-rows": (0, None, ["id"], [f"0 insert: {TEN}", f"1 delete: {TEN}"]),
    "cdf-table-delete-conditional-two-rows": (0, None, ["id"], [f"0 insert: {TEN}", "1 delete: 2; 8"]),
    "cdf-column-mapping-name-mode": (1, None, ["id", "name", "value"], BY_NAME),
    "cdf-column-mapping-name-mode-3-7": (1, None, ["id", "name", "value"], BY_NAME),
    "cdf-column-mapping-id-mode": (1, None, ["id", "name", "value"], [
        "2 update_preimage: 2 Frank 250.0", "2 update_postimage: 2 Frank 275.0", "3 insert: 4 Henry 450.0",
        "4 delete: 3 Grace 350.0"]),
}
# What cannot be read at these versions (None: the newest), and what the refusal must say.
REFUSED = {
    "crc-malformed": {None: "there is no Delta table at"},  # a checksum, and no commit
    "table-with-geo": {None: "geometry(OGC:CRS84)"},
    # Logs whose data files were never there.
    "app-txn-with-last-updated": dict.fromkeys(range(4), "part-00001-63bc815a-54ba-4614-8260-a7ed44382395-c000"),
    "table-with-cdf": {0: "/fake/path/1"},
    "with_checkpoint_no_last_checkpoint": {1: "part-00000-ad1a4bb7", 2: "part-00000-a190be9e", 3: "part-00000-70b1dcdf"},
}
WIDENED = [{  # the files say 3.4 in four bytes, 67.89 with two digits, and so on
    "byte_long": 1, "int_long": 2, "float_double": "3.4000000953674316", "byte_double": "5.0", "short_double": "6.0",
    "int_double": "7.0", "decimal_decimal_same_scale": "123.45", "decimal_decimal_greater_scale": "67.89000",
    "byte_decimal": "1.0", "short_decimal": "2.0", "int_decimal": "3.0", "long_decimal": "4.0",
    "date_timestamp_ntz": "2024-09-09T00:00:00"}, {
    "byte_long": 2**63 - 1, "int_long": 2**63 - 1, "float_double": "1.234567890123", "byte_double": "1.234567890123",
    "short_double": "1.234567890123", "int_double": "1.234567890123", "decimal_decimal_same_scale": "12345678901234.56",
    "decimal_decimal_greater_scale": "12345678901.23456", "byte_decimal": "123.4", "short_decimal": "12345.6",
    "int_decimal": "1234567890.1", "long_decimal": "123456789012345678.9",
    "date_timestamp_ntz": "2024-09-09T12:34:56.123456"}]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    return tmp_path_factory.mktemp("kernel-data")


def unpack(name, folder):
    """The table's folder, which may be written to."""
    stem = name.removesuffix(".tar.zst")
    if name != stem:
        subprocess.run(["tar", "--zstd", "-xf", FOLDER / name, "-C", folder], check=True, stderr=subprocess.DEVNULL)
    elif not (folder / stem).exists():
        shutil.copytree(FOLDER / name, folder / stem)
    return folder / stem


def check_widening(table):
    (rows,) = ask(f"SELECT * FROM {path_of(table)}")
    assert sorted(({k: v if isinstance(v, int) else str(v) for k, v in r.items()} for r in rows),
                  key=lambda r: r["byte_long"]) == WIDENED
    assert len(ask(f"SELECT * FROM {path_of(table, 1)}")[0]) == 1
    return 3


def variant_row(n):
    v = {"key": n}
    return {"id": n, "v": v, "array_of_variants": [v, None, v, None, v], "struct_of_variants": {"v": v},
            "map_of_variants": {str(n): v, "nullKey": None},
            "array_of_struct_of_variants": [{"v": v}, {"v": None}, None, {"v": v}, None, {"v": v}],
            "struct_of_array_of_variants": {"v": [None, v]}}


def check_variants(table):
    """One hundred rows; then the next ones add what a DELETE and others left."""
    answers = ask(*[f"SELECT * FROM {path_of(table, v)} ORDER BY id" for v in range(3)])
    for rows, extra in zip(answers, (0, 1, 2)):
        assert len(rows) == 100 + extra
        for r in rows:
            assert r == variant_row(r["id"])
    return sum(map(len, answers))


def check_large(table):
    """A commit of 300,000 files, without data."""
    ((detail,), columns) = ask(f"DESCRIBE DETAIL {path_of(table)}", f"SHOW COLUMNS IN {path_of(table)}")
    assert (detail["version"], detail["numFiles"], detail["partitionColumns"]) == (4, 300000, ["partition_col"])
    assert [(c["col_name"], c["data_type"]) for c in columns] == \
        [("partition_col", "string")] + [(f"col_{i}", "bigint") for i in range(99)]
    return 0


OTHERS = {"type-widening": check_widening, "unshredded-variant": check_variants,
          "300k-add-files-100-col-partitioned": check_large}


@pytest.mark.parametrize("name", TABLES)
def test_kernel_table(name, unpacked, record_property):
    stem = name.removesuffix(".tar.zst")
    table = unpack(name, unpacked)
    known = {k: v for k, v in VERSIONS.items() if k == stem or k.startswith(stem + "/")}
    rows = sum(check_versions(unpacked / k, v) for k, v in known.items())
    for version, word in REFUSED.get(stem, {}).items():
        refused(f"SELECT * FROM {path_of(table, version)}", word)
    if stem in FEEDS:
        rows += check_feed(table, *FEEDS[stem])
    if stem in OTHERS:
        rows += OTHERS[stem](table)
    assert known or stem in REFUSED or stem in OTHERS, "nothing is known of this table"
    versions = sum(len(v) for v in known.values()) + len(REFUSED.get(stem, {}))
    record_property("corpus", ["kernel-data", stem, max(versions, 1), rows])


def test_feeds_of_wrong_ranges_are_refused(unpacked):
    table = unpack("cdf-table-simple.tar.zst", unpacked)
    refused(f"FROM table_changes_by_path('{table}', 1, 0)", "version")
    refused(f"FROM table_changes_by_path('{table}', 3, 4)", "version")
    table = unpack("cdf-column-mapping-name-mode.tar.zst", unpacked)
    refused(f"FROM table_changes_by_path('{table}', 0)", "delta.enableChangeDataFeed")  # it began with version 1
