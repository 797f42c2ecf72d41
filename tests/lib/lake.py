"""Reads what sluice wrote: the Delta log itself, and the rows through two independent readers and sluice's own."""
import json
from decimal import Decimal
from pathlib import Path

from .values import from_arrow, from_json


class Table:
    """The columns and rows of one table at one version: `rows` is a list of tuples in the order of `columns`."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows

    def dicts(self):
        return [dict(zip(self.columns, r)) for r in self.rows]


class Lake:
    """`program` (a Sluice) is asked where no independent reader can read a table."""

    def __init__(self, path, program=None):
        self.path, self.program = Path(path), program

    def __str__(self):
        return str(self.path)

    def __fspath__(self):
        return str(self.path)

    def table_path(self, name):
        schema, _, table = name.rpartition(".")
        return self.path / (schema or "public") / table

    def exists(self, name):
        return any((self.table_path(name) / "_delta_log").glob("*.json"))

    def tables(self):
        """schema.table of every table in the lake, sluice's own excluded."""
        return sorted(".".join(log.parent.relative_to(self.path).parts) for log in self.path.glob("*/*/_delta_log")
                      if not log.parent.parent.name.startswith("_"))

    def log(self, name):
        """(version, actions) of every commit in the log, oldest first."""
        for file in sorted((self.table_path(name) / "_delta_log").glob("*.json")):
            if file.stem.isdigit():
                yield int(file.stem), [json.loads(line) for line in file.read_text().splitlines() if line]

    def version(self, name):
        return max((v for v, _ in self.log(name)), default=None)

    def positions(self, name):
        """(version, position): the source's position as of every version: that of the newest txn action up to it."""
        position, out = 0, []
        for version, actions in self.log(name):
            for a in actions:
                if "txn" in a:
                    position = max(position, a["txn"]["version"])
            out.append((version, position))
        return out

    def version_at(self, name, position):
        """The last version whose position is at or before `position`; None when the table began later."""
        found = [v for v, p in self.positions(name) if p <= position]
        return found[-1] if found else None

    def schema(self, name, version=None):
        """Column name -> Delta type as Delta writes it in JSON ("long", "decimal(10,2)"), arrays as ("array", element)."""
        newest = None
        for v, actions in self.log(name):
            if version is not None and v > version:
                break
            for a in actions:
                if "metaData" in a:
                    newest = json.loads(a["metaData"]["schemaString"])
        return {f["name"]: _kind(f["type"]) for f in newest["fields"]}

    def columns(self, name, version=None):
        return list(self.schema(name, version))

    def read(self, name, version=None, reader="delta-rs"):
        """The rows as `reader` sees them: "delta-rs", "polars" or "sluice" (also where the other two cannot). Of the newest
        version unless one is given, and of that one alone: who writes meanwhile may well ask for other readers in the next."""
        version = self.version(name) if version is None else version
        features = self.features(name, version)
        if reader == "sluice" or "typeWidening" in features:
            return self._read_sluice(name, version)
        if "columnMapping" in features:
            reader = "delta-rs"
        arrow = read_arrow(self.table_path(name), version, reader)
        columns = [from_arrow(arrow.column(i)) if arrow.num_rows else [] for i in range(arrow.num_columns)]
        return Table(arrow.column_names, list(zip(*columns)))

    def _read_sluice(self, name, version):
        kinds = self.schema(name, version)
        schema, _, table = name.rpartition(".")
        done = self.program.run("sql", self.path, "--format", "json", "-c",
                                f'SELECT * FROM "{schema or "public"}"."{table}" AT (VERSION => {version})')
        rows = [json.loads(line, parse_float=Decimal) for line in done.out.splitlines() if line.strip()]
        return Table(list(kinds), [tuple(from_json(k, r[c]) for c, k in kinds.items()) for r in rows])

    def dead_letters(self):
        """The rows of the dead-letter table as dicts; [] while there is none."""
        found = [log.parent for log in self.path.glob("**/_delta_log") if "dead" in log.parent.name]
        if not found:
            return []
        own = Lake(self.path, self.program)
        own.table_path = lambda name: found[0]
        return own.read("dead letters").dicts()

    def features(self, name, version=None):
        """What a reader must know. delta-rs and Polars do not know typeWidening, Polars not columnMapping either."""
        newest = []
        for v, actions in self.log(name):
            if version is not None and v > version:
                break
            for a in actions:
                newest = a["protocol"].get("readerFeatures", []) if "protocol" in a else newest
        return newest

    def count(self, name):
        """Rows at the newest version, 0 when there is no table yet. Safe while sluice writes."""
        return len(self.read(name).rows) if self.exists(name) else 0


def read_arrow(path, version=None, reader="delta-rs"):
    """The table as "delta-rs" or "polars" reads it."""
    if reader == "polars":
        import polars

        return polars.read_delta(str(path), version=version).to_arrow()
    import deltalake
    import pyarrow

    table = deltalake.DeltaTable(str(path), version=version)
    return pyarrow.table(deltalake.QueryBuilder().register("t", table).execute("SELECT * FROM t"))


def _kind(t):
    if isinstance(t, dict) and t["type"] == "array":
        return ("array", _kind(t["elementType"]))
    return t if isinstance(t, str) else t["type"]
