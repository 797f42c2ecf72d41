"""Two tables that are to be the same, one written by sluice and one by Spark, and what can be compared of them."""
import itertools
import json
import os
import re
from decimal import Decimal

from .dialect import render
from .spark import Log, SparkError, plain

SERIAL = itertools.count(int.from_bytes(os.urandom(4)))
DYNAMIC = "spark.sql.sources.partitionOverwriteMode"


class Twins:
    """Two tables that are to be the same: ours, written by sluice (or by turns), and one by Spark alone. Spark knows both by
    name, for it cannot replace a table by its path."""

    def __init__(self, sluice, spark, folder, seed):
        self.sluice, self.spark, self.folder, self.seed = sluice, spark, folder, seed
        self.unique, self.clones, self.told, self.known = f"t{next(SERIAL)}_", 0, [], set()
        self.name("0")

    def name(self, suffix):
        self.ours, self.theirs = self.folder / f"{self.unique}ours{suffix}", self.folder / f"{self.unique}theirs{suffix}"

    def by_sluice(self, statement, path, other):
        before = "SET partition_overwrite_mode = dynamic; " if statement.startswith("DYNAMIC") else ""
        text = render(statement.removeprefix("DYNAMIC "), False, f"delta.`{path}`", f"delta.`{other}`")
        done = self.sluice.run("sql", "--format", "json", "-c", before + text, code=None)
        assert done.code in (0, 2, 3), repr(done)
        return done.err.strip() if done.code else None

    def by_spark(self, statement, path, other):
        mode = "dynamic" if statement.startswith("DYNAMIC") else "static"
        evolve = statement.startswith("INSERT WITH SCHEMA EVOLUTION")  # a setting of Spark's
        self.spark.run(f"SET spark.databricks.delta.schema.autoMerge.enabled={str(evolve).lower()}")
        if other and other not in self.known:
            self.spark.run(f"CREATE TABLE {other.name} USING delta LOCATION '{other}'")
            self.known.add(other)
        statement = statement.replace("INSERT WITH SCHEMA EVOLUTION", "INSERT")
        text = render(statement.removeprefix("DYNAMIC "), True, path.name, other and other.name)
        if path not in self.known and (path / "_delta_log").exists():
            self.spark.run(f"CREATE TABLE {path.name} USING delta LOCATION '{path}'")
        elif path not in self.known:
            where = f" LOCATION '{path}'"
            text = text.replace("USING delta", "USING delta" + where, 1) if "USING delta" in text else text + where
        self.known.add(path)
        self.spark.run(f"SET {DYNAMIC}={mode}")
        try:
            self.spark.run(text)
        except SparkError as e:
            return str(e)[:600]
        return None

    def step(self, statement, sluice=True):
        others = (None, None)
        if statement in ("CLONE", "LIKE"):
            self.clones += 1
            others = self.ours, self.theirs
            self.name(self.clones)
            statement = "CREATE TABLE {t} " + {"CLONE": "SHALLOW CLONE {o}", "LIKE": "LIKE {o} USING delta"}[statement]
        if statement.startswith(("CREATE TABLE", "BOTH")):
            self.points = []
        self.told.append(("" if sluice else "BY SPARK ") + statement)
        both = statement.startswith("BOTH ")
        run = self.by_sluice if sluice or both else self.by_spark
        statement = statement.removeprefix("BOTH ")  # what Spark's SQL cannot say is said by sluice for both tables
        ours = run(self.travel(statement, 0), self.ours, others[0])
        theirs = (run if both else self.by_spark)(self.travel(statement, 1), self.theirs, others[1])
        assert (ours is None) == (theirs is None), self.story(f"ours: {ours or 'accepted'}\nSpark: {theirs or 'accepted'}")
        a, b = Log(self.ours), Log(self.theirs)
        # Whether these have something to do depends on the files; Spark numbers the rows of a table in commits of their own.
        if not statement.startswith(("OPTIMIZE", "REORG")) and not any(w in statement for w in SEVERAL) and not idle_merge(b):
            more = [log.newest - (self.points[-1][i] if self.points else -1) for i, log in enumerate((a, b))]
            assert more[0] == more[1], self.story(f"ours: {more[0]} commits (version {a.newest}), Spark: {more[1]} (version {b.newest})")
        self.points.append((a.newest, b.newest))
        return a

    def travel(self, statement, side):
        return re.sub("‹([0-9]+)›", lambda found: str(self.points[int(found[1])][side]), statement)

    def story(self, what):
        return f"seed {self.seed}\n" + ";\n".join(self.told) + f"\n--\n{what}"


RANDOM = re.compile(r"physicalName$|^delta.rowTracking.materialized|^delta.inCommitTimestampEnablementTimestamp|^domainName$|^delta.requireCheckpointProtection")


def shape(schema):
    """A schema (or properties) without what is random in it."""
    if isinstance(schema, dict):
        return {k.lower() if k.startswith("delta.feature.") else k: shape(v) for k, v in schema.items() if not RANDOM.search(k)}
    return [shape(s) for s in schema] if isinstance(schema, list) else schema


def our_rows(sluice, path, log, versions):
    """Sorted rows at each version, as sluice reads them."""
    query = ";\n".join(f"SELECT {v} AS __version, * FROM delta.`{path}` VERSION AS OF {v}" for v in versions)
    out = {v: [] for v in versions}
    for line in sluice.run("sql", "--format", "json", "-c", query).out.splitlines():
        row = json.loads(line, parse_float=Decimal)
        out[row["__version"]].append(row)
    for v in versions:
        fields = log.schema(v)["fields"]
        out[v] = sorted([tuple(plain(f["type"], r[f["name"]]) for f in fields) for r in out[v]], key=repr)
    return out


