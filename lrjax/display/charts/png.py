"""A chart as a PNG file (matplotlib, imported on use)."""

import io
import math
import textwrap
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from lrjax.display.charts import Chart, Panel, Series, layout, names
from lrjax.display.charts.layout import Scale
from lrjax.errors import UserError

# Okabe and Ito's palette: distinguishable with all common kinds of colour blindness. The last three are at least as far
# from the others as those are from each other, in OKLab under simulated protanopia, deuteranopia and tritanopia.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255", "#332288", "#4F3000",
    "#C1121F",
)  # fmt: skip
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "d")  # so that lines differ in grey print too
_SHAPES = {"circle": "o", "star": "*", "square": "s", "diamond": "D"}
_ENLARGED = {"*": 1.6, "^": 1.15, "v": 1.15, "<": 1.15, ">": 1.15, "P": 1.15, "X": 1.15, "h": 1.1, "D": 0.9}
INK, MUTED, _GRID = "#222222", "#6B6B6B", "#E3E3E3"
_DPI = 160
_LEFT, _LEGEND_ROW = 0.12, 0.21  # inches
_STYLE = {
    "font.family": "DejaVu Sans",
    "text.parse_math": False,  # a name may hold dollar signs
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def require_matplotlib() -> ModuleType:
    """Imports matplotlib.

    Raises:
        UserError: it is not installed; the message says how to install it.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise UserError("plots need matplotlib; pip install matplotlib, or turn the plots off") from error
    return matplotlib


def draw(chart: Chart) -> bytes:
    """Draws a chart with one title and one legend above its panels.

    Args:
        chart: what to draw.

    Returns:
        A PNG file of 160 dots per inch; equal charts give equal bytes.

    Raises:
        UserError: matplotlib is not installed.
    """
    matplotlib = require_matplotlib()
    columns = _fewest_gaps(len(chart.panels), chart.columns)
    rows = math.ceil(len(chart.panels) / columns)
    x, y = layout.scales(chart)
    with matplotlib.rc_context(_STYLE):
        width, height = _size(chart, columns, rows)
        title, title_size, title_inches = _fit_title(chart.title, width)
        legend_columns, legend_rows = _fit_legend(chart, width)
        header = title_inches + legend_rows * _LEGEND_ROW + 0.06
        height += header
        top = 1 - header / height
        figure = new_figure(width, height)
        figure.set_layout_engine("constrained", rect=(0, 0, 1, top), wspace=0.03, hspace=0.04)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        _set_axes(axes, chart, x, y)
        for axis, panel in zip(axes.flat, chart.panels, strict=False):
            _draw_panel(axis, chart, panel, y)
        place = {"x": _LEFT / width, "y": 1 - 0.1 / height, "va": "top", "linespacing": 1.2}
        figure.text(s=title, fontsize=title_size, fontweight="bold", color=INK, **place)
        font = {"fontsize": 9.5, "color": INK}
        if len(chart.panels) == 1:
            axes[0, 0].set_xlabel(chart.x.label, **font)
            axes[0, 0].set_ylabel(chart.y.label, **font)
        else:
            figure.supxlabel(chart.x.label, **font)
            figure.supylabel(chart.y.label, y=(top + 0.5 / height) / 2, **font)
        if legend_rows:
            corner = (_LEFT / width, 1 - (title_inches + 0.02) / height)
            legend = _legend(figure, chart, legend_columns, loc="upper left", bbox_to_anchor=corner)
            legend.set_in_layout(False)  # its place is the header, which the layout leaves free
        _print_names(figure, axes, chart)
        return encode(figure)


def encode(figure: Any) -> bytes:
    """Returns a figure of matplotlib as a PNG file; without the alpha channel that its own would have, a tenth smaller.

    Args:
        figure: with an Agg canvas.
    """
    figure.canvas.draw()
    buffer = io.BytesIO()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    Image.fromarray(pixels).save(buffer, "png", dpi=(figure.dpi, figure.dpi))
    return buffer.getvalue()


def new_figure(width: float, height: float) -> Any:
    """Makes an empty figure of matplotlib, of sides in inches, at 160 dots per inch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # not pyplot: no global state, and the Agg canvas whatever the display is
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _fewest_gaps(panels: int, most: int) -> int:
    if panels <= most:
        return panels
    return min(range(most, min(most, 3) - 1, -1), key=lambda columns: -panels % columns)


def _size(chart: Chart, columns: int, rows: int) -> tuple[float, float]:
    single = len(chart.panels) == 1
    if chart.horizontal:
        room = max(names.text_width(text, 8 / 72) for text in chart.categories.values())
        pitch = 0.17 if layout.is_dense(chart) else 0.25
        width = max(6.4, room + 4.2) if single else room + 2.4 * columns
        return width + 0.4, pitch * len(chart.categories) * rows + 0.75
    if single:
        return 6.4, 4.2 if layout.is_crowded(chart.panels[0]) else 3.6
    return (2.5 if columns > 3 else 3.1) * columns + 0.5, 2.1 * rows + 0.48


def _fit_title(title: str, width: float) -> tuple[str, float, float]:
    # a bold letter is about 0.0088 inches wide per point of its size
    size = min(12.0, max(10.0, (width - 0.3) / (0.0092 * max(len(title), 1))))
    lines = textwrap.wrap(title, int((width - 0.3) / (0.0092 * size))) or [""]
    return "\n".join(lines), size, 0.1 + len(lines) * 1.4 * size / 72


def _fit_legend(chart: Chart, width: float) -> tuple[int, int]:
    number = len(layout.legend_groups(chart)) + len(layout.level_names(chart))
    if not number:
        return 0, 0
    figure = new_figure(width, 1)
    for columns in range(number, 0, -1):
        legend = _legend(figure, chart, columns)
        inches = legend.get_window_extent().width / _DPI
        legend.remove()
        if inches <= width - 2 * _LEFT:
            break
    return columns, math.ceil(number / columns)


def _legend(figure, chart: Chart, columns: int, **where):
    from matplotlib.lines import Line2D

    numbers = layout.group_numbers(chart)
    handles, texts = [], []
    for name in layout.legend_groups(chart):
        members = [series for series in chart.series if series.colour_group == name]
        lines = [series for series in members if series.line]
        style = "none" if not lines else (0, (4, 2)) if all(series.dashed for series in lines) else "-"
        marker = _marker(chart, next((s for s in members if s.marker), members[0]))
        look = {"color": COLOURS[numbers[name]], "marker": marker, "linestyle": style}
        size = (5.0 if lines else 6.5) * _ENLARGED.get(marker, 1)
        handles.append(Line2D([], [], markersize=size, markeredgecolor="white", markeredgewidth=0.6, **look))
        texts.append(name)
    for name in layout.level_names(chart):
        handles.append(Line2D([], [], color=MUTED, linestyle=(0, (4, 3)), linewidth=1.1))
        texts.append(name)
    order = [i for first in range(columns) for i in range(first, len(texts), columns)]  # to be read line by line
    handles, texts = [handles[i] for i in order], [texts[i] for i in order]
    texts = [names.shorten(text, 9 / 72, figure.get_figwidth() - 1) for text in texts]
    visible = [f"\N{ZERO WIDTH SPACE}{text}" if text.startswith("_") else text for text in texts]  # "_" hides a line
    where = {"borderaxespad": 0, "borderpad": 0, "labelspacing": 0.45, "columnspacing": 1.6} | where
    return figure.legend(handles, visible, ncols=columns, frameon=False, fontsize=9, labelcolor=INK, **where)


def _set_axes(axes, chart: Chart, x: Scale, y: Scale) -> None:
    columns, count = axes.shape[1], len(chart.panels)
    for index, axis in enumerate(axes.flat):
        if index >= count:
            axis.set_visible(False)
        elif index + columns >= count:  # the lowest panel of its column, which hides its ticks where shared
            axis.tick_params(labelbottom=True)
    first = axes[0, 0]
    for scale, change in ((x, first.set_xscale), (y, first.set_yscale)):
        if scale.kind != "linear":
            change("log", base=2 if scale.kind == "log2" else 10)
    first.set_xlim(x.low, x.high)
    first.set_ylim(*((y.high, y.low) if chart.horizontal else (y.low, y.high)))
    for scale, change in ((x, first.set_xticks), (y, first.set_yticks)):
        change([at for at, _ in scale.ticks], [text for _, text in scale.ticks])
    for axis in axes.flat:
        axis.minorticks_off()
        if chart.horizontal:
            axis.tick_params(axis="y", length=0)
            axis.spines["left"].set_visible(False)


def _marker(chart: Chart, series: Series) -> str:
    plain = all(other.marker in ("circle", "") and not other.sizes for other in chart.series)
    if series.marker == "circle" and plain:
        return _MARKERS[layout.group_numbers(chart)[series.colour_group]]
    return _SHAPES.get(series.marker, "")


def _draw_panel(axis, chart: Chart, panel: Panel, values: Scale) -> None:
    if panel.level is not None:
        line = axis.axvline if chart.horizontal else axis.axhline
        line(panel.level, color=MUTED, linestyle=(0, (4, 3)), linewidth=1.1, zorder=2)
    if panel.title:
        room = axis.figure.get_figwidth() / axis.get_gridspec().ncols - 0.2
        axis.set_title(names.shorten(panel.title, 9.5 / 72, room), fontsize=9.5, color=INK, loc="left", pad=5)
    numbers = layout.group_numbers(chart)
    for depth, series in enumerate(layout.by_depth(panel)):
        colour = COLOURS[numbers[series.colour_group]]
        _draw_series(axis, chart, panel, series, colour, zorder=3 + depth)
        if layout.valued(chart):
            for index, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
                up = layout.value_is_above(panel, series, index)
                place = {"xytext": (0, 7 if up else -7), "ha": "center", "va": "bottom" if up else "top"}
                if not math.isnan(x + y):
                    axis.annotate(
                        values.text(y), (x, y), textcoords="offset points", fontsize=7.5, color=colour,
                        zorder=200, **place,
                    )  # fmt: skip


def _draw_series(axis, chart: Chart, panel: Panel, series: Series, colour: str, *, zorder: float) -> None:
    single = len(chart.panels) == 1
    usual = (1.0, 0.8) if layout.is_crowded(panel) else (2.0 if single else 1.5, 1)
    by_emphasis = {"normal": usual, "strong": (2.6 if single else 2.2, 1), "faint": (0.8, 0.45)}
    width, alpha = by_emphasis[series.emphasis]
    look = {"color": colour, "alpha": alpha, "zorder": zorder}
    if series.low:
        lines, at = (axis.hlines, series.y) if chart.horizontal else (axis.vlines, series.x)
        lines(at, series.low, series.high, linewidth=1.3, color=colour, alpha=0.55, zorder=zorder - 0.5, clip_on=False)
    if series.line:
        style = (0, (4, 2)) if series.dashed else "-"
        axis.plot(series.x, series.y, linewidth=width, linestyle=style, clip_on=False, **look)
    if series.marker:
        marker = _marker(chart, series)
        areas = [diameter**2 * _ENLARGED.get(marker, 1) ** 2 for diameter in _diameters(chart, panel, series)]
        edge = {"edgecolors": "white", "linewidths": 0.6 if series.emphasis != "faint" else 0.2}
        order = sorted(range(len(areas)), key=lambda i: -areas[i])  # small points stay visible before large ones
        x, y, s = ([values[i] for i in order] for values in (series.x, series.y, areas))
        look["alpha"] = 0.8 if series.sizes else alpha
        axis.scatter(x, y, s=s, marker=marker, clip_on=False, **look, **edge)


def _diameters(chart: Chart, panel: Panel, series: Series) -> list[float]:
    single = len(chart.panels) == 1
    if series.sizes:
        most = 17.0 if single else 12.0
        return [max(4.0, most * math.sqrt(size / layout.largest_size(chart))) for size in series.sizes]
    usual = (5.0 if series.line else 6.0) if single else (3.6 if series.line else 4.5)
    usual = min(usual, 4.4) if layout.is_dense(chart) else usual
    by_emphasis = {"normal": 3.0 if layout.is_crowded(panel) else usual, "strong": usual + 1.2, "faint": 2.4}
    return [by_emphasis[series.emphasis]] * len(series.x)


def _print_names(figure, axes, chart: Chart) -> None:
    from matplotlib.patheffects import withStroke

    look = {"fontsize": 7.5, "color": INK, "zorder": 300, "annotation_clip": False}
    look |= {
        "va": "center",
        "textcoords": "offset points",
        "path_effects": [withStroke(linewidth=2, foreground="white")],
    }
    found = []
    for axis, panel in zip(axes.flat, chart.panels, strict=False):
        for series in panel.series:
            for index, name, end in names.notes(series):
                point, radius = (series.x[index], series.y[index]), _diameters(chart, panel, series)[index] / 2
                text = axis.annotate(name, point, (16 if end else 0, 0), ha="left" if end else "center", **look)
                text.set_in_layout(end)  # room is made for the ends of lines only; the others go where there is room
                found.append((axis, text, radius, end))
    if not found:
        return
    figure.draw_without_rendering()
    scale, renderer = 72 / _DPI, figure.canvas.get_renderer()  # from here on in points, as offsets are
    for axis, panel in zip(axes.flat, chart.panels, strict=False):
        place = lambda x, y, axis=axis: axis.transData.transform((x, y)) * scale  # noqa: E731
        frame = axis.get_window_extent(renderer).extents * scale
        ends = [text for where, text, _, end in found if where is axis and end]
        heights = [place(*text.xy)[1] for text in ends]
        for text, old, new in zip(ends, heights, names.spread(heights, 9, frame[1], frame[3]), strict=True):
            text.xyann = (16, new - old)
            _lead(axis, text.xy, (14, new - old), 3)
        free = [(text, radius) for where, text, radius, end in found if where is axis and not end]
        anchors = [(*place(*text.xy), radius) for text, radius in free]
        extents = [text.get_window_extent(renderer) for text, _ in free]
        sizes = [(extent.width * scale, extent.height * scale) for extent in extents]
        obstacles = [
            (*place(x, y), diameter / 2)
            for series in panel.series
            for x, y, diameter in zip(series.x, series.y, _diameters(chart, panel, series), strict=True)
            if not math.isnan(x + y)
        ]
        centres = names.place_names(anchors, sizes, obstacles, frame, gap=2)
        for (text, radius), anchor, centre, size in zip(free, anchors, centres, sizes, strict=True):
            text.xyann = (centre[0] - anchor[0], centre[1] - anchor[1])
            if (nearest := names.far_edge(anchor, centre, size, 3.5)) is not None:
                _lead(axis, text.xy, (nearest[0] - anchor[0], nearest[1] - anchor[1]), radius)


def _lead(axis, point: tuple[float, float], offset: tuple[float, float], radius: float) -> None:
    line = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": radius}
    leader = axis.annotate("", point, offset, textcoords="offset points", arrowprops=line, annotation_clip=False)
    leader.set_in_layout(False)
