"""Runs the configured evaluators over the configured data sets and keeps every finished number."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from lrjax import questions
from lrjax.checks.text import printable
from lrjax.config import Config, config_hash
from lrjax.data.datasets import Dataset, get_datasets, open_sources, prompts_hash
from lrjax.data.memory import GIB, MEMORY
from lrjax.data.regions import cut, read_boxes
from lrjax.data.reopen import open_again, where
from lrjax.data.sources.base import left_out
from lrjax.errors import UserError
from lrjax.metrics.robustness import PAPER_WEIGHTS
from lrjax.models.build import count_params
from lrjax.models.predict import Predictor
from lrjax.questions.classifiers import text_classifier
from lrjax.results.shards import Shards
from lrjax.results.store import ResultStore, Row, content_key, package_versions
from lrjax.sharding import from_first, to_host
from lrjax.types import Array, Tree
from lrjax.weights.naming import Model

_LOG = logging.getLogger(__name__)


def result_key(
    predictor: Predictor,
    dataset: Dataset,
    *,
    source: Any,
    config: Config,
    evaluator: str,
    weights: str,
    tokens: np.ndarray | None,
    resolution: int | str,
    inputs: Mapping[str, Any] | None = None,
) -> str:
    """Hashes all that determines a result, so that a finished one is found again and a changed one is not.

    Args:
        predictor: the backbone.
        dataset: gives class names and templates.
        source: the images of the data set.
        config: the run.
        evaluator: name of the evaluator.
        weights: hash of the backbone's weights.
        tokens: float [L + 1, N, D], or None for the vanilla model.
        resolution: LR side in pixels, or "hr".
        inputs: contents of the files that the options of the evaluator name, instead of their paths.
    """
    options = getattr(config, evaluator, None)
    return content_key(
        evaluator=evaluator,
        version=questions.find(evaluator).VERSION,
        model=predictor.row.name,
        weights=weights,
        architecture=dataclasses.asdict(predictor.row.spec),
        tokenizer=predictor.tokenizer.fingerprint,
        tokens=tokens,
        dataset=dataset.name,
        images=source.fingerprint,
        prompts=prompts_hash(dataset),
        preprocess=vars(predictor.row.preprocess),
        precision=config.precision,
        rgb=config.data.rgb,
        on_error=config.data.on_error,
        resolution=resolution,
        **({} if options is None else {"options": vars(options) | dict(inputs or {})}),
    )


class Suite:
    """The evaluations of a run; what can be wrong with them is found when it is made, before weights are loaded.

    Args:
        config: the run.
        models: the models.
        mesh: the devices.

    Attributes:
        names: the data sets.
        war_weights: weight of WAR by data set; None weighs all equally.

    Raises:
        UserError: an evaluator or a data set is unknown, images are missing, a resolution is too large, the weights of
            the paper do not fit the data sets, or the batch does not divide over the devices.
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
        for model in models:
            size = model.row.spec.image.size
            if (largest := max(config.evaluation.resolutions, default=1)) > size:
                raise UserError(
                    f"resolution {largest} is larger than the {size} px input of {model.name}; use sides up to {size} "
                    "in config.evaluation.resolutions"
                )
        self.evaluators = {name: questions.find(name) for name in config.evaluation.evaluators}
        self.datasets = get_datasets(config.data.names, config.data.root or None, sources=config.data.sources)
        for name in self.evaluators:
            for model in models:
                for variant in ("vanilla", *(("lr_tk0",) if config.train.steps or config.train.epochs else ())):
                    self._inputs(name, model, variant)
        self._sources = open_sources(self.datasets, config.data)
        if empty := [name for name, source in self._sources.items() if len(source) == 0]:
            raise UserError(f"data set {empty[0]!r} has no images; check its folder")
        if config.data.region:
            boxes = read_boxes(config.data.boxes) if config.data.boxes else None
            pairs = [cut(one, self._sources[one.name], config.data.region, boxes=boxes) for one in self.datasets]
            self.datasets = tuple(dataset for dataset, _ in pairs)
            self._sources = {dataset.name: source for dataset, source in pairs}
        self.names = tuple(dataset.name for dataset in self.datasets)
        self._places = {
            dataset.name: where(name, dataset, self._sources[dataset.name], config.data)
            for name, dataset in zip(config.data.names, self.datasets, strict=True)
        }
        self.war_weights = PAPER_WEIGHTS if config.report.weights == "paper" else None
        if self.war_weights and set(self.names) != set(self.war_weights):
            raise UserError(
                "config.report.weights='paper' has weights for the fifteen data sets of the paper, not for those of "
                "config.data.names; evaluate all fifteen, or set config.report.weights to 'equal'"
            )

    def _inputs(self, name: str, model: Model, variant: str) -> dict[str, Any]:
        """What an evaluator reads from the files that its options name."""
        options = getattr(self.config, name, None)
        return {} if options is None else self.evaluators[name].inputs(options, model=model.name, variant=variant)

    def run(
        self,
        predictor: Predictor,
        variant: str,
        *,
        model: Model,
        store: ResultStore,
        weights: str = "",
        lr_tokens: Array | None = None,
    ) -> list[Row]:
        """Evaluates one variant on every data set; finished numbers are taken from the store.

        Args:
            predictor: the loaded model.
            variant: "vanilla" or "lr_tk0".
            model: which model it is.
            store: where rows go and where finished ones are found, under whatever name the model had.
            weights: hash of the weights where they are not those of the model alone.
            lr_tokens: float [L + 1, N, D], or None for the vanilla model.

        Returns:
            All rows of this variant; complete in process 0 only.
        """
        rows = []
        for name in self.evaluators:
            for dataset in self.datasets:
                given = {"model": model, "store": store, "lr_tokens": lr_tokens, "weights": weights or model.weights}
                rows += self._evaluate(name, dataset, predictor, variant, **given)
        return rows

    def run_adapted(
        self,
        predictor: Predictor,
        adaptation: Tree,
        *,
        model: Model,
        store: ResultStore,
        variant: str = "lr_tk0",
    ) -> list[Row]:
        """Evaluates what was trained for a model.

        Args:
            predictor: the loaded model.
            adaptation: as in `models.adaptation`.
            model: which model it is.
            store: where rows go and where finished ones are found.
            variant: how the rows call it.

        Returns:
            All rows of this variant.
        """
        rest, weights = {name: part for name, part in adaptation.items() if name != "tokens"}, ""
        if rest:
            predictor, weights = predictor.adapted(rest), content_key(weights=model.weights, adaptation=to_host(rest))
        tokens = adaptation.get("tokens")
        return self.run(predictor, variant, model=model, store=store, weights=weights, lr_tokens=tokens)

    def score(self, predictor: Predictor, adaptation: Tree, *, model: Model, store: ResultStore, variant: str) -> float:
        """Returns the mean low-resolution accuracy of what was trained, in [0, 1]; at "hr" where that is all there is.

        Args:
            predictor: as in `run_adapted`, as are the others.
        """
        rows = self.run_adapted(predictor, adaptation, model=model, store=store, variant=variant)
        accuracies = [row for row in rows if row.metric == "acc1"]
        low = [row.value for row in accuracies if row.resolution != "hr"] or [row.value for row in accuracies]
        return float(np.mean(low))

    def _evaluate(
        self,
        name: str,
        dataset: Dataset,
        predictor: Predictor,
        variant: str,
        *,
        model: Model,
        store: ResultStore,
        weights: str,
        lr_tokens: Array | None,
    ) -> list[Row]:
        module, source, row = self.evaluators[name], self._sources[dataset.name], predictor.row
        tokens, inputs = None if lr_tokens is None else np.asarray(lr_tokens), self._inputs(name, model, variant)
        keys = {
            side: result_key(
                predictor,
                dataset,
                source=source,
                config=self.config,
                evaluator=name,
                weights=weights,
                tokens=tokens,
                resolution=side,
                inputs=inputs,
            )
            for side in (*sorted(set(self.config.evaluation.resolutions) - {row.spec.image.size}), "hr")
        }
        done = {side: _of_model(store.find(key), model) for side, key in keys.items()}
        absent = from_first(np.array([not rows for rows in done.values()]))  # only process 0 may see the store
        missing = [side for side, one in zip(done, absent, strict=True) if one]
        if not missing:
            _LOG.info("%s on %s (%s): finished earlier", name, dataset.name, variant)
        else:
            classifier = text_classifier(
                predictor,
                dataset,
                store.directory / "classifiers",
                weights=weights,
                precision=self.config.precision,
            )
            # An evaluator with a group of config keys of its own stores its finished parts.
            options, shards = getattr(self.config, name, None), None
            own: dict[str, Any] = {"rgb": self.config.data.rgb}
            if options is not None:
                shards = Shards(store.directory / "shards", keys[missing[0]])
                own = {"options": options, "shards": shards, **inputs}
            outcome = module.run(
                predictor,
                source,
                classifier,
                resolutions=missing,
                batch_size=self.config.evaluation.batch_size,
                lr_tokens=lr_tokens,
                on_error=self.config.data.on_error,
                workers=self.config.data.workers,
                title=printable(f"{dataset.name} ({variant})"),
                **own,
            )
            for path in outcome.skipped:
                _LOG.warning("%s: skipped damaged image %s", dataset.name, path)
            if outcome.skipped:
                open_again(self._places[dataset.name])  # damaged as they were when the key was made, not since then
            added = count_params({name: part for name, part in predictor.adaptation.items() if name != "blocks"})
            shared = {
                "model": model.name,
                "variant": variant,
                "dataset": dataset.name,
                "config_hash": config_hash(self.config),
                "evaluator": name,
                "evaluator_version": module.VERSION,
                "seed": self.config.seed,
                "versions": package_versions(),
                "extra": model.facts
                | {
                    "parameters": count_params(predictor.params) + (0 if tokens is None else tokens.size) + added,
                    "classes": dataset.paper_classes,
                    "expected": dataset.expected_count,
                    "image_size": row.spec.image.size,
                    "skipped": list(outcome.skipped),
                    "left_out": {suffix: one.count for suffix, one in left_out(source).items()},
                    "prompts": prompts_hash(dataset),
                    "precision": self.config.precision,
                    "images": self._places[dataset.name],
                },
            }
            for side in missing:
                found = [one for one in outcome.measurements if one.resolution == side]
                done[side] = [Row(key=keys[side], **vars(one), **shared) for one in found]
            if jax.process_index() == 0:
                new = [row for side in missing for row in done[side]]
                store.add(new, {keys[side]: outcome.samples[side] for side in missing})
                if shards is not None:
                    shards.clear()
        return [row for rows in done.values() for row in rows]


def _of_model(found: Sequence[Row], model: Model) -> list[Row]:
    """Rows of one key under the name that the model has now; of rows under several names those of this or the last."""
    names = [row.model for row in found]
    name = model.name if model.name in names else names[-1] if names else ""
    rows = [row for row in found if row.model == name]
    return [dataclasses.replace(row, model=model.name, extra={**row.extra, **model.facts}) for row in rows]
