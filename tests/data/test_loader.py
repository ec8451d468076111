import errno

import numpy as np
import pytest
from PIL import Image

from lrjax.data import images, loader
from lrjax.data.images import ImageError, prepare
from lrjax.data.sources import ImageFolder
from lrjax.errors import UserError
from lrjax.ops.preprocess import ViewSpec

SPECS = (ViewSpec(8), ViewSpec(8, low=4))


def read_batches(source, batch_size, **options):
    return loader.batches(source, batch_size, **({"specs": SPECS} | options))


class Toy:
    """Image i is filled with i; its sides grow with i unless `square` is given."""

    def __init__(self, count, *, square=None, damaged=()):
        self.count, self.square, self.damaged = count, square, damaged

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not 0 <= index < self.count:
            raise IndexError(index)
        if index in self.damaged:
            raise ImageError(f"image 'toy{index}.jpg' cannot be decoded", f"toy{index}.jpg")
        height, width = (self.square, self.square) if self.square else (20 + index % 50, 90 - index % 30)
        return {
            "image": np.full((height, width, 3), index % 251 + 1, np.uint8),
            "label": index % 10,
            "id": f"toy{index}",
        }


@pytest.mark.parametrize("shards", [1, 2, 3, 8])
@pytest.mark.parametrize("batch_size", [1, 7, 256])
@pytest.mark.parametrize("count", [1, 50, 129])
def test_every_id_exactly_once_over_all_shards(shards, batch_size, count):
    source = Toy(count, square=4)
    parts = [list(read_batches(source, batch_size, shard=(shard, shards))) for shard in range(shards)]
    assert {len(part) for part in parts} == {-(-count // (batch_size * shards))}
    # Side by side, the shards of a step are the global batch.
    order = [position for step in zip(*parts, strict=True) for batch in step for position in batch.index]
    assert order == [*range(count), *[-1] * (len(order) - count)]
    seen = [
        name for part in parts for batch in part for name, valid in zip(batch.ids, batch.mask, strict=True) if valid
    ]
    assert sorted(seen) == sorted(f"toy{i}" for i in range(count))
    for batch in (batch for part in parts for batch in part):
        assert batch.mask.shape == batch.labels.shape == batch.index.shape == (batch_size,)
        np.testing.assert_array_equal(batch.mask, batch.index >= 0)
        np.testing.assert_array_equal(batch.labels[batch.mask], batch.index[batch.mask] % 10)
        assert (batch.labels[~batch.mask] == -1).all()


@pytest.mark.parametrize("workers", [0, 3])
def test_canvas_holds_the_images(workers):
    source = Toy(23)
    read = list(read_batches(source, 5, workers=workers))
    assert [batch.index.tolist() for batch in read][-1] == [20, 21, 22, -1, -1]
    for batch in read:
        side = batch.images.shape[1]
        assert batch.images.shape == (5, side, side, 3)
        assert side == 128
        assert batch.images.dtype == np.uint8
        assert batch.sizes.dtype == batch.labels.dtype == np.int32
        assert batch.index.dtype == np.int64
        assert batch.mask.dtype == bool
        for image, (height, width), position in zip(batch.images, batch.sizes, batch.index, strict=True):
            if position < 0:
                assert (height, width) == (0, 0)
                assert not image.any()
                continue
            np.testing.assert_array_equal(image[:height, :width], source[int(position)]["image"])
            assert image.sum() == source[int(position)]["image"].sum()


def test_squares_of_one_side_need_no_padding():
    batch = next(iter(read_batches(Toy(8, square=37), 4)))
    assert batch.images.shape == (4, 37, 37, 3)


def test_padding_batch_keeps_the_canvas():
    # Three shards, four images: the second step of shards 1 and 2 is all padding.
    for shard in (1, 2):
        first, second = read_batches(Toy(4, square=37), 1, shard=(shard, 3))
        assert second.images.shape == first.images.shape
        assert not second.mask.any()


def test_indices_select_and_order():
    read = list(read_batches(Toy(30, square=4), 2, indices=[9, 3, 3]))
    assert [batch.index.tolist() for batch in read] == [[9, 3], [3, -1]]
    assert list(read_batches(Toy(30), 2, indices=[])) == []
    with pytest.raises(UserError, match="index 30"):
        read_batches(Toy(30), 2, indices=[30])


class Examples:
    def __init__(self, *examples):
        self.examples = examples

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        return {"id": str(index)} | self.examples[index]


def noise(height, width, mode="RGB"):
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("workers", [0, 2])
def test_pixels_for_the_device_beside_finished_views(workers):
    pictures = [noise(30, 20), noise(30, 20, "P"), noise(31, 1025), noise(9, 40, "L"), np.asarray(noise(1030, 20))]
    source = Examples(*({"image": picture} for picture in pictures))
    (batch,) = read_batches(source, 6, workers=workers)
    assert batch.specs == SPECS
    assert batch.on_host.tolist() == [False, True, True, False, True, False]
    assert batch.sizes.tolist() == [[30, 20], [0, 0], [0, 0], [9, 40], [0, 0], [0, 0]]
    assert batch.images.shape == (6, 64, 64, 3)
    assert batch.mask.tolist() == [True] * 5 + [False]
    for row in (0, 3):
        height, width = batch.sizes[row]
        np.testing.assert_array_equal(batch.images[row, :height, :width], np.asarray(pictures[row].convert("RGB")))
    for row in (1, 2, 4):
        np.testing.assert_array_equal(batch.views[row], prepare(pictures[row], SPECS, host=True)[1])
        assert not batch.images[row].any()
    assert not batch.views[[0, 3, 5]].any()


def test_all_views_finished_by_the_threads():
    source = Examples({"image": noise(30, 20)}, {"image": noise(20, 30)}, {"image": noise(30, 20, "P")})
    first, second = read_batches(source, 2, host=True, workers=2)
    for batch in (first, second):
        assert batch.images is None
        assert batch.views.shape == (2, 2, 8, 8, 3)
        assert not batch.sizes.any()
    assert first.on_host.tolist() == [True, True]
    assert second.on_host.tolist() == [True, False]
    np.testing.assert_array_equal(first.views[0], prepare(noise(30, 20), SPECS, host=True)[1])
    (nothing,) = read_batches(Toy(2, damaged=(0, 1)), 2, host=True, on_error="skip")
    assert nothing.images is None
    assert not nothing.views.any()


def test_rgb_before_the_resizes_goes_to_the_device():
    source = Examples({"image": noise(30, 20, "P")})
    (batch,) = read_batches(source, 1, rgb="before")
    assert batch.views is None
    np.testing.assert_array_equal(batch.images[0, :30, :20], np.asarray(noise(30, 20, "P").convert("RGB")))


def test_label_sets_are_filled():
    image = np.zeros((4, 4, 3), np.uint8)
    labels = [3, (5,), (1, 2, 4), (), None, (7, 9)]
    source = Examples(*({"image": image} | ({} if label is None else {"label": label}) for label in labels))
    (batch,) = read_batches(source, 7)
    expected = [[3], [5], [1, 2, 4], [], [], [7, 9], []]
    np.testing.assert_array_equal(batch.labels, [row + [-1] * (4 - len(row)) for row in expected])
    assert batch.labels.dtype == np.int32
    assert [batch.labels.shape for batch in read_batches(source, 2)] == [(2, 1), (2, 4), (2, 2)]


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_image_is_an_error(workers):
    reader = read_batches(Toy(9, damaged=(5,)), 3, workers=workers)
    assert next(reader).mask.all()
    with pytest.raises(ImageError, match=r"toy5\.jpg"):
        next(reader)


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_image_is_skipped(workers):
    read = list(read_batches(Toy(8, damaged=(0, 4)), 4, on_error="skip", workers=workers))
    assert [[one.name for one in batch.damaged] for batch in read] == [["toy0.jpg"], ["toy4.jpg"]]
    assert [batch.mask.tolist() for batch in read] == [[False, True, True, True]] * 2
    assert [batch.index.tolist() for batch in read] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert read[1].labels.tolist() == [-1, 5, 6, 7]
    assert not read[0].images[0].any()


def test_skipping_on_disk(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "a" / "2.png").write_bytes(b"")
    (batch,) = read_batches(ImageFolder(tmp_path), 3, on_error="skip")
    assert [one.name for one in batch.damaged] == [str(tmp_path / "a" / "2.png")]
    assert batch.ids == ("a/1.png", "", "b/1.png")
    with pytest.raises(ImageError, match=r"a/2\.png"):
        list(read_batches(ImageFolder(tmp_path), 3))


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_not_the_fault_of_an_image_is_never_skipped(tmp_path, monkeypatch, workers):
    (tmp_path / "a").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "a" / "1.png")

    def open_regular(path):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(images, "open_regular", open_regular)
    with pytest.raises(UserError, match=r"1\.png' cannot be read \(Too many open files\)"):
        list(read_batches(ImageFolder(tmp_path), 1, on_error="skip", workers=workers))


def test_other_errors_of_a_source_are_not_hidden():
    class Broken(Toy):
        def __getitem__(self, index):
            raise KeyError("bug")

    with pytest.raises(KeyError):
        list(read_batches(Broken(3), 2, on_error="skip", workers=2))


def test_bad_arguments():
    for options in (
        {"shard": (2, 2)},
        {"shard": (-1, 2)},
        {"on_error": "ignore"},
        {"workers": -1},
        {"rgb": "never"},
        {"specs": (ViewSpec(8), ViewSpec(9))},
    ):
        with pytest.raises(UserError):
            read_batches(Toy(3), 2, **options)
    with pytest.raises(UserError, match="batch size 0"):
        read_batches(Toy(3), 0)


def take(iterator, count):
    return [next(iterator) for _ in range(count)]


@pytest.mark.parametrize("workers", [0, 2])
def test_training_is_deterministic_and_resumes(workers):
    def reader(seed, start=0):
        return loader.training_batches(Toy(20, square=6), 4, seed=seed, size=6, start=start, workers=workers)

    whole = take(reader(1), 16)
    for start in (7, 5):  # within an epoch, and where one begins
        for a, b in zip(whole[start:], take(reader(1, start), 16 - start), strict=True):
            np.testing.assert_array_equal(a["image"], b["image"])
            assert a["id"].tolist() == b["id"].tolist()
    orders = [np.concatenate([batch["index"] for batch in take(reader(seed), 10)]).tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0][:20]) == list(range(20)) == sorted(orders[0][20:])
    assert orders[0][:20] != orders[0][20:]


