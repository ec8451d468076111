"""Random-access sources of procedural pictures: six zero-shot data sets and caption-image pairs."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lrjax.data.procedural.captions import caption
from lrjax.data.procedural.sampling import OBJECT_KINDS, render, render_with_boxes, sample_scene
from lrjax.data.procedural.shapes import require_fonts
from lrjax.data.procedural.vocabulary import (
    COLOURS,
    HELD_OUT_COMBINATIONS,
    LETTERS,
    SCENES,
    SHAPES,
    TEXTURES,
)
from lrjax.data.source import Source
from lrjax.errors import UserError


@dataclass(frozen=True)
class ProceduralDataset:
    """One zero-shot data set.

    Args:
        name: Its name.
        group: Its group: generic, texture, fine-grained, scene, colour or attribute.
        classes: The class words in label order.
        templates: Evaluation templates with "{}" for the class words; no training template is among them.
        kind: The kind of its pictures.
        values: For every class, the attributes that `sample_scene` must fix.
        sampling: Attributes fixed for every class (None forbids one).
    """

    name: str
    group: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    kind: str
    values: tuple[Mapping[str, str], ...]
    sampling: Mapping[str, str | None] = field(default_factory=dict)


def _of(attribute: str, vocabulary: tuple[str, ...]) -> tuple[dict[str, str], ...]:
    return tuple({attribute: value} for value in vocabulary)


_SHAPE_TEMPLATES = ("a photo of the {} in the picture", "an image of the {}", "this is a picture of one {}")

DATASETS = {
    dataset.name: dataset
    for dataset in (
        ProceduralDataset("shapes", "generic", SHAPES, _SHAPE_TEMPLATES, "shape", _of("shape", SHAPES)),
        ProceduralDataset(
            "textures",
            "texture",
            TEXTURES,
            ("a photo of a pattern of {}", "this is a picture full of {}", "an image with a pattern of {}"),
            "texture",
            _of("texture", TEXTURES),
        ),
        ProceduralDataset(
            "letters",
            "fine-grained",
            LETTERS,
            ("a photo of the capital letter {}", "an image of the letter {}", "this is a picture of the letter {}"),
            "letter",
            _of("letter", LETTERS),
        ),
        ProceduralDataset(
            "scenes",
            "scene",
            SCENES,
            ("an image of the {} scene", "a photo of the {} landscape", "this is a picture of the {}"),
            "scene",
            _of("scene", SCENES),
        ),
        ProceduralDataset(
            "colours",
            "colour",
            COLOURS,
            ("a photo of something {}", "an image of something {}", "this is a picture of the {} object"),
            "shape",
            _of("colour", COLOURS),
            {"texture": None},
        ),
        ProceduralDataset(
            "combinations",
            "attribute",
            tuple(f"{colour} {shape}" for colour, shape in HELD_OUT_COMBINATIONS),
            _SHAPE_TEMPLATES,
            "shape",
            tuple({"colour": colour, "shape": shape} for colour, shape in HELD_OUT_COMBINATIONS),
            {"texture": None},
        ),
    )
}

VERSION = 1
"""Counts the changes of the pictures; part of every fingerprint."""

_EVALUATION, _CAPTIONS = zlib.crc32(b"evaluation"), zlib.crc32(b"captions")


def check_size(count: int, seed: int) -> None:
    """Check the number of pictures of a source and its seed.

    Raises:
        UserError: One is out of range.
    """
    if count < 1:
        raise UserError(f"A procedural source cannot hold {count} pictures; ask for 1 or more.")
    if not 0 <= seed < 2**32:
        raise UserError(f"The seed {seed} of a procedural source is out of range; use 0 to 2**32 - 1.")


def position(index: int, count: int) -> int:
    """Return the index of a picture.

    Raises:
        IndexError: It is out of range.
    """
    if not 0 <= index < count:
        raise IndexError(f"picture {index} of a source of {count}")
    return int(index)


class ProceduralSource(Source):
    """The pictures of one zero-shot data set, each a function of (data set, seed, index) only."""

    def __init__(self, dataset: str, count: int, *, seed: int) -> None:
        """Describe the source; nothing is drawn yet.

        Args:
            dataset: A key of DATASETS.
            count: Number of pictures; classes take turns.
            seed: 0 to 2**32 - 1.

        Raises:
            UserError: The data set is unknown, or count or seed is out of range.
        """
        if dataset not in DATASETS:
            raise UserError(f"There is no procedural data set '{dataset}'; use one of {', '.join(DATASETS)}.")
        check_size(count, seed)
        self.dataset, self.count, self.seed = DATASETS[dataset], count, seed
        if self.dataset.kind == "letter":
            require_fonts()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict:
        """Return {"image": uint8 [224, 224, 3], "label": int, "id": str, "boxes": int32 [n, 4]}.

        Args:
            index: 0 to count - 1.

        Returns:
            The example; the boxes are those of `render_with_boxes`.

        Raises:
            IndexError: The index is out of range.
        """
        index = position(index, self.count)
        dataset = self.dataset
        label = index % len(dataset.classes)
        rng = np.random.default_rng([_EVALUATION, zlib.crc32(dataset.name.encode()), self.seed, index])
        scene = sample_scene(rng, kind=dataset.kind, **dataset.sampling, **dataset.values[label])
        image, boxes = render_with_boxes(scene, rng)
        return {"image": image, "label": label, "id": f"{dataset.name}/{self.seed}/{index:06d}", "boxes": boxes}

    @property
    def has_boxes(self) -> bool:
        """Whether every picture shows an object with a bounding box."""
        return self.dataset.kind in OBJECT_KINDS

    @property
    def fingerprint(self) -> str:
        """Everything that determines the pictures."""
        return f"procedural:{VERSION}:{self.dataset.name}:{self.seed}:{self.count}"


class CaptionSource(Source):
    """Caption-image pairs of the training distribution, each a function of (seed, index) only.

    With several images per caption, each a function of (seed, caption, image of the caption) only, the captions are
    numbered: index i is image i % k of caption i // k.
    """

    def __init__(self, count: int, *, seed: int, images_per_caption: int = 0) -> None:
        """Describe the source; nothing is drawn yet.

        Args:
            count: Number of pairs.
            seed: 0 to 2**32 - 1.
            images_per_caption: Pictures of the same facts and caption, a divisor of the count; 0 draws other facts for
                each, and numbers no captions.

        Raises:
            UserError: Count or seed is out of range, or the last caption would have fewer pictures.
        """
        check_size(count, seed)
        if images_per_caption and count % images_per_caption:
            below = count // images_per_caption * images_per_caption
            raise UserError(
                f"{count} pictures are not {images_per_caption} of each caption (config.train.images_per_caption); set "
                f"config.train.count to {f'{below} or ' if below else ''}{below + images_per_caption}"
            )
        require_fonts()
        self.count, self.seed, self.images_per_caption = count, seed, images_per_caption

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict:
        """Return {"image": uint8 [224, 224, 3], "caption": str, "scene": Scene, "id": str}.

        Args:
            index: 0 to count - 1.

        Returns:
            The pair and the facts of its picture; with several images per caption also {"label": int}.

        Raises:
            IndexError: The index is out of range.
        """
        index = position(index, self.count)
        row = {"id": f"captions/{self.seed}/{index:06d}"}
        if self.images_per_caption:
            number, image = divmod(index, self.images_per_caption)
            row = {"id": f"captions/{self.seed}/{number:06d}/{image:03d}", "label": number}
            facts = np.random.default_rng([_CAPTIONS, 1, self.seed, number])
            rng = np.random.default_rng([_CAPTIONS, 2, self.seed, number, image])
        else:
            facts = rng = np.random.default_rng([_CAPTIONS, 0, self.seed, index])
        scene = sample_scene(facts)
        return row | {"image": render(scene, rng), "caption": caption(scene, facts), "scene": scene}

    @property
    def fingerprint(self) -> str:
        """Everything that determines the pairs."""
        numbered = f":{self.images_per_caption}" if self.images_per_caption else ""
        return f"procedural:{VERSION}:captions:{self.seed}:{self.count}{numbered}"
