"""Which results are incomplete, and what marks them in tables."""

import dataclasses

import pytest

from lrjax.display.tables import Table
from lrjax.leaderboard.completeness import expected_images, footnote, marked, shortfall, shortfalls
from lrjax.results.row import Row

ROW = Row(
    model="M", variant="vanilla", dataset="eurosat", condition={"resolution": 16}, metric="acc1", value=0.5, n=20,
    key="k", config_hash="c", question="zeroshot", kind="zeroshot", question_version=1, seed=None, versions={},
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected", "text"),
    [
        ({"extra": {"expected": 5400}}, 5400, "20 of 5,400"),
        ({"extra": {"expected": 5400}, "n": 5400}, 5400, None),
        ({"extra": {"expected": 5400}, "n": 6000}, 5400, None),
        # of captions there are more than images
        ({"extra": {"expected": 20, "images_seen": 4}}, 20, "4 of 20"),
        ({"extra": {"expected": None, "images_seen": 4, "skipped": ["a.jpg"]}}, 5, "4 of 5"),
        ({"extra": {"expected": 4, "images_seen": 4}}, 4, None),
        # one damaged image is missing as one that was never there
        ({"extra": {"expected": 21, "skipped": ["a.jpg"]}}, 21, "20 of 21"),
        ({"extra": {"expected": None, "skipped": ["a.jpg", "b.jpg"]}}, 22, "20 of 22"),
        ({"extra": {"expected": None}}, None, None),
        # rows that do not tell are of the data set of their name
        ({}, 5400, "20 of 5,400"),
        ({"dataset": "dtd", "n": 1880}, 1880, None),
        ({"dataset": "pets+fog-3"}, 3669, "20 of 3,669"),
        ({"dataset": "shapes"}, None, None),
        ({"dataset": "my own"}, None, None),
        ({"dataset": "my own", "extra": {"skipped": ["a.jpg"]}}, 21, "20 of 21"),
    ],
)
def test_how_many_images_are_missing(changes, expected, text):
    row = dataclasses.replace(ROW, **changes)
    assert (expected_images(row), shortfall(row)) == (expected, text)


def test_what_is_missing_by_data_set():
    rows = [
        ROW,
        dataclasses.replace(ROW, condition={"resolution": "hr"}),
        dataclasses.replace(ROW, dataset="dtd", n=1880),
    ]
    assert shortfalls(rows) == {"eurosat": "20 of 5,400"}
    assert footnote({"M": shortfalls(rows), "N": {}}) == [
        "‡: not all images of the data set (M: 20 of 5,400 of eurosat)."
    ]
    assert footnote({"M": {}, "N": {}}) == []


def test_a_column_marks_the_incomplete_lines_and_there_is_none_without_them():
    table = Table("t", "Percent.", ("Model", "SAR"), (("M", 1.0), ("N", 2.0)), labels=1)
    assert marked(table, [None, None]) is table
    found = marked(table, ["20 of 5,400", None])
    assert found.header == ("Model", "SAR", "Incomplete")
    assert found.rows == (("M", 1.0, "‡ 20 of 5,400"), ("N", 2.0, None))
    assert found.csv() == 'Model,SAR,Incomplete\nM,1.0000,"‡ 20 of 5,400"\nN,2.0000,\n'
