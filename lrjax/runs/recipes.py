"""Recipes: Python files with a function `get_config`, and values of the command line instead of theirs."""

import argparse
import re
import runpy
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_dict, config_flags

from lrjax.command_line import Parser, as_called, say
from lrjax.config import Config, unknown_key
from lrjax.errors import UserError
from lrjax.questions.registry import find
from lrjax.runs.config_reader import check_key, from_mapping, with_defaults


def read_command_line(arguments: Sequence[str], *, description: str | None = None) -> Config:
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
        raise UserError(as_called("no recipe; run `python -m lrjax.main --config configs/lr_tk0_eva.py`"))
    return read_config(options.config, overrides, program=parser.prog)


def read_config(name: str, overrides: Sequence[str] = (), *, program: str) -> Config:
    """Reads a recipe.

    Args:
        name: FILE[:ARGUMENT], the argument being that of `get_config`. Where there is no FILE "configs/NAME.py", that
            of the installed package is meant, and told.
        overrides: arguments `--config.KEY=VALUE` or `--config.KEY VALUE`; several texts may be joined by commas, and
            `--config.data.sources.NAME=LOCATION` adds an entry.
        program: what messages call the command.

    Raises:
        UserError: the recipe is missing or fails, or a key or a value is wrong.
    """
    mapping = with_defaults(_read_recipe(name))
    arguments: list[str] = []
    for argument in overrides:
        if arguments and arguments[-1] in _TEXT_LISTS:  # --config.KEY VALUE
            arguments[-1:] = _separate(arguments[-1], argument)
            continue
        key, equals, value = argument.partition("=")
        if match := re.match(r"--?(?:no)?config\.(.*)", key):
            check_key(match[1])
            _add_entry(mapping, match[1])
        arguments += _separate(key, value) if equals and key in _TEXT_LISTS else [argument]
    recipe = ConfigDict(mapping)
    if recipe.devices is None:
        recipe.devices = config_dict.placeholder(int)  # a plain None cannot be overridden
    values = flags.FlagValues()
    try:
        config_flags.DEFINE_config_dict("config", recipe, flag_values=values, sys_argv=[program, *arguments])
        unknown = values([program, *arguments])[1:]
    except (flags.Error, ValueError, TypeError) as error:
        raise UserError(f"{error}; see {program} --help") from error
    if unknown:
        raise UserError(f"unexpected argument {unknown[0]!r}; replace values with --config.KEY=VALUE")
    return from_mapping(Config, recipe.to_dict())


_TEXT_LISTS = tuple(
    f"{dashes}config.{key}"
    for dashes in ("-", "--")
    for key in ("data.names", "models", "train.log", "ablation.metrics")
)


def _add_entry(mapping: dict[str, Any], key: str) -> None:
    """Makes an entry of `data.sources` or a question exist, for only what exists can be overridden."""
    group, _, name = key.rpartition(".")
    if group.startswith("questions.") and isinstance(mapping["questions"], Mapping):
        question = group.partition(".")[2]
        if question not in mapping["questions"]:
            added = {question: {"type": question} | with_defaults({}, find(question))}
            mapping["questions"] = {**mapping["questions"], **added}
        asked = mapping["questions"][question]
        if isinstance(asked, Mapping) and name not in asked:
            raise unknown_key(name, asked, f"{group}.")
    data = mapping.get("data")
    if group == "data.sources" and isinstance(data, dict) and isinstance(data["sources"], Mapping):
        data["sources"] = {name: "", **data["sources"]}


def _separate(key: str, value: str) -> list[str]:
    if "(" in value:
        return [f"{key}={value}"]
    if not (values := [one for one in value.split(",") if one]):
        raise UserError(f"{key} is empty; name at least one, or write () for none")
    return [f"{key}={one}" for one in values]


def _find_recipe(path: str) -> str:
    if Path(path).is_file():
        return path
    installed = Path(__file__).parents[2] / path
    if Path(path).parts[:-1] != ("configs",) or not installed.is_file():
        raise UserError(f"recipe {path} does not exist; name a Python file with a function get_config")
    say(f"recipe {path} is that of the installed package, {installed}", error=True)
    return str(installed)


def _read_recipe(name: str) -> Mapping[str, Any]:
    path, *argument = name.split(":", 1)
    found = _find_recipe(path)
    try:
        recipe = runpy.run_path(found)["get_config"](*argument)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever the recipe does wrong
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"recipe {name} fails with {type(error).__name__}: {error} ({place.filename}, line {place.lineno}); mend it"
        ) from error
    if not isinstance(recipe, ConfigDict | Mapping):
        raise UserError(f"recipe {name}: get_config gives {type(recipe).__name__}; it must return a ConfigDict")
    return recipe.to_dict() if isinstance(recipe, ConfigDict) else recipe
