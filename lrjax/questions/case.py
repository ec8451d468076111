"""What a question plans and gives: needs, cases, measurements, scores, and the setting in which it is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lrjax.data.dataset import Dataset
from lrjax.data.source import Source
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
    """One record: what a model says of the images of one source, seen one way.

    Attributes:
        dataset: gives the class names, and the templates of their prompts.
        source: the images.
        views: how they are seen.
        read: "logits", the cosines of the image with the classes times 100, float32 [N, K]; or "own", what
            `Question.record` makes.
    """

    dataset: Dataset
    source: Source
    views: Views = Views()
    read: Literal["logits", "own"] = "logits"


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
