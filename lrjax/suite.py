"""Runs the configured evaluators over the configured data sets and keeps every finished number."""

import logging

import jax
import numpy as np
from jax.sharding import Mesh

from lrjax import evaluators
from lrjax.config import Config, config_hash
from lrjax.data.datasets import Dataset, get_dataset, open_source, prompts_hash
from lrjax.data.prompts import class_prompts
from lrjax.errors import UserError
from lrjax.models.build import count_params
from lrjax.models.zoo import Backbone
from lrjax.predict import Predictor
from lrjax.results import ResultStore, Row, content_key, package_versions
from lrjax.types import Array, Tree

_LOG = logging.getLogger(__name__)


class Suite:
    """The evaluations of a run; what can be wrong with them is found when it is made, before weights are loaded.

    Args:
        config: the run.
        store: where rows go and where finished ones are found.
        row: the backbone.
        mesh: the devices.

    Raises:
        UserError: an evaluator or a data set is unknown, images are missing, a resolution is too large, or the batch
            does not divide over the devices.
    """

    def __init__(self, config: Config, store: ResultStore, *, row: Backbone, mesh: Mesh):
        self.config, self.store = config, store
        size, batch_size = row.spec.image.size, config.evaluation.batch_size
        if batch_size % mesh.size:
            raise UserError(
                f"config.evaluation.batch_size {batch_size} does not divide over {mesh.size} devices; "
                "use a multiple of it"
            )
        resolutions = sorted(set(config.evaluation.resolutions) - {size})
        if resolutions and resolutions[-1] > size:
            raise UserError(
                f"resolution {resolutions[-1]} is larger than the {size} px input of {row.name}; "
                f"use sides up to {size} in config.evaluation.resolutions"
            )
        self.resolutions: tuple[int | str, ...] = (*resolutions, "hr")
        self.evaluators = {name: evaluators.find(name) for name in config.evaluation.evaluators}
        self.datasets = [get_dataset(name) for name in config.data.names]
        self._classifiers: dict[str, np.ndarray] = {}
        self._sources = {
            dataset.name: open_source(
                dataset,
                config.data.root or None,
                count=config.data.count if dataset.procedural else None,
                seed=config.data.seed,
            )
            for dataset in self.datasets
        }

    def run(self, predictor: Predictor, variant: str, *, weights: str, lr_tokens: Array | None = None) -> list[Row]:
        """Evaluates one variant on every data set; finished numbers are taken from the store.

        Args:
            predictor: the backbone.
            variant: "vanilla" or "lr_tk0".
            weights: hash of the backbone's weights.
            lr_tokens: float [L + 1, N, D], or None for the vanilla model.

        Returns:
            All rows of this variant.
        """
        rows = []
        for name in self.evaluators:
            for dataset in self.datasets:
                rows += self._evaluate(name, dataset, predictor, variant, weights=weights, lr_tokens=lr_tokens)
        return rows

    def run_adapted(
        self, predictor: Predictor, adaptation: Tree, *, weights: str, variant: str = "lr_tk0"
    ) -> list[Row]:
        """Evaluates what was trained for a backbone.

        Args:
            predictor: the backbone.
            adaptation: as in `models.adaptation`.
            weights: hash of the backbone's weights.
            variant: how the rows call it.

        Returns:
            All rows of this variant.
        """
        rest = {name: part for name, part in adaptation.items() if name != "tokens"}
        if rest:
            predictor, weights = predictor.adapted(rest), content_key(weights=weights, adaptation=jax.device_get(rest))
        return self.run(predictor, variant, weights=weights, lr_tokens=adaptation.get("tokens"))

    def score(self, predictor: Predictor, adaptation: Tree, *, weights: str, variant: str) -> float:
        """Returns the mean low-resolution accuracy of what was trained, in [0, 1]; at "hr" where that is all there is.

        Args:
            predictor: as in `run_adapted`, as are the others.
        """
        rows = self.run_adapted(predictor, adaptation, weights=weights, variant=variant)
        accuracies = [row for row in rows if row.metric == "acc1"]
        low = [row.value for row in accuracies if row.resolution != "hr"] or [row.value for row in accuracies]
        return float(np.mean(low))

    def _evaluate(
        self, name: str, dataset: Dataset, predictor: Predictor, variant: str, *, weights: str, lr_tokens: Array | None
    ) -> list[Row]:
        module, source, row = self.evaluators[name], self._sources[dataset.name], predictor.row
        tokens = None if lr_tokens is None else np.asarray(lr_tokens)
        keys = {
            side: content_key(
                evaluator=name,
                version=module.VERSION,
                model=row.name,
                weights=weights,
                tokens=tokens,
                dataset=dataset.name,
                images=source.fingerprint,
                prompts=prompts_hash(dataset),
                preprocess=vars(row.preprocess),
                precision=self.config.precision,
                on_error=self.config.data.on_error,
                resolution=side,
            )
            for side in self.resolutions
        }
        done = {side: self.store.find(key) for side, key in keys.items()}
        missing = [side for side, rows in done.items() if not rows]
        if not missing:
            _LOG.info("%s on %s (%s): finished earlier", name, dataset.name, variant)
        else:
            outcome = module.run(
                predictor,
                source,
                self._classifier(dataset, predictor),
                resolutions=missing,
                batch_size=self.config.evaluation.batch_size,
                lr_tokens=lr_tokens,
                on_error=self.config.data.on_error,
                workers=self.config.data.workers,
                title=f"{dataset.name} ({variant})",
            )
            for path in outcome.skipped:
                _LOG.warning("%s: skipped damaged image %s", dataset.name, path)
            added = count_params({name: part for name, part in predictor.adaptation.items() if name != "blocks"})
            shared = {
                "model": row.name,
                "variant": variant,
                "dataset": dataset.name,
                "config_hash": config_hash(self.config),
                "evaluator": name,
                "evaluator_version": module.VERSION,
                "seed": self.config.seed,
                "versions": package_versions(),
                "extra": {
                    "parameters": count_params(predictor.params) + (0 if tokens is None else tokens.size) + added,
                    "classes": dataset.paper_classes,
                    "image_size": row.spec.image.size,
                    "skipped": list(outcome.skipped),
                    "weights": weights,
                    "prompts": prompts_hash(dataset),
                    "precision": self.config.precision,
                },
            }
            for side in missing:
                found = [one for one in outcome.measurements if one.resolution == side]
                done[side] = [Row(key=keys[side], **vars(one), **shared) for one in found]
                if jax.process_index() == 0:
                    self.store.add(done[side], outcome.samples[side])
        return [row for rows in done.values() for row in rows]

    def _classifier(self, dataset: Dataset, predictor: Predictor) -> np.ndarray:
        """The text classifier of a data set, made once per content of its prompts."""
        key = prompts_hash(dataset)
        if key not in self._classifiers:
            self._classifiers[key] = predictor.classifier(class_prompts(dataset.classes, dataset.templates))
        return self._classifiers[key]
