"""A publication that is altered sends other rows, and the stream says nothing of it: sync notices, and no start is green after a loss."""
import os
import re
import tempfile

import pytest

from lib.oracle import assert_equal
from lib.pg import Postgres, ServerAbsent, unpack_version
from lib.sluice import REFUSED

READERS = ("delta-rs", "polars")
TABLES = ["CREATE TABLE t (id int PRIMARY KEY, v text, w int)", "INSERT INTO t SELECT g, 'a', g FROM generate_series(1, 5) g",
          "CREATE TABLE u (id int PRIMARY KEY, v text)", "INSERT INTO u VALUES (1, 'a')"]
CHANGE = ["UPDATE t SET v = 'b'", "DELETE FROM t WHERE id = 1", "UPDATE u SET v = 'b'"]
OTHERWISE = {"taken out": ["ALTER PUBLICATION mine DROP TABLE t", *CHANGE],
             "taken out for a time": ["ALTER PUBLICATION mine DROP TABLE t", *CHANGE, "ALTER PUBLICATION mine ADD TABLE t"],
             "no updates for a time": ["ALTER PUBLICATION mine SET (publish = 'insert')", *CHANGE,
                                       "ALTER PUBLICATION mine SET (publish = 'insert, update, delete, truncate')"],
             "a column more": ["ALTER PUBLICATION mine DROP TABLE t", "ALTER TABLE t ADD COLUMN x int DEFAULT 7", *CHANGE,
                               "ALTER PUBLICATION mine ADD TABLE t (id, v, w, x)"]}
FILTERS = {"a filter": ("t, u", "t WHERE (id > 3), u", [(4, "b", 4), (5, "b", 5)]),
           "another filter": ("t WHERE (id < 3), u", "t WHERE (id > 3), u", [(4, "b", 4), (5, "b", 5)]),
           "no filter any more": ("t WHERE (id > 3), u", "t, u", [(2, "b", 2), (3, "b", 3), (4, "b", 4), (5, "b", 5)])}


def rows(lake, table):
    return sorted(lake.read(table).rows)


def anew(sync):
    sync.wait_log("table_to_be_copied_anew table=public.t reason=.what the publication sends of it was altered")
    sync.wait_until(lambda: sync.text().count("event=copy_done") == 2, what="the second copy")


@pytest.mark.parametrize("statements", OTHERWISE.values(), ids=OTHERWISE)
def test_altered_while_it_runs(db, sluice, lake, statements):
    db.sql(*TABLES, "CREATE PUBLICATION mine FOR TABLE t, u")
    sync = sluice.start_sync(db.url, lake, "--publication", "mine")
    sync.wait_until(lambda: lake.exists("t") and lake.exists("u"))
    db.sql(*statements)
    sync.wait_until(lambda: 1 not in [r[0] for r in rows(lake, "t")], what="the table as it is")
    anew(sync)
    sync.term()
    assert_equal(db, lake, ["t", "u"], READERS)


@pytest.mark.parametrize("statements", OTHERWISE.values(), ids=OTHERWISE)
def test_altered_while_it_is_away(db, sluice, lake, statements):
    db.sql(*TABLES, "CREATE PUBLICATION mine FOR TABLE t, u")
    sluice.sync_once(db.url, lake, "--publication", "mine")
    db.sql(*statements)
    done = sluice.sync_once(db.url, lake)
    assert "table_to_be_copied_anew table=public.t" in done.err
    assert_equal(db, lake, ["t", "u"], READERS)
    db.sql("INSERT INTO t (id, v) VALUES (9, 'c')")
    assert "copied_anew" not in sluice.sync_once(db.url, lake).err
    assert_equal(db, lake, ["t", "u"], READERS)


def test_another_owner_is_no_other_publication(db, sluice, lake):
    db.sql(*TABLES, "CREATE PUBLICATION mine FOR TABLE t, u", "DROP ROLE IF EXISTS owner", "CREATE ROLE owner SUPERUSER")
    sluice.sync_once(db.url, lake, "--publication", "mine")
    state = lake.path / "_sluice" / "state.json"
    db.sql("ALTER PUBLICATION mine OWNER TO owner", *CHANGE)
    assert "copied_anew" not in sluice.sync_once(db.url, lake).err
    assert_equal(db, lake, ["t", "u"], READERS)
    state.write_text(re.sub(r'"mark":"(\d+\.\d+\.\d+)\.[^"]*"', r'"mark":"\1"', state.read_text()))  # as older versions wrote it
    assert "copied_anew" not in sluice.sync_once(db.url, lake).err
    db.sql("ALTER PUBLICATION mine OWNER TO postgres")
    assert "copied_anew" not in sluice.sync_once(db.url, lake).err
    db.sql("ALTER PUBLICATION mine OWNER TO owner", "ALTER PUBLICATION mine SET (publish_via_partition_root = true)")
    assert "table_to_be_copied_anew table=public.t" in sluice.sync_once(db.url, lake).err
    db.sql("ALTER PUBLICATION mine OWNER TO postgres", "DROP ROLE owner")


