"""The construction of a hard set by hand and with the published counts, its manifest, and the score."""

import json

import numpy as np
import pytest
from PIL import Image

from lrjax.errors import UserError
from lrjax.hard import (
    CONFUSABLE_CLASSES,
    PREPROCESSING,
    Corruption,
    HardImage,
    HardSource,
    Refinement,
    Review,
    accuracy_by_origin,
    hard_images,
    is_accepted,
    read_manifest,
    refine,
    write_manifest,
)
from lrjax.metrics.label_sets import pad_label_sets
from lrjax.ops.corruptions import corrupt

A, R, N = "accept", "reject", "not sure"
FOG = Corruption("fog", 3, 5)


def image(index, *labels, corruption=None):
    return HardImage(dataset="shapes", index=index, labels=labels or (1,), corruption=corruption)


def test_only_images_that_no_model_solves_are_hard():
    first = np.array([[1, 0], [0, 0], [0, 0], [0, 0]], bool)
    second = np.array([[0, 0], [0, 1], [0, 0], [0, 0]], bool)
    labels = pad_label_sets([(1,), (2,), (9, 3), (4,)])
    found = hard_images("shapes", [first, second], index=[10, 11, 12, 13], labels=labels, corruption=FOG)
    assert found == [image(12, 3, 9, corruption=FOG), image(13, 4, corruption=FOG)]
    alone = hard_images("shapes", [first], index=[10, 11, 12, 13], labels=[1, 2, 3, 4])
    assert [one.labels for one in alone] == [(2,), (3,), (4,)]
    mapped = hard_images("shapes", [first, second], index=[10, 11, 12, 13], labels=labels, class_ids=range(100, 110))
    assert [one.labels for one in mapped] == [(103, 109), (104,)]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ([A, A, A], [], True),
        ([A, A, A], [R], True),
        ([A, A, N], [A], True),
        ([A, R, A], [A, A], True),
        ([A, A, N], [], False),
        ([A, A, R], [A, N], False),
        ([A, N, N], [A, A], False),
        ([R, R, R], [A], False),
    ],
)
def test_reviews(first, second, kept):
    assert is_accepted(Review(first, second)) is kept


def test_the_published_counts():
    # 13,925 images; 295 ill-posed; 3,133 in doubt, of which 2,280 are rejected; 370 of confusable classes
    images = [image(i, 836, 837) if 5000 <= i < 5370 else image(i, 7) for i in range(13_925)]
    doubtful = images[295 : 295 + 3133]
    reviews = {one: Review([A, A, R] if i < 2280 else [A, A, A]) for i, one in enumerate(doubtful)}
    refined = refine(images, ill_posed=images[:295], reviews=reviews)
    assert [count for _, count in refined.steps] == [13_925, 13_630, 11_350, 10_980]
    assert len(refined.images) == 10_980


def test_one_confusable_label_is_enough_and_the_rule_can_be_left_out():
    images = [image(0, 5), image(1, 5, 744), *(image(2 + i, label) for i, label in enumerate(CONFUSABLE_CLASSES))]
    assert refine(images).images == (images[0],)
    assert len(refine(images, confusable=()).images) == 10


def test_a_manifest_comes_back(tmp_path):
    images = [image(3, 1, 4), image(3, 1, 4, corruption=FOG), image(8, 836)]
    refined = refine(images)
    path = tmp_path / "hard.json"
    write_manifest(path, refined, models=["ViT-B-16"])
    assert read_manifest(path) == refined
    content = json.loads(path.read_text())
    assert content["models"] == ["ViT-B-16"]
    assert content["images"][1] == {"dataset": "shapes", "index": 3, "labels": [1, 4], "corruption": ["fog", 3, 5]}
    assert len(path.read_text().splitlines()) == 4  # one line per image, one before and one behind
    write_manifest(path, Refinement((), ()), models=[])
    assert read_manifest(path).images == ()


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2}', '{"format": 1}', '{"format": 1, "images": [{}]}'])
def test_a_damaged_manifest_is_named(content, tmp_path):
    (tmp_path / "hard.json").write_text(content)
    with pytest.raises(UserError, match=r"hard\.json"):
        read_manifest(tmp_path / "hard.json")


class Greys:
    """Grey images."""

    def __len__(self):
        return 9

    def __getitem__(self, index):
        return {"image": Image.new("RGB", (40, 40), (10 * index,) * 3), "label": 0, "id": f"grey-{index}"}


def test_the_images_of_a_set():
    source = HardSource([image(3, 1, 4), image(8, 2, corruption=FOG)], {"shapes": Greys()})
    assert len(source) == 2
    assert (source[0]["label"], source[0]["id"]) == ((1, 4), "shapes/grey-3")
    assert source[0]["image"].getpixel((0, 0)) == (30, 30, 30)
    foggy = corrupt(np.full((40, 40, 3), 80, np.uint8), "fog", severity=3, seed=(5, 8))
    np.testing.assert_array_equal(source[1]["image"], foggy)
    assert source[1]["id"] == "shapes/fog-3/grey-8"


def test_score_by_origin():
    labels = pad_label_sets([(1, 2), (3,), (4,), (5, 6, 7)], width=10)
    score = accuracy_by_origin([2, 0, 4, 5], labels, ["imagenet", "imagenet", "imagenet_a", "imagenet"])
    assert score == {"all": (3 / 4, 4), "imagenet": (2 / 3, 3), "imagenet_a": (1.0, 1)}


def test_official_views():
    assert (PREPROCESSING["imagenet"].resized_side, PREPROCESSING["imagenet"].size) == (256, 224)
    assert (PREPROCESSING["efficientnet_l2"].resized_side, PREPROCESSING["efficientnet_l2"].size) == (800, 800)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hard_images("a", [np.zeros((2, 3), bool)], index=[0], labels=[1, 1]), "2 images, but 1 positions"),
        (lambda: hard_images("a", [np.zeros((1, 3), bool)], index=[7], labels=[[-1, -1]]), "image 7 of a has no label"),
        (lambda: hard_images("a", [np.zeros((1, 3), bool)], index=[7], labels=[2], class_ids=[5, 6]), "the label 2"),
        (lambda: hard_images("a", [], index=[], labels=[]), "at least one"),
        (lambda: is_accepted(Review([A, A])), "three"),
        (lambda: is_accepted(Review([A, A, "yes"])), "yes"),
        (lambda: refine([image(0), image(0)]), "twice"),
        (lambda: refine([image(0)], ill_posed=[image(1)]), "not in the list"),
        (lambda: refine([image(0)], reviews={image(1): Review([A, A, A])}), "not in the list"),
        (lambda: HardSource([image(9)], {"shapes": Greys()}), "has 9 images"),
        (lambda: HardSource([image(0)], {}), "shapes, which is missing"),
        (lambda: accuracy_by_origin(np.zeros(0, int), np.zeros((0, 1), int), []), "0 predictions"),
        (lambda: accuracy_by_origin([1], [[1]], []), "0 origins"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
