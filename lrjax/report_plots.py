"""The two figures of the report, as PNG bytes: panels of accuracy against resolution (matplotlib, imported on use)."""

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from types import ModuleType

from lrjax.errors import UserError

# Okabe and Ito's palette: distinguishable with all common kinds of colour blindness
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # so that lines differ in grey print too
_INK, _MUTED, _GRID = "#222222", "#6B6B6B", "#E3E3E3"
_COLUMNS = 5
_DPI = 160
_HEADER_INCHES = 0.62  # room for the title and the legend, whatever the height of the figure


@dataclasses.dataclass(frozen=True)
class Panel:
    """One set of axes.

    Attributes:
        title: the text above it.
        lines: accuracy, a fraction in [0, 1], by resolution, by variant; the variant that changes nothing first.
        chance: accuracy of guessing, a fraction in [0, 1].
        image_size: the model's own input side in pixels where known; places the resolution "hr".
    """

    title: str
    lines: Mapping[str, Mapping[int | str, float]]
    chance: float
    image_size: int | None = None


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


def panels_png(panels: Sequence[Panel], *, title: str, columns: int = _COLUMNS) -> bytes:
    """Draws accuracy against resolution, one panel each, with common axes and one legend.

    Args:
        panels: what to draw, at least one.
        title: the text above the figure.
        columns: panels side by side, at most.

    Returns:
        A PNG file; equal input gives equal bytes.

    Raises:
        UserError: matplotlib is not installed.
    """
    matplotlib = require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = _fewest_gaps(len(panels), columns)
    lines_of_panels = math.ceil(len(panels) / columns)
    single = len(panels) == 1
    width, height = (
        (6.4, 4.2) if single else ((2.5 if columns > 3 else 3.1) * columns + 0.5, 2.1 * lines_of_panels + 1.1)
    )
    positions, labels = _ticks(panels)
    variants = list(dict.fromkeys(variant for panel in panels for variant in panel.lines))
    with matplotlib.rc_context(_STYLE):
        # not pyplot: no global state, and the Agg canvas whatever the display is
        figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        top = 1 - _HEADER_INCHES / height
        figure.get_layout_engine().set(rect=(0, 0, 1, top), wspace=0.03, hspace=0.04)
        axes = figure.subplots(lines_of_panels, columns, squeeze=False, sharex=True, sharey=True)
        for index, panel in enumerate(panels):
            _draw(axes.flat[index], panel, variants, positions, labelled=single)
        for index, axis in enumerate(axes.flat):
            if index >= len(panels):
                axis.set_visible(False)
            elif index + columns >= len(panels):  # the lowest panel of its column, which hides its ticks where shared
                axis.tick_params(labelbottom=True)
        first = axes[0, 0]
        first.set_xscale("log", base=2)
        first.set_xticks(list(positions.values()), labels)
        first.minorticks_off()
        first.set_ylim(0, _top(panels))
        left = 0.12 / width
        size = min(12, (width - 0.3) / (0.0092 * len(title)))  # a bold letter is about 0.0088 inches wide per point
        figure.text(left, 1 - 0.1 / height, title, va="top", fontsize=size, fontweight="bold", color=_INK)
        figure.supxlabel("Resolution of the image (pixels, short side)", fontsize=9.5, color=_INK)
        figure.supylabel("Top-1 accuracy (%)", fontsize=9.5, color=_INK, y=(top + 0.5 / height) / 2)
        handles, names = first.get_legend_handles_labels()
        for axis in axes.flat[1 : len(panels)]:  # a variant may be missing in the first panel
            for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
                if name not in names:
                    handles, names = [*handles, handle], [*names, name]
        where = {"loc": "upper left", "bbox_to_anchor": (left, 1 - 0.34 / height), "borderaxespad": 0, "borderpad": 0}
        legend = figure.legend(handles, names, ncols=len(names), frameon=False, fontsize=9, **where)
        legend.set_in_layout(False)  # its place is the header, which the layout leaves free
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


_STYLE = {
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _MUTED,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.7,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def _fewest_gaps(panels: int, most: int) -> int:
    if panels <= most:
        return panels
    return min(range(most, 2, -1), key=lambda columns: -panels % columns)


def _draw(axis, panel: Panel, variants: list[str], positions: Mapping[int | str, float], *, labelled: bool) -> None:
    for variant, accuracies in panel.lines.items():
        number = variants.index(variant)
        colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
        resolutions = sorted(accuracies, key=positions.__getitem__)
        x = [positions[resolution] for resolution in resolutions]
        y = [100 * accuracies[resolution] for resolution in resolutions]
        axis.plot(
            x, y, color=colour, marker=marker, markersize=5 if labelled else 3.6, markeredgecolor="white",
            markeredgewidth=0.6, linewidth=2.0 if labelled else 1.5, label=variant, zorder=3 + number, clip_on=False,
        )  # fmt: skip
        if labelled and len(panel.lines) <= 2:
            other = next((line for name, line in panel.lines.items() if name != variant), {})
            for at, value, resolution in zip(x, y, resolutions, strict=True):
                rival = 100 * other.get(resolution, -1)
                up = value > rival or (value == rival and number == 0)  # the higher line is labelled above
                axis.annotate(
                    f"{value:.1f}", (at, value), (0, 7 if up else -7), textcoords="offset points", ha="center",
                    va="bottom" if up else "top", fontsize=7.5, color=colour, zorder=9,
                )  # fmt: skip
    axis.axhline(100 * panel.chance, color=_MUTED, linestyle=(0, (4, 3)), linewidth=1.1, label="chance", zorder=2)
    if panel.title:
        axis.set_title(panel.title, fontsize=9.5, color=_INK, loc="left", pad=5)


def _ticks(panels: Sequence[Panel]) -> tuple[dict[int | str, float], list[str]]:
    found = {resolution for panel in panels for line in panel.lines.values() for resolution in line}
    pixels = sorted(resolution for resolution in found if isinstance(resolution, int))
    positions: dict[int | str, float] = {resolution: resolution for resolution in pixels}
    labels = [str(resolution) for resolution in pixels]
    sizes = {panel.image_size for panel in panels}
    size = sizes.pop() if len(sizes) == 1 else None
    for name in sorted(found - set(pixels)):
        highest = max(positions.values(), default=8)
        known = name == "hr" and size is not None and size >= 1.25 * highest  # else the tick labels would collide
        positions[name] = size if known else 2 * highest
        labels.append(f"{name.upper()}\n({size})" if name == "hr" and size is not None else name.upper())
    return positions, labels


def _top(panels: Sequence[Panel]) -> float:
    highest = max(100 * value for panel in panels for line in panel.lines.values() for value in line.values())
    highest = max(highest, *(100 * panel.chance for panel in panels))
    return min(100.0, 10 * math.ceil((highest + 4) / 10))
