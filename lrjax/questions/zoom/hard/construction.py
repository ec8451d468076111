"""Which images are hard: those that no view of any model gets right, less those that people took out.

Reference: Taesiri et al. 2023, arXiv 2304.05538 (ImageNet-Hard).
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from lrjax.errors import UserError
from lrjax.metrics.label_sets import NO_LABEL
from lrjax.metrics.zoom import unclassifiable

CONFUSABLE_CLASSES: Mapping[int, str] = {
    836: "sunglass",
    837: "sunglasses",
    876: "tub",
    435: "bathtub",
    516: "cradle",
    431: "bassinet",
    744: "projectile",
    657: "missile",
}
"""ImageNet classes whose images ImageNet-Hard leaves out, because two of them can hardly be told apart."""

Answer = Literal["accept", "reject", "not sure"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HardImage:
    """An image of a hard set.

    Attributes:
        dataset: key of the data set that it is from, "imagenet+fog-3" for one with corrupted images.
        index: its position there.
        labels: the right classes, ascending, at least one.
    """

    dataset: str
    index: int
    labels: tuple[int, ...]

    @property
    def name(self) -> str:
        """What lists of reviews call it."""
        return f"{self.dataset}/{self.index}"


class Review(NamedTuple):
    """What people said of an image whose label was in doubt.

    Attributes:
        first: answers of the three who saw every such image, each an `Answer`.
        second: answers of others, any number.
    """

    first: Sequence[str]
    second: Sequence[str] = ()


class Refinement(NamedTuple):
    """A refined set.

    Attributes:
        images: what is left, in order.
        steps: (what was done, number of images left).
    """

    images: tuple[HardImage, ...]
    steps: tuple[tuple[str, int], ...]


def hard_images(
    dataset: str,
    tables: Sequence[ArrayLike],
    *,
    index: ArrayLike,
    labels: ArrayLike,
    class_ids: Sequence[int] | ArrayLike | None = None,
) -> list[HardImage]:
    """Lists the images that no view of any model gets right.

    Args:
        dataset: key of the data set.
        tables: bool [N, V] each, tables of correctness of one or more models on the same images in the same order.
        index: int [N], positions of the images in the data set.
        labels: int [N] or [N, L], right classes, `NO_LABEL` where there are fewer. ImageNet-Hard takes ImageNet's and
            ReaL's together.
        class_ids: int [K], the class that each label becomes, for instance the ImageNet classes of the 200 labels of
            ImageNet-A. Default: labels stay.

    Raises:
        UserError: there is no table, or the lengths differ.
    """
    hard = np.flatnonzero(unclassifiable(*tables))
    images = len(np.asarray(tables[0]))
    positions, sets = np.asarray(index), np.asarray(labels)
    sets = sets[:, None] if sets.ndim == 1 else sets
    if not len(positions) == len(sets) == images:
        raise UserError(
            f"{dataset} has tables of {images} images, but {len(positions)} positions and {len(sets)} labels"
        )
    if class_ids is not None:
        ids = np.asarray(class_ids)
        if sets.max(initial=NO_LABEL) >= len(ids):
            raise UserError(f"{dataset} has the label {sets.max()}, but {len(ids)} class_ids; give one per label")
        sets = np.where(sets == NO_LABEL, NO_LABEL, ids[sets])
    found = []
    for place in hard:
        own = tuple(sorted({int(label) for label in sets[place] if label != NO_LABEL}))
        if not own:
            raise UserError(f"image {int(positions[place])} of {dataset} has no label; leave it out of the tables")
        found.append(HardImage(dataset=dataset, index=int(positions[place]), labels=own))
    return found


def is_accepted(review: Review) -> bool:
    """Decides about an image in doubt: all three of the first group accept it, or two of them do and everyone of the
    second group, at least one.

    Args:
        review: the answers.

    Raises:
        UserError: the first group did not give three answers, or an answer is unknown.

    Reference: arXiv 2304.05538, construction of ImageNet-Hard.
    """
    answers = [*review.first, *review.second]
    if len(review.first) != 3 or not set(answers) <= set(get_args(Answer)):
        raise UserError(f"a review of {answers} is incomplete; give three first answers, each {get_args(Answer)}")
    accepts = sum(answer == "accept" for answer in review.first)
    second = len(review.second) > 0 and all(answer == "accept" for answer in review.second)
    return accepts == 3 or (accepts == 2 and second)


def refine(
    images: Sequence[HardImage],
    *,
    ill_posed: Collection[str] = (),
    reviews: Mapping[str, Review] | None = None,
    confusable: Collection[int] = frozenset(CONFUSABLE_CLASSES),
) -> Refinement:
    """Takes images out in three steps: ill-posed ones, rejected ones, and those with a label of confusable classes.

    Args:
        images: of `hard_images`, all data sets together.
        ill_posed: names of the images to take out first.
        reviews: answers by name for the images that were in doubt; the others stay.
        confusable: classes to leave out; none to keep all.

    Raises:
        UserError: an ill-posed or reviewed image is not among the images, an image is there twice, or a review is
            incomplete.
    """
    reviews = reviews or {}
    known = {image.name for image in images}
    if len(known) < len(images):
        raise UserError("an image is in the list twice; give each data set once")
    for name in (*ill_posed, *reviews):
        if name not in known:
            raise UserError(f"image {name!r} was looked at, but is not in the list; look at the images of the list")
    removed = {
        "ill-posed": set(ill_posed),
        "rejected": {name for name, review in reviews.items() if not is_accepted(review)},
        "confusable": {image.name for image in images if not set(confusable).isdisjoint(image.labels)},
    }
    steps, left = [("unclassifiable", len(images))], list(images)
    for what, out in removed.items():
        left = [image for image in left if image.name not in out]
        steps.append((f"not {what}", len(left)))
    return Refinement(tuple(left), tuple(steps))