@pytest.mark.parametrize("workers", [0, 2])
def test_global_batches_are_distinct_and_the_same_for_any_number_of_processes(workers):
    count, batch_size, steps = 23, 8, 40
    options = {"seed": 0, "size": 6, "workers": workers}
    whole = take(loader.training_batches(Toy(count, square=6), batch_size, **options), steps)
    for batch in whole:
        assert len(set(batch["index"].tolist())) == batch_size
    assert {index for batch in whole for index in batch["index"].tolist()} == set(range(count))
    for parts in ([range(4), range(4, 8)], np.arange(8).reshape(4, 2), [[0, 1, 6, 7], [2, 3, 4, 5]]):
        for rows in parts:
            own = loader.training_batches(Toy(count, square=6), batch_size, rows=rows, start=3, **options)
            for batch, expected in zip(take(own, steps - 3), whole[3:], strict=True):
                for name, values in batch.items():
                    np.testing.assert_array_equal(values, expected[name][list(rows)], err_msg=name)


def test_the_order_is_that_of_earlier_checkpoints():
    read = take(loader.training_batches(Toy(7, square=6), 3, seed=5, size=6), 4)
    assert [batch["index"].tolist() for batch in read] == [[3, 2, 4], [5, 1, 0], [3, 6, 1], [5, 2, 0]]


