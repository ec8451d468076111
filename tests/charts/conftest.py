"""Charts of every kind that the project draws, with made-up values."""

import math
import random
from collections.abc import Sequence

import pytest

from lrjax.display.charts import Axis, Chart, Panel, Series

FAMILIES = ("ALBEF", "BLIP", "CLIP", "CLIPA", "CoCa", "EVA-CLIP", "M2-Encoder", "MetaCLIP", "OpenCLIP", "SigLIP")
RESOLUTIONS = {16: "16", 32: "32", 64: "64", 128: "128", 224: "HR\n(224)"}
DATASETS = ("imagenet", "imagenet_sketch", "caltech101", "dtd", "eurosat", "ucf101")
_PIXELS = Axis(label="Resolution of the image (pixels, short side)", scale="log2", ticks=RESOLUTIONS)
_ACCURACY = Axis(label="Top-1 accuracy (%)", limits=(0, 100))
_ALT = "Accuracy falls with resolution."


def _models(family: str, count: int, **changes) -> list[Series]:
    series = []
    for number in range(count):
        top = random.Random(f"{family}{number}").uniform(30, 90)
        curve = [top * (1 - math.exp(-pixels / 40)) for pixels in RESOLUTIONS]
        name = f"{family}-ViT-L/14 (pretrained_on_{number}B)"
        series.append(Series(name=name, group=family, x=list(RESOLUTIONS), y=curve, **changes))
    return series


def _families() -> Chart:
    panels = []
    for family in FAMILIES:
        mean = _models(family, 1, emphasis="strong")
        faint = _models(family, 7, emphasis="faint")
        panels.append(Panel(title=family, series=[*faint, *mean], level=2.4, level_name="chance"))
    return Chart(name="families", title="Ten families", panels=panels, x=_PIXELS, y=_ACCURACY, alt=_ALT)


def _many() -> Chart:
    series = [one for index, family in enumerate(FAMILIES) for one in _models(family, 7 if index < 6 else 6)]
    panel = Panel(title="", series=series, level=2.4, level_name="chance")
    return Chart(name="many", title="66 models", panels=[panel], x=_PIXELS, y=_ACCURACY, alt=_ALT, groups=FAMILIES)


def _runs(count: int) -> Chart:
    panels = [
        Panel(
            title=dataset,
            series=[*_models("vanilla", 1), *_models("LR-TK0", 1, dashed=True)],
            level=index,
            level_name="chance",
        )
        for index, dataset in enumerate(DATASETS[:count])
    ]
    return Chart(name="runs", title="Own runs", panels=panels, x=_PIXELS, y=Axis(label="Top-1 (%)"), alt=_ALT)


def _scatter() -> Chart:
    draw = random.Random(7)
    series = []
    for family in FAMILIES:
        x = [10 ** draw.uniform(7.5, 10) for _ in range(6)]
        y = [draw.uniform(10, 40) for _ in x]
        star = {"marker": "star" if family == "CLIP" else "circle", "line": False}
        series.append(Series(name=family, x=x, y=y, sizes=[value / 1e7 for value in x], **star))
        series.append(Series(name=f"{family}-L", group=family, x=x[:1], y=y[:1], sizes=[9], annotate=True, **star))
    x, y = Axis(label="Parameters", scale="log"), Axis(label="WAR-16 (%)")
    return Chart(name="scatter", title="Size", panels=[Panel(title="", series=series)], x=x, y=y, alt="Points.")


def _dots(count: int, names: Sequence[str] = DATASETS) -> Chart:
    categories = dict(enumerate(names))
    panels = []
    for number in range(count):
        draw = random.Random(number)
        series = [
            Series(name=name, line=False, marker=marker, x=[draw.random() for _ in categories], y=list(categories))
            for name, marker in (("SAR", "circle"), ("WAR", "diamond"), ("weights", "square"))
        ]
        panels.append(Panel(title=f"{16 << number} px" if count > 1 else "", series=series, level=0.5))
    x, y = Axis(label="Correlation"), Axis(label="", ticks=categories)
    return Chart(name="dots", title="Dots", panels=panels, x=x, y=y, alt="Dots.", horizontal=True, columns=3)


def _ranks() -> Chart:
    names = [f"{FAMILIES[rank % 10]}-ViT-L/14 (laion2b_s13b_b90k + mscoco) {rank}" for rank in range(66)]
    series = [
        Series(
            name=family,
            line=False,
            x=[rank + 1 for rank in range(index, 66, 10)],
            y=list(range(index, 66, 10)),
            low=[max(1, rank - 4) for rank in range(index, 66, 10)],
            high=[min(66, rank + 9) for rank in range(index, 66, 10)],
        )
        for index, family in enumerate(FAMILIES)
    ]
    x, y = Axis(label="Rank", limits=(0, 67)), Axis(label="", ticks=dict(enumerate(names)))
    panels = [Panel(title="", series=series)]
    return Chart(name="ranks", title="Ranks", panels=panels, x=x, y=y, alt="Ranks.", horizontal=True)


def _slopes() -> Chart:
    series = [
        Series(name=name, group="all", x=[0, 1], y=[0.5 + 0.01 * index, 0.9 - 0.003 * index], annotate=True)
        for index, name in enumerate(DATASETS)
    ]
    x, y = Axis(label="", ticks={0: "SAR-16", 1: "WAR-16"}), Axis(label="Correlation")
    return Chart(name="slopes", title="Slopes", panels=[Panel(title="", series=series)], x=x, y=y, alt="Lines.")


def _map() -> Chart:
    draw = random.Random(3)
    series = [
        Series(name=group, x=[draw.gauss(0, 9) for _ in range(5)], y=[draw.gauss(0, 9) for _ in range(5)], line=False,
               annotate=True, labels=[f"{group}_{index}\nmore" for index in range(5)])
        for group in ("generic", "texture", "fine")
    ]  # fmt: skip
    x, y = Axis(label="First"), Axis(label="Second")
    return Chart(name="map", title="Map", panels=[Panel(title="", series=series)], x=x, y=y, alt="A map.")


def _gaps() -> Chart:
    hostile = "_<script>alert(\"1\")</script> & 'x' $a$"
    series = [
        Series(name=hostile, x=list(RESOLUTIONS), y=[1, 2, math.nan, 4, math.nan]),
        Series(name="b\n", x=list(RESOLUTIONS), y=[math.nan] * 5, marker="", dashed=True),
        Series(name="c", x=list(RESOLUTIONS), y=[3, 3, 3, 2, 1], low=[math.nan, 2, 2, 2, 1], high=[4] * 5, marker=""),
    ]
    panel = Panel(title=hostile, series=series)
    long = f"{hostile} is a title that has to go on in a second line of the picture, as it is too long for one"
    return Chart(name="gaps", title=long, panels=[panel], x=_PIXELS, y=Axis(label=hostile), alt=hostile)


EXAMPLES = {
    "families": _families(),
    "many": _many(),
    "runs": _runs(6),
    "run": _runs(1),
    "scatter": _scatter(),
    "dots": _dots(1),
    "dots in panels": _dots(3),
    "dots of models": _dots(2, [f"CoCa-ViT-L/14 (laion2b_s13b_b90k) with {name}" for name in DATASETS]),
    "ranks": _ranks(),
    "slopes": _slopes(),
    "map": _map(),
    "gaps": _gaps(),
}


@pytest.fixture(scope="session")
def examples() -> dict[str, Chart]:
    return EXAMPLES


@pytest.fixture(params=EXAMPLES)
def example(request) -> Chart:
    return EXAMPLES[request.param]
