"""IDX files, the format of MNIST."""

import functools
import gzip
import hashlib
import io
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lrjax.checks.files import open_regular
from lrjax.data.memory import MEMORY
from lrjax.data.sources.base import ListedImages
from lrjax.errors import UserError

_PREFIXES = {"test": "t10k", "train": "train"}


class IdxImages(ListedImages):
    """Grey images of two IDX files, `PREFIX-images-idx3-ubyte` and `PREFIX-labels-idx1-ubyte`, gzipped or not.

    Args:
        location: the folder with the files.
        split: "test" (prefix "t10k") or "train".

    Raises:
        UserError: a file is missing or damaged, or the files do not fit each other.
    """

    def __init__(self, location: str | os.PathLike, *, split: str = "test"):
        prefix = _PREFIXES.get(split, split)
        self.images = _read(Path(location), f"{prefix}-images-idx3-ubyte", 3)
        labels = _read(Path(location), f"{prefix}-labels-idx1-ubyte", 1)
        if len(labels) != len(self.images):
            raise UserError(f"'{location}' has {len(self.images)} images and {len(labels)} labels; fetch it again")
        super().__init__(location, [f"{prefix}/{number}" for number in range(len(labels))], labels.tolist())

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = Image.fromarray(self.images[index])
        return {"image": image, "label": self.labels[index], "id": self.ids[index]}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the sides and pixels of all images, and of their labels."""
        content = self.images.tobytes() + np.array(self.labels, np.uint8).tobytes()
        return hashlib.sha256(repr(self.images.shape).encode() + content).hexdigest()


def _read(folder: Path, name: str, dimensions: int) -> np.ndarray:
    path = next((one for one in (folder / name, folder / f"{name}.gz") if one.exists()), None)
    if path is None:
        raise UserError(f"'{folder}' has no file {name} or {name}.gz; fetch the data set again")
    try:
        with open_regular(path) as file:
            return _array(gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file, dimensions, path)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"'{path}' cannot be read ({error}); fetch it again") from error


def _array(file: io.BufferedIOBase, dimensions: int, path: Path) -> np.ndarray:
    """The content, of which no more is unpacked than the header promises."""
    # two zero bytes, 8 for uint8, the number of dimensions, then the sides as big-endian int32
    if file.read(4) != bytes([0, 0, 8, dimensions]):
        raise ValueError("no IDX file of bytes")
    sides = np.frombuffer(file.read(4 * dimensions), ">i4", dimensions).tolist()
    size = math.prod(sides)
    if min(sides) < 1:
        raise ValueError(f"its header has the sides {sides}")
    MEMORY.check(size, f"'{path}'")
    content = file.read(size + 1)
    if len(content) != size:
        found = "more" if len(content) > size else f"only {len(content):,}"
        raise ValueError(f"its header promises {size:,} bytes, and there are {found}")
    return np.frombuffer(content, np.uint8).reshape(sides)
