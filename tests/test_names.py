"""Tables that are renamed, dropped and made again; restarts over a log that begins before schema changes."""
import pytest

from lib.oracle import assert_equal
from lib.sluice import REFUSED


def test_renamed_table_takes_its_folder_along(db, sluice, lake):
    db.sql("CREATE SCHEMA attic", "CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'x' FROM generate_series(1, 50) g")
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    db.sql("UPDATE t SET v = 'y' WHERE id < 5", "ALTER TABLE t RENAME TO u", "INSERT INTO u VALUES (100, 'after')")
    sync.wait_until(lambda: lake.exists("u") and lake.count("u") == 51, what="the renamed table")
    assert not lake.exists("t")
    db.sql("ALTER TABLE u SET SCHEMA attic", "DELETE FROM attic.u WHERE id = 7")
    sync.wait_until(lambda: lake.exists("attic.u") and lake.count("attic.u") == 50, what="the moved table")
    sync.term()
    assert_equal(db, lake, ["attic.u"])
    db.sql("ALTER TABLE attic.u RENAME TO w")  # without a row: followed by the next start
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["attic.w"])
    db.sql("UPDATE attic.w SET v = 'z'")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["attic.w"])


def test_rename_that_a_kill_cuts_short(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'x' FROM generate_series(1, 50) g")
    sluice.sync_once(db.url, lake)
    names = ["t"]
    for step in ("rename_noted", "folder_renamed"):
        names.append(f"t_{step}")
        db.sql(f"ALTER TABLE {names[-2]} RENAME TO {names[-1]}", f"INSERT INTO {names[-1]} VALUES ({100 + len(names)}, 'a')")
        assert sluice.sync_once(db.url, lake, env={"SLUICE_CRASH_AT": step}, code=None).code == -9
        sluice.sync_once(db.url, lake)
        assert not lake.exists(names[-2])
        assert_equal(db, lake, [names[-1]])


def test_rename_onto_a_table_of_the_lake_sets_aside(db, sluice, lake):
    db.sql("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE c (id int PRIMARY KEY)")
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO a VALUES (1)", "DROP TABLE b", "ALTER TABLE a RENAME TO b", "INSERT INTO b VALUES (2)", "INSERT INTO c VALUES (1)")
    sluice.sync_once(db.url, lake, code=REFUSED)
    assert_equal(db, lake, ["c"])  # the others go on


SWAP = ["ALTER TABLE t RENAME TO x", "ALTER TABLE u RENAME TO t", "ALTER TABLE x RENAME TO u"]


@pytest.mark.parametrize("rows", [["UPDATE t SET v = 'new t'", "UPDATE u SET v = 'new u'"], ["INSERT INTO u VALUES (1000, 'z')"]])
def test_two_tables_swap_their_names(db, sluice, lake, rows):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'x' FROM generate_series(1, 50) g",
           "CREATE TABLE u (id int PRIMARY KEY, v text)", "INSERT INTO u VALUES (1, 'u')", "CREATE TABLE w (id int PRIMARY KEY)")
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: all(lake.exists(t) for t in "tuw"))
    db.tx("INSERT INTO t VALUES (500, 'a')", *SWAP, "INSERT INTO t VALUES (500, 'b')")
    db.sql(*rows)
    sync.wait_until(lambda: lake.count("u") == db.one("SELECT count(*) FROM u") and lake.count("t") == 2, what="both")
    sync.term()
    db.sql("DELETE FROM t WHERE id = 1", "UPDATE u SET v = 'later' WHERE id = 7")
    assert "quarantined" not in sluice.sync_once(db.url, lake).err + sync.text()
    assert_equal(db, lake, ["t", "u", "w"])


