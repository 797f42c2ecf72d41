"""tools/check_layers.py finds what it is there to find: each rule is broken once in a tree of its own."""
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parent.parent / "tools" / "check_layers.py"


def check(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = subprocess.run([sys.executable, str(TOOL), str(root)], capture_output=True, text=True)
    return done.returncode, done.stdout


def test_a_clean_tree_passes(tmp_path):
    code, out = check(tmp_path, {
        "src/base/a.h": "/* A. */\nint a(void);\n",
        "src/model/b.h": "/* B. */\n",
        "src/model/b.c": '/* B. */\n#include "model/b.h"\n\n#include "base/a.h"\n\nint b(void)\n{\n    return a();\n}\n',
        "src/engine/c.c": "/* C. */\n#include <duckdb.h>\n",
        "src/cli/d.c": '/* D. */\n#include "model/b.h"\n',
    })
    assert code == 0, out


LONG = "/* A. */\nint f(void)\n{\n" + "    f();\n" * 68 + "}\n"  # 71 lines


@pytest.mark.parametrize("name, text, complaint", [
    ("src/base/x.c", '/* X. */\n#include "model/b.h"\n', "src/base/x.c:2: base/ includes model/b.h"),
    ("src/source/x.c", '/* X. */\n#include "spool/b.h"\n', "spool/ comes after it"),
    ("src/spool/x.c", '/* X. */\n#include "source/b.h"\n', "know nothing of source/"),
    ("src/sink/x.c", '/* X. */\n#include "spool/b.h"\n', "know nothing of spool/"),
    ("src/sql/x.c", '/* X. */\n#include "engine/b.h"\n', "know nothing of engine/"),
    ("src/codec/x.c", '/* X. */\n#include "duckdb.h"\n', "duckdb.h may only be included in engine/"),
    ("src/spool/x.c", "/* X. */\n#include <libpq-fe.h>\n", "libpq-fe.h may only"),
    ("src/engine/x.c", "/* X. */\n#include <curl/curl.h>\n", "curl/curl.h may only"),
    ("src/source/pg.c", "/* X. */\n#include <librdkafka/rdkafka.h>\n", "librdkafka/rdkafka.h may only"),
    ("src/base/x.c", '/* X. */\n#include "x.h"\n', 'write "<layer>/<file>.h"'),
    ("src/base/x.c", "/* X. */\nextern int y;\n", "extern in a .c"),
    ("src/base/x.c", "int y;\n", "opens with a comment"),
    ("src/base/x.c", LONG, "src/base/x.c:2: function of 71 lines"),
    ("src/base/x.c", "/* X. */\n" + "int y;\n" * 800, "file of 801 lines"),
    ("src/base/x.h", "/* X. */\n" + "int y;\n" * 250, "file of 251 lines"),
    ("src/misc/x.c", "/* X. */\n", "not a layer"),
    ("src/base/x.c", "/* see /" "work/x */\n", "a path of the machine"),
    ("docs/x.md", "see ../" "shared/x\n", "only tests may name"),
])
def test_each_rule_is_kept(tmp_path, name, text, complaint):
    code, out = check(tmp_path, {name: text})
    assert code == 1 and complaint in out, out


def test_the_own_header_comes_first(tmp_path):
    code, out = check(tmp_path, {"src/base/x.h": "/* X. */\n",
                                 "src/base/x.c": '/* X. */\n#include <stdio.h>\n#include "base/x.h"\n'})
    assert code == 1 and 'src/base/x.c:2: the first include is "base/x.h"' in out, out


def test_this_repository_keeps_the_rules():
    done = subprocess.run([sys.executable, str(TOOL)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
