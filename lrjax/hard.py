"""Sets of the images that no zoom makes classifiable, built as ImageNet-Hard was, and how ImageNet-Hard is scored.

1. `hard_images` keeps the images that no view of any model gets right, of each data set and of each corrupted one.
2. `refine` takes out what people found ill-posed, what reviewers rejected, and the images of confusable classes.
3. `write_manifest` keeps the list; `HardSource` reads its images.

Reference: Taesiri et al. 2023, arXiv 2304.05538.
"""

import dataclasses
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from lrjax.data.corrupted import CorruptedSource
from lrjax.errors import UserError
from lrjax.metrics.label_sets import NO_LABEL, in_label_set
from lrjax.metrics.zoom import unclassifiable
from lrjax.ops.preprocess import ViewSpec
from lrjax.results import write_atomically

FORMAT = 1
"""Version of the layout of a manifest."""

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

PREPROCESSING: Mapping[str, ViewSpec] = {
    "imagenet": ViewSpec(size=224, resize=256, kernel="bilinear"),
    "efficientnet_l2": ViewSpec(size=800, resize=800, kernel="bilinear"),
}
"""The official views of ImageNet-Hard for classifiers trained on ImageNet, normalised with ImageNet's mean and
deviation; CLIP models take their own. The kernel is not stated and is taken to be torchvision's default."""

Answer = Literal["accept", "reject", "not sure"]


class Corruption(NamedTuple):
    """How an image was corrupted.

    Attributes:
        name: one of `corruptions.CORRUPTIONS`.
        severity: 1..5; the published set does not state its severities.
        seed: that of the `CorruptedSource`.
    """

    name: str
    severity: int
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class HardImage:
    """An image of a hard set.

    Attributes:
        dataset: key of the data set that it is from.
        index: its position there.
        labels: the right classes, ascending, at least one.
        corruption: what was done to it, or None.
    """

    dataset: str
    index: int
    labels: tuple[int, ...]
    corruption: Corruption | None = None


class Review(NamedTuple):
    """What people said of an image whose label was in doubt.

    Attributes:
        first: answers of the three who saw every such image.
        second: answers of others, any number.
    """

    first: Sequence[Answer]
    second: Sequence[Answer] = ()


class Refinement(NamedTuple):
    """A refined set.

    Attributes:
        images: what is left, in order.
        steps: (what was done, number of images left).
    """

    images: tuple[HardImage, ...]
    steps: tuple[tuple[str, int], ...]


def accuracy_by_origin(
    predictions: ArrayLike, labels: ArrayLike, origins: Sequence[str]
) -> dict[str, tuple[float, int]]:
    """Scores predictions on ImageNet-Hard, in all and for each data set that images come from.

    Args:
        predictions: int [N], argmax over the 1000 classes.
        labels: int [N, L] of `label_sets.pad_label_sets`; a prediction is right if it is any of them.
        origins: name of the data set of each image.

    Returns:
        (accuracy, number of images) for "all" and for each origin, in order of appearance.

    Raises:
        UserError: there is no image, or the lengths differ.
    """
    right = in_label_set(predictions, labels)
    if not len(right) or len(origins) != len(right):
        raise UserError(f"there are {len(right)} predictions and {len(origins)} origins; give one of each per image")
    names = np.asarray(origins)
    parts = {"all": right} | {name: right[names == name] for name in dict.fromkeys(origins)}
    return {name: (float(part.mean()), len(part)) for name, part in parts.items()}


