"""What the lake ought to hold: the source's rows, by the documented mapping of types, and a readable difference."""
from collections import Counter

from .lake import Table
from .values import from_pg

SCALAR = {"bool": "boolean", "int2": "short", "int4": "integer", "int8": "long", "oid": "long", "xid": "long",
          "cid": "long", "float4": "float", "float8": "double", "date": "date", "timestamp": "timestamp_ntz",
          "timestamptz": "timestamp", "bytea": "binary"}

COLUMNS = """
WITH RECURSIVE base AS (
    SELECT a.attnum, a.attname, a.atttypid AS oid, a.atttypmod AS typmod, t.typtype, t.typbasetype, t.typtypmod
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  UNION ALL
    SELECT b.attnum, b.attname, b.typbasetype, CASE WHEN b.typmod >= 0 THEN b.typmod ELSE b.typtypmod END,
           t.typtype, t.typbasetype, t.typtypmod
    FROM base b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd')
SELECT attname, t.typname, typmod, e.typname
FROM base JOIN pg_type t ON t.oid = base.oid
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typlen = -1 AND t.typsubscript = 'array_subscript_handler'::regproc
WHERE base.typtype <> 'd' ORDER BY attnum
"""
# Before 14 there is no typsubscript; a true array then is what is another type's typarray.
COLUMNS_13 = COLUMNS.replace("AND t.typlen = -1 AND t.typsubscript = 'array_subscript_handler'::regproc",
                             "AND e.typarray = t.oid")


def _scalar(name, typmod):
    if name == "numeric" and typmod >= 4:
        precision, scale = (typmod - 4) >> 16, (((typmod - 4) & 0x7FF) ^ 1024) - 1024
        if 1 <= precision <= 38 and 0 <= scale <= precision:
            return f"decimal({precision},{scale})"
    return SCALAR.get(name, "string")


def kinds_of(conn, table):
    """Column name -> Delta type that it lands in, in the order of the columns."""
    query = COLUMNS if conn.info.server_version >= 140000 else COLUMNS_13
    return {column: ("array", _scalar(elem, typmod)) if elem else _scalar(name, typmod)
            for column, name, typmod, elem in conn.execute(query, [table]).fetchall()}


def quoted(table):
    schema, _, name = table.rpartition(".")
    return f'"{schema or "public"}"."{name}"'


def read_source(conn, table):
    """The rows of the table as the connection's transaction sees them."""
    name = quoted(table)
    kinds = kinds_of(conn, name)
    # COPY gives each value exactly as its type's output function prints it (a cast would trim char(n)).
    columns = ", ".join('"%s"' % c.replace('"', '""') for c in kinds)
    with conn.cursor().copy(f"COPY (SELECT {columns} FROM {name}) TO STDOUT") as copy:
        rows = [tuple(from_pg(k, v) for k, v in zip(kinds.values(), row)) for row in copy.rows()] if kinds else []
    return Table(list(kinds), rows)


def read_sources(db, tables):
    """All tables in one snapshot: table -> Table."""
    with db.connect() as conn:
        conn.execute("SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; "
                     "SET extra_float_digits = 1; SET bytea_output = 'hex'")
        with conn.transaction():
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return {t: read_source(conn, t) for t in tables}


def hashable(value):
    return tuple(map(hashable, value)) if isinstance(value, list) else value


def difference(source, lake, key=("id",), limit=8):
    """None when both hold the same columns and the same rows as often; else a text that names what differs."""
    lines = []
    if set(source.columns) != set(lake.columns):
        lines.append(f"columns: only source {sorted(set(source.columns) - set(lake.columns))}, "
                     f"only lake {sorted(set(lake.columns) - set(source.columns))}")
    shared = [c for c in source.columns if c in lake.columns]
    ours = Counter(hashable([r[source.columns.index(c)] for c in shared]) for r in source.rows)
    theirs = Counter(hashable([r[lake.columns.index(c)] for c in shared]) for r in lake.rows)
    if ours != theirs:
        lines.append(f"rows: source {len(source.rows)}, lake {len(lake.rows)}")
        lines += _explain(ours - theirs, theirs - ours, shared, [c for c in key if c in shared], limit)
    return "\n".join(lines) or None


def _explain(missing, extra, columns, key, limit):
    """Rows with the same key on both sides are told column by column, the others as a whole."""
    def by_key(rows):
        return {tuple(r[columns.index(c)] for c in key) if key else r: r for r in rows}

    def brief(value):
        text = repr(value)
        return text if len(text) < 80 else f"{text[:60]}… ({len(text)} characters)"

    want, have = by_key(missing), by_key(extra)
    out = []
    for k in list(want)[:limit]:
        if key and k in have:
            cells = [f"{c}: source {brief(a)}, lake {brief(b)}"
                     for c, a, b in zip(columns, want[k], have[k]) if a != b] or ["held more than once"]
            out.append(f"  {dict(zip(key, k))}: {'; '.join(cells)}")
        else:
            out.append(f"  only in the source ({missing[want[k]]}x): {brief(dict(zip(columns, want[k])))}")
    for k in [k for k in have if k not in want][:limit]:
        out.append(f"  only in the lake ({extra[have[k]]}x): {brief(dict(zip(columns, have[k])))}")
    rest = len(missing) + len(extra)
    return out + ([f"  … {rest} rows differ in all"] if rest > limit else [])


def primary_key(db, table):
    rows = db.sql(f"""SELECT a.attname FROM pg_index i JOIN pg_attribute a
                      ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
                      WHERE i.indrelid = '{quoted(table)}'::regclass AND i.indisprimary""")
    return tuple(r[0] for r in rows)


def assert_equal(db, lake, tables, readers=("delta-rs",), sources=None, versions=None):
    """Asserts that the tables are equal in source and lake, by every reader. `sources` are what read_sources gave at
    an earlier moment (default: now), `versions` the tables' versions then. Returns the number of rows compared."""
    sources = sources or read_sources(db, tables)
    compared, found = 0, []
    for t in tables:
        for reader in readers:
            version = versions[t] if versions else None
            diff = difference(sources[t], lake.read(t, version, reader), primary_key(db, t))
            if diff:
                found.append(f"{t} at version {version if version is not None else lake.version(t)}, "
                             f"read by {reader}:\n{diff}")
            compared += len(sources[t].rows)
    assert not found, "the lake differs from the source\n" + "\n".join(found)
    return compared
