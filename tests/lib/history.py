"""A table of changes (--history), folded into the state that they lead to."""
from collections import Counter

from .lake import Table
from .oracle import hashable

ORDER = {"read": 0, "delete": 1}  # at one place: the old key goes before the new row comes


def place(row):
    return (*(int(x, 16) for x in row["__lsn"].split("/")), row["__ordinal"])


def fold(changes, key):
    """The rows after all changes. `key`: the columns that name a row; () where old rows are whole."""
    columns = [c for c in changes.columns if not c.startswith("__")]
    by_key, whole, gone = {}, Counter(), {}
    for row in sorted(changes.dicts(), key=lambda r: (place(r), ORDER.get(r["__op"], 2))):
        values = {c: row[c] for c in columns}
        name = tuple(hashable(row[c]) for c in key)
        if row["__op"] == "truncate":
            by_key, whole = {}, Counter()
        elif row["__op"] == "delete" and key:
            gone = {place(row): by_key.pop(name, None)}
        elif row["__op"] == "delete":
            whole[tuple(hashable(v) for v in values.values())] -= 1
        elif key:
            old = by_key.get(name) or gone.get(place(row)) or {}
            by_key[name] = {**values, **{c: old[c] for c in row["__unchanged"] or ()}}
        else:
            whole[tuple(hashable(v) for v in values.values())] += 1
    rows = [tuple(r.values()) for r in by_key.values()] if key else list(whole.elements())
    assert key or min(whole.values(), default=0) >= 0, "a row was deleted that was not there"
    return Table(columns, rows)
