"""`sluice debug`: each hop alone, on the bytes of a real sync."""
import json
import re

import psycopg
import pytest

from lib.sluice import REFUSED, USAGE


@pytest.fixture
def spooled(db, sluice, lake):
    """A lake whose spool holds a transaction of every kind of message."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v text, big text)", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
           "INSERT INTO t VALUES (1, 'a', repeat('x', 9000))")
    sluice.sync_once(db.url, lake)
    db.tx("INSERT INTO t VALUES (2, 'it''s', NULL)", "UPDATE t SET v = 'b' WHERE id = 1", "UPDATE t SET id = 3 WHERE id = 2",
          "DELETE FROM t WHERE id = 3")
    with db.connect() as conn, conn.transaction():  # streamed while in progress, with a part that is rolled back
        conn.execute("INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1000, 3999) g")
        with pytest.raises(psycopg.Error), conn.transaction():
            conn.execute("INSERT INTO t SELECT g, 'never' FROM generate_series(5000, 6999) g")
            conn.execute("SELECT 1/0")
        conn.execute("INSERT INTO t SELECT g, 'last' FROM generate_series(8000, 8999) g")
    db.sql("TRUNCATE t")
    sluice.sync_once(db.url, lake)
    return lake.path / "_sluice" / "spool"


def test_spool_decode_batch(sluice, spooled):
    text = sluice.run("debug", "spool", spooled, "--frames").out
    assert re.search(r"^segment [0-9a-f]{16} bytes=\d+", text, re.M) and "block at" in text
    assert "BROKEN" not in text
    frames = sluice.run("debug", "spool", spooled, "--json").out
    assert all(set(json.loads(line)) == {"lsn", "data"} for line in frames.splitlines())
    decoded = sluice.run("debug", "decode", stdin=frames).out
    assert "BROKEN" not in decoded
    assert "INSERT public.t new(id='2', v='it\\'s', big=NULL)" in decoded
    assert "UPDATE public.t new(id='1', v='b', big=(unchanged))" in decoded
    assert re.search(r"UPDATE public.t key\(id='2', v=NULL, big=NULL\) new\(id='3'", decoded)
    assert "DELETE public.t key(id='3'" in decoded and re.search(r"TRUNCATE \d+ public.t", decoded)
    assert "STREAM START first" in decoded and "STREAM STOP" in decoded and "STREAM COMMIT" in decoded
    rows = sluice.run("debug", "batch", stdin=frames).out
    assert re.search(r"#1 insert id=2, v=it's, big=NULL", rows) and "update id=1, v=b, big=(unchanged)" in rows
    assert re.search(r"before id=2.*\n.*update id=3", rows) and "truncate public.t" in rows
    assert rows.count("insert id=") == 1 + 3000 + 1000 and "never" not in rows


def test_messages_in_hex_and_binary(sluice, tmp_path):
    message = bytes.fromhex("4200000000027359b0000303ecd05cd90300000341")
    line = "BEGIN commit_lsn=0/27359B0 time=2026-11-23T09:16:13.042947Z xid=833\n"
    assert sluice.run("debug", "decode", stdin=message.hex() + "\n").out == line
    raw = tmp_path / "raw"
    raw.write_bytes((len(message).to_bytes(4, "big") + message) * 2)
    assert sluice.run("debug", "decode", raw).out == line * 2
    raw.write_bytes(len(message).to_bytes(4, "big") + message[:5])
    assert "cut short" in sluice.run("debug", "decode", raw, code=REFUSED).err
    assert "BROKEN" in sluice.run("debug", "decode", stdin=message[:9].hex() + "\n").out
    assert "hex" in sluice.run("debug", "decode", stdin="4z\n", code=REFUSED).err


def test_log_and_index(db, sluice, lake, spooled):
    text = sluice.run("debug", "log", lake.table_path("t")).out
    assert text.startswith("0 ") and "add=1(rows=1" in text and re.search(r"txn\(sluice/\d+/\S+ \d+ = 0/[0-9A-F]+\)", text)
    assert len(text.splitlines()) == lake.version("t") + 1
    for i in range(2):  # the second upsert has to look for the row of the first
        db.sql(f"INSERT INTO t VALUES (1, 'v{i}') ON CONFLICT (id) DO UPDATE SET v = 'v{i}'")
        sluice.sync_once(db.url, lake)
    index = next((lake.path / "_sluice" / "index").rglob("*"))
    text = sluice.run("debug", "index", index).out
    assert re.search(r"^clean +yes$", text, re.M) and re.search(r"^synced +yes$", text, re.M)
    sync = sluice.start_sync(db.url, lake)
    db.sql("UPDATE t SET v = 'w' WHERE id = 1")
    sync.wait_until(lambda: (1, "w", None) in lake.read("t").rows)
    sync.kill()  # what changed since is not known to be on disk
    db.sql("UPDATE t SET v = 'x' WHERE id = 1")
    sluice.sync_once(db.url, lake)
    assert (1, "x", None) in lake.read("t").rows
    assert re.search(r"^synced +yes$", sluice.run("debug", "index", index).out, re.M)
    assert "no key index" in sluice.run("debug", "index", lake.path / "_sluice" / "state.json", code=REFUSED).err


def test_usage(sluice, tmp_path):
    assert "did you mean spool" in sluice.run("debug", "spol", code=USAGE).err
    assert sluice.run("debug", "log", tmp_path, code=USAGE).err
    assert sluice.run("debug", "spool", tmp_path, code=USAGE).err
    assert sluice.run("debug", "index", code=USAGE).err