def hard_images(
    dataset: str,
    tables: Sequence[ArrayLike],
    *,
    index: ArrayLike,
    labels: ArrayLike,
    class_ids: ArrayLike | None = None,
    corruption: Corruption | None = None,
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
        corruption: what was done to the images, or None.

    Raises:
        UserError: there is no table, or the lengths differ.
    """
    hard = np.flatnonzero(unclassifiable(*tables))
    images = len(np.asarray(tables[0]))
    sets = np.asarray(labels)
    sets = sets[:, None] if sets.ndim == 1 else sets
    if not len(index) == len(sets) == images:
        raise UserError(f"{dataset} has tables of {images} images, but {len(index)} positions and {len(sets)} labels")
    if class_ids is not None:
        ids = np.asarray(class_ids)
        if sets.max(initial=NO_LABEL) >= len(ids):
            raise UserError(f"{dataset} has the label {sets.max()}, but {len(ids)} class_ids; give one per label")
        sets = np.where(sets == NO_LABEL, NO_LABEL, ids[sets])
    found = []
    for place in hard:
        own = tuple(sorted({int(label) for label in sets[place] if label != NO_LABEL}))
        if not own:
            raise UserError(f"image {int(index[place])} of {dataset} has no label; leave it out of the tables")
        found.append(HardImage(dataset=dataset, index=int(index[place]), labels=own, corruption=corruption))
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
    ill_posed: Collection[HardImage] = (),
    reviews: Mapping[HardImage, Review] | None = None,
    confusable: Collection[int] = frozenset(CONFUSABLE_CLASSES),
) -> Refinement:
    """Takes images out in three steps: ill-posed ones, rejected ones, and those with a label of confusable classes.

    Args:
        images: of `hard_images`, all data sets together.
        ill_posed: images to take out first.
        reviews: answers for the images that were in doubt; the others stay.
        confusable: classes to leave out; none to keep all.

    Raises:
        UserError: an ill-posed or reviewed image is not among the images, an image is there twice, or a review is
            incomplete.
    """
    reviews = reviews or {}
    known = set(images)
    if len(known) < len(images):
        raise UserError("an image is in the list twice; give each data set and corruption once")
    for image in (*ill_posed, *reviews):
        if image not in known:
            raise UserError(f"{image} was looked at, but is not in the list; look at the images of the list")
    removed = {
        "ill-posed": set(ill_posed),
        "rejected": {image for image, review in reviews.items() if not is_accepted(review)},
        "confusable": {image for image in images if not set(confusable).isdisjoint(image.labels)},
    }
    steps, left = [("unclassifiable", len(images))], list(images)
    for what, out in removed.items():
        left = [image for image in left if image not in out]
        steps.append((f"not {what}", len(left)))
    return Refinement(tuple(left), tuple(steps))


def write_manifest(path: str | os.PathLike, refinement: Refinement, *, models: Sequence[str]) -> None:
    """Writes the list of a hard set as JSON.

    Args:
        path: the file.
        refinement: the set.
        models: names of the models whose tables chose it.
    """
    lines = []
    for image in refinement.images:
        fields = {"dataset": image.dataset, "index": image.index, "labels": image.labels}
        lines.append(json.dumps(fields if image.corruption is None else fields | {"corruption": image.corruption}))
    head = json.dumps({"format": FORMAT, "models": list(models), "steps": refinement.steps})
    # one line per image, so that versions of a list can be compared
    write_atomically(path, f'{head[:-1]}, "images": [\n' + ",\n".join(lines) + "\n]}\n")


def read_manifest(path: str | os.PathLike) -> Refinement:
    """Reads the list of a hard set.

    Args:
        path: a file of `write_manifest`.

    Raises:
        UserError: the file is missing, or of another form.
    """
    try:
        content = json.loads(Path(path).read_text())
        if content["format"] != FORMAT:
            raise UserError(f"{path} has format {content['format']!r}, but format {FORMAT} is read; write it anew")
        images = tuple(
            HardImage(
                dataset=str(one["dataset"]),
                index=int(one["index"]),
                labels=tuple(int(label) for label in one["labels"]),
                corruption=Corruption(*one["corruption"]) if "corruption" in one else None,
            )
            for one in content["images"]
        )
        return Refinement(images, tuple((str(what), int(count)) for what, count in content["steps"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no manifest of a hard set ({error!r}); write it anew") from error


class HardSource:
    """The images of a hard set, read from the data sets that they come from.

    Args:
        images: the set.
        sources: by data set, `source[i] -> {"image", ...}`.

    Raises:
        UserError: a data set is missing, or has fewer images than the list names.
    """

    def __init__(self, images: Sequence[HardImage], sources: Mapping[str, Any]):
        self.images = tuple(images)
        self._sources: dict[tuple[str, Corruption | None], Any] = {}
        for image in self.images:
            place = (image.dataset, image.corruption)
            if image.dataset not in sources:
                raise UserError(f"the hard set has images of {image.dataset}, which is missing; give its source too")
            source = sources[image.dataset]
            if not 0 <= image.index < len(source):
                raise UserError(f"{image.dataset} has {len(source)} images, but the hard set names {image.index}")
            if place not in self._sources:
                change = image.corruption
                self._sources[place] = (
                    source
                    if change is None
                    else CorruptedSource(source, change.name, severity=change.severity, seed=change.seed)
                )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """Returns the image, its labels as a tuple, and an id that names the data set."""
        image = self.images[position]
        example = self._sources[image.dataset, image.corruption][image.index]
        change = "" if image.corruption is None else f"{image.corruption.name}-{image.corruption.severity}/"
        name = f"{image.dataset}/{change}{example.get('id', image.index)}"
        return {"image": example["image"], "label": image.labels, "id": name}
