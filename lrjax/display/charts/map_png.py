"""Maps and sheets as PNG files (matplotlib, imported on use)."""

import math
import textwrap

import numpy as np

from lrjax.display.charts import names
from lrjax.display.charts.maps import WRITTEN, Maps, Sheet
from lrjax.display.charts.png import INK, MUTED, encode, new_figure, require_matplotlib

_RIGHT, _WRONG = "#009E73", "#D55E00"
_TITLE = 11  # points
_STYLE = {"font.family": "DejaVu Sans", "text.parse_math": False, "figure.facecolor": "white"}


def draw_maps(maps: Maps) -> bytes:
    """Draws maps.

    Args:
        maps: what to draw.

    Returns:
        A PNG file of 160 dots per inch; equal maps give equal bytes.

    Raises:
        UserError: matplotlib is not installed.
    """
    matplotlib = require_matplotlib()
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    colours = LinearSegmentedColormap.from_list("white to blue", ["#F4F7FA", "#56B4E9", "#0072B2", "#003A5D"])
    scale = Normalize(maps.low, maps.high)
    across = min(maps.columns, len(maps.maps))
    down = math.ceil(len(maps.maps) / across)
    with matplotlib.rc_context(_STYLE):
        figure = _figure(2.3 * across + (1.0 if maps.label else 0.2), 2.5 * down + 0.3, maps.title)
        axes = figure.subplots(down, across, squeeze=False)
        for axis in axes.flat[len(maps.maps) :]:
            axis.set_visible(False)
        for axis, one in zip(axes.flat, maps.maps, strict=False):
            axis.imshow(one.values, cmap=colours, norm=scale, interpolation="nearest")
            lines = [names.shorten(line, 9 / 72, 2.2) for line in one.title.split("\n")]
            axis.set_title("\n".join(lines), fontsize=9, color=INK, loc="left")
            axis.set_xticks([])
            axis.set_yticks([])
            _lines(axis, one.values.shape, maps.block)
            if max(one.values.shape) <= WRITTEN:
                _write_values(axis, one.values, scale)
        if maps.label:
            bar = figure.colorbar(ScalarMappable(scale, colours), ax=axes, shrink=0.8, aspect=25)
            bar.set_label(maps.label, color=INK, fontsize=9)
            bar.outline.set_visible(False)
            bar.ax.tick_params(labelsize=8, color=MUTED, labelcolor=INK)
        return encode(figure)


def draw_sheet(sheet: Sheet) -> bytes:
    """Draws small pictures on a grid.

    Args:
        sheet: what to draw.

    Returns:
        A PNG file of 160 dots per inch; equal pictures give equal bytes.

    Raises:
        UserError: matplotlib is not installed.
    """
    matplotlib = require_matplotlib()
    across = min(sheet.columns, len(sheet.pictures))
    down = math.ceil(len(sheet.pictures) / across)
    with matplotlib.rc_context(_STYLE):
        figure = _figure(1.35 * across, 1.5 * down + 0.15, sheet.title)
        axes = figure.subplots(down, across, squeeze=False)
        for axis in axes.flat[len(sheet.pictures) :]:
            axis.set_visible(False)
        for number, (axis, picture, caption) in enumerate(zip(axes.flat, sheet.pictures, sheet.captions, strict=False)):
            axis.imshow(picture)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_xlabel(caption, fontsize=7, color=INK, labelpad=2)
            colour = "white" if sheet.right is None else _RIGHT if sheet.right[number] else _WRONG
            axis.spines[:].set(color=colour, linewidth=2.5)
        return encode(figure)


def _figure(width: float, height: float, title: str):
    lines = textwrap.wrap(title, max(10, int(width / (0.0092 * _TITLE)))) or [""]  # a bold letter's inches per point
    figure = new_figure(width, height + 1.4 * len(lines) * _TITLE / 72)
    figure.suptitle("\n".join(lines), fontsize=_TITLE, fontweight="bold", color=INK, x=0.01, ha="left")
    return figure


def _lines(axis, shape: tuple[int, int], block: int | None) -> None:
    axis.spines[:].set_visible(False)
    for count, line in zip(shape, (axis.axhline, axis.axvline), strict=True):
        for at in range(1, count):
            strong = block is not None and at % block == 0
            line(
                at - 0.5, color=INK if strong else "white", linewidth=1.2 if strong else 0.6, zorder=3 if strong else 2
            )


def _write_values(axis, values: np.ndarray, scale) -> None:
    for (row, column), value in np.ndenumerate(values):
        if not math.isnan(value):
            ink = "white" if scale(value) > 0.55 else INK
            axis.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=8, color=ink)
