"""Bombs: memory and time of decoding are bounded, and what is too large is refused with the name of the setting."""

import gzip
import io
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

import on_disk
from lrjax.config import Config
from lrjax.data.__main__ import main
from lrjax.data.images import ImageError, decode
from lrjax.data.loader import batches, training_batches
from lrjax.data.memory import GIB, MEMORY, DecodingMemory
from lrjax.data.sources.folder import ImageFolder
from lrjax.data.sources.idx import IdxImages
from lrjax.errors import UserError
from lrjax.ops.preprocess import ViewSpec
from lrjax.runs.config_reader import from_mapping
from run_helpers import write_recipe


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    """Sets the limit of the process in bytes for the time of a test."""
    monkeypatch.setattr(MEMORY, "limit", MEMORY.limit)
    return lambda size: setattr(MEMORY, "limit", size)


def test_threads_wait_for_each_other():
    memory, together, most = DecodingMemory(20 * 100 * 3), 0, 0
    lock, full = threading.Lock(), threading.Barrier(3, timeout=30)

    def work():
        nonlocal together, most
        with memory.hold():
            memory.claim(10, 10, encoded=0, name="x")
            with lock:
                together += 1
                most = max(most, together)
            full.wait()  # as many as fit are there at once, or this would never end
            with lock:
                together -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert (most, together, memory._used) == (3, 0, 0)


def test_an_image_replaces_the_one_before_it_and_errors_give_all_back():
    memory = DecodingMemory(20 * 100)
    with memory.hold():
        for _ in range(3):
            memory.claim(10, 10, encoded=0, name="x")
            assert memory._used == 2000
        with pytest.raises(
            UserError, match=r"^image 'x' of 10 x 11 pixels takes .* GiB of memory, more than config.data"
        ):
            memory.claim(10, 11, encoded=0, name="x")
    assert memory._used == 0
    memory.claim(10, 10, encoded=0, name="x")  # outside of a context, nothing is counted
    assert memory._used == 0
    with pytest.raises(UserError, match="decode_gib"):
        memory.claim(10, 10, encoded=1, name="x")


@pytest.fixture
def folder(tmp_path):
    """Eight images of two sizes."""
    for name in on_disk.NAMES[:8]:
        on_disk.write(tmp_path / f"{name}.png", on_disk.png(name))
    return tmp_path


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
def test_a_small_file_of_many_pixels(tmp_path, limit, mode, kind):
    image = Image.new(mode, (500, 400))
    content = io.BytesIO()
    image.save(content, kind, **({"lossless": True} if kind == "WEBP" else {}))
    limit(20 * 500 * 400 + len(content.getvalue()))
    assert decode(content.getvalue()).size == (500, 400)
    limit(MEMORY.limit - 1)
    with pytest.raises(
        UserError, match=r"image 'bomb' of 500 x 400 pixels takes 0.00 GiB .*config.data.decode_gib"
    ) as error:
        decode(content.getvalue(), name="bomb")
    assert not isinstance(error.value, ImageError)  # a setting does not change which images are counted


def test_a_large_file_is_not_read(tmp_path, limit):
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(
        UserError, match=r"image '.*x.png' takes 1,024.00 GiB of memory, more than config.data.decode_gib, 8;"
    ):
        decode(tmp_path / "x.png")


@pytest.mark.parametrize("workers", [0, 4])
def test_a_bound_changes_no_batch(folder, limit, workers):
    source, specs = ImageFolder(folder), (ViewSpec(8), ViewSpec(8, low=4))
    options = {"workers": workers}

    def read():
        return (
            [batch.images for batch in batches(source, 4, specs=specs, **options)],
            [batch.images for batch in batches(source, 4, specs=(), indices=range(8), **options)],
            [next(training_batches(source, 4, seed=0, size=8, **options))["image"]],
        )

    expected = read()
    largest = max(20 * 6 * on_disk.pixels(name).shape[0] + len(on_disk.png(name)) for name in on_disk.NAMES[:8])
    limit(largest)
    for found, wanted in zip(read(), expected, strict=True):
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)
    assert MEMORY._used == 0
    limit(largest - 1)
    for start in (
        lambda: list(batches(source, 4, specs=specs, on_error="skip", **options)),
        lambda: list(batches(source, 4, specs=(), indices=range(8), on_error="skip", **options)),
        lambda: next(training_batches(source, 8, seed=0, size=8, **options)),
    ):
        with pytest.raises(UserError, match=r"config.data.decode_gib"):
            start()


