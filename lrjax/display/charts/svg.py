"""A chart as HTML with one plain SVG per panel, for a page that includes `STYLE`; nothing but the standard library."""

import dataclasses
import html
import math
import re

from lrjax.display.charts import Chart, Panel, Series, layout, names
from lrjax.display.charts.layout import Scale

# Widths in units of the view box, and font sizes in the same unit: at the least widths that STYLE allows, and on a
# screen of 320 pixels, no text is smaller than 11 pixels. A chart of one panel is drawn once more, narrow, for phones.
WIDTHS = {"single": 640, "places": 520, "small": 260, "wide": 380, "narrow": 330}
HEIGHTS = {"single": 400, "small": 200, "narrow": 300}  # of charts that are not horizontal
FONTS = {"single": 13, "places": 13, "small": 12, "wide": 13, "narrow": 13}
_MOST_ROOM = 0.55  # of the width, for the ticks of the vertical axis
_WRAPPED_ROOM = 0.45  # of the width, where a name may take several lines
_END_ROOM = 0.35  # of the width, for names at the ends of lines

STYLE = """\
:where(:root) {
  --paper: #fff; --ink: #222; --muted: #666; --grid: #e3e3e3; --shade: #0003;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #e69f00;
  --c5: #56b4e9; --c6: #000; --c7: #882255; --c8: #332288; --c9: #4f3000; --c10: #c1121f;
}
@media screen and (prefers-color-scheme: dark) {
  :where(:root) {
    --paper: #16191d; --ink: #e8e8e8; --muted: #a3a3a3; --grid: #353a40; --shade: #fff3;
    --c0: #3d97e0; --c1: #f0703a; --c2: #1fb88a; --c3: #e59cc8; --c4: #f5c04d;
    --c5: #a5dcfb; --c6: #f2f2f2; --c7: #c23c96; --c8: #7f54f5; --c9: #96684e; --c10: #ff6b6b;
  }
}
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); }
.c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); } .c8 { --c: var(--c8); } .c9 { --c: var(--c9); }
.c10 { --c: var(--c10); }
.chart { margin: 2em 0; color: var(--ink); }
.chart figcaption { font-weight: 600; }
.chart .legend { display: flex; flex-wrap: wrap; gap: .15em .4em; margin: .4em 0; align-items: center;
  font-size: 14px; }
.chart .legend-item { display: inline-flex; align-items: center; gap: .45em; padding: .2em .5em; font: inherit;
  color: inherit; background: none; border: 1px solid transparent; border-radius: 4px; cursor: pointer; }
.chart .legend-item:hover, .chart .legend-item[aria-pressed="true"] { border-color: var(--muted); }
.chart .legend-item::before { content: ""; order: -2; width: 20px; border-top: 3px solid var(--c); }
.chart .legend-item.dots::before { width: 0; border: 5px solid var(--c); border-radius: 50%; }
.chart .legend-item.dashed::before { border-top-style: dashed; }
.chart .legend-item:is(.square, .diamond, .star):not(.dots)::after { content: ""; order: -1; width: 0;
  border: 5px solid var(--c); margin: 0 5px 0 calc(-.45em - 15px); }
.chart .legend-item.square.dots::before { border-width: 4.5px; border-radius: 0; }
.chart .legend-item.diamond::after, .chart .legend-item.diamond.dots::before { border-radius: 0; rotate: 45deg; }
.chart .legend-item.star::after, .chart .legend-item.star.dots::before { border-radius: 0; scale: 1.4;
  clip-path: polygon(50% 0, 62% 34%, 98% 35%, 69% 56%, 79% 90%, 50% 70%, 21% 90%, 31% 56%, 2% 35%, 38% 34%); }
.chart .legend-level { display: inline-flex; align-items: center; gap: .45em; padding: .2em .5em; }
.chart .legend-level::before { content: ""; width: 20px; border-top: 2px dashed var(--muted); }
.chart .axis-names { margin: .2em 0 .6em; font-size: 14px; color: var(--muted); }
.chart .panels { display: grid; gap: 12px 16px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); }
.chart .panels.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); }
.chart .panels:is(.single, .places) { display: block; }
.chart .panels.narrow { display: none; }
.chart .panels svg { display: block; width: 100%; height: auto; overflow: visible; font-size: 12px; }
.chart .panels.wide svg { font-size: 13px; }
.chart .panels.wide svg:only-child { grid-column: 1 / -1; max-width: 480px; }
.chart .panels.single svg { font-size: 13px; max-width: 820px; overflow: hidden; }
.chart .panels.places svg { font-size: 13px; max-width: 680px; overflow: hidden; }
.chart .panels.narrow svg { font-size: 13px; overflow: hidden; }
@media screen and (max-width: 600px) {
  .chart .panels:is(.single, .places) { display: none; }
  .chart .panels.narrow { display: block; }
}
.chart svg text { fill: var(--ink); }
.chart svg .title { font-weight: 600; }
.chart svg .ticks text { fill: var(--muted); }
.chart svg .across text, .chart svg .middle { text-anchor: middle; }
.chart svg .up text { text-anchor: end; }
.chart svg .up.places text { fill: var(--ink); }
.chart svg .grid { fill: none; stroke: var(--grid); }
.chart svg .axis { fill: none; stroke: var(--muted); }
.chart svg .level { fill: none; stroke: var(--muted); stroke-width: 1.3; stroke-dasharray: 5 4; }
.chart svg .leader { fill: none; stroke: var(--muted); stroke-width: .8; }
.chart svg .name, .chart svg .value { paint-order: stroke; stroke: var(--paper); stroke-width: 3px;
  stroke-linejoin: round; pointer-events: none; }
.chart svg .value { fill: var(--c); fill: color-mix(in srgb, var(--c) 70%, var(--ink)); text-anchor: middle; }
.series { transition: opacity .15s; }
.series .line, .series .interval { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round;
  stroke-linecap: round; }
.series .interval { stroke-opacity: .5; stroke-linecap: butt; }
.series .hit { fill: none; stroke: var(--c); stroke-opacity: 0; stroke-width: 10; }
.series .point { fill: var(--c); stroke: var(--c); stroke-opacity: 0; stroke-width: 4; cursor: default;
  outline: none; }
.series .point:hover, .series .point:focus { stroke-opacity: .4; }
.series.dots .point { stroke: var(--paper); stroke-opacity: 1; stroke-width: 1.2; }
.series.dots .point:hover, .series.dots .point:focus { stroke: var(--ink); stroke-width: 2; }
.series.sized .point { fill-opacity: .8; }
.series.dashed .line { stroke-dasharray: 6 4; stroke-linecap: butt; }
.series.thin .line { stroke-width: 1.2; stroke-opacity: .8; }
.series.faint .line { stroke-width: 1; stroke-opacity: .4; }
.series.faint .point { fill-opacity: .45; }
.series.strong .line { stroke-width: 3.2; }
.series.dim { opacity: .12; }
.series.on .line, .series:hover .line { stroke-width: 3; stroke-opacity: 1; }
.series.on .point { fill-opacity: 1; }
@media (prefers-reduced-motion: reduce) { .series { transition: none; } }
@media print {
  .chart svg { break-inside: avoid; }
  .chart .panels { grid-template-columns: repeat(3, 1fr); }
  .chart .panels:is(.single, .places) svg { max-width: 100%; }
  .chart .legend-item { border: 0; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def draw(chart: Chart) -> str:
    """Draws a chart as a figure element with a caption, a legend of buttons and one SVG per panel.

    A single panel is drawn twice, for wide and for narrow screens, and `STYLE` shows the one that fits. Points of the
    narrow drawing have no texts: they are those of the wide one, in the same order.

    Args:
        chart: what to draw.

    Returns:
        Well-formed XML that is HTML too. Each series is a `g` of the class "series" with `data-name` and
        `data-group`; each of its points has the class "point" and its text in a `title`. Colours
        come from the custom properties in `STYLE`.
    """
    x, y = layout.scales(chart)
    kind = _kind(chart)
    parts = [f'<figure class="chart" id="chart-{chart.name}">', f"<figcaption>{_escape(chart.title)}</figcaption>"]
    parts += _legend(chart)
    labels = [f"{arrow} {_escape(axis.label)}" for arrow, axis in (("↑", chart.y), ("→", chart.x)) if axis.label]
    if len(chart.panels) > 1 and labels:  # once for all panels, which wrap as there is room
        parts.append(f'<p class="axis-names">{" · ".join(labels)}</p>')
    for look in (kind, "narrow") if kind in ("single", "places") else (kind,):
        panels = [_panel(chart, panel, x, y, look) for panel in chart.panels]
        parts += [f'<div class="panels {look}">', *panels, "</div>"]
    return "\n".join([*parts, "</figure>\n"])


def _kind(chart: Chart) -> str:
    several = len(chart.panels) > 1
    if not chart.horizontal:
        return "small" if several else "single"
    room = max(names.text_width(text, FONTS["wide"]) for text in chart.categories.values())
    return "wide" if several or room <= _WRAPPED_ROOM * WIDTHS["wide"] else "places"


def _escape(text: str) -> str:
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]", " ", text))  # not allowed in XML


def _attribute(text: str) -> str:
    return _escape(text).replace("\n", "&#10;")  # else a line end in an attribute is read as a space


def _number(value: float) -> str:
    text = f"{value:.1f}"
    return "0" if text == "-0.0" else text.removesuffix(".0")


def _legend(chart: Chart) -> list[str]:
    numbers = layout.group_numbers(chart)
    items = []
    for name in layout.legend_groups(chart):
        lines = [series.dashed for series in chart.series if series.colour_group == name and series.line]
        marker = layout.legend_marker(chart, name)
        look = f"c{numbers[name]}" + (f" {marker}" if marker not in ("", "circle") else "")
        look += " dots" if not lines else " dashed" if all(lines) else ""
        attributes = f'class="legend-item {look}" data-group="{_attribute(name)}" aria-pressed="false"'
        items.append(f'<button type="button" {attributes}>{_escape(name)}</button>')
    items += [f'<span class="legend-level">{_escape(name)}</span>' for name in layout.level_names(chart)]
    return ['<div class="legend">', *items, "</div>"] if items else []


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Frame:
    """The place of the axes in the view box."""

    x: Scale
    y: Scale
    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    font: float
    rows: dict[float, list[str]]  # lines of text by tick of the vertical axis
    falling: bool  # whether the lower end of the vertical axis is at the top
    told: bool  # whether points have their texts

    def across(self, value: float) -> float:
        return self.left + (self.right - self.left) * self.x.fraction(value)

    def up(self, value: float) -> float:
        part = self.y.fraction(value)
        return self.top + (self.bottom - self.top) * (part if self.falling else 1 - part)


def _frame(chart: Chart, panel: Panel, x: Scale, y: Scale, kind: str) -> _Frame:
    width, font = WIDTHS[kind], FONTS[kind]
    labelled = len(chart.panels) == 1  # several have their axes named above them, once
    rows = _rows(chart, y, width, font)
    left = max((names.text_width(line, font) for lines in rows.values() for line in lines), default=0) + 8
    ends = [names.text_width(name, font) for series in panel.series for _, name, end in names.notes(series) if end]
    last = names.text_width(x.ticks[-1][1], font) / 2 if x.ticks else 0
    right = min(max(ends), _END_ROOM * width) + 24 if ends else max(8, last)
    top = (font + 12 if panel.title else 12) + (4 if layout.valued(chart) else 0)
    lines = max((text.count("\n") + 1 for _, text in x.ticks), default=0)
    bottom = 8 + 1.2 * font * lines + (1.6 * font if labelled and chart.x.label else 0)
    if not chart.horizontal:
        height = HEIGHTS[kind]
    else:
        most = max(len(lines) for lines in rows.values())
        pitch = 18 if layout.is_dense(chart) else max(22, 1.15 * font * most + 7)
        height = top + bottom + pitch * (y.high - y.low)
    left += 1.6 * font if labelled and chart.y.label else 0
    edges = {"left": left, "right": width - right, "top": top, "bottom": height - bottom}
    edges |= {"falling": chart.horizontal, "told": kind != "narrow"}
    return _Frame(x=x, y=y, width=width, height=height, font=font, rows=rows, **edges)


def _rows(chart: Chart, y: Scale, width: float, font: float) -> dict[float, list[str]]:
    if chart.horizontal and not layout.is_dense(chart):
        return {at: names.wrap(text, font, _WRAPPED_ROOM * width) for at, text in y.ticks}
    return {at: [names.shorten(" ".join(text.split()), font, _MOST_ROOM * width)] for at, text in y.ticks}


def _panel(chart: Chart, panel: Panel, x: Scale, y: Scale, kind: str) -> str:
    frame = _frame(chart, panel, x, y, kind)
    label = f"{panel.title}: {chart.alt}" if panel.title and len(chart.panels) > 1 else chart.alt
    box = f"0 0 {_number(frame.width)} {_number(frame.height)}"
    parts = [f'<svg viewBox="{box}" role="img" aria-label="{_attribute(label)}">', *_axes(chart, panel, frame)]
    if panel.level is not None:
        at = _number(frame.across(panel.level) if chart.horizontal else frame.up(panel.level))
        vertical = f"M{at} {_number(frame.top)}V{_number(frame.bottom)}"
        horizontal = f"M{_number(frame.left)} {at}H{_number(frame.right)}"
        parts.append(f'<path class="level" d="{vertical if chart.horizontal else horizontal}"/>')
    printed = _names(chart, panel, frame)
    parts += [_series(chart, panel, series, frame, printed.get(id(series), [])) for series in layout.by_depth(panel)]
    return "\n".join([*parts, "</svg>"])


def _axes(chart: Chart, panel: Panel, frame: _Frame) -> list[str]:
    left, right, top, bottom = (_number(value) for value in (frame.left, frame.right, frame.top, frame.bottom))
    grid = "".join(f"M{_number(frame.across(at))} {top}V{bottom}" for at, _ in frame.x.ticks)
    grid += "".join(f"M{left} {_number(frame.up(at))}H{right}" for at, _ in frame.y.ticks)
    line = f"M{left} {bottom}H{right}" if chart.horizontal else f"M{left} {top}V{bottom}H{right}"
    parts = [f'<path class="grid" d="{grid}"/>', f'<path class="axis" d="{line}"/>', '<g class="ticks across">']
    end = -math.inf
    for at, text in frame.x.ticks:
        half = max(names.text_width(part, frame.font) for part in text.split("\n")) / 2
        if frame.across(at) - half < end:  # there is no room for it
            continue
        end = frame.across(at) + half + 4
        for number, part in enumerate(text.split("\n"), 1):
            height = frame.bottom + 4 + 1.2 * frame.font * (number - 0.15)
            parts.append(f'<text x="{_number(frame.across(at))}" y="{_number(height)}">{_escape(part)}</text>')
    parts += ["</g>", f'<g class="ticks up{" places" if chart.horizontal else ""}">']
    for at, text in frame.y.ticks:
        lines, whole = frame.rows[at], " ".join(text.split())
        told = "".join(lines).replace(" ", "") == whole.replace(" ", "")
        title = "" if told else f"<title>{_escape(whole)}</title>"
        for number, line in enumerate(lines):
            height = frame.up(at) + (0.35 + 1.15 * (number - (len(lines) - 1) / 2)) * frame.font
            parts.append(f'<text x="{_number(frame.left - 6)}" y="{_number(height)}">{_escape(line)}{title}</text>')
    parts.append("</g>")
    if panel.title:
        start = 0 if chart.horizontal else frame.left
        short = names.shorten(panel.title, 1.08 * frame.font, frame.width - start)
        parts.append(f'<text class="title" x="{_number(start)}" y="{frame.font + 1}">{_escape(short)}</text>')
    if len(chart.panels) == 1:
        middle = _number((frame.left + frame.right) / 2), _number((frame.top + frame.bottom) / 2)
        if chart.x.label:
            place = f'x="{middle[0]}" y="{_number(frame.height - 6)}"'
            parts.append(f'<text class="middle" {place}>{_escape(chart.x.label)}</text>')
        if chart.y.label:
            place = f'transform="translate({_number(0.95 * frame.font)} {middle[1]}) rotate(-90)"'
            parts.append(f'<text class="middle" {place}>{_escape(chart.y.label)}</text>')
    return parts


def _radii(chart: Chart, panel: Panel, series: Series) -> list[float]:
    single = len(chart.panels) == 1
    if series.sizes:
        most, least = (15.0, 3.5) if single else (10.0, 2.8)
        return [max(least, most * math.sqrt(size / layout.largest_size(chart))) for size in series.sizes]
    usual = (3.8 if series.line else 4.6) if single else (2.8 if series.line else 3.6)
    usual = min(usual, 3.6) if layout.is_dense(chart) else usual
    by_emphasis = {"normal": 2.2 if layout.is_crowded(panel) else usual, "strong": usual + 0.8, "faint": 2.0}
    return [by_emphasis[series.emphasis]] * len(series.x)


def _series(chart: Chart, panel: Panel, series: Series, frame: _Frame, printed: list[str]) -> str:
    number = layout.group_numbers(chart)[series.colour_group]
    look = ["series", f"c{number}", *([] if series.emphasis == "normal" else [series.emphasis])]
    look += ["dashed"] if series.dashed else []
    look += [] if series.line else ["dots"]
    look += ["sized"] if series.sizes else []
    look += ["thin"] if series.line and layout.is_crowded(panel) else []
    name, group = _attribute(series.name), _attribute(series.colour_group)
    parts = [f'<g class="{" ".join(look)}" data-name="{name}" data-group="{group}">']
    texts = layout.hover_texts(chart, series, frame.x, frame.y)
    radii = _radii(chart, panel, series)
    places = [(frame.across(x), frame.up(y)) for x, y in zip(series.x, series.y, strict=True)]
    if not series.marker:
        parts.append(f"<title>{_escape(series.name)}</title>")
    if series.low:
        parts.append(f'<path class="interval" d="{_intervals(chart, series, frame)}"/>')
    if series.line:
        path = _line(places)
        parts += [f'<path class="line" d="{path}"/>'] if path else []
        parts += [f'<path class="hit" d="{path}"/>'] if path and not series.marker else []
    for index in sorted(range(len(places)), key=lambda i: -radii[i]):  # small points stay visible before large ones
        if math.isnan(sum(places[index])):
            continue
        if series.marker:
            tag, shape = _shape(series.marker, *places[index], radii[index])
            told = f'tabindex="0" {shape}><title>{_escape(texts[index])}</title></{tag}' if frame.told else f"{shape}/"
            parts.append(f'<{tag} class="point" {told}>')
        if layout.valued(chart):
            up = layout.value_is_above(panel, series, index)
            height = places[index][1] + (-radii[index] - 5 if up else radii[index] + 14)
            place = f'x="{_number(places[index][0])}" y="{_number(height)}"'
            parts.append(f'<text class="value" {place}>{frame.y.text(series.y[index])}</text>')
    return "\n".join([*parts, *printed, "</g>"])


def _line(places: list[tuple[float, float]]) -> str:
    path, joined = "", False
    for x, y in places:
        if math.isnan(x + y):
            joined = False
            continue
        path += f"{'L' if joined else 'M'}{_number(x)} {_number(y)}"
        joined = True
    return path


def _intervals(chart: Chart, series: Series, frame: _Frame) -> str:
    path = ""
    for x, y, low, high in zip(series.x, series.y, series.low, series.high, strict=True):
        if chart.horizontal:
            at, start, end = frame.up(y), frame.across(low), frame.across(high)
            piece = f"M{_number(start)} {_number(at)}H{_number(end)}"
        else:
            at, start, end = frame.across(x), frame.up(low), frame.up(high)
            piece = f"M{_number(at)} {_number(start)}V{_number(end)}"
        path += "" if math.isnan(at + start + end) else piece
    return path


def _shape(marker: str, x: float, y: float, radius: float) -> tuple[str, str]:
    if marker == "circle":
        return "circle", f'cx="{_number(x)}" cy="{_number(y)}" r="{_number(radius)}"'
    if marker == "square":
        side = 0.9 * radius
        corners = [(-side, -side), (side, -side), (side, side), (-side, side)]
    elif marker == "diamond":
        corners = [(0, -1.3 * radius), (1.3 * radius, 0), (0, 1.3 * radius), (-1.3 * radius, 0)]
    else:
        rays = [(1.6 * radius if k % 2 == 0 else 0.65 * radius, math.pi * k / 5) for k in range(10)]
        corners = [(length * math.sin(angle), -length * math.cos(angle)) for length, angle in rays]
    return "path", f'd="M{"L".join(f"{_number(x + dx)} {_number(y + dy)}" for dx, dy in corners)}Z"'


def _names(chart: Chart, panel: Panel, frame: _Frame) -> dict[int, list[str]]:
    """The names to print and the lines that lead to them, by the identity of their series."""
    found, obstacles = [], []
    for series in panel.series:
        radii = _radii(chart, panel, series)
        places = [(frame.across(x), frame.up(y), r) for x, y, r in zip(series.x, series.y, radii, strict=True)]
        obstacles += [place for place in places if not math.isnan(sum(place))]
        found += [(places[index], name, end, id(series)) for index, name, end in names.notes(series)]
    printed: dict[int, list[str]] = {series: [] for *_, series in found}
    ends = [one for one in found if one[2]]
    heights = names.spread([place[1] for place, *_ in ends], 1.1 * frame.font, frame.top, frame.bottom)
    for ((x, y, _), name, _, series), height in zip(ends, heights, strict=True):
        short = names.shorten(name, frame.font, _END_ROOM * frame.width)
        printed[series] += [_leader((x + 5, y), (x + 16, height)), _name(short, "name", x + 18, height)]
    free = [one for one in found if not one[2]]
    anchors = [place for place, *_ in free]
    sizes = [(names.text_width(name, frame.font), frame.font) for _, name, *_ in free]
    edges = (frame.left, frame.top, frame.width, frame.bottom)
    centres = names.place_names(anchors, sizes, obstacles, edges, gap=4)
    for (place, name, _, series), centre, size in zip(free, centres, sizes, strict=True):
        nearest = names.far_edge(place, centre, size, 7)
        printed[series] += [] if nearest is None else [_leader(place[:2], nearest)]
        printed[series].append(_name(name, "name middle", *centre))
    return printed


def _leader(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = start, end
    return f'<path class="leader" d="M{_number(x)} {_number(y)}L{_number(to_x)} {_number(to_y)}"/>'


def _name(text: str, look: str, x: float, y: float) -> str:
    return f'<text class="{look}" x="{_number(x)}" y="{_number(y + 4)}">{_escape(text)}</text>'