def test_a_table_takes_the_name_of_another_that_steps_aside(db, sluice, lake):
    """How tables are rebuilt: both keep their rows and their history, and nothing is copied."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'x' FROM generate_series(1, 50) g",
           "CREATE TABLE t_new (id bigint PRIMARY KEY, v text)", "INSERT INTO t_new VALUES (1, 'new')")
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t") and lake.exists("t_new"))
    db.tx("ALTER TABLE t RENAME TO t_old", "ALTER TABLE t_new RENAME TO t")
    db.sql("INSERT INTO t VALUES (2, 'newer')")
    sync.wait_until(lambda: lake.exists("t_old") and lake.count("t") == 2)
    sync.term()
    assert_equal(db, lake, ["t", "t_old"])
    assert not lake.exists("t_new") and sync.text().count("copy_started") == 1


def test_table_made_again_is_copied_anew(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'old' FROM generate_series(1, 50) g")
    sluice.sync_once(db.url, lake)
    db.sql("UPDATE t SET v = 'later' WHERE id = 1", "DROP TABLE t", "CREATE TABLE t (id bigint PRIMARY KEY, w int, v text)",
           "INSERT INTO t SELECT g, g, 'new' FROM generate_series(30, 60) g")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])
    db.sql("UPDATE t SET v = 'newer' WHERE id = 40")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])


def test_table_swapped_for_a_new_one(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'old' FROM generate_series(1, 50) g")
    sync = sluice.start_sync(db.url, lake)
    sync.wait_until(lambda: lake.exists("t"))
    db.tx("ALTER TABLE t RENAME TO t_old", "CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (7, 'new')")
    sync.wait_until(lambda: lake.exists("t_old") and lake.exists("t") and lake.count("t") == 1, what="the new table")
    db.sql("INSERT INTO t VALUES (8, 'newer')", "DELETE FROM t_old WHERE id = 3")
    sync.wait_until(lambda: lake.count("t") == 2 and lake.count("t_old") == 49, what="both")
    sync.term()
    assert_equal(db, lake, ["t", "t_old"])


def test_restart_over_a_log_older_than_the_columns(db, sluice, lake):
    """The spool still begins with the table as it was: that must not undo what came since."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, a int)")
    sluice.sync_once(db.url, lake)
    db.sql("INSERT INTO t VALUES (1, 1)", "ALTER TABLE t ADD COLUMN b text", "INSERT INTO t VALUES (2, 2, 'two')",
           "ALTER TABLE t RENAME COLUMN a TO x", "ALTER TABLE t ADD COLUMN a text", "INSERT INTO t VALUES (3, 3, 'three', 'aaa')")
    for i in range(3):
        sluice.sync_once(db.url, lake)
        assert_equal(db, lake, ["t"])
        db.sql(f"UPDATE t SET a = 'again {i}' WHERE id = 1")
    # Another table joins: the spool is read again from its start, in the same process.
    db.sql("CREATE TABLE other (id int PRIMARY KEY)", "INSERT INTO other VALUES (1)")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t", "other"])


def test_resync_of_a_table_with_renamed_columns(db, sluice, lake):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t VALUES (1, 1)")
    sluice.sync_once(db.url, lake)
    db.sql("ALTER TABLE t RENAME COLUMN a TO b", "INSERT INTO t VALUES (2, 2)")
    sluice.sync_once(db.url, lake)
    sluice.sync_once(db.url, lake, "--resync", "t")
    assert_equal(db, lake, ["t"])
    db.sql("UPDATE t SET b = 5")
    sluice.sync_once(db.url, lake)
    assert_equal(db, lake, ["t"])


def test_names_that_begin_as_hidden_ones(db, sluice, lake):
    """Tools for migrations name their tables so."""
    names = ["_migrations", "__efmigrations", "..x", ".hidden", "_sluice", "_s.t", ".s.t"]
    for name in names:
        schema, _, table = name.rpartition(".") if name.endswith(".t") else ("", "", name)
        db.sql(*([f'CREATE SCHEMA "{schema}"'] if schema else []),
               f'CREATE TABLE "{schema or "public"}"."{table}" (id int PRIMARY KEY)', f'INSERT INTO "{schema or "public"}"."{table}" VALUES (7)')
    sluice.sync_once(db.url, lake)
    sluice.run("verify", db.url, lake)
    for name in names:
        schema, _, table = name.rpartition(".") if name.endswith(".t") else ("public", "", name)
        assert sluice.sql(lake, f'SELECT id FROM "{schema}"."{table}"') == [{"id": 7}]
    assert sorted(r["table"] for r in sluice.status(lake) if r["table"]) == sorted(n if n.endswith(".t") else f"public.{n}" for n in names)


