"""What the command lines share: mistakes of the user are one line on standard error, and exit status 2."""

import argparse
import codecs
import importlib
import io
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NoReturn

from lrjax.checks.files import read_text
from lrjax.checks.home import expand_home
from lrjax.checks.parse import parse_json
from lrjax.checks.text import brief, one_line, printable
from lrjax.errors import UserError

_NEAREST = {"\N{EN DASH}": "-", "\N{MINUS SIGN}": "-", "\N{PLUS-MINUS SIGN}": "+/-", "\N{RIGHTWARDS ARROW}": "->"}


_NAMES: ContextVar[Mapping[str, str]] = ContextVar("_NAMES", default=MappingProxyType({}))


@contextmanager
def called(names: Mapping[str, str]) -> Iterator[None]:
    """What runs in this context tells of `python -m MODULE` by another name.

    Args:
        names: how the user calls commands, by module.
    """
    token = _NAMES.set(names)
    try:
        yield
    finally:
        _NAMES.reset(token)


def as_called(text: str) -> str:
    """Returns a text in which commands have the names by which they are called.

    Args:
        text: names them `python -m MODULE`.
    """
    names = _NAMES.get()
    return re.sub(r"python -m ([\w.]*\w)", lambda found: names.get(found[1], found[0]), text)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are `UserError`, and which takes "~" in --out=~/x as a shell takes it in --out ~/x.

    Args:
        options: of `argparse.ArgumentParser`. "prog", "description" and "epilog" name the command `python -m MODULE`,
            and are shown `as_called`.
    """

    def __init__(self, **options: Any):
        for key in {"prog", "description", "epilog"} & options.keys():
            options[key] = options[key] and as_called(options[key])
        super().__init__(**options)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """Parses arguments, those of the process by default."""
        return super().parse_known_args(expand_home(tuple(sys.argv[1:] if args is None else args)), namespace)

    def error(self, message: str) -> NoReturn:
        """Raises the error.

        Args:
            message: what is wrong with the arguments.

        Raises:
            UserError: always.
        """
        raise UserError(f"{message}; see {self.prog} --help")


def start(module: str, arguments: Sequence[str] | None = None) -> int:
    """Imports a module and runs its `main`; Ctrl-C during the import, which takes seconds, is one line as well.

    Args:
        module: its name; of a package, `__main__` is meant.
        arguments: of `main`; None takes those of the process.

    Returns:
        Exit status of `main`.
    """
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:  # no exception: modules in C turn it into an ImportError
        signal.signal(signal.SIGINT, _leave)
    found = importlib.import_module(module)
    if hasattr(found, "__path__"):
        found = importlib.import_module(f"{module}.__main__")
    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return found.main(arguments)


def _leave(*_: object) -> NoReturn:
    os.write(2, b"\ninterrupted\n")
    os._exit(130)


def say(text: str, *, error: bool = False) -> None:
    """Prints a text as `text.printable` has it; where the encoding lacks a character, something like it.

    Args:
        text: one line or several.
        error: whether it goes to standard error.
    """
    print(printable(text), file=sys.stderr if error else sys.stdout)


def log_in_lines() -> None:
    """Sends the log to standard error, a line for each message, which begins with the level of warnings and errors."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Format())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class _Format(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        text = one_line(super().formatMessage(record))
        return f"{record.levelname.lower()}: {text}" if record.levelno >= logging.WARNING else text

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))  # a traceback has several lines


def run(command: Callable[[], None], *, interrupted: str = "interrupted") -> int:
    """Runs a command.

    Args:
        command: what to run.
        interrupted: what is told after an interruption.

    Returns:
        Exit status: 0; 2 after a mistake of the user or where a file cannot be read or written, which is told in one
        line on standard error; 130 after an interruption.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not one that replaces the real one
            stream.reconfigure(errors="lrjax_nearest")
    try:
        command()
        if sys.stdout is not None:
            sys.stdout.flush()
    except UserError as error:
        return _failed(str(error))
    except BrokenPipeError:  # what reads the output has seen enough
        _discard_output()
        return 0
    except OSError as error:
        if error.strerror is None:
            raise
        if error.filename is None:
            _discard_output()
        return _failed(f"{error.filename or 'output'}: {error.strerror}")
    except KeyboardInterrupt:
        say(f"\n{interrupted}", error=True)
        return 130
    return 0


def _failed(message: str) -> int:
    say(f"error: {one_line(message)}", error=True)
    return 2


def _discard_output() -> None:
    """What is left in the buffer cannot be written, and would fail again when Python ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _nearest(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # the streams are written to alone
    text = error.object[error.start : error.end]
    return "".join(_NEAREST.get(one, "?") for one in text), error.end


codecs.register_error("lrjax_nearest", _nearest)


def read_numbers(name: str) -> dict[str, float]:
    """Reads a JSON file with a number, 0 or above, for each data set, not all of them 0.

    Args:
        name: path of the file.

    Raises:
        UserError: the file is missing, or holds something else.
    """
    try:
        found = parse_json(read_text(name))
    except (OSError, ValueError) as error:
        raise UserError(f'{name} is not a JSON file like {{"cars": 0.5}} ({error})') from error
    if not isinstance(found, dict) or not found:
        raise UserError(f'{name} is not a JSON file like {{"cars": 0.5}}: it holds no data set')
    for dataset, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
            raise UserError(f"{name} gives {dataset!r} the value {brief(value)}; give a number of at least 0")
    if not any(found.values()):
        raise UserError(f"{name} gives every data set 0; give at least one of them more")
    return {dataset: float(value) for dataset, value in found.items()}
