#!/usr/bin/env python3
"""Checks the rules that keep the source readable and that no compiler checks.

usage: tools/check_layers.py [ROOT]      (default: the repository this file is in)

Prints one line a violation, `path:line: what is wrong`, and exits 1 when there is one. The rules:

  layers    a file includes only its own layer and those before it in LAYERS, less what APART forbids; a layer of
            several folders keeps the order of PARTS
  libraries a third-party header appears only where WRAPPED allows it
  includes  a .c includes its own .h first (or its layer's internal.h, which includes that)
  extern    never in a .c: a shared name is declared in one header
  opening   every .c and .h opens with a comment
  sizes     function <= 70 lines, .c <= 800, .h <= 250
  places    no path of the machine it was written on
"""
import re
import subprocess
import sys
from pathlib import Path

LAYERS = ["base", "model", "codec", "engine", "store", "delta", "source", "spool", "sink", "view", "sql", "server",
          "pipeline", "cli"]

# Folders of a layer, in the order in which they may include one another (tests may look at all of them).
PARTS = {"delta": ["log", "index", "scan", "dml", "ddl", "upkeep"]}

# What a layer may not include although it comes before: the data path's parts are blind to each other, sql is pure.
APART = {
    "source": {"engine", "store", "delta"},
    "spool": {"source"},
    "sink": {"source", "spool"},
    "sql": {"codec", "engine", "store", "delta", "source", "spool", "sink", "view"},
}

# Header name (as included) -> regular expressions of the paths under src/ that may include it.
WRAPPED = [
    (r"duckdb\.h", [r"engine/"]),
    (r"libpq-fe\.h|postgres_ext\.h", [r"source/", r"sink/postgres\w*\.[ch]"]),
    (r"curl/.*", [r"store/"]),
    (r"librdkafka/.*", [r"source/kafka\w*\.c", r"sink/kafka\w*\.c"]),
    (r"microhttpd\.h", [r"server/"]),
    (r"editline/.*|histedit\.h", [r"cli/"]),
    (r"roaring/.*", [r"codec/", r"delta/"]),
]

MAX_FUNCTION, MAX_C, MAX_H = 70, 800, 250

MACHINE_PATHS = re.compile(r"/(?:work|root)/")
# The recorded fixtures of other systems lie outside the repository; only tests may look for them (and skip without).
FIXTURES = re.compile(r"\bshared/|\.\./shared\b")
MAY_NAME_FIXTURES = re.compile(r"(^tests/|^src/base/test_fixture\.h$|_test\.c$|_fuzz\.c$|^tools/check_layers\.py$|^\.ci/)")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def check_include(path, layer, name, quoted):
    """The complaint about one #include, or None. `path` is relative to src/."""
    for pattern, places in WRAPPED:
        if re.fullmatch(pattern, name):
            if any(re.match(place, path) for place in places):
                return None
            return f"{name} may only be included in {' or '.join(places)}"
    if not quoted:
        return None
    other = name.split("/")[0]
    if "/" not in name or other not in LAYERS:
        return f'"{name}": write "<layer>/<file>.h"'
    if layer == other and layer in PARTS and not path.endswith("_test.c"):
        mine, theirs = (PARTS[layer].index(p.split("/")[1]) for p in (path, name))
        if theirs > mine:
            return f"{PARTS[layer][mine]}/ includes {name}, and {PARTS[layer][theirs]}/ comes after it"
    if LAYERS.index(other) > LAYERS.index(layer):
        return f"{layer}/ includes {name}, and {other}/ comes after it"
    if other in APART.get(layer, ()):
        return f"{layer}/ includes {name}, and is meant to know nothing of {other}/"
    return None


def check_functions(lines):
    """Yields (line, text) for each function that is too long. The layout that clang-format enforces makes this exact:
    the braces of a function body, and no others, stand alone in the first column."""
    start = None
    for i, line in enumerate(lines):
        if line == "{":
            start = i
            while start > 0 and lines[start - 1].strip() and not lines[start - 1].startswith(("}", "#", "/", " *")):
                start -= 1
        elif line.startswith("}") and start is not None:
            size = i - start + 1
            if size > MAX_FUNCTION:
                yield start + 1, f"function of {size} lines (at most {MAX_FUNCTION}): {lines[start].strip()}"
            start = None


def check_source(root, file):
    """Yields (line, text) for each violation in one file below src/."""
    path = file.relative_to(root / "src").as_posix()
    layer = path.split("/")[0]
    if layer not in LAYERS:
        yield 1, f"src/{layer}/ is not a layer"
        return
    lines = file.read_text(encoding="utf-8").split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    if not lines or not lines[0].startswith("/*"):
        yield 1, "a file opens with a comment that says what it does"
    limit = MAX_H if file.suffix == ".h" else MAX_C
    if len(lines) > limit:
        yield limit + 1, f"file of {len(lines)} lines (at most {limit})"

    own, first = path[:-2] + ".h", True
    for i, line in enumerate(lines, 1):
        m = INCLUDE.match(line)
        if m:
            internal = m[2].startswith(f"{layer}/") and m[2].endswith("internal.h")
            if first and file.suffix == ".c" and file.with_suffix(".h").exists() and m[2] != own and not internal:
                yield i, f'the first include is "{own}", so that the header stands alone'
            first = False
            complaint = check_include(path, layer, m[2], m[1] == '"')
            if complaint:
                yield i, complaint
        elif file.suffix == ".c" and re.match(r"\s*extern\b", line):
            yield i, "extern in a .c: declare it in the header of the module that defines it"
    yield from check_functions(lines)


def check_places(root, file):
    """Yields (line, text) for each path of one machine in any file of the repository."""
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (UnicodeDecodeError, IsADirectoryError, FileNotFoundError):
        return
    name = file.relative_to(root).as_posix()
    for i, line in enumerate(lines, 1):
        if MACHINE_PATHS.search(line):
            yield i, "a path of the machine it was written on"
        if FIXTURES.search(line) and not MAY_NAME_FIXTURES.search(name):
            yield i, "only tests may name the folder of recorded fixtures"


def tracked_files(root):
    """The files git knows, or all files where there is no git."""
    git = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True)
    if git.returncode == 0 and git.stdout:
        return [root / p for p in git.stdout.decode().split("\0") if p]
    return [p for p in sorted(root.rglob("*")) if p.is_file()]


def check(root):
    """All violations as lines of text, and the number of files below src/ that were read."""
    found = []
    sources = sorted(p for p in (root / "src").rglob("*") if p.suffix in (".c", ".h"))
    for file in sources:
        found += [f"{file.relative_to(root)}:{line}: {text}" for line, text in check_source(root, file)]
    for file in tracked_files(root):
        found += [f"{file.relative_to(root)}:{line}: {text}" for line, text in check_places(root, file)]
    return found, len(sources)


def main():
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    found, count = check(root)
    print("\n".join(found) if found else f"check_layers: {count} files, no violation")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
