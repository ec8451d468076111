"""What a question plans and gives: needs, cases, measurements, scores, and the setting in which it is asked."""

import math
import numbers
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from lrjax.checks.text import brief
from lrjax.data.dataset import Dataset
from lrjax.data.source import Source
from lrjax.errors import UserError
from lrjax.models.row import Backbone

Arrays = Mapping[str, np.ndarray]
"""Arrays by name with one row per example, "index" (its position in the source) and "label" among them."""


Samples = Callable[[str], Mapping[str, np.ndarray] | None] | None
"""Gives the arrays that were stored beside the rows of a key, None where there are none."""


@dataclass(frozen=True, kw_only=True)
class Views:
    """How a model sees an image.

    Attributes:
        resolution: side in pixels to which the image is reduced first; None shows it as the model takes it.
    """

    resolution: int | None = None


@dataclass(frozen=True, kw_only=True)
class Need:
    """One record: what a model says of one source, seen one way.

    Attributes:
        dataset: gives the class names, and the templates of their prompts.
        source: the images.
        views: how they are seen.
        read: what of it: "logits", the cosines of the images with the classes times 100, float32 [N, K]; "embedding"
            of the images, float32 [N, E], rows of length 1; "text", the "embedding" of all captions of the source,
            [T, E], with the position of its image as the "label" of each; or "own", what the `Question.job` makes.
    """

    dataset: Dataset
    source: Source
    views: Views = Views()
    read: Literal["logits", "embedding", "text", "own"] = "logits"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One cell of the result table.

    Attributes:
        dataset: the data set that the numbers are of.
        needs: the records that they are made of, by the role that each has in it.
        condition: under which they hold, such as {"resolution": 16}; part of the identity of a result.
    """

    dataset: Dataset
    needs: Mapping[str, Need]
    condition: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """One number.

    Attributes:
        metric: name, for instance "acc1".
        value: the number; accuracies are fractions in [0, 1].
        n: examples behind it.
    """

    metric: str
    value: float
    n: int


def _mean(values: np.ndarray) -> float:
    return float(values.mean())


@dataclass(frozen=True)
class Outcomes:
    """What a metric is made of, for each example, so that two systems can be compared on the same ones.

    Attributes:
        index: what tells the examples apart, [n], such as the positions of images in the data set.
        values: arrays [n, ...]; one of bool for a metric that is the share of examples that are right.
        statistic: makes the metric of such arrays, of any of the examples; by default the mean of the only one.
    """

    index: np.ndarray
    values: tuple[np.ndarray, ...]
    statistic: Callable[..., float] = _mean

    def __post_init__(self) -> None:
        if any(len(array) != len(self.index) for array in self.values):
            lengths = ", ".join(str(len(array)) for array in self.values)
            raise ValueError(f"there are {len(self.index)} examples, but values of {lengths}")

    @property
    def binary(self) -> bool:
        """Whether the metric is the share of examples that are right."""
        return self.statistic is _mean and self.values[0].dtype == bool


@dataclass(frozen=True)
class Score:
    """What a question makes of the records of a case.

    Attributes:
        measurements: the numbers.
        samples: arrays with one row per example that are stored beside them, for intervals and pictures.
    """

    measurements: Sequence[Measurement]
    samples: Arrays


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a question is asked of.

    Attributes:
        model: name of the model in the results.
        variant: "vanilla", "lr_tk0", ...
        backbone: its row of the zoo.
        datasets: the data sets of the run with their images, in order.
    """

    model: str
    variant: str
    backbone: Backbone
    datasets: Sequence[tuple[Dataset, Source]]

    def check_sides(self, resolutions: Collection[int]) -> None:
        """Refuses sides in pixels above the input of the model.

        Raises:
            UserError: one is.
        """
        size, largest = self.backbone.spec.image.size, max(resolutions, default=1)
        if largest > size:
            raise UserError(
                f"resolution {largest} is larger than the {size} px input of {self.model}; use sides up to {size}"
            )

    def sides(self, resolutions: Collection[int]) -> tuple[int | None, ...]:
        """Returns sides in pixels for `Views`, ascending, and None for the input of the model itself."""
        return (*sorted(set(resolutions) - {self.backbone.spec.image.size}), None)


def checked_rows(rows: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns what the program of a question computed of a batch.

    Raises:
        TypeError: it is no mapping.
        ValueError: it does not say which embeddings are finite.
    """
    if not isinstance(rows, Mapping):
        raise TypeError(f"the program gives {brief(rows)} instead of arrays by name")
    if "finite" not in rows:
        raise ValueError("what the program gives has no 'finite', which tells whose embeddings are")
    return rows


def checked_score(score: Score) -> Score:
    """Returns what a question made of its records.

    Raises:
        TypeError: it is no score, or holds something else than finite numbers and arrays of numbers or texts.
    """
    if not isinstance(score, Score) or not isinstance(score.samples, Mapping) or not score.measurements:
        raise TypeError(f"score gives {brief(score)} instead of a Score with measurements")
    for one in score.measurements:
        if not isinstance(one, Measurement) or not isinstance(one.metric, str):
            raise TypeError(f"score gives {brief(one)} instead of a Measurement")
        if not isinstance(one.value, numbers.Real) or not math.isfinite(one.value) or one.n < 1:
            raise TypeError(f"score gives {brief(one.value)} of {brief(one.n)} examples for {one.metric!r}")
    for name, array in score.samples.items():
        if not isinstance(array, np.ndarray) or array.dtype.hasobject or array.dtype.kind == "V":
            raise TypeError(f"score gives {brief(array)} as the samples {name!r} instead of an array of numbers")
    return score
