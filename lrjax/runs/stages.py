"""The stages of a run: load a backbone and evaluate it, train for it and evaluate again."""

import logging
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from lrjax.api import load
from lrjax.config import Config
from lrjax.leaderboard.scores import Results
from lrjax.models.build import count_params
from lrjax.models.predict import Predictor
from lrjax.report.run_tables import comparison_table
from lrjax.results.row import Row
from lrjax.results.store import ResultStore
from lrjax.runs.suite import Suite
from lrjax.train.card import write_card
from lrjax.train.loop import train_tokens
from lrjax.types import Tree
from lrjax.weights.naming import Model

_LOG = logging.getLogger("lrjax")


def evaluate_backbone(
    config: Config, model: Model, *, suite: Suite, store: ResultStore, mesh: Mesh
) -> tuple[Predictor, list[Row]]:
    """Loads a model and evaluates it as it is.

    Args:
        config: the run.
        model: the model.
        suite: the evaluations.
        store: where results go and where finished ones are found.
        mesh: the devices.

    Returns:
        The loaded model and its results.
    """
    predictor = load(
        model.row.name,
        model.source,
        precision=config.precision,
        placement=config.placement,
        protocol=config.protocol,
        pass_order=config.pass_order,
        numerics=config.numerics,
        mesh=mesh,
    )
    name = model.name if model.name == model.row.name else f"{model.name} ({model.row.name})"
    _LOG.info("%s: %s parameters from %s", name, f"{count_params(predictor.params):,}", model.source)
    return predictor, suite.run(predictor, "vanilla", model=model, store=store)


def train_backbone(
    config: Config,
    predictor: Predictor,
    vanilla: Sequence[Row],
    *,
    model: Model,
    suite: Suite,
    store: ResultStore,
    images: Any = None,
    variant: str = "lr_tk0",
) -> list[Row]:
    """Trains what a config asks for, or takes it from its working directory, and evaluates it.

    Args:
        config: the run.
        predictor: the loaded model.
        vanilla: its results without what is trained, for the model card.
        model: which model it is.
        suite: the evaluations.
        store: where results go and where finished ones are found.
        images: those to train on, of `check_training`; None checks and opens them.
        variant: how the results are called.

    Returns:
        The results.
    """
    scores = ResultStore(store.directory / "scores")  # on the way: no results of the run

    def evaluate(adaptation: Tree, step: int) -> float:
        return suite.score(predictor, adaptation, model=model, store=scores, variant=f"step {step}")

    given = {"weights": model.weights, "name": model.name, "source": images}
    adaptation = train_tokens(config, predictor, **given, evaluate=evaluate)
    rows = suite.run_adapted(predictor, adaptation, model=model, store=store, variant=variant)
    if jax.process_index() == 0:
        write_card(config, model, adaptation, comparison_table(Results([*vanilla, *rows], datasets=suite.names)))
    return rows