def test_a_batch_of_large_images(tmp_path, limit):
    for name in "abc":
        path = on_disk.write(tmp_path / name / "x.png", b"")
        Image.new("L", (1100, 20)).save(path)
    source = ImageFolder(tmp_path)
    limit(20 * 22_000 + 1000)
    assert len(list(batches(source, 3, specs=(), indices=range(3)))) == 1  # 4 bytes per pixel
    limit(20 * 22_000 + 1000)
    with pytest.raises(UserError, match=r"a batch of large images takes .* config.data.decode_gib"):
        list(batches(source, 8, specs=(), indices=[0, 1, 2] * 2))


def progressive(count, kind):
    """A JPEG file that paints its pixels in `count` scans: those of a progressive one, the last of them repeated."""
    content = io.BytesIO()
    Image.fromarray(on_disk.pixels("a")).convert(kind).save(content, "JPEG", progressive=True)
    whole = content.getvalue()[:-2]
    return whole + whole[whole.rindex(b"\xff\xda") :] * (count - whole.count(b"\xff\xda")) + b"\xff\xd9"


@pytest.mark.parametrize("kind", ["L", "RGB"])
def test_scans_without_number(kind):
    film = b"\xff\xda\0\0" * 500  # what is behind an image does not count
    for content in (progressive(0, kind), progressive(0, kind) + film, progressive(100, kind)):
        assert decode(content).size == (6, 6)
    np.testing.assert_array_equal(decode(progressive(0, kind)), decode(progressive(0, kind) + film))
    for count in (101, 5000):
        with pytest.raises(ImageError, match=rf"its pixels come in {count} scans, and 100 are the most"):
            decode(progressive(count, kind))


def header(*sides):
    return bytes([0, 0, 8, len(sides)]) + np.array(sides, ">i4").tobytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(2, 2, 2) + bytes(10**7), "promises 8 bytes, and there are more"),
        (header(2, 2, 2) + bytes(7), "promises 8 bytes, and there are only 7"),
        (
            header(2**31 - 1, 4, 4) + bytes(9),
            r"t10k-images-idx3-ubyte.*' takes 32.00 GiB of memory, more than config.data",
        ),
        (header(2**31 - 1, 2**31 - 1, 2**31 - 1), "takes .* more than config.data.decode_gib"),
        (header(-1, 2, 2), r"has the sides \[-1, 2, 2\]"),
        (header(1, 0, 2), r"has the sides \[1, 0, 2\]"),
        (header(2, 2)[:-1], "no IDX file of bytes"),
        (header(2, 2, 2)[:-1], "cannot be read"),
        (b"", "no IDX file of bytes"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_of_another_size_than_they_promise(tmp_path, content, message, suffix):
    path = tmp_path / f"t10k-images-idx3-ubyte{suffix}"
    on_disk.write(path, gzip.compress(content) if suffix else content)
    with pytest.raises(UserError, match=message):
        IdxImages(tmp_path)


def test_damaged_gzip(tmp_path):
    packed = bytearray(gzip.compress(header(2, 2, 2) + bytes(range(8))))
    packed[-5] ^= 1  # a bit of the check sum
    on_disk.write(tmp_path / "t10k-images-idx3-ubyte.gz", bytes(packed))
    with pytest.raises(UserError, match="cannot be read"):
        IdxImages(tmp_path)
    for damage in (zlib.compress(b"x"), bytes(packed[:-9]), bytes(packed[:12]) + b"\xff" * 20):
        on_disk.write(tmp_path / "t10k-images-idx3-ubyte.gz", damage)
        with pytest.raises(UserError, match="cannot be read"):
            IdxImages(tmp_path)


def test_the_setting(folder, capsys, limit):
    recipe = write_recipe(folder / "recipe.py", model="x", data={"names": (str(folder / "own.yaml"),)})
    classes = ", ".join(dict.fromkeys(name.partition("/")[0] for name in on_disk.NAMES[:8]))
    on_disk.write(folder / "own.yaml", f"classes: [{classes}]\ntemplates: ['{{}}']\npath: folder:.")
    assert main(["check", str(recipe)]) == 0
    assert MEMORY.limit == 8 * GIB
    assert main(["check", str(recipe), "--config.data.decode_gib=1e-7"]) == 1
    assert "takes 0.00 GiB of memory, more than config.data.decode_gib, " in capsys.readouterr().out
    for value in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"config\.data\.decode_gib is .*must be"):
            from_mapping(Config, {"model": "x", "data": {"names": ("shapes",), "decode_gib": value}})
