"""One plain form for a value, whatever it was read from, so that two readers can be compared with ==.

    boolean, integers  bool, int                date           "2024-02-29", years as they are, "-0043-03-15" for 44 BC
    float, double      repr of every bit, but   timestamp_ntz  "2024-02-29T23:59:59.999999"
                       -0 is 0; "NaN"           timestamp      the same with Z
    decimal(p,s)       "12.50": s digits        binary         bytes
    string             str                      array          list

A type is Delta's: a name, or ("array", element).
"""
import base64
import math
import struct
from decimal import Decimal

DAY_US = 86400 * 1000000
I64 = range(-2**63, 2**63)


def civil_from_days(days):
    """Year, month, day of a number of days since 1970-01-01, for any year (Howard Hinnant's algorithm)."""
    days += 719468
    era, doe = divmod(days, 146097)
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    month = mp + 3 if mp < 10 else mp - 9
    return yoe + era * 400 + (month <= 2), month, doy - (153 * mp + 2) // 5 + 1


def days_from_civil(y, m, d):
    y -= m <= 2
    era, yoe = divmod(y, 400)
    doy = (153 * (m - 3 if m > 2 else m + 9) + 2) // 5 + d - 1
    return era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468


def day_text(days):
    y, m, d = civil_from_days(days)
    return f"{'-' if y < 0 else ''}{abs(y):04d}-{m:02d}-{d:02d}"


def us_text(us, zone=""):
    days, rest = divmod(us, DAY_US)
    seconds, us = divmod(rest, 1000000)
    return f"{day_text(days)}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{us:06d}{zone}"


def float_text(value, single=False):
    if math.isnan(value):
        return "NaN"
    if value == 0:  # equal for PostgreSQL and for Delta; DuckDB's dictionary keeps the sign of whichever came first
        return "0.0"
    if single:
        value = struct.unpack("f", struct.pack("f", value))[0]
    return repr(value)


def decimal_text(value, scale):
    return f"{Decimal(value):.{scale}f}"


def scale_of(kind):
    """decimal(12,2) -> 2"""
    return int(kind.rstrip(")").split(",")[1])


# --- from PostgreSQL's text, with DateStyle ISO and TimeZone UTC


def pg_days(text):
    """'0044-03-15 BC' -> days; None for infinity."""
    if text.endswith("infinity"):
        return None
    bc = text.endswith(" BC")
    y, m, d = map(int, text[:-3].split("-") if bc else text.split("-"))
    return days_from_civil(1 - y if bc else y, m, d)


def pg_us(text):
    """'2024-02-29 12:34:56.789+00' -> microseconds; None for infinity."""
    if text.endswith("infinity"):
        return None
    bc = " BC" if text.endswith(" BC") else ""
    day, clock = text.removesuffix(" BC").split(" ")
    clock = clock.removesuffix("+00")
    h, m, s = clock.split(":")
    s, _, fraction = s.partition(".")
    us = (int(h) * 3600 + int(m) * 60 + int(s)) * 1000000 + int((fraction + "000000")[:6])
    return pg_days(day + bc) * DAY_US + us


def pg_array(text):
    """'{1,NULL,"a b"}' -> ["1", None, "a b"]; None when it has more than one dimension or odd bounds."""
    if text.startswith("["):
        return None
    out, i, item, quoted = [], 1, "", False
    if text == "{}":
        return out
    while True:
        c = text[i]
        if c == "{" and not quoted:
            return None
        if c == '"':
            quoted, i = True, i + 1
            while text[i] != '"':
                i += text[i] == "\\"
                item += text[i]
                i += 1
        elif c in ",}":
            out.append(None if item == "NULL" and not quoted else item)
            item, quoted = "", False
            if c == "}":
                return out
        elif c == "\\":
            i += 1
            item += text[i]
        else:
            item += c
        i += 1


def from_pg(kind, text):
    """The value of PostgreSQL's text as it lands in Delta type `kind`; None also where it does not fit the type."""
    if text is None:
        return None
    if isinstance(kind, tuple):
        items = pg_array(text)
        if items is None:
            return None
        values = [from_pg(kind[1], t) for t in items]
        # One element that does not fit costs the whole array.
        fits = all(t is None or v is not None for v, t in zip(values, items))
        return values if fits else None
    if kind == "boolean":
        return text == "t"
    if kind in ("short", "integer", "long"):
        return int(text)
    if kind in ("float", "double"):
        return float_text(float(text), kind == "float")
    if kind.startswith("decimal"):
        return decimal_text(text, scale_of(kind)) if Decimal(text).is_finite() else None
    if kind == "binary":
        return bytes.fromhex(text.removeprefix("\\x"))
    if kind == "date":
        days = pg_days(text)
        return None if days is None else day_text(days)
    if kind in ("timestamp", "timestamp_ntz"):
        us = pg_us(text)
        return None if us is None or us not in I64 else us_text(us, "Z" if kind == "timestamp" else "")
    return text


# --- from Arrow


def from_arrow(column):
    """A pyarrow ChunkedArray -> list of values."""
    import pyarrow as pa

    return _from_arrow(pa, column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))


def _from_arrow(pa, array):
    t, types = array.type, pa.types
    if types.is_list(t) or types.is_large_list(t) or types.is_list_view(t):
        values, out, at = _from_arrow(pa, array.flatten()), [], 0
        for n in array.value_lengths().to_pylist():
            out.append(None if n is None else values[at:at + n])
            at += n or 0
        return out
    if types.is_date32(t):
        return [v if v is None else day_text(v) for v in array.cast(pa.int32()).to_pylist()]
    if types.is_timestamp(t):
        zone = "Z" if t.tz else ""
        return [v if v is None else us_text(v, zone)
                for v in array.cast(pa.timestamp("us", t.tz)).cast(pa.int64()).to_pylist()]
    if types.is_floating(t):
        return [v if v is None else float_text(v) for v in array.to_pylist()]
    if types.is_decimal(t):
        return [v if v is None else decimal_text(v, t.scale) for v in array.to_pylist()]
    return array.to_pylist()


# --- from the JSON of `sluice sql --format json`


def from_json(kind, value):
    """`value` is parsed with parse_float=Decimal."""
    if value is None:
        return None
    if isinstance(kind, tuple):
        return [from_json(kind[1], v) for v in value]
    if kind in ("float", "double"):
        return float_text(float(value), kind == "float")
    if kind.startswith("decimal"):
        return decimal_text(value, scale_of(kind))
    if kind == "binary":
        return base64.b64decode(value)
    if kind in ("timestamp", "timestamp_ntz"):
        zone = "Z" if kind == "timestamp" else ""
        head, _, fraction = value.removesuffix("Z").replace(" ", "T").partition(".")
        assert value.endswith("Z") == bool(zone), f"{value!r} as {kind}"
        return f"{head}.{(fraction + '000000')[:6]}{zone}"
    return value
