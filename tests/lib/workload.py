"""A seeded random workload: every kind of change that logical replication knows, from several clients at once.

The clients contend for the same keys, so which rows exist depends on the machine; what each client tries is the seed's.
A moment at which nobody writes is bracketed by two rows in the table `marker`: see moments().
"""
import random
import threading

import psycopg

from .oracle import read_sources
from .wait import wait_until

SCHEMA = """
CREATE TYPE wl_mood AS ENUM ('sad', 'so-so', 'glad');
CREATE TABLE marker (id int PRIMARY KEY);
CREATE TABLE wl_single (
    id bigint PRIMARY KEY, b boolean, i2 smallint, i4 integer, f4 real, f8 double precision, n numeric(12,2),
    nn numeric, t text, vc varchar(20), c char(5), by bytea, d date, ts timestamp, tz timestamptz, tm time,
    iv interval, u uuid, j json, jb jsonb, e wl_mood, ip inet, r int4range, ai int[], at text[]);
CREATE TABLE wl_comp (a int, b text, v int, note text, PRIMARY KEY (a, b));
CREATE TABLE wl_toast (k text PRIMARY KEY, payload text, n int, extra bytea);
ALTER TABLE wl_toast ALTER payload SET STORAGE EXTERNAL, ALTER extra SET STORAGE EXTERNAL;
CREATE TABLE wl_full (a int, b text, c numeric(10,2));
ALTER TABLE wl_full REPLICA IDENTITY FULL;
CREATE TABLE wl_pkfull (id int PRIMARY KEY, payload text, n int);
ALTER TABLE wl_pkfull REPLICA IDENTITY FULL;
ALTER TABLE wl_pkfull ALTER payload SET STORAGE EXTERNAL;
CREATE TABLE wl_index (id int NOT NULL, v text);
CREATE UNIQUE INDEX wl_index_id ON wl_index (id);
ALTER TABLE wl_index REPLICA IDENTITY USING INDEX wl_index_id;
CREATE TABLE wl_part (id int, day date NOT NULL, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE wl_part_1 PARTITION OF wl_part FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');
CREATE TABLE wl_part_2 PARTITION OF wl_part FOR VALUES FROM ('2024-07-01') TO ('2025-01-01');
CREATE TABLE wl_days (id int, n int, v text, big text, PRIMARY KEY (id, n)) PARTITION BY RANGE (n);
ALTER TABLE wl_days ALTER big SET STORAGE EXTERNAL;
CREATE TABLE wl_days_default PARTITION OF wl_days DEFAULT;
"""
DAYS = 4  # partitions of wl_days that are a client's own
DAY = "CREATE TABLE wl_days_{0} PARTITION OF wl_days FOR VALUES FROM ({0}) TO ({0} + 1)"
TABLES = ["wl_single", "wl_comp", "wl_toast", "wl_full", "wl_pkfull", "wl_index", "wl_part", "wl_days"]
KEYS = 300  # few, so that rows are hit often


