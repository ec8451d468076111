"""The best guesses against a stable sort."""

import numpy as np
import pytest

from lrjax.errors import UserError
from lrjax.metrics.accuracy import topk


@pytest.mark.parametrize(("rows", "classes", "k"), [(1, 1, 1), (7, 5, 5), (50, 12, 3), (200, 40, 5)])
def test_guesses_equal_a_stable_sort(rows, classes, k):
    rng = np.random.default_rng(rows)
    for logits in (rng.normal(size=(rows, classes)), rng.integers(0, 3, (rows, classes)).astype(float)):  # with ties
        given = logits.astype(np.float32)
        np.testing.assert_array_equal(topk(given, k), np.argsort(-given, axis=1, kind="stable")[:, :k])
        np.testing.assert_array_equal(given, logits.astype(np.float32))


def test_the_lowest_class_of_equal_ones_comes_first():
    assert topk(np.zeros((2, 4), np.float32), 4).tolist() == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize("k", [0, 4])
def test_impossible_numbers_of_guesses(k):
    with pytest.raises(UserError, match=rf"top-{k} accuracy is not defined for 3 classes; choose k from 1 to 3"):
        topk(np.zeros((2, 3), np.float32), k)
