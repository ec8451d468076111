"""Where the images of a result were, so that they can be opened again and are known to be the same ones."""

from collections.abc import Mapping
from typing import Any

from lrjax.config import Data
from lrjax.data.dataset import Dataset
from lrjax.data.datasets import get_dataset, open_source, sampled
from lrjax.data.regions import cut, read_boxes
from lrjax.data.source import Source
from lrjax.errors import UserError

_KEYS = {"name", "root", "sources", "count", "seed", "region", "boxes", "fingerprint"}


def where(name: str, dataset: Dataset, source: Source, data: Data) -> dict[str, Any]:
    """Describes the images of a data set, in a form that can be stored as JSON.

    Args:
        name: of `data.names`.
        dataset: the data set of this name.
        source: its images.
        data: how they were opened.

    Returns:
        What `open_again` takes. Paths are as they were given, so they hold in the same working directory.
    """
    return {
        "name": name,
        "root": data.root,
        "sources": dict(data.sources),
        "count": data.count if dataset.procedural else None,
        "limit": data.limit,
        "seed": data.seed,
        "region": data.region,
        "boxes": data.boxes,
        "fingerprint": source.fingerprint,
    }


def open_again(place: Mapping[str, Any] | None) -> tuple[Dataset, Source]:
    """Opens the images of a result again.

    Args:
        place: of `where`; None where a result has none.

    Returns:
        The data set, and its source.

    Raises:
        UserError: the images are not there, or others than they were.
    """
    if place is None or not place.keys() >= _KEYS:
        raise UserError("the result does not tell where its images are; evaluate again")
    root = place["root"] or None
    dataset = get_dataset(place["name"], root)
    options = {name: place[name] for name in ("sources", "count", "seed")}
    source = open_source(dataset, root, **options, on_doubt="warn")  # the run has decided
    if place["region"]:
        boxes = read_boxes(place["boxes"]) if place["boxes"] else None
        dataset, source = cut(dataset, source, place["region"], boxes=boxes)
    if place.get("limit"):  # results of earlier versions have none
        source = sampled(source, place["limit"], place["seed"])
    if source.fingerprint != place["fingerprint"]:
        raise UserError(f"the images of {dataset.name} are others than those of the result; evaluate again")
    return dataset, source