@pytest.mark.parametrize("case", FILTERS.values(), ids=FILTERS)
def test_another_row_filter(db, sluice, lake, case):
    before, after, expected = case
    db.sql(*TABLES, f"CREATE PUBLICATION mine FOR TABLE {before}")
    sluice.sync_once(db.url, lake, "--publication", "mine")
    db.sql(f"ALTER PUBLICATION mine SET TABLE {after}", "UPDATE t SET v = 'b'", "DELETE FROM t WHERE id = 1")
    sluice.sync_once(db.url, lake)
    assert rows(lake, "t") == expected
    sluice.run("verify", db.url, lake)


def test_our_own_publication(db, sluice, lake):
    db.sql(*TABLES, "CREATE TABLE n (id int)")  # which is in the second publication, of inserts
    sluice.sync_once(db.url, lake)
    name = db.one("SELECT pubname FROM pg_publication WHERE pubname NOT LIKE '%inserts'")
    for second, statements in (("", CHANGE), ("_inserts", ["INSERT INTO n VALUES (1)"])):
        db.sql(f"ALTER PUBLICATION {name}{second} DROP TABLE {'n' if second else 't'}", *statements)
        sluice.sync_once(db.url, lake)
        assert_equal(db, lake, ["t", "u", "n"], READERS)


def test_a_publication_of_all_tables(db, sluice, lake):
    """New tables, and other publications, are no reason to copy anything."""
    db.sql(*TABLES, "CREATE PUBLICATION mine FOR ALL TABLES", "CREATE PUBLICATION other FOR TABLE t WHERE (id > 2)")
    sluice.sync_once(db.url, lake, "--publication", "mine")
    db.sql("CREATE TABLE later (id int PRIMARY KEY)", "INSERT INTO later VALUES (1)", "DROP PUBLICATION other", *CHANGE)
    assert "copied_anew" not in sluice.sync_once(db.url, lake).err
    assert_equal(db, lake, ["t", "u", "later"], READERS)


def test_a_publication_of_a_schema(db, sluice, lake):
    db.sql(*TABLES, "CREATE SCHEMA s", "CREATE TABLE s.t (id int PRIMARY KEY, v text)", "INSERT INTO s.t VALUES (1, 'a')",
           "CREATE PUBLICATION mine FOR TABLES IN SCHEMA public, s")
    sluice.sync_once(db.url, lake, "--publication", "mine")
    db.sql("ALTER PUBLICATION mine DROP TABLES IN SCHEMA s", "UPDATE s.t SET v = 'b'", "ALTER PUBLICATION mine ADD TABLES IN SCHEMA s", *CHANGE)
    err = sluice.sync_once(db.url, lake).err
    assert "copied_anew table=s.t" in err and "copied_anew table=public" not in err
    assert_equal(db, lake, ["t", "u", "s.t"], READERS)


