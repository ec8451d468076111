"""Charts as HTML: the elements that a page relies on, coordinates by hand, and texts that stay apart."""

import math
import re
from xml.etree import ElementTree

import pytest

from lrjax.display.charts import Axis, Chart, Panel, Series, layout, names, svg

HOSTILE = "<script>alert(\"1\")</script> & 'x'"


def parse(chart: Chart) -> ElementTree.Element:
    """The figure without the drawing for phones."""
    root = whole(chart)
    for narrow in classed(root, "narrow"):
        root.remove(narrow)
    return root


def whole(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(svg.draw(chart))


def classed(root, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if name in element.get("class", "").split()]


def numbers(element, *keys: str) -> list[float]:
    return [float(element.get(key)) for key in keys]


def path(element) -> list[float]:
    return [float(number) for number in re.findall(r"-?[\d.]+", element.get("d"))]


def one_panel(*series: Series, x: Axis | None = None, y: Axis | None = None, **changes) -> Chart:
    panel = Panel(title="", series=series, level=changes.pop("level", None), level_name="chance")
    x, y = x or Axis(label="", limits=(0, 10)), y or Axis(label="", limits=(0, 100))
    fields = {"name": "one", "title": "One", "panels": [panel], "x": x, "y": y, "alt": "What is seen."}
    return Chart(**(fields | changes))


def test_structure(example):
    root = parse(example)
    assert (root.tag, root.get("class"), root.get("id")) == ("figure", "chart", f"chart-{example.name}")
    assert root.find("figcaption").text == example.title
    pictures = root.findall(".//svg")
    assert len(pictures) == len(example.panels)
    colours = layout.group_numbers(example)
    for picture, panel in zip(pictures, example.panels, strict=True):
        assert picture.get("role") == "img" and example.alt in picture.get("aria-label")
        assert len(picture.get("viewBox").split()) == 4
        assert len(classed(picture, "level")) == (panel.level is not None)
        drawn = classed(picture, "series")
        described = layout.by_depth(panel)
        assert [element.get("data-name") for element in drawn] == [series.name for series in described]
        for element, series in zip(drawn, described, strict=True):
            assert element.tag == "g" and element.get("data-group") == series.colour_group
            assert f"c{colours[series.colour_group]}" in element.get("class").split()
            shown = sum(not math.isnan(x + y) for x, y in zip(series.x, series.y, strict=True))
            assert len(classed(element, "point")) == (shown if series.marker else 0)
            assert len(classed(element, "line")) == (series.line and shown > 0)
            assert len(classed(element, "interval")) == bool(series.low)


def test_one_panel_is_drawn_for_phones_too(example):
    root = whole(example)
    drawn = [group.findall("svg") for group in classed(root, "panels")]
    if len(example.panels) > 1 or "wide" in classed(root, "panels")[0].get("class"):
        assert len(drawn) == 1
        return
    wide, narrow = (classed(one[0], "point") for one in drawn)
    assert len(wide) == len(narrow)
    for one, two in zip(wide, narrow, strict=True):  # the texts of one are those of the other
        assert (one.tag, one.get("r")) == (two.tag, two.get("r"))
        assert len(two) == 0
    assert drawn[1][0].get("viewBox").startswith(f"0 0 {svg.WIDTHS['narrow']} ")


def test_points_say_what_they_are(example):
    for point in classed(parse(example), "point"):
        assert point.tag in ("circle", "path") and point.get("tabindex") == "0"
        assert point.find("title").text


def test_legend(examples):
    buttons = classed(parse(examples["many"]), "legend-item")
    assert [button.get("data-group") for button in buttons] == list(examples["many"].groups)
    assert [button.get("class") for button in buttons] == [f"legend-item c{number}" for number in range(10)]
    assert {button.tag for button in buttons} == {"button"}
    assert [level.text for level in classed(parse(examples["many"]), "legend-level")] == ["chance"]
    assert classed(parse(examples["families"]), "legend-item") == []  # the titles of the panels say it
    assert [item.get("class") for item in classed(parse(examples["run"]), "legend-item")][1].endswith("dashed")
    assert {item.get("class")[-4:] for item in classed(parse(examples["scatter"]), "legend-item")} == {"dots"}


def test_the_legend_has_the_markers_of_the_picture():
    markers = ("circle", "square", "diamond", "star", "")
    for line, end in ((False, " dots"), (True, "")):
        series = [Series(name=f"a {one}", x=[1], y=[1], marker=one, line=line) for one in markers]
        items = [item.get("class") for item in classed(parse(one_panel(*series)), "legend-item")]
        looks = [f"legend-item c{number}{look}" for number, look in enumerate(("", " square", " diamond", " star", ""))]
        assert items == [look + end for look in looks]
    for marker in markers[1:4]:
        assert f".legend-item.{marker}.dots::before" in svg.STYLE


def test_two_points_by_hand():
    root = parse(one_panel(Series(name="a", x=[0, 10], y=[25, 100])))
    # 640 by 400 units, type of 13; left: "100" (3 digits of 0.6) and 8, right: half of "10"; above: 12 and 4 for the
    # values beside the points, below: 8 and a line of 1.2
    left, right, top, bottom = 3 * 0.6 * 13 + 8, 640 - 8, 12 + 4, 400 - 8 - 1.2 * 13
    assert path(classed(root, "axis")[0]) == pytest.approx([left, top, bottom, right], abs=0.05)
    first, second = classed(root, "point")
    assert numbers(first, "cx", "cy") == pytest.approx([left, bottom - (bottom - top) / 4], abs=0.05)
    assert numbers(second, "cx", "cy") == pytest.approx([right, top], abs=0.05)
    line = [left, bottom - (bottom - top) / 4, right, top]
    assert path(classed(root, "line")[0]) == pytest.approx(line, abs=0.05)
    assert [value.text for value in classed(root, "value")] == ["25", "100"]


def test_doubling_is_one_step_on_a_log2_axis():
    ticks = {16: "16", 32: "32", 128: "128"}
    root = parse(one_panel(Series(name="a", x=[16, 32, 128], y=[1, 2, 3]), x=Axis(label="", scale="log2", ticks=ticks)))
    x = [numbers(point, "cx")[0] for point in classed(root, "point")]
    left, _, _, right = path(classed(root, "axis")[0])
    # three octaves with a twentieth of them as room at both ends
    expected = [left + (right - left) * (octave + 0.15) / 3.3 for octave in (0, 1, 3)]
    assert x == pytest.approx(expected, abs=0.06)
    assert [tick.text for tick in classed(root, "across")[0]] == ["16", "32", "128"]
    assert [numbers(tick, "x")[0] for tick in classed(root, "across")[0]] == x


def test_gaps():
    nan = math.nan
    root = parse(one_panel(Series(name="a", x=[0, 2, 4, 6, nan, 10], y=[1, 2, nan, 4, 5, 6])))
    line = classed(root, "line")[0].get("d")
    assert (line.count("M"), line.count("L")) == (3, 1)
    assert len(classed(root, "point")) == 4
    assert "nan" not in svg.draw(one_panel(Series(name="a", x=[0, 1], y=[nan, nan], annotate=True)))


def test_intervals_and_levels():
    series = Series(name="a", x=[0, 5], y=[50, 60], low=[40, math.nan], high=[75, math.nan], line=False)
    root = parse(one_panel(series, level=10))
    left, top, bottom, right = path(classed(root, "axis")[0])
    up = lambda value: bottom - (bottom - top) * value / 100  # noqa: E731
    assert path(classed(root, "interval")[0]) == pytest.approx([left, up(40), up(75)], abs=0.06)
    assert path(classed(root, "level")[0]) == pytest.approx([left, up(10), right], abs=0.06)
    assert classed(root, "point")[0].find("title").text == "a\n0\n50 (40 to 75)"


def test_horizontal():
    y = Axis(label="", ticks={0: "first", 1: "second"})
    series = Series(name="a", x=[25, 100], y=[0, 1], low=[0, 90], high=[50, 100], line=False)
    chart = one_panel(series, x=Axis(label="", limits=(0, 100)), y=y, level=50, horizontal=True)
    root = parse(chart)
    left, bottom, right = path(classed(root, "axis")[0])
    across = lambda value: left + (right - left) * value / 100  # noqa: E731
    (x0, y0), (x1, y1) = (numbers(point, "cx", "cy") for point in classed(root, "point"))
    assert (x0, x1) == pytest.approx((across(25), across(100)), abs=0.06)
    top = bottom - 22 * 2.2  # two categories with 0.6 of room at both ends
    assert (y0, y1) == pytest.approx((top + 22 * 0.6, top + 22 * 1.6), abs=0.06)
    expected = [across(0), y0, across(50), across(90), y1, across(100)]
    assert path(classed(root, "interval")[0]) == pytest.approx(expected, abs=0.06)
    assert path(classed(root, "level")[0]) == pytest.approx([across(50), top, bottom], abs=0.06)
    assert [tick.text for tick in classed(root, "up")[0]] == ["first", "second"]
    assert [point.find("title").text for point in classed(root, "point")] == [
        "a\nfirst: 25 (0 to 50)",
        "a\nsecond: 100 (90 to 100)",
    ]


def test_areas_are_relative():
    series = Series(name="a", x=[1, 2, 3], y=[1, 2, 3], sizes=[1, 4, 0.0001], line=False)
    radii = [numbers(point, "r")[0] for point in classed(parse(one_panel(series)), "point")]
    assert radii == [15, 7.5, 3.5]  # the largest behind; a point that can be seen and hit at the least


@pytest.mark.parametrize(("marker", "corners"), [("star", 10), ("square", 4), ("diamond", 4)])
def test_markers(marker, corners):
    series = Series(name="a", x=[5], y=[50], marker=marker, line=False)
    root = parse(one_panel(series))
    left, top, bottom, right = path(classed(root, "axis")[0])
    places = path(classed(root, "point")[0])
    assert len(places) == 2 * corners
    centre = (left + right) / 2, (top + bottom) / 2
    assert (sum(places[::2]) / corners, sum(places[1::2]) / corners) == pytest.approx(centre, abs=0.1)


def test_everything_from_outside_is_escaped():
    series = Series(name=HOSTILE, group=HOSTILE, x=[1], y=[1], labels=[f"{HOSTILE}\nsecond\x00"], annotate=True)
    panels = [Panel(title=HOSTILE, series=[series], level=1, level_name=HOSTILE)] * 2
    axis = Axis(label=HOSTILE, ticks={1: HOSTILE})
    chart = one_panel(series, title=HOSTILE, alt=HOSTILE, x=axis, y=axis)
    for drawn in (chart, one_panel(series, title=HOSTILE, alt=HOSTILE, x=axis, y=axis, panels=panels)):
        text = svg.draw(drawn)
        assert "<script" not in text and "\x00" not in text
        root = ElementTree.fromstring(text)
        assert classed(root, "point")[0].find("title").text == f"{HOSTILE}\nsecond "
        assert classed(root, "series")[0].get("data-group") == HOSTILE
    assert [level.text for level in classed(root, "legend-level")] == [HOSTILE]


def test_colours_are_variables(example):
    text = svg.draw(example)
    assert not re.findall(
        r"#[0-9a-fA-F]{3,8}\b|rgb|style=|fill=|stroke=", text.replace("&#10;", "").replace("&#x27;", "")
    )
    for number in range(layout.COLOURS):
        assert f".c{number} {{ --c: var(--c{number}); }}" in svg.STYLE
        assert svg.STYLE.count(f"--c{number}: #") == 2  # light and dark
    light, dark = re.findall(r":where\(:root\) \{(.*?)\}", svg.STYLE, re.S)
    for variable in re.findall(r"var\((--\w+)\)", svg.STYLE):
        assert variable == "--c" or (f"{variable}:" in light and f"{variable}:" in dark), variable


def test_text_is_readable_on_a_phone():
    least = {  # the narrowest that a picture is shown: on a screen of 320 pixels, and at the next change
        "narrow": 290,
        "single": 570,
        "places": 570,
        "small": int(re.search(r"\.panels \{ [^}]*minmax\(min\(100%, (\d+)px", svg.STYLE)[1]),
        "wide": int(re.search(r"\.panels\.wide \{ [^}]*minmax\(min\(100%, (\d+)px", svg.STYLE)[1]),
    }
    assert "@media screen and (max-width: 600px)" in svg.STYLE
    for kind, width in least.items():
        assert min(width, svg.WIDTHS[kind]) * svg.FONTS[kind] / svg.WIDTHS[kind] >= 11, kind
        rule = "" if kind == "small" else f".{kind}"
        assert re.search(rf"\.panels{rule} svg \{{ [^}}]*font-size: {svg.FONTS[kind]}px", svg.STYLE), kind
    assert len(re.findall("font-size: 1[0-2]px|font-size: [0-9]px", svg.STYLE)) == 1  # that of small panels


def boxes(picture, kind: str) -> list[tuple[float, float, float, float, str]]:
    """The places of upright texts of a picture by the estimate of their widths."""
    found = []
    size = svg.FONTS[kind]
    anchors = {"across": 0.5, "up": 1, "middle": 0.5, "value": 0.5}
    parents = {child: parent for parent in picture.iter() for child in parent}
    for text in picture.iter("text"):
        if text.get("transform"):
            continue
        looks = f"{text.get('class', '')} {parents[text].get('class', '')}".split()
        width = names.text_width(text.text, size)
        x, y = numbers(text, "x", "y")
        left = x - width * next((anchors[look] for look in looks if look in anchors), 0)
        found.append((left, y - 0.75 * size, left + width, y + 0.2 * size, text.text))
    return found


def test_texts_stay_inside_and_apart(example):
    root = whole(example)
    kinds = {picture: group.get("class").split()[1] for group in classed(root, "panels") for picture in group}
    for picture, kind in kinds.items():
        width, height = map(float, picture.get("viewBox").split()[2:])
        found = boxes(picture, kind)
        for number, (left, top, right, bottom, text) in enumerate(found):
            assert left >= -0.5 and top >= -0.5 and right <= width + 0.5 and bottom <= height + 0.5, text
            for other in found[:number]:
                apart = left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]
                assert apart, (text, other[4])


def test_long_names_of_places_are_cut_but_told(examples):
    ticks = classed(parse(examples["ranks"]), "up")[0]
    cut = [tick for tick in ticks if tick.text.endswith("…")]
    assert cut and all(tick.find("title").text.startswith(tick.text[:-1]) for tick in cut)


def test_size(examples):
    sizes = {name: len(svg.draw(examples[name]).encode()) for name in ("many", "run")}
    assert sizes["many"] < 120_000
    assert sizes["run"] < 8_000


def test_equal_charts_give_equal_text(example):
    assert svg.draw(example) == svg.draw(example)
