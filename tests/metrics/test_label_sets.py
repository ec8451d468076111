"""Sets of labels by hand."""

import numpy as np
import pytest

from lrjax.errors import UserError
from lrjax.metrics.label_sets import in_label_set, pad_label_sets


def test_sets_are_padded():
    table = pad_label_sets([(3,), (7, 0, 5)], width=4)
    assert table.tolist() == [[3, -1, -1, -1], [7, 0, 5, -1]]
    assert pad_label_sets([(3,), (7, 0, 5)]).shape == (2, 3)
    assert pad_label_sets([]).shape == (0, 1)


def test_any_label_of_the_set_is_right():
    labels = pad_label_sets([(3,), (7, 0, 5), (1, 2), (4,)])
    assert in_label_set([3, 5, 0, -1], labels).tolist() == [True, True, False, False]
    assert in_label_set([3, 5], np.array([3, 4])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pad_label_sets([(1,), ()]), "image 1"),
        (lambda: pad_label_sets([(1, -1)]), "0 or above"),
        (lambda: pad_label_sets([(1, 2, 3)], width=2), "width=3"),
        (lambda: in_label_set([1, 2], [[1], [2], [3]]), "one per image"),
        (lambda: in_label_set([1.5], [1]), "predictions are float64"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
