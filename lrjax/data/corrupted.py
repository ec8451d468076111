"""A data set whose images are corrupted as they are read."""

from typing import Any

from lrjax.data.images import to_rgb
from lrjax.data.memory import BYTES_PER_PIXEL, MEMORY
from lrjax.data.source import Derived, Source
from lrjax.errors import UserError
from lrjax.ops.corruptions import CORRUPTIONS, corrupt, peak_bytes


def check_corruption(name: str, severity: int) -> None:
    """Checks that there is a corruption.

    Raises:
        UserError: the name or the severity is unknown.
    """
    if name not in CORRUPTIONS or severity not in range(1, 6):
        raise UserError(f"there is no {name!r} of severity {severity}; use 1 to 5 of {', '.join(CORRUPTIONS)}")


class CorruptedSource(Derived):
    """A source with every image corrupted at its full size; an image is the same in every run.

    Args:
        source: the images, `source[i] -> {"image": PIL image or uint8 [H, W, 3], ...}`.
        name: one of `corruptions.CORRUPTIONS`.
        severity: 1..5.
        seed: 0 or above; with the position it decides what is random in an image.

    Raises:
        UserError: the name or the severity is unknown; on reading, an image is too small, or needs more memory than
            `memory.MEMORY` allows.

    Reference: arXiv 2304.05538 (ImageNet-Hard: ImageNet-C made anew at full size).
    """

    def __init__(self, source: Source, name: str, *, severity: int, seed: int = 0):
        check_corruption(name, severity)
        super().__init__(source)
        self.name, self.severity, self.seed = name, severity, seed

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self.source[index]
        pixels = to_rgb(example["image"])
        height, width = pixels.shape[:2]
        size = BYTES_PER_PIXEL * height * width + peak_bytes(self.name, height, width)
        MEMORY.claim(size, f"{self.name} on image '{example['id']}' of {width} x {height} pixels")
        seed = (self.seed, int(index))
        return example | {"image": corrupt(pixels, self.name, severity=self.severity, seed=seed)}

    @property
    def fingerprint(self) -> str:
        """That of the images, and what is done to them."""
        return f"{self.source.fingerprint}:{self.name}:{self.severity}:{self.seed}"
