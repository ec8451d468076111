"""The losses against numbers worked out by hand and a plain numpy version in float64."""

import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from lrjax.train.losses import clip_loss


def reference_clip_loss(a, b, scale):
    logits = scale * a.astype(np.float64) @ b.astype(np.float64).T
    rows = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    columns = logits - np.log(np.exp(logits).sum(axis=0, keepdims=True))
    return -(np.diag(rows).mean() + np.diag(columns).mean()) / 2


def test_two_orthogonal_pairs_by_hand():
    a = jnp.eye(2)
    assert float(clip_loss(a, a, jnp.float32(1.0))) == pytest.approx(np.log(1 + np.exp(-1)), rel=1e-6)
    assert float(clip_loss(a, a[::-1], jnp.float32(3.0))) == pytest.approx(3 + np.log(1 + np.exp(-3)), rel=1e-6)


def test_rows_and_columns_both_count():
    a, b = jnp.array([[1.0, 0.0], [1.0, 0.0]]), jnp.array([[1.0, 0.0], [0.0, 1.0]])
    # Logits [[2, 0], [2, 0]]: both rows have cross-entropies l and l + 2, both columns ln 2.
    low = np.log(1 + np.exp(-2))
    assert float(clip_loss(a, b, jnp.float32(2.0))) == pytest.approx(((low + low + 2) / 2 + np.log(2)) / 2, rel=1e-6)


def test_clip_loss_against_numpy():
    a, b = tiny.unit_rows(0, 9), tiny.unit_rows(1, 9)
    for scale in (1.0, 14.3, 100.0):
        expected = reference_clip_loss(a, b, scale)
        assert float(clip_loss(jnp.asarray(a), jnp.asarray(b), jnp.float32(scale))) == pytest.approx(expected, rel=1e-5)
