"""How far something long is: a bar in a terminal, and lines of text where the output is kept."""

import io
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from tqdm import tqdm

from lrjax.checks.text import one_line
from lrjax.command_line import say

PAUSE = 30
"""Seconds from one line to the next."""


class Progress(tqdm):
    """Shows on standard error how much is done, how fast it goes and how long it takes.

    In a terminal that is a bar. Elsewhere it is a line at the start, one every `PAUSE` seconds at most, and one at the
    end: `shapes (vanilla): 128 of 240 images, 41.2 images/s, 00:03 left`.

    Args:
        title: what is done.
        total: how many there are.
        unit: what they are, in the singular.
        over: they themselves, to be iterated over; None where `update` counts them.
        done: how many of them were done before.
        note: what is told beside the numbers, until `set_postfix_str` replaces it.
        delay: seconds before anything is shown; what is done by then is never told.
        hidden: whether nothing is shown, as by all processes but the first.
    """

    def __init__(
        self,
        title: str,
        total: int,
        *,
        unit: str,
        over: Iterable[Any] | None = None,
        done: int = 0,
        note: str = "",
        delay: float = 0,
        hidden: bool = False,
    ):
        self._in_lines = not _has_bars()
        self._told = -1
        lines = {"file": io.StringIO(), "mininterval": PAUSE, "maxinterval": PAUSE, "miniters": 1}
        super().__init__(
            over,
            desc=one_line(title),
            total=total,
            unit=unit,
            initial=done,
            postfix=note or None,
            delay=delay,
            disable=hidden,
            **(lines if self._in_lines else {}),
        )

    def skip(self, count: int) -> None:
        """Counts what was done before, so that it took no time."""
        if not self.disable:
            self.n, self.initial, self.last_print_n = self.n + count, self.initial + count, self.last_print_n + count

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """Replaces the note; a line is not told anew for it."""
        super().set_postfix_str(s, refresh and not self._in_lines)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Draws the bar, or tells a line, which tqdm calls when it is time to."""
        if not self._in_lines:
            super().display(msg, pos)
        elif self.n != self._told and (self.n < self.total or self._closing):
            self._told = self.n
            say(self._line(), error=True)

    @property
    def _closing(self) -> bool:
        return self.disable  # which a bar that is shown becomes when it is closed

    def _line(self) -> str:
        now = self.format_dict
        n, total, elapsed, rate = now["n"], now["total"], now["elapsed"], now["rate"]
        if rate is None and n > self.initial and elapsed:
            rate = (n - self.initial) / elapsed
        title = f"{self.desc}: " if self.desc else ""
        parts = [f"{title}{n:,} of {total:,} {self.unit}s"]
        if rate:
            parts.append(f"{rate:,.1f} {self.unit}s/s" if rate >= 1 else f"{1 / rate:,.1f} s/{self.unit}")
        parts += [now["postfix"]] if now["postfix"] else []
        if self._closing:
            parts.append(f"{self.format_interval(elapsed)} in all")
        elif rate:
            parts.append(f"{self.format_interval((total - n) / rate)} left")
        return ", ".join(parts)


def _has_bars() -> bool:
    if sys.stderr is None or not sys.stderr.isatty():
        return False
    with suppress(OSError):  # the terminals of some containers have no width
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    return True
