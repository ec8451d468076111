"""Where the curves of a training go: fake packages note what they are asked for; TensorBoard is read back."""

import importlib
import sys
import types

import pytest

import tiny
from lrjax.config import Train
from lrjax.errors import UserError
from lrjax.runs.recipes import read_config
from lrjax.train import loop
from lrjax.train.history import History
from lrjax.train.writers import RUN, check_writers, open_writers
from run_helpers import write_recipe

NUMBERS = {"loss": 0.5, "scale": 14.0}


class Package(types.ModuleType):
    """Notes the calls of init, log and finish."""

    def __init__(self, name, failing=None):
        super().__init__(name)
        self.calls, self.failing = [], failing

    def __getattr__(self, function):
        if function.startswith("__"):
            raise AttributeError(function)

        def call(*values, **options):
            if self.failing:
                raise self.failing
            self.calls.append((function, *values, options))

        return call

    def options(self):
        return [options for function, options in (one for one in self.calls if one[0] == "init")]


@pytest.fixture
def packages(monkeypatch):
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    found = {name: Package(name) for name in ("wandb", "trackio")}
    for name, package in found.items():
        monkeypatch.setitem(sys.modules, name, package)
    return found


def opened(directory, *names, first=0, **options):
    facts = {"recipe": {"steps": 4}, "seed": 0}
    return open_writers(Train(log=names, **options), directory, first=first, title="mine", facts=facts)


def write(directory, *names, first=0, steps=(1, 2)):
    with opened(directory, *names, first=first) as writers, History(directory, first=first, writers=writers) as history:
        for step in steps:
            history.add(step, NUMBERS, ["a"])
        history.add_score(steps[-1], 0.25)


def test_trackers_are_given_the_course_and_a_run_of_its_own(packages, tmp_path):
    write(tmp_path, "wandb", "trackio")
    run = (tmp_path / RUN).read_text().strip()
    assert len(run) == 8
    shared = {
        "project": "lrjax",
        "name": f"mine-{run}",
        "config": {"recipe": {"steps": 4}, "seed": 0},
        "resume": "allow",
    }
    own = {"id": run, "dir": str(tmp_path), "allow_val_change": True}
    logged = [
        ("log", NUMBERS, {"step": 1}),
        ("log", NUMBERS, {"step": 2}),
        ("log", {"score": 0.25}, {"step": 2}),
        ("finish", {}),
    ]
    assert packages["wandb"].calls == [("init", shared | own), *logged]
    assert packages["trackio"].calls == [("init", shared), *logged]


def test_a_continued_training_continues_its_run_and_a_new_one_does_not(packages, tmp_path):
    for first in (0, 2, 0):
        write(tmp_path, "wandb", first=first, steps=(first + 1, first + 2))
    ids = [options["id"] for options in packages["wandb"].options()]
    assert ids[0] == ids[1] != ids[2]
    # switched on on the way: nothing to continue
    (tmp_path / "other").mkdir()
    write(tmp_path / "other", "trackio", first=2, steps=(3,))
    assert packages["trackio"].options()[0]["name"].removeprefix("mine-") not in ids


def test_the_project_of_the_user(packages, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    write(tmp_path, "wandb")
    assert packages["wandb"].options()[0]["project"] == "theirs"


def test_a_failure_closes_all_that_is_open(packages, tmp_path):
    def fail():
        with opened(tmp_path, "wandb", "trackio"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [package.calls[-1][0] for package in packages.values()] == ["finish", "finish"]


def test_a_tracker_that_cannot_begin_is_told_and_the_others_are_closed(packages, tmp_path):
    packages["trackio"].failing = RuntimeError("no account")
    with (
        pytest.raises(UserError, match=r"^trackio cannot begin \(RuntimeError: no account\); mend it, or take it out"),
        opened(tmp_path, "wandb", "trackio"),
    ):
        pass
    assert packages["wandb"].calls[-1] == ("finish", {})


def test_nothing_is_imported_that_is_not_asked_for(tmp_path, monkeypatch):
    for name in ("wandb", "trackio", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)  # an import fails
    check_writers(Train())
    with opened(tmp_path) as writers:
        assert writers == ()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "package"),
    [
        ({"log": ("wandb",)}, "wandb"),
        ({"log": ("trackio",)}, "trackio"),
        ({"log": ("tensorboard",)}, "tensorboardX"),
        ({"tensorboard": True}, "tensorboardX"),
    ],
)
def test_a_missing_package_is_told_before_a_training_begins(options, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    config = tiny.config(tmp_path, tiny.train_options(**options))
    with pytest.raises(UserError, match=rf"of config\.train needs {package}; pip install {package}, or take .* out$"):
        loop.check_training(config, tiny.predictor().mesh, row=tiny.row())


def test_tensorboard_has_the_curves(tmp_path):
    pytest.importorskip("tensorboardX")
    with opened(tmp_path, "tensorboard", tensorboard=True) as writers:  # asked for twice
        (writer,) = writers
        writer.scalars(1, NUMBERS)
        writer.scalars(1, {"score": 0.25})
    (file,) = (tmp_path / "tensorboard").iterdir()
    events = importlib.import_module("tensorboardX.proto.event_pb2")
    found, content = {}, file.read_bytes()
    while content:  # length, its checksum, an event, its checksum
        length = int.from_bytes(content[:8], "little")
        event = events.Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]
        found |= {(event.step, value.tag): value.simple_value for value in event.summary.value}
    assert found == {(1, "loss"): 0.5, (1, "scale"): 14.0, (1, "score"): 0.25}
    assert not (tmp_path / RUN).exists()


def test_the_names_in_a_recipe(tmp_path):
    recipe = write_recipe(tmp_path / "recipe.py", model="x", data={"names": ("dtd",)})
    for given, names in (("wandb,trackio", ("wandb", "trackio")), ("tensorboard", ("tensorboard",)), ("()", ())):
        assert read_config(str(recipe), [f"--config.train.log={given}"], program="p").train.log == names
    with pytest.raises(UserError, match=r"config\.train\.log is 'mlflow'; use one of 'tensorboard', 'wandb', 'trac"):
        read_config(str(recipe), ["--config.train.log", "mlflow"], program="p")
