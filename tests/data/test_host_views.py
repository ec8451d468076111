"""Views by Pillow against torchvision's transforms, and against the taps of the device."""

import dataclasses
import tracemalloc

import jax
import numpy as np
import PIL
import pytest
from PIL import Image, ImageOps

from lrjax.data.images import ImageError, host_windows, prepare, render_view
from lrjax.ops.preprocess import ViewSpec, batch_view_taps, short_side_size, view_taps
from lrjax.ops.preprocess import render_view as render_on_device
from lrjax.ops.resample import apply_taps
from lrjax.ops.zoom import centre_zoom_specs, crop_spec, zoom_spec
from torch_reference import import_open_clip

MODES = ("RGB", "L", "P", "1", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "I", "F", "HSV", "transparent palette")
SPECS = (
    ViewSpec(40, low=None),
    ViewSpec(40, low=7),
    ViewSpec(40, low=16, kernel="bilinear"),
    ViewSpec(40, low=40),
    ViewSpec(40, low=9, mode="squash"),
    ViewSpec(40, mode="squash", kernel="bilinear"),
    ViewSpec(40, resize=46, low=12),
    ViewSpec(40, resize=31, low=12),
)


def picture(height, width, mode="RGB"):
    rng = np.random.default_rng(height)
    pixels = rng.integers(0, 256, (height, width, 4), np.uint8)
    if mode in ("I;16", "I", "F"):
        grey = pixels[..., 0].astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
        return Image.fromarray(grey * 257 if mode == "I;16" else grey)
    if mode == "transparent palette":
        palette = Image.fromarray(pixels[..., :3]).quantize(32)
        palette.info["transparency"] = 3
        return palette
    image = Image.fromarray(pixels)
    return image if mode == "RGBA" else image.convert("LA") if mode == "LA" else image.convert("RGB").convert(mode)


def torchvision_view(image, spec, rgb):
    import_open_clip()
    from torchvision.transforms import CenterCrop, InterpolationMode, Resize

    kernel = InterpolationMode(spec.kernel)
    if rgb == "before":
        image = image.convert("RGB")
    for side in [spec.resized_side] if spec.low is None else [spec.low, spec.resized_side]:
        image = Resize((side, side) if spec.mode == "squash" else side, kernel)(image)
    image = image if spec.mode == "squash" else CenterCrop(spec.size)(image)
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rgb", ["after", "before"])
def test_views_equal_torchvision(mode, rgb):
    for height, width in ((70, 55), (33, 90), (200, 31), (40, 40), (1, 1)):
        image = picture(height, width, mode)
        _, views = prepare(image, SPECS, rgb=rgb, host=True)
        for view, spec in zip(views, SPECS, strict=True):
            expected = torchvision_view(image, spec, rgb)
            np.testing.assert_array_equal(view, expected, err_msg=f"{mode} {height} x {width} {spec}")


def test_which_images_the_device_resamples():
    for mode in MODES:
        for rgb in ("after", "before"):
            pixels, views = prepare(picture(30, 20, mode), SPECS[:2], rgb=rgb)
            assert (pixels is not None) == (mode in ("RGB", "L") or rgb == "before"), mode
            assert (views is None) == (pixels is not None)
    for image in (picture(1024, 3), np.asarray(picture(1024, 3))):
        assert prepare(image, SPECS)[1] is None
    for image in (picture(1025, 3), np.asarray(picture(3, 1025))):
        assert prepare(image, SPECS)[0] is None
        assert prepare(image, SPECS, rgb="before")[0] is None


@pytest.mark.parametrize(
    "spec",
    [
        ViewSpec(96),
        ViewSpec(96, low=16),
        ViewSpec(96, low=64, kernel="bilinear"),
        ViewSpec(96, low=31, mode="squash", kernel="bilinear"),
        ViewSpec(96, mode="squash"),
    ],
    ids=str,
)
def test_large_images_equal_the_taps_of_the_device(spec):
    sizes = np.array([[1100, 1500], [1500, 1100], [1500, 300], [300, 1499], [1201, 1201], [1500, 90]])
    canvas = np.zeros((len(sizes), 1500, 1500, 3), np.uint8)
    images = [picture(*size) for size in sizes]
    for row, image in zip(canvas, images, strict=True):
        row[: image.height, : image.width] = np.asarray(image)
    render, found = jax.jit(render_on_device), {}
    for order in ("pillow13", "pillow12"):
        one = dataclasses.replace(spec, pass_order=order)
        found[order] = np.stack([np.asarray(render_view(image, one)) for image in images])
        np.testing.assert_array_equal(found[order], render(canvas, batch_view_taps(sizes, one, canvas=1500)))
    assert (found["pillow12"] != found["pillow13"]).any()


def test_very_long_images():
    image, spec = picture(1, 20_000), ViewSpec(64, low=16)
    expected = np.asarray(image)
    for rows, columns, vertical_first in view_taps(1, 20_000, spec):
        expected = apply_taps(expected, rows, columns, bool(vertical_first))
    np.testing.assert_array_equal(prepare(image, (spec,))[1][0], expected)
    large = picture(300, 20_000)
    long = large.resize((1066, 16), Image.Resampling.BICUBIC).resize((4264, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(prepare(large, (spec,))[1][0], np.asarray(long.crop((2100, 0, 2164, 64))))


def test_too_long_images_are_refused_before_memory_is_taken():
    tracemalloc.start()
    with pytest.raises(ImageError, match=r"image 'long\.png' .* 224 x 4480000, exceeds Pillow's limit of 178956970"):
        prepare(picture(20_000, 1), (ViewSpec(224),), name="long.png")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_unknown_kinds_of_pixels():
    with pytest.raises(ImageError, match=r"image .premultiplied. cannot be decoded \(conversion from La"):
        prepare(Image.new("La", (9, 9)), SPECS, name="premultiplied")


@pytest.mark.parametrize(("height", "width"), [(75, 100), (260, 47), (33, 230)])
def test_windows_by_pillow_equal_a_resize_of_the_whole_image(height, width):
    image = picture(height, width)
    order = "pillow13" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow12"
    zooms = [zoom_spec(scale, size=64, pass_order=order) for scale in (10, 48, 224, 512)]
    for spec in (
        *zooms,
        crop_spec(mirrored=True, size=64, pass_order=order),
        *centre_zoom_specs(pass_order=order)[::5],
    ):
        new_height, new_width = short_side_size(height, width, spec.side)
        resized = image.resize((new_width, new_height), Image.Resampling.BICUBIC)
        found = host_windows(image, spec)
        assert found.shape == (len(spec.places), spec.size, spec.size, 3)
        for view, (row, column, mirrored) in zip(found, spec.places, strict=True):
            top, left = spec.starts(new_height, spec.size)[row], spec.starts(new_width, spec.size)[column]
            expected = resized.crop((left, top, left + spec.size, top + spec.size))
            np.testing.assert_array_equal(view, np.asarray(ImageOps.mirror(expected) if mirrored else expected))
