"""Watching processes: wall time, CPU seconds, peak memory. All from /proc, so that any program can be watched."""
import os
import subprocess
import threading
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """The fields of /proc/PID/stat after the command's name."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()


def cpu_of(pid):
    """CPU seconds of a process and of those of its children that have ended."""
    f = _stat(pid)
    return sum(int(x) for x in f[11:15]) / TICK


def cpu_of_tree(pid):
    """CPU seconds of a process and all below it, ended or not (PostgreSQL's server waits for its own)."""
    parents, total = {}, 0.0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(entry.name)[1])
            except (FileNotFoundError, ProcessLookupError):
                pass
    family = {pid}
    while True:
        more = {p for p, parent in parents.items() if parent in family and p not in family}
        if not more:
            break
        family |= more
    for p in family:
        try:
            total += cpu_of(p)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def memory_of(pid):
    """{VmHWM, VmRSS, RssAnon, RssFile} in MB, empty when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    found = dict(line.split(":", 1) for line in lines if line.startswith(("VmHWM", "VmRSS", "RssAnon", "RssFile")))
    return {k: int(v.split()[0]) / 1024 for k, v in found.items()}


def written_by(pid):
    """Bytes that a process handed to the disk."""
    for line in Path(f"/proc/{pid}/io").read_text(encoding="utf-8").splitlines():
        if line.startswith("write_bytes"):
            return int(line.split()[1])
    return 0


class Watched:
    """A process and its figures. Memory is sampled every 10 ms; VmHWM is the kernel's own peak."""

    def __init__(self, args, env=None, log=None):
        self.begin = time.monotonic()
        out = open(log, "ab") if log else subprocess.DEVNULL  # pylint: disable=consider-using-with
        self.popen = subprocess.Popen([str(a) for a in args], stdin=subprocess.DEVNULL, stdout=out,
                                      stderr=out if log else None, env=env)
        self.pid, self.log, self.args = self.popen.pid, log, args
        self.rss = self.anon = self.wall = self.cpu = self.written = 0.0
        self.code = None
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while self.code is None:
            m = memory_of(self.pid)
            self.rss, self.anon = max(self.rss, m.get("VmHWM", 0)), max(self.anon, m.get("RssAnon", 0))
            time.sleep(0.01)

    def wait(self, expect=0):
        _, status, usage = os.wait4(self.pid, 0)
        self.wall = time.monotonic() - self.begin
        self.code = self.popen.returncode = os.waitstatus_to_exitcode(status)
        self.cpu = usage.ru_utime + usage.ru_stime
        self.written = usage.ru_oublock * 512
        self.thread.join()
        if self.code != expect:
            text = Path(self.log).read_text(encoding="utf-8", errors="replace")[-3000:] if self.log else ""
            raise RuntimeError(f"{' '.join(map(str, self.args))}: exit {self.code}\n{text}")
        return self

    def stop(self):
        self.popen.terminate()
        return self.wait()

    def cpu_now(self):
        return cpu_of(self.pid)
