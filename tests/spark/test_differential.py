"""The same random statements run by sluice on one table and by Spark on another: the same rows, schema, changes and
refusals at every version. SLUICE_SPARK_SEEDS=from:to chooses the seeds, SLUICE_SPARK_STATEMENTS how many statements each."""
import bisect
import collections
import json
import os
import re
from decimal import Decimal

import pytest

from lib.dialect import Statements
from lib.spark import Log, plain
from lib.twins import Twins, our_changes, our_rows, shape, spark_changes, spark_rows, unlike

pytestmark = pytest.mark.spark
ENABLED = "delta.inCommitTimestampEnablementVersion"
FROM, _, TO = os.environ.get("SLUICE_SPARK_SEEDS", "1:4").partition(":")
STATEMENTS = int(os.environ.get("SLUICE_SPARK_STATEMENTS", "40"))


def same_tables(twins):
    """Every state as sluice reads both, some as Spark does."""
    ours, theirs = Log(twins.ours), Log(twins.theirs)
    at = sorted(set(twins.points))
    mine = our_rows(twins.sluice, twins.ours, ours, {a for a, _ in at})
    other = our_rows(twins.sluice, twins.theirs, theirs, {b for _, b in at})
    for a, b in at:
        assert shape(ours.schema(a)) == shape(theirs.schema(b)), twins.story(f"schema at version {a} ({b})")
        for kind in ("metaData", "protocol"):
            mine_has, other_has = (told(log.last(kind, v), log, [p[i] for p in twins.points]) for i, (log, v) in enumerate(((ours, a), (theirs, b))))
            assert mine_has == other_has, twins.story(f"{kind} at version {a} ({b})\n{unlike(mine_has, other_has)}")
        assert mine[a] == other[b], twins.story(f"rows at version {a} ({b})")
    for a, b in {at[len(at) // 3], at[2 * len(at) // 3], at[-1]}:
        assert spark_rows(twins.spark, twins.theirs, b) == other[b], twins.story(f"what Spark wrote, read by sluice, at version {b}")
        assert spark_rows(twins.spark, twins.ours, a) == mine[a], twins.story(f"what sluice wrote, read by Spark, at version {a}")


def told(action, log, points):
    """What both must say of properties, partitions and features."""
    action = action | {"configuration": timed(action["configuration"], log, points)} if "configuration" in action else action
    squeezed = lambda v: {k: re.sub(r"\s", "", x) if k.startswith("delta.constraints.") else x for k, x in shape(v).items()}  # noqa: E731
    return {k: squeezed(v) if isinstance(v, dict) else sorted(v) if k.endswith("Features") else v for k, v in action.items()
            if k not in ("id", "createdTime", "schemaString")}


def timed(properties, log, points):
    """In-commit timestamps are told of since the version that switched them on, whose number becomes that of the statement:
    Spark takes more versions for some."""
    if ENABLED not in properties:
        return properties
    version, at = int(properties[ENABLED]), int(properties[ENABLED.replace("Version", "Timestamp")])
    switched = [log.last("metaData", v)["configuration"].get("delta.enableInCommitTimestamps") == "true" for v in (version - 1, version)]
    assert switched == [False, True] and log.info(version)["inCommitTimestamp"] == at, (properties, log.path)
    return properties | {ENABLED: f"statement {bisect.bisect_left(points, version)}"}


def same_row_ids(twins):
    """Ids differ where files do; both readers see the same."""
    for path in (twins.ours, twins.theirs):
        log = Log(path)
        if log.last("metaData")["configuration"].get("delta.enableRowTracking") == "true":
            done = twins.sluice.run("sql", "--format", "json", "-c", f"SELECT __row_id, id FROM delta_scan('{path}', row_ids => true)")
            (kind,) = (f["type"] for f in log.schema()["fields"] if f["name"] == "id")  # which may have become a wider one
            mine = sorted((r["__row_id"], plain(kind, r["id"])) for r in (json.loads(line, parse_float=Decimal) for line in done.out.splitlines()))
            assert mine == sorted(twins.spark.rows(f"SELECT _metadata.row_id, id FROM delta.`{path}`")), twins.story(f"row ids of {path.name}")


def same_changes(twins):
    """The change feed of every state that has one, told by sluice of both tables; of some, told by Spark as well."""
    ours, theirs = Log(twins.ours), Log(twins.theirs)
    steps = [(old, new) for old, new in zip(twins.points, twins.points[1:])
             if old[0] < new[0] and old[1] < new[1] and all(feed(log, p[i]) for p in (old, new) for i, log in enumerate((ours, theirs)))]
    for n, (old, new) in enumerate(steps):
        mine, other = (our_changes(twins.sluice, path, log, old[i] + 1, new[i])
                       for i, (path, log) in enumerate(((twins.ours, ours), (twins.theirs, theirs))))
        files = ours.info(new[0])["operation"] == "RESTORE"  # rows go and come with their files, and the two tables have others
        assert (net(mine) == net(other) if files else mine == other), twins.story(f"changes of version {new[0]} ({new[1]})")
        if n % max(1, len(steps) // 4) == 0:
            for i, (path, log, told) in enumerate(((twins.ours, ours, mine), (twins.theirs, theirs, other))):
                if log.schema(new[i]) == log.schema():  # Spark shows them with the columns of now
                    assert spark_changes(twins.spark, path, old[i] + 1, new[i]) == told, twins.story(f"changes of version {new[i]} of {path.name} as Spark reads it")


def net(changes):
    """Without rows that are deleted and inserted as they were."""
    count = collections.Counter()
    for *row, kind in changes:
        count[repr(row)] += {"insert": 1, "delete": -1}[kind]
    return {row: n for row, n in count.items() if n}


def feed(log, version):
    return log.last("metaData", version)["configuration"].get("delta.enableChangeDataFeed", "").lower() == "true"


def run_seed(sluice, spark, folder, seed, turns):
    make, twins = Statements(seed), Twins(sluice, spark, folder, seed)
    statement = make.create()
    for _ in range(STATEMENTS):
        log = twins.step(statement, sluice=not turns or make.chance(0.5))
        make.learn(log.last("metaData"), len(twins.points))
        statement = make.next()
    same_tables(twins)
    same_changes(twins)
    same_row_ids(twins)
    return twins


@pytest.mark.parametrize("seed", range(int(FROM), int(TO or FROM) + 1))
def test_the_same_statements_make_the_same_table(sluice, spark, tmp_path, seed):
    run_seed(sluice, spark, tmp_path, seed, turns=False)


@pytest.mark.parametrize("seed", range(int(FROM), int(TO or FROM) + 1))
def test_by_turns_on_one_table(sluice, spark, tmp_path, seed):
    run_seed(sluice, spark, tmp_path, f"turns {seed}", turns=True)
