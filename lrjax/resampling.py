"""Bootstrap replicates of the scores of runs, from the per-image arrays behind their rows."""

import numpy as np

from lrjax.metrics import robustness
from lrjax.metrics.intervals import bootstrap_accuracies, right
from lrjax.runs import HIGH_RESOLUTION, Results

Cell = tuple[str, str, str, int | str]
"""Model, variant, data set and resolution."""


class Replicates:
    """The accuracies, relative robustness and scores of results on resampled images.

    Cells whose images are the same ones are resampled together, so that their differences are paired.

    Args:
        results: the rows, with `samples`; rows without per-image arrays have no replicates.
        seed: seed of the draws.
    """

    def __init__(self, results: Results, *, seed: int = 0):
        self.results = results
        self._accuracies: dict[Cell, np.ndarray] = {}
        for number, dataset in enumerate(results.datasets):
            groups: dict[tuple[bytes, bytes], dict[Cell, np.ndarray]] = {}
            for cell, row in results.rows.items():
                samples = results.samples(row.key) if cell[2] == dataset else None
                if samples is not None and {"index", "label", "top5"} <= samples.keys():
                    order = np.argsort(samples["index"])
                    images = samples["index"][order].tobytes(), samples["label"][order].tobytes()
                    groups.setdefault(images, {})[cell] = right(samples)
            for part, hits in enumerate(groups.values()):
                drawn = bootstrap_accuracies(list(hits.values()), seed=[seed, number, part])
                self._accuracies |= zip(hits, drawn.T, strict=True)

    def accuracy(self, model: str, variant: str, dataset: str, resolution: int | str) -> np.ndarray | None:
        """Returns top-1 accuracies, [B], or None without per-image arrays."""
        return self._accuracies.get((model, variant, dataset, resolution))

    def relative(self, model: str, variant: str, dataset: str, resolution: int | str) -> np.ndarray | None:
        """Returns relative robustness, [B], or None where it is undefined in a replicate."""
        accuracy = self.accuracy(model, variant, dataset, resolution)
        reference = self.accuracy(model, self.results.reference_variant, dataset, HIGH_RESOLUTION)
        if accuracy is None or reference is None or (reference == 0).any():
            return None
        return robustness.relative_robustness(accuracy, reference)

    def scores(
        self, model: str, variant: str, resolution: int | str
    ) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray] | None:
        """Returns SAR, WAR and mean accuracy, [B] each, or None without per-image arrays of every data set.

        SAR and WAR are None where the reference accuracy of a data set is 0 in a replicate.
        """
        names, reference_variant = self.results.datasets, self.results.reference_variant
        accuracies = {name: self.accuracy(model, variant, name, resolution) for name in names}
        references = {name: self.accuracy(model, reference_variant, name, HIGH_RESOLUTION) for name in names}
        if any(values is None for values in (*accuracies.values(), *references.values())):
            return None
        return self.results.aggregate(accuracies, references)
