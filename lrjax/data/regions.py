"""Images cut by bounding boxes: only the objects, or all but them."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool, Int

from lrjax.checks.files import read_regular
from lrjax.data.dataset import Dataset
from lrjax.data.images import ImageError, to_rgb
from lrjax.data.source import Derived, Source
from lrjax.errors import UserError

REGIONS = ("foreground", "background")
"""What is kept of an image; the rest becomes black."""


class Boxes(NamedTuple):
    """The bounding boxes of an image.

    Attributes:
        corners: (left, top, right, bottom) in pixels, right and bottom exclusive.
        size: height and width in pixels of the image that they were drawn on.
    """

    corners: Int[np.ndarray, "n 4"]
    size: tuple[int, int]


def read_boxes(folder: str | os.PathLike) -> dict[str, Boxes]:
    """Reads annotations in the XML format of PASCAL VOC, in which ILSVRC publishes its boxes.

    Args:
        folder: searched at any depth for *.xml, one per image.

    Returns:
        The boxes by the name of the file without its suffix, which is that of the image: the file name inside an
        annotation is not always right. Images without a box are left out.

    Raises:
        UserError: the folder has no annotation, two of one name, or one that cannot be read.
    """
    found: dict[str, Boxes] = {}
    for path in sorted(Path(folder).expanduser().rglob("*.xml")):
        if path.stem in found:
            raise UserError(f"'{folder}' has two annotations {path.name}; keep those of one data set")
        boxes = _read(path)
        if len(boxes.corners):
            found[path.stem] = boxes
    if not found:
        raise UserError(f"config.data.boxes: '{folder}' has no XML file with a bounding box; name a folder of them")
    return found


def _read(path: Path) -> Boxes:
    try:
        root = ElementTree.fromstring(read_regular(path))
        height, width = (int(root.findtext(f"size/{name}", "")) for name in ("height", "width"))
        corners = [
            [int(float(box.findtext(name, ""))) for name in ("xmin", "ymin", "xmax", "ymax")]
            for box in root.iterfind("object/bndbox")
        ]
    except (ElementTree.ParseError, ValueError, OSError) as error:
        raise UserError(f"'{path}' is no annotation of a size and boxes ({error}); mend or remove it") from error
    if min(height, width) < 1:
        raise UserError(f"'{path}' gives its image {width} x {height} pixels; mend or remove it")
    points = np.sort(np.array(corners, np.int64).reshape(-1, 2, 2), axis=1)  # in some, the ends have changed places
    return Boxes(points.reshape(-1, 4), (height, width))


def inside_boxes(boxes: Boxes, height: int, width: int) -> Bool[np.ndarray, "{height} {width}"]:
    """Tells which pixels of an image lie inside of any box.

    Args:
        boxes: the boxes; of an image of another size they grow or shrink with it, to whole pixels outwards.
        height: height of the image in pixels.
        width: its width.
    """
    inside = np.zeros((height, width), bool)
    rows, columns = boxes.size
    for left, top, right, bottom in boxes.corners.clip(0).tolist():
        inside[
            top * height // rows : -(-bottom * height // rows), left * width // columns : -(-right * width // columns)
        ] = True
    return inside


class RegionSource(Derived):
    """A source whose images show only what is inside of their bounding boxes, or only what is outside of all.

    Args:
        source: the images, `source[i] -> {"image": PIL image or uint8 [H, W, 3], "id": str, ...}`.
        region: one of `REGIONS`.
        boxes: of `read_boxes`, found by the file name in the id; None takes `source[i]["boxes"]`, which procedural
            pictures have.
        name: what errors call the source.

    Raises:
        UserError: the region is unknown, or the source has no boxes of its own.
        ImageError: on reading, an image has no box.

    Reference: arXiv 2304.05538, appendix C.1 (FGSet and BGSet).
    """

    def __init__(self, source: Source, region: str, *, boxes: Mapping[str, Boxes] | None = None, name: str = "images"):
        if region not in REGIONS:
            raise UserError(f"the region {region!r} is unknown; use one of {', '.join(REGIONS)}")
        if boxes is None and not source.has_boxes:
            raise UserError(f"'{name}' has no bounding boxes of its own; set config.data.boxes to a folder of them")
        super().__init__(source)
        self.region, self.boxes = region, boxes

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self.source[index]
        pixels = to_rgb(example["image"])
        inside = inside_boxes(self._boxes(example), *pixels.shape[:2])[..., None]
        return example | {"image": np.where(inside == (self.region == "foreground"), pixels, np.uint8(0))}

    def _boxes(self, example: Mapping[str, Any]) -> Boxes:
        if self.boxes is None:
            return Boxes(example["boxes"], example["image"].shape[:2])
        name = PurePath(example["id"]).stem
        if name not in self.boxes:
            raise ImageError(
                f"image '{example['id']}' has no bounding box; add {name}.xml to the folder config.data.boxes, or "
                "leave such images out (config.data.on_error 'skip')",
                example["id"],
            )
        return self.boxes[name]

    @property
    def fingerprint(self) -> str:
        """That of the images, the region, and a hash of the boxes."""
        if self.boxes is None:
            return f"{self.source.fingerprint}:{self.region}"
        digest = hashlib.sha256()
        for name, (corners, size) in sorted(self.boxes.items()):
            digest.update(f"{name}{corners.tolist()}{size}\n".encode())
        return f"{self.source.fingerprint}:{self.region}:{digest.hexdigest()}"


def cut(
    dataset: Dataset, source: Source, region: str, *, boxes: Mapping[str, Boxes] | None = None
) -> tuple[Dataset, RegionSource]:
    """Leaves only a region of the images of a data set, under a name of its own, by which its results are told apart.

    Args:
        dataset: the data set.
        source: its images.
        region: one of `REGIONS`.
        boxes: of `read_boxes`; procedural pictures have their own.

    Returns:
        The data set, with the region behind its name, and the images.

    Raises:
        UserError: as `RegionSource`.
    """
    own = None if dataset.procedural else boxes
    named = dataclasses.replace(dataset, name=f"{dataset.name}+{region}", region=region)
    return named, RegionSource(source, region, boxes=own, name=dataset.name)
