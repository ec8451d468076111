"""Values of the command line for data sets: entries of mappings and lists of names."""

import json

import pytest

import on_disk
from lrjax.errors import UserError
from lrjax.recipes import read_config
from run_helpers import write_recipe


@pytest.fixture
def read(tmp_path):
    data = {"names": ("cars",), "sources": {"cars": "cars.tar"}}
    recipe = write_recipe(tmp_path / "recipe.py", model="x", data=data)
    return lambda *overrides: read_config(str(recipe), overrides, program="program")


def test_sources(read):
    assert read().data.sources == {"cars": "cars.tar"}
    for form in (["--config.data.sources.cars=tfds:"], ["--config.data.sources.cars", "tfds:"]):
        assert read(*form).data.sources == {"cars": "tfds:"}
    more = read("--config.data.sources.food101=webdataset:/data/a=b.tar", "--config.data.sources.dtd=x")
    assert more.data.sources == {"cars": "cars.tar", "food101": "webdataset:/data/a=b.tar", "dtd": "x"}
    assert json.loads(json.dumps(dict(more.data.sources))) == more.data.sources


def test_names_are_split_at_commas(read):
    for form in (
        ["--config.data.names=a,b", "--config.data.names=c"],
        ["--config.data.names", "a,b,c"],
        ["--config.data.names=a", "--config.data.names", "b,c,"],
        ["--config.data.names=('a', 'b', 'c')"],
    ):
        assert read(*form, "--config.seed=3").data.names == ("a", "b", "c"), form
    assert read("--config.evaluation.evaluators=x,y").evaluation.evaluators == ("x", "y")
    assert read("--config.data.root=a,b").data.root == "a,b"


def test_a_plain_dictionary_gets_sources(tmp_path):
    recipe = on_disk.write(tmp_path / "r.py", "def get_config():\n    return {'model': 'x', 'data': {'names': ['a']}}")
    config = read_config(str(recipe), ["--config.data.sources.a=b"], program="program")
    assert config.data.sources == {"a": "b"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--config.data.source.cars=x"], "unknown config key data.source; did you mean data.sources?"),
        (["--config.data.sources=x"], "see program --help"),
        (["--config.data.sources.cars.deep=x"], "see program --help|unknown"),
        (["--config.data.names.deep=x"], "config.data.names is a value, not a group of keys"),
    ],
)
def test_mistakes(read, overrides, message):
    with pytest.raises(UserError, match=message):
        read(*overrides)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ("cars.tar", "config.data.sources must be a mapping, not 'cars.tar'"),
        ({"cars": 3}, "config.data.sources.cars must be of type str, not 3"),
    ],
)
def test_wrong_recipes(tmp_path, sources, message):
    recipe = write_recipe(tmp_path / "recipe.py", model="x", data={"names": ("cars",), "sources": sources})
    with pytest.raises(UserError, match=message):
        read_config(str(recipe), program="program")
