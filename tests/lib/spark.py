"""Spark with Delta Lake, asked through a pipe: one JVM for all questions of a test session (see spark_driver.py)."""
import base64
import json
import os
import struct
import subprocess
from decimal import Decimal
from pathlib import Path

from .values import decimal_text, scale_of

HOME = Path(os.environ.get("SLUICE_SPARK_HOME") or
            Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sluice" / "spark")


class SparkError(Exception):
    """`name` is Spark's error class."""

    def __init__(self, name, message):
        super().__init__(f"{name}: {message}")
        self.name = name


class Answer:
    def __init__(self, columns, types, rows):
        self.columns, self.types, self.rows = columns, types, [tuple(r) for r in rows]

    def dicts(self):
        return [dict(zip(self.columns, r)) for r in self.rows]


def absent():
    """Why there is no Spark here, or None."""
    if (HOME / "ready").exists():
        return None
    return f"no Spark in {HOME}: tools/deps.sh spark installs it"


class Spark:
    """A JVM in a process of its own. One question at a time."""

    def __init__(self, folder):
        """`folder`: for its log and its scratch files."""
        folder = Path(folder)
        self.log = folder / "spark.log"
        temp = folder / "tmp"
        temp.mkdir(exist_ok=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_", "LD_PRELOAD"))}
        python = HOME / "venv" / "bin" / "python"
        env |= {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_DIRS": str(temp), "PYSPARK_PYTHON": str(python), "TZ": "UTC",
                "PYSPARK_SUBMIT_ARGS": f"--driver-memory 1g --driver-class-path {HOME}/jars/* --conf spark.sql.warehouse.dir="
                f"{folder}/warehouse --driver-java-options '-Djava.io.tmpdir={temp} -XX:+UseSerialGC -XX:TieredStopAtLevel=1' pyspark-shell"}
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen([python, Path(__file__).with_name("spark_driver.py")], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, stderr=log, env=env, cwd=folder)

    def run(self, sql):
        """An Answer; raises SparkError."""
        self.popen.stdin.write(json.dumps({"sql": sql}).encode() + b"\n")
        self.popen.stdin.flush()
        line = self.popen.stdout.readline()
        assert line, f"Spark ended:\n{self.log.read_text(errors='replace')[-4000:]}"
        said = json.loads(line)
        if "error" in said:
            raise SparkError(said["error"], said["message"])
        return Answer(**said)

    def rows(self, sql):
        return self.run(sql).rows

    def stop(self):
        self.popen.stdin.close()
        try:
            self.popen.wait(20)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def plain(kind, value):
    """A value of `sluice sql --format json` (parsed with parse_float=Decimal) in the driver's form. `kind`: Delta's type."""
    if value is None:
        return None
    if isinstance(kind, dict):
        if kind["type"] == "struct":
            return {f["name"]: plain(f["type"], value[f["name"]]) for f in kind["fields"]}
        if kind["type"] == "array":
            return [plain(kind["elementType"], v) for v in value]
        pairs = ([plain(kind["keyType"], k), plain(kind["valueType"], v)] for k, v in value.items())
        return sorted(pairs, key=repr)
    if kind in ("byte", "short", "integer", "long"):
        return int(value)
    if kind in ("float", "double"):
        text = str(value)
        return text if text in ("NaN", "Infinity", "-Infinity") else float_repr(float(text), kind)
    if kind.startswith("decimal"):
        return decimal_text(value, scale_of(kind))
    if kind == "binary":
        return base64.b64decode(value).hex()
    if kind.startswith("timestamp"):
        head, _, fraction = value.removesuffix("Z").replace(" ", "T").partition(".")
        return f"{head}.{(fraction + '000000')[:6]}{'Z' if kind == 'timestamp' else ''}"
    return "variant " + json.dumps(by_value(value), sort_keys=True) if kind == "variant" else value


def plain_arrow(kind, value):
    """A value of Arrow's to_pylist() in the driver's form."""
    if value is None:
        return None
    if isinstance(kind, dict):
        if kind["type"] == "struct":
            return {f["name"]: plain_arrow(f["type"], value[f["name"]]) for f in kind["fields"]}
        if kind["type"] == "array":
            return [plain_arrow(kind["elementType"], v) for v in value]
        pairs = value.items() if isinstance(value, dict) else (p.values() if isinstance(p, dict) else p for p in value)
        return sorted(([plain_arrow(kind["keyType"], k), plain_arrow(kind["valueType"], v)] for k, v in pairs), key=repr)
    if kind in ("float", "double"):
        return plain(kind, {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(value), value))
    if kind == "binary":
        return value.hex()
    if kind.startswith("timestamp"):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + ("Z" if kind == "timestamp" else "")
    return value.isoformat() if kind == "date" else plain(kind, value)


def by_value(value):
    """A variant's JSON with numbers as the driver has them."""
    if isinstance(value, dict):
        return {k: by_value(v) for k, v in value.items()}
    if isinstance(value, list):
        return [by_value(v) for v in value]
    number = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    return "n" + str(Decimal(value).normalize()) if number else value


def float_repr(value, kind):
    return repr(struct.unpack("f", struct.pack("f", value))[0] if kind == "float" else value)


class Log:
    """The log of a table as it lies on disk."""

    def __init__(self, path):
        self.path, self.versions = Path(path), {}
        for file in sorted((self.path / "_delta_log").glob("*.json")):
            if file.stem.isdigit():
                self.versions[int(file.stem)] = [json.loads(line) for line in file.read_text().splitlines() if line]
        self.newest = max(self.versions, default=-1)

    def actions(self, version, kind):
        return [a[kind] for a in self.versions[version] if kind in a]

    def last(self, kind, version=None):
        """The newest action of a kind at or before a version."""
        for v in sorted(self.versions, reverse=True):
            if (version is None or v <= version) and self.actions(v, kind):
                return self.actions(v, kind)[-1]
        return None

    def schema(self, version=None):
        return json.loads(self.last("metaData", version)["schemaString"])

    def info(self, version):
        return (self.actions(version, "commitInfo") or [None])[0]
