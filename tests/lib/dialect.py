"""Random statements of Delta's SQL, the same for sluice and for Spark, from a seed.

A statement is text with holes: {t} is the table; «…» is a literal that the two write differently, "struct:1,'x'",
"array:1,2", "fields:a=1;b='x'". The generator keeps a model of the columns, so that most statements are right and some are wrong on purpose.
"""
import json
import random
import re

SIMPLE = ["INT", "BIGINT", "STRING", "DOUBLE", "DECIMAL(10,2)", "DATE", "TIMESTAMP", "BOOLEAN", "SMALLINT", "FLOAT"]
TYPES = SIMPLE + ["STRUCT<a: INT, b: STRING>", "STRUCT<a: INT, b: STRING>", "STRUCT<a: SMALLINT, n: STRUCT<x: INT, y: STRING>>", "ARRAY<INT>", "MAP<STRING, INT>",
                  "BINARY", "TIMESTAMP_NTZ"]
# Names of folders where they are partitions. Spark takes '__HIVE_DEFAULT_PARTITION__' for NULL.
ODD = ["", " ", "a b", "a/b", "ü%2F", "x=y:z", "😀", "a#?&+"]
WIDER = {"INT": ["BIGINT", "DOUBLE", "DECIMAL(12,2)", "DECIMAL(9,0)"], "SMALLINT": ["INT", "BIGINT", "DECIMAL(10,0)"], "FLOAT": ["DOUBLE"], "BIGINT": ["DECIMAL(20,0)", "INT"],
         "DATE": ["TIMESTAMP"], "DECIMAL(10,2)": ["DECIMAL(12,2)", "DECIMAL(14,4)", "DECIMAL(10,3)"]}
WIDEST = sorted({k for kinds in WIDER.values() for k in kinds})
SWITCHES = ["enableDeletionVectors", "enableChangeDataFeed", "enableTypeWidening", "enableRowTracking", "enableInCommitTimestamps",
            "appendOnly"]


def render(text, spark, table, other=None):
    """`table` and `other`: as the statement is to name them."""
    def literal(found):
        kind, _, items = found[1].partition(":")
        if kind == "ntz":
            return f"{'TIMESTAMP_NTZ' if spark else 'TIMESTAMP'} {items}"
        if kind == "struct1":
            return f"named_struct('a', {items})" if spark else f"{{'a': {items}}}"
        if kind == "swapped":
            b, a = items.split(",", 1)
            return f"named_struct('b', {b}, 'a', {a})" if spark else f"{{'b': {b}, 'a': {a}}}"
        if kind == "bin":
            return f"X'{items}'" if spark else "'" + re.sub("(..)", r"\\x\1", items) + "'::BLOB"
        if kind == "map":
            pairs = re.findall("[^,]+,[^,]+", items)
            return f"map({items})" if spark else "MAP {" + ", ".join(": ".join(p.split(",")) for p in pairs) + "}"
        if kind == "fields":
            pairs = [p.split("=", 1) for p in items.split(";")]
            return ("named_struct(" + ", ".join(f"'{k}', {v}" for k, v in pairs) + ")" if spark else
                    "{" + ", ".join(f"'{k}': {v}" for k, v in pairs) + "}")
        if kind == "struct":
            a, b = items.split(",", 1)
            return f"named_struct('a', {a}, 'b', {b})" if spark else f"{{'a': {a}, 'b': {b}}}"
        return f"array({items})" if spark else f"[{items}]"

    while "«" in text:  # the innermost first
        text = re.sub(r"«([^«»]*)»", literal, text)
    if not spark:  # DuckDB's names of types within expressions
        text = re.sub(r"CAST\(NULL AS ((ARRAY|STRUCT|MAP)<((?!CAST).)*?>)\)", lambda found: f"CAST(NULL AS {duck_type(found[1])})", text)
        text = text.replace("AS TIMESTAMP_NTZ)", "AS TIMESTAMP)")
    return text.replace("{t}", table).replace("{o}", str(other))


