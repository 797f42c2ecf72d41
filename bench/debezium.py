"""Debezium with Kafka as a peer: one broker (KRaft) and one Connect worker, as their images set them up.

The jars come from Maven Central at the first use, into the cache where the project's other dependencies are. Needs java
17 and mvn. The worker runs in standalone mode: the same task and converters as in a cluster of one, less to start.
"""
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lib.pg import CACHE, free_port
from measure import cpu_of, memory_of

KAFKA, DEBEZIUM = "3.9.1", "3.2.2.Final"
POM = Path(__file__).resolve().parent / "debezium_pom.xml"
JVM = ["-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
       "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true"]  # what Kafka's start scripts set
SERVER = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={home}/kafka
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
"""
WORKER = """bootstrap.servers=127.0.0.1:{port}
listeners=http://127.0.0.1:{rest}
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
offset.storage.file.filename={home}/offsets
offset.flush.interval.ms=1000
plugin.path={plugins}
"""
CONNECTOR = """name=peer
connector.class=io.debezium.connector.postgresql.PostgresConnector
tasks.max=1
plugin.name=pgoutput
database.hostname=127.0.0.1
database.port={pg_port}
database.user=postgres
database.dbname={database}
topic.prefix=peer
slot.name={slot}
publication.name={publication}
publication.autocreate.mode=disabled
table.include.list=public.ev
snapshot.mode=no_data
"""
LOG = """log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
"""


def jars(profile, version):
    """The folder of a profile's jars, fetched when it is not there."""
    folder = CACHE / "peers" / f"{profile}-{version}"
    if folder.exists():
        return folder
    for program in ("java", "mvn"):
        if not shutil.which(program):
            raise RuntimeError(f"--debezium needs {program} (Debian: openjdk-17-jre-headless, maven)")
    print(f"  fetching {profile} {version} from Maven Central", file=sys.stderr)
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    subprocess.run(["mvn", "-q", "-B", "-f", POM, f"-P{profile}", f"-Dkafka.version={KAFKA}",
                    f"-Ddebezium.version={DEBEZIUM}", "dependency:copy-dependencies",
                    f"-DoutputDirectory={part}/{profile}", "-DincludeScope=runtime"], check=True)
    part.rename(folder)
    return folder


class Debezium:
    def __init__(self, home, pg_port, database, slot, publication):
        self.home, self.processes = Path(home), []
        kafka, plugin = jars("kafka", KAFKA), jars("debezium", DEBEZIUM)
        names = {"home": home, "port": free_port(), "controller": free_port(), "rest": free_port(), "plugins": plugin,
                 "pg_port": pg_port, "database": database, "slot": slot, "publication": publication}
        for name, text in (("server", SERVER), ("worker", WORKER), ("connector", CONNECTOR), ("log4j", LOG)):
            (self.home / f"{name}.properties").write_text(text.format(**names), encoding="utf-8")
        self.java = ["java", *JVM, f"-Dlog4j.configuration=file:{home}/log4j.properties", "-cp", f"{kafka}/kafka/*"]
        self.port = names["port"]

    def start(self):
        server = str(self.home / "server.properties")
        subprocess.run([*self.java, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", server],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._run("kafka", ["-Xms1G", "-Xmx1G"], "kafka.Kafka", server)
        self._run("connect", ["-Xms256M", "-Xmx2G"], "org.apache.kafka.connect.cli.ConnectStandalone",
                  str(self.home / "worker.properties"), str(self.home / "connector.properties"))
        return self

    def _run(self, name, heap, main, *args):
        with open(self.home / f"{name}.log", "ab") as log:
            self.processes.append(subprocess.Popen([self.java[0], *heap, *self.java[1:], main, *args], stdout=log,
                                                   stderr=log, stdin=subprocess.DEVNULL))

    def cpu(self):
        """CPU seconds of both processes by now."""
        for p in self.processes:
            if p.poll() is not None:
                raise RuntimeError("a process of the peer ended:\n" + self.log_tail())
        return sum(cpu_of(p.pid) for p in self.processes)

    def memory(self):
        return sum(memory_of(p.pid).get("VmHWM", 0) for p in self.processes)

    def log_tail(self):
        return "\n".join(f.read_text(encoding="utf-8", errors="replace")[-2000:] for f in self.home.glob("*.log"))

    def wait_for_slot(self, conn, slot, lsn, deadline=600):
        """Until the connector has confirmed what is up to `lsn`; returns (time, CPU seconds) of then."""
        end = time.monotonic() + deadline
        while not conn.execute("SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s",
                               [lsn, slot]).fetchone()[0]:
            if time.monotonic() > end:
                raise RuntimeError("the peer did not get there:\n" + self.log_tail())
            self.cpu()
            time.sleep(0.1)
        return time.monotonic(), self.cpu()

    def stop(self):
        for p in reversed(self.processes):
            p.terminate()
        for p in self.processes:
            try:
                p.wait(30)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
