"""Functions of variants over random JSON, by Spark and by us."""
import json
import random

import pytest

from lib.spark import SparkError

pytestmark = pytest.mark.spark
NUMBERS = ("0", "-0", "1", "-129", "32768", "2147483648", "9223372036854775807", "9223372036854775808", "1.5", "-0.10", "100.00", "1e3", "1E-2", "1.5e300", "12345678.9",
           "123456789012345678901234567890", "0.1234567890123456789", "999999999999999999999999999999999999999")
TEXTS = ("", "a", "12", "1.5", "true", "null", " x ", "é", "\U0001f600", 'a"b\\\n', "2024-05-06", "2024-05-06 01:02:03", "2024-05-06T01:02:03.5Z", "1e3")
STEPS = (".a", ".b", ".A", "[0]", "[1]", '["x y"]', "['a']")
ASKED = ("to_json(parse_json({json}))", "schema_of_variant(parse_json({json}))", "is_variant_null(variant_get(parse_json({json}), {path}, 'variant'))",
         *(f"{tries}variant_get(parse_json({{json}}), {{path}}, '{kind}')" for kind in ("string", "int", "bigint", "boolean", "date") for tries in ("", "try_")))


def document(rng, depth):
    dice = rng.random()
    if depth == 0 or dice < .45:
        return rng.choice((rng.choice(NUMBERS), json.dumps(rng.choice(TEXTS)), "true", "false", "null"))
    if dice < .75:
        return "{" + ", ".join(f'"{name}":{document(rng, depth - 1)}' for name in rng.sample(("a", "b", "x y", "é", "0"), rng.randint(0, 4))) + "}"
    return "[" + ",".join(document(rng, depth - 1) for _ in range(rng.randint(0, 4))) + "]"


def literal(text, backslash):
    return "'" + text.replace("\\", backslash).replace("'", "\\'" if backslash == "\\\\" else "''") + "'"


@pytest.mark.parametrize("seed", range(1, 4))
def test_random_variants(spark, sluice, seed):
    rng, asked, expected = random.Random(seed), [], []
    while len(asked) < 150:
        form, json_text, path = rng.choice(ASKED), document(rng, 3), "$" + "".join(rng.choices(STEPS, k=rng.randint(0, 3)))
        by_spark, ours = (form.format(json=literal(json_text, b), path=literal(path, b)) for b in ("\\\\", "\\"))
        try:
            value = spark.run(f"SELECT CAST({by_spark} AS STRING)").rows[0][0]
        except SparkError:  # it has no such value
            assert sluice.run("sql", "-c", f"SELECT {ours}", code=None).code, ours
            continue
        asked.append(ours)
        expected.append(value)
    found = [json.loads(line)["x"] for line in sluice.run("sql", "--format", "json", "-c", "; ".join(f"SELECT ({a})::VARCHAR AS x" for a in asked)).out.splitlines()]
    assert list(zip(asked, found)) == list(zip(asked, expected))
