#!/usr/bin/env python3
"""Benchmarks: sluice and its peer on the same data, on the same machine, in one run; what counts is the ratio.

    bench/run.py [NAME …] [--quick] [--full] [--debezium] [--spark] [--out FILE]

Names: snapshot stream upsert freshness start commits large, and of Delta alone: merge open scan maintain (all of
them). See bench/README.md.
"""
import argparse
import importlib
import signal
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from setting import BIN, Setting, show  # noqa: E402  pylint: disable=wrong-import-position

NAMES = ["snapshot", "stream", "upsert", "freshness", "start", "commits", "large", "merge", "open", "scan", "maintain"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", choices=[*NAMES, []], help="which (all)")
    p.add_argument("--quick", action="store_true", help="a tenth of the data: a check that all of it runs")
    p.add_argument("--full", action="store_true", help="also the sizes that take a quarter of an hour each")
    p.add_argument("--spark", action="store_true", help="merge: also Spark (tools/deps.sh spark)")
    p.add_argument("--debezium", action="store_true",
                   help="stream: Debezium with Kafka on the same WAL (fetches 60 MB of jars the first time; java, mvn)")
    p.add_argument("--out", default="bench.jsonl", help="JSON lines are appended here (bench.jsonl)")
    args = p.parse_args()
    if not BIN.exists():
        sys.exit(f"there is no {BIN}: make")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the server is stopped too
    failed, results = False, []
    for name in args.names or NAMES:
        bench = importlib.import_module("bench_" + name)
        print(f"{name}: {bench.__doc__.splitlines()[0]}", flush=True)
        s = Setting(args)
        try:
            bench.run(s)
        except Exception:  # the others still tell something
            traceback.print_exc()
            failed = True
        finally:
            s.close()
            results += s.results
    show(results)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
