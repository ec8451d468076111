"""Loads a backbone, evaluates it, trains LR-TK0 tokens, evaluates again and reports: one program, one config.

python -m lrjax.main --config configs/lr_tk0_eva.py
"""

import argparse
import logging
import re
import runpy
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import flags
from ml_collections import ConfigDict, config_dict, config_flags

from lrjax.api import load
from lrjax.checkpoint import checkpoint_hash
from lrjax.config import Config, check_key, from_mapping, with_defaults
from lrjax.errors import UserError
from lrjax.leaderboard import add_runs, published_leaderboard
from lrjax.metrics.robustness import PAPER_WEIGHTS
from lrjax.models import zoo
from lrjax.models.build import count_params
from lrjax.report.run_tables import comparison_table, robustness_table
from lrjax.report.write import require, write_report
from lrjax.results import ResultStore
from lrjax.sharding import make_mesh
from lrjax.suite import Suite
from lrjax.tables import print_tables
from lrjax.train.card import write_card
from lrjax.train.loop import check_training, train_tokens
from lrjax.types import Tree

_LOG = logging.getLogger("lrjax")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see python -m lrjax.main --help")


def parse(arguments: Sequence[str]) -> Config:
    """Reads the command line.

    Args:
        arguments: `--config FILE[:ARGUMENT]` and overrides `--config.KEY=VALUE` or `--config.KEY VALUE`.

    Raises:
        UserError: the recipe is missing or fails, or a key or a value is wrong.
    """
    parser = _Parser(
        prog="python -m lrjax.main",
        description=__doc__,
        epilog="--config.KEY VALUE replaces a value of the recipe, for instance --config.train.steps 10; "
        "lrjax/config.py explains all keys",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE[:ARGUMENT]", help="recipe, for instance configs/lr_tk0_eva.py:B-16")
    options, overrides = parser.parse_known_args(arguments)
    if options.config is None:
        raise UserError("no recipe; run `python -m lrjax.main --config configs/lr_tk0_eva.py`")
    recipe = ConfigDict(with_defaults(_read_recipe(options.config)))
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
        raise UserError(f"{error}; see python -m lrjax.main --help") from error
    if unknown:
        raise UserError(f"unexpected argument {unknown[0]!r}; replace values with --config.KEY=VALUE")
    return from_mapping(Config, recipe.to_dict())


def _read_recipe(name: str) -> Mapping[str, Any]:
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


def run(config: Config) -> None:
    """Runs a config: evaluate, train if it asks for steps, evaluate again, report.

    Raises:
        UserError: the config, the data or the checkpoint is wrong; the message says what and how to mend it.
    """
    training = bool(config.train.steps or config.train.epochs)
    require(plots=config.report.plots, studies=False)
    workdir = Path(config.workdir)
    row = zoo.with_protocol(zoo.get(config.model), config.protocol)
    store, mesh = ResultStore(workdir), make_mesh(config.devices)
    suite = Suite(config, store, row=row, mesh=mesh)
    if config.report.weights == "paper" and set(config.data.names) != set(PAPER_WEIGHTS):
        raise UserError(
            "config.report.weights='paper' has weights for the fifteen data sets of the paper, not for those of "
            "config.data.names; evaluate all fifteen, or set config.report.weights to 'equal'"
        )
    if training:
        check_training(config, row, mesh)
    source = config.source or row.hub_id
    if not source:
        raise UserError(f"{row.name} has no hub id; set config.source to a checkpoint file")
    predictor = load(
        config.model,
        source,
        precision=config.precision,
        placement=config.placement,
        protocol=config.protocol,
        mesh=mesh,
    )
    weights = checkpoint_hash(source)
    _LOG.info("%s: %s parameters from %s", row.name, f"{count_params(predictor.params):,}", source)
    rows = suite.run(predictor, "vanilla", weights=weights)
    if training:
        # Their numbers are no results of the run.
        scores = Suite(config, ResultStore(workdir / "scores"), row=row, mesh=mesh)

        def evaluate(adaptation: Tree, step: int) -> float:
            return scores.score(predictor, adaptation, weights=weights, variant=f"step {step}")

        adaptation = train_tokens(config, predictor, weights=weights, evaluate=evaluate)
        rows += suite.run_adapted(predictor, adaptation, weights=weights)
    if jax.process_index() == 0:
        options = {
            "datasets": config.data.names,
            "weights": PAPER_WEIGHTS if config.report.weights == "paper" else None,
        }
        comparison = comparison_table(rows, **options)
        print_tables([robustness_table(rows, **options), comparison])
        if training:
            write_card(config, row, adaptation, comparison)
        board = published_leaderboard()
        if set(board.datasets) <= set(config.data.names):
            board = add_runs(board, rows)
        write_report(rows, workdir / "report", board=board, plots=config.report.plots, **options)
        _LOG.info("report: %s, results: %s", workdir / "report" / "index.html", store.path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; mistakes of the user become one line on standard error.

    Args:
        arguments: command-line arguments; None takes those of the process.

    Returns:
        Exit status: 0, or 2 after a mistake of the user.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for name in ("jax", "absl", "orbax"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every retry
    try:
        run(parse(sys.argv[1:] if arguments is None else arguments))
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
