"""The files of a hard set that are lists: its manifest, and what people said of its images."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrjax.data.sources.split import read_json
from lrjax.errors import UserError
from lrjax.questions.zoom.hard.construction import Refinement, Review

FORMAT = 1
"""Version of the layout of a manifest, for who reads it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a hard set is made of.

    Attributes:
        name: key of the data set that it makes.
        models: names of the models that got no view of its images right.
        sources: by data set that images come from, where they are (`data.reopen.where`).
        refinement: the images.
    """

    name: str
    models: tuple[str, ...]
    sources: Mapping[str, Any]
    refinement: Refinement


def manifest_text(manifest: Manifest) -> str:
    """Returns a manifest as JSON, one line per image, so that versions of a list can be compared."""
    fields = {"format": FORMAT, "name": manifest.name, "models": manifest.models, "sources": manifest.sources}
    head = json.dumps(fields | {"steps": manifest.refinement.steps})
    lines = [json.dumps(dataclasses.asdict(image)) for image in manifest.refinement.images]
    return f'{head[:-1]}, "images": [\n' + ",\n".join(lines) + "\n]}\n"


def read_reviews(path: str | os.PathLike) -> tuple[Sequence[str], Mapping[str, Review]]:
    """Reads what people said of the images of a set.

    Args:
        path: of a JSON file {"ill_posed": [NAME, ...], "reviews": {NAME: {"first": [...], "second": [...]}}}, both
            optional, with names of images such as "imagenet+fog-3/12" and the answers of a `Review`.

    Returns:
        The ill-posed images, and the reviews of those in doubt.

    Raises:
        UserError: the file is missing, or of another form.
    """
    content = read_json(Path(path))
    try:
        if unknown := sorted(content.keys() - {"ill_posed", "reviews"}):
            raise UserError(f"{path} has the unknown key {unknown[0]!r}; use 'ill_posed' and 'reviews'")
        ill_posed, reviews = content.get("ill_posed", []), content.get("reviews", {})
        if not isinstance(ill_posed, list) or not all(isinstance(name, str) for name in ill_posed):
            raise UserError(f"ill_posed of {path} is no list of names such as 'imagenet/12'")
        return ill_posed, {
            name: Review(tuple(map(str, one["first"])), tuple(map(str, one.get("second", ()))))
            for name, one in reviews.items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f'{path} is no list of reviews ({error!r}); write {{"ill_posed": [NAME], "reviews": {{NAME: {{"first": '
            '["accept", "accept", "reject"]}}}}'
        ) from error
