"""A hard set as a folder: its pictures, their labels, and the row that makes it a data set of `config.data.names`."""

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import yaml
from PIL import Image

from lrjax.data.dataset import Dataset
from lrjax.data.source import Source
from lrjax.display.progress import Progress
from lrjax.errors import UserError
from lrjax.questions.zoom.hard.construction import HardImage
from lrjax.questions.zoom.hard.manifest import Manifest, manifest_text
from lrjax.results.store import write_atomically

MANIFEST = "manifest.json"

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")  # the others are kept as TIFF, so that no pixel changes


def write_folder(folder: Path, manifest: Manifest, *, sources: Mapping[str, Source], like: Dataset) -> Path:
    """Writes a set; a second run, or one after an interruption, writes only what is missing.

    `manifest.json` comes first and the row last, so a folder with a row is complete.

    Args:
        folder: new, or one that was begun with the same manifest.
        manifest: the set.
        sources: the images, by data set.
        like: data set that gives classes and templates.

    Returns:
        Path of the row, NAME.yaml.

    Raises:
        UserError: the folder holds something else, a name does not fit, or an image is missing or damaged.
    """
    images = manifest.refinement.images
    if not re.fullmatch(r"[\w-]+", manifest.name):
        raise UserError(f"a hard set is called {manifest.name!r}; name it with letters, digits, '_' and '-'")
    for name in sources:
        if name in (".", "..") or "/" in name or "\\" in name:
            raise UserError(f"data set {name!r} is no name of a folder; evaluate it under another name")
    for image in images:
        if not 0 <= image.index < len(sources[image.dataset]):
            raise UserError(
                f"{image.dataset} has {len(sources[image.dataset])} images, but image {image.index} is hard"
            )
    _begin(folder, manifest_text(manifest))
    for place in ("images", *(f"images/{name}" for name in sources)):
        if (folder / place).is_symlink():
            raise UserError(f"{folder / place} is a link; remove it, or name another folder")
    rows = []
    for image in Progress(manifest.name, len(images), unit="image", over=images):
        name = _written(folder, image) or _write(folder, image, sources[image.dataset])
        labels = image.labels[0] if len(image.labels) == 1 else image.labels
        rows.append(json.dumps({"file_name": name, "label": labels, "origin": image.dataset}) + "\n")
    write_atomically(folder / "metadata.jsonl", "".join(rows))
    row = {
        "title": f"images that no zoom view of {', '.join(manifest.models)} gets right",
        "group": list(like.group),
        "count": len(images),
        "classes": list(like.classes),
        **({} if like.folders is None else {"folders": list(like.folders)}),
        "templates": list(like.templates),
        "path": "metadata:.",
    }
    path = folder / f"{manifest.name}.yaml"
    write_atomically(path, yaml.safe_dump(row, sort_keys=False, allow_unicode=True, width=120))
    return path


def _begin(folder: Path, manifest: str) -> None:
    path = folder / MANIFEST
    if path.exists():
        if path.read_bytes() != manifest.encode():
            raise UserError(f"{folder} holds another hard set; name another folder, or remove it")
    elif folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty and holds no hard set; name another folder")
    else:
        write_atomically(path, manifest)


def _written(folder: Path, image: HardImage) -> str | None:
    """The picture of an image where an earlier run has written it."""
    names = (f"images/{image.name}.{suffix}" for suffix in ("png", "tiff"))
    return next((name for name in names if (folder / name).is_file() and not (folder / name).is_symlink()), None)


def _write(folder: Path, image: HardImage, source: Source) -> str:
    picture = source[image.index]["image"]
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    kind = "png" if picture.mode in _PNG_MODES else "tiff"
    content = io.BytesIO()
    picture.save(content, kind)
    name = f"images/{image.name}.{kind}"
    write_atomically(folder / name, content.getvalue())
    return name
