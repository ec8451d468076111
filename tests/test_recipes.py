"""A recipe and a command line become a configuration; what is wrong with them is one line."""

import json
from pathlib import Path

import pytest

import on_disk
from configs.sweep import get_config
from lrjax import main
from lrjax.errors import UserError
from lrjax.runs.recipes import read_command_line, read_config
from run_helpers import Command, failure, write_recipe

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "configs" / "lr_tk0_eva.py"
SWEEP = ROOT / "configs" / "sweep.py"


@pytest.fixture
def command(capsys):
    return Command(capsys)


def test_no_recipe(command):
    assert failure(command()) == "no recipe; run `python -m lrjax.main --config configs/lr_tk0_eva.py`"
    assert "argument --config: expected one argument" in failure(command("--config"))
    assert "nowhere.py does not exist; name a Python file" in failure(command("--config", "nowhere.py"))
    assert f"{ROOT / 'configs'} does not exist" in failure(command("--config", ROOT / "configs"))


def test_a_recipe_of_the_installed_package(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert read_config("configs/sweep.py:lr0fm", program="p").data.names == get_config("lr0fm").data.names
    assert capsys.readouterr().err == f"recipe configs/sweep.py is that of the installed package, {SWEEP}\n"
    for nowhere in ("configs/nothing.py", "sweep.py", "configs/../configs/sweep.py", "lrjax/main.py"):
        assert failure(command("--config", nowhere)).startswith(f"recipe {nowhere} does not exist")
    (tmp_path / "configs").mkdir()
    write_recipe(tmp_path / "configs" / "sweep.py", model="mine", data={"names": ["dtd"]})
    assert read_config("configs/sweep.py", program="p").model == "mine"
    assert capsys.readouterr().err == ""


def test_unknown_backbone_of_the_recipe(command):
    message = failure(command("--config", f"{EMBEDDED}:XX"))
    assert message.startswith("unknown backbone 'XX' in lr_tk0_eva.py:XX; use one of B-16, L-14")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config():\n    return wrong", r"NameError: name 'wrong' is not defined .*mine.py, line 2"),
        ("def get_config(:", "SyntaxError"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("x = 1", "KeyError: 'get_config'"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def get_config():\n    return 3", "get_config gives int; it must return a ConfigDict"),
        ("def get_config():\n    return {'model': 'x'}", "config key data.names is missing"),
        ("def get_config():\n    return {'model': 'x', 'dta': {'names': ['dtd']}}", r"unknown config key dta.*data\?"),
    ],
)
def test_recipes_that_fail(command, tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(failure(command("--config", tmp_path / "mine.py")))


def test_a_plain_dictionary_is_a_recipe(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def get_config(name='x'):\n    return {'model': name, 'data': {'names': ['dtd']}}"
    )
    assert read_command_line(["--config", str(tmp_path / "mine.py")]).model == "x"
    assert read_command_line(["--config", f"{tmp_path / 'mine.py'}:a:b"]).model == "a:b"


def test_overrides():
    arguments = [
        *("--config.seed", "3", "--config.devices=2", "--config.data.root", "DATA", "--config.train.learning_rate=1"),
        *("--config.train.steps=0", "--config.train.epochs", "2", "--config.train.buckets=((16,20),)"),
        *("--config.questions.zeroshot.resolutions=16,24", "--config.report.plots=false", "--config.train.shared_crop"),
        *("--config.data.names", "shapes", "--config.data.names", "letters"),
    ]
    for whole in (["--config", str(EMBEDDED), *arguments], [*arguments, f"--config={EMBEDDED}"]):
        config = read_command_line(whole)
        assert (config.seed, config.devices, config.data.root) == (3, 2, "DATA")
        assert (config.train.steps, config.train.epochs, config.train.learning_rate) == (0, 2, 1.0)
        assert config.questions["zeroshot"]["resolutions"] == (16, 24)
        assert config.train.buckets == ((16, 20),)
        assert config.train.shared_crop
        assert not config.report.plots
        assert config.data.names == ("shapes", "letters")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.trian.steps=3", "unknown config key trian; did you mean train?"),
        ("--config.train.stpes=3", "unknown config key train.stpes; did you mean train.steps?"),
        ("--config.train.steps.x=3", "config.train.steps is a value, not a group of keys"),
        ("--config.seed=abc", "flag --config.seed=abc: invalid literal for int"),
        ("--config.devices=all", "flag --config.devices=all: invalid literal for int"),
        ("--config.report.plots=maybe", "--config.report.plots=maybe"),
        ("--config.train.buckets=((16,", "--config.train.buckets=((16,"),
        ("--config.train=3", "flag --config.train=3"),
        ("--config.seed", "Missing value for flag --config.seed"),
        (
            "--config.questions.zeroshot.resolutions=a",
            "config.questions.zeroshot.resolutions must be of type int, not 'a'",
        ),
        ("--config.train.epochs=2", "config.train.steps and config.train.epochs are both set"),
        ("--config.data.names=", "--config.data.names is empty; name at least one"),
        ("--config.models=,", "--config.models is empty; name at least one"),
        ("--sed=3", "Unknown command line flag 'sed'"),
        ("stray", "unexpected argument 'stray'; replace values with --config.KEY=VALUE"),
    ],
)
def test_mistakes_on_the_command_line(command, argument, message):
    assert message in failure(command("--config", EMBEDDED, argument))


def test_help(capsys):
    with pytest.raises(SystemExit) as caught:
        main.main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "--config FILE[:ARGUMENT]" in shown
    assert "--config.KEY VALUE" in shown


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


def test_questions_are_added_and_their_options_replaced(read):
    both = read("--config.questions.zoom.crops=False", "--config.questions.zeroshot.resolutions=16,24").questions
    assert (both["zoom"]["crops"], both["zoom"]["type"]) == (False, "zoom")
    assert both["zeroshot"]["resolutions"] == (16, 24)
    for argument, message in (
        ("--config.questions.zoom.crop=False", r"unknown config key questions\.zoom\.crop; did you mean"),
        ("--config.questions.zom.crops=False", r"unknown question 'zom' in config\.questions; did you mean 'zoom'"),
    ):
        with pytest.raises(UserError, match=message):
            read(argument)


def test_names_are_split_at_commas(read):
    for form in (
        ["--config.data.names=a,b", "--config.data.names=c"],
        ["--config.data.names", "a,b,c"],
        ["--config.data.names=a", "--config.data.names", "b,c,"],
        ["--config.data.names=('a', 'b', 'c')"],
    ):
        assert read(*form, "--config.seed=3").data.names == ("a", "b", "c"), form
    metrics = read("--config.ablation.rows=(('a', {}),)", "--config.ablation.metrics=acc16,warhr").ablation.metrics
    assert metrics == ("acc16", "warhr")
    assert read("--config.data.root=a,b").data.root == "a,b"
    assert read("--config.model=", "--config.models=a=x,b:tag=y").models == ("a=x", "b:tag=y")


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
def test_mistakes_in_overrides(read, overrides, message):
    with pytest.raises(UserError, match=message):
        read(*overrides)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ("cars.tar", "config.data.sources must be a mapping, not 'cars.tar'"),
        ({"cars": 3}, "config.data.sources.cars must be of type str, not 3"),
    ],
)
def test_wrong_sources(tmp_path, sources, message):
    recipe = write_recipe(tmp_path / "recipe.py", model="x", data={"names": ("cars",), "sources": sources})
    with pytest.raises(UserError, match=message):
        read_config(str(recipe), program="program")