class Statements:
    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.columns, self.partition, self.props, self.checks = {}, None, {}, []
        self.not_null, self.generated, self.serial, self.points, self.set = set(), set(), 0, 0, {}

    # --- parts

    def chance(self, p):
        return self.dice.random() < p

    def one(self, things):
        return self.dice.choice(list(things))

    def value(self, kind, name=None):
        d = self.dice
        if self.chance(0.08) and name not in ("id",):
            return "NULL"
        if kind in ("INT", "BIGINT"):
            return str(d.randrange(40)) if name == "id" else self.one([str(d.randrange(-5, 100)), str(d.randrange(-5, 100)), str(d.randrange(100000))])
        if kind == "SMALLINT":
            return f"CAST({d.randrange(-5, 300)} AS SMALLINT)"
        if kind == "STRING":
            return repr(d.choice(ODD if self.chance(0.1) else "abcd")) if name == "p" else self.one(["'x'", "''", "'a b'", "'ü%='", repr("long" * d.randrange(12))])
        if kind in ("DOUBLE", "FLOAT"):
            return f"CAST({d.choice(['1.5', '-0.25', '1e10', '0', '3', repr('NaN')])} AS {kind})"
        if kind.startswith("DECIMAL"):
            return f"CAST({d.randrange(-10000, 10000) / 100} AS {kind})"
        if kind == "DATE":
            return f"DATE '20{d.randrange(10, 30)}-0{d.randrange(1, 10)}-1{d.randrange(10)}'"
        if kind.startswith("TIMESTAMP"):
            text = f"'2024-01-0{d.randrange(1, 10)} 0{d.randrange(10)}:05:06.{d.randrange(1000):03}'"
            return f"TIMESTAMP {text}" if kind == "TIMESTAMP" else f"«ntz:{text}»"
        if kind == "BOOLEAN":
            return self.one(["TRUE", "FALSE"])
        if kind == "BINARY":
            return self.one(["«bin:00FF»", "«bin:61»"])
        if kind.startswith("STRUCT"):
            return "«fields:" + ";".join(f"{f}={self.typed(k)}" for f, k in fields_of(kind).items()) + "»"
        if kind.startswith("MAP"):
            return self.one(["«map:'k',1»", "«map:'k',2,'l',NULL»"])
        return "«array:" + ",".join(str(d.randrange(9)) for _ in range(d.randrange(1, 4))) + "»"

    def typed(self, kind):
        """A value that is of this type by itself."""
        value = self.value(kind)
        return f"CAST({value} AS {kind})" if value == "NULL" or kind in ("BIGINT", "SMALLINT") else value

    def rows(self, columns, n, ids=None):
        """A query of n rows with the columns named."""
        out = []
        for i in range(n):
            values = {c: self.value(k, c) for c, k in columns.items()}
            if ids and "id" in values:
                values["id"] = str(ids[i])
            other = {c for c, k in columns.items() if k in SIMPLE + WIDEST and self.columns.get(c) != k}
            out.append("(" + ", ".join(f"CAST({v} AS {columns[c]})" if v == "NULL" or c in other else v for c, v in values.items()) + ")")
        return f"SELECT * FROM (VALUES {', '.join(out)}) AS x({', '.join(columns)})"

    def scalars(self):
        return {c: k for c, k in self.columns.items() if not k.startswith(NESTED) and k != "BINARY"}

    def given(self):
        """The columns that a statement is to give values for."""
        return {c: k for c, k in self.columns.items() if c not in self.generated or self.chance(0.1)}

    def inner(self):
        """The fields of structs, by their paths."""
        return {f"{c}.{f}": t for c, k in self.columns.items() if k.startswith("STRUCT") for f, t in fields_of(k).items()}

    def deep(self):
        """The fields of structs at any depth, whole structs among them."""
        def below(path, kind):
            for f, k in fields_of(kind).items() if kind.startswith("STRUCT") else ():
                yield f"{path}.{f}", k
                yield from below(f"{path}.{f}", k)
        return dict(pair for c, k in self.columns.items() for pair in below(c, k))

    def assigned_inside(self):
        """SET of one or two fields of structs; two that overlap are refused."""
        deep = self.deep()
        return ", ".join(f"{c} = {self.typed(deep[c])}" for c in self.dice.sample(list(deep), min(len(deep), self.one([1, 1, 2]))))

    def condition(self, alias="", deep=True):
        if deep and self.chance(0.25):
            a, b = self.condition(alias, False), self.condition(alias, False)
            return self.one([f"({a} AND {b})", f"({a} OR {b})", f"NOT ({a})", f"({a} AND NOT ({b}))"])
        c = self.one(c for c in self.scalars())
        kind = self.columns[c]
        if self.chance(0.1):
            return f"{alias}{c} IS {self.one(['NULL', 'NOT NULL'])}"
        if kind in ("INT", "BIGINT") and self.chance(0.6):
            return f"{alias}{c} % {self.one([2, 3, 5])} = {self.one([0, 1])}"
        inner = {c: k for c, k in self.inner().items() if k in ("INT", "STRING", "SMALLINT")}
        if inner and self.chance(0.15):
            c, kind = self.one(inner.items())
        value = self.value(kind, c)
        if kind == "BOOLEAN":
            return f"{alias}{c} = {value}"
        if self.chance(0.15):
            return f"{alias}{c} IN ({value}, {self.value(kind, c)})"
        if self.chance(0.1):
            return f"{alias}{c} BETWEEN {value} AND {self.value(kind, c)}"
        return f"{alias}{c} {self.one(['=', '<', '>=', '<>'])} {value}"

    # --- statements

    def create(self, replace=False):
        # Spark wants the feature of TIMESTAMP_NTZ switched on before a table gets its first such column, by REPLACE too
        types = [k for k in TYPES if not replace or k != "TIMESTAMP_NTZ" or k in self.columns.values()]
        kinds = self.dice.sample(types, self.dice.randrange(2, 6))
        self.columns = {"id": self.one(["INT", "INT", "BIGINT"]), "p": "STRING", **{f"c{i}": k for i, k in enumerate(kinds)}}
        simple = [c for c, k in self.columns.items() if k in SIMPLE and c != "id"]
        self.partition = self.dice.sample(simple, min(len(simple), self.one([1, 1, 2]))) if self.chance(0.4) else []
        cluster = f" CLUSTER BY ({self.one(['id', 'p', 'id, p'])})" if not self.partition and self.chance(0.15) else ""
        self.clustered = bool(cluster)
        generated = not replace and self.chance(0.15)
        self.generated = {"g"} if generated else set()
        self.not_null = {"id"} if self.chance(0.3) else set()
        self.checks, self.props = [], {k: self.one(["true", "false"]) for k in SWITCHES if k != "appendOnly" and self.chance(0.4)}
        self.props.setdefault("enableDeletionVectors", "false")  # sluice's own default is true
        if self.chance(0.4):
            self.props["columnMapping.mode"] = "name"
        if self.chance(0.2):
            self.props["checkpointInterval"] = self.one(["2", "3"])
        if self.chance(0.2) and not self.partition and not cluster:
            self.props["dataSkippingNumIndexedCols"] = self.one(["0", "1", "3"])
        defaults = {}
        if self.chance(0.15):
            self.props["feature.allowColumnDefaults"] = "supported"
            defaults = {c: f" DEFAULT {self.value(k, c)}" for c, k in self.columns.items() if k in SIMPLE and c != "id" and self.chance(0.5)}
        props = ", ".join(f"'delta.{k}' = '{v}'" for k, v in self.props.items())
        columns = [f"{c} {k}{' NOT NULL' if c in self.not_null else ''}{defaults.get(c, '')}" for c, k in self.columns.items()]
        if generated:
            columns.append(self.one(["g BIGINT GENERATED ALWAYS AS (CAST(id * 2 AS BIGINT))", "g STRING GENERATED ALWAYS AS (CAST(id AS STRING))"]))
        return ("BOTH " * generated + ("CREATE OR REPLACE" if replace else "CREATE") + " TABLE {t} (" + ", ".join(columns) + ") USING delta" +
                (f" PARTITIONED BY ({', '.join(self.partition)})" if self.partition else "") + cluster + (f" TBLPROPERTIES ({props})" if props else ""))

    def insert(self):
        columns = self.given()
        n = self.dice.randrange(1, 7)
        how = self.one(["plain", "plain", "list", "name", "evolve", "partition", "bad"])
        if how == "evolve":
            columns[self.fresh()] = self.one(k for k in SIMPLE if k != "TIMESTAMP")  # DuckDB's is one without a zone
            self.wider(columns)
            structs = [c for c, k in columns.items() if k.startswith("STRUCT")]
            if structs and self.chance(0.5):
                c = self.one(structs)
                columns[c] = columns[c][:-1] + f", {self.fresh()}: INT>"
            return f"INSERT WITH SCHEMA EVOLUTION INTO {{t}} BY NAME {self.rows(columns, n)}"
        if how == "partition" and self.partition == ["p"] and not self.generated:
            del columns["p"]
            return f"INSERT INTO {{t}} PARTITION (p = {self.value('STRING', 'p')}) {self.rows(columns, n)}"
        if how == "list":
            columns = {c: columns[c] for c in self.dice.sample(list(columns), self.dice.randrange(1, len(columns) + 1))}
        if how == "list" or self.generated:
            return f"INSERT INTO {{t}} ({', '.join(columns)}) {self.rows(columns, n)}"
        if how == "name":
            items = list(columns.items())
            self.dice.shuffle(items)
            return f"INSERT INTO {{t}} BY NAME {self.rows(dict(items), n)}"
        if how == "bad":
            return self.bad_insert()
        return f"INSERT INTO {{t}} {self.rows(columns, n)}"

    def bad_insert(self):
        wrong = self.one(["3000000000", "'12'", "'x'", "'1.5'", "NULL", "2.0", "2.5", "-7.99", "CAST(2.675 AS DECIMAL(6,3))", "TRUE", "DATE '2024-01-01'", "CAST(7 AS BIGINT)", "CAST(1e30 AS DOUBLE)"])
        c = self.one(c for c, k in self.scalars().items() if k != "TIMESTAMP" or "BIGINT" not in wrong)  # to Spark these are seconds
        return f"INSERT INTO {{t}} ({c}) SELECT {wrong} AS {c}"

    def overwrite(self):
        # OVERWRITE takes Spark's tables their clustering columns, and sluice's not
        how = "where" if self.clustered else self.one(["all", "where", "where", "dynamic"])
        if how == "where":
            condition = self.one([f"p = '{self.one('abcd')}'"] * 5 + [f"id < {self.dice.randrange(30)}"] * 3 + ["p IS NULL"])  # Spark's SQL takes no expressions here
            keep = condition if self.chance(0.8) else "TRUE"
            return f"INSERT INTO {{t}} REPLACE WHERE {condition} SELECT * FROM ({self.rows(self.columns, 4)}) AS y WHERE {keep}"
        statement = f"INSERT OVERWRITE {{t}} {self.rows(self.columns, self.dice.randrange(1, 6))}"
        return statement if how == "all" else f"DYNAMIC {statement}"

    def update(self):
        if self.inner() and self.chance(0.15):
            return f"UPDATE {{t}} SET {self.assigned_inside()} WHERE {self.condition()}"
        c = self.one(self.columns)
        kind = self.columns[c]
        value = self.value(kind, c)
        if kind in ("INT", "BIGINT") and c != "id" and self.chance(0.5):
            value = f"{c} + 1"
        if self.chance(0.1):
            value = self.one(["'zzz'", "3000000000", "NULL", "'7'", "2.0", "2.75", "'2.75'"])
        where = "" if self.chance(0.15) else f" WHERE {self.condition()}"
        more = ""
        if self.chance(0.3):
            other = self.one(self.columns)
            more = f", {other} = {self.value(self.columns[other], other)}" if other != c else ""
        return f"UPDATE {{t}} SET {c} = {value}{more}{where}"

    def delete(self):
        return "DELETE FROM {t}" + ("" if self.chance(0.05) else f" WHERE {self.condition()}")

    def merge(self):
        n = self.dice.randrange(1, 8)
        ids = self.dice.sample(range(40), n) if self.chance(0.9) else [self.dice.randrange(6) for _ in range(n)]
        evolve = self.chance(0.2)
        columns = {c: k for c, k in self.columns.items() if c not in self.generated}
        if evolve and self.chance(0.7):
            new = self.fresh()
            columns[new] = self.one(["INT", "STRING", "DECIMAL(10,2)"])
        elif self.chance(0.3):
            columns = {"id": columns["id"]} | {c: columns[c] for c in self.dice.sample(list(columns), min(2, len(columns)))}
        if evolve:
            self.wider(columns)
        structs = [c for c, k in columns.items() if k.startswith("STRUCT") and c in self.columns]
        if evolve and structs and self.chance(0.6):
            c = self.one(structs)
            columns[c] = self.other_fields(columns[c])
        clauses = []
        whole = evolve or set(columns) == set(self.columns)
        settable = [c for c in columns if c in self.columns]
        for _ in range(self.dice.randrange(0, 4)):
            last = self.chance(0.3)
            action = self.one(["DELETE", "UPDATE SET *" if whole else "DELETE", "UPDATE SET " + ", ".join(
                f"{c} = s.{c}" for c in self.dice.sample(settable, self.dice.randrange(1, len(settable) + 1)))])
            if self.inner() and self.chance(0.15):
                action = f"UPDATE SET {self.assigned_inside()}"
            clauses.append(f"WHEN MATCHED{'' if last else ' AND ' + self.condition('t.')} THEN {action}")
            if last:
                break
        if self.chance(0.7) or not clauses:
            action = "INSERT *" if whole else f"INSERT ({', '.join(settable)}) VALUES ({', '.join('s.' + c for c in settable)})"
            if self.chance(0.2):
                clauses.append(f"WHEN NOT MATCHED AND s.id % 3 = 0 THEN INSERT ({', '.join(settable[:2])}) VALUES ({', '.join('s.' + c for c in settable[:2])})")
            clauses.append(f"WHEN NOT MATCHED{' AND s.id % 2 = 0' if self.chance(0.3) else ''} THEN {action}")
        for _ in range(self.one([0, 0, 0, 1, 2])):
            c = self.one(c for c in self.columns if c != "id" and c not in self.generated)
            action = self.one(["DELETE", f"UPDATE SET {c} = {self.value(self.columns[c], c)}"])
            last = self.chance(0.2)
            clauses.append(f"WHEN NOT MATCHED BY SOURCE{'' if last else ' AND ' + self.condition('t.')} THEN {action}")
            if last:
                break
        return (f"MERGE {'WITH SCHEMA EVOLUTION ' if evolve else ''}INTO {{t}} AS t USING ({self.rows(columns, n, ids)}) AS s "
                f"ON t.id = s.id " + " ".join(clauses))

    def wider(self, columns):
        """Sometimes a column of the source has another type than the table's."""
        others = {c: [w for w in WIDER.get(k, ()) if w != "TIMESTAMP"] for c, k in columns.items() if c in self.columns}
        others = {c: k for c, k in others.items() if k}
        if others and self.chance(0.4):
            c = self.one(others)
            columns[c] = self.one(others[c])

    def other_fields(self, struct):
        """The struct without some of its fields, in another order, with one that is new."""
        fields = list(fields_of(struct).items())
        fields = self.dice.sample(fields, self.dice.randrange(1, len(fields) + 1))
        fields += [(self.fresh(), self.one(["INT", "STRING"]))] * self.chance(0.5)
        return "STRUCT<" + ", ".join(f"{f}: {k}" for f, k in fields) + ">"

    def travel(self):
        """The table as it was, as a source of what it is to be."""
        past = f"{{t}} VERSION AS OF ‹{self.dice.randrange(self.points)}›"
        c = self.one(["id", "p"])
        return self.one([f"INSERT INTO {{t}} (id, p) SELECT id, p FROM {past} WHERE id % 3 = 0", f"INSERT INTO {{t}} BY NAME SELECT p, id FROM {past} WHERE p > 'b'",
                         f"MERGE INTO {{t}} AS t USING (SELECT DISTINCT id FROM {past}) AS s ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id) "
                         "WHEN NOT MATCHED BY SOURCE THEN DELETE",
                         f"MERGE INTO {{t}} AS t USING (SELECT id, p FROM {past}) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET {c} = s.{c}"])

    def fresh(self):
        self.serial += 1
        return f"n{self.serial}"

    def alter(self):
        movable = [c for c in self.columns if c not in ("id", "p")]
        how = self.one(["add", "add", "rename", "drop", "type", "type", "not null", "check", "drop check", "comment", "position", "inner", "inner", "inner", "cluster", "default"])
        if how == "inner" and self.inner():
            return self.alter_inner()
        if how == "cluster":
            self.clustered = True
            return f"ALTER TABLE {{t}} CLUSTER BY {self.one(['NONE', '(id)', '(' + self.one(self.columns) + ')', '(p, id)', '(' + self.one(self.deep() or ['p']) + ', id)'])}"
        if how == "add":
            where = self.one(["", "", " FIRST", " AFTER id"])
            kind = self.one(k for k in TYPES if k != "TIMESTAMP_NTZ" or k in self.columns.values())  # Spark wants the feature first
            return f"ALTER TABLE {{t}} ADD COLUMNS ({self.fresh()} {kind}{where})"
        if how == "check":
            self.serial += 1
            return f"ALTER TABLE {{t}} ADD CONSTRAINT k{self.serial} CHECK ({self.one(['id >= 0', 'id < 38', 'id < 30', self.condition()])})"
        if how == "drop check":
            return f"ALTER TABLE {{t}} DROP CONSTRAINT {'IF EXISTS ' if self.chance(0.5) else ''}{self.one(self.checks or ['nope'])}"
        if how == "not null":
            return f"ALTER TABLE {{t}} ALTER COLUMN {self.one(self.columns)} {self.one(['SET', 'DROP'])} NOT NULL"
        if not movable:
            return self.insert()
        c = self.one(movable)
        if how == "default" and self.columns[c] in SIMPLE and "feature.allowColumnDefaults" in self.props:  # which sluice would switch on
            return f"ALTER TABLE {{t}} ALTER COLUMN {c} {self.one(['DROP DEFAULT', 'SET DEFAULT ' + self.value(self.columns[c], c)])}"
        if how == "rename":
            return f"ALTER TABLE {{t}} RENAME COLUMN {c} TO {self.fresh()}"
        if how == "drop":
            return f"ALTER TABLE {{t}} DROP COLUMN {c}"
        if how == "type":
            return f"ALTER TABLE {{t}} ALTER COLUMN {c} TYPE {self.one(WIDER.get(self.columns[c], ['BIGINT']))}"
        if how == "position":
            return f"ALTER TABLE {{t}} ALTER COLUMN {c} {self.one(['FIRST', 'AFTER id', 'AFTER p'])}"
        return f"ALTER TABLE {{t}} ALTER COLUMN {c} COMMENT 'says {c}'"

    def alter_inner(self):
        inner = self.inner()
        c = self.one(inner)
        struct, field = c.split(".")
        how = self.one(["add", "add", "rename", "drop", "type", "comment", "position"])
        if how == "add":
            return f"ALTER TABLE {{t}} ADD COLUMN {struct}.{self.fresh()} {self.one(['INT', 'STRING', 'BIGINT'])}{self.one(['', ' FIRST', ' AFTER ' + field])}"
        if how == "rename":
            return f"ALTER TABLE {{t}} RENAME COLUMN {c} TO {self.fresh()}"
        if how == "drop":
            return f"ALTER TABLE {{t}} DROP COLUMN {c}"
        if how == "type":
            return f"ALTER TABLE {{t}} ALTER COLUMN {c} TYPE {self.one(WIDER.get(inner[c], ['BIGINT']))}"
        return f"ALTER TABLE {{t}} ALTER COLUMN {c} {'FIRST' if how == 'position' else f'COMMENT {c!r}'}"

    def properties(self):
        key = self.one([*SWITCHES, "columnMapping.mode", "dataSkippingNumIndexedCols"])
        if self.chance(0.15) and key != "columnMapping.mode":  # Spark takes it from a mapped table, which loses its columns
            return f"ALTER TABLE {{t}} UNSET TBLPROPERTIES ('delta.{key}')"
        value = {"columnMapping.mode": "name", "dataSkippingNumIndexedCols": "2"}.get(key) or self.one(["true", "true", "false"])
        if key == "appendOnly":
            value = self.one(["true", "false", "false", "false"])
        return f"ALTER TABLE {{t}} SET TBLPROPERTIES ('delta.{key}' = '{value}')"

    def upkeep(self):
        how = self.one(["OPTIMIZE {t}", "OPTIMIZE {t}", "OPTIMIZE {t} ZORDER BY (id)", f"OPTIMIZE {{t}} ZORDER BY (id, {self.one(self.scalars())})", "OPTIMIZE {t} FULL",
                        "REORG TABLE {t} APPLY (PURGE)", "where", "restore", "restore"])
        if how == "restore" and self.set.get("delta.appendOnly") == "true":  # Spark's takes rows away all the same, against the protocol
            return "OPTIMIZE {t}"
        if how == "restore":
            return f"RESTORE TABLE {{t}} TO VERSION AS OF ‹{self.dice.randrange(self.points)}›"
        if how == "where":
            return f"OPTIMIZE {{t}} WHERE {self.partition[0]} = {self.value(self.columns[self.partition[0]], self.partition[0])}" if self.partition else "OPTIMIZE {t}"
        return how

    def replace(self):
        """Spark refuses to when there is a change feed and a column goes or changes its name."""
        if self.set.get("delta.enableChangeDataFeed") == "true":
            return self.insert()
        return self.create(replace=True).replace("'delta.enableChangeDataFeed' = 'true'", "'delta.enableChangeDataFeed' = 'false'")

    def clone(self):
        return "CLONE"

    def next(self):
        kinds = {self.travel: 3, self.insert: 22, self.overwrite: 8, self.update: 14, self.delete: 8, self.merge: 20, self.alter: 14, self.properties: 8,
                 self.upkeep: 10, self.replace: 2, self.clone: 2}
        return self.dice.choices(list(kinds), list(kinds.values()))[0]()

    def learn(self, metadata, points):
        """What the table is now. `points`: how many states it had: RESTORE names one as ‹n›."""
        self.points, self.set = points, metadata["configuration"]
        schema = json.loads(metadata["schemaString"])
        self.columns = {f["name"]: sql_type(f["type"]) for f in schema["fields"]}
        self.partition = metadata["partitionColumns"]
        self.generated = {f["name"] for f in schema["fields"] if "delta.generationExpression" in f["metadata"]}
        self.checks = [k.removeprefix("delta.constraints.") for k in metadata["configuration"] if k.startswith("delta.constraints.")]


