"""Maps (a colour per cell of a grid) and sheets of small pictures, apart from how they are drawn.

`charts.map_png` makes PNG files of them, `charts.map_html` HTML.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from lrjax.errors import UserError

WRITTEN = 5
"""Maps of up to so many cells a side are written with their values."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Map:
    """A grid of values.

    Attributes:
        title: the text above it; a newline starts a second line.
        values: float or bool [rows, columns]; of floats nan stays empty.

    Raises:
        UserError: the values have no cells.
    """

    title: str
    values: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "values", np.asarray(self.values, float))
        if self.values.ndim != 2 or not self.values.size:
            raise UserError(f"map {self.title!r} has values {list(self.values.shape)}; give at least one cell")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Maps:
    """Maps side by side with one scale of colours.

    Attributes:
        name: stem of its file and part of its HTML id.
        title: the text above all.
        maps: at least one.
        low: the value of the lightest colour on white paper.
        high: the value of the darkest.
        label: what the values are, beside the scale of colours; "" draws none.
        block: cells per side of the blocks that lines set off; default no lines.
        columns: maps side by side in a PNG, at most; a page wraps them as there is room.

    Raises:
        UserError: there is no map.
    """

    name: str
    title: str
    maps: Sequence[Map]
    low: float
    high: float
    label: str = ""
    block: int | None = None
    columns: int = 4

    def __post_init__(self):
        object.__setattr__(self, "maps", tuple(self.maps))
        if not self.maps:
            raise UserError(f"picture {self.title!r} has no maps; give it at least one")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """Small pictures on a grid.

    Attributes:
        name: stem of its file and part of its HTML id.
        title: the text above all.
        pictures: uint8 [H, W, 3], all of one size, at least one.
        captions: text below each.
        right: which get a green frame; the others get an orange one. Default: no frames.
        columns: pictures side by side in a PNG.

    Raises:
        UserError: there is no picture, or the sizes or numbers differ.
    """

    name: str
    title: str
    pictures: Sequence[np.ndarray]
    captions: Sequence[str]
    right: Sequence[bool] | np.ndarray | None = None
    columns: int = 6

    def __post_init__(self):
        count = len(self.pictures)
        if not count or len({picture.shape for picture in self.pictures}) > 1:
            raise UserError(f"sheet {self.title!r} needs pictures of one size, at least one")
        if len(self.captions) != count or (self.right is not None and len(self.right) != count):
            raise UserError(f"sheet {self.title!r} has {count} pictures; give one caption and one mark for each")
