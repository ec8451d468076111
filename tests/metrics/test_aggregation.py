"""Aggregation over views by hand, and its short form against the long one."""

import numpy as np
import pytest

from lrjax.errors import UserError
from lrjax.metrics.aggregation import aggregate, most_confident


def test_mean_and_max_of_probabilities_differ():
    probabilities = np.array([[[0.0, 0.9, 0.1], [0.5, 0.1, 0.4], [0.6, 0.0, 0.4]], [[0.25, 0.5, 0.25]] * 3], np.float16)
    assert aggregate(probabilities, rule="max").tolist() == [1, 1]
    assert aggregate(probabilities, rule="mean").tolist() == [0, 1]
    assert aggregate(probabilities, views=[2], rule="mean").tolist() == [0, 1]
    assert aggregate(np.full((1, 10, 4), 0.25), rule="mean").tolist() == [0]  # of equal classes the first


def test_a_mean_over_many_half_precision_views_is_exact_enough():
    # in float16 a sum of 324 values near 1/2 would lose the difference of 1/1024
    probabilities = np.empty((1, 324, 2), np.float16)
    probabilities[..., 0], probabilities[..., 1] = 0.5 - 2**-11, 0.5
    assert aggregate(probabilities, rule="mean").tolist() == [1]


def test_the_surest_guess_is_the_maximum_over_the_classes():
    probabilities = np.random.default_rng(0).dirichlet(np.full(6, 0.3), (200, 9))
    confidence, guesses = probabilities.max(axis=2), probabilities.argmax(axis=2)
    for views in (None, [3], [8, 0, 5]):
        expected = aggregate(probabilities, views=views, rule="max")
        np.testing.assert_array_equal(most_confident(confidence, guesses, views=views), expected)
    assert most_confident(np.array([[0.5, 0.5, 0.2]]), np.array([[4, 2, 0]])).tolist() == [2]  # as of equal maxima


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: aggregate(np.zeros((1, 2, 3)), rule="median"), "median"),
        (lambda: aggregate(np.zeros((1, 3)), rule="mean"), "images, views, classes"),
        (lambda: aggregate(np.zeros((1, 2, 3)), views=[], rule="mean"), "empty"),
        (lambda: aggregate(np.full((1, 2, 3), 7.0), rule="mean"), "softmax"),
        (lambda: aggregate(np.full((1, 2, 3), np.nan), rule="max"), "softmax"),
        (lambda: most_confident(np.zeros((1, 2)), np.zeros((1, 3), int)), "differ"),
        (lambda: most_confident(np.zeros((1, 2)), np.zeros((1, 2), int), views=[2]), "columns are 0 to 1"),
        (lambda: most_confident(np.zeros((1, 2)), np.zeros((1, 2), int), views=[]), "empty"),
        (lambda: most_confident(np.full((1, 2), np.nan), np.zeros((1, 2), int)), "outside 0 to 1"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
