"""Resampling against Pillow: every pixel of every case must be equal."""

import jax
import numpy as np
import PIL
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from PIL import Image

from lrjax.errors import UserError
from lrjax.ops.resample import Taps, apply_taps, resize, stack_taps, tap_bound, taps, vertical_pass_first

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
INSTALLED = "pillow13" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow12"
apply_batch = jax.jit(jax.vmap(apply_taps))


def pillow(image: np.ndarray, height: int, width: int, kernel: str, *, window=None, pass_order=INSTALLED) -> np.ndarray:
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    # Pillow 12.2 and 12.3 have an order of their own for images more than a hundred times as tall as wide.
    if pass_order == "pillow12" and (pass_order != INSTALLED or picture.height > 100 * picture.width):
        picture = picture.resize((width, picture.height), FILTERS[kernel])  # each call has one pass: horizontal first
    picture = picture.resize((width, height), FILTERS[kernel])
    if window is not None:
        top, left, rows, columns = window
        picture = picture.crop((left, top, left + columns, top + rows))
    return np.asarray(picture).reshape(picture.size[1], picture.size[0], image.shape[-1])


def draw_case(rng, canvas, largest_out, window, channels, pass_order):
    """One random image on a noisy canvas, the arguments of its resize, and Pillow's answer."""
    height, width = (int(np.exp(rng.uniform(0, np.log(side + 0.99)))) for side in canvas)
    rows, columns = (int(np.exp(rng.uniform(0, np.log(largest_out + 0.99)))) for _ in range(2))
    top, left = (int(rng.integers(-window - 4, n + 4)) if rng.random() < 0.5 else 0 for n in (rows, columns))
    kernel = str(rng.choice(list(FILTERS)))
    pixels = rng.integers(0, 256, (*canvas, channels), dtype=np.uint8)
    if rng.random() < 0.3:
        pixels = (pixels > 127).astype(np.uint8) * 255  # overshoot: the clipping after each pass matters
    axes = (height, rows, top), (width, columns, left)
    pair = [taps(n_in, n_out, start=start, length=window, kernel=kernel) for n_in, n_out, start in axes]
    vertical_first = vertical_pass_first((height, width), (rows, columns), pass_order=pass_order)
    box = (top, left, window, window)
    expected = pillow(pixels[:height, :width], rows, columns, kernel, window=box, pass_order=pass_order)
    return pixels, *pair, vertical_first, expected


def draw_batch(seed, count, canvas, largest_out, window, channels, pass_order):
    rng = np.random.default_rng(seed)
    cases = [draw_case(rng, canvas, largest_out, window, channels, pass_order) for _ in range(count)]
    pixels, rows, columns, vertical_first, expected = zip(*cases, strict=True)
    rows, columns = stack_taps(rows, K=canvas[0]), stack_taps(columns, K=canvas[1])
    return (np.stack(pixels), rows, columns, np.asarray(vertical_first)), np.stack(expected)


@pytest.mark.parametrize(
    ("count", "canvas", "largest_out", "window", "channels", "pass_order"),
    [
        (160, (48, 48), 200, 40, 3, INSTALLED),
        (80, (48, 48), 200, 40, 1, INSTALLED),
        (48, (300, 300), 600, 48, 3, INSTALLED),
        (80, (64, 48), 200, 40, 3, "pillow12"),
        (24, (4096, 24), 600, 24, 1, "pillow12"),
        (24, (24, 4096), 600, 24, 1, "pillow12"),
    ],
)
def test_random_sizes_and_windows_on_a_canvas(count, canvas, largest_out, window, channels, pass_order):
    arguments, expected = draw_batch(sum(canvas) + channels, count, canvas, largest_out, window, channels, pass_order)
    images, rows, columns, vertical_first = arguments
    # A traced order needs a square canvas; on the others every image has the same order.
    order = (vertical_first,) if canvas[0] == canvas[1] else ()
    actual = np.asarray(apply_batch(images, rows, columns, *order))
    wrong = [index for index in range(count) if not np.array_equal(actual[index], expected[index])]
    assert not wrong
    assert len({row.tobytes() for row in rows.weights}) > count // 2  # the cases really differ
    assert vertical_first.any() == (pass_order == "pillow13")


