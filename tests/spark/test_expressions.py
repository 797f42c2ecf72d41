"""What test_table_expressions.py says that Spark's values are."""
import pytest

from lib.expressions import COLUMNS, EXPRESSIONS, SPARK

pytestmark = pytest.mark.spark
NAMES = ", ".join(c.split()[0] for c in COLUMNS.replace("10,2", "10.2").replace("STRING, INT", "STRING. INT").split(", "))


def test_spark_has_these_values(spark):
    source = f"(SELECT * FROM VALUES ({SPARK}) AS x({NAMES}))"
    answers = [(e, spark.run(f"SELECT {e} FROM {source}")) for e, _, _ in EXPRESSIONS]
    assert [(e, a.types[0].upper(), a.rows[0][0]) for e, a in answers] == EXPRESSIONS
