"""What a source of images is: its examples, the hash of their content, and what is known of them unread."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

Label = int | str | tuple[int | str, ...]
"""A number, a class name, or several of them, any of which is right."""


class LeftOut(NamedTuple):
    """Files of one suffix that are not read, for the suffix is that of no format that is decoded.

    Attributes:
        count: how many there are.
        first: name of the first one.
    """

    count: int
    first: str


@runtime_checkable
class Examples(Protocol):
    """Random access to `len(examples)` images: {"image": PIL image or uint8 [H, W, 3], "id": str, perhaps "label"}."""

    def __len__(self) -> int:
        """Returns the number of examples."""
        ...

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Returns an example.

        Raises:
            ImageError: the image is damaged.
        """
        ...


class Source(Examples, abc.ABC):
    """Examples whose content has a fingerprint. A kind derives from it and sets what it knows without reading images.

    Attributes:
        ids: name of each image; None where only reading tells, as for `labels`.
        labels: label of each image.
        origins: the data set that each image comes from; None where the files do not tell.
        captions: texts that describe each image; they are no part of the fingerprint.
        columns: what else the files say of each image, by name, such as "shape", "texture" or "group": numbers, texts,
            or lists of these; no part of the fingerprint, but of the key of every result.
        has_boxes: whether the examples have "boxes", see `lrjax.data.regions`.
        matched: how the labels were matched with the classes, such as "by name"; None where they were not.
        doubts: sentences on what may be wrong with the labels.
        gaps: sentences on what the images lack, such as some classes, though all labels are right.
        left_out: files that are not read, by suffix.
    """

    ids: Sequence[str] | None = None
    labels: Sequence[Label] | None = None
    origins: Sequence[str] | None = None
    captions: Sequence[Sequence[str]] | None = None
    columns: Mapping[str, Sequence[Any]] = {}
    has_boxes: bool = False
    matched: str | None = None
    doubts: Sequence[str] = ()
    gaps: Sequence[str] = ()
    left_out: Mapping[str, LeftOut] = {}

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Tells the content, images and labels, from any other."""


class Derived(Source):
    """A source made of another one, of which it knows the same.

    Args:
        source: the other one.
    """

    def __init__(self, source: Source):
        self.source = source
        self.ids, self.labels, self.origins = source.ids, source.labels, source.origins
        self.captions, self.columns = source.captions, source.columns
        self.has_boxes, self.matched, self.doubts = source.has_boxes, source.matched, source.doubts
        self.gaps, self.left_out = source.gaps, source.left_out

    def __len__(self) -> int:
        return len(self.source)
