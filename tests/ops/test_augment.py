"""Random resized crops: pixels against Pillow, boxes against torchvision's rule."""

import jax
import numpy as np
import PIL
import pytest
from PIL import Image

from lrjax.errors import UserError
from lrjax.ops.augment import crop_bank, random_crop_box, resized_crop

INSTALLED = "pillow13" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow12"
boxes_of_keys = jax.jit(jax.vmap(random_crop_box, in_axes=(0, None)))
crop_boxes = jax.jit(jax.vmap(lambda image, box, bank: resized_crop(image, *box, bank), in_axes=(0, 0, None)))


def pillow_crop(image, box, size):
    top, left, height, width = (int(value) for value in box)
    picture = Image.fromarray(image).crop((left, top, left + width, top + height))
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("source", "size", "scale"),
    [(64, 48, (0.9, 1.0)), (64, 64, (0.08, 1.0)), (40, 64, (0.5, 1.0)), (100, 24, (0.08, 1.0))],
)
def test_random_crops_equal_pillow(source, size, scale):
    bank = crop_bank(source, size, scale, pass_order=INSTALLED)
    keys = jax.random.split(jax.random.key(source), 64)
    images = np.random.default_rng(0).integers(0, 256, (64, source, source, 3), dtype=np.uint8)
    boxes = np.asarray(boxes_of_keys(keys, bank))
    actual = np.asarray(crop_boxes(images, boxes, bank))
    assert len({tuple(box) for box in boxes.tolist()}) > 32
    for image, box, crop in zip(images, boxes, actual, strict=True):
        np.testing.assert_array_equal(crop, pillow_crop(image, box, size), err_msg=str(box))


def test_boxes_at_the_corners_and_of_extreme_sides():
    bank = crop_bank(50, 32, (0.08, 1.0), pass_order=INSTALLED)
    low = bank.low
    sides = [(low, low), (50, low), (low, 50), (50, 50), (33, 32), (40, 36)]  # (50, low) has the vertical pass first
    boxes = [(top, left, h, w) for h, w in sides for top in (0, 50 - h) for left in (0, 50 - w)]
    images = np.random.default_rng(2).integers(0, 256, (len(boxes), 50, 50, 3), dtype=np.uint8)
    actual = np.asarray(crop_boxes(images, np.array(boxes, np.int32), bank))
    for image, box, crop in zip(images, boxes, actual, strict=True):
        np.testing.assert_array_equal(crop, pillow_crop(image, box, 32), err_msg=str(box))


def test_full_size_crop():
    bank = crop_bank(256, 224, pass_order=INSTALLED)
    keys = jax.random.split(jax.random.key(4), 4)
    images = np.random.default_rng(4).integers(0, 256, (4, 256, 256, 3), dtype=np.uint8)
    boxes = boxes_of_keys(keys, bank)
    for image, box, crop in zip(images, boxes, np.asarray(crop_boxes(images, boxes, bank)), strict=True):
        np.testing.assert_array_equal(crop, pillow_crop(image, box, 224))


@pytest.mark.parametrize("scale", [(0.9, 1.0), (0.08, 1.0)])
def test_box_statistics(scale):
    side = 512
    bank = crop_bank(side, 8, scale)
    boxes = np.asarray(boxes_of_keys(jax.random.split(jax.random.key(7), 8000), bank))
    top, left, height, width = boxes.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= side).all()
    assert (left + width <= side).all()
    assert (height >= bank.low).all()
    assert (width >= bank.low).all()

    # The same rule once more, drawn independently with numpy.
    rng = np.random.default_rng(0)
    area = side * side * rng.uniform(*scale, (8000, 10))
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3), (8000, 10)))
    widths, heights = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (widths <= side) & (heights <= side)
    pick = fits.argmax(axis=1)
    w, h = (np.where(fits.any(axis=1), values[np.arange(8000), pick], side) for values in (widths, heights))
    for drawn, expected in ((width, w), (height, h), (width * height, w * h)):
        grid = np.unique(np.concatenate([drawn, expected]))
        below = (np.searchsorted(np.sort(values), grid, side="right") / 8000 for values in (drawn, expected))
        assert np.abs(np.subtract(*below)).max() < 0.0325  # Kolmogorov-Smirnov, two samples of 8000, p about 0.0005
    free = side - height
    assert abs((top[free > 0] / free[free > 0]).mean() - 0.5) < 0.02
    assert abs(np.corrcoef(width, height)[0, 1] - np.corrcoef(w, h)[0, 1]) < 0.05


@pytest.mark.parametrize(
    ("ratio", "box"), [((3.0, 4.0), (33, 0, 33, 100)), ((0.2, 0.25), (0, 37, 100, 25)), ((1.0, 1.0), (0, 0, 100, 100))]
)
def test_central_box_when_no_draw_fits(ratio, box):
    # A box of the full area fits only where its sides are equal.
    bank = crop_bank(100, 16, (1.0, 1.0), ratio, pass_order=INSTALLED)
    assert tuple(random_crop_box(jax.random.key(0), bank).tolist()) == box
    image = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    actual = np.asarray(resized_crop(image, *box, bank))
    np.testing.assert_array_equal(actual, pillow_crop(image, box, 16))


def test_bank_memory_is_as_documented():
    bank = crop_bank(1024, 224)
    assert bank.axis.weights.shape == (185, 224, 19)
    assert 3.0e6 < sum(leaf.nbytes for leaf in jax.tree.leaves(bank)) < 3.4e6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crop_bank(0, 4), "at least 1 pixel"),
        (lambda: crop_bank(8, 4, (0.5, 1.1)), "crop scale"),
        (lambda: crop_bank(8, 4, (0.9, 0.5)), "crop scale"),
        (lambda: crop_bank(8, 4, (0.5, 1.0), (2.0, 1.0)), "crop ratio"),
        (lambda: resized_crop(np.zeros((9, 9, 3), np.uint8), 0, 0, 8, 8, crop_bank(8, 4)), "side 8"),
        (lambda: resized_crop(np.zeros((8, 8, 3), np.uint8), 1, 0, 8, 8, crop_bank(8, 4)), r"\[1, 9\)"),
        (lambda: resized_crop(np.zeros((8, 8, 3), np.uint8), 0, 0, 1, 8, crop_bank(8, 4)), "span"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
