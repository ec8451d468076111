"""Low-resolution pairs against Pillow, side by side."""

import jax
import numpy as np
import pytest
from PIL import Image

from lrjax.errors import UserError
from lrjax.ops.degrade import BUCKETS, degrade, lr_bank, random_side

BICUBIC = Image.Resampling.BICUBIC
degrade_all = jax.jit(jax.vmap(degrade, in_axes=(0, 0, None)))
sides_of_keys = jax.jit(jax.vmap(random_side, in_axes=(0, None)))


def pillow_pair(image, side):
    return np.asarray(Image.fromarray(image).resize((side, side), BICUBIC).resize(image.shape[1::-1], BICUBIC))


@pytest.mark.parametrize(("size", "low", "high"), [(96, 16, 32), (64, 32, 64), (128, 64, 128), (9, 1, 10)])
def test_every_side_of_a_bucket_equals_pillow(size, low, high):
    rng = np.random.default_rng(size)
    images = rng.integers(0, 256, (high - low, size, size, 3), dtype=np.uint8)
    images[::3] = (images[::3] > 127) * np.uint8(255)
    actual = np.asarray(degrade_all(images, np.arange(low, high), lr_bank(size, low, high)))
    for image, side, pair in zip(images, range(low, high), actual, strict=True):
        np.testing.assert_array_equal(pair, pillow_pair(image, side), err_msg=str(side))


@pytest.mark.parametrize("bucket", BUCKETS)
def test_drawn_sides_cover_exactly_the_bucket(bucket):
    sides = np.asarray(sides_of_keys(jax.random.split(jax.random.key(0), 4000), lr_bank(224, *bucket)))
    assert set(sides.tolist()) == set(range(*bucket))
    counts = np.bincount(sides - bucket[0])
    expected = 4000 / len(counts)
    assert ((counts - expected) ** 2 / expected).sum() < 2 * len(counts) + 20  # chi-square, far in the tail


def test_a_drawn_side_equals_pillow():
    bank = lr_bank(224, 16, 32)
    keys = jax.random.split(jax.random.key(1), 6)
    images = np.random.default_rng(0).integers(0, 256, (6, 224, 224, 3), dtype=np.uint8)
    sides = np.asarray(sides_of_keys(keys, bank))
    actual = np.asarray(degrade_all(images, sides, bank))
    assert len(set(sides.tolist())) > 1
    for image, side, pair in zip(images, sides, actual, strict=True):
        np.testing.assert_array_equal(pair, pillow_pair(image, int(side)))


def test_bank_size_is_as_documented():
    bank = lr_bank(224, 64, 128)
    assert lr_bank(224, 64, 128) is bank
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(bank)) < 1.0e6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lr_bank(224, 32, 32), "is empty"),
        (lambda: lr_bank(224, 0, 4), "is empty"),
        (lambda: lr_bank(100, 64, 128), "exceeds the image side 100"),
        (
            lambda: degrade(np.zeros((8, 8, 3), np.uint8), 5, lr_bank(8, 2, 5)),
            r"side 5 is not in the bank's bucket \[2, 5\)",
        ),
        (lambda: degrade(np.zeros((9, 9, 3), np.uint8), 2, lr_bank(8, 2, 5)), "side 8"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
