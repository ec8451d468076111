"""Loads backbones, evaluates them, trains LR-TK0 tokens, evaluates again and reports: one program, one config.

python -m lrjax.main --config configs/lr_tk0_eva.py
"""

import gc
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from lrjax import command_line
from lrjax.api import load
from lrjax.checkpoint import check_source, checkpoint_hash
from lrjax.config import Config
from lrjax.errors import UserError
from lrjax.leaderboard import add_runs, published_leaderboard
from lrjax.lock import locked
from lrjax.metrics.robustness import PAPER_WEIGHTS
from lrjax.models import zoo
from lrjax.models.build import count_params
from lrjax.models.zoo import Backbone
from lrjax.recipes import read_command_line
from lrjax.report.run_tables import SHOWN, comparison_table, run_tables
from lrjax.report.write import require, write_report
from lrjax.results import ResultStore, Row
from lrjax.sharding import join_processes, make_mesh, run_jointly
from lrjax.suite import Suite
from lrjax.tables import print_tables
from lrjax.train.card import write_card
from lrjax.train.loop import check_tokens, check_training, train_tokens
from lrjax.types import Tree

_LOG = logging.getLogger("lrjax")


def run(config: Config) -> None:
    """Runs a config: evaluate, train if it asks for steps, evaluate again, report.

    Raises:
        UserError: the config, the data or a checkpoint is wrong; the message says what and how to mend it.
    """
    if config.distributed:
        join_processes()
    if jax.process_index() > 0:
        _LOG.setLevel(logging.WARNING)
    require(plots=config.report.plots, studies=False)
    mesh = make_mesh(config.devices)
    rows = [
        zoo.with_numerics(zoo.with_protocol(zoo.get(name), config.protocol), config.numerics)
        for name, _ in config.backbones
    ]
    suite = Suite(config, rows, mesh=mesh)
    if config.report.weights == "paper" and set(suite.names) != set(PAPER_WEIGHTS):
        raise UserError(
            "config.report.weights='paper' has weights for the fifteen data sets of the paper, not for those of "
            "config.data.names; evaluate all fifteen, or set config.report.weights to 'equal'"
        )
    training = check_training(config, mesh, row=rows[0])[0] if config.train.steps or config.train.epochs else None
    sources = [source or row.hub_id for row, (_, source) in zip(rows, config.backbones, strict=True)]
    for row, source in zip(rows, sources, strict=True):
        check_source(row, source)
    with locked(config.workdir):
        store, found, failed = ResultStore(config.workdir), [], []
        for row, source in zip(rows, sources, strict=True):
            try:
                found += _evaluate(config, row, source, suite=suite, store=store, mesh=mesh, training=training)
            except Exception as error:
                if len(rows) == 1 or jax.process_count() > 1:  # others would wait for a process that goes on alone
                    raise
                mistake = isinstance(error, UserError)
                _LOG.warning("%s is left out: %s", row.name, error, exc_info=None if mistake else error)
                failed.append(row.name)
            gc.collect()  # parameters lie in cycles, and those of two backbones may not fit
        if found and jax.process_index() == 0:
            _report(config, found, names=suite.names, store=store)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(rows)} models failed: {', '.join(failed)}; see the warnings above, and run the "
            "same command again, which keeps what is finished"
        )


def _evaluate(
    config: Config, row: Backbone, source: str, *, suite: Suite, store: ResultStore, mesh: Mesh, training: Any
) -> list[Row]:
    weights = checkpoint_hash(source)
    if training is not None:
        check_tokens(config, training, row=row, weights=weights)
    predictor = load(
        row.name,
        source,
        precision=config.precision,
        placement=config.placement,
        protocol=config.protocol,
        numerics=config.numerics,
        mesh=mesh,
    )
    _LOG.info("%s: %s parameters from %s", row.name, f"{count_params(predictor.params):,}", source)
    rows = suite.run(predictor, "vanilla", store=store, weights=weights)
    if training is None:
        return rows
    scores = ResultStore(store.directory / "scores")  # on the way: no results of the run

    def evaluate(adaptation: Tree, step: int) -> float:
        return suite.score(predictor, adaptation, store=scores, weights=weights, variant=f"step {step}")

    adaptation = train_tokens(config, predictor, weights=weights, evaluate=evaluate)
    rows += suite.run_adapted(predictor, adaptation, store=store, weights=weights)
    if jax.process_index() == 0:
        write_card(config, row, adaptation, comparison_table(rows, datasets=suite.names))
    return rows


def _report(config: Config, rows: Sequence[Row], *, names: Sequence[str], store: ResultStore) -> None:
    store.add(rows)  # in the order of the config, whatever was interrupted
    directory, board = Path(config.workdir) / "report", published_leaderboard()
    options = {
        "datasets": names,
        "weights": PAPER_WEIGHTS if config.report.weights == "paper" else None,
        "samples": store.samples,
    }
    if set(board.datasets) <= set(names):
        board = add_runs(board, rows)
    tables = run_tables(rows, **options)
    print_tables([tables[name] for name in SHOWN if name in tables])
    write_report(rows, directory, board=board, tables=tables, plots=config.report.plots, **options)
    _LOG.info("report: %s, results: %s", directory / "index.html", store.path)


class _Format(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"{record.levelname.lower()}: {text}" if record.levelno >= logging.WARNING else text


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; mistakes of the user become one line on standard error.

    Args:
        arguments: command-line arguments; None takes those of the process.

    Returns:
        Exit status, see `command_line.run`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Format())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("jax", "absl", "orbax"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every retry
    arguments = sys.argv[1:] if arguments is None else arguments
    return run_jointly(
        lambda: command_line.run(
            lambda: run(read_command_line(arguments, description=__doc__)),
            interrupted="interrupted; run the same command again to continue",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