def test_sharded_over_the_batch_without_communication():
    arguments, expected = draw_batch(11, 48, (64, 64), 100, 32, 3, INSTALLED)
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    arguments = jax.device_put(arguments, sharding)
    compiled = jax.jit(jax.vmap(apply_taps), out_shardings=sharding).lower(*arguments).compile()
    actual = compiled(*arguments)
    np.testing.assert_array_equal(np.asarray(actual), expected)
    assert actual.sharding.is_equivalent_to(sharding, actual.ndim)
    assert not any(word in compiled.as_text() for word in ("all-gather", "all-reduce", "all-to-all", "collective"))


@pytest.mark.parametrize("kernel", FILTERS)
@pytest.mark.parametrize(
    ("size", "out"),
    [
        ((1, 1), (1, 1)),
        ((1, 1), (7, 5)),
        ((5, 9), (1, 1)),
        ((1, 40), (40, 1)),
        ((33, 17), (33, 40)),
        ((33, 17), (8, 17)),
        ((33, 17), (33, 17)),
        ((4096, 3), (1, 3)),
        ((3, 1), (2, 4096)),
        ((2, 4096), (3, 1)),
        ((1, 2), (4096, 2)),
        ((1000, 2), (999, 2)),
        ((2, 999), (2, 1000)),
    ],
)
def test_edge_sizes(kernel, size, out):
    image = np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), dtype=np.uint8)
    actual = np.asarray(resize(image, *out, kernel=kernel, pass_order=INSTALLED))
    np.testing.assert_array_equal(actual, pillow(image, *out, kernel))


@pytest.mark.parametrize(
    ("size", "new_size", "vertical"),
    [
        ((40, 10), (20, 10), True),
        ((40, 10), (20, 1), True),  # 20 rows against 9 columns
        ((40, 11), (20, 1), False),  # 20 rows are not more than twice 10 columns
        ((40, 10), (40, 90), False),  # the height does not shrink
        ((40, 10), (39, 90), True),
        ((10, 40), (5, 4), False),
    ],
)
def test_order_of_passes(size, new_size, vertical):
    assert vertical_pass_first(size, new_size) is vertical
    assert vertical_pass_first(size, new_size, pass_order="pillow12") is False
    image = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    old = np.asarray(resize(image, *new_size, pass_order="pillow12"))
    np.testing.assert_array_equal(old, pillow(image, *new_size, "bicubic", pass_order="pillow12"))
    if INSTALLED == "pillow13":
        np.testing.assert_array_equal(np.asarray(resize(image, *new_size)), pillow(image, *new_size, "bicubic"))


def test_orders_of_passes_differ():
    image = np.random.default_rng(5).integers(0, 256, (60, 12, 3), dtype=np.uint8)
    new, old = (np.asarray(resize(image, 20, 9, pass_order=order)).astype(int) for order in ("pillow13", "pillow12"))
    assert 0 < np.abs(new - old).max() <= 40


def test_window_that_misses_the_image_is_black():
    image = np.full((8, 8, 3), 255, np.uint8)
    assert not np.asarray(resize(image, 16, 16, window=(16, 0, 4, 4))).any()
    assert not np.asarray(resize(image, 16, 16, window=(0, -9, 4, 9))).any()
    partly = np.asarray(resize(image, 16, 16, window=(-2, 14, 4, 4)))
    assert partly.sum() == 2 * 2 * 3 * 255
    assert (partly[2:, :2] == 255).all()


