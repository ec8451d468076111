"""The stages of a run: load a backbone and evaluate it, train for it and evaluate again."""

import logging
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from lrjax.api import load
from lrjax.config import Config
from lrjax.models import zoo
from lrjax.models.build import count_params
from lrjax.models.zoo import Backbone
from lrjax.origin import row_for
from lrjax.predict import Predictor
from lrjax.report.run_tables import comparison_table
from lrjax.results import ResultStore, Row
from lrjax.suite import Suite
from lrjax.train.card import write_card
from lrjax.train.loop import train_tokens
from lrjax.types import Tree

_LOG = logging.getLogger("lrjax")


def backbone(config: Config, name: str, source: str = "") -> Backbone:
    """Returns the zoo row of a backbone with the protocol and the numerics of a run."""
    row = zoo.with_protocol(row_for(name, source), config.protocol, config.pass_order)
    return zoo.with_numerics(row, config.numerics)


def evaluate_backbone(
    config: Config, row: Backbone, source: str, *, weights: str, suite: Suite, store: ResultStore, mesh: Mesh
) -> tuple[Predictor, list[Row]]:
    """Loads a backbone and evaluates it as it is.

    Args:
        config: the run.
        row: the backbone.
        source: checkpoint file, converted directory or hub id.
        weights: hash of the weights.
        suite: the evaluations.
        store: where results go and where finished ones are found.
        mesh: the devices.

    Returns:
        The loaded backbone and its results.
    """
    predictor = load(
        row.name,
        source,
        precision=config.precision,
        placement=config.placement,
        protocol=config.protocol,
        pass_order=config.pass_order,
        numerics=config.numerics,
        mesh=mesh,
    )
    _LOG.info("%s: %s parameters from %s", row.name, f"{count_params(predictor.params):,}", source)
    return predictor, suite.run(predictor, "vanilla", store=store, weights=weights)


def train_backbone(
    config: Config,
    predictor: Predictor,
    vanilla: Sequence[Row],
    *,
    weights: str,
    suite: Suite,
    store: ResultStore,
    images: Any = None,
    variant: str = "lr_tk0",
) -> list[Row]:
    """Trains what a config asks for, or takes it from its working directory, and evaluates it.

    Args:
        config: the run.
        predictor: the backbone.
        vanilla: its results without what is trained, for the model card.
        weights: hash of the weights.
        suite: the evaluations.
        store: where results go and where finished ones are found.
        images: those to train on, of `check_training`; None checks and opens them.
        variant: how the results are called.

    Returns:
        The results.
    """
    scores = ResultStore(store.directory / "scores")  # on the way: no results of the run

    def evaluate(adaptation: Tree, step: int) -> float:
        return suite.score(predictor, adaptation, store=scores, weights=weights, variant=f"step {step}")

    adaptation = train_tokens(config, predictor, weights=weights, source=images, evaluate=evaluate)
    rows = suite.run_adapted(predictor, adaptation, store=store, weights=weights, variant=variant)
    if jax.process_index() == 0:
        write_card(config, predictor.row, adaptation, comparison_table([*vanilla, *rows], datasets=suite.names))
    return rows
