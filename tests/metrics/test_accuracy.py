"""Top-k accuracy against hand-made logits and a sort-based reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrjax.errors import UserError
from lrjax.metrics.accuracy import topk_correct

LOGITS = jnp.array([[0.1, 0.9, 0.5], [0.9, 0.1, 0.5], [0.2, 0.3, 0.4]], jnp.float32)
LABELS = jnp.array([2, 0, 0], jnp.int32)
ALL = jnp.ones(3, bool)


def test_by_hand():
    assert topk_correct(LOGITS, LABELS, ALL, 1).tolist() == [False, True, False]
    assert topk_correct(LOGITS, LABELS, ALL, 2).tolist() == [True, True, False]
    assert topk_correct(LOGITS, LABELS, ALL, 3).tolist() == [True, True, True]


def test_masked_rows_are_never_correct():
    mask = jnp.array([True, False, True])
    correct = topk_correct(LOGITS, LABELS, mask, 3)
    assert correct.tolist() == [True, False, True]
    assert correct.dtype == jnp.bool_
    assert int(correct.sum(dtype=jnp.int32)) == 2


def test_ties_go_to_the_lowest_index():
    logits = jnp.zeros((4, 4), jnp.float32)
    labels = jnp.arange(4, dtype=jnp.int32)
    for k in range(1, 5):
        assert topk_correct(logits, labels, jnp.ones(4, bool), k).tolist() == [i < k for i in range(4)]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("k", [1, 5])
def test_equals_a_stable_sort(dtype, k):
    generator = np.random.default_rng(0)
    logits = jnp.asarray(generator.integers(0, 6, (64, 12)), dtype)  # many ties
    labels = generator.integers(0, 12, 64)
    order = np.argsort(-np.asarray(logits, np.float32), axis=1, kind="stable")[:, :k]
    expected = (order == labels[:, None]).any(axis=1)
    correct = jax.jit(topk_correct, static_argnums=3)(logits, jnp.asarray(labels, jnp.int32), jnp.ones(64, bool), k)
    np.testing.assert_array_equal(correct, expected)
    if k == 1:
        np.testing.assert_array_equal(correct, jnp.argmax(logits, axis=1) == labels)


def test_rows_without_a_valid_answer_are_wrong():
    logits = jnp.array([[jnp.nan, 1.0], [0.0, jnp.nan], [1.0, 0.0], [0.0, 1.0]], jnp.float32)
    labels = jnp.array([0, 0, -1, 2], jnp.int32)
    assert topk_correct(logits, labels, jnp.ones(4, bool), 2).tolist() == [False] * 4


def test_small_label_dtypes_and_strict_promotion():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        assert topk_correct(LOGITS, LABELS.astype(jnp.uint8), ALL, 1).tolist() == [False, True, False]


@pytest.mark.parametrize("k", [0, 4])
def test_k_out_of_range(k):
    with pytest.raises(UserError, match="1 to 3"):
        topk_correct(LOGITS, LABELS, ALL, k)


def test_float_labels_are_refused():
    with pytest.raises(UserError, match="float32"):
        topk_correct(LOGITS, LABELS.astype(jnp.float32), ALL, 1)


def test_any_of_a_set_of_labels():
    logits = jnp.asarray([[0.1, 0.9, 0.5, 0.3]] * 5)  # ranked 1, 2, 3, 0
    labels = jnp.asarray([[0, 1, -1], [0, 3, -1], [2, -1, -1], [-1, -1, -1], [3, 4, 0]])
    expected = {1: [1, 0, 0, 0, 0], 2: [1, 0, 1, 0, 0], 3: [1, 1, 1, 0, 1], 4: [1, 1, 1, 0, 1]}
    for k, right in expected.items():
        assert topk_correct(logits, labels, jnp.ones(5, bool), k).tolist() == [bool(one) for one in right]
    assert topk_correct(logits, labels, jnp.asarray([False, True] * 2 + [True]), 3).tolist() == [
        False,
        True,
        False,
        False,
        True,
    ]
    one = jnp.asarray([3, 1, 2, 0, -1])
    for k in (1, 2, 3):
        single, several = (topk_correct(logits, label, jnp.ones(5, bool), k) for label in (one, one[:, None]))
        assert single.tolist() == several.tolist()
