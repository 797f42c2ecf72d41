"""Networks that cut connections, or keep them open and bring nothing."""
import pytest

from lib.oracle import assert_equal
from lib.proxy import Proxy

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