def spark_rows(spark, path, version):
    return sorted(spark.rows(f"SELECT * FROM delta.`{path}` VERSION AS OF {version}"), key=repr)


def our_changes(sluice, path, log, first, last):
    """Sorted rows of the change feed of these versions, as sluice reads them: columns, then the kind of the change. Both sluice
    and Spark show the columns of now: one that a RESTORE has taken away since is not among them."""
    done = sluice.run("sql", "--format", "json", "-c", f"SELECT * FROM table_changes_by_path('{path}', {first}, {last})")
    rows = [json.loads(line, parse_float=Decimal) for line in done.out.splitlines()]
    fields = [f for f in log.schema(last)["fields"] if not rows or f["name"] in rows[0]] + [{"name": "_change_type", "type": "string"}]
    return sorted([tuple(plain(f["type"], r[f["name"]]) for f in fields) for r in rows], key=repr)


def spark_changes(spark, path, first, last):
    query = f"SELECT * EXCEPT (_commit_version, _commit_timestamp) FROM table_changes_by_path('{path}', {first}, {last})"
    return sorted(spark.rows(query), key=repr)


# What says when or how fast, or how many bytes a file has, is nobody's to agree on.
PASSING = re.compile(r"(Time|Ms|Bytes|Size|BytesAdded|BytesRemoved)$|^(numOutputBytes|executionTimeMs|sourceTableSize|copiedFilesSize|removedFilesSize|restoredFilesSize|"
                     r"tableSizeAfterRestore)$")


def idle_merge(log):
    """With NOT MATCHED BY SOURCE, Spark writes files anew though it changes no row of them."""
    info = log.last("commitInfo", log.newest)
    metrics = info.get("operationMetrics") or {}
    return info["operation"] == "MERGE" and not any(
        int(metrics.get(f"numTargetRows{what}", 0)) for what in ("Inserted", "Updated", "Deleted"))


SEVERAL = ("enableRowTracking' = 'true", "DROP FEATURE")  # Spark makes several commits of these
LEVELS = {"WriteSerializable": "Serializable"}  # sluice's default, and Spark's


# Without deletion vectors an UPDATE or MERGE of ours leaves new rows in files of their own, where Spark mixes them with
# those that it copies: these numbers are then not the same, nor are later ones of the same table.
OF_FILES = re.compile(r"num(Target)?(RowsCopied|CopiedRows|Added(Change)?Files|RemovedFiles|Files(Added|Removed)|OutputRows|ChangeFilesAdded)$")


def words(text):
    """A predicate without the numbers that Spark gives to columns and without what only groups or quotes: sluice tells the
    statement's own words."""
    return re.sub(r"#\d+L?|[\s()`'\\\"]|\bt\.|\bs\.", "", text).lower()


def told_history(info, same_files=True):
    """operation, parameters, metrics of a commit as both must tell them."""
    parameters = {k: words(v) if isinstance(v, str) else v for k, v in (info.get("operationParameters") or {}).items()}
    if info["operation"] == "CLONE":
        del parameters["source"]  # sluice tells its path, Spark its name in the catalog
    metrics = {k: None if PASSING.search(k) or not same_files and OF_FILES.search(k) else v
               for k, v in (info.get("operationMetrics") or {}).items()}
    for key in {"properties", "column", "columns"} & set(parameters):
        parameters[key] = shape(json.loads(info["operationParameters"][key]))
    if info["operation"] == "CHANGE COLUMNS":  # sluice tells them as they are written, Spark as a hash table has them
        parameters["columns"].sort(key=lambda c: c["name"])
    return {"operation": info["operation"], "parameters": parameters, "metrics": metrics, "blind": info.get("isBlindAppend"),
            "isolation": LEVELS.get(info.get("isolationLevel"), info.get("isolationLevel"))}


def unlike(a, b):
    """The parts of two values that differ, for people."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [k for k in [*a, *(k for k in b if k not in a)] if a.get(k, "absent") != b.get(k, "absent")]
        parts = {k: unlike(a.get(k, "absent"), b.get(k, "absent")) for k in keys}
        return {k: p[0] for k, p in parts.items()}, {k: p[1] for k, p in parts.items()}
    return a, b


def told_stats(log, version, names=None):
    """Partition values, statistics and kind of each file that a commit adds, in some order. Physical names become logical."""
    names = names or physical_names(log.schema(version)["fields"])
    out = []
    for add in log.actions(version, "add"):
        stats = json.loads(add["stats"], parse_float=Decimal) if add.get("stats") else None
        vector = add.get("deletionVector")
        out.append([{names.get(k, k): v for k, v in add["partitionValues"].items()}, logical(stats, names), add["dataChange"],
                    vector and vector["cardinality"]])
    return sorted(out, key=repr)


def physical_names(fields, out=None):
    out = {} if out is None else out
    for f in fields:
        out[f["metadata"].get("delta.columnMapping.physicalName", f["name"])] = f["name"]
        for inner in inner_structs(f["type"]):
            physical_names(inner["fields"], out)
    return out


def inner_structs(kind):
    if isinstance(kind, dict):
        if kind["type"] == "struct":
            yield kind
        else:
            for key in ("elementType", "keyType", "valueType"):
                yield from inner_structs(kind.get(key))


def logical(value, names):
    """Columns that were dropped are gone."""
    if not isinstance(value, dict):
        return value
    return {names.get(k, k): logical(v, names) for k, v in value.items() if k in names or not k.startswith("col-")}