NESTED = ("STRUCT", "ARRAY", "MAP")


def fields_of(struct):
    """The fields of "STRUCT<a: INT, b: STRUCT<c: INT>>", to their types."""
    parts, depth, text = [], 0, struct.removeprefix("STRUCT<").removesuffix(">")
    for char in text:
        depth += (char in "<(") - (char in ">)")
        if not parts or char == "," and depth == 0:
            parts.append("")
        parts[-1] += "" if char == "," and depth == 0 else char
    return {name.strip(): kind.strip() for name, _, kind in (p.partition(":") for p in parts)}


def duck_type(kind):
    """DuckDB's name of a type."""
    if kind.startswith("STRUCT"):
        return "STRUCT(" + ", ".join(f"{f} {duck_type(k)}" for f, k in fields_of(kind).items()) + ")"
    if kind.startswith("ARRAY"):
        return duck_type(kind.removeprefix("ARRAY<")[:-1]) + "[]"
    if kind.startswith("MAP"):
        key, value = kind.removeprefix("MAP<")[:-1].split(", ", 1)
        return f"MAP({duck_type(key)}, {duck_type(value)})"
    return {"BINARY": "BLOB", "TIMESTAMP": "TIMESTAMPTZ", "TIMESTAMP_NTZ": "TIMESTAMP"}.get(kind, kind)


def sql_type(kind):
    if isinstance(kind, dict):
        if kind["type"] == "struct":
            return "STRUCT<" + ", ".join(f"{f['name']}: {sql_type(f['type'])}" for f in kind["fields"]) + ">"
        if kind["type"] == "map":
            return f"MAP<{sql_type(kind['keyType'])}, {sql_type(kind['valueType'])}>"
        return f"ARRAY<{sql_type(kind['elementType'])}>"
    return {"integer": "INT", "long": "BIGINT", "short": "SMALLINT"}.get(kind, kind.upper())