def test_names_that_no_folder_of_a_table_can_have(db, sluice, lake):
    """A folder _delta_log would make a table of its schema, or of the whole lake."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (7)")
    bad = ["_delta_log", "a\\b", "a/b", "tab\there", "line\nend", ".", ".."]
    for name in bad:
        db.sql(f'CREATE TABLE "{name}" (id int PRIMARY KEY)')
    db.sql('CREATE SCHEMA _delta_log', 'CREATE TABLE _delta_log.x (id int PRIMARY KEY)')
    done = sluice.sync_once(db.url, lake, code=REFUSED)
    assert f"{len(bad) + 1} of {len(bad) + 2} tables are set aside" in done.err
    assert sorted(f.name for f in (lake.path / "public").iterdir()) == ["t"] and not (lake.path / "_delta_log").exists()
    assert sluice.sql(lake, "SELECT id FROM t") == [{"id": 7}]
    db.sql("ALTER TABLE t RENAME TO _delta_log_2", "INSERT INTO _delta_log_2 VALUES (8)", "ALTER TABLE _delta_log RENAME TO fine")
    sluice.sync_once(db.url, lake, "--resync", "fine", code=REFUSED)
    db.sql("ALTER TABLE fine RENAME TO \"a\\c\"", "INSERT INTO \"a\\c\" VALUES (1)")
    assert "has a backslash" in sluice.sync_once(db.url, lake, code=REFUSED).err
    assert sorted(f.name for f in (lake.path / "public").iterdir()) == ["_delta_log_2", "fine"]


def test_names_whose_dots_make_them_alike(db, sluice, lake):
    """Schema "a.b" with table "c", and schema "a" with table "b.c"."""
    both = ['"a.b".c', 'a."b.c"']
    db.sql('CREATE SCHEMA "a.b"', "CREATE SCHEMA a")
    for n, name in enumerate(both):
        db.sql(f"CREATE TABLE {name} (id int PRIMARY KEY, v int)", f"INSERT INTO {name} SELECT g, {n} FROM generate_series(1, 100) g")
    sluice.sync_once(db.url, lake)
    for _ in range(2):
        db.sql(*[f"UPDATE {name} SET v = v + id WHERE id > 50" for name in both], f"DELETE FROM {both[1]} WHERE id % 7 = 0")
        assert "read_again" not in sluice.sync_once(db.url, lake).err
        sluice.run("verify", db.url, lake)


def test_schemas_that_change_while_it_runs(db, sluice, lake):
    """ALTER SCHEMA … RENAME has the server announce no table anew: one that it has announced has the old name until the next start."""
    db.sql("CREATE SCHEMA a", "CREATE SCHEMA c", "CREATE TABLE a.t (id int PRIMARY KEY)", "CREATE TABLE a.u (id int PRIMARY KEY)",
           "INSERT INTO a.t VALUES (1)", "INSERT INTO a.u VALUES (1)")
    sync = sluice.start_sync(db.url, lake)
    sync.wait_log("copy_done")
    db.sql("INSERT INTO a.t VALUES (2)", "ALTER SCHEMA a RENAME TO b", "INSERT INTO b.t VALUES (3)", "INSERT INTO b.u VALUES (2)",
           "ALTER TABLE b.u SET SCHEMA c", "INSERT INTO c.u VALUES (3)", "UPDATE b.t SET id = 4 WHERE id = 1",
           "CREATE SCHEMA a", "CREATE TABLE a.u (id int PRIMARY KEY)", "INSERT INTO a.u VALUES (7)")
    # As text: a table that is still being copied has no number of rows.
    sync.wait_until(lambda: sorted(f"{r['table'].split('.')[1]} {r['rows']}" for r in sluice.status(lake)) == ["t 3", "u 1", "u 3"])
    sync.term()
    assert "copied_anew" not in sync.text()
    sluice.sync_once(db.url, lake)
    assert sorted(r["table"] for r in sluice.status(lake)) == ["a.u", "b.t", "c.u"]
    sluice.run("verify", db.url, lake)
