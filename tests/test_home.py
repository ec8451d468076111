"""The home of the user in every path of a configuration, of a command line and of the Python functions."""

import dataclasses
import importlib
import typing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lrjax
from lrjax.checks.home import expand_home
from lrjax.command_line import Parser
from lrjax.config import Config
from lrjax.data.datasets import open_source
from lrjax.errors import UserError
from lrjax.questions.zoom.question import Zoom
from lrjax.runs.config_reader import from_mapping
from lrjax.runs.recipes import read_command_line
from run_helpers import write_recipe

PATHS = {
    "workdir": ("~/runs/x", "{home}/runs/x"),
    "source": ("~/x.pt", "{home}/x.pt"),
    "data.names": (("shapes", "~/birds.yaml+fog-3"), ("shapes", "{home}/birds.yaml+fog-3")),
    "data.root": ("~", "{home}"),
    "data.sources": ({"dtd": "folder:~/dtd", "pets": "~/p"}, {"dtd": "folder:{home}/dtd", "pets": "{home}/p"}),
    "data.boxes": ("~/boxes", "{home}/boxes"),
    "train.root": ("~/train", "{home}/train"),
    "questions.zoom.aggregate": ("~/sets=a.json", "{home}/sets=a.json"),
    "models": (("B-16=~/x", "L-14:tag=~/y", "L"), ("B-16={home}/x", "L-14:tag={home}/y", "L")),
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def path_fields(kind=Config, prefix=""):
    if kind is Config:
        yield from path_fields(Zoom, "questions.zoom.")
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from path_fields(hints[field.name], f"{field.name}.")
        elif field.metadata.get("path"):
            yield prefix + field.name


def with_home(value, home):
    if isinstance(value, dict):
        return {name: with_home(one, home) for name, one in value.items()}
    return tuple(with_home(one, home) for one in value) if isinstance(value, tuple) else value.format(home=home)


def mapping(key, value):
    values = {"data": {"names": ("shapes",), "region": "foreground" if key == "data.boxes" else ""}}
    values |= {} if key == "models" else {"model": "B"}
    *groups, name = key.split(".")
    place = values
    for group in groups:
        place = place.setdefault(group, {})
    place[name] = value
    return values


def test_the_paths_of_a_configuration():
    assert set(path_fields()) == PATHS.keys()


@pytest.mark.parametrize("key", PATHS)
def test_every_path_of_a_configuration(key, home):
    given, expected = PATHS[key]
    found = from_mapping(Config, mapping(key, given))
    for name in key.split("."):
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    assert found == with_home(expected, home)


def test_rows_of_an_ablation(home):
    from lrjax.runs.ablation import row_configs

    rows = (("a", {"source": "~/a.pt", "train": {"steps": 1, "root": "~/images"}}),)
    (row,) = row_configs(from_mapping(Config, mapping("ablation", {"rows": rows}))).values()
    assert (row.source, row.train.root) == (f"{home}/a.pt", f"{home}/images")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--out=~/x", "--out={home}/x"),
        ("--config=~/r.py:B-16", "--config={home}/r.py:B-16"),
        ("--config.data.sources.dtd=webdataset:~/dtd.tar", "--config.data.sources.dtd=webdataset:{home}/dtd.tar"),
        ("--config.models=B-16=~/x.pt", "--config.models=B-16={home}/x.pt"),
        ("~", "{home}"),
        ("~/a=~/b", "{home}/a=~/b"),
        ("x~", "x~"),
        ("a/~/b", "a/~/b"),
        ("/a:~/b", "/a:~/b"),
        ("file~", "file~"),
        ("--out=x/~", "--out=x/~"),
        ("~nobody-of-this-name/x", "~nobody-of-this-name/x"),
    ],
)
def test_arguments(argument, expected, home):
    assert expand_home(argument) == expected.format(home=home)


def test_a_whole_command_line(home, tmp_path):
    write_recipe(home / "recipe.py", model="x", data={"names": ("shapes",)})
    config = read_command_line(
        ["--config=~/recipe.py", "--config.workdir=~/runs", "--config.data.sources.dtd=folder:~/d"]
    )
    assert (config.workdir, config.data.sources) == (f"{home}/runs", {"dtd": f"folder:{home}/d"})


def test_the_parser(home):
    parser = Parser()
    parser.add_argument("results", nargs="+")
    parser.add_argument("--out")
    found = parser.parse_args(["~/a", "b", "--out=~/c"])
    assert (found.results, found.out) == ([f"{home}/a", "b"], f"{home}/c")


@pytest.mark.parametrize(
    "module",
    [
        *(
            "lrjax.report.command",
            "lrjax.leaderboard.studies.__main__",
            "lrjax.questions.zoom.__main__",
            "lrjax.questions.zoom.hard.__main__",
        ),
        *("lrjax.data.__main__", "checkpoints_conv.__main__"),
    ],
)
def test_every_command_has_the_parser(module):
    assert isinstance(importlib.import_module(module)._parser(), Parser)


def test_python_functions(home):
    for call in (
        lambda: lrjax.load("EVA02-embedded", "~/none.safetensors"),
        lambda: lrjax.load("EVA02-embedded", "embedded", lr_tokens="~/none.safetensors"),
        lambda: lrjax.load("EVA02-embedded", Path("~/none.safetensors")),
    ):
        with pytest.raises(UserError, match=rf"{home}/none.safetensors"):
            call()
    model = lrjax.load("EVA02-embedded", "embedded")
    Image.new("RGB", (9, 9), "red").save(home / "x.png")
    expected = lrjax.encode_image(model, home / "x.png")
    for path in ("~/x.png", Path("~/x.png"), ["~/x.png"]):
        np.testing.assert_array_equal(lrjax.encode_image(model, path), expected)


def test_data_sets_in_python(home):
    for name in ("cat", "dog"):
        (home / "img" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9), "red").save(home / "img" / name / "1.png")
    (home / "own.yaml").write_text("classes: [cat, dog]\ntemplates: ['{}']\npath: img\n")
    assert len(open_source("~/own.yaml")) == 2
    assert len(open_source("~/own.yaml", sources={"own": "folder:~/img"})) == 2
