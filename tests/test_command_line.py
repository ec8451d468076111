"""Mistakes, interruptions and poor terminals end every command in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lrjax.command_line import read_numbers, run, say
from lrjax.errors import UserError

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "lrjax.main",
    "lrjax.models.__main__",
    "lrjax.data",
    "lrjax.report",
    "lrjax.questions.zoom.hard",
    "lrjax.questions.zoom",
    "lrjax report",
    "lrjax question zoom.hard",
)


def program(*command, **environment):
    return {
        "args": [sys.executable, *command],
        "cwd": ROOT,
        "env": os.environ | environment,
        "stderr": subprocess.PIPE,
        "text": True,
    }


def fails(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("a\n b\x1b[2J"), 2, "error: a b\\x1b[2J\n"),
        (OSError(28, "No space left on device", "x\x1b"), 2, "error: x\\x1b: No space left on device\n"),
        (OSError(28, "No space left on device"), 2, "error: output: No space left on device\n"),
        (BrokenPipeError(32, "Broken pipe"), 0, ""),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
    ],
)
def test_one_line(error, status, line, capsys):
    assert run(fails(error)) == status
    assert capsys.readouterr().err == line


def test_bugs_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run(fails(ZeroDivisionError()))


def test_say_escapes(capsys):
    say("a\nb\x1b")
    assert capsys.readouterr().out == "a\nb\\x1b\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_terminal_that_lacks_characters_gets_similar_ones(encoding):
    code = (
        "from lrjax.command_line import run, say\n"
        "from lrjax.display.tables import Spread, Table, print_tables\n"
        "table = Table('t', '', ('m', 'n', 'o'), (('\u72ac', None, Spread(1.0, 2.0)),), labels=1)\n"
        "run(lambda: (print_tables([table]), say('end')))"
    )
    done = subprocess.run(**program("-c", code, PYTHONIOENCODING=encoding) | {"text": False}, stdout=subprocess.PIPE)
    words = done.stdout.decode(encoding).split("\n")
    assert done.returncode == 0 and done.stderr == b"" and "end" in words[-2]
    line = next(one for one in words if "1.0" in one).replace("|", " ").split()
    expected = {"ascii": "? - 1.0 +/- 2.0", "cp1252": "? \u2013 1.0 \xb1 2.0", "utf-8": "\u72ac \u2013 1.0 \xb1 2.0"}
    assert line == expected[encoding].split()


def test_a_full_disk_behind_the_output_is_told():
    with open("/dev/full", "w") as full:
        done = subprocess.run(**program("-m", "lrjax.report", "--top", "1"), stdout=full)
    assert (done.returncode, done.stderr) == (2, "error: output: No space left on device\n")


def test_a_reader_that_has_seen_enough_is_no_error():
    process = subprocess.Popen(**program("-m", "lrjax.report", "--format", "csv"), stdout=subprocess.PIPE)
    process.stdout.close()
    assert process.wait() == 0 and process.stderr.read() == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_during_the_import_is_one_line(command):
    module, *words = command.split()
    code = (
        "import importlib, os, runpy, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'numpy':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"sys.argv = {[module, *words, '--help']}\n"
        f"runpy.run_module('{module}', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(**program("-c", code), stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\ninterrupted\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": NaN}', "the value nan"),
        (b'{"a": 1e999}', "the value inf"),
        (b'{"a": 1' + b"0" * 400 + b"}", "give a number"),
        (b'{"a": "1"}', "the value '1'"),
        (b"[" * 10**5, "is not a JSON file"),
        (b"\xff\xfe\0", "is not a JSON file"),
        (b"", "is not a JSON file"),
    ],
)
def test_numbers_that_are_none(tmp_path, content, words):
    (tmp_path / "numbers.json").write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_numbers(str(tmp_path / "numbers.json"))
    with pytest.raises(UserError, match="is not a JSON file"):
        read_numbers(str(tmp_path))
