"""From a recipe, a Python file with a function `get_config`, and a command line to a checked configuration."""

import argparse
import re
import runpy
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_dict, config_flags

from lrjax.command_line import Parser
from lrjax.config import Config, check_key, from_mapping, with_defaults
from lrjax.errors import UserError


def read_command_line(arguments: Sequence[str], *, description: str = "") -> Config:
    """Reads the command line of `lrjax.main`.

    Args:
        arguments: `--config FILE[:ARGUMENT]` and overrides `--config.KEY=VALUE` or `--config.KEY VALUE`.
        description: what `--help` says of the program.

    Raises:
        UserError: the recipe is missing or fails, or a key or a value is wrong.
    """
    parser = Parser(
        prog="python -m lrjax.main",
        description=description,
        epilog="--config.KEY VALUE replaces a value of the recipe, for instance --config.train.steps 10; "
        "lrjax/config.py explains all keys",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE[:ARGUMENT]", help="recipe, for instance configs/lr_tk0_eva.py:B-16")
    options, overrides = parser.parse_known_args(arguments)
    if options.config is None:
        raise UserError("no recipe; run `python -m lrjax.main --config configs/lr_tk0_eva.py`")
    recipe = ConfigDict(with_defaults(read_recipe(options.config)))
    if recipe.devices is None:
        recipe.devices = config_dict.placeholder(int)  # a plain None cannot be overridden
    for argument in overrides:
        if key := re.match(r"--?(?:no)?config\.([^=]*)", argument):
            check_key(key[1])
    values, command = flags.FlagValues(), [parser.prog, *overrides]
    try:
        config_flags.DEFINE_config_dict("config", recipe, flag_values=values, sys_argv=command)
        unknown = values(command)[1:]
    except (flags.Error, ValueError, TypeError) as error:
        raise UserError(f"{error}; see {parser.prog} --help") from error
    if unknown:
        raise UserError(f"unexpected argument {unknown[0]!r}; replace values with --config.KEY=VALUE")
    return from_mapping(Config, recipe.to_dict())


def read_recipe(name: str) -> Mapping[str, Any]:
    """Runs a recipe.

    Args:
        name: `FILE[:ARGUMENT]`.

    Returns:
        The keys and values that its `get_config` gives, not yet checked (`lrjax.config.from_mapping`).

    Raises:
        UserError: the file is missing, or fails, or gives something else.
    """
    path, *argument = name.split(":", 1)
    if not Path(path).is_file():
        raise UserError(f"recipe {path} does not exist; name a Python file with a function get_config")
    try:
        recipe = runpy.run_path(path)["get_config"](*argument)
    except UserError:
        raise
    except Exception as error:  # whatever the recipe does wrong
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"recipe {name} fails with {type(error).__name__}: {error} ({place.filename}, line {place.lineno}); mend it"
        ) from error
    if not isinstance(recipe, ConfigDict | Mapping):
        raise UserError(f"recipe {name}: get_config gives {type(recipe).__name__}; it must return a ConfigDict")
    return recipe.to_dict() if isinstance(recipe, ConfigDict) else recipe
