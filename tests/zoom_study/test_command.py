"""`python -m lrjax.questions.zoom` in this process."""

import csv

import numpy as np
import pytest
from PIL import Image

from lrjax.questions.zoom.__main__ import main
from zoom_study.tables import store


@pytest.fixture
def results(tmp_path):
    store(tmp_path / "results", crops=np.zeros((5, 4), np.int16), centre=np.zeros((5, 11), np.int16))
    return tmp_path / "results"


def test_tables_are_printed(results, capsys):
    assert main([str(results)]) == 0
    printed = capsys.readouterr().out
    for text in ("Accuracy under the best", "Zooming in", "Centre bias", "no crop of any model"):
        assert text in printed
    assert "Aggregation" in printed and "Centre crops" in printed


def test_tables_and_pictures_are_written(results, tmp_path, capsys):
    picture, out = tmp_path / "picture.png", tmp_path / "out"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80), np.uint8)).save(picture)
    arguments = [str(results), "--dataset", "shapes", "--out", str(out), "--index", "1", "--image", str(picture)]
    assert main(arguments) == 0
    names = {path.name for path in out.iterdir()}
    pictures = {
        "zoom-scales.png",
        "zoom-centre.png",
        "zoom-anchors.png",
        "zoom-views-1.png",
        "zoom-crops-1.png",
        "zoom-crops-2.png",
    }
    assert {name for name in names if name.endswith(".png")} == pictures
    for name in pictures:
        assert Image.open(out / name).size[0] > 200
    with (out / "zoom-bounds.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["model"], line["324 crops"]) for line in lines] == [("one", "80.0000"), ("two", "40.0000")]
    before = {name: (out / name).read_bytes() for name in names}
    assert main(arguments) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (out / "zoom-bounds.md").write_text("mine")
    assert main(arguments) == 2
    assert "zoom-bounds.md was not written by an earlier zoom_study, was changed" in capsys.readouterr().err
    assert (out / "zoom-bounds.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: there are no results of the question 'zoom' in nowhere"),
        (
            ["results", "--dataset", "paintings"],
            "error: there is no zoom table on paintings; use one of scenes, shapes",
        ),
        (["results", "--cover-of", "paintings"], "error: one has no zoom table on paintings"),
        (["results", "--index", "1"], "error: --index and --image draw pictures"),
        (
            ["results", "--dataset", "shapes", "--covers", "results/results.jsonl"],
            "error: --covers results/results.jsonl exists and holds no",
        ),
        (["results", "--out", "out", "--index", "77"], "error: no zoom table has an image 77"),
        (["results", "--out", "out", "--image", "none.png"], "error: image 'none.png' cannot be read (No such file"),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_nothing(arguments, message, results, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(message) and error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"results"}