def test_who_may_not_put_it_back_sets_it_aside(db, sluice, lake):
    role = f"role_{db.name}"
    db.sql(*TABLES, "CREATE PUBLICATION mine FOR TABLE t, u", f"CREATE ROLE {role} LOGIN REPLICATION", f"GRANT SELECT ON t, u TO {role}")
    url = db.server.url(db.name, role)
    try:
        sync = sluice.start_sync(url, lake, "--publication", "mine")
        sync.wait_until(lambda: lake.exists("t") and lake.exists("u"))
        db.sql("ALTER PUBLICATION mine DROP TABLE t", *CHANGE)
        sync.wait_log("table_quarantined table=public.t reason=.the table is not in the publication")
        db.sql("UPDATE u SET v = 'c'")
        sync.wait_until(lambda: rows(lake, "u") == [(1, "c")])
        sync.term()
        assert "public.t" in sluice.sync_once(url, lake, code=REFUSED).err
        db.sql("ALTER PUBLICATION mine ADD TABLE t")
        sluice.sync_once(url, lake, "--resync", "t")
        assert_equal(db, lake, ["t", "u"], READERS)
    finally:
        sluice.stop_all()
        db.sql(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_history_with_a_gap_is_set_aside(db, sluice, lake):
    """Copied anew it would begin again, without the changes that it has."""
    db.sql(*TABLES, "CREATE PUBLICATION mine FOR TABLE t, u")
    options = ("--publication", "mine", "--history", "only")
    sluice.sync_once(db.url, lake, *options)
    db.sql("UPDATE t SET v = 'seen'", *OTHERWISE["taken out for a time"])
    done = sluice.sync_once(db.url, lake, *options, code=REFUSED)
    assert "table_quarantined table=public.t" in done.err and lake.count("t") == 5
    sluice.sync_once(db.url, lake, *options, "--resync", "t")
    assert lake.count("t") == 4


def test_updates_that_are_not_published_stop_it(db, sluice, lake):
    db.sql(*TABLES, "CREATE PUBLICATION mine FOR TABLE t, u")
    sync = sluice.start_sync(db.url, lake, "--publication", "mine")
    sync.wait_until(lambda: lake.exists("t") and lake.exists("u"))
    db.sql("ALTER PUBLICATION mine SET (publish = 'insert')", *CHANGE)
    assert sync.wait() == REFUSED
    assert "publication mine was altered: it does not publish all of" in sync.text()
    (mend,) = [line for line in sync.text().splitlines() if line.startswith("hint: ")]
    assert "does not publish all of" in sluice.sync_once(db.url, lake, code=REFUSED).err
    db.sql(mend.removeprefix("hint: "))
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t", "u"], READERS)


@pytest.fixture(params=[15, pytest.param(18, marks=pytest.mark.slow)])
def server(request, pg):
    """From 18 on the server has no error for a publication that is not there: it sends nothing."""
    if request.param == 15:
        yield pg
        return
    with tempfile.TemporaryDirectory(prefix="sluice-pgbin-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        try:
            newer = Postgres(unpack_version(request.param, folder)).start()
        except ServerAbsent as e:
            pytest.skip(str(e))
        yield newer
        newer.remove()


LOST = {"dropped": ["DROP PUBLICATION mine"], "renamed": ["ALTER PUBLICATION mine RENAME TO theirs"],
        "made again": ["DROP PUBLICATION mine", "CREATE PUBLICATION mine FOR TABLE t, u"]}


@pytest.mark.parametrize("away", [False, True], ids=["running", "away"])
@pytest.mark.parametrize("name", LOST)
def test_a_lost_publication_is_told(server, sluice, lake, name, away):
    statements, db = LOST[name], server.create(f"{name}_{away}".replace(" ", "_"))
    db.sql(*TABLES, "CREATE PUBLICATION mine FOR TABLE t, u")
    if away:
        sluice.sync_once(db.url, lake, "--publication", "mine")
        db.sql(*statements, *CHANGE)
    else:
        sync = sluice.start_sync(db.url, lake, "--publication", "mine")
        sync.wait_until(lambda: lake.exists("t") and lake.exists("u"))
        db.sql(*statements, *CHANGE)
        assert sync.wait() == REFUSED
        assert "publication mine was dropped or renamed" in sync.text()
    done = sluice.sync_once(db.url, lake, code=REFUSED)
    assert "publication mine was dropped or renamed" in done.err
    (mend,) = [line for line in done.err.splitlines() if line.startswith("hint: ")]
    if "made again" not in name:
        assert "publication mine was dropped" in sluice.run("verify", db.url, lake, code=REFUSED).err
    db.sql(mend.removeprefix("hint: "))
    for file in sorted((lake.path / "_sluice").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    sluice.sync_once(db.url, lake, "--publication", "mine")
    assert_equal(db, lake, ["t", "u"], READERS)
    db.drop()


def test_a_publication_of_an_odd_name(db, sluice, lake):
    name = "it's \"my\" \\ pub, é"
    quoted = name.replace('"', '""')
    db.sql(*TABLES, f'CREATE PUBLICATION "{quoted}" FOR TABLE t, u')
    for _ in range(2):
        sluice.sync_once(db.url, lake, "--publication", name)
        assert_equal(db, lake, ["t", "u"], READERS)
        sluice.run("verify", db.url, lake)
        db.sql(*CHANGE)