class Client:
    """One connection and its own random numbers."""

    def __init__(self, db, rng, ddl, number, partitions):
        self.db, self.rng, self.ddl, self.truncates = db, rng, ddl, True
        self.days = [number * DAYS + i for i in range(DAYS)]
        self.resting = {}  # day -> transactions for which this client puts nothing into it
        self.partitions = partitions
        self.extra = {}  # table -> columns that this client added
        self.serial = 0
        self.conn = None

    # --- values

    def text(self, n=12):
        return "".join(self.rng.choice("abcdeé'\"\\\t\n,{}ñ漢 ") for _ in range(self.rng.randint(0, n)))

    def big(self):
        return "".join(self.rng.choices("abcdefghij", k=self.rng.randint(2500, 12000)))

    def maybe(self, value):
        return None if self.rng.random() < 0.1 else value

    def single(self):
        r = self.rng
        return {
            "b": r.random() < 0.5, "i2": r.randint(-2**15, 2**15 - 1), "i4": r.randint(-2**31, 2**31 - 1),
            "f4": r.choice(["0", "-0", "1.5", "NaN", "-Infinity", "3.4e38", "1e-40"]),
            "f8": r.choice(["0.1", "-0", "NaN", "Infinity", "1.7976931348623157e308", "5e-324", str(r.random())]),
            "n": f"{r.randint(-10**11, 10**11)}e-2", "nn": r.choice(["NaN", "1e200", "-0.00012300", str(r.random())]),
            "t": self.text(40), "vc": self.text(20), "c": r.choice(["", "a", "ab c", "abcde"]),
            "by": r.randbytes(r.randint(0, 30)), "d": r.choice(["0044-03-15 BC", "1582-10-10", "2024-02-29", "9999-12-31"]),
            "ts": r.choice(["0001-01-01 00:00:00", "1969-12-31 23:59:59.999999", "2024-02-29 12:00:00.1"]),
            "tz": r.choice(["1900-01-01 00:00:00+05:30", "2024-03-31 02:30:00 Europe/Berlin"]),
            "tm": r.choice(["00:00", "23:59:59.999999", "24:00"]),
            "iv": r.choice(["1 year 2 mons -3 days 04:05:06.7", "-1 day", "00:00:00"]),
            "u": f"{r.getrandbits(128):032x}", "j": '{"a" : [1,  2]}', "jb": '{"b":1, "a":[null, "x"]}',
            "e": r.choice(["sad", "so-so", "glad"]), "ip": r.choice(["10.0.0.1", "10.1.0.0/16", "::1"]),
            "r": r.choice(["[1,5)", "empty", "(,7]"]),
            "ai": [self.maybe(r.randint(-5, 5)) for _ in range(r.randint(0, 4))],
            "at": [self.maybe(self.text()) for _ in range(r.randint(0, 3))]}

    def key(self):
        return self.rng.randint(1, KEYS)

    def day(self):
        return f"2024-{self.rng.randint(1, 12):02d}-15"

    # --- statements; each may touch no row at all

    def upsert(self, table, key, row):
        row = {**key, **{c: self.maybe(v) for c, v in row.items()}, **self.extras(table)}
        names = ", ".join(row)
        casts = ", ".join(["%s"] * len(row))
        sets = ", ".join(f"{c} = excluded.{c}" for c in row if c not in key)
        self.conn.execute(f"INSERT INTO {table} ({names}) VALUES ({casts}) "
                          f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {sets}", list(row.values()))

    def extras(self, table):
        return {c: self.rng.randint(0, 99) for c in self.extra.get(table, []) if self.rng.random() < 0.7}

    def change_single(self):
        r = self.rng.random()
        if r < 0.5:
            self.upsert("wl_single", {"id": self.key()}, self.single())
        elif r < 0.8:
            row = self.single()
            some = self.rng.sample(list(row), 3)
            self.conn.execute(f"UPDATE wl_single SET {', '.join(f'{c} = %s' for c in some)} WHERE id = %s",
                              [*(row[c] for c in some), self.key()])
        elif r < 0.9:
            self.conn.execute("DELETE FROM wl_single WHERE id = %s", [self.key()])
        else:  # the primary key changes, perhaps to one that was there a moment ago
            self.conn.execute("UPDATE wl_single SET id = %(new)s WHERE id = %(old)s AND NOT EXISTS "
                              "(SELECT 1 FROM wl_single WHERE id = %(new)s)", {"old": self.key(), "new": self.key()})

    def change_comp(self):
        a, b = self.rng.randint(1, 20), self.rng.choice(["x", "y", "é", "", "z'"])
        if self.rng.random() < 0.6:
            self.upsert("wl_comp", {"a": a, "b": b}, {"v": self.key(), "note": self.text()})
        elif self.rng.random() < 0.5:
            self.conn.execute("DELETE FROM wl_comp WHERE a = %s AND b = %s", [a, b])
        else:
            self.conn.execute("UPDATE wl_comp SET a = a + 1000 WHERE a = %s AND a < 1000 AND b = %s", [a, b])

    def change_toast(self):
        k, r = f"key-{self.key() % 40}", self.rng.random()
        if r < 0.3:
            self.upsert("wl_toast", {"k": k}, {"payload": self.big(), "n": 0, "extra": self.rng.randbytes(5000)})
        elif r < 0.75:  # the large values are not touched, and so not sent
            self.conn.execute("UPDATE wl_toast SET n = n + 1 WHERE k = %s", [k])
        elif r < 0.85:  # one is touched, the other is not
            self.conn.execute("UPDATE wl_toast SET payload = %s WHERE k = %s", [self.big(), k])
        elif r < 0.93:  # the key changes while the large values are not sent
            self.conn.execute("UPDATE wl_toast SET k = %(new)s WHERE k = %(old)s AND NOT EXISTS "
                              "(SELECT 1 FROM wl_toast WHERE k = %(new)s)", {"old": k, "new": f"key-{self.key() % 40}"})
        else:
            self.conn.execute("DELETE FROM wl_toast WHERE k = %s", [k])

    def change_full(self):
        a, r = self.rng.randint(1, 30), self.rng.random()
        if r < 0.6:  # the same row may be there many times
            self.conn.execute("INSERT INTO wl_full VALUES (%s, %s, %s)",
                              [self.maybe(a), self.maybe("dup"), self.maybe("1.50")])
        elif r < 0.8:
            self.conn.execute("UPDATE wl_full SET c = c + 1 WHERE ctid = "
                              "(SELECT ctid FROM wl_full WHERE a = %s LIMIT 1)", [a])
        else:
            self.conn.execute("DELETE FROM wl_full WHERE ctid = (SELECT ctid FROM wl_full WHERE a = %s LIMIT 1)", [a])

    def change_others(self):
        r, k = self.rng.random(), self.key()
        if r < 0.25:
            self.upsert("wl_pkfull", {"id": k % 50}, {"payload": self.big(), "n": 1})
        elif r < 0.45:
            self.conn.execute("UPDATE wl_pkfull SET n = n + 1 WHERE id = %s", [k % 50])
        elif r < 0.6:
            self.upsert("wl_index", {"id": k}, {"v": self.text()})
        elif r < 0.7:
            self.conn.execute("DELETE FROM wl_index WHERE id = %s", [k])
        elif r < 0.9:
            self.upsert("wl_part", {"id": k, "day": self.day()}, {"v": self.text()})
        else:  # the row moves to another partition: a delete and an insert in the stream
            self.conn.execute("UPDATE wl_part SET day = %(day)s WHERE id = %(id)s AND NOT EXISTS "
                              "(SELECT 1 FROM wl_part WHERE id = %(id)s AND day = %(day)s)",
                              {"day": self.day(), "id": k})

    def change_days(self):
        open_days = [d for d in self.days if not self.resting.get(d)] + [-1]
        k, n, r = self.rng.randint(1, 40), self.rng.choice(open_days), self.rng.random()
        if r < 0.6:
            self.upsert("wl_days", {"id": k, "n": n}, {"v": self.text(), "big": self.big()})
        elif r < 0.8:  # the large value is not touched
            self.conn.execute("UPDATE wl_days SET v = %s WHERE id = %s", [self.text(), k])
        elif r < 0.9:
            self.conn.execute("UPDATE wl_days SET n = %(n)s WHERE id = %(id)s AND n = %(old)s AND NOT EXISTS "
                              "(SELECT 1 FROM wl_days WHERE id = %(id)s AND n = %(n)s)",
                              {"n": n, "id": k, "old": self.rng.choice(self.days)})
        else:
            self.conn.execute("DELETE FROM wl_days WHERE id = %s", [k])

    def drop_day(self):
        """The rows of a day go, and the stream says nothing of it. Mostly it stays empty for a while."""
        n, r = self.rng.choice(self.days), self.rng.random()
        if r < 0.4:
            self.conn.execute(f"TRUNCATE wl_days_{n}")
        else:
            with self.conn.transaction():
                if r < 0.8:
                    self.conn.execute(f"DROP TABLE wl_days_{n}")
                else:
                    self.conn.execute(f"ALTER TABLE wl_days DETACH PARTITION wl_days_{n}")
                    self.conn.execute(f"DROP TABLE wl_days_{n}")
                self.conn.execute(DAY.format(n))
        self.resting[n] = self.rng.choice([0, 1000, 5000, 20000])

    def change(self):
        self.rng.choice([self.change_single, self.change_comp, self.change_toast, self.change_full,
                         self.change_others, self.change_days])()

    # --- transactions

    def transaction(self):
        r = self.rng.random()
        self.resting = {d: n - 1 for d, n in self.resting.items() if n > 1}
        if self.partitions and self.rng.random() < 0.01:
            return self.drop_day()
        if self.ddl and r < 0.08:
            return self.alter()
        with self.conn.transaction():
            if r < 0.10 and self.truncates:
                self.conn.execute(f"TRUNCATE {self.rng.choice(['wl_comp', 'wl_index', 'wl_full', 'wl_part', 'wl_days'])}")
            if r < 0.16:  # large enough to be streamed while in progress
                self.conn.execute("INSERT INTO wl_single (id, t, i4) SELECT g, repeat(md5(g::text), 4), g "
                                  "FROM generate_series(%s::int, %s::int) g ON CONFLICT (id) DO UPDATE "
                                  "SET t = excluded.t, i4 = wl_single.i4 + 1", [1000, 1000 + self.rng.randint(500, 3000)])
            for _ in range(self.rng.randint(1, 12)):
                self.change()
                if self.rng.random() < 0.15:
                    self.savepoint()
            if self.rng.random() < 0.08:
                raise psycopg.Rollback()

    def savepoint(self):
        with self.conn.transaction():
            for _ in range(self.rng.randint(1, 4)):
                self.change()
            if self.rng.random() < 0.5:
                raise psycopg.Rollback()

    def alter(self):
        table = self.rng.choice(["wl_comp", "wl_single", "wl_index", "wl_part"])
        columns = self.extra.setdefault(table, [])
        r = self.rng.random()
        if r < 0.5 or not columns:
            self.serial += 1
            name = f"x{self.serial}"
            self.conn.execute(f"ALTER TABLE {table} ADD COLUMN {name} {self.rng.choice(['int', 'smallint', 'real'])}")
            columns.append(name)
        elif r < 0.65:
            name = columns[self.rng.randrange(len(columns))]
            self.conn.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
            columns.remove(name)
        elif r < 0.8:
            i = self.rng.randrange(len(columns))
            self.serial += 1
            self.conn.execute(f"ALTER TABLE {table} RENAME COLUMN {columns[i]} TO y{self.serial}")
            columns[i] = f"y{self.serial}"
        else:
            name = columns[self.rng.randrange(len(columns))]
            kind = self.conn.execute("SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = %s::regclass "
                                     "AND attname = %s", [table, name]).fetchone()[0]
            wider = {"smallint": "int", "integer": "bigint", "real": "double precision"}.get(kind)
            if wider:
                self.conn.execute(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {wider}")
        # The stream tells of a changed table only together with a row.
        k = self.key()
        if table == "wl_comp":
            self.upsert(table, {"a": k % 20, "b": "x"}, {"v": k})
        elif table == "wl_single":
            self.upsert(table, {"id": k}, {"i4": k})
        elif table == "wl_index":
            self.upsert(table, {"id": k}, {"v": "altered"})
        else:
            self.upsert(table, {"id": k, "day": self.day()}, {"v": "altered"})

    def run(self, transactions, stop):
        """Runs transactions; losing one to a deadlock, or the server to a crash, is part of the game."""
        done = 0
        while done < transactions and not stop.is_set():
            try:
                if self.conn is None or self.conn.closed or self.conn.broken:
                    self.conn = self.db.connect(connect_timeout=5)
                    self.conn.execute("SET lock_timeout = '5s'")
                self.transaction()
                done += 1
                stop.wait(self.rest)
            except (psycopg.OperationalError, psycopg.errors.UniqueViolation, psycopg.InternalError, psycopg.Rollback):
                done += 1
                stop.wait(0.05)
        if self.conn is not None:
            self.conn.close()
            self.conn = None


class Workload:
    """`partitions`: some are dropped or emptied alone, which the lake only follows a little later."""

    def __init__(self, db, seed, clients=3, ddl=False, partitions=False):
        self.db, self.tables, self.moment = db, list(TABLES), 0
        self.clients = [Client(db, random.Random(f"{seed}/{i}"), ddl and i == 0, i, partitions) for i in range(clients)]
        self.threads, self.stop, self.failures = [], threading.Event(), []

    def create(self):
        self.db.sql(SCHEMA, *[DAY.format(n) for c in self.clients for n in c.days])
        return self

    def start(self, transactions, truncates=True, rest=0):
        """Lets each client run that many transactions in the background, with `rest` seconds between two."""
        self.stop = threading.Event()
        for client in self.clients:
            client.truncates, client.rest = truncates, rest

        def run(client):
            try:
                client.run(transactions, self.stop)
            except Exception as e:  # a fault of the workload, not of what is tested
                self.failures.append(e)

        self.threads = [threading.Thread(target=run, args=[c], daemon=True) for c in self.clients]
        for t in self.threads:
            t.start()

    def join(self, stop=False):
        if stop:
            self.stop.set()
        for t in self.threads:
            t.join(120)
            assert not t.is_alive(), "a client of the workload hangs"
        self.threads = []
        if self.failures:
            raise self.failures[0]

    def run(self, transactions):
        self.start(transactions)
        self.join()

    def mark(self):
        self.moment += 1
        self.db.sql(f"INSERT INTO marker VALUES ({self.moment})")
        return self.moment

    def remember(self, pause):
        """Takes the source's state between two markers, while nobody writes: (first marker, rows of every table).

        `pause()` is called between them. Where the lake has a version of `marker` whose newest row is the first
        marker, an epoch ended within the pause, and every table at that version's position must hold these rows."""
        assert not self.threads
        first = self.mark()
        state = read_sources(self.db, self.tables)
        pause()
        self.mark()
        return first, state


def quiesce(workload, lake, process=None, deadline=90):
    """Waits until everything committed so far is in the lake. Two markers: the second is written when the first is
    there, so it is in a later epoch, and the first one's epoch is complete in all tables when it has arrived: but for
    those that had to be copied anew, which are waited for after each."""
    def going():
        return process is None or process.check()

    def is_there(marker):
        return going() and lake.exists("marker") and any(r[0] == marker for r in lake.read("marker").rows)

    def all_stream():
        tables = [t for t in lake.program.status(lake) if t["state"] in ("new", "copying", "quarantined")]
        aside = [f"{t['table']}: {t['reason']}" for t in tables if t["state"] == "quarantined"]
        assert not aside, "set aside: " + "; ".join(aside)
        return going() and not tables

    for _ in range(2):
        n = workload.mark()
        wait_until(lambda n=n: is_there(n), deadline, f"marker {n} in the lake")
        wait_until(all_stream, deadline, "all tables to stream")
