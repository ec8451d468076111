"""Training images of numbered captions: the layout, what is taken of it, and every mistake in it."""

import shutil

import numpy as np
import pytest
from PIL import Image

from lrjax.data.datasets import open_training_source
from lrjax.data.loader import training_batches
from lrjax.data.sources.captioned import CaptionedImages, ImageSet
from lrjax.errors import UserError


def write(path, colour=(0, 0, 0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)


def write_set(root, name, *, captions, images, file="rohit_caption_{}.png"):
    """Writes a set; red tells its captions, green its images."""
    for image in range(images):
        for caption in range(captions):
            write(root / name / str(image + 1) / file.format(caption), (caption, image, 0))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two sets of the same three captions, and one of four others."""
    root = tmp_path_factory.mktemp("whole")
    write_set(root, "Mul_samples_11_3", captions=3, images=11)
    write_set(root, "Mul_samples_2_3", captions=3, images=2, file="caption_{}.bmp")
    write_set(root, "Mul_samples_2_4", captions=4, images=2, file="{:05d}.png")
    (root / "caption_3.txt").write_text("a\nb\nc\n")
    return root


@pytest.fixture
def root(tmp_path):
    """One set of two captions with two images each."""
    write_set(tmp_path / "images", "Mul_samples_2_2", captions=2, images=2)
    return tmp_path / "images"


def open_root(root, images_per_caption=0):
    return open_training_source(root, count=1, seed=0, images_per_caption=images_per_caption)


def test_images_come_caption_by_caption_in_the_order_of_their_numbers(whole):
    source = open_root(whole)
    assert len(source) == 3 * 13 + 4 * 2
    assert source.labels == [0] * 13 + [1] * 13 + [2] * 13 + [3, 3, 4, 4, 5, 5, 6, 6]
    numbered = [f"Mul_samples_11_3/{image}/rohit_caption_1.png" for image in range(1, 12)]
    assert source.ids[13:26] == ["Mul_samples_2_3/1/caption_1.bmp", "Mul_samples_2_3/2/caption_1.bmp", *numbered]
    row = source[25]
    assert (row["label"], row["id"]) == (1, numbered[-1])
    np.testing.assert_array_equal(row["image"], np.full((8, 8, 3), (1, 10, 0)))


def test_the_first_images_of_every_caption_are_taken(whole):
    two = open_root(whole, 2)
    assert two.labels == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert two.ids[0] == "Mul_samples_2_3/1/caption_0.bmp"
    assert two.ids[-1] == "Mul_samples_2_4/2/00003.png"
    assert len({open_root(whole, count).fingerprint for count in (0, 1, 2)}) == 3
    assert open_root(whole, 2).fingerprint == two.fingerprint
    with pytest.raises(UserError, match=r"caption 3 of '.*' has 2 images, fewer than .*images_per_caption=3 \(4 of 7"):
        open_root(whole, 3)


def test_batches_hold_the_numbers(whole):
    batch = next(training_batches(open_root(whole, 1), 7, seed=0, size=8))
    assert [label - 3 * (label > 2) for label in batch["label"]] == list(batch["image"][:, 0, 0, 0])
    assert sorted(batch["label"]) == list(range(7))


def test_one_set_alone_and_names_with_thousands(root):
    alone = open_root(root / "Mul_samples_2_2", 1)
    assert (alone.ids, alone.labels) == (["1/rohit_caption_0.png", "1/rohit_caption_1.png"], [0, 1])
    (root / "Mul_samples_2_2").rename(root / "Mul_samples_2_1K")
    assert open_root(root).labels == [0, 0, 1, 1]
    with pytest.raises(UserError, match=r"caption 2 .* has 0 images, .* \(998 of 1000 captions"):
        open_root(root, 2)
    write_set(root, "Mul_samples_1_2K", captions=1, images=1)
    assert CaptionedImages(root).labels == [0, 0, 1, 1, 1000]


def test_published_names():
    assert ImageSet(2000, 50).file(853, 5) == "Mul_samples_50_2K/6/rohit_caption_853.png"
    assert ImageSet(1500, 2).folder == "Mul_samples_2_1500"


def test_plain_folders_stay_unlabelled(tmp_path):
    write(tmp_path / "a" / "12.png")
    assert open_root(tmp_path)[0].keys() == {"image", "id"}
    with pytest.raises(UserError, match=r"images_per_caption=2 needs numbered captions, but '.*' has no folder"):
        open_root(tmp_path, 2)
    with pytest.raises(UserError, match="does not exist"):
        open_root(tmp_path / "missing", 2)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("Mul_samples_2_2/1/first.png", r"1/first\.png' has no caption number at the end of its name"),
        ("Mul_samples_2_2/1/caption_2.png", r"caption_2\.png' is of caption 2, but its set, .* counts 0 to 1"),
        ("Mul_samples_2_2/2/1.jpg", r"Mul_samples_2_2/2' has two images of caption 1, 1\.jpg and rohit_caption_1\.png"),
        ("Mul_samples_2_2/extra/1.png", r"name of folder '.*extra' is no number from 1 on"),
        ("Mul_samples_2_2/1.png", r"Mul_samples_2_2/1\.png' lies outside the numbered folders"),
        ("loose.png", r"loose\.png' lies outside the numbered folders"),
        (
            "Mul_samples_10/1/1.png",
            r"folder '.*Mul_samples_10' is not named Mul_samples_<images per caption>_<",
        ),
        ("others/1.png", r"folder '.*others' is not named"),
    ],
)
def test_a_damaged_layout_names_the_culprit(root, file, message):
    write(root / file)
    with pytest.raises(UserError, match=message):
        open_root(root)


def test_a_set_without_images(root):
    shutil.rmtree(root / "Mul_samples_2_2" / "1")
    shutil.rmtree(root / "Mul_samples_2_2" / "2")
    with pytest.raises(UserError, match=r"Mul_samples_2_2' has no folders 1, 2"):
        open_root(root)
    (root / "Mul_samples_2_2" / "1").mkdir()
    with pytest.raises(UserError, match="holds no image"):
        open_root(root)
