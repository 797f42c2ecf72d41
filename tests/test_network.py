"""Networks that cut connections, or keep them open and bring nothing."""
import os
import re
import signal
import time

import pytest

from lib.oracle import assert_equal
from lib.proxy import Proxy
from lib.sluice import REFUSED
from lib.wait import wait_until

TABLE = ["CREATE TABLE t (id int PRIMARY KEY, v text)",
         "INSERT INTO t SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 20000) g"]


@pytest.fixture
def proxy(pg):
    with Proxy(pg.port) as p:
        yield p


@pytest.mark.parametrize("after", [0, 600, 200000])
def test_every_third_connection_is_cut(db, sluice, lake, proxy, after):
    db.sql(*TABLE)
    proxy.cut_every, proxy.cut_after = 3, after
    done = sluice.sync_once(proxy.url(db), lake, "--chunk", "128", timeout=60)
    assert proxy.cut >= 1, done
    assert_equal(db, lake, ["t"])
    assert "rows=20000 " in done.err


def test_the_connections_of_a_copy_are_lost_one_by_one(db, sluice, lake, proxy):
    """What is done stays done: the copy goes on in the same snapshot, with other connections."""
    db.sql(*TABLE)
    proxy.cut_every, proxy.cut_after = 2, 200000
    done = sluice.sync_once(proxy.url(db), lake, "--chunk", "64", "--sessions", "4", timeout=60)
    assert proxy.cut >= 1 and done.err.count("event=copy_started") == 1, done
    assert_equal(db, lake, ["t"])


def test_the_only_connection_of_a_copy_is_cut_again_and_again(db, sluice, lake, proxy):
    """Chunks that are not done come before changed rows of those that are: each run of the copy gets on."""
    db.sql(*TABLE)
    proxy.cut_every, proxy.cut_after = 1, 1200000
    done = sluice.sync_once(proxy.url(db), lake, "--chunk", "64", "--sessions", "1", timeout=90)
    assert done.err.count("event=copy_started") > 1, done
    assert_equal(db, lake, ["t"])


# ---- silence ----

def test_a_stream_that_brings_nothing_is_opened_anew(db, sluice, lake, proxy):
    db.sql(*TABLE)
    sync = sluice.start_sync(proxy.url(db, tcp_user_timeout=2000), lake)
    sync.wait_until(lambda: lake.exists("t") and lake.count("t") == 20000)
    proxy.swallow()
    db.sql("DELETE FROM t WHERE id > 1000")
    sync.wait_log("event=waiting_for_server slot=.*nothing comes, though the server was asked", 20)
    sync.wait_log("event=stream_lost .*nothing came from server process [0-9]+ in 2 s", 20)
    sync.wait_until(lambda: lake.count("t") == 1000, 30)
    sync.term()
    assert_equal(db, lake, ["t"])


def test_a_copy_that_brings_nothing_goes_on_through_another_connection(db, sluice, lake, proxy):
    db.sql(*TABLE)
    proxy.cut_every, proxy.cut_after, proxy.swallow_then = 3, 200000, True
    done = sluice.sync_once(proxy.url(db, tcp_user_timeout=2000), lake, "--chunk", "128", timeout=60)
    assert "event=waiting_for_server" in done.err and "it has nothing to do (idle in transaction)" in done.err, done
    assert_equal(db, lake, ["t"])


def test_nothing_comes_from_the_start(db, sluice, lake, proxy):
    """Every answer is swallowed at some point, be it the first word or the catalog."""
    db.sql(*TABLE)
    proxy.cut_every, proxy.swallow_then = 1, True
    for proxy.cut_after, why in ((1, "no answer in time"), (450, "no answer in time"), (1500, "(no answer in time|does not answer|nothing to do)")):
        done = sluice.sync_once(proxy.url(db, tcp_user_timeout=1000, connect_timeout=2), lake, code=None, timeout=60)
        assert done.code == REFUSED and re.search(why, done.err), done


def test_asked_to_stop_while_nothing_comes(db, sluice, lake, proxy):
    db.sql(*TABLE)
    proxy.cut_every, proxy.cut_after, proxy.swallow_then = 1, 3000, True
    sync = sluice.start_sync(proxy.url(db), lake)
    wait_until(lambda: proxy.cut, 30, "a connection that is swallowed")
    assert sync.term() < 10


def test_a_server_process_that_stands_still_is_named(db, sluice, lake, proxy):
    db.sql(*TABLE)
    sync = sluice.start_sync(proxy.url(db, tcp_user_timeout=2000), lake)
    sync.wait_until(lambda: lake.exists("t") and lake.count("t") == 20000)
    pid = db.one(f"SELECT active_pid FROM pg_replication_slots WHERE database = '{db.name}' AND active")
    os.kill(pid, signal.SIGSTOP)
    try:
        db.sql("DELETE FROM t WHERE id > 1000")
        sync.wait_log(f"event=stream_lost .*nothing came from server process {pid} in 2 s", 20)
        sync.wait_log(f"event=stream_lost .*in use by the server process {pid}", 20)
    finally:
        os.kill(pid, signal.SIGCONT)
    sync.wait_until(lambda: lake.count("t") == 1000, 30)
    sync.term()


def test_a_server_that_is_at_work_is_waited_for(db, sluice, lake, proxy):
    """A statement that takes long is no silence: here the snapshot, which waits for a transaction."""
    db.sql(*TABLE)
    with db.connect() as other, other.transaction():
        other.execute("INSERT INTO t VALUES (-1, 'x')")
        sync = sluice.start_sync(proxy.url(db, tcp_user_timeout=1000), lake)
        sync.wait_log("event=waiting_for_server pid=[0-9]+ seconds=[0-9]+ state=active", 20)
        begin = time.monotonic()
        sync.wait_until(lambda: time.monotonic() - begin > 3, 10)
    sync.wait_until(lambda: lake.exists("t") and lake.count("t") == 20001)
    assert "_lost" not in sync.text()
    sync.term()
