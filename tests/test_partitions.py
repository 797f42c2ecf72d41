"""--partition-by: the log's values are the rows', every reader skips by them, and everything else goes on as it does."""
import json

import pytest

from lib.oracle import assert_equal
from lib.sluice import REFUSED, USAGE

VALUES = {"region": ["eu", "us", None, "a/b=c d%20\"'é", "{[x]}:~"], "day": ["2024-01-01", "0001-02-03", "9999-12-31", None],
          "at": ["2024-05-06 07:08:09.123456+02", "1970-01-01 00:00:00+00", None],
          "local": ["2024-05-06 07:08:09.5", "1969-12-31 23:59:59", None], "price": ["12.50", "-0.01", "0", None], "rate": ["-0.125", "0", "0.5", None],
          "ok": ["true", "false", None], "n": ["-9000000000", "7", None], "f": ["1e300", "-0.1", None]}
TYPES = {"region": "text", "day": "date", "at": "timestamptz", "local": "timestamp", "price": "numeric(10,2)", "rate": "numeric(3,3)",
         "ok": "boolean", "n": "bigint", "f": "double precision"}
READERS = ("delta-rs", "polars", "sluice")


def parts(lake, name):
    """path -> partition values of the live files, and the table's partition columns."""
    live, columns = {}, []
    for _, actions in lake.log(name):
        for a in actions:
            if "metaData" in a:
                columns = a["metaData"]["partitionColumns"]
            if "remove" in a:
                live.pop(a["remove"]["path"], None)
        for a in actions:
            if "add" in a:
                live[a["add"]["path"]] = a["add"]["partitionValues"]
    return live, columns


def regions(db, rows=400):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, region text, v text)",
           f"INSERT INTO t SELECT g, (ARRAY['eu', 'us', NULL])[g % 3 + 1], 'v' || g FROM generate_series(1, {rows}) g")


@pytest.mark.parametrize("column", list(VALUES))
def test_values_of_every_type(db, sluice, lake, column):
    """The copy and the stream write the same text for the same value, and all readers read it."""
    values = VALUES[column]
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, {column} {TYPES[column]})")
    insert = f"INSERT INTO t VALUES (%s, %s)"

    def fill(first):
        with db.connect() as conn:
            for i, v in enumerate(values * 2):
                conn.execute(insert, (first + i, v))

    fill(0)
    option = ("--partition-by", f"t.{column}")
    sluice.sync_once(db.url, lake, *option)
    files, columns = parts(lake, "t")
    assert columns == [column] and len(files) == len(values)
    copied = {json.dumps(p) for p in files.values()}
    assert_equal(db, lake, ["t"], READERS)
    fill(100)
    sluice.sync_once(db.url, lake, *option)
    files, _ = parts(lake, "t")
    assert {json.dumps(p) for p in files.values()} == copied and len(files) == 2 * len(values)
    db.sql(f"UPDATE t SET {column} = (SELECT {column} FROM t WHERE id = 0) WHERE id % 2 = 1")
    sluice.sync_once(db.url, lake, *option)
    assert_equal(db, lake, ["t"], READERS)
    sluice.run("verify", db.url, lake)


def test_rows_move_and_readers_skip(db, sluice, lake):
    import deltalake

    regions(db)
    option = ("--partition-by", "public.t.region")
    sync = sluice.start_sync(db.url, lake, *option)
    sync.wait_until(lambda: lake.exists("t"))
    for i in range(5):
        db.sql(f"UPDATE t SET region = 'asia' WHERE id % 20 = {i}", f"INSERT INTO t VALUES ({1000 + i}, '', 'empty')",
               f"DELETE FROM t WHERE id = {50 + i}", f"UPDATE t SET v = 'w', id = id + 10000 WHERE id = {100 + i}")
    sync.wait_until(lambda: any(r["id"] == 1004 for r in lake.read("t").dicts()), what="the last row")
    sync.term()
    sluice.sync_once(db.url, lake, *option)
    sluice.run("verify", db.url, lake)  # the empty text is NULL
    db.sql("UPDATE t SET region = NULL WHERE region = ''")
    sluice.sync_once(db.url, lake, *option)
    assert_equal(db, lake, ["t"], READERS)
    want = db.one("SELECT count(*) FROM t WHERE region = 'asia'")
    assert sluice.sql(lake, "SELECT count(*) AS n FROM public.t WHERE region = 'asia'") == [{"n": want}]
    for file, values in parts(lake, "t")[0].items():
        if values["region"] != "asia":
            (lake.table_path("t") / file).unlink()  # whoever opens another partition's file fails
    table = deltalake.DeltaTable(str(lake.table_path("t")))
    got = deltalake.QueryBuilder().register("t", table).execute("SELECT id FROM t WHERE region = 'asia'")
    assert sum(batch.num_rows for batch in got) == want


