"""Descriptions of charts: what is refused, and the axes, texts and places that both drawings share."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest

from lrjax.display.charts import Axis, Chart, Panel, Series, layout, names
from lrjax.errors import UserError


def chart(*series, x=None, y=None, title="", level=None, **changes):
    panel = Panel(title=title, series=series, level=level)
    fields = {"name": "a", "title": "A", "panels": [panel], "x": x or Axis(label="x"), "y": y or Axis(label="y")}
    return Chart(**(fields | {"alt": "What is seen."} | changes))


def line(name="s", x=(0, 1), y=(0, 1), **changes):
    return Series(name=name, x=x, y=y, **changes)


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: line(""), "no name"),
        (lambda: line("run 7", x=[], y=[]), "'run 7' has no points"),
        (lambda: line("run 7", y=[1]), "'run 7' has 2 x but 1 y"),
        (lambda: line("run 7", labels=["one"]), "'run 7' has 2 x but 1 labels"),
        (lambda: line("run 7", sizes=[1, 2, 3]), "'run 7' has 2 x but 3 sizes"),
        (lambda: line("run 7", low=[0, 0]), "'run 7' has only one end"),
        (lambda: line("run 7", low=[0, 2], high=[1, 1]), "'run 7' has an interval from 2 to 1"),
        (lambda: line("run 7", y=[1, math.inf]), "'run 7' has an infinite value in y"),
        (lambda: line("run 7", sizes=[1, 0]), "'run 7' has a marker size"),
        (lambda: line("run 7", sizes=[1, math.nan]), "'run 7' has a marker size"),
        (lambda: line("run 7", marker="heart"), "marker of series 'run 7' is 'heart'; use one of 'circle'"),
        (lambda: line("run 7", emphasis="bold"), "emphasis of series 'run 7' is 'bold'"),
        (lambda: Panel(title="dtd", series=[]), "panel 'dtd' has no series"),
        (lambda: Panel(title="dtd", series=[line()], level=math.nan), "panel 'dtd' has the level nan"),
        (lambda: Axis(label="width", scale="cubic"), "scale of axis 'width' is 'cubic'"),
        (lambda: Axis(label="width", ticks={}), "axis 'width' has no ticks"),
        (lambda: Axis(label="width", limits=(1, 1)), "axis 'width' has the limits"),
        (lambda: Axis(label="width", limits=(0, math.inf)), "axis 'width' has a tick or limit that is not finite"),
        (lambda: Axis(label="width", scale="log", limits=(0, 1)), "axis 'width' has a tick or limit at 0"),
        (lambda: chart(line(), name="A b"), "chart 'A b' has a name"),
        (lambda: chart(line(), panels=[]), "chart 'a' has no panels"),
        (lambda: chart(line(), columns=0), "chart 'a' has 0 columns"),
        (lambda: chart(line(), groups=["b", "b"]), "chart 'a' names a group twice"),
        (lambda: chart(line(), horizontal=True), "chart 'a' is horizontal without categories"),
        (lambda: chart(line("run 7"), x=Axis(label="", scale="log2")), "series 'run 7' has x at 0, which a log2"),
        (lambda: chart(line("run 7", y=[1, -2]), y=Axis(label="", scale="log")), "'run 7' has y at -2, which a log"),
        (
            lambda: chart(line("run 7", y=[1, 2], low=[0, 1], high=[1, 2]), y=Axis(label="", scale="log")),
            "'run 7' has low at 0",
        ),
        (
            lambda: chart(line(y=[1, 2]), y=Axis(label="", scale="log"), title="dtd", level=0),
            "panel 'dtd' has its level",
        ),
    ],
)
def test_mistakes_are_named(build, complaint):
    with pytest.raises(UserError) as caught:
        build()
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_are_kept_as_plain_numbers():
    series = Series(name="s", x=np.array([1, 2], np.float32), y=[3, math.nan], labels=["a", "b"], sizes=np.ones(2))
    assert series.x == (1.0, 2.0) and series.sizes == (1.0, 1.0) and series.labels == ("a", "b")
    assert hash(series) is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        series.name = "t"


def scale_of(values, *, level=None, low=(), high=(), **axis):
    drawn = chart(line(x=range(len(values)), y=values, low=low, high=high), y=Axis(label="y", **axis), level=level)
    return layout.scales(drawn)[1]


@pytest.mark.parametrize(
    ("values", "axis", "ends", "ticks"),
    [
        ([5, 74.3], {}, (0, 80), "0 20 40 60 80"),
        ([0.61, 0.94], {}, (0.6, 1.0), "0.6 0.7 0.8 0.9 1.0"),
        ([-3, 4], {}, (-4, 4), "\N{MINUS SIGN}4 \N{MINUS SIGN}2 0 2 4"),
        ([7, 7], {}, (3.5, 10.5), "4 6 8 10"),
        ([math.nan], {}, (1, 2), "1.0 1.2 1.4 1.6 1.8 2.0"),
        ([0, 1_234_567], {}, (0, 1_500_000), "0 500k 1M 1.5M"),
        ([5, 60], {"limits": (0, 100)}, (0, 100), "0 20 40 60 80 100"),
        ([5, 74.3], {"limits": (0, 10)}, (0, 80), "0 20 40 60 80"),
        ([1, 66], {"limits": (1, 66)}, (1, 66), "20 40 60"),
        ([2, 800], {"scale": "log", "limits": (1, 1000)}, (1, 1000), "1 3 10 30 100 300 1,000"),
        ([2, 80], {"scale": "log", "limits": (1, 100)}, (1, 100), "1 2 5 10 20 50 100"),
        ([1e8, 1e9], {"scale": "log", "limits": (1e8, 1e9)}, (1e8, 1e9), "100M 200M 500M 1B"),
        ([1, 1e9], {"scale": "log", "limits": (1, 1e9)}, (1, 1e9), "1 100 10k 1M 100M"),
        ([16, 224], {"scale": "log2", "limits": (16, 224)}, (16, 224), "16 32 64 128"),
        ([0, 1], {"ticks": {1: "b", 0: "a", 9: "far"}}, (-0.06, 1.06), "a b"),
    ],
)
def test_axes(values, axis, ends, ticks):
    scale = scale_of(values, **axis)
    assert (scale.low, scale.high) == pytest.approx(ends)
    assert " ".join(text for _, text in scale.ticks) == ticks


def test_axes_hold_intervals_and_levels():
    assert scale_of([50, 60], low=[40, math.nan], high=[75, math.nan], level=1).low == 0
    assert scale_of([50, 60], low=[40, math.nan], high=[95, math.nan]).high == 100


def test_logarithmic_axes_have_room_at_both_ends():
    scale = scale_of([16, 256], scale="log2")
    assert (math.log2(scale.low), math.log2(scale.high)) == pytest.approx((4 - 0.2, 8 + 0.2))
    assert scale.fraction(64) == pytest.approx(0.5)
    assert math.isnan(scale.fraction(math.nan))


def test_categories_of_a_horizontal_chart():
    y = Axis(label="", ticks={0: "a", 1: "b", 2: "c"})
    drawn = chart(line(x=[0.25, 1], y=[0, 2], low=[0, 0.5], high=[0.5, 1.4]), y=y, level=0.1, horizontal=True)
    x, y = layout.scales(drawn)
    assert (x.low, x.high) == pytest.approx((0, 1.5))  # of the values with their intervals
    assert (y.low, y.high) == pytest.approx((-0.6, 2.6))
    assert [text for _, text in y.ticks] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(149_600_000, "150M"), (1e9, "1B"), (10_000, "10k"), (9_999, "10,000"), (1234.4, "1,230"), (0.00012, "0.00012")],
)
def test_compact_numbers(value, text):
    assert layout.compact(value) == text


def test_hover_texts():
    ticks = {16: "16", 224: "HR\n(224)"}
    drawn = chart(
        line("EVA", x=[16, 224], y=[33.14, 70]),
        line("CLIP", x=[16, 100], y=[0.02, 5], low=[0, math.nan], high=[1.25, math.nan]),
        line("own", labels=["one", "two"], x=[16, 17], y=[1, 1]),
        x=Axis(label="pixels", ticks=ticks),
        y=Axis(label="accuracy (%)", limits=(0, 100)),
    )
    texts = [layout.hover_texts(drawn, series, *layout.scales(drawn)) for series in drawn.series]
    assert texts[0] == ["EVA\n16: 33.1", "EVA\nHR (224): 70.0"]
    assert texts[1] == ["CLIP\n16: 0.0 (0.0 to 1.2)", "CLIP\npixels: 100\naccuracy (%): 5.0"]
    assert texts[2] == ["one", "two"]


def test_hover_texts_of_a_horizontal_chart():
    y = Axis(label="", ticks={0: "dtd", 1: "pets"})
    drawn = chart(line("rank", x=[12, 66], y=[0, 1]), x=Axis(label="rank"), y=y, horizontal=True)
    assert layout.hover_texts(drawn, drawn.series[0], *layout.scales(drawn)) == ["rank\ndtd: 12", "rank\npets: 66"]


def test_groups_keep_their_colours():
    drawn = chart(line("m1", group="B"), line("m2", group="A"), line("m3"), groups=["A", "unused", "B"])
    assert layout.group_numbers(drawn) == {"A": 0, "unused": 1, "B": 2, "m3": 3}
    assert layout.legend_groups(drawn) == ["A", "B", "m3"]


def test_titles_of_panels_stand_for_a_legend():
    panels = [Panel(title=name, series=[line(f"{name}-1", group=name)], level=1, level_name="chance") for name in "AB"]
    drawn = chart(line(), panels=panels)
    assert layout.legend_groups(drawn) == []
    assert layout.level_names(drawn) == ["chance"]
    mixed = [*panels, Panel(title="C", series=[line("x", group="A")])]
    assert layout.legend_groups(chart(line(), panels=mixed)) == ["A", "B"]


def test_depth():
    series = [line("strong", emphasis="strong"), line("small", sizes=[1, 1]), line("large", sizes=[9, 1])]
    series += [line("named", annotate=True), line("faint", emphasis="faint")]
    ordered = layout.by_depth(Panel(title="", series=series))
    assert [one.name for one in ordered] == ["faint", "large", "small", "named", "strong"]


def test_values_are_printed_beside_one_or_two_short_lines_only():
    assert layout.valued(chart(line("a"), line("b")))
    assert not layout.valued(chart(line("a"), line("b"), line("c")))
    assert not layout.valued(chart(line("a", line=False)))
    assert not layout.valued(chart(line("a", x=range(9), y=range(9))))
    panel = Panel(title="", series=[line("a", y=[1, 5]), line("b", y=[1, 7])])
    above = [[layout.value_is_above(panel, series, index) for index in (0, 1)] for series in panel.series]
    assert above == [[True, False], [False, True]]


def test_which_names_are_printed():
    assert names.notes(line("a")) == []
    assert names.notes(line("a", y=[0, math.nan], annotate=True)) == [(0, "a", True)]
    assert names.notes(line("a", annotate=True, labels=["a\n16", "a\n32"])) == [(1, "a", True)]
    dots = line("a", annotate=True, line=False, labels=["p\n1", "q\n2"])
    assert names.notes(dots) == [(0, "p", False), (1, "q", False)]
    assert names.notes(line("a", y=[math.nan, math.nan], annotate=True)) == []


def test_names_go_where_there_is_room():
    frame = (0.0, 0.0, 100.0, 100.0)
    anchors = [(50.0, 50.0, 2.0), (54.0, 50.0, 2.0), (99.0, 99.0, 2.0)]
    centres = names.place_names(anchors, [(20.0, 8.0)] * 3, anchors, frame, gap=2)
    boxes = [(x - 10, y - 4, x + 10, y + 4) for x, y in centres]
    for number, (left, low, right, high) in enumerate(boxes):
        assert left >= 0 and low >= 0 and right <= 100 and high <= 100
        for x, y, radius in anchors:
            assert not (left - radius < x < right + radius and low - radius < y < high + radius)
        for other in boxes[:number]:
            assert left >= other[2] or right <= other[0] or low >= other[3] or high <= other[1]


def test_lines_lead_to_far_names_only():
    assert names.far_edge((0, 0, 1), (5, 0), (4, 2), 3) is None
    assert names.far_edge((0, 0, 1), (9, 3), (4, 2), 3) == (7, 2)


def test_spread():
    assert names.spread([5, 1, 9], 2, 0, 10) == pytest.approx([5, 1, 9])
    assert names.spread([5, 5, 5], 2, 0, 10) == pytest.approx([3, 5, 7])
    assert names.spread([10, 9.5], 2, 0, 10) == pytest.approx([10, 8])
    assert names.spread([0, 0.5, 20], 2, 0, 30) == pytest.approx([0, 2, 20])
    assert names.spread([], 2, 0, 10) == []


def test_long_names_are_cut():
    assert names.shorten("imagenet", 10, 100) == "imagenet"
    cut = names.shorten("OpenCLIP-ViT-L/14 (datacomp_xl_s13b_b90k)", 10, 100)
    assert cut.endswith("…") and names.text_width(cut, 10) <= 100 < names.text_width(cut + "xx", 10)


def test_names_are_broken_at_spaces():
    assert names.wrap("MetaCLIP-ViT-B/32 (400M) (2.5B)", 10, 120) == ["MetaCLIP-ViT-B/32", "(400M) (2.5B)"]
    assert names.wrap("dtd", 10, 150) == ["dtd"]
    assert names.wrap("OpenCLIP-ViT-H/14-quickgelu → 336 px", 10, 130) == ["OpenCLIP-ViT-H/14-", "quickgelu → 336 px"]
    assert names.wrap("", 10, 150) == [""]
    assert names.wrap("a " + "w" * 99, 10, 50)[1].endswith("…")


def test_neither_description_nor_svg_needs_a_library():
    code = "import sys, lrjax.display.charts.svg; print(sys.modules.keys() & {'matplotlib', 'numpy', 'jax', 'PIL'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
