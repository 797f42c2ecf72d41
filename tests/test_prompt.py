"""The prompt of `sluice sql`, on a terminal of 60 columns."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios

import pytest

from lib.sluice import BIN, Sluice, assert_no_sanitizer_report, environment


def say(lake, statement, *args):
    return Sluice(lake.parent).run("sql", lake, "-c", statement, *args).out


@pytest.fixture
def lake(tmp_path):
    folder = tmp_path / "lake"
    folder.mkdir()
    say(folder, "CREATE TABLE orders (id BIGINT, name STRING); INSERT INTO orders VALUES (1, 'Zoë'), (2, NULL)")
    return folder


class Prompt:
    """Types a line at each prompt, and keeps what is seen."""

    def __init__(self, lake, home):
        self.fd, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 60, 0, 0))
        env = environment({"HOME": str(home), "TERM": "dumb"})
        self.process = subprocess.Popen([BIN, "sql", lake], stdin=child, stdout=child, stderr=child, env=env)
        os.close(child)
        self.seen = self.until_prompt()

    def until_prompt(self):
        text = b""
        while not re.search(rb"(sluice> |    -> )$", text):
            if not select.select([self.fd], [], [], 30)[0]:
                raise AssertionError(f"no prompt after {text!r}")
            try:
                part = os.read(self.fd, 4096)
            except OSError:  # the other side is gone
                part = b""
            if not part:
                break
            text += part
        assert_no_sanitizer_report(text.decode())
        return text.decode().replace("\r", "")

    def type(self, line):
        os.write(self.fd, line.encode() + b"\n")
        return self.until_prompt()

    def leave(self, line):
        os.write(self.fd, line.encode() + b"\n")
        self.until_prompt()
        os.close(self.fd)
        return self.process.wait(30)


@pytest.fixture
def prompt(lake, tmp_path_factory):
    p = Prompt(lake, tmp_path_factory.mktemp("home"))
    yield p
    p.process.kill()
    p.process.wait()


def test_it_says_how_to_begin_and_to_leave(prompt):
    assert "\\? is help" in prompt.seen
    for line in ("help", "help;", "\\?", "HELP"):
        assert "tables of the lake" in prompt.type(line)
    assert prompt.leave("quit;") == 0


def test_tables_and_their_columns(prompt):
    assert re.search(r"public +│ orders", prompt.type("\\d"))
    assert re.search(r"name +│ string", prompt.type("\\d orders"))
    assert "there is no table nothing" in prompt.type("\\d nothing")
    assert "no command \\drop" in prompt.type("\\drop")


def test_a_statement_may_take_lines_and_a_mistake_ends_nothing(prompt):
    assert prompt.type("SELECT count(*)").endswith("    -> ")
    assert "│            2 │" in prompt.type("FROM orders;")
    seen = prompt.type("SELECT nam FROM orders;")
    assert "error: " in seen and "hint: " in seen
    assert re.search(r"2 │ NULL", prompt.type("SELECT * FROM orders;"))


def test_lines_instead_of_a_table(prompt):
    assert "a line for each value" in prompt.type("\\x")
    assert "row 1\n  id    1\n  name  Zoë\nrow 2\n  id    2\n  name  NULL\n" in prompt.type("SELECT * FROM orders ORDER BY id;")
    prompt.type("\\x")
    assert "│ name │" in prompt.type("SELECT * FROM orders;")


def test_one_row_that_does_not_fit_is_shown_whole(prompt, lake):
    assert f"  location           {lake}/public/orders\n" in prompt.type("DESCRIBE DETAIL orders;")
    assert "…" in prompt.type("DESCRIBE HISTORY orders;")


def test_what_has_nothing_to_show_says_a_word(prompt):
    assert "\naltered\n" in prompt.type("ALTER TABLE orders ADD COLUMN x INT;")
    assert "\ncreated\n" in prompt.type("CREATE TABLE more (id INT);")
    assert "\ndropped\n" in prompt.type("DROP TABLE more;")


def test_lines_are_a_format_and_words_are_for_people(lake):
    assert say(lake, "SELECT * FROM orders WHERE id = 1", "--format", "lines") == "row 1\n  id    1\n  name  Zoë\n"
    assert say(lake, "ALTER TABLE orders ADD COLUMN a INT", "--format", "json") == ""
    assert say(lake, "ALTER TABLE orders ADD COLUMN b INT", "--format", "csv") == ""
    assert say(lake, "ALTER TABLE orders ADD COLUMN c INT") == "altered\n"
