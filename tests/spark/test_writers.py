"""Writers of three implementations on one directory: sluice, delta-rs and Spark, each in processes of their own."""
import math

import pytest

from lib.spark import SparkError
from lib.wait import wait_until
from test_concurrency import ROWS, DeltaRs, SluiceWriter, check
from test_dml import folder, sql  # noqa: F401

pytestmark = pytest.mark.spark
CLASH = ("DELTA_CONCURRENT", "DELTA_METADATA_CHANGED", "Concurrent")


class SparkWriter(SluiceWriter):
    """The same statements, one at a time, by a Spark of its own."""

    def __init__(self, number, until, path, spark):
        super().__init__(number, until, None)
        self.path, self.spark = path, spark

    def step(self):
        text, effect = ("OPTIMIZE t", ("nothing",)) if self.dice.random() < 0.1 else self.statement()
        text = text.replace("(VALUES ", "(SELECT * FROM (VALUES ").replace(") s(id, v)", ") AS x(id, v)) s")
        for words in ("FROM t", "UPDATE t", "OPTIMIZE t"):
            text = text.replace(words, words[:-1] + f"delta.`{self.path}` AS t" if words != "OPTIMIZE t" else f"OPTIMIZE delta.`{self.path}`")
        text = text.replace("INTO t USING", f"INTO delta.`{self.path}` AS t USING").replace("INSERT INTO t ", f"INSERT INTO delta.`{self.path}` ")
        try:
            said = self.spark.run(text).dicts()
            self.done.append((effect, said[0] if said else None))
        except SparkError as e:
            assert any(c in str(e) for c in CLASH), str(e)[:2000]
            self.failed.append(text)


SHARE = {SluiceWriter: 60, SparkWriter: 6, DeltaRs: 15}  # statements that are to be committed


def enough(writers):
    """Stops each writer that has done its share (so that a slow one has the table to itself at last). True: all have."""
    for w in writers:
        if w.error or len(w.done) >= SHARE[type(w)]:
            w.until = 0
    return all(w.until == 0 for w in writers)


@pytest.mark.parametrize("vectors", ["true", "false"])
def test_sluice_spark_and_delta_rs_lose_nothing(sluice, folder, spark, tmp_path, vectors):  # noqa: F811
    """delta-rs writes no deletion vectors: with them it only appends."""
    sql(sluice, folder, f"CREATE TABLE t (id BIGINT, v BIGINT) TBLPROPERTIES ('delta.enableDeletionVectors' = '{vectors}')",
        *[f"INSERT INTO t SELECT i, 0 FROM range({lo}, {lo + ROWS // 8}) r(i)" for lo in range(0, ROWS, ROWS // 8)])
    path = folder.table_path("t")
    spark.run(f"SELECT count(*) FROM delta.`{path}`")  # awake
    writers = [SluiceWriter(0, math.inf, folder), SluiceWriter(1, math.inf, folder), SparkWriter(2, math.inf, path, spark),
               DeltaRs(3, math.inf, path, vectors == "false")]
    for w in writers:
        w.start()
    try:
        wait_until(lambda: enough(writers), 500, "each writer has committed its share")
    finally:
        for w in writers:
            w.until = 0
            print(type(w).__name__, "committed", len(w.done), "gave up", len(w.failed), w.failed[:3], w.error)
    check(sluice, folder, writers, ["delta-rs"])
    rows = dict(spark.rows(f"SELECT id, v FROM delta.`{path}`"))
    assert rows == {r["id"]: r["v"] for r in sql(sluice, folder, "SELECT * FROM t").rows()}
