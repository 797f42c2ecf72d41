"""The program under test: commands run to their end, and syncs in the background that can be killed."""
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from .wait import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(os.environ.get("SLUICE_BIN", ROOT / "build-asan" / "sluice"))

# The exit codes of the commands' contract.
DONE, DIFFERENCE, USAGE, REFUSED, INTERNAL = 0, 1, 2, 3, 4

SANITIZER = re.compile(r"(ERROR: (Address|Leak|Thread)Sanitizer|runtime error:|SUMMARY: \w*Sanitizer)")


def environment(extra=None):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "SLUICE_CRASH"))}
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:exitcode=99")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=0")
    env.update(extra or {})
    return env


def assert_no_sanitizer_report(text):
    found = SANITIZER.search(text)
    if found:
        raise AssertionError("a sanitizer reported:\n" + text[max(0, found.start() - 200):found.start() + 6000])


class Done:
    """A command that ended."""

    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err

    def __repr__(self):
        return f"$ sluice {' '.join(self.args)}\nexit {self.code}\n{self.out[-1000:]}{self.err[-6000:]}"

    def rows(self):
        """The output of --format json: one object a line."""
        return [json.loads(line) for line in self.out.splitlines() if line.strip()]


class Sluice:
    """Runs the program with its logs under `folder`; `stop_all` ends what a test left running."""

    def __init__(self, folder, binary=None):
        self.folder = Path(folder)
        self.binary = Path(binary or BIN)
        self.processes = []

    def run(self, *args, code=DONE, timeout=180, env=None, stdin=None):
        """Runs a command to its end and asserts its exit code (None: any; a tuple: any of these)."""
        args = [str(a) for a in args]
        done = subprocess.run([self.binary, *args], capture_output=True, text=True, errors="replace",
                              timeout=timeout, env=environment(env), input=stdin,
                              stdin=subprocess.DEVNULL if stdin is None else None)
        result = Done(args, done.returncode, done.stdout, done.stderr)
        with open(self.folder / "commands.log", "a", encoding="utf-8") as f:
            f.write(repr(result) + "\n")
        assert_no_sanitizer_report(done.stderr)
        if code is not None:
            assert done.returncode in (code if isinstance(code, tuple) else (code,)), repr(result)
        return result

    def sync_once(self, url, lake, *args, **kw):
        return self.run("sync", url, lake, "--once", *args, **kw)

    def start_sync(self, url, lake, *args, env=None):
        return self.start("sync", url, lake, *args, env=env)

    def start(self, *args, env=None):
        log = self.folder / f"{args[0]}-{len(self.processes)}.log"
        process = Process(self.binary, [str(a) for a in args], log, environment(env))
        self.processes.append(process)
        return process

    def sql(self, lake, query, **kw):
        return self.run("sql", lake, "--format", "json", "-c", query, **kw).rows()

    def status(self, lake):
        return self.run("status", lake, "--format", "json").rows()

    def stop_all(self):
        for p in self.processes:
            p.kill()

    def logs(self):
        """What to show when a test failed: what was warned of, then the end of every log."""
        text = ""
        for log in sorted(self.folder.glob("*.log")):
            lines = [line[:400] for line in log.read_text(errors="replace").splitlines()
                     if re.search("level=(warn|error)", line) and "connection_lost" not in line]
            text += "".join(f"{log.name}: {line}\n" for line in lines[-20:])
        for log in sorted(self.folder.glob("*.log")):
            text += f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}\n"
        return text


class Process:
    """A command in the background. Whatever ends it, its log must hold no sanitizer report."""

    def __init__(self, binary, args, log, env):
        self.args, self.log, self.reported = args, Path(log), False
        with open(log, "ab") as f:
            self.popen = subprocess.Popen([binary, *args], stdin=subprocess.DEVNULL, stdout=f, stderr=f, env=env)

    def text(self):
        return self.log.read_text(errors="replace")

    def alive(self):
        return self.popen.poll() is None

    def check(self):
        """Is it still running? If not, the test fails with its log. Returns True, for use in conditions."""
        assert self.alive(), f"sluice {' '.join(self.args)} ended with {self.popen.returncode}:\n{self.text()[-6000:]}"
        return True

    def wait_until(self, cond, deadline=60.0, what=None):
        """Like wait_until, but fails at once when the process ends."""
        return wait_until(lambda: self.check() and cond(), deadline, what)

    def wait_log(self, pattern, deadline=60.0):
        return self.wait_until(lambda: re.search(pattern, self.text()), deadline, f"log line matching {pattern}")

    def wait(self, timeout=60):
        """Waits for its own end; returns the exit code."""
        code = self.popen.wait(timeout)
        self.check_sanitizers()
        return code

    def check_sanitizers(self):
        """Fails once, not again in the test's teardown."""
        if not self.reported:
            self.reported = bool(SANITIZER.search(self.text()))
            assert_no_sanitizer_report(self.text())

    def kill(self):
        """kill -9. Does nothing when it has ended already."""
        if self.alive():
            self.popen.kill()
        self.popen.wait()
        self.check_sanitizers()

    def term(self, timeout=60):
        """Asks it to end and asserts that it ends well: drained, exit 0."""
        self.check()
        begin = time.monotonic()
        self.popen.send_signal(signal.SIGTERM)
        code = self.wait(timeout)
        assert code == 0, f"exit {code} after SIGTERM:\n{self.text()[-6000:]}"
        return time.monotonic() - begin
