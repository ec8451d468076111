"""Batches of whole images, for questions that look at every part of them."""

import numpy as np
import pytest
from PIL import Image

import tiny
from lrjax.data.images import ImageError
from lrjax.data.loader import batches


def whole(source, batch_size, **options):
    return batches(source, batch_size, specs=(), **options)


def rows(found):
    return [
        (int(index), image[:height, :width], np.atleast_1d(label).tolist())
        for batch in found
        for image, (height, width), label, index, there in zip(
            batch.images, batch.sizes, batch.labels, batch.index, batch.mask, strict=True
        )
        if there
    ]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("shards", [1, 3])
def test_every_image_once_and_whole(workers, shards):
    source = tiny.Pictures(11)
    indices = range(2, 11)
    parts = [list(whole(source, 2, indices=indices, shard=(shard, shards), workers=workers)) for shard in range(shards)]
    assert {len(part) for part in parts} == {-(-len(indices) // (2 * shards))}
    side_by_side = [batch for step in zip(*parts, strict=True) for batch in step]
    found = rows(side_by_side)
    assert [index for index, *_ in found] == list(indices)
    for index, image, label in found:
        np.testing.assert_array_equal(image, source[index]["image"])
        assert label == [source[index]["label"]]
    padding = side_by_side[-1]
    assert (padding.index[~padding.mask] == -1).all()
    assert not padding.images[~padding.mask].any()
    assert (padding.sizes[~padding.mask] == 0).all()


class Palettes(tiny.Pictures):
    def __getitem__(self, index):
        row = super().__getitem__(index)
        return {"image": Image.fromarray(row["image"]).convert("P"), "label": tuple(range(index + 1)), "id": row["id"]}


def test_files_of_other_modes_become_rgb_and_sets_of_labels_are_filled_up():
    source = Palettes(3)
    (batch,) = whole(source, 3, indices=range(3))
    np.testing.assert_array_equal(batch.labels, [[0, -1, -1, -1], [0, 1, -1, -1], [0, 1, 2, -1]])
    expected = np.asarray(source[2]["image"].convert("RGB"))
    np.testing.assert_array_equal(batch.images[2, : expected.shape[0], : expected.shape[1]], expected)


def test_damaged_images_stop_or_are_masked():
    source = tiny.Pictures(5, damaged=(1,))
    with pytest.raises(ImageError, match=r"picture1\.png"):
        list(whole(source, 2, indices=range(5)))
    found = list(whole(source, 2, indices=range(5), on_error="skip"))
    assert [index for index, *_ in rows(found)] == [0, 2, 3, 4]
    assert found[0].index.tolist() == [0, 1]
    assert found[0].mask.tolist() == [True, False]


class Sizes(tiny.Pictures):
    def __init__(self, *sizes):
        super().__init__(len(sizes))
        self.sizes = sizes

    def __getitem__(self, index):
        return {"image": np.full((*self.sizes[index], 3), 7, np.uint8), "label": 0, "id": f"picture{index}"}


def test_large_images_stay_off_the_canvas():
    (batch,) = whole(Sizes((20, 1025), (1024, 9), (1300, 1030)), 4, indices=range(3))
    assert batch.images.shape == (4, 1024, 1024, 3)
    assert batch.sizes.tolist() == [[0, 0], [1024, 9], [0, 0], [0, 0]]
    assert {row: (image.mode, *image.size) for row, image in batch.large.items()} == {
        0: ("RGB", 1025, 20),
        2: ("RGB", 1030, 1300),
    }
    assert not batch.images[[0, 2, 3]].any()
    assert batch.mask.tolist() == [True, True, True, False]


def test_a_large_image_may_not_be_a_thread():
    source = Sizes((10, 1001), (10, 1025), (5, 5))
    with pytest.raises(ImageError, match="'picture1' is too elongated to be cut into windows, 1025 x 10 pixels"):
        list(whole(source, 3, indices=range(3)))
    (batch,) = whole(source, 3, indices=range(3), on_error="skip")
    assert batch.mask.tolist() == [True, False, True]
