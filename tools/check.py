#!/usr/bin/env python3
"""Runs everything that must pass and counts it: lint, unit tests, pytest suite, its part about threads under TSan, fuzzing.

usage: tools/check.py [--build DIR] [--tsan DIR] [--fuzz-seconds N] [--crash-kills N] [PYTEST ARGUMENT]...

Goes on after a failure, so that one run tells all. The last line is `N passed, N failed[, N skipped]` over everything;
exits 1 when anything failed. Run it by `make check`, which builds first and uses the right Python.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
THREADED = ["tests/test_sync_basic.py", "tests/test_restart.py", "tests/test_network.py"]  # receive, copy, apply, stop
total = {"passed": 0, "failed": 0, "skipped": 0}


def count(part, passed, failed, skipped, begin):
    total["passed"] += passed
    total["failed"] += failed
    total["skipped"] += skipped
    print(f"== {part}: {passed} passed, {failed} failed, {skipped} skipped in {time.monotonic() - begin:.0f} s", flush=True)


def unit(build):
    """cmocka's tests, counted one by one; a binary that died before it could say so counts as one failure."""
    begin = time.monotonic()
    subprocess.run(["meson", "test", "-C", build, "--suite", "unit", "--no-rebuild", "--print-errorlogs"], cwd=ROOT)
    passed = failed = skipped = 0
    log = ROOT / build / "meson-logs" / "testlog.json"
    for line in log.read_text().splitlines():
        test = json.loads(line)
        text = test.get("stdout", "") + test.get("stderr", "")
        passed += len(re.findall(r"^\[ +OK +\]", text, re.M))
        skipped += len(set(re.findall(r"^\[ +SKIPPED +\] (\S+)", text, re.M)))
        bad = len(set(re.findall(r"^\[ +(?:FAILED|ERROR) +\] (?!tests\b)(\S+)", text, re.M)))
        if not bad and test["result"] not in ("OK", "SKIP"):
            print(f"FAIL unit {test['name']}: {test['result']}")
            bad = 1
        failed += bad
    count("unit tests", passed, failed, skipped, begin)


def suite(part, build, arguments, kills, around=()):
    begin = time.monotonic()
    report = ROOT / build / "pytest.xml"
    report.unlink(missing_ok=True)
    # DuckDB comes without TSan's marks: what it does to memory is not looked at.
    env = {"TSAN_OPTIONS": "ignore_noninstrumented_modules=1:exitcode=66", **os.environ,
           "SLUICE_BIN": str(ROOT / build / "sluice"), "SLUICE_TEST_KILLS": str(kills)}
    subprocess.run([*around, sys.executable, "-m", "pytest", "-q", "-rs", "-n", "3", "--dist", "worksteal", f"--junitxml={report}",
                    *arguments], cwd=ROOT, env=env)
    if not report.exists():
        count(part, 0, 1, 0, begin)
        return
    n = {k: sum(int(s.get(k, 0)) for s in ElementTree.parse(report).iter("testsuite"))
         for k in ("tests", "failures", "errors", "skipped")}
    bad = n["failures"] + n["errors"]
    count(part, n["tests"] - bad - n["skipped"], bad, n["skipped"], begin)


def threads(build):
    """What has threads once more, under TSan; where the kernel scatters memory too widely for it, without that."""
    for around in ([], ["setarch", "-R"]):
        if subprocess.run([*around, ROOT / build / "sluice", "--version"], capture_output=True).returncode == 0:
            return suite("pytest under TSan", build, THREADED, 0, around)
    print("FAIL TSan: the program does not start with it (vm.mmap_rnd_bits above 28, and setarch -R is not allowed)")
    return count("pytest under TSan", 0, 1, 0, time.monotonic())


def lines(part, command):
    """A script that prints a line PASS … or FAIL … for each thing it looked at."""
    begin = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    print(done.stdout, end="")
    passed = len(re.findall(r"^PASS ", done.stdout, re.M))
    failed = len(re.findall(r"^FAIL ", done.stdout, re.M))
    if done.returncode and not failed:
        print(f"FAIL {part}: exit {done.returncode}")
        failed = 1
    count(part, passed, failed, 0, begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build-asan")
    parser.add_argument("--tsan", help="a build with -Db_sanitize=thread: tests of what has threads run with it as well")
    parser.add_argument("--fuzz-seconds", type=int, default=3)
    parser.add_argument("--crash-kills", type=int, default=50)
    args, rest = parser.parse_known_args()

    lines("lint", ["sh", "tools/lint.sh", args.build])
    unit(args.build)
    suite("pytest suite", args.build, rest or ["tests"], args.crash_kills)
    if args.tsan:
        threads(args.tsan)
    if args.fuzz_seconds:
        lines("fuzz", ["sh", "tools/fuzz.sh", str(args.fuzz_seconds)])

    print(", ".join(f"{n} {what}" for what, n in total.items() if n or what != "skipped"))
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
