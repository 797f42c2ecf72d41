"""Fixtures: one PostgreSQL server a session (and worker), a database, a lake and a program a test."""
import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import lib.spark  # noqa: E402
from lib.lake import Lake  # noqa: E402
from lib.pg import Postgres, ServerAbsent  # noqa: E402
from lib.sluice import BIN, Sluice  # noqa: E402

_serial = itertools.count(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long or needs more than Debian has; run with --slow")
    config.addinivalue_line("markers", "spark: asks Spark; run by make spark, or with --spark")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")
    parser.addoption("--spark", action="store_true", help="also run the tests marked spark")


def pytest_collection_modifyitems(config, items):
    for name, why in (("slow", "slow: run with --slow"), ("spark", "Spark is asked by make spark")):
        if not config.getoption(f"--{name}"):
            for item in items:
                if item.get_closest_marker(name):
                    item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def pg():
    """The server that most tests share, each with its own database. Do not stop it: take `own_pg` for that."""
    try:
        server = Postgres().start()
    except ServerAbsent as e:
        pytest.skip(str(e))
    yield server
    server.remove()


@pytest.fixture
def own_pg():
    """A server that the test may stop, kill and configure."""
    try:
        server = Postgres().start()
    except ServerAbsent as e:
        pytest.skip(str(e))
    yield server
    server.remove()


@pytest.fixture
def db(pg, sluice):
    database = pg.create(f"t{next(_serial)}")
    yield database
    sluice.stop_all()
    database.drop()


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """The JVM that all tests ask."""
    why = lib.spark.absent()
    if why:
        pytest.skip(why)
    driver = lib.spark.Spark(tmp_path_factory.mktemp("spark"))
    yield driver
    driver.stop()


@pytest.fixture
def sluice(tmp_path, request):
    assert BIN.exists(), f"{BIN} is not built: run make check, or set SLUICE_BIN"
    program = Sluice(tmp_path)
    request.node.sluice = program
    yield program
    program.stop_all()


@pytest.fixture
def lake(tmp_path, sluice):
    return Lake(tmp_path / "lake", sluice)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    program = getattr(item, "sluice", None)
    if report.failed and program is not None:
        report.sections.append(("logs of sluice", program.logs()))


def pytest_terminal_summary(terminalreporter):
    """Tests of tables that others wrote say (corpus, table, versions, rows): one line each, and the total."""
    lines, passed = [], 0
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            known = dict(report.user_properties).get("corpus")
            name = report.nodeid.rpartition("[")[2].rstrip("]")
            if known or ("test_golden" in report.nodeid and outcome == "failed"):
                corpus, table, versions, rows = known or ["", name, "", ""]
                lines.append(f"{corpus:14} {table:70} {versions:>8} {rows:>8}  {outcome}")
                passed += outcome == "passed"
    if lines:
        terminalreporter.section("tables of other writers")
        terminalreporter.write_line(f"{'corpus':14} {'table':70} {'versions':>8} {'rows':>8}")
        for line in sorted(lines):
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"{passed} of {len(lines)} tables as expected")
