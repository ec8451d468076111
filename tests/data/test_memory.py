"""Bombs: memory and time of decoding are bounded, and what is too large is refused with the name of the setting."""

import gzip
import io
import threading
import time
import tracemalloc
import zlib

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

import on_disk
from lrjax.config import Config
from lrjax.data.__main__ import main
from lrjax.data.corrupted import CorruptedSource
from lrjax.data.images import ImageError, decode
from lrjax.data.loader import batches, training_batches
from lrjax.data.memory import GIB, MEMORY, DecodingMemory
from lrjax.data.sources.folder import ImageFolder
from lrjax.data.sources.idx import IdxImages
from lrjax.data.sources.parquet import ParquetImages
from lrjax.errors import UserError
from lrjax.ops.corruptions import CORRUPTIONS, corrupt, peak_bytes
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
            memory.claim(2000, "x")
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
            memory.claim(2000, "x")
            assert memory._used == 2000
        with pytest.raises(UserError, match=r"^x takes .* GiB of memory, more than config.data"):
            memory.claim(2001, "x")
    assert memory._used == 0
    memory.claim(2000, "x")  # outside of a context, nothing is counted
    assert memory._used == 0
    with pytest.raises(UserError, match="decode_gib"):
        memory.claim(2001, "x")


def test_images_wait_for_what_is_kept_unless_they_are_alone():
    memory, done = DecodingMemory(4000), threading.Event()
    memory.keep(1000)
    with memory.hold():
        memory.claim(3500, "x")  # alone

        def work():
            with memory.hold():
                memory.claim(400, "y")
                done.set()

        thread = threading.Thread(target=work)
        thread.start()
        assert not done.wait(0.1)
        memory.keep(0)
        assert done.wait(30)
        thread.join(30)
    memory.check_kept(1000, "z")
    with pytest.raises(UserError, match=r"^z takes .* GiB .*, more than a quarter of config.data.decode_gib, "):
        memory.check_kept(1001, "z")


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
        UserError, match=r"image 'bomb' of 500 x 400 pixels takes .* GiB .*config.data.decode_gib"
    ) as error:
        decode(content.getvalue(), name="bomb")
    assert not isinstance(error.value, ImageError)  # a setting does not change which images are counted


def test_a_large_file_is_not_read(tmp_path, limit):
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(
        UserError, match=r"image '.*x.png' takes 1,024.00 GiB of memory, more than config.data.decode_gib, 8.00;"
    ):
        decode(tmp_path / "x.png")


def assert_released():
    """A thread of a loader that is left may still be reading its image."""
    for _ in range(1000):
        if MEMORY._used == 0:
            return
        time.sleep(0.01)
    assert MEMORY._used == 0


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
    assert_released()
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


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("sides", [(257, 130), (40, 600), (128, 128)])
def test_what_corruptions_take(name, sides):
    image = np.random.default_rng(0).integers(0, 256, (*sides, 3), dtype=np.uint8)
    for severity in range(1, 6):
        tracemalloc.start()
        corrupt(image, name, severity=severity, seed=0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < peak_bytes(name, *sides) + 50_000  # what does not grow with the image


def test_corruptions_are_bounded(folder, limit):
    for name in on_disk.NAMES[:8]:
        Image.new("RGB", (32, 1050)).save(folder / f"{name}.png")
    limit(2**20 * 20)
    for name, fits in (("snow", True), ("fog", False)):  # a cloud of 2048 x 2048
        images = batches(CorruptedSource(ImageFolder(folder), name, severity=1), 2, specs=(ViewSpec(8),), workers=2)
        if fits:
            assert sum(batch.mask.sum() for batch in images) == 8
        else:
            with pytest.raises(UserError, match=r"fog on image '.*' of 32 x 1050 pixels takes .*decode_gib"):
                list(images)
        assert_released()


def write_groups(path, count, size, *, dictionary=True):
    """A Parquet file with one row group of equal images, behind each of which is filling; kept once in the file."""
    content = on_disk.png("a") + np.random.default_rng(0).bytes(size)
    rows = [{"image": {"bytes": content, "path": f"{row}.png"}, "label": row % 2} for row in range(count)]
    parquet.write_table(pa.Table.from_pylist(rows), path, use_dictionary=dictionary)
    return path


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_row_group_that_unfolds(tmp_path, limit, dictionary):
    path = write_groups(tmp_path / "test.parquet", 64, 2**16, dictionary=dictionary)
    source = ParquetImages(path)
    limit(4 * 65 * 2**16)
    np.testing.assert_array_equal(source[3]["image"], on_disk.pixels("a"))
    limit(4 * 63 * 2**16)
    assert source[4]["label"] == 0  # it is kept
    with pytest.raises(UserError, match=r"row group 0 of '.*' takes .*, more than a quarter of config.data.decode_gib"):
        ParquetImages(path)[4]


def test_a_file_of_endless_rows(tmp_path, limit):
    path = write_groups(tmp_path / "test.parquet", 1000, 0)
    limit(100_000)
    with pytest.raises(UserError, match=r"the list of images of '.*' takes .* config.data.decode_gib"):
        ParquetImages(path)


def test_row_groups_of_all_files_are_kept_in_one_place(tmp_path):
    sources = [ParquetImages(write_groups(tmp_path / f"{name}.parquet", 4, 2**20)) for name in "abcd"]
    for source in sources * 2:
        assert source[0]["label"] == 0
        assert MEMORY._kept < 3 * 5 * 2**20
    assert MEMORY._kept > 2 * 4 * 2**20
    write_groups(tmp_path / "d.parquet", 4, 2**21)  # read anew by a source that is opened anew
    assert ParquetImages(tmp_path / "d.parquet")[0]["label"] == 0
    assert MEMORY._kept > 3 * 4 * 2**20


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
    assert "GiB of memory, more than config.data.decode_gib, 1e-07;" in capsys.readouterr().out
    for value in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"config\.data\.decode_gib is .*must be"):
            from_mapping(Config, {"model": "x", "data": {"names": ("shapes",), "decode_gib": value}})
