"""Recall by class and confusions, by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from lrjax.metrics.per_class import confusions, recall_by_class


def test_against_scikit_learn():
    rng = np.random.default_rng(0)
    labels, guesses = rng.integers(0, 5, 200), rng.integers(0, 5, (200, 5))
    samples = {"label": labels, "top5": guesses}
    recall = recall_by_class(samples, 7)
    matrix = confusion_matrix(labels, guesses[:, 0], labels=range(7))
    np.testing.assert_array_equal(recall.images, matrix.sum(axis=1))
    np.testing.assert_array_equal(recall.right, matrix.diagonal())
    assert recall.mean == pytest.approx(balanced_accuracy_score(labels, guesses[:, 0]))
    found = confusions(samples)
    assert {(label, guess): count for label, guess, count in found} == {
        (i, j): matrix[i, j] for i in range(7) for j in range(7) if i != j and matrix[i, j]
    }
    assert [count for *_, count in found] == sorted((count for *_, count in found), reverse=True)


def test_several_right_classes():
    samples = {"label": np.array([[0, 2], [1, -1], [1, -1], [2, -1]]), "top5": np.array([[2], [0], [1], [0]])}
    recall = recall_by_class(samples, 3)
    assert (recall.images.tolist(), recall.right.tolist()) == ([1, 2, 2], [1, 1, 1])
    assert recall.mean == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert confusions(samples) == [(1, 0, 1), (2, 0, 1)]


def test_nothing_is_confused():
    assert confusions({"label": np.array([0, 1]), "top5": np.array([[0], [1]])}) == []
