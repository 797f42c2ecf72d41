"""Spark with Delta Lake behind a pipe, run by Spark's own Python (tests/lib/spark.py starts it; nothing of the project is imported).

A line of JSON in, {"sql": statement, "raw": bool}; a line out: {"columns", "types", "rows"} or {"error": class, "message"}.
Values of rows are plain JSON: decimals and dates as text, bytes as hex, timestamps in ISO 8601 with six digits (Z: with
a zone), floats by repr, variants as JSON, maps as sorted [[key, value], …]. The JVM's own words go to standard error.
"""
import datetime
import decimal
import json
import os
import sys

from pyspark.sql import SparkSession
from pyspark.sql import types as t

SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.log.level": "ERROR",
    # Small tables: what costs is the planning, not the rows.
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "1",
}


def plain(value, kind):
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(kind, t.StructType):
        return {f.name: plain(value[i], f.dataType) for i, f in enumerate(kind.fields)}
    if isinstance(kind, t.ArrayType):
        return [plain(v, kind.elementType) for v in value]
    if isinstance(kind, t.MapType):
        return sorted(([plain(k, kind.keyType), plain(v, kind.valueType)] for k, v in value.items()), key=repr)
    if isinstance(value, float):
        return repr(value).replace("nan", "NaN").replace("inf", "Infinity")
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, datetime.datetime):
        if isinstance(kind, t.TimestampType):  # Python shows it in its own zone
            return value.astimezone(datetime.timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
        return value.isoformat(timespec="microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    return variant(value.toJson()) if hasattr(value, "toJson") else str(value)


def variant(text):
    """JSON in one form, numbers by value. A null is None, as it is to sluice's JSON."""
    number = lambda digits: "n" + str(decimal.Decimal(digits).normalize())  # noqa: E731
    value = json.loads(text, parse_float=number, parse_int=number)
    return None if value is None else "variant " + json.dumps(value, sort_keys=True)


def answer(spark, sql):
    try:
        frame = spark.sql(sql)
        fields = frame.schema.fields
        rows = [[plain(row[i], f.dataType) for i, f in enumerate(fields)] for row in (frame.collect() if fields else [])]
        return {"columns": [f.name for f in fields], "types": [f.dataType.simpleString() for f in fields], "rows": rows}
    except Exception as e:  # the caller decides whether it was to fail
        condition = getattr(e, "getCondition", None)
        name = condition() if condition else None
        return {"error": name or type(e).__name__, "message": str(e).split("\n\tat ")[0][:3000]}


def main():
    os.environ["TZ"] = "UTC"
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever the JVM prints
    builder = SparkSession.builder.master("local[1]").appName("sluice")
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    for line in sys.stdin:
        out.write(json.dumps(answer(spark, json.loads(line)["sql"])) + "\n")
        out.flush()
    spark.stop()


main()