def test_training_content():
    batch = next(loader.training_batches(Toy(6), 6, seed=0, size=16))
    assert batch["image"].shape == (6, 16, 16, 3)
    assert batch["image"].dtype == np.uint8
    for image, index, name, label in zip(batch["image"], batch["index"], batch["id"], batch["label"], strict=True):
        assert (image == index + 1).all()
        assert (name, label) == (f"toy{index}", index % 10)


def test_training_needs_a_global_batch():
    loader.training_batches(Toy(8), 8, seed=0, size=8, rows=range(4))
    with pytest.raises(UserError, match="8 images, fewer than the global batch of 12"):
        loader.training_batches(Toy(8), 12, seed=0, size=8, rows=range(4))
    for options in ({"seed": -1, "size": 8}, {"seed": 0, "size": 0}):
        with pytest.raises(UserError):
            loader.training_batches(Toy(8), 4, **options)
    with pytest.raises(UserError, match="batch size 0"):
        loader.training_batches(Toy(8), 0, seed=0, size=8)


def test_training_names_a_damaged_image():
    with pytest.raises(ImageError, match=r"toy2\.jpg"):
        next(loader.training_batches(Toy(4, damaged=(2,)), 4, seed=0, size=8, workers=2))


@pytest.mark.parametrize("shape", [(40, 61), (61, 40), (33, 33), (10, 25), (16, 16), (17, 90)])
def test_square_equals_the_torchvision_rule(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    height, width = shape
    size = 16
    scaled = {True: (size, int(size * height / width)), False: (int(size * width / height), size)}[width <= height]
    full = np.asarray(Image.fromarray(image).resize(scaled, Image.Resampling.BICUBIC))
    top, left = round((full.shape[0] - size) / 2.0), round((full.shape[1] - size) / 2.0)
    np.testing.assert_array_equal(loader._square(image, size), full[top : top + size, left : left + size])
