"""Zoom views and crops against Pillow and torchvision: every pixel must be equal."""

import functools

import jax
import numpy as np
import PIL
import pytest
from PIL import Image, ImageOps

from lrjax.errors import UserError
from lrjax.ops.preprocess import short_side_size
from lrjax.ops.zoom import (
    ANCHORS,
    CENTRE_SCALES,
    SCALES,
    VIEWS,
    anchor_starts,
    batch_window_taps,
    centre_zoom_specs,
    crop_spec,
    render_windows,
    stack_window_taps,
    window_shape,
    zoom_spec,
)
from torch_reference import import_open_clip

INSTALLED = "pillow13" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow12"
SIZE = 224
render = jax.jit(render_windows, static_argnames=("size", "places", "images_at_once"))


def published_picture():
    y, x = np.mgrid[:75, :100]
    return np.stack([7 * x + 3 * y, 5 * x + 11 * y, x * y], axis=-1).astype(np.uint8)


def on_canvas(images, side):
    canvas = np.zeros((len(images), side, side, 3), np.uint8)
    for rows, image in zip(canvas, images, strict=True):
        rows[: image.shape[0], : image.shape[1]] = image
    return canvas


def windows(images, specs, *, side=None, **options):
    """Windows of images at one or more scales, [B, s, n, size, size, 3]."""
    sizes = np.array([image.shape[:2] for image in images])
    shape = tuple(np.max([window_shape(sizes, spec) for spec in specs], axis=0).tolist())
    items = stack_window_taps([batch_window_taps(sizes, spec, shape=shape) for spec in specs])
    canvas = on_canvas(images, side or int(sizes.max()))
    return np.asarray(render(canvas, items, size=specs[0].size, places=specs[0].places, **options))


def pillow_zooms(image, scale, *, size=SIZE):
    """The nine views of a scale as the published listing makes them: one resize, one crop for each (row, column)."""
    height, width = short_side_size(*image.shape[:2], scale)
    picture = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    views = []
    for slice_x in range(3):
        for slice_y in range(3):
            tile_x, tile_y = width // 3, height // 3
            anchor_x, anchor_y = slice_y * tile_x + tile_x // 2, slice_x * tile_y + tile_y // 2
            left, top = anchor_x - size // 2, anchor_y - size // 2
            views.append(np.asarray(picture.crop((left, top, left + size, top + size))))
    return np.stack(views)


def draw_images(seed, count, largest, longest_ratio):
    rng = np.random.default_rng(seed)
    images = []
    for number in range(count):
        long = int(rng.integers(largest // 3, largest + 1))
        short = max(1, int(long / np.exp(rng.uniform(0, np.log(longest_ratio)))))
        shape = (long, short) if number % 2 else (short, long)
        pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        if number % 4 > 1:
            pixels = (pixels > 127).astype(np.uint8) * 255  # overshoot: the clipping after each pass matters
        images.append(pixels)
    return images


def test_scales_and_anchors_are_those_of_the_paper():
    linear = [int(side) for side in np.linspace(10, 1024, 10)]
    assert sorted(SCALES) == sorted({*SCALES[:27], *linear})
    assert SCALES[27:] == tuple(linear[1:])
    assert len(set(SCALES)) == 36
    assert sum(scale < 224 for scale in SCALES) == 9
    assert sum(scale > 224 for scale in SCALES) == 26
    assert ANCHORS == ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2))
    assert VIEWS == 324


@pytest.mark.parametrize(
    ("width", "height", "scale", "row", "column", "box"),
    [
        (500, 375, 10, 0, 0, (-110, -111, 114, 113)),
        (500, 375, 10, 1, 1, (-106, -108, 118, 116)),
        (500, 375, 10, 2, 2, (-102, -105, 122, 119)),
        (500, 375, 224, 0, 0, (-63, -75, 161, 149)),
        (500, 375, 224, 1, 1, (36, -1, 260, 223)),
        (500, 375, 224, 2, 2, (135, 73, 359, 297)),
        (500, 375, 256, 0, 0, (-56, -70, 168, 154)),
        (500, 375, 256, 1, 1, (57, 15, 281, 239)),
        (500, 375, 256, 2, 2, (170, 100, 394, 324)),
        (500, 375, 256, 0, 2, (170, -70, 394, 154)),
        (500, 375, 256, 2, 0, (-56, 100, 168, 324)),
        (500, 375, 1024, 0, 0, (115, 58, 339, 282)),
        (500, 375, 1024, 1, 1, (570, 399, 794, 623)),
        (500, 375, 1024, 2, 2, (1025, 740, 1249, 964)),
        (375, 500, 256, 0, 0, (-70, -56, 154, 168)),
        (375, 500, 256, 1, 1, (15, 57, 239, 281)),
        (375, 500, 256, 2, 2, (100, 170, 324, 394)),
        (333, 500, 224, 0, 0, (-75, -56, 149, 168)),
        (333, 500, 224, 1, 1, (-1, 56, 223, 280)),
        (333, 500, 224, 2, 2, (73, 168, 297, 392)),
    ],
)
def test_boxes_computed_by_hand_from_the_published_rule(width, height, scale, row, column, box):
    new_height, new_width = short_side_size(height, width, scale)
    left, top = anchor_starts(new_width)[column], anchor_starts(new_height)[row]
    assert (left, top, left + SIZE, top + SIZE) == box


