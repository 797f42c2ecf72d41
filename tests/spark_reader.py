"""Reads every table of a lake with Spark, in Spark's own Python: prints {table: {"rows", "history", "features"}} as JSON."""
import json
import os
import sys

import delta
from pyspark.sql import SparkSession

SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.driver.memory": "1g",
}


def read(spark, path):
    rows = [row.asDict(recursive=True) for row in spark.sql(f"SELECT * FROM delta.`{path}`").collect()]
    history = spark.sql(f"DESCRIBE HISTORY delta.`{path}`").select("version", "operation").collect()
    detail = spark.sql(f"DESCRIBE DETAIL delta.`{path}`").collect()[0]
    return {"rows": rows, "history": [list(h) for h in history], "features": detail.tableFeatures,
            "clustering": detail.clusteringColumns}


def main():
    builder = SparkSession.builder.master("local[1]")
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    spark = delta.configure_spark_with_delta_pip(builder).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    schema = os.path.join(sys.argv[1], "public")
    tables = {name: read(spark, os.path.join(schema, name)) for name in sorted(os.listdir(schema))
              if os.path.isdir(os.path.join(schema, name, "_delta_log"))}
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        json.dump(tables, out, default=str)


main()
