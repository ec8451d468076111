"""The surest of several views by hand."""

import numpy as np
import pytest

from lrjax.errors import UserError
from lrjax.metrics.aggregation import most_confident


def test_the_surest_guess_is_the_maximum_over_the_classes():
    probabilities = np.random.default_rng(0).dirichlet(np.full(6, 0.3), (200, 9))
    confidence, guesses = probabilities.max(axis=2), probabilities.argmax(axis=2)
    for views in (None, [3], [8, 0, 5]):
        seen = probabilities if views is None else probabilities[:, views]
        expected = seen.max(axis=1).argmax(axis=1)
        np.testing.assert_array_equal(most_confident(confidence, guesses, views=views), expected)
    assert most_confident(np.array([[0.5, 0.5, 0.2]]), np.array([[4, 2, 0]])).tolist() == [2]  # as of equal maxima


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: most_confident(np.zeros((1, 2)), np.zeros((1, 3), int)), "differ"),
        (lambda: most_confident(np.zeros((1, 2)), np.zeros((1, 2), int), views=[2]), "columns are 0 to 1"),
        (lambda: most_confident(np.zeros((1, 2)), np.zeros((1, 2), int), views=[]), "empty"),
        (lambda: most_confident(np.full((1, 2), np.nan), np.zeros((1, 2), int)), "outside 0 to 1"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
