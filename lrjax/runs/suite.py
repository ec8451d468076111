"""The questions of a run, checked before any weights are read, and asked of its models."""

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
from jax.sharding import Mesh

from lrjax.config import Config
from lrjax.data.dataset import Dataset
from lrjax.data.datasets import get_datasets, open_sources, sampled
from lrjax.data.memory import GIB, MEMORY
from lrjax.data.regions import cut, read_boxes
from lrjax.data.reopen import where
from lrjax.data.source import Source
from lrjax.errors import UserError
from lrjax.leaderboard.scores import accuracies_of
from lrjax.metrics.robustness import PAPER_WEIGHTS
from lrjax.models.predict import Predictor
from lrjax.questions.registry import blamed
from lrjax.results.row import Row
from lrjax.results.store import ResultStore, content_key
from lrjax.runs.asking import Asking, Plan, Subject
from lrjax.runs.config_reader import kind_of, read_questions
from lrjax.sharding import from_first, to_host
from lrjax.types import Tree
from lrjax.weights.naming import Model

_LOG = logging.getLogger(__name__)


class Suite:
    """The questions of a run; what can be wrong with them is found when it is made, before weights are loaded.

    Args:
        config: the run.
        models: the models.
        mesh: the devices.

    Attributes:
        names: the data sets.
        plan: what is asked.
        war_weights: weight of WAR by data set; None weighs all equally.

    Raises:
        UserError: a question or a data set is unknown, images are missing, a question cannot be asked of a model, the
            weights of the paper do not fit the data sets, or the batch does not divide over the devices.
    """

    def __init__(self, config: Config, models: Sequence[Model], *, mesh: Mesh):
        self.config = config
        MEMORY.limit = int(config.data.decode_gib * GIB)
        batch_size = config.evaluation.batch_size
        if batch_size % mesh.size:
            raise UserError(
                f"config.evaluation.batch_size {batch_size} does not divide over {mesh.size} devices; "
                "use a multiple of it"
            )
        questions = read_questions(config)
        datasets = get_datasets(config.data.names, config.data.root or None, sources=config.data.sources)
        sources = open_sources(datasets, config.data)
        if empty := [name for name, source in sources.items() if len(source) == 0]:
            raise UserError(f"data set {empty[0]!r} has no images; check its folder")
        if config.data.region:
            boxes = read_boxes(config.data.boxes) if config.data.boxes else None
            cuts = [cut(one, sources[one.name], config.data.region, boxes=boxes) for one in datasets]
            datasets = [dataset for dataset, _ in cuts]
            sources = {dataset.name: source for dataset, source in cuts}
        if config.data.limit:
            datasets = [_with_count(dataset, sources[dataset.name]) for dataset in datasets]
            _LOG.warning("only a sample of at most %d images of each data set is taken", config.data.limit)
            sources = {name: sampled(one, config.data.limit, config.data.seed) for name, one in sources.items()}
        self.names = tuple(dataset.name for dataset in datasets)
        places = {
            dataset.name: where(name, dataset, sources[dataset.name], config.data)
            for name, dataset in zip(config.data.names, datasets, strict=True)
        }
        pairs = [(dataset, sources[dataset.name]) for dataset in datasets]
        self.plan = Plan(config=config, questions=questions, datasets=pairs, places=places)
        self.war_weights = PAPER_WEIGHTS if config.report.weights == "paper" else None
        if self.war_weights and set(self.names) != set(self.war_weights):
            raise UserError(
                "config.report.weights='paper' has weights for the fifteen data sets of the paper, not for those of "
                "config.data.names; evaluate all fifteen, or set config.report.weights to 'equal'"
            )
        trains = bool(config.train.steps or config.train.epochs)
        for model in models:
            for variant in ("vanilla", *(("lr_tk0",) if trains else ())):
                setting = self.plan.setting(model, variant)
                for name, question in self.plan.questions.items():
                    with blamed(name, kind_of(name, config.questions[name])):
                        question.check(setting)
                        question.inputs(setting)

    def run(
        self,
        predictor: Predictor,
        variant: str,
        *,
        model: Model,
        store: ResultStore,
        weights: str = "",
    ) -> list[Row]:
        """Asks every question of one variant; finished numbers and records are taken from the store.

        Args:
            predictor: the loaded model, with what was trained for it.
            variant: "vanilla" or "lr_tk0".
            model: which model it is.
            store: where rows go and where finished ones are found, under whatever name the model had.
            weights: hash of the weights, and of what was trained beside tokens; "" for those of the model alone.

        Returns:
            All rows of this variant; complete in process 0 only.
        """
        subject = Subject(model=model, predictor=predictor, variant=variant, weights=weights or model.weights)
        return Asking(self.plan, subject, store).rows()

    def run_adapted(
        self,
        predictor: Predictor,
        adaptation: Tree,
        *,
        model: Model,
        store: ResultStore,
        variant: str = "lr_tk0",
    ) -> list[Row]:
        """Asks every question of what was trained for a model.

        Args:
            predictor: the loaded model.
            adaptation: as in `models.adaptation`.
            model: which model it is.
            store: where rows go and where finished ones are found.
            variant: how the rows call it.

        Returns:
            All rows of this variant; complete in process 0 only.
        """
        rest, weights = {name: part for name, part in adaptation.items() if name != "tokens"}, ""
        if rest:
            weights = content_key(weights=model.weights, adaptation=to_host(rest))
        return self.run(predictor.adapted(adaptation), variant, model=model, store=store, weights=weights)

    def score(self, predictor: Predictor, adaptation: Tree, *, model: Model, store: ResultStore, variant: str) -> float:
        """Returns the mean low-resolution accuracy of what was trained, in [0, 1]; at "hr" where that is all there is.

        Args:
            predictor: as in `run_adapted`, as are the others.

        Returns:
            The score, in every process.
        """
        rows = self.run_adapted(predictor, adaptation, model=model, store=store, variant=variant)
        accuracies = accuracies_of(rows)
        low = [row.value for row in accuracies if row.resolution != "hr"] or [row.value for row in accuracies]
        return float(from_first(np.array(np.mean(low) if low else np.nan)))


def _with_count(dataset: Dataset, source: Source) -> Dataset:
    """The data set with the number of its images, by which a sample is known to be incomplete."""
    return dataset if dataset.expected_count else dataclasses.replace(dataset, expected_count=len(source))
