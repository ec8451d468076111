"""What the command lines share: mistakes of the user are one line on standard error, and exit status 2."""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from lrjax.errors import UserError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are `UserError`."""

    def error(self, message: str) -> NoReturn:
        """Raises the error.

        Args:
            message: what is wrong with the arguments.

        Raises:
            UserError: always.
        """
        raise UserError(f"{message}; see {self.prog} --help")


def run(command: Callable[[], None], *, interrupted: str = "interrupted") -> int:
    """Runs a command.

    Args:
        command: what to run.
        interrupted: what is told after an interruption.

    Returns:
        Exit status: 0; 2 after a mistake of the user or where a file cannot be read or written, which is told in one
        line on standard error; 130 after an interruption.
    """
    try:
        command()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # what reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.strerror is None:
            raise
        print(f"error: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{interrupted}", file=sys.stderr)
        return 130
    return 0


def read_numbers(name: str) -> dict[str, float]:
    """Reads a JSON file with a number, 0 or above, for each data set, not all of them 0.

    Args:
        name: path of the file.

    Raises:
        UserError: the file is missing, or holds something else.
    """
    try:
        found = json.loads(Path(name).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f'{name} is not a JSON file like {{"cars": 0.5}} ({error})') from error
    if not isinstance(found, dict) or not found:
        raise UserError(f'{name} is not a JSON file like {{"cars": 0.5}}: it holds no data set')
    for dataset, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise UserError(f"{name} gives {dataset!r} the value {value!r}; give a number of at least 0")
    if not any(found.values()):
        raise UserError(f"{name} gives every data set 0; give at least one of them more")
    return {dataset: float(value) for dataset, value in found.items()}
