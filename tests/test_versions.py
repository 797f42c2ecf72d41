"""The same workload on the other versions of PostgreSQL that are supported."""
import os
import tempfile

import pytest

from lib.oracle import assert_equal
from lib.pg import Postgres, ServerAbsent, unpack_version
from lib.workload import Workload, quiesce


@pytest.mark.slow
@pytest.mark.parametrize("major", [13, 14, 16, 17, 18])
def test_random_workload(major, sluice, lake):
    with tempfile.TemporaryDirectory(prefix="sluice-pgbin-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        try:
            server = Postgres(unpack_version(major, folder)).start()
        except ServerAbsent as e:
            pytest.skip(str(e))
        try:
            db = server.create("w")
            workload = Workload(db, major, clients=2, ddl=True).create()
            workload.run(15)
            sync = sluice.start_sync(db.url, lake)
            workload.run(40)
            quiesce(workload, lake, sync)
            sync.term()
            assert_equal(db, lake, workload.tables, ("delta-rs", "sluice"))
        finally:
            sluice.stop_all()
            server.remove()
