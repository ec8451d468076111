"""What metrics are made of by example: by default, and as questions say it."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest

from lrjax.metrics.zoom import STANDARD_VIEW
from lrjax.ops.zoom import VIEWS
from lrjax.questions.base import Question
from lrjax.questions.case import Outcomes
from lrjax.questions.zeroshot import ZeroShot
from lrjax.questions.zoom.question import Zoom


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sure(Question):
    """A question that stores an array of the name of its metric."""

    version: ClassVar[int] = 1
    headline: ClassVar[str] = "sure"
    higher_is_better: ClassVar[dict[str, bool]] = {"sure": True, "other": True}


def test_by_default_an_array_of_the_name_of_a_metric():
    samples = {"index": np.array([4, 2, 3]), "sure": np.array([0.5, 1.0, 0.0]), "other": np.array([1.0])}
    (name, found), *others = Sure.outcomes(samples).items()
    assert name == "sure" and not others  # the other array is not of the examples
    assert found.index.tolist() == [4, 2, 3] and found.statistic(*found.values) == 0.5 and not found.binary
    assert Sure.outcomes({"sure": np.array([1.0])}) == {}  # which examples they are of is not told
    assert Sure.outcomes({"index": np.array([0]), "sure": np.array(True)}) == {}
    assert Sure.outcomes({"index": np.array([0]), "sure": np.array([True])})["sure"].binary


def test_values_of_other_examples():
    with pytest.raises(ValueError, match="3 examples, but values of 3, 2"):
        Outcomes(np.arange(3), (np.zeros(3), np.zeros(2)))


def test_zero_shot_with_sets_of_labels():
    samples = {
        "index": np.arange(3),
        "label": np.array([[1, 4], [2, -1], [0, -1]]),
        "top5": np.array([[4, 0, 2, 3, 5], [1, 0, 3, 5, 2], [1, 2, 3, 4, 5]]),
    }
    found = ZeroShot.outcomes(samples)
    assert found["acc1"].values[0].tolist() == [True, False, False] and found["acc1"].binary
    assert found["acc5"].values[0].tolist() == [True, True, False]
    assert ZeroShot.outcomes(samples | {"top5": samples["top5"][:, :4]}).keys() == {"acc1"}


def test_zoom_in_the_standard_view_and_in_any():
    table = np.zeros((3, VIEWS), bool)
    table[0, STANDARD_VIEW] = table[1, STANDARD_VIEW + 1] = True
    found = Zoom.outcomes({"index": np.arange(3), "correct": np.packbits(table, axis=1)})
    assert found["zoom_acc1"].values[0].tolist() == [True, False, False]
    assert found["zoom_upper_bound"].values[0].tolist() == [True, True, False]
