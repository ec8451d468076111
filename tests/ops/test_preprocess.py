"""Views of images of any size against Pillow pipelines with the geometry written out again."""

import jax
import jax.numpy as jnp
import numpy as np
import PIL
import pytest
from PIL import Image

from lrjax.errors import UserError
from lrjax.ops.preprocess import (
    ViewSpec,
    batch_view_taps,
    canvas_side,
    normalize,
    render_view,
    short_side_size,
    view_taps,
)

INSTALLED = "pillow13" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow12"
render = jax.jit(render_view)


def reference_resize(picture, side, mode, kernel):
    width, height = picture.size
    if mode == "squash":
        return picture.resize((side, side), kernel)
    short, long = min(width, height), max(width, height)
    new_long = int(side * long / short)
    return picture.resize((side, new_long) if width <= height else (new_long, side), kernel)


def reference_view(image, spec):
    kernel = Image.Resampling[spec.kernel.upper()]
    picture = Image.fromarray(image)
    if spec.low is not None:
        picture = reference_resize(picture, spec.low, spec.mode, kernel)
    picture = reference_resize(picture, spec.resize or spec.size, spec.mode, kernel)
    width, height = picture.size
    size = spec.size
    pad_left, pad_top = max(size - width, 0) // 2, max(size - height, 0) // 2
    padded = Image.new("RGB", (max(width, size), max(height, size)))
    padded.paste(picture, (pad_left, pad_top))
    left, top = round((padded.width - size) / 2.0), round((padded.height - size) / 2.0)
    return np.asarray(padded.crop((left, top, left + size, top + size)))


def random_images(seed, count, largest):
    rng = np.random.default_rng(seed)
    sizes = np.exp(rng.uniform(np.log(largest / 12), np.log(largest + 0.99), (count, 2))).astype(int)
    sizes[:4] = [[largest, largest // 3 - 1], [largest // 3 - 1, largest], [largest, 5], [3, largest]]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes], sizes


def check(images, sizes, spec, canvas):
    stack = np.zeros((len(images), canvas, canvas, 3), np.uint8)
    stack[:] = 177  # what lies beside an image must not leak into it
    for row, image in zip(stack, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    actual = np.asarray(render(stack, batch_view_taps(sizes, spec, canvas=canvas)))
    for image, view in zip(images, actual, strict=True):
        np.testing.assert_array_equal(view, reference_view(image, spec), err_msg=f"{image.shape} {spec}")


@pytest.mark.parametrize("mode", ["crop", "squash"])
@pytest.mark.parametrize(("kernel", "low"), [("bicubic", None), ("bilinear", None), ("bicubic", 16), ("bilinear", 31)])
def test_views_equal_pillow(mode, kernel, low):
    images, sizes = random_images(low or 1, 24, 200)
    spec = ViewSpec(96, mode=mode, kernel=kernel, low=low, pass_order=INSTALLED)
    check(images, sizes, spec, canvas_side(sizes))


@pytest.mark.parametrize("low", [1, 2, 7, 48, 64])
def test_low_resolutions_from_one_pixel_to_the_model_side(low):
    images, sizes = random_images(100 + low, 12, 90)
    check(images, sizes, ViewSpec(64, low=low, pass_order=INSTALLED), 128)


@pytest.mark.parametrize(
    ("size", "resize", "low"), [(56, 64, None), (56, 64, 20), (64, 40, None), (65, 40, 16), (64, 41, None)]
)
def test_resize_side_apart_from_the_crop(size, resize, low):
    images, sizes = random_images(size + resize, 12, 100)
    check(images, sizes, ViewSpec(size, resize=resize, low=low, pass_order=INSTALLED), 128)


def test_full_size_pipeline():
    rng = np.random.default_rng(8)
    images = [
        rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((375, 500), (500, 333), (500, 180), (224, 224))
    ]
    sizes = np.array([image.shape[:2] for image in images])
    for low in (None, 16, 128):
        check(images, sizes, ViewSpec(224, low=low, pass_order=INSTALLED), 512)


def test_batches_of_one_canvas_share_one_compilation():
    count = 0

    @jax.jit
    def counted(canvas, stages):
        nonlocal count
        count += 1
        return render_view(canvas, stages)

    spec = ViewSpec(32, low=8)
    for sizes in ([[70, 100], [100, 128]], [[128, 1], [2, 65]], [[65, 65], [127, 128]]):
        counted(np.zeros((2, 128, 128, 3), np.uint8), batch_view_taps(np.array(sizes), spec, canvas=128))
    assert count == 1


def test_elongated_images_are_computed_on_a_window_only():
    down, up = view_taps(4000, 20, ViewSpec(224, low=16))
    assert down.rows.first.shape == down.columns.first.shape == (23,)
    assert up.rows.first.shape == (224,)
    assert up.rows.weights.shape[1] == 4
    assert len(view_taps(4000, 20, ViewSpec(224, low=224))) == 1


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [((375, 500), 224, (224, 298)), ((500, 333), 224, (336, 224)), ((375, 500), 10, (10, 13)), ((7, 7), 3, (3, 3))],
)
def test_short_side_size(size, side, expected):
    assert short_side_size(*size, side) == expected


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([[10, 20]], 64), ([[64, 65]], 128), ([[375, 500], [32, 32]], 512), ([[512, 100]], 512), ([[513, 1]], 1024)],
)
def test_canvas_side_is_a_power_of_two(sizes, side):
    assert canvas_side(np.array(sizes)) == side


def test_canvas_of_equal_squares_is_exact():
    assert canvas_side(np.array([[224, 224]] * 3)) == 224
    assert canvas_side(np.array([[28, 28]])) == 28
    assert canvas_side(np.array([[1000, 1000]])) == 1000


def test_normalize_matches_float32_arithmetic():
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    expected = (images.astype(np.float32) / np.float32(255) - np.float32(mean)) / np.float32(std)
    actual = jax.jit(lambda x: normalize(x, mean, std))(images)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=5e-7)
    np.testing.assert_allclose(actual[0, 0, 0], (np.zeros(3) - mean) / np.array(std), atol=1e-6)
    assert normalize(images, mean, std, dtype=jnp.bfloat16).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ViewSpec(224, low=256), "resolution 256 is above the model's own 224"),
        (lambda: ViewSpec(224, resize=100, low=128), "above the model's own 100"),
        (lambda: ViewSpec(224, low=0), "at least 1 pixel"),
        (lambda: ViewSpec(224, mode="pad"), "unknown preprocessing mode 'pad'"),
        (lambda: ViewSpec(224, kernel="box"), "unknown resampling kernel 'box'"),
        (lambda: ViewSpec(224, pass_order="any"), "unknown pass order 'any'"),
        (lambda: ViewSpec(224, mode="squash", resize=256), "no crop"),
        (lambda: view_taps(0, 5, ViewSpec(8)), "0 x 5"),
        (lambda: canvas_side(np.array([[1025, 1025]])), "exceeds the canvas of 1024"),
        (lambda: batch_view_taps(np.array([[70, 20]]), ViewSpec(8), canvas=64), "does not fit a canvas of 64"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
