"""Loads a backbone, evaluates it, trains LR-TK0 tokens, evaluates again and reports: one program, one config.

python -m lrjax.main --config configs/lr_tk0_eva.py
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import jax

from lrjax.api import load
from lrjax.checkpoint import checkpoint_hash
from lrjax.config import Config
from lrjax.errors import UserError
from lrjax.leaderboard import add_runs, published_leaderboard
from lrjax.metrics.robustness import PAPER_WEIGHTS
from lrjax.models import zoo
from lrjax.models.build import count_params
from lrjax.recipes import read_command_line
from lrjax.report.run_tables import comparison_table, robustness_table
from lrjax.report.write import require, write_report
from lrjax.results import ResultStore
from lrjax.sharding import make_mesh
from lrjax.suite import Suite
from lrjax.tables import print_tables
from lrjax.train.loop import check_training, train_tokens

_LOG = logging.getLogger("lrjax")


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
        check_training(config, mesh)
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
        tokens = train_tokens(config, predictor, weights=weights)
        rows += suite.run(predictor, "lr_tk0", weights=weights, lr_tokens=tokens)
    if jax.process_index() == 0:
        options = {
            "datasets": config.data.names,
            "weights": PAPER_WEIGHTS if config.report.weights == "paper" else None,
        }
        print_tables([robustness_table(rows, **options), comparison_table(rows, **options)])
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
        run(read_command_line(sys.argv[1:] if arguments is None else arguments, description=__doc__))
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