def test_merges_keep_partitions(db, sluice, lake):
    regions(db, 30)
    option = ("--partition-by", "t.region", "--epoch", "0")
    sluice.sync_once(db.url, lake, *option)
    for i in range(25):
        db.sql(f"INSERT INTO t VALUES ({100 + i}, 'eu', 'x'), ({200 + i}, 'us', 'x')")
    sluice.sync_once(db.url, lake, *option)
    sluice.sync_once(db.url, lake, *option)
    commits = [a["commitInfo"]["operation"] for _, actions in lake.log("t") for a in actions if "commitInfo" in a]
    assert "OPTIMIZE" in commits
    files, _ = parts(lake, "t")
    assert len(files) < 40
    assert_equal(db, lake, ["t"], READERS)
    db.sql("UPDATE t SET v = 'y' WHERE region = 'eu'", "DELETE FROM t WHERE id BETWEEN 200 AND 210")
    sluice.sync_once(db.url, lake, *option)
    assert_equal(db, lake, ["t"], READERS)


def test_another_writers_files_lack_the_column(db, sluice, lake):
    """OPTIMIZE of other writers leaves it out of the files; keys and unchanged values are the log's then."""
    db.sql("CREATE TABLE t (id int, region text, big text, v int, PRIMARY KEY (region, id))",
           "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
           "INSERT INTO t SELECT g, (ARRAY['eu', 'us'])[g % 2 + 1], repeat('x', 5000), g FROM generate_series(1, 40) g")
    option = ("--partition-by", "t.region", "--no-compaction")
    sluice.sync_once(db.url, lake, *option)
    db.sql("UPDATE t SET v = -v WHERE id < 10", "INSERT INTO t VALUES (100, 'eu', 'x', 1)")
    sluice.sync_once(db.url, lake, *option)
    sluice.run("sql", lake, "-c", "OPTIMIZE public.t")
    db.sql("UPDATE t SET v = 1 WHERE id % 3 = 0", "DELETE FROM t WHERE id % 5 = 0", "UPDATE t SET region = 'asia' WHERE id = 1")
    for index in (lake.path / "_sluice").rglob("*.idx"):
        index.unlink()
    sluice.sync_once(db.url, lake, *option)
    assert_equal(db, lake, ["t"], ("delta-rs", "sluice"))  # Polars cannot read deletion vectors of such files
    sluice.run("verify", db.url, lake)


def test_killed_in_the_copy(db, sluice, lake):
    regions(db, 40000)
    option = ("--partition-by", "t.region", "--chunk", "20", "--sessions", "1")
    sync = sluice.start_sync(db.url, lake, *option, env={"SLUICE_CRASH_AT": "chunk_noted:4"})
    sync.popen.wait(60)
    assert not lake.exists("t")
    db.sql("UPDATE t SET region = 'moved' WHERE id % 50 = 0", "DELETE FROM t WHERE id % 77 = 0",
           "INSERT INTO t VALUES (-1, 'new', 'v')")
    done = sluice.sync_once(db.url, lake, *option)
    assert "copy_resumed" in done.err
    assert_equal(db, lake, ["t"], READERS)
    assert {v["region"] for v in parts(lake, "t")[0].values()} == {"eu", "us", None, "moved", "new"}