@pytest.mark.parametrize(
    ("scale", "row", "column", "sums"),
    [
        (64, 1, 1, (699080, 694234, 657487)),
        (224, 1, 1, (6381722, 6380360, 6205522)),
        (224, 0, 2, (3311082, 3102131, 3017469)),
        (256, 1, 1, (6297229, 6392637, 6356957)),
        (448, 2, 0, (5002043, 4833087, 4844853)),
    ],
)
def test_pixel_sums_of_pillow_13(scale, row, column, sums):
    views = windows([published_picture()], [zoom_spec(scale)])
    view = views[0, 0, ANCHORS.index((row, column))]
    assert tuple(view.sum(axis=(0, 1), dtype=np.int64).tolist()) == sums


@pytest.mark.slow
def test_all_views_of_forty_images_equal_pillow():
    images = draw_images(0, 40, largest=96, longest_ratio=6)
    assert any(image.shape[0] > 2 * image.shape[1] for image in images)  # some take the vertical pass first
    for scale in SCALES:
        rendered = windows(images, [zoom_spec(scale, pass_order=INSTALLED)])[:, 0]
        for image, views in zip(images, rendered, strict=True):
            np.testing.assert_array_equal(views, pillow_zooms(image, scale), err_msg=f"{image.shape} {scale}")


def test_photographs_at_some_scales_equal_pillow():
    images = draw_images(1, 4, largest=512, longest_ratio=4)
    for scale in (10, 96, 224, 235, 512, 1024):
        rendered = windows(images, [zoom_spec(scale, pass_order=INSTALLED)])[:, 0]
        for image, views in zip(images, rendered, strict=True):
            np.testing.assert_array_equal(views, pillow_zooms(image, scale), err_msg=f"{image.shape} {scale}")


def test_several_scales_and_images_at_once_are_the_same_views():
    images = draw_images(2, 5, largest=64, longest_ratio=3)
    specs = [zoom_spec(scale, size=48, pass_order=INSTALLED) for scale in (64, 192, 224)]
    alone = np.concatenate([windows(images, [spec]) for spec in specs], axis=1)
    for images_at_once in (1, 2):
        np.testing.assert_array_equal(windows(images, specs, images_at_once=images_at_once), alone)


def test_another_window_shows_the_same_part_of_the_image():
    spec = zoom_spec(686, size=128, pass_order=INSTALLED)
    assert (spec.side, spec.size) == (392, 128)
    image = draw_images(3, 1, largest=96, longest_ratio=2)[0]
    np.testing.assert_array_equal(windows([image], [spec])[0, 0], pillow_zooms(image, 392, size=128))
    sides = [zoom_spec(scale, size=size).side for size in (128, 336) for scale in SCALES]
    assert len(set(sides[:36])) == len(set(sides[36:])) == 36  # no two scales coincide


def test_few_shapes_are_compiled():
    shapes = {window_shape(np.array([(375, 500), (500, 333)]), zoom_spec(scale)) for scale in SCALES}
    assert len(shapes) <= 13
    assert window_shape(np.array([(375, 500)]), zoom_spec(1024)) == (3 * SIZE, 4)


def test_a_shape_that_is_too_small_is_refused():
    with pytest.raises(UserError, match="an image of 300 x 400 needs"):
        batch_window_taps(np.array([(300, 400)]), zoom_spec(256), shape=(64, 8))


@functools.cache
def torchvision_transforms():
    import_open_clip()  # makes torchvision importable
    from torchvision import transforms

    return transforms


@pytest.mark.parametrize("size", [224, 96])
def test_five_and_ten_crops_equal_torchvision(size):
    transforms = torchvision_transforms()
    images = draw_images(4, 5, largest=80, longest_ratio=3)
    side = {224: 256, 96: 110}[size]
    resize = transforms.Resize(side, transforms.InterpolationMode.BICUBIC)
    for mirrored, cut in ((False, transforms.FiveCrop(size)), (True, transforms.TenCrop(size))):
        rendered = windows(images, [crop_spec(mirrored=mirrored, size=size, pass_order=INSTALLED)])[:, 0]
        for image, views in zip(images, rendered, strict=True):
            expected = [np.asarray(crop) for crop in cut(resize(Image.fromarray(image)))]
            np.testing.assert_array_equal(views, np.stack(expected), err_msg=f"{image.shape}")


def test_mirrored_crops_are_those_of_the_mirrored_image():
    image = draw_images(5, 1, largest=90, longest_ratio=1.5)[0]
    ten = windows([image], [crop_spec(mirrored=True, size=96, pass_order=INSTALLED)])[0, 0]
    height, width = short_side_size(*image.shape[:2], 110)
    picture = ImageOps.mirror(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(ten[5], np.asarray(picture.crop((0, 0, 96, 96))))


def test_centre_zooms_equal_torchvision():
    assert CENTRE_SCALES == (128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
    transforms = torchvision_transforms()
    images = draw_images(6, 4, largest=120, longest_ratio=2)
    rendered = windows(images, centre_zoom_specs(pass_order=INSTALLED))[:, :, 0]
    for number, scale in enumerate(CENTRE_SCALES):
        resize = transforms.Resize(scale, transforms.InterpolationMode.BICUBIC)
        for image, views in zip(images, rendered, strict=True):
            expected = transforms.CenterCrop(224)(resize(Image.fromarray(image)))
            np.testing.assert_array_equal(views[number], np.asarray(expected), err_msg=f"{image.shape} {scale}")
