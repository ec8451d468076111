"""Maps (a colour per cell of a grid) and sheets of small pictures as PNG files (matplotlib, imported on use)."""

import dataclasses
import io
import math
import textwrap
from collections.abc import Sequence

import numpy as np

from lrjax.charts import names
from lrjax.charts.png import require_matplotlib
from lrjax.errors import UserError

_INK, _MUTED, _RIGHT, _WRONG = "#222222", "#6B6B6B", "#009E73", "#D55E00"
_DPI, _TITLE = 160, 11
_STYLE = {"font.family": "DejaVu Sans", "text.parse_math": False, "figure.facecolor": "white"}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Map:
    """A grid of values.

    Attributes:
        title: the text above it.
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


def draw_maps(
    title: str,
    maps: Sequence[Map],
    *,
    low: float,
    high: float,
    label: str = "",
    block: int | None = None,
    columns: int = 4,
) -> bytes:
    """Draws maps side by side with one scale of colours.

    Args:
        title: the text above all.
        maps: at least one; those of up to 5 x 5 cells are written with their values.
        low: the value of the lightest colour.
        high: the value of the darkest.
        label: what the values are, beside the scale of colours; "" draws none.
        block: cells per side of the blocks that lines set off; default no lines.
        columns: maps side by side, at most.

    Returns:
        A PNG file of 160 dots per inch; equal maps give equal bytes.

    Raises:
        UserError: there is no map, or matplotlib is not installed.
    """
    if not maps:
        raise UserError(f"picture {title!r} has no maps; give it at least one")
    matplotlib = require_matplotlib()
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    colours = LinearSegmentedColormap.from_list("white to blue", ["#F4F7FA", "#56B4E9", "#0072B2", "#003A5D"])
    scale = Normalize(low, high)
    across = min(columns, len(maps))
    down = math.ceil(len(maps) / across)
    with matplotlib.rc_context(_STYLE):
        figure = _figure(2.3 * across + (1.0 if label else 0.2), 2.5 * down + 0.3, title)
        axes = figure.subplots(down, across, squeeze=False)
        for axis in axes.flat[len(maps) :]:
            axis.set_visible(False)
        for axis, one in zip(axes.flat, maps, strict=False):
            axis.imshow(one.values, cmap=colours, norm=scale, interpolation="nearest")
            lines = [names.shorten(line, 9 / 72, 2.2) for line in one.title.split("\n")]
            axis.set_title("\n".join(lines), fontsize=9, color=_INK, loc="left")
            axis.set_xticks([])
            axis.set_yticks([])
            _lines(axis, one.values.shape, block)
            if max(one.values.shape) <= 5:
                _write_values(axis, one.values, scale)
        if label:
            bar = figure.colorbar(ScalarMappable(scale, colours), ax=axes, shrink=0.8, aspect=25)
            bar.set_label(label, color=_INK, fontsize=9)
            bar.outline.set_visible(False)
            bar.ax.tick_params(labelsize=8, color=_MUTED, labelcolor=_INK)
        return _png(figure)


def draw_sheet(
    title: str,
    pictures: Sequence[np.ndarray],
    *,
    captions: Sequence[str],
    right: Sequence[bool] | None = None,
    columns: int = 6,
) -> bytes:
    """Draws small pictures on a grid.

    Args:
        title: the text above all.
        pictures: uint8 [H, W, 3], all of one size, at least one.
        captions: text below each.
        right: which get a green frame; the others get an orange one. Default: no frames.
        columns: pictures side by side.

    Returns:
        A PNG file of 160 dots per inch; equal pictures give equal bytes.

    Raises:
        UserError: there is no picture, the sizes differ, the numbers differ, or matplotlib is not installed.
    """
    if not pictures or len({picture.shape for picture in pictures}) > 1:
        raise UserError(f"sheet {title!r} needs pictures of one size, at least one")
    if len(captions) != len(pictures) or (right is not None and len(right) != len(pictures)):
        raise UserError(f"sheet {title!r} has {len(pictures)} pictures; give one caption and one mark for each")
    matplotlib = require_matplotlib()
    across = min(columns, len(pictures))
    down = math.ceil(len(pictures) / across)
    with matplotlib.rc_context(_STYLE):
        figure = _figure(1.35 * across, 1.5 * down + 0.15, title)
        axes = figure.subplots(down, across, squeeze=False)
        for axis in axes.flat[len(pictures) :]:
            axis.set_visible(False)
        for number, (axis, picture, caption) in enumerate(zip(axes.flat, pictures, captions, strict=False)):
            axis.imshow(picture)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_xlabel(caption, fontsize=7, color=_INK, labelpad=2)
            colour = "white" if right is None else _RIGHT if right[number] else _WRONG
            axis.spines[:].set(color=colour, linewidth=2.5)
        return _png(figure)


def _figure(width: float, height: float, title: str):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # not pyplot: no global state, and the Agg canvas whatever the display is
    lines = textwrap.wrap(title, max(10, int(width / (0.0092 * _TITLE)))) or [""]  # a bold letter's inches per point
    figure = Figure(figsize=(width, height + 1.4 * len(lines) * _TITLE / 72), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(lines), fontsize=_TITLE, fontweight="bold", color=_INK, x=0.01, ha="left")
    return figure


def _png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _lines(axis, shape: tuple[int, int], block: int | None) -> None:
    axis.spines[:].set_visible(False)
    for count, line in zip(shape, (axis.axhline, axis.axvline), strict=True):
        for at in range(1, count):
            strong = block is not None and at % block == 0
            line(
                at - 0.5, color=_INK if strong else "white", linewidth=1.2 if strong else 0.6, zorder=3 if strong else 2
            )


def _write_values(axis, values: np.ndarray, scale) -> None:
    for (row, column), value in np.ndenumerate(values):
        if not math.isnan(value):
            ink = "white" if scale(value) > 0.55 else _INK
            axis.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=8, color=ink)
