"""Files of view sets: what is written is read, and what is wrong is named."""

import json

import numpy as np
import pytest

from lrjax.errors import UserError
from lrjax.metrics.zoom import minimum_cover
from lrjax.questions.zoom.__main__ import main
from lrjax.questions.zoom.covers import read_cover, write_covers
from lrjax.questions.zoom.stored import load_tables
from zoom_study.tables import RIGHT, bits, store


def test_the_command_writes_the_cover_of_each_model(tmp_path, capsys):
    store(tmp_path)
    path = tmp_path / "covers.json"
    assert main([str(tmp_path), "--covers", str(path)]) == 2
    assert "name it with --cover-of: shapes, scenes" in capsys.readouterr().err
    assert not path.exists()
    assert main([str(tmp_path), "--covers", str(path), "--cover-of", "shapes"]) == 0
    assert f"wrote the covers of shapes to {path}" in capsys.readouterr().out
    content = json.loads(path.read_text())
    assert (content["format"], content["dataset"]) == (1, "shapes")
    assert content["covers"][1]["views"] == [[1, 1, 256]]
    for model in ("one", "two"):
        expected = minimum_cover(bits(RIGHT[model, "shapes"]))
        np.testing.assert_array_equal(read_cover(path, model=model, variant="vanilla"), expected)
    assert main([str(tmp_path), "--dataset", "shapes", "--covers", str(tmp_path / "other.json")]) == 0
    assert (tmp_path / "other.json").read_text() == path.read_text()


def test_a_model_that_is_never_right_has_no_cover(tmp_path):
    store(tmp_path)
    tables = load_tables([tmp_path])
    with pytest.raises(UserError, match="no crop of two is right on scenes"):
        write_covers(tmp_path / "covers.json", tables[3:], [np.array([], int)], dataset="scenes")
    assert not (tmp_path / "covers.json").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("[", "is no file of view sets"),
        ("[]", "is no file of view sets"),
        ('{"format": 7, "covers": []}', "its format is 7 instead of 1"),
        ('{"format": 1, "covers": [{"model": "one", "variant": "vanilla", "views": [[1, 1, 257]]}]}', "scale 257"),
        ('{"format": 1, "covers": [{"model": "one", "variant": "vanilla", "views": [3]}]}', "is no file of view sets"),
        (
            '{"format": 1, "covers": [{"model": "one", "variant": "x", "views": []}]}',
            r"of one \(vanilla\), only of: one \(x\)",
        ),
        ('{"format": 1, "covers": []}', r"only of: none; write it with `python -m lrjax\.questions\.zoom"),
    ],
)
def test_wrong_files_are_named(text, message, tmp_path):
    if text is not None:
        (tmp_path / "covers.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_cover(tmp_path / "covers.json", model="one", variant="vanilla")