@pytest.mark.parametrize(
    ("side", "row", "column", "sums"),
    [
        (64, 1, 1, [699080, 694234, 657487]),
        (224, 1, 1, [6381722, 6380360, 6205522]),
        (224, 0, 2, [3311082, 3102131, 3017469]),
        (256, 1, 1, [6297229, 6392637, 6356957]),
        (448, 2, 0, [5002043, 4833087, 4844853]),
    ],
)
def test_golden_sums_of_zoom_views(side, row, column, sums):
    y, x = np.mgrid[:75, :100]
    image = np.stack([7 * x + 3 * y, 5 * x + 11 * y, x * y], axis=-1).astype(np.uint8)
    height, width = side, side * 100 // 75
    top = row * (height // 3) + height // 3 // 2 - 112
    left = column * (width // 3) + width // 3 // 2 - 112
    view = np.asarray(resize(image, height, width, window=(top, left, 224, 224)))
    assert view.sum(axis=(0, 1), dtype=np.int64).tolist() == sums


def test_known_taps():
    # Halving with a triangle of radius 2: weights 1/8, 3/8, 3/8, 1/8, and 3/7, 3/7, 1/7 at the border.
    halved = taps(8, 4, kernel="bilinear")
    one = 1 << 22
    assert halved.first.tolist() == [0, 1, 3, 5]
    assert halved.weights[1].tolist() == [one // 8, 3 * one // 8, 3 * one // 8, one // 8]
    assert halved.weights[0].tolist() == [round(3 * one / 7), round(3 * one / 7), round(one / 7), 0]
    identity = taps(9, 9)
    assert identity.first.tolist() == list(range(9))
    assert identity.weights.tolist() == [[one]] * 9


def test_source_window_shifts_the_indices():
    whole = taps(100, 30, start=10, length=5)
    held = taps(100, 30, start=10, length=5, source=(20, 70))
    np.testing.assert_array_equal(held.first, whole.first - 20)
    np.testing.assert_array_equal(held.weights, whole.weights)
    with pytest.raises(UserError, match="outside the held input"):
        taps(100, 30, start=10, length=5, source=(35, 70))
    with pytest.raises(UserError, match="outside the held input"):
        taps(100, 30, start=10, length=5, source=(20, 50))


@pytest.mark.parametrize("kernel", FILTERS)
def test_tap_bound_holds(kernel):
    for n_in in (1, 2, 7, 32, 100, 301):
        for n_out in (1, 2, 3, 16, 99, 224):
            assert taps(n_in, n_out, kernel=kernel).weights.shape[1] <= tap_bound(n_in / n_out, kernel=kernel)


def test_taps_are_cached_and_read_only():
    first = taps(50, 20)
    assert taps(np.int64(50), 20, length=20).weights is first.weights
    with pytest.raises(ValueError, match="read-only"):
        first.weights[0, 0] = 1


def test_stack_taps_pads_with_zeros():
    stacked = stack_taps([taps(32, 4), taps(4, 4)], K=40)
    assert isinstance(stacked, Taps)
    assert stacked.first.shape == (2, 4)
    assert stacked.weights.shape == (2, 4, 40)
    assert not stacked.weights[1, :, 1:].any()
    assert (stacked.weights[1, :, 0] == 1 << 22).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: taps(0, 4), "at least 1"),
        (lambda: taps(4, 0), "at least 1"),
        (lambda: taps(4, 4, length=0), "empty"),
        (lambda: taps(4, 4, start=4), "empty"),
        (lambda: vertical_pass_first((4, 4), (2, 2), pass_order="pillow11"), "unknown pass order 'pillow11'"),
        (lambda: jax.jit(apply_taps)(np.zeros((4, 5, 3), np.uint8), taps(4, 2), taps(5, 2), True), "square canvas"),
        (lambda: taps(4, 4, kernel="lanczos"), "unknown resampling kernel 'lanczos'"),
        (lambda: stack_taps([]), "cannot stack"),
        (lambda: stack_taps([taps(4, 4), taps(4, 5)]), "lengths"),
        (lambda: stack_taps([taps(64, 4)], K=3), "K is 3"),
        (lambda: resize(np.zeros((4, 4, 3), np.float32), 2, 2), "uint8"),
        (lambda: resize(np.zeros((4, 4), np.uint8), 2, 2), r"\[H, W, C\]"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
