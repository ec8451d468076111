"""Which command made which results: `commands.json` in a results directory, by the hash of the config."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lrjax.checks.files import read_regular
from lrjax.checks.parse import parse_json
from lrjax.errors import UserError
from lrjax.results.store import write_atomically

COMMANDS_FILE = "commands.json"


def keep_command(directory: str | os.PathLike, config_hash: str, command: str) -> None:
    """Stores the command of a run; of several with one config the last counts.

    Args:
        directory: of results.
        config_hash: of the run.
        command: as a shell takes it.

    Raises:
        UserError: the file is damaged.
    """
    found = {**read_commands([directory]), config_hash: command}
    write_atomically(Path(directory) / COMMANDS_FILE, json.dumps(found, indent=2, sort_keys=True) + "\n")


def read_commands(directories: Sequence[str | os.PathLike]) -> Mapping[str, str]:
    """Returns the commands of runs by the hash of their config; directories of earlier versions have none.

    Args:
        directories: of results.

    Raises:
        UserError: a file is damaged.
    """
    found: dict[str, str] = {}
    for path in (Path(one) / COMMANDS_FILE for one in directories):
        if not path.exists():
            continue
        try:
            commands = parse_json(read_regular(path).decode())
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}); delete it") from error
        if not isinstance(commands, dict) or not all(isinstance(one, str) for one in commands.values()):
            raise UserError(f"{path} is damaged (it does not map hashes to commands); delete it")
        found |= commands
    return found
