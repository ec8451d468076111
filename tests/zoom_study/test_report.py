"""The numbers of the tables by hand, and the pictures' own arithmetic."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from lrjax.errors import UserError
from lrjax.metrics.zoom import STANDARD_VIEW, view_index
from lrjax.ops.zoom import CENTRE_SCALES, SCALES
from lrjax.questions.zoom import pictures, report
from lrjax.questions.zoom.stored import by_dataset, load_tables
from zoom_study.tables import add, row, samples, store


@pytest.fixture
def tables(tmp_path):
    store(tmp_path)
    return load_tables([tmp_path])


def test_bounds(tables):
    table = report.bounds_table(tables, report.covers(tables))
    assert table.rows[0] == ("one", "shapes", 5, 20.0, 80.0, 80.0, pytest.approx(20), 90.0, 100.0, 4)
    assert table.rows[3] == ("two", "scenes", 3, 0.0, 0.0, 0.0, 100.0, 90.0, 100.0, 0)
    assert all(len(row) == len(table.header) for row in table.rows)
    unknown = report.bounds_table([dataclasses.replace(tables[0], classes=None)], [np.array([0])])
    assert unknown.rows[0][7:9] == (None, None)


def test_groups_within_the_cover(tables):
    table = report.groups_table(tables, report.covers(tables))
    # the cover of "one" on shapes has the first view (10 pixels) and not the standard one, which is equally good
    assert table.rows[0] == ("one", "shapes", 1, 2, 1, 20.0, 40.0, 20.0, 20.0, 40.0, 20.0)


def test_a_cover_of_another_data_set(tables):
    of_scenes = report.covers(tables, of="scenes")
    assert [len(cover) for cover in of_scenes] == [1, 0, 1, 0]
    assert report.bounds_table(tables, of_scenes).rows[0][4] == 0  # it solves nothing of shapes
    assert len(report.covers(tables[:1], of="scenes", among=tables)[0]) == 1
    with pytest.raises(UserError, match="one has no zoom table on paintings"):
        report.covers(tables, of="paintings")


def test_anchors(tables):
    table = report.anchors_table(tables, report.covers(tables))
    assert table.rows[0][2:11] == pytest.approx((20, 0, 20, 0, 40, 0, 20, 0, 0))
    assert table.rows[0][11:] == pytest.approx((40 - 60 / 8, 25))
    assert table.rows[3][12] is None  # an empty cover has no shares


def test_scales(tables):
    table = report.scales_table(tables)
    assert [row[0] for row in table.rows] == sorted(SCALES)
    at_256 = next(row for row in table.rows if row[0] == 256)
    assert at_256[1:5] == pytest.approx((20, 20, 40, 40))
    assert len(table.header) == 9


def test_aggregation(tables):
    assert report.aggregation_table(tables, report.covers(tables)) is None
    # labels 0 1 2 0 1
    crops = np.array([[0, 1, 2, 0, 0], [0, 1, 2, 0, 1], [1, 2, 0, 1, 2], [0, 0, 0, 0, -1]]).T
    groups = np.array([[0, 0, 0, 0, 0], [-1] * 5, [1] * 5, [2] * 5, [0, 1, 2, 1, 1], [-1] * 5]).T
    full = dataclasses.replace(tables[0], crops=crops, aggregated=groups)
    short = dataclasses.replace(tables[1], crops=crops[::-1])  # its images lie in reverse order
    aggregated = report.aggregation_table([full, short], report.covers([full, short]))
    names = ("zoom-in max", "zoom-out max", "zoom-out mean", "zoom-224 max")
    assert aggregated.header[3:] == (*names, "5-crop max", "5-crop mean", "10-crop max", "10-crop mean")
    assert aggregated.rows == (
        ("one", "shapes", 20.0, 40.0, 40.0, 20.0, 80.0, 80.0, 100.0, 0.0, 40.0),
        ("two", "shapes", 40.0, None, None, None, None, 80.0, 100.0, 0.0, 40.0),
    )
    sets = dataclasses.replace(full, labels=np.array([[0, 1], [1, 0], [2, -1], [2, 0], [2, 1]]))
    assert report.aggregation_table([sets], [np.array([0])]).rows[0][8:] == pytest.approx((100, 40, 60))


def test_the_maximum_of_confidences_over_the_cover(tables):
    # class 0 everywhere but in the views of the cover that zoom out
    confidence, guesses = np.full((5, 324), 0.5), np.zeros((5, 324), int)
    confidence[:, [0, view_index(2, 0, 64)]], guesses[:, [0, view_index(2, 0, 64)]] = 0.9, 1
    table = dataclasses.replace(tables[0], confidence=confidence, guesses=guesses)
    aggregated = report.aggregation_table([table], report.covers([table]))
    assert aggregated.header[3:] == ("zoom-in max", "zoom-out max", "zoom-224 max")
    assert aggregated.rows == (("one", "shapes", 20.0, 40.0, 40.0, 40.0),)


def test_centre_crops(tables):
    assert report.centre_table(tables) is None
    centre = np.full((5, len(CENTRE_SCALES)), -1)
    centre[:2, 0], centre[:, 4], centre[0, 10] = [0, 1], [0, 1, 2, 1, 2], 0
    table = dataclasses.replace(tables[0], centre=centre)
    found = report.centre_table([table, tables[1]])
    assert found.header[2:] == tuple(map(str, CENTRE_SCALES))
    assert [row[:2] for row in found.rows] == [("one", "shapes")]
    assert found.rows[0][2:] == pytest.approx((40, None, None, None, 60, *[None] * 5, 20))
    assert pictures.centre_change(table) == pytest.approx([-0.2, -0.6, -0.6, -0.6, 0, *[-0.6] * 5, -0.4])


def test_unclassifiable_by_all_models(tables):
    by_dataset = {"shapes": tables[:2], "scenes": tables[2:]}
    table = report.unclassifiable_table(by_dataset)
    assert table.rows == (("shapes", 2, 5, 1, 20.0), ("scenes", 2, 3, 2, pytest.approx(200 / 3)))


def test_the_grid_of_views():
    correct = np.zeros(324, bool)
    correct[[view_index(0, 0, 10), view_index(2, 2, 1024), view_index(0, 1, 122), STANDARD_VIEW]] = True
    # in rising order 122 is scale number 6 and 256 number 12 (from 0)
    assert np.argwhere(pictures.view_grid(correct)).tolist() == [[0, 0], [1, 6], [8, 6], [17, 17]]


@pytest.mark.parametrize(
    ("view", "sums"),
    [
        ((1, 1, 64), [699080, 694234, 657487]),
        ((1, 1, 224), [6381722, 6380360, 6205522]),
        ((0, 2, 224), [3311082, 3102131, 3017469]),
        ((1, 1, 256), [6297229, 6392637, 6356957]),
        ((2, 0, 448), [5002043, 4833087, 4844853]),
    ],
)
def test_crops_of_a_known_picture(view, sums):
    y, x = np.mgrid[:75, :100]
    picture = np.stack([(7 * x + 3 * y) % 256, (5 * x + 11 * y) % 256, (x * y) % 256], axis=-1).astype(np.uint8)
    found = pictures.crop(Image.fromarray(picture), view_index(*view))
    assert found.shape == (224, 224, 3)
    assert found.sum(axis=(0, 1), dtype=int).tolist() == sums


def test_an_image_that_no_table_has(tables):
    with pytest.raises(UserError, match="no zoom table has an image 9"):
        pictures.view_map(tables, 9)


def test_incomplete_tables_are_marked_everywhere(tmp_path):
    store(tmp_path)
    few = row("one", "scenes", n=3)
    add(tmp_path, dataclasses.replace(few, extra={**few.extra, "expected": 1200}), samples([[], [5], []]))
    tables = load_tables([tmp_path])
    sets, grouped = report.covers(tables), by_dataset(tables)
    made = [report.bounds_table(tables, sets), report.groups_table(tables, sets), report.anchors_table(tables, sets)]
    for table in made:
        assert sorted(line[0] for line in table.rows if line[1] == "scenes") == ["one ‡", "two"]
        assert sorted(line[0] for line in table.rows if line[1] == "shapes") == ["one", "two"]
    for table in (*made, report.scales_table(tables), report.unclassifiable_table(grouped)):
        assert table.caption.endswith(" ‡: not all images of the data set (one: 3 of 1,200 of scenes).")
    assert "one ‡, scenes, middle" in report.scales_table(tables).header
    assert [one.title for one in pictures.anchor_maps(tables).maps if "‡" in one.title] == ["one ‡\nscenes"]
    whole = [table for table in tables if not table.incomplete]
    assert "‡" not in report.bounds_table(whole, report.covers(whole)).caption
