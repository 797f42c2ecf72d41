"""Databases of other encodings: text that cannot be UTF-8 costs itself only, or says what to do."""
import pytest

from lib.pg import Database
from lib.sluice import REFUSED

BAD = {"SQL_ASCII": b"\xff\xfe", "EUC_JP": b"\xf4\xfe", "WIN1252": b"\x81"}


@pytest.fixture
def encoded(pg, sluice, request):
    """A database of that encoding, and a connection that sends bytes as they are."""
    name = f"encoding_{request.param.lower()}"
    with pg.connect() as conn:
        conn.execute(f"CREATE DATABASE {name} ENCODING '{request.param}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    db = Database(pg, name)
    raw = db.connect()
    raw.execute("SET client_encoding = 'SQL_ASCII'")
    raw.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    raw.execute("CREATE TABLE u (id int PRIMARY KEY, v text)")
    raw.execute("INSERT INTO u VALUES (1, 'x')")
    yield db, raw, BAD[request.param]
    sluice.stop_all()
    raw.close()
    db.drop()


def values(lake, table):
    return dict(lake.read(table).rows)


@pytest.mark.parametrize("encoded", ["SQL_ASCII"], indirect=True)
def test_bytes_that_are_not_utf8_go_to_the_dead_letters(encoded, sluice, lake):
    db, raw, bad = encoded
    raw.execute(b"INSERT INTO t VALUES (1, 'caf\xc3\xa9'), (2, '%s')" % bad)
    raw.execute(b'CREATE TABLE "%s" (id int PRIMARY KEY)' % bad)
    raw.execute(b'CREATE TABLE c (id int PRIMARY KEY, "%s" int)' % bad)
    done = sluice.sync_once(db.url, lake, code=REFUSED)
    assert "the table's name is not UTF-8" in done.err and "the name of column 2 is not UTF-8" in done.err
    assert values(lake, "t") == {1: "café", 2: None}
    raw.execute(b"INSERT INTO t VALUES (3, 'plain'), (4, '%s')" % bad)
    raw.execute(b"UPDATE t SET v = '%s' WHERE id = 1" % bad)
    sluice.sync_once(db.url, lake, code=REFUSED)
    assert values(lake, "t") == {1: None, 2: None, 3: "plain", 4: None}
    assert values(lake, "u") == {1: "x"}
    assert len(lake.dead_letters()) == 3
    assert "3 values do not fit" in sluice.run("verify", db.url, lake, "--tables", "t").out


@pytest.mark.parametrize("encoded", ["EUC_JP", "WIN1252"], indirect=True)
def test_text_that_the_server_cannot_translate(encoded, sluice, lake):
    db, raw, bad = encoded
    raw.execute(b"INSERT INTO t VALUES (1, '%s')" % bad)
    done = sluice.sync_once(db.url, lake, code=REFUSED)
    assert "table_quarantined" in done.err and "--resync public.t" in done.err
    raw.execute("DELETE FROM t")
    sluice.sync_once(db.url, lake, "--resync", "t")
    raw.execute(b"INSERT INTO t VALUES (2, '%s')" % bad)
    done = sluice.sync_once(db.url, lake, code=REFUSED)
    assert "has no equivalent in encoding" in done.err and "pg_drop_replication_slot" in done.err
    assert values(lake, "u") == {1: "x"}
