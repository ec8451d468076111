"""Maps and sheets as PNG files and as HTML: colours and places of what is drawn."""

import io

import numpy as np
import pytest
from PIL import Image

from lrjax.display.charts import map_html, map_png
from lrjax.display.charts.maps import Map, Maps, Sheet
from lrjax.errors import UserError

DARK, LIGHT, GREEN, ORANGE = (0, 58, 93), (244, 247, 250), (0, 158, 115), (213, 94, 0)


def maps(title, maps, **options):
    return Maps(name="m", title=title, maps=maps, **options)


def sheet(title, pictures, **options):
    return Sheet(name="s", title=title, pictures=pictures, **options)


def draw_maps(*arguments, **options):
    return map_png.draw_maps(maps(*arguments, **options))


def draw_sheet(*arguments, **options):
    return map_png.draw_sheet(sheet(*arguments, **options))


def pixels(data):
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB")).astype(int)


def centre(picture, colour):
    """Mean (row, column) of the pixels of a colour as fractions of the picture, and their number."""
    where = np.argwhere((np.abs(picture - colour) <= 2).all(axis=-1))
    return where.mean(axis=0) / picture.shape[:2], len(where)


def test_cells_lie_as_in_the_array_and_are_coloured_by_the_common_scale():
    values = np.zeros((6, 6))
    values[:3, 3:] = 1
    picture = pixels(draw_maps("Two", [Map(title="a", values=values)], low=0, high=1, block=3))
    (row, column), dark = centre(picture, DARK)
    (_, _), light = centre(picture, LIGHT)
    assert row < 0.55 < 0.65 < column  # above, to the right
    assert light == pytest.approx(3 * dark, rel=0.1)
    faint = pixels(draw_maps("Two", [Map(title="a", values=values)], low=0, high=4, block=3))
    assert centre(faint, LIGHT)[1] == pytest.approx(light, rel=0.05)
    assert (np.abs(faint - DARK) <= 2).all(axis=-1).sum() == 0


def test_small_maps_are_written_with_their_values():
    filled = [Map(title="a", values=np.full((3, 3), 0.0))]
    blank = [Map(title="a", values=np.full((6, 6), 0.0))]
    ink = [(pixels(draw_maps("t", one, low=0, high=100)).max(axis=2) < 60).sum() for one in (filled, blank)]
    assert ink[0] > 1.5 * ink[1]


def test_titles_are_not_cut():
    title = "A title that is much wider than the one small map below it, which takes several lines"
    one = Map(title="a name of a model that is wider than its map is", values=np.zeros((6, 6)))
    picture = pixels(draw_maps(title, [one], low=0, high=1))
    inked = (picture.max(axis=2) < 120).any(axis=0)
    assert not inked[-3:].any() and not inked[:2].any()
    short = pixels(draw_maps("A title", [one], low=0, high=1))
    assert picture.shape[0] > short.shape[0] and picture.shape[1] == short.shape[1]


def test_equal_maps_give_equal_bytes():
    two = [Map(title="a $x$", values=[[1.0, np.nan]]), Map(title="b", values=[[True], [False]])]
    for draw in (map_png.draw_maps, map_html.draw_maps):
        assert draw(maps("t", two, low=0, high=1, label="%")) == draw(maps("t", two, low=0, high=1, label="%"))


def test_frames_tell_right_from_wrong():
    pictures = [np.full((20, 20, 3), 128, np.uint8)] * 4
    captions = ["a", "b", "c", "d"]
    picture = pixels(draw_sheet("t", pictures, captions=captions, right=[True, False, False, False], columns=2))
    (row, column), green = centre(picture, GREEN)
    assert row < 0.5 and column < 0.5
    assert centre(picture, ORANGE)[1] == pytest.approx(3 * green, rel=0.15)
    plain = pixels(draw_sheet("t", pictures, captions=captions, columns=2))
    assert (np.abs(plain - GREEN) <= 2).all(axis=-1).sum() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Map(title="a", values=np.zeros((0, 3))), "at least one cell"),
        (lambda: Map(title="a", values=[1.0]), "at least one cell"),
        (lambda: draw_maps("t", [], low=0, high=1), "no maps"),
        (lambda: draw_sheet("t", [], captions=[]), "at least one"),
        (lambda: draw_sheet("t", [np.zeros((2, 2, 3)), np.zeros((3, 2, 3))], captions=["a", "b"]), "one size"),
        (lambda: draw_sheet("t", [np.zeros((2, 2, 3))], captions=[]), "one caption"),
        (lambda: draw_sheet("t", [np.zeros((2, 2, 3))], captions=["a"], right=[]), "one mark"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