def test_other_columns_while_a_copy_is_interrupted(db, sluice, lake):
    """What was cut by other columns is no use."""
    regions(db, 20000)
    sync = sluice.start_sync(db.url, lake, "--chunk", "20", env={"SLUICE_CRASH_AT": "chunk_noted:3"})
    sync.popen.wait(60)
    done = sluice.sync_once(db.url, lake, "--partition-by", "t.region")
    assert "copy_resumed" not in done.err and parts(lake, "t")[1] == ["region"]
    assert_equal(db, lake, ["t"], READERS)


def test_many_partitions_in_a_chunk(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, a int, b text)",
           "INSERT INTO t SELECT g, g % 40, nullif(chr(97 + g % 3), 'b') FROM generate_series(1, 3000) g")
    sluice.sync_once(db.url, lake, "--partition-by", "t.a,t.b")
    files, columns = parts(lake, "t")
    assert columns == ["a", "b"] and len(files) == 120
    assert_equal(db, lake, ["t"], READERS)


def test_a_table_keeps_what_it_has_until_resync(db, sluice, lake):
    regions(db)
    sluice.sync_once(db.url, lake)
    done = sluice.sync_once(db.url, lake, "--partition-by", "t.region")
    assert "partition_columns_stay" in done.err and parts(lake, "t")[1] == []
    done = sluice.sync_once(db.url, lake, "--partition-by", "t.region", "--resync", "t")
    assert "partition_columns_stay" not in done.err
    files, columns = parts(lake, "t")
    assert columns == ["region"] and {v["region"] for v in files.values()} == {"eu", "us", None}
    db.sql("UPDATE t SET region = 'eu' WHERE id = 1")
    sluice.sync_once(db.url, lake)  # without the option too
    assert parts(lake, "t")[1] == ["region"]
    assert_equal(db, lake, ["t"], READERS)


def test_renamed_and_dropped(db, sluice, lake):
    regions(db)
    option = ("--partition-by", "t.region")
    sluice.sync_once(db.url, lake, *option)
    db.sql('ALTER TABLE t RENAME region TO "the place"', "INSERT INTO t VALUES (5000, 'eu', 'x')",
           "ALTER TABLE t ADD c int DEFAULT 5", "UPDATE t SET \"the place\" = 'uk' WHERE id = 1")
    sluice.sync_once(db.url, lake, *option)
    files, columns = parts(lake, "t")
    assert columns == ["the place"] and all("region" in v for v in files.values())
    assert_equal(db, lake, ["t"], ("delta-rs", "sluice"))
    db.sql('ALTER TABLE t DROP "the place"', "INSERT INTO t VALUES (5001, 'x')")
    assert "table_to_be_copied_anew" in sluice.sync_once(db.url, lake, *option).err
    assert parts(lake, "t")[1] == []
    assert_equal(db, lake, ["t"], ("delta-rs", "sluice"))


def test_a_real_that_becomes_a_double_is_copied_anew(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, r real, v text)", "INSERT INTO t SELECT g, g % 3 / 10.0 FROM generate_series(1, 30) g")
    option = ("--partition-by", "t.r")
    sluice.sync_once(db.url, lake, *option)
    db.sql("ALTER TABLE t ALTER r TYPE double precision", "INSERT INTO t VALUES (100, 0.1)")
    assert "table_to_be_copied_anew" in sluice.sync_once(db.url, lake, *option).err
    assert parts(lake, "t")[1] == ["r"]
    assert_equal(db, lake, ["t"], READERS)
    db.sql("UPDATE t SET v = 'x' WHERE id < 10")
    sluice.sync_once(db.url, lake, *option)
    assert_equal(db, lake, ["t"], READERS)


def test_refused_before_anything_begins(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, tags text[], b bytea)")
    done = sluice.sync_once(db.url, lake, "--partition-by", "t.tags", code=USAGE)
    assert "public.t" in done.err and "tags" in done.err and not db.slots()
    assert "column b" in sluice.sync_once(db.url, lake, "--partition-by", "public.t.b", code=USAGE).err
    done = sluice.sync_once(db.url, lake, "--partition-by", "t.nosuch")
    assert "no_column_matches" in done.err


