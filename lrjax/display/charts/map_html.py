"""Maps and sheets as HTML, for a page that includes `STYLE`; maps are plain SVG in the colours of its theme."""

import base64
import html
import io
import math

import numpy as np
from PIL import Image

from lrjax.display.charts.maps import WRITTEN, Map, Maps, Sheet

_THUMBNAIL, _QUALITY = 128, 80  # pixels of the longer side, and JPEG's quality: 36 photographs take about 200 kB
# From these shares of the darker colour on, white text stands out more than black does in the light theme, and black
# text more than white in the dark one: the contrast of both is then 4.6.
_WHITE_FROM, _BLACK_FROM = 0.68, 0.46

STYLE = """\
:root { --low: #eef3f8; --high: #00406b; --right: #00795a; --wrong: #b34700; }
@media screen and (prefers-color-scheme: dark) {
  :root { --low: #20272f; --high: #a8d8ff; --right: #1fb88a; --wrong: #f0703a; }
}
.maps figcaption, .sheet figcaption { font-weight: 600; }
.maps, .sheet { margin: 1rem 0; }
.maps .panels { display: grid; gap: 12px 16px; grid-template-columns: repeat(auto-fill, 230px); }
.maps .panels.large { grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 300px)); }
.maps .panels > div { display: flex; flex-direction: column; justify-content: end; }
.maps .panels p { margin: 0 0 4px; font-size: 13px; line-height: 1.3; }
.maps svg { display: block; width: 100%; height: auto; }
.maps .cell { fill: color-mix(in srgb, var(--high) calc(100% * var(--v)), var(--low)); stroke: var(--paper);
  stroke-width: 1px; vector-effect: non-scaling-stroke; }
.maps .block { fill: none; stroke: var(--ink); stroke-width: 1.4px; vector-effect: non-scaling-stroke; }
.maps text { font-size: .25px; text-anchor: middle; fill: #000; }
.maps text.w { fill: #fff; }
.maps .scale { display: flex; align-items: center; gap: 8px; margin: 8px 0; font-size: 13px; }
.maps .scale i { width: 120px; height: 12px; background: linear-gradient(90deg, var(--low), var(--high)); }
.sheet ol { list-style: none; margin: .6rem 0; padding: 0; display: grid; gap: 10px;
  grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); max-width: 60rem; }
.sheet img { display: block; width: 100%; height: auto; border: 3px solid transparent; }
.sheet .right img { border-color: var(--right); }
.sheet .wrong img { border-color: var(--wrong); }
.sheet span { display: block; font-size: 12px; line-height: 1.3; }
@media (max-width: 44rem) { .maps .panels:not(.large) { grid-template-columns: 1fr 1fr; } }
@media screen and (prefers-color-scheme: dark) { .maps text { fill: #fff; } .maps text.k { fill: #000; } }
"""


def draw_maps(maps: Maps) -> str:
    """Draws maps as a figure element with a caption, one SVG per map, and the scale of colours.

    Args:
        maps: what to draw.

    Returns:
        Well-formed XML that is HTML too; equal maps give equal text.
    """
    large = max(max(one.values.shape) for one in maps.maps) > WRITTEN
    parts = [
        f'<figure class="maps" id="maps-{maps.name}">',
        f"<figcaption>{html.escape(maps.title)}</figcaption>",
        f'<div class="panels{" large" if large else ""}">',
        *(_map(maps, one) for one in maps.maps),
        "</div>",
    ]
    if maps.label:
        ends = f"<span>{maps.low:g}</span><i></i><span>{maps.high:g} {html.escape(maps.label)}</span>"
        parts.append(f'<p class="scale">{ends}</p>')
    return "\n".join([*parts, "</figure>\n"])


def draw_sheet(sheet: Sheet) -> str:
    """Draws small pictures as a figure element with a list of images that hold their own bytes.

    Args:
        sheet: what to draw.

    Returns:
        Well-formed XML that is HTML too; pictures of more than 128 pixels are reduced.
    """
    items = []
    for number, (picture, caption) in enumerate(zip(sheet.pictures, sheet.captions, strict=True)):
        right = None if sheet.right is None else bool(sheet.right[number])
        look, mark = {None: ("", ""), True: ("right", "✓ "), False: ("wrong", "✗ ")}[right]
        text = html.escape(f"{mark}{caption}")
        items.append(f'<li class="{look}">{_image(picture, alt=caption)}<span>{text}</span></li>')
    title = html.escape(sheet.title)
    caption = f"<figcaption>{title}</figcaption>"
    return "\n".join(
        [f'<figure class="sheet" id="sheet-{sheet.name}">', caption, "<ol>", *items, "</ol>", "</figure>\n"]
    )


def _map(maps: Maps, one: Map) -> str:
    rows, columns = one.values.shape
    shares = np.clip((one.values - maps.low) / (maps.high - maps.low), 0, 1)
    written, title = max(rows, columns) <= WRITTEN, html.escape(one.title).replace("\n", "<br/>")
    told = one.title.replace("\n", ", ")
    if written:
        told += ": " + "; ".join(", ".join(f"{value:.1f}" for value in row) for row in one.values)
    parts = [
        f"<div><p>{title}</p>",
        f'<svg viewBox="0 0 {columns} {rows}" role="img" aria-label="{html.escape(told)}">',
    ]
    for share in np.unique(shares[~np.isnan(shares)]):  # equal cells are one path
        path = "".join(f"M{column} {row}h1v1h-1z" for row, column in np.argwhere(shares == share))
        parts.append(f'<path class="cell" style="--v:{share:.4g}" d="{path}"/>')
    if maps.block is not None:
        lines = [f"M0 {at}H{columns}" for at in range(maps.block, rows, maps.block)]
        lines += [f"M{at} 0V{rows}" for at in range(maps.block, columns, maps.block)]
        parts.append(f'<path class="block" d="{"".join(lines)}"/>')
    if written:
        for (row, column), value in np.ndenumerate(one.values):
            if not math.isnan(value):
                looks = [shares[row, column] >= least for least in (_WHITE_FROM, _BLACK_FROM)]
                look = " ".join(name for name, chosen in zip("wk", looks, strict=True) if chosen)
                parts.append(f'<text class="{look}" x="{column + 0.5}" y="{row + 0.59}">{value:.1f}</text>')
    return "\n".join([*parts, "</svg></div>"])


def _image(picture: np.ndarray, *, alt: str) -> str:
    image, content = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    image.save(content, "jpeg", quality=_QUALITY)
    source = base64.b64encode(content.getvalue()).decode()
    size = f'width="{image.width}" height="{image.height}"'
    return f'<img {size} alt="{html.escape(alt)}" src="data:image/jpeg;base64,{source}"/>'
