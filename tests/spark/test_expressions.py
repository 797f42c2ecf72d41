"""What test_table_expressions.py says that Spark's values are, and random expressions by both."""
import json
from decimal import Decimal

import pytest

from lib.expressions import COLUMNS, EXPRESSIONS, NAMES, OURS, SPARK
from lib.random_expressions import Expressions
from lib.spark import Log, SparkError, plain

pytestmark = pytest.mark.spark
SOURCE = f"(SELECT * FROM VALUES ({SPARK}) AS x({NAMES}))"
AT_ONCE = 20


def test_spark_has_these_values(spark):
    answers = [(e, spark.run(f"SELECT {e} FROM {SOURCE}")) for e, _, _ in EXPRESSIONS]
    assert [(e, a.types[0].upper(), a.rows[0][0]) for e, a in answers] == EXPRESSIONS


@pytest.mark.parametrize("seed", range(1, 4))
def test_random_expressions_have_the_values_of_spark(spark, sluice, tmp_path, seed):
    """In generated columns of one row; what Spark has no value for is passed over."""
    random, asked = Expressions(seed), []
    while len(asked) < 3 * AT_ONCE:
        expression = random.any()
        try:
            answer = spark.run(f"SELECT {expression} FROM {SOURCE}")
        except SparkError:
            continue
        asked.append((expression, answer.types[0], answer.rows[0][0]))
    for at in range(0, len(asked), AT_ONCE):
        some = asked[at:at + AT_ONCE]
        generated = ", ".join(f"g{i} {kind} GENERATED ALWAYS AS ({e})" for i, (e, kind, _) in enumerate(some))
        lake = tmp_path / f"lake{at}"
        lake.mkdir()
        ran = sluice.run("sql", lake, "--format", "json", "-c", f"CREATE TABLE t ({COLUMNS}, {generated}); INSERT INTO t ({NAMES}) VALUES ({OURS}); FROM t")
        (row,) = [json.loads(line, parse_float=Decimal) for line in ran.out.splitlines() if '"g0"' in line]
        (log,) = lake.rglob("_delta_log")
        kinds = {f["name"]: f["type"] for f in Log(log.parent).schema()["fields"]}
        ours = [(e, plain(kinds[f"g{i}"], row[f"g{i}"])) for i, (e, _, _) in enumerate(some)]
        assert ours == [(e, plain(kinds[f"g{i}"], v) if kind.upper() in ("DOUBLE", "FLOAT") else v) for i, (e, kind, v) in enumerate(some)]
