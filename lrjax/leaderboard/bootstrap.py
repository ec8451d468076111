"""Intervals of accuracies and bootstrap replicates of scores, from the per-image arrays behind the rows of runs."""

import functools
from collections.abc import Sequence
from typing import Unpack

import numpy as np
from jaxtyping import Bool, Float64

from lrjax.errors import UserError
from lrjax.leaderboard.scores import HIGH_RESOLUTION, Options, Results, accuracies_of
from lrjax.metrics import robustness
from lrjax.metrics.intervals import (
    Bounds,
    accuracy_interval,
    bootstrap_accuracies,
    difference_interval,
    mean_interval,
    right,
)
from lrjax.results.row import Row

Cell = tuple[str, str, str, int | str]
"""Model, variant, data set and resolution."""


class Replicates:
    """The accuracies, relative robustness and scores of results on resampled images.

    Cells whose images are the same ones are resampled together, so that their differences are paired.

    Args:
        results: the rows, with `samples`; rows without per-image arrays have no replicates.
        seed: seed of the draws.

    Raises:
        UserError: the per-image arrays of a row do not give its accuracy.
    """

    def __init__(self, results: Results, *, seed: int = 0):
        self.results = results
        self._seed = seed
        self._hits: dict[Cell, np.ndarray] = {}
        self._groups: dict[Cell, int] = {}
        for dataset in results.datasets:
            groups: dict[tuple[bytes, bytes], dict[Cell, np.ndarray]] = {}
            for cell, row in results.rows.items():
                samples = results.samples(row.key) if cell[2] == dataset else None
                if samples is not None and {"index", "label", "top5"} <= samples.keys():
                    order = np.argsort(samples["index"])
                    images = samples["index"][order].tobytes(), samples["label"][order].tobytes()
                    groups.setdefault(images, {})[cell] = _checked(right(samples), row)
            for part, hits in enumerate(groups.values()):
                self._hits |= hits
                self._groups |= dict.fromkeys(hits, part)

    @functools.cached_property
    def _accuracies(self) -> dict[Cell, Float64[np.ndarray, "B"]]:
        found: dict[Cell, np.ndarray] = {}
        for number, dataset in enumerate(self.results.datasets):
            parts = {cell: part for cell, part in self._groups.items() if cell[2] == dataset}
            for part in dict.fromkeys(parts.values()):
                cells = [cell for cell in parts if parts[cell] == part]
                hits = [self._hits[cell] for cell in cells]
                drawn = bootstrap_accuracies(hits, seed=[self._seed, number, part])
                found |= zip(cells, drawn.T, strict=True)
        return found

    def accuracy(
        self, model: str, variant: str, dataset: str, resolution: int | str
    ) -> Float64[np.ndarray, "B"] | None:
        """Returns top-1 accuracies, or None without per-image arrays."""
        return self._accuracies.get((model, variant, dataset, resolution))

    def accuracy_bounds(self, model: str, variant: str, dataset: str, resolution: int | str) -> Bounds | None:
        """Returns the interval of top-1 accuracy, or None without per-image arrays."""
        hits = self._hits.get((model, variant, dataset, resolution))
        return None if hits is None else accuracy_interval(hits)

    def mean_bounds(
        self, model: str, variant: str, resolution: int | str, datasets: Sequence[str] | None = None
    ) -> Bounds | None:
        """Returns the interval of mean accuracy over data sets, by default all; None without their arrays."""
        names = self.results.datasets if datasets is None else datasets
        cells = [(model, variant, name, resolution) for name in names]
        if not all(cell in self._hits for cell in cells):
            return None
        hits = [self._hits[cell] for cell in cells]
        return mean_interval([one.mean() for one in hits], [accuracy_interval(one) for one in hits])

    def paired(self, one: tuple[str, str], other: tuple[str, str], resolution: int | str) -> bool:
        """Tells whether two models or variants, and what they are measured against, saw the same images."""
        reference = self.results.reference_variant
        systems = [
            (*one, resolution),
            (*other, resolution),
            *((each[0], reference, HIGH_RESOLUTION) for each in (one, other)),
        ]
        return all(
            len({self._groups.get((model, variant, name, at), -1) for model, variant, at in systems}) == 1
            for name in self.results.datasets
        )

    def paired_at(self, one: tuple[str, str], other: tuple[str, str], resolution: int | str) -> bool:
        """Tells whether the accuracies of two models or variants at a resolution are of the same images."""
        names = self.results.datasets
        groups = [[self._groups.get((*each, name, resolution)) for each in (one, other)] for name in names]
        return all(first is not None and first == second for first, second in groups)

    def mean_difference_bounds(self, one: tuple[str, str], other: tuple[str, str], resolution: int | str) -> Bounds:
        """Returns the interval of the difference of two mean accuracies; they must be `paired_at` it."""
        names = self.results.datasets
        pairs = [[self._hits[*each, name, resolution] for each in (one, other)] for name in names]
        differences = [first.mean() - second.mean() for first, second in pairs]
        return mean_interval(differences, [difference_interval(*pair) for pair in pairs])

    def difference(
        self, one: tuple[str, str], other: tuple[str, str], dataset: str, resolution: int | str
    ) -> tuple[float, Bounds] | None:
        """Returns the difference of two accuracies with its interval; None without arrays of the same images."""
        cells = (*one, dataset, resolution), (*other, dataset, resolution)
        if len({self._groups.get(cell, -number) for number, cell in enumerate(cells, start=1)}) > 1:
            return None
        first, second = (self._hits[cell] for cell in cells)
        return float(first.mean() - second.mean()), difference_interval(first, second)

    def relative(
        self, model: str, variant: str, dataset: str, resolution: int | str
    ) -> Float64[np.ndarray, "B"] | None:
        """Returns relative robustness, or None where it is undefined in a replicate or not of the same images."""
        cells = (model, variant, dataset, resolution), (model, self.results.reference_variant, dataset, HIGH_RESOLUTION)
        accuracy, reference = (self._accuracies.get(cell) for cell in cells)
        if accuracy is None or reference is None or (reference == 0).any():
            return None
        same = len({self._groups[cell] for cell in cells}) == 1
        return np.asarray(robustness.relative_robustness(accuracy, reference)) if same else None

    def scores(
        self, model: str, variant: str, resolution: int | str
    ) -> tuple[Float64[np.ndarray, "B"] | None, Float64[np.ndarray, "B"] | None, Float64[np.ndarray, "B"]] | None:
        """Returns SAR, WAR and mean accuracy, or None without per-image arrays of every data set.

        SAR and WAR are None where the reference accuracy of one of their data sets is 0 in a replicate.
        """
        names, reference_variant = self.results.datasets, self.results.reference_variant
        accuracies, references = {}, {}
        for name in names:
            accuracy = self.accuracy(model, variant, name, resolution)
            reference = self.accuracy(model, reference_variant, name, HIGH_RESOLUTION)
            if accuracy is None or reference is None:
                return None
            accuracies[name], references[name] = accuracy, reference
        sar, war, accuracy = self.results.aggregate(model, accuracies, references)
        return None if sar is None else np.asarray(sar), None if war is None else np.asarray(war), np.asarray(accuracy)


def read_accuracies(rows: Sequence[Row], **options: Unpack[Options]) -> Replicates | None:
    """Reads the accuracies among result rows.

    Args:
        rows: of any questions.
        **options: see `Options`; with `samples` there are intervals.

    Returns:
        The accuracies with their replicates; None where no row is one.

    Raises:
        UserError: results are missing, ambiguous or not comparable, or arrays are damaged.
    """
    return Replicates(Results(rows, **options)) if accuracies_of(rows) else None


def _checked(hits: Bool[np.ndarray, "N"], row: Row) -> Bool[np.ndarray, "N"]:
    if len(hits) != row.n or abs(hits.mean() - row.value) > 1e-6:
        raise UserError(
            f"the per-image arrays of {row.model} {row.variant} on {row.test_set} at {row.resolution} have "
            f"{int(hits.sum())} of {len(hits)} images right, but its accuracy is {row.value:g} of {row.n}; "
            "evaluate again"
        )
    return hits
