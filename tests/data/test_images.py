"""Decoding of good and damaged files."""

import errno
import io
import random
import signal
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from lrjax.data import images
from lrjax.data.images import ImageError, decode, prepare, to_rgb
from lrjax.errors import UserError
from lrjax.ops.preprocess import ViewSpec

SPECS = (ViewSpec(16, low=4), ViewSpec(16))


def noise(height, width, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("L", "png"),
        ("P", "gif"),
        ("RGBA", "webp"),
        ("CMYK", "jpg"),
        ("1", "bmp"),
        ("LA", "png"),
        ("RGB", "ppm"),
        ("I;16", "tif"),
    ],
)
def test_decode_equals_pillow_for_every_mode(tmp_path, mode, suffix):
    deep = Image.fromarray(np.random.default_rng(0).integers(0, 60000, (9, 6), np.uint16))
    image = deep if mode == "I;16" else noise(9, 6).convert(mode)
    path = tmp_path / f"x.{suffix}"
    image.save(path)
    expected = Image.open(path)
    for got in (decode(path), decode(path.read_bytes())):
        assert got.mode == expected.mode
        np.testing.assert_array_equal(to_rgb(got), np.asarray(expected.convert("RGB")))


def test_orientation_is_not_applied_and_animations_give_the_first_frame(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (7, 5)).save(tmp_path / "x.jpg", exif=exif)
    assert decode(tmp_path / "x.jpg").size == (7, 5)
    first, *others = (Image.new("RGB", (6, 4), colour) for colour in ("red", "green", "blue"))
    for suffix in ("gif", "webp", "png", "tif"):
        first.save(tmp_path / f"x.{suffix}", save_all=True, append_images=others, lossless=True)
        assert (to_rgb(decode(tmp_path / f"x.{suffix}")) == (255, 0, 0)).all()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "ppm", "tif"])
@pytest.mark.parametrize("keep", [0, 0.02, 0.5])
def test_damaged_images_raise_image_error_with_the_name(tmp_path, suffix, keep):
    path = tmp_path / f"x.{suffix}"
    noise(64, 64).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ImageError, match=rf"x\.{suffix}") as caught:
        decode(path)
    assert caught.value.name == str(path)
    assert isinstance(caught.value, UserError)


def test_the_content_decides_not_the_suffix(tmp_path):
    noise(5, 4).save(tmp_path / "x.jpg", format="PNG")
    assert decode(tmp_path / "x.jpg").size == (4, 5)
    for content in (b"<html>not found</html>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\0" * 99):
        (tmp_path / "y.jpg").write_bytes(content)
        with pytest.raises(ImageError, match=r"y\.jpg.*not an image in one of the formats JPEG, PNG"):
            decode(tmp_path / "y.jpg")
    with pytest.raises(ImageError, match=r"row 7.*file is empty"):
        decode(b"", name="row 7")


def test_files_that_are_gone_are_no_damage(tmp_path):
    noise(5, 4).save(tmp_path / "x.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to("nowhere.jpg")
    for name in ("none.jpg", "folder.jpg", "x.jpg/y.jpg", "link.jpg"):
        with pytest.raises(UserError, match=rf"{name}.*(No such file|Is a directory|Not a directory)") as caught:
            decode(tmp_path / name)
        assert not isinstance(caught.value, ImageError)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO, errno.ENOMEM])
def test_what_is_not_the_fault_of_the_file_is_no_damage(tmp_path, monkeypatch, number):
    def open_regular(path):
        raise OSError(number, "reason")

    monkeypatch.setattr(images, "open_regular", open_regular)
    with pytest.raises(UserError, match=r"x\.jpg' cannot be read \(reason\)") as caught:
        decode(tmp_path / "x.jpg")
    assert not isinstance(caught.value, ImageError)


def test_short_memory_is_no_damage(monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    picture = noise(8, 8)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    for function, call in (("open", lambda: decode(buffer.getvalue())), ("fromarray", None)):
        monkeypatch.setattr(Image, function, fail)
        with pytest.raises(UserError, match="memory is too short") as caught:
            (call or (lambda: prepare(np.zeros((8, 8, 3), np.uint8), SPECS, host=True)))()
        assert not isinstance(caught.value, ImageError)


def png_header(width, height):
    """A PNG that promises a size and has no pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_decompression_bombs_are_damaged_and_large_images_are_quiet():
    with pytest.raises(ImageError, match="exceeds limit of 178956970 pixels"):
        decode(png_header(20_000, 10_000))
    code = (
        "import io\nfrom PIL import Image\nfrom lrjax.data.images import decode\n"
        "Image.MAX_IMAGE_PIXELS = 60\nfile = io.BytesIO()\n"
        "Image.new('RGB', (10, 10)).save(file, 'PNG')\nprint(decode(file.getvalue()).size)"
    )
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(10, 10)"
    assert "DecompressionBomb" not in done.stderr


def saved(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def damaged_files(count):
    """Files with flipped bits, cut ends, inserted garbage and swapped parts, the same in every run."""
    smooth = noise(6, 8).resize((64, 48))
    originals = [
        saved(smooth, "JPEG", quality=90),
        saved(smooth, "JPEG", progressive=True, subsampling=0),
        saved(smooth.convert("CMYK"), "JPEG"),
        saved(smooth, "PNG"),
        saved(smooth.quantize(16), "PNG", transparency=3),
        saved(Image.fromarray(np.asarray(smooth.convert("L"), np.uint16) * 257), "PNG"),
        saved(smooth, "WEBP"),
        saved(smooth.convert("RGBA"), "WEBP", lossless=True),
        saved(smooth, "GIF", save_all=True, append_images=[smooth.rotate(90)]),
        saved(smooth, "TIFF"),
        saved(smooth, "TIFF", compression="tiff_lzw"),
        saved(smooth.convert("L"), "BMP"),
        saved(smooth, "BMP"),
    ]
    draw = random.Random(0)
    for number in range(count):
        content = bytearray(originals[number % len(originals)])
        kind = draw.randrange(4)
        if kind == 0:
            for _ in range(draw.choice([1, 3, 30])):
                content[draw.randrange(draw.choice([64, len(content)]))] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del content[draw.randrange(len(content)) :]
        elif kind == 2:
            place = draw.randrange(len(content))
            content[place:place] = draw.randbytes(draw.choice([1, 16, 500]))
        else:
            place, length = draw.randrange(len(content)), draw.randrange(1, 100)
            content[place : place + length] = draw.randbytes(length)
        yield number, bytes(content)


def test_a_thousand_damaged_files(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500_000)  # a flipped bit in a header asks for much memory

    def hangs(*_):
        raise TimeoutError(f"file {number} hangs")

    previous = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(300)
    outcomes = {"decoded": 0, "refused": 0}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow tells of odd metadata
            for number, content in damaged_files(1000):
                try:
                    image = decode(content, name=f"file {number}")
                    pixels, views = prepare(image, SPECS, name=f"file {number}")
                except ImageError:
                    outcomes["refused"] += 1
                    continue
                assert (pixels is None) != (views is None)
                if views is None:
                    assert pixels.shape == (image.height, image.width, 3) and pixels.dtype == np.uint8
                else:
                    assert views.shape == (2, 16, 16, 3) and views.dtype == np.uint8
                outcomes["decoded"] += 1
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    assert min(outcomes.values()) > 100, outcomes


def test_every_format_is_one_of_pillow():
    Image.init()
    assert set(images.FORMATS) <= set(Image.OPEN)
