"""Progress: lines where the output is kept, worked out by hand with a clock of the test, and a bar in a terminal."""

import fcntl
import io
import logging
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from lrjax.display.progress import Progress

ROOT = Path(__file__).parents[1]


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("tqdm.std.time", clock)
    return clock


def steps(progress, clock, *pairs):
    """Lets seconds pass, and counts what was done in them."""
    for seconds, count in pairs:
        clock.now += seconds
        progress.update(count)


def test_a_line_at_the_start_every_half_minute_and_at_the_end(clock, capsys):
    with Progress("shapes (vanilla)", 240, unit="image", note="compiles") as progress:
        steps(progress, clock, (1, 2))
        progress.set_postfix_str("")
        steps(progress, clock, (19, 38), (9, 20))  # 29 s
        assert capsys.readouterr().err == "shapes (vanilla): 0 of 240 images, compiles\n"
        steps(progress, clock, (1, 60))  # 120 images in 30 s
        assert capsys.readouterr().err == "shapes (vanilla): 120 of 240 images, 4.0 images/s, 00:30 left\n"
        steps(progress, clock, (29, 100), (1, 20))  # the last one after another 30 s
        assert capsys.readouterr().err == ""
        clock.now += 20
    assert capsys.readouterr().err == "shapes (vanilla): 240 of 240 images, 3.0 images/s, 01:20 in all\n"


def test_slow_steps_and_what_was_done_before(clock, capsys):
    with Progress("LR-TK0", 1100, unit="step", done=1000) as progress:
        progress.set_postfix_str("loss 0.72", refresh=False)
        steps(progress, clock, *[(1.5, 1)] * 20)
        assert capsys.readouterr().err == (
            "LR-TK0: 1,000 of 1,100 steps\nLR-TK0: 1,020 of 1,100 steps, 1.5 s/step, loss 0.72, 02:00 left\n"
        )
        steps(progress, clock, (5, 5))
    # of an end before the last one too: 25 steps in 35 s
    assert capsys.readouterr().err == "LR-TK0: 1,025 of 1,100 steps, 1.4 s/step, loss 0.72, 00:35 in all\n"


def test_what_lay_on_disk_took_no_time(clock, capsys):
    with Progress("", 1000, unit="image") as progress:
        progress.skip(900)
        steps(progress, clock, (40, 20))
        assert capsys.readouterr().err == "0 of 1,000 images\n920 of 1,000 images, 2.0 s/image, 02:40 left\n"
        progress.skip(80)
    assert capsys.readouterr().err == "1,000 of 1,000 images, 2.0 s/image, 00:40 in all\n"


@pytest.mark.parametrize(("seconds", "lines"), [(1, 0), (31, 1)])
def test_a_delay_hides_what_is_short(seconds, lines, clock, capsys):
    def work():
        for one in range(3):
            clock.now += seconds / 3
            yield one

    assert list(Progress("files", 3, unit="file", over=work(), delay=2)) == [0, 1, 2]
    assert capsys.readouterr().err.splitlines() == ["files: 3 of 3 files, 10.3 s/file, 00:31 in all"] * lines


def test_nothing_to_do_is_one_line(capsys):
    assert list(Progress("files", 0, unit="file", over=())) == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "files: 0 of 0 files, 00:00 in all"


def test_a_failure_keeps_what_was_done(clock, capsys):
    def fail(progress):
        with progress:
            steps(progress, clock, (2, 4))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail(Progress("a", 8, unit="image"))
    assert capsys.readouterr().err == "a: 0 of 8 images\na: 4 of 8 images, 2.0 images/s, 00:02 in all\n"


def test_titles_of_others_are_printable(capsys):
    Progress("a\x1b[2J\r\nb", 1, unit="image").close()
    assert capsys.readouterr().err == "a\\x1b[2J b: 0 of 1 images\n"


def test_hidden_says_nothing(clock, capsys):
    with Progress("a", 8, unit="image", hidden=True, note="x") as progress:
        progress.skip(2)
        progress.set_postfix_str("y")
        steps(progress, clock, (40, 4))
    assert list(Progress("a", 2, unit="image", hidden=True, over=iter("ab"))) == ["a", "b"]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with Progress("shapes", 240, unit="image", note="compiles") as progress:
        progress.skip(40)
        steps(progress, clock, (50, 100))
    frames = terminal.getvalue().split("\r")
    assert "shapes:   0%" in frames[1] and "compiles" in frames[1]
    assert "140/240 [00:50<00:50,  2.00image/s, compiles]" in frames[-1] and frames[-1].endswith("\n")


@pytest.mark.parametrize(("columns", "bars"), [(80, True), (0, False)])
def test_a_terminal_without_a_width_has_lines(columns, bars):
    reader, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24 if columns else 0, columns, 0, 0))
    code = "from lrjax.display.progress import Progress\nwith Progress('a', 2, unit='image') as one:\n    one.update(2)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=terminal, check=True)
    shown = os.read(reader, 10_000).decode()
    assert ("2/2 [" in shown, "2 of 2 images, " in shown) == (bars, not bars), shown
    os.close(reader)
    os.close(terminal)


def test_a_message_does_not_stick_to_the_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    log = logging.getLogger("test_progress")
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "handlers", [logging.StreamHandler(terminal)])
    with logging_redirect_tqdm([log]), Progress("shapes", 240, unit="image"):
        log.warning("one image is damaged")
    before, _, after = terminal.getvalue().partition("one image is damaged\n")
    assert before.endswith("\r") and before.split("\r")[-2].strip() == ""
    assert "shapes:   0%" in after


def test_a_message_has_a_line_of_its_own_where_there_is_no_bar(capsys):
    with Progress("a", 8, unit="image"):
        tqdm.write("message", file=sys.stderr)
    assert capsys.readouterr().err == "a: 0 of 8 images\nmessage\n"
