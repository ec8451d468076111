"""Charts as PNG files: sizes, colours and places of what is drawn."""

import dataclasses
import io
import sys

import numpy as np
import pytest
from PIL import Image

from lrjax.display.charts import Axis, Chart, Panel, Series, layout, png
from lrjax.errors import UserError

ORANGE, BLUE, GREY = (213, 94, 0), (0, 114, 178), (107, 107, 107)


def pixels(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB")).astype(np.int16)


def where(picture: np.ndarray, colour) -> np.ndarray:
    """The [n, 2] rows and columns of the pixels of a colour."""
    return np.argwhere((np.abs(picture - np.array(colour, np.int16)) <= 2).all(axis=-1))


def two_points(heights=(0, 100), **changes) -> Chart:
    series = [Series(name="a", x=[1, 4], y=heights, marker="")]
    fields = {
        "name": "two",
        "title": "Two points",
        "panels": [Panel(title="", series=series)],
        "x": Axis(label="x"),
        "y": Axis(label="y", limits=(0, 100)),
        "alt": "Two points.",
    }
    return Chart(**(fields | changes))


def test_pictures_are_valid_and_nothing_is_cut(example):
    picture = pixels(png.draw(example))
    edge = np.concatenate([picture[:2].reshape(-1, 3), picture[-2:].reshape(-1, 3), picture[:, :2].reshape(-1, 3)])
    assert (edge == 255).all()  # the ends of grid lines may touch the right edge
    numbers = layout.group_numbers(example)
    for group in {one.colour_group for one in example.series if one.marker and not one.sizes}:
        colour = png.COLOURS[numbers[group]]
        assert len(where(picture, [int(colour[i : i + 2], 16) for i in (1, 3, 5)])), group


@pytest.mark.parametrize("name", ["runs", "scatter", "slopes", "gaps"])
def test_equal_charts_give_equal_bytes(examples, name):
    assert png.draw(examples[name]) == png.draw(dataclasses.replace(examples[name]))


def test_long_names_are_cut():
    series = Series(name="m" * 200, x=[1], y=[1])
    chart = two_points(panels=[Panel(title="W" * 200, series=[series])] * 2, title=f"{'i' * 150} {'w' * 40}")
    picture = pixels(png.draw(chart))
    assert picture.shape[1] == pytest.approx((3.1 * 2 + 0.5) * 160, abs=1)
    assert (picture[:100, -8:] == 255).all()


def test_other_charts_give_other_bytes(examples):
    chart = examples["run"]
    first, second = chart.series
    moved = dataclasses.replace(second, y=[value + 1 for value in second.y])
    changes = [
        {"title": "Other"},
        {"panels": [dataclasses.replace(chart.panels[0], level=3)]},
        {"panels": [dataclasses.replace(chart.panels[0], series=[first, moved])]},
        {"panels": [dataclasses.replace(chart.panels[0], series=[first, dataclasses.replace(second, dashed=False)])]},
        {"groups": [second.colour_group]},
        {"y": Axis(label="Top-1 (%)", limits=(0, 100))},
    ]
    drawn = {png.draw(chart), *(png.draw(dataclasses.replace(chart, **change)) for change in changes)}
    assert len(drawn) == len(changes) + 1


def test_sizes(examples):
    sizes = {name: Image.open(io.BytesIO(png.draw(examples[name]))).size for name in ("run", "runs", "ranks")}
    assert sizes["run"][0] == 6.4 * 160
    assert sizes["runs"][0] == pytest.approx((3.1 * 3 + 0.5) * 160, abs=1)  # two rows of three leave no gap
    assert sizes["ranks"][1] > 66 * 0.17 * 160  # the height follows the number of categories


@pytest.mark.parametrize(
    ("panels", "most", "columns"), [(1, 5, 1), (15, 5, 5), (10, 4, 4), (9, 4, 3), (7, 2, 2), (4, 1, 1)]
)
def test_columns_leave_few_gaps(panels, most, columns):
    assert png._fewest_gaps(panels, most) == columns


def test_lines_stand_where_the_values_say():
    flat = where(pixels(png.draw(two_points((20, 20)))), BLUE)
    steep = where(pixels(png.draw(two_points((0, 100)))), BLUE)
    body = steep[steep[:, 0] > 100]  # below the legend
    low, high = body[:, 0].max(), body[:, 0].min()
    line = flat[flat[:, 0] > 100][:, 0]
    assert (low - line.mean()) / (low - high) == pytest.approx(0.2, abs=0.01)
    assert body[body[:, 0] == low][:, 1].mean() < body[body[:, 0] == high][:, 1].mean()


def test_gaps_are_not_bridged():
    series = Series(name="a", x=[0, 1, 2, 3, 4], y=[5, 5, float("nan"), 5, 5], marker="")
    picture = pixels(png.draw(two_points(panels=[Panel(title="", series=[series])])))
    line = where(picture, BLUE)
    columns = np.unique(line[line[:, 0] > 120][:, 1])
    width = columns[-1] - columns[0]
    assert np.diff(columns).max() == pytest.approx(width / 2, rel=0.02)


def test_a_horizontal_chart_has_its_first_category_at_the_top_and_its_level_upright():
    series = [Series(name="a", x=[30], y=[0], line=False), Series(name="b", x=[90], y=[2], line=False)]
    panels = [Panel(title="", series=series, level=60)]
    y = Axis(label="", ticks={0: "first", 1: "second", 2: "third"})
    picture = pixels(png.draw(two_points(panels=panels, y=y, x=Axis(label="x", limits=(0, 100)), horizontal=True)))
    (top, left), (bottom, right) = (
        np.median([place for place in where(picture, colour) if place[0] > 90], axis=0) for colour in (BLUE, ORANGE)
    )
    assert top < bottom
    rows, columns = np.unique(where(picture, GREY), axis=0).T
    level = np.bincount(columns[rows < bottom]).argmax()  # the axis line at the bottom is grey too
    assert (level - left) / (right - left) == pytest.approx(0.5, abs=0.01)


def test_missing_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match="plots need matplotlib; pip install matplotlib"):
        png.draw(two_points())