def test_a_value_that_no_partition_can_have_sets_the_table_aside(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, day date)", "INSERT INTO t VALUES (1, '2024-01-01')",
           "CREATE TABLE u (id int PRIMARY KEY, day date)", "INSERT INTO u VALUES (1, '0044-03-15 BC')")
    option = ("--partition-by", "day")
    done = sluice.sync_once(db.url, lake, *option, code=None)
    assert "table_quarantined" in done.err and not lake.exists("u")
    db.sql("INSERT INTO t VALUES (2, '12024-01-01')")
    assert "table_quarantined" in sluice.sync_once(db.url, lake, *option, code=None).err
    assert [r["id"] for r in lake.read("t").dicts()] == [1]


@pytest.mark.parametrize("where", ["beside", "only"])
def test_with_history(db, sluice, lake, where):
    regions(db, 30)
    option = ("--partition-by", "public.t.region", "--history", where)
    sluice.sync_once(db.url, lake, *option)
    db.sql("UPDATE t SET region = 'uk' WHERE id = 1", "DELETE FROM t WHERE id = 2")
    sluice.sync_once(db.url, lake, *option)
    files, columns = parts(lake, "t")
    assert columns == ["region"] and "uk" in {v["region"] for v in files.values()}
    if where == "beside":
        assert_equal(db, lake, ["t"], READERS)
        assert parts(lake, "t__history")[1] == []
        assert sorted(r["__op"] for r in lake.read("t__history").dicts()) == ["delete", "update"]
    else:
        assert sorted(r["__op"] for r in lake.read("t").dicts()) == ["delete"] + ["read"] * 30 + ["update"]


def test_copy_on_write(db, sluice, lake):
    regions(db)
    option = ("--partition-by", "t.region", "--copy-on-write", "t")
    sluice.sync_once(db.url, lake, *option)
    db.sql("UPDATE t SET region = 'uk' WHERE id % 10 = 1", "DELETE FROM t WHERE id % 10 = 2")
    sluice.sync_once(db.url, lake, *option)
    assert "deletionVectors" not in lake.features("t")
    assert_equal(db, lake, ["t"], READERS)


def repartition(lake, name, column):
    """As a writer of its own mind would: new columns, new partitions, all files anew."""
    import deltalake
    import pyarrow
    table = deltalake.DeltaTable(str(lake.table_path(name)))
    rows = pyarrow.table(deltalake.QueryBuilder().register("t", table).execute("SELECT * FROM t"))
    rows = rows.append_column(column, pyarrow.array(["x"] * len(rows)))
    deltalake.write_deltalake(str(lake.table_path(name)), rows, mode="overwrite", schema_mode="overwrite",
                              partition_by=[column])


@pytest.mark.parametrize("while_running", [False, True])
def test_partitioned_by_somebody_elses_column(db, sluice, lake, while_running):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'a' FROM generate_series(1, 50) g",
           "CREATE TABLE other (id int PRIMARY KEY)")
    if while_running:
        sync = sluice.start_sync(db.url, lake)
        sync.wait_until(lambda: lake.exists("t") and lake.exists("other"))
        repartition(lake, "t", "who")
        db.sql("INSERT INTO t VALUES (100, 'b')", "INSERT INTO other VALUES (1)")
        sync.wait_until(lambda: lake.count("other") == 1, what="the row of the other table")
        sync.term()
    else:
        sluice.sync_once(db.url, lake)
        repartition(lake, "t", "who")
    db.sql("INSERT INTO t VALUES (101, 'b')", "INSERT INTO other VALUES (2)")
    sluice.sync_once(db.url, lake, code=REFUSED)
    assert_equal(db, lake, ["other"], READERS)
    status = {r["table"]: r for r in sluice.status(lake)}["public.t"]
    assert status["state"] == "quarantined" and "partitioned by who" in status["reason"]
    sluice.sync_once(db.url, lake, "--resync", "t")
    assert_equal(db, lake, ["t", "other"], READERS)
    assert parts(lake, "t")[1] == []
    db.sql("UPDATE t SET v = 'c' WHERE id < 10", "DELETE FROM t WHERE id = 20")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t", "other"], READERS)
