"""The construction of a hard set by hand and with the published counts."""

import numpy as np
import pytest

from lrjax.errors import UserError
from lrjax.questions.zoom.hard.construction import (
    CONFUSABLE_CLASSES,
    HardImage,
    Review,
    hard_images,
    is_accepted,
    refine,
)

A, R, N = "accept", "reject", "not sure"


def image(index, *labels):
    return HardImage(dataset="shapes", index=index, labels=labels or (1,))


def test_only_images_that_no_model_solves_are_hard():
    first = np.array([[1, 0], [0, 0], [0, 0], [0, 0]], bool)
    second = np.array([[0, 0], [0, 1], [0, 0], [0, 0]], bool)
    labels = np.array([[1, -1], [2, -1], [9, 3], [4, -1]])
    found = hard_images("shapes", [first, second], index=[10, 11, 12, 13], labels=labels)
    assert found == [image(12, 3, 9), image(13, 4)]
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
    doubtful = [one.name for one in images[295 : 295 + 3133]]
    reviews = {one: Review([A, A, R] if i < 2280 else [A, A, A]) for i, one in enumerate(doubtful)}
    refined = refine(images, ill_posed=[one.name for one in images[:295]], reviews=reviews)
    assert [count for _, count in refined.steps] == [13_925, 13_630, 11_350, 10_980]
    assert len(refined.images) == 10_980


def test_one_confusable_label_is_enough_and_the_rule_can_be_left_out():
    images = [image(0, 5), image(1, 5, 744), *(image(2 + i, label) for i, label in enumerate(CONFUSABLE_CLASSES))]
    assert refine(images).images == (images[0],)
    assert len(refine(images, confusable=()).images) == 10


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
        (lambda: refine([image(0)], ill_posed=["shapes/1"]), "not in the list"),
        (lambda: refine([image(0)], reviews={"shapes/1": Review([A, A, A])}), "not in the list"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
