"""Loads backbones, evaluates them, trains LR-TK0 tokens, evaluates again and reports: one program, one config.

python -m lrjax.main --config configs/lr_tk0_eva.py
"""

import sys

from lrjax.command_line import start

if __name__ == "__main__":  # before the imports below, so that Ctrl-C during these seconds is one line too
    sys.exit(start("lrjax.main"))

import gc
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path

import jax
from tqdm.contrib.logging import logging_redirect_tqdm

from lrjax import command_line
from lrjax.config import Config, config_hash
from lrjax.data.source import Source
from lrjax.errors import UserError
from lrjax.leaderboard.board import add_runs, published_leaderboard
from lrjax.leaderboard.bootstrap import read_accuracies
from lrjax.questions.pages import question_pages
from lrjax.report.terminal import print_results
from lrjax.report.write import require, write_report
from lrjax.results.commands import keep_command, read_commands
from lrjax.results.lock import locked
from lrjax.results.output_folder import check_folder
from lrjax.results.parts import Parts
from lrjax.results.row import Row
from lrjax.results.store import ResultStore
from lrjax.runs.ablation import run_ablation
from lrjax.runs.asking import PARTS
from lrjax.runs.recipes import read_command_line
from lrjax.runs.run import Run
from lrjax.runs.stages import evaluate_backbone, train_backbone
from lrjax.runs.suite import Suite
from lrjax.sharding import join_processes, make_mesh, run_jointly
from lrjax.train.loop import check_tokens, check_training
from lrjax.weights.checkpoint import check_source
from lrjax.weights.naming import Model, run_models

_LOG = logging.getLogger("lrjax")


def run(config: Config, *, command: str = "") -> None:
    """Runs a config: evaluate, train if it asks for steps, evaluate again, report; or an ablation, all of its rows.

    Args:
        config: what to do.
        command: as a shell takes it, to be kept beside the results; "" where there is none.

    Raises:
        UserError: the config, the data or a checkpoint is wrong; the message says what and how to mend it.
    """
    if config.distributed:
        join_processes()
    if jax.process_index() > 0:
        _LOG.setLevel(logging.WARNING)
    require(plots=config.report.plots, studies=False)
    mesh = make_mesh(config.devices)
    if config.ablation.rows:
        run_ablation(config, mesh)
        return
    models = run_models(config)
    suite = Suite(config, models, mesh=mesh)
    trains = config.train.steps or config.train.epochs
    training = check_training(config, mesh, row=models[0].row)[0] if trains else None
    for model in models:
        check_source(model.row, model.source)
    check_folder(Path(config.workdir) / "report")
    with locked(config.workdir):
        one = Run(config=config, suite=suite, store=ResultStore(config.workdir), mesh=mesh)
        found, failed = [], []
        for model in models:
            try:
                found += _evaluate(one, model, training)
            except Exception as error:
                if len(models) == 1 or jax.process_count() > 1:  # others would wait for a process that goes on alone
                    raise
                mistake = isinstance(error, UserError)
                _LOG.warning("%s is left out: %s", model.name, error, exc_info=None if mistake else error)
                failed.append(model.name)
            gc.collect()  # parameters lie in cycles, and those of two backbones may not fit
        if found and jax.process_index() == 0:
            if not failed:
                Parts.clear_all(one.store.directory / PARTS)
            if command:
                keep_command(one.store.directory, config_hash(config), command)
            _report(one, found)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(models)} models failed: {', '.join(failed)}; see the warnings above, and run the "
            "same command again, which keeps what is finished"
        )


def _evaluate(one: Run, model: Model, training: Source | None) -> list[Row]:
    if training is not None:
        check_tokens(one.config, training, row=model.row, weights=model.weights)
    predictor, rows = evaluate_backbone(one, model)
    if training is None:
        return rows
    return rows + train_backbone(one, model, predictor, rows, images=training)


def _report(one: Run, rows: Sequence[Row]) -> None:
    config, suite, store = one.config, one.suite, one.store
    store.add(rows)  # in the order of the config, whatever was interrupted
    directory, board = Path(config.workdir) / "report", published_leaderboard()
    if set(board.datasets) <= set(suite.names):
        board = add_runs(board, rows)
    replicates = read_accuracies(rows, datasets=suite.names, weights=suite.war_weights, samples=store.samples)
    questions = question_pages(rows, store.samples)
    write_report(
        rows,
        directory,
        board=board,
        replicates=replicates,
        questions=questions,
        plots=config.report.plots,
        commands=read_commands([store.directory]),
    )
    print_results(replicates, questions)
    _LOG.info("all tables: %s %s --full", command_line.as_called("python -m lrjax.report"), shlex.quote(config.workdir))
    _LOG.info("report: %s, results: %s", directory / "index.html", store.path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; mistakes of the user become one line on standard error.

    Args:
        arguments: command-line arguments; None takes those of the process.

    Returns:
        Exit status, see `command_line.run`.
    """
    command_line.log_in_lines()
    for name in ("jax", "absl", "orbax"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every retry
    arguments = sys.argv[1:] if arguments is None else arguments
    command = command_line.as_called(f"python -m lrjax.main {shlex.join(arguments)}")
    with logging_redirect_tqdm():  # a message moves the bar, and does not stick to it
        return run_jointly(
            lambda: command_line.run(
                lambda: run(read_command_line(arguments, description=__doc__), command=command),
                interrupted="interrupted; run the same command again to continue",
            )
        )
