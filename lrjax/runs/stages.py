"""The stages of a run: load a backbone and evaluate it, train for it and evaluate again."""

import logging
from collections.abc import Sequence

import jax

from lrjax.api import load
from lrjax.data.source import Source
from lrjax.leaderboard.scores import Results
from lrjax.models.build import count_params
from lrjax.models.predict import Predictor
from lrjax.report.run_tables import comparison_table
from lrjax.results.row import Row
from lrjax.results.store import ResultStore
from lrjax.runs.run import Run
from lrjax.train.card import write_card
from lrjax.train.loop import train_tokens
from lrjax.types import Tree
from lrjax.weights.naming import Model

_LOG = logging.getLogger("lrjax")


def evaluate_backbone(run: Run, model: Model) -> tuple[Predictor, list[Row]]:
    """Loads a model and evaluates it as it is.

    Args:
        run: the run.
        model: the model.

    Returns:
        The loaded model and its results.
    """
    config = run.config
    predictor = load(
        model.row.name,
        model.source,
        precision=config.precision,
        placement=config.placement,
        protocol=config.protocol,
        pass_order=config.pass_order,
        numerics=config.numerics,
        mesh=run.mesh,
    )
    name = model.name if model.name == model.row.name else f"{model.name} ({model.row.name})"
    _LOG.info("%s: %s parameters from %s", name, f"{count_params(predictor.params):,}", model.source)
    return predictor, run.suite.run(predictor, "vanilla", model=model, store=run.store)


def train_backbone(
    run: Run,
    model: Model,
    predictor: Predictor,
    vanilla: Sequence[Row],
    *,
    images: Source | None = None,
    variant: str = "lr_tk0",
) -> list[Row]:
    """Trains what a config asks for, or takes it from its working directory, and evaluates it.

    Args:
        run: the run.
        model: which model it is.
        predictor: the loaded model.
        vanilla: its results without what is trained, for the model card.
        images: those to train on, of `check_training`; None checks and opens them.
        variant: how the results are called.

    Returns:
        The results.
    """
    config, suite = run.config, run.suite
    scores = ResultStore(run.store.directory / "scores")  # on the way: no results of the run

    def evaluate(adaptation: Tree, step: int) -> float:
        return suite.score(predictor, adaptation, model=model, store=scores, variant=f"step {step}")

    adaptation = train_tokens(
        config, predictor, weights=model.weights, name=model.name, source=images, evaluate=evaluate
    )
    rows = suite.run_adapted(predictor, adaptation, model=model, store=run.store, variant=variant)
    if jax.process_index() == 0:
        write_card(config, model, adaptation, comparison_table(Results([*vanilla, *rows], datasets=suite.names)))
    return rows
