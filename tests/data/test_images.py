import numpy as np
import pytest
from PIL import Image

from lrjax.data.images import ImageError, decode, to_rgb
from lrjax.errors import UserError


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
    rng = np.random.default_rng(0)
    base = Image.fromarray(rng.integers(0, 256, (9, 6, 3), np.uint8))
    image = Image.fromarray(rng.integers(0, 60000, (9, 6), np.uint16)) if mode == "I;16" else base.convert(mode)
    path = tmp_path / f"x.{suffix}"
    image.save(path)
    expected = Image.open(path)
    for got in (decode(path), decode(path.read_bytes())):
        assert got.mode == expected.mode
        np.testing.assert_array_equal(to_rgb(got), np.asarray(expected.convert("RGB")))


def test_decode_does_not_apply_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (7, 5)).save(tmp_path / "x.jpg", exif=exif)
    assert decode(tmp_path / "x.jpg").size == (7, 5)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "ppm", "tif"])
@pytest.mark.parametrize("keep", [0, 0.02, 0.5])
def test_damaged_images_raise_image_error_with_the_name(tmp_path, suffix, keep):
    rng = np.random.default_rng(0)
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ImageError, match=rf"x\.{suffix}") as caught:
        decode(path)
    assert caught.value.name == str(path)
    assert isinstance(caught.value, UserError)


def test_decode_of_other_content_and_missing_file(tmp_path):
    (tmp_path / "x.jpg").write_text("<html>not found</html>")
    with pytest.raises(ImageError, match=r"x\.jpg"):
        decode(tmp_path / "x.jpg")
    with pytest.raises(ImageError, match=r"none\.jpg"):
        decode(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="row 7"):
        decode(b"", name="row 7")
