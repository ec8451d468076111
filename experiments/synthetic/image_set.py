"""A set of generated images on disk: what made it, what is missing of it, and its manifest."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from lrjax.data.sources.captioned import ImageSet
from lrjax.errors import UserError
from lrjax.results.store import write_atomically


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What determines the images of a set, besides the versions of the packages and the device.

    Attributes:
        captions: their number.
        captions_hash: of `captions.captions_hash`.
        pipeline: folder or hub id.
        seed: of the noise.
        resolution: side in pixels; None is the pipeline's own, as for the rest.
        steps: of denoising.
        guidance: scale of the classifier-free guidance.
        dtype: of the weights.
    """

    captions: int
    captions_hash: str
    pipeline: str
    seed: int
    resolution: int | None
    steps: int | None
    guidance: float | None
    dtype: str


class SetOnDisk:
    """A set in a folder, which may hold other sets.

    Beside its images (`ImageSet.folder`) there are a file .json with its settings, before the first one, and its
    manifest .jsonl, once it is complete.

    Args:
        root: the folder.
        captions: all captions.
        images: images per caption.
        settings: what determines the images.

    Raises:
        UserError: the folder holds images that do not go with these.
    """

    def __init__(self, root: str | Path, captions: Sequence[str], images: int, settings: Settings):
        self.root, self.captions, self.settings = Path(root).expanduser(), captions, settings
        self.layout = ImageSet(len(captions), images)
        self.plan = [(caption, image) for image in range(images) for caption in range(len(captions))]
        self._path = self.root / f"{self.layout.folder}.json"
        for other in sorted(self.root.glob("Mul_samples_*.json")):
            check = _require_equal if other == self._path else _require_others
            check(_read(other), settings, other.with_suffix(""))
        folder = self.root / self.layout.folder
        if folder.exists() and not self._path.exists():  # in this order: other parts write the file, then the folder
            raise UserError(f"'{folder}' was made by another program; give another --out")

    def missing(self, shard: tuple[int, int] = (0, 1)) -> list[tuple[int, int]]:
        """Returns the numbers of caption and image of what a shard has yet to make, the first images first.

        Args:
            shard: index and number of shards, which share the work evenly.
        """
        index, shards = shard
        folders = {Path(self.layout.file(0, image)).parent for image in range(self.layout.images)}
        found = {
            f"{folder}/{name}"
            for folder in folders
            if (self.root / folder).is_dir()
            for name in os.listdir(self.root / folder)
        }
        return [one for one in self.plan[index::shards] if self.layout.file(*one) not in found]

    def add(self, caption: int, image: int, content: bytes) -> None:
        """Stores an image.

        Args:
            caption: number of its caption.
            image: its number among those of the caption.
            content: of the PNG file.
        """
        if not self._path.exists():
            write_atomically(self._path, json.dumps(dataclasses.asdict(self.settings), indent=1) + "\n")
        write_atomically(self.root / self.layout.file(caption, image), content)

    def write_manifest(self) -> Path:
        """Writes the manifest of the complete set, a JSON line per image, and returns its path."""
        path = self.root / f"{self.layout.folder}.jsonl"
        rows = (
            {
                "file": self.layout.file(caption, image),
                "caption": caption,
                "text": self.captions[caption],
                "seed": self.settings.seed,
                "image": image,
            }
            for caption, image in self.plan
        )
        write_atomically(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
        return path


def _require_equal(found: Settings, wanted: Settings, folder: Path) -> None:
    old, new = dataclasses.asdict(found), dataclasses.asdict(wanted)
    changed = [f"{name}={old[name]!r}, not {new[name]!r}" for name in old if old[name] != new[name]]
    if changed:
        raise UserError(f"the images of '{folder}' were made with {', '.join(changed)}; give another --out")


def _require_others(found: Settings, wanted: Settings, folder: Path) -> None:
    if found.captions != wanted.captions:
        return
    if found.captions_hash != wanted.captions_hash:
        raise UserError(
            f"'{folder}' has {found.captions} other captions, whose numbers would be the same; give another --out"
        )
    if found.seed == wanted.seed:
        raise UserError(
            f"'{folder}' has images of these captions and seed {found.seed}; give another --seed to add images, or "
            "another --out"
        )


def _read(path: Path) -> Settings:
    try:
        return Settings(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"'{path}' is damaged ({error}); give another --out, or the file as it was written") from error
