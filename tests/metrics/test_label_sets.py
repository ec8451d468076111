"""Sets of labels by hand."""

import numpy as np
import pytest

from lrjax.errors import UserError
from lrjax.metrics.label_sets import NO_LABEL, in_label_set


def test_any_label_of_the_set_is_right():
    labels = np.array([[3, -1, -1], [7, 0, 5], [1, 2, -1], [4, -1, -1]])
    assert NO_LABEL == -1
    assert in_label_set([3, 5, 0, -1], labels).tolist() == [True, True, False, False]
    assert in_label_set([3, 5], np.array([3, 4])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: in_label_set([1, 2], [[1], [2], [3]]), "one per image"),
        (lambda: in_label_set([1.5], [1]), "predictions are float64"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
