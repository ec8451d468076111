"""Procedural pictures with several captions each, for retrieval."""

import functools
import zlib

import numpy as np

from lrjax.data.procedural.captions import caption
from lrjax.data.procedural.sampling import render, sample_scene
from lrjax.data.procedural.shapes import require_fonts
from lrjax.data.procedural.sources import VERSION, check_size, position
from lrjax.data.source import Source

NAME = "captioned"
CAPTIONS = 5
"""Of every picture, as Flickr30K has."""

_CAPTIONED = zlib.crc32(NAME.encode())


class CaptionedSource(Source):
    """Pictures of the training distribution, others than those of a training, each a function of (seed, index) only."""

    def __init__(self, count: int, *, seed: int) -> None:
        """Describe the source; nothing is drawn yet.

        Args:
            count: Number of pictures.
            seed: 0 to 2**32 - 1.

        Raises:
            UserError: Count or seed is out of range.
        """
        check_size(count, seed)
        require_fonts()
        self.count, self.seed = count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict:
        """Return {"image": uint8 [224, 224, 3], "id": str}.

        Args:
            index: 0 to count - 1.

        Raises:
            IndexError: The index is out of range.
        """
        index = position(index, self.count)
        rng = np.random.default_rng([_CAPTIONED, 0, self.seed, index])
        return {"image": render(sample_scene(rng), rng), "id": f"{NAME}/{self.seed}/{index:06d}"}

    @functools.cached_property
    def captions(self) -> list[tuple[str, ...]]:
        """`CAPTIONS` true captions of each picture; some are equal, or true of another picture as well."""
        return [self._captions(index) for index in range(self.count)]

    def _captions(self, index: int) -> tuple[str, ...]:
        scene = sample_scene(np.random.default_rng([_CAPTIONED, 0, self.seed, index]))
        rng = np.random.default_rng([_CAPTIONED, 1, self.seed, index])
        return tuple(caption(scene, rng) for _ in range(CAPTIONS))

    @property
    def fingerprint(self) -> str:
        """Everything that determines the pictures."""
        return f"procedural:{VERSION}:{NAME}:{self.seed}:{self.count}"
